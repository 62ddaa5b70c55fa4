#include "acmc/reconcile.h"

#include <stdlib.h>
#include <string.h>
#include "common/page.h"

/* Who says nonsense may not make us split, or list, for ever. Users: no system has so many. */
enum { DEPTH_MAX = 10, RANGES_MAX = 100000, ROUNDS_MAX = 3, USERS_MAX = 100000000, USERS_SLACK = 10000 };

static const char out_of_memory[] = "more than there is memory for";
static const char too_many_users[] = "more users than there can be";
static const char contradiction[] = "digests and lists of users contradict each other, again and again";

/* --- lists --- */

/* The items with room for one more behind n. NULL: out of memory, and they are as they were. */
static void *with_room(void *items, size_t *room, size_t n, size_t size)
{
	size_t more = *room ? 2 * *room : 64;
	if (n < *room)
		return items;
	void *larger = reallocarray(items, more, size);
	if (larger)
		*room = more;
	return larger;
}

static bool push_range(struct range_list *l, struct work_range range)
{
	void *items = with_room(l->items, &l->room, l->n, sizeof *l->items);
	if (!items)
		return false;
	l->items = items;
	l->items[l->n++] = range;
	return true;
}

static bool push_user(struct user_list *l, struct user_entry user)
{
	void *items = with_room(l->items, &l->room, l->n, sizeof *l->items);
	if (!items)
		return false;
	l->items = items;
	l->items[l->n++] = user;
	return true;
}

static bool push_difference(struct reconcile *r, struct difference d)
{
	void *items = with_room(r->found, &r->room_found, r->n_found, sizeof *r->found);
	if (!items)
		return false;
	r->found = items;
	r->found[r->n_found++] = d;
	return true;
}

bool reconcile_init(struct reconcile *r, struct arena *arena, struct str partner)
{
	*r = (struct reconcile){ .arena = arena, .partner = partner };
	return push_range(&r->now, (struct work_range){ .from = STR_NONE, .to = STR_NONE });
}

void reconcile_free(struct reconcile *r)
{
	arena_free(r->batch_arena);
	arena_free(r->list_arena);
	free(r->now.items);
	free(r->next.items);
	free(r->again.items);
	free(r->parts.items);
	free(r->lists.items);
	free(r->users[SIDE_HOME].items);
	free(r->users[SIDE_PARTNER].items);
	free(r->found);
}

const char *difference_name(enum difference_kind kind)
{
	switch (kind) {
	case MISSING_AT_PARTNER: return "missing at partner";
	case UNKNOWN_TO_HOME: return "unknown to home";
	case DIFFERENT: return "different";
	}
	return "?";
}

/* --- comparing --- */

static bool begin_batch(struct reconcile *r)
{
	r->batch = r->now.n - r->begin < DIGEST_RANGES_MAX ? r->now.n - r->begin : DIGEST_RANGES_MAX;
	r->side = SIDE_HOME;
	arena_free(r->batch_arena);
	r->batch_arena = arena_new(0);
	r->asked = r->batch_arena ? arena_array(r->batch_arena, r->batch, sizeof *r->asked) : NULL;
	r->home = r->asked ? arena_array(r->batch_arena, r->batch, sizeof *r->home) : NULL;
	for (size_t i = 0; r->home && i < r->batch; i++) {
		const struct work_range *range = &r->now.items[r->begin + i];
		r->asked[i] = (struct mc_id_range){ range->from, range->to };
	}
	return r->home != NULL;
}

static bool keep_digest(struct reconcile *r, const struct range_digest *d, struct digested *out)
{
	out->users = d->users;
	memcpy(out->digest, d->digest, sizeof out->digest);
	out->n_splits = d->n_splits;
	out->splits = arena_array(r->batch_arena, d->n_splits, sizeof *out->splits);
	for (size_t i = 0; out->splits && i < d->n_splits; i++) {
		out->splits[i] = arena_str(r->batch_arena, d->splits[i]);
		if (!out->splits[i].ptr)
			return false;
	}
	return out->splits != NULL;
}

