// needs: acms/memory.c
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "acms/memory.h"
#include "unit.h"

/* What a peak took returns to the kernel, from all threads' heaps, whatever small blocks stay among the freed ones. */

enum { MIB = 1 << 20, BLOCKS = 24000, SECONDS = 10 };

static void *peak(void *context)
{
	void **stay = context;
	static _Thread_local void *blocks[BLOCKS];
	for (size_t i = 0; i < BLOCKS; i++) {
		blocks[i] = malloc(2000 + i % 5 * 1000); /* 96 MB of them */
		assert_non_null(blocks[i]);
		memset(blocks[i], 1, 2000 + i % 5 * 1000);
	}
	for (size_t i = 0; i < BLOCKS; i++) {
		if (i % 1000 == 999)
			stay[i / 1000] = blocks[i];
		else
			free(blocks[i]);
	}
	return NULL;
}

/* A sanitizer's or valgrind's would not do as it is asked. */
static void need_libcs_allocator(void)
{
	size_t before = mallinfo2().uordblks;
	void *volatile block = malloc(64 << 10);
	bool counted = mallinfo2().uordblks > before;
	free(block);
	if (!counted)
		skip();
}

static void tick(struct memory *m, int seconds)
{
	while (seconds-- > 0)
		memory_tick(m);
}

static void what_was_freed_returns(void **state)
{
	(void)state;
	struct memory m = { 0 };
	void *stay[2][BLOCKS / 1000];
	pthread_t thread;
	need_libcs_allocator();
	memory_begin();
	size_t before = memory_anonymous();
	assert_true(before > 0);
	peak(stay[0]);
	assert_int_equal(pthread_create(&thread, NULL, peak, stay[1]), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(memory_anonymous() > before + 64 * MIB);
	tick(&m, SECONDS / 2); /* it may be needed again at once */
	assert_true(memory_anonymous() > before + 64 * MIB);
	tick(&m, SECONDS / 2);
	assert_true(memory_anonymous() < before + 8 * MIB);
	for (size_t i = 0; i < BLOCKS / 1000; i++)
		free(stay[0][i]), free(stay[1][i]);
}

static void what_is_in_use_stays(void **state)
{
	(void)state;
	struct memory m = { 0 };
	need_libcs_allocator();
	size_t before = memory_anonymous();
	char *large = malloc(64 * MIB), *small = malloc(16);
	assert_non_null(large);
	memset(large, 7, 64 * MIB);
	tick(&m, SECONDS);
	assert_int_equal(large[63 * MIB], 7);
	assert_true(memory_anonymous() > before + 60 * MIB);
	free(large);
	assert_true(memory_anonymous() < before + 8 * MIB); /* at once: it had a map of its own */
	free(small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_freed_returns),
		cmocka_unit_test(what_is_in_use_stays),
	};
	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
