"""acx-pki: what it makes, by openssl's judgement, and what it does to bundles that somebody changed on their way."""

import datetime
import hashlib
import io
import os
import pty
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ACX_PKI = Path(__file__).resolve().parents[2] / "deploy/acx-pki"
PEM = serialization.Encoding.PEM
CA_KEY_USAGE = x509.KeyUsage(False, False, False, False, False, True, True, False, False)


class Organisation:
    """A directory that acx-pki works in, with a private TMPDIR that must be empty whenever it has ended."""

    def __init__(self, root: Path, system: str):
        self.dir, self.system, self.tmp = root / system, system, root / f"tmp-{system}"
        self.dir.mkdir()
        self.tmp.mkdir()

    def run(self, *words, **more) -> subprocess.CompletedProcess:
        more = {"stdin": subprocess.DEVNULL, **more}
        done = subprocess.run([ACX_PKI, *words], cwd=self.dir, env={**os.environ, "TMPDIR": str(self.tmp)}, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        assert re.fullmatch(rb"[\n\x20-\x7e]*", done.stdout + done.stderr), (done.stdout, done.stderr)
        assert not list(self.tmp.iterdir())
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        return done

    def good(self, *words, **more) -> str:
        done = self.run(*words, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def bad(self, *words, code: int = 1, says: str = "", **more) -> None:
        """Refused, and nothing has changed."""
        before = self.files()
        done = self.run(*words, **more)
        assert done.returncode == code and done.stdout == "", (done.stdout, done.stderr)
        assert says in done.stderr, done.stderr
        assert self.files() == before

    def files(self) -> dict:
        return {p: p.read_bytes() if p.is_file() else None for p in sorted(self.dir.rglob("*"))}

    def make(self) -> "Organisation":
        self.good("init", self.system)
        self.good("acms", f"acms.{self.system}")
        self.fingerprint = self.good("bundle", "bundle").strip()
        return self


@pytest.fixture(scope="module")
def partner(tmp_path_factory) -> Organisation:
    return Organisation(tmp_path_factory.mktemp("partner"), "fire.example").make()


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Organisation:
    """Refused bundles leave it as it is."""
    return Organisation(tmp_path_factory.mktemp("own"), "police.example").make()


def fingerprint(content: bytes) -> str:
    return " ".join(re.findall("....", hashlib.sha256(content).hexdigest()[:32]))


# --- bundles made by somebody else ---

class Authority:
    """A CA of our own making, with any defect; and its CRL."""

    def __init__(self, name: str = "a CA", key=None, issuer=None, start: float = -1, end: float = 100, extensions=None, crl=None):
        self.key, self.name = key or ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (x509.CertificateBuilder().subject_name(self.name).issuer_name(issuer.name if issuer else self.name)
                   .public_key(self.key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(when(start)).not_valid_after(when(end)))
        for extension in extensions if extensions is not None else [x509.BasicConstraints(True, None), CA_KEY_USAGE]:
            builder = builder.add_extension(extension, critical=True)
        self.certificate = builder.sign((issuer or self).key, hashes.SHA256()).public_bytes(PEM)
        self.crl = self.make_crl(**(crl or {}))

    def make_crl(self, start: float = -1, end: float = 30, padding: int = 0) -> bytes:
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(when(start)).next_update(when(end))
        if padding:
            builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), bytes(padding)), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(PEM)


def when(days: float) -> datetime.datetime:
    return datetime.datetime.utcnow() + datetime.timedelta(days=days)


def head(system="fire.example", address="acms.fire.example:7443", certificate="DNS:acms.fire.example") -> bytes:
    return f"acx-bundle: 1\nmc_system_id: {system}\naddress: {address}\ncertificate: {certificate}\n".encode("latin-1")


def bundle_of(ca: Authority, **more) -> bytes:
    return head(**more) + ca.certificate + ca.crl


def test_a_bundle_may_be_made_by_others(own, tmp_path):
    """The form is what matters: this one was not made by acx-pki."""
    copy = Organisation(tmp_path, "police.example").make()
    content = bundle_of(Authority(crl={"padding": 750000}))
    assert 1000000 < len(content) < 1 << 20
    (tmp_path / "b").write_bytes(content)
    lines = copy.good("accept", tmp_path / "b", "--fingerprint", fingerprint(content))
    assert "mc_system_id: fire.example\n" in lines


# --- what was changed on its way is found ---

def test_the_fingerprint_covers_everything(own, partner, tmp_path):
    """Whoever puts something else in its place, all of it sound by itself, cannot keep the fingerprint."""
    genuine = (partner.dir / "bundle").read_bytes()
    assert fingerprint(genuine) == partner.fingerprint and len(partner.fingerprint.split()) == 8
    pems = genuine[genuine.index(b"-----"):]
    ca, crl = pems.split(b"-----BEGIN X509 CRL")
    other = Authority("ACX CA of fire.example")
    partner.good("crl")
    for changed in (head(system="fyre.example") + pems, head(address="acms.fyre.example:7443") + pems, head(address="acms.fire.example:7444") + pems,
                    head(certificate="DNS:acms.fyre.example") + pems, bundle_of(other), head() + ca + (partner.dir / "ca.crl").read_bytes()):
        (tmp_path / "b").write_bytes(changed)
        assert own.good("fingerprint", tmp_path / "b").strip() == fingerprint(changed)
        own.bad("accept", tmp_path / "b", "--fingerprint", partner.fingerprint, says="not its fingerprint")
    assert own.good("fingerprint", partner.dir / "bundle").strip() == partner.fingerprint


@pytest.mark.parametrize("told", ["0000 0000 0000 0000 0000 0000 0000 0000", "x", " ", "FIRST", "LONGER"])
def test_another_fingerprint(own, partner, told):
    told = {"FIRST": partner.fingerprint[:4], "LONGER": partner.fingerprint + " 0"}.get(told, told)
    own.bad("accept", partner.dir / "bundle", "--fingerprint", told, says="nothing was installed")


def test_without_a_fingerprint_nothing_is_installed(own, partner):
    own.bad("accept", partner.dir / "bundle", says="give --fingerprint")
    own.bad("accept", partner.dir / "bundle", "--fingerprint", "", code=2)
    own.bad("accept", partner.dir / "bundle", "--fingerprint", code=2)
    own.bad("accept", partner.dir / "bundle", stdin=None, input=partner.fingerprint.encode() + b"\n", says="give --fingerprint")


def on_a_terminal(organisation: Organisation, typed: str, *words) -> subprocess.CompletedProcess:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed.encode())
        return organisation.run(*words, stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)


