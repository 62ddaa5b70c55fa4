// needs: common/message.c common/message_v2.c common/message_encode.c common/message_kind.c common/frame.c
// needs: common/setup.c common/sort.c common/identity.c common/text.c common/arena.c common/error.c proto/acx.pb-c.c
#include "common/frame.h"
#include "common/message.h"
#include "hostile.h"

/*
 * No message is encoded that a receiver would not decode, whatever texts and identities are in it. What the sender's own
 * code decides (states, the order of a list, how many ranges) is as it should be.
 */

enum { ROUNDS = 1500 };

static struct service_id_entry *entries(struct arena *a, size_t *n)
{
	*n = hostile_count();
	struct service_id_entry *list = arena_array(a, *n, sizeof *list);
	for (size_t i = 0; i < *n; i++)
		list[i] = (struct service_id_entry){ hostile_id(a, i), (int)hostile_number(300), hostile_id(a, i) };
	return list;
}

static struct user_revision *revisions(struct arena *a, size_t *n)
{
	*n = hostile_count();
	struct user_revision *list = arena_array(a, *n, sizeof *list);
	for (size_t i = 0; i < *n; i++)
		list[i] = (struct user_revision){ hostile_id(a, i), hostile_uint() };
	return list;
}

static struct setup_request request(struct arena *a)
{
	struct setup_request r = { .request_id = hostile_request_id(), .home_acmc_id = hostile_chance(2) ? STR_NONE : hostile_id(a, 0),
				   .operation = (int)hostile_number(5), .has_validity = hostile_chance(2),
				   .validity = { hostile_uint(), hostile_uint() }, .expires_ms = hostile_uint(),
				   .dry_run = hostile_chance(2), .best_effort = hostile_chance(2), .part = (uint32_t)hostile_uint(),
				   .parts = (uint32_t)hostile_uint(), .grouped = hostile_chance(2) };
	r.mc_system_ids = hostile_ids(a, &r.n_mc_system_ids);
	r.mc_ids = hostile_ids(a, &r.n_mc_ids);
	r.service_ids = entries(a, &r.n_service_ids);
	r.revisions = revisions(a, &r.n_revisions);
	return r;
}

/* inner: in a page. */
static struct setup_response response(struct arena *a, bool inner)
{
	struct setup_response r = { .request_id = hostile_request_id(), .mc_system_id = hostile_id(a, 0), .result = hostile_chance(2),
				    .origin = (enum origin)(1 + hostile_number(2)), .cause = hostile_cause(),
				    .detail = hostile_prose(a), .as_requested = !inner && hostile_chance(2),
				    .receipt = hostile_prose(a), .done_ms = hostile_uint(), .decided_by = hostile_decided_by(a) };
	r.mc_ids = hostile_ids(a, &r.n_mc_ids);
	r.service_ids = entries(a, &r.n_service_ids);
	r.identities = hostile_identities(a, &r.n_identities);
	r.revisions = revisions(a, &r.n_revisions);
	if (r.as_requested)
		r.revision_of_each = hostile_revisions(a, &r.n_of_each);
	if (hostile_chance(2))
		r.receipt_root = (struct str){ arena_alloc(a, RECEIPT_ROOT_SIZE), RECEIPT_ROOT_SIZE };
	if (hostile_chance(2)) /* who decided is a name of the configuration */
		r.decided_by.acmc = hostile_id(a, 0);
	return r;
}

/* Ascending, as the sender's code makes some lists: any but those by which they would not be. */
static struct str next_id(struct arena *a, struct str before, size_t number)
{
	struct str id = hostile_id(a, number);
	return str_cmp(before, id) < 0 ? id : str_of(arena_printf(a, "%.*s!", STR_ARG(before)));
}

static struct page page(struct arena *a)
{
	return (struct page){ hostile_uint(), hostile_cause(), hostile_prose(a), hostile_chance(2) };
}

