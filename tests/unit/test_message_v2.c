// needs: common/message.c common/message_v2.c common/message_encode.c common/message_kind.c common/frame.c
// needs: common/setup.c common/sort.c common/identity.c common/text.c common/arena.c common/error.c proto/acx.pb-c.c
/*
 * The messages of version 2. tests/fuzz/make-wire-corpus writes, with Python's protobuf, one of each kind with every
 * field filled in: a text is "007~mc_system_id", a number 6003, where 6 is the field's.
 */
#include "common/frame.h"
#include "common/message_internal.h"
#include "unit.h"

static const struct {
	const char *name;
	enum message_kind kind;
	bool asks;
} kinds[] = {
	{ "process_indication", MESSAGE_PROCESS_INDICATION, false },
	{ "requests_query", MESSAGE_REQUESTS_QUERY, true },
	{ "requests_page", MESSAGE_REQUESTS_PAGE, false },
	{ "users_query", MESSAGE_USERS_QUERY, true },
	{ "users_page", MESSAGE_USERS_PAGE, false },
	{ "digest_query", MESSAGE_DIGEST_QUERY, true },
	{ "digest_page", MESSAGE_DIGEST_PAGE, false },
	{ "pending_query", MESSAGE_PENDING_QUERY, true },
	{ "pending_page", MESSAGE_PENDING_PAGE, false },
	{ "decision", MESSAGE_DECISION, true },
	{ "decision_result", MESSAGE_DECISION_RESULT, false },
	{ "mc_service_user_setup_request", MESSAGE_SETUP_REQUEST, false },
	{ "grouped_request", MESSAGE_SETUP_REQUEST, false },
	{ "mc_service_user_setup_response", MESSAGE_SETUP_RESPONSE, false },
	{ "hello", MESSAGE_HELLO, false },
	{ "close", MESSAGE_CLOSE, false },
};
enum { KINDS = sizeof kinds / sizeof *kinds, KINDS_V2 = 11, FILE_MAX = 8192 };

static size_t load(const char *prefix, const char *name, uint8_t bytes[FILE_MAX])
{
	char path[200];
	snprintf(path, sizeof path, "tests/fuzz/corpus/message/%s-%s", prefix, name);
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	size_t n = fread(bytes, 1, FILE_MAX, f);
	assert_in_range(n, 1, FILE_MAX - 1);
	fclose(f);
	return n;
}

static enum status decode(struct arena *a, const void *bytes, size_t n, struct message *m)
{
	enum cause why;
	struct error e;
	enum status status = message_decode(a, bytes, n, m, &why, &e);
	if (status != OK)
		assert_int_equal(why, CAUSE_MALFORMED_MESSAGE);
	return status;
}

static struct message filled(struct arena *a, const char *name)
{
	uint8_t bytes[FILE_MAX];
	size_t n = load("filled", name, bytes);
	struct message m;
	assert_int_equal(decode(a, bytes, n, &m), OK);
	return m;
}

static void encoded_as_python_does(void **state)
{
	(void)state;
	for (size_t i = 0; i < KINDS; i++) {
		uint8_t bytes[FILE_MAX], *frame;
		size_t n = load("filled", kinds[i].name, bytes), length;
		struct arena *a = arena_new(message_budget(n));
		struct message m;
		assert_int_equal(decode(a, bytes, n, &m), OK);
		assert_int_equal(m.kind, kinds[i].kind);
		assert_int_equal(message_encode(&m, &frame, &length), OK);
		assert_int_equal(message_size(&m), length);
		assert_int_equal(length, n + FRAME_HEADER_SIZE);
		assert_memory_equal(frame + FRAME_HEADER_SIZE, bytes, n);
		free(frame);
		arena_free(a);
	}
}

static void every_text_is_checked(void **state)
{
	(void)state;
	for (size_t i = 0; i < KINDS; i++) {
		uint8_t bytes[FILE_MAX];
		size_t n = load("filled", kinds[i].name, bytes), texts = 0;
		for (size_t at = 0; at < n; at++) {
			if (bytes[at] != '~')
				continue;
			for (int bad = 0; bad < 2; bad++) {
				struct arena *a = arena_new(message_budget(n));
				struct message m;
				bytes[at] = bad ? 0xff : 0;
				assert_int_not_equal(decode(a, bytes, n, &m), OK);
				arena_free(a);
			}
			bytes[at] = '~';
			texts++;
		}
		assert_int_not_equal(texts, 0);
	}
}

static void assert_field(struct str s, const char *field)
{
	assert_true(s.len > 4);
	assert_str(((struct str){ s.ptr + 4, s.len - 4 }), field);
}

