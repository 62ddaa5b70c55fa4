#include "common/json.h"

#include <stdlib.h>
#include <yajl/yajl_gen.h>
#include <yajl/yajl_parse.h>
#include "common/text.h"

/* --- writing --- */

struct json_writer {
	yajl_gen gen;
	FILE *out;
	bool failed; /* out of memory */
};

static void print(void *out, const char *text, size_t n)
{
	fwrite(text, 1, n, out);
}

struct json_writer *json_writer_new(FILE *out)
{
	struct json_writer *w = calloc(1, sizeof *w);
	if (!w || !(w->gen = yajl_gen_alloc(NULL))) {
		free(w);
		return NULL;
	}
	w->out = out;
	yajl_gen_config(w->gen, yajl_gen_beautify, 1);
	yajl_gen_config(w->gen, yajl_gen_indent_string, "  ");
	yajl_gen_config(w->gen, yajl_gen_print_callback, print, out);
	return w;
}

bool json_writer_free(struct json_writer *w)
{
	bool good = fflush(w->out) == 0 && !ferror(w->out) && !w->failed;
	yajl_gen_free(w->gen);
	free(w);
	return good;
}

void json_map(struct json_writer *w)
{
	yajl_gen_map_open(w->gen);
}

void json_end_map(struct json_writer *w)
{
	yajl_gen_map_close(w->gen);
}

void json_array(struct json_writer *w)
{
	yajl_gen_array_open(w->gen);
}

void json_end_array(struct json_writer *w)
{
	yajl_gen_array_close(w->gen);
}

/* Returns the end of what is written: at most twelve bytes. */
static char *put_escape(char *out, uint32_t c)
{
	if (c == '"' || c == '\\')
		return out + sprintf(out, "\\%c", (char)c);
	if (c == '\n')
		return out + sprintf(out, "\\n");
	if (c > 0xFFFF)
		return out + sprintf(out, "\\u%04X\\u%04X", 0xD800 + ((c - 0x10000) >> 10), 0xDC00 + (c & 0x3FF));
	return out + sprintf(out, "\\u%04X", c);
}

/* With its quotes. room: six bytes for each of the text's, and a few. */
static size_t escape(struct str s, char *out)
{
	char *at = out;
	*at++ = '"';
	while (s.len > 0) {
		uint32_t c;
		struct str taken;
		enum text_kind kind = text_take(&s, &taken, &c);
		if (kind != TEXT_PRINTABLE || c == '"' || c == '\\') {
			at = put_escape(at, c);
		} else {
			memcpy(at, taken.ptr, taken.len);
			at += taken.len;
		}
	}
	*at++ = '"';
	return (size_t)(at - out);
}

/* yajl escapes what JSON wants, and no more: the rest is given to it as it is to be written. */
void json_text(struct json_writer *w, struct str s)
{
	if (text_valid(s) && !text_has_control(s)) {
		yajl_gen_string(w->gen, (const unsigned char *)(s.ptr ? s.ptr : ""), s.len);
		return;
	}
	char *escaped = malloc(6 * s.len + 3);
	if (escaped)
		yajl_gen_number(w->gen, escaped, escape(s, escaped));
	else
		yajl_gen_null(w->gen);
	w->failed |= !escaped;
	free(escaped);
}

void json_key(struct json_writer *w, const char *key)
{
	yajl_gen_string(w->gen, (const unsigned char *)key, strlen(key));
}

/* yajl's own integers end at 63 bits. */
void json_number(struct json_writer *w, uint64_t n)
{
	char digits[24];
	yajl_gen_number(w->gen, digits, (size_t)sprintf(digits, "%llu", (unsigned long long)n));
}

void json_bool(struct json_writer *w, bool b)
{
	yajl_gen_bool(w->gen, b);
}

void json_null(struct json_writer *w)
{
	yajl_gen_null(w->gen);
}

/* --- reading --- */

/* Where in an escape the text ends so far: it is fed in pieces. */
struct escapes {
	enum { ESCAPE_NONE, ESCAPE_BEGUN, ESCAPE_HEX } place;
	unsigned digits, value;
	bool high; /* right behind the first half of a surrogate pair */
};

struct reader {
	json_each *each;
	json_mistake *mistake;
	void *context;
	unsigned line;
	bool in_line; /* more of the line may follow */
	bool stopped; /* by each */
	struct escapes escapes;
};

static int pass(void *context, enum json_kind kind, const unsigned char *text, size_t n)
{
	struct reader *r = context;
	r->stopped = !r->each(r->context, kind, (struct str){ (const char *)text, n }, r->line);
	return !r->stopped;
}

