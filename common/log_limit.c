#include "common/log_limit.h"

uint64_t log_limit_missed(struct log_limit *l, uint64_t now_ms)
{
	uint64_t missed;
	if (now_ms < l->until_ms)
		return 0;
	missed = l->left_out;
	l->lines = 0;
	l->left_out = 0;
	return missed;
}

bool log_limit_allows(struct log_limit *l, unsigned most, uint64_t now_ms, uint64_t *missed)
{
	*missed = log_limit_missed(l, now_ms);
	if (l->lines >= most) {
		l->left_out++;
		return false;
	}
	if (l->lines == 0)
		l->until_ms = now_ms + LOG_LIMIT_PERIOD_MS;
	l->lines++;
	return true;
}
