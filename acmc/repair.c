#include "acmc/repair.h"

const enum operation repair_order[OPERATIONS] = { OPERATION_REMOVE, OPERATION_UPDATE, OPERATION_SETUP };

static enum operation remedy(enum difference_kind kind)
{
	switch (kind) {
	case MISSING_AT_PARTNER: return OPERATION_SETUP;
	case UNKNOWN_TO_HOME: return OPERATION_REMOVE;
	case DIFFERENT: return OPERATION_UPDATE;
	}
	return OPERATION_SETUP;
}

/* Home's belief is the truth; the partner's revision says that nobody changed it since it was compared. */
static void add(struct users *users, unsigned line, const struct difference *d)
{
	size_t before = users->n;
	users_add(users, line, d->mc_id);
	if (users->n == before)
		return;
	struct users_user *to = &users->items[users->n - 1];
	if (d->partner)
		to->revision = d->partner->revision;
	for (size_t i = 0; d->home && i < d->home->n_service_ids; i++)
		users_add_id(users, line, (int)d->home->service_ids[i].service,
			     d->home->service_ids[i].mc_service_id);
	if (d->home)
		users->items[users->n - 1].validity = d->home->validity;
}

bool repair_users(const struct reconcile *r, enum operation operation, struct stock *stock, FILE *mistakes)
{
	struct arena *work = arena_new(0);
	struct users users;
	if (!work)
		return false;
	users_init(&users, work, "difference", mistakes);
	for (size_t i = 0; i < r->n_found; i++) {
		if (remedy(r->found[i].kind) == operation)
			add(&users, (unsigned)i + 1, &r->found[i]);
		users_check_mc_ids(&users);
		users_check_service_ids(&users);
		stock_take(stock, &users);
	}
	bool good = stock_check(stock, &users) && stock_sort(stock, false);
	users_free(&users);
	arena_free(work);
	return good;
}
