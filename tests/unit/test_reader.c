// needs: acms/reader.c acms/committer.c acms/worker.c acms/damage.c acms/store.c acms/store_open.c acms/store_file.c acms/store_txn.c acms/store_requests.c acms/store_audit.c acms/store_lists.c
// needs: acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/setup.c common/sort.c common/identity.c common/text.c common/arena.c
// needs: common/error.c common/crypto.c common/log.c common/failpoint.c common/clock.c common/cause.c
#include <limits.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include "acms/committer.h"
#include "acms/reader.h"
#include "store_unit.h"

/* The thread that answers from the store, alone and beside the one that writes it. */

enum { USERS_A_COMMIT = 50 };

static uint64_t clock_77(void)
{
	return 77;
}

static void wake(void *context)
{
	(void)context;
}

static bool all_is_told = true;

static bool has_told(void *context, uint64_t snapshot)
{
	return all_is_told && (!context || committer_has_told(*(struct committer **)context, snapshot));
}

static const struct reader_host host = { clock_77, wake, NULL, has_told, NULL };
static const struct committer_host writing_host = { clock_77, wake, NULL, wake, NULL };

static struct reader *start(struct store *s, const struct reader_host *h)
{
	struct reader *r;
	assert_int_equal(reader_start(s, h, &r, NULL), OK);
	return r;
}

/* What one party asks: a number of steps, each of which counts the users of HOME. */
struct asking {
	struct job job;
	struct reader *reader; /* for the steps that are left; NULL: it asks once */
	unsigned steps, done;
	bool fails;
	sem_t *begun, *go;     /* if not NULL: it waits in its step */
	unsigned users, before, order;
	bool torn;             /* what it saw was no state that was committed */
	enum status status;
};

static unsigned done_so_far;

static bool count_user(void *context, struct str home, struct str mc_id, const struct user_record *r)
{
	(void)home, (void)mc_id, (void)r;
	++*(unsigned *)context;
	return true;
}

static void run_step(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct asking *q = (struct asking *)job;
	assert_int_equal(now_ms, 77);
	assert_non_null(arena_alloc(work, 10000));
	if (q->begun) {
		sem_post(q->begun);
		sem_wait(q->go);
	}
	q->users = 0;
	store_list_users(t, STORE_USERS, HOME, NULL, count_user, &q->users);
	q->torn |= q->users % USERS_A_COMMIT != 0 || q->users < q->before;
	q->before = q->users;
	if (q->fails)
		store_fail_memory(t);
}

static void step_done(struct job *job, enum status status)
{
	struct asking *q = (struct asking *)job;
	q->status = status;
	q->done++;
	q->order = ++done_so_far;
	if (q->reader && status == OK && q->done < q->steps)
		reader_submit(q->reader, job);
}

/* What is handed back is finished, too. */
static void end(struct reader *r)
{
	reader_stop(r);
	while (reader_finish(r)) {
	}
	reader_free(r);
}

static void ask(struct reader *r, struct asking *q)
{
	q->job = (struct job){ .run = run_step, .done = step_done };
	reader_submit(r, &q->job);
}

static void finish_until(struct reader *r, const unsigned *count, unsigned n)
{
	while (*count < n) {
		if (!reader_finish(r))
			usleep(500);
	}
}

/* --- alone --- */

/* However many steps the one needs, the other has every other turn. */
static void parties_take_turns(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 0);
	struct reader *r = start(s, &host);
	sem_t begun, go;
	sem_init(&begun, 0, 0);
	sem_init(&go, 0, 0);
	struct asking hold = { .begun = &begun, .go = &go };
	struct asking greedy = { .reader = r, .steps = 2048 }, modest = { .reader = r, .steps = 5 };
	done_so_far = 0;
	ask(r, &hold); /* so that both are there before the first turn */
	sem_wait(&begun);
	ask(r, &greedy);
	ask(r, &modest);
	sem_post(&go);
	finish_until(r, &modest.done, 5);
	assert_in_range(greedy.done, 5, 6);
	assert_in_range(modest.order, 11, 12);
	finish_until(r, &greedy.done, 2048);
	end(r);
	store_close(s);
}

