#include "acms/notary.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "common/crypto.h"
#include "common/failpoint.h"
#include "common/log.h"
#include "common/receipt_sign.h"

enum {
	BATCH_MAX = 1024, /* of which a proof's path has 10 steps */
	AHEAD_MAX = 512,
};

struct leaves {
	size_t n;
	struct merkle_hash hashes[AHEAD_MAX];
};

/* One signature, with all that its proofs need; zeros: none. */
struct certificate {
	struct arena *arena;
	struct receipt_batch batch;
};

struct notary {
	struct leaves noted; /* the committer's thread's alone */

	pthread_mutex_t mutex; /* for what follows */
	struct leaves offered;

	/* The loop's alone: */
	struct notary_item *first, *last;
	struct certificate ahead;
};

struct notary *notary_new(void)
{
	struct notary *n = calloc(1, sizeof *n);
	if (n)
		pthread_mutex_init(&n->mutex, NULL);
	return n;
}

void notary_free(struct notary *n)
{
	if (!n)
		return;
	notary_forget(n);
	pthread_mutex_destroy(&n->mutex);
	free(n);
}

/* --- in the committer's thread --- */

static void copy_leaves(struct leaves *to, const struct leaves *from)
{
	to->n = from->n;
	memcpy(to->hashes, from->hashes, from->n * sizeof *from->hashes);
}

void notary_note(struct notary *n, const struct merkle_hash *leaf)
{
	if (n->noted.n < AHEAD_MAX)
		n->noted.hashes[n->noted.n++] = *leaf;
}

bool notary_offer(struct notary *n)
{
	if (n->noted.n == 0)
		return false;
	pthread_mutex_lock(&n->mutex);
	copy_leaves(&n->offered, &n->noted);
	pthread_mutex_unlock(&n->mutex);
	return true;
}

void notary_withdraw(struct notary *n)
{
	if (n->noted.n == 0)
		return;
	n->noted.n = 0;
	pthread_mutex_lock(&n->mutex);
	n->offered.n = 0;
	pthread_mutex_unlock(&n->mutex);
}

/* --- signatures --- */

/* Nobody is to find it who may not have it. */
static void destroy(struct certificate *c)
{
	struct str signature = c->batch.common.signature;
	if (signature.ptr)
		crypto_wipe((char *)signature.ptr, signature.len);
	arena_free(c->arena);
	*c = (struct certificate){ .arena = NULL };
}

/* False: there is none, and e says why. */
static bool make(struct certificate *c, const struct tls_identity *id, const struct merkle_hash *leaves, size_t n,
		 struct error *e)
{
	*c = (struct certificate){ .arena = arena_new(0) };
	struct merkle_hash *own = c->arena ? arena_array_raw(c->arena, n, sizeof *own) : NULL;
	error_set(e, ERR_MEMORY, "out of memory");
	if (own)
		memcpy(own, leaves, n * sizeof *own);
	if (own && receipt_sign(c->arena, id, own, n, &c->batch, e) == OK)
		return true;
	destroy(c);
	return false;
}

/* The first of those who wait, as many as it is for. */
static void certify(struct notary *n, const struct certificate *c, size_t count)
{
	struct arena *scratch = arena_new(0);
	bool good = c->arena && scratch;
	for (size_t i = 0; i < count; i++) {
		struct notary_item *item = n->first;
		n->first = item->next;
		item->certified(item, good ? receipt_prove(scratch, &c->batch, i) : STR_NONE, &c->batch.tree.root);
		if (scratch)
			arena_reset(scratch);
	}
	arena_free(scratch);
}

/* --- in the loop's thread --- */

void notary_add(struct notary *n, struct notary_item *item)
{
	item->next = NULL;
	if (n->first)
		n->last->next = item;
	else
		n->first = item;
	n->last = item;
}

/* Whether the first of those who wait are what it is for. */
static bool fits(const struct notary *n, const struct certificate *c)
{
	const struct notary_item *item = n->first;
	for (size_t i = 0; i < c->batch.tree.size; i++, item = item->next) {
		if (!item || !merkle_same(&item->leaf, &c->batch.tree.levels[0][i]))
			return false;
	}
	return c->arena;
}

static void sign_batch(struct notary *n, const struct tls_identity *id)
{
	struct merkle_hash leaves[BATCH_MAX];
	struct certificate c;
	struct error e;
	size_t count = 0;
	for (const struct notary_item *item = n->first; item && count < BATCH_MAX; item = item->next)
		leaves[count++] = item->leaf;
	if (!make(&c, id, leaves, count, &e))
		log_error("no receipts can be made for what was done: %s", e.text);
	certify(n, &c, count);
	destroy(&c);
}

void notary_sign(struct notary *n, const struct tls_identity *id)
{
	if (fits(n, &n->ahead))
		certify(n, &n->ahead, n->ahead.batch.tree.size);
	destroy(&n->ahead);
	while (n->first)
		sign_batch(n, id);
}

void notary_sign_ahead(struct notary *n, const struct tls_identity *id)
{
	struct leaves leaves;
	struct error e;
	pthread_mutex_lock(&n->mutex);
	copy_leaves(&leaves, &n->offered);
	n->offered.n = 0;
	pthread_mutex_unlock(&n->mutex);
	if (leaves.n == 0)
		return;
	destroy(&n->ahead);
	make(&n->ahead, id, leaves.hashes, leaves.n, &e); /* what is wrong is said when it is needed */
	fail_point("receipts-signed-ahead");
}

void notary_forget(struct notary *n)
{
	destroy(&n->ahead);
}
