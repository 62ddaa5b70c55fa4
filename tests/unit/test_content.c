// needs: common/content.c common/setup.c common/sort.c common/identity.c common/text.c common/arena.c common/error.c
#include "common/content.h"
#include "unit.h"

static const struct str target = { "fire.example", 12 };
static const struct user_service_id ids_a[] = { { 1, { "sip:a@x.example", 15 } }, { 3, { "tel:+491", 8 } } };
static const struct user_service_id ids_c[] = { { 1, { "sip:c@x.example", 15 } } };

static struct setup of_users(struct setup_user *users, size_t n)
{
	struct setup r = { .targets = &target, .n_targets = 1, .users = users, .n_users = n };
	for (size_t i = 0; i < n; i++)
		r.n_service_ids += users[i].n_service_ids;
	return r;
}

/* Three users, in the memory given. ids: with MC service IDs. */
static struct setup make(enum operation operation, struct setup_user users[3], bool ids)
{
	users[0] = (struct setup_user){ .mc_id = STR("b") };
	users[1] = (struct setup_user){ STR("a"), ids_a, ids ? 2 : 0, 0 };
	users[2] = (struct setup_user){ STR("c"), ids_c, ids ? 1 : 0, 0 };
	struct setup r = of_users(users, 3);
	r.operation = operation;
	return r;
}

static void expect(struct setup *r, uint64_t of_a, uint64_t of_b, uint64_t of_c)
{
	r->users[0].expected_revision = of_b;
	r->users[1].expected_revision = of_a;
	r->users[2].expected_revision = of_c;
}

static struct verdict check(struct arena *a, const struct setup *r, struct setup *s)
{
	struct limits limits = LIMITS_DEFAULT;
	return setup_check(a, r, &limits, s);
}

static void content_is_the_same_whatever_order_and_spelling(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct user_service_id a_id = { 1, STR("sip:a@x.example") }, b_id = { 1, STR("sip:b@x.example") },
			       same_b = { 1, STR("SIP:%62@X.EXAMPLE") };
	struct setup_user one[] = { { STR("a"), &a_id, 1, 0 }, { STR("b"), &b_id, 1, 0 } };
	struct setup_user two[] = { { STR("b"), &same_b, 1, 0 }, { STR("a"), &a_id, 1, 0 } };
	struct setup r = of_users(one, 2), q = of_users(two, 2);
	struct setup s, t;
	check(a, &r, &s);
	check(a, &q, &t);
	assert_true(str_eq(setup_content(a, &s), setup_content(a, &t)));
	q.home_acmc_id = STR("sip:admin@x.example");
	check(a, &q, &t);
	assert_false(str_eq(setup_content(a, &s), setup_content(a, &t)));
	same_b.service = 2;
	q.home_acmc_id = STR_NONE;
	check(a, &q, &t);
	assert_false(str_eq(setup_content(a, &s), setup_content(a, &t)));
	arena_free(a);
}

static struct str content(struct arena *a, const struct setup *r)
{
	struct setup s;
	assert_int_equal(check(a, r, &s).cause, CAUSE_NO_CAUSE);
	return setup_content(a, &s);
}

/* Digests of it are in stores. */
static void content_has_these_bytes(void **state)
{
	(void)state;
	static const char plain[] = "\0\0" "\0" "\0\0\0\3"
				    "\0\0\1" "a" "\1" "\0\0\x0f" "sip:a@x.example" "\3" "\0\0\x08" "tel:+491" "\0"
				    "\0\0\1" "b" "\0"
				    "\0\0\1" "c" "\1" "\4\x0a\1" "c" "\0";
	static const char full[] = "\1\x0f" "\0\0\0\0\0\0\0\5" "\1\2\3\4\5\6\7\x08" "\x06" "tel:+1" "\0\0\0\3"
				   "\0\0\1" "a" "\0\0\0\0\0\0\0\1" "\0"
				   "\0\0\1" "b" "\0\0\0\0\0\0\0\2" "\0"
				   "\0\0\1" "c" "\0\0\1\0\0\0\0\0" "\0";
	struct arena *a = arena_new(0);
	struct setup_user users[3];
	struct setup r = make(OPERATION_SETUP, users, true);
	for (int i = 0; i < 2; i++) {
		struct str c = content(a, &r);
		assert_int_equal(c.len, sizeof plain - 1);
		assert_memory_equal(c.ptr, plain, c.len);
		r.expires_ms = 1, r.part = 2, r.parts = 3; /* no content */
	}
	r = make(OPERATION_UPDATE, users, false);
	expect(&r, 1, 2, 1ull << 40);
	r.home_acmc_id = STR("tel:+1"), r.dry_run = r.best_effort = true;
	r.has_validity = true, r.validity = (struct validity){ 5, 0x0102030405060708 };
	struct str c = content(a, &r);
	assert_int_equal(c.len, sizeof full - 1);
	assert_memory_equal(c.ptr, full, c.len);
	arena_free(a);
}

