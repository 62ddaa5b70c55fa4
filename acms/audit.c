#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "acms/audit_chain.h"
#include "acms/commands.h"
#include "acms/inspect.h"
#include "common/json.h"
#include "common/when.h"

/* acms audit: the log to the outside, and whether it is whole. */

enum { PAGE_ENTRIES = 1000 };

/* --- pages: as with users, the transaction ends before anything is written out --- */

struct entry {
	uint64_t number;
	struct str value;
};

struct page {
	struct arena *arena;
	struct entry items[PAGE_ENTRIES];
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
		p->items[p->n++] = (struct entry){ number, copy };
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

/* Takes an entry. The arena is emptied after each page. */
typedef enum status each_entry(void *context, struct arena *a, const struct entry *entry, struct error *e);

/* The entries up to number last. */
static enum status each(struct store *s, uint64_t last, each_entry *take, void *context, struct error *e)
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

/* The head as it is now; what comes behind it later is not looked at. has: as in struct audit_chain. */
static enum status read_head(struct store *s, struct audit_head *head, bool *found, struct error *e)
{
	struct store_txn *t;
	enum status status = store_begin_read(s, &t, e);
	if (status != OK)
		return status;
	*found = store_get_audit_head(t, head);
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

struct export {
	const struct inspect *options;
	struct json_writer *json;
};

static bool wanted(const struct inspect *i, const struct audit_record *r)
{
	return (!i->since_ms || r->at_ms >= i->since_ms) && (!i->until_ms || r->at_ms < i->until_ms) &&
	       (!i->has_request || memcmp(r->request.bytes, i->request.bytes, REQUEST_ID_SIZE) == 0);
}

static enum status export_json(void *context, struct arena *a, const struct entry *entry, struct error *e)
{
	struct export *x = context;
	struct audit_record r;
	enum status status = record_decode_audit(a, entry->value, &r, e);
	if (status != OK)
		return error_prefix(e, status, "audit entry %llu", (unsigned long long)entry->number);
	if (wanted(x->options, &r))
		put_entry(x->json, entry->number, &r);
	return OK;
}

static enum status export_cbor(void *context, struct arena *a, const struct entry *entry, struct error *e)
{
	(void)context;
	(void)a;
	if (fwrite(entry->value.ptr, 1, entry->value.len, stdout) == entry->value.len)
		return OK;
	return inspect_not_written(e);
}

/* The head is written last: with it, a file that was cut off shows. */
static enum status write_cbor(struct store *s, struct error *e)
{
	struct audit_head head = { .number = UINT64_MAX };
	bool found = false;
	enum status status = read_head(s, &head, &found, e);
	struct arena *a = arena_new(0);
	struct str bytes = a && found ? record_encode_audit_head(a, &head) : STR_NONE;
	if (status == OK)
		status = each(s, head.number, export_cbor, NULL, e);
	if (status == OK && bytes.ptr)
		status = export_cbor(NULL, a, &(struct entry){ 0, bytes }, e);
	arena_free(a);
	if (status == OK && fflush(stdout) != 0)
		status = inspect_not_written(e);
	return status;
}

static enum status write_json(struct store *s, const struct inspect *i, struct error *e)
{
	struct export x = { i, json_writer_new(stdout) };
	if (!x.json)
		return error_set(e, ERR_MEMORY, "out of memory");
	json_array(x.json);
	enum status status = each(s, UINT64_MAX, export_json, &x, e);
	json_end_array(x.json);
	if (!json_writer_free(x.json) && status == OK)
		status = inspect_not_written(e);
	return status;
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
	enum status status = i->cbor ? write_cbor(s, &e) : write_json(s, i, &e);
	store_close(s);
	return inspect_result(status, &e);
}

/* --- verify --- */

struct verify {
	struct audit_chain chain;
	const char *name; /* of what is verified */
	size_t faults;
};

static void report(void *context, const char *text)
{
	struct verify *v = context;
	v->faults++;
	printf("%s: %s\n", v->name, text);
}

static enum status add_entry(void *context, struct arena *a, const struct entry *entry, struct error *e)
{
	struct verify *v = context;
	return audit_chain_add(&v->chain, a, entry->number, entry->value) ? OK :
									    error_set(e, ERR_MEMORY, "out of memory");
}

static bool is_behind(void *context, uint64_t number, struct str value)
{
	struct page *p = context;
	(void)value;
	p->last = number;
	return true;
}

/* Entries behind the head can only be there by tampering: both are written in one transaction. */
static enum status read_last(struct store *s, struct audit_chain *c, uint64_t *last, struct error *e)
{
	struct store_txn *t;
	struct page behind = { .n = 0 };
	enum status status = store_begin_read(s, &t, e);
	if (status != OK)
		return status;
	bool found = store_get_audit_head(t, &c->head);
	c->has_head = found ? AUDIT_HEAD_FOUND : store_version(s) < 2 ? AUDIT_HEAD_NONE : AUDIT_HEAD_MISSING;
	if (found && c->head.number < UINT64_MAX)
		store_list_audit(t, c->head.number + 1, is_behind, &behind);
	*last = !found ? UINT64_MAX : behind.last ? behind.last : c->head.number;
	return inspect_end(t, e);
}

static enum status verify_store(const struct inspect *i, struct verify *v, struct error *e)
{
	uint64_t last = 0;
	struct store *s = inspect_open(i, STORE_READ);
	if (!s)
		return error_set(e, ERR_STORE, "%s", ""); /* it was said why */
	v->chain.numbered = true;
	enum status status = read_last(s, &v->chain, &last, e);
	if (status == OK)
		status = each(s, last, add_entry, v, e);
	store_close(s);
	return status;
}

/* The items of an exported file. What cannot be read ends it: nobody knows where the next one begins. */
static enum status add_items(struct verify *v, struct str all, struct error *e)
{
	struct arena *a = arena_new(0);
	struct str rest = all, value;
	struct audit_record record;
	struct error bad;
	char text[700];
	enum audit_item item = a ? AUDIT_ITEM_ENTRY : AUDIT_ITEM_END;
	bool added = a != NULL;
	for (uint64_t n = 1; item == AUDIT_ITEM_ENTRY && added; n++, arena_reset(a)) {
		item = record_next_audit(a, &rest, &value, &record, &v->chain.head, &bad);
		if (item == AUDIT_ITEM_ENTRY)
			added = audit_chain_add(&v->chain, a, n, value);
	}
	v->chain.has_head = item == AUDIT_ITEM_HEAD ? AUDIT_HEAD_FOUND : AUDIT_HEAD_MISSING;
	if (item == AUDIT_ITEM_BAD) {
		snprintf(text, sizeof text, "entry %zu, at byte %zu, cannot be read (%s), nor what is behind it%s",
			 v->chain.n + 1, all.len - rest.len, bad.text,
			 v->chain.n ? "" : ": is it an export with --format cbor?");
		report(v, text);
		v->chain.has_head = AUDIT_HEAD_NONE;
	}
	if (item == AUDIT_ITEM_HEAD && rest.len > 0)
		report(v, "there is something behind the head");
	arena_free(a);
	return added ? OK : error_set(e, ERR_MEMORY, "out of memory");
}

static enum status verify_file(const char *name, struct verify *v, struct error *e)
{
	struct stat st;
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		error_set(e, ERR_SYSTEM, "%s: %s", name, fd < 0 ? strerror(errno) : "is not a file");
		if (fd >= 0)
			close(fd);
		return e->status;
	}
	size_t n = (size_t)st.st_size;
	void *bytes = n ? mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
	close(fd);
	if (bytes == MAP_FAILED)
		return error_set(e, ERR_SYSTEM, "%s: %s", name, strerror(errno));
	enum status status = add_items(v, (struct str){ bytes ? bytes : "", n }, e);
	if (bytes)
		munmap(bytes, n);
	return status;
}

/* What the last entry is, for whoever keeps it elsewhere: a log that was written anew has another. */
static void print_whole(const struct verify *v)
{
	char digest[2 * DIGEST_SIZE + 1];
	const struct audit_chain *c = &v->chain;
	printf("%s: whole: %zu entr%s", v->name, c->n, c->n == 1 ? "y" : "ies");
	if (c->n)
		printf(", the last one's SHA-256 is %s", audit_digest_text(c->links[c->n - 1].digest, digest));
	printf("\n");
	if (c->has_head == AUDIT_HEAD_NONE)
		printf("%s: it is of schema version 1, which would not show if its tail were cut off\n", v->name);
}

int audit_verify(const struct inspect *i)
{
	struct error e = { OK, "" };
	struct verify v = { .name = i->n_arguments == 2 ? i->arguments[1] : "audit log" };
	enum status status = i->n_arguments == 2 ? verify_file(i->arguments[1], &v, &e) : verify_store(i, &v, &e);
	if (status == OK) {
		audit_chain_check(&v.chain, report, &v);
		if (v.faults == 0)
			print_whole(&v);
	}
	if (status == OK && fflush(stdout) != 0)
		status = inspect_not_written(&e);
	audit_chain_free(&v.chain);
	int code = inspect_result(status, &e);
	return v.faults > 0 ? EXIT_BAD : code;
}
