#ifndef ACX_WHEN_H
#define ACX_WHEN_H

#include <stdbool.h>
#include <stdint.h>
#include "common/str.h"

/* Instants and durations as people write them; instants are Unix milliseconds. Pure. */

enum { WHEN_TEXT_SIZE = 32 };

/*
 * RFC 3339 ("2026-12-31T18:00:00+01:00", with a space for the T, too), a date alone (its first instant, UTC), or a
 * duration from now ("+8h", "-30m"). False: none of these, or outside of 1970 to 9999.
 */
bool when_parse(struct str text, uint64_t now_ms, uint64_t *out_ms);
/* "90" or "90s", "5m", "8h", "30d", "2w"; not 0, and at most some 100 years. */
bool when_parse_duration(struct str text, uint64_t *out_ms);
/* "2026-12-31T17:00:00Z", with milliseconds if there are any. Returns text. */
char *when_format(uint64_t ms, char text[WHEN_TEXT_SIZE]);
/* Without them, for tables. */
char *when_format_seconds(uint64_t ms, char text[WHEN_TEXT_SIZE]);

#endif
