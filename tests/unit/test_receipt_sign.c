// needs: common/receipt_sign.c common/receipt.c common/content.c common/setup.c common/sort.c common/cose.c common/merkle.c common/crypto.c common/cbor.c common/tls.c common/tls_files.c common/trusted_file.c common/tls_verify.c
// needs: common/tls_sign.c common/identity.c common/text.c common/arena.c common/error.c
#include "unit.h"
#include "certificates.h"
#include "common/cose.h"
#include "common/crypto.h"
#include "common/receipt_sign.h"

#define FIRE "DNS:acms.fire.example"

static struct arena *arena;
static struct issuer ca, intermediate, other_ca;
static int64_t now;
#define now_ms ((uint64_t)now * 1000)
static struct merkle_memo memo;
static int unlabelled;

static int begin(void **state)
{
	(void)state;
	arena = arena_new(0);
	now = time(NULL);
	ca = make_issuer(NULL, &(struct wanted){ .name = "DNS:ca.example", .ca = true, .from = -1000, .to = 1000 });
	intermediate = make_issuer(&ca, &(struct wanted){ .name = "DNS:inter.example", .ca = true, .from = -1000, .to = 1000 });
	other_ca = make_issuer(NULL, &(struct wanted){ .name = "DNS:ca.example", .ca = true, .from = -1000, .to = 1000 });
	/* The same name, another key; its file took the place of the first one's. */
	FILE *f = fopen(ca.file, "w");
	PEM_write_X509(f, ca.certificate);
	fclose(f);
	return 0;
}

static int end(void **state)
{
	(void)state;
	issuer_free(&ca), issuer_free(&intermediate), issuer_free(&other_ca);
	arena_free(arena);
	certificates_remove();
	return 0;
}

static struct tls_identity *identity(const struct issuer *by, const struct issuer *chain, const struct wanted *w)
{
	struct tls_identity *i;
	struct error e;
	char label[16];
	snprintf(label, sizeof label, "leaf%d", ++unlabelled);
	make_leaf_files(by, chain, w, label);
	if (tls_identity_load(certificates_path(label, "crt"), certificates_path(label, "key"), &i, &e) != OK)
		fail_msg("%s", e.text);
	return i;
}

static struct tls_identity *fire(const char *key)
{
	return identity(&ca, NULL, &(struct wanted){ .name = FIRE, .key = key });
}

static struct tls_trust *trust(const char *crl)
{
	struct tls_trust *t;
	struct str anchor = str_of(ca.file), crl_file = str_of(crl);
	assert_int_equal(tls_trust_load(&anchor, 1, &crl_file, crl != NULL, &t, NULL), OK);
	return t;
}

static X509 *leaf_of(const struct tls_identity *i)
{
	const struct str *chain;
	size_t n;
	assert_int_equal(tls_identity_chain(i, arena, &chain, &n, NULL), OK);
	const unsigned char *at = (const unsigned char *)chain[0].ptr;
	return d2i_X509(NULL, &at, (long)chain[0].len);
}

static struct str a_content(void)
{
	static struct setup_user user = { .mc_id = { "a", 1 } };
	return setup_content(arena, &(struct setup){ .users = &user, .n_users = 1 });
}

static struct receipt_claims some_claims(int64_t done)
{
	static const uint64_t revision = 1;
	struct receipt_claims c = { .partner = STR("fire.example"), .home = STR("police.example"),
				    .done_ms = (uint64_t)done * 1000, .revisions = &revision, .n_users = 1 };
	assert_int_equal(crypto_sha256(a_content(), c.content), OK);
	return c;
}

static struct str claims_of(int64_t done)
{
	struct receipt_claims c = some_claims(done);
	return receipt_encode(arena, &c);
}

static struct str whole_of(struct str claims, struct str proof)
{
	return receipt_join(arena, &(struct receipt_parts){ a_content(), claims, proof });
}

/* Alone in its tree. */
static struct str signed_by(const struct tls_identity *i, int64_t done)
{
	struct merkle_hash leaf;
	struct receipt_batch batch;
	struct error e;
	assert_int_equal(merkle_leaf(claims_of(done), &leaf), OK);
	if (receipt_sign(arena, i, &leaf, 1, &batch, &e) != OK)
		fail_msg("%s", e.text);
	return whole_of(claims_of(done), receipt_prove(arena, &batch, 0));
}

