// needs: acms/commit.c acms/decide.c acms/expire.c acms/plan.c acms/home_commit.c acms/record.c acms/record_audit.c acms/record_request.c
// needs: acms/store.c acms/store_audit.c acms/store_lists.c acms/store_open.c acms/store_file.c acms/store_requests.c acms/store_txn.c
// needs: acms/committer.c acms/worker.c acms/damage.c common/failpoint.c common/clock.c common/log.c
// needs: common/arena.c common/cause.c common/cbor.c common/content.c common/cose.c common/crypto.c common/error.c common/identity.c
// needs: common/merkle.c common/receipt.c common/setup.c common/setup_response.c common/setup_fault.c common/sort.c common/text.c
#include "acms/commit.h"
#include "acms/committer.h"
#include "acms/home_commit.h"
#include "store_raw.h"

/* A record that cannot be read, or made, fails what concerns it, and nothing else. */

static struct arena *arena;
static char damage[8000]; /* what was reported */

static int start(void **state)
{
	arena = arena_new(0);
	damage[0] = '\0';
	if (make_directory(state) != 0)
		return -1;
	store_close(open_as(STORE_SERVE, 1 << 20));
	return 0;
}

static int end(void **state)
{
	arena_free(arena);
	return remove_directory(state);
}

static void note(void *context, const char *text)
{
	size_t n = strlen(damage);
	assert_ptr_equal(context, damage);
	snprintf(damage + n, sizeof damage - n, "%s\n", text);
}

static struct store *open_noting(void)
{
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	store_on_damage(s, note, damage);
	return s;
}

static struct request_id id_of(char c)
{
	struct request_id id;
	memset(id.bytes, c, REQUEST_ID_SIZE);
	return id;
}

static struct setup_user anybody = { .mc_id = { "anybody", 7 } };

static struct setup small_setup(void)
{
	return (struct setup){ .users = &anybody, .n_users = 1 };
}

/* "police.example 00 c c c ...", 31 bytes. */
static const char *request_key(char c)
{
	char *key = arena_alloc(arena, 31);
	memcpy(key, "police.example", 15);
	memset(key + 15, c, REQUEST_ID_SIZE);
	return key;
}

/* --- jobs that share a transaction --- */

static void a_poisoned_job_leaves_the_others_alone(void **state)
{
	(void)state;
	put_raw("users", "police.example\0bad", 18, STR("\xa0"));
	struct store *s = open_noting();
	struct user_record user;
	struct error e;
	struct store_txn *t = writing(s);
	put_user(t, arena, HOME, "before", 1);
	assert_int_equal(store_end_job(t, &e), OK);

	assert_false(store_get_user(t, arena, STORE_USERS, HOME, STR("bad"), &user));
	assert_int_equal(store_status(t), ERR_STORE);
	put_user(t, arena, HOME, "half", 1); /* it has failed */
	store_append_audit(t, arena, &(struct audit_record){ .action = AUDIT_SETUP, .home = HOME });
	assert_int_equal(store_end_job(t, &e), ERR_STORE);
	assert_non_null(strstr(e.text, "users: the record \"police.example\\x00bad\" cannot be read"));

	assert_int_equal(store_status(t), OK);
	put_user(t, arena, HOME, "behind", 1);
	assert_int_equal(store_end_job(t, &e), OK);
	assert_int_equal(store_commit(t, &e), OK);
	assert_int_equal(revision_of(s, HOME, "before"), 1);
	assert_int_equal(revision_of(s, HOME, "half"), 0);
	assert_int_equal(revision_of(s, HOME, "behind"), 1);
	store_close(s);
}

/* Half of it is in the transaction, which must not be committed. */
static void a_job_that_had_written_fails_the_transaction(void **state)
{
	(void)state;
	put_raw("users", "police.example\0bad", 18, STR("\xa0"));
	struct store *s = open_noting();
	struct user_record user;
	struct error e;
	struct store_txn *t = writing(s);
	put_user(t, arena, HOME, "half", 1);
	assert_false(store_get_user(t, arena, STORE_USERS, HOME, STR("bad"), &user));
	assert_int_equal(store_end_job(t, NULL), ERR_STORE);
	assert_int_equal(store_status(t), ERR_STORE);
	assert_int_equal(store_commit(t, &e), ERR_STORE);
	assert_non_null(strstr(e.text, "bad"));
	assert_int_equal(revision_of(s, HOME, "half"), 0);
	store_close(s);
}

