#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "acms/link.h"
#include "acms/server.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/exchange.h"
#include "common/frame.h"
#include "common/log.h"
#include "common/text.h"

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
	enum session_state session;
	struct limits announced;       /* by the partner */
	struct relay_list queued, sent;
	size_t n_sent;
	struct loop_timer *retry, *deadline, *watchdog;
	uint64_t retry_at_ms;          /* clock_mono_ms; when retry fires, if it is set */
	uint64_t pings, pongs;
};

static void feed(struct partner_link *l, enum link_event event);
static void send_queued(struct partner_link *l);

static void link_free(struct partner_link *l)
{
	loop_timer_free(l->retry);
	loop_timer_free(l->deadline);
	loop_timer_free(l->watchdog);
	TAILQ_REMOVE(&l->server->links, l, in_server);
	free(l);
}

struct partner_link *partner_link_find(struct server *s, struct str mc_system_id)
{
	struct partner_link *l;
	TAILQ_FOREACH(l, &s->links, in_server) {
		if (l->state != LINK_STOPPED && str_eq(str_of(l->mc_system_id), mc_system_id))
			return l;
	}
	return NULL;
}

/* --- relays --- */

/* The relay has taken a step that may be its last; response: the partner's, or NULL. */
static void relay_feed(struct partner_link *l, struct relay *relay, enum relay_event event,
		       const struct setup_response *response, const char *detail)
{
	struct relay_step step = relay_step(relay->state, event);
	enum relay_state before = relay->state;
	if (step.next == before)
		return;
	TAILQ_REMOVE(before == RELAY_SENT ? &l->sent : &l->queued, relay, in_link);
	l->n_sent -= before == RELAY_SENT;
	relay->state = step.next;
	if (step.next == RELAY_SENT) {
		TAILQ_INSERT_TAIL(&l->sent, relay, in_link);
		l->n_sent++;
	} else if (step.answer == CAUSE_NO_CAUSE) {
		request_respond(relay->request, response);
		request_answered(relay->request);
	} else {
		home_answer(relay->request, relay->target, step.answer, detail);
	}
}

static void feed_all(struct partner_link *l, struct relay_list *list, enum relay_event event,
		     const char *detail)
{
	struct relay *relay, *next;
	for (relay = TAILQ_FIRST(list); relay; relay = next) {
		next = TAILQ_NEXT(relay, in_link);
		relay_feed(l, relay, event, NULL, detail);
	}
}

static struct relay *earliest(const struct partner_link *l)
{
	struct relay *q = TAILQ_FIRST(&l->queued), *s = TAILQ_FIRST(&l->sent);
	if (!q || !s)
		return q ? q : s;
	return q->deadline_ms < s->deadline_ms ? q : s;
}

static void set_deadline(struct partner_link *l)
{
	const struct relay *first = earliest(l);
	uint64_t now = clock_mono_ms();
	if (first)
		loop_timer_set(l->deadline, first->deadline_ms > now ? first->deadline_ms - now : 0);
	else
		loop_timer_cancel(l->deadline);
}

static void on_deadline(void *context)
{
	struct partner_link *l = context;
	uint64_t now = clock_mono_ms();
	for (struct relay *first; (first = earliest(l)) && first->deadline_ms <= now;) {
		const char *detail = first->state == RELAY_SENT ? NULL : l->last_failure;
		relay_feed(l, first, RELAY_EV_DEADLINE, NULL, detail);
	}
	set_deadline(l);
	if (l->state == LINK_UP)
		send_queued(l); /* there may be room now */
}

/* Two requests with one ID cannot be told apart in their responses: the second waits. */
static bool id_in_flight(const struct partner_link *l, const struct request_id *id)
{
	const struct relay *relay;
	TAILQ_FOREACH(relay, &l->sent, in_link) {
		if (memcmp(&relay->request->received.request_id, id, sizeof *id) == 0)
			return true;
	}
	return false;
}