static struct str proof_of(struct str whole)
{
	struct receipt_parts parts;
	assert_int_equal(receipt_split(whole, &parts, NULL), OK);
	return parts.proof;
}

/* --- connections in memory --- */

struct pair {
	struct tls_identity *own;
	struct tls_trust *trust;
	struct tls_context *client_context, *server_context;
	SSL *client, *server;
};

/* Home and partner, whose server shows this certificate. */
static struct pair connect_to(const struct tls_identity *partner)
{
	struct pair p = { .own = identity(&ca, NULL, &(struct wanted){ .name = "DNS:acms.police.example" }), .trust = trust(NULL) };
	struct tls_party home = { STR("DNS:acms.police.example"), p.trust, "home" }, fire_party = { STR(FIRE), p.trust, "fire" };
	BIO *a, *b;
	assert_int_equal(tls_server_new(partner, &home, 1, &p.server_context, NULL), OK);
	assert_int_equal(tls_client_new(p.own, &fire_party, &p.client_context, NULL), OK);
	p.server = tls_new(p.server_context, NULL);
	p.client = tls_new(p.client_context, "acms.fire.example");
	assert_int_equal(BIO_new_bio_pair(&a, 1 << 16, &b, 1 << 16), 1);
	SSL_set_bio(p.server, a, a);
	SSL_set_bio(p.client, b, b);
	SSL_set_accept_state(p.server);
	SSL_set_connect_state(p.client);
	for (int i = 0; i < 10 && !(SSL_is_init_finished(p.client) && SSL_is_init_finished(p.server)); i++)
		SSL_do_handshake(i % 2 ? p.server : p.client);
	assert_string_equal(tls_peer(p.client), "fire");
	return p;
}

static void pair_free(struct pair *p)
{
	SSL_free(p->client), SSL_free(p->server);
	tls_context_free(p->client_context), tls_context_free(p->server_context);
	tls_trust_free(p->trust);
	tls_identity_free(p->own);
}

static uint64_t done_of(struct str claims)
{
	struct receipt_claims c;
	return receipt_decode(arena, claims, &c, NULL) == OK ? c.done_ms : 0;
}

/* Of one that is alone in its tree, as the home system looks at it: that knows what it asked, and so the claims. */
static enum status by_peer(const struct pair *p, struct str whole, char **text)
{
	static struct error e;
	struct receipt_parts parts;
	struct receipt_proof found;
	enum status status = receipt_split(whole, &parts, &e);
	if (status == OK && !str_eq(parts.content, a_content()))
		status = ERR_INPUT;
	if (status == OK && merkle_leaf(parts.claims, &found.root) == OK)
		status = receipt_verify_peer(arena, p->client, parts.proof, &found.root, done_of(parts.claims), &found.path, &e);
	if (status == OK)
		status = merkle_check(&memo, parts.claims, &found.path, &found.root);
	*text = e.text;
	return status;
}

struct offline {
	enum status status;
	struct tls_signer signer;
	char text[512];
};

static struct offline offline(struct str bytes, const struct tls_trust *t, const char *name)
{
	struct offline o = { 0 };
	struct receipt r;
	struct error e = { 0 };
	o.status = receipt_verify_offline(arena, bytes, t, str_of(name), now, &r, &o.signer, &e);
	snprintf(o.text, sizeof o.text, "%s", e.text);
	assert_int_equal(ERR_peek_error(), 0);
	return o;
}

/* --- tests --- */

static void each_kind_of_key_signs(void **state)
{
	(void)state;
	static const char *const kinds[] = { "P-256", "P-384", "RSA" };
	static const int algorithms[] = { COSE_ES256, COSE_ES384, COSE_PS256 };
	struct tls_trust *t = trust(NULL);
	for (size_t k = 0; k < 3; k++) {
		struct tls_identity *i = fire(kinds[k]);
		struct pair p = connect_to(i);
		int algorithm;
		char *text;
		struct str bytes = signed_by(i, now);
		assert_int_equal(tls_identity_algorithm(i, &algorithm, NULL), OK);
		assert_int_equal(algorithm, algorithms[k]);
		assert_int_equal(by_peer(&p, bytes, &text), OK);
		struct offline o = offline(bytes, t, FIRE);
		assert_int_equal(o.status, OK);
		assert_string_equal(o.signer.certificate, FIRE);
		assert_string_equal(o.signer.note, "");
		pair_free(&p);
		tls_identity_free(i);
	}
	tls_trust_free(t);
}

