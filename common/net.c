#include "common/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/dns.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/frame.h"
#include "common/net_internal.h"

enum { LINGER_MS = 2000, PACK_BYTES = 16384 };

/* --- the end of a connection --- */

void conn_free(struct conn *c)
{
	if (c->resolving)
		evdns_getaddrinfo_cancel(c->resolving);
	if (c->addresses)
		evutil_freeaddrinfo(c->addresses);
	if (c->raw)
		event_free(c->raw);
	if (c->bev)
		bufferevent_free(c->bev); /* and the SSL object and the socket */
	else if (c->fd >= 0)
		close(c->fd);
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
		snprintf(c->why, sizeof c->why, "%s", why);
	}
	leave_handshakes(c);
	if (c->is_unsent)
		TAILQ_REMOVE(&c->loop->unsent, c, in_unsent);
	c->is_unsent = false;
	if (c->bev) {
		bufferevent_setcb(c->bev, NULL, NULL, NULL, NULL);
		bufferevent_disable(c->bev, EV_READ | EV_WRITE);
	}
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

/* end, why: what ended() is going to say. */
static void linger(struct conn *c, enum conn_end end, const char *why)
{
	evutil_socket_t fd = bufferevent_getfd(c->bev);
	if (c->lingering) /* the last write and the close's flush may come in one turn */
		return;
	c->lingering = c->closing = true;
	c->end = end;
	snprintf(c->why, sizeof c->why, "%s", why);
	if (c->opened)
		tls_shutdown(c->ssl);
	shutdown(fd, SHUT_WR);
	bufferevent_setcb(c->bev, NULL, NULL, NULL, NULL);
	bufferevent_disable(c->bev, EV_READ | EV_WRITE);
	c->raw = event_new(c->loop->base, fd, EV_READ | EV_PERSIST, on_linger, c);
	if (!c->raw || event_add(c->raw, NULL) != 0)
		conn_bury(c, CONN_END_LOCAL, "");
	else
		set_deadline(c, DEADLINE_DRAIN, LINGER_MS);
}

static size_t queued(const struct conn *c)
{
	return evbuffer_get_length(c->out) + evbuffer_get_length(bufferevent_get_output(c->bev));
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
	bufferevent_disable(c->bev, EV_READ);
	set_deadline(c, DEADLINE_DRAIN, c->settings.drain_timeout_ms);
	if (!c->is_unsent) {
		TAILQ_INSERT_TAIL(&c->loop->unsent, c, in_unsent);
		c->is_unsent = true;
		event_active(c->loop->flush, 0, 0);
	}
}

/* --- frames --- */

static void watch(struct conn *c)
{
	if (c->dead || c->closing || !c->opened)
		return;
	if (!c->paused && !c->choked && !c->deaf) {
		bufferevent_enable(c->bev, EV_READ);
		return;
	}
	bufferevent_disable(c->bev, EV_READ);
	clear_deadline(c); /* that a frame does not come while we do not read is not the peer's slowness */
}

static bool listening(const struct conn *c)
{
	return !c->dead && !c->closing && !c->paused && !c->choked && !c->deaf;
}

static void bad_frame(struct conn *c, enum conn_frame_fault fault, uint32_t length)
{
	c->deaf = true;
	clear_deadline(c);
	watch(c);
	c->handlers->bad_frame(c, fault, length, c->context);
}

/* Delivers one frame; false when there is none yet. */
static bool deliver(struct conn *c, struct evbuffer *in)
{
	uint8_t head[FRAME_HEADER_SIZE] = { 0 };
	size_t have = evbuffer_get_length(in);
	uint32_t length = 0;
	evbuffer_copyout(in, head, sizeof head);
	switch (frame_look(head, have, c->max_frame, &length)) {
	case FRAME_INCOMPLETE:
		if (have > 0 && c->deadline != DEADLINE_FRAME)
			set_deadline(c, DEADLINE_FRAME, c->settings.frame_timeout_ms);
		return false;
	case FRAME_EMPTY:
		bad_frame(c, CONN_FRAME_EMPTY, 0);
		return false;
	case FRAME_OVER:
		bad_frame(c, CONN_FRAME_OVER, length);
		return false;
	case FRAME_COMPLETE:
		break;
	}
	const uint8_t *frame = evbuffer_pullup(in, (ev_ssize_t)(FRAME_HEADER_SIZE + length));
	if (!frame) {
		conn_bury(c, CONN_END_FAILED, "out of memory");
		return false;
	}
	clear_deadline(c);
	c->handlers->frame(c, frame + FRAME_HEADER_SIZE, length, c->context);
	evbuffer_drain(in, FRAME_HEADER_SIZE + length);
	return true;
}

