#ifndef ACMC_CLIENT_H
#define ACMC_CLIENT_H

#include "acmc/config.h"
#include "acmc/parts.h"
#include "common/error.h"

/* The connection of one command to the home acms. */

/* Who wants to know how it goes. */
struct client_watcher {
	/* The server was reached and the requests are about to be sent. */
	void (*started)(void *context, const struct answers *answers);
	/* A response came. */
	void (*answered)(void *context, const struct answers *answers, size_t part,
			 const struct setup_response *response);
	/* Every so often while waiting. */
	void (*waiting)(void *context, const struct answers *answers);
	void *context;
};

/*
 * Sends the users to the targets and collects the answers. OK: nothing is missing. Otherwise the error says why;
 * ERR_INPUT: nothing was sent since a user or the number of targets is more than the server takes; ERR_CONFIG: nor was
 * anything, since certificates or the key cannot be used. parts needs its arena, users, targets and Home ACMC ID.
 */
enum status client_run(const struct acmc_config *config, struct parts *parts,
		       struct request_id base, struct answers *answers,
		       const struct client_watcher *watcher, struct error *e);

#endif
