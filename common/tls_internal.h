#ifndef ACX_TLS_INTERNAL_H
#define ACX_TLS_INTERNAL_H

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include "common/tls.h"

/*
 * Shared by tls.c (contexts and connections), tls_io.c (what goes over them), tls_files.c (loading), tls_verify.c
 * (judging) and tls_sign.c (signatures).
 */

struct tls_identity {
	X509 *leaf;
	STACK_OF(X509) *chain; /* behind the leaf */
	EVP_PKEY *key;
	const struct algorithm *algorithm; /* of its signatures; NULL: the key can sign no receipts */
	EVP_PKEY_CTX *sign; /* to be copied; NULL likewise */
};
/* Once leaf, chain and key are there. */
void identity_prepare(struct tls_identity *i);

struct tls_trust {
	X509_STORE *store;
	bool has_crls;
	int64_t ends; /* Unix seconds; the earliest */
};

/* Who is admitted: reference-counted copies, so that it outlives a reload. */
struct judge {
	struct judged_party {
		char *certificate;
		X509_STORE *store;
		bool has_crls;
		const void *owner;
	} *parties;
	size_t n_parties;
	X509 *self; /* admitted as ourselves, NULL: nobody is */
	int purpose; /* that the other end's certificate must have */
};

struct judge *judge_new(const struct tls_party *parties, size_t n, X509 *self, int purpose);
void judge_free(struct judge *j);

/* What was found about a certificate. */
struct judgement {
	const void *owner;
	bool self;
	bool refused;      /* by us */
	char why[400];     /* if so */
	const char *name;  /* the name in the certificate that its owner is known by; lives as long as the judge */
	int64_t ends;      /* Unix seconds: before then the same judge finds the same; INT64_MAX: for ever */
};

/* Of one connection. */
struct peer_state {
	struct judgement found;
	SSL_CTX *judged_by;          /* NULL: the context that the connection was made from */
	struct known_signer *signer; /* NULL: none yet */
	bool up;                     /* the handshake is done */
	unsigned idle_in_row;        /* records that carried no data: since the last that did, or the handshake's */
	unsigned idle;               /* since tls_idle_records */
};
struct peer_state *peer_state_of(SSL *ssl);
void known_signer_free(struct known_signer *k); /* NULL is fine */

/* Judges a chain; fills in *found, and returns an X509_V_ code. */
int judge_chain(const struct judge *j, X509 *leaf, STACK_OF(X509) *untrusted, struct judgement *found);
/* "URI:...", "DNS:..." of the first name in the certificate, or "(no name; subject CN=...)", escaped. */
void certificate_name(X509 *x, char *out, size_t size);
/* Whether one of its names is this one. */
bool certificate_has_name(X509 *x, const char *expected);
/*
 * What OpenSSL found wrong, in a person's words. party: whose trust anchors; name: what the first certificate of the chain is
 * known by, NULL: its first name.
 */
void explain_verification(X509_STORE_CTX *c, const char *party, const char *name, char *why, size_t size);
/* What to call the certificate at which verification is. name: as above. Escaped. */
void name_in_question(X509_STORE_CTX *c, const char *name, char *out, size_t size);
/* "2026-01-31 12:00:00 UTC" */
void format_time(const ASN1_TIME *t, char out[32]);
enum { AUTH_LEVEL = 2 }; /* at least 112 bits: RSA 2048, SHA-2 */
/* Who judges a connection's peer: since the last tls_recheck, the judge of that context. */
const struct judge *judge_of(SSL *ssl);
/* Unix seconds. */
int64_t unix_time(const ASN1_TIME *t);

#endif
