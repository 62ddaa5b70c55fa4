#include <stdlib.h>
#include "acms/authorise.h"
#include "acms/damage.h"
#include "acms/partner.h"
#include "common/failpoint.h"
#include "common/log.h"

/* What waits for a decision of our ACMCs, and their decisions: PROTOCOL.md 5.6, 10. */

enum { PENDING_PAGE_ENTRIES = 100, PENDING_PAGE_BYTES = FRAME_BYTES_MIN / 8 };

/* A connection of an ACMC that wants to hear of each request that comes to wait. */
struct watcher {
	LIST_ENTRY(watcher) next;
	struct peer *peer;
	uint64_t token;
	char home[MC_SYSTEM_ID_MAX + 1]; /* of this one only; "": of all that it decides for */
};

struct approvals {
	LIST_HEAD(, watcher) watchers;
};

/* --- those who watch --- */

static struct watcher *find_watcher(const struct server *s, const struct peer *p, struct str home)
{
	struct watcher *w;
	LIST_FOREACH(w, &s->approvals->watchers, next) {
		if (w->peer == p && str_eq(str_of(w->home), home))
			return w;
	}
	return NULL;
}

/* The latest query counts, so that a connection has no more of these than there are home systems. */
static void watch(struct server *s, struct peer *p, uint64_t token, struct str home)
{
	struct watcher *w;
	if (!s->approvals)
		s->approvals = calloc(1, sizeof *s->approvals);
	w = s->approvals ? find_watcher(s, p, home) : NULL;
	if (!w && s->approvals && home.len < sizeof w->home && (w = calloc(1, sizeof *w)))
		LIST_INSERT_HEAD(&s->approvals->watchers, w, next);
	if (!w) {
		log_error("out of memory: an ACMC is not told of what comes to wait");
		return;
	}
	w->peer = p;
	w->token = token;
	if (home.ptr)
		memcpy(w->home, home.ptr, home.len);
}

void approval_peer_gone(struct server *s, struct peer *p)
{
	struct watcher *w, *after;
	for (w = s->approvals ? LIST_FIRST(&s->approvals->watchers) : NULL; w; w = after) {
		after = LIST_NEXT(w, next);
		if (w->peer != p)
			continue;
		LIST_REMOVE(w, next);
		free(w);
	}
}

void approval_free(struct server *s)
{
	while (s->approvals && !LIST_EMPTY(&s->approvals->watchers)) {
		struct watcher *w = LIST_FIRST(&s->approvals->watchers);
		LIST_REMOVE(w, next);
		free(w);
	}
	free(s->approvals);
	s->approvals = NULL;
}

/* Without its lists. */
static struct pending_entry entry_of(struct str home, const struct setup *setup,
				     uint64_t received_ms, uint64_t until_ms)
{
	return (struct pending_entry){
		.request = setup_outline(setup),
		.users = (uint32_t)setup->n_users,
		.mc_system_id = home,
		.received_ms = received_ms,
		.until_ms = until_ms,
	};
}

void approval_tell(struct server *s, struct str home, const struct setup *setup,
		   uint64_t received_ms, uint64_t until_ms)
{
	struct pending_entry entry = entry_of(home, setup, received_ms, until_ms);
	struct message m = { .kind = MESSAGE_PENDING_PAGE,
			     .pending_page = { .entries = &entry, .n_entries = 1 } };
	struct watcher *w;
	if (!s->approvals)
		return;
	LIST_FOREACH(w, &s->approvals->watchers, next) {
		const struct acmc_rule *acmc = peer_acmc(w->peer); /* of now: rules may have changed */
		bool wanted = !w->home[0] || str_eq(str_of(w->home), home);
		if (!acmc || !wanted || !authorise_approver(acmc, home))
			continue;
		m.pending_page.page.token = w->token;
		peer_push(w->peer, &m);
	}
}

/* --- what both kinds of jobs have --- */

/* Home systems, sorted. */
struct homes {
	struct str *items;
	size_t n;
};

