#include "tests/unit/net_sides.h"

#include <openssl/err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/clock.h"
#include "common/frame.h"
#include "common/log.h"

struct pki_leaf police_leaf;
struct tls_identity *police_identity;
struct tls_trust *fire_trust;
struct tls_context *server_tls, *client_tls, *stranger_tls;
static struct tls_identity *fire_identity, *stranger_identity;
static struct tls_trust *police_trust;

struct loop *loop;
struct listener *listener;

/* --- one end of a connection --- */

struct side sides[MAX_SIDES], clients[MAX_SIDES];
size_t n_sides;
bool refuse_all;

static void opened(struct conn *c, void *context)
{
	struct side *s = context;
	assert_ptr_equal(s->c, c);
	assert_int_equal(s->ended, 0);
	s->opened++;
	if (s->on_opened)
		s->on_opened(s);
}

static void frame(struct conn *c, const uint8_t *payload, size_t length, void *context)
{
	struct side *s = context;
	(void)c;
	assert_int_equal(s->ended, 0);
	s->in_order = (s->frames == 0 || s->in_order) && payload[0] == (uint8_t)s->frames;
	s->frames++;
	s->bytes += length;
	s->last_byte = payload[length - 1];
	if (s->on_frame)
		s->on_frame(s, length);
}

static void bad_frame(struct conn *c, enum conn_frame_fault fault, uint32_t length, void *context)
{
	struct side *s = context;
	(void)c;
	s->faults++;
	s->fault = fault;
	s->fault_length = length;
	if (s->on_fault)
		s->on_fault(s);
}

static void ended(struct conn *c, enum conn_end end, const char *why, void *context)
{
	struct side *s = context;
	assert_ptr_equal(s->c, c);
	s->ended++;
	s->end = end;
	s->c = NULL;
	snprintf(s->why, sizeof s->why, "%s", why);
}

static void drained(struct conn *c, void *context)
{
	struct side *s = context;
	assert_false(conn_is_choked(c));
	assert_int_equal(conn_queued(c), 0);
	assert_int_equal(s->ended, 0);
	s->drained++;
}

const struct conn_handlers handlers = { opened, frame, bad_frame, ended, drained };

void *accepted(struct conn *c, void *context)
{
	(void)context;
	if (refuse_all || n_sides == MAX_SIDES)
		return NULL;
	struct side *s = &sides[n_sides++];
	s->c = c;
	return s;
}

struct conn_settings settings = { .handshake_timeout_ms = 10000, .frame_timeout_ms = 10000,
				  .drain_timeout_ms = 10000, .pause_at_bytes = 1 << 20,
				  .max_queued_bytes = 16 << 20 };

void listen_at(const char *address, uint32_t max_connections)
{
	struct error e;
	struct listener_settings ls = { server_tls, max_connections, settings, &handlers, accepted, NULL };
	if (listener_new(loop, address, 0, &ls, &listener, &e) != OK)
		fail_msg("%s", e.text);
}

struct side *connect_to(struct tls_context *tls, const char *host, uint16_t port,
			void (*on_opened)(struct side *))
{
	struct side *s = clients;
	while (s->c || s->ended)
		s++;
	s->on_opened = on_opened;
	s->c = conn_connect(loop, tls, host, port, &settings, &handlers, s);
	assert_non_null(s->c);
	return s;
}

struct side *connect_client(void (*on_opened)(struct side *))
{
	if (!listener)
		listen_at("127.0.0.1", 100);
	return connect_to(client_tls, "127.0.0.1", listener_port(listener), on_opened);
}

/* --- waiting --- */

static struct loop_timer *poll_timer;
static bool (*wanted)(void);
static uint64_t give_up_at;

static void poll_now(void *context)
{
	(void)context;
	if ((wanted && wanted()) || clock_mono_ms() >= give_up_at)
		loop_stop(loop);
	else
		loop_timer_set(poll_timer, 1);
}

bool run_for(uint64_t ms, bool (*until)(void))
{
	wanted = until;
	give_up_at = clock_mono_ms() + ms;
	loop_timer_set(poll_timer, 0);
	assert_int_equal(loop_run(loop), OK);
	return until && until();
}

void let_it_be(void)
{
	run_for(100, NULL);
}

bool both_open(void)
{
	return clients[0].opened && sides[0].opened;
}

bool both_ended(void)
{
	return clients[0].ended && sides[0].ended;
}

bool client_ended(void)
{
	return clients[0].ended;
}

bool server_accepted(void)
{
	return n_sides > 0;
}

bool server_ended(void)
{
	return sides[0].ended;
}

bool server_faulted(void)
{
	return sides[0].faults;
}

bool server_has_frame(void)
{
	return sides[0].frames >= 1;
}

bool client_has_frame(void)
{
	return clients[0].frames >= 1;
}

/* --- sending --- */

void send_bytes(struct side *s, const void *bytes, size_t n)
{
	assert_int_equal(conn_send(s->c, bytes, n), OK);
}

void send_frame(struct side *s, uint8_t first, size_t length)
{
	uint8_t *bytes = malloc(FRAME_HEADER_SIZE + length);
	frame_header(bytes, (uint32_t)length);
	memset(bytes + FRAME_HEADER_SIZE, 'x', length);
	bytes[FRAME_HEADER_SIZE] = first;
	send_bytes(s, bytes, FRAME_HEADER_SIZE + length);
	free(bytes);
}

void send_one(struct side *s)
{
	send_frame(s, 0, 10);
}

