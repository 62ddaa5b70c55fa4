// needs: common/cause.c common/setup.c common/sort.c common/identity.c common/text.c common/arena.c
#include "common/setup.h"
#include "unit.h"

static const struct str target = { "fire.example", 12 };

/* MC service IDs of the users, one after the other, as a decoder leaves them. */
static struct setup make(struct setup_user *users, size_t n, const struct user_service_id *ids)
{
	struct setup r = { .targets = &target, .n_targets = 1, .users = users, .n_users = n };
	for (size_t i = 0; i < n; i++) {
		users[i].service_ids = ids ? ids + r.n_service_ids : NULL;
		r.n_service_ids += users[i].n_service_ids;
	}
	return r;
}

static struct verdict check(struct arena *a, const struct setup *r, struct setup *s)
{
	struct limits limits = LIMITS_DEFAULT;
	limits.max_mc_ids = 4;
	limits.max_mc_service_ids_per_mc_id = 2;
	return setup_check(a, r, &limits, s);
}

static void sorted_and_canonical(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct setup_user users[] = { { .mc_id = STR("b") }, { .mc_id = STR("a"), .n_service_ids = 2 },
				      { .mc_id = STR("c"), .n_service_ids = 1 } };
	struct user_service_id ids[] = { { 2, STR("sip:a2@x.example") }, { 1, STR("sip:a1@x.example") },
					 { 3, STR("SIP:c@X.example") } };
	struct setup r = make(users, 3, ids), s;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_NO_CAUSE);
	assert_int_equal(s.n_users, 3);
	assert_int_equal(s.n_service_ids, 3);
	assert_str(s.users[0].mc_id, "a");
	assert_int_equal(s.users[0].n_service_ids, 2);
	assert_str(s.users[0].service_ids[0].mc_service_id, "sip:a1@x.example");
	assert_str(s.users[0].service_ids[1].mc_service_id, "sip:a2@x.example");
	assert_str(s.users[1].mc_id, "b");
	assert_int_equal(s.users[1].n_service_ids, 0);
	assert_str(s.users[2].service_ids[0].mc_service_id, "sip:c@x.example");
	assert_str(users[0].mc_id, "b"); /* what was received stays as it is */
	assert_str(ids[2].mc_service_id, "SIP:c@X.example");
	arena_free(a);
}

static void all_identities_in_the_way_are_named(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct setup_user users[] = { { .mc_id = STR("b"), .n_service_ids = 3 }, { .mc_id = STR("b"), .n_service_ids = 3 },
				      { .mc_id = STR("\n"), .n_service_ids = 1 } };
	struct user_service_id ids[] = { { 1, STR("x") }, { 9, STR("sip:a@x.example") }, { 0, STR("sip:a@x.example") },
					 { 1, STR("sip:b@x.example") }, { 1, STR("sip:%62@x.example") },
					 { 1, STR("sip:c@x.example") }, { 1, STR("y") } };
	static const struct {
		enum cause cause;
		const char *mc_id, *mc_service_id;
	} expected[] = {
		{ CAUSE_INVALID_MC_ID, "\n", NULL },
		{ CAUSE_DUPLICATE_IDENTITY, "b", NULL },
		{ CAUSE_INVALID_MC_SERVICE_ID, "\n", "y" },
		{ CAUSE_INVALID_MC_SERVICE_ID, "b", "x" },
		{ CAUSE_UNKNOWN_MC_SERVICE, "b", "sip:a@x.example" },
		{ CAUSE_UNKNOWN_MC_SERVICE, "b", "sip:a@x.example" },
		{ CAUSE_TOO_MANY_IDENTITIES, "b", "sip:c@x.example" },
		{ CAUSE_DUPLICATE_IDENTITY, "b", "sip:b@x.example" },
	};
	enum { EXPECTED = sizeof expected / sizeof *expected };
	struct setup r = make(users, 3, ids), s;
	struct verdict v = check(a, &r, &s);
	assert_int_equal(v.cause, CAUSE_TOO_MANY_IDENTITIES);
	assert_int_equal(v.n_identities, EXPECTED);
	for (size_t i = 0; i < EXPECTED; i++) {
		assert_int_equal(v.identities[i].cause, expected[i].cause);
		assert_str(v.identities[i].mc_id, expected[i].mc_id);
		if (expected[i].mc_service_id)
			assert_str(v.identities[i].mc_service_id, expected[i].mc_service_id);
		else
			assert_null(v.identities[i].mc_service_id.ptr);
	}
	users[1].n_service_ids = 2;
	ids[5] = ids[6];
	r = make(users, 3, ids);
	assert_int_equal(check(a, &r, &s).cause, CAUSE_INVALID_MC_ID);
	arena_free(a);
}

