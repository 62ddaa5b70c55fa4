/*
 * What the full path cannot be faster than, measured with bare OpenSSL and bare LMDB, blocking calls, no protocol:
 *
 * floor latency     client -> relay -> server and back, each hop mutual TLS 1.3, messages of the sizes given; the relay
 *                   commits before it passes the request on and before it passes the answer on, the server commits
 *                   before it answers: the same entries as acms's (model.h), full sync
 *   --committers    the same, each commit made by a thread of its own, to which it is handed over and which hands back, as
 *                   in every server whose network does not wait for its disk
 *   --receipts      the same, the server signing each answer (ECDSA, P-256; with --committers while it is committed) and the
 *                   relay verifying it
 * floor handshakes  new mutual-TLS connections, a byte each way, --threads pairs of threads
 */
#include <argp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/bench/measure.h"
#include "tests/bench/model.h"

static struct {
	bool handshakes, committers, receipts;
	const char *directory, *certificate, *key, *anchors;
	size_t request, answer;
	unsigned threads;
	double seconds;
} o = { .request = 300, .answer = 900, .threads = 2, .seconds = 1 };

enum { PLAIN_MAX = 65536 };
static SSL_CTX *server_context, *client_context;
static struct model home, partner;

static void die(const char *what)
{
	fprintf(stderr, "floor: %s\n", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static SSL_CTX *context_new(const SSL_METHOD *method)
{
	SSL_CTX *c = SSL_CTX_new(method);
	if (!c || !SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) ||
	    SSL_CTX_use_certificate_chain_file(c, o.certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(c, o.key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_load_verify_locations(c, o.anchors, NULL) != 1 || SSL_CTX_set1_groups_list(c, "P-256") != 1)
		die("certificates");
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_num_tickets(c, 0);
	SSL_CTX_set_options(c, SSL_OP_NO_TICKET);
	return c;
}

static int listen_on(struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t size = sizeof *address;
	*address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd < 0 || bind(fd, (struct sockaddr *)address, size) != 0 || listen(fd, 128) != 0 ||
	    getsockname(fd, (struct sockaddr *)address, &size) != 0)
		die("listen");
	return fd;
}

static SSL *handshake(int fd, SSL_CTX *context, bool server)
{
	int one = 1;
	SSL *ssl = SSL_new(context);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (!ssl || SSL_set_fd(ssl, fd) != 1 || (server ? SSL_accept(ssl) : SSL_connect(ssl)) != 1)
		die("handshake");
	return ssl;
}

static SSL *accept_one(int listener)
{
	int fd = accept(listener, NULL, NULL);
	if (fd < 0)
		die("accept");
	return handshake(fd, server_context, true);
}

static SSL *connect_to(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof *address) != 0)
		die("connect");
	return handshake(fd, client_context, false);
}

static void hang_up(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);
	SSL_shutdown(ssl);
	SSL_free(ssl);
	close(fd);
}

static bool read_all(SSL *ssl, size_t n)
{
	char buffer[PLAIN_MAX];
	while (n > 0) {
		int got = SSL_read(ssl, buffer, (int)(n < sizeof buffer ? n : sizeof buffer));
		if (got <= 0)
			return false;
		n -= (size_t)got;
	}
	return true;
}

static void write_all(SSL *ssl, size_t n)
{
	static const char zeros[PLAIN_MAX];
	if (SSL_write(ssl, zeros, (int)n) != (int)n)
		die("write");
}

/* --- latency --- */

static int server_fd, relay_fd;
static struct sockaddr_in server_address, relay_address;

typedef void entries(struct model *m, MDB_txn *t, uint64_t first, uint64_t n, uint64_t per_request);

static void commit_now(struct model *m, entries *put, uint64_t i)
{
	MDB_txn *t = model_begin(m);
	put(m, t, i, 1, 1);
	model_commit(t);
}

/* A thread that commits what it is handed. */
struct committer {
	pthread_t thread;
	pthread_mutex_t mutex; /* for what follows */
	pthread_cond_t more;
	struct model *model;
	entries *put; /* NULL: nothing is to be done */
	uint64_t i;
	bool over;
	int done;
};

static void *run_committer(void *context)
{
	struct committer *c = context;
	pthread_mutex_lock(&c->mutex);
	for (;;) {
		while (!c->put && !c->over)
			pthread_cond_wait(&c->more, &c->mutex);
		if (c->over)
			return NULL;
		pthread_mutex_unlock(&c->mutex);
		commit_now(c->model, c->put, c->i);
		pthread_mutex_lock(&c->mutex);
		c->put = NULL;
		if (eventfd_write(c->done, 1) != 0)
			die("eventfd");
	}
}

