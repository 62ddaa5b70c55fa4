#include "common/message_internal.h"

#include <stdlib.h>
#include "common/frame.h"
#include "common/text.h"

/*
 * The generated structs of one message are made in an arena. protobuf-c wants texts NUL-terminated, so they are copied
 * there, too. When it fails, what was made is not looked at any more.
 */
struct writer {
	Acx__Message message;
	struct arena *arena;
	bool failed;
};

static char *write_text(struct writer *w, struct str s)
{
	struct str copy = s.ptr ? arena_str(w->arena, s) : STR("");
	w->failed |= !copy.ptr || copy.len > RECEIVED_MAX || !text_valid(copy);
	return copy.ptr ? (char *)copy.ptr : "";
}

static char *write_cut(struct writer *w, struct str text, size_t most)
{
	struct str copy = text.ptr ? arena_str(w->arena, text_cut(text, most)) : STR("");
	w->failed |= !copy.ptr;
	if (copy.len > 0)
		text_mend((char *)copy.ptr, copy.len);
	return copy.ptr ? (char *)copy.ptr : "";
}

static char *write_prose(struct writer *w, struct str text)
{
	return write_cut(w, text, PROSE_MAX);
}

/* Not zeroed: pointers, or structs that their init function fills in. */
static void *write_list(struct writer *w, size_t n, size_t size)
{
	size_t bytes;
	void *list = __builtin_mul_overflow(n, size, &bytes) ? NULL : arena_raw(w->arena, bytes);
	w->failed |= !list;
	return list;
}

static char **write_texts(struct writer *w, const struct str *texts, size_t n)
{
	char **list = write_list(w, n, sizeof *list);
	for (size_t i = 0; list && i < n; i++)
		list[i] = write_text(w, texts[i]);
	return list;
}

static Acx__McServiceIdEntry **write_entries(struct writer *w,
					     const struct service_id_entry *entries, size_t n)
{
	Acx__McServiceIdEntry **list = write_list(w, n, sizeof *list);
	Acx__McServiceIdEntry *items = write_list(w, n, sizeof *items);
	for (size_t i = 0; list && items && i < n; i++) {
		acx__mc_service_id_entry__init(&items[i]);
		items[i].mc_id = write_text(w, entries[i].mc_id);
		items[i].service = (Acx__McService)entries[i].service;
		items[i].mc_service_id = write_text(w, entries[i].mc_service_id);
		list[i] = &items[i];
	}
	return items ? list : NULL;
}

static ProtobufCBinaryData write_request_id(const struct request_id *id)
{
	return (ProtobufCBinaryData){ REQUEST_ID_SIZE, (uint8_t *)id->bytes };
}

static ProtobufCBinaryData write_optional_id(bool given, const struct request_id *id)
{
	return given ? write_request_id(id) : (ProtobufCBinaryData){ 0, NULL };
}

static Acx__UserRevision **write_revisions(struct writer *w, const struct user_revision *revisions,
					   size_t n)
{
	Acx__UserRevision **list = write_list(w, n, sizeof *list);
	Acx__UserRevision *items = write_list(w, n, sizeof *items);
	for (size_t i = 0; list && items && i < n; i++) {
		acx__user_revision__init(&items[i]);
		items[i].mc_id = write_text(w, revisions[i].mc_id);
		items[i].revision = revisions[i].revision;
		list[i] = &items[i];
	}
	return list;
}

static Acx__Validity *write_validity(struct writer *w, struct validity v)
{
	Acx__Validity *out = write_list(w, 1, sizeof *out);
	if (!out)
		return NULL;
	acx__validity__init(out);
	out->not_before = v.not_before_ms;
	out->not_after = v.not_after_ms;
	return out;
}

static void write_hello(struct writer *w, const struct hello *m, Acx__Hello *out)
{
	Acx__Limits *limits = write_list(w, 1, sizeof *limits);
	acx__hello__init(out);
	out->version_min = m->version_min;
	out->version_max = m->version_max;
	if (m->mc_system_id.ptr) {
		out->mc_system_id_ie_case = ACX__HELLO__MC_SYSTEM_ID_IE_MC_SYSTEM_ID;
		out->mc_system_id = write_text(w, m->mc_system_id);
	}
	out->software = write_cut(w, m->software, WHO_MAX);
	out->limits = limits;
	if (!limits)
		return;
	acx__limits__init(limits);
	limits->max_frame_bytes = m->limits.max_frame_bytes;
	limits->max_mc_ids = m->limits.max_mc_ids;
	limits->max_mc_service_ids_per_mc_id = m->limits.max_mc_service_ids_per_mc_id;
	limits->max_mc_system_ids = m->limits.max_mc_system_ids;
	limits->max_requests_in_flight = m->limits.max_requests_in_flight;
	limits->idle_timeout_seconds = m->limits.idle_timeout_seconds;
}

