// needs: common/receipt.c common/cose.c common/cbor.c common/identity.c common/text.c common/arena.c common/error.c
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

static const struct user_service_id ids[] = { { MC_SERVICE_MCPTT, { "sip:a@p.example", 15 } },
					      { MC_SERVICE_MCDATA, { "tel:+491", 8 } } };

static struct setup a_setup(enum operation operation)
{
	static struct setup_user users[3] = { { .mc_id = { "a", 1 }, .service_ids = ids, .n_service_ids = 2 },
					      { .mc_id = { "b", 1 } }, { .mc_id = { "c", 1 } } };
	struct setup s = { .users = users, .n_users = 3, .n_service_ids = 2, .operation = operation };
	for (int i = 0; i < 16; i++)
		s.request_id.bytes[i] = (uint8_t)i;
	return s;
}

static struct user_revision revisions[] = { { { "c", 1 }, 1 }, { { "a", 1 }, 7 }, { { "b", 1 }, 300 } };

static struct receipt_outcome an_outcome(void)
{
	return (struct receipt_outcome){ .partner = STR("f.example"), .home = STR("p.example"), .done_ms = 1000,
					 .revisions = revisions, .n_revisions = 3 };
}

static struct receipt a_receipt(void)
{
	struct setup s = a_setup(OPERATION_SETUP);
	struct receipt_outcome o = an_outcome();
	struct receipt r;
	assert_int_equal(receipt_from_setup(arena, &s, &o, &r, NULL), OK);
	return r;
}

static void assert_hex(struct str s, const char *hex)
{
	char *got = calloc(1, 2 * s.len + 1);
	for (size_t i = 0; i < s.len; i++)
		snprintf(got + 2 * i, 3, "%02x", (unsigned char)s.ptr[i]);
	assert_string_equal(got, hex);
	free(got);
}

static void the_payload_has_these_bytes(void **state)
{
	(void)state;
	struct receipt r = a_receipt();
	assert_hex(receipt_encode(arena, &r),
		   "a7" "0101" "0269662e6578616d706c65" "0369702e6578616d706c65"
		   "0450000102030405060708090a0b0c0d0e0f" "0500" "061903e8" "0783"
		   "85" "6161" "07" "82" "82016f7369703a6140702e6578616d706c65" "82036874656c3a2b343931" "00" "00"
		   "85" "6162" "19012c" "80" "00" "00"
		   "85" "6163" "01" "80" "00" "00");
	r.n_users = 1;
	r.users[0].n_service_ids = 0;
	r.users[0].validity = (struct validity){ 1, 2 };
	r.decided_by = STR("d");
	assert_hex(receipt_encode(arena, &r),
		   "a8" "0101" "0269662e6578616d706c65" "0369702e6578616d706c65"
		   "0450000102030405060708090a0b0c0d0e0f" "0500" "061903e8" "0781" "85" "6161" "07" "80" "01" "02"
		   "086164");
}

static void what_was_encoded_comes_back(void **state)
{
	(void)state;
	struct receipt r = a_receipt(), again;
	struct setup s = a_setup(OPERATION_SETUP);
	struct receipt_outcome o = an_outcome();
	r.decided_by = o.decided_by = STR("duty officer");
	struct str bytes = receipt_encode(arena, &r);
	assert_int_equal(receipt_decode(arena, bytes, &again, NULL), OK);
	assert_null(receipt_fits(arena, &again, &s, &o));
	assert_int_equal(again.done_ms, 1000);
	assert_true(str_eq(receipt_encode(arena, &again), bytes));
}

