#include <signal.h>
#include <stdio.h>
#include "acms/commands.h"
#include "acms/live.h"
#include "common/exchange.h"
#include "common/message.h"
#include "common/net.h"
#include "common/session.h"
#include "common/text.h"

/*
 * The health check: a connection to our own listener with our own certificate, Hello, and a Ping that comes
 * back. It takes the same way through accepting, TLS and the event loop as everybody else's.
 */
struct health {
	struct loop *loop;
	const struct config *config;
	bool good;
	char why[512];
};

enum { HEALTH_TIMEOUT_MS = 5000, HEALTH_TOKEN = 1 };

static void on_opened(struct conn *c, void *context)
{
	struct health *h = context;
	exchange_send_hello(c, h->config->mc_system_id, &h->config->limits, "acms health " ACX_VERSION);
}

static void on_frame(struct conn *c, const uint8_t *payload, size_t length, void *context)
{
	struct health *h = context;
	struct arena *a = arena_new(message_budget(length));
	struct message m;
	struct error e = { ERR_MEMORY, "out of memory" };
	enum cause why;
	if (!a || message_decode(a, payload, length, &m, &why, &e) != OK) {
		text_format(h->why, sizeof h->why, "%s", e.text);
		loop_stop(h->loop);
	} else if (m.kind == MESSAGE_HELLO) {
		exchange_send(c, &(struct message){ .kind = MESSAGE_PING, .token = HEALTH_TOKEN });
	} else if (m.kind == MESSAGE_PONG && m.token == HEALTH_TOKEN) {
		h->good = true;
		conn_close(c);
	} else if (m.kind == MESSAGE_CLOSE) {
		text_escape(m.close.detail, h->why, sizeof h->why);
	}
	arena_free(a);
}

static void on_bad_frame(struct conn *c, enum conn_frame_fault fault, uint32_t length, void *context)
{
	(void)fault;
	(void)length;
	(void)context;
	conn_kill(c, "the answer is not ACX");
}

static void on_ended(struct conn *c, enum conn_end end, const char *text, void *context)
{
	struct health *h = context;
	(void)c;
	(void)end;
	if (!h->why[0])
		text_escape(str_of(text), h->why, sizeof h->why);
	loop_stop(h->loop);
}

static const struct conn_handlers health_handlers = {
	.opened = on_opened,
	.frame = on_frame,
	.bad_frame = on_bad_frame,
	.ended = on_ended,
};

static void on_timeout(void *context)
{
	struct health *h = context;
	text_format(h->why, sizeof h->why, "no answer in %d seconds", HEALTH_TIMEOUT_MS / 1000);
	loop_stop(h->loop);
}

/* Where a listener on all addresses can be reached. */
static const char *reachable(struct str address)
{
	if (str_eq(address, STR("::")) || str_eq(address, STR("0.0.0.0")))
		return "127.0.0.1";
	return address.ptr;
}

static enum status ask(struct health *h, struct tls_context *tls, struct error *e)
{
	const struct listen_address *to = &h->config->listen[0];
	struct conn_settings settings = { .handshake_timeout_ms = HEALTH_TIMEOUT_MS,
					  .frame_timeout_ms = HEALTH_TIMEOUT_MS,
					  .drain_timeout_ms = 1000,
					  .pause_at_bytes = FRAME_BYTES_MIN,
					  .max_queued_bytes = 2 * FRAME_BYTES_MIN };
	struct loop_timer *timer = loop_timer_new(h->loop, on_timeout, h);
	enum status status = error_set(e, ERR_MEMORY, "out of memory");
	if (timer && conn_connect(h->loop, tls, reachable(to->address),
				  (uint16_t)to->port, &settings,
				  &health_handlers, h)) {
		loop_timer_set(timer, HEALTH_TIMEOUT_MS);
		status = loop_run(h->loop);
		if (status == OK && !h->good)
			status = error_set(e, ERR_SYSTEM, "%s port %u: %s", reachable(to->address),
					   to->port, h->why);
	}
	loop_timer_free(timer);
	return status;
}

int health_command(int argc, char **argv)
{
	const char *file = config_option(argc, argv,
					 "Connects to the running server and waits for its answer. "
					 "Exit code 0: it answers; 1: it does not.");
	struct config *config = config_load(file, stderr);
	struct health h = { .config = config };
	struct tls_identity *identity = NULL;
	struct tls_context *tls = NULL;
	struct error e = { OK, "" };
	enum status status = ERR_CONFIG;
	signal(SIGPIPE, SIG_IGN);
	if (!config)
		goto out;
	status = tls_identity_load(config->certificate.ptr, config->key.ptr, &identity, &e);
	if (status == OK)
		status = tls_self_client_new(identity, &tls, &e);
	if (status == OK)
		status = loop_new(&h.loop, &e);
	if (status == OK)
		status = ask(&h, tls, &e);
	if (status == OK)
		printf("%.*s answers\n", STR_ARG(config->mc_system_id));
	else
		fprintf(stderr, "acms: the server does not answer: %s\n", e.text);
out:
	loop_free(h.loop);
	tls_context_free(tls);
	tls_identity_free(identity);
	config_free(config);
	return status == OK ? EXIT_GOOD : EXIT_BAD;
}
