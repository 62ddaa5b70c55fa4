#ifndef ACX_RECEIPT_H
#define ACX_RECEIPT_H

#include <stdint.h>
#include "common/arena.h"
#include "common/content.h"
#include "common/error.h"
#include "common/identity.h"
#include "common/merkle.h"
#include "common/setup.h"
#include "common/str.h"

/*
 * What a partner ACMS certifies that it has done (PROTOCOL.md 11): the claims, unsigned. Both ends make them of what was
 * asked and answered, so they do not travel; for others they are put together with what was asked, and the signature.
 * Signing and verifying are in receipt_sign.h. Pure.
 */

/* Bytes of an ACMC's name in claims. */
enum { RECEIPT_DECIDED_BY_MAX = 255 };

/* In place of a revision: the user was not done. */
#define RECEIPT_NOT_DONE UINT64_MAX

struct receipt_claims {
	struct str partner, home; /* MC system IDs; the partner signs */
	struct request_id request_id;
	enum operation operation;
	uint64_t done_ms;         /* Unix, by the partner's clock */
	uint8_t content[CONTENT_DIGEST_SIZE]; /* of what was asked */
	const uint64_t *revisions; /* of each user of the content, in its order: that it has since; 0: removed; or NOT_DONE */
	size_t n_users;           /* of the content; one was done at least */
	struct str decided_by;    /* what the partner calls the ACMC that approved; STR_NONE: it was automatic */
};

/* What others have, opened: what was asked, and what was done of it. */
struct receipt {
	struct receipt_claims claims;
	struct setup setup; /* without what is no content */
};

/* What was found signed: whatever leads along the path to the root. */
struct receipt_proof {
	struct merkle_proof path;
	struct merkle_hash root;
};

/* What became of a request, as a partner knows it and as its response says it to home. Borrowed. */
struct receipt_outcome {
	struct str partner, home;
	const uint8_t *content;   /* the digest of the request's content */
	uint64_t done_ms;
	enum cause cause;         /* NO_CAUSE: all users were done; PARTLY_DONE: those that identities do not name */
	const struct identity_cause *identities;
	size_t n_identities;
	const uint64_t *revisions; /* of each user of the setup, in order; 0: it has none, as those removed */
	size_t n_revisions;       /* of them; 0: nobody has one */
	struct str decided_by;
};

/*
 * The claims about a setup's outcome. The list from the arena, the rest borrowed. ERR_MEMORY; ERR_INPUT: there is nothing to
 * certify, since the cause is another, nobody was done, or a user who was done has no revision.
 */
enum status receipt_from_setup(struct arena *a, const struct setup *setup, const struct receipt_outcome *outcome,
			       struct receipt_claims *out, struct error *e);

/* ptr == NULL: the arena is spent. */
struct str receipt_encode(struct arena *a, const struct receipt_claims *claims);
/* Takes nothing but what receipt_encode makes of valid claims. Borrows from bytes; the list from the arena. */
enum status receipt_decode(struct arena *a, struct str bytes, struct receipt_claims *out, struct error *e);

/* Why these cannot be claims about this setup, whatever the digest says: static; NULL: they can. */
const char *receipt_misfit(const struct receipt_claims *claims, const struct setup *setup);
/*
 * Why home does not take what a partner says it has done at done_ms, for a request that home accepted at asked_ms and that
 * expires then; now_ms: by home's clock. Static; NULL: it does. Who asked can tell that it was not before, nor is yet to come,
 * and clocks differ by less than RECEIPT_CLOCKS_MS.
 */
#define RECEIPT_CLOCKS_MS (5 * 60000ull)
const char *receipt_misdated(uint64_t done_ms, uint64_t asked_ms, uint64_t expires_ms, uint64_t now_ms);
/* Of the users of the content. */
size_t receipt_users_done(const struct receipt_claims *claims);

/* A receipt for those who know neither request nor response. */
struct receipt_parts {
	struct str content; /* setup_content of the request */
	struct str claims;
	struct str proof;   /* what certifies them: a COSE receipt */
};

/* In one; as receipt_encode. */
struct str receipt_join(struct arena *a, const struct receipt_parts *parts);
/* Takes nothing but what receipt_join makes, of whatever. Borrows. ERR_INPUT. */
enum status receipt_split(struct str whole, struct receipt_parts *out, struct error *e);

#endif