#define assert_number(value, field) assert_int_equal((value) / 1000, field)

static void fields_are_in_their_places(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct setup_request r = filled(a, "mc_service_user_setup_request").request;
	assert_int_equal(r.operation, OPERATION_REMOVE);
	assert_int_equal(r.n_revisions, 2);
	assert_number(r.revisions[1].revision, 2);
	assert_number(r.validity.not_before_ms, 1);
	assert_number(r.validity.not_after_ms, 2);
	assert_true(r.has_validity && r.dry_run && r.best_effort && !r.has_unknown_fields);
	assert_number(r.expires_ms, 9);
	assert_number(r.part, 12);
	assert_number(r.parts, 13);
	struct setup_response answer = filled(a, "mc_service_user_setup_response").response;
	assert_int_equal(answer.n_revisions, 2);
	assert_int_equal(answer.n_of_each, 2);
	assert_number(answer.revision_of_each[1], 16);
	assert_true(answer.as_requested);
	assert_int_equal(answer.receipt.len, 16);
	assert_field(answer.decided_by.acmc, "acmc");
	assert_field(answer.decided_by.reason, "reason");
	assert_number(answer.decided_by.at_ms, 3);
	struct requests_query q = filled(a, "requests_query").requests_query;
	assert_number(q.since_ms, 6);
	assert_number(q.until_ms, 7);
	assert_number(q.max, 9);
	assert_true(q.has_request_id && q.has_after && q.request_id.bytes[0] < q.after.bytes[0]);
	struct requests_page page = filled(a, "requests_page").requests_page;
	assert_int_equal(page.n_entries, 2);
	const struct request_entry *entry = &page.entries[1];
	assert_number(entry->accepted_ms, 4);
	assert_number(entry->deadline_ms, 5);
	assert_number(entry->users, 8);
	assert_int_equal(entry->n_deliveries, 2);
	assert_number(entry->deliveries[1].attempts, 3);
	assert_number(entry->deliveries[1].until_ms, 4);
	assert_number(entry->deliveries[1].answered_ms, 7);
	struct users_query users = filled(a, "users_query").users_query;
	assert_field(users.from, "from");
	assert_field(users.to, "to");
	assert_field(users.after, "after");
	struct user_entry user = filled(a, "users_page").users_page.users[1];
	assert_number(user.revision, 3);
	assert_number(user.changed_ms, 6);
	assert_memory_equal(user.service_ids[1].mc_service_id.ptr + 7, "~mc_service_id@", 15);
	assert_field(filled(a, "digest_query").digest_query.ranges[1].to, "to");
	struct pending_query pending = filled(a, "pending_query").pending_query;
	assert_field(pending.mc_system_id, "mc_system_id");
	assert_field(pending.after_mc_system_id, "after_mc_system_id");
	struct pending_entry waits = filled(a, "pending_page").pending_page.entries[0];
	assert_number(waits.received_ms, 2);
	assert_number(waits.until_ms, 3);
	assert_number(waits.users, 5);
	assert_true(waits.also_of_others);
	arena_free(a);
}

static struct message compact(struct arena *a, const char *name, enum status expected)
{
	uint8_t bytes[FILE_MAX];
	size_t n = load("response", name, bytes);
	struct message m = { .kind = MESSAGE_PING };
	assert_int_equal(decode(a, bytes, n, &m), expected);
	return m;
}

static void responses_as_requested(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct setup_response r = compact(a, "compact", OK).response;
	assert_true(r.as_requested && r.n_mc_ids == 0 && r.n_revisions == 0);
	assert_int_equal(r.n_of_each, 4);
	assert_true(r.revision_of_each[0] == 1 && r.revision_of_each[1] == 0);
	assert_true(r.revision_of_each[2] == 300 && r.revision_of_each[3] == UINT64_MAX);
	assert_int_equal(compact(a, "compact-one", OK).response.revision_of_each[0], 1);
	compact(a, "compact-unpacked", ERR_INPUT);
	compact(a, "unpacked-and-nul", ERR_INPUT); /* though its size is right */
	arena_free(a);
}