static void other_keys_are_told_apart_early(void **state)
{
	(void)state;
	static const char *const kinds[] = { "P-521", "ED25519" };
	for (size_t k = 0; k < 2; k++) {
		struct tls_identity *i = fire(kinds[k]);
		struct merkle_hash leaf = { { 0 } };
		struct receipt_batch batch;
		int algorithm;
		assert_int_equal(tls_identity_algorithm(i, &algorithm, NULL), ERR_TLS);
		assert_int_equal(receipt_sign(arena, i, &leaf, 1, &batch, NULL), ERR_TLS);
		tls_identity_free(i);
	}
}

/* In a receipt with a chain: the payload, the signature, the header, and the certificates too. */
static void every_byte_counts(void **state)
{
	(void)state;
	struct tls_identity *i = identity(&intermediate, &intermediate, &(struct wanted){ .name = FIRE });
	struct pair p = connect_to(i);
	struct str bytes = signed_by(i, now);
	char *copy = malloc(bytes.len + 1), *text;
	assert_int_equal(by_peer(&p, bytes, &text), OK);
	assert_int_equal(offline(bytes, p.trust, FIRE).status, OK);
	for (size_t n = 0; n < bytes.len; n++) {
		memcpy(copy, bytes.ptr, bytes.len);
		copy[n] ^= (char)(1 << n % 8);
		if (by_peer(&p, (struct str){ copy, bytes.len }, &text) == OK)
			fail_msg("byte %zu changed, and the home system took it", n);
		if (offline((struct str){ copy, bytes.len }, p.trust, FIRE).status == OK)
			fail_msg("byte %zu changed, and it verifies offline", n);
	}
	memcpy(copy, bytes.ptr, bytes.len);
	copy[bytes.len] = 0;
	for (size_t n = 0; n <= bytes.len + 1; n++) {
		if (n != bytes.len)
			assert_int_equal(by_peer(&p, (struct str){ copy, n }, &text), ERR_INPUT);
	}
	free(copy);
	pair_free(&p);
	tls_identity_free(i);
}

/* Signed well, but not about what is beside it. */
static void the_claims_are_about_the_content(void **state)
{
	(void)state;
	static struct setup_user users[] = { { .mc_id = { "a", 1 } }, { .mc_id = { "b", 1 } } };
	static const uint64_t revisions[] = { 1, RECEIPT_NOT_DONE };
	static const struct {
		struct setup setup;
		enum operation certified;
		size_t n_claimed;
		bool other;
		const char *fault;
	} cases[] = {
		{ { .n_users = 1 }, OPERATION_SETUP, .n_claimed = 1, .fault = NULL },
		{ { .n_users = 2, .best_effort = true }, OPERATION_SETUP, .n_claimed = 2, .fault = NULL },
		{ { .n_users = 1 }, OPERATION_SETUP, .n_claimed = 1, .other = true, .fault = "not what its claims are about" },
		{ { .n_users = 1 }, OPERATION_UPDATE, .n_claimed = 1, .fault = "another operation" },
		{ { .n_users = 2 }, OPERATION_SETUP, .n_claimed = 1, .fault = "more or fewer users" },
		{ { .n_users = 1, .best_effort = true }, OPERATION_SETUP, .n_claimed = 2, .fault = "more or fewer users" },
		{ { .n_users = 2 }, OPERATION_SETUP, .n_claimed = 2, .fault = "not to be done in part" },
		{ { .n_users = 1, .dry_run = true }, OPERATION_SETUP, .n_claimed = 1, .fault = "a dry run" },
		{ { .n_users = 0 }, OPERATION_SETUP, .n_claimed = 1, .fault = "there are no users" },
	};
	struct tls_identity *i = fire(NULL);
	struct tls_trust *t = trust(NULL);
	for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
		struct setup setup = cases[k].setup;
		struct receipt_claims c = some_claims(now);
		struct merkle_hash leaf;
		struct receipt_batch batch;
		setup.users = users;
		struct receipt_parts parts = { .content = setup_content(arena, &setup) };
		c.operation = cases[k].certified, c.revisions = revisions, c.n_users = cases[k].n_claimed;
		assert_int_equal(crypto_sha256(parts.content, c.content), OK);
		c.content[31] ^= cases[k].other;
		parts.claims = receipt_encode(arena, &c);
		assert_int_equal(merkle_leaf(parts.claims, &leaf), OK);
		assert_int_equal(receipt_sign(arena, i, &leaf, 1, &batch, NULL), OK);
		parts.proof = receipt_prove(arena, &batch, 0);
		struct offline o = offline(receipt_join(arena, &parts), t, FIRE);
		assert_int_equal(o.status, cases[k].fault ? ERR_INPUT : OK);
		if (cases[k].fault && !strstr(o.text, cases[k].fault))
			fail_msg("case %zu: %s", k, o.text);
	}
	tls_trust_free(t);
	tls_identity_free(i);
}

