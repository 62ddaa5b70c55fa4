#ifndef ACMC_OPTIONS_H
#define ACMC_OPTIONS_H

#include <argp.h>
#include <stdbool.h>
#include "acmc/config.h"
#include "acmc/home.h"
#include "common/identity.h"

/* What the options of all commands have in common, and what can be said of an exit code for all of them. */

enum { ANCHORS_MAX = 16 };

struct common_options {
	const char *command; /* "acmc users" */
	const char *config, *server, *server_certificate, *certificate, *key;
	struct str anchors[ANCHORS_MAX];
	size_t n_anchors;
	uint32_t timeout_s; /* 0: the configuration's */
	bool json, no_color;
};

/* Children of a command's argp, whose input is a struct common_options. */
extern const struct argp common_argp;  /* the connection, --json, --no-color */
extern const struct argp silence_argp; /* --timeout */
#define COMMON_CHILDREN                                                                \
	{ { &common_argp, 0, NULL, 0 }, { &silence_argp, 0, NULL, 0 }, { NULL, 0, NULL, 0 } }

/* Runs argp with both children's input. exit() after wrong usage. */
void options_parse(const struct argp *argp, int argc, char **argv, void *input);

/*
 * The configuration with the options over it. NULL after mistakes, which were written. home_acmc_id: NULL, or from an
 * option.
 */
struct acmc_config *options_config(const struct common_options *o, const char *home_acmc_id);
/* The same for what needs no home system: nothing has to be there. */
struct acmc_config *options_config_offline(const struct common_options *o);

/* For parsers: argp_error() tells what is wrong. */
struct request_id options_request_id(const char *option, const char *arg, struct argp_state *state);
struct str options_system(const char *option, char *arg, struct argp_state *state);
uint64_t options_time(const char *option, const char *arg, struct argp_state *state);     /* Unix ms */
uint64_t options_duration(const char *option, const char *arg, struct argp_state *state); /* ms */
uint64_t options_number(const char *option, const char *arg, uint64_t max, struct argp_state *state);

/* Whether colours are wanted, and the stream is a terminal. */
bool options_colours(const struct common_options *o, FILE *out);

/* Says on standard error why not everything was printed, unless it is for output.h to say. */
void options_not_shown(void);
/* The exit code when nothing was asked or an answer did not come. */
int exit_code_of_result(enum home_result result);
/* When a query was answered with a cause. */
int exit_code_of_cause(enum cause cause);

/* What --help ends with. */
#define OPTIONS_HELP                                                                    \
	"The configuration is looked for in --config, $ACMC_CONFIG, "                   \
	"$XDG_CONFIG_HOME/acmc.yaml (~/.config/acmc.yaml), /etc/acmc.yaml. Manual: acmc(1)."

#endif
