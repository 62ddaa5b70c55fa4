#include "common/setup.h"

#include <stdlib.h>

/*
 * A check in progress. Every identity in the way is noted; the verdict's own cause is the noted one that comes first
 * in this order.
 */
static const enum cause order[] = {
	CAUSE_MISSING_ELEMENT,	     CAUSE_UNSUPPORTED_ELEMENT, CAUSE_TOO_MANY_IDENTITIES,
	CAUSE_INVALID_HOME_ACMC_ID,  CAUSE_INVALID_MC_ID,	CAUSE_INVALID_MC_SERVICE_ID,
	CAUSE_UNKNOWN_MC_SERVICE,    CAUSE_DUPLICATE_IDENTITY,	CAUSE_UNPAIRED_MC_SERVICE_ID,
};
enum { ORDER = sizeof order / sizeof *order };

struct check {
	struct arena *arena;
	const struct setup_request *request;
	const struct limits *limits;
	struct identity_cause *noted;
	size_t n_noted;
	bool spent;
};

/* Each MC ID and each entry is noted at most once. */
static void note(struct check *c, struct str mc_id, struct str mc_service_id, enum cause cause)
{
	if (!c->noted)
		c->noted = arena_array(c->arena,
				       c->request->n_mc_ids + c->request->n_service_ids,
				       sizeof *c->noted);
	if (!c->noted) {
		c->spent = true;
		return;
	}
	c->noted[c->n_noted++] = (struct identity_cause){ mc_id, mc_service_id, cause };
}

static struct verdict verdict_of(const struct check *c)
{
	if (c->spent)
		return (struct verdict){ .cause = CAUSE_TOO_MANY_IDENTITIES };
	for (size_t o = 0; o < ORDER; o++) {
		for (size_t i = 0; i < c->n_noted; i++) {
			if (c->noted[i].cause == order[o])
				return (struct verdict){ order[o], c->noted, c->n_noted, NULL };
		}
	}
	return (struct verdict){ .cause = CAUSE_NO_CAUSE };
}

/* What concerns the request as a whole. */
static struct verdict check_whole(struct check *c)
{
	const struct setup_request *r = c->request;
	if (r->n_mc_system_ids == 0)
		return (struct verdict){ .cause = CAUSE_MISSING_ELEMENT,
					 .detail = "the MC system ID is missing" };
	if (r->n_mc_ids == 0)
		return (struct verdict){ .cause = CAUSE_MISSING_ELEMENT,
					 .detail = "the MC ID list is missing" };
	if (r->has_unknown_fields)
		return (struct verdict){ .cause = CAUSE_UNSUPPORTED_ELEMENT };
	if (r->n_mc_ids > c->limits->max_mc_ids ||
	    r->n_mc_system_ids > c->limits->max_mc_system_ids ||
	    r->n_service_ids / c->limits->max_mc_service_ids_per_mc_id > r->n_mc_ids)
		return (struct verdict){ .cause = CAUSE_TOO_MANY_IDENTITIES };
	return (struct verdict){ .cause = CAUSE_NO_CAUSE };
}

static bool check_home_acmc_id(struct check *c, struct setup *out, struct verdict *v)
{
	const char *reason = NULL;
	out->home_acmc_id = STR_NONE;
	if (!c->request->home_acmc_id.ptr ||
	    mc_service_id_canonical(c->arena, c->request->home_acmc_id, &out->home_acmc_id, &reason))
		return true;
	*v = (struct verdict){ .cause = CAUSE_INVALID_HOME_ACMC_ID, .detail = reason };
	return false;
}

static int compare_users(const void *a, const void *b)
{
	return str_cmp(((const struct setup_user *)a)->mc_id, ((const struct setup_user *)b)->mc_id);
}

