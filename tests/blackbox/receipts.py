"""Receipts, made and verified from PROTOCOL.md 11 alone: COSE_Sign1 (RFC 9052) with cbor2 and cryptography."""

import io

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

ALG, CONTENT_TYPE, X5CHAIN = 1, 3, 33
ES256, ES384, PS256 = -7, -35, -37
TYPE = "application/acx-receipt+cbor"
(FORMAT, PARTNER, HOME, REQUEST_ID, OPERATION, DONE, USERS, DECIDED_BY) = range(1, 9)
REMOVE = 2

PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
CURVES = {"secp256r1": (ES256, hashes.SHA256(), 32), "secp384r1": (ES384, hashes.SHA384(), 48)}


def deterministic(data: bytes):
    """One CBOR item in deterministic encoding, nothing behind it."""
    stream = io.BytesIO(data)
    item = cbor2.CBORDecoder(stream).decode()
    assert stream.read() == b"" and cbor2.dumps(item, canonical=True) == data
    return item


def to_be_signed(protected: bytes, payload: bytes) -> bytes:
    return cbor2.dumps(["Signature1", protected, b"", payload])


def of_request(asked, partner: str, home: str, done_ms: int, revisions: dict[str, int], decided_by: str = "") -> dict:
    """The payload for what was asked (a setup request of the wire): revisions are those of the users that were done."""
    ids = {mc_id: [] for mc_id in revisions}
    for entry in asked.mc_service_id_list:
        if entry.mc_id in ids:
            ids[entry.mc_id].append([entry.service, entry.mc_service_id])
    window = [asked.validity.not_before, asked.validity.not_after]
    users = [[m, revisions[m], sorted(ids[m], key=lambda i: (i[0], i[1].encode())), *window]
             for m in sorted(ids, key=str.encode)]
    payload = {FORMAT: 1, PARTNER: partner, HOME: home, REQUEST_ID: asked.request_id, OPERATION: asked.operation,
               DONE: done_ms, USERS: users}
    return {**payload, DECIDED_BY: decided_by} if decided_by else payload


def sign(leaf, payload: dict) -> bytes:
    key = serialization.load_pem_private_key(leaf.key_file.read_bytes(), None)
    rsa = not isinstance(key, ec.EllipticCurvePrivateKey)
    alg, digest, size = (PS256, None, 0) if rsa else CURVES[key.curve.name]
    protected = cbor2.dumps({ALG: alg, CONTENT_TYPE: TYPE}, canonical=True)
    content = cbor2.dumps(payload, canonical=True)
    data = to_be_signed(protected, content)
    if rsa:
        signature = key.sign(data, PSS, hashes.SHA256())
    else:
        r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
    chain = leaf.certificate.public_bytes(serialization.Encoding.DER)
    return cbor2.dumps(cbor2.CBORTag(18, [protected, {X5CHAIN: chain}, content, signature]), canonical=True)


def verify(receipt: bytes, certificate: x509.Certificate) -> dict:
    """The payload, if this certificate's key signed it; otherwise an exception."""
    message = deterministic(receipt)
    assert isinstance(message, cbor2.CBORTag) and message.tag == 18
    protected, unprotected, content, signature = message.value
    header = deterministic(protected)
    chain = unprotected[X5CHAIN]
    first = chain if isinstance(chain, bytes) else chain[0]
    assert set(header) == {ALG, CONTENT_TYPE} and header[CONTENT_TYPE] == TYPE
    assert x509.load_der_x509_certificate(first) == certificate
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        alg, digest, size = CURVES[key.curve.name]
        assert header[ALG] == alg and len(signature) == 2 * size
        r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
        key.verify(utils.encode_dss_signature(r, s), to_be_signed(protected, content), ec.ECDSA(digest))
    else:
        assert header[ALG] == PS256
        key.verify(signature, to_be_signed(protected, content), PSS, hashes.SHA256())
    payload = deterministic(content)
    assert payload[FORMAT] == 1
    return payload
