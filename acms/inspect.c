#include "acms/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include "acms/commands.h"
#include "acms/config.h"
#include "acms/users.h"
#include "common/clock.h"
#include "common/commands.h"
#include "common/when.h"

enum { OPT_HOME = 256, OPT_SERVICE_ID, OPT_JSON, OPT_FORMAT, OPT_SINCE, OPT_UNTIL, OPT_REQUEST };

#define COMMON                                                                                      \
	{ "config", 'c', "FILE", 0, "configuration (default " DEFAULT_CONFIG ")", 0 },              \
	{ "store", 's', "DIRECTORY", 0, "the IdM store, instead of the configuration's", 0 }

static const struct argp_option users_options[] = {
	COMMON,
	{ "home", OPT_HOME, "SYSTEM", 0, "users of this home MC system only", 0 },
	{ "mc-service-id", OPT_SERVICE_ID, "URI", 0, "show: the user that has this MC service ID", 0 },
	{ "json", OPT_JSON, NULL, 0, "JSON instead of a table", 0 },
	{ 0 },
};

static const struct argp_option audit_options[] = {
	COMMON,
	{ "format", OPT_FORMAT, "json|cbor", 0, "export: for people, or as stored, which verify takes (default json)", 0 },
	{ "since", OPT_SINCE, "TIME", 0, "export: entries from then on", 0 },
	{ "until", OPT_UNTIL, "TIME", 0, "export: entries before then", 0 },
	{ "request", OPT_REQUEST, "ID", 0, "export: entries about this request", 0 },
	{ 0 },
};

static void parse_time(struct argp_state *state, const char *option, const char *arg, uint64_t *out)
{
	if (!when_parse(str_of(arg), clock_wall_ms(), out))
		argp_error(state, "%s: must be a time like 2026-12-31T18:00:00+01:00, 2026-12-31 or -8h", option);
}

