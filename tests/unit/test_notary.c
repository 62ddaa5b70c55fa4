// needs: acms/notary.c common/receipt_sign.c common/receipt.c common/content.c common/setup.c common/sort.c common/cose.c common/merkle.c common/crypto.c common/cbor.c common/tls.c common/tls_files.c
// needs: common/tls_verify.c common/tls_sign.c common/identity.c common/text.c common/arena.c common/error.c common/log.c common/clock.c common/failpoint.c
// needs: tests/unit/pki.c
#include "unit.h"
#include "acms/notary.h"
#include "common/receipt_sign.h"
#include "pki.h"

/*
 * What was signed ahead is used for the very same leaves, and nothing else. Which signature it is shows in the certificate:
 * ahead it is made with one key, and afterwards with another.
 */

enum { ITEMS_MAX = 1500 };

static struct tls_identity *before, *later;
static struct arena *arena;
static struct notary *notary;

struct waiting {
	struct notary_item item; /* first */
	const struct tls_identity *by; /* NULL: not certified */
	size_t size; /* of the tree */
	int order;
};
static struct waiting items[ITEMS_MAX];
static int so_far;

static struct str leaf_certificate(const struct tls_identity *i)
{
	const struct str *chain;
	size_t n;
	assert_int_equal(tls_identity_chain(i, arena, &chain, &n, NULL), OK);
	return chain[0];
}

static void on_certified(struct notary_item *item, struct str proof, const struct merkle_hash *root)
{
	struct waiting *w = (struct waiting *)item;
	struct cose_receipt c;
	struct merkle_hash found;
	assert_int_equal(cose_parse(arena, proof, &c, NULL), OK);
	assert_int_equal(merkle_root(&item->leaf, &c.proof, &found), OK);
	assert_true(merkle_same(&found, root));
	w->by = str_eq(c.chain[0], leaf_certificate(before)) ? before : later;
	w->size = c.proof.size;
	w->order = ++so_far;
}

static struct merkle_hash leaf(int i)
{
	struct merkle_hash h = { { (uint8_t)i, (uint8_t)(i >> 8) } };
	return h;
}

static void note(int from, int n)
{
	for (int i = from; i < from + n; i++) {
		struct merkle_hash h = leaf(i);
		notary_note(notary, &h);
	}
}

static void sign_ahead(int from, int n)
{
	note(from, n);
	assert_true(notary_offer(notary));
	notary_sign_ahead(notary, before);
	notary_withdraw(notary);
}

static void sign(int from, int n)
{
	so_far = 0;
	for (int i = 0; i < n; i++) {
		items[i] = (struct waiting){ .item = { .leaf = leaf(from + i), .certified = on_certified } };
		notary_add(notary, &items[i].item);
	}
	notary_sign(notary, later);
	for (int i = 0; i < n; i++)
		assert_int_equal(items[i].order, i + 1);
}

static int begin(void **state)
{
	if (pki_setup(state) != 0)
		return -1;
	struct pki_ca *ca = pki_ca_new("ca", NULL, 30);
	struct pki_leaf leaves[] = { pki_issue_named(ca, "before", FIRE), pki_issue_named(ca, "later", FIRE) };
	before = pki_identity(&leaves[0]);
	later = pki_identity(&leaves[1]);
	arena = arena_new(0);
	notary = notary_new();
	return notary ? 0 : -1;
}

static int end(void **state)
{
	notary_free(notary);
	arena_free(arena);
	tls_identity_free(before);
	tls_identity_free(later);
	return pki_teardown(state);
}

static void all_that_wait_share_a_signature(void **state)
{
	(void)state;
	sign(0, 1);
	assert_int_equal(items[0].size, 1);
	sign(0, ITEMS_MAX); /* but not more than a path has steps for */
	assert_int_equal(items[0].size, 1024);
	assert_int_equal(items[ITEMS_MAX - 1].size, ITEMS_MAX - 1024);
	assert_ptr_equal(items[0].by, later);
}

static void signed_ahead_for_what_is_done(void **state)
{
	(void)state;
	sign_ahead(7, 3);
	sign(7, 3);
	for (int i = 0; i < 3; i++)
		assert_ptr_equal(items[i].by, before);
	sign(7, 3); /* once */
	assert_ptr_equal(items[0].by, later);
}

/* Two transactions were handed back, and the first one's was ready. */
static void the_rest_is_signed_afterwards(void **state)
{
	(void)state;
	sign_ahead(0, 2);
	sign(0, 5);
	for (int i = 0; i < 5; i++) {
		assert_ptr_equal(items[i].by, i < 2 ? before : later);
		assert_int_equal(items[i].size, i < 2 ? 2 : 3);
	}
}

static void never_for_anything_else(void **state)
{
	(void)state;
	sign_ahead(0, 3); /* of which the last did not come about, */
	sign(0, 2);
	assert_ptr_equal(items[0].by, later);
	sign_ahead(0, 3); /* or the first, */
	sign(1, 2);
	assert_ptr_equal(items[0].by, later);
	sign_ahead(0, 3); /* or nothing: it is gone, should the same come again */
	sign(0, 0);
	sign(0, 3);
	assert_ptr_equal(items[0].by, later);
	sign_ahead(0, 3);
	notary_forget(notary);
	sign(0, 3);
	assert_ptr_equal(items[0].by, later);
}

static void nothing_that_was_withdrawn_is_signed(void **state)
{
	(void)state;
	assert_false(notary_offer(notary));
	note(0, 3);
	assert_true(notary_offer(notary));
	notary_withdraw(notary);
	notary_sign_ahead(notary, before);
	sign(0, 3);
	assert_ptr_equal(items[0].by, later);
	note(0, 3); /* the transaction is made again, otherwise */
	notary_withdraw(notary);
	sign_ahead(1, 2);
	sign(1, 2);
	assert_ptr_equal(items[0].by, before);
}

static void more_than_there_is_room_for(void **state)
{
	(void)state;
	sign_ahead(0, 600);
	sign(0, 600);
	assert_ptr_equal(items[511].by, before);
	assert_ptr_equal(items[512].by, later);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_wait_share_a_signature),
		cmocka_unit_test(signed_ahead_for_what_is_done),
		cmocka_unit_test(the_rest_is_signed_afterwards),
		cmocka_unit_test(never_for_anything_else),
		cmocka_unit_test(nothing_that_was_withdrawn_is_signed),
		cmocka_unit_test(more_than_there_is_room_for),
	};
	return cmocka_run_group_tests_name("notary", tests, begin, end);
}
