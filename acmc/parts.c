#include "acmc/parts.h"

#include <stdlib.h>
#include <string.h>
#include "common/frame.h"
#include "common/message.h"

static const struct users_user *user_at(const struct parts *p, size_t i)
{
	return &p->users->items[i];
}

static struct validity validity_of(const struct parts *p, const struct users_user *u)
{
	return p->has_validity ? p->validity : u->validity;
}

static bool is_bounded(struct validity v)
{
	return v.not_before_ms || v.not_after_ms;
}

/* What an update or a removal expects; 0: nothing. */
static uint64_t revision_of(const struct parts *p, const struct users_user *u)
{
	if (p->operation == OPERATION_SETUP)
		return 0;
	return u->revision ? u->revision : p->revision;
}

static size_t ids_of(const struct parts *p, const struct users_user *u)
{
	return p->operation == OPERATION_REMOVE ? 0 : u->n;
}

bool parts_need_version_2(const struct parts *p)
{
	bool needs = p->operation != OPERATION_SETUP || p->expires_ms || p->dry_run || p->best_effort;
	for (size_t i = 0; !needs && i < p->users->n; i++)
		needs = is_bounded(validity_of(p, user_at(p, i)));
	return needs;
}

static int by_validity(const void *a, const void *b)
{
	const struct users_user *x = a, *y = b;
	if (x->validity.not_before_ms != y->validity.not_before_ms)
		return x->validity.not_before_ms < y->validity.not_before_ms ? -1 : 1;
	if (x->validity.not_after_ms != y->validity.not_after_ms)
		return x->validity.not_after_ms < y->validity.not_after_ms ? -1 : 1;
	/* as they were: a command that is repeated gives the same requests */
	return (x->line > y->line) - (x->line < y->line);
}

void parts_group(struct users *users)
{
	bool differ = false;
	for (size_t i = 1; i < users->n; i++)
		differ |= memcmp(&users->items[i].validity, &users->items[0].validity,
				 sizeof users->items[i].validity) != 0;
	if (differ)
		qsort(users->items, users->n, sizeof *users->items, by_validity);
}

/* At most what a user adds to the encoded request: every field has a tag and a length of at most 3 bytes. */
static size_t user_bytes(const struct parts *p, size_t i)
{
	const struct users_user *u = user_at(p, i);
	size_t n = u->mc_id.len + 4, ids = ids_of(p, u);
	if (revision_of(p, u))
		n += u->mc_id.len + 20;
	for (size_t j = u->first; j < u->first + ids; j++)
		n += 16 + u->mc_id.len + p->users->ids[j].entry.mc_service_id.len;
	return n;
}

static size_t fixed_bytes(const struct parts *p)
{
	size_t n = 64 + p->home_acmc_id.len + (parts_need_version_2(p) ? 48 : 0);
	for (size_t i = 0; i < p->n_targets; i++)
		n += p->targets[i].len + 4;
	return n;
}

static bool fits(const struct parts *p, const struct part *part, size_t user, const struct limits *server)
{
	struct validity v = validity_of(p, user_at(p, user));
	return part && part->n_users < server->max_mc_ids &&
	       part->validity.not_before_ms == v.not_before_ms && part->validity.not_after_ms == v.not_after_ms;
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
		    ids_of(p, user_at(p, i)) > server->max_mc_service_ids_per_mc_id) {
			*too_large = i;
			return false;
		}
		struct part *last = p->n ? &p->items[p->n - 1] : NULL;
		if (!fits(p, last, i, server) || bytes + more > frame / 4) {
			last = &p->items[p->n];
			*last = (struct part){ request_id_part(base, (uint32_t)p->n), i, 0,
					       validity_of(p, user_at(p, i)) };
			p->n++;
			bytes = fixed;
		}
		last->n_users++;
		bytes += more;
	}
	return true;
}

static bool fill_lists(const struct parts *p, const struct part *part, struct arena *a,
		       struct setup_request *out)
{
	size_t n_ids = 0;
	for (size_t i = 0; i < part->n_users; i++)
		n_ids += ids_of(p, user_at(p, part->first_user + i));
	out->mc_ids = arena_array(a, part->n_users, sizeof *out->mc_ids);
	out->service_ids = arena_array(a, n_ids, sizeof *out->service_ids);
	out->revisions = arena_array(a, part->n_users, sizeof *out->revisions);
	if (!out->mc_ids || !out->service_ids || !out->revisions)
		return false;
	for (size_t i = 0; i < part->n_users; i++) {
		const struct users_user *u = user_at(p, part->first_user + i);
		uint64_t revision = revision_of(p, u);
		out->mc_ids[out->n_mc_ids++] = u->mc_id;
		for (size_t j = 0; j < ids_of(p, u); j++)
			out->service_ids[out->n_service_ids++] = p->users->ids[u->first + j].entry;
		if (revision)
			out->revisions[out->n_revisions++] = (struct user_revision){ u->mc_id, revision };
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
				       .best_effort = p->best_effort };
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

size_t parts_find(const struct parts *p, const struct request_id *id)
{
	size_t i = 0;
	while (i < p->n && memcmp(&p->items[i].id, id, sizeof *id) != 0)
		i++;
	return i;
}

size_t parts_users(const struct parts *p)
{
	size_t n = 0;
	for (size_t i = 0; i < p->n; i++)
		n += p->items[i].n_users;
	return n;
}