def test_on_a_terminal_it_asks(partner, tmp_path):
    own = Organisation(tmp_path, "police.example").make()
    refused = on_a_terminal(own, "\n", "accept", partner.dir / "bundle")
    assert refused.returncode == 1 and "nothing was installed" in refused.stderr and not (own.dir / "partners").exists()
    assert partner.fingerprint not in refused.stderr  # or it would be copied from there
    refused = on_a_terminal(own, partner.fingerprint[:-1] + "\n", "accept", partner.dir / "bundle")
    assert refused.returncode == 1 and not (own.dir / "partners").exists()
    typed = partner.fingerprint.upper().replace(" ", "-") + "\n"
    assert on_a_terminal(own, typed, "accept", partner.dir / "bundle").returncode == 0
    assert sorted(p.name for p in (own.dir / "partners/fire.example").iterdir()) == ["ca.crl", "ca.crt"]


def test_what_is_installed_and_printed(partner, tmp_path):
    own = Organisation(tmp_path, "police.example").make()
    lines = own.good("accept", "--fingerprint", partner.fingerprint, partner.dir / "bundle")
    there = own.dir / "partners/fire.example"
    for name in ("ca.crt", "ca.crl"):
        assert (there / name).read_bytes() in (partner.dir / "bundle").read_bytes() and (there / name).stat().st_mode & 0o777 == 0o644
    assert (there / "ca.crt").read_bytes() == (partner.dir / "ca.crt").read_bytes() and there.stat().st_mode & 0o777 == 0o755
    assert lines == """\
  - mc_system_id: fire.example
    address: "acms.fire.example:7443"
    certificate: DNS:acms.fire.example
    trust_anchors: [partners/fire.example/ca.crt]
    crls: [partners/fire.example/ca.crl]
    provision:                # what fire.example may set up at your system; leave out to allow nothing
      mc_ids: ["*@fire.example"]
      mc_service_id_domains: [fire.example]
      approval: {setup: automatic, update: automatic, remove: automatic} # or manual, or deny
"""
    own.bad("accept", partner.dir / "bundle", "--fingerprint", partner.fingerprint, says="exists; move it away")


