// needs: acms/commit.c acms/decide.c acms/expire.c acms/plan.c acms/store.c acms/store_open.c acms/store_file.c acms/store_txn.c acms/store_requests.c acms/store_audit.c acms/store_lists.c acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/setup.c common/content.c common/sort.c common/identity.c common/text.c common/arena.c common/error.c common/crypto.c common/cause.c
#include "acms/commit.h"
#include "common/content.h"
#include "common/crypto.h"
#include "store_unit.h"

/* What becomes of requests, decisions and time in the store, a transaction each, on a real disk. */

enum { HOUR = 3600 * 1000 };

static struct store *store;
static struct arena *arena; /* of the test */
static uint64_t now;

static int start(void **state)
{
	if (make_directory(state) != 0)
		return -1;
	store = open_as(STORE_SERVE, 1 << 20);
	arena = arena_new(0);
	now = 1000000;
	return 0;
}

static int end(void **state)
{
	store_close(store);
	arena_free(arena);
	return remove_directory(state);
}

/* "a=sip:x,sip:y b c=sip:z": sorted; a time and expiry of version 2. */
static struct commit_setup ask(const char *text, uint8_t id)
{
	struct commit_setup w = { .home = HOME, .certificate = STR("DNS:acms.police.example"), .must_expire = true,
				  .most_users = 100, .most_pending = 2, .decide_within_ms = HOUR };
	char *copy = arena_printf(arena, "%s", text), *rest = NULL;
	struct setup *s = &w.setup;
	s->request_id.bytes[0] = id;
	s->expires_ms = now + 2 * HOUR;
	s->users = arena_array(arena, 16, sizeof *s->users);
	for (char *p = strtok_r(copy, " ", &rest); p; p = strtok_r(NULL, " ", &rest)) {
		struct setup_user *u = &s->users[s->n_users++];
		struct user_service_id *ids = arena_array(arena, 8, sizeof *ids);
		char *inner = NULL;
		u->mc_id = str_of(strtok_r(p, "=", &inner));
		u->service_ids = ids;
		for (char *i; (i = strtok_r(NULL, ",", &inner)); s->n_service_ids++)
			ids[u->n_service_ids++] = (struct user_service_id){ MC_SERVICE_MCPTT, str_of(i) };
	}
	return w;
}

/* In a transaction of its own; the answer lives as long as the test. */
static struct commit_answer commit(const struct commit_setup *what)
{
	struct commit_answer out;
	struct store_txn *t = writing(store);
	commit_setup(t, arena, what, now, &out);
	assert_int_equal(store_commit(t, NULL), OK);
	return out;
}

static enum cause cause_of(const struct commit_setup *what)
{
	return commit(what).verdict.cause;
}

/* What its receipt is about. */
static void assert_content_of(const struct commit_answer *a, const struct setup *s)
{
	uint8_t digest[DIGEST_SIZE];
	assert_int_equal(crypto_sha256(setup_content(arena, s), digest), OK);
	assert_memory_equal(a->content, digest, DIGEST_SIZE);
}

static uint64_t held(struct str home)
{
	struct store_txn *t = reading(store);
	struct system_record r = { 0 };
	store_get_system(t, arena, home, &r);
	store_abort(t);
	return r.users_held;
}

static bool owned(const char *id)
{
	struct store_txn *t = reading(store);
	struct owner_record r;
	bool found = store_get_owner(t, arena, str_of(id), &r);
	store_abort(t);
	return found;
}

struct log {
	size_t n;
	struct audit_record last;
};

static bool each_entry(void *context, uint64_t number, struct str value)
{
	struct log *l = context;
	(void)number;
	l->n++;
	assert_int_equal(record_decode_audit(arena, arena_str(arena, value), &l->last, NULL), OK);
	return true;
}

static struct log audit_log(void)
{
	struct log l = { 0 };
	struct store_txn *t = reading(store);
	assert_true(store_list_audit(t, 1, each_entry, &l));
	store_abort(t);
	return l;
}

static struct commit_swept sweep(struct commit_sweep *what)
{
	struct commit_swept out;
	struct store_txn *t = writing(store);
	commit_sweep(t, arena, what, now, &out);
	assert_int_equal(store_commit(t, NULL), OK);
	what->requests = out.requests;
	what->pending = out.pending;
	return out;
}

static struct commit_found find_of(const struct str *homes, size_t n, uint8_t id)
{
	struct str known[] = { HOME, STR("rail.example"), STR("sea.example") };
	struct commit_find what = { homes, n, known, 3, { { id } } };
	struct commit_found out;
	struct store_txn *t = reading(store);
	commit_find(t, arena, &what, &out);
	assert_false(out.failed);
	store_abort(t);
	return out;
}

static struct commit_found find(uint8_t id)
{
	return find_of((struct str[]){ HOME, STR("rail.example") }, 2, id);
}

static struct commit_decided decide(const struct commit_setup *what, bool approve)
{
	struct commit_decision d = { .what = *what, .approve = approve, .decided_by = { STR("ops"), STR("because"), 0 } };
	struct commit_decided out;
	struct store_txn *t = writing(store);
	d.what.certificate = STR("DNS:ops.fire.example");
	commit_decision(t, arena, &d, now, &out);
	assert_int_equal(store_commit(t, NULL), OK);
	return out;
}

/* --- requests --- */

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

/* As the committer gathers them. */
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

/* --- approval --- */

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

/* --- time --- */

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

/* --- what is counted --- */

struct recount {
	uint64_t pending, answers_bytes;
};

static bool count_pending(void *context, struct str home, struct request_id id, const struct pending_record *r)
{
	((struct recount *)context)->pending++;
	return home.len > 0 && r && id.bytes[15] == 0;
}