static bool over_limit(const struct partner_link *l, const struct setup *setup, size_t payload)
{
	const struct limits *most = &l->announced;
	const struct limits *ours = &l->server->live->config->limits;
	uint32_t frame = most->max_frame_bytes < ours->max_frame_bytes ? most->max_frame_bytes :
									ours->max_frame_bytes;
	if (setup->n_users > most->max_mc_ids || payload > frame / 4)
		return true;
	for (size_t i = 0; i < setup->n_users; i++) {
		if (setup->users[i].n_service_ids > most->max_mc_service_ids_per_mc_id)
			return true;
	}
	return false;
}

static void send_relay(struct partner_link *l, struct relay *relay)
{
	struct message m = { .kind = MESSAGE_SETUP_REQUEST };
	struct arena *a = arena_new(0);
	if (!a || !setup_to_request(a, &relay->request->setup, relay->target, &m.request)) {
		relay_feed(l, relay, RELAY_EV_UNREACHABLE, NULL, "out of memory at home");
	} else if (over_limit(l, &relay->request->setup, message_size(&m) - FRAME_HEADER_SIZE)) {
		relay_feed(l, relay, RELAY_EV_OVER_LIMIT, NULL, NULL);
	} else {
		exchange_send(l->conn, &m);
		relay_feed(l, relay, RELAY_EV_SENT, NULL, NULL);
	}
	arena_free(a);
}

static void send_queued(struct partner_link *l)
{
	struct relay *relay, *next;
	for (relay = TAILQ_FIRST(&l->queued); relay; relay = next) {
		next = TAILQ_NEXT(relay, in_link);
		if (l->n_sent >= l->announced.max_requests_in_flight)
			break;
		if (!id_in_flight(l, &relay->request->received.request_id))
			send_relay(l, relay);
	}
	set_deadline(l);
}

void partner_link_submit(struct partner_link *l, struct relay *relay)
{
	uint64_t wait = l->server->live->config->partner_timeout_s * 1000u;
	relay->deadline_ms = clock_mono_ms() + wait;
	TAILQ_INSERT_TAIL(&l->queued, relay, in_link);
	feed(l, LINK_EV_WANT);
	set_deadline(l);
}

/* --- the connection --- */

static void set_session(struct partner_link *l, enum session_state next)
{
	if (l->session != next)
		log_debug("partner %s: session %s -> %s", l->mc_system_id,
			  session_state_name(l->session), session_state_name(next));
	l->session = next;
}

static void refuse(struct partner_link *l, enum cause cause, const char *detail)
{
	if (l->session == SESSION_DRAINING || l->session == SESSION_ENDED)
		return;
	snprintf(l->last_failure, sizeof l->last_failure, "%s: %s", cause_name(cause),
		 LOG_STR(str_of(detail)));
	if (cause != CAUSE_GOING_AWAY)
		log_warning("partner %s: closing: %s", l->mc_system_id, l->last_failure);
	exchange_send_close(l->conn, cause, detail);
	set_session(l, session_step(SESSION_CLIENT, l->session, SESSION_EV_CLOSE_SENT).next);
}

/* The partner broke the protocol: nothing that it owes us can be trusted to come any more. */
static void protocol_error(struct partner_link *l, enum cause cause, const char *what)
{
	refuse(l, cause, what);
	feed(l, LINK_EV_CLOSE);
	feed_all(l, &l->sent, RELAY_EV_NONSENSE, what);
	conn_close(l->conn);
}

/* Once an end has said Close and nothing is owed any more, the connection can go. */
static void close_if_drained(struct partner_link *l)
{
	if (l->conn && l->session == SESSION_DRAINING && l->n_sent == 0)
		conn_close(l->conn);
}

static void close_orderly(struct partner_link *l)
{
	if (!l->conn)
		return;
	if (!conn_is_open(l->conn) || l->session == SESSION_WAIT_HELLO) {
		conn_kill(l->conn, "no longer needed");
		return;
	}
	refuse(l, CAUSE_GOING_AWAY, "");
	close_if_drained(l);
}

static void on_opened(struct conn *c, void *context)
{
	struct partner_link *l = context;
	const struct config *config = l->server->live->config;
	exchange_send_hello(c, config->mc_system_id, &config->limits, "acms " ACX_VERSION);
	loop_timer_set(l->watchdog, config->handshake_timeout_s * 1000u);
}

