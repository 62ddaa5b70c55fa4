#include "acms/turns.h"

#include <stdlib.h>
#include <string.h>

void turns_init(struct turns *t)
{
	TAILQ_INIT(&t->groups);
}

static struct turn_group *group_of(struct turns *t, struct str name)
{
	struct turn_group *g;
	TAILQ_FOREACH(g, &t->groups, in_turns) {
		if (str_eq((struct str){ g->name, g->name_len }, name))
			return g;
	}
	g = calloc(1, sizeof *g + name.len);
	if (!g)
		return NULL;
	memcpy(g->name, name.ptr, name.len);
	g->name_len = name.len;
	TAILQ_INIT(&g->waiting);
	TAILQ_INSERT_TAIL(&t->groups, g, in_turns);
	return g;
}

bool turns_wait(struct turns *t, struct str name, struct turn *turn)
{
	struct turn_group *g = group_of(t, name);
	if (!g || g->n_waiting >= TURNS_WAITING_MAX)
		return false;
	*turn = (struct turn){ .group = g };
	TAILQ_INSERT_TAIL(&g->waiting, turn, in_group);
	g->n_waiting++;
	return true;
}

static void stop_waiting(struct turn *turn)
{
	TAILQ_REMOVE(&turn->group->waiting, turn, in_group);
	turn->group->n_waiting--;
}

struct turn *turns_next(struct turns *t)
{
	struct turn_group *g;
	TAILQ_FOREACH(g, &t->groups, in_turns) {
		if (g->n_waiting > 0 && g->n_under_way < TURNS_UNDER_WAY_MAX)
			break;
	}
	if (!g)
		return NULL;
	struct turn *turn = TAILQ_FIRST(&g->waiting);
	stop_waiting(turn);
	turn->under_way = true;
	g->n_under_way++;
	TAILQ_REMOVE(&t->groups, g, in_turns);
	TAILQ_INSERT_TAIL(&t->groups, g, in_turns);
	return turn;
}

void turns_leave(struct turns *t, struct turn *turn)
{
	struct turn_group *g = turn->group;
	if (turn->under_way)
		g->n_under_way--;
	else
		stop_waiting(turn);
	turn->group = NULL;
	if (g->n_waiting > 0 || g->n_under_way > 0)
		return;
	TAILQ_REMOVE(&t->groups, g, in_turns);
	free(g);
}
