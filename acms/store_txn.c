#include "acms/store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include "common/text.h"

/* --- errors --- */

enum status store_error(struct store *s, int rc, const char *doing, struct error *e)
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
	} else if (rc == MDB_INVALID || rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_VERSION_MISMATCH) {
		advice = ": restore it from a backup";
	} else if (rc == EIO) {
		advice = ": look at the disk (it may be full)";
	}
	if (status == ERR_STORE_FULL) /* which no reader gets */
		s->map_full = rc == MDB_MAP_FULL;
	if (rc == MDB_PANIC)
		s->broken = true;
	return error_set(e, status, "store %s: %s: %s%s", s->directory, doing, mdb_strerror(rc), advice);
}

bool txn_good(const struct store_txn *t)
{
	return t->error.status == OK && t->job.error.status == OK;
}

bool txn_fail(struct store_txn *t, int rc, const char *doing)
{
	if (t->error.status == OK)
		store_error(t->store, rc, doing, &t->error);
	return false;
}

void txn_fail_status(struct store_txn *t, enum status status, const char *what)
{
	if (t->error.status == OK)
		error_set(&t->error, status, "store %s: %s", t->store->directory, what);
}

/* --- jobs --- */

bool job_fail(struct store_txn *t, enum status status, const char *what)
{
	if (txn_good(t))
		error_set(&t->job.error, status, "store %s: %s", t->store->directory, what);
	return false;
}

static void say_unreadable(struct store_txn *t, enum database db, MDB_val key, const struct error *why, struct error *out)
{
	char shown[600];
	text_escape((struct str){ key.mv_data, key.mv_size }, shown, sizeof shown);
	error_set(out, ERR_STORE, "store %s: %s: the record \"%s\" cannot be read: %s", t->store->directory,
		  store_database_names[db], shown, why->text);
}

static void pass_over(struct store_txn *t, const struct error *e)
{
	struct store *s = t->store;
	t->job.passed_over++;
	if (s->damage)
		s->damage(s->damage_context, e->text);
}

bool txn_decoded(struct store_txn *t, enum database db, MDB_val key, enum status status, const struct error *e)
{
	if (status == OK || !txn_good(t))
		return status == OK;
	say_unreadable(t, db, key, e, &t->job.error);
	t->job.unreadable = true;
	return false;
}

bool txn_listed(struct store_txn *t, enum database db, MDB_val key, enum status status, const struct error *e)
{
	struct error said;
	if (status == OK)
		return true;
	say_unreadable(t, db, key, e, &said);
	pass_over(t, &said);
	return false;
}

bool store_pass_over(struct store_txn *t)
{
	if (t->error.status != OK || t->job.error.status == OK || !t->job.unreadable)
		return false;
	pass_over(t, &t->job.error);
	t->job.error.status = OK;
	t->job.unreadable = false;
	return true;
}

size_t store_passed_over(const struct store_txn *t)
{
	return t->job.passed_over;
}

enum status store_end_job(struct store_txn *t, struct error *e)
{
	struct job_state job = t->job;
	t->job = (struct job_state){ .wrote = false };
	if (job.error.status != OK && job.wrote && t->error.status == OK)
		t->error = job.error;
	if (job.error.status != OK && e)
		*e = job.error;
	return job.error.status;
}

void store_on_damage(struct store *s, store_damage *damage, void *context)
{
	s->damage = damage;
	s->damage_context = context;
}

void store_fail_memory(struct store_txn *t)
{
	job_fail(t, ERR_MEMORY, "out of memory");
}

enum status store_status(const struct store_txn *t)
{
	return t->error.status != OK ? t->error.status : t->job.error.status;
}

bool store_broken(const struct store *s)
{
	return s->broken;
}

/* --- transactions --- */

/* No transaction of this process is open. When this fails the old map is gone. */
static int resize_map(struct store *s, size_t bytes)
{
	int rc = mdb_env_set_mapsize(s->env, bytes);
	if (rc != 0)
		s->broken = true;
	return rc;
}

/*
 * Another process let the map grow. Read transactions are kept out meanwhile. A write transaction of ours cannot be open if
 * what that process wrote still does not fit: it would have begun after it, and come here.
 */
