// needs: common/setup.c common/sort.c common/setup_fault.c common/identity.c common/text.c common/arena.c
/* What can be an answer to a request, and what cannot. */
#include <limits.h>
#include "common/receipt.h"
#include "common/setup.h"
#include "unit.h"

static const struct str target = { "fire.example", 12 };

static struct setup_user users[] = { { .mc_id = { "a", 1 } }, { .mc_id = { "b", 1 } }, { .mc_id = { "c", 1 } } };

static struct setup make(enum operation operation)
{
	return (struct setup){ .targets = &target, .n_targets = 1, .users = users, .n_users = 3, .operation = operation };
}

static struct setup_response respond(const struct setup *s, enum cause cause)
{
	struct verdict v = { .cause = cause };
	struct setup_response r;
	setup_to_response(s, target, ORIGIN_PARTNER_ACMS, &v, &r);
	return r;
}

static void responses_that_cannot_be_answers(void **state)
{
	(void)state;
	const uint64_t revisions[] = { 1, 2, UINT64_MAX };
	struct setup s = make(OPERATION_SETUP);
	struct setup_response good = respond(&s, CAUSE_NO_CAUSE), bad;
	good.revisions = revisions, good.n_revisions = 3;
	assert_null(setup_response_fault(&s, target, &good));
	bad = good, bad.cause = CAUSE_SHUTTING_DOWN;
	assert_non_null(setup_response_fault(&s, target, &bad));
	bad = good, bad.result = false;
	assert_non_null(setup_response_fault(&s, target, &bad));
	bad = good, bad.origin = ORIGIN_HOME_ACMS;
	assert_non_null(setup_response_fault(&s, target, &bad));
	bad = good, bad.mc_system_id = STR("rail.example");
	assert_non_null(setup_response_fault(&s, target, &bad));
	struct identity_cause stranger = { STR("z"), STR_NONE, CAUSE_MC_SERVICE_ID_IN_USE };
	bad = respond(&s, CAUSE_MC_SERVICE_ID_IN_USE);
	assert_null(setup_response_fault(&s, target, &bad));
	bad.identities = &stranger, bad.n_identities = 1;
	assert_non_null(setup_response_fault(&s, target, &bad));
	bad = good, bad.identities = &stranger, bad.n_identities = 1;
	assert_non_null(setup_response_fault(&s, target, &bad));
	struct identity_cause known = { STR("a"), STR_NONE, CAUSE_MC_SERVICE_ID_IN_USE };
	bad = good, bad.identities = &known, bad.n_identities = 1; /* TRUE names nobody */
	assert_non_null(setup_response_fault(&s, target, &bad));
	bad = respond(&s, CAUSE_MC_SERVICE_ID_IN_USE);
	bad.identities = &known, bad.n_identities = 1;
	for (int cause = -1; cause <= 800; cause++) { /* an identity's is of the classes 1, 2 and 4 */
		int class = cause / 100;
		known.cause = (enum cause)cause;
		assert_int_equal(setup_response_fault(&s, target, &bad) == NULL,
				 (class == 1 || class == 2 || class == 4) && cause != CAUSE_PARTLY_DONE &&
					 cause != CAUSE_UNKNOWN_REQUEST);
	}
	bad.n_identities = 0;
	for (int cause = -1; cause <= 800; cause++) {
		bad.cause = (enum cause)cause;
		assert_int_equal(setup_response_fault(&s, target, &bad) == NULL,
				 cause >= 100 && cause < 600 && cause != CAUSE_PARTLY_DONE);
	}
	bad.cause = (enum cause)INT_MAX;
	assert_non_null(setup_response_fault(&s, target, &bad));
}

static void homes_own_responses(void **state)
{
	(void)state;
	struct setup s = make(OPERATION_REMOVE);
	struct setup_response r = respond(&s, CAUSE_NO_CAUSE);
	assert_null(setup_home_response_fault(&s, false, &r)); /* passed on */
	r.origin = ORIGIN_HOME_ACMS;
	assert_non_null(setup_home_response_fault(&s, false, &r));
	r.origin = (enum origin)0;
	assert_non_null(setup_home_response_fault(&s, false, &r));
	r = respond(&s, CAUSE_PARTNER_TIMEOUT);
	assert_non_null(setup_home_response_fault(&s, false, &r)); /* not the partner's to say */
	r.origin = ORIGIN_HOME_ACMS;
	assert_null(setup_home_response_fault(&s, false, &r));
	assert_non_null(setup_home_response_fault(&s, true, &r)); /* of a partner, and so for a target */
	r.cause = CAUSE_MISSING_ELEMENT;
	assert_null(setup_home_response_fault(&s, true, &r));
}

