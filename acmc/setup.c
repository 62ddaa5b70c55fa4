#include "acmc/setup.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "acmc/client.h"
#include "acmc/config.h"
#include "acmc/show.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/text.h"

enum { OPT_SERVER = 256, OPT_SERVER_CERTIFICATE, OPT_CERTIFICATE, OPT_KEY, OPT_TRUST, OPT_HOME_ACMC_ID,
       OPT_REQUEST_ID, OPT_TIMEOUT, OPT_JSON, OPT_NO_COLOR, OPT_FORMAT, OPT_TO };

enum { TARGETS_MAX = 1000, ANCHORS_MAX = 16 };

struct options {
	const char *config, *server, *server_certificate, *certificate, *key, *home_acmc_id;
	struct str anchors[ANCHORS_MAX];
	size_t n_anchors;
	struct str targets[TARGETS_MAX];
	size_t n_targets;
	const char *file;
	enum users_format format;
	char **users;
	size_t n_users;
	struct request_id id;
	bool has_id, json, quiet, no_color;
	uint32_t timeout_s;
};

static const struct argp_option option_table[] = {
	{ "to", OPT_TO, "SYSTEM[,SYSTEM...]", 0, "MC system IDs of the partners; may be repeated", 1 },
	{ "file", 'f', "FILE", 0, "users from a CSV or JSON file; - is standard input", 1 },
	{ "format", OPT_FORMAT, "csv|json", 0, "of the file (default: by its first character)", 1 },
	{ "home-acmc-id", OPT_HOME_ACMC_ID, "URI", 0, "Home ACMC ID to be sent", 1 },
	{ "request-id", OPT_REQUEST_ID, "UUID", 0, "repeat the command that had this ID", 1 },
	{ "json", OPT_JSON, NULL, 0, "answers as JSON, at the end", 2 },
	{ "quiet", 'q', NULL, 0, "no progress, no answers as they come", 2 },
	{ "no-color", OPT_NO_COLOR, NULL, 0, "no colours on a terminal", 2 },
	{ "timeout", OPT_TIMEOUT, "SECONDS", 0, "longest silence of the server (default 60)", 3 },
	{ "config", 'c', "FILE", 0, "configuration, see FILES", 3 },
	{ "server", OPT_SERVER, "HOST:PORT", 0, "home acms", 3 },
	{ "server-certificate", OPT_SERVER_CERTIFICATE, "NAME", 0,
	  "name in its certificate, DNS:... or URI:...", 3 },
	{ "certificate", OPT_CERTIFICATE, "FILE", 0, "our certificate", 3 },
	{ "key", OPT_KEY, "FILE", 0, "our key", 3 },
	{ "trust-anchors", OPT_TRUST, "FILE", 0, "CA of the home acms; may be repeated", 3 },
	{ 0 },
};

static const char doc[] =
	"Sets MC service users up in partner MC systems, through the home acms.\n\n"
	"USER is MC_ID[,mcptt=URI][,mcvideo=URI][,mcdata=URI]. A CSV file has a header line with "
	"the columns mc_id, mcptt, mcvideo, mcdata."
	"\vExit codes: 0 TRUE from all partners, 1 FALSE from some, 2 wrong usage or mistakes in "
	"the input (nothing was sent), 3 refused by the home system, 4 the home system was not reached or not "
	"every answer came, 5 system error.\n\n"
	"The configuration is looked for in --config, $ACMC_CONFIG, "
	"$XDG_CONFIG_HOME/acmc.yaml (~/.config/acmc.yaml), /etc/acmc.yaml. Manual: acmc(1).";

