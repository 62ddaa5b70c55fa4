#ifndef ACMS_STORE_H
#define ACMS_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include "acms/record.h"
#include "common/arena.h"
#include "common/error.h"
#include "common/str.h"

/*
 * The IdM store: an LMDB environment (layout: proto/idm-store.cddl), which only store*.c know.
 * One process writes (it holds a lock on DIRECTORY/acms.lock); any number read. Of the threads of a process one may write
 * while others read, each with transactions of its own, which it begins and ends itself: readers wait for no commit, and no
 * commit for them. Only store_grow waits until the read transactions that are open have ended.
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
 * A store of an older schema version is upgraded, all or nothing; STORE_READ takes it as it is, what it has not being
 * empty. ERR_BUSY: another server has it (STORE_WRITE: one that would have to be upgraded). ERR_STORE_VERSION: written by a newer version. ERR_NOT_FOUND: none there.
 */
enum status store_open(const char *directory, struct str mc_system_id, uint64_t map_bytes,
		       enum store_mode mode, struct store **out, struct error *e);
void store_close(struct store *s); /* NULL is fine */
/* The MC system whose store it is; lives as long as s. */
struct str store_mc_system_id(const struct store *s);
/* The schema version that it has; less than the present one with STORE_READ only. */
uint64_t store_version(const struct store *s);
/* Whether store_open upgraded it: worth a line in the log. */
bool store_upgraded(const struct store *s);

/*
 * A transaction. Errors stick: after the first one every call does nothing, look-ups find nothing, and
 * store_commit reports it. What look-ups return borrows from the arena given (copied out of the map).
 *
 * Several jobs may share one. What concerns a job alone (a record that cannot be read or made, a key that can be none,
 * its memory) sticks until store_end_job: others are not to fail by it. If the job had written by then, the transaction
 * fails, since half of it is in there.
 */
struct store_txn;

enum status store_begin_write(struct store *s, struct store_txn **out, struct error *e);
enum status store_begin_read(struct store *s, struct store_txn **out, struct error *e);
/* Ends it in any case. OK means on disk. ERR_STORE_FULL: the map or the disk is full. */
enum status store_commit(struct store_txn *t, struct error *e);
void store_abort(struct store_txn *t); /* NULL is fine */
/* It cannot be used any more, until it is opened anew. */
bool store_broken(const struct store *s);
/* Makes it fail for want of memory: the caller could not make what it had to write. */
void store_fail_memory(struct store_txn *t);
/* The sticky status so far: the transaction's, or else the job's. */
enum status store_status(const struct store_txn *t);
/* What the job's status is, which ends with it: what comes now is another job. */
enum status store_end_job(struct store_txn *t, struct error *e);
/*
 * Whether the job's status is that a record cannot be read; then this is reported (store_on_damage), and the job goes on
 * as if the record were not there.
 */
bool store_pass_over(struct store_txn *t);
/* Records that lists and store_pass_over have passed over in this job. */
size_t store_passed_over(const struct store_txn *t);
/*
 * Who is to know of each record that was passed over: where it is and what is wrong. Called in any thread that has a
 * transaction. Without, they are not reported.
 */
typedef void store_damage(void *context, const char *text);
void store_on_damage(struct store *s, store_damage *damage, void *context);
/* Of the store as a read transaction sees it, or a write transaction makes it: later ones have greater numbers. */
uint64_t store_snapshot(const struct store_txn *t);
/*
 * After ERR_STORE_FULL, by the thread that writes, with no transaction of its own open: doubles the map. ERR_STORE_FULL: it was
 * the disk that was full, not the map, or store_bound forbids it, and nothing was changed.
 */
enum status store_grow(struct store *s, struct error *e);
/* What the store may take; 0 (the default): no bound. A sixteenth of it more is left for what makes room. */
void store_bound(struct store *s, uint64_t max_bytes);
/* Whether that is taken, but for pages that can be used again: then only what makes room is to be written. */
bool store_is_full(struct store *s, struct error *e);

/* The users that others set up here, by home system; or what we believe is set up elsewhere, by partner. */
enum store_users { STORE_USERS, STORE_BELIEVED };

/* Look-ups: true if found. */
bool store_get_user(struct store_txn *t, struct arena *a, enum store_users which, struct str home,
		    struct str mc_id, struct user_record *out);
bool store_get_owner(struct store_txn *t, struct arena *a, struct str mc_service_id,
		     struct owner_record *out);
bool store_get_request(struct store_txn *t, struct arena *a, struct str home,
		       struct request_id id, struct request_record *out);
bool store_get_system(struct store_txn *t, struct arena *a, struct str mc_system_id,
		      struct system_record *out);

/* What the home system's side keeps: PROTOCOL.md 9. */
bool store_get_asked(struct store_txn *t, struct arena *a, struct request_id id,
		     struct asked_record *out);
bool store_get_answer(struct store_txn *t, struct arena *a, struct request_id id, struct str target,
		      struct answer_record *out);
bool store_get_outbox(struct store_txn *t, struct arena *a, struct str target, struct request_id id,
		      struct outbox_record *out);
/* What the partner's side keeps until a decision. */
bool store_get_pending(struct store_txn *t, struct arena *a, struct str home, struct request_id id,
		       struct pending_record *out);
/* Changes. The arena is for encoding. */
/* A user who is not there. False: there is one, and all is as it was; or the transaction failed. */
bool store_add_user(struct store_txn *t, struct arena *a, enum store_users which, struct str home,
		    struct str mc_id, const struct user_record *r);
