#include "acmc/save.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/text.h"

static bool write_all(int fd, struct str bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.ptr, bytes.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes.ptr += n;
		bytes.len -= (size_t)n;
	}
	return true;
}

/* That the name is there, too, after a crash. */
static bool sync_directory(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	bool good = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL); /* which some file systems say */
	if (fd >= 0)
		close(fd);
	free(copy);
	return good;
}

/* mkostemp makes a new file, mode 0600, or none. *name is the caller's to free. */
static bool put_beside(const char *path, struct str bytes, char **name)
{
	if (asprintf(name, "%s.XXXXXX", path) < 0) {
		*name = NULL;
		return false;
	}
	int fd = mkostemp(*name, O_CLOEXEC);
	if (fd < 0)
		return false;
	bool good = write_all(fd, bytes) && fsync(fd) == 0;
	int why = errno;
	good = close(fd) == 0 && good;
	if (good && rename(*name, path) == 0)
		return sync_directory(path);
	why = good ? errno : why;
	unlink(*name);
	errno = why;
	return false;
}

/* A device or pipe is never meant to be replaced. */
static bool may_be_replaced(const char *path)
{
	struct stat st;
	return stat(path, &st) != 0 || S_ISREG(st.st_mode);
}

bool save_file(const char *path, struct str bytes)
{
	char shown[1200], *name = NULL;
	bool replaced = may_be_replaced(path), good = replaced && put_beside(path, bytes, &name);
	if (!good)
		fprintf(stderr, "acmc: %s: %s\n", text_escape(str_of(path), shown, sizeof shown),
			replaced ? strerror(errno) : "is there, and is no file");
	free(name);
	return good;
}
