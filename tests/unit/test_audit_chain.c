// needs: acms/audit_chain.c acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/identity.c common/text.c common/arena.c common/error.c common/crypto.c
#include "acms/audit_chain.h"
#include "common/crypto.h"
#include "unit.h"

/* Every way of tampering with a log of N entries, and what is said of it. */

enum { N = 8 };

struct log {
	struct arena *arena;
	struct str entries[N + 2];
	uint64_t numbers[N + 2];
	size_t n;
	bool numbered;
	struct audit_head start, head;
};

static struct str entry(struct arena *a, const uint8_t previous[DIGEST_SIZE], uint64_t at)
{
	struct audit_record r = { .at_ms = at, .action = AUDIT_SETUP, .home = STR("a.b"), .certificate = STR("DNS:a") };
	memcpy(r.previous, previous, DIGEST_SIZE);
	return record_encode_audit(a, &r);
}

static struct log whole(bool numbered)
{
	struct log l = { .arena = arena_new(0), .n = N, .numbered = numbered };
	for (size_t i = 0; i < N; i++) {
		l.entries[i] = entry(l.arena, l.head.digest, i);
		l.numbers[i] = ++l.head.number;
		assert_int_equal(crypto_sha256(l.entries[i], l.head.digest), OK);
	}
	return l;
}

static void take_out(struct log *l, size_t i)
{
	l->n--;
	memmove(&l->entries[i], &l->entries[i + 1], (l->n - i) * sizeof *l->entries);
	memmove(&l->numbers[i], &l->numbers[i + 1], (l->n - i) * sizeof *l->numbers);
}

struct told {
	char text[4096];
};

static void tell(void *context, const char *text)
{
	struct told *t = context;
	size_t n = strlen(t->text);
	snprintf(t->text + n, sizeof t->text - n, "%s\n", text);
}

