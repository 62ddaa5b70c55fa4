#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/clock.h"
#include "common/log.h"
#include "common/log_limit.h"
#include "common/net_internal.h"

enum { ACCEPTS_A_TURN = 64, LISTEN_BACKLOG = 1024 };

struct listener {
	TAILQ_ENTRY(listener) in_loop;
	struct loop *loop;
	struct listener_settings settings;
	int fd;
	uint16_t port;
	struct event *readable, *again;
	bool paused;
	struct log_limit pauses;    /* that are logged: each connection that ends, and one that comes, may be one */
};

static void listener_pause(struct listener *l, const char *why)
{
	struct timeval second = { 1, 0 };
	uint64_t left_out;
	if (!l->paused && log_limit_allows(&l->pauses, 1, clock_mono_ms(), &left_out))
		log_warning("port %u: accepting pauses: %s", l->port, why);
	l->paused = true;
	event_del(l->readable);
	event_add(l->again, &second); /* if nobody of ours goes, others' descriptors may */
}

void listeners_resume(struct loop *loop)
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

/* If somebody is at the door, somebody has to wait; rather one who has not shown a certificate yet. */
static void make_room(struct listener *l, const char *why)
{
	struct conn *longest = TAILQ_FIRST(&l->loop->handshakes);
	struct pollfd door = { .fd = l->fd, .events = POLLIN };
	if (poll(&door, 1, 0) != 1)
		return;
	if (longest)
		conn_bury(longest, CONN_END_TIMEOUT, "made room for others before its TLS handshake was done");
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
	conn_format_address(c->address, from);
	c->context = s->accepted(c, s->context);
	TAILQ_INSERT_TAIL(&l->loop->handshakes, c, in_handshakes);
	c->in_handshake = true;
	if (!c->context || !conn_start_tls(c, NULL))
		conn_bury(c, CONN_END_FAILED, "not accepted");
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
