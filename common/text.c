#include "common/text.h"

#include <stdint.h>
#include <stdio.h>
#include <unictype.h>
#include <unistr.h>

/* Of eight bytes: the highest bit of some byte is set unless all are printable ASCII, 0x20 to 0x7E. */
static uint64_t unlike_plain(const char *p)
{
	const uint64_t ones = UINT64_MAX / 255, high = 0x80 * ones;
	uint64_t w;
	memcpy(&w, p, sizeof w);
	/* Above 0x7E: by itself, or one further. Below 0x20: taking 0x20 off 0x80 more goes below 0x80. */
	return (w | (w + ones) | ~((w | high) - 0x20 * ones)) & high;
}

/* Sixteen bytes at once, with whatever the processor has for that. */
typedef signed char block __attribute__((vector_size(16)));

/* Of each byte: not 0 unless it is printable ASCII. Those from 0x80 on are negative. */
static block unlike_plain_each(const char *p)
{
	block b;
	memcpy(&b, p, sizeof b);
	return (b < 0x20) | (b == 0x7F);
}

static bool none_is_set(block b)
{
	uint64_t halves[2];
	memcpy(halves, &b, sizeof b);
	return (halves[0] | halves[1]) == 0;
}

/* The last eight, or sixteen, by themselves: some of them are looked at once more, and none is left over. */
bool text_is_plain(struct str s)
{
	size_t i = 0;
	if (s.len >= sizeof(block)) {
		block unlike = unlike_plain_each(s.ptr + s.len - sizeof(block));
		for (; i + sizeof(block) <= s.len; i += sizeof(block))
			unlike |= unlike_plain_each(s.ptr + i);
		return none_is_set(unlike);
	}
	if (s.len >= 8)
		return !(unlike_plain(s.ptr) | unlike_plain(s.ptr + s.len - 8));
	for (; i < s.len; i++) {
		if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7E)
			return false;
	}
	return true;
}

bool text_valid(struct str s)
{
	if (text_is_plain(s)) /* nearly all is; libunistring goes byte by byte */
		return true;
	return u8_check((const uint8_t *)s.ptr, s.len) == NULL &&
	       (s.len == 0 || memchr(s.ptr, 0, s.len) == NULL);
}

static bool is_bidi_control(ucs4_t c)
{
	return c == 0x061C || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) ||
	       (c >= 0x2066 && c <= 0x2069);
}

static bool is_control(ucs4_t c)
{
	if (c >= 0x20 && c < 0x7F)
		return false;
	return is_bidi_control(c) ||
	       uc_is_general_category_withtable(c, UC_CATEGORY_MASK_Cc | UC_CATEGORY_MASK_Cs |
							  UC_CATEGORY_MASK_Cn |
							  UC_CATEGORY_MASK_Zl | UC_CATEGORY_MASK_Zp);
}

bool text_has_control(struct str s)
{
	const uint8_t *p = (const uint8_t *)(s.ptr ? s.ptr : ""), *end = p + s.len;
	if (text_is_plain(s))
		return false;
	while (p < end) {
		ucs4_t c;
		int n = u8_mbtouc(&c, p, (size_t)(end - p));
		if (is_control(c))
			return true;
		p += n;
	}
	return false;
}

/* A byte that goes on with a character which began before it. */
static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xC0) == 0x80;
}

/* The length without a character at the end that is not there to its end. */
static size_t without_cut_character(const char *text, size_t n)
{
	size_t start = n;
	while (start > 0 && n - start < 3 && is_continuation(text[start - 1]))
		start--;
	if (start == 0)
		return n;
	unsigned char first = (unsigned char)text[start - 1];
	size_t needs = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
	return n - (start - 1) < needs ? start - 1 : n;
}

struct str text_cut(struct str s, size_t most)
{
	return s.len <= most ? s : (struct str){ s.ptr, without_cut_character(s.ptr, most) };
}

void text_mend(char *text, size_t n)
{
	struct str s = { text, n };
	if (text_is_plain(s))
		return;
	for (size_t i = 0; i < n;) {
		ucs4_t c;
		int taken = u8_mbtoucr(&c, (uint8_t *)text + i, n - i);
		if (taken <= 0 || c == 0) {
			text[i] = '?';
			taken = 1;
		}
		i += (size_t)taken;
	}
}

size_t text_vformat(char *out, size_t size, const char *format, va_list args)
{
	if (size == 0)
		return 0;
	int n = vsnprintf(out, size, format, args);
	size_t len = n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
	if (n > 0 && (size_t)n != len)
		len = without_cut_character(out, len);
	text_mend(out, len);
	out[len] = '\0';
	return len;
}

size_t text_format(char *out, size_t size, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	size_t len = text_vformat(out, size, format, args);
	va_end(args);
	return len;
}

enum text_kind text_take(struct str *rest, struct str *taken, uint32_t *c)
{
	int n = u8_mbtoucr(c, (const uint8_t *)rest->ptr, rest->len);
	enum text_kind kind = n <= 0 ? TEXT_INVALID : *c == 0 || is_control(*c) ? TEXT_CONTROL : TEXT_PRINTABLE;
	if (kind == TEXT_INVALID) {
		n = 1;
		*c = 0xFFFD;
	}
	*taken = (struct str){ rest->ptr, (size_t)n };
	*rest = (struct str){ rest->ptr + n, rest->len - (size_t)n };
	return kind;
}

/* How one character, or one bad byte, is to be written. Returns the bytes taken from p. */
static int escape_one(const uint8_t *p, size_t left, char out[16], size_t *n)
{
	ucs4_t c;
	int taken = u8_mbtoucr(&c, p, left);
	if (taken <= 0) {
		*n = (size_t)snprintf(out, 16, "\\x%02X", *p);
		return 1;
	}
	if (c == '\\' || c == '"')
		*n = (size_t)snprintf(out, 16, "\\%c", (char)c);
	else if (c < 0x80 && is_control(c))
		*n = (size_t)snprintf(out, 16, "\\x%02X", (unsigned)c);
	else if (is_control(c))
		*n = (size_t)snprintf(out, 16, "\\u{%X}", (unsigned)c);
	else
		memcpy(out, p, *n = (size_t)taken);
	return taken;
}

char *text_escape(struct str s, char *out, size_t size)
{
	static const char dots[] = "...";
	const uint8_t *p = (const uint8_t *)(s.ptr ? s.ptr : ""), *end = p + s.len;
	size_t at = 0, keep = 0; /* keep: the longest prefix that leaves room for the dots */
	if (size == 0)
		return out;
	while (p < end) {
		char one[16];
		size_t n = 0;
		p += escape_one(p, (size_t)(end - p), one, &n);
		if (at + n + 1 > size) {
			at = keep;
			for (const char *d = dots; *d && at + 1 < size; d++)
				out[at++] = *d;
			break;
		}
		memcpy(out + at, one, n);
		at += n;
		if (at + sizeof dots <= size)
			keep = at;
	}
	out[at] = '\0';
	return out;
}