/* What a job before is counted by is put while the next one looks. */
static void counts_of_others_are_no_writing(void **state)
{
	(void)state;
	put_raw("users", "police.example\0bad", 18, STR("\xa0"));
	struct store *s = open_noting();
	struct system_record system;
	struct user_record user;
	struct store_txn *t = writing(s);
	store_put_request(t, arena, HOME, id_of('a'), &(struct request_record){ .answered_ms = 1 });
	assert_int_equal(store_end_job(t, NULL), OK);
	assert_true(store_get_system(t, arena, HOME, &system));
	assert_true(system.answers_bytes > 0);
	assert_false(store_get_user(t, arena, STORE_USERS, HOME, STR("bad"), &user));
	assert_int_equal(store_end_job(t, NULL), ERR_STORE);
	assert_int_equal(store_commit(t, NULL), OK);
	store_close(s);
}

static void what_can_be_no_key_fails_who_writes_it(void **state)
{
	(void)state;
	struct store *s = open_noting();
	char longest[600];
	struct owner_record owner;
	struct user_record user = { .revision = 1 };
	struct store_txn *t = writing(s);
	memset(longest, 'x', sizeof longest);
	struct str texts[] = { STR(""), { longest, 512 }, { longest, sizeof longest } };
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		assert_false(store_get_owner(t, arena, texts[i], &owner)); /* which is true */
		assert_int_equal(store_end_job(t, NULL), OK);
		store_delete_owner(t, texts[i]);
		assert_int_equal(store_end_job(t, NULL), ERR_INPUT);
		store_put_owner(t, arena, texts[i], &(struct owner_record){ HOME, STR("a") });
		assert_int_equal(store_end_job(t, NULL), ERR_INPUT);
	}
	store_put_user(t, arena, STORE_USERS, HOME, texts[1], NULL, &user);
	assert_int_equal(store_end_job(t, NULL), ERR_INPUT);
	assert_true(store_range_users(t, STORE_USERS, HOME, texts[1], STR_NONE, NULL, NULL));
	assert_int_equal(store_end_job(t, NULL), OK);
	put_user(t, arena, HOME, "good", 1);
	assert_int_equal(store_end_job(t, NULL), OK);
	assert_int_equal(store_commit(t, NULL), OK);
	assert_int_equal(revision_of(s, HOME, "good"), 1);
	store_close(s);
}

/* The audit log goes on without a gap. */
static void a_record_that_cannot_be_made_fails_its_job(void **state)
{
	(void)state;
	struct store *s = open_noting();
	const struct str bad_id = STR("\xff");
	struct audit_record bad = { .action = AUDIT_SETUP, .home = HOME, .mc_ids = &bad_id, .n_mc_ids = 1 };
	struct audit_record good = { .action = AUDIT_SETUP, .home = HOME };
	struct audit_head head;
	struct store_txn *t = writing(s);
	store_append_audit(t, arena, &good);
	assert_int_equal(store_end_job(t, NULL), OK);
	store_append_audit(t, arena, &bad);
	assert_int_equal(store_end_job(t, NULL), ERR_MEMORY);
	store_append_audit(t, arena, &good);
	assert_int_equal(store_end_job(t, NULL), OK);
	assert_int_equal(store_commit(t, NULL), OK);
	t = reading(s);
	assert_true(store_get_audit_head(t, &head));
	assert_int_equal(head.number, 2);
	store_abort(t);
	store_close(s);
}

/* --- lists --- */

struct heard {
	unsigned n;
};

static bool hear_user(void *context, struct str home, struct str mc_id, const struct user_record *r)
{
	struct heard *h = context;
	assert_true(home.len > 0 && mc_id.len > 0 && r->revision > 0);
	h->n++;
	return true;
}

