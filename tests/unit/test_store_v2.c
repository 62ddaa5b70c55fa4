// needs: acms/store.c acms/store_open.c acms/store_file.c acms/store_txn.c acms/store_requests.c acms/store_audit.c acms/store_lists.c acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/identity.c common/text.c common/arena.c common/error.c common/crypto.c
#include <lmdb.h>
#include <signal.h>
#include <sys/wait.h>
#include "store_unit.h"

/* What schema version 2 brought: validity, what is believed, requests on their way, an audit log with a head. */

static struct request_id id_of(unsigned n)
{
	struct request_id id = { { 0 } };
	id.bytes[0] = (uint8_t)n;
	id.bytes[15] = 7; /* NULs between: keys are bytes */
	return id;
}

struct heard {
	char text[600];
	size_t stop_after;
};

static bool hear(struct heard *h, struct str a, struct str b, unsigned n)
{
	size_t used = strlen(h->text);
	snprintf(h->text + used, sizeof h->text - used, "%.*s/%.*s/%u ", STR_ARG(a), STR_ARG(b), n);
	return h->stop_after == 0 || --h->stop_after > 0;
}

static void heard(struct heard *h, bool all, const char *expected)
{
	assert_string_equal(h->text, expected);
	assert_int_equal(all, h->stop_after == 0 || strlen(expected) == 0);
	*h = (struct heard){ "", 0 };
}

static bool hear_user(void *context, struct str home, struct str mc_id, const struct user_record *r)
{
	return hear(context, home, mc_id, (unsigned)r->revision);
}

static bool hear_expired(void *context, struct str home, struct str mc_id, uint64_t not_after_ms)
{
	assert_int_not_equal(not_after_ms, 0);
	return hear(context, home, mc_id, 0);
}

static bool hear_pending(void *context, struct str home, struct request_id id, const struct pending_record *r)
{
	assert_memory_equal(r->setup.request_id.bytes, id.bytes, REQUEST_ID_SIZE);
	return hear(context, home, r->certificate, id.bytes[0]);
}

static bool hear_asked(void *context, struct request_id id, const struct asked_record *r)
{
	if (!r)
		return hear(context, STR("later"), STR(""), id.bytes[0]);
	assert_memory_equal(r->setup.request_id.bytes, id.bytes, REQUEST_ID_SIZE);
	return hear(context, r->acmc, r->setup.targets[0], id.bytes[0]);
}

static bool hear_outbox(void *context, struct str target, struct request_id id, const struct outbox_record *r)
{
	assert_int_equal(r->deadline_ms, r->accepted_ms + 1);
	return hear(context, target, STR(""), id.bytes[0]);
}

static bool hear_request(void *context, struct str home, struct request_id id, const struct request_record *r)
{
	return hear(context, home, r ? r->detail : STR("later"), id.bytes[0]);
}

/* --- users --- */

static struct user_record user_until(uint64_t revision, uint64_t not_after_ms)
{
	return (struct user_record){ .revision = revision, .validity = { 0, not_after_ms } };
}

/* Puts a user in the place of the one that is there, as a setup does. */
static void replace(struct store_txn *t, struct arena *a, enum store_users which, const char *mc_id, uint64_t revision,
		    uint64_t not_after_ms)
{
	struct user_record before, r = user_until(revision, not_after_ms);
	bool there = store_get_user(t, a, which, HOME, str_of(mc_id), &before);
	store_put_user(t, a, which, HOME, str_of(mc_id), there ? &before : NULL, &r);
}

static void expired(struct store_txn *t, enum store_users which, uint64_t now, const char *expected)
{
	struct heard h = { "", 0 };
	heard(&h, store_list_expired(t, which, now, hear_expired, &h), expected);
}

