#ifndef ACMS_CONFIG_INTERNAL_H
#define ACMS_CONFIG_INTERNAL_H

#include "acms/config.h"

/* What config.c has in config_check.c. */

/* Of the largest frame: so many must be able to wait for a party. */
enum { QUEUED_FRAMES_MIN = 4 };

/* Reports what is wrong between entries, each of which was checked by itself. root: what config was read from. */
void config_check_whole(struct conf *c, const struct config *config, const struct conf_node *root);

#endif
