#include "acms/commit_internal.h"

#include <stdlib.h>

/* What time does to the store: PROTOCOL.md 5.3, 5.5, 5.6. */

enum { SWEEP_USERS = 2000, SWEEP_REQUESTS = 500, SWEEP_PENDING_USERS = 20000 };
/* An answer can be as late as the longest deadline. */
static const uint64_t believed_past_end_ms = 31ull * 24 * 3600 * 1000;

bool validity_ended(struct validity v, uint64_t now_ms)
{
	return v.not_after_ms != 0 && v.not_after_ms <= now_ms;
}

/* --- users --- */

static int compare_keys(const void *a, const void *b)
{
	const struct user_key *x = a, *y = b;
	int c = str_cmp(x->home, y->home);
	return c ? c : str_cmp(x->mc_id, y->mc_id);
}

size_t expire_sort(struct user_key *keys, size_t n)
{
	size_t kept = 0;
	if (n > 0)
		qsort(keys, n, sizeof *keys, compare_keys);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || compare_keys(&keys[kept - 1], &keys[i]) != 0)
			keys[kept++] = keys[i];
	}
	return kept;
}

/*
 * One whose record cannot be read goes, too, for who is not vouched for must not stay. Her MC service IDs are not known: an
 * owner who is not there is as good as none.
 */
static bool expire_user(struct store_txn *t, struct arena *a, const struct user_key *key)
{
	struct user_record r;
	if (!store_get_user(t, a, STORE_USERS, key->home, key->mc_id, &r)) {
		bool damaged = store_pass_over(t);
		if (damaged || key->not_after_ms)
			store_drop_user(t, STORE_USERS, key->home, key->mc_id, key->not_after_ms);
		return damaged;
	}
	for (size_t i = 0; i < r.n_service_ids; i++)
		store_delete_owner(t, r.service_ids[i].mc_service_id);
	store_delete_user(t, STORE_USERS, key->home, key->mc_id, &r);
	return true;
}

/* Of one home system. How many there were. */
static size_t expire_of(struct store_txn *t, struct arena *a, const struct user_key *keys, size_t n,
		      uint64_t now_ms)
{
	struct system_record system = { 0 };
	struct str *mc_ids = arena_array(a, n, sizeof *mc_ids);
	struct audit_record audit = { .at_ms = now_ms,
				      .action = AUDIT_EXPIRE,
				      .home = keys[0].home,
				      .certificate = STR("none: validity ended"),
				      .mc_ids = mc_ids };
	for (size_t i = 0; mc_ids && i < n; i++) {
		if (expire_user(t, a, &keys[i]))
			mc_ids[audit.n_mc_ids++] = keys[i].mc_id;
	}
	audit.removed = audit.n_mc_ids;
	if (audit.n_mc_ids == 0)
		return 0;
	bool counted = store_get_system(t, a, keys[0].home, &system);
	if (counted) {
		system.users_held -= audit.removed < system.users_held ? audit.removed : system.users_held;
		store_put_system(t, a, keys[0].home, &system);
	} else {
		store_pass_over(t); /* her end must not wait for that */
	}
	store_append_audit(t, a, &audit);
	return audit.n_mc_ids;
}

size_t expire_users(struct store_txn *t, struct arena *a, const struct user_key *keys, size_t n,
		    uint64_t now_ms)
{
	size_t removed = 0;
	for (size_t from = 0, to; from < n; from = to) {
		for (to = from + 1; to < n && str_eq(keys[to].home, keys[from].home);)
			to++;
		removed += expire_of(t, a, keys + from, to - from, now_ms);
	}
	return removed;
}

struct found_users {
	struct arena *arena;
	struct user_key *keys;
	size_t n;
};

static bool take_user(void *context, struct str home, struct str mc_id, uint64_t not_after_ms)
{
	struct found_users *f = context;
	struct user_key copy = { arena_str(f->arena, home), arena_str(f->arena, mc_id), not_after_ms };
	if (copy.home.ptr && copy.mc_id.ptr)
		f->keys[f->n++] = copy;
	return f->n < SWEEP_USERS;
}

static struct found_users find_ended(struct store_txn *t, struct arena *a, enum store_users which,
				     uint64_t now_ms)
{
	struct found_users f = { .arena = a, .keys = arena_array(a, SWEEP_USERS, sizeof *f.keys) };
	if (f.keys)
		store_list_expired(t, which, now_ms, take_user, &f);
	return f;
}

/* True: there may be more, and looking again will help. */
static bool sweep_users(struct store_txn *t, struct arena *a, uint64_t now_ms)
{
	struct found_users f = find_ended(t, a, STORE_USERS, now_ms);
	bool full = f.n == SWEEP_USERS;
	return expire_users(t, a, f.keys, expire_sort(f.keys, f.n), now_ms) > 0 && full;
}

/*
 * What we believed of a partner's store: the partner removes its own. Look-ups pass over what has ended; it stays for a
 * while, since an answer may still come of what was done to the user before its end.
 */
static bool sweep_believed(struct store_txn *t, struct arena *a, uint64_t now_ms)
{
	struct found_users f = find_ended(t, a, STORE_BELIEVED,
					  now_ms > believed_past_end_ms ? now_ms - believed_past_end_ms : 0);
	size_t removed = 0;
	for (size_t i = 0; i < f.n; i++) {
		const struct user_key *k = &f.keys[i];
		struct user_record r;
		if (store_get_user(t, a, STORE_BELIEVED, k->home, k->mc_id, &r)) {
			store_delete_user(t, STORE_BELIEVED, k->home, k->mc_id, &r);
			removed++;
		} else {
			store_pass_over(t);
			store_drop_user(t, STORE_BELIEVED, k->home, k->mc_id, k->not_after_ms);
		}
	}
	return removed > 0 && f.n == SWEEP_USERS;
}

