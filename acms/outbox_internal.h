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


/* --- outbox_tell.c --- */

/* How it stands with this target now. Once more the same, or too soon after a change: costs nothing. */
void outbox_tell(struct delivery *d, enum process_state state, uint64_t until_ms, struct str detail);
/* What came too soon; once a second. */
void outbox_tell_late(struct asked *a);
/* How it stands with each target, to one that has not heard of it. */
void outbox_tell_missed(struct watch *w);

#endif
