#include "tests/bench/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const db_names[M_DATABASES] = { "meta", "users", "service_ids", "requests", "systems", "audit",
						   "asked", "outbox", "answers", "believed" };
static const char *const value_names[MODEL_VALUES] = { "user", "owner", "request", "system", "audit", "head", "asked",
						       "outbox", "answer", "believed", "ask_audit", "answer_audit" };

struct model_size model_sizes[MODEL_VALUES] = {
	[V_USER] = { 170, 0 }, [V_OWNER] = { 50, 0 }, [V_REQUEST] = { 60, 30 }, [V_SYSTEM] = { 6, 0 },
	[V_AUDIT] = { 250, 30 }, [V_HEAD] = { 37, 0 }, [V_ASKED] = { 250, 190 }, [V_OUTBOX] = { 19, 0 },
	[V_ANSWER] = { 800, 220 }, [V_BELIEVED] = { 170, 0 }, [V_ASK_AUDIT] = { 250, 30 }, [V_ANSWER_AUDIT] = { 250, 30 },
};

static void check(int rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "lmdb: %s: %s\n", what, mdb_strerror(rc));
	exit(1);
}

bool model_take_sizes(char *text)
{
	for (char *t = strtok(text, ","); t; t = strtok(NULL, ",")) {
		char name[32];
		double base, each;
		int i = 0;
		if (sscanf(t, "%31[a-z_]=%lf:%lf", name, &base, &each) != 3)
			return false;
		while (i < MODEL_VALUES && strcmp(name, value_names[i]) != 0)
			i++;
		if (i == MODEL_VALUES)
			return false;
		model_sizes[i] = (struct model_size){ base, each };
	}
	return true;
}

void model_open(struct model *m, const char *directory, unsigned flags)
{
	MDB_txn *t;
	MDB_stat stat;
	check(mdb_env_create(&m->env), "create");
	check(mdb_env_set_maxdbs(m->env, M_DATABASES), "maxdbs");
	check(mdb_env_set_mapsize(m->env, (size_t)64 << 30), "mapsize");
	check(mdb_env_open(m->env, directory, flags, 0600), directory);
	check(mdb_txn_begin(m->env, NULL, flags & MDB_RDONLY, &t), "begin");
	for (int i = 0; i < M_DATABASES; i++)
		check(mdb_dbi_open(t, db_names[i], flags & MDB_RDONLY ? 0 : MDB_CREATE, &m->dbi[i]), db_names[i]);
	check(mdb_stat(t, m->dbi[M_AUDIT], &stat), "stat");
	m->audit = stat.ms_entries;
	check(mdb_txn_commit(t), "commit");
}

void model_close(struct model *m)
{
	mdb_env_close(m->env);
}

MDB_txn *model_begin(struct model *m)
{
	MDB_txn *t;
	check(mdb_txn_begin(m->env, NULL, 0, &t), "begin");
	return t;
}

void model_commit(MDB_txn *t)
{
	check(mdb_txn_commit(t), "commit");
}

/* --- entries --- */

struct entry {
	char key[160];
	size_t length;
};

static int compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	size_t n = x->length < y->length ? x->length : y->length;
	int c = memcmp(x->key, y->key, n);
	return c ? c : (x->length > y->length) - (x->length < y->length);
}

static void put(struct model *m, MDB_txn *t, enum model_db db, const void *key, size_t key_length,
		enum model_value kind, uint64_t users, unsigned flags)
{
	static const char zeros[1 << 20];
	size_t size = (size_t)(model_sizes[kind].base + model_sizes[kind].each * (double)users);
	MDB_val k = { key_length, (void *)key }, v = { size < sizeof zeros ? size : sizeof zeros, (void *)zeros };
	check(mdb_put(t, m->dbi[db], &k, &v, flags), db_names[db]);
}

static void put_sorted(struct model *m, MDB_txn *t, enum model_db db, struct entry *e, size_t n, enum model_value kind)
{
	qsort(e, n, sizeof *e, compare);
	for (size_t i = 0; i < n; i++)
		put(m, t, db, e[i].key, e[i].length, kind, 1, 0);
}

static struct entry *entries_new(size_t n)
{
	struct entry *e = malloc(n * sizeof *e);
	if (!e)
		abort();
	return e;
}

static void user_key(struct entry *e, const char *system, const char *mc_id)
{
	size_t n = strlen(system);
	memcpy(e->key, system, n + 1);
	memcpy(e->key + n + 1, mc_id, strlen(mc_id));
	e->length = n + 1 + strlen(mc_id);
}