static bool count_answer(void *context, struct str home, struct request_id id, const struct request_record *r)
{
	struct recount *c = context;
	c->answers_bytes += home.len + 1 + sizeof id.bytes + record_encode_request(arena, r).len + 16;
	return true;
}

static struct system_record system_now(void)
{
	struct system_record r = { 0 };
	struct store_txn *t = reading(store);
	store_get_system(t, arena, HOME, &r);
	store_abort(t);
	return r;
}

static void assert_counted(void)
{
	struct recount c = { 0, 0 };
	struct store_txn *t = reading(store);
	assert_true(store_list_pending(t, STR_NONE, NULL, NULL, count_pending, &c));
	assert_true(store_list_requests(t, NULL, NULL, UINT64_MAX, count_answer, &c));
	store_abort(t);
	struct system_record r = system_now();
	assert_int_equal(r.requests_pending, c.pending);
	assert_int_equal(r.answers_bytes, c.answers_bytes);
}

static void do_something(unsigned *seed, uint8_t id)
{
	static const char *const users[] = { "a=sip:a", "b=sip:a", "a b=sip:b", "c=sip:c d", "a" };
	struct commit_setup w = ask(users[(size_t)rand_r(seed) % 5], id);
	w.most_users = 3;
	w.approval = rand_r(seed) % 2 ? APPROVAL_MANUAL : APPROVAL_AUTOMATIC;
	w.setup.operation = (enum operation)(rand_r(seed) % 2 * OPERATION_REMOVE);
	if (w.setup.operation == OPERATION_REMOVE)
		w.setup.n_service_ids = w.setup.users[0].n_service_ids = w.setup.users[w.setup.n_users - 1].n_service_ids = 0;
	if (rand_r(seed) % 5 == 0)
		w.denied = (struct verdict){ .cause = CAUSE_OUTSIDE_NAMESPACE, .detail = "no" };
	commit(&w);
	if (commit(&w).pending && rand_r(seed) % 2) {
		w.setup = find(id).waiting->pending.setup;
		decide(&w, rand_r(seed) % 2);
	}
}

/* Whatever comes, in whatever order: the counts are what a recount gives, at the end of each transaction. */
static void counts_agree_with_a_recount(void **state)
{
	(void)state;
	unsigned seed = test_seed();
	for (int i = 0; i < 400; i++) {
		struct commit_sweep s = { .keep_ms = 10, .look_at_requests = true, .look_at_pending = true };
		do_something(&seed, (uint8_t)(rand_r(&seed) % 40));
		assert_counted();
		if (i % 10)
			continue;
		now += HOUR + HOUR / 2;
		sweep(&s);
		assert_counted();
	}
	assert_true(system_now().answers_bytes > 0);
}

/* Who asks for ever with new IDs pays by himself; what is known is told again. */
static void kept_answers_are_bounded(void **state)
{
	(void)state;
	struct commit_setup first = ask("a=sip:a", 1), other = ask("b=sip:b", 1), dry = ask("c", 200);
	other.home = STR("rail.example");
	first.most_answers_bytes = other.most_answers_bytes = dry.most_answers_bytes = 2000;
	dry.setup.dry_run = true;
	assert_int_equal(cause_of(&first), CAUSE_NO_CAUSE);
	uint8_t id = 2;
	struct commit_setup w = first;
	for (; id < 100; id++) {
		w.setup.request_id.bytes[0] = id;
		if (cause_of(&w) != CAUSE_NO_CAUSE)
			break;
	}
	assert_in_range(id, 3, 50);
	assert_int_equal(cause_of(&w), CAUSE_TOO_MANY_ANSWERS);
	assert_in_range(system_now().answers_bytes, 2000, 2200);
	assert_true(commit(&first).repeated);
	assert_int_equal(cause_of(&dry), CAUSE_NO_CAUSE);
	assert_int_equal(cause_of(&other), CAUSE_NO_CAUSE);
	struct commit_sweep s = { .keep_ms = 10, .look_at_requests = true };
	now += 4 * HOUR;
	sweep(&s);
	w.setup.expires_ms = now + HOUR;
	assert_int_equal(cause_of(&w), CAUSE_NO_CAUSE); /* the same request: it was not recorded */
	assert_counted();
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

#define COMMIT_TEST(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		COMMIT_TEST(done_once),
		COMMIT_TEST(what_version_1_did_is_known),
		COMMIT_TEST(those_of_one_transaction_see_each_other),
		COMMIT_TEST(update_and_remove),
		COMMIT_TEST(a_denial_is_recorded),
		COMMIT_TEST(best_effort_is_recorded),
		COMMIT_TEST(a_dry_run_leaves_nothing),
		COMMIT_TEST(refusals_are_in_the_log),
		COMMIT_TEST(held_until_decided),
		COMMIT_TEST(rejected),
		COMMIT_TEST(approved_by_present_rules_and_store),
		COMMIT_TEST(what_stands_in_the_way_is_not_held),
		COMMIT_TEST(one_id_of_two_systems),
		COMMIT_TEST(one_id_answered_before),
		COMMIT_TEST(nobody_decides),
		COMMIT_TEST(users_expire),
		COMMIT_TEST(counts_agree_with_a_recount),
		COMMIT_TEST(kept_answers_are_bounded),
		COMMIT_TEST(over_is_as_good_as_removed),
		COMMIT_TEST(believed_ones_just_go_long_after_their_end),
		COMMIT_TEST(answers_are_forgotten),
		COMMIT_TEST(answers_outlive_their_requests),
	};
	return cmocka_run_group_tests_name("commit", tests, NULL, NULL);
}
