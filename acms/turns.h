#ifndef ACMS_TURNS_H
#define ACMS_TURNS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include "common/str.h"

/*
 * Many want what only few can have at a time: whoever waits is grouped by name, and the names take turns. So one name that
 * asks for much waits for itself alone. Pure.
 */

/* Of one name: that wait, further ones being refused; and that have had their turn and are not finished. */
enum { TURNS_WAITING_MAX = 256, TURNS_UNDER_WAY_MAX = 32 };

/* Part of what waits. */
struct turn {
	TAILQ_ENTRY(turn) in_group;
	struct turn_group *group; /* NULL: it does not take part */
	bool under_way;
};

struct turn_group {
	TAILQ_ENTRY(turn_group) in_turns;
	TAILQ_HEAD(, turn) waiting;
	size_t n_waiting, n_under_way;
	size_t name_len;
	char name[];
};

struct turns {
	TAILQ_HEAD(, turn_group) groups; /* whose turn comes next is first; those with anything to do */
};

void turns_init(struct turns *t);
/* False: too many wait under this name, or out of memory. */
bool turns_wait(struct turns *t, struct str name, struct turn *turn);
/* The next, which is under way from now on. NULL: there is none, or all who wait have enough under way. */
struct turn *turns_next(struct turns *t);
/* It is finished, or waits no longer. */
void turns_leave(struct turns *t, struct turn *turn);

#endif
