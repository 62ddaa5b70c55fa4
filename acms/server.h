#ifndef ACMS_SERVER_H
#define ACMS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include "acms/commit.h"
#include "acms/committer.h"
#include "acms/delivery.h"
#include "acms/home_commit.h"
#include "acms/live.h"
#include "acms/memory.h"
#include "acms/notary.h"
#include "acms/party.h"
#include "acms/reader.h"
#include "acms/refusals.h"
#include "acms/route.h"
#include "acms/store.h"
#include "acms/turns.h"
#include "acms/unfinished.h"
#include "common/message.h"
#include "common/net.h"
#include "common/session.h"

/*
 * The running server: what the files of the event loop share. Loop thread only, but for the run functions of jobs,
 * which are in commit.h and home_commit.h.
 */

TAILQ_HEAD(request_list, request);
TAILQ_HEAD(query_list, query);
TAILQ_HEAD(link_list, partner_link);
TAILQ_HEAD(asked_list, asked);
TAILQ_HEAD(delivery_list, delivery);
LIST_HEAD(watch_list, watch);
/* What one connection watches. */
struct watches {
	struct watch_list list;
	size_t n;
};
LIST_HEAD(asking_list, asking);

struct sweeper;
struct approvals;

struct server {
	struct loop *loop;
	struct live *live;
	struct store *store;
	struct committer *committer;
	struct reader *reader;
	struct merkle_memo memo;     /* of receipts that came; the committer's thread only */
	struct notary notary;        /* signs at the end of what the committer hands back at once */
	struct loop_wake *committed, *was_read;
	struct loop_late *gathered;  /* jobs for the committer, in this turn of the loop */
	struct listener **listeners; /* one for each of live->config->listen */
	size_t n_listeners;
	struct peer_list peers;
	struct party_list parties;   /* who have, or had, connections */
	struct party *strangers;     /* all whose connections never got in */
	struct link_list links;
	struct asked_list asked;     /* unfinished requests of our ACMCs, the oldest first */
	void *asked_by_id;           /* the same, as a tree (tsearch) */
	struct unfinished unfinished; /* the room that they take, and those that are being put on disk */
	size_t users_at_hand;        /* of those of them that are in memory */
	uint64_t rules;              /* counts the configurations, from 1 */
	struct asking_list accepting; /* those that are being put on disk */
	struct sweeper *sweeper;
	struct refusals refusals;    /* of requests, and how many have entries in the audit log */
	struct approvals *approvals;
	struct loop_timer *expiry_timer, *stop_timer, *tick, *watchdog;
	uint64_t watchdog_ms;
	uint64_t ticks;
	struct memory memory_of_libc;
	size_t requests;             /* and queries that are not finished */
	struct share_pool memory;    /* that those take, of all parties */
	bool stopping, parting;
	bool failed;                 /* ends with an error */
};

/* A setup, update or remove that was taken from a peer; answered once for each target, then freed. */
struct request {
	TAILQ_ENTRY(request) in_peer;
	struct server *server;
	struct peer *peer;      /* NULL once the connection has gone: nobody to answer */
	struct arena *arena;
	struct setup_request received;
	struct setup setup;
	struct holding holding;
	size_t unanswered;      /* targets that still owe an answer */
	bool being_taken;       /* it is not freed yet, answered or not */
};

/* Any other question of a peer; answered once, then freed. */
struct query {
	TAILQ_ENTRY(query) in_peer, in_waiting, in_link;
	struct server *server;
	struct peer *peer;      /* NULL once the connection has gone */
	struct arena *arena;
	struct message message;
	struct holding holding;
	struct party *turn;     /* whose turn at the store it has; NULL: it has none */
	struct turn place;      /* among those who ask the same partner */
	uint64_t link_token;    /* while it is asked */
	uint64_t asked_mono_ms;
};

/* --- refusals_log.c --- */

