#ifndef ACMC_STOCK_H
#define ACMC_STOCK_H

#include "acmc/spool.h"
#include "common/setup.h"
#include "common/users_file.h"

/*
 * The users of one command, checked, packed into a spool: memory does not grow with their number.
 */
struct stock {
	struct spool users;
	size_t hashes_at_once, run_bytes; /* at a time, 0: as is good; tests take less */
	struct spool hashes; /* of all MC IDs and MC service IDs, in no meaning but for finding who is there twice */
	size_t n;
	struct validity validity; /* of the first */
	bool bounded;             /* somebody has a validity */
	bool differ;              /* not all have the same */
	bool in_order;            /* their MC IDs are sorted as they came */
	char last[255];           /* MC ID so far, */
	size_t last_n;            /* and its length */
};

/* One of them; texts are the stock's, as long as what it was unpacked from. */
struct stocked {
	struct str mc_id;
	unsigned line;
	uint64_t revision; /* 0: none */
	struct validity validity;
	size_t n_ids, ids_bytes; /* MC service IDs, and the sum of their lengths */
	const uint8_t *ids;      /* for stock_id */
	size_t packed;           /* bytes in the stock */
};

/* Zeroed, it is empty. */
void stock_free(struct stock *s);
/* Takes all users over, each of which was checked by itself; the list is empty then. */
void stock_take(struct stock *s, struct users *users);
/* One of a request that others have checked: nobody asks who is there twice. */
void stock_add(struct stock *s, const struct setup_user *user);
uint64_t stock_bytes(const struct stock *s);
/*
 * Once all are taken: tells who is there twice. True: there was no mistake at all. False, too, when the stock failed
 * (stock_failed).
 */
bool stock_check(struct stock *s, struct users *users);
/*
 * Sorts by validity, and those of the same bytewise by MC ID, or else as they came. False: the stock failed, or out of
 * memory.
 */
bool stock_sort(struct stock *s, bool by_mc_id);
/* NULL: no; otherwise why, for people (static). */
const char *stock_failed(const struct stock *s);

/* The user at *offset, which is moved to the next; until the next call for the stock. False: no more, or failed. */
bool stock_next(struct stock *s, uint64_t *offset, struct stocked *out);
/* So many bytes of users; until the next call for the stock. NULL: failed. */
const uint8_t *stock_at(struct stock *s, uint64_t offset, size_t bytes);
/* The size of the user that begins here; 0: n bytes do not tell. */
size_t stock_packed(const uint8_t *at, size_t n);
/* Unpacks a user; returns the next one's place. */
const uint8_t *stock_user(const uint8_t *at, struct stocked *out);
/* Unpacks an MC service ID, the first at stocked.ids; returns the next one's place. */
const uint8_t *stock_id(const uint8_t *at, struct user_service_id *out);

#endif
