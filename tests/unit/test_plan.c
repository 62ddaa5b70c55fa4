// needs: acms/plan.c common/arena.c
#include "acms/plan.h"
#include "unit.h"

static const struct user_service_id X = { 1, { "sip:x@h.example", 15 } }, Y = { 1, { "sip:y@h.example", 15 } };

static struct plan run(struct arena *a, struct setup_user *users, size_t n, const struct plan_user *known, uint64_t held,
		       uint64_t most)
{
	struct setup s = { .users = users, .n_users = n, .request_id = { "new" } };
	struct plan p;
	for (size_t i = 0; i < n; i++)
		s.n_service_ids += users[i].n_service_ids;
	assert_true(plan_setup(a, &s, STR("home.example"), known, held, most, 77, &p));
	return p;
}

static void created_unchanged_replaced_kept(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct plan_owner none = { 0 }, mine = { true, { STR("home.example"), STR("b") } };
	struct user_record had = { .revision = 4, .service_ids = &X, .n_service_ids = 1, .created_ms = 5, .changed_ms = 6 };
	struct setup_user users[] = { { STR("a"), &Y, 1 }, { STR("b"), &X, 1 }, { STR("c"), NULL, 0 } };
	struct plan_user known[] = { { .owners = &none }, { true, had, &mine }, { true, had, NULL } };
	struct plan p = run(a, users, 3, known, 2, 3);
	assert_int_equal(p.verdict.cause, CAUSE_NO_CAUSE);
	assert_int_equal(p.changes[0].kind, USER_CREATED);
	assert_int_equal(p.changes[0].record.revision, 1);
	assert_int_equal(p.changes[0].record.created_ms, 77);
	assert_int_equal(p.changes[1].kind, USER_UNCHANGED);
	assert_int_equal(p.changes[2].kind, USER_UNCHANGED); /* not provided: kept */
	assert_int_equal(p.n_released, 0);
	users[1].service_ids = &Y, users[0].n_service_ids = 0;
	mine.found = false;
	p = run(a, users, 2, known, 2, 3);
	assert_int_equal(p.changes[1].kind, USER_REPLACED);
	assert_int_equal(p.changes[1].record.revision, 5);
	assert_int_equal(p.changes[1].record.created_ms, 5);
	assert_int_equal(p.changes[1].record.changed_ms, 77);
	assert_memory_equal(&p.changes[1].record.by, "new", 4);
	assert_int_equal(p.n_released, 1);
	assert_str(p.released[0], "sip:x@h.example");
	arena_free(a);
}

static void somebody_elses(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct plan_owner third = { true, { STR("third.example"), STR("a") } }, sibling = { true, { STR("home.example"), STR("z") } };
	struct setup_user users[] = { { STR("a"), &X, 1 }, { STR("b"), &Y, 1 } };
	struct plan_user known[] = { { .owners = &third }, { .owners = &sibling } };
	struct plan p = run(a, users, 2, known, 0, 9);
	assert_int_equal(p.verdict.cause, CAUSE_MC_SERVICE_ID_IN_USE);
	assert_int_equal(p.verdict.n_identities, 2);
	assert_str(p.verdict.identities[1].mc_id, "b");
	arena_free(a);
}

static void a_swap_within_the_request(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct user_record has_x = { .revision = 1, .service_ids = &X, .n_service_ids = 1 },
			   has_y = { .revision = 1, .service_ids = &Y, .n_service_ids = 1 };
	struct plan_owner of_b = { true, { STR("home.example"), STR("b") } }, of_a = { true, { STR("home.example"), STR("a") } };
	struct setup_user users[] = { { STR("a"), &Y, 1 }, { STR("b"), &X, 1 } };
	struct plan_user known[] = { { true, has_x, &of_b }, { true, has_y, &of_a } };
	struct plan p = run(a, users, 2, known, 2, 2);
	assert_int_equal(p.verdict.cause, CAUSE_NO_CAUSE);
	assert_int_equal(p.replaced, 2);
	assert_int_equal(p.n_released, 2);
	users[1].n_service_ids = 0; /* b says nothing: it keeps y */
	p = run(a, users, 2, known, 2, 2);
	assert_int_equal(p.verdict.cause, CAUSE_MC_SERVICE_ID_IN_USE);
	arena_free(a);
}

static void quota(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct setup_user users[] = { { STR("a"), NULL, 0 }, { STR("b"), NULL, 0 } };
	struct plan_user known[] = { { 0 }, { 0 } };
	assert_int_equal(run(a, users, 2, known, 3, 5).verdict.cause, CAUSE_NO_CAUSE);
	assert_int_equal(run(a, users, 2, known, 4, 5).verdict.cause, CAUSE_USER_QUOTA_EXCEEDED);
	assert_int_equal(run(a, users, 2, known, 9, 5).verdict.cause, CAUSE_USER_QUOTA_EXCEEDED);
	assert_int_equal(run(a, users, 2, known, UINT64_MAX, UINT64_MAX).verdict.cause, CAUSE_USER_QUOTA_EXCEEDED);
	known[0].found = known[1].found = true; /* nobody new: a lowered quota hurts nobody */
	assert_int_equal(run(a, users, 2, known, 9, 5).verdict.cause, CAUSE_NO_CAUSE);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(created_unchanged_replaced_kept),
		cmocka_unit_test(somebody_elses),
		cmocka_unit_test(a_swap_within_the_request),
		cmocka_unit_test(quota),
	};
	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
