/* What every unit test needs of cmocka, in the order that it wants. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/str.h"

#define assert_str(s, literal)                                               \
	do {                                                                 \
		struct str s_ = (s);                                         \
		assert_int_equal(s_.len, strlen(literal));                   \
		assert_memory_equal(s_.ptr ? s_.ptr : "", literal, s_.len); \
	} while (0)
