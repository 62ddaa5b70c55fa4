#ifndef ACMS_RECORD_H
#define ACMS_RECORD_H

#include <stdint.h>
#include "common/arena.h"
#include "common/cause.h"
#include "common/error.h"
#include "common/setup.h"
#include "common/str.h"

/*
 * The values of the IdM store (proto/idm-store.cddl) to and from CBOR. The only file that knows libcbor.
 * Pure. Encoders return bytes from the arena, ptr == NULL when it is spent. Decoders accept nothing but the
 * deterministic encoding of a valid record; what they return borrows from the value and the arena.
 */

enum { DIGEST_SIZE = 32 };

struct user_record {
	uint64_t revision;
	const struct user_service_id *service_ids; /* sorted by service, then bytewise */
	size_t n_service_ids;
	uint64_t created_ms, changed_ms;
	struct request_id by;
};

struct owner_record {
	struct str home, mc_id;
};

struct request_record {
	uint8_t content[DIGEST_SIZE];
	uint64_t answered_ms;
	enum cause cause;
	const struct identity_cause *identities;
	size_t n_identities;
};

struct system_record {
	uint64_t users_held;
	struct str token_issuer; /* STR_NONE: not configured */
};

enum audit_action { AUDIT_SETUP = 1 };

struct audit_record {
	uint8_t previous[DIGEST_SIZE];
	uint64_t at_ms;
	enum audit_action action;
	struct str home, certificate;
	struct request_id request;
	struct str claimed_acmc; /* STR_NONE: none */
	enum cause cause;
	const struct str *mc_ids;
	size_t n_mc_ids;
	uint64_t created, replaced, unchanged;
};

struct str record_encode_user(struct arena *a, const struct user_record *r);
struct str record_encode_owner(struct arena *a, const struct owner_record *r);
struct str record_encode_request(struct arena *a, const struct request_record *r);
struct str record_encode_system(struct arena *a, const struct system_record *r);
struct str record_encode_audit(struct arena *a, const struct audit_record *r);
struct str record_encode_uint(struct arena *a, uint64_t value);
struct str record_encode_text(struct arena *a, struct str text);

enum status record_decode_user(struct arena *a, struct str value, struct user_record *r,
			       struct error *e);
enum status record_decode_owner(struct str value, struct owner_record *r, struct error *e);
enum status record_decode_request(struct arena *a, struct str value, struct request_record *r,
				  struct error *e);
enum status record_decode_system(struct str value, struct system_record *r, struct error *e);
enum status record_decode_audit(struct arena *a, struct str value, struct audit_record *r,
				struct error *e);
enum status record_decode_uint(struct str value, uint64_t *out, struct error *e);
enum status record_decode_text(struct str value, struct str *out, struct error *e);

#endif
