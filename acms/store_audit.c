#include "acms/store_internal.h"

#include "common/crypto.h"

/*
 * The audit log: a hash chain, and its head kept apart in meta. A new entry goes behind the head, not behind the last
 * entry that is there: so a tail that was cut off leaves a gap for good. A transaction reads the head once and puts it
 * once: while it is open nobody else moves it.
 */

static void digest_of(struct store_txn *t, struct str value, struct audit_head *out)
{
	if (crypto_sha256(value, out->digest) != OK)
		txn_fail_status(t, ERR_STORE, "SHA-256 failed");
}

/* False: there is none, or an error. They stay in the map. */
static bool last_entry(struct store_txn *t, MDB_val *key, MDB_val *value)
{
	MDB_cursor *cursor;
	if (!txn_good(t))
		return false;
	int rc = mdb_cursor_open(t->txn, t->store->dbi[DB_AUDIT], &cursor);
	if (rc == 0) {
		rc = mdb_cursor_get(cursor, key, value, MDB_LAST);
		mdb_cursor_close(cursor);
	}
	if (rc != 0 && rc != MDB_NOTFOUND)
		txn_fail(t, rc, store_database_names[DB_AUDIT]);
	return rc == 0;
}

void audit_last(struct store_txn *t, struct audit_head *out)
{
	MDB_val key, value;
	*out = (struct audit_head){ .number = 0 };
	if (!last_entry(t, &key, &value))
		return;
	out->number = key_number(&key);
	digest_of(t, (struct str){ value.mv_data, value.mv_size }, out);
}

void audit_put_head(struct store_txn *t, const struct audit_head *head)
{
	struct arena *a = arena_new(0);
	txn_put_meta(t, "audit-head", a ? record_encode_audit_head(a, head) : STR_NONE);
	arena_free(a);
}

bool store_get_audit_head(struct store_txn *t, struct audit_head *out)
{
	struct error e;
	if (t->audit_known) {
		*out = t->audit;
		return txn_good(t);
	}
	struct arena *a = arena_new(0);
	if (!a)
		txn_fail_status(t, ERR_MEMORY, "out of memory");
	struct str value = a ? txn_get_meta(t, a, "audit-head") : STR_NONE;
	bool found = value.ptr && txn_decoded(t, DB_META, key_of_str(STR("audit-head")),
					     record_decode_audit_head(value, out, &e), &e);
	arena_free(a);
	return found;
}

void store_get_audit_start(struct store_txn *t, struct audit_head *out)
{
	struct error e;
	struct arena *a = arena_new(0);
	*out = (struct audit_head){ .number = 0 };
	if (!a)
		store_fail_memory(t);
	struct str value = a ? txn_get_meta(t, a, "audit-start") : STR_NONE;
	if (value.ptr && !txn_decoded(t, DB_META, key_of_str(STR("audit-start")), record_decode_audit_head(value, out, &e), &e))
		*out = (struct audit_head){ .number = 0 };
	arena_free(a);
}

/* False: there is none up to that number, or an error. */
static bool drop_first(struct store_txn *t, uint64_t last, struct audit_head *start)
{
	MDB_cursor *cursor;
	MDB_val key = { 0, NULL }, value;
	uint8_t number[8];
	if (!txn_good(t))
		return false;
	int rc = mdb_cursor_open(t->txn, t->store->dbi[DB_AUDIT], &cursor);
	if (rc == 0) {
		rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
		mdb_cursor_close(cursor);
	}
	if (rc != 0 && rc != MDB_NOTFOUND)
		txn_fail(t, rc, store_database_names[DB_AUDIT]);
	if (rc != 0 || key_number(&key) > last)
		return false;
	start->number = key_number(&key);
	digest_of(t, (struct str){ value.mv_data, value.mv_size }, start);
	return txn_delete(t, DB_AUDIT, key_of_number(number, start->number), NULL);
}

size_t store_drop_audit(struct store_txn *t, uint64_t last, size_t most)
{
	size_t n = 0;
	struct audit_head start;
	while (n < most && drop_first(t, last, &start))
		n++;
	struct arena *a = n > 0 ? arena_new(0) : NULL;
	if (n > 0)
		txn_put_meta(t, "audit-start", a ? record_encode_audit_head(a, &start) : STR_NONE);
	arena_free(a);
	return n;
}

static void find_head(struct store_txn *t)
{
	MDB_val key, value;
	bool found = store_get_audit_head(t, &t->audit);
	if (!found || (last_entry(t, &key, &value) && key_number(&key) > t->audit.number))
		audit_last(t, &t->audit);
	t->audit_known = txn_good(t);
}

void store_append_audit(struct store_txn *t, struct arena *a, struct audit_record *r)
{
	uint8_t key[8];
	if (!t->audit_known)
		find_head(t);
	memcpy(r->previous, t->audit.digest, DIGEST_SIZE);
	struct str value = record_encode_audit(a, r);
	txn_put(t, DB_AUDIT, key_of_number(key, t->audit.number + 1), value, MDB_APPEND);
	if (!txn_good(t)) /* the next job's entry takes this one's place */
		return;
	t->audit.number++;
	digest_of(t, value, &t->audit);
}

void audit_settle(struct store_txn *t)
{
	if (t->audit_known)
		audit_put_head(t, &t->audit);
}
