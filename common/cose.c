#include "common/cose.h"

#include "common/cbor.h"

enum { TAG_SIGN1 = 18, HEADER_ALGORITHM = 1, HEADER_X5CHAIN = 33 };
/* RFC 9942 2: what the signature's payload is the root of, and proofs for it; 5.2: the one kind that we have. */
enum { HEADER_VDS = 395, HEADER_VDP = 396, VDS_RFC9162_SHA256 = 1, INCLUSION = -1, PROOF_ITEMS = 3 };

static const struct str context = { "Signature1", 10 };

struct str cose_protected_header(struct arena *a, int algorithm)
{
	struct cbor_writer w = cbor_writer_new(a, 5 * CBOR_HEAD_MAX);
	cbor_put_map(&w, 2);
	cbor_put_uint(&w, HEADER_ALGORITHM);
	cbor_put_negative(&w, (uint64_t)(-1 - algorithm));
	cbor_put_uint(&w, HEADER_VDS);
	cbor_put_uint(&w, VDS_RFC9162_SHA256);
	return cbor_written(&w);
}

struct str cose_to_be_signed(struct arena *a, struct str protected_header, struct str payload)
{
	struct cbor_writer w = cbor_writer_new(a, 5 * CBOR_HEAD_MAX + context.len +
						  protected_header.len + payload.len);
	cbor_put_array(&w, 4);
	cbor_put_text(&w, context);
	cbor_put_bytes(&w, protected_header.ptr, protected_header.len);
	cbor_put_bytes(&w, NULL, 0);
	cbor_put_bytes(&w, payload.ptr, payload.len);
	return cbor_written(&w);
}

static void put_str(struct cbor_writer *w, struct str s)
{
	cbor_put_bytes(w, s.ptr, s.len);
}

static void put_chain(struct cbor_writer *w, const struct cose_receipt *c)
{
	if (c->n_chain != 1) /* RFC 9360: a single one stands by itself */
		cbor_put_array(w, c->n_chain);
	for (size_t i = 0; i < c->n_chain; i++)
		put_str(w, c->chain[i]);
}

/* RFC 9942 5.2; a tree of one has no path (RFC 9162 2.1.3.1), which its CDDL overlooks. */
static struct str encode_proof(struct arena *a, const struct merkle_proof *p)
{
	struct cbor_writer w = cbor_writer_new(a, 4 * CBOR_HEAD_MAX + p->n_path * (CBOR_HEAD_MAX + sizeof *p->path));
	cbor_put_array(&w, PROOF_ITEMS);
	cbor_put_uint(&w, p->size);
	cbor_put_uint(&w, p->index);
	cbor_put_array(&w, p->n_path);
	for (size_t i = 0; i < p->n_path; i++)
		cbor_put_bytes(&w, p->path[i].bytes, sizeof p->path[i].bytes);
	return cbor_written(&w);
}

struct str cose_encode(struct arena *a, const struct cose_receipt *c)
{
	struct str proof = encode_proof(a, &c->proof);
	size_t size = c->protected_header.len + proof.len + c->signature.len + (14 + c->n_chain) * CBOR_HEAD_MAX;
	for (size_t i = 0; i < c->n_chain; i++)
		size += c->chain[i].len;
	struct cbor_writer w = cbor_writer_new(a, size);
	cbor_put_tag(&w, TAG_SIGN1);
	cbor_put_array(&w, 4);
	put_str(&w, c->protected_header);
	cbor_put_map(&w, 2);
	cbor_put_uint(&w, HEADER_X5CHAIN);
	put_chain(&w, c);
	cbor_put_uint(&w, HEADER_VDP);
	cbor_put_map(&w, 1);
	cbor_put_negative(&w, (uint64_t)(-1 - INCLUSION));
	cbor_put_array(&w, 1);
	put_str(&w, proof);
	cbor_put_null(&w);
	put_str(&w, c->signature);
	return proof.ptr ? cbor_written(&w) : STR_NONE;
}

/* --- parsing --- */

static bool length_fits(int algorithm, size_t n)
{
	switch (algorithm) {
	case COSE_ES256:
		return n == 64;
	case COSE_ES384:
		return n == 96;
	case COSE_PS256:
		return n >= 256 && n <= COSE_SIGNATURE_MAX;
	}
	return false;
}

