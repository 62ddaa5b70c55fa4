"""Receipts (PROTOCOL.md 11) by themselves: COSE with cbor2 and cryptography, Merkle trees, written from the specification.

verify() for what an acms signed, prove() for a scripted partner that signs. As a program: receipts.py FILE ANCHOR [NAME].
"""

import dataclasses
import datetime
import hashlib
import sys
from pathlib import Path

import cbor2
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509.oid import ExtendedKeyUsageOID

ALG, X5CHAIN, VDS, VDP = 1, 33, 395, 396  # header parameters
RFC9162_SHA256, INCLUSION = 1, -1
SETUP, UPDATE, REMOVE = 0, 1, 2
ALGORITHMS = {-7: (ec.SECP256R1, 32, hashes.SHA256), -35: (ec.SECP384R1, 48, hashes.SHA384),
              -37: (None, 0, hashes.SHA256)}
PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)


class BadReceipt(Exception):
    """Says what is wrong."""


@dataclasses.dataclass
class User:
    mc_id: str
    revision: int | None  # that it has since; 0: removed; None: it was not done
    service_ids: list  # of (service, MC service ID)
    expected: int = 0


@dataclasses.dataclass
class Receipt:
    partner: str
    home: str
    request_id: bytes
    operation: int
    done_ms: int
    users: list  # of the request, sorted
    validity: tuple | None = None  # (not_before, not_after)
    home_acmc_id: str = ""
    best_effort: bool = False
    dry_run: bool = False
    decided_by: str | None = None
    names: list = dataclasses.field(default_factory=list, compare=False)  # of the certificate that signed it


def need(good, what: str) -> None:
    if not good:
        raise BadReceipt(what)


def load(data: bytes, what: str):
    """Decodes one item that is in deterministic encoding, with nothing behind it."""
    value = cbor2.loads(data)
    need(cbor2.dumps(value, canonical=True) == data, f"{what} is not in deterministic encoding")
    return value


def is_uint(value) -> bool:
    return type(value) is int and 0 <= value < 1 << 64


# --- content (PROTOCOL.md 5.5) ---

def number(n: int, size: int) -> bytes:
    return n.to_bytes(size, "big")


def shared(a: bytes, b: bytes) -> int:
    """Bytes that both begin with."""
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


class Writer:
    def __init__(self) -> None:
        self.before = {}  # the last text of each kind

    def text(self, kind: int, s: str) -> bytes:
        now, before = s.encode(), self.before.get(kind, b"")
        self.before[kind] = now
        start = shared(now, before)
        end = shared(now[start:][::-1], before[start:][::-1])
        middle = now[start:len(now) - end]
        return number(start, 1) + number(end, 1) + number(len(middle), 1) + middle


def encode_content(r: Receipt) -> bytes:
    revisions = any(u.expected for u in r.users)
    flags = (r.validity is not None) | r.dry_run << 1 | r.best_effort << 2 | revisions << 3
    out = number(16 + r.operation, 1) + number(flags, 1)
    if r.validity is not None:
        out += number(r.validity[0], 8) + number(r.validity[1], 8)
    out += number(len(r.home_acmc_id.encode()), 1) + r.home_acmc_id.encode() + number(len(r.users), 4)
    texts = Writer()
    for u in r.users:
        out += texts.text(0, u.mc_id) + (number(u.expected, 8) if revisions else b"")
        out += b"".join(number(service, 1) + texts.text(service, i) for service, i in u.service_ids) + b"\0"
    return out


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.before = {}

    def take(self, n: int) -> bytes:
        need(n <= len(self.data), "the content is cut off")
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def text(self, kind: int) -> str:
        start, end, n = self.take(3)
        before = self.before.get(kind, b"")
        need(start + end <= len(before), "a text shares more than there is")
        self.before[kind] = before[:start] + self.take(n) + before[len(before) - end:]
        return self.before[kind].decode()


