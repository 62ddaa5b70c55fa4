#ifndef ACX_CBOR_H
#define ACX_CBOR_H

#include <stdbool.h>
#include <stdint.h>
#include "common/arena.h"
#include "common/error.h"
#include "common/str.h"

/*
 * CBOR in deterministic encoding (RFC 8949 4.2.1), written and read item by item. The only file that knows libcbor.
 * Pure.
 */

enum { CBOR_HEAD_MAX = 9 };

/* Sized for the worst case beforehand, so that nothing can go wrong halfway. */
struct cbor_writer {
	struct arena *arena;
	uint8_t *start, *at;
	size_t left;
};

struct cbor_writer cbor_writer_new(struct arena *a, size_t size);
void cbor_put_uint(struct cbor_writer *w, uint64_t value);
/* A negative number: -1 - value. */
void cbor_put_negative(struct cbor_writer *w, uint64_t value);
void cbor_put_map(struct cbor_writer *w, size_t pairs);
void cbor_put_array(struct cbor_writer *w, size_t items);
void cbor_put_bytes(struct cbor_writer *w, const void *bytes, size_t n);
/* Valid UTF-8 only, as the reader wants it: any other makes the writer fail, since it may be an identity. */
void cbor_put_text(struct cbor_writer *w, struct str s);
/* The same for what cbor_get_id reads: neither empty nor longer than max. */
void cbor_put_id(struct cbor_writer *w, struct str s, size_t max);
/* What people wrote, or a peer said of itself: mended where it is not valid. */
void cbor_put_prose(struct cbor_writer *w, struct str s);
/* Something is to be written that the reader would refuse: the writer fails. */
void cbor_refuse(struct cbor_writer *w);
void cbor_put_null(struct cbor_writer *w);
void cbor_put_tag(struct cbor_writer *w, uint64_t tag);
/*
 * What was written, from the arena, which has back what was not needed; ptr == NULL: the arena was spent, the size too
 * small, or something was refused.
 */
struct str cbor_written(struct cbor_writer *w);

/* Sticky: after the first thing that does not fit everything reads as nothing. */
struct cbor_reader {
	const uint8_t *at;
	size_t left;
	const char *bad; /* what, or NULL */
};

struct cbor_reader cbor_reader_of(struct str value);
/* Notes what is bad, unless something was before. */
void cbor_fail(struct cbor_reader *r, const char *what);
uint64_t cbor_get_uint(struct cbor_reader *r);
/* Of the number -1 - value, the value. */
uint64_t cbor_get_negative(struct cbor_reader *r);
uint64_t cbor_get_tag(struct cbor_reader *r);
void cbor_get_fixed(struct cbor_reader *r, uint8_t *out, size_t n);
void cbor_get_null(struct cbor_reader *r);
/* Borrows from what is read. */
struct str cbor_get_bytes(struct cbor_reader *r);
struct str cbor_get_text(struct cbor_reader *r);
/* What cbor_put_prose wrote, or what was written before it mended: a text that is not valid is mended in a copy. */
struct str cbor_get_prose(struct cbor_reader *r, struct arena *a);
/* STR_NONE for null. */
struct str cbor_get_text_or_null(struct cbor_reader *r);
/* An identity or another text that may not be empty, at most max bytes. */
struct str cbor_get_id(struct cbor_reader *r, size_t max);
/* An array's count, which cannot exceed the bytes that are left. */
size_t cbor_get_array(struct cbor_reader *r);
size_t cbor_get_filled_array(struct cbor_reader *r);
void cbor_expect_array(struct cbor_reader *r, size_t n);
uint64_t cbor_get_map(struct cbor_reader *r);
/* Whether the next item is this unsigned number, which is then read: an optional key of a map. */
bool cbor_next_is(struct cbor_reader *r, uint64_t key);
/* Whether the next item is null, which is then read. */
bool cbor_next_is_null(struct cbor_reader *r);
/* Keys come in ascending order, all of them: what is deterministic needs no search. */
void cbor_expect_key(struct cbor_reader *r, uint64_t key);
/* OK if nothing was bad and nothing is left. what: the kind of thing, for the error. */
enum status cbor_finish(struct cbor_reader *r, const char *what, struct error *e);

#endif
