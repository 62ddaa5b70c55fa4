// needs: acms/delivery.c acms/link.c
#include "acms/delivery.h"
#include "unit.h"

static bool answers(struct delivery_step s)
{
	return s.action == DELIVERY_DO_RECORD || s.action == DELIVERY_DO_ANSWER;
}

/* What is on disk is answered by the partner, by its deadline, or because it can never be sent; by nothing else. */
static void kept_is_never_given_up(void **state)
{
	(void)state;
	for (int p = 0; p < DELIVERY_PHASES; p++)
		for (int e = 0; e < DELIVERY_EVENTS; e++) {
			struct delivery_step s = delivery_step(p, e, true);
			bool open = p < DELIVERY_PHASE_ANSWERING;
			assert_int_equal(answers(s), s.next == DELIVERY_PHASE_ANSWERING && open);
			if (answers(s))
				assert_true(e == DELIVERY_EV_RESPONSE || e == DELIVERY_EV_DEADLINE ||
					    (e == DELIVERY_EV_UNSENDABLE && p != DELIVERY_PHASE_SENT &&
					     p != DELIVERY_PHASE_HELD));
			if (open && (e == DELIVERY_EV_RESPONSE || e == DELIVERY_EV_DEADLINE))
				assert_true(answers(s));
			assert_int_equal(s.action == DELIVERY_DO_FINISH,
					 p != DELIVERY_PHASE_DONE && e == DELIVERY_EV_STORED);
		}
}

/* Once everybody is told there is nothing more to do. */
static void done_is_done(void **state)
{
	(void)state;
	for (int e = 0; e < DELIVERY_EVENTS; e++)
		for (int kept = 0; kept < 2; kept++) {
			struct delivery_step s = delivery_step(DELIVERY_PHASE_DONE, e, kept);
			assert_int_equal(s.next, DELIVERY_PHASE_DONE);
			assert_int_equal(s.action, DELIVERY_DO_NOTHING);
		}
}

/* An answer that could not be stored is asked for again, never told. */
static void not_stored(void **state)
{
	(void)state;
	struct delivery_step s = delivery_step(DELIVERY_PHASE_ANSWERING, DELIVERY_EV_NOT_STORED, true);
	assert_int_equal(s.next, DELIVERY_PHASE_RESTING);
	assert_int_equal(s.action, DELIVERY_DO_REST);
	s = delivery_step(DELIVERY_PHASE_LOADING, DELIVERY_EV_NOT_STORED, true); /* could not be read, that is */
	assert_int_equal(s.action, DELIVERY_DO_REST);
	s = delivery_step(DELIVERY_PHASE_ANSWERING, DELIVERY_EV_DEADLINE, true);
	assert_int_equal(s.action, DELIVERY_DO_NOTHING);
}

