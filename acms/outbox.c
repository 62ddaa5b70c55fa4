#include <search.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include "acms/outbox_internal.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/log.h"
#include "common/text.h"

/* --- what is unfinished --- */

/* In a balanced tree: ACMCs choose the IDs, and could choose them so that they collide in a table. */
static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct request_id));
}

struct asked *outbox_find(struct server *s, const struct request_id *id)
{
	char *const *node = tfind(id, &s->asked_by_id, compare_ids);
	return node ? (struct asked *)(*node - offsetof(struct asked, id)) : NULL;
}

struct asked *outbox_add(struct server *s, const struct request_id *id, uint64_t deadline_ms, bool kept,
			 struct arena *arena, const struct setup *setup)
{
	struct asked *a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	a->id = *id;
	char **node = tsearch(&a->id, &s->asked_by_id, compare_ids);
	if (!node || *node != (char *)&a->id) {
		free(a);
		return NULL;
	}
	a->server = s;
	a->deadline_ms = deadline_ms;
	a->kept = kept;
	a->arena = arena;
	if (setup)
		a->setup = *setup;
	s->users_at_hand += a->setup.n_users;
	TAILQ_INIT(&a->deliveries);
	LIST_INIT(&a->watchers);
	TAILQ_INSERT_TAIL(&s->asked, a, in_server);
	return a;
}

void outbox_charge(struct asked *a, struct unfinished_of *acmc, uint64_t bytes)
{
	a->charged = acmc;
	a->charge = bytes;
	unfinished_add(&a->server->unfinished, acmc, bytes);
}

bool outbox_add_target(struct asked *a, struct str target, uint64_t permitted)
{
	struct delivery *d = calloc(1, sizeof *d + target.len + 1);
	if (!d)
		return false;
	char *copy = (char *)(d + 1);
	memcpy(copy, target.ptr, target.len);
	d->target = (struct str){ copy, target.len };
	d->asked = a;
	d->outlook = CAUSE_PARTNER_UNREACHABLE;
	d->permitted = permitted;
	TAILQ_INSERT_TAIL(&a->deliveries, d, in_asked);
	return true;
}

struct delivery *outbox_find_delivery(struct server *s, const struct request_id *id, struct str target)
{
	struct asked *a = outbox_find(s, id);
	struct delivery *d = NULL;
	if (a) {
		TAILQ_FOREACH(d, &a->deliveries, in_asked) {
			if (str_eq(d->target, target))
				break;
		}
	}
	return d;
}

static void watch_free(struct watch *w)
{
	LIST_REMOVE(w, in_asked);
	LIST_REMOVE(w, in_peer);
	peer_watches(w->peer)->n--;
	free(w);
}

void outbox_forget(struct asked *a)
{
	struct watch *w;
	struct delivery *d;
	while ((w = LIST_FIRST(&a->watchers)))
		watch_free(w);
	while ((d = TAILQ_FIRST(&a->deliveries))) {
		TAILQ_REMOVE(&a->deliveries, d, in_asked);
		free(d->told.detail);
		free(d);
	}
	tdelete(&a->id, &a->server->asked_by_id, compare_ids);
	TAILQ_REMOVE(&a->server->asked, a, in_server);
	unfinished_remove(&a->server->unfinished, a->charged, a->charge);
	a->server->users_at_hand -= a->setup.n_users;
	arena_free(a->arena);
	free(a);
}

/*
 * The answer is held against the request, so it stays at hand for as long as one is near; if they are many, as when one
 * home system moves to many partners at once, those that come last are read from the store again instead.
 */
enum { AT_HAND_MAX = 64000 };

static bool is_near_answer(enum delivery_phase phase)
{
	return phase == DELIVERY_PHASE_SENT || phase == DELIVERY_PHASE_ANSWERING;
}

/* What waits for longer is read from the store again. */
static void let_go(struct asked *a)
{
	const struct delivery *d;
	bool roomy = a->server->users_at_hand <= AT_HAND_MAX;
	TAILQ_FOREACH(d, &a->deliveries, in_asked) {
		if (!a->kept || (roomy && is_near_answer(d->phase)))
			return;
	}
	a->server->users_at_hand -= a->setup.n_users;
	arena_free(a->arena);
	a->arena = NULL;
	a->setup = (struct setup){ .n_users = 0 };
	a->acmc = a->certificate = STR_NONE;
}