/* Sorts the valid MC IDs into out->users. */
static bool check_users(struct check *c, struct setup *out)
{
	const struct setup_request *r = c->request;
	bool sorted = true;
	out->users = arena_array(c->arena, r->n_mc_ids, sizeof *out->users);
	if (!out->users)
		return false;
	for (size_t i = 0; i < r->n_mc_ids; i++) {
		if (!mc_id_valid(r->mc_ids[i])) {
			note(c, r->mc_ids[i], STR_NONE, CAUSE_INVALID_MC_ID);
			continue;
		}
		size_t n = out->n_users++;
		out->users[n].mc_id = r->mc_ids[i];
		sorted &= n == 0 || compare_users(&out->users[n - 1], &out->users[n]) < 0;
	}
	if (sorted)
		return true;
	qsort(out->users, out->n_users, sizeof *out->users, compare_users);
	size_t kept = out->n_users ? 1 : 0;
	for (size_t i = 1; i < out->n_users; i++) {
		if (str_eq(out->users[kept - 1].mc_id, out->users[i].mc_id))
			note(c, out->users[i].mc_id, STR_NONE, CAUSE_DUPLICATE_IDENTITY);
		else
			out->users[kept++] = out->users[i];
	}
	out->n_users = kept;
	return true;
}

/* An entry of the MC service ID list, paired. */
struct paired {
	size_t user; /* in setup.users */
	struct user_service_id id;
};

/* Its place in users, n if it is not there. hint: where it probably is. */
static size_t find_user(const struct setup *s, struct str mc_id, size_t hint)
{
	if (hint < s->n_users && str_eq(s->users[hint].mc_id, mc_id))
		return hint;
	if (hint + 1 < s->n_users && str_eq(s->users[hint + 1].mc_id, mc_id))
		return hint + 1;
	struct setup_user key = { .mc_id = mc_id };
	const struct setup_user *found =
		bsearch(&key, s->users, s->n_users, sizeof key, compare_users);
	return found ? (size_t)(found - s->users) : s->n_users;
}

/* Pairs the entries that are in order; notes the others. */
static size_t pair_entries(struct check *c, const struct setup *s, struct paired *pairs)
{
	const struct setup_request *r = c->request;
	size_t n = 0, hint = 0;
	for (size_t i = 0; i < r->n_service_ids; i++) {
		const struct service_id_entry *e = &r->service_ids[i];
		struct paired *p = &pairs[n];
		const char *reason = NULL;
		p->user = find_user(s, e->mc_id, hint);
		p->id.service = (enum mc_service)e->service;
		p->id.mc_service_id = e->mc_service_id;
		if (!mc_service_id_canonical(c->arena, e->mc_service_id, &p->id.mc_service_id, &reason)) {
			c->spent |= !p->id.mc_service_id.ptr;
			note(c, e->mc_id, e->mc_service_id, CAUSE_INVALID_MC_SERVICE_ID);
		} else if (!mc_service_name(e->service)) {
			note(c, e->mc_id, e->mc_service_id, CAUSE_UNKNOWN_MC_SERVICE);
		} else if (p->user < s->n_users) {
			hint = p->user;
			n++;
		} else {
			note(c, e->mc_id, e->mc_service_id, CAUSE_UNPAIRED_MC_SERVICE_ID);
		}
	}
	return n;
}

static int compare_ids(const struct user_service_id *a, const struct user_service_id *b)
{
	int d = (a->service > b->service) - (a->service < b->service);
	return d ? d : str_cmp(a->mc_service_id, b->mc_service_id);
}

static int compare_by_user(const void *a, const void *b)
{
	const struct paired *x = a, *y = b;
	int d = (x->user > y->user) - (x->user < y->user);
	return d ? d : compare_ids(&x->id, &y->id);
}

static int compare_by_id(const void *a, const void *b)
{
	const struct paired *x = a, *y = b;
	int d = str_cmp(x->id.mc_service_id, y->id.mc_service_id);
	if (d == 0)
		d = (x->user > y->user) - (x->user < y->user);
	return d ? d : compare_ids(&x->id, &y->id);
}

