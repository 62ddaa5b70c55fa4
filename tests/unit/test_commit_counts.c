// needs: acms/commit.c acms/decide.c acms/expire.c acms/plan.c acms/store.c acms/store_open.c acms/store_file.c acms/store_txn.c acms/store_requests.c acms/store_audit.c acms/store_lists.c acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/setup.c common/content.c common/sort.c common/identity.c common/text.c common/arena.c common/error.c common/crypto.c common/cause.c
#include "commit_unit.h"

/* What is counted of a home system, and bounded by it. */

struct recount {
	uint64_t pending, pending_bytes, answers_bytes;
};

static bool count_pending(void *context, struct str home, struct request_id id, const struct pending_record *r)
{
	struct recount *c = context;
	if (!str_eq(home, HOME))
		return true;
	c->pending++;
	c->pending_bytes += home.len + 1 + sizeof id.bytes + record_encode_pending(arena, r).len + 16;
	return true;
}

static bool count_answer(void *context, struct str home, struct request_id id, const struct request_record *r)
{
	struct recount *c = context;
	if (str_eq(home, HOME))
		c->answers_bytes += home.len + 1 + sizeof id.bytes + record_encode_request(arena, r).len + 16;
	return true;
}

static struct system_record system_now(void)
{
	struct system_record r = { 0 };
	struct store_txn *t = reading(store);
	store_get_system(t, arena, HOME, &r);
	store_abort(t);
	return r;
}

static void assert_counted(void)
{
	struct recount c = { 0 };
	struct store_txn *t = reading(store);
	assert_true(store_list_pending(t, STR_NONE, NULL, NULL, count_pending, &c));
	assert_true(store_list_requests(t, NULL, NULL, UINT64_MAX, count_answer, &c));
	store_abort(t);
	struct system_record r = system_now();
	assert_int_equal(r.requests_pending, c.pending);
	assert_int_equal(r.pending_bytes, c.pending_bytes);
	assert_int_equal(r.answers_bytes, c.answers_bytes);
}

static void do_something(unsigned *seed, uint8_t id)
{
	static const char *const users[] = { "a=sip:a", "b=sip:a", "a b=sip:b", "c=sip:c d", "a" };
	struct commit_setup w = ask(users[(size_t)rand_r(seed) % 5], id);
	w.most_users = 3;
	w.approval = rand_r(seed) % 2 ? APPROVAL_MANUAL : APPROVAL_AUTOMATIC;
	w.setup.operation = (enum operation)(rand_r(seed) % 2 * OPERATION_REMOVE);
	if (w.setup.operation == OPERATION_REMOVE)
		w.setup.n_service_ids = w.setup.users[0].n_service_ids = w.setup.users[w.setup.n_users - 1].n_service_ids = 0;
	if (rand_r(seed) % 5 == 0)
		w.denied = (struct verdict){ .cause = CAUSE_OUTSIDE_NAMESPACE, .detail = "no" };
	commit(&w);
	if (commit(&w).pending && rand_r(seed) % 2) {
		w.setup = find(id).waiting->pending.setup;
		decide(&w, rand_r(seed) % 2);
	}
}

/* Whatever comes, in whatever order: the counts are what a recount gives, at the end of each transaction. */
static void counts_agree_with_a_recount(void **state)
{
	(void)state;
	unsigned seed = test_seed();
	for (int i = 0; i < 400; i++) {
		struct commit_sweep s = { .keep_ms = 10, .look_at_requests = true, .look_at_pending = true };
		do_something(&seed, (uint8_t)(rand_r(&seed) % 40));
		assert_counted();
		if (i % 10)
			continue;
		now += HOUR + HOUR / 2;
		sweep(&s);
		assert_counted();
	}
	assert_true(system_now().answers_bytes > 0);
}

/* It is not their number alone: what is decided makes room, and others have their own. */
static void what_waits_is_bounded_in_bytes(void **state)
{
	(void)state;
	struct commit_setup first = ask("a=sip:a b=sip:b", 1), other = ask("c", 1), done = ask("d", 201);
	first.approval = other.approval = APPROVAL_MANUAL;
	first.most_pending = other.most_pending = 100;
	first.most_pending_bytes = other.most_pending_bytes = done.most_pending_bytes = 1000;
	other.home = STR("rail.example");
	assert_true(commit(&first).pending);
	struct commit_setup w = first;
	uint8_t id = 2;
	for (; id < 100; id++) {
		w.setup.request_id.bytes[0] = id;
		if (!commit(&w).pending)
			break;
	}
	assert_in_range(id, 3, 20);
	struct commit_answer refused = commit(&w);
	assert_int_equal(refused.verdict.cause, CAUSE_TOO_MANY_PENDING);
	assert_non_null(strstr(refused.verdict.detail, "max_pending_bytes"));
	assert_in_range(system_now().pending_bytes, 1000, 1200);
	assert_true(commit(&first).repeated);
	assert_true(commit(&other).pending);
	assert_int_equal(cause_of(&done), CAUSE_NO_CAUSE);
	assert_counted();
	struct commit_setup decided = first;
	decided.setup = find(1).waiting->pending.setup;
	assert_int_equal(decide(&decided, false).cause, CAUSE_NO_CAUSE);
	assert_true(commit(&w).pending); /* the same: it was not recorded */
	assert_counted();
}

/* Who asks for ever with new IDs pays by himself; what is known is told again. */
static void kept_answers_are_bounded(void **state)
{
	(void)state;
	struct commit_setup first = ask("a=sip:a", 1), other = ask("b=sip:b", 1), dry = ask("c", 200);
	other.home = STR("rail.example");
	first.most_answers_bytes = other.most_answers_bytes = dry.most_answers_bytes = 2000;
	dry.setup.dry_run = true;
	assert_int_equal(cause_of(&first), CAUSE_NO_CAUSE);
	uint8_t id = 2;
	struct commit_setup w = first;
	for (; id < 100; id++) {
		w.setup.request_id.bytes[0] = id;
		if (cause_of(&w) != CAUSE_NO_CAUSE)
			break;
	}
	assert_in_range(id, 3, 50);
	assert_int_equal(cause_of(&w), CAUSE_TOO_MANY_ANSWERS);
	assert_in_range(system_now().answers_bytes, 2000, 2200);
	assert_true(commit(&first).repeated);
	assert_int_equal(cause_of(&dry), CAUSE_NO_CAUSE);
	assert_int_equal(cause_of(&other), CAUSE_NO_CAUSE);
	struct commit_sweep s = { .keep_ms = 10, .look_at_requests = true };
	now += 4 * HOUR;
	sweep(&s);
	w.setup.expires_ms = now + HOUR;
	assert_int_equal(cause_of(&w), CAUSE_NO_CAUSE); /* the same request: it was not recorded */
	assert_counted();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		COMMIT_TEST(counts_agree_with_a_recount),
		COMMIT_TEST(what_waits_is_bounded_in_bytes),
		COMMIT_TEST(kept_answers_are_bounded),
	};
	return cmocka_run_group_tests_name("commit_counts", tests, NULL, NULL);
}
