#include "tests/unit/pki.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include "tests/unit/unit.h"

enum { DAY = 86400, MAX_CAS = 32 };

static char directory[64];
static struct pki_ca cas[MAX_CAS];
static size_t n_cas;

int pki_setup(void **state)
{
	(void)state;
	umask(022);
	strcpy(directory, "/tmp/acx-unit-XXXXXX");
	return mkdtemp(directory) ? 0 : -1;
}

int pki_teardown(void **state)
{
	char command[128];
	(void)state;
	for (size_t i = 0; i < n_cas; i++) {
		X509_free(cas[i].certificate);
		EVP_PKEY_free(cas[i].key);
	}
	n_cas = 0;
	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command);
}

const char *pki_path(const char *name)
{
	static char paths[8][128];
	static unsigned next;
	char *path = paths[next++ % 8];
	snprintf(path, sizeof paths[0], "%s/%s", directory, name);
	return path;
}

static FILE *open_file(const char *path, const char *mode)
{
	FILE *f = fopen(path, mode);
	if (!f)
		fail_msg("%s: %m", path);
	return f;
}

void pki_write(const char *name, const char *text)
{
	FILE *f = open_file(pki_path(name), "w");
	fputs(text, f);
	fclose(f);
}

void pki_append(const char *to, const char *from)
{
	FILE *in = open_file(from, "r"), *out = open_file(to, "a");
	for (int c; (c = getc(in)) != EOF;)
		putc(c, out);
	fclose(in);
	fclose(out);
}

static void write_certificate(const char *path, X509 *x)
{
	FILE *f = open_file(path, "w");
	assert_true(PEM_write_X509(f, x));
	fclose(f);
}

static void write_key(const char *path, EVP_PKEY *key)
{
	FILE *f = open_file(path, "w");
	assert_true(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
}

static void add_extension(X509 *x, const X509 *issuer, int nid, const char *value)
{
	X509V3_CTX c;
	X509V3_set_ctx(&c, (X509 *)issuer, x, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &c, nid, value);
	if (!extension)
		fail_msg("extension %s", value);
	ASN1_OCTET_STRING *data = X509_EXTENSION_get_data(extension);
	for (int i = 0; strchr(value, '!') && i < data->length; i++) {
		if (data->data[i] == '!')
			data->data[i] = '\0';
	}
	assert_true(X509_add_ext(x, extension, -1));
	X509_EXTENSION_free(extension);
}

static X509 *make_certificate(const char *name, EVP_PKEY *key, const struct pki_ca *issuer, int from_days,
			      int to_days)
{
	X509 *x = X509_new();
	uint64_t serial;
	assert_non_null(x);
	RAND_bytes((unsigned char *)&serial, sizeof serial);
	ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1 | 1);
	X509_set_version(x, X509_VERSION_3);
	X509_gmtime_adj(X509_getm_notBefore(x), (long)from_days * DAY);
	X509_gmtime_adj(X509_getm_notAfter(x), (long)to_days * DAY);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer->certificate : x));
	X509_set_pubkey(x, key);
	return x;
}

