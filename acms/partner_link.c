#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "acms/partner_link_internal.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/exchange.h"
#include "common/log.h"
#include "common/text.h"


static void link_free(struct partner_link *l)
{
	for (int phase = 0; phase < DELIVERY_PHASES; phase++) {
		struct delivery *d;
		while ((d = TAILQ_FIRST(&l->lists[phase]))) {
			partner_link_drop(l, d);
			d->link = NULL;
		}
	}
	loop_timer_free(l->retry);
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
	text_format(l->last_failure, sizeof l->last_failure, "%s: %s", cause_name(cause),
		    LOG_STR(str_of(detail)));
	if (cause != CAUSE_GOING_AWAY)
		log_warning("partner %s: closing: %s", l->mc_system_id, l->last_failure);
	exchange_send_close(l->conn, cause, detail);
	set_session(l, session_step(SESSION_CLIENT, l->session, SESSION_EV_CLOSE_SENT).next);
}

/* Nothing that the partner owes us can be trusted to come any more on this connection: what was sent is lost. */
static void break_off(struct partner_link *l, enum cause cause, const char *what)
{
	refuse(l, cause, what);
	partner_link_feed(l, LINK_EV_BROKEN);
	conn_close(l->conn);
}

/* The partner broke the protocol, and which of the requests is to blame cannot be told. */
void partner_link_refuse(struct partner_link *l, enum cause cause, const char *what)
{
	struct delivery *d, *next;
	break_off(l, cause, what);
	for (d = TAILQ_FIRST(&l->lists[DELIVERY_PHASE_SENT]); d; d = next) {
		next = TAILQ_NEXT(d, in_link);
		outbox_nonsense(d, what);
	}
}

/* One request is to blame, which is the caller's to charge with it: afterwards, so that it is not sent here again. */
void partner_link_nonsense(struct partner_link *l, const char *what)
{
	if (l->conn)
		break_off(l, CAUSE_MALFORMED_MESSAGE, what);
}

static void log_unasked(struct partner_link *l, uint64_t missed)
{
	if (missed > 0)
		log_info("partner %s: %llu more messages that nobody waits for were dropped", l->mc_system_id,
			 (unsigned long long)missed);
}

bool partner_link_bear(struct partner_link *l, const char *what)
{
	uint64_t missed;
	bool logged = log_limit_allows(&l->unasked_lines, LOG_LIMIT_LINES, clock_mono_ms(), &missed);
	log_unasked(l, missed);
	if (logged)
		log_info("partner %s: %s that nobody waits for (late or repeated) is dropped", l->mc_system_id, what);
	if (++l->unasked < UNASKED_MAX)
		return true;
	break_off(l, CAUSE_UNEXPECTED_MESSAGE, "too many messages in a row that nobody had asked for");
	return false;
}

void partner_link_log_missed(struct partner_link *l)
{
	log_unasked(l, log_limit_missed(&l->unasked_lines, clock_mono_ms()));
}

void partner_link_late_done(struct partner_link *l, uint64_t connection, bool recorded)
{
	if (l->connection != connection || !l->conn)
		return;
	if (recorded)
		l->unasked = 0;
	if (--l->n_late == 0)
		conn_resume(l->conn);
}

/* Once an end has said Close and nothing is owed any more, the connection can go. */
void partner_link_close_if_drained(struct partner_link *l)
{
	if (l->conn && l->session == SESSION_DRAINING && l->n_sent == 0 && l->n_asked == 0)
		conn_close(l->conn);
}

/* The partner is no longer who it was: nothing that it still says is to be believed. */
static void disown(struct partner_link *l, const char *why)
{
	break_off(l, CAUSE_NO_LONGER_AUTHORISED, why);
}

/* False, with the reason: it is not. */
static bool is_still_partner(struct partner_link *l, struct error *e)
{
	bool good = tls_recheck(conn_ssl(l->conn), l->tls, e) != NULL;
	l->ends = good ? tls_peer_ends(conn_ssl(l->conn)) : INT64_MAX;
	return good;
}

void partner_link_check_end(struct partner_link *l, int64_t now)
{
	struct error e = { ERR_TLS, "" };
	if (l->conn && conn_is_open(l->conn) && l->ends <= now && !is_still_partner(l, &e))
		disown(l, e.text);
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
	partner_link_close_if_drained(l);
}

static void on_opened(struct conn *c, void *context)
{
	struct partner_link *l = context;
	const struct config *config = l->server->live->config;
	l->ends = tls_peer_ends(conn_ssl(c));
	exchange_send_hello(c, config->mc_system_id, &config->limits, "acms " ACX_VERSION);
	loop_timer_set(l->watchdog, config->handshake_timeout_s * 1000u);
}

