#ifndef ACMS_PARTY_H
#define ACMS_PARTY_H

#include <stdint.h>
#include <sys/queue.h>
#include "acms/live.h"
#include "acms/share.h"
#include "common/log.h"
#include "common/log_limit.h"
#include "common/net.h"

/*
 * Who connects to us, over all its connections, those before them and reloads: an ACMC, a system, ourselves; and all those
 * together that never got in. What a party can make us keep, read or log is counted together, in memory, in turns at the
 * store and in lines; whoever asks for much waits for himself alone. Loop thread only.
 */

struct server;
struct peer;
struct query;
TAILQ_HEAD(peer_list, peer);

/* What lines are about: each kind has a limit of its own, so that requests do not hide why connections ended. */
enum party_lines { PARTY_CONNECTIONS, PARTY_REQUESTS, PARTY_LINES };

struct party {
	TAILQ_ENTRY(party) in_all;
	struct server *server;
	struct peer_list peers;      /* its connections, those whose turn was longest ago first */
	struct conn_account *account;
	struct share memory;         /* of what it asks */
	bool reading;                /* one of its queries reads the store */
	bool choosing;
	unsigned most_lines;         /* of each kind in a period of log_limit.h */
	struct log_limit lines[PARTY_LINES];
	char name[];                 /* for logs: escaped */
};
TAILQ_HEAD(party_list, party);

/* Memory that something takes of its party's share. */
struct holding {
	struct party *party;
	size_t bytes;
};

/* Found or made, with this name; until parties_free. NULL: out of memory. */
struct party *party_named(struct server *s, const char *name, unsigned most_lines);
/* "ACMC control-room", "system police.example", "self police.example"; escaped. Writes at most size. */
void party_name(const struct principal *who, struct str own, char *out, size_t size);
/* Those whose connections never got in. NULL: out of memory. */
struct party *party_of_strangers(struct server *s);
/* Now and then: says which lines were left out. */
void parties_tick(struct server *s);
/* They have no connections any more. */
void parties_free(struct server *s);

/* For a connection: it is of this party now, and not of the one before, if any. Out: of none. */
void party_join(struct party *y, struct peer *p);
void party_leave(struct peer *p);

/* A line in the log, if the party has any left. */
void party_log(struct party *y, enum party_lines about, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Counts n bytes that a party has asked us to hold. Once its share is full its connections are not read. */
void holding_begin(struct holding *h, struct party *y, size_t n);
void holding_grow(struct holding *h, size_t n);
void holding_end(struct holding *h);

/* Whether all that the connection is still to be answered waits for it to take the answers before. */
bool party_awaits_peer(struct peer *p);
/* It has taken all that was queued. */
void party_peer_drained(struct peer *p);

/* The query waits for its turn; perhaps that is now. */
void party_enqueue(struct party *y, struct query *q);
/*
 * Begins what may begin: of a party one query reads the store at a time, its connections take turns, and one that does not
 * take its answers has none.
 */
void party_turn(struct party *y);
/* A query that had its party's turn at the store is finished. */
void party_end_turn(struct party *y);

#endif
