#include "acms/store.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/crypto.h"
#include "common/text.h"

enum { SCHEMA_VERSION = 1, MAX_READERS = 512, KEY_MAX = 511 };

enum database { DB_META, DB_USERS, DB_SERVICE_IDS, DB_REQUESTS, DB_SYSTEMS, DB_AUDIT, DATABASES };

static const char *const database_names[DATABASES] = {
	[DB_META] = "meta",	    [DB_USERS] = "users",     [DB_SERVICE_IDS] = "service_ids",
	[DB_REQUESTS] = "requests", [DB_SYSTEMS] = "systems", [DB_AUDIT] = "audit",
};

struct store {
	MDB_env *env;
	MDB_dbi dbi[DATABASES];
	char *directory;
	char mc_system_id[MC_SYSTEM_ID_MAX + 1];
	int lock_fd;
	bool map_full; /* was what filled the last transaction */
	bool broken;
};

struct store_txn {
	struct store *store;
	MDB_txn *txn;
	struct error error; /* sticky */
};

/* --- errors --- */

static enum status map_error(struct store *s, int rc, const char *doing, struct error *e)
{
	enum status status = ERR_STORE;
	const char *advice = "";
	if (rc == MDB_MAP_FULL || rc == ENOSPC || rc == EDQUOT) {
		status = ERR_STORE_FULL;
		advice = rc == MDB_MAP_FULL ? "" : ": free space on its disk";
	} else if (rc == MDB_READERS_FULL) {
		status = ERR_BUSY;
		advice = ": too many other processes read it";
	} else if (rc == EACCES || rc == EROFS) {
		advice = ": its owner must be the user that acms runs as";
	} else if (rc == EIO) {
		advice = ": look at the disk (it may be full)";
	}
	s->map_full = rc == MDB_MAP_FULL;
	s->broken |= rc == MDB_PANIC;
	return error_set(e, status, "store %s: %s: %s%s", s->directory, doing, mdb_strerror(rc), advice);
}

static bool txn_good(const struct store_txn *t)
{
	return t->error.status == OK;
}

static bool txn_fail(struct store_txn *t, int rc, const char *doing)
{
	if (txn_good(t))
		map_error(t->store, rc, doing, &t->error);
	return false;
}

static void txn_fail_status(struct store_txn *t, enum status status, const char *what)
{
	if (txn_good(t))
		error_set(&t->error, status, "store %s: %s", t->store->directory, what);
}

enum status store_status(const struct store_txn *t)
{
	return t->error.status;
}

bool store_broken(const struct store *s)
{
	return s->broken;
}

struct str store_mc_system_id(const struct store *s)
{
	return str_of(s->mc_system_id);
}

/* --- opening --- */

/* One server at a time; readers and imports do not ask for it. */
static enum status take_lock(struct store *s, struct error *e)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/acms.lock", s->directory);
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return error_set(e, ERR_STORE, "store %s: acms.lock: %s: its owner must be the user that "
				 "acms runs as", s->directory, strerror(errno));
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return OK;
	return error_set(e, ERR_BUSY,
			 "store %s: another acms has it: stop that one, or give this one a directory of its own",
			 s->directory);
}

static enum status check_directory(const struct store *s, struct error *e)
{
	struct stat st;
	if (stat(s->directory, &st) != 0)
		return error_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_STORE,
				 "store %s: %s: make it with: install -d -m 0700 -o USER %s",
				 s->directory, strerror(errno), s->directory);
	if (!S_ISDIR(st.st_mode))
		return error_set(e, ERR_STORE, "store %s: is not a directory", s->directory);
	if (st.st_mode & S_IRWXO)
		return error_set(e, ERR_STORE,
				 "store %s: everybody has access to it, and it holds identities: chmod o-rwx",
				 s->directory);
	return OK;
}

