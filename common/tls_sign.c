#include "common/tls_internal.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "common/cose.h"
#include "common/text.h"

/*
 * Signatures: OpenSSL's ECDSA ones are DER, COSE's are two numbers of the curve's size (RFC 9053 2.1).
 */

struct algorithm {
	int cose;
	const char *group; /* NULL: RSA with PSS */
	size_t half;       /* bytes of each number */
	const EVP_MD *(*digest)(void);
};

static const struct algorithm algorithms[] = {
	{ COSE_ES256, "prime256v1", 32, EVP_sha256 },
	{ COSE_ES384, "secp384r1", 48, EVP_sha384 },
	{ COSE_PS256, NULL, 0, EVP_sha256 },
};

/* NULL: the key is of another kind. */
static const struct algorithm *algorithm_of(const EVP_PKEY *key)
{
	char group[32] = "";
	if (!key)
		return NULL;
	if (EVP_PKEY_is_a(key, "EC"))
		EVP_PKEY_get_group_name(key, group, sizeof group, NULL);
	else if (!EVP_PKEY_is_a(key, "RSA"))
		return NULL;
	for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++) {
		const char *wanted = algorithms[i].group;
		if (group[0] ? wanted && strcmp(wanted, group) == 0 : !wanted)
			return &algorithms[i];
	}
	return NULL;
}

static enum status fail(struct error *e, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	error_set(e, ERR_TLS, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
	ERR_clear_error();
	return ERR_TLS;
}

/* --- signing --- */

enum status tls_identity_algorithm(const struct tls_identity *i, int *algorithm, struct error *e)
{
	if (!i->algorithm)
		return error_set(e, ERR_TLS, "the certificate's key can sign no receipts: it must be EC on "
				 "P-256 or P-384, or RSA");
	*algorithm = i->algorithm->cose;
	return OK;
}

static bool use_pss(const struct algorithm *a, EVP_PKEY_CTX *c)
{
	return a->group || (EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING) > 0 &&
			    EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST) > 0);
}

/* DER to two numbers; 0: it is none. */
static size_t to_raw(const struct algorithm *a, const unsigned char *der, size_t n, unsigned char *raw)
{
	ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &der, (long)n);
	bool good = s && BN_bn2binpad(ECDSA_SIG_get0_r(s), raw, (int)a->half) > 0 &&
		    BN_bn2binpad(ECDSA_SIG_get0_s(s), raw + a->half, (int)a->half) > 0;
	ECDSA_SIG_free(s);
	return good ? 2 * a->half : 0;
}

/* Two numbers to DER, from OPENSSL_malloc; 0: it cannot be. */
static int to_der(const struct algorithm *a, struct str raw, unsigned char **der)
{
	const unsigned char *p = (const unsigned char *)raw.ptr;
	ECDSA_SIG *s = ECDSA_SIG_new();
	BIGNUM *x = NULL, *y = NULL;
	int n = 0;
	if (s && raw.len == 2 * a->half && (x = BN_bin2bn(p, (int)a->half, NULL)) &&
	    (y = BN_bin2bn(p + a->half, (int)a->half, NULL)) && ECDSA_SIG_set0(s, x, y)) {
		x = y = NULL; /* the signature's now */
		n = i2d_ECDSA_SIG(s, der);
	}
	BN_free(x);
	BN_free(y);
	ECDSA_SIG_free(s);
	return n > 0 ? n : 0;
}

/* Fetching algorithms takes OpenSSL longer than signing: done once for each key, and copied for each use. */
static EVP_PKEY_CTX *prepare(EVP_PKEY *key, const struct algorithm *a, int (*init)(EVP_PKEY_CTX *))
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
	if (c && init(c) == 1 && EVP_PKEY_CTX_set_signature_md(c, a->digest()) == 1 && use_pss(a, c))
		return c;
	EVP_PKEY_CTX_free(c);
	return NULL;
}

static bool digest(const struct algorithm *a, struct str data, unsigned char out[EVP_MAX_MD_SIZE],
		   unsigned *n)
{
	return EVP_Digest(data.ptr, data.len, out, n, a->digest(), NULL) == 1;
}

void identity_prepare(struct tls_identity *i)
{
	i->algorithm = algorithm_of(i->key);
	i->sign = i->algorithm ? prepare(i->key, i->algorithm, EVP_PKEY_sign_init) : NULL;
	ERR_clear_error();
}

