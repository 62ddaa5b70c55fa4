#include "common/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>
#include <event2/util.h>
#include "common/frame.h"
#include "common/log.h"

TAILQ_HEAD(conn_list, conn);
TAILQ_HEAD(listener_list, listener);

struct loop {
	struct event_base *base;
	struct evdns_base *dns;
	struct conn_list all;       /* alive */
	struct conn_list handshakes;/* accepted, TLS not up, the longest waiting first */
	struct conn_list unsent;    /* with frames that were queued in this turn */
	struct conn_list graveyard; /* ended; freed after the turn */
	struct event *reap, *flush;
	struct listener_list listeners;
	size_t n_accepted;
	struct event *signals[8];
	size_t n_signals;
};

struct loop_timer {
	struct event *event;
	loop_callback *fire;
	void *context;
};

struct loop_wake {
	int fd;
	struct event *event;
	loop_callback *woken;
	void *context;
};

struct signal_handler {
	loop_callback *caught;
	void *context;
};

/* What the connection's one timer stands for. */
enum deadline { DEADLINE_NONE, DEADLINE_HANDSHAKE, DEADLINE_FRAME, DEADLINE_DRAIN };

struct conn {
	TAILQ_ENTRY(conn) in_all;   /* or in the graveyard */
	TAILQ_ENTRY(conn) in_handshakes;
	TAILQ_ENTRY(conn) in_unsent;
	struct loop *loop;
	struct tls_context *tls;    /* until the SSL object is made */
	struct bufferevent *bev;    /* NULL while TCP connects */
	struct ssl_st *ssl;
	struct evbuffer *out;       /* frames of this turn, packed */
	struct event *timer;
	enum deadline deadline;
	struct conn_settings settings;
	const struct conn_handlers *handlers;
	void *context;
	uint32_t max_frame;
	bool accepted;              /* by a listener */
	bool in_handshake;          /* is in loop->handshakes */
	bool is_unsent;             /* is in loop->unsent */
	bool opened, closing, lingering, paused, choked, deaf, dead;
	struct event *raw;          /* on the socket: connecting, or lingering */
	int fd;                     /* while raw has it */
	struct evutil_addrinfo *addresses, *next_address;
	struct evdns_getaddrinfo_request *resolving;
	char *host;
	uint16_t port;
	char address[80];
	enum conn_end end;
	char why[400];
};

enum { LINGER_MS = 2000, ACCEPTS_A_TURN = 64, LISTEN_BACKLOG = 1024, PACK_BYTES = 16384 };

static struct timeval in_ms(uint64_t ms)
{
	return (struct timeval){ (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };
}

/* --- loop --- */

static void on_reap(evutil_socket_t fd, short what, void *context);
static void on_flush(evutil_socket_t fd, short what, void *context);

enum status loop_new(struct loop **out, struct error *e)
{
	struct loop *l = calloc(1, sizeof *l);
	if (!l)
		return error_set(e, ERR_MEMORY, "out of memory");
	TAILQ_INIT(&l->all);
	TAILQ_INIT(&l->handshakes);
	TAILQ_INIT(&l->unsent);
	TAILQ_INIT(&l->graveyard);
	TAILQ_INIT(&l->listeners);
	struct event_config *config = event_config_new();
	if (config) {
		event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
		l->base = event_base_new_with_config(config);
		event_config_free(config);
	}
	if (l->base) {
		l->reap = event_new(l->base, -1, 0, on_reap, l);
		l->flush = event_new(l->base, -1, 0, on_flush, l);
	}
	if (!l->reap || !l->flush) {
		loop_free(l);
		return error_set(e, ERR_SYSTEM, "the event loop cannot be made");
	}
	*out = l;
	return OK;
}

static void conn_free(struct conn *c);

void loop_free(struct loop *l)
{
	struct conn *c;
	if (!l)
		return;
	while ((c = TAILQ_FIRST(&l->all))) {
		TAILQ_REMOVE(&l->all, c, in_all);
		conn_free(c);
	}
	while ((c = TAILQ_FIRST(&l->graveyard))) {
		TAILQ_REMOVE(&l->graveyard, c, in_all);
		conn_free(c);
	}
	for (size_t i = 0; i < l->n_signals; i++) {
		free(event_get_callback_arg(l->signals[i]));
		event_free(l->signals[i]);
	}
	if (l->dns)
		evdns_base_free(l->dns, 0);
	if (l->reap)
		event_free(l->reap);
	if (l->flush)
		event_free(l->flush);
	if (l->base)
		event_base_free(l->base);
	free(l);
}

enum status loop_run(struct loop *l)
{
	return event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY) < 0 ? ERR_SYSTEM : OK;
}

