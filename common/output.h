#ifndef ACX_OUTPUT_H
#define ACX_OUTPUT_H

/*
 * Standard output of a program that ends: whoever reads a script's exit code must not take half a list for all of it.
 * Call it first: it also sees to it that no file that is opened later becomes standard output. When the program exits
 * and something that was printed could not be written, it says so, and exits with this code instead: others need not.
 */
void output_watch(int exit_code);

#endif
