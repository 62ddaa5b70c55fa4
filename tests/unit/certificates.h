/* Certificates for tests, sound ones and others, in a temporary folder. Included by one file of a test. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DAYS = 86400 };

struct issuer {
	X509 *certificate;
	EVP_PKEY *key;
	char file[128]; /* PEM, its own certificate */
};

/* What is to be made; zero is a sound server certificate on P-256 from a year ago, for two. */
struct wanted {
	const char *name;     /* "DNS:..." */
	const char *more;     /* further names, ",DNS:..." */
	const char *key;      /* "P-256", "P-384", "P-521", "RSA", "ED25519" */
	const char *usage, *extended_usage;
	int from, to;         /* days from now; both 0: -365, 365 */
	bool ca;
	EVP_PKEY *public_key; /* of somebody else */
};

static char certificates_folder[64];
static int certificates_made;

static char *certificates_path(const char *label, const char *ending)
{
	static char paths[8][128];
	static int next;
	char *path = paths[next++ % 8];
	if (!certificates_folder[0]) {
		snprintf(certificates_folder, sizeof certificates_folder, "/tmp/acx-certificates-XXXXXX");
		assert_non_null(mkdtemp(certificates_folder));
	}
	snprintf(path, sizeof paths[0], "%s/%s.%s", certificates_folder, label, ending);
	return path;
}

static void certificates_remove(void)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf %s", certificates_folder);
	assert_true(!certificates_folder[0] || system(command) == 0);
}

static EVP_PKEY *new_key(const char *kind)
{
	EVP_PKEY *key = !kind			      ? EVP_EC_gen("P-256") :
			strcmp(kind, "RSA") == 0      ? EVP_RSA_gen(2048) :
			strcmp(kind, "ED25519") == 0  ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") :
							EVP_EC_gen(kind);
	assert_non_null(key);
	return key;
}

static void extend(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(x, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

/* by NULL: self-signed. */
static X509 *make_certificate(const struct issuer *by, const struct wanted *w, EVP_PKEY *key)
{
	X509 *x = X509_new();
	char names[300];
	bool usual = w->from == 0 && w->to == 0;
	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ++certificates_made);
	X509_gmtime_adj(X509_getm_notBefore(x), (long)(usual ? -365 : w->from) * DAYS);
	X509_gmtime_adj(X509_getm_notAfter(x), (long)(usual ? 365 : w->to) * DAYS);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)w->name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(by ? by->certificate : x));
	X509_set_pubkey(x, w->public_key ? w->public_key : key);
	snprintf(names, sizeof names, "%s%s", w->name, w->more ? w->more : "");
	extend(x, NID_basic_constraints, w->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	extend(x, NID_key_usage, w->usage ? w->usage : w->ca ? "keyCertSign,cRLSign" : "digitalSignature");
	extend(x, NID_subject_alt_name, names);
	if (!w->ca)
		extend(x, NID_ext_key_usage, w->extended_usage ? w->extended_usage : "serverAuth,clientAuth");
	assert_true(X509_sign(x, by ? by->key : key, EVP_sha256()) > 0);
	return x;
}

static struct issuer make_issuer(const struct issuer *by, const struct wanted *w)
{
	struct issuer i = { .key = new_key(w->key) };
	i.certificate = make_certificate(by, w, i.key);
	snprintf(i.file, sizeof i.file, "%s", certificates_path(w->name + 4, "crt"));
	FILE *f = fopen(i.file, "w");
	PEM_write_X509(f, i.certificate);
	fclose(f);
	return i;
}

static void issuer_free(struct issuer *i)
{
	X509_free(i->certificate);
	EVP_PKEY_free(i->key);
}

/* The files of a certificate with its chain (NULL: none behind it) and key, under a label. */
static void make_leaf_files(const struct issuer *by, const struct issuer *chain, const struct wanted *w, const char *label)
{
	EVP_PKEY *key = new_key(w->key);
	X509 *x = make_certificate(by, w, key);
	FILE *f = fopen(certificates_path(label, "crt"), "w");
	PEM_write_X509(f, x);
	if (chain)
		PEM_write_X509(f, chain->certificate);
	fclose(f);
	f = fopen(certificates_path(label, "key"), "w");
	fchmod(fileno(f), 0600);
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
}

/* A CRL of by, from and to in days from now, with x in it unless it is NULL. */
static void make_crl_file(const struct issuer *by, X509 *x, int from, int to, const char *label)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *t = ASN1_TIME_new();
	X509_CRL_set_version(crl, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(by->certificate));
	X509_CRL_set1_lastUpdate(crl, X509_gmtime_adj(t, (long)from * DAYS));
	if (x) {
		X509_REVOKED *entry = X509_REVOKED_new();
		X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(x));
		X509_REVOKED_set_revocationDate(entry, t);
		X509_CRL_add0_revoked(crl, entry);
	}
	X509_CRL_set1_nextUpdate(crl, X509_gmtime_adj(t, (long)to * DAYS));
	assert_true(X509_CRL_sign(crl, by->key, EVP_sha256()) > 0);
	FILE *f = fopen(certificates_path(label, "crl"), "w");
	PEM_write_X509_CRL(f, crl);
	fclose(f);
	ASN1_TIME_free(t);
	X509_CRL_free(crl);
}