static void on_hello(struct partner_link *l, const struct hello *hello)
{
	char detail[256];
	uint32_t version;
	enum cause cause = hello_check(hello, str_of(l->mc_system_id), true, &version, detail,
				       sizeof detail);
	if (cause != CAUSE_NO_CAUSE) {
		protocol_error(l, cause, detail);
		return;
	}
	l->announced = hello->limits;
	snprintf(l->last_failure, sizeof l->last_failure,
		 "the partner takes no more requests at a time");
	conn_set_max_frame(l->conn, l->server->live->config->limits.max_frame_bytes);
	log_info("partner %s: up at %s, %s", l->mc_system_id, conn_address(l->conn),
		 LOG_STR(hello->software));
	l->pings = l->pongs = 0;
	loop_timer_set(l->watchdog, l->announced.idle_timeout_seconds * 1000ull / 3);
	feed(l, LINK_EV_UP);
}

/* No Hello in time; or time for a Ping, when the one before must have been answered. */
static void on_watchdog(void *context)
{
	struct partner_link *l = context;
	if (!l->conn)
		return;
	if (l->session != SESSION_OPEN || l->pings != l->pongs) {
		conn_kill(l->conn, l->session == SESSION_WAIT_HELLO ? "no Hello in time" :
								      "no answer to Ping");
		return;
	}
	exchange_send(l->conn, &(struct message){ .kind = MESSAGE_PING, .token = ++l->pings });
	loop_timer_set(l->watchdog, l->announced.idle_timeout_seconds * 1000ull / 3);
}

static void on_response(struct partner_link *l, struct setup_response *response)
{
	struct relay *relay;
	TAILQ_FOREACH(relay, &l->sent, in_link) {
		if (memcmp(&relay->request->received.request_id, &response->request_id,
			   sizeof response->request_id) == 0)
			break;
	}
	if (!relay) {
		log_info("partner %s: a response that nobody waits for (late or repeated) is dropped",
			 l->mc_system_id);
		return;
	}
	const char *fault = setup_response_fault(&relay->request->setup, relay->target, response);
	if (fault) {
		protocol_error(l, CAUSE_MALFORMED_MESSAGE, fault);
		return;
	}
	relay_feed(l, relay, RELAY_EV_RESPONSE, response, NULL);
	set_deadline(l);
	if (l->state == LINK_UP)
		send_queued(l);
	close_if_drained(l);
}

static void on_close_message(struct partner_link *l, const struct close_message *m)
{
	snprintf(l->last_failure, sizeof l->last_failure, "the partner closed: %s %s",
		 cause_name(m->cause), LOG_STR(m->detail));
	log_warning("partner %s: %s", l->mc_system_id, l->last_failure);
	feed(l, LINK_EV_CLOSE);
	close_if_drained(l);
}

static void on_message(struct partner_link *l, struct message *m)
{
	struct session_step step = session_step(SESSION_CLIENT, l->session, session_event_of(m->kind));
	if (step.action == SESSION_DO_REFUSE) {
		protocol_error(l, step.cause, message_kind_name(m->kind));
		return;
	}
	if (m->kind == MESSAGE_PONG && m->token == l->pings)
		l->pongs = l->pings;
	set_session(l, step.next);
	switch (step.action) {
	case SESSION_DO_OPEN:
		on_hello(l, &m->hello);
		break;
	case SESSION_DO_DELIVER:
		on_response(l, &m->response);
		break;
	case SESSION_DO_PONG:
		exchange_send(l->conn, &(struct message){ .kind = MESSAGE_PONG, .token = m->token });
		break;
	case SESSION_DO_DRAIN:
		on_close_message(l, &m->close);
		break;
	case SESSION_DO_END:
		conn_close(l->conn);
		break;
	case SESSION_DO_NOTHING:
	case SESSION_DO_REFUSE:
		break;
	}
}

