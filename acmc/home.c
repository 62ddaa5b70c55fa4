#include "acmc/home.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/queue.h>
#include "common/clock.h"
#include "common/exchange.h"
#include "common/net.h"
#include "common/session.h"
#include "common/text.h"

/* An answer may come behind others that were followed, but not for so many times the longest silence. */
enum { OTHERS_PATIENCE = 5 };
enum { TICK_MS = 100, CONNECT_TIMEOUT_MS = 10000, PING_MS_MAX = 60000, RECONNECTS = 5, STEADY_MS = 60000 };
/* Several times what parts.c has on its way: a server that reads nothing but makes us answer its Pings gets no further. */
enum { QUEUED_MAX = 16 << 20 };

struct received {
	TAILQ_ENTRY(received) next;
	struct arena *arena;
	struct message message;
};

struct home {
	const struct acmc_config *config;
	struct tls_identity *identity;
	struct tls_trust *trust;
	struct tls_context *tls;
	struct loop *loop;
	struct loop_timer *timer;
	struct loop_late *turned; /* stops the loop at the end of a turn: home_push */
	void (*tick)(void *context);
	void *tick_context;
	void (*other)(void *context, const struct message *m); /* home_listen */
	void *other_context;

	struct conn *conn;
	enum session_state session;
	struct arena *hello; /* what the server said lives here */
	uint32_t version;
	struct str system;
	struct limits limits;

	TAILQ_HEAD(, received) queue;
	struct received *current; /* that the caller looks at */
	uint64_t token, pings;
	uint64_t bytes;
	/* clock_mono_ms */
	uint64_t heard_ms;    /* anything from the server */
	uint64_t answered_ms; /* anything that was for the caller, or since when it is expected */
	uint64_t sent_ms;
	uint64_t connected_ms;
	uint64_t until_ms;    /* 0: no limit */
	bool expecting, interrupted;
	enum home_result result; /* of the connection */
	char failure[800];
};

static const struct limits own_limits = {
	.max_frame_bytes = 1048576, .max_mc_ids = 1000, .max_mc_service_ids_per_mc_id = 16,
	.max_mc_system_ids = 100, .max_requests_in_flight = 256, .idle_timeout_seconds = 300,
};

const struct limits *home_own_limits(void)
{
	return &own_limits;
}

/* --- failures --- */

enum home_result home_fail(struct home *h, enum home_result result, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	text_vformat(h->failure, sizeof h->failure, format, args);
	va_end(args);
	return result;
}

enum home_result home_nonsense(struct home *h, const char *what)
{
	return home_fail(h, HOME_UNUSABLE, "the server breaks the protocol: %s", what);
}

const char *home_failure(const struct home *h)
{
	return h->failure;
}

void home_complain(const struct home *h, enum home_result result, FILE *out)
{
	bool placed = result == HOME_BAD_CONFIG || result == HOME_BAD_INPUT ||
		      strncmp(h->failure, h->config->host.ptr, h->config->host.len) == 0;
	if (placed)
		fprintf(out, "acmc: %s\n", h->failure);
	else
		fprintf(out, "acmc: %.*s port %u: %s\n", STR_ARG(h->config->host), h->config->port, h->failure);
}

/* The connection is over; the first reason counts. What came before it is still delivered. */
static void over(struct home *h, enum home_result result, const char *text)
{
	if (h->result == HOME_OK) {
		h->result = result;
		if (!h->failure[0])
			home_fail(h, result, "%s", text);
	}
	loop_stop(h->loop);
}

static void over_by_nonsense(struct home *h, const char *what)
{
	if (h->result == HOME_OK)
		h->result = home_nonsense(h, what);
	loop_stop(h->loop);
}

/* --- the server's messages --- */

static void on_opened(struct conn *conn, void *context)
{
	struct home *h = context;
	exchange_send_hello(conn, h->config->mc_system_id, &own_limits, "acmc " ACX_VERSION);
}

