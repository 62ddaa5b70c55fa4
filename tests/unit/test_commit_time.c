// needs: acms/commit.c acms/decide.c acms/expire.c acms/plan.c acms/store.c acms/store_open.c acms/store_file.c acms/store_txn.c acms/store_requests.c acms/store_audit.c acms/store_lists.c acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/setup.c common/content.c common/sort.c common/identity.c common/text.c common/arena.c common/error.c common/crypto.c common/cause.c
#include "commit_unit.h"

/* What time does to the store. */

static void users_expire(void **state)
{
	(void)state;
	struct commit_setup w = ask("a=sip:a b=sip:b", 1), forever = ask("c", 2), r = ask("d", 1);
	struct commit_sweep s = { .keep_ms = HOUR, .look_at_requests = true };
	w.setup.has_validity = r.setup.has_validity = true;
	w.setup.validity.not_after_ms = r.setup.validity.not_after_ms = now + 10;
	r.home = STR("rail.example");
	commit(&w), commit(&forever), commit(&r);
	size_t before = audit_log().n;
	now += 9;
	sweep(&s);
	assert_int_equal(held(HOME), 3);
	assert_int_equal(audit_log().n, before);
	now++;
	assert_false(sweep(&s).again);
	assert_int_equal(held(HOME), 1);
	assert_int_equal(held(r.home), 0);
	assert_false(owned("sip:a") || owned("sip:b"));
	struct log l = audit_log();
	assert_int_equal(l.n, before + 2); /* one for each home system */
	assert_int_equal(l.last.action, AUDIT_EXPIRE);
	assert_int_equal(l.last.removed, 1);
	assert_str(l.last.mc_ids[0], "d");
	sweep(&s);
	assert_int_equal(audit_log().n, before + 2);
}

/* What is over is out of everybody's way, even before the sweep. */
static void over_is_as_good_as_removed(void **state)
{
	(void)state;
	struct commit_setup w = ask("a=sip:a b=sip:b", 1), again = ask("a", 2), theirs = ask("z=sip:b", 1), u = ask("b", 4);
	w.setup.has_validity = true;
	w.setup.validity.not_after_ms = now + 10;
	w.most_users = again.most_users = 2;
	theirs.home = STR("rail.example");
	commit(&w);
	now += 10;
	u.setup.operation = OPERATION_UPDATE;
	u.setup.users[0].expected_revision = 1;
	assert_int_equal(cause_of(&u), CAUSE_UNKNOWN_USER);
	struct commit_answer a = commit(&again);
	assert_int_equal(a.verdict.cause, CAUSE_NO_CAUSE);
	assert_int_equal(a.revisions[0], 1); /* anew, without end */
	assert_false(owned("sip:a"));
	assert_int_equal(held(HOME), 2); /* b is still counted */
	assert_int_equal(cause_of(&theirs), CAUSE_NO_CAUSE);
	assert_int_equal(held(HOME), 1);
	assert_int_equal(held(theirs.home), 1);
	assert_true(owned("sip:b"));
	struct commit_sweep s = { .keep_ms = HOUR, .look_at_requests = true };
	size_t before = audit_log().n;
	sweep(&s);
	assert_int_equal(audit_log().n, before);
	assert_int_equal(revision_of(store, HOME, "a"), 1);
}

static void believed_ones_just_go_long_after_their_end(void **state)
{
	(void)state;
	struct commit_sweep s = { .keep_ms = HOUR, .look_at_requests = true };
	struct user_record r = { .revision = 3, .validity = { 0, now } };
	const uint64_t began = now;
	struct store_txn *t = writing(store);
	store_put_user(t, arena, STORE_BELIEVED, HOME, STR("a"), NULL, &r);
	assert_int_equal(store_commit(t, NULL), OK);
	sweep(&s);
	t = reading(store);
	assert_true(store_get_user(t, arena, STORE_BELIEVED, HOME, STR("a"), &r));
	store_abort(t);
	now += 32ull * 24 * HOUR;
	sweep(&s);
	now = began;
	t = reading(store);
	assert_false(store_get_user(t, arena, STORE_BELIEVED, HOME, STR("a"), &r));
	store_abort(t);
	assert_int_equal(audit_log().n, 0);
}

static void answers_are_forgotten(void **state)
{
	(void)state;
	enum { MANY = 1200 };
	struct commit_sweep s = { .keep_ms = 10, .look_at_requests = true };
	struct store_txn *t = writing(store);
	for (unsigned i = 0; i < MANY; i++) {
		struct request_record r = { .answered_ms = now, .keep_until_ms = i % 2 ? now + 100 : 0 };
		struct request_id id = { { (uint8_t)(i >> 8), (uint8_t)i } };
		store_put_request(t, arena, i % 3 ? HOME : STR("rail.example"), id, &r);
	}
	assert_int_equal(store_commit(t, NULL), OK);
	now += 10;
	unsigned steps = 0;
	do {
		sweep(&s);
		steps++;
	} while (s.requests.started);
	assert_in_range(steps, 3, 4);
	size_t left = 0;
	t = reading(store);
	for (unsigned i = 0; i < MANY; i++) {
		struct request_record r;
		struct request_id id = { { (uint8_t)(i >> 8), (uint8_t)i } };
		bool found = store_get_request(t, arena, i % 3 ? HOME : STR("rail.example"), id, &r);
		assert_int_equal(found, i % 2);
		left += found;
	}
	store_abort(t);
	assert_int_equal(left, MANY / 2);
	now += 100;
	do {
		sweep(&s);
	} while (s.requests.started);
	assert_null(find(0).detail);
}

/* A replay finds the answer, or has expired by any clock that is not off by an hour. */
static void answers_outlive_their_requests(void **state)
{
	(void)state;
	struct commit_setup w = ask("a", 1);
	struct commit_sweep s = { .keep_ms = 10, .look_at_requests = true };
	commit(&w);
	now = w.setup.expires_ms + HOUR - 1;
	sweep(&s);
	assert_true(commit(&w).repeated);
	now++;
	sweep(&s);
	assert_int_equal(cause_of(&w), CAUSE_REQUEST_EXPIRED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		COMMIT_TEST(users_expire),
		COMMIT_TEST(over_is_as_good_as_removed),
		COMMIT_TEST(believed_ones_just_go_long_after_their_end),
		COMMIT_TEST(answers_are_forgotten),
		COMMIT_TEST(answers_outlive_their_requests),
	};
	return cmocka_run_group_tests_name("commit_time", tests, NULL, NULL);
}