/* Of each two texts that follow each other: whatever they share, at either end, comes back, and none of it twice. */
static void what_is_shared_comes_back(void **state)
{
	(void)state;
	enum { N = 300 };
	static const char *const ends[] = { "", "x", "@police.example", "@police.example.police.example" };
	static char texts[N][64];
	struct str ids[N];
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < N; i++) {
		size_t n = 1 + i % 23;
		memset(texts[i], 'a', n);
		texts[i][n / 2] = (char)('a' + i / 23);
		snprintf(texts[i] + n, sizeof texts[i] - n, "%s", ends[i % 4]);
		ids[i] = str_of(texts[i]);
	}
	struct setup_user users[2] = { 0 };
	struct setup s = { .users = users, .n_users = 2 }, again;
	for (size_t i = 0; i < N; i++) {
		for (size_t j = 0; j < N; j++) {
			if (str_cmp(ids[i], ids[j]) >= 0)
				continue;
			users[0].mc_id = ids[i];
			users[1].mc_id = ids[j];
			struct str c = setup_content(a, &s);
			assert_int_equal(setup_from_content(a, c, &again, NULL), OK);
			assert_true(str_eq(again.users[0].mc_id, ids[i]) && str_eq(again.users[1].mc_id, ids[j]));
			assert_true(c.len <= 7 + 4 + ids[i].len + 4 + ids[j].len);
		}
		arena_reset(a);
	}
	arena_free(a);
}

static void content_has_what_is_asked_for(void **state)
{
	(void)state;
	enum { N = 13 };
	struct arena *a = arena_new(0);
	struct setup_user users[N][3];
	struct setup r[N];
	struct str contents[N];
	for (size_t i = 0; i < N; i++)
		r[i] = make(i < 6 ? OPERATION_SETUP : i < 9 ? OPERATION_UPDATE : OPERATION_REMOVE, users[i], false);
	r[1].has_validity = true;
	r[2].has_validity = true, r[2].validity.not_before_ms = 1;
	r[3].has_validity = true, r[3].validity.not_after_ms = 1;
	r[4].dry_run = true;
	r[5].best_effort = true;
	for (size_t i = 6; i < 9; i++)
		expect(&r[i], 1, 2, i == 8 ? 1ull << 40 : 3);
	r[7].has_validity = true;
	for (size_t i = 10; i < 13; i++)
		expect(&r[i], 1, i == 10 ? 0 : 2, i == 10 ? 0 : i == 12 ? 1ull << 40 : 3);
	for (size_t i = 0; i < N; i++) {
		contents[i] = content(a, &r[i]);
		for (size_t j = 0; j < i; j++)
			assert_false(str_eq(contents[i], contents[j]));
	}
	arena_free(a);
}

/* Requests of all kinds, from the fewest elements to all that go with the operation. */
static struct setup kind(int i, struct setup_user users[3])
{
	enum operation operation = (enum operation)(i % OPERATIONS);
	bool more = i >= OPERATIONS, remove = operation == OPERATION_REMOVE;
	struct setup r = make(operation, users, more && !remove);
	if (operation == OPERATION_UPDATE || (more && remove))
		expect(&r, 1, 2, 1ull << 40);
	if (!more)
		return r;
	r.home_acmc_id = STR("sip:admin@x.example");
	r.dry_run = r.best_effort = true;
	if (!remove)
		r.has_validity = true, r.validity.not_after_ms = 1ull << 50;
	return r;
}
enum { KINDS = 2 * OPERATIONS };

