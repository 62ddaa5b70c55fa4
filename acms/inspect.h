#ifndef ACMS_INSPECT_H
#define ACMS_INSPECT_H

#include <argp.h>
#include <stdbool.h>
#include "acms/store.h"

/* What the commands that look into the store share: options.  */
struct inspect {
	const char *config, *directory;
	struct str home;          /* --home; STR_NONE: all */
	struct str mc_service_id; /* --mc-service-id */
	bool json;
	const char *arguments[2];
	size_t n_arguments;
};

void inspect_parse(struct inspect *i, int argc, char **argv, const char *arguments_doc,
		   const char *doc);
/* Opens the store that the options name. NULL: the error was written. mode: STORE_READ or STORE_WRITE. */
struct store *inspect_open(const struct inspect *i, enum store_mode mode);
/* "2026-11-21T04:15:00Z" */
void inspect_time(uint64_t ms, char out[32]);

/* The subcommands of acms users. */
int users_list(const struct inspect *i);
int users_show(const struct inspect *i);
int users_export(const struct inspect *i);
int users_import(const struct inspect *i);

#endif
