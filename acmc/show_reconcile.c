#include "acmc/show_reconcile.h"

#include "acmc/put.h"
#include "acmc/show_users.h"
#include "common/table.h"
#include "common/text.h"
#include "common/when.h"

enum { DIFFERENCES_SHOWN = 200 };

static bool same_but_for_ms(uint64_t a, uint64_t b)
{
	return a != b && a / 1000 == b / 1000;
}

/* Seconds as in other tables, unless that would hide what is different. */
static bool needs_ms(const struct difference *d)
{
	return d->home && d->partner &&
	       (same_but_for_ms(d->home->validity.not_before_ms, d->partner->validity.not_before_ms) ||
		same_but_for_ms(d->home->validity.not_after_ms, d->partner->validity.not_after_ms));
}

/* "mcptt=sip:... not after 2026-..."; from the arena, NULL: out of memory. */
static const char *user_text(struct arena *a, const struct user_entry *u, bool ms)
{
	char *(*format)(uint64_t, char *) = ms ? when_format : when_format_seconds;
	char before[WHEN_TEXT_SIZE], after[WHEN_TEXT_SIZE];
	if (!u)
		return "-";
	const char *text = service_ids_text(a, u->service_ids, u->n_service_ids);
	if (text && !*text)
		text = "no MC service IDs";
	if (text && u->validity.not_before_ms)
		text = arena_printf(a, "%s not before %s", text, format(u->validity.not_before_ms, before));
	if (text && u->validity.not_after_ms)
		text = arena_printf(a, "%s not after %s", text, format(u->validity.not_after_ms, after));
	return text;
}

static bool add_row(struct table *t, struct arena *a, const struct difference *d)
{
	bool ms = needs_ms(d);
	const char *home = user_text(a, d->home, ms), *partner = user_text(a, d->partner, ms);
	struct str cells[] = { d->mc_id, str_of(difference_name(d->kind)), str_of(home), str_of(partner) };
	if (!home || !partner || !table_row(t, cells))
		return false;
	table_colour(t, 1, d->kind == DIFFERENT ? "yellow" : "red");
	return true;
}

static bool show_differences(FILE *out, const struct reconcile *r, bool colours)
{
	static const char *const titles[] = { "MC ID", "DIFFERENCE", "HOME", "PARTNER", NULL };
	struct arena *a = arena_new(0);
	struct table *t = table_new(titles);
	bool good = a && t;
	for (size_t i = 0; good && i < r->n_found && i < DIFFERENCES_SHOWN; i++)
		good = add_row(t, a, &r->found[i]);
	if (r->n_found)
		good = good && table_print(t, out, colours);
	if (r->n_found > DIFFERENCES_SHOWN)
		fprintf(out, "... and %zu more; --json has them all\n", r->n_found - DIFFERENCES_SHOWN);
	if (r->n_found)
		putc('\n', out);
	table_free(t);
	arena_free(a);
	return good;
}

bool show_reconcile(FILE *out, const struct reconcile *r, uint64_t bytes, bool colours)
{
	bool good = show_differences(out, r, colours);
	fprintf(out, "%zu difference%s; home believes in %llu user%s, %.*s has %llu\n", r->n_found, text_s(r->n_found),
		(unsigned long long)r->total[SIDE_HOME], text_s(r->total[SIDE_HOME]), STR_ARG(r->partner),
		(unsigned long long)r->total[SIDE_PARTNER]);
	fprintf(out, "%zu queries, %zu user%s transferred, %llu bytes\n", r->n_queries, r->n_listed,
		text_s(r->n_listed), (unsigned long long)bytes);
	return good && fflush(out) == 0 && !ferror(out);
}

static void put_side(struct json_writer *w, const char *key, const struct user_entry *u)
{
	json_key(w, key);
	if (u)
		put_user(w, u);
	else
		json_null(w);
}

void put_reconcile(struct json_writer *w, const struct reconcile *r, uint64_t bytes)
{
	static const char *const kinds[] = { "missing_at_partner", "unknown_to_home", "different" };
	put_text(w, "mc_system_id", r->partner);
	put_number(w, "home_users", r->total[SIDE_HOME]);
	put_number(w, "partner_users", r->total[SIDE_PARTNER]);
	put_number(w, "queries", r->n_queries);
	put_number(w, "users_transferred", r->n_listed);
	put_number(w, "bytes", bytes);
	json_key(w, "differences");
	json_array(w);
	for (size_t i = 0; i < r->n_found; i++) {
		json_map(w);
		put_text(w, "mc_id", r->found[i].mc_id);
		put_text(w, "kind", str_of(kinds[r->found[i].kind]));
		put_side(w, "home", r->found[i].home);
		put_side(w, "partner", r->found[i].partner);
		json_end_map(w);
	}
	json_end_array(w);
}
