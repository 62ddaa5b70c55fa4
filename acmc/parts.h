#ifndef ACMC_PARTS_H
#define ACMC_PARTS_H

#include "common/setup.h"
#include "common/users_file.h"

/* One command's users, split into requests that the server takes (PROTOCOL.md 5.5). Pure. */

struct part {
	struct request_id id;
	size_t first_user, n_users; /* of the command's users */
	struct validity validity;   /* of all of them */
};

struct parts {
	struct arena *arena;
	/* NULL: a command of which only the number of users is known, as when asking what became of it. */
	const struct users *users;
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
/* Users of the same validity side by side, so that they share requests. Call it before parts_split, if at all. */
void parts_group(struct users *users);
/*
 * Splits by both ends' limits. base: the ID of the first part. False: a user alone is more than the server takes
 * (*too_large says which, from 0), or out of memory (*too_large is the number of users).
 */
bool parts_split(struct parts *p, struct request_id base, const struct limits *server,
		 const struct limits *own, size_t *too_large);
/* The request of a part; lists from the arena given. False: out of memory. */
bool parts_request(const struct parts *p, size_t i, struct arena *a, struct setup_request *out);
/* The part with this ID; the number of parts: none. */
size_t parts_find(const struct parts *p, const struct request_id *id);
/* How many users the command has. */
size_t parts_users(const struct parts *p);

#endif
