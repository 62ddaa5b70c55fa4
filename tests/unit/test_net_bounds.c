// needs: tests/unit/net_sides.c tests/unit/pki.c common/loop.c common/net.c common/net_send.c common/tls_io.c common/connect.c common/listener.c common/log_limit.c common/frame.c common/tls.c common/tls_sign.c common/cose.c common/arena.c common/cbor.c common/tls_files.c common/trusted_file.c common/tls_verify.c common/text.c common/error.c common/log.c common/clock.c
#include "common/clock.h"
#include "common/frame.h"
#include "tests/unit/net_sides.h"

/* What one peer can make us keep and compute: queues that are not read, and TLS records that carry nothing. */

enum { BOUND = 8 << 20, PIECE = 100000 };

/* --- what is not read --- */

static void never_read(struct raw *r)
{
	raw_wait(r);
	raw_read_all(r);
}

static bool server_open(void)
{
	return sides[0].opened;
}

/* Queues more than any socket takes, in many turns; how much it was when the connection ended or the loop is over. */
static size_t told;
static struct loop_timer *telling;

static void tell_more(void *context)
{
	struct side *s = context;
	for (int i = 0; i < 10 && s->c && told < 20u * BOUND; i++) {
		send_frame(s, 0, PIECE);
		told += PIECE;
	}
	loop_timer_set(telling, 1);
}

static void start_telling(struct side *s)
{
	told = 0;
	telling = loop_timer_new(loop, tell_more, s);
	loop_timer_set(telling, 1);
}

static void end_raw(void)
{
	raw.go = true;
	wait_for(raw_done);
	pthread_join(raw.thread, NULL);
}

static void who_does_not_read_is_parted_from(void **state)
{
	(void)state;
	settings.max_queued_bytes = BOUND;
	settings.pause_at_bytes = BOUND / 4;
	raw_start(&raw, never_read);
	wait_for(server_open);
	start_telling(&sides[0]);
	wait_for(server_ended);
	loop_timer_free(telling);
	assert_int_equal(sides[0].end, CONN_END_FAILED);
	assert_string_equal(sides[0].why, "it does not read what it is sent");
	assert_true(told < 2u * BOUND); /* the kernel took some */
	end_raw();
}

/* A burst of one turn is no reason: who reads is written to first. */
static bool all_told(void)
{
	return clients[0].bytes == 5u * BOUND / PIECE * PIECE;
}

static void allow(struct side *s)
{
	conn_set_max_frame(s->c, PIECE);
}

static bool has_bound(void)
{
	return told >= 5u * BOUND / PIECE * PIECE;
}

static void tell_what_is_left(void *context)
{
	struct side *s = context;
	while (!has_bound() && !conn_is_choked(s->c)) {
		send_frame(s, (uint8_t)(told / PIECE), PIECE);
		told += PIECE;
	}
	loop_timer_set(telling, 1);
}

static void who_reads_is_told_any_amount(void **state)
{
	(void)state;
	settings.max_queued_bytes = BOUND;
	settings.pause_at_bytes = BOUND / 4;
	connect_client(allow);
	wait_for(both_open);
	told = 0;
	telling = loop_timer_new(loop, tell_what_is_left, &sides[0]);
	loop_timer_set(telling, 1);
	wait_for(all_told);
	loop_timer_free(telling);
	assert_true(clients[0].in_order);
	assert_true(sides[0].drained > 0);
	assert_int_equal(sides[0].ended, 0);
}

/* --- several connections of one party --- */

static struct conn_account *account;

static bool two_open(void)
{
	return sides[0].opened && sides[1].opened && clients[0].opened && clients[1].opened;
}

static void join_account(struct side *s)
{
	conn_set_account(s->c, account);
}

/* The clients do not read. */
static void two_in_one_account(void)
{
	settings.max_queued_bytes = BOUND;
	settings.pause_at_bytes = BOUND / 4;
	account = conn_account_new();
	sides[0].on_opened = sides[1].on_opened = join_account;
	connect_client(NULL);
	connect_client(NULL);
	wait_for(two_open);
	conn_pause(clients[0].c);
	conn_pause(clients[1].c);
}

static void fill(struct side *s, size_t bytes)
{
	for (size_t n = 0; n < bytes && s->c; n += PIECE)
		send_frame(s, 0, PIECE);
}

static bool one_ended(void)
{
	return sides[0].ended || sides[1].ended;
}

