"""TLS records that no library sends: a client whose handshake is Python's, and whose records after it are made by hand."""

import hashlib
import hmac
import socket
import ssl
import struct
import tempfile

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from acx_peer import tls_context

ALERT, HANDSHAKE, DATA = 21, 22, 23
KEY_UPDATE = bytes([24, 0, 0, 1, 0])
CLIENT_HELLO = bytes([1, 0, 0, 2, 3, 3])  # as much of one as shows what is wanted
USER_CANCELED = bytes([1, 90])  # a warning
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def expand(secret: bytes, label: bytes, length: int, digest) -> bytes:
    """RFC 8446 7.1: HKDF-Expand-Label without a context, of one block."""
    name = b"tls13 " + label
    info = struct.pack(">HB", length, len(name)) + name + b"\0"
    return hmac.new(secret, info + b"\1", digest).digest()[:length]


def prf(secret: bytes, seed: bytes, length: int) -> bytes:
    """RFC 5246 5."""
    out, a = b"", seed
    while len(out) < length:
        a = hmac.new(secret, a, hashlib.sha256).digest()
        out += hmac.new(secret, a + seed, hashlib.sha256).digest()
    return out[:length]


class HandMade:
    """Admitted with a leaf's certificate. What it is sent is not read."""

    def __init__(self, port: int, leaf, ca_file, version: str):
        self.version, self.sequence = version, 0
        context = tls_context(False, leaf, ca_file)
        context.minimum_version = context.maximum_version = VERSIONS[version]
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        with tempfile.NamedTemporaryFile() as log:
            context.keylog_filename = log.name
            self.shake_hands(context)
            secrets = {line.split()[0]: line.split()[1:] for line in open(log.name) if not line.startswith("#")}
        if version == "1.2":
            client_random, master = (bytes.fromhex(x) for x in secrets["CLIENT_RANDOM"])
            block = prf(master, b"key expansion" + self.server_random + client_random, 40)
            self.key, self.iv, self.sequence = AESGCM(block[:16]), block[32:36], 1  # Finished was the first
        else:
            self.digest = hashlib.sha384 if "SHA384" in self.cipher else hashlib.sha256
            self.set_secret(bytes.fromhex(secrets["CLIENT_TRAFFIC_SECRET_0"][1]))

    def shake_hands(self, context: ssl.SSLContext) -> None:
        incoming, outgoing, first = ssl.MemoryBIO(), ssl.MemoryBIO(), b""
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.sock.sendall(outgoing.read())
                piece = self.sock.recv(65536)
                assert piece, "refused"
                first += piece
                incoming.write(piece)
        self.sock.sendall(outgoing.read())
        self.server_random, self.cipher = first[11:43], tls.cipher()[0]

    def set_secret(self, secret: bytes) -> None:
        self.secret, self.sequence = secret, 0
        self.key = AESGCM(expand(secret, b"key", 32 if "AES_256" in self.cipher else 16, self.digest))
        self.iv = expand(secret, b"iv", 12, self.digest)

    def record(self, kind: int, plain: bytes) -> bytes:
        sequence = struct.pack(">Q", self.sequence)
        self.sequence += 1
        if self.version == "1.2":
            head = struct.pack(">BHH", kind, 0x303, len(plain))
            sealed = sequence + self.key.encrypt(self.iv + sequence, plain, sequence + head)
            return head[:3] + struct.pack(">H", len(sealed)) + sealed
        nonce = (int.from_bytes(self.iv, "big") ^ self.sequence - 1).to_bytes(12, "big")
        head = struct.pack(">BHH", DATA, 0x303, len(plain) + 17)
        return head + self.key.encrypt(nonce, plain + bytes([kind]), head)

    def key_update(self, fragment: int = 5) -> bytes:
        """The message, in records of so many bytes; what follows is under the next keys."""
        records = b"".join(self.record(HANDSHAKE, KEY_UPDATE[i:i + fragment]) for i in range(0, 5, fragment))
        self.set_secret(expand(self.secret, b"traffic upd", self.digest().digest_size, self.digest))
        return records

    def close(self) -> None:
        self.sock.close()
