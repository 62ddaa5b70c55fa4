#include "acms/memory.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

/*
 * Large blocks are mapped by themselves, and unmapped when they are freed: left alone, glibc puts ever larger ones into its
 * heaps once some were freed. What is freed in the heaps it keeps, unless it is asked to give it back.
 */
enum { OWN_MAP = 1 << 20 };

/* Seconds between two looks; and what may stay free, so that it is there for what comes next. */
enum { LOOK_EVERY = 5, SPARE = 4 << 20 };

void memory_begin(void)
{
	mallopt(M_MMAP_THRESHOLD, OWN_MAP);
}

size_t memory_anonymous(void)
{
	char text[200];
	unsigned long resident = 0, shared = 0;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	if (sscanf(text, "%*u %lu %lu", &resident, &shared) != 2 || shared > resident)
		return 0;
	return (resident - shared) * (size_t)sysconf(_SC_PAGESIZE);
}

/* Resident, and in no use. Counting what is in use takes a while where much was freed: not for a little. */
static bool has_excess(void)
{
	size_t anonymous = memory_anonymous();
	if (anonymous <= SPARE)
		return false;
	struct mallinfo2 info = mallinfo2();
	return anonymous > info.uordblks + info.hblkhd + SPARE;
}

void memory_tick(struct memory *m)
{
	if (++m->ticks % LOOK_EVERY != 0)
		return;
	bool excess = has_excess(), stays = excess && m->had_excess;
	m->had_excess = excess;
	if (stays)
		malloc_trim(0);
}
