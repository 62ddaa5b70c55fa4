// needs: tests/unit/tls_pair.c tests/unit/pki.c common/tls.c common/tls_sign.c common/cose.c common/arena.c common/cbor.c common/tls_files.c common/trusted_file.c common/tls_verify.c common/text.c common/error.c
#include <openssl/err.h>
#include <time.h>
#include "tests/unit/tls_pair.h"

/* TLS as TS 33.210 wants it, what both ends learn, and a reload. */

static void both_ours(void **state)
{
	struct world *w = *state;
	struct pki_leaf leaf = pki_issue_named(police, "ours", POLICE);
	struct tls_identity *i = pki_identity(&leaf);
	struct tls_party to = { STR(FIRE), w->fire, fire_owner };
	struct tls_context *client;
	struct pair p;
	char text[256];
	struct error e;
	assert_int_equal(tls_client_new(i, &to, &client, &e), OK);
	shake(&p, tls_new(client, "acms.fire.example"), tls_new(w->server, NULL), false, false);
	tls_context_free(client); /* connections live on */
	assert_true(p.client.done && p.server.done);
	assert_ptr_equal(tls_peer(p.client.ssl), fire_owner);
	assert_ptr_equal(tls_peer(p.server.ssl), police_owner);
	assert_true(tls_protocol_agreed(p.client.ssl));
	assert_string_equal(SSL_get_servername(p.server.ssl, TLSEXT_NAMETYPE_host_name), "acms.fire.example");
	assert_int_equal(SSL_version(p.client.ssl), TLS1_3_VERSION);
	assert_false(SSL_SESSION_is_resumable(SSL_get_session(p.client.ssl)));
	tls_peer_describe(p.server.ssl, text, sizeof text);
	mentions(text, POLICE " SHA256:");
	assert_int_equal(strlen(text), strlen(POLICE " SHA256:") + 64);
	tls_peer_describe(p.server.ssl, text, 10);
	assert_int_equal(strlen(text), 9);
	assert_in_range(tls_peer_expires_in(p.server.ssl, time(NULL)), 30 * 86400 - 60, 30 * 86400);
	end_pair(&p);
	tls_identity_free(i);
}

static void no_server_name_for_addresses(void **state)
{
	static const char *const addresses[] = { "192.0.2.1", "2001:db8::1", "::1" };
	struct world *w = *state;
	SSL *ssl;
	for (size_t i = 0; i < 3; i++) {
		ssl = tls_new(w->server, addresses[i]);
		assert_null(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
		SSL_free(ssl);
	}
	ssl = tls_new(w->server, "4.example");
	assert_string_equal(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name), "4.example");
	SSL_free(ssl);
}

/* --- what the other end learns --- */

static void alerts(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *label, *names;
		bool of_police;
		int to_days;
		const char *alert;
	} table[] = {
		{ "a1", POLICE, true, -1, "certificate expired" },
		{ "a2", POLICE, false, 20, "unknown CA" },
		{ "a3", "DNS:nobody.example", true, 20, "rejected by the other end" },
	};
	struct tls_party to = { STR(FIRE), w->fire, fire_owner };
	struct error e;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		for (size_t i = 0; i < 3; i++) {
			struct pki_leaf leaf = pki_issue(table[i].of_police ? police : fire, table[i].label,
							 &(struct pki_leaf_options){
								 .names = table[i].names,
								 .from_days = -9,
								 .to_days = table[i].to_days });
			struct tls_identity *id = pki_identity(&leaf);
			struct tls_context *client;
			struct pair p;
			assert_int_equal(tls_client_new(id, &to, &client, &e), OK);
			SSL *ssl = tls_new(client, NULL);
			SSL_set_max_proto_version(ssl, version);
			shake(&p, ssl, tls_new(w->server, NULL), false, false);
			assert_true(p.server.failed && p.client.failed && p.client.refused_by_other);
			mentions(p.client.e.text, table[i].alert);
			end_pair(&p);
			tls_context_free(client);
			tls_identity_free(id);
		}
	}
}

