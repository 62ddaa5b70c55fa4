// needs: tests/unit/net_sides.c tests/unit/pki.c common/loop.c common/net.c common/net_send.c common/tls_io.c common/connect.c common/listener.c common/log_limit.c common/frame.c common/tls.c common/tls_sign.c common/cose.c common/arena.c common/cbor.c common/tls_files.c common/trusted_file.c common/tls_verify.c common/text.c common/error.c common/log.c common/clock.c
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/clock.h"
#include "common/frame.h"
#include "tests/unit/net_sides.h"

/* How connections end, and what is said of it. */

/* --- the end --- */

static void ends_between(struct raw *r)
{
	SSL_write(r->ssl, "\0\0\0\1\0", 5);
	raw_wait(r);
}

static void ends_inside(struct raw *r)
{
	SSL_write(r->ssl, "\0\0\0\1\0\0\0", 7);
	raw_wait(r);
}

static void resets(struct raw *r)
{
	struct linger at_once = { 1, 0 };
	ends_between(r);
	setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static void notifies(struct raw *r)
{
	ends_between(r);
	SSL_shutdown(r->ssl);
}

static void how_it_ended(void **state)
{
	static const struct {
		void (*script)(struct raw *);
		enum conn_end end;
		const char *why;
	} table[] = {
		{ ends_between, CONN_END_CLOSED, "closed by the other end" },
		{ notifies, CONN_END_CLOSED, "closed by the other end" },
		{ ends_inside, CONN_END_TRUNCATED, "closed by the other end inside a frame" },
		{ resets, CONN_END_FAILED, "Connection reset by peer" },
	};
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		n_sides = 0;
		sides[0] = (struct side){ 0 };
		raw_start(&raw, table[i].script);
		wait_for(server_has_frame);
		raw.go = true;
		wait_for(server_ended);
		pthread_join(raw.thread, NULL);
		assert_string_equal(sides[0].why, table[i].why);
		assert_int_equal(sides[0].end, table[i].end);
	}
}

enum { MUCH = 8 << 20 };

static void send_much_and_close(struct side *s, size_t length)
{
	(void)length;
	send_frame(s, 0, MUCH);
	conn_close(s->c);
}

static void read_late(struct raw *r)
{
	SSL_write(r->ssl, "\0\0\0\1\0", 5);
	raw_wait(r);
	raw_read_all(r);
}

static void closing_drains(void **state)
{
	(void)state;
	raw_start(&raw, read_late);
	sides[0].on_frame = send_much_and_close;
	wait_for(server_has_frame);
	let_it_be();
	raw.go = true;
	wait_for(raw_done);
	pthread_join(raw.thread, NULL);
	assert_int_equal(raw.got, FRAME_HEADER_SIZE + MUCH);
	assert_int_equal(raw.last_error, SSL_ERROR_ZERO_RETURN); /* close_notify, so nothing is missing */
	wait_for(server_ended);
	assert_int_equal(sides[0].end, CONN_END_LOCAL);
}

static void draining_is_bounded(void **state)
{
	(void)state;
	settings.drain_timeout_ms = 300;
	raw_start(&raw, read_late);
	sides[0].on_frame = send_much_and_close;
	uint64_t start = clock_mono_ms();
	wait_for(server_ended);
	assert_in_range(clock_mono_ms() - start, 250, 5000);
	assert_int_equal(sides[0].end, CONN_END_LOCAL);
	assert_non_null(strstr(sides[0].why, "did not take everything in time"));
	raw.go = true;
	wait_for(raw_done);
	pthread_join(raw.thread, NULL);
	assert_true(raw.got < MUCH);
}

static void close_side(void *context)
{
	conn_close(((struct side *)context)->c);
}

static struct loop_timer *close_timer;

static void answer_and_close_soon(struct side *s, size_t length)
{
	send_frame(s, 0, length);
	close_timer = loop_timer_new(loop, close_side, s);
	loop_timer_set(close_timer, 0); /* in the very turn in which the answer gets out */
}

static bool others_answered(void)
{
	for (int i = 1; i < 8; i++) {
		if (clients[i].frames < 10)
			return false;
	}
	return true;
}

/* Closing in the turn in which the queue empties: nothing of it may outlive the connection. */
static void closing_as_the_queue_empties(void **state)
{
	(void)state;
	connect_client(send_one);
	sides[0].on_frame = answer_and_close_soon;
	wait_for(both_ended);
	loop_timer_free(close_timer);
	assert_int_equal(clients[0].frames, 1);
	for (int i = 1; i < 8; i++) {
		sides[i].on_frame = echo;
		connect_client(send_ten); /* on the same descriptors */
	}
	wait_for(others_answered);
}

static void kill_side(struct side *s)
{
	conn_kill(s->c, "enough");
}

static void kill_at_frame(struct side *s, size_t length)
{
	(void)length;
	conn_kill(s->c, "enough");
	conn_kill(s->c, "twice");
	conn_close(s->c);
	conn_pause(s->c);
	conn_resume(s->c);
	send_one(s);
	assert_int_equal(s->ended, 0);
}

static void close_at_frame(struct side *s, size_t length)
{
	(void)length;
	conn_close(s->c);
	conn_resume(s->c);
}

static bool second_client_ended(void)
{
	return clients[1].ended;
}

static bool all_clients_ended(void)
{
	return clients[2].ended && clients[3].ended;
}

