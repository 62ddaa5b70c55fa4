/* Changes to a store behind its back. */
#include <lmdb.h>
#include "store_unit.h"

/* Behind the store's back, while it is closed. database NULL: the unnamed one. */
static inline void put_raw(const char *database, const char *key, size_t key_len, struct str value)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_val k = { key_len, (void *)key }, v = { value.len, (void *)value.ptr };
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 16), 0);
	assert_int_equal(mdb_env_open(env, directory, 0, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, database, database ? MDB_CREATE : 0, &dbi), 0);
	assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}
