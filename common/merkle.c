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

/* Where a node is on the way up: its place on its level, and that of the last node there. */
struct place {
	uint64_t at, last;
	unsigned level;
};

/* To where the node has a neighbour: without one it goes up as it is. False: it is the root. */
static bool find_neighbour(struct place *p)
{
	while (p->last > 0 && p->at % 2 == 0 && p->at == p->last) {
		p->at /= 2;
		p->last /= 2;
		p->level++;
	}
	return p->last > 0;
}

static enum status step(struct place *p, const struct merkle_hash *neighbour, struct merkle_hash *node)
{
	enum status status = p->at % 2 ? join(neighbour, node, node) : join(node, neighbour, node);
	p->at /= 2;
	p->last /= 2;
	p->level++;
	return status;
}

static struct place start_of(const struct merkle_proof *proof)
{
	return (struct place){ proof->index, proof->size - 1, 0 };
}

/* RFC 9162 2.1.3.2 */
enum status merkle_root(const struct merkle_hash *leaf, const struct merkle_proof *proof,
			struct merkle_hash *out)
{
	struct place p = start_of(proof);
	enum status status = OK;
	if (proof->index >= proof->size)
		return ERR_INPUT;
	*out = *leaf;
	for (size_t i = 0; i < proof->n_path && status == OK; i++) {
		if (!find_neighbour(&p))
			return ERR_INPUT;
		status = step(&p, &proof->path[i], out);
	}
	return status == OK && find_neighbour(&p) ? ERR_INPUT : status;
}

/* --- with what is known --- */

/* Of the same tree; NULL: none. */
static struct merkle_known *find_known(struct merkle_memo *memo, const struct merkle_proof *proof,
				       const struct merkle_hash *root)
{
	for (size_t i = 0; i < MERKLE_KNOWN_MAX; i++) {
		struct merkle_known *k = &memo->known[i];
		if (k->proof.size == proof->size && merkle_same(&k->root, root))
			return k;
	}
	return NULL;
}

/* The step of a known proof from the neighbour of this place; its n_path: there is none. */
static size_t step_beside(const struct merkle_known *k, const struct place *wanted)
{
	struct place p = start_of(&k->proof);
	size_t i = 0;
	for (; i < k->proof.n_path && find_neighbour(&p); i++, p.at /= 2, p.last /= 2, p.level++) {
		if (p.level == wanted->level && p.at == (wanted->at ^ 1))
			return i;
		if (p.level > wanted->level)
			break;
	}
	return k->proof.n_path;
}

/* Whether node, before step i of a proof, is what a known one has for a neighbour there, and all above is the same. */
static bool joins(const struct merkle_known *k, const struct merkle_proof *proof, size_t i, const struct place *p,
		  const struct merkle_hash *node)
{
	size_t j = step_beside(k, p);
	size_t rest = proof->n_path - i;
	return j < k->proof.n_path && k->proof.n_path - j == rest && merkle_same(node, &k->proof.path[j]) &&
	       merkle_same(&proof->path[i], &k->nodes[j]) &&
	       memcmp(&proof->path[i + 1], &k->proof.path[j + 1], (rest - 1) * sizeof *proof->path) == 0;
}

/* Of a proof that joins a known one before step i, with its nodes up to there: what both have above. */
static void take_above(const struct merkle_known *k, size_t i, struct merkle_known *out)
{
	size_t rest = out->proof.n_path - i - 1;
	memcpy(&out->nodes[i + 1], &k->nodes[k->proof.n_path - rest], rest * sizeof *out->nodes);
}

/* Fills in the nodes. */
static enum status climb(const struct merkle_known *k, struct merkle_known *out, struct merkle_hash node)
{
	const struct merkle_proof *proof = &out->proof;
	struct place p = start_of(proof);
	enum status status = OK;
	for (size_t i = 0; i < proof->n_path && status == OK; i++) {
		if (!find_neighbour(&p))
			return ERR_INPUT;
		out->nodes[i] = node;
		if (k && joins(k, proof, i, &p, &node)) {
			take_above(k, i, out);
			return OK;
		}
		status = step(&p, &proof->path[i], &node);
	}
	if (status == OK && (find_neighbour(&p) || !merkle_same(&node, &out->root)))
		return ERR_INPUT;
	return status;
}

enum status merkle_check(struct merkle_memo *memo, struct str entry, const struct merkle_proof *proof,
			 const struct merkle_hash *root)
{
	struct merkle_known *k = find_known(memo, proof, root), found = { .proof = *proof, .root = *root };
	struct merkle_hash leaf;
	enum status status = proof->index < proof->size ? merkle_leaf(entry, &leaf) : ERR_INPUT;
	if (status == OK)
		status = climb(k, &found, leaf);
	if (status != OK)
		return status;
	if (!k) {
		k = &memo->known[memo->next];
		memo->next = (memo->next + 1) % MERKLE_KNOWN_MAX;
	}
	*k = found;
	return OK;
}

bool merkle_same(const struct merkle_hash *a, const struct merkle_hash *b)
{
	return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
