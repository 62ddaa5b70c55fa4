"""Certificates in detail: PROTOCOL.md 1, on the server's and on the home ACMS's side of a link to a partner."""

import json
import ssl
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import pki
from acx_peer import Client, Ended, FakePartner, now_ms, pb, request, tls_context, true_response
from systems import soon

ADMIN = "URI:sip:control-room@police.example"
USER = {"ce@police.example": []}
REFUSED = (ssl.SSLError, ConnectionError, Ended)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def issued(ca: pki.CA, label: str, names: list[str], changes=lambda builder: builder, digest=None, is_ca: bool = False,
           signer=None, end: float = 90) -> pki.Leaf:
    """A certificate with what CA.issue cannot do: other extensions, another digest, an intermediate CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer, signing_key = signer or (ca.name, ca.key)
    builder = (x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, label)]))
               .issuer_name(issuer).public_key(key.public_key()).serial_number(x509.random_serial_number())
               .not_valid_before(pki.now() - pki.days(1)).not_valid_after(pki.now() + pki.days(end))
               .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([pki.name_of(n) for n in names]), critical=False)
    certificate = changes(builder).sign(signing_key, digest or hashes.SHA256())
    leaf = pki.Leaf(certificate, ca.directory / f"{label}.crt", ca.directory / f"{label}.key")
    leaf.cert_file.write_bytes(pem(certificate))
    pki.write_key(key, leaf.key_file)
    leaf.key = key
    return leaf


def refused(home, leaf) -> None:
    context = tls_context(False, None, home.ca.cert_file)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.load_cert_chain(leaf.cert_file, leaf.key_file)
    with pytest.raises(REFUSED):
        Client(home.port, None, None, context=context)


def test_the_subject_is_never_looked_at(federation):
    home = federation.home
    refused(home, issued(home.ca, ADMIN, []))
    home.wait_log("no configured party has a certificate named (no name; subject CN=")
    other = issued(home.ca, "sip:nobody@police.example", [ADMIN])
    home.client(other).ping()  # whatever the subject says


@pytest.mark.parametrize("name", [
    "URI:sip:Control-Room@police.example", "URI:SIP:control-room@police.example", "URI:sip:control-room@police.example.",
    "URI:sip:control-room@police.example;x", "DNS:sip", "URI:sip:*@police.example", "URI:sip:control-room%40police.example"])
def test_uris_compare_byte_for_byte(federation, name):
    refused(federation.home, federation.home.ca.issue("near", [name]))


def test_extended_key_usage_where_present(federation):
    """1: 'A client certificate needs the extended key usage clientAuth ... where the extension is present', 'anyExtendedKeyUsage
    does not stand for either'"""
    home = federation.home
    home.client(issued(home.ca, "no-eku", [ADMIN])).ping()
    any_use = x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.5.29.37.0")])
    code = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CODE_SIGNING])
    refused(home, issued(home.ca, "code", [ADMIN], lambda b: b.add_extension(code, critical=False)))
    refused(home, issued(home.ca, "any", [ADMIN], lambda b: b.add_extension(any_use, critical=False)))


def test_weak_signature_and_weak_key(federation):
    home = federation.home
    refused(home, issued(home.ca, "sha1", [ADMIN], digest=hashes.SHA1()))
    home.wait_log("signature digest algorithm too weak")
    refused(home, home.ca.issue("short", [ADMIN], rsa_bits=1024))
    home.wait_log("key too weak")


def test_an_unknown_critical_extension(federation):
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
    home = federation.home
    refused(home, issued(home.ca, "critical", [ADMIN], lambda b: b.add_extension(strange, critical=True)))
    home.wait_log("critical")


def chain(leaf: pki.Leaf, *rest: pki.Leaf) -> pki.Leaf:
    leaf.cert_file.write_bytes(b"".join(pem(x.certificate) for x in (leaf, *rest)))
    return leaf


