#include "acms/config_internal.h"

#include <stdlib.h>
#include "common/identity.h"
#include "common/log.h"
#include "common/receipt.h"

/* The tables that a file is checked against, and readers of our own types. What they cannot say is in config_check.c. */

enum { DAY = 86400 }; /* in seconds */
enum { PAUSE_FRAMES = 4, QUEUED_BYTES_USUAL = 16 << 20 };

/* --- readers --- */

static void read_log_level(struct conf *c, const struct conf_node *node, const struct conf_key *key,
			   void *field)
{
	enum log_level level;
	struct str s = conf_scalar(c, node);
	(void)key;
	if (s.ptr && !log_level_parse(s, &level))
		conf_mistake(c, node, "must be error, warning, info or debug");
	else if (s.ptr)
		*(struct str *)field = s;
}

/* Which of the words a scalar is; -1: none, which was reported with their advice. */
static int read_word(struct conf *c, const struct conf_node *node, const char *const *words, size_t n,
		     const char *advice)
{
	struct str s = conf_scalar(c, node);
	for (size_t i = 0; s.ptr && i < n; i++) {
		if (str_eq(s, str_of(words[i])))
			return (int)i;
	}
	if (s.ptr)
		conf_mistake(c, node, "%s", advice);
	return -1;
}

static void read_requests(struct conf *c, const struct conf_node *node, const struct conf_key *key,
			  void *field)
{
	static const char *const words[] = { "own", "all" };
	(void)key;
	*(bool *)field = read_word(c, node, words, 2,
				   "must be own (the requests that it asked for itself) or all") == 1;
}

static void read_acmc_name(struct conf *c, const struct conf_node *node, const struct conf_key *key,
			   void *field)
{
	struct str s = conf_scalar(c, node);
	(void)key;
	if (s.ptr && s.len > RECEIPT_DECIDED_BY_MAX)
		conf_mistake(c, node, "must have at most %d bytes: receipts name who decided", RECEIPT_DECIDED_BY_MAX);
	else if (s.ptr)
		*(struct str *)field = s;
}

static void read_operation(struct conf *c, const struct conf_node *item, size_t i, void *context)
{
	static const char *const words[OPERATIONS] = { "setup", "update", "remove" };
	bool *may = context;
	int operation = read_word(c, item, words, OPERATIONS, "must be setup, update or remove");
	(void)i;
	if (operation >= 0 && may[operation])
		conf_mistake(c, item, "given twice");
	else if (operation >= 0)
		may[operation] = true;
}

static void read_operations(struct conf *c, const struct conf_node *node, const struct conf_key *key,
			    void *field)
{
	(void)key;
	memset(field, 0, OPERATIONS * sizeof(bool));
	if (conf_each(c, node, read_operation, field) && conf_count(node) == 0)
		conf_mistake(c, node, "must name setup, update or remove; an ACMC that may ask for none of "
			     "them needs no partners");
}

static void read_policy(struct conf *c, const struct conf_node *node, const struct conf_key *key,
			void *field)
{
	static const char *const words[] = { "automatic", "manual", "deny" };
	(void)key;
	int policy = read_word(c, node, words, 3,
			       "must be automatic, manual (an ACMC that approves decides) or deny");
	if (policy >= 0)
		*(enum approval *)field = (enum approval)policy;
}

/* A list of scalars, each judged, and perhaps replaced, by check. */
typedef bool text_check(struct conf *c, const struct conf_node *item, struct str *value);

struct text_list {
	struct str *items;
	text_check *check;
};

static void read_text_item(struct conf *c, const struct conf_node *item, size_t i, void *context)
{
	struct text_list *list = context;
	list->items[i] = conf_scalar(c, item);
	if (!list->items[i].ptr || !list->check(c, item, &list->items[i]))
		return;
	for (size_t j = 0; j < i; j++) {
		if (str_eq(list->items[i], list->items[j])) {
			conf_mistake(c, item, "given twice");
			return;
		}
	}
}

static void read_texts(struct conf *c, const struct conf_node *node, void *field, text_check *check)
{
	size_t n = conf_count(node);
	struct text_list list = { arena_array(c->arena, n, sizeof(struct str)), check };
	if (!list.items || !conf_each(c, node, read_text_item, &list))
		return;
	if (n == 0)
		conf_mistake(c, node, "must not be empty; leave the key out instead");
	*(struct conf_str_list *)field = (struct conf_str_list){ list.items, n };
}

