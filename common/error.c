#include "common/error.h"

#include <stdarg.h>
#include <string.h>
#include "common/text.h"

enum status error_set(struct error *e, enum status status, const char *format, ...)
{
	if (!e)
		return status;
	va_list args;
	va_start(args, format);
	text_vformat(e->text, sizeof e->text, format, args);
	va_end(args);
	e->status = status;
	return status;
}

enum status error_prefix(struct error *e, enum status status, const char *format, ...)
{
	if (!e)
		return status;
	char prefix[sizeof e->text], old[sizeof e->text];
	va_list args;
	va_start(args, format);
	text_vformat(prefix, sizeof prefix, format, args);
	va_end(args);
	memcpy(old, e->text, sizeof old);
	text_format(e->text, sizeof e->text, "%s: %s", prefix, old);
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
	case ERR_STORE_VERSION: return "store of a newer version";
	case ERR_BUSY: return "in use";
	case ERR_NOT_FOUND: return "not found";
	}
	return "unknown status";
}
