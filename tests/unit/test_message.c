// needs: common/message.c common/frame.c common/text.c common/arena.c common/error.c proto/acx.pb-c.c
#include "common/frame.h"
#include "common/message.h"
#include "unit.h"

static enum status decode(struct arena *a, const void *bytes, size_t n, struct message *m, enum cause *why)
{
	struct error e;
	return message_decode(a, bytes, n, m, why, &e);
}

/* Encoded and decoded again. */
static struct message back(struct arena *a, const struct message *m)
{
	uint8_t *frame;
	size_t length;
	struct message out;
	enum cause why;
	uint32_t payload = 0;
	assert_int_equal(message_encode(m, &frame, &length), OK);
	assert_int_equal(message_size(m), length);
	assert_int_equal(frame_look(frame, length, FRAME_BYTES_MAX, &payload), FRAME_COMPLETE);
	assert_int_equal(payload + FRAME_HEADER_SIZE, length);
	assert_int_equal(decode(a, frame + FRAME_HEADER_SIZE, payload, &out, &why), OK);
	free(frame);
	assert_int_equal(out.kind, m->kind);
	return out;
}

static void requests_come_back_as_they_were(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct str targets[] = { STR("fire.example"), STR("rail.example") }, mc_ids[] = { STR("a"), STR("gr\xC3\xBC\xC3\x9F") };
	struct service_id_entry ids[] = { { STR("a"), 2, STR("sip:a@x.example") }, { STR("b"), -7, STR("") } };
	struct message m = { .kind = MESSAGE_SETUP_REQUEST,
			     .request = { .request_id = { "0123456789abcde" }, .home_acmc_id = STR(""), .mc_system_ids = targets,
					  .n_mc_system_ids = 2, .mc_ids = mc_ids, .n_mc_ids = 2, .service_ids = ids,
					  .n_service_ids = 2 } };
	struct message got = back(a, &m);
	assert_memory_equal(&got.request.request_id, &m.request.request_id, 16);
	assert_non_null(got.request.home_acmc_id.ptr); /* empty is not absent */
	assert_str(got.request.mc_system_ids[1], "rail.example");
	assert_str(got.request.mc_ids[1], "gr\xC3\xBC\xC3\x9F");
	assert_int_equal(got.request.service_ids[1].service, -7);
	assert_false(got.request.has_unknown_fields);
	m.request.home_acmc_id = STR_NONE;
	assert_null(back(a, &m).request.home_acmc_id.ptr);
	arena_free(a);
}

static void responses_come_back_as_they_were(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct identity_cause causes[] = { { STR("a"), STR_NONE, CAUSE_INVALID_MC_ID },
					   { STR("b"), STR("sip:b@x.example"), CAUSE_MC_SERVICE_ID_IN_USE } };
	char detail[600];
	memset(detail, 'd', sizeof detail);
	memcpy(detail + 511, "\xC3\xA4", 2); /* what is cut must not be half a character */
	struct message m = { .kind = MESSAGE_SETUP_RESPONSE,
			     .response = { .mc_system_id = STR("fire.example"), .origin = ORIGIN_PARTNER_ACMS,
					   .cause = CAUSE_MC_SERVICE_ID_IN_USE, .identities = causes, .n_identities = 2,
					   .detail = { detail, sizeof detail } } };
	struct message got = back(a, &m);
	assert_false(got.response.result);
	assert_null(got.response.identities[0].mc_service_id.ptr);
	assert_str(got.response.identities[1].mc_service_id, "sip:b@x.example");
	assert_int_equal(got.response.detail.len, 511);
	m.response = (struct setup_response){ .result = true, .origin = ORIGIN_HOME_ACMS };
	assert_true(back(a, &m).response.result);
	arena_free(a);
}

static void the_small_ones(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct message m = { .kind = MESSAGE_HELLO, .hello = { 1, 2, STR("a.b"), LIMITS_DEFAULT, STR("x") } };
	struct limits limits = LIMITS_DEFAULT, got = back(a, &m).hello.limits;
	assert_memory_equal(&got, &limits, sizeof limits);
	m = (struct message){ .kind = MESSAGE_PING, .token = 0 };
	assert_int_equal(back(a, &m).token, 0);
	m = (struct message){ .kind = MESSAGE_PONG, .token = UINT64_MAX };
	assert_int_equal(back(a, &m).token, UINT64_MAX);
	m = (struct message){ .kind = MESSAGE_CLOSE, .close = { CAUSE_IDLE_TIMEOUT, STR_NONE } };
	assert_int_equal(back(a, &m).close.cause, CAUSE_IDLE_TIMEOUT);
	arena_free(a);
}

#define BYTES(literal) (literal), sizeof(literal) - 1

static void what_is_malformed(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t n;
		enum cause why;
	} cases[] = {
		{ BYTES("\xff\xff"), CAUSE_MALFORMED_MESSAGE },
		{ BYTES("\x22\x02\x08\x00"), CAUSE_MALFORMED_MESSAGE },         /* explicit default */
		{ BYTES("\x22\x03\x08\x85\x00"), CAUSE_MALFORMED_MESSAGE },     /* long varint */
		{ BYTES("\x22\x02\x08\x01\x2a\x00"), CAUSE_MALFORMED_MESSAGE }, /* two bodies */
		{ BYTES("\x32\x06\x12\x04" "ab\0c"), CAUSE_MALFORMED_MESSAGE }, /* NUL in a detail */
		/* a negative cause in 5 bytes makes room for what a NUL hides */
		{ BYTES("\x32\x0f\x08\xff\xff\xff\xff\x0f\x12\x07" "ab\0cdef"), CAUSE_MALFORMED_MESSAGE },
		{ BYTES("\x32\x04\x12\x02\xc3\x28"), CAUSE_MALFORMED_MESSAGE }, /* no UTF-8 */
		{ BYTES("\x12\x00"), CAUSE_MALFORMED_MESSAGE },                 /* no request ID */
		{ BYTES("\x0a\x04\x08\x01\x10\x01"), CAUSE_MALFORMED_MESSAGE }, /* Hello without limits */
		{ BYTES("\x7a\x00"), CAUSE_UNEXPECTED_MESSAGE },                /* body 15 */
		{ BYTES(""), CAUSE_MALFORMED_MESSAGE },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct arena *a = arena_new(message_budget(cases[i].n));
		struct message m;
		enum cause why;
		assert_int_not_equal(decode(a, cases[i].bytes, cases[i].n, &m, &why), OK);
		assert_int_equal(why, cases[i].why);
		arena_free(a);
	}
}

static void amplification_is_bounded(void **state)
{
	(void)state;
	enum { N = 60000 };
	uint8_t *bytes = malloc(4 + 2 * N);
	memcpy(bytes, "\x12\xc0\xa9\x07", 4); /* a request of 120000 bytes: empty entries */
	for (size_t i = 0; i < N; i++)
		memcpy(bytes + 4 + 2 * i, "\x2a", 2);
	struct arena *a = arena_new(message_budget(4 + 2 * N));
	struct message m;
	enum cause why;
	assert_int_equal(decode(a, bytes, 4 + 2 * N, &m, &why), ERR_INPUT);
	arena_free(a);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_come_back_as_they_were),
		cmocka_unit_test(responses_come_back_as_they_were),
		cmocka_unit_test(the_small_ones),
		cmocka_unit_test(what_is_malformed),
		cmocka_unit_test(amplification_is_bounded),
	};
	return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