/* Ordered in time. prefix: of a system, or NULL. suffix likewise. */
static void request_key(struct entry *e, const char *prefix, uint64_t request, const char *suffix)
{
	size_t n = 0;
	if (prefix) {
		n = strlen(prefix) + 1;
		memcpy(e->key, prefix, n);
	}
	memset(e->key + n, 7, 16);
	for (int i = 0; i < 8; i++)
		e->key[n + 1 + (size_t)i] = (char)(request >> (56 - 8 * i));
	n += 16;
	if (suffix) {
		memcpy(e->key + n, suffix, strlen(suffix));
		n += strlen(suffix);
	}
	e->length = n;
}

static void put_audit(struct model *m, MDB_txn *t, enum model_value kind, uint64_t users)
{
	uint8_t key[8];
	m->audit++;
	for (int i = 0; i < 8; i++)
		key[i] = (uint8_t)(m->audit >> (56 - 8 * i));
	put(m, t, M_AUDIT, key, sizeof key, kind, users, MDB_APPEND);
	put(m, t, M_META, "audit-head", 10, V_HEAD, 0, 0);
}

static void put_users(struct model *m, MDB_txn *t, enum model_db db, const char *system, uint64_t first, uint64_t n,
		      enum model_value kind)
{
	struct entry *e = entries_new(n);
	for (uint64_t i = 0; i < n; i++) {
		struct bench_user u;
		bench_user(&u, first + i, m->scattered);
		user_key(&e[i], system, u.mc_id);
	}
	put_sorted(m, t, db, e, n, kind);
	free(e);
}

static void put_owners(struct model *m, MDB_txn *t, uint64_t first, uint64_t n)
{
	struct entry *e = entries_new(BENCH_SERVICES * n);
	for (uint64_t i = 0; i < n; i++) {
		struct bench_user u;
		bench_user(&u, first + i, m->scattered);
		for (uint64_t s = 0; s < BENCH_SERVICES; s++) {
			struct entry *x = &e[BENCH_SERVICES * i + s];
			x->length = strlen(u.service_ids[s]);
			memcpy(x->key, u.service_ids[s], x->length);
		}
	}
	put_sorted(m, t, M_SERVICE_IDS, e, BENCH_SERVICES * n, V_OWNER);
	free(e);
}

void model_partner(struct model *m, MDB_txn *t, uint64_t first, uint64_t n, uint64_t per_request)
{
	struct entry e;
	put_users(m, t, M_USERS, BENCH_HOME, first, n, V_USER);
	put_owners(m, t, first, n);
	for (uint64_t r = first; r < first + n; r += per_request) {
		request_key(&e, BENCH_HOME, r, NULL);
		put(m, t, M_REQUESTS, e.key, e.length, V_REQUEST, per_request, 0);
		put(m, t, M_SYSTEMS, BENCH_HOME, strlen(BENCH_HOME), V_SYSTEM, 0, 0);
		put_audit(m, t, V_AUDIT, per_request);
	}
}

void model_accept(struct model *m, MDB_txn *t, uint64_t first, uint64_t n, uint64_t per_request)
{
	struct entry e;
	for (uint64_t r = first; r < first + n; r += per_request) {
		request_key(&e, NULL, r, NULL);
		put(m, t, M_ASKED, e.key, e.length, V_ASKED, per_request, 0);
		request_key(&e, BENCH_PARTNER, r, NULL);
		put(m, t, M_OUTBOX, e.key, e.length, V_OUTBOX, 0, 0);
		put_audit(m, t, V_ASK_AUDIT, per_request);
	}
}

void model_answer(struct model *m, MDB_txn *t, uint64_t first, uint64_t n, uint64_t per_request)
{
	struct entry e;
	for (uint64_t r = first; r < first + n; r += per_request) {
		request_key(&e, NULL, r, BENCH_PARTNER);
		put(m, t, M_ANSWERS, e.key, e.length, V_ANSWER, per_request, 0);
		request_key(&e, BENCH_PARTNER, r, NULL);
		MDB_val key = { e.length, e.key };
		check(mdb_del(t, m->dbi[M_OUTBOX], &key, NULL), "outbox");
		put_audit(m, t, V_ANSWER_AUDIT, per_request);
	}
	put_users(m, t, M_BELIEVED, BENCH_PARTNER, first, n, V_BELIEVED);
}

bool model_get(struct model *m, MDB_txn *t, uint64_t user, bool by_service)
{
	struct bench_user u;
	struct entry e;
	MDB_val key, value;
	bench_user(&u, user, m->scattered);
	if (by_service) {
		key = (MDB_val){ strlen(u.service_ids[user % BENCH_SERVICES]), u.service_ids[user % BENCH_SERVICES] };
		if (mdb_get(t, m->dbi[M_SERVICE_IDS], &key, &value) != 0)
			return false;
	}
	user_key(&e, BENCH_HOME, u.mc_id);
	key = (MDB_val){ e.length, e.key };
	return mdb_get(t, m->dbi[M_USERS], &key, &value) == 0;
}
