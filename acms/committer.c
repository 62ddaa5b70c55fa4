#include "acms/committer.h"

#include <pthread.h>
#include <stdlib.h>
#include "acms/damage.h"
#include "common/failpoint.h"
#include "common/log.h"

enum { BATCH_JOBS = 512, BATCH_WEIGHT = 10000 };

struct committer {
	struct store *store;
	struct committer_host host;
	struct worker *worker;
	struct job_queue gathered; /* the loop's alone */

	pthread_mutex_t mutex; /* for what follows */
	uint64_t begun;  /* the first transaction of the jobs at hand; 0: there are none */
	uint64_t handed; /* the first one of those that were handed back since committer_finish; 0: none were */
	bool failed;
	struct error failure;
};

/* --- the thread --- */

static void note_begun(struct committer *c, uint64_t snapshot)
{
	pthread_mutex_lock(&c->mutex);
	if (c->begun == 0)
		c->begun = snapshot;
	pthread_mutex_unlock(&c->mutex);
}

/* full: NULL, or why those that add are not run. */
static void run_job(struct committer *c, struct job *job, struct store_txn *t, const struct error *full)
{
	if (full && job->adds) {
		job->status = full->status;
		damage_log(NULL, full->text);
		return;
	}
	worker_run(job, t, c->host.now_ms());
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
	note_begun(c, store_snapshot(t));
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
static void commit_batch(void *context, struct job *first, size_t n)
{
	struct committer *c = context;
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

static void handed_back(void *context)
{
	struct committer *c = context;
	pthread_mutex_lock(&c->mutex);
	if (c->handed == 0)
		c->handed = c->begun;
	c->begun = 0;
	pthread_mutex_unlock(&c->mutex);
	c->host.wake(c->host.wake_context);
}

static const struct worker_kind committing = {
	.name = "committer",
	.most_jobs = BATCH_JOBS,
	.most_weight = BATCH_WEIGHT,
	.work = commit_batch,
	.handed_back = handed_back,
};

/* --- for the loop --- */

enum status committer_start(struct store *store, const struct committer_host *host, struct committer **out,
			    struct error *e)
{
	struct committer *c = calloc(1, sizeof *c);
	if (!c)
		return error_set(e, ERR_MEMORY, "out of memory");
	c->store = store;
	c->host = *host;
	pthread_mutex_init(&c->mutex, NULL);
	job_queue_init(&c->gathered);
	enum status status = worker_start(&committing, c, &c->worker, e);
	if (status == OK)
		*out = c;
	else
		committer_free(c);
	return status;
}

void committer_submit(struct committer *c, struct job *job)
{
	bool first = !c->gathered.first;
	job_queue_add(&c->gathered, job);
	if (first)
		c->host.gather(c->host.gather_context);
}

void committer_flush(struct committer *c)
{
	worker_give(c->worker, &c->gathered);
}

void committer_return_work(struct committer *c, struct arena *work)
{
	worker_return_work(c->worker, work);
}

struct arena *committer_keep_work(struct committer *c)
{
	return worker_keep_work(c->worker);
}

/* What is submitted when the thread has ended comes back all the same: it has an owner. */
bool committer_finish(struct committer *c)
{
	if (worker_is_stopped(c->worker))
		committer_flush(c);
	pthread_mutex_lock(&c->mutex);
	c->handed = 0; /* before what is ready is looked for: what comes in between has another wake to come */
	pthread_mutex_unlock(&c->mutex);
	return worker_finish(c->worker, NULL, NULL);
}

bool committer_has_told(struct committer *c, uint64_t snapshot)
{
	pthread_mutex_lock(&c->mutex);
	uint64_t first = c->handed ? c->handed : c->begun;
	pthread_mutex_unlock(&c->mutex);
	return first == 0 || snapshot < first;
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
	if (worker_is_stopped(c->worker))
		return;
	committer_flush(c);
	worker_stop(c->worker);
}

void committer_free(struct committer *c)
{
	if (!c)
		return;
	worker_free(c->worker);
	pthread_mutex_destroy(&c->mutex);
	free(c);
}
