#ifndef ACMS_RECORD_H
#define ACMS_RECORD_H

#include <stdint.h>
#include "common/arena.h"
#include "common/cause.h"
#include "common/error.h"
#include "common/setup.h"
#include "common/str.h"

/*
 * The values of the IdM store (proto/idm-store.cddl, schema version 2) to and from CBOR (common/cbor.h). Pure.
 * Encoders return bytes from the arena, ptr == NULL when it is spent. Decoders accept nothing but the deterministic
 * encoding of a valid record; what they return borrows from the value and the arena. What is new in version 2 is
 * optional: a record of version 1 decodes, and one without anything new encodes as in version 1.
 */

enum { DIGEST_SIZE = 32 };
/* Of a request that was refused as a whole, or changed nothing: MC IDs, and identities with causes, that are kept at most. */
enum { REFUSED_NAMES = 10 };

struct user_record {
	uint64_t revision;
	const struct user_service_id *service_ids; /* sorted by service, then bytewise */
	size_t n_service_ids;
	uint64_t created_ms, changed_ms;
	struct request_id by;
	struct validity validity;
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
	/* Since schema version 2. */
	uint64_t keep_until_ms;          /* not pruned before; 0: as configured, from answered_ms */
	const uint64_t *revisions;       /* of each user of the request, in order, 0: none; or n_revisions is 0 */
	size_t n_revisions;
	struct decided_by decided_by;
	struct str detail;               /* STR_NONE: none */
	uint64_t all_identities;         /* of a refusal that named more than identities has; else 0 */
};
/* Leaves REFUSED_NAMES identity causes in it. */
void request_cut_names(struct request_record *r);

/*
 * A request of another system that waits for a decision. The setup comes back complete and canonical, but for the
 * request ID, which is in the key.
 */
struct pending_record {
	uint8_t content[DIGEST_SIZE];
	uint64_t received_ms, decide_until_ms;
	struct str certificate;
	struct setup setup; /* n_targets is 0 */
};

/* A request of one of our ACMCs. The setup as above. */
struct asked_record {
	uint8_t content[DIGEST_SIZE];
	uint64_t accepted_ms;
	struct str acmc, certificate;
	struct setup setup; /* with targets; expires_ms: the deadline */
	const uint64_t *refused; /* of each target the cause that it was refused for at once, 0: it was not; or n_refused is 0 */
	size_t n_refused;
};

/* That a target of a request has not answered yet. */
struct outbox_record {
	uint64_t accepted_ms, deadline_ms;
	struct str acmc; /* whose request it is */
	uint64_t bytes;  /* that the whole request takes, of unfinished.h */
};

/* The final answer of or for one target. Lists that equal the request's are not in it. */
struct answer_record {
	uint64_t answered_ms;
	enum origin origin;
	enum cause cause;
	struct str detail; /* STR_NONE: none */
	const struct identity_cause *identities;
	size_t n_identities;
	const uint64_t *revisions;       /* of each user of the request, in order, 0: none; or n_revisions is 0 */
	size_t n_revisions;
	struct str receipt; /* as it came: the proof alone; STR_NONE: none */
	struct decided_by decided_by;
	uint64_t done_ms;   /* by the partner's clock; with a receipt, else 0 */
};

struct system_record {
	uint64_t users_held;
	struct str token_issuer;   /* STR_NONE: not configured */
	uint64_t requests_pending; /* its requests that wait for a decision */
	uint64_t answers_bytes;    /* what the answers that are kept for it take */
	uint64_t pending_bytes;    /* what its requests that wait take */
};

