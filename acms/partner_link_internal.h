#ifndef ACMS_PARTNER_LINK_INTERNAL_H
#define ACMS_PARTNER_LINK_INTERNAL_H

#include "acms/link.h"
#include "acms/server.h"
#include "common/log_limit.h"

/* What partner_link.c (the connection to a partner) and partner_traffic.c (what goes over it) share. */

struct partner_link {
	TAILQ_ENTRY(partner_link) in_server;
	struct server *server;
	char mc_system_id[MC_SYSTEM_ID_MAX + 1];
	/* Borrowed from the live configuration; not used once the link is stopped. */
	const struct partner_rule *rule;
	struct tls_context *tls;

	enum link_state state;
	unsigned failures;             /* in a row */
	char last_failure[400];        /* why the link is not up, escaped */
	struct conn *conn;             /* NULL: none */
	int64_t ends;                  /* Unix seconds: then the partner's certificate is judged again */
	enum session_state session;
	uint32_t version;              /* negotiated */
	struct limits announced;       /* by the partner */
	uint64_t connection;           /* counts them */
	struct delivery_list lists[DELIVERY_PHASES]; /* by phase */
	size_t n_sent, n_loading, n_asked;
	size_t users_sent;             /* in those n_sent */
	struct query_list asked, waiting; /* queries under way, and those that wait for a place */
	struct turns askers;           /* whose they are, by ACMC */
	bool query_was_last;           /* that had a place, and no request */
	uint64_t tokens;
	struct loop_timer *retry, *watchdog;
	uint64_t up_mono_ms;           /* since when it is up */
	uint64_t pings, pongs;
	unsigned unasked;              /* messages in a row on this connection that nobody had asked for */
	struct log_limit unasked_lines;
	size_t n_late;                 /* responses on their way to the store that no delivery waits for */
};

/* What is borne of a connection. */
enum { UNASKED_MAX = 1000, LATE_MAX = 16 };

/* --- partner_link.c --- */

void partner_link_feed(struct partner_link *l, enum link_event event);
/* The partner broke the protocol: nothing that it owes us can be trusted to come any more. */
void partner_link_refuse(struct partner_link *l, enum cause cause, const char *what);
/* Breaks off with a partner whose certificate, or a CRL that it is checked against, has ended. now: Unix seconds. */
void partner_link_check_end(struct partner_link *l, int64_t now);
/*
 * A message came that nobody had asked for, or that comes too late. False: there were too many in a row, and the connection
 * is given up.
 */
bool partner_link_bear(struct partner_link *l, const char *what);
/* How many of those were not logged, if there were some and none comes any more. */
void partner_link_log_missed(struct partner_link *l);
/* Once an end has said Close and nothing is owed any more, the connection can go. */
void partner_link_close_if_drained(struct partner_link *l);

/* --- partner_traffic.c --- */

/* Feeds an event to all deliveries in a phase; each may go elsewhere, or away. */
void traffic_event(struct partner_link *l, enum delivery_phase phase, enum delivery_event event,
		   const char *detail);
/* A partner that does not read what it is sent is sent no more until it does: partner_link.c goes on then. */
bool traffic_ready(const struct partner_link *l);
/* How much may be sent to it before it has answered something. */
size_t traffic_room(const struct partner_link *l);
/* Of a payload: a quarter of what both ends take, so that the answer fits, too. */
size_t traffic_most_bytes(const struct partner_link *l);
/* As much of what is queued as there is room for. */
void traffic_send(struct partner_link *l);
/* Those who wait are told once; what is not kept does not wait. */
void traffic_unreachable(struct partner_link *l);
/* A message of the partner's. True: the arena, which it lives in, is taken. */
bool traffic_take(struct partner_link *l, struct arena *a, struct message *m);

/* --- partner_queries.c --- */

/* Sends those whose turn it is. */
void traffic_ask(struct partner_link *l);
/* The partner's answer to one. */
void traffic_page(struct partner_link *l, struct message *m);
/* None is answered any more: the connection has gone. */
void traffic_fail_queries(struct partner_link *l);
/* Those that take too long, and those that wait for an answer which nobody wants any more. */
void traffic_check_queries(struct partner_link *l, uint64_t now_ms, uint64_t patience_ms);

#endif
