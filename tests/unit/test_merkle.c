// needs: common/merkle.c common/crypto.c common/arena.c
/*
 * The values expected are of RFC 9162 2.1 written down as it is there, recursively, in Python:
 *   def mth(d): k = split(len(d)); return h(b"\0" + d[0]) if len(d) == 1 else h(b"\1" + mth(d[:k]) + mth(d[k:]))
 *   def path(m, d): [] if len(d) == 1 else path(m, d[:k]) + [mth(d[k:])] if m < k else path(m - k, d[k:]) + [mth(d[:k])]
 * with split(n) the largest power of two below n. Entry i: i times the byte i.
 */
#include "common/merkle.h"
#include "unit.h"

static struct arena *arena;

static int begin(void **state)
{
	(void)state;
	arena = arena_new(0);
	return arena ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

/* Of entries i: i % most times the byte i. */
static struct merkle_hash *leaves_of(size_t n, size_t most)
{
	struct merkle_hash *leaves = arena_array(arena, n, sizeof *leaves);
	char entry[256];
	for (size_t i = 0; i < n; i++) {
		memset(entry, (int)(i % 256), sizeof entry);
		assert_int_equal(merkle_leaf((struct str){ entry, i % most }, &leaves[i]), OK);
	}
	return leaves;
}

static struct merkle_tree tree_of(size_t n, size_t most)
{
	struct merkle_tree t;
	assert_int_equal(merkle_build(arena, leaves_of(n, most), n, &t), OK);
	return t;
}

static void assert_hash(const struct merkle_hash *h, const char *hex)
{
	char got[65];
	for (size_t i = 0; i < 32; i++)
		snprintf(got + 2 * i, 3, "%02x", h->bytes[i]);
	assert_string_equal(got, hex);
}

static void roots_are_those_of_the_rfc(void **state)
{
	(void)state;
	static const char *const roots[] = {
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"5397b75fcd025549e5c6c04c86b73ee49d8a3135745f4e082f08397d79fa37b3",
		"12c35e40e6189d661c70a762621a48f8bac032746c1712e8d6e73d7c1ef0beb1",
		"2fc5e5989670017aa78cfaf26036dc2e04ee67b7ffa5e233a1def0354950f416",
		"db6d52ab524f99f572fb0198a6a87357ae59e2cbc2d54866ed2a7eee7b801c18",
		"919da75eedccb5ae06e7d1a5aa037e43e3b594ea6a79ae58a29d388a1724642e",
		"b0cc4f00cd89333eef11e629a34d1c746aa6e4d6493bb553e4dac36871ab00e5",
	};
	struct merkle_tree t;
	for (size_t n = 1; n <= 7; n++) {
		t = tree_of(n, 50);
		assert_hash(&t.root, roots[n - 1]);
	}
	t = tree_of(1000, 50);
	assert_hash(&t.root, "04767f982813de2e0c44f945572b4b7e4c458ac9f2b7d795a132260491dfbf13");
}

static void paths_are_those_of_the_rfc(void **state)
{
	(void)state;
	static const char *const of_3[] = { "65fde13cf1e4ea4206c293082657037684ee456e40041c816509b63e1b89d387",
					    "5397b75fcd025549e5c6c04c86b73ee49d8a3135745f4e082f08397d79fa37b3",
					    "e7837decee7818f4327aa92f6b9f82cc83cd0dcb20ea9f2f8e2bef19ad0a86cd" };
	static const char *const of_6[] = { "d96f0c876a840860e62bd0206dbf468bbea958ff3d6ba323431ce80f331351cc",
					    "2fc5e5989670017aa78cfaf26036dc2e04ee67b7ffa5e233a1def0354950f416" };
	struct merkle_tree t = tree_of(7, 50);
	struct merkle_proof p;
	merkle_prove(&t, 3, &p);
	assert_true(p.size == 7 && p.index == 3 && p.n_path == 3);
	for (size_t i = 0; i < 3; i++)
		assert_hash(&p.path[i], of_3[i]);
	merkle_prove(&t, 6, &p);
	assert_true(p.n_path == 2);
	for (size_t i = 0; i < 2; i++)
		assert_hash(&p.path[i], of_6[i]);
	t = tree_of(1, 50);
	merkle_prove(&t, 0, &p);
	assert_true(p.size == 1 && p.n_path == 0);
}

static bool leads_to(const struct merkle_hash *leaf, const struct merkle_proof *p, const struct merkle_hash *root)
{
	struct merkle_hash found;
	return merkle_root(leaf, p, &found) == OK && merkle_same(&found, root);
}

/* Each leaf is proven, and by no other proof than its own. */
static void each_leaf_has_its_proof(void **state)
{
	(void)state;
	for (size_t n = 1; n <= 33; n++) {
		struct merkle_tree t = tree_of(n, 50);
		for (size_t i = 0; i < n; i++) {
			struct merkle_proof p;
			merkle_prove(&t, i, &p);
			assert_true(leads_to(&t.levels[0][i], &p, &t.root));
			assert_false(n > 1 && leads_to(&t.levels[0][(i + 1) % n], &p, &t.root));
			for (size_t k = 0; k < p.n_path; k++) {
				p.path[k].bytes[k] ^= 1;
				assert_false(leads_to(&t.levels[0][i], &p, &t.root));
				p.path[k].bytes[k] ^= 1;
			}
		}
	}
}

static void a_path_has_the_length_of_its_tree(void **state)
{
	(void)state;
	struct merkle_hash root;
	for (size_t n = 1; n <= 33; n++) {
		struct merkle_tree t = tree_of(n, 50);
		for (size_t i = 0; i < n; i++) {
			struct merkle_proof p = { .size = 0 };
			merkle_prove(&t, i, &p);
			size_t right = p.n_path;
			for (p.n_path = 0; p.n_path <= MERKLE_DEPTH_MAX; p.n_path++)
				assert_int_equal(merkle_root(&t.levels[0][i], &p, &root), p.n_path == right ? OK : ERR_INPUT);
		}
	}
	struct merkle_hash leaf = leaves_of(1, 50)[0];
	struct merkle_proof beyond = { .size = 3, .index = 3 };
	assert_int_equal(merkle_root(&leaf, &beyond, &root), ERR_INPUT);
	beyond = (struct merkle_proof){ .size = 0 };
	assert_int_equal(merkle_root(&leaf, &beyond, &root), ERR_INPUT);
	beyond = (struct merkle_proof){ .size = UINT64_MAX, .index = UINT64_MAX - 1, .n_path = MERKLE_DEPTH_MAX };
	assert_int_equal(merkle_root(&leaf, &beyond, &root), ERR_INPUT);
}

static struct str entry_of(size_t i)
{
	static char entry[256];
	memset(entry, (int)(i % 256), sizeof entry);
	return (struct str){ entry, i % 50 };
}

/* Good proofs are good and bad ones bad, whatever was looked at before, in whatever order. */
static void what_is_known_changes_nothing(void **state)
{
	(void)state;
	static const size_t strides[] = { 1, 3, 7, 32 };
	struct merkle_memo memo = { .next = 0 };
	for (size_t n = 1; n <= 33; n++) {
		struct merkle_tree t = tree_of(n, 50), shorter = tree_of(n > 1 ? n - 1 : 1, 50);
		for (size_t k = 0; k < n * 4; k++) {
			size_t i = k * strides[k / n] % n;
			struct merkle_proof p;
			merkle_prove(&t, i, &p);
			assert_int_equal(merkle_check(&memo, entry_of(i + 1), &p, &t.root), ERR_INPUT);
			assert_int_equal(merkle_check(&memo, entry_of(i), &p, &shorter.root), n > 1 ? ERR_INPUT : OK);
			for (size_t step = 0; step < p.n_path; step++) {
				p.path[step].bytes[k % 32] ^= 1;
				assert_int_equal(merkle_check(&memo, entry_of(i), &p, &t.root), ERR_INPUT);
				p.path[step].bytes[k % 32] ^= 1;
			}
			assert_int_equal(merkle_check(&memo, entry_of(i), &p, &t.root), OK);
			p.n_path ^= 1;
			assert_int_equal(merkle_check(&memo, entry_of(i), &p, &t.root), ERR_INPUT);
			p.n_path ^= 1;
			p.index = (i + 1) % n;
			assert_int_equal(merkle_check(&memo, entry_of(i), &p, &t.root), n > 1 ? ERR_INPUT : OK);
		}
	}
}

/* A node is no leaf: what joins two leaves is not itself an entry of a smaller tree. */
static void a_node_is_no_entry(void **state)
{
	(void)state;
	struct merkle_tree t = tree_of(2, 50);
	char both[64];
	struct merkle_hash leaf;
	memcpy(both, t.levels[0], 64);
	assert_int_equal(merkle_leaf((struct str){ both, 64 }, &leaf), OK);
	assert_false(merkle_same(&leaf, &t.root));
}

static void without_memory_there_is_no_tree(void **state)
{
	(void)state;
	struct arena *small = arena_new(1);
	struct merkle_tree t;
	assert_int_equal(merkle_build(small, leaves_of(3, 50), 3, &t), ERR_MEMORY);
	arena_free(small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roots_are_those_of_the_rfc),
		cmocka_unit_test(paths_are_those_of_the_rfc),
		cmocka_unit_test(each_leaf_has_its_proof),
		cmocka_unit_test(a_path_has_the_length_of_its_tree),
		cmocka_unit_test(what_is_known_changes_nothing),
		cmocka_unit_test(a_node_is_no_entry),
		cmocka_unit_test(without_memory_there_is_no_tree),
	};
	return cmocka_run_group_tests_name("merkle", tests, begin, end);
}
