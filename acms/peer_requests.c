#include "acms/peer_internal.h"
#include "common/exchange.h"
#include "common/log.h"

/* What a peer has asked: requests and queries, from taking them until they are answered. */

/* Requests together may hold so much before their senders have to wait. */
static const size_t max_held_bytes = (size_t)64 << 20;
/* About how much a decoded request takes for each byte of its frame. */
static const size_t held_per_byte = 4;

static void resume_peers(struct server *s)
{
	struct peer *p;
	if (s->paused_peers == 0 || s->held_bytes > max_held_bytes / 2)
		return;
	s->paused_peers = 0;
	TAILQ_FOREACH(p, &s->peers, in_server) {
		if (p->paused)
			conn_resume(p->conn);
		p->paused = false;
	}
}

void request_respond(struct request *r, const struct setup_response *response)
{
	struct message m = { .kind = MESSAGE_SETUP_RESPONSE, .response = *response };
	char id[REQUEST_ID_TEXT_SIZE];
	request_id_format(r->received.request_id, id);
	caller_log(r->caller, CALLER_REQUESTS, LOG_LEVEL_INFO, "request %s of %s for %s: %s%s%s, %zu users", id,
		  r->peer ? r->peer->name : r->caller->name,
		  LOG_STR(response->mc_system_id), response->result ? "TRUE" : "FALSE",
		  response->result ? "" : " ", response->result ? "" : cause_name(response->cause),
		  r->received.n_users);
	if (r->peer)
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

void query_reply(struct query *q, const struct message *m)
{
	struct server *s = q->server;
	if (q->peer && !peer_takes(q->peer, m)) {
		query_refuse(q, CAUSE_TOO_MANY_IDENTITIES, "the answer is longer than a frame to you may be");
		return;
	}
	if (q->peer)
		exchange_send(q->peer->conn, m);
	query_leave_peer(q);
	s->requests--;
	s->held_bytes -= q->held_bytes;
	arena_free(q->arena);
	resume_peers(s);
	server_check_stopped(s);
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

void request_answered(struct request *r)
{
	struct server *s = r->server;
	if (--r->unanswered > 0)
		return;
	request_leave_peer(r);
	s->requests--;
	s->held_bytes -= r->held_bytes;
	arena_free(r->arena);
	resume_peers(s);
	server_check_stopped(s);
}

static void answer_at_once(struct request *r, const struct verdict *v)
{
	struct setup_response response;
	enum origin origin = r->peer->principal.kind == PRINCIPAL_SYSTEM ? ORIGIN_PARTNER_ACMS :
									   ORIGIN_HOME_ACMS;
	setup_to_response(&r->received, r->server->live->config->mc_system_id, origin, v, &response);
	request_respond(r, &response);
	request_answered(r);
}

static void count_taken(struct peer *p, size_t held_bytes)
{
	struct server *s = p->server;
	p->in_flight++;
	s->requests++;
	s->held_bytes += held_bytes;
	loop_timer_cancel(p->idle);
	if (s->held_bytes > max_held_bytes && !p->paused) {
		p->paused = true;
		s->paused_peers++;
		conn_pause(p->conn);
	}
}

/* The request lives in the arena that its message was decoded into. */
void peer_take_request(struct peer *p, struct arena *a, const struct setup *received,
			 size_t frame_bytes)
{
	struct server *s = p->server;
	struct request *r = arena_alloc(a, sizeof *r);
	if (!r) {
		arena_free(a);
		peer_refuse(p, CAUSE_MALFORMED_MESSAGE, "the request takes too much memory");
		return;
	}
	r->server = s;
	r->peer = p;
	r->caller = p->caller;
	r->arena = a;
	r->received = *received;
	r->held_bytes = frame_bytes * held_per_byte;
	r->unanswered = 1;
	TAILQ_INSERT_TAIL(&p->requests, r, in_peer);
	count_taken(p, r->held_bytes);
	if (p->in_flight > p->limits.max_requests_in_flight)
		answer_at_once(r, &(struct verdict){ .cause = CAUSE_TOO_MANY_IN_FLIGHT });
	else if (p->principal.kind == PRINCIPAL_ACMC)
		home_setup(r, p->principal.acmc);
	else if (p->principal.kind == PRINCIPAL_SYSTEM)
		partner_setup(r, p->principal.partner);
	else
		answer_at_once(r, &(struct verdict){ .cause = CAUSE_ACMC_NOT_AUTHORISED });
}

/* An ACMC asks its own ACMS anything; a home system asks about its users. */
static void dispatch_query(struct query *q, const struct principal *who)
{
	enum message_kind kind = q->message.kind;
	bool held = kind == MESSAGE_USERS_QUERY || kind == MESSAGE_DIGEST_QUERY;
	if (q->peer->in_flight > q->peer->limits.max_requests_in_flight)
		query_refuse(q, CAUSE_TOO_MANY_IN_FLIGHT, NULL);
	else if (who->kind == PRINCIPAL_SYSTEM && held)
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

void peer_take_query(struct peer *p, struct arena *a, const struct message *m, size_t frame_bytes)
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
	q->held_bytes = frame_bytes * held_per_byte;
	TAILQ_INSERT_TAIL(&p->queries, q, in_peer);
	count_taken(p, q->held_bytes);
	dispatch_query(q, &p->principal);
}
