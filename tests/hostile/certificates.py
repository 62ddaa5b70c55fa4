"""Certificates that a hostile system's CA makes: they carry the name that is expected, and much else before it."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import pki

URI, DNS = 6, 2  # tags of GeneralName
SAN = x509.ObjectIdentifier("2.5.29.17")


def der(tag: int, content: bytes) -> bytes:
    n = len(content)
    length = bytes([n]) if n < 128 else bytes([0x80 | (n.bit_length() + 7) // 8]) + n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag]) + length + content


def names(entries: list) -> x509.UnrecognizedExtension:
    """A subjectAltName of any bytes. entries: (tag, bytes)."""
    return x509.UnrecognizedExtension(SAN, der(0x30, b"".join(der(0x80 | tag, content) for tag, content in entries)))


def issue(ca: pki.CA, label: str, entries: list, issuer=None, chain=()) -> pki.Leaf:
    """As pki.CA.issue(), with raw names; issuer: (name, key) of an intermediate; chain: sent along."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, signer = issuer or (ca.name, ca.key)
    certificate = (
        x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, label)])).issuer_name(name)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(pki.now() - pki.days(1)).not_valid_after(pki.now() + pki.days(30))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(names(entries), critical=False)
        .add_extension(x509.ExtendedKeyUsage([pki.CLIENT, pki.SERVER]), critical=False).sign(signer, hashes.SHA256()))
    cert_file, key_file = ca.directory / f"{label}.crt", ca.directory / f"{label}.key"
    cert_file.write_bytes(b"".join(c.public_bytes(serialization.Encoding.PEM) for c in (certificate, *chain)))
    pki.write_key(key, key_file)
    return pki.Leaf(certificate, cert_file, key_file)


def intermediates(ca: pki.CA, n: int) -> tuple:
    """A chain of so many CAs under it: (name, key) of the last, and their certificates from the last up."""
    issuer, chain = (ca.name, ca.key), []
    for i in range(n):
        key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"CA {i}")])
        chain.insert(0, (
            x509.CertificateBuilder().subject_name(name).issuer_name(issuer[0]).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(pki.now() - pki.days(1)).not_valid_after(pki.now() + pki.days(30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(issuer[1], hashes.SHA256())))
        issuer = name, key
    return issuer, chain


def hostile_leaves(system) -> dict:
    """By what is odd about them. All carry DNS:acms.NAME, never as the first."""
    mine, ca = (DNS, f"acms.{system.name}".encode()), system.ca
    euro, engine = "\u20ac".encode(), "\U0001f692".encode()
    last, chain = intermediates(ca, 60)
    return {
        "long names of UTF-8": issue(ca, "utf8", [(URI, euro * 300), (URI, b"x" + engine * 200), (DNS, b"xx" + euro * 90), mine]),
        "a name cut inside a character": issue(ca, "cut", [(URI, b"sip:" + euro * 80), mine]),
        "another's name first": issue(ca, "another", [(DNS, b"acms.police.example"), (URI, b"sip:duty@fire.example"), mine]),
        "control characters": issue(ca, "control", [(URI, b"\x1b[2J\x07\r\n\xc2\x9b\xe2\x80\xae\xff\xfe\0x"), (DNS, b"\0"), mine]),
        "2,000 names": issue(ca, "names", [(DNS, b"n%d.evil.example" % i) for i in range(2000)] + [mine]),
        "a long chain": issue(ca, "chain", [mine], last, chain),
        "RSA of 4096 bits": ca.issue("rsa", ["DNS:first.evil.example", f"DNS:acms.{system.name}"], rsa_bits=4096),
    }