/* One for each that can be noted, and no more. */
static void everything_may_be_wrong_at_once(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct setup_user users[] = { { .mc_id = STR("a"), .n_service_ids = 1 }, { .mc_id = STR("a"), .n_service_ids = 1 },
				      { .mc_id = STR("a"), .n_service_ids = 1 }, { .mc_id = STR("a"), .n_service_ids = 1 } };
	struct user_service_id ids[] = { { 1, STR("sip:a@b.c") }, { 1, STR("sip:a@b.c") }, { 1, STR("sip:a@b.c") },
					 { 1, STR("sip:a@b.c") } };
	struct setup r = make(users, 4, ids), s;
	r.operation = OPERATION_UPDATE; /* and no revision is expected of anybody */
	struct verdict v = check(a, &r, &s);
	assert_int_equal(v.cause, CAUSE_MISSING_ELEMENT);
	assert_int_equal(v.n_identities, 4 + 3 + 3);
	arena_free(a);
}

static void one_uri_is_one_users(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct setup_user users[] = { { .mc_id = STR("a"), .n_service_ids = 2 }, { .mc_id = STR("b") } };
	struct user_service_id ids[] = { { 1, STR("sip:x@x.example") }, { 2, STR("sip:x@x.example") } };
	struct setup r = make(users, 2, ids), s;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_NO_CAUSE);
	users[0].n_service_ids = users[1].n_service_ids = 1;
	r = make(users, 2, ids);
	assert_int_equal(check(a, &r, &s).cause, CAUSE_DUPLICATE_IDENTITY);
	users[0].n_service_ids = 2, users[1].n_service_ids = 0;
	ids[1].service = 1; /* twice for one */
	r = make(users, 2, ids);
	assert_int_equal(check(a, &r, &s).cause, CAUSE_DUPLICATE_IDENTITY);
	arena_free(a);
}

/* The MC service ID at a place that is counted through the users. */
static struct str id_at(const struct setup *s, size_t place)
{
	size_t user = 0;
	for (; place >= s->users[user].n_service_ids; user++)
		place -= s->users[user].n_service_ids;
	return s->users[user].service_ids[place].mc_service_id;
}

static void the_order_of_keys_is_left_behind(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct setup_user users[] = { { .mc_id = STR("c"), .n_service_ids = 2 }, { .mc_id = STR("none") },
				      { .mc_id = STR("a"), .n_service_ids = 2 }, { .mc_id = STR("b"), .n_service_ids = 2 } };
	struct user_service_id ids[] = { { 2, STR("sip:a@x.example") }, { 1, STR("SIP:a@x.example") }, { 1, STR("tel:+1") },
					 { 3, STR("sip:b@x.example") }, { 3, STR("sip:m@x.example") },
					 { 1, STR("sip:z@x.example") } };
	struct setup r = make(users, 4, ids), s, copy;
	size_t seen = 0;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_NO_CAUSE);
	for (size_t i = 0; i < 6; i++) {
		seen |= (size_t)1 << s.in_key_order[i];
		if (i > 0)
			assert_true(str_cmp(id_at(&s, s.in_key_order[i - 1]), id_at(&s, s.in_key_order[i])) <= 0);
	}
	assert_int_equal(seen, 63); /* each once */
	assert_true(setup_copy(a, &s, &copy));
	assert_null(copy.in_key_order);
	arena_free(a);
}

