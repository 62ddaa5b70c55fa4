#include "acms/record_internal.h"

/* The audit log's entries, and its head. Keys of the map in proto/idm-store.cddl. */
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
	AUDIT_OUTCOME,
	AUDIT_REMOVED,
	AUDIT_ACMC,
	AUDIT_TARGETS,
	AUDIT_OPERATION,
	AUDIT_DECIDED_BY,
	AUDIT_IDENTITIES,
	AUDIT_DETAIL,
	AUDIT_ALL_MC_IDS,
	AUDIT_ALL_IDENTITIES,
	AUDIT_N_REFUSALS,
	AUDIT_N_UNCHANGED
};

const char *audit_action_name(enum audit_action action)
{
	switch (action) {
	case AUDIT_SETUP: return "setup";
	case AUDIT_UPDATE: return "update";
	case AUDIT_REMOVE: return "remove";
	case AUDIT_EXPIRE: return "expire";
	case AUDIT_HOLD: return "hold";
	case AUDIT_APPROVE: return "approve";
	case AUDIT_REJECT: return "reject";
	case AUDIT_ASK: return "ask";
	case AUDIT_ANSWER: return "answer";
	case AUDIT_IMPORT: return "import";
	case AUDIT_REFUSALS: return "refusals";
	}
	return NULL;
}

void audit_cut_names(struct audit_record *r)
{
	if (r->n_mc_ids > REFUSED_NAMES) {
		r->all_mc_ids = r->n_mc_ids;
		r->n_mc_ids = REFUSED_NAMES;
	}
	if (r->n_identities > REFUSED_NAMES) {
		r->all_identities = r->n_identities;
		r->n_identities = REFUSED_NAMES;
	}
}

/* --- writing --- */

static size_t audit_size(const struct audit_record *r)
{
	return FIXED_MAX + DIGEST_SIZE + REQUEST_ID_SIZE + r->home.len + r->certificate.len +
	       r->claimed_acmc.len + r->acmc.len + r->detail.len +
	       texts_size(r->mc_ids, r->n_mc_ids) + texts_size(r->targets, r->n_targets) +
	       decided_by_size(&r->decided_by) + identities_size(r->identities, r->n_identities);
}

static size_t audit_pairs(const struct audit_record *r)
{
	return 9u + (r->claimed_acmc.ptr != NULL) + (r->removed > 0) + (r->acmc.ptr != NULL) +
	       (r->n_targets > 0) + (r->operation != OPERATION_SETUP) + (r->decided_by.acmc.ptr != NULL) +
	       (r->n_identities > 0) + (r->detail.ptr != NULL) + (r->all_mc_ids > 0) + (r->all_identities > 0) +
	       (r->refusals > 0) + (r->unchanged_requests > 0);
}

static void put_optional_prose(struct cbor_writer *w, uint64_t key, struct str text)
{
	if (!text.ptr)
		return;
	cbor_put_uint(w, key);
	cbor_put_prose(w, text);
}

/* What version 1 did not have. */
static void put_more(struct cbor_writer *w, const struct audit_record *r)
{
	if (r->removed) {
		cbor_put_uint(w, AUDIT_REMOVED);
		cbor_put_uint(w, r->removed);
	}
	put_optional_prose(w, AUDIT_ACMC, r->acmc);
	if (r->n_targets) {
		cbor_put_uint(w, AUDIT_TARGETS);
		put_texts(w, r->targets, r->n_targets);
	}
	if (r->operation != OPERATION_SETUP) {
		cbor_put_uint(w, AUDIT_OPERATION);
		put_operation(w, r->operation);
	}
	if (r->decided_by.acmc.ptr) {
		cbor_put_uint(w, AUDIT_DECIDED_BY);
		put_decided_by(w, &r->decided_by);
	}
	if (r->n_identities) {
		cbor_put_uint(w, AUDIT_IDENTITIES);
		put_identities(w, r->identities, r->n_identities);
	}
	put_optional_prose(w, AUDIT_DETAIL, r->detail);
	put_number(w, AUDIT_ALL_MC_IDS, r->all_mc_ids);
	put_number(w, AUDIT_ALL_IDENTITIES, r->all_identities);
	put_number(w, AUDIT_N_REFUSALS, r->refusals);
	put_number(w, AUDIT_N_UNCHANGED, r->unchanged_requests);
}

