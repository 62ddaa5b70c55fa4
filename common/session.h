#ifndef ACX_SESSION_H
#define ACX_SESSION_H

#include "common/message.h"

/*
 * One connection's protocol state (PROTOCOL.md 3 and 4). Pure: it says what to do, its caller does it.
 */

enum session_side { SESSION_SERVER, SESSION_CLIENT };

enum session_state {
	SESSION_WAIT_HELLO, /* ours is sent */
	SESSION_OPEN,
	SESSION_DRAINING,   /* a Close was sent or received: answers only */
	SESSION_ENDED,
	SESSION_STATES
};

enum session_event {
	SESSION_EV_HELLO_GOOD,
	SESSION_EV_HELLO_BAD,
	SESSION_EV_REQUEST,
	SESSION_EV_RESPONSE,
	SESSION_EV_PING,
	SESSION_EV_PONG,
	SESSION_EV_CLOSE_RECEIVED,
	SESSION_EV_CLOSE_SENT,   /* we decided to close in an orderly way */
	SESSION_EV_ENDED,        /* end of file, error, or time out of the transport */
	SESSION_EVENTS
};

enum session_action {
	SESSION_DO_NOTHING,
	SESSION_DO_OPEN,     /* tell the owner that requests may flow */
	SESSION_DO_DELIVER,  /* give the message to the owner */
	SESSION_DO_PONG,
	SESSION_DO_DRAIN,    /* finish what was taken, then end */
	SESSION_DO_REFUSE,   /* send Close with the cause, then end */
	SESSION_DO_END       /* release the transport */
};

struct session_step {
	enum session_state next;
	enum session_action action;
	enum cause cause; /* for SESSION_DO_REFUSE; CAUSE_NO_CAUSE: the event's own cause holds */
};

struct session_step session_step(enum session_side side, enum session_state state,
				 enum session_event event);

/* What a message is to the session; a Hello is good until hello_check finds otherwise. */
enum session_event session_event_of(enum message_kind kind);

/*
 * Judges a Hello. expected: the MC system that the peer must be, STR_NONE if it need not say;
 * required: it must say. CAUSE_NO_CAUSE: good, *version is the negotiated one. detail gets a
 * text for people when it is bad.
 */
enum cause hello_check(const struct hello *hello, struct str expected, bool required,
		       uint32_t *version, char *detail, size_t detail_size);

const char *session_state_name(enum session_state state);

#endif