/* Who gets a page need not have the request. */
static void nothing_is_left_out_in_pages(void **state)
{
	(void)state;
	struct delivery_entry d = { .state = DELIVERY_ANSWERED, .has_response = true, .response = { .origin = ORIGIN_HOME_ACMS } };
	struct request_entry entry = { .deliveries = &d, .n_deliveries = 1 };
	const uint64_t one = 1;
	for (int i = 0; i < 3; i++) {
		struct message m = { .kind = MESSAGE_REQUESTS_PAGE, .requests_page = { .entries = &entry, .n_entries = 1 } };
		struct arena *a = arena_new(0);
		uint8_t *frame;
		size_t length;
		d.response.as_requested = i == 1;
		d.response.revision_of_each = &one;
		d.response.n_of_each = i == 2;
		assert_int_equal(message_encode_unchecked(&m, &frame, &length), OK);
		assert_int_equal(decode(a, frame + FRAME_HEADER_SIZE, length - FRAME_HEADER_SIZE, &m), i == 0 ? OK : ERR_INPUT);
		free(frame);
		arena_free(a);
	}
}

#define BYTES(literal) (literal), sizeof(literal) - 1
#define ID "0123456789abcdef"

static void flags_are_not_mixed_up(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct message m;
	assert_int_equal(decode(a, BYTES("\x42\x02\x18\x01"), &m), OK);
	assert_true(m.requests_query.unfinished_only && !m.requests_query.refused_only && !m.requests_query.follow);
	assert_false(m.requests_query.has_request_id || m.requests_query.has_after);
	assert_null(m.requests_query.mc_system_id.ptr);
	assert_int_equal(decode(a, BYTES("\x12\x14\x0a\x10" ID "\x50\x01"), &m), OK);
	assert_true(m.request.dry_run && !m.request.best_effort && !m.request.has_validity);
	assert_int_equal(decode(a, BYTES("\x12\x14\x0a\x10" ID "\x42\x00"), &m), OK);
	assert_true(m.request.has_validity); /* given, without bounds */
	assert_int_equal(decode(a, BYTES("\x52\x02\x08\x01"), &m), OK);
	assert_true(!m.users_query.from.ptr && !m.users_query.to.ptr);
	arena_free(a);
}

/* Never ignored in what asks for something, ignored in what answers. */
static void unknown_fields(void **state)
{
	(void)state;
	for (size_t i = 0; i < KINDS_V2; i++) {
		uint8_t bytes[FILE_MAX + 3];
		enum status expected = kinds[i].asks ? ERR_INPUT : OK;
		struct arena *a = arena_new(0);
		struct message m;
		size_t n = load("unknown-in", kinds[i].name, bytes);
		assert_int_equal(decode(a, bytes, n, &m), expected);
		n = load("filled", kinds[i].name, bytes);
		memcpy(bytes + n, "\x98\x06\x01", 3); /* beside it */
		assert_int_equal(decode(a, bytes, n + 3, &m), expected);
		arena_free(a);
	}
	struct arena *a = arena_new(0);
	struct message m;
	assert_int_equal(decode(a, BYTES("\x62\x05\x22\x03\x98\x06\x01"), &m), ERR_INPUT); /* in a range */
	assert_int_equal(decode(a, BYTES("\x12\x17\x0a\x10" ID "\x42\x03\x98\x06\x01"), &m), OK);
	assert_true(m.request.has_unknown_fields); /* in a validity */
	assert_int_equal(decode(a, BYTES("\x12\x17\x0a\x10" ID "\x3a\x03\x98\x06\x01"), &m), OK);
	assert_true(m.request.has_unknown_fields); /* in a revision */
	arena_free(a);
}

static void what_is_malformed(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t n;
	} cases[] = {
		{ BYTES("\x3a\x14\x0a\x10" ID "\x18\x04") },               /* unknown state */
		{ BYTES("\x3a\x12\x0a\x10" ID) },                          /* none */
		{ BYTES("\x3a\x02\x18\x01") },                             /* an indication without request ID */
		{ BYTES("\x42\x07\x12\x05" "12345") },                     /* a short one */
		{ BYTES("\x42\x03\x42\x01" "1") },                         /* short after */
		{ BYTES("\x4a\x04\x22\x02\x4a\x00") },                     /* an entry without request ID */
		{ BYTES("\x4a\x18\x22\x16\x0a\x10" ID "\x4a\x02\x10\x05") }, /* an unknown delivery state */
		{ BYTES("\x4a\x1a\x22\x18\x0a\x10" ID "\x4a\x04\x10\x04\x32\x00") }, /* a response of nothing */
		{ BYTES("\x5a\x02\x22\x00") },                             /* a user without by */
		{ BYTES("\x5a\x18\x22\x16\x12\x02\x10\x04\x3a\x10" ID) },  /* an unknown service */
		{ BYTES("\x5a\x1b\x22\x19\x12\x05\x0a\x01" "a\x10\x01\x3a\x10" ID) }, /* an MC ID that is not left out */
		{ BYTES("\x6a\x07\x22\x05\x12\x03" "123") },               /* a short digest */
		{ BYTES("\x72\x03\x22\x01" "a") },                         /* half of a place */
		{ BYTES("\x72\x12\x2a\x10" ID) },                          /* the other half */
		{ BYTES("\x7a\x02\x22\x00") },                             /* nothing waits */
		{ BYTES("\x82\x01\x02\x20\x01") },                         /* a decision about nothing */
		{ BYTES("\x42\x02\x18\x00") },                             /* explicit default */
		{ BYTES("\x7a\x18\x22\x16\x0a\x00\x22\x12\x0a\x10" ID) },  /* a home system that is none */
		{ BYTES("\x82\x01\x15\x1a\x10" ID "\x2a\x01\x1b") },      /* a reason with a control */
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct arena *a = arena_new(message_budget(cases[i].n));
		struct message m;
		if (decode(a, cases[i].bytes, cases[i].n, &m) == OK)
			fail_msg("case %zu is accepted", i);
		arena_free(a);
	}
}

