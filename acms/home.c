#include <stdio.h>
#include "acms/authorise.h"
#include "acms/server.h"
#include "common/clock.h"
#include "common/failpoint.h"
#include "common/log.h"
#include "common/text.h"

/* Of unfinished.h. */
struct room {
	struct unfinished_of *charged;
	uint64_t bytes;
};

/* A request of an ACMC between its checks and its commit. */
struct asking {
	struct job job;
	LIST_ENTRY(asking) in_server; /* while it is being accepted */
	struct request *request;
	struct arena *arena;        /* its own: outlives the request */
	struct home_request what;
	struct verdict verdict;     /* of a refusal, */
	struct verdict on_record;   /* and what the audit log says of it */
	bool well_formed;
	struct refusal_party *party;
	struct refusal_claim claim;
	uint64_t rules;             /* that it was judged by */
	struct room room;           /* that it takes, from when it is being accepted */
	struct home_accepted out;
};

/* Our own answer for a target. */
static void respond(struct request *r, struct str target, const struct verdict *v, bool well_formed)
{
	struct setup_response response;
	if (well_formed)
		setup_to_response(&r->setup, target, ORIGIN_HOME_ACMS, v, &response);
	else
		setup_refuse(&r->received, target, ORIGIN_HOME_ACMS, v, &response);
	request_respond(r, &response);
	request_answered(r);
}

/*
 * What concerns every target names its identities once, with the first of them: a hundred targets times a thousand
 * identities, each with its cause, would be a hundred times what was asked.
 */
static void respond_all(struct request *r, const struct route *routes, size_t n,
			const struct verdict *v, bool well_formed)
{
	struct verdict brief = { .cause = v->cause, .detail = v->detail };
	if (n > 1 && v->n_identities > 0)
		brief.detail = arena_printf(r->arena, "the identities are named in the response for %s",
					    LOG_STR(text_cut(routes[0].target, MC_SYSTEM_ID_MAX)));
	r->unanswered = n;
	for (size_t i = 0; i < n; i++)
		respond(r, routes[i].target, i == 0 ? v : &brief, well_formed);
}

/* What is refused as a whole, but for targets that have causes of their own. */
static void respond_each(struct request *r, const struct route *routes, size_t n, const struct verdict *v)
{
	r->unanswered = n;
	for (size_t i = 0; i < n; i++) {
		struct verdict own = { .cause = routes[i].cause };
		respond(r, routes[i].target, own.cause == CAUSE_NO_CAUSE ? v : &own, true);
	}
}

/* --- refusals: on record before they are told, if the store can take them --- */

static void run_refuse(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct asking *g = (struct asking *)job;
	home_refuse(t, work, &g->what, &g->on_record, now_ms);
}

static void refused(struct job *job, enum status status)
{
	struct asking *g = (struct asking *)job;
	if (status != OK)
		log_warning("a refusal could not be written into the audit log");
	respond_all(g->request, g->what.routes, g->what.n_routes, &g->verdict, g->well_formed);
	arena_free(g->arena);
}

/* --- acceptance --- */

static void run_accept(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct asking *g = (struct asking *)job;
	home_accept(t, work, &g->what, now_ms, &g->out);
	fail_point("home-accept-written");
}

static void tell_accepted(struct peer *p, const struct asking *g)
{
	struct message m = { .kind = MESSAGE_PROCESS_INDICATION,
			     .indication = { g->what.setup.request_id, g->what.own, PROCESS_ACCEPTED,
					     g->out.deadline_ms, STR_NONE } };
	char id[REQUEST_ID_TEXT_SIZE];
	request_id_format(g->what.setup.request_id, id);
	party_log(g->request->holding.party, PARTY_REQUESTS, LOG_LEVEL_INFO, "request %s of ACMC %s: %s, %zu user%s, %zu target%s", id,
		  LOG_STR(g->what.acmc), g->out.repeated ? "repeated" : "accepted", g->what.setup.n_users,
		  text_s(g->what.setup.n_users), g->what.n_routes, text_s(g->what.n_routes));
	if (p && peer_version(p) >= 2)
		peer_send(p, &m);
}

static void tell_known(struct request *r, const struct asking *g, const struct home_answered *known)
{
	struct setup_response response;
	home_response(&g->what.setup, known->target, &known->answer, &response);
	request_respond(r, &response);
	request_answered(r);
}

