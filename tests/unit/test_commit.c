// needs: acms/commit.c acms/decide.c acms/expire.c acms/plan.c acms/store.c acms/store_open.c acms/store_file.c acms/store_txn.c acms/store_requests.c acms/store_audit.c acms/store_lists.c acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/setup.c common/content.c common/sort.c common/identity.c common/text.c common/arena.c common/error.c common/crypto.c common/cause.c
#include "commit_unit.h"

/* What becomes of a request in the store. */

static void done_once(void **state)
{
	(void)state;
	struct commit_setup w = ask("a=sip:a b", 1), other = ask("a=sip:a c", 1);
	struct commit_answer first = commit(&w);
	assert_int_equal(first.verdict.cause, CAUSE_NO_CAUSE);
	assert_int_equal(first.n_revisions, 2);
	assert_content_of(&first, &w.setup);
	now += 5;
	struct commit_answer again = commit(&w);
	assert_true(again.repeated);
	assert_int_equal(again.verdict.cause, CAUSE_NO_CAUSE);
	assert_int_equal(again.answered_ms, now - 5);
	assert_content_of(&again, &w.setup);
	assert_int_equal(again.n_revisions, 2);
	assert_true(again.revisions[0] == 1 && again.revisions[1] == 1);
	assert_int_equal(audit_log().n, 1);
	assert_int_equal(cause_of(&other), CAUSE_REQUEST_ID_REUSED);
	struct log l = audit_log();
	assert_int_equal(l.n, 2);
	assert_int_equal(l.last.cause, CAUSE_REQUEST_ID_REUSED);
	assert_int_equal(held(HOME), 2);
	now = w.setup.expires_ms + 1; /* what was answered stays answered */
	assert_int_equal(cause_of(&w), CAUSE_NO_CAUSE);
	w.setup.request_id.bytes[0] = 2;
	assert_int_equal(cause_of(&w), CAUSE_REQUEST_EXPIRED);
	assert_false(commit(&w).repeated); /* not recorded */
	assert_int_equal(audit_log().last.cause, CAUSE_REQUEST_EXPIRED);
}

/* As an upgraded store has it. */
static void what_version_1_did_is_known(void **state)
{
	(void)state;
	struct commit_setup w = ask("a=sip:a b", 1), other = ask("a=sip:a c", 1), more = ask("a=sip:a b", 1);
	struct request_record r = { .answered_ms = 7, .cause = CAUSE_NO_CAUSE };
	assert_int_equal(crypto_sha256(setup_content_1(arena, &w.setup), r.content), OK);
	struct store_txn *t = writing(store);
	store_put_request(t, arena, HOME, w.setup.request_id, &r);
	assert_int_equal(store_commit(t, NULL), OK);
	struct commit_answer again = commit(&w);
	assert_true(again.repeated);
	assert_int_equal(again.verdict.cause, CAUSE_NO_CAUSE);
	assert_int_equal(again.answered_ms, 7);
	assert_content_of(&again, &w.setup); /* for a receipt of today */
	assert_int_equal(cause_of(&other), CAUSE_REQUEST_ID_REUSED);
	more.setup.best_effort = true;
	assert_int_equal(cause_of(&more), CAUSE_REQUEST_ID_REUSED);
}

/* As the committer gathers them. */
static void those_of_one_transaction_see_each_other(void **state)
{
	(void)state;
	struct commit_setup w = ask("a=sip:a", 1), theirs = ask("z=sip:a", 2), reused = ask("b", 1);
	struct commit_answer out[4];
	theirs.home = STR("rail.example");
	struct store_txn *t = writing(store);
	commit_setup(t, arena, &w, now, &out[0]);
	commit_setup(t, arena, &theirs, now, &out[1]);
	commit_setup(t, arena, &w, now, &out[2]);
	commit_setup(t, arena, &reused, now, &out[3]);
	store_abort(t); /* and nothing of it stays */
	assert_int_equal(out[0].verdict.cause, CAUSE_NO_CAUSE);
	assert_int_equal(out[1].verdict.cause, CAUSE_MC_SERVICE_ID_IN_USE);
	assert_true(out[2].repeated);
	assert_int_equal(out[3].verdict.cause, CAUSE_REQUEST_ID_REUSED);
	assert_int_equal(held(HOME), 0);
	assert_int_equal(audit_log().n, 0);
	assert_int_equal(cause_of(&theirs), CAUSE_NO_CAUSE);
}

