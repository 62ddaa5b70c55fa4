#ifndef ACX_SETUP_H
#define ACX_SETUP_H

#include <stdbool.h>
#include <stdint.h>
#include "common/arena.h"
#include "common/cause.h"
#include "common/identity.h"
#include "common/str.h"

/* MC service user setup (source 7.x.1.2), as plain structs. Pure. */

/* As it is on the wire, nothing checked but the encoding. */
struct service_id_entry {
	struct str mc_id;
	int service;
	struct str mc_service_id;
};

/* What a request asks for. Numbers as in acx.proto. */
enum operation { OPERATION_SETUP = 0, OPERATION_UPDATE = 1, OPERATION_REMOVE = 2 };
enum { OPERATIONS = 3 };
/* "setup", "update", "remove"; NULL for none of ours. Static. */
const char *operation_name(int operation);

struct user_revision {
	struct str mc_id;
	uint64_t revision;
};

/* When a user is vouched for: Unix milliseconds; 0: no bound on that side. */
struct validity {
	uint64_t not_before_ms, not_after_ms; /* not_after_ms itself is outside */
};
bool validity_covers(struct validity v, uint64_t now_ms);

struct setup_request {
	struct request_id request_id;
	struct str home_acmc_id; /* STR_NONE: left out */
	struct str *mc_system_ids;
	size_t n_mc_system_ids;
	struct str *mc_ids;
	size_t n_mc_ids;
	struct service_id_entry *service_ids;
	size_t n_service_ids;
	bool has_unknown_fields;
	/* Version 2. */
	int operation;
	struct user_revision *revisions; /* expected */
	size_t n_revisions;
	bool has_validity;
	struct validity validity;
	uint64_t expires_ms;             /* Unix; 0: left out */
	bool dry_run, best_effort;
	uint32_t part, parts;
	bool grouped; /* service_ids go over the wire grouped by MC ID, as they must be in the order of mc_ids then */
};
/* Whether it has an element that version 1 of the protocol does not have. */
bool setup_request_needs_version_2(const struct setup_request *request);

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

