// needs: common/receipt.c common/content.c common/setup.c common/sort.c common/cose.c common/cbor.c common/identity.c common/text.c common/arena.c common/error.c
#include <stdlib.h>
#include "common/cose.h"
#include "common/receipt.h"

static void same(struct str encoded, struct str bytes)
{
	if (!str_eq(encoded, bytes))
		abort();
}

static void try_claims(struct arena *a, struct str bytes)
{
	struct receipt_claims c;
	if (receipt_decode(a, bytes, &c, NULL) == OK)
		same(receipt_encode(a, &c), bytes);
}

static void try_content(struct arena *a, struct str bytes)
{
	struct setup s;
	if (setup_from_content(a, bytes, &s, NULL) == OK)
		same(setup_content(a, &s), bytes);
}

static void try_proof(struct arena *a, struct str bytes)
{
	struct cose_receipt c;
	if (cose_parse(a, bytes, &c, NULL) == OK)
		same(cose_encode(a, &c), bytes);
}

static void try_whole(struct arena *a, struct str bytes)
{
	struct receipt_parts parts;
	if (receipt_split(bytes, &parts, NULL) != OK)
		return;
	same(receipt_join(a, &parts), bytes);
	try_content(a, parts.content);
	try_claims(a, parts.claims);
	try_proof(a, parts.proof);
}

/* The first byte chooses between claims, proof, content, and all three. What decodes encodes to the same bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(struct arena *, struct str) = { try_claims, try_proof, try_whole, try_content };
	struct arena *a = arena_new(1 << 20);
	if (a && size > 0)
		tries[data[0] % 4](a, (struct str){ (const char *)data + 1, size - 1 });
	arena_free(a);
	return 0;
}