static void users_are_found_wherever_they_are(void **state)
{
	(void)state;
	struct setup_user users[] = { { .mc_id = STR("a") }, { .mc_id = STR("b") }, { .mc_id = STR("c") } };
	struct setup s = { .users = users, .n_users = 3 };
	for (size_t hint = 0; hint <= 4; hint++) {
		for (size_t i = 0; i < 3; i++)
			assert_int_equal(setup_find_user(&s, users[i].mc_id, hint), i);
		assert_int_equal(setup_find_user(&s, STR("bb"), hint), 3);
		assert_int_equal(setup_find_user(&s, STR(""), hint), 3);
	}
}

static void bounds_and_missing_elements(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct setup_user users[] = { { .mc_id = STR("a"), .n_service_ids = 3 }, { .mc_id = STR("b") }, { .mc_id = STR("c") },
				      { .mc_id = STR("d") }, { .mc_id = STR("e") } };
	struct user_service_id ids[] = { { 1, STR("sip:1@x.example") }, { 1, STR("sip:2@x.example") },
					 { 1, STR("sip:3@x.example") } };
	struct setup r = make(users, 5, ids), s;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_TOO_MANY_IDENTITIES);
	r = make(users, 4, ids);
	assert_int_equal(check(a, &r, &s).cause, CAUSE_TOO_MANY_IDENTITIES);
	users[0].n_service_ids = 2;
	r = make(users, 4, ids);
	assert_int_equal(check(a, &r, &s).cause, CAUSE_NO_CAUSE);
	r.has_unknown_fields = true;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_UNSUPPORTED_ELEMENT);
	r.n_users = 0;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_MISSING_ELEMENT);
	r = make(users + 1, 1, NULL);
	r.home_acmc_id = STR("nobody");
	assert_int_equal(check(a, &r, &s).cause, CAUSE_INVALID_HOME_ACMC_ID);
	r.n_targets = 0;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_MISSING_ELEMENT);
	arena_free(a);
}

/* Want of memory is not the request's fault: it may be repeated. */
static void want_of_memory_is_transient(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	assert_null(arena_raw(a, (size_t)1 << 48));
	struct verdict v = setup_no_memory(a);
	assert_int_equal(v.cause, CAUSE_STORE_UNAVAILABLE);
	assert_int_equal(cause_kind(v.cause), CAUSE_KIND_TRANSIENT);
	arena_free(a);
	a = arena_new(16);
	assert_null(arena_raw(a, 1000));
	assert_int_equal(setup_no_memory(a).cause, CAUSE_TOO_MANY_IDENTITIES);
	arena_free(a);
}

/* Address sanitizer ends a test that asks for as much as no machine has, unless it is told otherwise. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static void a_spent_arena_refuses(void **state)
{
	(void)state;
	struct setup_user users[] = { { .mc_id = STR("b") }, { .mc_id = STR("a"), .n_service_ids = 1 } };
	struct user_service_id ids[] = { { 1, STR("SIP:1@x.example") } };
	struct setup r = make(users, 2, ids);
	for (size_t budget = 16; budget < 400; budget += 16) {
		struct arena *a = arena_new(budget);
		struct setup s;
		struct verdict v = check(a, &r, &s);
		if (v.cause == CAUSE_NO_CAUSE)
			assert_int_equal(s.n_users, 2);
		else /* not that an identity were invalid */
			assert_int_equal(v.cause, CAUSE_TOO_MANY_IDENTITIES);
		arena_free(a);
	}
}

