#include "acmc/parts.h"

#include <string.h>
#include "common/sort.h"

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

/* --- splitting --- */

/* At most what a user adds to the encoded request: every text has a tag and a length of at most 3 bytes. */
static size_t user_bytes(const struct parts *p, const struct stocked *u)
{
	size_t n = u->mc_id.len + 4;
	if (p->operation != OPERATION_SETUP)
		n += sizeof u->revision;
	if (p->operation != OPERATION_REMOVE)
		n += u->n_ids * 4 + u->ids_bytes;
	return n;
}

static size_t fixed_bytes(const struct parts *p)
{
	size_t n = 128 + p->home_acmc_id.len;
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
		size_t more = user_bytes(p, &u), n_ids = ids_of(p, &u);
		if (s.fixed + more > s.most || n_ids > server->max_mc_service_ids_per_mc_id || n_ids > SETUP_SERVICE_IDS_MAX) {
			*too_large = u.line;
			return false;
		}
		if (!fits(&s, &u, more) && !add_part(&s, offset, &u))
			return false;
		struct part *last = &p->items[p->n - 1];
		last->n_users++;
		last->n_ids += n_ids;
		last->packed += u.packed;
		last->encoded += more;
	}
	return !stock_failed(p->users);
}

/* --- requests --- */

static const uint8_t *take_user(const struct parts *p, const uint8_t *at, struct user_service_id *ids,
				struct setup_user *out)
{
	struct stocked u;
	const uint8_t *next = stock_user(at, &u);
	*out = (struct setup_user){ u.mc_id, ids, ids_of(p, &u), revision_of(p, &u) };
	at = u.ids;
	for (size_t i = 0; i < out->n_service_ids; i++)
		at = stock_id(at, &ids[i]);
	sort_items(ids, out->n_service_ids, sizeof *ids, setup_compare_ids);
	return next;
}

static bool take_users(const struct parts *p, const struct part *part, struct arena *a, struct setup *out)
{
	const uint8_t *at = stock_at(p->users, part->offset, part->packed);
	struct user_service_id *ids = arena_array_raw(a, part->n_ids, sizeof *ids);
	out->users = arena_array_raw(a, part->n_users, sizeof *out->users);
	if (!at || !ids || !out->users)
		return false;
	for (; out->n_users < part->n_users; out->n_users++) {
		at = take_user(p, at, ids, &out->users[out->n_users]);
		ids += out->users[out->n_users].n_service_ids;
		out->n_service_ids += out->users[out->n_users].n_service_ids;
	}
	sort_items(out->users, out->n_users, sizeof *out->users, setup_compare_users);
	return true;
}

bool parts_setup(const struct parts *p, size_t i, struct arena *a, struct setup *out)
{
	const struct part *part = &p->items[i];
	*out = (struct setup){ .request_id = part->id,
			       .home_acmc_id = p->home_acmc_id,
			       .targets = p->targets,
			       .n_targets = p->n_targets,
			       .operation = p->operation,
			       .expires_ms = p->expires_ms,
			       .dry_run = p->dry_run,
			       .best_effort = p->best_effort };
	if (p->operation != OPERATION_REMOVE && is_bounded(part->validity)) {
		out->has_validity = true;
		out->validity = part->validity;
	}
	if (p->n > 1) {
		out->part = (uint32_t)i;
		out->parts = (uint32_t)p->n;
	}
	return take_users(p, part, a, out);
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
