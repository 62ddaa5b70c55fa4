#include "acmc/parts.h"

#include <stdlib.h>
#include <string.h>

static struct validity validity_of(const struct parts *p, const struct stocked *u)
{
	return p->has_validity ? p->validity : u->validity;
}

static bool is_bounded(struct validity v)
{
	return v.not_before_ms || v.not_after_ms;
}

/* What an update or a removal expects; 0: nothing. */
static uint64_t revision_of(const struct parts *p, const struct stocked *u)
{
	if (p->operation == OPERATION_SETUP)
		return 0;
	return u->revision ? u->revision : p->revision;
}

static size_t ids_of(const struct parts *p, const struct stocked *u)
{
	return p->operation == OPERATION_REMOVE ? 0 : u->n_ids;
}

bool parts_need_version_2(const struct parts *p)
{
	return p->operation != OPERATION_SETUP || p->expires_ms || p->dry_run || p->best_effort ||
	       (p->has_validity ? is_bounded(p->validity) : p->users->bounded);
}

/* --- splitting --- */

/* At most what a user adds to the encoded request: every field has a tag and a length of at most 3 bytes. */
static size_t user_bytes(const struct parts *p, const struct stocked *u)
{
	size_t n = u->mc_id.len + 4;
	if (revision_of(p, u))
		n += u->mc_id.len + 20;
	if (p->operation != OPERATION_REMOVE)
		n += u->n_ids * (16 + u->mc_id.len) + u->ids_bytes;
	return n;
}

static size_t fixed_bytes(const struct parts *p)
{
	size_t n = 64 + p->home_acmc_id.len + (parts_need_version_2(p) ? 48 : 0);
	for (size_t i = 0; i < p->n_targets; i++)
		n += p->targets[i].len + 4;
	return n;
}

struct splitting {
	struct parts *parts;
	struct request_id base;
	const struct limits *server;
	size_t fixed, most; /* bytes of a request */
	size_t room;        /* of parts->items */
};

static bool fits(const struct splitting *s, const struct stocked *u, size_t more)
{
	const struct parts *p = s->parts;
	const struct part *last = p->n ? &p->items[p->n - 1] : NULL;
	struct validity v = validity_of(p, u);
	return last && last->n_users < s->server->max_mc_ids && last->encoded + more <= s->most &&
	       last->validity.not_before_ms == v.not_before_ms && last->validity.not_after_ms == v.not_after_ms;
}

static bool add_part(struct splitting *s, uint64_t offset, const struct stocked *u)
{
	struct parts *p = s->parts;
	if (p->n == s->room) {
		size_t room = s->room ? 2 * s->room : 16;
		struct part *larger = arena_array(p->arena, room, sizeof *larger);
		if (!larger)
			return false;
		if (p->n)
			memcpy(larger, p->items, p->n * sizeof *larger);
		p->items = larger;
		s->room = room;
	}
	p->items[p->n] = (struct part){ .id = request_id_part(s->base, (uint32_t)p->n), .offset = offset,
					.encoded = s->fixed, .validity = validity_of(p, u) };
	p->n++;
	return true;
}

bool parts_split(struct parts *p, struct request_id base, const struct limits *server,
		 const struct limits *own, unsigned *too_large)
{
	uint32_t frame = server->max_frame_bytes < own->max_frame_bytes ? server->max_frame_bytes :
									  own->max_frame_bytes;
	struct splitting s = { p, base, server, fixed_bytes(p), frame / 4, 0 };
	struct stocked u;
	uint64_t offset = 0, next = 0;
	p->n = 0;
	*too_large = 0;
	for (; stock_next(p->users, &next, &u); offset = next) {
		size_t more = user_bytes(p, &u);
		if (s.fixed + more > s.most || ids_of(p, &u) > server->max_mc_service_ids_per_mc_id) {
			*too_large = u.line;
			return false;
		}
		if (!fits(&s, &u, more) && !add_part(&s, offset, &u))
			return false;
		struct part *last = &p->items[p->n - 1];
		last->n_users++;
		last->n_ids += ids_of(p, &u);
		last->packed += u.packed;
		last->encoded += more;
	}
	return !stock_failed(p->users);
}

/* --- requests --- */

static void fill_user(const struct parts *p, const struct stocked *u, struct setup_request *out)
{
	uint64_t revision = revision_of(p, u);
	const uint8_t *at = u->ids;
	out->mc_ids[out->n_mc_ids++] = u->mc_id;
	for (size_t i = 0; i < ids_of(p, u); i++) {
		struct user_service_id id;
		at = stock_id(at, &id);
		out->service_ids[out->n_service_ids++] =
			(struct service_id_entry){ u->mc_id, (int)id.service, id.mc_service_id };
	}
	if (revision)
		out->revisions[out->n_revisions++] = (struct user_revision){ u->mc_id, revision };
}

