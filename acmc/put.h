#ifndef ACMC_PUT_H
#define ACMC_PUT_H

#include "acmc/answers.h"
#include "common/json.h"

/* Pieces of JSON that several commands print alike. What is not there is null. */

void put_text(struct json_writer *w, const char *key, struct str s); /* STR_NONE: null */
void put_number(struct json_writer *w, const char *key, uint64_t n);
void put_bool(struct json_writer *w, const char *key, bool b);
void put_time(struct json_writer *w, const char *key, uint64_t ms); /* 0: null */
void put_id(struct json_writer *w, const char *key, struct request_id id);
void put_cause(struct json_writer *w, enum cause cause); /* cause, cause_name, kind (null with NO_CAUSE) */
/* "mc_service_ids": as the files of users have them. */
void put_service_ids(struct json_writer *w, const struct user_service_id *ids, size_t n);
/* "exit_code" and "failure", which every document has. */
void put_end(struct json_writer *w, int exit_code, const char *failure);
/* All that an answer says; without the braces. */
void put_given(struct json_writer *w, const struct answer *x, const struct said *said);

/* "queued", "sent", "approval", "answered"; STR_NONE for none of them. */
struct str delivery_state_name(enum delivery_state state);

#endif
