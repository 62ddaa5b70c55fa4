// needs: acms/committer.c acms/commit.c acms/expire.c acms/plan.c acms/store.c acms/store_open.c acms/store_txn.c acms/store_requests.c acms/store_audit.c acms/store_lists.c acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/setup.c common/identity.c common/text.c common/arena.c common/error.c common/crypto.c common/log.c common/failpoint.c common/clock.c common/cause.c
#include <stdatomic.h>
#include <unistd.h>
#include "acms/commit.h"
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

/* A setup as a job of the committer, of one user with one MC service ID, both made from n. */
struct setup_job {
	struct job job;
	struct arena *arena; /* has the job */
	struct commit_setup what;
	struct commit_answer answer;
	unsigned runs;
	unsigned *done;      /* counts those that were done well */
	enum status status;
	enum cause cause;
	bool finished, keep; /* keep: the test frees it */
};

static void run_setup(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct setup_job *j = (struct setup_job *)job;
	assert_non_null(work);
	j->runs++;
	commit_setup(t, work, &j->what, now_ms, &j->answer);
}

static void done_setup(struct job *job, enum status status)
{
	struct setup_job *j = (struct setup_job *)job;
	j->finished = true;
	j->status = status;
	j->cause = j->answer.verdict.cause;
	if (status == OK && j->cause == CAUSE_NO_CAUSE && j->done)
		++*j->done;
	if (!j->keep)
		arena_free(j->arena);
}

static struct setup_job *make_job(unsigned n, uint8_t id)
{
	struct arena *a = arena_new(0);
	struct setup_job *j = arena_alloc(a, sizeof *j);
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
	j->job = (struct job){ .run = run_setup, .done = done_setup, .weight = 1 };
	j->arena = a;
	j->what = (struct commit_setup){ .home = STR("police.example"), .certificate = STR("DNS:acms.police.example"),
					 .most_users = 1000000 };
	assert_int_equal(setup_check(a, &r, &limits, &j->what.setup).cause, CAUSE_NO_CAUSE);
	return j;
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
	unsigned done = 0;
	struct store *s = open_store(1 << 20); /* grows on the way */
	assert_int_equal(committer_start(s, clock_77, wake, NULL, &c, NULL), OK);
	atomic_store(&woken, 0);
	for (unsigned i = 0; i < JOBS; i++) {
		struct setup_job *j = make_job(i, 0);
		j->done = &done;
		committer_submit(c, &j->job);
	}
	while (done < JOBS) {
		if (!committer_finish(c))
			usleep(1000);
	}
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
	struct setup_job *job = make_job(1, 1), *conflict = make_job(2, 2), *again = make_job(1, 1);
	job->keep = conflict->keep = again->keep = true;
	conflict->what.home = STR("rail.example"); /* asks for the same MC service ID */
	conflict->what.setup.users[0].service_ids = job->what.setup.users[0].service_ids;
	assert_int_equal(committer_start(s, clock_77, wake, NULL, &c, NULL), OK);
	committer_submit(c, &job->job);
	committer_submit(c, &conflict->job);
	committer_submit(c, &again->job);
	committer_stop(c); /* finishes first */
	assert_true(committer_finish(c));
	assert_true(job->finished && conflict->finished && again->finished);
	assert_int_equal(job->cause, CAUSE_NO_CAUSE);
	assert_int_equal(conflict->cause, CAUSE_MC_SERVICE_ID_IN_USE);
	assert_true(again->answer.repeated);
	assert_int_equal(again->cause, CAUSE_NO_CAUSE);
	assert_false(committer_finish(c));
	arena_free(job->arena), arena_free(conflict->arena), arena_free(again->arena);
	committer_free(c);
	store_close(s);
}

/* A job that makes its transaction fail, with a key that cannot be. */
static void run_badly(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	char long_id[400];
	struct owner_record owner = { STR("police.example"), STR("a") };
	(void)now_ms;
	((struct setup_job *)job)->runs++;
	memset(long_id, 'x', sizeof long_id);
	store_put_user(t, work, STORE_USERS, owner.home, (struct str){ long_id, sizeof long_id }, NULL, &(struct user_record){ .revision = 1 });
}

static void one_bad_job_takes_no_others_down(void **state)
{
	(void)state;
	struct committer *c;
	struct store *s = open_store(0);
	uint64_t before = held(s);
	struct setup_job *first = make_job(5001, 0), *bad = make_job(5002, 0), *last = make_job(5003, 0);
	first->keep = bad->keep = last->keep = true;
	bad->job.run = run_badly;
	assert_int_equal(committer_start(s, clock_77, wake, NULL, &c, NULL), OK);
	committer_submit(c, &first->job);
	committer_submit(c, &bad->job);
	committer_submit(c, &last->job);
	committer_stop(c);
	assert_true(committer_finish(c));
	assert_int_equal(first->status, OK);
	assert_int_equal(last->status, OK);
	assert_int_not_equal(bad->status, OK);
	assert_false(committer_failed(c, &(struct error){ OK, "" }));
	assert_int_equal(held(s), before + 2);
	arena_free(first->arena), arena_free(bad->arena), arena_free(last->arena);
	committer_free(c);
	store_close(s);
}

/* Submits itself again from done(), as a long reading job does. */
static struct committer *goes_on_with;

static void done_again(struct job *job, enum status status)
{
	struct setup_job *j = (struct setup_job *)job;
	assert_int_equal(status, OK);
	j->finished = j->runs == 5;
	if (!j->finished)
		committer_submit(goes_on_with, job);
}

static void a_job_may_go_on(void **state)
{
	(void)state;
	struct store *s = open_store(0);
	struct setup_job *j = make_job(6001, 0);
	j->job.done = done_again;
	assert_int_equal(committer_start(s, clock_77, wake, NULL, &goes_on_with, NULL), OK);
	committer_submit(goes_on_with, &j->job);
	while (!j->finished) {
		if (!committer_finish(goes_on_with))
			usleep(1000);
	}
	committer_free(goes_on_with);
	arena_free(j->arena);
	store_close(s);
}

static void an_aborted_transaction_leaves_nothing(void **state)
{
	(void)state;
	struct store *s = open_store(0);
	struct store_txn *t;
	struct setup_job *j = make_job(9002, 0);
	uint64_t before = held(s);
	assert_int_equal(store_begin_write(s, &t, NULL), OK);
	commit_setup(t, j->arena, &j->what, 1, &j->answer);
	assert_int_equal(j->answer.verdict.cause, CAUSE_NO_CAUSE);
	store_abort(t);
	assert_int_equal(held(s), before);
	arena_free(j->arena);
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
		cmocka_unit_test(one_bad_job_takes_no_others_down),
		cmocka_unit_test(a_job_may_go_on),
		cmocka_unit_test(an_aborted_transaction_leaves_nothing),
		cmocka_unit_test(one_server_at_a_time),
	};
	return cmocka_run_group_tests_name("committer and store", tests, make_directory, remove_directory);
}