/* A payload that was cut, lengthened, or broken anywhere either is refused or says something else. */
static void no_two_payloads_say_the_same(void **state)
{
	(void)state;
	struct receipt r = a_receipt(), again;
	struct str bytes = receipt_encode(arena, &r);
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

static enum status decode_changed(void (*change)(struct receipt *))
{
	struct receipt r = a_receipt(), again;
	change(&r);
	return receipt_decode(arena, receipt_encode(arena, &r), &again, NULL);
}

static void swap_users(struct receipt *r)
{
	struct receipt_user u = r->users[0];
	r->users[0] = r->users[1];
	r->users[1] = u;
}
static void repeat_user(struct receipt *r) { r->users[1] = r->users[0]; }
static void no_users(struct receipt *r) { r->n_users = 0; }
static void no_revision(struct receipt *r) { r->users[0].revision = 0; }
static void removed_with_revision(struct receipt *r) { r->operation = OPERATION_REMOVE; }
static void bad_system(struct receipt *r) { r->partner = STR("F.example"); }
static void bad_mc_id(struct receipt *r) { r->users[0].mc_id = STR("\n"); }
static void empty_validity(struct receipt *r) { r->users[0].validity = (struct validity){ 5, 5 }; }
static void empty_decider(struct receipt *r) { r->decided_by = STR(""); }
static void unsorted_ids(struct receipt *r)
{
	struct user_service_id *swapped = arena_array(arena, 2, sizeof *swapped);
	swapped[0] = ids[1], swapped[1] = ids[0];
	r->users[0].service_ids = swapped;
}
static void another_id(struct receipt *r, struct user_service_id id)
{
	struct user_service_id *one = arena_array(arena, 1, sizeof *one);
	*one = id;
	r->users[0].service_ids = one;
	r->users[0].n_service_ids = 1;
}
static void uncanonical_id(struct receipt *r)
{
	another_id(r, (struct user_service_id){ MC_SERVICE_MCPTT, STR("SIP:a@p.example") });
}
static void unknown_service(struct receipt *r)
{
	another_id(r, (struct user_service_id){ (enum mc_service)9, STR("sip:a@p.example") });
}

static void only_valid_receipts_are_taken(void **state)
{
	(void)state;
	void (*const changes[])(struct receipt *) = {
		swap_users, repeat_user, no_users, no_revision, removed_with_revision, bad_system, bad_mc_id, empty_validity,
		empty_decider, unsorted_ids, uncanonical_id, unknown_service };
	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
		assert_int_equal(decode_changed(changes[i]), ERR_INPUT);
}

static void only_those_done_are_certified(void **state)
{
	(void)state;
	struct setup s = a_setup(OPERATION_UPDATE);
	struct receipt_outcome o = an_outcome();
	struct identity_cause named[] = { { { "b", 1 }, STR_NONE, CAUSE_UNKNOWN_USER } };
	struct receipt r;
	o.cause = CAUSE_PARTLY_DONE;
	o.identities = named;
	o.n_identities = 1;
	assert_int_equal(receipt_from_setup(arena, &s, &o, &r, NULL), OK);
	assert_int_equal(r.n_users, 2);
	assert_str(r.users[1].mc_id, "c");
	assert_int_equal(r.users[0].revision, 7);
	assert_int_equal(r.users[1].revision, 1);
	assert_null(receipt_fits(arena, &r, &s, &o));
	o.n_revisions = 1; /* "a" was done and has none */
	assert_int_equal(receipt_from_setup(arena, &s, &o, &r, NULL), ERR_INPUT);
	o.cause = CAUSE_UNKNOWN_USER;
	assert_int_equal(receipt_from_setup(arena, &s, &o, &r, NULL), ERR_INPUT);
}

static void removed_users_have_no_revision(void **state)
{
	(void)state;
	struct setup s = a_setup(OPERATION_REMOVE);
	struct receipt_outcome o = an_outcome();
	struct identity_cause named[] = { { { "a", 1 }, STR_NONE, CAUSE_REVISION_MISMATCH },
					  { { "c", 1 }, STR_NONE, CAUSE_REVISION_MISMATCH },
					  { { "b", 1 }, STR_NONE, CAUSE_REVISION_MISMATCH } };
	struct receipt r;
	assert_int_equal(receipt_from_setup(arena, &s, &o, &r, NULL), ERR_INPUT);
	o.n_revisions = 0;
	assert_int_equal(receipt_from_setup(arena, &s, &o, &r, NULL), OK);
	assert_int_equal(r.n_users, 3);
	assert_int_equal(r.users[2].revision, 0);
	o.cause = CAUSE_PARTLY_DONE;
	o.identities = named;
	o.n_identities = 2;
	assert_int_equal(receipt_from_setup(arena, &s, &o, &r, NULL), OK);
	assert_int_equal(r.n_users, 1);
	assert_str(r.users[0].mc_id, "b");
	o.n_identities = 3;
	assert_int_equal(receipt_from_setup(arena, &s, &o, &r, NULL), ERR_INPUT);
}

static void each_difference_is_found(void **state)
{
	(void)state;
	struct setup s = a_setup(OPERATION_SETUP);
	struct receipt_outcome o = an_outcome();
	struct receipt r = a_receipt();
	assert_null(receipt_fits(arena, &r, &s, &o));
#define DIFFERS(change)                                               \
	do {                                                          \
		r = a_receipt();                                      \
		change;                                               \
		assert_non_null(receipt_fits(arena, &r, &s, &o));     \
	} while (0)
	DIFFERS(r.partner = STR("g.example"));
	DIFFERS(r.home = STR("g.example"));
	DIFFERS(r.request_id.bytes[15] ^= 1);
	DIFFERS(r.operation = OPERATION_UPDATE);
	DIFFERS(r.decided_by = STR("x"));
	DIFFERS(r.n_users--);
	DIFFERS(r.users[1].mc_id = STR("x"));
	DIFFERS(r.users[1].revision++);
	DIFFERS(r.users[0].n_service_ids--);
	DIFFERS(unsorted_ids(&r));
	DIFFERS(r.users[2].validity.not_before_ms = 1);
	DIFFERS(r.users[2].validity.not_after_ms = 1);
	r = a_receipt();
	r.done_ms = 5; /* only the partner knows */
	assert_null(receipt_fits(arena, &r, &s, &o));
	o.decided_by = STR("x");
	assert_non_null(receipt_fits(arena, &r, &s, &o));
}

/* RFC 9052 C.2.1: what a signature with the protected header {1: -7} over "This is the content." is over. */
static void to_be_signed_is_that_of_the_rfc(void **state)
{
	(void)state;
	assert_hex(cose_to_be_signed(arena, STR("\xa1\x01\x26"), STR("This is the content.")),
		   "846a5369676e61747572653143a101264054546869732069732074686520636f6e74656e742e");
	assert_hex(cose_protected_header(arena, COSE_ES256, STR("a/b")), "a201260363612f62");
	assert_hex(cose_protected_header(arena, COSE_ES384, STR("a/b")), "a20138220363612f62");
	assert_hex(cose_protected_header(arena, COSE_PS256, STR("a/b")), "a20138240363612f62");
}

static struct cose_sign1 a_sign1(size_t n_chain)
{
	static const struct str chain[COSE_CHAIN_MAX + 1] = { { "L", 1 }, { "I", 1 } };
	static const char signature[64] = "s";
	return (struct cose_sign1){ .algorithm = COSE_ES256,
				    .protected_header = cose_protected_header(arena, COSE_ES256, STR("a/b")),
				    .chain = chain, .n_chain = n_chain, .payload = STR("p"),
				    .signature = { signature, 64 } };
}

static void a_sign1_is_read_as_it_was_written(void **state)
{
	(void)state;
	struct cose_sign1 c = a_sign1(1), again;
	struct str one = cose_encode(arena, &c);
	assert_memory_equal(one.ptr, "\xd2\x84\x48\xa2\x01\x26\x03\x63""a/b\xa1\x18\x21\x41L\x41p\x58\x40s", 21);
	for (size_t n = 1; n <= COSE_CHAIN_MAX; n++) {
		c = a_sign1(n);
		struct str bytes = cose_encode(arena, &c);
		assert_int_equal(cose_parse(arena, bytes, STR("a/b"), &again, NULL), OK);
		assert_int_equal(again.n_chain, n);
		assert_int_equal(again.algorithm, COSE_ES256);
		assert_str(again.chain[0], "L");
		assert_str(again.payload, "p");
		assert_true(str_eq(again.signature, c.signature));
		assert_true(str_eq(cose_encode(arena, &again), bytes));
		assert_int_equal(cose_parse(arena, bytes, STR("a/c"), &again, NULL), ERR_INPUT);
	}
	c = a_sign1(COSE_CHAIN_MAX + 1);
	assert_int_equal(cose_parse(arena, cose_encode(arena, &c), STR("a/b"), &again, NULL), ERR_INPUT);
	c = a_sign1(0);
	assert_int_equal(cose_parse(arena, cose_encode(arena, &c), STR("a/b"), &again, NULL), ERR_INPUT);
	c = a_sign1(1);
	c.signature.len = 63;
	assert_int_equal(cose_parse(arena, cose_encode(arena, &c), STR("a/b"), &again, NULL), ERR_INPUT);
	c = a_sign1(1);
	c.protected_header = cose_protected_header(arena, -8, STR("a/b")); /* EdDSA */
	assert_int_equal(cose_parse(arena, cose_encode(arena, &c), STR("a/b"), &again, NULL), ERR_INPUT);
	for (size_t n = 0; n < one.len; n++)
		assert_int_equal(cose_parse(arena, (struct str){ one.ptr, n }, STR("a/b"), &again, NULL), ERR_INPUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_payload_has_these_bytes),
		cmocka_unit_test(what_was_encoded_comes_back),
		cmocka_unit_test(no_two_payloads_say_the_same),
		cmocka_unit_test(only_valid_receipts_are_taken),
		cmocka_unit_test(only_those_done_are_certified),
		cmocka_unit_test(removed_users_have_no_revision),
		cmocka_unit_test(each_difference_is_found),
		cmocka_unit_test(to_be_signed_is_that_of_the_rfc),
		cmocka_unit_test(a_sign1_is_read_as_it_was_written),
	};
	return cmocka_run_group_tests_name("receipt", tests, begin, end);
}
