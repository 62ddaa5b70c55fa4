#ifndef ACMS_PEER_INTERNAL_H
#define ACMS_PEER_INTERNAL_H

#include "acms/server.h"

/* What peer.c (a connection that somebody made to us) and peer_requests.c (what came by it) share. */

/* A connection that somebody made to us. */
struct peer {
	TAILQ_ENTRY(peer) in_server, in_party;
	struct server *server;
	struct party *party;           /* strangers, until it is known */
	struct conn *conn;
	struct principal principal;    /* rules of the live configuration */
	int64_t ends;                  /* Unix seconds: then it is judged again */
	char name[512];                /* who, for logs: escaped */
	char certificate[300];         /* its name and fingerprint, for the audit log */
	enum session_state session;
	struct limits limits;          /* that we announced */
	uint32_t max_frame_bytes;      /* that the peer announced; 0 until the handshake is done */
	uint32_t version;              /* negotiated */
	struct request_list requests;
	struct query_list queries, waiting; /* the latter: of those that wait for their turn */
	struct watches watches;
	size_t in_flight;              /* requests and queries, */
	size_t n_waiting;              /* those that wait among them */
	struct loop_timer *idle;       /* until Hello: the time for it */
	bool missed;                   /* something that informs */
	bool unread;                   /* so much was queued that no query is answered until it is written; party.c */
};

/* --- peer.c --- */

/* Says why, and closes as soon as what was taken is answered. */
void peer_refuse(struct peer *p, enum cause cause, const char *detail);
void peer_close_if_drained(struct peer *p);
void peer_restart_idle(struct peer *p);

/* --- peer_requests.c --- */

/* The request lives in the arena that its message was decoded into, which is taken. */
void peer_take_request(struct peer *p, struct arena *a, const struct setup_request *received);
/* Likewise any other question. */
void peer_take_query(struct peer *p, struct arena *a, const struct message *m);
/* The connection has gone: what waits for its turn is dropped, what is under way has nobody to answer. */
void peer_drop_requests(struct peer *p);
/* What waits for its turn is forgotten, unanswered. */
void peer_drop_waiting(struct peer *p);
/* Whether it is answered from the store, in the reader's thread. */
bool query_reads(const struct query *q);
/* Its turn has come: judges and answers it, by the rules of now. */
void query_begin(struct query *q);

#endif
