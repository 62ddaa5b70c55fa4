#include "common/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/tls_internal.h"
#include "common/text.h"

static const unsigned char alpn[] = { 5, 'a', 'c', 'x', '/', '1' };

struct tls_context {
	SSL_CTX *ctx; /* carries the judge, so that connections can outlive the context */
};

/* --- what hangs on OpenSSL's objects --- */

static int judge_index = -1, state_index = -1;

static void free_judge(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	judge_free(ptr);
}

static void free_state(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
	struct peer_state *state = ptr;
	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	if (state) {
		known_signer_free(state->signer);
		SSL_CTX_free(state->judged_by);
	}
	free(state);
}

static bool make_indexes(void)
{
	if (judge_index < 0)
		judge_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_judge);
	if (state_index < 0)
		state_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_state);
	return judge_index >= 0 && state_index >= 0;
}

struct peer_state *peer_state_of(SSL *ssl)
{
	return SSL_get_ex_data(ssl, state_index);
}

const struct judge *judge_of(SSL *ssl)
{
	SSL_CTX *since = peer_state_of(ssl)->judged_by;
	return SSL_CTX_get_ex_data(since ? since : SSL_get_SSL_CTX(ssl), judge_index);
}

/* --- contexts --- */

static int verify(X509_STORE_CTX *c, void *unused)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(c, SSL_get_ex_data_X509_STORE_CTX_idx());
	(void)unused;
	int code = judge_chain(judge_of(ssl), X509_STORE_CTX_get0_cert(c), X509_STORE_CTX_get0_untrusted(c),
			       &peer_state_of(ssl)->found);
	X509_STORE_CTX_set_error(c, code);
	return code == X509_V_OK;
}

static void refuse(SSL *ssl, const char *why)
{
	struct judgement *found = &peer_state_of(ssl)->found;
	text_format(found->why, sizeof found->why, "%s", why);
	found->refused = true;
}

/* A client that offers no protocol at all is refused as one that offers others. */
static int check_offer(SSL *ssl, int *alert, void *unused)
{
	const unsigned char *data;
	size_t n;
	(void)unused;
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &data,
				      &n))
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_NO_APPLICATION_PROTOCOL;
	refuse(ssl, "the client does not offer the protocol acx/1 (ALPN)");
	return SSL_CLIENT_HELLO_ERROR;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_length,
			   const unsigned char *in, unsigned int in_length, void *unused)
{
	unsigned char *chosen;
	(void)unused;
	if (SSL_select_next_proto(&chosen, out_length, alpn, sizeof alpn, in, in_length) ==
	    OPENSSL_NPN_NEGOTIATED) {
		*out = chosen;
		return SSL_TLSEXT_ERR_OK;
	}
	refuse(ssl, "the client offers other protocols than acx/1 (ALPN)");
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* TS 33.210 6.2 */
static bool set_rules(SSL_CTX *ctx)
{
	static const char ciphers[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
				      "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
				      "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
	SSL_CTX_set_security_level(ctx, 2);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					 SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY); /* or one call reads for as long as records without data come */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) &&
	       SSL_CTX_set_num_tickets(ctx, 0) && SSL_CTX_set_cipher_list(ctx, ciphers) &&
	       SSL_CTX_set1_groups_list(ctx, "P-256:P-384:X25519");
}

static bool use_identity(SSL_CTX *ctx, const struct tls_identity *i)
{
	return SSL_CTX_use_certificate(ctx, i->leaf) == 1 &&
	       SSL_CTX_use_PrivateKey(ctx, i->key) == 1 &&
	       (sk_X509_num(i->chain) == 0 || SSL_CTX_set1_chain(ctx, i->chain) == 1);
}

static enum status context_new(const SSL_METHOD *method, const struct tls_identity *i,
			       struct judge *j, struct tls_context **out, struct error *e)
{
	struct tls_context *c = calloc(1, sizeof *c);
	bool good = c && j && make_indexes() && (c->ctx = SSL_CTX_new(method));
	if (good && SSL_CTX_set_ex_data(c->ctx, judge_index, j))
		j = NULL; /* the context's now */
	else
		good = false;
	good = good && set_rules(c->ctx) && use_identity(c->ctx, i);
	if (!good) {
		const char *reason = ERR_reason_error_string(ERR_peek_last_error());
		error_set(e, ERR_TLS, "our certificate cannot be used: %s",
			  reason ? reason : "out of memory");
		judge_free(j);
		tls_context_free(c);
		ERR_clear_error();
		return ERR_TLS;
	}
	SSL_CTX_set_cert_verify_callback(c->ctx, verify, NULL);
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	*out = c;
	return OK;
}

enum status tls_server_new(const struct tls_identity *i, const struct tls_party *parties, size_t n,
			   struct tls_context **out, struct error *e)
{
	struct judge *j = judge_new(parties, n, i->leaf, X509_PURPOSE_SSL_CLIENT);
	enum status status = context_new(TLS_server_method(), i, j, out, e);
	if (status != OK)
		return status;
	SSL_CTX_set_client_hello_cb((*out)->ctx, check_offer, NULL);
	SSL_CTX_set_alpn_select_cb((*out)->ctx, choose_protocol, NULL);
	return OK;
}

