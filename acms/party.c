#include "acms/party.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "acms/peer_internal.h"
#include "common/clock.h"
#include "common/text.h"

enum {
	ANSWERS_QUEUED_MAX = 64 * 1024, /* with more than this still to be written to it a connection is not given another answer */
	STRANGERS_LINES = 100,
};

static struct party *party_new(const char *name, unsigned most_lines)
{
	struct party *y = calloc(1, sizeof *y + strlen(name) + 1);
	if (!y || !(y->account = conn_account_new())) {
		free(y);
		return NULL;
	}
	y->most_lines = most_lines;
	memcpy(y->name, name, strlen(name) + 1);
	TAILQ_INIT(&y->peers);
	return y;
}

struct party *party_named(struct server *s, const char *name, unsigned most_lines)
{
	struct party *y;
	TAILQ_FOREACH(y, &s->parties, in_all) {
		if (strcmp(y->name, name) == 0)
			return y;
	}
	y = party_new(name, most_lines);
	if (!y)
		return NULL;
	y->server = s;
	TAILQ_INSERT_TAIL(&s->parties, y, in_all);
	return y;
}

struct party *party_of_strangers(struct server *s)
{
	return party_named(s, "those who did not get in", STRANGERS_LINES);
}

void party_name(const struct principal *who, struct str own, char *out, size_t size)
{
	switch (who->kind) {
	case PRINCIPAL_ACMC:
		text_format(out, size, "ACMC %s", LOG_STR(who->acmc->name));
		break;
	case PRINCIPAL_SYSTEM:
		text_format(out, size, "system %s", LOG_STR(who->partner->mc_system_id));
		break;
	case PRINCIPAL_SELF:
		text_format(out, size, "self %s", LOG_STR(own));
		break;
	}
}

void parties_free(struct server *s)
{
	struct party *y;
	while ((y = TAILQ_FIRST(&s->parties))) {
		TAILQ_REMOVE(&s->parties, y, in_all);
		conn_account_free(y->account);
		free(y);
	}
}

/* --- its connections --- */

void party_join(struct party *y, struct peer *p)
{
	struct party *before = p->party;
	if (y == before)
		return;
	party_leave(p);
	p->party = y;
	TAILQ_INSERT_TAIL(&y->peers, p, in_party);
	conn_set_account(p->conn, y->account);
	if (y->memory.full)
		conn_pause(p->conn);
	else if (before && before->memory.full)
		conn_resume(p->conn);
	party_turn(y);
}

void party_leave(struct peer *p)
{
	if (p->party)
		TAILQ_REMOVE(&p->party->peers, p, in_party);
	p->party = NULL;
}

/* --- the log --- */

static void say_left_out(const struct party *y, enum party_lines about, uint64_t n)
{
	static const char *const what[PARTY_LINES] = { "connections", "requests" };
	if (n > 0)
		log_warning("%s: %llu more lines about its %s were left out", y->name, (unsigned long long)n, what[about]);
}

void party_log(struct party *y, enum party_lines about, enum log_level level, const char *format, ...)
{
	char line[2048];
	uint64_t left_out = 0;
	va_list args;
	if (!log_is_on(level))
		return;
	bool allowed = log_limit_allows(&y->lines[about], y->most_lines, clock_mono_ms(), &left_out);
	say_left_out(y, about, left_out);
	if (!allowed)
		return;
	va_start(args, format);
	text_vformat(line, sizeof line, format, args);
	va_end(args);
	log_write(level, "%s", line);
}

void parties_tick(struct server *s)
{
	uint64_t now = clock_mono_ms();
	struct party *y;
	TAILQ_FOREACH(y, &s->parties, in_all) {
		for (int about = 0; about < PARTY_LINES; about++)
			say_left_out(y, (enum party_lines)about, log_limit_missed(&y->lines[about], now));
	}
}

/* --- memory --- */

static void stop_reading(struct party *y)
{
	struct peer *p;
	log_debug("%s: its share of max_memory_of_requests is full: %zu bytes", y->name, y->memory.held);
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
	if (share_give_back(&y->server->memory, &y->memory, h->bytes))
		read_on(y);
}

/* --- turns --- */

/* Until all is written: nobody would say when it is only less. */
static bool takes_no_answer(struct peer *p)
{
	p->unread |= conn_queued(p->conn) > ANSWERS_QUEUED_MAX;
	return p->unread;
}

void party_peer_drained(struct peer *p)
{
	p->unread = false;
	if (p->n_waiting > 0)
		party_turn(p->party);
}

bool party_awaits_peer(struct peer *p)
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
		q->peer->n_waiting--;
		peer_restart_idle(q->peer);
		if (query_reads(q)) {
			q->turn = y;
			y->reading = true;
		}
		query_begin(q);
	}
	y->choosing = false;
}

void party_enqueue(struct party *y, struct query *q)
{
	struct peer *p = q->peer;
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
