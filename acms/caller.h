#ifndef ACMS_CALLER_H
#define ACMS_CALLER_H

#include <stdint.h>
#include <sys/queue.h>
#include "acms/live.h"
#include "common/log.h"
#include "common/log_limit.h"
#include "common/net.h"

/*
 * Whoever connects to us, by name: an ACMC, a system, ourselves; and all those together that never got in. What it can make us
 * keep or log is counted here, over all its connections, those before them and reloads. Loop thread only.
 */

/* What lines are about: each kind has a limit of its own, so that requests do not hide why connections ended. */
enum caller_lines { CALLER_CONNECTIONS, CALLER_REQUESTS, CALLER_LINES };

struct caller {
	TAILQ_ENTRY(caller) in_all;
	struct conn_account *account;
	unsigned most_lines;        /* of each kind in a period of log_limit.h */
	struct log_limit lines[CALLER_LINES];
	char name[];                /* for logs: escaped */
};
TAILQ_HEAD(caller_list, caller);

/* Found or made, with this name; until callers_free. NULL: out of memory. */
struct caller *caller_named(struct caller_list *all, const char *name, unsigned most_lines);
/* "ACMC control-room", "system police.example", "self police.example"; escaped. Writes at most size. */
void caller_name(const struct principal *who, struct str own, char *out, size_t size);
/* A line in the log, if the caller has any left. */
void caller_log(struct caller *p, enum caller_lines about, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Now and then: says what was left out. */
void callers_tick(struct caller_list *all);
void callers_free(struct caller_list *all);

#endif
