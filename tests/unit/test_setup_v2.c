// needs: common/setup.c common/setup_response.c common/content.c common/sort.c common/setup_fault.c common/identity.c common/text.c common/arena.c common/error.c
/* The elements of version 2: operations, expected revisions, validity, times; and the answers to them. */
#include "common/content.h"
#include "common/receipt.h"
#include "unit.h"

static struct str target = { "fire.example", 12 };
static struct str mc_ids[] = { { "b", 1 }, { "a", 1 }, { "c", 1 } };
static struct service_id_entry ids[] = { { { "a", 1 }, 1, { "sip:a@x.example", 15 } } };

static struct setup_request make(int operation)
{
	return (struct setup_request){ .mc_system_ids = &target, .n_mc_system_ids = 1, .mc_ids = mc_ids, .n_mc_ids = 3,
				       .operation = operation };
}

static struct verdict check(struct arena *a, const struct setup_request *r, struct setup *s)
{
	struct limits limits = LIMITS_DEFAULT;
	return setup_check(a, r, &limits, s);
}

static enum cause cause_of(const struct setup_request *r)
{
	struct arena *a = arena_new(0);
	struct setup s;
	enum cause cause = check(a, r, &s).cause;
	arena_free(a);
	return cause;
}

static void elements_go_with_their_operation(void **state)
{
	(void)state;
	struct user_revision revisions[] = { { STR("c"), 3 }, { STR("a"), 1 }, { STR("b"), UINT64_MAX } };
	struct setup_request r = make(3);
	assert_int_equal(cause_of(&r), CAUSE_UNSUPPORTED_ELEMENT);
	r = make(-1);
	assert_int_equal(cause_of(&r), CAUSE_UNSUPPORTED_ELEMENT);
	r = make(OPERATION_REMOVE);
	assert_int_equal(cause_of(&r), CAUSE_NO_CAUSE);
	r.has_validity = true;
	assert_int_equal(cause_of(&r), CAUSE_UNSUPPORTED_ELEMENT);
	r = make(OPERATION_REMOVE), r.service_ids = ids, r.n_service_ids = 1;
	assert_int_equal(cause_of(&r), CAUSE_UNSUPPORTED_ELEMENT);
	r = make(OPERATION_REMOVE), r.revisions = revisions, r.n_revisions = 1;
	assert_int_equal(cause_of(&r), CAUSE_NO_CAUSE);
	r.operation = OPERATION_SETUP;
	assert_int_equal(cause_of(&r), CAUSE_UNSUPPORTED_ELEMENT);
	r = make(OPERATION_UPDATE), r.revisions = revisions, r.n_revisions = 3;
	r.service_ids = ids, r.n_service_ids = 1, r.has_validity = true;
	assert_int_equal(cause_of(&r), CAUSE_NO_CAUSE);
}

static void expected_revisions(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct user_revision revisions[] = { { STR("c"), 3 }, { STR("a"), 1 }, { STR("b"), 2 } };
	struct setup_request r = make(OPERATION_UPDATE);
	struct setup s;
	r.revisions = revisions, r.n_revisions = 3;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_NO_CAUSE);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(s.users[i].expected_revision, i + 1);
	r.n_revisions = 2;
	struct verdict v = check(a, &r, &s);
	assert_int_equal(v.cause, CAUSE_MISSING_ELEMENT);
	assert_int_equal(v.n_identities, 1);
	assert_str(v.identities[0].mc_id, "b");
	r.n_revisions = 3, revisions[2].revision = 0; /* no revision is 0 */
	v = check(a, &r, &s);
	assert_int_equal(v.cause, CAUSE_MISSING_ELEMENT);
	assert_int_equal(v.n_identities, 1);
	r.operation = OPERATION_REMOVE;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_MISSING_ELEMENT);
	revisions[2] = (struct user_revision){ STR("z"), 1 };
	assert_int_equal(check(a, &r, &s).cause, CAUSE_UNPAIRED_MC_SERVICE_ID);
	revisions[2] = (struct user_revision){ STR("a"), 1 };
	assert_int_equal(check(a, &r, &s).cause, CAUSE_DUPLICATE_IDENTITY);
	arena_free(a);
}

