#include "acmc/show.h"

#include "acmc/put.h"
#include "common/table.h"
#include "common/text.h"
#include "common/when.h"

enum { IDENTITIES_SHOWN = 50, TEXT_MAX = 1200 };

static const char *result_word(const struct answer *a)
{
	return !a->given ? "no answer" : a->result ? "TRUE" : "FALSE";
}

/* --- as they come --- */

static void end_line(FILE *out, const struct answers *a, size_t part)
{
	if (a->parts->n > 1)
		fprintf(out, " (part %zu of %zu)", part + 1, a->parts->n);
	putc('\n', out);
}

void show_answer(FILE *out, const struct answers *a, size_t part,
		 const struct setup_response *r, bool colours)
{
	char system[300], label[CAUSE_LABEL_SIZE];
	const char *colour = !colours ? "" : r->result ? "\033[32m" : "\033[31m";
	text_escape(r->mc_system_id, system, sizeof system);
	fprintf(out, "%s: %s%s%s", system, colour, r->result ? "TRUE" : "FALSE", colours ? "\033[m" : "");
	if (!r->result)
		fprintf(out, " %s", cause_label(r->cause, label));
	end_line(out, a, part);
}

/* "not reached yet: connection refused; tried until 2026-12-31T17:00:00Z" */
static const char *delay_text(enum delivery_state state, uint64_t until_ms, struct str detail, char text[TEXT_MAX])
{
	static const struct {
		const char *what, *until;
	} words[] = {
		[DELIVERY_QUEUED] = { "not reached yet", "tried until" },
		[DELIVERY_SENT] = { "sent, no answer yet", "until" },
		[DELIVERY_APPROVAL] = { "waits for approval", "until" },
		[DELIVERY_ANSWERED] = { "answered", "until" },
	};
	char when[WHEN_TEXT_SIZE];
	int n = snprintf(text, TEXT_MAX, "%s", words[state].what);
	if (detail.len && detail.len < TEXT_MAX / 2)
		n += snprintf(text + n, (size_t)(TEXT_MAX - n), ": %.*s", STR_ARG(detail)); /* the table escapes */
	if (until_ms)
		snprintf(text + n, (size_t)(TEXT_MAX - n), "%s %s %s", state == DELIVERY_APPROVAL && !detail.len ? "" : ";",
			 words[state].until, when_format_seconds(until_ms, when));
	return text;
}

static void show_accepted(FILE *out, const struct answers *a)
{
	char when[WHEN_TEXT_SIZE];
	uint64_t deadline = 0;
	for (size_t i = 0; i < a->parts->n; i++) {
		if (!a->accepted[i].yes)
			return; /* said once, of all */
		if (a->accepted[i].deadline_ms > deadline)
			deadline = a->accepted[i].deadline_ms;
	}
	fprintf(out, "accepted by %.*s", STR_ARG(a->home));
	if (deadline)
		fprintf(out, "; answered by %s at the latest", when_format_seconds(deadline, when));
	putc('\n', out);
}

void show_indication(FILE *out, const struct answers *a, size_t part, const struct process_indication *m)
{
	char system[300], why[540], when[WHEN_TEXT_SIZE];
	text_escape(m->mc_system_id, system, sizeof system);
	text_escape(m->detail, why, sizeof why);
	if (m->until_ms)
		when_format_seconds(m->until_ms, when);
	switch (m->state) {
	case PROCESS_ACCEPTED:
		show_accepted(out, a);
		return;
	case PROCESS_PENDING:
		fprintf(out, "%s: waits for approval", system);
		if (m->until_ms)
			fprintf(out, " until %s", when);
		if (m->detail.len)
			fprintf(out, ": %s", why);
		break;
	case PROCESS_DELAYED:
		fprintf(out, "%s: not reached yet", system);
		if (m->detail.len)
			fprintf(out, ": %s", why);
		if (m->until_ms)
			fprintf(out, "; tried until %s", when);
		break;
	}
	end_line(out, a, part);
}

/* --- table --- */

static struct str detail_of(const struct answer *x, char text[TEXT_MAX])
{
	if (x->given)
		return x->detail.len ? x->detail : x->result ? STR("") : str_of(cause_text(x->cause));
	if (x->delay.state)
		return str_of(delay_text(x->delay.state, x->delay.until_ms, x->delay.detail, text));
	return STR("");
}

