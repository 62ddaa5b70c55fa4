#include "acms/peer_internal.h"
#include "common/exchange.h"
#include "common/log.h"

/* What a peer has asked: requests and queries, from taking them until they are answered. */

/* Version 1 says everything again. */
static void respond_spelled_out(struct request *r, struct message *m)
{
	struct arena *a = arena_new(0);
	struct setup_response *response = &m->response;
	if (!a || !setup_spell_out(a, &r->setup, response))
		setup_refuse(&r->received, response->mc_system_id, response->origin,
			     &(struct verdict){ .cause = CAUSE_STORE_UNAVAILABLE, .detail = "out of memory: ask again" },
			     response);
	peer_send(r->peer, m);
	arena_free(a);
}

void request_respond(struct request *r, const struct setup_response *response)
{
	struct message m = { .kind = MESSAGE_SETUP_RESPONSE, .response = *response };
	char id[REQUEST_ID_TEXT_SIZE];
	request_id_format(r->received.request_id, id);
	party_log(r->holding.party, PARTY_REQUESTS, LOG_LEVEL_INFO, "request %s of %s for %s: %s%s%s, %zu users", id,
		  r->peer ? r->peer->name : r->holding.party->name,
		  LOG_STR(response->mc_system_id), response->result ? "TRUE" : "FALSE",
		  response->result ? "" : " ", response->result ? "" : cause_name(response->cause),
		  r->received.n_mc_ids);
	if (r->peer && r->peer->version < 2 && response->as_requested)
		respond_spelled_out(r, &m);
	else if (r->peer)
		peer_send(r->peer, &m);
}

static void request_leave_peer(struct request *r)
{
	struct peer *p = r->peer;
	if (!p)
		return;
	TAILQ_REMOVE(&p->requests, r, in_peer);
	p->in_flight--;
	r->peer = NULL;
	peer_restart_idle(p);
	peer_close_if_drained(p);
}

static void query_leave_peer(struct query *q)
{
	struct peer *p = q->peer;
	if (!p)
		return;
	TAILQ_REMOVE(&p->queries, q, in_peer);
	p->in_flight--;
	q->peer = NULL;
	peer_restart_idle(p);
	peer_close_if_drained(p);
}

static void query_end(struct query *q)
{
	struct server *s = q->server;
	struct party *turn = q->turn;
	query_leave_peer(q);
	s->requests--;
	holding_end(&q->holding);
	arena_free(q->arena);
	if (turn)
		party_end_turn(turn);
	server_check_stopped(s);
}

void query_reply(struct query *q, const struct message *m)
{
	if (q->peer && !peer_takes(q->peer, m)) {
		query_refuse(q, CAUSE_TOO_MANY_IDENTITIES, "the answer is longer than a frame to you may be");
		return;
	}
	if (q->peer)
		exchange_send(q->peer->conn, m);
	query_end(q);
}

void query_refuse(struct query *q, enum cause cause, const char *detail)
{
	struct page page = { .token = *message_token(&q->message), .cause = cause, .detail = str_of(detail) };
	struct message m = { .kind = MESSAGE_REQUESTS_PAGE };
	switch (q->message.kind) {
	case MESSAGE_USERS_QUERY:
		m = (struct message){ .kind = MESSAGE_USERS_PAGE, .users_page = { .page = page } };
		break;
	case MESSAGE_DIGEST_QUERY:
		m = (struct message){ .kind = MESSAGE_DIGEST_PAGE, .digest_page = { .page = page } };
		break;
	case MESSAGE_PENDING_QUERY:
		m = (struct message){ .kind = MESSAGE_PENDING_PAGE, .pending_page = { .page = page } };
		break;
	case MESSAGE_DECISION:
		m = (struct message){ .kind = MESSAGE_DECISION_RESULT,
				      .decision_result = { .page = page } };
		break;
	case MESSAGE_REQUESTS_QUERY:
	case MESSAGE_HELLO:
	case MESSAGE_SETUP_REQUEST:
	case MESSAGE_SETUP_RESPONSE:
	case MESSAGE_PING:
	case MESSAGE_PONG:
	case MESSAGE_CLOSE:
	case MESSAGE_PROCESS_INDICATION:
	case MESSAGE_REQUESTS_PAGE:
	case MESSAGE_USERS_PAGE:
	case MESSAGE_DIGEST_PAGE:
	case MESSAGE_PENDING_PAGE:
	case MESSAGE_DECISION_RESULT:
		m.requests_page.page = page;
		break;
	}
	query_reply(q, &m);
}

static void request_end(struct request *r)
{
	struct server *s = r->server;
	request_leave_peer(r);
	s->requests--;
	holding_end(&r->holding);
	arena_free(r->arena);
	server_check_stopped(s);
}

void request_answered(struct request *r)
{
	if (--r->unanswered == 0 && !r->being_taken)
		request_end(r);
}

void request_holds(struct request *r, const struct arena *a)
{
	holding_grow(&r->holding, arena_size(a));
}

static void answer_at_once(struct request *r, const struct verdict *v)
{
	struct setup_response response;
	enum origin origin = r->peer->principal.kind == PRINCIPAL_SYSTEM ? ORIGIN_PARTNER_ACMS :
									   ORIGIN_HOME_ACMS;
	setup_refuse(&r->received, r->server->live->config->mc_system_id, origin, v, &response);
	request_respond(r, &response);
	request_answered(r);
}

static void count_taken(struct peer *p, struct holding *h, const struct arena *a)
{
	p->in_flight++;
	p->server->requests++;
	loop_timer_cancel(p->idle);
	holding_begin(h, p->party, arena_size(a));
}

