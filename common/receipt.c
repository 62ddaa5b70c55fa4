#include "common/receipt.h"

#include "common/cbor.h"

enum { FORMAT = 1, KEY_FORMAT = 1, KEY_PARTNER, KEY_HOME, KEY_REQUEST_ID, KEY_OPERATION, KEY_DONE, KEY_CONTENT,
       KEY_REVISIONS, KEY_DECIDED_BY };

/* --- from what was done --- */

static bool fits(uint64_t revision, enum operation operation)
{
	return revision != RECEIPT_NOT_DONE && (revision == 0) == (operation == OPERATION_REMOVE);
}

static void leave_out(uint64_t *revisions, const struct setup *setup, const struct receipt_outcome *outcome)
{
	size_t at = 0;
	for (size_t i = 0; i < outcome->n_identities; i++) {
		at = setup_find_user(setup, outcome->identities[i].mc_id, at);
		if (at < setup->n_users)
			revisions[at] = RECEIPT_NOT_DONE;
	}
}

/* Of all who were not left out. ERR_INPUT: one does not fit. */
static enum status take_revisions(uint64_t *revisions, const struct setup *setup,
				  const struct receipt_outcome *outcome, size_t *n_done)
{
	*n_done = 0;
	for (size_t i = 0; i < setup->n_users; i++) {
		if (revisions[i] == RECEIPT_NOT_DONE)
			continue;
		revisions[i] = i < outcome->n_revisions ? outcome->revisions[i] : 0;
		if (!fits(revisions[i], setup->operation))
			return ERR_INPUT;
		++*n_done;
	}
	return OK;
}

enum status receipt_from_setup(struct arena *a, const struct setup *setup, const struct receipt_outcome *outcome,
			       struct receipt_claims *out, struct error *e)
{
	if (outcome->cause != CAUSE_NO_CAUSE && outcome->cause != CAUSE_PARTLY_DONE)
		return error_set(e, ERR_INPUT, "nothing was done");
	uint64_t *revisions = arena_array(a, setup->n_users, sizeof *revisions);
	size_t n_done;
	if (!revisions)
		return error_set(e, ERR_MEMORY, "out of memory");
	if (outcome->cause == CAUSE_PARTLY_DONE)
		leave_out(revisions, setup, outcome);
	if (take_revisions(revisions, setup, outcome, &n_done) != OK)
		return error_set(e, ERR_INPUT, "a user's revision does not fit what was done");
	if (n_done == 0)
		return error_set(e, ERR_INPUT, "nothing was done for anybody");
	*out = (struct receipt_claims){ .partner = outcome->partner, .home = outcome->home,
					.request_id = setup->request_id, .operation = setup->operation,
					.done_ms = outcome->done_ms, .revisions = revisions,
					.n_users = setup->n_users, .decided_by = outcome->decided_by };
	memcpy(out->content, outcome->content, sizeof out->content);
	return OK;
}

/* --- CBOR --- */

static size_t encoded_size(const struct receipt_claims *c)
{
	size_t items = 20 + c->n_users;
	size_t bytes = c->partner.len + c->home.len + sizeof c->request_id + sizeof c->content + c->decided_by.len;
	return items * CBOR_HEAD_MAX + bytes;
}

static void put_revisions(struct cbor_writer *w, const struct receipt_claims *c)
{
	cbor_put_array(w, c->n_users);
	for (size_t i = 0; i < c->n_users; i++) {
		if (c->revisions[i] == RECEIPT_NOT_DONE)
			cbor_put_null(w);
		else
			cbor_put_uint(w, c->revisions[i]);
	}
}

struct str receipt_encode(struct arena *a, const struct receipt_claims *c)
{
	struct cbor_writer w = cbor_writer_new(a, encoded_size(c));
	cbor_put_map(&w, c->decided_by.ptr ? KEY_DECIDED_BY : KEY_REVISIONS);
	cbor_put_uint(&w, KEY_FORMAT);
	cbor_put_uint(&w, FORMAT);
	cbor_put_uint(&w, KEY_PARTNER);
	cbor_put_text(&w, c->partner);
	cbor_put_uint(&w, KEY_HOME);
	cbor_put_text(&w, c->home);
	cbor_put_uint(&w, KEY_REQUEST_ID);
	cbor_put_bytes(&w, c->request_id.bytes, sizeof c->request_id.bytes);
	cbor_put_uint(&w, KEY_OPERATION);
	cbor_put_uint(&w, (uint64_t)c->operation);
	cbor_put_uint(&w, KEY_DONE);
	cbor_put_uint(&w, c->done_ms);
	cbor_put_uint(&w, KEY_CONTENT);
	cbor_put_bytes(&w, c->content, sizeof c->content);
	cbor_put_uint(&w, KEY_REVISIONS);
	put_revisions(&w, c);
	if (c->decided_by.ptr) {
		cbor_put_uint(&w, KEY_DECIDED_BY);
		cbor_put_text(&w, c->decided_by);
	}
	return cbor_written(&w);
}

static struct str get_system_id(struct cbor_reader *r)
{
	struct str id = cbor_get_id(r, MC_SYSTEM_ID_MAX);
	if (!r->bad && !mc_system_id_valid(id))
		cbor_fail(r, "a system's name is no MC system ID");
	return id;
}

