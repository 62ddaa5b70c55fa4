#ifndef ACMS_COMMIT_H
#define ACMS_COMMIT_H

#include "acms/committer.h"
#include "acms/config.h"
#include "common/setup.h"

/*
 * What is done in one transaction at the partner (PROTOCOL.md 5.3 to 5.6): look up, plan, apply, record, audit.
 * Functions of the committer's thread; they know the store and no socket.
 */

/* A request of a home system, of our approver, or of an import. */
struct commit_setup {
	struct setup setup;        /* lives in the submitter's arena */
	struct str home;           /* the home system, by its certificate */
	struct str certificate;    /* for the audit entry */
	struct verdict denied;     /* a denial at step 4 to be recorded; CAUSE_NO_CAUSE: to be done */
	enum approval approval;    /* the partner's policy for this operation */
	uint64_t decide_within_ms; /* when it is manual */
	uint64_t most_users;       /* quota */
	uint64_t most_pending;     /* of this home system */
	struct str token_issuer;   /* of the home system; STR_NONE: not configured */
	struct decided_by decided_by; /* the approver; acmc STR_NONE: automatic */
	enum audit_action action;
};

/* What became of it. Lives in the work arena. */
struct commit_answer {
	struct verdict verdict;    /* 5xx: nothing was written */
	bool repeated;             /* recorded before */
	bool pending;              /* waits for a decision, until decide_until_ms */
	uint64_t decide_until_ms;
	uint64_t answered_ms;      /* when it was done: the receipt's time */
	struct user_revision *revisions;
	size_t n_revisions;
	struct decided_by decided_by;
};

void commit_setup(struct store_txn *t, struct arena *work, const struct commit_setup *what,
		  uint64_t now_ms, struct commit_answer *out);

/* A decision about a pending request. */
struct commit_decision {
	struct str home;           /* STR_NONE: the request ID alone says it */
	struct request_id request_id;
	bool approve;
	struct decided_by decided_by; /* at_ms is filled in */
	struct str certificate;    /* the approver's */
	/* Whether this ACMC may decide for a home system, and that system's present rules; NULL: it may not. */
	const struct partner_rule *(*rule)(void *context, struct str home);
	void *context;
};

struct commit_decided {
	enum cause cause;          /* UNKNOWN_REQUEST, ACMC_NOT_AUTHORISED, or CAUSE_NO_CAUSE */
	const char *detail;
	struct str home;
	struct setup setup;        /* the request; lives in the work arena */
	struct commit_answer answer;
};

void commit_decision(struct store_txn *t, struct arena *work, const struct commit_decision *what,
		     uint64_t now_ms, struct commit_decided *out);

/*
 * Removes users whose validity ended, answers pending requests whose time is over, prunes what was kept long enough;
 * a bounded share of each. keep_ms: how long answers are kept. *again: there is more to do now. Answered: called for
 * each pending request that came to its end, so that its home system is told.
 */
struct commit_sweep {
	uint64_t keep_ms;
	struct sweep_place *place; /* where pruning goes on; the caller's, zeroed at first */
};
struct swept {
	struct str home;
	struct setup setup;
	struct commit_answer answer;
};
struct commit_swept {
	bool again;
	struct swept *answered;
	size_t n_answered;
};
void commit_sweep(struct store_txn *t, struct arena *work, const struct commit_sweep *what,
		  uint64_t now_ms, struct commit_swept *out);

#endif
