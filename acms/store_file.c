#include "acms/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What can be wrong with the files of a store before LMDB trusts them, and whose they are. */

static enum status data_path(const struct store *s, char path[4096], struct error *e)
{
	if (snprintf(path, 4096, "%s/data.mdb", s->directory) < 4096)
		return OK;
	return error_set(e, ERR_STORE, "store %s: its path is too long", s->directory);
}

/* LMDB would make a new store of an empty file. */
enum status file_check(const struct store *s, struct error *e)
{
	struct stat st;
	char path[4096];
	enum status status = data_path(s, path, e);
	if (status != OK || (stat(path, &st) != 0 && errno == ENOENT))
		return status;
	if (stat(path, &st) != 0)
		return error_set(e, ERR_STORE, "store %s: data.mdb: %s", s->directory, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(e, ERR_STORE, "store %s: data.mdb is not a file", s->directory);
	if (st.st_size == 0)
		return error_set(e, ERR_STORE, "store %s: data.mdb is empty: restore it from a backup; remove it only if "
				 "nothing was ever stored", s->directory);
	return OK;
}

/* --- a file that was cut short --- */

static bool missing_pages(MDB_env *env, uint64_t *first, uint64_t *n)
{
	MDB_envinfo info;
	MDB_stat stat;
	struct stat st;
	int fd;
	*n = 0;
	if (mdb_env_info(env, &info) != 0 || mdb_env_stat(env, &stat) != 0 || mdb_env_get_fd(env, &fd) != 0 ||
	    fstat(fd, &st) != 0)
		return false;
	*first = (uint64_t)st.st_size / stat.ms_psize;
	if (info.me_last_pgno >= *first)
		*n = info.me_last_pgno - *first + 1;
	return true;
}

bool file_is_short(const struct store *s)
{
	uint64_t first, n;
	return !missing_pages(s->env, &first, &n) || n > 0;
}

/* Of the pages from first on, those that are free: LMDB does not write what it took and gave back at once. */
static uint64_t count_free(MDB_txn *txn, uint64_t first, uint64_t last)
{
	enum { FREE_DB = 0 };
	MDB_cursor *cursor;
	MDB_val key, value;
	uint64_t found = 0;
	if (mdb_cursor_open(txn, FREE_DB, &cursor) != 0)
		return 0;
	while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
		const size_t *list = value.mv_data; /* how many, and their numbers */
		for (size_t i = 1; i <= list[0] && (i + 1) * sizeof *list <= value.mv_size; i++)
			found += list[i] >= first && list[i] <= last;
	}
	mdb_cursor_close(cursor);
	return found;
}

static bool lacks_only_free_pages(MDB_env *env)
{
	uint64_t first, n;
	MDB_txn *txn;
	if (!missing_pages(env, &first, &n) || mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0)
		return false;
	bool good = count_free(txn, first, first + n - 1) == n;
	mdb_txn_abort(txn);
	return good;
}

static void end_child(int number)
{
	(void)number;
	_exit(EXIT_FAILURE);
}

/*
 * A page that is not there is SIGBUS, and a damaged one may end LMDB by its assertions: so another process looks. No
 * environment may be open here, and no other thread may run: what is called in the child is not safe after a fork from
 * several threads.
 */
enum status file_check_short(const struct store *s, struct error *e)
{
	int code = 0;
	pid_t child = fork();
	if (child < 0)
		return error_set(e, ERR_SYSTEM, "store %s: fork: %s", s->directory, strerror(errno));
	if (child == 0) {
		MDB_env *env;
		signal(SIGBUS, end_child);
		signal(SIGSEGV, end_child);
		bool good = mdb_env_create(&env) == 0 &&
			    mdb_env_open(env, s->directory, MDB_RDONLY | MDB_NOTLS, 0600) == 0 && lacks_only_free_pages(env);
		_exit(good ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	while (waitpid(child, &code, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(code) && WEXITSTATUS(code) == EXIT_SUCCESS)
		return OK;
	return error_set(e, ERR_STORE, "store %s: data.mdb is shorter than it says: restore it from a backup", s->directory);
}

/* --- whose they are --- */

/*
 * What root opens is made, and looked for, as the directory's owner: the server could not open what is root's, and root must
 * not follow a link that the server's user put there.
 */
enum status file_become_owner(const struct store *s, struct file_user *was, struct error *e)
{
	struct stat st;
	*was = (struct file_user){ .changed = false };
	if (geteuid() != 0 || stat(s->directory, &st) != 0 || st.st_uid == 0)
		return OK;
	*was = (struct file_user){ .changed = true, .group = getegid(), .n_groups = getgroups(FILE_GROUPS, was->groups) };
	if (was->n_groups >= 0 && setgroups(0, NULL) == 0 && setegid(st.st_gid) == 0 && seteuid(st.st_uid) == 0)
		return OK;
	error_set(e, ERR_SYSTEM, "store %s: its owner cannot be taken on: %s: run this as that user", s->directory,
		  strerror(errno));
	file_become_again(was);
	return ERR_SYSTEM;
}

void file_become_again(const struct file_user *was)
{
	if (!was->changed)
		return;
	bool good = seteuid(0) == 0 && setegid(was->group) == 0;
	if (!good || (was->n_groups > 0 && setgroups((size_t)was->n_groups, was->groups) != 0))
		abort(); /* cannot fail for who was root; to go on as somebody in between is worse */
}