static int follow_growth(struct store *s)
{
	MDB_txn *probe;
	pthread_rwlock_wrlock(&s->map);
	int rc = s->broken ? MDB_PANIC : mdb_txn_begin(s->env, NULL, MDB_RDONLY, &probe);
	if (rc == MDB_MAP_RESIZED)
		rc = resize_map(s, 0);
	else if (rc == 0)
		mdb_txn_abort(probe); /* somebody else was here first */
	pthread_rwlock_unlock(&s->map);
	return rc;
}

/* 0: store->map is held for reading. */
static int begin_in_map(struct store *s, unsigned flags, MDB_txn **out)
{
	int dead;
	pthread_rwlock_rdlock(&s->map);
	int rc = s->broken ? MDB_PANIC : mdb_txn_begin(s->env, NULL, flags, out);
	if (rc == MDB_READERS_FULL && mdb_reader_check(s->env, &dead) == 0)
		rc = mdb_txn_begin(s->env, NULL, flags, out);
	if (rc != 0)
		pthread_rwlock_unlock(&s->map);
	return rc;
}

static enum status begin(struct store *s, unsigned flags, struct store_txn **out, struct error *e)
{
	struct store_txn *t = calloc(1, sizeof *t);
	int rc;
	if (!t)
		return error_set(e, ERR_MEMORY, "out of memory");
	t->store = s;
	t->reads = flags & MDB_RDONLY;
	while ((rc = begin_in_map(s, flags, &t->txn)) == MDB_MAP_RESIZED && (rc = follow_growth(s)) == 0) {
	}
	if (rc != 0) {
		free(t);
		return store_error(s, rc, "a transaction cannot begin", e);
	}
	if (!t->reads) /* of a writing thread nobody else changes the map */
		pthread_rwlock_unlock(&s->map);
	*out = t;
	return OK;
}

/* What there is of it but for LMDB's part. */
static void release(struct store_txn *t)
{
	if (t->reads)
		pthread_rwlock_unlock(&t->store->map);
	free(t);
}

enum status store_begin_write(struct store *s, struct store_txn **out, struct error *e)
{
	return begin(s, 0, out, e);
}

enum status store_begin_read(struct store *s, struct store_txn **out, struct error *e)
{
	return begin(s, MDB_RDONLY, out, e);
}

static void close_cursor(struct store_txn *t, enum database db)
{
	if (t->cursors[db])
		mdb_cursor_close(t->cursors[db]);
	t->cursors[db] = NULL;
}

static void close_cursors(struct store_txn *t)
{
	for (int db = 0; db < DATABASES; db++)
		close_cursor(t, (enum database)db);
}

enum status store_commit(struct store_txn *t, struct error *e)
{
	count_settle(t);
	audit_settle(t);
	enum status status = store_status(t);
	if (status != OK) {
		if (e)
			*e = t->error.status != OK ? t->error : t->job.error;
		store_abort(t);
		return status;
	}
	close_cursors(t);
	int rc = mdb_txn_commit(t->txn);
	if (rc != 0)
		status = store_error(t->store, rc, "commit", e);
	release(t);
	return status;
}

void store_abort(struct store_txn *t)
{
	if (!t)
		return;
	close_cursors(t);
	mdb_txn_abort(t->txn);
	release(t);
}

uint64_t store_snapshot(const struct store_txn *t)
{
	return mdb_txn_id(t->txn);
}

/* --- size --- */

void store_bound(struct store *s, uint64_t max_bytes)
{
	s->max_bytes = max_bytes;
}

static enum status at_bound(const struct store *s, struct error *e)
{
	return error_set(e, ERR_STORE_FULL, "store %s: store.max_size (%llu bytes) is reached: raise it and restart, or "
			 "find out who fills it", s->directory, (unsigned long long)s->max_bytes);
}

/* Pages that writers use again: what mdb_stat -f tells. Those that a reader may still look at count, too. */
static uint64_t free_pages(struct store *s)
{
	enum { FREE_DB = 0 };
	struct store_txn *t;
	MDB_cursor *cursor;
	MDB_val key, value;
	uint64_t pages = 0;
	if (store_begin_read(s, &t, NULL) != OK)
		return 0;
	if (mdb_cursor_open(t->txn, FREE_DB, &cursor) == 0) {
		while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
			size_t n = 0;
			if (value.mv_size >= sizeof n)
				memcpy(&n, value.mv_data, sizeof n);
			pages += n;
		}
		mdb_cursor_close(cursor);
	}
	store_abort(t);
	return pages;
}

