#include <csv.h>
#include <stdlib.h>
#include "common/text.h"
#include "common/users_file.h"

/*
 * CSV (RFC 4180) with a header line: mc_id, and mcptt, mcvideo, mcdata, revision, not_before, not_after, in any
 * order.
 */

enum {
	COLUMNS_MAX = 16,
	COLUMN_UNKNOWN = 0, /* above: enum mc_service */
	COLUMN_MC_ID = -1,
	COLUMN_REVISION = -2,
	COLUMN_NOT_BEFORE = -3,
	COLUMN_NOT_AFTER = -4,
};

enum { READ_BYTES = 64 * 1024 };

/* A stream's lines, where they were read to. */
struct lines {
	FILE *in;
	char *buffer;
	size_t begin, end, room; /* in the buffer: what was not taken yet, and its size */
	bool spent;              /* out of memory */
};

struct reader {
	struct users *users;
	unsigned line;     /* that is being fed */
	unsigned row_line; /* that the row began in */
	bool have_header, in_row;
	bool between; /* rows: libcsv remembers nothing of the lines before */
	int columns[COLUMNS_MAX];
	size_t n_columns;
	struct str fields[COLUMNS_MAX];
	size_t n_fields;
};

static void add_field(struct reader *r, struct str field)
{
	if (!r->in_row)
		r->row_line = r->line;
	r->in_row = true;
	if (r->n_fields < COLUMNS_MAX)
		r->fields[r->n_fields] = field;
	r->n_fields++;
}

static void on_field(void *data, size_t n, void *context)
{
	struct reader *r = context;
	add_field(r, arena_str(r->users->arena, (struct str){ n ? data : "", n }));
}

static int column_of(struct str title)
{
	static const struct {
		struct str title;
		int column;
	} columns[] = {
		{ STR("mc_id"), COLUMN_MC_ID },
		{ STR("revision"), COLUMN_REVISION },
		{ STR("not_before"), COLUMN_NOT_BEFORE },
		{ STR("not_after"), COLUMN_NOT_AFTER },
	};
	for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
		if (str_eq(title, columns[i].title))
			return columns[i].column;
	}
	return mc_service_from_name(title);
}

static bool has_column(const struct reader *r, int column)
{
	for (size_t i = 0; i < r->n_columns; i++) {
		if (r->columns[i] == column)
			return true;
	}
	return false;
}

static void take_header(struct reader *r)
{
	char shown[80];
	r->have_header = true;
	if (r->n_fields > COLUMNS_MAX)
		r->n_fields = COLUMNS_MAX;
	for (size_t i = 0; i < r->n_fields; i++) {
		int column = column_of(r->fields[i]);
		if (column == COLUMN_UNKNOWN)
			users_mistake(r->users, r->row_line,
				      "%s: unknown column; known are mc_id, mcptt, mcvideo, mcdata, revision, not_before, "
				      "not_after",
				      text_escape(r->fields[i], shown, sizeof shown));
		else if (has_column(r, column))
			users_mistake(r->users, r->row_line, "%s: this column is there twice",
				      text_escape(r->fields[i], shown, sizeof shown));
		r->columns[r->n_columns++] = column;
	}
	if (!has_column(r, COLUMN_MC_ID))
		users_mistake(r->users, r->row_line, "the header line has no column mc_id");
}

/* Several MC service IDs of one service are separated by spaces. */
static void take_ids(struct reader *r, int service, struct str cell)
{
	const char *end = cell.ptr + cell.len, *stop;
	for (const char *id = cell.ptr; id < end; id = stop + 1) {
		stop = memchr(id, ' ', (size_t)(end - id));
		if (!stop)
			stop = end;
		if (stop > id)
			users_add_id(r->users, r->row_line, service, (struct str){ id, (size_t)(stop - id) });
	}
}

static void take_cell(struct reader *r, int column, struct str cell)
{
	if (column > 0)
		take_ids(r, column, cell);
	else if (column == COLUMN_REVISION)
		users_set_revision(r->users, r->row_line, cell);
	else if (column == COLUMN_NOT_BEFORE)
		users_set_bound(r->users, r->row_line, USERS_NOT_BEFORE, cell);
	else if (column == COLUMN_NOT_AFTER)
		users_set_bound(r->users, r->row_line, USERS_NOT_AFTER, cell);
}

