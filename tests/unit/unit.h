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
#include <time.h>
#include "common/str.h"

#define assert_str(s, literal)                                               \
	do {                                                                 \
		struct str s_ = (s);                                         \
		assert_int_equal(s_.len, strlen(literal));                   \
		assert_memory_equal(s_.ptr ? s_.ptr : "", literal, s_.len); \
	} while (0)

/* For rand_r: $TEST_SEED, or the clock's. Printed, so that a run can be repeated. */
static inline unsigned test_seed(void)
{
	const char *given = getenv("TEST_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
	printf("TEST_SEED=%u\n", seed);
	return seed;
}
