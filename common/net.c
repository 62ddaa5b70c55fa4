#include "common/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/dns.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/clock.h"
#include "common/frame.h"
#include "common/net_internal.h"
#include "common/text.h"

enum { LINGER_MS = 2000, RECORDS_A_TURN = 16, FRAMES_A_TURN = 64 };

/* --- the end of a connection --- */

void conn_free(struct conn *c)
{
	if (c->resolving)
		evdns_getaddrinfo_cancel(c->resolving);
	if (c->addresses)
		evutil_freeaddrinfo(c->addresses);
	if (c->raw)
		event_free(c->raw);
	if (c->readable)
		event_free(c->readable);
	if (c->writable)
		event_free(c->writable);
	tls_free(c->ssl);
	if (c->fd >= 0)
		close(c->fd);
	conn_drop_output(c);
	if (c->in)
		evbuffer_free(c->in);
	if (c->out)
		evbuffer_free(c->out);
	if (c->timer)
		event_free(c->timer);
	free(c->host);
	free(c);
}

void conns_reap(evutil_socket_t fd, short what, void *context)
{
	struct loop *l = context;
	struct conn *c;
	(void)fd, (void)what;
	while ((c = TAILQ_FIRST(&l->graveyard))) {
		TAILQ_REMOVE(&l->graveyard, c, in_all);
		l->n_accepted -= c->accepted;
		if (c->handlers && c->context)
			c->handlers->ended(c, c->end, c->why, c->context);
		conn_free(c);
	}
	listeners_resume(l);
}

static void stop_io(struct conn *c)
{
	if (c->readable)
		event_del(c->readable);
	if (c->writable)
		event_del(c->writable);
}

static void leave_handshakes(struct conn *c)
{
	if (c->in_handshake)
		TAILQ_REMOVE(&c->loop->handshakes, c, in_handshakes);
	c->in_handshake = false;
}

void conn_bury(struct conn *c, enum conn_end end, const char *why)
{
	if (c->dead)
		return;
	c->dead = true;
	if (!c->lingering) { /* its end was told already */
		c->end = end;
		text_format(c->why, sizeof c->why, "%s", why);
	}
	leave_handshakes(c);
	conn_drop_output(c);
	stop_io(c);
	if (c->raw)
		event_del(c->raw);
	event_del(c->timer);
	TAILQ_REMOVE(&c->loop->all, c, in_all);
	TAILQ_INSERT_TAIL(&c->loop->graveyard, c, in_all);
	event_active(c->loop->reap, 0, 0);
}

void conn_kill(struct conn *c, const char *why)
{
	conn_bury(c, CONN_END_FAILED, why);
}

static void set_deadline(struct conn *c, enum deadline deadline, uint64_t ms)
{
	struct timeval tv = in_ms(ms);
	c->deadline = deadline;
	event_add(c->timer, &tv);
}

static void clear_deadline(struct conn *c)
{
	if (c->deadline == DEADLINE_NONE)
		return;
	c->deadline = DEADLINE_NONE;
	event_del(c->timer);
}

/* What the peer still sends is read and thrown away: closing on top of it would reset the connection, and the peer
 * might never see our last message. */
static void on_linger(evutil_socket_t fd, short what, void *context)
{
	struct conn *c = context;
	char scrap[16384];
	(void)what;
	for (int i = 0; i < 16; i++) {
		ssize_t n = read(fd, scrap, sizeof scrap);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			conn_bury(c, CONN_END_LOCAL, "");
			return;
		}
	}
}

void conn_linger(struct conn *c, enum conn_end end, const char *why)
{
	if (c->lingering) /* the last write and the close's flush may come in one turn */
		return;
	c->lingering = c->closing = true;
	c->end = end;
	text_format(c->why, sizeof c->why, "%s", why);
	if (c->opened)
		tls_shutdown(c->ssl);
	shutdown(c->fd, SHUT_WR);
	stop_io(c);
	c->raw = event_new(c->loop->base, c->fd, EV_READ | EV_PERSIST, on_linger, c);
	if (!c->raw || event_add(c->raw, NULL) != 0)
		conn_bury(c, CONN_END_LOCAL, "");
	else
		set_deadline(c, DEADLINE_DRAIN, LINGER_MS);
}