static bool check_home_acmc_id(struct conf *c, const struct conf_node *item, struct str *value)
{
	const char *reason;
	if (mc_service_id_canonical(c->arena, *value, value, &reason))
		return true;
	conf_mistake(c, item, "is no Home ACMC ID: %s", reason);
	return false;
}

static bool check_target(struct conf *c, const struct conf_node *item, struct str *value)
{
	if (str_eq(*value, STR("*")) || mc_system_id_valid(*value))
		return true;
	conf_mistake(c, item, "must be the MC system ID of a partner, or \"*\" for all");
	return false;
}

static bool check_mc_id_pattern(struct conf *c, const struct conf_node *item, struct str *value)
{
	const char *star = memchr(value->ptr, '*', value->len);
	size_t behind = star ? value->len - (size_t)(star + 1 - value->ptr) : 0;
	if (value->len <= MC_ID_MAX && !(star && memchr(star + 1, '*', behind)))
		return true;
	conf_mistake(c, item, "must be an MC ID in which one * may stand for anything, such as "
		     "\"*@police.example\"");
	return false;
}

static bool is_tel_rule(struct str s)
{
	if (s.len < 6 || memcmp(s.ptr, "tel:+", 5) != 0)
		return false;
	for (size_t i = 5; i < s.len; i++) {
		bool star = s.ptr[i] == '*' && i == s.len - 1 && i > 5;
		if (!star && !(s.ptr[i] >= '0' && s.ptr[i] <= '9'))
			return false;
	}
	return true;
}

static bool check_domain(struct conf *c, const struct conf_node *item, struct str *value)
{
	struct str domain = *value;
	if (domain.len > 2 && memcmp(domain.ptr, "*.", 2) == 0)
		domain = (struct str){ domain.ptr + 2, domain.len - 2 };
	if (mc_system_id_valid(domain) || is_tel_rule(*value))
		return true;
	conf_mistake(c, item, "must be a domain (police.example), its subdomains (*.police.example), or "
		     "numbers (tel:+4930*)");
	return false;
}

#define TEXTS_READER(name, check)                                                              \
	static void name(struct conf *c, const struct conf_node *node, const struct conf_key *key, \
			 void *field)                                                           \
	{                                                                                       \
		(void)key;                                                                      \
		read_texts(c, node, field, check);                                              \
	}
TEXTS_READER(read_home_acmc_ids, check_home_acmc_id)
TEXTS_READER(read_targets, check_target)
TEXTS_READER(read_mc_ids, check_mc_id_pattern)
TEXTS_READER(read_domains, check_domain)

static void read_address(struct conf *c, const struct conf_node *node, const struct conf_key *key,
			 void *field)
{
	struct partner_rule *p = field;
	(void)key;
	conf_host_port(c, node, &p->host, &p->port);
}

static const struct conf_key provision_keys[], listen_keys[], client_keys[], partner_keys[];

static void read_provision(struct conf *c, const struct conf_node *node, const struct conf_key *key,
			   void *field)
{
	struct partner_rule *p = field;
	(void)key;
	p->may_provision = true;
	conf_read_keys(c, node, provision_keys, field);
}

/* A list of maps: an array of key->item_size, each filled from its defaults. */
struct item_list {
	char *items;
	const struct conf_key *keys;
	size_t size;
	const void *defaults;
};

static void read_map_item(struct conf *c, const struct conf_node *item, size_t i, void *context)
{
	struct item_list *list = context;
	char *at = list->items + i * list->size;
	if (list->defaults)
		memcpy(at, list->defaults, list->size);
	if (list->keys == partner_keys)
		((struct partner_rule *)(void *)at)->line = item->line;
	conf_read_keys(c, item, list->keys, at);
}

static void *read_items(struct conf *c, const struct conf_node *node, const struct conf_key *keys,
			size_t size, const void *defaults, size_t *n)
{
	struct item_list list = { arena_array(c->arena, conf_count(node), size), keys, size, defaults };
	*n = 0;
	if (!list.items || !conf_each(c, node, read_map_item, &list))
		return NULL;
	*n = conf_count(node);
	return list.items;
}

