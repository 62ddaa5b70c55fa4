#include "common/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum status error_set(struct error *e, enum status status, const char *format, ...)
{
	if (!e)
		return status;
	va_list args;
	va_start(args, format);
	vsnprintf(e->text, sizeof e->text, format, args);
	va_end(args);
	e->status = status;
	return status;
}

enum status error_prefix(struct error *e, enum status status, const char *format, ...)
{
	if (!e)
		return status;
	char whole[sizeof e->text];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(whole, sizeof whole, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof whole)
		return e->status = status;
	size_t at = (size_t)n;
	for (const char *p = ": "; *p && at < sizeof whole - 1; p++)
		whole[at++] = *p;
	for (const char *p = e->text; *p && at < sizeof whole - 1; p++)
		whole[at++] = *p;
	whole[at] = '\0';
	memcpy(e->text, whole, sizeof whole);
	return e->status = status;
}

const char *status_name(enum status status)
{
	switch (status) {
	case OK: return "ok";
	case ERR_MEMORY: return "out of memory";
	case ERR_SYSTEM: return "system call failed";
	case ERR_INPUT: return "malformed input";
	case ERR_CONFIG: return "wrong configuration";
	case ERR_TLS: return "TLS failed";
	case ERR_STORE: return "store failed";
	case ERR_STORE_FULL: return "store full";
	case ERR_STORE_VERSION: return "store of another version";
	case ERR_BUSY: return "in use";
	case ERR_NOT_FOUND: return "not found";
	}
	return "unknown status";
}
