#include "acms/damage.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "common/clock.h"
#include "common/log.h"

enum { FORGET_AFTER_MS = 3600 * 1000 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t said[DAMAGE_TEXTS], since_ms;
static size_t n_said;

/* FNV-1a: two texts that share one lose a line. */
static uint64_t hash_of(const char *text)
{
	uint64_t h = 0xcbf29ce484222325;
	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3;
	return h;
}

/* Whether it is to be said; notes that it is. */
static bool is_new(uint64_t hash, uint64_t now_ms)
{
	if (n_said == 0 || now_ms >= since_ms + FORGET_AFTER_MS) {
		n_said = 0;
		since_ms = now_ms;
	}
	for (size_t i = 0; i < n_said; i++) {
		if (said[i] == hash)
			return false;
	}
	if (n_said == DAMAGE_TEXTS)
		return false;
	said[n_said++] = hash;
	return true;
}

void damage_log(void *context, const char *text)
{
	(void)context;
	pthread_mutex_lock(&mutex);
	bool log = is_new(hash_of(text), clock_mono_ms());
	bool last = log && n_said == DAMAGE_TEXTS;
	pthread_mutex_unlock(&mutex);
	if (log)
		log_error("%s%s", text, last ? "; others are not told for an hour" : "");
}

struct str damage_detail(const struct store_txn *t)
{
	return store_passed_over(t) > 0 ? STR("a record cannot be read and is left out: the log of acms says which") : STR_NONE;
}
