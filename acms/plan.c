#include "acms/plan.h"

#include <stdlib.h>

static const size_t none = SIZE_MAX;

/* An MC service ID that the request wants for a user. */
struct claim {
	size_t user;
	struct str mc_service_id;
	size_t next;     /* claim on what the same user of the request gives up */
	bool in_the_way; /* it is another user's, and stays so */
};

struct planning {
	struct arena *arena;
	const struct plan_question *q;
	const struct setup *setup;
	struct plan *out;
	enum cause *causes;   /* of each MC ID by itself: 403, 404 */
	bool *refused;        /* each user */
	bool any_refused;
	struct claim *claims; /* one for each MC service ID of the setup, in order; NULL: none is another user's */
	size_t *given;        /* for each user the first claim on what it gives up */
	size_t *to_refuse;    /* users whose refusal others have not felt yet */
	size_t n_to_refuse;
};

bool plan_applies(const struct plan *p)
{
	return p->verdict.cause == CAUSE_NO_CAUSE || p->verdict.cause == CAUSE_PARTLY_DONE;
}

/* --- each user by itself --- */

static void refuse(struct planning *p, size_t user)
{
	if (p->refused[user])
		return;
	p->refused[user] = p->any_refused = true;
	p->to_refuse[p->n_to_refuse++] = user;
}

static bool same_ids(const struct setup_user *u, const struct user_record *r)
{
	if (u->n_service_ids != r->n_service_ids)
		return false;
	for (size_t i = 0; i < u->n_service_ids; i++) {
		if (u->service_ids[i].service != r->service_ids[i].service ||
		    !str_eq(u->service_ids[i].mc_service_id, r->service_ids[i].mc_service_id))
			return false;
	}
	return true;
}

static bool same_validity(struct validity a, struct validity b)
{
	return a.not_before_ms == b.not_before_ms && a.not_after_ms == b.not_after_ms;
}

/* The user as it is to be, from how it is, if it is there. */
static void wanted(const struct planning *p, size_t i, struct user_record *r)
{
	const struct setup_user *u = &p->setup->users[i];
	const struct plan_user *k = &p->q->known[i];
	bool update = p->setup->operation == OPERATION_UPDATE;
	*r = k->found ? k->record : (struct user_record){ .created_ms = p->q->now_ms };
	if (u->n_service_ids > 0 || update) {
		r->service_ids = u->service_ids;
		r->n_service_ids = u->n_service_ids;
	}
	if (p->setup->has_validity || update)
		r->validity = p->setup->has_validity ? p->setup->validity : (struct validity){ 0 };
}

static bool is_so_already(const struct planning *p, size_t i)
{
	const struct setup_user *u = &p->setup->users[i];
	const struct plan_user *k = &p->q->known[i];
	struct user_record r;
	if (!k->found)
		return p->setup->operation == OPERATION_REMOVE;
	if (p->setup->operation == OPERATION_REMOVE)
		return false;
	wanted(p, i, &r);
	return same_validity(r.validity, k->record.validity) &&
	       (r.service_ids == k->record.service_ids || same_ids(u, &k->record));
}

/* 403, 404. Repeating what is done already does no harm, whatever revision is expected. */
static enum cause judge_user(const struct planning *p, size_t i)
{
	const struct plan_user *k = &p->q->known[i];
	uint64_t expected = p->setup->users[i].expected_revision;
	if (p->setup->operation == OPERATION_SETUP || is_so_already(p, i))
		return CAUSE_NO_CAUSE;
	if (!k->found)
		return CAUSE_UNKNOWN_USER;
	if (p->setup->operation == OPERATION_REMOVE && expected == 0)
		return CAUSE_NO_CAUSE;
	return expected == k->record.revision ? CAUSE_NO_CAUSE : CAUSE_REVISION_MISMATCH;
}

