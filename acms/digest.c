#include "acms/digest.h"

#include <stdlib.h>
#include "common/crypto.h"

/* MC IDs at even distances in a range of a length that is not known before: when there are too many, every other goes. */
enum { SAMPLES = 64 };

struct digesting {
	struct arena *arena;
	size_t n_ranges;
	struct range_digest *results;
	struct str (*splits)[DIGEST_SPLITS_MAX];
	bool failed;
	/* Of the range that is being read: */
	size_t range;
	struct crypto_sum *sum;
	uint64_t users, stride;
	struct str samples[SAMPLES];
	size_t n_samples;
	struct str last;     /* the MC ID read last; STR_NONE: none yet */
	char last_bytes[MC_ID_MAX + 1];
};

struct digesting *digest_new(struct arena *a, size_t n_ranges)
{
	struct digesting *d = calloc(1, sizeof *d);
	if (!d)
		return NULL;
	d->arena = a;
	d->n_ranges = n_ranges;
	d->results = arena_array(a, n_ranges, sizeof *d->results);
	d->splits = arena_array(a, n_ranges, sizeof *d->splits);
	d->sum = crypto_sum_new();
	d->stride = 1;
	if (d->results && d->splits && d->sum)
		return d;
	digest_free(d);
	return NULL;
}

void digest_free(struct digesting *d)
{
	if (!d)
		return;
	crypto_sum_free(d->sum);
	free(d);
}

bool digest_next(struct digesting *d, const struct mc_id_range *ranges, size_t n_ranges,
		 struct mc_id_range *rest)
{
	if (d->failed || d->range == n_ranges)
		return false;
	*rest = ranges[d->range];
	if (d->last.ptr)
		rest->from = d->last; /* with it: digest_user knows it */
	return true;
}

/* --- one user --- */

static void add_number(struct crypto_sum *sum, uint64_t n, int bytes)
{
	uint8_t buffer[8];
	for (int i = bytes; i-- > 0; n >>= 8)
		buffer[i] = (uint8_t)n;
	crypto_sum_add(sum, buffer, (size_t)bytes);
}

static void add_text(struct crypto_sum *sum, struct str s)
{
	add_number(sum, s.len, 4);
	crypto_sum_add(sum, s.ptr, s.len);
}

static void add_user(struct crypto_sum *sum, struct str mc_id, const struct user_record *r)
{
	add_text(sum, mc_id);
	add_number(sum, r->n_service_ids, 4);
	for (size_t i = 0; i < r->n_service_ids; i++) {
		add_number(sum, r->service_ids[i].service, 1);
		add_text(sum, r->service_ids[i].mc_service_id);
	}
	add_number(sum, r->validity.not_before_ms, 8);
	add_number(sum, r->validity.not_after_ms, 8);
}

/* Of users 0, stride, 2 * stride, ... */
static void sample(struct digesting *d, struct str mc_id)
{
	if (d->users % d->stride != 0)
		return;
	if (d->n_samples == SAMPLES) {
		for (size_t i = 0; i < SAMPLES / 2; i++)
			d->samples[i] = d->samples[2 * i];
		d->n_samples = SAMPLES / 2;
		d->stride *= 2;
		if (d->users % d->stride != 0)
			return;
	}
	struct str copy = arena_str(d->arena, mc_id);
	d->failed |= !copy.ptr;
	d->samples[d->n_samples++] = copy;
}

bool digest_user(struct digesting *d, struct str mc_id, const struct user_record *r, bool counts)
{
	if (mc_id.len > MC_ID_MAX || (d->last.ptr && str_eq(d->last, mc_id)))
		return true;
	memcpy(d->last_bytes, mc_id.ptr, mc_id.len);
	d->last = (struct str){ d->last_bytes, mc_id.len };
	if (!counts)
		return true;
	add_user(d->sum, mc_id, r);
	sample(d, mc_id);
	d->users++;
	return !d->failed;
}

/* --- a range --- */

/* Of the samples behind the first, so many that the range falls into equal shares. */
static void choose_splits(struct digesting *d, struct range_digest *out)
{
	size_t have = d->n_samples > 0 ? d->n_samples - 1 : 0;
	size_t want = have < DIGEST_SPLITS_MAX ? have : DIGEST_SPLITS_MAX;
	out->splits = d->splits[d->range];
	out->n_splits = want;
	for (size_t k = 1; k <= want; k++)
		out->splits[k - 1] = d->samples[k * (have + 1) / (want + 1)];
}

void digest_end_range(struct digesting *d)
{
	if (d->failed || d->range == d->n_ranges)
		return;
	struct range_digest *out = &d->results[d->range];
	out->users = d->users;
	choose_splits(d, out);
	d->failed |= crypto_sum_end(d->sum, out->digest) != OK;
	d->range++;
	d->users = 0;
	d->stride = 1;
	d->n_samples = 0;
	d->last = STR_NONE;
}

bool digest_failed(const struct digesting *d)
{
	return d->failed;
}

bool digest_complete(const struct digesting *d)
{
	return d->range == d->n_ranges;
}

/* --- the answer --- */

/* Every other split, until it fits; none if need be. */
static void thin(struct range_digest *r, size_t most)
{
	for (;;) {
		size_t bytes = 0, kept = 0;
		for (size_t i = 0; i < r->n_splits; i++)
			bytes += r->splits[i].len + 3;
		if (bytes <= most)
			return;
		for (size_t i = 1; i < r->n_splits; i += 2)
			r->splits[kept++] = r->splits[i];
		r->n_splits = kept;
	}
}

struct range_digest *digest_results(struct digesting *d, size_t most_bytes)
{
	const size_t fixed = 48; /* number, digest, framing */
	size_t share = d->n_ranges ? most_bytes / d->n_ranges : 0;
	for (size_t i = 0; i < d->n_ranges; i++)
		thin(&d->results[i], share > fixed ? share - fixed : 0);
	return d->results;
}
