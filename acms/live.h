#ifndef ACMS_LIVE_H
#define ACMS_LIVE_H

#include <stdio.h>
#include "acms/config.h"
#include "common/error.h"
#include "common/tls.h"

/*
 * A configuration together with what is made of it: certificates, trust anchors, TLS contexts. Built completely
 * before it replaces the one before (SIGHUP), so a wrong one changes nothing.
 */

enum principal_kind {
	PRINCIPAL_ACMC,
	PRINCIPAL_SYSTEM,
	PRINCIPAL_SELF, /* our own certificate: the health check */
};

/* Who is at the other end of a connection, by the certificate. */
struct principal {
	enum principal_kind kind;
	const struct acmc_rule *acmc;       /* PRINCIPAL_ACMC */
	const struct partner_rule *partner; /* PRINCIPAL_SYSTEM */
};

struct live {
	struct config *config;
	struct tls_identity *identity;
	struct tls_trust *acmc_trust;      /* NULL without ACMCs */
	struct tls_trust **partner_trusts; /* one for each of config->partners */
	struct principal *principals;      /* ACMCs, then partners */
	struct tls_context *server_tls;
	struct tls_context **client_tls;   /* one for each partner; NULL for one without address */
};

/* NULL: every mistake was written to mistakes, a line each. */
struct live *live_load(const char *file, FILE *mistakes);
void live_free(struct live *l); /* NULL is fine */

/* Logs a warning for each certificate and CRL of ours that has expired or soon will; now: Unix seconds. */
void live_warn_expiry(const struct live *l, int64_t now);

#endif
