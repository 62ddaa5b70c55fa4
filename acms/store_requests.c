#include "acms/store_internal.h"

#include "common/crypto.h"

/* Requests: answered, waiting for a decision, asked for and on their way, and their answers. */

/* "system 00 request ID"; ptr == NULL: it does not fit, and the transaction has failed. */
static MDB_val request_key(struct store_txn *t, char *buffer, struct str system, const struct request_id *id)
{
	if (!key_fits(t, system, key_of_request(id)))
		return (MDB_val){ 0, NULL };
	return key_join(buffer, system, key_of_request(id));
}

/* For a look-up: mv_data NULL, too, if there can be no such key. */
static MDB_val find_key(char *buffer, struct str system, const struct request_id *id)
{
	if (!key_is_possible(system, key_of_request(id)))
		return (MDB_val){ 0, NULL };
	return key_join(buffer, system, key_of_request(id));
}

/* --- counts --- */

/* What LMDB takes for a record beside its key and value. */
enum { NODE_BYTES = 16 };

void count_requests(struct store_txn *t, struct str home, int64_t pending, int64_t pending_bytes, int64_t answers_bytes)
{
	struct counted *c = &t->counted;
	if (!txn_good(t))
		return;
	if (!str_eq((struct str){ c->home, c->home_len }, home)) {
		count_settle(t);
		c->home_len = home.len;
		memcpy(c->home, home.ptr, home.len);
	}
	c->pending += pending;
	c->pending_bytes += pending_bytes;
	c->answers_bytes += answers_bytes;
}

/* Not below zero: a store may be from before they were counted. */
static uint64_t plus(uint64_t count, int64_t change)
{
	return change < 0 && (uint64_t)-change > count ? 0 : count + (uint64_t)change;
}

void count_settle(struct store_txn *t)
{
	struct counted c = t->counted;
	bool wrote = t->job.wrote; /* what is put here may be of a job before this one */
	struct str home = { c.home, c.home_len };
	struct system_record r = { 0 };
	t->counted.home_len = 0;
	t->counted.pending = t->counted.pending_bytes = t->counted.answers_bytes = 0;
	if (c.home_len == 0 || !txn_good(t) || (c.pending == 0 && c.pending_bytes == 0 && c.answers_bytes == 0))
		return;
	struct arena *a = arena_new(0);
	if (!a)
		store_fail_memory(t);
	else if (!store_get_system(t, a, home, &r) && store_pass_over(t))
		goto out; /* it stays as bad as it is, and says so to those whom it concerns */
	r.requests_pending = plus(r.requests_pending, c.pending);
	r.pending_bytes = plus(r.pending_bytes, c.pending_bytes);
	r.answers_bytes = plus(r.answers_bytes, c.answers_bytes);
	if (a)
		store_put_system(t, a, home, &r);
out:
	t->job.wrote = wrote;
	arena_free(a);
}

/* Puts a record of a home system's request. New: it was not there. How many bytes more there are. */
static int64_t put_counted(struct store_txn *t, enum database db, MDB_val key, struct str value, bool *is_new)
{
	*is_new = txn_add(t, db, key, value);
	if (*is_new)
		return (int64_t)(key.mv_size + value.len + NODE_BYTES);
	size_t before = txn_length(t, db, key);
	txn_put(t, db, key, value, 0);
	return (int64_t)value.len - (before == SIZE_MAX ? 0 : (int64_t)before);
}

/* How many bytes less there are; 0: it was not there. */
static int64_t delete_counted(struct store_txn *t, enum database db, MDB_val key)
{
	size_t length = txn_length(t, db, key);
	return txn_delete(t, db, key, NULL) && length != SIZE_MAX ? (int64_t)(key.mv_size + length + NODE_BYTES) : 0;
}

/* --- at the partner --- */

bool store_get_request(struct store_txn *t, struct arena *a, struct str home, struct request_id id,
		       struct request_record *out)
{
	char buffer[KEY_MAX];
	struct error e;
	MDB_val key = find_key(buffer, home, &id);
	struct str value = key.mv_data ? txn_get(t, a, DB_REQUESTS, key) : STR_NONE;
	return value.ptr && txn_decoded(t, DB_REQUESTS, key, record_decode_request(a, value, out, &e), &e);
}

void store_put_request(struct store_txn *t, struct arena *a, struct str home, struct request_id id,
		       const struct request_record *r)
{
	char buffer[KEY_MAX];
	MDB_val key = request_key(t, buffer, home, &id);
	bool is_new;
	count_requests(t, home, 0, 0, put_counted(t, DB_REQUESTS, key, record_encode_request(a, r), &is_new));
}

void store_delete_request(struct store_txn *t, struct str home, struct request_id id)
{
	char buffer[KEY_MAX];
	count_requests(t, home, 0, 0, -delete_counted(t, DB_REQUESTS, request_key(t, buffer, home, &id)));
}

