#include "acms/home_commit.h"

#include "common/content.h"
#include "common/crypto.h"
#include "common/receipt.h"
#include "common/text.h"

static bool digest_content(struct arena *work, const struct setup *s, uint8_t digest[DIGEST_SIZE])
{
	struct str content = setup_content(work, s);
	return content.ptr && crypto_sha256(content, digest) == OK;
}

static struct str *mc_ids_of(struct arena *a, const struct setup *s)
{
	struct str *ids = arena_array(a, s->n_users, sizeof *ids);
	for (size_t i = 0; ids && i < s->n_users; i++)
		ids[i] = s->users[i].mc_id;
	return ids;
}

/* --- accepting --- */

static bool same_targets(const struct asked_record *before, const struct home_request *r)
{
	size_t n = 0;
	for (size_t i = 0; i < r->n_routes; i++) {
		bool found = false;
		for (size_t j = 0; j < before->setup.n_targets && !found; j++)
			found = str_eq(before->setup.targets[j], r->routes[i].target);
		n += found;
	}
	return n == r->n_routes && n == before->setup.n_targets;
}

static void audit_request(struct store_txn *t, struct arena *work, const struct home_request *r,
			  const struct verdict *v, uint64_t now_ms)
{
	struct audit_record entry = { .at_ms = now_ms,
				      .action = AUDIT_ASK,
				      .home = r->own,
				      .certificate = r->certificate,
				      .request = r->setup.request_id,
				      .claimed_acmc = r->setup.home_acmc_id,
				      .cause = v->cause,
				      .mc_ids = mc_ids_of(work, &r->setup),
				      .n_mc_ids = r->setup.n_users,
				      .acmc = r->acmc,
				      .operation = r->setup.operation,
				      .identities = v->identities,
				      .n_identities = v->n_identities,
				      .detail = str_of(v->detail) };
	struct str *targets = arena_array(work, r->n_routes, sizeof *targets);
	for (size_t i = 0; targets && i < r->n_routes; i++) /* as named, which may be anything */
		targets[i] = text_cut(r->routes[i].target, MC_SYSTEM_ID_MAX);
	entry.targets = targets;
	entry.n_targets = r->n_routes;
	if (v->cause != CAUSE_NO_CAUSE)
		audit_cut_names(&entry);
	if (!targets || !entry.mc_ids)
		store_fail_memory(t);
	else
		store_append_audit(t, work, &entry);
}

void home_refuse(struct store_txn *t, struct arena *work, const struct home_request *r,
		 const struct verdict *v, uint64_t now_ms)
{
	audit_request(t, work, r, v, now_ms);
}

static void accept_target(struct store_txn *t, struct arena *work, const struct home_request *r,
			  const struct asked_record *asked, const struct route *route, struct home_answered *out)
{
	struct outbox_record waits = { asked->accepted_ms, r->setup.expires_ms, r->acmc, r->bytes };
	out->target = route->target;
	if (route->cause == CAUSE_NO_CAUSE)
		store_put_outbox(t, work, route->target, r->setup.request_id, &waits);
	else
		out->answered = home_get_answer(t, work, r->setup.request_id, asked, route->target, &out->answer);
}

bool home_get_answer(struct store_txn *t, struct arena *a, struct request_id id, const struct asked_record *asked,
		     struct str target, struct answer_record *out)
{
	size_t i = 0;
	while (i < asked->n_refused && !str_eq(asked->setup.targets[i], target))
		i++;
	if (i == asked->n_refused || asked->refused[i] == CAUSE_NO_CAUSE)
		return store_get_answer(t, a, id, target, out);
	*out = (struct answer_record){ .answered_ms = asked->accepted_ms,
				       .origin = ORIGIN_HOME_ACMS,
				       .cause = (enum cause)asked->refused[i] };
	return true;
}