/* Of as many as there are users, or of nobody; and then somebody has one. */
static void revisions_for_each(void **state)
{
	(void)state;
	const uint64_t each[] = { 1, 2, UINT64_MAX, 4 }, none[] = { 0, 0, 0 };
	struct setup s = make(OPERATION_SETUP);
	struct setup_response good = respond(&s, CAUSE_NO_CAUSE), bad;
	good.revisions = each, good.n_revisions = 3;
	assert_null(setup_response_fault(&s, target, &good));
	assert_null(setup_home_response_fault(&s, false, &good));
	for (size_t n = 0; n <= 4; n++) {
		bad = good, bad.n_revisions = n;
		assert_int_equal(setup_response_fault(&s, target, &bad) == NULL, n == 3);
	}
	bad = good, bad.revisions = none;
	assert_non_null(setup_response_fault(&s, target, &bad));
}

/* Revisions and named users, by position in a, b, c; a digit for each. */
struct answer_case {
	int operation;
	bool best_effort, dry_run;
	int cause;
	const char *revisions, *named;
	bool good;
};

static bool judged_good(const struct answer_case *c)
{
	struct identity_cause named[4];
	uint64_t revisions[3] = { 0 };
	struct setup s = make((enum operation)c->operation);
	s.best_effort = c->best_effort, s.dry_run = c->dry_run;
	struct setup_response r = respond(&s, (enum cause)c->cause);
	r.identities = named;
	for (const char *p = c->named; *p; p++)
		named[r.n_identities++] = (struct identity_cause){ { p, 1 }, STR_NONE, CAUSE_REVISION_MISMATCH };
	for (const char *p = c->revisions; *p; p++)
		revisions[*p - 'a'] = 7;
	r.revisions = revisions;
	r.n_revisions = *c->revisions ? 3 : 0;
	const char *fault = setup_response_fault(&s, target, &r);
	assert_true(!fault || strncmp(fault, "a response ", 11) == 0);
	return !fault;
}

static void answers(void **state)
{
	(void)state;
	enum { SETUP, UPDATE, REMOVE, NONE = CAUSE_NO_CAUSE, PARTLY = CAUSE_PARTLY_DONE, MISMATCH = CAUSE_REVISION_MISMATCH };
	static const struct answer_case cases[] = {
		{ SETUP, false, false, NONE, "", "", false },
		{ SETUP, false, false, NONE, "ab", "", false },
		{ SETUP, false, false, NONE, "abc", "", true },
		{ SETUP, false, true, NONE, "", "", true }, /* nothing was done */
		{ SETUP, false, true, NONE, "abc", "", true },
		{ UPDATE, false, false, NONE, "abc", "", true },
		{ UPDATE, false, false, NONE, "", "", false },
		{ REMOVE, false, false, NONE, "", "", true },
		{ REMOVE, false, false, NONE, "abc", "", false }, /* they are gone */
		{ UPDATE, false, false, MISMATCH, "b", "b", true },
		{ UPDATE, false, false, MISMATCH, "", "", true },
		{ UPDATE, false, false, PARTLY, "ac", "b", false }, /* was not to be done in part */
		{ UPDATE, true, false, PARTLY, "ac", "b", true },
		{ UPDATE, true, false, PARTLY, "ac", "bb", false } /* twice */,
		{ UPDATE, true, false, PARTLY, "abc", "b", false },
		{ UPDATE, true, false, PARTLY, "a", "b", false }, /* what of c? */
		{ UPDATE, true, false, PARTLY, "", "b", false },
		{ UPDATE, true, true, PARTLY, "", "b", true },
		{ UPDATE, true, false, PARTLY, "", "abc", false }, /* that is nobody */
		{ UPDATE, true, false, PARTLY, "abc", "", false }, /* that is everybody */
		{ UPDATE, true, false, MISMATCH, "", "abc", true },
		{ SETUP, true, false, PARTLY, "ab", "c", true },
		{ REMOVE, true, false, PARTLY, "", "c", true },
		{ REMOVE, true, false, PARTLY, "", "abc", false },
		{ REMOVE, true, false, PARTLY, "", "", false },
		{ REMOVE, true, false, CAUSE_APPROVAL_TIMEOUT, "", "", true },
		{ REMOVE, true, false, CAUSE_PARTNER_TIMEOUT, "", "", false }, /* not the partner's to say */
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (judged_good(&cases[i]) != cases[i].good)
			fail_msg("case %zu", i);
	}
}

