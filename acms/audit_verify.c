#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "acms/audit_internal.h"
#include "acms/commands.h"
#include "common/text.h"

/* acms audit verify: whether the log is whole, or exported files, each of which goes on where the one before ends. */

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

/* --- the store --- */

static enum status add_entry(void *context, struct arena *a, const struct audit_entry *entry, struct error *e)
{
	struct verify *v = context;
	return audit_chain_add(&v->chain, a, entry->number, entry->value) ? OK :
									    error_set(e, ERR_MEMORY, "out of memory");
}

static bool is_behind(void *context, uint64_t number, struct str value)
{
	(void)value;
	*(uint64_t *)context = number;
	return true;
}

/* Entries behind the head can only be there by tampering: both are written in one transaction. */
static enum status read_last(struct store *s, struct audit_chain *c, uint64_t *last, struct error *e)
{
	struct store_txn *t;
	uint64_t behind = 0;
	enum status status = store_begin_read(s, &t, e);
	if (status != OK)
		return status;
	store_get_audit_start(t, &c->start);
	bool found = store_get_audit_head(t, &c->head);
	c->has_head = found ? AUDIT_HEAD_FOUND : store_version(s) < 2 ? AUDIT_HEAD_NONE : AUDIT_HEAD_MISSING;
	if (found && c->head.number < UINT64_MAX)
		store_list_audit(t, c->head.number + 1, is_behind, &behind);
	*last = !found ? UINT64_MAX : behind ? behind : c->head.number;
	return inspect_end(t, e);
}

static enum status read_store(const struct inspect *i, struct verify *v, struct error *e)
{
	uint64_t last = 0;
	struct store *s = inspect_open(i, STORE_READ);
	if (!s)
		return error_set(e, ERR_STORE, "%s", ""); /* it was said why */
	v->chain.numbered = true;
	enum status status = read_last(s, &v->chain, &last, e);
	if (status == OK)
		status = audit_each(s, last, add_entry, v, e);
	store_close(s);
	return status;
}

/* --- files --- */

/* What it begins with, if that is not an entry but the head of what comes before. */
static bool take_start(struct audit_chain *c, struct arena *a, struct str *rest)
{
	struct str after = *rest, value;
	struct audit_record record;
	struct audit_head start;
	if (record_next_audit(a, &after, &value, &record, &start, NULL) != AUDIT_ITEM_HEAD || after.len == 0)
		return false;
	c->start = start;
	*rest = after;
	return true;
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
	if (a)
		take_start(&v->chain, a, &rest);
	for (uint64_t n = v->chain.start.number + 1; item == AUDIT_ITEM_ENTRY && added; n++, arena_reset(a)) {
		item = record_next_audit(a, &rest, &value, &record, &v->chain.head, &bad);
		if (item == AUDIT_ITEM_ENTRY)
			added = audit_chain_add(&v->chain, a, n, value);
	}
	v->chain.has_head = item == AUDIT_ITEM_HEAD ? AUDIT_HEAD_FOUND : AUDIT_HEAD_MISSING;
	if (item == AUDIT_ITEM_BAD) {
		text_format(text, sizeof text, "entry %llu, at byte %zu, cannot be read (%s), nor what is behind it%s",
			    (unsigned long long)v->chain.start.number + v->chain.n + 1, all.len - rest.len, bad.text,
			    v->chain.n ? "" : ": is it an export with --format cbor?");
		report(v, text);
		v->chain.has_head = AUDIT_HEAD_NONE;
	}
	if (item == AUDIT_ITEM_HEAD && rest.len > 0)
		report(v, "there is something behind the head");
	arena_free(a);
	return added ? OK : error_set(e, ERR_MEMORY, "out of memory");
}

static enum status read_file(struct verify *v, struct error *e)
{
	struct stat st;
	int fd = open(v->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		error_set(e, ERR_SYSTEM, "%s: %s", v->name, fd < 0 ? strerror(errno) : "is not a file");
		if (fd >= 0)
			close(fd);
		return e->status;
	}
	size_t n = (size_t)st.st_size;
	void *bytes = n ? mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
	close(fd);
	if (bytes == MAP_FAILED)
		return error_set(e, ERR_SYSTEM, "%s: %s", v->name, strerror(errno));
	enum status status = add_items(v, (struct str){ bytes ? bytes : "", n }, e);
	if (bytes)
		munmap(bytes, n);
	return status;
}

enum status audit_read_file(const char *name, struct audit_chain *out, size_t *faults, struct error *e)
{
	struct verify v = { .name = name };
	enum status status = read_file(&v, e);
	if (status == OK)
		audit_chain_check(&v.chain, report, &v);
	*faults = v.faults;
	*out = v.chain;
	return status;
}

/* --- the command --- */

/* What the last entry is, for whoever keeps it elsewhere: a log that was written anew has another. */
static void print_whole(const struct verify *v)
{
	char digest[2 * DIGEST_SIZE + 1];
	const struct audit_chain *c = &v->chain;
	printf("%s: whole: %zu entr%s", v->name, c->n, c->n == 1 ? "y" : "ies");
	if (c->start.number)
		printf(", behind entry %llu, whose SHA-256 is %s", (unsigned long long)c->start.number,
		       audit_digest_text(c->start.digest, digest));
	if (c->n)
		printf(", the last one's SHA-256 is %s", audit_digest_text(c->links[c->n - 1].digest, digest));
	printf("\n");
	if (c->has_head == AUDIT_HEAD_NONE)
		printf("%s: it is of schema version 1, which would not show if its tail were cut off\n", v->name);
}

/* One of several, of which the chain of the one before is in *before, then this one's. name NULL: the store. */
static enum status verify_one(const struct inspect *i, const char *name, bool first, struct audit_chain *before,
			      size_t *faults, struct error *e)
{
	struct verify v = { .name = name ? name : "audit log" };
	enum status status = name ? read_file(&v, e) : read_store(i, &v, e);
	if (status == OK) {
		audit_chain_check(&v.chain, report, &v);
		if (!first)
			audit_chain_check_next(before, &v.chain, report, &v);
		if (v.faults == 0)
			print_whole(&v);
	}
	audit_chain_free(before);
	*before = v.chain;
	*faults += v.faults;
	return status;
}

int audit_verify(const struct inspect *i)
{
	struct error e = { OK, "" };
	struct audit_chain before = { .n = 0 };
	size_t faults = 0, files = i->n_arguments - 1;
	enum status status = OK;
	for (size_t f = 0; f < files && status == OK; f++)
		status = verify_one(i, i->arguments[1 + f], f == 0, &before, &faults, &e);
	if (status == OK && (files == 0 || i->names_store))
		status = verify_one(i, NULL, files == 0, &before, &faults, &e);
	audit_chain_free(&before);
	if (status == OK && fflush(stdout) != 0)
		status = inspect_not_written(&e);
	int code = inspect_result(status, &e);
	return faults > 0 ? EXIT_BAD : code;
}
