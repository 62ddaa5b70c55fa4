#include "common/table.h"

#include <libsmartcols.h>
#include <stdlib.h>
#include "common/text.h"

enum { CELL_MAX = 1200 };

struct table {
	struct libscols_table *scols;
	struct libscols_line *last;
	size_t columns;
};

struct table *table_new(const char *const *titles)
{
	struct table *t = calloc(1, sizeof *t);
	if (!t || !(t->scols = scols_new_table())) {
		free(t);
		return NULL;
	}
	for (; titles[t->columns]; t->columns++) {
		if (!scols_table_new_column(t->scols, titles[t->columns], 0, 0)) {
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
	}
	return true;
}

void table_colour(struct table *t, size_t column, const char *colour)
{
	struct libscols_cell *cell = t->last ? scols_line_get_cell(t->last, column) : NULL;
	if (cell)
		scols_cell_set_color(cell, colour);
}

void table_hide_titles(struct table *t)
{
	scols_table_enable_noheadings(t->scols, 1);
}

bool table_print(struct table *t, FILE *out, bool colours)
{
	scols_table_set_stream(t->scols, out);
	scols_table_enable_colors(t->scols, colours);
	return scols_print_table(t->scols) == 0;
}