static void the_longest_queue_of_a_party_pays(void **state)
{
	(void)state;
	two_in_one_account();
	fill(&sides[0], 2u * BOUND); /* whatever the kernel takes of it: most of the account */
	if (!sides[0].ended)
		fill(&sides[1], BOUND / 4);
	wait_for(one_ended);
	assert_int_equal(sides[0].ended, 1);
	assert_int_equal(sides[1].ended, 0);
	fill(&sides[1], BOUND / 4); /* what the other one had is free again */
	let_it_be();
	assert_int_equal(sides[1].ended, 0);
	conn_account_free(account);
	fill(&sides[1], PIECE); /* it counts alone now */
}

static void half_of_the_account_chokes_the_others(void **state)
{
	(void)state;
	two_in_one_account();
	while (!conn_is_choked(sides[0].c))
		fill(&sides[0], PIECE);
	fill(&sides[0], BOUND / 2);
	assert_false(conn_is_choked(sides[1].c));
	fill(&sides[1], PIECE);
	assert_true(conn_is_choked(sides[1].c));
	assert_int_equal(sides[0].ended + sides[1].ended, 0);
	conn_account_free(account);
}

/* --- reading while choked --- */

static void choke(struct side *s)
{
	fill(s, BOUND / 3);
	assert_true(conn_is_choked(s->c));
}

static void both_choked(bool reads)
{
	settings.max_queued_bytes = 8 * BOUND;
	settings.pause_at_bytes = BOUND / 4;
	settings.reads_when_choked = reads;
	connect_client(allow);
	wait_for(both_open);
	conn_set_max_frame(sides[0].c, PIECE);
	choke(&clients[0]);
	choke(&sides[0]);
}

static bool both_have_all(void)
{
	return clients[0].bytes >= BOUND / 3 && sides[0].bytes >= BOUND / 3;
}

static void who_reads_when_choked_cannot_be_made_to_wait(void **state)
{
	(void)state;
	both_choked(true);
	wait_for(both_have_all);
	assert_true(clients[0].drained && sides[0].drained);
}

/* --- records without data --- */

enum { FLOOD = 3000, TOLERATED = 20 };

static void flood(struct raw *r, int updates, bool requested, bool interleaved)
{
	uint8_t ping[FRAME_HEADER_SIZE + 1] = { 0, 0, 0, 1, 0 };
	for (int i = 0; i < updates; i++) {
		if (SSL_key_update(r->ssl, requested ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) != 1 ||
		    SSL_do_handshake(r->ssl) != 1)
			break;
		ping[FRAME_HEADER_SIZE] = (uint8_t)i;
		if (interleaved && SSL_write(r->ssl, ping, sizeof ping) <= 0)
			break;
	}
}

static void flood_in_a_row(struct raw *r)
{
	flood(r, FLOOD, false, false);
}

static void flood_with_requests_for_ours(struct raw *r)
{
	flood(r, FLOOD, true, false);
}

static void flood_between_pings(struct raw *r)
{
	flood(r, FLOOD, false, true);
}

static void rekey_sometimes(struct raw *r)
{
	flood(r, TOLERATED, true, true);
	raw_wait(r);
}

static void is_parted_from(void (*script)(struct raw *))
{
	raw_start(&raw, script);
	wait_for(server_ended);
	assert_int_equal(sides[0].end, CONN_END_FAILED);
	if (!strstr(sides[0].why, "too many TLS records without data"))
		fail_msg("%s", sides[0].why);
	assert_true(sides[0].frames <= 40);
	end_raw();
}

static void key_updates_in_a_row(void **state)
{
	(void)state;
	is_parted_from(flood_in_a_row);
}

static void key_updates_that_want_ours(void **state)
{
	(void)state;
	is_parted_from(flood_with_requests_for_ours);
}

static void key_updates_between_pings(void **state)
{
	(void)state;
	is_parted_from(flood_between_pings);
}

static bool all_pings_there(void)
{
	return sides[0].frames == TOLERATED;
}

static void some_key_updates_are_fine(void **state)
{
	(void)state;
	raw_start(&raw, rekey_sometimes);
	wait_for(all_pings_there);
	assert_true(sides[0].in_order);
	send_one(&sides[0]);
	let_it_be();
	assert_int_equal(sides[0].ended, 0);
	end_raw();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_loop(who_does_not_read_is_parted_from),
		in_loop(who_reads_is_told_any_amount),
		in_loop(the_longest_queue_of_a_party_pays),
		in_loop(half_of_the_account_chokes_the_others),
		in_loop(who_reads_when_choked_cannot_be_made_to_wait),
		in_loop(key_updates_in_a_row),
		in_loop(key_updates_that_want_ours),
		in_loop(key_updates_between_pings),
		in_loop(some_key_updates_are_fine),
	};
	return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
