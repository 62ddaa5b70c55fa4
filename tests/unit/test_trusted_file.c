// needs: common/trusted_file.c common/error.c common/text.c
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/trusted_file.h"
#include "unit.h"

enum { US = 7443, SOMEBODY = 1000 };

static bool fine(uid_t self, uid_t owner, mode_t mode, bool is_key)
{
	struct stat st = { .st_uid = owner, .st_mode = mode };
	return trusted_file_fault(&st, self, is_key) == NULL;
}

/* Who may own it, over every mode that is not somebody else's to write. */
static void owners(void **state)
{
	(void)state;
	for (int directory = 0; directory < 2; directory++) {
		mode_t mode = directory ? S_IFDIR | 0755 : S_IFREG | 0644;
		assert_true(fine(US, US, mode, false));
		assert_true(fine(US, 0, mode, false));
		assert_false(fine(US, SOMEBODY, mode, false));
		assert_true(fine(0, SOMEBODY, mode, false)); /* asked for somebody */
		assert_true(fine(0, 0, mode, false));
	}
	assert_false(fine(US, SOMEBODY, S_IFDIR | S_ISVTX | 0755, false));
	assert_false(fine(US, SOMEBODY, S_IFREG | 0400, true));
}

static void every_mode(void **state)
{
	(void)state;
	for (mode_t mode = 0; mode <= 07777; mode++) {
		bool written = mode & (S_IWGRP | S_IWOTH), sticky = mode & S_ISVTX, read = mode & S_IROTH;
		assert_int_equal(fine(US, US, S_IFREG | mode, false), !written);
		assert_int_equal(fine(US, US, S_IFREG | mode, true), !written && !read);
		assert_int_equal(fine(US, US, S_IFIFO | mode, false), !written);
		assert_int_equal(fine(US, US, S_IFDIR | mode, false), !written || sticky);
	}
}

static char directory[64];

static const char *path(const char *name)
{
	static char paths[4][256];
	static unsigned turn;
	char *p = paths[turn++ % 4];
	snprintf(p, sizeof paths[0], "%s/%s", directory, name);
	return p;
}

static void make(const char *name, mode_t mode)
{
	int fd = open(path(name), O_CREAT | O_WRONLY | O_TRUNC, 0600);
	assert_true(fd >= 0 && write(fd, "text", 4) == 4 && fchmod(fd, mode) == 0 && close(fd) == 0);
}

static void opens(const char *file, bool is_key)
{
	char text[8];
	struct error e = { 0 };
	int fd = trusted_file_open(file, is_key, &e);
	assert_string_equal(e.text, "");
	assert_int_equal(read(fd, text, sizeof text), 4);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}

static void refused(const char *file, bool is_key, const char *wanted)
{
	struct error e = { 0 };
	int before = dup(0);
	close(before);
	assert_int_equal(trusted_file_open(file, is_key, &e), -1);
	assert_non_null(strstr(e.text, wanted));
	assert_non_null(strstr(e.text, file));
	int after = dup(0); /* no descriptor was left open */
	close(after);
	assert_int_equal(after, before);
}

static void files(void **state)
{
	(void)state;
	make("good", 0644);
	opens(path("good"), false);
	refused(path("good"), true, "everybody may read this key: chmod");
	make("key", 0640);
	opens(path("key"), true);
	make("group", 0660);
	refused(path("group"), false, "its group may write to it: chmod g-w");
	refused(path("group"), true, "its group may write");
	make("all", 0602);
	refused(path("all"), false, "everybody may write to it: chmod go-w");
	refused(path("nowhere"), false, "No such file");
	refused(directory, false, "Is a directory");
	make("large", 0600);
	assert_int_equal(truncate(path("large"), TRUSTED_FILE_BYTES_MAX), 0);
	close(trusted_file_open(path("large"), false, NULL));
	assert_int_equal(truncate(path("large"), TRUSTED_FILE_BYTES_MAX + 1), 0);
	refused(path("large"), false, "larger than 16 MiB");
}

/* The link's own mode says nothing; where it leads is what counts, and so do both directories. */
static void links_and_directories(void **state)
{
	(void)state;
	assert_int_equal(mkdir(path("open"), 0700), 0);
	assert_int_equal(mkdir(path("closed"), 0700), 0);
	make("closed/file", 0644);
	make("open/file", 0644);
	assert_int_equal(symlink("../closed/file", path("open/link")), 0);
	assert_int_equal(symlink("../open/file", path("closed/link")), 0);
	opens(path("open/link"), false);
	opens(path("closed/link"), false);
	assert_int_equal(chmod(path("closed/file"), 0666), 0);
	refused(path("open/link"), false, "everybody may write to it");
	assert_int_equal(chmod(path("closed/file"), 0644), 0);
	for (mode_t mode = 0720; mode <= 0777; mode++) {
		if (!(mode & 022))
			continue;
		assert_int_equal(chmod(path("open"), mode), 0);
		refused(path("open/file"), false, "the directory of");
		refused(path("open/link"), false, "the directory of");
		struct error e = { 0 };
		assert_int_equal(trusted_file_open(path("closed/link"), false, &e), -1);
		assert_non_null(strstr(e.text, "/open: the directory of"));
	}
	assert_int_equal(chmod(path("open"), 01777), 0); /* as /tmp */
	opens(path("open/file"), false);
	opens(path("open/link"), false);
}

static void relative_paths(void **state)
{
	int here = open(".", O_RDONLY | O_DIRECTORY);
	(void)state;
	assert_int_equal(chdir(directory), 0);
	make("good", 0644);
	opens("good", false);
	assert_int_equal(chmod(directory, 0770), 0);
	refused("good", false, "the directory of");
	refused("./good", false, "the directory of");
	assert_int_equal(chmod(directory, 0700), 0);
	assert_true(fchdir(here) == 0 && close(here) == 0);
}

/* Process substitution is one that has a writer; a FIFO without one must not stop the server. */
static void pipes(void **state)
{
	int ends[2];
	char name[32];
	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "text", 4), 4);
	snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
	opens(name, true);
	close(ends[0]), close(ends[1]);
	assert_int_equal(mkfifo(path("fifo"), 0600), 0);
	int fd = trusted_file_open(path("fifo"), false, NULL);
	char byte;
	assert_int_equal(read(fd, &byte, 1), 0);
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	umask(022);
	strcpy(directory, "/tmp/acx-unit-XXXXXX");
	return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(owners),	   cmocka_unit_test(every_mode),
		cmocka_unit_test(files),	   cmocka_unit_test(links_and_directories),
		cmocka_unit_test(relative_paths), cmocka_unit_test(pipes),
	};
	return cmocka_run_group_tests_name("trusted_file", tests, setup, teardown);
}
