// needs: common/cbor.c common/text.c common/arena.c common/error.c
#include "common/cbor.h"
#include <cbor.h>
#include "unit.h"

/* What cbor.c writes and reads by itself, against libcbor. */

static const uint64_t values[] = { 0, 1, 23, 24, 25, 127, 128, 254, 255, 256, 65535, 65536, UINT32_MAX,
				   1ull + UINT32_MAX, UINT64_MAX };
#define EACH_VALUE(v) for (const uint64_t *v = values; v < values + sizeof values / sizeof *values; v++)

static void assert_bytes(struct cbor_writer *w, const uint8_t *expected, size_t n)
{
	struct str s = cbor_written(w);
	assert_non_null(s.ptr);
	assert_int_equal(s.len, n);
	assert_memory_equal(s.ptr, expected, n);
}

static void heads_are_libcbors(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	EACH_VALUE(v) {
		uint8_t expected[9];
		struct cbor_writer w = cbor_writer_new(a, 9);
		cbor_put_uint(&w, *v);
		assert_bytes(&w, expected, cbor_encode_uint(*v, expected, 9));
		w = cbor_writer_new(a, 9);
		cbor_put_negative(&w, *v);
		assert_bytes(&w, expected, cbor_encode_negint(*v, expected, 9));
		w = cbor_writer_new(a, 9);
		cbor_put_array(&w, *v);
		assert_bytes(&w, expected, cbor_encode_array_start(*v, expected, 9));
		w = cbor_writer_new(a, 9);
		cbor_put_map(&w, *v);
		assert_bytes(&w, expected, cbor_encode_map_start(*v, expected, 9));
	}
	arena_free(a);
}

static void strings_are_libcbors(void **state)
{
	(void)state;
	static char text[70000];
	static uint8_t expected[70009];
	struct arena *a = arena_new(0);
	memset(text, 'a', sizeof text);
	for (size_t i = 0; values[i] <= 65536; i++) {
		size_t n = (size_t)values[i], head = cbor_encode_string_start(n, expected, 9);
		memset(expected + head, 'a', n);
		struct cbor_writer w = cbor_writer_new(a, n + 9);
		cbor_put_text(&w, (struct str){ text, n });
		assert_bytes(&w, expected, head + n);
		cbor_encode_bytestring_start(n, expected, 9);
		w = cbor_writer_new(a, n + 9);
		cbor_put_bytes(&w, text, n);
		assert_bytes(&w, expected, head + n);
	}
	arena_free(a);
}

/* No byte is written behind the room there is, and what does not fit spoils the whole. */
static void room_is_kept_to(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	EACH_VALUE(v) {
		uint8_t head[9];
		size_t n = cbor_encode_uint(*v, head, 9);
		for (size_t room = 0; room <= n; room++) {
			struct cbor_writer w = cbor_writer_new(a, room);
			cbor_put_uint(&w, *v);
			assert_int_equal(cbor_written(&w).ptr != NULL, room == n);
		}
	}
	struct cbor_writer w = cbor_writer_new(a, 3);
	cbor_put_text(&w, STR("abc"));
	cbor_put_uint(&w, 1);
	assert_null(cbor_written(&w).ptr);
	arena_free(a);
}

/* --- reading --- */

enum kind { UINT, NEGATIVE, BYTES, TEXT, ARRAY, MAP };
struct item {
	int kind; /* -1: none of these */
	uint64_t value;
};

