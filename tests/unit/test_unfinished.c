// needs: acms/unfinished.c
#include "acms/unfinished.h"
#include "unit.h"

/* The room that unfinished requests take: whose it is, and who is refused when it is full. */

static const struct unfinished_bounds most = { .requests = 10, .requests_per_acmc = 4, .bytes = 1000, .bytes_per_acmc = 400 };

/* True: there was room for it. */
static bool ask(struct unfinished *u, struct unfinished_of *acmc, uint64_t bytes)
{
	bool room = unfinished_excess(u, acmc, bytes, &most) == NULL;
	if (room)
		unfinished_add(u, acmc, bytes);
	return room;
}

static void who_fills_its_share_leaves_the_others_theirs(void **state)
{
	(void)state;
	struct unfinished u = { .first = NULL };
	struct unfinished_of *a = unfinished_of(&u, STR("a")), *b = unfinished_of(&u, STR("b"));
	assert_ptr_equal(unfinished_of(&u, STR("a")), a);
	assert_ptr_not_equal(a, b);
	for (int i = 0; i < 8; i++)
		assert_int_equal(ask(&u, a, 1), i < 4);
	for (int i = 0; i < 8; i++)
		assert_int_equal(ask(&u, b, 1), i < 4);
	struct unfinished_of *c = unfinished_of(&u, STR("c"));
	for (int i = 0; i < 8; i++)
		assert_int_equal(ask(&u, c, 1), i < 2); /* ten in all */
	unfinished_remove(&u, a, 1);
	assert_false(ask(&u, b, 1));
	assert_true(ask(&u, a, 1));
	assert_int_equal(u.requests, 10);
	unfinished_free(&u);
	assert_int_equal(u.requests, 0);
}

static void bytes_count_as_well(void **state)
{
	(void)state;
	struct unfinished u = { .first = NULL };
	struct unfinished_of *a = unfinished_of(&u, STR("a")), *b = unfinished_of(&u, STR("b"));
	assert_true(ask(&u, a, 300));
	assert_false(ask(&u, a, 101));
	assert_true(ask(&u, a, 100));
	assert_false(ask(&u, a, 1));
	assert_true(ask(&u, b, 600)); /* its only one */
	assert_false(ask(&u, b, 0));
	unfinished_remove(&u, b, 600);
	assert_true(ask(&u, b, 400));
	struct unfinished_of *c = unfinished_of(&u, STR("c"));
	assert_true(ask(&u, c, 10));
	assert_true(ask(&u, c, 190));
	assert_false(ask(&u, c, 1)); /* a thousand in all */
	assert_int_equal(u.bytes, 1000);
	unfinished_remove(&u, NULL, 17);
	assert_int_equal(u.bytes, 1000);
	unfinished_free(&u);
}

static void a_request_takes_what_is_in_it(void **state)
{
	(void)state;
	const struct user_service_id ids[] = { { MC_SERVICE_MCPTT, STR("sip:a@b.example") }, { MC_SERVICE_MCDATA, STR("sip:a@b.example") } };
	struct setup_user users[] = { { .mc_id = STR("a@b.example"), .service_ids = ids, .n_service_ids = 2 },
					    { .mc_id = STR("c@b.example") } };
	struct setup one = { .users = users + 1, .n_users = 1 }, two = { .users = users, .n_users = 2 };
	assert_int_equal(unfinished_bytes(&two, 1) - unfinished_bytes(&one, 1), 11 + 15 + 15 + 3 * 16);
	assert_int_equal(unfinished_bytes(&one, 100) - unfinished_bytes(&one, 1), 99 * 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_fills_its_share_leaves_the_others_theirs),
		cmocka_unit_test(bytes_count_as_well),
		cmocka_unit_test(a_request_takes_what_is_in_it),
	};
	return cmocka_run_group_tests_name("unfinished", tests, NULL, NULL);
}