static int open_environment(struct store *s, uint64_t map_bytes, enum store_mode mode)
{
	unsigned flags = MDB_NOTLS | (mode == STORE_READ ? MDB_RDONLY : 0);
	int dead, rc = mdb_env_create(&s->env);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(s->env, DATABASES);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(s->env, MAX_READERS);
	if (rc == 0 && map_bytes > 0)
		rc = mdb_env_set_mapsize(s->env, map_bytes);
	if (rc == 0)
		rc = mdb_env_open(s->env, s->directory, flags, 0600);
	if (rc == 0)
		rc = mdb_reader_check(s->env, &dead);
	return rc;
}

/* An LMDB environment that has content but is none of ours is left alone. */
static bool is_foreign(MDB_txn *txn)
{
	MDB_dbi main_db;
	MDB_stat stat;
	return mdb_dbi_open(txn, NULL, 0, &main_db) == 0 && mdb_stat(txn, main_db, &stat) == 0 &&
	       stat.ms_entries > 0;
}

static enum status open_databases(struct store *s, struct store_txn *t, unsigned flags,
				  struct error *e)
{
	for (int i = 0; i < DATABASES; i++) {
		int rc = mdb_dbi_open(t->txn, database_names[i], flags, &s->dbi[i]);
		if (rc != 0)
			return map_error(s, rc, database_names[i], e);
	}
	return OK;
}

static struct str get_meta(struct store_txn *t, const char *key)
{
	MDB_val k = { strlen(key), (void *)key }, v;
	if (mdb_get(t->txn, t->store->dbi[DB_META], &k, &v) != 0)
		return STR_NONE;
	return (struct str){ v.mv_data, v.mv_size };
}

static void put_meta(struct store_txn *t, const char *key, struct str value)
{
	MDB_val k = { strlen(key), (void *)key }, v = { value.len, (void *)value.ptr };
	int rc = value.ptr ? mdb_put(t->txn, t->store->dbi[DB_META], &k, &v, 0) : ENOMEM;
	if (rc != 0)
		txn_fail(t, rc, "meta");
}

static enum status check_meta(struct store *s, struct store_txn *t, struct str mc_system_id,
			      struct error *e)
{
	uint64_t version = 0;
	struct str id;
	enum status status = record_decode_uint(get_meta(t, "schema"), &version, e);
	if (status != OK)
		return error_prefix(e, ERR_STORE, "store %s", s->directory);
	if (version > SCHEMA_VERSION)
		return error_set(e, ERR_STORE_VERSION,
				 "store %s: has schema version %llu, this acms knows %d: use the newer acms",
				 s->directory, (unsigned long long)version, SCHEMA_VERSION);
	status = record_decode_text(get_meta(t, "mc_system_id"), &id, e);
	if (status != OK || id.len > MC_SYSTEM_ID_MAX)
		return error_prefix(e, ERR_STORE, "store %s", s->directory);
	if (mc_system_id.ptr && !str_eq(id, mc_system_id))
		return error_set(e, ERR_STORE, "store %s: belongs to MC system %.*s, not to %.*s",
				 s->directory, STR_ARG(id), STR_ARG(mc_system_id));
	memcpy(s->mc_system_id, id.ptr, id.len);
	return OK;
}

static enum status make_meta(struct store *s, struct store_txn *t, struct str mc_system_id,
			     struct error *e)
{
	struct arena *a = arena_new(0);
	if (!a)
		return error_set(e, ERR_MEMORY, "out of memory");
	put_meta(t, "schema", record_encode_uint(a, SCHEMA_VERSION));
	put_meta(t, "mc_system_id", record_encode_text(a, mc_system_id));
	memcpy(s->mc_system_id, mc_system_id.ptr, mc_system_id.len);
	arena_free(a);
	return OK;
}

