// needs: acms/record.c common/cbor.c common/identity.c common/text.c common/arena.c common/error.c
#include <stdlib.h>
#include "acms/record.h"

/* The first byte chooses the record. What decodes encodes to the same bytes. */
static void same(struct str encoded, struct str value)
{
	if (!str_eq(encoded, value))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(1 << 20);
	struct error e;
	struct user_record user;
	struct owner_record owner;
	struct request_record request;
	struct system_record system;
	struct audit_record audit;
	if (!a || size == 0) {
		arena_free(a);
		return 0;
	}
	struct str value = { (const char *)data + 1, size - 1 };
	if (data[0] % 5 == 0 && record_decode_user(a, value, &user, &e) == OK)
		same(record_encode_user(a, &user), value);
	if (data[0] % 5 == 1 && record_decode_owner(value, &owner, &e) == OK)
		same(record_encode_owner(a, &owner), value);
	if (data[0] % 5 == 2 && record_decode_request(a, value, &request, &e) == OK)
		same(record_encode_request(a, &request), value);
	if (data[0] % 5 == 3 && record_decode_system(value, &system, &e) == OK)
		same(record_encode_system(a, &system), value);
	if (data[0] % 5 == 4 && record_decode_audit(a, value, &audit, &e) == OK)
		same(record_encode_audit(a, &audit), value);
	arena_free(a);
	return 0;
}