enum status tls_identity_sign(const struct tls_identity *i, struct arena *arena, struct str data,
			      struct str *signature, struct error *e)
{
	unsigned char made[COSE_SIGNATURE_MAX], raw[2 * 48], sum[EVP_MAX_MD_SIZE];
	size_t n = sizeof made;
	unsigned n_sum;
	int unused;
	enum status status = tls_identity_algorithm(i, &unused, e);
	if (status != OK)
		return status;
	const struct algorithm *a = i->algorithm;
	EVP_PKEY_CTX *c = i->sign ? EVP_PKEY_CTX_dup(i->sign) : NULL;
	bool good = c && digest(a, data, sum, &n_sum) && EVP_PKEY_sign(c, made, &n, sum, n_sum) == 1 &&
		    (!a->group || (n = to_raw(a, made, n, raw)) > 0);
	EVP_PKEY_CTX_free(c);
	if (!good)
		return fail(e, "our certificate's key does not sign");
	*signature = arena_str(arena, (struct str){ (const char *)(a->group ? raw : made), n });
	return signature->ptr ? OK : error_set(e, ERR_MEMORY, "out of memory");
}

static bool put_der(struct arena *a, X509 *x, struct str *out)
{
	int n = i2d_X509(x, NULL);
	unsigned char *at = n > 0 ? arena_alloc(a, (size_t)n) : NULL;
	*out = (struct str){ (const char *)at, n > 0 ? (size_t)n : 0 };
	return at && i2d_X509(x, &at) == n;
}

enum status tls_identity_chain(const struct tls_identity *i, struct arena *a, const struct str **chain,
			       size_t *n, struct error *e)
{
	int behind = sk_X509_num(i->chain);
	struct str *ders = arena_array(a, (size_t)behind + 1, sizeof *ders);
	*n = 0;
	if (!ders || !put_der(a, i->leaf, &ders[(*n)++]))
		return error_set(e, ERR_MEMORY, "out of memory");
	for (int k = 0; k < behind; k++) {
		X509 *x = sk_X509_value(i->chain, k);
		if (X509_self_signed(x, 0) == 1)
			continue; /* an anchor is of no use to who must not trust it */
		if (*n == COSE_CHAIN_MAX)
			return error_set(e, ERR_TLS, "the certificate's chain is longer than %d",
					 COSE_CHAIN_MAX);
		if (!put_der(a, x, &ders[(*n)++]))
			return error_set(e, ERR_MEMORY, "out of memory");
	}
	*chain = ders;
	return OK;
}

/* --- verifying --- */

/* The certificates that came along, and what verifies with the first one's key. */
struct signer {
	X509 *leaf;
	STACK_OF(X509) *behind;
	const struct algorithm *algorithm;
	EVP_PKEY_CTX *verify;
	const char *known_as; /* which of its names it was asked for by; NULL: any */
};

static X509 *parse_certificate(struct str der)
{
	const unsigned char *at = (const unsigned char *)der.ptr;
	X509 *x = d2i_X509(NULL, &at, (long)der.len);
	if (x && at == (const unsigned char *)der.ptr + der.len)
		return x;
	X509_free(x);
	return NULL;
}

static bool parse_chain(struct signer *s, const struct tls_signed *what)
{
	*s = (struct signer){ .behind = sk_X509_new_null() };
	for (size_t i = 0; i < what->n_chain && s->behind; i++) {
		X509 *x = parse_certificate(what->chain[i]);
		if (!x)
			return false;
		if (i > 0 && X509_self_signed(x, 0) != 0) { /* a trust anchor is the reader's, never the signer's */
			X509_free(x);
			return false;
		}
		if (i == 0) {
			s->leaf = x;
		} else if (!sk_X509_push(s->behind, x)) {
			X509_free(x);
			return false;
		}
	}
	return s->leaf && s->behind;
}

static void signer_free(struct signer *s)
{
	EVP_PKEY_CTX_free(s->verify);
	X509_free(s->leaf);
	sk_X509_pop_free(s->behind, X509_free);
}

