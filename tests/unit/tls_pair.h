#ifndef ACX_UNIT_TLS_PAIR_H
#define ACX_UNIT_TLS_PAIR_H

#include "tests/unit/pki.h"
#include "tests/unit/unit.h"

/* Handshakes in memory, between ends that are ours (tls_new) or foreign (SSL_new). */

#define ROOM "URI:sip:control-room@police.example"

/* Two organisations' authorities, and the owners of the parties. */
extern struct pki_ca *police, *fire;
extern const char police_owner[7], fire_owner[5], other_owner[6];

/* Fails if the text does not contain what is wanted. */
void mentions(const char *text, const char *wanted);

struct end {
	SSL *ssl;
	bool done, failed, refused_by_other;
	struct error e;
};

struct pair {
	struct end client, server;
};

/* A server that admits POLICE, FIRE and ROOM (each its owner), until make_server says otherwise. */
struct world {
	struct pki_leaf leaf;
	struct tls_identity *identity;
	struct tls_trust *police, *fire;
	struct tls_context *server;
};

/* One step of the handshake. */
void step(struct end *x);
/* Of one of ours that failed. */
void explain(struct end *x);
/* Until nothing moves any more. */
void shake(struct pair *p, SSL *client, SSL *server, bool foreign_client, bool foreign_server);
void end_pair(struct pair *p);

void make_server(struct world *w, const struct tls_party *parties, size_t n);
/* context is freed. */
void connect_foreign(struct pair *p, struct world *w, SSL_CTX *context);
void connect_leaf(struct pair *p, struct world *w, const struct pki_leaf *leaf);
/* The server lets this client in, as this owner; or does not, and says why. */
void admits(struct world *w, const struct pki_leaf *leaf, const void *owner);
void refuses(struct world *w, const struct pki_leaf *leaf, const char *why);

int make_authorities(void **state);
int make_world(void **state);
int free_world(void **state);

#define in_world(f) cmocka_unit_test_setup_teardown(f, make_world, free_world)

#endif