/* How many entries, one after the other, are the MC ID's. They mostly share its bytes. */
static size_t count_group(const struct service_id_entry *entries, size_t n, struct str mc_id)
{
	size_t i = 0;
	while (i < n && entries[i].mc_id.len == mc_id.len &&
	       (entries[i].mc_id.ptr == mc_id.ptr || str_eq(entries[i].mc_id, mc_id)))
		i++;
	return i;
}

/* A byte for each MC ID. False: the entries are not in their order, or one has more than a byte can say. */
static bool count_groups(const struct setup_request *m, uint8_t *counts)
{
	size_t at = 0;
	for (size_t i = 0; i < m->n_mc_ids; i++) {
		size_t n = count_group(m->service_ids + at, m->n_service_ids - at, m->mc_ids[i]);
		if (n > UINT8_MAX)
			return false;
		counts[i] = (uint8_t)n;
		at += n;
	}
	return at == m->n_service_ids;
}

/* False, and nothing is written: it cannot be said in groups. */
static bool write_groups(struct writer *w, const struct setup_request *m,
			 Acx__McServiceUserSetupRequest *out)
{
	size_t n = m->n_service_ids;
	uint8_t *counts = write_list(w, m->n_mc_ids, sizeof *counts);
	uint8_t *services = write_list(w, n, sizeof *services);
	char **ids = write_list(w, n, sizeof *ids);
	if (!counts || !services || !ids || !count_groups(m, counts))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (m->service_ids[i].service < 0 || m->service_ids[i].service > UINT8_MAX)
			return false;
		services[i] = (uint8_t)m->service_ids[i].service;
		ids[i] = write_text(w, m->service_ids[i].mc_service_id);
	}
	out->mc_service_ids_per_mc_id = (ProtobufCBinaryData){ n ? m->n_mc_ids : 0, counts };
	out->mc_service = (ProtobufCBinaryData){ n, services };
	out->n_mc_service_id = n;
	out->mc_service_id = ids;
	return true;
}

static void write_request(struct writer *w, const struct setup_request *m,
			  Acx__McServiceUserSetupRequest *out)
{
	acx__mc_service_user_setup_request__init(out);
	out->request_id = write_request_id(&m->request_id);
	if (m->home_acmc_id.ptr) {
		out->home_acmc_id_ie_case =
			ACX__MC_SERVICE_USER_SETUP_REQUEST__HOME_ACMC_ID_IE_HOME_ACMC_ID;
		out->home_acmc_id = write_text(w, m->home_acmc_id);
	}
	out->n_mc_system_id = m->n_mc_system_ids;
	out->mc_system_id = write_texts(w, m->mc_system_ids, m->n_mc_system_ids);
	out->n_mc_id_list = m->n_mc_ids;
	out->mc_id_list = write_texts(w, m->mc_ids, m->n_mc_ids);
	if (!m->grouped || !write_groups(w, m, out)) {
		out->n_mc_service_id_list = m->n_service_ids;
		out->mc_service_id_list = write_entries(w, m->service_ids, m->n_service_ids);
	}
	out->operation = (Acx__Operation)m->operation;
	out->n_expected_revision = m->n_revisions;
	out->expected_revision = write_revisions(w, m->revisions, m->n_revisions);
	if (m->has_validity)
		out->validity = write_validity(w, m->validity);
	out->expires = m->expires_ms;
	out->dry_run = m->dry_run;
	out->best_effort = m->best_effort;
	out->part = m->part;
	out->parts = m->parts;
}

