#include "common/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* A chain of blocks, newest first. */
struct block {
	struct block *older;
	size_t size; /* of data */
	max_align_t data[];
};

/* Most arenas need no block but the first, which is made with them. */
struct arena {
	char *at, *end; /* what is left of the newest block, and of the budget: allocation only moves `at` */
	struct block *newest;
	size_t budget;
	size_t before; /* what was taken of the older blocks */
	size_t others; /* who share it */
	bool starved;
	struct arena *next; /* among the spares */
	struct block first;
};

enum { FIRST_BLOCK = 2048, BLOCK_MAX = 256 * 1024, SPARES_MAX = 128 };

/* Address sanitizer is to see what is used after its arena was freed. */
#if defined(__SANITIZE_ADDRESS__)
#define KEEP_SPARES false
#elif defined(__has_feature)
#define KEEP_SPARES !__has_feature(address_sanitizer)
#else
#define KEEP_SPARES true
#endif

static _Thread_local struct {
	struct arena *first;
	size_t n, max;
} spares;

void arena_keep_spares(bool on)
{
	spares.max = on && KEEP_SPARES ? SPARES_MAX : 0;
	while (spares.n > spares.max) {
		struct arena *a = spares.first;
		spares.first = a->next;
		spares.n--;
		free(a);
	}
}

/* Allocates from this one, as far as the budget goes. */
static void begin_block(struct arena *a, struct block *b)
{
	size_t size = b->size;
	if (a->budget && size > a->budget - a->before)
		size = a->budget - a->before;
	a->newest = b;
	a->at = (char *)b->data;
	a->end = a->at + size;
}

struct arena *arena_new(size_t budget)
{
	struct arena *a = spares.first;
	if (a) {
		spares.first = a->next;
		spares.n--;
	} else if (!(a = malloc(sizeof *a + FIRST_BLOCK))) {
		return NULL;
	}
	*a = (struct arena){ .budget = budget, .first.size = FIRST_BLOCK };
	begin_block(a, &a->first);
	return a;
}

/* Frees blocks until `last`, which stays. */
static void free_blocks(struct block *b, const struct block *last)
{
	for (struct block *older; b != last; b = older) {
		older = b->older;
		free(b);
	}
}

struct arena *arena_share(struct arena *a)
{
	if (a)
		a->others++;
	return a;
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	if (a->others > 0) {
		a->others--;
		return;
	}
	free_blocks(a->newest, &a->first);
	if (spares.n == spares.max) {
		free(a);
		return;
	}
	a->next = spares.first;
	spares.first = a;
	spares.n++;
}

size_t arena_size(const struct arena *a)
{
	size_t n = sizeof *a + FIRST_BLOCK;
	for (const struct block *b = a->newest; b != &a->first; b = b->older)
		n += sizeof *b + b->size;
	return n;
}

/* The newest block is kept, unless it was made for something large. */
void arena_reset(struct arena *a)
{
	struct block *b = a->newest;
	a->before = 0;
	a->starved = false;
	if (b != &a->first) {
		free_blocks(b->older, &a->first);
		b->older = &a->first;
	}
	if (b->size > BLOCK_MAX) {
		free(b);
		b = &a->first;
	}
	begin_block(a, b);
}

/* For n more bytes. False: the budget or the machine has no more. */
static bool add_block(struct arena *a, size_t n)
{
	size_t size = a->newest->size * 2, taken = a->before + (size_t)(a->at - (char *)a->newest->data);
	if (n > SIZE_MAX / 2 || (a->budget && n > a->budget - taken))
		return false;
	if (size > BLOCK_MAX)
		size = BLOCK_MAX;
	if (size < n)
		size = n;
	struct block *b = malloc(sizeof *b + size);
	if (!b) {
		a->starved = true;
		return false;
	}
	*b = (struct block){ .older = a->newest, .size = size };
	a->before = taken;
	begin_block(a, b);
	return true;
}

static void *take(struct arena *a, size_t whole)
{
	void *p = a->at;
	a->at += whole;
	return p;
}

/* Apart: its saving of registers would cost every allocation as much again as it takes. */
__attribute__((noinline)) static void *take_anew(struct arena *a, size_t whole)
{
	return add_block(a, whole) ? take(a, whole) : NULL;
}

void *arena_raw(struct arena *a, size_t n)
{
	const size_t align = _Alignof(max_align_t);
	size_t whole = (n + (n == 0) + align - 1) / align * align;
	if (whole < n)
		return NULL;
	return whole <= (size_t)(a->end - a->at) ? take(a, whole) : take_anew(a, whole);
}

/* Zeroing what is asked for, not blocks: most of a block is never used, and texts are written over at once. */
void *arena_alloc(struct arena *a, size_t n)
{
	void *p = arena_raw(a, n);
	return p ? memset(p, 0, n) : NULL;
}

bool arena_starved(const struct arena *a)
{
	return a->starved;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	size_t n;
	return __builtin_mul_overflow(count, size, &n) ? NULL : arena_alloc(a, n);
}

struct str arena_str(struct arena *a, struct str s)
{
	char *copy = s.ptr && s.len < SIZE_MAX ? arena_raw(a, s.len + 1) : NULL;
	if (!copy)
		return STR_NONE;
	memcpy(copy, s.ptr, s.len);
	copy[s.len] = '\0';
	return (struct str){ copy, s.len };
}

char *arena_printf(struct arena *a, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	char *text = n < 0 ? NULL : arena_raw(a, (size_t)n + 1);
	if (!text)
		return NULL;
	va_start(args, format);
	vsnprintf(text, (size_t)n + 1, format, args);
	va_end(args);
	return text;
}

void *arena_array_raw(struct arena *a, size_t count, size_t size)
{
	size_t n;
	return __builtin_mul_overflow(count, size, &n) ? NULL : arena_raw(a, n);
}

void arena_trim(struct arena *a, const void *p, size_t n, size_t used)
{
	const size_t align = _Alignof(max_align_t);
	const char *start = p;
	if (!p || start + n > a->at || start + n + align <= a->at)
		return;
	a->at -= (size_t)(a->at - (start + used)) / align * align;
}
