#include "common/content.h"

#include <endian.h>
#include <string.h>

enum { FLAG_VALIDITY = 1, FLAG_DRY_RUN = 2, FLAG_BEST_EFFORT = 4, FLAG_REVISIONS = 8 };
/* Of texts: MC IDs, and MC service IDs of each service, whose numbers these are. */
enum { KINDS = 1 + MC_SERVICE_MCDATA };
enum { TEXT_HEAD = 3 };

/* --- writing --- */

static uint8_t *put_number(uint8_t *p, uint64_t n, size_t size)
{
	while (size-- > 0)
		*p++ = (uint8_t)(n >> 8 * size);
	return p;
}

static uint8_t *put_bytes(uint8_t *p, const char *bytes, size_t n)
{
	if (n)
		memcpy(p, bytes, n);
	return p + n;
}

/* Of both; words at a time, since nearly all of most identities is the same. */
static size_t same_start(const char *a, const char *b, size_t most)
{
	size_t n = 0;
	uint64_t x, y;
	for (; n + sizeof x <= most; n += sizeof x) {
		memcpy(&x, a + n, sizeof x);
		memcpy(&y, b + n, sizeof y);
		if (x != y)
			return n + (size_t)__builtin_ctzll(le64toh(x ^ y)) / 8;
	}
	while (n < most && a[n] == b[n])
		n++;
	return n;
}

/* a_end, b_end: right behind them. */
static size_t same_end(const char *a_end, const char *b_end, size_t most)
{
	size_t n = 0;
	uint64_t x, y;
	for (; n + sizeof x <= most; n += sizeof x) {
		memcpy(&x, a_end - n - sizeof x, sizeof x);
		memcpy(&y, b_end - n - sizeof y, sizeof y);
		if (x != y)
			return n + (size_t)__builtin_clzll(le64toh(x ^ y)) / 8;
	}
	while (n < most && a_end[-1 - (ptrdiff_t)n] == b_end[-1 - (ptrdiff_t)n])
		n++;
	return n;
}

/* What it does not share with the one before of its kind, which it then takes the place of. */
static uint8_t *put_text(uint8_t *p, struct str *before, struct str s)
{
	size_t most = s.len < before->len ? s.len : before->len;
	size_t start = same_start(s.ptr, before->ptr, most);
	size_t end = same_end(s.ptr + s.len, before->ptr + before->len, most - start);
	*p++ = (uint8_t)start;
	*p++ = (uint8_t)end;
	*p++ = (uint8_t)(s.len - start - end);
	*before = s;
	return put_bytes(p, s.ptr + start, s.len - start - end);
}

static uint8_t flags_of(const struct setup *s)
{
	bool revisions = false;
	for (size_t i = 0; i < s->n_users && !revisions; i++)
		revisions = s->users[i].expected_revision > 0;
	return (uint8_t)((s->has_validity ? FLAG_VALIDITY : 0) | (s->dry_run ? FLAG_DRY_RUN : 0) |
			 (s->best_effort ? FLAG_BEST_EFFORT : 0) | (revisions ? FLAG_REVISIONS : 0));
}

/* At most. */
static size_t content_size(const struct setup *s)
{
	size_t n = 2 + 16 + 1 + s->home_acmc_id.len + 4;
	for (size_t i = 0; i < s->n_users; i++) {
		n += TEXT_HEAD + s->users[i].mc_id.len + 8 + 1;
		for (size_t j = 0; j < s->users[i].n_service_ids; j++)
			n += 1 + TEXT_HEAD + s->users[i].service_ids[j].mc_service_id.len;
	}
	return n;
}

static uint8_t *put_user(uint8_t *p, struct str before[KINDS], const struct setup_user *u, uint8_t flags)
{
	p = put_text(p, &before[0], u->mc_id);
	if (flags & FLAG_REVISIONS)
		p = put_number(p, u->expected_revision, 8);
	for (size_t j = 0; j < u->n_service_ids; j++) {
		enum mc_service service = u->service_ids[j].service;
		*p++ = (uint8_t)service;
		p = put_text(p, &before[service], u->service_ids[j].mc_service_id);
	}
	*p++ = 0;
	return p;
}

struct str setup_content(struct arena *a, const struct setup *s)
{
	struct str before[KINDS] = { { "", 0 }, { "", 0 }, { "", 0 }, { "", 0 } };
	size_t size = content_size(s);
	uint8_t flags = flags_of(s), *start = arena_raw(a, size), *p = start;
	if (!p)
		return STR_NONE;
	*p++ = (uint8_t)s->operation;
	*p++ = flags;
	if (flags & FLAG_VALIDITY) {
		p = put_number(p, s->validity.not_before_ms, 8);
		p = put_number(p, s->validity.not_after_ms, 8);
	}
	*p++ = (uint8_t)s->home_acmc_id.len;
	p = put_bytes(p, s->home_acmc_id.ptr, s->home_acmc_id.len);
	p = put_number(p, s->n_users, 4);
	for (size_t i = 0; i < s->n_users; i++)
		p = put_user(p, before, &s->users[i], flags);
	arena_trim(a, start, size, (size_t)(p - start));
	return (struct str){ (const char *)start, (size_t)(p - start) };
}

/* --- reading --- */

/* Sticky: after the first thing that does not fit everything reads as nothing. */
struct reader {
	struct arena *arena;
	const uint8_t *at;
	size_t left;
	struct str before[KINDS];
	size_t text_bytes; /* that all texts take together */
	const char *bad;   /* what, or NULL */
	bool spent;
};