static void the_expiries_follow_the_users(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	struct user_record r;
	struct store_txn *t = writing(s);
	replace(t, a, STORE_USERS, "a", 1, 300);
	replace(t, a, STORE_USERS, "b", 1, 200);
	replace(t, a, STORE_USERS, "c", 1, 0);
	replace(t, a, STORE_USERS, "d", 1, 1ull << 40);
	replace(t, a, STORE_USERS, "e", 1, 300);
	replace(t, a, STORE_BELIEVED, "x", 1, 100);
	expired(t, STORE_USERS, 199, "");
	expired(t, STORE_USERS, 200, "police.example/b/0 "); /* not_after itself is outside */
	expired(t, STORE_USERS, 300, "police.example/b/0 police.example/a/0 police.example/e/0 ");
	expired(t, STORE_BELIEVED, 300, "police.example/x/0 ");
	replace(t, a, STORE_USERS, "b", 2, 400); /* later */
	replace(t, a, STORE_USERS, "a", 2, 0);   /* never */
	replace(t, a, STORE_USERS, "c", 2, 100); /* some day */
	replace(t, a, STORE_USERS, "e", 2, 300); /* as before */
	expired(t, STORE_USERS, 400, "police.example/c/0 police.example/e/0 police.example/b/0 ");
	assert_true(store_get_user(t, a, STORE_USERS, HOME, STR("e"), &r));
	store_delete_user(t, STORE_USERS, HOME, STR("e"), &r);
	store_delete_user(t, STORE_USERS, HOME, STR("e"), &r); /* gone already: fine */
	assert_false(store_get_user(t, a, STORE_USERS, HOME, STR("e"), &r));
	expired(t, STORE_USERS, 400, "police.example/c/0 police.example/b/0 ");
	assert_int_equal(store_commit(t, NULL), OK);
	t = reading(s);
	expired(t, STORE_USERS, UINT64_MAX, "police.example/c/0 police.example/b/0 police.example/d/0 ");
	assert_int_equal(store_commit(t, NULL), OK);
	arena_free(a);
	store_close(s);
}

static void the_longest_keys_expire_too(void **state)
{
	(void)state;
	static char longest[MC_ID_MAX + 1];
	struct str home = { longest, MC_SYSTEM_ID_MAX }, mc_id = { longest, MC_ID_MAX };
	memset(longest, 'x', MC_ID_MAX);
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	struct user_record r = user_until(1, 5);
	struct heard h = { "", 0 };
	struct store_txn *t = writing(s);
	store_put_user(t, a, STORE_USERS, home, mc_id, NULL, &r);
	assert_true(store_list_expired(t, STORE_USERS, 5, hear_expired, &h));
	assert_int_equal(strlen(h.text), MC_SYSTEM_ID_MAX + MC_ID_MAX + 4);
	store_delete_user(t, STORE_USERS, home, mc_id, &r);
	expired(t, STORE_USERS, 5, "");
	assert_int_equal(store_commit(t, NULL), OK);
	arena_free(a);
	store_close(s);
}

static void ranges(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	struct heard h = { "", 0 };
	struct user_record r = user_until(1, 0);
	struct store_txn *t = writing(s);
	for (const char *p = "abcd"; *p; p++)
		store_put_user(t, a, STORE_BELIEVED, HOME, (struct str){ p, 1 }, NULL, &r);
	store_put_user(t, a, STORE_BELIEVED, STR("q.example"), STR("b"), NULL, &r);
	store_put_user(t, a, STORE_USERS, HOME, STR("bb"), NULL, &r); /* of others */
	heard(&h, store_range_users(t, STORE_BELIEVED, HOME, STR("b"), STR("d"), hear_user, &h), "police.example/b/1 police.example/c/1 ");
	heard(&h, store_range_users(t, STORE_BELIEVED, HOME, STR_NONE, STR("b"), hear_user, &h), "police.example/a/1 ");
	heard(&h, store_range_users(t, STORE_BELIEVED, HOME, STR("c"), STR_NONE, hear_user, &h), "police.example/c/1 police.example/d/1 ");
	heard(&h, store_range_users(t, STORE_BELIEVED, HOME, STR("b"), STR("b"), hear_user, &h), "");
	heard(&h, store_range_users(t, STORE_BELIEVED, HOME, STR("e"), STR_NONE, hear_user, &h), "");
	heard(&h, store_range_users(t, STORE_USERS, HOME, STR_NONE, STR_NONE, hear_user, &h), "police.example/bb/1 ");
	heard(&h, store_list_users(t, STORE_BELIEVED, STR("q.example"), NULL, hear_user, &h), "q.example/b/1 ");
	store_abort(t);
	arena_free(a);
	store_close(s);
}

/* --- requests --- */