static bool hear_system(void *context, struct str id, const struct system_record *r)
{
	((struct heard *)context)->n++;
	return id.len > 0 && r;
}

static bool hear_pending(void *context, struct str home, struct request_id id, const struct pending_record *r)
{
	((struct heard *)context)->n++;
	return home.len > 0 && id.bytes[0] && r;
}

static bool hear_asked(void *context, struct request_id id, const struct asked_record *r)
{
	((struct heard *)context)->n++;
	return id.bytes[0] && r;
}

static bool hear_outbox(void *context, struct str target, struct request_id id, const struct outbox_record *r)
{
	((struct heard *)context)->n++;
	return target.len > 0 && id.bytes[0] && r;
}

static bool hear_request(void *context, struct str home, struct request_id id, const struct request_record *r)
{
	((struct heard *)context)->n++;
	return home.len > 0 && id.bytes[0] && r;
}

static void put_one_of_each(struct store *s)
{
	struct store_txn *t = writing(s);
	struct user_record user = { .revision = 1 };
	store_put_user(t, arena, STORE_USERS, HOME, STR("m"), NULL, &user);
	store_put_user(t, arena, STORE_BELIEVED, HOME, STR("m"), NULL, &user);
	store_put_system(t, arena, STR("m.example"), &(struct system_record){ .users_held = 1 });
	store_put_pending(t, arena, HOME, id_of('m'), &(struct pending_record){ .setup = small_setup() });
	store_put_asked(t, arena, id_of('m'), &(struct asked_record){ .setup = small_setup() });
	store_put_outbox(t, arena, HOME, id_of('m'), &(struct outbox_record){ 1, 2, STR("desk"), 3 });
	store_put_request(t, arena, HOME, id_of('m'), &(struct request_record){ .answered_ms = 1 });
	assert_int_equal(store_commit(t, NULL), OK);
}

static void lists_pass_over_what_cannot_be_read(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	put_one_of_each(s);
	store_close(s);
	/* One in front of the good one, one behind, and a key that is none. */
	static const char *const by_user[] = { "users", "believed" };
	for (size_t i = 0; i < 2; i++) {
		put_raw(by_user[i], "a", 1, STR("\xa0"));
		put_raw(by_user[i], "police.example\0a", 16, STR("\xa0"));
		put_raw(by_user[i], "police.example\0z", 16, STR("\xff"));
	}
	put_raw("systems", "a.example", 9, STR("\xa0"));
	put_raw("systems", "z.example", 9, STR(""));
	static const char *const by_request[] = { "pending", "outbox", "requests" };
	for (size_t i = 0; i < 3; i++) {
		put_raw(by_request[i], "a", 1, STR("\xa0"));
		put_raw(by_request[i], request_key('a'), 31, STR("\xa0"));
		put_raw(by_request[i], request_key('z'), 31, STR("\xff"));
	}
	put_raw("asked", "short", 5, STR("\xa0"));
	put_raw("asked", "aaaaaaaaaaaaaaaa", 16, STR("\xa0"));
	put_raw("asked", "zzzzzzzzzzzzzzzz", 16, STR("\xff"));
	s = open_noting();
	struct heard h = { 0 };
	struct store_txn *t = reading(s);
	assert_true(store_list_users(t, STORE_USERS, STR_NONE, NULL, hear_user, &h));
	assert_true(store_list_users(t, STORE_BELIEVED, HOME, NULL, hear_user, &h));
	assert_true(store_range_users(t, STORE_USERS, HOME, STR("a"), STR("zz"), hear_user, &h));
	assert_int_equal(h.n, 3);
	assert_int_equal(store_passed_over(t), 3 + 2 + 2);
	assert_true(store_list_systems(t, hear_system, &h));
	assert_int_equal(h.n, 5); /* police.example's has the counts */
	assert_true(store_list_pending(t, STR_NONE, NULL, NULL, hear_pending, &h));
	assert_true(store_list_outbox(t, hear_outbox, &h));
	assert_true(store_list_asked(t, NULL, UINT64_MAX, hear_asked, &h));
	assert_true(store_list_requests(t, NULL, NULL, UINT64_MAX, hear_request, &h));
	assert_int_equal(h.n, 9);
	assert_int_equal(store_passed_over(t), 7 + 2 + 4 * 3);
	assert_int_equal(store_status(t), OK);
	assert_int_equal(store_commit(t, NULL), OK);
	assert_non_null(strstr(damage, "asked: the record \"short\" cannot be read: a key that is none"));
	store_close(s);
}

