// needs: acms/plan.c common/arena.c
#include "acms/plan.h"
#include "unit.h"

static const struct user_service_id X = { 1, { "sip:x@h.example", 15 } }, Y = { 1, { "sip:y@h.example", 15 } };

static struct setup make_setup(struct setup_user *users, size_t n, enum operation operation)
{
	struct setup s = { .users = users, .n_users = n, .request_id = { "new" }, .operation = operation };
	for (size_t i = 0; i < n; i++)
		s.n_service_ids += users[i].n_service_ids;
	return s;
}

static struct plan make(struct arena *a, const struct setup *s, const struct plan_user *known, uint64_t held, uint64_t most)
{
	struct plan p;
	struct plan_question q = { .setup = s, .home = STR("home.example"), .known = known, .held = held, .most = most, .now_ms = 77 };
	assert_true(plan_make(a, &q, &p));
	return p;
}

static struct plan run(struct arena *a, struct setup_user *users, size_t n, const struct plan_user *known, uint64_t held,
		       uint64_t most)
{
	struct setup s = make_setup(users, n, OPERATION_SETUP);
	return make(a, &s, known, held, most);
}

/* --- setup --- */

static void created_unchanged_replaced_kept(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct plan_owner none = { 0 }, mine = { true, { STR("home.example"), STR("b") } };
	struct user_record had = { .revision = 4, .service_ids = &X, .n_service_ids = 1, .created_ms = 5, .changed_ms = 6 };
	struct setup_user users[] = { { STR("a"), &Y, 1, 0 }, { STR("b"), &X, 1, 0 }, { STR("c"), NULL, 0, 0 } };
	struct plan_user known[] = { { .owners = &none }, { true, had, &mine }, { true, had, NULL } };
	struct plan p = run(a, users, 3, known, 2, 3);
	assert_int_equal(p.verdict.cause, CAUSE_NO_CAUSE);
	assert_int_equal(p.changes[0].kind, USER_CREATED);
	assert_int_equal(p.changes[0].record.revision, 1);
	assert_int_equal(p.changes[0].record.created_ms, 77);
	assert_int_equal(p.changes[1].kind, USER_UNCHANGED);
	assert_int_equal(p.changes[2].kind, USER_UNCHANGED); /* not provided: kept */
	assert_int_equal(p.n_released, 0);
	assert_int_equal(p.n_revisions, 3);
	assert_int_equal(p.revisions[0], 1);
	assert_int_equal(p.revisions[2], 4);
	users[1].service_ids = &Y, users[0].n_service_ids = 0;
	mine.found = false;
	p = run(a, users, 2, known, 2, 3);
	assert_int_equal(p.changes[1].kind, USER_REPLACED);
	assert_int_equal(p.changes[1].record.revision, 5);
	assert_int_equal(p.changes[1].record.created_ms, 5);
	assert_int_equal(p.changes[1].record.changed_ms, 77);
	assert_memory_equal(&p.changes[1].record.by, "new", 4);
	assert_int_equal(p.n_released, 1);
	assert_str(p.released[0], "sip:x@h.example");
	arena_free(a);
}