static struct setup_user one_user[] = { { STR("a"), NULL, 0, 0 } };

static struct setup one_setup(const struct str *target)
{
	return (struct setup){ .users = one_user, .n_users = 1, .targets = target, .n_targets = target ? 1 : 0 };
}

static void put_pending(struct store_txn *t, struct arena *a, struct str home, unsigned n)
{
	struct pending_record r = { .certificate = STR("c"), .setup = one_setup(NULL) };
	store_put_pending(t, a, home, id_of(n), &r);
}

static uint64_t taken(struct store_txn *t, struct arena *a, struct str home)
{
	struct system_record r = { 0 };
	store_get_system(t, a, home, &r);
	return r.pending_bytes;
}

static uint64_t counted(struct store_txn *t, struct arena *a, struct str home)
{
	struct system_record r = { 0 };
	store_get_system(t, a, home, &r);
	return r.requests_pending;
}

static void pending_requests(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	struct pending_record r;
	struct heard h = { "", 0 };
	struct request_id after = id_of(2);
	struct store_txn *t = writing(s);
	put_pending(t, a, STR("b.example"), 3);
	put_pending(t, a, STR("b.example"), 1);
	put_pending(t, a, STR("b.example"), 2);
	put_pending(t, a, STR("b.example.org"), 1);
	put_pending(t, a, STR("c.example"), 1);
	heard(&h, store_list_pending(t, STR_NONE, NULL, NULL, hear_pending, &h),
	      "b.example/c/1 b.example/c/2 b.example/c/3 b.example.org/c/1 c.example/c/1 ");
	heard(&h, store_list_pending(t, STR("b.example"), NULL, NULL, hear_pending, &h), "b.example/c/1 b.example/c/2 b.example/c/3 ");
	heard(&h, store_list_pending(t, STR("b.example"), &STR("b.example"), &after, hear_pending, &h), "b.example/c/3 ");
	heard(&h, store_list_pending(t, STR_NONE, &STR("b.example"), &after, hear_pending, &h), "b.example/c/3 b.example.org/c/1 c.example/c/1 ");
	h.stop_after = 1;
	assert_false(store_list_pending(t, STR_NONE, NULL, NULL, hear_pending, &h));
	assert_string_equal(h.text, "b.example/c/1 ");
	uint64_t bytes = taken(t, a, STR("b.example"));
	put_pending(t, a, STR("b.example"), 3); /* over the one that is there */
	assert_int_equal(taken(t, a, STR("b.example")), bytes);
	assert_int_equal(taken(t, a, STR("c.example")), bytes / 3);
	assert_int_equal(counted(t, a, STR("b.example")), 3);
	assert_int_equal(counted(t, a, STR("a.example")), 0);
	assert_true(store_get_pending(t, a, STR("b.example"), id_of(2), &r));
	assert_memory_equal(r.setup.request_id.bytes, after.bytes, REQUEST_ID_SIZE);
	store_delete_pending(t, STR("b.example"), id_of(2));
	store_delete_pending(t, STR("b.example"), id_of(2));
	assert_false(store_get_pending(t, a, STR("b.example"), id_of(2), &r));
	assert_int_equal(store_commit(t, NULL), OK);
	t = reading(s);
	assert_int_equal(counted(t, a, STR("b.example")), 2);
	assert_int_equal(taken(t, a, STR("b.example")), bytes / 3 * 2);
	assert_int_equal(counted(t, a, STR("c.example")), 1);
	store_abort(t);
	arena_free(a);
	store_close(s);
}

