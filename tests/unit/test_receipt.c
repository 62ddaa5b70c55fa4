// needs: common/receipt.c common/content.c common/setup.c common/sort.c common/cose.c common/cbor.c common/identity.c common/text.c common/arena.c common/error.c
#include "common/cbor.h"
#include "common/cose.h"
#include "common/receipt.h"
#include "unit.h"

static struct arena *arena;

static int begin(void **state)
{
	(void)state;
	arena = arena_new(0);
	return arena ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

static struct setup a_setup(enum operation operation)
{
	static struct setup_user users[3] = { { .mc_id = { "a", 1 } }, { .mc_id = { "b", 1 } }, { .mc_id = { "c", 1 } } };
	struct setup s = { .users = users, .n_users = 3, .operation = operation };
	for (int i = 0; i < 16; i++)
		s.request_id.bytes[i] = (uint8_t)i;
	return s;
}

static const uint8_t digest[CONTENT_DIGEST_SIZE] = "0123456789abcdef0123456789abcde";
static const uint64_t revisions[] = { 7, 300, 1 };

static struct receipt_outcome an_outcome(void)
{
	return (struct receipt_outcome){ .partner = STR("f.example"), .home = STR("p.example"), .content = digest,
					 .done_ms = 1000, .revisions = revisions, .n_revisions = 3 };
}

static struct receipt_claims some_claims(void)
{
	struct setup s = a_setup(OPERATION_SETUP);
	struct receipt_outcome o = an_outcome();
	struct receipt_claims c;
	assert_int_equal(receipt_from_setup(arena, &s, &o, &c, NULL), OK);
	return c;
}

static void assert_hex(struct str s, const char *hex)
{
	char *got = calloc(1, 2 * s.len + 1);
	for (size_t i = 0; i < s.len; i++)
		snprintf(got + 2 * i, 3, "%02x", (unsigned char)s.ptr[i]);
	assert_string_equal(got, hex);
	free(got);
}

#define HEX_DIGEST "303132333435363738396162636465663031323334353637383961626364" "6500"

static void the_claims_have_these_bytes(void **state)
{
	(void)state;
	static const uint64_t some[] = { RECEIPT_NOT_DONE, 0 };
	struct receipt_claims c = some_claims();
	assert_hex(receipt_encode(arena, &c),
		   "a8" "0101" "0269662e6578616d706c65" "0369702e6578616d706c65"
		   "0450000102030405060708090a0b0c0d0e0f" "0500" "061903e8" "075820" HEX_DIGEST "0883" "07" "19012c" "01");
	c.operation = OPERATION_REMOVE;
	c.revisions = some;
	c.n_users = 2;
	c.decided_by = STR("d");
	assert_hex(receipt_encode(arena, &c),
		   "a9" "0101" "0269662e6578616d706c65" "0369702e6578616d706c65"
		   "0450000102030405060708090a0b0c0d0e0f" "0502" "061903e8" "075820" HEX_DIGEST "0882" "f6" "00"
		   "096164");
}

static void what_was_encoded_comes_back(void **state)
{
	(void)state;
	struct receipt_claims c = some_claims(), again;
	c.decided_by = STR("duty officer");
	struct str bytes = receipt_encode(arena, &c);
	assert_int_equal(receipt_decode(arena, bytes, &again, NULL), OK);
	assert_int_equal(again.done_ms, 1000);
	assert_memory_equal(again.content, digest, sizeof digest);
	assert_int_equal(again.n_users, 3);
	assert_int_equal(again.revisions[1], 300);
	assert_true(str_eq(receipt_encode(arena, &again), bytes));
}

/* Claims that were cut, lengthened, or broken anywhere either are refused or say something else. */
static void no_two_claims_say_the_same(void **state)
{
	(void)state;
	static const uint64_t some[] = { 7, RECEIPT_NOT_DONE, 300 };
	struct receipt_claims c = some_claims(), again;
	c.revisions = some;
	struct str bytes = receipt_encode(arena, &c);
	char *copy = malloc(bytes.len + 1);
	for (size_t n = 0; n <= bytes.len + 1; n++) {
		memcpy(copy, bytes.ptr, bytes.len);
		copy[bytes.len] = 0;
		if (n != bytes.len)
			assert_int_equal(receipt_decode(arena, (struct str){ copy, n }, &again, NULL), ERR_INPUT);
	}
	for (size_t i = 0; i < 8 * bytes.len; i++) {
		memcpy(copy, bytes.ptr, bytes.len);
		copy[i / 8] ^= (char)(1 << i % 8);
		struct str changed = { copy, bytes.len };
		if (receipt_decode(arena, changed, &again, NULL) == OK)
			assert_true(str_eq(receipt_encode(arena, &again), changed));
	}
	free(copy);
}

static enum status decode_changed(void (*change)(struct receipt_claims *))
{
	struct receipt_claims c = some_claims(), again;
	change(&c);
	return receipt_decode(arena, receipt_encode(arena, &c), &again, NULL);
}

static void no_users(struct receipt_claims *c) { c->n_users = 0; }
static void no_revision(struct receipt_claims *c)
{
	static const uint64_t none[] = { 0, 0, 0 };
	c->revisions = none;
}
static void removed_with_revision(struct receipt_claims *c) { c->operation = OPERATION_REMOVE; }
static void bad_operation(struct receipt_claims *c) { c->operation = (enum operation)OPERATIONS; }
static void bad_system(struct receipt_claims *c) { c->partner = STR("F.example"); }
static void empty_decider(struct receipt_claims *c) { c->decided_by = STR(""); }
static void nobody_done(struct receipt_claims *c)
{
	static const uint64_t nobody[] = { RECEIPT_NOT_DONE };
	c->revisions = nobody;
	c->n_users = 1;
}

static void only_valid_claims_are_taken(void **state)
{
	(void)state;
	void (*const changes[])(struct receipt_claims *) = { no_users, no_revision, removed_with_revision, bad_operation,
							     bad_system, empty_decider, nobody_done };
	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
		assert_int_equal(decode_changed(changes[i]), ERR_INPUT);
	/* What stands for a user who was not done, as a number. */
	struct receipt_claims c = some_claims(), again;
	c.n_users = 1;
	struct str bytes = receipt_encode(arena, &c);
	char *copy = malloc(bytes.len + 8);
	memcpy(copy, bytes.ptr, bytes.len - 1);
	memset(copy + bytes.len - 1, 0xFF, 9);
	copy[bytes.len - 1] = 0x1B;
	assert_int_equal(receipt_decode(arena, (struct str){ copy, bytes.len + 8 }, &again, NULL), ERR_INPUT);
	copy[bytes.len + 7] = 0;
	assert_int_equal(receipt_decode(arena, (struct str){ copy, bytes.len + 8 }, &again, NULL), OK);
	free(copy);
}

static void only_those_done_are_certified(void **state)
{
	(void)state;
	static const uint64_t only_b[] = { 0, 300, 0 };
	struct setup s = a_setup(OPERATION_UPDATE);
	struct receipt_outcome o = an_outcome();
	struct identity_cause named[] = { { { "b", 1 }, STR_NONE, CAUSE_UNKNOWN_USER } };
	struct receipt_claims c;
	o.cause = CAUSE_PARTLY_DONE;
	o.identities = named;
	o.n_identities = 1;
	assert_int_equal(receipt_from_setup(arena, &s, &o, &c, NULL), OK);
	assert_int_equal(c.n_users, 3);
	assert_int_equal(receipt_users_done(&c), 2);
	assert_true(c.revisions[0] == 7 && c.revisions[1] == RECEIPT_NOT_DONE && c.revisions[2] == 1);
	o.revisions = only_b; /* "a" was done and has none */
	assert_int_equal(receipt_from_setup(arena, &s, &o, &c, NULL), ERR_INPUT);
	o.cause = CAUSE_UNKNOWN_USER;
	assert_int_equal(receipt_from_setup(arena, &s, &o, &c, NULL), ERR_INPUT);
}

static void removed_users_have_no_revision(void **state)
{
	(void)state;
	struct setup s = a_setup(OPERATION_REMOVE);
	struct receipt_outcome o = an_outcome();
	struct identity_cause named[] = { { { "a", 1 }, STR_NONE, CAUSE_REVISION_MISMATCH },
					  { { "c", 1 }, STR_NONE, CAUSE_REVISION_MISMATCH },
					  { { "b", 1 }, STR_NONE, CAUSE_REVISION_MISMATCH } };
	struct receipt_claims c;
	assert_int_equal(receipt_from_setup(arena, &s, &o, &c, NULL), ERR_INPUT);
	o.n_revisions = 0;
	assert_int_equal(receipt_from_setup(arena, &s, &o, &c, NULL), OK);
	assert_int_equal(receipt_users_done(&c), 3);
	assert_int_equal(c.revisions[2], 0);
	o.cause = CAUSE_PARTLY_DONE;
	o.identities = named;
	o.n_identities = 2;
	assert_int_equal(receipt_from_setup(arena, &s, &o, &c, NULL), OK);
	assert_true(receipt_users_done(&c) == 1 && c.revisions[1] == 0);
	o.n_identities = 3;
	assert_int_equal(receipt_from_setup(arena, &s, &o, &c, NULL), ERR_INPUT);
}

/* Home makes the claims of its own request and the response: whatever differs, they are other claims. */
static void each_difference_makes_other_claims(void **state)
{
	(void)state;
	static const uint64_t other[] = { 7, 300, 2 };
	struct receipt_claims c = some_claims();
	struct str claims = receipt_encode(arena, &c);
#define DIFFERS(change)                                                       \
	do {                                                                  \
		c = some_claims();                                            \
		change;                                                       \
		assert_false(str_eq(receipt_encode(arena, &c), claims));      \
	} while (0)
	DIFFERS(c.partner = STR("g.example"));
	DIFFERS(c.home = STR("g.example"));
	DIFFERS(c.request_id.bytes[15] ^= 1);
	DIFFERS(c.operation = OPERATION_UPDATE);
	DIFFERS(c.done_ms++);
	DIFFERS(c.content[31] ^= 1);
	DIFFERS(c.decided_by = STR("x"));
	DIFFERS(c.n_users--);
	DIFFERS(c.revisions = other);
	c = some_claims();
	assert_true(str_eq(receipt_encode(arena, &c), claims));
}

static void the_parts_are_put_together(void **state)
{
	(void)state;
	struct receipt_parts parts = { STR("abc"), STR("d"), STR("ef") };
	struct str whole = receipt_join(arena, &parts);
	assert_hex(whole, "83" "43616263" "4164" "426566");
	parts = (struct receipt_parts){ STR_NONE, STR_NONE, STR_NONE };
	assert_int_equal(receipt_split(whole, &parts, NULL), OK);
	assert_str(parts.content, "abc");
	assert_str(parts.claims, "d");
	assert_str(parts.proof, "ef");
	for (size_t n = 0; n < whole.len; n++)
		assert_int_equal(receipt_split((struct str){ whole.ptr, n }, &parts, NULL), ERR_INPUT);
	assert_int_equal(receipt_split(STR("\x83\x41" "a\x41" "b\x41" "c\x40"), &parts, NULL), ERR_INPUT);
	assert_int_equal(receipt_split(STR("\x83\x61" "a\x41" "b\x41" "c"), &parts, NULL), ERR_INPUT);
	assert_int_equal(receipt_split(STR("\x82\x41" "a\x41" "b"), &parts, NULL), ERR_INPUT);
}

/* RFC 9052 C.2.1: what a signature with the protected header {1: -7} over "This is the content." is over. */
static void to_be_signed_is_that_of_the_rfc(void **state)
{
	(void)state;
	assert_hex(cose_to_be_signed(arena, STR("\xa1\x01\x26"), STR("This is the content.")),
		   "846a5369676e61747572653143a101264054546869732069732074686520636f6e74656e742e");
	assert_hex(cose_protected_header(arena, COSE_ES256), "a20126" "19018b01");
	assert_hex(cose_protected_header(arena, COSE_ES384), "a2013822" "19018b01");
	assert_hex(cose_protected_header(arena, COSE_PS256), "a2013824" "19018b01");
}

static struct cose_receipt a_cose(size_t n_chain, size_t n_path)
{
	static const struct str chain[COSE_CHAIN_MAX + 1] = { { "L", 1 }, { "I", 1 } };
	static const char signature[64] = "s";
	struct cose_receipt c = { .algorithm = COSE_ES256, .protected_header = cose_protected_header(arena, COSE_ES256),
				  .chain = chain, .n_chain = n_chain, .signature = { signature, 64 },
				  .proof = { .size = 300, .index = 7, .n_path = n_path } };
	for (size_t i = 0; i < n_path; i++)
		memset(c.proof.path[i].bytes, (int)i, 32);
	return c;
}

static enum status parse(struct str bytes)
{
	struct cose_receipt c;
	return cose_parse(arena, bytes, &c, NULL);
}

static void a_cose_receipt_has_these_bytes(void **state)
{
	(void)state;
	struct cose_receipt c = a_cose(1, 1);
	char hex[2 * 150] = "";
	strcat(hex, "d2" "84" "47" "a20126" "19018b01"
		    "a2" "1821" "414c" "19018c" "a1" "20" "81" "5828" "83" "19012c" "07" "81" "5820");
	for (int i = 0; i < 32; i++)
		strcat(hex, "00");
	strcat(hex, "f6" "5840" "73");
	for (int i = 0; i < 63; i++)
		strcat(hex, "00");
	assert_hex(cose_encode(arena, &c), hex);
}

static void a_cose_receipt_is_read_as_it_was_written(void **state)
{
	(void)state;
	struct cose_receipt c, again;
	for (size_t n = 1; n <= COSE_CHAIN_MAX; n++) {
		c = a_cose(n, 2 * n);
		struct str bytes = cose_encode(arena, &c);
		assert_int_equal(cose_parse(arena, bytes, &again, NULL), OK);
		assert_int_equal(again.algorithm, COSE_ES256);
		assert_int_equal(again.n_chain, n);
		assert_str(again.chain[0], "L");
		assert_true(again.proof.size == 300 && again.proof.index == 7 && again.proof.n_path == 2 * n);
		assert_memory_equal(again.proof.path, c.proof.path, 2 * n * 32);
		assert_true(str_eq(again.signature, c.signature));
		assert_true(str_eq(cose_encode(arena, &again), bytes));
	}
}

static void other_cose_is_refused(void **state)
{
	(void)state;
	struct cose_receipt c = a_cose(COSE_CHAIN_MAX + 1, 0);
	assert_int_equal(parse(cose_encode(arena, &c)), ERR_INPUT);
	c = a_cose(0, 0);
	assert_int_equal(parse(cose_encode(arena, &c)), ERR_INPUT);
	c = a_cose(1, 0);
	c.signature.len = 63;
	assert_int_equal(parse(cose_encode(arena, &c)), ERR_INPUT);
	c = a_cose(1, 0);
	c.protected_header = cose_protected_header(arena, -8); /* EdDSA */
	assert_int_equal(parse(cose_encode(arena, &c)), ERR_INPUT);
	c.protected_header = STR("\xa2\x01\x26\x19\x01\x8b\x02"); /* another data structure */
	assert_int_equal(parse(cose_encode(arena, &c)), ERR_INPUT);
	c.protected_header = STR("\xa1\x01\x26"); /* none */
	assert_int_equal(parse(cose_encode(arena, &c)), ERR_INPUT);
	c.protected_header = STR("\xa3\x01\x26\x19\x01\x8b\x01\x19\x01\x8c\x01"); /* one more */
	assert_int_equal(parse(cose_encode(arena, &c)), ERR_INPUT);
	c = a_cose(1, 3);
	struct str good = cose_encode(arena, &c);
	assert_int_equal(parse(good), OK);
	for (size_t n = 0; n < good.len; n++)
		assert_int_equal(parse((struct str){ good.ptr, n }), ERR_INPUT);
}

/* The last byte of the path's head, where n_path is, made larger than any path of ours. */
static void a_longer_path_than_ours_is_refused(void **state)
{
	(void)state;
	static const uint8_t head[] = { 0xd2, 0x84, 0x47, 0xa2, 0x01, 0x26, 0x19, 0x01, 0x8b, 0x01, 0xa2, 0x18, 0x21, 0x41, 'L',
					0x19, 0x01, 0x8c, 0xa1, 0x20, 0x81, 0x59 };
	struct cbor_writer w = cbor_writer_new(arena, 2048);
	struct str message;
	char bytes[2048];
	cbor_put_array(&w, 3);
	cbor_put_uint(&w, 1 << 20);
	cbor_put_uint(&w, 0);
	cbor_put_array(&w, MERKLE_DEPTH_MAX + 1);
	for (size_t i = 0; i <= MERKLE_DEPTH_MAX; i++)
		cbor_put_bytes(&w, bytes, 32);
	struct str proof = cbor_written(&w);
	memcpy(bytes, head, sizeof head);
	bytes[sizeof head] = (char)(proof.len >> 8);
	bytes[sizeof head + 1] = (char)proof.len;
	memcpy(bytes + sizeof head + 2, proof.ptr, proof.len);
	message = (struct str){ bytes, sizeof head + 2 + proof.len };
	memcpy(bytes + message.len, "\xf6\x58\x40", 3);
	memset(bytes + message.len + 3, 's', 64);
	message.len += 67;
	struct error e;
	struct cose_receipt c;
	assert_int_equal(cose_parse(arena, message, &c, &e), ERR_INPUT);
	assert_non_null(strstr(e.text, "a larger tree than ours"));
}

/* Within the request's life, by home's clock, give or take some minutes. */
static void when_it_may_have_been_done(void **state)
{
	(void)state;
	const uint64_t asked = 1700000000000, now = asked + 3600000, expires = asked + 1800000, few = RECEIPT_CLOCKS_MS;
	const struct { uint64_t done, expires; bool good; } cases[] = {
		{ asked, expires, true }, { asked - few, expires, true }, { asked - few - 1, expires, false },
		{ 0, expires, false }, { 1, expires, false }, { UINT64_MAX, expires, false }, { UINT64_MAX, UINT64_MAX, false },
		{ expires, expires, true }, { expires + few, expires, true }, { expires + few + 1, expires, false },
		{ now, now * 2, true }, { now + few, now * 2, true }, { now + few + 1, now * 2, false },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *fault = receipt_misdated(cases[i].done, asked, cases[i].expires, now);
		if ((fault == NULL) != cases[i].good)
			fail_msg("case %zu", i);
	}
	assert_null(receipt_misdated(0, few, few, 0));
	assert_non_null(receipt_misdated(few + 1, 0, UINT64_MAX, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(when_it_may_have_been_done),
		cmocka_unit_test(the_claims_have_these_bytes),
		cmocka_unit_test(what_was_encoded_comes_back),
		cmocka_unit_test(no_two_claims_say_the_same),
		cmocka_unit_test(only_valid_claims_are_taken),
		cmocka_unit_test(only_those_done_are_certified),
		cmocka_unit_test(removed_users_have_no_revision),
		cmocka_unit_test(each_difference_makes_other_claims),
		cmocka_unit_test(the_parts_are_put_together),
		cmocka_unit_test(to_be_signed_is_that_of_the_rfc),
		cmocka_unit_test(a_cose_receipt_has_these_bytes),
		cmocka_unit_test(a_cose_receipt_is_read_as_it_was_written),
		cmocka_unit_test(other_cose_is_refused),
		cmocka_unit_test(a_longer_path_than_ours_is_refused),
	};
	return cmocka_run_group_tests_name("receipt", tests, begin, end);
}
