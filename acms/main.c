#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "acms/commands.h"
#include "acms/live.h"
#include "acms/server.h"
#include "acms/users.h"
#include "common/clock.h"
#include "common/commands.h"
#include "common/text.h"

const char *argp_program_version = "acms " ACX_VERSION;

static error_t parse_config_option(int key, char *arg, struct argp_state *state)
{
	if (key == 'c')
		*(const char **)state->input = arg;
	else if (key == ARGP_KEY_ARG)
		argp_error(state, "unexpected argument: %s", arg);
	else
		return ARGP_ERR_UNKNOWN;
	return 0;
}

const char *config_option(int argc, char **argv, const char *what_it_does)
{
	static const struct argp_option options[] = {
		{ "config", 'c', "FILE", 0, "configuration (default " DEFAULT_CONFIG ")", 0 },
		{ 0 },
	};
	const char *file = DEFAULT_CONFIG;
	struct argp argp = { options, parse_config_option, NULL, what_it_does, NULL, NULL, NULL };
	argp_parse(&argp, argc, argv, 0, NULL, &file);
	return file;
}

int serve_command(int argc, char **argv)
{
	const char *file = config_option(
		argc, argv, "Runs the administrative configuration management server.");
	signal(SIGPIPE, SIG_IGN);
	struct live *live = live_load(file, stderr);
	return live ? server_run(live) : EXIT_BAD;
}

int check_command(int argc, char **argv)
{
	const char *file = config_option(argc, argv,
					 "Checks a configuration and the files that it names. "
					 "Every mistake is a line on standard error.");
	struct live *live = live_load(file, stderr);
	if (!live)
		return EXIT_BAD;
	live_warn_expiry(live, (int64_t)(clock_wall_ms() / 1000));
	printf("%s: good: MC system %.*s, %zu ACMC%s, %zu partner system%s\n", file,
	       STR_ARG(live->config->mc_system_id), live->config->n_acmcs, text_s(live->config->n_acmcs),
	       live->config->n_partners, text_s(live->config->n_partners));
	live_free(live);
	return EXIT_GOOD;
}

int print_command(int argc, char **argv)
{
	const char *file = config_option(argc, argv,
					 "Prints the effective configuration, defaults included.");
	struct config *config = config_load(file, stderr);
	if (!config)
		return EXIT_BAD;
	bool good = config_print(config, stdout) == OK && fflush(stdout) == 0;
	config_free(config);
	return good ? EXIT_GOOD : EXIT_BAD;
}

int main(int argc, char **argv)
{
	static const struct command commands[] = {
		{ "serve", serve_command, "run the server, in the foreground" },
		{ "check", check_command, "report every mistake in the configuration" },
		{ "print", print_command, "print the effective configuration" },
		{ "health", health_command, "ask the running server whether it answers" },
		{ "users", users_command, "list, show, export users; import local ones" },
		{ "audit", audit_command, "export the audit log, or verify that it is whole" },
		{ NULL, NULL, NULL },
	};
	return commands_run(argc, argv, commands,
			    "Administrative configuration management server of an MC system: sets MC "
			    "service users up in partner systems, and takes users from them.",
			    "acms(8), acms.yaml(5)", EXIT_BAD);
}