static bool add_row(struct table *t, const struct answers *a, size_t part, size_t target)
{
	const struct answer *x = answers_at(a, part, target);
	char users[24], part_text[48], label[CAUSE_LABEL_SIZE], text[TEXT_MAX];
	snprintf(users, sizeof users, "%zu", a->parts->items[part].n_users);
	snprintf(part_text, sizeof part_text, "%zu/%zu", part + 1, a->parts->n);
	struct str cells[] = { a->parts->targets[target], str_of(a->parts->n > 1 ? part_text : ""), str_of(users),
			       str_of(result_word(x)),
			       !x->given || x->result ? STR("") : str_of(cause_label(x->cause, label)),
			       detail_of(x, text) };
	if (!table_row(t, cells))
		return false;
	table_colour(t, 3, x->given && x->result ? "green" : x->given ? "red" : "yellow");
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
	if (good)
		table_skip_empty(t);
	good = good && table_print(t, out, colours);
	table_free(t);
	return good;
}

/* What a cause means; of a revision that does not fit also which one would. */
static struct str meaning(const struct said *x, const struct identity_cause *c, char text[120])
{
	for (size_t i = 0; c->cause == CAUSE_REVISION_MISMATCH && i < x->n_revisions; i++) {
		if (!str_eq(x->revisions[i].mc_id, c->mc_id))
			continue;
		snprintf(text, 120, "somebody changed the user since; the present revision is %llu",
			 (unsigned long long)x->revisions[i].revision);
		return str_of(text);
	}
	return str_of(cause_text(c->cause));
}

static bool add_identity(struct table *t, struct str target, const struct said *said, const struct identity_cause *c)
{
	char label[CAUSE_LABEL_SIZE], text[120];
	struct str cells[] = { target, c->mc_id, c->mc_service_id.ptr ? c->mc_service_id : STR(""),
			       str_of(cause_label(c->cause, label)), meaning(said, c, text) };
	return table_row(t, cells);
}

/* Those of one answer; *n: how many there are so far. */
static bool add_identities(struct table *t, const struct answers *a, size_t part, size_t target, size_t *n)
{
	const struct answer *x = answers_at(a, part, target);
	size_t before = *n;
	struct said said;
	struct arena *work;
	*n += x->n_identities;
	if (x->n_identities == 0 || before >= IDENTITIES_SHOWN)
		return true;
	work = arena_new(0);
	bool good = work && answers_said(a, x, work, &said);
	for (size_t i = 0; good && i < said.n_identities && before + i < IDENTITIES_SHOWN; i++)
		good = add_identity(t, a->parts->targets[target], &said, &said.identities[i]);
	arena_free(work);
	return good;
}

static bool show_identities(FILE *out, const struct answers *a, bool colours)
{
	static const char *const titles[] = { "PARTNER", "MC ID", "MC SERVICE ID", "CAUSE", "MEANING",
					      NULL };
	struct table *t = table_new(titles);
	bool good = t != NULL;
	size_t n = 0;
	for (size_t target = 0; good && target < a->parts->n_targets; target++) {
		for (size_t part = 0; good && part < a->parts->n; part++)
			good = add_identities(t, a, part, target, &n);
	}
	if (n > 0) {
		putc('\n', out);
		table_skip_empty(t);
		good = good && table_print(t, out, colours);
	}
	if (n > IDENTITIES_SHOWN)
		fprintf(out, "... and %zu more; --json has them all\n", n - IDENTITIES_SHOWN);
	table_free(t);
	return good;
}

static void show_decision(FILE *out, const struct answers *a, size_t part, size_t target)
{
	const struct answer *x = answers_at(a, part, target);
	const struct decided_by *d = &x->decided_by;
	char system[300], who[540], why[540], when[WHEN_TEXT_SIZE];
	if (!x->given || !d->acmc.ptr)
		return;
	fprintf(out, "%s: %s by %s", text_escape(a->parts->targets[target], system, sizeof system),
		x->cause == CAUSE_REJECTED ? "rejected" : "approved", text_escape(d->acmc, who, sizeof who));
	if (d->at_ms)
		fprintf(out, " at %s", when_format_seconds(d->at_ms, when));
	if (d->reason.len)
		fprintf(out, ": %s", text_escape(d->reason, why, sizeof why));
	end_line(out, a, part);
}

static void show_decisions(FILE *out, const struct answers *a)
{
	for (size_t target = 0; target < a->parts->n_targets; target++) {
		for (size_t part = 0; part < a->parts->n; part++)
			show_decision(out, a, part, target);
	}
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
	putc('\n', out);
	show_decisions(out, a);
	fprintf(out, "%zu of %zu answers TRUE", true_count(a), a->parts->n * a->parts->n_targets);
	if (a->parts->dry_run)
		fputs(", in a dry run: nothing was done", out);
	if (failure || a->missing > 0)
		fprintf(out, ", %zu missing", a->missing);
	putc('\n', out);
	return good && fflush(out) == 0 && !ferror(out);
}

/* --- JSON --- */

