#ifndef ACMS_REFUSALS_H
#define ACMS_REFUSALS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "acms/commit.h"
#include "common/str.h"

/*
 * Requests that are refused, or change nothing, fill the audit log only so fast: of each party (a home system, an ACMC) so many
 * a minute have entries of their own, all further ones of that minute share one, with their numbers. The loop's thread. Pure:
 * the caller has the clock.
 */

struct refusal_party {
	struct refusal_party *next;
	char *home, *acmc;           /* acmc NULL: a home system's requests */
	uint64_t since_ms;           /* of the minute */
	atomic_uint left;            /* entries, in it; the committer takes them */
	struct refusal_sum sum;      /* those without; certificate and cause: of the last one */
	char certificate[300];
};

struct refusals {
	struct refusal_party *first; /* no more than were ever configured */
};

/* acmc STR_NONE: a home system. NULL: out of memory. */
struct refusal_party *refusals_party(struct refusals *r, struct str home, struct str acmc);
void refusals_free(struct refusals *r);

/* For a request that may change nothing. p NULL: it is granted. */
struct refusal_claim refusal_claim_of(struct refusal_party *p, uint32_t per_minute, uint64_t now_ms);
/*
 * What became of it: gives back what was not needed, counts what has no entry. idle: it was refused with this cause, or changed
 * nothing (CAUSE_NO_CAUSE, CAUSE_PARTLY_DONE).
 */
void refusal_settle(struct refusal_party *p, const struct refusal_claim *claim, bool idle, struct str certificate,
		    enum cause cause);
/* Gives back what could not be put into the log. */
void refusal_sum_again(struct refusal_party *p, const struct refusal_sum *sum);
/*
 * Moves to *out what is to be put into the log now: the minute is over, or at_once. False: nothing. *out borrows from the
 * party, until more is added.
 */
bool refusal_due(struct refusal_party *p, uint64_t now_ms, bool at_once, struct refusal_sum *out);

#endif