static void killing_anywhere(void **state)
{
	(void)state;
	connect_client(send_ten);
	sides[0].on_frame = kill_at_frame;
	sides[1].on_opened = kill_side;
	sides[2].on_fault = kill_side;
	sides[3].on_frame = close_at_frame;
	wait_for(both_ended);
	assert_string_equal(sides[0].why, "enough");
	assert_int_equal(sides[0].frames, 1);
	clients[0] = (struct side){ 0 };
	connect_client(send_ten);
	wait_for(client_ended);
	assert_string_equal(sides[1].why, "enough");
	clients[0] = (struct side){ 0 };
	connect_client(send_too_long);
	wait_for(client_ended);
	assert_string_equal(sides[2].why, "enough");
	clients[0] = (struct side){ 0 };
	connect_client(send_ten);
	wait_for(client_ended);
	assert_int_equal(sides[3].frames, 1);
	assert_int_equal(clients[0].end, CONN_END_CLOSED);
	connect_client(kill_side);
	wait_for(second_client_ended);
	assert_string_equal(clients[1].why, "enough");
	conn_kill(connect_client(NULL)->c, "at once");
	conn_close(connect_client(NULL)->c);
	wait_for(all_clients_ended);
	assert_int_equal(clients[3].end, CONN_END_LOCAL);
	assert_int_equal(ERR_peek_error(), 0);
}

static bool two_open(void)
{
	return both_open() && clients[1].opened && sides[1].opened;
}

static bool all_as_wanted(void)
{
	return clients[0].ended && sides[0].ended && clients[2].opened && sides[3].opened;
}

/* ASan looks whether anything is left. */
static void loop_freed_with_everything_alive(void **state)
{
	(void)state;
	connect_client(send_ten);
	connect_client(send_ten);
	wait_for(two_open);
	conn_close(clients[0].c);
	conn_close(sides[0].c);
	int fd = tcp_connect(listener_port(listener));
	connect_to(client_tls, "localhost", listener_port(listener), NULL);
	connect_to(client_tls, "name.invalid", 1, NULL);
	wait_for(all_as_wanted);
	let_it_be();
	connect_client(NULL);
	close(fd);
}

/* --- before they are up --- */

static void rejected_by_the_server(void **state)
{
	(void)state;
	listen_at("127.0.0.1", 10);
	connect_to(stranger_tls, "127.0.0.1", listener_port(listener), send_ten);
	wait_for(both_ended);
	assert_int_equal(clients[0].end, CONN_END_REFUSED);
	assert_non_null(strstr(clients[0].why, "rejected by the other end"));
	assert_non_null(strstr(clients[0].why, "unknown CA"));
	assert_int_equal(sides[0].end, CONN_END_FAILED);
	assert_non_null(strstr(sides[0].why, "was not issued by a trust anchor configured for " POLICE));
	assert_int_equal(sides[0].opened + sides[0].frames, 0);
	assert_int_equal(ERR_peek_error(), 0);
}

static void a_server_that_is_another(void **state)
{
	struct tls_party to = { STR("DNS:other.example"), fire_trust, "other" };
	struct tls_context *tls;
	struct error e;
	(void)state;
	assert_int_equal(tls_client_new(police_identity, &to, &tls, &e), OK);
	listen_at("127.0.0.1", 10);
	connect_to(tls, "127.0.0.1", listener_port(listener), send_ten);
	wait_for(both_ended);
	assert_int_equal(clients[0].opened, 0);
	assert_int_equal(clients[0].end, CONN_END_FAILED);
	assert_non_null(strstr(clients[0].why, "no configured party has a certificate named " FIRE));
	assert_int_equal(sides[0].opened, 0);
	assert_int_equal(sides[0].end, CONN_END_REFUSED);
	tls_context_free(tls);
}

static void send_raw(const char *bytes, size_t n)
{
	assert_int_equal(send(bare, bytes, n, MSG_NOSIGNAL), (ssize_t)n);
}

static struct loop_timer *drip_timer;

static void drip_hello(void *context)
{
	(void)context;
	(void)!send(bare, "x", 1, MSG_NOSIGNAL);
	loop_timer_set(drip_timer, 10);
}

static void handshake_that_never_ends(void **state)
{
	(void)state;
	settings.handshake_timeout_ms = 300;
	listen_at("127.0.0.1", 10);
	for (int dripping = 0; dripping < 2; dripping++) {
		uint64_t start = clock_mono_ms();
		n_sides = 0;
		memset(sides, 0, sizeof sides);
		bare = tcp_connect(listener_port(listener));
		if (dripping) {
			send_raw("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
			drip_timer = loop_timer_new(loop, drip_hello, NULL);
			loop_timer_set(drip_timer, 0);
		}
		wait_for(server_ended);
		assert_int_equal(sides[0].end, CONN_END_TIMEOUT);
		assert_in_range(clock_mono_ms() - start, 250, 3000);
		close(bare);
	}
	loop_timer_free(drip_timer);
}

static void not_tls_at_all(void **state)
{
	(void)state;
	listen_at("127.0.0.1", 10);
	bare = tcp_connect(listener_port(listener));
	send_raw("GET / HTTP/1.1\r\n\r\n", 18);
	wait_for(bare_ended);
	close(bare);
	wait_for(server_ended);
	assert_int_equal(sides[0].end, CONN_END_FAILED);
	assert_non_null(strstr(sides[0].why, "TLS: "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_loop(how_it_ended),
		in_loop(closing_drains),
		in_loop(draining_is_bounded),
		in_loop(closing_as_the_queue_empties),
		in_loop(killing_anywhere),
		cmocka_unit_test_setup_teardown(loop_freed_with_everything_alive, make_loop, drop_loop),
		in_loop(rejected_by_the_server),
		in_loop(a_server_that_is_another),
		in_loop(handshake_that_never_ends),
		in_loop(not_tls_at_all),
	};
	return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
