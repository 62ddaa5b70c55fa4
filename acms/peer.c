#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "acms/peer_internal.h"
#include "common/clock.h"
#include "common/exchange.h"
#include "common/frame.h"
#include "common/log.h"
#include "common/text.h"

static void on_idle(void *context);

void *peer_accepted(struct conn *c, void *context)
{
	struct server *s = context;
	struct peer *p = s->stopping ? NULL : calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->idle = loop_timer_new(s->loop, on_idle, p);
	if (!p->idle) {
		free(p);
		return NULL;
	}
	p->server = s;
	p->conn = c;
	p->ends = INT64_MAX;
	text_format(p->name, sizeof p->name, "%s", conn_address(c));
	TAILQ_INIT(&p->requests);
	TAILQ_INIT(&p->queries);
	TAILQ_INIT(&p->waiting);
	LIST_INIT(&p->watches.list);
	TAILQ_INSERT_TAIL(&s->peers, p, in_server);
	party_join(s->strangers, p);
	return p;
}

static void set_session(struct peer *p, enum session_state next)
{
	if (p->session != next)
		log_debug("%s: session %s -> %s", p->name, session_state_name(p->session),
			  session_state_name(next));
	p->session = next;
}

void peer_close_if_drained(struct peer *p)
{
	if (p->session == SESSION_DRAINING && p->in_flight == 0)
		conn_close(p->conn);
}

/* Says why, and closes as soon as what was taken is answered. */
void peer_refuse(struct peer *p, enum cause cause, const char *detail)
{
	if (p->session == SESSION_DRAINING || p->session == SESSION_ENDED)
		return;
	if (cause == CAUSE_GOING_AWAY || cause == CAUSE_IDLE_TIMEOUT)
		party_log(p->party, PARTY_CONNECTIONS, LOG_LEVEL_INFO, "%s: closing: %s", p->name, detail);
	else
		party_log(p->party, PARTY_CONNECTIONS, LOG_LEVEL_WARNING, "%s: closing: %s: %s", p->name,
			  cause_name(cause), LOG_STR(str_of(detail)));
	exchange_send_close(p->conn, cause, detail);
	loop_timer_cancel(p->idle);
	set_session(p, session_step(SESSION_SERVER, p->session, SESSION_EV_CLOSE_SENT).next);
	if (p->in_flight == 0 || p->session == SESSION_ENDED)
		conn_close(p->conn);
	else
		peer_restart_idle(p);
}

/* Whoever takes no answers is idle, however much he has asked. */
void peer_restart_idle(struct peer *p)
{
	bool idle = p->in_flight == 0 || party_awaits_peer(p);
	if (p->session == SESSION_OPEN && idle)
		loop_timer_set(p->idle, p->limits.idle_timeout_seconds * 1000u);
	else if (p->session == SESSION_DRAINING && party_awaits_peer(p))
		loop_timer_set(p->idle, p->server->live->config->shutdown_timeout_s * 1000ull);
	else if (p->session == SESSION_OPEN || p->session == SESSION_DRAINING)
		loop_timer_cancel(p->idle);
}

static void on_idle(void *context)
{
	struct peer *p = context;
	bool unread = party_awaits_peer(p);
	peer_refuse(p, CAUSE_IDLE_TIMEOUT,
		    p->session == SESSION_WAIT_HELLO ? "no Hello in time" :
		    unread			     ? "its answers are not taken" :
						       "idle");
	if (unread)
		peer_drop_waiting(p);
}

/* What the principal may ask for, and what to call it. False: out of memory. */
static bool adopt(struct peer *p, const struct principal *who)
{
	const struct config *c = p->server->live->config;
	char name[sizeof p->name - 100]; /* the address is behind it */
	p->principal = who ? *who : (struct principal){ PRINCIPAL_SELF, NULL, NULL };
	p->limits = c->limits;
	if (p->principal.kind == PRINCIPAL_SYSTEM)
		p->limits.max_requests_in_flight = p->principal.partner->max_requests_in_flight;
	tls_peer_describe(conn_ssl(p->conn), p->certificate, sizeof p->certificate);
	p->ends = tls_peer_ends(conn_ssl(p->conn));
	party_name(&p->principal, c->mc_system_id, name, sizeof name);
	text_format(p->name, sizeof p->name, "%s (%s)", name, conn_address(p->conn));
	log_debug("%s: certificate %s", p->name, p->certificate);
	struct party *party = party_named(p->server, name, LOG_LIMIT_LINES);
	if (!party) {
		conn_kill(p->conn, "out of memory");
		return false;
	}
	party_join(party, p);
	return true;
}

