#ifndef ACMC_SHOW_USERS_H
#define ACMC_SHOW_USERS_H

#include <stdbool.h>
#include <stdio.h>
#include "common/json.h"
#include "common/message.h"

/* What the administrator sees of users: page by page, as files of users have them. */

enum users_view { USERS_AS_TABLE, USERS_AS_JSON, USERS_AS_CSV };

/* "mcptt=sip:alice@police.example mcdata=..."; NULL: out of memory. */
const char *service_ids_text(struct arena *a, const struct user_service_id *ids, size_t n);
bool users_table_print(FILE *out, const struct user_entry *users, size_t n, bool titles, bool colours);
void put_user(struct json_writer *w, const struct user_entry *u);
void users_csv_header(FILE *out);
void users_csv_row(FILE *out, const struct user_entry *u);

#endif