static Acx__IdentityCause **write_identities(struct writer *w, const struct identity_cause *causes,
					     size_t n)
{
	Acx__IdentityCause **list = write_list(w, n, sizeof *list);
	Acx__IdentityCause *items = write_list(w, n, sizeof *items);
	for (size_t i = 0; list && items && i < n; i++) {
		acx__identity_cause__init(&items[i]);
		items[i].mc_id = write_text(w, causes[i].mc_id);
		items[i].cause = (Acx__Cause)causes[i].cause;
		if (causes[i].mc_service_id.ptr) {
			items[i].mc_service_id_ie_case =
				ACX__IDENTITY_CAUSE__MC_SERVICE_ID_IE_MC_SERVICE_ID;
			items[i].mc_service_id = write_text(w, causes[i].mc_service_id);
		}
		list[i] = &items[i];
	}
	return list;
}

static Acx__DecidedBy *write_decided_by(struct writer *w, const struct decided_by *m)
{
	Acx__DecidedBy *out = write_list(w, 1, sizeof *out);
	if (!out)
		return NULL;
	acx__decided_by__init(out);
	out->acmc = write_cut(w, m->acmc, WHO_MAX);
	out->reason = write_prose(w, m->reason);
	out->at = m->at_ms;
	return out;
}

static void write_response(struct writer *w, const struct setup_response *m,
			   Acx__McServiceUserSetupResponse *out)
{
	acx__mc_service_user_setup_response__init(out);
	out->request_id = write_request_id(&m->request_id);
	out->mc_system_id = write_text(w, m->mc_system_id);
	out->n_mc_id_list = m->n_mc_ids;
	out->mc_id_list = write_texts(w, m->mc_ids, m->n_mc_ids);
	out->n_mc_service_id_list = m->n_service_ids;
	out->mc_service_id_list = write_entries(w, m->service_ids, m->n_service_ids);
	out->result_ie_case = ACX__MC_SERVICE_USER_SETUP_RESPONSE__RESULT_IE_RESULT;
	out->result = m->result;
	out->origin = (Acx__Origin)m->origin;
	out->cause = (Acx__Cause)m->cause;
	out->n_identity_causes = m->n_identities;
	out->identity_causes = write_identities(w, m->identities, m->n_identities);
	out->detail = write_prose(w, m->detail);
	out->n_revision = m->n_revisions;
	out->revision = write_revisions(w, m->revisions, m->n_revisions);
	out->as_requested = m->as_requested;
	out->n_revision_of_each = m->n_of_each;
	out->revision_of_each = (uint64_t *)m->revision_of_each;
	out->receipt = (ProtobufCBinaryData){ m->receipt.len, (uint8_t *)m->receipt.ptr };
	out->receipt_root = (ProtobufCBinaryData){ m->receipt_root.len, (uint8_t *)m->receipt_root.ptr };
	out->done = m->done_ms;
	if (m->decided_by.acmc.ptr)
		out->decided_by = write_decided_by(w, &m->decided_by);
}

/* --- version 2 --- */

static Acx__McServiceUserSetupResponse *write_inner_response(struct writer *w,
							     const struct setup_response *m)
{
	Acx__McServiceUserSetupResponse *out = write_list(w, 1, sizeof *out);
	if (out)
		write_response(w, m, out);
	return out;
}

static void write_indication(struct writer *w, const struct process_indication *m,
			     Acx__ProcessIndication *out)
{
	acx__process_indication__init(out);
	out->request_id = write_request_id(&m->request_id);
	out->mc_system_id = write_text(w, m->mc_system_id);
	out->state = (Acx__ProcessState)m->state;
	out->until = m->until_ms;
	out->detail = write_prose(w, m->detail);
}

static void write_requests_query(struct writer *w, const struct requests_query *m,
				 Acx__RequestsQuery *out)
{
	acx__requests_query__init(out);
	out->token = m->token;
	out->request_id = write_optional_id(m->has_request_id, &m->request_id);
	out->unfinished_only = m->unfinished_only;
	out->refused_only = m->refused_only;
	out->mc_system_id = write_text(w, m->mc_system_id);
	out->since = m->since_ms;
	out->until = m->until_ms;
	out->after = write_optional_id(m->has_after, &m->after);
	out->max = m->max;
	out->follow = m->follow;
}

static void write_delivery(struct writer *w, const struct delivery_entry *m, Acx__Delivery *out)
{
	acx__delivery__init(out);
	out->mc_system_id = write_text(w, m->mc_system_id);
	out->state = (Acx__DeliveryState)m->state;
	out->attempts = m->attempts;
	out->until = m->until_ms;
	out->detail = write_prose(w, m->detail);
	if (m->has_response)
		out->response = write_inner_response(w, &m->response);
	out->answered = m->answered_ms;
}

