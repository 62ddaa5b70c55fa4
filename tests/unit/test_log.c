// needs: common/log.c common/clock.c common/text.c
#include "common/log.h"
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <unistd.h>
#include "tests/unit/unit.h"

/* The log goes into a pipe here, so that single writes can be told apart from what they add up to. */

static int from, saved;
static char got[1 << 16];

static int redirect(void **state)
{
	int ends[2];
	(void)state;
	if (pipe2(ends, O_NONBLOCK) != 0)
		return 1;
	saved = dup(STDERR_FILENO);
	from = ends[0];
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	return 0;
}

static int restore(void **state)
{
	(void)state;
	log_gather(false);
	log_set_level(LOG_LEVEL_INFO);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(from);
	return 0;
}

/* What has been written since. */
static const char *written(void)
{
	ssize_t n = read(from, got, sizeof got - 1);
	got[n > 0 ? n : 0] = '\0';
	return got;
}

static void a_line_has_time_and_level(void **state)
{
	int year, month, day, hour, minute, second, ms, end = 0;
	(void)state;
	for (int i = 0; i < 2; i++) {
		log_info("number %d", 7);
		assert_int_equal(sscanf(written(), "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ info: number 7\n%n", &year, &month,
					&day, &hour, &minute, &second, &ms, &end), 7);
		assert_int_equal(got[end], '\0');
	}
	log_debug("not shown");
	assert_string_equal(written(), "");
}

static void a_long_line_is_cut(void **state)
{
	(void)state;
	for (int gather = 0; gather < 2; gather++) {
		log_gather(gather);
		log_info("%5000d", 1);
		log_flush();
		assert_int_equal(strlen(written()), PIPE_BUF - 1);
		assert_int_equal(got[PIPE_BUF - 2], '\n');
	}
}

static void gathered_lines_wait_for_the_flush(void **state)
{
	(void)state;
	log_gather(true);
	log_info("one");
	log_info("two");
	assert_string_equal(written(), "");
	log_flush();
	assert_non_null(strstr(written(), "info: one\n"));
	assert_non_null(strstr(got, "info: two\n"));
	log_flush();
	assert_string_equal(written(), "");
	log_info("three");
	log_gather(false);
	assert_non_null(strstr(written(), "info: three\n"));
	log_info("four");
	assert_non_null(strstr(written(), "info: four\n"));
}

static void warnings_do_not_wait(void **state)
{
	(void)state;
	log_gather(true);
	log_info("before");
	log_warning("careful");
	const char *warning = strstr(written(), "warning: careful\n");
	assert_non_null(warning);
	assert_true(strstr(got, "info: before\n") < warning && strstr(got, "info: before\n"));
	log_error("bad");
	assert_non_null(strstr(written(), "error: bad\n"));
}

static void no_line_is_torn_or_lost(void **state)
{
	(void)state;
	size_t lines = 0;
	log_gather(true);
	for (int i = 0; i < 200; i++)
		log_info("line %d of %*d", i, i, 0);
	log_flush();
	for (char *line = strtok((char *)written(), "\n"); line; line = strtok(NULL, "\n")) {
		int number = -1;
		assert_int_equal(sscanf(line, "%*s info: line %d of", &number), 1);
		assert_int_equal(number, lines++);
	}
	assert_int_equal(lines, 200);
}

static void *log_elsewhere(void *unused)
{
	log_info("from another thread");
	log_flush();
	return unused;
}

static void other_threads_do_not_gather(void **state)
{
	pthread_t thread;
	(void)state;
	log_gather(true);
	log_info("mine");
	pthread_create(&thread, NULL, log_elsewhere, NULL);
	pthread_join(thread, NULL);
	assert_non_null(strstr(written(), "from another thread\n"));
	assert_null(strstr(got, "mine"));
	log_flush();
	assert_non_null(strstr(written(), "mine\n"));
}

#define LOG_TEST(f) cmocka_unit_test_setup_teardown(f, redirect, restore)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(a_line_has_time_and_level),
		LOG_TEST(a_long_line_is_cut),
		LOG_TEST(gathered_lines_wait_for_the_flush),
		LOG_TEST(warnings_do_not_wait),
		LOG_TEST(no_line_is_torn_or_lost),
		LOG_TEST(other_threads_do_not_gather),
	};
	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
