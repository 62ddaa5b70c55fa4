#ifndef ACMS_COMMITTER_H
#define ACMS_COMMITTER_H

#include <stdbool.h>
#include <stdint.h>
#include "acms/store.h"
#include "common/arena.h"
#include "common/setup.h"

/*
 * The thread that writes to the store. It takes all setups that wait, commits them in one transaction
 * (each all or nothing by itself), and hands them back once they are on disk. The event loop never
 * waits for it. It owns the store between committer_start and committer_stop.
 */
struct committer;

/* One setup to be committed. Whoever submits owns it again once it is handed back. */
struct commit_job {
	struct arena *arena;       /* the request's; the committer's while it has the job */
	struct setup setup;
	struct str home;           /* the home system, by its certificate */
	struct str certificate;    /* for the audit entry */
	struct verdict denied;     /* a denial at step 4 to be recorded; CAUSE_NO_CAUSE: to be set up */
	uint64_t most_users;       /* quota */
	struct str token_issuer;   /* of the home system; STR_NONE: not configured */
	struct arena *work;        /* out: what the verdict borrows from; the submitter frees it */
	struct verdict verdict;    /* out: the answer, on disk unless its cause is a 5xx */
	bool repeated;             /* out: the answer is the recorded one */
	void *owner;               /* the submitter's */
	struct commit_job *next;   /* the committer's */
};

/*
 * wake is called in the committer's thread, at least once after jobs became ready for committer_take; it must be
 * safe to call from there (write to an eventfd). now_ms: the clock.
 */
enum status committer_start(struct store *store, uint64_t (*now_ms)(void), void (*wake)(void *),
			    void *wake_context, struct committer **out, struct error *e);
void committer_submit(struct committer *c, struct commit_job *job);
/* All jobs that are done, in the order in which they were submitted, linked by next; NULL if none. */
struct commit_job *committer_take(struct committer *c);
/* The store cannot be used any more (an I/O error in its meta page, say): the server must end. */
bool committer_failed(struct committer *c, struct error *why);
/* Finishes what was submitted, ends the thread; committer_take still works. Does not close the store. */
void committer_stop(struct committer *c);
void committer_free(struct committer *c); /* NULL is fine */

/*
 * One setup inside a transaction: look up, plan, apply; the thread's work, and that of a local import.
 * The transaction's sticky status tells of store errors.
 */
void commit_setup(struct store_txn *t, struct commit_job *job, uint64_t now_ms);

#endif
