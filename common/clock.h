#ifndef ACX_CLOCK_H
#define ACX_CLOCK_H

#include <stdint.h>

/* Wall-clock time in milliseconds since 1970, for records; never for waiting. */
uint64_t clock_wall_ms(void);
/* Time that only goes forward, in milliseconds, for waiting. */
uint64_t clock_mono_ms(void);

#endif
