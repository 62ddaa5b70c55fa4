"""Our receipts and those of an independent implementation (receipts.py), each judged by the other."""

import os
import subprocess
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import pki
import receipts
from receipts import BadReceipt, Receipt, User

TOOL = Path(os.environ.get("BUILD", "build")).resolve() / "tests/make_receipt"
FIRE = "DNS:acms.fire.example"


def ours(leaf: pki.Leaf, index: int = 0, of: int = 1) -> bytes:
    return subprocess.run([TOOL, "sign", leaf.cert_file, leaf.key_file, str(index), str(of)], check=True,
                          capture_output=True).stdout


def judged_by_us(data: bytes, ca: pki.CA, name: str = FIRE) -> subprocess.CompletedProcess:
    return subprocess.run([TOOL, "verify", ca.cert_file, name], input=data, capture_output=True)


@pytest.fixture(name="ca")
def make_ca(tmp_path):
    return pki.CA(tmp_path, "ca")


def leaf_of(ca: pki.CA, kind: str, **more) -> pki.Leaf:
    """Of RSA, P-256 or P-384; the last replaces the P-256 key that pki makes."""
    if kind != "P-384":
        return ca.issue(kind, [FIRE], rsa_bits=2048 if kind == "RSA" else 0, **more)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pki.ec, "SECP256R1", ec.SECP384R1)
        return ca.issue(kind, [FIRE], **more)


def a_receipt(**more) -> Receipt:
    return Receipt(**{**dict(partner="fire.example", home="police.example", request_id=bytes(16), operation=receipts.SETUP,
                             done_ms=int(pki.now().replace(tzinfo=pki.datetime.timezone.utc).timestamp() * 1000),
                             users=[User("a", 1, [(1, "sip:a@police.example")])]), **more})


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA"])
def test_ours_is_good_to_others(ca, kind):
    r = receipts.verify(ours(leaf_of(ca, kind)), [ca.certificate], FIRE)
    assert (r.partner, r.home, r.request_id, r.operation) == ("fire.example", "police.example", b"0123456789abcdef", 0)
    assert r.users == [User("a@police.example", 1, [(1, "sip:a@police.example"), (3, "tel:+4930")]),
                       User("b@police.example", None, []), User("é@police.example", 70000, [])]
    assert r.home_acmc_id == "sip:admin@police.example" and r.validity == (1, 1 << 60) and r.best_effort
    assert r.decided_by == "duty-officer" and r.names == [FIRE]


