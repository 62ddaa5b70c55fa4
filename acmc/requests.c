#include <string.h>
#include "acmc/commands.h"
#include "acmc/load.h"
#include "acmc/put.h"
#include "acmc/screen.h"
#include "acmc/show.h"
#include "acmc/show_requests.h"
#include "acmc/status.h"
#include "common/clock.h"

/* acmc status, wait and requests. */

#define EXIT_CODES                                                                              \
	"\vExit codes: 0 TRUE from all partners, 1 FALSE from some, or no such request, 2 wrong usage, " \
	"3 refused by the home system, 4 the home system was not reached, 5 system error, " \
	"6 not every partner has answered.\n\n" OPTIONS_HELP

/* --- one command's state --- */

struct one_options {
	struct common_options common;
	struct request_id id;
	bool has_id, quiet;
	uint64_t wait_ms;
};

enum { OPT_WAIT = 256 };

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct one_options *o = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->common;
		if (state->root_argp->children[1].argp)
			state->child_inputs[1] = &o->common;
		break;
	case 'q': o->quiet = true; break;
	case OPT_WAIT: o->wait_ms = options_duration("--timeout", arg, state); break;
	case ARGP_KEY_ARG:
		if (o->has_id)
			argp_error(state, "only one request ID at a time");
		o->id = options_request_id("ID", arg, state);
		o->has_id = true;
		break;
	case ARGP_KEY_END:
		if (!o->has_id)
			argp_error(state, "which request? Give its ID");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static int status_exit_code(const struct track *t)
{
	return t->answers.missing > 0 ? EXIT_GOES_ON : answers_exit_code(&t->answers);
}

int status_of(const struct common_options *options, struct request_id id)
{
	struct query q;
	struct track t;
	bool shown = true;
	int code = EXIT_ALL_TRUE;
	if (!query_begin(&q, options))
		return query_end(&q, true, code);
	track_init(&t, q.arena, id, home_system(q.home));
	if (load_track(&q, &t, false))
		code = status_exit_code(&t);
	else
		code = query_exit_code(&q);
	if (options->json) {
		shown = show_json(stdout, &t.answers, track_base(&t), query_failure(&q), code);
	} else if (t.begun) {
		show_track(stdout, &t);
		putchar('\n');
		shown = show_table(stdout, &t.answers, query_failure(&q), options_colours(options, stdout));
	}
	answers_free(&t.answers);
	return query_end(&q, shown, code);
}

int status_command(int argc, char **argv)
{
	static const struct argp_child children[] = COMMON_CHILDREN;
	static const struct argp argp = {
		NULL, parse_one, "ID",
		"Tells what became of a request: each partner's answer, or how far it is, who decided and why. ID is that of "
		"any of a command's requests." EXIT_CODES,
		children, NULL, NULL
	};
	struct one_options o = { .has_id = false };
	options_parse(&argp, argc, argv, &o);
	return status_of(&o.common, o.id);
}

/* --- waiting --- */

struct waiting {
	struct query *q;
	struct track *t;
};

static enum home_result ask_again(void *context)
{
	struct waiting *w = context;
	track_again(w->t);
	w->q->result = HOME_OK;
	if (!load_track(w->q, w->t, true) && w->q->result == HOME_OK)
		return home_fail(w->q->home, HOME_UNUSABLE, "%s", w->q->failure);
	return w->q->result;
}

static int wait_for(struct one_options *o, struct query *q, struct track *t)
{
	struct screen screen;
	struct waiting waiting = { q, t };
	screen_init(&screen, &o->common, o->quiet);
	struct watcher watcher = screen_watcher(&screen);
	screen.answers = &t->answers;
	if (screen.lines)
		show_track(stderr, t);
	screen_watch(&screen, q->home);
	if (o->wait_ms)
		home_wait_until(q->home, clock_mono_ms() + o->wait_ms);
	enum home_result result = HOME_OK;
	if (t->n_unknown == 0)
		result = ask_wait(q->home, &t->answers, &watcher, ask_again, &waiting);
	else
		result = home_fail(q->home, HOME_UNUSABLE, "%zu of %zu parts are not known to the home system; repeat "
				   "the command with --request-id to have them done, too", t->n_unknown, t->parts.n);
	home_on_tick(q->home, NULL, NULL);
	q->result = HOME_OK;
	q->cause = CAUSE_NO_CAUSE;
	return screen_end(&screen, q->home, &o->common, result, &t->answers, track_base(t));
}

