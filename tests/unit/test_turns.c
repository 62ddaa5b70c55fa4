// needs: acms/turns.c
#include <stdlib.h>
#include "acms/turns.h"
#include "unit.h"

/* Names take turns, whoever of them wants how much. */

static struct turn all[3][400];

static size_t wait_for(struct turns *t, struct str name, struct turn *turns, size_t n)
{
	size_t waiting = 0;
	while (waiting < n && turns_wait(t, name, &turns[waiting]))
		waiting++;
	return waiting;
}

/* Whose it is: a, b, c; '-': nobody's. */
static char next(struct turns *t, struct turn **out)
{
	struct turn *turn = turns_next(t);
	if (out)
		*out = turn;
	for (int i = 0; turn && i < 3; i++) {
		if (turn >= all[i] && turn < all[i] + 400)
			return (char)('a' + i);
	}
	return '-';
}

static void leave_all(struct turns *t)
{
	for (int i = 0; i < 3; i++) {
		for (int j = 0; j < 400; j++) {
			if (all[i][j].group)
				turns_leave(t, &all[i][j]);
		}
	}
	assert_true(TAILQ_EMPTY(&t->groups)); /* and nothing is left of the names */
}

static void names_take_turns(void **state)
{
	(void)state;
	struct turns t;
	turns_init(&t);
	assert_int_equal(wait_for(&t, STR("a"), all[0], 10), 10);
	assert_int_equal(next(&t, NULL), 'a');
	assert_int_equal(next(&t, NULL), 'a');
	assert_int_equal(wait_for(&t, STR("b"), all[1], 3), 3);
	assert_int_equal(wait_for(&t, STR("c"), all[2], 1), 1);
	const char *order = "abcababaaa";
	for (const char *p = order; *p; p++)
		assert_int_equal(next(&t, NULL), *p);
	leave_all(&t);
}

static void so_many_wait_and_so_many_are_under_way(void **state)
{
	(void)state;
	struct turns t;
	struct turn *turn;
	turns_init(&t);
	assert_int_equal(wait_for(&t, STR("a"), all[0], 400), TURNS_WAITING_MAX);
	assert_int_equal(wait_for(&t, STR("b"), all[1], 400), TURNS_WAITING_MAX);
	turns_leave(&t, &all[0][7]); /* who asked has gone */
	assert_true(turns_wait(&t, STR("a"), &all[0][7]));
	assert_false(turns_wait(&t, STR("a"), &all[0][399]));
	for (int i = 0; i < TURNS_UNDER_WAY_MAX; i++) {
		assert_int_equal(next(&t, NULL), 'a');
		assert_int_equal(next(&t, &turn), 'b');
	}
	assert_int_equal(next(&t, NULL), '-');
	assert_true(turns_wait(&t, STR("c"), &all[2][0])); /* has nothing under way */
	assert_int_equal(next(&t, NULL), 'c');
	turns_leave(&t, turn);
	assert_int_equal(next(&t, NULL), 'b');
	assert_int_equal(next(&t, NULL), '-');
	leave_all(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_take_turns),
		cmocka_unit_test(so_many_wait_and_so_many_are_under_way),
	};
	return cmocka_run_group_tests_name("turns", tests, NULL, NULL);
}
