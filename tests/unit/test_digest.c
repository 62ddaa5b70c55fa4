// needs: acms/digest.c common/crypto.c common/arena.c
#include "acms/digest.h"
#include "common/crypto.h"
#include "unit.h"

/* Users "u000" on, the n-th with one MC service ID. */
enum { MANY = 1000 };

static struct str name_of(struct arena *a, unsigned n)
{
	return str_of(arena_printf(a, "u%03u", n));
}

static struct user_record record_of(struct arena *a, unsigned n)
{
	struct user_service_id *id = arena_alloc(a, sizeof *id);
	*id = (struct user_service_id){ MC_SERVICE_MCVIDEO, str_of(arena_printf(a, "sip:%u@h.example", n)) };
	return (struct user_record){ .revision = n, .service_ids = id, .n_service_ids = 1, .validity = { 0, 1ull << 40 } };
}

/* Reads users 0..n in runs of so many, as store_range_users would give them. */
static struct range_digest *read_all(struct arena *a, const struct mc_id_range *ranges, size_t n_ranges, unsigned n,
				     unsigned run, struct digesting **out)
{
	struct digesting *d = digest_new(a, n_ranges);
	assert_non_null(d);
	while (!digest_complete(d)) {
		unsigned left = run;
		struct mc_id_range rest;
		while (left > 0 && digest_next(d, ranges, n_ranges, &rest)) {
			bool all = true;
			for (unsigned i = 0; i < n && all; i++) {
				struct str id = name_of(a, i);
				struct user_record r = record_of(a, i);
				if ((rest.from.ptr && str_cmp(id, rest.from) < 0) || (rest.to.ptr && str_cmp(id, rest.to) >= 0))
					continue;
				all = left > 0;
				if (all)
					assert_true(digest_user(d, id, &r, true));
				left -= all;
			}
			if (!all)
				break;
			digest_end_range(d);
		}
		assert_false(digest_failed(d));
	}
	*out = d;
	return digest_results(d, 1 << 20);
}

/* PROTOCOL.md 10, written down once more. */
static void expect(struct arena *a, unsigned from, unsigned to, const uint8_t digest[32])
{
	static uint8_t buffer[MANY * 100];
	size_t n = 0;
	uint8_t sum[32];
	for (unsigned i = from; i < to; i++) {
		struct str id = name_of(a, i), sid = record_of(a, i).service_ids[0].mc_service_id;
		const uint8_t head[] = { 0, 0, 0, (uint8_t)id.len }, one[] = { 0, 0, 0, 1, 2, 0, 0, 0, (uint8_t)sid.len };
		const uint8_t validity[16] = { [8 + 2] = 1 };
		memcpy(buffer + n, head, 4), n += 4;
		memcpy(buffer + n, id.ptr, id.len), n += id.len;
		memcpy(buffer + n, one, 9), n += 9;
		memcpy(buffer + n, sid.ptr, sid.len), n += sid.len;
		memcpy(buffer + n, validity, 16), n += 16;
	}
	assert_int_equal(crypto_sha256((struct str){ (char *)buffer, n }, sum), OK);
	assert_memory_equal(sum, digest, 32);
}

static void the_same_in_any_portions(void **state)
{
	(void)state;
	static const unsigned runs[] = { 2, 7, 64, 333, MANY, 5000 };
	for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
		struct arena *a = arena_new(0);
		struct mc_id_range ranges[] = { { STR_NONE, STR("u100") }, { STR("u100"), STR("u100x") }, { STR("u2"), STR_NONE },
						{ STR("v"), STR_NONE } };
		struct digesting *d;
		unsigned n = runs[i] == 2 ? 260 : MANY;
		struct range_digest *r = read_all(a, ranges, 4, n, runs[i], &d);
		assert_int_equal(r[0].users, 100);
		assert_int_equal(r[1].users, 1);
		assert_int_equal(r[2].users, n - 200);
		assert_int_equal(r[3].users, 0);
		expect(a, 0, 100, r[0].digest);
		expect(a, 100, 101, r[1].digest);
		expect(a, 200, n, r[2].digest);
		expect(a, 0, 0, r[3].digest); /* SHA-256 of nothing */
		assert_int_equal(r[1].n_splits, 0);
		assert_int_equal(r[3].n_splits, 0);
		digest_free(d);
		arena_free(a);
	}
}

static void shares_are_about_equal(void **state)
{
	(void)state;
	for (unsigned n = 0; n <= MANY; n += n < 40 ? 1 : 37) {
		struct arena *a = arena_new(0);
		struct mc_id_range all = { STR_NONE, STR_NONE };
		struct digesting *d;
		struct range_digest *r = read_all(a, &all, 1, n, 5000, &d);
		unsigned before = 0, most = 0;
		assert_int_equal(r->n_splits, n == 0 ? 0 : n - 1 < 15 ? n - 1 : 15);
		for (size_t i = 0; i <= r->n_splits; i++) {
			unsigned at = i < r->n_splits ? (unsigned)atoi(r->splits[i].ptr + 1) : n;
			assert_true(at > before || n == 0); /* none is empty */
			most = at - before > most ? at - before : most;
			before = at;
		}
		assert_true(most <= 2 * n / 16 + 2);
		digest_free(d);
		arena_free(a);
	}
}

static void fewer_splits_where_there_is_no_room(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct mc_id_range all = { STR_NONE, STR_NONE };
	struct digesting *d;
	struct range_digest *r = read_all(a, &all, 1, 500, 5000, &d);
	assert_int_equal(r->n_splits, 15);
	struct str middle = r->splits[7];
	r = digest_results(d, 48 + 3 * 7);
	assert_int_equal(r->n_splits, 3);
	assert_true(str_eq(r->splits[1], middle));
	r = digest_results(d, 10);
	assert_int_equal(r->n_splits, 0);
	digest_free(d);
	arena_free(a);
}

static void those_that_do_not_count(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct mc_id_range all = { STR_NONE, STR_NONE }, rest;
	struct digesting *d = digest_new(a, 1);
	struct user_record r = record_of(a, 1);
	assert_true(digest_next(d, &all, 1, &rest));
	assert_true(digest_user(d, name_of(a, 1), &r, false));
	digest_end_range(d);
	assert_false(digest_next(d, &all, 1, &rest));
	assert_true(digest_complete(d));
	struct range_digest *out = digest_results(d, 1000);
	assert_int_equal(out->users, 0);
	expect(a, 0, 0, out->digest);
	digest_free(d);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_in_any_portions),
		cmocka_unit_test(shares_are_about_equal),
		cmocka_unit_test(fewer_splits_where_there_is_no_room),
		cmocka_unit_test(those_that_do_not_count),
	};
	return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
