#include <stdlib.h>
#include "acms/authorise.h"
#include "acms/damage.h"
#include "acms/outbox_internal.h"
#include "common/clock.h"

/* An ACMC's question about requests: read from the store by and by, completed with what is under way. */
struct listing {
	struct job job;
	struct query *query;
	struct str acmc;             /* whose only; STR_NONE: of all */
	struct str own;              /* our MC system ID */
	struct arena *arena;         /* of the page */
	struct requests_page page;
	size_t max, most_bytes;
	size_t bytes;                /* of the page, so far */
	bool has_after;
	struct request_id after;     /* which was looked at last */
	bool end;
	bool read;                   /* one that is followed; with so many answers: */
	size_t answered;
};

enum { ENTRIES_MAX = 200 };

/* --- in the reader's thread --- */

struct looking {
	struct listing *listing;
	struct store_txn *txn;
	struct arena *scratch; /* for one record at a time: answers with receipts are large */
	size_t looks;          /* weight of what was read, about */
};

/* Without what a list does not show. */
static bool fill_short_response(struct arena *a, struct str target,
				const struct answer_record *answer, struct setup_response *out)
{
	struct answer_record plain = { .origin = answer->origin,
				       .cause = answer->cause,
				       .detail = arena_str(a, answer->detail),
				       .decided_by = { .acmc = arena_str(a, answer->decided_by.acmc),
						       .reason = arena_str(a, answer->decided_by.reason),
						       .at_ms = answer->decided_by.at_ms } };
	struct setup nobody = { .request_id = out->request_id };
	home_response(&nobody, target, &plain, out);
	return setup_spell_out(a, &nobody, out);
}

static bool fill_delivery(struct looking *k, struct arena *a, struct request_id id,
			  const struct asked_record *r, struct str target, struct delivery_entry *out)
{
	const struct requests_query *q = &k->listing->query->message.requests_query;
	struct answer_record answer;
	out->mc_system_id = arena_str(a, target);
	out->response.request_id = id;
	out->response.mc_system_id = out->mc_system_id;
	k->looks++;
	out->has_response = home_get_answer(k->txn, q->has_request_id ? a : k->scratch, id, r, target, &answer);
	if (!out->has_response && store_pass_over(k->txn)) {
		answer = (struct answer_record){ .origin = ORIGIN_HOME_ACMS, .cause = CAUSE_PARTNER_PROTOCOL_ERROR,
						 .detail = STR("the answer is on disk, but its record cannot be read") };
		out->has_response = true;
	}
	if (!out->has_response)
		return out->mc_system_id.ptr;
	k->looks += setup_weight(&r->setup); /* the answer may say something of each */
	out->state = DELIVERY_ANSWERED;
	out->answered_ms = answer.answered_ms;
	if (!q->has_request_id)
		return fill_short_response(a, out->mc_system_id, &answer, &out->response);
	home_response(&r->setup, out->mc_system_id, &answer, &out->response);
	return setup_spell_out(a, &r->setup, &out->response) &&
	       home_receipt(a, r, out->mc_system_id, k->listing->own, &answer, &out->response.receipt);
}

/* Who asks for one target asks how the request stands with that one. */
static bool passes(const struct requests_query *q, const struct request_entry *e)
{
	bool unfinished = false, refused = false, target = false;
	for (size_t i = 0; i < e->n_deliveries; i++) {
		const struct delivery_entry *d = &e->deliveries[i];
		if (q->mc_system_id.ptr && !str_eq(q->mc_system_id, d->mc_system_id))
			continue;
		target = true;
		unfinished |= !d->has_response;
		refused |= d->has_response && !d->response.result;
	}
	return target && (!q->unfinished_only || unfinished) && (!q->refused_only || refused);
}

/* What the request itself says, before its answers are read. */
static bool may_pass(const struct listing *l, const struct asked_record *r)
{
	const struct requests_query *q = &l->query->message.requests_query;
	bool target = !q->mc_system_id.ptr;
	for (size_t i = 0; !target && i < r->setup.n_targets; i++)
		target = str_eq(q->mc_system_id, r->setup.targets[i]);
	return target && (!l->acmc.ptr || str_eq(l->acmc, r->acmc)) && r->accepted_ms >= q->since_ms &&
	       (q->until_ms == 0 || r->accepted_ms < q->until_ms);
}

static bool fill_entry(struct looking *k, struct arena *a, struct request_id id,
		       const struct asked_record *r, struct request_entry *out)
{
	*out = (struct request_entry){ .request_id = id,
				       .operation = (int)r->setup.operation,
				       .acmc = arena_str(a, r->acmc),
				       .accepted_ms = r->accepted_ms,
				       .deadline_ms = r->setup.expires_ms,
				       .part = r->setup.part,
				       .parts = r->setup.parts,
				       .users = (uint32_t)r->setup.n_users,
				       .n_deliveries = r->setup.n_targets };
	out->deliveries = arena_array(a, out->n_deliveries, sizeof *out->deliveries);
	bool good = out->acmc.ptr && out->deliveries;
	for (size_t i = 0; good && i < out->n_deliveries; i++)
		good = fill_delivery(k, a, id, r, r->setup.targets[i], &out->deliveries[i]);
	return good;
}

