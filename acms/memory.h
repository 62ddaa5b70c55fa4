#ifndef ACMS_MEMORY_H
#define ACMS_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* What was freed returns to the kernel. The only file that knows the allocator of libc. */

struct memory {
	unsigned ticks;
	bool had_excess; /* when it was looked at last */
};

/* Before any thread is made. */
void memory_begin(void);
/* Once a second: gives back what was free at two looks in a row. */
void memory_tick(struct memory *m);
/* Bytes that the process has for itself, without files and their maps; 0: not known. */
size_t memory_anonymous(void);

#endif
