#ifndef ACX_STR_H
#define ACX_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* A slice of somebody else's bytes: no owner, no final NUL. An absent element is ptr == NULL. */
struct str {
	const char *ptr;
	size_t len;
};

#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })
#define STR_NONE ((struct str){ NULL, 0 })
/* For printf: printf("%.*s", STR_ARG(s)) */
#define STR_ARG(s) (int)(s).len, (s).ptr

static inline struct str str_of(const char *c_string)
{
	return (struct str){ c_string, c_string ? strlen(c_string) : 0 };
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Bytewise order, shorter first, as LMDB orders keys. */
static inline int str_cmp(struct str a, struct str b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n ? memcmp(a.ptr, b.ptr, n) : 0;
	return c ? c : (a.len > b.len) - (a.len < b.len);
}

#endif