static int parse_protected_header(struct cbor_reader *outer, struct str header)
{
	struct cbor_reader r = cbor_reader_of(header);
	if (cbor_get_map(&r) != 2)
		cbor_fail(&r, "the protected header has other entries than algorithm and data structure");
	cbor_expect_key(&r, HEADER_ALGORITHM);
	uint64_t algorithm = cbor_get_negative(&r);
	cbor_expect_key(&r, HEADER_VDS);
	if (cbor_get_uint(&r) != VDS_RFC9162_SHA256)
		cbor_fail(&r, "it is of another data structure than RFC9162_SHA256");
	if (!r.bad && r.left > 0)
		cbor_fail(&r, "there are bytes behind the protected header");
	if (!r.bad && algorithm >= 256)
		cbor_fail(&r, "it is signed with an unknown algorithm");
	if (r.bad && !outer->bad)
		cbor_fail(outer, r.bad);
	return outer->bad ? 0 : -1 - (int)algorithm;
}

static const struct str *parse_chain(struct cbor_reader *r, struct arena *a, size_t *n)
{
	struct str *chain = arena_array(a, COSE_CHAIN_MAX, sizeof *chain);
	if (!chain)
		return NULL;
	struct cbor_reader before = *r;
	*n = 1;
	chain[0] = cbor_get_bytes(r);
	if (before.bad || !r->bad)
		return chain;
	*r = before; /* not one, then several */
	*n = cbor_get_array(r);
	if (!r->bad && (*n < 2 || *n > COSE_CHAIN_MAX))
		cbor_fail(r, "a chain of certificates has too few or too many");
	for (size_t i = 0; i < *n && !r->bad; i++)
		chain[i] = cbor_get_bytes(r);
	return chain;
}

static void parse_path(struct cbor_reader *outer, struct str bytes, struct merkle_proof *out)
{
	struct cbor_reader r = cbor_reader_of(bytes);
	cbor_expect_array(&r, PROOF_ITEMS);
	out->size = cbor_get_uint(&r);
	out->index = cbor_get_uint(&r);
	out->n_path = cbor_get_array(&r);
	if (!r.bad && out->n_path > MERKLE_DEPTH_MAX)
		cbor_fail(&r, "its proof is for a larger tree than ours are");
	for (size_t i = 0; i < out->n_path && !r.bad; i++)
		cbor_get_fixed(&r, out->path[i].bytes, sizeof out->path[i].bytes);
	if (!r.bad && r.left > 0)
		cbor_fail(&r, "there are bytes behind its proof");
	if (r.bad && !outer->bad)
		cbor_fail(outer, r.bad);
}

static void parse_proof(struct cbor_reader *r, struct merkle_proof *out)
{
	cbor_expect_key(r, HEADER_VDP);
	if (cbor_get_map(r) != 1 || cbor_get_negative(r) != -1 - INCLUSION)
		cbor_fail(r, "it has other proofs than one of inclusion");
	cbor_expect_array(r, 1);
	parse_path(r, cbor_get_bytes(r), out);
}

enum status cose_parse(struct arena *a, struct str bytes, struct cose_receipt *out, struct error *e)
{
	struct cbor_reader r = cbor_reader_of(bytes);
	*out = (struct cose_receipt){ 0 };
	if (cbor_get_tag(&r) != TAG_SIGN1)
		cbor_fail(&r, "it has another tag than COSE_Sign1");
	cbor_expect_array(&r, 4);
	out->protected_header = cbor_get_bytes(&r);
	out->algorithm = parse_protected_header(&r, out->protected_header);
	if (cbor_get_map(&r) != 2)
		cbor_fail(&r, "the unprotected header has other entries than x5chain and proofs");
	cbor_expect_key(&r, HEADER_X5CHAIN);
	out->chain = parse_chain(&r, a, &out->n_chain);
	if (!out->chain)
		return error_set(e, ERR_MEMORY, "out of memory");
	parse_proof(&r, &out->proof);
	cbor_get_null(&r);
	out->signature = cbor_get_bytes(&r);
	if (!r.bad && r.left > 0)
		cbor_fail(&r, "there are bytes behind it");
	if (!r.bad && !length_fits(out->algorithm, out->signature.len))
		cbor_fail(&r, "the signature's algorithm is unknown, or its length wrong");
	return r.bad ? error_set(e, ERR_INPUT, "no COSE receipt of ours: %s", r.bad) : OK;
}
