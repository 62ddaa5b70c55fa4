#include "acmc/client.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/clock.h"
#include "common/exchange.h"
#include "common/message.h"
#include "common/net.h"
#include "common/session.h"
#include "common/text.h"

struct client {
	const struct acmc_config *config;
	struct parts *parts;
	struct request_id base;
	struct answers *answers;
	const struct client_watcher *watcher;
	struct loop *loop;
	struct loop_timer *tick;
	struct conn *conn;
	enum session_state session;
	struct limits server;
	size_t next_part, in_flight;
	uint64_t give_up_ms;  /* clock_mono_ms */
	enum status status;
	struct error *error;
};

enum { TICK_MS = 100, CONNECT_TIMEOUT_MS = 10000 };

static void finish(struct client *c, enum status status)
{
	c->status = status;
	loop_stop(c->loop);
}

static void fail(struct client *c, enum status status, const char *text)
{
	if (c->status == OK && c->answers->missing > 0)
		finish(c, error_set(c->error, status, "%s", text));
	else
		loop_stop(c->loop);
}

static void fail_protocol(struct client *c, const char *what)
{
	char text[600];
	snprintf(text, sizeof text, "the server breaks the protocol: %s", what);
	fail(c, ERR_SYSTEM, text);
}

static struct limits own_limits(void)
{
	return LIMITS_DEFAULT;
}

static void on_opened(struct conn *conn, void *context)
{
	struct client *c = context;
	struct limits own = own_limits();
	exchange_send_hello(conn, c->config->mc_system_id, &own, "acmc " ACX_VERSION);
}

static void send_parts(struct client *c)
{
	while (c->next_part < c->parts->n && c->in_flight < c->server.max_requests_in_flight) {
		struct message m = { .kind = MESSAGE_SETUP_REQUEST };
		struct arena *a = arena_new(0);
		if (!a || !parts_request(c->parts, c->next_part, a, &m.request)) {
			arena_free(a);
			fail(c, ERR_MEMORY, "out of memory");
			return;
		}
		exchange_send(c->conn, &m);
		arena_free(a);
		c->next_part++;
		c->in_flight++;
	}
}

static void start(struct client *c, struct str home)
{
	struct limits own = own_limits();
	size_t too_large;
	char text[160];
	if (c->parts->n_targets > c->server.max_mc_system_ids) {
		snprintf(text, sizeof text, "the server takes %u MC systems in one request, not %zu",
			 c->server.max_mc_system_ids, c->parts->n_targets);
		fail(c, ERR_INPUT, text);
		return;
	}
	if (!parts_split(c->parts, c->base, &c->server, &own, &too_large)) {
		snprintf(text, sizeof text, "line %u: this user has more, or longer, MC service IDs than the "
			 "server takes", too_large < c->parts->users->n ?
			 c->parts->users->items[too_large].line : 0);
		fail(c, ERR_INPUT, text);
		return;
	}
	if (!answers_init(c->answers, c->parts->arena, c->parts, home)) {
		fail(c, ERR_MEMORY, "out of memory");
		return;
	}
	c->watcher->started(c->watcher->context, c->answers);
	send_parts(c);
}

static void on_hello(struct client *c, const struct hello *hello)
{
	char detail[256];
	uint32_t version;
	struct str expected = c->config->mc_system_id.ptr ? c->config->mc_system_id :
							    hello->mc_system_id;
	enum cause cause = hello_check(hello, expected, true, &version, detail, sizeof detail);
	if (cause != CAUSE_NO_CAUSE) {
		fail(c, ERR_TLS, detail);
		return;
	}
	c->server = hello->limits;
	conn_set_max_frame(c->conn, own_limits().max_frame_bytes);
	start(c, hello->mc_system_id);
}

static void on_response(struct client *c, const struct setup_response *response)
{
	size_t part;
	bool complete;
	char system[300], text[400];
	const char *fault = answers_fault(c->answers, response);
	if (fault) {
		snprintf(text, sizeof text, "%s (for %s)", fault,
			 text_escape(response->mc_system_id, system, sizeof system));
		fail_protocol(c, text);
		return;
	}
	if (!answers_take(c->answers, response, &part, &complete))
		return;
	c->give_up_ms = clock_mono_ms() + c->config->timeout_s * 1000ull;
	c->watcher->answered(c->watcher->context, c->answers, part, response);
	if (complete)
		c->in_flight--;
	if (c->answers->missing == 0) {
		exchange_send_close(c->conn, CAUSE_GOING_AWAY, "");
		conn_close(c->conn);
	} else if (c->session == SESSION_OPEN) {
		send_parts(c);
	}
}

static void on_close_message(struct client *c, const struct close_message *m)
{
	char detail[600], text[800], label[CAUSE_LABEL_SIZE];
	if (c->answers->missing == 0 && c->parts->n > 0)
		return;
	snprintf(text, sizeof text, "the server closes: %s: %s", cause_label(m->cause, label),
		 text_escape(m->detail.len ? m->detail : str_of(cause_text(m->cause)), detail,
			     sizeof detail));
	if (c->in_flight == 0)
		fail(c, ERR_SYSTEM, text);
	else
		error_set(c->error, ERR_SYSTEM, "%s", text); /* answers may still come */
}

