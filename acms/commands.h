#ifndef ACMS_COMMANDS_H
#define ACMS_COMMANDS_H

/* The subcommands of acms. Each gets its own name as argv[0] and returns the exit code. */
int serve_command(int argc, char **argv);
int check_command(int argc, char **argv);
int print_command(int argc, char **argv);
int health_command(int argc, char **argv);

enum { EXIT_GOOD = 0, EXIT_BAD = 1, EXIT_USAGE = 2 };

#define DEFAULT_CONFIG "/etc/acms/acms.yaml"

/* The file of -c/--config, for a subcommand that has no other option. */
const char *config_option(int argc, char **argv, const char *what_it_does);

#endif
