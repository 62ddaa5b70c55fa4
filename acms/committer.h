#ifndef ACMS_COMMITTER_H
#define ACMS_COMMITTER_H

#include <stdbool.h>
#include <stdint.h>
#include "acms/store.h"
#include "common/arena.h"
#include "common/error.h"

/*
 * The thread that owns the store between committer_start and committer_stop. It takes all jobs that wait, runs them
 * one after the other in one transaction (each all or nothing by itself), and hands them back once what they wrote is
 * on disk. The event loop never waits for it.
 */
struct committer;

/* Embedded in what is to be done; whoever submits owns it again once done() is called. */
struct job {
	/*
	 * In the committer's thread. Reads and writes; must check completely before its first write. May be run
	 * again, when the transaction has to be: what it left in the job from the time before is to be dropped.
	 * work is an empty arena for each run. The transaction's sticky status tells of store errors; those that concern
	 * the job alone (store_end_job) leave the others of its transaction as they are.
	 */
	void (*run)(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms);
	/* In the loop. status OK: on disk. Otherwise nothing of it is. The work arena is emptied afterwards. */
	void (*done)(struct job *job, enum status status);
	size_t weight;      /* about how many records it writes */
	bool adds;          /* it is not run when the store is full (store_is_full): ERR_STORE_FULL */
	struct arena *work; /* the committer's */
	enum status status; /* the committer's */
	struct job *next;   /* the committer's */
};

/* What it needs of whoever starts it. */
struct committer_host {
	uint64_t (*now_ms)(void); /* the clock */
	/*
	 * In the committer's thread, at least once after jobs became ready for committer_finish; must be safe to call
	 * from there (write to an eventfd).
	 */
	void (*wake)(void *context);
	void *wake_context;
	/* In committer_submit, at the first job since committer_flush, which it asks for, soon. */
	void (*gather)(void *context);
	void *gather_context;
};

enum status committer_start(struct store *store, const struct committer_host *host, struct committer **out,
			    struct error *e);
/* Takes no lock and wakes nobody: jobs gather until committer_flush, so that they share a transaction. */
void committer_submit(struct committer *c, struct job *job);
/* Hands over to the thread what was submitted. */
void committer_flush(struct committer *c);
/* Calls done() of all jobs that are ready, in the order in which they were submitted. False: there were none. */
bool committer_finish(struct committer *c);
/* In done(): its work arena is the caller's from now on. NULL: it has none, or it was taken before. */
struct arena *committer_keep_work(struct committer *c);
/* Which is to be given back. NULL is fine. */
void committer_return_work(struct committer *c, struct arena *work);
/* The store cannot be used any more (an I/O error in its meta page, say): the server must end. */
bool committer_failed(struct committer *c, struct error *why);
/*
 * Runs what was submitted, flushed or not, ends the thread. Does not close the store. committer_finish still works: it also hands
 * back what is submitted from now on, not run, until it finds nothing.
 */
void committer_stop(struct committer *c);
void committer_free(struct committer *c); /* NULL is fine */

#endif
