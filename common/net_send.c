#include <event2/buffer.h>
#include <stdlib.h>
#include "common/net_internal.h"

/* What goes to the other end of a connection, and the bounds of what waits for it. */

struct conn_account {
	struct conn_list conns;
	size_t queued; /* by all of them */
};

size_t conn_queued(const struct conn *c)
{
	return evbuffer_get_length(c->out);
}

/*
 * What we ask others goes out before what we tell those who asked us: they wait for the others' answers, too. And whom we
 * have woken up may take the processor from us.
 */
void conn_flush_later(struct conn *c)
{
	if (c->is_unsent)
		return;
	if (c->accepted)
		TAILQ_INSERT_TAIL(&c->loop->unsent, c, in_unsent);
	else
		TAILQ_INSERT_HEAD(&c->loop->unsent, c, in_unsent);
	c->is_unsent = true;
	event_active(c->loop->flush, 0, 0);
}

/* --- writing --- */

static void drain(struct conn *c, size_t n)
{
	evbuffer_drain(c->out, n);
	if (c->account)
		c->account->queued -= n;
}

/* False: the socket takes no more for now, or never again. */
static bool write_record(struct conn *c)
{
	struct tls_fault fault;
	size_t n = conn_queued(c) < TLS_RECORD_MAX ? conn_queued(c) : TLS_RECORD_MAX;
	const uint8_t *data = evbuffer_pullup(c->out, (ev_ssize_t)n);
	if (!data) {
		conn_bury(c, CONN_END_FAILED, "out of memory");
		return false;
	}
	switch (tls_write(c->ssl, data, n, &n, &fault)) {
	case TLS_IO_DONE:
		drain(c, n);
		return true;
	case TLS_IO_WANTS_READ: /* never, by tls.h */
	case TLS_IO_WANTS_WRITE:
		event_add(c->writable, NULL);
		return false;
	case TLS_IO_ENDED:
		conn_ended_by_peer(c);
		return false;
	case TLS_IO_FAILED:
		conn_failed(c, &fault);
		return false;
	}
	return false;
}

/* At once, since the socket is nearly always ready; what it does not take waits until it is. */
static void write_queued(struct conn *c)
{
	while (conn_queued(c) > 0) {
		if (!write_record(c))
			return;
	}
}

void conn_write(struct conn *c)
{
	write_queued(c);
	if (c->dead || conn_queued(c) > 0)
		return;
	if (c->closing) {
		conn_linger(c, CONN_END_LOCAL, "closed");
		return;
	}
	if (c->choked) {
		c->choked = false;
		conn_read_on(c);
	}
	if (c->handlers->drained)
		c->handlers->drained(c, c->context);
}

/* Everything of one turn goes out together: in TLS records as few as possible. */
void conns_flush(evutil_socket_t fd, short what, void *context)
{
	struct loop *l = context;
	struct conn *c;
	(void)fd, (void)what;
	while ((c = TAILQ_FIRST(&l->unsent))) {
		TAILQ_REMOVE(&l->unsent, c, in_unsent);
		c->is_unsent = false;
		if (!event_pending(c->writable, EV_WRITE, NULL))
			conn_write(c);
	}
}

/* --- bounds --- */

static void leave_account(struct conn *c)
{
	if (!c->account)
		return;
	TAILQ_REMOVE(&c->account->conns, c, in_account);
	c->account->queued -= conn_queued(c);
	c->account = NULL;
}

void conn_drop_output(struct conn *c)
{
	if (!c->out)
		return;
	leave_account(c);
	evbuffer_drain(c->out, conn_queued(c));
	if (c->is_unsent)
		TAILQ_REMOVE(&c->loop->unsent, c, in_unsent);
	c->is_unsent = false;
}

struct conn_account *conn_account_new(void)
{
	struct conn_account *a = calloc(1, sizeof *a);
	if (a)
		TAILQ_INIT(&a->conns);
	return a;
}

void conn_account_free(struct conn_account *a)
{
	struct conn *c;
	while (a && (c = TAILQ_FIRST(&a->conns)))
		leave_account(c);
	free(a);
}

void conn_set_account(struct conn *c, struct conn_account *a)
{
	leave_account(c);
	if (c->dead)
		return;
	c->account = a;
	a->queued += conn_queued(c);
	TAILQ_INSERT_TAIL(&a->conns, c, in_account);
}

static struct conn *longest_queue(const struct conn_account *a)
{
	struct conn *c, *longest = TAILQ_FIRST(&a->conns);
	TAILQ_FOREACH(c, &a->conns, in_account) {
		if (conn_queued(c) > conn_queued(longest))
			longest = c;
	}
	return longest;
}

/* Whose memory this is; all its connections' together. */
static size_t held(const struct conn *c)
{
	return c->account ? c->account->queued : conn_queued(c);
}

/* Who takes what it is sent gets another chance: much may have come in one turn. */
static void keep_to_bound(struct conn *c)
{
	while (held(c) > c->settings.max_queued_bytes) {
		struct conn *longest = c->account ? longest_queue(c->account) : c;
		size_t before = conn_queued(longest);
		write_queued(longest);
		if (!longest->dead && conn_queued(longest) == before)
			conn_bury(longest, CONN_END_FAILED, "it does not read what it is sent");
		if (c->dead)
			return;
	}
}

enum status conn_send(struct conn *c, const uint8_t *frame, size_t length)
{
	if (c->dead || c->closing || !c->opened)
		return OK; /* whom it was for has gone */
	if (conn_queued(c) == 0 && length < TLS_RECORD_MAX && evbuffer_expand(c->out, TLS_RECORD_MAX) != 0)
		return ERR_MEMORY;
	if (evbuffer_add(c->out, frame, length) != 0)
		return ERR_MEMORY;
	if (c->account)
		c->account->queued += length;
	conn_flush_later(c);
	keep_to_bound(c);
	if (!c->dead && (conn_queued(c) > c->settings.pause_at_bytes || held(c) > c->settings.max_queued_bytes / 2)) {
		c->choked = true;
		conn_stop_frame_clock(c);
	}
	return OK;
}

bool conn_is_choked(const struct conn *c)
{
	return c->choked || c->dead;
}
