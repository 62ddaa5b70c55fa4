// needs: tests/unit/net_sides.c tests/unit/pki.c common/loop.c common/net.c common/net_send.c common/tls_io.c common/connect.c common/listener.c common/log_limit.c common/frame.c common/tls.c common/tls_sign.c common/cose.c common/arena.c common/cbor.c common/tls_files.c common/trusted_file.c common/tls_verify.c common/text.c common/error.c common/log.c common/clock.c
#include <signal.h>
#include "common/clock.h"
#include "tests/unit/net_sides.h"

/* Timers, wakes, the end of a turn, signals. */

static int fired[2];

static void fire(void *context)
{
	(*(int *)context)++;
}

static bool first_fired(void)
{
	return fired[0] > 0;
}

static void timers(void **state)
{
	(void)state;
	memset(fired, 0, sizeof fired);
	struct loop_timer *a = loop_timer_new(loop, fire, &fired[0]);
	struct loop_timer *b = loop_timer_new(loop, fire, &fired[1]);
	uint64_t start = clock_mono_ms();
	loop_timer_set(a, 100000);
	loop_timer_set(a, 60); /* replaces */
	loop_timer_set(b, 10);
	loop_timer_cancel(b);
	wait_for(first_fired);
	assert_in_range(clock_mono_ms() - start, 59, 2000);
	let_it_be();
	assert_int_equal(fired[0], 1); /* once */
	assert_int_equal(fired[1], 0);
	loop_timer_free(a);
	loop_timer_free(b);
	loop_timer_free(NULL);
}

static void *wake_often(void *wake)
{
	for (int i = 0; i < 1000; i++)
		loop_wake(wake);
	return NULL;
}

static void wakes(void **state)
{
	struct loop_wake *w;
	struct error e;
	pthread_t thread;
	(void)state;
	memset(fired, 0, sizeof fired);
	assert_int_equal(loop_wake_new(loop, fire, &fired[0], &w, &e), OK);
	let_it_be();
	assert_int_equal(fired[0], 0);
	pthread_create(&thread, NULL, wake_often, w);
	wait_for(first_fired);
	pthread_join(thread, NULL);
	let_it_be();
	assert_in_range(fired[0], 1, 1000);
	int before = fired[0];
	loop_wake(w);
	let_it_be();
	assert_int_equal(fired[0], before + 1);
	loop_wake_free(w);
	loop_wake_free(NULL);
}

struct turn {
	struct loop_late *late;
	int fired[3]; /* how often each had, */
	int before;   /* what all timers had by the first call */
	int calls;
};

static void at_the_end(void *context)
{
	struct turn *t = context;
	if (t->calls++ == 0)
		t->before = t->fired[0] + t->fired[1] + t->fired[2];
}

struct ask_late {
	struct turn *turn;
	int which;
};

static void ask_for_it(void *context)
{
	struct ask_late *a = context;
	a->turn->fired[a->which]++;
	loop_late(a->turn->late);
}

static bool was_late(void)
{
	return fired[0] > 0;
}

static void ask_and_fire(void *context)
{
	ask_for_it(context);
	fired[0]++;
}

/* What three timers of one turn ask for comes once, behind all three. */
static void the_end_of_a_turn(void **state)
{
	struct turn turn = { .calls = 0 };
	struct ask_late asks[3];
	struct loop_timer *timers[3];
	(void)state;
	memset(fired, 0, sizeof fired);
	turn.late = loop_late_new(loop, at_the_end, &turn);
	for (int i = 0; i < 3; i++) {
		asks[i] = (struct ask_late){ &turn, i };
		timers[i] = loop_timer_new(loop, i == 2 ? ask_and_fire : ask_for_it, &asks[i]);
		loop_timer_set(timers[i], 1);
	}
	usleep(5000); /* all are due */
	wait_for(was_late);
	let_it_be();
	assert_int_equal(turn.before, 3);
	assert_int_equal(turn.calls, 1);
	loop_late(turn.late);
	let_it_be();
	assert_int_equal(turn.calls, 2);
	for (int i = 0; i < 3; i++)
		loop_timer_free(timers[i]);
	loop_late_free(turn.late);
	loop_late_free(NULL);
}

static void signals(void **state)
{
	struct error e;
	(void)state;
	memset(fired, 0, sizeof fired);
	assert_int_equal(loop_signal(loop, SIGUSR1, fire, &fired[0], &e), OK);
	raise(SIGUSR1);
	assert_int_equal(fired[0], 0);
	wait_for(first_fired);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_loop(timers),
		in_loop(wakes),
		in_loop(the_end_of_a_turn),
		in_loop(signals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
