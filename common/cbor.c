#include "common/cbor.h"

#include <cbor.h>
#include <endian.h>
#include "common/text.h"

/* --- writing --- */

struct cbor_writer cbor_writer_new(struct arena *a, size_t size)
{
	struct cbor_writer w = { .arena = a, .left = size };
	w.start = w.at = arena_raw(a, size);
	if (!w.start)
		w.left = 0;
	return w;
}

/* n == 0: there was no room. It sticks. */
static void advance(struct cbor_writer *w, size_t n)
{
	if (!w->start || n == 0) {
		*w = (struct cbor_writer){ 0 };
		return;
	}
	w->at += n;
	w->left -= n;
}

/* The types that an item begins with (RFC 8949 3.1). */
enum major { MAJOR_UINT, MAJOR_NEGATIVE, MAJOR_BYTES, MAJOR_TEXT, MAJOR_ARRAY, MAJOR_MAP, MAJOR_TAG };

/* A head of one byte or two, as nearly all are: libcbor takes three calls for it. False: it is longer, or has no room. */
static inline bool put_short_head(struct cbor_writer *w, enum major major, uint64_t value)
{
	uint8_t type = (uint8_t)(major << 5);
	if (value > UINT8_MAX || w->left < 2)
		return false;
	if (value < 24) {
		*w->at++ = (uint8_t)(type | value);
		w->left--;
		return true;
	}
	*w->at++ = type | 24;
	*w->at++ = (uint8_t)value;
	w->left -= 2;
	return true;
}

/* A number that needs all of eight bytes, as times do. False: it does not, or has no room. */
static inline bool put_long_uint(struct cbor_writer *w, uint64_t value)
{
	if (value <= UINT32_MAX || w->left < CBOR_HEAD_MAX)
		return false;
	uint64_t big_endian = htobe64(value);
	*w->at = MAJOR_UINT << 5 | 27;
	memcpy(w->at + 1, &big_endian, sizeof big_endian);
	w->at += CBOR_HEAD_MAX;
	w->left -= CBOR_HEAD_MAX;
	return true;
}

void cbor_put_uint(struct cbor_writer *w, uint64_t value)
{
	if (!put_short_head(w, MAJOR_UINT, value) && !put_long_uint(w, value))
		advance(w, cbor_encode_uint(value, w->at, w->left));
}

void cbor_put_negative(struct cbor_writer *w, uint64_t value)
{
	if (!put_short_head(w, MAJOR_NEGATIVE, value))
		advance(w, cbor_encode_negint(value, w->at, w->left));
}

void cbor_put_tag(struct cbor_writer *w, uint64_t tag)
{
	advance(w, cbor_encode_tag(tag, w->at, w->left));
}

void cbor_put_map(struct cbor_writer *w, size_t pairs)
{
	if (!put_short_head(w, MAJOR_MAP, pairs))
		advance(w, cbor_encode_map_start(pairs, w->at, w->left));
}

void cbor_put_array(struct cbor_writer *w, size_t items)
{
	if (!put_short_head(w, MAJOR_ARRAY, items))
		advance(w, cbor_encode_array_start(items, w->at, w->left));
}

static void put_raw(struct cbor_writer *w, const void *bytes, size_t n)
{
	if (n == 0)
		return;
	if (n > w->left) {
		advance(w, 0);
		return;
	}
	memcpy(w->at, bytes, n);
	w->at += n;
	w->left -= n;
}

void cbor_put_bytes(struct cbor_writer *w, const void *bytes, size_t n)
{
	if (!put_short_head(w, MAJOR_BYTES, n))
		advance(w, cbor_encode_bytestring_start(n, w->at, w->left));
	put_raw(w, bytes, n);
}

static void put_text(struct cbor_writer *w, struct str s)
{
	if (!put_short_head(w, MAJOR_TEXT, s.len))
		advance(w, cbor_encode_string_start(s.len, w->at, w->left));
	put_raw(w, s.ptr, s.len);
}

void cbor_refuse(struct cbor_writer *w)
{
	advance(w, 0);
}