static bool split(struct reconcile *r, const struct work_range *range, const struct str *splits, size_t n)
{
	struct work_range part = { .from = range->from, .depth = range->depth + 1 };
	for (size_t i = 0; i < n; i++) {
		part.to = arena_str(r->arena, splits[i]);
		if (!part.to.ptr || !push_range(&r->next, part))
			return false;
		part.from = part.to;
	}
	part.to = range->to;
	return push_range(&r->next, part);
}

static const char *compare(struct reconcile *r, struct work_range range, const struct digested *home,
			   const struct range_digest *partner)
{
	bool home_larger = home->users >= partner->users;
	const struct str *splits = home_larger ? home->splits : partner->splits;
	size_t n = home_larger ? home->n_splits : partner->n_splits;
	if (range.depth == 0) {
		r->total[SIDE_HOME] = home->users;
		r->total[SIDE_PARTNER] = partner->users;
	}
	if (home->users > USERS_MAX || partner->users > USERS_MAX)
		return too_many_users;
	if (home->users == partner->users && memcmp(home->digest, partner->digest, RANGE_DIGEST_SIZE) == 0)
		return NULL;
	bool few = home->users <= RECONCILE_LISTED && partner->users <= RECONCILE_LISTED;
	bool all_differ = home->users == 0 || partner->users == 0;
	if (!few && !all_differ && n > 0 && range.depth < DEPTH_MAX && r->next.n < RANGES_MAX)
		return split(r, &range, splits, n) ? NULL : out_of_memory;
	range.users[SIDE_HOME] = home->users;
	range.users[SIDE_PARTNER] = partner->users;
	for (int side = SIDE_HOME; side <= SIDE_PARTNER; side++) {
		r->claimed[side] += range.users[side];
		if (r->claimed[side] > 2 * r->total[side] + USERS_SLACK)
			return too_many_users;
	}
	return push_range(&r->parts, range) ? NULL : out_of_memory;
}

static const char *take_digests(struct reconcile *r, const struct digest_page *page)
{
	const char *fault = NULL;
	for (size_t i = 0; i < r->batch && !fault; i++) {
		if (r->side == SIDE_PARTNER)
			fault = compare(r, r->now.items[r->begin + i], &r->home[i], &page->digests[i]);
		else if (!keep_digest(r, &page->digests[i], &r->home[i]))
			fault = out_of_memory;
	}
	if (fault)
		return fault;
	r->n_ranges += r->batch;
	if (r->side == SIDE_HOME) {
		r->side = SIDE_PARTNER;
	} else {
		r->begin += r->batch;
		r->batch = 0;
	}
	return NULL;
}

/* --- listing --- */

static int by_from(const void *a, const void *b)
{
	const struct work_range *x = a, *y = b;
	return str_cmp(x->from, y->from); /* no bound is like "" */
}

static bool is_neighbour(const struct work_range *before, const struct work_range *range)
{
	for (int side = SIDE_HOME; side <= SIDE_PARTNER; side++) {
		if ((before->users[side] > 0) != (range->users[side] > 0))
			return false;
	}
	return before->to.ptr && str_eq(before->to, range->from);
}

/* Neighbours are listed in one go. */
static bool join_parts(struct reconcile *r)
{
	struct range_list *l = &r->parts;
	r->lists.n = r->list = 0;
	if (l->n)
		qsort(l->items, l->n, sizeof *l->items, by_from);
	for (size_t i = 0; i < l->n; i++) {
		struct work_range *last = r->lists.n ? &r->lists.items[r->lists.n - 1] : NULL;
		struct work_range range = l->items[i];
		range.first = i;
		range.n = 1;
		if (!last || !is_neighbour(last, &range)) {
			if (!push_range(&r->lists, range))
				return false;
			continue;
		}
		last->to = range.to;
		last->n++;
		for (int side = SIDE_HOME; side <= SIDE_PARTNER; side++)
			last->users[side] += range.users[side];
	}
	return true;
}

static int by_service(const void *a, const void *b)
{
	const struct user_service_id *x = a, *y = b;
	if (x->service != y->service)
		return x->service < y->service ? -1 : 1;
	return str_cmp(x->mc_service_id, y->mc_service_id);
}