/* The arena is taken. */
static struct asked *add_kept(struct server *s, struct asking *g)
{
	struct asked *a = outbox_add(s, &g->what.setup.request_id, g->out.deadline_ms, true, g->arena, &g->what.setup);
	if (a) {
		outbox_charge(a, g->room.charged, g->room.bytes);
		a->acmc = g->what.acmc;
		a->certificate = g->what.certificate;
		a->accepted_ms = g->out.accepted_ms;
		memcpy(a->content, g->out.content, DIGEST_SIZE);
	}
	return a;
}

/* The request proper, or what is there of it already. */
static struct asked *asked_of(struct server *s, struct asking *g)
{
	struct asked *a = outbox_find(s, &g->what.setup.request_id);
	if (a || g->out.repeated)
		return a;
	for (size_t i = 0; i < g->what.n_routes; i++) {
		if (g->out.targets[i].answered)
			continue;
		if (!a)
			a = add_kept(s, g);
		if (!a || !outbox_add_target(a, g->out.targets[i].target, g->rules)) {
			log_error("out of memory: a request is delivered after the next start");
			break;
		}
	}
	return a;
}

/*
 * Version 2: the request's turn on the connection ends here, and the answers follow by themselves. Version 1:
 * it ends with the last answer.
 */
static void accepted(struct job *job, enum status status)
{
	struct asking *g = (struct asking *)job;
	struct request *r = g->request;
	struct server *s = r->server;
	struct peer *p = r->peer;
	LIST_REMOVE(g, in_server);
	unfinished_remove(&s->unfinished, g->room.charged, g->room.bytes);
	fail_point("home-accepted");
	refusal_settle(g->party, &g->claim, status == OK && g->out.late, g->what.certificate, g->verdict.cause);
	if (status != OK || g->out.reused || g->out.late) {
		struct verdict why = { .cause = status != OK ? CAUSE_STORE_UNAVAILABLE : CAUSE_REQUEST_ID_REUSED };
		if (status == OK && g->out.late)
			respond_each(r, g->what.routes, g->what.n_routes, &g->verdict);
		else
			respond_all(r, g->what.routes, g->what.n_routes, &why, true);
		arena_free(g->arena);
		return;
	}
	struct arena *arena = g->arena;
	struct asked *a = asked_of(s, g);
	bool fresh = a && a->arena == arena, counts = p && peer_version(p) < 2;
	tell_accepted(p, g);
	if (a && p)
		counts = outbox_watch(a, p, counts ? r : NULL) && counts;
	r->unanswered = g->what.n_routes;
	for (size_t i = 0; i < g->what.n_routes; i++) {
		if (g->out.targets[i].answered)
			tell_known(r, g, &g->out.targets[i]);
		else if (!counts || !a)
			request_answered(r);
	}
	fail_point("home-accept-told");
	if (fresh)
		outbox_send(a); /* may free the arena, and g with it */
	else
		arena_free(arena);
}

/* --- taking --- */

static struct asking *asking_new(struct request *r, const struct acmc_rule *acmc,
				 const struct route *routes, size_t n)
{
	struct arena *a = arena_new(0);
	struct asking *g = a ? arena_alloc(a, sizeof *g) : NULL;
	if (!g) {
		arena_free(a);
		return NULL;
	}
	g->arena = a;
	g->request = r;
	g->rules = r->server->rules;
	g->job.weight = r->setup.n_users + 1;
	g->what = (struct home_request){ .setup = r->setup,
					 .acmc = arena_str(a, acmc->name),
					 .certificate = peer_certificate(r->peer, a),
					 .own = arena_str(a, r->server->live->config->mc_system_id),
					 .routes = routes,
					 .n_routes = n };
	if (!g->what.acmc.ptr || !g->what.certificate.ptr || !g->what.own.ptr) {
		arena_free(a);
		return NULL;
	}
	g->party = refusals_party(&r->server->refusals, g->what.own, acmc->name);
	g->claim = refusal_claim_now(r->server, g->party);
	return g;
}

static void refuse(struct request *r, const struct acmc_rule *acmc, const struct route *routes, size_t n,
		   const struct verdict *v, bool well_formed)
{
	struct asking *g = asking_new(r, acmc, routes, n);
	if (!g || !refusal_grant(&g->claim)) {
		if (g)
			refusal_settle(g->party, &g->claim, true, g->what.certificate, v->cause);
		respond_all(r, routes, n, v, well_formed);
		arena_free(g ? g->arena : NULL);
		return;
	}
	g->verdict = *v;
	g->on_record = *v;
	if (!well_formed) { /* what only looks like identities is no part of the audit log */
		g->what.setup = (struct setup){ .request_id = r->received.request_id };
		g->on_record.identities = NULL;
		g->on_record.n_identities = 0;
	}
	g->well_formed = well_formed;
	g->job.run = run_refuse;
	g->job.done = refused;
	committer_submit(r->server->committer, &g->job);
}

