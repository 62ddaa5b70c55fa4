#include <stdio.h>
#include <stdlib.h>
#include "acms/audit_internal.h"
#include "acms/commands.h"
#include "common/json.h"
#include "common/when.h"

/* acms audit export: the log to the outside. */

enum { PAGE_ENTRIES = 1000 };

/* --- pages: as with users, the transaction ends before anything is written out --- */

struct page {
	struct arena *arena;
	struct audit_entry items[PAGE_ENTRIES];
	size_t n;
	uint64_t last;
	bool spent;
};

static bool keep(void *context, uint64_t number, struct str value)
{
	struct page *p = context;
	if (number > p->last || p->n == PAGE_ENTRIES)
		return false;
	struct str copy = arena_str(p->arena, value);
	p->spent = !copy.ptr;
	if (!p->spent)
		p->items[p->n++] = (struct audit_entry){ number, copy };
	return !p->spent;
}

static enum status read_page(struct store *s, struct page *p, uint64_t from, struct error *e)
{
	struct store_txn *t;
	p->n = 0;
	enum status status = store_begin_read(s, &t, e);
	if (status != OK)
		return status;
	store_list_audit(t, from, keep, p);
	status = inspect_end(t, e);
	return status == OK && p->spent ? error_set(e, ERR_MEMORY, "out of memory") : status;
}

enum status audit_each(struct store *s, uint64_t last, audit_each_entry *take, void *context, struct error *e)
{
	enum status status = OK;
	struct page *p = malloc(sizeof *p);
	struct arena *a = arena_new(0);
	if (!p || !a)
		status = error_set(e, ERR_MEMORY, "out of memory");
	else
		*p = (struct page){ .arena = a, .last = last, .n = 1 };
	for (uint64_t from = 1; status == OK && p->n > 0; arena_reset(a)) {
		status = read_page(s, p, from, e);
		for (size_t i = 0; i < p->n && status == OK; i++)
			status = take(context, a, &p->items[i], e);
		from = p->n ? p->items[p->n - 1].number + 1 : from;
	}
	arena_free(a);
	free(p);
	return status;
}

enum status audit_bounds(struct store *s, struct audit_bounds *out, struct error *e)
{
	struct store_txn *t;
	enum status status = store_begin_read(s, &t, e);
	if (status != OK)
		return status;
	store_get_audit_start(t, &out->start);
	out->has_head = store_get_audit_head(t, &out->head);
	return inspect_end(t, e);
}

/* --- export --- */

static void put_text(struct json_writer *w, const char *key, struct str s)
{
	json_key(w, key);
	json_text(w, s);
}

static void put_optional(struct json_writer *w, const char *key, struct str s)
{
	if (s.ptr)
		put_text(w, key, s);
}

static void put_texts(struct json_writer *w, const char *key, const struct str *texts, size_t n)
{
	json_key(w, key);
	json_array(w);
	for (size_t i = 0; i < n; i++)
		json_text(w, texts[i]);
	json_end_array(w);
}

static void put_number(struct json_writer *w, const char *key, uint64_t n)
{
	json_key(w, key);
	json_number(w, n);
}

static void put_time(struct json_writer *w, const char *key, uint64_t ms)
{
	char text[WHEN_TEXT_SIZE];
	put_text(w, key, str_of(when_format_seconds(ms, text)));
}

static void put_identities(struct json_writer *w, const struct audit_record *r)
{
	json_key(w, "identity_causes");
	json_array(w);
	for (size_t i = 0; i < r->n_identities; i++) {
		json_map(w);
		put_text(w, "mc_id", r->identities[i].mc_id);
		put_optional(w, "mc_service_id", r->identities[i].mc_service_id);
		put_text(w, "cause", str_of(cause_name(r->identities[i].cause)));
		json_end_map(w);
	}
	json_end_array(w);
}

static void put_decided_by(struct json_writer *w, const struct decided_by *d)
{
	json_key(w, "decided_by");
	json_map(w);
	put_text(w, "acmc", d->acmc);
	put_optional(w, "reason", d->reason);
	put_time(w, "at", d->at_ms);
	json_end_map(w);
}

static void put_outcome(struct json_writer *w, const struct audit_record *r)
{
	put_number(w, "created", r->created);
	put_number(w, "replaced", r->replaced);
	put_number(w, "unchanged", r->unchanged);
	put_number(w, "removed", r->removed);
	if (r->decided_by.acmc.ptr)
		put_decided_by(w, &r->decided_by);
	if (r->n_identities)
		put_identities(w, r);
	put_optional(w, "detail", r->detail);
	if (r->all_mc_ids)
		put_number(w, "all_mc_ids", r->all_mc_ids);
	if (r->all_identities)
		put_number(w, "all_identity_causes", r->all_identities);
	if (r->refusals)
		put_number(w, "refusals", r->refusals);
	if (r->unchanged_requests)
		put_number(w, "unchanged_requests", r->unchanged_requests);
}