/* To be freed in any case. Whose certificate it is, is not looked at. */
static enum status signer_parse(struct signer *s, const struct tls_signed *what, struct error *e)
{
	if (!parse_chain(s, what))
		return fail(e, "the signer's certificate cannot be read, or has a self-signed one beside it");
	EVP_PKEY *key = X509_get0_pubkey(s->leaf);
	s->algorithm = algorithm_of(key);
	if (!s->algorithm || s->algorithm->cose != what->algorithm)
		return error_set(e, ERR_TLS, "the signature's algorithm does not fit the certificate's key");
	if (!(X509_get_key_usage(s->leaf) & KU_DIGITAL_SIGNATURE))
		return error_set(e, ERR_TLS, "the certificate's key may not sign (key usage)");
	s->verify = prepare(key, s->algorithm, EVP_PKEY_verify_init);
	return s->verify ? OK : fail(e, "the certificate's key cannot verify");
}

/* That the certificate's key made this signature. */
static enum status check_signature(const struct signer *s, const struct tls_signed *what,
				   struct error *e)
{
	const struct algorithm *a = s->algorithm;
	unsigned char sum[EVP_MAX_MD_SIZE], *der = NULL;
	const unsigned char *signature = (const unsigned char *)what->signature.ptr;
	int n = (int)what->signature.len;
	unsigned n_sum;
	if (a->group) {
		n = to_der(a, what->signature, &der);
		signature = der;
	}
	bool good = n > 0 && a->cose == what->algorithm && digest(a, what->data, sum, &n_sum) &&
		    EVP_PKEY_verify(s->verify, signature, (size_t)n, sum, n_sum) == 1;
	OPENSSL_free(der);
	return good ? OK : error_set(e, ERR_TLS, "the signature is not by the certificate's key, or what it "
						  "signed was changed");
}

/* A stretch of time, Unix seconds, both ends within. */
struct span {
	int64_t from, until;
};

static bool is_within(const struct span *span, int64_t at)
{
	return at >= span->from && at <= span->until;
}

/* When all of a chain's certificates are valid. */
static struct span span_of(const STACK_OF(X509) *chain)
{
	struct span span = { INT64_MIN, INT64_MAX };
	for (int i = 0; i < sk_X509_num(chain); i++) {
		const X509 *x = sk_X509_value(chain, i);
		int64_t from = unix_time(X509_get0_notBefore(x)), until = unix_time(X509_get0_notAfter(x));
		span.from = from > span.from ? from : span.from;
		span.until = until < span.until ? until : span.until;
	}
	return span;
}

static X509_STORE_CTX *verification(X509_STORE *anchors, const struct signer *s, int64_t at)
{
	X509_STORE_CTX *c = X509_STORE_CTX_new();
	if (!c || !X509_STORE_CTX_init(c, anchors, s->leaf, s->behind)) {
		X509_STORE_CTX_free(c);
		return NULL;
	}
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(c);
	X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
	X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
	X509_VERIFY_PARAM_set_time(param, (time_t)at);
	return c;
}

/* Frees c. name: the certificate's, for why. *valid: when this chain is good. */
static bool chain_is_good(X509_STORE_CTX *c, const char *name, struct span *valid, char *why, size_t size)
{
	bool good = X509_verify_cert(c) == 1;
	if (good)
		*valid = span_of(X509_STORE_CTX_get0_chain(c));
	else
		explain_verification(c, "the signer", name, why, size);
	X509_STORE_CTX_free(c);
	return good;
}

/* With what came along, and the anchors, and nothing else. */
static enum status check_then(X509_STORE *anchors, const struct signer *s, int64_t at, struct span *valid, struct error *e)
{
	X509_STORE_CTX *c = verification(anchors, s, at);
	char why[400];
	if (!c)
		return error_set(e, ERR_MEMORY, "out of memory");
	if (chain_is_good(c, s->known_as, valid, why, sizeof why))
		return OK;
	return error_set(e, ERR_TLS, "at the time of the signature, as it says: %s", why);
}

/*
 * As a connection with this certificate would be now, but by its own chain: what else came in the handshake will not be there
 * for who looks at the receipt later.
 */
static enum status check_admitted(const struct judge *j, const struct signer *s, struct span *valid, struct error *e)
{
	const struct judged_party *p = j->parties;
	char why[400], name[300];
	if (j->n_parties != 1 || !certificate_has_name(s->leaf, p->certificate)) {
		certificate_name(s->leaf, name, sizeof name);
		return error_set(e, ERR_TLS, "the signer's certificate: no configured party has a certificate named %s", name);
	}
	X509_STORE_CTX *c = verification(p->store, s, time(NULL));
	if (!c)
		return error_set(e, ERR_MEMORY, "out of memory");
	if (p->has_crls)
		X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(c),
					    X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	if (chain_is_good(c, p->certificate, valid, why, sizeof why))
		return OK;
	return error_set(e, ERR_TLS, "the signer's certificate: %s", why);
}

