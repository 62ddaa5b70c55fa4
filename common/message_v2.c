#include "common/message_internal.h"

#include "common/text.h"

/* --- what asks for something --- */

/* A condition that is not understood must not be dropped. */
static void refuse_unknown(struct reader *r, const ProtobufCMessage *m)
{
	if (has_unknown(m))
		read_wrong(r, m->descriptor->short_name, "has a field that this version does not know");
}

static void read_requests_query(struct reader *r, const Acx__RequestsQuery *m,
				struct requests_query *out)
{
	refuse_unknown(r, &m->base);
	*out = (struct requests_query){
		.token = m->token,
		.unfinished_only = m->unfinished_only,
		.refused_only = m->refused_only,
		.mc_system_id = read_filled(r, m->mc_system_id, "mc_system_id", MC_SYSTEM_ID_MAX),
		.since_ms = m->since,
		.until_ms = m->until,
		.max = m->max,
		.follow = m->follow,
	};
	out->has_request_id = read_optional_id(r, &m->request_id, &out->request_id);
	out->has_after = read_optional_id(r, &m->after, &out->after);
}

static void read_users_query(struct reader *r, const Acx__UsersQuery *m, struct users_query *out)
{
	refuse_unknown(r, &m->base);
	*out = (struct users_query){
		.token = m->token,
		.mc_system_id = read_text(r, m->mc_system_id, "mc_system_id", MC_SYSTEM_ID_MAX),
		.believed = m->believed,
		.mc_ids = read_texts(r, m->mc_id_list, m->n_mc_id_list, "mc_id_list", MC_ID_MAX),
		.n_mc_ids = m->n_mc_id_list,
		.from = read_filled(r, m->from, "from", MC_ID_MAX),
		.to = read_filled(r, m->to, "to", MC_ID_MAX),
		.after = read_filled(r, m->after, "after", MC_ID_MAX),
		.max = m->max,
	};
	if (out->to.ptr && str_cmp(out->from, out->to) >= 0)
		read_wrong(r, "to", "is not after from");
	if (out->after.ptr && (str_cmp(out->after, out->from) < 0 || (out->to.ptr && str_cmp(out->after, out->to) >= 0)))
		read_wrong(r, "after", "is not in the range");
}

/* Not empty, disjoint and ascending. */
static bool range_follows(const struct mc_id_range *before, const struct mc_id_range *range)
{
	if (range->to.ptr && str_cmp(range->from, range->to) >= 0)
		return false;
	return !before || (before->to.ptr && str_cmp(before->to, range->from) <= 0);
}

static void read_digest_query(struct reader *r, const Acx__DigestQuery *m,
			      struct digest_query *out)
{
	refuse_unknown(r, &m->base);
	*out = (struct digest_query){ .token = m->token,
				      .mc_system_id = read_text(r, m->mc_system_id, "mc_system_id", MC_SYSTEM_ID_MAX),
				      .believed = m->believed,
				      .n_ranges = m->n_ranges };
	if (m->n_ranges > DIGEST_RANGES_MAX)
		read_wrong(r, "ranges", "are more than 256");
	out->ranges = read_list(r, m->n_ranges, sizeof *out->ranges, "ranges");
	for (size_t i = 0; out->ranges && i < m->n_ranges; i++) {
		refuse_unknown(r, &m->ranges[i]->base);
		out->ranges[i].from = read_filled(r, m->ranges[i]->from, "from", MC_ID_MAX);
		out->ranges[i].to = read_filled(r, m->ranges[i]->to, "to", MC_ID_MAX);
		if (!range_follows(i ? &out->ranges[i - 1] : NULL, &out->ranges[i]))
			read_wrong(r, "ranges", "are empty, or not disjoint and ascending");
	}
}

static void read_pending_query(struct reader *r, const Acx__PendingQuery *m,
			       struct pending_query *out)
{
	refuse_unknown(r, &m->base);
	*out = (struct pending_query){
		.token = m->token,
		.mc_system_id = read_filled(r, m->mc_system_id, "mc_system_id", MC_SYSTEM_ID_MAX),
		.after_mc_system_id = read_filled(r, m->after_mc_system_id, "after_mc_system_id", MC_SYSTEM_ID_MAX),
		.max = m->max,
		.follow = m->follow,
	};
	out->has_request_id = read_optional_id(r, &m->request_id, &out->request_id);
	bool has_after = read_optional_id(r, &m->after_request_id, &out->after_request_id);
	if (has_after != (out->after_mc_system_id.ptr != NULL))
		read_wrong(r, "after_mc_system_id", "and after_request_id do not come together");
}