int wait_command(int argc, char **argv)
{
	static const struct argp_child children[] = { { &common_argp, 0, NULL, 0 }, { NULL, 0, NULL, 0 } };
	static const struct argp_option table[] = {
		{ "timeout", OPT_WAIT, "DURATION", 0, "longest time to wait, like 30s, 5m, 8h (default: no limit)", 1 },
		{ "quiet", 'q', NULL, 0, "no progress, no answers as they come", 7 },
		{ 0 },
	};
	static const struct argp argp = {
		table, parse_one, "ID",
		"Waits for the answers to a request that was left, and shows them as the command itself would have. "
		"It may be left, too: the request goes on." EXIT_CODES,
		children, NULL, NULL
	};
	struct one_options o = { .has_id = false };
	struct query q;
	struct track t;
	options_parse(&argp, argc, argv, &o);
	if (!query_begin(&q, &o.common))
		return query_end(&q, true, EXIT_ALL_TRUE);
	track_init(&t, q.arena, o.id, home_system(q.home));
	bool shown = true;
	int code = EXIT_ALL_TRUE;
	if (load_track(&q, &t, true))
		code = wait_for(&o, &q, &t);
	else if (o.common.json)
		shown = show_json(stdout, &t.answers, o.id, query_failure(&q), query_exit_code(&q));
	answers_free(&t.answers);
	return query_end(&q, shown, code);
}

/* --- many --- */

enum { OPT_UNFINISHED = 256, OPT_REFUSED, OPT_PARTNER, OPT_SINCE, OPT_UNTIL, OPT_LIMIT };
enum { LIMIT_DEFAULT = 100, LIMIT_MAX = 1000000 };
enum { REQUESTS_MAX = 100000000 }; /* that a server may list: none has so many */

struct list_options {
	struct common_options common;
	struct requests_query query;
	uint64_t limit;
};