/* What it says of itself comes first: a newer version's may have other databases. */
static enum status open_content(struct store *s, struct store_txn *t, struct str mc_system_id,
				enum store_mode mode, struct error *e)
{
	int rc = mdb_dbi_open(t->txn, database_names[DB_META], 0, &s->dbi[DB_META]);
	if (rc == MDB_NOTFOUND && (mode == STORE_READ || is_foreign(t->txn)))
		return error_set(e, ERR_NOT_FOUND, "store %s: there is no IdM store of acms in it",
				 s->directory);
	if (rc == MDB_NOTFOUND) {
		enum status status = open_databases(s, t, MDB_CREATE, e);
		return status == OK ? make_meta(s, t, mc_system_id, e) : status;
	}
	if (rc != 0)
		return map_error(s, rc, database_names[DB_META], e);
	enum status status = check_meta(s, t, mc_system_id, e);
	return status == OK ? open_databases(s, t, 0, e) : status;
}

static enum status open_schema(struct store *s, struct str mc_system_id, enum store_mode mode,
			       struct error *e)
{
	struct store_txn *t;
	enum status status = mode == STORE_READ ? store_begin_read(s, &t, e) :
						  store_begin_write(s, &t, e);
	if (status != OK)
		return status;
	status = open_content(s, t, mc_system_id, mode, e);
	if (status == OK)
		return store_commit(t, e); /* of a read, too: it keeps the handles */
	store_abort(t);
	return status;
}

enum status store_open(const char *directory, struct str mc_system_id, uint64_t map_bytes,
		       enum store_mode mode, struct store **out, struct error *e)
{
	struct store *s = calloc(1, sizeof *s);
	if (!s || !(s->directory = strdup(directory))) {
		free(s);
		return error_set(e, ERR_MEMORY, "out of memory");
	}
	s->lock_fd = -1;
	enum status status = check_directory(s, e);
	if (status == OK && mode == STORE_SERVE)
		status = take_lock(s, e);
	if (status == OK) {
		int rc = open_environment(s, map_bytes, mode);
		if (rc == ENOENT)
			status = error_set(e, ERR_NOT_FOUND, "store %s: there is no IdM store of acms in it",
					   directory);
		else if (rc != 0)
			status = map_error(s, rc, "cannot be opened", e);
	}
	if (status == OK)
		status = open_schema(s, mc_system_id, mode, e);
	if (status == OK)
		*out = s;
	else
		store_close(s);
	return status;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->env)
		mdb_env_close(s->env);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s->directory);
	free(s);
}

/* --- transactions --- */

static enum status begin(struct store *s, unsigned flags, struct store_txn **out, struct error *e)
{
	struct store_txn *t = calloc(1, sizeof *t);
	int dead;
	if (!t)
		return error_set(e, ERR_MEMORY, "out of memory");
	t->store = s;
	int rc = mdb_txn_begin(s->env, NULL, flags, &t->txn);
	if (rc == MDB_MAP_RESIZED) { /* another process let it grow */
		rc = mdb_env_set_mapsize(s->env, 0);
		if (rc == 0)
			rc = mdb_txn_begin(s->env, NULL, flags, &t->txn);
	}
	if (rc == MDB_READERS_FULL && mdb_reader_check(s->env, &dead) == 0)
		rc = mdb_txn_begin(s->env, NULL, flags, &t->txn);
	if (rc != 0) {
		free(t);
		return map_error(s, rc, "a transaction cannot begin", e);
	}
	*out = t;
	return OK;
}

enum status store_begin_write(struct store *s, struct store_txn **out, struct error *e)
{
	return begin(s, 0, out, e);
}

enum status store_begin_read(struct store *s, struct store_txn **out, struct error *e)
{
	return begin(s, MDB_RDONLY, out, e);
}

enum status store_commit(struct store_txn *t, struct error *e)
{
	enum status status = t->error.status;
	if (status != OK) {
		if (e)
			*e = t->error;
		store_abort(t);
		return status;
	}
	int rc = mdb_txn_commit(t->txn);
	if (rc != 0)
		status = map_error(t->store, rc, "commit", e);
	free(t);
	return status;
}

void store_abort(struct store_txn *t)
{
	if (!t)
		return;
	mdb_txn_abort(t->txn);
	free(t);
}

