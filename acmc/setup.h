#ifndef ACMC_SETUP_H
#define ACMC_SETUP_H

/* acmc setup; argv[0] is its name. Returns the exit code. */
int setup_command(int argc, char **argv);

#endif
