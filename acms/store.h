#ifndef ACMS_STORE_H
#define ACMS_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include "acms/record.h"
#include "common/arena.h"
#include "common/error.h"
#include "common/str.h"

/*
 * The IdM store: an LMDB environment (layout: proto/idm-store.cddl). The only file that knows LMDB.
 * One process writes (it holds a lock on DIRECTORY/acms.lock); any number read. A struct store is used by one
 * thread at a time.
 */
struct store;

enum store_mode {
	STORE_SERVE, /* read and write, as the one server; creates what is missing */
	STORE_WRITE, /* read and write, beside a running server; creates what is missing */
	STORE_READ,  /* beside a running server; creates nothing */
};

/*
 * Opens, and creates or checks the schema. mc_system_id: whose store it is, checked against what it says (with
 * STORE_READ it may be STR_NONE). map_bytes: first size of the map, grown when full; 0 with STORE_READ.
 * ERR_BUSY: another server has it. ERR_STORE_VERSION: written by a newer version. ERR_NOT_FOUND: none there.
 */
enum status store_open(const char *directory, struct str mc_system_id, uint64_t map_bytes,
		       enum store_mode mode, struct store **out, struct error *e);
void store_close(struct store *s); /* NULL is fine */
/* The MC system whose store it is; lives as long as s. */
struct str store_mc_system_id(const struct store *s);

/*
 * A transaction. Errors stick: after the first one every call does nothing, look-ups find nothing, and
 * store_commit reports it. What look-ups return borrows from the arena given (copied out of the map).
 */
struct store_txn;

enum status store_begin_write(struct store *s, struct store_txn **out, struct error *e);
enum status store_begin_read(struct store *s, struct store_txn **out, struct error *e);
/* Ends it in any case. OK means on disk. ERR_STORE_FULL: the map or the disk is full. */
enum status store_commit(struct store_txn *t, struct error *e);
void store_abort(struct store_txn *t); /* NULL is fine */
/* It cannot be used any more, until it is opened anew. */
bool store_broken(const struct store *s);
/* The sticky status so far. */
enum status store_status(const struct store_txn *t);
/*
 * After ERR_STORE_FULL, with no transaction open in this process: doubles the map. ERR_STORE_FULL: it was
 * the disk that was full, not the map, and nothing was changed.
 */
enum status store_grow(struct store *s, struct error *e);

/* Look-ups: true if found. */
bool store_get_user(struct store_txn *t, struct arena *a, struct str home, struct str mc_id,
		    struct user_record *out);
bool store_get_owner(struct store_txn *t, struct arena *a, struct str mc_service_id,
		     struct owner_record *out);
bool store_get_request(struct store_txn *t, struct arena *a, struct str home,
		       struct request_id id, struct request_record *out);
bool store_get_system(struct store_txn *t, struct arena *a, struct str mc_system_id,
		      struct system_record *out);

/* Changes. The arena is for encoding. */
void store_put_user(struct store_txn *t, struct arena *a, struct str home, struct str mc_id,
		    const struct user_record *r);
void store_put_owner(struct store_txn *t, struct arena *a, struct str mc_service_id,
		     const struct owner_record *r);
void store_delete_owner(struct store_txn *t, struct str mc_service_id);
void store_put_request(struct store_txn *t, struct arena *a, struct str home,
		       struct request_id id, const struct request_record *r);
void store_put_system(struct store_txn *t, struct arena *a, struct str mc_system_id,
		      const struct system_record *r);
/* Appends, filling in r->previous. */
void store_append_audit(struct store_txn *t, struct arena *a, struct audit_record *r);

/*
 * Pages of the users, ordered by (home, MC ID), of one home system or of all (home STR_NONE), from behind
 * *after (home and MC ID; both STR_NONE at the start). Calls each() until it has been called max times or
 * returns false, and says in *after where it stopped (copied into the arena); *more: there may be more.
 */
struct user_key {
	struct str home, mc_id;
};
typedef bool store_each_user(void *context, struct str home, struct str mc_id,
			     const struct user_record *r);
void store_list_users(struct store_txn *t, struct arena *a, struct str home,
		      struct user_key *after, size_t max, bool *more, store_each_user *each,
		      void *context);
/* Each MC system that has a record in systems, in order. */
typedef bool store_each_system(void *context, struct str mc_system_id,
			       const struct system_record *r);
void store_list_systems(struct store_txn *t, struct arena *a, store_each_system *each,
			void *context);
/* Each audit entry from number *next on, as store_list_users does. value: the entry as stored. */
typedef bool store_each_audit(void *context, uint64_t number, struct str value);
void store_list_audit(struct store_txn *t, struct arena *a, uint64_t *next, size_t max,
		      bool *more, store_each_audit *each, void *context);

#endif