bool store_get_pending(struct store_txn *t, struct arena *a, struct str home, struct request_id id,
		       struct pending_record *out)
{
	char buffer[KEY_MAX];
	struct error e;
	MDB_val key = find_key(buffer, home, &id);
	struct str value = key.mv_data ? txn_get(t, a, DB_PENDING, key) : STR_NONE;
	if (!value.ptr || !txn_decoded(t, DB_PENDING, key, record_decode_pending(a, value, out, &e), &e))
		return false;
	out->setup.request_id = id;
	return true;
}

void store_put_pending(struct store_txn *t, struct arena *a, struct str home, struct request_id id,
		       const struct pending_record *r)
{
	char buffer[KEY_MAX];
	MDB_val key = request_key(t, buffer, home, &id);
	bool is_new;
	int64_t bytes = put_counted(t, DB_PENDING, key, record_encode_pending(a, r), &is_new);
	count_requests(t, home, is_new, bytes, 0);
}

void store_delete_pending(struct store_txn *t, struct str home, struct request_id id)
{
	char buffer[KEY_MAX];
	int64_t bytes = delete_counted(t, DB_PENDING, request_key(t, buffer, home, &id));
	if (bytes > 0)
		count_requests(t, home, -1, -bytes, 0);
}

/* --- at home --- */

bool store_get_asked(struct store_txn *t, struct arena *a, struct request_id id,
		     struct asked_record *out)
{
	struct error e;
	MDB_val key = key_of_str(key_of_request(&id));
	struct str value = txn_get(t, a, DB_ASKED, key);
	if (!value.ptr || !txn_decoded(t, DB_ASKED, key, record_decode_asked(a, value, out, &e), &e))
		return false;
	out->setup.request_id = id;
	return true;
}

void store_put_asked(struct store_txn *t, struct arena *a, struct request_id id,
		     const struct asked_record *r)
{
	txn_put(t, DB_ASKED, key_of_str(key_of_request(&id)), record_encode_asked(a, r), 0);
}

void store_delete_asked(struct store_txn *t, struct request_id id)
{
	txn_delete(t, DB_ASKED, key_of_str(key_of_request(&id)), NULL);
}

bool store_get_outbox(struct store_txn *t, struct arena *a, struct str target, struct request_id id,
		      struct outbox_record *out)
{
	char buffer[KEY_MAX];
	struct error e;
	MDB_val key = find_key(buffer, target, &id);
	struct str value = key.mv_data ? txn_get(t, a, DB_OUTBOX, key) : STR_NONE;
	return value.ptr && txn_decoded(t, DB_OUTBOX, key, record_decode_outbox(value, out, &e), &e);
}

void store_put_outbox(struct store_txn *t, struct arena *a, struct str target, struct request_id id,
		      const struct outbox_record *r)
{
	char buffer[KEY_MAX];
	txn_put(t, DB_OUTBOX, request_key(t, buffer, target, &id), record_encode_outbox(a, r), 0);
}

void store_delete_outbox(struct store_txn *t, struct str target, struct request_id id)
{
	char buffer[KEY_MAX];
	txn_delete(t, DB_OUTBOX, request_key(t, buffer, target, &id), NULL);
}

/* Targets are as an ACMC named them: what no MC system ID can be as long as has its digest in the key. */
static MDB_val answer_key(struct store_txn *t, char *buffer, const struct request_id *id,
			  struct str target)
{
	size_t n = target.len;
	memcpy(buffer, id->bytes, REQUEST_ID_SIZE);
	if (n <= MC_SYSTEM_ID_MAX) {
		if (n)
			memcpy(buffer + REQUEST_ID_SIZE, target.ptr, n);
	} else {
		uint8_t digest[DIGEST_SIZE] = { 0 };
		if (crypto_sha256(target, digest) != OK)
			txn_fail_status(t, ERR_STORE, "SHA-256 failed");
		buffer[REQUEST_ID_SIZE] = '\0';
		memcpy(buffer + REQUEST_ID_SIZE + 1, digest, DIGEST_SIZE);
		n = 1 + DIGEST_SIZE;
	}
	return (MDB_val){ REQUEST_ID_SIZE + n, buffer };
}

bool store_get_answer(struct store_txn *t, struct arena *a, struct request_id id, struct str target,
		      struct answer_record *out)
{
	char buffer[KEY_MAX];
	struct error e;
	MDB_val key = answer_key(t, buffer, &id, target);
	struct str value = txn_get(t, a, DB_ANSWERS, key);
	return value.ptr && txn_decoded(t, DB_ANSWERS, key, record_decode_answer(a, value, out, &e), &e);
}

void store_put_answer(struct store_txn *t, struct arena *a, struct request_id id, struct str target,
		      const struct answer_record *r)
{
	char buffer[KEY_MAX];
	txn_put(t, DB_ANSWERS, answer_key(t, buffer, &id, target), record_encode_answer(a, r), 0);
}

void store_delete_answer(struct store_txn *t, struct request_id id, struct str target)
{
	char buffer[KEY_MAX];
	txn_delete(t, DB_ANSWERS, answer_key(t, buffer, &id, target), NULL);
}
