#include "common/session.h"

#include <stdio.h>
#include "common/text.h"

#define STEP(next, action) { SESSION_##next, SESSION_DO_##action, CAUSE_NO_CAUSE }
#define REFUSE { SESSION_DRAINING, SESSION_DO_REFUSE, CAUSE_UNEXPECTED_MESSAGE }
#define END STEP(ENDED, END)
#define IGNORE STEP(ENDED, NOTHING)

/* What both sides do alike. */
#define WAIT_HELLO_ROW                                                   \
	{ [SESSION_EV_HELLO_GOOD] = STEP(OPEN, OPEN),                    \
	  [SESSION_EV_HELLO_BAD] = STEP(DRAINING, REFUSE),               \
	  [SESSION_EV_REQUEST] = REFUSE,                                 \
	  [SESSION_EV_RESPONSE] = REFUSE,                                \
	  [SESSION_EV_PING] = REFUSE,                                    \
	  [SESSION_EV_PONG] = REFUSE,                                    \
	  [SESSION_EV_CLOSE_RECEIVED] = STEP(DRAINING, DRAIN),           \
	  [SESSION_EV_CLOSE_SENT] = STEP(DRAINING, NOTHING),             \
	  [SESSION_EV_ENDED] = END }
#define OPEN_ROW(on_request, on_response)                                \
	{ [SESSION_EV_HELLO_GOOD] = REFUSE,                              \
	  [SESSION_EV_HELLO_BAD] = REFUSE,                               \
	  [SESSION_EV_REQUEST] = on_request,                             \
	  [SESSION_EV_RESPONSE] = on_response,                           \
	  [SESSION_EV_PING] = STEP(OPEN, PONG),                          \
	  [SESSION_EV_PONG] = STEP(OPEN, NOTHING),                       \
	  [SESSION_EV_CLOSE_RECEIVED] = STEP(DRAINING, DRAIN),           \
	  [SESSION_EV_CLOSE_SENT] = STEP(DRAINING, NOTHING),             \
	  [SESSION_EV_ENDED] = END }
#define DRAINING_ROW(on_response)                                        \
	{ [SESSION_EV_HELLO_GOOD] = STEP(DRAINING, NOTHING),             \
	  [SESSION_EV_HELLO_BAD] = STEP(DRAINING, NOTHING),              \
	  [SESSION_EV_REQUEST] = STEP(DRAINING, NOTHING),                \
	  [SESSION_EV_RESPONSE] = on_response,                           \
	  [SESSION_EV_PING] = STEP(DRAINING, NOTHING),                   \
	  [SESSION_EV_PONG] = STEP(DRAINING, NOTHING),                   \
	  [SESSION_EV_CLOSE_RECEIVED] = STEP(DRAINING, NOTHING),         \
	  [SESSION_EV_CLOSE_SENT] = STEP(DRAINING, NOTHING),             \
	  [SESSION_EV_ENDED] = END }
#define ENDED_ROW                                                        \
	{ [SESSION_EV_HELLO_GOOD] = IGNORE,                              \
	  [SESSION_EV_HELLO_BAD] = IGNORE,                               \
	  [SESSION_EV_REQUEST] = IGNORE,                                 \
	  [SESSION_EV_RESPONSE] = IGNORE,                                \
	  [SESSION_EV_PING] = IGNORE,                                    \
	  [SESSION_EV_PONG] = IGNORE,                                    \
	  [SESSION_EV_CLOSE_RECEIVED] = IGNORE,                          \
	  [SESSION_EV_CLOSE_SENT] = IGNORE,                              \
	  [SESSION_EV_ENDED] = IGNORE }

static const struct session_step steps[2][SESSION_STATES][SESSION_EVENTS] = {
	[SESSION_SERVER] = {
		[SESSION_WAIT_HELLO] = WAIT_HELLO_ROW,
		[SESSION_OPEN] = OPEN_ROW(STEP(OPEN, DELIVER), REFUSE),
		[SESSION_DRAINING] = DRAINING_ROW(STEP(DRAINING, NOTHING)),
		[SESSION_ENDED] = ENDED_ROW,
	},
	[SESSION_CLIENT] = {
		[SESSION_WAIT_HELLO] = WAIT_HELLO_ROW,
		[SESSION_OPEN] = OPEN_ROW(REFUSE, STEP(OPEN, DELIVER)),
		[SESSION_DRAINING] = DRAINING_ROW(STEP(DRAINING, DELIVER)),
		[SESSION_ENDED] = ENDED_ROW,
	},
};

