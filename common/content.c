#include "common/content.h"

#include <string.h>
#include "common/setup_internal.h"

/* Elements of version 2 that there are. */
enum { FLAG_VALIDITY = 1, FLAG_DRY_RUN = 2, FLAG_BEST_EFFORT = 4, FLAG_REVISIONS = 8, FLAGS = 15 };

/* --- writing --- */

static uint8_t *put_length(uint8_t *p, size_t n)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		*p++ = (uint8_t)(n >> shift);
	return p;
}

static uint8_t *put_str(uint8_t *p, struct str s)
{
	p = put_length(p, s.len);
	if (s.len)
		memcpy(p, s.ptr, s.len);
	return p + s.len;
}

static uint8_t *put_number(uint8_t *p, uint64_t n)
{
	p = put_length(p, (size_t)(n >> 32));
	return put_length(p, (size_t)(n & UINT32_MAX));
}

/* Which elements of version 2 follow. 0: no byte follows, so what version 1 knew has the content it had. */
static uint8_t content_flags(const struct setup *s)
{
	bool revisions = false;
	for (size_t i = 0; i < s->n_users && !revisions; i++)
		revisions = s->users[i].expected_revision > 0;
	return (uint8_t)((s->has_validity ? FLAG_VALIDITY : 0) | (s->dry_run ? FLAG_DRY_RUN : 0) |
			 (s->best_effort ? FLAG_BEST_EFFORT : 0) | (revisions ? FLAG_REVISIONS : 0));
}

static size_t content_size(const struct setup *s, uint8_t flags)
{
	size_t n = 1 + 4 + s->home_acmc_id.len + 4 + (flags ? 1 : 0);
	n += flags & FLAG_VALIDITY ? 16 : 0;
	n += flags & FLAG_REVISIONS ? 8 * s->n_users : 0;
	for (size_t i = 0; i < s->n_users; i++) {
		n += 4 + s->users[i].mc_id.len + 4;
		for (size_t j = 0; j < s->users[i].n_service_ids; j++)
			n += 1 + 4 + s->users[i].service_ids[j].mc_service_id.len;
	}
	return n;
}

static void put_flagged(uint8_t *p, const struct setup *s, uint8_t flags)
{
	if (!flags)
		return;
	*p++ = flags;
	if (flags & FLAG_VALIDITY) {
		p = put_number(p, s->validity.not_before_ms);
		p = put_number(p, s->validity.not_after_ms);
	}
	for (size_t i = 0; flags & FLAG_REVISIONS && i < s->n_users; i++)
		p = put_number(p, s->users[i].expected_revision);
}

struct str setup_content(struct arena *a, const struct setup *s)
{
	uint8_t flags = content_flags(s);
	size_t size = content_size(s, flags);
	uint8_t *start = arena_raw(a, size), *p = start;
	if (!p)
		return STR_NONE;
	*p++ = (uint8_t)(1 + s->operation);
	p = put_str(p, s->home_acmc_id);
	p = put_length(p, s->n_users);
	for (size_t i = 0; i < s->n_users; i++) {
		const struct setup_user *u = &s->users[i];
		p = put_str(p, u->mc_id);
		p = put_length(p, u->n_service_ids);
		for (size_t j = 0; j < u->n_service_ids; j++) {
			*p++ = (uint8_t)u->service_ids[j].service;
			p = put_str(p, u->service_ids[j].mc_service_id);
		}
	}
	put_flagged(p, s, flags);
	return (struct str){ (const char *)start, size };
}

/* --- reading --- */

/* Sticky: after the first thing that does not fit everything reads as nothing. */
struct reader {
	struct arena *arena;
	const uint8_t *at;
	size_t left;
	const char *bad; /* what, or NULL */
	bool spent;
};

static void fail(struct reader *r, const char *what)
{
	if (!r->bad)
		r->bad = what;
}

static const uint8_t *take(struct reader *r, size_t n)
{
	const uint8_t *at = r->at;
	if (n > r->left)
		fail(r, "it is cut off");
	if (r->bad)
		return NULL;
	r->at += n;
	r->left -= n;
	return at;
}

static uint64_t get_number(struct reader *r, size_t size)
{
	const uint8_t *p = take(r, size);
	uint64_t n = 0;
	for (size_t i = 0; p && i < size; i++)
		n = n << 8 | p[i];
	return n;
}

static struct str get_str(struct reader *r)
{
	size_t n = (size_t)get_number(r, 4);
	const uint8_t *p = take(r, n);
	return p ? (struct str){ (const char *)p, n } : STR_NONE;
}