static void one_that_fails_fails_alone(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 0);
	struct reader *r = start(s, &host);
	struct asking q[5] = { [1] = { .fails = true }, [3] = { .fails = true } };
	done_so_far = 0;
	for (int i = 0; i < 5; i++)
		ask(r, &q[i]);
	finish_until(r, &done_so_far, 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(q[i].status, q[i].fails ? ERR_MEMORY : OK);
		assert_int_equal(q[i].order, i + 1);
	}
	end(r);
	store_close(s);
}

/* When it ends, nobody waits for what was asked, and nobody is left without an end. */
static void what_waits_at_the_end_fails(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 0);
	struct reader *r = start(s, &host);
	sem_t begun, go;
	sem_init(&begun, 0, 0);
	sem_init(&go, 0, 1);
	struct asking q[10] = { [0] = { .begun = &begun, .go = &go } }, late = { .steps = 1 };
	done_so_far = 0;
	for (int i = 0; i < 10; i++) {
		if (i == 1)
			sem_wait(&begun);
		ask(r, &q[i]);
	}
	reader_stop(r);
	assert_true(reader_finish(r));
	assert_int_equal(done_so_far, 10);
	assert_int_equal(q[0].status, OK);
	for (int i = 1; i < 10; i++)
		assert_true(q[i].status == OK || q[i].status == ERR_BUSY);
	assert_int_equal(q[9].status, q[9].users ? OK : q[9].status);
	ask(r, &late);
	assert_true(reader_finish(r));
	assert_int_equal(late.status, ERR_BUSY);
	assert_false(reader_finish(r));
	end(r);
	store_close(s);
}

/* --- beside the writer --- */

struct putting {
	struct job job;
	unsigned number;
	bool done;
	enum status status;
};

static void run_put(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct putting *p = (struct putting *)job;
	(void)now_ms;
	for (unsigned i = 0; i < USERS_A_COMMIT; i++)
		put_user(t, work, HOME, arena_printf(work, "u%06u%0200u", p->number * USERS_A_COMMIT + i, 0), 1);
}

static void put_done(struct job *job, enum status status)
{
	struct putting *p = (struct putting *)job;
	p->status = status;
	p->done = true;
}

static void put(struct committer *c, struct putting *p, unsigned number)
{
	*p = (struct putting){ .job = { .run = run_put, .done = put_done, .weight = USERS_A_COMMIT }, .number = number };
	committer_submit(c, &p->job);
	committer_flush(c);
}

static void finish_put(struct committer *c, const struct putting *p)
{
	while (!p->done) {
		if (!committer_finish(c))
			usleep(500);
	}
	assert_int_equal(p->status, OK);
}

/* Neither waits for the other, and readers see whole commits, though the map becomes a hundred times as large. */
static void the_map_grows_while_others_read(void **state)
{
	(void)state;
	enum { COMMITS = 200, READERS = 4 };
	struct store *s = open_as(STORE_SERVE, 1 << 18);
	struct reader *r = start(s, &host);
	struct committer *c;
	struct putting p;
	assert_int_equal(committer_start(s, &writing_host, &c, NULL), OK);
	struct asking q[READERS];
	for (int i = 0; i < READERS; i++) {
		q[i] = (struct asking){ .reader = r, .steps = UINT_MAX };
		ask(r, &q[i]);
	}
	for (unsigned i = 0; i < COMMITS; i++) {
		put(c, &p, i);
		while (!p.done) {
			bool any = committer_finish(c);
			if (!reader_finish(r) && !any)
				usleep(200);
		}
		assert_int_equal(p.status, OK);
	}
	struct asking last = { .steps = 1 };
	ask(r, &last);
	finish_until(r, &last.done, 1);
	reader_stop(r);
	while (reader_finish(r)) {
	}
	assert_int_equal(last.users, COMMITS * USERS_A_COMMIT);
	for (int i = 0; i < READERS; i++) {
		assert_false(q[i].torn);
		assert_true(q[i].done > 1);
		assert_true(q[i].status == OK || q[i].status == ERR_BUSY);
	}
	committer_free(c);
	end(r);
	store_close(s);
}