static void look_again(struct store_txn *t, struct arena *work, const struct home_request *r,
		       const struct asked_record *before, struct home_accepted *out)
{
	for (size_t i = 0; i < r->n_routes; i++) {
		struct home_answered *known = &out->targets[i];
		known->target = r->routes[i].target;
		known->answered = home_get_answer(t, work, r->setup.request_id, before, known->target,
						  &known->answer);
	}
}

/* In the record of the request itself: a hundred bad targets beside a good one make no records. False: out of memory. */
static bool note_targets(struct arena *work, const struct home_request *r, struct asked_record *asked)
{
	struct str *targets = arena_array(work, r->n_routes, sizeof *targets);
	uint64_t *refused = arena_array(work, r->n_routes, sizeof *refused);
	bool any = false;
	for (size_t i = 0; targets && refused && i < r->n_routes; i++) {
		targets[i] = r->routes[i].target;
		refused[i] = r->routes[i].cause;
		any |= refused[i] != CAUSE_NO_CAUSE;
	}
	asked->setup.targets = targets;
	asked->setup.n_targets = r->n_routes;
	asked->refused = refused;
	asked->n_refused = any ? r->n_routes : 0;
	return targets && refused;
}

void home_accept(struct store_txn *t, struct arena *work, const struct home_request *r,
		 uint64_t now_ms, struct home_accepted *out)
{
	struct asked_record before, asked = { .accepted_ms = now_ms,
					      .acmc = r->acmc,
					      .certificate = r->certificate,
					      .setup = r->setup };
	*out = (struct home_accepted){ .accepted_ms = now_ms, .deadline_ms = r->setup.expires_ms };
	out->targets = arena_array(work, r->n_routes, sizeof *out->targets);
	if (!out->targets || !note_targets(work, r, &asked) || !digest_content(work, &r->setup, asked.content)) {
		store_fail_memory(t);
		return;
	}
	memcpy(out->content, asked.content, DIGEST_SIZE);
	if (store_get_asked(t, work, r->setup.request_id, &before)) {
		out->repeated = str_eq(before.acmc, r->acmc) && same_targets(&before, r) &&
				memcmp(before.content, asked.content, DIGEST_SIZE) == 0;
		out->reused = !out->repeated;
		out->accepted_ms = before.accepted_ms;
		out->deadline_ms = before.setup.expires_ms;
		if (out->repeated)
			look_again(t, work, r, &before, out);
		return;
	}
	if (r->late) {
		out->late = true;
		if (refusal_grant(r->claim))
			audit_request(t, work, r, r->late, now_ms);
		return;
	}
	store_put_asked(t, work, r->setup.request_id, &asked);
	for (size_t i = 0; i < r->n_routes; i++)
		accept_target(t, work, r, &asked, &r->routes[i], &out->targets[i]);
	audit_request(t, work, r, &(struct verdict){ .cause = CAUSE_NO_CAUSE }, now_ms);
}

/* --- answers --- */

/* What one answer changes in what we believe. */
struct believing {
	struct store_txn *txn;
	struct arena *work;
	const struct home_answer *answer;
	const struct setup *setup;
	uint64_t done_ms;          /* by the partner's clock */
	uint64_t asked_ms, now_ms; /* by ours: when we accepted it */
	struct request_id by;      /* whose answer was looked at last, */
	bool any, by_was_known;    /* and whether we had it when we accepted this one */
};

/* Whether we had that request's answer when we accepted this one. */
static bool was_known(struct believing *b, const struct request_id *by)
{
	struct answer_record before;
	if (!b->any || memcmp(&b->by, by, sizeof *by) != 0) {
		b->any = true;
		b->by = *by;
		b->by_was_known = store_get_answer(b->txn, b->work, *by, b->answer->partner, &before) &&
				  before.answered_ms <= b->asked_ms;
	}
	return b->by_was_known;
}

/*
 * Whether what we believe was done later. Times are by the partner's clock: answers that are asked for again after an outage
 * come in another order than that in which things were done. But its clock may have been put back: what we asked for when
 * we had the other's answer was done after it, whatever that clock says.
 */