/* Made from a good one by make-wire-corpus, each with one thing changed. */
static void groups_that_do_not_fit(void **state)
{
	(void)state;
	static const char *const names[] = { "service-missing", "service-too-many", "id-missing", "count-missing",
					     "counted-twice", "counted-over", "not-counted", "both", "too-few-counts" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		uint8_t bytes[FILE_MAX];
		size_t n = load("grouped", names[i], bytes);
		struct arena *a = arena_new(message_budget(n));
		struct message m;
		if (decode(a, bytes, n, &m) == OK)
			fail_msg("%s is accepted", names[i]);
		arena_free(a);
	}
}

/* A request with these entries, said in groups, comes back with the same ones. True: it was grouped on the wire. */
static bool is_said_in_groups(struct service_id_entry *entries, size_t n)
{
	struct str mc_ids[] = { STR("none"), STR("one"), STR("two") };
	struct message m = { .kind = MESSAGE_SETUP_REQUEST,
			     .request = { .mc_ids = mc_ids, .n_mc_ids = 3, .service_ids = entries, .n_service_ids = n,
					  .grouped = true } }, out;
	uint8_t *frame;
	size_t length;
	struct arena *a = arena_new(0);
	assert_int_equal(message_encode(&m, &frame, &length), OK);
	assert_int_equal(decode(a, frame + FRAME_HEADER_SIZE, length - FRAME_HEADER_SIZE, &out), OK);
	assert_int_equal(out.request.n_service_ids, n);
	for (size_t i = 0; i < n; i++) {
		assert_true(str_eq(out.request.service_ids[i].mc_id, entries[i].mc_id));
		assert_int_equal(out.request.service_ids[i].service, entries[i].service);
		assert_true(str_eq(out.request.service_ids[i].mc_service_id, entries[i].mc_service_id));
	}
	bool grouped = out.request.grouped;
	free(frame);
	arena_free(a);
	return grouped;
}

static void groups_come_back_as_they_were(void **state)
{
	(void)state;
	struct service_id_entry entries[] = { { STR("one"), 1, STR("sip:1@a.b") }, { STR("two"), 255, STR("") },
					      { STR("two"), 3, STR("sip:3@a.b") } };
	assert_true(is_said_in_groups(entries, 3));
	assert_true(is_said_in_groups(entries, 1));
	assert_false(is_said_in_groups(entries, 0)); /* there is nothing to say */
	entries[1].service = 256; /* nor can this be said */
	assert_false(is_said_in_groups(entries, 3));
	entries[1].service = -7;
	assert_false(is_said_in_groups(entries, 3));
	entries[1].service = 2;
	entries[0].mc_id = STR("two");
	entries[1].mc_id = STR("one");
	assert_false(is_said_in_groups(entries, 3)); /* not in order: said one by one */
	entries[1].mc_id = STR("unpaired");
	assert_false(is_said_in_groups(entries, 3));
	struct service_id_entry many[256];
	for (size_t i = 0; i < 256; i++)
		many[i] = (struct service_id_entry){ STR("one"), 1, STR("sip:1@a.b") };
	assert_true(is_said_in_groups(many, 255));
	assert_false(is_said_in_groups(many, 256));
}

static enum status back(const struct message *m)
{
	uint8_t *frame;
	size_t length;
	struct message out;
	assert_int_equal(message_encode_unchecked(m, &frame, &length), OK);
	struct arena *a = arena_new(message_budget(length - FRAME_HEADER_SIZE));
	enum status status = decode(a, frame + FRAME_HEADER_SIZE, length - FRAME_HEADER_SIZE, &out);
	free(frame);
	assert_int_equal(message_encode(m, &frame, &length) == OK, status == OK); /* no writer makes what its reader refuses */
	free(frame);
	arena_free(a);
	return status;
}