enum status store_grow(struct store *s, struct error *e)
{
	MDB_envinfo info;
	if (!s->map_full)
		return error_set(e, ERR_STORE_FULL, "store %s: the disk is full: free space on it",
				 s->directory);
	int rc = mdb_env_info(s->env, &info);
	if (rc == 0)
		rc = mdb_env_set_mapsize(s->env, info.me_mapsize * 2);
	return rc == 0 ? OK : map_error(s, rc, "cannot grow", e);
}

/* --- records --- */

static MDB_val join(char buffer[KEY_MAX], struct str home, struct str rest)
{
	memcpy(buffer, home.ptr, home.len);
	buffer[home.len] = '\0';
	memcpy(buffer + home.len + 1, rest.ptr, rest.len);
	return (MDB_val){ home.len + 1 + rest.len, buffer };
}

/* Identities are checked before they come here; this keeps a mistake from becoming an overflow. */
static bool key_fits(struct store_txn *t, struct str home, struct str rest)
{
	if (home.len <= MC_SYSTEM_ID_MAX && rest.len <= MC_ID_MAX)
		return true;
	return txn_fail(t, MDB_BAD_VALSIZE, "key");
}

static struct str request_key(const struct request_id *id)
{
	return (struct str){ (const char *)id->bytes, REQUEST_ID_SIZE };
}

/* A copy of the value, ptr == NULL if there is none. */
static struct str get(struct store_txn *t, struct arena *a, enum database db, MDB_val key)
{
	MDB_val v;
	if (!txn_good(t))
		return STR_NONE;
	int rc = mdb_get(t->txn, t->store->dbi[db], &key, &v);
	if (rc == MDB_NOTFOUND)
		return STR_NONE;
	if (rc != 0) {
		txn_fail(t, rc, database_names[db]);
		return STR_NONE;
	}
	struct str copy = arena_str(a, (struct str){ v.mv_data, v.mv_size });
	if (!copy.ptr)
		txn_fail_status(t, ERR_MEMORY, "out of memory");
	return copy;
}

/* A record that cannot be read is no reason to write over it. */
static bool decoded(struct store_txn *t, enum status status, const struct error *e)
{
	if (status != OK)
		txn_fail_status(t, ERR_STORE, e->text);
	return status == OK;
}

static void put(struct store_txn *t, enum database db, MDB_val key, struct str value, unsigned flags)
{
	MDB_val v = { value.len, (void *)value.ptr };
	if (!txn_good(t))
		return;
	int rc = value.ptr ? mdb_put(t->txn, t->store->dbi[db], &key, &v, flags) : ENOMEM;
	if (rc != 0)
		txn_fail(t, rc, database_names[db]);
}

bool store_get_user(struct store_txn *t, struct arena *a, struct str home, struct str mc_id,
		    struct user_record *out)
{
	char key[KEY_MAX];
	struct error e;
	if (!key_fits(t, home, mc_id))
		return false;
	struct str value = get(t, a, DB_USERS, join(key, home, mc_id));
	return value.ptr && decoded(t, record_decode_user(a, value, out, &e), &e);
}

bool store_get_owner(struct store_txn *t, struct arena *a, struct str mc_service_id,
		     struct owner_record *out)
{
	struct error e;
	MDB_val key = { mc_service_id.len, (void *)mc_service_id.ptr };
	struct str value = get(t, a, DB_SERVICE_IDS, key);
	return value.ptr && decoded(t, record_decode_owner(value, out, &e), &e);
}

bool store_get_request(struct store_txn *t, struct arena *a, struct str home, struct request_id id,
		       struct request_record *out)
{
	char key[KEY_MAX];
	struct error e;
	if (!key_fits(t, home, request_key(&id)))
		return false;
	struct str value = get(t, a, DB_REQUESTS, join(key, home, request_key(&id)));
	return value.ptr && decoded(t, record_decode_request(a, value, out, &e), &e);
}

bool store_get_system(struct store_txn *t, struct arena *a, struct str mc_system_id,
		      struct system_record *out)
{
	struct error e;
	MDB_val key = { mc_system_id.len, (void *)mc_system_id.ptr };
	struct str value = get(t, a, DB_SYSTEMS, key);
	return value.ptr && decoded(t, record_decode_system(value, out, &e), &e);
}

