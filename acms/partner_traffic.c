#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "acms/authorise.h"
#include "acms/partner_link_internal.h"
#include "common/clock.h"
#include "common/exchange.h"
#include "common/failpoint.h"
#include "common/log.h"
#include "common/receipt_sign.h"
#include "common/text.h"

/* What goes over the connection to a partner, and comes back. */

/*
 * Requests read from the store in one go, and users that are with a partner at a time: as many as keep it busy. More would
 * only lie about in the memory of both, decoded and as frames.
 */
enum { LOAD_MAX = 32, USERS_SENT_MAX = 32000 };

/* --- deliveries --- */

/* Feeds an event to all deliveries in a phase; each may go elsewhere, or away. */
void traffic_event(struct partner_link *l, enum delivery_phase phase, enum delivery_event event,
		     const char *detail)
{
	struct delivery *d, *next, *last = TAILQ_LAST(&l->lists[phase], delivery_list);
	for (d = TAILQ_FIRST(&l->lists[phase]); d; d = d == last ? NULL : next) {
		next = TAILQ_NEXT(d, in_link);
		outbox_event(d, event, detail);
	}
}

size_t traffic_most_bytes(const struct partner_link *l)
{
	uint32_t theirs = l->announced.max_frame_bytes;
	uint32_t ours = l->server->live->config->limits.max_frame_bytes;
	return (theirs < ours ? theirs : ours) / 4;
}

/* False: it is too long. */
static bool send_request(struct partner_link *l, const struct message *m)
{
	fail_point("home-send");
	return exchange_send_within(l->conn, traffic_most_bytes(l), m);
}

static bool over_limit(const struct partner_link *l, const struct setup *setup)
{
	const struct limits *most = &l->announced;
	if (setup->n_users > most->max_mc_ids)
		return true;
	for (size_t i = 0; i < setup->n_users; i++) {
		if (setup->users[i].n_service_ids > most->max_mc_service_ids_per_mc_id)
			return true;
	}
	return false;
}

/*
 * It cannot be sent. That is its answer if it is sure that it never was; otherwise the partner may have done it, and what
 * is said about it is not said here: it waits for an answer, another configuration or connection, or its deadline.
 */
static void unsendable(struct delivery *d, const struct verdict *why)
{
	const char *detail = why->detail ? why->detail : cause_text(why->cause);
	if (!delivery_never_sent(d->outlook)) {
		outbox_event(d, DELIVERY_EV_BARRED, detail);
		return;
	}
	d->unsendable = why;
	outbox_event(d, DELIVERY_EV_UNSENDABLE, why->detail ? why->detail : "");
}

/* By the rules of now, if they are not those that it was accepted, or judged, by. Ours alone: a partner judges by its own. */
static struct verdict judge(struct delivery *d, struct arena *a, struct str acmc, const struct setup *setup)
{
	const struct server *s = d->asked->server;
	struct verdict v = { .cause = CAUSE_NO_CAUSE };
	if (d->permitted != s->rules)
		v = authorise_again(a, s->live->config, acmc, setup, d->target);
	if (v.cause == CAUSE_NO_CAUSE)
		d->permitted = s->rules;
	return v;
}

/* In version 1 there are no expires and no groups; what else it does not know cannot be left out. */
static bool for_version(uint32_t version, struct setup_request *request)
{
	if (version >= 2)
		return true;
	request->expires_ms = 0;
	request->grouped = false;
	return !setup_request_needs_version_2(request);
}

static void send_one(struct partner_link *l, struct delivery *d, struct str acmc, const struct setup *setup)
{
	struct message m = { .kind = MESSAGE_SETUP_REQUEST };
	struct arena *a = arena_new(0);
	struct verdict v = { .cause = CAUSE_NO_CAUSE };
	if (d->asked->kept && d->asked->deadline_ms <= clock_wall_ms()) {
		outbox_event(d, DELIVERY_EV_DEADLINE, NULL);
	} else if (!a || !setup_to_request(a, setup, d->target, &m.request)) {
		outbox_event(d, DELIVERY_EV_NOT_STORED, "out of memory");
	} else if ((v = judge(d, a, acmc, setup)).cause != CAUSE_NO_CAUSE) {
		unsendable(d, &v);
	} else if (!for_version(l->version, &m.request)) {
		unsendable(d, &(struct verdict){ .cause = CAUSE_PARTNER_VERSION });
	} else if (over_limit(l, setup) || !send_request(l, &m)) {
		unsendable(d, &(struct verdict){ .cause = CAUSE_PARTNER_LIMIT });
	} else {
		d->attempts++;
		d->users = setup->n_users;
		d->sent_mono_ms = clock_mono_ms();
		outbox_event(d, DELIVERY_EV_SENT, NULL);
	}
	arena_free(a);
}

