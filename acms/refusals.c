#include "acms/refusals.h"

#include <stdlib.h>
#include "common/text.h"

enum { MINUTE_MS = 60000 };

static bool is_party(const struct refusal_party *p, struct str home, struct str acmc)
{
	return str_eq(str_of(p->home), home) && str_eq(str_of(p->acmc), acmc) && !p->acmc == !acmc.ptr;
}

static char *copy_of(struct str s)
{
	return strndup(s.ptr, s.len);
}

static void free_party(struct refusal_party *p)
{
	if (!p)
		return;
	free(p->home);
	free(p->acmc);
	free(p);
}

struct refusal_party *refusals_party(struct refusals *r, struct str home, struct str acmc)
{
	for (struct refusal_party *p = r->first; p; p = p->next) {
		if (is_party(p, home, acmc))
			return p;
	}
	struct refusal_party *p = calloc(1, sizeof *p);
	if (p) {
		p->home = copy_of(home);
		p->acmc = acmc.ptr ? copy_of(acmc) : NULL;
	}
	if (!p || !p->home || (acmc.ptr && !p->acmc)) {
		free_party(p);
		return NULL;
	}
	p->next = r->first;
	r->first = p;
	return p;
}

void refusals_free(struct refusals *r)
{
	for (struct refusal_party *p = r->first, *next; p; p = next) {
		next = p->next;
		free_party(p);
	}
	r->first = NULL;
}

static bool minute_is_over(const struct refusal_party *p, uint64_t now_ms)
{
	return now_ms >= p->since_ms + MINUTE_MS;
}

struct refusal_claim refusal_claim_of(struct refusal_party *p, uint32_t per_minute, uint64_t now_ms)
{
	if (!p)
		return (struct refusal_claim){ .left = NULL };
	if (p->since_ms == 0 || minute_is_over(p, now_ms)) {
		p->since_ms = now_ms;
		atomic_store(&p->left, per_minute);
	}
	return (struct refusal_claim){ .left = &p->left };
}

void refusal_settle(struct refusal_party *p, const struct refusal_claim *claim, bool idle, struct str certificate,
		    enum cause cause)
{
	bool refused = cause != CAUSE_NO_CAUSE && cause != CAUSE_PARTLY_DONE;
	if (!p || idle == claim->granted)
		return;
	if (!idle) {
		atomic_fetch_add(&p->left, 1);
		return;
	}
	text_format(p->certificate, sizeof p->certificate, "%.*s", STR_ARG(certificate));
	if (refused)
		p->sum.cause = cause;
	p->sum.refused += refused;
	p->sum.unchanged += !refused;
}

void refusal_sum_again(struct refusal_party *p, const struct refusal_sum *sum)
{
	if (p->sum.refused == 0)
		p->sum.cause = sum->cause;
	p->sum.refused += sum->refused;
	p->sum.unchanged += sum->unchanged;
}

bool refusal_due(struct refusal_party *p, uint64_t now_ms, bool at_once, struct refusal_sum *out)
{
	if (p->sum.refused + p->sum.unchanged == 0 || (!at_once && !minute_is_over(p, now_ms)))
		return false;
	*out = p->sum;
	out->home = str_of(p->home);
	out->acmc = p->acmc ? str_of(p->acmc) : STR_NONE;
	out->certificate = str_of(p->certificate);
	p->sum = (struct refusal_sum){ .cause = CAUSE_NO_CAUSE };
	return true;
}
