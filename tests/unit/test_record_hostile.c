// needs: acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/identity.c common/text.c common/arena.c common/error.c
#include "acms/record.h"
#include "hostile.h"

/* No encoder of a record makes what its decoder refuses, whatever it is given. */

enum { ROUNDS = 3000 };

static struct setup hostile_setup(struct arena *a)
{
	struct setup s = { .home_acmc_id = hostile_chance(2) ? STR_NONE : hostile_id(a, 1), .has_validity = hostile_chance(2),
			   .validity = { hostile_uint(), hostile_uint() }, .expires_ms = hostile_uint(),
			   .dry_run = hostile_chance(2), .best_effort = hostile_chance(2),
			   .part = (uint32_t)hostile_uint(), .parts = (uint32_t)hostile_uint() };
	s.operation = (enum operation)hostile_number(hostile_chance(50) ? 300 : OPERATIONS);
	s.n_users = 1 + hostile_count() - (size_t)hostile_chance(20);
	s.users = arena_array(a, s.n_users, sizeof *s.users);
	for (size_t i = 0; i < s.n_users; i++) {
		struct setup_user *u = &s.users[i];
		u->mc_id = hostile_id(a, i);
		u->service_ids = hostile_service_ids(a, &u->n_service_ids);
		u->expected_revision = hostile_uint();
	}
	s.targets = hostile_ids(a, &s.n_targets);
	return s;
}

/* Fills in a record, encodes it; if that is refused: ptr == NULL. */
typedef struct str fill(struct arena *a);

static struct str fill_user(struct arena *a)
{
	struct user_record r = { .revision = hostile_uint(), .created_ms = hostile_uint(), .changed_ms = hostile_uint(),
				 .by = hostile_request_id(), .validity = { hostile_uint(), hostile_uint() } };
	r.service_ids = hostile_service_ids(a, &r.n_service_ids);
	return record_encode_user(a, &r);
}

static struct str fill_owner(struct arena *a)
{
	return record_encode_owner(a, &(struct owner_record){ hostile_id(a, 0), hostile_id(a, 0) });
}

static struct str fill_system(struct arena *a)
{
	return record_encode_system(a, &(struct system_record){ .users_held = hostile_uint(),
								.token_issuer = hostile_chance(2) ? STR_NONE : hostile_id(a, 0) });
}

static struct str fill_request(struct arena *a)
{
	struct request_record r = { .answered_ms = hostile_uint(), .cause = hostile_cause(), .keep_until_ms = hostile_uint(),
				    .decided_by = hostile_decided_by(a), .detail = hostile_prose(a) };
	r.identities = hostile_identities(a, &r.n_identities);
	r.revisions = hostile_revisions(a, &r.n_revisions);
	if (hostile_chance(2))
		request_cut_names(&r);
	return record_encode_request(a, &r);
}

static struct str fill_pending(struct arena *a)
{
	return record_encode_pending(a, &(struct pending_record){ .received_ms = hostile_uint(),
								  .decide_until_ms = hostile_uint(),
								  .certificate = hostile_prose(a), .setup = hostile_setup(a) });
}

static struct str fill_asked(struct arena *a)
{
	struct asked_record r = { .accepted_ms = hostile_uint(), .acmc = hostile_prose(a),
				  .certificate = hostile_prose(a), .setup = hostile_setup(a) };
	uint64_t *refused = arena_array(a, r.setup.n_targets, sizeof *refused);
	for (size_t i = 0; i < r.setup.n_targets; i++)
		refused[i] = hostile_uint();
	r.refused = refused;
	r.n_refused = hostile_chance(50) ? r.setup.n_targets : 0;
	return record_encode_asked(a, &r);
}

static struct str fill_outbox(struct arena *a)
{
	return record_encode_outbox(a, &(struct outbox_record){ hostile_uint(), hostile_uint(), hostile_prose(a), hostile_uint() });
}

static struct str fill_answer(struct arena *a)
{
	struct answer_record r = { .answered_ms = hostile_uint(), .cause = hostile_cause(), .detail = hostile_prose(a),
				   .receipt = hostile_prose(a), .decided_by = hostile_decided_by(a), .done_ms = hostile_uint() };
	r.origin = (enum origin)(1 + hostile_number(hostile_chance(20) ? 5 : 2));
	r.identities = hostile_identities(a, &r.n_identities);
	r.revisions = hostile_revisions(a, &r.n_revisions);
	return record_encode_answer(a, &r);
}

static struct str fill_audit(struct arena *a)
{
	struct audit_record r = { .at_ms = hostile_uint(), .home = hostile_id(a, 0), .certificate = hostile_prose(a),
				  .request = hostile_request_id(), .claimed_acmc = hostile_prose(a), .cause = hostile_cause(),
				  .created = hostile_uint(), .replaced = hostile_uint(), .unchanged = hostile_uint(),
				  .removed = hostile_uint(), .acmc = hostile_prose(a), .decided_by = hostile_decided_by(a),
				  .detail = hostile_prose(a), .all_mc_ids = hostile_uint(), .all_identities = hostile_uint(),
				  .refusals = hostile_uint(), .unchanged_requests = hostile_uint() };
	r.action = (enum audit_action)(1 + hostile_number(hostile_chance(20) ? 40 : AUDIT_REFUSALS));
	r.operation = (enum operation)hostile_number(hostile_chance(20) ? 40 : OPERATIONS);
	r.mc_ids = hostile_ids(a, &r.n_mc_ids);
	r.targets = hostile_ids(a, &r.n_targets);
	r.identities = hostile_identities(a, &r.n_identities);
	return record_encode_audit(a, &r);
}

static struct str fill_uint(struct arena *a)
{
	return record_encode_uint(a, hostile_uint());
}