static void dispatch_request(struct request *r)
{
	const struct peer *p = r->peer;
	if (p->in_flight > p->limits.max_requests_in_flight)
		answer_at_once(r, &(struct verdict){ .cause = CAUSE_TOO_MANY_IN_FLIGHT });
	else if (p->principal.kind == PRINCIPAL_ACMC)
		home_setup(r, p->principal.acmc);
	else if (p->principal.kind == PRINCIPAL_SYSTEM)
		partner_setup(r, p->principal.partner);
	else
		answer_at_once(r, &(struct verdict){ .cause = CAUSE_ACMC_NOT_AUTHORISED });
}

/* The request lives in the arena that its message was decoded into; what its checks put there is counted, too. */
void peer_take_request(struct peer *p, struct arena *a, const struct setup_request *received)
{
	struct request *r = arena_alloc(a, sizeof *r);
	if (!r) {
		arena_free(a);
		peer_refuse(p, CAUSE_MALFORMED_MESSAGE, "the request takes too much memory");
		return;
	}
	size_t decoded = arena_size(a);
	r->server = p->server;
	r->peer = p;
	r->arena = a;
	r->received = *received;
	r->received.has_unknown_fields |= p->version < 2 && setup_request_needs_version_2(received);
	r->unanswered = 1;
	r->being_taken = true;
	TAILQ_INSERT_TAIL(&p->requests, r, in_peer);
	count_taken(p, &r->holding, a);
	dispatch_request(r);
	r->being_taken = false;
	if (r->unanswered == 0)
		request_end(r);
	else
		holding_grow(&r->holding, arena_size(a) - decoded);
}

/* What a partner is asked about, and a decision, is not. */
bool query_reads(const struct query *q)
{
	bool acmc = q->peer->principal.kind == PRINCIPAL_ACMC;
	switch (q->message.kind) {
	case MESSAGE_USERS_QUERY:
		return !acmc || q->message.users_query.believed;
	case MESSAGE_DIGEST_QUERY:
		return !acmc || q->message.digest_query.believed;
	case MESSAGE_REQUESTS_QUERY:
	case MESSAGE_PENDING_QUERY:
		return true;
	case MESSAGE_DECISION:
	case MESSAGE_HELLO:
	case MESSAGE_SETUP_REQUEST:
	case MESSAGE_SETUP_RESPONSE:
	case MESSAGE_PING:
	case MESSAGE_PONG:
	case MESSAGE_CLOSE:
	case MESSAGE_PROCESS_INDICATION:
	case MESSAGE_REQUESTS_PAGE:
	case MESSAGE_USERS_PAGE:
	case MESSAGE_DIGEST_PAGE:
	case MESSAGE_PENDING_PAGE:
	case MESSAGE_DECISION_RESULT:
		break;
	}
	return false;
}

/* An ACMC asks its own ACMS anything; a home system asks about its users. */
void query_begin(struct query *q)
{
	const struct principal *who = &q->peer->principal;
	enum message_kind kind = q->message.kind;
	bool held = kind == MESSAGE_USERS_QUERY || kind == MESSAGE_DIGEST_QUERY;
	if (who->kind == PRINCIPAL_SYSTEM && held)
		partner_held_query(q, who->partner);
	else if (who->kind != PRINCIPAL_ACMC)
		query_refuse(q, CAUSE_ACMC_NOT_AUTHORISED, NULL);
	else if (held)
		home_held_query(q, who->acmc);
	else if (kind == MESSAGE_REQUESTS_QUERY)
		requests_query(q, who->acmc);
	else if (kind == MESSAGE_PENDING_QUERY)
		approval_query(q, who->acmc);
	else
		approval_decide(q, who->acmc);
}

/* So that none that waits for its turn is large. */
static bool names_too_many(const struct query *q)
{
	return q->message.kind == MESSAGE_USERS_QUERY &&
	       q->message.users_query.n_mc_ids > q->peer->limits.max_mc_ids;
}

void peer_take_query(struct peer *p, struct arena *a, const struct message *m)
{
	struct query *q = arena_alloc(a, sizeof *q);
	if (!q) {
		arena_free(a);
		peer_refuse(p, CAUSE_MALFORMED_MESSAGE, "the query takes too much memory");
		return;
	}
	q->server = p->server;
	q->peer = p;
	q->arena = a;
	q->message = *m;
	TAILQ_INSERT_TAIL(&p->queries, q, in_peer);
	count_taken(p, &q->holding, a);
	if (p->in_flight > p->limits.max_requests_in_flight)
		query_refuse(q, CAUSE_TOO_MANY_IN_FLIGHT, NULL);
	else if (names_too_many(q))
		query_refuse(q, CAUSE_TOO_MANY_IDENTITIES, "it names more than max_mc_ids");
	else if (m->kind == MESSAGE_DECISION)
		query_begin(q);
	else
		party_enqueue(p->party, q);
}

void peer_drop_waiting(struct peer *p)
{
	struct query *q;
	while ((q = TAILQ_FIRST(&p->waiting))) {
		TAILQ_REMOVE(&p->waiting, q, in_waiting);
		p->n_waiting--;
		query_end(q);
	}
}

void peer_drop_requests(struct peer *p)
{
	struct request *r;
	struct query *q;
	while ((r = TAILQ_FIRST(&p->requests))) {
		TAILQ_REMOVE(&p->requests, r, in_peer);
		r->peer = NULL;
	}
	peer_drop_waiting(p);
	while ((q = TAILQ_FIRST(&p->queries))) {
		TAILQ_REMOVE(&p->queries, q, in_peer);
		q->peer = NULL;
	}
}