enum { TOGETHER = 70 };

/* One signature, looked at once; each receipt by itself is good, for its own claims and for no others. */
static void signed_together_each_is_good_by_itself(void **state)
{
	(void)state;
	struct tls_identity *i = fire(NULL);
	struct pair p = connect_to(i);
	struct merkle_hash leaves[TOGETHER];
	struct receipt_batch batch;
	struct error e;
	for (int k = 0; k < TOGETHER; k++)
		assert_int_equal(merkle_leaf(claims_of(now + k), &leaves[k]), OK);
	assert_int_equal(receipt_sign(arena, i, leaves, TOGETHER, &batch, &e), OK);
	for (int k = 0; k < TOGETHER; k++) {
		struct str proof = receipt_prove(arena, &batch, (size_t)k);
		struct merkle_proof path;
		struct merkle_hash other = batch.tree.root;
		other.bytes[k % 32] ^= 1;
		assert_int_equal(receipt_verify_peer(arena, p.client, proof, &batch.tree.root, now_ms, &path, &e), OK);
		assert_int_equal(merkle_check(&memo, claims_of(now + k), &path, &batch.tree.root), OK);
		assert_int_equal(merkle_check(&memo, claims_of(now + k + 1), &path, &batch.tree.root), ERR_INPUT);
		assert_int_equal(receipt_verify_peer(arena, p.client, proof, &other, now_ms, &path, &e), ERR_TLS);
		assert_int_equal(offline(whole_of(claims_of(now + k), proof), p.trust, FIRE).status, OK);
		assert_int_equal(offline(whole_of(claims_of(now + k + 1), proof), p.trust, FIRE).status, ERR_TLS);
	}
	pair_free(&p);
	tls_identity_free(i);
}

/* More signatures than are remembered, each looked at again: first known, then forgotten, good and bad every time. */
static void what_was_verified_is_told_apart(void **state)
{
	(void)state;
	struct tls_identity *i = fire(NULL);
	struct pair p = connect_to(i);
	struct merkle_proof path;
	struct merkle_hash leaves[6];
	struct str proofs[6];
	struct error e;
	for (int k = 0; k < 6; k++) {
		struct receipt_batch batch;
		assert_int_equal(merkle_leaf(claims_of(now + k), &leaves[k]), OK);
		assert_int_equal(receipt_sign(arena, i, &leaves[k], 1, &batch, &e), OK);
		proofs[k] = receipt_prove(arena, &batch, 0);
	}
	for (int round = 0; round < 3; round++) {
		for (int k = 0; k < 6; k++) {
			assert_int_equal(receipt_verify_peer(arena, p.client, proofs[k], &leaves[k], now_ms, &path, &e), OK);
			assert_int_equal(receipt_verify_peer(arena, p.client, proofs[k], &leaves[(k + 1) % 6], now_ms, &path, &e), ERR_TLS);
			assert_int_equal(receipt_verify_peer(arena, p.client, proofs[k], &leaves[(k + 5) % 6], now_ms, &path, &e), ERR_TLS);
		}
	}
	pair_free(&p);
	tls_identity_free(i);
}

