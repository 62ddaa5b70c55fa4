#include "acmc/show.h"

#include "common/json.h"
#include "common/table.h"
#include "common/text.h"

enum { IDENTITIES_SHOWN = 50 };

static const char *result_word(const struct answer *a)
{
	return !a->given ? "no answer" : a->result ? "TRUE" : "FALSE";
}

static struct str detail_of(const struct answer *a)
{
	if (!a->given)
		return STR("");
	return a->detail.len ? a->detail : a->result ? STR("") : str_of(cause_text(a->cause));
}

/* --- as they come --- */

void show_answer(FILE *out, const struct answers *a, size_t part,
		 const struct setup_response *r, bool colours)
{
	char system[300], label[CAUSE_LABEL_SIZE];
	const char *colour = !colours ? "" : r->result ? "\033[32m" : "\033[31m";
	text_escape(r->mc_system_id, system, sizeof system);
	fprintf(out, "%s: %s%s%s", system, colour, r->result ? "TRUE" : "FALSE", colours ? "\033[m" : "");
	if (!r->result)
		fprintf(out, " %s", cause_label(r->cause, label));
	if (a->parts->n > 1)
		fprintf(out, " (part %zu of %zu)", part + 1, a->parts->n);
	putc('\n', out);
}

/* --- table --- */

static bool add_row(struct table *t, const struct answers *a, size_t part, size_t target)
{
	const struct answer *x = answers_at(a, part, target);
	char users[24], part_text[48], label[CAUSE_LABEL_SIZE];
	snprintf(users, sizeof users, "%zu", a->parts->items[part].n_users);
	snprintf(part_text, sizeof part_text, "%zu/%zu", part + 1, a->parts->n);
	struct str cells[] = { a->parts->targets[target], str_of(part_text), str_of(users),
			       str_of(result_word(x)),
			       !x->given || x->result ? STR("") : str_of(cause_label(x->cause, label)),
			       detail_of(x) };
	if (!table_row(t, cells))
		return false;
	table_colour(t, 3, x->given && x->result ? "green" : "red");
	return true;
}

static bool show_answers(FILE *out, const struct answers *a, bool colours)
{
	static const char *const titles[] = { "PARTNER", "PART", "USERS", "RESULT", "CAUSE", "DETAIL",
					      NULL };
	struct table *t = table_new(titles);
	bool good = t != NULL;
	for (size_t target = 0; good && target < a->parts->n_targets; target++) {
		for (size_t part = 0; good && part < a->parts->n; part++)
			good = add_row(t, a, part, target);
	}
	good = good && table_print(t, out, colours);
	table_free(t);
	return good;
}

static bool add_identities(struct table *t, const struct answers *a, size_t target, size_t *n)
{
	for (size_t part = 0; part < a->parts->n; part++) {
		const struct answer *x = answers_at(a, part, target);
		for (size_t i = 0; i < x->n_identities; i++) {
			const struct identity_cause *c = &x->identities[i];
			char label[CAUSE_LABEL_SIZE];
			struct str cells[] = { a->parts->targets[target], c->mc_id,
					       c->mc_service_id.ptr ? c->mc_service_id : STR(""),
					       str_of(cause_label(c->cause, label)),
					       str_of(cause_text(c->cause)) };
			if (++*n <= IDENTITIES_SHOWN && !table_row(t, cells))
				return false;
		}
	}
	return true;
}

static bool show_identities(FILE *out, const struct answers *a, bool colours)
{
	static const char *const titles[] = { "PARTNER", "MC ID", "MC SERVICE ID", "CAUSE", "MEANING",
					      NULL };
	struct table *t = table_new(titles);
	bool good = t != NULL;
	size_t n = 0;
	for (size_t target = 0; good && target < a->parts->n_targets; target++)
		good = add_identities(t, a, target, &n);
	if (n > 0) {
		putc('\n', out);
		good = good && table_print(t, out, colours);
	}
	if (n > IDENTITIES_SHOWN)
		fprintf(out, "... and %zu more; --json has them all\n", n - IDENTITIES_SHOWN);
	table_free(t);
	return good;
}

static size_t true_count(const struct answers *a)
{
	size_t n = 0;
	for (size_t i = 0; i < a->parts->n * a->parts->n_targets; i++)
		n += a->items[i].result;
	return n;
}

