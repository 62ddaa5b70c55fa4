// needs: acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/identity.c common/text.c common/arena.c common/error.c
#include "acms/record.h"
#include "unit.h"

/*
 * What schema version 2 added. The vectors were made with Debian's python3-cbor2 (canonical), from the CDDL; those of
 * version 1 are in test_record.c.
 */

static const char user_hex[] =
	"a7010202818201657369703a61031903e8041a000186a00550303132333435363738396162636465660607071b0000020000"
	"000000";
static const char request_hex[] =
	"a801582044444444444444444444444444444444444444444444444444444444444444440205031901940481836161657369"
	"703a611901940518630681030783656e6f727468626f6b184d0863776879";
static const char pending_hex[] =
	"a50158204444444444444444444444444444444444444444444444444444444444444444020503060465444e533a7805a701"
	"82836161828201657369703a6182036674656c3a2b3104836162800002697369703a6340642e65040105820009061903e807"
	"0208820103";
static const char asked_hex[] =
	"a50158204444444444444444444444444444444444444444444444444444444444444444020503646465736b04655552493a"
	"7805a80182836161828201657369703a6182036674656c3a2b3104836162800002697369703a6340642e65038269702e6578"
	"616d706c6569712e6578616d706c65040105820009061903e8070208820103";
static const char asked_least_hex[] =
	"a50158204444444444444444444444444444444444444444444444444444444444444444020503646465736b04655552493a"
	"7805a201818361618000038169702e6578616d706c65";
static const char asked_refused_hex[] =
	"a60158204444444444444444444444444444444444444444444444444444444444444444020503646465736b04655552493a"
	"7805a201818361618000038269702e6578616d706c6569712e6578616d706c6506820019012d";
static const char outbox_hex[] =
	"a40105020603646465736b0407";
static const char answer_hex[] =
	"a901050201031901950464736f6d650581836161f6190193068200080742d2840883656e6f727468f6184d09184d";
static const char answer_least_hex[] =
	"a3010502020319025a";
static const char audit_hex[] =
	"b10a582044444444444444444444444444444444444444444444444444444444444444440b050c090d69682e6578616d706c"
	"650e65444e533a780f503031323334353637383961626364656610697369703a6340642e6511190195128261616162138301"
	"0203140415646465736b168169702e6578616d706c651702181883656e6f727468626e6f184d181981836161f6190193181a"
	"63776879";
static const char audit_v1_hex[] =
	"aa0a582044444444444444444444444444444444444444444444444444444444444444440b050c010d69682e6578616d706c"
	"650e65444e533a780f503031323334353637383961626364656610697369703a6340642e6511001282616161621383010203";
static const char head_hex[] =
	"8219012c58204444444444444444444444444444444444444444444444444444444444444444";

static struct str hex(struct arena *a, const char *digits)
{
	size_t n = strlen(digits) / 2;
	char *bytes = arena_alloc(a, n);
	for (size_t i = 0; i < n; i++) {
		unsigned byte;
		assert_int_equal(sscanf(digits + 2 * i, "%2x", &byte), 1);
		bytes[i] = (char)byte;
	}
	return (struct str){ bytes, n };
}

static void encodes_as(struct arena *a, struct str got, const char *digits)
{
	struct str expected = hex(a, digits);
	assert_int_equal(got.len, expected.len);
	assert_memory_equal(got.ptr, expected.ptr, expected.len);
}

static struct request_id id_of(const char *text)
{
	struct request_id id;
	memcpy(id.bytes, text, REQUEST_ID_SIZE);
	return id;
}

static const struct user_service_id ids[] = { { 1, STR("sip:a") }, { 3, STR("tel:+1") } };
static struct setup_user setup_users[] = { { STR("a"), ids, 2, 4 }, { STR("b"), NULL, 0, 0 } };
static const struct str targets[] = { STR("p.example"), STR("q.example") };
static const struct identity_cause unknown = { STR("a"), STR_NONE, CAUSE_UNKNOWN_USER };

static struct setup full_setup(void)
{
	return (struct setup){ .home_acmc_id = STR("sip:c@d.e"), .users = setup_users, .n_users = 2,
			       .n_service_ids = 2, .operation = OPERATION_UPDATE, .has_validity = true,
			       .validity = { 0, 9 }, .expires_ms = 1000, .best_effort = true, .part = 1, .parts = 3 };
}

