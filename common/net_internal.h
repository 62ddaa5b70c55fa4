#ifndef ACX_NET_INTERNAL_H
#define ACX_NET_INTERNAL_H

#include <event2/event.h>
#include <event2/util.h>
#include <sys/queue.h>
#include "common/net.h"

/*
 * Shared by loop.c (loop, timers, signals), net.c (connections), net_send.c (what they send), connect.c (making them) and
 * listener.c (taking them).
 */

enum { TLS_RECORD_MAX = 16384 };

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
	uint8_t *record;            /* what one was decrypted into; TLS_RECORD_MAX bytes */
	struct listener_list listeners;
	size_t n_accepted;
	struct event *signals[8];
	size_t n_signals;
};

/* What the connection's one timer stands for. */
enum deadline { DEADLINE_NONE, DEADLINE_HANDSHAKE, DEADLINE_FRAME, DEADLINE_DRAIN };

struct conn {
	TAILQ_ENTRY(conn) in_all;   /* or in the graveyard */
	TAILQ_ENTRY(conn) in_handshakes;
	TAILQ_ENTRY(conn) in_unsent;
	TAILQ_ENTRY(conn) in_account;
	struct conn_account *account; /* NULL: it counts alone */
	struct loop *loop;
	struct tls_context *tls;    /* until the SSL object is made */
	struct ssl_st *ssl;         /* NULL while TCP connects */
	struct event *readable, *writable; /* with it; the latter is armed only while the socket takes no more */
	struct evbuffer *in;        /* the beginning of a frame, or frames that come while we do not listen */
	struct evbuffer *out;       /* frames, packed */
	struct event *timer;
	enum deadline deadline;
	struct conn_settings settings;
	const struct conn_handlers *handlers;
	void *context;
	uint32_t max_frame;
	unsigned idle_records;      /* that carried no data, */
	uint64_t idle_records_until;/* until then (clock_mono_ms) */
	bool accepted;              /* by a listener */
	bool in_handshake;          /* is in loop->handshakes */
	bool is_unsent;             /* is in loop->unsent */
	bool opened, closing, lingering, paused, choked, deaf, dead;
	struct event *raw;          /* on the socket: connecting, or lingering */
	unsigned frames;            /* delivered in this turn */
	bool read_wants_write;      /* TLS has to send something before it reads on */
	int fd;
	struct evutil_addrinfo *addresses, *next_address;
	struct evdns_getaddrinfo_request *resolving;
	char *host;
	uint16_t port;
	char address[80];
	enum conn_end end;
	char why[400];
};

static inline struct timeval in_ms(uint64_t ms)
{
	return (struct timeval){ (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };
}

/* net.c, net_send.c, for loop.c: frees what has ended; sends what was queued in a turn. */
void conns_reap(evutil_socket_t fd, short what, void *loop);
void conns_flush(evutil_socket_t fd, short what, void *loop);
void conn_free(struct conn *c);

/* net_send.c, for net.c: queues it for conns_flush; writes what it can; forgets what is queued, and the account. */
void conn_flush_later(struct conn *c);
void conn_write(struct conn *c);
void conn_drop_output(struct conn *c);
/* Keeps what came of a frame; counts against the account, as what is queued does. False: out of memory. The first n are done with. */
bool conn_keep(struct conn *c, const uint8_t *data, size_t n);
void conn_release(struct conn *c, size_t n);

/* net.c, for net_send.c. */

/* end, why: what ended() is going to say. */
void conn_linger(struct conn *c, enum conn_end end, const char *why);
void conn_failed(struct conn *c, const struct tls_fault *fault);
void conn_ended_by_peer(struct conn *c);
/* That a frame does not come while we do not read is not the peer's slowness. */
void conn_stop_frame_clock(struct conn *c);
/* Also looks at what is there already, for which the socket does not become readable. */
void conn_read_on(struct conn *c);

/* net.c, for connect.c and listener.c: a connection that has no socket yet. */
struct conn *conn_new(struct loop *l, struct tls_context *tls, const struct conn_settings *settings,
		      const struct conn_handlers *handlers, void *context);
/* The socket c->fd is connected: TLS begins. host: NULL at a server. False: out of memory. */
bool conn_start_tls(struct conn *c, const char *host);
/* From here on nothing happens to it any more but being told and freed. */
void conn_bury(struct conn *c, enum conn_end end, const char *why);
void conn_format_address(char out[80], const struct sockaddr *sa);

/* listener.c, for net.c: somebody has gone. */
void listeners_resume(struct loop *l);

#endif
