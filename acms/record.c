#include "acms/record.h"

#include "common/cbor.h"

/* Keys of the maps in proto/idm-store.cddl. */
enum { USER_REVISION = 1, USER_SERVICE_IDS, USER_CREATED, USER_CHANGED, USER_BY };
enum { REQUEST_CONTENT = 1, REQUEST_ANSWERED, REQUEST_CAUSE, REQUEST_IDENTITIES };
enum { SYSTEM_USERS_HELD = 1, SYSTEM_TOKEN_ISSUER };
enum {
	AUDIT_PREVIOUS = 10,
	AUDIT_AT,
	AUDIT_ACTION,
	AUDIT_HOME,
	AUDIT_CERTIFICATE,
	AUDIT_REQUEST,
	AUDIT_CLAIMED_ACMC,
	AUDIT_CAUSE,
	AUDIT_MC_IDS,
	AUDIT_OUTCOME
};

enum { HEAD_MAX = CBOR_HEAD_MAX, FIXED_MAX = 40 * HEAD_MAX };

/* --- writing --- */

struct str record_encode_user(struct arena *a, const struct user_record *r)
{
	size_t size = FIXED_MAX + REQUEST_ID_SIZE;
	for (size_t i = 0; i < r->n_service_ids; i++)
		size += 3 * HEAD_MAX + r->service_ids[i].mc_service_id.len;
	struct cbor_writer w = cbor_writer_new(a, size);
	cbor_put_map(&w, 5);
	cbor_put_uint(&w, USER_REVISION);
	cbor_put_uint(&w, r->revision);
	cbor_put_uint(&w, USER_SERVICE_IDS);
	cbor_put_array(&w, r->n_service_ids);
	for (size_t i = 0; i < r->n_service_ids; i++) {
		cbor_put_array(&w, 2);
		cbor_put_uint(&w, r->service_ids[i].service);
		cbor_put_text(&w, r->service_ids[i].mc_service_id);
	}
	cbor_put_uint(&w, USER_CREATED);
	cbor_put_uint(&w, r->created_ms);
	cbor_put_uint(&w, USER_CHANGED);
	cbor_put_uint(&w, r->changed_ms);
	cbor_put_uint(&w, USER_BY);
	cbor_put_bytes(&w, r->by.bytes, REQUEST_ID_SIZE);
	return cbor_written(&w);
}

struct str record_encode_owner(struct arena *a, const struct owner_record *r)
{
	struct cbor_writer w = cbor_writer_new(a, FIXED_MAX + r->home.len + r->mc_id.len);
	cbor_put_array(&w, 2);
	cbor_put_text(&w, r->home);
	cbor_put_text(&w, r->mc_id);
	return cbor_written(&w);
}

static void put_identities(struct cbor_writer *w, const struct request_record *r)
{
	cbor_put_uint(w, REQUEST_IDENTITIES);
	cbor_put_array(w, r->n_identities);
	for (size_t i = 0; i < r->n_identities; i++) {
		const struct identity_cause *c = &r->identities[i];
		cbor_put_array(w, 3);
		cbor_put_text(w, c->mc_id);
		if (c->mc_service_id.ptr)
			cbor_put_text(w, c->mc_service_id);
		else
			cbor_put_null(w);
		cbor_put_uint(w, (uint64_t)c->cause);
	}
}

struct str record_encode_request(struct arena *a, const struct request_record *r)
{
	size_t size = FIXED_MAX + DIGEST_SIZE;
	for (size_t i = 0; i < r->n_identities; i++)
		size += 4 * HEAD_MAX + r->identities[i].mc_id.len +
			r->identities[i].mc_service_id.len;
	struct cbor_writer w = cbor_writer_new(a, size);
	cbor_put_map(&w, r->n_identities ? 4 : 3);
	cbor_put_uint(&w, REQUEST_CONTENT);
	cbor_put_bytes(&w, r->content, DIGEST_SIZE);
	cbor_put_uint(&w, REQUEST_ANSWERED);
	cbor_put_uint(&w, r->answered_ms);
	cbor_put_uint(&w, REQUEST_CAUSE);
	cbor_put_uint(&w, (uint64_t)r->cause);
	if (r->n_identities)
		put_identities(&w, r);
	return cbor_written(&w);
}

