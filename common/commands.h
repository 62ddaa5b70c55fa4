#ifndef ACX_COMMANDS_H
#define ACX_COMMANDS_H

/* A program of subcommands, as git is one. */
struct command {
	const char *name; /* NULL ends a table */
	int (*run)(int argc, char **argv); /* argv[0]: "PROGRAM NAME"; returns the exit code */
	const char *what; /* for --help */
};

/*
 * Runs the one that is named, or explains; manual: "acmc(1)". Wrong usage exits with 2; output that could not be written,
 * be it an explanation, with exit_output (output.h).
 */
int commands_run(int argc, char **argv, const struct command *table, const char *about,
		 const char *manual, int exit_output);

#endif
