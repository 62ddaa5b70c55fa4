#include "acmc/parts.h"

#include <string.h>
#include "common/frame.h"
#include "common/message.h"

static const struct users_user *user_at(const struct parts *p, size_t i)
{
	return &p->users->items[i];
}

/* At most what a user adds to the encoded request: every field has a tag and a length of at most 3 bytes. */
static size_t user_bytes(const struct parts *p, size_t i)
{
	const struct users_user *u = user_at(p, i);
	size_t n = u->mc_id.len + 4;
	for (size_t j = u->first; j < u->first + u->n; j++)
		n += 16 + u->mc_id.len + p->users->ids[j].entry.mc_service_id.len;
	return n;
}

static size_t fixed_bytes(const struct parts *p)
{
	size_t n = 64 + p->home_acmc_id.len;
	for (size_t i = 0; i < p->n_targets; i++)
		n += p->targets[i].len + 4;
	return n;
}

bool parts_split(struct parts *p, struct request_id base, const struct limits *server,
		 const struct limits *own, size_t *too_large)
{
	uint32_t frame = server->max_frame_bytes < own->max_frame_bytes ? server->max_frame_bytes :
									  own->max_frame_bytes;
	size_t fixed = fixed_bytes(p), bytes = SIZE_MAX, n = p->users->n;
	p->n = 0;
	*too_large = n;
	p->items = arena_array(p->arena, n, sizeof *p->items);
	if (!p->items)
		return false;
	for (size_t i = 0; i < n; i++) {
		size_t more = user_bytes(p, i);
		if (fixed + more > frame / 4 ||
		    user_at(p, i)->n > server->max_mc_service_ids_per_mc_id) {
			*too_large = i;
			return false;
		}
		struct part *last = p->n ? &p->items[p->n - 1] : NULL;
		if (!last || last->n_users >= server->max_mc_ids || bytes + more > frame / 4) {
			last = &p->items[p->n];
			*last = (struct part){ request_id_part(base, (uint32_t)p->n), i, 0 };
			p->n++;
			bytes = fixed;
		}
		last->n_users++;
		bytes += more;
	}
	return true;
}

bool parts_request(const struct parts *p, size_t i, struct arena *a, struct setup_request *out)
{
	const struct part *part = &p->items[i];
	const struct users_user *first = user_at(p, part->first_user);
	const struct users_user *last = first + part->n_users - 1;
	size_t n_ids = last->first + last->n - first->first;
	*out = (struct setup_request){ .request_id = part->id,
				       .home_acmc_id = p->home_acmc_id,
				       .mc_system_ids = (struct str *)p->targets,
				       .n_mc_system_ids = p->n_targets,
				       .n_mc_ids = part->n_users,
				       .n_service_ids = n_ids };
	out->mc_ids = arena_array(a, part->n_users, sizeof *out->mc_ids);
	out->service_ids = arena_array(a, n_ids, sizeof *out->service_ids);
	if (!out->mc_ids || !out->service_ids)
		return false;
	for (size_t j = 0; j < part->n_users; j++)
		out->mc_ids[j] = first[j].mc_id;
	for (size_t j = 0; j < n_ids; j++)
		out->service_ids[j] = p->users->ids[first->first + j].entry;
	return true;
}

/* --- answers --- */

bool answers_init(struct answers *a, struct arena *arena, const struct parts *parts, struct str home)
{
	*a = (struct answers){ .arena = arena, .parts = parts, .missing = parts->n * parts->n_targets,
			       .home = arena_str(arena, home) };
	a->items = arena_array(arena, a->missing, sizeof *a->items);
	return a->items && a->home.ptr;
}

struct answer *answers_at(const struct answers *a, size_t part, size_t target)
{
	return &a->items[part * a->parts->n_targets + target];
}

