#ifndef ACX_TLS_H
#define ACX_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/arena.h"
#include "common/error.h"
#include "common/str.h"

/*
 * Mutual TLS (PROTOCOL.md 1; TS 33.210 6.2, TS 33.310). With crypto.c the only file that knows OpenSSL; others
 * pass struct ssl_st pointers through.
 */
struct ssl_st; /* SSL */

/*
 * Our certificate chain and key, from PEM files (trusted_file.h). Refuses a key that does not fit and a certificate
 * without a name that others could know us by.
 */
struct tls_identity;
enum status tls_identity_load(const char *certificate_file, const char *key_file,
			      struct tls_identity **out, struct error *e);
void tls_identity_free(struct tls_identity *i); /* NULL is fine */
/* Whether others will admit it as a server, or (false) as a client. */
enum status tls_identity_check_use(const struct tls_identity *i, bool server, struct error *e);
/* Seconds until it expires (negative: since), from now (Unix seconds). */
int64_t tls_identity_expires_in(const struct tls_identity *i, int64_t now);

/*
 * Signatures by the key of a certificate, in COSE's algorithms and formats (RFC 9053: COSE_ES256 for P-256, COSE_ES384 for
 * P-384, COSE_PS256 for RSA). From any thread. Which algorithm the identity's key has; ERR_TLS if it has none of them.
 */
enum status tls_identity_algorithm(const struct tls_identity *i, int *algorithm, struct error *e);
/* From the arena. */
enum status tls_identity_sign(const struct tls_identity *i, struct arena *a, struct str data,
			      struct str *signature, struct error *e);
/* Its certificate and intermediates (no self-signed ones), DER, from the arena. */
enum status tls_identity_chain(const struct tls_identity *i, struct arena *a,
			       const struct str **chain, size_t *n, struct error *e);

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

/* A new connection's SSL object, for net.c, which frees it with tls_free. host: for SNI, NULL at a server. */
struct ssl_st *tls_new(struct tls_context *c, const char *host);
void tls_free(struct ssl_st *ssl); /* NULL is fine; the socket stays open */

/*
 * What net.c does with it, on a socket that does not block (tls_io.c). What wants to read or write is to be called
 * again, with the same data, when the socket can. Since renegotiation is off, only a handshake waits for the other
 * direction, and reading, which may have to answer a KeyUpdate.
 */
enum tls_io {
	TLS_IO_DONE,
	TLS_IO_WANTS_READ,
	TLS_IO_WANTS_WRITE,
	TLS_IO_ENDED,  /* by the other end, with close_notify or without */
	TLS_IO_FAILED,
};
struct tls_fault {
	unsigned long code; /* OpenSSL's, for tls_failure; 0: none */
	int system_error;   /* errno; 0: none */
};
/* The socket stays the caller's. False: out of memory. */
bool tls_attach(struct ssl_st *ssl, int fd, bool server);
enum tls_io tls_handshake(struct ssl_st *ssl, struct tls_fault *fault);
/* At most one record with data. It may want to read on although there is more to read: if tls_idle_records says so. */
enum tls_io tls_read(struct ssl_st *ssl, void *out, size_t size, size_t *n, struct tls_fault *fault);
/*
 * Records that came since the last call and carried no data, after the handshake (KeyUpdate, say): each costs far more than it
 * takes to send it. Of many in a row the connection's input is shut.
 */
unsigned tls_idle_records(struct ssl_st *ssl);
/* More may be had from tls_read although the socket is not readable. */
bool tls_holds_input(struct ssl_st *ssl);
/* *written may be less than n. */
enum tls_io tls_write(struct ssl_st *ssl, const void *data, size_t n, size_t *written, struct tls_fault *fault);

/* The owner of the party at the other end, NULL before the handshake is done. */
const void *tls_peer(struct ssl_st *ssl);
/* The server context's own certificate is at the other end. */
bool tls_peer_is_self(struct ssl_st *ssl);
/*
 * Judges an established connection's peer anew, against another context (a reload). The owner of the party in
 * it, or NULL with the reason. From then on tls_peer gives this owner, and tls_peer_verify judges by that context.
 */
const void *tls_recheck(struct ssl_st *ssl, struct tls_context *c, struct error *e);
/*
 * Before this instant (Unix seconds) tls_recheck finds the same: a certificate of the peer's chain ends then, or a CRL.
 * INT64_MAX: never. It is to be asked again then, and after each tls_recheck.
 */
int64_t tls_peer_ends(struct ssl_st *ssl);
/*
 * "URI:sip:a@b SHA256:ab12..." of the peer's certificate, escaped; for logs and audit. Of its names, the one that its party is
 * known by: a partner's CA may put any others beside it. Writes at most size.
 */
void tls_peer_describe(struct ssl_st *ssl, char *out, size_t size);
/* Seconds until the peer's certificate expires. */
int64_t tls_peer_expires_in(struct ssl_st *ssl, int64_t now);

/* Something signed, with the certificates that came along (DER, the signer's first). Borrowed. */
struct tls_signed {
	int algorithm; /* COSE's number */
	struct str data, signature;
	const struct str *chain;
	size_t n_chain;
};

/*
 * At a client: whether the party at the other end signed it. With a certificate that would be admitted now, be it the one of
 * the connection or one that it was renewed with since, by the chain that came along alone; which must have been valid at
 * signed_at (Unix seconds), too, or else nobody could verify it later (tls_trust_verify).
 */
enum status tls_peer_verify(struct ssl_st *ssl, const struct tls_signed *what, int64_t signed_at, struct error *e);

/* Who signed. */
struct tls_signer {
	char certificate[300]; /* "URI:..." or "DNS:...", escaped: the name that was asked for; the first in it, if none was */
	char note[400];        /* what speaks against it now but did not when it signed; "": nothing */
};

/*
 * Away from any connection: whether a server with this name ("URI:...", "DNS:..."; STR_NONE: any) under these anchors
 * signed it. The chain must have been valid at signed_at (Unix seconds), which is the signer's own word. That certificates
 * or CRLs have expired until now is noted, since an old signature is none the worse for it; revocation refuses it, whenever
 * it was, since who holds a stolen key may say any time.
 */
enum status tls_trust_verify(const struct tls_trust *t, const struct tls_signed *what, struct str name,
			     int64_t signed_at, int64_t now, struct tls_signer *signer, struct error *e);

/* "acx/1" was agreed on; for after the handshake. */
bool tls_protocol_agreed(struct ssl_st *ssl);

/*
 * Why a handshake or connection failed, in a person's words: which certificate, which check, and what to do.
 * code: OpenSSL's, 0 for none. True: it was the peer that refused, with an alert. Clears OpenSSL's error queue.
 */
bool tls_failure(struct ssl_st *ssl, unsigned long code, struct error *e);
/* Sends close_notify as far as it can without waiting. */
void tls_shutdown(struct ssl_st *ssl);

#endif