static void put_mc_ids(struct cbor_writer *w, const struct str *mc_ids, size_t n)
{
	cbor_put_array(w, n);
	for (size_t i = 0; i < n; i++)
		cbor_put_id(w, mc_ids[i], MC_ID_MAX);
}

struct str record_encode_audit(struct arena *a, const struct audit_record *r)
{
	struct cbor_writer w = cbor_writer_new(a, audit_size(r));
	cbor_put_map(&w, audit_pairs(r));
	cbor_put_uint(&w, AUDIT_PREVIOUS);
	cbor_put_bytes(&w, r->previous, DIGEST_SIZE);
	cbor_put_uint(&w, AUDIT_AT);
	cbor_put_uint(&w, r->at_ms);
	cbor_put_uint(&w, AUDIT_ACTION);
	cbor_put_uint(&w, r->action);
	if (!audit_action_name(r->action))
		cbor_refuse(&w);
	cbor_put_uint(&w, AUDIT_HOME);
	cbor_put_id(&w, r->home, MC_SYSTEM_ID_MAX);
	cbor_put_uint(&w, AUDIT_CERTIFICATE);
	cbor_put_prose(&w, r->certificate);
	cbor_put_uint(&w, AUDIT_REQUEST);
	cbor_put_bytes(&w, r->request.bytes, REQUEST_ID_SIZE);
	put_optional_prose(&w, AUDIT_CLAIMED_ACMC, r->claimed_acmc);
	cbor_put_uint(&w, AUDIT_CAUSE);
	put_cause(&w, r->cause);
	cbor_put_uint(&w, AUDIT_MC_IDS);
	put_mc_ids(&w, r->mc_ids, r->n_mc_ids);
	cbor_put_uint(&w, AUDIT_OUTCOME);
	cbor_put_array(&w, 3);
	cbor_put_uint(&w, r->created);
	cbor_put_uint(&w, r->replaced);
	cbor_put_uint(&w, r->unchanged);
	put_more(&w, r);
	return cbor_written(&w);
}

struct str record_encode_audit_head(struct arena *a, const struct audit_head *r)
{
	struct cbor_writer w = cbor_writer_new(a, 3 * HEAD_MAX + DIGEST_SIZE);
	cbor_put_array(&w, 2);
	cbor_put_uint(&w, r->number);
	cbor_put_bytes(&w, r->digest, DIGEST_SIZE);
	return cbor_written(&w);
}

/* --- reading --- */

static enum audit_action get_action(struct cbor_reader *r)
{
	uint64_t action = cbor_get_uint(r);
	if (action > AUDIT_REFUSALS || !audit_action_name((enum audit_action)action))
		cbor_fail(r, "an unknown action");
	return r->bad ? AUDIT_SETUP : (enum audit_action)action;
}

static const struct str *get_mc_ids(struct cbor_reader *r, struct arena *a, size_t *n)
{
	*n = cbor_get_array(r);
	struct str *ids = arena_array(a, *n, sizeof *ids);
	if (!ids)
		cbor_fail(r, "out of memory");
	for (size_t i = 0; !r->bad && i < *n; i++)
		ids[i] = cbor_get_id(r, MC_ID_MAX);
	return ids;
}