def test_signed_together(ca):
    """In trees of all shapes, at each place"""
    leaf = leaf_of(ca, "P-256")
    for size in (1, 2, 3, 4, 5, 7, 8, 13, 64):
        for index in {0, size // 3, size // 2, size - 1}:
            data = ours(leaf, index, size)
            assert receipts.verify(data, [ca.certificate], FIRE).home == "police.example"
            proof = cbor2.loads(cbor2.loads(data)[2]).value[1][receipts.VDP][receipts.INCLUSION][0]
            assert cbor2.loads(proof)[:2] == [size, index]
            others = [bytes([i]) for i in range(index)]
            assert judged_by_us(receipts.make_with(a_receipt(), leaf, others), ca).returncode == 0


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA"])
def test_others_are_good_to_us(ca, kind):
    said = judged_by_us(receipts.make_with(a_receipt(), leaf_of(ca, kind)), ca)
    assert said.returncode == 0, said.stderr
    assert said.stdout.decode().startswith("fire.example police.example 0 ")
    assert FIRE in said.stdout.decode()


def test_both_refuse_the_same(ca, tmp_path):
    leaf, stranger = leaf_of(ca, "P-256"), pki.CA(tmp_path / "other", "ca")
    rail = ca.issue("rail", ["DNS:acms.rail.example"])
    content, claims, proof = cbor2.loads(receipts.make_with(a_receipt(), leaf, [b"a", b"b", b"c"]))
    good = cbor2.loads(proof).value
    inclusion = cbor2.loads(good[1][receipts.VDP][receipts.INCLUSION][0])

    def proven(value, tag=18, said=claims, asked=content):
        return cbor2.dumps([asked, said, cbor2.dumps(cbor2.CBORTag(tag, value))], canonical=True)

    def changed(i, value):
        return proven(good[:i] + [value] + good[i + 1:])

    def vdp(value):
        return changed(1, {**good[1], receipts.VDP: value})

    def included(size, index, path):
        return vdp({receipts.INCLUSION: [cbor2.dumps([size, index, path])]})

    path, root = inclusion[2], receipts.prove_with(claims, leaf, [b"a", b"b", b"c"])[1]
    wrong = {
        "other claims": proven(good, said=receipts.encode_claims(a_receipt(home="rail.example"))),
        "no claims": cbor2.dumps(cbor2.CBORTag(18, good)),
        "claims only": cbor2.dumps([content, claims]),
        "without content": cbor2.dumps([claims, proof]),
        "other content": proven(good, asked=receipts.encode_content(a_receipt(home_acmc_id="tel:+491"))),
        "bytes behind the content": proven(good, asked=content + b"\0"),
        "payload": changed(2, root),
        "other tag": proven(good, 98),
        "no tag": cbor2.dumps([content, claims, cbor2.dumps(good)]),
        "no chain": changed(1, {receipts.VDP: good[1][receipts.VDP]}),
        "the anchor in the chain": changed(1, {**good[1], receipts.X5CHAIN: [
            good[1][receipts.X5CHAIN], ca.certificate.public_bytes(receipts.serialization.Encoding.DER)]}),
        "header more": changed(1, {4: b"11", **good[1]}),
        "algorithm": changed(0, cbor2.dumps({1: -35, 395: 1})),
        "data structure": changed(0, cbor2.dumps({1: -7, 395: 2})),
        "no data structure": changed(0, cbor2.dumps({1: -7})),
        "content type": changed(0, cbor2.dumps({1: -7, 3: "text/plain", 395: 1})),
        "DER signature": changed(3, receipts.utils.encode_dss_signature(1, 1)),
        "no proofs": vdp({}),
        "two proofs": vdp({receipts.INCLUSION: good[1][receipts.VDP][receipts.INCLUSION] * 2}),
        "consistency": vdp({-2: good[1][receipts.VDP][receipts.INCLUSION]}),
        "other place": included(4, 2, path),
        "beyond": included(4, 4, path),
        "no tree": included(0, 0, []),
        "shorter path": included(4, 3, path[:1]),
        "longer path": included(4, 3, path + path[:1]),
        "turned path": included(4, 3, path[::-1]),
        "the root itself": included(1, 0, []),
        "short hash": included(4, 3, [path[0], path[1][:31]]),
        "bytes behind": proven(good) + b"\0",
        "bytes behind the proof": cbor2.dumps([content, claims, proof + b"\0"]),
        "other name": receipts.make_with(a_receipt(), rail),
        "other CA": receipts.make_with(a_receipt(), leaf_of(stranger, "P-256")),
        "client": receipts.make_with(a_receipt(), leaf_of(ca, "P-256", usages=(pki.CLIENT,))),
        "before its certificate": receipts.make_with(a_receipt(done_ms=1000), leaf),
        "expired": receipts.make_with(a_receipt(), leaf_of(ca, "P-256", start=-20, end=-10)),
        "no users": receipts.make_with(a_receipt(users=[]), leaf),
        "revision": receipts.make_with(a_receipt(operation=receipts.REMOVE), leaf),
        "order": receipts.make_with(a_receipt(users=[User("b", 1, []), User("a", 1, [])]), leaf),
        "nobody done": receipts.make_with(a_receipt(users=[User("a", None, [])], best_effort=True), leaf),
        "in part": receipts.make_with(a_receipt(users=[User("a", 1, []), User("b", None, [])]), leaf),
        "dry run": receipts.make_with(a_receipt(dry_run=True), leaf),
    }
    for what, data in wrong.items():
        with pytest.raises(BadReceipt):
            receipts.verify(data, [ca.certificate], FIRE)
            pytest.fail(f"{what}: taken by receipts.py")
        assert judged_by_us(data, ca).returncode == 1, what
    receipts.verify(proven(good), [ca.certificate], FIRE)
    assert judged_by_us(proven(good), ca).returncode == 0


def test_every_byte_counts(ca):
    data = ours(leaf_of(ca, "P-256"))
    for i in range(len(data)):
        broken = data[:i] + bytes([data[i] ^ 1 << i % 8]) + data[i + 1:]
        with pytest.raises(BadReceipt):
            receipts.verify(broken, [ca.certificate], FIRE)


def test_expired_since_is_said(ca):
    leaf = leaf_of(ca, "P-256", start=-20, end=-10)
    then = int(((pki.now() - pki.days(15)).replace(tzinfo=pki.datetime.timezone.utc)).timestamp() * 1000)
    data = receipts.make_with(a_receipt(done_ms=then), leaf)
    said = judged_by_us(data, ca)
    assert said.returncode == 0 and b"has expired on" in said.stdout
    receipts.verify(data, [ca.certificate], FIRE)


def test_an_intermediate_comes_along(ca):
    x509, hashes, key = pki.x509, pki.hashes, ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(pki.NameOID.COMMON_NAME, "intermediate")])
    certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(ca.name).public_key(key.public_key())
                   .serial_number(5).not_valid_before(pki.now() - pki.days(9)).not_valid_after(pki.now() + pki.days(9))
                   .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
                   .sign(ca.key, hashes.SHA256()))
    below = pki.CA(ca.directory / "below", "x")
    below.key, below.name = key, name
    leaf = leaf_of(below, "P-256")
    with leaf.cert_file.open("ab") as f:
        f.write(certificate.public_bytes(serialization.Encoding.PEM))
    data = ours(leaf)
    assert len(cbor2.loads(cbor2.loads(data)[2]).value[1][receipts.X5CHAIN]) == 2
    assert receipts.verify(data, [ca.certificate], FIRE)
    assert judged_by_us(data, ca).returncode == 0
    assert judged_by_us(receipts.make_with(a_receipt(), leaf), ca).returncode == 0
