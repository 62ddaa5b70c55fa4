#include "acms/committer.h"

#include "acms/plan.h"
#include "common/crypto.h"

/* One setup inside a transaction: look up, plan, apply. */
struct work {
	struct store_txn *txn;
	struct commit_job *job;
	struct arena *arena;
	uint64_t now_ms;
	uint8_t content[DIGEST_SIZE];
	struct system_record system;
	struct plan plan;
};

static bool digest_content(struct work *w)
{
	struct str content = setup_content(w->arena, &w->job->setup);
	return content.ptr && crypto_sha256(content, w->content) == OK;
}

/* The answer of before, if the request came before. */
static bool answer_again(struct work *w)
{
	struct request_record before;
	struct commit_job *job = w->job;
	if (!store_get_request(w->txn, w->arena, job->home, job->setup.request_id, &before))
		return false;
	job->repeated = memcmp(before.content, w->content, DIGEST_SIZE) == 0;
	if (!job->repeated) {
		job->verdict = (struct verdict){ .cause = CAUSE_REQUEST_ID_REUSED };
		return true;
	}
	job->verdict = (struct verdict){
		.cause = before.cause,
		.identities = (struct identity_cause *)before.identities,
		.n_identities = before.n_identities,
		.detail = "answered before; this is a repetition",
	};
	return true;
}

static struct plan_user *look_up(struct work *w)
{
	const struct setup *s = &w->job->setup;
	struct plan_user *known = arena_array(w->arena, s->n_users, sizeof *known);
	struct plan_owner *owners = arena_array(w->arena, s->n_service_ids, sizeof *owners);
	if (!known || !owners)
		return NULL;
	for (size_t i = 0; i < s->n_users; i++) {
		const struct setup_user *u = &s->users[i];
		known[i].found = store_get_user(w->txn, w->arena, w->job->home, u->mc_id,
						&known[i].record);
		known[i].owners = owners;
		for (size_t j = 0; j < u->n_service_ids; j++, owners++)
			owners->found = store_get_owner(w->txn, w->arena,
							u->service_ids[j].mc_service_id,
							&owners->owner);
	}
	return known;
}

static void apply(struct work *w)
{
	const struct setup *s = &w->job->setup;
	struct str home = w->job->home;
	for (size_t i = 0; i < w->plan.n_released; i++)
		store_delete_owner(w->txn, w->plan.released[i]);
	for (size_t i = 0; i < s->n_users; i++) {
		const struct plan_change *c = &w->plan.changes[i];
		struct owner_record owner = { home, s->users[i].mc_id };
		if (c->kind == USER_UNCHANGED)
			continue;
		store_put_user(w->txn, w->arena, home, s->users[i].mc_id, &c->record);
		for (size_t j = 0; j < c->record.n_service_ids; j++)
			store_put_owner(w->txn, w->arena, c->record.service_ids[j].mc_service_id,
					&owner);
	}
	w->system.users_held += w->plan.created;
	w->system.token_issuer = w->job->token_issuer;
	store_put_system(w->txn, w->arena, home, &w->system);
}

static void record_answer(struct work *w)
{
	const struct setup *s = &w->job->setup;
	const struct verdict *v = &w->job->verdict;
	struct request_record answer = { .answered_ms = w->now_ms,
					 .cause = v->cause,
					 .identities = v->identities,
					 .n_identities = v->n_identities };
	struct str *mc_ids = arena_array(w->arena, s->n_users, sizeof *mc_ids);
	struct audit_record audit = { .at_ms = w->now_ms,
				      .action = AUDIT_SETUP,
				      .home = w->job->home,
				      .certificate = w->job->certificate,
				      .request = s->request_id,
				      .claimed_acmc = s->home_acmc_id,
				      .cause = v->cause,
				      .mc_ids = mc_ids,
				      .n_mc_ids = s->n_users };
	if (v->cause == CAUSE_NO_CAUSE) {
		audit.created = w->plan.created;
		audit.replaced = w->plan.replaced;
		audit.unchanged = w->plan.unchanged;
	}
	for (size_t i = 0; mc_ids && i < s->n_users; i++)
		mc_ids[i] = s->users[i].mc_id;
	audit.n_mc_ids = mc_ids ? s->n_users : 0;
	memcpy(answer.content, w->content, DIGEST_SIZE);
	store_put_request(w->txn, w->arena, w->job->home, s->request_id, &answer);
	store_append_audit(w->txn, w->arena, &audit);
}

static void out_of_memory(struct commit_job *job)
{
	job->verdict = (struct verdict){ .cause = CAUSE_STORE_UNAVAILABLE,
					 .detail = "out of memory" };
}

/* Decides; writes nothing. False: nothing is to be written. */
static bool decide(struct work *w)
{
	struct commit_job *job = w->job;
	if (!digest_content(w)) {
		out_of_memory(job);
		return false;
	}
	if (answer_again(w))
		return false;
	job->verdict = job->denied;
	if (job->denied.cause != CAUSE_NO_CAUSE)
		return true;
	store_get_system(w->txn, w->arena, job->home, &w->system);
	struct plan_user *known = look_up(w);
	if (!known || !plan_setup(w->arena, &job->setup, job->home, known, w->system.users_held,
				  job->most_users, w->now_ms, &w->plan)) {
		out_of_memory(job);
		return false;
	}
	job->verdict = w->plan.verdict;
	return true;
}

void commit_setup(struct store_txn *t, struct commit_job *job, uint64_t now_ms)
{
	arena_free(job->work); /* of an attempt before */
	job->work = arena_new(0);
	job->repeated = false;
	struct work w = { .txn = t, .job = job, .arena = job->work, .now_ms = now_ms };
	if (!w.arena) {
		out_of_memory(job);
		return;
	}
	if (!decide(&w) || store_status(t) != OK)
		return;
	if (job->verdict.cause == CAUSE_NO_CAUSE)
		apply(&w);
	record_answer(&w);
}