/* --- requests --- */

struct request_key {
	struct str home;
	struct request_id id;
};

struct found_requests {
	struct arena *arena;
	uint64_t now_ms;
	struct request_key *keys;
	size_t n, most, seen, weight;
	uint64_t next_ms;
	struct sweep_place place;
	bool failed;
};

static void move_place(struct sweep_place *p, struct str home, struct request_id id)
{
	p->started = true;
	p->home_len = home.len < sizeof p->home ? home.len : sizeof p->home;
	memcpy(p->home, home.ptr, p->home_len);
	p->id = id;
}

static void take_request(struct found_requests *f, struct str home, struct request_id id)
{
	struct str copy = arena_str(f->arena, home);
	f->failed |= !copy.ptr;
	if (copy.ptr)
		f->keys[f->n++] = (struct request_key){ copy, id };
}

static bool look_at_request(void *context, struct str home, struct request_id id,
			    const struct request_record *r)
{
	struct found_requests *f = context;
	if (r && r->keep_until_ms <= f->now_ms)
		take_request(f, home, id);
	move_place(&f->place, home, id);
	return ++f->seen < f->most && !f->failed;
}

static bool look_at_pending(void *context, struct str home, struct request_id id,
			    const struct pending_record *r)
{
	struct found_requests *f = context;
	if (r->decide_until_ms <= f->now_ms)
		take_request(f, home, id);
	else if (r->decide_until_ms < f->next_ms)
		f->next_ms = r->decide_until_ms;
	f->weight += 1 + r->setup.n_users;
	move_place(&f->place, home, id);
	return ++f->seen < f->most && f->weight < SWEEP_PENDING_USERS && !f->failed;
}

static bool find_start(struct found_requests *f, struct arena *a, const struct sweep_place *from)
{
	f->arena = a;
	f->place = *from;
	f->next_ms = UINT64_MAX;
	f->most = SWEEP_REQUESTS;
	f->keys = arena_array(a, f->most, sizeof *f->keys);
	return f->keys != NULL;
}

static void prune(struct store_txn *t, struct arena *a, const struct commit_sweep *what,
		  uint64_t now_ms, struct commit_swept *out)
{
	const struct sweep_place *from = &what->requests;
	struct found_requests f = { .now_ms = now_ms };
	uint64_t since_ms = now_ms >= what->keep_ms ? now_ms - what->keep_ms + 1 : 0; /* are kept for now */
	struct str home = { from->home, from->home_len };
	if (!find_start(&f, a, from)) {
		store_fail_memory(t);
		return;
	}
	bool all = store_list_requests(t, from->started ? &home : NULL,
				       from->started ? &from->id : NULL, since_ms, look_at_request, &f);
	for (size_t i = 0; i < f.n; i++)
		store_delete_request(t, f.keys[i].home, f.keys[i].id);
	out->again |= f.n == f.most; /* as many come as go, perhaps */
	if (!all)
		out->requests = f.place;
}

/* --- pending --- */

static void time_out(struct store_txn *t, struct arena *a, const struct request_key *key,
		     uint64_t now_ms, struct commit_swept *out)
{
	struct pending_record p;
	struct work w;
	struct swept *to = &out->answered[out->n_answered];
	if (!store_get_pending(t, a, key->home, key->id, &p))
		return;
	struct commit_setup what = { .setup = p.setup,
				     .home = key->home,
				     .certificate = STR("none: nobody decided"),
				     .action = AUDIT_EXPIRE };
	if (!work_start(&w, t, a, &what, now_ms, &to->answer))
		return;
	store_pass_over(t); /* the home system's counts are not needed */
	memcpy(w.content, p.content, DIGEST_SIZE);
	to->answer.verdict = (struct verdict){ .cause = CAUSE_APPROVAL_TIMEOUT };
	w.plan.verdict = to->answer.verdict;
	work_finish(&w);
	store_delete_pending(t, key->home, key->id);
	to->home = key->home;
	to->setup = p.setup;
	out->n_answered++;
}

static void sweep_pending(struct store_txn *t, struct arena *a, const struct commit_sweep *what,
			  uint64_t now_ms, struct commit_swept *out)
{
	const struct sweep_place *from = &what->pending;
	struct found_requests f = { .now_ms = now_ms };
	struct str home = { from->home, from->home_len };
	if (!find_start(&f, a, from)) {
		store_fail_memory(t);
		return;
	}
	bool all = store_list_pending(t, STR_NONE, from->started ? &home : NULL,
				      from->started ? &from->id : NULL, look_at_pending, &f);
	out->answered = arena_array(a, f.n, sizeof *out->answered);
	for (size_t i = 0; out->answered && i < f.n; i++)
		time_out(t, a, &f.keys[i], now_ms, out);
	out->next_pending_ms = f.next_ms;
	if (f.failed || out->n_answered < f.n) /* none must be passed over: the same again */
		store_fail_memory(t);
	if (!all)
		out->pending = f.place;
}

void commit_sweep(struct store_txn *t, struct arena *work, const struct commit_sweep *what,
		  uint64_t now_ms, struct commit_swept *out)
{
	*out = (struct commit_swept){ .next_pending_ms = UINT64_MAX };
	out->again = sweep_users(t, work, now_ms);
	out->again |= sweep_believed(t, work, now_ms);
	if (what->look_at_requests)
		prune(t, work, what, now_ms, out);
	if (what->look_at_pending) {
		sweep_pending(t, work, what, now_ms, out);
		out->again |= out->pending.started;
	}
}
