#ifndef ACX_FRAME_H
#define ACX_FRAME_H

#include <stddef.h>
#include <stdint.h>

/* Length-prefixed frames (PROTOCOL.md 2). Pure. */

enum { FRAME_HEADER_SIZE = 4, FRAME_HELLO_MAX = 4096 };

enum frame_state { FRAME_INCOMPLETE, FRAME_COMPLETE, FRAME_EMPTY, FRAME_OVER };

/*
 * Looks at the first bytes of a frame. have: how many bytes there are; head: the first
 * min(have, FRAME_HEADER_SIZE) of them. *length (payload bytes) is set unless the header is
 * incomplete. FRAME_OVER is said as soon as the header is there.
 */
enum frame_state frame_look(const uint8_t *head, size_t have, uint32_t max, uint32_t *length);
void frame_header(uint8_t head[FRAME_HEADER_SIZE], uint32_t payload_length);

#endif