static bool copy_user(struct arena *a, const struct user_entry *u, struct user_entry *out)
{
	*out = *u;
	out->mc_id = arena_str(a, u->mc_id);
	out->service_ids = arena_array(a, u->n_service_ids, sizeof *out->service_ids);
	if (!out->mc_id.ptr || !out->service_ids)
		return false;
	for (size_t i = 0; i < u->n_service_ids; i++) {
		out->service_ids[i] = u->service_ids[i];
		out->service_ids[i].mc_service_id = arena_str(a, u->service_ids[i].mc_service_id);
		if (!out->service_ids[i].mc_service_id.ptr)
			return false;
	}
	if (u->n_service_ids)
		qsort(out->service_ids, u->n_service_ids, sizeof *out->service_ids, by_service);
	return true;
}

static bool same_user(const struct user_entry *x, const struct user_entry *y)
{
	if (x->n_service_ids != y->n_service_ids || x->validity.not_before_ms != y->validity.not_before_ms ||
	    x->validity.not_after_ms != y->validity.not_after_ms)
		return false;
	for (size_t i = 0; i < x->n_service_ids; i++) {
		if (by_service(&x->service_ids[i], &y->service_ids[i]) != 0)
			return false;
	}
	return true;
}

static const struct user_entry *keep_user(struct reconcile *r, const struct user_entry *u)
{
	struct user_entry *copy = arena_alloc(r->arena, sizeof *copy);
	return copy && copy_user(r->arena, u, copy) ? copy : NULL;
}

static bool differ(struct reconcile *r, const struct user_entry *home, const struct user_entry *partner)
{
	struct difference d = { .kind = !partner ? MISSING_AT_PARTNER : !home ? UNKNOWN_TO_HOME : DIFFERENT };
	if ((home && !(d.home = keep_user(r, home))) || (partner && !(d.partner = keep_user(r, partner))))
		return false;
	d.mc_id = d.home ? d.home->mc_id : d.partner->mc_id;
	return push_difference(r, d);
}

/* What was found in a part of the range that is listed. */
struct tally {
	uint64_t users[2];
	size_t found; /* differences, before it */
};

/* A list that does not fit its digest: its differences are not believed. */
static bool end_part(struct reconcile *r, const struct work_range *part, const struct tally *t)
{
	if (r->n_found > t->found && memcmp(t->users, part->users, sizeof t->users) == 0)
		return true;
	r->n_found = t->found;
	return push_range(&r->again, *part);
}

/* Both lists are sorted, and so are the parts. */
static bool merge(struct reconcile *r)
{
	const struct user_list *h = &r->users[SIDE_HOME], *p = &r->users[SIDE_PARTNER];
	const struct work_range *range = &r->lists.items[r->list], *part = &r->parts.items[range->first];
	struct tally tally = { .found = r->n_found };
	size_t i = 0, j = 0;
	while (i < h->n || j < p->n) {
		int order = i == h->n ? 1 : j == p->n ? -1 : str_cmp(h->items[i].mc_id, p->items[j].mc_id);
		const struct user_entry *home = order <= 0 ? &h->items[i++] : NULL;
		const struct user_entry *partner = order >= 0 ? &p->items[j++] : NULL;
		for (; part->to.ptr && str_cmp(home ? home->mc_id : partner->mc_id, part->to) >= 0; part++) {
			if (!end_part(r, part, &tally))
				return false;
			tally = (struct tally){ .found = r->n_found };
		}
		tally.users[SIDE_HOME] += home != NULL;
		tally.users[SIDE_PARTNER] += partner != NULL;
		if (!(home && partner && same_user(home, partner)) && !differ(r, home, partner))
			return false;
	}
	for (; part < &r->parts.items[range->first] + range->n; part++) {
		if (!end_part(r, part, &tally))
			return false;
		tally = (struct tally){ .found = r->n_found };
	}
	return true;
}

/* All of the range, as there is more in it than was said. */
static bool give_up_list(struct reconcile *r)
{
	const struct work_range *range = &r->lists.items[r->list];
	for (size_t i = 0; i < range->n; i++) {
		if (!push_range(&r->again, r->parts.items[range->first + i]))
			return false;
	}
	return true;
}

