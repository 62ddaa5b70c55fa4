#include "acms/plan.h"

#include <stdlib.h>

struct planning {
	struct arena *arena;
	const struct setup *setup;
	const struct plan_user *known;
	struct str home;
	struct plan *out;
	struct identity_cause *in_use;
};

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

/* Whether the user that has an MC service ID now no longer has it afterwards. */
static bool gives_up(const struct planning *p, struct str mc_id, struct str mc_service_id)
{
	struct setup_user key = { .mc_id = mc_id };
	const struct setup_user *u = bsearch(&key, p->setup->users, p->setup->n_users, sizeof key,
					     compare_users);
	return u && u->n_service_ids > 0 &&
	       !among(u->service_ids, u->n_service_ids, mc_service_id);
}

static void check_owner(struct planning *p, const struct setup_user *u,
			const struct user_service_id *id, const struct plan_owner *owner)
{
	if (!owner->found)
		return;
	if (str_eq(owner->owner.home, p->home) &&
	    (str_eq(owner->owner.mc_id, u->mc_id) ||
	     gives_up(p, owner->owner.mc_id, id->mc_service_id)))
		return;
	p->in_use[p->out->verdict.n_identities++] =
		(struct identity_cause){ u->mc_id, id->mc_service_id, CAUSE_MC_SERVICE_ID_IN_USE };
}

/* True: an MC service ID is somebody else's. */
static bool find_conflicts(struct planning *p)
{
	for (size_t i = 0; i < p->setup->n_users; i++) {
		const struct setup_user *u = &p->setup->users[i];
		for (size_t j = 0; j < u->n_service_ids; j++)
			check_owner(p, u, &u->service_ids[j], &p->known[i].owners[j]);
	}
	if (p->out->verdict.n_identities == 0)
		return false;
	p->out->verdict.cause = CAUSE_MC_SERVICE_ID_IN_USE;
	p->out->verdict.identities = p->in_use;
	return true;
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

static void plan_user(struct planning *p, size_t i, uint64_t now_ms)
{
	const struct setup_user *u = &p->setup->users[i];
	const struct plan_user *k = &p->known[i];
	struct plan_change *c = &p->out->changes[i];
	if (k->found && (u->n_service_ids == 0 || same_ids(u, &k->record))) {
		c->kind = USER_UNCHANGED;
		c->record = k->record;
		p->out->unchanged++;
		return;
	}
	c->kind = k->found ? USER_REPLACED : USER_CREATED;
	c->record = (struct user_record){
		.revision = k->found ? k->record.revision + 1 : 1,
		.service_ids = u->service_ids,
		.n_service_ids = u->n_service_ids,
		.created_ms = k->found ? k->record.created_ms : now_ms,
		.changed_ms = now_ms,
		.by = p->setup->request_id,
	};
	p->out->created += !k->found;
	p->out->replaced += k->found;
}

/* MC service IDs that a user had, and does not have any more. Another one may take them: puts come after. */
static bool release(struct planning *p)
{
	size_t most = 0;
	for (size_t i = 0; i < p->setup->n_users; i++)
		most += p->out->changes[i].kind == USER_REPLACED ? p->known[i].record.n_service_ids : 0;
	p->out->released = arena_array(p->arena, most, sizeof *p->out->released);
	if (!p->out->released)
		return false;
	for (size_t i = 0; i < p->setup->n_users; i++) {
		const struct user_record *had = &p->known[i].record;
		const struct user_record *has = &p->out->changes[i].record;
		for (size_t j = 0; p->out->changes[i].kind == USER_REPLACED && j < had->n_service_ids; j++) {
			struct str id = had->service_ids[j].mc_service_id;
			if (!among(has->service_ids, has->n_service_ids, id))
				p->out->released[p->out->n_released++] = id;
		}
	}
	return true;
}

bool plan_setup(struct arena *a, const struct setup *setup, struct str home,
		const struct plan_user *known, uint64_t held, uint64_t most, uint64_t now_ms,
		struct plan *out)
{
	struct planning p = { a, setup, known, home, out, NULL };
	*out = (struct plan){ .verdict = { .cause = CAUSE_NO_CAUSE } };
	p.in_use = arena_array(a, setup->n_service_ids, sizeof *p.in_use);
	out->changes = arena_array(a, setup->n_users, sizeof *out->changes);
	if (!p.in_use || !out->changes)
		return false;
	if (find_conflicts(&p))
		return true;
	for (size_t i = 0; i < setup->n_users; i++)
		plan_user(&p, i, now_ms);
	if (out->created > 0 && (held >= most || out->created > most - held)) {
		out->verdict.cause = CAUSE_USER_QUOTA_EXCEEDED;
		out->verdict.detail = arena_printf(a, "%llu held, %llu allowed, %llu more asked for",
						   (unsigned long long)held, (unsigned long long)most,
						   (unsigned long long)out->created);
		return true;
	}
	return release(&p);
}
