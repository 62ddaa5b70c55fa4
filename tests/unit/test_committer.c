// needs: acms/committer.c acms/worker.c acms/damage.c acms/store.c acms/store_open.c acms/store_file.c acms/store_txn.c acms/store_requests.c acms/store_audit.c acms/store_lists.c
// needs: acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/setup.c common/sort.c common/identity.c common/text.c common/arena.c
// needs: common/error.c common/crypto.c common/log.c common/failpoint.c common/clock.c common/cause.c
#include <stdatomic.h>
#include "acms/committer.h"
#include "store_unit.h"

/* The thread that owns the store: jobs that count up a number in it, on a real disk. */

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

static int gathering;

static void gather(void *context)
{
	(void)context;
	gathering++;
}

static const struct committer_host host = { clock_77, wake, NULL, gather, NULL };

struct counting {
	struct job job;
	unsigned runs;
	bool fails;         /* in the middle, after it has written */
	uint64_t bulk;      /* bytes written besides */
	uint64_t seen;      /* the number before it */
	uint64_t now_ms;
	int order;          /* of done() */
	enum status status;
};

static int done_so_far;

static void count_up(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct counting *c = (struct counting *)job;
	struct system_record r = { 0 };
	store_get_system(t, work, STR("police.example"), &r);
	c->runs++;
	c->now_ms = now_ms;
	c->seen = r.users_held++;
	store_put_system(t, work, STR("police.example"), &r);
	if (c->bulk) {
		struct str issuer = { arena_alloc(work, c->bulk), c->bulk };
		char id[32];
		memset((char *)issuer.ptr, 'x', c->bulk);
		snprintf(id, sizeof id, "s%llu.example", (unsigned long long)c->seen);
		struct system_record big = { .token_issuer = issuer };
		store_put_system(t, work, str_of(id), &big);
	}
	if (c->fails)
		store_fail_memory(t);
}

static void counted(struct job *job, enum status status)
{
	struct counting *c = (struct counting *)job;
	c->status = status;
	c->order = ++done_so_far;
}

static void submit(struct committer *c, struct counting *job)
{
	job->job = (struct job){ .run = count_up, .done = counted, .weight = 1 };
	committer_submit(c, &job->job);
}

static uint64_t number(struct store *s)
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
	enum { JOBS = 3000 };
	static struct counting jobs[JOBS];
	struct committer *c;
	struct store *s = open_as(STORE_SERVE, 1 << 20); /* grows on the way */
	uint64_t before = number(s);
	assert_int_equal(committer_start(s, &host, &c, NULL), OK);
	atomic_store(&woken, 0);
	done_so_far = 0;
	for (unsigned i = 0; i < JOBS; i++) {
		jobs[i] = (struct counting){ .bulk = 1000 };
		submit(c, &jobs[i]);
		if (i % 10 == 9)
			committer_flush(c);
	}
	while (done_so_far < JOBS) {
		if (!committer_finish(c))
			usleep(1000);
	}
	assert_in_range(atomic_load(&woken), 1, JOBS / 2);
	committer_stop(c);
	for (unsigned i = 0; i < JOBS; i++) {
		assert_int_equal(jobs[i].status, OK);
		assert_int_equal(jobs[i].order, i + 1);       /* in their order, */
		assert_int_equal(jobs[i].seen, before + i);   /* and each saw those before it, once */
		assert_int_equal(jobs[i].now_ms, 77);
	}
	assert_int_equal(number(s), before + JOBS);
	committer_free(c);
	store_close(s);
}

/* What a turn of the loop submits is one transaction: all of it, and asked for once. */
static void what_gathers_shares_a_transaction(void **state)
{
	(void)state;
	enum { JOBS = 100 };
	static struct counting jobs[JOBS + 1];
	struct committer *c;
	struct store *s = open_as(STORE_SERVE, 0);
	uint64_t before = number(s);
	assert_int_equal(committer_start(s, &host, &c, NULL), OK);
	atomic_store(&woken, 0);
	gathering = done_so_far = 0;
	for (int i = 0; i < JOBS; i++)
		submit(c, &jobs[i]);
	usleep(10000);
	assert_false(committer_finish(c)); /* nothing without a flush */
	assert_int_equal(gathering, 1);
	committer_flush(c);
	committer_flush(c); /* of nothing */
	while (done_so_far < JOBS) {
		if (!committer_finish(c))
			usleep(1000);
	}
	assert_int_equal(atomic_load(&woken), 1); /* one transaction */
	submit(c, &jobs[JOBS]);
	assert_int_equal(gathering, 2);
	committer_stop(c); /* which flushes, too */
	assert_true(committer_finish(c));
	assert_int_equal(number(s), before + JOBS + 1);
	committer_free(c);
	store_close(s);
}

static void one_that_fails_takes_no_other_down(void **state)
{
	(void)state;
	struct committer *c;
	struct store *s = open_as(STORE_SERVE, 0);
	struct counting jobs[5] = { [2] = { .fails = true } };
	uint64_t before = number(s);
	assert_int_equal(committer_start(s, &host, &c, NULL), OK);
	done_so_far = 0;
	for (int i = 0; i < 5; i++)
		submit(c, &jobs[i]);
	committer_stop(c); /* runs what was submitted */
	assert_true(committer_finish(c));
	assert_false(committer_finish(c));
	for (int i = 0; i < 5; i++) {
		assert_int_equal(jobs[i].order, i + 1);
		assert_int_equal(jobs[i].status, i == 2 ? ERR_MEMORY : OK);
	}
	assert_int_equal(number(s), before + 4); /* nothing of it stayed */
	assert_false(committer_failed(c, NULL));
	committer_free(c);
	store_close(s);
}

static struct committer *ending;
static struct counting *follower;

static void counted_and_more(struct job *job, enum status status)
{
	counted(job, status);
	if (follower)
		submit(ending, follower);
	follower = NULL;
}

/* Whoever is done at the end, and goes on: that comes back, too, not run. */
static void what_is_submitted_after_the_end_comes_back(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 0);
	struct counting first = { 0 }, second = { .status = OK };
	uint64_t before = number(s);
	assert_int_equal(committer_start(s, &host, &ending, NULL), OK);
	done_so_far = 0;
	follower = &second;
	first.job = (struct job){ .run = count_up, .done = counted_and_more, .weight = 1 };
	committer_submit(ending, &first.job);
	committer_stop(ending);
	assert_true(committer_finish(ending));
	assert_int_equal(first.status, OK);
	assert_int_equal(second.order, 0);
	assert_true(committer_finish(ending));
	assert_int_equal(second.order, 2);
	assert_int_not_equal(second.status, OK);
	assert_int_equal(second.runs, 0);
	assert_false(committer_finish(ending));
	assert_int_equal(number(s), before + 1);
	committer_free(ending);
	store_close(s);
}

static void one_server_at_a_time(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 0), *other;
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
		cmocka_unit_test(what_gathers_shares_a_transaction),
		cmocka_unit_test(one_that_fails_takes_no_other_down),
		cmocka_unit_test(what_is_submitted_after_the_end_comes_back),
		cmocka_unit_test(one_server_at_a_time),
	};
	return cmocka_run_group_tests_name("committer", tests, make_directory, remove_directory);
}
