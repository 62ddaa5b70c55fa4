#include "common/tls_internal.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include "common/text.h"

struct judge *judge_new(const struct tls_party *parties, size_t n, X509 *self, int purpose)
{
	struct judge *j = calloc(1, sizeof *j);
	if (!j || !(j->parties = calloc(n + 1, sizeof *j->parties))) {
		free(j);
		return NULL;
	}
	j->purpose = purpose;
	if (self && X509_up_ref(self))
		j->self = self;
	for (size_t i = 0; i < n; i++) {
		struct judged_party *p = &j->parties[j->n_parties++];
		p->certificate = strndup(parties[i].certificate.ptr, parties[i].certificate.len);
		p->has_crls = parties[i].trust->has_crls;
		p->owner = parties[i].owner;
		if (X509_STORE_up_ref(parties[i].trust->store))
			p->store = parties[i].trust->store;
		if (!p->certificate || !p->store) {
			judge_free(j);
			return NULL;
		}
	}
	return j;
}

void judge_free(struct judge *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < j->n_parties; i++) {
		free(j->parties[i].certificate);
		X509_STORE_free(j->parties[i].store);
	}
	X509_free(j->self);
	free(j->parties);
	free(j);
}

/* --- names --- */

static struct str name_value(const GENERAL_NAME *name, const char **prefix)
{
	const ASN1_IA5STRING *value;
	if (name->type == GEN_URI) {
		*prefix = "URI:";
		value = name->d.uniformResourceIdentifier;
	} else if (name->type == GEN_DNS) {
		*prefix = "DNS:";
		value = name->d.dNSName;
	} else {
		return STR_NONE;
	}
	return (struct str){ (const char *)ASN1_STRING_get0_data(value),
			     (size_t)ASN1_STRING_length(value) };
}

static bool name_is(const GENERAL_NAME *name, const char *expected)
{
	const char *prefix;
	struct str value = name_value(name, &prefix);
	struct str wanted = str_of(expected + 4);
	if (!value.ptr || strncmp(expected, prefix, 4) != 0 || value.len != wanted.len)
		return false;
	if (name->type == GEN_DNS)
		return strncasecmp(value.ptr, wanted.ptr, wanted.len) == 0;
	return memcmp(value.ptr, wanted.ptr, wanted.len) == 0;
}

static bool has_name(const GENERAL_NAMES *names, const char *expected)
{
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		if (name_is(sk_GENERAL_NAME_value(names, i), expected))
			return true;
	}
	return false;
}

bool certificate_has_name(X509 *x, const char *expected)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	bool has = names && has_name(names, expected);
	GENERAL_NAMES_free(names);
	return has;
}

/* For certificates that have no other name: most authorities'. */
static void subject(X509 *x, char *out, size_t size)
{
	BIO *text = BIO_new(BIO_s_mem());
	char *line = NULL, escaped[256];
	long n = 0;
	if (text && X509_NAME_print_ex(text, X509_get_subject_name(x), 0, XN_FLAG_RFC2253) > 0)
		n = BIO_get_mem_data(text, &line);
	text_format(out, size, "(no name; subject %s)",
		 n > 0 ? text_escape((struct str){ line, (size_t)n }, escaped, sizeof escaped) : "none");
	BIO_free(text);
}

void certificate_name(X509 *x, char *out, size_t size)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	subject(x, out, size);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const char *prefix;
		struct str value = name_value(sk_GENERAL_NAME_value(names, i), &prefix);
		char escaped[256];
		if (!value.ptr)
			continue;
		text_format(out, size, "%s%s", prefix, text_escape(value, escaped, sizeof escaped));
		break;
	}
	GENERAL_NAMES_free(names);
}

/* --- chains --- */

void format_time(const ASN1_TIME *t, char out[32])
{
	struct tm tm = { 0 };
	if (!ASN1_TIME_to_tm(t, &tm) || !strftime(out, 32, "%Y-%m-%d %H:%M:%S UTC", &tm))
		snprintf(out, 32, "an unknown time");
}

void name_in_question(X509_STORE_CTX *c, const char *name, char *out, size_t size)
{
	X509 *at = X509_STORE_CTX_get_current_cert(c);
	if (at && name && X509_STORE_CTX_get_error_depth(c) == 0)
		text_escape(str_of(name), out, size);
	else if (at)
		certificate_name(at, out, size);
	else
		text_format(out, size, "?");
}