static enum status client_new(const struct tls_identity *i, struct judge *j,
			      struct tls_context **out, struct error *e)
{
	enum status status = context_new(TLS_client_method(), i, j, out, e);
	if (status == OK && SSL_CTX_set_alpn_protos((*out)->ctx, alpn, sizeof alpn) != 0) {
		tls_context_free(*out);
		*out = NULL;
		status = error_set(e, ERR_MEMORY, "out of memory");
	}
	return status;
}

enum status tls_client_new(const struct tls_identity *i, const struct tls_party *party,
			   struct tls_context **out, struct error *e)
{
	return client_new(i, judge_new(party, 1, NULL, X509_PURPOSE_SSL_SERVER), out, e);
}

enum status tls_self_client_new(const struct tls_identity *i, struct tls_context **out,
				struct error *e)
{
	return client_new(i, judge_new(NULL, 0, i->leaf, X509_PURPOSE_SSL_SERVER), out, e);
}

void tls_context_free(struct tls_context *c)
{
	if (!c)
		return;
	SSL_CTX_free(c->ctx);
	free(c);
}

/* --- connections --- */

SSL *tls_new(struct tls_context *c, const char *host)
{
	SSL *ssl = SSL_new(c->ctx);
	struct peer_state *state = calloc(1, sizeof *state);
	if (!ssl || !state || !SSL_set_ex_data(ssl, state_index, state)) {
		free(state);
		SSL_free(ssl);
		return NULL;
	}
	/* An address is no server name (RFC 6066). */
	if (host && !strchr(host, ':') && strspn(host, "0123456789.") != strlen(host))
		SSL_set_tlsext_host_name(ssl, host);
	return ssl;
}

const void *tls_peer(SSL *ssl)
{
	return peer_state_of(ssl)->found.owner;
}

bool tls_peer_is_self(SSL *ssl)
{
	return peer_state_of(ssl)->found.self;
}

/* From now on the context's judge is asked about signatures, too. */
static void judge_by(struct peer_state *state, SSL_CTX *ctx)
{
	SSL_CTX *before = state->judged_by;
	SSL_CTX_up_ref(ctx);
	state->judged_by = ctx;
	SSL_CTX_free(before);
	known_signer_free(state->signer);
	state->signer = NULL;
}

const void *tls_recheck(SSL *ssl, struct tls_context *c, struct error *e)
{
	struct peer_state *state = peer_state_of(ssl);
	X509 *leaf = SSL_get0_peer_certificate(ssl);
	state->found = (struct judgement){ .ends = INT64_MAX };
	judge_by(state, c->ctx);
	if (!leaf) {
		error_set(e, ERR_TLS, "no certificate");
		return NULL;
	}
	if (judge_chain(judge_of(ssl), leaf, SSL_get_peer_cert_chain(ssl), &state->found) != X509_V_OK)
		error_set(e, ERR_TLS, "%s", state->found.why);
	ERR_clear_error();
	return state->found.owner;
}

int64_t tls_peer_ends(SSL *ssl)
{
	return peer_state_of(ssl)->found.ends;
}

void tls_peer_describe(SSL *ssl, char *out, size_t size)
{
	const char *matched = peer_state_of(ssl)->found.name;
	X509 *leaf = SSL_get0_peer_certificate(ssl);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int n = 0;
	char name[200], hex[2 * EVP_MAX_MD_SIZE + 1] = "";
	if (!leaf) {
		text_format(out, size, "(no certificate)");
		return;
	}
	if (matched)
		text_escape(str_of(matched), name, sizeof name);
	else
		certificate_name(leaf, name, sizeof name);
	if (X509_digest(leaf, EVP_sha256(), digest, &n)) {
		for (unsigned int i = 0; i < n; i++)
			snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	}
	text_format(out, size, "%s SHA256:%s", name, hex);
}

int64_t tls_peer_expires_in(SSL *ssl, int64_t now)
{
	X509 *leaf = SSL_get0_peer_certificate(ssl);
	return leaf ? unix_time(X509_get0_notAfter(leaf)) - now : 0;
}

bool tls_protocol_agreed(SSL *ssl)
{
	const unsigned char *chosen;
	unsigned int n;
	SSL_get0_alpn_selected(ssl, &chosen, &n);
	return n == alpn[0] && memcmp(chosen, alpn + 1, n) == 0;
}

bool tls_failure(SSL *ssl, unsigned long code, struct error *e)
{
	const struct judgement *found = &peer_state_of(ssl)->found;
	int reason = ERR_GET_REASON(code);
	bool alert = ERR_GET_LIB(code) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET &&
		     reason < SSL_AD_REASON_OFFSET + 256;
	ERR_clear_error();
	if (found->refused)
		error_set(e, ERR_TLS, "%s", found->why);
	else if (alert)
		error_set(e, ERR_TLS, "certificate or TLS parameters rejected by the other end: %s",
			  SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET));
	else if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		error_set(e, ERR_TLS, "the client sent no certificate");
	else if (ERR_SYSTEM_ERROR(code))
		error_set(e, ERR_TLS, "%s", strerror(reason));
	else if (code)
		error_set(e, ERR_TLS, "TLS: %s", ERR_reason_error_string(code) ?
			  ERR_reason_error_string(code) : "unknown error");
	else
		error_set(e, ERR_TLS, "the connection broke");
	return alert && !found->refused;
}

void tls_shutdown(SSL *ssl)
{
	SSL_set_shutdown(ssl, SSL_get_shutdown(ssl) | SSL_RECEIVED_SHUTDOWN);
	SSL_shutdown(ssl);
	ERR_clear_error();
}