static void delivery_free(struct delivery *d)
{
	struct asked *a = d->asked;
	if (d->link)
		partner_link_drop(d->link, d);
	TAILQ_REMOVE(&a->deliveries, d, in_asked);
	free(d->told.detail);
	free(d);
	if (TAILQ_EMPTY(&a->deliveries))
		outbox_forget(a);
	else
		let_go(a);
}

/* --- who wants to hear of it --- */

/* Its own requests, or all. */
static bool may_see(const struct peer *p, struct str acmc)
{
	const struct acmc_rule *rule = peer_acmc(p);
	return rule && (rule->sees_all_requests || str_eq(rule->name, acmc));
}

/* NULL: there is none; one that a request of version 1 or a dry run counts by is its own. */
static struct watch *watch_of(struct asked *a, const struct peer *p)
{
	struct watch *w;
	LIST_FOREACH(w, &a->watchers, in_asked) {
		if (w->peer == p && !w->request)
			break;
	}
	return w;
}

enum { WATCHES_MAX = 10000 };

bool outbox_can_watch(struct server *s, struct peer *p, const struct request_id *id)
{
	struct asked *a;
	return peer_watches(p)->n < WATCHES_MAX || ((a = outbox_find(s, id)) && watch_of(a, p));
}

/* NULL: out of memory, or it is not to be seen. */
static struct watch *watch(struct asked *a, struct peer *p, struct str acmc, struct request *request)
{
	struct watch *w;
	if (!may_see(p, acmc))
		return NULL;
	if (!request && (w = watch_of(a, p)))
		return w;
	w = calloc(1, sizeof *w + acmc.len);
	if (!w)
		return NULL;
	memcpy(w + 1, acmc.ptr, acmc.len);
	w->acmc = (struct str){ (const char *)(w + 1), acmc.len };
	w->asked = a;
	w->peer = p;
	w->request = request;
	w->spells_out = true;
	LIST_INSERT_HEAD(&a->watchers, w, in_asked);
	LIST_INSERT_HEAD(&peer_watches(p)->list, w, in_peer);
	peer_watches(p)->n++;
	return w;
}

bool outbox_watch(struct asked *a, struct peer *p, struct request *request)
{
	const struct acmc_rule *asks = peer_acmc(p);
	struct watch *w = asks ? watch(a, p, asks->name, request) : NULL;
	if (!w)
		return false;
	if (w->spells_out && !request)
		outbox_tell_missed(w); /* whoever asks again may not know */
	w->spells_out = false;
	return true;
}

bool outbox_follow(struct asked *a, struct peer *p, struct str acmc)
{
	return watch(a, p, acmc, NULL);
}

/* A request of version 1, or a dry run, that counted as in flight by it is not answered here any more. */
static void watch_end(struct watch *w)
{
	struct request *r = w->request;
	watch_free(w);
	if (r) {
		r->unanswered = 1;
		request_answered(r);
	}
}

void outbox_peer_gone(struct peer *p)
{
	struct watch *w;
	while ((w = LIST_FIRST(&peer_watches(p)->list)))
		watch_end(w);
}

/* Without memory it is not told, and asks again. */
static void tell_spelled_out(struct peer *p, const struct setup *setup, const struct setup_response *response)
{
	struct message m = { .kind = MESSAGE_SETUP_RESPONSE, .response = *response };
	struct arena *a = arena_new(0);
	if (a && setup_spell_out(a, setup, &m.response))
		peer_push(p, &m);
	arena_free(a);
}

void outbox_tell_response(struct asked *a, const struct setup *setup, const struct setup_response *response)
{
	struct message m = { .kind = MESSAGE_SETUP_RESPONSE, .response = *response };
	struct watch *w, *next;
	for (w = LIST_FIRST(&a->watchers); w; w = next) {
		struct request *r = w->request;
		next = LIST_NEXT(w, in_asked);
		if (w->spells_out) {
			tell_spelled_out(w->peer, setup, response);
			continue;
		}
		if (!r) {
			peer_push(w->peer, &m);
			continue;
		}
		request_respond(r, response);
		if (r->unanswered == 1)
			watch_free(w);
		request_answered(r);
	}
}

/* --- steps --- */

void outbox_tell_delayed(struct delivery *d)
{
	if (d->told_delayed || !d->asked->kept)
		return;
	d->told_delayed = true;
	outbox_tell(d, PROCESS_DELAYED, d->asked->deadline_ms, str_of(d->detail));
}

void outbox_nonsense(struct delivery *d, const char *what)
{
	d->nonsense++;
	outbox_event(d, DELIVERY_EV_NONSENSE, what);
}

