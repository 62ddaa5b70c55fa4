#ifndef ACX_LOG_H
#define ACX_LOG_H

#include <stdbool.h>
#include "common/str.h"
#include "common/text.h"

/*
 * The daemon's log: a line each on standard error, with a time stamp, or with a priority prefix when systemd's
 * journal reads it. What came from outside goes through LOG_STR (escaped). Safe from any thread.
 */
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
/* False if the name is no level. */
bool log_level_parse(struct str name, enum log_level *out);
/* Whether lines of this level are written. */
bool log_is_on(enum log_level level);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * One thread of a process, the loop's, may gather lines, so that one write takes those of a turn: what is no warning
 * or error waits until log_flush, the next warning or error, a few kilobytes, log_gather(false) or exit(). A crash or
 * kill -9 loses what waits. Of no effect in other threads: log_flush there.
 */
void log_gather(bool on);
void log_flush(void);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Escaped text for one "%s"; lives until the end of the enclosing block. */
#define LOG_STR(s) text_escape((s), (char[1024]){ 0 }, 1024)

#endif
