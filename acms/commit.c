#include "acms/commit_internal.h"

#include "common/content.h"
#include "common/crypto.h"
#include "common/sort.h"

/* An answer is kept until its request has expired by so long: a replay finds the one or the other. */
enum { KEEP_PAST_EXPIRY_MS = 3600 * 1000 };

static void out_of_memory(struct work *w)
{
	w->out->verdict = (struct verdict){ .cause = CAUSE_STORE_UNAVAILABLE,
					    .detail = "out of memory" };
}

bool work_start(struct work *w, struct store_txn *t, struct arena *a, const struct commit_setup *what,
		uint64_t now_ms, struct commit_answer *out)
{
	*w = (struct work){ .txn = t, .arena = a, .now_ms = now_ms, .what = what, .out = out };
	w->action = what->action ? what->action : (enum audit_action)(AUDIT_SETUP + what->setup.operation);
	*out = (struct commit_answer){ .answered_ms = now_ms };
	struct str content = setup_content(a, &what->setup);
	if (!content.ptr || crypto_sha256(content, w->content) != OK) {
		out_of_memory(w);
		return false;
	}
	memcpy(out->content, w->content, DIGEST_SIZE);
	store_get_system(t, a, what->home, &w->system);
	return true;
}

/* --- what the store says --- */

/* Notes a user whose validity ended, of at most one for each user and MC service ID of the request. */
static void note_ended(struct work *w, struct str home, struct str mc_id)
{
	const struct setup *s = &w->what->setup;
	if (!w->ended)
		w->ended = arena_array(w->arena, s->n_users + s->n_service_ids, sizeof *w->ended);
	if (w->ended)
		w->ended[w->n_ended++] = (struct user_key){ .home = home, .mc_id = mc_id };
	else
		store_fail_memory(w->txn);
}

/* The user, unless its validity ended: then it is as good as removed. */
static bool look_up_user(struct work *w, struct str home, struct str mc_id, struct user_record *out)
{
	if (!store_get_user(w->txn, w->arena, STORE_USERS, home, mc_id, out))
		return false;
	if (!validity_ended(out->validity, w->now_ms))
		return true;
	note_ended(w, home, mc_id);
	return false;
}

static bool is_users_own(const struct work *w, const struct wanted_id *x)
{
	const struct owner_record *owner = &x->owner->owner;
	return str_eq(owner->mc_id, w->what->setup.users[x->user].mc_id) && str_eq(owner->home, w->what->home);
}

static void look_up_owner(struct work *w, const struct wanted_id *x)
{
	struct plan_owner *out = x->owner;
	struct user_record record;
	out->found = store_get_owner(w->txn, w->arena, x->mc_service_id, &out->owner);
	if (out->found && !is_users_own(w, x))
		out->found = look_up_user(w, out->owner.home, out->owner.mc_id, &record);
}

static int compare_wanted(const void *a, const void *b)
{
	return str_cmp(((const struct wanted_id *)a)->mc_service_id, ((const struct wanted_id *)b)->mc_service_id);
}

/* Users in order mostly have the IDs of one service in order, too: those runs are merged. */
static bool sort_by_service(struct work *w, const struct wanted_id *all)
{
	const struct setup *s = &w->what->setup;
	size_t n = 0;
	for (int service = MC_SERVICE_MCPTT; service <= MC_SERVICE_MCDATA; service++) {
		const struct wanted_id *x = all;
		for (size_t i = 0; i < s->n_users; i++) {
			const struct setup_user *u = &s->users[i];
			for (size_t j = 0; j < u->n_service_ids; j++, x++) {
				if (u->service_ids[j].service == (enum mc_service)service)
					w->wanted[n++] = x;
			}
		}
	}
	return sort_runs(w->arena, (const void **)w->wanted, n, compare_wanted);
}

/*
 * In the order of the store's keys they are mostly found, and put, on the page at hand, and leave full pages behind. The
 * check of a request leaves that order behind, a request that was stored meanwhile has lost it.
 */
static bool sort_wanted(struct work *w, struct plan_owner *owners)
{
	const struct setup *s = &w->what->setup;
	struct wanted_id *all = arena_array_raw(w->arena, s->n_service_ids, sizeof *all), *x = all;
	w->wanted = arena_array_raw(w->arena, s->n_service_ids, sizeof *w->wanted);
	if (!all || !w->wanted)
		return false;
	for (size_t i = 0; i < s->n_users; i++) {
		const struct setup_user *u = &s->users[i];
		for (size_t j = 0; j < u->n_service_ids; j++)
			*x++ = (struct wanted_id){ u->service_ids[j].mc_service_id, i, owners++ };
	}
	if (!s->in_key_order)
		return sort_by_service(w, all);
	for (size_t i = 0; i < s->n_service_ids; i++)
		w->wanted[i] = &all[s->in_key_order[i]];
	return true;
}