static struct audit_record full_audit(void)
{
	static const struct str mc_ids[] = { STR("a"), STR("b") };
	struct audit_record r = { .at_ms = 5, .action = AUDIT_ANSWER, .home = STR("h.example"), .certificate = STR("DNS:x"),
				  .claimed_acmc = STR("sip:c@d.e"), .cause = CAUSE_PARTLY_DONE, .mc_ids = mc_ids,
				  .n_mc_ids = 2, .created = 1, .replaced = 2, .unchanged = 3, .removed = 4,
				  .acmc = STR("desk"), .targets = targets, .n_targets = 1,
				  .operation = OPERATION_REMOVE, .decided_by = { STR("north"), STR("no"), 77 },
				  .identities = &unknown, .n_identities = 1, .detail = STR("why") };
	memset(r.previous, 'D', DIGEST_SIZE);
	r.request = id_of("0123456789abcdef");
	return r;
}

static void users_and_requests(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct user_record user = { .revision = 2, .service_ids = ids, .n_service_ids = 1, .created_ms = 1000,
				    .changed_ms = 100000, .validity = { 7, 1ull << 41 } };
	struct identity_cause mismatch = { STR("a"), STR("sip:a"), CAUSE_REVISION_MISMATCH };
	const uint64_t revision = 3;
	struct request_record request = { .answered_ms = 5, .cause = CAUSE_REVISION_MISMATCH, .identities = &mismatch,
					  .n_identities = 1, .keep_until_ms = 99, .revisions = &revision,
					  .n_revisions = 1, .decided_by = { STR("north"), STR("ok"), 77 },
					  .detail = STR("why") };
	memset(request.content, 'D', DIGEST_SIZE);
	user.by = id_of("0123456789abcdef");
	encodes_as(a, record_encode_user(a, &user), user_hex);
	encodes_as(a, record_encode_request(a, &request), request_hex);
	memset(&user, 0xff, sizeof user);
	memset(&request, 0xff, sizeof request);
	assert_int_equal(record_decode_user(a, hex(a, user_hex), &user, NULL), OK);
	assert_int_equal(user.validity.not_before_ms, 7);
	assert_int_equal(user.validity.not_after_ms, 1ull << 41);
	assert_int_equal(record_decode_request(a, hex(a, request_hex), &request, NULL), OK);
	assert_int_equal(request.keep_until_ms, 99);
	assert_int_equal(request.revisions[0], 3);
	assert_str(request.decided_by.reason, "ok");
	assert_str(request.detail, "why");
	arena_free(a);
}

static void same_setup(const struct setup *s, size_t n_targets)
{
	assert_str(s->home_acmc_id, "sip:c@d.e");
	assert_int_equal(s->n_users, 2);
	assert_int_equal(s->n_service_ids, 2);
	assert_str(s->users[0].service_ids[1].mc_service_id, "tel:+1");
	assert_int_equal(s->users[0].expected_revision, 4);
	assert_int_equal(s->users[1].n_service_ids, 0);
	assert_int_equal(s->operation, OPERATION_UPDATE);
	assert_true(s->has_validity && s->best_effort && !s->dry_run);
	assert_int_equal(s->validity.not_after_ms, 9);
	assert_int_equal(s->expires_ms, 1000);
	assert_int_equal(s->part, 1);
	assert_int_equal(s->parts, 3);
	assert_int_equal(s->n_targets, n_targets);
}