struct pki_ca *pki_ca_new(const char *name, const struct pki_ca *issuer, int days)
{
	struct pki_ca *ca = &cas[n_cas++];
	assert_true(n_cas <= MAX_CAS);
	ca->key = EVP_EC_gen("P-256");
	ca->certificate = make_certificate(name, ca->key, issuer, days < 0 ? days - 9 : -1, days);
	const X509 *by = issuer ? issuer->certificate : ca->certificate;
	add_extension(ca->certificate, by, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(ca->certificate, by, NID_key_usage, "critical,keyCertSign,cRLSign");
	assert_true(X509_sign(ca->certificate, issuer ? issuer->key : ca->key, EVP_sha256()));
	snprintf(ca->file, sizeof ca->file, "%s/ca-%zu.pem", directory, n_cas);
	write_certificate(ca->file, ca->certificate);
	return ca;
}

struct pki_leaf pki_issue(const struct pki_ca *ca, const char *label, const struct pki_leaf_options *o)
{
	struct pki_leaf leaf;
	bool usual = o->from_days == 0 && o->to_days == 0;
	const char *usage = o->usage ? o->usage : "clientAuth,serverAuth";
	EVP_PKEY *key = o->rsa_bits ? EVP_RSA_gen((unsigned)o->rsa_bits) : EVP_EC_gen("P-256");
	X509 *x = make_certificate(label, key, ca, usual ? -1 : o->from_days, usual ? 30 : o->to_days);
	if (o->names)
		add_extension(x, ca->certificate, NID_subject_alt_name, o->names);
	if (*usage)
		add_extension(x, ca->certificate, NID_ext_key_usage, usage);
	if (o->key_usage)
		add_extension(x, ca->certificate, NID_key_usage, o->key_usage);
	assert_true(X509_sign(x, ca->key, o->digest ? o->digest : EVP_sha256()));
	snprintf(leaf.certificate, sizeof leaf.certificate, "%s/%s.pem", directory, label);
	snprintf(leaf.key, sizeof leaf.key, "%s/%s.key", directory, label);
	write_certificate(leaf.certificate, x);
	write_key(leaf.key, key);
	X509_free(x);
	EVP_PKEY_free(key);
	return leaf;
}

struct pki_leaf pki_issue_named(const struct pki_ca *ca, const char *label, const char *names)
{
	return pki_issue(ca, label, &(struct pki_leaf_options){ .names = names });
}

static void revoke(X509_CRL *crl, const char *file)
{
	FILE *f = open_file(file, "r");
	X509 *x = PEM_read_X509(f, NULL, NULL, NULL);
	X509_REVOKED *entry = X509_REVOKED_new();
	ASN1_TIME *when = X509_gmtime_adj(NULL, -1000);
	fclose(f);
	assert_true(x && entry && when);
	X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(x));
	X509_REVOKED_set_revocationDate(entry, when);
	assert_true(X509_CRL_add0_revoked(crl, entry));
	ASN1_TIME_free(when);
	X509_free(x);
}

const char *pki_crl(const struct pki_ca *ca, const char *label, int next_update_days,
		    const char *const *revoked)
{
	char name[64];
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *last = X509_gmtime_adj(NULL, -20L * DAY);
	ASN1_TIME *next = X509_gmtime_adj(NULL, (long)next_update_days * DAY);
	X509_CRL_set_version(crl, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->certificate));
	X509_CRL_set1_lastUpdate(crl, last);
	X509_CRL_set1_nextUpdate(crl, next);
	for (; revoked && *revoked; revoked++)
		revoke(crl, *revoked);
	assert_true(X509_CRL_sign(crl, ca->key, EVP_sha256()));
	snprintf(name, sizeof name, "%s.crl", label);
	const char *path = pki_path(name);
	FILE *f = open_file(path, "w");
	assert_true(PEM_write_X509_CRL(f, crl));
	fclose(f);
	X509_CRL_free(crl);
	ASN1_TIME_free(last);
	ASN1_TIME_free(next);
	return path;
}

struct tls_identity *pki_identity(const struct pki_leaf *leaf)
{
	struct tls_identity *i = NULL;
	struct error e;
	if (tls_identity_load(leaf->certificate, leaf->key, &i, &e) != OK)
		fail_msg("%s", e.text);
	return i;
}

struct tls_trust *pki_trust(const char *anchor_file, const char *crl_file)
{
	struct tls_trust *t = NULL;
	struct error e;
	struct str anchor = str_of(anchor_file), crl = str_of(crl_file ? crl_file : "");
	if (tls_trust_load(&anchor, 1, &crl, crl_file ? 1 : 0, &t, &e) != OK)
		fail_msg("%s", e.text);
	return t;
}

static SSL_CTX *foreign(const SSL_METHOD *method, const struct pki_leaf *leaf)
{
	SSL_CTX *c = SSL_CTX_new(method);
	assert_non_null(c);
	SSL_CTX_set_security_level(c, 0);
	SSL_CTX_set_cipher_list(c, "ALL:@SECLEVEL=0");
	if (leaf) {
		assert_int_equal(SSL_CTX_use_certificate_chain_file(c, leaf->certificate), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey_file(c, leaf->key, SSL_FILETYPE_PEM), 1);
	}
	return c;
}

SSL_CTX *pki_foreign_client(const struct pki_leaf *leaf)
{
	SSL_CTX *c = foreign(TLS_client_method(), leaf);
	assert_int_equal(SSL_CTX_set_alpn_protos(c, (const unsigned char *)"\5acx/1", 6), 0);
	return c;
}

SSL_CTX *pki_foreign_server(const struct pki_leaf *leaf)
{
	return foreign(TLS_server_method(), leaf);
}