void cbor_put_text(struct cbor_writer *w, struct str s)
{
	put_text(w, s);
	if (!text_valid(s))
		cbor_refuse(w);
}

void cbor_put_id(struct cbor_writer *w, struct str s, size_t max)
{
	cbor_put_text(w, s);
	if (s.len == 0 || s.len > max)
		cbor_refuse(w);
}

void cbor_put_prose(struct cbor_writer *w, struct str s)
{
	put_text(w, s);
	if (w->start && s.len > 0)
		text_mend((char *)w->at - s.len, s.len);
}

void cbor_put_null(struct cbor_writer *w)
{
	advance(w, cbor_encode_null(w->at, w->left));
}

struct str cbor_written(struct cbor_writer *w)
{
	if (!w->start)
		return STR_NONE;
	size_t n = (size_t)(w->at - w->start);
	arena_trim(w->arena, w->start, n + w->left, n);
	w->left = 0;
	return (struct str){ (const char *)w->start, n };
}

/* --- reading --- */

enum token_kind { TOKEN_NONE, TOKEN_UINT, TOKEN_BYTES, TOKEN_TEXT, TOKEN_ARRAY, TOKEN_MAP, TOKEN_NULL,
		  TOKEN_NEGATIVE, TOKEN_TAG };

struct token {
	enum token_kind kind;
	uint64_t value; /* or count, or length */
	const uint8_t *bytes;
};

static void on_uint8(void *t, uint8_t v) { *(struct token *)t = (struct token){ TOKEN_UINT, v, NULL }; }
static void on_uint16(void *t, uint16_t v) { *(struct token *)t = (struct token){ TOKEN_UINT, v, NULL }; }
static void on_uint32(void *t, uint32_t v) { *(struct token *)t = (struct token){ TOKEN_UINT, v, NULL }; }
static void on_uint64(void *t, uint64_t v) { *(struct token *)t = (struct token){ TOKEN_UINT, v, NULL }; }
static void on_bytes(void *t, cbor_data p, size_t n) { *(struct token *)t = (struct token){ TOKEN_BYTES, n, p }; }
static void on_text(void *t, cbor_data p, size_t n) { *(struct token *)t = (struct token){ TOKEN_TEXT, n, p }; }
static void on_array(void *t, size_t n) { *(struct token *)t = (struct token){ TOKEN_ARRAY, n, NULL }; }
static void on_map(void *t, size_t n) { *(struct token *)t = (struct token){ TOKEN_MAP, n, NULL }; }
static void on_negint8(void *t, uint8_t v) { *(struct token *)t = (struct token){ TOKEN_NEGATIVE, v, NULL }; }
static void on_negint16(void *t, uint16_t v) { *(struct token *)t = (struct token){ TOKEN_NEGATIVE, v, NULL }; }
static void on_negint32(void *t, uint32_t v) { *(struct token *)t = (struct token){ TOKEN_NEGATIVE, v, NULL }; }
static void on_negint64(void *t, uint64_t v) { *(struct token *)t = (struct token){ TOKEN_NEGATIVE, v, NULL }; }
static void on_tag(void *t, uint64_t v) { *(struct token *)t = (struct token){ TOKEN_TAG, v, NULL }; }
static void on_null(void *t) { *(struct token *)t = (struct token){ TOKEN_NULL, 0, NULL }; }

void cbor_fail(struct cbor_reader *r, const char *what)
{
	if (!r->bad)
		r->bad = what;
}

static size_t shortest_head(uint64_t value)
{
	return value < 24 ? 1 : value <= UINT8_MAX ? 2 : value <= UINT16_MAX ? 3 :
	       value <= UINT32_MAX ? 5 : 9;
}

