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
	/* NULL: a command of which only the number of users is known, as when asking what became of it. */
	struct stock *users;
	const struct str *targets;
	size_t n_targets;
	struct str home_acmc_id; /* STR_NONE: left out */
	uint32_t version;        /* of the protocol, that the server speaks */
	/* Version 2 only. */
	enum operation operation;
	bool has_validity;         /* in place of the users' own */
	struct validity validity;
	uint64_t revision;         /* of users without their own; 0: none */
	uint64_t expires_ms;       /* 0: left out */
	bool dry_run, best_effort;

	struct part *items;
	size_t n;
};

/* Whether the command cannot be said in version 1. */
bool parts_need_version_2(const struct parts *p);
/*
 * Splits by both ends' limits. base: the ID of the first part. False: a user alone is more than the server takes
 * (*too_large is its line), or out of memory, or the stock failed (*too_large is 0).
 */
bool parts_split(struct parts *p, struct request_id base, const struct limits *server,
		 const struct limits *own, unsigned *too_large);
/*
 * The request of a part; lists from the arena given, texts from the stock, until it is asked for others. False: out of
 * memory, or the stock failed.
 */
bool parts_request(const struct parts *p, size_t i, struct arena *a, struct setup_request *out);
/* Likewise what is asked for, as who checks it has it: sorted, MC service IDs with their users. */
bool parts_setup(const struct parts *p, size_t i, struct arena *a, struct setup *out);
/* The part with this ID; the number of parts: none. */
size_t parts_find(const struct parts *p, const struct request_id *id);
/* How many users the command has. */
size_t parts_users(const struct parts *p);

#endif
