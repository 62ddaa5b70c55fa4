#include "common/receipt.h"

#include <stdlib.h>
#include "common/cbor.h"

enum { FORMAT = 1, KEY_FORMAT = 1, KEY_PARTNER, KEY_HOME, KEY_REQUEST_ID, KEY_OPERATION, KEY_DONE, KEY_USERS,
       KEY_DECIDED_BY };
enum { DECIDED_BY_MAX = 512, USER_ITEMS = 5, SERVICE_ID_ITEMS = 2 };

/* --- from what was done --- */

static int compare_user(const void *mc_id, const void *user)
{
	return str_cmp(*(const struct str *)mc_id, ((const struct setup_user *)user)->mc_id);
}

/* Its place in the setup; n_users: not there. */
static size_t find_user(const struct setup *s, struct str mc_id)
{
	const struct setup_user *u = bsearch(&mc_id, s->users, s->n_users, sizeof *u, compare_user);
	return u ? (size_t)(u - s->users) : s->n_users;
}

/* What is known of each user of the setup. */
struct fate {
	bool left_out;
	uint64_t revision;
};

static struct fate *find_fates(struct arena *a, const struct setup *setup,
			       const struct receipt_outcome *outcome)
{
	struct fate *fates = arena_array(a, setup->n_users + 1, sizeof *fates); /* the last: strangers */
	if (!fates)
		return NULL;
	for (size_t i = 0; i < outcome->n_identities && outcome->cause == CAUSE_PARTLY_DONE; i++)
		fates[find_user(setup, outcome->identities[i].mc_id)].left_out = true;
	for (size_t i = 0; i < outcome->n_revisions && i < setup->n_users; i++)
		fates[i].revision = outcome->revisions[i];
	return fates;
}

static enum status add_user(struct receipt *r, const struct setup *setup, const struct setup_user *u,
			    uint64_t revision, struct error *e)
{
	if ((revision == 0) != (setup->operation == OPERATION_REMOVE))
		return error_set(e, ERR_INPUT, "a user's revision does not fit what was done");
	r->users[r->n_users++] = (struct receipt_user){
		u->mc_id, revision, u->service_ids, u->n_service_ids,
		setup->has_validity ? setup->validity : (struct validity){ 0 } };
	return OK;
}

enum status receipt_from_setup(struct arena *a, const struct setup *setup,
			       const struct receipt_outcome *outcome, struct receipt *out,
			       struct error *e)
{
	if (outcome->cause != CAUSE_NO_CAUSE && outcome->cause != CAUSE_PARTLY_DONE)
		return error_set(e, ERR_INPUT, "nothing was done");
	struct fate *fates = find_fates(a, setup, outcome);
	enum status status = OK;
	*out = (struct receipt){ .partner = outcome->partner, .home = outcome->home,
				 .request_id = setup->request_id, .operation = setup->operation,
				 .done_ms = outcome->done_ms, .decided_by = outcome->decided_by };
	out->users = arena_array(a, setup->n_users, sizeof *out->users);
	if (!fates || !out->users)
		return error_set(e, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < setup->n_users && status == OK; i++) {
		if (!fates[i].left_out)
			status = add_user(out, setup, &setup->users[i], fates[i].revision, e);
	}
	if (status == OK && out->n_users == 0)
		status = error_set(e, ERR_INPUT, "nothing was done for anybody");
	return status;
}

/* --- CBOR --- */

static size_t encoded_size(const struct receipt *r)
{
	size_t items = 17, bytes = r->partner.len + r->home.len + sizeof r->request_id + r->decided_by.len;
	for (size_t i = 0; i < r->n_users; i++) {
		items += 1 + USER_ITEMS;
		bytes += r->users[i].mc_id.len;
		for (size_t j = 0; j < r->users[i].n_service_ids; j++) {
			items += 1 + SERVICE_ID_ITEMS;
			bytes += r->users[i].service_ids[j].mc_service_id.len;
		}
	}
	return items * CBOR_HEAD_MAX + bytes;
}

static void put_user(struct cbor_writer *w, const struct receipt_user *u)
{
	cbor_put_array(w, USER_ITEMS);
	cbor_put_text(w, u->mc_id);
	cbor_put_uint(w, u->revision);
	cbor_put_array(w, u->n_service_ids);
	for (size_t i = 0; i < u->n_service_ids; i++) {
		cbor_put_array(w, SERVICE_ID_ITEMS);
		cbor_put_uint(w, (uint64_t)u->service_ids[i].service);
		cbor_put_text(w, u->service_ids[i].mc_service_id);
	}
	cbor_put_uint(w, u->validity.not_before_ms);
	cbor_put_uint(w, u->validity.not_after_ms);
}

