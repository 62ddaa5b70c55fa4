#ifndef ACX_PAGE_H
#define ACX_PAGE_H

#include "common/message.h"

/*
 * Whether a UsersPage or DigestPage, which was decoded, can be an answer to its query: PROTOCOL.md 10. NULL: it can;
 * otherwise what is wrong (static). An answer with a cause says nothing that could be wrong. Pure.
 */
const char *page_fault(const struct message *query, const struct message *answer);

#endif