void conn_stop_frame_clock(struct conn *c)
{
	if (c->deadline == DEADLINE_FRAME)
		clear_deadline(c);
}

void conn_close(struct conn *c)
{
	if (c->closing || c->dead)
		return;
	c->closing = true;
	if (!c->opened) {
		conn_bury(c, CONN_END_LOCAL, "closed before it was up");
		return;
	}
	set_deadline(c, DEADLINE_DRAIN, c->settings.drain_timeout_ms);
	conn_flush_later(c);
}

/* --- what comes from the other end --- */

void conn_failed(struct conn *c, const struct tls_fault *fault)
{
	struct error e;
	bool refused = tls_failure(c->ssl, fault->code, &e);
	if (fault->code == 0 && c->opened && fault->system_error)
		error_set(&e, ERR_SYSTEM, "%s", strerror(fault->system_error));
	else if (fault->code == 0 && strcmp(e.text, "the connection broke") == 0)
		error_set(&e, ERR_SYSTEM, "closed by the other end during the TLS handshake");
	if (c->accepted && !c->opened) /* so that our alert arrives */
		conn_linger(c, refused ? CONN_END_REFUSED : CONN_END_FAILED, e.text);
	else
		conn_bury(c, refused ? CONN_END_REFUSED : CONN_END_FAILED, e.text);
}

void conn_ended_by_peer(struct conn *c)
{
	bool inside = evbuffer_get_length(c->in) > 0;
	if (c->opened)
		conn_bury(c, inside ? CONN_END_TRUNCATED : CONN_END_CLOSED,
			  inside ? "closed by the other end inside a frame" : "closed by the other end");
	else
		conn_failed(c, &(struct tls_fault){ 0 });
}

static bool listening(const struct conn *c)
{
	bool choked = c->choked && !c->settings.reads_when_choked;
	return !c->dead && !c->closing && !c->paused && !choked && !c->deaf;
}

static void bad_frame(struct conn *c, enum conn_frame_fault fault, uint32_t length)
{
	c->deaf = true;
	conn_stop_frame_clock(c);
	c->handlers->bad_frame(c, fault, length, c->context);
}

/* Whether a whole frame is there: have bytes, of which the first are at head. */
static bool frame_is_there(struct conn *c, const uint8_t *head, size_t have, uint32_t *length)
{
	switch (frame_look(head, have, c->max_frame, length)) {
	case FRAME_INCOMPLETE:
		if (have > 0 && c->deadline != DEADLINE_FRAME)
			set_deadline(c, DEADLINE_FRAME, c->settings.frame_timeout_ms);
		return false;
	case FRAME_EMPTY:
		bad_frame(c, CONN_FRAME_EMPTY, 0);
		return false;
	case FRAME_OVER:
		bad_frame(c, CONN_FRAME_OVER, *length);
		return false;
	case FRAME_COMPLETE:
		break;
	}
	clear_deadline(c);
	return true;
}

/* Thousands of small frames fit into what is read in a turn: others want to be heard, too. */
static bool may_deliver(const struct conn *c)
{
	return listening(c) && c->frames < FRAMES_A_TURN;
}

/* Delivers the frames that are whole in data; the number of bytes that they took. */
static size_t deliver(struct conn *c, const uint8_t *data, size_t n)
{
	size_t at = 0;
	uint32_t length = 0;
	while (may_deliver(c) && frame_is_there(c, data + at, n - at, &length)) {
		c->frames++;
		c->handlers->frame(c, data + at + FRAME_HEADER_SIZE, length, c->context);
		at += FRAME_HEADER_SIZE + length;
	}
	return at;
}

