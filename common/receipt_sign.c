#include "common/receipt_sign.h"

#include "common/cose.h"

enum status receipt_sign(struct arena *a, const struct tls_identity *id, const struct receipt *r,
			 struct str *out, struct error *e)
{
	struct cose_sign1 c = { .payload = receipt_encode(a, r) };
	enum status status = tls_identity_algorithm(id, &c.algorithm, e);
	if (status != OK)
		return status;
	c.protected_header = cose_protected_header(a, c.algorithm, RECEIPT_CONTENT_TYPE);
	struct str data = cose_to_be_signed(a, c.protected_header, c.payload);
	if (!c.payload.ptr || !c.protected_header.ptr || !data.ptr)
		return error_set(e, ERR_MEMORY, "out of memory");
	status = tls_identity_sign(id, a, data, &c.signature, e);
	if (status == OK)
		status = tls_identity_chain(id, a, &c.chain, &c.n_chain, e);
	if (status != OK)
		return status;
	*out = cose_encode(a, &c);
	return out->ptr ? OK : error_set(e, ERR_MEMORY, "out of memory");
}

static enum status parse(struct arena *a, struct str bytes, struct receipt *out,
			 struct tls_signed *what, struct error *e)
{
	struct cose_sign1 c;
	enum status status = cose_parse(a, bytes, RECEIPT_CONTENT_TYPE, &c, e);
	if (status == OK)
		status = receipt_decode(a, c.payload, out, e);
	if (status != OK)
		return status;
	*what = (struct tls_signed){ c.algorithm, cose_to_be_signed(a, c.protected_header, c.payload),
				     c.signature, c.chain, c.n_chain };
	return what->data.ptr ? OK : error_set(e, ERR_MEMORY, "out of memory");
}

enum status receipt_verify_peer(struct arena *a, struct ssl_st *ssl, struct str bytes,
				struct receipt *out, struct error *e)
{
	struct tls_signed what;
	enum status status = parse(a, bytes, out, &what, e);
	return status == OK ? tls_peer_verify(ssl, &what, e) : status;
}

enum status receipt_verify_offline(struct arena *a, struct str bytes, const struct tls_trust *anchors,
				   struct str certificate, int64_t now, struct receipt *out,
				   struct tls_signer *signer, struct error *e)
{
	struct tls_signed what;
	*signer = (struct tls_signer){ .certificate = "" };
	enum status status = parse(a, bytes, out, &what, e);
	if (status != OK)
		return status;
	return tls_trust_verify(anchors, &what, certificate, (int64_t)(out->done_ms / 1000), now, signer, e);
}

enum status receipt_read(struct arena *a, struct str bytes, struct receipt *out, struct error *e)
{
	struct tls_signed what;
	return parse(a, bytes, out, &what, e);
}
