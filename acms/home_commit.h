#ifndef ACMS_HOME_COMMIT_H
#define ACMS_HOME_COMMIT_H

#include "acms/commit.h"
#include "acms/route.h"
#include "acms/store.h"
#include "common/setup.h"

/*
 * What is done in one transaction at home (PROTOCOL.md 9): what was accepted, what was answered. Functions of
 * the committer's thread; they know the store and no socket.
 */

struct receipt_proof;

/* A request of an ACMC that passed the checks. */
struct home_request {
	struct setup setup;        /* expires_ms: the deadline */
	struct str acmc, certificate;
	struct str own;            /* our MC system ID */
	const struct route *routes;
	size_t n_routes;
	uint64_t bytes;            /* of unfinished.h */
	const struct verdict *late; /* NULL, or why it is refused unless it came before: the time, or every target */
	struct refusal_claim *claim; /* if it is; NULL: that has an entry in the audit log in any case */
};

/* What one target has answered. */
struct home_answered {
	struct str target;
	bool answered;
	struct answer_record answer;
};

struct home_accepted {
	bool reused;               /* the ID is another request's */
	bool late;                 /* refused, as said; that is in the audit log */
	bool repeated;             /* came before: what follows is what is known of it */
	uint64_t accepted_ms, deadline_ms;
	uint8_t content[DIGEST_SIZE]; /* of the request */
	struct home_answered *targets; /* one for each route, in their order */
};

/* Puts it on disk with its targets, or finds it there. Out lives in the work arena. */
void home_accept(struct store_txn *t, struct arena *work, const struct home_request *r,
		 uint64_t now_ms, struct home_accepted *out);

/* The answer of or for a target of this request; also our own, of when it was accepted. False: there is none yet. */
bool home_get_answer(struct store_txn *t, struct arena *a, struct request_id id, const struct asked_record *asked,
		     struct str target, struct answer_record *out);

/* A request that the home system refuses as a whole: an audit entry. */
void home_refuse(struct store_txn *t, struct arena *work, const struct home_request *r,
		 const struct verdict *v, uint64_t now_ms);

/* A final answer for one target. */
struct home_answer {
	struct request_id request_id;
	struct str partner, own;
	const struct asked_record *asked; /* the request, less when it was accepted, if it is at hand; NULL: it is read */
	const struct setup_response *response; /* as it came, or NULL: our own, cause and detail */
	uint32_t version;          /* of the connection that it came by */
	const struct receipt_proof *receipt; /* signed by the partner, whatever it is for; NULL: none came */
	struct merkle_memo *memo;  /* of all answers, for receipts that were signed together */
	enum cause cause;          /* with response NULL, as what follows */
	const char *detail;
	const struct identity_cause *identities;
	size_t n_identities;
};

struct home_recorded {
	const char *fault;         /* it cannot be an answer to the request; nothing was written */
	bool later;                /* the partner asks to come later: nothing was written */
	bool recorded;             /* or else nobody waits for it */
	struct setup setup;        /* the request */
	struct answer_record answer;
};

/* Records it, and what we believe from now on about the users. Out lives in the work arena. */
void home_answer(struct store_txn *t, struct arena *work, const struct home_answer *a,
		 uint64_t now_ms, struct home_recorded *out);

/* The response to tell an ACMC of a recorded answer, as requested, without its receipt. Borrowed. */
void home_response(const struct setup *setup, struct str target, const struct answer_record *answer,
		   struct setup_response *out);

/*
 * The receipt of a recorded answer, from the arena, complete with what was asked and the claims, which are made anew;
 * *out STR_NONE: it has none. own: our MC system ID. False: the arena is spent.
 */
bool home_receipt(struct arena *a, const struct asked_record *asked, struct str target, struct str own,
		  const struct answer_record *answer, struct str *out);

/* Forgets requests that are answered and older than keep_ms; goes on behind *after; bounded. True: go on now. */
bool home_prune(struct store_txn *t, struct arena *work, uint64_t keep_ms, uint64_t now_ms,
		struct request_id *after);

#endif
