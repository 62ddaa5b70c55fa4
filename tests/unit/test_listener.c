// needs: tests/unit/net_sides.c tests/unit/pki.c common/loop.c common/net.c common/net_send.c common/tls_io.c common/connect.c common/listener.c common/log_limit.c common/frame.c common/tls.c common/tls_sign.c common/cose.c common/arena.c common/cbor.c common/tls_files.c common/trusted_file.c common/tls_verify.c common/text.c common/error.c common/log.c common/clock.c
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/clock.h"
#include "common/frame.h"
#include "tests/unit/net_sides.h"

/* Connecting and listening: addresses and names, too many, no descriptors, and what one connection takes. */

/* --- connecting --- */

static uint16_t free_port(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	getsockname(fd, (struct sockaddr *)&at, &n);
	close(fd);
	return ntohs(at.sin_port);
}

static void nobody_listens(void **state)
{
	char port[16];
	uint16_t nobody = free_port();
	(void)state;
	snprintf(port, sizeof port, "port %u", nobody);
	connect_to(client_tls, "127.0.0.1", nobody, send_ten);
	wait_for(client_ended);
	assert_int_equal(clients[0].end, CONN_END_FAILED);
	assert_non_null(strstr(clients[0].why, "127.0.0.1"));
	assert_non_null(strstr(clients[0].why, port));
	assert_non_null(strstr(clients[0].why, "Connection refused"));
	assert_int_equal(clients[0].ended, 1);
}

/* Numbers need no name server, names of /etc/hosts neither; one socket serves both families. */
static void addresses_and_names(void **state)
{
	static const char *const hosts[] = { "127.0.0.1", "localhost", "::1" };
	(void)state;
	listen_at("::", 10);
	for (int i = 0; i < 3; i++) {
		memset(clients, 0, sizeof clients);
		memset(sides, 0, sizeof sides);
		n_sides = 0;
		connect_to(client_tls, hosts[i], listener_port(listener), NULL);
		if (!run_for(4000, both_open)) /* a name server would time out later */
			fail_msg("%s: '%s' '%s'", hosts[i], clients[0].why, sides[0].why);
		assert_non_null(strstr(conn_address(sides[0].c), i == 2 ? "[::1]:" : "127.0.0.1:"));
		assert_null(strstr(conn_address(sides[0].c), "ffff"));
		conn_kill(clients[0].c, "");
		wait_for(both_ended);
	}
}

static void a_name_that_is_none(void **state)
{
	(void)state;
	settings.handshake_timeout_ms = 2000; /* where no name server answers */
	connect_to(client_tls, "bad name.invalid", 7443, NULL);
	wait_for(client_ended);
	if (clients[0].end != CONN_END_TIMEOUT) {
		assert_int_equal(clients[0].end, CONN_END_FAILED);
		assert_non_null(strstr(clients[0].why, "bad name.invalid"));
	}
}

/* --- listening --- */

static void listening_that_fails(void **state)
{
	struct listener_settings ls = { server_tls, 10, settings, &handlers, accepted, NULL };
	uint16_t taken;
	struct listener *second = NULL;
	struct error e;
	char port[16];
	(void)state;
	listen_at("127.0.0.1", 10);
	taken = listener_port(listener);
	snprintf(port, sizeof port, "%u", taken);
	assert_int_equal(listener_new(loop, "127.0.0.1", taken, &ls, &second, &e), ERR_SYSTEM);
	assert_null(second);
	assert_non_null(strstr(e.text, "127.0.0.1"));
	assert_non_null(strstr(e.text, port));
	assert_non_null(strstr(e.text, "Address already in use"));
	assert_int_equal(listener_new(loop, "host.example", 1, &ls, &second, &e), ERR_SYSTEM);
	assert_non_null(strstr(e.text, "host.example"));
	assert_int_equal(listener_new(loop, "192.0.2.250", 0, &ls, &second, &e), ERR_SYSTEM);
	assert_non_null(strstr(e.text, "Cannot assign requested address"));
	listener_free(NULL);
}

static bool two_accepted(void)
{
	return n_sides == 2;
}

static bool third_accepted(void)
{
	return n_sides == 3;
}

static bool second_client_open(void)
{
	return clients[1].opened && sides[3].opened;
}

static bool fifth_open(void)
{
	return sides[4].opened;
}

/* Who has not shown a certificate makes room; who has, stays. */
static void too_many(void **state)
{
	(void)state;
	listen_at("127.0.0.1", 2);
	connect_client(NULL);
	wait_for(both_open);
	int first = tcp_connect(listener_port(listener));
	wait_for(two_accepted);
	let_it_be();
	assert_int_equal(sides[1].ended, 0); /* nobody else is at the door */
	int second = tcp_connect(listener_port(listener));
	wait_for(third_accepted);
	assert_int_equal(sides[1].ended, 1);
	assert_non_null(strstr(sides[1].why, "made room"));
	connect_client(NULL);
	wait_for(second_client_open);
	assert_int_equal(sides[2].ended, 1);

	connect_client(NULL); /* the fifth waits for one of those who are in */
	let_it_be();
	assert_int_equal(n_sides, 4);
	assert_int_equal(sides[0].ended + sides[3].ended, 0);
	conn_kill(clients[0].c, "");
	wait_for(fifth_open);
	close(first);
	close(second);
}

/* The limit under which n more descriptors are to be had: there may be gaps between those inherited. */
static rlim_t limit_for_more(int n)
{
	int fd = dup(0);
	rlim_t limit = n == 0 ? (rlim_t)fd : limit_for_more(n - 1);
	close(fd);
	return limit;
}

