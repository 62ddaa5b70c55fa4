// needs: acmc/reconcile.c common/page.c common/arena.c
/* Finding the differences of two sets of users by digests, against finding them by looking at all. */
#include "tests/unit/unit.h"
#include "acmc/reconcile.h"

enum { PAGE = 50, SERVICES_MAX = 3 };

struct fake_user {
	char mc_id[24];
	struct user_service_id ids[SERVICES_MAX];
	size_t n_ids;
	struct validity validity;
};

struct set {
	struct fake_user *users;
	size_t n;
};

/* A number for each call, the same in each run. */
static uint64_t random_state;
static uint32_t pick(uint32_t below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % below;
}

static struct fake_user make_user(unsigned number)
{
	static const char *const uris[] = { "sip:a@police.example", "sip:b@police.example", "tel:+1" };
	struct fake_user u = { .n_ids = number % (SERVICES_MAX + 1) };
	snprintf(u.mc_id, sizeof u.mc_id, "user%08u", number);
	for (size_t i = 0; i < u.n_ids; i++)
		u.ids[i] = (struct user_service_id){ (enum mc_service)(i + 1), str_of(uris[i]) };
	return u;
}

static struct str id_of(const struct fake_user *u)
{
	return str_of(u->mc_id);
}

/* --- a server --- */

