// needs: common/log_limit.c
#include "common/log_limit.h"
#include "unit.h"

static unsigned log_many(struct log_limit *l, unsigned n, uint64_t now_ms, uint64_t *missed)
{
	unsigned logged = 0;
	*missed = 0;
	for (unsigned i = 0; i < n; i++) {
		uint64_t m;
		logged += log_limit_allows(l, LOG_LIMIT_LINES, now_ms, &m);
		*missed += m;
	}
	return logged;
}

static void lines_beyond_the_limit_are_counted_and_told_once(void **state)
{
	(void)state;
	struct log_limit l = { 0 };
	uint64_t missed, start = 5000;
	assert_int_equal(log_many(&l, 1000, start, &missed), LOG_LIMIT_LINES);
	assert_int_equal(missed, 0);
	assert_int_equal(log_many(&l, 7, start + LOG_LIMIT_PERIOD_MS - 1, &missed), 0);
	assert_int_equal(missed, 0);
	assert_int_equal(log_many(&l, 1, start + LOG_LIMIT_PERIOD_MS, &missed), 1);
	assert_int_equal(missed, 1000 - LOG_LIMIT_LINES + 7);
	assert_int_equal(log_many(&l, 5, start + 2 * LOG_LIMIT_PERIOD_MS, &missed), 5);
	assert_int_equal(missed, 0);
}

static void a_flood_costs_as_many_lines_in_each_period(void **state)
{
	(void)state;
	struct log_limit l = { 0 };
	uint64_t all_missed = 0, now = 0;
	unsigned logged = 0, sums = 0, n = 0;
	for (; now < 10 * LOG_LIMIT_PERIOD_MS; now += 3, n++) {
		uint64_t missed;
		logged += log_limit_allows(&l, LOG_LIMIT_LINES, now, &missed);
		sums += missed > 0;
		all_missed += missed;
	}
	all_missed += log_limit_missed(&l, now + LOG_LIMIT_PERIOD_MS);
	assert_int_equal(logged, 10 * LOG_LIMIT_LINES);
	assert_int_equal(sums, 9);
	assert_int_equal(logged + all_missed, n);
}

static void a_timer_tells_what_nobody_asks_for_any_more(void **state)
{
	(void)state;
	struct log_limit l = { 0 };
	uint64_t missed;
	assert_int_equal(log_limit_missed(&l, 0), 0);
	log_many(&l, LOG_LIMIT_LINES + 3, 100, &missed);
	assert_int_equal(log_limit_missed(&l, 100 + LOG_LIMIT_PERIOD_MS - 1), 0);
	assert_int_equal(log_limit_missed(&l, 100 + LOG_LIMIT_PERIOD_MS), 3);
	assert_int_equal(log_limit_missed(&l, 100 + LOG_LIMIT_PERIOD_MS), 0);
	assert_int_equal(log_many(&l, 1, 100 + LOG_LIMIT_PERIOD_MS, &missed), 1);
	assert_int_equal(missed, 0);
}

static void who_says_little_loses_nothing(void **state)
{
	(void)state;
	struct log_limit l = { 0 };
	for (uint64_t now = 0; now < 1000000; now += 1000) {
		uint64_t missed;
		assert_true(log_limit_allows(&l, LOG_LIMIT_LINES, now, &missed));
		assert_int_equal(missed, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_beyond_the_limit_are_counted_and_told_once),
		cmocka_unit_test(a_flood_costs_as_many_lines_in_each_period),
		cmocka_unit_test(a_timer_tells_what_nobody_asks_for_any_more),
		cmocka_unit_test(who_says_little_loses_nothing),
	};
	return cmocka_run_group_tests_name("log_limit", tests, NULL, NULL);
}
