#include "acms/record_internal.h"

/* Keys of the maps in proto/idm-store.cddl. */
enum {
	USER_REVISION = 1,
	USER_SERVICE_IDS,
	USER_CREATED,
	USER_CHANGED,
	USER_BY,
	USER_NOT_BEFORE,
	USER_NOT_AFTER
};
enum { SYSTEM_USERS_HELD = 1, SYSTEM_TOKEN_ISSUER, SYSTEM_REQUESTS_PENDING, SYSTEM_ANSWERS_BYTES, SYSTEM_PENDING_BYTES };

/* --- maps --- */

struct map map_of(struct cbor_reader *r)
{
	return (struct map){ r, cbor_get_map(r) };
}

void map_key(struct map *m, uint64_t key)
{
	if (m->left == 0)
		cbor_fail(m->r, "a key is missing, unknown, or out of order");
	cbor_expect_key(m->r, key);
	m->left--;
}

bool map_has(struct map *m, uint64_t key)
{
	if (m->left == 0 || !cbor_next_is(m->r, key))
		return false;
	m->left--;
	return true;
}

void map_end(struct map *m)
{
	if (m->left > 0)
		cbor_fail(m->r, "a key is missing, unknown, or out of order");
}

/* --- what several records have --- */

size_t service_ids_size(const struct user_service_id *ids, size_t n)
{
	size_t size = HEAD_MAX;
	for (size_t i = 0; i < n; i++)
		size += 3 * HEAD_MAX + ids[i].mc_service_id.len;
	return size;
}

static int compare_ids(const struct user_service_id *a, const struct user_service_id *b)
{
	if (a->service != b->service)
		return a->service < b->service ? -1 : 1;
	return str_cmp(a->mc_service_id, b->mc_service_id);
}

void put_service_ids(struct cbor_writer *w, const struct user_service_id *ids, size_t n)
{
	cbor_put_array(w, n);
	for (size_t i = 0; i < n; i++) {
		cbor_put_array(w, 2);
		cbor_put_uint(w, ids[i].service);
		cbor_put_id(w, ids[i].mc_service_id, MC_SERVICE_ID_MAX);
		if (!mc_service_name((int)ids[i].service) || (i > 0 && compare_ids(&ids[i - 1], &ids[i]) >= 0))
			cbor_refuse(w);
	}
}

static enum mc_service get_service(struct cbor_reader *r)
{
	uint64_t service = cbor_get_uint(r);
	if (!r->bad && (service > INT32_MAX || !mc_service_name((int)service)))
		cbor_fail(r, "an unknown service");
	return (enum mc_service)service;
}

/* Memory for a list that was announced, not zeroed; NULL if there is none or the record is bad. */
static void *list_of(struct cbor_reader *r, struct arena *a, size_t n, size_t size)
{
	void *list = r->bad ? NULL : arena_array_raw(a, n, size);
	if (!list)
		cbor_fail(r, "out of memory");
	return list;
}

const struct user_service_id *get_service_ids(struct cbor_reader *r, struct arena *a, size_t *n)
{
	*n = cbor_get_array(r);
	struct user_service_id *ids = list_of(r, a, *n, sizeof *ids);
	for (size_t i = 0; !r->bad && i < *n; i++) {
		cbor_expect_array(r, 2);
		ids[i].service = get_service(r);
		ids[i].mc_service_id = cbor_get_id(r, MC_SERVICE_ID_MAX);
		if (!r->bad && i > 0 && compare_ids(&ids[i - 1], &ids[i]) >= 0)
			cbor_fail(r, "MC service IDs are not sorted");
	}
	return ids;
}

size_t identities_size(const struct identity_cause *causes, size_t n)
{
	size_t size = HEAD_MAX;
	for (size_t i = 0; i < n; i++)
		size += 4 * HEAD_MAX + causes[i].mc_id.len + causes[i].mc_service_id.len;
	return size;
}

void put_cause(struct cbor_writer *w, enum cause cause)
{
	if ((uint64_t)cause > INT32_MAX)
		cbor_refuse(w);
	cbor_put_uint(w, (uint64_t)cause);
}

void put_identities(struct cbor_writer *w, const struct identity_cause *causes, size_t n)
{
	cbor_put_array(w, n);
	for (size_t i = 0; i < n; i++) {
		cbor_put_array(w, 3);
		cbor_put_id(w, causes[i].mc_id, MC_ID_MAX);
		if (causes[i].mc_service_id.ptr)
			cbor_put_text(w, causes[i].mc_service_id);
		else
			cbor_put_null(w);
		put_cause(w, causes[i].cause);
	}
}

