#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "common/tls_internal.h"

/* What others left in this thread's error queue is not this connection's. */
static void begin(void)
{
	errno = 0;
	if (ERR_peek_error())
		ERR_clear_error();
}

/* What a call on the SSL object that did not succeed means. */
static enum tls_io outcome(SSL *ssl, int result, struct tls_fault *fault)
{
	int system_error = errno;
	*fault = (struct tls_fault){ 0 };
	switch (SSL_get_error(ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return TLS_IO_WANTS_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_IO_WANTS_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_IO_ENDED;
	case SSL_ERROR_SYSCALL:
		*fault = (struct tls_fault){ ERR_get_error(), system_error };
		return fault->code || system_error ? TLS_IO_FAILED : TLS_IO_ENDED;
	default:
		fault->code = ERR_get_error();
		return TLS_IO_FAILED;
	}
}

/*
 * Records that carry no data: of handshakes, and what may follow one (KeyUpdate, tickets, attempts to renegotiate, alerts).
 * More than these in a row are an attack. It needs stopping here, since there are kinds of which OpenSSL reads on and on
 * without returning, for as long as they come.
 */
enum { HANDSHAKE_RECORDS = 256, IDLE_RECORDS_IN_ROW = 32 };

/* What is in OpenSSL's buffer is still looked at: about as much as a record takes. */
static void stop_reading(SSL *ssl)
{
	shutdown(SSL_get_rfd(ssl), SHUT_RD);
}

/* Called with each record's header. In TLS 1.3 what is inside comes extra; all else is application data there. */
static void on_record(int written, int version, int kind, const void *bytes, size_t n, SSL *ssl, void *unused)
{
	struct peer_state *state = peer_state_of(ssl);
	const unsigned char *type = bytes; /* the first byte of both */
	(void)version, (void)unused;
	bool inner = kind == SSL3_RT_INNER_CONTENT_TYPE;
	if (written || n == 0 || (!inner && kind != SSL3_RT_HEADER))
		return;
	if (*type == SSL3_RT_APPLICATION_DATA) {
		if (inner || SSL_version(ssl) < TLS1_3_VERSION)
			state->idle_in_row = 0;
		return;
	}
	state->idle += state->up;
	if (++state->idle_in_row > (state->up ? IDLE_RECORDS_IN_ROW : HANDSHAKE_RECORDS))
		stop_reading(ssl);
}

unsigned tls_idle_records(SSL *ssl)
{
	struct peer_state *state = peer_state_of(ssl);
	unsigned n = state->idle;
	state->idle = 0;
	return n;
}

bool tls_attach(SSL *ssl, int fd, bool server)
{
	if (SSL_set_fd(ssl, fd) != 1)
		return false;
	/* A record's header and body in one call to the kernel, with the records behind it. */
	SSL_set_read_ahead(ssl, 1);
	SSL_set_msg_callback(ssl, on_record);
	if (server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	return true;
}

void tls_free(SSL *ssl)
{
	SSL_free(ssl);
}

enum tls_io tls_handshake(SSL *ssl, struct tls_fault *fault)
{
	begin();
	int result = SSL_do_handshake(ssl);
	if (result != 1)
		return outcome(ssl, result, fault);
	peer_state_of(ssl)->up = true;
	peer_state_of(ssl)->idle_in_row = 0;
	return TLS_IO_DONE;
}

enum tls_io tls_read(SSL *ssl, void *out, size_t size, size_t *n, struct tls_fault *fault)
{
	begin();
	int result = SSL_read_ex(ssl, out, size, n);
	return result == 1 ? TLS_IO_DONE : outcome(ssl, result, fault);
}

bool tls_holds_input(SSL *ssl)
{
	return SSL_has_pending(ssl) == 1;
}

enum tls_io tls_write(SSL *ssl, const void *data, size_t n, size_t *written, struct tls_fault *fault)
{
	begin();
	int result = SSL_write_ex(ssl, data, n, written);
	return result == 1 ? TLS_IO_DONE : outcome(ssl, result, fault);
}
