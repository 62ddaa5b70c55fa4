#ifndef ACMS_READER_H
#define ACMS_READER_H

#include "acms/worker.h"

/*
 * The thread that answers questions from the store between reader_start and reader_stop: each job in a read transaction of
 * its own, so that it waits for no commit and no commit waits for it, and whatever goes wrong fails that job alone. While
 * a transaction is open the map cannot grow, and pages that it sees cannot be used again: a job does no more at a time than
 * takes milliseconds, and is submitted again for the rest. Jobs are run in their order: whose job is submitted again only
 * when it is done, has one turn in each round, however much he asks.
 */
struct reader;

struct reader_host {
	uint64_t (*now_ms)(void); /* the clock */
	/* In the reader's thread, as the committer's. */
	void (*wake)(void *context);
	void *wake_context;
	/*
	 * In reader_finish: whether all was told that is in that snapshot of the store. If not, the jobs wait for the next
	 * reader_finish: nothing that is told afterwards is in an answer before.
	 */
	bool (*has_told)(void *context, uint64_t snapshot);
	void *has_told_context;
};

/* What a job looks at in one go, about, in records of users; others count as it takes as long to read them. */
enum { READER_STEP = 5000 };

enum status reader_start(struct store *store, const struct reader_host *host, struct reader **out, struct error *e);
void reader_submit(struct reader *r, struct job *job);
/* Calls done() of all jobs that are ready, in the order in which they were submitted. False: there were none. */
bool reader_finish(struct reader *r);
/* Ends the thread after the job that it runs; what waits fails (ERR_BUSY), as does what is submitted from then on. */
void reader_stop(struct reader *r);
void reader_free(struct reader *r); /* NULL is fine */

#endif
