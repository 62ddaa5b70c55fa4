#include <stdio.h>
#include <stdlib.h>
#include "acms/commands.h"
#include "acms/inspect.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/table.h"
#include "common/text.h"
#include "common/when.h"

/* acms users list, show, export: what is in the store, and who is vouched for now. */

enum { PAGE_USERS = 1000 };

/* Where users go that were found: a table, JSON, or (both NULL) a line for each of their properties. */
struct sink {
	struct table *table;
	struct json_writer *json;
	uint64_t now_ms;
	size_t n;
	bool bad;
};

static const char *const titles[] = { "HOME", "MC ID", "REVISION", "MCPTT", "MCVIDEO", "MCDATA",
				      "VALIDITY", "VOUCHED", "CHANGED", NULL };

/* The MC service IDs of one service, separated by spaces. */
static struct str ids_of(struct arena *a, const struct user_record *r, enum mc_service service)
{
	const char *text = "";
	for (size_t i = 0; i < r->n_service_ids && text; i++) {
		if (r->service_ids[i].service == service)
			text = arena_printf(a, "%s%s%.*s", text, *text ? " " : "",
					    STR_ARG(r->service_ids[i].mc_service_id));
	}
	return str_of(text ? text : "");
}

/* "from ... until ...", empty without bounds. */
static const char *window(struct arena *a, struct validity v)
{
	char from[WHEN_TEXT_SIZE], until[WHEN_TEXT_SIZE];
	const char *text = arena_printf(a, "%s%s%s%s%s", v.not_before_ms ? "from " : "",
					v.not_before_ms ? when_format_seconds(v.not_before_ms, from) : "",
					v.not_before_ms && v.not_after_ms ? " " : "", v.not_after_ms ? "until " : "",
					v.not_after_ms ? when_format_seconds(v.not_after_ms, until) : "");
	return text ? text : "";
}

static bool add_row(struct sink *to, struct str home, struct str mc_id, const struct user_record *r)
{
	char revision[24], changed[WHEN_TEXT_SIZE];
	struct arena *a = arena_new(0);
	if (!a)
		return false;
	snprintf(revision, sizeof revision, "%llu", (unsigned long long)r->revision);
	when_format_seconds(r->changed_ms, changed);
	struct str cells[] = { home, mc_id, str_of(revision), ids_of(a, r, MC_SERVICE_MCPTT),
			       ids_of(a, r, MC_SERVICE_MCVIDEO), ids_of(a, r, MC_SERVICE_MCDATA),
			       str_of(window(a, r->validity)),
			       validity_covers(r->validity, to->now_ms) ? STR("yes") : STR("no"),
			       str_of(changed) };
	bool good = table_row(to->table, cells);
	arena_free(a);
	return good;
}

static void line(const char *title, struct str value)
{
	char label[24], shown[4096];
	snprintf(label, sizeof label, "%s:", title);
	if (value.len)
		printf("%-13s%s\n", label, text_escape(value, shown, sizeof shown));
}

/* One is read from top to bottom: as a row she is wider than most terminals. */
static bool show_lines(struct sink *to, struct str home, struct str mc_id, const struct user_record *r)
{
	char text[WHEN_TEXT_SIZE], id[REQUEST_ID_TEXT_SIZE];
	if (to->n > 1)
		putchar('\n');
	line("home", home);
	line("MC ID", mc_id);
	for (size_t i = 0; i < r->n_service_ids; i++) {
		const char *service = mc_service_name((int)r->service_ids[i].service);
		line(service ? service : "?", r->service_ids[i].mc_service_id);
	}
	line("vouched", validity_covers(r->validity, to->now_ms) ? STR("yes") : STR("no"));
	if (r->validity.not_before_ms)
		line("not before", str_of(when_format_seconds(r->validity.not_before_ms, text)));
	if (r->validity.not_after_ms)
		line("not after", str_of(when_format_seconds(r->validity.not_after_ms, text)));
	snprintf(text, sizeof text, "%llu", (unsigned long long)r->revision);
	line("revision", str_of(text));
	line("created", str_of(when_format_seconds(r->created_ms, text)));
	line("changed", str_of(when_format_seconds(r->changed_ms, text)));
	request_id_format(r->by, id);
	line("by request", str_of(id));
	return !ferror(stdout);
}

static void put_text(struct json_writer *w, const char *key, struct str s)
{
	json_key(w, key);
	json_text(w, s);
}

static void put_ids(struct json_writer *w, const struct user_record *r)
{
	json_key(w, "mc_service_ids");
	json_array(w);
	for (size_t i = 0; i < r->n_service_ids; i++) {
		json_map(w);
		put_text(w, "service", str_of(mc_service_name((int)r->service_ids[i].service)));
		put_text(w, "mc_service_id", r->service_ids[i].mc_service_id);
		json_end_map(w);
	}
	json_end_array(w);
}

