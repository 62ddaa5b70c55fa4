#ifndef ACMC_REPAIR_H
#define ACMC_REPAIR_H

#include <stdio.h>
#include "acmc/reconcile.h"
#include "acmc/stock.h"

/*
 * The users of the requests that make a partner have what home believes: removals, updates and setups, to be asked in this
 * order, since MC service IDs may have to be given up first. Pure.
 */
extern const enum operation repair_order[OPERATIONS];

/*
 * Those of one operation. mistakes: told to. False: a partner's users have identities that cannot be, or out of memory,
 * or the stock failed.
 */
bool repair_users(const struct reconcile *r, enum operation operation, struct stock *users, FILE *mistakes);

#endif
