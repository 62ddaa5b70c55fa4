// needs: common/users_file.c common/when.c common/users_csv.c common/users_json.c common/json.c
// needs: common/identity.c common/text.c common/arena.c
/* Lists of users from CSV, JSON and arguments: what is read, and that every mistake is told with its line. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "common/users_file.h"

struct fixture {
	struct arena *arena;
	struct users users;
	char *mistakes;
	size_t size;
	FILE *out;
};

static void begin(struct fixture *f)
{
	*f = (struct fixture){ .arena = arena_new(0) };
	assert_non_null(f->arena);
	f->out = open_memstream(&f->mistakes, &f->size);
	assert_non_null(f->out);
	users_init(&f->users, f->arena, "F", f->out);
}

static void end(struct fixture *f)
{
	users_free(&f->users);
	arena_free(f->arena);
	fclose(f->out);
	free(f->mistakes);
}

static void load(struct fixture *f, const char *text, size_t n, enum users_format format)
{
	FILE *in = n ? fmemopen((char *)text, n, "r") : fopen("/dev/null", "r");
	assert_non_null(in);
	users_read(&f->users, in, format);
	fclose(in);
}

/* "mc_id service=uri service=uri; ..." of what was read; freed by the caller. */
static char *describe(const struct users *u)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	for (size_t i = 0; i < u->n; i++) {
		const struct users_user *user = &u->items[i];
		fprintf(out, "%.*s", STR_ARG(user->mc_id));
		for (size_t j = user->first; j < user->first + user->n; j++)
			fprintf(out, " %s=%.*s", mc_service_name(u->ids[j].entry.service),
				STR_ARG(u->ids[j].entry.mc_service_id));
		if (user->revision)
			fprintf(out, " r%llu", (unsigned long long)user->revision);
		if (user->validity.not_before_ms || user->validity.not_after_ms)
			fprintf(out, " %llu-%llu", (unsigned long long)user->validity.not_before_ms,
				(unsigned long long)user->validity.not_after_ms);
		fputs("; ", out);
	}
	fclose(out);
	return text;
}

static void check_good(const char *text, size_t n, enum users_format format, const char *expected)
{
	struct fixture f;
	begin(&f);
	load(&f, text, n, format);
	bool good = users_check(&f.users);
	fflush(f.out);
	if (!good)
		fail_msg("%s\n%s", text, f.mistakes);
	assert_int_equal(f.size, 0);
	char *description = describe(&f.users);
	assert_string_equal(description, expected);
	free(description);
	end(&f);
}

