#include "common/sort.h"

#include <stdlib.h>
#include <string.h>

/* Where the run that begins at `from` ends. */
static size_t run_end(const void *const *items, size_t from, size_t n, sort_compare *compare)
{
	do
		from++;
	while (from < n && compare(items[from - 1], items[from]) <= 0);
	return from;
}

/* Of two neighbouring runs, [from, middle) and [middle, to), one in out. */
static void merge(const void *const *items, size_t from, size_t middle, size_t to, const void **out,
		  sort_compare *compare)
{
	size_t a = from, b = middle, n = from;
	while (a < middle && b < to)
		out[n++] = compare(items[a], items[b]) <= 0 ? items[a++] : items[b++];
	memcpy(out + n, items + a, (middle - a) * sizeof *out);
	memcpy(out + n + middle - a, items + b, (to - b) * sizeof *out);
}

/* Makes one run of each two. How many there are then. */
static size_t merge_all(const void *const *items, size_t *ends, size_t runs, const void **out,
			sort_compare *compare)
{
	size_t from = 0, merged = 0;
	for (size_t r = 0; r < runs; r += 2) {
		size_t last = r + 1 < runs ? r + 1 : r;
		merge(items, from, ends[r], ends[last], out, compare);
		from = ends[merged++] = ends[last];
	}
	return merged;
}

bool sort_runs(struct arena *a, const void **items, size_t n, sort_compare *compare)
{
	size_t runs = 0, end = n ? run_end(items, 0, n, compare) : 0;
	if (end == n)
		return true;
	const void **spare = arena_array_raw(a, n, sizeof *spare), **now = items;
	size_t *ends = arena_array_raw(a, n, sizeof *ends);
	if (!spare || !ends)
		return false;
	for (ends[runs++] = end; end < n; ends[runs++] = end)
		end = run_end(items, end, n, compare);
	while (runs > 1) {
		const void **to = now == items ? spare : items;
		runs = merge_all(now, ends, runs, to, compare);
		now = to;
	}
	if (now != items)
		memcpy(items, now, n * sizeof *items);
	return true;
}

void sort_items(void *items, size_t n, size_t size, sort_compare *compare)
{
	size_t i = 1;
	while (i < n && compare((char *)items + (i - 1) * size, (char *)items + i * size) <= 0)
		i++;
	if (i < n)
		qsort(items, n, size, compare);
}