static struct told check(struct log *l, int has_head)
{
	struct told t = { "" };
	struct audit_chain c = { .numbered = l->numbered, .start = l->start, .head = l->head };
	for (size_t i = 0; i < l->n; i++)
		assert_true(audit_chain_add(&c, l->arena, l->numbered ? l->numbers[i] : l->start.number + i + 1, l->entries[i]));
	c.has_head = has_head;
	size_t n = audit_chain_check(&c, tell, &t), lines = 0;
	for (const char *p = t.text; (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(n, lines);
	audit_chain_free(&c);
	arena_free(l->arena);
	return t;
}

/* Each of the lines begins so; no others. */
static void says(struct log l, const char *expected)
{
	struct told t = check(&l, AUDIT_HEAD_FOUND);
	const char *line = t.text, *want = expected;
	while (*want) {
		size_t n = strcspn(want, "\n");
		if (strncmp(line, want, n) != 0)
			fail_msg("expected:\n%s\ntold:\n%s", expected, t.text);
		want += n + (want[n] == '\n');
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	if (*line)
		fail_msg("expected:\n%s\ntold:\n%s", expected, t.text);
}

static void whole_ones(void **state)
{
	(void)state;
	struct log none = { .arena = arena_new(0), .numbered = true }, l = whole(true);
	says(whole(true), "");
	says(whole(false), "");
	says(none, "");
	assert_string_equal(check(&l, AUDIT_HEAD_NONE).text, "");
}

static void altered(void **state)
{
	(void)state;
	for (int numbered = 0; numbered < 2; numbered++) {
		for (size_t i = 0; i < N; i++) {
			struct log l = whole(numbered);
			struct audit_record r;
			char expected[64];
			assert_int_equal(record_decode_audit(l.arena, l.entries[i], &r, NULL), OK);
			r.cause = CAUSE_REJECTED;
			l.entries[i] = record_encode_audit(l.arena, &r);
			snprintf(expected, sizeof expected, "entry %zu was altered: its SHA-256", i + 1);
			says(l, expected);
		}
	}
}

/* Its link, too: what it says of the one before is not believed. */
static void altered_with_its_link(void **state)
{
	(void)state;
	uint8_t digest[DIGEST_SIZE] = { 9 };
	for (size_t i = 1; i < N; i++) {
		struct log l = whole(true);
		char expected[64];
		l.entries[i] = entry(l.arena, digest, i);
		snprintf(expected, sizeof expected, "entry %zu was altered", i + 1);
		says(l, expected);
	}
	struct log l = whole(true);
	l.entries[0] = entry(l.arena, digest, 0);
	says(l, "entry 1 says that there was one before it\nentry 1 was altered");
}

static void every_bit(void **state)
{
	(void)state;
	struct log sizes = whole(true);
	size_t n = sizes.entries[3].len;
	arena_free(sizes.arena);
	for (size_t bit = 0; bit < 8 * n; bit++) {
		struct log l = whole(true);
		((char *)l.entries[3].ptr)[bit / 8] ^= (char)(1 << bit % 8);
		says(l, "entry 4 was altered");
	}
}

static void removed(void **state)
{
	(void)state;
	for (size_t i = 0; i < N - 1; i++) {
		struct log l = whole(true);
		char expected[64];
		take_out(&l, i);
		snprintf(expected, sizeof expected, "entry %zu is missing", i + 1);
		says(l, expected);
	}
	struct log l = whole(true);
	take_out(&l, 3);
	take_out(&l, 3);
	take_out(&l, 0);
	says(l, "entry 1 is missing\nentries 4 to 5 are missing");
}

/* The others moved up. */
static void removed_and_renumbered(void **state)
{
	(void)state;
	for (int numbered = 0; numbered < 2; numbered++) {
		for (size_t i = 1; i < N - 1; i++) {
			struct log l = whole(numbered);
			char expected[128];
			take_out(&l, i);
			for (size_t j = 0; j < l.n; j++)
				l.numbers[j] = j + 1;
			snprintf(expected, sizeof expected, numbered ?
				 "entry %zu was altered\nentry 8 is missing: the tail was cut off" :
				 "behind entry %zu entries were removed, or it was altered\n1 of 8 entries are missing", i);
			says(l, expected);
		}
	}
}

static void cut_off(void **state)
{
	(void)state;
	for (size_t left = 1; left < N - 1; left++) {
		struct log l = whole(true), file = whole(false);
		char expected[96];
		l.n = file.n = left;
		snprintf(expected, sizeof expected, "entries %zu to 8 are missing: the tail was cut off", left + 1);
		says(l, expected);
		snprintf(expected, sizeof expected, "%zu of 8 entries are missing, at the end it seems", N - left);
		says(file, expected);
	}
	struct log l = whole(true), gone = whole(true);
	l.n = N - 1;
	says(l, "entry 8 is missing: the tail was cut off");
	gone.n = 0;
	says(gone, "entries 1 to 8 are missing: the tail was cut off");
}

static void the_beginning_is_gone(void **state)
{
	(void)state;
	struct log l = whole(true), file = whole(false);
	take_out(&l, 0);
	take_out(&l, 0);
	says(l, "entries 1 to 2 are missing");
	take_out(&file, 0);
	says(file, "entry 1 says that there was one before it: entries were removed\n1 of 8 entries are missing");
}

static void swapped(void **state)
{
	(void)state;
	for (int numbered = 0; numbered < 2; numbered++) {
		struct log l = whole(numbered);
		struct str third = l.entries[2];
		l.entries[2] = l.entries[3];
		l.entries[3] = third;
		says(l, "entry 3 follows entry 4 in the chain, not entry 2\n"
			"entry 4 follows entry 2 in the chain, not entry 3\n"
			"entry 5 follows entry 3 in the chain, not entry 4");
	}
}

static void added(void **state)
{
	(void)state;
	struct log l = whole(false);
	uint8_t digest[DIGEST_SIZE];
	assert_int_equal(crypto_sha256(l.entries[3], digest), OK);
	memmove(&l.entries[5], &l.entries[4], 4 * sizeof *l.entries);
	l.entries[4] = entry(l.arena, digest, 99); /* chained as it should be */
	l.n++;
	says(l, "entry 6 follows entry 4 in the chain, not entry 5\nentry 9 is behind the head");
	l = whole(true);
	l.entries[N] = entry(l.arena, l.head.digest, 99);
	l.numbers[N] = N + 1;
	l.n++;
	says(l, "entry 9 is behind the head");
	l = whole(false);
	memmove(&l.entries[1], &l.entries[0], N * sizeof *l.entries); /* the first one twice */
	l.n++;
	says(l, "entry 2 says that it is the first\nentry 9 is behind");
}

static void the_head(void **state)
{
	(void)state;
	struct log l = whole(true);
	assert_non_null(strstr(check(&l, AUDIT_HEAD_MISSING).text, "the head is missing"));
	l = whole(true);
	l.head.digest[0] ^= 1;
	says(l, "entry 8 was altered: its SHA-256");
	l = whole(true);
	l.head.number = 7;
	says(l, "entry 8 is behind the head");
}

/* --- rotated --- */

static struct audit_head head_of(const struct log *l, size_t i)
{
	struct audit_head head = { .number = l->numbers[i] };
	assert_int_equal(crypto_sha256(l->entries[i], head.digest), OK);
	return head;
}

/* A log whose first entries are in a file. */
static struct log begins_behind(size_t first, bool numbered)
{
	struct log l = whole(numbered);
	if (first > 0)
		l.start = head_of(&l, first - 1);
	for (size_t i = 0; i < first; i++)
		take_out(&l, 0);
	return l;
}

static void what_begins_behind_another_is_whole(void **state)
{
	(void)state;
	for (int numbered = 0; numbered < 2; numbered++) {
		for (size_t first = 0; first <= N; first++)
			says(begins_behind(first, numbered), "");
		struct log l = begins_behind(3, numbered);
		l.start.digest[0] ^= 1;
		says(l, "entry 4 does not follow entry 3, which the log begins behind");
		l = begins_behind(3, numbered);
		take_out(&l, 2);
		says(l, numbered ? "entry 6 is missing" : "behind entry 5 entries were removed, or it was altered\n1 of 8 entries");
		l = begins_behind(N, numbered);
		l.start.digest[0] ^= 1;
		says(l, "the log is empty, and its head is not what it begins behind");
	}
	struct log l = begins_behind(3, true);
	take_out(&l, 0);
	says(l, "entry 4 is missing");
	l = begins_behind(3, true);
	l.start.number = 2;
	says(l, "entry 3 is missing");
	l = begins_behind(0, true);
	l.start.number = 3; /* the entries are there all the same */
	says(l, "entry 1 is there, though the log begins behind entry 3");
}

/* From entry `first` on, without the last `less`. */
static struct audit_chain part(struct log *l, size_t first, size_t less)
{
	*l = begins_behind(first, false);
	struct audit_chain c = { .start = l->start, .has_head = AUDIT_HEAD_FOUND };
	for (size_t i = 0; i + less < l->n; i++)
		assert_true(audit_chain_add(&c, l->arena, first + i + 1, l->entries[i]));
	return c;
}

static void files_that_go_on(void **state)
{
	(void)state;
	for (size_t end = 1; end <= N; end++) {
		for (size_t first = 0; first <= N; first++) {
			struct log l, m;
			struct audit_chain a = part(&l, 0, N - end), b = part(&m, first, 0);
			struct told t = { "" };
			assert_int_equal(audit_chain_check_next(&a, &b, tell, &t), first > end);
			if (first > end)
				assert_non_null(strstr(t.text, "missing, between this log and the one before"));
			if (first <= end && end < N) {
				a.links[end - 1].digest[0] ^= 1;
				assert_int_equal(audit_chain_check_next(&a, &b, tell, &t), 1);
				assert_non_null(strstr(t.text, "does not go on from the one before"));
			}
			audit_chain_free(&a);
			audit_chain_free(&b);
			arena_free(l.arena);
			arena_free(m.arena);
		}
	}
}

static void no_entry_at_all(void **state)
{
	(void)state;
	struct log l = whole(true);
	l.entries[4] = STR("garbage");
	says(l, "entry 5 was altered: audit record: ");
}

static void not_without_end(void **state)
{
	(void)state;
	struct audit_chain c = { .numbered = true, .has_head = AUDIT_HEAD_NONE };
	struct arena *a = arena_new(0);
	struct told t = { "" };
	for (uint64_t i = 0; i < 1000; i++)
		assert_true(audit_chain_add(&c, a, 1 + 2 * i, STR("garbage")));
	assert_int_equal(audit_chain_check(&c, tell, &t), 100);
	assert_non_null(strstr(t.text, "and more"));
	audit_chain_free(&c);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_ones),
		cmocka_unit_test(altered),
		cmocka_unit_test(altered_with_its_link),
		cmocka_unit_test(every_bit),
		cmocka_unit_test(removed),
		cmocka_unit_test(removed_and_renumbered),
		cmocka_unit_test(cut_off),
		cmocka_unit_test(the_beginning_is_gone),
		cmocka_unit_test(swapped),
		cmocka_unit_test(added),
		cmocka_unit_test(the_head),
		cmocka_unit_test(what_begins_behind_another_is_whole),
		cmocka_unit_test(files_that_go_on),
		cmocka_unit_test(no_entry_at_all),
		cmocka_unit_test(not_without_end),
	};
	return cmocka_run_group_tests_name("audit chain", tests, NULL, NULL);
}
