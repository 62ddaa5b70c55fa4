#include "acmc/options.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "acmc/answers.h"
#include "common/clock.h"
#include "common/text.h"
#include "common/when.h"

enum { OPT_SERVER = 512, OPT_SERVER_CERTIFICATE, OPT_CERTIFICATE, OPT_KEY, OPT_TRUST, OPT_TIMEOUT, OPT_JSON,
       OPT_NO_COLOR };

static const struct argp_option common_table[] = {
	{ "json", OPT_JSON, NULL, 0, "JSON on standard output instead of text", 8 },
	{ "no-color", OPT_NO_COLOR, NULL, 0, "no colours on a terminal", 8 },
	{ "config", 'c', "FILE", 0, "configuration, see FILES", 9 },
	{ "server", OPT_SERVER, "HOST:PORT", 0, "home acms", 9 },
	{ "server-certificate", OPT_SERVER_CERTIFICATE, "NAME", 0,
	  "name in its certificate, DNS:... or URI:...", 9 },
	{ "certificate", OPT_CERTIFICATE, "FILE", 0, "our certificate", 9 },
	{ "key", OPT_KEY, "FILE", 0, "our key", 9 },
	{ "trust-anchors", OPT_TRUST, "FILE", 0, "CA of the home acms; may be repeated", 9 },
	{ 0 },
};