static bool is_older(struct believing *b, const struct user_record *had, uint64_t revision)
{
	if (b->done_ms > had->changed_ms || (b->done_ms == had->changed_ms && revision >= had->revision))
		return false;
	return !was_known(b, &had->by);
}

/* What the partner has of the user now, as far as we can know. */
static void believe(struct believing *b, const struct setup_user *u, uint64_t revision)
{
	const struct setup *s = b->setup;
	struct str partner = b->answer->partner;
	struct user_record had, has = { .revision = revision,
					.service_ids = u->service_ids,
					.n_service_ids = u->n_service_ids,
					.created_ms = b->done_ms,
					.changed_ms = b->done_ms,
					.by = s->request_id,
					.validity = s->validity };
	/* Who is new there is mostly new here, and need not be looked for first. */
	if (revision == 1 && store_add_user(b->txn, b->work, STORE_BELIEVED, partner, u->mc_id, &has))
		return;
	bool known = store_get_user(b->txn, b->work, STORE_BELIEVED, partner, u->mc_id, &had);
	if (known && is_older(b, &had, revision))
		return;
	bool ended = known && had.validity.not_after_ms && had.validity.not_after_ms <= b->done_ms;
	bool there = known && !ended; /* one that had ended was set up anew */
	if (there)
		has.created_ms = had.created_ms;
	if (s->operation == OPERATION_SETUP && u->n_service_ids == 0 && there) {
		has.service_ids = had.service_ids;
		has.n_service_ids = had.n_service_ids;
	}
	if (s->operation == OPERATION_SETUP && !s->has_validity && there)
		has.validity = had.validity;
	store_put_user(b->txn, b->work, STORE_BELIEVED, partner, u->mc_id, known ? &had : NULL, &has);
}

/*
 * Removed: a record whose validity has ended, which look-ups pass over. It stays for as long as an answer may still come of
 * what was done to the user before.
 */
static void believe_removed(struct believing *b, struct str mc_id)
{
	struct user_record had;
	struct str partner = b->answer->partner;
	bool known = store_get_user(b->txn, b->work, STORE_BELIEVED, partner, mc_id, &had);
	struct user_record gone = { .revision = known ? had.revision : 1,
				    .created_ms = b->done_ms,
				    .changed_ms = b->done_ms,
				    .by = b->answer->request_id,
				    .validity = { 0, b->done_ms < b->now_ms ? b->done_ms : b->now_ms } };
	if (!known || !is_older(b, &had, had.revision))
		store_put_user(b->txn, b->work, STORE_BELIEVED, partner, mc_id, known ? &had : NULL, &gone);
}

/* All but those that are named with a cause. */
static void believe_all_removed(struct believing *b)
{
	const struct setup_response *r = b->answer->response;
	const struct setup *s = b->setup;
	bool *named = arena_array(b->work, s->n_users + 1, sizeof *named); /* the last: of none */
	size_t at = 0;
	if (!named) {
		store_fail_memory(b->txn);
		return;
	}
	for (size_t i = 0; i < r->n_identities; i++) {
		at = setup_find_user(s, r->identities[i].mc_id, at);
		named[at] = true;
	}
	for (size_t i = 0; i < s->n_users; i++) {
		if (!named[i])
			believe_removed(b, s->users[i].mc_id);
	}
}

static void update_believed(struct store_txn *t, struct arena *work, const struct home_answer *a, const struct setup *s,
			    const struct answer_record *answer, uint64_t asked_ms)
{
	const struct setup_response *r = a->response;
	struct believing b = { .txn = t, .work = work, .answer = a, .setup = s, .asked_ms = asked_ms,
			       .now_ms = answer->answered_ms };
	if (!r || (r->cause != CAUSE_NO_CAUSE && r->cause != CAUSE_PARTLY_DONE))
		return;
	b.done_ms = r->done_ms ? r->done_ms : b.now_ms;
	if (s->operation == OPERATION_REMOVE) {
		believe_all_removed(&b);
	} else if (a->version < 2) { /* which says no revisions */
		for (size_t i = 0; i < s->n_users; i++)
			believe(&b, &s->users[i], 1);
	} else {
		for (size_t i = 0; i < answer->n_revisions; i++) {
			if (answer->revisions[i])
				believe(&b, &s->users[i], answer->revisions[i]);
		}
	}
}

