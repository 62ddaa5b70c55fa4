#ifndef ACX_FAILPOINT_H
#define ACX_FAILPOINT_H

/*
 * Places where a test lets the process die as by kill -9 or a power cut. Only in builds made for that (make
 * FAILPOINTS=1); elsewhere they are nothing.
 *
 * ACX_FAIL_POINT=NAME[:N] in the environment: at the N-th pass (default 1) of the place with that name.
 */
#ifdef ACX_FAILPOINTS
void fail_point(const char *name);
#else
#define fail_point(name) ((void)0)
#endif

#endif