static bool look_up(struct work *w)
{
	const struct setup *s = &w->what->setup;
	struct plan_owner *owners = arena_array(w->arena, s->n_service_ids, sizeof *owners), *next = owners;
	w->known = arena_array(w->arena, s->n_users, sizeof *w->known);
	if (!w->known || !owners || !sort_wanted(w, owners))
		return false;
	for (size_t i = 0; i < s->n_users; i++) {
		struct plan_user *k = &w->known[i];
		k->found = look_up_user(w, w->what->home, s->users[i].mc_id, &k->record);
		k->owners = next;
		next += s->users[i].n_service_ids;
	}
	for (size_t i = 0; i < s->n_service_ids; i++)
		look_up_owner(w, w->wanted[i]);
	w->n_ended = expire_sort(w->ended, w->n_ended);
	return true;
}

/* --- the verdict --- */

static uint64_t held_now(struct work *w)
{
	uint64_t ended = 0;
	for (size_t i = 0; i < w->n_ended; i++)
		ended += str_eq(w->ended[i].home, w->what->home);
	return w->system.users_held > ended ? w->system.users_held - ended : 0;
}

static bool plan(struct work *w)
{
	const struct commit_setup *what = w->what;
	if (!look_up(w))
		return false;
	struct plan_question q = { .setup = &what->setup,
				   .home = what->home,
				   .known = w->known,
				   .refused = what->refused,
				   .n_refused = what->n_refused,
				   .held = held_now(w),
				   .most = what->most_users,
				   .now_ms = w->now_ms };
	return plan_make(w->arena, &q, &w->plan);
}

bool work_judge(struct work *w)
{
	const struct commit_setup *what = w->what;
	w->out->verdict = what->denied;
	if (what->denied.cause != CAUSE_NO_CAUSE)
		return true;
	if (what->approval == APPROVAL_DENY) {
		w->out->verdict = (struct verdict){
			.cause = CAUSE_OPERATION_NOT_PERMITTED,
			.detail = arena_printf(w->arena, "%s: the partner's policy for this home system is deny",
					       operation_name((int)what->setup.operation)) };
		return true;
	}
	if (what->approval == APPROVAL_MANUAL && what->setup.expires_ms == 0) {
		w->out->verdict = (struct verdict){
			.cause = CAUSE_OPERATION_NOT_PERMITTED,
			.detail = "it needs approval, which a request of version 1 cannot wait for" };
		return true;
	}
	if (!plan(w)) {
		out_of_memory(w);
		return false;
	}
	w->out->verdict = w->plan.verdict;
	w->out->revisions = w->plan.revisions;
	w->out->n_revisions = w->plan.n_revisions;
	return true;
}

/* --- writing --- */

static bool is_stored(enum user_change kind)
{
	return kind == USER_CREATED || kind == USER_REPLACED;
}

/* What a user that stays has already needs no new entry. */
static void put_owners(struct work *w)
{
	const struct setup *s = &w->what->setup;
	for (size_t i = 0; i < s->n_service_ids; i++) {
		const struct wanted_id *x = w->wanted[i];
		struct owner_record owner = { w->what->home, s->users[x->user].mc_id };
		bool kept = w->known[x->user].found && x->owner->found && is_users_own(w, x);
		if (is_stored(w->plan.changes[x->user].kind) && !kept)
			store_put_owner(w->txn, w->arena, x->mc_service_id, &owner);
	}
}

static void put_changes(struct work *w)
{
	const struct setup *s = &w->what->setup;
	struct str home = w->what->home;
	for (size_t i = 0; i < w->plan.n_released; i++)
		store_delete_owner(w->txn, w->plan.released[i]);
	for (size_t i = 0; i < s->n_users; i++) {
		const struct plan_change *c = &w->plan.changes[i];
		const struct plan_user *k = &w->known[i];
		if (c->kind == USER_REMOVED)
			store_delete_user(w->txn, STORE_USERS, home, s->users[i].mc_id, &c->record);
		if (is_stored(c->kind))
			store_put_user(w->txn, w->arena, STORE_USERS, home, s->users[i].mc_id,
				       k->found ? &k->record : NULL, &c->record);
	}
	put_owners(w);
}