/* The most that it takes on the wire, about, once what is under way is completed. */
static size_t bytes_of(const struct request_entry *e)
{
	size_t n = 120 + e->acmc.len;
	for (size_t i = 0; i < e->n_deliveries; i++) {
		const struct delivery_entry *d = &e->deliveries[i];
		const struct setup_response *r = &d->response;
		n += 120 + 2 * d->mc_system_id.len;
		n += d->has_response ? r->detail.len + r->decided_by.acmc.len + r->decided_by.reason.len :
				       sizeof ((struct delivery *)NULL)->detail;
	}
	return n;
}

static bool has_room(const struct listing *l, const struct request_entry *e)
{
	return l->page.n_entries < l->max &&
	       (l->page.n_entries == 0 || l->bytes + bytes_of(e) <= l->most_bytes);
}

/* Only what passes is kept for longer than this look. */
static bool look(void *context, struct request_id id, const struct asked_record *r)
{
	struct looking *k = context;
	struct listing *l = k->listing;
	struct request_entry draft;
	bool wanted = may_pass(l, r), good = true;
	arena_reset(k->scratch);
	k->looks += setup_weight(&r->setup);
	if (wanted) {
		good = fill_entry(k, k->scratch, id, r, &draft);
		wanted = good && passes(&l->query->message.requests_query, &draft);
	}
	if (wanted && !has_room(l, &draft)) {
		l->page.page.more = true;
		return false;
	}
	if (wanted) {
		l->bytes += bytes_of(&draft);
		good = fill_entry(k, l->arena, id, r, &l->page.entries[l->page.n_entries++]);
	}
	l->after = id;
	l->has_after = true;
	if (!good)
		store_fail_memory(k->txn);
	return good && k->looks < READER_STEP;
}

static void run_list(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct listing *l = (struct listing *)job;
	struct looking k = { l, t, work, 0 };
	(void)now_ms;
	l->end = store_list_asked(t, l->has_after ? &l->after : NULL, UINT64_MAX, look, &k) || l->page.page.more;
	if (!l->page.page.detail.ptr)
		l->page.page.detail = damage_detail(t);
}

static void run_get(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct listing *l = (struct listing *)job;
	struct looking k = { l, t, work, 0 };
	struct asked_record asked;
	struct request_id id = l->query->message.requests_query.request_id;
	(void)now_ms;
	l->end = true;
	l->page.n_entries = 0;
	if (!store_get_asked(t, l->arena, id, &asked) || (l->acmc.ptr && !str_eq(l->acmc, asked.acmc)))
		return;
	if (fill_entry(&k, l->arena, id, &asked, &l->page.entries[0]))
		l->page.n_entries = 1;
	else
		store_fail_memory(t);
}

/* --- in the loop --- */

static uint64_t unix_of(uint64_t mono_ms)
{
	return mono_ms ? clock_wall_ms() + mono_ms - clock_mono_ms() : 0;
}

static void complete_delivery(struct asked *a, struct delivery_entry *e)
{
	static const enum delivery_state states[DELIVERY_PHASES] = {
		[DELIVERY_PHASE_QUEUED] = DELIVERY_QUEUED,  [DELIVERY_PHASE_LOADING] = DELIVERY_QUEUED,
		[DELIVERY_PHASE_SENT] = DELIVERY_SENT,	    [DELIVERY_PHASE_HELD] = DELIVERY_APPROVAL,
		[DELIVERY_PHASE_BARRED] = DELIVERY_QUEUED,
		[DELIVERY_PHASE_RESTING] = DELIVERY_QUEUED, [DELIVERY_PHASE_ANSWERING] = DELIVERY_SENT,
		[DELIVERY_PHASE_DONE] = DELIVERY_SENT,
	};
	const struct delivery *d;
	e->state = DELIVERY_QUEUED;
	if (!a)
		return;
	TAILQ_FOREACH(d, &a->deliveries, in_asked) {
		if (!str_eq(d->target, e->mc_system_id))
			continue;
		e->state = states[d->phase];
		e->attempts = d->attempts;
		e->detail = d->detail[0] ? str_of(d->detail) : STR_NONE;
		if (d->phase == DELIVERY_PHASE_HELD)
			e->until_ms = d->pending_until_ms;
		else if (d->phase == DELIVERY_PHASE_RESTING)
			e->until_ms = unix_of(d->due_mono_ms);
	}
}

static void complete(struct server *s, struct requests_page *page)
{
	for (size_t i = 0; i < page->n_entries; i++) {
		struct request_entry *e = &page->entries[i];
		for (size_t j = 0; j < e->n_deliveries; j++) {
			if (!e->deliveries[j].has_response)
				complete_delivery(outbox_find(s, &e->request_id), &e->deliveries[j]);
		}
	}
}

