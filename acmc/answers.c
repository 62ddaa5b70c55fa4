#include "acmc/answers.h"

bool answers_init(struct answers *a, struct arena *arena, const struct parts *parts, struct str home)
{
	*a = (struct answers){ .arena = arena, .parts = parts, .missing = parts->n * parts->n_targets,
			       .home = arena_str(arena, home) };
	a->items = arena_array(arena, a->missing, sizeof *a->items);
	a->accepted = arena_array(arena, parts->n, sizeof *a->accepted);
	return a->items && a->accepted && a->home.ptr;
}

struct answer *answers_at(const struct answers *a, size_t part, size_t target)
{
	return &a->items[part * a->parts->n_targets + target];
}

size_t answers_target(const struct answers *a, struct str mc_system_id)
{
	size_t t = 0;
	while (t < a->parts->n_targets && !str_eq(a->parts->targets[t], mc_system_id))
		t++;
	return t;
}

bool answers_part_complete(const struct answers *a, size_t part)
{
	for (size_t t = 0; t < a->parts->n_targets; t++) {
		if (!answers_at(a, part, t)->given)
			return false;
	}
	return true;
}

/* --- copying a response --- */

static void copy_identities(struct answers *a, struct answer *to, const struct setup_response *r)
{
	to->identities = arena_array(a->arena, r->n_identities, sizeof *to->identities);
	for (size_t i = 0; to->identities && i < r->n_identities; i++) {
		const struct identity_cause *c = &r->identities[i];
		to->identities[to->n_identities++] = (struct identity_cause){
			arena_str(a->arena, c->mc_id), arena_str(a->arena, c->mc_service_id), c->cause
		};
	}
}

static void copy_revisions(struct answers *a, struct answer *to, const struct setup_response *r)
{
	to->revisions = arena_array(a->arena, r->n_revisions, sizeof *to->revisions);
	for (size_t i = 0; to->revisions && i < r->n_revisions; i++)
		to->revisions[to->n_revisions++] = (struct user_revision){
			arena_str(a->arena, r->revisions[i].mc_id), r->revisions[i].revision
		};
}

static void copy_mc_ids(struct answers *a, struct answer *to, const struct setup_response *r)
{
	to->mc_ids = arena_array(a->arena, r->n_mc_ids, sizeof *to->mc_ids);
	for (size_t i = 0; to->mc_ids && i < r->n_mc_ids; i++)
		to->mc_ids[to->n_mc_ids++] = arena_str(a->arena, r->mc_ids[i]);
}

static bool fill(struct answers *a, struct answer *to, const struct setup_response *r)
{
	if (to->given)
		return false;
	*to = (struct answer){ .given = true, .result = r->result, .origin = r->origin,
			       .cause = r->cause, .detail = arena_str(a->arena, r->detail),
			       .receipt = arena_str(a->arena, r->receipt), .done_ms = r->done_ms, .delay = to->delay,
			       .decided_by = { arena_str(a->arena, r->decided_by.acmc),
					       arena_str(a->arena, r->decided_by.reason),
					       r->decided_by.at_ms } };
	copy_identities(a, to, r);
	copy_revisions(a, to, r);
	if (!a->parts->users)
		copy_mc_ids(a, to, r);
	a->missing--;
	return true;
}

/* --- whose a response is --- */

/* Which answers a response could be: targets from first to before end. */
struct addressed {
	size_t part, first, end;
	bool whole; /* for the whole request */
};

static struct addressed address_of(const struct answers *a, const struct setup_response *r)
{
	struct addressed none = { .part = parts_find(a->parts, &r->request_id) };
	if (none.part == a->parts->n)
		return none;
	size_t target = answers_target(a, r->mc_system_id);
	if (target < a->parts->n_targets)
		return (struct addressed){ none.part, target, target + 1, false };
	if (r->origin == ORIGIN_HOME_ACMS && !r->result && str_eq(r->mc_system_id, a->home))
		return (struct addressed){ none.part, 0, a->parts->n_targets, true };
	return none;
}

bool answers_take(struct answers *a, const struct setup_response *r, size_t *part, bool *complete)
{
	struct addressed to = address_of(a, r);
	bool taken = false;
	*part = to.part;
	for (size_t t = to.first; t < to.end; t++)
		taken |= fill(a, answers_at(a, to.part, t), r);
	*complete = taken && answers_part_complete(a, to.part);
	return taken;
}