/* To the millisecond, so that an import gives the same. */
static void put_bound(struct json_writer *w, const char *key, uint64_t ms)
{
	char text[WHEN_TEXT_SIZE];
	if (ms)
		put_text(w, key, str_of(when_format(ms, text)));
}

static void put_user(struct json_writer *w, struct str home, struct str mc_id,
		     const struct user_record *r, uint64_t now_ms)
{
	char when[WHEN_TEXT_SIZE], id[REQUEST_ID_TEXT_SIZE];
	json_map(w);
	put_text(w, "home", home);
	put_text(w, "mc_id", mc_id);
	put_ids(w, r);
	json_key(w, "revision");
	json_number(w, r->revision);
	put_bound(w, "not_before", r->validity.not_before_ms);
	put_bound(w, "not_after", r->validity.not_after_ms);
	json_key(w, "vouched");
	json_bool(w, validity_covers(r->validity, now_ms));
	put_text(w, "created", str_of(when_format_seconds(r->created_ms, when)));
	put_text(w, "changed", str_of(when_format_seconds(r->changed_ms, when)));
	request_id_format(r->by, id);
	put_text(w, "request_id", str_of(id));
	json_end_map(w);
}

static bool take(void *context, struct str home, struct str mc_id, const struct user_record *r)
{
	struct sink *to = context;
	to->n++;
	if (to->json)
		put_user(to->json, home, mc_id, r, to->now_ms);
	else if (!to->table)
		to->bad = !show_lines(to, home, mc_id, r);
	else
		to->bad = !add_row(to, home, mc_id, r);
	return !to->bad;
}

enum form { FORM_TABLE, FORM_JSON, FORM_LINES };

static bool sink_open(struct sink *to, enum form form)
{
	*to = (struct sink){ .now_ms = clock_wall_ms() };
	if (form == FORM_JSON)
		to->json = json_writer_new(stdout);
	else if (form == FORM_TABLE)
		to->table = table_new(titles);
	if (to->json) {
		json_map(to->json);
		json_key(to->json, "users");
		json_array(to->json);
	}
	return to->json || to->table || form == FORM_LINES;
}

static bool sink_close(struct sink *to)
{
	bool good = !to->bad;
	if (to->json) {
		json_end_array(to->json);
		json_end_map(to->json);
		good &= json_writer_free(to->json);
	} else if (to->table) {
		table_skip_empty(to->table);
		good &= to->n == 0 || table_print(to->table, stdout, false);
		table_free(to->table);
	}
	return fflush(stdout) == 0 && !ferror(stdout) && good;
}

/* --- list, export --- */

struct found {
	struct str home, mc_id;
	struct user_record record;
};

struct page {
	struct arena *arena;
	struct found items[PAGE_USERS];
	size_t n;
	bool full, spent;
};

static bool copy_user(struct arena *a, const struct user_record *r, struct user_record *out)
{
	struct user_service_id *ids = arena_array(a, r->n_service_ids, sizeof *ids);
	bool good = ids != NULL;
	for (size_t i = 0; good && i < r->n_service_ids; i++) {
		ids[i].service = r->service_ids[i].service;
		ids[i].mc_service_id = arena_str(a, r->service_ids[i].mc_service_id);
		good = ids[i].mc_service_id.ptr;
	}
	*out = *r;
	out->service_ids = ids;
	return good;
}

static bool keep(void *context, struct str home, struct str mc_id, const struct user_record *r)
{
	struct page *p = context;
	p->full = p->n == PAGE_USERS;
	if (p->full)
		return false;
	struct found *f = &p->items[p->n];
	f->home = arena_str(p->arena, home);
	f->mc_id = arena_str(p->arena, mc_id);
	p->spent = !f->home.ptr || !f->mc_id.ptr || !copy_user(p->arena, r, &f->record);
	p->n += !p->spent;
	return !p->spent;
}

/* The users behind the last one of the page before, in an arena of their own. */
static enum status next_page(struct store *s, struct str home, struct page *p, struct error *e)
{
	struct store_txn *t;
	struct arena *before = p->arena;
	struct user_key after = { .home = STR_NONE };
	if (p->n > 0)
		after = (struct user_key){ .home = p->items[p->n - 1].home, .mc_id = p->items[p->n - 1].mc_id };
	p->n = 0;
	p->full = false;
	p->arena = arena_new(0);
	enum status status = p->arena ? store_begin_read(s, &t, e) : error_set(e, ERR_MEMORY, "out of memory");
	if (status == OK) {
		store_list_users(t, STORE_USERS, home, &after, keep, p);
		status = inspect_end(t, e);
	}
	arena_free(before);
	return status == OK && p->spent ? error_set(e, ERR_MEMORY, "out of memory") : status;
}

