#ifndef BENCH_MODEL_H
#define BENCH_MODEL_H

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>
#include "tests/bench/users.h"

/*
 * What an acms writes, put into LMDB by itself: the same databases, keys and number of entries, values of the same
 * sizes, and nothing else: no look-ups, no encoding, no digests. The sizes are those measured in a real store
 * (run.py hands them over): base and each, so that a request of n users has a value of base + n * each bytes.
 */

enum model_db {
	M_META, M_USERS, M_SERVICE_IDS, M_REQUESTS, M_SYSTEMS, M_AUDIT, M_ASKED, M_OUTBOX, M_ANSWERS, M_BELIEVED,
	M_DATABASES
};

enum model_value {
	V_USER, V_OWNER, V_REQUEST, V_SYSTEM, V_AUDIT, V_HEAD, V_ASKED, V_OUTBOX, V_ANSWER, V_BELIEVED, V_ASK_AUDIT,
	V_ANSWER_AUDIT, MODEL_VALUES
};

struct model_size {
	double base, each;
};
extern struct model_size model_sizes[MODEL_VALUES];
/* "user=120:0,owner=60:0,..." False: a name that is none. */
bool model_take_sizes(char *text);

struct model {
	MDB_env *env;
	MDB_dbi dbi[M_DATABASES];
	uint64_t audit; /* last entry */
	int scattered;
};

void model_open(struct model *m, const char *directory, unsigned flags);
void model_close(struct model *m);
MDB_txn *model_begin(struct model *m);
void model_commit(MDB_txn *t);

/* All that follow: users first to first + n - 1, in requests of per_request each, entries of all of them in key order. */
void model_partner(struct model *m, MDB_txn *t, uint64_t first, uint64_t n, uint64_t per_request);
void model_accept(struct model *m, MDB_txn *t, uint64_t first, uint64_t n, uint64_t per_request);
void model_answer(struct model *m, MDB_txn *t, uint64_t first, uint64_t n, uint64_t per_request);

/* Looks one up as an IdM server would: by MC ID, or (by_service) by an MC service ID and then the MC ID. */
bool model_get(struct model *m, MDB_txn *t, uint64_t user, bool by_service);

#endif