static void read_listen(struct conf *c, const struct conf_node *node, const struct conf_key *key,
			void *field)
{
	struct config *config = field;
	(void)key;
	config->listen = read_items(c, node, listen_keys, sizeof *config->listen, NULL,
				    &config->n_listen);
	if (config->n_listen == 0 && node->kind == CONF_LIST)
		conf_mistake(c, node, "must name an address at least");
}

static const struct acmc_rule acmc_defaults = { .may = { true, true, true } };

static void read_clients(struct conf *c, const struct conf_node *node, const struct conf_key *key,
			 void *field)
{
	struct config *config = field;
	(void)key;
	config->acmcs = read_items(c, node, client_keys, sizeof *config->acmcs, &acmc_defaults,
				   &config->n_acmcs);
}

static const struct partner_rule partner_defaults = { .max_users = 1000000,
						      .max_requests_in_flight = 256,
						      .decide_within_s = 7 * DAY,
						      .max_pending = 1000,
						      .max_pending_bytes = 64ull << 20,
						      .max_kept_answers = 1ull << 30 };

static void read_partners(struct conf *c, const struct conf_node *node, const struct conf_key *key,
			  void *field)
{
	struct config *config = field;
	(void)key;
	config->partners = read_items(c, node, partner_keys, sizeof *config->partners,
				      &partner_defaults, &config->n_partners);
}

/* --- tables --- */

#define END { NULL, NULL, 0, false, 0, 0, NULL, 0 }
#define KEY(name, read, type, field) { name, read, offsetof(type, field), false, 0, 0, NULL, 0 }
#define MUST(name, read, type, field) { name, read, offsetof(type, field), true, 1, 0, NULL, 0 }
#define RANGE(name, read, type, field, min, max) \
	{ name, read, offsetof(type, field), false, min, max, NULL, 0 }
#define SECTION(name, must, keys) { name, conf_map, 0, must, 0, 0, keys, 0 }
#define WHOLE(name, must, read) { name, read, 0, must, 0, 0, NULL, 0 }

static const struct conf_key listen_keys[] = {
	MUST("address", conf_text, struct listen_address, address),
	{ "port", conf_number, offsetof(struct listen_address, port), true, 1, 65535, NULL, 0 },
	END
};

static const struct conf_key tls_keys[] = {
	MUST("certificate", conf_file, struct config, certificate),
	MUST("key", conf_file, struct config, key),
	END
};

static const struct conf_key store_keys[] = {
	MUST("directory", conf_path, struct config, store_directory),
	RANGE("map_size", conf_bytes, struct config, store_map_bytes, 1 << 20, 1ull << 46),
	RANGE("max_size", conf_bytes, struct config, store_max_bytes, 1 << 20, 1ull << 46),
	END
};

static const struct conf_key client_keys[] = {
	MUST("name", read_acmc_name, struct acmc_rule, name),
	MUST("certificate", conf_certificate, struct acmc_rule, certificate),
	KEY("home_acmc_ids", read_home_acmc_ids, struct acmc_rule, home_acmc_ids),
	KEY("partners", read_targets, struct acmc_rule, partners),
	KEY("mc_ids", read_mc_ids, struct acmc_rule, mc_ids),
	KEY("mc_service_id_domains", read_domains, struct acmc_rule, mc_service_id_domains),
	KEY("operations", read_operations, struct acmc_rule, may),
	KEY("requests", read_requests, struct acmc_rule, sees_all_requests),
	KEY("approves", read_targets, struct acmc_rule, approves),
	END
};

static const struct conf_key acmcs_keys[] = {
	MUST("trust_anchors", conf_files, struct config, acmc_trust_anchors),
	KEY("crls", conf_files, struct config, acmc_crls),
	WHOLE("clients", true, read_clients),
	END
};

static const struct conf_key approval_keys[] = {
	KEY("setup", read_policy, struct partner_rule, approval[OPERATION_SETUP]),
	KEY("update", read_policy, struct partner_rule, approval[OPERATION_UPDATE]),
	KEY("remove", read_policy, struct partner_rule, approval[OPERATION_REMOVE]),
	END
};

