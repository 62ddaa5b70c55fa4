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