static void validity_is_kept_or_taken(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct plan_owner mine = { true, { STR("home.example"), STR("a") } };
	struct user_record had = { .revision = 4, .service_ids = &X, .n_service_ids = 1, .validity = { 1, 9 } };
	struct setup_user users[] = { { STR("a"), NULL, 0, 4 }, { STR("b"), NULL, 0, 0 } };
	struct plan_user known[] = { { true, had, &mine }, { 0 } };
	struct setup s = make_setup(users, 2, OPERATION_SETUP);
	struct plan p = make(a, &s, known, 1, 9);
	assert_int_equal(p.changes[0].kind, USER_UNCHANGED);
	assert_int_equal(p.changes[1].record.validity.not_after_ms, 0);
	s.has_validity = true;
	s.validity = (struct validity){ 1, 9 };
	p = make(a, &s, known, 1, 9);
	assert_int_equal(p.changes[0].kind, USER_UNCHANGED);
	assert_int_equal(p.changes[1].record.validity.not_after_ms, 9);
	s.validity.not_after_ms = 10; /* alone */
	p = make(a, &s, known, 1, 9);
	assert_int_equal(p.changes[0].kind, USER_REPLACED);
	assert_int_equal(p.changes[0].record.revision, 5);
	assert_int_equal(p.changes[0].record.validity.not_after_ms, 10);
	assert_int_equal(p.changes[0].record.n_service_ids, 1); /* of setup: kept */
	assert_int_equal(p.n_released, 0);
	s.has_validity = false;
	s.n_users = 1;
	s.operation = OPERATION_UPDATE; /* exactly what is given: nothing */
	p = make(a, &s, known, 1, 9);
	assert_int_equal(p.changes[0].kind, USER_REPLACED);
	assert_int_equal(p.changes[0].record.validity.not_after_ms, 0);
	assert_int_equal(p.changes[0].record.n_service_ids, 0);
	assert_int_equal(p.n_released, 1);
	arena_free(a);
}

static void somebody_elses(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct plan_owner third = { true, { STR("third.example"), STR("a") } }, sibling = { true, { STR("home.example"), STR("z") } };
	struct setup_user users[] = { { STR("a"), &X, 1, 0 }, { STR("b"), &Y, 1, 0 } };
	struct plan_user known[] = { { .owners = &third }, { .owners = &sibling } };
	struct plan p = run(a, users, 2, known, 0, 9);
	assert_int_equal(p.verdict.cause, CAUSE_MC_SERVICE_ID_IN_USE);
	assert_int_equal(p.verdict.n_identities, 2);
	assert_str(p.verdict.identities[1].mc_id, "b");
	assert_false(plan_applies(&p));
	assert_null(p.changes);
	arena_free(a);
}

static void a_swap_within_the_request(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct user_record has_x = { .revision = 1, .service_ids = &X, .n_service_ids = 1 },
			   has_y = { .revision = 1, .service_ids = &Y, .n_service_ids = 1 };
	struct plan_owner of_b = { true, { STR("home.example"), STR("b") } }, of_a = { true, { STR("home.example"), STR("a") } };
	struct setup_user users[] = { { STR("a"), &Y, 1, 0 }, { STR("b"), &X, 1, 0 } };
	struct plan_user known[] = { { true, has_x, &of_b }, { true, has_y, &of_a } };
	struct plan p = run(a, users, 2, known, 2, 2);
	assert_int_equal(p.verdict.cause, CAUSE_NO_CAUSE);
	assert_int_equal(p.replaced, 2);
	assert_int_equal(p.n_released, 2);
	users[1].n_service_ids = 0; /* b says nothing: it keeps y */
	p = run(a, users, 2, known, 2, 2);
	assert_int_equal(p.verdict.cause, CAUSE_MC_SERVICE_ID_IN_USE);
	users[0].expected_revision = users[1].expected_revision = 1;
	struct setup s = make_setup(users, 2, OPERATION_UPDATE); /* nothing given is nothing left */
	p = make(a, &s, known, 2, 2);
	assert_int_equal(p.verdict.cause, CAUSE_NO_CAUSE);
	arena_free(a);
}