static void windows(void **state)
{
	(void)state;
	struct setup_request r = make(OPERATION_SETUP);
	r.has_validity = true;
	assert_int_equal(cause_of(&r), CAUSE_NO_CAUSE);
	r.validity = (struct validity){ 5, 0 };
	assert_int_equal(cause_of(&r), CAUSE_NO_CAUSE);
	r.validity = (struct validity){ 5, 6 };
	assert_int_equal(cause_of(&r), CAUSE_NO_CAUSE);
	r.validity = (struct validity){ 5, 5 };
	assert_int_equal(cause_of(&r), CAUSE_INVALID_VALIDITY);
	assert_true(validity_covers((struct validity){ 0, 0 }, 7));
	assert_true(validity_covers((struct validity){ 7, 8 }, 7));
	assert_false(validity_covers((struct validity){ 8, 0 }, 7));
	assert_false(validity_covers((struct validity){ 0, 7 }, 7));
}

static void times(void **state)
{
	(void)state;
	enum { NO = CAUSE_NO_CAUSE, EXPIRED = CAUSE_REQUEST_EXPIRED, VALIDITY = CAUSE_INVALID_VALIDITY };
	static const uint64_t now = 1709210096789; /* a leap day */
	static const struct {
		uint64_t not_after, expires;
		bool from_system;
		int cause;
		const char *detail;
	} cases[] = {
		{ 0, 0, false, NO, NULL },
		{ 0, 0, true, EXPIRED, "expires is left out; it is 2024-02-29T12:34:56Z here" },
		{ 0, 1, false, NO, NULL }, /* an ACMC's wish */
		{ 0, now, true, NO, NULL },
		{ 0, now - 1, true, EXPIRED,
		  "the request expires at 2024-02-29T12:34:56Z, which has passed; it is 2024-02-29T12:34:56Z here" },
		{ 0, now + EXPIRES_AHEAD_MAX_MS, true, NO, NULL },
		{ 0, now + EXPIRES_AHEAD_MAX_MS + 1, true, EXPIRED,
		  "the request expires at 2024-03-31T12:34:56Z, more than 31 days ahead; it is 2024-02-29T12:34:56Z here" },
		{ 0, UINT64_MAX, true, EXPIRED, NULL },
		{ now + 1, 0, false, NO, NULL },
		{ now, 0, false, VALIDITY,
		  "the validity ends at 2024-02-29T12:34:56Z, which has passed; it is 2024-02-29T12:34:56Z here" },
		{ 1, now, true, VALIDITY,
		  "the validity ends at 1970-01-01T00:00:00Z, which has passed; it is 2024-02-29T12:34:56Z here" },
		{ 1, 1, true, EXPIRED, NULL },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char detail[200] = "";
		struct setup s = { .has_validity = true, .validity = { 0, cases[i].not_after },
				   .expires_ms = cases[i].expires };
		assert_int_equal(setup_times_check(&s, now, cases[i].from_system, detail, sizeof detail), cases[i].cause);
		if (cases[i].detail)
			assert_string_equal(detail, cases[i].detail);
	}
}

static void onward_to_a_partner(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct user_revision revisions[] = { { STR("c"), 3 }, { STR("a"), 1 } };
	struct setup_request r = make(OPERATION_REMOVE), sent;
	struct setup s, same;
	r.revisions = revisions, r.n_revisions = 2;
	r.expires_ms = 9, r.dry_run = r.best_effort = true, r.part = 1, r.parts = 2;
	check(a, &r, &s);
	assert_true(setup_to_request(a, &s, target, &sent));
	assert_int_equal(sent.n_revisions, 2);
	assert_int_equal(sent.expires_ms, 9);
	assert_true(sent.part == 0 && sent.parts == 0);
	assert_int_equal(check(a, &sent, &same).cause, CAUSE_NO_CAUSE);
	assert_true(str_eq(setup_content(a, &s), setup_content(a, &same)));
	r = make(OPERATION_SETUP), r.has_validity = true, r.validity.not_after_ms = 9;
	check(a, &r, &s);
	assert_true(setup_to_request(a, &s, target, &sent));
	assert_true(sent.has_validity && sent.validity.not_after_ms == 9);
	assert_int_equal(check(a, &sent, &same).cause, CAUSE_NO_CAUSE);
	assert_true(str_eq(setup_content(a, &s), setup_content(a, &same)));
	assert_true(setup_request_needs_version_2(&sent));
	r = make(OPERATION_SETUP), r.part = 1, r.parts = 2;
	check(a, &r, &s);
	assert_true(setup_to_request(a, &s, target, &sent));
	sent.grouped = false;
	assert_false(setup_request_needs_version_2(&sent));
	arena_free(a);
}

/* Revisions and named users, by position in a, b, c; a digit for each. */
struct answer_case {
	int operation;
	bool best_effort, dry_run;
	uint32_t version;
	int cause;
	const char *revisions, *named;
	bool good;
};

