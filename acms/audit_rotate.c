#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "acms/audit_internal.h"
#include "acms/commands.h"
#include "common/text.h"

/*
 * acms audit rotate: the log goes into a file, and out of the store. At each moment every entry is in the one or in the
 * other: the file has its name only when it is on disk and verified, and only then entries are deleted, in transactions that
 * move what the log begins behind with them. Repeated with the same file, it goes on where it stopped.
 */

enum { DELETE_ENTRIES = 1000 };

struct rotation {
	struct store *store;
	const char *file;
	struct audit_bounds store_has;
	struct audit_head file_start, file_head;
};

static enum status failed(const char *name, struct error *e)
{
	return error_set(e, ERR_SYSTEM, "%s: %s", name, strerror(errno));
}

/* --- the file --- */

static enum status sync_directory(const char *file, struct error *e)
{
	char *copy = strdup(file);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	enum status status = fd >= 0 && fsync(fd) == 0 ? OK : failed(file, e);
	if (fd >= 0)
		close(fd);
	free(copy);
	return status;
}

static enum status write_file(struct rotation *r, const char *part, struct error *e)
{
	struct audit_head head;
	int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!out) {
		failed(part, e);
		if (fd >= 0)
			close(fd);
		return e->status;
	}
	enum status status = audit_write_cbor(r->store, out, &head, e);
	if (status == OK && fsync(fd) != 0)
		status = failed(part, e);
	if (fclose(out) != 0 && status == OK)
		status = failed(part, e);
	return status;
}

/* What is in a file that is whole. */
static enum status read_file(struct rotation *r, const char *name, struct error *e)
{
	struct audit_chain c = { .n = 0 };
	size_t faults = 0;
	enum status status = audit_read_file(name, &c, &faults, e);
	r->file_start = c.start;
	r->file_head = c.head;
	if (status == OK && (faults > 0 || c.has_head != AUDIT_HEAD_FOUND))
		status = error_set(e, ERR_INPUT, "%s: is no whole audit log; nothing was removed", name);
	audit_chain_free(&c);
	return status;
}

/* Under its own name only once it is there to the end; never over another. */
static enum status export(struct rotation *r, struct error *e)
{
	char part[4096];
	if (text_format(part, sizeof part, "%s.part", r->file) != strlen(r->file) + 5)
		return error_set(e, ERR_INPUT, "%s: the name is too long", r->file);
	enum status status = write_file(r, part, e);
	if (status == OK)
		status = read_file(r, part, e);
	if (status == OK && renameat2(AT_FDCWD, part, AT_FDCWD, r->file, RENAME_NOREPLACE) != 0)
		status = failed(r->file, e);
	if (status == OK)
		return sync_directory(r->file, e);
	unlink(part);
	return status;
}

/* --- the store --- */

struct wanted_entry {
	uint64_t number;
	bool found;
	struct audit_head digest;
};

static bool is_same(const struct audit_head *a, const struct audit_head *b)
{
	return a->number == b->number && memcmp(a->digest, b->digest, DIGEST_SIZE) == 0;
}

static bool take_entry(void *context, uint64_t number, struct str value)
{
	struct audit_chain *c = context;
	struct arena *a = arena_new(0);
	if (a)
		audit_chain_add(c, a, number, value);
	arena_free(a);
	return false;
}

/* The entry of the store that the file ends with. */
static enum status find_last(struct rotation *r, struct audit_head *out, struct error *e)
{
	struct store_txn *t;
	struct audit_chain c = { .n = 0 };
	enum status status = store_begin_read(r->store, &t, e);
	if (status != OK)
		return status;
	store_list_audit(t, r->file_head.number, take_entry, &c);
	status = inspect_end(t, e);
	*out = (struct audit_head){ .number = 0 };
	if (c.n > 0) {
		out->number = c.links[0].number;
		memcpy(out->digest, c.links[0].digest, DIGEST_SIZE);
	}
	audit_chain_free(&c);
	return status;
}

/* Whether all that is deleted is in the file: it begins no later than the store's log, and they share its last entry. */
static enum status check_file(struct rotation *r, struct error *e)
{
	struct audit_head last = r->store_has.start;
	enum status status = r->store_has.start.number < r->file_head.number ? find_last(r, &last, e) : OK;
	if (status != OK)
		return status;
	if (r->store_has.start.number > r->file_head.number)
		return OK; /* nothing of it is left in the store */
	if (r->file_start.number > r->store_has.start.number || !is_same(&last, &r->file_head))
		return error_set(e, ERR_INPUT, "%s: is not of this audit log; nothing was removed", r->file);
	return OK;
}

static enum status delete_some(struct rotation *r, size_t *n, struct error *e)
{
	struct store_txn *t;
	enum status status = store_begin_write(r->store, &t, e);
	if (status != OK)
		return status;
	*n = store_drop_audit(t, r->file_head.number, DELETE_ENTRIES);
	return store_commit(t, e);
}

static enum status delete_all(struct rotation *r, size_t *removed, struct error *e)
{
	size_t n = 0;
	enum status status;
	do {
		status = delete_some(r, &n, e);
		while (status == ERR_STORE_FULL && store_grow(r->store, e) == OK)
			status = delete_some(r, &n, e);
		*removed += status == OK ? n : 0;
	} while (status == OK && n > 0);
	return status;
}

/* --- the command --- */

static enum status rotate(struct rotation *r, size_t *removed, struct error *e)
{
	bool there = access(r->file, F_OK) == 0;
	enum status status = there ? read_file(r, r->file, e) : export(r, e);
	if (status == OK)
		status = audit_bounds(r->store, &r->store_has, e);
	if (status == OK)
		status = check_file(r, e);
	if (status == OK)
		status = delete_all(r, removed, e);
	if (status == OK && there)
		printf("%s: was there already, and goes as far as entry %llu; what comes behind it is in the store\n", r->file,
		       (unsigned long long)r->file_head.number);
	return status;
}

int audit_rotate(const struct inspect *i)
{
	struct error e = { OK, "" };
	struct rotation r = { .store = inspect_open(i, STORE_WRITE), .file = i->arguments[1] };
	size_t removed = 0;
	char digest[2 * DIGEST_SIZE + 1];
	if (!r.store)
		return EXIT_BAD;
	enum status status = rotate(&r, &removed, &e);
	store_close(r.store);
	if (status == OK)
		printf("%s: %zu entr%s moved there from the store, whose audit log goes on behind entry %llu, SHA-256 %s\n", r.file,
		       removed, removed == 1 ? "y" : "ies", (unsigned long long)r.file_head.number,
		       audit_digest_text(r.file_head.digest, digest));
	return inspect_result(status, &e);
}