static void quota(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct setup_user users[] = { { STR("a"), NULL, 0, 0 }, { STR("b"), NULL, 0, 0 } };
	struct plan_user known[] = { { 0 }, { 0 } };
	assert_int_equal(run(a, users, 2, known, 3, 5).verdict.cause, CAUSE_NO_CAUSE);
	assert_int_equal(run(a, users, 2, known, 4, 5).verdict.cause, CAUSE_USER_QUOTA_EXCEEDED);
	assert_int_equal(run(a, users, 2, known, 9, 5).verdict.cause, CAUSE_USER_QUOTA_EXCEEDED);
	assert_int_equal(run(a, users, 2, known, UINT64_MAX, UINT64_MAX).verdict.cause, CAUSE_USER_QUOTA_EXCEEDED);
	struct plan p = run(a, users, 2, known, 4, 5);
	assert_null(p.changes);
	assert_int_equal(p.created, 0);
	known[0].found = known[1].found = true; /* nobody new: a lowered quota hurts nobody */
	assert_int_equal(run(a, users, 2, known, 9, 5).verdict.cause, CAUSE_NO_CAUSE);
	arena_free(a);
}

/* --- update, remove --- */

static void updates_are_guarded(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct plan_owner none = { 0 };
	struct user_record had = { .revision = 4, .service_ids = &X, .n_service_ids = 1 };
	struct setup_user users[] = { { STR("a"), &Y, 1, 4 }, { STR("b"), NULL, 0, 1 } };
	struct plan_user known[] = { { true, had, &none }, { 0 } };
	struct setup s = make_setup(users, 1, OPERATION_UPDATE);
	struct plan p = make(a, &s, known, 1, 1);
	assert_int_equal(p.verdict.cause, CAUSE_NO_CAUSE);
	assert_int_equal(p.revisions[0], 5);
	users[0].expected_revision = 3;
	p = make(a, &s, known, 1, 1);
	assert_int_equal(p.verdict.cause, CAUSE_REVISION_MISMATCH);
	assert_null(p.verdict.identities[0].mc_service_id.ptr);
	assert_int_equal(p.n_revisions, 1); /* one for each user */
	assert_int_equal(p.revisions[0], 4);
	users[0].service_ids = &X; /* as it is: no harm */
	p = make(a, &s, known, 1, 1);
	assert_int_equal(p.verdict.cause, CAUSE_NO_CAUSE);
	assert_int_equal(p.changes[0].kind, USER_UNCHANGED);
	assert_int_equal(p.revisions[0], 4);
	s.n_users = 2;
	p = make(a, &s, known, 1, 9);
	assert_int_equal(p.verdict.cause, CAUSE_UNKNOWN_USER);
	assert_int_equal(p.verdict.n_identities, 1);
	s.best_effort = true;
	p = make(a, &s, known, 1, 9);
	assert_int_equal(p.verdict.cause, CAUSE_PARTLY_DONE);
	assert_int_equal(p.n_revisions, 2);
	assert_int_equal(p.revisions[0], 4);
	assert_int_equal(p.revisions[1], 0); /* was not done */
	arena_free(a);
}

static void removals(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct user_record had = { .revision = 4, .service_ids = &X, .n_service_ids = 1 };
	struct setup_user users[] = { { STR("a"), NULL, 0, 0 }, { STR("b"), NULL, 0, 7 } };
	struct plan_user known[] = { { true, had, NULL }, { 0 } };
	struct setup s = make_setup(users, 2, OPERATION_REMOVE);
	struct plan p = make(a, &s, known, 1, 0);
	assert_int_equal(p.verdict.cause, CAUSE_NO_CAUSE);
	assert_int_equal(p.changes[0].kind, USER_REMOVED);
	assert_int_equal(p.changes[1].kind, USER_UNCHANGED); /* was not there, whatever was expected */
	assert_int_equal(p.removed, 1);
	assert_int_equal(p.n_released, 1);
	assert_int_equal(p.n_revisions, 0);
	users[0].expected_revision = 5;
	p = make(a, &s, known, 1, 0);
	assert_int_equal(p.verdict.cause, CAUSE_REVISION_MISMATCH);
	assert_int_equal(p.revisions[0], 4);
	s.best_effort = true;
	p = make(a, &s, known, 1, 0);
	assert_int_equal(p.verdict.cause, CAUSE_PARTLY_DONE);
	assert_int_equal(p.changes[0].kind, USER_REFUSED);
	assert_int_equal(p.n_released, 0);
	users[0].expected_revision = 4;
	assert_int_equal(make(a, &s, known, 1, 0).verdict.cause, CAUSE_NO_CAUSE);
	arena_free(a);
}

