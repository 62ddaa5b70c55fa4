// needs: acms/commit.c acms/decide.c acms/expire.c acms/plan.c acms/store.c acms/store_open.c acms/store_file.c acms/store_txn.c acms/store_requests.c acms/store_audit.c acms/store_lists.c acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/setup.c common/content.c common/sort.c common/identity.c common/text.c common/arena.c common/error.c common/crypto.c common/cause.c
#include "commit_unit.h"

/* What becomes of requests that wait for a decision. */

static void held_until_decided(void **state)
{
	(void)state;
	struct commit_setup w = ask("a=sip:a", 1), more = ask("b", 2), most = ask("c", 3);
	w.approval = more.approval = most.approval = APPROVAL_MANUAL;
	struct commit_answer a = commit(&w);
	assert_true(a.pending && !a.repeated);
	assert_int_equal(a.decide_until_ms, now + HOUR);
	now += 1000;
	a = commit(&w);
	assert_true(a.pending && a.repeated);
	assert_int_equal(a.decide_until_ms, now - 1000 + HOUR);
	assert_int_equal(audit_log().n, 1);
	assert_int_equal(audit_log().last.action, AUDIT_HOLD);
	assert_int_equal(held(HOME), 0);
	more.setup.expires_ms = now + 10;
	assert_int_equal(commit(&more).decide_until_ms, now + 10);
	a = commit(&most);
	assert_int_equal(a.verdict.cause, CAUSE_TOO_MANY_PENDING);
	assert_int_equal(a.n_revisions, 0);
	assert_int_equal(audit_log().n, 2);
	most.setup.request_id = w.setup.request_id;
	assert_int_equal(cause_of(&most), CAUSE_REQUEST_ID_REUSED);

	struct commit_found f = find(1);
	assert_int_equal(f.n, 1);
	assert_str(f.waiting->home, "police.example");
	assert_false(f.waiting->also_of_others);
	w.setup = f.waiting->pending.setup;
	struct commit_decided d = decide(&w, true);
	assert_int_equal(d.cause, CAUSE_NO_CAUSE);
	assert_int_equal(d.answer.verdict.cause, CAUSE_NO_CAUSE);
	assert_int_equal(d.answer.decided_by.at_ms, now);
	assert_content_of(&d.answer, &w.setup);
	struct log l = audit_log();
	assert_int_equal(l.last.action, AUDIT_APPROVE);
	assert_int_equal(l.last.created, 1);
	assert_str(l.last.decided_by.acmc, "ops");
	assert_str(l.last.certificate, "DNS:ops.fire.example");
	assert_int_equal(held(HOME), 1);
	a = commit(&w);
	assert_true(a.repeated && !a.pending);
	assert_str(a.decided_by.acmc, "ops");
	assert_str(a.decided_by.reason, "because");
	d = decide(&w, false); /* too late */
	assert_int_equal(d.cause, CAUSE_UNKNOWN_REQUEST);
	assert_non_null(strstr(d.detail, "approved by ops"));
	f = find(1);
	assert_int_equal(f.n, 0);
	assert_non_null(strstr(f.detail, "approved by ops"));
}

/* The request itself is kept with all of them, and is in the log with all when it is done. */
static void of_what_waits_ten_are_in_the_log(void **state)
{
	(void)state;
	struct commit_setup w = ask("a b c d e f g h i j k l", 1);
	w.approval = APPROVAL_MANUAL;
	assert_false(commit(&w).idle);
	struct log l = audit_log();
	assert_int_equal(l.last.action, AUDIT_HOLD);
	assert_int_equal(l.last.n_mc_ids, 10);
	assert_int_equal(l.last.all_mc_ids, 12);
	w.setup = find(1).waiting->pending.setup;
	assert_int_equal(decide(&w, true).answer.verdict.cause, CAUSE_NO_CAUSE);
	assert_int_equal(audit_log().last.n_mc_ids, 12);
}

static void rejected(void **state)
{
	(void)state;
	struct commit_setup w = ask("a=sip:a", 1);
	w.approval = APPROVAL_MANUAL;
	commit(&w);
	struct commit_decided d = decide(&w, false);
	assert_int_equal(d.cause, CAUSE_NO_CAUSE);
	assert_int_equal(d.answer.verdict.cause, CAUSE_REJECTED);
	assert_int_equal(audit_log().last.action, AUDIT_REJECT);
	assert_int_equal(cause_of(&w), CAUSE_REJECTED);
	assert_int_equal(held(HOME), 0);
	assert_non_null(strstr(find(1).detail, "rejected by ops"));
}