static void lists_keep_order_and_bounds(void **state)
{
	(void)state;
	static char names[300][8];
	static struct mc_id_range ranges[300];
	struct str splits[16];
	for (size_t i = 0; i < 300; i++)
		snprintf(names[i], sizeof names[i], "%03u", (unsigned)i);
	for (size_t i = 0; i < 300; i++) {
		ranges[i].from = str_of(names[i]);
		ranges[i].to = str_of(names[i < 299 ? i + 1 : i]);
		if (i < 16)
			splits[i] = ranges[i].from;
	}
	struct message m = { .kind = MESSAGE_DIGEST_QUERY, .digest_query = { .ranges = ranges, .n_ranges = 257 } };
	assert_int_equal(back(&m), ERR_INPUT);
	m.digest_query.n_ranges = 256;
	assert_int_equal(back(&m), OK);
	ranges[0].from = ranges[255].to = STR_NONE; /* everything */
	assert_int_equal(back(&m), OK);
	ranges[7].to = STR_NONE;
	assert_int_equal(back(&m), ERR_INPUT);
	ranges[7].to = STR("0085");
	assert_int_equal(back(&m), ERR_INPUT);
	ranges[7].to = STR("0070");
	assert_int_equal(back(&m), OK);
	ranges[7].to = STR("006");
	assert_int_equal(back(&m), ERR_INPUT);

	struct range_digest digest = { .splits = splits, .n_splits = 15 };
	m = (struct message){ .kind = MESSAGE_DIGEST_PAGE, .digest_page = { .digests = &digest, .n_digests = 1 } };
	assert_int_equal(back(&m), OK);
	digest.n_splits = 16;
	assert_int_equal(back(&m), ERR_INPUT);
	digest.n_splits = 2, splits[1] = splits[0];
	assert_int_equal(back(&m), ERR_INPUT);

	digest.splits[1] = STR("b\033");
	assert_int_equal(back(&m), ERR_INPUT);
}

static enum status page_of_user(const struct user_entry *user)
{
	struct user_entry users[] = { { .mc_id = STR("a") }, *user };
	struct message m = { .kind = MESSAGE_USERS_PAGE, .users_page = { .users = users, .n_users = 2 } };
	return back(&m);
}

/* What is in a page of users goes into tables, CSV and digests as it is. */
static void identities_of_a_page_are_checked(void **state)
{
	(void)state;
	static const char *const wrong[] = { "", "a", "A", "b\033[2J", "b\n", "b\x7f", "b\xc2\x9b", "b\xe2\x80\xae" };
	static const char *const wrong_ids[] = { "", "sip:b", "SIP:b@police.example", "sip:%62@police.example",
						 "sip:b\033@police.example", "tel:+49-30", "http://b.example/" };
	char longest[257];
	struct user_service_id id = { MC_SERVICE_MCPTT, STR("tel:+4930") };
	struct user_entry user = { .mc_id = STR("b"), .service_ids = &id, .n_service_ids = 1, .revision = 1 };
	memset(longest, 'b', sizeof longest);
	assert_int_equal(page_of_user(&user), OK);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		user.mc_id = str_of(wrong[i]);
		if (page_of_user(&user) == OK)
			fail_msg("MC ID %zu is accepted", i);
	}
	user.mc_id = (struct str){ longest, 255 };
	assert_int_equal(page_of_user(&user), OK);
	user.mc_id.len++;
	assert_int_equal(page_of_user(&user), ERR_INPUT);
	user.mc_id = STR("b");
	for (size_t i = 0; i < sizeof wrong_ids / sizeof *wrong_ids; i++) {
		id.mc_service_id = str_of(wrong_ids[i]);
		if (page_of_user(&user) == OK)
			fail_msg("MC service ID %zu is accepted", i);
	}
}

static void what_a_user_has_is_in_order(void **state)
{
	(void)state;
	struct user_service_id ids[] = { { MC_SERVICE_MCPTT, STR("sip:b@a.bc") }, { MC_SERVICE_MCPTT, STR("sip:c@a.bc") },
					 { MC_SERVICE_MCDATA, STR("sip:b@a.bc") } };
	struct user_entry user = { .mc_id = STR("b"), .service_ids = ids, .n_service_ids = 3, .revision = UINT64_MAX,
				   .validity = { 5, 6 } };
	assert_int_equal(page_of_user(&user), OK);
	user.validity.not_after_ms = 5;
	assert_int_equal(page_of_user(&user), ERR_INPUT);
	user.validity.not_after_ms = 0; /* without an end */
	assert_int_equal(page_of_user(&user), OK);
	ids[1].mc_service_id = STR("sip:b@a.bc"); /* twice */
	assert_int_equal(page_of_user(&user), ERR_INPUT);
	ids[1] = (struct user_service_id){ MC_SERVICE_MCDATA, STR("sip:c@a.bc") };
	assert_int_equal(page_of_user(&user), ERR_INPUT);
}

