// needs: acmc/show.c acmc/put.c acmc/parts.c acmc/answers.c acmc/stock.c acmc/stock_sort.c acmc/spool.c common/setup.c common/setup_fault.c common/users_file.c common/when.c common/users_csv.c common/users_json.c
// needs: common/json.c common/table.c common/identity.c common/text.c common/arena.c common/cause.c
// needs: common/sort.c
/* What the administrator sees, from canned answers, compared with tests/golden/cli/show-*. UPDATE=1 writes them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <locale.h>
#include <stdlib.h>
#include "acmc/show.h"

static const struct str targets[] = { { "fire.example", 12 }, { "rail.example", 12 } };
static const struct request_id base = { { 1, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 7 } };

struct fixture {
	struct arena *arena;
	struct stock stock;
	struct parts parts;
	struct answers answers;
};

/* Three users in parts of so many. */
static void begin(struct fixture *f, uint32_t users_a_part)
{
	struct limits server = LIMITS_DEFAULT;
	unsigned too_large;
	struct users users;
	struct arena *work = arena_new(0);
	server.max_mc_ids = users_a_part;
	*f = (struct fixture){ .arena = arena_new(0) };
	users_init(&users, work, "F", stderr);
	users_add_argument(&users, "alice@police.example,mcptt=sip:alice@police.example", 1);
	users_add_argument(&users, "b\xC3\xB6rn \"b\"@police.example", 2);
	users_add_argument(&users, "chen@police.example", 3);
	stock_take(&f->stock, &users);
	assert_true(stock_check(&f->stock, &users));
	users_free(&users);
	arena_free(work);
	f->parts = (struct parts){ .arena = f->arena, .users = &f->stock, .targets = targets,
				   .n_targets = 2 };
	assert_true(parts_split(&f->parts, base, &server, &LIMITS_DEFAULT, &too_large));
	assert_true(answers_init(&f->answers, f->arena, &f->parts, STR("police.example")));
}

static void end(struct fixture *f)
{
	answers_free(&f->answers);
	stock_free(&f->stock);
	arena_free(f->arena);
}

static struct setup_response take(struct fixture *f, uint32_t part, const char *system,
				  enum origin origin, enum cause cause, struct str detail,
				  struct identity_cause *identities, size_t n)
{
	struct setup_response r = { .request_id = request_id_part(base, part),
				    .mc_system_id = str_of(system),
				    .result = cause == CAUSE_NO_CAUSE,
				    .origin = origin,
				    .cause = cause,
				    .identities = identities,
				    .n_identities = n,
				    .detail = detail };
	size_t i;
	bool complete;
	assert_true(answers_take(&f->answers, &r, &i, &complete));
	return r;
}

static void all_true(struct fixture *f)
{
	begin(f, 3);
	for (size_t t = 0; t < 2; t++)
		take(f, 0, targets[t].ptr, ORIGIN_PARTNER_ACMS, CAUSE_NO_CAUSE, STR(""), NULL, 0);
}

/* One partner refuses with foreign text that must not reach a terminal as it is, the other is not known. */
static void some_false(struct fixture *f)
{
	struct identity_cause identities[] = {
		{ STR("alice@police.example"), STR("sip:alice@police.example"),
		  CAUSE_MC_SERVICE_ID_IN_USE },
		{ STR("\x1B[31mevil\n"), STR_NONE, CAUSE_INVALID_MC_ID },
		{ STR("chen@police.example"), STR_NONE, (enum cause)499 },
	};
	begin(f, 3);
	take(f, 0, "fire.example", ORIGIN_PARTNER_ACMS, CAUSE_MC_SERVICE_ID_IN_USE,
	     STR("no\x1B]0;title\x07 \xE2\x80\xAE backwards"), identities, 3);
	take(f, 0, "rail.example", ORIGIN_HOME_ACMS, CAUSE_PARTNER_TIMEOUT, STR(""), NULL, 0);
}

static void some_missing(struct fixture *f)
{
	begin(f, 2);
	take(f, 1, "rail.example", ORIGIN_PARTNER_ACMS, CAUSE_NO_CAUSE, STR(""), NULL, 0);
	take(f, 0, "fire.example", ORIGIN_HOME_ACMS, CAUSE_PARTNER_UNREACHABLE, STR(""), NULL, 0);
}

/* Accepted, and on its way: one partner is not reached, the other waits for its administrator. */
static void indicate(struct fixture *f, FILE *out, uint32_t part, const char *system, enum process_state state,
		     uint64_t until_ms, const char *detail)
{
	struct process_indication m = { request_id_part(base, part), str_of(system), state, until_ms,
					str_of(detail) };
	size_t which;
	bool news;
	assert_true(answers_indicate(&f->answers, &m, &which, &news));
	if (out && news)
		show_indication(out, &f->answers, which, &m);
}

