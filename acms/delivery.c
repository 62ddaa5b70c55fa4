#include "acms/delivery.h"

#include "acms/link.h"

#define STEP(phase, action) { DELIVERY_PHASE_##phase, DELIVERY_DO_##action }

/* Waiting for its turn, or to be let go on: what is QUEUED, LOADING, RESTING or BARRED. */
#define WAITING_ROW(phase, not_stored)                                  \
	{ [DELIVERY_EV_LOADING] = STEP(LOADING, NOTHING),               \
	  [DELIVERY_EV_SENT] = STEP(SENT, NOTHING),                     \
	  [DELIVERY_EV_RESPONSE] = STEP(ANSWERING, RECORD),             \
	  [DELIVERY_EV_TRANSIENT] = STEP(phase, NOTHING),               \
	  [DELIVERY_EV_PENDING] = STEP(phase, NOTHING),                 \
	  [DELIVERY_EV_NONSENSE] = STEP(phase, NOTHING),                \
	  [DELIVERY_EV_LOST] = STEP(phase, NOTHING),                    \
	  [DELIVERY_EV_UNREACHABLE] = STEP(phase, NOTHING),             \
	  [DELIVERY_EV_UNSENDABLE] = STEP(ANSWERING, ANSWER),           \
	  [DELIVERY_EV_BARRED] = STEP(BARRED, NOTHING),                 \
	  [DELIVERY_EV_DUE] = STEP(QUEUED, QUEUE),                      \
	  [DELIVERY_EV_DEADLINE] = STEP(ANSWERING, ANSWER),             \
	  [DELIVERY_EV_STOPPING] = STEP(phase, NOTHING),                \
	  [DELIVERY_EV_STORED] = STEP(DONE, FINISH),                    \
	  [DELIVERY_EV_NOT_STORED] = not_stored }

/* With the partner: what is SENT or HELD. */
#define PARTNER_ROW(phase)                                              \
	{ [DELIVERY_EV_LOADING] = STEP(phase, NOTHING),                 \
	  [DELIVERY_EV_SENT] = STEP(phase, NOTHING),                    \
	  [DELIVERY_EV_RESPONSE] = STEP(ANSWERING, RECORD),             \
	  [DELIVERY_EV_TRANSIENT] = STEP(RESTING, REST),                \
	  [DELIVERY_EV_PENDING] = STEP(HELD, NOTHING),                  \
	  [DELIVERY_EV_NONSENSE] = STEP(RESTING, REST),                 \
	  [DELIVERY_EV_LOST] = STEP(RESTING, REST),                     \
	  [DELIVERY_EV_UNREACHABLE] = STEP(phase, NOTHING),             \
	  [DELIVERY_EV_UNSENDABLE] = STEP(phase, NOTHING),              \
	  [DELIVERY_EV_BARRED] = STEP(phase, NOTHING),                  \
	  [DELIVERY_EV_DUE] = STEP(phase, NOTHING),                     \
	  [DELIVERY_EV_DEADLINE] = STEP(ANSWERING, ANSWER),             \
	  [DELIVERY_EV_STOPPING] = STEP(phase, NOTHING),                \
	  [DELIVERY_EV_STORED] = STEP(DONE, FINISH),                    \
	  [DELIVERY_EV_NOT_STORED] = STEP(phase, NOTHING) }

/* Nothing but the events named changes anything. */
#define SETTLED_ROW(phase, stored, not_stored, again)                   \
	{ [DELIVERY_EV_LOADING] = STEP(phase, NOTHING),                 \
	  [DELIVERY_EV_SENT] = STEP(phase, NOTHING),                    \
	  [DELIVERY_EV_RESPONSE] = STEP(phase, NOTHING),                \
	  [DELIVERY_EV_TRANSIENT] = again,                              \
	  [DELIVERY_EV_PENDING] = STEP(phase, NOTHING),                 \
	  [DELIVERY_EV_NONSENSE] = again,                               \
	  [DELIVERY_EV_LOST] = STEP(phase, NOTHING),                    \
	  [DELIVERY_EV_UNREACHABLE] = STEP(phase, NOTHING),             \
	  [DELIVERY_EV_UNSENDABLE] = STEP(phase, NOTHING),              \
	  [DELIVERY_EV_BARRED] = STEP(phase, NOTHING),                  \
	  [DELIVERY_EV_DUE] = STEP(phase, NOTHING),                     \
	  [DELIVERY_EV_DEADLINE] = STEP(phase, NOTHING),                \
	  [DELIVERY_EV_STOPPING] = STEP(phase, NOTHING),                \
	  [DELIVERY_EV_STORED] = stored,                                \
	  [DELIVERY_EV_NOT_STORED] = not_stored }

