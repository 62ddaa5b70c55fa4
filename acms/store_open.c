#include "acms/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_READERS = 512 };

const char *const store_database_names[DATABASES] = {
	[DB_META] = "meta",
	[DB_USERS] = "users",
	[DB_SERVICE_IDS] = "service_ids",
	[DB_REQUESTS] = "requests",
	[DB_SYSTEMS] = "systems",
	[DB_AUDIT] = "audit",
	[DB_EXPIRIES] = "expiries",
	[DB_PENDING] = "pending",
	[DB_ASKED] = "asked",
	[DB_OUTBOX] = "outbox",
	[DB_ANSWERS] = "answers",
	[DB_BELIEVED] = "believed",
	[DB_BELIEVED_EXPIRIES] = "believed_expiries",
};

/* The schema version that a database came with. */
static uint64_t since(enum database db)
{
	return db >= DB_EXPIRIES ? 2 : 1;
}

struct str store_mc_system_id(const struct store *s)
{
	return str_of(s->mc_system_id);
}

uint64_t store_version(const struct store *s)
{
	return s->version;
}

bool store_upgraded(const struct store *s)
{
	return s->upgraded;
}

/* --- the environment --- */

/* One server at a time; readers and imports do not ask for it. */
static enum status take_lock(struct store *s, const char *advice, struct error *e)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/acms.lock", s->directory);
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return error_set(e, ERR_STORE, "store %s: acms.lock: %s: its owner must be the user that "
				 "acms runs as", s->directory, strerror(errno));
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return OK;
	return error_set(e, ERR_BUSY, "store %s: another acms has it: %s", s->directory, advice);
}

