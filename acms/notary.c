#include "acms/notary.h"

#include "common/log.h"
#include "common/receipt_sign.h"

enum { BATCH_MAX = 1024 }; /* of which a proof's path has 10 steps */

void notary_add(struct notary *n, struct notary_item *item)
{
	item->next = NULL;
	if (n->first)
		n->last->next = item;
	else
		n->first = item;
	n->last = item;
}

/* Takes the items of one batch, and their leaves. */
static size_t take(struct notary *n, struct notary_item *items[BATCH_MAX], struct merkle_hash leaves[BATCH_MAX])
{
	size_t taken = 0;
	for (; n->first && taken < BATCH_MAX; n->first = n->first->next, taken++) {
		items[taken] = n->first;
		leaves[taken] = n->first->leaf;
	}
	return taken;
}

static void sign_batch(struct notary *n, const struct tls_identity *id)
{
	struct notary_item *items[BATCH_MAX];
	struct merkle_hash leaves[BATCH_MAX];
	struct receipt_batch batch;
	struct error e = { ERR_MEMORY, "out of memory" };
	struct arena *a = arena_new(0), *scratch = arena_new(0);
	size_t count = take(n, items, leaves);
	bool good = a && scratch && receipt_sign(a, id, leaves, count, &batch, &e) == OK;
	if (!good)
		log_error("no receipts can be made for what was done: %s", e.text);
	for (size_t i = 0; i < count; i++) {
		items[i]->certified(items[i], good ? receipt_prove(scratch, &batch, i) : STR_NONE, &batch.tree.root);
		if (scratch)
			arena_reset(scratch);
	}
	arena_free(a);
	arena_free(scratch);
}

void notary_sign(struct notary *n, const struct tls_identity *id)
{
	while (n->first)
		sign_batch(n, id);
}