static void deliver_kept(struct conn *c)
{
	uint8_t head[FRAME_HEADER_SIZE] = { 0 };
	size_t have;
	uint32_t length = 0;
	while (may_deliver(c) && (have = evbuffer_get_length(c->in)) > 0) {
		evbuffer_copyout(c->in, head, sizeof head);
		if (!frame_is_there(c, head, have, &length))
			return;
		const uint8_t *frame = evbuffer_pullup(c->in, (ev_ssize_t)(FRAME_HEADER_SIZE + length));
		if (!frame) {
			conn_bury(c, CONN_END_FAILED, "out of memory");
			return;
		}
		c->frames++;
		c->handlers->frame(c, frame + FRAME_HEADER_SIZE, length, c->context);
		conn_release(c, FRAME_HEADER_SIZE + length);
	}
}

/* Whole frames are delivered from where they are; only what is left is kept. */
static void take_in(struct conn *c, const uint8_t *data, size_t n)
{
	bool continued = evbuffer_get_length(c->in) > 0;
	size_t taken = continued ? 0 : deliver(c, data, n);
	if (taken < n && !conn_keep(c, data + taken, n - taken))
		conn_bury(c, CONN_END_FAILED, "out of memory");
	else if (continued)
		deliver_kept(c);
}

/* What has come stays there meanwhile, and must not wake us. */
static void wait_to_write(struct conn *c)
{
	event_del(c->readable);
	event_add(c->writable, NULL);
}

/*
 * Nobody needs more records without data than these in such a time, and each keeps the loop from others for as long as a
 * message does.
 */
enum { IDLE_RECORDS_MAX = 32, IDLE_RECORDS_MS = 10000 };

static bool is_flooded(struct conn *c, unsigned idle_records)
{
	uint64_t now = idle_records ? clock_mono_ms() : 0;
	if (idle_records == 0)
		return false;
	if (now >= c->idle_records_until) {
		c->idle_records_until = now + IDLE_RECORDS_MS;
		c->idle_records = 0;
	}
	c->idle_records += idle_records;
	return c->idle_records > IDLE_RECORDS_MAX;
}

