#include "acms/record_internal.h"

/* Requests, on their way and answered. Keys of the maps in proto/idm-store.cddl. */
enum {
	REQUEST_CONTENT = 1,
	REQUEST_ANSWERED,
	REQUEST_CAUSE,
	REQUEST_IDENTITIES,
	REQUEST_KEEP_UNTIL,
	REQUEST_REVISIONS,
	REQUEST_DECIDED_BY,
	REQUEST_DETAIL,
	REQUEST_ALL_IDENTITIES
};
enum { PENDING_CONTENT = 1, PENDING_RECEIVED, PENDING_DECIDE_UNTIL, PENDING_CERTIFICATE, PENDING_SETUP };
enum { ASKED_CONTENT = 1, ASKED_ACCEPTED, ASKED_ACMC, ASKED_CERTIFICATE, ASKED_SETUP, ASKED_REFUSED };
enum { OUTBOX_ACCEPTED = 1, OUTBOX_DEADLINE, OUTBOX_ACMC, OUTBOX_BYTES };
enum {
	ANSWER_ANSWERED = 1,
	ANSWER_ORIGIN,
	ANSWER_CAUSE,
	ANSWER_DETAIL,
	ANSWER_IDENTITIES,
	ANSWER_REVISIONS,
	ANSWER_RECEIPT,
	ANSWER_DECIDED_BY,
	ANSWER_DONE
};
enum {
	SETUP_USERS = 1,
	SETUP_HOME_ACMC_ID,
	SETUP_TARGETS,
	SETUP_OPERATION,
	SETUP_VALIDITY,
	SETUP_EXPIRES,
	SETUP_FLAGS,
	SETUP_PART
};
enum { FLAG_DRY_RUN = 1, FLAG_BEST_EFFORT = 2, FLAGS = FLAG_DRY_RUN | FLAG_BEST_EFFORT };

/* --- setups --- */

static size_t setup_size(const struct setup *s)
{
	size_t size = FIXED_MAX + s->home_acmc_id.len + texts_size(s->targets, s->n_targets);
	for (size_t i = 0; i < s->n_users; i++)
		size += 3 * HEAD_MAX + s->users[i].mc_id.len +
			service_ids_size(s->users[i].service_ids, s->users[i].n_service_ids);
	return size;
}

static unsigned flags_of(const struct setup *s)
{
	return (s->dry_run ? FLAG_DRY_RUN : 0) | (s->best_effort ? FLAG_BEST_EFFORT : 0);
}

static size_t setup_pairs(const struct setup *s)
{
	return 1u + (s->home_acmc_id.ptr != NULL) + (s->n_targets > 0) +
	       (s->operation != OPERATION_SETUP) + s->has_validity + (s->expires_ms > 0) +
	       (flags_of(s) > 0) + (s->part > 0 || s->parts > 0);
}

static void put_pair(struct cbor_writer *w, uint64_t key, uint64_t a, uint64_t b)
{
	cbor_put_uint(w, key);
	cbor_put_array(w, 2);
	cbor_put_uint(w, a);
	cbor_put_uint(w, b);
}

static void put_users(struct cbor_writer *w, const struct setup *s)
{
	cbor_put_array(w, s->n_users);
	if (s->n_users == 0)
		cbor_refuse(w);
	for (size_t i = 0; i < s->n_users; i++) {
		const struct setup_user *u = &s->users[i];
		cbor_put_array(w, 3);
		cbor_put_id(w, u->mc_id, MC_ID_MAX);
		if (i > 0 && str_cmp(s->users[i - 1].mc_id, u->mc_id) >= 0)
			cbor_refuse(w);
		put_service_ids(w, u->service_ids, u->n_service_ids);
		cbor_put_uint(w, u->expected_revision);
	}
}

static void put_setup(struct cbor_writer *w, const struct setup *s)
{
	cbor_put_map(w, setup_pairs(s));
	cbor_put_uint(w, SETUP_USERS);
	put_users(w, s);
	if (s->home_acmc_id.ptr) {
		cbor_put_uint(w, SETUP_HOME_ACMC_ID);
		cbor_put_id(w, s->home_acmc_id, MC_SERVICE_ID_MAX);
	}
	if (s->n_targets) {
		cbor_put_uint(w, SETUP_TARGETS);
		put_texts(w, s->targets, s->n_targets);
	}
	if (s->operation != OPERATION_SETUP) {
		cbor_put_uint(w, SETUP_OPERATION);
		put_operation(w, s->operation);
	}
	if (s->has_validity)
		put_pair(w, SETUP_VALIDITY, s->validity.not_before_ms, s->validity.not_after_ms);
	put_number(w, SETUP_EXPIRES, s->expires_ms);
	put_number(w, SETUP_FLAGS, flags_of(s));
	if (s->part > 0 || s->parts > 0)
		put_pair(w, SETUP_PART, s->part, s->parts);
}

