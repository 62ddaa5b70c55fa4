#include "acmc/show_users.h"

#include "acmc/put.h"
#include "common/table.h"
#include "common/when.h"

const char *service_ids_text(struct arena *a, const struct user_service_id *ids, size_t n)
{
	const char *text = "";
	for (size_t i = 0; text && i < n; i++) {
		const char *service = mc_service_name((int)ids[i].service);
		text = arena_printf(a, "%s%s%s=%.*s", text, i ? " " : "", service ? service : "?",
				    STR_ARG(ids[i].mc_service_id));
	}
	return text;
}

static struct str seconds(uint64_t ms, char text[WHEN_TEXT_SIZE])
{
	return ms ? str_of(when_format_seconds(ms, text)) : STR("");
}

static bool add_row(struct table *t, struct arena *a, const struct user_entry *u)
{
	char revision[24], before[WHEN_TEXT_SIZE], after[WHEN_TEXT_SIZE], changed[WHEN_TEXT_SIZE];
	const char *ids = service_ids_text(a, u->service_ids, u->n_service_ids);
	snprintf(revision, sizeof revision, "%llu", (unsigned long long)u->revision);
	struct str cells[] = { u->mc_id, u->revision ? str_of(revision) : STR(""),
			       u->vouched ? STR("yes") : STR("no"), seconds(u->validity.not_before_ms, before),
			       seconds(u->validity.not_after_ms, after), seconds(u->changed_ms, changed),
			       str_of(ids ? ids : "") };
	if (!ids || !table_row(t, cells))
		return false;
	table_colour(t, 2, u->vouched ? "green" : "yellow");
	return true;
}

bool users_table_print(FILE *out, const struct user_entry *users, size_t n, bool titles, bool colours)
{
	static const char *const names[] = { "MC ID", "REVISION", "VOUCHED", "NOT BEFORE", "NOT AFTER", "CHANGED",
					     "MC SERVICE IDS", NULL }; /* the longest last: a terminal wraps it */
	struct arena *a = arena_new(0);
	struct table *t = table_new(names);
	bool good = a && t;
	if (t && !titles)
		table_hide_titles(t);
	for (size_t i = 0; good && i < n; i++)
		good = add_row(t, a, &users[i]);
	good = good && table_print(t, out, colours);
	table_free(t);
	arena_free(a);
	return good;
}

void put_user(struct json_writer *w, const struct user_entry *u)
{
	static const struct request_id none;
	json_map(w);
	put_text(w, "mc_id", u->mc_id);
	put_service_ids(w, u->service_ids, u->n_service_ids);
	if (u->revision)
		put_number(w, "revision", u->revision);
	put_time(w, "not_before", u->validity.not_before_ms);
	put_time(w, "not_after", u->validity.not_after_ms);
	put_bool(w, "vouched", u->vouched);
	put_time(w, "changed", u->changed_ms);
	if (memcmp(&u->by, &none, sizeof none) != 0)
		put_id(w, "by", u->by);
	json_end_map(w);
}

/* --- CSV --- */

static const int services[] = { MC_SERVICE_MCPTT, MC_SERVICE_MCVIDEO, MC_SERVICE_MCDATA };

void users_csv_header(FILE *out)
{
	fputs("mc_id,mcptt,mcvideo,mcdata,revision,not_before,not_after\r\n", out);
}

static void put_quoted(FILE *out, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '"')
			putc('"', out);
		putc(p[i], out);
	}
}

static void put_time_cell(FILE *out, uint64_t ms)
{
	char text[WHEN_TEXT_SIZE];
	fprintf(out, ",%s", ms ? when_format(ms, text) : "");
}

void users_csv_row(FILE *out, const struct user_entry *u)
{
	putc('"', out);
	put_quoted(out, u->mc_id.ptr, u->mc_id.len);
	putc('"', out);
	for (size_t s = 0; s < sizeof services / sizeof *services; s++) {
		bool first = true;
		fputs(",\"", out);
		for (size_t i = 0; i < u->n_service_ids; i++) {
			if ((int)u->service_ids[i].service != services[s])
				continue;
			if (!first)
				putc(' ', out);
			first = false;
			put_quoted(out, u->service_ids[i].mc_service_id.ptr, u->service_ids[i].mc_service_id.len);
		}
		putc('"', out);
	}
	putc(',', out);
	if (u->revision)
		fprintf(out, "%llu", (unsigned long long)u->revision);
	put_time_cell(out, u->validity.not_before_ms);
	put_time_cell(out, u->validity.not_after_ms);
	fputs("\r\n", out);
}
