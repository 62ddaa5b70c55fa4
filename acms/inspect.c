#include "acms/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "acms/commands.h"
#include "acms/config.h"
#include "acms/users.h"
#include "common/commands.h"
#include "common/json.h"

enum { OPT_HOME = 256, OPT_SERVICE_ID, OPT_JSON };

static const struct argp_option options[] = {
	{ "config", 'c', "FILE", 0, "configuration (default " DEFAULT_CONFIG ")", 0 },
	{ "store", 's', "DIRECTORY", 0, "the IdM store, instead of the configuration's", 0 },
	{ "home", OPT_HOME, "SYSTEM", 0, "users of this home MC system only", 0 },
	{ "mc-service-id", OPT_SERVICE_ID, "URI", 0, "show: the user that has this MC service ID", 0 },
	{ "json", OPT_JSON, NULL, 0, "JSON instead of a table", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct inspect *i = state->input;
	switch (key) {
	case 'c': i->config = arg; break;
	case 's': i->directory = arg; break;
	case OPT_HOME: i->home = str_of(arg); break;
	case OPT_SERVICE_ID: i->mc_service_id = str_of(arg); break;
	case OPT_JSON: i->json = true; break;
	case ARGP_KEY_ARG:
		if (i->n_arguments == 2)
			argp_error(state, "unexpected argument: %s", arg);
		i->arguments[i->n_arguments++] = arg;
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	if (key == OPT_HOME && !mc_system_id_valid(i->home))
		argp_error(state, "--home: must be an MC system ID");
	return 0;
}

void inspect_parse(struct inspect *i, int argc, char **argv, const char *arguments_doc,
		   const char *doc)
{
	struct argp argp = { options, parse, arguments_doc, doc, NULL, NULL, NULL };
	*i = (struct inspect){ .config = DEFAULT_CONFIG };
	argp_parse(&argp, argc, argv, 0, NULL, i);
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
	config_free(config);
	return s;
}

void inspect_time(uint64_t ms, char out[32])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	gmtime_r(&seconds, &tm);
	strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* --- users --- */

static const char users_doc[] =
	"Looks into the IdM store, also while the server runs.\v"
	"list: all users, as a table. show: one user, by MC ID or --mc-service-id. "
	"export: all users, as JSON. import: local users of this MC system, from a CSV or JSON "
	"file as acmc(1) takes, so that nobody else can be given their MC service IDs.";

int users_command(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const struct inspect *i);
		bool takes_argument;
	} actions[] = {
		{ "list", users_list, false },
		{ "show", users_show, true },
		{ "export", users_export, false },
		{ "import", users_import, true },
	};
	struct inspect i;
	inspect_parse(&i, argc, argv, "list | show [MC_ID] | export | import FILE", users_doc);
	for (size_t a = 0; i.n_arguments > 0 && a < sizeof actions / sizeof *actions; a++) {
		if (strcmp(actions[a].name, i.arguments[0]) == 0 &&
		    (i.n_arguments == 1 || actions[a].takes_argument))
			return actions[a].run(&i);
	}
	fprintf(stderr, "acms users: list, show, export or import? See acms users --help\n");
	return EXIT_USAGE;
}

/* --- audit --- */

struct audit_export {
	struct json_writer *json;
	struct arena *arena;
	struct error error;
	bool bad;
};

static void put_hex(struct json_writer *w, const char *key, const uint8_t *bytes, size_t n)
{
	char text[2 * DIGEST_SIZE + 1] = "";
	for (size_t i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	json_key(w, key);
	json_text(w, str_of(text));
}

static void put_text(struct json_writer *w, const char *key, struct str s)
{
	json_key(w, key);
	json_text(w, s);
}

static bool export_entry(void *context, uint64_t number, struct str value)
{
	struct audit_export *x = context;
	struct audit_record r;
	char when[32], id[REQUEST_ID_TEXT_SIZE];
	x->bad = record_decode_audit(x->arena, value, &r, &x->error) != OK;
	if (x->bad)
		return false;
	inspect_time(r.at_ms, when);
	request_id_format(r.request, id);
	json_map(x->json);
	json_key(x->json, "entry");
	json_number(x->json, (int64_t)number);
	put_hex(x->json, "previous", r.previous, DIGEST_SIZE);
	put_text(x->json, "at", str_of(when));
	put_text(x->json, "action", STR("setup"));
	put_text(x->json, "home", r.home);
	put_text(x->json, "certificate", r.certificate);
	put_text(x->json, "request_id", str_of(id));
	if (r.claimed_acmc.ptr)
		put_text(x->json, "claimed_home_acmc_id", r.claimed_acmc);
	put_text(x->json, "cause", str_of(cause_name(r.cause)));
	json_key(x->json, "mc_ids");
	json_array(x->json);
	for (size_t i = 0; i < r.n_mc_ids; i++)
		json_text(x->json, r.mc_ids[i]);
	json_end_array(x->json);
	json_key(x->json, "created");
	json_number(x->json, (int64_t)r.created);
	json_key(x->json, "replaced");
	json_number(x->json, (int64_t)r.replaced);
	json_key(x->json, "unchanged");
	json_number(x->json, (int64_t)r.unchanged);
	json_end_map(x->json);
	return true;
}

static enum status export_audit(struct store *s, struct audit_export *x)
{
	uint64_t next = 1;
	bool more = true;
	while (more && !x->bad) {
		struct store_txn *t;
		enum status status = store_begin_read(s, &t, &x->error);
		if (status != OK)
			return status;
		x->arena = arena_new(0);
		if (x->arena)
			store_list_audit(t, x->arena, &next, 1000, &more, export_entry, x);
		if (!x->arena)
			error_set(&x->error, ERR_MEMORY, "out of memory");
		status = x->bad || !x->arena ? x->error.status : store_status(t);
		if (status == OK || x->bad || !x->arena)
			store_abort(t);
		else
			store_commit(t, &x->error);
		arena_free(x->arena);
		if (status != OK)
			return status;
	}
	return OK;
}

int audit_command(int argc, char **argv)
{
	struct inspect i;
	struct audit_export x = { 0 };
	inspect_parse(&i, argc, argv, "export", "Exports the audit log as JSON.");
	if (i.n_arguments != 1 || strcmp(i.arguments[0], "export") != 0) {
		fprintf(stderr, "acms audit: export? See acms audit --help\n");
		return EXIT_USAGE;
	}
	struct store *s = inspect_open(&i, STORE_READ);
	if (!s)
		return EXIT_BAD;
	x.json = json_writer_new(stdout);
	enum status status = x.json ? OK : error_set(&x.error, ERR_MEMORY, "out of memory");
	if (x.json) {
		json_array(x.json);
		status = export_audit(s, &x);
		json_end_array(x.json);
		if (!json_writer_free(x.json) && status == OK)
			status = error_set(&x.error, ERR_SYSTEM, "standard output cannot be written");
	}
	store_close(s);
	if (status != OK)
		fprintf(stderr, "acms: %s\n", x.error.text);
	return status == OK ? EXIT_GOOD : EXIT_BAD;
}
