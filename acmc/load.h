#ifndef ACMC_LOAD_H
#define ACMC_LOAD_H

#include "acmc/query.h"
#include "acmc/track.h"

/*
 * Asks for all parts of a command. follow: what comes of them is to be sent on this connection from now on. False: the
 * query says why; a request that is not known is a cause.
 */
bool load_track(struct query *q, struct track *t, bool follow);

#endif
