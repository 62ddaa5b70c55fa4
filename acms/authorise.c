#include "acms/authorise.h"

bool mc_id_matches(struct str pattern, struct str mc_id)
{
	const char *star = memchr(pattern.ptr, '*', pattern.len);
	if (!star)
		return str_eq(pattern, mc_id);
	size_t before = (size_t)(star - pattern.ptr), behind = pattern.len - before - 1;
	return mc_id.len >= before + behind && memcmp(mc_id.ptr, pattern.ptr, before) == 0 &&
	       memcmp(mc_id.ptr + mc_id.len - behind, star + 1, behind) == 0;
}

static bool begins_with(struct str s, struct str prefix)
{
	return s.len >= prefix.len && memcmp(s.ptr, prefix.ptr, prefix.len) == 0;
}

bool mc_service_id_in_domain(struct str rule, struct str canonical)
{
	if (begins_with(rule, STR("tel:")))
		return rule.ptr[rule.len - 1] == '*' ?
			       begins_with(canonical, (struct str){ rule.ptr, rule.len - 1 }) :
			       str_eq(rule, canonical);
	struct str domain = mc_service_id_domain(canonical);
	if (!domain.ptr)
		return false;
	if (!begins_with(rule, STR("*.")))
		return str_eq(rule, domain);
	struct str parent = { rule.ptr + 1, rule.len - 1 }; /* with its dot */
	return domain.len > parent.len &&
	       memcmp(domain.ptr + domain.len - parent.len, parent.ptr, parent.len) == 0;
}

static bool any_mc_id(struct conf_str_list patterns, struct str mc_id)
{
	for (size_t i = 0; i < patterns.n; i++) {
		if (mc_id_matches(patterns.items[i], mc_id))
			return true;
	}
	return false;
}

static bool any_domain(struct conf_str_list rules, struct str canonical)
{
	for (size_t i = 0; i < rules.n; i++) {
		if (mc_service_id_in_domain(rules.items[i], canonical))
			return true;
	}
	return false;
}

static bool listed(struct conf_str_list list, struct str s)
{
	for (size_t i = 0; i < list.n; i++) {
		if (str_eq(list.items[i], s))
			return true;
	}
	return false;
}

/* An MC service ID may stand there for several services; it is named once. */
static bool came_before(const struct setup_user *u, size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (str_eq(u->service_ids[j].mc_service_id, u->service_ids[i].mc_service_id))
			return true;
	}
	return false;
}

/* Which identities no pattern covers. Denies even if there is no memory to name them. */
static struct verdict check_identities(struct arena *a, const struct setup *setup,
				       struct conf_str_list mc_ids, struct conf_str_list domains,
				       enum cause cause)
{
	struct identity_cause *found = NULL;
	size_t n = 0, most = setup->n_users + setup->n_service_ids;
	bool denied = false;
	for (size_t i = 0; i < setup->n_users; i++) {
		const struct setup_user *u = &setup->users[i];
		for (size_t j = 0; j <= u->n_service_ids; j++) {
			struct str id = j ? u->service_ids[j - 1].mc_service_id : STR_NONE;
			if (j ? any_domain(domains, id) || came_before(u, j - 1) : any_mc_id(mc_ids, u->mc_id))
				continue;
			if (!denied)
				found = arena_array(a, most, sizeof *found);
			denied = true;
			if (found)
				found[n++] = (struct identity_cause){ u->mc_id, id, cause };
		}
	}
	return (struct verdict){ denied ? cause : CAUSE_NO_CAUSE, found, n, NULL };
}

/* What people are told besides OPERATION_NOT_PERMITTED: which operation it was, and who does not want it. */
static const char *const not_among_its_own[OPERATIONS] = { "setup is not among the operations of this ACMC",
							   "update is not among the operations of this ACMC",
							   "remove is not among the operations of this ACMC" };
static const char *const denied_by_policy[OPERATIONS] = { "setup: the partner's policy for this home system is deny",
							  "update: the partner's policy for this home system is deny",
							  "remove: the partner's policy for this home system is deny" };