enum { VERIFIED_MAX = 4, VERIFIED_DATA_MAX = 128 };

/* A signature that was found good, and what it is over. */
struct verified {
	size_t n_data, n_signature; /* 0: none */
	char data[VERIFIED_DATA_MAX], signature[COSE_SIGNATURE_MAX];
};

/*
 * The one that signed last on a connection, and was admitted: what it signs next needs no parsing and no chain, and what it
 * repeats no arithmetic. Until tls_recheck.
 */
struct known_signer {
	struct signer signer;
	struct span valid; /* its chain */
	struct verified verified[VERIFIED_MAX]; /* the last few, in a ring */
	size_t next;
	size_t n;
	struct str ders[COSE_CHAIN_MAX]; /* in bytes */
	char bytes[];
};

void known_signer_free(struct known_signer *k)
{
	if (!k)
		return;
	signer_free(&k->signer);
	free(k);
}

static bool is_known(const struct known_signer *k, const struct tls_signed *what)
{
	bool same = k && k->n == what->n_chain;
	for (size_t i = 0; same && i < k->n; i++)
		same = str_eq(k->ders[i], what->chain[i]);
	return same;
}

/* The very same bytes: receipts that were signed together come with one signature. */
static bool was_verified(const struct known_signer *k, const struct tls_signed *what)
{
	for (size_t i = 0; i < VERIFIED_MAX; i++) {
		const struct verified *v = &k->verified[i];
		if (v->n_data && str_eq((struct str){ v->data, v->n_data }, what->data) &&
		    str_eq((struct str){ v->signature, v->n_signature }, what->signature))
			return what->algorithm == k->signer.algorithm->cose;
	}
	return false;
}

static void remember_verified(struct known_signer *k, const struct tls_signed *what)
{
	struct verified *v = &k->verified[k->next];
	if (what->data.len > sizeof v->data || what->signature.len > sizeof v->signature)
		return;
	v->n_data = what->data.len;
	v->n_signature = what->signature.len;
	memcpy(v->data, what->data.ptr, v->n_data);
	memcpy(v->signature, what->signature.ptr, v->n_signature);
	k->next = (k->next + 1) % VERIFIED_MAX;
}

static enum status verify_known(struct known_signer *k, const struct tls_signed *what, struct error *e)
{
	if (was_verified(k, what))
		return OK;
	enum status status = check_signature(&k->signer, what, e);
	if (status == OK)
		remember_verified(k, what);
	return status;
}

/* Whose signature was good. The signer is taken; without memory it is freed, and parsed again the next time. */
static void remember(struct peer_state *state, struct signer *s, struct span valid, const struct tls_signed *what)
{
	size_t size = 0;
	for (size_t i = 0; i < what->n_chain; i++)
		size += what->chain[i].len;
	struct known_signer *k = what->n_chain <= COSE_CHAIN_MAX ? calloc(1, sizeof *k + size) : NULL;
	if (!k) {
		signer_free(s);
		return;
	}
	char *at = k->bytes;
	k->signer = *s;
	k->valid = valid;
	k->n = what->n_chain;
	for (size_t i = 0; i < k->n; at += k->ders[i++].len) {
		memcpy(at, what->chain[i].ptr, what->chain[i].len);
		k->ders[i] = (struct str){ at, what->chain[i].len };
	}
	remember_verified(k, what);
	known_signer_free(state->signer);
	state->signer = k;
}

static enum status verify_unknown(SSL *ssl, const struct tls_signed *what, int64_t signed_at, struct error *e)
{
	const struct judge *j = judge_of(ssl);
	struct signer s;
	struct span valid;
	enum status status = signer_parse(&s, what, e);
	if (status == OK)
		status = check_signature(&s, what, e);
	if (status == OK)
		status = check_admitted(j, &s, &valid, e);
	if (status == OK && !is_within(&valid, signed_at))
		status = check_then(j->parties[0].store, &s, signed_at, &valid, e);
	if (status == OK)
		remember(peer_state_of(ssl), &s, valid, what);
	else
		signer_free(&s);
	return status;
}

enum status tls_peer_verify(SSL *ssl, const struct tls_signed *what, int64_t signed_at, struct error *e)
{
	struct known_signer *k = peer_state_of(ssl)->signer;
	enum status status;
	if (is_known(k, what) && is_within(&k->valid, signed_at))
		status = verify_known(k, what, e);
	else
		status = verify_unknown(ssl, what, signed_at, e);
	ERR_clear_error(); /* it is this thread's, and so other connections' */
	return status;
}