struct str record_encode_system(struct arena *a, const struct system_record *r)
{
	struct cbor_writer w = cbor_writer_new(a, FIXED_MAX + r->token_issuer.len);
	cbor_put_map(&w, r->token_issuer.ptr ? 2 : 1);
	cbor_put_uint(&w, SYSTEM_USERS_HELD);
	cbor_put_uint(&w, r->users_held);
	if (r->token_issuer.ptr) {
		cbor_put_uint(&w, SYSTEM_TOKEN_ISSUER);
		cbor_put_text(&w, r->token_issuer);
	}
	return cbor_written(&w);
}

static size_t audit_size(const struct audit_record *r)
{
	size_t size = FIXED_MAX + DIGEST_SIZE + REQUEST_ID_SIZE + r->home.len +
		      r->certificate.len + r->claimed_acmc.len;
	for (size_t i = 0; i < r->n_mc_ids; i++)
		size += HEAD_MAX + r->mc_ids[i].len;
	return size;
}

struct str record_encode_audit(struct arena *a, const struct audit_record *r)
{
	struct cbor_writer w = cbor_writer_new(a, audit_size(r));
	cbor_put_map(&w, r->claimed_acmc.ptr ? 10 : 9);
	cbor_put_uint(&w, AUDIT_PREVIOUS);
	cbor_put_bytes(&w, r->previous, DIGEST_SIZE);
	cbor_put_uint(&w, AUDIT_AT);
	cbor_put_uint(&w, r->at_ms);
	cbor_put_uint(&w, AUDIT_ACTION);
	cbor_put_uint(&w, r->action);
	cbor_put_uint(&w, AUDIT_HOME);
	cbor_put_text(&w, r->home);
	cbor_put_uint(&w, AUDIT_CERTIFICATE);
	cbor_put_text(&w, r->certificate);
	cbor_put_uint(&w, AUDIT_REQUEST);
	cbor_put_bytes(&w, r->request.bytes, REQUEST_ID_SIZE);
	if (r->claimed_acmc.ptr) {
		cbor_put_uint(&w, AUDIT_CLAIMED_ACMC);
		cbor_put_text(&w, r->claimed_acmc);
	}
	cbor_put_uint(&w, AUDIT_CAUSE);
	cbor_put_uint(&w, (uint64_t)r->cause);
	cbor_put_uint(&w, AUDIT_MC_IDS);
	cbor_put_array(&w, r->n_mc_ids);
	for (size_t i = 0; i < r->n_mc_ids; i++)
		cbor_put_text(&w, r->mc_ids[i]);
	cbor_put_uint(&w, AUDIT_OUTCOME);
	cbor_put_array(&w, 3);
	cbor_put_uint(&w, r->created);
	cbor_put_uint(&w, r->replaced);
	cbor_put_uint(&w, r->unchanged);
	return cbor_written(&w);
}

struct str record_encode_uint(struct arena *a, uint64_t value)
{
	struct cbor_writer w = cbor_writer_new(a, HEAD_MAX);
	cbor_put_uint(&w, value);
	return cbor_written(&w);
}

struct str record_encode_text(struct arena *a, struct str text)
{
	struct cbor_writer w = cbor_writer_new(a, HEAD_MAX + text.len);
	cbor_put_text(&w, text);
	return cbor_written(&w);
}

/* --- reading --- */

/* A cause may be a newer version's, but not what an enum cannot hold: cut, it could become TRUE. */
static enum cause get_cause(struct cbor_reader *r)
{
	uint64_t cause = cbor_get_uint(r);
	if (cause > INT32_MAX)
		cbor_fail(r, "a cause that cannot be");
	return r->bad ? CAUSE_STORE_UNAVAILABLE : (enum cause)cause;
}

