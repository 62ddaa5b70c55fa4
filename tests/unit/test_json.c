// needs: common/json.c common/text.c
/* JSON in and out as a stream: what is written parses again, and a mistake has its line. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "common/json.h"

/* --- writing --- */

struct output {
	char *text;
	size_t size;
	FILE *file;
};

static struct json_writer *begin(struct output *o)
{
	*o = (struct output){ NULL, 0, NULL };
	o->file = open_memstream(&o->text, &o->size);
	assert_non_null(o->file);
	struct json_writer *w = json_writer_new(o->file);
	assert_non_null(w);
	return w;
}

static void end(struct output *o, struct json_writer *w, const char *expected)
{
	assert_true(json_writer_free(w));
	fclose(o->file);
	assert_string_equal(o->text, expected);
	free(o->text);
}

static void writes_every_kind(void **state)
{
	struct output o;
	struct json_writer *w = begin(&o);
	(void)state;
	json_map(w);
	json_key(w, "text");
	json_text(w, STR("b\xC3\xBCro"));
	json_key(w, "numbers");
	json_array(w);
	json_number(w, 0);
	json_number(w, UINT64_MAX);
	json_end_array(w);
	json_key(w, "yes");
	json_bool(w, true);
	json_key(w, "nothing");
	json_null(w);
	json_key(w, "empty");
	json_map(w);
	json_end_map(w);
	json_end_map(w);
	end(&o, w, "{\n  \"text\": \"b\xC3\xBCro\",\n  \"numbers\": [\n    0,\n"
		   "    18446744073709551615\n  ],\n  \"yes\": true,\n  \"nothing\": null,\n"
		   "  \"empty\": {\n\n  }\n}\n");
}

static void escapes_what_json_must_not_have(void **state)
{
	struct output o;
	struct json_writer *w = begin(&o);
	(void)state;
	json_array(w);
	json_text(w, STR("\"\\\n\x1B[31m\x01"));
	json_text(w, (struct str){ "a\0b", 3 });
	json_text(w, STR_NONE);
	json_end_array(w);
	end(&o, w, "[\n  \"\\\"\\\\\\n\\u001B[31m\\u0001\",\n  \"a\\u0000b\",\n  \"\"\n]\n");
}

/* What a terminal obeys, or shows as something else, is never written as it is. */
static void escapes_what_a_terminal_obeys(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "a\x7f", "a\\u007F" },
		{ "\xC2\x9B" "2J", "\\u009B2J" },
		{ "b\xC3\xBC\xC2\x85", "b\xC3\xBC\\u0085" },
		{ "\xE2\x80\xAEtxt.exe", "\\u202Etxt.exe" },
		{ "\xE2\x81\xA6\xD8\x9C\xE2\x80\x8E", "\\u2066\\u061C\\u200E" },
		{ "\xE2\x80\xA8\xE2\x80\xA9", "\\u2028\\u2029" },
		{ "\"\\\x7f", "\\\"\\\\\\u007F" },
		{ "\xF0\x9F\x9A\x92\x1b", "\xF0\x9F\x9A\x92\\u001B" },
		{ "\xF3\xA0\x80\x80", "\\uDB40\\uDC00" }, /* unassigned, and more than 16 bits */
		{ "\x9b" "2J\xC3", "\\uFFFD2J\\uFFFD" },
		{ "\xC0\x80\xED\xA0\x80", "\\uFFFD\\uFFFD\\uFFFD\\uFFFD\\uFFFD" }, /* over-long, a surrogate */
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct output o;
		char expected[200];
		struct json_writer *w = begin(&o);
		json_text(w, str_of(cases[i].text));
		snprintf(expected, sizeof expected, "\"%s\"\n", cases[i].expected);
		end(&o, w, expected);
	}
}

static void take_text(struct str *out, const char *p, size_t n)
{
	out->ptr = memcpy(malloc(n + 1), p, n);
	out->len = n;
}

static bool keep_text(void *context, enum json_kind kind, struct str text, unsigned line)
{
	(void)line;
	if (kind == JSON_TEXT)
		take_text(context, text.ptr ? text.ptr : "", text.len);
	return true;
}

static void no_mistake(void *context, unsigned line, const char *what)
{
	(void)context;
	fail_msg("line %u: %s", line, what);
}

