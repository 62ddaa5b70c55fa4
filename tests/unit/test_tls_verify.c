// needs: tests/unit/tls_pair.c tests/unit/pki.c common/tls.c common/tls_sign.c common/cose.c common/arena.c common/cbor.c common/tls_files.c common/trusted_file.c common/tls_verify.c common/text.c common/error.c
#include "tests/unit/tls_pair.h"

/* Who is admitted, and what is said of those who are not. */

/* --- who is it? --- */

static void names(void **state)
{
	static const char *const strangers[] = {
		"DNS:*.police.example", "DNS:acms.police.example.", "DNS:police.example",
		"DNS:acms.police.example!x",
		"URI:acms.police.example", "DNS:sip:control-room@police.example",
		"URI:SIP:control-room@police.example", "URI:sip:control-room@police.exampl",
		"URI:sip:control-room@police.example!", "email:control-room@police.example", "IP:192.0.2.1",
	};
	struct world *w = *state;
	struct pki_leaf leaf = pki_issue_named(police, "upper", "DNS:ACMS.Police.EXAMPLE");
	admits(w, &leaf, police_owner);
	leaf = pki_issue_named(police, "several", "email:x@y.example,DNS:z.example," ROOM);
	admits(w, &leaf, other_owner);
	for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
		leaf = pki_issue_named(police, "stranger", strangers[i]);
		refuses(w, &leaf, "no configured party has a certificate named ");
	}
	leaf = pki_issue_named(police, "unnamed", NULL);
	refuses(w, &leaf, "no configured party");
}

/* The subject is never looked at. */
static void common_name_is_no_name(void **state)
{
	struct pki_leaf leaf = pki_issue_named(police, "acms.police.example", "DNS:elsewhere.example");
	refuses(*state, &leaf, "no configured party has a certificate named DNS:elsewhere.example");
}

static void hostile_name_is_escaped(void **state)
{
	struct pki_leaf leaf = pki_issue_named(police, "hostile", "URI:x\x1b[31m\\nfake");
	struct world *w = *state;
	struct pair p;
	connect_leaf(&p, w, &leaf);
	mentions(p.server.e.text, "\\x1B[31m");
	assert_null(strpbrk(p.server.e.text, "\x1b\n"));
	end_pair(&p);
}

static void anchors_of_another_party(void **state)
{
	struct pki_leaf leaf = pki_issue_named(fire, "forged", POLICE);
	refuses(*state, &leaf,
		"certificate " POLICE " was not issued by a trust anchor configured for " POLICE);
	leaf = pki_issue_named(fire, "forged-room", ROOM);
	refuses(*state, &leaf, "configured for " ROOM);
	leaf = pki_issue_named(pki_ca_new("police", NULL, 100), "same-ca-name", POLICE);
	refuses(*state, &leaf, "was not issued by a trust anchor configured for " POLICE);
	/* It carries another's name besides its own: then it is itself, and nobody else. */
	leaf = pki_issue_named(fire, "both", POLICE "," FIRE);
	admits(*state, &leaf, fire_owner);
}

static void one_name_two_anchors(void **state)
{
	struct world *w = *state;
	struct pki_leaf leaf;
	make_server(w, (struct tls_party[]){ { STR(ROOM), w->police, police_owner },
					     { STR(ROOM), w->fire, fire_owner } }, 2);
	leaf = pki_issue_named(police, "by-police", ROOM);
	admits(w, &leaf, police_owner);
	leaf = pki_issue_named(fire, "by-fire", ROOM);
	admits(w, &leaf, fire_owner);
	leaf = pki_issue_named(pki_ca_new("third", NULL, 100), "by-third", ROOM);
	refuses(w, &leaf, "was not issued by");
}

static void ambiguous(void **state)
{
	struct world *w = *state;
	struct pki_leaf leaf = pki_issue_named(police, "ambiguous", ROOM "," POLICE);
	refuses(w, &leaf, "fits several parties");
	make_server(w, (struct tls_party[]){ { STR(ROOM), w->police, police_owner },
					     { STR(POLICE), w->police, police_owner } }, 2);
	admits(w, &leaf, police_owner); /* two names of one party */
	make_server(w, NULL, 0);
	refuses(w, &leaf, "no configured party");
}

