#include <stdio.h>
#include <stdlib.h>
#include "acms/outbox_internal.h"
#include "common/failpoint.h"
#include "common/log.h"
#include "common/text.h"

/* What ends a delivery: the partner's response, or our own answer; on disk before it is told. */

struct answer_job {
	struct job job;
	struct server *server;
	struct arena *arena;         /* that the response lives in */
	struct arena *shared;        /* of what was asked, if it is at hand; or NULL */
	struct asked_record asked;
	struct setup_response response;
	char detail[200];
	struct home_answer what;
	struct home_recorded out;
	uint64_t late;               /* the connection that a response came by which nobody waits for; or 0 */
};

static void log_answer(const struct request_id *id, const struct setup_response *r)
{
	char text[REQUEST_ID_TEXT_SIZE];
	request_id_format(*id, text);
	log_info("request %s for %s: %s%s%s", text, LOG_STR(r->mc_system_id),
		 r->result ? "TRUE" : "FALSE", r->result ? "" : " ",
		 r->result ? "" : cause_name(r->cause));
}

static void publish(struct delivery *d, const struct setup *setup, const struct answer_record *answer)
{
	struct setup_response response;
	home_response(setup, d->target, answer, &response);
	log_answer(&d->asked->id, &response);
	outbox_tell_response(d->asked, setup, &response);
}

static void run_answer(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct answer_job *j = (struct answer_job *)job;
	home_answer(t, work, &j->what, now_ms, &j->out);
	fail_point("home-answer-written");
}

/* What is on disk now decides, whatever the delivery, if there still is one, was about. */
static void settle(struct answer_job *j, struct delivery *d)
{
	struct partner_link *link = partner_link_find(j->server, j->what.partner);
	if (j->out.fault) {
		if (link)
			partner_link_nonsense(link, j->out.fault);
		if (d && !j->late)
			outbox_nonsense(d, j->out.fault);
		return;
	}
	if (j->out.later) {
		char why[160];
		snprintf(why, sizeof why, "the partner says %s", cause_name(j->response.cause));
		if (d && !j->late)
			outbox_event(d, DELIVERY_EV_TRANSIENT, why);
		return;
	}
	if (j->out.recorded && d) {
		if (link && j->what.response)
			partner_link_useful(link);
		publish(d, &j->out.setup, &j->out.answer);
		fail_point("home-answer-told");
	}
	if (d)
		outbox_event(d, DELIVERY_EV_STORED, NULL);
}

static void answered(struct job *job, enum status status)
{
	struct answer_job *j = (struct answer_job *)job;
	struct delivery *d = outbox_find_delivery(j->server, &j->what.request_id, j->what.partner);
	struct partner_link *link = j->late ? partner_link_find(j->server, j->what.partner) : NULL;
	fail_point("home-answered");
	if (link)
		partner_link_late_done(link, j->late, status == OK && j->out.recorded);
	if (d && !d->asked->kept) /* a dry run since, with the ID of one that was done */
		d = NULL;
	if (status == OK)
		settle(j, d);
	else if (d)
		outbox_event(d, DELIVERY_EV_NOT_STORED, "the store could not be written");
	j->server->requests--;
	server_check_stopped(j->server);
	arena_free(j->shared);
	arena_free(j->arena);
	free(j);
}

/* users: of the request, about. */
static void submit_answer(struct answer_job *j, struct server *s, size_t users)
{
	j->server = s;
	j->job.run = run_answer;
	j->job.done = answered;
	j->job.weight = users + 1;
	j->what.own = arena_str(j->arena, s->live->config->mc_system_id);
	s->requests++;
	committer_submit(s->committer, &j->job);
}

/* NULL: out of memory. The arena is taken. */
static struct answer_job *answer_job_new(struct arena *arena, const struct request_id *id,
					 struct str partner)
{
	struct answer_job *j = arena ? calloc(1, sizeof *j) : NULL;
	if (!j) {
		arena_free(arena);
		return NULL;
	}
	j->arena = arena;
	j->what.request_id = *id;
	j->what.partner = arena_str(arena, partner);
	return j;
}