/* Whatever is written is read as the same, if it was UTF-8, and has no byte that a terminal obeys. */
static void every_text_comes_back(void **state)
{
	(void)state;
	srand(1);
	for (int round = 0; round < 20000; round++) {
		static const char *const pieces[] = { "a", "\"", "\\", "\x1b", "\x7f", "\xC2\x9B", "\xE2\x80\xAE",
						      "\xF0\x9F\x9A\x92", "\xF3\xA0\x80\x80", "/", "\n", "u0041" };
		char text[80] = "";
		struct output o;
		struct str back = STR_NONE;
		for (int i = rand() % 12; i > 0; i--)
			strcat(text, pieces[(size_t)rand() % (sizeof pieces / sizeof *pieces)]);
		struct json_writer *w = begin(&o);
		json_array(w);
		json_text(w, str_of(text));
		json_end_array(w);
		assert_true(json_writer_free(w));
		fclose(o.file);
		for (size_t i = 0; i + 1 < o.size; i++)
			assert_false(((unsigned char)o.text[i] < 0x20 && o.text[i] != '\n') || o.text[i] == 0x7f);
		assert_null(strstr(o.text, "\xC2\x9B"));
		assert_null(strstr(o.text, "\xE2\x80\xAE"));
		FILE *in = fmemopen(o.text, o.size, "r");
		json_read(in, keep_text, no_mistake, &back);
		fclose(in);
		assert_int_equal(back.len, strlen(text));
		assert_memory_equal(back.ptr, text, back.len);
		free((char *)back.ptr);
		free(o.text);
	}
}

static void says_that_output_failed(void **state)
{
	FILE *full = fopen("/dev/full", "w");
	(void)state;
	assert_non_null(full);
	struct json_writer *w = json_writer_new(full);
	json_map(w);
	json_end_map(w);
	assert_false(json_writer_free(w));
	fclose(full);
}

/* --- reading: events as "KIND:text@line " --- */

struct trace {
	char text[1024];
	size_t n;
	unsigned stop_after; /* events; 0: never */
	unsigned events, mistakes, mistake_line;
	size_t longest; /* text */
};

static void note(struct trace *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct trace *t, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(t->text + t->n, sizeof t->text - t->n, format, args);
	va_end(args);
	assert_in_range(n, 0, sizeof t->text - t->n - 1);
	t->n += (size_t)n;
}

static bool on_each(void *context, enum json_kind kind, struct str text, unsigned line)
{
	static const char *const names[] = { "{", "}", "[", "]", "key", "text", "other" };
	struct trace *t = context;
	if (text.len > t->longest)
		t->longest = text.len;
	if (text.ptr)
		note(t, "%s:%.*s@%u ", names[kind], STR_ARG(text), line);
	else
		note(t, "%s@%u ", names[kind], line);
	return ++t->events != t->stop_after;
}

static void on_mistake(void *context, unsigned line, const char *what)
{
	struct trace *t = context;
	assert_non_null(what);
	assert_true(what[0] && !strchr(what, '\n'));
	t->mistakes++;
	t->mistake_line = line;
}

static struct trace parse(const char *text, size_t n, unsigned stop_after)
{
	struct trace t = { .stop_after = stop_after };
	FILE *in = n ? fmemopen((char *)text, n, "r") : fopen("/dev/null", "r");
	assert_non_null(in);
	json_read(in, on_each, on_mistake, &t);
	fclose(in);
	return t;
}

#define PARSE(literal) parse(literal, sizeof(literal) - 1, 0)

static void reads_with_lines(void **state)
{
	struct trace t = PARSE("{\n\"a\": [1, true,\n null, \"x\\u00e9\"],\n\"b\":{}}\n\n");
	(void)state;
	assert_int_equal(t.mistakes, 0);
	assert_string_equal(t.text, "{@1 key:a@2 [@2 other:1@2 other@2 other@3 text:x\xC3\xA9@3 ]@3 "
				    "key:b@4 {@4 }@4 }@4 ");
}

static void a_text_may_have_nul(void **state)
{
	struct trace t = PARSE("[\"a\\u0000b\"]");
	(void)state;
	assert_int_equal(t.mistakes, 0);
	assert_int_equal(t.longest, 3);
}