static bool fill_lists(const struct parts *p, const struct part *part, struct arena *a,
		       struct setup_request *out)
{
	const uint8_t *at = stock_at(p->users, part->offset, part->packed);
	if (!at)
		return false;
	out->mc_ids = arena_array_raw(a, part->n_users, sizeof *out->mc_ids);
	out->service_ids = arena_array_raw(a, part->n_ids, sizeof *out->service_ids);
	out->revisions = arena_array_raw(a, p->operation == OPERATION_SETUP ? 0 : part->n_users, sizeof *out->revisions);
	if (!out->mc_ids || !out->service_ids || !out->revisions)
		return false;
	for (size_t i = 0; i < part->n_users; i++) {
		struct stocked u;
		at = stock_user(at, &u);
		fill_user(p, &u, out);
	}
	return true;
}

bool parts_request(const struct parts *p, size_t i, struct arena *a, struct setup_request *out)
{
	const struct part *part = &p->items[i];
	*out = (struct setup_request){ .request_id = part->id,
				       .home_acmc_id = p->home_acmc_id,
				       .mc_system_ids = (struct str *)p->targets,
				       .n_mc_system_ids = p->n_targets,
				       .operation = p->operation,
				       .expires_ms = p->expires_ms,
				       .dry_run = p->dry_run,
				       .best_effort = p->best_effort,
				       .grouped = p->version >= 2 };
	if (p->operation != OPERATION_REMOVE && is_bounded(part->validity)) {
		out->has_validity = true;
		out->validity = part->validity;
	}
	if (p->version >= 2 && p->n > 1) {
		out->part = (uint32_t)i;
		out->parts = (uint32_t)p->n;
	}
	return fill_lists(p, part, a, out);
}

/* --- what is asked for --- */

static int compare_users(const void *a, const void *b)
{
	return str_cmp(((const struct setup_user *)a)->mc_id, ((const struct setup_user *)b)->mc_id);
}

static int compare_ids(const void *a, const void *b)
{
	const struct user_service_id *x = a, *y = b;
	int d = (x->service > y->service) - (x->service < y->service);
	return d ? d : str_cmp(x->mc_service_id, y->mc_service_id);
}

/* Files mostly have them in order. */
static void sort(void *items, size_t n, size_t size, int (*compare)(const void *a, const void *b))
{
	size_t i = 1;
	while (i < n && compare((char *)items + (i - 1) * size, (char *)items + i * size) <= 0)
		i++;
	if (i < n)
		qsort(items, n, size, compare);
}

static const uint8_t *take_user(const struct parts *p, const uint8_t *at, struct user_service_id *ids,
				struct setup_user *out)
{
	struct stocked u;
	const uint8_t *next = stock_user(at, &u);
	*out = (struct setup_user){ u.mc_id, ids, ids_of(p, &u), revision_of(p, &u) };
	at = u.ids;
	for (size_t i = 0; i < out->n_service_ids; i++)
		at = stock_id(at, &ids[i]);
	sort(ids, out->n_service_ids, sizeof *ids, compare_ids);
	return next;
}

bool parts_setup(const struct parts *p, size_t i, struct arena *a, struct setup *out)
{
	const struct part *part = &p->items[i];
	const uint8_t *at = stock_at(p->users, part->offset, part->packed);
	if (!at)
		return false;
	*out = (struct setup){ .request_id = part->id, .operation = p->operation, .dry_run = p->dry_run,
			       .best_effort = p->best_effort, .n_service_ids = part->n_ids };
	struct user_service_id *ids = arena_array_raw(a, out->n_service_ids, sizeof *ids);
	out->users = arena_array_raw(a, part->n_users, sizeof *out->users);
	if (!ids || !out->users)
		return false;
	for (; out->n_users < part->n_users; out->n_users++) {
		at = take_user(p, at, ids, &out->users[out->n_users]);
		ids += out->users[out->n_users].n_service_ids;
	}
	sort(out->users, out->n_users, sizeof *out->users, compare_users);
	return true;
}

/* The number that parts count with (request_id_part). */
static uint32_t tail_of(const struct request_id *id)
{
	uint32_t tail = 0;
	for (size_t i = sizeof id->bytes - 4; i < sizeof id->bytes; i++)
		tail = tail << 8 | id->bytes[i];
	return tail;
}

size_t parts_find(const struct parts *p, const struct request_id *id)
{
	if (p->n == 0)
		return 0;
	uint32_t i = tail_of(id) - tail_of(&p->items[0].id);
	return i < p->n && memcmp(&p->items[i].id, id, sizeof *id) == 0 ? i : p->n;
}

size_t parts_users(const struct parts *p)
{
	size_t n = 0;
	for (size_t i = 0; i < p->n; i++)
		n += p->items[i].n_users;
	return n;
}
