#include "common/table.h"

#include <libsmartcols.h>
#include <stdlib.h>
#include <string.h>
#include "common/text.h"

enum { CELL_MAX = 1200, COLUMNS_MAX = 16 };

struct table {
	struct libscols_table *scols;
	struct libscols_line *last;
	size_t columns;
	bool filled[COLUMNS_MAX], skip_empty;
};

struct table *table_new(const char *const *titles)
{
	struct table *t = calloc(1, sizeof *t);
	if (!t || !(t->scols = scols_new_table())) {
		free(t);
		return NULL;
	}
	for (; titles[t->columns]; t->columns++) {
		if (t->columns == COLUMNS_MAX || !scols_table_new_column(t->scols, titles[t->columns], 0, 0)) {
			table_free(t);
			return NULL;
		}
	}
	scols_table_set_termforce(t->scols, SCOLS_TERMFORCE_NEVER); /* cells are never cut */
	scols_table_enable_noencoding(t->scols, 1);		   /* table_row escapes */
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	scols_unref_table(t->scols);
	free(t);
}

bool table_row(struct table *t, const struct str *cells)
{
	char text[CELL_MAX];
	t->last = scols_table_new_line(t->scols, NULL);
	if (!t->last)
		return false;
	for (size_t i = 0; i < t->columns; i++) {
		if (scols_line_set_data(t->last, i, text_escape(cells[i], text, sizeof text)) != 0)
			return false;
		t->filled[i] |= cells[i].len > 0;
	}
	return true;
}

void table_colour(struct table *t, size_t column, const char *colour)
{
	struct libscols_cell *cell = t->last ? scols_line_get_cell(t->last, column) : NULL;
	if (cell)
		scols_cell_set_color(cell, colour);
}

void table_skip_empty(struct table *t)
{
	t->skip_empty = true;
}

void table_hide_titles(struct table *t)
{
	scols_table_enable_noheadings(t->scols, 1);
}

/* Spaces that fill the last column would wrap where the terminal is narrower. */
static void print_trimmed(const char *text, FILE *out)
{
	while (*text) {
		size_t line = strcspn(text, "\n"), n = line;
		while (n > 0 && text[n - 1] == ' ')
			n--;
		fwrite(text, 1, n, out);
		putc('\n', out);
		text += line + (text[line] == '\n');
	}
}

bool table_print(struct table *t, FILE *out, bool colours)
{
	char *text = NULL;
	scols_table_enable_colors(t->scols, colours);
	for (size_t i = 0; t->skip_empty && i < t->columns; i++) {
		if (!t->filled[i])
			scols_column_set_flags(scols_table_get_column(t->scols, i), SCOLS_FL_HIDDEN);
	}
	bool good = scols_print_table_to_string(t->scols, &text) == 0 && text;
	if (good)
		print_trimmed(text, out);
	free(text);
	return good && !ferror(out);
}