static void on_hello(struct home *h, const struct hello *hello)
{
	char detail[256];
	struct str expected = h->config->mc_system_id.ptr ? h->config->mc_system_id : hello->mc_system_id;
	enum cause cause = hello_check(hello, expected, true, &h->version, detail, sizeof detail);
	if (cause != CAUSE_NO_CAUSE) {
		over(h, HOME_UNUSABLE, detail);
		return;
	}
	h->limits = hello->limits;
	arena_free(h->hello);
	h->hello = arena_new(0);
	h->system = h->hello ? arena_str(h->hello, hello->mc_system_id) : STR_NONE;
	if (!h->system.ptr)
		over(h, HOME_FAILED, "out of memory");
	conn_set_max_frame(h->conn, own_limits.max_frame_bytes);
	loop_stop(h->loop);
}

static void on_close_message(struct home *h, const struct close_message *m)
{
	char detail[600], label[CAUSE_LABEL_SIZE];
	home_fail(h, HOME_LOST, "the server closes: %s: %s", cause_label(m->cause, label),
		  text_escape(m->detail.len ? m->detail : str_of(cause_text(m->cause)), detail, sizeof detail));
	if (!h->system.ptr)
		over(h, HOME_LOST, h->failure); /* before its Hello: nothing was asked, no answer will come */
}

/* True: the message was put into the queue. */
static bool on_message(struct home *h, struct received *r)
{
	const struct message *m = &r->message;
	struct session_step step = session_step(SESSION_CLIENT, h->session, session_event_of(m->kind));
	h->session = step.next;
	switch (step.action) {
	case SESSION_DO_OPEN:
		on_hello(h, &m->hello);
		break;
	case SESSION_DO_DELIVER:
		if (!session_allows(h->version, m)) {
			over_by_nonsense(h, "a message of another version");
			break;
		}
		TAILQ_INSERT_TAIL(&h->queue, r, next);
		h->answered_ms = clock_mono_ms();
		loop_stop(h->loop);
		return true;
	case SESSION_DO_PONG:
		exchange_send(h->conn, &(struct message){ .kind = MESSAGE_PONG, .token = m->token });
		break;
	case SESSION_DO_DRAIN:
		on_close_message(h, &m->close);
		break;
	case SESSION_DO_REFUSE:
		over_by_nonsense(h, "a message out of place");
		break;
	case SESSION_DO_END:
	case SESSION_DO_NOTHING:
		break;
	}
	return false;
}

static void received_free(struct received *r)
{
	if (!r)
		return;
	arena_free(r->arena);
	free(r);
}

static void on_frame(struct conn *conn, const uint8_t *payload, size_t length, void *context)
{
	struct home *h = context;
	struct error e = { ERR_MEMORY, "out of memory" };
	enum cause why;
	bool kept = false;
	(void)conn;
	if (h->result != HOME_OK)
		return; /* what follows nonsense is not believed either */
	h->heard_ms = clock_mono_ms();
	h->bytes += length;
	struct received *r = calloc(1, sizeof *r);
	if (r)
		r->arena = arena_new(message_budget(length));
	if (r && r->arena && message_decode(r->arena, payload, length, &r->message, &why, &e) == OK)
		kept = on_message(h, r);
	else if (e.status == ERR_MEMORY)
		over(h, HOME_FAILED, e.text);
	else
		over_by_nonsense(h, e.text);
	if (!kept)
		received_free(r);
}

static void on_bad_frame(struct conn *conn, enum conn_frame_fault fault, uint32_t length, void *context)
{
	(void)fault, (void)length;
	over_by_nonsense(context, "a frame of wrong size");
	conn_kill(conn, "a frame of wrong size");
}

static void on_ended(struct conn *conn, enum conn_end end, const char *text, void *context)
{
	struct home *h = context;
	(void)conn;
	h->conn = NULL;
	h->session = SESSION_ENDED;
	over(h, end == CONN_END_REFUSED ? HOME_UNUSABLE : HOME_LOST, text);
}

