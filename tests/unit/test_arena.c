// needs: common/arena.c
#include "common/arena.h"
#include "unit.h"

static void memory_is_zeroed_and_aligned(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	for (size_t n = 0; n < 5000; n += 37) {
		char *p = arena_alloc(a, n);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xAA, n);
	}
	arena_free(a);
}

static void the_budget_holds(void **state)
{
	(void)state;
	struct arena *a = arena_new(4096);
	assert_non_null(arena_alloc(a, 4000));
	assert_null(arena_alloc(a, 200));
	assert_non_null(arena_alloc(a, 32));
	assert_null(arena_array(a, SIZE_MAX / 2, 4));
	assert_null(arena_alloc(a, SIZE_MAX));
	assert_null(arena_printf(a, "%1000d", 1));
	arena_free(a);
	arena_free(NULL);
}

static void shared_it_lives_until_all_have_freed_it(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct str s = arena_str(a, STR("shared"));
	assert_ptr_equal(arena_share(a), a);
	assert_ptr_equal(arena_share(a), a);
	arena_free(a);
	arena_free(a);
	assert_string_equal(s.ptr, "shared"); /* or address sanitizer says otherwise */
	arena_free(a);
	assert_null(arena_share(NULL));
}

static void texts_are_copied_with_a_nul(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct str s = arena_str(a, (struct str){ "abcdef", 3 });
	assert_string_equal(s.ptr, "abc");
	assert_null(arena_str(a, STR_NONE).ptr);
	assert_non_null(arena_str(a, STR("")).ptr);
	assert_string_equal(arena_printf(a, "%d-%s", 7, "x"), "7-x");
	arena_free(a);
}

static void what_is_not_zeroed_is_memory_all_the_same(void **state)
{
	(void)state;
	struct arena *a = arena_new(4096);
	for (int round = 0; round < 2; round++) {
		char *raw = arena_raw(a, 1000);
		assert_int_equal((uintptr_t)raw % _Alignof(max_align_t), 0);
		memset(raw, 'x', 1000);
		char *zeroed = arena_alloc(a, 1000);
		assert_true(zeroed >= raw + 1000 || raw >= zeroed + 1000);
		assert_int_equal(zeroed[0] | zeroed[999], 0);
		memset(zeroed, 'x', 1000);
		assert_string_equal(arena_str(a, STR("ab")).ptr, "ab");
		assert_null(arena_raw(a, 3000)); /* the budget */
		arena_reset(a);
	}
	arena_free(a);
}

/* Address sanitizer ends a test that asks for as much as no machine has, unless it is told otherwise. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static void what_no_machine_has_is_not_what_the_budget_has_not(void **state)
{
	(void)state;
	struct arena *a = arena_new(4096);
	assert_null(arena_raw(a, 5000));
	assert_false(arena_starved(a));
	arena_free(a);
	a = arena_new(0);
	assert_non_null(arena_raw(a, 5000));
	assert_false(arena_starved(a));
	assert_null(arena_raw(a, (size_t)1 << 48));
	assert_true(arena_starved(a));
	arena_reset(a);
	assert_false(arena_starved(a));
	arena_free(a);
}

static void spares_are_as_new(void **state)
{
	struct arena *arenas[300];
	(void)state;
	arena_keep_spares(true);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 300; i++) {
			arenas[i] = arena_new(4096);
			assert_non_null(arenas[i]);
			char *p = arena_alloc(arenas[i], 1900);
			assert_int_equal(p[0] | p[1899], 0);
			memset(p, 'x', 1900);
			assert_non_null(arena_alloc(arenas[i], 2000));
			assert_null(arena_alloc(arenas[i], 2000)); /* the budget */
		}
		for (int i = 0; i < 300; i++)
			arena_free(arenas[i]);
	}
	arena_keep_spares(false); /* else a leak */
}

static void reset_takes_everything_back(void **state)
{
	(void)state;
	struct arena *a = arena_new(1 << 20);
	arena_reset(a);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 9; i++) {
			char *p = arena_alloc(a, 100000);
			assert_non_null(p);
			assert_int_equal(p[0] | p[99999], 0); /* zeroed again */
			memset(p, 'x', 100000);
		}
		assert_non_null(arena_alloc(a, 20000));
		assert_null(arena_alloc(a, 200000));
		arena_reset(a);
	}
	assert_non_null(arena_alloc(a, 1 << 20)); /* a block of its own, which is not kept */
	arena_reset(a);
	assert_non_null(arena_alloc(a, 1 << 20));
	arena_free(a);
}

static void only_the_latest_is_trimmed(void **state)
{
	(void)state;
	struct arena *a = arena_new(1024);
	char *p = arena_alloc(a, 1000);
	assert_null(arena_alloc(a, 100));
	memset(p, 0xAA, 10);
	arena_trim(a, p, 1000, 10);
	char *q = arena_alloc(a, 900);
	assert_ptr_equal(q, p + 16);
	for (int i = 0; i < 900; i++)
		assert_int_equal(q[i], 0);
	arena_trim(a, p, 10, 0); /* q is behind it */
	assert_null(arena_alloc(a, 200));
	arena_trim(a, NULL, 0, 0);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_zeroed_and_aligned),
		cmocka_unit_test(the_budget_holds),
		cmocka_unit_test(what_no_machine_has_is_not_what_the_budget_has_not),
		cmocka_unit_test(shared_it_lives_until_all_have_freed_it),
		cmocka_unit_test(texts_are_copied_with_a_nul),
		cmocka_unit_test(what_is_not_zeroed_is_memory_all_the_same),
		cmocka_unit_test(spares_are_as_new),
		cmocka_unit_test(reset_takes_everything_back),
		cmocka_unit_test(only_the_latest_is_trimmed),
	};
	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