def decode_user(content: Reader, revisions: bool) -> User:
    user = User(content.text(0), None, [], content.number(8) if revisions else 0)
    need(1 <= len(user.mc_id.encode()) <= 255, "an MC ID is bad")
    while service := content.number(1):
        need(service in (1, 2, 3), "an MC service is unknown")
        user.service_ids.append((service, content.text(service)))
    keys = [(service, i.encode()) for service, i in user.service_ids]
    need(keys == sorted(set(keys)), "MC service IDs are out of order")
    return user


def decode_content(data: bytes, out: Receipt) -> None:
    content = Reader(data)
    need(content.number(1) == 16 + out.operation, "another operation was asked for")
    flags = content.number(1)
    need(flags < 16, "an unknown flag")
    out.dry_run, out.best_effort = bool(flags & 2), bool(flags & 4)
    if flags & 1:
        out.validity = content.number(8), content.number(8)
    out.home_acmc_id = content.take(content.number(1)).decode()
    out.users = [decode_user(content, bool(flags & 8)) for _ in range(content.number(4))]
    ids = [u.mc_id.encode() for u in out.users]
    need(ids == sorted(set(ids)), "users are out of order")
    need(not content.data and encode_content(out) == data, "the content is not in its one form")
    need(not out.dry_run, "it was a dry run")


# --- claims ---

def encode_claims(r: Receipt) -> bytes:
    claims = {1: 1, 2: r.partner, 3: r.home, 4: r.request_id, 5: r.operation, 6: r.done_ms,
              7: hashlib.sha256(encode_content(r)).digest(), 8: [u.revision for u in r.users]}
    if r.decided_by is not None:
        claims[9] = r.decided_by
    return cbor2.dumps(claims, canonical=True)


def decode_claims(data: bytes, content: bytes) -> Receipt:
    p = load(data, "the claims")
    need(type(p) is dict and set(p) - {9} == set(range(1, 9)), "the claims have other keys than it should")
    need(p[1] == 1, "unknown format")
    need(type(p[2]) is str and type(p[3]) is str, "an MC system ID is no text")
    need(type(p[4]) is bytes and len(p[4]) == 16, "the request ID is bad")
    need(p[5] in (SETUP, UPDATE, REMOVE) and is_uint(p[6]), "operation or time is bad")
    need(p[7] == hashlib.sha256(content).digest(), "the content is not what the claims are about")
    out = Receipt(p[2], p[3], p[4], p[5], p[6], [], decided_by=p.get(9))
    decode_content(content, out)
    need(type(p[8]) is list and len(p[8]) == len(out.users), "not a revision for each user")
    need(all(r is None or (is_uint(r) and (r == 0) == (p[5] == REMOVE)) for r in p[8]), "a revision does not fit the operation")
    need(any(r is not None for r in p[8]), "nobody was done")
    need(None not in p[8] or out.best_effort, "it was not to be done in part")
    need(9 not in p or (type(p[9]) is str and p[9]), "who decided is bad")
    for user, revision in zip(out.users, p[8]):
        user.revision = revision
    return out


# --- trees (RFC 9162 2.1) ---

def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def split(n: int) -> int:
    """The largest power of two below."""
    return 1 << (n - 1).bit_length() - 1


def tree_root(leaves: list) -> bytes:
    k = split(len(leaves)) if len(leaves) > 1 else 0
    return node_hash(tree_root(leaves[:k]), tree_root(leaves[k:])) if k else leaves[0]


def tree_path(m: int, leaves: list) -> list:
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    return (tree_path(m, leaves[:k]) + [tree_root(leaves[k:])] if m < k else
            tree_path(m - k, leaves[k:]) + [tree_root(leaves[:k])])


def root_by_path(m: int, n: int, leaf: bytes, path: list) -> bytes:
    """From the top, as the tree is defined: the last of the path is the other half's root."""
    need(0 <= m < n, "the leaf is not in the tree")
    if n == 1:
        need(not path, "the path is too long")
        return leaf
    need(path, "the path is too short")
    k = split(n)
    if m < k:
        return node_hash(root_by_path(m, k, leaf, path[:-1]), path[-1])
    return node_hash(path[-1], root_by_path(m - k, n - k, leaf, path[:-1]))


# --- signature ---

def to_be_signed(protected: bytes, payload: bytes) -> bytes:
    return cbor2.dumps(["Signature1", protected, b"", payload])


