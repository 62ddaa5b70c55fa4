// needs: common/content.c common/setup.c common/sort.c common/identity.c common/text.c common/arena.c common/error.c
#include "common/content.h"
#include "unit.h"

static struct str target = { "fire.example", 12 };
static struct str mc_ids[] = { { "b", 1 }, { "a", 1 }, { "c", 1 } };
static struct service_id_entry entries[] = { { { "a", 1 }, 1, { "sip:a@x.example", 15 } }, { { "a", 1 }, 3, { "tel:+491", 8 } },
					     { { "c", 1 }, 1, { "sip:c@x.example", 15 } } };
static struct user_revision revisions[] = { { { "a", 1 }, 1 }, { { "b", 1 }, 2 }, { { "c", 1 }, 1ull << 40 } };

static struct setup_request of_users(struct str *users, size_t n, struct service_id_entry *service_ids, size_t n_ids)
{
	return (struct setup_request){ .mc_system_ids = &target, .n_mc_system_ids = 1, .mc_ids = users, .n_mc_ids = n,
				       .service_ids = service_ids, .n_service_ids = n_ids };
}

static struct setup_request make(int operation)
{
	struct setup_request r = of_users(mc_ids, 3, NULL, 0);
	r.operation = operation;
	return r;
}

static struct verdict check(struct arena *a, const struct setup_request *r, struct setup *s)
{
	struct limits limits = LIMITS_DEFAULT;
	return setup_check(a, r, &limits, s);
}

static void content_is_the_same_whatever_order_and_spelling(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct str one[] = { STR("a"), STR("b") }, two[] = { STR("b"), STR("a") };
	struct service_id_entry ids[] = { { STR("a"), 1, STR("sip:a@x.example") }, { STR("b"), 1, STR("sip:b@x.example") } };
	struct service_id_entry same[] = { { STR("b"), 1, STR("SIP:%62@X.EXAMPLE") }, { STR("a"), 1, STR("sip:a@x.example") } };
	struct setup_request r = of_users(one, 2, ids, 2), q = of_users(two, 2, same, 2);
	struct setup s, t;
	check(a, &r, &s);
	check(a, &q, &t);
	assert_true(str_eq(setup_content(a, &s), setup_content(a, &t)));
	q.home_acmc_id = STR("sip:admin@x.example");
	check(a, &q, &t);
	assert_false(str_eq(setup_content(a, &s), setup_content(a, &t)));
	same[0].service = 2;
	q.home_acmc_id = STR_NONE;
	check(a, &q, &t);
	assert_false(str_eq(setup_content(a, &s), setup_content(a, &t)));
	arena_free(a);
}

static struct str content(struct arena *a, const struct setup_request *r)
{
	struct setup s;
	assert_int_equal(check(a, r, &s).cause, CAUSE_NO_CAUSE);
	return setup_content(a, &s);
}

/* Digests of it are in stores. */
static void content_of_version_1_stays(void **state)
{
	(void)state;
	static const char expected[] = "\1\0\0\0\0\0\0\0\3"
				       "\0\0\0\1" "a\0\0\0\1\1\0\0\0\x0f" "sip:a@x.example"
				       "\0\0\0\1" "b\0\0\0\0" "\0\0\0\1" "c\0\0\0\0";
	struct arena *a = arena_new(0);
	struct setup_request r = make(OPERATION_SETUP);
	r.service_ids = entries, r.n_service_ids = 1;
	for (int i = 0; i < 2; i++) {
		struct str c = content(a, &r);
		assert_int_equal(c.len, sizeof expected - 1);
		assert_memory_equal(c.ptr, expected, c.len);
		r.expires_ms = 1, r.part = 2, r.parts = 3; /* no content */
	}
	arena_free(a);
}

static void content_has_what_is_asked_for(void **state)
{
	(void)state;
	enum { N = 13 };
	struct arena *a = arena_new(0);
	struct setup_request r[N];
	struct user_revision one[] = { { STR("a"), 1 }, { STR("b"), 2 }, { STR("c"), 3 } };
	struct str contents[N];
	for (size_t i = 0; i < N; i++)
		r[i] = make(i < 6 ? OPERATION_SETUP : i < 9 ? OPERATION_UPDATE : OPERATION_REMOVE);
	r[1].has_validity = true;
	r[2].has_validity = true, r[2].validity.not_before_ms = 1;
	r[3].has_validity = true, r[3].validity.not_after_ms = 1;
	r[4].dry_run = true;
	r[5].best_effort = true;
	for (size_t i = 6; i < 9; i++)
		r[i].revisions = i == 8 ? revisions : one, r[i].n_revisions = 3;
	r[7].has_validity = true;
	for (size_t i = 10; i < 13; i++)
		r[i].revisions = i == 12 ? revisions : one, r[i].n_revisions = i == 10 ? 1 : 3;
	for (size_t i = 0; i < N; i++) {
		contents[i] = content(a, &r[i]);
		for (size_t j = 0; j < i; j++)
			assert_false(str_eq(contents[i], contents[j]));
	}
	arena_free(a);
}

