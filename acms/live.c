#include "acms/live.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/log.h"
#include "common/text.h"

static bool report(FILE *mistakes, const struct config *c, unsigned line, const char *key,
		   const struct error *e)
{
	fprintf(mistakes, "%.*s:%u: %s: %s\n", STR_ARG(c->file), line, key, e->text);
	return false;
}

/* Whoever lets others set users up must be able to give them receipts. */
static bool can_certify(const struct live *l, FILE *mistakes)
{
	const struct config *c = l->config;
	struct error e;
	int algorithm;
	for (size_t i = 0; i < c->n_partners; i++) {
		if (!c->partners[i].may_provision)
			continue;
		if (tls_identity_algorithm(l->identity, &algorithm, &e) == OK)
			return true;
		return report(mistakes, c, c->tls_line, "tls: key: receipts cannot be signed", &e);
	}
	return true;
}

/* Partners that we send to see us as a client. */
static bool check_uses(const struct live *l, FILE *mistakes)
{
	const struct config *c = l->config;
	struct error e;
	bool client = false, good = true;
	for (size_t i = 0; i < c->n_partners; i++)
		client |= c->partners[i].host.ptr != NULL;
	if (tls_identity_check_use(l->identity, true, &e) != OK)
		good = report(mistakes, c, c->tls_line, "tls: certificate", &e);
	if (client && tls_identity_check_use(l->identity, false, &e) != OK)
		good = report(mistakes, c, c->tls_line, "tls: certificate", &e);
	return good;
}

/*
 * A directory that is not there yet is the store's to complain about: a configuration may be checked on another machine.
 * Root may check it for the user that acms runs as.
 */
static bool check_store(const struct config *c, FILE *mistakes)
{
	struct stat st;
	struct error e;
	const char *file = c->store_directory.ptr;
	if (stat(file, &st) != 0)
		return true;
	if (!S_ISDIR(st.st_mode))
		error_set(&e, ERR_CONFIG, "%s: is not a directory", file);
	else if (geteuid() != 0 && st.st_uid != geteuid())
		error_set(&e, ERR_CONFIG, "%s: belongs to another user: chown it to the user that runs this", file);
	else if (st.st_mode & (S_IRWXG | S_IRWXO))
		error_set(&e, ERR_CONFIG, "%s: others have access to it, and it holds identities: chmod 0700",
			  file);
	else
		return true;
	return report(mistakes, c, c->store_line, "store: directory", &e);
}

static bool load_acmc_trust(struct live *l, FILE *mistakes)
{
	const struct config *c = l->config;
	struct error e;
	if (c->n_acmcs == 0)
		return true;
	if (tls_trust_load(c->acmc_trust_anchors.items, c->acmc_trust_anchors.n, c->acmc_crls.items,
			   c->acmc_crls.n, &l->acmc_trust, &e) != OK)
		return report(mistakes, c, c->acmcs_line, "acmcs", &e);
	return true;
}

static bool load_partner(struct live *l, size_t i, FILE *mistakes)
{
	const struct partner_rule *p = &l->config->partners[i];
	char key[MC_SYSTEM_ID_MAX + 16];
	snprintf(key, sizeof key, "partners: %.*s", STR_ARG(p->mc_system_id));
	struct error e;
	if (tls_trust_load(p->trust_anchors.items, p->trust_anchors.n, p->crls.items, p->crls.n,
			   &l->partner_trusts[i], &e) != OK)
		return report(mistakes, l->config, p->line, key, &e);
	if (!p->host.ptr || !l->identity)
		return true;
	struct tls_party party = { p->certificate, l->partner_trusts[i], p };
	if (tls_client_new(l->identity, &party, &l->client_tls[i], &e) != OK)
		return report(mistakes, l->config, p->line, key, &e);
	return true;
}

