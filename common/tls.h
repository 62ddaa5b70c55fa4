#ifndef ACX_TLS_H
#define ACX_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/error.h"
#include "common/str.h"

/*
 * Mutual TLS (PROTOCOL.md 1; TS 33.210 6.2, TS 33.310). With crypto.c the only file that knows OpenSSL; others
 * pass struct ssl_st pointers through.
 */
struct ssl_st; /* SSL */

/* Our certificate chain and key, from PEM files. Refuses a key file that others can read or that does not fit. */
struct tls_identity;
enum status tls_identity_load(const char *certificate_file, const char *key_file,
			      struct tls_identity **out, struct error *e);
void tls_identity_free(struct tls_identity *i); /* NULL is fine */
/* Seconds until it expires (negative: since), from now (Unix seconds). */
int64_t tls_identity_expires_in(const struct tls_identity *i, int64_t now);

/* Trust anchors and CRLs of one party. With CRLs, a certificate whose issuer has no valid CRL is refused. */
struct tls_trust;
enum status tls_trust_load(const struct str *anchor_files, size_t n_anchors,
			   const struct str *crl_files, size_t n_crls, struct tls_trust **out,
			   struct error *e);
void tls_trust_free(struct tls_trust *t);
/* The earliest end among anchors and CRLs (next update), seconds from now; INT64_MAX if none. */
int64_t tls_trust_expires_in(const struct tls_trust *t, int64_t now);

/* A party that we know: its name in the certificate and its own trust anchors. Borrowed, all of it. */
struct tls_party {
	struct str certificate; /* "URI:..." or "DNS:..." */
	const struct tls_trust *trust;
	const void *owner;      /* the rule that it comes from */
};

/*
 * One end's TLS context. As a server it admits the parties given and nobody else, and itself (the very
 * same certificate: tls_peer returns the context, for the health check). As a client it reaches exactly one
 * party. parties are copied, what they point to is borrowed.
 */
struct tls_context;
enum status tls_server_new(const struct tls_identity *i, const struct tls_party *parties,
			   size_t n, struct tls_context **out, struct error *e);
enum status tls_client_new(const struct tls_identity *i, const struct tls_party *party,
			   struct tls_context **out, struct error *e);
/* A client that expects its own certificate at the other end. */
enum status tls_self_client_new(const struct tls_identity *i, struct tls_context **out,
				struct error *e);
void tls_context_free(struct tls_context *c); /* connections made from it live on */

/* A new connection's SSL object, for net.c, which then owns it. host: for SNI, NULL at a server. */
struct ssl_st *tls_new(struct tls_context *c, const char *host);
/* The owner of the party at the other end, NULL before the handshake is done. */
const void *tls_peer(struct ssl_st *ssl);
/* The server context's own certificate is at the other end. */
bool tls_peer_is_self(struct ssl_st *ssl);
/*
 * Judges an established connection's peer anew, against another context (a reload). The owner of the party in
 * it, or NULL with the reason. From then on tls_peer gives this owner.
 */
const void *tls_recheck(struct ssl_st *ssl, struct tls_context *c, struct error *e);
/* "URI:sip:a@b SHA256:ab12..." of the peer's certificate, escaped; for logs and audit. Writes at most size. */
void tls_peer_describe(struct ssl_st *ssl, char *out, size_t size);
/* Seconds until the peer's certificate expires. */
int64_t tls_peer_expires_in(struct ssl_st *ssl, int64_t now);

/* "acx/1" was agreed on; for after the handshake. */
bool tls_protocol_agreed(struct ssl_st *ssl);

/*
 * Why a handshake or connection failed, in a person's words: which certificate, which check, and what to do.
 * code: OpenSSL's, 0 for none. True: it was the peer that refused, with an alert. Clears OpenSSL's error queue.
 */
bool tls_failure(struct ssl_st *ssl, unsigned long code, struct error *e);
/* Whatever other connections left in this thread's error queue is not the next one's. */
void tls_forget_errors(void);
/* Sends close_notify as far as it can without waiting. */
void tls_shutdown(struct ssl_st *ssl);

#endif