static void get_users(struct cbor_reader *r, struct arena *a, struct setup *out)
{
	out->n_users = cbor_get_filled_array(r);
	out->users = r->bad ? NULL : arena_array(a, out->n_users, sizeof *out->users);
	if (!out->users)
		cbor_fail(r, "out of memory");
	for (size_t i = 0; !r->bad && i < out->n_users; i++) {
		struct setup_user *u = &out->users[i];
		cbor_expect_array(r, 3);
		u->mc_id = cbor_get_id(r, MC_ID_MAX);
		u->service_ids = get_service_ids(r, a, &u->n_service_ids);
		u->expected_revision = cbor_get_uint(r);
		out->n_service_ids += u->n_service_ids;
		if (!r->bad && i > 0 && str_cmp(out->users[i - 1].mc_id, u->mc_id) >= 0)
			cbor_fail(r, "users are not sorted");
	}
}

static uint32_t get_uint32(struct cbor_reader *r)
{
	uint64_t n = cbor_get_uint(r);
	if (n > UINT32_MAX)
		cbor_fail(r, "a number is too large");
	return r->bad ? 0 : (uint32_t)n;
}

static void get_part(struct cbor_reader *r, struct setup *out)
{
	cbor_expect_array(r, 2);
	out->part = get_uint32(r);
	out->parts = get_uint32(r);
	if (out->part == 0 && out->parts == 0)
		cbor_fail(r, "a number that says nothing");
}

static void get_flags(struct cbor_reader *r, struct setup *out)
{
	uint64_t flags = get_nonzero(r);
	if (flags > FLAGS)
		cbor_fail(r, "an unknown flag");
	out->dry_run = flags & FLAG_DRY_RUN;
	out->best_effort = flags & FLAG_BEST_EFFORT;
}

static void get_setup(struct cbor_reader *r, struct arena *a, struct setup *out)
{
	struct map m = map_of(r);
	*out = (struct setup){ 0 };
	map_key(&m, SETUP_USERS);
	get_users(r, a, out);
	if (map_has(&m, SETUP_HOME_ACMC_ID))
		out->home_acmc_id = cbor_get_id(r, MC_SERVICE_ID_MAX);
	if (map_has(&m, SETUP_TARGETS))
		out->targets = get_texts(r, a, &out->n_targets);
	if (map_has(&m, SETUP_OPERATION))
		out->operation = get_operation(r);
	out->has_validity = map_has(&m, SETUP_VALIDITY);
	if (out->has_validity) {
		cbor_expect_array(r, 2);
		out->validity.not_before_ms = cbor_get_uint(r);
		out->validity.not_after_ms = cbor_get_uint(r);
	}
	if (map_has(&m, SETUP_EXPIRES))
		out->expires_ms = get_nonzero(r);
	if (map_has(&m, SETUP_FLAGS))
		get_flags(r, out);
	if (map_has(&m, SETUP_PART))
		get_part(r, out);
	map_end(&m);
}

/* --- requests that were answered, at the partner --- */

void request_cut_names(struct request_record *r)
{
	if (r->n_identities <= REFUSED_NAMES)
		return;
	r->all_identities = r->n_identities;
	r->n_identities = REFUSED_NAMES;
}

static size_t request_pairs(const struct request_record *r)
{
	return 3u + (r->n_identities > 0) + (r->keep_until_ms > 0) + (r->n_revisions > 0) +
	       (r->decided_by.acmc.ptr != NULL) + (r->detail.ptr != NULL) + (r->all_identities > 0);
}