static const struct conf_key provision_keys[] = {
	MUST("mc_ids", read_mc_ids, struct partner_rule, mc_ids),
	KEY("mc_service_id_domains", read_domains, struct partner_rule, mc_service_id_domains),
	RANGE("max_users", conf_number, struct partner_rule, max_users, 0, UINT32_MAX),
	RANGE("max_requests_in_flight", conf_number, struct partner_rule, max_requests_in_flight, 1,
	      65536),
	SECTION("approval", false, approval_keys),
	RANGE("decide_within", conf_seconds, struct partner_rule, decide_within_s, 1, 30 * DAY),
	RANGE("max_pending", conf_number, struct partner_rule, max_pending, 1, 1000000),
	RANGE("max_pending_bytes", conf_bytes, struct partner_rule, max_pending_bytes, 1 << 20, 1ull << 46),
	RANGE("max_kept_answers", conf_bytes, struct partner_rule, max_kept_answers, 1 << 20, 1ull << 46),
	END
};

static const struct conf_key partner_keys[] = {
	MUST("mc_system_id", conf_system_id, struct partner_rule, mc_system_id),
	WHOLE("address", false, read_address),
	MUST("certificate", conf_certificate, struct partner_rule, certificate),
	MUST("trust_anchors", conf_files, struct partner_rule, trust_anchors),
	KEY("crls", conf_files, struct partner_rule, crls),
	KEY("token_issuer", conf_text, struct partner_rule, token_issuer),
	WHOLE("provision", false, read_provision),
	END
};

static const struct conf_key limits_keys[] = {
	RANGE("max_frame", conf_bytes32, struct config, limits.max_frame_bytes, FRAME_BYTES_MIN,
	      FRAME_BYTES_MAX),
	RANGE("max_mc_ids", conf_number, struct config, limits.max_mc_ids, 1, 100000),
	RANGE("max_mc_service_ids_per_mc_id", conf_number, struct config,
	      limits.max_mc_service_ids_per_mc_id, 1, 64),
	RANGE("max_mc_system_ids", conf_number, struct config, limits.max_mc_system_ids, 1, 1000),
	RANGE("max_requests_in_flight", conf_number, struct config, limits.max_requests_in_flight, 1,
	      65536),
	RANGE("max_connections", conf_number, struct config, max_connections, 1, 1000000),
	RANGE("max_connections_per_peer", conf_number, struct config, max_connections_per_peer, 1,
	      1000000),
	RANGE("max_queued_bytes", conf_bytes, struct config, max_queued_bytes, QUEUED_FRAMES_MIN * FRAME_BYTES_MIN,
	      1ull << 40),
	RANGE("handshake_timeout", conf_seconds, struct config, handshake_timeout_s, 1, 300),
	RANGE("frame_timeout", conf_seconds, struct config, frame_timeout_s, 1, 3600),
	RANGE("idle_timeout", conf_seconds, struct config, limits.idle_timeout_seconds, 3, 86400),
	RANGE("partner_timeout", conf_seconds, struct config, partner_timeout_s, 1, 3600),
	RANGE("shutdown_timeout", conf_seconds, struct config, shutdown_timeout_s, 1, 300),
	RANGE("request_deadline", conf_seconds, struct config, request_deadline_s, 1, 30 * DAY),
	RANGE("keep_answers", conf_seconds, struct config, keep_answers_s, 1, 3650 * DAY),
	RANGE("max_memory_of_requests", conf_bytes, struct config, max_request_bytes, 1 << 20, 1ull << 46),
	RANGE("max_unfinished_requests", conf_number, struct config, max_unfinished, 1, 10000000),
	RANGE("max_unfinished_requests_per_acmc", conf_number, struct config, max_unfinished_per_acmc, 1, 10000000),
	RANGE("max_unfinished_bytes", conf_bytes, struct config, max_unfinished_bytes, 1 << 20, 1ull << 46),
	RANGE("max_unfinished_bytes_per_acmc", conf_bytes, struct config, max_unfinished_bytes_per_acmc, 1 << 20, 1ull << 46),
	RANGE("audited_refusals_per_minute", conf_number, struct config, audited_refusals, 1, 1000000),
	END
};

static const struct conf_key warnings_keys[] = {
	RANGE("certificate_expires_within", conf_days, struct config, expiry_warning_days, 0,
	      3650ull * 86400),
	END
};

static const struct conf_key log_keys[] = {
	KEY("level", read_log_level, struct config, log_level),
	END
};

