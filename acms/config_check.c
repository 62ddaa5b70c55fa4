#include "acms/config_internal.h"

#include <arpa/inet.h>
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

/* --- addresses to listen on --- */

/* An address as the kernel compares it. */
struct endpoint {
	struct in6_addr address; /* IPv4 as ::ffff:a.b.c.d */
	struct str zone;         /* of a link-local one: what follows the % */
	uint32_t port;
};

static bool read_endpoint(const struct listen_address *from, struct endpoint *out)
{
	char text[INET6_ADDRSTRLEN];
	struct in_addr v4;
	struct str s = from->address;
	const char *percent = memchr(s.ptr, '%', s.len);
	*out = (struct endpoint){ .port = from->port };
	if (percent) {
		out->zone = (struct str){ percent + 1, (size_t)(s.ptr + s.len - percent - 1) };
		s.len = (size_t)(percent - s.ptr);
	}
	if (s.len >= sizeof text || (percent && out->zone.len == 0))
		return false;
	snprintf(text, sizeof text, "%.*s", STR_ARG(s));
	if (!percent && inet_pton(AF_INET, text, &v4) == 1) {
		out->address.s6_addr[10] = out->address.s6_addr[11] = 0xff;
		memcpy(&out->address.s6_addr[12], &v4, sizeof v4);
		return true;
	}
	return inet_pton(AF_INET6, text, &out->address) == 1 &&
	       (!percent || IN6_IS_ADDR_LINKLOCAL(&out->address));
}

static bool is_any_v4(const struct endpoint *e)
{
	static const uint8_t none[4] = { 0 };
	return IN6_IS_ADDR_V4MAPPED(&e->address) && memcmp(&e->address.s6_addr[12], none, 4) == 0;
}

/* Whether the one takes all connections of the other: "::" takes those of both families. */
static bool covers(const struct endpoint *a, const struct endpoint *b)
{
	return IN6_IS_ADDR_UNSPECIFIED(&a->address) ||
	       (is_any_v4(a) && IN6_IS_ADDR_V4MAPPED(&b->address)) ||
	       (IN6_ARE_ADDR_EQUAL(&a->address, &b->address) && str_eq(a->zone, b->zone));
}

/* The first of n that cannot be listened on together with this one; n: none. */
static size_t find_overlap(const struct endpoint *all, size_t n, const struct endpoint *e)
{
	size_t i = 0;
	while (i < n && !(all[i].port == e->port && (covers(e, &all[i]) || covers(&all[i], e))))
		i++;
	return i;
}

static void check_listen(struct conf *c, const struct config *config, const struct conf_node *list)
{
	struct endpoint *all = arena_array(c->arena, config->n_listen, sizeof *all);
	const struct conf_node *node = list && list->kind == CONF_LIST ? list->child : NULL;
	size_t n = 0;
	for (size_t i = 0; all && node && i < config->n_listen; node = node->next, i++) {
		const struct listen_address *l = &config->listen[i];
		const struct conf_node *address = conf_child(node, "address");
		snprintf(c->path, sizeof c->path, "listen[%zu].address", i + 1);
		if (!l->address.ptr)
			continue; /* which was reported */
		if (!read_endpoint(l, &all[n])) {
			conf_mistake(c, address, "must be an IP address, such as 192.0.2.1, 2001:db8::1, 0.0.0.0 (all "
				     "of IPv4) or \"::\" (all of both families)");
			continue;
		}
		if (l->port && find_overlap(all, n, &all[n]) < n)
			conf_mistake(c, address, "another entry listens on port %u of this address or of one that "
				     "includes it", l->port);
		n++;
	}
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
	check_listen(c, config, conf_child(root, "listen"));
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