static void get_more(struct map *m, struct arena *a, struct audit_record *out)
{
	struct cbor_reader *r = m->r;
	if (map_has(m, AUDIT_REMOVED))
		out->removed = get_nonzero(r);
	if (map_has(m, AUDIT_ACMC))
		out->acmc = cbor_get_prose(r, a);
	if (map_has(m, AUDIT_TARGETS))
		out->targets = get_texts(r, a, &out->n_targets);
	if (map_has(m, AUDIT_OPERATION))
		out->operation = get_operation(r);
	if (map_has(m, AUDIT_DECIDED_BY))
		out->decided_by = get_decided_by(r, a);
	if (map_has(m, AUDIT_IDENTITIES))
		out->identities = get_identities(r, a, &out->n_identities);
	if (map_has(m, AUDIT_DETAIL))
		out->detail = cbor_get_prose(r, a);
	if (map_has(m, AUDIT_ALL_MC_IDS))
		out->all_mc_ids = get_nonzero(r);
	if (map_has(m, AUDIT_ALL_IDENTITIES))
		out->all_identities = get_nonzero(r);
	if (map_has(m, AUDIT_N_REFUSALS))
		out->refusals = get_nonzero(r);
	if (map_has(m, AUDIT_N_UNCHANGED))
		out->unchanged_requests = get_nonzero(r);
}

static void get_entry(struct cbor_reader *r, struct arena *a, struct audit_record *out)
{
	struct map m = map_of(r);
	*out = (struct audit_record){ 0 };
	map_key(&m, AUDIT_PREVIOUS);
	cbor_get_fixed(r, out->previous, DIGEST_SIZE);
	map_key(&m, AUDIT_AT);
	out->at_ms = cbor_get_uint(r);
	map_key(&m, AUDIT_ACTION);
	out->action = get_action(r);
	map_key(&m, AUDIT_HOME);
	out->home = cbor_get_id(r, MC_SYSTEM_ID_MAX);
	map_key(&m, AUDIT_CERTIFICATE);
	out->certificate = cbor_get_prose(r, a);
	map_key(&m, AUDIT_REQUEST);
	cbor_get_fixed(r, out->request.bytes, REQUEST_ID_SIZE);
	if (map_has(&m, AUDIT_CLAIMED_ACMC))
		out->claimed_acmc = cbor_get_prose(r, a);
	map_key(&m, AUDIT_CAUSE);
	out->cause = get_cause(r);
	map_key(&m, AUDIT_MC_IDS);
	out->mc_ids = get_mc_ids(r, a, &out->n_mc_ids);
	map_key(&m, AUDIT_OUTCOME);
	cbor_expect_array(r, 3);
	out->created = cbor_get_uint(r);
	out->replaced = cbor_get_uint(r);
	out->unchanged = cbor_get_uint(r);
	get_more(&m, a, out);
	map_end(&m);
}

enum status record_decode_audit(struct arena *a, struct str value, struct audit_record *out,
				struct error *e)
{
	struct cbor_reader r = cbor_reader_of(value);
	get_entry(&r, a, out);
	return cbor_finish(&r, "audit", e);
}

static void get_head(struct cbor_reader *r, struct audit_head *out)
{
	cbor_expect_array(r, 2);
	out->number = cbor_get_uint(r);
	cbor_get_fixed(r, out->digest, DIGEST_SIZE);
}

enum status record_decode_audit_head(struct str value, struct audit_head *out, struct error *e)
{
	struct cbor_reader r = cbor_reader_of(value);
	get_head(&r, out);
	return cbor_finish(&r, "audit head", e);
}

enum audit_item record_next_audit(struct arena *a, struct str *sequence, struct str *value,
				  struct audit_record *entry, struct audit_head *head, struct error *e)
{
	struct cbor_reader r = cbor_reader_of(*sequence), as_head = r;
	if (r.left == 0)
		return AUDIT_ITEM_END;
	get_entry(&r, a, entry);
	get_head(&as_head, head);
	enum audit_item item = !r.bad ? AUDIT_ITEM_ENTRY : !as_head.bad ? AUDIT_ITEM_HEAD : AUDIT_ITEM_BAD;
	if (item == AUDIT_ITEM_BAD) {
		error_set(e, ERR_INPUT, "%s", r.bad);
		return item;
	}
	size_t left = item == AUDIT_ITEM_ENTRY ? r.left : as_head.left;
	*value = (struct str){ sequence->ptr, sequence->len - left };
	*sequence = (struct str){ sequence->ptr + value->len, left };
	return item;
}
