#include "acms/party.h"

#include <stdlib.h>
#include "acms/share.h"
#include "common/log.h"

/* With more than this still to be written to it a connection is not given another answer. */
enum { ANSWERS_QUEUED_MAX = 64 * 1024 };

struct party {
	TAILQ_ENTRY(party) in_server;
	struct server *server;
	enum principal_kind kind;
	struct peer_list peers;  /* those whose turn was longest ago first */
	struct share memory;
	size_t holdings;
	bool reading;            /* one of its queries reads the store */
	bool choosing;
	struct str name;         /* memory follows the struct */
};

static struct str name_of(const struct principal *who)
{
	switch (who->kind) {
	case PRINCIPAL_ACMC:
		return who->acmc->name;
	case PRINCIPAL_SYSTEM:
		return who->partner->mc_system_id;
	case PRINCIPAL_SELF:
		break;
	}
	return STR("");
}

/* By its name, since rules are exchanged. */
static bool is_party(const struct party *y, const struct principal *who)
{
	return y->kind == who->kind && str_eq(y->name, name_of(who));
}

static struct party *party_new(struct server *s, const struct principal *who)
{
	struct str name = name_of(who);
	struct party *y = calloc(1, sizeof *y + name.len);
	if (!y)
		return NULL;
	y->server = s;
	y->kind = who->kind;
	y->name = (struct str){ memcpy(y + 1, name.ptr, name.len), name.len };
	TAILQ_INIT(&y->peers);
	TAILQ_INSERT_TAIL(&s->parties, y, in_server);
	return y;
}

static void free_if_idle(struct party *y)
{
	if (!TAILQ_EMPTY(&y->peers) || y->holdings > 0 || y->reading || y->choosing)
		return;
	TAILQ_REMOVE(&y->server->parties, y, in_server);
	free(y);
}

bool party_join(struct peer *p)
{
	struct party *y, *before = p->party;
	if (before && is_party(before, &p->principal))
		return true;
	TAILQ_FOREACH(y, &p->server->parties, in_server) {
		if (is_party(y, &p->principal))
			break;
	}
	if (!y && !(y = party_new(p->server, &p->principal)))
		return false;
	party_leave(p);
	p->party = y;
	TAILQ_INSERT_TAIL(&y->peers, p, in_party);
	if (y->memory.full)
		conn_pause(p->conn);
	else if (before)
		conn_resume(p->conn);
	party_turn(y);
	return true;
}

void party_leave(struct peer *p)
{
	struct party *y = p->party;
	if (!y)
		return;
	TAILQ_REMOVE(&y->peers, p, in_party);
	p->party = NULL;
	free_if_idle(y);
}

/* --- memory --- */

static void stop_reading(struct party *y)
{
	struct peer *p;
	log_debug("party %s: its share of max_memory_of_requests is full: %zu bytes", LOG_STR(y->name),
		  y->memory.held);
	TAILQ_FOREACH(p, &y->peers, in_party)
		conn_pause(p->conn);
}

static void read_on(struct party *y)
{
	struct peer *p;
	TAILQ_FOREACH(p, &y->peers, in_party)
		conn_resume(p->conn);
}

void holding_begin(struct holding *h, struct party *y, size_t n)
{
	*h = (struct holding){ .party = y };
	y->holdings++;
	holding_grow(h, n);
}

void holding_grow(struct holding *h, size_t n)
{
	struct party *y = h->party;
	struct server *s = y->server;
	h->bytes += n;
	s->memory.most = s->live->config->max_request_bytes;
	if (share_take(&s->memory, &y->memory, n))
		stop_reading(y);
}

void holding_end(struct holding *h)
{
	struct party *y = h->party;
	y->holdings--;
	if (share_give_back(&y->server->memory, &y->memory, h->bytes))
		read_on(y);
	free_if_idle(y);
}

/* --- turns --- */

static bool takes_no_answer(const struct peer *p)
{
	return conn_queued(p->conn) > ANSWERS_QUEUED_MAX;
}

bool party_awaits_peer(const struct peer *p)
{
	return p->n_waiting > 0 && p->n_waiting == p->in_flight && takes_no_answer(p);
}

/* NULL: none may begin now. Whose it is comes last the next time. */
static struct query *next_query(struct party *y)
{
	struct peer *p;
	TAILQ_FOREACH(p, &y->peers, in_party) {
		struct query *q = TAILQ_FIRST(&p->waiting);
		if (!q || takes_no_answer(p) || (y->reading && query_reads(q)))
			continue;
		TAILQ_REMOVE(&y->peers, p, in_party);
		TAILQ_INSERT_TAIL(&y->peers, p, in_party);
		return q;
	}
	return NULL;
}

/* What is answered at once ends its turn in here. */
void party_turn(struct party *y)
{
	struct query *q;
	if (y->choosing)
		return;
	y->choosing = true;
	while ((q = next_query(y))) {
		TAILQ_REMOVE(&q->peer->waiting, q, in_waiting);
		q->waits = false;
		q->peer->n_waiting--;
		peer_restart_idle(q->peer);
		if (query_reads(q)) {
			q->turn = y;
			y->reading = true;
		}
		query_begin(q);
	}
	y->choosing = false;
	free_if_idle(y);
}

void party_enqueue(struct party *y, struct query *q)
{
	struct peer *p = q->peer;
	q->waits = true;
	p->n_waiting++;
	TAILQ_INSERT_TAIL(&p->waiting, q, in_waiting);
	party_turn(y);
	peer_restart_idle(p);
}

void party_end_turn(struct party *y)
{
	y->reading = false;
	party_turn(y);
}
