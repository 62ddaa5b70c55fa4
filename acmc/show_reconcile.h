#ifndef ACMC_SHOW_RECONCILE_H
#define ACMC_SHOW_RECONCILE_H

#include <stdbool.h>
#include <stdio.h>
#include "acmc/reconcile.h"
#include "common/json.h"

/* What the administrator sees of a comparison. bytes: received for it. */
bool show_reconcile(FILE *out, const struct reconcile *r, uint64_t bytes, bool colours);
/* Members of an open map. */
void put_reconcile(struct json_writer *w, const struct reconcile *r, uint64_t bytes);

#endif
