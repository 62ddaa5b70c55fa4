#include "common/conf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <yaml.h>
#include "common/identity.h"
#include "common/text.h"
#include "common/trusted_file.h"

enum { FILE_BYTES_MAX = 4 << 20, DEPTH_MAX = 8 };

/* --- mistakes --- */

static void show(struct conf *c, unsigned line, const char *path, struct str value, const char *text)
{
	char escaped[120];
	c->n_mistakes++;
	fprintf(c->mistakes, "%s:%u: ", c->name, line);
	if (*path)
		fprintf(c->mistakes, "%s: ", path);
	if (value.ptr)
		fprintf(c->mistakes, "%s: ", text_escape(value, escaped, sizeof escaped));
	fprintf(c->mistakes, "%s\n", text);
}

const struct conf_node *conf_child(const struct conf_node *map, const char *key)
{
	const struct conf_node *n = map && map->kind == CONF_MAP ? map->child : NULL;
	while (n && !str_eq(n->key, str_of(key)))
		n = n->next;
	return n;
}

void conf_mistake(struct conf *c, const struct conf_node *node, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	text_vformat(text, sizeof text, format, args);
	va_end(args);
	struct str value = node && node->kind == CONF_SCALAR ? node->scalar : STR_NONE;
	show(c, node ? node->line : 1, c->path, value, text);
}

/* --- YAML to nodes --- */

struct builder {
	struct conf *conf;
	yaml_parser_t parser;
	size_t mistakes_before;
};

static struct conf_node *build(struct builder *b, yaml_event_t *event, unsigned depth);

static bool next_event(struct builder *b, yaml_event_t *event)
{
	if (yaml_parser_parse(&b->parser, event))
		return true;
	show(b->conf, (unsigned)b->parser.problem_mark.line + 1, "", STR_NONE,
	     b->parser.problem ? b->parser.problem : "not readable as YAML");
	return false;
}

static struct conf_node *refuse(struct builder *b, const yaml_event_t *event, const char *what)
{
	show(b->conf, (unsigned)event->start_mark.line + 1, "", STR_NONE, what);
	return NULL;
}

static struct conf_node *new_node(struct builder *b, const yaml_event_t *event, enum conf_kind kind)
{
	struct conf_node *n = arena_alloc(b->conf->arena, sizeof *n);
	if (!n)
		return refuse(b, event, "out of memory");
	n->kind = kind;
	n->line = (unsigned)event->start_mark.line + 1;
	return n;
}

static struct conf_node *build_scalar(struct builder *b, const yaml_event_t *event)
{
	struct conf_node *n = new_node(b, event, CONF_SCALAR);
	if (n)
		n->scalar = arena_str(b->conf->arena,
				      (struct str){ (const char *)event->data.scalar.value,
						    event->data.scalar.length });
	return n && n->scalar.ptr ? n : NULL;
}

/* The items up to the end of a list or map. */
static struct conf_node *build_children(struct builder *b, struct conf_node *n, bool map,
					yaml_event_type_t end, unsigned depth)
{
	struct conf_node **last = &n->child;
	for (;;) {
		yaml_event_t event;
		struct str key = STR_NONE;
		if (!next_event(b, &event))
			return NULL;
		if (event.type == end) {
			yaml_event_delete(&event);
			return n;
		}
		if (map) {
			struct conf_node *k = event.type == YAML_SCALAR_EVENT ?
						      build_scalar(b, &event) :
						      refuse(b, &event, "a key must be a word");
			yaml_event_delete(&event);
			if (!k || !next_event(b, &event))
				return NULL;
			key = k->scalar;
		}
		struct conf_node *child = build(b, &event, depth + 1);
		yaml_event_delete(&event);
		if (!child)
			return NULL;
		child->key = key;
		*last = child;
		last = &child->next;
	}
}

