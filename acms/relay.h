#ifndef ACMS_RELAY_H
#define ACMS_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include "acms/config.h"
#include "common/arena.h"
#include "common/cause.h"
#include "common/setup.h"

/*
 * The fan-out of one request to its targets. Pure.
 */

/* One distinct MC system ID of a request, and what is to become of it. */
struct route {
	struct str target;
	enum cause cause;                  /* CAUSE_NO_CAUSE: to be sent on */
	const struct partner_rule *partner;
};

/*
 * The distinct targets of a request, each judged by itself (PROTOCOL.md 5.4 c). NULL: the arena is spent. *n may
 * be 0 only if the request names no target.
 */
struct route *relay_routes(struct arena *a, const struct config *config,
			   const struct acmc_rule *acmc, const struct str *targets,
			   size_t n_targets, size_t *n);

/* A request on its way to one partner. */
enum relay_state {
	RELAY_QUEUED, /* for a connection, or for room on it */
	RELAY_SENT,
	RELAY_ANSWERED,
	RELAY_STATES
};

enum relay_event {
	RELAY_EV_SENT,
	RELAY_EV_OVER_LIMIT,   /* it exceeds what the partner announced */
	RELAY_EV_RESPONSE,     /* a good response of the partner */
	RELAY_EV_NONSENSE,     /* the partner broke the protocol */
	RELAY_EV_UNREACHABLE,  /* connecting failed */
	RELAY_EV_LOST,         /* the connection ended */
	RELAY_EV_DEADLINE,
	RELAY_EV_STOPPING,     /* this server stops, or the partner was taken from the configuration */
	RELAY_EVENTS
};

struct relay_step {
	enum relay_state next;
	enum cause answer; /* on the way to RELAY_ANSWERED: ours, or CAUSE_NO_CAUSE for the partner's response */
};

struct relay_step relay_step(enum relay_state state, enum relay_event event);

#endif
