#ifndef ACX_TABLE_H
#define ACX_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include "common/str.h"

/* Tables for people. The only file that knows libsmartcols. Cells are escaped here. */
struct table;

/* titles: NULL-terminated. NULL: out of memory. */
struct table *table_new(const char *const *titles);
void table_free(struct table *t); /* NULL is fine */
/* One cell for each title. */
bool table_row(struct table *t, const struct str *cells);
/* Colours a cell of the last row ("red", "green"), if the table is printed in colour. */
void table_colour(struct table *t, size_t column, const char *colour);
/* Columns that have nothing in any row are left out. Not for tables of several pages. */
void table_skip_empty(struct table *t);
/* For a further page of the same table. */
void table_hide_titles(struct table *t);
bool table_print(struct table *t, FILE *out, bool colours);

#endif
