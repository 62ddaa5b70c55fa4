#ifndef ACMC_PARTS_H
#define ACMC_PARTS_H

#include "common/setup.h"
#include "common/users_file.h"

/*
 * One command's users, split into requests that the server takes (PROTOCOL.md 5.5), and what came back. Pure.
 */

struct part {
	struct request_id id;
	size_t first_user, n_users; /* of the command's users */
};

struct parts {
	struct arena *arena;
	const struct users *users;
	const struct str *targets;
	size_t n_targets;
	struct str home_acmc_id; /* STR_NONE: left out */
	struct part *items;
	size_t n;
};

/*
 * Splits by both ends' limits. base: the ID of the first part. False: a user alone is more than the server takes
 * (*too_large says which, from 0), or out of memory (*too_large is the number of users).
 */
bool parts_split(struct parts *p, struct request_id base, const struct limits *server,
		 const struct limits *own, size_t *too_large);
/* The request of a part; lists from the arena given. False: out of memory. */
bool parts_request(const struct parts *p, size_t i, struct arena *a, struct setup_request *out);

/* The answer of one target to one part. */
struct answer {
	bool given;
	bool result;
	enum origin origin;
	enum cause cause;
	struct str detail;
	struct identity_cause *identities;
	size_t n_identities;
};

struct answers {
	struct arena *arena; /* that answers are copied to */
	const struct parts *parts;
	struct answer *items; /* parts x targets */
	size_t missing;
	struct str home; /* MC system ID */
};

/* home is copied. */
bool answers_init(struct answers *a, struct arena *arena, const struct parts *parts, struct str home);
struct answer *answers_at(const struct answers *a, size_t part, size_t target);
/*
 * Takes a response. One for the whole request (mc_system_id is the home's own, and no target's) counts for every
 * target. False: it belongs to nothing that is missing an answer. *part and *complete: which part, and whether nothing
 * is missing of it now.
 */
bool answers_take(struct answers *a, const struct setup_response *response, size_t *part,
		  bool *complete);
/*
 * What is wrong (static) with a response that answers_take would take but PROTOCOL.md 6 does not allow, so that it must
 * not be believed. NULL: nothing, or nobody waits for it.
 */
const char *answers_fault(const struct answers *a, const struct setup_response *response);

/* --- exit codes, in ascending order of precedence where several apply --- */
enum {
	EXIT_ALL_TRUE = 0,
	EXIT_SOME_FALSE = 1,
	EXIT_USAGE = 2,
	EXIT_REFUSED = 3,
	EXIT_UNREACHABLE = 4,
	EXIT_SYSTEM = 5,
};
/* From the answers alone. */
int answers_exit_code(const struct answers *a);
/* The home system refused: every answer is its own, with a 1xx or 2xx cause. */
bool answers_refused(const struct answers *a);

#endif
