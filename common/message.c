#include "common/message.h"

#include <stdlib.h>
#include "common/frame.h"
#include "common/text.h"
#include "proto/acx.pb-c.h"

enum { DETAIL_MAX = 512, BUDGET_PER_BYTE = 32, BUDGET_BASE = 64 * 1024 };

size_t message_budget(size_t payload_length)
{
	return payload_length * BUDGET_PER_BYTE + BUDGET_BASE;
}

/* --- decoding --- */

static void *arena_allocate(void *arena, size_t n)
{
	return arena_alloc(arena, n);
}

static void arena_release(void *arena, void *p)
{
	(void)arena;
	(void)p;
}

/* Sticky: the first thing wrong is what is reported. */
struct reader {
	struct arena *arena;
	struct error *error;
	bool bad;
	bool has_negative_enum;
};

static void wrong(struct reader *r, const char *what, const char *how)
{
	if (!r->bad)
		error_set(r->error, ERR_INPUT, "%s %s", what, how);
	r->bad = true;
}

static struct str read_text(struct reader *r, const char *text, const char *what)
{
	struct str s = str_of(text);
	if (!text_valid(s))
		wrong(r, what, "is not UTF-8");
	return s;
}

static struct str read_detail(struct reader *r, const char *text)
{
	struct str s = read_text(r, text, "detail");
	if (s.len > DETAIL_MAX)
		wrong(r, "detail", "is longer than 512 bytes");
	return s.len ? s : STR_NONE;
}

static struct request_id read_request_id(struct reader *r, const ProtobufCBinaryData *data)
{
	struct request_id id = { { 0 } };
	if (data->len == REQUEST_ID_SIZE)
		memcpy(id.bytes, data->data, REQUEST_ID_SIZE);
	else
		wrong(r, "request_id", "is not 16 bytes long");
	return id;
}

static struct str *read_texts(struct reader *r, char **texts, size_t n, const char *what)
{
	struct str *list = arena_array(r->arena, n, sizeof *list);
	if (!list)
		wrong(r, what, "takes too much memory");
	for (size_t i = 0; list && i < n; i++)
		list[i] = read_text(r, texts[i], what);
	return list;
}

static int read_enum(struct reader *r, int value)
{
	r->has_negative_enum |= value < 0;
	return value;
}

static bool has_unknown(const ProtobufCMessage *m)
{
	return m->n_unknown_fields > 0;
}

static struct service_id_entry *read_entries(struct reader *r, Acx__McServiceIdEntry **entries,
					     size_t n, bool *unknown)
{
	struct service_id_entry *list = arena_array(r->arena, n, sizeof *list);
	if (!list)
		wrong(r, "mc_service_id_list", "takes too much memory");
	for (size_t i = 0; list && i < n; i++) {
		list[i].mc_id = read_text(r, entries[i]->mc_id, "mc_id");
		list[i].service = read_enum(r, (int)entries[i]->service);
		list[i].mc_service_id = read_text(r, entries[i]->mc_service_id, "mc_service_id");
		*unknown |= has_unknown(&entries[i]->base);
	}
	return list;
}

