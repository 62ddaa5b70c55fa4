#ifndef ACMC_STOCKING_H
#define ACMC_STOCKING_H

#include <pthread.h>
#include "acmc/stock.h"

/*
 * Puts users into a stock while others are read. Nothing is sent before the last one is read and checked, so that nobody
 * else needs the second processor yet: once users are many, a thread of its own packs, hashes and writes them.
 */
struct stocking {
	struct stock *stock;
	/* The thread's while has_batch, else the caller's. */
	struct users batch;
	bool has_batch, ended;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	pthread_t thread;
	bool has_thread, alone; /* alone: no thread could be made */
};

/* False: out of memory; stocking_end is due all the same. Nobody else touches the stock until then. */
bool stocking_begin(struct stocking *s, struct stock *stock);
/* Takes all users over, as stock_take; best of some hundred at a time. */
void stocking_take(struct stocking *s, struct users *users);
/* All that were taken are in the stock. */
void stocking_end(struct stocking *s);

#endif
