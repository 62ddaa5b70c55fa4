#ifndef ACX_CONTENT_H
#define ACX_CONTENT_H

#include "common/error.h"
#include "common/setup.h"

/*
 * What a request asks for, in one byte string (PROTOCOL.md 5.5), whatever its order and spelling were: its digest decides
 * whether a repeated request ID is a repetition, and is what a receipt is about. Targets, expires, part and parts are no
 * content. Pure.
 */

enum { CONTENT_DIGEST_SIZE = 32 }; /* SHA-256 */

/* From the arena; ptr == NULL: it is spent. Digests of it are stored: the bytes of a content once possible never change. */
struct str setup_content(struct arena *a, const struct setup *setup);

/*
 * The setup with this content, but for what is none of it, which is left zero. Takes nothing but what setup_content makes of
 * a well-formed setup, except that it does not look for an MC service ID that two users have. Borrows from content; the
 * rest from the arena. ERR_INPUT, ERR_MEMORY.
 */
enum status setup_from_content(struct arena *a, struct str content, struct setup *out, struct error *e);

#endif
