// needs: acmc/stocking.c acmc/stock.c acmc/spool.c common/users_file.c common/when.c common/users_csv.c common/users_json.c
// needs: common/json.c common/identity.c common/text.c common/arena.c common/cause.c
/* Users that are put into a stock by a thread of its own are there as if they had been put there at once. */
#include "tests/unit/unit.h"
#include "acmc/stocking.h"

enum { USERS = 20000, BATCH = 700 };

static void add_user(struct users *u, unsigned i)
{
	users_add(u, i + 1, str_of(arena_printf(u->arena, "user%u", i)));
	for (unsigned j = 0; j < i % 4; j++)
		users_add_id(u, i + 1, 1 + (int)j % 3, str_of(arena_printf(u->arena, "tel:+%u%u", j, 1000000 + i)));
}

static void fill_at_once(struct stock *stock)
{
	struct users u;
	users_init(&u, arena_new(0), "F", stderr);
	for (unsigned i = 0; i < USERS; i++) {
		add_user(&u, i);
		stock_take(stock, &u);
	}
	arena_free(u.arena);
	users_free(&u);
}

static void fill_meanwhile(struct stock *stock, bool alone)
{
	struct users u;
	struct stocking s;
	users_init(&u, arena_new(0), "F", stderr);
	assert_true(stocking_begin(&s, stock));
	s.alone = alone;
	for (unsigned i = 0; i < USERS; i++) {
		add_user(&u, i);
		if (u.n == BATCH || i == USERS - 1) {
			stocking_take(&s, &u);
			assert_int_equal(u.n, 0);
		}
	}
	assert_true(s.has_thread != alone);
	stocking_end(&s);
	arena_free(u.arena);
	users_free(&u);
}

static void check_same(struct spool *a, struct spool *b)
{
	enum { PIECE = 64 * 1024 };
	assert_int_equal(spool_size(a), spool_size(b));
	for (uint64_t at = 0; at < spool_size(a); at += PIECE) {
		size_t n = spool_size(a) - at < PIECE ? (size_t)(spool_size(a) - at) : PIECE;
		assert_memory_equal(spool_at(a, at, n), spool_at(b, at, n), n);
	}
}

static void check_filled(bool alone)
{
	struct stock expected = { .n = 0 }, stock = { .n = 0 };
	fill_at_once(&expected);
	fill_meanwhile(&stock, alone);
	assert_int_equal(stock.n, USERS);
	check_same(&expected.users, &stock.users);
	check_same(&expected.hashes, &stock.hashes);
	stock_free(&expected);
	stock_free(&stock);
}

static void a_thread_fills_it(void **state)
{
	(void)state;
	check_filled(false);
}

static void without_a_thread_it_is_filled_at_once(void **state)
{
	(void)state;
	check_filled(true);
}

static void nothing_needs_no_thread(void **state)
{
	struct stock stock = { .n = 0 };
	struct stocking s;
	(void)state;
	assert_true(stocking_begin(&s, &stock));
	assert_false(s.has_thread);
	stocking_end(&s);
	stock_free(&stock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_fills_it),
		cmocka_unit_test(without_a_thread_it_is_filled_at_once),
		cmocka_unit_test(nothing_needs_no_thread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