static void on_8(void *i, uint8_t v) { *(struct item *)i = (struct item){ UINT, v }; }
static void on_16(void *i, uint16_t v) { *(struct item *)i = (struct item){ UINT, v }; }
static void on_32(void *i, uint32_t v) { *(struct item *)i = (struct item){ UINT, v }; }
static void on_64(void *i, uint64_t v) { *(struct item *)i = (struct item){ UINT, v }; }
static void on_negative_8(void *i, uint8_t v) { *(struct item *)i = (struct item){ NEGATIVE, v }; }
static void on_negative_16(void *i, uint16_t v) { *(struct item *)i = (struct item){ NEGATIVE, v }; }
static void on_negative_32(void *i, uint32_t v) { *(struct item *)i = (struct item){ NEGATIVE, v }; }
static void on_negative_64(void *i, uint64_t v) { *(struct item *)i = (struct item){ NEGATIVE, v }; }
static void on_bytes(void *i, cbor_data p, size_t n) { (void)p; *(struct item *)i = (struct item){ BYTES, n }; }
static void on_text(void *i, cbor_data p, size_t n) { (void)p; *(struct item *)i = (struct item){ TEXT, n }; }
static void on_array(void *i, size_t n) { *(struct item *)i = (struct item){ ARRAY, n }; }
static void on_map(void *i, size_t n) { *(struct item *)i = (struct item){ MAP, n }; }

/* What libcbor sees at the beginning; *taken: its bytes, 0 if it is cut off or not in its shortest form. */
static struct item libcbors(const uint8_t *bytes, size_t n, size_t *taken)
{
	struct cbor_callbacks c = cbor_empty_callbacks;
	struct item i = { -1, 0 };
	c.uint8 = on_8;
	c.uint16 = on_16;
	c.uint32 = on_32;
	c.uint64 = on_64;
	c.negint8 = on_negative_8;
	c.negint16 = on_negative_16;
	c.negint32 = on_negative_32;
	c.negint64 = on_negative_64;
	c.byte_string = on_bytes;
	c.string = on_text;
	c.array_start = on_array;
	c.map_start = on_map;
	struct cbor_decoder_result r = cbor_stream_decode(bytes, n, &c, &i);
	size_t head = i.value < 24 ? 1 : i.value < 256 ? 2 : i.value <= UINT16_MAX ? 3 : i.value <= UINT32_MAX ? 5 : 9;
	bool good = r.status == CBOR_DECODER_FINISHED && r.read == head + (i.kind == BYTES || i.kind == TEXT ? i.value : 0);
	*taken = good ? r.read : 0;
	return i;
}

static uint64_t read_as(struct cbor_reader *r, int kind)
{
	switch (kind) {
	case UINT: return cbor_get_uint(r);
	case NEGATIVE: return cbor_get_negative(r);
	case BYTES: return cbor_get_bytes(r).len;
	case TEXT: return cbor_get_text(r).len;
	case ARRAY: return cbor_get_array(r);
	default: return cbor_get_map(r);
	}
}

/* Each first byte, second byte and length, read as each kind. */
static void what_is_read_is_what_libcbor_reads(void **state)
{
	(void)state;
	uint8_t bytes[300];
	for (unsigned first = 0; first < 256; first++) {
		for (unsigned second = 0; second < 256; second++) {
			size_t n = (first * 256 + second) % 300, taken;
			memset(bytes, 'a', sizeof bytes);
			bytes[0] = (uint8_t)first;
			bytes[1] = (uint8_t)second;
			struct item i = libcbors(bytes, n, &taken);
			for (int kind = UINT; kind <= MAP; kind++) {
				struct cbor_reader r = cbor_reader_of((struct str){ (char *)bytes, n });
				uint64_t value = read_as(&r, kind);
				bool good = taken && i.kind == kind;
				if (kind == TEXT && good && i.value > 0 && taken == i.value + 1 && (second == 0 || second > 0x7F))
					good = false; /* no UTF-8 */
				if (kind == ARRAY && good)
					good = i.value <= n - taken;
				assert_int_equal(r.bad == NULL, good);
				assert_true(!good || (value == i.value && r.left == n - taken));
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads_are_libcbors),
		cmocka_unit_test(strings_are_libcbors),
		cmocka_unit_test(room_is_kept_to),
		cmocka_unit_test(what_is_read_is_what_libcbor_reads),
	};
	return cmocka_run_group_tests_name("cbor", tests, NULL, NULL);
}
