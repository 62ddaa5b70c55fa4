#include "acms/config.h"

static void print_text(FILE *f, struct str s)
{
	putc('"', f);
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '"' || s.ptr[i] == '\\')
			putc('\\', f);
		putc(s.ptr[i], f);
	}
	putc('"', f);
}

static void print_key(FILE *f, int indent, const char *key, struct str value)
{
	if (!value.ptr)
		return;
	fprintf(f, "%*s%s: ", indent, "", key);
	print_text(f, value);
	putc('\n', f);
}

static void print_list(FILE *f, int indent, const char *key, struct conf_str_list list)
{
	if (list.n == 0)
		return;
	fprintf(f, "%*s%s: [", indent, "", key);
	for (size_t i = 0; i < list.n; i++) {
		if (i > 0)
			fputs(", ", f);
		print_text(f, list.items[i]);
	}
	fputs("]\n", f);
}

static void print_operations(const struct acmc_rule *a, FILE *f)
{
	static const char *const words[OPERATIONS] = { "setup", "update", "remove" };
	const char *between = "      operations: [";
	for (int i = 0; i < OPERATIONS; i++) {
		if (!a->may[i])
			continue;
		fprintf(f, "%s%s", between, words[i]);
		between = ", ";
	}
	fputs("]\n", f);
}

static void print_acmcs(const struct config *c, FILE *f)
{
	if (c->acmc_trust_anchors.n == 0)
		return;
	fputs("acmcs:\n", f);
	print_list(f, 2, "trust_anchors", c->acmc_trust_anchors);
	print_list(f, 2, "crls", c->acmc_crls);
	fputs(c->n_acmcs ? "  clients:\n" : "  clients: []\n", f);
	for (size_t i = 0; i < c->n_acmcs; i++) {
		const struct acmc_rule *a = &c->acmcs[i];
		fputs("    - name: ", f);
		print_text(f, a->name);
		putc('\n', f);
		print_key(f, 6, "certificate", a->certificate);
		print_list(f, 6, "home_acmc_ids", a->home_acmc_ids);
		print_list(f, 6, "partners", a->partners);
		print_list(f, 6, "mc_ids", a->mc_ids);
		print_list(f, 6, "mc_service_id_domains", a->mc_service_id_domains);
		print_operations(a, f);
		fprintf(f, "      requests: %s\n", a->sees_all_requests ? "all" : "own");
		print_list(f, 6, "approves", a->approves);
	}
}

static const char *policy(enum approval a)
{
	switch (a) {
	case APPROVAL_AUTOMATIC:
		return "automatic";
	case APPROVAL_MANUAL:
		return "manual";
	case APPROVAL_DENY:
		break;
	}
	return "deny";
}

static void print_partner(const struct partner_rule *p, FILE *f)
{
	fputs("  - mc_system_id: ", f);
	print_text(f, p->mc_system_id);
	putc('\n', f);
	if (p->host.ptr)
		fprintf(f, memchr(p->host.ptr, ':', p->host.len) ? "    address: \"[%.*s]:%u\"\n" :
								   "    address: \"%.*s:%u\"\n",
			STR_ARG(p->host), p->port);
	print_key(f, 4, "certificate", p->certificate);
	print_list(f, 4, "trust_anchors", p->trust_anchors);
	print_list(f, 4, "crls", p->crls);
	print_key(f, 4, "token_issuer", p->token_issuer);
	if (!p->may_provision)
		return;
	fputs("    provision:\n", f);
	print_list(f, 6, "mc_ids", p->mc_ids);
	print_list(f, 6, "mc_service_id_domains", p->mc_service_id_domains);
	fprintf(f, "      max_users: %u\n", p->max_users);
	fprintf(f, "      max_requests_in_flight: %u\n", p->max_requests_in_flight);
	fprintf(f, "      approval: {setup: %s, update: %s, remove: %s}\n",
		policy(p->approval[OPERATION_SETUP]), policy(p->approval[OPERATION_UPDATE]),
		policy(p->approval[OPERATION_REMOVE]));
	fprintf(f, "      decide_within: %u s\n", p->decide_within_s);
	fprintf(f, "      max_pending: %u\n", p->max_pending);
	fprintf(f, "      max_pending_bytes: %llu\n", (unsigned long long)p->max_pending_bytes);
	fprintf(f, "      max_kept_answers: %llu\n", (unsigned long long)p->max_kept_answers);
}

static void print_limits(const struct config *c, FILE *f)
{
	fprintf(f, "limits:\n"
		   "  max_frame: %u\n"
		   "  max_mc_ids: %u\n"
		   "  max_mc_service_ids_per_mc_id: %u\n"
		   "  max_mc_system_ids: %u\n"
		   "  max_requests_in_flight: %u\n"
		   "  max_connections: %u\n"
		   "  max_connections_per_peer: %u\n"
		   "  max_queued_bytes: %llu\n",
		c->limits.max_frame_bytes, c->limits.max_mc_ids,
		c->limits.max_mc_service_ids_per_mc_id, c->limits.max_mc_system_ids,
		c->limits.max_requests_in_flight, c->max_connections, c->max_connections_per_peer,
		(unsigned long long)c->max_queued_bytes);
	fprintf(f, "  handshake_timeout: %u s\n"
		   "  frame_timeout: %u s\n"
		   "  idle_timeout: %u s\n"
		   "  partner_timeout: %u s\n"
		   "  shutdown_timeout: %u s\n"
		   "  request_deadline: %u s\n"
		   "  keep_answers: %u s\n"
		   "  max_unfinished_requests: %u\n"
		   "  max_unfinished_requests_per_acmc: %u\n"
		   "  max_unfinished_bytes: %llu\n"
		   "  max_unfinished_bytes_per_acmc: %llu\n"
		   "  audited_refusals_per_minute: %u\n"
		   "  max_memory_of_requests: %llu\n",
		c->handshake_timeout_s, c->frame_timeout_s, c->limits.idle_timeout_seconds,
		c->partner_timeout_s, c->shutdown_timeout_s, c->request_deadline_s, c->keep_answers_s,
		c->max_unfinished, c->max_unfinished_per_acmc, (unsigned long long)c->max_unfinished_bytes,
		(unsigned long long)c->max_unfinished_bytes_per_acmc, c->audited_refusals,
		(unsigned long long)c->max_request_bytes);
}

enum status config_print(const struct config *c, FILE *f)
{
	print_key(f, 0, "mc_system_id", c->mc_system_id);
	fputs("listen:\n", f);
	for (size_t i = 0; i < c->n_listen; i++) {
		fputs("  - address: ", f);
		print_text(f, c->listen[i].address);
		fprintf(f, "\n    port: %u\n", c->listen[i].port);
	}
	fputs("tls:\n", f);
	print_key(f, 2, "certificate", c->certificate);
	print_key(f, 2, "key", c->key);
	fputs("store:\n", f);
	print_key(f, 2, "directory", c->store_directory);
	fprintf(f, "  map_size: %llu\n", (unsigned long long)c->store_map_bytes);
	fprintf(f, "  max_size: %llu\n", (unsigned long long)c->store_max_bytes);
	print_acmcs(c, f);
	if (c->n_partners > 0)
		fputs("partners:\n", f);
	for (size_t i = 0; i < c->n_partners; i++)
		print_partner(&c->partners[i], f);
	print_limits(c, f);
	fprintf(f, "warnings:\n  certificate_expires_within: %u days\n", c->expiry_warning_days);
	fputs("log:\n", f);
	print_key(f, 2, "level", c->log_level);
	return ferror(f) ? ERR_SYSTEM : OK;
}
