#include "acmc/track.h"

#include <string.h>

enum { PARTS_MAX = 100000, TARGETS_MAX = 1000 };

void track_init(struct track *t, struct arena *arena, struct request_id id, struct str home)
{
	*t = (struct track){ .arena = arena, .asked = id };
	t->parts.arena = arena;
	t->answers = (struct answers){ .arena = arena, .parts = &t->parts, .missing = 1,
				       .home = arena_str(arena, home) };
}

void track_free(struct track *t)
{
	answers_free(&t->answers);
	stock_free(&t->stock);
}

const char *track_failed(const struct track *t)
{
	const char *why = answers_failed(&t->answers);
	return why ? why : stock_failed(&t->stock);
}

struct request_id track_base(const struct track *t)
{
	return t->begun ? t->parts.items[0].id : t->asked;
}

void track_again(struct track *t)
{
	t->next = 0;
	t->n_unknown = 0;
}

bool track_next(struct track *t, struct requests_query *out)
{
	if (t->begun && t->next == t->parts.n)
		return false;
	*out = (struct requests_query){ .has_request_id = true,
					.request_id = t->begun ? t->parts.items[t->next].id : t->asked };
	return true;
}

/* --- the first page tells how many parts and which targets there are --- */

static bool copy_targets(struct track *t, const struct request_entry *e)
{
	struct str *targets = arena_array(t->arena, e->n_deliveries, sizeof *targets);
	for (size_t i = 0; targets && i < e->n_deliveries; i++) {
		targets[i] = arena_str(t->arena, e->deliveries[i].mc_system_id);
		if (!targets[i].ptr)
			return false;
	}
	t->parts.targets = targets;
	t->parts.n_targets = e->n_deliveries;
	return targets != NULL;
}

static const char *begin(struct track *t, const struct request_entry *e)
{
	const struct setup *r = &e->request;
	size_t n = r->parts ? r->parts : 1;
	struct str home = t->answers.home;
	if (n > PARTS_MAX || e->n_deliveries > TARGETS_MAX || e->n_deliveries == 0 ||
	    (r->parts && r->part >= r->parts))
		return "a request of impossible size";
	struct request_id base = r->parts ? request_id_part(t->asked, (uint32_t)0 - r->part) : t->asked;
	t->parts.items = arena_array(t->arena, n, sizeof *t->parts.items);
	if (!t->parts.items || !copy_targets(t, e))
		return "more than there is memory for";
	t->parts.n = n;
	for (size_t i = 0; i < n; i++)
		t->parts.items[i].id = request_id_part(base, (uint32_t)i);
	if (!answers_init(&t->answers, t->arena, &t->parts, home))
		return "more than there is memory for";
	t->parts.users = &t->stock;
	t->parts.operation = r->operation;
	t->parts.best_effort = r->best_effort;
	t->acmc = arena_str(t->arena, e->acmc);
	t->accepted_ms = e->accepted_ms;
	t->begun = true;
	return NULL;
}

/* --- each page --- */

static const char *take_delivery(struct track *t, size_t part, const struct delivery_entry *d)
{
	size_t target = answers_target(&t->answers, d->mc_system_id);
	bool complete;
	if (target == t->parts.n_targets)
		return "a request with other partners than the rest of its command";
	struct answer *x = answers_at(&t->answers, part, target);
	if (d->state == DELIVERY_ANSWERED) {
		const char *fault = d->has_response ? answers_fault(&t->answers, &d->response) :
						      "an answer without a response";
		size_t whose = part;
		if (fault)
			return fault;
		if (x->given)
			return NULL;
		if (!answers_take(&t->answers, &d->response, &whose, &complete) || whose != part || !x->given)
			return "a response of another request";
		x->answered_ms = d->answered_ms;
	}
	x->delay = (struct delay){ d->state, d->attempts, d->until_ms, arena_str(t->arena, d->detail) };
	return NULL;
}

/* Once, of each part. */
static void take_users(struct track *t, struct part *part, const struct setup *r)
{
	if (part->n_users)
		return;
	part->offset = stock_bytes(&t->stock);
	part->n_users = r->n_users;
	part->n_ids = r->n_service_ids;
	part->validity = r->validity;
	for (size_t i = 0; i < r->n_users; i++)
		stock_add(&t->stock, &r->users[i]);
	part->packed = (size_t)(stock_bytes(&t->stock) - part->offset);
}

const char *track_take(struct track *t, const struct requests_page *page)
{
	const struct request_entry *e = page->entries;
	struct request_id wanted = t->begun ? t->parts.items[t->next].id : t->asked;
	if (t->begun && page->page.cause == CAUSE_UNKNOWN_REQUEST) {
		t->n_unknown++; /* its acceptance was never reached, or its answers are forgotten */
		t->next++;
		return NULL;
	}
	if (page->n_entries != 1 || memcmp(&e->request.request_id, &wanted, sizeof wanted) != 0)
		return "a page about something else";
	if (e->request.n_users == 0 || e->request.n_users != e->users)
		return "a page without the request that it is about";
	const char *fault = t->begun ? NULL : begin(t, e);
	size_t part = fault ? 0 : parts_find(&t->parts, &wanted);
	if (fault)
		return fault;
	take_users(t, &t->parts.items[part], &e->request);
	answers_accept(&t->answers, part, e->request.expires_ms);
	for (size_t i = 0; !fault && i < e->n_deliveries; i++)
		fault = take_delivery(t, part, &e->deliveries[i]);
	if (part == t->next)
		t->next++;
	return fault;
}