static struct str fill_text(struct arena *a)
{
	return record_encode_text(a, hostile_text(a, hostile_length()));
}

/* Decodes, and encodes again what that was. */
typedef struct str again(struct arena *a, struct str value);

#define AGAIN(name, type, decode, encode)                                  \
	static struct str again_##name(struct arena *a, struct str value)  \
	{                                                                  \
		struct error e;                                            \
		type r;                                                    \
		if ((decode) == OK)                                        \
			return (encode);                                   \
		fail_msg("%s", e.text);                                    \
		return STR_NONE;                                           \
	}
AGAIN(user, struct user_record, record_decode_user(a, value, &r, &e), record_encode_user(a, &r))
AGAIN(owner, struct owner_record, record_decode_owner(value, &r, &e), record_encode_owner(a, &r))
AGAIN(system, struct system_record, record_decode_system(value, &r, &e), record_encode_system(a, &r))
AGAIN(request, struct request_record, record_decode_request(a, value, &r, &e), record_encode_request(a, &r))
AGAIN(pending, struct pending_record, record_decode_pending(a, value, &r, &e), record_encode_pending(a, &r))
AGAIN(asked, struct asked_record, record_decode_asked(a, value, &r, &e), record_encode_asked(a, &r))
AGAIN(outbox, struct outbox_record, record_decode_outbox(value, &r, &e), record_encode_outbox(a, &r))
AGAIN(answer, struct answer_record, record_decode_answer(a, value, &r, &e), record_encode_answer(a, &r))
AGAIN(audit, struct audit_record, record_decode_audit(a, value, &r, &e), record_encode_audit(a, &r))
AGAIN(uint, uint64_t, record_decode_uint(value, &r, &e), record_encode_uint(a, r))
AGAIN(text, struct str, record_decode_text(value, &r, &e), record_encode_text(a, r))

static void what_is_encoded_is_decoded(void **state)
{
	(void)state;
	static const struct {
		fill *fill;
		again *again;
	} kinds[] = { { fill_user, again_user },	 { fill_owner, again_owner },   { fill_system, again_system },
		      { fill_request, again_request }, { fill_pending, again_pending }, { fill_asked, again_asked },
		      { fill_outbox, again_outbox },	 { fill_answer, again_answer }, { fill_audit, again_audit },
		      { fill_uint, again_uint },	 { fill_text, again_text } };
	struct arena *a = arena_new(0);
	hostile_seed = test_seed();
	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		size_t encoded = 0;
		for (int i = 0; i < ROUNDS; i++, arena_reset(a)) {
			struct str value = kinds[k].fill(a);
			if (!value.ptr)
				continue;
			struct str twice = kinds[k].again(a, value);
			assert_true(str_eq(twice, value));
			encoded++;
		}
		assert_in_range(encoded, ROUNDS / 10, ROUNDS);
	}
	arena_free(a);
}

/* What people wrote, and what a peer says of itself, is no reason to lose a record. */
static void peoples_text_is_never_refused(void **state)
{
	(void)state;
	static struct setup_user user = { .mc_id = { "a", 1 } };
	const struct setup s = { .users = &user, .n_users = 1 };
	struct arena *a = arena_new(0);
	hostile_seed = test_seed();
	for (int i = 0; i < ROUNDS; i++, arena_reset(a)) {
		struct str text = hostile_text(a, hostile_length()), mended = arena_str(a, text);
		struct request_record request = { .detail = text, .decided_by = { text, text, 1 } };
		struct pending_record pending = { .certificate = text, .setup = s };
		struct asked_record asked = { .acmc = text, .certificate = text, .setup = s };
		struct answer_record answer = { .origin = ORIGIN_HOME_ACMS, .detail = text };
		struct audit_record audit = { .action = AUDIT_ASK, .home = STR("h.example"), .certificate = text, .acmc = text,
					      .claimed_acmc = text, .detail = text };
		text_mend((char *)mended.ptr, mended.len);
		assert_int_equal(record_decode_request(a, record_encode_request(a, &request), &request, NULL), OK);
		assert_true(str_eq(request.detail, mended) && str_eq(request.decided_by.acmc, mended) &&
			    str_eq(request.decided_by.reason, mended));
		assert_int_equal(record_decode_pending(a, record_encode_pending(a, &pending), &pending, NULL), OK);
		assert_true(str_eq(pending.certificate, mended));
		assert_int_equal(record_decode_asked(a, record_encode_asked(a, &asked), &asked, NULL), OK);
		assert_true(str_eq(asked.certificate, mended) && str_eq(asked.acmc, mended));
		assert_int_equal(record_decode_answer(a, record_encode_answer(a, &answer), &answer, NULL), OK);
		assert_true(str_eq(answer.detail, mended));
		assert_int_equal(record_decode_audit(a, record_encode_audit(a, &audit), &audit, NULL), OK);
		assert_true(str_eq(audit.detail, mended) && str_eq(audit.certificate, mended));
	}
	arena_free(a);
}

/* As it was written once, cut inside a character. */
static void a_record_with_a_bad_text_is_mended_when_it_is_read(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct answer_record r = { .origin = ORIGIN_HOME_ACMS, .detail = STR("ends with XX") };
	struct str value = record_encode_answer(a, &r);
	memcpy((char *)value.ptr + value.len - 2, "\xE2\x82", 2);
	assert_int_equal(record_decode_answer(a, value, &r, NULL), OK);
	assert_str(r.detail, "ends with ??");
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_encoded_is_decoded),
		cmocka_unit_test(peoples_text_is_never_refused),
		cmocka_unit_test(a_record_with_a_bad_text_is_mended_when_it_is_read),
	};
	return cmocka_run_group_tests_name("record, hostile values", tests, NULL, NULL);
}