/* False: there is no more for now. */
static bool read_record(struct conn *c)
{
	struct tls_fault fault;
	size_t n;
	enum tls_io result = tls_read(c->ssl, c->loop->record, TLS_RECORD_MAX, &n, &fault);
	unsigned idle_records = tls_idle_records(c->ssl);
	if (is_flooded(c, idle_records)) {
		conn_bury(c, CONN_END_FAILED, "too many TLS records without data (KeyUpdate, renegotiation)");
		return false;
	}
	switch (result) {
	case TLS_IO_DONE:
		take_in(c, c->loop->record, n);
		return tls_holds_input(c->ssl);
	case TLS_IO_WANTS_READ:
		return idle_records > 0;
	case TLS_IO_WANTS_WRITE:
		c->read_wants_write = true;
		wait_to_write(c);
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

/* One turn's worth: others want to be heard, too. */
static void receive(struct conn *c)
{
	bool more = true;
	c->frames = 0;
	deliver_kept(c);
	for (int i = 0; more && i < RECORDS_A_TURN && may_deliver(c); i++)
		more = read_record(c);
	if (listening(c) && (more || c->frames == FRAMES_A_TURN))
		event_active(c->readable, EV_READ, 0);
}

void conn_read_on(struct conn *c)
{
	if (!listening(c) || !c->opened)
		return;
	event_add(c->readable, NULL);
	if (evbuffer_get_length(c->in) > 0 || tls_holds_input(c->ssl))
		event_active(c->readable, EV_READ, 0);
}

/* --- pausing --- */

void conn_pause(struct conn *c)
{
	c->paused = true;
	conn_stop_frame_clock(c);
}

void conn_resume(struct conn *c)
{
	c->paused = false;
	conn_read_on(c);
}

/* --- TLS --- */

static void on_opened(struct conn *c)
{
	leave_handshakes(c);
	if (!tls_protocol_agreed(c->ssl)) {
		conn_bury(c, CONN_END_FAILED, "the other end does not speak acx/1 (ALPN)");
		return;
	}
	clear_deadline(c);
	c->opened = true;
	c->handlers->opened(c, c->context);
	if (!listening(c))
		return;
	event_add(c->readable, NULL);
	receive(c);
}

static void shake_hands(struct conn *c)
{
	struct tls_fault fault;
	switch (tls_handshake(c->ssl, &fault)) {
	case TLS_IO_DONE:
		on_opened(c);
		break;
	case TLS_IO_WANTS_READ:
		event_add(c->readable, NULL);
		break;
	case TLS_IO_WANTS_WRITE:
		wait_to_write(c);
		break;
	case TLS_IO_ENDED:
		conn_ended_by_peer(c);
		break;
	case TLS_IO_FAILED:
		conn_failed(c, &fault);
		break;
	}
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
	struct conn *c = context;
	(void)fd, (void)what;
	if (!c->opened)
		shake_hands(c);
	else if (listening(c))
		receive(c);
	else /* only now, since most pauses are over before anything comes */
		event_del(c->readable);
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
	struct conn *c = context;
	(void)fd, (void)what;
	if (!c->opened) {
		shake_hands(c);
		return;
	}
	conn_write(c);
	if (c->read_wants_write && !c->dead) {
		c->read_wants_write = false;
		conn_read_on(c);
	}
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
	struct conn *c = context;
	(void)fd, (void)what;
	switch (c->deadline) {
	case DEADLINE_HANDSHAKE:
		conn_bury(c, CONN_END_TIMEOUT, c->ssl ? "the TLS handshake took too long" :
						   "connecting took too long");
		break;
	case DEADLINE_FRAME:
		bad_frame(c, CONN_FRAME_SLOW, 0);
		break;
	case DEADLINE_DRAIN:
		conn_bury(c, CONN_END_LOCAL, "closed; the other end did not take everything in time");
		break;
	case DEADLINE_NONE:
		break;
	}
}

static void set_options(evutil_socket_t fd)
{
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

bool conn_start_tls(struct conn *c, const char *host)
{
	set_options(c->fd);
	c->ssl = tls_new(c->tls, host);
	if (!c->ssl || !tls_attach(c->ssl, c->fd, !host))
		return false;
	c->readable = event_new(c->loop->base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(c->loop->base, c->fd, EV_WRITE, on_writable, c);
	if (!c->readable || !c->writable || event_add(c->readable, NULL) != 0)
		return false;
	if (host) /* the client speaks first */
		event_active(c->writable, EV_WRITE, 0);
	return true;
}

struct conn *conn_new(struct loop *l, struct tls_context *tls,
			     const struct conn_settings *settings,
			     const struct conn_handlers *handlers, void *context)
{
	struct conn *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->loop = l;
	c->tls = tls;
	c->fd = -1;
	c->settings = *settings;
	c->handlers = handlers;
	c->context = context;
	c->max_frame = FRAME_HELLO_MAX;
	c->in = evbuffer_new();
	c->out = evbuffer_new();
	c->timer = evtimer_new(l->base, on_deadline, c);
	if (!c->in || !c->out || !c->timer) {
		conn_free(c);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&l->all, c, in_all);
	set_deadline(c, DEADLINE_HANDSHAKE, settings->handshake_timeout_ms);
	return c;
}

void conn_format_address(char out[80], const struct sockaddr *sa)
{
	char host[INET6_ADDRSTRLEN] = "?";
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
		snprintf(out, 80, "%s:%u", host, ntohs(in->sin_port));
	} else {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)sa;
		inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
		bool mapped = IN6_IS_ADDR_V4MAPPED(&in->sin6_addr);
		snprintf(out, 80, mapped ? "%s:%u" : "[%s]:%u", mapped ? host + 7 : host,
			 ntohs(in->sin6_port));
	}
}

void conn_set_max_frame(struct conn *c, uint32_t bytes)
{
	c->max_frame = bytes;
}

struct ssl_st *conn_ssl(struct conn *c)
{
	return c->ssl;
}

const char *conn_address(const struct conn *c)
{
	return c->address;
}

bool conn_is_open(const struct conn *c)
{
	return c->opened && !c->closing && !c->dead;
}