static struct conf_node *build(struct builder *b, yaml_event_t *event, unsigned depth)
{
	struct conf_node *n;
	if (depth > DEPTH_MAX)
		return refuse(b, event, "nested too deeply");
	if (event->type == YAML_SCALAR_EVENT)
		return event->data.scalar.anchor || event->data.scalar.tag ?
			       refuse(b, event, "anchors and tags are not used here") :
			       build_scalar(b, event);
	if (event->type == YAML_SEQUENCE_START_EVENT && !event->data.sequence_start.anchor) {
		n = new_node(b, event, CONF_LIST);
		return n ? build_children(b, n, false, YAML_SEQUENCE_END_EVENT, depth) : NULL;
	}
	if (event->type == YAML_MAPPING_START_EVENT && !event->data.mapping_start.anchor) {
		n = new_node(b, event, CONF_MAP);
		return n ? build_children(b, n, true, YAML_MAPPING_END_EVENT, depth) : NULL;
	}
	return refuse(b, event, "anchors and aliases are not used here");
}

/* Of stream and document; anything but the one document is a mistake. */
static struct conf_node *build_document(struct builder *b)
{
	struct conf_node *root = NULL;
	for (;;) {
		yaml_event_t event;
		if (!next_event(b, &event))
			return NULL;
		yaml_event_type_t type = event.type;
		if (type == YAML_SCALAR_EVENT || type == YAML_SEQUENCE_START_EVENT ||
		    type == YAML_MAPPING_START_EVENT || type == YAML_ALIAS_EVENT)
			root = root ? refuse(b, &event, "a second document") : build(b, &event, 0);
		yaml_event_delete(&event);
		if (type == YAML_STREAM_END_EVENT || b->conf->n_mistakes > b->mistakes_before)
			return root;
	}
}

const struct conf_node *conf_parse(struct conf *c, const char *text, size_t length)
{
	struct builder b = { .conf = c, .mistakes_before = c->n_mistakes };
	if (!yaml_parser_initialize(&b.parser)) {
		conf_mistake(c, NULL, "out of memory");
		return NULL;
	}
	yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, length);
	struct conf_node *root = build_document(&b);
	yaml_parser_delete(&b.parser);
	if (c->n_mistakes > b.mistakes_before)
		return NULL;
	if (!root || root->kind != CONF_MAP) {
		conf_mistake(c, NULL, "must be keys and values");
		return NULL;
	}
	return root;
}

char *conf_read_file(struct conf *c, const char *file, size_t *length)
{
	struct error e;
	int fd = trusted_file_open(file, false, &e);
	FILE *f = fd >= 0 ? fdopen(fd, "rb") : NULL;
	char *text = f ? malloc(FILE_BYTES_MAX + 1) : NULL;
	if (fd < 0) {
		fprintf(c->mistakes, "%s\n", e.text);
		goto fail;
	}
	if (!text) {
		fprintf(c->mistakes, "%s: out of memory\n", file);
		goto fail;
	}
	*length = fread(text, 1, FILE_BYTES_MAX + 1, f);
	if (ferror(f)) {
		fprintf(c->mistakes, "%s: %s\n", file, strerror(errno));
		goto fail;
	}
	if (*length > FILE_BYTES_MAX) {
		fprintf(c->mistakes, "%s: larger than 4 MiB\n", file);
		goto fail;
	}
	text[*length] = '\0';
	fclose(f);
	return text;
fail:
	c->n_mistakes++;
	free(text);
	if (f)
		fclose(f);
	return NULL;
}

const char *conf_directory_of(struct arena *a, const char *file)
{
	const char *slash = strrchr(file, '/');
	char *cwd = NULL;
	if (slash == file)
		return "/";
	if (file[0] == '/')
		return arena_printf(a, "%.*s", (int)(slash - file), file);
	cwd = getcwd(NULL, 0);
	const char *result = !cwd ? NULL :
			     slash ? arena_printf(a, "%s/%.*s", cwd, (int)(slash - file), file) :
				     arena_printf(a, "%s", cwd);
	free(cwd);
	return result;
}

/* --- tables --- */

