"""Hostile bytes: every rule of PROTOCOL.md 2, 3 and 4. After each, another client is unaffected."""

import struct
import time

import pytest

from acx_peer import Ended, frame, grouped, hello, limits, new_id, now_ms, pb, request
from systems import acmc

GOOD = {"w@police.example": [(1, "sip:w@police.example")]}


@pytest.fixture
def other(federation):
    """Somebody else's connection, which must not notice anything."""
    client = federation.home.client(federation.home.admin)
    yield client
    client.ping()
    client.close()


@pytest.fixture
def client(federation, other):
    c = federation.home.client(federation.home.admin)
    yield c
    c.close()


@pytest.fixture
def silent(federation, other):
    """Before its Hello."""
    c = federation.home.client(federation.home.admin, say_hello=False)
    assert c.receive().WhichOneof("body") == "hello"
    yield c
    c.close()


def varint_long(n: int) -> bytes:
    return bytes([n | 0x80, 0x00])


def body(number: int, payload: bytes) -> bytes:
    return bytes([number << 3 | 2]) + bytes([len(payload)]) + payload


def text(number: int, value: bytes) -> bytes:
    return body(number, value)


ID = text(1, b"0123456789abcdef")

MALFORMED = {
    "no protobuf": b"\xff" * 20,
    "truncated": request(["fire.example"], GOOD).SerializeToString()[:-3],
    "nothing in it": b"\x18\x00",
    "group": b"\x0b\x0c",
    "NUL in an MC ID": body(2, ID + text(3, b"fire.example") + text(4, b"a\0b")),
    "NUL in a target": body(2, ID + text(3, b"fire.example\0x") + text(4, b"a")),
    "invalid UTF-8": body(2, ID + text(3, b"fire.example") + text(4, b"a\xff")),
    "short request ID": body(2, text(1, b"0123") + text(3, b"fire.example") + text(4, b"a")),
    "no request ID": body(2, text(3, b"fire.example") + text(4, b"a")),
    "long varint": body(4, b"\x08" + varint_long(5)),
    "explicit default": body(4, b"\x08\x00"),
    "long key": b"\xa2\x00\x02\x08\x05",
    "long length": b"\x22\x82\x00\x08\x05",
    "a number of 65 bits": body(4, b"\x08" + b"\xff" * 9 + b"\x02"),
    "a bool that is 2": body(8, b"\x08\x01\x18\x02"),
    "a number of 33 bits where 32 are meant": body(8, b"\x08\x01\x48\x85\x80\x80\x80\x10"),
    "an enum of 33 bits": body(6, b"\x08\x81\x80\x80\x80\x10"),
    "a field twice": body(4, b"\x08\x01\x08\x02"),
    "two bodies": body(4, b"\x08\x01") + body(5, b"\x08\x01"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(client, name):
    client.send_raw(frame(MALFORMED[name]))
    assert client.receive_close().cause == pb.MALFORMED_MESSAGE


def test_amplification_is_bounded(client):
    """Half a megabyte of empty submessages would take 40 times that to decode."""
    client.send_raw(frame(b"\x12" + b"\x80\x80\x08" + b"\x2a\x00" * 65536))
    assert client.receive_close().cause == pb.MALFORMED_MESSAGE


@pytest.mark.parametrize("raw, cause", [
    (b"\0\0\0\0", pb.MALFORMED_MESSAGE), (struct.pack(">I", 1048577), pb.FRAME_TOO_LARGE),
    (b"\xff\xff\xff\xff", pb.FRAME_TOO_LARGE), (b"GET / HTTP/1.1\r\n\r\n", pb.FRAME_TOO_LARGE)])
def test_bad_length(client, raw, cause):
    client.send_raw(raw)
    assert client.receive_close().cause == cause


def test_before_hello_frames_are_small_and_hello_comes_first(silent):
    silent.send_raw(struct.pack(">I", 4097))
    assert silent.receive_close().cause == pb.FRAME_TOO_LARGE


@pytest.mark.parametrize("message", [
    request(["fire.example"], GOOD), pb.Message(ping=pb.Ping(token=1)), pb.Message(pong=pb.Pong(token=1))])
def test_hello_comes_first(silent, message):
    silent.send(message)
    assert silent.receive_close().cause == pb.UNEXPECTED_MESSAGE


@pytest.mark.parametrize("message, cause", [
    (hello(None, version_min=3, version_max=9), pb.UNSUPPORTED_VERSION),
    (hello(None, version_min=0), pb.MALFORMED_MESSAGE),
    (hello(None, version_min=3, version_max=2), pb.MALFORMED_MESSAGE),
    (hello("rail.example"), pb.MC_SYSTEM_ID_MISMATCH),
    (hello(None, limits=limits(max_frame_bytes=65535)), pb.MALFORMED_MESSAGE),
    (hello(None, limits=limits(max_frame_bytes=16777217)), pb.MALFORMED_MESSAGE),
    (hello(None, limits=limits(max_mc_ids=0)), pb.MALFORMED_MESSAGE),
    (hello(None, version_min=2, version_max=1), pb.MALFORMED_MESSAGE),
    (hello(None, version_min=0, version_max=0), pb.MALFORMED_MESSAGE),
    *((hello(None, limits=limits(**{name: 0})), pb.MALFORMED_MESSAGE) for name in pb.Limits.DESCRIPTOR.fields_by_name),
    (hello(None, software="x" * 256), pb.MALFORMED_MESSAGE),
    (hello("x" * 254), pb.MALFORMED_MESSAGE),
    (hello("Rail.example"), pb.MALFORMED_MESSAGE),
    (hello(""), pb.MALFORMED_MESSAGE),
    (pb.Message(hello=pb.Hello(version_min=1, version_max=1)), pb.MALFORMED_MESSAGE)])
def test_bad_hello(silent, message, cause):
    silent.send(message)
    assert silent.receive_close().cause == cause


def test_a_home_system_says_who_it_is(world):
    """3: 'An ACMS MUST send it ... Otherwise Close MC_SYSTEM_ID_MISMATCH'"""
    home, fire = world.system("police.example"), world.system("fire.example")
    fire.partner(home, address=False)
    fire.start()
    for said in None, "rail.example", "fire.example":
        client = fire.client(home.leaf, say_hello=False)
        assert client.receive().hello.mc_system_id == "fire.example"
        client.send(hello(said))
        assert client.receive_close().cause == pb.MC_SYSTEM_ID_MISMATCH


def test_one_connection_too_many(world):
    """3: 'It is sent a Hello first, like everybody'"""
    home = world.system("police.example")
    admin = home.acmc()
    home.config["limits"]["max_connections_per_peer"] = 1
    home.start()
    first = home.client(admin)
    second = home.client(admin, say_hello=False)
    assert second.receive().hello.mc_system_id == "police.example"
    assert second.receive_close().cause == pb.TOO_MANY_CONNECTIONS
    first.ping()


def test_software_is_not_cut(silent):
    silent.send(hello(None, software="x" * 255))
    silent.ping()


def test_versions_overlap(silent):
    silent.send(hello(None, version_min=1, version_max=7))
    silent.ping()


@pytest.mark.parametrize("message", [
    hello(), pb.Message(mc_service_user_setup_response=pb.McServiceUserSetupResponse(request_id=new_id(), result=True))])
def test_out_of_place(client, message):
    client.send(message)
    assert client.receive_close().cause == pb.UNEXPECTED_MESSAGE


def test_unknown_message(client):
    client.send_raw(frame(bytes([0xfa, 0x07, 0])))  # 127
    assert client.receive_close().cause == pb.UNEXPECTED_MESSAGE


def test_unknown_fields(client):
    """Ignored in Ping; never in a request."""
    client.send_raw(frame(body(4, b"\x08\x07" + b"\xa0\x06\x01")))
    assert client.receive().pong.token == 7
    for payload in (request(["fire.example"], GOOD).SerializeToString() + b"\xa0\x06\x01",
                    body(2, ID + text(3, b"fire.example") + text(4, b"a@police.example") + b"\xa0\x06\x01"),
                    body(2, ID + text(3, b"fire.example") + text(4, b"a") + body(5, text(1, b"a") + b"\xa0\x06\x01"))):
        client.send_raw(frame(payload))
        assert client.response().cause == pb.UNSUPPORTED_ELEMENT


INVALID = [
    ({"a\nb": []}, pb.INVALID_MC_ID), ({"": []}, pb.INVALID_MC_ID), ({"x" * 256: []}, pb.INVALID_MC_ID),
    ({"a\u202eb": []}, pb.INVALID_MC_ID), ({"a\u0085b": []}, pb.INVALID_MC_ID),
    ({"a": [(0, "sip:a@police.example")]}, pb.UNKNOWN_MC_SERVICE),
    ({"a": [(99, "sip:a@police.example")]}, pb.UNKNOWN_MC_SERVICE),
    ({"a": [(1, "sip:a@police.example"), (1, "SIP:a@POLICE.example")]}, pb.DUPLICATE_IDENTITY),
    ({"a": [(1, "sip:a@police.example")], "b": [(2, "sip:%61@police.example")]}, pb.DUPLICATE_IDENTITY),
    ({}, pb.MISSING_ELEMENT),
    ({f"u{i}": [] for i in range(1001)}, pb.TOO_MANY_IDENTITIES),
    ({"a": [(1, f"sip:a{i}@police.example") for i in range(17)]}, pb.TOO_MANY_IDENTITIES),
] + [({"a": [(1, uri)]}, pb.INVALID_MC_SERVICE_ID) for uri in (
    "", "sip:", "sip:@police.example", "sip:a@", "sip:a@police", "http://police.example", "sip:a:pw@police.example",
    "sip:a@police.example:5060", "sip:a@police.example;transport=tcp", "sip:a@police.example?x=y", "sip:a@192.0.2.1",
    "sip:a@[2001:db8::1]", "sip:a%0ab@police.example", "sip:a%00@police.example", "sip:a%zz@police.example",
    "sip:\u00e4@police.example", "sip:a b@police.example", "sip:a@police.example.", "tel:123", "tel:+", "tel:+1;ext=2",
    "tel:+1234567890123456", "sip://a@police.example", "sip:a%ff@police.example", "sip:" + "a" * 300 + "@police.example")]


@pytest.mark.parametrize("users, cause", INVALID)
def test_not_well_formed(client, users, cause):
    """Answered, not closed; the identity is named as it was received."""
    answer = client.setup(["fire.example"], users)
    assert not answer.result and answer.cause == cause and answer.origin == pb.HOME_ACMS
    if cause not in (pb.MISSING_ELEMENT, pb.TOO_MANY_IDENTITIES):
        assert cause in {c.cause for c in answer.identity_causes}
    client.ping()


def test_unpaired_and_repeated(client):
    message = request(["fire.example"], GOOD)
    body_ = message.mc_service_user_setup_request
    body_.mc_service_id_list.add(mc_id="other@police.example", service=1, mc_service_id="sip:o@police.example")
    answer = client.ask(message)
    assert answer.cause == pb.UNPAIRED_MC_SERVICE_ID and answer.identity_causes[0].mc_id == "other@police.example"
    body_.mc_id_list.extend(["w@police.example", "a\x01"])
    answer = client.ask(message)
    assert answer.cause == pb.INVALID_MC_ID
    assert {c.cause for c in answer.identity_causes} == {
        pb.INVALID_MC_ID, pb.DUPLICATE_IDENTITY, pb.UNPAIRED_MC_SERVICE_ID}


def test_one_uri_for_two_services_of_one_user_is_fine(client):
    assert client.setup(["fire.example"], {"two@police.example": [(1, "sip:two@police.example"),
                                                                 (2, "sip:two@police.example")]}).result


def test_grouped_mc_service_ids_mean_the_same(federation, client):
    """5: 'A receiver takes either form, and what it means is the same.'"""
    users = {"gr2@police.example": [(3, "SIP:gr2@POLICE.example"), (1, "sip:gr2@police.example")], "gr0@police.example": [],
             "gr1@police.example": [(2, "tel:+49-30-71")]}
    message = request(["fire.example"], users)
    answers = [client.ask(grouped(message)), client.ask(message)]  # the same content, and so the same request
    for answer in answers:
        assert answer.result and set(answer.mc_id_list) == set(users)
    stored = federation.fire.users()
    assert {mc_id: [(i["service"], i["mc_service_id"]) for i in stored["police.example", mc_id]["mc_service_ids"]]
            for mc_id in users} == {
        "gr2@police.example": [("mcptt", "sip:gr2@police.example"), ("mcdata", "sip:gr2@police.example")],
        "gr0@police.example": [], "gr1@police.example": [("mcvideo", "tel:+493071")]}
    body_ = grouped(request(["fire.example"], {"gr3@police.example": [(1, "sip:a b"), (9, "sip:c@police.example")]}))
    assert {c.cause for c in client.ask(body_).identity_causes} == {pb.INVALID_MC_SERVICE_ID, pb.UNKNOWN_MC_SERVICE}


def test_groups_that_do_not_fit(client):
    message = grouped(request(["fire.example"], {"a": [(1, "sip:a@police.example")], "b": []}))
    message.mc_service_user_setup_request.mc_service_ids_per_mc_id = b"\1\1"
    client.send(message)
    assert client.receive_close().cause == pb.MALFORMED_MESSAGE


def test_bad_home_acmc_id(client):
    assert client.setup(["fire.example"], GOOD, home_acmc_id="control-room").cause == pb.INVALID_HOME_ACMC_ID


def test_a_request_longer_than_a_quarter(client):
    users = {f"{i:03}{'x' * 240}@police.example": [(1, f"sip:{i}{'y' * 200}@police.example")] for i in range(500)}
    client.send(request(["fire.example"], users))
    assert client.receive_close().cause == pb.FRAME_TOO_LARGE


@pytest.fixture
def quiet(world):
    """A home system whose log has room for what is looked for: lines that one party causes are limited."""
    home, fire, _ = world.federation()
    fire.start()
    home.start()
    return home


def test_truncated_frame(quiet):
    """PROTOCOL.md 2: 'one that ends inside a frame was truncated, and what had come of the frame is discarded.'"""
    request_id = new_id()
    data = frame(request(["fire.example"], {"half@police.example": []}, request_id=request_id).SerializeToString())
    client = quiet.client(quiet.admin)
    client.send_raw(data[:-1])
    client.close()
    quiet.wait_log("closed by the other end inside a frame")
    other = quiet.client(quiet.admin)
    assert other.requests(request_id=request_id).cause == pb.UNKNOWN_REQUEST
    other.send_raw(data)  # that it is whole now shows that only its end was missing
    assert other.response().result


def test_slow_drip(world):
    home = world.system("police.example")
    admin = home.acmc()
    home.config["limits"]["frame_timeout"] = "1 s"
    home.start()
    client, other = home.client(admin), home.client(admin)
    data = frame(request(["fire.example"], GOOD).SerializeToString())
    start = time.monotonic()
    try:
        for byte in data:
            client.send_raw(bytes([byte]))
            time.sleep(0.05)
            other.ping()
    except OSError:
        pass
    assert time.monotonic() - start < 10
    home.wait_log("FRAME_TIMEOUT")


def test_a_tls_handshake_that_never_comes(world):
    import socket
    home = world.system("police.example")
    home.config["limits"]["handshake_timeout"] = "1 s"
    home.start()
    with socket.create_connection(("127.0.0.1", home.port)) as s:
        s.settimeout(15)
        assert s.recv(1) == b""
    home.wait_log("the TLS handshake took too long")


def test_idle(world):
    home = world.system("police.example")
    admin = home.acmc()
    home.config["limits"]["idle_timeout"] = "3 s"
    home.start()
    client = home.client(admin)
    assert client.hello.limits.idle_timeout_seconds == 3
    assert client.receive_close().cause == pb.IDLE_TIMEOUT


def test_too_many_in_flight(world):
    home, fire = world.system("police.example"), world.system("fire.example")
    fire.partner(home, provision={"mc_ids": ["*"], "max_requests_in_flight": 4})
    fire.start()
    client = fire.client(home.leaf, system=home.name)
    assert client.hello.limits.max_requests_in_flight == 4
    messages = [request(["fire.example"], {f"f{i}": []}, expires=now_ms(3600)).SerializeToString() for i in range(300)]
    client.send_raw(b"".join(frame(m) for m in messages))
    answers = [client.response() for _ in messages]
    assert {a.cause for a in answers} == {pb.NO_CAUSE, pb.TOO_MANY_IN_FLIGHT}
    assert len(fire.users()) == sum(a.result for a in answers)


def test_close_drains(client):
    client.send(request(["fire.example"], GOOD))
    client.send(pb.Message(close=pb.Close(cause=pb.GOING_AWAY)))
    client.send(request(["fire.example"], {"late@police.example": []}))
    client.indication(pb.ACCEPTED)
    with pytest.raises(Ended):
        client.response()
    assert not any(m.WhichOneof("body") == "process_indication" for m in client.kept)


def test_log_injection(quiet):
    """'Never ... let a peer write into our logs unescaped.'"""
    quiet.client(quiet.admin).send(pb.Message(close=pb.Close(cause=pb.IDLE_TIMEOUT, detail="x\nfake log line \x1b[31m")))
    quiet.wait_log("fake log line")
    assert "\nfake" not in quiet.log() and "\x1b" not in quiet.log()


def test_acmc_shows_nothing_unescaped(world):
    from acx_peer import FakePartner
    home, evil = world.system("police.example"), world.system("evil.example")

    def script(link, r):
        message = pb.Message(mc_service_user_setup_response=pb.McServiceUserSetupResponse(
            request_id=r.request_id, mc_system_id="evil.example", mc_id_list=r.mc_id_list, result=False,
            origin=pb.PARTNER_ACMS, cause=pb.MC_SERVICE_ID_IN_USE, detail="\x1b[2Jgone\nTRUE"))
        link.send(message)

    fake = FakePartner("evil.example", evil.leaf, home.ca.cert_file, script)
    world.fakes.append(fake)
    admin = home.acmc()
    home.partner(evil, port=fake.port)
    home.start()
    result = acmc(home.acmc_config(admin), "--to", "evil.example", "a@police.example")
    assert result.returncode == 1 and "\x1b" not in result.stdout + result.stderr
    assert "\\x1B[2Jgone\\x0ATRUE" in result.stdout


LONG = {  # of each text that is asked about: one byte more than PROTOCOL.md 2 allows
    "RequestsQuery.mc_system_id": pb.Message(requests_query=pb.RequestsQuery(token=1, mc_system_id="x" * 254)),
    "UsersQuery.mc_system_id": pb.Message(users_query=pb.UsersQuery(token=1, mc_system_id="x" * 254)),
    "UsersQuery.from": pb.Message(users_query=pb.UsersQuery(token=1, mc_system_id="fire.example", **{"from": "x" * 256})),
    "UsersQuery.to": pb.Message(users_query=pb.UsersQuery(token=1, mc_system_id="fire.example", to="x" * 256)),
    "UsersQuery.after": pb.Message(users_query=pb.UsersQuery(token=1, mc_system_id="fire.example", after="x" * 256)),
    "UsersQuery.mc_id_list": pb.Message(users_query=pb.UsersQuery(token=1, mc_system_id="fire.example", mc_id_list=["x" * 256])),
    "McIdRange.from": pb.Message(digest_query=pb.DigestQuery(token=1, mc_system_id="fire.example",
                                                             ranges=[pb.McIdRange(**{"from": "x" * 256})])),
    "McIdRange.to": pb.Message(digest_query=pb.DigestQuery(token=1, mc_system_id="fire.example",
                                                           ranges=[pb.McIdRange(to="x" * 256)])),
    "PendingQuery.mc_system_id": pb.Message(pending_query=pb.PendingQuery(token=1, mc_system_id="x" * 254)),
    "PendingQuery.after_mc_system_id": pb.Message(pending_query=pb.PendingQuery(
        token=1, after_mc_system_id="x" * 254, after_request_id=bytes(16))),
    "Decision.mc_system_id": pb.Message(decision=pb.Decision(token=1, mc_system_id="x" * 254, request_id=bytes(16))),
    "Decision.reason": pb.Message(decision=pb.Decision(token=1, mc_system_id="a.bc", request_id=bytes(16), reason="x" * 513)),
    "home_acmc_id": request(["fire.example"], GOOD, home_acmc_id="x" * 1025),
    "mc_system_id": request(["x" * 1025], GOOD),
    "mc_id": request(["fire.example"], {"x" * 1025: []}),
    "mc_service_id": request(["fire.example"], {"x": [(1, "x" * 1025)]}),
}


@pytest.mark.parametrize("name", LONG)
def test_a_text_that_is_too_long(client, name):
    client.send(LONG[name])
    assert client.receive_close().cause == pb.MALFORMED_MESSAGE


@pytest.mark.parametrize("message", [
    pb.UsersQuery(token=1, mc_system_id="fire.example", to="a", **{"from": "a"}),
    pb.UsersQuery(token=1, mc_system_id="fire.example", to="a", **{"from": "b"}),
    pb.UsersQuery(token=1, mc_system_id="fire.example", to="b", after="b"),
    pb.UsersQuery(token=1, mc_system_id="fire.example", after="a", **{"from": "b"}),
    pb.DigestQuery(token=1, mc_system_id="fire.example", ranges=[pb.McIdRange(to="a", **{"from": "a"})])])
def test_an_empty_range(client, message):
    """10: 'A range that is empty, from not before to, is malformed'"""
    kind = "users_query" if isinstance(message, pb.UsersQuery) else "digest_query"
    client.send(pb.Message(**{kind: message}))
    assert client.receive_close().cause == pb.MALFORMED_MESSAGE