static enum status ask_users(struct str from, struct str after, struct str to)
{
	struct message m = { .kind = MESSAGE_USERS_QUERY,
			     .users_query = { .mc_system_id = STR("a.bc"), .from = from, .after = after, .to = to } };
	return back(&m);
}

static void ranges_are_not_empty_and_after_is_in_them(void **state)
{
	(void)state;
	assert_int_equal(ask_users(STR_NONE, STR_NONE, STR_NONE), OK);
	assert_int_equal(ask_users(STR("b"), STR_NONE, STR("ba")), OK);
	assert_int_equal(ask_users(STR("b"), STR_NONE, STR("b")), ERR_INPUT);
	assert_int_equal(ask_users(STR("b"), STR_NONE, STR("a")), ERR_INPUT);
	assert_int_equal(ask_users(STR("b"), STR("b"), STR("c")), OK);
	assert_int_equal(ask_users(STR_NONE, STR("a"), STR_NONE), OK);
	assert_int_equal(ask_users(STR("b"), STR("a"), STR("c")), ERR_INPUT);
	assert_int_equal(ask_users(STR("b"), STR("c"), STR("c")), ERR_INPUT);
}

/* A field's number, in what a message is made of. */
static uint64_t number(const uint8_t **p)
{
	uint64_t n = 0;
	for (int shift = 0;; shift += 7) {
		n |= (uint64_t)(**p & 0x7f) << shift;
		if (*(*p)++ < 0x80)
			return n;
	}
}

static size_t put_number(uint8_t *to, uint64_t n)
{
	size_t i = 0;
	for (; n >= 0x80; n >>= 7)
		to[i++] = (uint8_t)(n | 0x80);
	to[i++] = (uint8_t)n;
	return i;
}

static bool is_text(const uint8_t *p, size_t n)
{
	return memchr(p, '~', n) && !memchr(p, '\n', n) && p[0] >= '0';
}

/*
 * Copies a message, and makes its text number `which` longer, with all that it is in. *seen counts texts. A field that
 * begins like a message is one if it can be walked through.
 */
static size_t copy_longer(const uint8_t *p, size_t n, size_t which, size_t longest, size_t *seen, uint8_t *out)
{
	const uint8_t *end = p + n;
	size_t at = 0;
	while (p < end) {
		uint64_t key = number(&p), length;
		at += put_number(out + at, key);
		if ((key & 7) == 0) {
			at += put_number(out + at, number(&p));
			continue;
		}
		length = number(&p);
		uint8_t *inner = test_calloc(1, length + longest + 64);
		size_t size = length;
		if (is_text(p, length) && (*seen)++ == which) {
			memset(inner, '~', longest);
			memcpy(inner, p, length);
			size = longest;
		} else if (!is_text(p, length) && memchr(p, '~', length)) {
			size = copy_longer(p, length, which, longest, seen, inner);
		} else {
			memcpy(inner, p, length);
		}
		at += put_number(out + at, size);
		memcpy(out + at, inner, size);
		at += size;
		p += length;
		test_free(inner);
	}
	return at;
}

/* How many of the texts may be so long. */
static size_t lengthen_each(struct arena *a, const uint8_t *bytes, size_t n, size_t longest, size_t *texts)
{
	size_t accepted = 0, all = SIZE_MAX;
	for (size_t which = 0; which < all; which++) {
		struct message m;
		uint8_t *longer = test_calloc(1, n + longest + 64);
		size_t seen = 0, size = copy_longer(bytes, n, which, longest, &seen, longer);
		all = seen;
		accepted += size > n && decode(a, longer, size, &m) == OK;
		test_free(longer);
	}
	*texts = all;
	return accepted;
}

/* Of every message. */
static void every_text_has_a_bound(void **state)
{
	enum { LONGEST = 1024 };
	(void)state;
	for (size_t i = 0; i < KINDS; i++) {
		uint8_t bytes[FILE_MAX];
		size_t n = load("filled", kinds[i].name, bytes), texts = 0;
		struct arena *a = arena_new(0);
		assert_int_not_equal(lengthen_each(a, bytes, n, 64, &texts), 0);
		assert_int_equal(lengthen_each(a, bytes, n, LONGEST + 1, &texts), 0);
		assert_int_not_equal(texts, 0);
		arena_free(a);
	}
}