static void dry_run_does_not_wait(void **state)
{
	static const struct { int phase, event, action; } cases[] = {
		{ DELIVERY_PHASE_QUEUED, DELIVERY_EV_UNREACHABLE, DELIVERY_DO_ANSWER },
		{ DELIVERY_PHASE_QUEUED, DELIVERY_EV_STOPPING, DELIVERY_DO_ANSWER },
		{ DELIVERY_PHASE_SENT, DELIVERY_EV_STOPPING, DELIVERY_DO_ANSWER },
		{ DELIVERY_PHASE_SENT, DELIVERY_EV_LOST, DELIVERY_DO_ANSWER },
		{ DELIVERY_PHASE_SENT, DELIVERY_EV_NONSENSE, DELIVERY_DO_ANSWER },
		{ DELIVERY_PHASE_SENT, DELIVERY_EV_TRANSIENT, DELIVERY_DO_RECORD },
		{ DELIVERY_PHASE_SENT, DELIVERY_EV_RESPONSE, DELIVERY_DO_RECORD },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(delivery_step(cases[i].phase, cases[i].event, false).action,
				 cases[i].action);
}

/* What the deadline says: that it was never sent only if that is sure, whatever was said since. */
static void outlook(void **state)
{
	(void)state;
	enum cause start = CAUSE_PARTNER_UNREACHABLE;
	assert_true(delivery_never_sent(start));
	assert_int_equal(delivery_outlook(start, DELIVERY_EV_UNREACHABLE), CAUSE_PARTNER_UNREACHABLE);
	assert_int_equal(delivery_outlook(start, DELIVERY_EV_LOADING), CAUSE_PARTNER_UNREACHABLE);
	enum cause sent = delivery_outlook(start, DELIVERY_EV_SENT);
	assert_int_equal(sent, CAUSE_PARTNER_TIMEOUT);
	/* a partner that says it did nothing has had it all the same */
	assert_int_equal(delivery_outlook(sent, DELIVERY_EV_TRANSIENT), CAUSE_PARTNER_TIMEOUT);
	assert_int_equal(delivery_outlook(sent, DELIVERY_EV_LOST), CAUSE_PARTNER_CONNECTION_LOST);
	assert_int_equal(delivery_outlook(sent, DELIVERY_EV_NONSENSE), CAUSE_PARTNER_PROTOCOL_ERROR);
	for (int e = 0; e < DELIVERY_EVENTS; e++)
		for (int f = 0; f < DELIVERY_EVENTS; f++)
			assert_false(delivery_never_sent(delivery_outlook(delivery_outlook(sent, e), f)));
}

/* What must not be sent again waits: for what changes that, an answer, or its deadline. */
static void barred(void **state)
{
	(void)state;
	static const int waiting[] = { DELIVERY_PHASE_QUEUED, DELIVERY_PHASE_LOADING, DELIVERY_PHASE_RESTING };
	for (size_t i = 0; i < sizeof waiting / sizeof *waiting; i++) {
		assert_int_equal(delivery_step(waiting[i], DELIVERY_EV_BARRED, true).next, DELIVERY_PHASE_BARRED);
		assert_int_equal(delivery_step(waiting[i], DELIVERY_EV_BARRED, false).action, DELIVERY_DO_ANSWER);
	}
	for (int e = 0; e < DELIVERY_EVENTS; e++) {
		struct delivery_step s = delivery_step(DELIVERY_PHASE_BARRED, e, true);
		if (e == DELIVERY_EV_DUE)
			assert_true(s.next == DELIVERY_PHASE_QUEUED && s.action == DELIVERY_DO_QUEUE);
		if (s.next == DELIVERY_PHASE_QUEUED)
			assert_int_equal(e, DELIVERY_EV_DUE);
		if (e == DELIVERY_EV_LOST || e == DELIVERY_EV_UNREACHABLE || e == DELIVERY_EV_PENDING)
			assert_int_equal(s.next, DELIVERY_PHASE_BARRED);
	}
	assert_int_equal(delivery_step(DELIVERY_PHASE_BARRED, DELIVERY_EV_DEADLINE, true).action, DELIVERY_DO_ANSWER);
	assert_int_equal(delivery_step(DELIVERY_PHASE_BARRED, DELIVERY_EV_RESPONSE, true).action, DELIVERY_DO_RECORD);
}

/* A response is checked before anything is concluded of it: only then it may turn out to ask to come later. */
static void later_after_it_was_checked(void **state)
{
	(void)state;
	struct delivery_step s = delivery_step(DELIVERY_PHASE_ANSWERING, DELIVERY_EV_TRANSIENT, true);
	assert_true(s.next == DELIVERY_PHASE_RESTING && s.action == DELIVERY_DO_REST);
	s = delivery_step(DELIVERY_PHASE_ANSWERING, DELIVERY_EV_NONSENSE, true);
	assert_true(s.next == DELIVERY_PHASE_RESTING && s.action == DELIVERY_DO_REST);
}

static void rests(void **state)
{
	(void)state;
	assert_int_equal(delivery_rest_ms(DELIVERY_EV_LOST, 0, 0), 0);
	assert_int_equal(delivery_rest_ms(DELIVERY_EV_LOST, 1, 255), 0); /* once: on the next connection at once */
	assert_int_equal(delivery_rest_ms(DELIVERY_EV_LOST, 2, 0), 1000);
	assert_int_equal(delivery_rest_ms(DELIVERY_EV_LOST, 3, 0), 2000);
	assert_int_equal(delivery_rest_ms(DELIVERY_EV_TRANSIENT, 0, 0), 1000);
	assert_int_equal(delivery_rest_ms(DELIVERY_EV_TRANSIENT, 1, 0), 1000);
	assert_int_equal(delivery_rest_ms(DELIVERY_EV_NONSENSE, 2, 0), 2000);
	for (unsigned n = 0; n < 100; n++)
		for (uint32_t r = 0; r < 256; r += 51) {
			assert_in_range(delivery_rest_ms(DELIVERY_EV_NOT_STORED, n, r), 750, 60000);
			assert_in_range(delivery_rest_ms(DELIVERY_EV_LOST, n + 2, r), 750, 60000);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kept_is_never_given_up), cmocka_unit_test(done_is_done),
		cmocka_unit_test(not_stored),		  cmocka_unit_test(dry_run_does_not_wait),
		cmocka_unit_test(outlook),		  cmocka_unit_test(rests),
		cmocka_unit_test(barred),		  cmocka_unit_test(later_after_it_was_checked),
	};
	return cmocka_run_group_tests_name("delivery", tests, NULL, NULL);
}
