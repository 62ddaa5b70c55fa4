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
	bool waits;  /* for the first page: nothing else is told before it */
	bool missed; /* so something was not told, which that page is to have */
	char home[MC_SYSTEM_ID_MAX + 1]; /* of this one only; "": of all that it decides for */
};

struct approvals {
	LIST_HEAD(, watcher) watchers;
};

/* --- those who watch --- */

static struct watcher *find_watcher(const struct server *s, const struct peer *p, struct str home)
{
	struct watcher *w;
	if (!s->approvals)
		return NULL;
	LIST_FOREACH(w, &s->approvals->watchers, next) {
		if (w->peer == p && str_eq(str_of(w->home), home))
			return w;
	}
	return NULL;
}

/* NULL: out of memory. */
static struct watcher *watcher_new(struct server *s, struct peer *p, struct str home)
{
	struct watcher *w = NULL;
	if (!s->approvals)
		s->approvals = calloc(1, sizeof *s->approvals);
	if (s->approvals && home.len < sizeof w->home && (w = calloc(1, sizeof *w))) {
		w->peer = p;
		if (home.ptr)
			memcpy(w->home, home.ptr, home.len);
		LIST_INSERT_HEAD(&s->approvals->watchers, w, next);
	} else {
		log_error("out of memory: an ACMC is not told of what comes to wait");
	}
	return w;
}

static void watcher_free(struct watcher *w)
{
	if (w)
		LIST_REMOVE(w, next);
	free(w);
}

/* The page of a list is going to be read. Whoever watches already goes on. */
static void watch_soon(struct server *s, struct peer *p, struct str home)
{
	struct watcher *w = find_watcher(s, p, home);
	if (!w && (w = watcher_new(s, p, home)))
		w->waits = true;
}

/*
 * The page is read: what comes from now on is told. The latest query counts, so that a connection has no more watchers than
 * there are home systems. False: something came meanwhile that may not be in the page, so it is to be read again.
 */
static bool watch_now(struct server *s, struct peer *p, uint64_t token, struct str home)
{
	struct watcher *w = find_watcher(s, p, home);
	bool complete = !w || !w->missed;
	if (!w && !(w = watcher_new(s, p, home)))
		return true;
	w->missed = false;
	w->waits = !complete;
	if (complete)
		w->token = token;
	return complete;
}

void approval_peer_gone(struct server *s, struct peer *p)
{
	struct watcher *w, *after;
	for (w = s->approvals ? LIST_FIRST(&s->approvals->watchers) : NULL; w; w = after) {
		after = LIST_NEXT(w, next);
		if (w->peer == p)
			watcher_free(w);
	}
}

void approval_free(struct server *s)
{
	while (s->approvals && !LIST_EMPTY(&s->approvals->watchers))
		watcher_free(LIST_FIRST(&s->approvals->watchers));
	free(s->approvals);
	s->approvals = NULL;
}