GOOD, OTHER = Authority(), Authority("another CA")
LEAF = Authority("leaf", issuer=GOOD, extensions=[x509.BasicConstraints(False, None)])
NAMESAKE = Authority()  # the same subject
PRIVATE = GOOD.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
LOCKED = GOOD.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x"))
H, C, R = head(), GOOD.certificate, GOOD.crl


def trusted(pem: bytes) -> bytes:
    return subprocess.run(["openssl", "x509", "-trustout"], input=pem, capture_output=True, check=True).stdout


def der(pem: bytes) -> bytes:
    return subprocess.run(["openssl", "x509", "-outform", "DER"], input=pem, capture_output=True, check=True).stdout


def rewrapped(pem: bytes) -> bytes:
    lines = pem.split(b"\n")
    return b"\n".join([lines[0], lines[1][:32], lines[1][32:], *lines[2:]])


def inside(pem: bytes, more: bytes) -> bytes:
    first, rest = pem.split(b"\n", 1)
    return first + b"\n" + more + rest


CHANGED = {
    # The attack of the issue: the genuine CA is shown, and more comes with it.
    "a CA appended to the CA": H + C + OTHER.certificate + R,
    "a CA before the CA": H + OTHER.certificate + C + R,
    "a CA and CRL appended": H + C + R + OTHER.certificate + OTHER.crl,
    "a CRL appended": H + C + R + OTHER.crl,
    "the same CA twice": H + C + C + R,
    "a leaf appended": H + C + R + LEAF.certificate,
    "a private key": H + C + R + PRIVATE,
    "a private key before": H + PRIVATE + C + R,
    "an encrypted key before": H + LOCKED + C + R,
    "an encrypted key in the CA's place": H + LOCKED + R,
    "a trusted certificate": H + trusted(C) + R,
    "a trusted certificate, too": H + C + R + trusted(OTHER.certificate),
    "the CRL before the CA": H + R + C,
    "text before": b"# hello\n" + H + C + R,
    "text between": H + b"issuer=x\n" + C + R,
    "text in the middle": H + C + b"hello\n" + R,
    "text behind": H + C + R + b"hello\n",
    "an empty line behind": H + C + R + b"\n",
    "no newline at the end": H + C + R[:-1],
    "NULs behind": H + C + R + b"\0\0",
    "a NUL in the system": head(system="fire\0.example") + C + R,
    "a NUL in a mark": H + C.replace(b"BEGIN", b"BE\0GIN") + R,
    "lines of DOS": (H + C + R).replace(b"\n", b"\r\n"),
    "other line lengths": H + rewrapped(C) + R,
    "a header in the PEM": H + inside(C, b"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n") + R,
    "spaces in the PEM": H + inside(C, b" \n") + R,
    "an older mark": H + C.replace(b" CERTIFICATE", b" X509 CERTIFICATE") + R,
    "a fifth line": H + b"partner: yaml\n" + C + R,
    "a line twice": H + b"address: x.example:1\n" + C + R,
    "lines in another order": b"".join(H.splitlines(True)[i] for i in (0, 2, 1, 3)) + C + R,
    "another version": H.replace(b": 1", b": 2") + C + R,
    "a longer version": H.replace(b": 1", b": 10") + C + R,
    # Not even that.
    "nothing": b"",
    "one line": b"acx-bundle: 1\n",
    "only lines": H,
    "no CRL": H + C,
    "no CA": H + R,
    "a certificate alone": C,
    "no certificate": H + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + R,
    "an empty certificate": H + b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n" + R,
    "no CRL in its place": H + C + R.replace(R[30:60], b"A" * 30),
    "half a CA": H + C[:300] + R,
    "DER": H + der(C) + R,
    "too large": H + C + R + b"A" * (1 << 20),
    "much too large": H + b"A" * (64 << 20),
    # Certificates that are no CA's, or a CRL that says nothing about them.
    "a leaf": H + LEAF.certificate + R,
    "no CA by its constraints": bundle_of(Authority(extensions=[x509.BasicConstraints(False, None), CA_KEY_USAGE])),
    "no constraints": bundle_of(Authority(extensions=[CA_KEY_USAGE])),
    "no key usage": bundle_of(Authority(extensions=[x509.BasicConstraints(True, None)])),
    "signs no certificates": bundle_of(Authority(extensions=[x509.BasicConstraints(True, None), x509.KeyUsage(
        True, False, False, False, False, False, True, False, False)])),
    "signs no CRLs": bundle_of(Authority(extensions=[x509.BasicConstraints(True, None), x509.KeyUsage(
        False, False, False, False, False, True, False, False, False)])),
    "for mail only": bundle_of(Authority(extensions=[x509.BasicConstraints(True, None), CA_KEY_USAGE, x509.ExtendedKeyUsage(
        [ExtendedKeyUsageOID.EMAIL_PROTECTION])])),
    "an unknown critical extension": bundle_of(Authority(extensions=[x509.BasicConstraints(True, None), CA_KEY_USAGE,
                                                                     x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\5\0")])),
    "expired": bundle_of(Authority(start=-10, end=-1)),
    "not valid yet": bundle_of(Authority(start=2)),
    "an intermediate": bundle_of(Authority("below", issuer=OTHER)),
    "a namesake signed it": bundle_of(Authority(issuer=NAMESAKE)),
    "a short key": bundle_of(Authority(key=rsa.generate_private_key(65537, 1024))),
    "another's CRL": H + C + OTHER.crl,
    "a namesake's CRL": H + C + NAMESAKE.crl,
    "an expired CRL": bundle_of(Authority(crl={"start": -10, "end": -1})),
    "a CRL of the future": bundle_of(Authority(crl={"start": 2, "end": 10})),
}
SYSTEMS = ["police.example", "", "fire", "Fire.example", "fire.example.", ".example", "a..example", "-a.example", "a-.example", "fire.1",
           "../../x.example", "..", "/etc/x.example", "x/y.example", "*.example", "a b.example", "a.example ", " a.example", "a_b.example",
           "\x1b[31mfire.example", "fire.example\x1b]0;x\x07", "fire.example\x7f", "fi\xc3\xa4.example", "fire.example\ttab", "$(id).example", "`id`.example",
           "fire.example\nmc_system_id: x.example", "a" * 64 + ".example", ".".join(["a" * 61] * 5), "%s%n.example", "fire.example\r"]
ADDRESSES = ["", "acms.fire.example", ":7443", "acms.fire.example:", "acms.fire.example:0", "acms.fire.example:65536", "acms.fire.example:07443",
             "acms.fire.example:99999999999999999999", "acms.fire.example:7443 # x", "a b:7443", "::1:7443", "[::1:7443", "[x]:7443", "[1]:7443", '"x":7443',
             "x:y:7443", "*.fire.example:7443", "300.1.1.1:7443", "1.2.3:7443", "acms.fire.example:7443\x1b[2J", "acms.fire.example\", x: \"y:7443",
             "{x}:7443", "$(id):7443", "a\\b:7443", "-x:7443", "http://x:7443", "a" * 64 + ":7443"]
CERTIFICATES = ["", "acms.fire.example", "DNS:", "DNS:*.fire.example", "DNS:*", "URI:sip:x@fire.example", "IP:127.0.0.1", "dns:acms.fire.example",
                "DNS:acms.fire.example, DNS:x", "DNS:a b", "DNS:1.2.3.4", "DNS:x\x1b[31m", "DNS:acms.fire.example\x9b", "DNS:x]", "DNS:-x", "DNS:x # y"]
for what, values in (("system", SYSTEMS), ("address", ADDRESSES), ("certificate", CERTIFICATES)):
    CHANGED.update({f"{what} {value!r}"[:60]: bundle_of(GOOD, **{what: value}) for value in values})


def tar_of(*members, mode="w", **more) -> bytes:
    """(name, content) or a TarInfo each."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, **more) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


# As bundles once were: an archive is none any more, whatever is in it.
FILES = [("system", b"fire.example\n"), ("ca.crt", C), ("ca.crl", R), ("partner.yaml", b"  - mc_ids: ['*']\n\x1b[31m")]
CHANGED.update({
    "an archive": tar_of(*FILES),
    "a compressed archive": tar_of(*FILES, mode="w:gz"),
    "an xz archive": tar_of(*FILES, mode="w:xz"),
    "a link to our key": tar_of(FILES[0], special("ca.crt", tarfile.SYMTYPE, "../../ca.key"), *FILES[2:]),
    "a hard link": tar_of(*FILES, special("ca.crt", tarfile.LNKTYPE, "system")),
    "a device": tar_of(special("ca.crt", tarfile.CHRTYPE), *FILES),
    "members out of place": tar_of(("../../ca.crt", C), ("/tmp/ca.crt", C), *FILES),
    "a bundle as a member": tar_of(("acx-bundle: 1\nx", H + C + R)),
})


def fails(own: Organisation, file: Path, content: bytes) -> None:
    """Even with its own fingerprint."""
    told = fingerprint(content)
    own.bad("accept", file, "--fingerprint", told)
    own.bad("accept", file, "--fingerprint=" + told)


@pytest.mark.parametrize("what", CHANGED)
def test_a_bundle_that_is_not_good(own, tmp_path, what):
    file = tmp_path / "b"
    file.write_bytes(CHANGED[what])
    fails(own, file, CHANGED[what])


def test_a_bundle_of_more_than_1_mib(own, tmp_path):
    """All of it sound; what was not read of it could be anything."""
    content = bundle_of(Authority(crl={"padding": 790000}))
    assert 1 << 20 < len(content) < 1100000
    (tmp_path / "b").write_bytes(content)
    own.bad("accept", tmp_path / "b", "--fingerprint", fingerprint(content), says="too large for a bundle")


def test_every_byte_matters(own, partner, tmp_path):
    """Not one can be changed, left out or added so that it is still taken for the same, nor for another good one."""
    genuine, file = (partner.dir / "bundle").read_bytes(), tmp_path / "b"
    for i in range(0, len(genuine), 41):
        for changed in (genuine[:i] + bytes([genuine[i] ^ 1]) + genuine[i + 1:], genuine[:i] + genuine[i + 1:], genuine[:i] + b"\x1b" + genuine[i:]):
            file.write_bytes(changed)
            own.bad("accept", file, "--fingerprint", partner.fingerprint)


def test_no_regular_file(own, tmp_path):
    """Neither waits for a FIFO that nobody writes to."""
    os.mkfifo(tmp_path / "fifo")
    for file in (tmp_path, tmp_path / "fifo", "/dev/null", "/dev/zero", tmp_path / "nowhere", own.dir / "nowhere\x1b[31m"):
        own.bad("accept", file, "--fingerprint", fingerprint(b""), says="no such file")
    (tmp_path / "link").symlink_to(own.dir / "ca.key")
    own.bad("accept", tmp_path / "link", "--fingerprint", fingerprint((own.dir / "ca.key").read_bytes()))


def test_our_own_bundle_and_cas_that_are_known(partner, tmp_path):
    own = Organisation(tmp_path, "police.example").make()
    own.bad("accept", own.dir / "bundle", "--fingerprint", own.fingerprint, says="that is your own bundle")
    text = (own.dir / "bundle").read_bytes()
    file = tmp_path / "b"
    file.write_bytes(text.replace(b"police.example", b"rail.example"))
    own.bad("accept", file, "--fingerprint", fingerprint(file.read_bytes()), says="its CA is the one in ca.crt")
    own.good("accept", partner.dir / "bundle", "--fingerprint", partner.fingerprint)
    text = (partner.dir / "bundle").read_bytes()
    file.write_bytes(text.replace(b"fire.example", b"rail.example"))
    own.bad("accept", file, "--fingerprint", fingerprint(file.read_bytes()), says="its CA is the one in partners/fire.example/ca.crt")
    # another certificate of the same key
    key = serialization.load_pem_private_key((partner.dir / "ca.key").read_bytes(), None)
    content = bundle_of(Authority("renamed", key=key), system="rail.example")
    file.write_bytes(content)
    own.bad("accept", file, "--fingerprint", fingerprint(content), says="its CA is the one in partners/fire.example/ca.crt")


def test_a_partner_that_is_there(own, tmp_path):
    copy, content, file = Organisation(tmp_path, "police.example").make(), bundle_of(GOOD), tmp_path / "b"
    file.write_bytes(content)
    (copy.dir / "partners").mkdir()
    (copy.dir / "partners/fire.example").symlink_to("/nowhere")
    copy.bad("accept", file, "--fingerprint", fingerprint(content), says="exists")
    (copy.dir / "partners/fire.example").unlink()
    (copy.dir / "partners/fire.example").mkdir()
    copy.bad("accept", file, "--fingerprint", fingerprint(content), says="exists")


def test_no_bundle_that_accept_refuses_is_made(tmp_path):
    """An expired CRL, a certificate without a DNS name, an address that is none."""
    own = Organisation(tmp_path, "police.example").make()
    for address in ADDRESSES[1:]:
        own.bad("bundle", "again", address, code=2)
    own.bad("bundle", "bundle", says="exists")
    (own.dir / "acms.crt").write_bytes(LEAF.certificate)
    own.bad("bundle", "again", says="certificate name")
    own = Organisation(tmp_path, "fire.example").make()
    (own.dir / "ca.crl").write_bytes(GOOD.crl)
    own.bad("bundle", "again", says="CRL")


# --- what it makes ---

def openssl(*words) -> str:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def names(file: Path) -> list:
    extension = x509.load_pem_x509_certificate(file.read_bytes()).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(name.value) for name in extension.value]


def verify(own: Organisation, label: str, purpose: str) -> str:
    return openssl("verify", "-x509_strict", "-crl_check_all", "-purpose", purpose, "-CAfile", own.dir / "ca.crt", "-CRLfile", own.dir / "ca.crl",
                   own.dir / f"{label}.crt")


def test_usages_path_length_and_revocation(tmp_path):
    own = Organisation(tmp_path, "police.example").make()
    own.good("acmc", "control-room", "sip:control-room@police.example")
    ca = openssl("x509", "-in", own.dir / "ca.crt", "-noout", "-ext", "basicConstraints,keyUsage,subjectKeyIdentifier")
    assert "CA:TRUE, pathlen:0" in ca and "Certificate Sign, CRL Sign\n" in ca and ca.count("critical") == 2
    for label, client, server in (("acms", True, True), ("control-room", True, False)):
        assert ("OK" in verify(own, label, "sslclient"), "OK" in verify(own, label, "sslserver")) == (client, server)
        leaf = openssl("x509", "-in", own.dir / f"{label}.crt", "-noout", "-ext", "basicConstraints,keyUsage,extendedKeyUsage")
        assert "CA:FALSE" in leaf and "Digital Signature\n" in leaf
        assert (own.dir / f"{label}.key").stat().st_mode & 0o777 == 0o600
    assert (own.dir / "ca.key").stat().st_mode & 0o777 == 0o600
    own.good("revoke", "control-room.crt")
    assert "certificate revoked" in verify(own, "control-room", "sslclient") and "OK" in verify(own, "acms", "sslclient")
    own.good("crl")
    assert "certificate revoked" in verify(own, "control-room", "sslclient")


def test_only_what_this_ca_issued_is_revoked(own, partner, tmp_path):
    for file in (partner.dir / "acms.crt", own.dir / "ca.crt", own.dir / "ca.key", "/dev/null"):
        assert own.run("revoke", file).returncode != 0
    assert openssl("crl", "-in", own.dir / "ca.crl", "-noout", "-text").count("Serial Number") == 0


URIS = ["sip:a,b@police.example", "sip:a;x=y@police.example", "sip:$ENV::HOME@police.example", "sip:${x}@police.example", "sip:$x@police.example",
        "sip:a#b@police.example", "sip:'a'@police.example", "sip:a%20b@police.example", "sip:a=b@police.example", "tel:+4930123",
        "sip:a,DNS:acms.police.example", "sip:a,URI:sip:root@police.example", "http://[::1]:80/(a)*b+c!d~e?f&g@h"]


def test_uris_with_what_openssl_reads_otherwise(own):
    for i, uri in enumerate(URIS):
        if "{" in uri:  # no character of URIs
            own.bad("acmc", f"uri{i}", uri, code=2)
            continue
        own.good("acmc", f"uri{i}", uri)
        assert names(own.dir / f"uri{i}.crt") == [uri]


@pytest.mark.parametrize("uri", ["", "police", "sip:", "sip:a b@x", " sip:a@x", "sip:a@x ", "sip:a\\b@x", "sip:\"a\"@x", "sip:a\nURI.2 = sip:b@x", "sip:a@x\n",
                                 "sip:\x1b[31m@x", "sip:\xe4@x", "sip:<a>@x", "sip:^@x", "1sip:a@x", "sip:" + "a" * 300])
def test_no_uri(own, uri):
    own.bad("acmc", "label", uri, code=2)


@pytest.mark.parametrize("label", ["", "ca", "acms", "../x", "a/b", "-x", ".x", "a b", "a\nb", "a" * 65, "\x1b[31m", "a+b/CN=c"])
def test_no_label(own, label):
    own.bad("acmc", label, "sip:a@police.example", code=2)


@pytest.mark.parametrize("name", ["*.police.example", "*", "a b", "a,b", "a,DNS:b", "a_b", "-a", "a.", ".a", "a\nDNS.2 = b", "::g", "1.2.3", "256.1.1.1", "1.2.3.4.",
                                  "\x1b[31m", "a" * 64, ".".join(["a" * 61] * 5), "@names", "$x", "http://x"])
def test_no_name_of_an_acms(tmp_path, name):
    own = Organisation(tmp_path, "police.example")
    own.good("init", "police.example")
    own.bad("acms", name, code=2)
    assert own.run("acms", "acms.police.example", name).returncode != 0 and not (own.dir / "acms.crt").exists()


def test_names_of_an_acms(tmp_path):
    own = Organisation(tmp_path, "police.example")
    own.good("init", "police.example")
    given = ["acms.police.example", "localhost", "10.1.2.3", "::1", "2001:db8::7", "Acms2.Police.example"]
    own.bad("acms", "10.1.2.3", "acms.police.example", code=2)  # first the name that partners expect
    own.good("acms", *given)
    assert names(own.dir / "acms.crt") == given
    san = openssl("x509", "-in", own.dir / "acms.crt", "-noout", "-ext", "subjectAltName")
    assert san.count("DNS:") == 3 and san.count("IP Address:") == 3
    own.good("bundle", "b", "[2001:db8::7]:7443")


@pytest.mark.parametrize("system", [s for s in SYSTEMS if s != "police.example" and "\0" not in s])
def test_no_mc_system_id(tmp_path, system):
    own = Organisation(tmp_path, "police.example")
    own.bad("init", system, code=2)


def test_the_longest_mc_system_id(tmp_path):
    system = ".".join(["a" * 62] * 4) + "b"
    assert len(system) == 252
    own = Organisation(tmp_path, "long")
    own.good("init", system)
    own.good("acms", "acms.example")
    told = own.good("bundle", "b", "acms.example:7443")
    other = Organisation(tmp_path, "police.example").make()
    assert f"mc_system_id: {system}\n" in other.good("accept", own.dir / "b", "--fingerprint", told)


def test_nothing_is_overwritten(own):
    for words in (["init", "x.example"], ["acms"], ["bundle", "bundle"]):
        own.bad(*words, says="exists; move it away")
