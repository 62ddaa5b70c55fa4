#include "tests/unit/tls_pair.h"

#include <openssl/err.h>

struct pki_ca *police, *fire;
const char police_owner[] = "police", fire_owner[] = "fire", other_owner[] = "other";

void mentions(const char *text, const char *wanted)
{
	if (!strstr(text, wanted))
		fail_msg("'%s' does not mention '%s'", text, wanted);
}

void step(struct end *x)
{
	if (x->done || x->failed)
		return;
	ERR_clear_error();
	int result = SSL_do_handshake(x->ssl);
	int kind = SSL_get_error(x->ssl, result);
	x->done = result == 1;
	x->failed = !x->done && kind != SSL_ERROR_WANT_READ && kind != SSL_ERROR_WANT_WRITE;
}

void explain(struct end *x)
{
	unsigned long code = ERR_get_error();
	x->failed = true;
	x->refused_by_other = tls_failure(x->ssl, code, &x->e);
	assert_int_equal(ERR_peek_error(), 0);
}

/* tls_failure is for ours only: a foreign end has no state of ours. */
void shake(struct pair *p, SSL *client, SSL *server, bool foreign_client, bool foreign_server)
{
	BIO *a, *b;
	*p = (struct pair){ { .ssl = client }, { .ssl = server } };
	assert_true(BIO_new_bio_pair(&a, 0, &b, 0));
	SSL_set_bio(client, a, a);
	SSL_set_bio(server, b, b);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	for (int i = 0; i < 12; i++) {
		step(&p->client);
		if (p->client.failed && !p->client.e.text[0] && !foreign_client)
			explain(&p->client);
		step(&p->server);
		if (p->server.failed && !p->server.e.text[0] && !foreign_server)
			explain(&p->server);
	}
	/* With TLS 1.3 the client learns only when it reads that it was refused. */
	char scrap;
	ERR_clear_error();
	if (p->client.done && SSL_read(client, &scrap, 1) <= 0 && ERR_peek_error() && !foreign_client)
		explain(&p->client);
	ERR_clear_error();
}

void end_pair(struct pair *p)
{
	SSL_free(p->client.ssl);
	SSL_free(p->server.ssl);
}

void make_server(struct world *w, const struct tls_party *parties, size_t n)
{
	struct error e;
	tls_context_free(w->server);
	if (tls_server_new(w->identity, parties, n, &w->server, &e) != OK)
		fail_msg("%s", e.text);
}

int make_world(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	w->leaf = pki_issue_named(fire, "server", FIRE);
	w->identity = pki_identity(&w->leaf);
	w->police = pki_trust(police->file, NULL);
	w->fire = pki_trust(fire->file, NULL);
	make_server(w, (struct tls_party[]){ { STR(POLICE), w->police, police_owner },
					     { STR(FIRE), w->fire, fire_owner },
					     { STR(ROOM), w->police, other_owner } }, 3);
	*state = w;
	return 0;
}

int free_world(void **state)
{
	struct world *w = *state;
	tls_context_free(w->server);
	tls_trust_free(w->police);
	tls_trust_free(w->fire);
	tls_identity_free(w->identity);
	free(w);
	return 0;
}

void connect_foreign(struct pair *p, struct world *w, SSL_CTX *context)
{
	shake(p, SSL_new(context), tls_new(w->server, NULL), true, false);
	SSL_CTX_free(context);
}

void connect_leaf(struct pair *p, struct world *w, const struct pki_leaf *leaf)
{
	connect_foreign(p, w, pki_foreign_client(leaf));
}

void admits(struct world *w, const struct pki_leaf *leaf, const void *owner)
{
	struct pair p;
	connect_leaf(&p, w, leaf);
	if (!p.server.done)
		fail_msg("refused: %s", p.server.e.text);
	assert_ptr_equal(tls_peer(p.server.ssl), owner);
	assert_false(tls_peer_is_self(p.server.ssl));
	assert_true(tls_protocol_agreed(p.server.ssl));
	end_pair(&p);
}

void refuses(struct world *w, const struct pki_leaf *leaf, const char *why)
{
	struct pair p;
	connect_leaf(&p, w, leaf);
	assert_true(p.server.failed);
	assert_false(p.server.refused_by_other);
	assert_null(tls_peer(p.server.ssl));
	assert_false(tls_peer_is_self(p.server.ssl));
	mentions(p.server.e.text, why);
	end_pair(&p);
}

int make_authorities(void **state)
{
	if (pki_setup(state) != 0)
		return -1;
	police = pki_ca_new("police", NULL, 300);
	fire = pki_ca_new("fire", NULL, 300);
	return 0;
}
