#ifndef ACX_JSON_H
#define ACX_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "common/str.h"

/* JSON, in and out, as a stream. The only file that knows yajl. */

/* --- writing: what does not fit the nesting is a mistake of the caller's --- */
struct json_writer;

struct json_writer *json_writer_new(FILE *out); /* NULL: out of memory */
/* False: something could not be written. Ends the document with a newline. */
bool json_writer_free(struct json_writer *w);
void json_map(struct json_writer *w);
void json_end_map(struct json_writer *w);
void json_array(struct json_writer *w);
void json_end_array(struct json_writer *w);
void json_key(struct json_writer *w, const char *key);
/*
 * Safe for a terminal: what PROTOCOL.md 5.1 excludes from an MC ID (controls, also those above ASCII, bidirectional
 * controls, line separators) becomes \uXXXX; what is no UTF-8 becomes U+FFFD.
 */
void json_text(struct json_writer *w, struct str s);
void json_number(struct json_writer *w, uint64_t n);
void json_bool(struct json_writer *w, bool b);
void json_null(struct json_writer *w);

/* --- reading --- */

enum json_kind { JSON_MAP, JSON_END_MAP, JSON_ARRAY, JSON_END_ARRAY, JSON_KEY, JSON_TEXT, JSON_OTHER };

/* False stops reading. text: for JSON_KEY and JSON_TEXT, and for JSON_OTHER the digits of a number. line: from 1. */
typedef bool json_each(void *context, enum json_kind kind, struct str text, unsigned line);

/* What read() reports as wrong with the syntax gets here. */
typedef void json_mistake(void *context, unsigned line, const char *what);

/* Reads one document to the end of the stream; goes on after half a surrogate pair, which is a mistake. */
void json_read(FILE *in, json_each *each, json_mistake *mistake, void *context);

#endif