/* Many users in the worst order: sorted without comparing each with each. */
static void large_requests_take_no_quadratic_time(void **state)
{
	(void)state;
	enum { N = 200000 };
	static char names[N][8], uris[N][32];
	struct setup_user *users = calloc(N, sizeof *users);
	struct user_service_id *ids = calloc(N, sizeof *ids);
	struct arena *a = arena_new(0);
	struct limits limits = LIMITS_DEFAULT;
	struct setup s;
	limits.max_mc_ids = N;
	for (size_t i = 0; i < N; i++) {
		size_t from = N - 1 - i, pair = i * 7919 % N;
		snprintf(names[i], sizeof names[i], "%06u", (unsigned)from);
		snprintf(uris[i], sizeof uris[i], "sip:%06u@police.example", (unsigned)pair);
		users[i] = (struct setup_user){ .mc_id = str_of(names[i]), .n_service_ids = 1 };
		ids[i] = (struct user_service_id){ 1, str_of(uris[i]) };
	}
	struct setup r = make(users, N, ids);
	assert_int_equal(setup_check(a, &r, &limits, &s).cause, CAUSE_NO_CAUSE);
	assert_str(s.users[1].mc_id, "000001");
	assert_str(s.users[0].service_ids[0].mc_service_id, uris[N - 1]);
	for (size_t i = 0; i < N; i++) /* one for all: as many duplicates as can be */
		ids[i].mc_service_id = str_of(uris[0]);
	struct verdict v = setup_check(a, &r, &limits, &s);
	assert_int_equal(v.cause, CAUSE_DUPLICATE_IDENTITY);
	assert_int_equal(v.n_identities, N - 1);
	arena_free(a);
	free(users);
	free(ids);
}

/* --- operations, expected revisions, validity, times --- */

static enum cause cause_of(const struct setup *r)
{
	struct arena *a = arena_new(0);
	struct setup s;
	enum cause cause = check(a, r, &s).cause;
	arena_free(a);
	return cause;
}

static void elements_go_with_their_operation(void **state)
{
	(void)state;
	struct setup_user users[] = { { .mc_id = STR("b") }, { .mc_id = STR("a") }, { .mc_id = STR("c") } };
	struct user_service_id id = { 1, STR("sip:a@x.example") };
	struct setup r = make(users, 3, &id);
	r.operation = (enum operation)3;
	assert_int_equal(cause_of(&r), CAUSE_UNSUPPORTED_ELEMENT);
	r.operation = (enum operation)-1;
	assert_int_equal(cause_of(&r), CAUSE_UNSUPPORTED_ELEMENT);
	r.operation = OPERATION_REMOVE;
	assert_int_equal(cause_of(&r), CAUSE_NO_CAUSE);
	r.has_validity = true;
	assert_int_equal(cause_of(&r), CAUSE_UNSUPPORTED_ELEMENT);
	r.has_validity = false, users[2].expected_revision = 3;
	assert_int_equal(cause_of(&r), CAUSE_NO_CAUSE); /* of some */
	r.operation = OPERATION_SETUP;
	assert_int_equal(cause_of(&r), CAUSE_UNSUPPORTED_ELEMENT);
	users[0].expected_revision = UINT64_MAX, users[1].expected_revision = 1, users[1].n_service_ids = 1;
	r = make(users, 3, &id);
	r.operation = OPERATION_UPDATE, r.has_validity = true;
	assert_int_equal(cause_of(&r), CAUSE_NO_CAUSE);
	r.operation = OPERATION_REMOVE, r.has_validity = false;
	assert_int_equal(cause_of(&r), CAUSE_UNSUPPORTED_ELEMENT);
}

static void expected_revisions(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct setup_user users[] = { { STR("c"), NULL, 0, 3 }, { STR("a"), NULL, 0, 1 }, { STR("b"), NULL, 0, 2 } };
	struct setup r = make(users, 3, NULL), s;
	r.operation = OPERATION_UPDATE;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_NO_CAUSE);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(s.users[i].expected_revision, i + 1);
	users[2].expected_revision = 0; /* no revision is 0 */
	struct verdict v = check(a, &r, &s);
	assert_int_equal(v.cause, CAUSE_MISSING_ELEMENT);
	assert_int_equal(v.n_identities, 1);
	assert_str(v.identities[0].mc_id, "b");
	r.operation = OPERATION_REMOVE;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_NO_CAUSE);
	assert_int_equal(s.users[1].expected_revision, 0);
	arena_free(a);
}