struct load_job {
	struct job job;
	struct server *server;
	char mc_system_id[MC_SYSTEM_ID_MAX + 1];
	uint64_t connection;
	size_t n;
	struct { struct request_id id; bool found; struct asked_record asked; } items[LOAD_MAX];
};

static void run_load(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct load_job *j = (struct load_job *)job;
	(void)now_ms;
	for (size_t i = 0; i < j->n; i++) {
		j->items[i].found = store_get_asked(t, work, j->items[i].id, &j->items[i].asked);
		store_pass_over(t); /* the others are read */
	}
}

static struct delivery *delivery_of(struct partner_link *l, const struct request_id *id)
{
	struct asked *a = outbox_find(l->server, id);
	struct delivery *d = NULL;
	if (a) {
		TAILQ_FOREACH(d, &a->deliveries, in_asked) {
			if (d->link == l)
				break;
		}
	}
	return d;
}

/* Sent if there still is the connection that they were read for; otherwise they queue again. */
static void loaded(struct job *job, enum status status)
{
	struct load_job *j = (struct load_job *)job;
	struct partner_link *l = partner_link_find(j->server, str_of(j->mc_system_id));
	bool up = l && link_is_up(l->state) && l->connection == j->connection;
	for (size_t i = 0; l && i < j->n; i++) {
		struct delivery *d = delivery_of(l, &j->items[i].id);
		if (!d || d->phase != DELIVERY_PHASE_LOADING)
			continue;
		if (status != OK || !j->items[i].found)
			outbox_event(d, DELIVERY_EV_NOT_STORED, "the store could not be read");
		else if (up)
			send_one(l, d, j->items[i].asked.acmc, &j->items[i].asked.setup);
		else
			outbox_event(d, DELIVERY_EV_DUE, NULL);
	}
	j->server->requests--;
	if (up)
		traffic_send(l);
	server_check_stopped(j->server);
	free(j);
}

static void load(struct partner_link *l, size_t room)
{
	struct load_job *j = calloc(1, sizeof *j);
	struct delivery *d;
	if (!j) {
		outbox_event(TAILQ_FIRST(&l->lists[DELIVERY_PHASE_QUEUED]), DELIVERY_EV_NOT_STORED,
			     "out of memory");
		return;
	}
	j->job.run = run_load;
	j->job.done = loaded;
	j->server = l->server;
	j->connection = l->connection;
	memcpy(j->mc_system_id, l->mc_system_id, sizeof j->mc_system_id);
	while (j->n < LOAD_MAX && j->n < room && (d = TAILQ_FIRST(&l->lists[DELIVERY_PHASE_QUEUED])) &&
	       !d->asked->arena) {
		j->items[j->n++].id = d->asked->id;
		outbox_event(d, DELIVERY_EV_LOADING, NULL);
	}
	l->server->requests++;
	reader_submit(l->server->reader, &j->job); /* its phase tells whether it is still to be sent then */
}

size_t traffic_room(const struct partner_link *l)
{
	size_t taken = l->n_sent + l->n_loading + l->n_asked;
	return taken < l->announced.max_requests_in_flight ?
		       l->announced.max_requests_in_flight - taken : 0;
}

bool traffic_ready(const struct partner_link *l)
{
	return link_is_up(l->state) && !conn_is_choked(l->conn);
}