/* Submits the entries for refusals that have none of their own, of each party once a minute, or now. */
void refusals_write(struct server *s, bool at_once);
/* For a request of this party that may be refused. */
struct refusal_claim refusal_claim_now(struct server *s, struct refusal_party *p);

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
/* Judges every connection by the new configuration. */
void peers_reload(struct server *s, const struct live *live);
/* Several times a second: judges again those whose certificate, or a CRL that it is checked against, has ended. */
void peers_tick(struct server *s);
void peers_close(struct server *s, enum cause cause);
/* Ends what is left; orderly: what is queued is still written, for a moment. */
void peers_kill(struct server *s, bool orderly);
/* To each open connection of version 2 that a system made. */
void peers_send_system(struct server *s, struct str mc_system_id, const struct message *m);
void peer_send(struct peer *p, const struct message *m);
/* It does not read what it is sent: what informs can wait, since outbox_drained is called when it does. */
bool peer_would_miss(struct peer *p);
/* The same as peer_send for what it did not ask for by this connection: only if it takes messages as long as that. It may ask. */
void peer_push(struct peer *p, const struct message *m);
uint32_t peer_version(const struct peer *p);
/* Bytes that a frame between us may have: the smaller of both ends' limits. */
uint32_t peer_max_frame(const struct peer *p);
bool peer_takes(const struct peer *p, const struct message *m);
/* The ACMC at its end, NULL if it is none (any more). */
const struct acmc_rule *peer_acmc(const struct peer *p);
/* Name and fingerprint of its certificate, for the audit log; in the arena. ptr == NULL: it is spent. */
struct str peer_certificate(const struct peer *p, struct arena *a);
struct watches *peer_watches(struct peer *p);

/* Sends a response to whoever asked, if still there; one that is as requested is the response to request->setup. */
void request_respond(struct request *r, const struct setup_response *response);
/* One more answer is given; frees the request with the last. */
void request_answered(struct request *r);
/* What else is kept in memory for it, about as long as it. */
void request_holds(struct request *r, const struct arena *a);
/* Answers a query, if whoever asked is still there, and frees it. What is too long for a frame is refused instead. */
void query_reply(struct query *q, const struct message *m);
/* The answer to a query that says only why there is none. */
void query_refuse(struct query *q, enum cause cause, const char *detail);

/* --- home.c: requests of ACMCs (the source's steps 2, 3 and 8) --- */

void home_setup(struct request *r, const struct acmc_rule *acmc);

/* --- outbox.c: what home owes its ACMCs: requests that are not answered by all targets yet --- */

struct asked {
	TAILQ_ENTRY(asked) in_server;
	struct server *server;
	struct request_id id;        /* in the tree */
	uint64_t accepted_ms;        /* Unix, as the next; of what is in memory, and is kept */
	uint64_t deadline_ms;
	bool kept;                   /* on disk; a dry run is not */
	struct delivery_list deliveries; /* unfinished */
	struct watch_list watchers;
	bool told_late;              /* some delivery's told.late */
	struct unfinished_of *charged; /* the ACMC that it counts for; NULL: nobody yet */
	uint64_t charge;             /* the room that it takes */
	struct arena *arena;         /* of what follows; NULL when it is to be loaded from the store */
	struct setup setup;
	struct str acmc, certificate; /* who asked; certificate: not of a dry run */
	uint8_t content[DIGEST_SIZE]; /* of the request; not of a dry run */
};

/* What those who wait for a target's answer were last told of it; outbox_tell.c. */
struct told {
	bool any;
	bool late;                   /* there was no time for it yet */
	enum process_state state;
	uint64_t until_ms;
	char *detail;                /* malloc; NULL: none */
	uint64_t mono_ms;            /* when */
};

/* One target's share. */
struct delivery {
	TAILQ_ENTRY(delivery) in_asked, in_link;
	struct asked *asked;
	struct partner_link *link;   /* NULL: no such partner is configured now */
	struct str target;           /* memory follows the struct */
	enum delivery_phase phase;
	unsigned attempts, nonsense;
	size_t users;                /* of the request, once it was sent */
	bool told_delayed;
	struct told told;
	bool listed;                 /* by the link, under its phase */
	bool by_ourselves;           /* what is being put on disk is not the partner's answer */
	enum cause outlook;          /* what the deadline would say */
	uint64_t permitted;          /* by these rules; 0: by none yet */
	const struct verdict *unsendable; /* during DELIVERY_EV_UNSENDABLE: why */
	uint64_t sent_mono_ms, due_mono_ms, pending_until_ms;
	char detail[200];            /* why there is no answer yet; escaped */
};

/* Somebody who wants to hear of a request. */
struct watch {
	LIST_ENTRY(watch) in_asked, in_peer;
	struct asked *asked;
	struct peer *peer;
	struct request *request;     /* version 1: counts as in flight until all is answered; else NULL */
	bool spells_out;             /* may not have the request: is told what is in it */
	bool missed;                 /* indications, since it does not read what it is sent */
	struct str acmc;             /* whose request it is; memory follows the struct */
};

/* Reads what was left unfinished; before the committer is started. */
enum status outbox_load(struct server *s, struct error *e);
struct asked *outbox_find(struct server *s, const struct request_id *id);
/* NULL: out of memory. The arena, with what setup points to, is taken; it may be NULL. */
struct asked *outbox_add(struct server *s, const struct request_id *id, uint64_t deadline_ms, bool kept,
			 struct arena *arena, const struct setup *setup);
