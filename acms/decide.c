#include "acms/commit_internal.h"

/*
 * A decision about a request that waits for one (PROTOCOL.md 5.6): found, then decided, each in a transaction of its
 * own. Both ask what is on disk, so of two decisions about the same request one comes too late.
 */

static const char *about(struct arena *a, const struct request_record *r)
{
	const struct decided_by *d = &r->decided_by;
	const char *detail = NULL;
	if (r->cause == CAUSE_APPROVAL_TIMEOUT)
		return "nobody decided about it in time";
	if (d->acmc.ptr && r->cause == CAUSE_REJECTED)
		detail = arena_printf(a, "it was rejected by %.*s", STR_ARG(d->acmc));
	else if (d->acmc.ptr)
		detail = arena_printf(a, "it was approved by %.*s, and answered %s", STR_ARG(d->acmc),
				      r->cause == CAUSE_NO_CAUSE ? "TRUE" : cause_name(r->cause));
	else
		detail = arena_printf(a, "it did not need a decision, and was answered %s",
				      r->cause == CAUSE_NO_CAUSE ? "TRUE" : cause_name(r->cause));
	return detail ? detail : "it was answered before";
}

/* Once an ID was ambiguous it stays so, as long as what became of it is kept. */
static bool is_ambiguous(struct store_txn *t, struct arena *a, const struct commit_find *what)
{
	size_t n = 0;
	for (size_t i = 0; i < what->n_known && n < 2; i++) {
		struct pending_record p;
		struct request_record r;
		n += store_get_pending(t, a, what->known[i], what->request_id, &p) ||
		     store_get_request(t, a, what->known[i], what->request_id, &r);
	}
	return n > 1;
}

void commit_find(struct store_txn *t, struct arena *a, const struct commit_find *what,
		 struct commit_found *out)
{
	*out = (struct commit_found){ .waiting = arena_array(a, what->n_homes, sizeof *out->waiting) };
	out->failed = !out->waiting;
	for (size_t i = 0; out->waiting && i < what->n_homes; i++) {
		struct commit_waiting *w = &out->waiting[out->n];
		struct request_record r;
		w->home = what->homes[i];
		if (store_get_pending(t, a, w->home, what->request_id, &w->pending))
			out->n++;
		else if (!out->detail && store_get_request(t, a, w->home, what->request_id, &r))
			out->detail = about(a, &r);
	}
	bool ambiguous = out->n > 0 && is_ambiguous(t, a, what);
	for (size_t i = 0; i < out->n; i++)
		out->waiting[i].also_of_others = ambiguous;
}

static void refuse(struct work *w, enum cause cause, const char *detail)
{
	w->out->verdict = (struct verdict){ .cause = cause, .detail = detail };
	w->out->revisions = NULL;
	w->out->n_revisions = 0;
	w->plan = (struct plan){ .verdict = w->out->verdict };
	work_finish(w);
}

static void approve(struct work *w)
{
	const struct setup *s = &w->what->setup;
	if (s->has_validity && validity_ended(s->validity, w->now_ms))
		refuse(w, CAUSE_INVALID_VALIDITY, "the validity ended before it was approved");
	else
		work_finish(w);
}

/* True: it is still there to be decided about. */
static bool still_waits(struct work *w, struct commit_decided *out)
{
	struct pending_record p;
	struct request_record r;
	struct str home = w->what->home;
	struct request_id id = w->what->setup.request_id;
	out->cause = CAUSE_UNKNOWN_REQUEST;
	if (store_get_request(w->txn, w->arena, home, id, &r))
		out->detail = about(w->arena, &r);
	else if (!store_get_pending(w->txn, w->arena, home, id, &p) ||
		 memcmp(p.content, w->content, DIGEST_SIZE) != 0)
		out->detail = NULL;
	else if (p.decide_until_ms <= w->now_ms) /* the sweep is about to answer it */
		out->detail = "the time to decide about it is over";
	else
		out->cause = CAUSE_NO_CAUSE;
	return out->cause == CAUSE_NO_CAUSE;
}

void commit_decision(struct store_txn *t, struct arena *work, const struct commit_decision *what,
		     uint64_t now_ms, struct commit_decided *out)
{
	struct work w;
	*out = (struct commit_decided){ .cause = CAUSE_STORE_UNAVAILABLE, .detail = "out of memory" };
	if (!work_start(&w, t, work, &what->what, now_ms, &out->answer) || !still_waits(&w, out))
		return;
	w.action = what->approve ? AUDIT_APPROVE : AUDIT_REJECT;
	out->answer.decided_by = what->decided_by;
	out->answer.decided_by.at_ms = now_ms;
	if (what->approve && !work_judge(&w)) {
		out->cause = CAUSE_STORE_UNAVAILABLE;
		out->detail = out->answer.verdict.detail;
		return;
	}
	if (store_status(t) != OK)
		return;
	if (what->approve)
		approve(&w);
	else
		refuse(&w, CAUSE_REJECTED, NULL);
	store_delete_pending(t, what->what.home, what->what.setup.request_id);
}
