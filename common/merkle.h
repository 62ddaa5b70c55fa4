#ifndef ACX_MERKLE_H
#define ACX_MERKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/arena.h"
#include "common/error.h"
#include "common/str.h"

/*
 * Merkle trees with SHA-256 (RFC 9162 2.1): many things vouched for by one root, each with a short proof that it is among
 * them. Knows no clock, socket or file; OpenSSL digests.
 */

enum { MERKLE_DEPTH_MAX = 16, MERKLE_LEAVES_MAX = 1 << MERKLE_DEPTH_MAX };

struct merkle_hash {
	uint8_t bytes[32];
};

/* That a leaf is in a tree: the inclusion proof of RFC 9162 2.1.3. */
struct merkle_proof {
	uint64_t size, index; /* of the tree, in leaves; of the leaf, from 0 */
	size_t n_path;
	struct merkle_hash path[MERKLE_DEPTH_MAX]; /* from the leaf to the root; none in a tree of one */
};

struct merkle_tree {
	size_t size;                                              /* leaves */
	const struct merkle_hash *levels[MERKLE_DEPTH_MAX + 1];   /* [0]: the leaves; the last one that there is: the root */
	struct merkle_hash root;
};

/* What stands for an entry in the tree. ERR_SYSTEM: OpenSSL failed. */
enum status merkle_leaf(struct str entry, struct merkle_hash *out);

/* Of 1 to MERKLE_LEAVES_MAX leaves, which it borrows; the rest from the arena. ERR_MEMORY, ERR_SYSTEM. */
enum status merkle_build(struct arena *a, const struct merkle_hash *leaves, size_t n, struct merkle_tree *out);

void merkle_prove(const struct merkle_tree *t, size_t index, struct merkle_proof *out);

/* The root that follows from leaf and proof. ERR_INPUT: a path that no tree of this size has; ERR_SYSTEM. */
enum status merkle_root(const struct merkle_hash *leaf, const struct merkle_proof *proof,
			struct merkle_hash *out);

/*
 * Proofs that were found good, of the last few trees: a neighbour of one of them shares most of its way to the root, which
 * need not be computed again. Zeros: none. About 5 KiB.
 */
enum { MERKLE_KNOWN_MAX = 4 };

struct merkle_memo {
	struct merkle_known {
		struct merkle_proof proof; /* size == 0: none */
		struct merkle_hash nodes[MERKLE_DEPTH_MAX]; /* on the way: each has path[i] for a neighbour */
		struct merkle_hash root;
	} known[MERKLE_KNOWN_MAX];
	size_t next;
};

/*
 * Whether the proof leads from this entry to the root. ERR_INPUT: it does not; ERR_SYSTEM. The memo changes nothing but how
 * long it takes.
 */
enum status merkle_check(struct merkle_memo *memo, struct str entry, const struct merkle_proof *proof,
			 const struct merkle_hash *root);

bool merkle_same(const struct merkle_hash *a, const struct merkle_hash *b);

#endif
