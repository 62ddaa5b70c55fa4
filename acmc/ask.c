#include "acmc/ask.h"

#include "common/text.h"

/*
 * What is on its way to the server, at most, so that neither end holds more of a large command: a dozen requests of a
 * thousand users, of which the server commits some while the others come. With more of them it takes requests first and
 * passes answers on later.
 */
enum { WINDOW_BYTES = 3 * 1024 * 1024 };

struct ask {
	struct home *h;
	struct parts *parts;
	struct answers *answers;
	const struct watcher *watcher;
	bool no_wait;
	size_t next_part, in_flight, bytes_in_flight;
	bool *in_flight_parts;
	unsigned attempts; /* to reconnect, since anything new came */
};

static bool settled(const struct ask *a, size_t part)
{
	return answers_part_complete(a->answers, part) || (a->no_wait && a->answers->accepted[part].yes);
}

static bool all_settled(const struct ask *a)
{
	if (!a->no_wait)
		return a->answers->missing == 0;
	for (size_t i = 0; i < a->parts->n; i++) {
		if (!settled(a, i))
			return false;
	}
	return true;
}

/* --- sending --- */

/* why: of the temporary file; NULL: it was memory. */
static enum home_result not_kept(struct ask *a, const char *why)
{
	if (why)
		return home_fail(a->h, HOME_FAILED, "temporary file: %s", why);
	return home_fail(a->h, HOME_FAILED, "out of memory");
}

static enum home_result send_part(struct ask *a, size_t part)
{
	struct message m = { .kind = MESSAGE_SETUP_REQUEST };
	struct arena *work = arena_new(0);
	bool good = work && parts_request(a->parts, part, work, &m.request);
	if (good)
		home_send(a->h, &m);
	arena_free(work);
	return good ? home_push(a->h) : not_kept(a, stock_failed(a->parts->users));
}

static bool window_open(const struct ask *a)
{
	return a->in_flight < home_limits(a->h)->max_requests_in_flight && a->bytes_in_flight < WINDOW_BYTES;
}

/*
 * As many as the server takes at a time, of those that nothing is known of or that are waited for. It begins with the
 * first while the others are made.
 */
static enum home_result send_parts(struct ask *a)
{
	enum home_result result = HOME_OK;
	for (; result == HOME_OK && a->next_part < a->parts->n && window_open(a); a->next_part++) {
		if (settled(a, a->next_part))
			continue;
		result = send_part(a, a->next_part);
		a->in_flight_parts[a->next_part] = true;
		a->in_flight++;
		a->bytes_in_flight += a->parts->items[a->next_part].encoded;
	}
	return result;
}

/* The part is on the server's disk, or answered: it takes another in its place. */
static void land(struct ask *a, size_t part)
{
	if (a->in_flight_parts && a->in_flight_parts[part]) {
		a->in_flight_parts[part] = false;
		a->in_flight--;
		a->bytes_in_flight -= a->parts->items[part].encoded;
	}
}

/* --- what comes --- */

static enum home_result on_response(struct ask *a, const struct setup_response *r)
{
	size_t part;
	bool complete;
	char system[300], text[400];
	const char *fault = answers_fault(a->answers, r);
	if (fault) {
		text_format(text, sizeof text, "%s (for %s)", fault,
			    text_escape(r->mc_system_id, system, sizeof system));
		return home_nonsense(a->h, text);
	}
	if (!answers_take(a->answers, r, &part, &complete))
		return HOME_OK;
	if (answers_failed(a->answers))
		return not_kept(a, answers_failed(a->answers));
	a->attempts = 0;
	if (complete)
		land(a, part);
	if (a->watcher->answered)
		a->watcher->answered(a->watcher->context, a->answers, part, r);
	return HOME_OK;
}

static void on_indication(struct ask *a, const struct process_indication *m)
{
	size_t part;
	bool news;
	if (!answers_indicate(a->answers, m, &part, &news))
		return;
	if (m->state == PROCESS_ACCEPTED)
		land(a, part);
	if (news && a->watcher->indicated)
		a->watcher->indicated(a->watcher->context, a->answers, part, m);
}

