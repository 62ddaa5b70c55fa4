#ifndef ACMC_SPOOL_H
#define ACMC_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/str.h"

/*
 * Bytes that may be many: in memory while they are few (SPOOL_MEMORY), from then on in a temporary file that has no name
 * any more, in $TMPDIR or else /var/tmp, since /tmp may itself be memory. So a command's memory does not grow with its
 * users. Only the process that wrote them reads them: numbers are as the machine has them. Zeroed, it is empty.
 *
 * The first failure stays: what is put later is dropped, nothing can be read, and spool_failed tells why.
 */
enum { SPOOL_MEMORY = 1024 * 1024 };

struct spool {
	/* What was put last; all of it while there is no file. */
	uint8_t *tail;
	size_t tail_n, tail_room;
	uint64_t written; /* to the file */
	/* What was read last. */
	uint8_t *window;
	size_t window_n, window_room;
	uint64_t window_at;
	int file;
	bool has_file;
	int failure; /* errno */
};

void spool_free(struct spool *s); /* it is empty again */
void spool_put(struct spool *s, const void *bytes, size_t n);
/* Puts n > 0 bytes that the caller writes there, before the next call for the same spool. NULL: failed. */
uint8_t *spool_room(struct spool *s, size_t n);
uint64_t spool_size(const struct spool *s);
/* n bytes from offset on, which were put; until the next call for the same spool. NULL: failed. */
const uint8_t *spool_at(struct spool *s, uint64_t offset, size_t n);
/* NULL: no; otherwise why (static), for after "temporary file: ". */
const char *spool_failed(const struct spool *s);

#endif
