#ifndef ACX_TRUSTED_FILE_H
#define ACX_TRUSTED_FILE_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>
#include "common/error.h"

/*
 * Files that decide who we are and whom we trust: configurations, certificates, trust anchors, CRLs, keys. Nobody but
 * root and the user that we run as may write to one, nor to the directory that it is in, or that a symbolic link leads
 * to; a key may not be read by everybody. What is judged is the file that was opened, not its name. Directories further
 * up are the operator's to look after.
 */

enum { TRUSTED_FILE_BYTES_MAX = 16 << 20 };

/* A descriptor to read from, which is the caller's to close; -1: ERR_CONFIG, "FILE: what is wrong and what to do". */
int trusted_file_open(const char *file, bool is_key, struct error *e);

/*
 * What speaks against a file or directory of this state, NULL: nothing. self: the user that we run as. Root is asked by
 * others to check their files, so it takes any owner's.
 */
const char *trusted_file_fault(const struct stat *st, uid_t self, bool is_key);

#endif
