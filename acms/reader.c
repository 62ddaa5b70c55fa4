#include "acms/reader.h"

#include <stdlib.h>
#include "common/log.h"

struct reader {
	struct store *store;
	struct reader_host host;
	struct worker *worker;
	struct error said; /* the thread's: the last mistake that was logged */
};

/* --- the thread --- */

/* One bad record may be in the way of many questions: said once. */
static void log_failure(struct reader *r, const struct error *e)
{
	if (strcmp(e->text, r->said.text) != 0)
		log_error("%s", e->text);
	r->said = *e;
}

static void read_one(struct reader *r, struct job *job)
{
	struct store_txn *t;
	struct error e = { OK, "" };
	job->snapshot = 0;
	job->status = store_begin_read(r->store, &t, &e);
	if (job->status == OK) {
		job->snapshot = store_snapshot(t);
		worker_run(job, t, r->host.now_ms());
		enum status status = store_commit(t, &e); /* of reading: ends it, and says what went wrong */
		if (job->status == OK)
			job->status = status;
	}
	if (e.status != OK)
		log_failure(r, &e);
}

static void read_each(void *context, struct job *first, size_t n)
{
	struct reader *r = context;
	for (struct job *job = first; n > 0; job = job->next, n--)
		read_one(r, job);
}

static void handed_back(void *context)
{
	struct reader *r = context;
	r->host.wake(r->host.wake_context);
}

static const struct worker_kind reading = {
	.name = "reader",
	.most_jobs = 1,
	.most_weight = SIZE_MAX,
	.work = read_each,
	.handed_back = handed_back,
	.drops = true,
};

/* --- for the loop --- */

enum status reader_start(struct store *store, const struct reader_host *host, struct reader **out, struct error *e)
{
	struct reader *r = calloc(1, sizeof *r);
	if (!r)
		return error_set(e, ERR_MEMORY, "out of memory");
	r->store = store;
	r->host = *host;
	enum status status = worker_start(&reading, r, &r->worker, e);
	if (status == OK)
		*out = r;
	else
		reader_free(r);
	return status;
}

void reader_submit(struct reader *r, struct job *job)
{
	struct job_queue one;
	job_queue_init(&one);
	job_queue_add(&one, job);
	worker_give(r->worker, &one);
}

static bool may_finish(void *context, const struct job *job)
{
	const struct reader *r = context;
	return r->host.has_told(r->host.has_told_context, job->snapshot);
}

bool reader_finish(struct reader *r)
{
	return worker_finish(r->worker, may_finish, r);
}

void reader_stop(struct reader *r)
{
	worker_stop(r->worker);
}

void reader_free(struct reader *r)
{
	if (!r)
		return;
	worker_free(r->worker);
	free(r);
}
