// needs: common/receipt_sign.c common/receipt.c common/content.c common/setup.c common/sort.c common/cose.c common/merkle.c common/crypto.c common/cbor.c common/tls.c common/tls_files.c common/trusted_file.c common/tls_verify.c
// needs: common/tls_sign.c common/identity.c common/text.c common/arena.c common/error.c
/*
 * Our own receipts, for the independent implementation in receipts.py to judge, and the other way round:
 *   make_receipt sign CERTIFICATE KEY INDEX N    on standard output, the receipt with this index of N signed together
 *   make_receipt verify ANCHOR NAME <RECEIPT     says what is in it; exit code 1: not good, and why
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "common/crypto.h"
#include "common/receipt_sign.h"

static struct setup a_setup(void)
{
	static struct user_service_id ids[] = { { MC_SERVICE_MCPTT, { "sip:a@police.example", 20 } },
						{ MC_SERVICE_MCDATA, { "tel:+4930", 9 } } };
	static struct setup_user users[] = { { .mc_id = { "a@police.example", 16 }, .service_ids = ids, .n_service_ids = 2 },
					     { .mc_id = { "b@police.example", 16 } },
					     { .mc_id = { "\xc3\xa9@police.example", 17 } } };
	return (struct setup){ .home_acmc_id = STR("sip:admin@police.example"), .users = users, .n_users = 3,
			       .n_service_ids = 2, .has_validity = true, .validity = { 1, 1ull << 60 }, .best_effort = true };
}

/* Of which one user was not done. */
static struct receipt_claims claims_about(struct str content)
{
	static const uint64_t revisions[] = { 1, RECEIPT_NOT_DONE, 70000 };
	struct receipt_claims c = { .partner = STR("fire.example"), .home = STR("police.example"),
				    .done_ms = (uint64_t)time(NULL) * 1000 + 7, .revisions = revisions, .n_users = 3,
				    .decided_by = STR("duty-officer") };
	memcpy(c.request_id.bytes, "0123456789abcdef", 16);
	if (crypto_sha256(content, c.content) != OK)
		abort();
	return c;
}

/* Neighbours are receipts of other instants. */
static enum status sign(struct arena *a, const char *certificate, const char *key, size_t index, size_t n, struct error *e)
{
	struct tls_identity *id = NULL;
	struct setup setup = a_setup();
	struct receipt_parts parts = { .content = setup_content(a, &setup) };
	struct receipt_claims c = claims_about(parts.content);
	struct merkle_hash *leaves = arena_array(a, n, sizeof *leaves);
	struct receipt_batch batch;
	enum status status = tls_identity_load(certificate, key, &id, e);
	parts.claims = receipt_encode(a, &c);
	for (size_t i = 0; status == OK && i < n; i++) {
		c.done_ms++;
		status = merkle_leaf(i == index ? parts.claims : receipt_encode(a, &c), &leaves[i]);
	}
	if (status == OK)
		status = receipt_sign(a, id, leaves, n, &batch, e);
	if (status == OK) {
		parts.proof = receipt_prove(a, &batch, index);
		struct str whole = receipt_join(a, &parts);
		fwrite(whole.ptr, 1, whole.len, stdout);
	}
	tls_identity_free(id);
	return status;
}

static enum status verify(struct arena *a, const char *anchor, const char *name, struct error *e)
{
	static char in[1 << 20];
	struct str bytes = { in, fread(in, 1, sizeof in, stdin) }, file = str_of(anchor);
	struct tls_trust *trust = NULL;
	struct tls_signer signer;
	struct receipt r;
	enum status status = tls_trust_load(&file, 1, NULL, 0, &trust, e);
	if (status == OK)
		status = receipt_verify_offline(a, bytes, trust, str_of(name), time(NULL), &r, &signer, e);
	if (status == OK) {
		const struct receipt_claims *c = &r.claims;
		printf("%.*s %.*s %d %llu %zu\n", STR_ARG(c->partner), STR_ARG(c->home), (int)c->operation,
		       (unsigned long long)c->done_ms, receipt_users_done(c));
		printf("%s\n%s\n", signer.certificate, signer.note);
	}
	tls_trust_free(trust);
	return status;
}

int main(int argc, char **argv)
{
	struct arena *a = arena_new(0);
	struct error e = { 0 };
	enum status status;
	if (argc == 6 && strcmp(argv[1], "sign") == 0)
		status = sign(a, argv[2], argv[3], strtoul(argv[4], NULL, 10), strtoul(argv[5], NULL, 10), &e);
	else if (argc == 4 && strcmp(argv[1], "verify") == 0)
		status = verify(a, argv[2], argv[3], &e);
	else
		return 2;
	if (status != OK)
		fprintf(stderr, "%s\n", e.text);
	arena_free(a);
	return status != OK;
}
