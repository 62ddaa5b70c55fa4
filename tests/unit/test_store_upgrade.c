// needs: acms/store.c acms/store_open.c acms/store_file.c acms/store_txn.c acms/store_requests.c acms/store_audit.c acms/store_lists.c acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/identity.c common/text.c common/arena.c common/error.c common/crypto.c
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "common/crypto.h"
#include "store_unit.h"

/* A store of schema version 1 (tests/data/store-v1) becomes one of version 2. */

enum { USERS = 24, OWNERS = 43, REQUESTS = 7, ENTRIES = 7, DATABASES_BEFORE = 6, DATABASES_AFTER = 13 };

static int copy_version_1(void **state)
{
	char command[256];
	if (make_directory(state) != 0)
		return -1;
	snprintf(command, sizeof command, "cp tests/data/store-v1/data.mdb %s/data.mdb", directory);
	return system(command);
}

#define UPGRADE_TEST(f) cmocka_unit_test_setup_teardown(f, copy_version_1, remove_directory)

/* By LMDB itself, while the store is closed: the databases there are, and the schema version. */
static void is_version(int version, size_t databases)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_stat stat;
	MDB_val key = { 6, "schema" }, value;
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 1), 0);
	assert_int_equal(mdb_env_open(env, directory, MDB_RDONLY, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
	assert_int_equal(mdb_stat(txn, dbi, &stat), 0);
	assert_int_equal(stat.ms_entries, databases);
	assert_int_equal(mdb_dbi_open(txn, "meta", 0, &dbi), 0);
	assert_int_equal(mdb_get(txn, dbi, &key, &value), 0);
	assert_int_equal(value.mv_size, 1);
	assert_int_equal(*(uint8_t *)value.mv_data, version);
	mdb_txn_abort(txn);
	mdb_env_close(env);
}

/* --- what is in it --- */

struct seen {
	struct store_txn *txn;
	struct arena *arena;
	size_t users, service_ids, requests, denied, systems, entries;
	struct audit_head last;
};

static bool see_user(void *context, struct str home, struct str mc_id, const struct user_record *r)
{
	struct seen *s = context;
	s->users++;
	assert_int_equal(r->validity.not_before_ms | r->validity.not_after_ms, 0);
	assert_true(r->revision == 1 || r->revision == 2);
	for (size_t i = 0; i < r->n_service_ids; i++, s->service_ids++) {
		struct owner_record owner;
		assert_true(store_get_owner(s->txn, s->arena, r->service_ids[i].mc_service_id, &owner));
		assert_true(str_eq(owner.home, home) && str_eq(owner.mc_id, mc_id));
	}
	return true;
}

static bool see_request(void *context, struct str home, struct request_id id, const struct request_record *r)
{
	struct seen *s = context;
	(void)home;
	(void)id;
	s->requests++;
	s->denied += r->cause != CAUSE_NO_CAUSE;
	assert_int_equal(r->keep_until_ms, 0);
	return true;
}

static bool see_system(void *context, struct str id, const struct system_record *r)
{
	struct seen *s = context;
	s->systems++;
	assert_int_equal(r->token_issuer.ptr != NULL, str_eq(id, HOME));
	return true;
}

static bool see_entry(void *context, uint64_t number, struct str value)
{
	struct seen *s = context;
	struct audit_record r;
	assert_int_equal(number, ++s->entries);
	assert_int_equal(record_decode_audit(s->arena, value, &r, NULL), OK);
	assert_memory_equal(r.previous, s->last.digest, DIGEST_SIZE);
	assert_true(str_eq(record_encode_audit(s->arena, &r), value)); /* byte for byte what version 1 wrote */
	s->last.number = number;
	assert_int_equal(crypto_sha256(value, s->last.digest), OK);
	return true;
}

static void everything_is_there(struct store *s, size_t more_entries)
{
	struct seen seen = { .txn = reading(s), .arena = arena_new(0) };
	struct user_record user;
	assert_true(store_list_users(seen.txn, STORE_USERS, STR_NONE, NULL, see_user, &seen));
	assert_true(store_list_requests(seen.txn, NULL, NULL, UINT64_MAX, see_request, &seen));
	assert_true(store_list_systems(seen.txn, see_system, &seen));
	assert_true(store_list_audit(seen.txn, 1, see_entry, &seen));
	assert_int_equal(seen.users, USERS);
	assert_int_equal(seen.service_ids, OWNERS);
	assert_int_equal(seen.requests, REQUESTS);
	assert_int_equal(seen.denied, 2);
	assert_int_equal(seen.systems, 3);
	assert_int_equal(seen.entries, ENTRIES + more_entries);
	assert_true(store_get_user(seen.txn, seen.arena, STORE_USERS, HOME, STR("officer-3@police.example"), &user));
	assert_int_equal(user.revision, 2);
	assert_str(user.service_ids[0].mc_service_id, "sip:officer-three@police.example");
	assert_false(store_get_user(seen.txn, seen.arena, STORE_BELIEVED, HOME, STR("officer-3@police.example"), &user));
	struct audit_head head = { .number = 0 };
	if (store_get_audit_head(seen.txn, &head)) {
		assert_int_equal(head.number, ENTRIES + more_entries);
		assert_memory_equal(head.digest, seen.last.digest, DIGEST_SIZE);
	}
	assert_int_equal(store_commit(seen.txn, NULL), OK);
	arena_free(seen.arena);
}

static bool never_user(void *c, struct str a, struct str b, const struct user_record *r)
{
	fail_msg("%p %p %p %p", c, (void *)a.ptr, (void *)b.ptr, (void *)r);
	return false;
}

static bool never_expired(void *c, struct str a, struct str b, uint64_t not_after_ms)
{
	fail_msg("%p %p %p %llu", c, (void *)a.ptr, (void *)b.ptr, (unsigned long long)not_after_ms);
	return false;
}

static bool never_asked(void *c, struct request_id id, const struct asked_record *r)
{
	fail_msg("%p %d %p", c, id.bytes[0], (void *)r);
	return false;
}

static bool never_outbox(void *c, struct str t, struct request_id id, const struct outbox_record *r)
{
	fail_msg("%p %p %d %p", c, (void *)t.ptr, id.bytes[0], (void *)r);
	return false;
}

static bool never_pending(void *c, struct str t, struct request_id id, const struct pending_record *r)
{
	fail_msg("%p %p %d %p", c, (void *)t.ptr, id.bytes[0], (void *)r);
	return false;
}

/* --- opening --- */

static void a_reader_takes_version_1_as_it_is(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_READ, 0);
	struct arena *a = arena_new(0);
	struct asked_record asked;
	struct answer_record answer;
	struct pending_record pending;
	struct outbox_record outbox;
	struct audit_head head;
	struct request_id id = { "request" };
	assert_false(store_upgraded(s));
	everything_is_there(s, 0);
	struct store_txn *t = reading(s);
	assert_true(store_list_users(t, STORE_BELIEVED, STR_NONE, NULL, never_user, NULL));
	assert_true(store_range_users(t, STORE_BELIEVED, HOME, STR_NONE, STR_NONE, never_user, NULL));
	assert_true(store_list_expired(t, STORE_USERS, UINT64_MAX, never_expired, NULL));
	assert_true(store_list_expired(t, STORE_BELIEVED, UINT64_MAX, never_expired, NULL));
	assert_true(store_list_asked(t, NULL, UINT64_MAX, never_asked, NULL));
	assert_true(store_list_outbox(t, never_outbox, NULL));
	assert_true(store_list_pending(t, STR_NONE, NULL, NULL, never_pending, NULL));
	assert_false(store_get_asked(t, a, id, &asked));
	assert_false(store_get_answer(t, a, id, HOME, &answer));
	assert_false(store_get_pending(t, a, HOME, id, &pending));
	assert_false(store_get_outbox(t, a, HOME, id, &outbox));
	assert_false(store_get_audit_head(t, &head));
	assert_int_equal(store_commit(t, NULL), OK);
	arena_free(a);
	store_close(s);
	is_version(1, DATABASES_BEFORE);
}

