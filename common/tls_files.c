#include "common/tls_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "common/trusted_file.h"

int64_t unix_time(const ASN1_TIME *t)
{
	struct tm tm = { 0 };
	return t && ASN1_TIME_to_tm(t, &tm) ? (int64_t)timegm(&tm) : INT64_MAX;
}

static const char *openssl_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	return reason ? reason : "unknown error";
}

static enum status open_pem(const char *file, bool is_key, BIO **out, struct error *e)
{
	int fd = trusted_file_open(file, is_key, e);
	FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
	ERR_clear_error();
	if (fd < 0)
		return ERR_TLS;
	*out = f ? BIO_new_fp(f, BIO_CLOSE) : NULL;
	if (*out)
		return OK;
	if (f)
		fclose(f);
	else
		close(fd);
	return error_set(e, ERR_MEMORY, "out of memory");
}

/* --- identity --- */

/* Of our own files: the leaf first, then its chain. */
static enum status load_chain(struct tls_identity *i, const char *file, struct error *e)
{
	BIO *in;
	X509 *x;
	enum status status = open_pem(file, false, &in, e);
	if (status != OK)
		return status;
	i->leaf = PEM_read_bio_X509(in, NULL, NULL, NULL);
	i->chain = sk_X509_new_null();
	while (i->leaf && i->chain && (x = PEM_read_bio_X509(in, NULL, NULL, NULL))) {
		if (!sk_X509_push(i->chain, x))
			X509_free(x);
	}
	unsigned long last = ERR_peek_last_error();
	if (!i->leaf || !i->chain || ERR_GET_REASON(last) != PEM_R_NO_START_LINE)
		status = error_set(e, ERR_TLS, "%s: %s PEM certificate in it: %s", file,
				   i->leaf ? "a bad" : "no", openssl_reason());
	ERR_clear_error(); /* the end of the file is one, too */
	BIO_free(in);
	return status;
}

/* Wildcards never match. */
static bool can_be_known_by(const GENERAL_NAME *name)
{
	const ASN1_IA5STRING *dns = name->type == GEN_DNS ? name->d.dNSName : NULL;
	return name->type == GEN_URI ||
	       (dns && !memchr(ASN1_STRING_get0_data(dns), '*', (size_t)ASN1_STRING_length(dns)));
}

static enum status check_name(struct tls_identity *i, const char *file, struct error *e)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(i->leaf, NID_subject_alt_name, NULL, NULL);
	bool known = false;
	for (int n = 0; n < sk_GENERAL_NAME_num(names); n++)
		known |= can_be_known_by(sk_GENERAL_NAME_value(names, n));
	GENERAL_NAMES_free(names);
	if (known)
		return OK;
	return error_set(e, ERR_TLS,
			 "%s: the certificate has no subjectAltName that others could know us by: a URI, or "
			 "a DNS name without *",
			 file);
}

/* Instead of a prompt. */
static int no_password(char *buffer, int size, int writing, void *context)
{
	(void)buffer;
	(void)size;
	(void)writing;
	(void)context;
	return -1;
}

static enum status load_key(struct tls_identity *i, const char *file, struct error *e)
{
	BIO *in;
	enum status status = open_pem(file, true, &in, e);
	if (status != OK)
		return status;
	i->key = PEM_read_bio_PrivateKey(in, NULL, no_password, NULL);
	BIO_free(in);
	if (!i->key)
		return error_set(e, ERR_TLS, "%s: no unencrypted PEM private key in it: %s", file,
				 openssl_reason());
	if (!X509_check_private_key(i->leaf, i->key))
		return error_set(e, ERR_TLS, "%s: does not belong to the certificate", file);
	return OK;
}

enum status tls_identity_load(const char *certificate_file, const char *key_file,
			      struct tls_identity **out, struct error *e)
{
	struct tls_identity *i = calloc(1, sizeof *i);
	if (!i)
		return error_set(e, ERR_MEMORY, "out of memory");
	enum status status = load_chain(i, certificate_file, e);
	if (status == OK)
		status = check_name(i, certificate_file, e);
	if (status == OK)
		status = load_key(i, key_file, e);
	if (status == OK)
		identity_prepare(i);
	ERR_clear_error();
	if (status == OK)
		*out = i;
	else
		tls_identity_free(i);
	return status;
}