def algorithm_of(key) -> int:
    if isinstance(key, (rsa.RSAPublicKey, rsa.RSAPrivateKey)):
        return -37
    return {"secp256r1": -7, "secp384r1": -35}[key.curve.name]


def sign(key, data: bytes) -> bytes:
    _, half, digest = ALGORITHMS[algorithm_of(key)]
    if not half:
        return key.sign(data, PSS, digest())
    r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(digest())))
    return r.to_bytes(half, "big") + s.to_bytes(half, "big")


def check_signature(key, algorithm: int, signature: bytes, data: bytes) -> None:
    curve, half, digest = ALGORITHMS[algorithm]
    try:
        if curve is None:
            need(isinstance(key, rsa.RSAPublicKey), "the algorithm does not fit the key")
            key.verify(signature, data, PSS, digest())
            return
        need(isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, curve),
             "the algorithm does not fit the key")
        need(len(signature) == 2 * half, "the signature has the wrong length")
        r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
        key.verify(utils.encode_dss_signature(r, s), data, ec.ECDSA(digest()))
    except InvalidSignature:
        raise BadReceipt("the signature is not the certificate's") from None


# --- certificates ---

def issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    if certificate.issuer != issuer.subject:
        return False
    key, digest = issuer.public_key(), certificate.signature_hash_algorithm
    how = (ec.ECDSA(digest),) if isinstance(key, ec.EllipticCurvePublicKey) else (padding.PKCS1v15(), digest)
    try:
        key.verify(certificate.signature, certificate.tbs_certificate_bytes, *how)
        return True
    except InvalidSignature:
        return False


def valid_at(certificate: x509.Certificate, at: datetime.datetime) -> bool:
    return certificate.not_valid_before <= at <= certificate.not_valid_after


def is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def check_chain(chain: list, anchors: list, at: datetime.datetime) -> None:
    leaf, behind = chain[0], chain[1:]
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        need(ExtendedKeyUsageOID.SERVER_AUTH in usages, "the certificate is none of a server")
    except x509.ExtensionNotFound:
        pass
    at_hand = leaf
    for _ in range(len(chain)):
        need(valid_at(at_hand, at), "a certificate was not valid then")
        if any(issued(at_hand, a) and valid_at(a, at) for a in anchors):
            return
        at_hand = next((c for c in behind if is_ca(c) and issued(at_hand, c)), None)
        need(at_hand, "the certificate does not lead to a trust anchor")
    raise BadReceipt("the certificate does not lead to a trust anchor")


def names_of(certificate: x509.Certificate) -> list:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (["DNS:" + n for n in names.get_values_for_type(x509.DNSName)] +
            ["URI:" + n for n in names.get_values_for_type(x509.UniformResourceIdentifier)])


def load_certificates(path) -> list:
    pem = Path(path).read_bytes()
    end = b"-----END CERTIFICATE-----"
    return [x509.load_pem_x509_certificate(part + end) for part in pem.split(end)[:-1]]


# --- the whole ---

def verify(data: bytes, anchors: list, name: str = None) -> Receipt:
    """The receipt, if a server under these certificates, of this name if one is given, signed it; else BadReceipt."""
    try:
        return verify_or_fail(data, anchors, name)
    except BadReceipt:
        raise
    except Exception as e:  # cryptography says in many ways that a certificate is not sound
        raise BadReceipt(f"{type(e).__name__}: {e}") from e


def verify_or_fail(data: bytes, anchors: list, name: str) -> Receipt:
    whole = load(data, "the receipt")
    need(type(whole) is list and len(whole) == 3 and all(type(x) is bytes for x in whole), "not content, claims and proof")
    content, claims, proof = whole
    return verify_proof(proof, claims, content, anchors, name)


def parse_inclusion(proofs) -> tuple:
    need(type(proofs) is dict and set(proofs) == {INCLUSION}, "other proofs than one of inclusion")
    need(type(proofs[INCLUSION]) is list and len(proofs[INCLUSION]) == 1, "not one proof")
    inclusion = load(proofs[INCLUSION][0], "the proof")
    need(type(inclusion) is list and len(inclusion) == 3 and is_uint(inclusion[0]) and is_uint(inclusion[1]), "a bad proof")
    need(type(inclusion[2]) is list and all(type(h) is bytes and len(h) == 32 for h in inclusion[2]), "a bad path")
    return inclusion