static void apply(struct work *w)
{
	expire_users(w->txn, w->arena, w->ended, w->n_ended, w->now_ms);
	if (w->n_ended > 0)
		store_get_system(w->txn, w->arena, w->what->home, &w->system);
	put_changes(w);
	w->system.users_held += w->plan.created;
	w->system.users_held -= w->plan.removed < w->system.users_held ? w->plan.removed :
									 w->system.users_held;
	w->system.token_issuer = w->what->token_issuer;
	store_put_system(w->txn, w->arena, w->what->home, &w->system);
}

static bool is_refusal(enum cause cause)
{
	return cause != CAUSE_NO_CAUSE && cause != CAUSE_PARTLY_DONE;
}

/* Of a refusal no more than tells it again. What was done in part is certified with all that was refused. */
static void record(struct work *w)
{
	const struct setup *s = &w->what->setup;
	const struct commit_answer *out = w->out;
	struct request_record r = {
		.answered_ms = w->now_ms,
		.cause = out->verdict.cause,
		.identities = out->verdict.identities,
		.n_identities = out->verdict.n_identities,
		.keep_until_ms = s->expires_ms ? s->expires_ms + KEEP_PAST_EXPIRY_MS : 0,
		.revisions = out->revisions,
		.n_revisions = out->n_revisions,
		.decided_by = out->decided_by,
		.detail = str_of(out->verdict.detail),
	};
	memcpy(r.content, w->content, DIGEST_SIZE);
	if (is_refusal(r.cause))
		request_cut_names(&r);
	store_put_request(w->txn, w->arena, w->what->home, s->request_id, &r);
}

void work_audit(struct work *w)
{
	const struct setup *s = &w->what->setup;
	const struct verdict *v = &w->out->verdict;
	struct str *mc_ids = arena_array_raw(w->arena, s->n_users, sizeof *mc_ids);
	struct audit_record audit = { .at_ms = w->now_ms,
				      .action = w->action,
				      .home = w->what->home,
				      .certificate = w->what->certificate,
				      .request = s->request_id,
				      .claimed_acmc = s->home_acmc_id,
				      .cause = v->cause,
				      .mc_ids = mc_ids,
				      .decided_by = w->out->decided_by,
				      .identities = v->identities,
				      .n_identities = v->n_identities,
				      .detail = str_of(v->detail) };
	if (w->action >= AUDIT_HOLD) /* the action of others says it */
		audit.operation = s->operation;
	if (plan_applies(&w->plan) && v->cause == w->plan.verdict.cause && !w->out->pending) {
		audit.created = w->plan.created;
		audit.replaced = w->plan.replaced;
		audit.unchanged = w->plan.unchanged;
		audit.removed = w->plan.removed;
	}
	for (size_t i = 0; mc_ids && i < s->n_users; i++)
		mc_ids[i] = s->users[i].mc_id;
	audit.n_mc_ids = mc_ids ? s->n_users : 0;
	bool changed = audit.created + audit.replaced + audit.removed > 0;
	w->out->idle = !changed && !w->out->pending;
	if (w->out->idle && !refusal_grant(w->what->claim))
		return;
	if (!changed) /* what waits is kept with all of them */
		audit_cut_names(&audit);
	store_append_audit(w->txn, w->arena, &audit);
}

void work_finish(struct work *w)
{
	if (w->plan.changes && w->out->verdict.cause == w->plan.verdict.cause)
		apply(w);
	record(w);
	work_audit(w);
}

/* --- a request --- */

static const char *detail_recorded(struct arena *a, const struct request_record *r)
{
	struct str detail = r->detail;
	if (r->all_identities)
		return arena_printf(a, "%zu of %llu identity causes: only the first answer had all%s%.*s", r->n_identities,
				    (unsigned long long)r->all_identities, detail.ptr ? "; " : "", STR_ARG(detail));
	return detail.ptr ? arena_printf(a, "%.*s", STR_ARG(detail)) : NULL;
}

void work_answer_recorded(struct work *w, const struct request_record *r)
{
	*w->out = (struct commit_answer){
		.verdict = { .cause = r->cause,
			     .identities = (struct identity_cause *)r->identities,
			     .n_identities = r->n_identities,
			     .detail = detail_recorded(w->arena, r) },
		.repeated = true,
		.answered_ms = r->answered_ms,
		.revisions = r->revisions,
		.n_revisions = r->n_revisions,
		.decided_by = r->decided_by,
	};
	memcpy(w->out->content, w->content, DIGEST_SIZE);
}

