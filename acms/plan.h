#ifndef ACMS_PLAN_H
#define ACMS_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include "acms/record.h"
#include "common/setup.h"

/*
 * What a setup changes in the IdM store (PROTOCOL.md 5.3), decided from what the store holds now. Pure: the
 * caller looks up, this decides, the caller applies.
 */

/* What is known of setup->users[i], and of its service_ids[j]. */
struct plan_user {
	bool found;
	struct user_record record;
	const struct plan_owner *owners; /* one for each MC service ID of the request's user */
};

struct plan_owner {
	bool found;
	struct owner_record owner;
};

enum user_change { USER_CREATED, USER_REPLACED, USER_UNCHANGED };

struct plan {
	struct verdict verdict; /* 401, 402; with a cause there are no changes */
	struct plan_change *changes; /* one for each user, in order */
	struct str *released;   /* MC service IDs that their users give up; another may take them */
	size_t n_released;
	uint64_t created, replaced, unchanged;
};

struct plan_change {
	enum user_change kind;
	struct user_record record; /* to be stored, unless unchanged */
};

/*
 * held: users that home has in the store now, most: how many it may have. now_ms: for the records. False: the
 * arena is spent.
 */
bool plan_setup(struct arena *a, const struct setup *setup, struct str home,
		const struct plan_user *known, uint64_t held, uint64_t most, uint64_t now_ms,
		struct plan *out);

#endif