/* Each item takes least bytes or more, so a count beyond what is left is a lie. NULL for one, too. */
static void *get_list(struct reader *r, size_t least, size_t size, size_t *n)
{
	*n = (size_t)get_number(r, 4);
	if (*n > r->left / least)
		fail(r, "a list is longer than the content");
	void *items = r->bad ? NULL : arena_array(r->arena, *n, size);
	if (!items && !r->bad) {
		r->spent = true;
		fail(r, "it takes too much memory");
	}
	return items;
}

static void check_canonical(struct reader *r, struct str id)
{
	struct str canonical = STR_NONE;
	if (!r->bad && !(mc_service_id_canonical(r->arena, id, &canonical, NULL) && str_eq(canonical, id)))
		fail(r, "an MC service ID or Home ACMC ID is not valid or not canonical");
}

static void get_home_acmc_id(struct reader *r, struct setup *out)
{
	struct str id = get_str(r);
	if (id.len == 0)
		return;
	check_canonical(r, id);
	out->home_acmc_id = id;
}

static void get_service_ids(struct reader *r, struct setup_user *u)
{
	struct user_service_id *ids = get_list(r, 1 + 4, sizeof *ids, &u->n_service_ids);
	u->service_ids = ids;
	for (size_t i = 0; !r->bad && i < u->n_service_ids; i++) {
		int service = (int)get_number(r, 1);
		ids[i].service = (enum mc_service)service;
		ids[i].mc_service_id = get_str(r);
		check_canonical(r, ids[i].mc_service_id);
		if (!mc_service_name(service))
			fail(r, "an MC service is unknown");
		if (!r->bad && i > 0 && setup_compare_ids(&ids[i - 1], &ids[i]) >= 0)
			fail(r, "MC service IDs are out of order");
	}
}

static void get_users(struct reader *r, struct setup *out)
{
	out->users = get_list(r, 4 + 4, sizeof *out->users, &out->n_users);
	if (out->n_users == 0)
		fail(r, "there are no users");
	for (size_t i = 0; !r->bad && i < out->n_users; i++) {
		struct setup_user *u = &out->users[i];
		u->mc_id = get_str(r);
		if (!r->bad && !mc_id_valid(u->mc_id))
			fail(r, "a user's name is no MC ID");
		if (!r->bad && i > 0 && str_cmp(out->users[i - 1].mc_id, u->mc_id) >= 0)
			fail(r, "users are out of order");
		get_service_ids(r, u);
		out->n_service_ids += u->n_service_ids;
	}
}

static void get_flagged(struct reader *r, struct setup *out)
{
	if (r->left == 0)
		return;
	uint64_t flags = get_number(r, 1);
	if (flags == 0 || flags & ~(uint64_t)FLAGS)
		fail(r, "it has none of the elements of version 2, or an unknown one");
	out->dry_run = flags & FLAG_DRY_RUN;
	out->best_effort = flags & FLAG_BEST_EFFORT;
	out->has_validity = flags & FLAG_VALIDITY;
	if (out->has_validity) {
		out->validity.not_before_ms = get_number(r, 8);
		out->validity.not_after_ms = get_number(r, 8);
	}
	for (size_t i = 0; flags & FLAG_REVISIONS && !r->bad && i < out->n_users; i++)
		out->users[i].expected_revision = get_number(r, 8);
	if (!r->bad && flags != content_flags(out))
		fail(r, "expected revisions that are none");
}

/* What setup_check asks for beside the order. */
static const char *misplaced(const struct setup *s)
{
	const struct validity *v = &s->validity;
	bool all = true, any = false;
	for (size_t i = 0; i < s->n_users; i++) {
		all &= s->users[i].expected_revision > 0;
		any |= s->users[i].expected_revision > 0;
	}
	if ((s->operation == OPERATION_SETUP && any) || (s->operation == OPERATION_UPDATE && !all))
		return "expected revisions do not fit the operation";
	if (s->operation == OPERATION_REMOVE && (s->n_service_ids > 0 || s->has_validity))
		return "a remove with MC service IDs or a validity";
	return v->not_after_ms && v->not_after_ms <= v->not_before_ms ? "the validity is empty" : NULL;
}

enum status setup_from_content(struct arena *a, struct str content, struct setup *out, struct error *e)
{
	struct reader r = { .arena = a, .at = (const uint8_t *)content.ptr, .left = content.len };
	*out = (struct setup){ 0 };
	uint64_t operation = get_number(&r, 1);
	if (operation < 1 || operation > OPERATIONS)
		fail(&r, "its operation is unknown");
	else
		out->operation = (enum operation)(operation - 1);
	get_home_acmc_id(&r, out);
	get_users(&r, out);
	get_flagged(&r, out);
	if (r.left > 0)
		fail(&r, "there are bytes behind it");
	if (!r.bad && misplaced(out))
		fail(&r, misplaced(out));
	if (r.bad)
		return error_set(e, r.spent ? ERR_MEMORY : ERR_INPUT, "no content of a request: %s", r.bad);
	return OK;
}