/* Version 1 recorded no revisions, and version 2 cannot tell TRUE without: those of now, or what there was at least. */
static void complete_revisions(struct work *w)
{
	const struct setup *s = &w->what->setup;
	struct commit_answer *out = w->out;
	bool lacks = out->verdict.cause == CAUSE_NO_CAUSE && out->n_revisions == 0 &&
		     s->operation != OPERATION_REMOVE;
	uint64_t *all = lacks ? arena_array(w->arena, s->n_users, sizeof *all) : NULL;
	for (size_t i = 0; all && i < s->n_users; i++) {
		struct user_record r;
		bool there = store_get_user(w->txn, w->arena, STORE_USERS, w->what->home,
					    s->users[i].mc_id, &r);
		all[i] = there ? r.revision : 1;
	}
	if (all) {
		out->revisions = all;
		out->n_revisions = s->n_users;
	}
}

/* A refusal that is not recorded, since the request ID is not this request's to take, or is too late. */
static void refuse(struct work *w, enum cause cause, const char *detail)
{
	w->out->verdict = (struct verdict){ .cause = cause, .detail = detail };
	if (!w->what->setup.dry_run)
		work_audit(w);
}

/* Whether this is what was asked when it was recorded; by a version 1, perhaps. */
static bool same_content(struct work *w, const struct request_record *before)
{
	const struct setup *s = &w->what->setup;
	uint8_t digest[DIGEST_SIZE];
	if (memcmp(before->content, w->content, DIGEST_SIZE) == 0)
		return true;
	if (!setup_is_of_version_1(s))
		return false;
	struct str content = setup_content_1(w->arena, s);
	if (!content.ptr || crypto_sha256(content, digest) != OK) {
		store_fail_memory(w->txn);
		return false;
	}
	return memcmp(before->content, digest, DIGEST_SIZE) == 0;
}

/* True: the request came before, and this is what it was told, or is told now. */
static bool came_before(struct work *w)
{
	struct str home = w->what->home;
	struct request_id id = w->what->setup.request_id;
	struct request_record before;
	struct pending_record pending;
	if (store_get_request(w->txn, w->arena, home, id, &before)) {
		if (same_content(w, &before))
			work_answer_recorded(w, &before);
		else
			refuse(w, CAUSE_REQUEST_ID_REUSED, NULL);
		complete_revisions(w);
		return true;
	}
	if (!store_get_pending(w->txn, w->arena, home, id, &pending))
		return false;
	if (memcmp(pending.content, w->content, DIGEST_SIZE) == 0) {
		w->out->pending = w->out->repeated = true;
		w->out->decide_until_ms = pending.decide_until_ms;
	} else {
		refuse(w, CAUSE_REQUEST_ID_REUSED, NULL);
	}
	return true;
}

/* Behind came_before: what was done in time keeps its answer. */
static bool in_time(struct work *w)
{
	char detail[256];
	enum cause cause = setup_times_check(&w->what->setup, w->now_ms, w->what->must_expire, detail,
					     sizeof detail);
	if (cause != CAUSE_NO_CAUSE)
		refuse(w, cause, arena_printf(w->arena, "%s", detail));
	return cause == CAUSE_NO_CAUSE;
}

/* What is kept for a home system is bounded: not its requests, but their answers, cannot be told how many will come. */
static bool has_room(struct work *w)
{
	uint64_t most = w->what->most_answers_bytes;
	if (w->what->setup.dry_run || most == 0 || w->system.answers_bytes < most)
		return true;
	refuse(w, CAUSE_TOO_MANY_ANSWERS, "provision.max_kept_answers of this home system is reached");
	return false;
}

static struct verdict pending_room(const struct work *w)
{
	const struct commit_setup *what = w->what;
	if (w->system.requests_pending >= what->most_pending)
		return (struct verdict){ .cause = CAUSE_TOO_MANY_PENDING,
					 .detail = "provision.max_pending of this home system is reached" };
	if (what->most_pending_bytes && w->system.pending_bytes >= what->most_pending_bytes)
		return (struct verdict){ .cause = CAUSE_TOO_MANY_PENDING,
					 .detail = "provision.max_pending_bytes of this home system is reached" };
	return (struct verdict){ .cause = CAUSE_NO_CAUSE };
}