static const struct cbor_callbacks callbacks = {
	.uint8 = on_uint8,
	.uint16 = on_uint16,
	.uint32 = on_uint32,
	.uint64 = on_uint64,
	.negint8 = on_negint8,
	.negint16 = on_negint16,
	.negint32 = on_negint32,
	.negint64 = on_negint64,
	.byte_string = on_bytes,
	.byte_string_start = cbor_null_byte_string_start_callback,
	.string = on_text,
	.string_start = cbor_null_string_start_callback,
	.array_start = on_array,
	.indef_array_start = cbor_null_indef_array_start_callback,
	.map_start = on_map,
	.indef_map_start = cbor_null_indef_map_start_callback,
	.tag = on_tag,
	.null = on_null,
	.undefined = cbor_null_undefined_callback,
	.boolean = cbor_null_boolean_callback,
	.float2 = cbor_null_float2_callback,
	.float4 = cbor_null_float4_callback,
	.float8 = cbor_null_float8_callback,
	.indef_break = cbor_null_indef_break_callback,
};

/*
 * Reads a head of one byte or two, as nearly all are, and in its shortest form. False: it is longer, another, or bad,
 * which libcbor finds out; nothing is read.
 */
static inline bool get_short_head(struct cbor_reader *r, enum major major, uint64_t *value)
{
	if (r->bad || r->left == 0 || *r->at >> 5 != major)
		return false;
	size_t head = 1;
	*value = *r->at & 31;
	if (*value >= 24) {
		if (*value > 24 || r->left < 2 || r->at[1] < 24)
			return false;
		*value = r->at[1];
		head = 2;
	}
	r->at += head;
	r->left -= head;
	return true;
}

/* Likewise a string with its head. */
static inline bool get_short_string(struct cbor_reader *r, enum major major, struct str *out)
{
	struct cbor_reader before = *r;
	uint64_t length;
	if (!get_short_head(r, major, &length))
		return false;
	if (length > r->left) {
		*r = before;
		return false;
	}
	*out = (struct str){ (const char *)r->at, (size_t)length };
	r->at += length;
	r->left -= length;
	return true;
}

/* The next item of the kind that must come; its value, count or length. */
static struct token next(struct cbor_reader *r, enum token_kind a, enum token_kind b)
{
	struct token t = { TOKEN_NONE, 0, NULL };
	if (r->bad)
		return t;
	struct cbor_decoder_result result = cbor_stream_decode(r->at, r->left, &callbacks, &t);
	if (result.status != CBOR_DECODER_FINISHED)
		cbor_fail(r, "it is cut off or no CBOR");
	else if (t.kind != a && t.kind != b)
		cbor_fail(r, "an item has another type than it should");
	else if (result.read != shortest_head(t.value) + (t.bytes ? t.value : 0))
		cbor_fail(r, "an item is not in its shortest form");
	if (r->bad)
		return (struct token){ TOKEN_NONE, 0, NULL };
	r->at += result.read;
	r->left -= result.read;
	return t;
}

uint64_t cbor_get_uint(struct cbor_reader *r)
{
	uint64_t value;
	if (get_short_head(r, MAJOR_UINT, &value))
		return value;
	return next(r, TOKEN_UINT, TOKEN_UINT).value;
}

uint64_t cbor_get_negative(struct cbor_reader *r)
{
	return next(r, TOKEN_NEGATIVE, TOKEN_NEGATIVE).value;
}

/* libcbor (0.8) takes the tags 6 to 20, COSE's among them, for no CBOR: those of one byte are read here. */
uint64_t cbor_get_tag(struct cbor_reader *r)
{
	if (!r->bad && r->left > 0 && *r->at >= 0xC0 && *r->at < 0xC0 + 24) {
		r->left--;
		return *r->at++ - 0xC0;
	}
	return next(r, TOKEN_TAG, TOKEN_TAG).value;
}

void cbor_get_fixed(struct cbor_reader *r, uint8_t *out, size_t n)
{
	struct token t = next(r, TOKEN_BYTES, TOKEN_BYTES);
	if (!r->bad && t.value != n)
		cbor_fail(r, "a byte string has another length than it should");
	if (!r->bad)
		memcpy(out, t.bytes, n);
}

void cbor_get_null(struct cbor_reader *r)
{
	next(r, TOKEN_NULL, TOKEN_NULL);
}

static struct str checked(struct cbor_reader *r, struct str s)
{
	if (text_valid(s))
		return s;
	cbor_fail(r, "a text is not UTF-8");
	return STR_NONE;
}

