// needs: common/users_file.c common/users_csv.c common/users_json.c common/json.c common/identity.c common/text.c common/arena.c
#include "common/users_file.h"
#include "unit.h"

static char mistakes[8192];

/* Reads text; the mistakes are in mistakes. */
static size_t read_text(const char *text, enum users_format format, void (*look)(const struct users *u))
{
	struct arena *a = arena_new(0);
	struct users u;
	FILE *in = fmemopen((void *)text, strlen(text), "r"), *out = fmemopen(mistakes, sizeof mistakes, "w");
	users_init(&u, a, "f", out);
	users_read(&u, in, format);
	bool good = users_check(&u);
	fclose(in), fclose(out);
	assert_int_equal(good, u.n_mistakes == 0);
	if (look)
		look(&u);
	size_t n = u.n_mistakes;
	users_free(&u);
	arena_free(a);
	return n;
}

static void two_users(const struct users *u)
{
	assert_int_equal(u->n, 2);
	assert_str(u->items[0].mc_id, "a");
	assert_int_equal(u->items[0].n, 3);
	assert_str(u->ids[0].entry.mc_service_id, "sip:a@x.example");
	assert_int_equal(u->ids[2].entry.service, MC_SERVICE_MCDATA);
	assert_str(u->items[1].mc_id, "b \"quoted\", too");
	assert_int_equal(u->items[1].n, 0);
}

static void csv_and_json_give_the_same(void **state)
{
	(void)state;
	assert_int_equal(read_text("\xEF\xBB\xBFmc_id,mcptt,mcdata\r\na,SIP:a@X.example sip:a2@x.example,tel:+1\r\n"
				   "\"b \"\"quoted\"\", too\",,\r\n\r\n", USERS_GUESS, two_users), 0);
	assert_int_equal(read_text(" {\"users\": [{\"mc_id\": \"a\", \"mc_service_ids\": [\n"
				   "{\"service\": \"mcptt\", \"mc_service_id\": \"SIP:a@X.example\"},\n"
				   "{\"mc_service_id\": \"sip:a2@x.example\", \"service\": \"MCPTT\"},\n"
				   "{\"service\": \"mcdata\", \"mc_service_id\": \"tel:+1\"}]},\n"
				   "{\"mc_service_ids\": [], \"mc_id\": \"b \\\"quoted\\\", too\"}]}", USERS_GUESS, two_users), 0);
	assert_int_equal(read_text("[{\"mc_id\": \"a\"}]", USERS_GUESS, NULL), 0);
}

static void every_mistake_with_its_line(void **state)
{
	(void)state;
	assert_int_equal(read_text("mc_id,mcptt\na,\na,\nb,x\n,\nc,1,2\n", USERS_CSV, NULL), 4);
	assert_string_equal(mistakes, "f:6: 3 columns, where the header line has 2\n"
				      "f:5: the MC ID is missing\n"
				      "f:4: x: no MC service ID: must be a sip:, sips: or tel: URI\n"
				      "f:3: a: this MC ID is in line 2 already\n");
	assert_int_equal(read_text("[{\"mc_id\": \"a\",\n\"mc_service_ids\": [{\"service\": \"x\",\n\"mc_service_id\": \"sip:a@b.c\"}]},\n"
				   "{}]", USERS_JSON, NULL), 3);
	assert_string_equal(mistakes, "f:2: x: unknown service; known are mcptt, mcvideo, mcdata\n"
				      "f:2: service and mc_service_id must both be given\n"
				      "f:4: the MC ID is missing\n");
}

static void what_is_no_file_of_users(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "\n", "mc_id\n", "mc_id,foo\na,b\n", "mcptt\nsip:a@b.c\n", "mc_id,mc_id\na,b\n",
					   "mc_id\n\"a", "mc_id\n\"a\"b\n", "[", "[]", "{}", "{\"users\": 5}", "[5]", "[{\"x\": 1}]",
					   "[{\"mc_id\": [\"a\"]}]", "[{\"mc_id\": \"a\\u0000b\"}]", "[{\"mc_id\": \"\xff\"}]",
					   "[{\"mc_id\": \"a\"}] x", "[[]]", "{\"users\": {}}", "[{\"mc_service_ids\": {}}]" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		if (*bad[i] == '\0')
			continue; /* fmemopen takes no empty buffer */
		if (read_text(bad[i], USERS_GUESS, NULL) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_memory_equal(mistakes, "f:", 2);
	}
}

static void arguments(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct users u;
	users_init(&u, a, "argument", stderr);
	users_add_argument(&u, "a,b=c,mcptt=sip:a@x.example,MCDATA=tel:+1,mcptt=sip:a2@x.example", 1);
	users_add_argument(&u, "plain", 2);
	assert_true(users_check(&u));
	assert_str(u.items[0].mc_id, "a,b=c");
	assert_int_equal(u.items[0].n, 3);
	assert_int_equal(u.ids[1].entry.service, MC_SERVICE_MCDATA);
	assert_str(u.items[1].mc_id, "plain");
	users_free(&u);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(csv_and_json_give_the_same),
		cmocka_unit_test(every_mistake_with_its_line),
		cmocka_unit_test(what_is_no_file_of_users),
		cmocka_unit_test(arguments),
	};
	return cmocka_run_group_tests_name("users file", tests, NULL, NULL);
}
