#include <stdlib.h>
#include <string.h>
#include "acmc/commands.h"
#include "acmc/put.h"
#include "acmc/query.h"
#include "acmc/show_users.h"
#include "acmc/answers.h"
#include "common/page.h"
#include "common/text.h"

/* acmc users: the home system's own users at a partner. */

enum { OPT_AT = 256, OPT_BELIEVED, OPT_CSV };

struct options {
	struct common_options common;
	struct str at;
	bool believed, csv;
	struct str *mc_ids; /* sorted, each once */
	size_t n_mc_ids;
};

static int compare(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void take_mc_ids(struct options *o, char **words, size_t n, struct argp_state *state)
{
	char shown[120];
	o->mc_ids = calloc(n, sizeof *o->mc_ids);
	if (!o->mc_ids)
		argp_failure(state, EXIT_SYSTEM, 0, "out of memory");
	for (size_t i = 0; i < n; i++) {
		o->mc_ids[i] = str_of(words[i]);
		if (!mc_id_valid(o->mc_ids[i]))
			argp_error(state, "%s: no MC ID: 1 to 255 bytes of UTF-8 without control characters",
				   text_escape(o->mc_ids[i], shown, sizeof shown));
	}
	qsort(o->mc_ids, n, sizeof *o->mc_ids, compare);
	for (size_t i = 0; i < n; i++) {
		if (o->n_mc_ids == 0 || !str_eq(o->mc_ids[o->n_mc_ids - 1], o->mc_ids[i]))
			o->mc_ids[o->n_mc_ids++] = o->mc_ids[i];
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	switch (key) {
	case ARGP_KEY_INIT: state->child_inputs[0] = state->child_inputs[1] = &o->common; break;
	case OPT_AT: o->at = options_system("--at", arg, state); break;
	case OPT_BELIEVED: o->believed = true; break;
	case OPT_CSV: o->csv = true; break;
	case ARGP_KEY_ARGS:
		take_mc_ids(o, state->argv + state->next, (size_t)(state->argc - state->next), state);
		break;
	case ARGP_KEY_END:
		if (!o->at.ptr)
			argp_error(state, "--at is missing: at which partner system?");
		if (o->csv && o->common.json)
			argp_error(state, "--csv or --json, not both");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* --- page by page --- */

struct output {
	const struct options *o;
	struct json_writer *json;
	size_t n;
	struct str *missing; /* of those named: who are not there */
	size_t n_missing;
	size_t next_named;   /* whom nothing is known of yet */
	bool good;
};

/* Both lists are sorted: who is named and was passed over is not there. user NULL: nobody comes any more. */
static void find_missing(struct output *out, const struct str *user)
{
	const struct options *o = out->o;
	for (; out->next_named < o->n_mc_ids; out->next_named++) {
		int order = user ? str_cmp(o->mc_ids[out->next_named], *user) : -1;
		if (order > 0)
			return;
		if (order < 0)
			out->missing[out->n_missing++] = o->mc_ids[out->next_named];
	}
}

static void begin_output(struct output *out)
{
	if (out->o->csv) {
		users_csv_header(stdout);
	} else if (out->o->common.json) {
		out->json = json_writer_new(stdout);
		out->good = out->json != NULL;
	}
	if (out->json) {
		json_map(out->json);
		put_text(out->json, "mc_system_id", out->o->at);
		put_bool(out->json, "believed", out->o->believed);
		json_key(out->json, "users");
		json_array(out->json);
	}
}

static void put_page(struct output *out, const struct user_entry *users, size_t n)
{
	for (size_t i = 0; i < n; i++)
		find_missing(out, &users[i].mc_id);
	for (size_t i = 0; i < n && out->o->csv; i++)
		users_csv_row(stdout, &users[i]);
	for (size_t i = 0; i < n && out->json; i++)
		put_user(out->json, &users[i]);
	if (!out->o->csv && !out->json && n)
		out->good &= users_table_print(stdout, users, n, out->n == 0, options_colours(&out->o->common, stdout));
	out->n += n;
	out->good &= fflush(stdout) == 0 && !ferror(stdout);
}

static void put_missing(struct output *out, int code, const char *failure)
{
	char text[80];
	if (!failure && out->n_missing) {
		text_format(text, sizeof text, "%zu of the %zu users named %s not there", out->n_missing, out->o->n_mc_ids,
			    out->n_missing == 1 ? "is" : "are");
		failure = text;
	}
	json_key(out->json, "missing");
	json_array(out->json);
	for (size_t i = 0; i < out->n_missing; i++)
		json_text(out->json, out->missing[i]);
	json_end_array(out->json);
	put_end(out->json, code, failure);
}

static void tell_missing(const struct output *out)
{
	char shown[540];
	for (size_t i = 0; i < out->n_missing; i++)
		fprintf(stderr, "acmc: %s: %s %.*s\n", text_escape(out->missing[i], shown, sizeof shown),
			out->o->believed ? "is not believed to be at" : "is not there at", STR_ARG(out->o->at));
}

/* Returns the exit code, if nothing failed. */
static int end_output(struct output *out, const struct query *q)
{
	if (!query_failure(q) && out->good)
		find_missing(out, NULL);
	int code = out->n_missing ? EXIT_SOME_FALSE : EXIT_ALL_TRUE;
	if (out->json) {
		json_end_array(out->json);
		put_missing(out, query_failure(q) ? query_exit_code(q) : code, query_failure(q));
		json_end_map(out->json);
		out->good &= json_writer_free(out->json);
	} else if (!out->o->csv && out->n == 0 && !query_failure(q)) {
		puts("no users");
	}
	out->good &= fflush(stdout) == 0 && !ferror(stdout);
	tell_missing(out);
	return code;
}

/* --- how many may come --- */

/* Users that a server may list: who lists without end is not believed. No system has so many. */
enum { USERS_MAX = 100000000, COUNTS_MAX = 3 };

struct bound {
	uint64_t users;  /* that are there, by the digest */
	unsigned counts; /* how often that was asked */
};

/* Users come and go meanwhile, so that they are counted more than once. False: more are listed than there are. */
static bool count_users(struct query *q, struct bound *b, const struct users_query *base, uint64_t listed)
{
	struct mc_id_range all = { STR_NONE, STR_NONE };
	struct message m = { .kind = MESSAGE_DIGEST_QUERY,
			     .digest_query = { .mc_system_id = base->mc_system_id, .believed = base->believed,
					       .ranges = &all, .n_ranges = 1 } };
	const char *fault = b->counts++ < COUNTS_MAX ? NULL : "it lists more users than it says it has";
	const struct message *answer = fault ? NULL : query_ask(q, &m, MESSAGE_DIGEST_PAGE);
	if (answer)
		fault = page_fault(&m, answer);
	if (answer && !fault) {
		b->users = answer->digest_page.digests->users;
		if (b->users < listed || b->users > USERS_MAX)
			fault = "it lists more users than it says it has";
	}
	if (fault)
		query_nonsense(q, fault);
	return !query_failure(q);
}

/* Those named are given in their order, and whatever is listed was named. */
static bool all_named(const struct users_query *base, const struct users_page *page)
{
	size_t named = 0;
	for (size_t i = 0; i < page->n_users && base->n_mc_ids > 0; i++, named++) {
		while (named < base->n_mc_ids && !str_eq(base->mc_ids[named], page->users[i].mc_id))
			named++;
		if (named == base->n_mc_ids)
			return false;
	}
	return true;
}

/* The pages of one query. What is listed is bounded by who is named, or else by the digest as soon as a page is not all. */
static void take_pages(struct query *q, struct output *out, struct users_query base)
{
	struct message m = { .kind = MESSAGE_USERS_QUERY, .users_query = base };
	struct arena *a = arena_new(0);
	struct bound bound = { .users = 0 };
	const struct message *answer;
	bool more = true;
	while (a && more && out->good && (answer = query_ask(q, &m, MESSAGE_USERS_PAGE))) {
		const struct users_page *page = &answer->users_page;
		const char *fault = page_fault(&m, answer);
		if (!fault && !all_named(&base, page))
			fault = "a user who was not asked for";
		if (fault) {
			query_nonsense(q, fault);
			break;
		}
		put_page(out, page->users, page->n_users);
		more = page->page.more;
		if (more)
			m.users_query.after = arena_str(a, page->users[page->n_users - 1].mc_id);
		if (more && base.n_mc_ids == 0 && out->n >= bound.users && !count_users(q, &bound, &base, out->n + 1))
			break;
	}
	arena_free(a);
}

static int list(const struct options *o)
{
	struct query q;
	struct output out = { .o = o, .good = true };
	struct users_query base = { .mc_system_id = o->at, .believed = o->believed };
	if (!query_begin(&q, &o->common))
		return query_end(&q, true, EXIT_ALL_TRUE);
	size_t room = home_limits(q.home)->max_mc_ids;
	out.missing = arena_array(q.arena, o->n_mc_ids, sizeof *out.missing);
	if (!out.missing) {
		q.result = home_fail(q.home, HOME_FAILED, "out of memory");
		return query_end(&q, true, EXIT_ALL_TRUE);
	}
	begin_output(&out);
	if (o->n_mc_ids == 0)
		take_pages(&q, &out, base);
	for (size_t i = 0; i < o->n_mc_ids && !query_failure(&q) && out.good; i += room) {
		base.mc_ids = o->mc_ids + i;
		base.n_mc_ids = o->n_mc_ids - i < room ? o->n_mc_ids - i : room;
		take_pages(&q, &out, base);
	}
	int code = end_output(&out, &q);
	return query_end(&q, out.good, code);
}

int users_command(int argc, char **argv)
{
	static const struct argp_child children[] = COMMON_CHILDREN;
	static const struct argp_option table[] = {
		{ "at", OPT_AT, "SYSTEM", 0, "MC system ID of the partner", 1 },
		{ "believed", OPT_BELIEVED, NULL, 0,
		  "what the home system believes to be there, without asking the partner", 1 },
		{ "csv", OPT_CSV, NULL, 0, "CSV instead of a table", 8 },
		{ 0 },
	};
	static const struct argp argp = {
		table, parse, "[MC_ID...]",
		"Lists the home system's users at a partner: all, or those named. What --csv and --json print can be changed and "
		"given to acmc update --file: it has the revisions that update needs.\vExit codes: 0 listed, 1 some of those named "
		"are not there, 2 wrong usage, 3 refused, 4 the home system or the partner was not reached, or contradicts itself, 5 system error.\n\n"
		OPTIONS_HELP,
		children, NULL, NULL
	};
	struct options o = { .believed = false };
	options_parse(&argp, argc, argv, &o);
	int code = list(&o);
	free(o.mc_ids);
	return code;
}