static void nobody_else_signs_for_the_partner(void **state)
{
	(void)state;
	struct tls_identity *i = fire(NULL);
	struct tls_identity *rail = identity(&ca, NULL, &(struct wanted){ .name = "DNS:acms.rail.example" });
	struct tls_identity *impostor = identity(&other_ca, NULL, &(struct wanted){ .name = FIRE });
	struct tls_identity *chained = identity(&other_ca, &other_ca, &(struct wanted){ .name = FIRE });
	struct tls_identity *client = identity(&ca, NULL, &(struct wanted){ .name = FIRE, .extended_usage = "clientAuth" });
	struct tls_identity *agreeing = identity(&ca, NULL, &(struct wanted){ .name = FIRE, .usage = "keyAgreement" });
	struct tls_identity *const wrong[] = { rail, impostor, chained, client, agreeing };
	struct pair p = connect_to(i);
	char *text;
	for (size_t k = 0; k < 5; k++) {
		struct str bytes = signed_by(wrong[k], now);
		assert_int_equal(by_peer(&p, bytes, &text), ERR_TLS);
		assert_int_equal(offline(bytes, p.trust, FIRE).status, ERR_TLS);
		tls_identity_free(wrong[k]);
	}
	pair_free(&p);
	tls_identity_free(i);
}

static void the_signers_name_is_told(void **state)
{
	(void)state;
	struct tls_identity *i = identity(&ca, NULL, &(struct wanted){ .name = "DNS:acms.rail.example", .more = ",URI:sip:rail@x" });
	struct tls_trust *t = trust(NULL);
	struct str bytes = signed_by(i, now);
	struct offline o = offline(bytes, t, FIRE);
	assert_int_equal(o.status, ERR_TLS);
	assert_string_equal(o.text, "signed by DNS:acms.rail.example, not by " FIRE);
	assert_string_equal(o.signer.certificate, "DNS:acms.rail.example");
	assert_int_equal(offline(bytes, t, NULL).status, OK);
	assert_int_equal(offline(bytes, t, "DNS:ACMS.rail.example").status, OK);
	o = offline(bytes, t, "URI:sip:rail@x");
	assert_int_equal(o.status, OK);
	assert_string_equal(o.signer.certificate, "URI:sip:rail@x"); /* not the first: that is whatever its CA likes */
	assert_int_equal(offline(bytes, t, "URI:sip:RAIL@x").status, ERR_TLS);
	assert_int_equal(offline(bytes, t, "").status, ERR_TLS);
	tls_trust_free(t);
	tls_identity_free(i);
}

/* A certificate of the right name with the right key, but the signature by another. */
static void the_certificate_and_the_key_belong_together(void **state)
{
	(void)state;
	struct tls_identity *i = fire(NULL), *renewed = fire(NULL), *larger = fire("P-384");
	struct pair p = connect_to(i);
	struct cose_receipt c, d;
	char *text;
	struct str bytes = signed_by(i, now), by_renewed = signed_by(renewed, now), by_larger = signed_by(larger, now);
	assert_int_equal(cose_parse(arena, proof_of(bytes), &c, NULL), OK);
	assert_int_equal(cose_parse(arena, proof_of(by_renewed), &d, NULL), OK);
	assert_int_equal(by_peer(&p, by_renewed, &text), OK);
	c.chain = d.chain;
	assert_int_equal(by_peer(&p, whole_of(claims_of(now), cose_encode(arena, &c)), &text), ERR_TLS);
	assert_int_equal(offline(whole_of(claims_of(now), cose_encode(arena, &c)), p.trust, FIRE).status, ERR_TLS);
	assert_int_equal(cose_parse(arena, proof_of(by_larger), &d, NULL), OK);
	c.chain = d.chain;
	assert_int_equal(by_peer(&p, whole_of(claims_of(now), cose_encode(arena, &c)), &text), ERR_TLS);
	assert_string_equal(text, "the signature's algorithm does not fit the certificate's key");
	tls_identity_free(i), tls_identity_free(renewed), tls_identity_free(larger);
	pair_free(&p);
}