/* --- away from a connection --- */

/* What a verification at the present time finds, going on after each thing. */
struct finding {
	const char *name; /* of the signer, as in struct signer */
	bool revoked, other;
	char *note;
	size_t note_size;
	char why[400]; /* if revoked or other */
};

static void find_revoked(X509_STORE_CTX *c, struct finding *f)
{
	X509 *x = X509_STORE_CTX_get_current_cert(c);
	X509_REVOKED *entry = NULL;
	char name[200], when[32] = "an unknown time";
	name_in_question(c, f->name, name, sizeof name);
	if (x && X509_STORE_CTX_get0_current_crl(c) &&
	    X509_CRL_get0_by_cert(X509_STORE_CTX_get0_current_crl(c), &entry, x) && entry)
		format_time(X509_REVOKED_get0_revocationDate(entry), when);
	f->revoked = true;
	text_format(f->why, sizeof f->why, "certificate %s has been revoked on %s: what it signed, even before, "
		 "cannot be relied on", name, when);
}

static int on_finding(int good, X509_STORE_CTX *c)
{
	struct finding *f = X509_STORE_CTX_get_app_data(c);
	int code = X509_STORE_CTX_get_error(c);
	if (good)
		return 1;
	if (code == X509_V_ERR_CERT_REVOKED) {
		find_revoked(c, f);
	} else if (code == X509_V_ERR_CERT_HAS_EXPIRED || code == X509_V_ERR_CRL_HAS_EXPIRED) {
		if (!f->note[0])
			explain_verification(c, "the signer", f->name, f->note, f->note_size);
	} else if (!f->revoked && !f->other) {
		f->other = true;
		explain_verification(c, "the signer", f->name, f->why, sizeof f->why);
	}
	return 1;
}

/* The CRLs are today's, so that they can be asked about today only. */
static enum status check_now(const struct tls_trust *t, const struct signer *s, int64_t now, char *note,
			     size_t note_size, struct error *e)
{
	X509_STORE_CTX *c = verification(t->store, s, now);
	struct finding f = { .name = s->known_as, .note = note, .note_size = note_size };
	if (!c)
		return error_set(e, ERR_MEMORY, "out of memory");
	if (t->has_crls)
		X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(c),
					    X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	X509_STORE_CTX_set_app_data(c, &f);
	X509_STORE_CTX_set_verify_cb(c, on_finding);
	bool ran = X509_verify_cert(c) == 1;
	X509_STORE_CTX_free(c);
	if (!ran)
		return fail(e, "the certificate cannot be verified");
	return f.revoked || f.other ? error_set(e, ERR_TLS, "%s", f.why) : OK;
}

/* Name: "URI:...", "DNS:..."; expected has it as a string. */
static enum status check_name(struct signer *s, struct str name, const char *expected, struct tls_signer *signer,
			      struct error *e)
{
	if (!name.ptr)
		return OK;
	if (name.len <= 4 || strlen(expected) != name.len || !certificate_has_name(s->leaf, expected))
		return error_set(e, ERR_TLS, "signed by %s, not by %s", signer->certificate, expected);
	s->known_as = expected;
	text_escape(name, signer->certificate, sizeof signer->certificate);
	return OK;
}

enum status tls_trust_verify(const struct tls_trust *t, const struct tls_signed *what, struct str name,
			     int64_t signed_at, int64_t now, struct tls_signer *signer, struct error *e)
{
	struct signer s;
	char expected[512];
	struct span valid;
	*signer = (struct tls_signer){ .certificate = "" };
	text_format(expected, sizeof expected, "%.*s", STR_ARG(name));
	enum status status = signer_parse(&s, what, e);
	if (s.leaf)
		certificate_name(s.leaf, signer->certificate, sizeof signer->certificate);
	if (status == OK)
		status = check_signature(&s, what, e);
	if (status == OK)
		status = check_name(&s, name, expected, signer, e);
	if (status == OK)
		status = check_then(t->store, &s, signed_at, &valid, e);
	if (status == OK)
		status = check_now(t, &s, now, signer->note, sizeof signer->note, e);
	signer_free(&s);
	ERR_clear_error(); /* it is this thread's, and so other connections' */
	return status;
}
