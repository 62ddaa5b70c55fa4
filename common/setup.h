#ifndef ACX_SETUP_H
#define ACX_SETUP_H

#include <stdbool.h>
#include <stdint.h>
#include "common/arena.h"
#include "common/cause.h"
#include "common/identity.h"
#include "common/str.h"

/* MC service user setup (source 7.x.1.2), as plain structs. Pure. */

/* What a request asks for. Numbers as in acx.proto. */
enum operation { OPERATION_SETUP = 0, OPERATION_UPDATE = 1, OPERATION_REMOVE = 2 };
enum { OPERATIONS = 3 };
/* "setup", "update", "remove"; NULL for none of ours. Static. */
const char *operation_name(int operation);

/* When a user is vouched for: Unix milliseconds; 0: no bound on that side. */
struct validity {
	uint64_t not_before_ms, not_after_ms; /* not_after_ms itself is outside */
};
bool validity_covers(struct validity v, uint64_t now_ms);

struct user_service_id {
	enum mc_service service; /* of a request that is not checked: any byte */
	struct str mc_service_id;
};

struct setup_user {
	struct str mc_id;
	const struct user_service_id *service_ids;
	size_t n_service_ids;
	uint64_t expected_revision; /* 0: none */
};
/* More MC service IDs of one MC ID a request cannot have. */
enum { SETUP_SERVICE_IDS_MAX = UINT8_MAX };

/*
 * A request, from decoding to the store. As received, nothing of it is checked but the encoding. Well-formed (setup_check):
 * users are sorted bytewise by MC ID, their MC service IDs by service and then bytewise; none is there twice, all
 * identities are canonical. All MC service IDs lie in one array, in the order of the users.
 */
struct setup {
	struct request_id request_id;
	struct str home_acmc_id; /* STR_NONE: left out */
	const struct str *targets; /* MC system IDs, as received */
	size_t n_targets;
	struct setup_user *users;
	size_t n_users;
	size_t n_service_ids;
	/* If well-formed: of all MC service IDs the places, counted through the users, in their bytewise order; or NULL. */
	const size_t *in_key_order;
	enum operation operation; /* as received: any number */
	bool has_validity;
	struct validity validity;
	uint64_t expires_ms; /* Unix; 0: left out */
	bool dry_run, best_effort;
	uint32_t part, parts;
	bool has_unknown_fields; /* as received */
};

enum origin { ORIGIN_PARTNER_ACMS = 1, ORIGIN_HOME_ACMS = 2 };

struct identity_cause {
	struct str mc_id;
	struct str mc_service_id; /* STR_NONE: the MC ID is what is concerned */
	enum cause cause;
};

/* What a check found. cause == CAUSE_NO_CAUSE: nothing wrong. */
struct verdict {
	enum cause cause;
	struct identity_cause *identities;
	size_t n_identities;
	const char *detail; /* NULL, or for people; lives as long as the identities */
};

/* The partner's administrator who decided. */
struct decided_by {
	struct str acmc; /* STR_NONE: nobody, it was automatic */
	struct str reason;
	uint64_t at_ms;
};

enum { RECEIPT_ROOT_SIZE = 32 };

/* Its lists are the request's, which who gets it has. */
struct setup_response {
	struct request_id request_id;
	struct str mc_system_id;
	bool result;
	enum origin origin;
	enum cause cause;
	struct str detail;
	struct identity_cause *identities;
	size_t n_identities;
	const uint64_t *revisions; /* of each user of the request, sorted bytewise by MC ID; 0: none */
	size_t n_revisions;        /* 0: nobody has one */
	struct decided_by decided_by;
	uint64_t done_ms;        /* by the partner's clock; 0: nothing is certified */
	struct str receipt;      /* of a partner: the proof; in a page: the whole (PROTOCOL.md 11); STR_NONE: none */
	struct str receipt_root; /* of a partner, with the proof: what it leads to, 32 bytes; else STR_NONE */
};

/* What an end accepts (PROTOCOL.md 3). */
struct limits {
	uint32_t max_frame_bytes;
	uint32_t max_mc_ids;
	uint32_t max_mc_service_ids_per_mc_id;
	uint32_t max_mc_system_ids;
	uint32_t max_requests_in_flight;
	uint32_t idle_timeout_seconds;
};