/* before: the record that it takes the place of, NULL if none: its expiry entry goes. */
void store_put_user(struct store_txn *t, struct arena *a, enum store_users which, struct str home,
		    struct str mc_id, const struct user_record *before, const struct user_record *r);
/* Of a user whose record cannot be read, or is not there: the record and its expiry entry. */
void store_drop_user(struct store_txn *t, enum store_users which, struct str home, struct str mc_id,
		     uint64_t not_after_ms);
/* r: the record that is there. Its MC service IDs' entries are the caller's to delete. */
void store_delete_user(struct store_txn *t, enum store_users which, struct str home,
		       struct str mc_id, const struct user_record *r);
void store_put_asked(struct store_txn *t, struct arena *a, struct request_id id,
		     const struct asked_record *r);
void store_delete_asked(struct store_txn *t, struct request_id id);
void store_put_outbox(struct store_txn *t, struct arena *a, struct str target, struct request_id id,
		      const struct outbox_record *r);
void store_delete_outbox(struct store_txn *t, struct str target, struct request_id id);
void store_put_answer(struct store_txn *t, struct arena *a, struct request_id id, struct str target,
		      const struct answer_record *r);
void store_delete_answer(struct store_txn *t, struct request_id id, struct str target);
void store_put_pending(struct store_txn *t, struct arena *a, struct str home, struct request_id id,
		       const struct pending_record *r);
void store_delete_pending(struct store_txn *t, struct str home, struct request_id id);
void store_delete_request(struct store_txn *t, struct str home, struct request_id id);
void store_put_owner(struct store_txn *t, struct arena *a, struct str mc_service_id,
		     const struct owner_record *r);
void store_delete_owner(struct store_txn *t, struct str mc_service_id);
void store_put_request(struct store_txn *t, struct arena *a, struct str home,
		       struct request_id id, const struct request_record *r);
/*
 * requests_pending, pending_bytes and answers_bytes are counted by the functions above that put and delete; the caller leaves
 * them as it got them, in this transaction.
 */
void store_put_system(struct store_txn *t, struct arena *a, struct str mc_system_id,
		      const struct system_record *r);
/* Appends behind the audit log's head, filling in r->previous, and moves the head, which is written with the commit. */
void store_append_audit(struct store_txn *t, struct arena *a, struct audit_record *r);
/* False: there is none (a version 1 store), or an error. */
bool store_get_audit_head(struct store_txn *t, struct audit_head *out);
/* What the log begins behind: the last entry that store_drop_audit deleted; number 0: none was. */
void store_get_audit_start(struct store_txn *t, struct audit_head *out);
/* Deletes the first entries, up to number last, at most so many; the log then begins behind them. How many there were. */
size_t store_drop_audit(struct store_txn *t, uint64_t last, size_t most);

/*
 * Lists. Each calls each() for every record in key order, from a start on, until it returns false or there are no
 * more: true then (false after an error, too). What each() gets is valid during its call only; it may look up and
 * list, but not change the store. Records that cannot be read are passed over.
 */

struct user_key {
	struct str home, mc_id;
	uint64_t not_after_ms; /* of an expiry entry; 0: the key is not from there */
};
typedef bool store_each_user(void *context, struct str home, struct str mc_id,
			     const struct user_record *r);
/* Of one home system (home STR_NONE: of all); from *after on, without it; NULL or both STR_NONE: from the first. */
bool store_list_users(struct store_txn *t, enum store_users which, struct str home,
		      const struct user_key *after, store_each_user *each, void *context);
/* Of one home system, MC IDs from `from` (with it; STR_NONE: the first) to `to` (without it; STR_NONE: the last). */
bool store_range_users(struct store_txn *t, enum store_users which, struct str home,
		       struct str from, struct str to, store_each_user *each, void *context);

/* Users whose validity ended by now_ms, the earliest first. not_after_ms: by the index. */
typedef bool store_each_expired(void *context, struct str home, struct str mc_id, uint64_t not_after_ms);
bool store_list_expired(struct store_txn *t, enum store_users which, uint64_t now_ms,
			store_each_expired *each, void *context);

typedef bool store_each_system(void *context, struct str mc_system_id,
			       const struct system_record *r);
bool store_list_systems(struct store_txn *t, store_each_system *each,
			void *context);

/* value: the entry as stored. */
typedef bool store_each_audit(void *context, uint64_t number, struct str value);
bool store_list_audit(struct store_txn *t, uint64_t from, store_each_audit *each,
		      void *context);

typedef bool store_each_pending(void *context, struct str home, struct request_id id,
				const struct pending_record *r);
/* after: without it; NULL: from the first. home: of this one only; STR_NONE: of all. */
bool store_list_pending(struct store_txn *t, struct str home,
			const struct str *after_home, const struct request_id *after,
			store_each_pending *each, void *context);

typedef bool store_each_outbox(void *context, struct str target, struct request_id id,
			       const struct outbox_record *r);
bool store_list_outbox(struct store_txn *t, store_each_outbox *each,
		       void *context);

/* Those accepted at since_ms or later come with r == NULL: they are not decoded. UINT64_MAX: all are. */
typedef bool store_each_asked(void *context, struct request_id id, const struct asked_record *r);
bool store_list_asked(struct store_txn *t, const struct request_id *after, uint64_t since_ms,
		      store_each_asked *each, void *context);

/* Those answered at since_ms or later, in the same way. */
typedef bool store_each_request(void *context, struct str home, struct request_id id,
				const struct request_record *r);
bool store_list_requests(struct store_txn *t, const struct str *after_home,
			 const struct request_id *after, uint64_t since_ms, store_each_request *each,
			 void *context);

#endif
