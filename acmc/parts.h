#ifndef ACMC_PARTS_H
#define ACMC_PARTS_H

#include "acmc/stock.h"

/* One command's users, split into requests that the server takes (PROTOCOL.md 5.5). Pure. */

struct part {
	struct request_id id;
	size_t n_users, n_ids;    /* and the MC service IDs that are sent */
	uint64_t offset;          /* of its users in the stock, */
	size_t packed;            /* and their bytes there */
	size_t encoded;           /* bytes that the request has at most */
	struct validity validity; /* of all of them */
};

struct parts {
	struct arena *arena;
	struct stock *users; /* NULL: nothing is known of the command yet */
	const struct str *targets;
	size_t n_targets;
	struct str home_acmc_id; /* STR_NONE: left out */
	enum operation operation;
	bool has_validity;         /* in place of the users' own */
	struct validity validity;
	uint64_t revision;         /* of users without their own; 0: none */
	uint64_t expires_ms;       /* 0: left out */
	bool dry_run, best_effort;

	struct part *items;
	size_t n;
};

/*
 * Splits by both ends' limits. base: the ID of the first part. False: a user alone is more than the server takes
 * (*too_large is its line), or out of memory, or the stock failed (*too_large is 0).
 */
bool parts_split(struct parts *p, struct request_id base, const struct limits *server,
		 const struct limits *own, unsigned *too_large);
/*
 * The request of a part: users in order, each with its MC service IDs in order. Lists from the arena given, texts from the
 * stock, until it is asked for others. False: out of memory, or the stock failed.
 */
bool parts_setup(const struct parts *p, size_t i, struct arena *a, struct setup *out);
/* The part with this ID; the number of parts: none. */
size_t parts_find(const struct parts *p, const struct request_id *id);
/* How many users the command has. */
size_t parts_users(const struct parts *p);

#endif
