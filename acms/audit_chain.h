#ifndef ACMS_AUDIT_CHAIN_H
#define ACMS_AUDIT_CHAIN_H

#include <stdbool.h>
#include "acms/record.h"

/*
 * Whether an audit log is whole: a chain in which each entry has the digest of the one before, and the head that of the
 * last. It is given the entries one after the other, then the head, and says where what is wrong. Knows no store.
 */

struct audit_link {
	uint64_t number;
	uint8_t previous[DIGEST_SIZE], digest[DIGEST_SIZE];
	const char *unreadable; /* why; NULL: it is an entry, and previous is what it says */
};

struct audit_chain {
	bool numbered; /* entries came with their numbers (a store), not just in their order (a file) */
	struct audit_head start; /* what the first entry comes behind; number 0: it is the first of all */
	struct audit_link *links;
	size_t n, room;
	enum { AUDIT_HEAD_FOUND, AUDIT_HEAD_MISSING, AUDIT_HEAD_NONE /* version 1 had none */ } has_head;
	struct audit_head head;
};

/* An entry as stored. False: out of memory. */
bool audit_chain_add(struct audit_chain *c, struct arena *scratch, uint64_t number, struct str value);
void audit_chain_free(struct audit_chain *c);

/* A fault, as a line for people, without a newline. */
typedef void audit_chain_fault(void *context, const char *text);
/* Calls fault() for each; how many there were. */
size_t audit_chain_check(const struct audit_chain *c, audit_chain_fault *fault, void *context);

/* Whether `next` goes on where c ends; they may overlap. Likewise. */
size_t audit_chain_check_next(const struct audit_chain *c, const struct audit_chain *next, audit_chain_fault *fault,
			      void *context);

/* 64 digits and a NUL. Returns text. */
char *audit_digest_text(const uint8_t digest[DIGEST_SIZE], char text[2 * DIGEST_SIZE + 1]);

#endif