static void committer_start(struct committer *c, struct model *m)
{
	*c = (struct committer){ .model = m, .done = eventfd(0, 0) };
	pthread_mutex_init(&c->mutex, NULL);
	pthread_cond_init(&c->more, NULL);
	if (c->done < 0 || pthread_create(&c->thread, NULL, run_committer, c) != 0)
		die("committer");
}

static void committer_stop(struct committer *c)
{
	pthread_mutex_lock(&c->mutex);
	c->over = true;
	pthread_mutex_unlock(&c->mutex);
	pthread_cond_signal(&c->more);
	pthread_join(c->thread, NULL);
	close(c->done);
}

static void commit_begin(struct committer *c, entries *put, uint64_t i)
{
	if (!o.committers) {
		commit_now(c->model, put, i);
		return;
	}
	pthread_mutex_lock(&c->mutex);
	c->put = put;
	c->i = i;
	pthread_mutex_unlock(&c->mutex);
	pthread_cond_signal(&c->more);
}

static void commit_end(struct committer *c)
{
	eventfd_t done;
	if (o.committers && eventfd_read(c->done, &done) != 0)
		die("eventfd");
}

static void commit(struct committer *c, entries *put, uint64_t i)
{
	commit_begin(c, put, i);
	commit_end(c);
}

static struct {
	EVP_PKEY_CTX *sign, *verify;
	unsigned char bytes[256];
	size_t size;
} receipt;
static const unsigned char certified[32];

/* The key of the certificate that all have here signs. What OpenSSL looks up for it is looked up once. */
static void receipts_prepare(void)
{
	EVP_PKEY *key = SSL_CTX_get0_privatekey(server_context);
	receipt.sign = EVP_PKEY_CTX_new(key, NULL);
	receipt.verify = EVP_PKEY_CTX_new(key, NULL);
	if (!receipt.sign || !receipt.verify || EVP_PKEY_sign_init(receipt.sign) != 1 ||
	    EVP_PKEY_verify_init(receipt.verify) != 1)
		die("receipts");
}

static void sign(void)
{
	receipt.size = sizeof receipt.bytes;
	if (EVP_PKEY_sign(receipt.sign, receipt.bytes, &receipt.size, certified, sizeof certified) != 1)
		die("sign");
}

static void verify(void)
{
	if (EVP_PKEY_verify(receipt.verify, receipt.bytes, receipt.size, certified, sizeof certified) != 1)
		die("verify");
}

static void *serve(void *unused)
{
	struct committer committer;
	SSL *ssl = accept_one(server_fd);
	committer_start(&committer, &partner);
	for (uint64_t i = 0; read_all(ssl, o.request); i++) {
		commit_begin(&committer, model_partner, i);
		if (o.receipts)
			sign();
		commit_end(&committer);
		write_all(ssl, o.answer);
	}
	committer_stop(&committer);
	return unused;
}

static void *relay(void *unused)
{
	struct committer committer;
	SSL *up = connect_to(&server_address), *ssl = accept_one(relay_fd);
	committer_start(&committer, &home);
	for (uint64_t i = 0; read_all(ssl, o.request); i++) {
		commit(&committer, model_accept, i);
		write_all(up, o.request);
		if (!read_all(up, o.answer))
			die("read");
		if (o.receipts)
			verify();
		commit(&committer, model_answer, i);
		write_all(ssl, o.answer);
	}
	hang_up(up);
	committer_stop(&committer);
	return unused;
}

static void latency(void)
{
	char path[4096];
	pthread_t threads[2];
	struct latencies latencies = { 0 };
	home.scattered = partner.scattered = 1;
	snprintf(path, sizeof path, "%s/home", o.directory);
	model_open(&home, path, 0);
	snprintf(path, sizeof path, "%s/partner", o.directory);
	model_open(&partner, path, 0);
	server_fd = listen_on(&server_address);
	relay_fd = listen_on(&relay_address);
	receipts_prepare();
	if (pthread_create(&threads[0], NULL, serve, NULL) != 0 || pthread_create(&threads[1], NULL, relay, NULL) != 0)
		die("threads");
	SSL *ssl = connect_to(&relay_address);
	uint64_t start = now_ns(), sent = start;
	size_t done = 0;
	while ((double)(sent - start) < o.seconds * 1e9) {
		write_all(ssl, o.request);
		if (!read_all(ssl, o.answer))
			die("read");
		uint64_t now = now_ns();
		latency_add(&latencies, now - sent);
		sent = now;
		done++;
	}
	hang_up(ssl);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	EVP_PKEY_CTX_free(receipt.sign);
	EVP_PKEY_CTX_free(receipt.verify);
	report(done, 0, sent - start, &latencies, "");
	model_close(&home);
	model_close(&partner);
}

