#include "acms/authorise.h"
#include "acms/server.h"
#include "common/log.h"

static void respond(struct request *r, const struct verdict *v, bool well_formed)
{
	struct str own = r->server->live->config->mc_system_id;
	struct arena *a = arena_new(0);
	struct setup_response response;
	if (!well_formed || !a ||
	    !setup_to_response(a, &r->setup, own, ORIGIN_PARTNER_ACMS, v, &response))
		setup_refuse(&r->received, own, ORIGIN_PARTNER_ACMS, v, &response);
	request_respond(r, &response);
	arena_free(a);
	request_answered(r);
}

static bool submit(struct request *r, const struct partner_rule *home, const struct verdict *denied)
{
	char certificate[300];
	tls_peer_describe(request_ssl(r), certificate, sizeof certificate);
	r->job = (struct commit_job){
		.arena = r->arena,
		.setup = r->setup,
		.home = arena_str(r->arena, home->mc_system_id),
		.certificate = arena_str(r->arena, str_of(certificate)),
		.denied = *denied,
		.most_users = home->max_users,
		.token_issuer = home->token_issuer.ptr ?
					arena_str(r->arena, home->token_issuer) : STR_NONE,
		.owner = r,
	};
	if (!r->job.home.ptr || !r->job.certificate.ptr)
		return false;
	committer_submit(r->server->committer, &r->job);
	return true;
}

void partner_setup(struct request *r, const struct partner_rule *home)
{
	const struct config *config = r->server->live->config;
	struct verdict v = setup_check(r->arena, &r->received, &config->limits, &r->setup);
	if (v.cause != CAUSE_NO_CAUSE) {
		respond(r, &v, false);
		return;
	}
	v = authorise_home_system(r->arena, home, config->mc_system_id, &r->setup);
	if (v.cause == CAUSE_WRONG_TARGET) {
		respond(r, &v, true);
		return;
	}
	if (!submit(r, home, &v))
		respond(r, &(struct verdict){ .cause = CAUSE_STORE_UNAVAILABLE,
					      .detail = "out of memory" }, true);
}

void partner_committed(struct server *s)
{
	struct error why;
	for (struct commit_job *job = committer_take(s->committer), *next; job; job = next) {
		struct request *r = job->owner;
		struct arena *work = job->work;
		next = job->next;
		respond(r, &job->verdict, true);
		arena_free(work);
	}
	if (!s->failed && committer_failed(s->committer, &why)) {
		log_error("%s; stopping, so that a restart can open the store anew", why.text);
		s->failed = true;
		server_stop(s);
	}
}