/* expected: all of the mistakes, in their order. */
static void check_bad(const char *text, size_t n, enum users_format format, const char *expected)
{
	struct fixture f;
	size_t lines = 0;
	begin(&f);
	load(&f, text, n, format);
	assert_false(users_check(&f.users));
	fflush(f.out);
	assert_string_equal(f.mistakes, expected);
	for (const char *p = expected; (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(f.users.n_mistakes, lines);
	end(&f);
}

#define GOOD(format, text, expected) check_good(text, sizeof(text) - 1, format, expected)
#define BAD(format, text, expected) check_bad(text, sizeof(text) - 1, format, expected)

/* What was read, and the mistakes; freed by the caller. */
static char *outcome(const char *text, size_t n)
{
	struct fixture f;
	char *all = NULL;
	begin(&f);
	load(&f, text, n, USERS_CSV);
	users_check(&f.users);
	fflush(f.out);
	char *users = describe(&f.users);
	assert_true(asprintf(&all, "%s\n%s", users, f.mistakes) >= 0);
	free(users);
	end(&f);
	return all;
}

/* A quoted header line that ends with CR LF leaves all lines to libcsv, where plain ones are split without it. */
static void csv_lines_are_split_as_libcsv_does(void **state)
{
	static const char plain[] = "mc_id,mcptt\n", quoted[] = "\"mc_id\",mcptt\r\n";
	static const char alphabet[] = "ab,,,  \t\r\n\n\"\x01\xC3\xA4";
	char text[80];
	uint64_t random = 1;
	(void)state;
	for (int i = 0; i < 100000; i++) {
		size_t n = strlen(plain), m = strlen(quoted);
		char other[80];
		memcpy(text, plain, n);
		memcpy(other, quoted, m);
		for (size_t length = (size_t)(i % 40); length > 0; length--) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			text[n++] = other[m++] = alphabet[(random >> 33) % (sizeof alphabet - 1)];
		}
		char *x = outcome(text, n), *y = outcome(other, m);
		assert_string_equal(x, y);
		free(x);
		free(y);
	}
}

/* --- CSV --- */

static void csv_columns_in_any_order(void **state)
{
	(void)state;
	GOOD(USERS_CSV, "mc_id\nalice\nbob\n", "alice; bob; ");
	GOOD(USERS_CSV, "mcdata,mc_id,mcptt\nsip:d@x.example,alice,\n,bob,sip:p@x.example\n",
	     "alice mcdata=sip:d@x.example; bob mcptt=sip:p@x.example; ");
	GOOD(USERS_CSV, "mc_id,mcptt\nalice, sip:a@x.example  sip:b@x.example \n",
	     "alice mcptt=sip:a@x.example mcptt=sip:b@x.example; ");
	GOOD(USERS_CSV, "mc_id,MCPTT\nalice,sip:a@x.example", "alice mcptt=sip:a@x.example; ");
}

static void csv_as_spreadsheets_write_it(void **state)
{
	(void)state;
	GOOD(USERS_CSV, "\xEF\xBB\xBFmc_id,mcptt\r\nalice,tel:+1-23\r\n\r\nbob,\r\n",
	     "alice mcptt=tel:+123; bob; ");
	GOOD(USERS_GUESS, "\xEF\xBB\xBFmc_id\r\nalice\r\n", "alice; ");
	GOOD(USERS_CSV, "\"mc_id\",\"mcptt\"\n\"a,b \"\"c\"\"\",\"sip:a@x.example\"\n",
	     "a,b \"c\" mcptt=sip:a@x.example; ");
	GOOD(USERS_GUESS, "mc_id\nalice\n", "alice; ");
}

static void ids_become_canonical(void **state)
{
	(void)state;
	GOOD(USERS_CSV, "mc_id,mcptt\nAlice,SIP:%41lice@X.Example\n",
	     "Alice mcptt=sip:Alice@x.example; ");
}

static void csv_headers_are_checked(void **state)
{
	(void)state;
	BAD(USERS_CSV, "mc_id,mail,mc_id\nalice,x,y\n",
	    "F:1: mail: unknown column; known are mc_id, mcptt, mcvideo, mcdata, revision, not_before, not_after\n"
	    "F:1: mc_id: this column is there twice\n");
	BAD(USERS_CSV, "mc_id,\x1B[31m\nalice,x\n",
	    "F:1: \\x1B[31m: unknown column; known are mc_id, mcptt, mcvideo, mcdata, revision, not_before, not_after\n");
	/* a file without a header line: said once, not for each line */
	BAD(USERS_CSV, "mcptt\ntel:+1\ntel:+2,\n", "F:1: the header line has no column mc_id\n");
}

static void csv_rows_are_checked(void **state)
{
	(void)state;
	BAD(USERS_CSV, "mc_id,mcptt\nalice\n\nbob,,\n",
	    "F:2: 1 columns, where the header line has 2\n"
	    "F:4: 3 columns, where the header line has 2\n");
	BAD(USERS_CSV, "mc_id,mcptt\n,sip:a@x.example\n", "F:2: the MC ID is missing\n");
	BAD(USERS_CSV, "mc_id\nal\xFFice\nbob\x1B\n",
	    "F:2: al\\xFFice: no MC ID: 1 to 255 bytes of UTF-8 without control characters\n"
	    "F:3: bob\\x1B: no MC ID: 1 to 255 bytes of UTF-8 without control characters\n");
	BAD(USERS_CSV, "mc_id\nali\0ce\n",
	    "F:2: ali\\x00ce: no MC ID: 1 to 255 bytes of UTF-8 without control characters\n");
	BAD(USERS_CSV, "mc_id,mcptt\nalice,http://x\n",
	    "F:2: http://x: no MC service ID: must be a sip:, sips: or tel: URI\n");
}

static void csv_syntax(void **state)
{
	struct fixture f;
	static const char text[] = "mc_id\nalice\n\"bob\nchen\n";
	(void)state;
	begin(&f);
	load(&f, text, sizeof text - 1, USERS_CSV);
	assert_false(users_check(&f.users));
	fflush(f.out);
	assert_memory_equal(f.mistakes, "F:4: no CSV: ", 13); /* where the quoted field should have ended */
	end(&f);
}

static void more_columns_than_there_can_be(void **state)
{
	char text[4096] = "mc_id";
	struct fixture f;
	(void)state;
	for (int i = 0; i < 100; i++)
		strcat(text, ",x");
	strcat(text, "\n1,2,3\n");
	begin(&f);
	load(&f, text, strlen(text), USERS_CSV);
	assert_false(users_check(&f.users));
	assert_int_equal(f.users.n, 0);
	end(&f);
}

static void an_empty_file_is_a_mistake(void **state)
{
	(void)state;
	BAD(USERS_GUESS, "", "F:1: no users in it\n");
	BAD(USERS_CSV, "mc_id,mcptt\n", "F:1: no users in it\n");
	BAD(USERS_JSON, "{\"users\": []}", "F:1: no users in it\n");
	BAD(USERS_GUESS, "[]", "F:1: no users in it\n");
}

/* --- revisions and validities --- */

static void revisions_and_validities(void **state)
{
	(void)state;
	GOOD(USERS_CSV, "revision,mc_id,not_before,not_after\n3,alice,1970-01-01T00:00:01Z,1970-01-02\n,bob,,\n",
	     "alice r3 1000-86400000; bob; ");
	GOOD(USERS_JSON, "[{\"revision\": 18446744073709551608, \"mc_id\": \"alice\"}, {\"mc_id\": \"bob\",\n"
	     "\"revision\": 7, \"not_after\": \"1970-01-01T01:00:01+01:00\", \"not_before\": null}]",
	     "alice r18446744073709551608; bob r7 0-1000; ");
	GOOD(USERS_CSV, "mc_id,not_after\nalice,+2s\n", "alice 0-2000; ");
	/* what acmc users prints besides */
	GOOD(USERS_JSON, "{\"mc_system_id\": \"fire.example\", \"believed\": false, \"users\": [{\"mc_id\": \"a\",\n"
	     "\"vouched\": true, \"changed\": \"x\", \"by\": \"y\"}], \"exit_code\": 0, \"failure\": null}", "a; ");
	BAD(USERS_CSV, "mc_id,revision,not_after\na,0,\nb,x,\nc,1.5,\nd,-1,tomorrow\ne,99999999999999999999,\n",
	    "F:2: 0: no revision: must be a whole number from 1\n"
	    "F:3: x: no revision: must be a whole number from 1\n"
	    "F:4: 1.5: no revision: must be a whole number from 1\n"
	    "F:5: -1: no revision: must be a whole number from 1\n"
	    "F:5: tomorrow: no time: must be like 2026-12-31T18:00:00+01:00, 2026-12-31 or +8h\n"
	    "F:6: 99999999999999999999: no revision: must be a whole number from 1\n");
	BAD(USERS_JSON, "[{\"mc_id\": \"a\",\n\"revision\": 1e3},\n{\"not_before\": \"2026-01-02\",\n\"not_after\":"
	    "\"2026-01-02\", \"mc_id\": \"b\"}]", "F:2: 1e3: no revision: must be a whole number from 1\n"
	    "F:3: not_after is not after not_before\n");
	BAD(USERS_JSON, "[{\"mc_id\": \"a\", \"not_after\":\n5}]", "F:2: must be a text\n");
}

/* --- duplicates --- */

static void duplicates_name_the_earlier_line(void **state)
{
	(void)state;
	BAD(USERS_CSV, "mc_id\nalice\nbob\nalice\n", "F:4: alice: this MC ID is in line 2 already\n");
	BAD(USERS_CSV, "mc_id,mcptt,mcvideo\nalice,sip:A@x.example,\nbob,,SIP:%41@X.example\n",
	    "F:3: sip:A@x.example: this MC service ID is in line 2 already\n");
	BAD(USERS_CSV, "mc_id,mcptt\nalice,tel:+12 tel:+1-2\n",
	    "F:2: tel:+12: this MC service ID is in line 2 already\n");
	/* the first one is named, whatever stands between */
	BAD(USERS_CSV, "mc_id,mcptt\nalice,tel:+1\nbob,tel:+1\nalice,\nchen,tel:+1\nalice,\n",
	    "F:4: alice: this MC ID is in line 2 already\n"
	    "F:6: alice: this MC ID is in line 2 already\n"
	    "F:3: tel:+1: this MC service ID is in line 2 already\n"
	    "F:5: tel:+1: this MC service ID is in line 2 already\n");
	BAD(USERS_CSV, "mc_id,mcptt,mcvideo,mcptt\n", "F:1: mcptt: this column is there twice\n");
	BAD(USERS_JSON, "[{\"mc_id\":\"a\",\"mc_service_ids\":[\n"
	    "{\"service\":\"mcptt\",\"mc_service_id\":\"tel:+1\"},\n"
	    "{\"service\":\"mcvideo\",\"mc_service_id\":\"tel:+1\"},\n"
	    "{\"service\":\"mcptt\",\"mc_service_id\":\"tel:+1\"}]}]",
	    "F:4: tel:+1: this MC service ID is in line 2 already\n");
	/* the case of an MC ID counts, and one URI may be two services of one user */
	GOOD(USERS_CSV, "mc_id,mcptt,mcvideo\nalice,tel:+1,tel:+1\nAlice,,\n",
	     "alice mcptt=tel:+1 mcvideo=tel:+1; Alice; ");
}

/* --- JSON --- */

static void json_with_and_without_the_map(void **state)
{
	(void)state;
	GOOD(USERS_JSON,
	     "{\"users\": [{\"mc_id\": \"alice\", \"mc_service_ids\": [\n"
	     "{\"service\": \"mcptt\", \"mc_service_id\": \"sip:a@x.example\"},\n"
	     "{\"mc_service_id\": \"tel:+1\", \"service\": \"mcdata\"}]}, {\"mc_id\": \"bob\"}]}",
	     "alice mcptt=sip:a@x.example mcdata=tel:+1; bob; ");
	GOOD(USERS_GUESS, " \n [{\"mc_service_ids\": [], \"mc_id\": \"\\u00e9\"}]\n", "\xC3\xA9; ");
}

static void json_shape_is_checked(void **state)
{
	static const struct {
		const char *text, *mistake;
	} cases[] = {
		{ "{\"user\":\n[]}", "F:1: user: unknown key\n" },
		{ "[{\"mc_id\":\"a\",\n\"x\\u001b\":1}]", "F:2: x\\x1B: unknown key\n" },
		{ "[{\"mc_id\":\n17}]", "F:2: must be a text, a list or an object\n" },
		{ "[\"alice\"]", "F:1: a text is out of place here\n" },
		{ "[[]]", "F:1: a list is out of place here\n" },
		{ "{\"users\":{}}", "F:1: an object is out of place here\n" },
		{ "[{\"mc_id\":\"a\",\"mc_service_ids\":\n{}}]", "F:2: an object is out of place here\n" },
		{ "\"alice\"", "F:1: a text is out of place here\n" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct fixture f;
		begin(&f);
		load(&f, cases[i].text, strlen(cases[i].text), USERS_JSON);
		assert_false(users_check(&f.users));
		fflush(f.out);
		assert_memory_equal(f.mistakes, cases[i].mistake, strlen(cases[i].mistake));
		end(&f);
	}
}

/* Reading goes on after a wrong key, whatever its value is. */
static void json_wrong_keys_are_all_told(void **state)
{
	(void)state;
	BAD(USERS_JSON,
	    "{\"version\": 1,\n\"users\": [{\"mail\": {\"a\": [[], {}]}, \"mc_id\": \"a\"},\n"
	    "{\"mc_id\": \"b\", \"mc_id\": \"c\", \"x\": null},\n{\"mc_id\": \"\"}]}",
	    "F:1: version: unknown key\nF:2: mail: unknown key\nF:3: mc_id: this key is there twice\n"
	    "F:3: x: unknown key\nF:4: the MC ID is missing\n");
	BAD(USERS_JSON,
	    "[{\"mc_id\": \"a\", \"mc_service_ids\": [{\"service\": \"mcptt\", \"service\": \"mcdata\",\n"
	    "\"mc_service_id\": \"tel:+1\", \"mc_service_id\": \"tel:+2\"}]}]",
	    "F:1: service: this key is there twice\nF:2: mc_service_id: this key is there twice\n");
}

/* In each object, and of keys that are skipped, too. */
static void json_keys_come_once(void **state)
{
	(void)state;
	BAD(USERS_JSON, "{\"users\": [{\"mc_id\": \"a\"}],\n\"users\": [{\"mc_id\": \"b\"}]}",
	    "F:2: users: this key is there twice\n");
	BAD(USERS_JSON,
	    "[{\"mc_id\": \"a\", \"revision\": 1,\n\"revision\": 2,\n\"mc_service_ids\": [],\n\"mc_service_ids\": [],\n"
	    "\"not_after\": null,\n\"not_after\": null,\n\"not_before\": null,\n\"not_before\": null,\n"
	    "\"home\": \"x\",\n\"home\": \"y\",\n\"vouched\": true,\n\"vouched\": false}]",
	    "F:2: revision: this key is there twice\nF:4: mc_service_ids: this key is there twice\n"
	    "F:6: not_after: this key is there twice\nF:8: not_before: this key is there twice\n"
	    "F:10: home: this key is there twice\nF:12: vouched: this key is there twice\n");
	BAD(USERS_JSON, "{\"failure\": null,\n\"failure\": null, \"users\": [{\"\\u006dc_id\": \"a\",\n\"mc_id\": \"b\"}]}",
	    "F:2: failure: this key is there twice\nF:3: mc_id: this key is there twice\n");
	GOOD(USERS_JSON,
	     "[{\"mc_id\": \"a\", \"mc_service_ids\": [{\"service\": \"mcptt\", \"mc_service_id\": \"tel:+1\"},"
	     "{\"service\": \"mcptt\", \"mc_service_id\": \"tel:+2\"}]}, {\"mc_id\": \"b\"}]",
	     "a mcptt=tel:+1 mcptt=tel:+2; b; ");
}

/* In either form, what is no UTF-8 and NULs. */
static void bytes_that_are_no_text(void **state)
{
	static const char *const bad[] = { "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE0\x80\xAF", "\x80", "\xEF\xBB", ("\xEF\xBB\xBF" "b\x01") };
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		static const char *const forms[] = { "mc_id\na%s\n", "\"mc_id\"\n\"a%s\"\n", "[{\"mc_id\": \"a%s\"}]" };
		for (size_t k = 0; k < 3; k++) {
			char text[80];
			struct fixture f;
			snprintf(text, sizeof text, forms[k], bad[i]);
			begin(&f);
			load(&f, text, strlen(text), USERS_GUESS);
			if (users_check(&f.users))
				fail_msg("taken: %zu in form %zu", i, k);
			end(&f);
		}
	}
	BAD(USERS_CSV, "mc_id\na\0b\n", "F:2: a\\x00b: no MC ID: 1 to 255 bytes of UTF-8 without control characters\n");
	BAD(USERS_CSV, "mc_id,revision\na,1\0\n", "F:2: 1\\x00: no revision: must be a whole number from 1\n");
	BAD(USERS_CSV, "mc_id,mcptt\0\na,\n",
	    "F:1: mcptt\\x00: unknown column; known are mc_id, mcptt, mcvideo, mcdata, revision, not_before, not_after\n");
	BAD(USERS_CSV, "\xEF\xBB\xBF\xEF\xBB\xBFmc_id\na\n",
	    "F:1: \xEF\xBB\xBFmc_id: unknown column; known are mc_id, mcptt, mcvideo, mcdata, revision, not_before, not_after\n"
	    "F:1: the header line has no column mc_id\n");
}

/* "q\ud800x" would be set up as "q?x". */
static void json_half_a_character(void **state)
{
	(void)state;
	BAD(USERS_JSON, "[{\"mc_id\":\n\"q\\ud800x\"}]",
	    "F:2: no JSON: half a surrogate pair (\\uD800 to \\uDFFF) is no character\n");
	GOOD(USERS_JSON, "[{\"mc_id\": \"\\ud83d\\ude92\"}]", "\xF0\x9F\x9A\x92; ");
}

static void guessing_takes_nothing_from_the_file(void **state)
{
	(void)state;
	BAD(USERS_GUESS, "\n\n \t[\n17]", "F:4: must be a text, a list or an object\n");
	BAD(USERS_GUESS, "\n\nmc_id\n\n\x01\n",
	    "F:5: \\x01: no MC ID: 1 to 255 bytes of UTF-8 without control characters\n");
	GOOD(USERS_GUESS, "\xEF\xBB\xBF[{\"mc_id\": \"a\"}]", "a; ");
	GOOD(USERS_JSON, "\xEF\xBB\xBF\n[{\"mc_id\": \"a\"}]", "a; ");
}

static void json_content_is_checked(void **state)
{
	(void)state;
	BAD(USERS_JSON,
	    "[\n{\"mc_id\": \"a\\u0000b\"},\n{\"mc_service_ids\": []},\n{\"mc_id\": \"c\",\n"
	    "\"mc_service_ids\": [{\"service\":\n\"mcpt\", \"mc_service_id\": \"tel:+1\"},\n"
	    "{\"service\": \"mcptt\"},\n{\"service\": \"mcptt\", \"mc_service_id\": \"\"}]}]",
	    "F:6: mcpt: unknown service; known are mcptt, mcvideo, mcdata\n"
	    "F:5: service and mc_service_id must both be given\n"
	    "F:7: service and mc_service_id must both be given\n"
	    "F:2: a\\x00b: no MC ID: 1 to 255 bytes of UTF-8 without control characters\n"
	    "F:3: the MC ID is missing\n"
	    "F:8: : no MC service ID: must have 1 to 255 bytes\n");
}

static void what_is_no_list_of_users(void **state)
{
	static const char *const bad[] = {
		"\n", "mc_id,foo\na,b\n", "mc_id\n\"a", "mc_id\n\"a\"b\n", "[", "{}", "{\"users\": 5}", "[5]",
		"[{\"mc_id\": [\"a\"]}]", "[{\"mc_id\": \"\xff\"}]", "[{\"mc_id\": \"a\"}] x",
		"{\"users\": [{\"mc_id\": \"a\"}]",
	};
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct fixture f;
		begin(&f);
		load(&f, bad[i], strlen(bad[i]), USERS_GUESS);
		if (users_check(&f.users))
			fail_msg("taken: %s", bad[i]);
		end(&f);
	}
}