/* It counts for this ACMC until it is forgotten. */
void outbox_charge(struct asked *a, struct unfinished_of *acmc, uint64_t bytes);
/* permitted: by which rules, 0: not known. False: out of memory (what is on disk is delivered after a restart). */
bool outbox_add_target(struct asked *a, struct str target, uint64_t permitted);
/* Hands all of it to the links, then lets go of what no partner has now: it can be loaded again. */
void outbox_send(struct asked *a);
void outbox_forget(struct asked *a);
/* Whether this connection can hear of one more request, or watches this one already. */
bool outbox_can_watch(struct server *s, struct peer *p, const struct request_id *id);
/* For the ACMC that asked for it. False: out of memory, or it is none any more. */
bool outbox_watch(struct asked *a, struct peer *p, struct request *request);
/* For somebody who asks about a request of this ACMC, and did not ask for it here. As above, or it may not see it. */
bool outbox_follow(struct asked *a, struct peer *p, struct str acmc);
void outbox_peer_gone(struct peer *p);
/* It has read what it was sent: what it was not told meanwhile it is told now. */
void outbox_drained(struct peer *p);
/*
 * The partner's response; the message's arena is taken, and has the receipt as it was found signed (NULL: there is none).
 * late: by which of its connections it came, if no delivery waits for it; 0: one does.
 */
void outbox_response(struct server *s, struct str partner, struct arena *arena,
		     const struct setup_response *response, uint32_t version,
		     const struct receipt_proof *receipt, uint64_t late);
/* The partner's response was no response to it; or the connection broke down over something like that. */
void outbox_nonsense(struct delivery *d, const char *what);
void outbox_pending(struct delivery *d, uint64_t until_ms, struct str detail);
/* What happened on the way; detail: for people, NULL: as it was. */
void outbox_event(struct delivery *d, enum delivery_event event, const char *detail);
/* A partner cannot be reached: those who wait are told, once. */
void outbox_tell_delayed(struct delivery *d);
/* Deadlines; once a second. */
void outbox_tick(struct server *s);
/* Links that came or went: each delivery finds its own. */
void outbox_relink(struct server *s);
/* The configuration is another: who may not see a request any more does not watch it, and what was barred is judged again. */
void outbox_rejudge(struct server *s);
/* The server ends: nobody is left without a word. */
void outbox_stop(struct server *s);
void outbox_free(struct server *s);

/* --- requests.c: what ACMCs ask about requests, users and digests --- */

void requests_query(struct query *q, const struct acmc_rule *acmc);
/* UsersQuery and DigestQuery of an ACMC: answered here, or passed to the partner. */
void home_held_query(struct query *q, const struct acmc_rule *acmc);

/* --- partner.c: requests of home systems (steps 4 to 7) --- */

void partner_setup(struct request *r, const struct partner_rule *home);

/* --- held.c: users and digests from the store --- */

/* UsersQuery and DigestQuery of a home system. */
void partner_held_query(struct query *q, const struct partner_rule *home);
/* Of a home system's users, or of what we believe about a partner. */
void held_query(struct query *q, enum store_users which, struct str prefix);

/* --- approval.c: what waits for a decision --- */

void approval_query(struct query *q, const struct acmc_rule *acmc);
void approval_decide(struct query *q, const struct acmc_rule *acmc);
void approval_peer_gone(struct server *s, struct peer *p);

/* --- partner_link.c: our connection to each partner --- */

struct partner_link;
struct partner_link *partner_link_find(struct server *s, struct str mc_system_id);
/* Takes a delivery that is queued. */
void partner_link_submit(struct partner_link *l, struct delivery *d);
/* Lets go of it, wherever it is; it stays as it is. */
void partner_link_drop(struct partner_link *l, struct delivery *d);
/* Asks the partner for this ACMC, when it is its turn; the query is answered in any case. */
void partner_link_ask(struct partner_link *l, struct query *q, struct str acmc);
/* A response that no delivery waits for is done with. recorded: it was wanted all the same. connection: it came by that one. */
void partner_link_late_done(struct partner_link *l, uint64_t connection, bool recorded);
/* The connection brought what was asked for: after its end the next one is made at once. */
void partner_link_useful(struct partner_link *l);
/* The partner's response to one request was nonsense: ends the connection. To be followed by outbox_nonsense. */
void partner_link_nonsense(struct partner_link *l, const char *what);
/* Makes the links that the live configuration asks for, and stops the others. False: out of memory. */
bool partner_links_configure(struct server *s);
/* Time-outs and repetitions; several times a second. */
void partner_links_tick(struct server *s);
void partner_links_stop(struct server *s);
void partner_links_kill(struct server *s);

#endif