/* Any bytes: a text by its head. */
static struct str get_unchecked_text(struct cbor_reader *r)
{
	struct str s;
	if (get_short_string(r, MAJOR_TEXT, &s))
		return s;
	struct token t = next(r, TOKEN_TEXT, TOKEN_TEXT);
	return r->bad ? STR_NONE : (struct str){ (const char *)t.bytes, (size_t)t.value };
}

struct str cbor_get_text(struct cbor_reader *r)
{
	struct str s = get_unchecked_text(r);
	return r->bad ? STR_NONE : checked(r, s);
}

struct str cbor_get_bytes(struct cbor_reader *r)
{
	struct str s;
	if (get_short_string(r, MAJOR_BYTES, &s))
		return s;
	struct token t = next(r, TOKEN_BYTES, TOKEN_BYTES);
	return r->bad ? STR_NONE : (struct str){ (const char *)t.bytes, (size_t)t.value };
}

struct str cbor_get_prose(struct cbor_reader *r, struct arena *a)
{
	struct str s = get_unchecked_text(r);
	if (r->bad || text_valid(s))
		return s;
	struct str copy = arena_str(a, s);
	if (copy.ptr)
		text_mend((char *)copy.ptr, copy.len);
	else
		cbor_fail(r, "out of memory");
	return copy;
}

struct str cbor_get_text_or_null(struct cbor_reader *r)
{
	return cbor_next_is_null(r) ? STR_NONE : cbor_get_text(r);
}

/* An identity or another text that may not be empty, at most max bytes. */
struct str cbor_get_id(struct cbor_reader *r, size_t max)
{
	struct str s = cbor_get_text(r);
	if (!r->bad && (s.len == 0 || s.len > max))
		cbor_fail(r, "a text is empty or too long");
	return s;
}

/* An array's count; each item takes a byte at least, so a count beyond what is left is a lie. */
size_t cbor_get_array(struct cbor_reader *r)
{
	uint64_t n;
	if (!get_short_head(r, MAJOR_ARRAY, &n))
		n = next(r, TOKEN_ARRAY, TOKEN_ARRAY).value;
	if (n > r->left)
		cbor_fail(r, "an array is longer than the record");
	return r->bad ? 0 : (size_t)n;
}

void cbor_expect_array(struct cbor_reader *r, size_t n)
{
	if (cbor_get_array(r) != n)
		cbor_fail(r, "an array has another length than it should");
}

uint64_t cbor_get_map(struct cbor_reader *r)
{
	uint64_t pairs;
	if (get_short_head(r, MAJOR_MAP, &pairs))
		return pairs;
	return next(r, TOKEN_MAP, TOKEN_MAP).value;
}

/* An array that may not be empty. */
size_t cbor_get_filled_array(struct cbor_reader *r)
{
	size_t n = cbor_get_array(r);
	if (n == 0)
		cbor_fail(r, "an array is empty");
	return n;
}

bool cbor_next_is(struct cbor_reader *r, uint64_t key)
{
	struct cbor_reader before = *r;
	if (!r->bad && cbor_get_uint(r) == key && !r->bad)
		return true;
	*r = before;
	return false;
}

bool cbor_next_is_null(struct cbor_reader *r)
{
	enum { NULL_BYTE = 0xF6 };
	if (r->bad || r->left == 0 || *r->at != NULL_BYTE)
		return false;
	r->at++;
	r->left--;
	return true;
}

/* Keys come in ascending order, all of them: what is deterministic needs no search. */
void cbor_expect_key(struct cbor_reader *r, uint64_t key)
{
	if (cbor_get_uint(r) != key)
		cbor_fail(r, "a key is missing, unknown, or out of order");
}

enum status cbor_finish(struct cbor_reader *r, const char *what, struct error *e)
{
	if (!r->bad && r->left > 0)
		cbor_fail(r, "there are bytes behind it");
	return r->bad ? error_set(e, ERR_STORE, "%s record: %s", what, r->bad) : OK;
}

struct cbor_reader cbor_reader_of(struct str value)
{
	return (struct cbor_reader){ (const uint8_t *)value.ptr, value.len, NULL };
}
