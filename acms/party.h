#ifndef ACMS_PARTY_H
#define ACMS_PARTY_H

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
enum party_lines { PARTY_CONNECTIONS, PARTY_REQUESTS, PARTY_LINES };

struct party {
	TAILQ_ENTRY(party) in_all;
	struct conn_account *account;
	unsigned most_lines;        /* of each kind in a period of log_limit.h */
	struct log_limit lines[PARTY_LINES];
	char name[];                /* for logs: escaped */
};
TAILQ_HEAD(party_list, party);

/* Found or made, with this name; until parties_free. NULL: out of memory. */
struct party *party_named(struct party_list *all, const char *name, unsigned most_lines);
/* "ACMC control-room", "system police.example", "self police.example"; escaped. Writes at most size. */
void party_name(const struct principal *who, struct str own, char *out, size_t size);
/* A line in the log, if the party has any left. */
void party_log(struct party *p, enum party_lines about, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Now and then: says what was left out. */
void parties_tick(struct party_list *all);
void parties_free(struct party_list *all);

#endif