static void fail(struct reader *r, const char *what)
{
	if (!r->bad)
		r->bad = what;
}

static void *or_spent(struct reader *r, void *memory)
{
	r->spent |= !memory;
	if (!memory)
		fail(r, "it takes too much memory");
	return memory;
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

/* What a few bytes stand for may be long: all together no more than a request could have had. */
static struct str get_text(struct reader *r, struct str *before)
{
	size_t start = get_number(r, 1), end = get_number(r, 1), middle = get_number(r, 1), n = start + middle + end;
	const uint8_t *p = take(r, middle);
	if (p && start + end > before->len)
		fail(r, "a text shares more than there is");
	r->text_bytes += n;
	if (r->text_bytes > FRAME_BYTES_MAX)
		fail(r, "it is longer than a request can be");
	char *text = r->bad ? NULL : or_spent(r, arena_raw(r->arena, n));
	if (!text)
		return STR_NONE;
	memcpy(text, before->ptr, start);
	memcpy(text + start, p, middle);
	memcpy(text + start + middle, before->ptr + before->len - end, end);
	*before = (struct str){ text, n };
	return *before;
}

static void check_canonical(struct reader *r, struct str id)
{
	struct str canonical = STR_NONE;
	if (!r->bad && !(mc_service_id_canonical(r->arena, id, &canonical, NULL) && str_eq(canonical, id)))
		fail(r, "an MC service ID or Home ACMC ID is not valid or not canonical");
}

static void get_home_acmc_id(struct reader *r, struct setup *out)
{
	size_t n = get_number(r, 1);
	const uint8_t *p = take(r, n);
	if (!p || n == 0)
		return;
	out->home_acmc_id = (struct str){ (const char *)p, n };
	check_canonical(r, out->home_acmc_id);
}

/* They go on until a 0; how many there are is only known then. */
static void get_service_ids(struct reader *r, struct setup_user *u, struct user_service_id *ids)
{
	size_t n = 0;
	for (uint64_t service; (service = get_number(r, 1)) != 0; n++) {
		if (!mc_service_name((int)service)) {
			fail(r, "an MC service is unknown");
			break;
		}
		ids[n] = (struct user_service_id){ (enum mc_service)service, get_text(r, &r->before[service]) };
		check_canonical(r, ids[n].mc_service_id);
		if (!r->bad && n > 0 && user_service_id_compare(&ids[n - 1], &ids[n]) >= 0)
			fail(r, "MC service IDs are out of order");
	}
	u->service_ids = ids;
	u->n_service_ids = n;
}

/* Each user takes least bytes or more, so a count beyond what is left is a lie; so do MC service IDs, however many. */
static void get_users(struct reader *r, struct setup *out, uint64_t flags)
{
	enum { USER_LEAST = TEXT_HEAD + 1, ID_LEAST = 1 + TEXT_HEAD };
	out->n_users = get_number(r, 4);
	if (out->n_users == 0 || out->n_users > r->left / USER_LEAST)
		fail(r, "there are no users, or fewer than it says");
	out->users = r->bad ? NULL : or_spent(r, arena_array(r->arena, out->n_users, sizeof *out->users));
	struct user_service_id *ids = r->bad ? NULL : or_spent(r, arena_array_raw(r->arena, r->left / ID_LEAST + 1, sizeof *ids));
	for (size_t i = 0; !r->bad && i < out->n_users; i++) {
		struct setup_user *u = &out->users[i];
		u->mc_id = get_text(r, &r->before[0]);
		if (!r->bad && !mc_id_valid(u->mc_id))
			fail(r, "a user's name is no MC ID");
		if (!r->bad && i > 0 && str_cmp(out->users[i - 1].mc_id, u->mc_id) >= 0)
			fail(r, "users are out of order");
		if (flags & FLAG_REVISIONS)
			u->expected_revision = get_number(r, 8);
		get_service_ids(r, u, ids + out->n_service_ids);
		out->n_service_ids += u->n_service_ids;
	}
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

static void get_setup(struct reader *r, struct setup *out)
{
	uint64_t operation = get_number(r, 1), flags = get_number(r, 1);
	if (operation >= OPERATIONS)
		fail(r, "its operation is unknown");
	out->operation = (enum operation)operation;
	out->dry_run = flags & FLAG_DRY_RUN;
	out->best_effort = flags & FLAG_BEST_EFFORT;
	out->has_validity = flags & FLAG_VALIDITY;
	if (out->has_validity) {
		out->validity.not_before_ms = get_number(r, 8);
		out->validity.not_after_ms = get_number(r, 8);
	}
	get_home_acmc_id(r, out);
	get_users(r, out, flags);
	if (!r->bad && misplaced(out))
		fail(r, misplaced(out));
}

/* That something could be written in two ways is found out by writing it again. */
static void check_form(struct reader *r, struct str content, const struct setup *s)
{
	struct str again = setup_content(r->arena, s);
	r->spent |= !again.ptr;
	if (!str_eq(again, content))
		fail(r, "it is not in the one form that it has, or there are bytes behind it");
}

enum status setup_from_content(struct arena *a, struct str content, struct setup *out, struct error *e)
{
	struct reader r = { .arena = a, .at = (const uint8_t *)content.ptr, .left = content.len };
	*out = (struct setup){ 0 };
	for (size_t i = 0; i < KINDS; i++)
		r.before[i] = STR("");
	get_setup(&r, out);
	if (!r.bad)
		check_form(&r, content, out);
	if (r.bad)
		return error_set(e, r.spent ? ERR_MEMORY : ERR_INPUT, "no content of a request: %s", r.bad);
	return OK;
}
