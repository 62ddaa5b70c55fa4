#include <stddef.h>
#include "acmc/commands.h"
#include "common/commands.h"

const char *argp_program_version = "acmc " ACX_VERSION;

int main(int argc, char **argv)
{
	static const struct command commands[] = {
		{ "setup", setup_command, "set MC service users up in partner systems" },
		{ "update", update_command, "change users that are set up" },
		{ "remove", remove_command, "remove users" },
		{ NULL, NULL, NULL },
	};
	return commands_run(argc, argv, commands,
			    "Administrative configuration management client: asks the home MC system "
			    "to set MC service users up in partner MC systems.", "acmc(1)");
}