static void append(struct store *s)
{
	struct arena *a = arena_new(0);
	struct str mc_id = STR("a");
	struct store_txn *t = writing(s);
	struct audit_record r = { .at_ms = 1, .action = AUDIT_REMOVE, .home = HOME, .certificate = STR("DNS:a"),
				  .mc_ids = &mc_id, .n_mc_ids = 1, .removed = 1 };
	store_append_audit(t, a, &r);
	assert_int_equal(store_commit(t, NULL), OK);
	arena_free(a);
}

static void upgrades(enum store_mode mode, uint64_t map)
{
	struct store *s = open_as(mode, map);
	assert_true(store_upgraded(s));
	everything_is_there(s, 0);
	append(s); /* the chain goes on */
	everything_is_there(s, 1);
	store_close(s);
	is_version(2, DATABASES_AFTER);
	s = open_as(STORE_SERVE, 1 << 20);
	assert_false(store_upgraded(s));
	everything_is_there(s, 1);
	store_close(s);
}

static void a_server_upgrades(void **state)
{
	(void)state;
	upgrades(STORE_SERVE, 1 << 20);
}

static void an_import_upgrades(void **state)
{
	(void)state;
	upgrades(STORE_WRITE, 1 << 20);
}

/* The copy is compact: a map as large as that has no room for another database. */
static void the_map_grows_for_it(void **state)
{
	(void)state;
	upgrades(STORE_SERVE, 4096);
}

