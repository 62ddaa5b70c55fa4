#include "acms/record.h"

#include <cbor.h>
#include "common/text.h"

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

enum { HEAD_MAX = 9, FIXED_MAX = 40 * HEAD_MAX };

/* --- writing --- */

/* Sized for the worst case beforehand, so that nothing can go wrong halfway. */
struct writer {
	uint8_t *start, *at;
	size_t left;
};

static struct writer writer_new(struct arena *a, size_t size)
{
	struct writer w = { .left = size };
	w.start = w.at = arena_alloc(a, size);
	if (!w.start)
		w.left = 0;
	return w;
}

static void advance(struct writer *w, size_t n)
{
	if (n > 0)
		w->at += n;
	w->left -= n;
}

static void put_uint(struct writer *w, uint64_t value)
{
	advance(w, cbor_encode_uint(value, w->at, w->left));
}

static void put_map(struct writer *w, size_t pairs)
{
	advance(w, cbor_encode_map_start(pairs, w->at, w->left));
}

static void put_array(struct writer *w, size_t items)
{
	advance(w, cbor_encode_array_start(items, w->at, w->left));
}

static void put_raw(struct writer *w, const void *bytes, size_t n)
{
	if (n > w->left)
		return;
	if (n)
		memcpy(w->at, bytes, n);
	advance(w, n);
}

static void put_bytes(struct writer *w, const void *bytes, size_t n)
{
	advance(w, cbor_encode_bytestring_start(n, w->at, w->left));
	put_raw(w, bytes, n);
}

static void put_text(struct writer *w, struct str s)
{
	advance(w, cbor_encode_string_start(s.len, w->at, w->left));
	put_raw(w, s.ptr, s.len);
}

static void put_null(struct writer *w)
{
	advance(w, cbor_encode_null(w->at, w->left));
}

static struct str written(const struct writer *w)
{
	if (!w->start)
		return STR_NONE;
	return (struct str){ (const char *)w->start, (size_t)(w->at - w->start) };
}

struct str record_encode_user(struct arena *a, const struct user_record *r)
{
	size_t size = FIXED_MAX + REQUEST_ID_SIZE;
	for (size_t i = 0; i < r->n_service_ids; i++)
		size += 3 * HEAD_MAX + r->service_ids[i].mc_service_id.len;
	struct writer w = writer_new(a, size);
	put_map(&w, 5);
	put_uint(&w, USER_REVISION);
	put_uint(&w, r->revision);
	put_uint(&w, USER_SERVICE_IDS);
	put_array(&w, r->n_service_ids);
	for (size_t i = 0; i < r->n_service_ids; i++) {
		put_array(&w, 2);
		put_uint(&w, r->service_ids[i].service);
		put_text(&w, r->service_ids[i].mc_service_id);
	}
	put_uint(&w, USER_CREATED);
	put_uint(&w, r->created_ms);
	put_uint(&w, USER_CHANGED);
	put_uint(&w, r->changed_ms);
	put_uint(&w, USER_BY);
	put_bytes(&w, r->by.bytes, REQUEST_ID_SIZE);
	return written(&w);
}

struct str record_encode_owner(struct arena *a, const struct owner_record *r)
{
	struct writer w = writer_new(a, FIXED_MAX + r->home.len + r->mc_id.len);
	put_array(&w, 2);
	put_text(&w, r->home);
	put_text(&w, r->mc_id);
	return written(&w);
}

static void put_identities(struct writer *w, const struct request_record *r)
{
	put_uint(w, REQUEST_IDENTITIES);
	put_array(w, r->n_identities);
	for (size_t i = 0; i < r->n_identities; i++) {
		const struct identity_cause *c = &r->identities[i];
		put_array(w, 3);
		put_text(w, c->mc_id);
		if (c->mc_service_id.ptr)
			put_text(w, c->mc_service_id);
		else
			put_null(w);
		put_uint(w, (uint64_t)c->cause);
	}
}