struct verdict authorise_acmc(struct arena *a, const struct acmc_rule *acmc,
			      const struct setup *setup)
{
	if (acmc->partners.n == 0 || acmc->mc_ids.n == 0)
		return (struct verdict){ .cause = CAUSE_ACMC_NOT_AUTHORISED };
	if (setup->home_acmc_id.ptr && !listed(acmc->home_acmc_ids, setup->home_acmc_id))
		return (struct verdict){ .cause = CAUSE_HOME_ACMC_ID_NOT_BOUND };
	if (!acmc->may[setup->operation])
		return (struct verdict){ .cause = CAUSE_OPERATION_NOT_PERMITTED,
					 .detail = not_among_its_own[setup->operation] };
	return check_identities(a, setup, acmc->mc_ids, acmc->mc_service_id_domains,
				CAUSE_IDENTITY_NOT_PERMITTED);
}

/* The list's "*" is every partner. */
static bool covers(struct conf_str_list list, struct str system)
{
	return listed(list, system) || listed(list, STR("*"));
}

enum cause authorise_target(const struct config *config, const struct acmc_rule *acmc,
			    struct str target, size_t times, const struct partner_rule **partner)
{
	*partner = NULL;
	if (times > 1)
		return CAUSE_DUPLICATE_TARGET;
	if (str_eq(target, config->mc_system_id))
		return CAUSE_TARGET_IS_OWN_SYSTEM;
	if (!mc_system_id_valid(target))
		return CAUSE_INVALID_TARGET;
	const struct partner_rule *found = config_partner(config, target);
	if (!found || !found->host.ptr)
		return CAUSE_UNKNOWN_TARGET;
	if (!covers(acmc->partners, target))
		return CAUSE_TARGET_NOT_PERMITTED;
	*partner = found;
	return CAUSE_NO_CAUSE;
}

static const struct acmc_rule *acmc_named(const struct config *config, struct str name)
{
	for (size_t i = 0; i < config->n_acmcs; i++) {
		if (str_eq(config->acmcs[i].name, name))
			return &config->acmcs[i];
	}
	return NULL;
}

struct verdict authorise_again(struct arena *a, const struct config *config, struct str acmc, const struct setup *setup,
			       struct str target)
{
	const struct acmc_rule *rule = acmc_named(config, acmc);
	const struct partner_rule *partner;
	if (!rule)
		return (struct verdict){ .cause = CAUSE_ACMC_NOT_AUTHORISED,
					 .detail = "the ACMC that asked for it is no longer configured" };
	struct verdict v = authorise_acmc(a, rule, setup);
	if (v.cause == CAUSE_NO_CAUSE)
		v.cause = authorise_target(config, rule, target, 1, &partner);
	return v;
}

enum cause authorise_query_target(const struct config *config, const struct acmc_rule *acmc,
				  struct str target, const struct partner_rule **partner)
{
	return authorise_target(config, acmc, target, 1, partner);
}

bool authorise_approver(const struct acmc_rule *acmc, struct str home)
{
	return covers(acmc->approves, home);
}

struct verdict authorise_home_system(struct arena *a, const struct partner_rule *home,
				     struct str own, const struct setup *setup)
{
	if (setup->n_targets != 1 || !str_eq(setup->targets[0], own))
		return (struct verdict){ .cause = CAUSE_WRONG_TARGET };
	if (!home->may_provision)
		return (struct verdict){ .cause = CAUSE_HOME_SYSTEM_NOT_AUTHORISED };
	if (home->approval[setup->operation] == APPROVAL_DENY)
		return (struct verdict){ .cause = CAUSE_OPERATION_NOT_PERMITTED,
					 .detail = denied_by_policy[setup->operation] };
	return check_identities(a, setup, home->mc_ids, home->mc_service_id_domains,
				CAUSE_OUTSIDE_NAMESPACE);
}