/* --- best effort --- */

/* a wants what b has, b wants what c has, and c cannot be done: nobody moves. */
static void refusals_spread(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	const struct user_service_id z = { 1, STR("sip:z@h.example") }, w = { 1, STR("sip:w@h.example") };
	struct plan_owner of_b = { true, { STR("home.example"), STR("b") } }, of_c = { true, { STR("home.example"), STR("c") } },
			  of_third = { true, { STR("third.example"), STR("c") } };
	struct user_record b_has = { .revision = 1, .service_ids = &X, .n_service_ids = 1 },
			   c_has = { .revision = 1, .service_ids = &Y, .n_service_ids = 1 };
	struct setup_user users[] = { { STR("a"), &X, 1, 0 }, { STR("b"), &Y, 1, 0 }, { STR("c"), &z, 1, 0 }, { STR("d"), &w, 1, 0 } };
	struct plan_owner none = { 0 };
	struct plan_user known[] = { { .owners = &of_b }, { true, b_has, &of_c }, { true, c_has, &of_third }, { .owners = &none } };
	struct setup s = make_setup(users, 4, OPERATION_SETUP);
	s.best_effort = true;
	struct plan p = make(a, &s, known, 2, 9);
	assert_int_equal(p.verdict.cause, CAUSE_PARTLY_DONE);
	assert_int_equal(p.verdict.n_identities, 3);
	assert_str(p.verdict.identities[0].mc_service_id, "sip:x@h.example");
	assert_int_equal(p.created, 1);
	assert_int_equal(p.n_released, 0);
	s.n_users = 3, s.n_service_ids = 3;
	p = make(a, &s, known, 2, 9); /* nobody at all: the first one's cause */
	assert_int_equal(p.verdict.cause, CAUSE_MC_SERVICE_ID_IN_USE);
	assert_null(p.changes);
	arena_free(a);
}

static void outside_the_namespace(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct identity_cause refused[] = { { STR("a"), STR_NONE, CAUSE_OUTSIDE_NAMESPACE },
					    { STR("a"), X.mc_service_id, CAUSE_OUTSIDE_NAMESPACE } };
	struct plan_owner none = { 0 };
	struct setup_user users[] = { { STR("a"), &X, 1, 0 }, { STR("b"), &Y, 1, 0 } };
	struct plan_user known[] = { { .owners = &none }, { .owners = &none } };
	struct setup s = make_setup(users, 2, OPERATION_SETUP);
	struct plan_question q = { &s, STR("home.example"), known, refused, 2, 0, 1, 77 };
	struct plan p;
	s.best_effort = true;
	assert_true(plan_make(a, &q, &p));
	assert_int_equal(p.verdict.cause, CAUSE_PARTLY_DONE);
	assert_int_equal(p.verdict.n_identities, 2);
	assert_int_equal(p.changes[0].kind, USER_REFUSED);
	assert_int_equal(p.changes[1].kind, USER_CREATED);
	q.most = 0; /* the quota concerns the whole */
	assert_true(plan_make(a, &q, &p));
	assert_int_equal(p.verdict.cause, CAUSE_USER_QUOTA_EXCEEDED);
	assert_int_equal(p.verdict.n_identities, 0);
	arena_free(a);
}

/* --- best effort against a naive model --- */

enum { USERS = 7, IDS = 8, ROUNDS = 20000 };

static const char *const user_names[USERS] = { "a", "b", "c", "d", "e", "f", "g" };
static const char *const id_names[IDS] = { "sip:0@h", "sip:1@h", "sip:2@h", "sip:3@h", "sip:4@h", "sip:5@h", "sip:6@h", "sip:7@h" };