static void on_frame(struct conn *c, const uint8_t *payload, size_t length, void *context)
{
	struct partner_link *l = context;
	struct arena *a = arena_new(message_budget(length));
	struct message m;
	struct error e = { ERR_MEMORY, "out of memory" };
	enum cause why = CAUSE_MALFORMED_MESSAGE;
	(void)c;
	if (a && message_decode(a, payload, length, &m, &why, &e) == OK)
		on_message(l, &m);
	else
		protocol_error(l, why, e.text);
	arena_free(a);
}

static void on_bad_frame(struct conn *c, enum conn_frame_fault fault, uint32_t length, void *context)
{
	struct partner_link *l = context;
	(void)c;
	(void)length;
	switch (fault) {
	case CONN_FRAME_EMPTY:
		protocol_error(l, CAUSE_MALFORMED_MESSAGE, "an empty frame");
		break;
	case CONN_FRAME_OVER:
		protocol_error(l, CAUSE_FRAME_TOO_LARGE, "a frame larger than announced");
		break;
	case CONN_FRAME_SLOW:
		protocol_error(l, CAUSE_FRAME_TIMEOUT, "a frame took too long to arrive");
		break;
	}
}

static void on_ended(struct conn *c, enum conn_end end, const char *text, void *context)
{
	struct partner_link *l = context;
	struct server *s = l->server;
	(void)c;
	if (end != CONN_END_LOCAL && l->session != SESSION_DRAINING)
		snprintf(l->last_failure, sizeof l->last_failure, "%s", LOG_STR(str_of(text)));
	if (end != CONN_END_LOCAL && (l->state == LINK_UP || l->failures == 0))
		log_warning("partner %s: %s", l->mc_system_id, l->last_failure);
	l->conn = NULL;
	loop_timer_cancel(l->watchdog);
	set_session(l, SESSION_ENDED);
	feed(l, LINK_EV_ENDED);
	if (l->state == LINK_STOPPED)
		link_free(l);
	server_check_stopped(s);
}

static const struct conn_handlers link_handlers = {
	.opened = on_opened,
	.frame = on_frame,
	.bad_frame = on_bad_frame,
	.ended = on_ended,
};

static void start_connecting(struct partner_link *l)
{
	const struct config *c = l->server->live->config;
	struct conn_settings settings = { .handshake_timeout_ms = c->handshake_timeout_s * 1000u,
					  .frame_timeout_ms = c->frame_timeout_s * 1000u,
					  .drain_timeout_ms = c->shutdown_timeout_s * 1000u,
					  .max_queued_bytes = SIZE_MAX };
	l->session = SESSION_WAIT_HELLO;
	l->conn = conn_connect(l->server->loop, l->tls, l->rule->host.ptr, l->rule->port, &settings,
			       &link_handlers, l);
	if (!l->conn) {
		snprintf(l->last_failure, sizeof l->last_failure, "out of memory");
		feed(l, LINK_EV_ENDED);
	}
}

static void on_retry(void *context)
{
	feed(context, LINK_EV_RETRY);
}

static void retry_in(struct partner_link *l, uint64_t ms)
{
	l->retry_at_ms = clock_mono_ms() + ms;
	loop_timer_set(l->retry, ms);
}

/* Sooner than it was going to be, never later: requests that keep coming must not put it off. */
static void retry_soon(struct partner_link *l)
{
	uint64_t now = clock_mono_ms();
	if (l->retry_at_ms < now || l->retry_at_ms > now + LINK_RETRY_SOON_MS)
		retry_in(l, LINK_RETRY_SOON_MS);
}

static void retry_later(struct partner_link *l)
{
	uint32_t random = 0;
	crypto_random((uint8_t *)&random, sizeof random);
	uint64_t ms = link_backoff_ms(l->failures++, random);
	log_debug("partner %s: next attempt in %llu ms", l->mc_system_id, (unsigned long long)ms);
	retry_in(l, ms);
}