static void windows(void **state)
{
	(void)state;
	struct setup_user user = { .mc_id = STR("a") };
	struct setup r = make(&user, 1, NULL);
	r.has_validity = true;
	assert_int_equal(cause_of(&r), CAUSE_NO_CAUSE);
	r.validity = (struct validity){ 5, 0 };
	assert_int_equal(cause_of(&r), CAUSE_NO_CAUSE);
	r.validity = (struct validity){ 5, 6 };
	assert_int_equal(cause_of(&r), CAUSE_NO_CAUSE);
	r.validity = (struct validity){ 5, 5 };
	assert_int_equal(cause_of(&r), CAUSE_INVALID_VALIDITY);
	assert_true(validity_covers((struct validity){ 0, 0 }, 7));
	assert_true(validity_covers((struct validity){ 7, 8 }, 7));
	assert_false(validity_covers((struct validity){ 8, 0 }, 7));
	assert_false(validity_covers((struct validity){ 0, 7 }, 7));
}

static void times(void **state)
{
	(void)state;
	enum { NO = CAUSE_NO_CAUSE, EXPIRED = CAUSE_REQUEST_EXPIRED, VALIDITY = CAUSE_INVALID_VALIDITY };
	static const uint64_t now = 1709210096789; /* a leap day */
	static const struct {
		uint64_t not_after, expires;
		bool from_system;
		int cause;
		const char *detail;
	} cases[] = {
		{ 0, 0, false, NO, NULL },
		{ 0, 0, true, EXPIRED, "expires is left out; it is 2024-02-29T12:34:56Z here" },
		{ 0, 1, false, NO, NULL }, /* an ACMC's wish */
		{ 0, now, true, NO, NULL },
		{ 0, now - 1, true, EXPIRED,
		  "the request expires at 2024-02-29T12:34:56Z, which has passed; it is 2024-02-29T12:34:56Z here" },
		{ 0, now + EXPIRES_AHEAD_MAX_MS, true, NO, NULL },
		{ 0, now + EXPIRES_AHEAD_MAX_MS + 1, true, EXPIRED,
		  "the request expires at 2024-03-31T12:34:56Z, more than 31 days ahead; it is 2024-02-29T12:34:56Z here" },
		{ 0, UINT64_MAX, true, EXPIRED, NULL },
		{ now + 1, 0, false, NO, NULL },
		{ now, 0, false, VALIDITY,
		  "the validity ends at 2024-02-29T12:34:56Z, which has passed; it is 2024-02-29T12:34:56Z here" },
		{ 1, now, true, VALIDITY,
		  "the validity ends at 1970-01-01T00:00:00Z, which has passed; it is 2024-02-29T12:34:56Z here" },
		{ 1, 1, true, EXPIRED, NULL },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char detail[200] = "";
		struct setup s = { .has_validity = true, .validity = { 0, cases[i].not_after },
				   .expires_ms = cases[i].expires };
		assert_int_equal(setup_times_check(&s, now, cases[i].from_system, detail, sizeof detail), cases[i].cause);
		if (cases[i].detail)
			assert_string_equal(detail, cases[i].detail);
	}
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(operation_name(OPERATION_SETUP), "setup");
	assert_string_equal(operation_name(OPERATION_UPDATE), "update");
	assert_string_equal(operation_name(OPERATION_REMOVE), "remove");
	assert_null(operation_name(OPERATIONS));
	assert_null(operation_name(-1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sorted_and_canonical),
		cmocka_unit_test(all_identities_in_the_way_are_named),
		cmocka_unit_test(everything_may_be_wrong_at_once),
		cmocka_unit_test(one_uri_is_one_users),
		cmocka_unit_test(the_order_of_keys_is_left_behind),
		cmocka_unit_test(users_are_found_wherever_they_are),
		cmocka_unit_test(bounds_and_missing_elements),
		cmocka_unit_test(a_spent_arena_refuses),
		cmocka_unit_test(want_of_memory_is_transient),
		cmocka_unit_test(large_requests_take_no_quadratic_time),
		cmocka_unit_test(elements_go_with_their_operation),
		cmocka_unit_test(expected_revisions),
		cmocka_unit_test(windows),
		cmocka_unit_test(times),
		cmocka_unit_test(names),
	};
	return cmocka_run_group_tests_name("setup", tests, NULL, NULL);
}