static struct answer_record answer_of(const struct home_answer *a, uint64_t now_ms)
{
	const struct setup_response *r = a->response;
	if (!r)
		return (struct answer_record){ .answered_ms = now_ms,
					       .origin = ORIGIN_HOME_ACMS,
					       .cause = a->cause,
					       .detail = a->detail && *a->detail ? str_of(a->detail) :
										   STR_NONE,
					       .identities = a->identities,
					       .n_identities = a->n_identities };
	return (struct answer_record){ .answered_ms = now_ms,
				       .origin = r->origin,
				       .cause = r->cause,
				       .detail = r->detail,
				       .identities = r->identities,
				       .n_identities = r->n_identities,
				       .receipt = r->receipt,
				       .done_ms = r->done_ms,
				       .decided_by = r->decided_by };
}

static void audit_answer(struct store_txn *t, struct arena *work, const struct home_answer *a,
			 const struct asked_record *asked, const struct answer_record *answer)
{
	struct audit_record entry = { .at_ms = answer->answered_ms,
				      .action = AUDIT_ANSWER,
				      .home = a->own,
				      .certificate = asked->certificate,
				      .request = a->request_id,
				      .claimed_acmc = asked->setup.home_acmc_id,
				      .cause = answer->cause,
				      .mc_ids = mc_ids_of(work, &asked->setup),
				      .n_mc_ids = asked->setup.n_users,
				      .acmc = asked->acmc,
				      .targets = &a->partner,
				      .n_targets = 1,
				      .operation = asked->setup.operation,
				      .decided_by = answer->decided_by,
				      .identities = answer->identities,
				      .n_identities = answer->n_identities,
				      .detail = answer->detail };
	if (answer->cause != CAUSE_NO_CAUSE && answer->cause != CAUSE_PARTLY_DONE)
		audit_cut_names(&entry);
	if (!entry.mc_ids)
		store_fail_memory(t);
	else
		store_append_audit(t, work, &entry);
}

static bool is_transient(const struct setup_response *r)
{
	return !r->result && cause_kind(r->cause) == CAUSE_KIND_TRANSIENT;
}

/*
 * What comes after we had to answer that we do not know may take that answer's place, but not by telling that nothing
 * can be told: by then the partner may have forgotten what it did.
 */
static bool supersedes(const struct home_answer *a, const struct answer_record *before)
{
	enum cause cause = a->response ? a->response->cause : CAUSE_REQUEST_EXPIRED;
	return cause != CAUSE_REQUEST_EXPIRED && cause_kind(cause) != CAUSE_KIND_TRANSIENT &&
	       before->origin == ORIGIN_HOME_ACMS && cause_kind(before->cause) == CAUSE_KIND_UNKNOWN;
}

static bool is_wanted(struct store_txn *t, struct arena *work, const struct home_answer *a)
{
	struct outbox_record waits;
	struct answer_record before;
	return store_get_outbox(t, work, a->partner, a->request_id, &waits) ||
	       (store_get_answer(t, work, a->request_id, a->partner, &before) &&
		supersedes(a, &before));
}

