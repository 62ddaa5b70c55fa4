#include <stdlib.h>
#include "acms/damage.h"
#include "acms/digest.h"
#include "acms/server.h"

/*
 * UsersQuery and DigestQuery answered from the store (PROTOCOL.md 10): a home system's users here, or what we believe is
 * set up at a partner. In the reader's thread, step by step.
 */

enum { PAGE_USERS = 1000 };

struct held_job {
	struct job job;
	struct query *query;
	struct arena *arena;  /* has the job, and its answer */
	enum store_users which;
	struct str prefix;    /* the home system, or the partner */
	size_t most_bytes;    /* of a page, about */
	uint64_t now_ms;      /* of a step */
	size_t left;          /* users that it may still look at */
	bool end, failed;
	/* UsersQuery: */
	struct users_page users;
	size_t max, bytes;
	struct str *named;    /* those asked for, sorted; NULL: a range */
	size_t next;          /* of them */
	struct str last;      /* of the range, that was looked at; STR_NONE: none yet */
	char last_bytes[MC_ID_MAX + 1];
	/* DigestQuery: */
	struct digesting *digest;
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

/* False: the page is full, or out of memory. */
static bool take_user(struct held_job *j, struct str mc_id, const struct user_record *r)
{
	struct users_page *p = &j->users;
	const struct str after = j->query->message.users_query.after;
	struct user_entry e = { .n_service_ids = r->n_service_ids,
				.revision = r->revision,
				.validity = r->validity,
				.vouched = validity_covers(r->validity, j->now_ms),
				.changed_ms = r->changed_ms,
				.by = r->by };
	if (!counts(r, j->now_ms) || (after.ptr && str_cmp(mc_id, after) <= 0))
		return true;
	j->bytes += entry_bytes(mc_id, r);
	if (p->n_users == j->max || (p->n_users > 0 && j->bytes > j->most_bytes)) {
		p->page.more = true;
		return false;
	}
	if (!copy_entry(j->arena, mc_id, r, &e)) {
		j->failed = true;
		return false;
	}
	p->users[p->n_users++] = e;
	return true;
}

static bool take_of_range(void *context, struct str prefix, struct str mc_id, const struct user_record *r)
{
	struct held_job *j = context;
	(void)prefix;
	if (mc_id.len > MC_ID_MAX || (j->last.ptr && str_eq(j->last, mc_id))) /* taken by the step before */
		return true;
	if (j->left == 0)
		return false;
	j->left--;
	memcpy(j->last_bytes, mc_id.ptr, mc_id.len);
	j->last = (struct str){ j->last_bytes, mc_id.len };
	return take_user(j, mc_id, r);
}

static int compare_strs(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static bool sort_named(struct held_job *j, const struct users_query *asked)
{
	j->named = arena_array(j->arena, asked->n_mc_ids, sizeof *j->named);
	if (!j->named)
		return false;
	memcpy(j->named, asked->mc_ids, asked->n_mc_ids * sizeof *j->named);
	qsort(j->named, asked->n_mc_ids, sizeof *j->named, compare_strs);
	return true;
}

/* Those named, as far as they are in the range; each once, in order. */
static void look_up_named(struct held_job *j, struct store_txn *t, struct arena *work, const struct users_query *asked)
{
	bool go = true;
	for (; go && j->next < asked->n_mc_ids && j->left > 0; j->next++, j->left--) {
		struct str id = j->named[j->next];
		struct user_record r;
		if ((j->next > 0 && str_eq(id, j->named[j->next - 1])) ||
		    (asked->from.ptr && str_cmp(id, asked->from) < 0) ||
		    (asked->to.ptr && str_cmp(id, asked->to) >= 0))
			continue;
		if (store_get_user(t, work, j->which, j->prefix, id, &r))
			go = take_user(j, id, &r);
		else
			store_pass_over(t);
	}
	j->end = !go || j->next == asked->n_mc_ids; /* !go: the page is full, or it failed */
}

static void read_range(struct held_job *j, struct store_txn *t, const struct users_query *asked)
{
	struct str from = j->last.ptr ? j->last : asked->after.ptr ? asked->after : asked->from;
	bool all = store_range_users(t, j->which, j->prefix, from, asked->to, take_of_range, j);
	j->end = all || j->users.page.more || j->failed;
}

static void run_users(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct held_job *j = (struct held_job *)job;
	const struct users_query *asked = &j->query->message.users_query;
	j->now_ms = now_ms;
	j->left = READER_STEP;
	if (j->named)
		look_up_named(j, t, work, asked);
	else
		read_range(j, t, asked);
	if (!j->users.page.detail.ptr)
		j->users.page.detail = damage_detail(t);
}

static void submit(struct held_job *j)
{
	reader_submit(j->query->server->reader, &j->job);
}

/* Whoever asked may have gone: then what is left is not read. */
static void done_users(struct job *job, enum status status)
{
	struct held_job *j = (struct held_job *)job;
	struct arena *a = j->arena;
	struct message m = { .kind = MESSAGE_USERS_PAGE, .users_page = j->users };
	if (status == OK && !j->failed && !j->end && j->query->peer) {
		submit(j);
		return;
	}
	if (status == OK && !j->failed)
		query_reply(j->query, &m);
	else
		query_refuse(j->query, CAUSE_STORE_UNAVAILABLE, NULL);
	arena_free(a);
}

/* --- DigestQuery --- */

static bool take_digest(void *context, struct str prefix, struct str mc_id,
			const struct user_record *r)
{
	struct held_job *j = context;
	(void)prefix;
	if (j->left == 0)
		return false;
	j->left--;
	return digest_user(j->digest, mc_id, r, counts(r, j->now_ms));
}

static void run_digest(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct held_job *j = (struct held_job *)job;
	const struct digest_query *asked = &j->query->message.digest_query;
	struct mc_id_range rest;
	(void)work;
	j->now_ms = now_ms;
	j->left = READER_STEP;
	while (digest_next(j->digest, asked->ranges, asked->n_ranges, &rest)) {
		if (!store_range_users(t, j->which, j->prefix, rest.from, rest.to, take_digest, j))
			break;
		digest_end_range(j->digest);
	}
	j->end = digest_complete(j->digest);
	j->failed = digest_failed(j->digest);
}

static void done_digest(struct job *job, enum status status)
{
	struct held_job *j = (struct held_job *)job;
	struct arena *a = j->arena;
	struct message m = { .kind = MESSAGE_DIGEST_PAGE };
	bool good = status == OK && !j->failed;
	if (good && !j->end && j->query->peer) {
		submit(j);
		return;
	}
	m.digest_page = (struct digest_page){ .page.token = j->query->message.digest_query.token,
					      .digests = digest_results(j->digest, j->most_bytes),
					      .n_digests = j->query->message.digest_query.n_ranges };
	if (good)
		query_reply(j->query, &m);
	else
		query_refuse(j->query, CAUSE_STORE_UNAVAILABLE, NULL);
	digest_free(j->digest);
	arena_free(a);
}

/* --- both --- */

static bool prepare_users(struct held_job *j, const struct users_query *asked)
{
	j->job = (struct job){ .run = run_users, .done = done_users };
	j->max = asked->max && asked->max < PAGE_USERS ? asked->max : PAGE_USERS;
	j->users = (struct users_page){ .page = { .token = asked->token } };
	j->users.users = arena_array(j->arena, j->max, sizeof *j->users.users);
	return j->users.users && (asked->n_mc_ids == 0 || sort_named(j, asked));
}

static bool prepare_digest(struct held_job *j, const struct digest_query *asked)
{
	j->job = (struct job){ .run = run_digest, .done = done_digest };
	j->digest = digest_new(j->arena, asked->n_ranges);
	return j->digest;
}

static struct held_job *held_job_new(struct query *q, enum store_users which, struct str prefix)
{
	struct arena *a = arena_new(0);
	struct held_job *j = a ? arena_alloc(a, sizeof *j) : NULL;
	bool good = j && (j->prefix = arena_str(a, prefix)).ptr;
	if (good) {
		j->query = q;
		j->arena = a;
		j->which = which;
		j->most_bytes = peer_max_frame(q->peer) / 8;
		good = q->message.kind == MESSAGE_USERS_QUERY ? prepare_users(j, &q->message.users_query) :
								prepare_digest(j, &q->message.digest_query);
	}
	if (good)
		return j;
	arena_free(a);
	return NULL;
}

void held_query(struct query *q, enum store_users which, struct str prefix)
{
	const struct config *config = q->server->live->config;
	bool users = q->message.kind == MESSAGE_USERS_QUERY;
	struct str asked = users ? q->message.users_query.mc_system_id : q->message.digest_query.mc_system_id;
	struct held_job *j;
	if (which == STORE_USERS && asked.ptr && !str_eq(asked, config->mc_system_id))
		query_refuse(q, CAUSE_WRONG_TARGET, NULL);
	else if (!(j = held_job_new(q, which, prefix)))
		query_refuse(q, CAUSE_STORE_UNAVAILABLE, "out of memory");
	else
		submit(j);
}