static void an_old_receipt_is_good_and_expiry_is_noted(void **state)
{
	(void)state;
	struct tls_identity *i = identity(&ca, NULL, &(struct wanted){ .name = FIRE, .from = -400, .to = -35 });
	struct tls_trust *t = trust(NULL);
	struct offline o = offline(signed_by(i, now - 100 * DAYS), t, FIRE);
	assert_int_equal(o.status, OK);
	assert_non_null(strstr(o.signer.note, FIRE " has expired on "));
	o = offline(signed_by(i, now), t, FIRE);
	assert_int_equal(o.status, ERR_TLS);
	assert_non_null(strstr(o.text, "at the time of the signature, as it says: "));
	o = offline(signed_by(i, now - 500 * DAYS), t, FIRE);
	assert_int_equal(o.status, ERR_TLS);
	assert_non_null(strstr(o.text, "is not valid before"));
	tls_trust_free(t);
	tls_identity_free(i);
}

static void on_the_connection_it_must_be_valid_now(void **state)
{
	(void)state;
	struct tls_identity *i = fire(NULL);
	struct tls_identity *old = identity(&ca, NULL, &(struct wanted){ .name = FIRE, .from = -400, .to = -35 });
	struct pair p = connect_to(i);
	char *text;
	assert_int_equal(by_peer(&p, signed_by(old, now - 100 * DAYS), &text), ERR_TLS);
	assert_non_null(strstr(text, "has expired"));
	assert_int_equal(by_peer(&p, signed_by(i, now), &text), OK);
	assert_int_equal(by_peer(&p, signed_by(i, now - 1000 * DAYS), &text), ERR_TLS); /* known, and not valid then */
	assert_non_null(strstr(text, "is not valid before"));
	assert_int_equal(by_peer(&p, signed_by(i, now + 1000 * DAYS), &text), ERR_TLS);
	assert_int_equal(by_peer(&p, signed_by(i, now), &text), OK);
	pair_free(&p);
	tls_identity_free(i), tls_identity_free(old);
}

static void since_a_reload_the_new_trust_judges(void **state)
{
	(void)state;
	struct tls_identity *i = fire(NULL), *renewed = fire(NULL);
	struct pair p = connect_to(i);
	X509 *leaf = leaf_of(renewed);
	make_crl_file(&ca, leaf, -1, 30, "renewed-revoked");
	struct tls_party revoking = { STR(FIRE), trust(certificates_path("renewed-revoked", "crl")), "fire" }, plain = { STR(FIRE), p.trust, "fire" };
	struct tls_context *next;
	struct error e;
	char *text;
	assert_int_equal(by_peer(&p, signed_by(renewed, now), &text), OK);
	assert_int_equal(tls_client_new(p.own, &revoking, &next, &e), OK);
	assert_string_equal(tls_recheck(p.client, next, &e), "fire");
	tls_context_free(next); /* its judge stays */
	assert_int_equal(by_peer(&p, signed_by(renewed, now), &text), ERR_TLS);
	assert_non_null(strstr(text, "has been revoked"));
	assert_int_equal(by_peer(&p, signed_by(i, now), &text), OK);
	assert_int_equal(tls_client_new(p.own, &plain, &next, &e), OK);
	assert_string_equal(tls_recheck(p.client, next, &e), "fire");
	tls_context_free(next);
	assert_int_equal(by_peer(&p, signed_by(renewed, now), &text), OK);
	tls_trust_free((struct tls_trust *)revoking.trust);
	X509_free(leaf);
	pair_free(&p);
	tls_identity_free(i), tls_identity_free(renewed);
}

