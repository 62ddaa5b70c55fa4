#ifndef ACMS_PARTY_H
#define ACMS_PARTY_H

#include "acms/peer_internal.h"

/*
 * Who asks us: an ACMC or a partner system over all of its connections. What a party asks is counted together, in memory
 * and in turns at the store; whoever asks for much waits for himself alone. Loop only.
 */

/* For a connection whose principal is known, or has changed. False: out of memory, and it is where it was, if anywhere. */
bool party_join(struct peer *p);
void party_leave(struct peer *p);

/* Counts n bytes that a party has asked us to hold. Once its share is full its connections are not read. */
void holding_begin(struct holding *h, struct party *y, size_t n);
void holding_grow(struct holding *h, size_t n);
void holding_end(struct holding *h);

/* Whether all that the connection is still to be answered waits for it to take the answers before. */
bool party_awaits_peer(const struct peer *p);

/* The query waits for its turn; perhaps that is now. */
void party_enqueue(struct party *y, struct query *q);
/*
 * Begins what may begin: of a party one query reads the store at a time, its connections take turns, and one that does not
 * take its answers has none.
 */
void party_turn(struct party *y);
/* A query that had its party's turn at the store is finished. */
void party_end_turn(struct party *y);

#endif
