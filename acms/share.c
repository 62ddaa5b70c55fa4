#include "acms/share.h"

static size_t left(const struct share_pool *pool)
{
	return pool->most > pool->used ? pool->most - pool->used : 0;
}

bool share_take(struct share_pool *pool, struct share *share, size_t n)
{
	bool was_full = share->full;
	share->held += n;
	pool->used += n;
	share->full |= share->held > left(pool);
	return share->full && !was_full;
}

/* Only with half of its room free, so that it does not stop and go with each that is answered. */
bool share_give_back(struct share_pool *pool, struct share *share, size_t n)
{
	bool was_full = share->full;
	share->held -= n;
	pool->used -= n;
	if (share->held == 0 || share->held <= left(pool) / 2)
		share->full = false;
	return was_full && !share->full;
}