static void approved_by_present_rules_and_store(void **state)
{
	(void)state;
	struct commit_setup w = ask("a=sip:a", 1), taken = ask("z=sip:a", 2), v = ask("b", 3);
	w.approval = v.approval = APPROVAL_MANUAL;
	v.setup.has_validity = true;
	v.setup.validity.not_after_ms = now + 10;
	commit(&w);
	commit(&v);
	assert_int_equal(cause_of(&taken), CAUSE_NO_CAUSE);
	struct commit_decided d = decide(&w, true);
	assert_int_equal(d.answer.verdict.cause, CAUSE_MC_SERVICE_ID_IN_USE);
	assert_int_equal(cause_of(&w), CAUSE_MC_SERVICE_ID_IN_USE);
	now += 10;
	d = decide(&v, true);
	assert_int_equal(d.answer.verdict.cause, CAUSE_INVALID_VALIDITY);
	assert_int_equal(d.answer.n_revisions, 0); /* nothing was left in the store */
	assert_int_equal(held(HOME), 1);
}

static void what_stands_in_the_way_is_not_held(void **state)
{
	(void)state;
	struct commit_setup w = ask("a", 1), old = ask("a", 2);
	w.approval = old.approval = APPROVAL_MANUAL;
	w.most_users = 0;
	assert_int_equal(cause_of(&w), CAUSE_USER_QUOTA_EXCEEDED);
	old.must_expire = false;
	old.setup.expires_ms = 0;
	assert_int_equal(cause_of(&old), CAUSE_OPERATION_NOT_PERMITTED);
	assert_true(commit(&old).repeated);
}

static void one_id_of_two_systems(void **state)
{
	(void)state;
	struct commit_setup w = ask("a", 1), r = ask("a", 1);
	w.approval = r.approval = APPROVAL_MANUAL;
	r.home = STR("rail.example");
	commit(&w);
	commit(&r);
	struct commit_found f = find(1);
	assert_int_equal(f.n, 2);
	assert_str(f.waiting[0].home, "police.example");
	assert_str(f.waiting[1].home, "rail.example");
	assert_true(f.waiting[0].also_of_others && f.waiting[1].also_of_others);
	f = find_of(&r.home, 1, 1); /* who decides for one of them only knows it, too */
	assert_int_equal(f.n, 1);
	assert_true(f.waiting->also_of_others);
	w.setup = f.waiting->pending.setup;
	assert_int_equal(decide(&w, false).cause, CAUSE_NO_CAUSE);
	f = find(1); /* and it stays so when one was decided */
	assert_int_equal(f.n, 1);
	assert_str(f.waiting->home, "rail.example");
	assert_true(f.waiting->also_of_others);
}

/* One that needed no decision counts, too; another ID does not. */
static void one_id_answered_before(void **state)
{
	(void)state;
	struct commit_setup w = ask("a", 1), r = ask("a", 1), other = ask("b", 2);
	r.home = STR("sea.example");
	commit(&r);
	w.approval = other.approval = APPROVAL_MANUAL;
	commit(&w);
	commit(&other);
	assert_true(find(1).waiting->also_of_others);
	assert_false(find(2).waiting->also_of_others);
}

static void nobody_decides(void **state)
{
	(void)state;
	struct commit_setup w = ask("a", 1), later = ask("b", 2);
	struct commit_sweep s = { .keep_ms = HOUR, .look_at_requests = true, .look_at_pending = true };
	w.approval = later.approval = APPROVAL_MANUAL;
	later.decide_within_ms = HOUR + 5;
	commit(&w);
	commit(&later);
	struct commit_swept swept = sweep(&s);
	assert_int_equal(swept.n_answered, 0);
	assert_int_equal(swept.next_pending_ms, now + HOUR);
	now += HOUR;
	assert_int_equal(decide(&w, true).cause, CAUSE_UNKNOWN_REQUEST); /* over, swept or not */
	swept = sweep(&s);
	assert_int_equal(swept.n_answered, 1);
	assert_int_equal(swept.next_pending_ms, now + 5);
	assert_str(swept.answered[0].home, "police.example");
	assert_int_equal(swept.answered[0].answer.verdict.cause, CAUSE_APPROVAL_TIMEOUT);
	assert_int_equal(swept.answered[0].setup.n_users, 1);
	struct log l = audit_log();
	assert_int_equal(l.last.action, AUDIT_EXPIRE);
	assert_int_equal(l.last.cause, CAUSE_APPROVAL_TIMEOUT);
	struct commit_answer a = commit(&w);
	assert_true(a.repeated);
	assert_int_equal(a.verdict.cause, CAUSE_APPROVAL_TIMEOUT);
	assert_true(commit(&later).pending);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		COMMIT_TEST(held_until_decided),
		COMMIT_TEST(of_what_waits_ten_are_in_the_log),
		COMMIT_TEST(rejected),
		COMMIT_TEST(approved_by_present_rules_and_store),
		COMMIT_TEST(what_stands_in_the_way_is_not_held),
		COMMIT_TEST(one_id_of_two_systems),
		COMMIT_TEST(one_id_answered_before),
		COMMIT_TEST(nobody_decides),
	};
	return cmocka_run_group_tests_name("commit_approval", tests, NULL, NULL);
}
