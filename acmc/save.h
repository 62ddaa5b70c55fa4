#ifndef ACMC_SAVE_H
#define ACMC_SAVE_H

#include <stdbool.h>
#include "common/str.h"

/*
 * Puts a file of these bytes there, readable for its owner only, in the place of whatever file or link has that name: a
 * link is not followed. The whole file or nothing, and on disk. False: it could not be saved, and standard error has why.
 */
bool save_file(const char *path, struct str bytes);

#endif
