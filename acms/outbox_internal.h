#ifndef ACMS_OUTBOX_INTERNAL_H
#define ACMS_OUTBOX_INTERNAL_H

#include "acms/server.h"

/* What outbox.c (what is owed, and its steps) and outbox_answers.c (what ends it) share. */

/* NULL: nothing of it is unfinished. */
struct delivery *outbox_find_delivery(struct server *s, const struct request_id *id, struct str target);
/* Everybody who watches hears the answer to this setup; a request of version 1 is then no longer in flight. */
void outbox_tell_response(struct asked *a, const struct setup *setup, const struct setup_response *response);
/* Puts our own answer on disk, and tells it; of a dry run only tells it, and may free the delivery. */
void outbox_answer_ourselves(struct delivery *d, const struct verdict *why);

#endif