static void read_decision(struct reader *r, const Acx__Decision *m, struct decision *out)
{
	refuse_unknown(r, &m->base);
	*out = (struct decision){
		.token = m->token,
		.mc_system_id = read_filled(r, m->mc_system_id, "mc_system_id", MC_SYSTEM_ID_MAX),
		.request_id = read_request_id(r, &m->request_id),
		.approve = m->approve,
		.reason = read_prose(r, m->reason, "reason"),
	};
	if (!r->bad && text_has_control(out->reason))
		read_wrong(r, "reason", "has a control character");
}

bool read_query(struct reader *r, const Acx__Message *m, struct message *out)
{
	switch ((int)m->body_case) {
	case ACX__MESSAGE__BODY_REQUESTS_QUERY:
		out->kind = MESSAGE_REQUESTS_QUERY;
		read_requests_query(r, m->requests_query, &out->requests_query);
		break;
	case ACX__MESSAGE__BODY_USERS_QUERY:
		out->kind = MESSAGE_USERS_QUERY;
		read_users_query(r, m->users_query, &out->users_query);
		break;
	case ACX__MESSAGE__BODY_DIGEST_QUERY:
		out->kind = MESSAGE_DIGEST_QUERY;
		read_digest_query(r, m->digest_query, &out->digest_query);
		break;
	case ACX__MESSAGE__BODY_PENDING_QUERY:
		out->kind = MESSAGE_PENDING_QUERY;
		read_pending_query(r, m->pending_query, &out->pending_query);
		break;
	case ACX__MESSAGE__BODY_DECISION:
		out->kind = MESSAGE_DECISION;
		read_decision(r, m->decision, &out->decision);
		break;
	default:
		return false;
	}
	refuse_unknown(r, &m->base);
	return true;
}

/* --- what answers; unknown fields are ignored --- */

static struct str read_mc_id(struct reader *r, const char *text, const char *what)
{
	struct str id = read_text(r, text, what, MC_ID_MAX);
	if (!r->bad && !mc_id_valid(id))
		read_wrong(r, what, "is no MC ID");
	return id;
}

/* *domain: see mc_service_id_is_plain. */
static struct str read_service_id(struct reader *r, const char *text, struct str *domain)
{
	struct str id = read_text(r, text, "mc_service_id", MC_SERVICE_ID_MAX), canonical;
	if (r->bad || mc_service_id_is_plain(id, domain))
		return id;
	if (!mc_service_id_canonical(r->arena, id, &canonical, NULL) || !str_eq(id, canonical))
		read_wrong(r, "mc_service_id", "is no canonical MC service ID");
	return id;
}

static struct page read_page(struct reader *r, uint64_t token, int cause, const char *detail,
			     bool more)
{
	return (struct page){ token, (enum cause)cause, read_detail(r, detail), more };
}

static void read_indication(struct reader *r, const Acx__ProcessIndication *m,
			    struct process_indication *out)
{
	*out = (struct process_indication){
		.request_id = read_request_id(r, &m->request_id),
		.mc_system_id = read_text(r, m->mc_system_id, "mc_system_id", RECEIVED_MAX),
		.state = (enum process_state)m->state,
		.until_ms = m->until,
		.detail = read_detail(r, m->detail),
	};
	if ((int)m->state < PROCESS_ACCEPTED || (int)m->state > PROCESS_DELAYED)
		read_wrong(r, "state", "is none that this version knows");
}

/* Who asks for it need not have the request. */
static void read_inner_response(struct reader *r, const Acx__McServiceUserSetupResponse *m, struct setup_response *out)
{
	read_response(r, m, out);
	if (out->as_requested || out->n_of_each > 0)
		read_wrong(r, "as_requested", "is nothing that a page may say");
}