/* One MC service ID for two users, or twice for one user and service. */
static void note_duplicates(struct check *c, const struct setup *s, const struct paired *by_id,
			    size_t n)
{
	for (size_t i = 1; i < n; i++) {
		const struct paired *before = &by_id[i - 1], *p = &by_id[i];
		if (!str_eq(before->id.mc_service_id, p->id.mc_service_id))
			continue;
		if (before->user != p->user || before->id.service == p->id.service)
			note(c, s->users[p->user].mc_id, p->id.mc_service_id,
			     CAUSE_DUPLICATE_IDENTITY);
	}
}

/* Gives each user its MC service IDs; pairs are sorted by user. */
static bool hand_out(struct check *c, struct setup *out, const struct paired *pairs, size_t n)
{
	struct user_service_id *ids = arena_array(c->arena, n, sizeof *ids);
	if (!ids)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct setup_user *u = &out->users[pairs[i].user];
		ids[i] = pairs[i].id;
		if (u->n_service_ids++ == 0)
			u->service_ids = &ids[i];
		if (u->n_service_ids > c->limits->max_mc_service_ids_per_mc_id)
			note(c, u->mc_id, ids[i].mc_service_id, CAUSE_TOO_MANY_IDENTITIES);
	}
	out->n_service_ids = n;
	return true;
}

static bool check_service_ids(struct check *c, struct setup *out)
{
	size_t n = c->request->n_service_ids;
	struct paired *pairs = arena_array(c->arena, n, sizeof *pairs);
	struct paired *by_id = arena_array(c->arena, n, sizeof *by_id);
	if (!pairs || !by_id)
		return false;
	n = pair_entries(c, out, pairs);
	memcpy(by_id, pairs, n * sizeof *pairs);
	qsort(by_id, n, sizeof *by_id, compare_by_id);
	note_duplicates(c, out, by_id, n);
	if (c->n_noted > 0)
		return true; /* refused anyway */
	qsort(pairs, n, sizeof *pairs, compare_by_user);
	return hand_out(c, out, pairs, n);
}

struct verdict setup_check(struct arena *a, const struct setup_request *request,
			   const struct limits *limits, struct setup *out)
{
	struct check c = { .arena = a, .request = request, .limits = limits };
	*out = (struct setup){ .request_id = request->request_id,
			       .targets = request->mc_system_ids,
			       .n_targets = request->n_mc_system_ids };
	struct verdict v = check_whole(&c);
	if (v.cause != CAUSE_NO_CAUSE || !check_home_acmc_id(&c, out, &v))
		return v;
	if (!check_users(&c, out) || !check_service_ids(&c, out))
		c.spent = true;
	return verdict_of(&c);
}

/* --- content --- */

static uint8_t *put_length(uint8_t *p, size_t n)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		*p++ = (uint8_t)(n >> shift);
	return p;
}

static uint8_t *put_str(uint8_t *p, struct str s)
{
	p = put_length(p, s.len);
	if (s.len)
		memcpy(p, s.ptr, s.len);
	return p + s.len;
}

static size_t content_size(const struct setup *s)
{
	size_t n = 1 + 4 + s->home_acmc_id.len + 4;
	for (size_t i = 0; i < s->n_users; i++) {
		n += 4 + s->users[i].mc_id.len + 4;
		for (size_t j = 0; j < s->users[i].n_service_ids; j++)
			n += 1 + 4 + s->users[i].service_ids[j].mc_service_id.len;
	}
	return n;
}

struct str setup_content(struct arena *a, const struct setup *s)
{
	size_t size = content_size(s);
	uint8_t *start = arena_alloc(a, size), *p = start;
	if (!p)
		return STR_NONE;
	*p++ = 1; /* setup; other operations get other numbers */
	p = put_str(p, s->home_acmc_id);
	p = put_length(p, s->n_users);
	for (size_t i = 0; i < s->n_users; i++) {
		const struct setup_user *u = &s->users[i];
		p = put_str(p, u->mc_id);
		p = put_length(p, u->n_service_ids);
		for (size_t j = 0; j < u->n_service_ids; j++) {
			*p++ = (uint8_t)u->service_ids[j].service;
			p = put_str(p, u->service_ids[j].mc_service_id);
		}
	}
	return (struct str){ (const char *)start, size };
}

