"""Exactly at the bounds of PROTOCOL.md 2, 3 and 5, and one beyond."""

import threading

import pytest

from acx_peer import Ended, frame, hello, limits, pb, request

FIRE = ["fire.example"]
AT_HOME = "@police.example"


@pytest.fixture
def client(federation):
    c = federation.home.client(federation.home.admin)
    yield c
    c.close()


def padded_hello(size: int) -> bytes:
    """By a field that nobody knows, which is ignored in a Hello."""
    message, padding = hello(), 0
    while len(payload := with_unknown(message, padding)) < size:
        padding += size - len(payload)
    while len(payload) > size:
        padding -= 1
        payload = with_unknown(message, padding)
    assert len(payload) == size
    return payload


def with_unknown(message, padding: int) -> bytes:
    known = message.hello.SerializeToString()
    field = pb.Message.FromString(b"\x0a" + varint(len(known) + 2 + len(varint(padding)) + padding) + known +
                                  b"\x9a\x06" + varint(padding) + b"s" * padding)
    return field.SerializeToString()


def varint(n: int) -> bytes:
    return bytes([n]) if n < 0x80 else bytes([n & 0x7f | 0x80]) + varint(n >> 7)


@pytest.mark.parametrize("size, fits", [(4096, True), (4097, False)])
def test_first_frame(federation, size, fits):
    """2: 'at most 4096 until the peer's Hello has been received'"""
    c = federation.home.client(federation.home.admin, say_hello=False)
    c.receive()
    c.send_raw(frame(padded_hello(size)))
    if fits:
        c.ping()
    else:
        assert c.receive_close().cause == pb.FRAME_TOO_LARGE