def test_an_intermediate_ca(world):
    """1: 'The chain is verified against the anchors of the party'"""
    home = world.system("police.example")
    home.acmc()
    del home.config["acmcs"]["crls"]
    home.start()
    middle = issued(home.ca, "middle", [], is_ca=True)
    below = (middle.certificate.subject, middle.key)
    home.client(chain(issued(home.ca, "below", [ADMIN], signer=below), middle)).ping()
    refused(home, issued(home.ca, "no-chain", [ADMIN], signer=below))
    # who is no CA cannot vouch for anybody
    leaf = issued(home.ca, "leaf", [ADMIN])
    refused(home, chain(issued(home.ca, "child", [ADMIN], signer=(leaf.certificate.subject, leaf.key)), leaf))


def test_an_intermediate_ca_needs_its_crl_too(world):
    """acms.yaml(5): 'Where CRLs are given, every CA of a chain must have a valid one.'"""
    home = world.system("police.example")
    home.acmc()
    home.start()
    middle = issued(home.ca, "middle", [], is_ca=True)
    refused(home, chain(issued(home.ca, "below", [ADMIN], signer=(middle.certificate.subject, middle.key)), middle))
    home.wait_log("CRL")


def test_a_crl_that_another_ca_signed(world):
    home = world.system("police.example")
    admin = home.acmc()
    impostor = pki.CA(home.dir / "impostor", "CA of police.example")  # the same name, another key
    home.ca.crl_file.write_bytes(impostor.crl_file.read_bytes())
    home.start()
    refused(home, admin)


PARTNER_DEFECTS = {
    "expired": (["DNS:acms.fake.example"], dict(start=-20, end=-1), "expired"),
    "future": (["DNS:acms.fake.example"], dict(start=2), "not valid before"),
    "client-only": (["DNS:acms.fake.example"], dict(usages=(pki.CLIENT,)), "not for this use"),
    "other-name": (["DNS:acms.rail.example"], {}, "acms.rail.example"),
    "wildcard": (["DNS:*.fake.example"], {}, "*.fake.example"),
    "name-as-uri": (["URI:acms.fake.example"], {}, "acms.fake.example"),
}


@pytest.mark.parametrize("label", [*PARTNER_DEFECTS, "home's CA", "revoked", "no ALPN"])
def test_a_partner_with_a_bad_certificate_gets_nothing(world, label):
    """'a certificate from partner B's CA never passes as partner C', in this direction, too"""
    home, system = world.system("police.example"), world.system("fake.example")
    home.admin = home.acmc()
    names, changes, said = PARTNER_DEFECTS.get(label, (["DNS:acms.fake.example"], {}, ""))
    ca = home.ca if label == "home's CA" else system.ca
    leaf = ca.issue("fake", names, **changes)
    if label == "revoked":
        system.ca.revoke(leaf)
        said = "revoked"
    fake = FakePartner("fake.example", leaf, home.ca.cert_file, lambda link, r: link.send(true_response(r, "fake.example")))
    world.fakes.append(fake)
    if label == "no ALPN":
        fake.context = tls_context(True, leaf, home.ca.cert_file, alpn=())
        said = "ALPN"
    home.partner(system, port=fake.port, provision=None)
    home.start()
    answer = home.client(home.admin).setup(["fake.example"], USER, expires=now_ms(2))
    assert answer.cause == pb.PARTNER_UNREACHABLE and not fake.requests
    assert said in answer.detail and said in home.log(), (answer.detail, home.log())


def test_a_partner_that_is_revoked_while_connected(world):
    """A link lives only as long as its certificate: reload drops it, and nothing more is sent."""
    home, fire, rail = world.federation()
    for s in (fire, rail, home):
        s.start()
    c = home.client(home.admin)
    assert c.setup(["fire.example"], USER).result
    fire.ca.revoke(fire.leaf)
    home.reload()
    answers = c.setup_all(["fire.example", "rail.example"], {"later@police.example": []}, expires=soon(2))
    assert answers["fire.example"].cause == pb.PARTNER_UNREACHABLE and answers["rail.example"].result
    assert ("police.example", "later@police.example") not in fire.users()