static const char *fault_in(const struct answers *a, const struct addressed *to,
			    const struct setup_response *r)
{
	/* The server's own limits have been kept (parts_split). */
	static const struct limits any = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX,
					   UINT32_MAX };
	struct arena *work = arena_new(0);
	struct setup_request request;
	struct setup setup;
	const char *fault = "a response that there is not enough memory to check";
	if (work && parts_request(a->parts, to->part, work, &request) &&
	    setup_check(work, &request, &any, &setup).cause == CAUSE_NO_CAUSE)
		fault = setup_home_response_fault(&setup, to->whole, r);
	arena_free(work);
	return fault;
}

/* What can be said without knowing the users. */
static const char *fault_of_form(const struct setup_response *r)
{
	if (r->origin != ORIGIN_PARTNER_ACMS && r->origin != ORIGIN_HOME_ACMS)
		return "a response without an origin";
	if (r->result != (r->cause == CAUSE_NO_CAUSE))
		return "a response whose result does not fit its cause";
	if (r->origin == ORIGIN_HOME_ACMS && r->result)
		return "a response with TRUE that no partner made";
	return NULL;
}

const char *answers_fault(const struct answers *a, const struct setup_response *r)
{
	struct addressed to = address_of(a, r);
	for (size_t t = to.first; t < to.end; t++) {
		if (!answers_at(a, to.part, t)->given)
			return a->parts->users ? fault_in(a, &to, r) : fault_of_form(r);
	}
	return NULL;
}

/* --- indications --- */

void answers_accept(struct answers *a, size_t part, uint64_t deadline_ms)
{
	a->n_accepted += !a->accepted[part].yes;
	a->accepted[part] = (struct accepted){ true, deadline_ms };
}

/* Whether a part of this target is known to wait for the same thing: a hundred parts are one line to people. */
static bool told_already(const struct answers *a, size_t target, const struct delay *d)
{
	for (size_t i = 0; i < a->parts->n; i++) {
		const struct answer *x = answers_at(a, i, target);
		if (!x->given && x->delay.state == d->state && str_eq(x->delay.detail, d->detail))
			return true;
	}
	return false;
}

bool answers_indicate(struct answers *a, const struct process_indication *m, size_t *part, bool *news)
{
	*part = parts_find(a->parts, &m->request_id);
	*news = false;
	if (*part == a->parts->n)
		return false;
	if (m->state == PROCESS_ACCEPTED) {
		*news = !a->accepted[*part].yes;
		answers_accept(a, *part, m->until_ms);
		return true;
	}
	size_t target = answers_target(a, m->mc_system_id);
	if (target == a->parts->n_targets || answers_at(a, *part, target)->given)
		return false;
	struct delay *now = &answers_at(a, *part, target)->delay;
	struct delay d = { m->state == PROCESS_PENDING ? DELIVERY_APPROVAL : DELIVERY_QUEUED, 0, m->until_ms,
			   now->detail };
	if (!str_eq(now->detail, m->detail)) /* days of the same are to take no memory */
		d.detail = arena_str(a->arena, m->detail);
	*news = !told_already(a, target, &d);
	*now = d;
	return true;
}

/* --- exit codes --- */

bool answers_refused(const struct answers *a)
{
	size_t n = a->parts->n * a->parts->n_targets;
	for (size_t i = 0; i < n; i++) {
		int class = (int)a->items[i].cause / 100;
		if (!a->items[i].given || a->items[i].origin != ORIGIN_HOME_ACMS ||
		    (class != 1 && class != 2))
			return false;
	}
	return n > 0;
}

int answers_exit_code(const struct answers *a)
{
	size_t n = a->parts->n * a->parts->n_targets;
	bool all = true;
	for (size_t i = 0; i < n; i++)
		all &= a->items[i].given && a->items[i].result;
	if (a->missing > 0)
		return EXIT_UNREACHABLE;
	if (answers_refused(a))
		return EXIT_REFUSED;
	return all ? EXIT_ALL_TRUE : EXIT_SOME_FALSE;
}