struct str record_encode_request(struct arena *a, const struct request_record *r)
{
	size_t size = FIXED_MAX + DIGEST_SIZE;
	for (size_t i = 0; i < r->n_identities; i++)
		size += 4 * HEAD_MAX + r->identities[i].mc_id.len +
			r->identities[i].mc_service_id.len;
	struct writer w = writer_new(a, size);
	put_map(&w, r->n_identities ? 4 : 3);
	put_uint(&w, REQUEST_CONTENT);
	put_bytes(&w, r->content, DIGEST_SIZE);
	put_uint(&w, REQUEST_ANSWERED);
	put_uint(&w, r->answered_ms);
	put_uint(&w, REQUEST_CAUSE);
	put_uint(&w, (uint64_t)r->cause);
	if (r->n_identities)
		put_identities(&w, r);
	return written(&w);
}

struct str record_encode_system(struct arena *a, const struct system_record *r)
{
	struct writer w = writer_new(a, FIXED_MAX + r->token_issuer.len);
	put_map(&w, r->token_issuer.ptr ? 2 : 1);
	put_uint(&w, SYSTEM_USERS_HELD);
	put_uint(&w, r->users_held);
	if (r->token_issuer.ptr) {
		put_uint(&w, SYSTEM_TOKEN_ISSUER);
		put_text(&w, r->token_issuer);
	}
	return written(&w);
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
	struct writer w = writer_new(a, audit_size(r));
	put_map(&w, r->claimed_acmc.ptr ? 10 : 9);
	put_uint(&w, AUDIT_PREVIOUS);
	put_bytes(&w, r->previous, DIGEST_SIZE);
	put_uint(&w, AUDIT_AT);
	put_uint(&w, r->at_ms);
	put_uint(&w, AUDIT_ACTION);
	put_uint(&w, r->action);
	put_uint(&w, AUDIT_HOME);
	put_text(&w, r->home);
	put_uint(&w, AUDIT_CERTIFICATE);
	put_text(&w, r->certificate);
	put_uint(&w, AUDIT_REQUEST);
	put_bytes(&w, r->request.bytes, REQUEST_ID_SIZE);
	if (r->claimed_acmc.ptr) {
		put_uint(&w, AUDIT_CLAIMED_ACMC);
		put_text(&w, r->claimed_acmc);
	}
	put_uint(&w, AUDIT_CAUSE);
	put_uint(&w, (uint64_t)r->cause);
	put_uint(&w, AUDIT_MC_IDS);
	put_array(&w, r->n_mc_ids);
	for (size_t i = 0; i < r->n_mc_ids; i++)
		put_text(&w, r->mc_ids[i]);
	put_uint(&w, AUDIT_OUTCOME);
	put_array(&w, 3);
	put_uint(&w, r->created);
	put_uint(&w, r->replaced);
	put_uint(&w, r->unchanged);
	return written(&w);
}

struct str record_encode_uint(struct arena *a, uint64_t value)
{
	struct writer w = writer_new(a, HEAD_MAX);
	put_uint(&w, value);
	return written(&w);
}

struct str record_encode_text(struct arena *a, struct str text)
{
	struct writer w = writer_new(a, HEAD_MAX + text.len);
	put_text(&w, text);
	return written(&w);
}

/* --- reading --- */

enum token_kind { TOKEN_NONE, TOKEN_UINT, TOKEN_BYTES, TOKEN_TEXT, TOKEN_ARRAY, TOKEN_MAP, TOKEN_NULL };

struct token {
	enum token_kind kind;
	uint64_t value; /* or count, or length */
	const uint8_t *bytes;
};

static void on_uint8(void *t, uint8_t v) { *(struct token *)t = (struct token){ TOKEN_UINT, v, NULL }; }
static void on_uint16(void *t, uint16_t v) { *(struct token *)t = (struct token){ TOKEN_UINT, v, NULL }; }
static void on_uint32(void *t, uint32_t v) { *(struct token *)t = (struct token){ TOKEN_UINT, v, NULL }; }
static void on_uint64(void *t, uint64_t v) { *(struct token *)t = (struct token){ TOKEN_UINT, v, NULL }; }
static void on_bytes(void *t, cbor_data p, size_t n) { *(struct token *)t = (struct token){ TOKEN_BYTES, n, p }; }
static void on_text(void *t, cbor_data p, size_t n) { *(struct token *)t = (struct token){ TOKEN_TEXT, n, p }; }
static void on_array(void *t, size_t n) { *(struct token *)t = (struct token){ TOKEN_ARRAY, n, NULL }; }
static void on_map(void *t, size_t n) { *(struct token *)t = (struct token){ TOKEN_MAP, n, NULL }; }
static void on_null(void *t) { *(struct token *)t = (struct token){ TOKEN_NULL, 0, NULL }; }