/* What is good with lists is good without; what is bad is, too, where it can be said at all. */
static void same_as_requested(struct arena *a, const struct setup *s, const struct answer_case *c,
			      const struct setup_response *spelled_out, const char *fault)
{
	struct setup_response r = *spelled_out;
	uint64_t each[3] = { 0 };
	for (const char *p = c->revisions; *p; p++) {
		if (*p > 'c' || each[*p - 'a'])
			return;
		each[*p - 'a'] = 7;
	}
	r.as_requested = true;
	r.n_mc_ids = r.n_service_ids = r.n_revisions = 0;
	r.revision_of_each = each;
	r.n_of_each = *c->revisions ? 3 : 0;
	assert_int_equal(setup_response_fault(s, target, c->version, &r) == NULL, !fault && c->version >= 2);
	const uint64_t *found;
	size_t n;
	assert_true(fault || setup_revisions(a, s, spelled_out, &found, &n));
	for (size_t i = 0; !fault && i < n; i++)
		assert_int_equal(found[i], each[i]);
	assert_true(setup_spell_out(a, s, &r));
	assert_true(!r.as_requested && r.n_of_each == 0 && r.n_revisions == spelled_out->n_revisions);
}

static bool judged_good(const struct answer_case *c)
{
	struct arena *a = arena_new(0);
	struct user_revision expected[] = { { STR("a"), 1 }, { STR("b"), 1 }, { STR("c"), 1 } }, revisions[4];
	struct identity_cause named[4];
	struct setup_request r = make(c->operation);
	struct setup s;
	struct setup_response answer;
	struct verdict v = { .cause = (enum cause)c->cause, .identities = named };
	if (c->operation == OPERATION_UPDATE)
		r.revisions = expected, r.n_revisions = 3;
	r.best_effort = c->best_effort, r.dry_run = c->dry_run;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_NO_CAUSE);
	for (const char *p = c->named; *p; p++)
		named[v.n_identities++] = (struct identity_cause){ { p, 1 }, STR_NONE, CAUSE_REVISION_MISMATCH };
	setup_to_response(&s, target, ORIGIN_PARTNER_ACMS, &v, &answer);
	assert_true(setup_spell_out(a, &s, &answer));
	assert_int_equal(answer.n_service_ids, 0);
	answer.revisions = revisions;
	for (const char *p = c->revisions; *p; p++)
		revisions[answer.n_revisions++] = (struct user_revision){ { p, 1 }, 7 };
	const char *fault = setup_response_fault(&s, target, c->version, &answer);
	assert_true(!fault || strncmp(fault, "a response ", 11) == 0);
	same_as_requested(a, &s, c, &answer, fault);
	if (answer.n_revisions > 0 && !fault) { /* no revision is 0 */
		revisions[0].revision = 0;
		assert_non_null(setup_response_fault(&s, target, c->version, &answer));
	}
	arena_free(a);
	return !fault;
}

static void answers(void **state)
{
	(void)state;
	enum { SETUP, UPDATE, REMOVE, PARTLY = CAUSE_PARTLY_DONE, MISMATCH = CAUSE_REVISION_MISMATCH };
	static const struct answer_case cases[] = {
		{ SETUP, false, false, 1, 0, "", "", true },
		{ SETUP, false, false, 1, 0, "abc", "", false }, /* not in version 1 */
		{ SETUP, false, false, 2, 0, "", "", false },
		{ SETUP, false, false, 2, 0, "ab", "", false },
		{ SETUP, false, false, 2, 0, "cab", "", true },
		{ SETUP, false, false, 2, 0, "abb", "", false },
		{ SETUP, false, false, 2, 0, "abz", "", false },
		{ SETUP, false, false, 2, 0, "abca", "", false },
		{ SETUP, false, true, 2, 0, "", "", true }, /* nothing was done */
		{ SETUP, false, true, 2, 0, "abc", "", true },
		{ UPDATE, false, false, 2, 0, "abc", "", true },
		{ UPDATE, false, false, 2, 0, "", "", false },
		{ REMOVE, false, false, 2, 0, "", "", true },
		{ REMOVE, false, false, 2, 0, "abc", "", false }, /* they are gone */
		{ UPDATE, false, false, 2, MISMATCH, "b", "b", true },
		{ UPDATE, false, false, 2, MISMATCH, "z", "b", false },
		{ UPDATE, false, false, 2, MISMATCH, "", "", true },
		{ UPDATE, false, false, 2, PARTLY, "ac", "b", false }, /* was not to be done in part */
		{ UPDATE, true, false, 2, PARTLY, "ac", "b", true },
		{ UPDATE, true, false, 2, PARTLY, "ac", "bb", false } /* twice */,
		{ UPDATE, true, false, 2, PARTLY, "abc", "b", false },
		{ UPDATE, true, false, 2, PARTLY, "a", "b", false }, /* what of c? */
		{ UPDATE, true, false, 2, PARTLY, "", "b", false },
		{ UPDATE, true, true, 2, PARTLY, "", "b", true },
		{ UPDATE, true, false, 2, PARTLY, "", "abc", false }, /* that is nobody */
		{ UPDATE, true, false, 2, PARTLY, "abc", "", false }, /* that is everybody */
		{ UPDATE, true, false, 2, MISMATCH, "", "abc", true },
		{ SETUP, true, false, 2, PARTLY, "ab", "c", true },
		{ REMOVE, true, false, 2, PARTLY, "", "c", true },
		{ REMOVE, true, false, 2, PARTLY, "", "abc", false },
		{ REMOVE, true, false, 2, PARTLY, "", "", false },
		{ REMOVE, true, false, 2, CAUSE_APPROVAL_TIMEOUT, "", "", true },
		{ REMOVE, true, false, 2, CAUSE_PARTNER_VERSION, "", "", false }, /* not the partner's to say */
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (judged_good(&cases[i]) != cases[i].good)
			fail_msg("case %zu", i);
	}
}

