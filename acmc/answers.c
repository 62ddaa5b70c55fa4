#include "acmc/answers.h"

bool answers_init(struct answers *a, struct arena *arena, const struct parts *parts, struct str home)
{
	*a = (struct answers){ .arena = arena, .parts = parts, .missing = parts->n * parts->n_targets,
			       .home = arena_str(arena, home) };
	a->items = arena_array(arena, a->missing, sizeof *a->items);
	a->accepted = arena_array(arena, parts->n, sizeof *a->accepted);
	a->said = arena_alloc(arena, sizeof *a->said);
	return a->items && a->accepted && a->said && a->home.ptr;
}

void answers_free(struct answers *a)
{
	if (a->said)
		spool_free(a->said);
	a->said = NULL;
}

const char *answers_failed(const struct answers *a)
{
	return a->said ? spool_failed(a->said) : NULL;
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

/* --- what is said of single users --- */

static void put_number(struct spool *to, uint64_t n)
{
	spool_put(to, &n, sizeof n);
}

static void put_text(struct spool *to, struct str s)
{
	put_number(to, s.ptr ? s.len : UINT64_MAX);
	spool_put(to, s.ptr, s.len);
}

static void put_said(struct spool *to, const struct setup_response *r)
{
	put_number(to, r->n_identities);
	for (size_t i = 0; i < r->n_identities; i++) {
		put_text(to, r->identities[i].mc_id);
		put_text(to, r->identities[i].mc_service_id);
		put_number(to, (uint64_t)r->identities[i].cause);
	}
	put_number(to, r->n_revisions);
	spool_put(to, r->revisions, r->n_revisions * sizeof *r->revisions);
	put_text(to, r->receipt);
}

static uint64_t number(const uint8_t **at)
{
	uint64_t n;
	memcpy(&n, *at, sizeof n);
	*at += sizeof n;
	return n;
}

static struct str text(const uint8_t **at)
{
	uint64_t n = number(at);
	if (n == UINT64_MAX)
		return STR_NONE;
	struct str s = { (const char *)*at, n };
	*at += n;
	return s;
}

static bool unpack_identities(const uint8_t **at, struct arena *arena, struct said *out)
{
	out->n_identities = number(at);
	out->identities = arena_array(arena, out->n_identities, sizeof *out->identities);
	for (size_t i = 0; out->identities && i < out->n_identities; i++) {
		out->identities[i].mc_id = text(at);
		out->identities[i].mc_service_id = text(at);
		out->identities[i].cause = (enum cause)number(at);
	}
	return out->identities;
}

/* By the users' places in their part. */
static bool unpack_revisions(const struct answers *a, size_t part, const uint8_t **at, struct arena *arena, struct said *out)
{
	struct setup setup;
	size_t n = number(at);
	const uint8_t *each = *at;
	*at += n * sizeof(uint64_t);
	if (n == 0)
		return true;
	if (!parts_setup(a->parts, part, arena, &setup))
		return false;
	out->revisions = arena_array(arena, n, sizeof *out->revisions);
	for (size_t i = 0; out->revisions && i < n; i++) {
		uint64_t revision = number(&each);
		if (revision)
			out->revisions[out->n_revisions++] = (struct user_revision){ setup.users[i].mc_id, revision };
	}
	return out->revisions;
}

bool answers_said(const struct answers *a, const struct answer *x, struct arena *arena, struct said *out)
{
	*out = (struct said){ .receipt = STR_NONE };
	if (!x->said_bytes)
		return true;
	const uint8_t *at = spool_at(a->said, x->said_at, x->said_bytes);
	size_t part = (size_t)(x - a->items) / a->parts->n_targets;
	if (!at || !unpack_identities(&at, arena, out) || !unpack_revisions(a, part, &at, arena, out)) {
		*out = (struct said){ .receipt = STR_NONE };
		return false;
	}
	out->receipt = text(&at);
	return true;
}

static bool fill(struct answers *a, struct answer *to, const struct setup_response *r)
{
	if (to->given)
		return false;
	*to = (struct answer){ .given = true, .result = r->result, .origin = r->origin,
			       .cause = r->cause, .detail = arena_str(a->arena, r->detail),
			       .has_receipt = r->done_ms > 0, .delay = to->delay,
			       .decided_by = { arena_str(a->arena, r->decided_by.acmc),
					       arena_str(a->arena, r->decided_by.reason),
					       r->decided_by.at_ms },
			       .n_identities = r->n_identities, .said_at = spool_size(a->said) };
	put_said(a->said, r);
	to->said_bytes = (size_t)(spool_size(a->said) - to->said_at);
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

/* All of it but the users: enough for a response that names none. */
static struct setup outline(const struct parts *p, size_t part)
{
	return (struct setup){ .request_id = p->items[part].id, .n_users = p->items[part].n_users,
			       .operation = p->operation, .dry_run = p->dry_run, .best_effort = p->best_effort };
}

static const char *fault_in(const struct answers *a, const struct addressed *to,
			    const struct setup_response *r)
{
	struct setup setup = outline(a->parts, to->part);
	if (r->n_identities == 0)
		return setup_home_response_fault(&setup, to->whole, r);
	struct arena *work = arena_new(0);
	const char *fault = "a response that there is not enough memory to check";
	if (work && parts_setup(a->parts, to->part, work, &setup))
		fault = setup_home_response_fault(&setup, to->whole, r);
	arena_free(work);
	return fault;
}

const char *answers_fault(const struct answers *a, const struct setup_response *r)
{
	struct addressed to = address_of(a, r);
	for (size_t t = to.first; t < to.end; t++) {
		if (!answers_at(a, to.part, t)->given)
			return fault_in(a, &to, r);
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