static void read_hello(struct reader *r, const Acx__Hello *m, struct hello *out)
{
	*out = (struct hello){ .version_min = m->version_min, .version_max = m->version_max };
	if (m->mc_system_id_ie_case == ACX__HELLO__MC_SYSTEM_ID_IE_MC_SYSTEM_ID)
		out->mc_system_id = read_text(r, m->mc_system_id, "mc_system_id");
	out->software = read_text(r, m->software, "software");
	if (!m->limits) {
		wrong(r, "limits", "is missing");
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

static void read_request(struct reader *r, const Acx__McServiceUserSetupRequest *m,
			 struct setup_request *out)
{
	*out = (struct setup_request){ .request_id = read_request_id(r, &m->request_id),
				       .n_mc_system_ids = m->n_mc_system_id,
				       .n_mc_ids = m->n_mc_id_list,
				       .n_service_ids = m->n_mc_service_id_list,
				       .has_unknown_fields = has_unknown(&m->base) };
	if (m->home_acmc_id_ie_case ==
	    ACX__MC_SERVICE_USER_SETUP_REQUEST__HOME_ACMC_ID_IE_HOME_ACMC_ID)
		out->home_acmc_id = read_text(r, m->home_acmc_id, "home_acmc_id");
	out->mc_system_ids = read_texts(r, m->mc_system_id, m->n_mc_system_id, "mc_system_id");
	out->mc_ids = read_texts(r, m->mc_id_list, m->n_mc_id_list, "mc_id_list");
	out->service_ids = read_entries(r, m->mc_service_id_list, m->n_mc_service_id_list,
					&out->has_unknown_fields);
}

static void read_identities(struct reader *r, const Acx__McServiceUserSetupResponse *m,
			    struct setup_response *out)
{
	out->n_identities = m->n_identity_causes;
	out->identities = arena_array(r->arena, out->n_identities, sizeof *out->identities);
	if (!out->identities)
		wrong(r, "identity_causes", "takes too much memory");
	for (size_t i = 0; out->identities && i < out->n_identities; i++) {
		const Acx__IdentityCause *c = m->identity_causes[i];
		out->identities[i].mc_id = read_text(r, c->mc_id, "mc_id");
		out->identities[i].cause = (enum cause)read_enum(r, (int)c->cause);
		if (c->mc_service_id_ie_case == ACX__IDENTITY_CAUSE__MC_SERVICE_ID_IE_MC_SERVICE_ID)
			out->identities[i].mc_service_id =
				read_text(r, c->mc_service_id, "mc_service_id");
	}
}

static void read_response(struct reader *r, const Acx__McServiceUserSetupResponse *m,
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
	};
	if (m->result_ie_case != ACX__MC_SERVICE_USER_SETUP_RESPONSE__RESULT_IE_RESULT)
		wrong(r, "result", "is missing");
	out->mc_ids = read_texts(r, m->mc_id_list, m->n_mc_id_list, "mc_id_list");
	out->service_ids =
		read_entries(r, m->mc_service_id_list, m->n_mc_service_id_list, &unknown);
	read_identities(r, m, out);
}

/* False: a body that this version does not know, or none. */
static bool read_body(struct reader *r, const Acx__Message *m, struct message *out)
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

/*
 * protobuf-c also reads a negative enum from 5 bytes and packs it into 10: that could make up for the length of what a
 * NUL cut off. So with one of those not only the size must agree.
 */
static bool packs_to(struct arena *a, const Acx__Message *m, const uint8_t *payload, size_t length)
{
	uint8_t *again = arena_alloc(a, length);
	return again && acx__message__pack(m, again) == length &&
	       memcmp(again, payload, length) == 0;
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
		wrong(&r, "a negative enum", "is not encoded minimally");
	return r.bad ? ERR_INPUT : OK;
}

/* --- encoding --- */

/*
 * The generated structs for one message. Lists are taken from one malloc'ed block, strings are borrowed: protobuf-c
 * wants them NUL-terminated, so they are copied behind it.
 */
struct writer {
	Acx__Message message;
	union {
		Acx__Hello hello;
		Acx__McServiceUserSetupRequest request;
		Acx__McServiceUserSetupResponse response;
		Acx__Ping ping;
		Acx__Pong pong;
		Acx__Close close;
	};
	Acx__Limits limits;
	struct arena *arena;
	bool failed;
};

static char *write_text(struct writer *w, struct str s)
{
	struct str copy = s.ptr ? arena_str(w->arena, s) : STR("");
	w->failed |= !copy.ptr;
	return copy.ptr ? (char *)copy.ptr : "";
}

static char *write_detail(struct writer *w, struct str detail)
{
	if (detail.len > DETAIL_MAX)
		detail.len = DETAIL_MAX;
	while (detail.len > 0 && !text_valid(detail))
		detail.len--; /* was cut inside a character */
	return write_text(w, detail);
}

static void *write_list(struct writer *w, size_t n, size_t size)
{
	void *list = arena_array(w->arena, n, size);
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

static void write_hello(struct writer *w, const struct hello *m)
{
	acx__hello__init(&w->hello);
	acx__limits__init(&w->limits);
	w->hello.version_min = m->version_min;
	w->hello.version_max = m->version_max;
	if (m->mc_system_id.ptr) {
		w->hello.mc_system_id_ie_case = ACX__HELLO__MC_SYSTEM_ID_IE_MC_SYSTEM_ID;
		w->hello.mc_system_id = write_text(w, m->mc_system_id);
	}
	w->hello.software = write_text(w, m->software);
	w->hello.limits = &w->limits;
	w->limits.max_frame_bytes = m->limits.max_frame_bytes;
	w->limits.max_mc_ids = m->limits.max_mc_ids;
	w->limits.max_mc_service_ids_per_mc_id = m->limits.max_mc_service_ids_per_mc_id;
	w->limits.max_mc_system_ids = m->limits.max_mc_system_ids;
	w->limits.max_requests_in_flight = m->limits.max_requests_in_flight;
	w->limits.idle_timeout_seconds = m->limits.idle_timeout_seconds;
}

static void write_request(struct writer *w, const struct setup_request *m)
{
	acx__mc_service_user_setup_request__init(&w->request);
	w->request.request_id = write_request_id(&m->request_id);
	if (m->home_acmc_id.ptr) {
		w->request.home_acmc_id_ie_case =
			ACX__MC_SERVICE_USER_SETUP_REQUEST__HOME_ACMC_ID_IE_HOME_ACMC_ID;
		w->request.home_acmc_id = write_text(w, m->home_acmc_id);
	}
	w->request.n_mc_system_id = m->n_mc_system_ids;
	w->request.mc_system_id = write_texts(w, m->mc_system_ids, m->n_mc_system_ids);
	w->request.n_mc_id_list = m->n_mc_ids;
	w->request.mc_id_list = write_texts(w, m->mc_ids, m->n_mc_ids);
	w->request.n_mc_service_id_list = m->n_service_ids;
	w->request.mc_service_id_list = write_entries(w, m->service_ids, m->n_service_ids);
}

static void write_identities(struct writer *w, const struct identity_cause *causes, size_t n)
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
	w->response.n_identity_causes = n;
	w->response.identity_causes = list;
}

static void write_response(struct writer *w, const struct setup_response *m)
{
	acx__mc_service_user_setup_response__init(&w->response);
	w->response.request_id = write_request_id(&m->request_id);
	w->response.mc_system_id = write_text(w, m->mc_system_id);
	w->response.n_mc_id_list = m->n_mc_ids;
	w->response.mc_id_list = write_texts(w, m->mc_ids, m->n_mc_ids);
	w->response.n_mc_service_id_list = m->n_service_ids;
	w->response.mc_service_id_list = write_entries(w, m->service_ids, m->n_service_ids);
	w->response.result_ie_case = ACX__MC_SERVICE_USER_SETUP_RESPONSE__RESULT_IE_RESULT;
	w->response.result = m->result;
	w->response.origin = (Acx__Origin)m->origin;
	w->response.cause = (Acx__Cause)m->cause;
	write_identities(w, m->identities, m->n_identities);
	w->response.detail = write_detail(w, m->detail);
}

static void write_close(struct writer *w, const struct close_message *m)
{
	acx__close__init(&w->close);
	w->close.cause = (Acx__Cause)m->cause;
	w->close.detail = write_detail(w, m->detail);
}

static void write_body(struct writer *w, const struct message *m)
{
	switch (m->kind) {
	case MESSAGE_HELLO:
		write_hello(w, &m->hello);
		w->message.body_case = ACX__MESSAGE__BODY_HELLO;
		w->message.hello = &w->hello;
		break;
	case MESSAGE_SETUP_REQUEST:
		write_request(w, &m->request);
		w->message.body_case = ACX__MESSAGE__BODY_MC_SERVICE_USER_SETUP_REQUEST;
		w->message.mc_service_user_setup_request = &w->request;
		break;
	case MESSAGE_SETUP_RESPONSE:
		write_response(w, &m->response);
		w->message.body_case = ACX__MESSAGE__BODY_MC_SERVICE_USER_SETUP_RESPONSE;
		w->message.mc_service_user_setup_response = &w->response;
		break;
	case MESSAGE_PING:
		acx__ping__init(&w->ping);
		w->ping.token = m->token;
		w->message.body_case = ACX__MESSAGE__BODY_PING;
		w->message.ping = &w->ping;
		break;
	case MESSAGE_PONG:
		acx__pong__init(&w->pong);
		w->pong.token = m->token;
		w->message.body_case = ACX__MESSAGE__BODY_PONG;
		w->message.pong = &w->pong;
		break;
	case MESSAGE_CLOSE:
		write_close(w, &m->close);
		w->message.body_case = ACX__MESSAGE__BODY_CLOSE;
		w->message.close = &w->close;
		break;
	}
}

enum status message_encode(const struct message *m, uint8_t **frame, size_t *length)
{
	struct writer w = { .message = ACX__MESSAGE__INIT, .arena = arena_new(0) };
	*frame = NULL;
	if (!w.arena)
		return ERR_MEMORY;
	write_body(&w, m);
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

const char *message_kind_name(enum message_kind kind)
{
	switch (kind) {
	case MESSAGE_HELLO: return "Hello";
	case MESSAGE_SETUP_REQUEST: return "MC service user setup request";
	case MESSAGE_SETUP_RESPONSE: return "MC service user setup response";
	case MESSAGE_PING: return "Ping";
	case MESSAGE_PONG: return "Pong";
	case MESSAGE_CLOSE: return "Close";
	}
	return "?";
}
