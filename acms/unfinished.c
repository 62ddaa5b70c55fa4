#include "acms/unfinished.h"

#include <stdlib.h>
#include <string.h>

/* Beside the texts: of a request, of each identity, and of each target, whose answer comes into the same room. */
enum { REQUEST_BYTES = 512, IDENTITY_BYTES = 16, TARGET_BYTES = 1024 };

uint64_t unfinished_bytes(const struct setup *s, size_t n_targets)
{
	uint64_t n = REQUEST_BYTES + s->home_acmc_id.len + (uint64_t)n_targets * TARGET_BYTES;
	for (size_t i = 0; i < s->n_users; i++) {
		const struct setup_user *u = &s->users[i];
		n += IDENTITY_BYTES + u->mc_id.len;
		for (size_t j = 0; j < u->n_service_ids; j++)
			n += IDENTITY_BYTES + u->service_ids[j].mc_service_id.len;
	}
	return n;
}

struct unfinished_of *unfinished_of(struct unfinished *u, struct str acmc)
{
	for (struct unfinished_of *o = u->first; o; o = o->next) {
		if (str_eq((struct str){ o->acmc, o->acmc_len }, acmc))
			return o;
	}
	struct unfinished_of *o = calloc(1, sizeof *o + acmc.len);
	if (!o)
		return NULL;
	memcpy(o->acmc, acmc.ptr, acmc.len);
	o->acmc_len = acmc.len;
	o->next = u->first;
	u->first = o;
	return o;
}

const char *unfinished_excess(const struct unfinished *u, const struct unfinished_of *acmc, uint64_t bytes,
			      const struct unfinished_bounds *most)
{
	if (acmc->requests >= most->requests_per_acmc)
		return "too many requests of this ACMC are unfinished";
	if (acmc->requests > 0 && acmc->bytes + bytes > most->bytes_per_acmc)
		return "the unfinished requests of this ACMC take too much room";
	if (u->requests >= most->requests)
		return "too many requests are unfinished";
	if (acmc->requests > 0 && u->bytes + bytes > most->bytes)
		return "unfinished requests take too much room";
	return NULL;
}

void unfinished_add(struct unfinished *u, struct unfinished_of *acmc, uint64_t bytes)
{
	acmc->requests++;
	acmc->bytes += bytes;
	u->requests++;
	u->bytes += bytes;
}

void unfinished_remove(struct unfinished *u, struct unfinished_of *acmc, uint64_t bytes)
{
	if (!acmc)
		return;
	acmc->requests--;
	acmc->bytes -= bytes;
	u->requests--;
	u->bytes -= bytes;
}

void unfinished_free(struct unfinished *u)
{
	for (struct unfinished_of *o = u->first, *next; o; o = next) {
		next = o->next;
		free(o);
	}
	*u = (struct unfinished){ .first = NULL };
}