/* An answer is due while something is in flight: what is accepted may take days. */
static enum home_result take_one(struct ask *a)
{
	const struct message *m = NULL;
	enum home_result result = home_receive(a->h, a->in_flight > 0, &m);
	if (result != HOME_OK)
		return result;
	if (m->kind == MESSAGE_SETUP_RESPONSE)
		return on_response(a, &m->response);
	if (m->kind == MESSAGE_PROCESS_INDICATION)
		on_indication(a, &m->indication);
	return HOME_OK;
}

static void tell_lost(void *context, const char *why, unsigned seconds)
{
	const struct watcher *w = context;
	if (w->lost)
		w->lost(w->context, why, seconds);
}

/* --- the whole --- */

static enum home_result start(struct ask *a, struct request_id base, struct arena *arena)
{
	const struct limits *server = home_limits(a->h);
	unsigned too_large;
	a->parts->version = home_version(a->h);
	if (a->no_wait || parts_need_version_2(a->parts)) {
		char what[64];
		text_format(what, sizeof what, "acmc %s%s", operation_name((int)a->parts->operation),
			    a->parts->operation == OPERATION_SETUP ? " with these options" : "");
		enum home_result result = home_needs_version_2(a->h, what);
		if (result != HOME_OK)
			return result;
	}
	if (a->parts->n_targets > server->max_mc_system_ids)
		return home_fail(a->h, HOME_BAD_INPUT, "the server takes %u MC systems in one request, not %zu",
				 server->max_mc_system_ids, a->parts->n_targets);
	if (!parts_split(a->parts, base, server, home_own_limits(), &too_large)) {
		if (!too_large)
			return not_kept(a, stock_failed(a->parts->users));
		return home_fail(a->h, HOME_BAD_INPUT,
				 "line %u: this user has more, or longer, MC service IDs than the server takes",
				 too_large);
	}
	a->in_flight_parts = arena_array(arena, a->parts->n, sizeof *a->in_flight_parts);
	if (!a->in_flight_parts || !answers_init(a->answers, arena, a->parts, home_system(a->h)))
		return home_fail(a->h, HOME_FAILED, "out of memory");
	if (a->watcher->started)
		a->watcher->started(a->watcher->context, a->answers);
	return HOME_OK;
}

/* On a new connection everything unanswered is sent again: the same ID has the effect of one request. */
static enum home_result start_again(struct ask *a)
{
	enum home_result result = home_reconnect(a->h, &a->attempts, tell_lost, (void *)a->watcher);
	if (result == HOME_OK)
		result = home_needs_version_2(a->h, "going on");
	a->next_part = a->in_flight = a->bytes_in_flight = 0;
	memset(a->in_flight_parts, 0, a->parts->n * sizeof *a->in_flight_parts);
	return result;
}

enum home_result ask_run(struct home *h, struct parts *parts, struct request_id base, bool no_wait,
			 struct arena *arena, struct answers *answers, const struct watcher *watcher)
{
	struct ask a = { .h = h, .parts = parts, .answers = answers, .watcher = watcher, .no_wait = no_wait };
	*answers = (struct answers){ .parts = parts, .missing = 1 }; /* until it is known what is */
	enum home_result result = home_connect(h);
	if (result == HOME_OK)
		result = start(&a, base, arena);
	while (result == HOME_OK && !all_settled(&a)) {
		result = send_parts(&a);
		if (result == HOME_OK)
			result = take_one(&a);
		if (result == HOME_LOST && answers->n_accepted > 0)
			result = start_again(&a);
	}
	return result;
}

/* Until it is connected and has asked, or that is in vain. */
static enum home_result ask_anew(struct ask *a, enum home_result (*again)(void *context), void *context)
{
	for (;;) {
		enum home_result result = home_reconnect(a->h, &a->attempts, tell_lost, (void *)a->watcher);
		if (result == HOME_OK)
			result = again(context);
		else
			return result;
		if (result != HOME_LOST)
			return result;
	}
}

enum home_result ask_wait(struct home *h, struct answers *answers, const struct watcher *watcher,
			  enum home_result (*again)(void *context), void *context)
{
	struct ask a = { .h = h, .parts = (struct parts *)answers->parts, .answers = answers,
			 .watcher = watcher };
	enum home_result result = HOME_OK;
	while (result == HOME_OK && answers->missing > 0) {
		result = take_one(&a);
		if (result == HOME_LOST)
			result = ask_anew(&a, again, context);
	}
	return result;
}
