#ifndef ACMC_STATUS_H
#define ACMC_STATUS_H

#include "acmc/options.h"

/* What acmc status does, for acmc show: returns the exit code. */
int status_of(const struct common_options *options, struct request_id id);

#endif
