// needs: acms/route.c acms/authorise.c acms/config.c acms/config_check.c common/conf.c common/trusted_file.c common/error.c common/log.c common/clock.c common/identity.c common/text.c common/arena.c
#include "acms/route.h"
#include "unit.h"

static void routes(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct partner_rule partners[] = { { .mc_system_id = STR("b.example"), .host = STR("h") },
					   { .mc_system_id = STR("c.example"), .host = STR("h") } };
	struct config config = { .mc_system_id = STR("a.example"), .partners = partners, .n_partners = 2 };
	struct str allowed = STR("b.example");
	struct acmc_rule acmc = { .partners = { &allowed, 1 } };
	struct str targets[] = { STR("c.example"), STR("b.example"), STR("d.example"), STR("a.example"), STR("d.example"),
				 STR("B.example") };
	static const enum cause expected[] = { CAUSE_INVALID_TARGET, CAUSE_TARGET_IS_OWN_SYSTEM, CAUSE_NO_CAUSE,
					       CAUSE_TARGET_NOT_PERMITTED, CAUSE_DUPLICATE_TARGET };
	size_t n;
	struct route *r = routes_of(a, &config, &acmc, targets, 6, &n);
	assert_int_equal(n, 5);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(r[i].cause, expected[i]);
	assert_non_null(routes_of(a, &config, &acmc, targets, 0, &n));
	assert_int_equal(n, 0);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(routes) };
	return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
