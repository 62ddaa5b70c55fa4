// needs: common/table.c common/text.c
/* Tables for people: aligned, escaped, coloured only when asked, and a full disk is noticed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <locale.h>
#include <stdlib.h>
#include "common/table.h"

static const char *const titles[] = { "NAME", "RESULT", NULL };

static struct table *make(struct str a, struct str b)
{
	struct table *t = table_new(titles);
	assert_non_null(t);
	assert_true(table_row(t, (struct str[]){ a, b }));
	return t;
}

/* The table as text, blanks at the end of lines removed; frees it. */
static char *print(struct table *t, bool colours)
{
	char *text = NULL;
	size_t size = 0, n = 0;
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	assert_true(table_print(t, out, colours));
	fclose(out);
	table_free(t);
	for (size_t i = 0; i < size; i++) {
		while (text[i] == '\n' && n > 0 && text[n - 1] == ' ')
			n--;
		text[n++] = text[i];
	}
	text[n] = '\0';
	return text;
}

static void columns_line_up(void **state)
{
	struct table *t = make(STR("a-rather-long-name"), STR("TRUE"));
	(void)state;
	assert_true(table_row(t, (struct str[]){ STR("b"), STR("FALSE") }));
	char *text = print(t, false);
	assert_string_equal(text, "NAME               RESULT\n"
				  "a-rather-long-name TRUE\n"
				  "b                  FALSE\n");
	free(text);
}

static void foreign_text_is_escaped_once(void **state)
{
	struct table *t = make(STR("\x1B[2J\\x\n"), STR("\xC3\xA9\xFF"));
	(void)state;
	char *text = print(t, false);
	assert_string_equal(text, "NAME           RESULT\n"
				  "\\x1B[2J\\\\x\\x0A \xC3\xA9\\xFF\n");
	free(text);
}

static void an_absent_cell_is_empty(void **state)
{
	char *text = print(make(STR_NONE, STR("x")), false);
	(void)state;
	assert_string_equal(text, "NAME RESULT\n     x\n");
	free(text);
}

static void no_cell_is_cut(void **state)
{
	char wide[256], *text;
	(void)state;
	memset(wide, 'w', 255);
	wide[255] = '\0';
	setenv("COLUMNS", "40", 1);
	text = print(make(str_of(wide), STR("TRUE")), false);
	assert_non_null(strstr(text, wide));
	assert_non_null(strstr(text, "TRUE"));
	free(text);
}

static void colours_only_when_asked(void **state)
{
	(void)state;
	for (int colours = 0; colours < 2; colours++) {
		struct table *t = make(STR("a"), STR("TRUE"));
		table_colour(t, 1, "green");
		char *text = print(t, colours);
		assert_int_equal(strstr(text, "\033[32mTRUE") != NULL, colours);
		assert_int_equal(strchr(text, '\033') != NULL, colours);
		free(text);
	}
}

static void a_colour_without_a_row_or_column_is_ignored(void **state)
{
	struct table *t = table_new(titles);
	(void)state;
	table_colour(t, 0, "red");
	table_free(t);
	t = make(STR("a"), STR("b"));
	table_colour(t, 99, "red");
	free(print(t, true));
	table_free(NULL);
}

static void a_full_disk_is_noticed(void **state)
{
	FILE *full = fopen("/dev/full", "w");
	struct table *t = make(STR("a"), STR("b"));
	(void)state;
	assert_non_null(full);
	bool printed = table_print(t, full, false);
	assert_false(printed && fflush(full) == 0 && !ferror(full));
	fclose(full);
	table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_line_up),
		cmocka_unit_test(foreign_text_is_escaped_once),
		cmocka_unit_test(an_absent_cell_is_empty),
		cmocka_unit_test(no_cell_is_cut),
		cmocka_unit_test(colours_only_when_asked),
		cmocka_unit_test(a_colour_without_a_row_or_column_is_ignored),
		cmocka_unit_test(a_full_disk_is_noticed),
	};
	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
