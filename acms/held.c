#include <stdlib.h>
#include "acms/damage.h"
#include "acms/digest.h"
#include "acms/server.h"

/*
 * UsersQuery and DigestQuery answered from the store (PROTOCOL.md 10): a home system's users here, or what we believe is
 * set up at a partner. In the committer's thread, but with so little in one go that commits do not wait for it.
 */

enum { PAGE_USERS = 1000, RUN_USERS = 20000 };

struct held_job {
	struct job job;
	struct query *query;
	struct arena *arena;  /* has the job */
	enum store_users which;
	struct str prefix;    /* the home system, or the partner */
	size_t most_bytes;    /* of a page, about */
	struct arena *work;   /* during a run */
	uint64_t now_ms;
	struct users_page users;
	size_t max, bytes;
	struct digesting *digest;
	struct digest_page digests;
};

/* Over is as good as removed: whether the server has come round to that must not make a difference. */
static bool counts(const struct user_record *r, uint64_t now_ms)
{
	return r->validity.not_after_ms == 0 || r->validity.not_after_ms > now_ms;
}

/* --- UsersQuery --- */

/* As it is on the wire, about. */
static size_t entry_bytes(struct str mc_id, const struct user_record *r)
{
	size_t n = 96 + mc_id.len;
	for (size_t i = 0; i < r->n_service_ids; i++)
		n += 12 + r->service_ids[i].mc_service_id.len;
	return n;
}

static bool copy_entry(struct arena *a, struct str mc_id, const struct user_record *r,
		       struct user_entry *out)
{
	out->mc_id = arena_str(a, mc_id);
	out->service_ids = arena_array(a, r->n_service_ids, sizeof *out->service_ids);
	bool good = out->mc_id.ptr && out->service_ids;
	for (size_t i = 0; good && i < r->n_service_ids; i++) {
		out->service_ids[i] = r->service_ids[i];
		out->service_ids[i].mc_service_id = arena_str(a, r->service_ids[i].mc_service_id);
		good = out->service_ids[i].mc_service_id.ptr != NULL;
	}
	return good;
}

static bool take_user(void *context, struct str prefix, struct str mc_id, const struct user_record *r)
{
	struct held_job *j = context;
	struct users_page *p = &j->users;
	const struct str after = j->query->message.users_query.after;
	struct user_entry e = { .n_service_ids = r->n_service_ids,
				.revision = r->revision,
				.validity = r->validity,
				.vouched = validity_covers(r->validity, j->now_ms),
				.changed_ms = r->changed_ms,
				.by = r->by };
	(void)prefix;
	if (!counts(r, j->now_ms) || (after.ptr && str_cmp(mc_id, after) <= 0))
		return true;
	j->bytes += entry_bytes(mc_id, r);
	if (p->n_users == j->max || (p->n_users > 0 && j->bytes > j->most_bytes)) {
		p->page.more = true;
		return false;
	}
	if (!copy_entry(j->work, mc_id, r, &e)) {
		p->page.cause = CAUSE_STORE_UNAVAILABLE;
		return false;
	}
	p->users[p->n_users++] = e;
	return true;
}

