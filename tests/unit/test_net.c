// needs: tests/unit/net_sides.c tests/unit/pki.c common/loop.c common/net.c common/net_send.c common/tls_io.c common/connect.c common/listener.c common/log_limit.c common/frame.c common/tls.c common/tls_sign.c common/cose.c common/arena.c common/cbor.c common/tls_files.c common/trusted_file.c common/tls_verify.c common/text.c common/error.c common/log.c common/clock.c
#include "common/clock.h"
#include "common/frame.h"
#include "tests/unit/net_sides.h"

/* Frames over real TLS: in order, in few records, bounded, paused, and refused. */

/* --- exchange --- */

static void frames_both_ways(void **state)
{
	struct side *c = connect_client(send_ten);
	(void)state;
	assert_false(conn_is_open(c->c));
	sides[0].on_frame = echo;
	wait_for(ten_back);
	assert_true(c->in_order && sides[0].in_order);
	assert_int_equal(c->bytes, 100);
	assert_true(conn_is_open(c->c) && conn_is_open(sides[0].c));
	assert_non_null(strstr(conn_address(c->c), "127.0.0.1:"));
	assert_non_null(strstr(conn_address(sides[0].c), "127.0.0.1:"));
	conn_close(c->c);
	conn_close(c->c);
	assert_false(conn_is_open(c->c));
	assert_int_equal(conn_send(c->c, (const uint8_t *)"x", 1), OK); /* nothing after conn_close */
	assert_int_equal(c->ended, 0); /* not inside the call */
	wait_for(both_ended);
	assert_int_equal(c->end, CONN_END_LOCAL);
	assert_int_equal(sides[0].end, CONN_END_CLOSED);
	assert_int_equal(sides[0].frames, 10);
	assert_int_equal(c->ended + sides[0].ended, 2);
}

static void allow_large(struct side *s)
{
	conn_set_max_frame(s->c, 4 << 20);
}

static void send_large(struct side *s)
{
	allow_large(s);
	send_frame(s, 0, 4 << 20);
}

static void large_frames(void **state)
{
	(void)state;
	settings.pause_at_bytes = 16 << 20;
	connect_client(send_large);
	sides[0].on_opened = allow_large;
	sides[0].on_frame = echo;
	wait_for(client_has_frame);
	assert_int_equal(clients[0].bytes, 4 << 20);
	assert_int_equal(clients[0].last_byte, 'x');
}

static size_t records;

static void count_records(int write, int version, int type, const void *bytes, size_t n, SSL *ssl,
			  void *arg)
{
	(void)version, (void)bytes, (void)n, (void)ssl, (void)arg;
	records += write && type == SSL3_RT_HEADER;
}

static void send_thousand(struct side *s)
{
	SSL_set_msg_callback(conn_ssl(s->c), count_records);
	for (int i = 0; i < 1000; i++)
		send_frame(s, (uint8_t)i, 200);
}

static bool thousand_there(void)
{
	return sides[0].frames == 1000;
}

/* A record for each small frame would cost six times as much. */
static void frames_of_one_turn_share_records(void **state)
{
	(void)state;
	records = 0;
	connect_client(send_thousand);
	wait_for(thousand_there);
	assert_true(sides[0].in_order);
	assert_in_range(records, 204000 / 16384 + 1, 30);
}

/* --- pausing --- */

static void pause_at_third(struct side *s, size_t length)
{
	(void)length;
	if (s->frames == 3)
		conn_pause(s->c);
}

static bool three_there(void)
{
	return sides[0].frames == 3;
}

static bool ten_there(void)
{
	return sides[0].frames == 10;
}

static void pausing_stops_at_once(void **state)
{
	(void)state;
	connect_client(send_ten);
	sides[0].on_frame = pause_at_third;
	wait_for(three_there);
	let_it_be();
	assert_int_equal(sides[0].frames, 3);
	conn_resume(sides[0].c); /* no new bytes come */
	assert_int_equal(sides[0].frames, 3); /* not inside the call */
	wait_for(ten_there);
	assert_true(sides[0].in_order);
}

static void send_much_and_pause(struct side *s, size_t length)
{
	(void)length;
	if (s->frames == 1) {
		send_frame(s, 0, 4000);
		conn_pause(s->c);
	}
}

/* That the peer has taken its answers does not mean that the owner wants more. */
static void draining_does_not_resume(void **state)
{
	(void)state;
	settings.pause_at_bytes = 1000;
	connect_client(send_ten);
	sides[0].on_frame = send_much_and_pause;
	wait_for(client_has_frame);
	let_it_be();
	assert_int_equal(sides[0].frames, 1);
	conn_resume(sides[0].c);
	wait_for(ten_there);
}

enum { REQUESTS = 1500, ANSWER = 10000 };

static void answer_at_length(struct side *s, size_t length)
{
	(void)length;
	send_frame(s, 0, ANSWER);
}

static void ask(struct raw *r, bool rekey)
{
	uint8_t request[FRAME_HEADER_SIZE + 1] = { 0, 0, 0, 1, 0 };
	for (int i = 0; i < REQUESTS; i++) {
		if (rekey && i % 100 == 5)
			SSL_key_update(r->ssl, SSL_KEY_UPDATE_REQUESTED);
		SSL_write(r->ssl, request, sizeof request);
	}
	raw_wait(r);
	SSL_set_read_ahead(r->ssl, 1);
	while (r->got < (size_t)REQUESTS * (FRAME_HEADER_SIZE + ANSWER)) {
		char scrap[16384];
		int n = SSL_read(r->ssl, scrap, sizeof scrap);
		if (n <= 0)
			break;
		r->got += (size_t)n;
	}
}

