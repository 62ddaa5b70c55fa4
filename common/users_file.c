#include "common/users_file.h"

#include <stdarg.h>
#include <stdlib.h>
#include "common/text.h"
#include "common/when.h"

void users_init(struct users *u, struct arena *arena, const char *name, FILE *mistakes)
{
	*u = (struct users){ .arena = arena, .name = name, .mistakes = mistakes };
}

void users_free(struct users *u)
{
	free(u->items);
	free(u->ids);
}

void users_mistake(struct users *u, unsigned line, const char *format, ...)
{
	va_list args;
	u->n_mistakes++;
	fprintf(u->mistakes, "%s:%u: ", u->name, line);
	va_start(args, format);
	vfprintf(u->mistakes, format, args);
	va_end(args);
	putc('\n', u->mistakes);
}

static bool make_room(struct users *u, void **items, size_t n, size_t *room, size_t size)
{
	if (n < *room)
		return true;
	size_t wanted = *room ? *room * 2 : 64;
	void *larger = reallocarray(*items, wanted, size);
	if (!larger) {
		users_mistake(u, 0, "out of memory");
		return false;
	}
	*items = larger;
	*room = wanted;
	return true;
}

void users_add(struct users *u, unsigned line, struct str mc_id)
{
	if (!make_room(u, (void **)&u->items, u->n, &u->room, sizeof *u->items))
		return;
	u->n_read++;
	u->items[u->n++] = (struct users_user){ .mc_id = mc_id.ptr ? mc_id : STR(""), .line = line, .first = u->n_ids };
}

void users_end(struct users *u)
{
	if (u->each)
		u->each(u->context, u);
}

void users_clear(struct users *u)
{
	u->n = u->n_ids = 0;
	arena_reset(u->arena);
}

static void take_users(struct users *to, const struct users *from)
{
	to->arena = from->arena;
	to->items = from->items;
	to->n = from->n;
	to->room = from->room;
	to->ids = from->ids;
	to->n_ids = from->n_ids;
	to->room_ids = from->room_ids;
}

void users_swap(struct users *a, struct users *b)
{
	struct users kept = *a;
	take_users(a, b);
	take_users(b, &kept);
}

void users_add_id(struct users *u, unsigned line, int service, struct str mc_service_id)
{
	if (u->n == 0 || !make_room(u, (void **)&u->ids, u->n_ids, &u->room_ids, sizeof *u->ids))
		return;
	struct users_user *user = &u->items[u->n - 1];
	u->ids[u->n_ids++] = (struct users_id){ user->mc_id, { (enum mc_service)service, mc_service_id }, line };
	user->n++;
}

void users_set_revision(struct users *u, unsigned line, struct str text)
{
	char shown[80];
	uint64_t value = 0;
	size_t i = 0;
	for (; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++) {
		uint64_t digit = (uint64_t)(text.ptr[i] - '0');
		if (value > (UINT64_MAX - digit) / 10)
			break;
		value = value * 10 + digit;
	}
	if (i < text.len || (text.len && value == 0)) {
		users_mistake(u, line, "%s: no revision: must be a whole number from 1",
			      text_escape(text, shown, sizeof shown));
		value = 1; /* so that nobody says, too, that it is missing */
	}
	if (u->n > 0)
		u->items[u->n - 1].revision = value;
}

void users_set_bound(struct users *u, unsigned line, enum users_bound bound, struct str text)
{
	char shown[80];
	uint64_t ms = 0;
	if (text.len == 0 || u->n == 0)
		return;
	struct validity *v = &u->items[u->n - 1].validity;
	if (!when_parse(text, u->now_ms, &ms) || ms == 0)
		users_mistake(u, line, "%s: no time: must be like 2026-12-31T18:00:00+01:00, 2026-12-31 or +8h",
			      text_escape(text, shown, sizeof shown));
	else if (bound == USERS_NOT_BEFORE)
		v->not_before_ms = ms;
	else
		v->not_after_ms = ms;
}

