#ifndef ACMS_DAMAGE_H
#define ACMS_DAMAGE_H

#include "acms/store.h"

/*
 * Logs what is wrong with a record of the store: each text once an hour, and no more than DAMAGE_TEXTS of them, since whoever
 * asks for such a record may do so again and again. Fits store_on_damage; for any thread.
 */
enum { DAMAGE_TEXTS = 64 };
void damage_log(void *context, const char *text);

/* For a page that lacks records which a list passed over; STR_NONE: it lacks none. */
struct str damage_detail(const struct store_txn *t);

#endif
