#include "common/merkle.h"

#include <string.h>
#include "common/crypto.h"

/* RFC 9162 2.1.1: different for leaves and nodes, so that nobody can present the one as the other. */
static const struct str leaf_prefix = { "\x00", 1 }, node_prefix = { "\x01", 1 };

static struct str bytes_of(const struct merkle_hash *h)
{
	return (struct str){ (const char *)h->bytes, sizeof h->bytes };
}

enum status merkle_leaf(struct str entry, struct merkle_hash *out)
{
	const struct str parts[] = { leaf_prefix, entry };
	return crypto_sha256_parts(parts, 2, out->bytes);
}

/* out may be one of the two. */
static enum status join(const struct merkle_hash *left, const struct merkle_hash *right,
			struct merkle_hash *out)
{
	const struct str parts[] = { node_prefix, bytes_of(left), bytes_of(right) };
	return crypto_sha256_parts(parts, 3, out->bytes);
}

/*
 * Level by level, an odd one at the end going up as it is, is the same tree as that of RFC 9162, which splits at the
 * largest power of two below.
 */
enum status merkle_build(struct arena *a, const struct merkle_hash *leaves, size_t n, struct merkle_tree *out)
{
	enum status status = OK;
	*out = (struct merkle_tree){ .size = n, .levels = { leaves } };
	for (size_t level = 0; n > 1 && status == OK; level++) {
		const struct merkle_hash *below = out->levels[level];
		size_t above = (n + 1) / 2;
		struct merkle_hash *nodes = arena_array(a, above, sizeof *nodes);
		if (!nodes)
			return ERR_MEMORY;
		for (size_t i = 0; i < n / 2 && status == OK; i++)
			status = join(&below[2 * i], &below[2 * i + 1], &nodes[i]);
		if (n % 2)
			nodes[above - 1] = below[n - 1];
		out->levels[level + 1] = nodes;
		n = above;
		out->root = nodes[0];
	}
	if (out->size == 1)
		out->root = leaves[0];
	return status;
}

void merkle_prove(const struct merkle_tree *t, size_t index, struct merkle_proof *out)
{
	size_t at = index, level = 0;
	out->size = t->size;
	out->index = index;
	out->n_path = 0;
	for (size_t n = t->size; n > 1; n = (n + 1) / 2, at /= 2, level++) {
		if ((at ^ 1) < n)
			out->path[out->n_path++] = t->levels[level][at ^ 1];
	}
}

/* RFC 9162 2.1.3.2. at and last: the place of the node and of the last one on the way up, level by level. */
enum status merkle_root(const struct merkle_hash *leaf, const struct merkle_proof *proof,
			struct merkle_hash *out)
{
	enum status status = OK;
	uint64_t at = proof->index, last = proof->size - 1;
	if (proof->index >= proof->size)
		return ERR_INPUT;
	*out = *leaf;
	for (size_t i = 0; i < proof->n_path && status == OK; i++, at >>= 1, last >>= 1) {
		if (last == 0)
			return ERR_INPUT;
		if (at % 2 == 0 && at < last) {
			status = join(out, &proof->path[i], out);
			continue;
		}
		for (; at % 2 == 0 && at > 0; at >>= 1)
			last >>= 1; /* it went up without a neighbour */
		status = join(&proof->path[i], out, out);
	}
	return status != OK || last == 0 ? status : ERR_INPUT;
}

enum status merkle_check(struct str entry, const struct merkle_proof *proof, const struct merkle_hash *root)
{
	struct merkle_hash leaf, found;
	enum status status = merkle_leaf(entry, &leaf);
	if (status == OK)
		status = merkle_root(&leaf, proof, &found);
	return status != OK || merkle_same(&found, root) ? status : ERR_INPUT;
}

bool merkle_same(const struct merkle_hash *a, const struct merkle_hash *b)
{
	return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
