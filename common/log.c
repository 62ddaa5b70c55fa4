#include "common/log.h"

#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "common/clock.h"
#include "common/text.h"

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
static bool find_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;
	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static bool to_journal(void)
{
	static atomic_int known; /* 0: not yet; two threads may find out at once */
	int answer = atomic_load_explicit(&known, memory_order_relaxed);
	if (answer == 0) {
		answer = find_journal() ? 1 : -1;
		atomic_store_explicit(&known, answer, memory_order_relaxed);
	}
	return answer > 0;
}

/* The date and time of day change once a second only. */
static const char *stamp_of(time_t second)
{
	static _Thread_local time_t stamped = -1;
	static _Thread_local char stamp[32];
	struct tm tm;
	if (second != stamped) {
		gmtime_r(&second, &tm);
		strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
		stamped = second;
	}
	return stamp;
}

static size_t write_head(char *line, size_t size, enum log_level level)
{
	if (to_journal())
		return (size_t)snprintf(line, size, "<%d>", levels[level].priority);
	uint64_t ms = clock_wall_ms();
	return (size_t)snprintf(line, size, "%s.%03dZ %s: ", stamp_of((time_t)(ms / 1000)), (int)(ms % 1000),
				levels[level].name);
}

/* Whole lines, not more than a pipe takes at once, so that those of several threads do not mix. */
static void put(const char *lines, size_t n)
{
	if (write(STDERR_FILENO, lines, n) < 0)
		return; /* a log that cannot be written is not worth dying for */
}

/* Used by the thread that gathers. */
static _Thread_local bool gathering;
static char gathered[PIPE_BUF];
static size_t n_gathered;

void log_flush(void)
{
	if (!gathering || n_gathered == 0)
		return;
	put(gathered, n_gathered);
	n_gathered = 0;
}

void log_gather(bool on)
{
	static bool at_exit;
	log_flush();
	gathering = on;
	if (on && !at_exit)
		at_exit = atexit(log_flush) == 0;
}

static void put_line(enum log_level level, const char *line, size_t n)
{
	if (n_gathered + n > sizeof gathered)
		log_flush();
	memcpy(gathered + n_gathered, line, n);
	n_gathered += n;
	if (level <= LOG_LEVEL_WARNING)
		log_flush();
}

bool log_is_on(enum log_level level)
{
	return (int)level <= atomic_load(&threshold);
}

void log_write(enum log_level level, const char *format, ...)
{
	char line[PIPE_BUF];
	if (!log_is_on(level))
		return;
	size_t n = write_head(line, sizeof line, level);
	va_list args;
	va_start(args, format);
	n += text_vformat(line + n, sizeof line - n - 1, format, args);
	va_end(args);
	line[n++] = '\n';
	if (gathering)
		put_line(level, line, n);
	else
		put(line, n);
}
