#ifndef ACMS_WORKER_H
#define ACMS_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include "acms/store.h"
#include "common/arena.h"
#include "common/error.h"

/*
 * A thread that does jobs on the store and hands them back to the event loop: what the committer and the reader share.
 */

/* Embedded in what is to be done; whoever submits owns it again once done() is called. */
struct job {
	/*
	 * In the thread. work is an empty arena for each run. The transaction's sticky status tells of store errors; those
	 * that concern the job alone (store_end_job) leave the others of its transaction as they are.
	 * The committer's may be run again, when the transaction has to be: what it left in the job from the time
	 * before is to be dropped. It must check completely before its first write.
	 */
	void (*run)(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms);
	/* In the loop. status OK: on disk, or read. Otherwise nothing is. The work arena is emptied afterwards. */
	void (*done)(struct job *job, enum status status);
	size_t weight;      /* about how many records it writes; the committer's only, as is the next */
	bool adds;          /* it is not run when the store is full (store_is_full): ERR_STORE_FULL */
	struct arena *work; /* the worker's, as is what follows */
	enum status status;
	uint64_t snapshot;  /* the store's, as it was read; the reader's only */
	struct job *next;
};

struct job_queue {
	struct job *first, **last;
};
void job_queue_init(struct job_queue *q);
void job_queue_add(struct job_queue *q, struct job *job);

struct worker_kind {
	const char *name;   /* for messages */
	size_t most_jobs, most_weight; /* that it takes at once */
	/* In the thread: runs n jobs from first on, and sets the status of each. */
	void (*work)(void *context, struct job *first, size_t n);
	/* In the thread, once they are ready for worker_finish. */
	void (*handed_back)(void *context);
	bool drops;         /* what waits when it is stopped is not run, but fails (ERR_BUSY) */
};

struct worker;

/* The kind is borrowed. */
enum status worker_start(const struct worker_kind *kind, void *context, struct worker **out, struct error *e);
/* From the loop: hands over what is in the queue, which is empty then. Once it is stopped: all of it fails (ERR_BUSY). */
void worker_give(struct worker *w, struct job_queue *jobs);
/* In the thread: runs it, with an empty work arena, and sets its status: what concerns it alone, and is logged. */
void worker_run(struct job *job, struct store_txn *t, uint64_t now_ms);
/*
 * Calls done() of the jobs that are ready, in the order in which they were done, up to the first that may_finish (NULL: all
 * may) says no to. False: there were none.
 */
bool worker_finish(struct worker *w, bool (*may_finish)(void *context, const struct job *job), void *context);
/* In done(): its work arena is the caller's from now on. NULL: it has none, or it was taken before. */
struct arena *worker_keep_work(struct worker *w);
/* Which is to be given back. NULL is fine. */
void worker_return_work(struct worker *w, struct arena *work);
/* Does, or drops, what was handed over, and ends the thread; worker_finish still works. Again: no effect. */
void worker_stop(struct worker *w);
bool worker_is_stopped(const struct worker *w);
void worker_free(struct worker *w); /* NULL is fine */

#endif