static void feed(struct partner_link *l, enum link_event event)
{
	struct link_step step = link_step(l->state, event);
	if (step.next != l->state)
		log_debug("partner %s: link %s -> %s", l->mc_system_id, link_state_name(l->state),
			  link_state_name(step.next));
	l->state = step.next;
	if (step.actions & LINK_DO_LOSE_SENT)
		feed_all(l, &l->sent, RELAY_EV_LOST, l->last_failure);
	if (step.actions & LINK_DO_FAIL_QUEUED)
		feed_all(l, &l->queued,
			 l->state == LINK_STOPPED ? RELAY_EV_STOPPING : RELAY_EV_UNREACHABLE,
			 l->state == LINK_STOPPED ? NULL : l->last_failure);
	if (step.actions & LINK_DO_CLOSE)
		close_orderly(l);
	if (step.actions & LINK_DO_RESET)
		l->failures = 0;
	if (step.actions & LINK_DO_RETRY_SOON)
		retry_soon(l);
	if (step.actions & LINK_DO_RETRY_LATER)
		retry_later(l);
	if (step.actions & LINK_DO_SEND)
		send_queued(l);
	if (step.actions & LINK_DO_CONNECT)
		start_connecting(l);
}

/* --- all of them --- */

static struct partner_link *link_new(struct server *s, struct str mc_system_id)
{
	struct partner_link *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	l->server = s;
	memcpy(l->mc_system_id, mc_system_id.ptr, mc_system_id.len);
	snprintf(l->last_failure, sizeof l->last_failure, "not connected yet");
	l->session = SESSION_ENDED;
	TAILQ_INIT(&l->queued);
	TAILQ_INIT(&l->sent);
	TAILQ_INSERT_TAIL(&s->links, l, in_server);
	l->retry = loop_timer_new(s->loop, on_retry, l);
	l->deadline = loop_timer_new(s->loop, on_deadline, l);
	l->watchdog = loop_timer_new(s->loop, on_watchdog, l);
	if (!l->retry || !l->deadline || !l->watchdog) {
		link_free(l);
		return NULL;
	}
	return l;
}

/* A link that goes to another place, or whose partner is no longer who it was, is made anew. */
static bool still_good(const struct partner_link *l, const struct partner_rule *before)
{
	struct error e;
	if (!l->conn || !conn_is_open(l->conn))
		return false;
	if (!str_eq(before->host, l->rule->host) || before->port != l->rule->port)
		return false;
	if (tls_recheck(conn_ssl(l->conn), l->tls, &e))
		return true;
	log_warning("partner %s: %s", l->mc_system_id, e.text);
	return false;
}

static bool configure_link(struct server *s, const struct partner_rule *rule,
			   struct tls_context *tls)
{
	struct partner_link *l = partner_link_find(s, rule->mc_system_id);
	if (!l) {
		l = link_new(s, rule->mc_system_id);
		if (!l)
			return false;
		l->rule = rule;
		l->tls = tls;
		feed(l, LINK_EV_RETRY);
		return true;
	}
	const struct partner_rule *before = l->rule;
	l->rule = rule;
	l->tls = tls;
	if (!still_good(l, before))
		feed(l, LINK_EV_RECONNECT);
	return true;
}

static void stop_link(struct partner_link *l)
{
	feed(l, LINK_EV_STOP);
	if (!l->conn)
		link_free(l);
}

bool partner_links_configure(struct server *s)
{
	const struct config *c = s->live->config;
	struct partner_link *l, *next;
	for (l = TAILQ_FIRST(&s->links); l; l = next) {
		const struct partner_rule *rule = config_partner(c, str_of(l->mc_system_id));
		next = TAILQ_NEXT(l, in_server);
		if (!rule || !rule->host.ptr)
			stop_link(l);
	}
	for (size_t i = 0; i < c->n_partners; i++) {
		if (c->partners[i].host.ptr &&
		    !configure_link(s, &c->partners[i], s->live->client_tls[i]))
			return false;
	}
	return true;
}

void partner_links_stop(struct server *s)
{
	struct partner_link *l, *next;
	for (l = TAILQ_FIRST(&s->links); l; l = next) {
		next = TAILQ_NEXT(l, in_server);
		stop_link(l);
	}
}

void partner_links_kill(struct server *s)
{
	struct partner_link *l;
	TAILQ_FOREACH(l, &s->links, in_server) {
		if (l->conn)
			conn_kill(l->conn, "not closed in time");
	}
}