/* Without its lists. */
static struct pending_entry entry_of(struct str home, const struct setup *setup,
				     uint64_t received_ms, uint64_t until_ms)
{
	return (struct pending_entry){
		.mc_system_id = home,
		.received_ms = received_ms,
		.until_ms = until_ms,
		.request = { .request_id = setup->request_id,
			     .home_acmc_id = setup->home_acmc_id,
			     .operation = (int)setup->operation,
			     .has_validity = setup->has_validity,
			     .validity = setup->validity,
			     .expires_ms = setup->expires_ms,
			     .best_effort = setup->best_effort },
		.users = (uint32_t)setup->n_users,
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
		if (w->waits) {
			w->missed = true;
			continue;
		}
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
	struct arena *arena; /* has the job, and what was found */
	struct str own;
	struct homes homes, known; /* that it decides for, and all that there are */
	size_t max;
	struct pending_page page;
	size_t bytes;
	size_t left;         /* users that may still be looked at, about */
	size_t home;         /* of the homes, that is being read */
	struct request_id after; /* the last one of it */
	bool has_after, end, failed;
};

/* From the start: nothing is found yet. */
static void begin_pending(struct pending_job *j)
{
	const struct pending_query *asked = &j->query->message.pending_query;
	struct str after = asked->after_mc_system_id;
	j->page = (struct pending_page){ .page = { .token = asked->token }, .entries = j->page.entries };
	j->bytes = j->home = 0;
	while (after.ptr && j->home < j->homes.n && str_cmp(j->homes.items[j->home], after) < 0)
		j->home++;
	j->has_after = after.ptr && j->home < j->homes.n && str_eq(j->homes.items[j->home], after);
	j->after = asked->after_request_id;
}

static bool take_pending(void *context, struct str home, struct request_id id,
			 const struct pending_record *r)
{
	struct pending_job *j = context;
	struct pending_entry e = entry_of(home, &r->setup, r->received_ms, r->decide_until_ms);
	if (j->left == 0)
		return false;
	j->left -= r->setup.n_users < j->left ? r->setup.n_users : j->left;
	j->bytes += 160 + home.len + e.request.home_acmc_id.len;
	if (j->page.n_entries == j->max || (j->page.n_entries > 0 && j->bytes > PENDING_PAGE_BYTES)) {
		j->page.page.more = true;
		return false;
	}
	e.mc_system_id = arena_str(j->arena, home);
	if (e.request.home_acmc_id.ptr)
		e.request.home_acmc_id = arena_str(j->arena, e.request.home_acmc_id);
	if (!e.mc_system_id.ptr) {
		j->failed = true;
		return false;
	}
	j->page.entries[j->page.n_entries++] = e;
	j->after = id;
	j->has_after = true;
	return true;
}

static void list_pending(struct pending_job *j, struct store_txn *t)
{
	j->left = READER_STEP;
	for (; j->home < j->homes.n; j->home++, j->has_after = false) {
		struct str home = j->homes.items[j->home];
		if (!store_list_pending(t, home, j->has_after ? &home : NULL, j->has_after ? &j->after : NULL,
					take_pending, j))
			break;
	}
	j->end = j->home == j->homes.n || j->page.page.more || j->failed;
}

/* All that wait with this ID, of whichever home systems. With lists if there is one only: two might not fit into a frame. */
static bool take_found(struct pending_job *j, const struct commit_found *found)
{
	j->page.n_entries = 0;
	j->page.entries = arena_array(j->arena, found->n, sizeof *j->page.entries);
	for (size_t i = 0; j->page.entries && i < found->n; i++) {
		const struct commit_waiting *w = &found->waiting[i];
		struct pending_entry *e = &j->page.entries[j->page.n_entries++];
		*e = entry_of(w->home, &w->pending.setup, w->pending.received_ms, w->pending.decide_until_ms);
		e->also_of_others = w->also_of_others;
		if (found->n == 1 && !setup_to_request(j->arena, &w->pending.setup, j->own, &e->request))
			return false;
	}
	return j->page.entries != NULL;
}

static void show_pending(struct pending_job *j, struct store_txn *t)
{
	const struct pending_query *asked = &j->query->message.pending_query;
	struct commit_find what = { j->homes.items, j->homes.n, j->known.items, j->known.n, asked->request_id };
	struct commit_found found;
	j->end = true;
	commit_find(t, j->arena, &what, &found);
	if (found.n == 0) {
		j->failed = found.failed;
		j->page.page.cause = CAUSE_UNKNOWN_REQUEST;
		j->page.page.detail = str_of(found.detail);
		return;
	}
	j->failed = found.failed || !take_found(j, &found);
}

static void run_pending(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct pending_job *j = (struct pending_job *)job;
	(void)work, (void)now_ms;
	if (j->query->message.pending_query.has_request_id)
		show_pending(j, t);
	else
		list_pending(j, t);
	if (!j->page.page.detail.ptr)
		j->page.page.detail = damage_detail(t);
}

/* True: it goes on, with another step or from the start. */
static bool goes_on(struct pending_job *j)
{
	struct query *q = j->query;
	const struct pending_query *asked = &q->message.pending_query;
	if (!q->peer)
		return false;
	if (j->end && (!asked->follow || j->homes.n == 0 ||
		       watch_now(q->server, q->peer, asked->token, asked->mc_system_id)))
		return false;
	if (j->end)
		begin_pending(j);
	reader_submit(q->server->reader, &j->job);
	return true;
}

static void done_pending(struct job *job, enum status status)
{
	struct pending_job *j = (struct pending_job *)job;
	struct query *q = j->query;
	struct message m = { .kind = MESSAGE_PENDING_PAGE, .pending_page = j->page };
	struct arena *a = j->arena;
	bool good = status == OK && !j->failed;
	if (good && goes_on(j))
		return;
	if (good) {
		query_reply(q, &m);
	} else {
		struct watcher *w = q->peer ? find_watcher(q->server, q->peer, q->message.pending_query.mc_system_id) : NULL;
		if (w && w->waits) /* for the page that there is not */
			watcher_free(w);
		query_refuse(q, CAUSE_STORE_UNAVAILABLE, NULL);
	}
	arena_free(a);
}

static struct pending_job *pending_job_new(struct query *q, const struct acmc_rule *acmc)
{
	const struct pending_query *asked = &q->message.pending_query;
	const struct config *config = q->server->live->config;
	struct arena *a = arena_new(0);
	struct pending_job *j = a ? arena_alloc(a, sizeof *j) : NULL;
	if (!j || !list_homes(a, config, acmc, asked->mc_system_id, &j->homes) ||
	    !list_homes(a, config, NULL, STR_NONE, &j->known) || !(j->own = arena_str(a, config->mc_system_id)).ptr ||
	    !(j->page.entries = arena_array(a, PENDING_PAGE_ENTRIES, sizeof *j->page.entries))) {
		arena_free(a);
		return NULL;
	}
	j->job = (struct job){ .run = run_pending, .done = done_pending };
	j->query = q;
	j->arena = a;
	j->max = asked->max && asked->max < PENDING_PAGE_ENTRIES ? asked->max : PENDING_PAGE_ENTRIES;
	begin_pending(j);
	return j;
}

void approval_query(struct query *q, const struct acmc_rule *acmc)
{
	const struct pending_query *asked = &q->message.pending_query;
	struct pending_job *j;
	if (!decides(q, acmc))
		return;
	if (!(j = pending_job_new(q, acmc))) {
		query_refuse(q, CAUSE_STORE_UNAVAILABLE, "out of memory");
		return;
	}
	if (asked->mc_system_id.ptr && j->homes.n == 0) {
		arena_free(j->arena);
		query_refuse(q, CAUSE_ACMC_NOT_AUTHORISED, "this ACMC does not decide for that home system");
		return;
	}
	if (asked->follow && !asked->has_request_id && j->homes.n > 0)
		watch_soon(q->server, q->peer, asked->mc_system_id);
	reader_submit(q->server->reader, &j->job);
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
		m.decision_result.has_response =
			setup_spell_out(a, &j->what.what.setup, &m.decision_result.response);
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
	partner_tell(s, &j->telling, &j->what.what.setup, j->what.what.home, &j->decided.answer, 2);
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
