#include "acmc/show_receipt.h"

#include "acmc/put.h"
#include "acmc/show_users.h"
#include "common/table.h"
#include "common/text.h"
#include "common/when.h"

enum { USERS_SHOWN = 200 };

static bool add_user(struct table *t, struct arena *a, const struct receipt_user *u)
{
	char revision[24], before[WHEN_TEXT_SIZE], after[WHEN_TEXT_SIZE];
	const char *ids = service_ids_text(a, u->service_ids, u->n_service_ids);
	snprintf(revision, sizeof revision, "%llu", (unsigned long long)u->revision);
	struct str cells[] = { u->mc_id, u->revision ? str_of(revision) : STR("removed"),
			       str_of(u->validity.not_before_ms ? when_format(u->validity.not_before_ms, before) : ""),
			       str_of(u->validity.not_after_ms ? when_format(u->validity.not_after_ms, after) : ""),
			       str_of(ids ? ids : "") };
	return ids && table_row(t, cells);
}

static bool show_users(FILE *out, const struct receipt *r, bool colours)
{
	static const char *const titles[] = { "MC ID", "REVISION", "NOT BEFORE", "NOT AFTER", "MC SERVICE IDS", NULL };
	struct arena *a = arena_new(0);
	struct table *t = table_new(titles);
	bool good = a && t;
	for (size_t i = 0; good && i < r->n_users && i < USERS_SHOWN; i++)
		good = add_user(t, a, &r->users[i]);
	if (good)
		table_skip_empty(t);
	good = good && table_print(t, out, colours);
	if (r->n_users > USERS_SHOWN)
		fprintf(out, "... and %zu more; --json has them all\n", r->n_users - USERS_SHOWN);
	table_free(t);
	arena_free(a);
	return good;
}

static void show_claims(FILE *out, const struct receipt *r)
{
	char id[REQUEST_ID_TEXT_SIZE], partner[300], home[300], who[300], when[WHEN_TEXT_SIZE];
	const char *operation = operation_name((int)r->operation);
	request_id_format(r->request_id, id);
	fprintf(out, "%s certifies to %s: %s of %zu user%s, request %s, done %s",
		text_escape(r->partner, partner, sizeof partner), text_escape(r->home, home, sizeof home),
		operation ? operation : "?", r->n_users, text_s(r->n_users), id,
		when_format(r->done_ms, when));
	if (r->decided_by.ptr)
		fprintf(out, ", approved by %s", text_escape(r->decided_by, who, sizeof who));
	putc('\n', out);
}

bool show_receipt(FILE *out, const struct receipt_view *v, bool colours)
{
	bool good = true;
	const char *colour = !colours ? "" : v->good ? "\033[32m" : "\033[31m", *plain = colours ? "\033[m" : "";
	fprintf(out, "%s: ", v->name);
	if (v->good)
		fprintf(out, "%sgood%s, signed by %s\n", colour, plain, v->signer);
	else
		fprintf(out, "%snot verified%s: %s\n", colour, plain, v->fault);
	if (v->note[0])
		fprintf(out, "note: %s\n", v->note);
	if (v->readable) {
		show_claims(out, v->receipt);
		good = show_users(out, v->receipt, colours);
	}
	if (v->saved)
		fprintf(out, "saved in %s\n", v->saved);
	return good && fflush(out) == 0 && !ferror(out);
}

static void put_claims(struct json_writer *w, const struct receipt *r)
{
	put_text(w, "partner", r->partner);
	put_text(w, "home", r->home);
	put_id(w, "request_id", r->request_id);
	put_text(w, "operation", str_of(operation_name((int)r->operation)));
	put_time(w, "done", r->done_ms);
	put_text(w, "decided_by", r->decided_by);
	json_key(w, "users");
	json_array(w);
	for (size_t i = 0; i < r->n_users; i++) {
		const struct receipt_user *u = &r->users[i];
		json_map(w);
		put_text(w, "mc_id", u->mc_id);
		put_number(w, "revision", u->revision);
		put_service_ids(w, u->service_ids, u->n_service_ids);
		put_time(w, "not_before", u->validity.not_before_ms);
		put_time(w, "not_after", u->validity.not_after_ms);
		json_end_map(w);
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
