#include "acms/store_internal.h"

/* Users, the owners of MC service IDs, systems. */

static enum database users_of(enum store_users which)
{
	return which == STORE_BELIEVED ? DB_BELIEVED : DB_USERS;
}

/* --- expiries --- */

enum change { ADD, DROP };

/* The index entry of a user whose validity ends. key: the user's. */
static void change_expiry(struct store_txn *t, enum store_users which, MDB_val key, uint64_t not_after_ms,
			  enum change change)
{
	uint8_t number[8];
	enum database db = which == STORE_BELIEVED ? DB_BELIEVED_EXPIRIES : DB_EXPIRIES;
	if (not_after_ms == 0)
		return;
	if (change == ADD)
		txn_put(t, db, key_of_number(number, not_after_ms),
			(struct str){ key.mv_data, key.mv_size }, 0);
	else
		txn_delete(t, db, key_of_number(number, not_after_ms), &key);
}

/* --- users --- */

bool store_get_user(struct store_txn *t, struct arena *a, enum store_users which, struct str home,
		    struct str mc_id, struct user_record *out)
{
	char buffer[KEY_MAX];
	struct error e;
	if (!key_is_possible(home, mc_id))
		return false;
	MDB_val key = key_join(buffer, home, mc_id);
	struct str value = txn_get(t, a, users_of(which), key);
	return value.ptr && txn_decoded(t, users_of(which), key, record_decode_user(a, value, out, &e), &e);
}

bool store_add_user(struct store_txn *t, struct arena *a, enum store_users which, struct str home,
		    struct str mc_id, const struct user_record *r)
{
	char buffer[KEY_MAX];
	if (!key_fits(t, home, mc_id))
		return false;
	MDB_val key = key_join(buffer, home, mc_id);
	if (!txn_add(t, users_of(which), key, record_encode_user(a, r)))
		return false;
	change_expiry(t, which, key, r->validity.not_after_ms, ADD);
	return true;
}

void store_put_user(struct store_txn *t, struct arena *a, enum store_users which, struct str home,
		    struct str mc_id, const struct user_record *before, const struct user_record *r)
{
	char buffer[KEY_MAX];
	uint64_t old = before ? before->validity.not_after_ms : 0;
	if (!key_fits(t, home, mc_id))
		return;
	MDB_val key = key_join(buffer, home, mc_id);
	txn_put(t, users_of(which), key, record_encode_user(a, r), 0);
	if (old == r->validity.not_after_ms)
		return;
	change_expiry(t, which, key, old, DROP);
	change_expiry(t, which, key, r->validity.not_after_ms, ADD);
}

void store_drop_user(struct store_txn *t, enum store_users which, struct str home, struct str mc_id,
		     uint64_t not_after_ms)
{
	char buffer[KEY_MAX];
	if (!key_fits(t, home, mc_id))
		return;
	MDB_val key = key_join(buffer, home, mc_id);
	txn_delete(t, users_of(which), key, NULL);
	change_expiry(t, which, key, not_after_ms, DROP);
}

void store_delete_user(struct store_txn *t, enum store_users which, struct str home, struct str mc_id,
		       const struct user_record *r)
{
	store_drop_user(t, which, home, mc_id, r->validity.not_after_ms);
}

/* --- owners --- */

bool store_get_owner(struct store_txn *t, struct arena *a, struct str mc_service_id,
		     struct owner_record *out)
{
	struct error e;
	MDB_val key = key_of_str(mc_service_id);
	struct str value = txn_get(t, a, DB_SERVICE_IDS, key);
	return value.ptr && txn_decoded(t, DB_SERVICE_IDS, key, record_decode_owner(value, out, &e), &e);
}

void store_put_owner(struct store_txn *t, struct arena *a, struct str mc_service_id,
		     const struct owner_record *r)
{
	txn_put(t, DB_SERVICE_IDS, key_of_str(mc_service_id), record_encode_owner(a, r), 0);
}

void store_delete_owner(struct store_txn *t, struct str mc_service_id)
{
	txn_delete(t, DB_SERVICE_IDS, key_of_str(mc_service_id), NULL);
}

/* --- systems --- */

bool store_get_system(struct store_txn *t, struct arena *a, struct str mc_system_id,
		      struct system_record *out)
{
	struct error e;
	MDB_val key = key_of_str(mc_system_id);
	count_settle(t);
	struct str value = txn_get(t, a, DB_SYSTEMS, key);
	return value.ptr && txn_decoded(t, DB_SYSTEMS, key, record_decode_system(value, out, &e), &e);
}

void store_put_system(struct store_txn *t, struct arena *a, struct str mc_system_id,
		      const struct system_record *r)
{
	txn_put(t, DB_SYSTEMS, key_of_str(mc_system_id), record_encode_system(a, r), 0);
}
