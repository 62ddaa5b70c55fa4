#ifndef ACMS_DIGEST_H
#define ACMS_DIGEST_H

#include <stdbool.h>
#include "acms/record.h"
#include "common/message.h"

/* Digests of ranges of users (PROTOCOL.md 10), taken a run at a time, each of which goes on where the last one ended. */
struct digesting;

/* Some of it lives in the arena; digest_free before the arena goes. NULL: out of memory. */
struct digesting *digest_new(struct arena *a, size_t n_ranges);
void digest_free(struct digesting *d); /* NULL is fine */

/* What is left of the range that is to be read now; false: all are done, or it has failed. rest->from borrows from d. */
bool digest_next(struct digesting *d, const struct mc_id_range *ranges, size_t n_ranges,
		 struct mc_id_range *rest);
/* The next user of it. counts: it is passed over otherwise. False: out of memory. */
bool digest_user(struct digesting *d, struct str mc_id, const struct user_record *r, bool counts);
void digest_end_range(struct digesting *d);
/* It is out of memory, and of no more use. */
bool digest_failed(const struct digesting *d);
bool digest_complete(const struct digesting *d);
/* One for each range; with so many splits that all of it takes about most_bytes. */
struct range_digest *digest_results(struct digesting *d, size_t most_bytes);

#endif
