#ifndef ACMC_ASK_H
#define ACMC_ASK_H

#include "acmc/answers.h"
#include "acmc/home.h"

/* Sends a command's requests to the home acms and waits for what comes of them. */

/* Who wants to know how it goes. Any may be NULL. */
struct watcher {
	/* The server was reached and the requests are about to be sent; once. */
	void (*started)(void *context, const struct answers *answers);
	/* A response came. */
	void (*answered)(void *context, const struct answers *answers, size_t part,
			 const struct setup_response *response);
	/* Something new about what happens meanwhile. */
	void (*indicated)(void *context, const struct answers *answers, size_t part,
			  const struct process_indication *indication);
	/* The connection was lost; the next attempt is in so many seconds. */
	void (*lost)(void *context, const char *why, unsigned seconds);
	void *context;
};

/*
 * Connects, sends the users to the targets and collects the answers. no_wait: only until every part is accepted, or
 * answered. HOME_OK: nothing is missing that was waited for. HOME_BAD_INPUT: nothing was sent since a user or
 * the number of targets is more than the server takes. Once anything is accepted, a lost connection is made again,
 * and the requests are repeated under their IDs. parts needs all but items and n. answers->items stays NULL if nothing was
 * sent; answers_free is the caller's. The connection stays.
 */
enum home_result ask_run(struct home *h, struct parts *parts, struct request_id base, bool no_wait,
			 struct arena *arena, struct answers *answers, const struct watcher *watcher);
/*
 * The rest of it, for requests that are known to be accepted: waits until nothing is missing. again(): asks anew, on a
 * new connection.
 */
enum home_result ask_wait(struct home *h, struct answers *answers, const struct watcher *watcher,
			  enum home_result (*again)(void *context), void *context);

#endif
