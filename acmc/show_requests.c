#include "acmc/show_requests.h"

#include "acmc/put.h"
#include "common/text.h"
#include "common/when.h"

static struct str operation_of(int operation)
{
	const char *name = operation_name(operation);
	return name ? str_of(name) : STR("?");
}

static struct str seconds(uint64_t ms, char text[WHEN_TEXT_SIZE])
{
	return ms ? str_of(when_format_seconds(ms, text)) : STR("");
}

/* --- one command --- */

void show_track(FILE *out, const struct track *t)
{
	char id[REQUEST_ID_TEXT_SIZE], who[300], when[WHEN_TEXT_SIZE];
	request_id_format(track_base(t), id);
	fprintf(out, "request %s: %.*s of %zu user%s, asked by %s", id, STR_ARG(operation_of((int)t->parts.operation)),
		parts_users(&t->parts), text_s(parts_users(&t->parts)), text_escape(t->acmc, who, sizeof who));
	if (t->accepted_ms)
		fprintf(out, ", accepted %s", when_format_seconds(t->accepted_ms, when));
	if (t->answers.accepted[0].deadline_ms)
		fprintf(out, ", deadline %s", when_format_seconds(t->answers.accepted[0].deadline_ms, when));
	putc('\n', out);
	if (t->n_unknown)
		fprintf(out, "%zu of %zu parts are not known to the home system\n", t->n_unknown, t->parts.n);
}

/* --- many --- */

struct table *requests_table(void)
{
	static const char *const titles[] = { "REQUEST", "ACCEPTED", "ACMC", "OPERATION", "PART", "USERS", "PARTNER",
					      "STATE", "UNTIL", "DETAIL", NULL };
	return table_new(titles);
}

static struct str state_word(const struct delivery_entry *d, char label[CAUSE_LABEL_SIZE])
{
	if (d->state == DELIVERY_ANSWERED && d->has_response)
		return d->response.result ? STR("TRUE") : str_of(cause_label(d->response.cause, label));
	if (d->state == DELIVERY_APPROVAL)
		return STR("waits for approval");
	return delivery_state_name(d->state);
}

static struct str why(const struct delivery_entry *d)
{
	if (d->state != DELIVERY_ANSWERED || !d->has_response)
		return d->detail.ptr ? d->detail : STR("");
	if (d->response.detail.len || d->response.result)
		return d->response.detail.ptr ? d->response.detail : STR("");
	return str_of(cause_text(d->response.cause));
}

bool requests_table_add(struct table *t, const struct request_entry *e)
{
	char id[REQUEST_ID_TEXT_SIZE], accepted[WHEN_TEXT_SIZE], until[WHEN_TEXT_SIZE], part[32], users[16],
		label[CAUSE_LABEL_SIZE];
	request_id_format(e->request_id, id);
	snprintf(part, sizeof part, "%u/%u", e->part + 1, e->parts);
	snprintf(users, sizeof users, "%u", e->users);
	for (size_t i = 0; i < e->n_deliveries; i++) {
		const struct delivery_entry *d = &e->deliveries[i];
		bool first = i == 0; /* what is the request's own is told once */
		struct str cells[] = { first ? str_of(id) : STR(""),
				       first ? seconds(e->accepted_ms, accepted) : STR(""),
				       first ? e->acmc : STR(""),
				       first ? operation_of(e->operation) : STR(""),
				       first && e->parts > 1 ? str_of(part) : STR(""),
				       first ? str_of(users) : STR(""),
				       d->mc_system_id, state_word(d, label),
				       d->state == DELIVERY_ANSWERED ? STR("") : seconds(d->until_ms, until), why(d) };
		if (!table_row(t, cells))
			return false;
		table_colour(t, 7, d->state != DELIVERY_ANSWERED ? "yellow" : d->response.result ? "green" : "red");
	}
	return true;
}

static void put_delivery(struct json_writer *w, const struct delivery_entry *d)
{
	json_map(w);
	put_text(w, "mc_system_id", d->mc_system_id);
	put_text(w, "state", delivery_state_name(d->state));
	put_number(w, "attempts", d->attempts);
	put_time(w, "until", d->until_ms);
	put_time(w, "answered", d->answered_ms);
	put_text(w, "detail", why(d));
	if (d->has_response) {
		put_bool(w, "result", d->response.result);
		put_text(w, "origin", d->response.origin == ORIGIN_HOME_ACMS ? STR("home") : STR("partner"));
		put_cause(w, d->response.cause);
	} else {
		put_text(w, "result", STR_NONE);
	}
	json_end_map(w);
}

void put_request(struct json_writer *w, const struct request_entry *e)
{
	json_map(w);
	put_id(w, "request_id", e->request_id);
	put_text(w, "operation", operation_of(e->operation));
	put_text(w, "acmc", e->acmc);
	put_time(w, "accepted", e->accepted_ms);
	put_time(w, "deadline", e->deadline_ms);
	put_number(w, "part", e->part + 1); /* as people count */
	put_number(w, "parts", e->parts ? e->parts : 1);
	put_number(w, "users", e->users);
	json_key(w, "deliveries");
	json_array(w);
	for (size_t i = 0; i < e->n_deliveries; i++)
		put_delivery(w, &e->deliveries[i]);
	json_end_array(w);
	json_end_map(w);
}

/* --- what waits for a decision --- */

struct table *pending_table(void)
{
	static const char *const titles[] = { "HOME SYSTEM", "REQUEST", "RECEIVED", "DECIDE UNTIL", "OPERATION", "USERS",
					      NULL };
	return table_new(titles);
}

