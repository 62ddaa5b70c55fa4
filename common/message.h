#ifndef ACX_MESSAGE_H
#define ACX_MESSAGE_H

#include <stdint.h>
#include "common/arena.h"
#include "common/cause.h"
#include "common/error.h"
#include "common/setup.h"

/*
 * Messages of acx.proto as plain structs. Only its .c files know protobuf-c. Pure.
 */

enum message_kind {
	MESSAGE_HELLO,
	MESSAGE_SETUP_REQUEST,
	MESSAGE_SETUP_RESPONSE,
	MESSAGE_PING,
	MESSAGE_PONG,
	MESSAGE_CLOSE,
	/* Version 2. */
	MESSAGE_PROCESS_INDICATION,
	MESSAGE_REQUESTS_QUERY,
	MESSAGE_REQUESTS_PAGE,
	MESSAGE_USERS_QUERY,
	MESSAGE_USERS_PAGE,
	MESSAGE_DIGEST_QUERY,
	MESSAGE_DIGEST_PAGE,
	MESSAGE_PENDING_QUERY,
	MESSAGE_PENDING_PAGE,
	MESSAGE_DECISION,
	MESSAGE_DECISION_RESULT,
};

struct hello {
	uint32_t version_min, version_max;
	struct str mc_system_id; /* STR_NONE: left out */
	struct limits limits;
	struct str software;
};

struct close_message {
	enum cause cause;
	struct str detail;
};

enum process_state { PROCESS_ACCEPTED = 1, PROCESS_PENDING = 2, PROCESS_DELAYED = 3 };

struct process_indication {
	struct request_id request_id;
	struct str mc_system_id;
	enum process_state state;
	uint64_t until_ms; /* Unix */
	struct str detail;
};

struct requests_query {
	uint64_t token;
	bool has_request_id;
	struct request_id request_id;
	bool unfinished_only, refused_only;
	struct str mc_system_id; /* STR_NONE: any */
	uint64_t since_ms, until_ms;
	bool has_after;
	struct request_id after;
	uint32_t max;
	bool follow;
};

enum delivery_state { DELIVERY_QUEUED = 1, DELIVERY_SENT = 2, DELIVERY_APPROVAL = 3, DELIVERY_ANSWERED = 4 };

struct delivery_entry {
	struct str mc_system_id;
	enum delivery_state state;
	uint32_t attempts;
	uint64_t until_ms;
	struct str detail;
	bool has_response;
	struct setup_response response; /* request_id and mc_system_id are always in it */
	uint64_t answered_ms;
};

struct request_entry {
	struct request_id request_id;
	int operation;
	struct str acmc;
	uint64_t accepted_ms, deadline_ms;
	uint32_t part, parts, users;
	struct delivery_entry *deliveries;
	size_t n_deliveries;
};

/* What all pages have. */
struct page {
	uint64_t token;
	enum cause cause;
	struct str detail;
	bool more;
};

struct requests_page {
	struct page page;
	struct request_entry *entries;
	size_t n_entries;
};

struct users_query {
	uint64_t token;
	struct str mc_system_id;
	bool believed;
	struct str *mc_ids;
	size_t n_mc_ids;
	struct str from, to; /* STR_NONE: no bound */
	struct str after;    /* in that range: the last MC ID of the page before; STR_NONE: from the first */
	uint32_t max;
};

/* Of a page that was decoded the MC ID is valid and the validity not empty. */
struct user_entry {
	struct str mc_id;
	struct user_service_id *service_ids; /* sorted by service, then bytewise */
	size_t n_service_ids;
	uint64_t revision;
	struct validity validity;
	bool vouched;
	uint64_t changed_ms;
	struct request_id by;
};

struct users_page {
	struct page page;
	struct user_entry *users;
	size_t n_users;
};

struct mc_id_range {
	struct str from, to; /* STR_NONE: no bound */
};

enum { DIGEST_RANGES_MAX = 256, DIGEST_SPLITS_MAX = 15, RANGE_DIGEST_SIZE = 32 };

struct digest_query {
	uint64_t token;
	struct str mc_system_id;
	bool believed;
	struct mc_id_range *ranges;
	size_t n_ranges;
};

struct range_digest {
	uint64_t users;
	uint8_t digest[RANGE_DIGEST_SIZE];
	struct str *splits;
	size_t n_splits;
};

struct digest_page {
	struct page page; /* more is never set */
	struct range_digest *digests;
	size_t n_digests;
};

struct pending_query {
	uint64_t token;
	struct str mc_system_id; /* STR_NONE: all */
	bool has_request_id;
	struct request_id request_id;
	struct str after_mc_system_id; /* STR_NONE: from the first */
	struct request_id after_request_id;
	uint32_t max;
	bool follow;
};

struct pending_entry {
	struct str mc_system_id;
	uint64_t received_ms, until_ms;
	struct setup_request request;
	uint32_t users;
	bool also_of_others; /* asked for by its ID: another home system has, or had, a request with this ID */
};

struct pending_page {
	struct page page;
	struct pending_entry *entries;
	size_t n_entries;
};

struct decision {
	uint64_t token;
	struct str mc_system_id; /* the home system; STR_NONE: left out, which is refused */
	struct request_id request_id;
	bool approve;
	struct str reason;
};

struct decision_result {
	struct page page; /* more is never set */
	bool has_response;
	struct setup_response response;
};

struct message {
	enum message_kind kind;
	union {
		struct hello hello;
		struct setup_request request;
		struct setup_response response;
		uint64_t token; /* ping, pong */
		struct close_message close;
		struct process_indication indication;
		struct requests_query requests_query;
		struct requests_page requests_page;
		struct users_query users_query;
		struct users_page users_page;
		struct digest_query digest_query;
		struct digest_page digest_page;
		struct pending_query pending_query;
		struct pending_page pending_page;
		struct decision decision;
		struct decision_result decision_result;
	};
};

enum { PROTOCOL_VERSION_MIN = 1, PROTOCOL_VERSION_MAX = 2 };

/* The token of a query or decision, which its answer repeats; NULL: a message without. */
uint64_t *message_token(struct message *message);

/* The version of the protocol that a message needs. */
uint32_t message_version(const struct message *message);

/*
 * Decodes one payload (PROTOCOL.md 2). Everything is copied into the arena, which must have been made
 * with message_budget(length). On failure *why is CAUSE_MALFORMED_MESSAGE or
 * CAUSE_UNEXPECTED_MESSAGE and the error says what is wrong.
 */
enum status message_decode(struct arena *a, const uint8_t *payload, size_t length,
			   struct message *out, enum cause *why, struct error *e);
size_t message_budget(size_t payload_length);

/*
 * Encodes header and payload into one buffer from malloc, which the caller frees. ERR_MEMORY only; or ERR_INPUT for what no
 * receiver takes: an identity that is not UTF-8. A detail or reason is cut and mended instead.
 */
enum status message_encode(const struct message *message, uint8_t **frame, size_t *length);
/* Bytes of the frame that message_encode would make, header included. */
size_t message_size(const struct message *message);

const char *message_kind_name(enum message_kind kind);

#endif
