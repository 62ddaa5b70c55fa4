#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "acms/link.h"
#include "acms/server.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/exchange.h"
#include "common/frame.h"
#include "common/failpoint.h"
#include "common/log.h"
#include "common/receipt_sign.h"
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
	uint32_t version;              /* negotiated */
	struct limits announced;       /* by the partner */
	uint64_t connection;           /* counts them */
	struct delivery_list lists[DELIVERY_PHASES]; /* by phase */
	size_t n_sent, n_loading, n_asked;
	struct query_list asked;       /* queries under way */
	uint64_t tokens;
	struct loop_timer *retry, *watchdog;
	uint64_t retry_at_ms;          /* clock_mono_ms; when retry fires, if it is set */
	uint64_t pings, pongs;
};

/* Read from the store in one go. */
enum { LOAD_MAX = 64 };

static void feed(struct partner_link *l, enum link_event event);
static void send_queued(struct partner_link *l);

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

/* --- deliveries --- */

/* Feeds an event to all deliveries in a phase; each may go elsewhere, or away. */
static void feed_all(struct partner_link *l, enum delivery_phase phase, enum delivery_event event,
		     const char *detail)
{
	struct delivery *d, *next, *last = TAILQ_LAST(&l->lists[phase], delivery_list);
	for (d = TAILQ_FIRST(&l->lists[phase]); d; d = d == last ? NULL : next) {
		next = TAILQ_NEXT(d, in_link);
		outbox_event(d, event, detail);
	}
}

/* A quarter of what both ends take, so that the answer fits, too. */
static bool too_long(const struct partner_link *l, const struct message *m)
{
	uint32_t theirs = l->announced.max_frame_bytes;
	uint32_t ours = l->server->live->config->limits.max_frame_bytes;
	return message_size(m) - FRAME_HEADER_SIZE > (theirs < ours ? theirs : ours) / 4;
}

static bool over_limit(const struct partner_link *l, const struct setup *setup)
{
	const struct limits *most = &l->announced;
	if (setup->n_users > most->max_mc_ids)
		return true;
	for (size_t i = 0; i < setup->n_users; i++) {
		if (setup->users[i].n_service_ids > most->max_mc_service_ids_per_mc_id)
			return true;
	}
	return false;
}

static void unsendable(struct delivery *d, enum cause cause)
{
	d->unsendable = cause;
	d->detail[0] = '\0';
	outbox_event(d, DELIVERY_EV_UNSENDABLE, NULL);
}

/* In version 1 there is no expires; what else it does not know cannot be left out. */
static bool for_version(uint32_t version, struct setup_request *request)
{
	if (version >= 2)
		return true;
	request->expires_ms = 0;
	return !setup_request_needs_version_2(request);
}

static void send_one(struct partner_link *l, struct delivery *d, const struct setup *setup)
{
	struct message m = { .kind = MESSAGE_SETUP_REQUEST };
	struct arena *a = arena_new(0);
	if (d->asked->kept && d->asked->deadline_ms <= clock_wall_ms()) {
		outbox_event(d, DELIVERY_EV_DEADLINE, NULL);
	} else if (!a || !setup_to_request(a, setup, d->target, &m.request)) {
		outbox_event(d, DELIVERY_EV_NOT_STORED, "out of memory");
	} else if (!for_version(l->version, &m.request)) {
		unsendable(d, CAUSE_PARTNER_VERSION);
	} else if (over_limit(l, setup) || too_long(l, &m)) {
		unsendable(d, CAUSE_PARTNER_LIMIT);
	} else {
		fail_point("home-send");
		exchange_send(l->conn, &m);
		d->attempts++;
		d->sent_mono_ms = clock_mono_ms();
		outbox_event(d, DELIVERY_EV_SENT, NULL);
	}
	arena_free(a);
}

struct load_job {
	struct job job;
	struct server *server;
	char mc_system_id[MC_SYSTEM_ID_MAX + 1];
	uint64_t connection;
	size_t n;
	struct { struct request_id id; bool found; struct asked_record asked; } items[LOAD_MAX];
};

