#include "common/setup_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/sort.h"

const char *operation_name(int operation)
{
	switch (operation) {
	case OPERATION_SETUP: return "setup";
	case OPERATION_UPDATE: return "update";
	case OPERATION_REMOVE: return "remove";
	}
	return NULL;
}

bool validity_covers(struct validity v, uint64_t now_ms)
{
	return now_ms >= v.not_before_ms && (v.not_after_ms == 0 || now_ms < v.not_after_ms);
}

bool setup_request_needs_version_2(const struct setup_request *r)
{
	return r->operation != OPERATION_SETUP || r->n_revisions > 0 || r->has_validity ||
	       r->expires_ms || r->dry_run || r->best_effort || r->part || r->parts || r->grouped;
}

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
	struct str domain; /* of the MC service ID before */
	bool spent;
};

/* Each MC ID, entry and revision is noted at most once. */
static void note(struct check *c, struct str mc_id, struct str mc_service_id, enum cause cause)
{
	if (!c->noted)
		c->noted = arena_array(c->arena,
				       c->request->n_mc_ids + c->request->n_service_ids +
					       c->request->n_revisions,
				       sizeof *c->noted);
	if (!c->noted) {
		c->spent = true;
		return;
	}
	c->noted[c->n_noted++] = (struct identity_cause){ mc_id, mc_service_id, cause };
}

struct verdict setup_no_memory(const struct arena *a)
{
	if (arena_starved(a))
		return (struct verdict){ .cause = CAUSE_STORE_UNAVAILABLE, .detail = "out of memory" };
	return (struct verdict){ .cause = CAUSE_TOO_MANY_IDENTITIES };
}

static struct verdict verdict_of(const struct check *c)
{
	if (c->spent)
		return setup_no_memory(c->arena);
	for (size_t o = 0; o < ORDER; o++) {
		for (size_t i = 0; i < c->n_noted; i++) {
			if (c->noted[i].cause == order[o])
				return (struct verdict){ order[o], c->noted, c->n_noted, NULL };
		}
	}
	return (struct verdict){ .cause = CAUSE_NO_CAUSE };
}

