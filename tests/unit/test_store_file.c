// needs: acms/store.c acms/store_open.c acms/store_file.c acms/store_txn.c acms/store_requests.c acms/store_audit.c acms/store_lists.c
// needs: acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/identity.c common/text.c common/arena.c common/error.c common/crypto.c
#include <fcntl.h>
#include <pwd.h>
#include <sys/wait.h>
#include "store_raw.h"

/* Files that are no store, or not all of it: an error that says what to do, never SIGBUS and never a new store. */

enum { USERS = 400, PAGE = 4096 };

static const char *path_of(const char *name)
{
	static char path[200];
	snprintf(path, sizeof path, "%s/%s", directory, name);
	return path;
}

static off_t size_now(void)
{
	struct stat st;
	assert_int_equal(stat(path_of("data.mdb"), &st), 0);
	return st.st_size;
}

static void fill(void)
{
	struct store *s = open_as(STORE_SERVE, 1 << 24);
	struct arena *a = arena_new(0);
	for (int from = 0; from < USERS; from += 50) {
		struct store_txn *t = writing(s);
		for (int i = from; i < from + 50; i++)
			put_user(t, a, HOME, arena_printf(a, "user%d", i), 1);
		assert_int_equal(store_commit(t, NULL), OK);
	}
	arena_free(a);
	store_close(s);
}

static bool count(void *context, struct str home, struct str mc_id, const struct user_record *r)
{
	++*(int *)context;
	return home.len > 0 && mc_id.len > 0 && r;
}

/* Either all is there, or it says what is wrong. */
static bool is_whole(enum store_mode mode, const char *said)
{
	struct store *s = NULL;
	struct error e = { OK, "" };
	int users = 0;
	if (store_open(directory, OWN, mode == STORE_READ ? 0 : 1 << 24, mode, &s, &e) != OK) {
		if (!strstr(e.text, said))
			fail_msg("%s", e.text);
		return false;
	}
	struct store_txn *t = reading(s);
	assert_true(store_list_users(t, STORE_USERS, STR_NONE, NULL, count, &users));
	store_abort(t);
	store_close(s);
	assert_int_equal(users, USERS);
	return true;
}

/* In a process of its own, which must not be killed: 1: all is there; 0: refused. */
static int in_child(enum store_mode mode, const char *said)
{
	int code;
	pid_t child = fork();
	if (child == 0)
		_exit(is_whole(mode, said));
	assert_int_equal(waitpid(child, &code, 0), child);
	assert_true(WIFEXITED(code));
	return WEXITSTATUS(code);
}

static void cut_short_at_any_length(void **state)
{
	(void)state;
	fill();
	const off_t size = size_now();
	int refused = 0;
	for (off_t n = size - 1; n > 0; n -= n % PAGE ? n % PAGE : PAGE - 1) {
		assert_int_equal(truncate(path_of("data.mdb"), n), 0);
		refused += !in_child(STORE_READ, "restore it from a backup");
		refused += !in_child(STORE_SERVE, "restore it from a backup");
		if (n < 8 * PAGE)
			n -= n % PAGE ? 0 : PAGE / 2;
	}
	assert_true(refused > 20);
	assert_int_equal(truncate(path_of("data.mdb"), 0), 0);
	assert_false(is_whole(STORE_SERVE, "data.mdb is empty"));
	assert_int_equal(size_now(), 0);
}

/* LMDB does not write pages at the end that it took and gave back in one transaction. */
static void short_by_free_pages_is_fine(void **state)
{
	(void)state;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_envinfo info;
	fill();
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 16), 0);
	assert_int_equal(mdb_env_set_mapsize(env, 1 << 26), 0);
	assert_int_equal(mdb_env_open(env, directory, 0, 0600), 0);
	do {
		static char large[50 * PAGE];
		MDB_val k = { 3, "big" }, v = { sizeof large, large };
		assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
		assert_int_equal(mdb_dbi_open(txn, "users", 0, &dbi), 0);
		assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
		assert_int_equal(mdb_del(txn, dbi, &k, NULL), 0);
		assert_int_equal(mdb_txn_commit(txn), 0);
		assert_int_equal(mdb_env_info(env, &info), 0);
	} while ((off_t)(info.me_last_pgno + 1) * PAGE <= size_now());
	mdb_env_close(env);
	assert_true(is_whole(STORE_READ, ""));
	assert_true(is_whole(STORE_SERVE, ""));
}

