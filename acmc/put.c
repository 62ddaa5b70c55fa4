#include "acmc/put.h"

#include "common/when.h"

void put_text(struct json_writer *w, const char *key, struct str s)
{
	json_key(w, key);
	if (s.ptr)
		json_text(w, s);
	else
		json_null(w);
}

void put_number(struct json_writer *w, const char *key, uint64_t n)
{
	json_key(w, key);
	json_number(w, n);
}

void put_bool(struct json_writer *w, const char *key, bool b)
{
	json_key(w, key);
	json_bool(w, b);
}

void put_time(struct json_writer *w, const char *key, uint64_t ms)
{
	char text[WHEN_TEXT_SIZE];
	put_text(w, key, ms ? str_of(when_format(ms, text)) : STR_NONE);
}

void put_id(struct json_writer *w, const char *key, struct request_id id)
{
	char text[REQUEST_ID_TEXT_SIZE];
	request_id_format(id, text);
	put_text(w, key, str_of(text));
}

void put_cause(struct json_writer *w, enum cause cause)
{
	put_number(w, "cause", (uint64_t)cause);
	put_text(w, "cause_name", str_of(cause_name(cause)));
	put_text(w, "kind",
		 cause == CAUSE_NO_CAUSE ? STR_NONE : str_of(cause_kind_name(cause_kind(cause))));
}

void put_service_ids(struct json_writer *w, const struct user_service_id *ids, size_t n)
{
	json_key(w, "mc_service_ids");
	json_array(w);
	for (size_t i = 0; i < n; i++) {
		json_map(w);
		put_text(w, "service", str_of(mc_service_name(ids[i].service)));
		put_text(w, "mc_service_id", ids[i].mc_service_id);
		json_end_map(w);
	}
	json_end_array(w);
}

void put_end(struct json_writer *w, int exit_code, const char *failure)
{
	put_number(w, "exit_code", (uint64_t)exit_code);
	put_text(w, "failure", str_of(failure));
}

static void put_identities(struct json_writer *w, const struct said *x)
{
	json_key(w, "identity_causes");
	json_array(w);
	for (size_t i = 0; i < x->n_identities; i++) {
		const struct identity_cause *c = &x->identities[i];
		json_map(w);
		put_text(w, "mc_id", c->mc_id);
		put_text(w, "mc_service_id", c->mc_service_id);
		put_number(w, "cause", (uint64_t)c->cause);
		put_text(w, "cause_name", str_of(cause_name(c->cause)));
		json_end_map(w);
	}
	json_end_array(w);
}

static void put_revisions(struct json_writer *w, const struct said *x)
{
	json_key(w, "revisions");
	json_array(w);
	for (size_t i = 0; i < x->n_revisions; i++) {
		json_map(w);
		put_text(w, "mc_id", x->revisions[i].mc_id);
		put_number(w, "revision", x->revisions[i].revision);
		json_end_map(w);
	}
	json_end_array(w);
}

static void put_decided_by(struct json_writer *w, const struct decided_by *d)
{
	json_key(w, "decided_by");
	if (!d->acmc.ptr) {
		json_null(w);
		return;
	}
	json_map(w);
	put_text(w, "acmc", d->acmc);
	put_text(w, "reason", d->reason);
	put_time(w, "at", d->at_ms);
	json_end_map(w);
}

void put_given(struct json_writer *w, const struct answer *x, const struct said *said)
{
	put_bool(w, "result", x->result);
	put_text(w, "origin", x->origin == ORIGIN_HOME_ACMS ? STR("home") : STR("partner"));
	put_cause(w, x->cause);
	put_text(w, "detail", x->detail.len ? x->detail : x->result ? STR("") : str_of(cause_text(x->cause)));
	put_identities(w, said);
	put_revisions(w, said);
	put_decided_by(w, &x->decided_by);
	put_bool(w, "receipt", x->has_receipt);
	put_time(w, "answered", x->answered_ms);
}

struct str delivery_state_name(enum delivery_state state)
{
	switch (state) {
	case DELIVERY_QUEUED: return STR("queued");
	case DELIVERY_SENT: return STR("sent");
	case DELIVERY_APPROVAL: return STR("approval");
	case DELIVERY_ANSWERED: return STR("answered");
	}
	return STR_NONE;
}
