#include "acms/partner.h"

#include <stddef.h>
#include "acms/authorise.h"
#include "common/failpoint.h"
#include "common/log.h"
#include "common/receipt.h"
#include "common/text.h"

/* One request on its way through the committer. */
struct partner_job {
	struct job job;
	struct request *request;
	bool refused; /* before the store is asked: only an audit entry */
	struct commit_refusal refusal;
	struct commit_setup setup;
	struct commit_answer answer;
	struct partner_telling telling;
	struct refusal_party *party;
	struct refusal_claim claim;
	struct arena *kept; /* the work arena, which the answer lives in, until it is told */
};

/* --- responses --- */

static bool is_certified(const struct setup *setup, const struct commit_answer *answer)
{
	enum cause cause = answer->verdict.cause;
	return !setup->dry_run && (cause == CAUSE_NO_CAUSE || cause == CAUSE_PARTLY_DONE);
}

void partner_response(struct server *s, const struct setup *setup, const struct commit_answer *answer,
		      struct setup_response *out)
{
	setup_to_response(setup, s->live->config->mc_system_id, ORIGIN_PARTNER_ACMS, &answer->verdict, out);
	out->revisions = answer->revisions;
	out->n_revisions = answer->n_revisions;
	out->decided_by = answer->decided_by;
}

/* What stands for the claims. Their bytes are of no use here: home makes them by itself. */
static bool make_leaf(struct server *s, const struct setup *setup, struct str home,
		      const struct commit_answer *answer, struct merkle_hash *leaf)
{
	struct arena *a = arena_new(0);
	struct error e = { ERR_MEMORY, "out of memory" };
	struct receipt_claims receipt;
	struct receipt_outcome outcome = {
		.partner = s->live->config->mc_system_id,
		.home = home,
		.content = answer->content,
		.done_ms = answer->answered_ms,
		.cause = answer->verdict.cause,
		.identities = answer->verdict.identities,
		.n_identities = answer->verdict.n_identities,
		.revisions = answer->revisions,
		.n_revisions = answer->n_revisions,
		.decided_by = answer->decided_by.acmc,
	};
	bool made = a && receipt_from_setup(a, setup, &outcome, &receipt, &e) == OK;
	struct str claims = made ? receipt_encode(a, &receipt) : STR_NONE;
	bool good = claims.ptr && merkle_leaf(claims, leaf) == OK;
	if (!good)
		log_error("no receipt can be made for what was done: %s", e.text);
	arena_free(a);
	return good;
}

static void certified(struct notary_item *item, struct str proof, const struct merkle_hash *root)
{
	struct partner_telling *t = (struct partner_telling *)item;
	t->response.receipt = proof;
	t->response.receipt_root = (struct str){ (const char *)root->bytes, sizeof root->bytes };
	t->tell(t, proof.ptr ? &t->response : NULL);
}

void partner_tell(struct server *s, struct partner_telling *t, const struct setup *setup, struct str home,
		  const struct commit_answer *answer)
{
	partner_response(s, setup, answer, &t->response);
	if (!is_certified(setup, answer)) {
		t->tell(t, &t->response);
		return;
	}
	t->response.done_ms = answer->answered_ms;
	t->item.certified = certified;
	if (make_leaf(s, setup, home, answer, &t->item.leaf))
		notary_add(&s->notary, &t->item);
	else
		t->tell(t, NULL);
}

void partner_push(struct server *s, const struct setup_response *response, struct str home)
{
	struct message m = { .kind = MESSAGE_SETUP_RESPONSE, .response = *response };
	char id[REQUEST_ID_TEXT_SIZE];
	request_id_format(response->request_id, id);
	log_info("request %s of system %s, which waited for a decision: %s%s%s", id, LOG_STR(home),
		 response->result ? "TRUE" : "FALSE", response->result ? "" : " ",
		 response->result ? "" : cause_name(response->cause));
	peers_send_system(s, home, &m);
}

static void respond(struct request *r, const struct verdict *v)
{
	struct setup_response response;
	setup_to_response(&r->received, r->server->live->config->mc_system_id, ORIGIN_PARTNER_ACMS, v, &response);
	request_respond(r, &response);
	request_answered(r);
}

static void unavailable(struct request *r, const char *why)
{
	respond(r, &(struct verdict){ .cause = CAUSE_STORE_UNAVAILABLE, .detail = why });
}

static void answered(struct partner_telling *t, const struct setup_response *response)
{
	struct partner_job *j = (struct partner_job *)((char *)t - offsetof(struct partner_job, telling));
	struct committer *committer = j->request->server->committer;
	struct arena *kept = j->kept; /* the job goes with its request */
	if (response) {
		request_respond(j->request, response);
		request_answered(j->request);
	} else {
		unavailable(j->request, "it is done, but cannot be certified now: ask again");
	}
	committer_return_work(committer, kept);
	fail_point("partner-told");
}

static void answer(struct partner_job *j)
{
	struct request *r = j->request;
	j->kept = committer_keep_work(r->server->committer);
	j->telling.tell = answered;
	if (r->peer) {
		partner_tell(r->server, &j->telling, &r->setup, j->setup.home, &j->answer);
	} else { /* nobody there: no receipt is needed */
		partner_response(r->server, &r->setup, &j->answer, &j->telling.response);
		answered(&j->telling, &j->telling.response);
	}
}