/* What does not go with the operation; NULL: nothing. */
static const char *misplaced_element(const struct setup_request *r)
{
	switch (r->operation) {
	case OPERATION_SETUP:
		return r->n_revisions ? "a setup takes no expected revisions" : NULL;
	case OPERATION_UPDATE:
		return NULL;
	case OPERATION_REMOVE:
		if (r->n_service_ids)
			return "a remove takes no MC service IDs";
		return r->has_validity ? "a remove takes no validity" : NULL;
	}
	return "an operation that the receiver does not know";
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
	if (misplaced_element(r))
		return (struct verdict){ .cause = CAUSE_UNSUPPORTED_ELEMENT,
					 .detail = misplaced_element(r) };
	if (r->n_mc_ids > c->limits->max_mc_ids ||
	    r->n_mc_system_ids > c->limits->max_mc_system_ids ||
	    r->n_service_ids / c->limits->max_mc_service_ids_per_mc_id > r->n_mc_ids)
		return (struct verdict){ .cause = CAUSE_TOO_MANY_IDENTITIES };
	if (r->validity.not_after_ms && r->validity.not_after_ms <= r->validity.not_before_ms)
		return (struct verdict){ .cause = CAUSE_INVALID_VALIDITY,
					 .detail = "the validity ends before it begins" };
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

static bool is_user(const struct setup *s, size_t i, struct str mc_id)
{
	if (i >= s->n_users)
		return false;
	struct str own = s->users[i].mc_id;
	return own.len == mc_id.len && (own.ptr == mc_id.ptr || str_eq(own, mc_id));
}

size_t setup_find_user(const struct setup *s, struct str mc_id, size_t hint)
{
	if (is_user(s, hint, mc_id))
		return hint;
	if (is_user(s, hint + 1, mc_id))
		return hint + 1;
	struct setup_user key = { .mc_id = mc_id };
	const struct setup_user *found =
		bsearch(&key, s->users, s->n_users, sizeof key, compare_users);
	return found ? (size_t)(found - s->users) : s->n_users;
}

static bool canonical_id(struct check *c, struct str id, struct str *out)
{
	const char *reason = NULL;
	*out = id;
	if (mc_service_id_is_plain(id, &c->domain) || mc_service_id_canonical(c->arena, id, out, &reason))
		return true;
	c->spent |= !out->ptr;
	return false;
}

/* Pairs the entries that are in order; notes the others. */
static size_t pair_entries(struct check *c, const struct setup *s, struct paired *pairs)
{
	const struct setup_request *r = c->request;
	size_t n = 0, hint = 0;
	for (size_t i = 0; i < r->n_service_ids; i++) {
		const struct service_id_entry *e = &r->service_ids[i];
		struct paired *p = &pairs[n];
		p->user = setup_find_user(s, e->mc_id, hint);
		p->id.service = (enum mc_service)e->service;
		if (!canonical_id(c, e->mc_service_id, &p->id.mc_service_id)) {
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

int setup_compare_ids(const struct user_service_id *a, const struct user_service_id *b)
{
	int d = (a->service > b->service) - (a->service < b->service);
	return d ? d : str_cmp(a->mc_service_id, b->mc_service_id);
}

int setup_compare_by_user(const void *a, const void *b)
{
	const struct paired *x = a, *y = b;
	int d = (x->user > y->user) - (x->user < y->user);
	return d ? d : setup_compare_ids(&x->id, &y->id);
}

static int compare_by_id(const void *a, const void *b)
{
	const struct paired *x = a, *y = b;
	int d = str_cmp(x->id.mc_service_id, y->id.mc_service_id);
	if (d == 0)
		d = (x->user > y->user) - (x->user < y->user);
	return d ? d : setup_compare_ids(&x->id, &y->id);
}

/* Sorts by MC service ID. Users in order mostly have the IDs of one service in order, too: those runs are merged. */
static bool sort_by_id(struct arena *a, const struct paired *pairs, size_t n, const struct paired **by_id)
{
	size_t at = 0;
	for (int service = MC_SERVICE_MCPTT; service <= MC_SERVICE_MCDATA; service++)
		for (size_t i = 0; i < n; i++)
			if (pairs[i].id.service == (enum mc_service)service)
				by_id[at++] = &pairs[i];
	return sort_runs(a, (const void **)by_id, n, compare_by_id);
}

/* One MC service ID for two users, or twice for one user and service. */
static void note_duplicates(struct check *c, const struct setup *s, const struct paired *const *by_id,
			    size_t n)
{
	for (size_t i = 1; i < n; i++) {
		const struct paired *before = by_id[i - 1], *p = by_id[i];
		if (!str_eq(before->id.mc_service_id, p->id.mc_service_id))
			continue;
		if (before->user != p->user || before->id.service == p->id.service)
			note(c, s->users[p->user].mc_id, p->id.mc_service_id,
			     CAUSE_DUPLICATE_IDENTITY);
	}
}

/* Gives each user its MC service IDs. The pairs by user, and by ID. */
static bool hand_out(struct check *c, struct setup *out, const struct paired *pairs,
		     const struct paired *const *by_user, const struct paired *const *by_id, size_t n)
{
	struct user_service_id *ids = arena_array_raw(c->arena, n, sizeof *ids);
	size_t *places = arena_array_raw(c->arena, n, sizeof *places);
	size_t *in_key_order = arena_array_raw(c->arena, n, sizeof *in_key_order);
	if (!ids || !places || !in_key_order)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct setup_user *u = &out->users[by_user[i]->user];
		ids[i] = by_user[i]->id;
		places[by_user[i] - pairs] = i;
		if (u->n_service_ids++ == 0)
			u->service_ids = &ids[i];
		if (u->n_service_ids > c->limits->max_mc_service_ids_per_mc_id)
			note(c, u->mc_id, ids[i].mc_service_id, CAUSE_TOO_MANY_IDENTITIES);
	}
	for (size_t i = 0; i < n; i++)
		in_key_order[i] = places[by_id[i] - pairs];
	out->n_service_ids = n;
	out->in_key_order = in_key_order;
	return true;
}

static bool check_service_ids(struct check *c, struct setup *out)
{
	size_t n = c->request->n_service_ids;
	struct paired *pairs = arena_array_raw(c->arena, n, sizeof *pairs);
	const struct paired **by_id = arena_array_raw(c->arena, n, sizeof *by_id);
	const struct paired **by_user = arena_array_raw(c->arena, n, sizeof *by_user);
	if (!pairs || !by_id || !by_user)
		return false;
	n = pair_entries(c, out, pairs);
	if (!sort_by_id(c->arena, pairs, n, by_id))
		return false;
	note_duplicates(c, out, by_id, n);
	if (c->n_noted > 0)
		return true; /* refused anyway */
	for (size_t i = 0; i < n; i++)
		by_user[i] = &pairs[i];
	return sort_runs(c->arena, (const void **)by_user, n, setup_compare_by_user) &&
	       hand_out(c, out, pairs, by_user, by_id, n);
}

/* Gives each user its expected revision. 0 is none, and so not one that could be expected. */
static bool check_revisions(struct check *c, struct setup *out)
{
	const struct setup_request *r = c->request;
	bool *given = arena_array(c->arena, out->n_users, sizeof *given);
	size_t hint = 0;
	if (!given)
		return false;
	for (size_t i = 0; i < r->n_revisions; i++) {
		struct str mc_id = r->revisions[i].mc_id;
		size_t user = setup_find_user(out, mc_id, hint);
		if (user == out->n_users) {
			note(c, mc_id, STR_NONE, CAUSE_UNPAIRED_MC_SERVICE_ID);
			continue;
		}
		hint = user;
		if (given[user])
			note(c, mc_id, STR_NONE, CAUSE_DUPLICATE_IDENTITY);
		else if (r->revisions[i].revision == 0)
			note(c, mc_id, STR_NONE, CAUSE_MISSING_ELEMENT);
		else
			out->users[user].expected_revision = r->revisions[i].revision;
		given[user] = true;
	}
	for (size_t i = 0; r->operation == OPERATION_UPDATE && i < out->n_users; i++)
		if (!given[i])
			note(c, out->users[i].mc_id, STR_NONE, CAUSE_MISSING_ELEMENT);
	return true;
}

struct verdict setup_check(struct arena *a, const struct setup_request *request,
			   const struct limits *limits, struct setup *out)
{
	struct check c = { .arena = a, .request = request, .limits = limits };
	*out = (struct setup){ .request_id = request->request_id,
			       .targets = request->mc_system_ids,
			       .n_targets = request->n_mc_system_ids,
			       .operation = (enum operation)request->operation,
			       .has_validity = request->has_validity,
			       .validity = request->validity,
			       .expires_ms = request->expires_ms,
			       .dry_run = request->dry_run,
			       .best_effort = request->best_effort,
			       .part = request->part,
			       .parts = request->parts };
	struct verdict v = check_whole(&c);
	if (v.cause != CAUSE_NO_CAUSE || !check_home_acmc_id(&c, out, &v))
		return v;
	if (!check_users(&c, out) || !check_revisions(&c, out) || !check_service_ids(&c, out))
		c.spent = true;
	return verdict_of(&c);
}

/* --- times --- */

enum { TIME_SIZE = 72 };

/* UTC, of the proleptic Gregorian calendar, whose eras of 400 years have 146097 days. */
static const char *format_time(uint64_t ms, char out[TIME_SIZE])
{
	uint64_t s = ms / 1000, days = s / 86400 + 719468; /* from 0000-03-01 */
	uint64_t era = days / 146097, day = days % 146097;
	uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	uint64_t of_year = day - (365 * year + year / 4 - year / 100);
	uint64_t march = (5 * of_year + 2) / 153, month = march < 10 ? march + 3 : march - 9;
	snprintf(out, TIME_SIZE,
		 "%04" PRIu64 "-%02" PRIu64 "-%02" PRIu64 "T%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 "Z",
		 year + era * 400 + (month <= 2), month, of_year - (153 * march + 2) / 5 + 1,
		 s / 3600 % 24, s / 60 % 60, s % 60);
	return out;
}

enum cause setup_times_check(const struct setup *s, uint64_t now_ms, bool from_system, char *detail,
			     size_t size)
{
	char then[TIME_SIZE], now[TIME_SIZE];
	uint64_t not_after = s->validity.not_after_ms;
	if (from_system && s->expires_ms == 0) {
		snprintf(detail, size, "expires is left out; it is %s here", format_time(now_ms, now));
		return CAUSE_REQUEST_EXPIRED;
	}
	if (from_system && (s->expires_ms < now_ms || s->expires_ms - now_ms > EXPIRES_AHEAD_MAX_MS)) {
		snprintf(detail, size, "the request expires at %s, %s; it is %s here",
			 format_time(s->expires_ms, then),
			 s->expires_ms < now_ms ? "which has passed" : "more than 31 days ahead",
			 format_time(now_ms, now));
		return CAUSE_REQUEST_EXPIRED;
	}
	if (s->has_validity && not_after && not_after <= now_ms) {
		snprintf(detail, size, "the validity ends at %s, which has passed; it is %s here",
			 format_time(not_after, then), format_time(now_ms, now));
		return CAUSE_INVALID_VALIDITY;
	}
	return CAUSE_NO_CAUSE;
}

/* --- copies --- */

static bool copy_user(struct arena *a, const struct setup_user *from, struct user_service_id *ids,
		      struct setup_user *to)
{
	bool good = true;
	*to = *from;
	to->mc_id = arena_str(a, from->mc_id);
	to->service_ids = ids;
	good &= to->mc_id.ptr != NULL;
	for (size_t i = 0; i < from->n_service_ids; i++) {
		ids[i].service = from->service_ids[i].service;
		ids[i].mc_service_id = arena_str(a, from->service_ids[i].mc_service_id);
		good &= ids[i].mc_service_id.ptr != NULL;
	}
	return good;
}

bool setup_copy(struct arena *a, const struct setup *setup, struct setup *out)
{
	struct setup_user *users = arena_array(a, setup->n_users, sizeof *users);
	struct user_service_id *ids = arena_array(a, setup->n_service_ids, sizeof *ids);
	struct str *targets = arena_array(a, setup->n_targets, sizeof *targets);
	bool good = users && ids && targets;
	*out = *setup;
	out->users = users;
	out->targets = targets;
	out->in_key_order = NULL;
	out->home_acmc_id = arena_str(a, setup->home_acmc_id);
	good &= !setup->home_acmc_id.ptr || out->home_acmc_id.ptr;
	for (size_t i = 0; good && i < setup->n_users; i++) {
		good = copy_user(a, &setup->users[i], ids, &users[i]);
		ids += setup->users[i].n_service_ids;
	}
	for (size_t i = 0; good && i < setup->n_targets; i++) {
		targets[i] = arena_str(a, setup->targets[i]);
		good = targets[i].ptr != NULL;
	}
	return good;
}

/* --- messages --- */

bool setup_flatten(struct arena *a, const struct setup *s, bool with_service_ids, struct str **mc_ids,
		   struct service_id_entry **entries)
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

/* The users' expected revisions. */
static bool list_revisions(struct arena *a, const struct setup *s, struct setup_request *out)
{
	out->revisions = arena_array(a, s->n_users, sizeof *out->revisions);
	for (size_t i = 0; out->revisions && i < s->n_users; i++) {
		const struct setup_user *u = &s->users[i];
		if (u->expected_revision)
			out->revisions[out->n_revisions++] =
				(struct user_revision){ u->mc_id, u->expected_revision };
	}
	return out->revisions;
}

bool setup_to_request(struct arena *a, const struct setup *setup, struct str target,
		      struct setup_request *out)
{
	*out = (struct setup_request){ .request_id = setup->request_id,
				       .home_acmc_id = setup->home_acmc_id,
				       .n_mc_system_ids = 1,
				       .n_mc_ids = setup->n_users,
				       .n_service_ids = setup->n_service_ids,
				       .operation = setup->operation,
				       .has_validity = setup->has_validity,
				       .validity = setup->validity,
				       .expires_ms = setup->expires_ms,
				       .dry_run = setup->dry_run,
				       .best_effort = setup->best_effort,
				       .grouped = true };
	out->mc_system_ids = arena_alloc(a, sizeof *out->mc_system_ids);
	if (!out->mc_system_ids)
		return false;
	out->mc_system_ids[0] = target;
	return list_revisions(a, setup, out) &&
	       setup_flatten(a, setup, true, &out->mc_ids, &out->service_ids);
}