static void the_map_grows_for_an_import_too(void **state)
{
	(void)state;
	upgrades(STORE_WRITE, 4096);
}

/* It would go on writing as version 1 does. */
static void not_under_an_older_server(void **state)
{
	(void)state;
	struct store *s;
	struct error e;
	char path[128];
	snprintf(path, sizeof path, "%s/acms.lock", directory);
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(store_open(directory, OWN, 1 << 20, STORE_WRITE, &s, &e), ERR_BUSY);
	assert_non_null(strstr(e.text, "older"));
	is_version(1, DATABASES_BEFORE);
	close(fd);
	s = open_as(STORE_WRITE, 1 << 20);
	assert_true(store_upgraded(s));
	struct store *server = NULL; /* the lock was only for the upgrade */
	store_close(s);
	server = open_as(STORE_SERVE, 1 << 20);
	store_close(server);
}

/* The process dies at the first page that the commit writes behind the two meta pages. */
static void a_death_in_the_commit_leaves_version_1(void **state)
{
	(void)state;
	int status;
	struct store *s = open_as(STORE_READ, 0); /* makes lock.mdb, which is larger than the limit */
	store_close(s);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit small = { 8192, 8192 }, none = { 0, 0 };
		setrlimit(RLIMIT_CORE, &none);
		setrlimit(RLIMIT_FSIZE, &small);
		signal(SIGXFSZ, SIG_DFL);
		_exit(store_open(directory, OWN, 1 << 20, STORE_SERVE, &s, NULL) == OK ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
	is_version(1, DATABASES_BEFORE);
	upgrades(STORE_SERVE, 1 << 20);
}

/* An upgrade that fails half-way, with an error: nothing of it is there. */
static void an_error_on_the_way_leaves_version_1(void **state)
{
	(void)state;
	int status;
	struct store *s = open_as(STORE_READ, 0);
	store_close(s);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit small = { 8192, 8192 };
		struct error e;
		setrlimit(RLIMIT_FSIZE, &small);
		signal(SIGXFSZ, SIG_IGN); /* EFBIG then */
		_exit(store_open(directory, OWN, 1 << 20, STORE_SERVE, &s, &e));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), ERR_STORE);
	is_version(1, DATABASES_BEFORE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UPGRADE_TEST(a_reader_takes_version_1_as_it_is),
		UPGRADE_TEST(a_server_upgrades),
		UPGRADE_TEST(an_import_upgrades),
		UPGRADE_TEST(the_map_grows_for_it),
		UPGRADE_TEST(the_map_grows_for_an_import_too),
		UPGRADE_TEST(not_under_an_older_server),
		UPGRADE_TEST(a_death_in_the_commit_leaves_version_1),
		UPGRADE_TEST(an_error_on_the_way_leaves_version_1),
	};
	return cmocka_run_group_tests_name("store, upgraded", tests, NULL, NULL);
}