static void write_request_entry(struct writer *w, const struct request_entry *m,
				Acx__RequestEntry *out)
{
	size_t n = m->n_deliveries;
	acx__request_entry__init(out);
	out->request_id = write_request_id(&m->request_id);
	out->operation = (Acx__Operation)m->operation;
	out->acmc = write_cut(w, m->acmc, WHO_MAX);
	out->accepted = m->accepted_ms;
	out->deadline = m->deadline_ms;
	out->part = m->part;
	out->parts = m->parts;
	out->users = m->users;
	out->n_deliveries = n;
	out->deliveries = write_list(w, n, sizeof *out->deliveries);
	Acx__Delivery *items = write_list(w, n, sizeof *items);
	for (size_t i = 0; out->deliveries && items && i < n; i++) {
		write_delivery(w, &m->deliveries[i], &items[i]);
		out->deliveries[i] = &items[i];
	}
}

/* What all pages begin with. */
#define WRITE_PAGE(w, m, out)                               \
	do {                                                \
		(out)->token = (m)->page.token;             \
		(out)->cause = (Acx__Cause)(m)->page.cause; \
		(out)->detail = write_prose(w, (m)->page.detail); \
	} while (0)

static void write_requests_page(struct writer *w, const struct requests_page *m,
				Acx__RequestsPage *out)
{
	size_t n = m->n_entries;
	acx__requests_page__init(out);
	WRITE_PAGE(w, m, out);
	out->more = m->page.more;
	out->n_entries = n;
	out->entries = write_list(w, n, sizeof *out->entries);
	Acx__RequestEntry *items = write_list(w, n, sizeof *items);
	for (size_t i = 0; out->entries && items && i < n; i++) {
		write_request_entry(w, &m->entries[i], &items[i]);
		out->entries[i] = &items[i];
	}
}

static void write_users_query(struct writer *w, const struct users_query *m, Acx__UsersQuery *out)
{
	acx__users_query__init(out);
	out->token = m->token;
	out->mc_system_id = write_text(w, m->mc_system_id);
	out->believed = m->believed;
	out->n_mc_id_list = m->n_mc_ids;
	out->mc_id_list = write_texts(w, m->mc_ids, m->n_mc_ids);
	out->from = write_text(w, m->from);
	out->to = write_text(w, m->to);
	out->after = write_text(w, m->after);
	out->max = m->max;
}

static void write_user(struct writer *w, const struct user_entry *m, Acx__User *out)
{
	size_t n = m->n_service_ids;
	acx__user__init(out);
	out->mc_id = write_text(w, m->mc_id);
	out->revision = m->revision;
	if (m->validity.not_before_ms || m->validity.not_after_ms)
		out->validity = write_validity(w, m->validity);
	out->vouched = m->vouched;
	out->changed = m->changed_ms;
	out->by = write_request_id(&m->by);
	out->n_mc_service_id_list = n;
	out->mc_service_id_list = write_list(w, n, sizeof *out->mc_service_id_list);
	Acx__McServiceIdEntry *items = write_list(w, n, sizeof *items);
	for (size_t i = 0; out->mc_service_id_list && items && i < n; i++) {
		acx__mc_service_id_entry__init(&items[i]);
		items[i].service = (Acx__McService)m->service_ids[i].service;
		w->failed |= !mc_service_name((int)m->service_ids[i].service);
		items[i].mc_service_id = write_text(w, m->service_ids[i].mc_service_id);
		out->mc_service_id_list[i] = &items[i];
	}
}

static void write_users_page(struct writer *w, const struct users_page *m, Acx__UsersPage *out)
{
	size_t n = m->n_users;
	acx__users_page__init(out);
	WRITE_PAGE(w, m, out);
	out->more = m->page.more;
	out->n_users = n;
	out->users = write_list(w, n, sizeof *out->users);
	Acx__User *items = write_list(w, n, sizeof *items);
	for (size_t i = 0; out->users && items && i < n; i++) {
		write_user(w, &m->users[i], &items[i]);
		out->users[i] = &items[i];
	}
}

