// needs: common/message.c common/frame.c common/setup.c common/identity.c common/text.c common/arena.c common/error.c proto/acx.pb-c.c
#include <stdlib.h>
#include <string.h>
#include "common/frame.h"
#include "common/message.h"

/* What decodes encodes to the same number of bytes; what is well-formed survives the way to a partner and back. */

static void check_request(struct arena *a, const struct setup_request *received)
{
	struct limits limits = LIMITS_DEFAULT;
	struct setup setup, again;
	struct setup_request forwarded;
	struct setup_response response;
	struct verdict done = { .cause = CAUSE_NO_CAUSE };
	struct verdict v = setup_check(a, received, &limits, &setup);
	if (v.cause != CAUSE_NO_CAUSE)
		return;
	struct arena *b = arena_new(0);
	struct str target = { "fire.example", 12 };
	if (!setup_to_request(b, &setup, target, &forwarded) ||
	    setup_check(b, &forwarded, &limits, &again).cause != CAUSE_NO_CAUSE ||
	    !str_eq(setup_content(b, &setup), setup_content(b, &again)))
		abort();
	if (!setup_to_response(b, &again, target, ORIGIN_PARTNER_ACMS, &done, &response) ||
	    setup_response_fault(&setup, target, &response))
		abort();
	arena_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(message_budget(size));
	struct message m;
	struct error e;
	enum cause why;
	uint8_t *frame;
	size_t length;
	if (!a)
		return 0;
	if (message_decode(a, data, size, &m, &why, &e) == OK) {
		if (message_encode(&m, &frame, &length) != OK)
			abort();
		if (m.kind == MESSAGE_SETUP_REQUEST && !m.request.has_unknown_fields &&
		    length != size + FRAME_HEADER_SIZE)
			abort();
		free(frame);
		if (m.kind == MESSAGE_SETUP_REQUEST)
			check_request(a, &m.request);
	}
	arena_free(a);
	return 0;
}
