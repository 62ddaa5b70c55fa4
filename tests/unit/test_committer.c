// needs: acms/committer.c acms/commit.c acms/plan.c acms/store.c acms/record.c common/cbor.c common/setup.c common/identity.c common/text.c common/arena.c common/error.c common/crypto.c common/log.c common/failpoint.c common/clock.c common/cause.c
#include <stdatomic.h>
#include <unistd.h>
#include "acms/committer.h"
#include "unit.h"

/* The store and the thread that writes it, on a real disk. */

static char directory[64];
static atomic_int woken;

static uint64_t clock_77(void)
{
	return 77;
}

static void wake(void *context)
{
	(void)context;
	atomic_fetch_add(&woken, 1);
}

static int make_directory(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/acx-unit-XXXXXX");
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command);
}

static struct store *open_store(uint64_t map)
{
	struct store *s;
	struct error e;
	if (store_open(directory, STR("fire.example"), map, STORE_SERVE, &s, &e) != OK)
		fail_msg("%s", e.text);
	return s;
}

/* A setup of one user with one MC service ID, both made from n. */
static struct commit_job *make_job(unsigned n, uint8_t id)
{
	struct arena *a = arena_new(0);
	struct commit_job *job = arena_alloc(a, sizeof *job);
	struct str target = STR("fire.example");
	struct limits limits = LIMITS_DEFAULT;
	struct setup_request r = { .n_mc_system_ids = 1, .n_mc_ids = 1, .n_service_ids = 1 };
	r.mc_system_ids = arena_alloc(a, sizeof target);
	r.mc_system_ids[0] = target;
	r.mc_ids = arena_alloc(a, sizeof *r.mc_ids);
	r.mc_ids[0] = str_of(arena_printf(a, "user%u@police.example", n));
	r.service_ids = arena_alloc(a, sizeof *r.service_ids);
	r.service_ids[0] = (struct service_id_entry){ r.mc_ids[0], 1, str_of(arena_printf(a, "sip:u%u@police.example", n)) };
	memcpy(r.request_id.bytes, &n, sizeof n);
	r.request_id.bytes[15] = id;
	job->arena = a;
	job->home = STR("police.example");
	job->certificate = STR("DNS:acms.police.example");
	job->most_users = 1000000;
	assert_int_equal(setup_check(a, &r, &limits, &job->setup).cause, CAUSE_NO_CAUSE);
	return job;
}

static void free_job(struct commit_job *job)
{
	arena_free(job->work);
	arena_free(job->arena);
}

/* Waits for n jobs; counts those that were done. */
static unsigned collect(struct committer *c, unsigned n)
{
	unsigned done = 0;
	while (n > 0) {
		struct commit_job *next;
		for (struct commit_job *job = committer_take(c); job; job = next, n--) {
			next = job->next;
			done += job->verdict.cause == CAUSE_NO_CAUSE;
			free_job(job);
		}
		usleep(1000);
	}
	return done;
}

static uint64_t held(struct store *s)
{
	struct store_txn *t;
	struct arena *a = arena_new(0);
	struct system_record r = { 0 };
	assert_int_equal(store_begin_read(s, &t, NULL), OK);
	store_get_system(t, a, STR("police.example"), &r);
	store_abort(t);
	arena_free(a);
	return r.users_held;
}

static void many_jobs_few_transactions(void **state)
{
	(void)state;
	enum { JOBS = 2000 };
	struct committer *c;
	struct store *s = open_store(1 << 20); /* grows on the way */
	assert_int_equal(committer_start(s, clock_77, wake, NULL, &c, NULL), OK);
	atomic_store(&woken, 0);
	for (unsigned i = 0; i < JOBS; i++)
		committer_submit(c, make_job(i, 0));
	assert_int_equal(collect(c, JOBS), JOBS);
	assert_in_range(atomic_load(&woken), 1, JOBS / 2);
	committer_stop(c);
	assert_int_equal(held(s), JOBS);
	committer_free(c);
	store_close(s);
}

