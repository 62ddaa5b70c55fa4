#include "acms/store_internal.h"

/* Lists: a walk over one database, with memory for one record at a time. */

struct walk {
	struct store_txn *txn;
	enum database db;
	MDB_cursor *cursor; /* NULL: there is nothing to walk over */
	struct arena *scratch;
	MDB_val start;      /* mv_size 0: at the first record */
	bool skip;          /* the record at start itself, if it is there */
	bool begun;
	MDB_val key, value; /* of the record at hand, in the map */
	int rc;
};

static struct walk walk_from(struct store_txn *t, enum database db, MDB_val start, bool skip)
{
	struct walk w = { .txn = t, .db = db, .start = start, .skip = skip, .rc = MDB_NOTFOUND };
	if (!txn_good(t) || !t->store->has[db])
		return w;
	w.scratch = arena_new(0);
	w.rc = w.scratch ? mdb_cursor_open(t->txn, t->store->dbi[db], &w.cursor) : 0;
	if (!w.scratch)
		store_fail_memory(t);
	return w;
}

/* True: there is a record at hand. */
static bool walk_next(struct walk *w)
{
	if (w->rc != 0 || !txn_good(w->txn))
		return false;
	arena_reset(w->scratch);
	if (w->begun) {
		w->rc = mdb_cursor_get(w->cursor, &w->key, &w->value, MDB_NEXT);
		return w->rc == 0;
	}
	w->begun = true;
	w->key = w->start;
	w->rc = mdb_cursor_get(w->cursor, &w->key, &w->value, w->start.mv_size ? MDB_SET_RANGE : MDB_FIRST);
	if (w->rc == 0 && w->skip && w->key.mv_size == w->start.mv_size &&
	    memcmp(w->key.mv_data, w->start.mv_data, w->start.mv_size) == 0)
		w->rc = mdb_cursor_get(w->cursor, &w->key, &w->value, MDB_NEXT);
	return w->rc == 0;
}

/* True: nothing went wrong. */
static bool walk_end(struct walk *w)
{
	if (w->rc != 0 && w->rc != MDB_NOTFOUND)
		txn_fail(w->txn, w->rc, store_database_names[w->db]);
	if (w->cursor)
		mdb_cursor_close(w->cursor);
	arena_free(w->scratch);
	return txn_good(w->txn);
}

static struct str value_of(const struct walk *w)
{
	return (struct str){ w->value.mv_data, w->value.mv_size };
}

/* Whether the record at hand was decoded: if not, the list goes on without it. */
static bool listed(struct walk *w, enum status status, const struct error *e)
{
	return txn_listed(w->txn, w->db, w->key, status, e);
}

static bool no_key(struct walk *w)
{
	struct error e = { ERR_STORE, "a key that is none" };
	listed(w, ERR_STORE, &e);
	return false;
}

/* "home 00 MC ID" */
static bool split_user(struct walk *w, MDB_val whole, struct user_key *out)
{
	const char *start = whole.mv_data, *nul = memchr(start, 0, whole.mv_size);
	if (!nul)
		return no_key(w);
	out->home = (struct str){ start, (size_t)(nul - start) };
	out->mc_id = (struct str){ nul + 1, whole.mv_size - out->home.len - 1 };
	return true;
}

/* "system 00 request ID" */
static bool split_request(struct walk *w, struct str *system, struct request_id *id)
{
	const char *start = w->key.mv_data;
	size_t n = w->key.mv_size;
	if (n < REQUEST_ID_SIZE + 2 || start[n - REQUEST_ID_SIZE - 1] != 0)
		return no_key(w);
	*system = (struct str){ start, n - REQUEST_ID_SIZE - 1 };
	memcpy(id->bytes, start + n - REQUEST_ID_SIZE, REQUEST_ID_SIZE);
	return true;
}

/*
 * The first key behind first 00 rest, or of the system `only`, or of all. Keys are never longer than they can be, so what
 * comes behind one that is too long also comes behind what a byte more than they have says of it.
 */
static MDB_val start_of(char *buffer, struct str only, struct str first, struct str rest)
{
	if (!first.ptr && !only.ptr)
		return (MDB_val){ 0, NULL };
	if (!first.ptr)
		first = only;
	if (rest.len > MC_ID_MAX)
		rest.len = MC_ID_MAX + 1;
	if (first.len > MC_SYSTEM_ID_MAX)
		return key_join(buffer, (struct str){ first.ptr, MC_SYSTEM_ID_MAX + 1 }, STR(""));
	return key_join(buffer, first, rest);
}

/* --- users --- */

/* Of one home system or all, from start on, without `without`, before mc_id `to`. */
static bool list_users(struct walk *w, struct str home, struct str to, store_each_user *each, void *context)
{
	bool go = true;
	while (go && walk_next(w)) {
		struct user_key at;
		struct user_record record;
		struct error e;
		if (!split_user(w, w->key, &at))
			continue;
		if ((home.ptr && !str_eq(home, at.home)) || (to.ptr && str_cmp(at.mc_id, to) >= 0))
			break;
		if (listed(w, record_decode_user(w->scratch, value_of(w), &record, &e), &e))
			go = each(context, at.home, at.mc_id, &record);
	}
	return walk_end(w) && go;
}

static enum database users_of(enum store_users which)
{
	return which == STORE_BELIEVED ? DB_BELIEVED : DB_USERS;
}

bool store_list_users(struct store_txn *t, enum store_users which, struct str home,
		      const struct user_key *after, store_each_user *each, void *context)
{
	char buffer[KEY_MAX];
	struct user_key behind = after ? *after : (struct user_key){ .home = STR_NONE };
	MDB_val start = start_of(buffer, home, behind.home, behind.mc_id);
	struct walk w = walk_from(t, users_of(which), start, behind.home.ptr != NULL);
	return list_users(&w, home, STR_NONE, each, context);
}

