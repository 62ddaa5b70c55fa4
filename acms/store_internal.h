#ifndef ACMS_STORE_INTERNAL_H
#define ACMS_STORE_INTERNAL_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>
#include "acms/store.h"

/*
 * What the files of the store share; for store*.c only, the only ones that know LMDB: store_open.c opens and upgrades,
 * store_file.c looks at the files,
 * store_txn.c begins, ends, gets and puts, store.c and store_requests.c know the records, store_audit.c the audit log,
 * store_lists.c the lists.
 */

enum { SCHEMA_VERSION = 2, KEY_MAX = 511 };

enum database {
	DB_META,
	DB_USERS,
	DB_SERVICE_IDS,
	DB_REQUESTS,
	DB_SYSTEMS,
	DB_AUDIT,
	DB_EXPIRIES, /* since schema version 2 */
	DB_PENDING,
	DB_ASKED,
	DB_OUTBOX,
	DB_ANSWERS,
	DB_BELIEVED,
	DB_BELIEVED_EXPIRIES,
	DATABASES
};
extern const char *const store_database_names[DATABASES];

struct store {
	MDB_env *env;
	MDB_dbi dbi[DATABASES];
	bool has[DATABASES]; /* all, but in a version 1 store that is only read */
	char *directory;
	char mc_system_id[MC_SYSTEM_ID_MAX + 1];
	int lock_fd;
	pthread_rwlock_t map; /* held for reading by each read transaction, for writing while the map changes its size */
	bool map_full; /* was what filled the last transaction; the writing thread's only */
	uint64_t version, max_bytes;
	bool upgraded;
	atomic_bool broken;
	store_damage *damage; /* NULL: nobody is to know */
	void *damage_context;
};

/* Behind `from` there is no key of a database before `to`: known until the transaction writes. */
struct gap {
	bool known, open; /* open: there is none behind at all */
	enum database db;
	size_t from_length;
	char from[KEY_MAX];
	MDB_val to; /* in the map */
};

/* What a transaction has changed of the counts of a home system, and is not in its record yet. */
struct counted {
	size_t home_len; /* 0: nothing */
	char home[MC_SYSTEM_ID_MAX];
	int64_t pending, pending_bytes, answers_bytes;
};

struct store_txn {
	struct counted counted;
	struct gap gap; /* where the last key was looked for in vain */
	struct store *store;
	MDB_txn *txn;
	bool reads;         /* it holds store->map */
	MDB_cursor *cursors[DATABASES]; /* each where the last get or put was; NULL: not needed yet */
	struct error error; /* sticky */
	struct job_state {
		struct error error; /* sticky until its end */
		bool unreadable;    /* the error is that a record cannot be read */
		bool wrote;
		size_t passed_over;
	} job;
	struct audit_head audit; /* the head as this transaction moved it; on disk with its commit */
	bool audit_known;        /* audit is */
};

/* --- files --- */

enum status file_check(const struct store *s, struct error *e);
/* Whether the environment that is open has a file that is shorter than its pages. */
bool file_is_short(const struct store *s);
/* Then: whether all that is missing are pages that nobody reads. Before it is opened again. */
enum status file_check_short(const struct store *s, struct error *e);

enum { FILE_GROUPS = 256 };
struct file_user {
	bool changed;
	gid_t group, groups[FILE_GROUPS];
	int n_groups;
};
/* From root to the directory's owner, if that is another; and back. */
enum status file_become_owner(const struct store *s, struct file_user *was, struct error *e);
void file_become_again(const struct file_user *was);

/* --- errors --- */

/* The one mapper of LMDB's and the system's errors. */
enum status store_error(struct store *s, int rc, const char *doing, struct error *e);
bool txn_good(const struct store_txn *t);
/* False always. */
bool txn_fail(struct store_txn *t, int rc, const char *doing);
void txn_fail_status(struct store_txn *t, enum status status, const char *what);
/* Only the job fails. False always. */
bool job_fail(struct store_txn *t, enum status status, const char *what);
/* Whether status is OK; if not, the job fails: a record that cannot be read is no reason to write over it. */
bool txn_decoded(struct store_txn *t, enum database db, MDB_val key, enum status status, const struct error *e);
/* Likewise for a list, which passes over it. */
bool txn_listed(struct store_txn *t, enum database db, MDB_val key, enum status status, const struct error *e);

/* --- keys --- */

/* "first 00 rest". The buffer has KEY_MAX bytes. */
MDB_val key_join(char *buffer, struct str first, struct str rest);
/* Whether there can be a key of these. A look-up of one that cannot be finds nothing. */
bool key_is_possible(struct str first, struct str rest);
/* For changes: identities are checked before they come here; this keeps a mistake from becoming an overflow. */
bool key_fits(struct store_txn *t, struct str first, struct str rest);
struct str key_of_request(const struct request_id *id);
MDB_val key_of_str(struct str s);
/* 64 bits, big endian. */
MDB_val key_of_number(uint8_t buffer[8], uint64_t n);
uint64_t key_number(const MDB_val *key);

/* --- values --- */

/* A copy, ptr == NULL if there is none; nor is one under a key that cannot be. */
struct str txn_get(struct store_txn *t, struct arena *a, enum database db, MDB_val key);
/* value.ptr == NULL: it could not be encoded, and the job fails. */
void txn_put(struct store_txn *t, enum database db, MDB_val key, struct str value, unsigned flags);
/* The same, if nothing is there. False: something is, or an error. */
bool txn_add(struct store_txn *t, enum database db, MDB_val key, struct str value);
/* value: of several under one key, NULL: the one there is. False: it was not there, which is fine, or an error. */
bool txn_delete(struct store_txn *t, enum database db, MDB_val key, MDB_val *value);

/* The length of a value; SIZE_MAX: there is none. */
size_t txn_length(struct store_txn *t, enum database db, MDB_val key);

/* --- what is counted of home systems --- */

/* More requests of a home system that wait, or fewer; what they take; what its answers take. */
void count_requests(struct store_txn *t, struct str home, int64_t pending, int64_t pending_bytes, int64_t answers_bytes);
/* Puts into the record what was counted: for the commit, and before it is looked up. */
void count_settle(struct store_txn *t);

struct str txn_get_meta(struct store_txn *t, struct arena *a, const char *key);
void txn_put_meta(struct store_txn *t, const char *key, struct str value);

/* --- the audit log --- */

/* The head by what is in the log; the number is 0 if nothing is. */
void audit_last(struct store_txn *t, struct audit_head *out);
void audit_put_head(struct store_txn *t, const struct audit_head *head);
/* For the commit: puts the head where this transaction's entries moved it, if there are any. */
void audit_settle(struct store_txn *t);

#endif
