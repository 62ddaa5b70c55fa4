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

struct str read_text(struct reader *r, const char *text, const char *what)
{
	struct str s = str_of(text);
	if (!text_valid(s))
		read_wrong(r, what, "is not UTF-8");
	return s;
}

/* Where "" means left out. */
struct str read_filled(struct reader *r, const char *text, const char *what)
{
	struct str s = read_text(r, text, what);
	return s.len ? s : STR_NONE;
}

/* For people. */
struct str read_prose(struct reader *r, const char *text, const char *what)
{
	struct str s = read_filled(r, text, what);
	if (s.len > PROSE_MAX)
		read_wrong(r, what, "is longer than 512 bytes");
	return s;
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

struct str *read_texts(struct reader *r, char **texts, size_t n, const char *what)
{
	struct str *list = read_list_raw(r, n, sizeof *list, what);
	for (size_t i = 0; list && i < n; i++)
		list[i] = read_text(r, texts[i], what);
	return list;
}

int read_enum(struct reader *r, int value)
{
	r->has_negative_enum |= value < 0;
	return value;
}

static struct service_id_entry *read_entries(struct reader *r, Acx__McServiceIdEntry **entries,
					     size_t n, bool *unknown)
{
	struct service_id_entry *list = read_list_raw(r, n, sizeof *list, "mc_service_id_list");
	for (size_t i = 0; list && i < n; i++) {
		list[i].mc_id = read_text(r, entries[i]->mc_id, "mc_id");
		list[i].service = read_enum(r, (int)entries[i]->service);
		list[i].mc_service_id = read_text(r, entries[i]->mc_service_id, "mc_service_id");
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
				read_text(r, m->mc_service_id[at], "mc_service_id") };
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
		list[i].mc_id = read_text(r, revisions[i]->mc_id, "mc_id");
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
		out->mc_system_id = read_text(r, m->mc_system_id, "mc_system_id");
	out->software = read_text(r, m->software, "software");
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
				       .operation = read_enum(r, (int)m->operation),
				       .n_revisions = m->n_expected_revision,
				       .has_validity = m->validity != NULL,
				       .expires_ms = m->expires,
				       .dry_run = m->dry_run,
				       .best_effort = m->best_effort,
				       .part = m->part,
				       .parts = m->parts };
	if (m->home_acmc_id_ie_case ==
	    ACX__MC_SERVICE_USER_SETUP_REQUEST__HOME_ACMC_ID_IE_HOME_ACMC_ID)
		out->home_acmc_id = read_text(r, m->home_acmc_id, "home_acmc_id");
	out->mc_system_ids = read_texts(r, m->mc_system_id, m->n_mc_system_id, "mc_system_id");
	out->mc_ids = read_texts(r, m->mc_id_list, m->n_mc_id_list, "mc_id_list");
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
		out->identities[i].mc_id = read_text(r, c->mc_id, "mc_id");
		out->identities[i].cause = (enum cause)read_enum(r, (int)c->cause);
		if (c->mc_service_id_ie_case == ACX__IDENTITY_CAUSE__MC_SERVICE_ID_IE_MC_SERVICE_ID)
			out->identities[i].mc_service_id =
				read_text(r, c->mc_service_id, "mc_service_id");
	}
}

static struct decided_by read_decided_by(struct reader *r, const Acx__DecidedBy *m)
{
	if (!m)
		return (struct decided_by){ .acmc = STR_NONE };
	return (struct decided_by){ read_text(r, m->acmc, "acmc"),
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
		.mc_system_id = read_text(r, m->mc_system_id, "mc_system_id"),
		.n_mc_ids = m->n_mc_id_list,
		.n_service_ids = m->n_mc_service_id_list,
		.result = m->result,
		.origin = (enum origin)read_enum(r, (int)m->origin),
		.cause = (enum cause)read_enum(r, (int)m->cause),
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
	r->has_packed_one |= m->n_revision_of_each == 1;
	if (out->receipt_root.ptr && out->receipt_root.len != RECEIPT_ROOT_SIZE)
		read_wrong(r, "receipt_root", "has not 32 bytes");
	if (m->result_ie_case != ACX__MC_SERVICE_USER_SETUP_RESPONSE__RESULT_IE_RESULT)
		read_wrong(r, "result", "is missing");
	out->mc_ids = read_texts(r, m->mc_id_list, m->n_mc_id_list, "mc_id_list");
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
		out->close.cause = (enum cause)read_enum(r, (int)m->close->cause);
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

/*
 * protobuf-c also reads a negative enum from 5 bytes and packs it into 10: that could make up for the length of what a
 * NUL cut off. So with one of those not only the size must agree.
 */
static bool packs_to(struct arena *a, const Acx__Message *m, const uint8_t *payload, size_t length)
{
	uint8_t *again = arena_raw(a, length);
	return again && acx__message__pack(m, again) == length &&
	       memcmp(again, payload, length) == 0;
}

/* --- as it is on the wire; protobuf-c has found it valid --- */

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5, WIRE_TYPE_BITS = 3, WIRE_TYPES = 7 };

static uint64_t wire_number(struct str *s)
{
	uint64_t n = 0;
	for (unsigned shift = 0; s->len > 0 && shift < 64; shift += 7) {
		uint8_t byte = (uint8_t)*s->ptr++;
		s->len--;
		n |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			break;
	}
	return n;
}

/* Takes a field, if one is left. value: what it has in bytes, if that is its type. */
static bool wire_field(struct str *s, uint64_t *key, struct str *value)
{
	*value = STR_NONE;
	if (s->len == 0)
		return false;
	*key = wire_number(s);
	uint64_t type = *key & WIRE_TYPES;
	if (type == WIRE_VARINT) {
		wire_number(s);
		return true;
	}
	uint64_t n = type == WIRE_BYTES ? wire_number(s) : type == WIRE_64 ? 8 : 4;
	*value = (struct str){ s->ptr, n < s->len ? n : s->len };
	s->ptr += value->len;
	s->len -= value->len;
	return true;
}

/*
 * protobuf-c also reads a number of a packed field that stands there by itself, which takes a byte less than packed: that
 * could make up for a NUL. Several take more. So who reads a packed list of one has this looked for.
 */
static bool is_packed(const ProtobufCMessageDescriptor *type, struct str message)
{
	struct str value;
	uint64_t key;
	while (wire_field(&message, &key, &value)) {
		const ProtobufCFieldDescriptor *f =
			protobuf_c_message_descriptor_get_field(type, (unsigned)(key >> WIRE_TYPE_BITS));
		if (f && f->flags & PROTOBUF_C_FIELD_FLAG_PACKED && (key & WIRE_TYPES) != WIRE_BYTES)
			return false;
		if (f && f->type == PROTOBUF_C_TYPE_MESSAGE && !is_packed(f->descriptor, value))
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
	/* Also finds a NUL inside a string, which protobuf-c takes for its end. */
	if (acx__message__get_packed_size(m) != length)
		return error_set(e, ERR_INPUT,
				 "not encoded minimally, or a string with a NUL in it");
	if (!read_body(&r, m, out)) {
		if (has_unknown(&m->base))
			*why = CAUSE_UNEXPECTED_MESSAGE;
		return error_set(e, ERR_INPUT, "no message that this version knows");
	}
	if (r.has_negative_enum && !packs_to(a, m, payload, length))
		read_wrong(&r, "a negative enum", "is not encoded minimally");
	if (r.has_packed_one && !is_packed(&acx__message__descriptor, (struct str){ (const char *)payload, length }))
		read_wrong(&r, "a list of one number", "is not packed");
	return r.bad ? ERR_INPUT : OK;
}
