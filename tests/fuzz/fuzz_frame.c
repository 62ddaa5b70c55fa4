// needs: common/frame.c
#include "common/frame.h"

#include <stdlib.h>

/* The bytes arrive in pieces, of the sizes that they say themselves: what is seen of a frame may only grow. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum frame_state state = FRAME_INCOMPLETE;
	uint32_t length = 0;
	for (size_t have = 0; have <= size; have++) {
		uint32_t now = 0;
		enum frame_state next = frame_look(data, have, 4096, &now);
		if (have >= FRAME_HEADER_SIZE && length && now != length)
			abort();
		if (state != FRAME_INCOMPLETE && next != state)
			abort();
		if (next == FRAME_COMPLETE && (now == 0 || now > 4096 || have < FRAME_HEADER_SIZE + now))
			abort();
		state = next;
		length = now;
	}
	return 0;
}
