#ifndef ACX_RECEIPT_SIGN_H
#define ACX_RECEIPT_SIGN_H

#include "common/receipt.h"
#include "common/tls.h"

/* Receipts as they are sent and kept (PROTOCOL.md 11): COSE_Sign1 messages. */

/* With the key of the certificate that we show in TLS. *out from the arena. ERR_TLS, ERR_MEMORY. */
enum status receipt_sign(struct arena *a, const struct tls_identity *id, const struct receipt *r,
			 struct str *out, struct error *e);

/*
 * At the home ACMS, on its connection to the partner: whether the partner signed it (tls_peer_verify). Whether it fits the
 * request is for receipt_fits to say. *out borrows from bytes and the arena. ERR_INPUT: no receipt; ERR_TLS: not the
 * partner's; ERR_MEMORY.
 */
enum status receipt_verify_peer(struct arena *a, struct ssl_st *ssl, struct str bytes,
				struct receipt *out, struct error *e);

/*
 * Anywhere, later: whether a server with this certificate name ("DNS:acms.fire.example"; STR_NONE: any) under these anchors
 * signed it (tls_trust_verify, where it says what became of certificates since, too). now: Unix seconds. Signer is filled in
 * even if it fails, as far as it is known. *out as above.
 */
enum status receipt_verify_offline(struct arena *a, struct str bytes, const struct tls_trust *anchors,
				   struct str certificate, int64_t now, struct receipt *out,
				   struct tls_signer *signer, struct error *e);

/* Without verifying anything: what it claims. For showing, with that said. */
enum status receipt_read(struct arena *a, struct str bytes, struct receipt *out, struct error *e);

#endif
