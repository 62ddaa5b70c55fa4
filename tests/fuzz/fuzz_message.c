// needs: common/message.c common/message_query.c common/message_encode.c common/message_kind.c common/frame.c
// needs: common/setup.c common/content.c common/sort.c common/setup_fault.c common/session.c common/identity.c common/text.c
// needs: common/arena.c common/error.c proto/acx.pb-c.c
/*
 * A payload: refused with a reason, or every text of it is valid, it survives encoding and decoding, and what was
 * accepted passes through the checks of requests and Hellos without harm.
 */
#include <stdlib.h>
#include "common/content.h"
#include "common/frame.h"
#include "common/message.h"
#include "common/session.h"
#include "common/text.h"

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_texts(const struct str *texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		require(text_valid(texts[i]));
}

static void check_ids(const struct user_service_id *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		require(text_valid(ids[i].mc_service_id));
}

static void check_prose(struct str s)
{
	require(text_valid(s) && s.len <= 512);
}

/* What is well-formed is canonical, has the same content once it went to a partner, and can be read from it again. */
static void check_well_formed(struct arena *a, const struct setup *setup, const struct limits *limits)
{
	struct setup_response response;
	struct setup same;
	struct verdict done = { .cause = CAUSE_NO_CAUSE };
	require(setup->n_users > 0);
	for (size_t i = 1; i < setup->n_users; i++)
		require(str_cmp(setup->users[i - 1].mc_id, setup->users[i].mc_id) < 0);
	require(setup_check(a, setup, limits, &same).cause == CAUSE_NO_CAUSE);
	struct str content = setup_content(a, setup);
	require(str_eq(content, setup_content(a, &same)));
	require(setup_from_content(a, content, &same, NULL) == OK && str_eq(content, setup_content(a, &same)));
	setup_to_response(setup, STR("fire.example"), ORIGIN_PARTNER_ACMS, &done, &response);
	require(setup_home_response_fault(setup, false, &response) == NULL);
	bool revised = setup->operation != OPERATION_REMOVE && !setup->dry_run;
	require((setup_response_fault(setup, STR("fire.example"), &response) == NULL) != revised);
}

static void check_times(const struct setup *setup)
{
	char detail[200] = "";
	enum cause cause = setup_times_check(setup, 1700000000000, true, detail, sizeof detail);
	require((cause == CAUSE_NO_CAUSE) == (detail[0] == '\0'));
}

static void check_request(struct arena *decoded, const struct setup *r)
{
	struct limits limits = LIMITS_DEFAULT;
	struct setup setup;
	struct arena *a = arena_new(0);
	size_t n_ids = 0;
	check_texts(r->targets, r->n_targets);
	for (size_t i = 0; i < r->n_users; i++) {
		require(text_valid(r->users[i].mc_id));
		check_ids(r->users[i].service_ids, r->users[i].n_service_ids);
		n_ids += r->users[i].n_service_ids;
	}
	require(n_ids == r->n_service_ids);
	struct verdict v = setup_check(a, r, &limits, &setup);
	require(v.n_identities <= 2 * (r->n_users + r->n_service_ids));
	if (v.cause == CAUSE_NO_CAUSE) {
		check_well_formed(a, &setup, &limits);
		check_times(&setup);
	}
	setup_check(decoded, r, &limits, &setup); /* with what is left of the budget */
	arena_free(a);
}

static void check_response(const struct setup_response *r)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < r->n_revisions; i++)
		sum |= r->revisions[i];
	require(r->n_revisions > 0 || sum == 0);
	check_prose(r->detail);
	check_prose(r->decided_by.reason);
	require(text_valid(r->mc_system_id) && text_valid(r->decided_by.acmc));
	for (size_t i = 0; i < r->n_identities; i++)
		require(text_valid(r->identities[i].mc_id) &&
			text_valid(r->identities[i].mc_service_id));
}

static void check_hello(const struct hello *h)
{
	char detail[64];
	uint32_t version = 0;
	enum cause cause = hello_check(h, STR("fire.example"), false, &version, detail, sizeof detail);
	require(text_valid(h->mc_system_id) && text_valid(h->software));
	require(cause == CAUSE_NO_CAUSE ? version >= PROTOCOL_VERSION_MIN && version <= PROTOCOL_VERSION_MAX :
					  strlen(detail) > 0);
}

static void check_requests_page(struct arena *a, const struct requests_page *p)
{
	check_prose(p->page.detail);
	for (size_t i = 0; i < p->n_entries; i++) {
		require(text_valid(p->entries[i].acmc));
		check_request(a, &p->entries[i].request);
		for (size_t j = 0; j < p->entries[i].n_deliveries; j++) {
			const struct delivery_entry *d = &p->entries[i].deliveries[j];
			require(text_valid(d->mc_system_id) && d->state >= DELIVERY_QUEUED &&
				d->state <= DELIVERY_ANSWERED);
			check_prose(d->detail);
			if (d->has_response)
				check_response(&d->response);
		}
	}
}