static void end_list(struct reconcile *r)
{
	r->users[SIDE_HOME].n = r->users[SIDE_PARTNER].n = 0;
	arena_free(r->list_arena);
	r->list_arena = NULL;
	r->after = STR_NONE;
	r->side = SIDE_HOME;
	r->list++;
}

static int by_mc_id(const void *a, const void *b)
{
	const struct difference *x = a, *y = b;
	return str_cmp(x->mc_id, y->mc_id);
}

/* All are listed: done, or another round for what did not fit together. */
static const char *end_listing(struct reconcile *r)
{
	r->rounds++;
	if (r->again.n == 0) {
		if (r->rounds > 1 && r->n_found)
			qsort(r->found, r->n_found, sizeof *r->found, by_mc_id);
		return NULL;
	}
	if (r->rounds == ROUNDS_MAX)
		return contradiction;
	struct range_list empty = r->now;
	empty.n = 0;
	r->now = r->again;
	r->again = empty;
	r->parts.n = r->begin = 0;
	r->claimed[SIDE_HOME] = r->claimed[SIDE_PARTNER] = 0;
	r->listing = false;
	return NULL;
}

/* The next side, or the next range, that there is something to list of. */
static const char *next_list(struct reconcile *r)
{
	r->after = STR_NONE;
	while (r->list < r->lists.n) {
		for (; r->side <= SIDE_PARTNER; r->side++) {
			if (r->lists.items[r->list].users[r->side] > 0)
				return NULL;
		}
		if (!merge(r))
			return out_of_memory;
		end_list(r);
	}
	return end_listing(r);
}

static const char *take_users(struct reconcile *r, const struct users_page *page)
{
	struct user_list *list = &r->users[r->side];
	if (!r->list_arena && !(r->list_arena = arena_new(0)))
		return out_of_memory;
	for (size_t i = 0; i < page->n_users; i++) {
		struct user_entry copy;
		if (!copy_user(r->list_arena, &page->users[i], &copy) || !push_user(list, copy))
			return out_of_memory;
		r->after = copy.mc_id;
	}
	r->n_listed += page->n_users;
	if (list->n > r->lists.items[r->list].users[r->side]) {
		if (!give_up_list(r))
			return out_of_memory;
		end_list(r);
		return next_list(r);
	}
	if (page->page.more)
		return NULL;
	r->side++;
	return next_list(r);
}

/* --- the whole --- */

/* False: nothing is left to compare, or there is a fault. */
static bool next_digests(struct reconcile *r, struct message *out)
{
	if (r->batch == 0 && r->begin == r->now.n) { /* the next round */
		struct range_list empty = r->now;
		empty.n = 0;
		r->now = r->next;
		r->next = empty;
		r->begin = 0;
	}
	if (r->now.n == 0)
		return false;
	if (r->batch == 0 && !begin_batch(r)) {
		r->fault = out_of_memory;
		return false;
	}
	*out = (struct message){ .kind = MESSAGE_DIGEST_QUERY,
				 .digest_query = { .mc_system_id = r->partner, .believed = r->side == SIDE_HOME,
						   .ranges = r->asked, .n_ranges = r->batch } };
	return true;
}

static const char *begin_listing(struct reconcile *r)
{
	r->listing = true;
	r->side = SIDE_HOME;
	return join_parts(r) ? next_list(r) : out_of_memory;
}

bool reconcile_next(struct reconcile *r, struct message *out)
{
	while (!r->fault && !r->listing && !next_digests(r, &r->query)) {
		if (!r->fault)
			r->fault = begin_listing(r);
	}
	if (r->fault || (r->listing && r->list == r->lists.n))
		return false;
	if (r->listing) {
		const struct work_range *range = &r->lists.items[r->list];
		r->query = (struct message){
			.kind = MESSAGE_USERS_QUERY,
			.users_query = { .mc_system_id = r->partner, .believed = r->side == SIDE_HOME,
					 .from = range->from, .to = range->to, .after = r->after } };
	}
	r->n_queries++;
	*out = r->query;
	return true;
}

const char *reconcile_take(struct reconcile *r, const struct message *answer)
{
	r->fault = page_fault(&r->query, answer);
	if (!r->fault)
		r->fault = r->listing ? take_users(r, &answer->users_page) : take_digests(r, &answer->digest_page);
	return r->fault;
}