enum cause get_cause(struct cbor_reader *r)
{
	uint64_t cause = cbor_get_uint(r);
	if (cause > INT32_MAX)
		cbor_fail(r, "a cause that cannot be");
	return r->bad ? CAUSE_STORE_UNAVAILABLE : (enum cause)cause;
}

const struct identity_cause *get_identities(struct cbor_reader *r, struct arena *a, size_t *n)
{
	*n = cbor_get_filled_array(r);
	struct identity_cause *causes = list_of(r, a, *n, sizeof *causes);
	for (size_t i = 0; !r->bad && i < *n; i++) {
		cbor_expect_array(r, 3);
		causes[i].mc_id = cbor_get_id(r, MC_ID_MAX);
		causes[i].mc_service_id = cbor_get_text_or_null(r);
		causes[i].cause = get_cause(r);
	}
	return causes;
}

void put_revisions(struct cbor_writer *w, const uint64_t *revisions, size_t n)
{
	cbor_put_array(w, n);
	for (size_t i = 0; i < n; i++)
		cbor_put_uint(w, revisions[i]);
}

const uint64_t *get_revisions(struct cbor_reader *r, struct arena *a, size_t *n)
{
	*n = cbor_get_filled_array(r);
	uint64_t *revisions = list_of(r, a, *n, sizeof *revisions);
	for (size_t i = 0; !r->bad && i < *n; i++)
		revisions[i] = cbor_get_uint(r);
	return revisions;
}

size_t texts_size(const struct str *texts, size_t n)
{
	size_t size = HEAD_MAX;
	for (size_t i = 0; i < n; i++)
		size += HEAD_MAX + texts[i].len;
	return size;
}

void put_texts(struct cbor_writer *w, const struct str *texts, size_t n)
{
	cbor_put_array(w, n);
	for (size_t i = 0; i < n; i++)
		cbor_put_text(w, texts[i]);
}

const struct str *get_texts(struct cbor_reader *r, struct arena *a, size_t *n)
{
	*n = cbor_get_filled_array(r);
	struct str *texts = list_of(r, a, *n, sizeof *texts);
	for (size_t i = 0; !r->bad && i < *n; i++)
		texts[i] = cbor_get_text(r);
	return texts;
}

size_t decided_by_size(const struct decided_by *d)
{
	return 4 * HEAD_MAX + d->acmc.len + d->reason.len;
}

void put_decided_by(struct cbor_writer *w, const struct decided_by *d)
{
	cbor_put_array(w, 3);
	cbor_put_prose(w, d->acmc);
	if (d->reason.ptr)
		cbor_put_prose(w, d->reason);
	else
		cbor_put_null(w);
	cbor_put_uint(w, d->at_ms);
}

struct decided_by get_decided_by(struct cbor_reader *r, struct arena *a)
{
	struct decided_by d;
	cbor_expect_array(r, 3);
	d.acmc = cbor_get_prose(r, a);
	d.reason = cbor_next_is_null(r) ? STR_NONE : cbor_get_prose(r, a);
	d.at_ms = cbor_get_uint(r);
	return d;
}

void put_operation(struct cbor_writer *w, enum operation operation)
{
	if (operation == OPERATION_SETUP || (uint64_t)operation >= OPERATIONS)
		cbor_refuse(w);
	cbor_put_uint(w, operation);
}

enum operation get_operation(struct cbor_reader *r)
{
	uint64_t operation = cbor_get_uint(r);
	if (operation == OPERATION_SETUP || operation >= OPERATIONS)
		cbor_fail(r, "an unknown operation");
	return r->bad ? OPERATION_SETUP : (enum operation)operation;
}

void put_number(struct cbor_writer *w, uint64_t key, uint64_t value)
{
	if (value == 0)
		return;
	cbor_put_uint(w, key);
	cbor_put_uint(w, value);
}

uint64_t get_nonzero(struct cbor_reader *r)
{
	uint64_t n = cbor_get_uint(r);
	if (n == 0)
		cbor_fail(r, "a number that says nothing");
	return n;
}

/* --- users, owners, systems --- */

