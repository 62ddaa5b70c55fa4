#include "common/trusted_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *trusted_file_fault(const struct stat *st, uid_t self, bool is_key)
{
	if (self != 0 && st->st_uid != 0 && st->st_uid != self)
		return "belongs to another user, who may write to it: chown it to root or to the user that runs "
		       "this";
	if (is_key && (st->st_mode & S_IROTH))
		return "everybody may read this key: chmod o-rwx it, and consider whether it has to be replaced";
	if (S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX))
		return NULL; /* others may add files, and cannot replace any of ours */
	if (st->st_mode & S_IWOTH)
		return "everybody may write to it: chmod go-w";
	if (st->st_mode & S_IWGRP)
		return "its group may write to it: chmod g-w";
	return NULL;
}

static enum status check_directory_of(const char *file, struct error *e)
{
	struct stat st;
	const char *slash = strrchr(file, '/'), *fault;
	char *directory = !slash ? strdup(".") : strndup(file, slash == file ? 1 : (size_t)(slash - file));
	enum status status = OK;
	if (!directory)
		return error_set(e, ERR_MEMORY, "out of memory");
	if (stat(directory, &st) != 0)
		status = error_set(e, ERR_CONFIG, "%s: %s", directory, strerror(errno));
	else if ((fault = trusted_file_fault(&st, geteuid(), false)))
		status = error_set(e, ERR_CONFIG, "%s: the directory of %s: %s", directory, file, fault);
	free(directory);
	return status;
}

/* Where it is named, and where it is. What is no file of any directory, such as a pipe, passes. */
static enum status check_directories(const char *file, struct error *e)
{
	char *target = realpath(file, NULL);
	enum status status = check_directory_of(file, e);
	if (status == OK && target)
		status = check_directory_of(target, e);
	free(target);
	return status;
}

static enum status judge(int fd, const char *file, bool is_key, struct error *e)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return error_set(e, ERR_CONFIG, "%s: %s", file, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return error_set(e, ERR_CONFIG, "%s: %s", file, strerror(EISDIR));
	if (S_ISREG(st.st_mode) && st.st_size > TRUSTED_FILE_BYTES_MAX)
		return error_set(e, ERR_CONFIG, "%s: larger than 16 MiB", file);
	const char *fault = trusted_file_fault(&st, geteuid(), is_key);
	if (fault)
		return error_set(e, ERR_CONFIG, "%s: %s", file, fault);
	return check_directories(file, e);
}

int trusted_file_open(const char *file, bool is_key, struct error *e)
{
	/* Nobody waits for the other end of a FIFO. Once it is there, or it is another file, reading waits as usual. */
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		error_set(e, ERR_CONFIG, "%s: %s", file, strerror(errno));
		return -1;
	}
	if (judge(fd, file, is_key, e) == OK && fcntl(fd, F_SETFL, O_RDONLY) == 0)
		return fd;
	close(fd);
	return -1;
}