static void update_and_remove(void **state)
{
	(void)state;
	struct commit_setup w = ask("a=sip:a,sip:x b=sip:b", 1), u = ask("a=sip:y", 2), r = ask("a b z", 3);
	assert_int_equal(cause_of(&w), CAUSE_NO_CAUSE);
	u.setup.operation = OPERATION_UPDATE;
	u.setup.users[0].expected_revision = 2;
	struct commit_answer refused = commit(&u);
	assert_int_equal(refused.verdict.cause, CAUSE_REVISION_MISMATCH);
	assert_int_equal(refused.revisions[0], 1);
	refused = commit(&u); /* recorded with them */
	assert_true(refused.repeated);
	assert_int_equal(refused.n_revisions, 1);
	u.setup.request_id.bytes[0] = 4;
	u.setup.users[0].expected_revision = 1;
	assert_int_equal(cause_of(&u), CAUSE_NO_CAUSE);
	assert_int_equal(revision_of(store, HOME, "a"), 2);
	assert_int_equal(audit_log().last.action, AUDIT_UPDATE);
	assert_true(owned("sip:y") && !owned("sip:a") && !owned("sip:x"));
	r.setup.operation = OPERATION_REMOVE;
	assert_int_equal(cause_of(&r), CAUSE_NO_CAUSE);
	struct log l = audit_log();
	assert_int_equal(l.last.action, AUDIT_REMOVE);
	assert_int_equal(l.last.removed, 2);
	assert_int_equal(l.last.unchanged, 1);
	assert_int_equal(held(HOME), 0);
	assert_false(owned("sip:y") || owned("sip:b"));
	assert_int_equal(revision_of(store, HOME, "a"), 0);
}

static void a_denial_is_recorded(void **state)
{
	(void)state;
	struct commit_setup w = ask("a", 1);
	struct identity_cause named = { STR("a"), STR_NONE, CAUSE_OUTSIDE_NAMESPACE };
	w.denied = (struct verdict){ CAUSE_OUTSIDE_NAMESPACE, &named, 1, NULL };
	assert_int_equal(cause_of(&w), CAUSE_OUTSIDE_NAMESPACE);
	struct log l = audit_log();
	assert_int_equal(l.last.cause, CAUSE_OUTSIDE_NAMESPACE);
	assert_int_equal(l.last.n_identities, 1);
	w.denied.cause = CAUSE_NO_CAUSE; /* any more: the answer is the same */
	struct commit_answer again = commit(&w);
	assert_true(again.repeated);
	assert_int_equal(again.verdict.n_identities, 1);
	assert_int_equal(audit_log().n, 1);
	assert_int_equal(held(HOME), 0);
}

/* Names so many users, "u00" and on, each with a cause. */
static struct identity_cause *name_users(struct commit_setup *w, size_t n, enum cause cause)
{
	struct identity_cause *named = arena_array(arena, n, sizeof *named);
	w->setup.n_users = n;
	w->setup.users = arena_array(arena, n, sizeof *w->setup.users);
	for (size_t i = 0; i < n; i++) {
		w->setup.users[i].mc_id = str_of(arena_printf(arena, "u%0200zu", i));
		named[i] = (struct identity_cause){ w->setup.users[i].mc_id, STR_NONE, cause };
	}
	return named;
}

static size_t recorded_bytes(void)
{
	struct system_record r = { 0 };
	struct store_txn *t = reading(store);
	store_get_system(t, arena, HOME, &r);
	store_abort(t);
	return r.answers_bytes;
}