/* --- messages --- */

/* The lists of a well-formed setup, flat again. */
static bool flatten(struct arena *a, const struct setup *s, bool with_service_ids,
		    struct str **mc_ids, struct service_id_entry **entries)
{
	*mc_ids = arena_array(a, s->n_users, sizeof **mc_ids);
	*entries = arena_array(a, with_service_ids ? s->n_service_ids : 0, sizeof **entries);
	if (!*mc_ids || !*entries)
		return false;
	struct service_id_entry *e = *entries;
	for (size_t i = 0; i < s->n_users; i++) {
		const struct setup_user *u = &s->users[i];
		(*mc_ids)[i] = u->mc_id;
		for (size_t j = 0; with_service_ids && j < u->n_service_ids; j++)
			*e++ = (struct service_id_entry){ u->mc_id, (int)u->service_ids[j].service,
							  u->service_ids[j].mc_service_id };
	}
	return true;
}

bool setup_to_request(struct arena *a, const struct setup *setup, struct str target,
		      struct setup_request *out)
{
	*out = (struct setup_request){ .request_id = setup->request_id,
				       .home_acmc_id = setup->home_acmc_id,
				       .n_mc_system_ids = 1,
				       .n_mc_ids = setup->n_users,
				       .n_service_ids = setup->n_service_ids };
	out->mc_system_ids = arena_alloc(a, sizeof *out->mc_system_ids);
	if (!out->mc_system_ids)
		return false;
	out->mc_system_ids[0] = target;
	return flatten(a, setup, true, &out->mc_ids, &out->service_ids);
}

static void fill_verdict(struct setup_response *out, const struct verdict *v)
{
	out->result = v->cause == CAUSE_NO_CAUSE;
	out->cause = v->cause;
	out->identities = v->identities;
	out->n_identities = v->n_identities;
	out->detail = str_of(v->detail);
}

bool setup_to_response(struct arena *a, const struct setup *setup, struct str mc_system_id,
		       enum origin origin, const struct verdict *verdict,
		       struct setup_response *out)
{
	*out = (struct setup_response){ .request_id = setup->request_id,
					.mc_system_id = mc_system_id,
					.origin = origin,
					.n_mc_ids = setup->n_users };
	fill_verdict(out, verdict);
	out->n_service_ids = out->result ? setup->n_service_ids : 0;
	return flatten(a, setup, out->result, &out->mc_ids, &out->service_ids);
}

void setup_refuse(const struct setup_request *request, struct str mc_system_id, enum origin origin,
		  const struct verdict *verdict, struct setup_response *out)
{
	*out = (struct setup_response){ .request_id = request->request_id,
					.mc_system_id = mc_system_id,
					.origin = origin };
	fill_verdict(out, verdict);
}

/* --- responses of others --- */

