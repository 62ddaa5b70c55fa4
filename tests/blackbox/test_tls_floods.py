"""TLS records that carry nothing (PROTOCOL.md 1): each costs the receiver more than the sender, and none may hold up others."""

import socket
import struct
import threading

import pytest

from acx_peer import frame, hello, pb
from systems import wait_for
from tls_by_hand import ALERT, CLIENT_HELLO, DATA, HANDSHAKE, USER_CANCELED, HandMade

FLOOD = 20000
PING = frame(pb.Message(ping=pb.Ping(token=1)).SerializeToString())
OURS = "too many TLS records without data"

KINDS = {  # the version, one piece of the flood, what the log says
    "KeyUpdates": ("1.3", lambda c: c.key_update(), OURS),
    "KeyUpdates, a byte in a record": ("1.3", lambda c: c.key_update(1), OURS),
    "KeyUpdates between Pings": ("1.3", lambda c: c.key_update() + c.record(DATA, PING), OURS),
    "warnings": ("1.3", lambda c: c.record(ALERT, USER_CANCELED), "too many warn alerts"),
    "warnings between Pings": ("1.3", lambda c: c.record(ALERT, USER_CANCELED) + c.record(DATA, PING), OURS),
    "empty records": ("1.3", lambda c: c.record(DATA, b""), "record too small"),
    "renegotiation": ("1.2", lambda c: c.record(HANDSHAKE, CLIENT_HELLO), OURS),
    "renegotiation between Pings": ("1.2", lambda c: c.record(HANDSHAKE, CLIENT_HELLO) + c.record(DATA, PING), OURS),
    "warnings, TLS 1.2": ("1.2", lambda c: c.record(ALERT, USER_CANCELED), "too many warn alerts"),
    "warnings between Pings, TLS 1.2": ("1.2", lambda c: c.record(ALERT, USER_CANCELED) + c.record(DATA, PING), OURS),
    "empty records, TLS 1.2": ("1.2", lambda c: c.record(DATA, b""), "record too small"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_flood_ends_its_own_connection(world, kind):
    version, piece, said = KINDS[kind]
    home = world.system("police.example")
    admin, other = home.acmc(), home.acmc("other")
    home.start()
    honest = home.client(other)
    attacker = HandMade(home.port, admin, home.ca.cert_file, version)
    attacker.sock.sendall(attacker.record(DATA, frame(hello().SerializeToString())))
    flood = b"".join(piece(attacker) for _ in range(FLOOD))

    def send() -> None:
        try:
            attacker.sock.sendall(flood)
        except OSError:
            pass

    sending = threading.Thread(target=send)
    sending.start()
    honest.ping()
    wait_for(lambda: "ACMC control-room" in home.log() and ": ended: " in home.log(), "it is ended")
    sending.join()
    attacker.close()
    assert said in home.log(), home.log()
    honest.ping()


def test_a_few_of_each_kind_are_fine(world):
    """What a library may send now and then."""
    home = world.system("police.example")
    admin = home.acmc()
    home.start()
    for version in ("1.2", "1.3"):
        c = HandMade(home.port, admin, home.ca.cert_file, version)
        c.sock.sendall(c.record(DATA, frame(hello().SerializeToString())))
        for _ in range(3):
            c.sock.sendall(c.record(ALERT, USER_CANCELED) + (c.key_update() if version == "1.3" else b"") +
                           c.record(DATA, b"") + c.record(DATA, PING))
        c.sock.sendall(c.record(DATA, frame(pb.Message(close=pb.Close(cause=pb.GOING_AWAY)).SerializeToString())))
        c.sock.settimeout(20)
        while c.sock.recv(65536):  # it ends with close_notify, since it has read all
            pass
        c.close()
    assert ": ended: " not in home.log(), home.log()


def test_a_partner_that_never_gets_on_with_the_handshake(world):
    """HelloRequests, which a client passes over, without end: before anybody has shown a certificate."""
    home, system = world.system("police.example"), world.system("fake.example")
    admin = home.acmc()
    home.config["limits"]["handshake_timeout"] = "300 s"
    requests = bytes(4) * 4000
    record = struct.pack(">BHH", HANDSHAKE, 0x303, len(requests)) + requests
    ended = threading.Event()

    def serve() -> None:
        sock, _ = listener.accept()
        try:
            while True:
                sock.sendall(record * 16)
        except OSError:
            ended.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        home.partner(system, port=listener.getsockname()[1], provision=None)
        home.start()
        honest = home.client(admin)
        honest.ping()
        wait_for(ended.is_set, "it is ended")
        honest.ping()