struct setup_response {
	struct request_id request_id;
	struct str mc_system_id;
	struct str *mc_ids;
	size_t n_mc_ids;
	struct service_id_entry *service_ids;
	size_t n_service_ids;
	bool result;
	enum origin origin;
	enum cause cause;
	struct identity_cause *identities;
	size_t n_identities;
	struct str detail;
	/* Version 2. */
	struct user_revision *revisions; /* of the users that the request left in the store */
	size_t n_revisions;
	bool as_requested;               /* the lists are the request's, and left out; instead of revisions: */
	const uint64_t *revision_of_each; /* for each of its users, sorted bytewise by MC ID; 0: none */
	size_t n_of_each;                /* 0: nobody has one */
	struct str receipt;              /* of a partner: the proof; in a page: the whole (PROTOCOL.md 11); STR_NONE: none */
	struct str receipt_root;         /* of a partner, with the proof: what it leads to, 32 bytes; else STR_NONE */
	uint64_t done_ms;                /* by the partner's clock; 0: nothing is certified */
	struct decided_by decided_by;
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

/* Well-formed: canonical, paired, without duplicates, sorted. */
struct setup_user {
	struct str mc_id;
	const struct user_service_id *service_ids; /* sorted by service, then bytewise */
	size_t n_service_ids;
	uint64_t expected_revision; /* 0: none */
};

struct user_service_id {
	enum mc_service service;
	struct str mc_service_id; /* canonical */
};

struct setup {
	struct request_id request_id;
	struct str home_acmc_id; /* canonical; STR_NONE: left out */
	const struct str *targets; /* as received, not checked: see setup_targets_check */
	size_t n_targets;
	struct setup_user *users; /* sorted bytewise by MC ID */
	size_t n_users;
	size_t n_service_ids;
	/* Of all MC service IDs the places, counted through the users, in their bytewise order; NULL: not known. */
	const size_t *in_key_order;
	enum operation operation;
	bool has_validity;
	struct validity validity;
	uint64_t expires_ms; /* 0: left out */
	bool dry_run, best_effort;
	uint32_t part, parts;
};

/*
 * Checks a request (PROTOCOL.md 5.1, 5.2: the 2xx causes) against what the receiver accepts. With
 * CAUSE_NO_CAUSE *out is filled in; it and the verdict live in the arena and borrow from the request.
 * All identities in the way are named. A spent arena: setup_no_memory.
 */
struct verdict setup_check(struct arena *a, const struct setup_request *request,
			   const struct limits *limits, struct setup *out);

/* What a request is told when there was no memory in its arena: that it asks for too much, or to come later. */
struct verdict setup_no_memory(const struct arena *a);

/*
 * Whether the response to a well-formed setup will fit into a frame of so many bytes, whatever it says, spelled out and with
 * the whole receipt, too. That a request takes a quarter of a frame does not make sure of it: responses say more about a user
 * than requests must. Found out afterwards, it could never be answered. CAUSE_TOO_MANY_IDENTITIES or CAUSE_NO_CAUSE.
 */
struct verdict setup_answerable(const struct setup *setup, uint32_t max_frame_bytes);

/*
 * Judges the times of a well-formed setup by the receiver's clock: CAUSE_INVALID_VALIDITY, CAUSE_REQUEST_EXPIRED or
 * CAUSE_NO_CAUSE. from_system: it came from a home ACMS on version 2, so expires is M. detail gets a text for people,
 * with both clocks, when the cause is not CAUSE_NO_CAUSE.
 */
#define EXPIRES_AHEAD_MAX_MS (31 * 86400000ull)
enum cause setup_times_check(const struct setup *setup, uint64_t now_ms, bool from_system,
			     char *detail, size_t size);

/* Its place in users, n_users if it is not there. hint: where it probably is, or right behind; may be n_users. */
size_t setup_find_user(const struct setup *s, struct str mc_id, size_t hint);

/* With everything that it points to, in the arena. False: it is spent. */
bool setup_copy(struct arena *a, const struct setup *setup, struct setup *out);

/*
 * The request that a home ACMS sends to one partner: without part and parts; for a partner of version 1 expires_ms is
 * to be set to 0, and grouped to false. Lists from the arena. False: arena spent.
 */
bool setup_to_request(struct arena *a, const struct setup *setup, struct str target,
		      struct setup_request *out);

/* The response to a setup, as requested: TRUE when verdict->cause is CAUSE_NO_CAUSE. Borrowed; no revisions yet. */
void setup_to_response(const struct setup *setup, struct str mc_system_id, enum origin origin,
		       const struct verdict *verdict, struct setup_response *out);

/*
 * The same response for somebody who has not the request, or speaks version 1: with lists, from the arena, where it says
 * as_requested. False: the arena is spent.
 */
bool setup_spell_out(struct arena *a, const struct setup *setup, struct setup_response *response);

/*
 * What a good response (setup_response_fault) says of revisions, however it says it: *n is 0, or the number of users,
 * and *out has that of each of them, 0: none. From the arena, or borrowed. False: the arena is spent.
 */
bool setup_revisions(struct arena *a, const struct setup *setup, const struct setup_response *response,
		     const uint64_t **out, size_t *n);

/*
 * The response to a request that was not checked: with a cause of the class 2xx, not well-formed, it echoes no lists;
 * otherwise the MC IDs as they were received. Borrowed.
 */
void setup_refuse(const struct setup_request *request, struct str mc_system_id, enum origin origin,
		  const struct verdict *verdict, struct setup_response *out);

/*
 * Whether a partner's response can be an answer to this setup (PROTOCOL.md 6). version: the connection's. NULL: yes;
 * otherwise what is wrong (static). The receipt is judged elsewhere. Of a response as requested that names nobody, the
 * setup's users are only counted.
 */
const char *setup_response_fault(const struct setup *setup, struct str partner, uint32_t version,
				 const struct setup_response *response);
/* The fault of a response that there was no memory to check: it may be good. */
extern const char setup_fault_memory[];
/*
 * Likewise whether a home ACMS's response, its own or one passed on, can be an answer to its ACMC. whole: it is for
 * the whole request, not for one target.
 */
const char *setup_home_response_fault(const struct setup *setup, bool whole,
				      const struct setup_response *response);

#endif
