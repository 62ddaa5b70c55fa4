#include "common/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* A chain of blocks, newest first; allocation only moves the newest one's mark. */
struct block {
	struct block *older;
	size_t size, used; /* of data */
	max_align_t data[];
};

/* Most arenas need no block but the first, which is made with them. */
struct arena {
	struct block *newest;
	size_t budget, taken;
	size_t others; /* who share it */
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

struct arena *arena_new(size_t budget)
{
	struct arena *a = spares.first;
	if (a) {
		spares.first = a->next;
		spares.n--;
	} else if (!(a = malloc(sizeof *a + FIRST_BLOCK))) {
		return NULL;
	}
	*a = (struct arena){ .newest = &a->first, .budget = budget, .first.size = FIRST_BLOCK };
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

/* The newest block is kept, unless it was made for something large. */
void arena_reset(struct arena *a)
{
	struct block *b = a->newest;
	a->taken = 0;
	a->first.used = 0;
	if (b == &a->first)
		return;
	free_blocks(b->older, &a->first);
	b->older = &a->first;
	b->used = 0;
	if (b->size > BLOCK_MAX) {
		free(b);
		a->newest = &a->first;
	}
}

static struct block *add_block(struct arena *a, size_t n)
{
	size_t size = a->newest->size * 2;
	if (size > BLOCK_MAX)
		size = BLOCK_MAX;
	if (size < n)
		size = n;
	struct block *b = malloc(sizeof *b + size);
	if (!b)
		return NULL;
	*b = (struct block){ .older = a->newest, .size = size };
	return a->newest = b;
}

void *arena_raw(struct arena *a, size_t n)
{
	const size_t align = _Alignof(max_align_t);
	if (n > SIZE_MAX / 2)
		return NULL;
	n = (n ? n + align - 1 : align) / align * align;
	if (a->budget && n > a->budget - a->taken)
		return NULL;
	struct block *b = a->newest;
	if (b->size - b->used < n)
		b = add_block(a, n);
	if (!b)
		return NULL;
	void *p = (char *)b->data + b->used;
	b->used += n;
	a->taken += n;
	return p;
}

/* Zeroing what is asked for, not blocks: most of a block is never used, and texts are written over at once. */
void *arena_alloc(struct arena *a, size_t n)
{
	void *p = arena_raw(a, n);
	return p ? memset(p, 0, n) : NULL;
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
	struct block *b = a->newest;
	const char *end = b ? (const char *)b->data + b->used : NULL;
	if (!p || !b || (const char *)p + n > end || (const char *)p + n + align <= end)
		return;
	size_t spare = (size_t)(end - ((const char *)p + used)) / align * align;
	b->used -= spare;
	a->taken -= spare;
}
