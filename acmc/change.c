#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "acmc/commands.h"
#include "acmc/screen.h"
#include "acmc/show.h"
#include "acmc/stocking.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/text.h"

/* acmc setup, update and remove. */

enum { OPT_HOME_ACMC_ID = 256, OPT_REQUEST_ID, OPT_FORMAT, OPT_TO, OPT_NOT_BEFORE, OPT_NOT_AFTER, OPT_DRY_RUN,
       OPT_BEST_EFFORT, OPT_DEADLINE, OPT_NO_WAIT, OPT_REVISION };

enum { TARGETS_MAX = 1000 };

struct options {
	struct common_options common;
	enum operation operation;
	struct str targets[TARGETS_MAX];
	size_t n_targets;
	const char *file, *home_acmc_id;
	enum users_format format;
	char **users;
	size_t n_users;
	struct request_id id;
	bool has_id, quiet, dry_run, best_effort, no_wait;
	struct validity validity;
	uint64_t revision, deadline_ms;
};

#define TO_OPTIONS                                                                              \
	{ "to", OPT_TO, "SYSTEM[,SYSTEM...]", 0, "MC system IDs of the partners; may be repeated", 1 }, \
	{ "file", 'f', "FILE", 0, "users from a CSV or JSON file; - is standard input", 1 },     \
	{ "format", OPT_FORMAT, "csv|json", 0, "of the file (default: by its first character)", 1 }, \
	{ "home-acmc-id", OPT_HOME_ACMC_ID, "URI", 0, "Home ACMC ID to be sent", 1 },            \
	{ "request-id", OPT_REQUEST_ID, "UUID", 0, "repeat the command that had this ID", 1 }
#define VALIDITY_OPTIONS                                                                        \
	{ "not-before", OPT_NOT_BEFORE, "TIME", 0, "users are not vouched for before", 2 },      \
	{ "not-after", OPT_NOT_AFTER, "TIME", 0, "nor from then on; the partner then removes them", 2 }
#define HOW_OPTIONS                                                                             \
	{ "dry-run", OPT_DRY_RUN, NULL, 0, "all checks of home and partners, nothing is done", 3 }, \
	{ "best-effort", OPT_BEST_EFFORT, NULL, 0, "do the users that can be done, not all or none", 3 }, \
	{ "deadline", OPT_DEADLINE, "DURATION", 0, "give partners up that cannot be reached in it", 3 }, \
	{ "no-wait", OPT_NO_WAIT, NULL, 0, "only until the home system keeps the request; print its ID", 3 }, \
	{ "quiet", 'q', NULL, 0, "no progress, no answers as they come", 7 }

static const struct argp_option setup_table[] = { TO_OPTIONS, VALIDITY_OPTIONS, HOW_OPTIONS, { 0 } };
static const struct argp_option update_table[] = {
	TO_OPTIONS, VALIDITY_OPTIONS, HOW_OPTIONS,
	{ "revision", OPT_REVISION, "N", 0, "that users without one of their own are expected to have", 2 },
	{ 0 },
};
static const struct argp_option remove_table[] = {
	TO_OPTIONS, HOW_OPTIONS,
	{ "revision", OPT_REVISION, "N", 0, "that users without one of their own are expected to have", 2 },
	{ 0 },
};

#define DOC_USER                                                                                \
	"USER is MC_ID[,mcptt=URI][,mcvideo=URI][,mcdata=URI]. A CSV file has a header line with " \
	"the columns mc_id, mcptt, mcvideo, mcdata, revision, not_before, not_after.\n\n"
#define DOC_WAIT                                                                                \
	"The command waits for every partner's answer. Once the home system has accepted it, it can be left " \
	"with ctrl-C, and goes on. TIME is like 2026-12-31T18:00:00+01:00, 2026-12-31 (UTC) or +8h; DURATION like " \
	"30m, 8h or 30d."
#define DOC_EXIT                                                                                \
	"\vExit codes: 0 TRUE from all partners, 1 FALSE from some, 2 wrong usage or mistakes in " \
	"the input (nothing was sent), 3 refused by the home system, 4 the home system was not reached or not " \
	"every answer came, 5 system error, 6 left before every answer came; what was accepted goes on.\n\n" \
	OPTIONS_HELP

