#ifndef ACMS_NOTARY_H
#define ACMS_NOTARY_H

#include "common/merkle.h"
#include "common/str.h"

/*
 * Signs receipts (PROTOCOL.md 11), as many as come together with one signature, which costs as much as a thousand digests:
 * what one transaction did is handed back together, and so certified together. Loop thread only.
 */

struct tls_identity;

/* Embedded in what waits for its receipt; whoever adds it owns it again once certified() is called. */
struct notary_item {
	struct merkle_hash leaf; /* of the claims */
	/* With the proof and the root that it leads to, borrowed for the call. proof.ptr == NULL: no receipt can be made now. */
	void (*certified)(struct notary_item *item, struct str proof, const struct merkle_hash *root);
	struct notary_item *next; /* the notary's */
};

/* Owns nothing. Zeros: nobody waits. */
struct notary {
	struct notary_item *first, *last;
};

void notary_add(struct notary *n, struct notary_item *item);
/* Certifies all that wait, in the order in which they came. Failures are logged. */
void notary_sign(struct notary *n, const struct tls_identity *id);

#endif
