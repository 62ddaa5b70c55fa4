// needs: tests/unit/tls_pair.c tests/unit/pki.c common/tls.c common/tls_sign.c common/cose.c common/arena.c common/cbor.c common/tls_files.c common/trusted_file.c common/tls_verify.c common/text.c common/error.c
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <time.h>
#include "tests/unit/tls_pair.h"

/* Certificates, keys, trust anchors and CRLs as files: what is loaded, and what is said of what is not. */

#define BAD_PART "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

static void refuse_identity(const char *certificate, const char *key, const char *wanted, const char *file)
{
	struct tls_identity *i = NULL;
	struct error e = { 0 };
	assert_int_equal(tls_identity_load(certificate, key, &i, &e), ERR_TLS);
	assert_null(i);
	mentions(e.text, wanted);
	mentions(e.text, file);
	assert_int_equal(ERR_peek_error(), 0);
}

static void identity_files(void **state)
{
	struct pki_leaf a = pki_issue_named(police, "id-a", POLICE);
	struct pki_leaf b = pki_issue_named(police, "id-b", POLICE);
	struct pki_leaf nameless = pki_issue_named(police, "nameless", NULL);
	int64_t now = time(NULL);
	(void)state;
	struct tls_identity *i = pki_identity(&a);
	assert_in_range(tls_identity_expires_in(i, now), 30 * 86400 - 60, 30 * 86400);
	assert_true(tls_identity_expires_in(i, now + 31 * 86400) < 0);
	tls_identity_free(i);
	tls_identity_free(NULL);

	refuse_identity("/nowhere/c.pem", a.key, "No such file", "/nowhere/c.pem");
	refuse_identity(a.certificate, "/nowhere/k.pem", "No such file", "/nowhere/k.pem");
	refuse_identity(a.certificate, b.key, "does not belong", b.key);
	refuse_identity(a.key, a.key, "no PEM certificate", a.key);
	assert_int_equal(chmod(b.certificate, 0600), 0);
	refuse_identity(a.certificate, b.certificate, "no unencrypted PEM private key", b.certificate);
	refuse_identity(nameless.certificate, nameless.key, "subjectAltName", nameless.certificate);
	pki_write("nothing", "");
	refuse_identity(pki_path("nothing"), a.key, "no PEM certificate", "nothing");
}

/* Whether it may be a server, a client. */
static void used(const char *label, const char *usage, const char *key_usage, bool server, bool client)
{
	struct pki_leaf_options o = { .names = POLICE, .usage = usage, .key_usage = key_usage };
	struct pki_leaf leaf = pki_issue(police, label, &o);
	struct tls_identity *i = pki_identity(&leaf);
	struct error e = { 0 };
	assert_int_equal(tls_identity_check_use(i, true, &e), server ? OK : ERR_TLS);
	if (!server)
		mentions(e.text, "serverAuth");
	assert_int_equal(tls_identity_check_use(i, false, &e), client ? OK : ERR_TLS);
	if (!client)
		mentions(e.text, "clientAuth");
	assert_int_equal(ERR_peek_error(), 0);
	tls_identity_free(i);
}

/* As the other end will judge it: PROTOCOL.md 1. */
static void what_a_certificate_is_for(void **state)
{
	(void)state;
	used("use-both", "serverAuth,clientAuth", "digitalSignature", true, true);
	used("use-none", "", NULL, true, true);
	used("use-server", "serverAuth", NULL, true, false);
	used("use-client", "clientAuth", NULL, false, true);
	used("use-any", "anyExtendedKeyUsage", NULL, false, false);
	used("use-code", "codeSigning", NULL, false, false);
	used("use-signing", "serverAuth,clientAuth", "keyCertSign", false, false);
}

static void names_that_others_know_us_by(void **state)
{
	static const char *const useless[] = { "IP:127.0.0.1", "email:a@b.example", "DNS:*.police.example", "DNS:*",
					       "DNS:*.police.example,IP:127.0.0.1" };
	static const char *const good[] = { "URI:sip:*@police.example", "DNS:*.police.example,DNS:acms.police.example" };
	(void)state;
	for (size_t n = 0; n < sizeof useless / sizeof *useless; n++) {
		struct pki_leaf a = pki_issue_named(police, "useless", useless[n]);
		refuse_identity(a.certificate, a.key, "no subjectAltName that others could know us by", a.certificate);
	}
	for (size_t n = 0; n < sizeof good / sizeof *good; n++) {
		struct pki_leaf a = pki_issue_named(police, "known", good[n]);
		tls_identity_free(pki_identity(&a));
	}
}