void loop_stop(struct loop *l)
{
	event_base_loopbreak(l->base);
}

/* --- timers, wakes, signals --- */

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct loop_timer *t = context;
	(void)fd, (void)what;
	t->fire(t->context);
}

struct loop_timer *loop_timer_new(struct loop *l, loop_callback *fire, void *context)
{
	struct loop_timer *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	t->fire = fire;
	t->context = context;
	t->event = evtimer_new(l->base, on_timer, t);
	if (!t->event) {
		free(t);
		return NULL;
	}
	return t;
}

void loop_timer_set(struct loop_timer *t, uint64_t after_ms)
{
	struct timeval tv = in_ms(after_ms);
	event_add(t->event, &tv);
}

void loop_timer_cancel(struct loop_timer *t)
{
	event_del(t->event);
}

void loop_timer_free(struct loop_timer *t)
{
	if (!t)
		return;
	event_free(t->event);
	free(t);
}

static void on_wake(evutil_socket_t fd, short what, void *context)
{
	struct loop_wake *w = context;
	uint64_t count;
	(void)what;
	if (read(fd, &count, sizeof count) == sizeof count)
		w->woken(w->context);
}

enum status loop_wake_new(struct loop *l, loop_callback *woken, void *context,
			  struct loop_wake **out, struct error *e)
{
	struct loop_wake *w = calloc(1, sizeof *w);
	if (!w)
		return error_set(e, ERR_MEMORY, "out of memory");
	w->woken = woken;
	w->context = context;
	w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->fd >= 0)
		w->event = event_new(l->base, w->fd, EV_READ | EV_PERSIST, on_wake, w);
	if (!w->event || event_add(w->event, NULL) != 0) {
		loop_wake_free(w);
		return error_set(e, ERR_SYSTEM, "eventfd: %s", strerror(errno));
	}
	*out = w;
	return OK;
}

void loop_wake(struct loop_wake *w)
{
	uint64_t one = 1;
	if (write(w->fd, &one, sizeof one) < 0)
		return; /* the counter is full: it is awake */
}

void loop_wake_free(struct loop_wake *w)
{
	if (!w)
		return;
	if (w->event)
		event_free(w->event);
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}

static void on_signal(evutil_socket_t fd, short what, void *context)
{
	struct signal_handler *h = context;
	(void)fd, (void)what;
	h->caught(h->context);
}

enum status loop_signal(struct loop *l, int signal_number, loop_callback *caught, void *context,
			struct error *e)
{
	struct signal_handler *h = malloc(sizeof *h);
	struct event *event = NULL;
	if (h && l->n_signals < sizeof l->signals / sizeof *l->signals) {
		*h = (struct signal_handler){ caught, context };
		event = evsignal_new(l->base, signal_number, on_signal, h);
	}
	if (!event || event_add(event, NULL) != 0) {
		if (event)
			event_free(event);
		free(h);
		return error_set(e, ERR_SYSTEM, "signal %d cannot be handled", signal_number);
	}
	l->signals[l->n_signals++] = event;
	return OK;
}

/* --- the end of a connection --- */

static void listeners_resume(struct loop *l);

static void conn_free(struct conn *c)
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

static void on_reap(evutil_socket_t fd, short what, void *context)
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

/* From here on nothing happens to it any more but being told and freed. */
static void bury(struct conn *c, enum conn_end end, const char *why)
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
	bury(c, CONN_END_FAILED, why);
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
			bury(c, CONN_END_LOCAL, "");
			return;
		}
	}
}

