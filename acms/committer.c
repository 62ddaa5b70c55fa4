#include "acms/committer.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include "common/log.h"

enum { BATCH_JOBS = 512, BATCH_USERS = 20000 };

struct queue {
	struct commit_job *first, **last;
};

struct committer {
	struct store *store;
	uint64_t (*now_ms)(void);
	void (*wake)(void *);
	void *wake_context;
	pthread_t thread;
	bool running;

	pthread_mutex_t mutex; /* for what follows */
	pthread_cond_t more;
	struct queue waiting, done;
	bool stopping, failed;
	struct error failure;
};

static void queue_init(struct queue *q)
{
	q->first = NULL;
	q->last = &q->first;
}

static void queue_add(struct queue *q, struct commit_job *job)
{
	job->next = NULL;
	*q->last = job;
	q->last = &job->next;
}

/* --- the thread --- */

/* All of them in one transaction. OK: on disk. */
static enum status commit_jobs(struct committer *c, struct commit_job *first, size_t n,
			       struct error *e)
{
	struct store_txn *t;
	enum status status = store_begin_write(c->store, &t, e);
	if (status != OK)
		return status;
	for (struct commit_job *job = first; n > 0 && store_status(t) == OK; job = job->next, n--)
		commit_setup(t, job, c->now_ms());
	return store_commit(t, e);
}

static enum status commit_growing(struct committer *c, struct commit_job *first, size_t n,
				  struct error *e)
{
	enum status status = commit_jobs(c, first, n, e);
	while (status == ERR_STORE_FULL && store_grow(c->store, e) == OK)
		status = commit_jobs(c, first, n, e);
	return status;
}

static void give_up(struct committer *c, struct commit_job *job, const struct error *e)
{
	log_error("%s", e->text);
	job->repeated = false;
	job->verdict = (struct verdict){ .cause = CAUSE_STORE_UNAVAILABLE,
					 .detail = "the store could not be written" };
	if (!store_broken(c->store))
		return;
	pthread_mutex_lock(&c->mutex);
	c->failed = true;
	c->failure = *e;
	pthread_mutex_unlock(&c->mutex);
}

/* One that makes the transaction fail must not take the others down. */
static void commit_batch(struct committer *c, struct commit_job *first, size_t n)
{
	struct error e;
	if (commit_growing(c, first, n, &e) == OK)
		return;
	if (n == 1) {
		give_up(c, first, &e);
		return;
	}
	for (struct commit_job *job = first; n > 0; job = job->next, n--) {
		if (commit_growing(c, job, 1, &e) != OK)
			give_up(c, job, &e);
	}
}

/* Moves what makes up the next transaction out of the queue. */
static struct commit_job *take_batch(struct committer *c, size_t *n)
{
	struct commit_job *first = c->waiting.first, *last = NULL;
	size_t users = 0;
	*n = 0;
	for (struct commit_job *job = first; job && *n < BATCH_JOBS && users < BATCH_USERS;
	     job = job->next) {
		users += job->setup.n_users;
		last = job;
		++*n;
	}
	if (!last)
		return NULL;
	c->waiting.first = last->next;
	if (!last->next)
		c->waiting.last = &c->waiting.first;
	last->next = NULL;
	return first;
}

static void hand_back(struct committer *c, struct commit_job *job)
{
	pthread_mutex_lock(&c->mutex);
	for (struct commit_job *next; job; job = next) {
		next = job->next;
		queue_add(&c->done, job);
	}
	pthread_mutex_unlock(&c->mutex);
	c->wake(c->wake_context);
}

static void *run(void *context)
{
	struct committer *c = context;
	for (;;) {
		size_t n;
		pthread_mutex_lock(&c->mutex);
		while (!c->waiting.first && !c->stopping)
			pthread_cond_wait(&c->more, &c->mutex);
		struct commit_job *batch = take_batch(c, &n);
		pthread_mutex_unlock(&c->mutex);
		if (!batch)
			return NULL;
		commit_batch(c, batch, n);
		hand_back(c, batch);
	}
}

/* --- for the loop --- */

enum status committer_start(struct store *store, uint64_t (*now_ms)(void), void (*wake)(void *),
			    void *wake_context, struct committer **out, struct error *e)
{
	sigset_t all, before;
	struct committer *c = calloc(1, sizeof *c);
	if (!c)
		return error_set(e, ERR_MEMORY, "out of memory");
	c->store = store;
	c->now_ms = now_ms;
	c->wake = wake;
	c->wake_context = wake_context;
	pthread_mutex_init(&c->mutex, NULL);
	pthread_cond_init(&c->more, NULL);
	queue_init(&c->waiting);
	queue_init(&c->done);
	sigfillset(&all); /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	c->running = pthread_create(&c->thread, NULL, run, c) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!c->running) {
		committer_free(c);
		return error_set(e, ERR_SYSTEM, "the committer's thread cannot be started");
	}
	*out = c;
	return OK;
}

void committer_submit(struct committer *c, struct commit_job *job)
{
	pthread_mutex_lock(&c->mutex);
	queue_add(&c->waiting, job);
	pthread_cond_signal(&c->more);
	pthread_mutex_unlock(&c->mutex);
}

struct commit_job *committer_take(struct committer *c)
{
	pthread_mutex_lock(&c->mutex);
	struct commit_job *first = c->done.first;
	queue_init(&c->done);
	pthread_mutex_unlock(&c->mutex);
	return first;
}

bool committer_failed(struct committer *c, struct error *why)
{
	pthread_mutex_lock(&c->mutex);
	bool failed = c->failed;
	if (failed)
		*why = c->failure;
	pthread_mutex_unlock(&c->mutex);
	return failed;
}

void committer_stop(struct committer *c)
{
	if (!c->running)
		return;
	pthread_mutex_lock(&c->mutex);
	c->stopping = true;
	pthread_cond_signal(&c->more);
	pthread_mutex_unlock(&c->mutex);
	pthread_join(c->thread, NULL);
	c->running = false;
}

void committer_free(struct committer *c)
{
	if (!c)
		return;
	committer_stop(c);
	pthread_mutex_destroy(&c->mutex);
	pthread_cond_destroy(&c->more);
	free(c);
}
