#include "acms/authorise.h"
#include "acms/server.h"

static void respond(struct request *r, struct str target, const struct verdict *v)
{
	struct arena *a = arena_new(0);
	struct setup_response response;
	if (a && setup_to_response(a, &r->setup, target, ORIGIN_HOME_ACMS, v, &response)) {
		request_respond(r, &response);
	} else {
		setup_refuse(&r->received, target, ORIGIN_HOME_ACMS, v, &response);
		request_respond(r, &response);
	}
	arena_free(a);
	request_answered(r);
}

void home_answer(struct request *r, struct str target, enum cause cause, const char *detail)
{
	respond(r, target, &(struct verdict){ .cause = cause, .detail = detail });
}

/* The same refusal for each target, without the lists if the request was not well-formed. */
static void refuse_all(struct request *r, const struct route *routes, size_t n,
		       const struct verdict *v, bool well_formed)
{
	r->unanswered = n;
	for (size_t i = 0; i < n; i++) {
		struct setup_response response;
		if (well_formed) {
			respond(r, routes[i].target, v);
			continue;
		}
		setup_refuse(&r->received, routes[i].target, ORIGIN_HOME_ACMS, v, &response);
		request_respond(r, &response);
		request_answered(r);
	}
}

static void forward(struct request *r, const struct route *route)
{
	struct partner_link *link = partner_link_find(r->server, route->target);
	struct relay *relay = link ? arena_alloc(r->arena, sizeof *relay) : NULL;
	if (!relay) {
		home_answer(r, route->target, CAUSE_PARTNER_UNREACHABLE, "out of memory at home");
		return;
	}
	relay->request = r;
	relay->target = route->target;
	relay->state = RELAY_QUEUED;
	partner_link_submit(link, relay);
}

void home_setup(struct request *r, const struct acmc_rule *acmc)
{
	const struct config *config = r->server->live->config;
	struct route own = { .target = config->mc_system_id };
	size_t n = 0;
	struct verdict v = setup_check(r->arena, &r->received, &config->limits, &r->setup);
	bool well_formed = v.cause == CAUSE_NO_CAUSE;
	struct route *routes = relay_routes(r->arena, config, acmc, r->received.mc_system_ids,
					    r->received.n_mc_system_ids, &n);
	if (!routes || n == 0 || r->received.n_mc_system_ids > config->limits.max_mc_system_ids) {
		if (well_formed) /* only for want of memory */
			v.cause = CAUSE_TOO_MANY_IDENTITIES;
		refuse_all(r, &own, 1, &v, false);
		return;
	}
	if (well_formed)
		v = authorise_acmc(r->arena, acmc, &r->setup);
	if (v.cause != CAUSE_NO_CAUSE) {
		refuse_all(r, routes, n, &v, well_formed);
		return;
	}
	r->unanswered = n;
	/* An answer may finish the request, but not before the last target has been gone through. */
	for (size_t i = 0; i < n; i++) {
		if (routes[i].cause == CAUSE_NO_CAUSE)
			forward(r, &routes[i]);
		else
			home_answer(r, routes[i].target, routes[i].cause, NULL);
	}
}