/* end, why: what ended() is going to say. */
static void linger(struct conn *c, enum conn_end end, const char *why)
{
	evutil_socket_t fd = bufferevent_getfd(c->bev);
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
		bury(c, CONN_END_LOCAL, "");
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
		bury(c, CONN_END_LOCAL, "closed before it was up");
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
	if (c->paused || c->choked || c->deaf)
		bufferevent_disable(c->bev, EV_READ);
	else
		bufferevent_enable(c->bev, EV_READ);
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
		bury(c, CONN_END_FAILED, "out of memory");
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
		conn_resume(c);
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
static void on_flush(evutil_socket_t fd, short what, void *context)
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
			bury(c, CONN_END_FAILED, "out of memory");
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
	watch(c);
	/* What is buffered already does not make the socket readable. */
	if (listening(c) && c->opened)
		bufferevent_trigger(c->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

/* --- TLS --- */

static void on_opened(struct conn *c)
{
	leave_handshakes(c);
	if (!tls_protocol_agreed(c->ssl)) {
		bury(c, CONN_END_FAILED, "the other end does not speak acx/1 (ALPN)");
		return;
	}
	clear_deadline(c);
	c->opened = true;
	c->handlers->opened(c, c->context);
	watch(c);
}

static void on_broken(struct conn *c, short what, int system_error)
{
	struct error e;
	unsigned long code = bufferevent_get_openssl_error(c->bev);
	if ((what & BEV_EVENT_EOF) && c->opened) {
		bool inside = evbuffer_get_length(bufferevent_get_input(c->bev)) > 0;
		bury(c, inside ? CONN_END_TRUNCATED : CONN_END_CLOSED,
		     inside ? "closed by the other end inside a frame" : "closed by the other end");
		return;
	}
	bool refused = tls_failure(c->ssl, code, &e);
	if (code == 0 && c->opened && system_error)
		error_set(&e, ERR_SYSTEM, "%s", strerror(system_error));
	else if (code == 0 && strcmp(e.text, "the connection broke") == 0)
		error_set(&e, ERR_SYSTEM, "closed by the other end during the TLS handshake");
	if (c->accepted && !c->opened) /* so that our alert arrives */
		linger(c, CONN_END_FAILED, e.text);
	else
		bury(c, refused ? CONN_END_REFUSED : CONN_END_FAILED, e.text);
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
		bury(c, CONN_END_TIMEOUT, c->bev ? "the TLS handshake took too long" :
						   "connecting took too long");
		break;
	case DEADLINE_FRAME:
		bad_frame(c, CONN_FRAME_SLOW, 0);
		break;
	case DEADLINE_DRAIN:
		bury(c, CONN_END_LOCAL, "closed; the other end did not take everything in time");
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

/* The socket is connected: TLS begins. */
static bool start_tls(struct conn *c, evutil_socket_t fd, const char *host)
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

static struct conn *conn_new(struct loop *l, struct tls_context *tls,
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

static void format_address(char out[80], const struct sockaddr *sa)
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

/* --- connecting --- */

static void try_next_address(struct conn *c, int last_error);

static void on_connected(evutil_socket_t fd, short what, void *context)
{
	struct conn *c = context;
	int code = 0;
	socklen_t n = sizeof code;
	(void)what;
	event_free(c->raw);
	c->raw = NULL;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &n);
	if (code != 0) {
		close(fd);
		c->fd = -1;
		try_next_address(c, code);
	} else if (!start_tls(c, fd, c->host)) {
		bury(c, CONN_END_FAILED, "out of memory");
	}
}

static bool try_address(struct conn *c, const struct evutil_addrinfo *to)
{
	c->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return false;
	format_address(c->address, to->ai_addr);
	if (connect(c->fd, to->ai_addr, to->ai_addrlen) == 0 || errno == EINPROGRESS) {
		c->raw = event_new(c->loop->base, c->fd, EV_WRITE, on_connected, c);
		if (c->raw && event_add(c->raw, NULL) == 0)
			return true;
		errno = ENOMEM;
	}
	int code = errno;
	close(c->fd);
	c->fd = -1;
	errno = code;
	return false;
}

static void try_next_address(struct conn *c, int last_error)
{
	char why[400];
	while (c->next_address) {
		const struct evutil_addrinfo *to = c->next_address;
		c->next_address = to->ai_next;
		if (try_address(c, to))
			return;
		last_error = errno;
	}
	snprintf(why, sizeof why, "%s port %u: %s", c->host, c->port, strerror(last_error));
	bury(c, CONN_END_FAILED, why);
}

static void on_resolved(int result, struct evutil_addrinfo *addresses, void *context)
{
	struct conn *c = context;
	char why[400];
	if (result == EVUTIL_EAI_CANCEL)
		return; /* c is being freed */
	c->resolving = NULL;
	if (result != 0) {
		snprintf(why, sizeof why, "%s: %s", c->host, evutil_gai_strerror(result));
		bury(c, CONN_END_FAILED, why);
		return;
	}
	c->addresses = c->next_address = addresses;
	if (!c->dead)
		try_next_address(c, EADDRNOTAVAIL);
}

static struct evdns_base *resolver(struct loop *l)
{
	if (l->dns)
		return l->dns;
	l->dns = evdns_base_new(l->base, EVDNS_BASE_INITIALIZE_NAMESERVERS |
						 EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (!l->dns) { /* no name servers: /etc/hosts and addresses still work */
		l->dns = evdns_base_new(l->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
		if (l->dns)
			evdns_base_load_hosts(l->dns, "/etc/hosts");
	}
	if (l->dns)
		evdns_base_set_option(l->dns, "randomize-case:", "0");
	return l->dns;
}

static void on_start(evutil_socket_t fd, short what, void *context)
{
	struct conn *c = context;
	char port[8];
	struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
					 .ai_flags = EVUTIL_AI_ADDRCONFIG };
	(void)fd, (void)what;
	event_free(c->raw);
	c->raw = NULL;
	snprintf(port, sizeof port, "%u", c->port);
	struct evdns_base *dns = resolver(c->loop);
	if (!dns) {
		bury(c, CONN_END_FAILED, "out of memory");
		return;
	}
	struct evdns_getaddrinfo_request *request =
		evdns_getaddrinfo(dns, c->host, port, &hints, on_resolved, c);
	if (request) /* NULL: on_resolved was called already */
		c->resolving = request;
}

struct conn *conn_connect(struct loop *l, struct tls_context *tls, const char *host, uint16_t port,
			  const struct conn_settings *settings,
			  const struct conn_handlers *handlers, void *context)
{
	struct conn *c = conn_new(l, tls, settings, handlers, context);
	if (!c)
		return NULL;
	c->host = strdup(host);
	c->port = port;
	snprintf(c->address, sizeof c->address, "%.60s:%u", host, port);
	c->raw = event_new(l->base, -1, 0, on_start, c);
	if (!c->host || !c->raw) {
		TAILQ_REMOVE(&l->all, c, in_all);
		conn_free(c);
		return NULL;
	}
	event_active(c->raw, 0, 0);
	return c;
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

/* --- listening --- */

struct listener {
	TAILQ_ENTRY(listener) in_loop;
	struct loop *loop;
	struct listener_settings settings;
	int fd;
	uint16_t port;
	struct event *readable, *again;
	bool paused;
};

static void listener_pause(struct listener *l, const char *why)
{
	struct timeval second = { 1, 0 };
	if (!l->paused)
		log_warning("port %u: accepting pauses: %s", l->port, why);
	l->paused = true;
	event_del(l->readable);
	event_add(l->again, &second); /* if nobody of ours goes, others' descriptors may */
}

static void listeners_resume(struct loop *loop)
{
	struct listener *l;
	TAILQ_FOREACH(l, &loop->listeners, in_loop) {
		if (l->paused)
			event_add(l->readable, NULL);
		l->paused = false;
	}
}

static void on_again(evutil_socket_t fd, short what, void *context)
{
	struct listener *l = context;
	(void)fd, (void)what;
	if (l->paused)
		event_add(l->readable, NULL);
	l->paused = false;
}

/* Somebody has to wait; rather one who has not shown a certificate yet. */
static void make_room(struct listener *l, const char *why)
{
	struct conn *longest = TAILQ_FIRST(&l->loop->handshakes);
	if (longest)
		bury(longest, CONN_END_TIMEOUT, "made room for others before its TLS handshake was done");
	else
		listener_pause(l, why);
}

static void take(struct listener *l, int fd, const struct sockaddr *from)
{
	const struct listener_settings *s = &l->settings;
	struct conn *c = conn_new(l->loop, s->tls, &s->conn, s->handlers, NULL);
	if (!c) {
		close(fd);
		return;
	}
	c->fd = fd;
	c->accepted = true;
	l->loop->n_accepted++;
	format_address(c->address, from);
	c->context = s->accepted(c, s->context);
	TAILQ_INSERT_TAIL(&l->loop->handshakes, c, in_handshakes);
	c->in_handshake = true;
	if (!c->context || !start_tls(c, fd, NULL))
		bury(c, CONN_END_FAILED, "not accepted");
}

static void on_readable(evutil_socket_t listen_fd, short what, void *context)
{
	struct listener *l = context;
	(void)what;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t n = sizeof from;
		if (l->loop->n_accepted >= l->settings.max_connections) {
			make_room(l, "the maximum number of connections is reached");
			return;
		}
		int fd = accept4(listen_fd, (struct sockaddr *)&from, &n,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			take(l, fd, (struct sockaddr *)&from);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			make_room(l, strerror(errno));
			return;
		} else if (errno == EAGAIN)
			return;
	}
}

static int open_listener(const char *address, uint16_t port, struct error *e)
{
	char text[8];
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV };
	struct addrinfo *to = NULL;
	int on = 1, off = 0, fd = -1;
	snprintf(text, sizeof text, "%u", port);
	int code = getaddrinfo(address, text, &hints, &to);
	if (code != 0) {
		error_set(e, ERR_SYSTEM, "listen: %s: %s", address, gai_strerror(code));
		return -1;
	}
	fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
		if (to->ai_family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	}
	if (fd < 0 || bind(fd, to->ai_addr, to->ai_addrlen) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
		error_set(e, ERR_SYSTEM, "listen: %s port %u: %s", address, port, strerror(errno));
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(to);
	return fd;
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_storage at = { 0 };
	socklen_t n = sizeof at;
	if (getsockname(fd, (struct sockaddr *)&at, &n) != 0)
		return 0;
	return ntohs(at.ss_family == AF_INET ? ((struct sockaddr_in *)&at)->sin_port :
					       ((struct sockaddr_in6 *)&at)->sin6_port);
}

enum status listener_new(struct loop *loop, const char *address, uint16_t port,
			 const struct listener_settings *settings, struct listener **out,
			 struct error *e)
{
	struct listener *l = calloc(1, sizeof *l);
	if (!l)
		return error_set(e, ERR_MEMORY, "out of memory");
	l->loop = loop;
	l->settings = *settings;
	TAILQ_INSERT_TAIL(&loop->listeners, l, in_loop);
	l->fd = open_listener(address, port, e);
	if (l->fd < 0) {
		listener_free(l);
		return ERR_SYSTEM;
	}
	l->port = bound_port(l->fd);
	l->readable = event_new(loop->base, l->fd, EV_READ | EV_PERSIST, on_readable, l);
	l->again = evtimer_new(loop->base, on_again, l);
	if (!l->readable || !l->again || event_add(l->readable, NULL) != 0) {
		listener_free(l);
		return error_set(e, ERR_MEMORY, "out of memory");
	}
	*out = l;
	return OK;
}

uint16_t listener_port(const struct listener *l)
{
	return l->port;
}

void listener_set_tls(struct listener *l, struct tls_context *tls)
{
	l->settings.tls = tls;
}

void listener_set_limits(struct listener *l, uint32_t max_connections,
			 const struct conn_settings *conn)
{
	l->settings.max_connections = max_connections;
	l->settings.conn = *conn;
}

void listener_free(struct listener *l)
{
	if (!l)
		return;
	TAILQ_REMOVE(&l->loop->listeners, l, in_loop);
	if (l->readable)
		event_free(l->readable);
	if (l->again)
		event_free(l->again);
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}