/* A step is open: commits go on, but for one that the map is too small for, which waits for this step and no other. */
static void only_growth_waits_for_a_step(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 18);
	struct reader *r = start(s, &host);
	struct committer *c;
	struct putting small, large[20];
	sem_t begun, go;
	sem_init(&begun, 0, 0);
	sem_init(&go, 0, 0);
	struct asking q = { .begun = &begun, .go = &go }, other = { .reader = r, .steps = UINT_MAX };
	assert_int_equal(committer_start(s, &writing_host, &c, NULL), OK);
	ask(r, &q);
	sem_wait(&begun);
	ask(r, &other);
	put(c, &small, 0);
	finish_put(c, &small);
	for (unsigned i = 0; i < 20; i++)
		put(c, &large[i], i + 1);
	usleep(50000); /* enough to go wrong in, if it did not wait */
	committer_finish(c);
	assert_false(large[19].done);
	sem_post(&go);
	for (unsigned i = 0; i < 20; i++) {
		while (!large[i].done) {
			committer_finish(c);
			reader_finish(r);
		}
		assert_int_equal(large[i].status, OK);
	}
	assert_int_equal(q.users, 0); /* as it was when the step began */
	end(r);
	assert_false(q.torn || other.torn);
	committer_free(c);
	store_close(s);
}

/* A transaction that writes is open, in this thread: whoever reads does not wait for its end. */
static void readers_wait_for_no_commit(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 0);
	struct reader *r = start(s, &host);
	struct arena *a = arena_new(0);
	struct asking q[100] = { [99] = { .fails = false } };
	struct store_txn *t = writing(s);
	put_user(t, a, HOME, "not yet", 1);
	done_so_far = 0;
	for (int i = 0; i < 100; i++)
		ask(r, &q[i]);
	finish_until(r, &done_so_far, 100);
	assert_int_equal(q[99].users, 0);
	assert_int_equal(store_commit(t, NULL), OK);
	end(r);
	arena_free(a);
	store_close(s);
}

/* What shows something that was not told yet waits until it is. */
static void nothing_is_shown_before_it_is_told(void **state)
{
	(void)state;
	enum { ROUNDS = 300 };
	struct store *s = open_as(STORE_SERVE, 1 << 24);
	struct committer *c;
	struct reader_host telling = host;
	struct putting p;
	unsigned shown = 0;
	telling.has_told_context = &c;
	assert_int_equal(committer_start(s, &writing_host, &c, NULL), OK);
	struct reader *r = start(s, &telling);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct asking q = { .steps = 1 };
		put(c, &p, i);
		usleep(i % 7 * 100);
		ask(r, &q);
		while (q.done == 0) {
			reader_finish(r); /* first: with what is ready now */
			if (q.done == 0)
				committer_finish(c);
		}
		shown += q.users == (i + 1) * USERS_A_COMMIT;
		if (q.users == (i + 1) * USERS_A_COMMIT)
			assert_true(p.done);
		else
			assert_int_equal(q.users, i * USERS_A_COMMIT);
		finish_put(c, &p);
	}
	assert_in_range(shown, 1, ROUNDS);
	all_is_told = false;
	struct asking q = { .steps = 1 };
	ask(r, &q);
	reader_stop(r);
	assert_false(reader_finish(r));
	all_is_told = true;
	assert_true(reader_finish(r));
	assert_int_equal(q.done, 1);
	end(r);
	committer_free(c);
	store_close(s);
}