static int on_null(void *c) { return pass(c, JSON_OTHER, NULL, 0); }
static int on_bool(void *c, int value) { (void)value; return pass(c, JSON_OTHER, NULL, 0); }
static int on_number(void *c, const char *p, size_t n) { return pass(c, JSON_OTHER, (const unsigned char *)p, n); }
static int on_text(void *c, const unsigned char *p, size_t n) { return pass(c, JSON_TEXT, p, n); }
static int on_map(void *c) { return pass(c, JSON_MAP, NULL, 0); }
static int on_key(void *c, const unsigned char *p, size_t n) { return pass(c, JSON_KEY, p, n); }
static int on_end_map(void *c) { return pass(c, JSON_END_MAP, NULL, 0); }
static int on_array(void *c) { return pass(c, JSON_ARRAY, NULL, 0); }
static int on_end_array(void *c) { return pass(c, JSON_END_ARRAY, NULL, 0); }

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,	    .yajl_boolean = on_bool,	 .yajl_number = on_number,
	.yajl_string = on_text,	    .yajl_start_map = on_map,	 .yajl_map_key = on_key,
	.yajl_end_map = on_end_map, .yajl_start_array = on_array, .yajl_end_array = on_end_array,
};

static void report(struct reader *r, yajl_handle parser)
{
	unsigned char *text = yajl_get_error(parser, 0, NULL, 0);
	size_t n = text ? strlen((char *)text) : 0;
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
		text[--n] = '\0';
	if (!r->stopped)
		r->mistake(r->context, r->line, text ? (char *)text : "not JSON");
	if (text)
		yajl_free_error(parser, text);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* True: it is half a pair, without the other half where that has to be. */
static bool end_hex(struct escapes *e)
{
	bool low = (e->value & 0xFC00) == 0xDC00, alone = low != e->high;
	e->high = (e->value & 0xFC00) == 0xD800;
	e->place = ESCAPE_NONE;
	return alone;
}

/* Of what is in an escape, or right behind one. True: half a pair stands alone. */
static bool follow_escape(struct escapes *e, char c)
{
	bool alone = false;
	int digit = hex_digit(c);
	if (e->place == ESCAPE_NONE) {
		alone = e->high && c != '\\';
		e->high &= c == '\\';
		e->place = c == '\\' ? ESCAPE_BEGUN : ESCAPE_NONE;
	} else if (e->place == ESCAPE_BEGUN) {
		alone = e->high && c != 'u';
		e->high &= c == 'u';
		e->place = c == 'u' ? ESCAPE_HEX : ESCAPE_NONE;
		e->digits = e->value = 0;
	} else if (digit < 0) { /* which yajl does not take either */
		*e = (struct escapes){ ESCAPE_NONE, 0, 0, false };
	} else {
		e->value = e->value * 16 + (unsigned)digit;
		alone = ++e->digits == 4 && end_hex(e);
	}
	return alone;
}

/*
 * yajl makes a question mark of half a surrogate pair, and so of one text another. Outside of texts there are no
 * backslashes in JSON. True: there is such a half.
 */
static bool has_lone_surrogate(struct escapes *e, const char *text, size_t n)
{
	bool found = false;
	for (size_t i = 0; i < n; i++) {
		if (e->place == ESCAPE_NONE && !e->high) {
			const char *next = memchr(text + i, '\\', n - i);
			if (!next)
				break;
			i = (size_t)(next - text);
		}
		found |= follow_escape(e, text[i]);
	}
	return found;
}

/* Line by line, so that whatever yajl says next belongs to the line that it was just given. */
static yajl_status feed_lines(struct reader *r, yajl_handle parser, const char *text, size_t n)
{
	yajl_status status = yajl_status_ok;
	while (n > 0 && status == yajl_status_ok) {
		const char *newline = memchr(text, '\n', n);
		size_t piece = newline ? (size_t)(newline + 1 - text) : n;
		r->line += !r->in_line;
		r->in_line = !newline;
		if (has_lone_surrogate(&r->escapes, text, piece))
			r->mistake(r->context, r->line, "half a surrogate pair (\\uD800 to \\uDFFF) is no character");
		status = yajl_parse(parser, (const unsigned char *)text, piece);
		text += piece;
		n -= piece;
	}
	return status;
}

/* In pieces: a document may be one line of any length. */
static void feed(struct reader *r, yajl_handle parser, FILE *in)
{
	char piece[16384];
	size_t n;
	yajl_status status = yajl_status_ok;
	while (status == yajl_status_ok && (n = fread(piece, 1, sizeof piece, in)) > 0)
		status = feed_lines(r, parser, piece, n);
	if (status == yajl_status_ok)
		status = yajl_complete_parse(parser);
	if (status != yajl_status_ok)
		report(r, parser);
}

void json_read(FILE *in, json_each *each, json_mistake *mistake, void *context)
{
	struct reader r = { .each = each, .mistake = mistake, .context = context };
	yajl_handle parser = yajl_alloc(&callbacks, NULL, &r);
	if (!parser) {
		mistake(context, 1, "out of memory");
		return;
	}
	feed(&r, parser, in);
	yajl_free(parser);
}
