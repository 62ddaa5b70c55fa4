// needs: common/receipt.c common/cose.c common/cbor.c common/identity.c common/text.c common/arena.c common/error.c
#include <stdlib.h>
#include "common/cose.h"
#include "common/receipt.h"

static void same(struct str encoded, struct str bytes)
{
	if (!str_eq(encoded, bytes))
		abort();
}

static void try_payload(struct arena *a, struct str bytes)
{
	struct receipt r;
	if (receipt_decode(a, bytes, &r, NULL) == OK)
		same(receipt_encode(a, &r), bytes);
}

/* The first byte chooses between a payload and a whole message. What decodes encodes to the same bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(1 << 20);
	struct cose_sign1 c;
	if (!a || size == 0) {
		arena_free(a);
		return 0;
	}
	struct str bytes = { (const char *)data + 1, size - 1 };
	if (data[0] % 2 == 0) {
		try_payload(a, bytes);
	} else if (cose_parse(a, bytes, RECEIPT_CONTENT_TYPE, &c, NULL) == OK) {
		same(cose_encode(a, &c), bytes);
		try_payload(a, c.payload);
	}
	arena_free(a);
	return 0;
}