static void judge_users(struct planning *p)
{
	size_t at = 0;
	for (size_t i = 0; i < p->setup->n_users; i++) {
		bool outside = false;
		for (; at < p->q->n_refused &&
		       str_eq(p->q->refused[at].mc_id, p->setup->users[i].mc_id); at++)
			outside = true;
		if (!outside)
			p->causes[i] = judge_user(p, i);
		if (outside || p->causes[i] != CAUSE_NO_CAUSE)
			refuse(p, i);
	}
}

/* --- whose MC service IDs --- */

static int compare_users(const void *a, const void *b)
{
	return str_cmp(((const struct setup_user *)a)->mc_id, ((const struct setup_user *)b)->mc_id);
}

static bool among(const struct user_service_id *ids, size_t n, struct str mc_service_id)
{
	for (size_t i = 0; i < n; i++) {
		if (str_eq(ids[i].mc_service_id, mc_service_id))
			return true;
	}
	return false;
}

/* The user of the request that has an MC service ID now, and no longer has it afterwards; none. */
static size_t who_gives_up(const struct planning *p, const struct owner_record *owner,
			   struct str mc_service_id)
{
	struct setup_user key = { .mc_id = owner->mc_id };
	const struct setup_user *u = NULL;
	if (str_eq(owner->home, p->q->home))
		u = bsearch(&key, p->setup->users, p->setup->n_users, sizeof key, compare_users);
	if (!u || among(u->service_ids, u->n_service_ids, mc_service_id) ||
	    (u->n_service_ids == 0 && p->setup->operation == OPERATION_SETUP))
		return none;
	return (size_t)(u - p->setup->users);
}

static bool is_anothers(const struct planning *p, size_t user, const struct plan_owner *owner)
{
	return owner->found && !(str_eq(owner->owner.home, p->q->home) &&
				 str_eq(owner->owner.mc_id, p->setup->users[user].mc_id));
}

static void judge_claim(struct planning *p, size_t c, const struct plan_owner *owner)
{
	struct claim *claim = &p->claims[c];
	if (!is_anothers(p, claim->user, owner))
		return;
	size_t giver = who_gives_up(p, &owner->owner, claim->mc_service_id);
	if (giver == none) {
		claim->in_the_way = true;
		refuse(p, claim->user);
		return;
	}
	claim->next = p->given[giver];
	p->given[giver] = c;
}

/* Whether some MC service ID of the request is another user's: mostly none is. */
static bool any_anothers(const struct planning *p)
{
	for (size_t i = 0; i < p->setup->n_users; i++) {
		for (size_t j = 0; j < p->setup->users[i].n_service_ids; j++) {
			if (is_anothers(p, i, &p->q->known[i].owners[j]))
				return true;
		}
	}
	return false;
}

/*
 * Those that are refused at (d) are not looked at any further. In all or nothing a user that is refused is no reason
 * to refuse others.
 */
static bool judge_claims(struct planning *p)
{
	size_t c = 0;
	if (!any_anothers(p))
		return true;
	p->claims = arena_array_raw(p->arena, p->setup->n_service_ids, sizeof *p->claims);
	if (!p->claims)
		return false;
	for (size_t i = 0; i < p->setup->n_users; i++) {
		const struct setup_user *u = &p->setup->users[i];
		bool outside = p->refused[i] && p->causes[i] == CAUSE_NO_CAUSE;
		for (size_t j = 0; j < u->n_service_ids; j++, c++) {
			p->claims[c] = (struct claim){ i, u->service_ids[j].mc_service_id, none, false };
			if (!outside)
				judge_claim(p, c, &p->q->known[i].owners[j]);
		}
	}
	return true;
}

/*
 * What a refused user would have given up stays its own, so whoever wanted that is refused too, and so on. What
 * remains is the largest part of the request that is good by itself.
 */