static struct requests_page requests_page(struct arena *a)
{
	struct requests_page p = { .page = page(a), .n_entries = hostile_number(4) };
	p.entries = arena_array(a, p.n_entries, sizeof *p.entries);
	for (size_t i = 0; i < p.n_entries; i++) {
		struct request_entry *e = &p.entries[i];
		*e = (struct request_entry){ .request_id = hostile_request_id(), .operation = (int)hostile_number(3),
					     .acmc = hostile_id(a, 0), .accepted_ms = hostile_uint(), .deadline_ms = hostile_uint(),
					     .n_deliveries = hostile_number(4) };
		e->deliveries = arena_array(a, e->n_deliveries, sizeof *e->deliveries);
		for (size_t j = 0; j < e->n_deliveries; j++)
			e->deliveries[j] = (struct delivery_entry){
				.mc_system_id = hostile_id(a, 0), .state = (enum delivery_state)(1 + hostile_number(4)),
				.attempts = (uint32_t)hostile_uint(), .until_ms = hostile_uint(), .detail = hostile_prose(a),
				.has_response = hostile_chance(2), .response = response(a, true) };
	}
	return p;
}

static struct users_page users_page(struct arena *a)
{
	struct users_page p = { .page = page(a), .n_users = hostile_count() };
	p.users = arena_array(a, p.n_users, sizeof *p.users);
	for (size_t i = 0; i < p.n_users; i++) {
		struct str before = i ? p.users[i - 1].mc_id : STR("");
		p.users[i] = (struct user_entry){ .mc_id = next_id(a, before, i), .revision = hostile_uint(),
						  .validity = { hostile_uint(), hostile_uint() }, .by = hostile_request_id() };
		p.users[i].service_ids = hostile_service_ids(a, &p.users[i].n_service_ids);
	}
	return p;
}

static struct digest_query digest_query(struct arena *a)
{
	struct digest_query q = { .token = hostile_uint(), .mc_system_id = hostile_id(a, 0), .n_ranges = hostile_number(4) };
	q.ranges = arena_array(a, q.n_ranges, sizeof *q.ranges);
	for (size_t i = 0; i < q.n_ranges; i++) {
		struct str from = next_id(a, i ? q.ranges[i - 1].to : STR(""), 2 * i);
		q.ranges[i] = (struct mc_id_range){ from, next_id(a, from, 2 * i + 1) };
	}
	return q;
}

static struct digest_page digest_page(struct arena *a)
{
	struct digest_page p = { .page = page(a), .n_digests = hostile_number(4) };
	p.page.more = false;
	p.digests = arena_array(a, p.n_digests, sizeof *p.digests);
	for (size_t i = 0; i < p.n_digests; i++) {
		p.digests[i].users = hostile_uint();
		p.digests[i].n_splits = hostile_number(DIGEST_SPLITS_MAX + 1);
		p.digests[i].splits = arena_array(a, p.digests[i].n_splits, sizeof *p.digests[i].splits);
		for (size_t j = 0; j < p.digests[i].n_splits; j++)
			p.digests[i].splits[j] = next_id(a, j ? p.digests[i].splits[j - 1] : STR(""), j);
	}
	return p;
}

static struct pending_page pending_page(struct arena *a)
{
	struct pending_page p = { .page = page(a), .n_entries = hostile_number(4) };
	p.entries = arena_array(a, p.n_entries, sizeof *p.entries);
	for (size_t i = 0; i < p.n_entries; i++)
		p.entries[i] = (struct pending_entry){ hostile_id(a, 0), hostile_uint(), hostile_uint(), request(a),
						       (uint32_t)hostile_uint(), hostile_chance(2) };
	return p;
}

static struct requests_query requests_query(struct arena *a)
{
	return (struct requests_query){ .token = hostile_uint(), .has_request_id = hostile_chance(2),
					.request_id = hostile_request_id(), .mc_system_id = hostile_id(a, 0),
					.has_after = hostile_chance(2), .after = hostile_request_id() };
}

static struct users_query users_query(struct arena *a)
{
	struct users_query q = { .token = hostile_uint(), .mc_system_id = hostile_id(a, 0), .from = hostile_id(a, 0),
				 .to = hostile_chance(2) ? STR_NONE : hostile_id(a, 1), .max = (uint32_t)hostile_uint() };
	q.mc_ids = hostile_ids(a, &q.n_mc_ids);
	return q;
}

