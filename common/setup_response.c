#include "common/setup_internal.h"

#include "common/cbor.h"

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

/* --- their size --- */

/* The most that it takes for a user, done or refused. */
static size_t response_bytes(const struct setup_user *u)
{
	size_t id = u->mc_id.len, done = id + 17, refused = id + 9;
	for (size_t i = 0; i < u->n_service_ids; i++) {
		size_t service_id = u->service_ids[i].mc_service_id.len;
		done += id + service_id + 11;
		refused += id + service_id + 12;
	}
	return id + 3 + (done > refused ? done : refused);
}

/* What a receipt adds: the user's part of content and claims, be it done or not. */
static size_t receipt_bytes(const struct setup_user *u)
{
	size_t n = 3 + u->mc_id.len + 8 + 1 + CBOR_HEAD_MAX;
	for (size_t i = 0; i < u->n_service_ids; i++)
		n += 1 + 3 + u->service_ids[i].mc_service_id.len;
	return n;
}

struct verdict setup_answerable(const struct setup *s, uint32_t max_frame_bytes)
{
	size_t n = 8192; /* certificates, signature, details */
	for (size_t i = 0; i < s->n_users; i++)
		n += response_bytes(&s->users[i]) + receipt_bytes(&s->users[i]);
	if (n <= max_frame_bytes)
		return (struct verdict){ .cause = CAUSE_NO_CAUSE };
	return (struct verdict){ .cause = CAUSE_TOO_MANY_IDENTITIES, .detail = "its response might not fit into a frame" };
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