static void check_users_page(const struct users_page *p)
{
	check_prose(p->page.detail);
	for (size_t i = 0; i < p->n_users; i++) {
		const struct user_entry *u = &p->users[i];
		require(text_valid(u->mc_id));
		require(i == 0 || str_cmp(u[-1].mc_id, u->mc_id) < 0);
		check_ids(u->service_ids, u->n_service_ids);
		for (size_t j = 0; j < u->n_service_ids; j++)
			require(mc_service_name((int)u->service_ids[j].service));
	}
}

static void check_digests(const struct message *m)
{
	if (m->kind == MESSAGE_DIGEST_QUERY) {
		require(m->digest_query.n_ranges <= DIGEST_RANGES_MAX);
		for (size_t i = 0; i < m->digest_query.n_ranges; i++)
			require(text_valid(m->digest_query.ranges[i].from) &&
				text_valid(m->digest_query.ranges[i].to));
		return;
	}
	check_prose(m->digest_page.page.detail);
	for (size_t i = 0; i < m->digest_page.n_digests; i++) {
		require(m->digest_page.digests[i].n_splits <= DIGEST_SPLITS_MAX);
		check_texts(m->digest_page.digests[i].splits, m->digest_page.digests[i].n_splits);
	}
}

static void check_pending_page(struct arena *a, const struct pending_page *p)
{
	check_prose(p->page.detail);
	for (size_t i = 0; i < p->n_entries; i++) {
		require(text_valid(p->entries[i].mc_system_id));
		check_request(a, &p->entries[i].request);
	}
}

static void check(struct arena *a, const struct message *m)
{
	switch (m->kind) {
	case MESSAGE_HELLO:
		check_hello(&m->hello);
		break;
	case MESSAGE_SETUP_REQUEST:
		check_request(a, &m->request);
		break;
	case MESSAGE_SETUP_RESPONSE:
		check_response(&m->response);
		break;
	case MESSAGE_CLOSE:
		require(text_valid(m->close.detail));
		break;
	case MESSAGE_PROCESS_INDICATION:
		require(text_valid(m->indication.mc_system_id));
		check_prose(m->indication.detail);
		break;
	case MESSAGE_REQUESTS_QUERY:
		require(text_valid(m->requests_query.mc_system_id));
		break;
	case MESSAGE_REQUESTS_PAGE:
		check_requests_page(a, &m->requests_page);
		break;
	case MESSAGE_USERS_QUERY:
		check_texts(m->users_query.mc_ids, m->users_query.n_mc_ids);
		require(text_valid(m->users_query.from) && text_valid(m->users_query.to));
		break;
	case MESSAGE_USERS_PAGE:
		check_users_page(&m->users_page);
		break;
	case MESSAGE_DIGEST_QUERY:
	case MESSAGE_DIGEST_PAGE:
		check_digests(m);
		break;
	case MESSAGE_PENDING_QUERY:
		require(text_valid(m->pending_query.after_mc_system_id));
		break;
	case MESSAGE_PENDING_PAGE:
		check_pending_page(a, &m->pending_page);
		break;
	case MESSAGE_DECISION:
		check_prose(m->decision.reason);
		break;
	case MESSAGE_DECISION_RESULT:
		check_prose(m->decision_result.page.detail);
		if (!m->decision_result.has_response)
			break;
		check_request(a, &m->decision_result.request);
		check_response(&m->decision_result.response);
		break;
	case MESSAGE_PING:
	case MESSAGE_PONG:
		break;
	}
}

/*
 * Encodes what was decoded. Only unknown fields may be lost on the way, so it is never longer, and the encoding of
 * its own decoding is the very same.
 */
static void check_round_trip(const struct message *m, size_t size)
{
	uint8_t *frame, *again;
	size_t length, length_again;
	struct message back;
	enum cause why;
	struct error e;
	require(message_encode(m, &frame, &length) == OK);
	require(length == message_size(m) && length - FRAME_HEADER_SIZE <= size);
	struct arena *a = arena_new(0);
	require(message_decode(a, frame + FRAME_HEADER_SIZE, length - FRAME_HEADER_SIZE, &back, &why,
			       &e) == OK);
	require(message_encode(&back, &again, &length_again) == OK);
	require(length == length_again && memcmp(frame, again, length) == 0);
	arena_free(a);
	free(frame);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(message_budget(size));
	struct message m;
	enum cause why = CAUSE_NO_CAUSE;
	struct error e = { .text = "" };
	if (message_decode(a, data, size, &m, &why, &e) == OK) {
		check(a, &m);
		check_round_trip(&m, size);
	} else {
		require(why == CAUSE_MALFORMED_MESSAGE || why == CAUSE_UNEXPECTED_MESSAGE);
		require(e.text[0] != '\0');
	}
	arena_free(a);
	return 0;
}
