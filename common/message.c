#include "common/message_internal.h"

#include "common/text.h"

enum { BUDGET_PER_BYTE = 32, BUDGET_BASE = 64 * 1024 };

size_t message_budget(size_t payload_length)
{
	return payload_length * BUDGET_PER_BYTE + BUDGET_BASE;
}

/* --- decoding --- */

static void *arena_allocate(void *arena, size_t n)
{
	return arena_raw(arena, n);
}

static void arena_release(void *arena, void *p)
{
	(void)arena;
	(void)p;
}

void read_wrong(struct reader *r, const char *what, const char *how)
{
	if (!r->bad)
		error_set(r->error, ERR_INPUT, "%s %s", what, how);
	r->bad = true;
}

struct str read_text(struct reader *r, const char *text, const char *what, size_t most)
{
	struct str s = str_of(text);
	if (s.len > most)
		read_wrong(r, what, "is too long");
	else if (!text_valid(s))
		read_wrong(r, what, "is not UTF-8");
	return s;
}

/* Where "" means left out. */
struct str read_filled(struct reader *r, const char *text, const char *what, size_t most)
{
	struct str s = read_text(r, text, what, most);
	return s.len ? s : STR_NONE;
}

struct str read_prose(struct reader *r, const char *text, const char *what)
{
	return read_filled(r, text, what, PROSE_MAX);
}

struct str read_detail(struct reader *r, const char *text)
{
	return read_prose(r, text, "detail");
}

struct request_id read_request_id(struct reader *r, const ProtobufCBinaryData *data)
{
	struct request_id id = { { 0 } };
	if (data->len == REQUEST_ID_SIZE)
		memcpy(id.bytes, data->data, REQUEST_ID_SIZE);
	else
		read_wrong(r, "request_id", "is not 16 bytes long");
	return id;
}

/* One that may be left out. */
bool read_optional_id(struct reader *r, const ProtobufCBinaryData *data,
		      struct request_id *out)
{
	if (data->len > 0)
		*out = read_request_id(r, data);
	return data->len > 0;
}

static void *taken(struct reader *r, void *list, const char *what)
{
	if (!list)
		read_wrong(r, what, "takes too much memory");
	return list;
}

void *read_list(struct reader *r, size_t n, size_t size, const char *what)
{
	return taken(r, arena_array(r->arena, n, size), what);
}

/* Not zeroed. */
static void *read_list_raw(struct reader *r, size_t n, size_t size, const char *what)
{
	return taken(r, arena_array_raw(r->arena, n, size), what);
}

struct str *read_texts(struct reader *r, char **texts, size_t n, const char *what, size_t most)
{
	struct str *list = read_list_raw(r, n, sizeof *list, what);
	for (size_t i = 0; list && i < n; i++)
		list[i] = read_text(r, texts[i], what, most);
	return list;
}

static struct service_id_entry *read_entries(struct reader *r, Acx__McServiceIdEntry **entries,
					     size_t n, bool *unknown)
{
	struct service_id_entry *list = read_list_raw(r, n, sizeof *list, "mc_service_id_list");
	for (size_t i = 0; list && i < n; i++) {
		list[i].mc_id = read_text(r, entries[i]->mc_id, "mc_id", RECEIVED_MAX);
		list[i].service = (int)entries[i]->service;
		list[i].mc_service_id = read_text(r, entries[i]->mc_service_id, "mc_service_id", RECEIVED_MAX);
		*unknown |= has_unknown(&entries[i]->base);
	}
	return list;
}

static bool is_grouped(const Acx__McServiceUserSetupRequest *m)
{
	return m->n_mc_service_id > 0 || m->mc_service.len > 0 || m->mc_service_ids_per_mc_id.len > 0;
}

/* Each MC service ID with its MC ID again, which the groups spare. What is wrong stays unfinished. */
static void read_groups(struct reader *r, const Acx__McServiceUserSetupRequest *m,
			struct setup_request *out)
{
	size_t n = m->n_mc_service_id, at = 0;
	struct service_id_entry *list = read_list_raw(r, n, sizeof *list, "mc_service_id");
	bool fit = m->n_mc_service_id_list == 0 && m->mc_service.len == n &&
		   m->mc_service_ids_per_mc_id.len == m->n_mc_id_list;
	for (size_t i = 0; list && out->mc_ids && fit && i < m->n_mc_id_list; i++) {
		size_t more = m->mc_service_ids_per_mc_id.data[i];
		fit = more <= n - at;
		for (; fit && more > 0; more--, at++)
			list[at] = (struct service_id_entry){
				out->mc_ids[i], m->mc_service.data[at],
				read_text(r, m->mc_service_id[at], "mc_service_id", RECEIVED_MAX) };
	}
	if (!fit || at != n)
		read_wrong(r, "mc_service_id", "does not fit the MC IDs and services beside it");
	out->service_ids = list;
	out->n_service_ids = n;
	out->grouped = true;
}