enum audit_action {
	AUDIT_SETUP = 1,   /* at the partner, as the next two */
	AUDIT_UPDATE = 2,
	AUDIT_REMOVE = 3,
	AUDIT_EXPIRE = 4,  /* users whose validity ended; or a request that nobody decided about: APPROVAL_TIMEOUT */
	AUDIT_HOLD = 5,    /* the request waits for a decision */
	AUDIT_APPROVE = 6, /* decided_by says who; cause: what became of it */
	AUDIT_REJECT = 7,
	AUDIT_ASK = 8,     /* at home: an ACMC's request was accepted, or refused */
	AUDIT_ANSWER = 9,  /* at home: the final answer for one target */
	AUDIT_IMPORT = 10, /* by acms users import */
	AUDIT_REFUSALS = 11, /* requests refused, or without a change, that have no entry of their own, for they were too many */
};
/* "setup", "update", ...; NULL for none of ours. Static. */
const char *audit_action_name(enum audit_action action);

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
	/* Since schema version 2. */
	uint64_t removed;
	struct str acmc;                 /* at home: the ACMC that asked; STR_NONE: none */
	const struct str *targets;       /* at home */
	size_t n_targets;
	enum operation operation;        /* of AUDIT_HOLD and later; written if not OPERATION_SETUP */
	struct decided_by decided_by;
	const struct identity_cause *identities;
	size_t n_identities;
	struct str detail;
	uint64_t all_mc_ids;             /* of a request that changed nothing and named more than mc_ids has; else 0 */
	uint64_t all_identities;         /* likewise */
	uint64_t refusals;               /* AUDIT_REFUSALS: how many; cause and certificate are the last one's */
	uint64_t unchanged_requests;     /* AUDIT_REFUSALS: how many changed nothing */
};
/* Leaves REFUSED_NAMES in it. */
void audit_cut_names(struct audit_record *r);

/* The last entry of the audit log and its digest, kept apart, so that a tail that was cut off shows. */
struct audit_head {
	uint64_t number; /* 0: there is no entry; the digest is zero then */
	uint8_t digest[DIGEST_SIZE];
};

struct str record_encode_user(struct arena *a, const struct user_record *r);
struct str record_encode_owner(struct arena *a, const struct owner_record *r);
struct str record_encode_request(struct arena *a, const struct request_record *r);
struct str record_encode_system(struct arena *a, const struct system_record *r);
struct str record_encode_pending(struct arena *a, const struct pending_record *r);
struct str record_encode_asked(struct arena *a, const struct asked_record *r);
struct str record_encode_outbox(struct arena *a, const struct outbox_record *r);
struct str record_encode_answer(struct arena *a, const struct answer_record *r);
struct str record_encode_audit(struct arena *a, const struct audit_record *r);
struct str record_encode_audit_head(struct arena *a, const struct audit_head *r);
struct str record_encode_uint(struct arena *a, uint64_t value);
struct str record_encode_text(struct arena *a, struct str text);

enum status record_decode_user(struct arena *a, struct str value, struct user_record *r,
			       struct error *e);
enum status record_decode_owner(struct str value, struct owner_record *r, struct error *e);
enum status record_decode_request(struct arena *a, struct str value, struct request_record *r,
				  struct error *e);
enum status record_decode_system(struct str value, struct system_record *r, struct error *e);
/*
 * Of a request or an asked record: whether it was answered, or accepted, at since_ms or later. Nothing else of it is read:
 * for passing over what is not old enough. False, too, if it cannot be read, of which the decoder tells more.
 */
bool record_is_since(struct str value, uint64_t since_ms);
enum status record_decode_pending(struct arena *a, struct str value, struct pending_record *r,
				  struct error *e);
enum status record_decode_asked(struct arena *a, struct str value, struct asked_record *r,
				struct error *e);
enum status record_decode_outbox(struct str value, struct outbox_record *r, struct error *e);
enum status record_decode_answer(struct arena *a, struct str value, struct answer_record *r,
				 struct error *e);
enum status record_decode_audit(struct arena *a, struct str value, struct audit_record *r,
				struct error *e);
enum status record_decode_audit_head(struct str value, struct audit_head *r, struct error *e);

/* An exported audit log: a CBOR sequence (RFC 8742) of entries as stored, then the head. */
enum audit_item { AUDIT_ITEM_END, AUDIT_ITEM_ENTRY, AUDIT_ITEM_HEAD, AUDIT_ITEM_BAD };
/* Takes the next one off *sequence; *value: its bytes. BAD: what is wrong is in *e, nothing was taken. */
enum audit_item record_next_audit(struct arena *a, struct str *sequence, struct str *value,
				  struct audit_record *entry, struct audit_head *head, struct error *e);

enum status record_decode_uint(struct str value, uint64_t *out, struct error *e);
enum status record_decode_text(struct str value, struct str *out, struct error *e);

#endif