/* Not an answer yet. The home system may ask again, and its connection is free for other requests. */
static void indicate(struct partner_job *j)
{
	struct request *r = j->request;
	struct server *s = r->server;
	char id[REQUEST_ID_TEXT_SIZE];
	struct message m = { .kind = MESSAGE_PROCESS_INDICATION,
			     .indication = { .request_id = r->setup.request_id,
					     .mc_system_id = s->live->config->mc_system_id,
					     .state = PROCESS_PENDING,
					     .until_ms = j->answer.decide_until_ms } };
	request_id_format(r->setup.request_id, id);
	party_log(r->holding.party, PARTY_REQUESTS, LOG_LEVEL_INFO, "request %s of system %s waits for a decision: %s, %zu users", id,
		  LOG_STR(j->setup.home), operation_name(r->setup.operation), r->setup.n_users);
	if (r->peer)
		peer_send(r->peer, &m);
	if (!j->answer.repeated)
		approval_tell(s, j->setup.home, &r->setup, j->answer.answered_ms,
			      j->answer.decide_until_ms);
	sweeper_expect(s->sweeper, j->answer.decide_until_ms);
	request_answered(r);
}

/* --- through the committer --- */

static void run(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct partner_job *j = (struct partner_job *)job;
	if (j->refused)
		commit_refusal(t, work, &j->refusal, now_ms);
	else
		commit_setup(t, work, &j->setup, now_ms, &j->answer);
	fail_point("partner-written");
}

static void done(struct job *job, enum status status)
{
	struct partner_job *j = (struct partner_job *)job;
	fail_point("partner-committed");
	if (!j->refused)
		refusal_settle(j->party, &j->claim, status == OK && j->answer.idle, j->setup.certificate,
			       j->answer.verdict.cause);
	if (status != OK)
		unavailable(j->request, "the store could not be written");
	else if (j->refused)
		respond(j->request, &j->refusal.verdict);
	else if (j->answer.pending)
		indicate(j);
	else
		answer(j);
}

static void submit(struct partner_job *j, size_t weight)
{
	j->job = (struct job){ .run = run, .done = done, .weight = weight };
	j->job.adds = !j->refused && j->request->setup.operation != OPERATION_REMOVE;
	committer_submit(j->request->server->committer, &j->job);
}

/* Tells why, once that is in the audit log. A dry run leaves no trace. */
static void refuse(struct partner_job *j, const struct partner_rule *home, struct str certificate,
		   const struct verdict *v)
{
	struct request *r = j->request;
	if (r->received.dry_run) {
		respond(r, v);
		return;
	}
	if (!refusal_grant(&j->claim)) {
		refusal_settle(j->party, &j->claim, true, certificate, v->cause);
		respond(r, v);
		return;
	}
	j->refused = true;
	j->refusal = (struct commit_refusal){
		.request = r->received,
		.home = arena_str(r->arena, home->mc_system_id),
		.certificate = certificate,
		.verdict = *v,
	};
	if (j->refusal.home.ptr)
		submit(j, 1);
	else
		unavailable(r, "out of memory");
}

bool partner_judge(struct arena *a, const struct partner_rule *home, struct str own,
		   const struct setup *setup, struct commit_setup *out)
{
	struct verdict v = authorise_home_system(a, home, own, setup);
	*out = (struct commit_setup){
		.setup = *setup,
		.home = arena_str(a, home->mc_system_id),
		.denied = v,
		.approval = home->approval[setup->operation],
		.decide_within_ms = home->decide_within_s * 1000ull,
		.most_users = home->max_users,
		.most_pending = home->max_pending,
		.most_pending_bytes = home->max_pending_bytes,
		.most_answers_bytes = home->max_kept_answers,
		.token_issuer = home->token_issuer.ptr ? arena_str(a, home->token_issuer) : STR_NONE,
	};
	/* Identities outside the namespace are no reason to refuse the others, where that is asked for. */
	if (setup->best_effort && v.cause == CAUSE_OUTSIDE_NAMESPACE && v.n_identities > 0) {
		out->denied = (struct verdict){ .cause = CAUSE_NO_CAUSE };
		out->refused = v.identities;
		out->n_refused = v.n_identities;
	}
	return out->home.ptr && (!home->token_issuer.ptr || out->token_issuer.ptr);
}

static struct verdict check(struct request *r)
{
	struct verdict v = setup_check(r->arena, &r->received, &r->server->live->config->limits, &r->setup);
	return v.cause == CAUSE_NO_CAUSE ? setup_answerable(&r->setup, peer_max_frame(r->peer)) : v;
}

void partner_setup(struct request *r, const struct partner_rule *home)
{
	struct str own = r->server->live->config->mc_system_id;
	struct partner_job *j = arena_alloc(r->arena, sizeof *j);
	struct str certificate = peer_certificate(r->peer, r->arena);
	fail_point("partner-received");
	if (!j || !certificate.ptr) {
		unavailable(r, "out of memory");
		return;
	}
	j->request = r;
	j->party = refusals_party(&r->server->refusals, home->mc_system_id, STR_NONE);
	j->claim = refusal_claim_now(r->server, j->party);
	struct verdict v = check(r);
	if (v.cause != CAUSE_NO_CAUSE) {
		refuse(j, home, certificate, &v);
		return;
	}
	if (!partner_judge(r->arena, home, own, &r->setup, &j->setup)) {
		unavailable(r, "out of memory");
		return;
	}
	if (j->setup.denied.cause == CAUSE_WRONG_TARGET) {
		refuse(j, home, certificate, &j->setup.denied);
		return;
	}
	j->setup.certificate = certificate;
	j->setup.must_expire = true;
	j->setup.claim = &j->claim;
	submit(j, r->setup.n_users);
}

void partner_held_query(struct query *q, const struct partner_rule *home)
{
	if (home->may_provision)
		held_query(q, STORE_USERS, home->mc_system_id);
	else
		query_refuse(q, CAUSE_HOME_SYSTEM_NOT_AUTHORISED, NULL);
}
