#include "common/setup_internal.h"

/* Responses as they are made. */

static void fill_verdict(struct setup_response *out, const struct verdict *v)
{
	out->result = v->cause == CAUSE_NO_CAUSE;
	out->cause = v->cause;
	out->identities = v->identities;
	out->n_identities = v->n_identities;
	out->detail = str_of(v->detail);
}

void setup_to_response(const struct setup *setup, struct str mc_system_id, enum origin origin,
		       const struct verdict *verdict, struct setup_response *out)
{
	*out = (struct setup_response){ .request_id = setup->request_id,
					.mc_system_id = mc_system_id,
					.origin = origin,
					.as_requested = true };
	fill_verdict(out, verdict);
}

void setup_refuse(const struct setup_request *request, struct str mc_system_id, enum origin origin,
		  const struct verdict *verdict, struct setup_response *out)
{
	*out = (struct setup_response){ .request_id = request->request_id,
					.mc_system_id = mc_system_id,
					.origin = origin };
	fill_verdict(out, verdict);
	if ((int)verdict->cause / 100 == 2)
		return;
	out->mc_ids = request->mc_ids;
	out->n_mc_ids = request->n_mc_ids;
}

/* --- the two ways to say it --- */

static bool list_revisions(struct arena *a, const struct setup *s, struct setup_response *r)
{
	r->revisions = arena_array(a, r->n_of_each, sizeof *r->revisions);
	for (size_t i = 0; r->revisions && i < r->n_of_each && i < s->n_users; i++) {
		if (r->revision_of_each[i])
			r->revisions[r->n_revisions++] =
				(struct user_revision){ s->users[i].mc_id, r->revision_of_each[i] };
	}
	return r->revisions;
}

bool setup_spell_out(struct arena *a, const struct setup *setup, struct setup_response *r)
{
	if (!r->as_requested)
		return true;
	if (!setup_flatten(a, setup, r->result, &r->mc_ids, &r->service_ids) || !list_revisions(a, setup, r))
		return false;
	r->n_mc_ids = setup->n_users;
	r->n_service_ids = r->result ? setup->n_service_ids : 0;
	r->as_requested = false;
	r->revision_of_each = NULL;
	r->n_of_each = 0;
	return true;
}

bool setup_revisions(struct arena *a, const struct setup *setup, const struct setup_response *r,
		     const uint64_t **out, size_t *n)
{
	*out = r->revision_of_each;
	*n = r->n_of_each;
	if (r->n_revisions == 0)
		return true;
	uint64_t *each = arena_array(a, setup->n_users, sizeof *each);
	size_t at = 0;
	for (size_t i = 0; each && i < r->n_revisions; i++) {
		at = setup_find_user(setup, r->revisions[i].mc_id, at);
		each[at] = r->revisions[i].revision;
	}
	*out = each;
	*n = setup->n_users;
	return each;
}