static const struct delivery_step steps[DELIVERY_PHASES][DELIVERY_EVENTS] = {
	[DELIVERY_PHASE_QUEUED] = WAITING_ROW(QUEUED, STEP(RESTING, REST)),
	[DELIVERY_PHASE_LOADING] = WAITING_ROW(LOADING, STEP(RESTING, REST)),
	[DELIVERY_PHASE_SENT] = PARTNER_ROW(SENT),
	[DELIVERY_PHASE_HELD] = PARTNER_ROW(HELD),
	[DELIVERY_PHASE_RESTING] = WAITING_ROW(RESTING, STEP(RESTING, NOTHING)),
	[DELIVERY_PHASE_BARRED] = WAITING_ROW(BARRED, STEP(RESTING, REST)),
	[DELIVERY_PHASE_ANSWERING] = SETTLED_ROW(ANSWERING, STEP(DONE, FINISH), STEP(RESTING, REST),
						 STEP(RESTING, REST)),
	[DELIVERY_PHASE_DONE] = SETTLED_ROW(DONE, STEP(DONE, NOTHING), STEP(DONE, NOTHING),
					    STEP(DONE, NOTHING)),
};

struct delivery_step delivery_step(enum delivery_phase phase, enum delivery_event event, bool kept)
{
	struct delivery_step step = steps[phase][event];
	bool obstacle = (phase == DELIVERY_PHASE_QUEUED && event == DELIVERY_EV_UNREACHABLE) ||
			(phase < DELIVERY_PHASE_ANSWERING && (event == DELIVERY_EV_STOPPING || event == DELIVERY_EV_BARRED));
	if (kept)
		return step;
	if (event == DELIVERY_EV_TRANSIENT && step.action == DELIVERY_DO_REST)
		return (struct delivery_step)STEP(ANSWERING, RECORD);
	if (step.action == DELIVERY_DO_REST || obstacle)
		return (struct delivery_step)STEP(ANSWERING, ANSWER);
	return step;
}

enum cause delivery_outlook(enum cause was, enum delivery_event event)
{
	switch (event) {
	case DELIVERY_EV_SENT:
	case DELIVERY_EV_PENDING:
	case DELIVERY_EV_TRANSIENT:
		return CAUSE_PARTNER_TIMEOUT;
	case DELIVERY_EV_LOST:
		return CAUSE_PARTNER_CONNECTION_LOST;
	case DELIVERY_EV_NONSENSE:
		return CAUSE_PARTNER_PROTOCOL_ERROR;
	case DELIVERY_EV_STOPPING:
		return CAUSE_SHUTTING_DOWN;
	case DELIVERY_EV_LOADING:
	case DELIVERY_EV_RESPONSE:
	case DELIVERY_EV_UNREACHABLE:
	case DELIVERY_EV_UNSENDABLE:
	case DELIVERY_EV_BARRED:
	case DELIVERY_EV_DUE:
	case DELIVERY_EV_DEADLINE:
	case DELIVERY_EV_STORED:
	case DELIVERY_EV_NOT_STORED:
	case DELIVERY_EVENTS:
		break;
	}
	return was;
}

uint64_t delivery_rest_ms(enum delivery_event why, unsigned attempts, uint32_t random)
{
	unsigned first = why == DELIVERY_EV_LOST ? 2 : 1;
	if (attempts < first)
		return why == DELIVERY_EV_LOST ? 0 : link_backoff_ms(0, random);
	return link_backoff_ms(attempts - first, random);
}