static const struct conn_handlers handlers = {
	.opened = on_opened,
	.frame = on_frame,
	.bad_frame = on_bad_frame,
	.ended = on_ended,
};

/* --- waiting --- */

/* Often enough for the server's idle timeout, and to notice a dead server in our own. */
static uint64_t ping_after_ms(const struct home *h)
{
	uint64_t ms = PING_MS_MAX;
	if (h->limits.idle_timeout_seconds * 1000ull / 3 < ms)
		ms = h->limits.idle_timeout_seconds * 1000ull / 3;
	if (h->config->timeout_s * 1000ull / 3 < ms)
		ms = h->config->timeout_s * 1000ull / 3;
	return ms;
}

static void on_timer(void *context)
{
	struct home *h = context;
	uint64_t now = clock_mono_ms();
	uint64_t since = h->expecting ? h->answered_ms : h->heard_ms;
	char text[80];
	loop_timer_set(h->timer, TICK_MS);
	if (h->tick)
		h->tick(h->tick_context);
	if (h->until_ms && now >= h->until_ms)
		loop_stop(h->loop);
	if (!h->conn || h->result != HOME_OK)
		return;
	if (now >= since + h->config->timeout_s * 1000ull) {
		text_format(text, sizeof text, "no answer for %u seconds", h->config->timeout_s);
		over(h, HOME_LOST, text);
	} else if (h->session == SESSION_OPEN && now >= h->sent_ms + ping_after_ms(h)) {
		home_send(h, &(struct message){ .kind = MESSAGE_PING, .token = ++h->pings });
	}
}

static void on_signal(void *context)
{
	struct home *h = context;
	h->interrupted = true;
	loop_stop(h->loop);
}

static void on_turned(void *context)
{
	struct home *h = context;
	loop_stop(h->loop);
}

/* Runs the loop for one event. HOME_OK: look whether it was the one that you wait for. */
static enum home_result turn(struct home *h)
{
	if (!h->interrupted && loop_run(h->loop) != OK)
		return home_fail(h, HOME_FAILED, "the event loop failed");
	if (h->interrupted)
		return home_fail(h, HOME_INTERRUPTED, "interrupted");
	if (h->until_ms && clock_mono_ms() >= h->until_ms)
		return home_fail(h, HOME_TIME_OUT, "not every answer came in the time given");
	return HOME_OK;
}

void home_on_tick(struct home *h, void (*tick)(void *context), void *context)
{
	h->tick = tick;
	h->tick_context = context;
}

void home_wait_until(struct home *h, uint64_t mono_ms)
{
	h->until_ms = mono_ms;
}

/* --- making and ending --- */

static enum status make(struct home *h, struct error *e)
{
	const struct acmc_config *c = h->config;
	enum status status = tls_identity_load(c->certificate.ptr, c->key.ptr, &h->identity, e);
	if (status == OK)
		status = tls_identity_check_use(h->identity, false, e);
	if (status == OK)
		status = tls_trust_load(c->trust_anchors.items, c->trust_anchors.n, c->crls.items, c->crls.n,
					&h->trust, e);
	if (status == OK) {
		struct tls_party party = { c->server_certificate, h->trust, c };
		status = tls_client_new(h->identity, &party, &h->tls, e);
	}
	if (status != OK)
		return status == ERR_MEMORY ? status : ERR_CONFIG;
	status = loop_new(&h->loop, e);
	if (status == OK)
		status = loop_signal(h->loop, SIGINT, on_signal, h, e);
	if (status == OK)
		status = loop_signal(h->loop, SIGTERM, on_signal, h, e);
	if (status == OK && (!(h->timer = loop_timer_new(h->loop, on_timer, h)) ||
			     !(h->turned = loop_late_new(h->loop, on_turned, h))))
		status = error_set(e, ERR_MEMORY, "out of memory");
	return status;
}