static error_t parse_list(int key, char *arg, struct argp_state *state)
{
	struct list_options *o = state->input;
	switch (key) {
	case ARGP_KEY_INIT: state->child_inputs[0] = state->child_inputs[1] = &o->common; break;
	case OPT_UNFINISHED: o->query.unfinished_only = true; break;
	case OPT_REFUSED: o->query.refused_only = true; break;
	case OPT_PARTNER: o->query.mc_system_id = options_system("--partner", arg, state); break;
	case OPT_SINCE: o->query.since_ms = options_time("--since", arg, state); break;
	case OPT_UNTIL: o->query.until_ms = options_time("--until", arg, state); break;
	case OPT_LIMIT: o->limit = options_number("--limit", arg, LIMIT_MAX, state); break;
	case ARGP_KEY_ARG: argp_error(state, "%s: takes no arguments; acmc status tells of one request", arg); break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* The newest entries, which are the last ones to come: a ring. An entry's texts live in its own arena. */
struct newest {
	struct kept {
		struct arena *arena;
		struct request_entry entry;
	} *ring;
	size_t room, n, dropped;
};

static bool copy_deliveries(struct arena *a, struct request_entry *e)
{
	struct delivery_entry *copy = arena_array(a, e->n_deliveries, sizeof *copy);
	for (size_t i = 0; copy && i < e->n_deliveries; i++) {
		copy[i] = e->deliveries[i];
		copy[i].mc_system_id = arena_str(a, copy[i].mc_system_id);
		copy[i].detail = arena_str(a, copy[i].detail);
		copy[i].response.detail = arena_str(a, copy[i].response.detail);
	}
	e->deliveries = copy;
	return copy != NULL;
}

static bool keep(struct newest *k, const struct request_entry *e)
{
	struct kept *to = &k->ring[k->n % k->room];
	k->dropped += to->arena != NULL;
	arena_free(to->arena);
	*to = (struct kept){ arena_new(0), *e };
	if (!to->arena)
		return false;
	to->entry.acmc = arena_str(to->arena, e->acmc);
	k->n++;
	return copy_deliveries(to->arena, &to->entry);
}

static const struct request_entry *kept_at(const struct newest *k, size_t i)
{
	size_t first = k->n > k->room ? k->n - k->room : 0;
	return &k->ring[(first + i) % k->room].entry;
}

static size_t kept_count(const struct newest *k)
{
	return k->n < k->room ? k->n : k->room;
}

static void collect(struct query *q, const struct list_options *o, struct newest *k)
{
	struct message m = { .kind = MESSAGE_REQUESTS_QUERY, .requests_query = o->query };
	struct requests_query *next = &m.requests_query;
	const struct message *answer;
	bool more = true;
	while (more && (answer = query_ask(q, &m, MESSAGE_REQUESTS_PAGE))) {
		const struct requests_page *page = &answer->requests_page;
		more = page->page.more;
		for (size_t i = 0; i < page->n_entries; i++) {
			const struct request_entry *e = &page->entries[i];
			if (next->has_after && memcmp(&e->request_id, &next->after, sizeof next->after) <= 0) {
				query_nonsense(q, "a page out of order");
				return;
			}
			next->has_after = true;
			next->after = e->request_id;
			if (!keep(k, e)) {
				q->result = home_fail(q->home, HOME_FAILED, "out of memory");
				return;
			}
		}
		if (more && (page->n_entries == 0 || k->n > REQUESTS_MAX)) {
			query_nonsense(q, page->n_entries ? "more requests than there can be" : "an empty page, and more to come");
			return;
		}
	}
}

static bool print_list(const struct query *q, const struct newest *k, const struct common_options *o)
{
	struct table *t = requests_table();
	bool good = t != NULL;
	for (size_t i = 0; good && i < kept_count(k); i++)
		good = requests_table_add(t, kept_at(k, i));
	if (k->dropped)
		printf("... %zu earlier ones; --limit shows more\n", k->dropped);
	if (good)
		table_skip_empty(t);
	if (k->n)
		good = good && table_print(t, stdout, options_colours(o, stdout));
	else if (!query_failure(q))
		puts("no requests");
	table_free(t);
	return good && fflush(stdout) == 0 && !ferror(stdout);
}

static bool print_list_json(const struct query *q, const struct newest *k)
{
	struct json_writer *w = json_writer_new(stdout);
	if (!w)
		return false;
	json_map(w);
	put_end(w, query_exit_code(q), query_failure(q));
	put_number(w, "earlier", k->dropped);
	json_key(w, "requests");
	json_array(w);
	for (size_t i = 0; i < kept_count(k); i++)
		put_request(w, kept_at(k, i));
	json_end_array(w);
	json_end_map(w);
	return json_writer_free(w);
}

static int list(struct list_options *o)
{
	struct query q;
	struct newest kept = { .room = o->limit };
	bool shown = true;
	if (query_begin(&q, &o->common)) {
		kept.ring = arena_array(q.arena, kept.room, sizeof *kept.ring);
		if (kept.ring)
			collect(&q, o, &kept);
		else
			q.result = home_fail(q.home, HOME_FAILED, "out of memory");
	}
	if (o->common.json && q.begun)
		shown = print_list_json(&q, &kept);
	else if (kept.ring)
		shown = print_list(&q, &kept, &o->common);
	for (size_t i = 0; kept.ring && i < kept.room; i++)
		arena_free(kept.ring[i].arena);
	return query_end(&q, shown, EXIT_ALL_TRUE);
}

int requests_command(int argc, char **argv)
{
	static const struct argp_child children[] = COMMON_CHILDREN;
	static const struct argp_option table[] = {
		{ "unfinished", OPT_UNFINISHED, NULL, 0, "only those that not every partner has answered", 1 },
		{ "refused", OPT_REFUSED, NULL, 0, "only those with an answer that is FALSE", 1 },
		{ "partner", OPT_PARTNER, "SYSTEM", 0, "only those to this partner", 1 },
		{ "since", OPT_SINCE, "TIME", 0, "accepted from then on; -8h is eight hours ago", 1 },
		{ "until", OPT_UNTIL, "TIME", 0, "accepted before", 1 },
		{ "limit", OPT_LIMIT, "N", 0, "the newest N requests (default 100)", 1 },
		{ 0 },
	};
	static const struct argp argp = {
		table, parse_list, NULL,
		"Lists the requests that the home system keeps, the newest last.\vExit codes: 0 listed, 2 wrong usage, 3 "
		"refused by the home system, 4 the home system was not reached, 5 system error.\n\n" OPTIONS_HELP,
		children, NULL, NULL
	};
	struct list_options o = { .limit = LIMIT_DEFAULT };
	options_parse(&argp, argc, argv, &o);
	return list(&o);
}
