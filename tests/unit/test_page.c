// needs: common/page.c
/* Which pages can be answers to which queries. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/page.h"

static struct user_entry users[] = { { .mc_id = STR("b"), .revision = 1 }, { .mc_id = STR("c"), .revision = 2 },
				     { .mc_id = STR("e"), .revision = 3 } };

static struct message page_of(size_t n, bool more)
{
	return (struct message){ .kind = MESSAGE_USERS_PAGE,
				 .users_page = { .page = { .more = more }, .users = users, .n_users = n } };
}

static bool fits(const struct message *query, struct message page)
{
	return page_fault(query, &page) == NULL;
}

static void users_are_what_was_asked_for(void **state)
{
	(void)state;
	struct message m = { .kind = MESSAGE_USERS_QUERY };
	struct users_query *q = &m.users_query;
	assert_true(fits(&m, page_of(3, true)));
	assert_true(fits(&m, page_of(0, false)));
	assert_false(fits(&m, page_of(0, true)));
	q->max = 3;
	assert_true(fits(&m, page_of(3, true)));
	q->max = 2;
	assert_false(fits(&m, page_of(3, true)));
	*q = (struct users_query){ .from = STR("b"), .to = STR("f") };
	assert_true(fits(&m, page_of(3, false)));
	q->to = STR("e"); /* is outside */
	assert_false(fits(&m, page_of(3, false)));
	assert_true(fits(&m, page_of(2, false)));
	*q = (struct users_query){ .from = STR("bb") };
	assert_false(fits(&m, page_of(3, false)));
	*q = (struct users_query){ .after = STR("a") };
	assert_true(fits(&m, page_of(3, false)));
	q->after = STR("b"); /* came before */
	assert_false(fits(&m, page_of(3, false)));
}

static void users_are_in_order_and_have_revisions(void **state)
{
	(void)state;
	struct message m = { .kind = MESSAGE_USERS_QUERY };
	users[1].revision = 0;
	assert_false(fits(&m, page_of(3, false)));
	m.users_query.believed = true;
	assert_true(fits(&m, page_of(3, false)));
	users[1].revision = 2;
	users[1].mc_id = STR("b");
	assert_false(fits(&m, page_of(3, false)));
	users[1].mc_id = STR("f");
	assert_false(fits(&m, page_of(3, false)));
	users[1].mc_id = STR("c");
}

static bool parts(struct str from, struct str to, struct str *splits, size_t n, uint64_t counted)
{
	struct mc_id_range range = { from, to };
	struct range_digest digest = { .users = counted, .splits = splits, .n_splits = n };
	struct message m = { .kind = MESSAGE_DIGEST_QUERY, .digest_query = { .ranges = &range, .n_ranges = 1 } };
	return fits(&m, (struct message){ .kind = MESSAGE_DIGEST_PAGE, .digest_page = { .digests = &digest, .n_digests = 1 } });
}

static void splits_part_their_range(void **state)
{
	(void)state;
	struct str good[] = { STR("b"), STR("c") }, back[] = { STR("c"), STR("b") }, twice[] = { STR("b"), STR("b") };
	struct str many[16];
	static char names[16][2];
	for (size_t i = 0; i < 16; i++) {
		names[i][0] = (char)('a' + i);
		many[i] = str_of(names[i]);
	}
	assert_true(parts(STR_NONE, STR_NONE, good, 2, 9));
	assert_true(parts(STR("a"), STR("d"), good, 2, 9));
	assert_false(parts(STR("b"), STR("d"), good, 2, 9)); /* the first part would be empty */
	assert_false(parts(STR("a"), STR("c"), good, 2, 9));
	assert_false(parts(STR_NONE, STR_NONE, back, 2, 9));
	assert_false(parts(STR_NONE, STR_NONE, twice, 2, 9));
	assert_false(parts(STR_NONE, STR_NONE, good, 2, 1)); /* of one user */
	assert_true(parts(STR_NONE, STR_NONE, many, 15, 99));
	assert_false(parts(STR_NONE, STR_NONE, many, 16, 99));
}

static void answers_are_of_their_query(void **state)
{
	(void)state;
	struct mc_id_range ranges[2] = { { STR_NONE, STR("m") }, { STR("m"), STR_NONE } };
	struct range_digest digests[2] = { { .users = 0 } };
	struct message asked = { .kind = MESSAGE_DIGEST_QUERY, .digest_query = { .ranges = ranges, .n_ranges = 2 } };
	struct message page = { .kind = MESSAGE_DIGEST_PAGE, .digest_page = { .digests = digests, .n_digests = 2 } };
	assert_true(fits(&asked, page));
	page.digest_page.n_digests = 1;
	assert_false(fits(&asked, page));
	page.digest_page.page.cause = CAUSE_STORE_UNAVAILABLE; /* says nothing else */
	assert_true(fits(&asked, page));
	assert_false(fits(&asked, page_of(0, false)));
	asked.kind = MESSAGE_USERS_QUERY;
	assert_false(fits(&asked, page));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(users_are_what_was_asked_for),
		cmocka_unit_test(users_are_in_order_and_have_revisions),
		cmocka_unit_test(splits_part_their_range),
		cmocka_unit_test(answers_are_of_their_query),
	};
	return cmocka_run_group_tests_name("page", tests, NULL, NULL);
}
