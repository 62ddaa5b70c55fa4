"""What anybody can do who reaches a port: no certificate, or one that nobody vouches for."""

import os
import ssl
import time

from attack import GONE, attack
from acx_peer import tls_context
from clients import FIRE, HOME, drain_for_end, asking, evil_users
from acx_peer import pb

AT_HOME, AT_PARTNER = "stranger at police.example", "stranger at fire.example"
BOTH = AT_HOME, AT_PARTNER


def handshake(a, leaf=None, versions=None, name="localhost", alpn=("acx/1",)) -> ssl.SSLSocket:
    context = tls_context(False, leaf, a.seat.ca_file, alpn)
    context.verify_mode = ssl.CERT_NONE
    if versions:
        context.minimum_version, context.maximum_version = versions
    raw = a.tcp()
    try:
        return context.wrap_socket(raw, server_hostname=name)
    except BaseException:
        raw.close()
        raise


def refused(a, **more) -> None:
    """A handshake that must lead to nothing."""
    try:
        sock = handshake(a, **more)
        sock.settimeout(0.5)
        sock.recv(1)
        sock.close()
    except GONE:
        pass
    a.count()


@attack("handshakes without a certificate", *BOTH, rate=4)
def no_certificate(a):
    refused(a)
    refused(a, versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2))


@attack("handshakes with a certificate of another CA, names and protocols that are none", *BOTH, rate=4)
def wrong_certificate(a):
    refused(a, leaf=a.world.strange_leaf)
    refused(a, leaf=a.world.strange_leaf, alpn=())
    refused(a, leaf=a.world.strange_leaf, alpn=("h2", "x" * 255))
    refused(a, leaf=a.world.strange_leaf, name=".".join(["x" * 60] * 4))


@attack("half-open handshakes", *BOTH, rate=200)
def half_open(a):
    held = []
    try:
        for i in range(150):
            held.append(a.tcp())
            if i % 3:  # the beginning of a ClientHello, or of a record that does not come
                held[-1].sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[:4 + i % 7])
            a.count()
        time.sleep(2)
    finally:
        for s in held:
            s.close()


@attack("bytes that are no TLS", *BOTH, rate=20)
def no_tls(a):
    with a.tcp() as s:
        s.sendall((b"GET / HTTP/1.1\r\n\r\n", os.urandom(300), b"\x15\x03\x01\x00\x02\x02\x28" * 50)[a.done % 3])
        s.settimeout(0.1)
        try:
            s.recv(100)
        except OSError:
            pass
    a.count()


@attack("a ClientHello that drips in", *BOTH, rate=200)
def slow_handshake(a):
    held = [a.tcp() for _ in range(20)]
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = tls_context(False, None, a.seat.ca_file).wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    for byte in outgoing.read():
        for s in held:
            s.sendall(bytes([byte]))
            a.count()


@attack("certificates with odd names, chains and keys", HOME, rate=4)
def odd_certificates(a):
    """Each with a request that waits for a decision: its certificate's name is kept, and shown."""
    for label, leaf in a.world.odd_leaves.items():
        a.seat.leaf = leaf
        try:
            c = a.connect()
            c.sock.sendall(asking(FIRE, evil_users(1, "odd"), operation=pb.REMOVE).fresh() +
                           asking(FIRE, evil_users(1, "odd", "police.example")).fresh())
            drain_for_end(c)
        except GONE:
            a.parted()
        a.count()
