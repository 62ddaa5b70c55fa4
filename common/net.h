#ifndef ACX_NET_H
#define ACX_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/error.h"
#include "common/tls.h"

/*
 * The event loop and TLS connections that carry frames. The only one that knows libevent (with
 * net_send.c, loop.c, connect.c and listener.c). All callbacks run in
 * the loop's thread, none of them inside the call that caused it; objects may be freed in any callback (they
 * go to a graveyard that is emptied after the loop turn).
 */
struct loop;
enum status loop_new(struct loop **out, struct error *e);
void loop_free(struct loop *l); /* NULL is fine */
enum status loop_run(struct loop *l); /* until loop_stop */
void loop_stop(struct loop *l);

typedef void loop_callback(void *context);

struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *l, loop_callback *fire, void *context); /* NULL: memory */
void loop_timer_set(struct loop_timer *t, uint64_t after_ms); /* once; replaces what was set */
void loop_timer_cancel(struct loop_timer *t);
void loop_timer_free(struct loop_timer *t); /* NULL is fine */

/* Called in the loop when loop_wake was called, from any thread or signal handler, any number of times. */
struct loop_wake;
enum status loop_wake_new(struct loop *l, loop_callback *woken, void *context,
			  struct loop_wake **out, struct error *e);
void loop_wake(struct loop_wake *w);
void loop_wake_free(struct loop_wake *w);

/*
 * Called once for any number of calls of loop_late, in the same turn of the loop, behind what is ready in it by then: for
 * what is better done for many at once. loop_late: the loop's thread only.
 */
struct loop_late;
struct loop_late *loop_late_new(struct loop *l, loop_callback *late, void *context); /* NULL: memory */
void loop_late(struct loop_late *t);
void loop_late_free(struct loop_late *t); /* NULL is fine */

enum status loop_signal(struct loop *l, int signal_number, loop_callback *caught, void *context,
			struct error *e);

struct conn;

struct conn_settings {
	uint32_t handshake_timeout_ms; /* from connect or accept until TLS is up: absolute */
	uint32_t frame_timeout_ms;     /* from a frame's first byte to its last: absolute */
	uint32_t drain_timeout_ms;     /* for what is queued when the connection is closed */
	size_t pause_at_bytes;         /* queued: choked from here on, until the peer has taken all of it */
	size_t max_queued_bytes;       /* queued, by all connections of the account: the one that has most ends */
	/*
	 * Choked: reads on nevertheless. For who asks, and stops asking instead: if both ends waited for the other one to read,
	 * they would wait for ever. By default it does not read, and what it is asked waits in the kernel.
	 */
	bool reads_when_choked;
};

/* Why a connection ended. */
enum conn_end {
	CONN_END_CLOSED,      /* by the peer, between frames */
	CONN_END_TRUNCATED,   /* by the peer, inside a frame */
	CONN_END_FAILED,      /* connecting, handshake, or transport */
	CONN_END_REFUSED,     /* by the peer, which does not accept our certificate */
	CONN_END_TIMEOUT,     /* handshake */
	CONN_END_LOCAL,       /* conn_close, drained */
};

enum conn_frame_fault { CONN_FRAME_EMPTY, CONN_FRAME_OVER, CONN_FRAME_SLOW };

struct conn_handlers {
	/* TLS is up and the peer is a party that we know (which does not yet mean that it accepts us). */
	void (*opened)(struct conn *c, void *context);
	/* One payload; the bytes are valid during the call. */
	void (*frame)(struct conn *c, const uint8_t *payload, size_t length, void *context);
	/* A header announced 0 or more than the maximum, or a frame took too long. The owner sends Close and
	 * calls conn_close. Reading has stopped. */
	void (*bad_frame)(struct conn *c, enum conn_frame_fault fault, uint32_t length, void *context);
	/* The last call for this connection, exactly once; it is freed afterwards. text: for people. */
	void (*ended)(struct conn *c, enum conn_end end, const char *text, void *context);
	/* All that was queued is written. NULL: nobody wants to know. */
	void (*drained)(struct conn *c, void *context);
};

/* Connects to host:port. Failures come through ended(). NULL only when memory is out. */
struct conn *conn_connect(struct loop *l, struct tls_context *tls, const char *host, uint16_t port,
			  const struct conn_settings *settings,
			  const struct conn_handlers *handlers, void *context);
/* Largest payload that is taken; FRAME_HELLO_MAX at first. */
void conn_set_max_frame(struct conn *c, uint32_t bytes);
/* Copies and queues. Written together with what else is queued in this loop turn. Nothing after conn_close. */
enum status conn_send(struct conn *c, const uint8_t *frame, size_t length);
/* Bytes that are not written yet. */
size_t conn_queued(const struct conn *c);
/*
 * So much is queued that only what must be sent should be added: what informs can be told when drained() is called, and
 * questions can wait until then. Also from half of max_queued_bytes on, if others of the account have queued it; or it has ended.
 */
bool conn_is_choked(const struct conn *c);
void conn_pause(struct conn *c);  /* takes no more frames for now */
void conn_resume(struct conn *c);
/* Reads no more, sends what is queued, then close_notify; ended() follows. Again: no effect. */
void conn_close(struct conn *c);
/* Ends it at once, dropping what is queued; ended() follows. */
void conn_kill(struct conn *c, const char *why);

/* Connections of one party, whose queued bytes are counted together. Each counts alone until it has an account. */
struct conn_account;
struct conn_account *conn_account_new(void); /* NULL: memory */
void conn_account_free(struct conn_account *a); /* NULL is fine; connections that it still has count alone again */
void conn_set_account(struct conn *c, struct conn_account *a);

struct ssl_st *conn_ssl(struct conn *c);
/* "192.0.2.1:7443", "[2001:db8::1]:7443". Lives as long as c. */
const char *conn_address(const struct conn *c);
bool conn_is_open(const struct conn *c); /* TLS is up and conn_close was not called */

/*
 * Listens. At most max_connections at a time, with those of any listener in the loop: when there are more, or no
 * file descriptors are left, the longest waiting one whose handshake is not done makes room; if there is none,
 * accepting pauses until one ends. accepted() gives the new connection its context and handlers.
 */
struct listener;
struct listener_settings {
	struct tls_context *tls; /* may be exchanged: listener_set_tls */
	uint32_t max_connections;
	struct conn_settings conn;
	const struct conn_handlers *handlers;
	/* Returns the context for the connection; NULL: refuse it. */
	void *(*accepted)(struct conn *c, void *context);
	void *context;
};
enum status listener_new(struct loop *l, const char *address, uint16_t port,
			 const struct listener_settings *settings, struct listener **out,
			 struct error *e);
/* For a port of 0: which one it became. */
uint16_t listener_port(const struct listener *l);
void listener_set_tls(struct listener *l, struct tls_context *tls);
void listener_set_limits(struct listener *l, uint32_t max_connections,
			 const struct conn_settings *conn);
void listener_free(struct listener *l); /* NULL is fine; its connections live on */

#endif