/* Sticky: after the first thing that does not fit everything reads as nothing. */
struct reader {
	const uint8_t *at;
	size_t left;
	const char *bad; /* what, or NULL */
};

static void *fail(struct reader *r, const char *what)
{
	if (!r->bad)
		r->bad = what;
	return NULL;
}

static size_t shortest_head(uint64_t value)
{
	return value < 24 ? 1 : value <= UINT8_MAX ? 2 : value <= UINT16_MAX ? 3 :
	       value <= UINT32_MAX ? 5 : 9;
}

/* The next item of the kind that must come; its value, count or length. */
static struct token next(struct reader *r, enum token_kind a, enum token_kind b)
{
	struct cbor_callbacks callbacks = cbor_empty_callbacks;
	struct token t = { TOKEN_NONE, 0, NULL };
	callbacks.uint8 = on_uint8;
	callbacks.uint16 = on_uint16;
	callbacks.uint32 = on_uint32;
	callbacks.uint64 = on_uint64;
	callbacks.byte_string = on_bytes;
	callbacks.string = on_text;
	callbacks.array_start = on_array;
	callbacks.map_start = on_map;
	callbacks.null = on_null;
	if (r->bad)
		return t;
	struct cbor_decoder_result result = cbor_stream_decode(r->at, r->left, &callbacks, &t);
	if (result.status != CBOR_DECODER_FINISHED)
		fail(r, "it is cut off or no CBOR");
	else if (t.kind != a && t.kind != b)
		fail(r, "an item has another type than it should");
	else if (result.read != shortest_head(t.value) + (t.bytes ? t.value : 0))
		fail(r, "an item is not in its shortest form");
	if (r->bad)
		return (struct token){ TOKEN_NONE, 0, NULL };
	r->at += result.read;
	r->left -= result.read;
	return t;
}

static uint64_t get_uint(struct reader *r)
{
	return next(r, TOKEN_UINT, TOKEN_UINT).value;
}

static void get_fixed(struct reader *r, uint8_t *out, size_t n)
{
	struct token t = next(r, TOKEN_BYTES, TOKEN_BYTES);
	if (!r->bad && t.value != n)
		fail(r, "a byte string has another length than it should");
	if (!r->bad)
		memcpy(out, t.bytes, n);
}

static struct str text_of(struct reader *r, struct token t)
{
	struct str s = { (const char *)t.bytes, (size_t)t.value };
	if (!r->bad && !text_valid(s))
		fail(r, "a text is not UTF-8");
	return r->bad ? STR_NONE : s;
}

static struct str get_text(struct reader *r)
{
	return text_of(r, next(r, TOKEN_TEXT, TOKEN_TEXT));
}

/* An identity or another text that may not be empty, at most max bytes. */
static struct str get_id(struct reader *r, size_t max)
{
	struct str s = get_text(r);
	if (!r->bad && (s.len == 0 || s.len > max))
		fail(r, "a text is empty or too long");
	return s;
}

/* A cause may be a newer version's, but not what an enum cannot hold: cut, it could become TRUE. */
static enum cause get_cause(struct reader *r)
{
	uint64_t cause = get_uint(r);
	if (cause > INT32_MAX)
		fail(r, "a cause that cannot be");
	return r->bad ? CAUSE_STORE_UNAVAILABLE : (enum cause)cause;
}

/* An array's count; each item takes a byte at least, so a count beyond what is left is a lie. */
static size_t get_array(struct reader *r)
{
	uint64_t n = next(r, TOKEN_ARRAY, TOKEN_ARRAY).value;
	if (n > r->left)
		fail(r, "an array is longer than the record");
	return r->bad ? 0 : (size_t)n;
}