static bool same_principal(const struct principal *a, const struct principal *b)
{
	return a->kind == b->kind && a->acmc == b->acmc && a->partner == b->partner;
}

static size_t connections_of(const struct server *s, const struct principal *who)
{
	const struct peer *p;
	size_t n = 0;
	TAILQ_FOREACH(p, &s->peers, in_server)
		n += p->max_frame_bytes != 0 && same_principal(&p->principal, who);
	return n;
}

static void on_opened(struct conn *c, void *context)
{
	struct peer *p = context;
	struct server *s = p->server;
	const struct principal *who = tls_peer_is_self(conn_ssl(c)) ? NULL : tls_peer(conn_ssl(c));
	int64_t left = tls_peer_expires_in(conn_ssl(c), (int64_t)(clock_wall_ms() / 1000));
	if (!adopt(p, who))
		return;
	if (left < (int64_t)s->live->config->expiry_warning_days * 86400)
		party_log(p->party, PARTY_CONNECTIONS, LOG_LEVEL_WARNING, "%s: its certificate expires in %lld days",
			  p->name, (long long)(left / 86400));
	p->max_frame_bytes = FRAME_BYTES_MIN; /* until it says */
	exchange_send_hello(c, s->live->config->mc_system_id, &p->limits, "acms " ACX_VERSION);
	loop_timer_set(p->idle, s->live->config->handshake_timeout_s * 1000u);
	if (connections_of(s, &p->principal) > s->live->config->max_connections_per_peer)
		peer_refuse(p, CAUSE_TOO_MANY_CONNECTIONS, "this party has too many connections open");
}

/* --- for others --- */

/* What version 1 does not have stays behind; what it must have is there (request_respond). */
void peer_send(struct peer *p, const struct message *m)
{
	struct message plain = *m;
	if (p->version >= 2 || m->kind != MESSAGE_SETUP_RESPONSE) {
		exchange_send(p->conn, m);
		return;
	}
	plain.response.n_revisions = 0;
	plain.response.receipt = STR_NONE;
	plain.response.receipt_root = STR_NONE;
	plain.response.done_ms = 0;
	plain.response.decided_by = (struct decided_by){ .acmc = STR_NONE };
	exchange_send(p->conn, &plain);
}

bool peer_would_miss(struct peer *p)
{
	p->missed |= conn_is_choked(p->conn);
	return conn_is_choked(p->conn);
}

void peer_push(struct peer *p, const struct message *m)
{
	if (peer_takes(p, m))
		peer_send(p, m);
	else
		log_debug("%s: %s is longer than its frames, and not sent", p->name, message_kind_name(m->kind));
}

uint32_t peer_version(const struct peer *p)
{
	return p->version;
}

uint32_t peer_max_frame(const struct peer *p)
{
	return p->max_frame_bytes < p->limits.max_frame_bytes ? p->max_frame_bytes :
								p->limits.max_frame_bytes;
}

bool peer_takes(const struct peer *p, const struct message *m)
{
	return message_size(m) - FRAME_HEADER_SIZE <= p->max_frame_bytes;
}

const struct acmc_rule *peer_acmc(const struct peer *p)
{
	return p->principal.kind == PRINCIPAL_ACMC ? p->principal.acmc : NULL;
}

struct watches *peer_watches(struct peer *p)
{
	return &p->watches;
}

struct str peer_certificate(const struct peer *p, struct arena *a)
{
	return arena_str(a, str_of(p->certificate));
}

/* --- messages --- */