static int compare_homes(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/*
 * Only: of this one; STR_NONE: all of them. acmc NULL: whoever decides for them. In the arena, since rules may be exchanged
 * meanwhile.
 */
static bool list_homes(struct arena *a, const struct config *config, const struct acmc_rule *acmc,
		       struct str only, struct homes *out)
{
	*out = (struct homes){ arena_array(a, config->n_partners, sizeof *out->items), 0 };
	for (size_t i = 0; out->items && i < config->n_partners; i++) {
		struct str home = config->partners[i].mc_system_id;
		if ((only.ptr && !str_eq(only, home)) || (acmc && !authorise_approver(acmc, home)))
			continue;
		struct str copy = arena_str(a, home);
		if (!copy.ptr)
			return false;
		out->items[out->n++] = copy;
	}
	if (out->n > 0)
		qsort(out->items, out->n, sizeof *out->items, compare_homes);
	return out->items != NULL;
}

static bool decides(struct query *q, const struct acmc_rule *acmc)
{
	if (acmc->approves.n > 0)
		return true;
	query_refuse(q, CAUSE_ACMC_NOT_AUTHORISED, "this ACMC decides for no home system");
	return false;
}

/* --- PendingQuery --- */

struct pending_job {
	struct job job;
	struct query *query;
	struct arena *arena; /* has the job */
	struct str own;
	struct homes homes, known; /* that it decides for, and all that there are */
	size_t max;
	/* What was found; in the work arena. */
	struct arena *work;
	struct pending_page page;
	size_t bytes;
};

static bool take_pending(void *context, struct str home, struct request_id id,
			 const struct pending_record *r)
{
	struct pending_job *j = context;
	struct pending_entry e = entry_of(home, &r->setup, r->received_ms, r->decide_until_ms);
	(void)id;
	j->bytes += 160 + home.len + e.request.home_acmc_id.len;
	if (j->page.n_entries == j->max || (j->page.n_entries > 0 && j->bytes > PENDING_PAGE_BYTES)) {
		j->page.page.more = true;
		return false;
	}
	e.mc_system_id = arena_str(j->work, home);
	if (e.request.home_acmc_id.ptr)
		e.request.home_acmc_id = arena_str(j->work, e.request.home_acmc_id);
	if (!e.mc_system_id.ptr) {
		j->page.page.cause = CAUSE_STORE_UNAVAILABLE;
		return false;
	}
	j->page.entries[j->page.n_entries++] = e;
	return true;
}

static void list_pending(struct pending_job *j, struct store_txn *t)
{
	const struct pending_query *asked = &j->query->message.pending_query;
	struct str after = asked->after_mc_system_id;
	j->page.entries = arena_array(j->work, j->max, sizeof *j->page.entries);
	if (!j->page.entries) {
		j->page.page.cause = CAUSE_STORE_UNAVAILABLE;
		return;
	}
	for (size_t i = 0; i < j->homes.n; i++) {
		struct str home = j->homes.items[i];
		bool within = after.ptr && str_eq(home, after);
		if (after.ptr && str_cmp(home, after) < 0)
			continue;
		if (!store_list_pending(t, home, within ? &after : NULL,
					within ? &asked->after_request_id : NULL, take_pending, j))
			break;
	}
}

/* All that wait with this ID, of whichever home systems. With lists if there is one only: two might not fit into a frame. */
static bool take_found(struct pending_job *j, const struct commit_found *found)
{
	j->page.entries = arena_array(j->work, found->n, sizeof *j->page.entries);
	for (size_t i = 0; j->page.entries && i < found->n; i++) {
		const struct commit_waiting *w = &found->waiting[i];
		struct pending_entry *e = &j->page.entries[j->page.n_entries++];
		*e = entry_of(w->home, &w->pending.setup, w->pending.received_ms, w->pending.decide_until_ms);
		e->also_of_others = w->also_of_others;
		if (found->n > 1)
			continue;
		e->request = w->pending.setup;
		e->request.targets = &j->own;
		e->request.n_targets = 1;
	}
	return j->page.entries != NULL;
}

static void show_pending(struct pending_job *j, struct store_txn *t)
{
	const struct pending_query *asked = &j->query->message.pending_query;
	struct commit_find what = { j->homes.items, j->homes.n, j->known.items, j->known.n, asked->request_id };
	struct commit_found found;
	commit_find(t, j->work, &what, &found);
	if (found.failed) {
		j->page.page.cause = CAUSE_STORE_UNAVAILABLE;
	} else if (found.n == 0) {
		j->page.page.cause = CAUSE_UNKNOWN_REQUEST;
		j->page.page.detail = str_of(found.detail);
	} else if (!take_found(j, &found)) {
		j->page.page.cause = CAUSE_STORE_UNAVAILABLE;
		j->page.n_entries = 0;
	}
}

static void run_pending(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct pending_job *j = (struct pending_job *)job;
	const struct pending_query *asked = &j->query->message.pending_query;
	(void)now_ms;
	j->work = work;
	j->bytes = 0;
	j->page = (struct pending_page){ .page = { .token = asked->token } };
	if (asked->has_request_id)
		show_pending(j, t);
	else
		list_pending(j, t);
	if (!j->page.page.detail.ptr)
		j->page.page.detail = damage_detail(t);
}

/*
 * Jobs come back in the order in which they were submitted: what came to wait before is in the page, and what comes from
 * now on is told.
 */
static void done_pending(struct job *job, enum status status)
{
	struct pending_job *j = (struct pending_job *)job;
	struct query *q = j->query;
	const struct pending_query *asked = &q->message.pending_query;
	struct message m = { .kind = MESSAGE_PENDING_PAGE, .pending_page = j->page };
	struct arena *a = j->arena;
	if (status == OK && asked->follow && q->peer && j->homes.n > 0)
		watch(q->server, q->peer, asked->token, asked->mc_system_id);
	if (status == OK)
		query_reply(q, &m);
	else
		query_refuse(q, CAUSE_STORE_UNAVAILABLE, NULL);
	arena_free(a);
}

void approval_query(struct query *q, const struct acmc_rule *acmc)
{
	const struct pending_query *asked = &q->message.pending_query;
	const struct config *config = q->server->live->config;
	struct arena *a;
	if (!decides(q, acmc))
		return;
	a = arena_new(0);
	struct pending_job *j = a ? arena_alloc(a, sizeof *j) : NULL;
	if (!j || !list_homes(a, config, acmc, asked->mc_system_id, &j->homes) ||
	    !list_homes(a, config, NULL, STR_NONE, &j->known) || !(j->own = arena_str(a, config->mc_system_id)).ptr) {
		arena_free(a);
		query_refuse(q, CAUSE_STORE_UNAVAILABLE, "out of memory");
		return;
	}
	if (asked->mc_system_id.ptr && j->homes.n == 0) {
		arena_free(a);
		query_refuse(q, CAUSE_ACMC_NOT_AUTHORISED, "this ACMC does not decide for that home system");
		return;
	}
	j->job = (struct job){ .run = run_pending, .done = done_pending, .weight = 1000 };
	j->query = q;
	j->arena = a;
	j->max = asked->max && asked->max < PENDING_PAGE_ENTRIES ? asked->max : PENDING_PAGE_ENTRIES;
	committer_submit(q->server->committer, &j->job);
}

/* --- Decision --- */

struct decision_job {
	struct job job;
	struct query *query;
	struct arena *arena; /* has the job, and what was found */
	struct homes homes; /* the one, or none */
	struct commit_found found;
	struct commit_decision what;
	struct commit_decided decided;
	struct partner_telling telling;
	struct arena *kept;  /* the work arena, which the answer lives in, until it is told */
};

static void end_decision(struct decision_job *j, enum cause cause, const char *detail)
{
	struct arena *a = j->arena;
	query_refuse(j->query, cause, detail);
	arena_free(a);
}

static void run_decide(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct decision_job *j = (struct decision_job *)job;
	commit_decision(t, work, &j->what, now_ms, &j->decided);
	fail_point("decision-written");
}

/* The administrator may have gone; the home system is told in any case. NULL: it has to ask again. */
static void tell_decided(struct partner_telling *t, const struct setup_response *response)
{
	struct decision_job *j = (struct decision_job *)((char *)t - offsetof(struct decision_job, telling));
	struct committer *committer = j->query->server->committer;
	struct arena *a = j->arena, *kept = j->kept;
	struct message m = { .kind = MESSAGE_DECISION_RESULT };
	m.decision_result.page.token = j->query->message.decision.token;
	m.decision_result.has_response = response != NULL;
	if (response) {
		partner_push(j->query->server, response, j->what.what.home);
		m.decision_result.response = *response;
		m.decision_result.response.receipt = m.decision_result.response.receipt_root = STR_NONE; /* is home's */
		m.decision_result.request = j->what.what.setup;
	}
	if (j->query->peer && !peer_takes(j->query->peer, &m)) /* that it is decided can be told */
		m.decision_result.has_response = false;
	fail_point("decision-pushed");
	query_reply(j->query, &m);
	fail_point("decision-told");
	committer_return_work(committer, kept);
	arena_free(a);
}

/* On disk. */
static void done_decide(struct job *job, enum status status)
{
	struct decision_job *j = (struct decision_job *)job;
	struct server *s = j->query->server;
	fail_point("decision-committed");
	if (status != OK || j->decided.cause != CAUSE_NO_CAUSE) {
		end_decision(j, status == OK ? j->decided.cause : CAUSE_STORE_UNAVAILABLE,
			     status == OK ? j->decided.detail : "nothing was decided");
		return;
	}
	j->kept = committer_keep_work(s->committer);
	j->telling.tell = tell_decided;
	partner_tell(s, &j->telling, &j->what.what.setup, j->what.what.home, &j->decided.answer);
}

/* By the rules of now. */
static bool judge(struct decision_job *j, const struct acmc_rule *acmc,
		  const struct partner_rule *home, struct str own)
{
	const struct decision *asked = &j->query->message.decision;
	struct setup setup = j->found.waiting->pending.setup;
	struct str *target = arena_alloc(j->arena, sizeof *target);
	if (!target)
		return false;
	*target = own;
	setup.targets = target; /* it was ours when it was received */
	setup.n_targets = 1;
	if (!partner_judge(j->arena, home, own, &setup, &j->what.what))
		return false;
	j->what.what.setup = j->found.waiting->pending.setup;
	j->what.what.certificate = peer_certificate(j->query->peer, j->arena);
	j->what.approve = asked->approve;
	j->what.decided_by = (struct decided_by){ .acmc = arena_str(j->arena, acmc->name),
						  .reason = asked->reason };
	return j->what.what.certificate.ptr && j->what.decided_by.acmc.ptr;
}

static void run_find(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct decision_job *j = (struct decision_job *)job;
	struct commit_find what = { j->homes.items, j->homes.n, NULL, 0, j->query->message.decision.request_id };
	(void)work, (void)now_ms;
	commit_find(t, j->arena, &what, &j->found);
}

static void done_find(struct job *job, enum status status)
{
	struct decision_job *j = (struct decision_job *)job;
	struct server *s = j->query->server;
	const struct acmc_rule *acmc = j->query->peer ? peer_acmc(j->query->peer) : NULL;
	bool found = status == OK && j->found.n > 0;
	const struct partner_rule *home = found ? config_partner(s->live->config, j->found.waiting->home) : NULL;
	if (status != OK || j->found.failed) {
		end_decision(j, CAUSE_STORE_UNAVAILABLE, "nothing was decided");
	} else if (!home || !acmc || !authorise_approver(acmc, j->found.waiting->home)) {
		end_decision(j, CAUSE_UNKNOWN_REQUEST, j->found.detail);
	} else if (!judge(j, acmc, home, s->live->config->mc_system_id)) {
		end_decision(j, CAUSE_STORE_UNAVAILABLE, "out of memory; nothing was decided");
	} else {
		j->job = (struct job){ .run = run_decide, .done = done_decide,
				       .weight = j->found.waiting->pending.setup.n_users };
		committer_submit(s->committer, &j->job);
	}
}

void approval_decide(struct query *q, const struct acmc_rule *acmc)
{
	const struct decision *asked = &q->message.decision;
	struct arena *a;
	fail_point("decision-received");
	if (!decides(q, acmc))
		return;
	if (!asked->approve && asked->reason.len == 0) {
		query_refuse(q, CAUSE_MISSING_ELEMENT, "to reject, give a reason");
		return;
	}
	if (!asked->mc_system_id.ptr) { /* any other target of a request can use its ID for one of its own */
		query_refuse(q, CAUSE_MISSING_ELEMENT, "name the home system whose request it is");
		return;
	}
	a = arena_new(0);
	struct decision_job *j = a ? arena_alloc(a, sizeof *j) : NULL;
	if (!j || !list_homes(a, q->server->live->config, acmc, asked->mc_system_id, &j->homes)) {
		arena_free(a);
		query_refuse(q, CAUSE_STORE_UNAVAILABLE, "out of memory");
		return;
	}
	j->job = (struct job){ .run = run_find, .done = done_find };
	j->query = q;
	j->arena = a;
	committer_submit(q->server->committer, &j->job);
}