void send_ten(struct side *s)
{
	for (uint8_t i = 0; i < 10; i++)
		send_frame(s, i, 10);
}

void send_header(struct side *s, uint32_t length)
{
	uint8_t head[FRAME_HEADER_SIZE];
	frame_header(head, length);
	send_bytes(s, head, sizeof head);
}

void send_too_long(struct side *s)
{
	send_one(s);
	send_header(s, FRAME_HELLO_MAX + 1);
	send_bytes(s, "abc", 3);
}

/* --- peers that are not ours --- */

int tcp_connect(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int on = 1;
	if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
		abort();
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return fd;
}

int bare;

bool bare_ended(void)
{
	char scrap[100];
	return recv(bare, scrap, sizeof scrap, MSG_DONTWAIT) == 0;
}

static void *raw_thread(void *context)
{
	struct raw *r = context;
	SSL_CTX *c = pki_foreign_client(&police_leaf);
	int small = 65536;
	r->fd = tcp_connect(r->port);
	setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	r->ssl = SSL_new(c);
	SSL_set_fd(r->ssl, r->fd);
	if (SSL_connect(r->ssl) != 1)
		abort();
	r->script(r);
	close(r->fd);
	SSL_free(r->ssl);
	SSL_CTX_free(c);
	r->done = true;
	return NULL;
}

void raw_start(struct raw *r, void (*script)(struct raw *))
{
	if (!listener)
		listen_at("127.0.0.1", 100);
	*r = (struct raw){ .port = listener_port(listener), .script = script };
	assert_int_equal(pthread_create(&r->thread, NULL, raw_thread, r), 0);
}

void raw_wait(const struct raw *r)
{
	while (!r->go)
		usleep(1000);
}

void raw_read_all(struct raw *r)
{
	char scrap[16384];
	int n;
	while ((n = SSL_read(r->ssl, scrap, sizeof scrap)) > 0)
		r->got += (size_t)n;
	r->last_error = SSL_get_error(r->ssl, n);
}

void echo(struct side *s, size_t length)
{
	send_frame(s, (uint8_t)(s->frames - 1), length);
}

bool ten_back(void)
{
	return clients[0].frames == 10;
}

struct raw raw;

bool raw_done(void)
{
	return raw.done;
}

/* --- fixtures --- */

int make_loop(void **state)
{
	struct error e;
	(void)state;
	memset(sides, 0, sizeof sides);
	memset(clients, 0, sizeof clients);
	n_sides = 0;
	refuse_all = false;
	listener = NULL;
	settings = (struct conn_settings){ .handshake_timeout_ms = 10000, .frame_timeout_ms = 10000,
					   .drain_timeout_ms = 10000, .pause_at_bytes = 1 << 20,
					   .max_queued_bytes = 16 << 20 };
	ERR_clear_error();
	if (loop_new(&loop, &e) != OK)
		return -1;
	poll_timer = loop_timer_new(loop, poll_now, NULL);
	return poll_timer ? 0 : -1;
}

static bool all_over(void)
{
	for (size_t i = 0; i < MAX_SIDES; i++) {
		if (sides[i].c || clients[i].c)
			return false;
	}
	return true;
}

/* libevent loses a buffer whose callback is still to come when the loop goes: ASan would see it. */
int free_loop(void **state)
{
	for (size_t i = 0; i < MAX_SIDES; i++) {
		if (sides[i].c)
			conn_kill(sides[i].c, "the test is over");
		if (clients[i].c)
			conn_kill(clients[i].c, "the test is over");
	}
	return run_for(PATIENCE_MS, all_over) ? drop_loop(state) : -1;
}

int drop_loop(void **state)
{
	(void)state;
	loop_timer_free(poll_timer);
	listener_free(listener);
	loop_free(loop);
	return 0;
}

int make_certificates(void **state)
{
	static const char who[] = "police", whom[] = "fire";
	struct error e;
	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_LEVEL_ERROR);
	if (pki_setup(state) != 0)
		return -1;
	struct pki_ca *police = pki_ca_new("police", NULL, 100), *fire_ca = pki_ca_new("fire", NULL, 100);
	police_leaf = pki_issue_named(police, "acms-police", POLICE);
	struct pki_leaf fire_leaf = pki_issue_named(fire_ca, "acms-fire", FIRE);
	struct pki_leaf stranger_leaf = pki_issue_named(fire_ca, "stranger", POLICE);
	police_identity = pki_identity(&police_leaf);
	fire_identity = pki_identity(&fire_leaf);
	stranger_identity = pki_identity(&stranger_leaf);
	police_trust = pki_trust(police->file, NULL);
	fire_trust = pki_trust(fire_ca->file, NULL);
	struct tls_party client = { STR(POLICE), police_trust, who };
	struct tls_party server = { STR(FIRE), fire_trust, whom };
	return tls_server_new(fire_identity, &client, 1, &server_tls, &e) != OK ||
	       tls_client_new(police_identity, &server, &client_tls, &e) != OK ||
	       tls_client_new(stranger_identity, &server, &stranger_tls, &e) != OK;
}

int free_certificates(void **state)
{
	tls_context_free(server_tls);
	tls_context_free(client_tls);
	tls_context_free(stranger_tls);
	tls_identity_free(police_identity);
	tls_identity_free(fire_identity);
	tls_identity_free(stranger_identity);
	tls_trust_free(police_trust);
	tls_trust_free(fire_trust);
	return pki_teardown(state);
}
