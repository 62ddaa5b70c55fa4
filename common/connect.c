#include <errno.h>
#include <event2/dns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/net_internal.h"

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
	} else if (!conn_start_tls(c, c->host)) {
		conn_bury(c, CONN_END_FAILED, "out of memory");
	}
}

static bool try_address(struct conn *c, const struct evutil_addrinfo *to)
{
	c->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return false;
	conn_format_address(c->address, to->ai_addr);
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
	conn_bury(c, CONN_END_FAILED, why);
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
		conn_bury(c, CONN_END_FAILED, why);
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
	struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	(void)fd, (void)what;
	event_free(c->raw);
	c->raw = NULL;
	snprintf(port, sizeof port, "%u", c->port);
	struct evdns_base *dns = resolver(c->loop);
	if (!dns) {
		conn_bury(c, CONN_END_FAILED, "out of memory");
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
