#include "acms/link.h"

/* Rows: what the state is; columns: what happens, in the order of enum link_event. */
static const struct link_step steps[LINK_STATES][LINK_EVENTS] = {
	[LINK_DOWN] = {
		[LINK_EV_RETRY] = { LINK_CONNECTING, LINK_DO_CONNECT },
		[LINK_EV_WANT] = { LINK_DOWN, 0 }, /* the timer runs, and requests must not shorten it */
		[LINK_EV_UP] = { LINK_DOWN, 0 },
		[LINK_EV_USEFUL] = { LINK_DOWN, 0 },
		[LINK_EV_CLOSE] = { LINK_DOWN, 0 },
		[LINK_EV_BROKEN] = { LINK_DOWN, 0 },
		[LINK_EV_ENDED] = { LINK_DOWN, 0 },
		[LINK_EV_RECONNECT] = { LINK_DOWN, LINK_DO_RESET | LINK_DO_RETRY_SOON },
		[LINK_EV_STOP] = { LINK_STOPPED, LINK_DO_FAIL_QUEUED },
	},
	[LINK_CONNECTING] = {
		[LINK_EV_RETRY] = { LINK_CONNECTING, 0 },
		[LINK_EV_WANT] = { LINK_CONNECTING, 0 },
		[LINK_EV_UP] = { LINK_TRIED, LINK_DO_SEND },
		[LINK_EV_USEFUL] = { LINK_CONNECTING, 0 },
		[LINK_EV_CLOSE] = { LINK_CONNECTING, 0 },
		[LINK_EV_BROKEN] = { LINK_CONNECTING, 0 },
		[LINK_EV_ENDED] = { LINK_DOWN, LINK_DO_FAIL_QUEUED | LINK_DO_RETRY_LATER },
		[LINK_EV_RECONNECT] = { LINK_DRAINING, LINK_DO_CLOSE | LINK_DO_RESET },
		[LINK_EV_STOP] = { LINK_STOPPED, LINK_DO_FAIL_QUEUED | LINK_DO_CLOSE },
	},
	[LINK_TRIED] = {
		[LINK_EV_RETRY] = { LINK_TRIED, 0 },
		[LINK_EV_WANT] = { LINK_TRIED, LINK_DO_SEND },
		[LINK_EV_UP] = { LINK_TRIED, 0 },
		[LINK_EV_USEFUL] = { LINK_UP, LINK_DO_RESET },
		[LINK_EV_CLOSE] = { LINK_PARTING, 0 },
		[LINK_EV_BROKEN] = { LINK_PARTING, 0 },
		[LINK_EV_ENDED] = { LINK_DOWN, LINK_DO_LOSE_SENT | LINK_DO_FAIL_QUEUED | LINK_DO_RETRY_LATER },
		[LINK_EV_RECONNECT] = { LINK_DRAINING, LINK_DO_CLOSE | LINK_DO_RESET },
		[LINK_EV_STOP] = { LINK_STOPPED, LINK_DO_FAIL_QUEUED | LINK_DO_CLOSE },
	},
	[LINK_UP] = {
		[LINK_EV_RETRY] = { LINK_UP, 0 },
		[LINK_EV_WANT] = { LINK_UP, LINK_DO_SEND },
		[LINK_EV_UP] = { LINK_UP, 0 },
		[LINK_EV_USEFUL] = { LINK_UP, 0 },
		[LINK_EV_CLOSE] = { LINK_DRAINING, 0 },
		[LINK_EV_BROKEN] = { LINK_PARTING, 0 },
		[LINK_EV_ENDED] = { LINK_DOWN, LINK_DO_LOSE_SENT | LINK_DO_RETRY_SOON },
		[LINK_EV_RECONNECT] = { LINK_DRAINING, LINK_DO_CLOSE },
		[LINK_EV_STOP] = { LINK_STOPPED, LINK_DO_FAIL_QUEUED | LINK_DO_CLOSE },
	},
	[LINK_DRAINING] = {
		[LINK_EV_RETRY] = { LINK_DRAINING, 0 },
		[LINK_EV_WANT] = { LINK_DRAINING, 0 },
		[LINK_EV_UP] = { LINK_DRAINING, 0 },
		[LINK_EV_USEFUL] = { LINK_DRAINING, 0 },
		[LINK_EV_CLOSE] = { LINK_DRAINING, 0 },
		[LINK_EV_BROKEN] = { LINK_PARTING, 0 },
		[LINK_EV_ENDED] = { LINK_DOWN, LINK_DO_LOSE_SENT | LINK_DO_RETRY_SOON },
		[LINK_EV_RECONNECT] = { LINK_DRAINING, LINK_DO_RESET },
		[LINK_EV_STOP] = { LINK_STOPPED, LINK_DO_FAIL_QUEUED | LINK_DO_CLOSE },
	},
	[LINK_PARTING] = {
		[LINK_EV_RETRY] = { LINK_PARTING, 0 },
		[LINK_EV_WANT] = { LINK_PARTING, 0 },
		[LINK_EV_UP] = { LINK_PARTING, 0 },
		[LINK_EV_USEFUL] = { LINK_PARTING, 0 },
		[LINK_EV_CLOSE] = { LINK_PARTING, 0 },
		[LINK_EV_BROKEN] = { LINK_PARTING, 0 },
		[LINK_EV_ENDED] = { LINK_DOWN, LINK_DO_LOSE_SENT | LINK_DO_FAIL_QUEUED | LINK_DO_RETRY_LATER },
		[LINK_EV_RECONNECT] = { LINK_DRAINING, LINK_DO_RESET },
		[LINK_EV_STOP] = { LINK_STOPPED, LINK_DO_FAIL_QUEUED | LINK_DO_CLOSE },
	},
	[LINK_STOPPED] = {
		[LINK_EV_RETRY] = { LINK_STOPPED, 0 },
		[LINK_EV_WANT] = { LINK_STOPPED, LINK_DO_FAIL_QUEUED },
		[LINK_EV_UP] = { LINK_STOPPED, 0 },
		[LINK_EV_USEFUL] = { LINK_STOPPED, 0 },
		[LINK_EV_CLOSE] = { LINK_STOPPED, 0 },
		[LINK_EV_BROKEN] = { LINK_STOPPED, 0 },
		[LINK_EV_ENDED] = { LINK_STOPPED, LINK_DO_LOSE_SENT },
		[LINK_EV_RECONNECT] = { LINK_STOPPED, 0 },
		[LINK_EV_STOP] = { LINK_STOPPED, 0 },
	},
};

struct link_step link_step(enum link_state state, enum link_event event)
{
	return steps[state][event];
}

bool link_is_up(enum link_state state)
{
	return state == LINK_TRIED || state == LINK_UP;
}

uint64_t link_backoff_ms(unsigned failures, uint32_t random)
{
	uint64_t ms = 1000u << (failures < 6 ? failures : 6);
	if (ms > 60000)
		ms = 60000;
	return ms - ms * (random % 256) / 1024;
}

const char *link_state_name(enum link_state state)
{
	switch (state) {
	case LINK_DOWN: return "down";
	case LINK_CONNECTING: return "connecting";
	case LINK_TRIED: return "tried";
	case LINK_UP: return "up";
	case LINK_DRAINING: return "draining";
	case LINK_PARTING: return "parting";
	case LINK_STOPPED: return "stopped";
	case LINK_STATES: break;
	}
	return "?";
}