static size_t lower_bound(const struct set *s, struct str id)
{
	size_t low = 0, high = s->n;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (str_cmp(id_of(&s->users[middle]), id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void hash(uint64_t *h, const void *data, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*h = (*h ^ ((const uint8_t *)data)[i]) * 1099511628211u;
}

static struct range_digest digest(const struct set *s, struct arena *a, const struct mc_id_range *range)
{
	size_t first = range->from.ptr ? lower_bound(s, range->from) : 0;
	size_t end = range->to.ptr ? lower_bound(s, range->to) : s->n;
	struct range_digest d = { .users = end - first };
	uint64_t h = 14695981039346656037u;
	for (size_t i = first; i < end; i++) {
		const struct fake_user *u = &s->users[i];
		hash(&h, u->mc_id, strlen(u->mc_id));
		for (size_t j = 0; j < u->n_ids; j++) {
			hash(&h, &u->ids[j].service, sizeof u->ids[j].service);
			hash(&h, u->ids[j].mc_service_id.ptr, u->ids[j].mc_service_id.len);
		}
		hash(&h, &u->validity, sizeof u->validity);
	}
	memcpy(d.digest, &h, sizeof h);
	d.splits = arena_array(a, DIGEST_SPLITS_MAX, sizeof *d.splits);
	for (size_t k = 1; k <= DIGEST_SPLITS_MAX; k++) {
		size_t at = first + (end - first) * k / (DIGEST_SPLITS_MAX + 1);
		struct str id = at < end ? id_of(&s->users[at]) : STR_NONE;
		if (id.ptr && at > first && (d.n_splits == 0 || str_cmp(d.splits[d.n_splits - 1], id) < 0))
			d.splits[d.n_splits++] = id;
	}
	return d;
}

static struct message answer_digests(const struct set *s, struct arena *a, const struct digest_query *q)
{
	struct message m = { .kind = MESSAGE_DIGEST_PAGE };
	assert_in_range(q->n_ranges, 1, DIGEST_RANGES_MAX);
	m.digest_page.digests = arena_array(a, q->n_ranges, sizeof *m.digest_page.digests);
	for (size_t i = 0; i < q->n_ranges; i++) {
		if (i > 0) /* disjoint, ascending */
			assert_true(str_cmp(q->ranges[i - 1].to, q->ranges[i].from) <= 0);
		m.digest_page.digests[m.digest_page.n_digests++] = digest(s, a, &q->ranges[i]);
	}
	return m;
}

static struct message answer_users(const struct set *s, struct arena *a, const struct users_query *q)
{
	struct message m = { .kind = MESSAGE_USERS_PAGE };
	size_t i = q->after.ptr ? lower_bound(s, q->after) + 1 : q->from.ptr ? lower_bound(s, q->from) : 0;
	size_t end = q->to.ptr ? lower_bound(s, q->to) : s->n;
	m.users_page.users = arena_array(a, PAGE, sizeof *m.users_page.users);
	for (; i < end && m.users_page.n_users < PAGE; i++)
		m.users_page.users[m.users_page.n_users++] = (struct user_entry){
			.mc_id = id_of(&s->users[i]), .service_ids = (struct user_service_id *)s->users[i].ids,
			.n_service_ids = s->users[i].n_ids, .validity = s->users[i].validity, .revision = 7,
		};
	m.users_page.page.more = i < end;
	return m;
}

static void run(struct reconcile *r, struct arena *arena, const struct set *home, const struct set *partner)
{
	struct message query;
	assert_true(reconcile_init(r, arena, STR("fire.example")));
	while (reconcile_next(r, &query)) {
		struct arena *a = arena_new(0); /* answers do not outlive the call */
		bool digests = query.kind == MESSAGE_DIGEST_QUERY;
		bool believed = digests ? query.digest_query.believed : query.users_query.believed;
		const struct set *side = believed ? home : partner;
		struct message answer = digests ? answer_digests(side, a, &query.digest_query) :
						  answer_users(side, a, &query.users_query);
		const char *fault = reconcile_take(r, &answer);
		if (fault)
			fail_msg("%s", fault);
		arena_free(a);
	}
}

/* --- what is right --- */

static bool same(const struct fake_user *x, const struct fake_user *y)
{
	if (x->n_ids != y->n_ids || memcmp(&x->validity, &y->validity, sizeof x->validity) != 0)
		return false;
	for (size_t i = 0; i < x->n_ids; i++) {
		if (!str_eq(x->ids[i].mc_service_id, y->ids[i].mc_service_id))
			return false;
	}
	return true;
}

static void expect(const struct reconcile *r, size_t *n, enum difference_kind kind, const struct fake_user *u)
{
	assert_in_range(*n, 0, r->n_found - 1);
	const struct difference *d = &r->found[(*n)++];
	assert_int_equal(d->kind, kind);
	assert_true(str_eq(d->mc_id, id_of(u)));
	assert_int_equal(d->home != NULL, kind != UNKNOWN_TO_HOME);
	assert_int_equal(d->partner != NULL, kind != MISSING_AT_PARTNER);
}

static void check(const struct reconcile *r, const struct set *home, const struct set *partner)
{
	size_t i = 0, j = 0, n = 0;
	while (i < home->n || j < partner->n) {
		int order = i == home->n ? 1 : j == partner->n ? -1 :
			    strcmp(home->users[i].mc_id, partner->users[j].mc_id);
		if (order < 0)
			expect(r, &n, MISSING_AT_PARTNER, &home->users[i++]);
		else if (order > 0)
			expect(r, &n, UNKNOWN_TO_HOME, &partner->users[j++]);
		else if (i++, !same(&home->users[i - 1], &partner->users[j++]))
			expect(r, &n, DIFFERENT, &home->users[i - 1]);
	}
	assert_int_equal(n, r->n_found);
	assert_int_equal(r->total[SIDE_HOME], home->n);
	assert_int_equal(r->total[SIDE_PARTNER], partner->n);
}

/* n users; of each 1000, so many are missing, changed, or other. */
static void make_sets(unsigned n, unsigned missing, unsigned unknown, unsigned changed, struct set *home,
		      struct set *partner)
{
	*home = (struct set){ calloc(n + 1, sizeof *home->users), 0 };
	*partner = (struct set){ calloc(n + 1, sizeof *home->users), 0 };
	for (unsigned i = 0; i < n; i++) {
		struct fake_user u = make_user(i);
		unsigned fate = pick(100000);
		if (fate >= missing && fate < missing + unknown) {
			partner->users[partner->n++] = u;
			continue;
		}
		home->users[home->n++] = u;
		if (fate < missing)
			continue;
		if (fate >= missing + unknown && fate < missing + unknown + changed && pick(2))
			u.validity.not_after_ms = 1 + pick(1000);
		else if (fate >= missing + unknown && fate < missing + unknown + changed)
			u.n_ids = (u.n_ids + 1) % 2;
		for (size_t k = 0; k < u.n_ids; k++)
			if (!u.ids[k].mc_service_id.ptr)
				u.ids[k] = (struct user_service_id){ MC_SERVICE_MCDATA, STR("tel:+9") };
		partner->users[partner->n++] = u;
	}
}

/* Any sizes and shares; the differences found are those that there are. */
static void finds_what_differs(void **state)
{
	static const unsigned sizes[] = { 0, 1, 2, 16, 63, 64, 65, 128, 129, 1000, 5000 };
	static const unsigned shares[] = { 0, 50, 1000, 30000, 100000 };
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct set home, partner;
		struct reconcile r;
		struct arena *arena = arena_new(0);
		random_state = seed;
		unsigned n = sizes[pick(sizeof sizes / sizeof *sizes)];
		unsigned missing = shares[pick(5)], unknown = shares[pick(4)], changed = shares[pick(4)];
		make_sets(n, missing, unknown, changed, &home, &partner);
		run(&r, arena, &home, &partner);
		check(&r, &home, &partner);
		reconcile_free(&r);
		arena_free(arena);
		free(home.users);
		free(partner.users);
	}
}

/* What it costs grows with the differences, hardly with the users. */
static void costs_little_when_little_differs(void **state)
{
	static const struct {
		unsigned users, share;
		size_t queries, listed;
	} cases[] = {
		{ 100000, 0, 2, 0 },
		{ 100000, 5, 100, 2000 }, /* about 15 differences */
		{ 100000, 100, 700, 30000 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct set home, partner;
		struct reconcile r;
		struct arena *arena = arena_new(0);
		random_state = 42;
		make_sets(cases[i].users, cases[i].share, cases[i].share, cases[i].share, &home, &partner);
		run(&r, arena, &home, &partner);
		check(&r, &home, &partner);
		if (r.n_queries > cases[i].queries || r.n_listed > cases[i].listed)
			fail_msg("%zu differences of %u users: %zu queries, %zu users", r.n_found, cases[i].users,
				 r.n_queries, r.n_listed);
		reconcile_free(&r);
		arena_free(arena);
		free(home.users);
		free(partner.users);
	}
}

/* One difference among many: a few rounds, and one short list of each side. */
static void one_difference_takes_a_dozen_queries(void **state)
{
	struct set home, partner;
	struct reconcile r;
	struct arena *arena = arena_new(0);
	(void)state;
	make_sets(200000, 0, 0, 0, &home, &partner);
	partner.users[123456].validity.not_before_ms = 5;
	run(&r, arena, &home, &partner);
	check(&r, &home, &partner);
	assert_int_equal(r.n_found, 1);
	assert_in_range(r.n_queries, 6, 14);
	assert_in_range(r.n_listed, 2, 2 * RECONCILE_LISTED);
	reconcile_free(&r);
	arena_free(arena);
	free(home.users);
	free(partner.users);
}

/* One side empty: only the other is listed, and nothing is split. */
static void everything_is_listed_when_one_side_is_empty(void **state)
{
	struct set home, partner, none = { NULL, 0 };
	struct reconcile r;
	struct arena *arena = arena_new(0);
	(void)state;
	make_sets(1000, 0, 0, 0, &home, &partner);
	run(&r, arena, &home, &none);
	check(&r, &home, &none);
	assert_int_equal(r.n_queries, 2 + (1000 + PAGE - 1) / PAGE);
	assert_int_equal(r.n_listed, 1000);
	reconcile_free(&r);
	arena_free(arena);
	free(home.users);
	free(partner.users);
}

/* --- nonsense --- */

static const char *take_digest_of(uint64_t users, struct str *splits, size_t n_splits)
{
	struct range_digest home = { .users = 1000 }, partner = { .users = users, .splits = splits, .n_splits = n_splits };
	struct message m, a = { .kind = MESSAGE_DIGEST_PAGE, .digest_page = { .digests = &home, .n_digests = 1 } };
	struct reconcile r;
	struct arena *arena = arena_new(0);
	assert_true(reconcile_init(&r, arena, STR("fire.example")));
	assert_true(reconcile_next(&r, &m) && m.digest_query.believed);
	assert_null(reconcile_take(&r, &a));
	assert_true(reconcile_next(&r, &m) && !m.digest_query.believed);
	a.digest_page.digests = &partner;
	const char *fault = reconcile_take(&r, &a);
	reconcile_free(&r);
	arena_free(arena);
	return fault;
}

static void refuses_splits_out_of_order(void **state)
{
	struct str good[] = { STR("a"), STR("b"), STR("c") }, twice[] = { STR("a"), STR("a") },
		   descending[] = { STR("b"), STR("a") }, empty[] = { STR("") };
	struct str many[16] = { 0 };
	char names[16][2];
	(void)state;
	for (int i = 0; i < 16; i++) {
		names[i][0] = (char)('a' + i);
		many[i] = (struct str){ names[i], 1 };
	}
	assert_null(take_digest_of(2000, good, 3));
	assert_non_null(take_digest_of(2000, twice, 2));
	assert_non_null(take_digest_of(2000, descending, 2));
	assert_non_null(take_digest_of(2000, empty, 1));
	assert_non_null(take_digest_of(2000, many, 16));
	assert_null(take_digest_of(2000, many, 15));
}

/* Answers by a script; how it ended. The script makes the answer in the arena. */
typedef void script(struct message *answer, const struct message *query, struct arena *a, size_t n_query);

static const char *converse(script *say, size_t most_queries, size_t *n_found)
{
	struct reconcile r;
	struct arena *arena = arena_new(0);
	struct message m;
	const char *fault;
	assert_true(reconcile_init(&r, arena, STR("fire.example")));
	for (size_t queries = 0; reconcile_next(&r, &m); queries++) {
		struct message answer = { .kind = m.kind == MESSAGE_DIGEST_QUERY ? MESSAGE_DIGEST_PAGE : MESSAGE_USERS_PAGE };
		struct arena *work = arena_new(0);
		assert_in_range(queries, 0, most_queries);
		say(&answer, &m, work, queries);
		fault = reconcile_take(&r, &answer);
		assert_true(fault == r.fault);
		arena_free(work);
	}
	fault = r.fault;
	*n_found = r.n_found;
	reconcile_free(&r);
	arena_free(arena);
	return fault;
}

static void say_digests(struct message *answer, const struct digest_query *q, struct arena *a, uint64_t users, uint8_t salt)
{
	answer->digest_page.digests = arena_array(a, q->n_ranges, sizeof *answer->digest_page.digests);
	answer->digest_page.n_digests = q->n_ranges;
	for (size_t i = 0; i < q->n_ranges; i++)
		answer->digest_page.digests[i] = (struct range_digest){
			.users = users, .digest = { salt, (uint8_t)q->believed, (uint8_t)i } };
}

static void say_users(struct message *answer, struct arena *a, const char *const *names, size_t n, bool more)
{
	answer->users_page.users = arena_array(a, n, sizeof *answer->users_page.users);
	answer->users_page.page.more = more;
	for (size_t i = 0; i < n; i++)
		answer->users_page.users[answer->users_page.n_users++] =
			(struct user_entry){ .mc_id = str_of(names[i]), .revision = 1 };
}

/* Of every range that it has a million users in it, and splits it for ever. */
static void a_million_everywhere(struct message *answer, const struct message *query, struct arena *a, size_t n)
{
	const struct digest_query *q = &query->digest_query;
	if (query->kind == MESSAGE_USERS_QUERY)
		return;
	say_digests(answer, q, a, 1000000, (uint8_t)n);
	for (size_t i = 0; i < q->n_ranges; i++) {
		struct range_digest *d = &answer->digest_page.digests[i];
		const char *from = q->ranges[i].from.ptr ? q->ranges[i].from.ptr : "a";
		d->splits = arena_array(a, 2, sizeof *d->splits);
		d->splits[0] = str_of(arena_printf(a, "%s0", from));
		d->splits[1] = str_of(arena_printf(a, "%s1", from));
		d->n_splits = q->ranges[i].to.len > q->ranges[i].from.len ? 0 : 2;
	}
}

/* Two users, and then as many as anybody wants to have. */
static void two_and_no_end(struct message *answer, const struct message *query, struct arena *a, size_t n)
{
	if (query->kind == MESSAGE_DIGEST_QUERY) {
		say_digests(answer, &query->digest_query, a, 2, 0);
		return;
	}
	const char *names[] = { arena_printf(a, "u%08zu", 2 * n), arena_printf(a, "u%08zu", 2 * n + 1) };
	say_users(answer, a, names, 2, true);
}

/* That digests differ, though the lists are the same. */
static void same_lists(struct message *answer, const struct message *query, struct arena *a, size_t n)
{
	static const char *const names[] = { "a", "b" };
	(void)n;
	if (query->kind == MESSAGE_DIGEST_QUERY)
		say_digests(answer, &query->digest_query, a, 2, 0);
	else
		say_users(answer, a, names, 2, false);
}

/* Nobody at either side, and yet different. */
static void nobody_twice(struct message *answer, const struct message *query, struct arena *a, size_t n)
{
	(void)n;
	assert_int_equal(query->kind, MESSAGE_DIGEST_QUERY);
	say_digests(answer, &query->digest_query, a, 0, 0);
}

static void fewer_than_counted(struct message *answer, const struct message *query, struct arena *a, size_t n)
{
	static const char *const names[] = { "a" };
	(void)n;
	if (query->kind == MESSAGE_DIGEST_QUERY)
		say_digests(answer, &query->digest_query, a, query->digest_query.believed ? 0 : 2, 0);
	else
		say_users(answer, a, names, 1, false);
}

static void impossibly_many(struct message *answer, const struct message *query, struct arena *a, size_t n)
{
	(void)n;
	say_digests(answer, &query->digest_query, a, UINT64_MAX, 0);
}

/* None of these keeps us, and none ends as if there were no differences. */
static void who_contradicts_himself_is_not_believed(void **state)
{
	static script *const scripts[] = { a_million_everywhere, two_and_no_end, same_lists, nobody_twice,
					   fewer_than_counted, impossibly_many };
	(void)state;
	for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
		size_t found;
		if (!converse(scripts[i], 3000, &found))
			fail_msg("script %zu is believed", i);
	}
}

/* A user comes between the digest and the list: what there is is compared again, and found once. */
static void one_more_meanwhile(struct message *answer, const struct message *query, struct arena *a, size_t n)
{
	static const char *const names[] = { "a", "b", "c" };
	bool believed = query->kind == MESSAGE_DIGEST_QUERY ? query->digest_query.believed : query->users_query.believed;
	size_t users = believed ? 1 : n < 2 ? 2 : 3;
	if (query->kind == MESSAGE_DIGEST_QUERY)
		say_digests(answer, &query->digest_query, a, users, (uint8_t)users);
	else
		say_users(answer, a, names, users, false);
}

static void changes_meanwhile_are_no_contradiction(void **state)
{
	size_t found;
	(void)state;
	assert_null(converse(one_more_meanwhile, 20, &found));
	assert_int_equal(found, 2);
}

static void refuses_pages_out_of_order(void **state)
{
	static const char *const names[][3] = {
		{ "a", "b", "b" }, { "b", "a", "c" }, { "a", "b", "c" }, { "a", "b", "c" },
	};
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct range_digest home = { .users = 0 }, partner = { .users = 3 };
		struct message m, a = { .kind = MESSAGE_DIGEST_PAGE, .digest_page = { .n_digests = 1 } };
		struct user_entry users[3] = { { .revision = 1 }, { .revision = 1 }, { .revision = 1 } };
		struct reconcile r;
		struct arena *arena = arena_new(0);
		assert_true(reconcile_init(&r, arena, STR("fire.example")));
		for (int side = 0; side < 2; side++) {
			assert_true(reconcile_next(&r, &m));
			a.digest_page.digests = side ? &partner : &home;
			assert_null(reconcile_take(&r, &a));
		}
		assert_true(reconcile_next(&r, &m) && m.kind == MESSAGE_USERS_QUERY && !m.users_query.believed);
		for (size_t k = 0; k < 3; k++)
			users[k].mc_id = str_of(names[i][k]);
		if (i == 3)
			users[1].revision = 0;
		a = (struct message){ .kind = MESSAGE_USERS_PAGE, .users_page = { .users = users, .n_users = 3 } };
		assert_int_equal(reconcile_take(&r, &a) == NULL, i == 2);
		reconcile_free(&r);
		arena_free(arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_differs),
		cmocka_unit_test(costs_little_when_little_differs),
		cmocka_unit_test(one_difference_takes_a_dozen_queries),
		cmocka_unit_test(everything_is_listed_when_one_side_is_empty),
		cmocka_unit_test(refuses_splits_out_of_order),
		cmocka_unit_test(who_contradicts_himself_is_not_believed),
		cmocka_unit_test(changes_meanwhile_are_no_contradiction),
		cmocka_unit_test(refuses_pages_out_of_order),
	};
	return cmocka_run_group_tests_name("reconcile", tests, NULL, NULL);
}
