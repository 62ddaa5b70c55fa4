// needs: common/session.c common/message_kind.c common/setup.c common/sort.c common/identity.c common/text.c common/arena.c
#include "common/session.h"
#include "unit.h"

/* Every (side, state, event): what must hold whatever the table says. */
static void sweep(void **state)
{
	(void)state;
	for (int side = 0; side < 2; side++)
		for (int s = 0; s < SESSION_STATES; s++)
			for (int e = 0; e < SESSION_EVENTS; e++) {
				struct session_step step = session_step(side, s, e);
				assert_in_range(step.next, 0, SESSION_STATES - 1);
				if (s == SESSION_ENDED) { /* the end is the end */
					assert_int_equal(step.next, SESSION_ENDED);
					assert_int_equal(step.action, SESSION_DO_NOTHING);
				} else if (e == SESSION_EV_ENDED) {
					assert_int_equal(step.action, SESSION_DO_END);
				} else if (s == SESSION_DRAINING) { /* no way back */
					assert_int_equal(step.next, SESSION_DRAINING);
				}
				if (step.action == SESSION_DO_DELIVER)
					assert_true(s != SESSION_WAIT_HELLO &&
						    e == (side == SESSION_SERVER ? SESSION_EV_REQUEST : SESSION_EV_RESPONSE));
				if (step.action == SESSION_DO_OPEN)
					assert_true(s == SESSION_WAIT_HELLO && e == SESSION_EV_HELLO_GOOD);
				if (step.action == SESSION_DO_REFUSE)
					assert_int_equal(step.next, SESSION_DRAINING);
				if (step.next == SESSION_OPEN && s != SESSION_OPEN)
					assert_int_equal(step.action, SESSION_DO_OPEN);
			}
}

static void what_matters(void **state)
{
	(void)state;
	assert_int_equal(session_step(SESSION_SERVER, SESSION_WAIT_HELLO, SESSION_EV_REQUEST).cause, CAUSE_UNEXPECTED_MESSAGE);
	assert_int_equal(session_step(SESSION_SERVER, SESSION_OPEN, SESSION_EV_HELLO_GOOD).cause, CAUSE_UNEXPECTED_MESSAGE);
	assert_int_equal(session_step(SESSION_SERVER, SESSION_OPEN, SESSION_EV_RESPONSE).action, SESSION_DO_REFUSE);
	assert_int_equal(session_step(SESSION_CLIENT, SESSION_OPEN, SESSION_EV_REQUEST).action, SESSION_DO_REFUSE);
	assert_int_equal(session_step(SESSION_SERVER, SESSION_DRAINING, SESSION_EV_REQUEST).action, SESSION_DO_NOTHING);
	assert_int_equal(session_step(SESSION_CLIENT, SESSION_DRAINING, SESSION_EV_RESPONSE).action, SESSION_DO_DELIVER);
	assert_int_equal(session_step(SESSION_SERVER, SESSION_OPEN, SESSION_EV_PING).action, SESSION_DO_PONG);
}

static enum cause judge(struct hello h, struct str expected, bool required)
{
	char detail[200];
	uint32_t version = 0;
	enum cause c = hello_check(&h, expected, required, &version, detail, sizeof detail);
	if (c == CAUSE_NO_CAUSE)
		assert_int_equal(version, 1);
	return c;
}

static void hellos(void **state)
{
	(void)state;
	struct hello good = { 1, 1, STR("a.b"), LIMITS_DEFAULT, STR("") }, h = good;
	assert_int_equal(judge(good, STR("a.b"), true), CAUSE_NO_CAUSE);
	h.version_max = 9;
	assert_int_equal(judge(h, STR("a.b"), true), CAUSE_NO_CAUSE);
	h.version_min = 2;
	assert_int_equal(judge(h, STR("a.b"), true), CAUSE_UNSUPPORTED_VERSION);
	h.version_max = 1;
	assert_int_equal(judge(h, STR("a.b"), true), CAUSE_MALFORMED_MESSAGE);
	assert_int_equal(judge(good, STR("b.c"), false), CAUSE_MC_SYSTEM_ID_MISMATCH);
	h = good, h.mc_system_id = STR_NONE;
	assert_int_equal(judge(h, STR("a.b"), false), CAUSE_NO_CAUSE);
	assert_int_equal(judge(h, STR("a.b"), true), CAUSE_MC_SYSTEM_ID_MISMATCH);
	uint32_t *limits[] = { &h.limits.max_frame_bytes, &h.limits.max_mc_ids, &h.limits.max_mc_service_ids_per_mc_id,
			       &h.limits.max_mc_system_ids, &h.limits.max_requests_in_flight,
			       &h.limits.idle_timeout_seconds };
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		h = good;
		*limits[i] = 0;
		assert_int_equal(judge(h, STR("a.b"), true), CAUSE_MALFORMED_MESSAGE);
	}
	h = good, h.limits.max_frame_bytes = FRAME_BYTES_MAX + 1;
	assert_int_equal(judge(h, STR("a.b"), true), CAUSE_MALFORMED_MESSAGE);
}

/* By who may say what (PROTOCOL.md 4). */
static void queries_and_answers(void **state)
{
	(void)state;
	static const enum message_kind asks[] = { MESSAGE_REQUESTS_QUERY, MESSAGE_USERS_QUERY, MESSAGE_DIGEST_QUERY,
						  MESSAGE_PENDING_QUERY, MESSAGE_DECISION };
	static const enum message_kind answers[] = { MESSAGE_PROCESS_INDICATION, MESSAGE_REQUESTS_PAGE,
						     MESSAGE_USERS_PAGE, MESSAGE_DIGEST_PAGE, MESSAGE_PENDING_PAGE,
						     MESSAGE_DECISION_RESULT };
	for (size_t i = 0; i < sizeof asks / sizeof *asks; i++)
		assert_int_equal(session_event_of(asks[i]), SESSION_EV_REQUEST);
	for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
		assert_int_equal(session_event_of(answers[i]), SESSION_EV_RESPONSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sweep),
		cmocka_unit_test(what_matters),
		cmocka_unit_test(hellos),
		cmocka_unit_test(queries_and_answers),
	};
	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
