#include <stdlib.h>
#include <string.h>
#include "acmc/commands.h"
#include "acmc/put.h"
#include "acmc/query.h"
#include "acmc/show.h"
#include "acmc/show_requests.h"
#include "acmc/status.h"
#include "common/text.h"

/* acmc pending, show, approve and reject: requests of other systems that wait for a decision here. */

enum { OPT_FROM = 256, OPT_FOLLOW, OPT_REASON };
enum { REASON_MAX = 512 };
enum { PENDING_MAX = 1000000 }; /* requests that a server may list, or be followed for: none has so many */

struct options {
	struct common_options common;
	struct str from; /* STR_NONE: any home system */
	struct str reason;
	struct request_id id;
	bool takes_id, has_id, follow, approve, reason_needed;
};

static void check_reason(struct options *o, const char *arg, struct argp_state *state)
{
	o->reason = str_of(arg);
	if (o->reason.len == 0 || o->reason.len > REASON_MAX || !text_valid(o->reason) || text_has_control(o->reason))
		argp_error(state, "--reason: must be 1 to %d bytes of UTF-8 without control characters", REASON_MAX);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	switch (key) {
	case ARGP_KEY_INIT: state->child_inputs[0] = state->child_inputs[1] = &o->common; break;
	case OPT_FROM: o->from = options_system("--from", arg, state); break;
	case OPT_FOLLOW: o->follow = true; break;
	case OPT_REASON: check_reason(o, arg, state); break;
	case ARGP_KEY_ARG:
		if (!o->takes_id || o->has_id)
			argp_error(state, o->takes_id ? "only one request ID at a time" : "takes no arguments");
		o->id = options_request_id("ID", arg, state);
		o->has_id = true;
		break;
	case ARGP_KEY_END:
		if (o->takes_id && !o->has_id)
			argp_error(state, "which request? Give its ID");
		if (o->reason_needed && !o->reason.ptr)
			argp_error(state, "--reason is missing: the home system is told why");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_child children[] = COMMON_CHILDREN;

#define FROM_OPTION { "from", OPT_FROM, "SYSTEM", 0, "only of this home system", 1 }
#define WHOSE_OPTION { "from", OPT_FROM, "SYSTEM", 0, "of this home system; must be given if several have, or had, this ID", 1 }
#define EXIT_CODES(zero, one)                                                                   \
	"\vExit codes: 0 " zero ", 1 " one ", 2 wrong usage, 3 refused by the system, 4 the system was not " \
	"reached, 5 system error.\n\n" OPTIONS_HELP

/* --- the list --- */

/* What was shown already: after a lost connection everything that waits is sent again. */
struct seen {
	struct seen_id {
		struct request_id id;
		struct str system;
	} *items;
	size_t n, room;
	struct arena *arena;
};

/* True: it is new. */
static bool see(struct seen *s, const struct pending_entry *e)
{
	if (s->n == PENDING_MAX) { /* followed for a long time: what still waits may be shown once more */
		s->n = 0;
		arena_reset(s->arena);
	}
	for (size_t i = 0; i < s->n; i++) {
		if (memcmp(&s->items[i].id, &e->request.request_id, sizeof s->items[i].id) == 0 &&
		    str_eq(s->items[i].system, e->mc_system_id))
			return false;
	}
	if (s->n == s->room) {
		size_t room = s->room ? 2 * s->room : 64;
		void *larger = reallocarray(s->items, room, sizeof *s->items);
		if (!larger)
			return true;
		s->items = larger;
		s->room = room;
	}
	s->items[s->n++] = (struct seen_id){ e->request.request_id, arena_str(s->arena, e->mc_system_id) };
	return true;
}

struct list {
	const struct options *o;
	struct query q;
	struct seen seen;
	size_t n;
	struct table *table;         /* of a list that is not followed */
	struct json_writer *document;
	bool shown;
};

static void show_one(struct list *l, const struct pending_entry *e)
{
	if (l->o->follow && !see(&l->seen, e))
		return;
	l->n++;
	if (l->document) {
		put_pending(l->document, e);
	} else if (l->o->common.json) { /* followed: a document for each */
		struct json_writer *w = json_writer_new(stdout);
		if (w)
			put_pending(w, e);
		l->shown &= w && json_writer_free(w);
	} else if (l->o->follow) {
		show_pending_line(stdout, e);
		l->shown &= fflush(stdout) == 0;
	} else {
		l->shown &= pending_table_add(l->table, e);
	}
}

/* What comes while further pages are asked for. */
static void on_other(void *context, const struct message *m)
{
	for (size_t i = 0; m->kind == MESSAGE_PENDING_PAGE && i < m->pending_page.n_entries; i++)
		show_one(context, &m->pending_page.entries[i]);
}

/* Each comes after the one before, by home system and ID: so what is listed has an end. */
static const char *list_fault(const struct list *l, const struct pending_query *q, const struct pending_page *page)
{
	struct str home = q->after_mc_system_id;
	const struct request_id *id = &q->after_request_id;
	for (size_t i = 0; i < page->n_entries; i++) {
		const struct pending_entry *e = &page->entries[i];
		int order = home.ptr ? str_cmp(home, e->mc_system_id) : -1;
		if (order > 0 || (order == 0 && memcmp(id, &e->request.request_id, sizeof *id) >= 0))
			return "a page out of order";
		home = e->mc_system_id;
		id = &e->request.request_id;
	}
	if (page->n_entries == 0 && page->page.more)
		return "an empty page, and more to come";
	return l->n + page->n_entries > PENDING_MAX ? "more requests than can wait" : NULL;
}

/* Pages of what waits now; the query of the last one goes on, if it is to be followed. */
static bool take_pages(struct list *l)
{
	struct message m = { .kind = MESSAGE_PENDING_QUERY,
			     .pending_query = { .mc_system_id = l->o->from, .follow = l->o->follow } };
	struct pending_query *next = &m.pending_query;
	struct arena *a = arena_new(0); /* where the last entry lives */
	const struct message *answer;
	bool more = true;
	l->n = 0;
	while (a && more && (answer = query_ask(&l->q, &m, MESSAGE_PENDING_PAGE))) {
		const struct pending_page *page = &answer->pending_page;
		const char *fault = list_fault(l, next, page);
		more = page->page.more && !fault;
		for (size_t i = 0; i < page->n_entries && !fault; i++)
			show_one(l, &page->entries[i]);
		if (fault)
			query_nonsense(&l->q, fault);
		if (!more)
			break;
		const struct pending_entry *last = &page->entries[page->n_entries - 1];
		next->after_mc_system_id = arena_str(a, last->mc_system_id);
		next->after_request_id = last->request.request_id;
	}
	arena_free(a);
	return query_failure(&l->q) == NULL;
}

static void tell_lost(void *context, const char *why, unsigned seconds)
{
	(void)context;
	fprintf(stderr, "%s; trying again in %u s\n", why, seconds);
}

/* Until it is connected and has asked, or that is in vain: the result is the query's. */
static void follow_anew(struct list *l, unsigned *attempts)
{
	do {
		l->q.result = home_reconnect(l->q.home, attempts, tell_lost, NULL);
	} while (l->q.result == HOME_OK && !take_pages(l) && l->q.result == HOME_LOST);
}

/* Until ctrl-C, or the output is gone. */
static void follow(struct list *l)
{
	unsigned attempts = 0;
	while (l->q.result == HOME_OK && l->q.cause == CAUSE_NO_CAUSE && l->shown) {
		const struct message *m;
		l->q.result = home_receive(l->q.home, false, &m);
		if (l->q.result == HOME_OK && m->kind == MESSAGE_PENDING_PAGE) {
			attempts = 0;
			on_other(l, m);
		}
		if (l->q.result == HOME_LOST)
			follow_anew(l, &attempts);
	}
	if (l->q.result == HOME_INTERRUPTED)
		l->q.result = HOME_OK; /* as it was meant */
}

static void end_list(struct list *l)
{
	if (l->document) {
		json_end_array(l->document);
		put_end(l->document, query_exit_code(&l->q), query_failure(&l->q));
		json_end_map(l->document);
		l->shown &= json_writer_free(l->document);
	} else if (l->table && l->n) {
		l->shown &= table_print(l->table, stdout, options_colours(&l->o->common, stdout));
	} else if (l->table && !query_failure(&l->q)) {
		puts("nothing waits for a decision");
	}
	table_free(l->table);
	l->shown &= fflush(stdout) == 0 && !ferror(stdout);
}

static int list(const struct options *o)
{
	struct list l = { .o = o, .shown = true };
	if (!query_begin(&l.q, &o->common))
		return query_end(&l.q, true, EXIT_ALL_TRUE);
	l.seen.arena = arena_new(0);
	home_listen(l.q.home, on_other, &l);
	if (!o->follow && !o->common.json)
		l.table = pending_table();
	if (!o->follow && o->common.json && (l.document = json_writer_new(stdout))) {
		json_map(l.document);
		json_key(l.document, "pending");
		json_array(l.document);
	}
	if (take_pages(&l) && o->follow)
		follow(&l);
	end_list(&l);
	free(l.seen.items);
	arena_free(l.seen.arena);
	return query_end(&l.q, l.shown, EXIT_ALL_TRUE);
}

int pending_command(int argc, char **argv)
{
	static const struct argp_option table[] = {
		FROM_OPTION,
		{ "follow", OPT_FOLLOW, NULL, 0, "go on, with a line for each request that comes, until ctrl-C", 1 },
		{ 0 },
	};
	static const struct argp argp = { table, parse, NULL,
					  "Lists the requests of other MC systems that wait for a decision here."
					  EXIT_CODES("listed", "never"), children, NULL, NULL };
	struct options o = { .takes_id = false };
	options_parse(&argp, argc, argv, &o);
	return list(&o);
}

/* --- one --- */

/* Of one ID: about each home system once, and about nothing else. */
static const struct pending_page *ask_for(struct query *q, const struct options *o)
{
	struct message m = { .kind = MESSAGE_PENDING_QUERY,
			     .pending_query = { .mc_system_id = o->from, .has_request_id = true, .request_id = o->id } };
	const struct message *answer = query_ask(q, &m, MESSAGE_PENDING_PAGE);
	const struct pending_page *page = answer ? &answer->pending_page : NULL;
	bool good = page && page->n_entries > 0;
	for (size_t i = 0; good && i < page->n_entries; i++) {
		const struct pending_entry *e = &page->entries[i];
		good = memcmp(&e->request.request_id, &o->id, sizeof o->id) == 0 &&
		       (i == 0 || str_cmp(page->entries[i - 1].mc_system_id, e->mc_system_id) < 0) &&
		       (!o->from.ptr || str_eq(o->from, e->mc_system_id));
	}
	if (page && !good)
		query_nonsense(q, "a page about something else");
	return good ? page : NULL;
}

static bool show_entries_json(const struct pending_page *page)
{
	struct json_writer *w = json_writer_new(stdout);
	if (!w)
		return false;
	json_map(w);
	put_end(w, EXIT_ALL_TRUE, NULL);
	json_key(w, "pending");
	json_array(w);
	for (size_t i = 0; i < page->n_entries; i++)
		put_pending(w, &page->entries[i]);
	json_end_array(w);
	json_end_map(w);
	return json_writer_free(w);
}

static bool show_entries(const struct options *o, const struct pending_page *page)
{
	bool shown = true;
	if (o->common.json)
		return show_entries_json(page);
	for (size_t i = 0; shown && i < page->n_entries; i++) {
		if (i > 0)
			putchar('\n');
		shown = show_pending(stdout, &page->entries[i], options_colours(&o->common, stdout));
	}
	if (page->n_entries > 1)
		fputs("acmc: NOTE: several home systems have a request with this ID; --from shows one with its users\n", stderr);
	return shown;
}

/* A partner that is asked by us as well knows the IDs of our requests, too. */
static void note_our_own(struct query *q, const struct options *o)
{
	struct message m = { .kind = MESSAGE_REQUESTS_QUERY,
			     .requests_query = { .has_request_id = true, .request_id = o->id } };
	const struct message *answer = query_ask(q, &m, MESSAGE_REQUESTS_PAGE);
	if (answer && answer->requests_page.n_entries > 0)
		fputs("acmc: NOTE: a request of our own has this ID, too; acmc status shows it\n", stderr);
	if (q->result == HOME_OK)
		q->cause = CAUSE_NO_CAUSE;
}

/* Somebody else's request that waits here; else one of our own. */
static int show(const struct options *o)
{
	struct query q;
	if (!query_begin(&q, &o->common))
		return query_end(&q, true, EXIT_ALL_TRUE);
	const struct pending_page *page = ask_for(&q, o);
	if (page) {
		bool shown = show_entries(o, page);
		note_our_own(&q, o);
		return query_end(&q, shown, EXIT_ALL_TRUE);
	}
	bool elsewhere = q.cause == CAUSE_UNKNOWN_REQUEST || q.cause == CAUSE_ACMC_NOT_AUTHORISED;
	if (q.result != HOME_OK || !elsewhere)
		return query_end(&q, true, EXIT_ALL_TRUE);
	q.cause = CAUSE_NO_CAUSE;
	query_end(&q, true, EXIT_ALL_TRUE);
	return status_of(&o->common, o->id);
}

int show_command(int argc, char **argv)
{
	static const struct argp_option table[] = { FROM_OPTION, { 0 } };
	static const struct argp argp = { table, parse, "ID",
					  "Shows a request that waits for a decision here, with its users; or one of our own, "
					  "as acmc status does." EXIT_CODES("shown", "no such request, or FALSE from a partner"),
					  children, NULL, NULL };
	struct options o = { .takes_id = true };
	options_parse(&argp, argc, argv, &o);
	return show(&o);
}

/* --- decisions --- */

static void print_decision(const struct options *o, const struct decision_result *d)
{
	const struct setup_response *r = &d->response;
	char id[REQUEST_ID_TEXT_SIZE], label[CAUSE_LABEL_SIZE], detail[600];
	request_id_format(o->id, id);
	printf("%s: %s", id, o->approve ? "approved" : "rejected");
	if (o->approve && d->has_response && r->result)
		fputs(" and done", stdout);
	else if (o->approve && d->has_response)
		printf(", %s: %s: %s", r->cause == CAUSE_PARTLY_DONE ? "done in part" : "but could not be done",
		       cause_label(r->cause, label),
		       text_escape(r->detail.len ? r->detail : str_of(cause_text(r->cause)), detail, sizeof detail));
	putchar('\n');
	for (size_t i = 0; o->approve && d->has_response && i < r->n_identities; i++) {
		const struct identity_cause *c = &r->identities[i];
		char service_id[600];
		printf("  %s%s%s: %s\n", text_escape(c->mc_id, detail, sizeof detail), c->mc_service_id.ptr ? " " : "",
		       c->mc_service_id.ptr ? text_escape(c->mc_service_id, service_id, sizeof service_id) : "",
		       cause_label(c->cause, label));
	}
}

static bool put_decision(const struct options *o, const struct decision_result *d, int code)
{
	struct json_writer *w = json_writer_new(stdout);
	if (!w)
		return false;
	json_map(w);
	put_end(w, code, NULL);
	put_id(w, "request_id", o->id);
	put_bool(w, "approved", o->approve);
	if (d->has_response) {
		put_bool(w, "result", d->response.result);
		put_cause(w, d->response.cause);
		put_text(w, "detail", d->response.detail);
	}
	json_end_map(w);
	return json_writer_free(w);
}

/*
 * Which of them is meant cannot be known: each target of a request sees its ID, and can file one of its own under it. That
 * stays so when one of them was decided, or the same command would decide about the other.
 */
static enum home_result ambiguous(struct query *q, const struct pending_page *page)
{
	enum { SHOWN = 5 };
	const char *names = "";
	char system[300];
	for (size_t i = 0; names && i < page->n_entries && i < SHOWN; i++)
		names = arena_printf(q->arena, "%s%s%s", names, i ? ", " : "",
				     text_escape(page->entries[i].mc_system_id, system, sizeof system));
	return home_fail(q->home, HOME_BAD_INPUT, "several home systems have, or had, a request with this ID; waiting now: %s%s; "
			 "say whose with --from", names ? names : "?", page->n_entries > SHOWN ? ", ..." : "");
}

/* Whose request it is. False: it is not known, and why is in the query. */
static bool find_home(struct query *q, const struct options *o, struct str *home)
{
	*home = o->from;
	if (home->ptr)
		return true;
	const struct pending_page *page = ask_for(q, o);
	if (!page)
		return false;
	if (page->n_entries > 1 || page->entries->also_of_others)
		q->result = ambiguous(q, page);
	else if (!(*home = arena_str(q->arena, page->entries->mc_system_id)).ptr)
		q->result = home_fail(q->home, HOME_FAILED, "out of memory");
	return q->result == HOME_OK;
}

static int decide(const struct options *o)
{
	struct query q;
	struct message m = { .kind = MESSAGE_DECISION,
			     .decision = { .request_id = o->id, .approve = o->approve,
					   .reason = o->reason.ptr ? o->reason : STR("") } };
	bool shown = true;
	int code = EXIT_ALL_TRUE;
	if (!query_begin(&q, &o->common) || !find_home(&q, o, &m.decision.mc_system_id)) {
		q.begun = false; /* the failure, as JSON */
		return query_end(&q, true, code);
	}
	const struct message *answer = query_ask(&q, &m, MESSAGE_DECISION_RESULT);
	if (answer) {
		const struct decision_result *d = &answer->decision_result;
		code = o->approve && d->has_response && !d->response.result ? EXIT_SOME_FALSE : EXIT_ALL_TRUE;
		if (o->common.json)
			shown = put_decision(o, d, code);
		else
			print_decision(o, d);
		shown &= fflush(stdout) == 0 && !ferror(stdout);
	} else if (q.result != HOME_OK) {
		fputs("acmc: whether it is decided is not known; acmc show tells\n", stderr);
	}
	q.begun = answer != NULL; /* the failure, as JSON */
	return query_end(&q, shown, code);
}

int approve_command(int argc, char **argv)
{
	static const struct argp_option table[] = {
		WHOSE_OPTION,
		{ "reason", OPT_REASON, "TEXT", 0, "is told to the home system", 1 },
		{ 0 },
	};
	static const struct argp argp = { table, parse, "ID",
					  "Approves a request of another MC system. It is checked once more, done, and answered."
					  EXIT_CODES("approved and done",
						     "no such request waits, or it could not be done"),
					  children, NULL, NULL };
	struct options o = { .takes_id = true, .approve = true };
	options_parse(&argp, argc, argv, &o);
	return decide(&o);
}

int reject_command(int argc, char **argv)
{
	static const struct argp_option table[] = {
		WHOSE_OPTION,
		{ "reason", OPT_REASON, "TEXT", 0, "is told to the home system; must be given", 1 },
		{ 0 },
	};
	static const struct argp argp = { table, parse, "ID",
					  "Rejects a request of another MC system." EXIT_CODES("rejected", "no such request waits"),
					  children, NULL, NULL };
	struct options o = { .takes_id = true, .reason_needed = true };
	options_parse(&argp, argc, argv, &o);
	return decide(&o);
}
