// needs: acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/identity.c common/text.c common/arena.c common/error.c
#include <stdlib.h>
#include "acms/record.h"

/* What decodes encodes to the same bytes, but for what was no UTF-8 in people's texts. */
static void same(struct str encoded, struct str value)
{
	if (encoded.len != value.len)
		abort();
	for (size_t i = 0; i < value.len; i++) {
		if (encoded.ptr[i] != value.ptr[i] && encoded.ptr[i] != '?')
			abort();
	}
}

static void try_version_1(struct arena *a, unsigned kind, struct str value, struct error *e)
{
	struct user_record user;
	struct owner_record owner;
	struct request_record request;
	struct system_record system;
	struct audit_record audit;
	if (kind == 0 && record_decode_user(a, value, &user, e) == OK)
		same(record_encode_user(a, &user), value);
	if (kind == 1 && record_decode_owner(value, &owner, e) == OK)
		same(record_encode_owner(a, &owner), value);
	if (kind == 2 && record_decode_request(a, value, &request, e) == OK)
		same(record_encode_request(a, &request), value);
	if (kind == 3 && record_decode_system(value, &system, e) == OK)
		same(record_encode_system(a, &system), value);
	if (kind == 4 && record_decode_audit(a, value, &audit, e) == OK)
		same(record_encode_audit(a, &audit), value);
}

static void try_version_2(struct arena *a, unsigned kind, struct str value, struct error *e)
{
	struct pending_record pending;
	struct asked_record asked;
	struct outbox_record outbox;
	struct answer_record answer;
	struct audit_head head;
	if (kind == 5 && record_decode_pending(a, value, &pending, e) == OK)
		same(record_encode_pending(a, &pending), value);
	if (kind == 6 && record_decode_asked(a, value, &asked, e) == OK)
		same(record_encode_asked(a, &asked), value);
	if (kind == 7 && record_decode_outbox(value, &outbox, e) == OK)
		same(record_encode_outbox(a, &outbox), value);
	if (kind == 8 && record_decode_answer(a, value, &answer, e) == OK)
		same(record_encode_answer(a, &answer), value);
	if (kind == 9 && record_decode_audit_head(value, &head, e) == OK)
		same(record_encode_audit_head(a, &head), value);
}

/* An exported audit log: each step takes bytes off, and entries are what the decoder takes. */
static void walk(struct arena *a, struct str rest, struct error *e)
{
	struct audit_record entry;
	struct audit_head head;
	struct str value;
	enum audit_item item = AUDIT_ITEM_ENTRY;
	while (item == AUDIT_ITEM_ENTRY || item == AUDIT_ITEM_HEAD) {
		size_t before = rest.len;
		item = record_next_audit(a, &rest, &value, &entry, &head, e);
		if (item == AUDIT_ITEM_ENTRY || item == AUDIT_ITEM_HEAD) {
			same(item == AUDIT_ITEM_ENTRY ? record_encode_audit(a, &entry) :
							record_encode_audit_head(a, &head), value);
			if (rest.len >= before)
				abort();
		}
		arena_reset(a);
	}
}

/* The first byte chooses the record. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(1 << 20);
	struct error e;
	if (a && size > 0) {
		struct str value = { (const char *)data + 1, size - 1 };
		unsigned kind = data[0] % 11;
		try_version_1(a, kind, value, &e);
		try_version_2(a, kind, value, &e);
		if (kind == 10)
			walk(a, value, &e);
	}
	arena_free(a);
	return 0;
}
