#ifndef ACMS_SHARE_H
#define ACMS_SHARE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * How parties share a bound. One is full when it has more than is left to all: alone it gets half of the whole, two that
 * want all get a third each, and n leave one part of n + 1 free for those who want little. So whoever asks for too much
 * is stopped, and nobody else.
 */
struct share_pool {
	size_t most, used;
};
struct share {
	size_t held;
	bool full;
};

/* True: it became full. */
bool share_take(struct share_pool *pool, struct share *share, size_t n);
/* Of what was taken. True: it was full, and there is room again; at the latest when all is given back. */
bool share_give_back(struct share_pool *pool, struct share *share, size_t n);

#endif