/* What a query looks for is never longer than what there can be. */
static void keys_of_queries_are_bounded(void **state)
{
	(void)state;
	static char long_text[600];
	memset(long_text, 'x', sizeof long_text);
	struct mc_id_range range = { STR_NONE, STR_NONE };
	struct message users = { .kind = MESSAGE_USERS_QUERY, .users_query = { .mc_system_id = STR("a.b") } };
	struct message digests = { .kind = MESSAGE_DIGEST_QUERY,
				   .digest_query = { .mc_system_id = STR("a.b"), .ranges = &range, .n_ranges = 1 } };
	struct message requests = { .kind = MESSAGE_REQUESTS_QUERY };
	struct message pending = { .kind = MESSAGE_PENDING_QUERY };
	struct message decision = { .kind = MESSAGE_DECISION };
	struct {
		struct message *m;
		struct str *key;
		size_t most;
	} keys[] = {
		{ &users, &users.users_query.from, 255 },
		{ &users, &users.users_query.to, 255 },
		{ &users, &users.users_query.mc_system_id, 253 },
		{ &digests, &range.from, 255 },
		{ &digests, &range.to, 255 },
		{ &digests, &digests.digest_query.mc_system_id, 253 },
		{ &requests, &requests.requests_query.mc_system_id, 253 },
		{ &pending, &pending.pending_query.mc_system_id, 253 },
		{ &pending, &pending.pending_query.after_mc_system_id, 253 },
		{ &decision, &decision.decision.mc_system_id, 253 },
	};
	pending.pending_query.after_mc_system_id = STR("a.b"); /* together with the request's ID, which is encoded with it */
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		struct str before = *keys[i].key;
		for (size_t n = keys[i].most - 1; n <= keys[i].most + 1; n++) {
			*keys[i].key = (struct str){ long_text, n };
			assert_int_equal(back(keys[i].m), n > keys[i].most ? ERR_INPUT : OK);
		}
		*keys[i].key = (struct str){ long_text, 512 };
		assert_int_equal(back(keys[i].m), ERR_INPUT);
		*keys[i].key = before;
		assert_int_equal(back(keys[i].m), OK);
	}
}

/* The budget is for what is sent in good faith, however short its texts. */
static void large_messages_fit_the_budget(void **state)
{
	enum { N = 20000 };
	static char names[N][8];
	static struct user_entry users[N];
	static struct request_entry entries[N];
	static struct user_revision revisions[N];
	static struct str mc_ids[N];
	struct delivery_entry deliveries[] = { { .mc_system_id = STR("a.bc"), .state = DELIVERY_SENT, .attempts = 1 },
					       { .mc_system_id = STR("a.bd"), .state = DELIVERY_ANSWERED,
						 .has_response = true } };
	(void)state;
	for (size_t i = 0; i < N; i++) {
		snprintf(names[i], sizeof names[i], "%05u", (unsigned)i);
		mc_ids[i] = users[i].mc_id = revisions[i].mc_id = str_of(names[i]);
		revisions[i].revision = 1;
		entries[i] = (struct request_entry){ .acmc = STR("a"), .deliveries = deliveries, .n_deliveries = 2 };
	}
	struct message m = { .kind = MESSAGE_USERS_PAGE, .users_page = { .users = users, .n_users = N } };
	assert_int_equal(back(&m), OK);
	m = (struct message){ .kind = MESSAGE_REQUESTS_PAGE, .requests_page = { .entries = entries, .n_entries = N } };
	assert_int_equal(back(&m), OK);
	m = (struct message){ .kind = MESSAGE_SETUP_REQUEST,
			      .request = { .mc_ids = mc_ids, .n_mc_ids = N, .revisions = revisions, .n_revisions = N } };
	assert_int_equal(back(&m), OK);
}

static void long_reasons_are_cut_and_refused(void **state)
{
	(void)state;
	static const char head[] = "\x82\x01\x96\x04\x1a\x10" ID "\x2a\x81\x04";
	uint8_t bytes[sizeof head - 1 + 513];
	struct arena *a = arena_new(0);
	struct message m;
	memcpy(bytes, head, sizeof head - 1);
	memset(bytes + sizeof head - 1, 'r', 513);
	assert_int_equal(decode(a, bytes, sizeof bytes, &m), ERR_INPUT);
	m = (struct message){ .kind = MESSAGE_DECISION,
			      .decision.reason = { (const char *)bytes + sizeof head - 1, 513 } };
	assert_int_equal(back(&m), OK);
	arena_free(a);
}