static void on_message(struct client *c, const struct message *m)
{
	struct session_step step = session_step(SESSION_CLIENT, c->session, session_event_of(m->kind));
	c->session = step.next;
	switch (step.action) {
	case SESSION_DO_OPEN:
		on_hello(c, &m->hello);
		break;
	case SESSION_DO_DELIVER:
		on_response(c, &m->response);
		break;
	case SESSION_DO_PONG:
		exchange_send(c->conn, &(struct message){ .kind = MESSAGE_PONG, .token = m->token });
		break;
	case SESSION_DO_DRAIN:
		on_close_message(c, &m->close);
		break;
	case SESSION_DO_REFUSE:
		fail_protocol(c, "a message out of place");
		break;
	case SESSION_DO_END:
	case SESSION_DO_NOTHING:
		break;
	}
}

static void on_frame(struct conn *conn, const uint8_t *payload, size_t length, void *context)
{
	struct client *c = context;
	if (c->status != OK)
		return; /* what follows nonsense is not believed either */
	struct arena *a = arena_new(message_budget(length));
	struct message m;
	struct error e = { ERR_MEMORY, "out of memory" };
	enum cause why;
	(void)conn;
	if (a && message_decode(a, payload, length, &m, &why, &e) == OK)
		on_message(c, &m);
	else if (e.status == ERR_MEMORY)
		fail(c, ERR_MEMORY, e.text);
	else
		fail_protocol(c, e.text);
	arena_free(a);
}

static void on_bad_frame(struct conn *conn, enum conn_frame_fault fault, uint32_t length, void *context)
{
	(void)fault, (void)length, (void)context;
	conn_kill(conn, "the server breaks the protocol: a frame of wrong size");
}

static void on_ended(struct conn *conn, enum conn_end end, const char *text, void *context)
{
	struct client *c = context;
	struct error said = *c->error; /* why the server closes, if it told */
	(void)conn;
	c->conn = NULL;
	if (said.text[0])
		fail(c, ERR_SYSTEM, said.text);
	else
		fail(c, end == CONN_END_REFUSED ? ERR_TLS : ERR_SYSTEM, text);
}

static const struct conn_handlers handlers = {
	.opened = on_opened,
	.frame = on_frame,
	.bad_frame = on_bad_frame,
	.ended = on_ended,
};

static void on_tick(void *context)
{
	struct client *c = context;
	char text[80];
	if (clock_mono_ms() >= c->give_up_ms) {
		snprintf(text, sizeof text, "no answer for %u seconds", c->config->timeout_s);
		fail(c, ERR_SYSTEM, text);
		return;
	}
	c->watcher->waiting(c->watcher->context, c->answers);
	loop_timer_set(c->tick, TICK_MS);
}

static void on_interrupt(void *context)
{
	fail(context, ERR_SYSTEM, "interrupted");
}

static enum status make_tls(const struct acmc_config *config, struct tls_identity **identity,
			    struct tls_trust **trust, struct tls_context **tls, struct error *e)
{
	enum status status =
		tls_identity_load(config->certificate.ptr, config->key.ptr, identity, e);
	if (status == OK)
		status = tls_trust_load(config->trust_anchors.items, config->trust_anchors.n,
					config->crls.items, config->crls.n, trust, e);
	if (status != OK)
		return status;
	struct tls_party party = { config->server_certificate, *trust, config };
	return tls_client_new(*identity, &party, tls, e);
}

static enum status talk(struct client *c, struct tls_context *tls, struct error *e)
{
	struct conn_settings settings = { CONNECT_TIMEOUT_MS, CONNECT_TIMEOUT_MS, CONNECT_TIMEOUT_MS,
					  SIZE_MAX };
	enum status status = loop_signal(c->loop, SIGINT, on_interrupt, c, e);
	if (status == OK)
		status = loop_signal(c->loop, SIGTERM, on_interrupt, c, e);
	if (status != OK)
		return status;
	c->tick = loop_timer_new(c->loop, on_tick, c);
	c->conn = c->tick ? conn_connect(c->loop, tls, c->config->host.ptr, (uint16_t)c->config->port,
					 &settings, &handlers, c) : NULL;
	if (!c->conn)
		return error_set(e, ERR_MEMORY, "out of memory");
	loop_timer_set(c->tick, TICK_MS);
	c->give_up_ms = clock_mono_ms() + c->config->timeout_s * 1000ull;
	if (loop_run(c->loop) != OK)
		return error_set(e, ERR_SYSTEM, "the event loop failed");
	return c->status;
}

enum status client_run(const struct acmc_config *config, struct parts *parts,
		       struct request_id base, struct answers *answers,
		       const struct client_watcher *watcher, struct error *e)
{
	struct client c = { .config = config, .parts = parts, .base = base, .answers = answers,
			    .watcher = watcher, .error = e };
	struct tls_identity *identity = NULL;
	struct tls_trust *trust = NULL;
	struct tls_context *tls = NULL;
	*e = (struct error){ OK, "" };
	*answers = (struct answers){ .parts = parts, .missing = 1 }; /* until it is known what is */
	signal(SIGPIPE, SIG_IGN);
	enum status status = make_tls(config, &identity, &trust, &tls, e);
	if (status != OK && status != ERR_MEMORY)
		status = ERR_CONFIG;
	if (status == OK)
		status = loop_new(&c.loop, e);
	if (status == OK)
		status = talk(&c, tls, e);
	loop_timer_free(c.tick);
	loop_free(c.loop);
	tls_context_free(tls);
	tls_trust_free(trust);
	tls_identity_free(identity);
	return status;
}
