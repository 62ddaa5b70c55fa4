#include <stddef.h>
#include "acms/partner_link_internal.h"
#include "common/clock.h"
#include "common/exchange.h"
#include "common/frame.h"
#include "common/page.h"

/*
 * What our ACMCs ask a partner. Queries have at most half of the places that the partner gives, so that requests always have the
 * other; for these the ACMCs take turns, whoever asks for how much.
 */

static struct query *query_of(struct turn *place)
{
	return (struct query *)((char *)place - offsetof(struct query, place));
}

/* It is no longer under way, and does not wait either. */
static void forget(struct partner_link *l, struct query *q)
{
	if (q->place.under_way) {
		TAILQ_REMOVE(&l->asked, q, in_link);
		l->n_asked--;
	} else {
		TAILQ_REMOVE(&l->waiting, q, in_link);
	}
	turns_leave(&l->askers, &q->place);
}

static void fail(struct partner_link *l, struct query *q, enum cause cause, const char *detail)
{
	forget(l, q);
	query_refuse(q, cause, detail);
}

void traffic_fail_queries(struct partner_link *l)
{
	struct query *q;
	while ((q = TAILQ_FIRST(&l->asked)))
		fail(l, q, CAUSE_PARTNER_CONNECTION_LOST, l->last_failure);
	while ((q = TAILQ_FIRST(&l->waiting)))
		fail(l, q, CAUSE_PARTNER_UNREACHABLE, l->last_failure);
}

/* Whoever asked has gone: nobody hears the cause. */
static void drop(struct partner_link *l, struct query *q)
{
	fail(l, q, CAUSE_PARTNER_CONNECTION_LOST, NULL);
}

static void drop_unwanted(struct partner_link *l)
{
	struct query *q, *next;
	for (q = TAILQ_FIRST(&l->waiting); q; q = next) {
		next = TAILQ_NEXT(q, in_link);
		if (!q->peer)
			drop(l, q);
	}
}

/* Under way from now on. */
static void send(struct partner_link *l, struct query *q)
{
	struct message m = q->message;
	TAILQ_REMOVE(&l->waiting, q, in_link);
	TAILQ_INSERT_TAIL(&l->asked, q, in_link);
	l->n_asked++;
	if (!q->peer) {
		drop(l, q);
		return;
	}
	q->link_token = ++l->tokens;
	*message_token(&m) = q->link_token;
	l->query_was_last = true;
	exchange_send(l->conn, &m);
}

/* A partner that takes one at a time gets a request after a query, if there is one. */
static bool has_place(const struct partner_link *l)
{
	uint32_t most = l->announced.max_requests_in_flight;
	bool in_turn = most > 1 || !l->query_was_last || TAILQ_EMPTY(&l->lists[DELIVERY_PHASE_QUEUED]);
	return in_turn && traffic_ready(l) && traffic_room(l) > 0 && l->n_asked < (most + 1) / 2;
}

void traffic_ask(struct partner_link *l)
{
	struct turn *next;
	while (has_place(l) && (next = turns_next(&l->askers)))
		send(l, query_of(next));
}

static bool waits(struct partner_link *l, struct query *q, struct str acmc)
{
	if (turns_wait(&l->askers, acmc, &q->place))
		return true;
	drop_unwanted(l);
	return turns_wait(&l->askers, acmc, &q->place);
}

void partner_link_ask(struct partner_link *l, struct query *q, struct str acmc)
{
	if (!link_is_up(l->state)) {
		query_refuse(q, CAUSE_PARTNER_UNREACHABLE, l->last_failure);
	} else if (l->version < 2) {
		query_refuse(q, CAUSE_PARTNER_VERSION, NULL);
	} else if (message_size(&q->message) - FRAME_HEADER_SIZE > traffic_most_bytes(l)) {
		query_refuse(q, CAUSE_PARTNER_LIMIT, "ask about fewer users at a time");
	} else if (!waits(l, q, acmc)) {
		query_refuse(q, CAUSE_TOO_MANY_IN_FLIGHT, "too many queries of this ACMC wait for the partner");
	} else {
		q->asked_mono_ms = clock_mono_ms();
		TAILQ_INSERT_TAIL(&l->waiting, q, in_link);
		traffic_ask(l);
	}
}

void traffic_page(struct partner_link *l, struct message *m)
{
	bool users = m->kind == MESSAGE_USERS_PAGE;
	struct page *page = users ? &m->users_page.page : &m->digest_page.page;
	struct query *q;
	TAILQ_FOREACH(q, &l->asked, in_link) {
		if (q->link_token == page->token)
			break;
	}
	if (!q) {
		partner_link_bear(l, "a page");
		return;
	}
	l->unasked = 0;
	const char *fault = page_fault(&q->message, m);
	forget(l, q);
	if (fault) {
		query_refuse(q, CAUSE_PARTNER_PROTOCOL_ERROR, fault);
		return;
	}
	partner_link_useful(l);
	page->token = *message_token(&q->message);
	query_reply(q, m);
}

static void check_list(struct partner_link *l, struct query_list *list, uint64_t now_ms, uint64_t patience_ms)
{
	struct query *q, *next;
	for (q = TAILQ_FIRST(list); q; q = next) {
		next = TAILQ_NEXT(q, in_link);
		if (now_ms - q->asked_mono_ms >= patience_ms)
			fail(l, q, CAUSE_PARTNER_TIMEOUT, NULL);
	}
}

void traffic_check_queries(struct partner_link *l, uint64_t now_ms, uint64_t patience_ms)
{
	drop_unwanted(l);
	check_list(l, &l->asked, now_ms, patience_ms);
	check_list(l, &l->waiting, now_ms, patience_ms);
	traffic_ask(l);
}