/* --- handshakes --- */

struct pair {
	int fd;
	struct sockaddr_in address;
	size_t done;
	pthread_t server, client;
};

static volatile bool over;

static void *answer_handshakes(void *context)
{
	struct pair *p = context;
	for (;;) {
		SSL *ssl = accept_one(p->fd);
		char byte;
		if (SSL_read(ssl, &byte, 1) != 1 || SSL_write(ssl, &byte, 1) != 1)
			die("byte");
		hang_up(ssl);
		if (byte == 'x')
			return NULL;
	}
}

static void *make_handshakes(void *context)
{
	struct pair *p = context;
	for (char byte = 'a'; byte != 'x'; p->done++) {
		SSL *ssl = connect_to(&p->address);
		byte = over ? 'x' : 'a';
		if (SSL_write(ssl, &byte, 1) != 1 || SSL_read(ssl, &byte, 1) != 1)
			die("byte");
		hang_up(ssl);
	}
	return NULL;
}

static void handshakes(void)
{
	struct pair *pairs = calloc(o.threads, sizeof *pairs);
	size_t done = 0;
	if (!pairs)
		abort();
	uint64_t start = now_ns();
	for (unsigned i = 0; i < o.threads; i++) {
		pairs[i].fd = listen_on(&pairs[i].address);
		if (pthread_create(&pairs[i].server, NULL, answer_handshakes, &pairs[i]) != 0 ||
		    pthread_create(&pairs[i].client, NULL, make_handshakes, &pairs[i]) != 0)
			die("threads");
	}
	usleep((useconds_t)(o.seconds * 1e6));
	over = true;
	for (unsigned i = 0; i < o.threads; i++) {
		pthread_join(pairs[i].client, NULL);
		pthread_join(pairs[i].server, NULL);
		done += pairs[i].done;
	}
	report(done, 0, now_ns() - start, NULL, "");
	free(pairs);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'd': o.directory = arg; return 0;
	case 'c': o.certificate = arg; return 0;
	case 'k': o.key = arg; return 0;
	case 'a': o.anchors = arg; return 0;
	case 'q': o.request = strtoull(arg, NULL, 10); return 0;
	case 'r': o.answer = strtoull(arg, NULL, 10); return 0;
	case 't': o.threads = (unsigned)atoi(arg); return 0;
	case 's': o.seconds = atof(arg); return 0;
	case 'm': o.committers = true; return 0;
	case 'e': o.receipts = true; return 0;
	case 'z': return model_take_sizes(arg) ? 0 : ARGP_ERR_UNKNOWN;
	case ARGP_KEY_ARG: o.handshakes = strcmp(arg, "handshakes") == 0; return 0;
	case ARGP_KEY_END:
		if (!o.certificate || !o.key || !o.anchors || (!o.handshakes && !o.directory))
			argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "directory", 'd', "DIRECTORY", 0, "With home and partner in it", 0 },
		{ "certificate", 'c', "FILE", 0, NULL, 0 },
		{ "key", 'k', "FILE", 0, NULL, 0 },
		{ "anchors", 'a', "FILE", 0, NULL, 0 },
		{ "request", 'q', "BYTES", 0, NULL, 0 },
		{ "answer", 'r', "BYTES", 0, NULL, 0 },
		{ "threads", 't', "N", 0, NULL, 0 },
		{ "seconds", 's', "S", 0, NULL, 0 },
		{ "committers", 'm', NULL, 0, "Commit in threads of their own", 0 },
		{ "receipts", 'e', NULL, 0, "Sign and verify each answer", 0 },
		{ "sizes", 'z', "NAME=BASE:EACH,...", 0, "Of values", 0 },
		{ 0 },
	};
	argp_parse(&(struct argp){ options, parse, "latency|handshakes", NULL, NULL, NULL, NULL }, argc, argv, 0, NULL, NULL);
	server_context = context_new(TLS_server_method());
	client_context = context_new(TLS_client_method());
	if (o.handshakes)
		handshakes();
	else
		latency();
	return 0;
}