enum home_result home_new(const struct acmc_config *config, struct home **out)
{
	struct error e = { OK, "" };
	struct home *h = *out = calloc(1, sizeof *h);
	if (!h)
		return HOME_FAILED;
	h->config = config;
	TAILQ_INIT(&h->queue);
	signal(SIGPIPE, SIG_IGN);
	enum status status = make(h, &e);
	if (status != OK)
		return home_fail(h, status == ERR_CONFIG ? HOME_BAD_CONFIG : HOME_FAILED, "%s", e.text);
	loop_timer_set(h->timer, TICK_MS);
	return HOME_OK;
}

static void drop_messages(struct home *h)
{
	struct received *r;
	received_free(h->current);
	h->current = NULL;
	while ((r = TAILQ_FIRST(&h->queue))) {
		TAILQ_REMOVE(&h->queue, r, next);
		received_free(r);
	}
}

void home_free(struct home *h)
{
	if (!h)
		return;
	drop_messages(h);
	loop_timer_free(h->timer);
	loop_late_free(h->turned);
	loop_free(h->loop);
	tls_context_free(h->tls);
	tls_trust_free(h->trust);
	tls_identity_free(h->identity);
	arena_free(h->hello);
	free(h);
}

enum home_result home_connect(struct home *h)
{
	struct conn_settings settings = { .handshake_timeout_ms = CONNECT_TIMEOUT_MS,
					  .frame_timeout_ms = CONNECT_TIMEOUT_MS,
					  .drain_timeout_ms = CONNECT_TIMEOUT_MS,
					  .pause_at_bytes = QUEUED_MAX,
					  .max_queued_bytes = QUEUED_MAX,
					  .reads_when_choked = true };
	enum home_result result = HOME_OK;
	drop_messages(h);
	h->session = SESSION_WAIT_HELLO;
	h->system = STR_NONE;
	h->result = HOME_OK;
	h->failure[0] = '\0';
	h->expecting = true;
	h->heard_ms = h->answered_ms = h->sent_ms = clock_mono_ms();
	h->conn = conn_connect(h->loop, h->tls, h->config->host.ptr, (uint16_t)h->config->port, &settings,
			       &handlers, h);
	if (!h->conn)
		return home_fail(h, HOME_FAILED, "out of memory");
	while (result == HOME_OK && h->result == HOME_OK && !h->system.ptr)
		result = turn(h);
	h->connected_ms = clock_mono_ms();
	return result != HOME_OK ? result : h->result;
}

void home_close(struct home *h)
{
	uint64_t tick_until = clock_mono_ms() + CONNECT_TIMEOUT_MS;
	if (!h->conn)
		return;
	if (h->result == HOME_OK && h->session == SESSION_OPEN) {
		exchange_send_close(h->conn, CAUSE_GOING_AWAY, "");
		h->session = SESSION_DRAINING;
		conn_close(h->conn);
	} else {
		conn_kill(h->conn, "closed");
	}
	h->tick = NULL;
	while (h->conn && !h->interrupted && clock_mono_ms() < tick_until) {
		if (loop_run(h->loop) != OK)
			break;
	}
}

enum home_result home_sleep(struct home *h, uint64_t ms)
{
	uint64_t until = clock_mono_ms() + ms, limit = h->until_ms;
	bool limited = limit && limit < until;
	enum home_result result = HOME_OK;
	if (!limited)
		h->until_ms = until;
	while (result == HOME_OK)
		result = turn(h);
	h->until_ms = limit;
	return result == HOME_TIME_OUT && !limited ? HOME_OK : result;
}

enum home_result home_reconnect(struct home *h, unsigned *attempts,
				void (*told)(void *context, const char *why, unsigned seconds), void *context)
{
	enum home_result result = HOME_LOST;
	if (h->heard_ms >= h->connected_ms + STEADY_MS)
		*attempts = 0; /* it was not for nothing */
	while (result == HOME_LOST && *attempts < RECONNECTS) {
		unsigned seconds = 1u << (*attempts)++;
		if (h->conn)
			home_close(h);
		told(context, h->failure, seconds);
		result = home_sleep(h, seconds * 1000ull);
		if (result == HOME_OK)
			result = home_connect(h);
	}
	return result;
}