/* What memory has for a dry run. NULL: there is none. */
static struct asked *asked_unkept(struct request *r, const struct acmc_rule *acmc, const struct room *room)
{
	struct server *s = r->server;
	uint64_t deadline = clock_wall_ms() + s->live->config->partner_timeout_s * 1000ull;
	struct arena *arena = arena_new(0);
	struct setup copy;
	struct asked *a = NULL;
	struct str name = arena ? arena_str(arena, acmc->name) : STR_NONE;
	if (name.ptr && setup_copy(arena, &r->setup, &copy))
		a = outbox_add(s, &copy.request_id, deadline, false, arena, &copy);
	if (!a) {
		arena_free(arena);
		return NULL;
	}
	a->acmc = name;
	outbox_charge(a, room->charged, room->bytes);
	if (outbox_watch(a, r->peer, r))
		return a;
	outbox_forget(a);
	return NULL;
}

/* Delivered from memory, now or not at all. */
static void deliver_unkept(struct request *r, const struct acmc_rule *acmc, const struct route *routes, size_t n,
			   const struct room *room)
{
	struct asked *a = asked_unkept(r, acmc, room);
	bool any = false;
	r->unanswered = n + 1;
	for (size_t i = 0; i < n; i++) {
		struct verdict v = { .cause = routes[i].cause };
		if (v.cause == CAUSE_NO_CAUSE && (!a || !outbox_add_target(a, routes[i].target, r->server->rules)))
			v = (struct verdict){ .cause = CAUSE_STORE_UNAVAILABLE, .detail = "out of memory" };
		any |= v.cause == CAUSE_NO_CAUSE;
		if (v.cause != CAUSE_NO_CAUSE)
			respond(r, routes[i].target, &v, true);
	}
	if (any)
		outbox_send(a);
	else if (a)
		outbox_forget(a);
	request_answered(r);
}

static bool is_being_accepted(const struct server *s, const struct request_id *id)
{
	const struct asking *g;
	LIST_FOREACH(g, &s->accepting, in_server) {
		if (memcmp(&g->what.setup.request_id, id, sizeof *id) == 0)
			return true;
	}
	return false;
}

static const char *room_excess(const struct server *s, const struct room *room)
{
	const struct config *c = s->live->config;
	struct unfinished_bounds most = { .requests = c->max_unfinished,
					  .requests_per_acmc = c->max_unfinished_per_acmc,
					  .bytes = c->max_unfinished_bytes,
					  .bytes_per_acmc = c->max_unfinished_bytes_per_acmc };
	return unfinished_excess(&s->unfinished, room->charged, room->bytes, &most);
}

/*
 * A dry run does not use its ID up, but what is under way at a time is told apart by it alone: the answer to one must
 * not be taken for the other's. What is unfinished already may be asked for again whatever room there is.
 */
static struct verdict check_room(const struct request *r, const struct room *room)
{
	const struct server *s = r->server;
	const struct request_id *id = &r->setup.request_id;
	const struct asked *a = outbox_find(r->server, id);
	if (s->stopping)
		return (struct verdict){ .cause = CAUSE_SHUTTING_DOWN };
	if (r->setup.dry_run ? a || is_being_accepted(s, id) : a && !a->kept)
		return (struct verdict){ .cause = CAUSE_TOO_MANY_IN_FLIGHT,
					 .detail = "another request with this ID is under way" };
	if (!outbox_can_watch(r->server, r->peer, id))
		return (struct verdict){ .cause = CAUSE_TOO_MANY_IN_FLIGHT,
					 .detail = "too many requests are unfinished that this connection waits for" };
	const char *excess = a ? NULL : room_excess(s, room);
	if (excess)
		return (struct verdict){ .cause = CAUSE_TOO_MANY_IN_FLIGHT, .detail = excess };
	return (struct verdict){ .cause = CAUSE_NO_CAUSE };
}

/* 2xx that need a clock; and the deadline. */
static struct verdict settle_times(struct request *r)
{
	uint64_t now = clock_wall_ms();
	uint64_t latest = now + r->server->live->config->request_deadline_s * 1000ull;
	struct setup *s = &r->setup;
	char detail[200];
	enum cause cause = setup_times_check(s, now, false, detail, sizeof detail);
	if (cause == CAUSE_NO_CAUSE && s->expires_ms != 0 && s->expires_ms <= now) {
		cause = CAUSE_REQUEST_EXPIRED;
		snprintf(detail, sizeof detail, "its deadline is past by the home ACMS's clock");
	}
	if (s->expires_ms == 0 || s->expires_ms > latest)
		s->expires_ms = latest;
	if (cause == CAUSE_NO_CAUSE)
		return (struct verdict){ .cause = CAUSE_NO_CAUSE };
	return (struct verdict){ .cause = cause, .detail = arena_printf(r->arena, "%s", detail) };
}