static void on_hello(struct partner_link *l, const struct hello *hello)
{
	char detail[256];
	enum cause cause = hello_check(hello, str_of(l->mc_system_id), true, &l->version, detail,
				       sizeof detail);
	if (cause != CAUSE_NO_CAUSE) {
		partner_link_refuse(l, cause, detail);
		return;
	}
	l->announced = hello->limits;
	text_format(l->last_failure, sizeof l->last_failure,
		    "the partner takes no more requests at a time");
	conn_set_max_frame(l->conn, l->server->live->config->limits.max_frame_bytes);
	log_info("partner %s: up at %s, %s", l->mc_system_id, conn_address(l->conn),
		 LOG_STR(hello->software));
	l->pings = l->pongs = 0;
	l->up_mono_ms = clock_mono_ms();
	loop_timer_set(l->watchdog, l->announced.idle_timeout_seconds * 1000ull / 3);
	traffic_event(l, DELIVERY_PHASE_BARRED, DELIVERY_EV_DUE, NULL); /* it may have been this partner's limits */
	partner_link_feed(l, LINK_EV_UP);
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

static void on_close_message(struct partner_link *l, const struct close_message *m)
{
	text_format(l->last_failure, sizeof l->last_failure, "the partner closed: %s %s",
		    cause_name(m->cause), LOG_STR(m->detail));
	log_warning("partner %s: %s", l->mc_system_id, l->last_failure);
	partner_link_feed(l, LINK_EV_CLOSE);
	partner_link_close_if_drained(l);
}

/* True: the arena is taken. */
static bool on_message(struct partner_link *l, struct arena *a, struct message *m)
{
	struct session_step step = session_step(SESSION_CLIENT, l->session, session_event_of(m->kind));
	if (step.action == SESSION_DO_REFUSE ||
	    (step.action == SESSION_DO_DELIVER && !session_allows(l->version, m))) {
		partner_link_refuse(l, step.action == SESSION_DO_REFUSE ? step.cause : CAUSE_UNEXPECTED_MESSAGE,
			       message_kind_name(m->kind));
		return false;
	}
	if (m->kind == MESSAGE_PONG && (m->token != l->pings || l->pongs == l->pings) && !partner_link_bear(l, "a Pong"))
		return false;
	if (m->kind == MESSAGE_PONG && m->token == l->pings)
		l->pongs = l->pings;
	set_session(l, step.next);
	switch (step.action) {
	case SESSION_DO_OPEN:
		on_hello(l, &m->hello);
		break;
	case SESSION_DO_DELIVER:
		return traffic_take(l, a, m);
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
	return false;
}

static void on_frame(struct conn *c, const uint8_t *payload, size_t length, void *context)
{
	struct partner_link *l = context;
	struct arena *a = arena_new(message_budget(length));
	struct message m;
	struct error e;
	enum cause why = CAUSE_MALFORMED_MESSAGE;
	bool taken = false;
	if (a && message_decode(a, payload, length, &m, &why, &e) == OK)
		taken = on_message(l, a, &m);
	else if (a && !arena_starved(a))
		partner_link_refuse(l, why, e.text);
	else /* not the partner's fault */
		conn_kill(c, "out of memory");
	if (!taken)
		arena_free(a);
}

static void on_bad_frame(struct conn *c, enum conn_frame_fault fault, uint32_t length, void *context)
{
	struct partner_link *l = context;
	(void)c;
	(void)length;
	switch (fault) {
	case CONN_FRAME_EMPTY:
		partner_link_refuse(l, CAUSE_MALFORMED_MESSAGE, "an empty frame");
		break;
	case CONN_FRAME_OVER:
		partner_link_refuse(l, CAUSE_FRAME_TOO_LARGE, "a frame larger than announced");
		break;
	case CONN_FRAME_SLOW:
		partner_link_refuse(l, CAUSE_FRAME_TIMEOUT, "a frame took too long to arrive");
		break;
	}
}

static void on_ended(struct conn *c, enum conn_end end, const char *text, void *context)
{
	struct partner_link *l = context;
	struct server *s = l->server;
	(void)c;
	if (end != CONN_END_LOCAL && l->session != SESSION_DRAINING)
		text_format(l->last_failure, sizeof l->last_failure, "%s", LOG_STR(str_of(text)));
	if (end != CONN_END_LOCAL && (link_is_up(l->state) || l->failures == 0))
		log_warning("partner %s: %s", l->mc_system_id, l->last_failure);
	l->conn = NULL;
	loop_timer_cancel(l->watchdog);
	set_session(l, SESSION_ENDED);
	partner_link_feed(l, LINK_EV_ENDED);
	if (l->state == LINK_STOPPED)
		link_free(l);
	server_check_stopped(s);
}

static void on_drained(struct conn *c, void *context)
{
	(void)c;
	traffic_send(context);
}

static const struct conn_handlers link_handlers = {
	.opened = on_opened,
	.frame = on_frame,
	.bad_frame = on_bad_frame,
	.ended = on_ended,
	.drained = on_drained,
};

static void start_connecting(struct partner_link *l)
{
	const struct config *c = l->server->live->config;
	struct conn_settings settings = { .handshake_timeout_ms = c->handshake_timeout_s * 1000u,
					  .frame_timeout_ms = c->frame_timeout_s * 1000u,
					  .drain_timeout_ms = c->shutdown_timeout_s * 1000u,
					  .pause_at_bytes = config_pause_at(c),
					  .max_queued_bytes = c->max_queued_bytes,
					  .reads_when_choked = true };
	l->session = SESSION_WAIT_HELLO;
	l->connection++;
	l->unasked = 0;
	l->n_late = 0;
	l->conn = conn_connect(l->server->loop, l->tls, l->rule->host.ptr, l->rule->port, &settings,
			       &link_handlers, l);
	if (!l->conn) {
		text_format(l->last_failure, sizeof l->last_failure, "out of memory");
		partner_link_feed(l, LINK_EV_ENDED);
	}
}

static void on_retry(void *context)
{
	partner_link_feed(context, LINK_EV_RETRY);
}

static void retry_later(struct partner_link *l)
{
	uint32_t random = 0;
	crypto_random((uint8_t *)&random, sizeof random);
	uint64_t ms = link_backoff_ms(l->failures++, random);
	log_debug("partner %s: next attempt in %llu ms", l->mc_system_id, (unsigned long long)ms);
	loop_timer_set(l->retry, ms);
}

void partner_link_feed(struct partner_link *l, enum link_event event)
{
	struct link_step step = link_step(l->state, event);
	if (step.next != l->state)
		log_debug("partner %s: link %s -> %s", l->mc_system_id, link_state_name(l->state),
			  link_state_name(step.next));
	l->state = step.next;
	if (step.actions & LINK_DO_LOSE_SENT) {
		traffic_event(l, DELIVERY_PHASE_SENT, DELIVERY_EV_LOST, l->last_failure);
		traffic_event(l, DELIVERY_PHASE_HELD, DELIVERY_EV_LOST, NULL);
		traffic_fail_queries(l);
	}
	if (step.actions & LINK_DO_FAIL_QUEUED)
		traffic_unreachable(l);
	if (step.actions & LINK_DO_CLOSE)
		close_orderly(l);
	if (step.actions & LINK_DO_RESET)
		l->failures = 0;
	if (step.actions & LINK_DO_RETRY_SOON)
		loop_timer_set(l->retry, LINK_RETRY_SOON_MS);
	if (step.actions & LINK_DO_RETRY_LATER)
		retry_later(l);
	if (step.actions & LINK_DO_SEND)
		traffic_send(l);
	if (step.actions & LINK_DO_CONNECT)
		start_connecting(l);
}

void partner_link_useful(struct partner_link *l)
{
	partner_link_feed(l, LINK_EV_USEFUL);
}

/* --- all of them --- */

static struct partner_link *link_new(struct server *s, struct str mc_system_id)
{
	struct partner_link *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	l->server = s;
	memcpy(l->mc_system_id, mc_system_id.ptr, mc_system_id.len);
	text_format(l->last_failure, sizeof l->last_failure, "not connected yet");
	l->session = SESSION_ENDED;
	for (int phase = 0; phase < DELIVERY_PHASES; phase++)
		TAILQ_INIT(&l->lists[phase]);
	TAILQ_INIT(&l->asked);
	TAILQ_INIT(&l->waiting);
	turns_init(&l->askers);
	TAILQ_INSERT_TAIL(&s->links, l, in_server);
	l->retry = loop_timer_new(s->loop, on_retry, l);
	l->watchdog = loop_timer_new(s->loop, on_watchdog, l);
	if (!l->retry || !l->watchdog) {
		link_free(l);
		return NULL;
	}
	return l;
}

/* A link that goes to another place, or whose partner is no longer who it was, is made anew. */
static bool still_good(struct partner_link *l, const struct partner_rule *before)
{
	struct error e = { ERR_TLS, "" };
	if (!l->conn || !conn_is_open(l->conn))
		return false;
	if (!str_eq(before->host, l->rule->host) || before->port != l->rule->port)
		return false;
	if (!is_still_partner(l, &e))
		disown(l, e.text);
	return true;
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
		partner_link_feed(l, LINK_EV_RETRY);
		return true;
	}
	const struct partner_rule *before = l->rule;
	l->rule = rule;
	l->tls = tls;
	if (!still_good(l, before))
		partner_link_feed(l, LINK_EV_RECONNECT);
	return true;
}

/* Its deliveries stay in the outbox. */
static void stop_link(struct partner_link *l)
{
	partner_link_feed(l, LINK_EV_STOP);
	if (!l->server->stopping)
		outbox_relink(l->server);
	if (!l->conn)
		link_free(l);
}

bool partner_links_configure(struct server *s)
{
	const struct config *c = s->live->config;
	struct partner_link *l, *next;
	s->rules++;
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
	outbox_relink(s);
	outbox_rejudge(s);
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
