#include "common/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Who closed it before, and has nothing written, has what he wanted. */
static bool close_output(int *why)
{
	bool pending = __fpending(stdout) > 0, failed = ferror(stdout);
	*why = 0;
	if (fclose(stdout) != 0 && (pending || errno != EBADF)) {
		*why = errno;
		failed = true;
	}
	return !failed;
}

static void on_end(int status, void *exit_code)
{
	int why;
	(void)status;
	if (close_output(&why))
		return;
	fprintf(stderr, "%s: standard output: %s\n", program_invocation_short_name,
		why ? strerror(why) : "not all of it could be written");
	_exit((int)(intptr_t)exit_code);
}

void output_watch(int exit_code)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO)
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* what stays open is in the place of what was closed */
	if (fd >= 0)
		close(fd);
	on_exit(on_end, (void *)(intptr_t)exit_code);
}