static void jobs_of_one_batch_see_each_other(void **state)
{
	(void)state;
	struct committer *c;
	struct store *s = open_store(0);
	struct commit_job *job = make_job(1, 1), *conflict = make_job(2, 2), *again = make_job(1, 1);
	conflict->home = STR("rail.example"); /* asks for the same MC service ID */
	conflict->setup.users[0].service_ids = job->setup.users[0].service_ids;
	assert_int_equal(committer_start(s, clock_77, wake, NULL, &c, NULL), OK);
	committer_submit(c, job);
	committer_submit(c, conflict);
	committer_submit(c, again);
	committer_stop(c); /* finishes first */
	struct commit_job *first = committer_take(c);
	assert_ptr_equal(first, job);
	assert_int_equal(job->verdict.cause, CAUSE_NO_CAUSE);
	assert_int_equal(conflict->verdict.cause, CAUSE_MC_SERVICE_ID_IN_USE);
	assert_true(again->repeated);
	assert_int_equal(again->verdict.cause, CAUSE_NO_CAUSE);
	assert_null(committer_take(c));
	free_job(job), free_job(conflict), free_job(again);
	committer_free(c);
	store_close(s);
}

static void a_denial_is_recorded(void **state)
{
	(void)state;
	struct store *s = open_store(0);
	struct store_txn *t;
	struct commit_job *denied = make_job(9001, 0), *again = make_job(9001, 0);
	uint64_t before = held(s);
	denied->denied.cause = CAUSE_OUTSIDE_NAMESPACE;
	assert_int_equal(store_begin_write(s, &t, NULL), OK);
	commit_setup(t, denied, 1);
	commit_setup(t, again, 2); /* not denied any more: the answer is the same */
	assert_int_equal(store_commit(t, NULL), OK);
	assert_int_equal(again->verdict.cause, CAUSE_OUTSIDE_NAMESPACE);
	assert_true(again->repeated);
	assert_int_equal(held(s), before);
	free_job(denied), free_job(again);
	store_close(s);
}

static void an_aborted_transaction_leaves_nothing(void **state)
{
	(void)state;
	struct store *s = open_store(0);
	struct store_txn *t;
	struct commit_job *job = make_job(9002, 0);
	uint64_t before = held(s);
	assert_int_equal(store_begin_write(s, &t, NULL), OK);
	commit_setup(t, job, 1);
	assert_int_equal(job->verdict.cause, CAUSE_NO_CAUSE);
	store_abort(t);
	assert_int_equal(held(s), before);
	free_job(job);
	store_close(s);
}

static bool count(void *context, struct str home, struct str mc_id, const struct user_record *r)
{
	(void)home, (void)mc_id, (void)r;
	return ++*(size_t *)context > 0;
}

static void pages_cover_everything_once(void **state)
{
	(void)state;
	struct store *s = open_store(0);
	for (size_t page = 1; page < 700; page += 233) {
		struct arena *a = arena_new(0);
		struct user_key after = { STR_NONE, STR_NONE };
		size_t n = 0;
		for (bool more = true; more;) {
			struct store_txn *t;
			assert_int_equal(store_begin_read(s, &t, NULL), OK);
			store_list_users(t, a, STR("police.example"), &after, page, &more, count, &n);
			assert_int_equal(store_status(t), OK);
			store_abort(t);
		}
		assert_int_equal(n, held(s));
		arena_free(a);
	}
	store_close(s);
}

static void one_server_at_a_time(void **state)
{
	(void)state;
	struct store *s = open_store(0), *other;
	struct error e;
	assert_int_equal(store_open(directory, STR("fire.example"), 0, STORE_SERVE, &other, &e), ERR_BUSY);
	store_close(s);
	assert_int_equal(store_open(directory, STR("rail.example"), 0, STORE_SERVE, &other, &e), ERR_STORE);
	assert_int_equal(store_open("/nowhere", STR("a.b"), 0, STORE_READ, &other, &e), ERR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_jobs_few_transactions),
		cmocka_unit_test(jobs_of_one_batch_see_each_other),
		cmocka_unit_test(a_denial_is_recorded),
		cmocka_unit_test(an_aborted_transaction_leaves_nothing),
		cmocka_unit_test(pages_cover_everything_once),
		cmocka_unit_test(one_server_at_a_time),
	};
	return cmocka_run_group_tests_name("committer and store", tests, make_directory, remove_directory);
}
