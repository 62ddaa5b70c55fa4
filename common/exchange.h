#ifndef ACX_EXCHANGE_H
#define ACX_EXCHANGE_H

#include "common/message.h"
#include "common/net.h"

/* Messages over connections: what message.c and net.c each know half of. */

/* Queues a message; on failure the connection is killed, and its owner hears of it through ended(). */
void exchange_send(struct conn *c, const struct message *m);
/* The same, unless its payload takes more than `most` bytes: false then. */
bool exchange_send_within(struct conn *c, size_t most, const struct message *m);
/* Queues our Hello. */
void exchange_send_hello(struct conn *c, struct str mc_system_id, const struct limits *limits,
			 const char *software);
/* Queues a Close. */
void exchange_send_close(struct conn *c, enum cause cause, const char *detail);

#endif
