#ifndef ACMC_SHOW_H
#define ACMC_SHOW_H

#include <stdbool.h>
#include <stdio.h>
#include "acmc/answers.h"

/* What the administrator sees of answers. False: the output could not be written. */

/* A line as an answer comes. */
void show_answer(FILE *out, const struct answers *a, size_t part,
		 const struct setup_response *response, bool colours);
/* A line, or none, as an indication comes. */
void show_indication(FILE *out, const struct answers *a, size_t part,
		     const struct process_indication *indication);
/* At the end. failure: why not everything was answered, NULL if it was. */
bool show_table(FILE *out, const struct answers *a, const char *failure, bool colours);
/* base: the command's ID. */
bool show_json(FILE *out, const struct answers *a, struct request_id base, const char *failure, int exit_code);
/* Advice on standard error: what to do about what is not TRUE. */
void show_advice(FILE *out, const struct answers *a, struct request_id base);
/* Whether every part is on the home system's disk, or answered: what is missing comes by itself. */
bool show_goes_on(const struct answers *a);

#endif