static uint64_t get_revision(struct cbor_reader *r, enum operation operation)
{
	if (cbor_next_is_null(r))
		return RECEIPT_NOT_DONE;
	uint64_t revision = cbor_get_uint(r);
	if (!fits(revision, operation))
		cbor_fail(r, "a revision does not fit the operation");
	return revision;
}

static void get_revisions(struct cbor_reader *r, struct arena *a, struct receipt_claims *out)
{
	out->n_users = cbor_get_filled_array(r);
	uint64_t *revisions = arena_array(a, out->n_users, sizeof *revisions);
	if (!revisions)
		cbor_fail(r, "it takes too much memory");
	for (size_t i = 0; i < out->n_users && !r->bad; i++)
		revisions[i] = get_revision(r, out->operation);
	out->revisions = revisions;
	if (!r->bad && receipt_users_done(out) == 0)
		cbor_fail(r, "nobody was done");
}

enum status receipt_decode(struct arena *a, struct str bytes, struct receipt_claims *out, struct error *e)
{
	struct cbor_reader r = cbor_reader_of(bytes);
	*out = (struct receipt_claims){ 0 };
	uint64_t keys = cbor_get_map(&r), operation;
	cbor_expect_key(&r, KEY_FORMAT);
	if (cbor_get_uint(&r) != FORMAT)
		cbor_fail(&r, "its format is unknown; a newer version of the software may know it");
	cbor_expect_key(&r, KEY_PARTNER);
	out->partner = get_system_id(&r);
	cbor_expect_key(&r, KEY_HOME);
	out->home = get_system_id(&r);
	cbor_expect_key(&r, KEY_REQUEST_ID);
	cbor_get_fixed(&r, out->request_id.bytes, sizeof out->request_id.bytes);
	cbor_expect_key(&r, KEY_OPERATION);
	if ((operation = cbor_get_uint(&r)) >= OPERATIONS)
		cbor_fail(&r, "its operation is unknown");
	out->operation = (enum operation)operation;
	cbor_expect_key(&r, KEY_DONE);
	out->done_ms = cbor_get_uint(&r);
	cbor_expect_key(&r, KEY_CONTENT);
	cbor_get_fixed(&r, out->content, sizeof out->content);
	cbor_expect_key(&r, KEY_REVISIONS);
	get_revisions(&r, a, out);
	if (keys == KEY_DECIDED_BY) {
		cbor_expect_key(&r, KEY_DECIDED_BY);
		out->decided_by = cbor_get_id(&r, RECEIPT_DECIDED_BY_MAX);
	} else if (keys != KEY_REVISIONS) {
		cbor_fail(&r, "it has more or fewer entries than it should");
	}
	if (!r.bad && r.left > 0)
		cbor_fail(&r, "there are bytes behind it");
	return r.bad ? error_set(e, ERR_INPUT, "no receipt: %s", r.bad) : OK;
}

/* --- with what was asked --- */

size_t receipt_users_done(const struct receipt_claims *c)
{
	size_t n = 0;
	for (size_t i = 0; i < c->n_users; i++)
		n += c->revisions[i] != RECEIPT_NOT_DONE;
	return n;
}

const char *receipt_misfit(const struct receipt_claims *c, const struct setup *setup)
{
	if (c->operation != setup->operation)
		return "another operation was asked for";
	if (c->n_users != setup->n_users)
		return "more or fewer users were asked for";
	if (setup->dry_run)
		return "it was a dry run";
	if (receipt_users_done(c) < c->n_users && !setup->best_effort)
		return "it was not to be done in part";
	return NULL;
}

const char *receipt_misdated(uint64_t done_ms, uint64_t asked_ms, uint64_t expires_ms, uint64_t now_ms)
{
	if (asked_ms > RECEIPT_CLOCKS_MS && done_ms < asked_ms - RECEIPT_CLOCKS_MS)
		return "done before it was asked for: check both clocks";
	if (done_ms > now_ms && done_ms - now_ms > RECEIPT_CLOCKS_MS)
		return "done in the future: check both clocks";
	if (done_ms > expires_ms && done_ms - expires_ms > RECEIPT_CLOCKS_MS)
		return "done after the request had expired: check both clocks";
	return NULL;
}

enum { PARTS = 3 };

struct str receipt_join(struct arena *a, const struct receipt_parts *p)
{
	size_t bytes = p->content.len + p->claims.len + p->proof.len;
	struct cbor_writer w = cbor_writer_new(a, (1 + PARTS) * CBOR_HEAD_MAX + bytes);
	cbor_put_array(&w, PARTS);
	cbor_put_bytes(&w, p->content.ptr, p->content.len);
	cbor_put_bytes(&w, p->claims.ptr, p->claims.len);
	cbor_put_bytes(&w, p->proof.ptr, p->proof.len);
	return cbor_written(&w);
}

enum status receipt_split(struct str whole, struct receipt_parts *out, struct error *e)
{
	struct cbor_reader r = cbor_reader_of(whole);
	cbor_expect_array(&r, PARTS);
	out->content = cbor_get_bytes(&r);
	out->claims = cbor_get_bytes(&r);
	out->proof = cbor_get_bytes(&r);
	if (!r.bad && r.left > 0)
		cbor_fail(&r, "there are bytes behind it");
	return r.bad ? error_set(e, ERR_INPUT, "no receipt: %s", r.bad) : OK;
}