static void parse_format(struct inspect *i, struct argp_state *state, const char *arg)
{
	i->cbor = strcmp(arg, "cbor") == 0;
	if (!i->cbor && strcmp(arg, "json") != 0)
		argp_error(state, "--format: must be json or cbor");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct inspect *i = state->input;
	switch (key) {
	case 'c':
		i->config = arg;
		i->names_store = true;
		break;
	case 's':
		i->directory = arg;
		i->names_store = true;
		break;
	case OPT_HOME:
		i->home = str_of(arg);
		if (!mc_system_id_valid(i->home))
			argp_error(state, "--home: must be an MC system ID");
		break;
	case OPT_SERVICE_ID: i->mc_service_id = str_of(arg); break;
	case OPT_JSON: i->json = true; break;
	case OPT_FORMAT: parse_format(i, state, arg); break;
	case OPT_SINCE: parse_time(state, "--since", arg, &i->since_ms); break;
	case OPT_UNTIL: parse_time(state, "--until", arg, &i->until_ms); break;
	case OPT_REQUEST:
		i->has_request = request_id_parse(str_of(arg), &i->request);
		if (!i->has_request)
			argp_error(state, "--request: must be a request ID (a UUID)");
		break;
	case ARGP_KEY_ARGS: /* all that are no options: getopt has put them behind those */
		i->arguments = state->argv + state->next;
		i->n_arguments = (size_t)(state->argc - state->next);
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

void inspect_parse(struct inspect *i, int argc, char **argv, enum inspect_options which, const char *arguments_doc,
		   const char *doc)
{
	struct argp argp = { which == INSPECT_AUDIT ? audit_options : users_options, parse, arguments_doc, doc,
			     NULL, NULL, NULL };
	*i = (struct inspect){ .config = DEFAULT_CONFIG };
	argp_parse(&argp, argc, argv, 0, NULL, i);
}

static bool damaged; /* a record was passed over */

static void say_damage(void *context, const char *text)
{
	(void)context;
	damaged = true;
	fprintf(stderr, "acms: %s\n", text);
}

struct store *inspect_open(const struct inspect *i, enum store_mode mode)
{
	struct store *s = NULL;
	struct error e;
	struct config *config = NULL;
	if (!i->directory || mode == STORE_WRITE) {
		config = config_load(i->config, stderr);
		if (!config)
			return NULL;
	}
	const char *directory = i->directory ? i->directory : config->store_directory.ptr;
	if (store_open(directory, config ? config->mc_system_id : STR_NONE,
		       mode == STORE_WRITE ? config->store_map_bytes : 0, mode, &s, &e) != OK)
		fprintf(stderr, "acms: %s\n", e.text);
	if (s)
		store_on_damage(s, say_damage, NULL);
	if (s && config)
		store_bound(s, config->store_max_bytes);
	config_free(config);
	return s;
}

enum status inspect_end(struct store_txn *t, struct error *e)
{
	if (store_status(t) != OK)
		return store_commit(t, e);
	store_abort(t);
	return OK;
}

enum status inspect_not_written(struct error *e)
{
	if (!ferror(stdout))
		return error_set(e, ERR_MEMORY, "out of memory");
	return error_set(e, ERR_SYSTEM, "%s", "");
}

int inspect_result(enum status status, const struct error *e)
{
	if (status != OK && e->text[0])
		fprintf(stderr, "acms: %s\n", e->text);
	return status == OK && !damaged ? EXIT_GOOD : EXIT_BAD;
}

/* --- the commands --- */

struct action {
	const char *name;
	int (*run)(const struct inspect *i);
	size_t least, most; /* arguments */
};

enum { MANY = 10000 };

static const struct action *action_of(const struct inspect *i, const struct action *actions)
{
	for (; i->n_arguments > 0 && actions->name; actions++) {
		size_t n = i->n_arguments - 1;
		if (strcmp(actions->name, i->arguments[0]) == 0 && n >= actions->least && n <= actions->most)
			return actions;
	}
	return NULL;
}

static const char users_doc[] =
	"Looks into the IdM store, also while the server runs.\v"
	"list: all users, as a table. show: one user, by MC ID or --mc-service-id; exit code 1, too, if it is not "
	"vouched for now, since its validity has not begun or has ended. "
	"export: all users, as JSON. import: local users of this MC system, from a CSV or JSON "
	"file as acmc(1) takes, so that nobody else can be given their MC service IDs. A user with a revision in the "
	"file who is there must have that one, and gets exactly what the file says.";

int users_command(int argc, char **argv)
{
	static const struct action actions[] = {
		{ "list", users_list, 0, 0 },	   { "show", users_show, 0, 1 },
		{ "export", users_export, 0, 0 }, { "import", users_import, 0, 1 },
		{ NULL, NULL, 0, 0 },
	};
	struct inspect i;
	inspect_parse(&i, argc, argv, INSPECT_USERS, "list | show [MC_ID] | export | import FILE", users_doc);
	const struct action *action = action_of(&i, actions);
	if (action)
		return action->run(&i);
	fprintf(stderr, "acms users: list, show, export or import? See acms users --help\n");
	return EXIT_USAGE;
}

static const char audit_doc[] =
	"Looks at the audit log, also while the server runs.\v"
	"export: the entries, as JSON or as stored. verify: whether the log, or a file exported with --format cbor, is "
	"whole: no entry altered, removed, added, reordered or cut off. Exit code 1 if not, and each fault is told. "
	"Several files: whether each goes on where the one before ends; and then the log, if --config or --store is "
	"given. rotate: exports the log to a file as stored, verifies that, and removes what is in it from the store, "
	"where the log goes on. If it was interrupted, repeat it with the same file.";

int audit_command(int argc, char **argv)
{
	static const struct action actions[] = {
		{ "export", audit_export, 0, 0 },
		{ "verify", audit_verify, 0, MANY },
		{ "rotate", audit_rotate, 1, 1 },
		{ NULL, NULL, 0, 0 },
	};
	struct inspect i;
	inspect_parse(&i, argc, argv, INSPECT_AUDIT, "export | verify [FILE...] | rotate FILE", audit_doc);
	const struct action *action = action_of(&i, actions);
	if (action)
		return action->run(&i);
	fprintf(stderr, "acms audit: export, verify or rotate FILE? See acms audit --help\n");
	return EXIT_USAGE;
}
