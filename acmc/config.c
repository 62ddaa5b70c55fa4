#include "acmc/config.h"

#include <stdlib.h>
#include "common/identity.h"

static void read_server(struct conf *c, const struct conf_node *node, const struct conf_key *key,
			void *field)
{
	struct acmc_config *config = field;
	uint16_t port = 0;
	(void)key;
	if (conf_host_port(c, node, &config->host, &port))
		config->port = port;
}

static void read_home_acmc_id(struct conf *c, const struct conf_node *node,
			      const struct conf_key *key, void *field)
{
	struct str s = conf_scalar(c, node);
	const char *reason;
	(void)key;
	if (s.ptr && !mc_service_id_canonical(c->arena, s, field, &reason))
		conf_mistake(c, node, "is no Home ACMC ID: %s", reason);
}

/* --- partners --- */

#define PARTNER_KEY(name, read, field, must) \
	{ name, read, offsetof(struct acmc_partner, field), must, 1, 0, NULL, 0 }

static const struct conf_key partner_keys[] = {
	PARTNER_KEY("mc_system_id", conf_system_id, mc_system_id, true),
	PARTNER_KEY("certificate", conf_certificate, certificate, true),
	PARTNER_KEY("trust_anchors", conf_files, trust_anchors, true),
	PARTNER_KEY("crls", conf_files, crls, false),
	{ NULL, NULL, 0, false, 0, 0, NULL, 0 },
};

static void read_partner(struct conf *c, const struct conf_node *item, size_t i, void *context)
{
	struct acmc_config *config = context;
	struct acmc_partner *p = &config->partners[i];
	conf_read_keys(c, item, partner_keys, p);
	config->n_partners = i;
	if (p->mc_system_id.ptr && acmc_config_partner(config, p->mc_system_id))
		conf_mistake(c, item, "%.*s is there twice", STR_ARG(p->mc_system_id));
	config->n_partners = i + 1;
}

static void read_partners(struct conf *c, const struct conf_node *node, const struct conf_key *key,
			  void *field)
{
	struct acmc_config *config = field;
	(void)key;
	config->partners = arena_array(c->arena, conf_count(node), sizeof *config->partners);
	if (config->partners)
		conf_each(c, node, read_partner, config);
	else
		conf_mistake(c, node, "is more than there is memory for");
}

const struct acmc_partner *acmc_config_partner(const struct acmc_config *c, struct str mc_system_id)
{
	for (size_t i = 0; i < c->n_partners; i++) {
		if (str_eq(c->partners[i].mc_system_id, mc_system_id))
			return &c->partners[i];
	}
	return NULL;
}

/* --- the whole --- */

#define KEY(name, read, field) { name, read, offsetof(struct acmc_config, field), false, 1, 0, NULL, 0 }

static const struct conf_key keys[] = {
	{ "server", read_server, 0, false, 0, 0, NULL, 0 },
	KEY("server_certificate", conf_certificate, server_certificate),
	KEY("mc_system_id", conf_system_id, mc_system_id),
	KEY("certificate", conf_file, certificate),
	KEY("key", conf_file, key),
	KEY("trust_anchors", conf_files, trust_anchors),
	KEY("crls", conf_files, crls),
	KEY("home_acmc_id", read_home_acmc_id, home_acmc_id),
	{ "timeout", conf_seconds, offsetof(struct acmc_config, timeout_s), false, 1, 86400, NULL, 0 },
	{ "partners", read_partners, 0, false, 0, 0, NULL, 0 },
	{ NULL, NULL, 0, false, 0, 0, NULL, 0 },
};

static bool read_file(struct acmc_config *config, const char *file, FILE *mistakes)
{
	struct conf c = { .arena = config->arena, .name = file, .open_files = true,
			  .mistakes = mistakes };
	size_t length;
	char *text = conf_read_file(&c, file, &length);
	if (!text)
		return false;
	c.directory = conf_directory_of(c.arena, file);
	const struct conf_node *root = c.directory ? conf_parse(&c, text, length) : NULL;
	if (root)
		conf_read_keys(&c, root, keys, config);
	free(text);
	return root && c.n_mistakes == 0;
}

struct acmc_config *acmc_config_load(const char *file, FILE *mistakes)
{
	struct arena *a = arena_new(0);
	struct acmc_config *config = a ? arena_alloc(a, sizeof *config) : NULL;
	if (config) {
		config->arena = a;
		config->timeout_s = 60;
	}
	if (!config || (file && !read_file(config, file, mistakes))) {
		arena_free(a);
		return NULL;
	}
	return config;
}

bool acmc_config_set_server(struct acmc_config *config, const char *server)
{
	FILE *nowhere = fopen("/dev/null", "w");
	struct conf c = { .arena = config->arena, .name = "--server", .mistakes = nowhere };
	struct conf_node node = { .kind = CONF_SCALAR, .scalar = str_of(server) };
	uint16_t port = 0;
	bool good = nowhere && conf_host_port(&c, &node, &config->host, &port);
	config->port = port;
	if (nowhere)
		fclose(nowhere);
	return good;
}

bool acmc_config_complete(struct acmc_config *c, FILE *mistakes)
{
	const struct {
		bool there;
		const char *key, *option;
	} needed[] = {
		{ c->host.ptr != NULL, "server", "--server" },
		{ c->certificate.ptr != NULL, "certificate", "--certificate" },
		{ c->key.ptr != NULL, "key", "--key" },
		{ c->trust_anchors.n > 0, "trust_anchors", "--trust-anchors" },
	};
	bool complete = true;
	for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
		if (needed[i].there)
			continue;
		fprintf(mistakes, "acmc: %s is missing: give it in the configuration or with %s\n",
			needed[i].key, needed[i].option);
		complete = false;
	}
	if (complete && !c->server_certificate.ptr)
		c->server_certificate = str_of(arena_printf(c->arena, "DNS:%.*s", STR_ARG(c->host)));
	return complete;
}

void acmc_config_free(struct acmc_config *c)
{
	if (c)
		arena_free(c->arena);
}