bool store_is_full(struct store *s, struct error *e)
{
	MDB_envinfo info;
	MDB_stat stat;
	if (s->max_bytes == 0 || mdb_env_info(s->env, &info) != 0 || mdb_env_stat(s->env, &stat) != 0)
		return false;
	uint64_t used = ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
	if (used > s->max_bytes) /* seldom, so that counting is */
		used -= free_pages(s) * stat.ms_psize;
	if (used <= s->max_bytes)
		return false;
	at_bound(s, e);
	return true;
}

/* The next size of the map, in whole pages. */
static uint64_t larger_map(const struct store *s, uint64_t now)
{
	enum { PAGE = 65536, RESERVE_MIN = 1 << 20 };
	uint64_t reserve = s->max_bytes / 16 > RESERVE_MIN ? s->max_bytes / 16 : RESERVE_MIN;
	uint64_t most = (s->max_bytes + reserve) / PAGE * PAGE;
	return s->max_bytes == 0 || now * 2 < most ? now * 2 : most;
}

enum status store_grow(struct store *s, struct error *e)
{
	MDB_envinfo info;
	int dead;
	mdb_reader_check(s->env, &dead); /* one that was killed keeps pages from being used again */
	if (!s->map_full)
		return error_set(e, ERR_STORE_FULL, "store %s: the disk is full: free space on it",
				 s->directory);
	int rc = mdb_env_info(s->env, &info);
	uint64_t larger = rc == 0 ? larger_map(s, info.me_mapsize) : 0;
	if (rc == 0 && larger <= info.me_mapsize)
		return at_bound(s, e);
	pthread_rwlock_wrlock(&s->map);
	if (rc == 0)
		rc = resize_map(s, larger);
	pthread_rwlock_unlock(&s->map);
	return rc == 0 ? OK : store_error(s, rc, "cannot grow", e);
}

/* --- keys --- */

MDB_val key_join(char *buffer, struct str first, struct str rest)
{
	memcpy(buffer, first.ptr, first.len);
	buffer[first.len] = '\0';
	if (rest.len)
		memcpy(buffer + first.len + 1, rest.ptr, rest.len);
	return (MDB_val){ first.len + 1 + rest.len, buffer };
}

bool key_is_possible(struct str first, struct str rest)
{
	return first.ptr && first.len <= MC_SYSTEM_ID_MAX && rest.len <= MC_ID_MAX;
}

bool key_fits(struct store_txn *t, struct str first, struct str rest)
{
	return key_is_possible(first, rest) || job_fail(t, ERR_INPUT, "a key is too long");
}

struct str key_of_request(const struct request_id *id)
{
	return (struct str){ (const char *)id->bytes, REQUEST_ID_SIZE };
}

MDB_val key_of_str(struct str s)
{
	return (MDB_val){ s.len, (void *)s.ptr };
}

MDB_val key_of_number(uint8_t buffer[8], uint64_t n)
{
	for (int i = 7; i >= 0; i--, n >>= 8)
		buffer[i] = (uint8_t)n;
	return (MDB_val){ 8, buffer };
}

uint64_t key_number(const MDB_val *key)
{
	uint64_t n = 0;
	for (size_t i = 0; i < key->mv_size && i < 8; i++)
		n = n << 8 | ((const uint8_t *)key->mv_data)[i];
	return n;
}

/* --- values --- */

/*
 * One cursor for each database as long as the transaction: LMDB looks on the page where it is before it starts at the
 * root, and what is asked for and written mostly comes in order. NULL: the transaction failed.
 */
static MDB_cursor *cursor_of(struct store_txn *t, enum database db)
{
	if (!t->cursors[db]) {
		int rc = mdb_cursor_open(t->txn, t->store->dbi[db], &t->cursors[db]);
		if (rc != 0) {
			t->cursors[db] = NULL;
			txn_fail(t, rc, store_database_names[db]);
		}
	}
	return t->cursors[db];
}

static struct str str_of_key(MDB_val key)
{
	return (struct str){ key.mv_data, key.mv_size };
}

/*
 * What is set up is mostly new, one after the other where nothing was: having found nothing between two keys, we need not
 * search between them again.
 */