/* One test of each file; test_trusted_file.c has the rest. */
static void files_that_others_can_write(void **state)
{
	struct pki_leaf a = pki_issue_named(police, "written", POLICE);
	(void)state;
	assert_int_equal(chmod(a.key, 0620), 0);
	refuse_identity(a.certificate, a.key, "its group may write to it", a.key);
	assert_int_equal(chmod(a.key, 0600), 0);
	assert_int_equal(chmod(a.certificate, 0646), 0);
	refuse_identity(a.certificate, a.key, "everybody may write to it", a.certificate);
}

static void key_that_others_can_read(void **state)
{
	struct pki_leaf a = pki_issue_named(police, "mode", POLICE);
	(void)state;
	assert_int_equal(chmod(a.key, 0604), 0);
	refuse_identity(a.certificate, a.key, "chmod", a.key);
	assert_int_equal(chmod(a.key, 0640), 0); /* root:acms is usual */
	tls_identity_free(pki_identity(&a));
}

/* A daemon cannot ask for a password, and must not wait for one. */
static void encrypted_key(void **state)
{
	struct pki_leaf a = pki_issue_named(police, "secret", POLICE);
	FILE *f = fopen(a.key, "r+");
	(void)state;
	EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	rewind(f); /* what it writes is longer */
	assert_true(PEM_write_PrivateKey(f, key, EVP_aes_128_cbc(), (const unsigned char *)"x", 1, NULL,
					 NULL));
	fclose(f);
	EVP_PKEY_free(key);
	refuse_identity(a.certificate, a.key, "no unencrypted PEM private key", a.key);
}

static void chain_file_with_a_bad_part(void **state)
{
	struct pki_leaf a = pki_issue_named(police, "bad-chain", POLICE);
	(void)state;
	pki_write("bad-part", BAD_PART);
	pki_append(a.certificate, pki_path("bad-part"));
	refuse_identity(a.certificate, a.key, "bad PEM certificate", a.certificate);
}

static void refuse_trust(const char *anchor, const char *crl, const char *wanted, const char *file)
{
	struct tls_trust *t = NULL;
	struct error e = { 0 };
	struct str anchors = str_of(anchor), crls = str_of(crl);
	assert_int_equal(tls_trust_load(&anchors, 1, &crls, crl ? 1 : 0, &t, &e), ERR_TLS);
	assert_null(t);
	mentions(e.text, wanted);
	mentions(e.text, file);
}

static void trust_that_others_can_write(void **state)
{
	struct pki_ca *ca = pki_ca_new("written", NULL, 10);
	const char *crl = pki_crl(ca, "written", 3, NULL);
	(void)state;
	assert_int_equal(chmod(ca->file, 0664), 0);
	refuse_trust(ca->file, crl, "its group may write to it", ca->file);
	assert_int_equal(chmod(ca->file, 0644), 0);
	assert_int_equal(chmod(crl, 0646), 0);
	refuse_trust(ca->file, crl, "everybody may write to it", crl);
}

static void trust_files(void **state)
{
	int64_t now = time(NULL);
	(void)state;
	struct pki_ca *brief = pki_ca_new("brief", NULL, 10);
	struct tls_trust *t = pki_trust(brief->file, NULL);
	assert_in_range(tls_trust_expires_in(t, now), 10 * 86400 - 60, 10 * 86400 + 60);
	tls_trust_free(t);
	t = pki_trust(brief->file, pki_crl(brief, "brief", 3, NULL));
	assert_in_range(tls_trust_expires_in(t, now), 3 * 86400 - 60, 3 * 86400 + 60);
	tls_trust_free(t);
	tls_trust_free(NULL);

	pki_write("empty", "");
	pki_write("text", "not a certificate\n");
	pki_write("bad-part", BAD_PART);
	pki_write("half", "");
	pki_append(pki_path("half"), police->file);
	pki_append(pki_path("half"), pki_path("bad-part"));
	refuse_trust("/nowhere/ca.pem", NULL, "No such file", "/nowhere/ca.pem");
	refuse_trust(pki_path("empty"), NULL, "no PEM certificate", "/empty");
	refuse_trust(pki_path("text"), NULL, "no PEM certificate", "/text");
	refuse_trust(pki_path("half"), NULL, "a bad PEM certificate", "/half");
	refuse_trust(police->file, pki_path("empty"), "no PEM CRL", "/empty");
	refuse_trust(police->file, police->file, "no PEM CRL", police->file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity_files),
		cmocka_unit_test(what_a_certificate_is_for),
		cmocka_unit_test(names_that_others_know_us_by),
		cmocka_unit_test(files_that_others_can_write),
		cmocka_unit_test(key_that_others_can_read),
		cmocka_unit_test(encrypted_key),
		cmocka_unit_test(chain_file_with_a_bad_part),
		cmocka_unit_test(trust_that_others_can_write),
		cmocka_unit_test(trust_files),
	};
	return cmocka_run_group_tests(tests, make_authorities, pki_teardown);
}