static void spread_refusals(struct planning *p)
{
	while (p->n_to_refuse > 0) {
		size_t user = p->to_refuse[--p->n_to_refuse];
		for (size_t c = p->given[user]; c != none; c = p->claims[c].next) {
			p->claims[c].in_the_way = true;
			refuse(p, p->claims[c].user);
		}
	}
}

/* --- the verdict --- */

/* Each identity of a user once; the user's are those from first on. */
static void name_identity(struct verdict *v, size_t first, const struct identity_cause *named)
{
	struct str id = named->mc_service_id;
	for (size_t i = first; i < v->n_identities; i++) {
		struct str before = v->identities[i].mc_service_id;
		if (id.ptr && before.ptr ? str_eq(id, before) : !id.ptr && !before.ptr)
			return;
	}
	v->identities[v->n_identities++] = *named;
}

static bool name_refused(struct planning *p)
{
	const struct plan_question *q = p->q;
	size_t most = q->n_refused + p->setup->n_users + p->setup->n_service_ids, at = 0, c = 0;
	if (!p->any_refused)
		return true;
	struct identity_cause *ids = arena_array_raw(p->arena, most, sizeof *ids);
	struct verdict *v = &p->out->verdict;
	if (!ids)
		return false;
	v->identities = ids;
	for (size_t i = 0; i < p->setup->n_users; i++) {
		const struct setup_user *u = &p->setup->users[i];
		size_t first = v->n_identities;
		for (; at < q->n_refused && str_eq(q->refused[at].mc_id, u->mc_id); at++)
			name_identity(v, first, &q->refused[at]);
		if (p->causes[i] != CAUSE_NO_CAUSE)
			name_identity(v, first, &(struct identity_cause){ u->mc_id, STR_NONE, p->causes[i] });
		for (size_t j = 0; j < u->n_service_ids; j++, c++) {
			if (p->claims && p->claims[c].in_the_way)
				name_identity(v, first,
					      &(struct identity_cause){ u->mc_id, p->claims[c].mc_service_id,
									CAUSE_MC_SERVICE_ID_IN_USE });
		}
	}
	return true;
}

/* All of it, the good ones, or nothing; the cause of the first identity stands for all then. */
static enum cause whole_cause(const struct planning *p)
{
	size_t good = 0;
	if (p->out->verdict.n_identities == 0)
		return CAUSE_NO_CAUSE;
	for (size_t i = 0; i < p->setup->n_users; i++)
		good += !p->refused[i];
	return p->setup->best_effort && good > 0 ? CAUSE_PARTLY_DONE :
						   p->out->verdict.identities[0].cause;
}

static bool present_revisions(struct planning *p)
{
	struct plan *out = p->out;
	out->revisions = arena_array(p->arena, p->setup->n_users, sizeof *out->revisions);
	for (size_t i = 0; out->revisions && i < p->setup->n_users; i++) {
		if (p->causes[i] == CAUSE_REVISION_MISMATCH)
			out->revisions[i] = p->q->known[i].record.revision;
	}
	out->n_revisions = p->setup->n_users;
	return out->revisions != NULL;
}

/* --- the changes --- */

static void change_user(struct planning *p, size_t i)
{
	const struct plan_user *k = &p->q->known[i];
	struct plan_change *c = &p->out->changes[i];
	if (is_so_already(p, i)) {
		c->kind = USER_UNCHANGED;
		c->record = k->record;
		p->out->unchanged++;
		return;
	}
	if (p->setup->operation == OPERATION_REMOVE) {
		c->kind = USER_REMOVED;
		c->record = k->record;
		p->out->removed++;
		return;
	}
	c->kind = k->found ? USER_REPLACED : USER_CREATED;
	wanted(p, i, &c->record);
	c->record.revision = k->found ? k->record.revision + 1 : 1;
	c->record.changed_ms = p->q->now_ms;
	c->record.by = p->setup->request_id;
	p->out->created += !k->found;
	p->out->replaced += k->found;
}