static void on_hello(struct peer *p, const struct hello *hello)
{
	const struct config *c = p->server->live->config;
	bool system = p->principal.kind == PRINCIPAL_SYSTEM;
	struct str expected = system ? p->principal.partner->mc_system_id : c->mc_system_id;
	char detail[256];
	enum cause cause = hello_check(hello, expected, system, &p->version, detail, sizeof detail);
	struct session_step step =
		session_step(SESSION_SERVER, p->session,
			     cause == CAUSE_NO_CAUSE ? SESSION_EV_HELLO_GOOD : SESSION_EV_HELLO_BAD);
	if (step.action != SESSION_DO_OPEN) {
		bool again = cause == CAUSE_NO_CAUSE || step.cause != CAUSE_NO_CAUSE;
		peer_refuse(p, again ? step.cause : cause, again ? "a second Hello" : detail);
		return;
	}
	set_session(p, step.next);
	p->max_frame_bytes = hello->limits.max_frame_bytes;
	conn_set_max_frame(p->conn, peer_max_frame(p) / 4);
	log_debug("%s: Hello of %s, version %u", p->name, LOG_STR(hello->software), p->version);
	peer_restart_idle(p);
}

/* True: the message's arena now belongs to a request. */
static bool act(struct peer *p, struct arena *a, const struct message *m)
{
	struct session_step step = session_step(SESSION_SERVER, p->session, session_event_of(m->kind));
	if (step.action == SESSION_DO_DELIVER && m->kind != MESSAGE_SETUP_REQUEST &&
	    !session_allows(p->version, m))
		step = session_step(SESSION_SERVER, p->session, SESSION_EV_RESPONSE);
	if (step.action != SESSION_DO_REFUSE)
		set_session(p, step.next);
	switch (step.action) {
	case SESSION_DO_DELIVER:
		if (m->kind == MESSAGE_SETUP_REQUEST)
			peer_take_request(p, a, &m->request);
		else
			peer_take_query(p, a, m);
		return true;
	case SESSION_DO_PONG:
		exchange_send(p->conn, &(struct message){ .kind = MESSAGE_PONG, .token = m->token });
		break;
	case SESSION_DO_DRAIN:
		/* Each acmc says goodbye so; a partner that leaves is news. */
		party_log(p->party, PARTY_CONNECTIONS,
			  p->principal.kind == PRINCIPAL_ACMC && m->close.cause == CAUSE_GOING_AWAY ? LOG_LEVEL_DEBUG :
												      LOG_LEVEL_INFO,
			  "%s: closes: %s %s", p->name, cause_name(m->close.cause), LOG_STR(m->close.detail));
		peer_close_if_drained(p);
		break;
	case SESSION_DO_REFUSE:
		peer_refuse(p, step.cause, message_kind_name(m->kind));
		break;
	case SESSION_DO_END:
		conn_close(p->conn);
		break;
	case SESSION_DO_NOTHING:
	case SESSION_DO_OPEN:
		break;
	}
	peer_restart_idle(p);
	return false;
}

static void on_frame(struct conn *c, const uint8_t *payload, size_t length, void *context)
{
	struct peer *p = context;
	struct arena *a = arena_new(message_budget(length));
	struct message m;
	struct error e = { ERR_MEMORY, "out of memory" };
	enum cause why = CAUSE_MALFORMED_MESSAGE;
	bool taken = false;
	(void)c;
	if (!a || message_decode(a, payload, length, &m, &why, &e) != OK)
		peer_refuse(p, why, e.text);
	else if (m.kind == MESSAGE_HELLO)
		on_hello(p, &m.hello);
	else
		taken = act(p, a, &m);
	if (!taken)
		arena_free(a);
}

static void on_bad_frame(struct conn *c, enum conn_frame_fault fault, uint32_t length, void *context)
{
	struct peer *p = context;
	char detail[96];
	(void)c;
	switch (fault) {
	case CONN_FRAME_EMPTY:
		peer_refuse(p, CAUSE_MALFORMED_MESSAGE, "an empty frame");
		break;
	case CONN_FRAME_OVER:
		text_format(detail, sizeof detail, "a frame of %u bytes, where %u are allowed", length,
			    p->session == SESSION_WAIT_HELLO ? FRAME_HELLO_MAX : peer_max_frame(p) / 4);
		peer_refuse(p, CAUSE_FRAME_TOO_LARGE, detail);
		break;
	case CONN_FRAME_SLOW:
		peer_refuse(p, CAUSE_FRAME_TIMEOUT, "a frame took too long to arrive");
		break;
	}
}

