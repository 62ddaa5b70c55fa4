#ifndef ACMC_HOME_H
#define ACMC_HOME_H

#include <stdio.h>
#include "acmc/config.h"
#include "common/message.h"

/*
 * The connection to the home acms, for straight-line code: send, receive, send. It may be made again after it was
 * lost. While nothing comes, Ping keeps it alive and shows whether the server is. SIGINT and SIGTERM end any
 * waiting.
 */
struct home;

enum home_result {
	HOME_OK,
	HOME_LOST,        /* not reached, closed or silent: another attempt may help */
	HOME_UNUSABLE,    /* its certificate, its version, or it breaks the protocol */
	HOME_BAD_CONFIG,  /* our certificate, key or anchors; nothing was sent */
	HOME_BAD_INPUT,   /* for drivers: the server does not take what was asked; nothing was sent */
	HOME_INTERRUPTED, /* by a signal */
	HOME_TIME_OUT,    /* home_wait_until */
	HOME_FAILED,      /* our own system */
};

/* The configuration is borrowed. HOME_OK, HOME_BAD_CONFIG or HOME_FAILED; *out is never NULL but when memory is out. */
enum home_result home_new(const struct acmc_config *config, struct home **out);
void home_free(struct home *h); /* NULL is fine */
/* Called about ten times a second while waiting. */
void home_on_tick(struct home *h, void (*tick)(void *context), void *context);
/* Waiting ends at this instant (clock_mono_ms); 0: never. */
void home_wait_until(struct home *h, uint64_t mono_ms);

/* Connects, and says Hello both ways. */
enum home_result home_connect(struct home *h);
/* What the server said, once connected. */
struct str home_system(const struct home *h);
const struct limits *home_limits(const struct home *h); /* the server's */
const struct limits *home_own_limits(void);

/* Queues a message. */
void home_send(struct home *h, const struct message *m);
/*
 * Sends what is queued, as far as the socket takes it, without waiting: for who has much to do before he receives.
 * HOME_OK, whatever becomes of the connection, or as home_sleep.
 */
enum home_result home_push(struct home *h);
/*
 * What is for the caller: responses, indications, pages. *out lives until the next call. expect: an answer is due, so
 * that silence ends it, be the connection as alive as it may; otherwise only a dead connection does.
 */
enum home_result home_receive(struct home *h, bool expect, const struct message **out);
/*
 * Sends a query, whose token is the last that home_token gave, and receives its answer, which is of this kind. What
 * comes between goes to the listener, if there is one.
 */
enum home_result home_ask(struct home *h, const struct message *query, enum message_kind kind,
			  const struct message **out);
void home_listen(struct home *h, void (*other)(void *context, const struct message *m), void *context);
/* A token that was not used yet. */
uint64_t home_token(struct home *h);
/* Ends the connection in an orderly way; it may be made again. */
void home_close(struct home *h);
/* Waits, though not for messages. HOME_OK, HOME_INTERRUPTED or HOME_TIME_OUT. */
enum home_result home_sleep(struct home *h, uint64_t ms);
/*
 * After HOME_LOST: waits and connects again, some times. *attempts is the caller's, 0 when anything
 * has come of it; a connection that held for a minute counts, too. told() hears of each attempt. HOME_LOST: in vain.
 */
enum home_result home_reconnect(struct home *h, unsigned *attempts,
				void (*told)(void *context, const char *why, unsigned seconds), void *context);

/* Notes a failure that a driver found, and returns it. */
enum home_result home_fail(struct home *h, enum home_result result, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Likewise that the server breaks the protocol. */
enum home_result home_nonsense(struct home *h, const char *what);
/* Why the last failing call failed. */
const char *home_failure(const struct home *h);
/* "acmc: HOST port PORT: why". */
void home_complain(const struct home *h, enum home_result result, FILE *out);
/* For counting what a command costs. */
uint64_t home_bytes_received(const struct home *h);

#endif