/* As requested it says nothing of the lists, and of revisions as many as there are users or nothing. */
static void as_requested(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct setup_request r = make(OPERATION_SETUP);
	const uint64_t each[] = { 1, 2, UINT64_MAX, 4 }, none[] = { 0, 0, 0 };
	struct user_revision first = { STR("a"), 1 };
	struct setup s;
	struct setup_response good, bad, whole;
	struct verdict done = { .cause = CAUSE_NO_CAUSE };
	r.service_ids = ids, r.n_service_ids = 1;
	check(a, &r, &s);
	setup_to_response(&s, target, ORIGIN_PARTNER_ACMS, &done, &good);
	good.revision_of_each = each, good.n_of_each = 3;
	assert_null(setup_response_fault(&s, target, 2, &good));
	assert_null(setup_home_response_fault(&s, false, &good));
	for (size_t n = 0; n <= 4; n++) {
		bad = good, bad.n_of_each = n;
		assert_int_equal(setup_response_fault(&s, target, 2, &bad) == NULL, n == 3);
	}
	bad = good, bad.revision_of_each = none;
	assert_non_null(setup_response_fault(&s, target, 2, &bad));
	bad = good, bad.mc_ids = mc_ids, bad.n_mc_ids = 3;
	assert_non_null(setup_response_fault(&s, target, 2, &bad));
	bad = good, bad.service_ids = ids, bad.n_service_ids = 1;
	assert_non_null(setup_home_response_fault(&s, false, &bad));
	bad = good, bad.revisions = &first, bad.n_revisions = 1;
	assert_non_null(setup_response_fault(&s, target, 2, &bad));
	whole = good;
	assert_true(setup_spell_out(a, &s, &whole));
	assert_null(setup_response_fault(&s, target, 2, &whole));
	assert_true(whole.n_mc_ids == 3 && whole.n_service_ids == 1 && whole.n_revisions == 3);
	assert_str(whole.revisions[2].mc_id, "c");
	assert_true(whole.revisions[2].revision == UINT64_MAX);
	bad = whole, bad.revision_of_each = each, bad.n_of_each = 3;
	assert_non_null(setup_response_fault(&s, target, 2, &bad));
	arena_free(a);
}

static void elements_that_version_1_has_not(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct setup_request r = make(OPERATION_SETUP);
	struct setup s;
	struct setup_response answer;
	struct verdict v = { .cause = CAUSE_REJECTED };
	check(a, &r, &s);
	setup_to_response(&s, target, ORIGIN_PARTNER_ACMS, &v, &answer);
	answer.decided_by.acmc = STR("chief");
	assert_null(setup_response_fault(&s, target, 2, &answer));
	assert_non_null(setup_response_fault(&s, target, 1, &answer));
	answer.decided_by.acmc = STR_NONE, answer.receipt = STR("x");
	assert_non_null(setup_response_fault(&s, target, 1, &answer));
	arena_free(a);
}