static void write_digest_query(struct writer *w, const struct digest_query *m,
			       Acx__DigestQuery *out)
{
	size_t n = m->n_ranges;
	acx__digest_query__init(out);
	out->token = m->token;
	out->mc_system_id = write_text(w, m->mc_system_id);
	out->believed = m->believed;
	out->n_ranges = n;
	out->ranges = write_list(w, n, sizeof *out->ranges);
	Acx__McIdRange *items = write_list(w, n, sizeof *items);
	for (size_t i = 0; out->ranges && items && i < n; i++) {
		acx__mc_id_range__init(&items[i]);
		items[i].from = write_text(w, m->ranges[i].from);
		items[i].to = write_text(w, m->ranges[i].to);
		out->ranges[i] = &items[i];
	}
}

static void write_digest_page(struct writer *w, const struct digest_page *m, Acx__DigestPage *out)
{
	size_t n = m->n_digests;
	acx__digest_page__init(out);
	WRITE_PAGE(w, m, out);
	out->n_digests = n;
	out->digests = write_list(w, n, sizeof *out->digests);
	Acx__RangeDigest *items = write_list(w, n, sizeof *items);
	for (size_t i = 0; out->digests && items && i < n; i++) {
		const struct range_digest *d = &m->digests[i];
		acx__range_digest__init(&items[i]);
		items[i].users = d->users;
		items[i].digest = (ProtobufCBinaryData){ RANGE_DIGEST_SIZE, (uint8_t *)d->digest };
		items[i].n_splits = d->n_splits;
		items[i].splits = write_texts(w, d->splits, d->n_splits);
		out->digests[i] = &items[i];
	}
}

static void write_pending_query(struct writer *w, const struct pending_query *m,
				Acx__PendingQuery *out)
{
	acx__pending_query__init(out);
	out->token = m->token;
	out->mc_system_id = write_text(w, m->mc_system_id);
	out->request_id = write_optional_id(m->has_request_id, &m->request_id);
	out->after_mc_system_id = write_text(w, m->after_mc_system_id);
	out->after_request_id = write_optional_id(m->after_mc_system_id.len, &m->after_request_id);
	out->max = m->max;
	out->follow = m->follow;
}

static void write_pending_page(struct writer *w, const struct pending_page *m,
			       Acx__PendingPage *out)
{
	size_t n = m->n_entries;
	acx__pending_page__init(out);
	WRITE_PAGE(w, m, out);
	out->more = m->page.more;
	out->n_entries = n;
	out->entries = write_list(w, n, sizeof *out->entries);
	Acx__PendingEntry *items = write_list(w, n, sizeof *items);
	for (size_t i = 0; out->entries && items && i < n; i++) {
		const struct pending_entry *e = &m->entries[i];
		acx__pending_entry__init(&items[i]);
		items[i].mc_system_id = write_text(w, e->mc_system_id);
		items[i].received = e->received_ms;
		items[i].until = e->until_ms;
		items[i].request = write_list(w, 1, sizeof *items[i].request);
		if (items[i].request)
			write_request(w, &e->request, items[i].request);
		items[i].users = e->users;
		items[i].also_of_others = e->also_of_others;
		out->entries[i] = &items[i];
	}
}

static void write_decision(struct writer *w, const struct decision *m, Acx__Decision *out)
{
	acx__decision__init(out);
	out->token = m->token;
	out->mc_system_id = write_text(w, m->mc_system_id);
	out->request_id = write_request_id(&m->request_id);
	out->approve = m->approve;
	out->reason = write_prose(w, m->reason);
}

static void write_decision_result(struct writer *w, const struct decision_result *m,
				  Acx__DecisionResult *out)
{
	acx__decision_result__init(out);
	WRITE_PAGE(w, m, out);
	if (m->has_response)
		out->response = write_inner_response(w, &m->response);
}

/* --- a body --- */

static void write_ping(struct writer *w, const uint64_t *token, Acx__Ping *out)
{
	(void)w;
	acx__ping__init(out);
	out->token = *token;
}

static void write_pong(struct writer *w, const uint64_t *token, Acx__Pong *out)
{
	(void)w;
	acx__pong__init(out);
	out->token = *token;
}

static void write_close(struct writer *w, const struct close_message *m, Acx__Close *out)
{
	acx__close__init(out);
	out->cause = (Acx__Cause)m->cause;
	out->detail = write_prose(w, m->detail);
}

