#ifndef ACMC_QUERY_H
#define ACMC_QUERY_H

#include "acmc/home.h"
#include "acmc/options.h"

/* What the commands that ask and show have in common: a connection of version 2, and how they end. */
struct query {
	const struct common_options *options;
	struct acmc_config *config;
	struct home *home;
	struct arena *arena;
	bool begun;
	enum home_result result;
	enum cause cause;  /* that an answer came with instead of content */
	char failure[800]; /* what to tell of it */
	bool noted;        /* a page's detail was told */
};

/* Loads the configuration and connects. False: query_end tells why; there is nothing else to do. */
bool query_begin(struct query *q, const struct common_options *options);
/*
 * Sends a query and takes its answer. Its token is set here. NULL: query_end tells why; an answer with a cause is such
 * a failure, too.
 */
const struct message *query_ask(struct query *q, struct message *m, enum message_kind kind);
/* The server's answer makes no sense. */
void query_nonsense(struct query *q, const char *what);
/* The first failure counts; NULL: none. */
const char *query_failure(const struct query *q);
/* The exit code as far as it is known. */
int query_exit_code(const struct query *q);
/*
 * Ends the connection, tells on standard error what failed, frees everything. shown: the output could be written.
 * code: when nothing failed. Returns the exit code.
 */
int query_end(struct query *q, bool shown, int code);

#endif
