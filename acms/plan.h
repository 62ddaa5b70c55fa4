#ifndef ACMS_PLAN_H
#define ACMS_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include "acms/record.h"
#include "common/setup.h"

/*
 * What a request changes in the IdM store (PROTOCOL.md 5.3, 5.7), decided from what the store holds now. Pure: the
 * caller looks up, this decides, the caller applies.
 */

/* What is known of setup->users[i], and of its service_ids[j]. Whose validity ended counts as not there. */
struct plan_user {
	bool found;
	struct user_record record;
	const struct plan_owner *owners; /* one for each MC service ID of the request's user */
};

struct plan_owner {
	bool found;
	struct owner_record owner;
};

struct plan_question {
	const struct setup *setup;
	struct str home;
	const struct plan_user *known; /* one for each user of the setup */
	/*
	 * Best effort: the identities that the home system may not set up (106), in the order of the setup's users;
	 * those users are refused. None otherwise.
	 */
	const struct identity_cause *refused;
	size_t n_refused;
	uint64_t held, most; /* users that home has in the store now, and may have */
	uint64_t now_ms;     /* for the records */
};

enum user_change {
	USER_REFUSED, /* nothing happens to it: see the verdict */
	USER_CREATED,
	USER_REPLACED,
	USER_UNCHANGED, /* to be removed: was not there */
	USER_REMOVED,
};

struct plan_change {
	enum user_change kind;
	struct user_record record; /* created, replaced: to be stored; removed: what is stored */
};

struct plan {
	struct verdict verdict;
	struct plan_change *changes; /* one for each user, in order; NULL unless plan_applies */
	struct str *released;        /* MC service IDs that their users give up; another may take them */
	size_t n_released;
	uint64_t created, replaced, unchanged, removed;
	/*
	 * As the response has them, one for each user, in order, or none at all: of those done afterwards; with
	 * REVISION_MISMATCH the present ones that differ; 0: of the others.
	 */
	uint64_t *revisions;
	size_t n_revisions;
};

/* Whether there are changes to be applied: all of it (NO_CAUSE), or the good ones (PARTLY_DONE). */
bool plan_applies(const struct plan *p);

/* False: the arena is spent. */
bool plan_make(struct arena *a, const struct plan_question *q, struct plan *out);

#endif
