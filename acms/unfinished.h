#ifndef ACMS_UNFINISHED_H
#define ACMS_UNFINISHED_H

#include <stddef.h>
#include <stdint.h>
#include "common/setup.h"
#include "common/str.h"

/*
 * How much room the requests take that some partner has not answered: of each ACMC, and of all. Those count that are on their
 * way to disk. The loop's thread. Pure.
 */

struct unfinished_of {
	struct unfinished_of *next;
	size_t requests;
	uint64_t bytes;
	size_t acmc_len;
	char acmc[];
};

struct unfinished {
	struct unfinished_of *first; /* no more than were ever configured, or had requests on disk */
	size_t requests;
	uint64_t bytes;
};

struct unfinished_bounds {
	size_t requests, requests_per_acmc;
	uint64_t bytes, bytes_per_acmc;
};

/* What a request takes in the store until it is answered, about; the same before and after a restart. */
uint64_t unfinished_bytes(const struct setup *s, size_t n_targets);

/* Found or made. NULL: out of memory. */
struct unfinished_of *unfinished_of(struct unfinished *u, struct str acmc);
/* NULL: there is room for one more; or what there is too much of. Whoever has none may have one, however large. */
const char *unfinished_excess(const struct unfinished *u, const struct unfinished_of *acmc, uint64_t bytes,
			      const struct unfinished_bounds *most);
void unfinished_add(struct unfinished *u, struct unfinished_of *acmc, uint64_t bytes);
/* As it was added. acmc NULL: it was not. */
void unfinished_remove(struct unfinished *u, struct unfinished_of *acmc, uint64_t bytes);
void unfinished_free(struct unfinished *u);

#endif