static void on_ended(struct conn *c, enum conn_end end, const char *text, void *context)
{
	struct peer *p = context;
	struct server *s = p->server;
	(void)c;
	if (end == CONN_END_CLOSED || end == CONN_END_LOCAL)
		log_debug("%s: ended: %s", p->name, LOG_STR(str_of(text)));
	else
		party_log(p->party, PARTY_CONNECTIONS, LOG_LEVEL_WARNING, "%s: ended: %s", p->name,
			  LOG_STR(str_of(text)));
	approval_peer_gone(s, p);
	peer_drop_requests(p);
	outbox_peer_gone(p);
	loop_timer_free(p->idle);
	party_leave(p);
	TAILQ_REMOVE(&s->peers, p, in_server);
	free(p);
	server_check_stopped(s);
}

static void on_drained(struct conn *c, void *context)
{
	struct peer *p = context;
	bool missed = p->missed;
	(void)c;
	p->missed = false;
	if (missed)
		outbox_drained(p);
	party_peer_drained(p);
}

const struct conn_handlers peer_handlers = {
	.opened = on_opened,
	.frame = on_frame,
	.bad_frame = on_bad_frame,
	.ended = on_ended,
	.drained = on_drained,
};

/* --- all of them --- */

/* What is true of its certificate now. */
static void judge_again(struct peer *p, const struct live *live)
{
	struct error e = { ERR_TLS, "" };
	struct limits announced = p->limits;
	const struct principal *who = tls_recheck(conn_ssl(p->conn), live->server_tls, &e);
	if (!who && !tls_peer_is_self(conn_ssl(p->conn))) {
		p->principal = (struct principal){ PRINCIPAL_SELF, NULL, NULL };
		p->ends = INT64_MAX;
		peer_refuse(p, CAUSE_NO_LONGER_AUTHORISED, e.text);
		return;
	}
	if (adopt(p, who))
		p->limits = announced; /* what was promised in Hello holds for the connection */
}

static void reload_peer(struct peer *p, const struct live *live)
{
	if (p->max_frame_bytes == 0) /* still in its handshake, made for the old rules */
		conn_kill(p->conn, "the configuration changed during the handshake");
	else
		judge_again(p, live);
}

void peers_reload(struct server *s, const struct live *live)
{
	struct peer *p, *next;
	for (p = TAILQ_FIRST(&s->peers); p; p = next) {
		next = TAILQ_NEXT(p, in_server);
		reload_peer(p, live);
	}
}

/* A signature or two each: when a CRL ends that many are checked against, others are served in between. */
enum { JUDGED_A_TICK = 50 };

void peers_tick(struct server *s)
{
	int64_t now = (int64_t)(clock_wall_ms() / 1000);
	struct peer *p, *next;
	int n = 0;
	for (p = TAILQ_FIRST(&s->peers); p && n < JUDGED_A_TICK; p = next) {
		next = TAILQ_NEXT(p, in_server);
		if (p->ends > now)
			continue;
		judge_again(p, s->live);
		n++;
	}
}

void peers_close(struct server *s, enum cause cause)
{
	struct peer *p;
	TAILQ_FOREACH(p, &s->peers, in_server) {
		if (p->max_frame_bytes == 0)
			conn_kill(p->conn, "the server is shutting down");
		else
			peer_refuse(p, cause, "the server is shutting down");
	}
}

void peers_kill(struct server *s, bool orderly)
{
	struct peer *p;
	TAILQ_FOREACH(p, &s->peers, in_server) {
		if (orderly)
			conn_close(p->conn);
		else
			conn_kill(p->conn, "not closed in time");
	}
}

void peers_send_system(struct server *s, struct str mc_system_id, const struct message *m)
{
	struct peer *p;
	TAILQ_FOREACH(p, &s->peers, in_server) {
		if (p->session == SESSION_OPEN && p->version >= 2 &&
		    p->principal.kind == PRINCIPAL_SYSTEM &&
		    str_eq(p->principal.partner->mc_system_id, mc_system_id))
			peer_push(p, m);
	}
}
