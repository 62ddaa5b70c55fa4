#ifndef ACMS_COMMIT_INTERNAL_H
#define ACMS_COMMIT_INTERNAL_H

#include "acms/commit.h"
#include "acms/plan.h"

/* What commit.c, decide.c and expire.c share. */

/* An MC service ID that a request wants for a user. */
struct wanted_id {
	struct str mc_service_id;
	size_t user;
	struct plan_owner *owner; /* whose it is now */
};

/* One request inside a transaction. */
struct work {
	struct store_txn *txn;
	struct arena *arena;
	uint64_t now_ms;
	const struct commit_setup *what;
	struct commit_answer *out;
	enum audit_action action;
	uint8_t content[DIGEST_SIZE];
	struct system_record system;
	struct user_key *ended; /* users whose validity ended, and who are in the way of this request */
	size_t n_ended;
	struct plan_user *known; /* what is stored of the request's users */
	const struct wanted_id **wanted; /* the MC service IDs that it wants for them, sorted: as the store has them */
	struct plan plan;
};

/* False: out of memory, and the answer says so. */
bool work_start(struct work *w, struct store_txn *t, struct arena *a, const struct commit_setup *what,
		uint64_t now_ms, struct commit_answer *out);
/* Finds the verdict by the rules and the store; writes nothing. False: out of memory, and the answer says so. */
bool work_judge(struct work *w);
/* Applies what was planned, if anything, records the answer and writes the audit entry. */
void work_finish(struct work *w);
/* The audit entry of what became of it. */
void work_audit(struct work *w);
void work_answer_recorded(struct work *w, const struct request_record *r);

/* --- expire.c --- */

/* Whether it is over. now_ms itself is outside. */
bool validity_ended(struct validity v, uint64_t now_ms);
/* Sorts, and drops what is there twice. */
size_t expire_sort(struct user_key *keys, size_t n);
/* Removes users, sorted, with an audit entry for each home system. How many were there. */
size_t expire_users(struct store_txn *t, struct arena *a, const struct user_key *keys, size_t n,
		    uint64_t now_ms);

#endif
