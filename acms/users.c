#include "acms/users.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "acms/commands.h"
#include "acms/commit.h"
#include "acms/inspect.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/table.h"
#include "common/text.h"
#include "common/users_file.h"

enum { PAGE_USERS = 1000, IMPORT_USERS = 1000 };

/* Where users go that were found: a table or JSON. */
struct sink {
	struct table *table;
	struct json_writer *json;
	size_t n;
	bool bad;
};

static const char *const titles[] = { "HOME", "MC ID", "REVISION", "MCPTT", "MCVIDEO", "MCDATA",
				      "CHANGED", NULL };

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

static bool add_row(struct sink *to, struct str home, struct str mc_id, const struct user_record *r)
{
	char revision[24], changed[32];
	struct arena *a = arena_new(0);
	if (!a)
		return false;
	snprintf(revision, sizeof revision, "%llu", (unsigned long long)r->revision);
	inspect_time(r->changed_ms, changed);
	struct str cells[] = { home, mc_id, str_of(revision), ids_of(a, r, MC_SERVICE_MCPTT),
			       ids_of(a, r, MC_SERVICE_MCVIDEO), ids_of(a, r, MC_SERVICE_MCDATA),
			       str_of(changed) };
	bool good = table_row(to->table, cells);
	arena_free(a);
	return good;
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

static void put_user(struct json_writer *w, struct str home, struct str mc_id,
		     const struct user_record *r)
{
	char when[32], id[REQUEST_ID_TEXT_SIZE];
	json_map(w);
	put_text(w, "home", home);
	put_text(w, "mc_id", mc_id);
	put_ids(w, r);
	json_key(w, "revision");
	json_number(w, (int64_t)r->revision);
	inspect_time(r->created_ms, when);
	put_text(w, "created", str_of(when));
	inspect_time(r->changed_ms, when);
	put_text(w, "changed", str_of(when));
	request_id_format(r->by, id);
	put_text(w, "request_id", str_of(id));
	json_end_map(w);
}

static bool take(void *context, struct str home, struct str mc_id, const struct user_record *r)
{
	struct sink *to = context;
	to->n++;
	if (to->json)
		put_user(to->json, home, mc_id, r);
	else
		to->bad = !add_row(to, home, mc_id, r);
	return !to->bad;
}

static bool sink_open(struct sink *to, bool json)
{
	*to = (struct sink){ 0 };
	if (json)
		to->json = json_writer_new(stdout);
	else
		to->table = table_new(titles);
	if (to->json) {
		json_map(to->json);
		json_key(to->json, "users");
		json_array(to->json);
	}
	return to->json || to->table;
}

static bool sink_close(struct sink *to)
{
	bool good = !to->bad;
	if (to->json) {
		json_end_array(to->json);
		json_end_map(to->json);
		good &= json_writer_free(to->json);
	} else if (to->table) {
		good &= (to->n == 0 || table_print(to->table, stdout, false)) && fflush(stdout) == 0;
		table_free(to->table);
	}
	return good;
}

/* Ends a read transaction with its error, if it has one. */
static enum status end_read(struct store_txn *t, struct error *e)
{
	if (store_status(t) != OK)
		return store_commit(t, e);
	store_abort(t);
	return OK;
}

/* --- list, export --- */

struct found {
	struct str home, mc_id;
	struct user_record record;
};

struct page {
	struct found *items;
	size_t n;
};

static bool keep(void *context, struct str home, struct str mc_id, const struct user_record *r)
{
	struct page *p = context;
	p->items[p->n++] = (struct found){ home, mc_id, *r };
	return true;
}

/*
 * A page after another, each in a transaction of its own that ends before anything is written out: whoever
 * reads our output may stop for long, and a long reader keeps the file growing.
 */
static enum status each_page(struct store *s, struct str home, struct sink *to, struct error *e)
{
	struct arena *a = NULL;
	struct user_key after = { STR_NONE, STR_NONE };
	enum status status = OK;
	bool more = true;
	while (more && status == OK && !to->bad) {
		struct store_txn *t;
		struct arena *next = arena_new(0);
		struct page page = { next ? arena_array(next, PAGE_USERS, sizeof *page.items) : NULL, 0 };
		status = page.items ? store_begin_read(s, &t, e) :
				      error_set(e, ERR_MEMORY, "out of memory");
		if (status == OK) {
			store_list_users(t, next, home, &after, PAGE_USERS, &more, keep, &page);
			status = end_read(t, e);
		}
		for (size_t i = 0; i < page.n && !to->bad; i++)
			take(to, page.items[i].home, page.items[i].mc_id, &page.items[i].record);
		arena_free(a); /* after is in the page before until now */
		a = next;
	}
	arena_free(a);
	return status;
}

static int list(const struct inspect *i, bool json)
{
	struct sink to;
	struct error e = { OK, "" };
	struct store *s = inspect_open(i, STORE_READ);
	if (!s)
		return EXIT_BAD;
	enum status status = sink_open(&to, json) ? each_page(s, i->home, &to, &e) :
						    error_set(&e, ERR_MEMORY, "out of memory");
	if (!sink_close(&to) && status == OK)
		status = error_set(&e, ERR_SYSTEM, "standard output cannot be written");
	store_close(s);
	if (status != OK)
		fprintf(stderr, "acms: %s\n", e.text);
	else if (!json && to.n == 0)
		fprintf(stderr, "no users\n");
	return status == OK ? EXIT_GOOD : EXIT_BAD;
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
};

static bool look_in(struct search *s, struct str home)
{
	struct user_record record;
	if (store_get_user(s->txn, s->arena, home, s->mc_id, &record))
		return take(s->to, home, s->mc_id, &record);
	return true;
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
		store_list_systems(s->txn, s->arena, look_in_system, s);
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
	bool opened = status == OK && sink_open(&to, i->json);
	if (opened) {
		find(&search, i);
		status = end_read(search.txn, &e);
		if (!sink_close(&to) && status == OK)
			status = error_set(&e, ERR_SYSTEM, "standard output cannot be written");
		if (status == OK && to.n == 0)
			status = error_set(&e, ERR_NOT_FOUND, "there is no such user");
	}
	store_close(s);
	arena_free(search.arena);
	if (status != OK && e.text[0])
		fprintf(stderr, "acms: %s\n", e.text);
	return status == OK && opened ? EXIT_GOOD : EXIT_BAD;
}

/* --- import --- */

/* A setup of local users from..to, with this system itself as their home. */
static bool make_setup(struct arena *a, const struct users *u, size_t from, size_t to,
		       struct str own, struct setup *out)
{
	struct limits limits = { .max_mc_ids = IMPORT_USERS, .max_mc_service_ids_per_mc_id = UINT32_MAX,
				 .max_mc_system_ids = 1 };
	size_t first_id = u->items[from].first, last_id = u->items[to - 1].first + u->items[to - 1].n;
	struct setup_request r = { .n_mc_system_ids = 1, .n_mc_ids = to - from,
				   .n_service_ids = last_id - first_id };
	uint8_t random[10];
	r.mc_system_ids = arena_alloc(a, sizeof *r.mc_system_ids);
	r.mc_ids = arena_array(a, r.n_mc_ids, sizeof *r.mc_ids);
	r.service_ids = arena_array(a, r.n_service_ids, sizeof *r.service_ids);
	if (!r.mc_system_ids || !r.mc_ids || !r.service_ids || crypto_random(random, 10) != OK)
		return false;
	r.request_id = request_id_make(clock_wall_ms(), random);
	r.mc_system_ids[0] = own;
	for (size_t i = from; i < to; i++)
		r.mc_ids[i - from] = u->items[i].mc_id;
	for (size_t i = first_id; i < last_id; i++)
		r.service_ids[i - first_id] = u->ids[i].entry;
	return setup_check(a, &r, &limits, out).cause == CAUSE_NO_CAUSE;
}

static void report_verdict(const struct verdict *v)
{
	char id[300];
	fprintf(stderr, "acms: %s: %s\n", cause_name(v->cause), cause_text(v->cause));
	for (size_t i = 0; i < v->n_identities; i++)
		fprintf(stderr, "acms: %s\n",
			text_escape(v->identities[i].mc_service_id.ptr ?
					    v->identities[i].mc_service_id : v->identities[i].mc_id,
				    id, sizeof id));
}

/* Out lives in the work arena, which is a new one for each attempt. */
static enum status commit_growing(struct store *s, const struct commit_setup *what, struct arena **work,
				  struct commit_answer *out, struct error *e)
{
	enum status status;
	do {
		struct store_txn *t;
		arena_free(*work);
		*work = arena_new(0);
		status = *work ? store_begin_write(s, &t, e) : error_set(e, ERR_MEMORY, "out of memory");
		if (status == OK) {
			commit_setup(t, *work, what, clock_wall_ms(), out);
			status = store_commit(t, e);
		}
	} while (status == ERR_STORE_FULL && store_grow(s, e) == OK);
	return status;
}

/* The batch from..to in one transaction. */
static bool import_batch(struct store *s, const struct users *u, size_t from, size_t to)
{
	struct error e = { ERR_MEMORY, "out of memory" };
	struct arena *a = arena_new(0), *work = NULL;
	struct commit_answer answer = { .verdict = { .cause = CAUSE_NO_CAUSE } };
	struct commit_setup what = { .home = store_mc_system_id(s), .certificate = STR("local import"),
				     .most_users = UINT64_MAX, .action = AUDIT_IMPORT };
	bool good = a && make_setup(a, u, from, to, what.home, &what.setup) &&
		    commit_growing(s, &what, &work, &answer, &e) == OK;
	if (!good)
		fprintf(stderr, "acms: %s\n", e.text);
	else if (answer.verdict.cause != CAUSE_NO_CAUSE)
		report_verdict(&answer.verdict);
	good = good && answer.verdict.cause == CAUSE_NO_CAUSE;
	arena_free(work);
	arena_free(a);
	return good;
}

static bool import_all(struct store *s, const struct users *u)
{
	for (size_t from = 0; from < u->n; from += IMPORT_USERS) {
		size_t to = u->n - from > IMPORT_USERS ? from + IMPORT_USERS : u->n;
		if (!import_batch(s, u, from, to)) {
			fprintf(stderr, "acms: %zu of %zu users imported\n", from, u->n);
			return false;
		}
	}
	printf("%zu local users imported\n", u->n);
	return true;
}

int users_import(const struct inspect *i)
{
	struct users users;
	struct arena *a = arena_new(0);
	FILE *in = i->n_arguments == 2 ? fopen(i->arguments[1], "rb") : NULL;
	struct store *s = NULL;
	if (i->n_arguments != 2) {
		fprintf(stderr, "acms users import: give a file\n");
		arena_free(a);
		return EXIT_USAGE;
	}
	users_init(&users, a, i->arguments[1], stderr);
	if (!in)
		fprintf(stderr, "acms: %s: %s\n", i->arguments[1], strerror(errno));
	else if (a)
		users_read(&users, in, USERS_GUESS);
	bool good = in && a && users_check(&users) && (s = inspect_open(i, STORE_WRITE)) &&
		    import_all(s, &users);
	if (in)
		fclose(in);
	store_close(s);
	users_free(&users);
	arena_free(a);
	return good ? EXIT_GOOD : EXIT_BAD;
}