/*
 * What is neither answered in the page nor unfinished here was answered after the page was read, and told to those who
 * followed then. Read from now on, it is in the page; if not, it is lost here until a restart, for want of memory.
 */
static bool read_too_early(struct listing *l)
{
	const struct request_entry *e = &l->page.entries[0];
	size_t answered = 0, unknown = 0;
	for (size_t i = 0; i < e->n_deliveries; i++) {
		const struct delivery_entry *d = &e->deliveries[i];
		if (d->has_response)
			answered++;
		else if (!outbox_find_delivery(l->query->server, &e->request_id, d->mc_system_id))
			unknown++;
	}
	bool news = !l->read || answered > l->answered;
	l->read = true;
	l->answered = answered;
	return unknown > 0 && news;
}

/* False: the page is to be read again. */
static bool follow(struct listing *l)
{
	struct query *q = l->query;
	const struct request_entry *e = &l->page.entries[0];
	struct asked *a = outbox_find(q->server, &q->message.requests_query.request_id);
	if (read_too_early(l))
		return false;
	if (a && a->kept)
		outbox_follow(a, q->peer, e->acmc);
	return true;
}

static void submit(struct listing *l)
{
	reader_submit(l->query->server->reader, &l->job);
}

static void listed(struct job *job, enum status status)
{
	struct listing *l = (struct listing *)job;
	struct query *q = l->query;
	const struct requests_query *asked = &q->message.requests_query;
	struct arena *arena = l->arena;
	bool follows = asked->has_request_id && asked->follow && l->page.n_entries > 0;
	if (status == OK && q->peer && (!l->end || (follows && !follow(l)))) {
		submit(l);
		return;
	}
	struct message m = { .kind = MESSAGE_REQUESTS_PAGE, .requests_page = l->page };
	m.requests_page.page.token = asked->token;
	if (status != OK) {
		query_refuse(q, CAUSE_STORE_UNAVAILABLE, NULL);
	} else if (asked->has_request_id && l->page.n_entries == 0) {
		query_refuse(q, CAUSE_UNKNOWN_REQUEST,
			     "no such request of this ACMC is kept here");
	} else {
		complete(q->server, &m.requests_page);
		query_reply(q, &m);
	}
	arena_free(arena);
}

void requests_query(struct query *q, const struct acmc_rule *acmc)
{
	const struct requests_query *asked = &q->message.requests_query;
	if (asked->has_request_id && asked->follow && !outbox_can_watch(q->server, q->peer, &asked->request_id)) {
		query_refuse(q, CAUSE_TOO_MANY_IN_FLIGHT, "this connection follows too many requests");
		return;
	}
	struct arena *a = arena_new(0);
	struct listing *l = a ? arena_alloc(a, sizeof *l) : NULL;
	if (l)
		l->page.entries = arena_array(a, ENTRIES_MAX + 1, sizeof *l->page.entries);
	if (l && !acmc->sees_all_requests)
		l->acmc = arena_str(a, acmc->name);
	if (l)
		l->own = arena_str(a, q->server->live->config->mc_system_id);
	if (!l || !l->page.entries || !l->own.ptr || (!acmc->sees_all_requests && !l->acmc.ptr)) {
		arena_free(a);
		query_refuse(q, CAUSE_STORE_UNAVAILABLE, "out of memory");
		return;
	}
	l->query = q;
	l->arena = a;
	l->max = asked->max && asked->max < ENTRIES_MAX ? asked->max : ENTRIES_MAX;
	l->most_bytes = peer_max_frame(q->peer) / 4 * 3;
	l->has_after = asked->has_after;
	l->after = asked->after;
	l->job.run = asked->has_request_id ? run_get : run_list;
	l->job.done = listed;
	submit(l);
}

/* --- users and digests --- */

static struct str target_of(const struct query *q)
{
	return q->message.kind == MESSAGE_USERS_QUERY ? q->message.users_query.mc_system_id :
							q->message.digest_query.mc_system_id;
}

static bool about_belief(const struct query *q)
{
	return q->message.kind == MESSAGE_USERS_QUERY ? q->message.users_query.believed :
							q->message.digest_query.believed;
}

void home_held_query(struct query *q, const struct acmc_rule *acmc)
{
	struct server *s = q->server;
	const struct partner_rule *partner;
	enum cause cause = authorise_query_target(s->live->config, acmc, target_of(q), &partner);
	struct partner_link *l = partner_link_find(s, target_of(q));
	if (cause != CAUSE_NO_CAUSE)
		query_refuse(q, cause, NULL);
	else if (about_belief(q))
		held_query(q, STORE_BELIEVED, partner->mc_system_id);
	else if (!l)
		query_refuse(q, CAUSE_PARTNER_UNREACHABLE, NULL);
	else
		partner_link_ask(l, q, acmc->name);
}