/* One cause for an identity of the request. */
static void whom_causes_name(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct service_id_entry has[] = { { STR("a"), 1, STR("sip:a@x.example") }, { STR("a"), 2, STR("sip:a@x.example") },
					  { STR("b"), 1, STR("sip:b@x.example") } };
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
	struct setup_request r = make(OPERATION_SETUP);
	struct setup s;
	r.service_ids = has, r.n_service_ids = 3;
	assert_int_equal(check(a, &r, &s).cause, CAUSE_NO_CAUSE);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct identity_cause named[3];
		struct verdict v = { .cause = CAUSE_OUTSIDE_NAMESPACE, .identities = named };
		struct setup_response answer;
		for (; v.n_identities < 3 && cases[i].mc_ids[v.n_identities]; v.n_identities++) {
			const char *id = cases[i].service_ids[v.n_identities];
			named[v.n_identities] = (struct identity_cause){ str_of(cases[i].mc_ids[v.n_identities]),
									 id ? str_of(id) : STR_NONE,
									 CAUSE_OUTSIDE_NAMESPACE };
		}
		setup_to_response(&s, target, ORIGIN_PARTNER_ACMS, &v, &answer);
		if ((setup_response_fault(&s, target, 2, &answer) == NULL) != cases[i].good)
			fail_msg("case %zu", i);
	}
	arena_free(a);
}

static void who_decided_has_a_name(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	char longest[RECEIPT_DECIDED_BY_MAX + 2];
	memset(longest, 'x', sizeof longest);
	const struct { struct str acmc; bool good; } cases[] = {
		{ STR_NONE, true }, { STR("chief"), true }, { { longest, RECEIPT_DECIDED_BY_MAX }, true },
		{ STR(""), false }, { { longest, RECEIPT_DECIDED_BY_MAX + 1 }, false }, { STR("a\033[2J"), false },
		{ STR("a\u202e"), false }, { STR("\xff"), false },
	};
	struct setup_request r = make(OPERATION_REMOVE);
	struct setup s;
	check(a, &r, &s);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (int refused = 0; refused < 2; refused++) {
			struct verdict v = { .cause = refused ? CAUSE_REJECTED : CAUSE_NO_CAUSE };
			struct setup_response answer;
			setup_to_response(&s, target, ORIGIN_PARTNER_ACMS, &v, &answer);
			answer.decided_by.acmc = cases[i].acmc;
			if ((setup_response_fault(&s, target, 2, &answer) == NULL) != cases[i].good)
				fail_msg("case %zu", i);
		}
	arena_free(a);
}

static void a_receipt_is_for_what_was_done(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct setup_request r = make(OPERATION_REMOVE);
	struct setup s;
	struct setup_response answer;
	struct verdict refused = { .cause = CAUSE_REJECTED }, done = { .cause = CAUSE_NO_CAUSE };
	check(a, &r, &s);
	setup_to_response(&s, target, ORIGIN_PARTNER_ACMS, &done, &answer);
	answer.receipt = STR("x"), answer.done_ms = 1;
	assert_null(setup_response_fault(&s, target, 2, &answer));
	assert_non_null(setup_response_fault(&s, target, 1, &answer));
	s.dry_run = true;
	assert_non_null(setup_response_fault(&s, target, 2, &answer));
	s.dry_run = false;
	setup_to_response(&s, target, ORIGIN_PARTNER_ACMS, &refused, &answer);
	assert_null(setup_response_fault(&s, target, 2, &answer));
	answer.done_ms = 1;
	assert_non_null(setup_response_fault(&s, target, 2, &answer));
	answer.done_ms = 0, answer.receipt = STR("x");
	assert_non_null(setup_response_fault(&s, target, 2, &answer));
	arena_free(a);
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(operation_name(OPERATION_SETUP), "setup");
	assert_string_equal(operation_name(OPERATION_UPDATE), "update");
	assert_string_equal(operation_name(OPERATION_REMOVE), "remove");
	assert_null(operation_name(OPERATIONS));
	assert_null(operation_name(-1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elements_go_with_their_operation),
		cmocka_unit_test(expected_revisions),
		cmocka_unit_test(windows),
		cmocka_unit_test(times),
		cmocka_unit_test(onward_to_a_partner),
		cmocka_unit_test(answers),
		cmocka_unit_test(as_requested),
		cmocka_unit_test(elements_that_version_1_has_not),
		cmocka_unit_test(a_receipt_is_for_what_was_done),
		cmocka_unit_test(whom_causes_name),
		cmocka_unit_test(who_decided_has_a_name),
		cmocka_unit_test(names),
	};
	return cmocka_run_group_tests_name("setup_v2", tests, NULL, NULL);
}