/* Late, or for no target: it may have been accepted when it was not, and then has its answers. */
static void accept(struct request *r, const struct acmc_rule *acmc, const struct route *routes, size_t n,
		   const struct room *room, const struct verdict *late)
{
	struct asking *g = asking_new(r, acmc, routes, n);
	struct setup copy;
	if (!g || !setup_copy(g->arena, &r->setup, &copy)) {
		respond_all(r, routes, n,
			    &(struct verdict){ .cause = CAUSE_STORE_UNAVAILABLE, .detail = "out of memory" },
			    true);
		if (g)
			arena_free(g->arena);
		return;
	}
	g->what.setup = copy;
	request_holds(r, g->arena);
	g->what.bytes = room->bytes;
	if (late->cause != CAUSE_NO_CAUSE) {
		g->verdict = *late;
		g->verdict.detail = late->detail ? arena_printf(g->arena, "%s", late->detail) : NULL;
		g->what.late = &g->verdict;
		g->what.claim = &g->claim;
	}
	g->job.run = run_accept;
	g->job.done = accepted;
	g->job.adds = true;
	LIST_INSERT_HEAD(&r->server->accepting, g, in_server);
	g->room = *room;
	unfinished_add(&r->server->unfinished, room->charged, room->bytes);
	committer_submit(r->server->committer, &g->job);
}

/* The first one's cause, if no target is left. */
static struct verdict judge_targets(const struct route *routes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (routes[i].cause == CAUSE_NO_CAUSE)
			return (struct verdict){ .cause = CAUSE_NO_CAUSE };
	}
	return (struct verdict){ .cause = routes[0].cause };
}

/* What passed all checks. */
static void take(struct request *r, const struct acmc_rule *acmc, const struct route *routes, size_t n,
		 const struct verdict *late)
{
	struct room room = { unfinished_of(&r->server->unfinished, acmc->name), unfinished_bytes(&r->setup, n) };
	struct verdict v = room.charged ? check_room(r, &room) :
					  (struct verdict){ .cause = CAUSE_STORE_UNAVAILABLE, .detail = "out of memory" };
	if (v.cause != CAUSE_NO_CAUSE)
		respond_all(r, routes, n, &v, true);
	else if (r->setup.dry_run)
		deliver_unkept(r, acmc, routes, n, &room);
	else
		accept(r, acmc, routes, n, &room, late);
}

void home_setup(struct request *r, const struct acmc_rule *acmc)
{
	const struct config *config = r->server->live->config;
	struct route *own = arena_alloc(r->arena, sizeof *own);
	size_t n = 0;
	fail_point("home-received");
	struct verdict v = setup_check(r->arena, &r->received, &config->limits, &r->setup);
	if (v.cause == CAUSE_NO_CAUSE && peer_version(r->peer) >= 2)
		v = setup_answerable(&r->setup, peer_max_frame(r->peer));
	bool well_formed = v.cause == CAUSE_NO_CAUSE;
	struct route *routes = routes_of(r->arena, config, acmc, r->received.mc_system_ids,
					 r->received.n_mc_system_ids, &n);
	if (!own || !routes || n == 0 ||
	    r->received.n_mc_system_ids > config->limits.max_mc_system_ids) {
		struct route spare = { .target = config->mc_system_id };
		if (well_formed) /* only for want of memory */
			v = setup_no_memory(r->arena);
		if (!own) {
			respond_all(r, &spare, 1, &v, false);
			return;
		}
		*own = spare;
		refuse(r, acmc, own, 1, &v, false);
		return;
	}
	struct verdict late = { .cause = CAUSE_NO_CAUSE };
	if (well_formed) {
		late = settle_times(r);
		v = authorise_acmc(r->arena, acmc, &r->setup);
	}
	bool kept = v.cause == CAUSE_NO_CAUSE && !r->setup.dry_run;
	struct verdict targetless = kept ? judge_targets(routes, n) : (struct verdict){ .cause = CAUSE_NO_CAUSE };
	if (targetless.cause != CAUSE_NO_CAUSE)
		late = targetless;
	if (late.cause != CAUSE_NO_CAUSE && !kept)
		refuse(r, acmc, routes, n, &late, true);
	else if (v.cause != CAUSE_NO_CAUSE)
		refuse(r, acmc, routes, n, &v, well_formed);
	else
		take(r, acmc, routes, n, &late);
}
