#ifndef ACX_SORT_H
#define ACX_SORT_H

#include <stdbool.h>
#include "common/arena.h"

/* Pure. */

typedef int sort_compare(const void *a, const void *b);

/*
 * Sorts pointers by what they point to, those that are equal staying in order. Runs that are sorted already are merged:
 * what is nearly sorted costs a look at each, and nothing is worse than what qsort makes of it. Memory from the arena;
 * false: it is spent, and the pointers are in no certain order.
 */
bool sort_runs(struct arena *a, const void **items, size_t n, sort_compare *compare);
/* Items themselves, which are mostly in order: then it costs a look at each. */
void sort_items(void *items, size_t n, size_t size, sort_compare *compare);

#endif
