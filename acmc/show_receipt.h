#ifndef ACMC_SHOW_RECEIPT_H
#define ACMC_SHOW_RECEIPT_H

#include <stdbool.h>
#include <stdio.h>
#include "common/json.h"
#include "common/receipt.h"

/* What the administrator sees of a receipt. */
struct receipt_view {
	const char *name;   /* of the file, or of what it belongs to */
	bool readable;      /* receipt is filled in */
	bool good;          /* and verified */
	const struct receipt *receipt;
	const char *signer; /* "": not known */
	const char *note;   /* "": nothing */
	const char *fault;  /* why it is not good; NULL: it is */
	const char *saved;  /* the file that it was written to; NULL: none */
};

bool show_receipt(FILE *out, const struct receipt_view *v, bool colours);
void put_receipt(struct json_writer *w, const struct receipt_view *v);

#endif
