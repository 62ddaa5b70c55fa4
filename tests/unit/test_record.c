// needs: acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/identity.c common/text.c common/arena.c common/error.c
#include "acms/record.h"
#include "unit.h"

#define GOLDEN(bytes) ((struct str){ (bytes), sizeof(bytes) - 1 })
#define ID "0123456789abcdef"
#define D16 "DDDDDDDDDDDDDDDD"

static const char user_bytes[] = "\xa5\x01\x02\x02\x82\x82\x01\x65sip:a\x82\x03\x66tel:+1\x03\x19\x03\xe8\x04\x1a\x00\x01\x86\xa0"
				 "\x05\x50" ID;
static const char request_bytes[] = "\xa4\x01\x58\x20" D16 D16 "\x02\x05\x03\x18\xca\x04\x81\x83\x61" "a" "\xf6\x18\xca";
static const char owner_bytes[] = "\x82\x63" "a.b" "\x61" "c";
static const char system_bytes[] = "\xa2\x01\x0a\x02\x61" "i";

static void golden_vectors(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct user_service_id ids[] = { { 1, STR("sip:a") }, { 3, STR("tel:+1") } };
	struct user_record user = { 2, ids, 2, 1000, 100000, { ID }, { 0, 0 } };
	struct identity_cause cause = { STR("a"), STR_NONE, CAUSE_INVALID_MC_ID };
	struct request_record request = { .answered_ms = 5, .cause = CAUSE_INVALID_MC_ID, .identities = &cause, .n_identities = 1 };
	memset(request.content, 'D', DIGEST_SIZE);
	assert_true(str_eq(record_encode_user(a, &user), GOLDEN(user_bytes)));
	assert_true(str_eq(record_encode_request(a, &request), GOLDEN(request_bytes)));
	assert_true(str_eq(record_encode_owner(a, &(struct owner_record){ STR("a.b"), STR("c") }), GOLDEN(owner_bytes)));
	assert_true(str_eq(record_encode_system(a, &(struct system_record){ .users_held = 10, .token_issuer = STR("i") }), GOLDEN(system_bytes)));
	arena_free(a);
}

static void records_come_back(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct error e;
	struct user_record user;
	struct str mc_ids[] = { STR("x"), STR("y") };
	struct audit_record audit = { .at_ms = 1ull << 40, .action = AUDIT_SETUP, .home = STR("a.b"), .certificate = STR("DNS:a"),
				      .request = { ID }, .claimed_acmc = STR("sip:a@b.c"), .cause = CAUSE_NO_CAUSE,
				      .mc_ids = mc_ids, .n_mc_ids = 2, .created = 1, .unchanged = 300 }, got;
	assert_int_equal(record_decode_user(a, GOLDEN(user_bytes), &user, &e), OK);
	assert_int_equal(user.changed_ms, 100000);
	assert_str(user.service_ids[1].mc_service_id, "tel:+1");
	assert_int_equal(record_decode_audit(a, record_encode_audit(a, &audit), &got, &e), OK);
	assert_int_equal(got.unchanged, 300);
	assert_str(got.claimed_acmc, "sip:a@b.c");
	audit.claimed_acmc = STR_NONE;
	assert_int_equal(record_decode_audit(a, record_encode_audit(a, &audit), &got, &e), OK);
	assert_null(got.claimed_acmc.ptr);
	arena_free(a);
}

/* Every cut, and every other byte in every place: refused, or a record that encodes to just these bytes. */
static void nothing_but_the_deterministic_encoding(void **state)
{
	(void)state;
	struct error e;
	struct user_record user;
	char bytes[sizeof user_bytes];
	for (size_t n = 0; n < sizeof user_bytes - 1; n++) {
		struct arena *a = arena_new(4096);
		assert_int_not_equal(record_decode_user(a, (struct str){ user_bytes, n }, &user, &e), OK);
		arena_free(a);
	}
	for (size_t i = 0; i < sizeof user_bytes - 1; i++)
		for (int byte = 0; byte < 256; byte++) {
			struct arena *a = arena_new(65536);
			memcpy(bytes, user_bytes, sizeof bytes);
			bytes[i] = (char)byte;
			struct str s = { bytes, sizeof bytes - 1 };
			if (record_decode_user(a, s, &user, &e) == OK)
				assert_true(str_eq(record_encode_user(a, &user), s));
			arena_free(a);
		}
}