void store_put_user(struct store_txn *t, struct arena *a, struct str home, struct str mc_id,
		    const struct user_record *r)
{
	char key[KEY_MAX];
	if (key_fits(t, home, mc_id))
		put(t, DB_USERS, join(key, home, mc_id), record_encode_user(a, r), 0);
}

void store_put_owner(struct store_txn *t, struct arena *a, struct str mc_service_id,
		     const struct owner_record *r)
{
	MDB_val key = { mc_service_id.len, (void *)mc_service_id.ptr };
	put(t, DB_SERVICE_IDS, key, record_encode_owner(a, r), 0);
}

void store_delete_owner(struct store_txn *t, struct str mc_service_id)
{
	MDB_val key = { mc_service_id.len, (void *)mc_service_id.ptr };
	int rc = txn_good(t) ? mdb_del(t->txn, t->store->dbi[DB_SERVICE_IDS], &key, NULL) : 0;
	if (rc != 0 && rc != MDB_NOTFOUND)
		txn_fail(t, rc, database_names[DB_SERVICE_IDS]);
}

void store_put_request(struct store_txn *t, struct arena *a, struct str home, struct request_id id,
		       const struct request_record *r)
{
	char key[KEY_MAX];
	if (key_fits(t, home, request_key(&id)))
		put(t, DB_REQUESTS, join(key, home, request_key(&id)), record_encode_request(a, r), 0);
}

void store_put_system(struct store_txn *t, struct arena *a, struct str mc_system_id,
		      const struct system_record *r)
{
	MDB_val key = { mc_system_id.len, (void *)mc_system_id.ptr };
	put(t, DB_SYSTEMS, key, record_encode_system(a, r), 0);
}

/* --- audit --- */

static uint64_t read_number(const MDB_val *key)
{
	uint64_t n = 0;
	for (size_t i = 0; i < key->mv_size && i < 8; i++)
		n = n << 8 | ((const uint8_t *)key->mv_data)[i];
	return n;
}

static MDB_val write_number(uint8_t buffer[8], uint64_t n)
{
	for (int i = 7; i >= 0; i--, n >>= 8)
		buffer[i] = (uint8_t)n;
	return (MDB_val){ 8, buffer };
}

/* The number of the last entry, 0 if there is none, and its digest. */
static uint64_t last_entry(struct store_txn *t, uint8_t digest[DIGEST_SIZE])
{
	MDB_cursor *cursor;
	MDB_val key, value;
	uint64_t number = 0;
	memset(digest, 0, DIGEST_SIZE);
	if (!txn_good(t))
		return 0;
	int rc = mdb_cursor_open(t->txn, t->store->dbi[DB_AUDIT], &cursor);
	if (rc == 0) {
		rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
		mdb_cursor_close(cursor);
	}
	if (rc == 0) {
		number = read_number(&key);
		if (crypto_sha256((struct str){ value.mv_data, value.mv_size }, digest) != OK)
			txn_fail_status(t, ERR_STORE, "SHA-256 failed");
	} else if (rc != MDB_NOTFOUND) {
		txn_fail(t, rc, database_names[DB_AUDIT]);
	}
	return number;
}

void store_append_audit(struct store_txn *t, struct arena *a, struct audit_record *r)
{
	uint8_t key[8];
	uint64_t number = last_entry(t, r->previous) + 1;
	put(t, DB_AUDIT, write_number(key, number), record_encode_audit(a, r), MDB_APPEND);
}

/* --- pages --- */

static bool open_cursor(struct store_txn *t, enum database db, MDB_cursor **cursor)
{
	int rc = txn_good(t) ? mdb_cursor_open(t->txn, t->store->dbi[db], cursor) : EINVAL;
	return rc == 0 || txn_fail(t, rc, database_names[db]);
}

