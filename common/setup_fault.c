#include "common/setup_internal.h"

#include <stdlib.h>
#include "common/receipt.h"
#include "common/text.h"

/* Whether what others answer can be an answer. */

static int compare_strs(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

const char setup_fault_memory[] = "a response that there is not enough memory to check";

/* The response's MC IDs are the setup's, in any order. */
static const char *users_differ(const struct setup *setup, const struct setup_response *r)
{
	static const char differ[] = "a response with other MC IDs than the request";
	bool in_order = true, same = true;
	if (r->n_mc_ids != setup->n_users)
		return differ;
	for (size_t i = 0; i < r->n_mc_ids && in_order; i++)
		in_order = str_eq(r->mc_ids[i], setup->users[i].mc_id);
	if (in_order)
		return NULL;
	struct str *sorted = malloc(r->n_mc_ids * sizeof *sorted);
	if (!sorted)
		return setup_fault_memory;
	memcpy(sorted, r->mc_ids, r->n_mc_ids * sizeof *sorted);
	qsort(sorted, r->n_mc_ids, sizeof *sorted, compare_strs);
	for (size_t i = 0; i < r->n_mc_ids && same; i++)
		same = str_eq(sorted[i], setup->users[i].mc_id);
	free(sorted);
	return same ? NULL : differ;
}

/* The response's MC service IDs are the setup's, in its order: so an acms lists them. As many as there are. */
static bool listed_in_order(const struct setup *s, const struct service_id_entry *e)
{
	for (size_t i = 0; i < s->n_users; i++) {
		const struct setup_user *u = &s->users[i];
		for (size_t j = 0; j < u->n_service_ids; j++, e++) {
			if (e->service != (int)u->service_ids[j].service ||
			    !str_eq(e->mc_service_id, u->service_ids[j].mc_service_id) ||
			    !str_eq(e->mc_id, u->mc_id))
				return false;
		}
	}
	return true;
}

/* The setup's own MC service IDs, flat and in order, are these pairs. */
static bool same_pairs(const struct setup *s, const struct paired *pairs)
{
	for (size_t i = 0; i < s->n_users; i++) {
		for (size_t j = 0; j < s->users[i].n_service_ids; j++, pairs++) {
			if (pairs->user != i ||
			    setup_compare_ids(&pairs->id, &s->users[i].service_ids[j]) != 0)
				return false;
		}
	}
	return true;
}

static const char *service_ids_differ(const struct setup *setup, const struct setup_response *r)
{
	static const char differ[] = "a response with other MC service IDs than the request";
	size_t hint = 0, n = r->n_service_ids;
	if (n == 0)
		return NULL; /* O: may be left out */
	if (n != setup->n_service_ids)
		return differ;
	if (listed_in_order(setup, r->service_ids))
		return NULL;
	struct paired *pairs = malloc(n * sizeof *pairs);
	if (!pairs)
		return setup_fault_memory;
	for (size_t i = 0; i < n; i++) {
		const struct service_id_entry *e = &r->service_ids[i];
		hint = setup_find_user(setup, e->mc_id, hint);
		pairs[i].user = hint;
		pairs[i].id.service = (enum mc_service)e->service;
		pairs[i].id.mc_service_id = e->mc_service_id;
	}
	qsort(pairs, n, sizeof *pairs, setup_compare_by_user);
	bool same = same_pairs(setup, pairs);
	free(pairs);
	return same ? NULL : differ;
}

enum { LAST_CLASS_OF_PARTNER = 5, LAST_CLASS_OF_HOME = 6 };

/* A number that this version does not know is good if its class is. */
static bool class_fits(enum cause cause, int last)
{
	int class = (int)cause / 100;
	return class >= 1 && class <= last;
}

/* What a response says about each user. */
enum { NAMED = 1 /* with a cause */, REVISED = 2 /* with a revision */ };

/* Targets (3xx) and what may be had later (5xx) concern the request as a whole, and so do two of the store. */
static bool concerns_identity(enum cause cause)
{
	int class = (int)cause / 100;
	return (class == 1 || class == 2 || class == 4) && cause != CAUSE_PARTLY_DONE && cause != CAUSE_UNKNOWN_REQUEST;
}

/* The MC ID by itself, or with one of the MC service IDs that the request has for it. */
static bool names_identity(const struct setup_user *u, const struct identity_cause *c)
{
	bool found = !c->mc_service_id.ptr;
	for (size_t i = 0; i < u->n_service_ids && !found; i++)
		found = str_eq(u->service_ids[i].mc_service_id, c->mc_service_id);
	return found;
}

static int compare_identities(const void *a, const void *b)
{
	const struct identity_cause *x = *(const struct identity_cause *const *)a;
	const struct identity_cause *y = *(const struct identity_cause *const *)b;
	int order = str_cmp(x->mc_id, y->mc_id);
	if (order != 0)
		return order;
	if (!x->mc_service_id.ptr || !y->mc_service_id.ptr)
		return (x->mc_service_id.ptr != NULL) - (y->mc_service_id.ptr != NULL);
	return str_cmp(x->mc_service_id, y->mc_service_id);
}

static const char *named_twice(const struct setup_response *r)
{
	const struct identity_cause **sorted = malloc((r->n_identities + 1) * sizeof *sorted);
	bool once = true;
	if (!sorted)
		return setup_fault_memory;
	for (size_t i = 0; i < r->n_identities; i++)
		sorted[i] = &r->identities[i];
	qsort(sorted, r->n_identities, sizeof *sorted, compare_identities);
	for (size_t i = 1; once && i < r->n_identities; i++)
		once = compare_identities(&sorted[i - 1], &sorted[i]) != 0;
	free(sorted);
	return once ? NULL : "a response with several causes for one identity";
}

static bool causes_fit(const struct setup *setup, const struct setup_response *r, uint8_t *marks)
{
	size_t hint = 0;
	if (r->result)
		return r->n_identities == 0;
	for (size_t i = 0; i < r->n_identities; i++) {
		const struct identity_cause *c = &r->identities[i];
		hint = setup_find_user(setup, c->mc_id, hint);
		if (hint == setup->n_users || !concerns_identity(c->cause) || !names_identity(&setup->users[hint], c))
			return false;
		marks[hint] |= NAMED;
	}
	return true;
}

/* One for each of the request's users, or none; and then somebody has one. */
static bool each_revision_fits(const struct setup *setup, const struct setup_response *r, uint8_t *marks)
{
	bool any = false;
	if (r->n_of_each != setup->n_users)
		return r->n_of_each == 0;
	for (size_t i = 0; i < r->n_of_each; i++) {
		if (r->revision_of_each[i])
			marks[i] |= REVISED;
		any |= r->revision_of_each[i] > 0;
	}
	return any;
}

/* At most one for each of the request's users. */
static bool revisions_fit(const struct setup *setup, const struct setup_response *r, uint8_t *marks)
{
	size_t hint = 0;
	if (r->as_requested)
		return each_revision_fits(setup, r, marks);
	for (size_t i = 0; i < r->n_revisions; i++) {
		hint = setup_find_user(setup, r->revisions[i].mc_id, hint);
		if (hint == setup->n_users || marks[hint] & REVISED || r->revisions[i].revision == 0)
			return false;
		marks[hint] |= REVISED;
	}
	return true;
}

static size_t count_marked(const struct setup *setup, const uint8_t *marks, int mark)
{
	size_t n = 0;
	for (size_t i = 0; i < setup->n_users; i++)
		n += marks[i] & mark ? 1 : 0;
	return n;
}

/* How many users it gives a revision of, if it fits. */
static size_t count_revisions(const struct setup_response *r)
{
	size_t n = r->n_revisions;
	for (size_t i = 0; i < r->n_of_each; i++)
		n += r->revision_of_each[i] > 0;
	return n;
}

/* Some users were done and the others are named; those done have a revision, unless they were removed. */
static bool partly_done_fits(const struct setup *setup, const uint8_t *marks)
{
	size_t named = count_marked(setup, marks, NAMED), revised = count_marked(setup, marks, REVISED);
	if (!setup->best_effort || named == 0 || named == setup->n_users)
		return false;
	for (size_t i = 0; setup->operation != OPERATION_REMOVE && i < setup->n_users; i++) {
		if (marks[i] == (NAMED | REVISED) || (revised > 0 && marks[i] == 0))
			return false;
	}
	return true;
}

static const char *marks_fault(const struct setup *setup, const struct setup_response *r,
			       uint8_t *marks)
{
	if (!causes_fit(setup, r, marks))
		return "a response whose causes do not fit the request";
	if (!revisions_fit(setup, r, marks) ||
	    (r->result && setup->operation == OPERATION_REMOVE && count_revisions(r) > 0))
		return "a response whose revisions do not fit the request";
	if (r->cause == CAUSE_PARTLY_DONE && !partly_done_fits(setup, marks))
		return "a response PARTLY_DONE that does not fit the request";
	return r->n_identities > 1 ? named_twice(r) : NULL;
}

/* What is said about single users. */
static const char *users_fault(const struct setup *setup, const struct setup_response *r)
{
	uint8_t *marks = calloc(setup->n_users, 1);
	const char *fault = setup_fault_memory;
	if (marks)
		fault = marks_fault(setup, r, marks);
	free(marks);
	return fault;
}

/* The lists are the request's, or said to be. */
static const char *lists_fault(const struct setup *setup, const struct setup_response *r, bool needs_mc_ids)
{
	if (r->as_requested && (r->n_mc_ids || r->n_service_ids || r->n_revisions))
		return "a response with lists that it says to leave out";
	if (r->as_requested)
		return NULL;
	if (r->n_of_each > 0)
		return "a response with revisions and no telling whose they are";
	const char *fault = needs_mc_ids || r->n_mc_ids > 0 ? users_differ(setup, r) : NULL;
	if (fault)
		return fault;
	if (!r->result && r->n_service_ids > 0)
		return "a response with MC service IDs where nothing was set up";
	return service_ids_differ(setup, r);
}

/* What holds whoever made it. */
static const char *content_fault(const struct setup *setup, const struct setup_response *r,
				 int last_class, bool needs_mc_ids)
{
	if (r->result != (r->cause == CAUSE_NO_CAUSE))
		return "a response whose result does not fit its cause";
	if (!r->result && !class_fits(r->cause, last_class))
		return "a response with a cause that its maker does not use";
	const char *fault = lists_fault(setup, r, needs_mc_ids);
	return fault ? fault : users_fault(setup, r);
}

static bool not_well_formed(enum cause cause)
{
	return (int)cause / 100 == 2;
}

static bool was_done(const struct setup *setup, const struct setup_response *r)
{
	return (r->result || r->cause == CAUSE_PARTLY_DONE) && !setup->dry_run;
}

/* Whether an answer has to say which revision each user that was done has now. */
static bool needs_revisions(const struct setup *setup, const struct setup_response *r)
{
	return was_done(setup, r) && setup->operation != OPERATION_REMOVE;
}

/* What cannot be kept, or shown: it goes into records, receipts and the audit log. */
static bool decided_by_somebody(const struct decided_by *d)
{
	return d->acmc.len > 0 && d->acmc.len <= RECEIPT_DECIDED_BY_MAX && text_valid(d->acmc) && !text_has_control(d->acmc);
}

/* What depends on the version that the partner speaks. */
static const char *version_fault(const struct setup *setup, uint32_t version,
				 const struct setup_response *r)
{
	if (version < 2)
		return r->as_requested || r->n_revisions || r->receipt.len || r->done_ms || r->decided_by.acmc.ptr ?
			       "a response with elements of another version" : NULL;
	if (r->decided_by.acmc.ptr && !decided_by_somebody(&r->decided_by))
		return "a response decided by somebody whose name is none";
	if (!was_done(setup, r) && (r->receipt.len || r->done_ms))
		return "a response with a receipt where nothing was done";
	if (r->result && needs_revisions(setup, r) && count_revisions(r) != setup->n_users)
		return "a response that does not give each user's revision";
	if (r->cause == CAUSE_PARTLY_DONE && needs_revisions(setup, r) && count_revisions(r) == 0)
		return "a response that does not give the revisions of the users done";
	return NULL;
}

const char *setup_response_fault(const struct setup *setup, struct str partner, uint32_t version,
				 const struct setup_response *r)
{
	if (!str_eq(r->mc_system_id, partner))
		return "a response with another MC system ID";
	if (r->origin != ORIGIN_PARTNER_ACMS)
		return "a response whose origin is not the partner ACMS";
	const char *fault =
		content_fault(setup, r, LAST_CLASS_OF_PARTNER, !not_well_formed(r->cause));
	return fault ? fault : version_fault(setup, version, r);
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
