#ifndef ACMS_ROUTE_H
#define ACMS_ROUTE_H

#include <stddef.h>
#include "acms/config.h"
#include "common/arena.h"
#include "common/cause.h"
#include "common/setup.h"

/*
 * The targets of one request. Pure.
 */

/* One distinct MC system ID of a request, and what is to become of it. */
struct route {
	struct str target;
	enum cause cause; /* CAUSE_NO_CAUSE: to be sent on */
};

/*
 * The distinct targets of a request, each judged by itself (PROTOCOL.md 5.4 c). NULL: the arena is spent. *n may
 * be 0 only if the request names no target.
 */
struct route *routes_of(struct arena *a, const struct config *config, const struct acmc_rule *acmc,
			const struct str *targets, size_t n_targets, size_t *n);

#endif
