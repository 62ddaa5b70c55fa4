#ifndef ACX_SETUP_INTERNAL_H
#define ACX_SETUP_INTERNAL_H

#include "common/setup.h"

/* What setup.c, setup_response.c, setup_fault.c and content.c share. */

/* An entry of an MC service ID list, paired. */
struct paired {
	size_t user; /* in setup.users */
	struct user_service_id id;
};

int setup_compare_ids(const struct user_service_id *a, const struct user_service_id *b);
/* Of struct paired, for qsort: by user, then as above. */
int setup_compare_by_user(const void *a, const void *b);
/* The lists of a well-formed setup, flat again; from the arena. False: it is spent. */
bool setup_flatten(struct arena *a, const struct setup *s, bool with_service_ids, struct str **mc_ids,
		   struct service_id_entry **entries);

#endif