static void expect_array(struct reader *r, size_t n)
{
	if (get_array(r) != n)
		fail(r, "an array has another length than it should");
}

static uint64_t get_map(struct reader *r)
{
	return next(r, TOKEN_MAP, TOKEN_MAP).value;
}

/* An array that may not be empty. */
static size_t get_filled_array(struct reader *r)
{
	size_t n = get_array(r);
	if (n == 0)
		fail(r, "an array is empty");
	return n;
}

/* Keys come in ascending order, all of them: what is deterministic needs no search. */
static void expect_key(struct reader *r, uint64_t key)
{
	if (get_uint(r) != key)
		fail(r, "a key is missing, unknown, or out of order");
}

static enum status finish(struct reader *r, const char *what, struct error *e)
{
	if (!r->bad && r->left > 0)
		fail(r, "there are bytes behind it");
	return r->bad ? error_set(e, ERR_STORE, "%s record: %s", what, r->bad) : OK;
}

static struct reader reader_of(struct str value)
{
	return (struct reader){ (const uint8_t *)value.ptr, value.len, NULL };
}

static enum mc_service get_service(struct reader *r)
{
	uint64_t service = get_uint(r);
	if (!r->bad && (service > INT32_MAX || !mc_service_name((int)service)))
		fail(r, "an unknown service");
	return (enum mc_service)service;
}

static int compare_ids(const struct user_service_id *a, const struct user_service_id *b)
{
	if (a->service != b->service)
		return a->service < b->service ? -1 : 1;
	return str_cmp(a->mc_service_id, b->mc_service_id);
}

static void get_service_ids(struct reader *r, struct arena *a, struct user_record *out)
{
	out->n_service_ids = get_array(r);
	struct user_service_id *ids = arena_array(a, out->n_service_ids, sizeof *ids);
	if (!ids)
		fail(r, "out of memory");
	for (size_t i = 0; !r->bad && i < out->n_service_ids; i++) {
		expect_array(r, 2);
		ids[i].service = get_service(r);
		ids[i].mc_service_id = get_id(r, MC_SERVICE_ID_MAX);
		if (!r->bad && i > 0 && compare_ids(&ids[i - 1], &ids[i]) >= 0)
			fail(r, "MC service IDs are not sorted");
	}
	out->service_ids = ids;
}

enum status record_decode_user(struct arena *a, struct str value, struct user_record *out,
			       struct error *e)
{
	struct reader r = reader_of(value);
	if (get_map(&r) != 5)
		fail(&r, "a key is missing or unknown");
	expect_key(&r, USER_REVISION);
	out->revision = get_uint(&r);
	if (out->revision == 0)
		fail(&r, "revision 0");
	expect_key(&r, USER_SERVICE_IDS);
	get_service_ids(&r, a, out);
	expect_key(&r, USER_CREATED);
	out->created_ms = get_uint(&r);
	expect_key(&r, USER_CHANGED);
	out->changed_ms = get_uint(&r);
	expect_key(&r, USER_BY);
	get_fixed(&r, out->by.bytes, REQUEST_ID_SIZE);
	return finish(&r, "user", e);
}

enum status record_decode_owner(struct str value, struct owner_record *out, struct error *e)
{
	struct reader r = reader_of(value);
	expect_array(&r, 2);
	out->home = get_id(&r, MC_SYSTEM_ID_MAX);
	out->mc_id = get_id(&r, MC_ID_MAX);
	return finish(&r, "owner", e);
}

static void get_identities(struct reader *r, struct arena *a, struct request_record *out)
{
	expect_key(r, REQUEST_IDENTITIES);
	out->n_identities = get_filled_array(r);
	struct identity_cause *causes = arena_array(a, out->n_identities, sizeof *causes);
	if (!causes)
		fail(r, "out of memory");
	for (size_t i = 0; !r->bad && i < out->n_identities; i++) {
		expect_array(r, 3);
		causes[i].mc_id = get_id(r, MC_ID_MAX);
		struct token t = next(r, TOKEN_TEXT, TOKEN_NULL);
		causes[i].mc_service_id = t.kind == TOKEN_TEXT ? text_of(r, t) : STR_NONE;
		causes[i].cause = get_cause(r);
	}
	out->identities = causes;
}