static void drop_lock(struct store *s)
{
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	s->lock_fd = -1;
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

static int open_lmdb(struct store *s, uint64_t map_bytes, enum store_mode mode)
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

static void close_lmdb(struct store *s)
{
	if (s->env)
		mdb_env_close(s->env);
	s->env = NULL;
}

static enum status open_environment(struct store *s, uint64_t map_bytes, enum store_mode mode, struct error *e)
{
	enum status status = file_check(s, e);
	int rc = status == OK ? open_lmdb(s, map_bytes, mode) : 0;
	if (status == OK && rc == 0 && file_is_short(s)) {
		close_lmdb(s);
		status = file_check_short(s, e);
		rc = status == OK ? open_lmdb(s, map_bytes, mode) : 0;
	}
	if (rc == ENOENT)
		return error_set(e, ERR_NOT_FOUND, "store %s: there is no IdM store of acms in it", s->directory);
	return rc == 0 ? status : store_error(s, rc, "cannot be opened", e);
}

/* An LMDB environment that has content but is none of ours is left alone. */
static bool is_foreign(MDB_txn *txn)
{
	MDB_dbi main_db;
	MDB_stat stat;
	return mdb_dbi_open(txn, NULL, 0, &main_db) == 0 && mdb_stat(txn, main_db, &stat) == 0 &&
	       stat.ms_entries > 0;
}

/* --- the schema --- */

static int open_database(struct store *s, struct store_txn *t, enum database db, bool create)
{
	bool index = db == DB_EXPIRIES || db == DB_BELIEVED_EXPIRIES;
	unsigned flags = create ? MDB_CREATE | (index ? MDB_DUPSORT : 0) : 0;
	int rc = mdb_dbi_open(t->txn, store_database_names[db], flags, &s->dbi[db]);
	s->has[db] = rc == 0;
	return rc;
}

/* Those that came with version `from` or later, up to version `to`. */
static enum status open_databases(struct store *s, struct store_txn *t, uint64_t from, uint64_t to,
				  bool create, struct error *e)
{
	for (int i = 0; i < DATABASES; i++) {
		enum database db = (enum database)i;
		if (since(db) < from || since(db) > to)
			continue;
		int rc = open_database(s, t, db, create);
		if (rc != 0)
			return store_error(s, rc, store_database_names[db], e);
	}
	return OK;
}

static enum status check_meta(struct store *s, struct store_txn *t, struct arena *a,
			      struct str mc_system_id, uint64_t *version, struct error *e)
{
	struct str id;
	enum status status = record_decode_uint(txn_get_meta(t, a, "schema"), version, e);
	if (status != OK)
		return error_prefix(e, ERR_STORE, "store %s", s->directory);
	if (*version > SCHEMA_VERSION)
		return error_set(e, ERR_STORE_VERSION,
				 "store %s: has schema version %llu, this acms knows %d: use the newer acms",
				 s->directory, (unsigned long long)*version, SCHEMA_VERSION);
	if (*version == 0)
		return error_set(e, ERR_STORE, "store %s: schema version 0", s->directory);
	status = record_decode_text(txn_get_meta(t, a, "mc_system_id"), &id, e);
	if (status != OK || id.len > MC_SYSTEM_ID_MAX)
		return error_prefix(e, ERR_STORE, "store %s", s->directory);
	if (mc_system_id.ptr && !str_eq(id, mc_system_id))
		return error_set(e, ERR_STORE, "store %s: belongs to MC system %.*s, not to %.*s",
				 s->directory, STR_ARG(id), STR_ARG(mc_system_id));
	memcpy(s->mc_system_id, id.ptr, id.len);
	return OK;
}

static enum status make_content(struct store *s, struct store_txn *t, struct arena *a,
				struct str mc_system_id, struct error *e)
{
	enum status status = open_databases(s, t, 1, SCHEMA_VERSION, true, e);
	if (status != OK)
		return status;
	s->version = SCHEMA_VERSION;
	txn_put_meta(t, "schema", record_encode_uint(a, SCHEMA_VERSION));
	txn_put_meta(t, "mc_system_id", record_encode_text(a, mc_system_id));
	audit_put_head(t, &(struct audit_head){ .number = 0 });
	memcpy(s->mc_system_id, mc_system_id.ptr, mc_system_id.len);
	return OK;
}

/*
 * One step for each version, all in the transaction that opens the store: what dies on the way leaves the old one.
 * An older acms that serves from it would go on writing as it knows, so it must not be there.
 */
static enum status upgrade(struct store *s, struct store_txn *t, struct arena *a, uint64_t version,
			   struct error *e)
{
	struct audit_head head;
	if (s->lock_fd < 0) {
		enum status status = take_lock(s, "it is older than this one: restart it first", e);
		if (status != OK)
			return status;
	}
	if (version < 2) {
		enum status status = open_databases(s, t, 2, 2, true, e);
		if (status != OK)
			return status;
		audit_last(t, &head);
		audit_put_head(t, &head);
	}
	txn_put_meta(t, "schema", record_encode_uint(a, SCHEMA_VERSION));
	s->upgraded = true;
	s->version = SCHEMA_VERSION;
	return OK;
}

/* What it says of itself comes first: a newer version's may have other databases. */
static enum status open_content(struct store *s, struct store_txn *t, struct arena *a,
				struct str mc_system_id, enum store_mode mode, struct error *e)
{
	uint64_t version = 0;
	int rc = open_database(s, t, DB_META, false);
	if (rc == MDB_NOTFOUND && (mode == STORE_READ || is_foreign(t->txn)))
		return error_set(e, ERR_NOT_FOUND, "store %s: there is no IdM store of acms in it",
				 s->directory);
	if (rc == MDB_NOTFOUND)
		return make_content(s, t, a, mc_system_id, e);
	if (rc != 0)
		return store_error(s, rc, store_database_names[DB_META], e);
	enum status status = check_meta(s, t, a, mc_system_id, &version, e);
	s->version = version;
	if (status == OK)
		status = open_databases(s, t, 1, version, false, e);
	if (status == OK && version < SCHEMA_VERSION && mode != STORE_READ)
		status = upgrade(s, t, a, version, e);
	return status;
}

static enum status open_schema(struct store *s, struct str mc_system_id, enum store_mode mode,
			       struct error *e)
{
	struct store_txn *t;
	struct arena *a = arena_new(0);
	enum status status = !a ? error_set(e, ERR_MEMORY, "out of memory") :
			     mode == STORE_READ ? store_begin_read(s, &t, e) : store_begin_write(s, &t, e);
	if (status != OK) {
		arena_free(a);
		return status;
	}
	s->upgraded = false;
	status = open_content(s, t, a, mc_system_id, mode, e);
	if (status == OK)
		status = store_commit(t, e); /* of a read, too: it keeps the handles */
	else
		store_abort(t);
	arena_free(a);
	return status;
}

/* An upgrade may not find room in a map that is just as large as what is in it. */
static enum status open_growing(struct store *s, struct str mc_system_id, enum store_mode mode,
				struct error *e)
{
	enum status status = open_schema(s, mc_system_id, mode, e);
	if (status == ERR_STORE_FULL && s->map_full && store_grow(s, e) == OK)
		status = open_schema(s, mc_system_id, mode, e);
	if (mode != STORE_SERVE)
		drop_lock(s);
	return status;
}

/* Readers that come one after the other must not keep the writer from growing the map. */
static void init_map_lock(struct store *s)
{
	pthread_rwlockattr_t writer_first;
	pthread_rwlockattr_init(&writer_first);
	pthread_rwlockattr_setkind_np(&writer_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&s->map, &writer_first);
	pthread_rwlockattr_destroy(&writer_first);
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
	struct file_user was = { .changed = false };
	init_map_lock(s);
	enum status status = check_directory(s, e);
	if (status == OK)
		status = file_become_owner(s, &was, e);
	if (status == OK && mode == STORE_SERVE)
		status = take_lock(s, "stop that one, or give this one a directory of its own", e);
	if (status == OK)
		status = open_environment(s, map_bytes, mode, e);
	if (status == OK)
		status = open_growing(s, mc_system_id, mode, e);
	file_become_again(&was);
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
	close_lmdb(s);
	pthread_rwlock_destroy(&s->map);
	drop_lock(s);
	free(s->directory);
	free(s);
}
