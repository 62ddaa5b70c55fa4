#include <stdlib.h>
#include <unistd.h>
#include "acmc/commands.h"
#include "acmc/put.h"
#include "acmc/query.h"
#include "acmc/repair.h"
#include "acmc/screen.h"
#include "acmc/show.h"
#include "acmc/show_reconcile.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/text.h"

/* acmc reconcile. */

enum { OPT_WITH = 256, OPT_REPAIR, OPT_YES };

struct options {
	struct common_options common;
	struct str with;
	bool repair, yes, quiet;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	switch (key) {
	case ARGP_KEY_INIT: state->child_inputs[0] = state->child_inputs[1] = &o->common; break;
	case OPT_WITH: o->with = options_system("--with", arg, state); break;
	case OPT_REPAIR: o->repair = true; break;
	case OPT_YES: o->yes = true; break;
	case 'q': o->quiet = true; break;
	case ARGP_KEY_ARG: argp_error(state, "%s: takes no arguments", arg); break;
	case ARGP_KEY_END:
		if (!o->with.ptr)
			argp_error(state, "--with is missing: with which partner system?");
		if (o->repair && !o->yes && (o->common.json || !isatty(STDIN_FILENO)))
			argp_error(state, "--repair: nobody can be asked; give --yes");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* Compares. What failed is in the query. */
static bool compare(struct query *q, struct reconcile *r, const struct options *o)
{
	struct message m;
	if (!reconcile_init(r, q->arena, o->with)) {
		q->result = home_fail(q->home, HOME_FAILED, "out of memory");
		return false;
	}
	while (reconcile_next(r, &m)) {
		enum message_kind kind = m.kind == MESSAGE_DIGEST_QUERY ? MESSAGE_DIGEST_PAGE : MESSAGE_USERS_PAGE;
		const struct message *answer = query_ask(q, &m, kind);
		if (!answer)
			return false;
		reconcile_take(r, answer);
	}
	if (r->fault)
		query_nonsense(q, r->fault);
	return !r->fault;
}

static size_t count(const struct reconcile *r, enum difference_kind kind)
{
	size_t n = 0;
	for (size_t i = 0; i < r->n_found; i++)
		n += r->found[i].kind == kind;
	return n;
}

static bool confirmed(const struct reconcile *r, const struct options *o)
{
	char line[16] = "";
	size_t removed = count(r, UNKNOWN_TO_HOME);
	if (o->yes)
		return true;
	if (removed)
		fprintf(stderr, "WARNING: this removes %zu user%s at %.*s that the home system does not know of. If its own "
				"store was restored from an old backup, it is home that is wrong.\n",
			removed, text_s(removed), STR_ARG(o->with));
	fprintf(stderr, "at %.*s: set up %zu, update %zu, remove %zu of our users? [y/N] ", STR_ARG(o->with),
		count(r, MISSING_AT_PARTNER), count(r, DIFFERENT), removed);
	fflush(stderr);
	return fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static int put_asked(struct json_writer *w, const struct query *q, enum operation operation, size_t n_users,
		     enum home_result result, const struct answers *answers, struct request_id id)
{
	int code = result == HOME_OK ? answers_exit_code(answers) : exit_code_of_result(result);
	json_map(w);
	put_text(w, "operation", str_of(operation_name((int)operation)));
	put_id(w, "request_id", id);
	put_number(w, "users", n_users);
	put_end(w, code, result == HOME_OK ? NULL : home_failure(q->home));
	json_end_map(w);
	return code;
}

/* One operation's requests, durable as any. Returns the exit code. */
static int ask_for(struct query *q, const struct options *o, enum operation operation, struct stock *users,
		   struct json_writer *w)
{
	struct answers answers = { .said = NULL };
	struct screen screen;
	uint8_t random[10];
	struct parts parts = { .arena = q->arena, .users = users, .targets = &o->with, .n_targets = 1,
			       .home_acmc_id = q->config->home_acmc_id, .operation = operation, .best_effort = true };
	if (crypto_random(random, sizeof random) != OK)
		return EXIT_SYSTEM;
	struct request_id id = request_id_make(clock_wall_ms(), random);
	screen_init(&screen, &o->common, o->quiet);
	struct watcher watcher = screen_watcher(&screen);
	home_close(q->home);
	screen_watch(&screen, q->home);
	if (screen.lines)
		fprintf(stderr, "%s:\n", operation_name((int)operation));
	enum home_result result = ask_run(q->home, &parts, id, false, q->arena, &answers, &watcher);
	home_on_tick(q->home, NULL, NULL);
	int code;
	if (w)
		code = put_asked(w, q, operation, users->n, result, &answers, id);
	else
		code = screen_end(&screen, q->home, &o->common, result, &answers, id);
	answers_free(&answers);
	return code;
}

/* The highest exit code of all of them. */
static int repair(struct query *q, const struct options *o, const struct reconcile *r, struct json_writer *w)
{
	int worst = EXIT_ALL_TRUE;
	for (size_t i = 0; i < OPERATIONS && worst <= EXIT_SOME_FALSE; i++) {
		struct stock users = { .n = 0 };
		int code = EXIT_ALL_TRUE;
		if (!repair_users(r, repair_order[i], &users, stderr))
			code = EXIT_UNREACHABLE;
		else if (users.n)
			code = ask_for(q, o, repair_order[i], &users, w);
		if (code > worst)
			worst = code;
		stock_free(&users);
	}
	return worst;
}

static bool put_document(struct query *q, const struct options *o, struct reconcile *r, uint64_t bytes, int *code)
{
	struct json_writer *w = json_writer_new(stdout);
	if (!w)
		return false;
	json_map(w);
	put_reconcile(w, r, bytes);
	if (o->repair && r->n_found && !query_failure(q)) {
		json_key(w, "repair");
		json_array(w);
		*code = repair(q, o, r, w);
		json_end_array(w);
	}
	put_end(w, query_failure(q) ? query_exit_code(q) : *code, query_failure(q));
	json_end_map(w);
	return json_writer_free(w);
}

static bool show_and_repair(struct query *q, const struct options *o, struct reconcile *r, uint64_t bytes, int *code)
{
	bool shown = show_reconcile(stdout, r, bytes, options_colours(&o->common, stdout));
	if (!o->repair || r->n_found == 0)
		return shown;
	home_close(q->home); /* who knows how long the answer takes */
	if (!confirmed(r, o)) {
		fputs("acmc: nothing was repaired\n", stderr);
		return shown;
	}
	*code = repair(q, o, r, NULL);
	return shown;
}

static int reconcile(const struct options *o)
{
	struct query q;
	struct reconcile r = { .partner = o->with };
	bool shown = true;
	if (!query_begin(&q, &o->common))
		return query_end(&q, true, EXIT_ALL_TRUE);
	uint64_t before = home_bytes_received(q.home);
	bool good = compare(&q, &r, o);
	uint64_t bytes = home_bytes_received(q.home) - before;
	int code = r.n_found ? EXIT_SOME_FALSE : EXIT_ALL_TRUE;
	if (o->common.json)
		shown = put_document(&q, o, &r, bytes, &code);
	else if (good)
		shown = show_and_repair(&q, o, &r, bytes, &code);
	reconcile_free(&r);
	return query_end(&q, shown, code);
}

int reconcile_command(int argc, char **argv)
{
	static const struct argp_child children[] = COMMON_CHILDREN;
	static const struct argp_option table[] = {
		{ "with", OPT_WITH, "SYSTEM", 0, "MC system ID of the partner", 1 },
		{ "repair", OPT_REPAIR, NULL, 0, "make the partner have what the home system believes, after asking", 1 },
		{ "yes", OPT_YES, NULL, 0, "repair without asking", 1 },
		{ "quiet", 'q', NULL, 0, "no progress, no answers as they come", 7 },
		{ 0 },
	};
	static const struct argp argp = {
		table, parse, NULL,
		"Compares the users that the home system believes to be set up at a partner, of its answers, with those that the "
		"partner holds, and shows the differences. Little is transferred when little differs. Requests that are still on "
		"their way show as differences, too.\vExit codes: 0 the same, or repaired, 1 differences, or not all repaired, 2 "
		"wrong usage, 3 refused, 4 the home system or the partner was not reached, or contradicts itself, 5 "
		"system error, 6 left before the repair was answered; it goes on.\n\n" OPTIONS_HELP,
		children, NULL, NULL
	};
	struct options o = { .repair = false };
	options_parse(&argp, argc, argv, &o);
	return reconcile(&o);
}