static const char setup_doc[] = "Sets MC service users up in partner MC systems, through the home acms.\n\n" DOC_USER
	DOC_WAIT DOC_EXIT;
static const char update_doc[] =
	"Changes MC service users in partner MC systems: afterwards they have exactly the MC service IDs and validity "
	"given. It must be known which revision they have (acmc users tells), so that nobody else's change is "
	"overwritten.\n\n" DOC_USER DOC_WAIT DOC_EXIT;
static const char remove_doc[] =
	"Removes MC service users from partner MC systems. Of a file only the MC IDs count, and revisions if it has "
	"any: users of another revision are left.\n\n" DOC_WAIT DOC_EXIT;

/* --- options --- */

static void add_targets(struct options *o, char *arg, struct argp_state *state)
{
	char shown[300];
	for (char *rest = NULL, *one = strtok_r(arg, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
		struct str s = options_system("--to", one, state);
		for (size_t i = 0; i < o->n_targets; i++) {
			if (str_eq(o->targets[i], s))
				argp_error(state, "--to: %s: is named twice",
					   text_escape(s, shown, sizeof shown));
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

static void check_options(const struct options *o, struct argp_state *state)
{
	const struct validity *v = &o->validity;
	if (o->n_targets == 0)
		argp_error(state, "--to is missing: to which partner systems?");
	if (!o->file && o->n_users == 0)
		argp_error(state, "which users? Give them as arguments or with --file");
	if (v->not_after_ms && v->not_after_ms <= v->not_before_ms)
		argp_error(state, "--not-after is not after --not-before");
	if (v->not_after_ms && v->not_after_ms <= clock_wall_ms())
		argp_error(state, "--not-after is past");
	if (o->no_wait && o->dry_run)
		argp_error(state, "--no-wait: a dry run is not kept, its answers must be waited for");
}

static error_t parse_more(int key, char *arg, struct argp_state *state, struct options *o)
{
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = state->child_inputs[1] = &o->common;
		break;
	case OPT_REQUEST_ID:
		o->id = options_request_id("--request-id", arg, state);
		o->has_id = true;
		break;
	case 'f':
		if (o->file)
			argp_error(state, "--file: only one file at a time");
		o->file = arg;
		break;
	case ARGP_KEY_ARGS:
		o->users = state->argv + state->next;
		o->n_users = (size_t)(state->argc - state->next);
		break;
	case ARGP_KEY_END: check_options(o, state); break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	switch (key) {
	case 'q': o->quiet = true; break;
	case OPT_TO: add_targets(o, arg, state); break;
	case OPT_FORMAT: set_format(o, arg, state); break;
	case OPT_HOME_ACMC_ID: o->home_acmc_id = arg; break;
	case OPT_NOT_BEFORE: o->validity.not_before_ms = options_time("--not-before", arg, state); break;
	case OPT_NOT_AFTER: o->validity.not_after_ms = options_time("--not-after", arg, state); break;
	case OPT_DRY_RUN: o->dry_run = true; break;
	case OPT_BEST_EFFORT: o->best_effort = true; break;
	case OPT_DEADLINE: o->deadline_ms = options_duration("--deadline", arg, state); break;
	case OPT_NO_WAIT: o->no_wait = true; break;
	case OPT_REVISION: o->revision = options_number("--revision", arg, UINT64_MAX, state); break;
	default: return parse_more(key, arg, state, o);
	}
	return 0;
}

/* --- users --- */

/* Kinds of mistakes, which are told one kind after the other, behind those of the file's form. */
enum kind { OF_OPERATION, OF_MC_IDS, OF_SERVICE_IDS, KINDS };

/* So many are taken at a time: handing fewer over costs more than it gains, and few users need no thread. */
enum { BATCH = 4096 };

/* Where users go as they are read. */
struct intake {
	const struct options *options;
	struct stocking stocking;
	struct later {
		FILE *out;
		char *text; /* memory that mistakes take */
		size_t n;
	} later[KINDS];
};

static bool begin_intake(struct intake *in, struct stock *stock)
{
	bool good = stocking_begin(&in->stocking, stock);
	for (int kind = 0; kind < KINDS; kind++) {
		struct later *l = &in->later[kind];
		l->out = open_memstream(&l->text, &l->n);
		good &= l->out != NULL;
	}
	return good;
}

/* What the operation asks of users besides. */
static void check_user(struct users *u, const struct users_user *user, const struct options *o)
{
	char shown[120];
	if (o->operation == OPERATION_UPDATE && !user->revision && !o->revision)
		users_mistake(u, user->line, "%s: its revision is missing: give it with --revision, or in the file",
			      text_escape(user->mc_id, shown, sizeof shown));
	if (o->operation == OPERATION_REMOVE && user->n && !o->file)
		users_mistake(u, user->line, "%s: is removed with all its MC service IDs; give the MC ID alone",
			      text_escape(user->mc_id, shown, sizeof shown));
}

static void check_users(const struct intake *in, struct users *u)
{
	FILE *now = u->mistakes;
	u->mistakes = in->later[OF_OPERATION].out;
	for (size_t i = 0; i < u->n; i++)
		check_user(u, &u->items[i], in->options);
	u->mistakes = in->later[OF_MC_IDS].out;
	users_check_mc_ids(u);
	u->mistakes = in->later[OF_SERVICE_IDS].out;
	users_check_service_ids(u);
	u->mistakes = now;
}

static void take_users(void *context, struct users *u)
{
	struct intake *in = context;
	if (u->n < BATCH)
		return;
	check_users(in, u);
	stocking_take(&in->stocking, u);
}

/* Takes those that are left, and tells the mistakes. */
static void end_intake(struct intake *in, struct users *u, FILE *mistakes)
{
	stocking_end(&in->stocking);
	if (u->n > 0) {
		check_users(in, u);
		stock_take(in->stocking.stock, u);
	}
	for (int kind = 0; kind < KINDS; kind++) {
		struct later *l = &in->later[kind];
		if (l->out && fclose(l->out) == 0)
			fwrite(l->text, 1, l->n, mistakes);
		free(l->text);
	}
}

static bool read_file(struct users *u, const struct options *o)
{
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
	return true;
}

/*
 * Users of the same validity share requests. So many that they take more than one are put in the order of their MC IDs,
 * in which stores have them: neighbours share their pages, and a commit writes each page once. Updates stay as they came,
 * since one user's may give up what the next one's takes.
 */
static bool sort(struct stock *stock, const struct options *o)
{
	bool by_mc_id = o->operation != OPERATION_UPDATE && stock->n > LIMITS_DEFAULT.max_mc_ids;
	bool same_for_all = o->validity.not_before_ms || o->validity.not_after_ms;
	return (same_for_all && !by_mc_id) || stock_sort(stock, by_mc_id);
}

/* Whether all is good with the users together; the exit code. */
static int check_all(struct users *u, const struct options *o, struct stock *stock)
{
	bool good = stock_check(stock, u);
	if (good && !sort(stock, o) && !stock_failed(stock)) {
		fputs("acmc: out of memory\n", stderr);
		return EXIT_SYSTEM;
	}
	if (stock_failed(stock)) {
		fprintf(stderr, "acmc: temporary file: %s; nothing was sent\n", stock_failed(stock));
		return EXIT_SYSTEM;
	}
	if (!good)
		fprintf(stderr, "acmc: %zu mistake%s; nothing was sent\n", u->n_mistakes, text_s(u->n_mistakes));
	return good ? EXIT_ALL_TRUE : EXIT_USAGE;
}

/* Whether the file could be opened, if there is one. */
static bool take_in(struct users *u, const struct options *o, struct intake *in)
{
	u->now_ms = clock_wall_ms();
	u->each = take_users;
	u->context = in;
	bool opened = !o->file || read_file(u, o);
	for (size_t i = 0; opened && i < o->n_users; i++)
		users_add_argument(u, o->users[i], (unsigned)i + 1);
	return opened;
}

/* EXIT_ALL_TRUE: they are in the stock; otherwise the exit code. */
static int read_users(const struct options *o, struct stock *stock)
{
	struct intake in = { .options = o };
	struct users u;
	int code = EXIT_USAGE;
	users_init(&u, arena_new(0), "argument", stderr);
	bool good = begin_intake(&in, stock) && u.arena, opened = good && take_in(&u, o, &in);
	end_intake(&in, &u, stderr);
	if (!good) {
		fputs("acmc: out of memory\n", stderr);
		code = EXIT_SYSTEM;
	} else if (opened) {
		code = check_all(&u, o, stock);
	}
	arena_free(u.arena);
	users_free(&u);
	return code;
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

/* Everything is kept by the home system; a refusal is told as if it had been waited for. */
static int end_without_waiting(struct screen *s, struct home *h, const struct options *o,
			       const struct answers *a)
{
	char id[REQUEST_ID_TEXT_SIZE];
	if (a->missing == 0 || o->common.json) {
		int code = a->missing == 0 ? answers_exit_code(a) : EXIT_ALL_TRUE;
		if (a->missing == 0)
			return screen_end(s, h, &o->common, HOME_OK, a, o->id);
		return show_json(stdout, a, o->id, NULL, code) ? code : EXIT_SYSTEM;
	}
	request_id_format(o->id, id);
	printf("%s\n", id);
	return fflush(stdout) == 0 ? EXIT_ALL_TRUE : EXIT_SYSTEM;
}

static int ask(struct options *o, const struct acmc_config *config, struct parts *parts)
{
	struct answers answers = { .parts = parts, .missing = 1 };
	struct screen screen;
	struct home *h;
	screen_init(&screen, &o->common, o->quiet || o->no_wait);
	struct watcher watcher = screen_watcher(&screen);
	enum home_result result = home_new(config, &h);
	if (!h)
		return EXIT_SYSTEM;
	screen_watch(&screen, h);
	if (result == HOME_OK)
		result = ask_run(h, parts, o->id, o->no_wait, parts->arena, &answers, &watcher);
	home_on_tick(h, NULL, NULL);
	int code = result == HOME_OK && o->no_wait ?
			   end_without_waiting(&screen, h, o, &answers) :
			   screen_end(&screen, h, &o->common, result, &answers, o->id);
	answers_free(&answers);
	home_close(h);
	home_free(h);
	return code;
}

static int run(struct options *o)
{
	int code = EXIT_USAGE;
	struct stock users = { .n = 0 };
	struct arena *arena = arena_new(0);
	struct acmc_config *config = NULL;
	if (!arena || !make_id(o)) {
		fputs("acmc: out of memory, or no random numbers\n", stderr);
		code = EXIT_SYSTEM;
		goto out;
	}
	config = options_config(&o->common, o->home_acmc_id);
	code = read_users(o, &users);
	if (!config)
		code = EXIT_USAGE;
	if (code != EXIT_ALL_TRUE)
		goto out;
	struct parts parts = { .arena = arena, .users = &users, .targets = o->targets, .n_targets = o->n_targets,
			       .home_acmc_id = config->home_acmc_id, .operation = o->operation,
			       .has_validity = o->validity.not_before_ms || o->validity.not_after_ms,
			       .validity = o->validity, .revision = o->revision, .dry_run = o->dry_run,
			       .best_effort = o->best_effort,
			       .expires_ms = o->deadline_ms ? clock_wall_ms() + o->deadline_ms : 0 };
	code = ask(o, config, &parts);
out:
	stock_free(&users);
	acmc_config_free(config);
	arena_free(arena);
	return code;
}

static int change(int argc, char **argv, enum operation operation, const struct argp_option *table,
		  const char *arguments, const char *doc)
{
	static const struct argp_child children[] = COMMON_CHILDREN;
	struct argp argp = { table, parse, arguments, doc, children, NULL, NULL };
	struct options o = { .format = USERS_GUESS, .operation = operation };
	options_parse(&argp, argc, argv, &o);
	return run(&o);
}

int setup_command(int argc, char **argv)
{
	return change(argc, argv, OPERATION_SETUP, setup_table, "[USER...]", setup_doc);
}

int update_command(int argc, char **argv)
{
	return change(argc, argv, OPERATION_UPDATE, update_table, "[USER...]", update_doc);
}

int remove_command(int argc, char **argv)
{
	return change(argc, argv, OPERATION_REMOVE, remove_table, "[MC_ID...]", remove_doc);
}