static void run_load(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct load_job *j = (struct load_job *)job;
	(void)now_ms;
	for (size_t i = 0; i < j->n; i++)
		j->items[i].found = store_get_asked(t, work, j->items[i].id, &j->items[i].asked);
}

static struct delivery *delivery_of(struct partner_link *l, const struct request_id *id)
{
	struct asked *a = outbox_find(l->server, id);
	struct delivery *d = NULL;
	if (a) {
		TAILQ_FOREACH(d, &a->deliveries, in_asked) {
			if (d->link == l)
				break;
		}
	}
	return d;
}

/* Sent if there still is the connection that they were read for; otherwise they queue again. */
static void loaded(struct job *job, enum status status)
{
	struct load_job *j = (struct load_job *)job;
	struct partner_link *l = partner_link_find(j->server, str_of(j->mc_system_id));
	bool up = l && l->state == LINK_UP && l->connection == j->connection;
	for (size_t i = 0; l && i < j->n; i++) {
		struct delivery *d = delivery_of(l, &j->items[i].id);
		if (!d || d->phase != DELIVERY_PHASE_LOADING)
			continue;
		if (status != OK || !j->items[i].found)
			outbox_event(d, DELIVERY_EV_NOT_STORED, "the store could not be read");
		else if (up)
			send_one(l, d, &j->items[i].asked.setup);
		else
			outbox_event(d, DELIVERY_EV_DUE, NULL);
	}
	j->server->requests--;
	if (up)
		send_queued(l);
	server_check_stopped(j->server);
	free(j);
}

static void load(struct partner_link *l, size_t room)
{
	struct load_job *j = calloc(1, sizeof *j);
	struct delivery *d;
	if (!j) {
		outbox_event(TAILQ_FIRST(&l->lists[DELIVERY_PHASE_QUEUED]), DELIVERY_EV_NOT_STORED,
			     "out of memory");
		return;
	}
	j->job.run = run_load;
	j->job.done = loaded;
	j->server = l->server;
	j->connection = l->connection;
	memcpy(j->mc_system_id, l->mc_system_id, sizeof j->mc_system_id);
	while (j->n < LOAD_MAX && j->n < room && (d = TAILQ_FIRST(&l->lists[DELIVERY_PHASE_QUEUED])) &&
	       !d->asked->arena) {
		j->items[j->n++].id = d->asked->id;
		outbox_event(d, DELIVERY_EV_LOADING, NULL);
	}
	l->server->requests++;
	committer_submit(l->server->committer, &j->job);
}

static size_t room_on(const struct partner_link *l)
{
	size_t taken = l->n_sent + l->n_loading + l->n_asked;
	return taken < l->announced.max_requests_in_flight ?
		       l->announced.max_requests_in_flight - taken : 0;
}

/* Each that it looks at leaves the queue, if only for a while. */
static void send_queued(struct partner_link *l)
{
	struct delivery *d;
	size_t room;
	while (l->state == LINK_UP && (room = room_on(l)) > 0 &&
	       (d = TAILQ_FIRST(&l->lists[DELIVERY_PHASE_QUEUED]))) {
		if (d->asked->arena) {
			send_one(l, d, &d->asked->setup);
		} else if (l->n_loading == 0) {
			load(l, room);
		} else {
			return;
		}
	}
}

void partner_link_submit(struct partner_link *l, struct delivery *d)
{
	TAILQ_INSERT_TAIL(&l->lists[d->phase], d, in_link);
	d->listed = true;
	l->n_sent += d->phase == DELIVERY_PHASE_SENT;
	l->n_loading += d->phase == DELIVERY_PHASE_LOADING;
	if (d->phase != DELIVERY_PHASE_QUEUED)
		return;
	if (l->state == LINK_DOWN && l->failures > 0) {
		snprintf(d->detail, sizeof d->detail, "%.*s", (int)sizeof d->detail - 1, l->last_failure);
		if (!d->asked->kept) {
			outbox_event(d, DELIVERY_EV_UNREACHABLE, NULL);
			return;
		}
		outbox_tell_delayed(d);
	}
	feed(l, LINK_EV_WANT);
}

