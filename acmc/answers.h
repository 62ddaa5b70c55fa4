#ifndef ACMC_ANSWERS_H
#define ACMC_ANSWERS_H

#include "acmc/parts.h"
#include "common/message.h"

/* What came back to a command's requests, or what the home acms says that came. Pure. */

/* The answer of one target to one part, or how far it is. */
struct answer {
	bool given;
	bool result;
	enum origin origin;
	enum cause cause;
	struct str detail;
	struct decided_by decided_by;
	bool has_receipt;
	uint64_t answered_ms; /* 0: not known */
	size_t n_identities;  /* what it says of single users: answers_said */
	uint64_t said_at;     /* where that is packed, */
	size_t said_bytes;    /* 0: it says nothing */
	/* Until it is given: what the home system last told; all zero: nothing. */
	struct delay {
		enum delivery_state state;
		uint32_t attempts;
		uint64_t until_ms;
		struct str detail;
	} delay;
};

/* What an answer says of single users, which may be many. */
struct said {
	struct identity_cause *identities;
	size_t n_identities;
	struct user_revision {
		struct str mc_id;
		uint64_t revision;
	} *revisions;
	size_t n_revisions;
	struct str receipt; /* STR_NONE: none */
};

struct answers {
	struct arena *arena; /* that answers are copied to */
	struct spool *said;  /* what they say of single users */
	const struct parts *parts;
	struct answer *items; /* parts x targets; NULL: nothing was asked yet */
	struct accepted {
		bool yes;
		uint64_t deadline_ms; /* 0: not known */
	} *accepted;                  /* of each part: on the home system's disk */
	size_t missing, n_accepted;
	struct str home; /* MC system ID */
};

/* home is copied. */
bool answers_init(struct answers *a, struct arena *arena, const struct parts *parts, struct str home);
void answers_free(struct answers *a); /* also if it was never initialised, but zeroed */
struct answer *answers_at(const struct answers *a, size_t part, size_t target);
/* The target with this MC system ID; the number of targets: none. */
size_t answers_target(const struct answers *a, struct str mc_system_id);
bool answers_part_complete(const struct answers *a, size_t part);
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
/*
 * Takes an indication. False: it belongs to nothing that is missing. *part: of which part it is; *news: it tells
 * something that none of this target did just before.
 */
bool answers_indicate(struct answers *a, const struct process_indication *indication, size_t *part,
		      bool *news);
/* NULL: what was said could be kept so far; otherwise why not (static). */
const char *answers_failed(const struct answers *a);
/*
 * Lists from the arena, texts until the next call, or until the stock is asked for users of another part. False: out of
 * memory, or it could not be kept.
 */
bool answers_said(const struct answers *a, const struct answer *x, struct arena *arena, struct said *out);
void answers_accept(struct answers *a, size_t part, uint64_t deadline_ms);

/* --- exit codes --- */
enum {
	EXIT_ALL_TRUE = 0,
	EXIT_SOME_FALSE = 1,
	EXIT_USAGE = 2,
	EXIT_REFUSED = 3,
	EXIT_UNREACHABLE = 4,
	EXIT_SYSTEM = 5,
	EXIT_GOES_ON = 6, /* left before every answer came; what was accepted goes on */
};
/* From the answers that there are. */
int answers_exit_code(const struct answers *a);
/* The home system refused: every answer is its own, with a 1xx or 2xx cause. */
bool answers_refused(const struct answers *a);

#endif