static int compare_strs(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Those named, as far as they are in the range; each once, in order. */
static void look_up_named(struct held_job *j, struct store_txn *t, const struct users_query *asked)
{
	struct str *ids = arena_array(j->work, asked->n_mc_ids, sizeof *ids);
	if (!ids) {
		j->users.page.cause = CAUSE_STORE_UNAVAILABLE;
		return;
	}
	memcpy(ids, asked->mc_ids, asked->n_mc_ids * sizeof *ids);
	qsort(ids, asked->n_mc_ids, sizeof *ids, compare_strs);
	for (size_t i = 0; i < asked->n_mc_ids; i++) {
		struct user_record r;
		if ((i > 0 && str_eq(ids[i], ids[i - 1])) || !mc_id_valid(ids[i]) ||
		    (asked->from.ptr && str_cmp(ids[i], asked->from) < 0) ||
		    (asked->to.ptr && str_cmp(ids[i], asked->to) >= 0))
			continue;
		if (store_get_user(t, j->work, j->which, j->prefix, ids[i], &r)) {
			if (!take_user(j, j->prefix, ids[i], &r))
				break;
		} else {
			store_pass_over(t);
		}
	}
}

static void run_users(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct held_job *j = (struct held_job *)job;
	const struct users_query *asked = &j->query->message.users_query;
	j->work = work;
	j->now_ms = now_ms;
	j->bytes = 0;
	j->users = (struct users_page){ .page = { .token = asked->token } };
	j->users.users = arena_array(work, j->max, sizeof *j->users.users);
	if (!j->users.users)
		j->users.page.cause = CAUSE_STORE_UNAVAILABLE;
	else if (asked->n_mc_ids > 0)
		look_up_named(j, t, asked);
	else
		store_range_users(t, j->which, j->prefix, asked->after.ptr ? asked->after : asked->from, asked->to, take_user,
				  j);
	j->users.page.detail = damage_detail(t);
}

static void done_users(struct job *job, enum status status)
{
	struct held_job *j = (struct held_job *)job;
	struct arena *a = j->arena;
	struct message m = { .kind = MESSAGE_USERS_PAGE, .users_page = j->users };
	if (status == OK && j->users.page.cause == CAUSE_NO_CAUSE)
		query_reply(j->query, &m);
	else
		query_refuse(j->query, CAUSE_STORE_UNAVAILABLE, NULL);
	arena_free(a);
}

/* --- DigestQuery --- */

struct digest_run {
	struct held_job *job;
	size_t left; /* users that this run may still look at */
};

static bool take_digest(void *context, struct str prefix, struct str mc_id,
			const struct user_record *r)
{
	struct digest_run *run = context;
	struct held_job *j = run->job;
	(void)prefix;
	if (run->left == 0)
		return false;
	run->left--;
	return digest_user(j->digest, mc_id, r, counts(r, j->now_ms));
}

static void run_digest(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct held_job *j = (struct held_job *)job;
	const struct digest_query *asked = &j->query->message.digest_query;
	struct digest_run run = { j, RUN_USERS };
	struct mc_id_range rest;
	(void)work;
	j->now_ms = now_ms;
	digest_begin(j->digest); /* at where the last run that is done ended */
	while (run.left > 0 && digest_next(j->digest, asked->ranges, asked->n_ranges, &rest)) {
		if (!store_range_users(t, j->which, j->prefix, rest.from, rest.to, take_digest,
				       &run))
			break;
		digest_end_range(j->digest);
	}
}

static void submit_digest(struct held_job *j);

static void done_digest(struct job *job, enum status status)
{
	struct held_job *j = (struct held_job *)job;
	const struct digest_query *asked = &j->query->message.digest_query;
	struct arena *a = j->arena;
	struct message m = { .kind = MESSAGE_DIGEST_PAGE };
	bool good = status == OK && digest_keep(j->digest);
	m.digest_page.page.token = asked->token;
	if (good && j->query->peer && !digest_complete(j->digest, asked->n_ranges)) {
		submit_digest(j);
		return;
	}
	good = good && digest_results(j->digest, j->most_bytes, &m.digest_page.digests);
	m.digest_page.n_digests = asked->n_ranges;
	digest_free(j->digest);
	if (good)
		query_reply(j->query, &m);
	else
		query_refuse(j->query, CAUSE_STORE_UNAVAILABLE, NULL);
	arena_free(a);
}

/* Its weight ends the batch: commits that wait are not kept by several of these. */
static void submit_digest(struct held_job *j)
{
	j->job = (struct job){ .run = run_digest, .done = done_digest, .weight = RUN_USERS };
	committer_submit(j->query->server->committer, &j->job);
}

/* --- both --- */

void held_query(struct query *q, enum store_users which, struct str prefix)
{
	bool users = q->message.kind == MESSAGE_USERS_QUERY;
	const struct users_query *u = &q->message.users_query;
	struct str asked = users ? u->mc_system_id : q->message.digest_query.mc_system_id;
	if (which == STORE_USERS && asked.ptr &&
	    !str_eq(asked, q->server->live->config->mc_system_id)) {
		query_refuse(q, CAUSE_WRONG_TARGET, NULL);
		return;
	}
	struct arena *a = arena_new(0);
	struct held_job *j = a ? arena_alloc(a, sizeof *j) : NULL;
	if (j) {
		j->query = q;
		j->arena = a;
		j->which = which;
		j->prefix = arena_str(a, prefix);
		j->most_bytes = peer_max_frame(q->peer) / 8;
		j->max = users && u->max && u->max < PAGE_USERS ? u->max : PAGE_USERS;
		j->digest = users ? NULL : digest_new(a, q->message.digest_query.n_ranges);
	}
	if (!j || !j->prefix.ptr || (!users && !j->digest)) {
		if (j)
			digest_free(j->digest);
		arena_free(a);
		query_refuse(q, CAUSE_STORE_UNAVAILABLE, "out of memory");
		return;
	}
	if (users) {
		j->job = (struct job){ .run = run_users, .done = done_users, .weight = PAGE_USERS };
		committer_submit(q->server->committer, &j->job);
	} else {
		submit_digest(j);
	}
}
