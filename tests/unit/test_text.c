// needs: common/text.c
#include "common/text.h"
#include "unit.h"

static void what_is_valid(void **state)
{
	(void)state;
	assert_true(text_valid(STR("")));
	assert_true(text_valid(STR("gr\xC3\xBC\xC3\x9F dich \xF0\x9F\x9A\x93")));
	assert_false(text_valid(STR("a\0b")));
	assert_false(text_valid(STR("\xC3")));
	assert_false(text_valid(STR("\xC0\x80")));         /* overlong */
	assert_false(text_valid(STR("\xED\xA0\x80")));     /* surrogate */
	assert_false(text_valid(STR("\xF4\x90\x80\x80"))); /* beyond Unicode */
}

static void what_is_a_control(void **state)
{
	(void)state;
	static const char *const bad[] = { "\n", "\x1b", "\x7f", "\xC2\x85", "\xE2\x80\xA8", "\xE2\x80\xA9",
					   "\xE2\x80\xAE", "\xE2\x81\xA6", "\xD8\x9C", "\xE2\x80\x8F" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_true(text_has_control(str_of(bad[i])));
	assert_false(text_has_control(STR_NONE));
	assert_false(text_has_control(STR("Zo\xC3\xAB \xE4\xBD\xA0 a~!")));
}

/* A random text: mostly plain, with a byte here and there that is not. */
static struct str random_text(char *buffer, size_t most)
{
	static const char odd[] = "\x00\x1f\x20\x7e\x7f\x80\xc2\x85\xe2\x80\xa8\xff\n";
	struct str s = { buffer, (size_t)rand() % (most + 1) };
	for (size_t i = 0; i < s.len; i++)
		buffer[i] = rand() % 24 ? (char)(0x20 + rand() % 0x5F) : odd[(size_t)rand() % (sizeof odd - 1)];
	return s;
}

/* What is plain is judged at once. With an umlaut behind it, it is judged character by character: the same. */
static void plain_text_is_judged_like_any(void **state)
{
	(void)state;
	size_t n_plain = 0;
	srand(1);
	for (int i = 0; i < 200000; i++) {
		char buffer[48];
		struct str s = random_text(buffer, 40);
		bool plain = true;
		for (size_t j = 0; j < s.len; j++)
			plain &= s.ptr[j] >= 0x20 && s.ptr[j] < 0x7F;
		assert_int_equal(text_is_plain(s), plain);
		n_plain += plain;
		memcpy(buffer + s.len, "\xC3\xA4", 2);
		struct str slow = { buffer, s.len + 2 };
		assert_false(text_is_plain(slow));
		assert_int_equal(text_valid(s), text_valid(slow));
		if (text_valid(s))
			assert_int_equal(text_has_control(s), text_has_control(slow));
	}
	assert_in_range(n_plain, 1000, 199000);
	assert_true(text_is_plain(STR_NONE));
}

static void escaping(void **state)
{
	(void)state;
	char out[64];
	assert_string_equal(text_escape(STR("a\nb\x1b[31m\"\\"), out, sizeof out), "a\\x0Ab\\x1B[31m\\\"\\\\");
	assert_string_equal(text_escape(STR("\xE2\x80\xAE\xFF\xC3\xA4"), out, sizeof out), "\\u{202E}\\xFF\xC3\xA4");
	assert_string_equal(text_escape(STR_NONE, out, sizeof out), "");
}

static void escaping_never_splits_and_says_that_it_cut(void **state)
{
	(void)state;
	for (size_t size = 1; size < 30; size++) {
		char out[32];
		memset(out, 'X', sizeof out);
		text_escape(STR("\xC3\xA4\xC3\xA4\n\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4"), out, size);
		assert_true(strlen(out) < size);
		assert_true(text_valid(str_of(out)));
		assert_int_equal(out[size], 'X');
		if (size > 4 && size < 19)
			assert_string_equal(out + strlen(out) - 3, "...");
	}
}

static void cutting_leaves_whole_characters(void **state)
{
	(void)state;
	static const char text[] = "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x9A\x93z"; /* characters of 1, 2, 3, 4 and 1 bytes */
	static const size_t whole[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11 };
	for (size_t most = 0; most < sizeof whole / sizeof *whole; most++) {
		char out[16];
		memset(out, 'X', sizeof out);
		assert_int_equal(text_cut(STR(text), most).len, whole[most]);
		assert_int_equal(text_format(out, most + 1, "%s", text), whole[most]);
		assert_int_equal(strlen(out), whole[most]);
		assert_memory_equal(out, text, whole[most]);
		assert_int_equal(out[most + 1], 'X');
	}
	char none = 'X';
	assert_int_equal(text_format(&none, 0, "%s", text), 0);
	assert_int_equal(none, 'X');
	assert_int_equal(text_cut(STR_NONE, 5).len, 0);
}

static void what_is_invalid_is_mended(void **state)
{
	(void)state;
	char out[64];
	text_format(out, sizeof out, "%s", "a\xFF" "b\xC3(\xED\xA0\x80 \xC3\xA4 \xE2\x82");
	assert_string_equal(out, "a?b?(??? \xC3\xA4 ??");
	char zero[] = "a\0b";
	text_mend(zero, 3);
	assert_memory_equal(zero, "a?b", 3);
	/* Continuation bytes without a beginning are no character to keep together. */
	text_format(out, 4, "%s", "\x80\x80\x80\x80\x80");
	assert_string_equal(out, "???");
	text_mend(NULL, 0);
}

static void any_bytes_become_valid_text(void **state)
{
	(void)state;
	unsigned seed = test_seed();
	for (int i = 0; i < 100000; i++) {
		char bytes[41], out[41];
		size_t n = (size_t)rand_r(&seed) % 40, size = 1 + (size_t)rand_r(&seed) % sizeof out;
		for (size_t j = 0; j < n; j++)
			bytes[j] = (char)(rand_r(&seed) % 3 ? 0x80 + rand_r(&seed) % 0x80 : rand_r(&seed) % 0x80);
		size_t len = text_format(out, size, "%.*s", (int)n, bytes);
		assert_true(len < size);
		assert_true(text_valid(str_of(out)));
		text_mend(bytes, n);
		struct str s = { bytes, n };
		assert_true(text_valid(s));
		struct str cut = text_cut(s, size);
		assert_true(text_valid(cut) && cut.len <= size && (cut.len + 3 >= size || cut.len == n));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_valid),
		cmocka_unit_test(what_is_a_control),
		cmocka_unit_test(plain_text_is_judged_like_any),
		cmocka_unit_test(cutting_leaves_whole_characters),
		cmocka_unit_test(what_is_invalid_is_mended),
		cmocka_unit_test(any_bytes_become_valid_text),
		cmocka_unit_test(escaping),
		cmocka_unit_test(escaping_never_splits_and_says_that_it_cut),
	};
	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