/* What a partner certifies with this answer, made of what was asked and answered as it makes them. */
static enum status make_claims(struct arena *a, const struct asked_record *asked, struct str partner, struct str own,
			       const struct answer_record *answer, struct str *out)
{
	const struct setup *s = &asked->setup;
	struct receipt_outcome outcome = { .partner = partner,
					   .home = own,
					   .content = asked->content,
					   .done_ms = answer->done_ms,
					   .cause = answer->cause,
					   .identities = answer->identities,
					   .n_identities = answer->n_identities,
					   .revisions = answer->revisions,
					   .n_revisions = answer->n_revisions,
					   .decided_by = answer->decided_by.acmc };
	struct receipt_claims claims;
	enum status status = receipt_from_setup(a, s, &outcome, &claims, NULL);
	*out = status == OK ? receipt_encode(a, &claims) : STR_NONE;
	return status == OK && !out->ptr ? ERR_MEMORY : status;
}

/* As whoever looks at it later: what cannot be decoded then is none. */
static enum status read_again(struct arena *work, struct str claims, const struct setup *s)
{
	struct receipt_claims c;
	struct error e;
	enum status status = receipt_decode(work, claims, &c, &e);
	return status == OK && receipt_misfit(&c, s) ? ERR_INPUT : status;
}

/* What cannot be found out for want of memory fails the transaction: the partner is asked again, and is not to blame. */
static const char *receipt_fault(struct store_txn *t, struct arena *work, const struct home_answer *a, const struct asked_record *asked,
				 const struct answer_record *answer)
{
	struct str claims;
	if (!a->receipt || !answer->done_ms)
		return "a response without a receipt";
	const char *misdated = receipt_misdated(answer->done_ms, asked->accepted_ms, asked->setup.expires_ms,
						answer->answered_ms);
	if (misdated)
		return misdated;
	enum status status = make_claims(work, asked, a->partner, a->own, answer, &claims);
	if (status == OK)
		status = read_again(work, claims, &asked->setup);
	if (status == ERR_INPUT)
		return "a response that there can be no receipt for";
	if (status == OK)
		status = merkle_check(a->memo, claims, &a->receipt->path, &a->receipt->root);
	if (status == ERR_INPUT)
		return "a receipt for something else than was asked and answered";
	if (status != OK)
		store_fail_memory(t);
	return NULL;
}

/* NULL: it is an answer, and its revisions are in the record. */
static const char *fault_of(struct store_txn *t, struct arena *work, const struct home_answer *a, const struct asked_record *asked,
			    struct answer_record *answer)
{
	const struct setup_response *r = a->response;
	const char *fault = r ? setup_response_fault(&asked->setup, a->partner, a->version, r) : NULL;
	if (fault == setup_fault_memory) {
		store_fail_memory(t);
		return NULL;
	}
	if (fault || !r || a->version < 2)
		return fault;
	if (!setup_revisions(work, &asked->setup, r, &answer->revisions, &answer->n_revisions)) {
		store_fail_memory(t);
		return NULL;
	}
	bool done = r->cause == CAUSE_NO_CAUSE || r->cause == CAUSE_PARTLY_DONE;
	return done ? receipt_fault(t, work, a, asked, answer) : NULL;
}

void home_answer(struct store_txn *t, struct arena *work, const struct home_answer *a,
		 uint64_t now_ms, struct home_recorded *out)
{
	struct asked_record read;
	const struct asked_record *asked = a->asked ? a->asked : &read;
	*out = (struct home_recorded){ .recorded = false };
	if (!is_wanted(t, work, a) || (!a->asked && !store_get_asked(t, work, a->request_id, &read)))
		return;
	out->setup = asked->setup;
	out->answer = answer_of(a, now_ms);
	out->fault = fault_of(t, work, a, asked, &out->answer);
	out->later = !out->fault && a->response && is_transient(a->response);
	if (out->fault || out->later || store_status(t) != OK)
		return;
	store_put_answer(t, work, a->request_id, a->partner, &out->answer);
	store_delete_outbox(t, a->partner, a->request_id);
	update_believed(t, work, a, &out->setup, &out->answer, asked->accepted_ms);
	audit_answer(t, work, a, asked, &out->answer);
	out->recorded = true;
}