static bool make_server_tls(struct live *l, FILE *mistakes)
{
	const struct config *c = l->config;
	size_t n = c->n_acmcs + c->n_partners;
	struct tls_party *parties = calloc(n + 1, sizeof *parties);
	struct error e = { ERR_MEMORY, "out of memory" };
	bool good = false;
	if (!parties)
		goto out;
	for (size_t i = 0; i < c->n_acmcs; i++) {
		l->principals[i] = (struct principal){ PRINCIPAL_ACMC, &c->acmcs[i], NULL };
		parties[i] = (struct tls_party){ c->acmcs[i].certificate, l->acmc_trust,
						 &l->principals[i] };
	}
	for (size_t i = 0; i < c->n_partners; i++) {
		struct principal *p = &l->principals[c->n_acmcs + i];
		*p = (struct principal){ PRINCIPAL_SYSTEM, NULL, &c->partners[i] };
		parties[c->n_acmcs + i] =
			(struct tls_party){ c->partners[i].certificate, l->partner_trusts[i], p };
	}
	good = tls_server_new(l->identity, parties, n, &l->server_tls, &e) == OK;
out:
	free(parties);
	return good || report(mistakes, c, c->tls_line, "tls", &e);
}

static bool load_all(struct live *l, FILE *mistakes)
{
	const struct config *c = l->config;
	struct error e = { ERR_MEMORY, "out of memory" };
	l->partner_trusts = calloc(c->n_partners + 1, sizeof *l->partner_trusts);
	l->client_tls = calloc(c->n_partners + 1, sizeof *l->client_tls);
	l->principals = calloc(c->n_acmcs + c->n_partners + 1, sizeof *l->principals);
	if (!l->partner_trusts || !l->client_tls || !l->principals)
		return report(mistakes, c, 1, "partners", &e);
	bool good = true;
	if (tls_identity_load(c->certificate.ptr, c->key.ptr, &l->identity, &e) != OK)
		good = report(mistakes, c, c->tls_line, "tls", &e);
	else
		good = can_certify(l, mistakes);
	if (l->identity)
		good &= check_uses(l, mistakes);
	good &= check_store(c, mistakes);
	good &= load_acmc_trust(l, mistakes);
	for (size_t i = 0; i < c->n_partners; i++)
		good &= load_partner(l, i, mistakes);
	return good && make_server_tls(l, mistakes);
}

struct live *live_load(const char *file, FILE *mistakes)
{
	struct live *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	l->config = config_load(file, mistakes);
	if (!l->config || !load_all(l, mistakes)) {
		live_free(l);
		return NULL;
	}
	return l;
}

void live_free(struct live *l)
{
	if (!l)
		return;
	for (size_t i = 0; l->config && i < l->config->n_partners; i++) {
		if (l->client_tls)
			tls_context_free(l->client_tls[i]);
		if (l->partner_trusts)
			tls_trust_free(l->partner_trusts[i]);
	}
	tls_context_free(l->server_tls);
	tls_trust_free(l->acmc_trust);
	tls_identity_free(l->identity);
	free(l->client_tls);
	free(l->partner_trusts);
	free(l->principals);
	config_free(l->config);
	free(l);
}

static void warn(const char *what, struct str whose, int64_t seconds, uint32_t days)
{
	if (seconds < 0)
		log_warning("%s of %s has expired: replace it and send SIGHUP", what, LOG_STR(whose));
	else if (seconds < (int64_t)days * 86400)
		log_warning("%s of %s expires in %lld days: replace it and send SIGHUP", what,
			    LOG_STR(whose), (long long)(seconds / 86400));
}

void live_warn_expiry(const struct live *l, int64_t now)
{
	const struct config *c = l->config;
	uint32_t days = c->expiry_warning_days;
	warn("the certificate", c->mc_system_id, tls_identity_expires_in(l->identity, now), days);
	if (l->acmc_trust)
		warn("a trust anchor or CRL", STR("acmcs"),
		     tls_trust_expires_in(l->acmc_trust, now), days);
	for (size_t i = 0; i < c->n_partners; i++)
		warn("a trust anchor or CRL", c->partners[i].mc_system_id,
		     tls_trust_expires_in(l->partner_trusts[i], now), days);
}