/* What is stored: for each user whether it is there, its MC service IDs as bits, and its revision. */
struct model {
	bool there[USERS];
	unsigned ids[USERS];
	unsigned foreign; /* MC service IDs of another home system */
};

struct asked {
	enum operation operation;
	bool in[USERS], outside[USERS], wrong[USERS];
	unsigned ids[USERS];
};

static unsigned seed = 1;

static unsigned rnd(unsigned n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 16) % n;
}

static void random_case(struct model *m, struct asked *q)
{
	memset(m, 0, sizeof *m);
	memset(q, 0, sizeof *q);
	q->operation = (enum operation)rnd(OPERATIONS);
	for (int u = 0; u < USERS; u++) {
		m->there[u] = rnd(4) > 0;
		q->in[u] = rnd(3) > 0;
		q->outside[u] = rnd(10) == 0;
		q->wrong[u] = rnd(8) == 0;
	}
	for (int i = 0; i < IDS; i++) {
		unsigned owner = rnd(USERS + 3), wants = rnd(USERS + 2);
		if (owner < USERS && m->there[owner])
			m->ids[owner] |= 1u << i;
		else if (owner == USERS)
			m->foreign |= 1u << i;
		if (wants < USERS && q->in[wants] && q->operation != OPERATION_REMOVE)
			q->ids[wants] |= 1u << i;
	}
}

/* The user's MC service IDs afterwards. */
static unsigned after(const struct model *m, const struct asked *q, int u)
{
	if (q->operation == OPERATION_REMOVE)
		return 0;
	return q->operation == OPERATION_SETUP && q->ids[u] == 0 ? m->ids[u] : q->ids[u];
}

static bool good_alone(const struct model *m, const struct asked *q, int u)
{
	bool same = m->there[u] && q->operation != OPERATION_REMOVE && after(m, q, u) == m->ids[u];
	if (!q->in[u] || q->outside[u])
		return false;
	if (q->operation == OPERATION_UPDATE && !same)
		return m->there[u] && !q->wrong[u];
	return q->operation != OPERATION_REMOVE || !m->there[u] || !q->wrong[u];
}

/* Whether the request could be done for exactly these users. */
static bool consistent(const struct model *m, const struct asked *q, unsigned set)
{
	unsigned used = m->foreign;
	for (int u = 0; u < USERS; u++) {
		bool in = set >> u & 1;
		unsigned has = in ? after(m, q, u) : m->ids[u];
		if ((in && !good_alone(m, q, u)) || (used & has))
			return false;
		used |= has;
	}
	return true;
}

static unsigned largest(const struct model *m, const struct asked *q)
{
	unsigned best = 0;
	for (unsigned set = 0; set < 1u << USERS; set++) {
		if (consistent(m, q, set))
			best |= set; /* of two, both together are, too: asserted below */
	}
	assert_true(consistent(m, q, best));
	return best;
}

static const struct user_service_id *ids_of(struct arena *a, unsigned bits, size_t *n)
{
	struct user_service_id *ids = arena_array(a, IDS, sizeof *ids);
	*n = 0;
	for (int i = 0; i < IDS; i++) {
		if (bits >> i & 1)
			ids[(*n)++] = (struct user_service_id){ 1, str_of(id_names[i]) };
	}
	return ids;
}

static struct plan_owner owner_of(const struct model *m, struct str id)
{
	for (int u = 0; u < USERS; u++) {
		for (int i = 0; i < IDS; i++) {
			if ((m->ids[u] >> i & 1) && str_eq(id, str_of(id_names[i])))
				return (struct plan_owner){ true, { STR("home.example"), str_of(user_names[u]) } };
			if ((m->foreign >> i & 1) && str_eq(id, str_of(id_names[i])))
				return (struct plan_owner){ true, { STR("third.example"), str_of(user_names[u]) } };
		}
	}
	return (struct plan_owner){ .found = false };
}

