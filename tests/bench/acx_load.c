/*
 * Load for an acms, in the place of an ACMC: the project's own framing, TLS and event loop (common/), one thread.
 *
 * acx_load setup    a given number of requests in flight, for some time; each answer is waited for
 * acx_load flood    requests at a fixed rate, whose answers nobody waits for
 * acx_load connect  new connections, one after the other on each of --connections; done when both Hellos are through
 * acx_load idle     opens --connections, says so, and keeps them until SIGTERM
 */
#include <argp.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include "common/arena.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/exchange.h"
#include "common/message.h"
#include "common/net.h"
#include "common/session.h"
#include "tests/bench/measure.h"
#include "tests/bench/users.h"

enum mode { MODE_SETUP, MODE_FLOOD, MODE_CONNECT, MODE_IDLE };
enum { TARGETS_MAX = 1000, USERS_MAX = 1000, SLOTS_MAX = 65536, FLOOD_TICK_MS = 10 };

struct options {
	enum mode mode;
	const char *host, *certificate, *key, *anchors, *name;
	unsigned port, in_flight, connections, users, rate;
	double seconds;
	uint64_t first, most;
	int scattered;
	struct str targets[TARGETS_MAX];
	size_t n_targets;
} o = { .host = "127.0.0.1", .name = "DNS:localhost", .in_flight = 1, .connections = 1, .users = 1,
	.seconds = 1, .most = UINT64_MAX, .scattered = 1 };

struct client {
	struct conn *conn;
	enum session_state session;
	unsigned in_flight, room;
};

struct slot {
	struct client *client;
	uint64_t sent_ns;
	uint32_t missing;
	bool failed;
};

static struct loop *loop;
static struct tls_context *tls;
static struct client *clients;
static struct slot *slots;
static uint32_t *free_slots, n_free;
static unsigned opened, ended, handshaking;
static uint64_t next_user, requests, sent_bytes, received_bytes, start_ns, last_ns;
static size_t done, failed;
static struct latencies latencies;
static struct loop_timer *tick;
static uint8_t run_id[2];

static void die(const char *what)
{
	fprintf(stderr, "acx_load: %s\n", what);
	exit(1);
}

static bool time_over(void)
{
	return start_ns && (double)(now_ns() - start_ns) >= o.seconds * 1e9;
}

/* Ordered in time, as PROTOCOL.md recommends, and the slot at its end. */
static struct request_id make_id(uint32_t slot)
{
	uint8_t random[10] = { run_id[0], run_id[1] };
	for (int i = 0; i < 4; i++) {
		random[2 + i] = (uint8_t)(requests >> (24 - 8 * i));
		random[6 + i] = (uint8_t)(slot >> (24 - 8 * i));
	}
	requests++;
	return request_id_make(clock_wall_ms(), random);
}

