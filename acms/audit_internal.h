#ifndef ACMS_AUDIT_INTERNAL_H
#define ACMS_AUDIT_INTERNAL_H

#include <stdio.h>
#include "acms/audit_chain.h"
#include "acms/inspect.h"

/* What the commands of acms audit share. */

struct audit_entry {
	uint64_t number;
	struct str value; /* as stored */
};

/* Takes an entry. The arena is emptied after each page. */
typedef enum status audit_each_entry(void *context, struct arena *a, const struct audit_entry *entry, struct error *e);
/* The entries up to number last, in pages: no transaction is open while one is taken. */
enum status audit_each(struct store *s, uint64_t last, audit_each_entry *take, void *context, struct error *e);

/* What comes behind the head later is not looked at. */
struct audit_bounds {
	struct audit_head start, head;
	bool has_head; /* version 1 had none */
};
enum status audit_bounds(struct store *s, struct audit_bounds *out, struct error *e);

/* The whole log as stored: what it begins behind, if it does; the entries; *head, which it ends with. */
enum status audit_write_cbor(struct store *s, FILE *out, struct audit_head *head, struct error *e);

/* Reads such a file, and checks it. *faults: how many were told on standard output, as NAME: what it is. */
enum status audit_read_file(const char *name, struct audit_chain *out, size_t *faults, struct error *e);

#endif
