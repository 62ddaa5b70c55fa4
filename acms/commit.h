#ifndef ACMS_COMMIT_H
#define ACMS_COMMIT_H

#include <stdatomic.h>
#include "acms/config.h"
#include "acms/store.h"
#include "common/setup.h"

/*
 * What is done in one transaction at the partner (PROTOCOL.md 5.3 to 5.7): look up, plan, apply, record, audit.
 * Functions of the committer's thread; they know the store, and no socket and no live configuration. Each checks
 * completely before its first write. The transaction's sticky status tells of store errors, and then what they
 * answered is void. What they return lives in the work arena.
 */

/*
 * Whether a request that was refused, or changed nothing, may have an entry of its own in the audit log: of each party so many
 * a minute (refusals.h). A job may be run again: what was granted stays so.
 */
struct refusal_claim {
	atomic_uint *left;
	bool granted;
};
/* In any thread. c NULL: granted. */
static inline bool refusal_grant(struct refusal_claim *c)
{
	if (!c || !c->left || c->granted)
		return true;
	unsigned left = atomic_load(c->left);
	while (left > 0 && !atomic_compare_exchange_weak(c->left, &left, left - 1)) {
	}
	c->granted = left > 0;
	return c->granted;
}

/* A request of a home system, or of an import, judged by the rules of when it was submitted. */
struct commit_setup {
	struct setup setup;         /* well-formed; its times are judged here */
	bool must_expire;           /* of version 2 */
	struct str home;            /* the home system, by its certificate */
	struct str certificate;     /* who asks, or decides: for the audit entry */
	struct verdict denied;      /* a denial at step 4 to be recorded; CAUSE_NO_CAUSE: to be done */
	const struct identity_cause *refused; /* best effort: the identities that it may not set up (106) */
	size_t n_refused;
	enum approval approval;     /* the policy for this operation */
	uint64_t decide_within_ms;  /* when it is manual */
	uint64_t most_users;        /* quota */
	uint64_t most_pending;      /* of this home system */
	uint64_t most_pending_bytes; /* that these take; 0: no bound */
	uint64_t most_answers_bytes; /* that are kept for it; 0: no bound */
	struct str token_issuer;    /* of the home system; STR_NONE: not configured */
	enum audit_action action;   /* 0: by the operation */
	struct refusal_claim *claim; /* if it changes nothing; NULL: that has an entry in the audit log in any case */
};

/* What became of it. */
struct commit_answer {
	struct verdict verdict;    /* 5xx: nothing was written */
	uint8_t content[DIGEST_SIZE]; /* of the request: what a receipt is about */
	bool repeated;             /* recorded before */
	bool pending;              /* waits for a decision, until decide_until_ms */
	uint64_t decide_until_ms;
	uint64_t answered_ms;      /* when it was done: the receipt's time */
	const uint64_t *revisions; /* of each user, in order, 0: none; or n_revisions is 0 */
	size_t n_revisions;
	struct decided_by decided_by;
	bool idle;                 /* refused, or all was so already; it has an entry in the audit log, if the claim was granted */
};

void commit_setup(struct store_txn *t, struct arena *work, const struct commit_setup *what,
		  uint64_t now_ms, struct commit_answer *out);

/*
 * A refusal that does not depend on the store (2xx, 3xx): an entry in the audit log, no record. What is not well-formed
 * is left out of the entry.
 */
struct commit_refusal {
	struct setup_request request; /* as received */
	struct str home, certificate;
	struct verdict verdict;
};
void commit_refusal(struct store_txn *t, struct arena *work, const struct commit_refusal *what,
		    uint64_t now_ms);

/* Requests of one party that have no entry of their own: one for all. */
struct refusal_sum {
	struct str home, acmc, certificate; /* acmc STR_NONE: of a home system */
	enum cause cause;                   /* of the last one that was refused; CAUSE_NO_CAUSE: none was */
	uint64_t refused, unchanged;
};
void commit_refusal_sum(struct store_txn *t, struct arena *work, const struct refusal_sum *what, uint64_t now_ms);

/*
 * A decision takes two steps, since the rules that the request is judged by are the loop's: find it, judge it there,
 * decide.
 */
struct commit_find {
	const struct str *homes; /* that may be decided for */
	size_t n_homes;
	const struct str *known; /* all home systems that there are, for also_of_others; none: it is not asked for */
	size_t n_known;
	struct request_id request_id;
};
struct commit_found {
	struct commit_waiting {
		struct str home;
		struct pending_record pending;
		bool also_of_others; /* another home system has, or had, a request with this ID */
	} *waiting;                /* one of each home system that has it, in their order */
	size_t n;
	const char *detail;        /* if there is none: what is known of it, for people; NULL: nothing */
	bool failed;               /* out of memory */
};
/* Into the arena a, which may be another than work. */
void commit_find(struct store_txn *t, struct arena *a, const struct commit_find *what,
		 struct commit_found *out);

struct commit_decision {
	struct commit_setup what;  /* the pending request, judged by the present rules */
	bool approve;
	struct decided_by decided_by;
};
struct commit_decided {
	enum cause cause;          /* UNKNOWN_REQUEST, STORE_UNAVAILABLE, or CAUSE_NO_CAUSE: decided */
	const char *detail;
	struct commit_answer answer;
};
void commit_decision(struct store_txn *t, struct arena *work, const struct commit_decision *what,
		     uint64_t now_ms, struct commit_decided *out);

/*
 * What time does: removes users whose validity ended, answers pending requests that nobody decided about, forgets
 * answers that were kept long enough; a bounded share of each.
 */

/* Where to go on in a list by home system and request ID. All zero: at the start. */
struct sweep_place {
	bool started;
	size_t home_len;
	char home[MC_SYSTEM_ID_MAX];
	struct request_id id;
};

struct commit_sweep {
	uint64_t keep_ms;                  /* how long answers are kept */
	struct sweep_place requests, pending;
	bool look_at_requests, look_at_pending;
};

/* A pending request that came to its end. */
struct swept {
	struct str home;
	struct setup setup;
	struct commit_answer answer;
};

struct commit_swept {
	bool again;                        /* there is more to do now */
	struct sweep_place requests, pending; /* for the next time; not started: all were seen */
	uint64_t next_pending_ms;          /* the first time that one seen is to be decided by; UINT64_MAX: none */
	struct swept *answered;
	size_t n_answered;
};

void commit_sweep(struct store_txn *t, struct arena *work, const struct commit_sweep *what,
		  uint64_t now_ms, struct commit_swept *out);

#endif