static void requests_on_their_way(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct pending_record pending = { .received_ms = 5, .decide_until_ms = 6, .certificate = STR("DNS:x"),
					  .setup = full_setup() };
	struct asked_record asked = { .accepted_ms = 5, .acmc = STR("desk"), .certificate = STR("URI:x"),
				      .setup = full_setup() };
	struct outbox_record outbox = { 5, 6, STR("desk"), 7 };
	memset(pending.content, 'D', DIGEST_SIZE);
	memset(asked.content, 'D', DIGEST_SIZE);
	asked.setup.targets = targets;
	asked.setup.n_targets = 2;
	encodes_as(a, record_encode_pending(a, &pending), pending_hex);
	encodes_as(a, record_encode_asked(a, &asked), asked_hex);
	encodes_as(a, record_encode_outbox(a, &outbox), outbox_hex);
	memset(&pending, 0xff, sizeof pending);
	memset(&asked, 0xff, sizeof asked);
	assert_int_equal(record_decode_pending(a, hex(a, pending_hex), &pending, NULL), OK);
	same_setup(&pending.setup, 0);
	assert_int_equal(pending.decide_until_ms, 6);
	assert_int_equal(record_decode_asked(a, hex(a, asked_hex), &asked, NULL), OK);
	same_setup(&asked.setup, 2);
	assert_str(asked.setup.targets[1], "q.example");
	assert_str(asked.acmc, "desk");
	assert_int_equal(record_decode_asked(a, hex(a, asked_least_hex), &asked, NULL), OK);
	assert_null(asked.setup.home_acmc_id.ptr);
	assert_int_equal(asked.setup.operation, OPERATION_SETUP);
	assert_false(asked.setup.has_validity || asked.setup.best_effort || asked.setup.parts);
	encodes_as(a, record_encode_asked(a, &asked), asked_least_hex);
	const uint64_t refused[] = { CAUSE_NO_CAUSE, CAUSE_UNKNOWN_TARGET };
	asked.setup.targets = targets;
	asked.setup.n_targets = 2;
	asked.refused = refused;
	asked.n_refused = 2;
	struct str with = record_encode_asked(a, &asked);
	assert_int_equal(record_decode_asked(a, with, &asked, NULL), OK);
	assert_int_equal(asked.n_refused, 2);
	assert_int_equal(asked.refused[1], CAUSE_UNKNOWN_TARGET);
	encodes_as(a, with, asked_refused_hex);
	asked.n_refused = 1; /* not one for each target */
	assert_int_equal(record_decode_asked(a, record_encode_asked(a, &asked), &asked, NULL), ERR_STORE);
	assert_int_equal(record_decode_outbox(hex(a, outbox_hex), &outbox, NULL), OK);
	assert_int_equal(outbox.deadline_ms, 6);
	assert_str(outbox.acmc, "desk");
	assert_int_equal(outbox.bytes, 7);
	arena_free(a);
}

/* A validity that takes both bounds away is not the same as none. */
static void a_validity_without_bounds(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct pending_record pending = { .setup = full_setup() };
	pending.setup.validity = (struct validity){ 0, 0 };
	assert_int_equal(record_decode_pending(a, record_encode_pending(a, &pending), &pending, NULL), OK);
	assert_true(pending.setup.has_validity);
	assert_int_equal(pending.setup.validity.not_after_ms, 0);
	arena_free(a);
}

static void answers(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	const uint64_t revisions[] = { 0, 8 };
	struct answer_record answer = { .answered_ms = 5, .origin = ORIGIN_PARTNER_ACMS, .cause = CAUSE_PARTLY_DONE,
					.detail = STR("some"), .identities = &unknown, .n_identities = 1,
					.revisions = revisions, .n_revisions = 2, .receipt = STR("\xd2\x84"), .done_ms = 77,
					.decided_by = { STR("north"), STR_NONE, 77 } };
	encodes_as(a, record_encode_answer(a, &answer), answer_hex);
	memset(&answer, 0xff, sizeof answer);
	assert_int_equal(record_decode_answer(a, hex(a, answer_hex), &answer, NULL), OK);
	assert_int_equal(answer.cause, CAUSE_PARTLY_DONE);
	assert_int_equal(answer.n_revisions, 2);
	assert_int_equal(answer.revisions[1], 8);
	assert_str(answer.receipt, "\xd2\x84");
	assert_int_equal(answer.done_ms, 77);
	assert_str(answer.decided_by.acmc, "north");
	assert_null(answer.decided_by.reason.ptr);
	assert_int_equal(record_decode_answer(a, hex(a, answer_least_hex), &answer, NULL), OK);
	assert_int_equal(answer.origin, ORIGIN_HOME_ACMS);
	assert_null(answer.receipt.ptr);
	assert_int_equal(answer.done_ms, 0);
	assert_null(answer.decided_by.acmc.ptr);
	assert_null(answer.detail.ptr);
	encodes_as(a, record_encode_answer(a, &answer), answer_least_hex);
	arena_free(a);
}

