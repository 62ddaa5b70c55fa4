#ifndef ACMS_AUTHORISE_H
#define ACMS_AUTHORISE_H

#include "acms/config.h"
#include "common/arena.h"
#include "common/setup.h"

/*
 * Who may do what: pure functions of rules, principal and request. What no rule allows is denied.
 */

/* Step 2 of the source's procedure, for the request as a whole: 101, 102, 107, 104. */
struct verdict authorise_acmc(struct arena *a, const struct acmc_rule *acmc,
			      const struct setup *setup);

/*
 * Step 2 for one target: 301, 302, 303, 304, 103, or CAUSE_NO_CAUSE with *partner set. times: how often the
 * target is named in the request.
 */
enum cause authorise_target(const struct config *config, const struct acmc_rule *acmc,
			    struct str target, size_t times, const struct partner_rule **partner);

/*
 * Step 2 again, for a request that was accepted before, by the rules of now: of the ACMC that had this name, for one target.
 * 101, 102, 103, 104, 107, 301, or CAUSE_NO_CAUSE.
 */
struct verdict authorise_again(struct arena *a, const struct config *config, struct str acmc, const struct setup *setup,
			       struct str target);

/*
 * Whether it may look at what a partner holds or is believed to hold, and reconcile: it must be one that it may address.
 * 301, 303, 304, 103, or CAUSE_NO_CAUSE with *partner set.
 */
enum cause authorise_query_target(const struct config *config, const struct acmc_rule *acmc,
				  struct str target, const struct partner_rule **partner);

/* Whether it decides what waits for approval of this home system. */
bool authorise_approver(const struct acmc_rule *acmc, struct str home);

/* Step 4, at the partner: 305, 105, 107 (the operation's policy is deny), 106. own: our MC system ID. */
struct verdict authorise_home_system(struct arena *a, const struct partner_rule *home,
				     struct str own, const struct setup *setup);

/* Pattern with at most one '*', which stands for any run of bytes, the empty one too. */
bool mc_id_matches(struct str pattern, struct str mc_id);
/* Rule: a domain, "*." and a domain (its subdomains only), or "tel:+" digits "*". */
bool mc_service_id_in_domain(struct str rule, struct str canonical);

#endif