/* One cause for an identity of the request. */
static void whom_causes_name(void **state)
{
	(void)state;
	static const struct user_service_id of_a[] = { { 1, { "sip:a@x.example", 15 } }, { 2, { "sip:a@x.example", 15 } } },
					    of_b[] = { { 1, { "sip:b@x.example", 15 } } };
	struct setup_user have[] = { { .mc_id = STR("a"), .service_ids = of_a, .n_service_ids = 2 },
				     { .mc_id = STR("b"), .service_ids = of_b, .n_service_ids = 1 },
				     { .mc_id = STR("c") } };
	static const struct { const char *mc_ids[3], *service_ids[3]; bool good; } cases[] = {
		{ { "a" }, { NULL }, true },
		{ { "a" }, { "sip:a@x.example" }, true },
		{ { "a", "a" }, { NULL, "sip:a@x.example" }, true },
		{ { "b", "a", "a" }, { "sip:b@x.example", "sip:a@x.example", NULL }, true },
		{ { "a", "a" }, { NULL, NULL }, false },
		{ { "a", "b", "a" }, { "sip:a@x.example", NULL, "sip:a@x.example" }, false },
		{ { "a" }, { "" }, false },
		{ { "a" }, { "SIP:a@x.example" }, false }, /* not canonical */
		{ { "a" }, { "sip:b@x.example" }, false }, /* another user's */
		{ { "c" }, { "sip:a@x.example" }, false },
		{ { "z" }, { NULL }, false },
		{ { "" }, { NULL }, false },
	};
	struct setup s = make(OPERATION_SETUP);
	s.users = have, s.n_service_ids = 3;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct identity_cause named[3];
		struct setup_response answer = respond(&s, CAUSE_OUTSIDE_NAMESPACE);
		answer.identities = named;
		for (; answer.n_identities < 3 && cases[i].mc_ids[answer.n_identities]; answer.n_identities++) {
			const char *id = cases[i].service_ids[answer.n_identities];
			named[answer.n_identities] = (struct identity_cause){ str_of(cases[i].mc_ids[answer.n_identities]),
									      id ? str_of(id) : STR_NONE,
									      CAUSE_OUTSIDE_NAMESPACE };
		}
		if ((setup_response_fault(&s, target, &answer) == NULL) != cases[i].good)
			fail_msg("case %zu", i);
	}
}

static void who_decided_has_a_name(void **state)
{
	(void)state;
	char longest[RECEIPT_DECIDED_BY_MAX + 2];
	memset(longest, 'x', sizeof longest);
	const struct { struct str acmc; bool good; } cases[] = {
		{ STR_NONE, true }, { STR("chief"), true }, { { longest, RECEIPT_DECIDED_BY_MAX }, true },
		{ STR(""), false }, { { longest, RECEIPT_DECIDED_BY_MAX + 1 }, false }, { STR("a\033[2J"), false },
		{ STR("a\u202e"), false }, { STR("\xff"), false },
	};
	struct setup s = make(OPERATION_REMOVE);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (int refused = 0; refused < 2; refused++) {
			struct setup_response answer = respond(&s, refused ? CAUSE_REJECTED : CAUSE_NO_CAUSE);
			answer.decided_by.acmc = cases[i].acmc;
			if ((setup_response_fault(&s, target, &answer) == NULL) != cases[i].good)
				fail_msg("case %zu", i);
		}
}

static void a_receipt_is_for_what_was_done(void **state)
{
	(void)state;
	struct setup s = make(OPERATION_REMOVE);
	struct setup_response r = respond(&s, CAUSE_NO_CAUSE);
	r.receipt = STR("x"), r.done_ms = 1;
	assert_null(setup_response_fault(&s, target, &r));
	s.dry_run = true;
	assert_non_null(setup_response_fault(&s, target, &r));
	s.dry_run = false;
	r = respond(&s, CAUSE_REJECTED);
	r.decided_by.acmc = STR("chief");
	assert_null(setup_response_fault(&s, target, &r));
	r.done_ms = 1;
	assert_non_null(setup_response_fault(&s, target, &r));
	r.done_ms = 0, r.receipt = STR("x");
	assert_non_null(setup_response_fault(&s, target, &r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(responses_that_cannot_be_answers),
		cmocka_unit_test(homes_own_responses),
		cmocka_unit_test(revisions_for_each),
		cmocka_unit_test(answers),
		cmocka_unit_test(whom_causes_name),
		cmocka_unit_test(who_decided_has_a_name),
		cmocka_unit_test(a_receipt_is_for_what_was_done),
	};
	return cmocka_run_group_tests_name("setup, responses", tests, NULL, NULL);
}
