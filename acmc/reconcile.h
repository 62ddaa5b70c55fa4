#ifndef ACMC_RECONCILE_H
#define ACMC_RECONCILE_H

#include "common/message.h"

/*
 * Finds where what home believes it set up differs from what a partner holds, by digests of ranges of users: ranges that
 * differ are split and compared again, until few users are left, which are listed (PROTOCOL.md 10). What is the same
 * is never transferred. Pure: it says what to ask, the caller asks, and gives it the answer.
 *
 * Lists must have as many users as their digests said, and where digests differ lists must, too. A range for which that
 * does not hold is compared again, as users may have changed meanwhile; at last somebody contradicts himself.
 */

enum { RECONCILE_LISTED = 64 }; /* users of a range, at most, that is listed rather than split */

enum difference_kind { MISSING_AT_PARTNER, UNKNOWN_TO_HOME, DIFFERENT };

struct difference {
	enum difference_kind kind;
	struct str mc_id;
	const struct user_entry *home, *partner; /* NULL: not there */
};

enum side { SIDE_HOME, SIDE_PARTNER };

struct digested {
	uint64_t users;
	uint8_t digest[RANGE_DIGEST_SIZE];
	struct str *splits;
	size_t n_splits;
};

struct range_list {
	struct work_range {
		struct str from, to;
		unsigned depth;
		uint64_t users[2]; /* to be listed: how many each side said */
		size_t first, n;   /* of what is listed in one go: its parts */
	} *items;
	size_t n, room;
};

struct user_list {
	struct user_entry *items;
	size_t n, room;
};

struct reconcile {
	struct arena *arena; /* ranges and differences */
	struct str partner;
	enum side side;      /* that is asked now */
	/* Comparing: the ranges of this round, those of the next, and those to be compared once more after listing. */
	struct range_list now, next, again;
	unsigned rounds;
	struct message query; /* that is asked */
	size_t begin, batch; /* of now, being asked for */
	struct arena *batch_arena;
	struct digested *home; /* what home said of the batch */
	struct mc_id_range *asked;
	/* Listing. */
	bool listing;
	struct range_list parts, lists; /* that differ; neighbours of them together */
	size_t list;
	struct arena *list_arena;
	struct user_list users[2];
	struct str after;    /* the last user of the page before */

	struct difference *found;
	size_t n_found, room_found;
	uint64_t total[2];   /* users at each side */
	uint64_t claimed[2]; /* users that each side said are in the ranges to be listed */
	const char *fault;   /* why it cannot go on (static); NULL: it can, or is done */
	size_t n_queries, n_ranges, n_listed;
};

/* Arena and partner are borrowed. False: out of memory. */
bool reconcile_init(struct reconcile *r, struct arena *arena, struct str partner);
void reconcile_free(struct reconcile *r);
/* The next query, but for its token; it lives until the answer is given. False: done, or there is a fault. */
bool reconcile_next(struct reconcile *r, struct message *out);
/* NULL: good; otherwise the fault. */
const char *reconcile_take(struct reconcile *r, const struct message *answer);

const char *difference_name(enum difference_kind kind);

#endif
