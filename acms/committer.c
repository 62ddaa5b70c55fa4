#include "acms/committer.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include "acms/damage.h"
#include "common/failpoint.h"
#include "common/log.h"

enum { BATCH_JOBS = 512, BATCH_WEIGHT = 10000, SPARE_ARENAS = 32 };

struct queue {
	struct job *first, **last;
};

struct committer {
	struct store *store;
	struct committer_host host;
	pthread_t thread;
	bool running;
	/* The loop's alone: */
	struct queue gathered;
	struct arena *spare[SPARE_ARENAS]; /* that jobs had; empty, with a block each */
	size_t n_spare;
	struct arena *work; /* of the job whose done() runs */

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

static void queue_add(struct queue *q, struct job *job)
{
	job->next = NULL;
	*q->last = job;
	q->last = &job->next;
}

/* Empties from. */
static void queue_append(struct queue *q, struct queue *from)
{
	if (!from->first)
		return;
	*q->last = from->first;
	q->last = from->last;
	queue_init(from);
}

/* --- the thread --- */

/* full: NULL, or why those that add are not run. */
static void run_job(struct committer *c, struct job *job, struct store_txn *t, const struct error *full)
{
	if (job->work)
		arena_reset(job->work); /* of an attempt before */
	else
		job->work = arena_new(0);
	struct error e = { OK, "" };
	if (!job->work) {
		job->status = ERR_MEMORY;
		return;
	}
	if (full && job->adds) {
		job->status = full->status;
		damage_log(NULL, full->text);
		return;
	}
	job->run(job, t, job->work, c->host.now_ms());
	job->status = store_end_job(t, &e); /* the others go on */
	if (job->status != OK)
		damage_log(NULL, e.text);
}

/* All of them in one transaction. OK: on disk. */
static enum status commit_jobs(struct committer *c, struct job *first, size_t n, struct error *e)
{
	struct store_txn *t;
	struct error why;
	const struct error *full = store_is_full(c->store, &why) ? &why : NULL;
	enum status status = store_begin_write(c->store, &t, e);
	if (status != OK)
		return status;
	for (struct job *job = first; n > 0 && store_status(t) == OK; job = job->next, n--)
		run_job(c, job, t, full);
	fail_point("commit-before");
	status = store_commit(t, e);
	fail_point("commit-after");
	return status;
}

static enum status commit_growing(struct committer *c, struct job *first, size_t n,
				  struct error *e)
{
	enum status status = commit_jobs(c, first, n, e);
	while (status == ERR_STORE_FULL && store_grow(c->store, e) == OK)
		status = commit_jobs(c, first, n, e);
	return status;
}

static void give_up(struct committer *c, struct job *job, const struct error *e)
{
	job->status = e->status;
	if (!store_broken(c->store))
		return;
	pthread_mutex_lock(&c->mutex);
	c->failed = true;
	c->failure = *e;
	pthread_mutex_unlock(&c->mutex);
}

/* One that makes the transaction fail must not take the others down. */
static void commit_batch(struct committer *c, struct job *first, size_t n)
{
	struct error why, e, said = { OK, "" };
	if (commit_growing(c, first, n, &why) == OK)
		return;
	for (struct job *job = first; n > 0; job = job->next, n--) {
		if (commit_growing(c, job, 1, &e) == OK)
			continue;
		if (store_broken(c->store))
			e = why; /* since it broke it says only that it is broken */
		if (strcmp(e.text, said.text) != 0) /* a full disk stops all of them: said once */
			log_error("%s", e.text);
		said = e;
		give_up(c, job, &e);
	}
}

/* Moves what makes up the next transaction out of the queue. */
static struct job *take_batch(struct committer *c, size_t *n)
{
	struct job *first = c->waiting.first, *last = NULL;
	size_t weight = 0;
	*n = 0;
	for (struct job *job = first; job && *n < BATCH_JOBS && weight < BATCH_WEIGHT;
	     job = job->next) {
		weight += job->weight;
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

static void hand_back(struct committer *c, struct job *job)
{
	pthread_mutex_lock(&c->mutex);
	for (struct job *next; job; job = next) {
		next = job->next;
		queue_add(&c->done, job);
	}
	pthread_mutex_unlock(&c->mutex);
	c->host.wake(c->host.wake_context);
}

static void *run(void *context)
{
	struct committer *c = context;
	for (;;) {
		size_t n;
		pthread_mutex_lock(&c->mutex);
		while (!c->waiting.first && !c->stopping)
			pthread_cond_wait(&c->more, &c->mutex);
		struct job *batch = take_batch(c, &n);
		pthread_mutex_unlock(&c->mutex);
		if (!batch)
			return NULL;
		commit_batch(c, batch, n);
		hand_back(c, batch);
	}
}

/* --- for the loop --- */

enum status committer_start(struct store *store, const struct committer_host *host, struct committer **out,
			    struct error *e)
{
	sigset_t all, before;
	struct committer *c = calloc(1, sizeof *c);
	if (!c)
		return error_set(e, ERR_MEMORY, "out of memory");
	c->store = store;
	c->host = *host;
	pthread_mutex_init(&c->mutex, NULL);
	pthread_cond_init(&c->more, NULL);
	queue_init(&c->gathered);
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

void committer_submit(struct committer *c, struct job *job)
{
	bool first = !c->gathered.first;
	job->work = c->n_spare ? c->spare[--c->n_spare] : NULL;
	queue_add(&c->gathered, job);
	if (first)
		c->host.gather(c->host.gather_context);
}

void committer_flush(struct committer *c)
{
	pthread_mutex_lock(&c->mutex);
	queue_append(&c->waiting, &c->gathered);
	pthread_mutex_unlock(&c->mutex);
	pthread_cond_signal(&c->more); /* not before: who wakes wants the mutex at once */
}

void committer_return_work(struct committer *c, struct arena *work)
{
	if (!work || c->n_spare == SPARE_ARENAS) {
		arena_free(work);
		return;
	}
	arena_reset(work);
	c->spare[c->n_spare++] = work;
}

struct arena *committer_keep_work(struct committer *c)
{
	struct arena *work = c->work;
	c->work = NULL;
	return work;
}

/* What is submitted when the thread has ended comes back all the same: it has an owner. */
static void hand_back_unrun(struct committer *c, struct queue *ready)
{
	for (struct job *job = c->gathered.first; job; job = job->next)
		job->status = ERR_SYSTEM;
	queue_append(ready, &c->gathered);
}

bool committer_finish(struct committer *c)
{
	struct queue ready;
	queue_init(&ready);
	pthread_mutex_lock(&c->mutex);
	queue_append(&ready, &c->done);
	pthread_mutex_unlock(&c->mutex);
	if (!c->running)
		hand_back_unrun(c, &ready);
	bool any = ready.first != NULL;
	for (struct job *job = ready.first, *next; job; job = next) {
		next = job->next;
		c->work = job->work;
		job->work = NULL;
		job->done(job, job->status);
		committer_return_work(c, c->work);
	}
	return any;
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
	queue_append(&c->waiting, &c->gathered);
	c->stopping = true;
	pthread_mutex_unlock(&c->mutex);
	pthread_cond_signal(&c->more);
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
	while (c->n_spare > 0)
		arena_free(c->spare[--c->n_spare]);
	free(c);
}