void home_response(const struct setup *setup, struct str target, const struct answer_record *answer,
		   struct setup_response *out)
{
	struct verdict v = { answer->cause, (struct identity_cause *)answer->identities,
			     answer->n_identities, NULL };
	setup_to_response(setup, target, answer->origin, &v, out);
	out->detail = answer->detail;
	out->revision_of_each = answer->revisions;
	out->n_of_each = answer->n_revisions;
	out->done_ms = answer->done_ms;
	out->decided_by = answer->decided_by;
}

bool home_receipt(struct arena *a, const struct asked_record *asked, struct str target, struct str own,
		  const struct answer_record *answer, struct str *out)
{
	struct receipt_parts parts = { .proof = answer->receipt };
	*out = STR_NONE;
	if (!answer->receipt.ptr)
		return true;
	parts.content = setup_content(a, &asked->setup);
	if (!parts.content.ptr || make_claims(a, asked, target, own, answer, &parts.claims) != OK)
		return false;
	*out = receipt_join(a, &parts);
	return out->ptr;
}

/* --- pruning --- */

enum { PRUNE_LOOKS = 500, PRUNE_DELETES = 100 };

struct pruning {
	struct store_txn *txn;
	struct arena *work, *scratch; /* scratch: for the answers of one request at a time */
	uint64_t before_ms;
	size_t looked, n;
	struct request_id last;
	struct { struct request_id id; struct str *targets; size_t n_targets; } old[PRUNE_DELETES];
};

/* An answer that cannot be read was there by the deadline. */
static bool was_answered(struct pruning *p, struct request_id id, const struct asked_record *r, struct str target)
{
	struct answer_record answer;
	arena_reset(p->scratch);
	if (home_get_answer(p->txn, p->scratch, id, r, target, &answer))
		return answer.answered_ms < p->before_ms;
	return store_pass_over(p->txn) && r->setup.expires_ms < p->before_ms;
}

static bool all_answered(struct pruning *p, struct request_id id, const struct asked_record *r)
{
	for (size_t i = 0; i < r->setup.n_targets; i++) {
		if (!was_answered(p, id, r, r->setup.targets[i]))
			return false;
	}
	return true;
}

static void note_old(struct pruning *p, struct request_id id, const struct asked_record *r)
{
	struct str *targets = arena_array(p->work, r->setup.n_targets, sizeof *targets);
	bool good = targets != NULL;
	for (size_t i = 0; good && i < r->setup.n_targets; i++) {
		targets[i] = arena_str(p->work, r->setup.targets[i]);
		good = targets[i].ptr != NULL;
	}
	if (!good)
		store_fail_memory(p->txn); /* without its targets their answers would stay for ever */
	p->old[p->n].id = id;
	p->old[p->n].targets = targets;
	p->old[p->n++].n_targets = good ? r->setup.n_targets : 0;
}

static bool look(void *context, struct request_id id, const struct asked_record *r)
{
	struct pruning *p = context;
	p->last = id;
	if (r && all_answered(p, id, r))
		note_old(p, id, r);
	return ++p->looked < PRUNE_LOOKS && p->n < PRUNE_DELETES;
}

bool home_prune(struct store_txn *t, struct arena *work, uint64_t keep_ms, uint64_t now_ms,
		struct request_id *after)
{
	struct pruning p = { .txn = t, .work = work, .scratch = arena_new(0),
			     .before_ms = now_ms > keep_ms ? now_ms - keep_ms : 0 };
	if (!p.scratch) {
		store_fail_memory(t);
		return false;
	}
	bool end = store_list_asked(t, after, p.before_ms, look, &p);
	arena_free(p.scratch);
	for (size_t i = 0; i < p.n; i++) {
		for (size_t j = 0; j < p.old[i].n_targets; j++)
			store_delete_answer(t, p.old[i].id, p.old[i].targets[j]);
		store_delete_asked(t, p.old[i].id);
	}
	*after = end ? (struct request_id){ { 0 } } : p.last;
	return p.n == PRUNE_DELETES;
}