static size_t edit_distance(struct str a, const char *b)
{
	size_t n = strlen(b), row[64];
	if (n >= 64)
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 0; i < a.len; i++) {
		size_t diagonal = row[0];
		row[0] = i + 1;
		for (size_t j = 1; j <= n; j++) {
			size_t best = diagonal + (a.ptr[i] != b[j - 1]);
			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

static void unknown_key(struct conf *c, const struct conf_node *node, const struct conf_key *keys)
{
	const char *nearest = NULL;
	size_t best = 4;
	for (const struct conf_key *k = keys; k->name && node->key.len < 64; k++) {
		size_t d = edit_distance(node->key, k->name);
		if (d < best) {
			best = d;
			nearest = k->name;
		}
	}
	struct conf_node bare = { .kind = CONF_MAP, .line = node->line };
	if (nearest)
		conf_mistake(c, &bare, "unknown key; did you mean %s?", nearest);
	else
		conf_mistake(c, &bare, "unknown key");
}

/* Goes one level down, and later back to the length returned. */
static size_t enter(struct conf *c, struct str key)
{
	char escaped[80];
	size_t before = strlen(c->path);
	text_format(c->path + before, sizeof c->path - before, before ? ".%s" : "%s",
		    text_escape(key, escaped, sizeof escaped));
	return before;
}

static bool repeated(const struct conf_node *map, const struct conf_node *node)
{
	for (const struct conf_node *n = map->child; n != node; n = n->next) {
		if (str_eq(n->key, node->key))
			return true;
	}
	return false;
}

static void read_key(struct conf *c, const struct conf_node *map, const struct conf_node *node,
		     const struct conf_key *keys, void *base)
{
	const struct conf_key *k = keys;
	while (k->name && !str_eq(str_of(k->name), node->key))
		k++;
	size_t before = enter(c, node->key);
	if (!k->name)
		unknown_key(c, node, keys);
	else if (repeated(map, node))
		conf_mistake(c, node, "given twice");
	else
		k->read(c, node, k, (char *)base + k->offset);
	c->path[before] = '\0';
}

void conf_read_keys(struct conf *c, const struct conf_node *map, const struct conf_key *keys,
		    void *base)
{
	if (map->kind != CONF_MAP) {
		conf_mistake(c, map, "must be keys and values");
		return;
	}
	for (const struct conf_node *n = map->child; n; n = n->next)
		read_key(c, map, n, keys, base);
	for (const struct conf_key *k = keys; k->name; k++) {
		const struct conf_node *n = map->child;
		while (n && !str_eq(str_of(k->name), n->key))
			n = n->next;
		if (k->mandatory && !n)
			conf_mistake(c, map, "%s is missing", k->name);
	}
}

bool conf_each(struct conf *c, const struct conf_node *list,
	       void (*read)(struct conf *c, const struct conf_node *item, size_t i, void *context),
	       void *context)
{
	size_t i = 0, before = strlen(c->path);
	if (list->kind != CONF_LIST) {
		conf_mistake(c, list, "must be a list");
		return false;
	}
	for (const struct conf_node *n = list->child; n; n = n->next, i++) {
		snprintf(c->path + before, sizeof c->path - before, "[%zu]", i + 1);
		read(c, n, i, context);
		c->path[before] = '\0';
	}
	return true;
}

size_t conf_count(const struct conf_node *list)
{
	size_t n = 0;
	for (const struct conf_node *i = list->kind == CONF_LIST ? list->child : NULL; i; i = i->next)
		n++;
	return n;
}

/* --- readers --- */

struct str conf_scalar(struct conf *c, const struct conf_node *node)
{
	if (node->kind != CONF_SCALAR)
		conf_mistake(c, node, "must be a single value");
	else if (node->scalar.len == 0)
		conf_mistake(c, node, "must not be empty");
	else if (!text_valid(node->scalar) || text_has_control(node->scalar))
		conf_mistake(c, node, "has control characters or is not UTF-8");
	else
		return node->scalar;
	return STR_NONE;
}

void conf_map(struct conf *c, const struct conf_node *node, const struct conf_key *key, void *field)
{
	conf_read_keys(c, node, key->keys, field);
}

void conf_text(struct conf *c, const struct conf_node *node, const struct conf_key *key, void *field)
{
	(void)key;
	*(struct str *)field = conf_scalar(c, node);
}

/* A number and its unit; false if it is none. */
static bool split_number(struct str s, uint64_t *number, struct str *unit)
{
	size_t i = 0;
	*number = 0;
	for (; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++) {
		if (*number > (UINT64_MAX - 9) / 10)
			return false;
		*number = *number * 10 + (uint64_t)(s.ptr[i] - '0');
	}
	if (i == 0)
		return false;
	while (i < s.len && s.ptr[i] == ' ')
		i++;
	*unit = (struct str){ s.ptr + i, s.len - i };
	return true;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static bool read_quantity(struct conf *c, const struct conf_node *node, const struct unit *units,
			  const char *what, uint64_t *out)
{
	struct str s = conf_scalar(c, node), unit;
	uint64_t number;
	if (!s.ptr)
		return false;
	if (split_number(s, &number, &unit)) {
		for (const struct unit *u = units; u->name; u++) {
			if (str_eq(unit, str_of(u->name)) &&
			    !__builtin_mul_overflow(number, u->factor, out))
				return true;
		}
	}
	conf_mistake(c, node, "must be %s", what);
	return false;
}

static const struct unit no_unit[] = { { "", 1 }, { NULL, 0 } };
static const struct unit byte_units[] = {
	{ "", 1 },	      { "bytes", 1 },	    { "KiB", 1024 },
	{ "MiB", 1u << 20 },  { "GiB", 1u << 30 },  { "TiB", 1ull << 40 },
	{ NULL, 0 },
};
static const struct unit time_units[] = {
	{ "s", 1 },	 { "seconds", 1 }, { "min", 60 },     { "minutes", 60 },
	{ "h", 3600 },	 { "hours", 3600 }, { "d", 86400 },   { "day", 86400 },
	{ "days", 86400 }, { NULL, 0 },
};

static void read_ranged(struct conf *c, const struct conf_node *node, const struct conf_key *key,
			const struct unit *units, const char *what, uint64_t *out)
{
	uint64_t value;
	if (!read_quantity(c, node, units, what, &value))
		return;
	if (value < key->min || value > key->max)
		conf_mistake(c, node, "must be from %llu to %llu%s", (unsigned long long)key->min,
			     (unsigned long long)key->max,
			     units == time_units ? " s" : units == byte_units ? " bytes" : "");
	else
		*out = value;
}

static void read_ranged32(struct conf *c, const struct conf_node *node, const struct conf_key *key,
			  const struct unit *units, const char *what, void *field)
{
	uint64_t value = *(uint32_t *)field;
	read_ranged(c, node, key, units, what, &value);
	*(uint32_t *)field = (uint32_t)value;
}

void conf_number(struct conf *c, const struct conf_node *node, const struct conf_key *key,
		 void *field)
{
	read_ranged32(c, node, key, no_unit, "a number", field);
}

void conf_bytes(struct conf *c, const struct conf_node *node, const struct conf_key *key, void *field)
{
	read_ranged(c, node, key, byte_units, "a size, such as 64 KiB or 1 GiB", field);
}

void conf_bytes32(struct conf *c, const struct conf_node *node, const struct conf_key *key,
		  void *field)
{
	read_ranged32(c, node, key, byte_units, "a size, such as 64 KiB or 1 MiB", field);
}

void conf_seconds(struct conf *c, const struct conf_node *node, const struct conf_key *key,
		  void *field)
{
	read_ranged32(c, node, key, time_units, "a time, such as 10 s, 5 min, 2 h or 30 days", field);
}

void conf_days(struct conf *c, const struct conf_node *node, const struct conf_key *key, void *field)
{
	uint32_t seconds = *(uint32_t *)field * 86400;
	conf_seconds(c, node, key, &seconds);
	*(uint32_t *)field = seconds / 86400;
}

void conf_path(struct conf *c, const struct conf_node *node, const struct conf_key *key, void *field)
{
	struct str s = conf_scalar(c, node);
	(void)key;
	if (!s.ptr)
		return;
	*(struct str *)field = s.ptr[0] == '/' ? s : str_of(arena_printf(c->arena, "%s/%.*s",
									 c->directory, STR_ARG(s)));
}

void conf_file(struct conf *c, const struct conf_node *node, const struct conf_key *key, void *field)
{
	struct str *path = field;
	struct error e;
	conf_path(c, node, key, field);
	if (!path->ptr || !c->open_files)
		return;
	int fd = trusted_file_open(path->ptr, false, &e);
	if (fd < 0)
		conf_mistake(c, node, "%s", e.text);
	else
		close(fd);
}

static void read_file_item(struct conf *c, const struct conf_node *item, size_t i, void *items)
{
	conf_file(c, item, NULL, (struct str *)items + i);
}

void conf_files(struct conf *c, const struct conf_node *node, const struct conf_key *key, void *field)
{
	struct conf_str_list *list = field;
	size_t n = conf_count(node);
	struct str *items = arena_array(c->arena, n, sizeof *items);
	if (!items || !conf_each(c, node, read_file_item, items))
		return;
	if (n < key->min)
		conf_mistake(c, node, "must name a file at least");
	*list = (struct conf_str_list){ items, n };
}

void conf_system_id(struct conf *c, const struct conf_node *node, const struct conf_key *key,
		    void *field)
{
	struct str s = conf_scalar(c, node);
	(void)key;
	if (s.ptr && !mc_system_id_valid(s))
		conf_mistake(c, node, "must be an MC system ID: a domain name in lower case, such as "
			     "police.example");
	else
		*(struct str *)field = s;
}

static bool could_be_dns_name(const char *name)
{
	return name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")] == '\0';
}

void conf_certificate(struct conf *c, const struct conf_node *node, const struct conf_key *key,
		      void *field)
{
	struct str s = conf_scalar(c, node);
	(void)key;
	if (s.ptr && (s.len <= 4 || (memcmp(s.ptr, "URI:", 4) != 0 && memcmp(s.ptr, "DNS:", 4) != 0)))
		conf_mistake(c, node, "must be URI: or DNS: and a name, as in the certificate's "
			     "subjectAltName");
	else if (s.ptr && s.ptr[0] == 'D' && memchr(s.ptr, '*', s.len))
		conf_mistake(c, node, "wildcards never match: give the name of the one certificate");
	else if (s.ptr && s.ptr[0] == 'D' && !could_be_dns_name(s.ptr + 4))
		conf_mistake(c, node, "is no DNS name, so no certificate has it");
	else
		*(struct str *)field = s;
}

bool conf_host_port(struct conf *c, const struct conf_node *node, struct str *host, uint16_t *port)
{
	struct str s = conf_scalar(c, node), rest;
	uint64_t number = 0;
	if (!s.ptr)
		return false;
	const char *colon = memrchr(s.ptr, ':', s.len);
	struct str h = { s.ptr, colon ? (size_t)(colon - s.ptr) : 0 };
	if (h.len > 2 && h.ptr[0] == '[' && h.ptr[h.len - 1] == ']')
		h = (struct str){ h.ptr + 1, h.len - 2 };
	else if (memchr(h.ptr, ':', h.len))
		h.len = 0;
	bool good = h.len > 0 && h.len < 256 &&
		    split_number((struct str){ colon + 1, s.len - (size_t)(colon + 1 - s.ptr) }, &number,
				 &rest) &&
		    rest.len == 0 && number >= 1 && number <= 65535;
	if (!good) {
		conf_mistake(c, node, "must be HOST:PORT, such as acms.police.example:7443 or [2001:db8::1]:7443");
		return false;
	}
	*host = arena_str(c->arena, h);
	*port = (uint16_t)number;
	return host->ptr != NULL;
}
