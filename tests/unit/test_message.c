// needs: common/message.c common/message_v2.c common/message_encode.c common/message_kind.c common/frame.c
// needs: common/setup.c common/sort.c common/identity.c common/text.c common/arena.c common/error.c proto/acx.pb-c.c
#include "common/frame.h"
#include "common/message_internal.h"
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
		{ BYTES("\xfa\x01\x00"), CAUSE_UNEXPECTED_MESSAGE },            /* body 31 */
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

/* The text behind *field is encoded with a mark in it, which then becomes the byte given. */
static void refuse_with(const struct message *m, struct str *field, char byte)
{
	struct str before = *field;
	uint8_t *frame;
	size_t length;
	struct message out;
	enum cause why;
	*field = STR("ab\x1f" "cd");
	assert_int_equal(message_encode_unchecked(m, &frame, &length), OK);
	uint8_t *mark = memchr(frame + FRAME_HEADER_SIZE, 0x1f, length - FRAME_HEADER_SIZE);
	assert_non_null(mark);
	*mark = (uint8_t)byte;
	struct arena *a = arena_new(0);
	assert_int_equal(decode(a, frame + FRAME_HEADER_SIZE, length - FRAME_HEADER_SIZE, &out, &why), ERR_INPUT);
	assert_int_equal(why, CAUSE_MALFORMED_MESSAGE);
	arena_free(a);
	free(frame);
	*field = before;
}

static void every_text_is_checked(void **state)
{
	(void)state;
	struct str target = STR("a"), mc_id = STR("a");
	struct service_id_entry entry = { STR("a"), 1, STR("a") };
	struct identity_cause cause = { STR("a"), STR("a"), CAUSE_MC_SERVICE_ID_IN_USE };
	struct message hello = { .kind = MESSAGE_HELLO, .hello = { 1, 1, STR("a"), LIMITS_DEFAULT, STR("a") } };
	struct message request = { .kind = MESSAGE_SETUP_REQUEST,
				   .request = { .home_acmc_id = STR("a"), .mc_system_ids = &target, .n_mc_system_ids = 1,
						.mc_ids = &mc_id, .n_mc_ids = 1, .service_ids = &entry, .n_service_ids = 1 } };
	struct message response = { .kind = MESSAGE_SETUP_RESPONSE,
				    .response = { .mc_system_id = STR("a"), .mc_ids = &mc_id, .n_mc_ids = 1,
						  .service_ids = &entry, .n_service_ids = 1, .identities = &cause,
						  .n_identities = 1, .detail = STR("a") } };
	struct message bye = { .kind = MESSAGE_CLOSE, .close = { CAUSE_GOING_AWAY, STR("a") } };
	const struct {
		const struct message *m;
		struct str *field;
	} texts[] = {
		{ &hello, &hello.hello.mc_system_id }, { &hello, &hello.hello.software },
		{ &request, &request.request.home_acmc_id }, { &request, &target }, { &request, &mc_id },
		{ &request, &entry.mc_id }, { &request, &entry.mc_service_id },
		{ &response, &response.response.mc_system_id }, { &response, &mc_id }, { &response, &entry.mc_id },
		{ &response, &entry.mc_service_id }, { &response, &cause.mc_id }, { &response, &cause.mc_service_id },
		{ &response, &response.response.detail }, { &bye, &bye.close.detail },
	};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		refuse_with(texts[i].m, texts[i].field, '\0');
		refuse_with(texts[i].m, texts[i].field, (char)0xff);
	}
}

#define ID "\x0a\x10" "0123456789abcdef"

/* Never ignored in a request, wherever they are; ignored everywhere else. */
static void unknown_fields(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t n;
		bool noticed;
	} cases[] = {
		{ BYTES("\x12\x12" ID), false },
		{ BYTES("\x12\x15" ID "\x88\x01\x01"), true },               /* in the request */
		{ BYTES("\x12\x16" ID "\x2a\x02\x78\x01"), true },           /* in an entry */
		{ BYTES("\x12\x12" ID "\xfa\x01\x00"), true },               /* beside it */
		{ BYTES("\x1a\x16" ID "\x28\x00\x78\x01"), false },          /* in a response */
		{ BYTES("\x1a\x1c" ID "\x28\x00\x22\x02\x78\x01\x42\x02\x78\x01"), false }, /* in its entries */
		{ BYTES("\x22\x02\x78\x01"), false },
		{ BYTES("\x0a\x06\x22\x02\x78\x01\x78\x01"), false },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct arena *a = arena_new(message_budget(cases[i].n));
		struct message m;
		enum cause why;
		assert_int_equal(decode(a, cases[i].bytes, cases[i].n, &m, &why), OK);
		assert_int_equal(m.kind == MESSAGE_SETUP_REQUEST && m.request.has_unknown_fields, cases[i].noticed);
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

/* Each number has one form; the other of each pair is how it is said. */
static void numbers_have_one_form(void **state)
{
	(void)state;
	static const struct {
		const char *good;
		size_t n_good;
		const char *bad;
		size_t n_bad;
	} cases[] = {
#define PAIR(good, bad) { good, sizeof(good) - 1, bad, sizeof(bad) - 1 }
		PAIR("\x22\x02\x08\x05", "\xa2\x00\x02\x08\x05"),         /* a key */
		PAIR("\x22\x02\x08\x05", "\x22\x82\x00\x08\x05"),         /* a length */
		PAIR("\x22\x02\x08\x05", "\x22\x03\x08\x85\x00"),         /* a number */
		PAIR("\x22\x05\x08\x05\x98\x06\x01", "\x22\x06\x08\x05\x98\x06\x81\x00"), /* of an unknown field */
		PAIR("\x22\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		     "\x22\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), /* of 65 bits */
		PAIR("\x22\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		     "\x22\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x03"),
		PAIR("\x42\x02\x18\x01", "\x42\x02\x18\x02"),              /* a bool */
		PAIR("\x42\x02\x18\x01", "\x42\x03\x18\x81\x01"),
		PAIR("\x42\x06\x48\xff\xff\xff\xff\x0f", "\x42\x06\x48\x85\x80\x80\x80\x10"), /* 32 bits */
		PAIR("\x32\x06\x08\xff\xff\xff\xff\x07", "\x32\x06\x08\x81\x80\x80\x80\x08"), /* an enum */
		PAIR("\x32\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x32\x06\x08\xff\xff\xff\xff\x0f"),
		PAIR("\x32\x0b\x08\x80\x80\x80\x80\xf8\xff\xff\xff\xff\x01",
		     "\x32\x0b\x08\x80\x80\x80\x80\xf0\xff\xff\xff\xff\x01"),
#undef PAIR
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct arena *a = arena_new(0);
		struct message m;
		enum cause why;
		struct error e;
		if (message_decode(a, (const uint8_t *)cases[i].good, cases[i].n_good, &m, &why, &e) != OK)
			fail_msg("case %zu: %s", i, e.text);
		if (message_decode(a, (const uint8_t *)cases[i].bad, cases[i].n_bad, &m, &why, &e) == OK)
			fail_msg("case %zu is accepted", i);
		arena_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_come_back_as_they_were),
		cmocka_unit_test(responses_come_back_as_they_were),
		cmocka_unit_test(the_small_ones),
		cmocka_unit_test(what_is_malformed),
		cmocka_unit_test(every_text_is_checked),
		cmocka_unit_test(unknown_fields),
		cmocka_unit_test(amplification_is_bounded),
		cmocka_unit_test(numbers_have_one_form),
	};
	return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