static void ask_users(struct arena *a, const struct model *m, const struct asked *q, struct setup *s, struct plan_user *known,
		      struct identity_cause *refused, size_t *n_refused)
{
	*s = (struct setup){ .users = arena_array(a, USERS, sizeof *s->users), .operation = q->operation, .best_effort = true };
	*n_refused = 0;
	for (int u = 0; u < USERS; u++) {
		struct setup_user *to = &s->users[s->n_users];
		struct plan_user *k = &known[s->n_users];
		struct plan_owner *owners = arena_array(a, IDS, sizeof *owners);
		if (!q->in[u])
			continue;
		to->mc_id = str_of(user_names[u]);
		to->service_ids = ids_of(a, q->ids[u], &to->n_service_ids);
		to->expected_revision = q->operation == OPERATION_SETUP ? 0 : q->wrong[u] ? 6 : 5;
		*k = (struct plan_user){ .found = m->there[u], .record = { .revision = 5 }, .owners = owners };
		k->record.service_ids = ids_of(a, m->ids[u], &k->record.n_service_ids);
		for (size_t j = 0; j < to->n_service_ids; j++)
			owners[j] = owner_of(m, to->service_ids[j].mc_service_id);
		if (q->outside[u])
			refused[(*n_refused)++] = (struct identity_cause){ to->mc_id, STR_NONE, CAUSE_OUTSIDE_NAMESPACE };
		s->n_service_ids += to->n_service_ids;
		s->n_users++;
	}
}

/* What is released and what remains adds up. */
static void check_released(const struct model *m, const struct asked *q, unsigned set, const struct plan *p)
{
	size_t expected = 0;
	for (int u = 0; u < USERS; u++) {
		if (set >> u & 1)
			expected += (size_t)__builtin_popcount(m->ids[u] & ~after(m, q, u));
	}
	assert_int_equal(p->n_released, expected);
}

static void as_the_model_says(void **state)
{
	(void)state;
	unsigned partly = 0, whole = 0, nobody = 0;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct arena *a = arena_new(0);
		struct model m;
		struct asked asked;
		struct setup s;
		struct plan_user known[USERS];
		struct identity_cause refused[USERS];
		struct plan_question q = { .setup = &s, .home = STR("home.example"), .known = known, .refused = refused, .held = 9, .most = 99 };
		struct plan p;
		random_case(&m, &asked);
		ask_users(a, &m, &asked, &s, known, refused, &q.n_refused);
		unsigned set = largest(&m, &asked), in = 0, done = 0;
		assert_true(plan_make(a, &q, &p));
		for (size_t i = 0; i < s.n_users; i++) {
			unsigned bit = 1u << (s.users[i].mc_id.ptr[0] - 'a');
			in |= bit;
			if (p.changes && p.changes[i].kind != USER_REFUSED)
				done |= bit;
		}
		if (s.n_users > 0)
			assert_int_equal(done, set);
		assert_int_equal(plan_applies(&p), p.changes != NULL);
		assert_int_equal(p.verdict.cause == CAUSE_NO_CAUSE, set == in);
		assert_int_equal(p.verdict.cause == CAUSE_PARTLY_DONE, set != in && set != 0);
		if (p.changes)
			check_released(&m, &asked, set, &p);
		partly += set != in && set != 0, whole += set == in, nobody += set == 0 && in != 0;
		arena_free(a);
	}
	assert_true(partly > ROUNDS / 10 && whole > ROUNDS / 20 && nobody > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(created_unchanged_replaced_kept),
		cmocka_unit_test(validity_is_kept_or_taken),
		cmocka_unit_test(somebody_elses),
		cmocka_unit_test(a_swap_within_the_request),
		cmocka_unit_test(quota),
		cmocka_unit_test(updates_are_guarded),
		cmocka_unit_test(removals),
		cmocka_unit_test(refusals_spread),
		cmocka_unit_test(outside_the_namespace),
		cmocka_unit_test(as_the_model_says),
	};
	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