#define LIMITS_DEFAULT                                                                     \
	((struct limits){ .max_frame_bytes = 1048576, .max_mc_ids = 1000,                  \
			  .max_mc_service_ids_per_mc_id = 16, .max_mc_system_ids = 100,    \
			  .max_requests_in_flight = 256, .idle_timeout_seconds = 300 })
#define FRAME_BYTES_MIN 65536u
#define FRAME_BYTES_MAX 16777216u

/* How long it takes to read, about, in records of users: by what it names, each of which may be 255 bytes. */
static inline size_t setup_weight(const struct setup *s)
{
	return 1 + s->n_users + s->n_service_ids;
}

/*
 * Checks a request (PROTOCOL.md 5.1, 5.2: the 2xx causes) against what the receiver accepts. With
 * CAUSE_NO_CAUSE *out is filled in; it and the verdict live in the arena and borrow from the request.
 * All identities in the way are named. A spent arena: setup_no_memory.
 */
struct verdict setup_check(struct arena *a, const struct setup *received, const struct limits *limits,
			   struct setup *out);

/* What a request is told when there was no memory in its arena: that it asks for too much, or to come later. */
struct verdict setup_no_memory(const struct arena *a);

/*
 * Whether what is told of a well-formed setup will fit into a frame of so many bytes, whatever it is, at home with the
 * request and the whole receipt, too. That a request takes a quarter of a frame does not make sure of it: responses say
 * more about a user than requests must. Found out afterwards, it could never be answered. CAUSE_TOO_MANY_IDENTITIES or
 * CAUSE_NO_CAUSE.
 */
struct verdict setup_answerable(const struct setup *setup, uint32_t max_frame_bytes);

/*
 * Judges the times of a well-formed setup by the receiver's clock: CAUSE_INVALID_VALIDITY, CAUSE_REQUEST_EXPIRED or
 * CAUSE_NO_CAUSE. from_system: it came from a home ACMS, so expires is M. detail gets a text for people, with both
 * clocks, when the cause is not CAUSE_NO_CAUSE.
 */
#define EXPIRES_AHEAD_MAX_MS (31 * 86400000ull)
enum cause setup_times_check(const struct setup *setup, uint64_t now_ms, bool from_system,
			     char *detail, size_t size);

/* Its place in sorted users, n_users if it is not there. hint: where it probably is, or right behind; may be n_users. */
size_t setup_find_user(const struct setup *s, struct str mc_id, size_t hint);
/* By service, then bytewise. */
int user_service_id_compare(const struct user_service_id *a, const struct user_service_id *b);
/* For sort_items: MC service IDs as above; users bytewise by MC ID. */
int setup_compare_ids(const void *a, const void *b);
int setup_compare_users(const void *a, const void *b);

/* With everything that it points to, in the arena. False: it is spent. */
bool setup_copy(struct arena *a, const struct setup *setup, struct setup *out);
/* Without its lists. Borrowed. */
struct setup setup_outline(const struct setup *setup);

/* The response to a request: TRUE when verdict->cause is CAUSE_NO_CAUSE. Borrowed; no revisions yet. */
void setup_to_response(const struct setup *setup, struct str mc_system_id, enum origin origin,
		       const struct verdict *verdict, struct setup_response *out);

/*
 * Whether a partner's response can be an answer to this setup (PROTOCOL.md 6). NULL: yes; otherwise what is wrong
 * (static). The receipt is judged elsewhere. Of a response that names nobody, the setup's users are only counted.
 */
const char *setup_response_fault(const struct setup *setup, struct str partner, const struct setup_response *response);
/* The fault of a response that there was no memory to check: it may be good. */
extern const char setup_fault_memory[];
/*
 * Likewise whether a home ACMS's response, its own or one passed on, can be an answer to its ACMC. whole: it is for
 * the whole request, not for one target.
 */
const char *setup_home_response_fault(const struct setup *setup, bool whole,
				      const struct setup_response *response);

#endif
