// needs: acms/share.c
#include "acms/share.h"
#include "unit.h"

/* How parties share what requests may take. */

enum { MOST = 1000 };

/* Takes one by one until it is full; how much that was. */
static size_t fill(struct share_pool *pool, struct share *share)
{
	while (!share_take(pool, share, 1)) {
	}
	return share->held;
}

static void one_gets_half_and_n_an_equal_part_each(void **state)
{
	(void)state;
	for (size_t n = 1; n <= 20; n++) {
		struct share_pool pool = { .most = MOST };
		struct share shares[20] = { { 0, false } };
		bool full = false;
		while (!full) { /* all at the same time */
			full = true;
			for (size_t i = 0; i < n; i++) {
				if (!shares[i].full)
					share_take(&pool, &shares[i], 1);
				full &= shares[i].full;
			}
		}
		for (size_t i = 0; i < n; i++)
			assert_in_range(shares[i].held, MOST / (n + 1) - 1, MOST / (n + 1) + 2); /* one by one, in whole numbers */
	}
}

/* Whoever comes after those who want all of it still has room, each half as much as the one before. */
static void there_is_room_for_who_wants_little(void **state)
{
	(void)state;
	struct share_pool pool = { .most = MOST };
	struct share greedy = { 0, false }, second = { 0, false }, modest = { 0, false };
	assert_in_range(fill(&pool, &greedy), MOST / 2, MOST / 2 + 1);
	assert_in_range(fill(&pool, &second), MOST / 4, MOST / 4 + 1);
	assert_false(share_take(&pool, &modest, 10));
	assert_false(modest.full);
	assert_true(greedy.full && second.full);
	assert_in_range(pool.used, 1, MOST);
}

/* It is told when it becomes full, and when it is not any more, once each; with all given back there is always room. */
static void full_and_not_full_are_told_once(void **state)
{
	(void)state;
	struct share_pool pool = { .most = MOST };
	struct share a = { 0, false }, other = { 0, false };
	fill(&pool, &a);
	assert_false(share_take(&pool, &a, 100)); /* what was read already still comes */
	size_t told = 0, at = 0;
	while (a.held > 0) {
		bool again = share_give_back(&pool, &a, 1);
		told += again;
		at = again ? a.held : at;
	}
	assert_int_equal(told, 1);
	assert_in_range(at, MOST / 3 - 1, MOST / 3 + 1); /* half of what is left then */
	fill(&pool, &a);
	pool.most = 10; /* it was configured anew */
	share_take(&pool, &other, MOST);
	assert_true(other.full);
	assert_false(share_give_back(&pool, &a, a.held - 1));
	assert_true(share_give_back(&pool, &a, 1));
	assert_true(share_give_back(&pool, &other, MOST));
	assert_int_equal(pool.used, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_gets_half_and_n_an_equal_part_each),
		cmocka_unit_test(there_is_room_for_who_wants_little),
		cmocka_unit_test(full_and_not_full_are_told_once),
	};
	return cmocka_run_group_tests_name("share", tests, NULL, NULL);
}