struct str record_encode_request(struct arena *a, const struct request_record *r)
{
	struct cbor_writer w = cbor_writer_new(
		a, FIXED_MAX + DIGEST_SIZE + r->detail.len + identities_size(r->identities, r->n_identities) +
		   HEAD_MAX * r->n_revisions + decided_by_size(&r->decided_by));
	cbor_put_map(&w, request_pairs(r));
	cbor_put_uint(&w, REQUEST_CONTENT);
	cbor_put_bytes(&w, r->content, DIGEST_SIZE);
	cbor_put_uint(&w, REQUEST_ANSWERED);
	cbor_put_uint(&w, r->answered_ms);
	cbor_put_uint(&w, REQUEST_CAUSE);
	put_cause(&w, r->cause);
	if (r->n_identities) {
		cbor_put_uint(&w, REQUEST_IDENTITIES);
		put_identities(&w, r->identities, r->n_identities);
	}
	put_number(&w, REQUEST_KEEP_UNTIL, r->keep_until_ms);
	if (r->n_revisions) {
		cbor_put_uint(&w, REQUEST_REVISIONS);
		put_revisions(&w, r->revisions, r->n_revisions);
	}
	if (r->decided_by.acmc.ptr) {
		cbor_put_uint(&w, REQUEST_DECIDED_BY);
		put_decided_by(&w, &r->decided_by);
	}
	if (r->detail.ptr) {
		cbor_put_uint(&w, REQUEST_DETAIL);
		cbor_put_prose(&w, r->detail);
	}
	put_number(&w, REQUEST_ALL_IDENTITIES, r->all_identities);
	return cbor_written(&w);
}

enum status record_decode_request(struct arena *a, struct str value, struct request_record *out,
				  struct error *e)
{
	struct cbor_reader r = cbor_reader_of(value);
	struct map m = map_of(&r);
	*out = (struct request_record){ .cause = CAUSE_NO_CAUSE };
	map_key(&m, REQUEST_CONTENT);
	cbor_get_fixed(&r, out->content, DIGEST_SIZE);
	map_key(&m, REQUEST_ANSWERED);
	out->answered_ms = cbor_get_uint(&r);
	map_key(&m, REQUEST_CAUSE);
	out->cause = get_cause(&r);
	if (map_has(&m, REQUEST_IDENTITIES))
		out->identities = get_identities(&r, a, &out->n_identities);
	if (map_has(&m, REQUEST_KEEP_UNTIL))
		out->keep_until_ms = get_nonzero(&r);
	if (map_has(&m, REQUEST_REVISIONS))
		out->revisions = get_revisions(&r, a, &out->n_revisions);
	if (map_has(&m, REQUEST_DECIDED_BY))
		out->decided_by = get_decided_by(&r, a);
	if (map_has(&m, REQUEST_DETAIL))
		out->detail = cbor_get_prose(&r, a);
	if (map_has(&m, REQUEST_ALL_IDENTITIES))
		out->all_identities = get_nonzero(&r);
	map_end(&m);
	return cbor_finish(&r, "request", e);
}

bool record_is_since(struct str value, uint64_t since_ms)
{
	_Static_assert((int)REQUEST_CONTENT == ASKED_CONTENT && (int)REQUEST_ANSWERED == ASKED_ACCEPTED, "alike");
	struct cbor_reader r = cbor_reader_of(value);
	struct map m = map_of(&r);
	uint8_t content[DIGEST_SIZE];
	map_key(&m, REQUEST_CONTENT);
	cbor_get_fixed(&r, content, DIGEST_SIZE);
	map_key(&m, REQUEST_ANSWERED);
	return cbor_get_uint(&r) >= since_ms && !r.bad;
}

/* --- requests that wait for a decision, at the partner --- */

struct str record_encode_pending(struct arena *a, const struct pending_record *r)
{
	struct cbor_writer w = cbor_writer_new(a, FIXED_MAX + DIGEST_SIZE + r->certificate.len +
						  setup_size(&r->setup));
	cbor_put_map(&w, 5);
	cbor_put_uint(&w, PENDING_CONTENT);
	cbor_put_bytes(&w, r->content, DIGEST_SIZE);
	cbor_put_uint(&w, PENDING_RECEIVED);
	cbor_put_uint(&w, r->received_ms);
	cbor_put_uint(&w, PENDING_DECIDE_UNTIL);
	cbor_put_uint(&w, r->decide_until_ms);
	cbor_put_uint(&w, PENDING_CERTIFICATE);
	cbor_put_prose(&w, r->certificate);
	cbor_put_uint(&w, PENDING_SETUP);
	put_setup(&w, &r->setup);
	return cbor_written(&w);
}