/* The first character that is no blank; nothing is taken from the stream, so that lines are counted right. */
static int first_character(FILE *in)
{
	char blanks[256];
	size_t n = 0;
	int c;
	while ((c = getc(in)) != EOF && strchr(" \t\r\n", c) && c && n < sizeof blanks)
		blanks[n++] = (char)c;
	if (c != EOF)
		ungetc(c, in);
	while (n > 0)
		ungetc(blanks[--n], in);
	return c;
}

/* A byte order mark, as some editors put before UTF-8. */
static void skip_mark(FILE *in)
{
	static const unsigned char mark[] = { 0xEF, 0xBB, 0xBF };
	size_t n = 0;
	int c = EOF;
	while (n < sizeof mark && (c = getc(in)) == mark[n])
		n++;
	if (n == sizeof mark)
		return;
	if (c != EOF)
		ungetc(c, in);
	while (n > 0)
		ungetc(mark[--n], in);
}

void users_read(struct users *u, FILE *in, enum users_format format)
{
	size_t before = u->n_read, mistakes = u->n_mistakes;
	skip_mark(in);
	if (format == USERS_GUESS) {
		int c = first_character(in);
		format = c == '{' || c == '[' ? USERS_JSON : USERS_CSV;
	}
	if (format == USERS_JSON)
		users_read_json(u, in);
	else
		users_read_csv(u, in);
	if (ferror(in))
		users_mistake(u, 0, "cannot be read");
	if (u->n_read == before && u->n_mistakes == mistakes)
		users_mistake(u, 1, "no users in it");
}

/* --- an argument --- */

/* Where the next ",mcptt=" or the like begins. */
static const char *next_service(const char *p, int *service, const char **value)
{
	for (; (p = strchr(p, ',')); p++) {
		const char *equals = strchr(p, '=');
		if (!equals)
			return NULL;
		*service = mc_service_from_name((struct str){ p + 1, (size_t)(equals - p - 1) });
		*value = equals + 1;
		if (*service)
			return p;
	}
	return NULL;
}

/*
 * ",mcpt=sip:..." would otherwise be taken as the end of an MC ID, which may have commas and equals signs. Where such
 * a thing begins, NULL if there is none.
 */
static const char *misspelt_service(struct str mc_id)
{
	for (size_t i = 0; i < mc_id.len; i++) {
		struct str rest = { mc_id.ptr + i, mc_id.len - i };
		if (rest.len > 5 && mc_id.ptr[i] == '=' &&
		    (strncasecmp(rest.ptr + 1, "sip:", 4) == 0 || strncasecmp(rest.ptr + 1, "tel:", 4) == 0 ||
		     strncasecmp(rest.ptr + 1, "sips:", 5) == 0))
			return memrchr(mc_id.ptr, ',', i);
	}
	return NULL;
}

void users_add_argument(struct users *u, const char *argument, unsigned position)
{
	char shown[120];
	int service = 0, next = 0;
	const char *value = NULL, *next_value = NULL;
	const char *comma = next_service(argument, &service, &value);
	struct str mc_id = comma ? (struct str){ argument, (size_t)(comma - argument) } : str_of(argument);
	const char *misspelt = misspelt_service(mc_id);
	if (misspelt)
		users_mistake(u, position, "%s: unknown service; known are mcptt, mcvideo, mcdata",
			      text_escape((struct str){ misspelt + 1,
							mc_id.len - (size_t)(misspelt + 1 - argument) },
					  shown, sizeof shown));
	users_add(u, position, mc_id);
	for (; comma; service = next, value = next_value) {
		comma = next_service(value, &next, &next_value);
		users_add_id(u, position, service,
			     comma ? (struct str){ value, (size_t)(comma - value) } : str_of(value));
	}
	users_end(u);
}

/* --- checks --- */

static void check_mc_id(struct users *u, const struct users_user *user)
{
	char shown[120];
	if (user->mc_id.len == 0)
		users_mistake(u, user->line, "the MC ID is missing");
	else if (!mc_id_valid(user->mc_id))
		users_mistake(u, user->line,
			      "%s: no MC ID: 1 to 255 bytes of UTF-8 without control characters",
			      text_escape(user->mc_id, shown, sizeof shown));
	if (user->validity.not_after_ms && user->validity.not_after_ms <= user->validity.not_before_ms)
		users_mistake(u, user->line, "not_after is not after not_before");
}

