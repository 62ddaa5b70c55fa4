#include "acms/config_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include "common/identity.h"

/* Something that two entries must not share: its place, and what it is called. */
struct claim {
	struct str value;
	const struct conf_node *node;
	size_t entry;
};

struct claims {
	struct claim *items;
	size_t n;
};

static size_t count_scalars(const struct conf_node *node)
{
	size_t n = 0;
	if (!node)
		return 0;
	if (node->kind == CONF_SCALAR)
		return 1;
	for (const struct conf_node *i = node->child; i; i = i->next)
		n += count_scalars(i);
	return n;
}

static int compare_claims(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int d = str_cmp(x->value, y->value);
	return d ? d : (x->entry > y->entry) - (x->entry < y->entry);
}

static void add_claims(struct claims *c, const struct conf_node *node, size_t entry)
{
	if (node && node->kind == CONF_SCALAR)
		c->items[c->n++] = (struct claim){ node->scalar, node, entry };
	for (const struct conf_node *i = node && node->kind == CONF_LIST ? node->child : NULL; i;
	     i = i->next)
		add_claims(c, i, entry);
}

static void report_shared(struct conf *c, struct claims *claims, const char *what)
{
	qsort(claims->items, claims->n, sizeof *claims->items, compare_claims);
	for (size_t i = 1; i < claims->n; i++) {
		const struct claim *before = &claims->items[i - 1], *now = &claims->items[i];
		if (str_eq(before->value, now->value) && before->entry != now->entry)
			conf_mistake(c, now->node, "%s, as in line %u", what, before->node->line);
	}
}

/* No two entries of a list may have the same value under key, or under section's key. */
static void check_unique(struct conf *c, const struct conf_node *list, const char *section,
			 const char *key, const char *what)
{
	struct claims claims = { arena_array(c->arena, count_scalars(list), sizeof(struct claim)), 0 };
	size_t entry = 0;
	if (!list || list->kind != CONF_LIST || !claims.items)
		return;
	for (const struct conf_node *i = list->child; i; i = i->next, entry++)
		add_claims(&claims, conf_child(section ? conf_child(i, section) : i, key), entry);
	snprintf(c->path, sizeof c->path, "%s", key);
	report_shared(c, &claims, what);
	c->path[0] = '\0';
}

/* What a client has under key are partners that are configured. */
static void check_partner_names(struct conf *c, const struct config *config,
				const struct conf_node *clients, const char *key)
{
	const struct conf_node *client = clients && clients->kind == CONF_LIST ? clients->child : NULL;
	snprintf(c->path, sizeof c->path, "acmcs.clients.%s", key);
	for (; client; client = client->next) {
		const struct conf_node *list = conf_child(client, key);
		const struct conf_node *name = list && list->kind == CONF_LIST ? list->child : NULL;
		for (; name; name = name->next) {
			if (name->kind == CONF_SCALAR && mc_system_id_valid(name->scalar) &&
			    !config_partner(config, name->scalar))
				conf_mistake(c, name, "no such partner is configured");
		}
	}
	c->path[0] = '\0';
}

static bool somebody_approves(const struct config *config, struct str home)
{
	for (size_t i = 0; i < config->n_acmcs; i++) {
		const struct conf_str_list *list = &config->acmcs[i].approves;
		for (size_t j = 0; j < list->n; j++) {
			if (list->items[j].ptr &&
			    (str_eq(list->items[j], STR("*")) || str_eq(list->items[j], home)))
				return true;
		}
	}
	return false;
}

/* What waits for a decision that nobody may make is refused days later: that is never what was meant. */
static void check_deciders(struct conf *c, const struct config *config, const struct conf_node *partners)
{
	const struct conf_node *node = partners && partners->kind == CONF_LIST ? partners->child : NULL;
	snprintf(c->path, sizeof c->path, "partners.provision.approval");
	for (size_t i = 0; node && i < config->n_partners; node = node->next, i++) {
		const struct partner_rule *p = &config->partners[i];
		bool manual = false;
		for (int operation = 0; operation < OPERATIONS; operation++)
			manual |= p->approval[operation] == APPROVAL_MANUAL;
		if (manual && p->mc_system_id.ptr && !somebody_approves(config, p->mc_system_id))
			conf_mistake(c, conf_child(conf_child(node, "provision"), "approval"),
				     "manual, but no ACMC decides: name %.*s under approves of one of "
				     "acmcs.clients", STR_ARG(p->mc_system_id));
	}
	c->path[0] = '\0';
}

/* Otherwise a few answers of the usual length would end the connection. */
static void check_queued(struct conf *c, const struct config *config, const struct conf_node *limits)
{
	const struct conf_node *node = conf_child(limits, "max_queued_bytes");
	snprintf(c->path, sizeof c->path, "limits.max_queued_bytes");
	if (node && config->max_queued_bytes < (uint64_t)QUEUED_FRAMES_MIN * config->limits.max_frame_bytes)
		conf_mistake(c, node, "must be at least %d times max_frame, which is %u", QUEUED_FRAMES_MIN,
			     config->limits.max_frame_bytes);
	c->path[0] = '\0';
}

static void check_store(struct conf *c, const struct config *config, const struct conf_node *store)
{
	if (!store || config->store_max_bytes >= config->store_map_bytes)
		return;
	snprintf(c->path, sizeof c->path, "store.max_size");
	conf_mistake(c, store, "less than map_size");
	c->path[0] = '\0';
}

void config_check_whole(struct conf *c, const struct config *config, const struct conf_node *root)
{
	const struct conf_node *partners = conf_child(root, "partners");
	const struct conf_node *clients = conf_child(conf_child(root, "acmcs"), "clients");
	check_unique(c, partners, NULL, "mc_system_id", "another partner has this MC system ID");
	check_unique(c, partners, NULL, "address", "another partner has this address");
	check_unique(c, partners, "provision", "mc_ids", "another partner may provision the same");
	check_unique(c, partners, "provision", "mc_service_id_domains",
		     "another partner may provision the same");
	check_unique(c, clients, NULL, "name", "another ACMC has this name");
	check_unique(c, clients, NULL, "certificate", "another ACMC has this certificate name");
	check_partner_names(c, config, clients, "partners");
	check_partner_names(c, config, clients, "approves");
	check_deciders(c, config, partners);
	check_queued(c, config, conf_child(root, "limits"));
	check_store(c, config, conf_child(root, "store"));
	for (size_t i = 0; i < config->n_partners; i++) {
		if (config->mc_system_id.ptr &&
		    str_eq(config->partners[i].mc_system_id, config->mc_system_id))
			conf_mistake(c, partners, "%.*s is this system itself, not a partner",
				     STR_ARG(config->mc_system_id));
	}
}
