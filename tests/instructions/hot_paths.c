/*
 * The hot paths of a setup, one after the other, each in a function stage_* of its own whose instructions callgrind
 * counts (tests/instructions/check). No threads, no network, no clock.
 *
 * hot_paths USERS REQUESTS: so many requests of so many users each.
 */
// needs: acms/commit.c acms/expire.c acms/plan.c acms/home_commit.c acms/record.c acms/record_audit.c acms/record_request.c
// needs: acms/store.c acms/store_audit.c acms/store_lists.c acms/store_open.c acms/store_file.c acms/store_requests.c acms/store_txn.c
#include "acms/commit.h"
#include "acms/home_commit.h"
#include "common/message.h"
#include "common/receipt_sign.h"
#include "tests/bench/users.h"
#include "tests/unit/unit.h"
#pragma GCC diagnostic ignored "-Wunused-function"
#include "tests/unit/certificates.h"

#define STAGE __attribute__((noinline)) static void
enum { REQUESTS_MAX = 1000 };
#define NOW_MS 1800000000000ull
#define EXPIRES_MS (NOW_MS + 86400000)

struct exchange {
	struct setup_request request;
	uint8_t *request_frame, *response_frame;
	size_t request_length, response_length;
	struct arena *decoded, *answered, *work;
	struct message received, answer;
	struct setup setup;
	struct commit_answer committed;
	struct setup_response response;
	struct receipt_proof proof;
};

static struct exchange exchanges[REQUESTS_MAX];
static size_t users, requests;
static struct arena *input;
static struct store *partner_store, *home_store;
static struct tls_identity *partner_identity;
static SSL *home_ssl;
static const struct str home_name = { BENCH_HOME, sizeof BENCH_HOME - 1 };
static const struct str partner_name = { BENCH_PARTNER, sizeof BENCH_PARTNER - 1 };
static const struct str certificate = { "DNS:acms.example SHA256:0123456789abcdef", 39 };

static void die(const char *what, const struct error *e)
{
	fprintf(stderr, "hot_paths: %s%s%s\n", what, e ? ": " : "", e ? e->text : "");
	exit(1);
}

#define EACH(x) for (struct exchange *x = exchanges; x < exchanges + requests; x++)

STAGE stage_request_encode(void)
{
	EACH(x) {
		struct message m = { .kind = MESSAGE_SETUP_REQUEST, .request = x->request };
		if (message_encode(&m, &x->request_frame, &x->request_length) != OK)
			die("encode", NULL);
	}
}

STAGE stage_request_decode(void)
{
	EACH(x) {
		enum cause why;
		struct error e;
		x->decoded = arena_new(message_budget(x->request_length - 4));
		if (message_decode(x->decoded, x->request_frame + 4, x->request_length - 4, &x->received, &why, &e) != OK)
			die("decode", &e);
	}
}

STAGE stage_setup_check(void)
{
	struct limits limits = LIMITS_DEFAULT;
	EACH(x) {
		struct verdict v = setup_check(x->decoded, &x->received.request, &limits, &x->setup);
		if (v.cause != CAUSE_NO_CAUSE)
			die(cause_name(v.cause), NULL);
	}
}

STAGE stage_partner_commit(void)
{
	struct store_txn *t;
	struct error e;
	if (store_begin_write(partner_store, &t, &e) != OK)
		die("store", &e);
	EACH(x) {
		struct commit_setup what = { .setup = x->setup, .must_expire = true, .home = home_name,
					     .certificate = certificate, .most_users = 1000000, .most_pending = 10 };
		x->work = arena_new(0);
		commit_setup(t, x->work, &what, NOW_MS, &x->committed);
		if (x->committed.verdict.cause != CAUSE_NO_CAUSE)
			die(cause_name(x->committed.verdict.cause), NULL);
	}
	if (store_commit(t, &e) != OK)
		die("commit", &e);
}

