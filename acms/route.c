#include "acms/route.h"

#include <stdlib.h>
#include "acms/authorise.h"

static int compare_targets(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

struct route *routes_of(struct arena *a, const struct config *config, const struct acmc_rule *acmc,
			const struct str *targets, size_t n_targets, size_t *n)
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
		const struct partner_rule *partner;
		r->target = sorted[i];
		r->cause = authorise_target(config, acmc, sorted[i], next - i, &partner);
	}
	return routes;
}
