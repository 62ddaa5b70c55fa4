// needs: acms/config.c acms/config_check.c acms/config_print.c common/conf.c common/trusted_file.c common/log.c common/clock.c common/identity.c common/text.c common/arena.c common/error.c
#include <glob.h>
#include "acms/config.h"
#include "unit.h"

/* Golden tests: tests/golden/config/NAME.yaml gives NAME.err (every mistake), or prints as NAME.out. GOLDEN=write makes them. */

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = calloc(1, 1 << 16);
	assert_non_null(text);
	if (f) {
		text[fread(text, 1, (1 << 16) - 1, f)] = '\0';
		fclose(f);
	}
	return text;
}

static void compare(const char *path, const char *got)
{
	if (getenv("GOLDEN")) {
		FILE *f = fopen(path, "w");
		fputs(got, f);
		fclose(f);
		return;
	}
	char *expected = slurp(path);
	assert_string_equal(got, expected);
	free(expected);
}

static char *print(const struct config *c)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	assert_int_equal(config_print(c, f), OK);
	fclose(f);
	return text;
}

static struct config *parse(const char *text, const char *name, char **mistakes)
{
	size_t size;
	FILE *f = open_memstream(mistakes, &size);
	struct config *c = config_parse(text, strlen(text), name, "/etc/acms", f);
	fclose(f);
	return c;
}

static void check_golden(const char *path)
{
	char name[256], *text = slurp(path), *mistakes, *none;
	const char *base = strrchr(path, '/') + 1;
	struct config *c = parse(text, base, &mistakes);
	snprintf(name, sizeof name, "%.*s.%s", (int)(strlen(path) - 5), path, c ? "out" : "err");
	if (c) {
		char *printed = print(c);
		compare(name, printed);
		struct config *again = parse(printed, base, &none);
		assert_non_null(again);
		char *twice = print(again);
		assert_string_equal(twice, printed);
		free(printed), free(twice), free(none);
		config_free(again);
	} else {
		compare(name, mistakes);
		assert_true(*mistakes);
	}
	config_free(c);
	free(text), free(mistakes);
}

static void golden(void **state)
{
	(void)state;
	glob_t g;
	assert_int_equal(glob("tests/golden/config/*.yaml", 0, NULL, &g), 0);
	assert_true(g.gl_pathc >= 5);
	for (size_t i = 0; i < g.gl_pathc; i++)
		check_golden(g.gl_pathv[i]);
	globfree(&g);
}

static void the_shipped_examples_are_good(void **state)
{
	(void)state;
	static const char *const examples[] = { "deploy/examples/home.yaml", "deploy/examples/partner.yaml" };
	for (size_t i = 0; i < 2; i++) {
		char *text = slurp(examples[i]), *mistakes;
		struct config *c = parse(text, "example", &mistakes);
		assert_string_equal(mistakes, "");
		assert_non_null(c);
		config_free(c);
		free(text), free(mistakes);
	}
}

static void default_deny(void **state)
{
	(void)state;
	char *text = slurp("deploy/examples/home.yaml"), *mistakes;
	struct config *c = parse(text, "example", &mistakes);
	assert_true(config_partner(c, STR("fire.example"))->may_provision);
	assert_false(config_partner(c, STR("rail.example"))->may_provision);
	assert_null(config_partner(c, STR("nobody.example")));
	config_free(c);
	free(text), free(mistakes);
}

static void what_is_left_out(void **state)
{
	(void)state;
	static const char text[] = "mc_system_id: police.example\n"
				   "listen: [{address: 127.0.0.1, port: 7443}]\n"
				   "tls: {certificate: a.crt, key: a.key}\n"
				   "store: {directory: store}\n"
				   "acmcs: {trust_anchors: [a], clients: [{name: a, certificate: 'URI:sip:a@b.example', "
				   "partners: [fire.example]}]}\n"
				   "partners: [{mc_system_id: fire.example, certificate: 'DNS:fire.example', "
				   "trust_anchors: [b], provision: {mc_ids: ['*']}}]\n";
	char *mistakes;
	struct config *c = parse(text, "example", &mistakes);
	assert_string_equal(mistakes, "");
	const struct partner_rule *fire = config_partner(c, STR("fire.example"));
	for (int i = 0; i < OPERATIONS; i++) {
		assert_true(c->acmcs[0].may[i]);
		assert_int_equal(fire->approval[i], APPROVAL_AUTOMATIC);
	}
	assert_false(c->acmcs[0].sees_all_requests);
	assert_int_equal(c->acmcs[0].approves.n, 0);
	assert_int_equal(fire->decide_within_s, 7 * 86400);
	assert_int_equal(fire->max_pending, 1000);
	config_free(c);
	free(mistakes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden),
		cmocka_unit_test(the_shipped_examples_are_good),
		cmocka_unit_test(default_deny),
		cmocka_unit_test(what_is_left_out),
	};
	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