/* All requests in one batch, as they come back from one transaction. */
STAGE stage_receipt_sign(void)
{
	static struct merkle_hash leaves[REQUESTS_MAX];
	struct arena *a = arena_new(0);
	struct receipt_batch batch;
	struct error e = { 0 };
	EACH(x) {
		struct receipt_outcome outcome = { .partner = partner_name, .home = home_name, .done_ms = NOW_MS,
						   .content = x->committed.content, .cause = CAUSE_NO_CAUSE,
						   .revisions = x->committed.revisions,
						   .n_revisions = x->committed.n_revisions };
		struct receipt_claims r;
		if (receipt_from_setup(x->work, &x->setup, &outcome, &r, &e) != OK ||
		    merkle_leaf(receipt_encode(x->work, &r), &leaves[x - exchanges]) != OK)
			die("claims", &e);
	}
	if (receipt_sign(a, partner_identity, leaves, requests, &batch, &e) != OK)
		die("sign", &e);
	EACH(x) {
		x->response.receipt = receipt_prove(x->work, &batch, (size_t)(x - exchanges));
		x->response.receipt_root = arena_str(x->work, (struct str){ (char *)batch.tree.root.bytes, RECEIPT_ROOT_SIZE });
		x->response.done_ms = NOW_MS;
	}
	arena_free(a);
}

STAGE stage_response_encode(void)
{
	EACH(x) {
		struct message m = { .kind = MESSAGE_SETUP_RESPONSE };
		setup_to_response(&x->setup, partner_name, ORIGIN_PARTNER_ACMS, &x->committed.verdict, &m.response);
		m.response.receipt = x->response.receipt;
		m.response.receipt_root = x->response.receipt_root;
		m.response.done_ms = x->response.done_ms;
		m.response.revision_of_each = x->committed.revisions;
		m.response.n_of_each = x->committed.n_revisions;
		if (message_encode(&m, &x->response_frame, &x->response_length) != OK)
			die("encode", NULL);
	}
}

STAGE stage_response_decode(void)
{
	EACH(x) {
		enum cause why;
		struct error e;
		x->answered = arena_new(message_budget(x->response_length - 4));
		if (message_decode(x->answered, x->response_frame + 4, x->response_length - 4, &x->answer, &why, &e) != OK)
			die("decode", &e);
	}
}

STAGE stage_receipt_verify(void)
{
	EACH(x) {
		struct error e;
		const struct setup_response *r = &x->answer.response;
		memcpy(x->proof.root.bytes, r->receipt_root.ptr, RECEIPT_ROOT_SIZE);
		if (receipt_verify_peer(x->work, home_ssl, r->receipt, &x->proof.root, r->done_ms, &x->proof.path, &e) != OK)
			die("verify", &e);
	}
}

STAGE stage_home_accept(void)
{
	struct store_txn *t;
	struct error e;
	struct route route = { .target = partner_name };
	if (store_begin_write(home_store, &t, &e) != OK)
		die("store", &e);
	EACH(x) {
		struct home_request what = { .setup = x->setup, .acmc = STR("control-room"), .certificate = certificate,
					     .own = home_name, .routes = &route, .n_routes = 1 };
		struct home_accepted out;
		home_accept(t, x->work, &what, NOW_MS, &out);
	}
	if (store_commit(t, &e) != OK)
		die("commit", &e);
}

STAGE stage_home_answer(void)
{
	static struct merkle_memo memo;
	struct store_txn *t;
	struct error e;
	if (store_begin_write(home_store, &t, &e) != OK)
		die("store", &e);
	EACH(x) {
		struct asked_record asked = { .acmc = STR("control-room"), .certificate = certificate, .setup = x->setup };
		memcpy(asked.content, x->committed.content, sizeof asked.content);
		struct home_answer what = { .asked = &asked, .request_id = x->setup.request_id, .partner = partner_name, .own = home_name,
					    .response = &x->answer.response, .version = 2, .receipt = &x->proof,
					    .memo = &memo };
		struct home_recorded out;
		home_answer(t, x->work, &what, NOW_MS, &out);
		if (!out.recorded)
			die(out.fault ? out.fault : "nobody waits for the answer", NULL);
	}
	if (store_commit(t, &e) != OK)
		die("commit", &e);
}

/* --- what is there before --- */