struct str receipt_encode(struct arena *a, const struct receipt *r)
{
	struct cbor_writer w = cbor_writer_new(a, encoded_size(r));
	cbor_put_map(&w, r->decided_by.ptr ? KEY_DECIDED_BY : KEY_USERS);
	cbor_put_uint(&w, KEY_FORMAT);
	cbor_put_uint(&w, FORMAT);
	cbor_put_uint(&w, KEY_PARTNER);
	cbor_put_text(&w, r->partner);
	cbor_put_uint(&w, KEY_HOME);
	cbor_put_text(&w, r->home);
	cbor_put_uint(&w, KEY_REQUEST_ID);
	cbor_put_bytes(&w, r->request_id.bytes, sizeof r->request_id.bytes);
	cbor_put_uint(&w, KEY_OPERATION);
	cbor_put_uint(&w, (uint64_t)r->operation);
	cbor_put_uint(&w, KEY_DONE);
	cbor_put_uint(&w, r->done_ms);
	cbor_put_uint(&w, KEY_USERS);
	cbor_put_array(&w, r->n_users);
	for (size_t i = 0; i < r->n_users; i++)
		put_user(&w, &r->users[i]);
	if (r->decided_by.ptr) {
		cbor_put_uint(&w, KEY_DECIDED_BY);
		cbor_put_text(&w, r->decided_by);
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

static int compare_service_ids(const struct user_service_id *x, const struct user_service_id *y)
{
	int d = (x->service > y->service) - (x->service < y->service);
	return d ? d : str_cmp(x->mc_service_id, y->mc_service_id);
}

static bool is_canonical(struct arena *a, struct str id)
{
	struct str canonical = STR_NONE;
	return mc_service_id_canonical(a, id, &canonical, NULL) && str_eq(canonical, id);
}

static void get_service_ids(struct cbor_reader *r, struct arena *a, struct receipt_user *u)
{
	size_t n = cbor_get_array(r);
	struct user_service_id *ids = arena_array(a, n, sizeof *ids);
	if (!ids)
		cbor_fail(r, "it takes too much memory");
	for (size_t i = 0; i < n && !r->bad; i++) {
		cbor_expect_array(r, SERVICE_ID_ITEMS);
		uint64_t service = cbor_get_uint(r);
		ids[i].mc_service_id = cbor_get_id(r, MC_SERVICE_ID_MAX);
		if (!r->bad && (service > INT32_MAX || !mc_service_name((int)service)))
			cbor_fail(r, "an MC service is unknown");
		ids[i].service = (enum mc_service)service;
		if (!r->bad && !is_canonical(a, ids[i].mc_service_id))
			cbor_fail(r, "an MC service ID is not valid or not canonical");
		if (!r->bad && i > 0 && compare_service_ids(&ids[i - 1], &ids[i]) >= 0)
			cbor_fail(r, "MC service IDs are out of order");
	}
	u->service_ids = ids;
	u->n_service_ids = n;
}

static void get_user(struct cbor_reader *r, struct arena *a, enum operation operation,
		     struct receipt_user *u)
{
	cbor_expect_array(r, USER_ITEMS);
	u->mc_id = cbor_get_id(r, MC_ID_MAX);
	if (!r->bad && !mc_id_valid(u->mc_id))
		cbor_fail(r, "a user's name is no MC ID");
	u->revision = cbor_get_uint(r);
	if ((u->revision == 0) != (operation == OPERATION_REMOVE))
		cbor_fail(r, "a revision does not fit the operation");
	get_service_ids(r, a, u);
	u->validity.not_before_ms = cbor_get_uint(r);
	u->validity.not_after_ms = cbor_get_uint(r);
	if (u->validity.not_after_ms && u->validity.not_after_ms <= u->validity.not_before_ms)
		cbor_fail(r, "a validity is empty");
}

static void get_users(struct cbor_reader *r, struct arena *a, struct receipt *out)
{
	out->n_users = cbor_get_filled_array(r);
	out->users = arena_array(a, out->n_users, sizeof *out->users);
	if (!out->users)
		cbor_fail(r, "it takes too much memory");
	for (size_t i = 0; i < out->n_users && !r->bad; i++) {
		get_user(r, a, out->operation, &out->users[i]);
		if (!r->bad && i > 0 && str_cmp(out->users[i - 1].mc_id, out->users[i].mc_id) >= 0)
			cbor_fail(r, "users are out of order");
	}
}

enum status receipt_decode(struct arena *a, struct str claims, struct receipt *out, struct error *e)
{
	struct cbor_reader r = cbor_reader_of(claims);
	*out = (struct receipt){ 0 };
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
	cbor_expect_key(&r, KEY_USERS);
	get_users(&r, a, out);
	if (keys == KEY_DECIDED_BY) {
		cbor_expect_key(&r, KEY_DECIDED_BY);
		out->decided_by = cbor_get_id(&r, DECIDED_BY_MAX);
	} else if (keys != KEY_USERS) {
		cbor_fail(&r, "it has more or fewer entries than it should");
	}
	if (!r.bad && r.left > 0)
		cbor_fail(&r, "there are bytes behind it");
	return r.bad ? error_set(e, ERR_INPUT, "no receipt: %s", r.bad) : OK;
}

struct str receipt_join(struct arena *a, struct str claims, struct str proof)
{
	struct cbor_writer w = cbor_writer_new(a, 3 * CBOR_HEAD_MAX + claims.len + proof.len);
	cbor_put_array(&w, 2);
	cbor_put_bytes(&w, claims.ptr, claims.len);
	cbor_put_bytes(&w, proof.ptr, proof.len);
	return cbor_written(&w);
}

enum status receipt_split(struct str whole, struct str *claims, struct str *proof, struct error *e)
{
	struct cbor_reader r = cbor_reader_of(whole);
	cbor_expect_array(&r, 2);
	*claims = cbor_get_bytes(&r);
	*proof = cbor_get_bytes(&r);
	if (!r.bad && r.left > 0)
		cbor_fail(&r, "there are bytes behind it");
	return r.bad ? error_set(e, ERR_INPUT, "no receipt: %s", r.bad) : OK;
}
