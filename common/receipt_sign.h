#ifndef ACX_RECEIPT_SIGN_H
#define ACX_RECEIPT_SIGN_H

#include "common/cose.h"
#include "common/receipt.h"
#include "common/tls.h"

/* What certifies claims (PROTOCOL.md 11): COSE receipts, of which one signature makes as many as are wanted together. */

/* Of one signature. Borrows from the leaves, the rest from the arena. */
struct receipt_batch {
	struct merkle_tree tree;
	struct cose_receipt common; /* but for the proof */
};

/*
 * With the key of the certificate that we show in TLS. leaves: merkle_leaf of the claims, 1 to MERKLE_LEAVES_MAX. ERR_TLS,
 * ERR_MEMORY, ERR_SYSTEM.
 */
enum status receipt_sign(struct arena *a, const struct tls_identity *id, const struct merkle_hash *leaves, size_t n,
			 struct receipt_batch *out, struct error *e);
/* The proof for leaf i, as it is sent and kept; ptr == NULL: the arena is spent. */
struct str receipt_prove(struct arena *a, const struct receipt_batch *b, size_t i);

/*
 * At the home ACMS, on its connection to the partner: whether the partner signed this root, of claims that say done_ms
 * (tls_peer_verify). Whether the claims lead to it is for merkle_check to say. ERR_INPUT: no receipt; ERR_TLS: not the
 * partner's; ERR_MEMORY.
 */
enum status receipt_verify_peer(struct arena *a, struct ssl_st *ssl, struct str proof, const struct merkle_hash *root,
				uint64_t done_ms, struct merkle_proof *out, struct error *e);

/*
 * Anywhere, later, of what receipt_join made: whether a server with this certificate name ("DNS:acms.fire.example";
 * STR_NONE: any) under these anchors signed it (tls_trust_verify, where it says what became of certificates since, too).
 * now: Unix seconds. Signer is filled in even if it fails, as far as it is known. *out borrows from whole and the arena.
 * ERR_INPUT: no receipt; ERR_TLS: not theirs; ERR_MEMORY, ERR_SYSTEM.
 */
enum status receipt_verify_offline(struct arena *a, struct str whole, const struct tls_trust *anchors,
				   struct str certificate, int64_t now, struct receipt *out,
				   struct tls_signer *signer, struct error *e);

/* Without verifying anything: what it claims. For showing, with that said. */
enum status receipt_read(struct arena *a, struct str whole, struct receipt *out, struct error *e);

#endif