static void of_a_refusal_ten_are_recorded(void **state)
{
	(void)state;
	for (size_t n = 9; n <= 11; n++) {
		struct commit_setup w = ask("a", (uint8_t)n);
		w.denied = (struct verdict){ CAUSE_OUTSIDE_NAMESPACE, name_users(&w, n, CAUSE_OUTSIDE_NAMESPACE), n, "why" };
		assert_int_equal(commit(&w).verdict.n_identities, n);
		struct commit_answer again = commit(&w);
		assert_true(again.repeated);
		assert_int_equal(again.verdict.cause, CAUSE_OUTSIDE_NAMESPACE);
		assert_int_equal(again.verdict.n_identities, n < 10 ? n : 10);
		assert_string_equal(again.verdict.detail,
				    n <= 10 ? "why" : "10 of 11 identity causes: only the first answer had all; why");
	}
	size_t before = recorded_bytes();
	struct commit_setup w = ask("a", 1), other = ask("a", 1);
	w.denied = (struct verdict){ CAUSE_OUTSIDE_NAMESPACE, name_users(&w, 1000, CAUSE_OUTSIDE_NAMESPACE), 1000, NULL };
	commit(&w);
	assert_in_range(recorded_bytes() - before, 10 * 200, 10 * 200 + 300);
	w.denied = (struct verdict){ .cause = CAUSE_NO_CAUSE }; /* any more: it stays refused */
	struct commit_answer again = commit(&w);
	assert_int_equal(again.verdict.cause, CAUSE_OUTSIDE_NAMESPACE);
	assert_string_equal(again.verdict.detail, "10 of 1000 identity causes: only the first answer had all");
	assert_int_equal(cause_of(&other), CAUSE_REQUEST_ID_REUSED);
}

static void of_revisions_that_do_not_match_all_are_recorded(void **state)
{
	(void)state;
	struct commit_setup w = ask("a", 1), u = ask("a", 2);
	name_users(&w, 50, CAUSE_NO_CAUSE);
	assert_int_equal(cause_of(&w), CAUSE_NO_CAUSE);
	name_users(&u, 50, CAUSE_NO_CAUSE);
	u.setup.operation = OPERATION_UPDATE;
	u.setup.has_validity = true;
	u.setup.validity.not_after_ms = now + HOUR;
	for (size_t i = 0; i < 50; i++)
		u.setup.users[i].expected_revision = 7;
	assert_int_equal(commit(&u).verdict.n_identities, 50);
	struct commit_answer again = commit(&u);
	assert_int_equal(again.verdict.cause, CAUSE_REVISION_MISMATCH);
	assert_int_equal(again.verdict.n_identities, 10);
	assert_int_equal(again.n_revisions, 50);
	assert_int_equal(again.revisions[49], 1);
}

/* They are in the receipt, which a repetition is sent, too. */
static void of_what_was_partly_done_all_are_recorded(void **state)
{
	(void)state;
	struct commit_setup w = ask("a", 1);
	w.refused = name_users(&w, 50, CAUSE_OUTSIDE_NAMESPACE);
	w.n_refused = 49;
	w.setup.best_effort = true;
	for (int i = 0; i < 2; i++) {
		struct commit_answer a = commit(&w);
		assert_int_equal(a.repeated, i);
		assert_int_equal(a.verdict.cause, CAUSE_PARTLY_DONE);
		assert_int_equal(a.verdict.n_identities, 49);
		assert_null(a.verdict.detail);
	}
}

static void best_effort_is_recorded(void **state)
{
	(void)state;
	struct commit_setup theirs = ask("a=sip:a", 1), w = ask("a=sip:a b=sip:b", 1);
	theirs.home = STR("rail.example");
	assert_int_equal(cause_of(&theirs), CAUSE_NO_CAUSE);
	w.setup.best_effort = true;
	for (int i = 0; i < 2; i++) {
		struct commit_answer a = commit(&w);
		assert_int_equal(a.verdict.cause, CAUSE_PARTLY_DONE);
		assert_int_equal(a.repeated, i);
		assert_int_equal(a.n_revisions, 2);
		assert_true(a.revisions[0] == 0 && a.revisions[1] == 1);
		assert_int_equal(a.verdict.n_identities, 1);
	}
	assert_int_equal(audit_log().last.created, 1);
	assert_int_equal(held(HOME), 1);
}

static void a_dry_run_leaves_nothing(void **state)
{
	(void)state;
	struct commit_setup w = ask("a=sip:a", 1);
	w.setup.dry_run = true;
	assert_int_equal(cause_of(&w), CAUSE_NO_CAUSE);
	w.approval = APPROVAL_MANUAL;
	struct commit_answer a = commit(&w);
	assert_false(a.pending);
	assert_non_null(strstr(a.verdict.detail, "approval"));
	w.most_users = 0;
	assert_int_equal(cause_of(&w), CAUSE_USER_QUOTA_EXCEEDED);
	w.denied.cause = CAUSE_OUTSIDE_NAMESPACE;
	assert_int_equal(cause_of(&w), CAUSE_OUTSIDE_NAMESPACE);
	now = w.setup.expires_ms + 1;
	assert_int_equal(cause_of(&w), CAUSE_REQUEST_EXPIRED);
	assert_int_equal(audit_log().n, 0);
	assert_int_equal(held(HOME), 0);
	assert_null(find(1).detail);
	w = ask("a=sip:a", 1); /* the ID is not used up */
	assert_false(commit(&w).repeated);
}