/* Saves reading it from the store. The delivery may go meanwhile. */
static void borrow_asked(struct answer_job *j, const struct asked *a)
{
	j->shared = arena_share(a->arena);
	j->asked = (struct asked_record){ .accepted_ms = a->accepted_ms, .acmc = a->acmc, .certificate = a->certificate, .setup = a->setup };
	memcpy(j->asked.content, a->content, DIGEST_SIZE);
	j->what.asked = j->shared ? &j->asked : NULL;
}

/* Nothing of it is on disk: only those who wait are told. */
static void answer_unkept(struct delivery *d, const struct answer_record *answer)
{
	publish(d, &d->asked->setup, answer);
	outbox_event(d, DELIVERY_EV_STORED, NULL);
}

/* Into the arena of its answer. False: it is spent. */
static bool copy_identities(struct arena *a, const struct verdict *v, struct home_answer *out)
{
	struct identity_cause *ids = arena_array(a, v->n_identities, sizeof *ids);
	bool good = ids != NULL;
	for (size_t i = 0; good && i < v->n_identities; i++) {
		const struct identity_cause *c = &v->identities[i];
		ids[i] = (struct identity_cause){ arena_str(a, c->mc_id), arena_str(a, c->mc_service_id), c->cause };
		good = ids[i].mc_id.ptr && !ids[i].mc_service_id.ptr == !c->mc_service_id.ptr;
	}
	out->identities = ids;
	out->n_identities = v->n_identities;
	return good;
}

void outbox_answer_ourselves(struct delivery *d, const struct verdict *why)
{
	struct asked *a = d->asked;
	struct answer_record own = { .origin = ORIGIN_HOME_ACMS, .cause = why->cause,
				     .detail = d->detail[0] ? str_of(d->detail) : STR_NONE,
				     .identities = why->identities, .n_identities = why->n_identities };
	if (!a->kept) {
		answer_unkept(d, &own);
		return;
	}
	struct answer_job *j = answer_job_new(arena_new(0), &a->id, d->target);
	if (!j || !copy_identities(j->arena, why, &j->what)) {
		if (j)
			arena_free(j->arena);
		free(j);
		outbox_event(d, DELIVERY_EV_NOT_STORED, "out of memory");
		return;
	}
	d->by_ourselves = true;
	text_format(j->detail, sizeof j->detail, "%s", d->detail);
	j->what.cause = why->cause;
	j->what.detail = j->detail;
	submit_answer(j, a->server, 0);
}

static void take_unkept(struct delivery *d, struct arena *a, const struct setup_response *r, uint32_t version)
{
	const char *fault = setup_response_fault(&d->asked->setup, d->target, version, r);
	if (fault == setup_fault_memory) {
		outbox_event(d, DELIVERY_EV_NOT_STORED, "out of memory");
		return;
	}
	if (fault) {
		if (d->link)
			partner_link_nonsense(d->link, fault);
		outbox_nonsense(d, fault);
		return;
	}
	struct answer_record answer = { .origin = r->origin, .cause = r->cause, .detail = r->detail,
					.identities = r->identities, .n_identities = r->n_identities };
	if (setup_revisions(a, &d->asked->setup, r, &answer.revisions, &answer.n_revisions))
		answer_unkept(d, &answer);
	else
		outbox_event(d, DELIVERY_EV_NOT_STORED, "out of memory");
}

void outbox_response(struct server *s, struct str partner, struct arena *arena,
		     const struct setup_response *response, uint32_t version,
		     const struct receipt_proof *receipt, uint64_t late)
{
	struct delivery *d = late ? NULL : outbox_find_delivery(s, &response->request_id, partner);
	size_t users = d ? d->users : 0;
	if (d)
		outbox_event(d, DELIVERY_EV_RESPONSE, NULL);
	if (d && !d->asked->kept) {
		take_unkept(d, arena, response, version);
		arena_free(arena);
		return;
	}
	struct answer_job *j = answer_job_new(arena, &response->request_id, partner);
	if (!j) {
		if (d)
			outbox_event(d, DELIVERY_EV_NOT_STORED, "out of memory");
		return;
	}
	j->response = *response;
	j->late = late;
	j->what.response = &j->response;
	j->what.version = version;
	j->what.receipt = receipt;
	j->what.memo = &s->memo;
	if (d)
		borrow_asked(j, d->asked);
	submit_answer(j, s, users);
}
