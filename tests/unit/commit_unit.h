#include "acms/commit.h"
#include "common/content.h"
#include "common/crypto.h"
#include "store_unit.h"

/* What the unit tests of acms/commit.h share: a transaction for each request, decision and sweep, on a real disk. */

enum { HOUR = 3600 * 1000 };

static struct store *store;
static struct arena *arena; /* of the test */
static uint64_t now;

static inline int start(void **state)
{
	if (make_directory(state) != 0)
		return -1;
	store = open_as(STORE_SERVE, 1 << 20);
	arena = arena_new(0);
	now = 1000000;
	return 0;
}

static inline int end(void **state)
{
	store_close(store);
	arena_free(arena);
	return remove_directory(state);
}

/* "a=sip:x,sip:y b c=sip:z": sorted; a time and an expiry. */
static inline struct commit_setup ask(const char *text, uint8_t id)
{
	struct commit_setup w = { .home = HOME, .certificate = STR("DNS:acms.police.example"), .must_expire = true,
				  .most_users = 100, .most_pending = 2, .decide_within_ms = HOUR };
	char *copy = arena_printf(arena, "%s", text), *rest = NULL;
	struct setup *s = &w.setup;
	s->request_id.bytes[0] = id;
	s->expires_ms = now + 2 * HOUR;
	s->users = arena_array(arena, 16, sizeof *s->users);
	for (char *p = strtok_r(copy, " ", &rest); p; p = strtok_r(NULL, " ", &rest)) {
		struct setup_user *u = &s->users[s->n_users++];
		struct user_service_id *ids = arena_array(arena, 8, sizeof *ids);
		char *inner = NULL;
		u->mc_id = str_of(strtok_r(p, "=", &inner));
		u->service_ids = ids;
		for (char *i; (i = strtok_r(NULL, ",", &inner)); s->n_service_ids++)
			ids[u->n_service_ids++] = (struct user_service_id){ MC_SERVICE_MCPTT, str_of(i) };
	}
	return w;
}

/* In a transaction of its own; the answer lives as long as the test. */
static inline struct commit_answer commit(const struct commit_setup *what)
{
	struct commit_answer out;
	struct store_txn *t = writing(store);
	commit_setup(t, arena, what, now, &out);
	assert_int_equal(store_commit(t, NULL), OK);
	return out;
}

static inline enum cause cause_of(const struct commit_setup *what)
{
	return commit(what).verdict.cause;
}

/* What its receipt is about. */
static inline void assert_content_of(const struct commit_answer *a, const struct setup *s)
{
	uint8_t digest[DIGEST_SIZE];
	assert_int_equal(crypto_sha256(setup_content(arena, s), digest), OK);
	assert_memory_equal(a->content, digest, DIGEST_SIZE);
}

static inline uint64_t held(struct str home)
{
	struct store_txn *t = reading(store);
	struct system_record r = { 0 };
	store_get_system(t, arena, home, &r);
	store_abort(t);
	return r.users_held;
}

static inline bool owned(const char *id)
{
	struct store_txn *t = reading(store);
	struct owner_record r;
	bool found = store_get_owner(t, arena, str_of(id), &r);
	store_abort(t);
	return found;
}

struct log {
	size_t n;
	struct audit_record last;
};

static inline bool each_entry(void *context, uint64_t number, struct str value)
{
	struct log *l = context;
	(void)number;
	l->n++;
	assert_int_equal(record_decode_audit(arena, arena_str(arena, value), &l->last, NULL), OK);
	return true;
}

static inline struct log audit_log(void)
{
	struct log l = { 0 };
	struct store_txn *t = reading(store);
	assert_true(store_list_audit(t, 1, each_entry, &l));
	store_abort(t);
	return l;
}

static inline struct commit_swept sweep(struct commit_sweep *what)
{
	struct commit_swept out;
	struct store_txn *t = writing(store);
	commit_sweep(t, arena, what, now, &out);
	assert_int_equal(store_commit(t, NULL), OK);
	what->requests = out.requests;
	what->pending = out.pending;
	return out;
}

static inline struct commit_found find_of(const struct str *homes, size_t n, uint8_t id)
{
	struct str known[] = { HOME, STR("rail.example"), STR("sea.example") };
	struct commit_find what = { homes, n, known, 3, { { id } } };
	struct commit_found out;
	struct store_txn *t = reading(store);
	commit_find(t, arena, &what, &out);
	assert_false(out.failed);
	store_abort(t);
	return out;
}

static inline struct commit_found find(uint8_t id)
{
	return find_of((struct str[]){ HOME, STR("rail.example") }, 2, id);
}

static inline struct commit_decided decide(const struct commit_setup *what, bool approve)
{
	struct commit_decision d = { .what = *what, .approve = approve, .decided_by = { STR("ops"), STR("because"), 0 } };
	struct commit_decided out;
	struct store_txn *t = writing(store);
	d.what.certificate = STR("DNS:ops.fire.example");
	commit_decision(t, arena, &d, now, &out);
	assert_int_equal(store_commit(t, NULL), OK);
	return out;
}

#define COMMIT_TEST(f) cmocka_unit_test_setup_teardown(f, start, end)
