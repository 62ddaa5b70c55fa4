#ifndef ACX_TEXT_H
#define ACX_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/str.h"

/* Text from outside. The only file that knows libunistring. Pure. */

/* Printable ASCII and nothing else, as nearly all identities are: valid, and without controls. */
bool text_is_plain(struct str s);
/* Valid UTF-8 without NUL. */
bool text_valid(struct str s);
/* Has a character that PROTOCOL.md 5.1 excludes from an MC ID. s must be valid UTF-8. */
bool text_has_control(struct str s);
/* The longest prefix of at most that many bytes that does not end inside a character. */
struct str text_cut(struct str s, size_t most);
/* Makes any n bytes valid: each byte that is part of no character, and each NUL, becomes '?'. */
void text_mend(char *text, size_t n);
/*
 * snprintf for text that is stored, sent or logged: cuts between characters, and mends what is not valid. Returns the
 * length.
 */
size_t text_format(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t text_vformat(char *out, size_t size, const char *format, va_list args) __attribute__((format(printf, 3, 0)));
/*
 * Takes the first character from the rest, which is not empty. *taken: its bytes; *c: which one it is; of a byte that is
 * no UTF-8: U+FFFD.
 */
enum text_kind { TEXT_PRINTABLE, TEXT_CONTROL, TEXT_INVALID };
enum text_kind text_take(struct str *rest, struct str *taken, uint32_t *c);
/*
 * Makes anything safe for a log line or a terminal: invalid UTF-8, controls, backslash and double quote
 * become \xHH or \u{...}, \\ and \". Writes at most size bytes with the NUL, never splitting a character,
 * ends what was cut with "...". Returns out.
 */
char *text_escape(struct str s, char *out, size_t size);
/* "1 user", "2 users": the ending behind n. */
static inline const char *text_s(size_t n)
{
	return n == 1 ? "" : "s";
}

#endif
