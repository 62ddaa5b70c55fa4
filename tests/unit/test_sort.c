// needs: common/sort.c common/arena.c
#include "common/sort.h"
#include "unit.h"

struct item {
	int key;
	size_t place;
};

static size_t compared;

static int compare(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	compared++;
	return (x->key > y->key) - (x->key < y->key);
}

static void check(struct arena *a, struct item *items, size_t n)
{
	const void *sorted[400];
	bool seen[400] = { false };
	for (size_t i = 0; i < n; i++) {
		items[i].place = i;
		sorted[i] = &items[i];
	}
	compared = 0;
	assert_true(sort_runs(a, sorted, n, compare));
	for (size_t i = 0; i < n; i++) {
		const struct item *x = sorted[i], *before = i ? sorted[i - 1] : NULL;
		assert_false(seen[x->place]);
		seen[x->place] = true;
		assert_true(!before || before->key < x->key || (before->key == x->key && before->place < x->place));
	}
}

static void sorts_and_keeps_equal_ones_in_order(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct item items[400];
	srand(1);
	for (size_t round = 0; round < 3000; round++) {
		size_t n = (size_t)rand() % 401;
		int keys = 1 + rand() % 500, rising = rand() % 3;
		for (size_t i = 0; i < n; i++)
			items[i].key = rising && rand() % 20 ? (int)i * rising : rand() % keys;
		check(a, items, n);
		arena_reset(a);
	}
	arena_free(a);
}

static void looks_once_at_what_is_sorted(void **state)
{
	(void)state;
	struct arena *a = arena_new(1); /* and needs no memory for that */
	struct item items[400];
	for (size_t i = 0; i < 400; i++)
		items[i].key = (int)i / 2;
	check(a, items, 400);
	assert_int_equal(compared, 399);
	arena_free(a);
}

static void merges_runs(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct item items[300];
	for (size_t i = 0; i < 300; i++)
		items[i].key = (int)(i % 100); /* three runs */
	check(a, items, 300);
	assert_true(compared < 299 + 200 + 300);
	arena_free(a);
}

static void says_that_memory_is_spent(void **state)
{
	(void)state;
	struct arena *a = arena_new(64);
	struct item items[100];
	const void *sorted[100];
	for (size_t i = 0; i < 100; i++) {
		items[i].key = -(int)i;
		sorted[i] = &items[i];
	}
	assert_false(sort_runs(a, sorted, 100, compare));
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sorts_and_keeps_equal_ones_in_order),
		cmocka_unit_test(looks_once_at_what_is_sorted),
		cmocka_unit_test(merges_runs),
		cmocka_unit_test(says_that_memory_is_spent),
	};
	return cmocka_run_group_tests_name("sort", tests, NULL, NULL);
}
