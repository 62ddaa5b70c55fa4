// needs: acms/link.c
#include "acms/link.h"
#include "unit.h"

static void sweep(void **state)
{
	(void)state;
	for (int s = 0; s < LINK_STATES; s++)
		for (int e = 0; e < LINK_EVENTS; e++) {
			struct link_step step = link_step(s, e);
			assert_in_range(step.next, 0, LINK_STATES - 1);
			if (s == LINK_STOPPED) /* for good */
				assert_int_equal(step.next, LINK_STOPPED);
			if (e == LINK_EV_STOP)
				assert_int_equal(step.next, LINK_STOPPED);
			if (step.actions & LINK_DO_CONNECT)
				assert_true(s == LINK_DOWN && step.next == LINK_CONNECTING);
			if (step.actions & LINK_DO_SEND)
				assert_int_equal(step.next, LINK_UP);
			/* who waits is never forgotten: down means that a timer runs */
			if (step.next == LINK_DOWN && s != LINK_DOWN)
				assert_true(step.actions & (LINK_DO_RETRY_SOON | LINK_DO_RETRY_LATER));
			/* what was sent over a connection that is gone is answered */
			if (e == LINK_EV_ENDED && (s == LINK_UP || s == LINK_DRAINING || s == LINK_STOPPED))
				assert_true(step.actions & LINK_DO_LOSE_SENT);
			assert_string_not_equal(link_state_name(s), "?");
		}
	assert_true(link_step(LINK_CONNECTING, LINK_EV_ENDED).actions & LINK_DO_FAIL_QUEUED);
	assert_true(link_step(LINK_STOPPED, LINK_EV_WANT).actions & LINK_DO_FAIL_QUEUED);
	assert_true(link_step(LINK_DOWN, LINK_EV_WANT).actions & LINK_DO_RETRY_SOON);
}

static void backoff(void **state)
{
	(void)state;
	for (unsigned failures = 0; failures < 100; failures++) {
		uint64_t most = link_backoff_ms(failures, 0), least = link_backoff_ms(failures, 255);
		assert_in_range(most, 1000, 60000);
		assert_true(least < most && least >= most * 3 / 4);
		assert_true(link_backoff_ms(failures + 1, 0) >= most);
	}
	assert_int_equal(link_backoff_ms(3, 0), 8000);
	assert_int_equal(link_backoff_ms(50, 0), 60000);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(sweep), cmocka_unit_test(backoff) };
	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
