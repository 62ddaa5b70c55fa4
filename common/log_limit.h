#ifndef ACX_LOG_LIMIT_H
#define ACX_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * How many lines one party may cause in the log: so many in each period, and the rest is counted and summed up in one line.
 * One struct for each party, all zero at first. Pure: who logs gives the time (monotonic), and writes the lines.
 */
enum { LOG_LIMIT_LINES = 20, LOG_LIMIT_PERIOD_MS = 10000 };

struct log_limit {
	uint64_t until_ms;  /* the end of the period, which began with its first line */
	unsigned lines;     /* logged in it */
	uint64_t left_out;  /* not logged in it */
};

/*
 * Whether one more line may be logged now: at most `most` in a period. *missed: how many were left out in the period that
 * has ended since, to be said in one line before this one; 0: none.
 */
bool log_limit_allows(struct log_limit *l, unsigned most, uint64_t now_ms, uint64_t *missed);
/* The same number for a timer: if nobody logs any more, it is still said that lines were left out. */
uint64_t log_limit_missed(struct log_limit *l, uint64_t now_ms);

#endif
