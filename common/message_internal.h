#ifndef ACX_MESSAGE_INTERNAL_H
#define ACX_MESSAGE_INTERNAL_H

#include "common/message.h"
#include "proto/acx.pb-c.h"

/*
 * What the files that know protobuf-c share: message.c decodes, message_v2.c decodes what is new in version 2,
 * message_encode.c encodes.
 */

/* Bytes of a text, at most: PROTOCOL.md 2. Identities that must be valid have the bounds of identity.h. */
enum {
	PROSE_MAX = 512,      /* a detail or reason */
	WHO_MAX = 255,        /* software, the name of an ACMC */
	RECEIVED_MAX = 1024,  /* an identity of a request or response, which is answered though it is not valid */
};

/* Sticky: the first thing wrong is what is reported. */
struct reader {
	struct arena *arena;
	struct error *error;
	bool bad;
};

void read_wrong(struct reader *r, const char *what, const char *how);
/* NULL (and wrong) when the arena is spent. */
void *read_list(struct reader *r, size_t n, size_t size, const char *what);
/* most: of its bytes. */
struct str read_text(struct reader *r, const char *text, const char *what, size_t most);
/* "" is STR_NONE. */
struct str read_filled(struct reader *r, const char *text, const char *what, size_t most);
/* For people: bounded; "" is STR_NONE. */
struct str read_prose(struct reader *r, const char *text, const char *what);
struct str read_detail(struct reader *r, const char *text);
struct str *read_texts(struct reader *r, char **texts, size_t n, const char *what, size_t most);
struct request_id read_request_id(struct reader *r, const ProtobufCBinaryData *data);
/* False: it is left out. */
bool read_optional_id(struct reader *r, const ProtobufCBinaryData *data, struct request_id *out);
struct validity read_validity(const Acx__Validity *m, bool *unknown);
void read_request(struct reader *r, const Acx__McServiceUserSetupRequest *m,
		  struct setup_request *out);
void read_response(struct reader *r, const Acx__McServiceUserSetupResponse *m,
		   struct setup_response *out);

static inline bool has_unknown(const ProtobufCMessage *m)
{
	return m->n_unknown_fields > 0;
}

/* Whether a receiver would take it: an encoder asks this before it sends. */
bool message_is_readable(struct arena *a, const Acx__Message *m);

/* What a receiver may refuse is encoded, too: for tests of receivers. */
enum status message_encode_unchecked(const struct message *m, uint8_t **frame, size_t *length);

/* Of version 2: what asks for something, and what answers. False: another message. */
bool read_query(struct reader *r, const Acx__Message *m, struct message *out);
bool read_answer(struct reader *r, const Acx__Message *m, struct message *out);

#endif
