"""Certificates for the tests, sound ones and ones with any defect."""

import datetime
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

os.umask(0o022)  # acms and acmc refuse files that others may write to

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


def now() -> datetime.datetime:
    return datetime.datetime.utcnow()


def days(n: float) -> datetime.timedelta:
    return datetime.timedelta(days=n)


def name_of(text: str) -> x509.GeneralName:
    kind, value = text.split(":", 1)
    if kind == "IP":
        return x509.IPAddress(ipaddress.ip_address(value))
    return {"DNS": x509.DNSName, "URI": x509.UniformResourceIdentifier}[kind](value)


def write_key(key, path: Path) -> None:
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                       serialization.NoEncryption()))


class Leaf:
    def __init__(self, certificate: x509.Certificate, cert_file: Path, key_file: Path):
        self.certificate, self.cert_file, self.key_file = certificate, cert_file, key_file


class CA:
    def __init__(self, directory: Path, name: str):
        self.directory, self.revoked, self.behind = directory, [], b""
        directory.mkdir(parents=True, exist_ok=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = (
            x509.CertificateBuilder().subject_name(self.name).issuer_name(self.name)
            .public_key(self.key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now() - days(100)).not_valid_after(now() + days(1000))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
            .sign(self.key, hashes.SHA256()))
        self.cert_file = directory / "ca.crt"
        self.cert_file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        self.crl_file = directory / "ca.crl"
        self.write_crl()

    def write_crl(self, next_update: float = 30) -> None:
        builder = (x509.CertificateRevocationListBuilder().issuer_name(self.name)
                   .last_update(now() - days(60)).next_update(now() + days(next_update)))
        for serial in self.revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now() - days(1)).build())
        self.crl_file.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def intermediate(self, label: str) -> "CA":
        """An authority under this one, whose certificates come with its own. It has no CRL."""
        under = CA(self.directory / label, label)
        under.certificate = (
            x509.CertificateBuilder().subject_name(under.name).issuer_name(self.name)
            .public_key(under.key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now() - days(100)).not_valid_after(now() + days(1000))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
            .sign(self.key, hashes.SHA256()))
        under.behind = under.certificate.public_bytes(serialization.Encoding.PEM)
        return under

    def revoke(self, leaf: Leaf) -> None:
        self.revoked.append(leaf.certificate.serial_number)
        self.write_crl()

    def issue(self, label: str, names: list[str], usages=(CLIENT, SERVER), start: float = -1, end: float = 365,
              rsa_bits: int = 0) -> Leaf:
        key = rsa.generate_private_key(65537, rsa_bits) if rsa_bits else ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, label)]))
            .issuer_name(self.name).public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now() + days(start)).not_valid_after(now() + days(end))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([name_of(n) for n in names]), critical=False)
            .add_extension(x509.ExtendedKeyUsage(list(usages)), critical=False))
        certificate = builder.sign(self.key, hashes.SHA256())
        cert_file, key_file = self.directory / f"{label}.crt", self.directory / f"{label}.key"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + self.behind)
        key_file.unlink(missing_ok=True)
        write_key(key, key_file)
        return Leaf(certificate, cert_file, key_file)