static void asked_requests(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	struct asked_record r = { .acmc = STR("desk"), .certificate = STR("c"), .setup = one_setup(&STR("t.example")) }, got;
	struct outbox_record out = { 1, 2, STR("desk"), 3 };
	struct heard h = { "", 0 };
	struct request_id after = id_of(1);
	struct store_txn *t = writing(s);
	store_put_asked(t, a, id_of(2), &r);
	store_put_asked(t, a, id_of(1), &r);
	store_put_outbox(t, a, STR("t.example"), id_of(2), &out);
	store_put_outbox(t, a, STR("t.example"), id_of(1), &out);
	store_put_outbox(t, a, STR("s.example"), id_of(2), &out);
	heard(&h, store_list_asked(t, NULL, UINT64_MAX, hear_asked, &h), "desk/t.example/1 desk/t.example/2 ");
	heard(&h, store_list_asked(t, &after, UINT64_MAX, hear_asked, &h), "desk/t.example/2 ");
	heard(&h, store_list_asked(t, NULL, 1, hear_asked, &h), "desk/t.example/1 desk/t.example/2 ");
	heard(&h, store_list_asked(t, NULL, 0, hear_asked, &h), "later//1 later//2 ");
	heard(&h, store_list_outbox(t, hear_outbox, &h), "s.example//2 t.example//1 t.example//2 ");
	assert_true(store_get_asked(t, a, id_of(2), &got));
	assert_int_equal(got.setup.request_id.bytes[0], 2);
	assert_int_equal(got.setup.n_targets, 1);
	assert_true(store_get_outbox(t, a, STR("s.example"), id_of(2), &out));
	store_delete_outbox(t, STR("s.example"), id_of(2));
	assert_false(store_get_outbox(t, a, STR("s.example"), id_of(2), &out));
	store_delete_asked(t, id_of(1));
	assert_false(store_get_asked(t, a, id_of(1), &got));
	heard(&h, store_list_outbox(t, hear_outbox, &h), "t.example//1 t.example//2 ");
	assert_int_equal(store_commit(t, NULL), OK);
	arena_free(a);
	store_close(s);
}

static void answers_by_any_target(void **state)
{
	(void)state;
	static char longest[2000];
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	const struct str targets[] = { STR(""), STR("t.example"), STR("t.examplf"), STR("no \" ID"),
				       { longest, 253 }, { longest, 254 }, { longest, 2000 } };
	enum { N = sizeof targets / sizeof *targets };
	struct answer_record r = { .origin = ORIGIN_HOME_ACMS };
	memset(longest, 'x', sizeof longest);
	struct store_txn *t = writing(s);
	for (size_t i = 0; i < N; i++) {
		r.cause = (enum cause)(CAUSE_UNKNOWN_TARGET + (int)i);
		store_put_answer(t, a, id_of(1), targets[i], &r);
	}
	for (size_t i = 0; i < N; i++) {
		assert_true(store_get_answer(t, a, id_of(1), targets[i], &r));
		assert_int_equal(r.cause, CAUSE_UNKNOWN_TARGET + i);
		assert_false(store_get_answer(t, a, id_of(2), targets[i], &r));
	}
	store_delete_answer(t, id_of(1), targets[6]);
	assert_false(store_get_answer(t, a, id_of(1), targets[6], &r));
	assert_true(store_get_answer(t, a, id_of(1), targets[5], &r));
	assert_int_equal(store_commit(t, NULL), OK);
	arena_free(a);
	store_close(s);
}

static void requests_page_by_page(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	struct heard h = { "", 0 };
	struct request_record r = { .answered_ms = 7, .cause = CAUSE_REJECTED, .detail = STR("d") };
	struct request_id after = id_of(1);
	struct str home = STR("b.example");
	struct store_txn *t = writing(s);
	store_put_request(t, a, home, id_of(1), &r);
	store_put_request(t, a, home, id_of(2), &r);
	store_put_request(t, a, STR("c.example"), id_of(1), &r);
	heard(&h, store_list_requests(t, NULL, NULL, UINT64_MAX, hear_request, &h), "b.example/d/1 b.example/d/2 c.example/d/1 ");
	heard(&h, store_list_requests(t, &home, &after, UINT64_MAX, hear_request, &h), "b.example/d/2 c.example/d/1 ");
	heard(&h, store_list_requests(t, &home, &after, 8, hear_request, &h), "b.example/d/2 c.example/d/1 ");
	heard(&h, store_list_requests(t, &home, &after, 7, hear_request, &h), "b.example/later/2 c.example/later/1 ");
	store_delete_request(t, home, id_of(2));
	assert_false(store_get_request(t, a, home, id_of(2), &r));
	heard(&h, store_list_requests(t, &home, &after, UINT64_MAX, hear_request, &h), "c.example/d/1 ");
	assert_int_equal(store_commit(t, NULL), OK);
	arena_free(a);
	store_close(s);
}