/* --- arguments --- */

static void arguments(void **state)
{
	static const struct {
		const char *argument, *expected;
	} cases[] = {
		{ "alice", "alice; " },
		{ "alice,mcptt=sip:a@x.example", "alice mcptt=sip:a@x.example; " },
		{ "alice,mcptt=tel:+1,MCVideo=tel:+2,mcdata=tel:+3,mcptt=tel:+4",
		  "alice mcptt=tel:+1 mcvideo=tel:+2 mcdata=tel:+3 mcptt=tel:+4; " },
		{ "cn=alice,ou=control,mcptt=tel:+1", "cn=alice,ou=control mcptt=tel:+1; " },
		{ "a,b,mcptt=sip:x,y;z=1@x.example", "a,b mcptt=sip:x,y;z=1@x.example; " },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct fixture f;
		begin(&f);
		users_add_argument(&f.users, cases[i].argument, 1);
		assert_true(users_check(&f.users));
		char *description = describe(&f.users);
		assert_string_equal(description, cases[i].expected);
		free(description);
		end(&f);
	}
}

static void wrong_arguments(void **state)
{
	static const struct {
		const char *argument, *mistake;
	} cases[] = {
		{ "", "F:3: the MC ID is missing\n" },
		{ ",mcptt=tel:+1", "F:3: the MC ID is missing\n" },
		{ "alice,mcpt=sip:a@x.example,mcvideo=tel:+1",
		  "F:3: mcpt=sip:a@x.example: unknown service; known are mcptt, mcvideo, mcdata\n" },
		{ "alice,=TEL:+1", "F:3: =TEL:+1: unknown service; known are mcptt, mcvideo, mcdata\n" },
		{ "alice,mcptt=", "F:3: : no MC service ID: must have 1 to 255 bytes\n" },
		{ "alice,mcptt=tel:1", "F:3: tel:1: no MC service ID: must be a global number, "
				       "beginning with +\n" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct fixture f;
		begin(&f);
		users_add_argument(&f.users, cases[i].argument, 3);
		assert_false(users_check(&f.users));
		fflush(f.out);
		assert_string_equal(f.mistakes, cases[i].mistake);
		end(&f);
	}
}

/* --- size --- */

/*
 * Lines lie across what is read at a time, and one is longer: an MC service ID may be there many times. Carriage returns,
 * quotes and blanks come after much that has none.
 */
static void csv_lines_of_any_length(void **state)
{
	enum { ROWS = 3000, TIMES = 20000 };
	struct fixture f;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	(void)state;
	fputs("mc_id,mcptt\n", out);
	for (int i = 0; i < ROWS; i++)
		fprintf(out, "user%0*d,tel:+%d%s\n", i % 100 + 1, i, 1000000 + i, i < ROWS / 2 ? "" : "\r");
	fputs("\"quo,ted\" ,\ttel:+1999999 \nlast,", out);
	for (int i = 0; i < TIMES; i++)
		fprintf(out, "tel:+%d ", 2000000 + i);
	fclose(out);
	begin(&f);
	load(&f, text, size, USERS_CSV);
	assert_true(users_check(&f.users));
	assert_int_equal(f.users.n, ROWS + 2);
	for (size_t i = 0; i < ROWS; i++) {
		char expected[120];
		snprintf(expected, sizeof expected, "user%0*zu", (int)(i % 100 + 1), i);
		assert_true(str_eq(f.users.items[i].mc_id, str_of(expected)));
		assert_int_equal(f.users.items[i].line, i + 2);
	}
	assert_true(str_eq(f.users.items[ROWS].mc_id, STR("quo,ted")));
	assert_true(str_eq(f.users.ids[ROWS].entry.mc_service_id, STR("tel:+1999999")));
	assert_int_equal(f.users.items[ROWS + 1].n, TIMES);
	end(&f);
	free(text);
}

static void many_users(void **state)
{
	enum { MANY = 20000 };
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct fixture f;
	(void)state;
	fputs("mc_id,mcptt\n", out);
	for (int i = 0; i < MANY; i++)
		fprintf(out, "user%d,sip:user%d@x.example\n", i, i);
	fclose(out);
	begin(&f);
	load(&f, text, size, USERS_CSV);
	assert_true(users_check(&f.users));
	assert_int_equal(f.users.n, MANY);
	assert_int_equal(f.users.n_ids, MANY);
	assert_int_equal(f.users.items[MANY - 1].line, MANY + 1);
	end(&f);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(csv_lines_are_split_as_libcsv_does),
		cmocka_unit_test(csv_columns_in_any_order),
		cmocka_unit_test(csv_as_spreadsheets_write_it),
		cmocka_unit_test(ids_become_canonical),
		cmocka_unit_test(csv_headers_are_checked),
		cmocka_unit_test(csv_rows_are_checked),
		cmocka_unit_test(csv_syntax),
		cmocka_unit_test(more_columns_than_there_can_be),
		cmocka_unit_test(an_empty_file_is_a_mistake),
		cmocka_unit_test(revisions_and_validities),
		cmocka_unit_test(duplicates_name_the_earlier_line),
		cmocka_unit_test(json_with_and_without_the_map),
		cmocka_unit_test(json_shape_is_checked),
		cmocka_unit_test(json_wrong_keys_are_all_told),
		cmocka_unit_test(json_keys_come_once),
		cmocka_unit_test(json_half_a_character),
		cmocka_unit_test(bytes_that_are_no_text),
		cmocka_unit_test(guessing_takes_nothing_from_the_file),
		cmocka_unit_test(json_content_is_checked),
		cmocka_unit_test(what_is_no_list_of_users),
		cmocka_unit_test(arguments),
		cmocka_unit_test(wrong_arguments),
		cmocka_unit_test(csv_lines_of_any_length),
		cmocka_unit_test(many_users),
	};
	return cmocka_run_group_tests_name("users_file", tests, NULL, NULL);
}
