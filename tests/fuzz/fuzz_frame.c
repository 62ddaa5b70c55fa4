// needs: common/frame.c
/*
 * Bytes that arrive in any pieces: the frames found are the same as if all had come at once, and each length is
 * what its header says. The first byte of the input chooses the sizes of the pieces, the second the limit.
 */
#include <stdlib.h>
#include <string.h>
#include "common/frame.h"

enum { FRAMES_MAX = 4096 };

struct found {
	size_t n;
	uint32_t lengths[FRAMES_MAX];
	enum frame_state last;
};

static void require(int holds)
{
	if (!holds)
		abort();
}

/* Takes every complete frame off the front; returns the bytes taken. */
static size_t take_frames(const uint8_t *data, size_t have, uint32_t max, struct found *f)
{
	size_t at = 0;
	for (;;) {
		uint8_t head[FRAME_HEADER_SIZE];
		size_t left = have - at;
		uint32_t length = UINT32_MAX;
		f->last = frame_look(data + at, left, max, &length);
		if (left < FRAME_HEADER_SIZE) {
			require(f->last == FRAME_INCOMPLETE);
			return at;
		}
		frame_header(head, length);
		require(memcmp(head, data + at, sizeof head) == 0);
		require((f->last == FRAME_OVER) == (length > max));
		require((f->last == FRAME_EMPTY) == (length == 0));
		if (length > 0 && length <= max)
			require((f->last == FRAME_COMPLETE) == (length <= left - FRAME_HEADER_SIZE));
		if (f->last != FRAME_COMPLETE || f->n == FRAMES_MAX)
			return at;
		f->lengths[f->n++] = length;
		at += FRAME_HEADER_SIZE + length;
	}
}

static void in_pieces(const uint8_t *data, size_t size, unsigned piece, uint32_t max,
		      struct found *f)
{
	size_t start = 0, end = 0;
	f->last = FRAME_INCOMPLETE;
	while (end < size && (f->last == FRAME_INCOMPLETE || f->last == FRAME_COMPLETE)) {
		size_t n = piece ? 1 + (piece + end) % 7 : size; /* 0: all at once */
		end = n < size - end ? end + n : size;
		start += take_frames(data + start, end - start, max, f);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct found whole, pieces;
	if (size < 3)
		return 0;
	uint32_t max = 1u + data[1] * 17u;
	whole.n = pieces.n = 0;
	in_pieces(data + 2, size - 2, 0, max, &whole);
	in_pieces(data + 2, size - 2, 1u + data[0], max, &pieces);
	require(whole.n == pieces.n && whole.last == pieces.last);
	require(memcmp(whole.lengths, pieces.lengths, whole.n * sizeof *whole.lengths) == 0);
	return 0;
}