static void what_was_asked_comes_back(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	for (int i = 0; i < KINDS; i++) {
		struct setup_user users[3];
		struct setup r = kind(i, users);
		struct setup s, again;
		check(a, &r, &s);
		assert_int_equal(setup_from_content(a, setup_content(a, &s), &again, NULL), OK);
		assert_true(str_eq(setup_content(a, &again), setup_content(a, &s)));
		assert_int_equal(again.operation, s.operation);
		assert_true(str_eq(again.home_acmc_id, s.home_acmc_id) && !again.home_acmc_id.ptr == !s.home_acmc_id.ptr);
		assert_int_equal(again.n_users, 3);
		assert_int_equal(again.n_service_ids, s.n_service_ids);
		assert_true(again.dry_run == s.dry_run && again.best_effort == s.best_effort);
		assert_true(again.has_validity == s.has_validity && again.validity.not_after_ms == s.validity.not_after_ms);
		for (size_t u = 0; u < 3; u++) {
			assert_true(str_eq(again.users[u].mc_id, s.users[u].mc_id));
			assert_int_equal(again.users[u].n_service_ids, s.users[u].n_service_ids);
			assert_int_equal(again.users[u].expected_revision, s.users[u].expected_revision);
		}
	}
	arena_free(a);
}

/* Cut, lengthened, or broken anywhere it is either refused or the content of something else. */
static void no_two_contents_say_the_same(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct setup s;
	for (int k = 0; k < KINDS; k++) {
		struct setup_user users[3];
		struct setup r = kind(k, users);
		check(a, &r, &s);
		struct str bytes = setup_content(a, &s);
		char *copy = malloc(bytes.len + 1);
		memcpy(copy, bytes.ptr, bytes.len);
		copy[bytes.len] = 0;
		for (size_t n = 0; n <= bytes.len + 1; n++) {
			if (n != bytes.len)
				assert_int_equal(setup_from_content(a, (struct str){ copy, n }, &s, NULL), ERR_INPUT);
		}
		for (size_t i = 0; i < 8 * bytes.len; i++) {
			struct str changed = { copy, bytes.len };
			memcpy(copy, bytes.ptr, bytes.len);
			copy[i / 8] ^= (char)(1 << i % 8);
			if (setup_from_content(a, changed, &s, NULL) == OK)
				assert_true(str_eq(setup_content(a, &s), changed));
		}
		free(copy);
	}
	arena_free(a);
}

