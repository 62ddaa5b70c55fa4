#ifndef ACMS_SERVER_H
#define ACMS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include "acms/committer.h"
#include "acms/live.h"
#include "acms/relay.h"
#include "acms/store.h"
#include "common/message.h"
#include "common/net.h"
#include "common/session.h"

/*
 * The running server: what server.c, peer.c, home.c, partner.c and partner_link.c share. Loop thread only.
 */

TAILQ_HEAD(peer_list, peer);
TAILQ_HEAD(request_list, request);
TAILQ_HEAD(link_list, partner_link);
TAILQ_HEAD(relay_list, relay);

struct server {
	struct loop *loop;
	struct live *live;
	struct store *store;
	struct committer *committer;
	struct loop_wake *committed;
	struct listener **listeners; /* one for each of live->config->listen */
	size_t n_listeners;
	struct peer_list peers;
	struct link_list links;
	struct loop_timer *expiry_timer, *stop_timer;
	size_t requests;             /* that are not finished */
	size_t held_bytes;           /* by them, about */
	struct {                     /* of connections that never got in, in the present period */
		uint64_t period;
		unsigned logged, more;
	} failures;
	bool stopping;
	bool failed;                 /* ends with an error */
};

/* A request that was taken from a peer; answered once for each target, then freed. */
struct request {
	TAILQ_ENTRY(request) in_peer;
	struct server *server;
	struct peer *peer;      /* NULL once the connection has gone: nobody to answer */
	struct arena *arena;
	struct setup_request received;
	struct setup setup;
	size_t held_bytes;
	size_t unanswered;      /* targets that still owe an answer */
	struct commit_job job;  /* at the partner */
};

/* --- server.c --- */

/* Runs until SIGTERM, SIGINT or a failure. Takes the live configuration. 0, or 1 with the reason logged. */
int server_run(struct live *live);
/* Takes no more, finishes what was taken, within the configured time, and ends. */
void server_stop(struct server *s);
/* A peer or link ended or a request is finished: a server that is stopping may be done. */
void server_check_stopped(struct server *s);

/* --- peer.c: the connections that others make to us --- */

extern const struct conn_handlers peer_handlers;
/* For listeners: the context of a new connection. */
void *peer_accepted(struct conn *c, void *server);
/* The connection that it came by, whose certificate asks; only while the request is being taken. */
struct ssl_st *request_ssl(const struct request *r);
/* Sends a response to whoever asked, if still there. */
void request_respond(struct request *r, const struct setup_response *response);
/* One more answer is given; frees the request with the last. */
void request_answered(struct request *r);
/* Judges every connection by the new configuration. */
void peers_reload(struct server *s, const struct live *live);
void peers_close(struct server *s, enum cause cause);
void peers_kill(struct server *s);

/* --- home.c: requests of ACMCs (the source's steps 2, 3 and 8) --- */

void home_setup(struct request *r, const struct acmc_rule *acmc);
/* Our own answer for a target. */
void home_answer(struct request *r, struct str target, enum cause cause, const char *detail);

/* --- partner.c: requests of home systems (steps 4 to 7) --- */

void partner_setup(struct request *r, const struct partner_rule *home);
/* Answers what the committer has done. */
void partner_committed(struct server *s);

/* --- partner_link.c: our connection to each partner --- */

/* One request to one partner. */
struct relay {
	TAILQ_ENTRY(relay) in_link;
	struct request *request;
	struct str target;
	enum relay_state state;
	uint64_t deadline_ms; /* clock_mono_ms */
};

struct partner_link;
struct partner_link *partner_link_find(struct server *s, struct str mc_system_id);
/* Takes the relay, which answers its request in any case. */
void partner_link_submit(struct partner_link *l, struct relay *relay);
/* Makes the links that the live configuration asks for, and stops the others. False: out of memory. */
bool partner_links_configure(struct server *s);
void partner_links_stop(struct server *s);
void partner_links_kill(struct server *s);

#endif
