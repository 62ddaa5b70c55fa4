#ifndef BENCH_USERS_H
#define BENCH_USERS_H

#include <stdint.h>
#include <string.h>

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

/* text: with ten digits at `at`, which name takes the place of. By hand: a load generator shares its core with what it loads. */
static inline void bench_name(char *out, const char *text, size_t size, size_t at, uint64_t name)
{
	memcpy(out, text, size);
	for (size_t i = at + 10; i-- > at; name /= 10)
		out[i] = (char)('0' + name % 10);
}

static inline void bench_user(struct bench_user *u, uint64_t i, int scattered)
{
	static const char mc_id[] = "officer.0000000000@" BENCH_HOME;
	static const char mcptt[] = "sip:officer.0000000000.mcptt@" BENCH_HOME;
	static const char mcvideo[] = "sip:officer.0000000000.mcvideo@" BENCH_HOME;
	static const char mcdata[] = "sip:officer.0000000000.mcdata@" BENCH_HOME;
	uint64_t name = scattered ? bench_scatter((uint32_t)i) : i;
	bench_name(u->mc_id, mc_id, sizeof mc_id, 8, name);
	bench_name(u->service_ids[0], mcptt, sizeof mcptt, 12, name);
	bench_name(u->service_ids[1], mcvideo, sizeof mcvideo, 12, name);
	bench_name(u->service_ids[2], mcdata, sizeof mcdata, 12, name);
}

#endif