/* Puts it on disk until somebody decides. */
static void hold(struct work *w)
{
	const struct commit_setup *what = w->what;
	struct pending_record p = { .received_ms = w->now_ms,
				    .decide_until_ms = w->now_ms + what->decide_within_ms,
				    .certificate = what->certificate,
				    .setup = what->setup };
	w->out->revisions = NULL; /* nothing was done yet */
	w->out->n_revisions = 0;
	w->out->verdict = pending_room(w);
	if (w->out->verdict.cause != CAUSE_NO_CAUSE)
		return;
	if (p.decide_until_ms > what->setup.expires_ms)
		p.decide_until_ms = what->setup.expires_ms;
	p.setup.targets = NULL;
	p.setup.n_targets = 0;
	memcpy(p.content, w->content, DIGEST_SIZE);
	store_put_pending(w->txn, w->arena, what->home, what->setup.request_id, &p);
	w->out->pending = true;
	w->out->decide_until_ms = p.decide_until_ms;
	w->action = AUDIT_HOLD;
	work_audit(w);
}

void commit_setup(struct store_txn *t, struct arena *work, const struct commit_setup *what,
		  uint64_t now_ms, struct commit_answer *out)
{
	struct work w;
	if (!work_start(&w, t, work, what, now_ms, out) || came_before(&w))
		return;
	if (!in_time(&w) || !has_room(&w))
		return;
	if (!work_judge(&w) || store_status(t) != OK)
		return;
	if (out->verdict.cause == CAUSE_HOME_SYSTEM_NOT_AUTHORISED) { /* for who may do nothing nothing is kept */
		if (!what->setup.dry_run)
			work_audit(&w);
		return;
	}
	bool manual = what->approval == APPROVAL_MANUAL && plan_applies(&w.plan) && w.plan.changes;
	if (what->setup.dry_run && manual)
		out->verdict.detail = "it would wait for the approval of an administrator";
	if (what->setup.dry_run)
		return;
	if (manual)
		hold(&w);
	else
		work_finish(&w);
}

/* --- what is refused before --- */

static bool id_fits(struct str mc_service_id)
{
	return !mc_service_id.ptr ||
	       (mc_service_id.len > 0 && mc_service_id.len <= MC_SERVICE_ID_MAX);
}

/* The entry holds identities, and nothing that only looks like them. */
static void name_identities(struct arena *a, const struct commit_refusal *what,
			    struct audit_record *audit)
{
	const struct setup_request *r = &what->request;
	const struct verdict *v = &what->verdict;
	struct str *mc_ids = arena_array(a, r->n_mc_ids, sizeof *mc_ids);
	struct identity_cause *ids = arena_array(a, v->n_identities, sizeof *ids);
	for (size_t i = 0; mc_ids && i < r->n_mc_ids; i++) {
		if (mc_id_valid(r->mc_ids[i]))
			mc_ids[audit->n_mc_ids++] = r->mc_ids[i];
	}
	for (size_t i = 0; ids && i < v->n_identities; i++) {
		if (mc_id_valid(v->identities[i].mc_id) && id_fits(v->identities[i].mc_service_id))
			ids[audit->n_identities++] = v->identities[i];
	}
	audit->mc_ids = mc_ids;
	audit->identities = ids;
}

void commit_refusal(struct store_txn *t, struct arena *work, const struct commit_refusal *what,
		    uint64_t now_ms)
{
	const struct setup_request *r = &what->request;
	bool known = r->operation >= 0 && r->operation < OPERATIONS;
	struct str acmc = STR_NONE;
	struct audit_record audit = {
		.at_ms = now_ms,
		.action = (enum audit_action)(AUDIT_SETUP + (known ? r->operation : 0)),
		.home = what->home,
		.certificate = what->certificate,
		.request = r->request_id,
		.cause = what->verdict.cause,
		.detail = str_of(what->verdict.detail),
	};
	if (r->home_acmc_id.ptr && mc_service_id_canonical(work, r->home_acmc_id, &acmc, NULL))
		audit.claimed_acmc = acmc;
	name_identities(work, what, &audit);
	audit_cut_names(&audit);
	store_append_audit(t, work, &audit);
}

void commit_refusal_sum(struct store_txn *t, struct arena *work, const struct refusal_sum *what, uint64_t now_ms)
{
	store_append_audit(t, work, &(struct audit_record){ .at_ms = now_ms,
							    .action = AUDIT_REFUSALS,
							    .home = what->home,
							    .certificate = what->certificate,
							    .cause = what->cause,
							    .acmc = what->acmc,
							    .refusals = what->refused,
							    .unchanged_requests = what->unchanged });
}