static void audit_entries(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct audit_record audit = full_audit();
	struct audit_head head = { .number = 300 };
	encodes_as(a, record_encode_audit(a, &audit), audit_hex);
	assert_int_equal(record_decode_audit(a, hex(a, audit_hex), &audit, NULL), OK);
	assert_int_equal(audit.action, AUDIT_ANSWER);
	assert_int_equal(audit.removed, 4);
	assert_str(audit.acmc, "desk");
	assert_str(audit.targets[0], "p.example");
	assert_int_equal(audit.operation, OPERATION_REMOVE);
	assert_int_equal(audit.identities[0].cause, CAUSE_UNKNOWN_USER);
	assert_str(audit.detail, "why");
	assert_int_equal(record_decode_audit(a, hex(a, audit_v1_hex), &audit, NULL), OK);
	assert_null(audit.acmc.ptr);
	assert_int_equal(audit.removed + audit.n_targets + audit.n_identities, 0);
	encodes_as(a, record_encode_audit(a, &audit), audit_v1_hex); /* nothing new: as ever */
	memset(head.digest, 'D', DIGEST_SIZE);
	encodes_as(a, record_encode_audit_head(a, &head), head_hex);
	assert_int_equal(record_decode_audit_head(hex(a, head_hex), &head, NULL), OK);
	assert_int_equal(head.number, 300);
	for (int i = AUDIT_SETUP; i <= AUDIT_REFUSALS; i++)
		assert_non_null(audit_action_name((enum audit_action)i));
	assert_null(audit_action_name((enum audit_action)0));
	assert_null(audit_action_name((enum audit_action)12));
	arena_free(a);
}

/* --- strictness --- */

/* The bytes that a value decodes to and encodes to again; ptr == NULL: refused. */
typedef struct str again(struct arena *a, struct str value);

#define AGAIN(kind, decode)                                                          \
	static struct str again_##kind(struct arena *a, struct str value)            \
	{                                                                            \
		struct kind##_record r;                                              \
		return (decode) == OK ? record_encode_##kind(a, &r) : STR_NONE;      \
	}
AGAIN(user, record_decode_user(a, value, &r, NULL))
AGAIN(request, record_decode_request(a, value, &r, NULL))
AGAIN(pending, record_decode_pending(a, value, &r, NULL))
AGAIN(asked, record_decode_asked(a, value, &r, NULL))
AGAIN(outbox, record_decode_outbox(value, &r, NULL))
AGAIN(answer, record_decode_answer(a, value, &r, NULL))
AGAIN(audit, record_decode_audit(a, value, &r, NULL))

static const struct {
	const char *digits;
	again *again;
} all[] = {
	{ user_hex, again_user },     { request_hex, again_request }, { pending_hex, again_pending },
	{ asked_hex, again_asked },   { asked_least_hex, again_asked }, { asked_refused_hex, again_asked }, { outbox_hex, again_outbox },
	{ answer_hex, again_answer }, { answer_least_hex, again_answer }, { audit_hex, again_audit },
	{ audit_v1_hex, again_audit },
};

/* The same bytes, but for those of people's texts that were no UTF-8 and became '?'. */
static bool same_or_mended(struct str got, struct str was)
{
	bool same = got.len == was.len;
	for (size_t i = 0; same && i < got.len; i++)
		same = got.ptr[i] == was.ptr[i] || (got.ptr[i] == '?' && ((was.ptr[i] & 0x80) || was.ptr[i] == 0));
	return same;
}

/* Every cut, and every other byte in every place: refused, or a record that encodes to just these bytes. */
static void nothing_but_the_deterministic_encoding(void **state)
{
	(void)state;
	struct arena *a = arena_new(0), *work = arena_new(1 << 20);
	for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
		struct str good = hex(a, all[k].digits);
		char bytes[512];
		assert_true(good.len < sizeof bytes);
		for (size_t n = 0; n < good.len; n++, arena_reset(work))
			assert_null(all[k].again(work, (struct str){ good.ptr, n }).ptr);
		for (size_t i = 0; i < good.len; i++) {
			memcpy(bytes, good.ptr, good.len);
			for (int byte = 0; byte < 256; byte++, arena_reset(work)) {
				struct str s = { bytes, good.len };
				bytes[i] = (char)byte;
				struct str got = all[k].again(work, s);
				assert_true(!got.ptr || same_or_mended(got, s));
			}
		}
	}
	arena_free(work);
	arena_free(a);
}

