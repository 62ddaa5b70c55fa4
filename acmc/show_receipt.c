#include "acmc/show_receipt.h"

#include "acmc/put.h"
#include "acmc/show_users.h"
#include "common/table.h"
#include "common/text.h"
#include "common/when.h"

enum { USERS_SHOWN = 200 };

static bool add_user(struct table *t, struct arena *a, const struct receipt *r, size_t i)
{
	char text[24], before[WHEN_TEXT_SIZE], after[WHEN_TEXT_SIZE];
	const struct setup_user *u = &r->setup.users[i];
	const struct validity *v = &r->setup.validity;
	uint64_t revision = r->claims.revisions[i];
	const char *ids = service_ids_text(a, u->service_ids, u->n_service_ids);
	snprintf(text, sizeof text, "%llu", (unsigned long long)revision);
	struct str cells[] = { u->mc_id, revision ? str_of(text) : STR("removed"),
			       str_of(v->not_before_ms ? when_format(v->not_before_ms, before) : ""),
			       str_of(v->not_after_ms ? when_format(v->not_after_ms, after) : ""),
			       str_of(ids ? ids : "") };
	return ids && table_row(t, cells);
}

static bool was_done(const struct receipt *r, size_t i)
{
	return r->claims.revisions[i] != RECEIPT_NOT_DONE;
}

static bool show_users(FILE *out, const struct receipt *r, bool colours)
{
	static const char *const titles[] = { "MC ID", "REVISION", "NOT BEFORE", "NOT AFTER", "MC SERVICE IDS", NULL };
	struct arena *a = arena_new(0);
	struct table *t = table_new(titles);
	bool good = a && t;
	size_t n = receipt_users_done(&r->claims);
	for (size_t i = 0, shown = 0; good && i < r->setup.n_users && shown < USERS_SHOWN; i++) {
		if (was_done(r, i)) {
			good = add_user(t, a, r, i);
			shown++;
		}
	}
	if (good)
		table_skip_empty(t);
	good = good && table_print(t, out, colours);
	if (n > USERS_SHOWN)
		fprintf(out, "... and %zu more; --json has them all\n", n - USERS_SHOWN);
	table_free(t);
	arena_free(a);
	return good;
}

static void show_claims(FILE *out, const struct receipt_claims *c)
{
	char id[REQUEST_ID_TEXT_SIZE], partner[300], home[300], who[300], when[WHEN_TEXT_SIZE];
	const char *operation = operation_name((int)c->operation);
	size_t n = receipt_users_done(c);
	request_id_format(c->request_id, id);
	fprintf(out, "%s certifies to %s: %s of %zu user%s, request %s, done %s",
		text_escape(c->partner, partner, sizeof partner), text_escape(c->home, home, sizeof home),
		operation ? operation : "?", n, text_s(n), id, when_format(c->done_ms, when));
	if (c->decided_by.ptr)
		fprintf(out, ", approved by %s", text_escape(c->decided_by, who, sizeof who));
	putc('\n', out);
}

bool show_receipt(FILE *out, const struct receipt_view *v, bool colours)
{
	bool good = true;
	const char *colour = !colours ? "" : v->good ? "\033[32m" : "\033[31m", *plain = colours ? "\033[m" : "";
	char name[1200];
	fprintf(out, "%s: ", text_escape(str_of(v->name), name, sizeof name));
	if (v->good)
		fprintf(out, "%sgood%s, signed by %s\n", colour, plain, v->signer);
	else
		fprintf(out, "%snot verified%s: %s\n", colour, plain, v->fault);
	if (v->note[0])
		fprintf(out, "note: %s\n", v->note);
	if (v->readable) {
		show_claims(out, &v->receipt->claims);
		good = show_users(out, v->receipt, colours);
	}
	if (v->saved)
		fprintf(out, "saved in %s\n", text_escape(str_of(v->saved), name, sizeof name));
	return good && fflush(out) == 0 && !ferror(out);
}

static void put_done(struct json_writer *w, const struct receipt *r, size_t i)
{
	const struct setup_user *u = &r->setup.users[i];
	json_map(w);
	put_text(w, "mc_id", u->mc_id);
	put_number(w, "revision", r->claims.revisions[i]);
	put_service_ids(w, u->service_ids, u->n_service_ids);
	put_time(w, "not_before", r->setup.validity.not_before_ms);
	put_time(w, "not_after", r->setup.validity.not_after_ms);
	json_end_map(w);
}

static void put_claims(struct json_writer *w, const struct receipt *r)
{
	const struct receipt_claims *c = &r->claims;
	put_text(w, "partner", c->partner);
	put_text(w, "home", c->home);
	put_id(w, "request_id", c->request_id);
	put_text(w, "operation", str_of(operation_name((int)c->operation)));
	put_time(w, "done", c->done_ms);
	put_text(w, "decided_by", c->decided_by);
	json_key(w, "users");
	json_array(w);
	for (size_t i = 0; i < r->setup.n_users; i++) {
		if (was_done(r, i))
			put_done(w, r, i);
	}
	json_end_array(w);
}

void put_receipt(struct json_writer *w, const struct receipt_view *v)
{
	json_map(w);
	put_text(w, "name", str_of(v->name));
	put_bool(w, "good", v->good);
	put_text(w, "fault", str_of(v->fault));
	put_text(w, "signer", v->signer[0] ? str_of(v->signer) : STR_NONE);
	put_text(w, "note", v->note[0] ? str_of(v->note) : STR_NONE);
	put_text(w, "saved", str_of(v->saved));
	if (v->readable)
		put_claims(w, v->receipt);
	json_end_map(w);
}