/* --- beside another process that lets the map grow --- */

static int import_elsewhere(void)
{
	struct store *s;
	enum status status = store_open(directory, OWN, 1 << 20, STORE_WRITE, &s, NULL);
	struct arena *a = arena_new(0);
	for (unsigned n = 0; status == OK && n < 100; n++) {
		struct putting p = { .number = 1000 + n };
		do {
			struct store_txn *t;
			arena_reset(a);
			status = store_begin_write(s, &t, NULL);
			if (status == OK) {
				run_put(&p.job, t, a, 0);
				status = store_commit(t, NULL);
			}
		} while (status == ERR_STORE_FULL && store_grow(s, NULL) == OK);
	}
	arena_free(a);
	store_close(s);
	return (int)status;
}

/* Readers and the writer find the map too small in whatever order, and either of them makes it larger. */
static void another_process_lets_the_map_grow(void **state)
{
	(void)state;
	int go[2], status;
	char byte;
	assert_int_equal(pipe(go), 0);
	pid_t pid = fork(); /* before there is a store to inherit */
	if (pid == 0) {
		close(go[1]);
		_exit(read(go[0], &byte, 1) == 1 ? import_elsewhere() : 99);
	}
	struct store *s = open_as(STORE_SERVE, 1 << 18);
	struct reader *r = start(s, &host);
	struct committer *c;
	struct putting p;
	unsigned n = 0;
	assert_int_equal(committer_start(s, &writing_host, &c, NULL), OK);
	struct asking q = { .reader = r, .steps = UINT_MAX };
	ask(r, &q);
	assert_int_equal(write(go[1], "g", 1), 1);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		put(c, &p, n++);
		while (!p.done) {
			committer_finish(c);
			reader_finish(r);
		}
		assert_int_equal(p.status, OK);
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), OK);
	struct asking last = { .steps = 1 };
	ask(r, &last);
	finish_until(r, &last.done, 1);
	assert_int_equal(last.users, (100 + n) * USERS_A_COMMIT);
	end(r);
	assert_false(q.torn);
	assert_int_equal(q.status, ERR_BUSY); /* until the end */
	committer_free(c);
	store_close(s);
	close(go[0]);
	close(go[1]);
}

/* Only readers are there when it happens. */
static void readers_follow_the_growth(void **state)
{
	(void)state;
	int go[2], status;
	char byte;
	assert_int_equal(pipe(go), 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(go[1]);
		_exit(read(go[0], &byte, 1) == 1 ? import_elsewhere() : 99);
	}
	struct store *s = open_as(STORE_SERVE, 1 << 18);
	struct reader *r = start(s, &host);
	struct asking q = { .reader = r, .steps = UINT_MAX }, last = { .steps = 1 };
	ask(r, &q);
	assert_int_equal(write(go[1], "g", 1), 1);
	while (waitpid(pid, &status, WNOHANG) == 0)
		reader_finish(r);
	assert_int_equal(WEXITSTATUS(status), OK);
	ask(r, &last);
	finish_until(r, &last.done, 1);
	assert_int_equal(last.users, 100 * USERS_A_COMMIT);
	end(r);
	assert_false(q.torn);
	assert_int_equal(q.status, ERR_BUSY); /* until the end */
	store_close(s);
	close(go[0]);
	close(go[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(parties_take_turns),
		STORE_TEST(one_that_fails_fails_alone),
		STORE_TEST(what_waits_at_the_end_fails),
		STORE_TEST(the_map_grows_while_others_read),
		STORE_TEST(only_growth_waits_for_a_step),
		STORE_TEST(readers_wait_for_no_commit),
		STORE_TEST(nothing_is_shown_before_it_is_told),
		STORE_TEST(another_process_lets_the_map_grow),
		STORE_TEST(readers_follow_the_growth),
	};
	return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
