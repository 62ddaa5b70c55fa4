/* Values as an adversary would choose them, from a seed: for the tests of what is encoded and decoded. */
#include "common/arena.h"
#include "common/setup.h"
#include "common/text.h"
#include "unit.h"

static unsigned hostile_seed;

static inline size_t hostile_number(size_t below)
{
	return (size_t)rand_r(&hostile_seed) % below;
}

static inline bool hostile_chance(size_t one_in)
{
	return hostile_number(one_in) == 0;
}

/* At the bounds of 64 bits and below, as often as anything. */
static inline uint64_t hostile_uint(void)
{
	static const uint64_t edges[] = { 0, 1, 23, 24, 255, 256, 65535, 65536, UINT32_MAX, 1ull << 32, INT64_MAX,
					  1ull << 63, UINT64_MAX };
	return hostile_chance(2) ? edges[hostile_number(sizeof edges / sizeof *edges)] : hostile_number(1u << 20);
}

static inline size_t hostile_length(void)
{
	static const size_t edges[] = { 0, 1, 23, 24, 252, 253, 254, 255, 256, 511, 512, 513, 65535, 65536 };
	return hostile_chance(3) ? edges[hostile_number(sizeof edges / sizeof *edges)] : hostile_number(40);
}

/* Printable, many bytes a character, controls, bidirectional, cut characters, NUL, no UTF-8 at all. */
static inline struct str hostile_text(struct arena *a, size_t n)
{
	static const char *const pieces[] = { "a", "Z", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x9A\x93", "\x1b[2J", "\x7f",
					      "\xC2\x85", "\xE2\x80\xAE", "\xE2\x80", "\xED\xA0\x80", "\xFF", "\x80", "\n" };
	size_t kinds = hostile_chance(2) ? 2 : sizeof pieces / sizeof *pieces;
	char *text = arena_alloc(a, n + 1);
	assert_non_null(text);
	for (size_t i = 0; i < n;) {
		const char *piece = pieces[hostile_number(kinds)];
		for (; *piece && i < n; piece++)
			text[i++] = *piece;
	}
	if (n > 0 && kinds > 2 && hostile_chance(4))
		text[hostile_number(n)] = '\0';
	return (struct str){ text, n };
}

/* Left out at times, where that is possible. */
static inline struct str hostile_prose(struct arena *a)
{
	return hostile_chance(8) ? STR_NONE : hostile_text(a, hostile_length());
}

/* A good one, mostly; each is larger than that with a smaller number. */
static inline struct str hostile_id(struct arena *a, size_t number)
{
	if (hostile_chance(3000))
		return hostile_text(a, hostile_length());
	struct str rest = hostile_text(a, hostile_chance(10) ? 247 : hostile_number(20));
	text_mend((char *)rest.ptr, rest.len);
	return str_of(arena_printf(a, "%08zu%.*s", number, STR_ARG(rest)));
}

static inline size_t hostile_count(void)
{
	return hostile_chance(30) ? 1000 : hostile_number(4);
}

static inline struct request_id hostile_request_id(void)
{
	struct request_id id;
	for (size_t i = 0; i < REQUEST_ID_SIZE; i++)
		id.bytes[i] = (uint8_t)hostile_number(256);
	return id;
}

static inline enum cause hostile_cause(void)
{
	return hostile_chance(2000) ? (enum cause)hostile_uint() : (enum cause)hostile_number(800);
}

static inline struct user_service_id *hostile_service_ids(struct arena *a, size_t *n)
{
	*n = hostile_number(4);
	struct user_service_id *ids = arena_array(a, *n, sizeof *ids);
	for (size_t i = 0; i < *n; i++) {
		ids[i].service = hostile_chance(2000) ? (enum mc_service)hostile_number(256) : MC_SERVICE_MCPTT;
		ids[i].mc_service_id = hostile_id(a, i);
	}
	return ids;
}

static inline struct identity_cause *hostile_identities(struct arena *a, size_t *n)
{
	*n = hostile_count();
	struct identity_cause *causes = arena_array(a, *n, sizeof *causes);
	for (size_t i = 0; i < *n; i++)
		causes[i] = (struct identity_cause){ hostile_id(a, i), hostile_chance(2) ? STR_NONE : hostile_id(a, i),
						     hostile_cause() };
	return causes;
}

static inline uint64_t *hostile_revisions(struct arena *a, size_t *n)
{
	*n = hostile_count();
	uint64_t *revisions = arena_array(a, *n, sizeof *revisions);
	for (size_t i = 0; i < *n; i++)
		revisions[i] = hostile_uint();
	return revisions;
}

static inline struct decided_by hostile_decided_by(struct arena *a)
{
	return (struct decided_by){ hostile_prose(a), hostile_prose(a), hostile_uint() };
}

static inline struct str *hostile_ids(struct arena *a, size_t *n)
{
	*n = hostile_count();
	struct str *ids = arena_array(a, *n, sizeof *ids);
	for (size_t i = 0; i < *n; i++)
		ids[i] = hostile_id(a, i);
	return ids;
}