static int compare_strs(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* The response's MC IDs are the setup's, in any order. */
static bool same_users(const struct setup *setup, const struct setup_response *r)
{
	bool in_order = true, same = true;
	if (r->n_mc_ids != setup->n_users)
		return false;
	for (size_t i = 0; i < r->n_mc_ids && in_order; i++)
		in_order = str_eq(r->mc_ids[i], setup->users[i].mc_id);
	if (in_order)
		return true;
	struct str *sorted = malloc(r->n_mc_ids * sizeof *sorted);
	if (!sorted)
		return false;
	memcpy(sorted, r->mc_ids, r->n_mc_ids * sizeof *sorted);
	qsort(sorted, r->n_mc_ids, sizeof *sorted, compare_strs);
	for (size_t i = 0; i < r->n_mc_ids && same; i++)
		same = str_eq(sorted[i], setup->users[i].mc_id);
	free(sorted);
	return same;
}

/* The setup's own MC service IDs, flat and in order, are these pairs. */
static bool same_pairs(const struct setup *s, const struct paired *pairs)
{
	for (size_t i = 0; i < s->n_users; i++) {
		for (size_t j = 0; j < s->users[i].n_service_ids; j++, pairs++) {
			if (pairs->user != i ||
			    compare_ids(&pairs->id, &s->users[i].service_ids[j]) != 0)
				return false;
		}
	}
	return true;
}

static bool same_service_ids(const struct setup *setup, const struct setup_response *r)
{
	size_t hint = 0, n = r->n_service_ids;
	if (n == 0)
		return true; /* O: may be left out */
	if (n != setup->n_service_ids)
		return false;
	struct paired *pairs = malloc(n * sizeof *pairs);
	if (!pairs)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct service_id_entry *e = &r->service_ids[i];
		hint = find_user(setup, e->mc_id, hint);
		pairs[i].user = hint;
		pairs[i].id.service = (enum mc_service)e->service;
		pairs[i].id.mc_service_id = e->mc_service_id;
	}
	qsort(pairs, n, sizeof *pairs, compare_by_user);
	bool same = same_pairs(setup, pairs);
	free(pairs);
	return same;
}

enum { LAST_CLASS_OF_PARTNER = 5, LAST_CLASS_OF_HOME = 6 };

/* A number that this version does not know is good if its class is. */
static bool class_fits(enum cause cause, int last)
{
	int class = (int)cause / 100;
	return class >= 1 && class <= last;
}

static bool causes_fit(const struct setup *setup, const struct setup_response *r)
{
	size_t hint = 0;
	if (r->result)
		return r->n_identities == 0;
	for (size_t i = 0; i < r->n_identities; i++) {
		if (!class_fits(r->identities[i].cause, LAST_CLASS_OF_PARTNER))
			return false;
		hint = find_user(setup, r->identities[i].mc_id, hint);
		if (hint == setup->n_users)
			return false;
	}
	return true;
}

/* What holds whoever made it. */
static const char *content_fault(const struct setup *setup, const struct setup_response *r,
				 int last_class, bool needs_mc_ids)
{
	if (r->result != (r->cause == CAUSE_NO_CAUSE))
		return "a response whose result does not fit its cause";
	if (!r->result && !class_fits(r->cause, last_class))
		return "a response with a cause that its maker does not use";
	if ((needs_mc_ids || r->n_mc_ids > 0) && !same_users(setup, r))
		return "a response with other MC IDs than the request";
	if (!same_service_ids(setup, r))
		return "a response with other MC service IDs than the request";
	if (!causes_fit(setup, r))
		return "a response whose causes do not fit the request";
	return NULL;
}

static bool not_well_formed(enum cause cause)
{
	return (int)cause / 100 == 2;
}

const char *setup_response_fault(const struct setup *setup, struct str partner,
				 const struct setup_response *r)
{
	if (!str_eq(r->mc_system_id, partner))
		return "a response with another MC system ID";
	if (r->origin != ORIGIN_PARTNER_ACMS)
		return "a response whose origin is not the partner ACMS";
	return content_fault(setup, r, LAST_CLASS_OF_PARTNER, !not_well_formed(r->cause));
}

const char *setup_home_response_fault(const struct setup *setup, bool whole,
				      const struct setup_response *r)
{
	bool by_home = r->origin == ORIGIN_HOME_ACMS;
	if (!by_home && r->origin != ORIGIN_PARTNER_ACMS)
		return "a response without an origin";
	if (by_home && r->result)
		return "a response with TRUE that no partner made";
	return content_fault(setup, r, by_home && !whole ? LAST_CLASS_OF_HOME : LAST_CLASS_OF_PARTNER,
			     !whole && !not_well_formed(r->cause));
}