static void put_entry(struct json_writer *w, uint64_t number, const struct audit_record *r)
{
	static const struct request_id none; /* what acms does by itself, or imports, nobody requested */
	bool requested = memcmp(r->request.bytes, none.bytes, REQUEST_ID_SIZE) != 0;
	char digest[2 * DIGEST_SIZE + 1], id[REQUEST_ID_TEXT_SIZE];
	request_id_format(r->request, id);
	json_map(w);
	put_number(w, "entry", number);
	put_text(w, "previous", str_of(audit_digest_text(r->previous, digest)));
	put_time(w, "at", r->at_ms);
	put_text(w, "action", str_of(audit_action_name(r->action)));
	if (r->action >= AUDIT_EXPIRE && requested)
		put_text(w, "operation", str_of(operation_name((int)r->operation)));
	put_text(w, "home", r->home);
	put_text(w, "certificate", r->certificate);
	if (requested)
		put_text(w, "request_id", str_of(id));
	put_optional(w, "claimed_home_acmc_id", r->claimed_acmc);
	put_optional(w, "acmc", r->acmc);
	if (r->n_targets)
		put_texts(w, "targets", r->targets, r->n_targets);
	put_text(w, "cause", str_of(cause_name(r->cause)));
	put_texts(w, "mc_ids", r->mc_ids, r->n_mc_ids);
	put_outcome(w, r);
	json_end_map(w);
}

/* In its place, so that nobody takes the log for whole. */
static void put_unreadable(struct json_writer *w, uint64_t number, const struct error *why)
{
	json_map(w);
	put_number(w, "entry", number);
	put_text(w, "unreadable", str_of(why->text));
	json_end_map(w);
	fprintf(stderr, "acms: audit entry %llu cannot be read: %s\n", (unsigned long long)number, why->text);
}

struct export {
	const struct inspect *options;
	struct json_writer *json;
	bool damaged;
};

static bool wanted(const struct inspect *i, const struct audit_record *r)
{
	return (!i->since_ms || r->at_ms >= i->since_ms) && (!i->until_ms || r->at_ms < i->until_ms) &&
	       (!i->has_request || memcmp(r->request.bytes, i->request.bytes, REQUEST_ID_SIZE) == 0);
}

static enum status export_json(void *context, struct arena *a, const struct audit_entry *entry, struct error *e)
{
	struct export *x = context;
	struct audit_record r;
	struct error why;
	(void)e;
	if (record_decode_audit(a, entry->value, &r, &why) != OK) {
		x->damaged = true;
		put_unreadable(x->json, entry->number, &why);
	} else if (wanted(x->options, &r)) {
		put_entry(x->json, entry->number, &r);
	}
	return OK;
}

static enum status not_written(FILE *out, struct error *e)
{
	return out == stdout ? inspect_not_written(e) : error_set(e, ERR_SYSTEM, "the output cannot be written");
}

static enum status write_bytes(FILE *out, struct str bytes, struct error *e)
{
	if (bytes.ptr && fwrite(bytes.ptr, 1, bytes.len, out) == bytes.len)
		return OK;
	return not_written(out, e);
}

static enum status export_cbor(void *context, struct arena *a, const struct audit_entry *entry, struct error *e)
{
	(void)a;
	return write_bytes(context, entry->value, e);
}

static enum status write_head(FILE *out, const struct audit_head *head, struct error *e)
{
	struct arena *a = arena_new(0);
	enum status status = a ? write_bytes(out, record_encode_audit_head(a, head), e) :
				 error_set(e, ERR_MEMORY, "out of memory");
	arena_free(a);
	return status;
}

/* The head is written last: with it, a file that was cut off shows. */
enum status audit_write_cbor(struct store *s, FILE *out, struct audit_head *head, struct error *e)
{
	struct audit_bounds b = { .head = { .number = 0 } };
	enum status status = audit_bounds(s, &b, e);
	if (status == OK && b.start.number > 0)
		status = write_head(out, &b.start, e);
	if (status == OK)
		status = audit_each(s, b.has_head ? b.head.number : UINT64_MAX, export_cbor, out, e);
	if (status == OK && b.has_head)
		status = write_head(out, &b.head, e);
	*head = b.head;
	if (status == OK && fflush(out) != 0)
		status = not_written(out, e);
	return status;
}

static enum status write_json(struct store *s, const struct inspect *i, struct error *e)
{
	struct export x = { i, json_writer_new(stdout), false };
	if (!x.json)
		return error_set(e, ERR_MEMORY, "out of memory");
	json_array(x.json);
	enum status status = audit_each(s, UINT64_MAX, export_json, &x, e);
	json_end_array(x.json);
	if (!json_writer_free(x.json) && status == OK)
		status = inspect_not_written(e);
	return status == OK && x.damaged ? error_set(e, ERR_STORE, "the audit log is not whole: see acms audit verify") : status;
}

int audit_export(const struct inspect *i)
{
	struct error e = { OK, "" };
	if (i->cbor && (i->since_ms || i->until_ms || i->has_request)) {
		fprintf(stderr, "acms audit export: --format cbor is the whole log; --since, --until and --request are "
				"for JSON\n");
		return EXIT_USAGE;
	}
	struct store *s = inspect_open(i, STORE_READ);
	if (!s)
		return EXIT_BAD;
	struct audit_head head;
	enum status status = i->cbor ? audit_write_cbor(s, stdout, &head, &e) : write_json(s, i, &e);
	store_close(s);
	return inspect_result(status, &e);
}