static void on_read(struct bufferevent *bev, void *context)
{
	struct conn *c = context;
	while (listening(c) && deliver(c, bufferevent_get_input(bev)))
		;
}

static void read_on(struct conn *c)
{
	watch(c);
	/* What is buffered already does not make the socket readable. */
	if (listening(c) && c->opened)
		bufferevent_trigger(c->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

static void on_write(struct bufferevent *bev, void *context)
{
	struct conn *c = context;
	(void)bev;
	if (c->dead || queued(c) > 0)
		return;
	if (c->closing)
		linger(c, CONN_END_LOCAL, "closed");
	else if (c->choked) {
		c->choked = false;
		read_on(c);
	}
}

enum status conn_send(struct conn *c, const uint8_t *frame, size_t length)
{
	if (c->dead || c->closing || !c->opened)
		return OK; /* whom it was for has gone */
	if (evbuffer_get_length(c->out) == 0 && length < PACK_BYTES &&
	    evbuffer_expand(c->out, PACK_BYTES) != 0)
		return ERR_MEMORY;
	if (evbuffer_add(c->out, frame, length) != 0)
		return ERR_MEMORY;
	if (!c->is_unsent) {
		TAILQ_INSERT_TAIL(&c->loop->unsent, c, in_unsent);
		c->is_unsent = true;
		event_active(c->loop->flush, 0, 0);
	}
	if (queued(c) > c->settings.max_queued_bytes) {
		c->choked = true;
		watch(c);
	}
	return OK;
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
		if (queued(c) == 0 && c->closing)
			linger(c, CONN_END_LOCAL, "closed");
		else if (bufferevent_write_buffer(c->bev, c->out) != 0)
			conn_bury(c, CONN_END_FAILED, "out of memory");
	}
}

void conn_pause(struct conn *c)
{
	c->paused = true;
	watch(c);
}

void conn_resume(struct conn *c)
{
	c->paused = false;
	read_on(c);
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
	watch(c);
}

/* 0: none. libevent puts bare SSL_ERROR_ numbers among OpenSSL's errors. */
static unsigned long openssl_error(const struct conn *c)
{
	unsigned long code = bufferevent_get_openssl_error(c->bev);
	return code > UINT8_MAX ? code : 0;
}

static void on_broken(struct conn *c, short what, int system_error)
{
	struct error e;
	unsigned long code = openssl_error(c);
	if ((what & BEV_EVENT_EOF) && c->opened) {
		bool inside = evbuffer_get_length(bufferevent_get_input(c->bev)) > 0;
		conn_bury(c, inside ? CONN_END_TRUNCATED : CONN_END_CLOSED,
		     inside ? "closed by the other end inside a frame" : "closed by the other end");
		return;
	}
	bool refused = tls_failure(c->ssl, code, &e);
	if (code == 0 && c->opened && system_error)
		error_set(&e, ERR_SYSTEM, "%s", strerror(system_error));
	else if (code == 0 && strcmp(e.text, "the connection broke") == 0)
		error_set(&e, ERR_SYSTEM, "closed by the other end during the TLS handshake");
	if (c->accepted && !c->opened) /* so that our alert arrives */
		linger(c, refused ? CONN_END_REFUSED : CONN_END_FAILED, e.text);
	else
		conn_bury(c, refused ? CONN_END_REFUSED : CONN_END_FAILED, e.text);
}

static void on_event(struct bufferevent *bev, short what, void *context)
{
	struct conn *c = context;
	int system_error = EVUTIL_SOCKET_ERROR();
	(void)bev;
	if (c->dead)
		return;
	if (what & BEV_EVENT_CONNECTED)
		on_opened(c);
	else if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		on_broken(c, what, system_error);
	tls_forget_errors();
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
	struct conn *c = context;
	(void)fd, (void)what;
	switch (c->deadline) {
	case DEADLINE_HANDSHAKE:
		conn_bury(c, CONN_END_TIMEOUT, c->bev ? "the TLS handshake took too long" :
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

bool conn_start_tls(struct conn *c, evutil_socket_t fd, const char *host)
{
	enum bufferevent_ssl_state state = host ? BUFFEREVENT_SSL_CONNECTING :
						  BUFFEREVENT_SSL_ACCEPTING;
	set_options(fd);
	c->ssl = tls_new(c->tls, host);
	if (!c->ssl)
		return false;
	c->bev = bufferevent_openssl_socket_new(c->loop->base, fd, c->ssl, state,
						BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (!c->bev)
		return false;
	c->fd = -1; /* the bufferevent's now */
	bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
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
	c->out = evbuffer_new();
	c->timer = evtimer_new(l->base, on_deadline, c);
	if (!c->out || !c->timer) {
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
