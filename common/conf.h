#ifndef ACX_CONF_H
#define ACX_CONF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "common/arena.h"
#include "common/str.h"

/*
 * Configuration files: YAML, checked against tables. The only file that knows libyaml. Every mistake is written as
 * one line "FILE:LINE: KEY: VALUE: what is wrong"; checking goes on after it.
 */

enum conf_kind { CONF_SCALAR, CONF_LIST, CONF_MAP };

struct conf_node {
	enum conf_kind kind;
	unsigned line;
	struct str key;    /* in a map */
	struct str scalar;
	struct conf_node *child, *next;
};

/* One check of one file. Everything read lives in the arena. */
struct conf {
	struct arena *arena;
	const char *name;      /* of the file, for mistakes */
	const char *directory; /* that relative paths are from */
	bool open_files;       /* files that are named must be readable */
	FILE *mistakes;
	size_t n_mistakes;
	char path[256];        /* where in the file, "partners[2].address" */
};

struct conf_key;
/* Reads a node into *field. */
typedef void conf_reader(struct conf *c, const struct conf_node *node, const struct conf_key *key,
			 void *field);

struct conf_key {
	const char *name;   /* NULL ends a table */
	conf_reader *read;
	size_t offset;      /* of the field, in what conf_read_map is given */
	bool mandatory;
	uint64_t min, max;  /* of a number, or of the length of a list */
	const struct conf_key *keys; /* of a map */
	size_t item_size;   /* of a list of maps */
};

struct conf_str_list {
	const struct str *items;
	size_t n;
};

/* The root, NULL after a mistake. */
const struct conf_node *conf_parse(struct conf *c, const char *text, size_t length);
/* The whole file, from malloc, NUL behind it; NULL after a mistake. At most 4 MiB; trusted_file.h says who may write to it. */
char *conf_read_file(struct conf *c, const char *file, size_t *length);
/* The directory that a file is in, from the arena. */
const char *conf_directory_of(struct arena *a, const char *file);

/* The value under key; NULL: there is none, or map is no map (NULL is fine, too). */
const struct conf_node *conf_child(const struct conf_node *map, const char *key);

/* node NULL: the file as a whole. The value is shown escaped. */
void conf_mistake(struct conf *c, const struct conf_node *node, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Reads each key of the table that the map has; reports unknown, repeated and missing ones. */
void conf_read_keys(struct conf *c, const struct conf_node *map, const struct conf_key *keys,
		    void *base);
/* Calls read for each item of a list, with the path set. False: it is no list, which was reported. */
bool conf_each(struct conf *c, const struct conf_node *list,
	       void (*read)(struct conf *c, const struct conf_node *item, size_t i, void *context),
	       void *context);
/* The value, STR_NONE after a mistake: no scalar, empty, or with control characters. */
struct str conf_scalar(struct conf *c, const struct conf_node *node);
size_t conf_count(const struct conf_node *list);

/* Readers; the type of the field is in brackets. */
conf_reader conf_map;       /* [anything]: keys, from the field's own start */
conf_reader conf_text;      /* [struct str] */
conf_reader conf_number;    /* [uint32_t] from min to max */
conf_reader conf_bytes;     /* [uint64_t] "1 MiB", from min to max */
conf_reader conf_bytes32;   /* [uint32_t] */
conf_reader conf_seconds;   /* [uint32_t] "10 s", "5 min", "2 h", "30 days", from min to max seconds */
conf_reader conf_days;      /* [uint32_t] the same, in days */
conf_reader conf_path;      /* [struct str] made absolute; not opened */
conf_reader conf_file;      /* [struct str] made absolute, readable, and nobody else may write to it (trusted_file.h) */
conf_reader conf_files;     /* [struct conf_str_list] of the same */
conf_reader conf_system_id; /* [struct str] MC system ID */
conf_reader conf_certificate; /* [struct str] "URI:..." or "DNS:..." */

/* "host:port", "[address]:port"; false after a mistake. host from the arena. */
bool conf_host_port(struct conf *c, const struct conf_node *node, struct str *host, uint16_t *port);

#endif