void partner_link_drop(struct partner_link *l, struct delivery *d)
{
	if (!d->listed)
		return;
	TAILQ_REMOVE(&l->lists[d->phase], d, in_link);
	d->listed = false;
	l->n_sent -= d->phase == DELIVERY_PHASE_SENT;
	l->n_loading -= d->phase == DELIVERY_PHASE_LOADING;
}

/* --- queries --- */

static void forget_query(struct partner_link *l, struct query *q)
{
	TAILQ_REMOVE(&l->asked, q, in_link);
	l->n_asked--;
}

static void fail_queries(struct partner_link *l, enum cause cause)
{
	struct query *q;
	while ((q = TAILQ_FIRST(&l->asked))) {
		forget_query(l, q);
		query_refuse(q, cause, l->last_failure);
	}
}

static void set_token(struct message *m, uint64_t token)
{
	if (m->kind == MESSAGE_USERS_QUERY)
		m->users_query.token = token;
	else
		m->digest_query.token = token;
}

void partner_link_ask(struct partner_link *l, struct query *q)
{
	struct message m = q->message;
	if (l->state != LINK_UP) {
		query_refuse(q, CAUSE_PARTNER_UNREACHABLE, l->last_failure);
	} else if (l->version < 2) {
		query_refuse(q, CAUSE_PARTNER_VERSION, NULL);
	} else if (too_long(l, &m)) {
		query_refuse(q, CAUSE_PARTNER_LIMIT, "ask about fewer users at a time");
	} else if (room_on(l) == 0) {
		query_refuse(q, CAUSE_TOO_MANY_IN_FLIGHT, "towards the partner");
	} else {
		q->link_token = ++l->tokens;
		q->asked_mono_ms = clock_mono_ms();
		set_token(&m, q->link_token);
		TAILQ_INSERT_TAIL(&l->asked, q, in_link);
		l->n_asked++;
		exchange_send(l->conn, &m);
	}
}