static const struct conf_key root_keys[] = {
	MUST("mc_system_id", conf_system_id, struct config, mc_system_id),
	WHOLE("listen", true, read_listen),
	SECTION("tls", true, tls_keys),
	SECTION("store", true, store_keys),
	SECTION("acmcs", false, acmcs_keys),
	WHOLE("partners", false, read_partners),
	SECTION("limits", false, limits_keys),
	SECTION("warnings", false, warnings_keys),
	SECTION("log", false, log_keys),
	END
};

static const struct config defaults = {
	.store_map_bytes = 1ull << 30,
	.store_max_bytes = 1ull << 36,
	.max_connections = 10000,
	.max_connections_per_peer = 64,
	.handshake_timeout_s = 10,
	.frame_timeout_s = 30,
	.partner_timeout_s = 30,
	.shutdown_timeout_s = 10,
	.request_deadline_s = 7 * DAY,
	.keep_answers_s = 30 * DAY,
	.max_unfinished = 100000,
	.max_unfinished_bytes = 1ull << 32,
	.audited_refusals = 60,
	.max_request_bytes = 64 << 20,
	.expiry_warning_days = 30,
};

/* --- reading --- */

static unsigned line_of(const struct conf_node *root, const char *key)
{
	const struct conf_node *n = conf_child(root, key);
	return n ? n->line : 1;
}

/* Enough for larger frames than usual, too. */
static uint64_t default_queued_bytes(const struct config *config)
{
	uint64_t least = (uint64_t)QUEUED_FRAMES_MIN * config->limits.max_frame_bytes;
	return least > QUEUED_BYTES_USUAL ? least : QUEUED_BYTES_USUAL;
}

static struct config *parse(struct conf *c, const char *text, size_t length)
{
	struct config *config = arena_alloc(c->arena, sizeof *config);
	const struct conf_node *root = config ? conf_parse(c, text, length) : NULL;
	if (!root)
		return NULL;
	*config = defaults;
	config->arena = c->arena;
	config->file = arena_str(c->arena, str_of(c->name));
	config->limits = LIMITS_DEFAULT;
	config->log_level = STR("info");
	conf_read_keys(c, root, root_keys, config);
	config->tls_line = line_of(root, "tls");
	config->store_line = line_of(root, "store");
	config->acmcs_line = line_of(root, "acmcs");
	if (config->max_queued_bytes == 0)
		config->max_queued_bytes = default_queued_bytes(config);
	if (config->max_unfinished_per_acmc == 0)
		config->max_unfinished_per_acmc = (config->max_unfinished + 3) / 4;
	if (config->max_unfinished_bytes_per_acmc == 0)
		config->max_unfinished_bytes_per_acmc = config->max_unfinished_bytes / 4;
	config_check_whole(c, config, root);
	return c->n_mistakes == 0 ? config : NULL;
}

static struct config *parse_with(struct conf *c, const char *text, size_t length)
{
	struct config *config = c->arena && c->directory ? parse(c, text, length) : NULL;
	if (!config)
		arena_free(c->arena);
	return config;
}

struct config *config_parse(const char *text, size_t length, const char *name,
			    const char *directory, FILE *mistakes)
{
	struct conf c = { .arena = arena_new(0), .name = name, .directory = directory,
			  .mistakes = mistakes };
	return parse_with(&c, text, length);
}

struct config *config_load(const char *file, FILE *mistakes)
{
	struct conf c = { .arena = arena_new(0), .name = file, .open_files = true,
			  .mistakes = mistakes };
	size_t length;
	char *text = conf_read_file(&c, file, &length);
	if (!text) {
		arena_free(c.arena);
		return NULL;
	}
	c.directory = c.arena ? conf_directory_of(c.arena, file) : NULL;
	struct config *config = parse_with(&c, text, length);
	free(text);
	return config;
}

void config_free(struct config *c)
{
	if (c)
		arena_free(c->arena);
}

size_t config_pause_at(const struct config *c)
{
	size_t frames = PAUSE_FRAMES * (size_t)c->limits.max_frame_bytes;
	return frames < c->max_queued_bytes / 4 ? frames : c->max_queued_bytes / 4;
}

const struct partner_rule *config_partner(const struct config *c, struct str mc_system_id)
{
	for (size_t i = 0; i < c->n_partners; i++) {
		if (c->partners[i].mc_system_id.ptr &&
		    str_eq(c->partners[i].mc_system_id, mc_system_id))
			return &c->partners[i];
	}
	return NULL;
}