/* --- what time does --- */

static void sweep(struct store *s, uint64_t now_ms, struct commit_swept *out)
{
	struct commit_sweep what = { .keep_ms = 10, .look_at_requests = true, .look_at_pending = true };
	struct store_txn *t = writing(s);
	commit_sweep(t, arena, &what, now_ms, out);
	assert_int_equal(store_end_job(t, NULL), OK);
	assert_int_equal(store_commit(t, NULL), OK);
}

static bool none_ended(struct store *s, enum store_users which)
{
	struct store_txn *t = reading(s);
	bool none = store_list_expired(t, which, UINT64_MAX, NULL, NULL);
	store_abort(t);
	return none;
}

/* Who has ended must not stay because her record is damaged, nor be looked at every second. */
static void the_sweep_goes_on(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct store_txn *t = writing(s);
	struct user_record ends = { .revision = 1, .validity = { 0, 100 } };
	static const char *const names[] = { "a", "b", "c" };
	for (size_t i = 0; i < 3; i++) {
		store_put_user(t, arena, STORE_USERS, HOME, str_of(names[i]), NULL, &ends);
		store_put_user(t, arena, STORE_BELIEVED, HOME, str_of(names[i]), NULL, &ends);
	}
	store_put_system(t, arena, HOME, &(struct system_record){ .users_held = 3 });
	struct pending_record waits = { .decide_until_ms = 100, .setup = small_setup() };
	store_put_pending(t, arena, HOME, id_of('m'), &waits);
	store_put_pending(t, arena, STR("rail.example"), id_of('r'), &waits);
	store_put_user(t, arena, STORE_USERS, STR("rail.example"), STR("r"), NULL, &ends);
	store_put_request(t, arena, HOME, id_of('o'), &(struct request_record){ .answered_ms = 1 });
	assert_int_equal(store_commit(t, NULL), OK);
	store_close(s);
	put_raw("systems", "rail.example", 12, STR("\xa0"));
	put_raw("users", "police.example\0b", 16, STR("\xa0"));
	put_raw("believed", "police.example\0b", 16, STR("\xa0"));
	put_raw("pending", request_key('a'), 31, STR("\xa0"));
	put_raw("requests", request_key('b'), 31, STR("\xa0"));
	s = open_noting();
	struct commit_swept swept;
	sweep(s, 32ull * 24 * 3600 * 1000, &swept);
	assert_int_equal(swept.n_answered, 2);
	assert_true(none_ended(s, STORE_USERS));
	assert_true(none_ended(s, STORE_BELIEVED));
	assert_int_equal(revision_of(s, HOME, "b"), 0); /* can be looked up: it is gone */
	t = reading(s);
	struct system_record system;
	struct request_record request;
	assert_true(store_get_system(t, arena, HOME, &system));
	assert_int_equal(system.users_held, 0);
	assert_false(store_get_request(t, arena, HOME, id_of('o'), &request));
	assert_int_equal(store_status(t), OK);
	store_abort(t);
	store_close(s);
}

static void put_asked(struct store_txn *t, char c, uint64_t deadline_ms)
{
	static const struct str target = { "rail.example", 12 };
	struct asked_record asked = { .accepted_ms = 1, .setup = small_setup() };
	asked.setup.targets = &target;
	asked.setup.n_targets = 1;
	asked.setup.expires_ms = deadline_ms;
	store_put_asked(t, arena, id_of(c), &asked);
	store_put_answer(t, arena, id_of(c), target, &(struct answer_record){ .answered_ms = 2, .origin = ORIGIN_HOME_ACMS });
}

