#include <stddef.h>
#include "acmc/answers.h"
#include "acmc/commands.h"
#include "common/commands.h"

const char *argp_program_version = "acmc " ACX_VERSION;

int main(int argc, char **argv)
{
	static const struct command commands[] = {
		{ "setup", setup_command, "set MC service users up in partner systems" },
		{ "update", update_command, "change users that are set up" },
		{ "remove", remove_command, "remove users" },
		{ "status", status_command, "tell what became of a request" },
		{ "wait", wait_command, "wait for the answers to a request that was left" },
		{ "requests", requests_command, "list requests" },
		{ "users", users_command, "list our users at a partner" },
		{ "reconcile", reconcile_command, "compare a partner's users with what we believe, and repair" },
		{ "receipt", receipt_command, "show and verify what partners signed" },
		{ "pending", pending_command, "list requests of other systems that wait for a decision here" },
		{ "show", show_command, "show one of them with its users, or a request of our own" },
		{ "approve", approve_command, "approve one" },
		{ "reject", reject_command, "reject one" },
		{ NULL, NULL, NULL },
	};
	return commands_run(argc, argv, commands,
			    "Administrative configuration management client: asks the home MC system "
			    "to set MC service users up in partner MC systems, to change and remove them, and decides on what "
			    "other systems ask.", "acmc(1)", EXIT_SYSTEM);
}
