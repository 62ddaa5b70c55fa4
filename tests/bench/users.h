#ifndef BENCH_USERS_H
#define BENCH_USERS_H

#include <stdint.h>
#include <stdio.h>

/*
 * The users that every load generator works with: user i is the same everywhere. An MC ID and three MC service
 * IDs. Scattered: neighbours in time are no neighbours in key order, as when users come one by one from all over;
 * otherwise in key order, as an export of a directory has them.
 */

enum { BENCH_SERVICES = 3 };

#define BENCH_HOME "police.example"
#define BENCH_PARTNER "fire.example"

struct bench_user {
	char mc_id[64];
	char service_ids[BENCH_SERVICES][80];
};

/* One-to-one on 32 bits (the finaliser of MurmurHash3). */
static inline uint32_t bench_scatter(uint32_t x)
{
	x ^= x >> 16;
	x *= 0x85ebca6b;
	x ^= x >> 13;
	x *= 0xc2b2ae35;
	return x ^ x >> 16;
}

static inline void bench_user(struct bench_user *u, uint64_t i, int scattered)
{
	static const char *const services[BENCH_SERVICES] = { "mcptt", "mcvideo", "mcdata" };
	unsigned long name = scattered ? bench_scatter((uint32_t)i) : (unsigned long)i;
	snprintf(u->mc_id, sizeof u->mc_id, "officer.%010lu@" BENCH_HOME, name);
	for (int s = 0; s < BENCH_SERVICES; s++)
		snprintf(u->service_ids[s], sizeof u->service_ids[s], "sip:officer.%010lu.%s@" BENCH_HOME, name,
			 services[s]);
}

#endif