/*
 * A page after another, each in a transaction of its own that ends before anything is written out: whoever
 * reads our output may stop for long, and a long reader keeps the file growing.
 */
static enum status each_page(struct store *s, struct str home, struct sink *to, struct error *e)
{
	struct page *p = calloc(1, sizeof *p);
	enum status status = p ? OK : error_set(e, ERR_MEMORY, "out of memory");
	if (p)
		p->full = true;
	while (status == OK && p->full && !to->bad) {
		status = next_page(s, home, p, e);
		for (size_t i = 0; status == OK && i < p->n && !to->bad; i++)
			take(to, p->items[i].home, p->items[i].mc_id, &p->items[i].record);
	}
	if (p)
		arena_free(p->arena);
	free(p);
	return status;
}

static int list(const struct inspect *i, bool json)
{
	struct sink to;
	struct error e = { OK, "" };
	struct store *s = inspect_open(i, STORE_READ);
	if (!s)
		return EXIT_BAD;
	enum status status = sink_open(&to, json ? FORM_JSON : FORM_TABLE) ? each_page(s, i->home, &to, &e) :
						    error_set(&e, ERR_MEMORY, "out of memory");
	if (!sink_close(&to) && status == OK)
		status = inspect_not_written(&e);
	store_close(s);
	if (status == OK && !json && to.n == 0)
		fprintf(stderr, "no users\n");
	return inspect_result(status, &e);
}

int users_list(const struct inspect *i)
{
	return list(i, i->json);
}

int users_export(const struct inspect *i)
{
	return list(i, true);
}

/* --- show --- */

struct search {
	struct store_txn *txn;
	struct arena *arena;
	struct str mc_id;
	struct sink *to;
	bool outside; /* one of them is not vouched for now */
};

/* What people and scripts must not overlook: she is in the store, and still must not be let in. */
static void say_outside(const struct search *s, struct str home, struct validity v)
{
	char text[WHEN_TEXT_SIZE], shown[300];
	bool early = v.not_before_ms > s->to->now_ms;
	fprintf(stderr, "acms: %s of %.*s is not vouched for now: the validity %s %s\n",
		text_escape(s->mc_id, shown, sizeof shown), STR_ARG(home), early ? "begins at" : "ended at",
		when_format_seconds(early ? v.not_before_ms : v.not_after_ms, text));
}

static bool look_in(struct search *s, struct str home)
{
	struct user_record record;
	if (!store_get_user(s->txn, s->arena, STORE_USERS, home, s->mc_id, &record))
		return true;
	if (!validity_covers(record.validity, s->to->now_ms)) {
		s->outside = true;
		say_outside(s, home, record.validity);
	}
	return take(s->to, home, s->mc_id, &record);
}

static bool look_in_system(void *context, struct str mc_system_id, const struct system_record *r)
{
	(void)r;
	return look_in(context, mc_system_id);
}

static void find(struct search *s, const struct inspect *i)
{
	struct owner_record owner;
	struct str canonical;
	if (i->n_arguments == 2 && i->home.ptr) {
		look_in(s, i->home);
	} else if (i->n_arguments == 2) {
		store_list_systems(s->txn, look_in_system, s);
	} else if (mc_service_id_canonical(s->arena, i->mc_service_id, &canonical, NULL) &&
		   store_get_owner(s->txn, s->arena, canonical, &owner)) {
		s->mc_id = owner.mc_id;
		look_in(s, owner.home);
	}
}

int users_show(const struct inspect *i)
{
	struct sink to;
	struct error e = { OK, "" };
	struct search search = { .arena = arena_new(0), .to = &to };
	if ((i->n_arguments == 2) == (i->mc_service_id.ptr != NULL)) {
		fprintf(stderr, "acms users show: give an MC ID or --mc-service-id\n");
		arena_free(search.arena);
		return EXIT_USAGE;
	}
	if (i->n_arguments == 2)
		search.mc_id = str_of(i->arguments[1]);
	struct store *s = inspect_open(i, STORE_READ);
	enum status status = s && search.arena ? store_begin_read(s, &search.txn, &e) : ERR_STORE;
	bool opened = status == OK && sink_open(&to, i->json ? FORM_JSON : FORM_LINES);
	if (opened) {
		find(&search, i);
		status = inspect_end(search.txn, &e);
		if (!sink_close(&to) && status == OK)
			status = inspect_not_written(&e);
		if (status == OK && to.n == 0)
			status = error_set(&e, ERR_NOT_FOUND, "there is no such user");
	}
	store_close(s);
	arena_free(search.arena);
	if (status != OK && e.text[0])
		fprintf(stderr, "acms: %s\n", e.text);
	return status == OK && opened && !search.outside ? EXIT_GOOD : EXIT_BAD;
}
