#ifndef ACX_COSE_H
#define ACX_COSE_H

#include <stddef.h>
#include "common/arena.h"
#include "common/error.h"
#include "common/merkle.h"
#include "common/str.h"

/*
 * COSE Receipts (RFC 9942, draft-ietf-cose-merkle-tree-proofs-17) of the verifiable data structure RFC9162_SHA256, as far as
 * ours need them: a COSE_Sign1 (RFC 9052 4.2) over the root of a Merkle tree, and the proof that an entry is in it. The bytes
 * around the signature, which tls.h makes and verifies. One encoding only, the deterministic one; the protected header has
 * algorithm and data structure, the unprotected one x5chain (RFC 9360) and one inclusion proof, and neither has anything
 * else; the payload is detached. Pure.
 */

enum { COSE_ES256 = -7, COSE_ES384 = -35, COSE_PS256 = -37 };
enum { COSE_CHAIN_MAX = 8, COSE_SIGNATURE_MAX = 1024 };

struct cose_receipt {
	int algorithm;
	struct str protected_header; /* as it is encoded: what was signed */
	const struct str *chain;     /* x5chain, DER: the signer's certificate first; at least one */
	size_t n_chain;
	struct merkle_proof proof;
	struct str signature;
};

/* All from the arena; ptr == NULL when it is spent. */
struct str cose_protected_header(struct arena *a, int algorithm);
/* The Sig_structure (RFC 9052 4.4), without external data: what the signature is over. */
struct str cose_to_be_signed(struct arena *a, struct str protected_header, struct str payload);
/* algorithm is not looked at: it is in protected_header. */
struct str cose_encode(struct arena *a, const struct cose_receipt *c);

/*
 * Takes nothing but what cose_encode makes, with a signature of the algorithm's length. Verifies nothing. Borrows from bytes;
 * chain from the arena. ERR_INPUT, ERR_MEMORY.
 */
enum status cose_parse(struct arena *a, struct str bytes, struct cose_receipt *out, struct error *e);

#endif