static void ourselves(void **state)
{
	struct world *w = *state;
	struct pki_leaf twin = pki_issue_named(fire, "twin", FIRE);
	struct tls_context *self;
	struct pair p;
	struct error e;
	make_server(w, (struct tls_party[]){ { STR(POLICE), w->police, police_owner } }, 1);
	connect_leaf(&p, w, &w->leaf);
	assert_true(p.server.done && tls_peer_is_self(p.server.ssl));
	assert_null(tls_peer(p.server.ssl));
	end_pair(&p);
	refuses(w, &twin, "no configured party");

	assert_int_equal(tls_self_client_new(w->identity, &self, &e), OK);
	shake(&p, tls_new(self, "localhost"), tls_new(w->server, NULL), false, false);
	assert_true(p.client.done && p.server.done && tls_peer_is_self(p.client.ssl));
	end_pair(&p);
	SSL_CTX *other = pki_foreign_server(&twin);
	shake(&p, tls_new(self, "localhost"), SSL_new(other), false, true);
	assert_true(p.client.failed);
	mentions(p.client.e.text, "no configured party");
	end_pair(&p);
	SSL_CTX_free(other);
	tls_context_free(self);
}

/* A partner's CA may put any name first: what is logged and stored is the one that says whose it is. */
static void the_name_that_matched_is_told(void **state)
{
	struct world *w = *state;
	struct pki_leaf leaf = pki_issue_named(police, "other-first", "DNS:acms.rail.example,URI:sip:x@y.example," POLICE);
	struct pair p;
	char text[256];
	connect_leaf(&p, w, &leaf);
	assert_true(p.server.done);
	tls_peer_describe(p.server.ssl, text, sizeof text);
	mentions(text, POLICE " SHA256:");
	assert_null(strstr(text, "rail"));
	end_pair(&p);
	leaf = pki_issue(police, "other-first-old", &(struct pki_leaf_options){ .names = "DNS:acms.rail.example," POLICE,
										  .from_days = -20, .to_days = -1 });
	refuses(w, &leaf, "certificate " POLICE " has expired");
}

static void after_a_recheck_it_is_the_new_name(void **state)
{
	struct world *w = *state;
	struct pki_leaf leaf = pki_issue_named(police, "two-names", "DNS:old.example,DNS:new.example");
	struct tls_party party = { STR("DNS:new.example"), w->police, police_owner };
	struct tls_context *next;
	struct pair p;
	struct error e;
	char text[256];
	make_server(w, (struct tls_party[]){ { STR("DNS:old.example"), w->police, police_owner } }, 1);
	connect_leaf(&p, w, &leaf);
	assert_int_equal(tls_server_new(w->identity, &party, 1, &next, &e), OK);
	assert_ptr_equal(tls_recheck(p.server.ssl, next, &e), police_owner);
	tls_context_free(next); /* the name must not go with it */
	tls_peer_describe(p.server.ssl, text, sizeof text);
	mentions(text, "DNS:new.example SHA256:");
	end_pair(&p);
}

/* --- until when? --- */

static void ends_in(struct world *w, const struct pki_leaf *leaf, struct tls_trust *trust, int days)
{
	struct pair p;
	int64_t now = (int64_t)time(NULL);
	make_server(w, (struct tls_party[]){ { STR(POLICE), trust, police_owner } }, 1);
	connect_leaf(&p, w, leaf);
	assert_true(p.server.done);
	assert_in_range(tls_peer_ends(p.server.ssl), now + days * 86400 - 60, now + days * 86400 + 60);
	end_pair(&p);
	tls_trust_free(trust);
}

