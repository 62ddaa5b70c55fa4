#ifndef ACMS_NOTARY_H
#define ACMS_NOTARY_H

#include <stdbool.h>
#include "common/merkle.h"
#include "common/str.h"

/*
 * Signs receipts (PROTOCOL.md 11), as many as come together with one signature, which costs as much as a thousand digests:
 * what one transaction did is handed back together, and so certified together.
 *
 * The signature is made ahead, while the transaction's thread waits for the disk. It is used only for leaves that come back
 * as done, the very same and in the same order; otherwise it is destroyed. So nothing that was not done is ever certified.
 */

struct tls_identity;
struct notary;

/* Embedded in what waits for its receipt; whoever adds it owns it again once certified() is called. */
struct notary_item {
	struct merkle_hash leaf; /* of the claims */
	/* With the proof and the root that it leads to, borrowed for the call. proof.ptr == NULL: no receipt can be made now. */
	void (*certified)(struct notary_item *item, struct str proof, const struct merkle_hash *root);
	struct notary_item *next; /* the notary's */
};

/* NULL: out of memory. */
struct notary *notary_new(void);
void notary_free(struct notary *n); /* NULL is fine. Nobody may wait any more */

/* --- in the committer's thread --- */

/* The transaction at hand is to do this. Those that there is no room for are signed afterwards. */
void notary_note(struct notary *n, const struct merkle_hash *leaf);
/* All that it does was noted, and may be signed ahead. False: there is nothing. */
bool notary_offer(struct notary *n);
/* It has ended, well or not: what was noted is not to be signed ahead any more. */
void notary_withdraw(struct notary *n);

/* --- in the loop's --- */

/* It is done, and on disk. */
void notary_add(struct notary *n, struct notary_item *item);
/*
 * Certifies all that wait, in the order in which they came: to be called when all that was handed back has been added,
 * whether there was something to add or not. Failures are logged.
 */
void notary_sign(struct notary *n, const struct tls_identity *id);
/* Signs what was offered, if anything was. */
void notary_sign_ahead(struct notary *n, const struct tls_identity *id);
/* The identity changes: what was signed ahead is destroyed. */
void notary_forget(struct notary *n);

#endif
