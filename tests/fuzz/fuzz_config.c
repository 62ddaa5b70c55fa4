// needs: acms/config.c acms/config_check.c acms/config_print.c common/conf.c common/trusted_file.c common/log.c common/clock.c common/identity.c common/text.c common/arena.c common/error.c
#include <stdlib.h>
#include <string.h>
#include "acms/config.h"

/* Either a mistake is reported or there is a configuration, which prints and parses back to itself. */

static char *print(const struct config *c, size_t *n)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, n);
	config_print(c, f);
	fclose(f);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *mistakes = NULL;
	size_t n = 0, m = 0, length = 0;
	FILE *f = open_memstream(&mistakes, &n);
	struct config *c = config_parse((const char *)data, size, "fuzz", "/d", f), *again;
	fflush(f);
	if ((c == NULL) != (n > 0))
		abort();
	if (c) {
		char *text = print(c, &length), *twice;
		again = config_parse(text, length, "again", "/d", f);
		if (!again)
			abort();
		twice = print(again, &m);
		if (strcmp(text, twice) != 0)
			abort();
		config_free(again);
		free(text);
		free(twice);
	}
	config_free(c);
	fclose(f);
	free(mistakes);
	return 0;
}
