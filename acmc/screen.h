#ifndef ACMC_SCREEN_H
#define ACMC_SCREEN_H

#include "acmc/ask.h"
#include "acmc/options.h"

/* What is shown on standard error while answers are waited for, and at the end. */
struct screen {
	bool lines;    /* what happens, as it happens */
	bool progress; /* and a moving line: standard error is a terminal */
	bool colours;
	unsigned ticks;
	const struct answers *answers; /* NULL: not yet */
};

void screen_init(struct screen *s, const struct common_options *o, bool quiet);
/* Callbacks for ask.h, and the tick for the connection. The screen is borrowed. */
struct watcher screen_watcher(struct screen *s);
void screen_watch(struct screen *s, struct home *h);
/* Takes the moving line away. */
void screen_clear(const struct screen *s);

/*
 * The end of a command that asked for changes or waited for them: what was answered on standard output, what failed and
 * what to do on standard error. Returns the exit code. base: the command's ID.
 */
int screen_end(struct screen *s, struct home *h, const struct common_options *o, enum home_result result,
	       const struct answers *answers, struct request_id base);

#endif