static void ask_without_reading(struct raw *r)
{
	ask(r, false);
}

static void ask_and_rekey(struct raw *r)
{
	ask(r, true);
}

static bool requests_stopped(void)
{
	static int before;
	static uint64_t since;
	if (sides[0].frames == 0 || sides[0].frames != before)
		since = clock_mono_ms();
	before = sides[0].frames;
	return before >= 10 && clock_mono_ms() - since > 200;
}

static void flood_with_requests(void (*how)(struct raw *r))
{
	settings.pause_at_bytes = 100000;
	raw_start(&raw, how);
	sides[0].on_frame = answer_at_length;
	wait_for(requests_stopped);
	assert_true(sides[0].frames < REQUESTS);
	raw.go = true;
	wait_for(raw_done);
	pthread_join(raw.thread, NULL);
	assert_int_equal(raw.got, (size_t)REQUESTS * (FRAME_HEADER_SIZE + ANSWER));
	assert_int_equal(sides[0].frames, REQUESTS);
}

/* One that asks and never reads its answers must not fill our memory. */
static void answers_not_taken_stop_reading(void **state)
{
	(void)state;
	flood_with_requests(ask_without_reading);
}

/* TLS has to answer these, while reading, although the socket takes nothing and a record of ours is half out. */
static void key_updates_while_answers_are_not_taken(void **state)
{
	(void)state;
	flood_with_requests(ask_and_rekey);
}

/* --- bad frames --- */

static void send_longest(struct side *s)
{
	send_frame(s, 0, FRAME_HELLO_MAX);
}

static void send_empty(struct side *s)
{
	send_header(s, 0);
	send_one(s);
}

static void too_long_is_refused_on_its_header(void **state)
{
	(void)state;
	connect_client(send_too_long);
	wait_for(server_faulted);
	assert_int_equal(sides[0].fault, CONN_FRAME_OVER);
	assert_int_equal(sides[0].fault_length, FRAME_HELLO_MAX + 1);
	assert_int_equal(sides[0].frames, 1);
	let_it_be();
	assert_int_equal(sides[0].faults, 1);
	assert_int_equal(sides[0].frames, 1);
	send_one(&sides[0]); /* Close still gets out */
	conn_close(sides[0].c);
	wait_for(both_ended);
	assert_int_equal(clients[0].frames, 1);
	assert_int_equal(clients[0].end, CONN_END_CLOSED);
	assert_int_equal(sides[0].end, CONN_END_LOCAL);
}

static void longest_is_taken(void **state)
{
	(void)state;
	connect_client(send_longest);
	wait_for(server_has_frame);
	assert_int_equal(sides[0].bytes, FRAME_HELLO_MAX);
	conn_set_max_frame(sides[0].c, 5000);
	send_frame(&clients[0], 1, 5000);
	send_frame(&clients[0], 2, 5001);
	wait_for(server_faulted);
	assert_int_equal(sides[0].frames, 2);
	assert_int_equal(sides[0].fault_length, 5001);
}

static void empty_is_refused(void **state)
{
	(void)state;
	connect_client(send_empty);
	wait_for(server_faulted);
	assert_int_equal(sides[0].fault, CONN_FRAME_EMPTY);
	let_it_be();
	assert_int_equal(sides[0].frames, 0);
}

static struct loop_timer *drip_timer;

static void drip(void *context)
{
	struct side *s = context;
	if (s->c && conn_is_open(s->c))
		send_bytes(s, "x", 1);
	loop_timer_set(drip_timer, 10);
}

static void start_dripping(struct side *s)
{
	send_one(s);
	send_header(s, FRAME_HELLO_MAX);
	drip_timer = loop_timer_new(loop, drip, s);
	loop_timer_set(drip_timer, 10);
}

static void dripping_is_too_slow(void **state)
{
	(void)state;
	settings.frame_timeout_ms = 300;
	uint64_t start = clock_mono_ms();
	connect_client(start_dripping);
	wait_for(server_faulted);
	loop_timer_free(drip_timer);
	assert_int_equal(sides[0].fault, CONN_FRAME_SLOW);
	assert_int_equal(sides[0].frames, 1);
	assert_in_range(clock_mono_ms() - start, 250, 3000);
}

static void send_half(struct side *s)
{
	send_header(s, 10);
	send_bytes(s, "\0xxxx", 5);
}

static void wait_longer_than_a_frame_may_take(void)
{
	run_for(700, NULL);
}

/* While we do not read, the peer's bytes cannot arrive: that is not its fault. */
static void slowness_of_ours(void **state)
{
	(void)state;
	settings.frame_timeout_ms = 400;
	connect_client(send_half);
	wait_for(both_open);
	let_it_be();
	conn_pause(sides[0].c);
	send_bytes(&clients[0], "xxxxx", 5);
	wait_longer_than_a_frame_may_take();
	assert_int_equal(sides[0].faults, 0);
	conn_resume(sides[0].c);
	wait_for(server_has_frame);
	wait_longer_than_a_frame_may_take(); /* nor does a silent one time out between frames */
	assert_int_equal(sides[0].faults + sides[0].ended, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_loop(frames_both_ways),
		in_loop(large_frames),
		in_loop(frames_of_one_turn_share_records),
		in_loop(pausing_stops_at_once),
		in_loop(draining_does_not_resume),
		in_loop(answers_not_taken_stop_reading),
		in_loop(key_updates_while_answers_are_not_taken),
		in_loop(too_long_is_refused_on_its_header),
		in_loop(longest_is_taken),
		in_loop(empty_is_refused),
		in_loop(dripping_is_too_slow),
		in_loop(slowness_of_ours),
	};
	return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
