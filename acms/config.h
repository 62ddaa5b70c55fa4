#ifndef ACMS_CONFIG_H
#define ACMS_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "common/conf.h"
#include "common/error.h"
#include "common/setup.h"
#include "common/str.h"

/*
 * The configuration of one acms, from one YAML file. Checked as a whole: what config_load returns is
 * complete and consistent. Immutable afterwards; everything in it belongs to the struct config, and each struct str has
 * a NUL behind it.
 */

struct listen_address {
	struct str address; /* numeric; "::" for all */
	uint32_t port;
};

/* How a partner handles an incoming operation (TS 23.280 10.17.3, as digested in ACX.md). */
enum approval { APPROVAL_AUTOMATIC, APPROVAL_MANUAL, APPROVAL_DENY };

/* An authorised ACMC. */
struct acmc_rule {
	struct str name;                     /* for logs */
	struct str certificate;              /* "URI:..." or "DNS:...": its subjectAltName entry */
	struct conf_str_list home_acmc_ids;       /* canonical */
	struct conf_str_list partners;            /* MC system IDs, or the one item "*" */
	struct conf_str_list mc_ids;              /* patterns, one "*" at most in each */
	struct conf_str_list mc_service_id_domains; /* "police.example", "*.police.example", "tel:+49*" */
	bool may[OPERATIONS];                /* operations: [setup, update, remove]; left out: all */
	bool sees_all_requests;              /* requests: all (default own) */
	struct conf_str_list approves;       /* home systems whose pending requests it decides, or "*"; default none */
};

/* A partner system: whom we send to, and who may set users up here. Default deny. */
struct partner_rule {
	unsigned line;                       /* in the file, for mistakes in what it names */
	struct str mc_system_id;
	struct str certificate;              /* as above */
	struct conf_str_list trust_anchors;       /* files, absolute */
	struct conf_str_list crls;                /* files, absolute */
	struct str host;                     /* STR_NONE: requests are not sent to it */
	uint16_t port;
	struct str token_issuer;             /* STR_NONE, or the issuer of its security tokens */
	bool may_provision;                  /* has a "provision:" section */
	struct conf_str_list mc_ids;
	struct conf_str_list mc_service_id_domains;
	uint32_t max_users;
	uint32_t max_requests_in_flight;
	enum approval approval[OPERATIONS];  /* approval: {setup: manual, ...}; default automatic */
	uint32_t decide_within_s;            /* default 7 days */
	uint32_t max_pending;                /* default 1000 */
	uint64_t max_pending_bytes;          /* default 64 MiB */
	uint64_t max_kept_answers;           /* in bytes; default 1 GiB */
};

struct config {
	struct arena *arena;                 /* that the rest lives in */
	struct str file;
	struct str mc_system_id;
	const struct listen_address *listen;
	size_t n_listen;
	unsigned tls_line, store_line, acmcs_line; /* in the file */
	struct str certificate, key;         /* files, absolute */
	struct str store_directory;          /* absolute */
	uint64_t store_map_bytes, store_max_bytes; /* store.map_size, store.max_size: default 1 GiB, 64 GiB */
	struct conf_str_list acmc_trust_anchors, acmc_crls;
	const struct acmc_rule *acmcs;
	size_t n_acmcs;
	const struct partner_rule *partners;
	size_t n_partners;
	struct limits limits;
	uint32_t max_connections;
	uint32_t max_connections_per_peer;
	uint64_t max_queued_bytes;           /* limits.max_queued_bytes: of all connections of a party; default 16 MiB or more */
	uint32_t handshake_timeout_s, frame_timeout_s, partner_timeout_s, shutdown_timeout_s;
	uint32_t request_deadline_s;         /* limits.request_deadline, default 7 days, at most 30 days */
	uint32_t keep_answers_s;             /* limits.keep_answers, default 30 days */
	uint32_t max_unfinished;             /* limits.max_unfinished_requests, default 100000 */
	uint64_t max_unfinished_bytes;       /* default 4 GiB */
	uint32_t max_unfinished_per_acmc;    /* limits.max_unfinished_requests_per_acmc, default a quarter of all, as the next */
	uint64_t max_unfinished_bytes_per_acmc;
	uint32_t audited_refusals;           /* limits.audited_refusals_per_minute, of each party, default 60 */
	uint64_t max_request_bytes;          /* limits.max_memory_of_requests, default 64 MiB */
	uint32_t expiry_warning_days;
	struct str log_level;                /* "error", "warning", "info", "debug" */
};

/*
 * Reads and checks a file. Every mistake is written to mistakes as one line,
 * "FILE:LINE: KEY: VALUE: what is wrong and what would be right", and the result is NULL if there was one.
 * Files that it names (certificates, anchors, CRLs) must be readable; what is in them is tls.h's to judge.
 */
struct config *config_load(const char *file, FILE *mistakes);
/* The same from memory, for tests and fuzzing; relative paths are from directory; no file is opened. */
struct config *config_parse(const char *text, size_t length, const char *name,
			    const char *directory, FILE *mistakes);
void config_free(struct config *c); /* NULL is fine */

/* Writes the effective configuration, defaults included, as YAML that parses back to the same. */
enum status config_print(const struct config *c, FILE *out);

/* What may be queued on a connection before reading from it pauses: a part of max_queued_bytes. */
size_t config_pause_at(const struct config *c);

/* NULL if there is none. */
const struct partner_rule *config_partner(const struct config *c, struct str mc_system_id);

#endif
