// needs: common/cause.c common/setup.c common/setup_response.c common/sort.c common/setup_fault.c common/identity.c common/text.c common/arena.c
#include <limits.h>
#include "common/setup.h"
#include "unit.h"

static struct str target = { "fire.example", 12 };

static struct setup_request make(struct str *mc_ids, size_t n, struct service_id_entry *ids, size_t n_ids)
{
	return (struct setup_request){ .mc_system_ids = &target, .n_mc_system_ids = 1, .mc_ids = mc_ids,
				       .n_mc_ids = n, .service_ids = ids, .n_service_ids = n_ids };
}

static struct verdict check(struct arena *a, struct setup_request *r, struct setup *s)
{
	struct limits limits = LIMITS_DEFAULT;
	limits.max_mc_ids = 4;
	limits.max_mc_service_ids_per_mc_id = 2;
	return setup_check(a, r, &limits, s);
}

static void sorted_paired_and_canonical(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct str mc_ids[] = { STR("b"), STR("a"), STR("c") };
	struct service_id_entry ids[] = { { STR("c"), 3, STR("SIP:c@X.example") }, { STR("a"), 2, STR("sip:a2@x.example") },
					  { STR("a"), 1, STR("sip:a1@x.example") } };
	struct setup_request r = make(mc_ids, 3, ids, 3);
	struct setup s;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_NO_CAUSE);
	assert_int_equal(s.n_users, 3);
	assert_str(s.users[0].mc_id, "a");
	assert_int_equal(s.users[0].n_service_ids, 2);
	assert_str(s.users[0].service_ids[0].mc_service_id, "sip:a1@x.example");
	assert_str(s.users[1].mc_id, "b");
	assert_int_equal(s.users[1].n_service_ids, 0);
	assert_str(s.users[2].service_ids[0].mc_service_id, "sip:c@x.example");
	arena_free(a);
}

static void all_identities_in_the_way_are_named(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct str mc_ids[] = { STR("a"), STR("a"), STR("\n") };
	struct service_id_entry ids[] = { { STR("a"), 1, STR("x") }, { STR("z"), 1, STR("sip:z@x.example") },
					  { STR("a"), 9, STR("sip:a@x.example") }, { STR("a"), 1, STR("sip:b@x.example") },
					  { STR("a"), 1, STR("sip:%62@x.example") } };
	static const enum cause expected[] = { CAUSE_INVALID_MC_ID, CAUSE_DUPLICATE_IDENTITY, CAUSE_INVALID_MC_SERVICE_ID,
					       CAUSE_UNPAIRED_MC_SERVICE_ID, CAUSE_UNKNOWN_MC_SERVICE,
					       CAUSE_DUPLICATE_IDENTITY };
	struct setup_request r = make(mc_ids, 3, ids, 5);
	struct setup s;
	struct verdict v = check(a, &r, &s);
	assert_int_equal(v.cause, CAUSE_INVALID_MC_ID);
	assert_int_equal(v.n_identities, 6);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(v.identities[i].cause, expected[i]);
	arena_free(a);
}

static void one_uri_is_one_users(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct str mc_ids[] = { STR("a"), STR("b") };
	struct service_id_entry ids[] = { { STR("a"), 1, STR("sip:x@x.example") }, { STR("a"), 2, STR("sip:x@x.example") } };
	struct setup_request r = make(mc_ids, 2, ids, 2);
	struct setup s;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_NO_CAUSE);
	ids[1].mc_id = mc_ids[1];
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
	struct str mc_ids[] = { STR("c"), STR("none"), STR("a"), STR("b") };
	struct service_id_entry ids[] = { { STR("b"), 3, STR("sip:m@x.example") }, { STR("c"), 2, STR("sip:a@x.example") },
					  { STR("a"), 1, STR("tel:+1") }, { STR("c"), 1, STR("SIP:a@x.example") },
					  { STR("b"), 1, STR("sip:z@x.example") }, { STR("a"), 3, STR("sip:b@x.example") } };
	struct setup_request r = make(mc_ids, 4, ids, 6);
	struct setup s, copy;
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
	struct str mc_ids[] = { STR("a"), STR("b"), STR("c"), STR("d"), STR("e") };
	struct service_id_entry ids[] = { { STR("a"), 1, STR("sip:1@x.example") }, { STR("a"), 1, STR("sip:2@x.example") },
					  { STR("a"), 1, STR("sip:3@x.example") } };
	struct setup_request r = make(mc_ids, 5, ids, 3);
	struct setup s;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_TOO_MANY_IDENTITIES);
	r.n_mc_ids = 4;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_TOO_MANY_IDENTITIES);
	r.n_service_ids = 2;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_NO_CAUSE);
	r.has_unknown_fields = true;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_UNSUPPORTED_ELEMENT);
	r.n_mc_ids = 0;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_MISSING_ELEMENT);
	r = make(mc_ids, 1, NULL, 0);
	r.home_acmc_id = STR("nobody");
	assert_int_equal(check(a, &r, &s).cause, CAUSE_INVALID_HOME_ACMC_ID);
	r.n_mc_system_ids = 0;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_MISSING_ELEMENT);
	arena_free(a);
}

