#ifndef ACMS_INSPECT_H
#define ACMS_INSPECT_H

#include <argp.h>
#include <stdbool.h>
#include "acms/store.h"

/* What the commands that look into the store share: options. */
struct inspect {
	const char *config, *directory;
	struct str home;          /* --home; STR_NONE: all */
	struct str mc_service_id; /* --mc-service-id */
	bool json;
	bool cbor;                /* --format cbor */
	uint64_t since_ms, until_ms; /* 0: not given */
	bool has_request;
	struct request_id request;
	char **arguments;         /* of argv */
	size_t n_arguments;
	bool names_store;         /* --config or --store is given */
};

enum inspect_options { INSPECT_USERS, INSPECT_AUDIT };
void inspect_parse(struct inspect *i, int argc, char **argv, enum inspect_options which, const char *arguments_doc,
		   const char *doc);
/* Opens the store that the options name. NULL: the error was written. mode: STORE_READ or STORE_WRITE. */
struct store *inspect_open(const struct inspect *i, enum store_mode mode);
/* Ends a read transaction with its error, if it has one. */
enum status inspect_end(struct store_txn *t, struct error *e);
/* After not everything could be printed: why, unless it is for output.h to say. */
enum status inspect_not_written(struct error *e);
/* Says on standard error what failed, if anything; the exit code, which is not good if a record was passed over, either. */
int inspect_result(enum status status, const struct error *e);

/* The subcommands of acms users. */
int users_list(const struct inspect *i);
int users_show(const struct inspect *i);
int users_export(const struct inspect *i);
int users_import(const struct inspect *i);

/* The subcommands of acms audit. */
int audit_export(const struct inspect *i);
int audit_verify(const struct inspect *i);
int audit_rotate(const struct inspect *i);

#endif
