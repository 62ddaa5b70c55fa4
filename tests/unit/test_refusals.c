// needs: acms/refusals.c common/text.c
#include "acms/refusals.h"
#include "unit.h"

/* How many refusals of a party have entries of their own, and what is told of the others. */

#define HOME STR("police.example")
#define CERTIFICATE STR("DNS:acms.police.example")

enum { MINUTE = 60000, LIMIT = 3 };

/* A request that is refused, or not, from its claim to its end. True: it has an entry. */
static bool request_of(struct refusal_party *p, uint64_t now_ms, bool idle, enum cause cause)
{
	struct refusal_claim c = refusal_claim_of(p, LIMIT, now_ms);
	bool granted = idle && refusal_grant(&c);
	refusal_settle(p, &c, idle, CERTIFICATE, cause);
	return granted;
}

static bool request(struct refusal_party *p, uint64_t now_ms, bool refused)
{
	return request_of(p, now_ms, refused, refused ? CAUSE_OUTSIDE_NAMESPACE : CAUSE_NO_CAUSE);
}

static void so_many_a_minute(void **state)
{
	(void)state;
	struct refusals r = { NULL };
	struct refusal_party *p = refusals_party(&r, HOME, STR_NONE);
	struct refusal_sum sum;
	for (uint64_t minute = 1; minute < 4; minute++) {
		for (unsigned i = 0; i < 10; i++) {
			assert_int_equal(request(p, minute * MINUTE + i, true), i < LIMIT);
			assert_false(request(p, minute * MINUTE + i, false)); /* which takes nothing */
		}
		assert_false(refusal_due(p, minute * MINUTE + 59999, false, &sum));
		assert_true(refusal_due(p, (minute + 1) * MINUTE, false, &sum));
		assert_int_equal(sum.refused, 10 - LIMIT);
		assert_int_equal(sum.cause, CAUSE_OUTSIDE_NAMESPACE);
		assert_str(sum.home, "police.example");
		assert_null(sum.acmc.ptr);
		assert_str(sum.certificate, "DNS:acms.police.example");
		assert_false(refusal_due(p, (minute + 1) * MINUTE, true, &sum));
	}
	assert_false(request(p, 4 * MINUTE, false));
	assert_false(refusal_due(p, 5 * MINUTE, true, &sum));
	for (unsigned i = 0; i < 4; i++)
		request(p, 6 * MINUTE, true);
	assert_true(refusal_due(p, 6 * MINUTE, true, &sum)); /* the server ends */
	assert_int_equal(sum.refused, 1);
	refusals_free(&r);
}

/* A job that is run again keeps what it was granted, and gives it back if it was not refused in the end. */
static void a_claim_is_for_one_request(void **state)
{
	(void)state;
	struct refusals r = { NULL };
	struct refusal_party *p = refusals_party(&r, HOME, STR_NONE);
	for (unsigned i = 0; i < 10; i++) {
		struct refusal_claim c = refusal_claim_of(p, LIMIT, MINUTE);
		for (int run = 0; run < 5; run++)
			assert_true(refusal_grant(&c));
		assert_int_equal(atomic_load(&p->left), LIMIT - 1);
		refusal_settle(p, &c, false, CERTIFICATE, CAUSE_NO_CAUSE);
		assert_int_equal(atomic_load(&p->left), LIMIT);
	}
	assert_true(refusal_grant(NULL));
	struct refusal_claim none = refusal_claim_of(NULL, 1, 1);
	for (int i = 0; i < 3; i++)
		assert_true(refusal_grant(&none));
	refusal_settle(NULL, &none, true, CERTIFICATE, CAUSE_NO_CAUSE);
	refusals_free(&r);
}

static void each_party_for_itself(void **state)
{
	(void)state;
	struct refusals r = { NULL };
	struct refusal_party *p = refusals_party(&r, HOME, STR_NONE), *desk = refusals_party(&r, HOME, STR("desk"));
	struct refusal_party *other = refusals_party(&r, STR("fire.example"), STR_NONE);
	struct refusal_sum sum;
	assert_true(p != desk && p != other && desk != other);
	assert_ptr_equal(refusals_party(&r, HOME, STR_NONE), p);
	assert_ptr_equal(refusals_party(&r, HOME, STR("desk")), desk);
	for (unsigned i = 0; i < 10; i++)
		request(p, MINUTE, true);
	assert_true(request(desk, MINUTE, true));
	assert_true(request(other, MINUTE, true));
	assert_false(refusal_due(desk, 2 * MINUTE, false, &sum));
	assert_true(refusal_due(p, 2 * MINUTE, false, &sum));
	for (unsigned i = 0; i < 4; i++)
		request(desk, MINUTE, true);
	assert_true(refusal_due(desk, 2 * MINUTE, false, &sum));
	assert_str(sum.acmc, "desk");
	refusals_free(&r);
}

/* They share the entries, and are told apart in the sum. */
static void what_changed_nothing_counts_too(void **state)
{
	(void)state;
	struct refusals r = { NULL };
	struct refusal_party *p = refusals_party(&r, HOME, STR_NONE);
	struct refusal_sum sum, again;
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(request_of(p, MINUTE, true, i % 2 ? CAUSE_PARTLY_DONE : CAUSE_NO_CAUSE), i < LIMIT);
	assert_true(refusal_due(p, 2 * MINUTE, false, &sum));
	assert_true(sum.unchanged == 2 && sum.refused == 0);
	assert_int_equal(sum.cause, CAUSE_NO_CAUSE);
	for (unsigned i = 0; i < 4; i++)
		request(p, 2 * MINUTE, true);
	request_of(p, 2 * MINUTE, true, CAUSE_NO_CAUSE);
	assert_true(refusal_due(p, 3 * MINUTE, false, &again));
	assert_true(again.unchanged == 1 && again.refused == 1);
	refusal_sum_again(p, &again); /* it could not be written */
	assert_true(refusal_due(p, 3 * MINUTE, false, &sum));
	assert_true(sum.unchanged == 1 && sum.refused == 1);
	assert_int_equal(sum.cause, CAUSE_OUTSIDE_NAMESPACE);
	request_of(p, 3 * MINUTE, true, CAUSE_NO_CAUSE);
	assert_false(refusal_due(p, 3 * MINUTE, true, &sum)); /* it has an entry */
	refusals_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(so_many_a_minute),
		cmocka_unit_test(a_claim_is_for_one_request),
		cmocka_unit_test(each_party_for_itself),
		cmocka_unit_test(what_changed_nothing_counts_too),
	};
	return cmocka_run_group_tests_name("refusals", tests, NULL, NULL);
}