/* A list inside a list: each has its own memory. */
static bool list_again(void *context, struct request_id id, const struct asked_record *r)
{
	struct heard h = { "", 0 };
	assert_true(store_list_asked(context, NULL, UINT64_MAX, hear_asked, &h));
	assert_string_equal(h.text, "desk/t.example/1 desk/t.example/2 ");
	assert_str(r->acmc, "desk");
	assert_str(r->setup.users[0].mc_id, "a");
	return id.bytes[0] < 9;
}

static void lists_nest(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	struct asked_record r = { .acmc = STR("desk"), .certificate = STR("c"), .setup = one_setup(&STR("t.example")) };
	struct store_txn *t = writing(s);
	store_put_asked(t, a, id_of(1), &r);
	store_put_asked(t, a, id_of(2), &r);
	assert_true(store_list_asked(t, NULL, UINT64_MAX, list_again, t));
	assert_int_equal(store_commit(t, NULL), OK);
	arena_free(a);
	store_close(s);
}

static void no_memory_is_no_success(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *spent = arena_new(1);
	struct audit_record audit = { .action = AUDIT_SETUP, .home = HOME };
	struct pending_record pending = { .setup = one_setup(NULL) };
	struct user_record user = user_until(1, 5);
	for (int i = 0; i < 4; i++) {
		struct store_txn *t = writing(s);
		if (i == 0)
			store_append_audit(t, spent, &audit);
		else if (i == 1)
			store_put_request(t, spent, HOME, id_of(1), &(struct request_record){ .cause = CAUSE_NO_CAUSE });
		else if (i == 2)
			store_put_pending(t, spent, HOME, id_of(1), &pending);
		else
			store_put_user(t, spent, STORE_USERS, HOME, STR("a"), NULL, &user);
		assert_int_equal(store_status(t), ERR_MEMORY);
		assert_int_equal(store_commit(t, NULL), ERR_MEMORY);
	}
	arena_free(spent);
	store_close(s);
}

/* --- the audit log's head --- */

static void append(struct store *s, unsigned n)
{
	struct arena *a = arena_new(0);
	struct store_txn *t = writing(s);
	for (unsigned i = 0; i < n; i++) {
		struct audit_record r = { .at_ms = i, .action = AUDIT_HOLD, .home = HOME, .certificate = STR("DNS:a") };
		store_append_audit(t, a, &r);
	}
	assert_int_equal(store_commit(t, NULL), OK);
	arena_free(a);
}

