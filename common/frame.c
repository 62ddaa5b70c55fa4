#include "common/frame.h"

enum frame_state frame_look(const uint8_t *head, size_t have, uint32_t max, uint32_t *length)
{
	if (have < FRAME_HEADER_SIZE)
		return FRAME_INCOMPLETE;
	*length = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 |
		  head[3];
	if (*length == 0)
		return FRAME_EMPTY;
	if (*length > max)
		return FRAME_OVER;
	return have - FRAME_HEADER_SIZE >= *length ? FRAME_COMPLETE : FRAME_INCOMPLETE;
}

void frame_header(uint8_t head[FRAME_HEADER_SIZE], uint32_t payload_length)
{
	for (int i = 0; i < FRAME_HEADER_SIZE; i++)
		head[i] = (uint8_t)(payload_length >> (24 - 8 * i));
}