/* Well encoded, but nothing of idm-store.cddl. */
static void only_what_the_cddl_allows(void **state)
{
	(void)state;
	static const char *const setups[] = {
		"a10180",                             /* no user */
		"a101828361618000" "8361618000",      /* one user twice */
		"a101828361628000" "8361618000",      /* not sorted */
		"a20181836161800003" "80",            /* no target in the list */
		"a20181836161800004" "00",            /* setup is left out */
		"a20181836161800004" "03",            /* no operation */
		"a20181836161800006" "00",
		"a20181836161800007" "04",            /* no flag */
		"a20181836161800008" "820000",
		"a20181836161800008" "821b000000010000000001",
		"a20181836161800009" "00",            /* no such key */
		"a301818361618000070107" "02",        /* a key twice */
		"a301818361618000070106" "05",        /* out of order */
	};
	static const char *const audits[] = { "1400", "1680", "1700", "1703", "1980", "1b01" };
	struct arena *a = arena_new(0);
	const struct str head = hex(a, asked_least_hex);
	size_t at = head.len - strlen("a201818361618000038169702e6578616d706c65") / 2;
	for (size_t i = 0; i < sizeof setups / sizeof *setups; i++) {
		struct asked_record r;
		struct str tail = hex(a, setups[i]);
		char *bytes = arena_alloc(a, at + tail.len);
		memcpy(bytes, head.ptr, at);
		memcpy(bytes + at, tail.ptr, tail.len);
		assert_int_not_equal(record_decode_asked(a, (struct str){ bytes, at + tail.len }, &r, NULL), OK);
	}
	for (size_t i = 0; i < sizeof audits / sizeof *audits; i++) {
		struct audit_record r;
		char digits[512];
		snprintf(digits, sizeof digits, "ab%s%s", audit_v1_hex + 2, audits[i]);
		assert_int_not_equal(record_decode_audit(a, hex(a, digits), &r, NULL), OK);
	}
	arena_free(a);
}

/* --- exported --- */

static void a_sequence_of_entries(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct audit_record entry;
	struct audit_head head;
	struct error e;
	struct str rest = hex(a, arena_printf(a, "%s%s%s", audit_hex, audit_v1_hex, head_hex)), value;
	assert_int_equal(record_next_audit(a, &rest, &value, &entry, &head, &e), AUDIT_ITEM_ENTRY);
	encodes_as(a, value, audit_hex);
	assert_int_equal(record_next_audit(a, &rest, &value, &entry, &head, &e), AUDIT_ITEM_ENTRY);
	encodes_as(a, value, audit_v1_hex);
	assert_int_equal(record_next_audit(a, &rest, &value, &entry, &head, &e), AUDIT_ITEM_HEAD);
	assert_int_equal(head.number, 300);
	assert_int_equal(record_next_audit(a, &rest, &value, &entry, &head, &e), AUDIT_ITEM_END);
	rest = hex(a, "aa0a5820");
	assert_int_equal(record_next_audit(a, &rest, &value, &entry, &head, &e), AUDIT_ITEM_BAD);
	assert_int_equal(rest.len, 4);
	arena_free(a);
}

static void a_spent_arena_encodes_nothing(void **state)
{
	(void)state;
	struct arena *spent = arena_new(1);
	struct audit_record audit = full_audit();
	assert_null(record_encode_pending(spent, &(struct pending_record){ .setup = full_setup() }).ptr);
	assert_null(record_encode_asked(spent, &(struct asked_record){ .setup = full_setup() }).ptr);
	assert_null(record_encode_answer(spent, &(struct answer_record){ .cause = 0 }).ptr);
	assert_null(record_encode_outbox(spent, &(struct outbox_record){ 1, 2, STR("desk"), 3 }).ptr);
	assert_null(record_encode_audit(spent, &audit).ptr);
	arena_free(spent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(users_and_requests),
		cmocka_unit_test(requests_on_their_way),
		cmocka_unit_test(a_validity_without_bounds),
		cmocka_unit_test(answers),
		cmocka_unit_test(audit_entries),
		cmocka_unit_test(nothing_but_the_deterministic_encoding),
		cmocka_unit_test(only_what_the_cddl_allows),
		cmocka_unit_test(a_sequence_of_entries),
		cmocka_unit_test(a_spent_arena_encodes_nothing),
	};
	return cmocka_run_group_tests_name("record, version 2", tests, NULL, NULL);
}