/* Behind the store's back, while it is closed. */
static void change(const char *database, const void *key, size_t n, struct str value)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_val k = { n, (void *)key }, v = { value.len, (void *)value.ptr };
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 16), 0);
	assert_int_equal(mdb_env_open(env, directory, 0, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, database, 0, &dbi), 0);
	assert_int_equal(value.ptr ? mdb_put(txn, dbi, &k, &v, 0) : mdb_del(txn, dbi, &k, NULL), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

static struct audit_head head_of(struct store *s)
{
	struct audit_head head = { .number = 99 };
	struct store_txn *t = reading(s);
	assert_true(store_get_audit_head(t, &head));
	store_abort(t);
	return head;
}

static bool number_of(void *context, uint64_t number, struct str value)
{
	char *text = context;
	assert_true(value.len > 0);
	sprintf(text + strlen(text), "%u ", (unsigned)number);
	return true;
}

static void a_tail_that_was_cut_off_leaves_a_gap(void **state)
{
	(void)state;
	static const uint8_t third[8] = { [7] = 3 };
	char numbers[64] = "";
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	assert_int_equal(head_of(s).number, 0);
	append(s, 3);
	struct audit_head before = head_of(s);
	assert_int_equal(before.number, 3);
	store_close(s);
	change("audit", third, 8, STR_NONE);
	s = open_as(STORE_SERVE, 1 << 20);
	assert_int_equal(head_of(s).number, 3); /* it still knows */
	append(s, 1);
	struct store_txn *t = reading(s);
	assert_true(store_list_audit(t, 1, number_of, numbers));
	store_abort(t);
	assert_string_equal(numbers, "1 2 4 ");
	store_close(s);
}

/* Each transaction goes on from what is on disk; one that comes to nothing moved nothing. */
static void the_head_moves_with_its_transaction(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	struct audit_record r = { .action = AUDIT_SETUP, .home = HOME };
	struct audit_head head;
	append(s, 2);
	struct audit_head before = head_of(s);
	struct store_txn *t = writing(s);
	store_append_audit(t, a, &r);
	assert_memory_equal(r.previous, before.digest, DIGEST_SIZE);
	assert_true(store_get_audit_head(t, &head)); /* its own */
	assert_int_equal(head.number, 3);
	store_abort(t);
	assert_int_equal(head_of(s).number, 2);
	t = writing(s);
	store_append_audit(t, a, &r);
	store_fail_memory(t);
	assert_int_equal(store_commit(t, NULL), ERR_MEMORY);
	assert_int_equal(head_of(s).number, 2);
	append(s, 1);
	assert_int_equal(head_of(s).number, 3);
	t = writing(s);
	store_append_audit(t, a, &r);
	store_append_audit(t, a, &r);
	assert_int_equal(store_commit(t, NULL), OK);
	assert_int_equal(head_of(s).number, 5);
	before = head_of(s);
	t = writing(s);
	store_append_audit(t, a, &r);
	assert_memory_equal(r.previous, before.digest, DIGEST_SIZE);
	store_abort(t);
	store_close(s);
	arena_free(a);
}

/* Should a process of version 1 have appended while another upgraded: no error for ever after. */
static void entries_beyond_the_head_are_gone_on_from(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	append(s, 1);
	struct audit_head old = head_of(s);
	append(s, 1);
	store_close(s);
	change("meta", "audit-head", 10, record_encode_audit_head(a, &old));
	s = open_as(STORE_SERVE, 1 << 20);
	append(s, 1);
	assert_int_equal(head_of(s).number, 3);
	store_close(s);
	change("meta", "audit-head", 10, STR("\x82\x01"));
	s = open_as(STORE_SERVE, 1 << 20);
	struct store_txn *t = writing(s);
	struct audit_record r = { .action = AUDIT_SETUP, .home = HOME };
	store_append_audit(t, a, &r); /* a head that cannot be read is not written over */
	assert_int_equal(store_commit(t, NULL), ERR_STORE);
	store_close(s);
	arena_free(a);
}

/* A reader that was killed keeps its slot; growing clears it. */
static void growing_clears_dead_readers(void **state)
{
	(void)state;
	struct store *s;
	int status, go[2];
	char byte;
	assert_int_equal(pipe(go), 0);
	pid_t pid = fork(); /* before the store is open here */
	assert_true(pid >= 0);
	if (pid == 0) {
		struct store_txn *t;
		close(go[1]);
		if (read(go[0], &byte, 1) == 0 && store_open(directory, OWN, 0, STORE_READ, &s, NULL) == OK)
			store_begin_read(s, &t, NULL);
		_exit(raise(SIGKILL));
	}
	close(go[0]);
	s = open_as(STORE_SERVE, 1 << 17);
	close(go[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	struct arena *a = arena_new(0);
	enum status full = OK;
	unsigned grown = 0;
	for (unsigned round = 0; round < 3000; round++) { /* the same record again and again: pages get free */
		struct store_txn *t = writing(s);
		replace(t, a, STORE_USERS, "a", 1, round + 1);
		full = store_commit(t, NULL);
		if (full == ERR_STORE_FULL) {
			assert_int_equal(store_grow(s, NULL), OK);
			grown++;
		}
		arena_reset(a);
	}
	assert_int_equal(grown, 1); /* it had kept all pages from being used again */
	arena_free(a);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(the_expiries_follow_the_users),
		STORE_TEST(the_longest_keys_expire_too),
		STORE_TEST(ranges),
		STORE_TEST(pending_requests),
		STORE_TEST(asked_requests),
		STORE_TEST(answers_by_any_target),
		STORE_TEST(requests_page_by_page),
		STORE_TEST(lists_nest),
		STORE_TEST(no_memory_is_no_success),
		STORE_TEST(a_tail_that_was_cut_off_leaves_a_gap),
		STORE_TEST(the_head_moves_with_its_transaction),
		STORE_TEST(entries_beyond_the_head_are_gone_on_from),
		STORE_TEST(growing_clears_dead_readers),
	};
	return cmocka_run_group_tests_name("store, version 2", tests, NULL, NULL);
}
