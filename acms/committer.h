#ifndef ACMS_COMMITTER_H
#define ACMS_COMMITTER_H

#include "acms/worker.h"

/*
 * The thread that writes the store between committer_start and committer_stop. It takes all jobs that wait, runs them
 * one after the other in one transaction (each all or nothing by itself), and hands them back once what they wrote is
 * on disk. The event loop never waits for it. What only reads is the reader's.
 */
struct committer;

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
/*
 * Whether done() was called of all that is in that snapshot of the store. If not, that is a moment away: a wake that was not
 * answered with committer_finish.
 */
bool committer_has_told(struct committer *c, uint64_t snapshot);
/* In done(): its work arena is the caller's from now on. NULL: it has none, or it was taken before. */
struct arena *committer_keep_work(struct committer *c);
/* Which is to be given back. NULL is fine. */
void committer_return_work(struct committer *c, struct arena *work);
/* The store cannot be used any more (an I/O error in its meta page, say): the server must end. */
bool committer_failed(struct committer *c, struct error *why);
/*
 * Runs what was submitted, flushed or not, ends the thread; committer_finish still works, and fails what is submitted from
 * then on, until it finds nothing. Does not close the store.
 */
void committer_stop(struct committer *c);
void committer_free(struct committer *c); /* NULL is fine */

#endif