static void the_server_is_judged_too(void **state)
{
	struct world *w = *state;
	struct pki_leaf mine = pki_issue_named(police, "judge", POLICE);
	struct tls_identity *id = pki_identity(&mine);
	const struct {
		const struct pki_ca *ca;
		struct pki_leaf_options o;
		const char *why;
	} table[] = {
		{ fire, { .names = FIRE }, NULL },
		{ fire, { .names = "DNS:other.example" }, "has a certificate named DNS:other.example" },
		{ police, { .names = FIRE }, "was not issued by a trust anchor configured for " FIRE },
		{ fire, { .names = FIRE, .usage = "clientAuth" }, "is not for this use" },
		{ fire, { .names = FIRE, .from_days = -9, .to_days = -1 }, "has expired" },
	};
	struct tls_party to = { STR(FIRE), w->fire, fire_owner };
	struct tls_party from = { STR(POLICE), w->police, police_owner };
	struct error e;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct pki_leaf leaf = pki_issue(table[i].ca, "judged", &table[i].o);
		struct tls_identity *theirs = pki_identity(&leaf);
		struct tls_context *client, *server;
		struct pair p;
		assert_int_equal(tls_client_new(id, &to, &client, &e), OK);
		assert_int_equal(tls_server_new(theirs, &from, 1, &server, &e), OK);
		shake(&p, tls_new(client, NULL), tls_new(server, NULL), false, false);
		assert_int_equal(p.client.failed, table[i].why != NULL);
		assert_ptr_equal(tls_peer(p.client.ssl), table[i].why ? NULL : fire_owner);
		if (table[i].why) {
			mentions(p.client.e.text, table[i].why);
			assert_false(p.client.refused_by_other);
		}
		end_pair(&p);
		tls_context_free(client);
		tls_context_free(server);
		tls_identity_free(theirs);
	}
	tls_identity_free(id);
}

/* --- TLS itself --- */

static void no_certificate(void **state)
{
	struct pair p;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_CTX *c = pki_foreign_client(NULL);
		SSL_CTX_set_max_proto_version(c, version);
		connect_foreign(&p, *state, c);
		assert_true(p.server.failed);
		mentions(p.server.e.text, "the client sent no certificate");
		end_pair(&p);
	}
}

static void protocol_names(void **state)
{
	static const struct { const char *offer; unsigned length; bool good; } table[] = {
		{ "\5acx/1", 6, true }, { "\2h2\5acx/1", 9, true }, { "\2h2", 3, false },
		{ "\5acx/2", 6, false }, { "\4acx/", 5, false }, { "\6acx/10", 7, false },
		{ "", 0, false },
	};
	struct pki_leaf leaf = pki_issue_named(police, "alpn", POLICE);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		SSL_CTX *c = pki_foreign_client(&leaf);
		struct pair p;
		SSL_CTX_set_alpn_protos(c, (const unsigned char *)table[i].offer, table[i].length);
		connect_foreign(&p, *state, c);
		assert_int_equal(p.server.done, table[i].good);
		if (!table[i].good)
			mentions(p.server.e.text, "acx/1 (ALPN)");
		end_pair(&p);
	}
}

/* A server that has never heard of acx/1 gets a client that sees it. */
static void server_without_protocol_name(void **state)
{
	struct world *w = *state;
	struct tls_party to = { STR(FIRE), w->fire, fire_owner };
	struct tls_context *client;
	struct error e;
	struct pair p;
	SSL_CTX *server = pki_foreign_server(&w->leaf);
	assert_int_equal(tls_client_new(w->identity, &to, &client, &e), OK);
	shake(&p, tls_new(client, NULL), SSL_new(server), false, true);
	assert_true(p.client.done);
	assert_false(tls_protocol_agreed(p.client.ssl));
	end_pair(&p);
	SSL_CTX_free(server);
	tls_context_free(client);
}