static bool is_asked(struct store *s, char c)
{
	struct store_txn *t = reading(s);
	struct asked_record r;
	bool there = store_get_asked(t, arena, id_of(c), &r);
	store_abort(t);
	return there;
}

static void answers_that_cannot_be_read_are_forgotten_after_the_deadline(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct store_txn *t = writing(s);
	put_asked(t, 'a', 100);
	put_asked(t, 'b', 2000);
	put_asked(t, 'c', 100);
	assert_int_equal(store_commit(t, NULL), OK);
	store_close(s);
	put_raw("answers", "aaaaaaaaaaaaaaaarail.example", 28, STR("\xa0"));
	put_raw("answers", "bbbbbbbbbbbbbbbbrail.example", 28, STR("\xa0"));
	put_raw("asked", "aaaaaaaaaaaaaaa0", 16, STR("\xa0"));
	s = open_noting();
	struct request_id after = { { 0 } };
	t = writing(s);
	assert_false(home_prune(t, arena, 10, 1000, &after));
	assert_int_equal(store_end_job(t, NULL), OK);
	assert_int_equal(store_commit(t, NULL), OK);
	assert_false(is_asked(s, 'a'));
	assert_true(is_asked(s, 'b'));
	assert_false(is_asked(s, 'c'));
	store_close(s);
}

/* --- the committer --- */

struct looking {
	struct job job;
	const char *mc_id;
	unsigned runs;
	enum status status;
};

static void look_and_put(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct looking *l = (struct looking *)job;
	struct user_record r = { .revision = 0 };
	(void)now_ms;
	l->runs++;
	store_get_user(t, work, STORE_USERS, HOME, str_of(l->mc_id), &r);
	r.revision++;
	store_put_user(t, work, STORE_USERS, HOME, str_of(l->mc_id), NULL, &r);
}

static void looked(struct job *job, enum status status)
{
	((struct looking *)job)->status = status;
}

static uint64_t clock_0(void)
{
	return 0;
}

static void nobody(void *context)
{
	(void)context;
}

static void others_are_committed_together(void **state)
{
	(void)state;
	put_raw("users", "police.example\0bad", 18, STR("\xa0"));
	static const struct committer_host host = { clock_0, nobody, NULL, nobody, NULL };
	struct store *s = open_noting();
	struct committer *c;
	struct looking jobs[] = { { .mc_id = "a" }, { .mc_id = "bad" }, { .mc_id = "c" }, { .mc_id = "bad" }, { .mc_id = "e" } };
	assert_int_equal(committer_start(s, &host, &c, NULL), OK);
	for (size_t i = 0; i < 5; i++) {
		jobs[i].job = (struct job){ .run = look_and_put, .done = looked, .weight = 1 };
		committer_submit(c, &jobs[i].job);
	}
	committer_stop(c);
	committer_finish(c);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(jobs[i].runs, 1); /* in one transaction: none had to be run alone */
		assert_int_equal(jobs[i].status, i % 2 ? ERR_STORE : OK);
	}
	assert_int_equal(revision_of(s, HOME, "e"), 1);
	committer_free(c);
	store_close(s);
}

#define DAMAGE_TEST(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DAMAGE_TEST(a_poisoned_job_leaves_the_others_alone),
		DAMAGE_TEST(a_job_that_had_written_fails_the_transaction),
		DAMAGE_TEST(what_can_be_no_key_fails_who_writes_it),
		DAMAGE_TEST(counts_of_others_are_no_writing),
		DAMAGE_TEST(a_record_that_cannot_be_made_fails_its_job),
		DAMAGE_TEST(lists_pass_over_what_cannot_be_read),
		DAMAGE_TEST(the_sweep_goes_on),
		DAMAGE_TEST(answers_that_cannot_be_read_are_forgotten_after_the_deadline),
		DAMAGE_TEST(others_are_committed_together),
	};
	return cmocka_run_group_tests_name("store, damage", tests, NULL, NULL);
}
