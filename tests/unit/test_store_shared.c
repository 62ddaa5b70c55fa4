// needs: acms/store.c acms/store_open.c acms/store_file.c acms/store_txn.c acms/store_requests.c acms/store_audit.c acms/store_lists.c acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/identity.c common/text.c common/arena.c common/error.c common/crypto.c
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include "store_unit.h"

/* The store when there is no room, and beside other processes that write and die. */

/* n users from..; the transaction's end. */
static enum status put_many(struct store *s, const char *prefix, unsigned n, struct error *e)
{
	struct arena *a = arena_new(0);
	struct store_txn *t = writing(s);
	for (unsigned i = 0; i < n; i++)
		put_user(t, a, HOME, arena_printf(a, "%s%06u", prefix, i), 1);
	enum status status = store_commit(t, e);
	arena_free(a);
	return status;
}

static void a_full_map_grows(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 16);
	struct error e;
	unsigned grown = 0;
	enum status status = put_many(s, "g", 5000, &e);
	assert_int_equal(status, ERR_STORE_FULL);
	assert_int_equal(revision_of(s, HOME, "g000000"), 0);
	for (; status == ERR_STORE_FULL && grown < 20; grown++) {
		assert_int_equal(store_grow(s, &e), OK);
		status = put_many(s, "g", 5000, &e);
	}
	assert_int_equal(status, OK);
	assert_in_range(grown, 2, 10);
	assert_int_equal(revision_of(s, HOME, "g004999"), 1);
	store_close(s);
	s = open_as(STORE_READ, 0); /* a reader takes the size that it has */
	assert_int_equal(revision_of(s, HOME, "g004999"), 1);
	store_close(s);
}

/* Runs act in a process of its own, which has not inherited an open store; its exit code, or minus the signal. */
static pid_t elsewhere(int go[2], int (*act)(void))
{
	char byte;
	assert_int_equal(pipe(go), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(go[1]);
		_exit(read(go[0], &byte, 1) == 1 ? act() : 99);
	}
	close(go[0]);
	return pid;
}

static void let_go(int go[2], pid_t pid, int expected)
{
	int status;
	assert_int_equal(write(go[1], "g", 1), 1);
	assert_int_equal(close(go[1]), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status), expected);
}

static int write_much(void)
{
	struct store *s;
	enum status status = store_open(directory, OWN, 1 << 24, STORE_WRITE, &s, NULL);
	if (status != OK)
		return (int)status;
	status = put_many(s, "w", 20000, NULL);
	store_close(s);
	return (int)status;
}

static int serve(void)
{
	struct store *s;
	return (int)store_open(directory, OWN, 0, STORE_SERVE, &s, NULL);
}

static void another_process_writes_and_grows_it(void **state)
{
	(void)state;
	int go[2], go_server[2];
	pid_t pid = elsewhere(go, write_much), server = elsewhere(go_server, serve);
	struct store *s = open_as(STORE_SERVE, 1 << 18);
	assert_int_equal(put_many(s, "a", 1, NULL), OK);
	let_go(go_server, server, ERR_BUSY); /* a second server: no; an import: yes */
	let_go(go, pid, OK);
	assert_int_equal(revision_of(s, HOME, "w019999"), 1); /* MDB_MAP_RESIZED on the way */
	assert_int_equal(put_many(s, "b", 1, NULL), OK);
	assert_int_equal(revision_of(s, HOME, "b000000"), 1);
	store_close(s);
}

static int die_writing(void)
{
	struct store *s;
	struct store_txn *t;
	struct arena *a = arena_new(0);
	if (store_open(directory, OWN, 0, STORE_WRITE, &s, NULL) != OK || store_begin_write(s, &t, NULL) != OK)
		return 1;
	put_user(t, a, HOME, "dead", 1);
	return raise(SIGKILL); /* with the writer's lock */
}

static void a_writer_that_dies_holds_nobody_up(void **state)
{
	(void)state;
	int go[2];
	pid_t pid = elsewhere(go, die_writing);
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	let_go(go, pid, -SIGKILL);
	assert_int_equal(put_many(s, "a", 1, NULL), OK);
	assert_int_equal(revision_of(s, HOME, "dead"), 0);
	store_close(s);
}

static void a_full_disk(void **state)
{
	(void)state;
	if (mount("none", directory, "tmpfs", 0, "size=512k,mode=0700") != 0) {
		print_message("SKIPPED: a full disk: mounting a small one needs root\n");
		skip();
	}
	struct store *s = open_as(STORE_SERVE, 1 << 30);
	struct error e = { OK, "" };
	assert_int_equal(put_many(s, "a", 10, NULL), OK);
	enum status status = put_many(s, "b", 20000, &e), grown = store_grow(s, &e);
	bool broken = store_broken(s);
	uint64_t first = revision_of(s, HOME, "a000009"), lost = revision_of(s, HOME, "b000000");
	enum status after = put_many(s, "c", 10, NULL); /* there is room for a little */
	uint64_t last = revision_of(s, HOME, "c000009");
	store_close(s);
	assert_int_equal(umount2(directory, MNT_DETACH), 0);
	assert_true(status == ERR_STORE_FULL || status == ERR_STORE); /* ENOSPC, or EIO from a short write */
	assert_non_null(strstr(e.text, directory));
	assert_int_equal(grown, ERR_STORE_FULL); /* the map is not what was full */
	assert_false(broken);
	assert_int_equal(first, 1);
	assert_int_equal(lost, 0);
	assert_int_equal(after, OK);
	assert_int_equal(last, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(a_full_map_grows),
		STORE_TEST(another_process_writes_and_grows_it),
		STORE_TEST(a_writer_that_dies_holds_nobody_up),
		STORE_TEST(a_full_disk),
	};
	return cmocka_run_group_tests_name("store, shared and full", tests, NULL, NULL);
}
