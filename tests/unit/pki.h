#ifndef ACX_UNIT_PKI_H
#define ACX_UNIT_PKI_H

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include "common/tls.h"

/* Certificate authorities, certificates and CRLs as PEM files in a temporary directory, made for one run. */

/* Two organisations' systems. */
#define POLICE "DNS:acms.police.example"
#define FIRE "DNS:acms.fire.example"

struct pki_ca {
	X509 *certificate;
	EVP_PKEY *key;
	char file[128]; /* its certificate, the trust anchor */
};

struct pki_leaf_options {
	const char *names;      /* "URI:a,DNS:b", a ! becomes a NUL; NULL: no subjectAltName */
	int from_days, to_days; /* from now; both 0: yesterday until in 30 days */
	const char *usage;      /* extended key usage; NULL: both clientAuth and serverAuth, "": none */
	const char *key_usage;  /* NULL: none */
	int rsa_bits;           /* 0: P-256 */
	const EVP_MD *digest;   /* NULL: SHA-256 */
};

struct pki_leaf {
	char certificate[128], key[128]; /* files */
};

/* For cmocka_run_group_tests. */
int pki_setup(void **state);
int pki_teardown(void **state);

/* "DIR/NAME", in one of a few buffers that take turns. */
const char *pki_path(const char *name);
void pki_write(const char *name, const char *text);
/* Appends one file's text to another's. */
void pki_append(const char *to, const char *from);

/* issuer NULL: a root. days: until it expires. They live until pki_teardown. */
struct pki_ca *pki_ca_new(const char *name, const struct pki_ca *issuer, int days);
struct pki_leaf pki_issue(const struct pki_ca *ca, const char *label, const struct pki_leaf_options *o);
/* A usual one. */
struct pki_leaf pki_issue_named(const struct pki_ca *ca, const char *label, const char *names);
/* Writes LABEL.crl, with the certificates in these files (up to NULL) revoked. */
const char *pki_crl(const struct pki_ca *ca, const char *label, int next_update_days,
		    const char *const *revoked);

/* They fail the test when something fails. */
struct tls_identity *pki_identity(const struct pki_leaf *leaf);
struct tls_trust *pki_trust(const char *anchor_file, const char *crl_file);
/* A client that is not ours, with a certificate or (NULL) without, that keeps no rules. */
SSL_CTX *pki_foreign_client(const struct pki_leaf *leaf);
SSL_CTX *pki_foreign_server(const struct pki_leaf *leaf);

#endif