static void revocation_refuses_and_old_crls_are_noted(void **state)
{
	(void)state;
	struct tls_identity *i = fire(NULL), *via = identity(&intermediate, &intermediate, &(struct wanted){ .name = FIRE });
	X509 *leaf = leaf_of(i);
	struct str bytes = signed_by(i, now - 100 * DAYS);
	make_crl_file(&ca, NULL, -1, 30, "good");
	make_crl_file(&ca, leaf, -1, 30, "revoked");
	make_crl_file(&ca, NULL, -60, -30, "old");
	make_crl_file(&ca, leaf, -60, -30, "old-revoked");
	struct tls_trust *good = trust(certificates_path("good", "crl")), *revoked = trust(certificates_path("revoked", "crl"));
	struct tls_trust *old = trust(certificates_path("old", "crl"));
	struct tls_trust *old_revoked = trust(certificates_path("old-revoked", "crl"));
	struct offline o = offline(bytes, good, FIRE);
	assert_int_equal(o.status, OK);
	assert_string_equal(o.signer.note, "");
	o = offline(bytes, revoked, FIRE);
	assert_int_equal(o.status, ERR_TLS);
	assert_non_null(strstr(o.text, "certificate " FIRE " has been revoked on 20"));
	o = offline(bytes, old, FIRE);
	assert_int_equal(o.status, OK);
	assert_non_null(strstr(o.signer.note, "CRL"));
	assert_int_equal(offline(bytes, old_revoked, FIRE).status, ERR_TLS);
	o = offline(signed_by(via, now), good, FIRE); /* none of the intermediate's */
	assert_int_equal(o.status, ERR_TLS);
	assert_non_null(strstr(o.text, "no CRL"));
	tls_trust_free(good), tls_trust_free(revoked), tls_trust_free(old), tls_trust_free(old_revoked);
	tls_identity_free(i), tls_identity_free(via);
	X509_free(leaf);
}

/* What was shown in the handshake is not there later: x5chain has to be enough. */
static void the_chain_is_complete_without_the_handshake(void **state)
{
	(void)state;
	struct tls_identity *via = identity(&intermediate, &intermediate, &(struct wanted){ .name = FIRE });
	struct pair p = connect_to(via);
	struct cose_receipt c;
	char *text;
	for (int round = 0; round < 2; round++) { /* unknown, then with a signer that is known */
		struct str good = signed_by(via, now);
		assert_int_equal(cose_parse(arena, proof_of(good), &c, NULL), OK);
		assert_int_equal(c.n_chain, 2);
		c.n_chain = 1;
		struct str bad = whole_of(claims_of(now), cose_encode(arena, &c));
		assert_int_equal(by_peer(&p, bad, &text), ERR_TLS);
		assert_non_null(strstr(text, "was not issued by a trust anchor"));
		assert_int_equal(offline(bad, p.trust, FIRE).status, ERR_TLS);
		assert_int_equal(by_peer(&p, good, &text), OK);
		assert_int_equal(offline(good, p.trust, FIRE).status, OK);
	}
	pair_free(&p);
	tls_identity_free(via);
}

/* Whatever the time that they claim, and whoever of the partner's certificates signed. */
static void what_home_takes_is_good_offline(void **state)
{
	(void)state;
	static const int days[] = { -2000, -1001, -999, -400, -40, -34, -20, -2, 0, 2, 20, 40, 400, 999, 2000 };
	struct tls_identity *signers[] = {
		fire(NULL), identity(&ca, NULL, &(struct wanted){ .name = FIRE, .from = -10, .to = 10 }),
		identity(&ca, NULL, &(struct wanted){ .name = FIRE, .from = -400, .to = -35 }),
		identity(&intermediate, &intermediate, &(struct wanted){ .name = FIRE, .from = -30, .to = 30 }),
		identity(&ca, NULL, &(struct wanted){ .name = "DNS:acms.rail.example" }),
		identity(&other_ca, NULL, &(struct wanted){ .name = FIRE }),
	};
	struct pair p = connect_to(signers[0]);
	size_t n = sizeof signers / sizeof *signers, taken = 0;
	char *text;
	for (size_t i = 0; i < n; i++)
		for (size_t d = 0; d < 2 * sizeof days / sizeof *days; d++) { /* twice: known or not */
			struct str bytes = signed_by(signers[i], now + (int64_t)days[d / 2] * DAYS);
			if (by_peer(&p, bytes, &text) != OK)
				continue;
			taken++;
			assert_int_equal(offline(bytes, p.trust, FIRE).status, OK);
		}
	assert_true(taken > 10);
	pair_free(&p);
	for (size_t i = 0; i < n; i++)
		tls_identity_free(signers[i]);
}