void outbox_pending(struct delivery *d, uint64_t until_ms, struct str detail)
{
	d->pending_until_ms = until_ms;
	d->attempts = 0;
	outbox_tell(d, PROCESS_PENDING, until_ms, detail);
	outbox_event(d, DELIVERY_EV_PENDING, "");
}

static void rest(struct delivery *d, enum delivery_event why)
{
	uint32_t random = 0;
	crypto_random((uint8_t *)&random, sizeof random);
	uint64_t ms = delivery_rest_ms(why, d->attempts, random);
	d->due_mono_ms = clock_mono_ms() + ms;
	if (ms == 0)
		d->phase = DELIVERY_PHASE_QUEUED;
	else
		outbox_tell_delayed(d);
	if (d->link)
		partner_link_submit(d->link, d);
}

void outbox_event(struct delivery *d, enum delivery_event event, const char *detail)
{
	struct delivery_step step = delivery_step(d->phase, event, d->asked->kept);
	if (detail)
		text_format(d->detail, sizeof d->detail, "%s", LOG_STR(str_of(detail)));
	if (step.next == d->phase && step.action == DELIVERY_DO_NOTHING)
		return;
	bool was_near = is_near_answer(d->phase);
	d->outlook = delivery_outlook(d->outlook, event);
	if (d->link)
		partner_link_drop(d->link, d); /* it comes back where the next phase belongs */
	d->phase = step.next;
	d->by_ourselves = false; /* unless that is what happens now */
	if (event == DELIVERY_EV_NONSENSE && step.action == DELIVERY_DO_REST &&
	    d->nonsense >= DELIVERY_NONSENSE_MAX) {
		d->phase = DELIVERY_PHASE_ANSWERING;
		step.action = DELIVERY_DO_ANSWER;
	}
	if (was_near && !is_near_answer(d->phase))
		let_go(d->asked);
	switch (step.action) {
	case DELIVERY_DO_NOTHING:
		if (d->link && d->phase != DELIVERY_PHASE_ANSWERING)
			partner_link_submit(d->link, d);
		break;
	case DELIVERY_DO_QUEUE:
		if (d->link)
			partner_link_submit(d->link, d);
		break;
	case DELIVERY_DO_REST:
		rest(d, event);
		break;
	case DELIVERY_DO_RECORD:
		break;
	case DELIVERY_DO_ANSWER:
		outbox_answer_ourselves(d, event == DELIVERY_EV_UNSENDABLE ? d->unsendable :
									     &(struct verdict){ .cause = d->outlook });
		break;
	case DELIVERY_DO_FINISH:
		delivery_free(d);
		break;
	}
}

/* --- all of them --- */

/* To the link of its partner, if there is one. A dry run does not change horses: it ends with its own. */
static void link_up(struct delivery *d)
{
	struct partner_link *l = partner_link_find(d->asked->server, d->target), *before = d->link;
	if (l == before || (before && !d->asked->kept))
		return;
	if (before) {
		partner_link_drop(before, d);
		d->link = NULL;
		outbox_event(d, d->phase == DELIVERY_PHASE_LOADING ? DELIVERY_EV_DUE : DELIVERY_EV_LOST,
			     l ? NULL : "the partner is no longer configured");
	}
	d->link = l;
	if (l && d->phase != DELIVERY_PHASE_ANSWERING)
		partner_link_submit(l, d);
}

void outbox_send(struct asked *a)
{
	struct delivery *d, *next;
	struct server *s = a->server;
	struct request_id id = a->id;
	for (d = TAILQ_FIRST(&a->deliveries); d; d = next) {
		bool last = !(next = TAILQ_NEXT(d, in_asked));
		link_up(d);
		if (last)
			break;
	}
	a = outbox_find(s, &id); /* the last answer frees it */
	if (a)
		let_go(a);
}

void outbox_relink(struct server *s)
{
	struct asked *a, *next_asked;
	for (a = TAILQ_FIRST(&s->asked); a; a = next_asked) {
		next_asked = TAILQ_NEXT(a, in_server);
		struct delivery *d, *next;
		for (d = TAILQ_FIRST(&a->deliveries); d; d = next) {
			next = TAILQ_NEXT(d, in_asked);
			link_up(d);
		}
	}
}

static void rejudge_watchers(struct asked *a)
{
	struct watch *w, *next;
	for (w = LIST_FIRST(&a->watchers); w; w = next) {
		next = LIST_NEXT(w, in_asked);
		if (!may_see(w->peer, w->acmc))
			watch_end(w);
	}
}