static void add_targets(struct options *o, char *arg, struct argp_state *state)
{
	char shown[300];
	for (char *rest = NULL, *one = strtok_r(arg, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
		struct str s = str_of(one);
		text_escape(s, shown, sizeof shown);
		if (!mc_system_id_valid(s))
			argp_error(state, "--to: %s: must be an MC system ID: a domain name in lower case",
				   shown);
		for (size_t i = 0; i < o->n_targets; i++) {
			if (str_eq(o->targets[i], s))
				argp_error(state, "--to: %s: is named twice", shown);
		}
		if (o->n_targets == TARGETS_MAX)
			argp_error(state, "--to: more than %d partners", TARGETS_MAX);
		o->targets[o->n_targets++] = s;
	}
}

static void set_format(struct options *o, const char *arg, struct argp_state *state)
{
	if (strcmp(arg, "csv") == 0)
		o->format = USERS_CSV;
	else if (strcmp(arg, "json") == 0)
		o->format = USERS_JSON;
	else
		argp_error(state, "--format: %s: must be csv or json", arg);
}

static void set_timeout(struct options *o, const char *arg, struct argp_state *state)
{
	char *end;
	errno = 0;
	long value = strtol(arg, &end, 10);
	if (errno || *end || value < 1 || value > 86400)
		argp_error(state, "--timeout: %s: must be from 1 to 86400 seconds", arg);
	o->timeout_s = (uint32_t)value;
}

static error_t parse_more(int key, char *arg, struct argp_state *state, struct options *o)
{
	switch (key) {
	case OPT_REQUEST_ID:
		if (!request_id_parse(str_of(arg), &o->id))
			argp_error(state, "--request-id: %s: must be a UUID", arg);
		o->has_id = true;
		break;
	case OPT_TRUST:
		if (o->n_anchors == ANCHORS_MAX)
			argp_error(state, "--trust-anchors: more than %d", ANCHORS_MAX);
		o->anchors[o->n_anchors++] = str_of(arg);
		break;
	case ARGP_KEY_ARGS:
		o->users = state->argv + state->next;
		o->n_users = (size_t)(state->argc - state->next);
		break;
	case ARGP_KEY_END:
		if (o->n_targets == 0)
			argp_error(state, "--to is missing: to which partner systems?");
		if (!o->file && o->n_users == 0)
			argp_error(state, "which users? Give them as arguments or with --file");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	switch (key) {
	case 'c': o->config = arg; break;
	case 'f':
		if (o->file)
			argp_error(state, "--file: only one file at a time");
		o->file = arg;
		break;
	case 'q': o->quiet = true; break;
	case OPT_TO: add_targets(o, arg, state); break;
	case OPT_FORMAT: set_format(o, arg, state); break;
	case OPT_SERVER: o->server = arg; break;
	case OPT_SERVER_CERTIFICATE: o->server_certificate = arg; break;
	case OPT_CERTIFICATE: o->certificate = arg; break;
	case OPT_KEY: o->key = arg; break;
	case OPT_HOME_ACMC_ID: o->home_acmc_id = arg; break;
	case OPT_TIMEOUT: set_timeout(o, arg, state); break;
	case OPT_JSON: o->json = true; break;
	case OPT_NO_COLOR: o->no_color = true; break;
	default: return parse_more(key, arg, state, o);
	}
	return 0;
}

/* --- configuration --- */

static const char *readable(char *path)
{
	return path && access(path, R_OK) == 0 ? path : NULL;
}

/* The first configuration that there is; text: room for its name. */
static const char *find_config(const struct options *o, char *text, size_t size)
{
	const char *home = getenv("HOME"), *xdg = getenv("XDG_CONFIG_HOME");
	if (o->config)
		return o->config;
	if (getenv("ACMC_CONFIG"))
		return getenv("ACMC_CONFIG");
	if (xdg && *xdg)
		snprintf(text, size, "%s/acmc.yaml", xdg);
	else
		snprintf(text, size, "%s/.config/acmc.yaml", home ? home : "");
	if (readable(text))
		return text;
	snprintf(text, size, "/etc/acmc.yaml");
	return readable(text);
}

static bool override(struct acmc_config *c, const struct options *o)
{
	const char *reason;
	if (o->server && !acmc_config_set_server(c, o->server)) {
		fprintf(stderr, "acmc: --server: %s: must be HOST:PORT\n", o->server);
		return false;
	}
	if (o->server_certificate && strncmp(o->server_certificate, "DNS:", 4) != 0 &&
	    strncmp(o->server_certificate, "URI:", 4) != 0) {
		fprintf(stderr, "acmc: --server-certificate: %s: must be DNS:NAME or URI:NAME\n",
			o->server_certificate);
		return false;
	}
	if (o->server_certificate)
		c->server_certificate = str_of(o->server_certificate);
	if (o->certificate)
		c->certificate = str_of(o->certificate);
	if (o->key)
		c->key = str_of(o->key);
	if (o->n_anchors)
		c->trust_anchors = (struct conf_str_list){ o->anchors, o->n_anchors };
	if (o->timeout_s)
		c->timeout_s = o->timeout_s;
	if (o->home_acmc_id && !mc_service_id_canonical(c->arena, str_of(o->home_acmc_id),
							&c->home_acmc_id, &reason)) {
		fprintf(stderr, "acmc: --home-acmc-id: %s: %s\n", o->home_acmc_id, reason);
		return false;
	}
	return acmc_config_complete(c, stderr);
}

/* --- users --- */

static bool read_users(struct users *u, const struct options *o)
{
	if (o->file) {
		bool standard = strcmp(o->file, "-") == 0;
		FILE *in = standard ? stdin : fopen(o->file, "rb");
		u->name = standard ? "standard input" : o->file;
		if (!in) {
			fprintf(stderr, "acmc: %s: %s\n", o->file, strerror(errno));
			return false;
		}
		users_read(u, in, o->format);
		if (!standard)
			fclose(in);
	}
	if (!o->file)
		u->name = "argument";
	for (size_t i = 0; i < o->n_users; i++)
		users_add_argument(u, o->users[i], (unsigned)i + 1);
	if (users_check(u))
		return true;
	fprintf(stderr, "acmc: %zu mistakes; nothing was sent\n", u->n_mistakes);
	return false;
}

/* --- watching --- */

struct screen {
	const struct options *options;
	bool progress; /* standard error is a terminal */
	bool colours;
	unsigned ticks;
};

static void clear_progress(const struct screen *s)
{
	if (s->progress)
		fputs("\r\033[K", stderr);
}

static void on_started(void *context, const struct answers *a)
{
	const struct screen *s = context;
	char first[REQUEST_ID_TEXT_SIZE];
	if (s->options->quiet || s->options->json)
		return;
	request_id_format(a->parts->items[0].id, first);
	fprintf(stderr, "request %s: %zu users to %zu partners\n", first, a->parts->users->n,
		a->parts->n_targets);
}

static void on_answered(void *context, const struct answers *a, size_t part,
			const struct setup_response *r)
{
	const struct screen *s = context;
	if (s->options->quiet || s->options->json)
		return;
	clear_progress(s);
	show_answer(stderr, a, part, r, s->progress && s->colours);
}

static void on_waiting(void *context, const struct answers *a)
{
	struct screen *s = context;
	if (!s->progress || !a->items)
		return;
	fprintf(stderr, "\r%c waiting for %zu answers\033[K", "|/-\\"[s->ticks++ % 4], a->missing);
	fflush(stderr);
}

/* --- the command --- */

static bool make_id(struct options *o)
{
	uint8_t random[10];
	if (o->has_id)
		return true;
	if (crypto_random(random, sizeof random) != OK)
		return false;
	o->id = request_id_make(clock_wall_ms(), random);
	return true;
}

static int exit_code_of(enum status status, const struct answers *answers)
{
	if (status == OK)
		return answers_exit_code(answers);
	if (status == ERR_INPUT || status == ERR_CONFIG)
		return EXIT_USAGE;
	return status == ERR_MEMORY ? EXIT_SYSTEM : EXIT_UNREACHABLE;
}

static int ask(struct options *o, const struct acmc_config *config, struct parts *parts)
{
	bool plain = o->no_color || getenv("NO_COLOR");
	struct screen screen = { o, !o->quiet && !o->json && isatty(STDERR_FILENO), !plain, 0 };
	struct client_watcher watcher = { on_started, on_answered, on_waiting, &screen };
	struct answers answers;
	struct error e;
	enum status status = client_run(config, parts, o->id, &answers, &watcher, &e);
	const char *failure = status == OK ? NULL : e.text;
	int code = exit_code_of(status, &answers);
	clear_progress(&screen);
	bool shown = o->json ? show_json(stdout, &answers, failure, code) :
			       show_table(stdout, &answers, failure, !plain && isatty(STDOUT_FILENO));
	bool placed = failure && (status == ERR_CONFIG ||
				  strncmp(failure, config->host.ptr, config->host.len) == 0);
	if (placed)
		fprintf(stderr, "acmc: %s\n", failure);
	else if (failure)
		fprintf(stderr, "acmc: %.*s port %u: %s\n", STR_ARG(config->host), config->port, failure);
	if (!o->json)
		show_advice(stderr, &answers, o->id);
	if (!shown) {
		fprintf(stderr, "acmc: standard output: %s\n", strerror(errno));
		return EXIT_SYSTEM;
	}
	return code;
}

static int run(struct options *o)
{
	char text[4096];
	int code = EXIT_USAGE;
	struct users users = { 0 };
	struct arena *arena = arena_new(0);
	struct acmc_config *config = acmc_config_load(find_config(o, text, sizeof text), stderr);
	if (!arena || !make_id(o)) {
		fputs("acmc: out of memory, or no random numbers\n", stderr);
		code = EXIT_SYSTEM;
		goto out;
	}
	users_init(&users, arena, "argument", stderr);
	bool users_good = read_users(&users, o);
	if (!config || !override(config, o) || !users_good)
		goto out;
	struct parts parts = { .arena = arena, .users = &users, .targets = o->targets,
			       .n_targets = o->n_targets, .home_acmc_id = config->home_acmc_id };
	code = ask(o, config, &parts);
out:
	users_free(&users);
	acmc_config_free(config);
	arena_free(arena);
	return code;
}

int setup_command(int argc, char **argv)
{
	static const struct argp argp = { option_table, parse, "[USER...]", doc, NULL, NULL, NULL };
	struct options o = { .format = USERS_GUESS };
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	return run(&o);
}