static void on_page(struct partner_link *l, struct message *m)
{
	bool users = m->kind == MESSAGE_USERS_PAGE;
	struct page *page = users ? &m->users_page.page : &m->digest_page.page;
	struct query *q;
	TAILQ_FOREACH(q, &l->asked, in_link) {
		if (q->link_token == page->token)
			break;
	}
	if (!q)
		return; /* late */
	bool fits = q->message.kind == (users ? MESSAGE_USERS_QUERY : MESSAGE_DIGEST_QUERY) &&
		    (users || page->cause != CAUSE_NO_CAUSE ||
		     m->digest_page.n_digests == q->message.digest_query.n_ranges);
	forget_query(l, q);
	if (!fits) {
		query_refuse(q, CAUSE_PARTNER_PROTOCOL_ERROR, NULL);
		return;
	}
	page->token = users ? q->message.users_query.token : q->message.digest_query.token;
	query_reply(q, m);
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

/* Nothing that the partner owes us can be trusted to come any more on this connection: what was sent is lost. */
static void break_off(struct partner_link *l, enum cause cause, const char *what)
{
	refuse(l, cause, what);
	feed(l, LINK_EV_CLOSE);
	conn_close(l->conn);
}

/* The partner broke the protocol, and which of the requests is to blame cannot be told. */
static void protocol_error(struct partner_link *l, enum cause cause, const char *what)
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

/* Once an end has said Close and nothing is owed any more, the connection can go. */
static void close_if_drained(struct partner_link *l)
{
	if (l->conn && l->session == SESSION_DRAINING && l->n_sent == 0 && l->n_asked == 0)
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
	enum cause cause = hello_check(hello, str_of(l->mc_system_id), true, &l->version, detail,
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

/* A receipt counts only with a good signature of who is at the other end. */
static bool good_receipt(struct partner_link *l, struct arena *a, const struct setup_response *response,
			 struct receipt *receipt)
{
	struct error e;
	if (receipt_verify_peer(a, conn_ssl(l->conn), response->receipt, receipt, &e) == OK)
		return true;
	break_off(l, CAUSE_MALFORMED_MESSAGE, e.text);
	return false;
}

/* True: the arena, which the message lives in, is taken. */
static bool on_response(struct partner_link *l, struct arena *a, const struct setup_response *response)
{
	struct receipt receipt;
	bool has = l->version >= 2 && response->receipt.ptr;
	struct delivery *d = delivery_of(l, &response->request_id);
	fail_point("home-response");
	if (has && !good_receipt(l, a, response, &receipt)) {
		if (d)
			outbox_nonsense(d, "a receipt that is not valid");
		return false;
	}
	outbox_response(l->server, str_of(l->mc_system_id), a, response, l->version,
			has ? &receipt : NULL);
	send_queued(l);
	close_if_drained(l);
	return true;
}

static void on_indication(struct partner_link *l, const struct process_indication *m)
{
	struct delivery *d = delivery_of(l, &m->request_id);
	if (m->state != PROCESS_PENDING || !str_eq(m->mc_system_id, str_of(l->mc_system_id))) {
		protocol_error(l, CAUSE_MALFORMED_MESSAGE, "a process indication that a partner does not give");
		return;
	}
	if (d)
		outbox_pending(d, m->until_ms, m->detail);
	send_queued(l);
	close_if_drained(l);
}

/* True: the arena is taken. */
static bool deliver(struct partner_link *l, struct arena *a, struct message *m)
{
	switch (m->kind) {
	case MESSAGE_SETUP_RESPONSE:
		return on_response(l, a, &m->response);
	case MESSAGE_PROCESS_INDICATION:
		on_indication(l, &m->indication);
		return false;
	case MESSAGE_USERS_PAGE:
	case MESSAGE_DIGEST_PAGE:
		on_page(l, m);
		send_queued(l);
		close_if_drained(l);
		return false;
	case MESSAGE_HELLO:
	case MESSAGE_SETUP_REQUEST:
	case MESSAGE_PING:
	case MESSAGE_PONG:
	case MESSAGE_CLOSE:
	case MESSAGE_REQUESTS_QUERY:
	case MESSAGE_REQUESTS_PAGE:
	case MESSAGE_USERS_QUERY:
	case MESSAGE_DIGEST_QUERY:
	case MESSAGE_PENDING_QUERY:
	case MESSAGE_PENDING_PAGE:
	case MESSAGE_DECISION:
	case MESSAGE_DECISION_RESULT:
		break;
	}
	protocol_error(l, CAUSE_UNEXPECTED_MESSAGE, message_kind_name(m->kind));
	return false;
}

static void on_close_message(struct partner_link *l, const struct close_message *m)
{
	snprintf(l->last_failure, sizeof l->last_failure, "the partner closed: %s %s",
		 cause_name(m->cause), LOG_STR(m->detail));
	log_warning("partner %s: %s", l->mc_system_id, l->last_failure);
	feed(l, LINK_EV_CLOSE);
	close_if_drained(l);
}

/* True: the arena is taken. */
static bool on_message(struct partner_link *l, struct arena *a, struct message *m)
{
	struct session_step step = session_step(SESSION_CLIENT, l->session, session_event_of(m->kind));
	if (step.action == SESSION_DO_REFUSE ||
	    (step.action == SESSION_DO_DELIVER && !session_allows(l->version, m))) {
		protocol_error(l, step.action == SESSION_DO_REFUSE ? step.cause : CAUSE_UNEXPECTED_MESSAGE,
			       message_kind_name(m->kind));
		return false;
	}
	if (m->kind == MESSAGE_PONG && m->token == l->pings)
		l->pongs = l->pings;
	set_session(l, step.next);
	switch (step.action) {
	case SESSION_DO_OPEN:
		on_hello(l, &m->hello);
		break;
	case SESSION_DO_DELIVER:
		return deliver(l, a, m);
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
	struct error e = { ERR_MEMORY, "out of memory" };
	enum cause why = CAUSE_MALFORMED_MESSAGE;
	(void)c;
	bool taken = false;
	if (a && message_decode(a, payload, length, &m, &why, &e) == OK)
		taken = on_message(l, a, &m);
	else
		protocol_error(l, why, e.text);
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
	l->connection++;
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

/* Those who wait are told once; what is not kept does not wait. */
static void tell_unreachable(struct partner_link *l)
{
	enum delivery_event why = l->server->stopping ? DELIVERY_EV_STOPPING : DELIVERY_EV_UNREACHABLE;
	struct delivery *d, *next;
	for (d = TAILQ_FIRST(&l->lists[DELIVERY_PHASE_QUEUED]); d; d = next) {
		next = TAILQ_NEXT(d, in_link);
		outbox_event(d, why, l->last_failure);
	}
	TAILQ_FOREACH(d, &l->lists[DELIVERY_PHASE_QUEUED], in_link)
		outbox_tell_delayed(d);
}

static void feed(struct partner_link *l, enum link_event event)
{
	struct link_step step = link_step(l->state, event);
	if (step.next != l->state)
		log_debug("partner %s: link %s -> %s", l->mc_system_id, link_state_name(l->state),
			  link_state_name(step.next));
	l->state = step.next;
	if (step.actions & LINK_DO_LOSE_SENT) {
		feed_all(l, DELIVERY_PHASE_SENT, DELIVERY_EV_LOST, l->last_failure);
		feed_all(l, DELIVERY_PHASE_HELD, DELIVERY_EV_LOST, NULL);
		fail_queries(l, CAUSE_PARTNER_CONNECTION_LOST);
	}
	if (step.actions & LINK_DO_FAIL_QUEUED)
		tell_unreachable(l);
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
	for (int phase = 0; phase < DELIVERY_PHASES; phase++)
		TAILQ_INIT(&l->lists[phase]);
	TAILQ_INIT(&l->asked);
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
	struct error e;
	if (!l->conn || !conn_is_open(l->conn))
		return false;
	if (!str_eq(before->host, l->rule->host) || before->port != l->rule->port)
		return false;
	if (tls_recheck(conn_ssl(l->conn), l->tls, &e))
		return true;
	log_warning("partner %s: %s", l->mc_system_id, e.text);
	snprintf(l->last_failure, sizeof l->last_failure, "%s", LOG_STR(str_of(e.text)));
	conn_kill(l->conn, l->last_failure); /* nothing that it still says is to be believed */
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

/* Its deliveries stay in the outbox. */
static void stop_link(struct partner_link *l)
{
	feed(l, LINK_EV_STOP);
	if (!l->server->stopping)
		outbox_relink(l->server);
	if (!l->conn)
		link_free(l);
}

/* No answer in time: whatever ails the connection, another one may fare better. */
static void check_sent(struct partner_link *l, uint64_t now)
{
	uint64_t patience = l->server->live->config->partner_timeout_s * 1000ull;
	const struct delivery *oldest = TAILQ_FIRST(&l->lists[DELIVERY_PHASE_SENT]);
	struct query *q = TAILQ_FIRST(&l->asked);
	if (q && now - q->asked_mono_ms >= patience) {
		forget_query(l, q);
		query_refuse(q, CAUSE_PARTNER_TIMEOUT, NULL);
	}
	if (l->conn && oldest && now - oldest->sent_mono_ms >= patience) {
		snprintf(l->last_failure, sizeof l->last_failure, "no answer within %u s",
			 l->server->live->config->partner_timeout_s);
		conn_kill(l->conn, l->last_failure);
	}
}

void partner_links_tick(struct server *s)
{
	uint64_t now = clock_mono_ms();
	struct partner_link *l;
	TAILQ_FOREACH(l, &s->links, in_server) {
		struct delivery *d, *next;
		for (d = TAILQ_FIRST(&l->lists[DELIVERY_PHASE_RESTING]); d; d = next) {
			next = TAILQ_NEXT(d, in_link);
			if (d->due_mono_ms <= now)
				outbox_event(d, DELIVERY_EV_DUE, NULL);
		}
		check_sent(l, now);
	}
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
	outbox_relink(s);
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