static void make(struct arena *a, enum message_kind kind, struct message *m)
{
	*m = (struct message){ .kind = kind };
	switch (kind) {
	case MESSAGE_HELLO:
		m->hello = (struct hello){ 1, 2, hostile_chance(2) ? hostile_id(a, 0) : STR("police.example"), LIMITS_DEFAULT, hostile_id(a, 0) };
		break;
	case MESSAGE_SETUP_REQUEST: m->request = request(a); break;
	case MESSAGE_SETUP_RESPONSE: m->response = response(a, false); break;
	case MESSAGE_PING:
	case MESSAGE_PONG: m->token = hostile_uint(); break;
	case MESSAGE_CLOSE: m->close = (struct close_message){ hostile_cause(), hostile_prose(a) }; break;
	case MESSAGE_PROCESS_INDICATION:
		m->indication = (struct process_indication){ hostile_request_id(), hostile_id(a, 0),
							     (enum process_state)(1 + hostile_number(3)), hostile_uint(),
							     hostile_prose(a) };
		break;
	case MESSAGE_REQUESTS_QUERY: m->requests_query = requests_query(a); break;
	case MESSAGE_REQUESTS_PAGE: m->requests_page = requests_page(a); break;
	case MESSAGE_USERS_QUERY: m->users_query = users_query(a); break;
	case MESSAGE_USERS_PAGE: m->users_page = users_page(a); break;
	case MESSAGE_DIGEST_QUERY: m->digest_query = digest_query(a); break;
	case MESSAGE_DIGEST_PAGE: m->digest_page = digest_page(a); break;
	case MESSAGE_PENDING_QUERY:
		m->pending_query = (struct pending_query){ .token = hostile_uint(), .mc_system_id = hostile_id(a, 0),
							   .after_mc_system_id = hostile_chance(2) ? STR_NONE : hostile_id(a, 0),
							   .after_request_id = hostile_request_id() };
		break;
	case MESSAGE_PENDING_PAGE: m->pending_page = pending_page(a); break;
	case MESSAGE_DECISION:
		m->decision = (struct decision){ hostile_uint(), hostile_id(a, 0), hostile_request_id(), hostile_chance(2),
						 hostile_prose(a) };
		break;
	case MESSAGE_DECISION_RESULT:
		m->decision_result = (struct decision_result){ page(a), hostile_chance(2), response(a, true) };
		m->decision_result.page.more = false;
		break;
	}
}

/* Of what was encoded: the decoded message encodes to the same. */
static void decodes(const uint8_t *frame, size_t length)
{
	size_t n = length - FRAME_HEADER_SIZE, again_length;
	struct arena *a = arena_new(0);
	struct message m;
	enum cause why;
	struct error e;
	uint8_t *again;
	if (message_decode(a, frame + FRAME_HEADER_SIZE, n, &m, &why, &e) != OK)
		fail_msg("%s", e.text);
	assert_int_equal(message_encode(&m, &again, &again_length), OK);
	assert_int_equal(again_length, length);
	assert_memory_equal(again, frame, length);
	free(again);
	arena_free(a);
}

static void what_is_encoded_is_decoded(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	hostile_seed = test_seed();
	for (int kind = MESSAGE_HELLO; kind <= MESSAGE_DECISION_RESULT; kind++) {
		size_t encoded = 0;
		for (int i = 0; i < ROUNDS; i++, arena_reset(a)) {
			struct message m;
			uint8_t *frame;
			size_t length;
			make(a, (enum message_kind)kind, &m);
			if (message_encode(&m, &frame, &length) != OK)
				continue;
			decodes(frame, length);
			free(frame);
			encoded++;
		}
		assert_in_range(encoded, ROUNDS / 10, ROUNDS);
	}
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_encoded_is_decoded) };
	return cmocka_run_group_tests_name("message, hostile values", tests, NULL, NULL);
}
