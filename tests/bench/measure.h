#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* What the load generators share: a clock, latencies, and how results are written. */

static inline uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct latencies {
	uint32_t *us10; /* tenths of microseconds */
	size_t n, room;
};

static inline void latency_add(struct latencies *l, uint64_t ns)
{
	if (l->n == l->room) {
		l->room = l->room ? 2 * l->room : 65536;
		l->us10 = realloc(l->us10, l->room * sizeof *l->us10);
		if (!l->us10)
			abort();
	}
	l->us10[l->n++] = ns / 100 > UINT32_MAX ? UINT32_MAX : (uint32_t)(ns / 100);
}

static inline int latency_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* One JSON object on a line; more: further members, or "". */
static inline void report(size_t done, size_t failed, uint64_t ns, struct latencies *l, const char *more)
{
	double seconds = (double)ns / 1e9;
	printf("{\"done\": %zu, \"failed\": %zu, \"seconds\": %.6f, \"rate\": %.1f", done, failed, seconds,
	       seconds > 0 ? (double)done / seconds : 0);
	if (l && l->n) {
		qsort(l->us10, l->n, sizeof *l->us10, latency_compare);
		printf(", \"p50_us\": %.1f, \"p99_us\": %.1f", l->us10[l->n / 2] / 10.0,
		       l->us10[l->n - 1 - l->n / 100] / 10.0);
	}
	printf("%s%s}\n", *more ? ", " : "", more);
	fflush(stdout);
}

#endif