struct session_step session_step(enum session_side side, enum session_state state,
				 enum session_event event)
{
	return steps[side][state][event];
}

enum session_event session_event_of(enum message_kind kind)
{
	switch (kind) {
	case MESSAGE_HELLO: return SESSION_EV_HELLO_GOOD;
	case MESSAGE_SETUP_REQUEST:
	case MESSAGE_REQUESTS_QUERY:
	case MESSAGE_USERS_QUERY:
	case MESSAGE_DIGEST_QUERY:
	case MESSAGE_PENDING_QUERY:
	case MESSAGE_DECISION: return SESSION_EV_REQUEST;
	case MESSAGE_SETUP_RESPONSE:
	case MESSAGE_PROCESS_INDICATION:
	case MESSAGE_REQUESTS_PAGE:
	case MESSAGE_USERS_PAGE:
	case MESSAGE_DIGEST_PAGE:
	case MESSAGE_PENDING_PAGE:
	case MESSAGE_DECISION_RESULT: return SESSION_EV_RESPONSE;
	case MESSAGE_PING: return SESSION_EV_PING;
	case MESSAGE_PONG: return SESSION_EV_PONG;
	case MESSAGE_CLOSE: return SESSION_EV_CLOSE_RECEIVED;
	}
	return SESSION_EV_HELLO_BAD;
}

bool session_allows(uint32_t version, const struct message *m)
{
	return message_version(m) <= version;
}

static bool limits_valid(const struct limits *l)
{
	return l->max_frame_bytes >= FRAME_BYTES_MIN && l->max_frame_bytes <= FRAME_BYTES_MAX &&
	       l->max_mc_ids && l->max_mc_service_ids_per_mc_id && l->max_mc_system_ids &&
	       l->max_requests_in_flight && l->idle_timeout_seconds;
}

enum cause hello_check(const struct hello *hello, struct str expected, bool required,
		       uint32_t *version, char *detail, size_t detail_size)
{
	char said[MC_SYSTEM_ID_MAX + 4];
	if (hello->version_min == 0 || hello->version_max < hello->version_min) {
		text_format(detail, detail_size, "Hello: versions %u to %u make no sense",
			    hello->version_min, hello->version_max);
		return CAUSE_MALFORMED_MESSAGE;
	}
	if (hello->version_min > PROTOCOL_VERSION_MAX || hello->version_max < PROTOCOL_VERSION_MIN) {
		text_format(detail, detail_size, "spoken here: versions %d to %d; offered: %u to %u",
			 PROTOCOL_VERSION_MIN, PROTOCOL_VERSION_MAX, hello->version_min, hello->version_max);
		return CAUSE_UNSUPPORTED_VERSION;
	}
	if (!limits_valid(&hello->limits)) {
		text_format(detail, detail_size, "Hello: a limit is 0 or out of range");
		return CAUSE_MALFORMED_MESSAGE;
	}
	if (hello->mc_system_id.ptr ? !str_eq(hello->mc_system_id, expected) : required) {
		text_format(detail, detail_size, "expected MC system %.*s, the Hello says %s",
			    STR_ARG(expected),
			    hello->mc_system_id.ptr ?
				    text_escape(hello->mc_system_id, said, sizeof said) : "nothing");
		return CAUSE_MC_SYSTEM_ID_MISMATCH;
	}
	*version = hello->version_max < PROTOCOL_VERSION_MAX ? hello->version_max : PROTOCOL_VERSION_MAX;
	return CAUSE_NO_CAUSE;
}

const char *session_state_name(enum session_state state)
{
	switch (state) {
	case SESSION_WAIT_HELLO: return "waiting for Hello";
	case SESSION_OPEN: return "open";
	case SESSION_DRAINING: return "draining";
	case SESSION_ENDED: return "ended";
	case SESSION_STATES: break;
	}
	return "?";
}