def sized_request(size: int):
    """A request whose payload has exactly this size, of MC IDs that all differ."""
    message = request(FIRE, {})
    ids = message.mc_service_user_setup_request.mc_id_list
    while size - message.ByteSize() > 400:
        ids.append(f"{len(ids):06}".ljust(200, "x"))
    ids.append("a" * ((size - message.ByteSize()) // 2))
    ids.append("")
    while message.ByteSize() < size:
        ids[-1] += "b"
    assert message.ByteSize() == size
    return message


@pytest.mark.parametrize("announced", [1048576, 65536])
def test_a_quarter_of_the_smaller_limit_and_one_byte_more(federation, announced):
    """2: a request's payload MUST NOT be longer than 'a quarter of the smaller of both ends' max_frame_bytes'"""
    for more in (0, 1):
        c = federation.home.client(federation.home.admin, say_hello=False)
        c.send(hello(limits=limits(max_frame_bytes=announced)))
        c.receive()
        c.send(sized_request(announced // 4 + more))
        if more:
            assert c.receive_close().cause == pb.FRAME_TOO_LARGE
        else:
            assert c.receive().WhichOneof("body") == "mc_service_user_setup_response"
        c.close()


def test_any_frame_up_to_a_quarter_of_the_announced_size(client):
    """Unknown fields inside Ping are ignored, so it may be as long as what a client sends."""
    def three_bytes(n: int) -> bytes:
        return bytes([n & 0x7f | 0x80, n >> 7 & 0x7f | 0x80, n >> 14])

    largest = client.hello.limits.max_frame_bytes // 4
    for size in (largest, largest + 1):
        ping = b"\x08\x07\xa2\x06" + three_bytes(size - 11) + b"x" * (size - 11)
        payload = b"\x12" + three_bytes(len(ping)) + ping
        assert len(payload) == size
        client.send_raw(frame(payload))
        message = client.receive()
        if size == largest:
            assert message.pong.token == 7
        else:
            assert message.close.cause == pb.FRAME_TOO_LARGE


def test_what_is_cut_off_is_discarded(federation):
    """2: 'one that ends inside a frame was truncated, and what had come of the frame is discarded'"""
    data = frame(request(FIRE, {f"cut{AT_HOME}": []}).SerializeToString())
    for n in (1, 3, 4, 5, len(data) - 1):
        c = federation.home.client(federation.home.admin)
        c.send_raw(data[:n])
        c.sock.unwrap()
        c.close()
    federation.home.client(federation.home.admin).ping()
    assert ("police.example", f"cut{AT_HOME}") not in federation.fire.users()


def test_one_byte_in_a_record(client):
    """Frames have nothing to do with TLS records."""
    for byte in frame(request(FIRE, {f"byte{AT_HOME}": []}).SerializeToString()):
        client.send_raw(bytes([byte]))
    assert client.response().result


def test_close_at_any_time(federation):
    """4: Close: 'any time', so before Hello, too; an unasked Pong is ignored"""
    c = federation.home.client(federation.home.admin, say_hello=False)
    c.send(pb.Message(close=pb.Close(cause=pb.GOING_AWAY)))
    assert c.receive().WhichOneof("body") == "hello"
    with pytest.raises(Ended):
        c.receive()
    c = federation.home.client(federation.home.admin)
    c.send(pb.Message(pong=pb.Pong(token=99)))
    c.ping(2 ** 64 - 1)


def test_unknown_fields_in_hello_and_close(federation):
    """2: 'Unknown fields inside Hello, Ping, Pong, Close and responses are ignored.'"""
    c = federation.home.client(federation.home.admin, say_hello=False)
    c.receive()
    inner = hello().hello.SerializeToString() + b"\xa2\x06\x03new"
    c.send_raw(frame(b"\x0a" + bytes([len(inner)]) + inner))
    c.ping()


def test_an_unknown_field_beside_the_body(client):
    """Of a Message that carries no request (8: what an older receiver does not know)."""
    payload = pb.Message(ping=pb.Ping(token=3)).SerializeToString() + b"\xa0\x06\x01"
    client.send_raw(frame(payload))
    message = client.receive()
    assert message.WhichOneof("body") in ("pong", "close")


ACCEPTED = {
    "\u00e4\u00f6 \U0001f692": "letters, a space, an emoji", "x" * 255: "255 bytes", "\u20ac" * 85: "255 bytes of UTF-8",
    "tel:+1000": "", "iit3A": "", "a\u00adb": "soft hyphen (Cf)", "a\u200bb": "zero width space (Cf)",
    "a\ue000b": "private use (Co)", "A" + AT_HOME: "", "a" + AT_HOME: "case-sensitive",
    "e\u0301": "not normalised", "\u00e9": "not normalised",
}
REFUSED = ["\x7f", "\x9f", "\u2028", "\u2029", "\u200e", "\u200f", "\u061c", "\u202a", "\u202d", "\u2066", "\u2069",
           "\ufffe", "\U0010ffff", "\ufdd0", "x" * 256, "\u20ac" * 85 + "x", "\t", "a\r"]


def test_mc_ids(world):
    """5.1: 'Opaque and case-sensitive, compared byte for byte. Not normalised.'"""
    home, fire = world.system("police.example"), world.system("fire.example")
    fire.partner(home, provision={"mc_ids": ["*"]})
    fire.start()
    c = fire.client(home.leaf, system=home.name)
    answer = c.setup(FIRE, {mc_id: [] for mc_id in ACCEPTED})
    assert answer.result, answer
    assert {m for _, m in fire.users()} == set(ACCEPTED)
    for mc_id in REFUSED:
        answer = c.setup(FIRE, {mc_id: []})
        assert answer.cause == pb.INVALID_MC_ID, repr(mc_id)
        assert [(i.mc_id, i.cause) for i in answer.identity_causes] == [(mc_id, pb.INVALID_MC_ID)]


CANONICAL = [
    ("SIPS:A%41%2f@EXAMPLE.org", "sips:AA%2F@example.org"), ("sip:%7e%5f@a.example", "sip:~_@a.example"),
    ("tel:+1-(2).3", "tel:+123"), ("TEL:+123456789012345", "tel:+123456789012345"),
    ("sip:&=+$,;?/-_.!~*'()@a.example", "sip:&=+$,;?/-_.!~*'()@a.example"), ("sip:a%40b@a.example", "sip:a%40b@a.example"),
    ("sip:%c3%A4@a.example", "sip:%C3%A4@a.example"), ("sip:a@x--1.example", "sip:a@x--1.example"),
    ("sip:a@" + "a" * 63 + ".example", "sip:a@" + "a" * 63 + ".example"),
]
NOT_URIS = [
    "tel:+-", "tel:+1a", "tel:+123456789012345-6", "tel:123", "sip:a%2@a.example", "sip:a%e2%80%ae@a.example",
    "sip:a%ff@a.example", "sip:a@a.example:", "sip:a@b@a.example", "sip:a@-a.example", "sip:a@a-.example",
    "sip:a@a..example", "sip:a@.example", "sip:a@1.2", "sip:a@" + "a" * 64 + ".example", "sip:a@a_b.example", "im:a@a.example",
    " sip:a@a.example", "sip:a@a.example ", "sip:\"a\"@a.example", "sip:a#b@a.example", "sip:a@a.example#x",
    "sip:" + "%41" * 84 + "@a.example", "//a.example", "sip", ":", "sip:a%09@a.example"]


def test_mc_service_ids(world):
    """5.2: one canonical form, 'what is compared and stored'; anything else is INVALID_MC_SERVICE_ID"""
    home, fire = world.system("police.example"), world.system("fire.example")
    domains = ["a.example", "x--1.example", "example.org", "tel:+1*", "a" * 63 + ".example"]
    fire.partner(home, provision={"mc_ids": ["*"], "mc_service_id_domains": domains})
    fire.start()
    c = fire.client(home.leaf, system=home.name)
    for i, (given, canonical) in enumerate(CANONICAL):
        answer = c.setup(FIRE, {f"u{i}": [(1, given)]})
        assert answer.result, (given, answer)
        stored = fire.users()["police.example", f"u{i}"]["mc_service_ids"]
        assert [e["mc_service_id"] for e in stored] == [canonical]
    for given in NOT_URIS:
        answer = c.setup(FIRE, {"bad": [(1, given)]})
        assert answer.cause == pb.INVALID_MC_SERVICE_ID, given
        assert [i.mc_service_id for i in answer.identity_causes] == [given]


def test_all_users_that_one_request_takes(federation):
    """3: max_mc_ids 1000, and one response has them all"""
    c = federation.home.client(federation.home.admin)
    users = {f"n{i}{AT_HOME}": [(1, f"sip:n{i}{AT_HOME}")] for i in range(1000)}
    answer = c.setup(FIRE, users)
    assert answer.result and answer.revisions == dict.fromkeys(users, 1)
    sixteen = {f"s{AT_HOME}": [(1, f"sip:s{i}{AT_HOME}") for i in range(16)]}
    assert c.setup(FIRE, sixteen).result
    assert len(c.setup_all([f"p{i}.example" for i in range(99)] + FIRE, {f"t{AT_HOME}": []})) == 100


def test_every_identity_in_the_way_is_named(federation):
    """5.4: 'All identities in the way are named in one response'; and the response still fits its frame"""
    c = federation.home.client(federation.home.admin)
    users = {f"{i:04}{'w' * 200}": [] for i in range(1000)}
    answer = c.setup(FIRE, users)
    assert answer.cause == pb.IDENTITY_NOT_PERMITTED and len(answer.identity_causes) == 1000
    assert {i.mc_id for i in answer.identity_causes} == set(users) and len(answer.detail.encode()) <= 512


def test_requests_in_flight_at_home_are_counted_for_each_connection(world):
    """3: 'max_requests_in_flight (not yet answered, on this connection) ... response TOO_MANY_IN_FLIGHT'"""
    from test_links import agree, home_and_fake
    gate, others = threading.Event(), []

    def script(link, asked):
        others.append(asked)
        gate.wait(20)
        agree(link, asked)

    home, _ = home_and_fake(world, script)
    home.config["limits"]["max_requests_in_flight"] = 3
    home.reload()
    one, two = home.client(home.admin), home.client(home.admin)
    asked = [request(["fake.example"], {f"f{i}{AT_HOME}": []}) for i in range(4)]
    one.send_raw(b"".join(frame(m.SerializeToString()) for m in asked))  # at once: what is accepted makes room
    assert one.response().cause == pb.TOO_MANY_IN_FLIGHT
    two.send(request(["fake.example"], {f"g{AT_HOME}": []}))
    two.ping()
    gate.set()
    assert all(one.response().result for _ in range(3))
    assert two.response().result
    one.send(request(["fake.example"], {f"h{AT_HOME}": []}))
    assert one.response().result


def test_a_client_that_never_reads(world):
    """Answers that nobody takes are bounded; others are served meanwhile."""
    home, fire = world.system("police.example"), world.system("fire.example")
    fire.partner(home, provision={"mc_ids": ["*"]})
    fire.start()
    deaf = fire.client(home.leaf, system=home.name)
    other = fire.client(home.leaf, system=home.name)
    payload = frame(request(FIRE, {f"{i}{'y' * 240}\n": [] for i in range(900)}).SerializeToString())
    deaf.sock.settimeout(0.5)
    sent = 0
    try:
        while sent < 400:
            deaf.send_raw(payload)
            sent += 1
    except OSError:
        pass
    other.ping()
    assert sent < 400  # it stopped reading
    with open(f"/proc/{fire.process.pid}/statm") as statm:
        assert int(statm.read().split()[1]) * 4096 < 400 * 2 ** 20
    deaf.close()
    other.ping()