bool store_range_users(struct store_txn *t, enum store_users which, struct str home, struct str from,
		       struct str to, store_each_user *each, void *context)
{
	char buffer[KEY_MAX];
	struct walk w = walk_from(t, users_of(which), start_of(buffer, home, home, from), false);
	return list_users(&w, home, to, each, context);
}

bool store_list_expired(struct store_txn *t, enum store_users which, uint64_t now_ms,
			store_each_expired *each, void *context)
{
	struct walk w = walk_from(t, which == STORE_BELIEVED ? DB_BELIEVED_EXPIRIES : DB_EXPIRIES,
				  (MDB_val){ 0, NULL }, false);
	bool go = true;
	while (go && walk_next(&w)) {
		struct user_key user;
		if (key_number(&w.key) > now_ms)
			break;
		if (split_user(&w, w.value, &user))
			go = each(context, user.home, user.mc_id, key_number(&w.key));
	}
	return walk_end(&w) && go;
}

/* --- systems, the audit log --- */

bool store_list_systems(struct store_txn *t, store_each_system *each, void *context)
{
	struct walk w = walk_from(t, DB_SYSTEMS, (MDB_val){ 0, NULL }, false);
	bool go = true;
	while (go && walk_next(&w)) {
		struct system_record record;
		struct error e;
		if (listed(&w, record_decode_system(value_of(&w), &record, &e), &e))
			go = each(context, (struct str){ w.key.mv_data, w.key.mv_size }, &record);
	}
	return walk_end(&w) && go;
}

bool store_list_audit(struct store_txn *t, uint64_t from, store_each_audit *each, void *context)
{
	uint8_t buffer[8];
	struct walk w = walk_from(t, DB_AUDIT, key_of_number(buffer, from), false);
	bool go = true;
	while (go && walk_next(&w))
		go = each(context, key_number(&w.key), value_of(&w));
	return walk_end(&w) && go;
}

/* --- requests --- */

static struct walk walk_requests(struct store_txn *t, enum database db, char *buffer, struct str only,
				 const struct str *after_system, const struct request_id *after)
{
	bool behind = after_system && after_system->ptr && after;
	MDB_val start = start_of(buffer, only, behind ? *after_system : STR_NONE,
				 behind ? key_of_request(after) : STR_NONE);
	return walk_from(t, db, start, behind);
}

bool store_list_pending(struct store_txn *t, struct str home, const struct str *after_home,
			const struct request_id *after, store_each_pending *each, void *context)
{
	char buffer[KEY_MAX];
	struct walk w = walk_requests(t, DB_PENDING, buffer, home, after_home, after);
	bool go = true;
	while (go && walk_next(&w)) {
		struct str of;
		struct request_id id;
		struct pending_record record;
		struct error e;
		if (!split_request(&w, &of, &id))
			continue;
		if (home.ptr && !str_eq(home, of))
			break;
		if (!listed(&w, record_decode_pending(w.scratch, value_of(&w), &record, &e), &e))
			continue;
		record.setup.request_id = id;
		go = each(context, of, id, &record);
	}
	return walk_end(&w) && go;
}

bool store_list_outbox(struct store_txn *t, store_each_outbox *each, void *context)
{
	struct walk w = walk_from(t, DB_OUTBOX, (MDB_val){ 0, NULL }, false);
	bool go = true;
	while (go && walk_next(&w)) {
		struct str target;
		struct request_id id;
		struct outbox_record record;
		struct error e;
		if (split_request(&w, &target, &id) &&
		    listed(&w, record_decode_outbox(value_of(&w), &record, &e), &e))
			go = each(context, target, id, &record);
	}
	return walk_end(&w) && go;
}

bool store_list_asked(struct store_txn *t, const struct request_id *after, uint64_t since_ms,
		      store_each_asked *each, void *context)
{
	MDB_val start = after ? key_of_str(key_of_request(after)) : (MDB_val){ 0, NULL };
	struct walk w = walk_from(t, DB_ASKED, start, after != NULL);
	bool go = true;
	while (go && walk_next(&w)) {
		struct asked_record record;
		struct request_id id;
		struct error e;
		if (w.key.mv_size != REQUEST_ID_SIZE && !no_key(&w))
			continue;
		memcpy(id.bytes, w.key.mv_data, REQUEST_ID_SIZE);
		bool later = record_is_since(value_of(&w), since_ms);
		if (!later && !listed(&w, record_decode_asked(w.scratch, value_of(&w), &record, &e), &e))
			continue;
		record.setup.request_id = id;
		go = each(context, id, later ? NULL : &record);
	}
	return walk_end(&w) && go;
}

bool store_list_requests(struct store_txn *t, const struct str *after_home, const struct request_id *after,
			 uint64_t since_ms, store_each_request *each, void *context)
{
	char buffer[KEY_MAX];
	struct walk w = walk_requests(t, DB_REQUESTS, buffer, STR_NONE, after_home, after);
	bool go = true;
	while (go && walk_next(&w)) {
		struct str home;
		struct request_id id;
		struct request_record record;
		struct error e;
		if (!split_request(&w, &home, &id))
			continue;
		bool later = record_is_since(value_of(&w), since_ms);
		if (later || listed(&w, record_decode_request(w.scratch, value_of(&w), &record, &e), &e))
			go = each(context, home, id, later ? NULL : &record);
	}
	return walk_end(&w) && go;
}