static void read_delivery(struct reader *r, const Acx__Delivery *m, struct delivery_entry *out)
{
	out->mc_system_id = read_text(r, m->mc_system_id, "mc_system_id", RECEIVED_MAX);
	out->state = (enum delivery_state)m->state;
	out->attempts = m->attempts;
	out->until_ms = m->until;
	out->detail = read_detail(r, m->detail);
	out->answered_ms = m->answered;
	out->has_response = m->response != NULL;
	if (m->response)
		read_inner_response(r, m->response, &out->response);
	if ((int)m->state < DELIVERY_QUEUED || (int)m->state > DELIVERY_ANSWERED)
		read_wrong(r, "state", "is none that this version knows");
}

static void read_request_entry(struct reader *r, const Acx__RequestEntry *m,
			       struct request_entry *out)
{
	*out = (struct request_entry){
		.request_id = read_request_id(r, &m->request_id),
		.operation = (int)m->operation,
		.acmc = read_text(r, m->acmc, "acmc", WHO_MAX),
		.accepted_ms = m->accepted,
		.deadline_ms = m->deadline,
		.part = m->part,
		.parts = m->parts,
		.users = m->users,
		.n_deliveries = m->n_deliveries,
	};
	out->deliveries = read_list(r, m->n_deliveries, sizeof *out->deliveries, "deliveries");
	for (size_t i = 0; out->deliveries && i < m->n_deliveries; i++)
		read_delivery(r, m->deliveries[i], &out->deliveries[i]);
}

static void read_requests_page(struct reader *r, const Acx__RequestsPage *m,
			       struct requests_page *out)
{
	out->page = read_page(r, m->token, (int)m->cause, m->detail, m->more);
	out->n_entries = m->n_entries;
	out->entries = read_list(r, m->n_entries, sizeof *out->entries, "entries");
	for (size_t i = 0; out->entries && i < m->n_entries; i++)
		read_request_entry(r, m->entries[i], &out->entries[i]);
}

/* By service, then bytewise. */
static bool service_id_follows(const struct user_service_id *before, const struct user_service_id *id)
{
	return before->service < id->service ||
	       (before->service == id->service && str_cmp(before->mc_service_id, id->mc_service_id) < 0);
}

static struct user_service_id *read_service_ids(struct reader *r, Acx__McServiceIdEntry **entries, size_t n,
						struct str *domain)
{
	struct user_service_id *list = read_list(r, n, sizeof *list, "mc_service_id_list");
	for (size_t i = 0; list && i < n; i++) {
		list[i].service = (enum mc_service)entries[i]->service;
		list[i].mc_service_id = read_service_id(r, entries[i]->mc_service_id, domain);
		if (!mc_service_name((int)entries[i]->service))
			read_wrong(r, "service", "is none that this version knows");
		if (entries[i]->mc_id[0] != '\0')
			read_wrong(r, "mc_id", "of an MC service ID is not left out");
		if (i > 0 && !service_id_follows(&list[i - 1], &list[i]))
			read_wrong(r, "mc_service_id_list", "is not in order");
	}
	return list;
}

static void read_user(struct reader *r, const Acx__User *m, struct str *domain, struct user_entry *out)
{
	bool unknown = false; /* ignored */
	*out = (struct user_entry){
		.mc_id = read_mc_id(r, m->mc_id, "mc_id"),
		.service_ids = read_service_ids(r, m->mc_service_id_list, m->n_mc_service_id_list, domain),
		.n_service_ids = m->n_mc_service_id_list,
		.revision = m->revision,
		.validity = read_validity(m->validity, &unknown),
		.vouched = m->vouched,
		.changed_ms = m->changed,
		.by = read_request_id(r, &m->by),
	};
	if (out->validity.not_after_ms && out->validity.not_after_ms <= out->validity.not_before_ms)
		read_wrong(r, "validity", "is empty");
}

static void read_users_page(struct reader *r, const Acx__UsersPage *m, struct users_page *out)
{
	struct str domain = STR_NONE;
	out->page = read_page(r, m->token, (int)m->cause, m->detail, m->more);
	out->n_users = m->n_users;
	out->users = read_list(r, m->n_users, sizeof *out->users, "users");
	for (size_t i = 0; out->users && i < m->n_users; i++) {
		read_user(r, m->users[i], &domain, &out->users[i]);
		if (i > 0 && str_cmp(out->users[i - 1].mc_id, out->users[i].mc_id) >= 0)
			read_wrong(r, "users", "are not in the order of their MC IDs");
	}
}