static void on_their_way(struct fixture *f, FILE *out)
{
	const uint64_t noon = 1800014400000;
	begin(f, 2);
	indicate(f, out, 0, "police.example", PROCESS_ACCEPTED, noon, "");
	indicate(f, out, 1, "police.example", PROCESS_ACCEPTED, noon + 1000, "");
	indicate(f, out, 0, "fire.example", PROCESS_DELAYED, noon, "connection refused\n");
	indicate(f, out, 1, "fire.example", PROCESS_DELAYED, noon, "connection refused\n");
	indicate(f, out, 0, "rail.example", PROCESS_PENDING, noon - 3600000, "");
	take(f, 1, "rail.example", ORIGIN_PARTNER_ACMS, CAUSE_NO_CAUSE, STR(""), NULL, 0);
}

/* The partners' administrators decided. */
static void decided(struct fixture *f)
{
	struct setup_response r = { .request_id = base, .mc_system_id = STR("fire.example"), .result = true,
				    .origin = ORIGIN_PARTNER_ACMS, .detail = STR(""), .done_ms = 1 };
	const uint64_t revisions[] = { 4, 0, 0 };
	size_t part;
	bool complete;
	begin(f, 3);
	f->parts.best_effort = true;
	r.revisions = revisions;
	r.n_revisions = 3;
	r.decided_by = (struct decided_by){ STR("duty"), STR("as agreed"), 1800014400000 };
	assert_true(answers_take(&f->answers, &r, &part, &complete));
	r.mc_system_id = STR("rail.example");
	r.result = false;
	r.cause = CAUSE_REJECTED;
	r.n_revisions = 0;
	r.decided_by = (struct decided_by){ STR("\x1B[31mnight"), STR("who\nis this?"), 0 };
	assert_true(answers_take(&f->answers, &r, &part, &complete));
}

/* --- comparing --- */

static char *read_all(FILE *in, size_t *n)
{
	char *text = calloc(1, 65536);
	assert_non_null(text);
	*n = fread(text, 1, 65535, in);
	return text;
}

static void check_golden(const char *name, const char *text, size_t n)
{
	char path[256];
	size_t expected_n;
	snprintf(path, sizeof path, "tests/golden/cli/show-%s", name);
	if (getenv("UPDATE")) {
		FILE *out = fopen(path, "w");
		assert_non_null(out);
		assert_int_equal(fwrite(text, 1, n, out), n);
		fclose(out);
	}
	FILE *in = fopen(path, "r");
	if (!in)
		fail_msg("%s is missing (run in the top folder)", path);
	char *expected = read_all(in, &expected_n);
	fclose(in);
	if (expected_n != n || memcmp(expected, text, n) != 0)
		fail_msg("%s differs; UPDATE=1 writes it; it is now:\n%s", path, text);
	free(expected);
}

enum view { TABLE, COLOURED, JSON, ADVICE };

static void check(struct fixture *f, enum view view, const char *failure, const char *name)
{
	char *text = NULL;
	size_t n = 0;
	bool shown = true;
	FILE *out = open_memstream(&text, &n);
	assert_non_null(out);
	if (view == JSON)
		shown = show_json(out, &f->answers, base, failure, answers_exit_code(&f->answers));
	else if (view == ADVICE)
		show_advice(out, &f->answers, base);
	else
		shown = show_table(out, &f->answers, failure, view == COLOURED);
	fclose(out);
	assert_true(shown);
	if (view != COLOURED)
		assert_null(strchr(text, '\033'));
	check_golden(name, text, n);
	free(text);
}

static void shows_all_true(void **state)
{
	struct fixture f;
	(void)state;
	all_true(&f);
	check(&f, TABLE, NULL, "all-true.table");
	check(&f, COLOURED, NULL, "all-true.coloured");
	check(&f, JSON, NULL, "all-true.json");
	check(&f, ADVICE, NULL, "all-true.advice");
	end(&f);
}

static void shows_some_false(void **state)
{
	struct fixture f;
	(void)state;
	some_false(&f);
	check(&f, TABLE, NULL, "some-false.table");
	check(&f, COLOURED, NULL, "some-false.coloured");
	check(&f, JSON, NULL, "some-false.json");
	check(&f, ADVICE, NULL, "some-false.advice");
	end(&f);
}

static void shows_what_is_missing(void **state)
{
	struct fixture f;
	(void)state;
	some_missing(&f);
	check(&f, TABLE, "connection lost", "some-missing.table");
	check(&f, JSON, "connection lost", "some-missing.json");
	check(&f, ADVICE, "connection lost", "some-missing.advice");
	end(&f);
}

static void shows_what_is_on_its_way(void **state)
{
	struct fixture f;
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	(void)state;
	on_their_way(&f, out);
	fclose(out);
	check_golden("indications", text, n);
	free(text);
	assert_true(show_goes_on(&f.answers));
	check(&f, TABLE, "interrupted", "on-their-way.table");
	check(&f, JSON, "interrupted", "on-their-way.json");
	check(&f, ADVICE, "interrupted", "on-their-way.advice");
	end(&f);
}