static void check_id(struct users *u, struct users_id *id)
{
	char shown[120];
	const char *reason = "";
	if (!mc_service_id_canonical(u->arena, id->id.mc_service_id, &id->id.mc_service_id,
				     &reason))
		users_mistake(u, id->line, "%s: no MC service ID: %s",
			      text_escape(id->id.mc_service_id, shown, sizeof shown), reason);
}

static int by_mc_id(const void *a, const void *b)
{
	const struct users_user *x = *(struct users_user *const *)a, *y = *(struct users_user *const *)b;
	int d = str_cmp(x->mc_id, y->mc_id);
	return d ? d : (x->line > y->line) - (x->line < y->line);
}

static void check_users_unique(struct users *u)
{
	char shown[120];
	struct users_user **sorted = calloc(u->n + 1, sizeof *sorted);
	for (size_t i = 0; sorted && i < u->n; i++)
		sorted[i] = &u->items[i];
	if (sorted)
		qsort(sorted, u->n, sizeof *sorted, by_mc_id);
	else
		users_mistake(u, 0, "out of memory");
	const struct users_user *first = NULL;
	for (size_t i = 0; sorted && i < u->n; i++) {
		if (!first || !str_eq(first->mc_id, sorted[i]->mc_id))
			first = sorted[i];
		else if (first->mc_id.len)
			users_mistake(u, sorted[i]->line, "%s: this MC ID is in line %u already",
				      text_escape(sorted[i]->mc_id, shown, sizeof shown), first->line);
	}
	free(sorted);
}

static int by_id(const void *a, const void *b)
{
	const struct users_id *x = *(struct users_id *const *)a, *y = *(struct users_id *const *)b;
	int d = str_cmp(x->id.mc_service_id, y->id.mc_service_id);
	d = d ? d : (x->line > y->line) - (x->line < y->line);
	return d ? d : (x > y) - (x < y);
}

static void check_ids_unique(struct users *u)
{
	char shown[120];
	struct users_id **sorted = calloc(u->n_ids + 1, sizeof *sorted);
	for (size_t i = 0; sorted && i < u->n_ids; i++)
		sorted[i] = &u->ids[i];
	if (sorted)
		qsort(sorted, u->n_ids, sizeof *sorted, by_id);
	else
		users_mistake(u, 0, "out of memory");
	const struct users_id *first = NULL;
	unsigned services = 0; /* that the first one's user has it for */
	for (size_t i = 0; sorted && i < u->n_ids; i++) {
		const struct users_id *id = sorted[i];
		unsigned service = 1u << id->id.service;
		if (!first || !str_eq(first->id.mc_service_id, id->id.mc_service_id)) {
			first = id;
			services = service;
		} else if (str_eq(first->mc_id, id->mc_id) && !(services & service)) {
			services |= service;
		} else {
			users_mistake(u, id->line, "%s: this MC service ID is in line %u already",
				      text_escape(id->id.mc_service_id, shown, sizeof shown), first->line);
		}
	}
	free(sorted);
}

void users_check_mc_ids(struct users *u)
{
	for (size_t i = 0; i < u->n; i++)
		check_mc_id(u, &u->items[i]);
}

void users_check_service_ids(struct users *u)
{
	struct str domain = STR_NONE;
	for (size_t i = 0; i < u->n_ids; i++) {
		if (!mc_service_id_is_plain(u->ids[i].id.mc_service_id, &domain))
			check_id(u, &u->ids[i]);
	}
}

void users_check_unique(struct users *u)
{
	check_users_unique(u);
	check_ids_unique(u);
}

bool users_check(struct users *u)
{
	users_check_mc_ids(u);
	users_check_service_ids(u);
	users_check_unique(u);
	return u->n_mistakes == 0;
}
