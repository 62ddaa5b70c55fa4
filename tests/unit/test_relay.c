// needs: acms/relay.c acms/authorise.c acms/config.c common/conf.c common/log.c common/clock.c common/identity.c common/text.c common/arena.c
#include "acms/relay.h"
#include "unit.h"

/* Answered once, and never without a word about the outcome. */
static void sweep(void **state)
{
	(void)state;
	for (int s = 0; s < RELAY_STATES; s++)
		for (int e = 0; e < RELAY_EVENTS; e++) {
			struct relay_step step = relay_step(s, e);
			if (s == RELAY_ANSWERED)
				assert_int_equal(step.next, RELAY_ANSWERED);
			if (step.next != RELAY_ANSWERED)
				assert_int_equal(step.answer, CAUSE_NO_CAUSE);
			if (s == RELAY_SENT && step.next == RELAY_ANSWERED && e != RELAY_EV_RESPONSE)
				assert_int_equal(step.answer / 100, 6); /* sent: its outcome is unknown */
			if (s == RELAY_QUEUED && step.next == RELAY_ANSWERED)
				assert_true(step.answer != CAUSE_NO_CAUSE && step.answer != CAUSE_PARTNER_TIMEOUT &&
					    step.answer != CAUSE_PARTNER_CONNECTION_LOST);
			assert_false(s == RELAY_SENT && step.next == RELAY_QUEUED);
		}
	assert_int_equal(relay_step(RELAY_SENT, RELAY_EV_RESPONSE).next, RELAY_ANSWERED);
	assert_int_equal(relay_step(RELAY_SENT, RELAY_EV_DEADLINE).answer, CAUSE_PARTNER_TIMEOUT);
	assert_int_equal(relay_step(RELAY_QUEUED, RELAY_EV_DEADLINE).answer, CAUSE_PARTNER_UNREACHABLE);
	assert_int_equal(relay_step(RELAY_QUEUED, RELAY_EV_LOST).next, RELAY_QUEUED);
}

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
	struct route *r = relay_routes(a, &config, &acmc, targets, 6, &n);
	assert_int_equal(n, 5);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(r[i].cause, expected[i]);
	assert_ptr_equal(r[2].partner, &partners[0]);
	assert_non_null(relay_routes(a, &config, &acmc, targets, 0, &n));
	assert_int_equal(n, 0);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(sweep), cmocka_unit_test(routes) };
	return cmocka_run_group_tests_name("relay", tests, NULL, NULL);
}