static void shows_who_decided(void **state)
{
	struct fixture f;
	(void)state;
	decided(&f);
	check(&f, TABLE, NULL, "decided.table");
	check(&f, JSON, NULL, "decided.json");
	end(&f);
}

/* Who may try again learns with which revision. */
static void shows_the_revision_that_there_is(void **state)
{
	struct identity_cause cause = { STR("alice@police.example"), STR_NONE, CAUSE_REVISION_MISMATCH };
	const uint64_t revisions[] = { 17, 0, 0 };
	struct setup_response r = { .request_id = base, .mc_system_id = STR("fire.example"), .detail = STR(""),
				    .origin = ORIGIN_PARTNER_ACMS, .cause = CAUSE_REVISION_MISMATCH, .identities = &cause,
				    .n_identities = 1, .revisions = revisions, .n_revisions = 3 };
	struct fixture f;
	size_t part, n = 0;
	bool complete;
	char *text = NULL;
	FILE *out = open_memstream(&text, &n);
	(void)state;
	begin(&f, 3);
	assert_true(answers_take(&f.answers, &r, &part, &complete));
	assert_true(show_table(out, &f.answers, NULL, false));
	fclose(out);
	assert_non_null(strstr(text, "the present revision is 17\n"));
	free(text);
	end(&f);
}

static void shows_answers_as_they_come(void **state)
{
	struct fixture f;
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	(void)state;
	begin(&f, 2);
	struct setup_response good = take(&f, 1, "rail.example", ORIGIN_PARTNER_ACMS, CAUSE_NO_CAUSE,
					  STR(""), NULL, 0);
	struct setup_response bad = take(&f, 0, "rail.example", ORIGIN_PARTNER_ACMS,
					 CAUSE_STORE_UNAVAILABLE, STR(""), NULL, 0);
	show_answer(out, &f.answers, 1, &good, false);
	show_answer(out, &f.answers, 0, &bad, true);
	fclose(out);
	check_golden("answers", text, n);
	free(text);
	end(&f);
}

/* The connection failed before anything was sent: no outcome is in doubt. */
static void no_advice_when_nothing_was_asked(void **state)
{
	struct parts parts = { .n = 0 };
	struct answers none = { .parts = &parts, .missing = 1 };
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	(void)state;
	show_advice(out, &none, base);
	assert_true(show_table(out, &none, "unreachable", false));
	fclose(out);
	assert_int_equal(n, 0);
	free(text);
}

static void no_more_identities_than_fit_a_screen(void **state)
{
	struct identity_cause many[60];
	struct fixture f;
	char *text = NULL;
	size_t n = 0, lines = 0;
	FILE *out = open_memstream(&text, &n);
	(void)state;
	begin(&f, 3);
	for (size_t i = 0; i < 60; i++)
		many[i] = (struct identity_cause){ STR("x"), STR_NONE, CAUSE_OUTSIDE_NAMESPACE };
	take(&f, 0, "fire.example", ORIGIN_PARTNER_ACMS, CAUSE_OUTSIDE_NAMESPACE, STR(""), many, 60);
	take(&f, 0, "rail.example", ORIGIN_PARTNER_ACMS, CAUSE_NO_CAUSE, STR(""), NULL, 0);
	assert_true(show_table(out, &f.answers, NULL, false));
	fclose(out);
	assert_non_null(strstr(text, "10 more"));
	for (const char *p = text; (p = strchr(p, '\n')); p++)
		lines++;
	assert_in_range(lines, 50, 62);
	free(text);
	end(&f);
}

static void a_full_disk_is_noticed(void **state)
{
	(void)state;
	for (int as_json = 0; as_json < 2; as_json++) {
		struct fixture f;
		FILE *full = fopen("/dev/full", "w");
		assert_non_null(full);
		all_true(&f);
		assert_false(as_json ? show_json(full, &f.answers, base, NULL, EXIT_ALL_TRUE) :
				       show_table(full, &f.answers, NULL, false));
		fclose(full);
		end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_all_true),
		cmocka_unit_test(shows_some_false),
		cmocka_unit_test(shows_what_is_missing),
		cmocka_unit_test(shows_what_is_on_its_way),
		cmocka_unit_test(shows_who_decided),
		cmocka_unit_test(shows_the_revision_that_there_is),
		cmocka_unit_test(shows_answers_as_they_come),
		cmocka_unit_test(no_advice_when_nothing_was_asked),
		cmocka_unit_test(no_more_identities_than_fit_a_screen),
		cmocka_unit_test(a_full_disk_is_noticed),
	};
	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests_name("show", tests, NULL, NULL);
}
