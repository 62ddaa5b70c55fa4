#include "common/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "common/clock.h"

static const struct {
	const char *name;
	int priority; /* of syslog */
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", 3 },
	[LOG_LEVEL_WARNING] = { "warning", 4 },
	[LOG_LEVEL_INFO] = { "info", 6 },
	[LOG_LEVEL_DEBUG] = { "debug", 7 },
};

static atomic_int threshold = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	atomic_store(&threshold, (int)level);
}

bool log_level_parse(struct str name, enum log_level *out)
{
	for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
		if (str_eq(name, str_of(levels[i].name))) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

/* Whether standard error is the journal: the variable alone is inherited by anybody (systemd.exec(5)). */
static bool to_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;
	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static int write_head(char *line, size_t size, enum log_level level)
{
	if (to_journal())
		return snprintf(line, size, "<%d>", levels[level].priority);
	uint64_t ms = clock_wall_ms();
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	char stamp[32];
	gmtime_r(&seconds, &tm);
	strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
	return snprintf(line, size, "%s.%03dZ %s: ", stamp, (int)(ms % 1000), levels[level].name);
}

void log_write(enum log_level level, const char *format, ...)
{
	char line[4096];
	if ((int)level > atomic_load(&threshold))
		return;
	int n = write_head(line, sizeof line, level);
	va_list args;
	va_start(args, format);
	int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
	va_end(args);
	size_t length = (size_t)n + (m > 0 ? (size_t)m : 0);
	if (length > sizeof line - 2)
		length = sizeof line - 2;
	line[length++] = '\n';
	/* One write, so that lines of several threads do not mix; a log that cannot be written is not worth dying for. */
	if (write(STDERR_FILENO, line, length) < 0)
		return;
}