static bool one_made_room(void)
{
	return sides[0].ended || sides[1].ended;
}

static struct rlimit descriptors;

static int restore_descriptors(void **state)
{
	setrlimit(RLIMIT_NOFILE, &descriptors);
	return free_loop(state);
}

static void no_descriptors(void **state)
{
	const char *preload = getenv("LD_PRELOAD");
	struct rlimit none, two;
	int fds[3];
	(void)state;
	getrlimit(RLIMIT_NOFILE, &descriptors);
	if (preload && strstr(preload, "vgpreload"))
		skip(); /* valgrind accepts and closes what it has no descriptor for */
	listen_at("127.0.0.1", 100);
	for (int i = 0; i < 2; i++)
		fds[i] = tcp_connect(listener_port(listener));
	none = two = descriptors;
	none.rlim_cur = limit_for_more(0);
	two.rlim_cur = limit_for_more(2);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	let_it_be();
	assert_int_equal(n_sides, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &two), 0);
	wait_for(two_accepted); /* it tries again by itself */
	let_it_be();
	assert_int_equal(sides[0].ended + sides[1].ended, 0);
	setrlimit(RLIMIT_NOFILE, &descriptors);
	fds[2] = tcp_connect(listener_port(listener));
	none.rlim_cur = limit_for_more(0);
	setrlimit(RLIMIT_NOFILE, &none);
	wait_for(one_made_room);
	setrlimit(RLIMIT_NOFILE, &descriptors);
	wait_for(third_accepted);
	assert_int_equal(sides[0].ended, 1);
	assert_int_equal(sides[1].ended, 0);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void refused_on_sight(void **state)
{
	(void)state;
	refuse_all = true;
	listen_at("127.0.0.1", 10);
	bare = tcp_connect(listener_port(listener));
	wait_for(bare_ended);
	close(bare);
	refuse_all = false;
	connect_client(NULL);
	wait_for(both_open);
}

static bool second_client_ended(void)
{
	return clients[1].ended;
}

static void listener_goes_connections_stay(void **state)
{
	(void)state;
	connect_client(NULL);
	wait_for(both_open);
	uint16_t port = listener_port(listener);
	listener_free(listener);
	listener = NULL;
	sides[0].on_frame = echo;
	send_ten(&clients[0]);
	wait_for(ten_back);
	connect_to(client_tls, "127.0.0.1", port, NULL);
	wait_for(second_client_ended);
}

/* What a connection takes that has spoken and is silent. The clients are another process. */
enum { IDLE = 100 };
static int n_idle, n_gone;

static void *accepted_idle(struct conn *c, void *context)
{
	(void)c;
	(void)context;
	return &n_idle;
}

static void idle_opened(struct conn *c, void *context)
{
	(void)c;
	(void)context;
}

static void idle_frame(struct conn *c, const uint8_t *payload, size_t length, void *context)
{
	uint8_t reply[FRAME_HEADER_SIZE + 1] = { 0, 0, 0, 1, 1 };
	(void)payload, (void)length, (void)context;
	conn_send(c, reply, sizeof reply);
	n_idle++;
}

static void idle_ended(struct conn *c, enum conn_end end, const char *why, void *context)
{
	(void)c, (void)end, (void)why, (void)context;
	n_gone++;
}

static void be_idle_clients(uint16_t port)
{
	static uint8_t request[FRAME_HEADER_SIZE + 3000] = { 0, 0, 3000 >> 8, 3000 & 0xff };
	SSL_CTX *c = pki_foreign_client(&police_leaf);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* if the test fails */
	for (int i = 0; i < IDLE; i++) {
		SSL *ssl = SSL_new(c);
		char scrap[16];
		SSL_set_fd(ssl, tcp_connect(port));
		if (SSL_connect(ssl) != 1 || SSL_write(ssl, request, sizeof request) <= 0 ||
		    SSL_read(ssl, scrap, sizeof scrap) <= 0)
			_exit(1);
	}
	for (;;)
		pause();
}

static bool all_idle(void)
{
	return n_idle == IDLE;
}

static bool all_gone(void)
{
	return n_gone == IDLE;
}

static void idle_connections_are_small(void **state)
{
	static const struct conn_handlers idle = { .opened = idle_opened, .frame = idle_frame, .ended = idle_ended };
	struct listener_settings ls = { server_tls, 2 * IDLE, settings, &idle, accepted_idle, NULL };
	struct error e;
	(void)state;
	assert_int_equal(listener_new(loop, "127.0.0.1", 0, &ls, &listener, &e), OK);
	pid_t child = fork();
	if (child == 0)
		be_idle_clients(listener_port(listener));
	size_t before = mallinfo2().uordblks;
	wait_for(all_idle);
	let_it_be();
	size_t each = (mallinfo2().uordblks - before) / IDLE;
	if (each > 40 * 1024)
		fail_msg("an idle connection takes %zu bytes", each);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	wait_for(all_gone);
	assert_true(mallinfo2().uordblks - before < 4096 * IDLE); /* and gives it back */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_loop(nobody_listens),
		in_loop(addresses_and_names),
		in_loop(a_name_that_is_none),
		in_loop(listening_that_fails),
		in_loop(too_many),
		cmocka_unit_test_setup_teardown(no_descriptors, make_loop, restore_descriptors),
		in_loop(refused_on_sight),
		in_loop(listener_goes_connections_stay),
		in_loop(idle_connections_are_small),
	};
	return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
