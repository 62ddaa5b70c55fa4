#include "acms/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include "acms/damage.h"

enum { SPARE_ARENAS = 32 };

struct worker {
	const struct worker_kind *kind;
	void *context;
	pthread_t thread;
	bool running;
	/* The loop's alone: */
	struct job_queue ready;            /* handed back, but done() was not called */
	struct arena *spare[SPARE_ARENAS]; /* that jobs had; empty, with a block each */
	size_t n_spare;
	struct arena *work;                /* of the job whose done() runs */

	pthread_mutex_t mutex; /* for what follows */
	pthread_cond_t more;
	struct job_queue waiting, done;
	bool stopping;
};

void job_queue_init(struct job_queue *q)
{
	q->first = NULL;
	q->last = &q->first;
}

void job_queue_add(struct job_queue *q, struct job *job)
{
	job->next = NULL;
	*q->last = job;
	q->last = &job->next;
}

/* Empties from. */
static void append(struct job_queue *q, struct job_queue *from)
{
	if (!from->first)
		return;
	*q->last = from->first;
	q->last = from->last;
	job_queue_init(from);
}

static void fail_all(struct job_queue *jobs)
{
	for (struct job *job = jobs->first; job; job = job->next)
		job->status = ERR_BUSY;
}

/* --- the thread --- */

void worker_run(struct job *job, struct store_txn *t, uint64_t now_ms)
{
	struct error e = { OK, "" };
	if (job->work)
		arena_reset(job->work); /* of another job, or of an attempt before */
	else
		job->work = arena_new(0);
	job->status = ERR_MEMORY;
	if (!job->work)
		return;
	job->run(job, t, job->work, now_ms);
	job->status = store_end_job(t, &e); /* the others go on */
	if (job->status != OK)
		damage_log(NULL, e.text);
}

/* Moves what is done together out of the queue. */
static size_t take_batch(struct worker *w, struct job_queue *batch)
{
	size_t n = 0, weight = 0;
	struct job *job;
	while ((job = w->waiting.first) && n < w->kind->most_jobs && weight < w->kind->most_weight) {
		w->waiting.first = job->next;
		weight += job->weight;
		job_queue_add(batch, job);
		n++;
	}
	if (!w->waiting.first)
		w->waiting.last = &w->waiting.first;
	return n;
}

/* 0: it is to end. What a worker that is stopping drops is handed back at once. */
static size_t wait_for_jobs(struct worker *w, struct job_queue *batch)
{
	job_queue_init(batch);
	pthread_mutex_lock(&w->mutex);
	while (!w->waiting.first && !w->stopping)
		pthread_cond_wait(&w->more, &w->mutex);
	if (w->stopping && w->kind->drops) {
		fail_all(&w->waiting);
		append(&w->done, &w->waiting);
	}
	size_t n = take_batch(w, batch);
	pthread_mutex_unlock(&w->mutex);
	return n;
}

static void *run(void *context)
{
	struct worker *w = context;
	struct job_queue batch;
	size_t n;
	while ((n = wait_for_jobs(w, &batch)) > 0) {
		w->kind->work(w->context, batch.first, n);
		pthread_mutex_lock(&w->mutex);
		append(&w->done, &batch);
		pthread_mutex_unlock(&w->mutex);
		w->kind->handed_back(w->context);
	}
	return NULL;
}

/* --- for the loop --- */

enum status worker_start(const struct worker_kind *kind, void *context, struct worker **out, struct error *e)
{
	sigset_t all, before;
	struct worker *w = calloc(1, sizeof *w);
	if (!w)
		return error_set(e, ERR_MEMORY, "out of memory");
	w->kind = kind;
	w->context = context;
	pthread_mutex_init(&w->mutex, NULL);
	pthread_cond_init(&w->more, NULL);
	job_queue_init(&w->ready);
	job_queue_init(&w->waiting);
	job_queue_init(&w->done);
	*out = w; /* before there is a thread that may look for it */
	sigfillset(&all); /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	w->running = pthread_create(&w->thread, NULL, run, w) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (w->running) {
		pthread_setname_np(w->thread, kind->name);
		return OK;
	}
	worker_free(w);
	*out = NULL;
	return error_set(e, ERR_SYSTEM, "the %s's thread cannot be started", kind->name);
}

void worker_give(struct worker *w, struct job_queue *jobs)
{
	for (struct job *job = jobs->first; job; job = job->next)
		job->work = w->n_spare ? w->spare[--w->n_spare] : NULL;
	if (!w->running)
		fail_all(jobs);
	pthread_mutex_lock(&w->mutex);
	append(w->running ? &w->waiting : &w->done, jobs);
	pthread_mutex_unlock(&w->mutex);
	pthread_cond_signal(&w->more); /* not before: who wakes wants the mutex at once */
}

void worker_return_work(struct worker *w, struct arena *work)
{
	if (!work || w->n_spare == SPARE_ARENAS) {
		arena_free(work);
		return;
	}
	arena_reset(work);
	w->spare[w->n_spare++] = work;
}

struct arena *worker_keep_work(struct worker *w)
{
	struct arena *work = w->work;
	w->work = NULL;
	return work;
}

bool worker_finish(struct worker *w, bool (*may_finish)(void *context, const struct job *job), void *context)
{
	bool any = false;
	struct job *job;
	pthread_mutex_lock(&w->mutex);
	append(&w->ready, &w->done);
	pthread_mutex_unlock(&w->mutex);
	while ((job = w->ready.first) && (!may_finish || may_finish(context, job))) {
		w->ready.first = job->next;
		if (!job->next)
			w->ready.last = &w->ready.first;
		w->work = job->work;
		job->work = NULL;
		job->done(job, job->status);
		worker_return_work(w, w->work);
		any = true;
	}
	return any;
}

void worker_stop(struct worker *w)
{
	if (!w->running)
		return;
	pthread_mutex_lock(&w->mutex);
	w->stopping = true;
	pthread_mutex_unlock(&w->mutex);
	pthread_cond_signal(&w->more);
	pthread_join(w->thread, NULL);
	w->running = false;
}

bool worker_is_stopped(const struct worker *w)
{
	return !w->running;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	worker_stop(w);
	pthread_mutex_destroy(&w->mutex);
	pthread_cond_destroy(&w->more);
	while (w->n_spare > 0)
		arena_free(w->spare[--w->n_spare]);
	free(w);
}