static struct user_revision *read_revisions(struct reader *r, Acx__UserRevision **revisions,
					    size_t n, bool *unknown)
{
	struct user_revision *list = read_list_raw(r, n, sizeof *list, "revision");
	for (size_t i = 0; list && i < n; i++) {
		list[i].mc_id = read_text(r, revisions[i]->mc_id, "mc_id", RECEIVED_MAX);
		list[i].revision = revisions[i]->revision;
		*unknown |= has_unknown(&revisions[i]->base);
	}
	return list;
}

struct validity read_validity(const Acx__Validity *m, bool *unknown)
{
	if (!m)
		return (struct validity){ 0 };
	*unknown |= has_unknown(&m->base);
	return (struct validity){ m->not_before, m->not_after };
}

static void read_hello(struct reader *r, const Acx__Hello *m, struct hello *out)
{
	*out = (struct hello){ .version_min = m->version_min, .version_max = m->version_max };
	if (m->mc_system_id_ie_case == ACX__HELLO__MC_SYSTEM_ID_IE_MC_SYSTEM_ID)
		out->mc_system_id = read_text(r, m->mc_system_id, "mc_system_id", MC_SYSTEM_ID_MAX);
	if (out->mc_system_id.ptr && !mc_system_id_valid(out->mc_system_id))
		read_wrong(r, "mc_system_id", "is no MC system ID");
	out->software = read_text(r, m->software, "software", WHO_MAX);
	if (!m->limits) {
		read_wrong(r, "limits", "is missing");
		return;
	}
	out->limits = (struct limits){
		.max_frame_bytes = m->limits->max_frame_bytes,
		.max_mc_ids = m->limits->max_mc_ids,
		.max_mc_service_ids_per_mc_id = m->limits->max_mc_service_ids_per_mc_id,
		.max_mc_system_ids = m->limits->max_mc_system_ids,
		.max_requests_in_flight = m->limits->max_requests_in_flight,
		.idle_timeout_seconds = m->limits->idle_timeout_seconds,
	};
}

void read_request(struct reader *r, const Acx__McServiceUserSetupRequest *m,
		  struct setup_request *out)
{
	*out = (struct setup_request){ .request_id = read_request_id(r, &m->request_id),
				       .n_mc_system_ids = m->n_mc_system_id,
				       .n_mc_ids = m->n_mc_id_list,
				       .n_service_ids = m->n_mc_service_id_list,
				       .has_unknown_fields = has_unknown(&m->base),
				       .operation = (int)m->operation,
				       .n_revisions = m->n_expected_revision,
				       .has_validity = m->validity != NULL,
				       .expires_ms = m->expires,
				       .dry_run = m->dry_run,
				       .best_effort = m->best_effort,
				       .part = m->part,
				       .parts = m->parts };
	if (m->home_acmc_id_ie_case ==
	    ACX__MC_SERVICE_USER_SETUP_REQUEST__HOME_ACMC_ID_IE_HOME_ACMC_ID)
		out->home_acmc_id = read_text(r, m->home_acmc_id, "home_acmc_id", RECEIVED_MAX);
	out->mc_system_ids = read_texts(r, m->mc_system_id, m->n_mc_system_id, "mc_system_id", RECEIVED_MAX);
	out->mc_ids = read_texts(r, m->mc_id_list, m->n_mc_id_list, "mc_id_list", RECEIVED_MAX);
	if (is_grouped(m))
		read_groups(r, m, out);
	else
		out->service_ids = read_entries(r, m->mc_service_id_list, m->n_mc_service_id_list,
						&out->has_unknown_fields);
	out->revisions = read_revisions(r, m->expected_revision, m->n_expected_revision,
					&out->has_unknown_fields);
	out->validity = read_validity(m->validity, &out->has_unknown_fields);
}

static void read_identities(struct reader *r, const Acx__McServiceUserSetupResponse *m,
			    struct setup_response *out)
{
	out->n_identities = m->n_identity_causes;
	out->identities =
		read_list(r, out->n_identities, sizeof *out->identities, "identity_causes");
	for (size_t i = 0; out->identities && i < out->n_identities; i++) {
		const Acx__IdentityCause *c = m->identity_causes[i];
		out->identities[i].mc_id = read_text(r, c->mc_id, "mc_id", RECEIVED_MAX);
		out->identities[i].cause = (enum cause)(int)c->cause;
		if (c->mc_service_id_ie_case == ACX__IDENTITY_CAUSE__MC_SERVICE_ID_IE_MC_SERVICE_ID)
			out->identities[i].mc_service_id =
				read_text(r, c->mc_service_id, "mc_service_id", RECEIVED_MAX);
	}
}

