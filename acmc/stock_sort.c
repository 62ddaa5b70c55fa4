#include "acmc/stock.h"

#include <stdlib.h>

/*
 * Sorting more users than are to be in memory: runs that are sorted there one after the other, and are then merged.
 * Both steps keep users that are equal as they came, so that a command that is repeated gives the same requests.
 */

enum { RUN_BYTES = 4 * 1024 * 1024, READ_BYTES = 16 * 1024 };

struct run {
	uint64_t offset, end; /* in the spool of runs: of what is in the buffer, and of the run */
	uint8_t *buffer;
	size_t n, at, room;   /* bytes in the buffer; where the first user left is */
	struct stocked user;  /* unpacked; packed == 0: not yet */
};

struct sorting {
	struct stock *stock;
	bool by_mc_id;
	struct spool runs, sorted;
	struct run *items; /* a heap once it is merged, the first user on top */
	size_t n, room;
};

static int compare_users(const struct sorting *s, const struct stocked *x, const struct stocked *y)
{
	if (x->validity.not_before_ms != y->validity.not_before_ms)
		return x->validity.not_before_ms < y->validity.not_before_ms ? -1 : 1;
	if (x->validity.not_after_ms != y->validity.not_after_ms)
		return x->validity.not_after_ms < y->validity.not_after_ms ? -1 : 1;
	return s->by_mc_id ? str_cmp(x->mc_id, y->mc_id) : 0;
}

/* --- runs --- */

static int compare_packed(const void *a, const void *b, void *sorting)
{
	const uint8_t *x = *(uint8_t *const *)a, *y = *(uint8_t *const *)b;
	struct stocked u, v;
	stock_user(x, &u);
	stock_user(y, &v);
	int d = compare_users(sorting, &u, &v);
	return d ? d : (x > y) - (x < y);
}

static bool add_run(struct sorting *s, uint64_t offset)
{
	if (s->n == s->room) {
		size_t room = s->room ? 2 * s->room : 16;
		struct run *larger = reallocarray(s->items, room, sizeof *larger);
		if (!larger)
			return false;
		s->items = larger;
		s->room = room;
	}
	s->items[s->n++] = (struct run){ .offset = offset, .end = spool_size(&s->runs) };
	return true;
}

/* Users from offset on, n of them in so many bytes, as a run. */
static bool write_run(struct sorting *s, uint64_t offset, size_t bytes, size_t n)
{
	uint64_t begin = spool_size(&s->runs);
	const uint8_t *at = stock_at(s->stock, offset, bytes);
	const uint8_t **users = at ? reallocarray(NULL, n, sizeof *users) : NULL;
	if (!users)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct stocked u;
		users[i] = at;
		at = stock_user(at, &u);
	}
	qsort_r(users, n, sizeof *users, compare_packed, s);
	for (size_t i = 0; i < n; i++) {
		struct stocked u;
		stock_user(users[i], &u);
		spool_put(&s->runs, users[i], u.packed);
	}
	free(users);
	return add_run(s, begin);
}

static bool write_runs(struct sorting *s)
{
	uint64_t size = spool_size(&s->stock->users);
	size_t most = s->stock->run_bytes ? s->stock->run_bytes : RUN_BYTES;
	for (uint64_t begin = 0, end = 0; begin < size; begin = end) {
		struct stocked u;
		size_t n = 0;
		while (end < size && end - begin < most) {
			if (!stock_next(s->stock, &end, &u))
				return false;
			n++;
		}
		if (!write_run(s, begin, (size_t)(end - begin), n))
			return false;
	}
	return true;
}

/* --- merging --- */

/* So many bytes of the run into its buffer, or all that are left. */
static bool fill(struct sorting *s, struct run *r, size_t wanted)
{
	uint64_t left = r->end - r->offset;
	r->n = left < wanted ? (size_t)left : wanted;
	r->at = 0;
	if (r->n > r->room) {
		free(r->buffer);
		r->buffer = malloc(r->n);
		r->room = r->buffer ? r->n : 0;
	}
	const uint8_t *from = r->buffer ? spool_at(&s->runs, r->offset, r->n) : NULL;
	if (from)
		memcpy(r->buffer, from, r->n);
	return from;
}

/* The run's next user. False: failed, or no more (r->offset == r->end). */
static bool advance(struct sorting *s, struct run *r)
{
	r->at += r->user.packed;
	size_t left = r->n - r->at, packed = left ? stock_packed(r->buffer + r->at, left) : 0;
	if (!packed || packed > left) {
		r->offset += r->at;
		if (r->offset == r->end || !fill(s, r, READ_BYTES))
			return false;
		packed = stock_packed(r->buffer, r->n);
		if (packed > r->n && !fill(s, r, packed))
			return false;
	}
	stock_user(r->buffer + r->at, &r->user);
	return true;
}

static bool before(const struct sorting *s, const struct run *a, const struct run *b)
{
	int d = compare_users(s, &a->user, &b->user);
	return d ? d < 0 : a->end < b->end; /* the earlier run */
}

static void sift_down(struct sorting *s, size_t i)
{
	for (;;) {
		size_t first = i;
		for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < s->n; child++) {
			if (before(s, &s->items[child], &s->items[first]))
				first = child;
		}
		if (first == i)
			return;
		struct run swapped = s->items[i];
		s->items[i] = s->items[first];
		s->items[first] = swapped;
		i = first;
	}
}

static bool merge(struct sorting *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (!advance(s, &s->items[i]))
			return false;
	}
	for (size_t i = s->n; i-- > 0;)
		sift_down(s, i);
	while (s->n > 0) {
		struct run *top = &s->items[0];
		spool_put(&s->sorted, top->buffer + top->at, top->user.packed);
		if (!advance(s, top)) {
			if (top->offset != top->end)
				return false;
			free(top->buffer);
			*top = s->items[--s->n];
		}
		sift_down(s, 0);
	}
	return true;
}

static void end(struct sorting *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->items[i].buffer);
	free(s->items);
	spool_free(&s->runs);
	spool_free(&s->sorted);
}

bool stock_sort(struct stock *stock, bool by_mc_id)
{
	struct sorting s = { .stock = stock, .by_mc_id = by_mc_id };
	if (!stock->differ && (!by_mc_id || stock->in_order))
		return true;
	bool good = write_runs(&s);
	if (good) {
		spool_free(&stock->users); /* all of them are in the runs */
		good = merge(&s);
		stock->users = s.sorted;
		s.sorted = (struct spool){ .tail = NULL };
	}
	if (s.runs.failure && !stock->users.failure)
		stock->users.failure = s.runs.failure;
	end(&s);
	return good && !stock_failed(stock);
}