static enum mc_service get_service(struct cbor_reader *r)
{
	uint64_t service = cbor_get_uint(r);
	if (!r->bad && (service > INT32_MAX || !mc_service_name((int)service)))
		cbor_fail(r, "an unknown service");
	return (enum mc_service)service;
}

static int compare_ids(const struct user_service_id *a, const struct user_service_id *b)
{
	if (a->service != b->service)
		return a->service < b->service ? -1 : 1;
	return str_cmp(a->mc_service_id, b->mc_service_id);
}

static void get_service_ids(struct cbor_reader *r, struct arena *a, struct user_record *out)
{
	out->n_service_ids = cbor_get_array(r);
	struct user_service_id *ids = arena_array(a, out->n_service_ids, sizeof *ids);
	if (!ids)
		cbor_fail(r, "out of memory");
	for (size_t i = 0; !r->bad && i < out->n_service_ids; i++) {
		cbor_expect_array(r, 2);
		ids[i].service = get_service(r);
		ids[i].mc_service_id = cbor_get_id(r, MC_SERVICE_ID_MAX);
		if (!r->bad && i > 0 && compare_ids(&ids[i - 1], &ids[i]) >= 0)
			cbor_fail(r, "MC service IDs are not sorted");
	}
	out->service_ids = ids;
}

enum status record_decode_user(struct arena *a, struct str value, struct user_record *out,
			       struct error *e)
{
	struct cbor_reader r = cbor_reader_of(value);
	if (cbor_get_map(&r) != 5)
		cbor_fail(&r, "a key is missing or unknown");
	cbor_expect_key(&r, USER_REVISION);
	out->revision = cbor_get_uint(&r);
	if (out->revision == 0)
		cbor_fail(&r, "revision 0");
	cbor_expect_key(&r, USER_SERVICE_IDS);
	get_service_ids(&r, a, out);
	cbor_expect_key(&r, USER_CREATED);
	out->created_ms = cbor_get_uint(&r);
	cbor_expect_key(&r, USER_CHANGED);
	out->changed_ms = cbor_get_uint(&r);
	cbor_expect_key(&r, USER_BY);
	cbor_get_fixed(&r, out->by.bytes, REQUEST_ID_SIZE);
	return cbor_finish(&r, "user", e);
}

enum status record_decode_owner(struct str value, struct owner_record *out, struct error *e)
{
	struct cbor_reader r = cbor_reader_of(value);
	cbor_expect_array(&r, 2);
	out->home = cbor_get_id(&r, MC_SYSTEM_ID_MAX);
	out->mc_id = cbor_get_id(&r, MC_ID_MAX);
	return cbor_finish(&r, "owner", e);
}

static void get_identities(struct cbor_reader *r, struct arena *a, struct request_record *out)
{
	cbor_expect_key(r, REQUEST_IDENTITIES);
	out->n_identities = cbor_get_filled_array(r);
	struct identity_cause *causes = arena_array(a, out->n_identities, sizeof *causes);
	if (!causes)
		cbor_fail(r, "out of memory");
	for (size_t i = 0; !r->bad && i < out->n_identities; i++) {
		cbor_expect_array(r, 3);
		causes[i].mc_id = cbor_get_id(r, MC_ID_MAX);
		causes[i].mc_service_id = cbor_get_text_or_null(r);
		causes[i].cause = get_cause(r);
	}
	out->identities = causes;
}

enum status record_decode_request(struct arena *a, struct str value, struct request_record *out,
				  struct error *e)
{
	struct cbor_reader r = cbor_reader_of(value);
	uint64_t pairs = cbor_get_map(&r);
	*out = (struct request_record){ .cause = CAUSE_NO_CAUSE };
	if (pairs != 3 && pairs != 4)
		cbor_fail(&r, "a key is missing or unknown");
	cbor_expect_key(&r, REQUEST_CONTENT);
	cbor_get_fixed(&r, out->content, DIGEST_SIZE);
	cbor_expect_key(&r, REQUEST_ANSWERED);
	out->answered_ms = cbor_get_uint(&r);
	cbor_expect_key(&r, REQUEST_CAUSE);
	out->cause = get_cause(&r);
	if (pairs == 4)
		get_identities(&r, a, out);
	return cbor_finish(&r, "request", e);
}