/* What went wrong, and with which certificate of the chain. */
void explain_verification(X509_STORE_CTX *c, const char *party, const char *known_as, char *why, size_t size)
{
	int code = X509_STORE_CTX_get_error(c);
	X509 *at = X509_STORE_CTX_get_current_cert(c);
	char name[300], when[32] = "";
	name_in_question(c, known_as, name, sizeof name);
	switch (code) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		format_time(X509_get0_notAfter(at), when);
		text_format(why, size, "certificate %s has expired on %s: it must be renewed", name, when);
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		format_time(X509_get0_notBefore(at), when);
		text_format(why, size, "certificate %s is not valid before %s: check both clocks", name,
			    when);
		break;
	case X509_V_ERR_CERT_REVOKED:
		text_format(why, size, "certificate %s has been revoked", name);
		break;
	case X509_V_ERR_CRL_HAS_EXPIRED:
		text_format(why, size, "the CRL that certificate %s is checked against has expired: get a new one",
			    name);
		break;
	case X509_V_ERR_UNABLE_TO_GET_CRL:
		text_format(why, size, "there is no CRL of the issuer of certificate %s among those configured",
			    name);
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		text_format(why, size, "certificate %s was not issued by a trust anchor configured for %s", name,
			    party);
		break;
	case X509_V_ERR_INVALID_PURPOSE:
		text_format(why, size, "certificate %s is not for this use (extended key usage)", name);
		break;
	default:
		text_format(why, size, "certificate %s: %s", name, X509_verify_cert_error_string(code));
	}
}

/* --- judging --- */

/* The next of them counts. What has ended already has not mattered. */
static void note_end(struct judgement *found, const ASN1_TIME *end, int64_t now)
{
	int64_t at = unix_time(end);
	if (at >= now && at < found->ends)
		found->ends = at;
}

/* The certificates of the chain, and whatever CRLs there are: some of them may not matter, which is found out then. */
static void note_ends(X509_STORE_CTX *c, X509_STORE *store, struct judgement *found)
{
	const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(c);
	int64_t now = (int64_t)time(NULL);
	for (int i = 0; i < sk_X509_num(chain); i++)
		note_end(found, X509_get0_notAfter(sk_X509_value(chain, i)), now);
	X509_STORE_lock(store);
	const STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(store);
	for (int i = 0; i < sk_X509_OBJECT_num(all); i++) {
		const X509_CRL *crl = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(all, i));
		if (crl)
			note_end(found, X509_CRL_get0_nextUpdate(crl), now);
	}
	X509_STORE_unlock(store);
}

static int verify_with(const struct judged_party *p, int purpose, X509 *leaf, STACK_OF(X509) *untrusted,
		       struct judgement *found)
{
	X509_STORE_CTX *c = X509_STORE_CTX_new();
	int code = X509_V_ERR_OUT_OF_MEM;
	if (!c || !X509_STORE_CTX_init(c, p->store, leaf, untrusted)) {
		text_format(found->why, sizeof found->why, "out of memory");
		goto out;
	}
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(c);
	X509_VERIFY_PARAM_set_purpose(param, purpose);
	X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
	if (p->has_crls)
		X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	if (X509_verify_cert(c) == 1) {
		note_ends(c, p->store, found);
		code = X509_V_OK;
		goto out;
	}
	code = X509_STORE_CTX_get_error(c);
	if (code == X509_V_OK)
		code = X509_V_ERR_UNSPECIFIED;
	explain_verification(c, p->certificate, p->certificate, found->why, sizeof found->why);
out:
	X509_STORE_CTX_free(c);
	return code;
}

/* False: another party fits, too. */
static bool adopt(struct judgement *found, const struct judged_party *p)
{
	if (found->owner && found->owner != p->owner) {
		text_format(found->why, sizeof found->why, "the certificate fits several parties: %s and %s", found->name,
			    p->certificate);
		found->owner = NULL;
		found->name = NULL;
		return false;
	}
	found->owner = p->owner;
	found->name = p->certificate;
	return true;
}

int judge_chain(const struct judge *j, X509 *leaf, STACK_OF(X509) *untrusted, struct judgement *found)
{
	int code = X509_V_ERR_APPLICATION_VERIFICATION;
	char name[300];
	*found = (struct judgement){ .ends = INT64_MAX };
	if (j->self && X509_cmp(j->self, leaf) == 0) {
		found->self = true;
		return X509_V_OK;
	}
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	certificate_name(leaf, name, sizeof name);
	text_format(found->why, sizeof found->why, "no configured party has a certificate named %s", name);
	for (size_t i = 0; i < j->n_parties; i++) {
		const struct judged_party *p = &j->parties[i];
		if (!names || !has_name(names, p->certificate))
			continue;
		code = verify_with(p, j->purpose, leaf, untrusted, found);
		if (code == X509_V_OK && !adopt(found, p)) {
			code = X509_V_ERR_APPLICATION_VERIFICATION;
			break;
		}
	}
	GENERAL_NAMES_free(names);
	if (found->owner)
		return X509_V_OK;
	found->refused = true;
	return code;
}