/* Of each party so many a minute have an entry; what changes something always has one, with all names. */
static void what_changes_nothing_is_counted(void **state)
{
	(void)state;
	atomic_uint left = 1;
	for (uint8_t i = 1; i < 5; i++) {
		struct refusal_claim claim = { .left = &left };
		struct commit_setup w = ask("a", i);
		name_users(&w, 20, CAUSE_NO_CAUSE);
		w.claim = &claim;
		struct commit_answer a = commit(&w);
		assert_int_equal(a.verdict.cause, CAUSE_NO_CAUSE);
		assert_int_equal(a.idle, i > 1);
		assert_int_equal(claim.granted, i == 2);
		struct log l = audit_log();
		assert_int_equal(l.n, i < 2 ? 1 : 2);
		assert_int_equal(l.last.created, i < 2 ? 20 : 0);
		assert_int_equal(l.last.unchanged, i < 2 ? 0 : 20);
		assert_int_equal(l.last.n_mc_ids, i < 2 ? 20 : 10);
		assert_int_equal(l.last.all_mc_ids, i < 2 ? 0 : 20);
	}
	struct refusal_claim claim = { .left = &left };
	struct commit_setup r = ask("zz", 5), more = ask("zz", 6), rest = ask("zz", 7);
	r.setup.operation = OPERATION_REMOVE;
	r.claim = more.claim = rest.claim = &claim;
	assert_true(commit(&r).idle);
	assert_false(commit(&more).idle);
	rest.setup.best_effort = true;
	rest.refused = name_users(&rest, 3, CAUSE_OUTSIDE_NAMESPACE);
	rest.n_refused = 2; /* and the third is there */
	struct commit_answer a = commit(&rest);
	assert_int_equal(a.verdict.cause, CAUSE_PARTLY_DONE);
	assert_true(a.idle);
	assert_int_equal(audit_log().n, 3);
	assert_false(commit(&rest).idle); /* said again */
}

static void refusals_are_in_the_log(void **state)
{
	(void)state;
	struct str ids[] = { STR("good"), STR(""), STR("b\x01") };
	struct identity_cause named[] = { { ids[1], STR_NONE, CAUSE_INVALID_MC_ID }, { ids[0], STR("mailto:x"), CAUSE_INVALID_MC_SERVICE_ID } };
	struct commit_refusal r = { .request = { .mc_ids = ids, .n_mc_ids = 3, .operation = 9, .home_acmc_id = STR("nonsense") },
				    .home = HOME, .certificate = STR("c"),
				    .verdict = { CAUSE_INVALID_MC_ID, named, 2, "why" } };
	struct store_txn *t = writing(store);
	commit_refusal(t, arena, &r, now);
	assert_int_equal(store_commit(t, NULL), OK);
	struct log l = audit_log();
	assert_int_equal(l.last.cause, CAUSE_INVALID_MC_ID);
	assert_int_equal(l.last.n_mc_ids, 1);
	assert_int_equal(l.last.n_identities, 1);
	assert_null(l.last.claimed_acmc.ptr);
	assert_str(l.last.detail, "why");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		COMMIT_TEST(done_once),
		COMMIT_TEST(what_version_1_did_is_known),
		COMMIT_TEST(those_of_one_transaction_see_each_other),
		COMMIT_TEST(update_and_remove),
		COMMIT_TEST(a_denial_is_recorded),
		COMMIT_TEST(of_a_refusal_ten_are_recorded),
		COMMIT_TEST(of_revisions_that_do_not_match_all_are_recorded),
		COMMIT_TEST(of_what_was_partly_done_all_are_recorded),
		COMMIT_TEST(best_effort_is_recorded),
		COMMIT_TEST(a_dry_run_leaves_nothing),
		COMMIT_TEST(what_changes_nothing_is_counted),
		COMMIT_TEST(refusals_are_in_the_log),
	};
	return cmocka_run_group_tests_name("commit", tests, NULL, NULL);
}