/* Nothing is known of a part that the home system does not know. */
static bool put_mc_ids(struct json_writer *w, const struct answers *a, const struct part *p)
{
	const uint8_t *at = p->n_users ? stock_at(a->parts->users, p->offset, p->packed) : NULL;
	json_key(w, "mc_id_list");
	json_array(w);
	for (size_t i = 0; at && i < p->n_users; i++) {
		struct stocked u;
		at = stock_user(at, &u);
		json_text(w, u.mc_id);
	}
	json_end_array(w);
	return at || p->n_users == 0;
}

static struct str state_of(const struct answers *a, size_t part, const struct answer *x)
{
	if (x->given)
		return STR("answered");
	if (x->delay.state)
		return delivery_state_name(x->delay.state);
	return a->accepted[part].yes ? STR("accepted") : STR_NONE;
}

static bool put_answer(struct json_writer *w, const struct answers *a, size_t part, size_t target,
		       struct arena *work)
{
	struct said said;
	const struct answer *x = answers_at(a, part, target);
	const struct part *p = &a->parts->items[part];
	bool good = answers_said(a, x, work, &said);
	json_map(w);
	put_id(w, "request_id", p->id);
	put_text(w, "mc_system_id", a->parts->targets[target]);
	good &= put_mc_ids(w, a, p);
	put_text(w, "state", state_of(a, part, x));
	put_time(w, "deadline", a->accepted[part].deadline_ms);
	if (x->given) {
		put_given(w, x, &said);
	} else {
		put_text(w, "result", STR_NONE);
		put_number(w, "attempts", x->delay.attempts);
		put_time(w, "until", x->delay.until_ms);
		put_text(w, "detail", x->delay.detail);
	}
	json_end_map(w);
	return good;
}

static bool put_answers(struct json_writer *w, const struct answers *a)
{
	struct arena *work = arena_new(0);
	bool good = work != NULL;
	for (size_t part = 0; good && part < a->parts->n; part++) {
		for (size_t target = 0; good && target < a->parts->n_targets; target++) {
			good = put_answer(w, a, part, target, work);
			arena_reset(work);
		}
	}
	arena_free(work);
	return good;
}

bool show_json(FILE *out, const struct answers *a, struct request_id base, const char *failure, int exit_code)
{
	struct json_writer *w = json_writer_new(out);
	if (!w)
		return false;
	json_map(w);
	put_end(w, exit_code, failure);
	put_id(w, "request_id", base);
	put_text(w, "operation", a->items || a->parts->users ? str_of(operation_name((int)a->parts->operation)) : STR_NONE);
	json_key(w, "responses");
	json_array(w);
	bool good = !a->items || put_answers(w, a);
	json_end_array(w);
	json_end_map(w);
	return json_writer_free(w) && good;
}

/* --- advice --- */

bool show_goes_on(const struct answers *a)
{
	for (size_t i = 0; a->items && i < a->parts->n; i++) {
		if (!a->accepted[i].yes && !answers_part_complete(a, i))
			return false;
	}
	return a->items && a->missing > 0 && a->n_accepted > 0;
}

static bool any_of_kind(const struct answers *a, enum cause_kind kind)
{
	for (size_t i = 0; a->items && i < a->parts->n * a->parts->n_targets; i++) {
		const struct answer *x = &a->items[i];
		if (x->given && !x->result && cause_kind(x->cause) == kind)
			return true;
	}
	return false;
}

void show_advice(FILE *out, const struct answers *a, struct request_id base)
{
	bool unknown = any_of_kind(a, CAUSE_KIND_UNKNOWN);
	bool transient = any_of_kind(a, CAUSE_KIND_TRANSIENT);
	char id[REQUEST_ID_TEXT_SIZE];
	request_id_format(base, id);
	if (show_goes_on(a))
		fprintf(out, "acmc: request %s goes on; acmc wait %s\n", id, id);
	else if (a->items && a->missing > 0 && !a->parts->dry_run)
		fprintf(out, "acmc: some outcome is not known; to find out, repeat the command with "
			     "--request-id %s\n", id);
	else if (unknown && a->n_accepted > 0)
		fprintf(out, "acmc: some outcome is not known; a late answer shows in acmc status %s, what the "
			     "partner has in acmc reconcile\n", id);
	else if (unknown)
		fprintf(out, "acmc: some outcome is not known; to find out, repeat the command with "
			     "--request-id %s\n", id);
	else if (transient && a->n_accepted > 0)
		fputs("acmc: some partner could not do it in time; repeat the command later\n", out);
	else if (transient)
		fprintf(out, "acmc: some partner could not do it now; repeat the command later, with "
			     "--request-id %s\n", id);
}
