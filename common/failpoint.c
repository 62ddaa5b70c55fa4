#include "common/failpoint.h"

#ifdef ACX_FAILPOINTS
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

void fail_point(const char *name)
{
	static atomic_uint passes;
	const char *wanted = getenv("ACX_FAIL_POINT");
	size_t length = strlen(name);
	if (!wanted || strncmp(wanted, name, length) != 0 || (wanted[length] && wanted[length] != ':'))
		return;
	unsigned n = wanted[length] ? (unsigned)strtoul(wanted + length + 1, NULL, 10) : 1;
	if (atomic_fetch_add(&passes, 1) + 1 == n)
		raise(SIGKILL);
}
#else
typedef int translation_unit_is_not_empty;
#endif