void tls_identity_free(struct tls_identity *i)
{
	if (!i)
		return;
	X509_free(i->leaf);
	sk_X509_pop_free(i->chain, X509_free);
	EVP_PKEY_CTX_free(i->sign);
	EVP_PKEY_free(i->key);
	free(i);
}

enum status tls_identity_check_use(const struct tls_identity *i, bool server, struct error *e)
{
	int purpose = server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT;
	if (X509_check_purpose(i->leaf, purpose, 0) == 1)
		return OK;
	return error_set(e, ERR_TLS,
			 "the certificate is not for a TLS %s: its extended key usage must include %s, its key "
			 "usage digitalSignature",
			 server ? "server" : "client", server ? "serverAuth" : "clientAuth");
}

int64_t tls_identity_expires_in(const struct tls_identity *i, int64_t now)
{
	return unix_time(X509_get0_notAfter(i->leaf)) - now;
}

/* --- trust --- */

static void ends_at(struct tls_trust *t, const ASN1_TIME *end)
{
	int64_t seconds = unix_time(end);
	if (end && seconds < t->ends)
		t->ends = seconds;
}

static bool add_anchor(struct tls_trust *t, BIO *in)
{
	X509 *x = PEM_read_bio_X509(in, NULL, NULL, NULL);
	if (!x)
		return false;
	ends_at(t, X509_get0_notAfter(x));
	bool added = X509_STORE_add_cert(t->store, x) == 1;
	X509_free(x);
	return added;
}

static bool add_crl(struct tls_trust *t, BIO *in)
{
	X509_CRL *crl = PEM_read_bio_X509_CRL(in, NULL, NULL, NULL);
	if (!crl)
		return false;
	ends_at(t, X509_CRL_get0_nextUpdate(crl));
	bool added = X509_STORE_add_crl(t->store, crl) == 1;
	X509_CRL_free(crl);
	t->has_crls |= added;
	return added;
}

/* A file may hold several; it must hold one. */
static enum status add_file(struct tls_trust *t, const char *file, const char *what,
			    bool (*add)(struct tls_trust *, BIO *), struct error *e)
{
	BIO *in;
	size_t n = 0;
	enum status status = open_pem(file, false, &in, e);
	if (status != OK)
		return status;
	while (add(t, in))
		n++;
	BIO_free(in);
	unsigned long last = ERR_peek_last_error();
	if (n == 0 || ERR_GET_REASON(last) != PEM_R_NO_START_LINE)
		return error_set(e, ERR_TLS, "%s: %s PEM %s in it: %s", file, n ? "a bad" : "no", what,
				 openssl_reason());
	ERR_clear_error();
	return OK;
}

enum status tls_trust_load(const struct str *anchor_files, size_t n_anchors,
			   const struct str *crl_files, size_t n_crls, struct tls_trust **out,
			   struct error *e)
{
	struct tls_trust *t = calloc(1, sizeof *t);
	enum status status = OK;
	if (!t || !(t->store = X509_STORE_new())) {
		free(t);
		return error_set(e, ERR_MEMORY, "out of memory");
	}
	t->ends = INT64_MAX;
	for (size_t i = 0; i < n_anchors && status == OK; i++)
		status = add_file(t, anchor_files[i].ptr, "certificate", add_anchor, e);
	for (size_t i = 0; i < n_crls && status == OK; i++)
		status = add_file(t, crl_files[i].ptr, "CRL", add_crl, e);
	if (status == OK)
		*out = t;
	else
		tls_trust_free(t);
	return status;
}

void tls_trust_free(struct tls_trust *t)
{
	if (!t)
		return;
	X509_STORE_free(t->store);
	free(t);
}

int64_t tls_trust_expires_in(const struct tls_trust *t, int64_t now)
{
	return t->ends == INT64_MAX ? INT64_MAX : t->ends - now;
}