static bool fill(struct answers *a, struct answer *to, const struct setup_response *r)
{
	if (to->given)
		return false;
	*to = (struct answer){ .given = true, .result = r->result, .origin = r->origin,
			       .cause = r->cause, .detail = arena_str(a->arena, r->detail) };
	to->identities = arena_array(a->arena, r->n_identities, sizeof *to->identities);
	for (size_t i = 0; to->identities && i < r->n_identities; i++) {
		const struct identity_cause *c = &r->identities[i];
		to->identities[to->n_identities++] = (struct identity_cause){
			arena_str(a->arena, c->mc_id), arena_str(a->arena, c->mc_service_id), c->cause
		};
	}
	a->missing--;
	return true;
}

static bool part_complete(const struct answers *a, size_t part)
{
	for (size_t t = 0; t < a->parts->n_targets; t++) {
		if (!answers_at(a, part, t)->given)
			return false;
	}
	return true;
}

static size_t find_part(const struct parts *p, const struct request_id *id)
{
	size_t i = 0;
	while (i < p->n && memcmp(&p->items[i].id, id, sizeof *id) != 0)
		i++;
	return i;
}

/* Which answers a response could be: targets from *first to before *end. */
struct addressed {
	size_t part, first, end;
	bool whole; /* for the whole request */
};

static struct addressed address_of(const struct answers *a, const struct setup_response *r)
{
	const struct parts *p = a->parts;
	struct addressed none = { .part = find_part(p, &r->request_id) };
	if (none.part == p->n)
		return none;
	for (size_t t = 0; t < p->n_targets; t++) {
		if (str_eq(p->targets[t], r->mc_system_id))
			return (struct addressed){ none.part, t, t + 1, false };
	}
	if (r->origin == ORIGIN_HOME_ACMS && !r->result && str_eq(r->mc_system_id, a->home))
		return (struct addressed){ none.part, 0, p->n_targets, true };
	return none;
}

bool answers_take(struct answers *a, const struct setup_response *r, size_t *part, bool *complete)
{
	struct addressed to = address_of(a, r);
	bool taken = false;
	*part = to.part;
	for (size_t t = to.first; t < to.end; t++)
		taken |= fill(a, answers_at(a, to.part, t), r);
	*complete = taken && part_complete(a, to.part);
	return taken;
}

static const char *fault_in(const struct answers *a, const struct addressed *to,
			    const struct setup_response *r)
{
	/* The server's own limits have been kept (parts_split). */
	static const struct limits any = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX,
					   UINT32_MAX };
	struct arena *work = arena_new(0);
	struct setup_request request;
	struct setup setup;
	const char *fault = "a response that there is not enough memory to check";
	if (work && parts_request(a->parts, to->part, work, &request) &&
	    setup_check(work, &request, &any, &setup).cause == CAUSE_NO_CAUSE)
		fault = setup_home_response_fault(&setup, to->whole, r);
	arena_free(work);
	return fault;
}

const char *answers_fault(const struct answers *a, const struct setup_response *r)
{
	struct addressed to = address_of(a, r);
	for (size_t t = to.first; t < to.end; t++) {
		if (!answers_at(a, to.part, t)->given)
			return fault_in(a, &to, r);
	}
	return NULL;
}

/* --- exit codes --- */

bool answers_refused(const struct answers *a)
{
	size_t n = a->parts->n * a->parts->n_targets;
	for (size_t i = 0; i < n; i++) {
		int class = (int)a->items[i].cause / 100;
		if (!a->items[i].given || a->items[i].origin != ORIGIN_HOME_ACMS ||
		    (class != 1 && class != 2))
			return false;
	}
	return n > 0;
}

int answers_exit_code(const struct answers *a)
{
	size_t n = a->parts->n * a->parts->n_targets;
	bool all = true;
	for (size_t i = 0; i < n; i++)
		all &= a->items[i].given && a->items[i].result;
	if (a->missing > 0)
		return EXIT_UNREACHABLE;
	if (answers_refused(a))
		return EXIT_REFUSED;
	return all ? EXIT_ALL_TRUE : EXIT_SOME_FALSE;
}
