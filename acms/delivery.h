#ifndef ACMS_DELIVERY_H
#define ACMS_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>
#include "common/cause.h"

/*
 * One request on its way to one partner (PROTOCOL.md 9). Pure: steps say what to do, outbox.c and partner_link.c do it.
 */

enum delivery_phase {
	DELIVERY_PHASE_QUEUED,    /* for a connection, or for room on it */
	DELIVERY_PHASE_LOADING,   /* it is read from the store, to be sent */
	DELIVERY_PHASE_SENT,
	DELIVERY_PHASE_HELD,      /* the partner waits for its ACMC */
	DELIVERY_PHASE_RESTING,   /* until the next attempt */
	DELIVERY_PHASE_BARRED,    /* it may have been sent, and must not be sent again as things are: until they change */
	DELIVERY_PHASE_ANSWERING, /* the answer is being put on disk */
	DELIVERY_PHASE_DONE,
	DELIVERY_PHASES
};

enum delivery_event {
	DELIVERY_EV_LOADING,
	DELIVERY_EV_SENT,
	DELIVERY_EV_RESPONSE,    /* a final one */
	DELIVERY_EV_TRANSIENT,   /* the partner asks to come later */
	DELIVERY_EV_PENDING,
	DELIVERY_EV_NONSENSE,    /* the response cannot be one to this request */
	DELIVERY_EV_LOST,        /* the connection ended */
	DELIVERY_EV_UNREACHABLE, /* connecting failed */
	DELIVERY_EV_UNSENDABLE,  /* its ACMC may not ask for it, or it exceeds what the partner takes or knows; never sent: final */
	DELIVERY_EV_BARRED,      /* likewise, and it may have been sent: what became of it is not known */
	DELIVERY_EV_DUE,         /* it has rested; or rules or connection are others than those that barred it */
	DELIVERY_EV_DEADLINE,
	DELIVERY_EV_STOPPING,
	DELIVERY_EV_STORED,      /* the answer is on disk */
	DELIVERY_EV_NOT_STORED,  /* the store failed, or memory: the same again later, and the partner will say it again */
	DELIVERY_EVENTS
};

enum delivery_action {
	DELIVERY_DO_NOTHING,
	DELIVERY_DO_QUEUE,  /* behind the others of its link */
	DELIVERY_DO_REST,   /* for delivery_rest_ms, then DELIVERY_EV_DUE */
	DELIVERY_DO_RECORD, /* the partner's response */
	DELIVERY_DO_ANSWER, /* ourselves, with the cause that the deadline gives */
	DELIVERY_DO_FINISH, /* everybody is told */
};

struct delivery_step {
	enum delivery_phase next;
	enum delivery_action action;
};

/* kept: it is on disk. What is not (a dry run) is answered at the first obstacle. */
struct delivery_step delivery_step(enum delivery_phase phase, enum delivery_event event, bool kept);

/*
 * What answer the deadline would give, after an event that concerned what was queued or with the partner. At first, and as
 * long as it is sure that nothing was sent, PARTNER_UNREACHABLE.
 */
enum cause delivery_outlook(enum cause was, enum delivery_event event);
static inline bool delivery_never_sent(enum cause outlook)
{
	return outlook == CAUSE_PARTNER_UNREACHABLE;
}

/* How long before attempt number `attempts` + 1: 1 s to 60 s, doubling; only after the first was lost at once. */
uint64_t delivery_rest_ms(enum delivery_event why, unsigned attempts, uint32_t random);
/* So many nonsensical responses to one request are borne. */
enum { DELIVERY_NONSENSE_MAX = 5 };

#endif
