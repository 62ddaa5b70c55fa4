#ifndef ACMS_LINK_H
#define ACMS_LINK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The state of the connection to one partner system. Pure: steps say what to do, partner_link.c does it. Only a connection
 * that was of use is followed by another one at once: a partner that takes connections and ends them must not be connected
 * to more often than one that is not there.
 */

enum link_state {
	LINK_DOWN,       /* no connection; the retry timer runs */
	LINK_CONNECTING, /* until both Hellos are exchanged */
	LINK_TRIED,      /* up, and of no use so far */
	LINK_UP,         /* and of use */
	LINK_DRAINING,   /* one end has sent Close: answers may still come */
	LINK_PARTING,    /* likewise, and the connection was of no use, or the partner is to blame */
	LINK_STOPPED,    /* for good: server stops, or the partner is no longer configured */
	LINK_STATES
};

enum link_event {
	LINK_EV_RETRY,     /* the timer */
	LINK_EV_WANT,      /* a request was queued */
	LINK_EV_UP,        /* Hellos exchanged */
	LINK_EV_USEFUL,    /* it brought what we had asked for, or has lasted for LINK_LASTS_MS */
	LINK_EV_CLOSE,     /* the partner sent Close */
	LINK_EV_BROKEN,    /* the partner broke the protocol, and was told so */
	LINK_EV_ENDED,     /* the connection is gone */
	LINK_EV_RECONNECT, /* address or certificates changed */
	LINK_EV_STOP,
	LINK_EVENTS
};

/* Actions, to be done in this order. */
enum {
	LINK_DO_LOSE_SENT = 1 << 0,   /* what was sent has no answer any more */
	LINK_DO_FAIL_QUEUED = 1 << 1, /* who waits for what was not sent is told that it is not now */
	LINK_DO_CLOSE = 1 << 2,       /* close the connection in an orderly way */
	LINK_DO_CONNECT = 1 << 3,
	LINK_DO_SEND = 1 << 4,        /* what is queued */
	LINK_DO_RESET = 1 << 5,       /* forget the failures so far */
	LINK_DO_RETRY_SOON = 1 << 6,  /* set the timer: the partner was there just now */
	LINK_DO_RETRY_LATER = 1 << 7, /* set the timer: back off */
};

struct link_step {
	enum link_state next;
	unsigned actions;
};

struct link_step link_step(enum link_state state, enum link_event event);

/*
 * Milliseconds until the next attempt after so many failures in a row: doubles from 1 s to 60 s, less up to a
 * quarter by random (any value), so that partners do not all come back at once.
 */
uint64_t link_backoff_ms(unsigned failures, uint32_t random);
enum { LINK_RETRY_SOON_MS = 250, LINK_LASTS_MS = 30000 };

/* Both Hellos were exchanged, and neither end has said Close. */
bool link_is_up(enum link_state state);

const char *link_state_name(enum link_state state);

#endif