static void what_no_request_asks_for_is_refused(void **state)
{
	(void)state;
#define ONE "\0\0\0\1"
#define TWO "\0\0\0\2"
#define A "\0\0\1" "a"
#define B "\0\0\1" "b"
#define END "\0"
#define ID "\0\0\x08" "tel:+491"
#define ZERO "\0\0\0\0\0\0\0\0"
#define FIVE "\0\0\0\0\0\0\0\5"
#define BYTES(text) { text, sizeof text - 1 }
	static const struct { struct str content; const char *why; } cases[] = {
		{ BYTES("\0\0\0" ONE A END), NULL },
		{ BYTES("\0\0\0" ONE A "\1" ID END), NULL },
		{ BYTES("\1\x08\0" ONE A FIVE END), NULL },
		{ BYTES(""), "cut off" },
		{ BYTES("\x10\0\0" ONE A END), "operation is unknown" },
		{ BYTES("\3\0\0" ONE A END), "operation is unknown" },
		{ BYTES("\0\x10\0" ONE A END), "not in the one form" },
		{ BYTES("\0\0" "\x09" "tel:+4911" ONE A END), NULL },
		{ BYTES("\0\0" "\x09" "tel:+49-1" ONE A END), "not canonical" },
		{ BYTES("\0\0\0" "\0\0\0\0"), "no users" },
		{ BYTES("\0\0\0" "\xff\xff\xff\xff" A END), "fewer than it says" },
		{ BYTES("\0\0\0" ONE A), "cut off" },
		{ BYTES("\0\0\0" ONE A END END), "behind it" },
		{ BYTES("\0\0\0" ONE "\1\0\1" "a" END), "shares more than there is" },
		{ BYTES("\0\0\0" TWO A END "\1\1\1" "b" END), "shares more than there is" },
		{ BYTES("\0\0\0" TWO A END "\0\0\2" "ab" END), "not in the one form" },
		{ BYTES("\0\0\0" TWO A END "\0\1\1" "a" END), "not in the one form" },
		{ BYTES("\0\0\0" TWO A END "\1\0\1" "a" END), NULL },
		{ BYTES("\0\0\0" TWO A END "\1\0\0" END), "users are out of order" },
		{ BYTES("\0\0\0" TWO B END A END), "users are out of order" },
		{ BYTES("\0\0\0" ONE "\0\0\1" "\n" END), "no MC ID" },
		{ BYTES("\0\0\0" ONE "\0\0\0" END), "no MC ID" },
		{ BYTES("\0\0\0" ONE A "\4" ID END), "MC service is unknown" },
		{ BYTES("\0\0\0" ONE A "\1" ID "\1\x08\0\0" END), "IDs are out of order" },
		{ BYTES("\0\0\0" ONE A "\2" ID "\1" ID END), "IDs are out of order" },
		{ BYTES("\0\0\0" ONE A "\1\0\0\0" END), "not valid" },
		{ BYTES("\0\1" ZERO), "cut off" },
		{ BYTES("\0\1" FIVE FIVE "\0" ONE A END), "validity is empty" },
		{ BYTES("\0\x08\0" ONE A FIVE END), "do not fit the operation" },
		{ BYTES("\2\x08\0" ONE A ZERO END), "not in the one form" },
		{ BYTES("\1\x08\0" TWO A FIVE END B ZERO END), "do not fit the operation" },
		{ BYTES("\2\x08\0" TWO A FIVE END B ZERO END), NULL },
		{ BYTES("\2\0\0" ONE A "\1" ID END), "a remove with" },
		{ BYTES("\2\1" ZERO ZERO "\0" ONE A END), "a remove with" },
	};
	struct arena *a = arena_new(0);
	struct setup s;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct error e = { .text = "" };
		enum status status = setup_from_content(a, cases[i].content, &s, &e);
		if (status != (cases[i].why ? ERR_INPUT : OK) || (cases[i].why && !strstr(e.text, cases[i].why)))
			fail_msg("case %zu: %s", i, e.text);
	}
	arena_free(a);
	a = arena_new(1);
	assert_int_equal(setup_from_content(a, cases[0].content, &s, NULL), ERR_MEMORY);
	arena_free(a);
}

/* A few bytes can stand for many: not for more than a request could have had. */
static void short_contents_of_long_texts_are_refused(void **state)
{
	(void)state;
	enum { USERS = 70000, USER_SIZE = 3 + 3 + 1, FIRST = 7 + 3 + 255 + 1 };
	struct arena *a = arena_new(64 << 20);
	char *bytes = calloc(1, FIRST + USERS * USER_SIZE), *p = bytes;
	struct setup s;
	struct error e = { .text = "" };
	memcpy(p, "\0\0\0" "\0\1\x11\x71" "\0\0\xff", 10); /* 70,001 users */
	memset(p + 10, '0', 255);
	p += FIRST;
	for (int i = 1; i <= USERS; i++, p += USER_SIZE) {
		char user[] = { (char)200, 52, 3, (char)('0' + i / 4096), (char)('0' + i / 64 % 64), (char)('0' + i % 64), 0 };
		memcpy(p, user, USER_SIZE);
	}
	assert_int_equal(setup_from_content(a, (struct str){ bytes, FIRST + USERS * USER_SIZE }, &s, &e), ERR_INPUT);
	assert_non_null(strstr(e.text, "longer than a request can be"));
	free(bytes);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(content_is_the_same_whatever_order_and_spelling),
		cmocka_unit_test(content_has_these_bytes),
		cmocka_unit_test(what_is_shared_comes_back),
		cmocka_unit_test(content_has_what_is_asked_for),
		cmocka_unit_test(what_was_asked_comes_back),
		cmocka_unit_test(no_two_contents_say_the_same),
		cmocka_unit_test(what_no_request_asks_for_is_refused),
		cmocka_unit_test(short_contents_of_long_texts_are_refused),
	};
	return cmocka_run_group_tests_name("content", tests, NULL, NULL);
}