/* Requests of all kinds, from the fewest elements to all that go with the operation. */
static struct setup_request kind(int i)
{
	struct setup_request r = make(i % OPERATIONS);
	bool more = i >= OPERATIONS, remove = r.operation == OPERATION_REMOVE;
	if (r.operation == OPERATION_UPDATE || (more && remove))
		r.revisions = revisions, r.n_revisions = 3;
	if (!more)
		return r;
	r.home_acmc_id = STR("sip:admin@x.example");
	r.dry_run = r.best_effort = true;
	if (!remove)
		r.service_ids = entries, r.n_service_ids = 3, r.has_validity = true, r.validity.not_after_ms = 1ull << 50;
	return r;
}
enum { KINDS = 2 * OPERATIONS };

static void what_was_asked_comes_back(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	for (int i = 0; i < KINDS; i++) {
		struct setup_request r = kind(i);
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
		struct setup_request r = kind(k);
		check(a, &r, &s);
		struct str bytes = setup_content(a, &s);
		char *copy = malloc(bytes.len + 1);
		memcpy(copy, bytes.ptr, bytes.len);
		copy[bytes.len] = 0;
		for (size_t n = 0; n <= bytes.len + 1; n++) { /* without its flags it is another's, of version 1 */
			struct str cut = { copy, n };
			if (n != bytes.len && setup_from_content(a, cut, &s, NULL) == OK)
				assert_true(str_eq(setup_content(a, &s), cut) && n < bytes.len);
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
#define A "\0\0\0\1" "a"
#define NONE "\0\0\0\0"
#define ONE "\0\0\0\1"
#define TWO "\0\0\0\2"
#define ID "\0\0\0\x08" "tel:+491"
#define ZERO "\0\0\0\0\0\0\0\0"
#define FIVE "\0\0\0\0\0\0\0\5"
#define B(text) { text, sizeof text - 1 }
	static const struct { struct str content; const char *why; } cases[] = {
		{ B("\1" NONE ONE A NONE), NULL },
		{ B("\1" NONE ONE A ONE "\1" ID), NULL },
		{ B("\2" NONE ONE A NONE "\x08" FIVE), NULL },
		{ B(""), "cut off" },
		{ B("\0" NONE ONE A NONE), "operation is unknown" },
		{ B("\4" NONE ONE A NONE), "operation is unknown" },
		{ B("\1" "\0\0\0\x09" "tel:+4911" ONE A NONE), NULL },
		{ B("\1" "\0\0\0\x09" "tel:+49-1" ONE A NONE), "not canonical" },
		{ B("\1" NONE NONE), "no users" },
		{ B("\1" NONE "\xff\xff\xff\xff" A NONE), "longer than the content" },
		{ B("\1" NONE TWO A NONE A NONE), "users are out of order" },
		{ B("\1" NONE ONE ONE "\n" NONE), "no MC ID" },
		{ B("\1" NONE ONE NONE NONE), "no MC ID" },
		{ B("\1" NONE ONE A "\x7f\0\0\0"), "longer than the content" },
		{ B("\1" NONE ONE A ONE "\0" ID), "MC service is unknown" },
		{ B("\1" NONE ONE A ONE "\4" ID), "MC service is unknown" },
		{ B("\1" NONE ONE A TWO "\1" ID "\1" ID), "IDs are out of order" },
		{ B("\1" NONE ONE A TWO "\2" ID "\1" ID), "IDs are out of order" },
		{ B("\1" NONE ONE A ONE "\1" NONE), "not valid" },
		{ B("\1" NONE ONE A NONE "\0"), "none of the elements" },
		{ B("\1" NONE ONE A NONE "\x10"), "unknown" },
		{ B("\1" NONE ONE A NONE "\2\2"), "behind it" },
		{ B("\1" NONE ONE A NONE "\1" ZERO), "cut off" },
		{ B("\1" NONE ONE A NONE "\1" FIVE FIVE), "validity is empty" },
		{ B("\1" NONE ONE A NONE "\x08" FIVE), "do not fit the operation" },
		{ B("\2" NONE ONE A NONE "\x08" ZERO), "that are none" },
		{ B("\2" NONE TWO A NONE ONE "b" NONE "\x08" FIVE ZERO), "do not fit the operation" },
		{ B("\3" NONE TWO A NONE ONE "b" NONE "\x08" FIVE ZERO), NULL },
		{ B("\3" NONE ONE A ONE "\1" ID), "a remove with" },
		{ B("\3" NONE ONE A NONE "\1" ZERO ZERO), "a remove with" },
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(content_is_the_same_whatever_order_and_spelling),
		cmocka_unit_test(content_of_version_1_stays),
		cmocka_unit_test(content_has_what_is_asked_for),
		cmocka_unit_test(what_was_asked_comes_back),
		cmocka_unit_test(no_two_contents_say_the_same),
		cmocka_unit_test(what_no_request_asks_for_is_refused),
	};
	return cmocka_run_group_tests_name("content", tests, NULL, NULL);
}