static void versions_ciphers_groups(void **state)
{
	static const struct {
		int max;
		const char *ciphers, *groups;
		bool good;
	} table[] = {
		{ TLS1_1_VERSION, "ALL:@SECLEVEL=0", NULL, false },
		{ TLS1_2_VERSION, "ALL:@SECLEVEL=0", NULL, true },
		{ TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", NULL, true },
		{ TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", NULL, true },
		{ TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", NULL, false },
		{ TLS1_2_VERSION, "ECDHE-ECDSA-AES256-SHA", NULL, false },
		{ TLS1_2_VERSION, "ECDHE-ECDSA-AES128-CCM", NULL, false },
		{ TLS1_3_VERSION, "ALL", "P-384", true },
		{ TLS1_3_VERSION, "ALL", "X25519", true },
		{ TLS1_3_VERSION, "ALL", "P-521", false },
	};
	struct pki_leaf leaf = pki_issue_named(police, "rules", POLICE);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		SSL_CTX *c = pki_foreign_client(&leaf);
		struct pair p;
		SSL_CTX_set_min_proto_version(c, TLS1_VERSION);
		SSL_CTX_set_max_proto_version(c, table[i].max);
		assert_true(SSL_CTX_set_cipher_list(c, table[i].ciphers));
		if (table[i].groups)
			assert_true(SSL_CTX_set1_groups_list(c, table[i].groups));
		connect_foreign(&p, *state, c);
		if (p.server.done != table[i].good)
			fail_msg("%zu: %s", i, p.server.e.text);
		end_pair(&p);
	}
}

/* A resumed session would skip the certificate checks. */
static void no_resumption(void **state)
{
	struct world *w = *state;
	struct pki_leaf leaf = pki_issue_named(police, "resume", POLICE);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_CTX *c = pki_foreign_client(&leaf);
		struct pair p;
		unsigned int id_length;
		SSL_CTX_set_max_proto_version(c, version);
		SSL_CTX_up_ref(c);
		connect_foreign(&p, w, c);
		SSL_SESSION *session = SSL_get1_session(p.client.ssl);
		assert_false(SSL_SESSION_has_ticket(session));
		if (version == TLS1_2_VERSION) {
			SSL_SESSION_get_id(session, &id_length);
			assert_int_equal(id_length, 0);
		}
		end_pair(&p);
		SSL *again = SSL_new(c);
		SSL_set_session(again, session);
		shake(&p, again, tls_new(w->server, NULL), true, false);
		assert_true(p.server.done);
		assert_false(SSL_session_reused(p.server.ssl));
		end_pair(&p);
		SSL_SESSION_free(session);
		SSL_CTX_free(c);
	}
}

static void no_renegotiation(void **state)
{
	struct pki_leaf leaf = pki_issue_named(police, "again", POLICE);
	SSL_CTX *c = pki_foreign_client(&leaf);
	struct pair p;
	char scrap;
	SSL_CTX_set_max_proto_version(c, TLS1_2_VERSION);
	connect_foreign(&p, *state, c);
	assert_true(p.server.done);
	SSL_renegotiate(p.client.ssl);
	SSL_do_handshake(p.client.ssl);
	SSL_read(p.server.ssl, &scrap, 1);
	assert_int_not_equal(SSL_num_renegotiations(p.client.ssl), 0); /* it asked */
	assert_int_equal(SSL_get_state(p.server.ssl), TLS_ST_OK);
	ERR_clear_error();
	assert_true(SSL_read(p.client.ssl, &scrap, 1) <= 0);
	assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
	ERR_clear_error();
	end_pair(&p);
}

static void garbage(void **state)
{
	struct world *w = *state;
	static const struct { const char *bytes; int n; } hellos[] = {
		{ "GET / HTTP/1.1\r\n\r\n", 18 },
		{ "\x16\x03\x01\xff\xff" "aaaaaaaa", 13 },
		{ "\x16\x03\x01\x00\x05" "aaaaa", 10 },
		{ "\x15\x03\x01\x00\x02\x02\x28", 7 },
	};
	for (size_t i = 0; i < 4; i++) {
		struct end x = { .ssl = tls_new(w->server, NULL) };
		BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
		BIO_write(in, hellos[i].bytes, hellos[i].n);
		SSL_set_bio(x.ssl, in, out);
		SSL_set_accept_state(x.ssl);
		step(&x);
		assert_true(x.failed);
		explain(&x);
		assert_true(strlen(x.e.text) > 4);
		SSL_free(x.ssl);
	}
}

/* --- reload --- */

static void recheck(void **state)
{
	struct world *w = *state;
	struct pki_leaf leaf = pki_issue_named(police, "stays", POLICE);
	const char *revoked[] = { leaf.certificate, NULL };
	struct tls_context *next;
	struct error e = { 0 };
	struct pair p;
	connect_leaf(&p, w, &leaf);
	assert_true(p.server.done);

	struct tls_party moved = { STR(POLICE), w->police, other_owner };
	assert_int_equal(tls_server_new(w->identity, &moved, 1, &next, &e), OK);
	assert_ptr_equal(tls_recheck(p.server.ssl, next, &e), other_owner);
	assert_ptr_equal(tls_peer(p.server.ssl), other_owner);
	tls_context_free(next);

	assert_int_equal(tls_server_new(w->identity, NULL, 0, &next, &e), OK);
	assert_null(tls_recheck(p.server.ssl, next, &e));
	mentions(e.text, "no configured party has a certificate named " POLICE);
	assert_null(tls_peer(p.server.ssl));
	tls_context_free(next);

	struct tls_trust *trust = pki_trust(police->file, pki_crl(police, "now", 10, revoked));
	struct tls_party with_crl = { STR(POLICE), trust, police_owner };
	assert_int_equal(tls_server_new(w->identity, &with_crl, 1, &next, &e), OK);
	assert_null(tls_recheck(p.server.ssl, next, &e));
	mentions(e.text, "has been revoked");
	tls_context_free(next);
	tls_trust_free(trust);
	end_pair(&p);

	/* The client's chain holds the leaf, the server's does not: both are judged. */
	struct tls_party to = { STR(FIRE), w->fire, fire_owner };
	assert_int_equal(tls_client_new(w->identity, &to, &next, &e), OK);
	shake(&p, tls_new(next, NULL), tls_new(w->server, NULL), false, false);
	assert_ptr_equal(tls_recheck(p.client.ssl, next, &e), fire_owner);
	assert_true(tls_recheck(p.server.ssl, w->server, &e) == NULL && tls_peer_is_self(p.server.ssl));
	tls_context_free(next);
	end_pair(&p);
}

/* The next connection's failures are its own. */
static void recheck_leaves_no_errors(void **state)
{
	struct world *w = *state;
	struct pki_leaf leaf = pki_issue_named(police, "stays-2", POLICE);
	struct tls_trust *trust = pki_trust(pki_ca_new("police", NULL, 100)->file, NULL);
	struct tls_party rekeyed = { STR(POLICE), trust, police_owner };
	struct tls_context *next;
	struct error e = { 0 };
	struct pair p;
	connect_leaf(&p, w, &leaf);
	assert_int_equal(tls_server_new(w->identity, &rekeyed, 1, &next, &e), OK);
	assert_null(tls_recheck(p.server.ssl, next, &e));
	mentions(e.text, "was not issued by");
	assert_int_equal(ERR_peek_error(), 0);
	tls_context_free(next);
	tls_trust_free(trust);
	end_pair(&p);
}

static void before_the_handshake(void **state)
{
	struct world *w = *state;
	char text[64];
	struct error e;
	SSL *ssl = tls_new(w->server, NULL);
	assert_null(tls_peer(ssl));
	assert_false(tls_peer_is_self(ssl));
	assert_false(tls_protocol_agreed(ssl));
	assert_null(tls_recheck(ssl, w->server, &e));
	assert_int_equal(tls_peer_expires_in(ssl, 0), 0);
	tls_peer_describe(ssl, text, sizeof text);
	assert_string_equal(text, "(no certificate)");
	tls_shutdown(ssl);
	assert_int_equal(ERR_peek_error(), 0);
	SSL_free(ssl);
}

static void weak_certificate_of_our_own(void **state)
{
	struct pki_leaf_options weak = { .names = POLICE, .rsa_bits = 1024 };
	struct pki_leaf leaf = pki_issue(police, "weak-own", &weak);
	struct tls_identity *i = pki_identity(&leaf);
	struct tls_context *c = NULL;
	struct error e;
	(void)state;
	assert_int_equal(tls_server_new(i, NULL, 0, &c, &e), ERR_TLS);
	assert_null(c);
	mentions(e.text, "our certificate cannot be used: ");
	tls_identity_free(i);
	tls_context_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_world(both_ours),
		in_world(no_server_name_for_addresses),
		in_world(alerts),
		in_world(the_server_is_judged_too),
		in_world(no_certificate),
		in_world(protocol_names),
		in_world(server_without_protocol_name),
		in_world(versions_ciphers_groups),
		in_world(no_resumption),
		in_world(no_renegotiation),
		in_world(garbage),
		in_world(recheck),
		in_world(recheck_leaves_no_errors),
		in_world(before_the_handshake),
		cmocka_unit_test(weak_certificate_of_our_own),
	};
	return cmocka_run_group_tests(tests, make_authorities, pki_teardown);
}
