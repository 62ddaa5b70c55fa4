/*
 * A storm of TLS 1.3 KeyUpdates, which Python's ssl cannot send. Usage:
 *
 *     key_updates connect:PORT|accept:FD CERTIFICATE KEY HELLO COUNT RATE REQUESTED EVERY
 *
 * HELLO is a file: the frames that are sent first. COUNT KeyUpdates follow, RATE a second at most; REQUESTED is 1 if
 * each asks for one of the peer. After every EVERY of them (0: never) the frames of the file HELLO.between are
 * sent, so that records with data come among them. Nothing is read but the peer's first bytes. Prints how many KeyUpdates
 * the peer took.
 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct frames {
	unsigned char bytes[8192];
	size_t length;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct frames read_frames(const char *path, const char *suffix)
{
	struct frames f = { .length = 0 };
	char name[4096];
	snprintf(name, sizeof name, "%s%s", path, suffix);
	FILE *file = fopen(name, "rb");
	if (!file)
		die(name);
	f.length = fread(f.bytes, 1, sizeof f.bytes, file);
	fclose(file);
	return f;
}

static int open_socket(const char *where)
{
	int number = atoi(strchr(where, ':') + 1);
	if (strncmp(where, "accept:", 7) == 0)
		return number;
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)number),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		die("connect");
	return fd;
}

static int take_acx(SSL *ssl, const unsigned char **out, unsigned char *length, const unsigned char *in,
		    unsigned int n, void *arg)
{
	(void)ssl;
	(void)arg;
	*out = in + 1;
	*length = in[0];
	return n > in[0] ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL *shake_hands(const char *where, const char *certificate, const char *key)
{
	bool server = strncmp(where, "accept:", 7) == 0;
	SSL_CTX *context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	int fd = open_socket(where);
	struct timeval patience = { .tv_sec = 3 };
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (!context || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) ||
	    SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		die("certificate");
	SSL_CTX_set_alpn_select_cb(context, take_acx, NULL);
	SSL_CTX_set_alpn_protos(context, (const unsigned char *)"\5acx/1", 6);
	SSL *ssl = SSL_new(context);
	if (!ssl || !SSL_set_fd(ssl, fd) || (server ? SSL_accept(ssl) : SSL_connect(ssl)) != 1)
		die("handshake");
	return ssl;
}

static void keep_rate(const struct timespec *start, long done, long rate)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	double ahead = (double)done / (double)rate - (double)(now.tv_sec - start->tv_sec) -
		       (double)(now.tv_nsec - start->tv_nsec) / 1e9;
	if (ahead > 0)
		usleep((useconds_t)(ahead * 1e6));
}

static long storm(SSL *ssl, const struct frames *between, long count, long rate, bool requested, long every)
{
	int type = requested ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED;
	struct timespec start;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (long n = 0; n < count; n++) {
		if (!SSL_key_update(ssl, type) || SSL_do_handshake(ssl) != 1)
			return n;
		if (every && n % every == every - 1 && SSL_write(ssl, between->bytes, (int)between->length) <= 0)
			return n;
		if (n % 64 == 63)
			keep_rate(&start, n, rate);
	}
	return count;
}

int main(int argc, char **argv)
{
	if (argc != 9 || !strchr(argv[1], ':')) {
		fprintf(stderr, "usage: key_updates connect:PORT|accept:FD CERTIFICATE KEY HELLO COUNT RATE REQUESTED EVERY\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* the period may end, and the attack with it */
	signal(SIGPIPE, SIG_IGN);
	struct frames hello = read_frames(argv[4], ""), between = read_frames(argv[4], ".between");
	unsigned char first[4096];
	SSL *ssl = shake_hands(argv[1], argv[2], argv[3]);
	if (SSL_read(ssl, first, sizeof first) <= 0 || SSL_write(ssl, hello.bytes, (int)hello.length) <= 0)
		die("hello");
	printf("%ld\n", storm(ssl, &between, atol(argv[5]), atol(argv[6]), atoi(argv[7]), atol(argv[8])));
	return 0;
}