static void declared_lengths_are_not_believed(void **state)
{
	(void)state;
	static const char huge[] = "\xa5\x01\x02\x02\x9b\x7f\xff\xff\xff\xff\xff\xff\xff";
	struct arena *a = arena_new(65536);
	struct error e;
	struct user_record user;
	uint64_t n;
	struct str text;
	assert_int_not_equal(record_decode_user(a, GOLDEN(huge), &user, &e), OK);
	assert_int_not_equal(record_decode_uint(STR("\x18\x05"), &n, &e), OK); /* not the shortest form */
	assert_int_not_equal(record_decode_uint(STR("\x05\x05"), &n, &e), OK);
	assert_int_not_equal(record_decode_text(STR("\x61\xff"), &text, &e), OK);
	assert_int_not_equal(record_decode_text(STR_NONE, &text, &e), OK);
	arena_free(a);
}

/* Well encoded, but no record of idm-store.cddl. */
static void only_what_the_cddl_allows(void **state)
{
	(void)state;
	static const char head[] = "\xa4\x01\x58\x20" D16 D16 "\x02\x05\x03";
	static const char *const tails[] = {
		"\x18\xca\x04\x80",                                              /* no identity in the list */
		"\x18\xca\x04\x81\x83\x60\xf6\x18\xca",                         /* an empty MC ID */
		"\x18\xca\x04\x81\x83\x61" "a\xf6\x1b\1\1\1\1\1\1\1\1",      /* no cause is as large */
		"\x1b\x01\x01\x01\x01\x01\x01\x01\x01\x04\x81\x83\x61" "a\xf6\x05",
	};
	static const char unsorted[] = "\xa5\x01\x01\x02\x82\x82\x03\x61" "a\x82\x01\x61" "b\x03\x01\x04\x01\x05\x50" ID;
	static const char twice[] = "\xa5\x01\x01\x02\x82\x82\x01\x61" "a\x82\x01\x61" "a\x03\x01\x04\x01\x05\x50" ID;
	static const char revision_0[] = "\xa5\x01\x00\x02\x80\x03\x01\x04\x01\x05\x50" ID;
	struct arena *a = arena_new(0);
	struct user_record user;
	struct owner_record owner;
	struct request_record request;
	for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
		const char *bytes = arena_printf(a, "%s%s", head, tails[i]);
		assert_int_not_equal(record_decode_request(a, str_of(bytes), &request, NULL), OK);
	}
	assert_int_not_equal(record_decode_user(a, GOLDEN(unsorted), &user, NULL), OK);
	assert_int_not_equal(record_decode_user(a, GOLDEN(twice), &user, NULL), OK);
	assert_int_not_equal(record_decode_user(a, GOLDEN(revision_0), &user, NULL), OK);
	assert_int_not_equal(record_decode_owner(GOLDEN("\x82\x63" "a.b" "\x60"), &owner, NULL), OK);
	arena_free(a);
}

static void a_spent_arena_encodes_nothing(void **state)
{
	(void)state;
	struct arena *spent = arena_new(1);
	struct user_record user = { .revision = 1 };
	struct audit_record audit = { .action = AUDIT_SETUP };
	assert_null(record_encode_user(spent, &user).ptr);
	assert_null(record_encode_audit(spent, &audit).ptr);
	assert_null(record_encode_text(spent, STR("text")).ptr);
	arena_free(spent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_vectors),
		cmocka_unit_test(records_come_back),
		cmocka_unit_test(nothing_but_the_deterministic_encoding),
		cmocka_unit_test(declared_lengths_are_not_believed),
		cmocka_unit_test(only_what_the_cddl_allows),
		cmocka_unit_test(a_spent_arena_encodes_nothing),
	};
	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