static void mistakes_have_their_line(void **state)
{
	static const struct {
		const char *text;
		unsigned line;
	} cases[] = {
		{ "", 0 },
		{ " \n ", 2 },
		{ "[1,\n2,\n]", 3 },
		{ "{\"a\"\n1}", 2 },
		{ "[\n\"\xFF\"]", 2 },
		{ "[\n\n\"open", 3 },
		{ "[]\n[]", 2 },
		{ "[\n", 1 },
		{ "{'a':1}", 1 },
		{ "\xEF\xBB\xBF[]", 1 },
		{ "[01]", 1 },
		{ "[\n\"\\uD83D\\uDE92\\\"]", 2 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct trace t = parse(cases[i].text, strlen(cases[i].text), 0);
		if (t.mistakes != 1 || t.mistake_line != cases[i].line)
			fail_msg("case %zu: %u mistakes, line %u", i, t.mistakes, t.mistake_line);
	}
}

static bool pass(void *context, enum json_kind kind, struct str text, unsigned line)
{
	(void)context, (void)kind, (void)text, (void)line;
	return true;
}

static void count_mistake(void *context, unsigned line, const char *what)
{
	(void)line, (void)what;
	++*(unsigned *)context;
}

/* A text of pad letters before it, so that it falls onto every place of what is read at a time. */
static unsigned mistakes_of(const char *escapes, size_t pad)
{
	char *document = malloc(pad + strlen(escapes) + 5);
	unsigned mistakes = 0;
	memset(document, 'a', pad + 2);
	memcpy(document, "[\"", 2);
	sprintf(document + 2 + pad, "%s\"]", escapes);
	FILE *in = fmemopen(document, strlen(document), "r");
	json_read(in, pass, count_mistake, &mistakes);
	fclose(in);
	free(document);
	return mistakes;
}

static void half_a_surrogate_pair_is_a_mistake(void **state)
{
	static const char *const good[] = { "\\ud83d\\ude92", "\\uD83D\\uDE92\\uD83D\\uDE92", "\\ud7ff\\ue000", "\\\\ud800",
					    "\\n\\u0041", "\\\\\\\\ud800" };
	static const char *const bad[] = { "\\ud800", "\\udfff", "\\ud83dx", "\\ud83d\\n", "\\ud83d\\u0041", "\\ud83d\\ud83d\\ude92",
					   "\\ude92\\ud83d", "\\ud83d\\ude92\\ude92", "\\\\\\ud800", "\\uDBFF ", "\\ud83d\\\\" };
	enum { PIECE = 16384 };
	(void)state;
	for (size_t pad = PIECE - 30; pad < PIECE + 2; pad++) {
		for (size_t i = 0; i < sizeof good / sizeof *good; i++)
			if (mistakes_of(good[i], pad) != 0)
				fail_msg("good %zu at %zu", i, pad);
		for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
			if (mistakes_of(bad[i], pad) == 0)
				fail_msg("bad %zu at %zu", i, pad);
	}
}

/* Any sequence of escapes: a mistake just when UTF-16 has one. */
static void pairs_are_as_utf_16_has_them(void **state)
{
	(void)state;
	srand(2);
	for (int round = 0; round < 20000; round++) {
		char text[100] = "";
		bool high = false, wrong = false;
		for (int i = rand() % 8; i > 0; i--) {
			static const char *const pieces[] = { "\\uD800", "\\udbff", "\\uDC00", "\\udfff", "\\u0041", "x", "\\\\", "\\\"" };
			size_t which = (size_t)rand() % 8;
			strcat(text, pieces[which]);
			wrong |= high != (which == 2 || which == 3);
			high = which < 2;
		}
		if ((mistakes_of(text, 0) > 0) != (wrong || high))
			fail_msg("%s", text);
	}
}

static void stops_when_told_and_reports_nothing(void **state)
{
	static const char text[] = "[\"a\", \"b\", \"c\"";
	(void)state;
	for (unsigned stop = 1; stop <= 4; stop++) {
		struct trace t = parse(text, sizeof text - 1, stop);
		assert_int_equal(t.events, stop);
		assert_int_equal(t.mistakes, 0);
	}
}

static void deep_nesting_does_not_overflow(void **state)
{
	enum { DEPTH = 200000 };
	char *text = malloc(DEPTH);
	(void)state;
	assert_non_null(text);
	memset(text, '[', DEPTH);
	struct trace t = parse(text, DEPTH, 100);
	assert_int_equal(t.events, 100);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_every_kind),
		cmocka_unit_test(escapes_what_json_must_not_have),
		cmocka_unit_test(escapes_what_a_terminal_obeys),
		cmocka_unit_test(every_text_comes_back),
		cmocka_unit_test(says_that_output_failed),
		cmocka_unit_test(reads_with_lines),
		cmocka_unit_test(a_text_may_have_nul),
		cmocka_unit_test(mistakes_have_their_line),
		cmocka_unit_test(half_a_surrogate_pair_is_a_mistake),
		cmocka_unit_test(pairs_are_as_utf_16_has_them),
		cmocka_unit_test(stops_when_told_and_reports_nothing),
		cmocka_unit_test(deep_nesting_does_not_overflow),
	};
	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