bool pending_table_add(struct table *t, const struct pending_entry *e)
{
	char id[REQUEST_ID_TEXT_SIZE], received[WHEN_TEXT_SIZE], until[WHEN_TEXT_SIZE], users[16];
	request_id_format(e->request.request_id, id);
	snprintf(users, sizeof users, "%u", e->users);
	struct str cells[] = { e->mc_system_id, str_of(id), seconds(e->received_ms, received),
			       seconds(e->until_ms, until), operation_of(e->request.operation), str_of(users) };
	return table_row(t, cells);
}

void show_pending_line(FILE *out, const struct pending_entry *e)
{
	char id[REQUEST_ID_TEXT_SIZE], until[WHEN_TEXT_SIZE], system[300];
	request_id_format(e->request.request_id, id);
	fprintf(out, "%s: %s: %.*s of %u user%s", text_escape(e->mc_system_id, system, sizeof system), id,
		STR_ARG(operation_of(e->request.operation)), e->users, text_s(e->users));
	if (e->until_ms)
		fprintf(out, ", decide until %s", when_format_seconds(e->until_ms, until));
	putc('\n', out);
}

static uint64_t expected_revision(const struct setup_request *r, struct str mc_id)
{
	for (size_t i = 0; i < r->n_revisions; i++) {
		if (str_eq(r->revisions[i].mc_id, mc_id))
			return r->revisions[i].revision;
	}
	return 0;
}

static void put_pending_user(struct json_writer *w, const struct setup_request *r, struct str mc_id)
{
	uint64_t revision = expected_revision(r, mc_id);
	json_map(w);
	put_text(w, "mc_id", mc_id);
	json_key(w, "mc_service_ids");
	json_array(w);
	for (size_t i = 0; i < r->n_service_ids; i++) {
		const char *service = mc_service_name(r->service_ids[i].service);
		if (!str_eq(r->service_ids[i].mc_id, mc_id))
			continue;
		json_map(w);
		put_text(w, "service", str_of(service));
		put_text(w, "mc_service_id", r->service_ids[i].mc_service_id);
		json_end_map(w);
	}
	json_end_array(w);
	if (revision)
		put_number(w, "revision", revision);
	json_end_map(w);
}

void put_pending(struct json_writer *w, const struct pending_entry *e)
{
	const struct setup_request *r = &e->request;
	json_map(w);
	put_text(w, "mc_system_id", e->mc_system_id);
	put_id(w, "request_id", r->request_id);
	put_text(w, "operation", operation_of(r->operation));
	put_time(w, "received", e->received_ms);
	put_time(w, "until", e->until_ms);
	put_number(w, "user_count", e->users);
	if (e->also_of_others)
		put_bool(w, "also_of_others", true);
	put_time(w, "not_before", r->validity.not_before_ms);
	put_time(w, "not_after", r->validity.not_after_ms);
	put_bool(w, "best_effort", r->best_effort);
	put_text(w, "home_acmc_id", r->home_acmc_id);
	if (r->n_mc_ids) { /* a list does not have them */
		json_key(w, "users");
		json_array(w);
		for (size_t i = 0; i < r->n_mc_ids; i++)
			put_pending_user(w, r, r->mc_ids[i]);
		json_end_array(w);
	}
	json_end_map(w);
}

static bool add_user(struct table *t, struct arena *a, const struct setup_request *r, struct str mc_id)
{
	char revision[24] = "";
	const char *ids = "";
	if (expected_revision(r, mc_id))
		snprintf(revision, sizeof revision, "%llu", (unsigned long long)expected_revision(r, mc_id));
	for (size_t i = 0; ids && i < r->n_service_ids; i++) {
		const struct service_id_entry *e = &r->service_ids[i];
		const char *service = mc_service_name(e->service);
		if (str_eq(e->mc_id, mc_id))
			ids = arena_printf(a, "%s%s%s=%.*s", ids, *ids ? " " : "", service ? service : "?",
					   STR_ARG(e->mc_service_id));
	}
	struct str cells[] = { mc_id, str_of(revision), ids ? str_of(ids) : STR("") };
	return ids && table_row(t, cells);
}

static bool show_users(FILE *out, const struct setup_request *r, bool colours)
{
	static const char *const titles[] = { "MC ID", "REVISION", "MC SERVICE IDS", NULL };
	struct arena *a = arena_new(0);
	struct table *t = table_new(titles);
	bool good = a && t;
	for (size_t i = 0; good && i < r->n_mc_ids; i++)
		good = add_user(t, a, r, r->mc_ids[i]);
	if (good)
		table_skip_empty(t);
	good = good && table_print(t, out, colours);
	table_free(t);
	arena_free(a);
	return good;
}

bool show_pending(FILE *out, const struct pending_entry *e, bool colours)
{
	char text[WHEN_TEXT_SIZE], who[300];
	const struct setup_request *r = &e->request;
	show_pending_line(out, e);
	if (e->also_of_others)
		fputs("another home system has, or had, a request with this ID: approve or reject it with --from\n", out);
	if (r->home_acmc_id.ptr)
		fprintf(out, "asked by %s, as its home system says\n",
			text_escape(r->home_acmc_id, who, sizeof who));
	if (e->received_ms)
		fprintf(out, "received %s\n", when_format_seconds(e->received_ms, text));
	if (r->validity.not_before_ms)
		fprintf(out, "not before %s\n", when_format(r->validity.not_before_ms, text));
	if (r->validity.not_after_ms)
		fprintf(out, "not after %s\n", when_format(r->validity.not_after_ms, text));
	if (r->best_effort)
		fputs("best effort: those users that can be done\n", out);
	bool shown = true;
	if (r->n_mc_ids) {
		putc('\n', out);
		shown = show_users(out, r, colours);
	}
	return shown && fflush(out) == 0 && !ferror(out);
}