bool show_table(FILE *out, const struct answers *a, const char *failure, bool colours)
{
	if (!a->items)
		return true; /* nothing was ever asked */
	bool good = show_answers(out, a, colours) && show_identities(out, a, colours);
	fprintf(out, "\n%zu of %zu answers TRUE", true_count(a), a->parts->n * a->parts->n_targets);
	fprintf(out, failure ? ", %zu missing\n" : "\n", a->missing);
	return good && fflush(out) == 0 && !ferror(out);
}

/* --- JSON --- */

static void put_id(struct json_writer *w, const char *key, struct request_id id)
{
	char text[REQUEST_ID_TEXT_SIZE];
	request_id_format(id, text);
	json_key(w, key);
	json_text(w, str_of(text));
}

static void put_identities(struct json_writer *w, const struct answer *x)
{
	json_key(w, "identity_causes");
	json_array(w);
	for (size_t i = 0; i < x->n_identities; i++) {
		const struct identity_cause *c = &x->identities[i];
		json_map(w);
		json_key(w, "mc_id");
		json_text(w, c->mc_id);
		json_key(w, "mc_service_id");
		if (c->mc_service_id.ptr)
			json_text(w, c->mc_service_id);
		else
			json_null(w);
		json_key(w, "cause");
		json_number(w, (int)c->cause);
		json_key(w, "cause_name");
		json_text(w, str_of(cause_name(c->cause)));
		json_end_map(w);
	}
	json_end_array(w);
}

static void put_given(struct json_writer *w, const struct answer *x)
{
	json_key(w, "result");
	json_bool(w, x->result);
	json_key(w, "origin");
	json_text(w, x->origin == ORIGIN_HOME_ACMS ? STR("home") : STR("partner"));
	json_key(w, "cause");
	json_number(w, (int)x->cause);
	json_key(w, "cause_name");
	json_text(w, str_of(cause_name(x->cause)));
	json_key(w, "kind");
	if (x->result)
		json_null(w);
	else
		json_text(w, str_of(cause_kind_name(cause_kind(x->cause))));
	json_key(w, "detail");
	json_text(w, detail_of(x));
	put_identities(w, x);
}

static void put_answer(struct json_writer *w, const struct answers *a, size_t part, size_t target)
{
	const struct answer *x = answers_at(a, part, target);
	const struct part *p = &a->parts->items[part];
	json_map(w);
	put_id(w, "request_id", p->id);
	json_key(w, "mc_system_id");
	json_text(w, a->parts->targets[target]);
	json_key(w, "mc_id_list");
	json_array(w);
	for (size_t i = 0; i < p->n_users; i++)
		json_text(w, a->parts->users->items[p->first_user + i].mc_id);
	json_end_array(w);
	if (x->given) {
		put_given(w, x);
	} else {
		json_key(w, "result");
		json_null(w);
	}
	json_end_map(w);
}

bool show_json(FILE *out, const struct answers *a, const char *failure, int exit_code)
{
	struct json_writer *w = json_writer_new(out);
	if (!w)
		return false;
	json_map(w);
	json_key(w, "exit_code");
	json_number(w, exit_code);
	json_key(w, "failure");
	if (failure)
		json_text(w, str_of(failure));
	else
		json_null(w);
	json_key(w, "responses");
	json_array(w);
	for (size_t part = 0; a->items && part < a->parts->n; part++) {
		for (size_t target = 0; target < a->parts->n_targets; target++)
			put_answer(w, a, part, target);
	}
	json_end_array(w);
	json_end_map(w);
	return json_writer_free(w);
}

/* --- advice --- */

void show_advice(FILE *out, const struct answers *a, struct request_id base)
{
	bool unknown = a->items && a->missing > 0, transient = false;
	char id[REQUEST_ID_TEXT_SIZE];
	for (size_t i = 0; a->items && i < a->parts->n * a->parts->n_targets; i++) {
		const struct answer *x = &a->items[i];
		unknown |= x->given && !x->result && cause_kind(x->cause) == CAUSE_KIND_UNKNOWN;
		transient |= x->given && !x->result && cause_kind(x->cause) == CAUSE_KIND_TRANSIENT;
	}
	request_id_format(base, id);
	if (unknown)
		fprintf(out, "acmc: some outcome is not known; to find out, repeat the command with "
			     "--request-id %s\n", id);
	else if (transient)
		fprintf(out, "acmc: some partner could not do it now; repeat the command later, with "
			     "--request-id %s\n", id);
}