static void take_row(struct reader *r)
{
	struct str mc_id = STR("");
	if (r->n_fields == 1 && r->fields[0].len == 0)
		return; /* an empty line */
	if (!has_column(r, COLUMN_MC_ID))
		return; /* said once, of the header line */
	if (r->n_fields != r->n_columns) {
		users_mistake(r->users, r->row_line, "%zu columns, where the header line has %zu",
			      r->n_fields, r->n_columns);
		return;
	}
	for (size_t i = 0; i < r->n_fields; i++) {
		if (r->columns[i] == COLUMN_MC_ID)
			mc_id = r->fields[i];
	}
	users_add(r->users, r->row_line, mc_id);
	for (size_t i = 0; i < r->n_fields; i++)
		take_cell(r, r->columns[i], r->fields[i]);
}

static void on_row(int c, void *context)
{
	struct reader *r = context;
	r->between = c == '\n'; /* which is a line's last character */
	if (r->in_row && r->have_header)
		take_row(r);
	else if (r->in_row)
		take_header(r);
	r->in_row = false;
	r->n_fields = 0;
	users_end(r->users);
}

static struct str without_blanks(const char *begin, const char *end)
{
	while (begin < end && (*begin == ' ' || *begin == '\t'))
		begin++;
	while (begin < end && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return (struct str){ begin, (size_t)(end - begin) };
}

/*
 * A line without quotes, as nearly all are, has its fields between commas. libcsv finds the same, for 38 instructions a
 * byte. False: the line is for libcsv.
 */
static bool take_plain_line(struct reader *r, const char *line, size_t n)
{
	while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
		n--;
	if (!r->between || memchr(line, '"', n) || memchr(line, '\r', n))
		return false;
	if (without_blanks(line, line + n).len == 0)
		return true;
	struct str kept = arena_str(r->users->arena, (struct str){ line, n });
	if (!kept.ptr) {
		users_mistake(r->users, r->line, "out of memory");
		return true;
	}
	const char *field = kept.ptr, *end = kept.ptr + n, *comma;
	for (; (comma = memchr(field, ',', (size_t)(end - field))); field = comma + 1)
		add_field(r, without_blanks(field, comma));
	add_field(r, without_blanks(field, end));
	on_row('\n', r);
	return true;
}

static bool take_line(struct reader *r, struct csv_parser *parser, const char *line, size_t n)
{
	if (take_plain_line(r, line, n))
		return true;
	r->between = false;
	return csv_parse(parser, line, n, on_field, on_row, r) == n;
}

/* More of the stream behind what is there. False: there is no more. */
static bool read_more(struct lines *l)
{
	if (l->begin > 0) {
		memmove(l->buffer, l->buffer + l->begin, l->end - l->begin);
		l->end -= l->begin;
		l->begin = 0;
	}
	if (l->end == l->room) { /* by a line that is longer */
		char *larger = realloc(l->buffer, 2 * l->room);
		l->spent = !larger;
		if (!larger)
			return false;
		l->buffer = larger;
		l->room *= 2;
	}
	size_t n = fread(l->buffer + l->end, 1, l->room - l->end, l->in);
	l->end += n;
	return n > 0;
}

/* The next line with its end, which the last one may lack; until the next call. NULL: no more, or out of memory. */
static const char *next_line(struct lines *l, size_t *n)
{
	const char *end;
	size_t seen = 0;
	while (!(end = memchr(l->buffer + l->begin + seen, '\n', l->end - l->begin - seen))) {
		seen = l->end - l->begin;
		if (!read_more(l))
			break;
	}
	const char *line = l->buffer + l->begin;
	*n = end ? (size_t)(end + 1 - line) : l->end - l->begin;
	l->begin += *n;
	return *n && !l->spent ? line : NULL;
}

void users_read_csv(struct users *u, FILE *in)
{
	struct csv_parser parser;
	struct reader r = { .users = u, .between = true };
	struct lines lines = { .in = in, .buffer = malloc(READ_BYTES), .room = READ_BYTES };
	const char *line;
	size_t n;
	bool good = csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI) == 0;
	lines.spent = !lines.buffer;
	while (good && !lines.spent && (line = next_line(&lines, &n))) {
		r.line++;
		good = take_line(&r, &parser, line, n);
	}
	if (good)
		good = csv_fini(&parser, on_field, on_row, &r) == 0;
	if (!good)
		users_mistake(u, r.line, "no CSV: %s", csv_strerror(csv_error(&parser)));
	if (lines.spent)
		users_mistake(u, r.line, "out of memory");
	csv_free(&parser);
	free(lines.buffer);
}