/* Want of memory is not the request's fault: it may be repeated, and its lists are echoed. */
static void want_of_memory_is_transient(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct str mc_ids[] = { STR("b"), STR("a") };
	struct setup_request r = make(mc_ids, 2, NULL, 0);
	struct setup_response response;
	assert_null(arena_raw(a, (size_t)1 << 48));
	struct verdict v = setup_no_memory(a);
	assert_int_equal(v.cause, CAUSE_STORE_UNAVAILABLE);
	assert_int_equal(cause_kind(v.cause), CAUSE_KIND_TRANSIENT);
	setup_refuse(&r, target, ORIGIN_HOME_ACMS, &v, &response);
	assert_int_equal(response.n_mc_ids, 2);
	assert_str(response.mc_ids[0], "b");
	arena_free(a);
	a = arena_new(16);
	assert_null(arena_raw(a, 1000));
	v = setup_no_memory(a);
	assert_int_equal(v.cause, CAUSE_TOO_MANY_IDENTITIES);
	setup_refuse(&r, target, ORIGIN_HOME_ACMS, &v, &response);
	assert_int_equal(response.n_mc_ids, 0);
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
	struct str mc_ids[] = { STR("b"), STR("a") };
	struct service_id_entry ids[] = { { STR("a"), 1, STR("SIP:1@x.example") } };
	struct setup_request r = make(mc_ids, 2, ids, 1);
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

static void responses_that_cannot_be_answers(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct str mc_ids[] = { STR("a"), STR("b") }, swapped[] = { STR("b"), STR("a") }, other[] = { STR("a"), STR("c") };
	struct service_id_entry ids[] = { { STR("a"), 1, STR("sip:a@x.example") } };
	struct setup_request r = make(mc_ids, 2, ids, 1);
	struct setup_response good, bad;
	struct verdict done = { .cause = CAUSE_NO_CAUSE };
	struct setup s;
	check(a, &r, &s);
	setup_to_response(&s, target, ORIGIN_PARTNER_ACMS, &done, &good);
	assert_non_null(setup_response_fault(&s, target, 1, &good)); /* version 1 has lists */
	assert_true(setup_spell_out(a, &s, &good));
	assert_null(setup_response_fault(&s, target, 1, &good));
	bad = good, bad.mc_ids = swapped;
	assert_null(setup_response_fault(&s, target, 1, &bad));
	bad = good, bad.n_service_ids = 0;
	assert_null(setup_response_fault(&s, target, 1, &bad));
	bad = good, bad.mc_ids = other;
	assert_non_null(setup_response_fault(&s, target, 1, &bad));
	bad = good, bad.n_mc_ids = 0;
	assert_non_null(setup_response_fault(&s, target, 1, &bad));
	bad = good, bad.cause = CAUSE_SHUTTING_DOWN;
	assert_non_null(setup_response_fault(&s, target, 1, &bad));
	bad = good, bad.result = false;
	assert_non_null(setup_response_fault(&s, target, 1, &bad));
	bad = good, bad.origin = ORIGIN_HOME_ACMS;
	assert_non_null(setup_response_fault(&s, target, 1, &bad));
	bad = good, bad.mc_system_id = STR("rail.example");
	assert_non_null(setup_response_fault(&s, target, 1, &bad));
	struct service_id_entry wrong[] = { { STR("b"), 1, STR("sip:a@x.example") } };
	bad = good, bad.service_ids = wrong;
	assert_non_null(setup_response_fault(&s, target, 1, &bad));
	struct service_id_entry two[] = { { STR("a"), 1, STR("sip:a@x.example") }, { STR("b"), 2, STR("sip:b@x.example") } };
	struct service_id_entry twice[] = { two[0], two[0] }, turned[] = { two[1], two[0] };
	struct setup_request r2 = make(mc_ids, 2, two, 2);
	struct setup s2;
	check(a, &r2, &s2);
	bad = good, bad.service_ids = turned, bad.n_service_ids = 2; /* a set: any order */
	assert_null(setup_response_fault(&s2, target, 1, &bad));
	bad.service_ids = twice; /* one of them twice is not both */
	assert_non_null(setup_response_fault(&s2, target, 1, &bad));
	struct service_id_entry off[][2] = { { two[0], two[1] }, { two[0], two[1] }, { two[0], two[1] } };
	off[0][1].mc_id = STR("a"), off[1][1].service = 1, off[2][1].mc_service_id = STR("sip:c@x.example");
	for (size_t i = 0; i < 3; i++) { /* in order, and wrong at the end */
		bad.service_ids = off[i];
		assert_non_null(setup_response_fault(&s2, target, 1, &bad));
	}
	struct identity_cause stranger = { STR("z"), STR_NONE, CAUSE_MC_SERVICE_ID_IN_USE };
	bad = good, bad.result = false, bad.cause = CAUSE_MC_SERVICE_ID_IN_USE, bad.n_service_ids = 0;
	assert_null(setup_response_fault(&s, target, 1, &bad));
	bad.identities = &stranger, bad.n_identities = 1;
	assert_non_null(setup_response_fault(&s, target, 1, &bad));
	struct identity_cause known = { STR("a"), STR_NONE, CAUSE_MC_SERVICE_ID_IN_USE };
	bad.identities = &known;
	for (int cause = -1; cause <= 800; cause++) { /* an identity's is of the classes 1, 2 and 4 */
		int class = cause / 100;
		known.cause = (enum cause)cause;
		assert_int_equal(setup_response_fault(&s, target, 1, &bad) == NULL,
				 (class == 1 || class == 2 || class == 4) && cause != CAUSE_PARTLY_DONE &&
					 cause != CAUSE_UNKNOWN_REQUEST);
	}
	bad = good, bad.result = false, bad.cause = CAUSE_MC_SERVICE_ID_IN_USE; /* the MC service IDs of the request */
	assert_non_null(setup_response_fault(&s, target, 1, &bad));
	bad.n_service_ids = 0;
	bad.n_identities = 0;
	for (int cause = -1; cause <= 800; cause++) {
		bad.cause = (enum cause)cause;
		assert_int_equal(setup_response_fault(&s, target, 1, &bad) == NULL,
				 cause >= 100 && cause < 600 && cause != CAUSE_PARTLY_DONE);
	}
	bad.cause = (enum cause)INT_MAX;
	assert_non_null(setup_response_fault(&s, target, 1, &bad));
	bad = good, bad.result = false, bad.cause = CAUSE_INVALID_MC_ID, bad.n_mc_ids = bad.n_service_ids = 0;
	assert_null(setup_response_fault(&s, target, 1, &bad));
	arena_free(a);
}

/* Many users in the worst order: sorted and paired without comparing each with each. */
static void large_requests_take_no_quadratic_time(void **state)
{
	(void)state;
	enum { N = 200000 };
	static char names[N][8], uris[N][32];
	struct str *mc_ids = calloc(N, sizeof *mc_ids);
	struct service_id_entry *ids = calloc(N, sizeof *ids);
	struct arena *a = arena_new(0);
	struct limits limits = LIMITS_DEFAULT;
	struct setup s;
	limits.max_mc_ids = N;
	for (size_t i = 0; i < N; i++) {
		size_t from = N - 1 - i, pair = i * 7919 % N;
		snprintf(names[i], sizeof names[i], "%06u", (unsigned)from);
		snprintf(uris[i], sizeof uris[i], "sip:%06u@police.example", (unsigned)pair);
		mc_ids[i] = str_of(names[i]);
	}
	for (size_t i = 0; i < N; i++)
		ids[i] = (struct service_id_entry){ mc_ids[i * 7919 % N], 1, str_of(uris[i]) };
	struct setup_request r = make(mc_ids, N, ids, N);
	assert_int_equal(setup_check(a, &r, &limits, &s).cause, CAUSE_NO_CAUSE);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(s.users[i].n_service_ids, 1);
	assert_str(s.users[1].mc_id, "000001");
	arena_free(a);
	free(mc_ids);
	free(ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sorted_paired_and_canonical),
		cmocka_unit_test(all_identities_in_the_way_are_named),
		cmocka_unit_test(one_uri_is_one_users),
		cmocka_unit_test(the_order_of_keys_is_left_behind),
		cmocka_unit_test(users_are_found_wherever_they_are),
		cmocka_unit_test(bounds_and_missing_elements),
		cmocka_unit_test(a_spent_arena_refuses),
		cmocka_unit_test(want_of_memory_is_transient),
		cmocka_unit_test(large_requests_take_no_quadratic_time),
		cmocka_unit_test(responses_that_cannot_be_answers),
	};
	return cmocka_run_group_tests_name("setup", tests, NULL, NULL);
}