enum status record_decode_pending(struct arena *a, struct str value, struct pending_record *out,
				  struct error *e)
{
	struct cbor_reader r = cbor_reader_of(value);
	struct map m = map_of(&r);
	*out = (struct pending_record){ 0 };
	map_key(&m, PENDING_CONTENT);
	cbor_get_fixed(&r, out->content, DIGEST_SIZE);
	map_key(&m, PENDING_RECEIVED);
	out->received_ms = cbor_get_uint(&r);
	map_key(&m, PENDING_DECIDE_UNTIL);
	out->decide_until_ms = cbor_get_uint(&r);
	map_key(&m, PENDING_CERTIFICATE);
	out->certificate = cbor_get_prose(&r, a);
	map_key(&m, PENDING_SETUP);
	get_setup(&r, a, &out->setup);
	map_end(&m);
	return cbor_finish(&r, "pending", e);
}

/* --- requests that our ACMCs asked for, at home --- */

struct str record_encode_asked(struct arena *a, const struct asked_record *r)
{
	struct cbor_writer w = cbor_writer_new(a, FIXED_MAX + DIGEST_SIZE + r->acmc.len +
						  r->certificate.len + setup_size(&r->setup) +
						  HEAD_MAX * (r->n_refused + 1));
	cbor_put_map(&w, r->n_refused ? 6 : 5);
	cbor_put_uint(&w, ASKED_CONTENT);
	cbor_put_bytes(&w, r->content, DIGEST_SIZE);
	cbor_put_uint(&w, ASKED_ACCEPTED);
	cbor_put_uint(&w, r->accepted_ms);
	cbor_put_uint(&w, ASKED_ACMC);
	cbor_put_prose(&w, r->acmc);
	cbor_put_uint(&w, ASKED_CERTIFICATE);
	cbor_put_prose(&w, r->certificate);
	cbor_put_uint(&w, ASKED_SETUP);
	put_setup(&w, &r->setup);
	if (r->n_refused) {
		cbor_put_uint(&w, ASKED_REFUSED);
		put_revisions(&w, r->refused, r->n_refused);
	}
	return cbor_written(&w);
}

enum status record_decode_asked(struct arena *a, struct str value, struct asked_record *out,
				struct error *e)
{
	struct cbor_reader r = cbor_reader_of(value);
	struct map m = map_of(&r);
	*out = (struct asked_record){ 0 };
	map_key(&m, ASKED_CONTENT);
	cbor_get_fixed(&r, out->content, DIGEST_SIZE);
	map_key(&m, ASKED_ACCEPTED);
	out->accepted_ms = cbor_get_uint(&r);
	map_key(&m, ASKED_ACMC);
	out->acmc = cbor_get_prose(&r, a);
	map_key(&m, ASKED_CERTIFICATE);
	out->certificate = cbor_get_prose(&r, a);
	map_key(&m, ASKED_SETUP);
	get_setup(&r, a, &out->setup);
	if (map_has(&m, ASKED_REFUSED)) {
		out->refused = get_revisions(&r, a, &out->n_refused);
		if (out->n_refused != out->setup.n_targets)
			cbor_fail(&r, "not a cause for each target");
	}
	map_end(&m);
	return cbor_finish(&r, "asked", e);
}

struct str record_encode_outbox(struct arena *a, const struct outbox_record *r)
{
	struct cbor_writer w = cbor_writer_new(a, FIXED_MAX + r->acmc.len);
	cbor_put_map(&w, 4);
	cbor_put_uint(&w, OUTBOX_ACCEPTED);
	cbor_put_uint(&w, r->accepted_ms);
	cbor_put_uint(&w, OUTBOX_DEADLINE);
	cbor_put_uint(&w, r->deadline_ms);
	cbor_put_uint(&w, OUTBOX_ACMC);
	cbor_put_prose(&w, r->acmc);
	cbor_put_uint(&w, OUTBOX_BYTES);
	cbor_put_uint(&w, r->bytes);
	return cbor_written(&w);
}

enum status record_decode_outbox(struct str value, struct outbox_record *out, struct error *e)
{
	struct cbor_reader r = cbor_reader_of(value);
	struct map m = map_of(&r);
	map_key(&m, OUTBOX_ACCEPTED);
	out->accepted_ms = cbor_get_uint(&r);
	map_key(&m, OUTBOX_DEADLINE);
	out->deadline_ms = cbor_get_uint(&r);
	map_key(&m, OUTBOX_ACMC);
	out->acmc = cbor_get_text(&r);
	map_key(&m, OUTBOX_BYTES);
	out->bytes = cbor_get_uint(&r);
	map_end(&m);
	return cbor_finish(&r, "outbox", e);
}