/* Each that it looks at leaves the queue, if only for a while. */
void traffic_send(struct partner_link *l)
{
	struct delivery *d;
	size_t room;
	traffic_ask(l);
	while (traffic_ready(l) && l->users_sent < USERS_SENT_MAX && (room = traffic_room(l)) > 0 &&
	       (d = TAILQ_FIRST(&l->lists[DELIVERY_PHASE_QUEUED]))) {
		l->query_was_last = false;
		if (d->asked->arena) {
			send_one(l, d, d->asked->acmc, &d->asked->setup);
		} else if (l->n_loading == 0) {
			load(l, room);
		} else {
			return;
		}
	}
}

void partner_link_submit(struct partner_link *l, struct delivery *d)
{
	TAILQ_INSERT_TAIL(&l->lists[d->phase], d, in_link);
	d->listed = true;
	if (d->phase == DELIVERY_PHASE_SENT) {
		l->n_sent++;
		l->users_sent += d->users;
	}
	l->n_loading += d->phase == DELIVERY_PHASE_LOADING;
	if (d->phase != DELIVERY_PHASE_QUEUED)
		return;
	if (l->state == LINK_DOWN && l->failures > 0) {
		text_format(d->detail, sizeof d->detail, "%s", l->last_failure);
		if (!d->asked->kept) {
			outbox_event(d, DELIVERY_EV_UNREACHABLE, NULL);
			return;
		}
		outbox_tell_delayed(d);
	}
	partner_link_feed(l, LINK_EV_WANT);
}

void partner_link_drop(struct partner_link *l, struct delivery *d)
{
	if (!d->listed)
		return;
	TAILQ_REMOVE(&l->lists[d->phase], d, in_link);
	d->listed = false;
	if (d->phase == DELIVERY_PHASE_SENT) {
		l->n_sent--;
		l->users_sent -= d->users;
	}
	l->n_loading -= d->phase == DELIVERY_PHASE_LOADING;
}

/* Those who wait are told once; what is not kept does not wait. */
void traffic_unreachable(struct partner_link *l)
{
	enum delivery_event why = l->server->stopping ? DELIVERY_EV_STOPPING : DELIVERY_EV_UNREACHABLE;
	struct delivery *d, *next;
	for (d = TAILQ_FIRST(&l->lists[DELIVERY_PHASE_QUEUED]); d; d = next) {
		next = TAILQ_NEXT(d, in_link);
		outbox_event(d, why, l->last_failure);
	}
	TAILQ_FOREACH(d, &l->lists[DELIVERY_PHASE_QUEUED], in_link)
		outbox_tell_delayed(d);
}

/* --- what comes back --- */

/*
 * A receipt counts only with a good signature of who is at the other end. Here that is known of the root that the response
 * names; that the receipt leads to it is found out where the request is at hand. NULL: it is not good, and that is dealt with.
 */
static struct receipt_proof *good_receipt(struct partner_link *l, struct arena *a,
					  const struct setup_response *response)
{
	struct receipt_proof *p = arena_alloc(a, sizeof *p);
	struct error e = { ERR_MEMORY, "out of memory" };
	if (p && !response->receipt_root.ptr)
		error_set(&e, ERR_INPUT, "a receipt without its root");
	else if (p)
		memcpy(p->root.bytes, response->receipt_root.ptr, sizeof p->root.bytes);
	if (p && response->receipt_root.ptr &&
	    receipt_verify_peer(a, conn_ssl(l->conn), response->receipt, &p->root, response->done_ms, &p->path, &e) == OK)
		return p;
	partner_link_nonsense(l, e.text);
	return NULL;
}

/*
 * What nobody waits for may still be wanted: it may take the place of an answer of ours. The store knows, and no more comes by
 * this connection than it can say. False: the connection is given up.
 */
static bool take_late(struct partner_link *l)
{
	if (!partner_link_bear(l, "a response"))
		return false;
	if (++l->n_late == LATE_MAX)
		conn_pause(l->conn);
	return true;
}