enum status record_decode_request(struct arena *a, struct str value, struct request_record *out,
				  struct error *e)
{
	struct reader r = reader_of(value);
	uint64_t pairs = get_map(&r);
	*out = (struct request_record){ .cause = CAUSE_NO_CAUSE };
	if (pairs != 3 && pairs != 4)
		fail(&r, "a key is missing or unknown");
	expect_key(&r, REQUEST_CONTENT);
	get_fixed(&r, out->content, DIGEST_SIZE);
	expect_key(&r, REQUEST_ANSWERED);
	out->answered_ms = get_uint(&r);
	expect_key(&r, REQUEST_CAUSE);
	out->cause = get_cause(&r);
	if (pairs == 4)
		get_identities(&r, a, out);
	return finish(&r, "request", e);
}

enum status record_decode_system(struct str value, struct system_record *out, struct error *e)
{
	struct reader r = reader_of(value);
	uint64_t pairs = get_map(&r);
	*out = (struct system_record){ .token_issuer = STR_NONE };
	if (pairs != 1 && pairs != 2)
		fail(&r, "a key is missing or unknown");
	expect_key(&r, SYSTEM_USERS_HELD);
	out->users_held = get_uint(&r);
	if (pairs == 2) {
		expect_key(&r, SYSTEM_TOKEN_ISSUER);
		out->token_issuer = get_text(&r);
	}
	return finish(&r, "system", e);
}

static void get_mc_ids(struct reader *r, struct arena *a, struct audit_record *out)
{
	out->n_mc_ids = get_filled_array(r);
	struct str *ids = arena_array(a, out->n_mc_ids, sizeof *ids);
	if (!ids)
		fail(r, "out of memory");
	for (size_t i = 0; !r->bad && i < out->n_mc_ids; i++)
		ids[i] = get_id(r, MC_ID_MAX);
	out->mc_ids = ids;
}

enum status record_decode_audit(struct arena *a, struct str value, struct audit_record *out,
				struct error *e)
{
	struct reader r = reader_of(value);
	uint64_t pairs = get_map(&r);
	*out = (struct audit_record){ .claimed_acmc = STR_NONE };
	if (pairs != 9 && pairs != 10)
		fail(&r, "a key is missing or unknown");
	expect_key(&r, AUDIT_PREVIOUS);
	get_fixed(&r, out->previous, DIGEST_SIZE);
	expect_key(&r, AUDIT_AT);
	out->at_ms = get_uint(&r);
	expect_key(&r, AUDIT_ACTION);
	if (get_uint(&r) != AUDIT_SETUP)
		fail(&r, "an unknown action");
	out->action = AUDIT_SETUP;
	expect_key(&r, AUDIT_HOME);
	out->home = get_id(&r, MC_SYSTEM_ID_MAX);
	expect_key(&r, AUDIT_CERTIFICATE);
	out->certificate = get_text(&r);
	expect_key(&r, AUDIT_REQUEST);
	get_fixed(&r, out->request.bytes, REQUEST_ID_SIZE);
	if (pairs == 10) {
		expect_key(&r, AUDIT_CLAIMED_ACMC);
		out->claimed_acmc = get_text(&r);
	}
	expect_key(&r, AUDIT_CAUSE);
	out->cause = get_cause(&r);
	expect_key(&r, AUDIT_MC_IDS);
	get_mc_ids(&r, a, out);
	expect_key(&r, AUDIT_OUTCOME);
	expect_array(&r, 3);
	out->created = get_uint(&r);
	out->replaced = get_uint(&r);
	out->unchanged = get_uint(&r);
	return finish(&r, "audit", e);
}

enum status record_decode_uint(struct str value, uint64_t *out, struct error *e)
{
	struct reader r = reader_of(value);
	*out = get_uint(&r);
	return finish(&r, "number", e);
}

enum status record_decode_text(struct str value, struct str *out, struct error *e)
{
	struct reader r = reader_of(value);
	*out = get_text(&r);
	return finish(&r, "text", e);
}
