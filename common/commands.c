#include "common/commands.h"

#include <argp.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include "common/output.h"

enum { EXIT_USAGE = 2 };

struct choice {
	const struct command *table, *chosen;
	const char *manual;
	int at; /* its place in argv */
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct choice *c = state->input;
	if (key == ARGP_KEY_NO_ARGS)
		argp_error(state, "which command?");
	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	for (const struct command *i = c->table; i->name; i++) {
		if (strcmp(i->name, arg) == 0)
			c->chosen = i;
	}
	if (!c->chosen)
		argp_error(state, "%s: no such command", arg);
	c->at = state->next - 1;
	state->next = state->argc; /* the rest is the command's */
	return 0;
}

static char *list_commands(int key, const char *text, void *input)
{
	const struct choice *c = input;
	char *out = NULL;
	size_t size = 0;
	FILE *f = key == ARGP_KEY_HELP_POST_DOC && c ? open_memstream(&out, &size) : NULL;
	if (!f)
		return (char *)text;
	int width = 8;
	for (const struct command *i = c->table; i->name; i++)
		width = (int)strlen(i->name) > width ? (int)strlen(i->name) : width;
	fputs("Commands:\n", f);
	for (const struct command *i = c->table; i->name; i++)
		fprintf(f, "  %-*s %s\n", width, i->name, i->what);
	fprintf(f, "\nCOMMAND --help tells more. Manual: %s.", c->manual);
	fclose(f);
	return out;
}

/* Keys are in it: no core dumps, and nobody but root may trace us. ACX_DUMPABLE is for who looks for a mistake of ours. */
static void hide_memory(void)
{
	if (!getenv("ACX_DUMPABLE"))
		prctl(PR_SET_DUMPABLE, 0);
}

int commands_run(int argc, char **argv, const struct command *table, const char *about,
		 const char *manual, int exit_output)
{
	hide_memory();
	char doc[512], name[64];
	struct choice c = { table, NULL, manual, 0 };
	snprintf(doc, sizeof doc, "%s\v ", about);
	struct argp argp = { NULL, parse, "COMMAND [OPTION...]", doc, NULL, list_commands, NULL };
	output_watch(exit_output);
	setlocale(LC_CTYPE, ""); /* for the width of characters in tables */
	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &c);
	snprintf(name, sizeof name, "%s %s", program_invocation_short_name, c.chosen->name);
	argv[c.at] = name;
	return c.chosen->run(argc - c.at, argv + c.at);
}