static uint32_t slot_of(const struct request_id *id)
{
	const uint8_t *b = id->bytes + 12;
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void make_request(struct setup_request *r, uint32_t slot)
{
	static struct bench_user users[USERS_MAX];
	static struct str mc_ids[USERS_MAX];
	static struct service_id_entry entries[USERS_MAX * BENCH_SERVICES];
	for (unsigned i = 0; i < o.users; i++) {
		bench_user(&users[i], next_user++, o.scattered);
		mc_ids[i] = str_of(users[i].mc_id);
		for (int s = 0; s < BENCH_SERVICES; s++)
			entries[BENCH_SERVICES * i + (unsigned)s] =
				(struct service_id_entry){ mc_ids[i], s + 1, str_of(users[i].service_ids[s]) };
	}
	*r = (struct setup_request){ .request_id = make_id(slot),
				     .mc_system_ids = o.targets,
				     .n_mc_system_ids = o.n_targets,
				     .mc_ids = mc_ids,
				     .n_mc_ids = o.users,
				     .service_ids = entries,
				     .n_service_ids = BENCH_SERVICES * o.users,
				     .grouped = true };
}

static void send_message(struct client *c, const struct message *m)
{
	sent_bytes += message_size(m);
	exchange_send(c->conn, m);
}

static void send_request(struct client *c)
{
	struct message m = { .kind = MESSAGE_SETUP_REQUEST };
	uint32_t slot = free_slots[--n_free];
	make_request(&m.request, slot);
	slots[slot] = (struct slot){ c, now_ns(), (uint32_t)o.n_targets, false };
	c->in_flight++;
	send_message(c, &m);
}

static void finish(void)
{
	char more[200];
	size_t bytes = done + failed ? done + failed : 1;
	snprintf(more, sizeof more, "\"sent_bytes\": %.1f, \"received_bytes\": %.1f", (double)sent_bytes / (double)bytes,
		 (double)received_bytes / (double)bytes);
	report(done, failed, (last_ns ? last_ns : now_ns()) - start_ns, &latencies, more);
	loop_stop(loop);
}

static void send_more(struct client *c)
{
	while (c->in_flight < c->room && n_free > 0 && requests < o.most && !time_over())
		send_request(c);
}

static void check_finished(void)
{
	unsigned waiting = 0;
	for (unsigned i = 0; i < o.connections; i++)
		waiting += clients[i].in_flight;
	if (waiting == 0 && (time_over() || requests >= o.most))
		finish();
}

static void start_all(void)
{
	start_ns = now_ns();
	sent_bytes = received_bytes = 0;
	for (unsigned i = 0; i < o.connections; i++) {
		clients[i].room = o.in_flight / o.connections;
		send_more(&clients[i]);
	}
}

static void on_flood(void *context)
{
	static double owed;
	(void)context;
	if (time_over()) {
		done = requests;
		finish();
		return;
	}
	for (owed += o.rate * FLOOD_TICK_MS / 1000.0; owed >= 1; owed--) {
		if (n_free > 0)
			send_request(&clients[0]);
	}
	loop_timer_set(tick, FLOOD_TICK_MS);
}

static void connect_one(struct client *c);

static void connect_next(void)
{
	static unsigned next;
	while (next < o.connections && handshaking < o.in_flight) {
		handshaking++;
		connect_one(&clients[next++]);
	}
}

static void on_open(struct client *c)
{
	opened++;
	if (o.mode == MODE_CONNECT) {
		done++;
		last_ns = now_ns();
		conn_close(c->conn);
	} else if (o.mode == MODE_IDLE) {
		handshaking--;
		connect_next();
		if (opened == o.connections)
			report(opened, failed, now_ns() - start_ns, NULL, "");
	} else if (opened < o.connections) {
		return;
	} else if (o.mode == MODE_SETUP) {
		start_all();
	} else {
		start_ns = now_ns();
		on_flood(NULL);
	}
}

static void on_response(const struct setup_response *r)
{
	uint32_t number = slot_of(&r->request_id);
	struct slot *slot = number < SLOTS_MAX ? &slots[number] : NULL;
	if (!slot || slot->missing == 0)
		die("an answer that nobody waits for");
	if (!r->result && !slot->failed && o.mode == MODE_SETUP) {
		if (failed++ == 0)
			fprintf(stderr, "acx_load: %.*s: %s: %.*s\n", STR_ARG(r->mc_system_id),
				cause_name(r->cause), STR_ARG(r->detail));
		slot->failed = true;
	}
	if (--slot->missing > 0)
		return;
	last_ns = now_ns();
	done += !slot->failed;
	latency_add(&latencies, last_ns - slot->sent_ns);
	free_slots[n_free++] = number;
	slot->client->in_flight--;
	if (o.mode == MODE_SETUP) {
		send_more(slot->client);
		if (slot->client->in_flight == 0)
			check_finished();
	}
}

static void on_message(struct client *c, const struct message *m)
{
	if (m->kind == MESSAGE_PROCESS_INDICATION)
		return;
	struct session_step step = session_step(SESSION_CLIENT, c->session, session_event_of(m->kind));
	c->session = step.next;
	if (step.action == SESSION_DO_OPEN) {
		conn_set_max_frame(c->conn, FRAME_BYTES_MAX);
		on_open(c);
	} else if (step.action == SESSION_DO_DELIVER && m->kind == MESSAGE_SETUP_RESPONSE) {
		on_response(&m->response);
	} else if (step.action == SESSION_DO_PONG) {
		exchange_send(c->conn, &(struct message){ .kind = MESSAGE_PONG, .token = m->token });
	} else if (m->kind == MESSAGE_CLOSE && o.mode != MODE_CONNECT) {
		fprintf(stderr, "acx_load: %s: %.*s\n", cause_name(m->close.cause), STR_ARG(m->close.detail));
		die("the server closes");
	}
}

static void on_frame(struct conn *conn, const uint8_t *payload, size_t length, void *context)
{
	struct message m;
	enum cause why;
	struct error e;
	struct arena *a = arena_new(message_budget(length));
	(void)conn;
	received_bytes += length + 4;
	if (!a || message_decode(a, payload, length, &m, &why, &e) != OK)
		die(e.text);
	on_message(context, &m);
	arena_free(a);
}

static void on_opened(struct conn *conn, void *context)
{
	struct limits limits = LIMITS_DEFAULT;
	struct message m = { .kind = MESSAGE_HELLO,
			     .hello = { .version_min = 2, .version_max = 2, .limits = limits,
					.software = STR("acx_load") } };
	(void)context;
	exchange_send(conn, &m);
}

static void on_bad_frame(struct conn *conn, enum conn_frame_fault fault, uint32_t length, void *context)
{
	(void)conn, (void)fault, (void)length, (void)context;
	die("a frame of wrong size");
}

static void on_ended(struct conn *conn, enum conn_end end, const char *text, void *context)
{
	struct client *c = context;
	(void)conn, (void)end;
	c->conn = NULL;
	if (o.mode != MODE_CONNECT || c->session == SESSION_WAIT_HELLO) {
		fprintf(stderr, "acx_load: %s\n", text);
		die("a connection ended");
	}
	if (!time_over())
		connect_one(c);
	else if (++ended == o.connections)
		finish();
}

static const struct conn_handlers handlers = { .opened = on_opened, .frame = on_frame, .bad_frame = on_bad_frame, .ended = on_ended };

static void connect_one(struct client *c)
{
	static const struct conn_settings settings = { .handshake_timeout_ms = 60000, .frame_timeout_ms = 60000, .drain_timeout_ms = 60000,
							.pause_at_bytes = SIZE_MAX, .max_queued_bytes = SIZE_MAX };
	c->session = SESSION_WAIT_HELLO;
	c->conn = conn_connect(loop, tls, o.host, (uint16_t)o.port, &settings, &handlers, c);
	if (!c->conn)
		die("out of memory");
}

static void on_stop(void *context)
{
	(void)context;
	loop_stop(loop);
}

static void prepare_tls(void)
{
	struct tls_identity *identity;
	struct tls_trust *trust;
	struct str anchors = str_of(o.anchors);
	struct error e;
	if (tls_identity_load(o.certificate, o.key, &identity, &e) != OK ||
	    tls_trust_load(&anchors, 1, NULL, 0, &trust, &e) != OK)
		die(e.text);
	struct tls_party party = { str_of(o.name), trust, &o };
	if (tls_client_new(identity, &party, &tls, &e) != OK)
		die(e.text);
}

static void run(void)
{
	struct error e;
	if (loop_new(&loop, &e) != OK || loop_signal(loop, SIGTERM, on_stop, NULL, &e) != OK)
		die(e.text);
	clients = calloc(o.connections, sizeof *clients);
	slots = calloc(SLOTS_MAX, sizeof *slots);
	free_slots = calloc(SLOTS_MAX, sizeof *free_slots);
	tick = loop_timer_new(loop, on_flood, NULL);
	if (!clients || !slots || !free_slots || !tick)
		die("out of memory");
	while (n_free < SLOTS_MAX) {
		free_slots[n_free] = n_free;
		n_free++;
	}
	next_user = o.first;
	crypto_random(run_id, sizeof run_id);
	if (o.mode == MODE_CONNECT || o.mode == MODE_IDLE)
		start_ns = now_ns();
	if (o.mode != MODE_IDLE)
		o.in_flight = o.in_flight < o.connections ? o.connections : o.in_flight;
	connect_next();
	if (loop_run(loop) != OK)
		die("the event loop failed");
}

static void take_targets(char *text)
{
	for (char *t = strtok(text, ","); t && o.n_targets < TARGETS_MAX; t = strtok(NULL, ","))
		o.targets[o.n_targets++] = str_of(t);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	static const char *const modes[] = { "setup", "flood", "connect", "idle" };
	switch (key) {
	case 'p': o.port = (unsigned)atoi(arg); return 0;
	case 'c': o.certificate = arg; return 0;
	case 'k': o.key = arg; return 0;
	case 'a': o.anchors = arg; return 0;
	case 't': take_targets(arg); return 0;
	case 'n': o.in_flight = (unsigned)atoi(arg); return 0;
	case 'C': o.connections = (unsigned)atoi(arg); return 0;
	case 'u': o.users = (unsigned)atoi(arg); return 0;
	case 'r': o.rate = (unsigned)atoi(arg); return 0;
	case 's': o.seconds = atof(arg); return 0;
	case 'f': o.first = strtoull(arg, NULL, 10); return 0;
	case 'm': o.most = strtoull(arg, NULL, 10); return 0;
	case 'S': o.scattered = 0; return 0;
	case ARGP_KEY_ARG:
		for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
			if (strcmp(arg, modes[i]) == 0) {
				o.mode = (enum mode)i;
				return 0;
			}
		}
		return ARGP_ERR_UNKNOWN;
	case ARGP_KEY_END:
		if (!o.port || !o.certificate || !o.key || !o.anchors || o.users > USERS_MAX)
			argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "port", 'p', "PORT", 0, "Of the acms at 127.0.0.1", 0 },
		{ "certificate", 'c', "FILE", 0, NULL, 0 },
		{ "key", 'k', "FILE", 0, NULL, 0 },
		{ "anchors", 'a', "FILE", 0, NULL, 0 },
		{ "to", 't', "SYSTEM,...", 0, NULL, 0 },
		{ "in-flight", 'n', "N", 0, "Requests; with idle: handshakes at a time", 0 },
		{ "connections", 'C', "N", 0, NULL, 0 },
		{ "users", 'u', "N", 0, "In a request", 0 },
		{ "rate", 'r', "N", 0, "Requests a second of flood", 0 },
		{ "seconds", 's', "S", 0, NULL, 0 },
		{ "first", 'f', "I", 0, "Number of the first user", 0 },
		{ "most", 'm', "N", 0, "Requests", 0 },
		{ "sorted", 'S', NULL, 0, "Users in key order", 0 },
		{ 0 },
	};
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	argp_parse(&(struct argp){ options, parse, "setup|flood|connect|idle", NULL, NULL, NULL, NULL }, argc, argv,
		   0, NULL, NULL);
	prepare_tls();
	run();
	return failed > 0;
}
