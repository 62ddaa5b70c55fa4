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

enum { PAGE_ENTRIES = 100 };

struct entry {
	uint64_t number;
	struct str value;
};

struct page {
	struct arena *arena;
	struct entry *items;
	size_t n;
};

static bool keep(void *context, uint64_t number, struct str value)
{
	struct page *p = context;
	p->items[p->n++] = (struct entry){ number, arena_str(p->arena, value) };
	return p->n < PAGE_ENTRIES;
}

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

static void put_entry(struct json_writer *w, uint64_t number, const struct audit_record *r)
{
	char when[32], id[REQUEST_ID_TEXT_SIZE];
	inspect_time(r->at_ms, when);
	request_id_format(r->request, id);
	json_map(w);
	json_key(w, "entry");
	json_number(w, (int64_t)number);
	put_hex(w, "previous", r->previous, DIGEST_SIZE);
	put_text(w, "at", str_of(when));
	put_text(w, "action", str_of(audit_action_name(r->action)));
	put_text(w, "home", r->home);
	put_text(w, "certificate", r->certificate);
	put_text(w, "request_id", str_of(id));
	if (r->claimed_acmc.ptr)
		put_text(w, "claimed_home_acmc_id", r->claimed_acmc);
	put_text(w, "cause", str_of(cause_name(r->cause)));
	json_key(w, "mc_ids");
	json_array(w);
	for (size_t i = 0; i < r->n_mc_ids; i++)
		json_text(w, r->mc_ids[i]);
	json_end_array(w);
	json_key(w, "created");
	json_number(w, (int64_t)r->created);
	json_key(w, "replaced");
	json_number(w, (int64_t)r->replaced);
	json_key(w, "unchanged");
	json_number(w, (int64_t)r->unchanged);
	json_end_map(w);
}

/* As with users: the transaction ends before anything is written out. */
static enum status read_page(struct store *s, struct arena *a, uint64_t *next, bool *more,
			     struct page *p, struct error *e)
{
	struct store_txn *t;
	p->arena = a;
	p->items = a ? arena_array(a, PAGE_ENTRIES, sizeof *p->items) : NULL;
	if (!p->items)
		return error_set(e, ERR_MEMORY, "out of memory");
	enum status status = store_begin_read(s, &t, e);
	if (status != OK)
		return status;
	*more = !store_list_audit(t, *next, keep, p);
	if (p->n > 0)
		*next = p->items[p->n - 1].number + 1;
	return store_commit(t, e);
}

static enum status export_audit(struct store *s, struct json_writer *w, struct error *e)
{
	uint64_t next = 1;
	bool more = true;
	enum status status = OK;
	while (more && status == OK) {
		struct arena *a = arena_new(0);
		struct page p = { NULL, NULL, 0 };
		status = read_page(s, a, &next, &more, &p, e);
		for (size_t i = 0; i < p.n && status == OK; i++) {
			struct audit_record r;
			status = record_decode_audit(a, p.items[i].value, &r, e);
			if (status == OK)
				put_entry(w, p.items[i].number, &r);
		}
		arena_free(a);
	}
	return status;
}

int audit_command(int argc, char **argv)
{
	struct inspect i;
	struct error e = { OK, "" };
	inspect_parse(&i, argc, argv, "export", "Exports the audit log as JSON.");
	if (i.n_arguments != 1 || strcmp(i.arguments[0], "export") != 0) {
		fprintf(stderr, "acms audit: export? See acms audit --help\n");
		return EXIT_USAGE;
	}
	struct store *s = inspect_open(&i, STORE_READ);
	if (!s)
		return EXIT_BAD;
	struct json_writer *w = json_writer_new(stdout);
	enum status status = w ? OK : error_set(&e, ERR_MEMORY, "out of memory");
	if (w) {
		json_array(w);
		status = export_audit(s, w, &e);
		json_end_array(w);
		if (!json_writer_free(w) && status == OK)
			status = error_set(&e, ERR_SYSTEM, "standard output cannot be written");
	}
	store_close(s);
	if (status != OK)
		fprintf(stderr, "acms: %s\n", e.text);
	return status == OK ? EXIT_GOOD : EXIT_BAD;
}