static void overwrite(off_t at, const void *bytes, size_t n)
{
	int fd = open(path_of("data.mdb"), O_WRONLY);
	assert_int_equal(pwrite(fd, bytes, n, at), n);
	close(fd);
}

static void garbage_in_its_place(void **state)
{
	(void)state;
	static char garbage[2 * PAGE];
	unsigned seed = test_seed();
	for (size_t i = 0; i < sizeof garbage; i++)
		garbage[i] = (char)rand_r(&seed);
	fill();
	overwrite(0, garbage, sizeof garbage);
	assert_false(is_whole(STORE_READ, "restore it from a backup"));
	assert_false(is_whole(STORE_SERVE, "restore it from a backup"));
	assert_int_equal(unlink(path_of("data.mdb")), 0);
	assert_int_equal(mkdir(path_of("data.mdb"), 0700), 0);
	assert_false(is_whole(STORE_READ, "data.mdb is not a file"));
	assert_false(is_whole(STORE_SERVE, "data.mdb is not a file"));
	assert_int_equal(rmdir(path_of("data.mdb")), 0);
	assert_int_equal(mkfifo(path_of("data.mdb"), 0600), 0);
	assert_false(is_whole(STORE_READ, "data.mdb is not a file"));
}

/* A last page that is not there. */
static void meta_pages_that_lie(void **state)
{
	(void)state;
	enum { LAST_PAGE = 16 + 120 }; /* behind the page's header, and the other members of the meta page */
	const uint64_t far = 100000;
	fill();
	overwrite(LAST_PAGE, &far, sizeof far);
	overwrite(PAGE + LAST_PAGE, &far, sizeof far);
	assert_false(is_whole(STORE_READ, "shorter than it says: restore it from a backup"));
	assert_false(is_whole(STORE_SERVE, "shorter than it says: restore it from a backup"));
}

/* What root makes, the server's user can open. */
static void files_are_the_directorys_owners(void **state)
{
	(void)state;
	static const char *const names[] = { "data.mdb", "lock.mdb", "acms.lock" };
	struct passwd *nobody = getpwnam("nobody");
	struct stat st;
	int code;
	if (geteuid() != 0 || !nobody)
		skip();
	assert_int_equal(chown(directory, nobody->pw_uid, nobody->pw_gid), 0);
	fill();
	assert_int_equal(geteuid(), 0);
	assert_int_equal(getegid(), 0);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(stat(path_of(names[i]), &st), 0);
		assert_int_equal(st.st_uid, nobody->pw_uid);
	}
	assert_int_equal(unlink(path_of("lock.mdb")), 0);
	assert_true(is_whole(STORE_READ, "")); /* looking makes one, too */
	pid_t child = fork();
	if (child == 0)
		_exit(setgid(nobody->pw_gid) == 0 && setuid(nobody->pw_uid) == 0 && is_whole(STORE_SERVE, ""));
	assert_int_equal(waitpid(child, &code, 0), child);
	assert_true(WIFEXITED(code));
	assert_int_equal(WEXITSTATUS(code), 1);
}

/* Nor does root write through a link that the server's user made. */
static void links_are_followed_as_the_owner(void **state)
{
	(void)state;
	struct passwd *nobody = getpwnam("nobody");
	char roots[] = "/tmp/acx-roots-XXXXXX", target[64];
	if (geteuid() != 0 || !nobody)
		skip();
	assert_non_null(mkdtemp(roots));
	snprintf(target, sizeof target, "%s/made", roots);
	assert_int_equal(chown(directory, nobody->pw_uid, nobody->pw_gid), 0);
	assert_int_equal(symlink(target, path_of("lock.mdb")), 0);
	assert_false(is_whole(STORE_SERVE, "Permission denied"));
	assert_int_equal(access(target, F_OK), -1);
	assert_int_equal(rmdir(roots), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(cut_short_at_any_length),
		STORE_TEST(short_by_free_pages_is_fine),
		STORE_TEST(garbage_in_its_place),
		STORE_TEST(meta_pages_that_lie),
		STORE_TEST(files_are_the_directorys_owners),
		STORE_TEST(links_are_followed_as_the_owner),
	};
	return cmocka_run_group_tests_name("store, files", tests, NULL, NULL);
}
