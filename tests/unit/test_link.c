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
				assert_true(link_is_up(step.next));
			/* who waits is never forgotten: down means that a timer runs */
			if (step.next == LINK_DOWN && s != LINK_DOWN)
				assert_true(step.actions & (LINK_DO_RETRY_SOON | LINK_DO_RETRY_LATER));
			/* what was sent over a connection that is gone is answered */
			if (e == LINK_EV_ENDED && s != LINK_DOWN && s != LINK_CONNECTING)
				assert_true(step.actions & LINK_DO_LOSE_SENT);
			assert_string_not_equal(link_state_name(s), "?");
		}
	assert_true(link_step(LINK_CONNECTING, LINK_EV_ENDED).actions & LINK_DO_FAIL_QUEUED);
	assert_true(link_step(LINK_STOPPED, LINK_EV_WANT).actions & LINK_DO_FAIL_QUEUED);
}

/* Only what was of use is followed by another connection at once, and nothing else forgets failures; but for a reload. */
static void back_off(void **state)
{
	(void)state;
	for (int s = 0; s < LINK_STATES; s++)
		for (int e = 0; e < LINK_EVENTS; e++) {
			struct link_step step = link_step(s, e);
			bool was_useful = s == LINK_UP || s == LINK_DRAINING;
			if (step.actions & LINK_DO_RETRY_SOON)
				assert_true((e == LINK_EV_ENDED && was_useful) || e == LINK_EV_RECONNECT);
			if (step.actions & LINK_DO_RETRY_LATER)
				assert_true(e == LINK_EV_ENDED && !was_useful);
			if (step.actions & LINK_DO_RESET)
				assert_true((e == LINK_EV_USEFUL && s == LINK_TRIED) || e == LINK_EV_RECONNECT);
			/* to be of use is not to be had by other means */
			if ((step.next == LINK_UP || step.next == LINK_DRAINING) && !was_useful)
				assert_true(e == LINK_EV_USEFUL || e == LINK_EV_RECONNECT);
			if (e == LINK_EV_BROKEN)
				assert_true((int)step.next == s || step.next == LINK_PARTING);
			if (e == LINK_EV_BROKEN && was_useful)
				assert_int_equal(step.next, LINK_PARTING);
			/* requests that come do not shorten the time until the next attempt */
			if (e == LINK_EV_WANT)
				assert_false(step.actions & (LINK_DO_RETRY_SOON | LINK_DO_RETRY_LATER | LINK_DO_CONNECT));
		}
}

/* Hellos and an end, again and again. */
static void a_partner_that_closes_after_hello(void **state)
{
	static const enum link_event ends[] = { LINK_EV_ENDED, LINK_EV_CLOSE, LINK_EV_BROKEN };
	(void)state;
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		enum link_state s = LINK_DOWN;
		unsigned failures = 0;
		for (int round = 0; round < 10; round++) {
			s = link_step(s, LINK_EV_RETRY).next;
			s = link_step(s, LINK_EV_UP).next;
			assert_true(link_is_up(s));
			struct link_step step = link_step(s, ends[i]);
			if (ends[i] != LINK_EV_ENDED)
				step = link_step(step.next, LINK_EV_ENDED);
			assert_true(step.actions & LINK_DO_RETRY_LATER);
			assert_false(step.actions & LINK_DO_RESET);
			failures++;
			s = step.next;
		}
		assert_true(link_backoff_ms(failures, 0) == 60000);
	}
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
	const struct CMUnitTest tests[] = { cmocka_unit_test(sweep), cmocka_unit_test(back_off),
					     cmocka_unit_test(a_partner_that_closes_after_hello),
					     cmocka_unit_test(backoff) };
	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