/* Makes the generated struct, has it filled in, and puts it into the Message. */
#define BODY(CASE, field, write, source)                                         \
	do {                                                                     \
		w->message.body_case = ACX__MESSAGE__BODY_##CASE;                \
		w->message.field = write_list(w, 1, sizeof *w->message.field);   \
		if (w->message.field)                                            \
			write(w, &(source), w->message.field);                   \
		return;                                                          \
	} while (0)

static void write_body(struct writer *w, const struct message *m)
{
	switch (m->kind) {
	case MESSAGE_HELLO:
		BODY(HELLO, hello, write_hello, m->hello);
	case MESSAGE_SETUP_REQUEST:
		BODY(MC_SERVICE_USER_SETUP_REQUEST, mc_service_user_setup_request, write_request,
		     m->request);
	case MESSAGE_SETUP_RESPONSE:
		BODY(MC_SERVICE_USER_SETUP_RESPONSE, mc_service_user_setup_response, write_response,
		     m->response);
	case MESSAGE_PING:
		BODY(PING, ping, write_ping, m->token);
	case MESSAGE_PONG:
		BODY(PONG, pong, write_pong, m->token);
	case MESSAGE_CLOSE:
		BODY(CLOSE, close, write_close, m->close);
	case MESSAGE_PROCESS_INDICATION:
		BODY(PROCESS_INDICATION, process_indication, write_indication, m->indication);
	case MESSAGE_REQUESTS_QUERY:
		BODY(REQUESTS_QUERY, requests_query, write_requests_query, m->requests_query);
	case MESSAGE_REQUESTS_PAGE:
		BODY(REQUESTS_PAGE, requests_page, write_requests_page, m->requests_page);
	case MESSAGE_USERS_QUERY:
		BODY(USERS_QUERY, users_query, write_users_query, m->users_query);
	case MESSAGE_USERS_PAGE:
		BODY(USERS_PAGE, users_page, write_users_page, m->users_page);
	case MESSAGE_DIGEST_QUERY:
		BODY(DIGEST_QUERY, digest_query, write_digest_query, m->digest_query);
	case MESSAGE_DIGEST_PAGE:
		BODY(DIGEST_PAGE, digest_page, write_digest_page, m->digest_page);
	case MESSAGE_PENDING_QUERY:
		BODY(PENDING_QUERY, pending_query, write_pending_query, m->pending_query);
	case MESSAGE_PENDING_PAGE:
		BODY(PENDING_PAGE, pending_page, write_pending_page, m->pending_page);
	case MESSAGE_DECISION:
		BODY(DECISION, decision, write_decision, m->decision);
	case MESSAGE_DECISION_RESULT:
		BODY(DECISION_RESULT, decision_result, write_decision_result, m->decision_result);
	}
}

static enum status encode(const struct message *m, bool unchecked, uint8_t **frame, size_t *length)
{
	struct writer w = { .message = ACX__MESSAGE__INIT, .arena = arena_new(0) };
	*frame = NULL;
	if (!w.arena)
		return ERR_MEMORY;
	write_body(&w, m);
	/* Of a request a receiver refuses texts only, which are checked where they are written: there may be thousands. */
	if (!w.failed && !unchecked && m->kind != MESSAGE_SETUP_REQUEST)
		w.failed = !message_is_readable(w.arena, &w.message);
	size_t payload = w.failed ? 0 : acx__message__get_packed_size(&w.message);
	if (!w.failed)
		*frame = malloc(FRAME_HEADER_SIZE + payload);
	if (*frame) {
		frame_header(*frame, (uint32_t)payload);
		acx__message__pack(&w.message, *frame + FRAME_HEADER_SIZE);
		*length = FRAME_HEADER_SIZE + payload;
	}
	arena_free(w.arena);
	return *frame ? OK : ERR_MEMORY;
}

enum status message_encode(const struct message *m, uint8_t **frame, size_t *length)
{
	return encode(m, false, frame, length);
}

enum status message_encode_unchecked(const struct message *m, uint8_t **frame, size_t *length)
{
	return encode(m, true, frame, length);
}

size_t message_size(const struct message *m)
{
	struct writer w = { .message = ACX__MESSAGE__INIT, .arena = arena_new(0) };
	size_t size = SIZE_MAX;
	if (!w.arena)
		return size;
	write_body(&w, m);
	if (!w.failed)
		size = FRAME_HEADER_SIZE + acx__message__get_packed_size(&w.message);
	arena_free(w.arena);
	return size;
}