static bool is_in_gap(const struct gap *g, enum database db, struct str key)
{
	return g->known && g->db == db && str_cmp((struct str){ g->from, g->from_length }, key) <= 0 &&
	       (g->open || str_cmp(key, str_of_key(g->to)) < 0);
}

static void note_gap(struct gap *g, enum database db, struct str from, const MDB_val *to)
{
	g->known = from.len <= sizeof g->from;
	if (!g->known)
		return;
	g->db = db;
	g->from_length = from.len;
	memcpy(g->from, from.ptr, from.len);
	g->open = !to;
	if (to)
		g->to = *to;
}

/* LMDB refuses others, and then the whole transaction fails. */
static bool is_key(struct store_txn *t, MDB_val key)
{
	return (key.mv_size > 0 && key.mv_size <= KEY_MAX) || job_fail(t, ERR_INPUT, "a key is empty or too long");
}

/* False: there is none, or an error. The value stays in the map. */
static bool find(struct store_txn *t, enum database db, MDB_val key, MDB_val *value)
{
	MDB_val found = key;
	if (key.mv_size == 0 || key.mv_size > KEY_MAX)
		return false;
	if (!txn_good(t) || !t->store->has[db] || is_in_gap(&t->gap, db, str_of_key(key)))
		return false;
	MDB_cursor *cursor = cursor_of(t, db);
	if (!cursor)
		return false;
	int rc = mdb_cursor_get(cursor, &found, value, MDB_SET_RANGE);
	if (rc == MDB_NOTFOUND || (rc == 0 && !str_eq(str_of_key(found), str_of_key(key)))) {
		note_gap(&t->gap, db, str_of_key(key), rc == 0 ? &found : NULL);
		return false;
	}
	return rc == 0 || txn_fail(t, rc, store_database_names[db]);
}

size_t txn_length(struct store_txn *t, enum database db, MDB_val key)
{
	MDB_val v;
	return find(t, db, key, &v) ? v.mv_size : SIZE_MAX;
}

struct str txn_get(struct store_txn *t, struct arena *a, enum database db, MDB_val key)
{
	MDB_val v;
	if (!find(t, db, key, &v))
		return STR_NONE;
	struct str copy = arena_str(a, (struct str){ v.mv_data, v.mv_size });
	if (!copy.ptr)
		store_fail_memory(t);
	return copy;
}

/* False: it is not put; MDB_KEYEXIST is what is asked for with MDB_NOOVERWRITE, and no error. */
static bool put(struct store_txn *t, enum database db, MDB_val key, struct str value, unsigned flags)
{
	MDB_val v = { value.len, (void *)value.ptr };
	if (!value.ptr)
		job_fail(t, ERR_MEMORY, "a record cannot be made: out of memory, or no reader would accept it");
	t->gap.known = false;
	MDB_cursor *cursor = is_key(t, key) && txn_good(t) ? cursor_of(t, db) : NULL;
	if (!cursor)
		return false;
	t->job.wrote = true;
	int rc = mdb_cursor_put(cursor, &key, &v, flags);
	if (rc != 0 && !(rc == MDB_KEYEXIST && flags & MDB_NOOVERWRITE))
		txn_fail(t, rc, store_database_names[db]);
	return rc == 0;
}

void txn_put(struct store_txn *t, enum database db, MDB_val key, struct str value, unsigned flags)
{
	put(t, db, key, value, flags);
}

bool txn_add(struct store_txn *t, enum database db, MDB_val key, struct str value)
{
	return put(t, db, key, value, MDB_NOOVERWRITE);
}

bool txn_delete(struct store_txn *t, enum database db, MDB_val key, MDB_val *value)
{
	t->gap.known = false;
	close_cursor(t, db); /* nothing is to hang on where LMDB leaves it when pages are merged */
	if (!is_key(t, key) || !txn_good(t))
		return false;
	t->job.wrote = true;
	int rc = mdb_del(t->txn, t->store->dbi[db], &key, value);
	if (rc != 0 && rc != MDB_NOTFOUND)
		txn_fail(t, rc, store_database_names[db]);
	return rc == 0;
}

struct str txn_get_meta(struct store_txn *t, struct arena *a, const char *key)
{
	return txn_get(t, a, DB_META, key_of_str(str_of(key)));
}

void txn_put_meta(struct store_txn *t, const char *key, struct str value)
{
	txn_put(t, DB_META, key_of_str(str_of(key)), value, 0);
}