static const struct argp_option silence_table[] = {
	{ "timeout", OPT_TIMEOUT, "SECONDS", 0, "longest silence of the server (default 60)", 9 },
	{ 0 },
};

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
	struct common_options *o = state->input;
	switch (key) {
	case ARGP_KEY_INIT: o->command = state->name; break;
	case 'c': o->config = arg; break;
	case OPT_SERVER: o->server = arg; break;
	case OPT_SERVER_CERTIFICATE: o->server_certificate = arg; break;
	case OPT_CERTIFICATE: o->certificate = arg; break;
	case OPT_KEY: o->key = arg; break;
	case OPT_JSON: o->json = true; break;
	case OPT_NO_COLOR: o->no_color = true; break;
	case OPT_TIMEOUT: o->timeout_s = (uint32_t)options_number("--timeout", arg, 86400, state); break;
	case OPT_TRUST:
		if (o->n_anchors == ANCHORS_MAX)
			argp_error(state, "--trust-anchors: more than %d", ANCHORS_MAX);
		o->anchors[o->n_anchors++] = str_of(arg);
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

const struct argp common_argp = { common_table, parse_common, NULL, NULL, NULL, NULL, NULL };
const struct argp silence_argp = { silence_table, parse_common, NULL, NULL, NULL, NULL, NULL };

void options_parse(const struct argp *argp, int argc, char **argv, void *input)
{
	argp_parse(argp, argc, argv, 0, NULL, input);
}

/* --- values --- */

struct request_id options_request_id(const char *option, const char *arg, struct argp_state *state)
{
	struct request_id id = { { 0 } };
	char shown[80];
	if (!request_id_parse(str_of(arg), &id))
		argp_error(state, "%s: %s: must be a UUID", option,
			   text_escape(str_of(arg), shown, sizeof shown));
	return id;
}

struct str options_system(const char *option, char *arg, struct argp_state *state)
{
	char shown[300];
	if (!mc_system_id_valid(str_of(arg)))
		argp_error(state, "%s: %s: must be an MC system ID: a domain name in lower case", option,
			   text_escape(str_of(arg), shown, sizeof shown));
	return str_of(arg);
}

uint64_t options_time(const char *option, const char *arg, struct argp_state *state)
{
	uint64_t ms = 0;
	char shown[80];
	if (!when_parse(str_of(arg), clock_wall_ms(), &ms) || ms == 0)
		argp_error(state, "%s: %s: must be a time like 2026-12-31T18:00:00+01:00, 2026-12-31 or +8h", option,
			   text_escape(str_of(arg), shown, sizeof shown));
	return ms;
}

uint64_t options_duration(const char *option, const char *arg, struct argp_state *state)
{
	uint64_t ms = 0;
	char shown[80];
	if (!when_parse_duration(str_of(arg), &ms))
		argp_error(state, "%s: %s: must be a duration like 30s, 5m, 8h or 30d", option,
			   text_escape(str_of(arg), shown, sizeof shown));
	return ms;
}

uint64_t options_number(const char *option, const char *arg, uint64_t max, struct argp_state *state)
{
	char *end, shown[80];
	errno = 0;
	unsigned long long value = strtoull(arg, &end, 10);
	if (errno || *end || *arg < '0' || *arg > '9' || value < 1 || value > max)
		argp_error(state, "%s: %s: must be a whole number from 1 to %llu", option,
			   text_escape(str_of(arg), shown, sizeof shown), (unsigned long long)max);
	return value;
}

bool options_colours(const struct common_options *o, FILE *out)
{
	const char *no_color = getenv("NO_COLOR");
	return !o->no_color && !(no_color && *no_color) && isatty(fileno(out));
}

/* --- configuration --- */

static const char *readable(char *path)
{
	return path && access(path, R_OK) == 0 ? path : NULL;
}

/* The first configuration that there is; text: room for its name. */
static const char *find_config(const struct common_options *o, char *text, size_t size)
{
	const char *home = getenv("HOME"), *xdg = getenv("XDG_CONFIG_HOME");
	if (o->config)
		return o->config;
	if (getenv("ACMC_CONFIG"))
		return getenv("ACMC_CONFIG");
	if (xdg && *xdg)
		snprintf(text, size, "%s/acmc.yaml", xdg);
	else
		snprintf(text, size, "%s/.config/acmc.yaml", home ? home : "");
	if (readable(text))
		return text;
	snprintf(text, size, "/etc/acmc.yaml");
	return readable(text);
}

static bool override(struct acmc_config *c, const struct common_options *o, const char *home_acmc_id)
{
	const char *reason;
	if (o->server && !acmc_config_set_server(c, o->server)) {
		fprintf(stderr, "acmc: --server: %s: must be HOST:PORT\n", o->server);
		return false;
	}
	if (o->server_certificate && strncmp(o->server_certificate, "DNS:", 4) != 0 &&
	    strncmp(o->server_certificate, "URI:", 4) != 0) {
		fprintf(stderr, "acmc: --server-certificate: %s: must be DNS:NAME or URI:NAME\n",
			o->server_certificate);
		return false;
	}
	if (o->server_certificate)
		c->server_certificate = str_of(o->server_certificate);
	if (o->certificate)
		c->certificate = str_of(o->certificate);
	if (o->key)
		c->key = str_of(o->key);
	if (o->n_anchors)
		c->trust_anchors = (struct conf_str_list){ (struct str *)o->anchors, o->n_anchors };
	if (o->timeout_s)
		c->timeout_s = o->timeout_s;
	if (home_acmc_id &&
	    !mc_service_id_canonical(c->arena, str_of(home_acmc_id), &c->home_acmc_id, &reason)) {
		fprintf(stderr, "acmc: --home-acmc-id: %s: %s\n", home_acmc_id, reason);
		return false;
	}
	return acmc_config_complete(c, stderr);
}

struct acmc_config *options_config(const struct common_options *o, const char *home_acmc_id)
{
	char text[4096];
	struct acmc_config *config = acmc_config_load(find_config(o, text, sizeof text), stderr);
	if (config && override(config, o, home_acmc_id))
		return config;
	acmc_config_free(config);
	return NULL;
}

struct acmc_config *options_config_offline(const struct common_options *o)
{
	char text[4096];
	return acmc_config_load(find_config(o, text, sizeof text), stderr);
}

/* --- exit codes --- */

void options_not_shown(void)
{
	if (!ferror(stdout)) /* or output.h says it */
		fputs("acmc: out of memory\n", stderr);
}

int exit_code_of_result(enum home_result result)
{
	switch (result) {
	case HOME_OK: return EXIT_ALL_TRUE;
	case HOME_BAD_CONFIG:
	case HOME_BAD_INPUT: return EXIT_USAGE;
	case HOME_LOST:
	case HOME_UNUSABLE:
	case HOME_INTERRUPTED:
	case HOME_TIME_OUT: return EXIT_UNREACHABLE;
	case HOME_FAILED: return EXIT_SYSTEM;
	}
	return EXIT_SYSTEM;
}

int exit_code_of_cause(enum cause cause)
{
	int class = (int)cause / 100;
	if (cause == CAUSE_NO_CAUSE)
		return EXIT_ALL_TRUE;
	if (class <= 3)
		return EXIT_REFUSED;
	return class == 4 ? EXIT_SOME_FALSE : EXIT_UNREACHABLE;
}