static void the_first_end_counts(void **state)
{
	struct world *w = *state;
	struct pki_ca *brief = pki_ca_new("brief", NULL, 20), *middle = pki_ca_new("middle 3", police, 25);
	struct pki_leaf leaf = pki_issue_named(police, "ends", POLICE), below = pki_issue_named(middle, "below-3", POLICE);
	struct pki_leaf of_brief = pki_issue_named(brief, "of-brief", POLICE);
	pki_append(below.certificate, middle->file);
	ends_in(w, &leaf, pki_trust(police->file, NULL), 30);
	ends_in(w, &of_brief, pki_trust(brief->file, NULL), 20);
	ends_in(w, &below, pki_trust(police->file, NULL), 25);
	const char *crl = pki_crl(police, "ending", 10, NULL);
	ends_in(w, &leaf, pki_trust(police->file, crl), 10);
	/* One that has ended already, beside a good one, does not matter. */
	pki_append(crl, pki_crl(police, "ended", -1, NULL));
	ends_in(w, &leaf, pki_trust(police->file, crl), 10);
}

static void who_is_refused_or_ourselves_has_no_end(void **state)
{
	struct world *w = *state;
	struct pki_leaf leaf = pki_issue_named(police, "nobody", "DNS:nobody.example");
	struct pair p;
	connect_leaf(&p, w, &leaf);
	assert_true(tls_peer_ends(p.server.ssl) == INT64_MAX);
	end_pair(&p);
	make_server(w, NULL, 0);
	connect_leaf(&p, w, &w->leaf);
	assert_true(tls_peer_is_self(p.server.ssl) && tls_peer_ends(p.server.ssl) == INT64_MAX);
	end_pair(&p);
}

/* --- is the certificate good? --- */

static void defects(void **state)
{
	struct world *w = *state;
	const struct {
		const char *label, *why;
		struct pki_leaf_options o;
		bool good;
	} table[] = {
		{ "expired", "certificate " POLICE " has expired on 20",
		  { .from_days = -20, .to_days = -1 }, false },
		{ "future", "is not valid before 20", { .from_days = 2, .to_days = 20 }, false },
		{ "server-only", "is not for this use", { .usage = "serverAuth" }, false },
		{ "mail-only", "is not for this use", { .usage = "emailProtection" }, false },
		{ "encipher", "is not for this use", { .key_usage = "critical,keyEncipherment" }, false },
		{ "rsa-1024", "certificate " POLICE ": ", { .rsa_bits = 1024 }, false },
		{ "sha-1", "certificate " POLICE ": ", { .digest = EVP_sha1() }, false },
		{ "no-usage", "", { .usage = "" }, true },
		{ "client-only", "",
		  { .usage = "clientAuth", .key_usage = "critical,digitalSignature" }, true },
		{ "rsa-2048", "", { .rsa_bits = 2048 }, true },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct pki_leaf_options o = table[i].o;
		o.names = POLICE;
		struct pki_leaf leaf = pki_issue(police, table[i].label, &o);
		if (table[i].good)
			admits(w, &leaf, police_owner);
		else
			refuses(w, &leaf, table[i].why);
	}
}

static void expired_anchor(void **state)
{
	struct world *w = *state;
	struct pki_ca *old = pki_ca_new("Old CA", NULL, -1);
	struct tls_trust *trust = pki_trust(old->file, NULL);
	struct pki_leaf leaf = pki_issue_named(old, "of-old", POLICE);
	make_server(w, (struct tls_party[]){ { STR(POLICE), trust, police_owner } }, 1);
	refuses(w, &leaf, "Old CA");
	refuses(w, &leaf, "has expired on");
	tls_trust_free(trust);
}

static void intermediates(void **state)
{
	struct world *w = *state;
	struct pki_ca *middle = pki_ca_new("middle", police, 100);
	struct pki_leaf leaf = pki_issue_named(middle, "below", POLICE);
	refuses(w, &leaf, "was not issued by"); /* it does not send the middle one */
	pki_append(leaf.certificate, middle->file);
	admits(w, &leaf, police_owner);

	/* Ours sends it, too. */
	struct tls_identity *i = pki_identity(&leaf);
	struct tls_party to = { STR(FIRE), w->fire, fire_owner };
	struct tls_context *client;
	struct pair p;
	struct error e;
	assert_int_equal(tls_client_new(i, &to, &client, &e), OK);
	shake(&p, tls_new(client, NULL), tls_new(w->server, NULL), false, false);
	assert_true(p.client.done && p.server.done);
	end_pair(&p);
	tls_context_free(client);
	tls_identity_free(i);

	/* A leaf is no authority. */
	struct pki_ca fake = { 0 };
	struct pki_leaf mine = pki_issue_named(police, "mine", "DNS:mine.example");
	BIO *in = BIO_new_file(mine.certificate, "r");
	fake.certificate = PEM_read_bio_X509(in, NULL, NULL, NULL);
	BIO_free(in);
	in = BIO_new_file(mine.key, "r");
	fake.key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
	BIO_free(in);
	leaf = pki_issue_named(&fake, "below-leaf", POLICE);
	pki_append(leaf.certificate, mine.certificate);
	refuses(w, &leaf, "certificate ");
	X509_free(fake.certificate);
	EVP_PKEY_free(fake.key);
}

