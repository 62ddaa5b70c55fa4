#include "common/receipt_sign.h"

#include "common/crypto.h"

static struct str bytes_of(const struct merkle_hash *h)
{
	return (struct str){ (const char *)h->bytes, sizeof h->bytes };
}

enum status receipt_sign(struct arena *a, const struct tls_identity *id, const struct merkle_hash *leaves, size_t n,
			 struct receipt_batch *out, struct error *e)
{
	struct cose_receipt *c = &out->common;
	*out = (struct receipt_batch){ .common = { 0 } };
	enum status status = tls_identity_algorithm(id, &c->algorithm, e);
	if (status != OK)
		return status;
	status = merkle_build(a, leaves, n, &out->tree);
	if (status != OK)
		return error_set(e, status, "the receipts' tree cannot be made");
	c->protected_header = cose_protected_header(a, c->algorithm);
	struct str data = cose_to_be_signed(a, c->protected_header, bytes_of(&out->tree.root));
	if (!c->protected_header.ptr || !data.ptr)
		return error_set(e, ERR_MEMORY, "out of memory");
	status = tls_identity_sign(id, a, data, &c->signature, e);
	return status == OK ? tls_identity_chain(id, a, &c->chain, &c->n_chain, e) : status;
}

struct str receipt_prove(struct arena *a, const struct receipt_batch *b, size_t i)
{
	struct cose_receipt c = b->common;
	merkle_prove(&b->tree, i, &c.proof);
	return cose_encode(a, &c);
}

/* What the signature has to be over, if this is the root. */
static enum status what_is_signed(struct arena *a, const struct cose_receipt *c, const struct merkle_hash *root,
				  struct tls_signed *out, struct error *e)
{
	*out = (struct tls_signed){ c->algorithm, cose_to_be_signed(a, c->protected_header, bytes_of(root)),
				    c->signature, c->chain, c->n_chain };
	return out->data.ptr ? OK : error_set(e, ERR_MEMORY, "out of memory");
}

enum status receipt_verify_peer(struct arena *a, struct ssl_st *ssl, struct str proof, const struct merkle_hash *root,
				uint64_t done_ms, struct merkle_proof *out, struct error *e)
{
	struct cose_receipt c;
	struct tls_signed what;
	enum status status = cose_parse(a, proof, &c, e);
	if (status == OK)
		status = what_is_signed(a, &c, root, &what, e);
	*out = c.proof;
	return status == OK ? tls_peer_verify(ssl, &what, (int64_t)(done_ms / 1000), e) : status;
}

/* The root that the claims lead to: the payload is detached, so that nobody can forget to find it out. */
static enum status find_root(struct str claims, const struct merkle_proof *proof, struct merkle_hash *out,
			     struct error *e)
{
	struct merkle_hash leaf;
	enum status status = merkle_leaf(claims, &leaf);
	if (status == OK)
		status = merkle_root(&leaf, proof, out);
	if (status == OK)
		return OK;
	return error_set(e, status, status == ERR_INPUT ? "no receipt: its path is none in a tree of its size" :
							  "its digest cannot be computed");
}

/* What it says, without what certifies it: the content is that of the claims, and they can be about it. */
static enum status open_whole(struct arena *a, struct str whole, struct receipt_parts *parts, struct receipt *out,
			      struct error *e)
{
	uint8_t digest[CONTENT_DIGEST_SIZE];
	*out = (struct receipt){ .claims = { .n_users = 0 } };
	enum status status = receipt_split(whole, parts, e);
	if (status == OK)
		status = receipt_decode(a, parts->claims, &out->claims, e);
	if (status == OK && crypto_sha256(parts->content, digest) != OK)
		status = error_set(e, ERR_SYSTEM, "the digest of its content cannot be computed");
	if (status == OK && memcmp(digest, out->claims.content, sizeof digest) != 0)
		status = error_set(e, ERR_INPUT, "no receipt: its content is not what its claims are about");
	if (status == OK)
		status = setup_from_content(a, parts->content, &out->setup, e);
	if (status == OK && receipt_misfit(&out->claims, &out->setup))
		status = error_set(e, ERR_INPUT, "no receipt: %s", receipt_misfit(&out->claims, &out->setup));
	if (status == OK)
		out->setup.request_id = out->claims.request_id;
	return status;
}

enum status receipt_verify_offline(struct arena *a, struct str whole, const struct tls_trust *anchors,
				   struct str certificate, int64_t now, struct receipt *out,
				   struct tls_signer *signer, struct error *e)
{
	struct receipt_parts parts;
	struct cose_receipt c;
	struct tls_signed what;
	struct merkle_hash root;
	*signer = (struct tls_signer){ .certificate = "" };
	enum status status = open_whole(a, whole, &parts, out, e);
	if (status == OK)
		status = cose_parse(a, parts.proof, &c, e);
	if (status == OK)
		status = find_root(parts.claims, &c.proof, &root, e);
	if (status == OK)
		status = what_is_signed(a, &c, &root, &what, e);
	if (status != OK)
		return status;
	return tls_trust_verify(anchors, &what, certificate, (int64_t)(out->claims.done_ms / 1000), now, signer, e);
}

enum status receipt_read(struct arena *a, struct str whole, struct receipt *out, struct error *e)
{
	struct receipt_parts parts;
	struct cose_receipt c;
	enum status status = open_whole(a, whole, &parts, out, e);
	return status == OK ? cose_parse(a, parts.proof, &c, e) : status;
}
