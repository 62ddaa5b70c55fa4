#ifndef ACX_RECEIPT_H
#define ACX_RECEIPT_H

#include <stdint.h>
#include "common/arena.h"
#include "common/error.h"
#include "common/identity.h"
#include "common/merkle.h"
#include "common/setup.h"
#include "common/str.h"

/*
 * What a partner ACMS certifies that it has done (PROTOCOL.md 11): the claims, unsigned. Both ends make them of what was
 * asked and answered, so they do not travel; for others they are put together with the signature. Signing and verifying
 * are in receipt_sign.h. Pure.
 */

struct receipt_user {
	struct str mc_id;
	uint64_t revision; /* that it has since; 0: removed */
	const struct user_service_id *service_ids; /* of the request, sorted by service, then bytewise */
	size_t n_service_ids;
	struct validity validity; /* of the request; zeros: none was given */
};

struct receipt {
	struct str partner, home; /* MC system IDs; the partner signs */
	struct request_id request_id;
	enum operation operation;
	uint64_t done_ms;         /* Unix, by the partner's clock */
	struct receipt_user *users; /* those done, at least one; sorted bytewise by MC ID */
	size_t n_users;
	struct str decided_by;    /* what the partner calls the ACMC that approved; STR_NONE: it was automatic */
};

/* What was found signed: whatever leads along the path to the root. */
struct receipt_proof {
	struct merkle_proof path;
	struct merkle_hash root;
};

/* What became of a request, as a partner knows it and as its response says it to home. Borrowed. */
struct receipt_outcome {
	struct str partner, home;
	uint64_t done_ms;
	enum cause cause;         /* NO_CAUSE: all users were done; PARTLY_DONE: those that identities do not name */
	const struct identity_cause *identities;
	size_t n_identities;
	const uint64_t *revisions; /* of each user, in order: of those done; of removed ones 0, or n_revisions is 0 */
	size_t n_revisions;
	struct str decided_by;
};

/*
 * The receipt for a setup's outcome. Lists from the arena, the rest borrowed. ERR_MEMORY; ERR_INPUT: there is nothing to
 * certify, since the cause is another, nobody was done, or a user who was done has no revision.
 */
enum status receipt_from_setup(struct arena *a, const struct setup *setup,
			       const struct receipt_outcome *outcome, struct receipt *out,
			       struct error *e);

/* The claims; ptr == NULL: the arena is spent. */
struct str receipt_encode(struct arena *a, const struct receipt *receipt);
/* Takes nothing but what receipt_encode makes of a valid receipt. Borrows from claims; lists from the arena. */
enum status receipt_decode(struct arena *a, struct str claims, struct receipt *out, struct error *e);

/* Claims and what certifies them (a COSE receipt) in one, for those who know neither request nor response. As above. */
struct str receipt_join(struct arena *a, struct str claims, struct str proof);
/* Takes nothing but what receipt_join makes, of whatever. Borrows. ERR_INPUT. */
enum status receipt_split(struct str whole, struct str *claims, struct str *proof, struct error *e);

#endif
