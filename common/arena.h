#ifndef ACX_ARENA_H
#define ACX_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include "common/str.h"

/*
 * Memory that dies together. A request owns one and everything decoded from it lives there.
 * The budget (bytes, 0: none) bounds what bad input can take. Not for two threads at once.
 */
struct arena;

struct arena *arena_new(size_t budget);
void arena_free(struct arena *a); /* NULL is fine */
/* For somebody else who needs what is in it: it lives until each has freed it. Returns it; NULL is fine. */
struct arena *arena_share(struct arena *a);
/*
 * Whether this thread keeps some of the arenas that it frees (at most about 300 KB) for those that it makes next. For a
 * thread that makes many; before it ends, off.
 */
void arena_keep_spares(bool on);
/* Drops all that is in it; its memory is used again. For loops over many records. */
void arena_reset(struct arena *a);

/* Bytes that it has of the machine's memory, used or not. */
size_t arena_size(const struct arena *a);

/* Zeroed, aligned for any type; NULL when the budget or the machine has no more. n may be 0. */
void *arena_alloc(struct arena *a, size_t n);
/* The same, but not zeroed: for what is written over at once. */
void *arena_raw(struct arena *a, size_t n);
/* count * size, NULL too if that overflows. */
void *arena_array(struct arena *a, size_t count, size_t size);
/* Whether the machine had no more, and not only the budget: there may be some the next time. */
bool arena_starved(const struct arena *a);
/* A copy with a NUL behind it; ptr == NULL when there is no memory (or s.ptr was NULL). */
struct str arena_str(struct arena *a, struct str s);
/* NULL when there is no memory. */
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* An array, but not zeroed. */
void *arena_array_raw(struct arena *a, size_t count, size_t size);
/* Keeps only the first `used` bytes of an allocation of n > 0, unless something was allocated since. p may be NULL. */
void arena_trim(struct arena *a, const void *p, size_t n, size_t used);

#endif