void outbox_rejudge(struct server *s)
{
	struct asked *a;
	TAILQ_FOREACH(a, &s->asked, in_server) {
		struct delivery *d;
		rejudge_watchers(a);
		TAILQ_FOREACH(d, &a->deliveries, in_asked) {
			if (d->phase == DELIVERY_PHASE_BARRED)
				outbox_event(d, DELIVERY_EV_DUE, NULL);
		}
	}
}

void outbox_tick(struct server *s)
{
	uint64_t now = clock_wall_ms();
	struct asked *a, *next_asked;
	for (a = TAILQ_FIRST(&s->asked); a; a = next_asked) {
		next_asked = TAILQ_NEXT(a, in_server);
		struct delivery *d, *next;
		bool over = a->deadline_ms <= now;
		outbox_tell_late(a);
		for (d = over ? TAILQ_FIRST(&a->deliveries) : NULL; d; d = next) {
			next = TAILQ_NEXT(d, in_asked);
			outbox_event(d, DELIVERY_EV_DEADLINE, NULL);
		}
	}
}

static struct setup_response parting(const struct request *r, struct str target)
{
	struct verdict v = { .cause = CAUSE_PARTNER_TIMEOUT,
			     .detail = "the home ACMS stops; the request goes on when it is back" };
	struct setup_response response;
	setup_refuse(&r->received, target, ORIGIN_HOME_ACMS, &v, &response);
	return response;
}

/* Those of version 1 are owed a response for each target. */
static void part_from(struct asked *a)
{
	struct delivery *d;
	TAILQ_FOREACH(d, &a->deliveries, in_asked) {
		struct watch *w, *next;
		for (w = LIST_FIRST(&a->watchers); w; w = next) {
			struct request *r = w->request;
			next = LIST_NEXT(w, in_asked);
			if (!r)
				continue;
			struct setup_response response = parting(r, d->target);
			request_respond(r, &response);
			if (r->unanswered == 1)
				watch_free(w);
			request_answered(r);
		}
	}
}

void outbox_stop(struct server *s)
{
	struct asked *a, *next_asked;
	for (a = TAILQ_FIRST(&s->asked); a; a = next_asked) {
		next_asked = TAILQ_NEXT(a, in_server);
		struct delivery *d, *next;
		if (a->kept) {
			part_from(a);
			continue;
		}
		for (d = TAILQ_FIRST(&a->deliveries); d; d = next) {
			next = TAILQ_NEXT(d, in_asked);
			outbox_event(d, DELIVERY_EV_STOPPING, NULL);
		}
	}
}

void outbox_free(struct server *s)
{
	struct asked *a;
	while ((a = TAILQ_FIRST(&s->asked)))
		outbox_forget(a);
	unfinished_free(&s->unfinished);
}

/* --- at the start --- */

struct loading {
	struct server *server;
	size_t n;
	bool failed;
};

static bool load_one(void *context, struct str target, struct request_id id,
		     const struct outbox_record *r)
{
	struct loading *l = context;
	struct unfinished_of *acmc = unfinished_of(&l->server->unfinished, r->acmc);
	struct asked *a = outbox_find(l->server, &id);
	if (!a && acmc) {
		a = outbox_add(l->server, &id, r->deadline_ms, true, NULL, NULL);
		if (a)
			outbox_charge(a, acmc, r->bytes);
	}
	l->failed = !a || !outbox_add_target(a, target, 0);
	l->n++;
	return !l->failed;
}

/* That it was sent before is possible, so until the partner says something its outcome is not known. */
static void assume_sent(struct server *s)
{
	struct asked *a;
	TAILQ_FOREACH(a, &s->asked, in_server) {
		struct delivery *d;
		TAILQ_FOREACH(d, &a->deliveries, in_asked)
			d->outlook = CAUSE_PARTNER_CONNECTION_LOST;
	}
}

enum status outbox_load(struct server *s, struct error *e)
{
	struct loading l = { .server = s };
	struct store_txn *t;
	enum status status = store_begin_read(s->store, &t, e);
	if (status != OK)
		return status;
	store_list_outbox(t, load_one, &l);
	status = store_commit(t, e);
	if (status == OK && l.failed)
		status = error_set(e, ERR_MEMORY, "out of memory");
	assume_sent(s);
	if (status == OK && l.n > 0)
		log_info("%zu deliveries are unfinished; they go on", l.n);
	return status;
}