struct str record_encode_user(struct arena *a, const struct user_record *r)
{
	const struct validity *v = &r->validity;
	struct cbor_writer w = cbor_writer_new(a, FIXED_MAX + REQUEST_ID_SIZE +
						  service_ids_size(r->service_ids, r->n_service_ids));
	cbor_put_map(&w, 5 + (v->not_before_ms > 0) + (v->not_after_ms > 0));
	cbor_put_uint(&w, USER_REVISION);
	cbor_put_uint(&w, r->revision);
	if (r->revision == 0)
		cbor_refuse(&w);
	cbor_put_uint(&w, USER_SERVICE_IDS);
	put_service_ids(&w, r->service_ids, r->n_service_ids);
	cbor_put_uint(&w, USER_CREATED);
	cbor_put_uint(&w, r->created_ms);
	cbor_put_uint(&w, USER_CHANGED);
	cbor_put_uint(&w, r->changed_ms);
	cbor_put_uint(&w, USER_BY);
	cbor_put_bytes(&w, r->by.bytes, REQUEST_ID_SIZE);
	if (v->not_before_ms) {
		cbor_put_uint(&w, USER_NOT_BEFORE);
		cbor_put_uint(&w, v->not_before_ms);
	}
	if (v->not_after_ms) {
		cbor_put_uint(&w, USER_NOT_AFTER);
		cbor_put_uint(&w, v->not_after_ms);
	}
	return cbor_written(&w);
}

enum status record_decode_user(struct arena *a, struct str value, struct user_record *out,
			       struct error *e)
{
	struct cbor_reader r = cbor_reader_of(value);
	struct map m = map_of(&r);
	*out = (struct user_record){ 0 };
	map_key(&m, USER_REVISION);
	out->revision = cbor_get_uint(&r);
	if (out->revision == 0)
		cbor_fail(&r, "revision 0");
	map_key(&m, USER_SERVICE_IDS);
	out->service_ids = get_service_ids(&r, a, &out->n_service_ids);
	map_key(&m, USER_CREATED);
	out->created_ms = cbor_get_uint(&r);
	map_key(&m, USER_CHANGED);
	out->changed_ms = cbor_get_uint(&r);
	map_key(&m, USER_BY);
	cbor_get_fixed(&r, out->by.bytes, REQUEST_ID_SIZE);
	if (map_has(&m, USER_NOT_BEFORE))
		out->validity.not_before_ms = get_nonzero(&r);
	if (map_has(&m, USER_NOT_AFTER))
		out->validity.not_after_ms = get_nonzero(&r);
	map_end(&m);
	return cbor_finish(&r, "user", e);
}

struct str record_encode_owner(struct arena *a, const struct owner_record *r)
{
	struct cbor_writer w = cbor_writer_new(a, FIXED_MAX + r->home.len + r->mc_id.len);
	cbor_put_array(&w, 2);
	cbor_put_id(&w, r->home, MC_SYSTEM_ID_MAX);
	cbor_put_id(&w, r->mc_id, MC_ID_MAX);
	return cbor_written(&w);
}

enum status record_decode_owner(struct str value, struct owner_record *out, struct error *e)
{
	struct cbor_reader r = cbor_reader_of(value);
	cbor_expect_array(&r, 2);
	out->home = cbor_get_id(&r, MC_SYSTEM_ID_MAX);
	out->mc_id = cbor_get_id(&r, MC_ID_MAX);
	return cbor_finish(&r, "owner", e);
}

struct str record_encode_system(struct arena *a, const struct system_record *r)
{
	struct cbor_writer w = cbor_writer_new(a, FIXED_MAX + r->token_issuer.len);
	cbor_put_map(&w, 1u + (r->token_issuer.ptr != NULL) + (r->requests_pending > 0) + (r->answers_bytes > 0) +
			 (r->pending_bytes > 0));
	cbor_put_uint(&w, SYSTEM_USERS_HELD);
	cbor_put_uint(&w, r->users_held);
	if (r->token_issuer.ptr) {
		cbor_put_uint(&w, SYSTEM_TOKEN_ISSUER);
		cbor_put_text(&w, r->token_issuer);
	}
	put_number(&w, SYSTEM_REQUESTS_PENDING, r->requests_pending);
	put_number(&w, SYSTEM_ANSWERS_BYTES, r->answers_bytes);
	put_number(&w, SYSTEM_PENDING_BYTES, r->pending_bytes);
	return cbor_written(&w);
}

enum status record_decode_system(struct str value, struct system_record *out, struct error *e)
{
	struct cbor_reader r = cbor_reader_of(value);
	struct map m = map_of(&r);
	*out = (struct system_record){ .token_issuer = STR_NONE };
	map_key(&m, SYSTEM_USERS_HELD);
	out->users_held = cbor_get_uint(&r);
	if (map_has(&m, SYSTEM_TOKEN_ISSUER))
		out->token_issuer = cbor_get_text(&r);
	if (map_has(&m, SYSTEM_REQUESTS_PENDING))
		out->requests_pending = get_nonzero(&r);
	if (map_has(&m, SYSTEM_ANSWERS_BYTES))
		out->answers_bytes = get_nonzero(&r);
	if (map_has(&m, SYSTEM_PENDING_BYTES))
		out->pending_bytes = get_nonzero(&r);
	map_end(&m);
	return cbor_finish(&r, "system", e);
}

/* --- plain values --- */

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