def test_the_name_that_matched_is_recorded(world):
    """Whatever else a partner's CA puts into its certificates: never another's name."""
    fire, police = world.system("fire.example"), world.system("police.example")
    admin = fire.acmc(approves=["police.example"])
    fire.partner(police, address=False, provision={"mc_ids": ["*"], "approval": {"remove": "manual"}})
    fire.start()
    leaf = police.ca.issue("two-names", ["DNS:acms.rail.example", "URI:sip:x@rail.example", "DNS:acms.police.example"])
    client = fire.client(leaf, system="police.example")
    assert client.setup(["fire.example"], USER).result
    client.send(request(["fire.example"], {"a@police.example": []}, operation=pb.REMOVE))
    held = client.indication(pb.PENDING)
    decided = fire.client(admin).decide("police.example", held.request_id, False, reason="no")
    assert decided.cause == pb.NO_CAUSE and client.response().cause == pb.REJECTED
    client.send_raw(b"\0\0\0\0")
    assert client.receive_close().cause == pb.MALFORMED_MESSAGE
    entries = json.loads(fire.run("audit", "export").stdout)
    names = {e["action"]: e["certificate"].split(" ")[0] for e in entries if e.get("certificate")}
    assert names.pop("reject") == "URI:sip:control-room@fire.example"
    assert names == {"setup": "DNS:acms.police.example", "hold": "DNS:acms.police.example"}
    assert "rail" not in fire.log()


def openssl_words(home, *words: str) -> list:
    return ["openssl", "s_client", "-connect", f"127.0.0.1:{home.port}", "-cert", home.admin.cert_file, "-key",
            home.admin.key_file, "-CAfile", home.ca.cert_file, "-alpn", "acx/1", *words]


def openssl_client(home, *words: str) -> str:
    result = subprocess.run(openssl_words(home, *words), input=b"", capture_output=True, timeout=30)
    return (result.stdout + result.stderr).decode(errors="replace")


@pytest.mark.parametrize("words, alert", [
    (["-tls1_1", "-cipher", "ALL@SECLEVEL=0"], "alert protocol version"),
    (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"], "handshake failure"),
    (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA@SECLEVEL=0"], "handshake failure"),
    (["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256:AES128-GCM-SHA256"], "handshake failure"),
    (["-tls1_2", "-cipher", "aNULL@SECLEVEL=0"], "handshake failure"),
    (["-groups", "P-521"], "handshake failure"),
])
def test_it_is_the_server_that_refuses(federation, words, alert):
    """1: 'TLS 1.2 only with ECDHE-...-GCM or ...-CHACHA20-POLY1305'; 'Groups P-256, P-384, X25519'"""
    said = openssl_client(federation.home, *words)
    assert alert in said, said


@pytest.mark.parametrize("words", [["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"], ["-groups", "P-384"],
                                   ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"], ["-groups", "X25519"],
                                   ["-tls1_3"]])
def test_what_is_allowed_works(federation, words):
    said = openssl_client(federation.home, *words)
    assert "Verify return code: 0" in said and "ALPN protocol: acx/1" in said and "Compression: NONE" in said


def test_no_renegotiation(federation):
    """1: 'No compression, no renegotiation'"""
    with subprocess.Popen(openssl_words(federation.home, "-tls1_2", "-state"), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        said = b""
        while b"police.example\"" not in said:  # the server's Hello: the first handshake is over
            piece = client.stdout.read1()
            assert piece, said
            said += piece
        client.stdin.write(b"R\n")
        client.stdin.flush()
        said += client.stdout.read()
    assert b"RENEGOTIATING" in said and b"alert read:warning:no renegotiation" in said, said


def test_no_ticket_in_tls_1_3(federation):
    """1: 'no session resumption'"""
    said = openssl_client(federation.home, "-tls1_3", "-msg")
    assert "NewSessionTicket" not in said
