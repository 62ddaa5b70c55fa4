#ifndef ACMC_CONFIG_H
#define ACMC_CONFIG_H

#include <stdint.h>
#include <stdio.h>
#include "common/conf.h"

/* A partner system whose receipts can be verified. */
struct acmc_partner {
	struct str mc_system_id, certificate;
	struct conf_str_list trust_anchors, crls; /* files */
};

/* What acmc needs to know to ask: from a YAML file, then from options, which go before it. */
struct acmc_config {
	struct arena *arena;
	struct str host;               /* of the home acms */
	uint32_t port;
	struct str server_certificate; /* default: DNS: and the host */
	struct str mc_system_id;       /* STR_NONE: whatever the server says */
	struct str certificate, key;   /* files */
	struct conf_str_list trust_anchors, crls;
	struct str home_acmc_id;       /* STR_NONE: left out */
	uint32_t timeout_s;
	struct acmc_partner *partners; /* each MC system ID once */
	size_t n_partners;
};

/* NULL after mistakes, which were written. file NULL: nothing but defaults. */
struct acmc_config *acmc_config_load(const char *file, FILE *mistakes);
/* "HOST:PORT" from an option. False: it is not that. */
bool acmc_config_set_server(struct acmc_config *c, const char *server);
/* Everything is there? Writes what is missing. Fills in what follows from the rest. */
bool acmc_config_complete(struct acmc_config *c, FILE *mistakes);
/* NULL: it is not among them. */
const struct acmc_partner *acmc_config_partner(const struct acmc_config *c, struct str mc_system_id);
void acmc_config_free(struct acmc_config *c);

#endif
