#ifndef ACMC_SHOW_H
#define ACMC_SHOW_H

#include <stdbool.h>
#include <stdio.h>
#include "acmc/parts.h"

/* What the administrator sees of answers. False: the output could not be written. */

/* A line as an answer comes. */
void show_answer(FILE *out, const struct answers *a, size_t part,
		 const struct setup_response *response, bool colours);
/* At the end. failure: why not everything was answered, NULL if it was. */
bool show_table(FILE *out, const struct answers *a, const char *failure, bool colours);
bool show_json(FILE *out, const struct answers *a, const char *failure, int exit_code);
/* Advice on standard error: what to do about what is not TRUE. */
void show_advice(FILE *out, const struct answers *a, struct request_id base);

#endif
