#include "common/cause.h"

#include <stdio.h>

static const char *known_name(enum cause cause)
{
	switch ((int)cause) {
#define X(name, number, kind, text) case (number): return #name;
		CAUSES(X)
#undef X
	}
	return NULL;
}

const char *cause_name(enum cause cause)
{
	const char *name = known_name(cause);
	return name ? name : "UNKNOWN_CAUSE";
}

const char *cause_label(enum cause cause, char text[CAUSE_LABEL_SIZE])
{
	const char *name = known_name(cause);
	if (name)
		return name;
	snprintf(text, CAUSE_LABEL_SIZE, "UNKNOWN_CAUSE %d", (int)cause);
	return text;
}

const char *cause_text(enum cause cause)
{
	switch ((int)cause) {
#define X(name, number, kind, text) case (number): return text;
		CAUSES(X)
#undef X
	}
	return "a cause that this version does not know";
}

static enum cause_kind kind_of_class(int number)
{
	if (number >= 700)
		return CAUSE_KIND_CLOSE;
	if (number >= 600)
		return CAUSE_KIND_UNKNOWN;
	if (number >= 500)
		return CAUSE_KIND_TRANSIENT;
	return CAUSE_KIND_FINAL;
}

enum cause_kind cause_kind(enum cause cause)
{
	switch ((int)cause) {
#define X(name, number, kind, text) case (number): return CAUSE_KIND_##kind;
		CAUSES(X)
#undef X
	}
	return kind_of_class((int)cause);
}

const char *cause_kind_name(enum cause_kind kind)
{
	switch (kind) {
	case CAUSE_KIND_FINAL: return "final";
	case CAUSE_KIND_TRANSIENT: return "transient";
	case CAUSE_KIND_UNKNOWN: return "unknown";
	case CAUSE_KIND_CLOSE: return "close";
	}
	return "final";
}
