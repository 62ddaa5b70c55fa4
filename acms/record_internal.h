#ifndef ACMS_RECORD_INTERNAL_H
#define ACMS_RECORD_INTERNAL_H

#include "acms/record.h"
#include "common/cbor.h"

/* What several records have in common; for record*.c only. */

/* Room for all of a record's numbers, heads and keys outside of its lists. */
enum { HEAD_MAX = CBOR_HEAD_MAX, FIXED_MAX = 64 * HEAD_MAX };

/* A map being read: its keys come in ascending order, each at most once. */
struct map {
	struct cbor_reader *r;
	uint64_t left; /* pairs */
};
struct map map_of(struct cbor_reader *r);
/* A key that must come next. */
void map_key(struct map *m, uint64_t key);
/* Whether an optional key comes next, which is then read. */
bool map_has(struct map *m, uint64_t key);
/* Nothing else may come. */
void map_end(struct map *m);

/* Sizes are upper bounds, for cbor_writer_new. */
size_t service_ids_size(const struct user_service_id *ids, size_t n);
void put_service_ids(struct cbor_writer *w, const struct user_service_id *ids, size_t n);
const struct user_service_id *get_service_ids(struct cbor_reader *r, struct arena *a, size_t *n);

size_t identities_size(const struct identity_cause *causes, size_t n);
void put_identities(struct cbor_writer *w, const struct identity_cause *causes, size_t n);
const struct identity_cause *get_identities(struct cbor_reader *r, struct arena *a, size_t *n);

void put_revisions(struct cbor_writer *w, const uint64_t *revisions, size_t n);
const uint64_t *get_revisions(struct cbor_reader *r, struct arena *a, size_t *n);

size_t texts_size(const struct str *texts, size_t n);
void put_texts(struct cbor_writer *w, const struct str *texts, size_t n);
/* Texts as somebody else chose them: any. Not an empty list. */
const struct str *get_texts(struct cbor_reader *r, struct arena *a, size_t *n);

size_t decided_by_size(const struct decided_by *d);
void put_decided_by(struct cbor_writer *w, const struct decided_by *d);
struct decided_by get_decided_by(struct cbor_reader *r, struct arena *a);

/* A cause may be a newer version's, but not what an enum cannot hold: cut, it could become TRUE. */
void put_cause(struct cbor_writer *w, enum cause cause);
enum cause get_cause(struct cbor_reader *r);
/* Other than OPERATION_SETUP, which is left out. */
void put_operation(struct cbor_writer *w, enum operation operation);
enum operation get_operation(struct cbor_reader *r);
/* A key and its number, if it is not 0, which is left out. */
void put_number(struct cbor_writer *w, uint64_t key, uint64_t value);
uint64_t get_nonzero(struct cbor_reader *r);

#endif