static void make_requests(void)
{
	static const struct str target = { BENCH_PARTNER, sizeof BENCH_PARTNER - 1 };
	uint64_t number = 0;
	EACH(x) {
		uint8_t random[10] = { 0 };
		struct str *mc_ids = arena_array(input, users, sizeof *mc_ids);
		struct service_id_entry *ids = arena_array(input, BENCH_SERVICES * users, sizeof *ids);
		for (size_t i = 0; i < users; i++) {
			struct bench_user u;
			bench_user(&u, number++, 1);
			mc_ids[i] = arena_str(input, str_of(u.mc_id));
			for (size_t s = 0; s < BENCH_SERVICES; s++)
				ids[BENCH_SERVICES * i + s] = (struct service_id_entry){
					mc_ids[i], (int)s + 1, arena_str(input, str_of(u.service_ids[s])) };
		}
		random[8] = (uint8_t)((x - exchanges) >> 8);
		random[9] = (uint8_t)(x - exchanges);
		x->request = (struct setup_request){ .request_id = request_id_make(NOW_MS, random),
						     .mc_system_ids = (struct str *)&target, .n_mc_system_ids = 1,
						     .mc_ids = mc_ids, .n_mc_ids = users, .service_ids = ids,
						     .n_service_ids = BENCH_SERVICES * users, .expires_ms = EXPIRES_MS,
						     .grouped = true };
	}
}

static struct tls_identity *make_identity(const struct issuer *ca, const char *name, const char *label)
{
	struct tls_identity *i;
	struct error e;
	make_leaf_files(ca, NULL, &(struct wanted){ .name = name }, label);
	if (tls_identity_load(certificates_path(label, "crt"), certificates_path(label, "key"), &i, &e) != OK)
		die("identity", &e);
	return i;
}

/* A connection of home and partner, in memory. */
static void connect_both(void)
{
	struct issuer ca = make_issuer(NULL, &(struct wanted){ .name = "DNS:ca.example", .ca = true, .from = -1000, .to = 1000 });
	struct str anchor = str_of(ca.file);
	struct tls_identity *home = make_identity(&ca, "DNS:acms." BENCH_HOME, "home");
	struct tls_context *server, *client;
	struct tls_trust *trust;
	struct error e;
	BIO *a, *b;
	partner_identity = make_identity(&ca, "DNS:acms." BENCH_PARTNER, "partner");
	if (tls_trust_load(&anchor, 1, NULL, 0, &trust, &e) != OK)
		die("trust", &e);
	struct tls_party from = { STR("DNS:acms." BENCH_HOME), trust, "home" }, to = { STR("DNS:acms." BENCH_PARTNER), trust, "to" };
	if (tls_server_new(partner_identity, &from, 1, &server, &e) != OK || tls_client_new(home, &to, &client, &e) != OK)
		die("TLS", &e);
	SSL *partner_ssl = tls_new(server, NULL);
	home_ssl = tls_new(client, "acms." BENCH_PARTNER);
	BIO_new_bio_pair(&a, 1 << 16, &b, 1 << 16);
	SSL_set_bio(partner_ssl, a, a);
	SSL_set_bio(home_ssl, b, b);
	SSL_set_accept_state(partner_ssl);
	SSL_set_connect_state(home_ssl);
	for (int i = 0; i < 10 && !(SSL_is_init_finished(home_ssl) && SSL_is_init_finished(partner_ssl)); i++)
		SSL_do_handshake(i % 2 ? partner_ssl : home_ssl);
	if (!tls_peer(home_ssl))
		die("no handshake", NULL);
}

static struct store *open_store(const char *directory, struct str own)
{
	struct store *s;
	struct error e;
	if (mkdir(directory, 0700) != 0 || store_open(directory, own, 1 << 28, STORE_SERVE, &s, &e) != OK)
		die(directory, &e);
	return s;
}

int main(int argc, char **argv)
{
	users = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
	requests = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	if (users == 0 || requests == 0 || requests > REQUESTS_MAX)
		return 2;
	input = arena_new(0);
	make_requests();
	connect_both();
	partner_store = open_store(certificates_path("store", "partner"), partner_name);
	home_store = open_store(certificates_path("store", "home"), home_name);
	stage_request_encode();
	stage_request_decode();
	stage_setup_check();
	stage_partner_commit();
	stage_receipt_sign();
	stage_response_encode();
	stage_response_decode();
	stage_receipt_verify();
	stage_home_accept();
	stage_home_answer();
	store_close(partner_store);
	store_close(home_store);
	certificates_remove();
	return 0;
}