/* Splits "home 00 MC ID"; false if it is not one. */
static bool split(struct arena *a, const MDB_val *key, struct user_key *out)
{
	struct str whole = arena_str(a, (struct str){ key->mv_data, key->mv_size });
	const char *nul = whole.ptr ? memchr(whole.ptr, 0, whole.len) : NULL;
	if (!nul)
		return false;
	out->home = (struct str){ whole.ptr, (size_t)(nul - whole.ptr) };
	out->mc_id = (struct str){ nul + 1, whole.len - out->home.len - 1 };
	return true;
}

/* The first key behind *after, or of the home system. */
static MDB_val start_of(char buffer[KEY_MAX], struct str home, const struct user_key *after)
{
	if (after->home.ptr)
		return join(buffer, after->home, after->mc_id);
	return home.ptr ? join(buffer, home, STR("")) : (MDB_val){ 1, "\1" };
}

void store_list_users(struct store_txn *t, struct arena *a, struct str home, struct user_key *after,
		      size_t max, bool *more, store_each_user *each, void *context)
{
	char buffer[KEY_MAX];
	MDB_cursor *cursor;
	MDB_val start = start_of(buffer, home, after), key = start, value;
	*more = false;
	if (!open_cursor(t, DB_USERS, &cursor))
		return;
	int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	for (size_t n = 0; rc == 0; rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		struct user_key at;
		struct user_record record;
		struct error e;
		struct str copy = arena_str(a, (struct str){ value.mv_data, value.mv_size });
		if (after->home.ptr && key.mv_size == start.mv_size &&
		    memcmp(key.mv_data, start.mv_data, key.mv_size) == 0)
			continue;
		if (!copy.ptr || !split(a, &key, &at)) {
			txn_fail_status(t, ERR_STORE, "out of memory, or a key that is none");
			break;
		}
		if (home.ptr && !str_eq(home, at.home))
			break;
		*more = n == max;
		if (*more || !decoded(t, record_decode_user(a, copy, &record, &e), &e))
			break;
		n++;
		*after = at;
		if (!each(context, at.home, at.mc_id, &record))
			break;
	}
	if (rc != 0 && rc != MDB_NOTFOUND)
		txn_fail(t, rc, database_names[DB_USERS]);
	mdb_cursor_close(cursor);
}

void store_list_systems(struct store_txn *t, struct arena *a, store_each_system *each,
			void *context)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	if (!open_cursor(t, DB_SYSTEMS, &cursor))
		return;
	int rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
	for (; rc == 0; rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		struct system_record record;
		struct error e;
		struct str id = arena_str(a, (struct str){ key.mv_data, key.mv_size });
		struct str copy = arena_str(a, (struct str){ value.mv_data, value.mv_size });
		if (!id.ptr || !copy.ptr) {
			txn_fail_status(t, ERR_MEMORY, "out of memory");
			break;
		}
		if (!decoded(t, record_decode_system(copy, &record, &e), &e) ||
		    !each(context, id, &record))
			break;
	}
	if (rc != 0 && rc != MDB_NOTFOUND)
		txn_fail(t, rc, database_names[DB_SYSTEMS]);
	mdb_cursor_close(cursor);
}

void store_list_audit(struct store_txn *t, struct arena *a, uint64_t *next, size_t max, bool *more,
		      store_each_audit *each, void *context)
{
	uint8_t buffer[8];
	MDB_cursor *cursor;
	MDB_val key = write_number(buffer, *next), value;
	*more = false;
	if (!open_cursor(t, DB_AUDIT, &cursor))
		return;
	int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	for (size_t n = 0; rc == 0; rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT), n++) {
		*more = n == max;
		if (*more)
			break;
		struct str copy = arena_str(a, (struct str){ value.mv_data, value.mv_size });
		if (!copy.ptr) {
			txn_fail_status(t, ERR_MEMORY, "out of memory");
			break;
		}
		*next = read_number(&key) + 1;
		if (!each(context, *next - 1, copy))
			break;
	}
	if (rc != 0 && rc != MDB_NOTFOUND)
		txn_fail(t, rc, database_names[DB_AUDIT]);
	mdb_cursor_close(cursor);
}