static struct decided_by read_decided_by(struct reader *r, const Acx__DecidedBy *m)
{
	if (!m)
		return (struct decided_by){ .acmc = STR_NONE };
	return (struct decided_by){ read_text(r, m->acmc, "acmc", WHO_MAX),
				    read_prose(r, m->reason, "reason"), m->at };
}

static struct str read_bytes(const ProtobufCBinaryData *b)
{
	return b->len > 0 ? (struct str){ (const char *)b->data, b->len } : STR_NONE;
}

void read_response(struct reader *r, const Acx__McServiceUserSetupResponse *m,
		   struct setup_response *out)
{
	bool unknown = false; /* ignored in responses */
	*out = (struct setup_response){
		.request_id = read_request_id(r, &m->request_id),
		.mc_system_id = read_text(r, m->mc_system_id, "mc_system_id", RECEIVED_MAX),
		.n_mc_ids = m->n_mc_id_list,
		.n_service_ids = m->n_mc_service_id_list,
		.result = m->result,
		.origin = (enum origin)(int)m->origin,
		.cause = (enum cause)(int)m->cause,
		.detail = read_detail(r, m->detail),
		.n_revisions = m->n_revision,
		.as_requested = m->as_requested,
		.revision_of_each = m->revision_of_each,
		.n_of_each = m->n_revision_of_each,
		.decided_by = read_decided_by(r, m->decided_by),
		.receipt = read_bytes(&m->receipt),
		.receipt_root = read_bytes(&m->receipt_root),
		.done_ms = m->done,
	};
	if (out->receipt_root.ptr && out->receipt_root.len != RECEIPT_ROOT_SIZE)
		read_wrong(r, "receipt_root", "has not 32 bytes");
	if (m->result_ie_case != ACX__MC_SERVICE_USER_SETUP_RESPONSE__RESULT_IE_RESULT)
		read_wrong(r, "result", "is missing");
	out->mc_ids = read_texts(r, m->mc_id_list, m->n_mc_id_list, "mc_id_list", RECEIVED_MAX);
	out->service_ids =
		read_entries(r, m->mc_service_id_list, m->n_mc_service_id_list, &unknown);
	out->revisions = read_revisions(r, m->revision, m->n_revision, &unknown);
	read_identities(r, m, out);
}

/* Those of version 1. False: another. */
static bool read_first(struct reader *r, const Acx__Message *m, struct message *out)
{
	switch ((int)m->body_case) {
	case ACX__MESSAGE__BODY_HELLO:
		out->kind = MESSAGE_HELLO;
		read_hello(r, m->hello, &out->hello);
		return true;
	case ACX__MESSAGE__BODY_MC_SERVICE_USER_SETUP_REQUEST:
		out->kind = MESSAGE_SETUP_REQUEST;
		read_request(r, m->mc_service_user_setup_request, &out->request);
		out->request.has_unknown_fields |= has_unknown(&m->base);
		return true;
	case ACX__MESSAGE__BODY_MC_SERVICE_USER_SETUP_RESPONSE:
		out->kind = MESSAGE_SETUP_RESPONSE;
		read_response(r, m->mc_service_user_setup_response, &out->response);
		return true;
	case ACX__MESSAGE__BODY_PING:
		out->kind = MESSAGE_PING;
		out->token = m->ping->token;
		return true;
	case ACX__MESSAGE__BODY_PONG:
		out->kind = MESSAGE_PONG;
		out->token = m->pong->token;
		return true;
	case ACX__MESSAGE__BODY_CLOSE:
		out->kind = MESSAGE_CLOSE;
		out->close.cause = (enum cause)(int)m->close->cause;
		out->close.detail = read_detail(r, m->close->detail);
		return true;
	}
	return false;
}

/* False: a body that this version does not know, or none. */
static bool read_body(struct reader *r, const Acx__Message *m, struct message *out)
{
	return read_first(r, m, out) || read_query(r, m, out) || read_answer(r, m, out);
}

bool message_is_readable(struct arena *a, const Acx__Message *m)
{
	struct message out;
	struct error e;
	struct reader r = { .arena = a, .error = &e };
	return read_body(&r, m, &out) && !r.bad;
}

/*
 * --- as it is on the wire: protobuf-c has found it valid, but takes several forms of the same number ---
 *
 * So the size of what was decoded is not enough: a number that is cut to its type, or a list of one that is not packed,
 * could make up for what a NUL cuts off a text. Here every number has one form only, and after that the size tells.
 */

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_TYPE_BITS = 3, WIRE_TYPES = 7 };
enum { NUMBER_BYTES = 10, NUMBER_LAST_MAX = 1 }; /* of 64 bits: the last byte has one of them */

