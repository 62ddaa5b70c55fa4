#include "common/cose.h"

#include "common/cbor.h"

enum { TAG_SIGN1 = 18, HEADER_ALGORITHM = 1, HEADER_CONTENT_TYPE = 3, HEADER_X5CHAIN = 33 };

static const struct str context = { "Signature1", 10 };

struct str cose_protected_header(struct arena *a, int algorithm, struct str content_type)
{
	struct cbor_writer w = cbor_writer_new(a, 5 * CBOR_HEAD_MAX + content_type.len);
	cbor_put_map(&w, 2);
	cbor_put_uint(&w, HEADER_ALGORITHM);
	cbor_put_negative(&w, (uint64_t)(-1 - algorithm));
	cbor_put_uint(&w, HEADER_CONTENT_TYPE);
	cbor_put_text(&w, content_type);
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

struct str cose_encode(struct arena *a, const struct cose_sign1 *c)
{
	size_t size = c->protected_header.len + c->payload.len + c->signature.len +
		      (8 + c->n_chain) * CBOR_HEAD_MAX;
	for (size_t i = 0; i < c->n_chain; i++)
		size += c->chain[i].len;
	struct cbor_writer w = cbor_writer_new(a, size);
	cbor_put_tag(&w, TAG_SIGN1);
	cbor_put_array(&w, 4);
	put_str(&w, c->protected_header);
	cbor_put_map(&w, 1);
	cbor_put_uint(&w, HEADER_X5CHAIN);
	if (c->n_chain != 1) /* RFC 9360: a single one stands by itself */
		cbor_put_array(&w, c->n_chain);
	for (size_t i = 0; i < c->n_chain; i++)
		put_str(&w, c->chain[i]);
	put_str(&w, c->payload);
	put_str(&w, c->signature);
	return cbor_written(&w);
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

static int parse_protected_header(struct cbor_reader *outer, struct str header, struct str content_type)
{
	struct cbor_reader r = cbor_reader_of(header);
	if (cbor_get_map(&r) != 2)
		cbor_fail(&r, "the protected header has other entries than algorithm and content type");
	cbor_expect_key(&r, HEADER_ALGORITHM);
	uint64_t algorithm = cbor_get_negative(&r);
	cbor_expect_key(&r, HEADER_CONTENT_TYPE);
	if (!str_eq(cbor_get_text(&r), content_type))
		cbor_fail(&r, "it has another content type");
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
	if (cbor_get_map(r) != 1)
		cbor_fail(r, "the unprotected header has other entries than x5chain");
	cbor_expect_key(r, HEADER_X5CHAIN);
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

enum status cose_parse(struct arena *a, struct str bytes, struct str content_type,
		       struct cose_sign1 *out, struct error *e)
{
	struct cbor_reader r = cbor_reader_of(bytes);
	*out = (struct cose_sign1){ 0 };
	if (cbor_get_tag(&r) != TAG_SIGN1)
		cbor_fail(&r, "it has another tag than COSE_Sign1");
	cbor_expect_array(&r, 4);
	out->protected_header = cbor_get_bytes(&r);
	out->algorithm = parse_protected_header(&r, out->protected_header, content_type);
	out->chain = parse_chain(&r, a, &out->n_chain);
	if (!out->chain)
		return error_set(e, ERR_MEMORY, "out of memory");
	out->payload = cbor_get_bytes(&r);
	out->signature = cbor_get_bytes(&r);
	if (!r.bad && r.left > 0)
		cbor_fail(&r, "there are bytes behind it");
	if (!r.bad && !length_fits(out->algorithm, out->signature.len))
		cbor_fail(&r, "the signature's algorithm is unknown, or its length wrong");
	return r.bad ? error_set(e, ERR_INPUT, "no COSE_Sign1 of ours: %s", r.bad) : OK;
}