static void read_range_digest(struct reader *r, const Acx__RangeDigest *m,
			      struct range_digest *out)
{
	out->users = m->users;
	if (m->digest.len == RANGE_DIGEST_SIZE)
		memcpy(out->digest, m->digest.data, RANGE_DIGEST_SIZE);
	else
		read_wrong(r, "digest", "is not 32 bytes long");
	if (m->n_splits > DIGEST_SPLITS_MAX)
		read_wrong(r, "splits", "are more than 15");
	out->n_splits = m->n_splits;
	out->splits = read_list(r, m->n_splits, sizeof *out->splits, "splits");
	for (size_t i = 0; out->splits && i < m->n_splits; i++) {
		out->splits[i] = read_mc_id(r, m->splits[i], "splits");
		if (i > 0 && str_cmp(out->splits[i - 1], out->splits[i]) >= 0)
			read_wrong(r, "splits", "are not ascending");
	}
}

static void read_digest_page(struct reader *r, const Acx__DigestPage *m, struct digest_page *out)
{
	out->page = read_page(r, m->token, (int)m->cause, m->detail, false);
	out->n_digests = m->n_digests;
	out->digests = read_list(r, m->n_digests, sizeof *out->digests, "digests");
	for (size_t i = 0; out->digests && i < m->n_digests; i++)
		read_range_digest(r, m->digests[i], &out->digests[i]);
}

static void read_pending_entry(struct reader *r, const Acx__PendingEntry *m, struct pending_entry *out)
{
	out->mc_system_id = read_text(r, m->mc_system_id, "mc_system_id", MC_SYSTEM_ID_MAX);
	out->received_ms = m->received;
	out->until_ms = m->until;
	out->users = m->users;
	out->also_of_others = m->also_of_others;
	if (!mc_system_id_valid(out->mc_system_id))
		read_wrong(r, "mc_system_id", "is no MC system ID");
	if (m->request)
		read_request(r, m->request, &out->request);
	else
		read_wrong(r, "request", "is missing");
}

static void read_pending_page(struct reader *r, const Acx__PendingPage *m,
			      struct pending_page *out)
{
	out->page = read_page(r, m->token, (int)m->cause, m->detail, m->more);
	out->n_entries = m->n_entries;
	out->entries = read_list(r, m->n_entries, sizeof *out->entries, "entries");
	for (size_t i = 0; out->entries && i < m->n_entries; i++)
		read_pending_entry(r, m->entries[i], &out->entries[i]);
}

static void read_decision_result(struct reader *r, const Acx__DecisionResult *m,
				 struct decision_result *out)
{
	out->page = read_page(r, m->token, (int)m->cause, m->detail, false);
	out->has_response = m->response != NULL;
	if (m->response)
		read_inner_response(r, m->response, &out->response);
}

bool read_answer(struct reader *r, const Acx__Message *m, struct message *out)
{
	switch ((int)m->body_case) {
	case ACX__MESSAGE__BODY_PROCESS_INDICATION:
		out->kind = MESSAGE_PROCESS_INDICATION;
		read_indication(r, m->process_indication, &out->indication);
		return true;
	case ACX__MESSAGE__BODY_REQUESTS_PAGE:
		out->kind = MESSAGE_REQUESTS_PAGE;
		read_requests_page(r, m->requests_page, &out->requests_page);
		return true;
	case ACX__MESSAGE__BODY_USERS_PAGE:
		out->kind = MESSAGE_USERS_PAGE;
		read_users_page(r, m->users_page, &out->users_page);
		return true;
	case ACX__MESSAGE__BODY_DIGEST_PAGE:
		out->kind = MESSAGE_DIGEST_PAGE;
		read_digest_page(r, m->digest_page, &out->digest_page);
		return true;
	case ACX__MESSAGE__BODY_PENDING_PAGE:
		out->kind = MESSAGE_PENDING_PAGE;
		read_pending_page(r, m->pending_page, &out->pending_page);
		return true;
	case ACX__MESSAGE__BODY_DECISION_RESULT:
		out->kind = MESSAGE_DECISION_RESULT;
		read_decision_result(r, m->decision_result, &out->decision_result);
		return true;
	}
	return false;
}
