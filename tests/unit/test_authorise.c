// needs: acms/authorise.c acms/config.c acms/config_check.c common/conf.c common/trusted_file.c common/error.c common/log.c common/clock.c common/identity.c common/text.c common/arena.c common/cause.c
#include "acms/authorise.h"
#include "unit.h"

enum { RULES = 16, WORDS = 9, LIST = 8 };

static struct named {
	char name[32];
	struct acmc_rule acmc;
	struct partner_rule system;
} rules[RULES];
static size_t n_rules;
static struct arena *arena;

static struct named *find(const char *name)
{
	for (size_t i = 0; i < n_rules; i++) {
		if (strcmp(rules[i].name, name) == 0)
			return &rules[i];
	}
	fail_msg("no rule %s", name);
	return NULL;
}

static struct conf_str_list list(char *text)
{
	struct str *items = arena_array(arena, LIST, sizeof *items);
	struct conf_str_list l = { items, 0 };
	for (char *rest = NULL, *p = strtok_r(text, ",", &rest); p && strcmp(p, "-"); p = strtok_r(NULL, ",", &rest))
		items[l.n++] = arena_str(arena, str_of(p));
	return l;
}

static struct setup parse_setup(char *users)
{
	struct setup s = { .users = arena_array(arena, LIST, sizeof *s.users) };
	for (char *rest = NULL, *p = strtok_r(users, ",", &rest); p; p = strtok_r(NULL, ",", &rest)) {
		struct setup_user *u = &s.users[s.n_users++];
		struct user_service_id *ids = arena_array(arena, LIST, sizeof *ids);
		char *inner = NULL;
		u->mc_id = arena_str(arena, str_of(strtok_r(p, "/", &inner)));
		u->service_ids = ids;
		for (char *id; (id = strtok_r(NULL, "/", &inner)); s.n_service_ids++)
			ids[u->n_service_ids++] = (struct user_service_id){ 1, arena_str(arena, str_of(id)) };
	}
	return s;
}

static const char *const operations[OPERATIONS] = { "setup", "update", "remove" };

/* Setup, unless the word is another operation: lines that are about setup need not say so. */
static enum operation operation_of(const char *word)
{
	for (int i = 0; word && i < OPERATIONS; i++) {
		if (strcmp(word, operations[i]) == 0)
			return (enum operation)i;
	}
	return OPERATION_SETUP;
}

static bool has_word(struct conf_str_list words, const char *word)
{
	for (size_t i = 0; i < words.n; i++) {
		if (str_eq(words.items[i], str_of(word)))
			return true;
	}
	return false;
}

static const char *verdict_on(char **w)
{
	static struct partner_rule partners[] = { { .mc_system_id = { "fire.example", 12 }, .host = { "h", 1 } },
						  { .mc_system_id = { "rail.example", 12 }, .host = { "h", 1 } },
						  { .mc_system_id = { "deaf.example", 12 } } };
	const struct config config = { .mc_system_id = STR("own.example"), .partners = partners, .n_partners = 3 };
	const struct partner_rule *partner;
	struct setup s;
	if (strcmp(w[0], "match") == 0)
		return mc_id_matches(str_of(w[1]), str_of(w[2])) ? "yes" : "no";
	if (strcmp(w[0], "domain") == 0)
		return mc_service_id_in_domain(str_of(w[1]), str_of(w[2])) ? "yes" : "no";
	if (strcmp(w[0], "target") == 0)
		return cause_name(authorise_target(&config, &find(w[1])->acmc, str_of(w[2]), (size_t)atoi(w[3]), &partner));
	if (strcmp(w[0], "query") == 0)
		return cause_name(authorise_query_target(&config, &find(w[1])->acmc, str_of(w[2]), &partner));
	if (strcmp(w[0], "approver") == 0)
		return authorise_approver(&find(w[1])->acmc, str_of(w[2])) ? "yes" : "no";
	s = parse_setup(w[3]);
	s.operation = operation_of(w[4]);
	if (strcmp(w[0], "ask") == 0) {
		s.home_acmc_id = strcmp(w[2], "-") ? str_of(w[2]) : STR_NONE;
		return cause_name(authorise_acmc(arena, &find(w[1])->acmc, &s).cause);
	}
	struct conf_str_list targets = list(w[2]);
	s.targets = targets.items;
	s.n_targets = targets.n;
	return cause_name(authorise_home_system(arena, &find(w[1])->system, STR("own.example"), &s).cause);
}

