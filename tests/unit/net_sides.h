#ifndef ACX_UNIT_NET_SIDES_H
#define ACX_UNIT_NET_SIDES_H

#include <pthread.h>
#include <stdatomic.h>
#include "common/net.h"
#include "tests/unit/pki.h"
#include "tests/unit/unit.h"

/* Both ends of real TLS connections in one loop, and peers that are not ours in a thread of their own. */

enum { MAX_SIDES = 16, PATIENCE_MS = 20000 };

extern struct pki_leaf police_leaf;
extern struct tls_identity *police_identity;
extern struct tls_trust *fire_trust;
extern struct tls_context *server_tls, *client_tls, *stranger_tls;

/* One end, and what happened to it. */
struct side {
	struct conn *c;
	int opened, frames, drained, ended;
	size_t bytes;
	uint8_t last_byte;
	bool in_order;               /* each frame's first byte is one more than the last one's */
	int faults;
	enum conn_frame_fault fault;
	uint32_t fault_length;
	enum conn_end end;
	char why[400];
	void (*on_opened)(struct side *s);
	void (*on_frame)(struct side *s, size_t length);
	void (*on_fault)(struct side *s);
};

/* In the order of accepting, and of connecting. */
extern struct side sides[MAX_SIDES], clients[MAX_SIDES];
extern size_t n_sides;

/* Made anew for each test. */
extern struct loop *loop;
extern struct listener *listener;
extern struct conn_settings settings;
extern const struct conn_handlers handlers;
extern bool refuse_all; /* who connects gets no context */

void *accepted(struct conn *c, void *context);
void listen_at(const char *address, uint32_t max_connections);
struct side *connect_to(struct tls_context *tls, const char *host, uint16_t port,
			void (*on_opened)(struct side *));
/* To our listener, which is made if there is none. */
struct side *connect_client(void (*on_opened)(struct side *));

/* Whether it came true in time. */
bool run_for(uint64_t ms, bool (*until)(void));
#define wait_for(until)                                             \
	do {                                                        \
		if (!run_for(PATIENCE_MS, until))                   \
			fail_msg("waited too long for " #until);    \
	} while (0)
/* Runs the loop for long enough that what must not happen would have happened. */
void let_it_be(void);
bool server_accepted(void);
bool both_open(void);
bool both_ended(void);
bool client_ended(void);
bool server_ended(void);
bool server_faulted(void);
bool server_has_frame(void);
bool client_has_frame(void);
bool ten_back(void);

void send_bytes(struct side *s, const void *bytes, size_t n);
void send_header(struct side *s, uint32_t length);
void send_frame(struct side *s, uint8_t first, size_t length);
void send_one(struct side *s);
void send_ten(struct side *s);
void send_too_long(struct side *s);
void echo(struct side *s, size_t length);

int tcp_connect(uint16_t port);
/* A connection without TLS; whether the server has closed it. What came before is dropped. */
extern int bare;
bool bare_ended(void);

struct raw {
	pthread_t thread;
	uint16_t port;
	void (*script)(struct raw *r);
	int fd;
	SSL *ssl;
	size_t got;
	int last_error;
	atomic_bool go, done;
};

extern struct raw raw;
void raw_start(struct raw *r, void (*script)(struct raw *));
/* Until the test says go. */
void raw_wait(const struct raw *r);
/* Until the end; how it ended. */
void raw_read_all(struct raw *r);
bool raw_done(void);

int make_loop(void **state);
int free_loop(void **state);
int drop_loop(void **state); /* with the connections that there still are */
int make_certificates(void **state);
int free_certificates(void **state);

#define in_loop(f) cmocka_unit_test_setup_teardown(f, make_loop, free_loop)

#endif
