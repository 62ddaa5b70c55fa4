#ifndef ACMC_TRACK_H
#define ACMC_TRACK_H

#include "acmc/answers.h"

/*
 * What became of a command, from the request ID of any of its parts: asks the home acms for one request after the
 * other, and fills the same parts and answers as the command itself has. Pure.
 */
struct track {
	struct arena *arena;
	struct request_id asked;  /* by the administrator */
	struct stock stock;       /* the users of the parts that were heard of */
	struct parts parts;
	struct answers answers;
	struct str acmc;          /* who asked */
	uint64_t accepted_ms;
	size_t next;              /* part to ask for */
	size_t n_unknown;         /* parts that the home system does not have */
	bool begun;               /* the first page came */
};

/* home: the home system's MC system ID. */
void track_init(struct track *t, struct arena *arena, struct request_id id, struct str home);
void track_free(struct track *t);
/* NULL: what came could be kept so far; otherwise why not (static). */
const char *track_failed(const struct track *t);
/* The command's ID: its first part's. */
struct request_id track_base(const struct track *t);
/* Begins anew, on another connection: what is answered stays. */
void track_again(struct track *t);
/* What to ask next; false: nothing. The token is the caller's. */
bool track_next(struct track *t, struct requests_query *out);
/* The answer to it. NULL: good; otherwise what is wrong (static). A cause UNKNOWN_REQUEST of the first is the caller's. */
const char *track_take(struct track *t, const struct requests_page *page);

#endif
