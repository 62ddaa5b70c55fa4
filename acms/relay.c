#include "acms/relay.h"

#include <stdlib.h>
#include "acms/authorise.h"

static int compare_targets(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

struct route *relay_routes(struct arena *a, const struct config *config,
			   const struct acmc_rule *acmc, const struct str *targets,
			   size_t n_targets, size_t *n)
{
	struct str *sorted = arena_array(a, n_targets, sizeof *sorted);
	struct route *routes = arena_array(a, n_targets, sizeof *routes);
	*n = 0;
	if (!sorted || !routes)
		return NULL;
	for (size_t i = 0; i < n_targets; i++)
		sorted[i] = targets[i];
	qsort(sorted, n_targets, sizeof *sorted, compare_targets);
	for (size_t i = 0, next; i < n_targets; i = next) {
		for (next = i + 1; next < n_targets && str_eq(sorted[i], sorted[next]);)
			next++;
		struct route *r = &routes[(*n)++];
		r->target = sorted[i];
		r->cause = authorise_target(config, acmc, sorted[i], next - i, &r->partner);
	}
	return routes;
}

#define ANSWER(name) { RELAY_ANSWERED, CAUSE_##name }
#define STAY(state) { state, CAUSE_NO_CAUSE }

static const struct relay_step steps[RELAY_STATES][RELAY_EVENTS] = {
	[RELAY_QUEUED] = {
		[RELAY_EV_SENT] = STAY(RELAY_SENT),
		[RELAY_EV_OVER_LIMIT] = ANSWER(PARTNER_LIMIT),
		[RELAY_EV_RESPONSE] = STAY(RELAY_QUEUED),
		[RELAY_EV_NONSENSE] = STAY(RELAY_QUEUED),
		[RELAY_EV_UNREACHABLE] = ANSWER(PARTNER_UNREACHABLE),
		[RELAY_EV_LOST] = STAY(RELAY_QUEUED), /* not sent: waits for the next connection */
		[RELAY_EV_DEADLINE] = ANSWER(PARTNER_UNREACHABLE),
		[RELAY_EV_STOPPING] = ANSWER(SHUTTING_DOWN),
	},
	[RELAY_SENT] = {
		[RELAY_EV_SENT] = STAY(RELAY_SENT),
		[RELAY_EV_OVER_LIMIT] = STAY(RELAY_SENT),
		[RELAY_EV_RESPONSE] = ANSWER(NO_CAUSE),
		[RELAY_EV_NONSENSE] = ANSWER(PARTNER_PROTOCOL_ERROR),
		[RELAY_EV_UNREACHABLE] = STAY(RELAY_SENT),
		[RELAY_EV_LOST] = ANSWER(PARTNER_CONNECTION_LOST),
		[RELAY_EV_DEADLINE] = ANSWER(PARTNER_TIMEOUT),
		[RELAY_EV_STOPPING] = STAY(RELAY_SENT), /* the answer may still come while draining */
	},
	[RELAY_ANSWERED] = {
		[RELAY_EV_SENT] = STAY(RELAY_ANSWERED),
		[RELAY_EV_OVER_LIMIT] = STAY(RELAY_ANSWERED),
		[RELAY_EV_RESPONSE] = STAY(RELAY_ANSWERED),
		[RELAY_EV_NONSENSE] = STAY(RELAY_ANSWERED),
		[RELAY_EV_UNREACHABLE] = STAY(RELAY_ANSWERED),
		[RELAY_EV_LOST] = STAY(RELAY_ANSWERED),
		[RELAY_EV_DEADLINE] = STAY(RELAY_ANSWERED),
		[RELAY_EV_STOPPING] = STAY(RELAY_ANSWERED),
	},
};

struct relay_step relay_step(enum relay_state state, enum relay_event event)
{
	return steps[state][event];
}