static void an_anchor_in_the_chain_file_is_not_sent(void **state)
{
	(void)state;
	struct tls_identity *i = identity(&ca, &ca, &(struct wanted){ .name = FIRE });
	const struct str *chain;
	size_t n;
	assert_int_equal(tls_identity_chain(i, arena, &chain, &n, NULL), OK);
	assert_int_equal(n, 1);
	tls_identity_free(i);
}

static struct str unhex(const char *hex)
{
	char *out = arena_alloc(arena, strlen(hex) / 2);
	for (size_t i = 0; hex[2 * i]; i++) {
		unsigned byte;
		sscanf(hex + 2 * i, "%2x", &byte);
		out[i] = (char)byte;
	}
	return (struct str){ out, strlen(hex) / 2 };
}

/* RFC 9052 C.2.1 signs with the key "11" of its C.7.1: a signature that others have made. */
static void the_signature_of_the_rfc_is_good(void **state)
{
	(void)state;
	struct str point = unhex("04bac5b11cad8f99f9c72b05cf4b9e26d244dc189f745228255a219a86d6a09eff"
				 "20138bf82dc1b6d562be0fa54ab7804a3a64b6d72ccfed6b6fb6ed28bbfc117e");
	struct str signature = unhex("8eb33e4ca31d1c465ab05aac34cc6b23d58fef5c083106c4d25a91aef0b0117e"
				     "2af9a291aa32e14ab834dc56ed2a223444547e01f11d3b0916e5a4c345cacb36");
	EVP_PKEY *key = EVP_PKEY_new();
	EVP_PKEY *of_curve = EVP_EC_gen("P-256");
	assert_int_equal(EVP_PKEY_copy_parameters(key, of_curve), 1);
	assert_int_equal(EVP_PKEY_set1_encoded_public_key(key, (const unsigned char *)point.ptr, point.len), 1);
	X509 *x = make_certificate(&ca, &(struct wanted){ .name = FIRE, .public_key = key }, NULL);
	unsigned char *der = NULL;
	struct str chain = { NULL, (size_t)i2d_X509(x, &der) };
	chain.ptr = (const char *)der;
	struct tls_signed what = { COSE_ES256, cose_to_be_signed(arena, STR("\xa1\x01\x26"), STR("This is the content.")),
				   signature, &chain, 1 };
	struct tls_trust *t = trust(NULL);
	struct tls_signer signer;
	struct error e = { 0 };
	if (tls_trust_verify(t, &what, STR(FIRE), now, now, &signer, &e) != OK)
		fail_msg("%s", e.text);
	what.data = cose_to_be_signed(arena, STR("\xa1\x01\x26"), STR("This is the Content."));
	assert_int_equal(tls_trust_verify(t, &what, STR(FIRE), now, now, &signer, &e), ERR_TLS);
	tls_trust_free(t);
	OPENSSL_free(der);
	X509_free(x);
	EVP_PKEY_free(key), EVP_PKEY_free(of_curve);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_of_key_signs),
		cmocka_unit_test(other_keys_are_told_apart_early),
		cmocka_unit_test(every_byte_counts),
		cmocka_unit_test(the_claims_are_about_the_content),
		cmocka_unit_test(signed_together_each_is_good_by_itself),
		cmocka_unit_test(what_was_verified_is_told_apart),
		cmocka_unit_test(nobody_else_signs_for_the_partner),
		cmocka_unit_test(the_signers_name_is_told),
		cmocka_unit_test(the_certificate_and_the_key_belong_together),
		cmocka_unit_test(an_old_receipt_is_good_and_expiry_is_noted),
		cmocka_unit_test(on_the_connection_it_must_be_valid_now),
		cmocka_unit_test(since_a_reload_the_new_trust_judges),
		cmocka_unit_test(revocation_refuses_and_old_crls_are_noted),
		cmocka_unit_test(an_anchor_in_the_chain_file_is_not_sent),
		cmocka_unit_test(the_chain_is_complete_without_the_handshake),
		cmocka_unit_test(what_home_takes_is_good_offline),
		cmocka_unit_test(the_signature_of_the_rfc_is_good),
	};
	return cmocka_run_group_tests_name("receipt_sign", tests, begin, end);
}