def parse_chain(x5chain) -> list:
    ders = [x5chain] if type(x5chain) is bytes else x5chain
    need(type(ders) is list and all(type(d) is bytes for d in ders) and (type(x5chain) is bytes or len(ders) > 1),
         "x5chain is bad")
    chain = [x509.load_der_x509_certificate(d) for d in ders]
    need(all(d.endswith(b"\0" + c.signature) for d, c in zip(ders, chain)), "a signature with bits that do not count")
    need(all(c.issuer != c.subject for c in chain[1:]), "a self-signed certificate beside the signer's")
    return chain


def verify_proof(data: bytes, claims: bytes, content: bytes, anchors: list, name: str = None, root: bytes = None) -> Receipt:
    """What a partner sends, with the claims that it must be for, what was asked, and the root that it says."""
    tag = load(data, "the proof")
    need(isinstance(tag, cbor2.CBORTag) and tag.tag == 18, "not tagged as COSE_Sign1")
    need(type(tag.value) is list and len(tag.value) == 4, "not four items")
    protected, unprotected, payload, signature = tag.value
    need(type(protected) is bytes and payload is None and type(signature) is bytes, "an item is of the wrong kind")
    header = load(protected, "the protected header")
    need(type(header) is dict and set(header) == {ALG, VDS} and header[ALG] in ALGORITHMS and header[VDS] == RFC9162_SHA256,
         "the protected header is another than it should be")
    need(type(unprotected) is dict and set(unprotected) == {X5CHAIN, VDP},
         "the unprotected header is another than it should be")
    size, index, path = parse_inclusion(unprotected[VDP])
    found = root_by_path(index, size, leaf_hash(claims), path)
    need(root in (None, found), "the claims do not lead to the root")
    chain = parse_chain(unprotected[X5CHAIN])
    names = names_of(chain[0])
    check_signature(chain[0].public_key(), header[ALG], signature, to_be_signed(protected, found))
    receipt = decode_claims(claims, content)
    check_chain(chain, anchors, datetime.datetime.utcfromtimestamp(receipt.done_ms / 1000))
    need(name is None or name in names, f"signed by {names}, not by {name}")
    receipt.names = names
    return receipt


def prove(entries: list, index: int, key, chain: list) -> tuple:
    """The proof for one of some claims that are signed together, and their root; chain: certificate, intermediates."""
    leaves = [leaf_hash(e) for e in entries]
    ders = [c.public_bytes(serialization.Encoding.DER) for c in chain]
    protected = cbor2.dumps({ALG: algorithm_of(key), VDS: RFC9162_SHA256}, canonical=True)
    inclusion = cbor2.dumps([len(leaves), index, tree_path(index, leaves)])
    unprotected = {X5CHAIN: ders[0] if len(ders) == 1 else ders, VDP: {INCLUSION: [inclusion]}}
    root = tree_root(leaves)
    signature = sign(key, to_be_signed(protected, root))
    return cbor2.dumps(cbor2.CBORTag(18, [protected, unprotected, None, signature])), root


def prove_with(claims: bytes, leaf, others: list = ()) -> tuple:
    """The same with the files of a pki.Leaf; others: claims that are signed with it."""
    key = serialization.load_pem_private_key(Path(leaf.key_file).read_bytes(), None)
    return prove([*others, claims], len(others), key, load_certificates(leaf.cert_file))


def make_with(receipt: Receipt, leaf, others: list = ()) -> bytes:
    """Content, claims and proof."""
    claims = encode_claims(receipt)
    return cbor2.dumps([encode_content(receipt), claims, prove_with(claims, leaf, others)[0]])


if __name__ == "__main__":
    try:
        print(verify(Path(sys.argv[1]).read_bytes(), load_certificates(sys.argv[2]), *sys.argv[3:4]))
    except BadReceipt as bad:
        sys.exit(f"{sys.argv[1]}: {bad}")
