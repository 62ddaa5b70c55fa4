#ifndef ACX_MESSAGE_H
#define ACX_MESSAGE_H

#include <stdint.h>
#include "common/arena.h"
#include "common/cause.h"
#include "common/error.h"
#include "common/setup.h"

/*
 * Messages of acx.proto as plain structs. The only file that knows protobuf-c. Pure.
 */

enum message_kind {
	MESSAGE_HELLO,
	MESSAGE_SETUP_REQUEST,
	MESSAGE_SETUP_RESPONSE,
	MESSAGE_PING,
	MESSAGE_PONG,
	MESSAGE_CLOSE,
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

struct message {
	enum message_kind kind;
	union {
		struct hello hello;
		struct setup_request request;
		struct setup_response response;
		uint64_t token; /* ping, pong */
		struct close_message close;
	};
};

#define PROTOCOL_VERSION 1u

/*
 * Decodes one payload (PROTOCOL.md 2). Everything is copied into the arena, which must have been made
 * with message_budget(length). On failure *why is CAUSE_MALFORMED_MESSAGE or
 * CAUSE_UNEXPECTED_MESSAGE and the error says what is wrong.
 */
enum status message_decode(struct arena *a, const uint8_t *payload, size_t length,
			   struct message *out, enum cause *why, struct error *e);
size_t message_budget(size_t payload_length);

/*
 * Encodes header and payload into one buffer from malloc, which the caller frees. ERR_MEMORY only.
 */
enum status message_encode(const struct message *message, uint8_t **frame, size_t *length);
/* Bytes of the frame that message_encode would make, header included. */
size_t message_size(const struct message *message);

const char *message_kind_name(enum message_kind kind);

#endif