/* True: the arena, which the message lives in, is taken. */
static bool on_response(struct partner_link *l, struct arena *a, const struct setup_response *response)
{
	struct receipt_proof *receipt = NULL;
	struct delivery *d = delivery_of(l, &response->request_id);
	bool late = !d || d->phase == DELIVERY_PHASE_ANSWERING;
	fail_point("home-response");
	if (d && late && !d->by_ourselves) { /* one is enough */
		partner_link_bear(l, "a response");
		return false;
	}
	if (l->version >= 2 && response->receipt.ptr && !(receipt = good_receipt(l, a, response))) {
		if (d)
			outbox_nonsense(d, "a receipt that is not valid");
		return false;
	}
	if (late && !take_late(l))
		return false;
	if (!late)
		l->unasked = 0;
	outbox_response(l->server, str_of(l->mc_system_id), a, response, l->version, receipt, late ? l->connection : 0);
	traffic_send(l);
	partner_link_close_if_drained(l);
	return true;
}

/* One for each time that a request is sent. */
static void on_indication(struct partner_link *l, const struct process_indication *m)
{
	struct delivery *d = delivery_of(l, &m->request_id);
	if (m->state != PROCESS_PENDING || !str_eq(m->mc_system_id, str_of(l->mc_system_id))) {
		partner_link_refuse(l, CAUSE_MALFORMED_MESSAGE, "a process indication that a partner does not give");
		return;
	}
	if (!d || d->phase != DELIVERY_PHASE_SENT) {
		partner_link_bear(l, "a process indication");
		return;
	}
	l->unasked = 0;
	outbox_pending(d, m->until_ms, m->detail);
	traffic_send(l);
	partner_link_close_if_drained(l);
}

/* True: the arena is taken. */
bool traffic_take(struct partner_link *l, struct arena *a, struct message *m)
{
	switch (m->kind) {
	case MESSAGE_SETUP_RESPONSE:
		return on_response(l, a, &m->response);
	case MESSAGE_PROCESS_INDICATION:
		on_indication(l, &m->indication);
		return false;
	case MESSAGE_USERS_PAGE:
	case MESSAGE_DIGEST_PAGE:
		traffic_page(l, m);
		traffic_send(l);
		partner_link_close_if_drained(l);
		return false;
	case MESSAGE_HELLO:
	case MESSAGE_SETUP_REQUEST:
	case MESSAGE_PING:
	case MESSAGE_PONG:
	case MESSAGE_CLOSE:
	case MESSAGE_REQUESTS_QUERY:
	case MESSAGE_REQUESTS_PAGE:
	case MESSAGE_USERS_QUERY:
	case MESSAGE_DIGEST_QUERY:
	case MESSAGE_PENDING_QUERY:
	case MESSAGE_PENDING_PAGE:
	case MESSAGE_DECISION:
	case MESSAGE_DECISION_RESULT:
		break;
	}
	partner_link_refuse(l, CAUSE_UNEXPECTED_MESSAGE, message_kind_name(m->kind));
	return false;
}

/* --- what takes too long --- */

/* No answer in time: whatever ails the connection, another one may fare better. */
static void check_sent(struct partner_link *l, uint64_t now)
{
	uint64_t patience = l->server->live->config->partner_timeout_s * 1000ull;
	const struct delivery *oldest = TAILQ_FIRST(&l->lists[DELIVERY_PHASE_SENT]);
	traffic_check_queries(l, now, patience);
	if (l->conn && oldest && now - oldest->sent_mono_ms >= patience) {
		text_format(l->last_failure, sizeof l->last_failure, "no answer within %u s",
			    l->server->live->config->partner_timeout_s);
		conn_kill(l->conn, l->last_failure);
	}
}

void partner_links_tick(struct server *s)
{
	uint64_t now = clock_mono_ms();
	int64_t unix_now = (int64_t)(clock_wall_ms() / 1000);
	struct partner_link *l;
	TAILQ_FOREACH(l, &s->links, in_server) {
		struct delivery *d, *next;
		for (d = TAILQ_FIRST(&l->lists[DELIVERY_PHASE_RESTING]); d; d = next) {
			next = TAILQ_NEXT(d, in_link);
			if (d->due_mono_ms <= now)
				outbox_event(d, DELIVERY_EV_DUE, NULL);
		}
		check_sent(l, now);
		partner_link_check_end(l, unix_now);
		partner_link_log_missed(l);
		if (l->state == LINK_TRIED && now - l->up_mono_ms >= LINK_LASTS_MS)
			partner_link_feed(l, LINK_EV_USEFUL);
	}
}