/* Of those done. */
static bool revisions_after(struct planning *p)
{
	struct plan *out = p->out;
	if (p->setup->operation == OPERATION_REMOVE)
		return true;
	out->revisions = arena_array_raw(p->arena, p->setup->n_users, sizeof *out->revisions);
	for (size_t i = 0; out->revisions && i < p->setup->n_users; i++)
		out->revisions[i] = p->refused[i] ? 0 : out->changes[i].record.revision;
	out->n_revisions = p->setup->n_users;
	return out->revisions != NULL;
}

/* MC service IDs that a user had, and does not have any more. Another one may take them: puts come after. */
static bool release(struct planning *p)
{
	struct plan *out = p->out;
	size_t most = 0;
	for (size_t i = 0; i < p->setup->n_users; i++)
		most += p->q->known[i].found ? p->q->known[i].record.n_service_ids : 0;
	out->released = arena_array(p->arena, most, sizeof *out->released);
	if (!out->released)
		return false;
	for (size_t i = 0; i < p->setup->n_users; i++) {
		const struct user_record *had = &p->q->known[i].record, *has = &out->changes[i].record;
		bool removed = out->changes[i].kind == USER_REMOVED;
		if (!removed && out->changes[i].kind != USER_REPLACED)
			continue;
		for (size_t j = 0; j < had->n_service_ids; j++) {
			struct str id = had->service_ids[j].mc_service_id;
			if (removed || !among(has->service_ids, has->n_service_ids, id))
				out->released[out->n_released++] = id;
		}
	}
	return true;
}

/* The quota concerns the request as a whole. False: over it, or no memory to say more. */
static bool within_quota(struct planning *p)
{
	uint64_t held = p->q->held, most = p->q->most, more = p->out->created;
	if (more == 0 || (held < most && more <= most - held))
		return true;
	p->out->verdict = (struct verdict){
		.cause = CAUSE_USER_QUOTA_EXCEEDED,
		.detail = arena_printf(p->arena, "%llu held, %llu allowed, %llu more asked for",
				       (unsigned long long)held, (unsigned long long)most,
				       (unsigned long long)more),
	};
	return false;
}

static bool change_users(struct planning *p)
{
	struct plan *out = p->out;
	out->changes = arena_array(p->arena, p->setup->n_users, sizeof *out->changes);
	if (!out->changes)
		return false;
	for (size_t i = 0; i < p->setup->n_users; i++) {
		if (!p->refused[i])
			change_user(p, i);
	}
	if (within_quota(p))
		return revisions_after(p) && release(p);
	out->changes = NULL;
	out->created = out->replaced = out->unchanged = out->removed = 0;
	return true;
}

static bool prepare(struct planning *p)
{
	size_t n = p->setup->n_users;
	p->causes = arena_array(p->arena, n, sizeof *p->causes);
	p->refused = arena_array(p->arena, n, sizeof *p->refused);
	p->given = arena_array(p->arena, n, sizeof *p->given);
	p->to_refuse = arena_array(p->arena, n, sizeof *p->to_refuse);
	for (size_t i = 0; p->given && i < n; i++)
		p->given[i] = none;
	return p->causes && p->refused && p->given && p->to_refuse;
}

bool plan_make(struct arena *a, const struct plan_question *q, struct plan *out)
{
	struct planning p = { .arena = a, .q = q, .setup = q->setup, .out = out };
	*out = (struct plan){ .verdict = { .cause = CAUSE_NO_CAUSE } };
	if (!prepare(&p))
		return false;
	judge_users(&p);
	if (!judge_claims(&p))
		return false;
	if (q->setup->best_effort)
		spread_refusals(&p);
	if (!name_refused(&p))
		return false;
	out->verdict.cause = whole_cause(&p);
	if (plan_applies(out))
		return change_users(&p);
	return out->verdict.cause != CAUSE_REVISION_MISMATCH || present_revisions(&p);
}