/* --- talking --- */

uint32_t home_version(const struct home *h)
{
	return h->version;
}

struct str home_system(const struct home *h)
{
	return h->system;
}

const struct limits *home_limits(const struct home *h)
{
	return &h->limits;
}

uint64_t home_bytes_received(const struct home *h)
{
	return h->bytes;
}

enum home_result home_needs_version_2(struct home *h, const char *what)
{
	if (h->version >= 2)
		return HOME_OK;
	return home_fail(h, HOME_UNUSABLE, "the server speaks version %u of the protocol only; %s needs version 2",
			 h->version, what);
}

uint64_t home_token(struct home *h)
{
	return ++h->token;
}

void home_send(struct home *h, const struct message *m)
{
	uint64_t now = clock_mono_ms();
	if (!h->conn)
		return;
	if (m->kind != MESSAGE_PING)
		h->answered_ms = now;
	h->sent_ms = now;
	exchange_send(h->conn, m);
}

enum home_result home_push(struct home *h)
{
	loop_late(h->turned);
	return turn(h);
}

enum home_result home_receive(struct home *h, bool expect, const struct message **out)
{
	enum home_result result = HOME_OK;
	struct received *r;
	received_free(h->current);
	h->current = NULL;
	if (expect && !h->expecting)
		h->answered_ms = clock_mono_ms();
	h->expecting = expect;
	while (!(r = TAILQ_FIRST(&h->queue)) && h->result == HOME_OK && result == HOME_OK)
		result = turn(h);
	if (result == HOME_OK && h->interrupted)
		result = home_fail(h, HOME_INTERRUPTED, "interrupted");
	if (!r || result != HOME_OK)
		return result != HOME_OK ? result : h->result;
	TAILQ_REMOVE(&h->queue, r, next);
	h->current = r;
	*out = &r->message;
	return HOME_OK;
}

void home_listen(struct home *h, void (*other)(void *context, const struct message *m), void *context)
{
	h->other = other;
	h->other_context = context;
}

/* The token of an answer; 0: it is no answer to a query. */
static uint64_t token_of(const struct message *m)
{
	switch (m->kind) {
	case MESSAGE_REQUESTS_PAGE: return m->requests_page.page.token;
	case MESSAGE_USERS_PAGE: return m->users_page.page.token;
	case MESSAGE_DIGEST_PAGE: return m->digest_page.page.token;
	case MESSAGE_PENDING_PAGE: return m->pending_page.page.token;
	case MESSAGE_DECISION_RESULT: return m->decision_result.page.token;
	case MESSAGE_HELLO:
	case MESSAGE_SETUP_REQUEST:
	case MESSAGE_SETUP_RESPONSE:
	case MESSAGE_PING:
	case MESSAGE_PONG:
	case MESSAGE_CLOSE:
	case MESSAGE_PROCESS_INDICATION:
	case MESSAGE_REQUESTS_QUERY:
	case MESSAGE_USERS_QUERY:
	case MESSAGE_DIGEST_QUERY:
	case MESSAGE_PENDING_QUERY:
	case MESSAGE_DECISION: break;
	}
	return 0;
}

enum home_result home_ask(struct home *h, const struct message *query, enum message_kind kind,
			  const struct message **out)
{
	uint64_t until = clock_mono_ms() + OTHERS_PATIENCE * 1000ull * h->config->timeout_s;
	home_send(h, query);
	for (;;) {
		enum home_result result = home_receive(h, true, out);
		if (result != HOME_OK || ((*out)->kind == kind && token_of(*out) == h->token))
			return result;
		if (clock_mono_ms() >= until)
			return home_fail(h, HOME_UNUSABLE, "other messages came for long, and no answer");
		if (h->other)
			h->other(h->other_context, *out);
	}
}