enum status record_decode_system(struct str value, struct system_record *out, struct error *e)
{
	struct cbor_reader r = cbor_reader_of(value);
	uint64_t pairs = cbor_get_map(&r);
	*out = (struct system_record){ .token_issuer = STR_NONE };
	if (pairs != 1 && pairs != 2)
		cbor_fail(&r, "a key is missing or unknown");
	cbor_expect_key(&r, SYSTEM_USERS_HELD);
	out->users_held = cbor_get_uint(&r);
	if (pairs == 2) {
		cbor_expect_key(&r, SYSTEM_TOKEN_ISSUER);
		out->token_issuer = cbor_get_text(&r);
	}
	return cbor_finish(&r, "system", e);
}

static void get_mc_ids(struct cbor_reader *r, struct arena *a, struct audit_record *out)
{
	out->n_mc_ids = cbor_get_filled_array(r);
	struct str *ids = arena_array(a, out->n_mc_ids, sizeof *ids);
	if (!ids)
		cbor_fail(r, "out of memory");
	for (size_t i = 0; !r->bad && i < out->n_mc_ids; i++)
		ids[i] = cbor_get_id(r, MC_ID_MAX);
	out->mc_ids = ids;
}

enum status record_decode_audit(struct arena *a, struct str value, struct audit_record *out,
				struct error *e)
{
	struct cbor_reader r = cbor_reader_of(value);
	uint64_t pairs = cbor_get_map(&r);
	*out = (struct audit_record){ .claimed_acmc = STR_NONE };
	if (pairs != 9 && pairs != 10)
		cbor_fail(&r, "a key is missing or unknown");
	cbor_expect_key(&r, AUDIT_PREVIOUS);
	cbor_get_fixed(&r, out->previous, DIGEST_SIZE);
	cbor_expect_key(&r, AUDIT_AT);
	out->at_ms = cbor_get_uint(&r);
	cbor_expect_key(&r, AUDIT_ACTION);
	if (cbor_get_uint(&r) != AUDIT_SETUP)
		cbor_fail(&r, "an unknown action");
	out->action = AUDIT_SETUP;
	cbor_expect_key(&r, AUDIT_HOME);
	out->home = cbor_get_id(&r, MC_SYSTEM_ID_MAX);
	cbor_expect_key(&r, AUDIT_CERTIFICATE);
	out->certificate = cbor_get_text(&r);
	cbor_expect_key(&r, AUDIT_REQUEST);
	cbor_get_fixed(&r, out->request.bytes, REQUEST_ID_SIZE);
	if (pairs == 10) {
		cbor_expect_key(&r, AUDIT_CLAIMED_ACMC);
		out->claimed_acmc = cbor_get_text(&r);
	}
	cbor_expect_key(&r, AUDIT_CAUSE);
	out->cause = get_cause(&r);
	cbor_expect_key(&r, AUDIT_MC_IDS);
	get_mc_ids(&r, a, out);
	cbor_expect_key(&r, AUDIT_OUTCOME);
	cbor_expect_array(&r, 3);
	out->created = cbor_get_uint(&r);
	out->replaced = cbor_get_uint(&r);
	out->unchanged = cbor_get_uint(&r);
	return cbor_finish(&r, "audit", e);
}

enum status record_decode_uint(struct str value, uint64_t *out, struct error *e)
{
	struct cbor_reader r = cbor_reader_of(value);
	*out = cbor_get_uint(&r);
	return cbor_finish(&r, "number", e);
}

enum status record_decode_text(struct str value, struct str *out, struct error *e)
{
	struct cbor_reader r = cbor_reader_of(value);
	*out = cbor_get_text(&r);
	return cbor_finish(&r, "text", e);
}