/* The encoder cuts what is for people, at a character, to what the decoder takes. */
static void no_text_for_people_is_too_long_for_the_reader(void **state)
{
	enum { LONGEST = 1100 };
	static char text[LONGEST + 4];
	(void)state;
	for (size_t i = 0; i < LONGEST; i++)
		text[i] = "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x9A\x92"[i % 10];
	for (size_t n = 0; n < LONGEST; n += 1 + n / 300) {
		struct str s = { text, n }; /* also cut in the middle of a character */
		struct delivery_entry d = { .mc_system_id = STR("a.bc"), .state = DELIVERY_ANSWERED, .detail = s, .has_response = true,
					    .response = { .detail = s, .decided_by = { .acmc = STR("x"), .reason = s } } };
		struct request_entry entry = { .acmc = s, .deliveries = &d, .n_deliveries = 1 };
		struct message m[] = {
			{ .kind = MESSAGE_REQUESTS_PAGE, .requests_page = { .page = { .detail = s }, .entries = &entry, .n_entries = 1 } },
			{ .kind = MESSAGE_HELLO, .hello = { .software = s } },
			{ .kind = MESSAGE_CLOSE, .close = { .detail = s } },
			{ .kind = MESSAGE_PROCESS_INDICATION, .indication = { .state = PROCESS_PENDING, .detail = s } },
			{ .kind = MESSAGE_DECISION, .decision = { .reason = s } },
			{ .kind = MESSAGE_SETUP_RESPONSE, .response = { .detail = s, .decided_by = { .acmc = s, .reason = s } } },
			{ .kind = MESSAGE_DECISION_RESULT, .decision_result = { .page = { .detail = s }, .has_response = true,
									       .response = { .detail = s } } },
			{ .kind = MESSAGE_USERS_PAGE, .users_page = { .page = { .detail = s } } },
			{ .kind = MESSAGE_DIGEST_PAGE, .digest_page = { .page = { .detail = s } } },
			{ .kind = MESSAGE_PENDING_PAGE, .pending_page = { .page = { .detail = s } } },
		};
		for (size_t i = 0; i < sizeof m / sizeof *m; i++) {
			if (back(&m[i]) != OK)
				fail_msg("message %zu, %zu bytes", i, n);
		}
	}
}

static void versions(void **state)
{
	(void)state;
	struct message m = { .kind = MESSAGE_SETUP_REQUEST };
	struct user_revision revision = { STR("a"), 1 };
	assert_int_equal(message_version(&m), 1);
	const struct setup_request with[] = {
		{ .operation = OPERATION_REMOVE }, { .revisions = &revision, .n_revisions = 1 },
		{ .has_validity = true }, { .expires_ms = 1 }, { .dry_run = true }, { .best_effort = true },
		{ .part = 1 }, { .parts = 1 }, { .grouped = true },
	};
	for (size_t i = 0; i < sizeof with / sizeof *with; i++) {
		m.request = with[i];
		assert_int_equal(message_version(&m), 2);
	}
	for (size_t i = 0; i < KINDS; i++) {
		m.kind = kinds[i].kind;
		if (m.kind != MESSAGE_SETUP_REQUEST)
			assert_int_equal(message_version(&m), i < KINDS_V2 ? 2 : 1);
		assert_string_not_equal(message_kind_name(m.kind), "?");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encoded_as_python_does),
		cmocka_unit_test(every_text_is_checked),
		cmocka_unit_test(fields_are_in_their_places),
		cmocka_unit_test(responses_as_requested),
		cmocka_unit_test(nothing_is_left_out_in_pages),
		cmocka_unit_test(flags_are_not_mixed_up),
		cmocka_unit_test(unknown_fields),
		cmocka_unit_test(what_is_malformed),
		cmocka_unit_test(groups_that_do_not_fit),
		cmocka_unit_test(groups_come_back_as_they_were),
		cmocka_unit_test(lists_keep_order_and_bounds),
		cmocka_unit_test(identities_of_a_page_are_checked),
		cmocka_unit_test(what_a_user_has_is_in_order),
		cmocka_unit_test(ranges_are_not_empty_and_after_is_in_them),
		cmocka_unit_test(every_text_has_a_bound),
		cmocka_unit_test(keys_of_queries_are_bounded),
		cmocka_unit_test(large_messages_fit_the_budget),
		cmocka_unit_test(long_reasons_are_cut_and_refused),
		cmocka_unit_test(no_text_for_people_is_too_long_for_the_reader),
		cmocka_unit_test(versions),
	};
	return cmocka_run_group_tests_name("message_v2", tests, NULL, NULL);
}