static void admit_police_with(struct world *w, struct tls_trust *trust)
{
	make_server(w, (struct tls_party[]){ { STR(POLICE), trust, police_owner } }, 1);
}

static void crls(void **state)
{
	struct world *w = *state;
	struct pki_leaf good = pki_issue_named(police, "good", POLICE);
	struct pki_leaf bad = pki_issue_named(police, "bad", POLICE);
	const char *revoked[] = { bad.certificate, NULL };
	struct tls_trust *trust = pki_trust(police->file, pki_crl(police, "police", 10, revoked));
	admit_police_with(w, trust);
	admits(w, &good, police_owner);
	refuses(w, &bad, "certificate " POLICE " has been revoked");
	tls_trust_free(trust);

	trust = pki_trust(police->file, pki_crl(police, "late", -2, NULL));
	admit_police_with(w, trust);
	refuses(w, &good, "CRL");
	refuses(w, &good, "has expired");
	tls_trust_free(trust);

	trust = pki_trust(police->file, pki_crl(fire, "others", 10, NULL));
	admit_police_with(w, trust);
	refuses(w, &good, "there is no CRL of the issuer");
	tls_trust_free(trust);

	struct pki_ca *impostor = pki_ca_new("police", NULL, 100);
	trust = pki_trust(police->file, pki_crl(impostor, "impostor", 10, NULL));
	admit_police_with(w, trust);
	refuses(w, &good, "CRL");
	tls_trust_free(trust);
}

/* Every issuer of the chain needs a CRL, not only the leaf's: TS 33.310 has no half revocation checks. */
static void crl_of_every_issuer(void **state)
{
	struct world *w = *state;
	struct pki_ca *middle = pki_ca_new("middle 2", police, 100);
	struct pki_leaf leaf = pki_issue_named(middle, "below-2", POLICE);
	pki_append(leaf.certificate, middle->file);
	const char *crl = pki_crl(middle, "middle", 10, NULL);
	struct tls_trust *trust = pki_trust(police->file, crl);
	admit_police_with(w, trust);
	refuses(w, &leaf, "there is no CRL of the issuer of certificate");
	refuses(w, &leaf, "middle 2");
	tls_trust_free(trust);

	pki_append(crl, pki_crl(police, "root", 10, NULL));
	trust = pki_trust(police->file, crl);
	admit_police_with(w, trust);
	admits(w, &leaf, police_owner);
	tls_trust_free(trust);

	const char *revoked[] = { middle->file, NULL };
	crl = pki_crl(middle, "middle", 10, NULL);
	pki_append(crl, pki_crl(police, "root", 10, revoked));
	trust = pki_trust(police->file, crl);
	admit_police_with(w, trust);
	refuses(w, &leaf, "has been revoked");
	tls_trust_free(trust);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_world(names),
		in_world(common_name_is_no_name),
		in_world(hostile_name_is_escaped),
		in_world(anchors_of_another_party),
		in_world(one_name_two_anchors),
		in_world(ambiguous),
		in_world(ourselves),
		in_world(the_name_that_matched_is_told),
		in_world(after_a_recheck_it_is_the_new_name),
		in_world(the_first_end_counts),
		in_world(who_is_refused_or_ourselves_has_no_end),
		in_world(defects),
		in_world(expired_anchor),
		in_world(intermediates),
		in_world(crls),
		in_world(crl_of_every_issuer),
	};
	return cmocka_run_group_tests(tests, make_authorities, pki_teardown);
}
