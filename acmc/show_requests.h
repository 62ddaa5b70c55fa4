#ifndef ACMC_SHOW_REQUESTS_H
#define ACMC_SHOW_REQUESTS_H

#include <stdbool.h>
#include <stdio.h>
#include "acmc/track.h"
#include "common/json.h"
#include "common/table.h"

/* What the administrator sees of requests. */

/* Lines before the table of answers. */
void show_track(FILE *out, const struct track *t);

/* A table of requests: add each, then print it. */
struct table *requests_table(void);
bool requests_table_add(struct table *t, const struct request_entry *e);
void put_request(struct json_writer *w, const struct request_entry *e);

/* The same for what waits for a decision. */
struct table *pending_table(void);
bool pending_table_add(struct table *t, const struct pending_entry *e);
/* With its users, if they came with it. */
void put_pending(struct json_writer *w, const struct pending_entry *e);
bool show_pending(FILE *out, const struct pending_entry *e, bool colours);
/* A line as one comes. */
void show_pending_line(FILE *out, const struct pending_entry *e);

#endif