static bool wire_long_number(struct str *s, uint64_t *out)
{
	uint64_t n = 0;
	for (size_t i = 0; i < s->len && i < NUMBER_BYTES; i++) {
		uint8_t byte = (uint8_t)s->ptr[i];
		n |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte >= 0x80)
			continue;
		*s = (struct str){ s->ptr + i + 1, s->len - i - 1 };
		*out = n;
		return (byte > 0 || i == 0) && (i + 1 < NUMBER_BYTES || byte <= NUMBER_LAST_MAX);
	}
	return false;
}

/* Takes a number. False: it is longer than it need be, or does not fit into 64 bits, or is not whole. */
static inline bool wire_number(struct str *s, uint64_t *out)
{
	if (s->len == 0 || (uint8_t)*s->ptr >= 0x80)
		return wire_long_number(s, out);
	*out = (uint8_t)*s->ptr++;
	s->len--;
	return true;
}

/* A negative enum is a number of 64 bits. f NULL: of a field that this version does not know. */
static bool wire_fits(const ProtobufCFieldDescriptor *f, uint64_t n)
{
	if (f && f->type == PROTOBUF_C_TYPE_BOOL)
		return n <= 1;
	if (f && f->type == PROTOBUF_C_TYPE_UINT32)
		return n <= UINT32_MAX;
	if (f && f->type == PROTOBUF_C_TYPE_ENUM)
		return n <= INT32_MAX || n >= (uint64_t)INT32_MIN;
	return true;
}

static bool is_packed(const ProtobufCFieldDescriptor *f)
{
	return f && f->flags & PROTOBUF_C_FIELD_FLAG_PACKED;
}

static bool wire_message(const ProtobufCMessageDescriptor *type, struct str s);

/* Eight that are below 0x80 at once. */
static bool wire_numbers(struct str s)
{
	uint64_t n = 0;
	while (s.len > 0) {
		if (s.len >= sizeof n)
			memcpy(&n, s.ptr, sizeof n);
		if (s.len >= sizeof n && !(n & (UINT64_MAX / 255 * 0x80)))
			s = (struct str){ s.ptr + sizeof n, s.len - sizeof n };
		else if (!wire_number(&s, &n))
			return false;
	}
	return true;
}

/* Takes what a field has. Texts are nearly all that there is. */
static inline bool wire_value(struct str *s, uint64_t type, const ProtobufCFieldDescriptor *f)
{
	uint64_t n = type == WIRE_64 ? 8 : 4;
	if (type == WIRE_VARINT)
		return !is_packed(f) && wire_number(s, &n) && wire_fits(f, n);
	if (type == WIRE_BYTES && !wire_number(s, &n))
		return false;
	if (n > s->len)
		return false;
	struct str value = { s->ptr, n };
	*s = (struct str){ s->ptr + n, s->len - n };
	if (type == WIRE_BYTES && f && f->type == PROTOBUF_C_TYPE_MESSAGE)
		return wire_message(f->descriptor, value);
	return type != WIRE_BYTES || !is_packed(f) || wire_numbers(value);
}

/* Whether every number has the one form that it may have. */
static bool wire_message(const ProtobufCMessageDescriptor *type, struct str s)
{
	const ProtobufCFieldDescriptor *f = NULL;
	uint64_t key, last = 0;
	while (s.len > 0) {
		if (!wire_number(&s, &key))
			return false;
		if (key != last) /* of a list each has the same */
			f = protobuf_c_message_descriptor_get_field(type, (unsigned)(key >> WIRE_TYPE_BITS));
		last = key;
		if (!wire_value(&s, key & WIRE_TYPES, f))
			return false;
	}
	return true;
}

enum status message_decode(struct arena *a, const uint8_t *payload, size_t length,
			   struct message *out, enum cause *why, struct error *e)
{
	ProtobufCAllocator allocator = { arena_allocate, arena_release, a };
	struct reader r = { .arena = a, .error = e };
	*why = CAUSE_MALFORMED_MESSAGE;
	Acx__Message *m = acx__message__unpack(&allocator, length, payload);
	if (!m)
		return error_set(e, ERR_INPUT,
				 "not a Message, or one that takes too much memory to decode");
	/* The size also finds a NUL inside a string, which protobuf-c takes for its end. */
	if (!wire_message(&acx__message__descriptor, (struct str){ (const char *)payload, length }) ||
	    acx__message__get_packed_size(m) != length)
		return error_set(e, ERR_INPUT,
				 "not encoded minimally, or a string with a NUL in it");
	if (!read_body(&r, m, out)) {
		if (has_unknown(&m->base))
			*why = CAUSE_UNEXPECTED_MESSAGE;
		return error_set(e, ERR_INPUT, "no message that this version knows");
	}
	return r.bad ? ERR_INPUT : OK;
}
