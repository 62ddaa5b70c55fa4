// needs: acms/store.c acms/store_open.c acms/store_file.c acms/store_txn.c acms/store_requests.c acms/store_audit.c acms/store_lists.c acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/identity.c common/text.c common/arena.c common/error.c common/crypto.c
#include <lmdb.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "store_unit.h"

/* A store is made as a whole or not at all; one of before the first release is refused and left as it is. */

enum { DATABASES_THERE = 13 };

/* By LMDB itself, while the store is closed: how many databases there are. put: a key of meta that is to have the value 2. */
static size_t count_databases(const char *put)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_stat stat;
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 1), 0);
	assert_int_equal(mdb_env_open(env, directory, 0, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	if (put) {
		MDB_val key = { strlen(put), (void *)put }, value = { 1, "\2" };
		assert_int_equal(mdb_dbi_open(txn, "meta", MDB_CREATE, &dbi), 0);
		assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
	}
	assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
	assert_int_equal(mdb_stat(txn, dbi, &stat), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	return stat.ms_entries;
}

static void refused(enum store_mode mode)
{
	struct store *s;
	struct error e = { OK, "" };
	assert_int_equal(store_open(directory, OWN, 1 << 20, mode, &s, &e), ERR_STORE_VERSION);
	assert_non_null(strstr(e.text, directory));
	assert_non_null(strstr(e.text, "from before the first release"));
	assert_non_null(strstr(e.text, "move the directory away"));
	assert_non_null(strstr(e.text, "acmc reconcile"));
}

/* Its schema's number was under another name. */
static void one_of_before_the_first_release(void **state)
{
	(void)state;
	count_databases("schema");
	for (int mode = STORE_SERVE; mode <= STORE_READ; mode++)
		refused((enum store_mode)mode);
	assert_int_equal(count_databases(NULL), 1);
}

static void a_new_one_is_complete(void **state)
{
	(void)state;
	struct audit_head head = { .number = 7 };
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct store_txn *t = reading(s);
	assert_true(store_get_audit_head(t, &head));
	assert_int_equal(head.number, 0);
	store_abort(t);
	store_close(s);
	assert_int_equal(count_databases(NULL), DATABASES_THERE);
	store_close(open_as(STORE_READ, 0));
	store_close(open_as(STORE_WRITE, 1 << 20));
}

/* Makes lock.mdb, which is larger than the limits below, and a data.mdb without anything in it. */
static void make_empty_environment(void)
{
	MDB_env *env;
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_open(env, directory, 0, 0600), 0);
	mdb_env_close(env);
}

/* Opens the store in a process that can write no more than the two meta pages. How it ended. */
static int open_with_no_room(void (*on_limit)(int))
{
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit small = { 8192, 8192 }, none = { 0, 0 };
		struct store *s;
		struct error e;
		setrlimit(RLIMIT_CORE, &none);
		setrlimit(RLIMIT_FSIZE, &small);
		signal(SIGXFSZ, on_limit);
		_exit(store_open(directory, OWN, 1 << 20, STORE_SERVE, &s, &e));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void a_death_in_the_commit_leaves_none(void **state)
{
	(void)state;
	make_empty_environment();
	int status = open_with_no_room(SIG_DFL);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
	assert_int_equal(count_databases(NULL), 0);
	a_new_one_is_complete(state);
}

/* EFBIG. */
static void an_error_on_the_way_leaves_none(void **state)
{
	(void)state;
	make_empty_environment();
	int status = open_with_no_room(SIG_IGN);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), ERR_STORE);
	assert_int_equal(count_databases(NULL), 0);
	a_new_one_is_complete(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(one_of_before_the_first_release),
		STORE_TEST(a_new_one_is_complete),
		STORE_TEST(a_death_in_the_commit_leaves_none),
		STORE_TEST(an_error_on_the_way_leaves_none),
	};
	return cmocka_run_group_tests_name("store, opened", tests, NULL, NULL);
}