static bool define(char **w)
{
	struct named *r = &rules[n_rules];
	if (strcmp(w[0], "acmc") == 0)
		r->acmc = (struct acmc_rule){ .home_acmc_ids = list(w[2]), .partners = list(w[3]), .mc_ids = list(w[4]),
					      .mc_service_id_domains = list(w[5]), .may = { true, true, true } };
	else if (strcmp(w[0], "system") == 0)
		r->system = (struct partner_rule){ .may_provision = strcmp(w[2], "yes") == 0, .mc_ids = list(w[3]),
						   .mc_service_id_domains = list(w[4]) };
	else if (strcmp(w[0], "policy") == 0) {
		enum approval *a = find(w[1])->system.approval;
		a[operation_of(w[2])] = !strcmp(w[3], "deny") ? APPROVAL_DENY : !strcmp(w[3], "manual") ? APPROVAL_MANUAL : APPROVAL_AUTOMATIC;
		return true;
	} else if (strcmp(w[0], "may") == 0) {
		struct conf_str_list words = list(w[2]);
		for (int i = 0; i < OPERATIONS; i++)
			find(w[1])->acmc.may[i] = has_word(words, operations[i]);
		return true;
	} else if (strcmp(w[0], "approves") == 0) {
		find(w[1])->acmc.approves = list(w[2]);
		return true;
	}
	else
		return false;
	snprintf(r->name, sizeof r->name, "%s", w[1]);
	assert_true(++n_rules < RULES);
	return true;
}

static void rules_and_verdicts(void **state)
{
	(void)state;
	FILE *f = fopen("tests/unit/authorise.rules", "r");
	char line[512];
	unsigned number = 0, verdicts = 0;
	assert_non_null(f);
	arena = arena_new(0);
	while (fgets(line, sizeof line, f)) {
		char *w[WORDS] = { 0 }, *rest = NULL;
		size_t n = 0;
		number++;
		for (char *p = strtok_r(line, " \n", &rest); p && n < WORDS; p = strtok_r(NULL, " \n", &rest))
			w[n++] = p;
		if (n == 0 || w[0][0] == '#' || define(w))
			continue;
		const char *got = verdict_on(w);
		if (strcmp(got, w[n - 1]) != 0)
			fail_msg("authorise.rules:%u: %s, not %s", number, got, w[n - 1]);
		verdicts++;
	}
	fclose(f);
	arena_free(arena);
	assert_true(verdicts > 50);
}

static void everyone_in_the_way_is_named_and_no_memory_still_denies(void **state)
{
	(void)state;
	arena = arena_new(0);
	char users[] = "a@x.example/sip:a@x.example,b@y.example/sip:b@x.example";
	struct str mine = STR("*@x.example");
	struct acmc_rule rule = { .partners = { &mine, 1 }, .mc_ids = { &mine, 1 }, .may = { true } };
	struct setup s = parse_setup(users);
	struct verdict v = authorise_acmc(arena, &rule, &s);
	assert_int_equal(v.n_identities, 3);
	assert_str(v.identities[1].mc_id, "b@y.example");
	assert_null(v.identities[1].mc_service_id.ptr);
	struct arena *spent = arena_new(1);
	v = authorise_acmc(spent, &rule, &s);
	assert_int_equal(v.cause, CAUSE_IDENTITY_NOT_PERMITTED);
	assert_int_equal(v.n_identities, 0);
	arena_free(spent);
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_and_verdicts),
		cmocka_unit_test(everyone_in_the_way_is_named_and_no_memory_still_denies),
	};
	return cmocka_run_group_tests_name("authorise", tests, NULL, NULL);
}
