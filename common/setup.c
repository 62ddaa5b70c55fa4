#include "common/setup.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/cbor.h"
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

/*
 * A check in progress. Every identity in the way is noted; the verdict's own cause is the noted one that comes first
 * in this order.
 */
static const enum cause order[] = {
	CAUSE_MISSING_ELEMENT,	     CAUSE_UNSUPPORTED_ELEMENT, CAUSE_TOO_MANY_IDENTITIES,
	CAUSE_INVALID_HOME_ACMC_ID,  CAUSE_INVALID_MC_ID,	CAUSE_INVALID_MC_SERVICE_ID,
	CAUSE_UNKNOWN_MC_SERVICE,    CAUSE_DUPLICATE_IDENTITY,
};
enum { ORDER = sizeof order / sizeof *order };

struct check {
	struct arena *arena;
	const struct setup *received;
	const struct limits *limits;
	struct identity_cause *noted;
	size_t n_noted;
	struct str domain; /* of the MC service ID before */
	bool spent;
};

/* Each MC ID is noted at most twice, and each MC service ID. */
static void note(struct check *c, struct str mc_id, struct str mc_service_id, enum cause cause)
{
	if (!c->noted)
		c->noted = arena_array(c->arena, 2 * (c->received->n_users + c->received->n_service_ids), sizeof *c->noted);
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

static bool expects_revisions(const struct setup *r)
{
	bool any = false;
	for (size_t i = 0; i < r->n_users && !any; i++)
		any = r->users[i].expected_revision > 0;
	return any;
}

/* What does not go with the operation; NULL: nothing. */
static const char *misplaced_element(const struct setup *r)
{
	switch ((int)r->operation) {
	case OPERATION_SETUP:
		return expects_revisions(r) ? "a setup takes no expected revisions" : NULL;
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
	const struct setup *r = c->received;
	if (r->n_targets == 0)
		return (struct verdict){ .cause = CAUSE_MISSING_ELEMENT,
					 .detail = "the MC system ID is missing" };
	if (r->n_users == 0)
		return (struct verdict){ .cause = CAUSE_MISSING_ELEMENT,
					 .detail = "the MC ID list is missing" };
	if (r->has_unknown_fields)
		return (struct verdict){ .cause = CAUSE_UNSUPPORTED_ELEMENT };
	if (misplaced_element(r))
		return (struct verdict){ .cause = CAUSE_UNSUPPORTED_ELEMENT,
					 .detail = misplaced_element(r) };
	if (r->n_users > c->limits->max_mc_ids || r->n_targets > c->limits->max_mc_system_ids ||
	    r->n_service_ids / c->limits->max_mc_service_ids_per_mc_id > r->n_users)
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
	if (!c->received->home_acmc_id.ptr ||
	    mc_service_id_canonical(c->arena, c->received->home_acmc_id, &out->home_acmc_id, &reason))
		return true;
	*v = (struct verdict){ .cause = CAUSE_INVALID_HOME_ACMC_ID, .detail = reason };
	return false;
}

int setup_compare_users(const void *a, const void *b)
{
	return str_cmp(((const struct setup_user *)a)->mc_id, ((const struct setup_user *)b)->mc_id);
}

/* Each by itself. */
static void check_user(struct check *c, const struct setup_user *u)
{
	if (!mc_id_valid(u->mc_id))
		note(c, u->mc_id, STR_NONE, CAUSE_INVALID_MC_ID);
	else if (c->received->operation == OPERATION_UPDATE && u->expected_revision == 0)
		note(c, u->mc_id, STR_NONE, CAUSE_MISSING_ELEMENT);
}

/* Sorts them into out->users. */
static bool check_users(struct check *c, struct setup *out)
{
	const struct setup *r = c->received;
	out->n_users = r->n_users;
	out->users = arena_array_raw(c->arena, r->n_users, sizeof *out->users);
	if (!out->users)
		return false;
	memcpy(out->users, r->users, r->n_users * sizeof *out->users);
	sort_items(out->users, out->n_users, sizeof *out->users, setup_compare_users);
	for (size_t i = 0; i < out->n_users; i++) {
		check_user(c, &out->users[i]);
		if (i > 0 && setup_compare_users(&out->users[i - 1], &out->users[i]) == 0)
			note(c, out->users[i].mc_id, STR_NONE, CAUSE_DUPLICATE_IDENTITY);
	}
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
		bsearch(&key, s->users, s->n_users, sizeof key, setup_compare_users);
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

int user_service_id_compare(const struct user_service_id *a, const struct user_service_id *b)
{
	int d = (a->service > b->service) - (a->service < b->service);
	return d ? d : str_cmp(a->mc_service_id, b->mc_service_id);
}

int setup_compare_ids(const void *a, const void *b)
{
	return user_service_id_compare(a, b);
}

/* In canonical form, sorted. One that is not good is noted, and has no service then. */
static void check_ids_of(struct check *c, struct setup_user *u, struct user_service_id *ids)
{
	for (size_t i = 0; i < u->n_service_ids; i++) {
		const struct user_service_id *given = &u->service_ids[i];
		enum cause cause = CAUSE_NO_CAUSE;
		ids[i].service = given->service;
		if (!canonical_id(c, given->mc_service_id, &ids[i].mc_service_id))
			cause = CAUSE_INVALID_MC_SERVICE_ID;
		else if (!mc_service_name((int)given->service))
			cause = CAUSE_UNKNOWN_MC_SERVICE;
		else if (i >= c->limits->max_mc_service_ids_per_mc_id)
			cause = CAUSE_TOO_MANY_IDENTITIES;
		if (cause == CAUSE_NO_CAUSE)
			continue;
		note(c, u->mc_id, given->mc_service_id, cause);
		ids[i].service = MC_SERVICE_NONE;
	}
	u->service_ids = ids;
	sort_items(ids, u->n_service_ids, sizeof *ids, setup_compare_ids);
}

/* Those of one user by service. */
static int compare_by_text(const void *a, const void *b)
{
	const struct user_service_id *x = a, *y = b;
	int d = str_cmp(x->mc_service_id, y->mc_service_id);
	return d ? d : (x > y) - (x < y);
}

/*
 * Sorts the good ones by MC service ID. Users in order mostly have the IDs of one service in order, too: those runs are
 * merged.
 */
static bool sort_by_text(struct arena *a, const struct user_service_id *ids, size_t n,
			 const struct user_service_id **sorted, size_t *n_sorted)
{
	size_t at = 0;
	for (int service = MC_SERVICE_MCPTT; service <= MC_SERVICE_MCDATA; service++)
		for (size_t i = 0; i < n; i++)
			if (ids[i].service == (enum mc_service)service)
				sorted[at++] = &ids[i];
	*n_sorted = at;
	return sort_runs(a, (const void **)sorted, at, compare_by_text);
}

/* Whose it is. */
static const struct setup_user *user_of(const struct setup *s, const struct user_service_id *id)
{
	size_t first = 0, end = s->n_users;
	while (end - first > 1) {
		size_t middle = first + (end - first) / 2;
		if (s->users[middle].service_ids <= id)
			first = middle;
		else
			end = middle;
	}
	return &s->users[first];
}

/* One MC service ID for two users, or twice for one user and service. */
static void note_duplicates(struct check *c, const struct setup *s, const struct user_service_id *const *sorted,
			    size_t n)
{
	for (size_t i = 1; i < n; i++) {
		const struct user_service_id *before = sorted[i - 1], *id = sorted[i];
		if (!str_eq(before->mc_service_id, id->mc_service_id))
			continue;
		const struct setup_user *u = user_of(s, id);
		if (user_of(s, before) != u || before->service == id->service)
			note(c, u->mc_id, id->mc_service_id, CAUSE_DUPLICATE_IDENTITY);
	}
}

static bool check_service_ids(struct check *c, struct setup *out)
{
	size_t n = c->received->n_service_ids, at = 0, n_sorted;
	struct user_service_id *ids = arena_array_raw(c->arena, n, sizeof *ids);
	const struct user_service_id **sorted = arena_array_raw(c->arena, n, sizeof *sorted);
	size_t *places = arena_array_raw(c->arena, n, sizeof *places);
	if (!ids || !sorted || !places)
		return false;
	for (size_t i = 0; i < out->n_users; i++) {
		check_ids_of(c, &out->users[i], &ids[at]);
		at += out->users[i].n_service_ids;
	}
	if (!sort_by_text(c->arena, ids, n, sorted, &n_sorted))
		return false;
	note_duplicates(c, out, sorted, n_sorted);
	for (size_t i = 0; i < n_sorted; i++)
		places[i] = (size_t)(sorted[i] - ids);
	out->n_service_ids = n;
	out->in_key_order = places;
	return true;
}

struct verdict setup_check(struct arena *a, const struct setup *received, const struct limits *limits,
			   struct setup *out)
{
	struct check c = { .arena = a, .received = received, .limits = limits };
	*out = setup_outline(received);
	out->targets = received->targets;
	out->n_targets = received->n_targets;
	struct verdict v = check_whole(&c);
	if (v.cause != CAUSE_NO_CAUSE || !check_home_acmc_id(&c, out, &v))
		return v;
	if (!check_users(&c, out) || !check_service_ids(&c, out))
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

struct setup setup_outline(const struct setup *setup)
{
	struct setup outline = *setup;
	outline.targets = NULL;
	outline.users = NULL;
	outline.in_key_order = NULL;
	outline.n_targets = outline.n_users = outline.n_service_ids = 0;
	return outline;
}

/* --- responses --- */

void setup_to_response(const struct setup *setup, struct str mc_system_id, enum origin origin,
		       const struct verdict *v, struct setup_response *out)
{
	*out = (struct setup_response){ .request_id = setup->request_id,
					.mc_system_id = mc_system_id,
					.result = v->cause == CAUSE_NO_CAUSE,
					.origin = origin,
					.cause = v->cause,
					.detail = str_of(v->detail),
					.identities = v->identities,
					.n_identities = v->n_identities };
}

/*
 * The most that a user takes in what is told of a request: the request itself, a revision, and a cause for each of its
 * identities, or its part of a receipt's content and claims; with best effort both.
 */
static size_t told_bytes(const struct setup_user *u, bool best_effort)
{
	size_t id = u->mc_id.len, request = id + 4 + sizeof(uint64_t), refused = id + 9;
	size_t receipt = id + 3 + sizeof(uint64_t) + 1 + CBOR_HEAD_MAX;
	for (size_t i = 0; i < u->n_service_ids; i++) {
		size_t service_id = u->service_ids[i].mc_service_id.len;
		request += service_id + 4;
		refused += id + service_id + 12;
		receipt += service_id + 4;
	}
	size_t most = best_effort ? refused + receipt : refused > receipt ? refused : receipt;
	return request + sizeof(uint64_t) + most;
}

struct verdict setup_answerable(const struct setup *setup, uint32_t max_frame_bytes)
{
	size_t n = 8192; /* certificates, signature, details */
	for (size_t i = 0; i < setup->n_targets; i++)
		n += setup->targets[i].len + 4;
	for (size_t i = 0; i < setup->n_users; i++)
		n += told_bytes(&setup->users[i], setup->best_effort);
	if (n <= max_frame_bytes)
		return (struct verdict){ .cause = CAUSE_NO_CAUSE };
	return (struct verdict){ .cause = CAUSE_TOO_MANY_IDENTITIES, .detail = "its response might not fit into a frame" };
}