/* --- their answers, at home --- */

static size_t answer_pairs(const struct answer_record *r)
{
	return 3u + (r->detail.ptr != NULL) + (r->n_identities > 0) + (r->n_revisions > 0) +
	       (r->receipt.ptr != NULL) + (r->decided_by.acmc.ptr != NULL) + (r->done_ms > 0);
}

struct str record_encode_answer(struct arena *a, const struct answer_record *r)
{
	struct cbor_writer w = cbor_writer_new(
		a, FIXED_MAX + r->detail.len + identities_size(r->identities, r->n_identities) +
		   HEAD_MAX * r->n_revisions + r->receipt.len +
		   decided_by_size(&r->decided_by));
	cbor_put_map(&w, answer_pairs(r));
	cbor_put_uint(&w, ANSWER_ANSWERED);
	cbor_put_uint(&w, r->answered_ms);
	cbor_put_uint(&w, ANSWER_ORIGIN);
	if (r->origin != ORIGIN_PARTNER_ACMS && r->origin != ORIGIN_HOME_ACMS)
		cbor_refuse(&w);
	cbor_put_uint(&w, r->origin);
	cbor_put_uint(&w, ANSWER_CAUSE);
	put_cause(&w, r->cause);
	if (r->detail.ptr) {
		cbor_put_uint(&w, ANSWER_DETAIL);
		cbor_put_prose(&w, r->detail);
	}
	if (r->n_identities) {
		cbor_put_uint(&w, ANSWER_IDENTITIES);
		put_identities(&w, r->identities, r->n_identities);
	}
	if (r->n_revisions) {
		cbor_put_uint(&w, ANSWER_REVISIONS);
		put_revisions(&w, r->revisions, r->n_revisions);
	}
	if (r->receipt.ptr) {
		cbor_put_uint(&w, ANSWER_RECEIPT);
		cbor_put_bytes(&w, r->receipt.ptr, r->receipt.len);
	}
	if (r->decided_by.acmc.ptr) {
		cbor_put_uint(&w, ANSWER_DECIDED_BY);
		put_decided_by(&w, &r->decided_by);
	}
	if (r->done_ms) {
		cbor_put_uint(&w, ANSWER_DONE);
		cbor_put_uint(&w, r->done_ms);
	}
	return cbor_written(&w);
}

static enum origin get_origin(struct cbor_reader *r)
{
	uint64_t origin = cbor_get_uint(r);
	if (origin != ORIGIN_PARTNER_ACMS && origin != ORIGIN_HOME_ACMS)
		cbor_fail(r, "an unknown origin");
	return origin == ORIGIN_PARTNER_ACMS ? ORIGIN_PARTNER_ACMS : ORIGIN_HOME_ACMS;
}

enum status record_decode_answer(struct arena *a, struct str value, struct answer_record *out,
				 struct error *e)
{
	struct cbor_reader r = cbor_reader_of(value);
	struct map m = map_of(&r);
	*out = (struct answer_record){ .cause = CAUSE_NO_CAUSE };
	map_key(&m, ANSWER_ANSWERED);
	out->answered_ms = cbor_get_uint(&r);
	map_key(&m, ANSWER_ORIGIN);
	out->origin = get_origin(&r);
	map_key(&m, ANSWER_CAUSE);
	out->cause = get_cause(&r);
	if (map_has(&m, ANSWER_DETAIL))
		out->detail = cbor_get_prose(&r, a);
	if (map_has(&m, ANSWER_IDENTITIES))
		out->identities = get_identities(&r, a, &out->n_identities);
	if (map_has(&m, ANSWER_REVISIONS))
		out->revisions = get_revisions(&r, a, &out->n_revisions);
	if (map_has(&m, ANSWER_RECEIPT))
		out->receipt = cbor_get_bytes(&r);
	if (map_has(&m, ANSWER_DECIDED_BY))
		out->decided_by = get_decided_by(&r, a);
	if (map_has(&m, ANSWER_DONE))
		out->done_ms = get_nonzero(&r);
	map_end(&m);
	return cbor_finish(&r, "answer", e);
}
