"""The home ACMS as the client of its partners: PROTOCOL.md 3, 4, 6 and 7, from the partner's end."""

import threading

import pytest

from acx_peer import Ended, FakePartner, Link, frame, hello, limits, new_id, pb, request, true_response
from systems import System, acmc, wait_for

FAKE = "fake.example"
USER = {"li@police.example": [(1, "sip:li@police.example")]}


class Watched(FakePartner):
    """A partner that also keeps the Hellos, Pings and Closes it is sent, and its links."""

    def __init__(self, *arguments, **more):
        self.hellos, self.pings, self.closes, self.links = [], [], [], []
        super().__init__(*arguments, **more)

    def handle(self, link: Link, message) -> None:
        kind = message.WhichOneof("body")
        kept = {"hello": self.hellos, "ping": self.pings, "close": self.closes}.get(kind)
        if kept is not None:
            kept.append(getattr(message, kind))
        if kind == "hello":
            self.links.append(link)
        super().handle(link, message)

    def stop(self) -> None:
        super().stop()
        for link in self.links:
            link.close()


def agree(link: Link, asked) -> None:
    """TRUE, with the MC service IDs of the request."""
    message = true_response(asked, FAKE)
    message.mc_service_user_setup_response.mc_service_id_list.extend(asked.mc_service_id_list)
    link.send(message)


def home_and_fake(world, script=agree, greeting=None, timeout: str = "20 s") -> tuple[System, Watched]:
    home, system = world.system("police.example"), world.system(FAKE)
    home.admin = home.acmc()
    home.config["limits"]["partner_timeout"] = timeout
    fake = Watched(FAKE, system.leaf, home.ca.cert_file, script, greeting)
    fake.of = system
    world.fakes.append(fake)
    home.partner(system, port=fake.port, provision=None)
    home.start()
    return home, fake


def changed(change):
    """A script that answers TRUE, changed."""
    def script(link: Link, asked) -> None:
        message = true_response(asked, FAKE)
        change(message.mc_service_user_setup_response)
        link.send(message)
    return script


def refusal(cause: int, **more):
    def change(response) -> None:
        response.result, response.cause = False, cause
        for name, value in more.items():
            setattr(response, name, value)
    return changed(change)


def test_the_home_says_hello_without_waiting_and_names_itself(world):
    """'Each end sends a Hello as its first message'; 'An ACMS MUST send it' (the MC system ID); limits 'All M'"""
    _, fake = home_and_fake(world)
    wait_for(lambda: fake.hellos, "a Hello")
    said = fake.hellos[0]
    assert said.mc_system_id == "police.example" and 1 <= said.version_min <= said.version_max
    assert 65536 <= said.limits.max_frame_bytes <= 16777216
    assert all(value > 0 for _, value in said.limits.ListFields()) and len(said.limits.ListFields()) == 6


def test_pings_come_before_the_partners_idle_timeout(world):
    """'An end that wants to keep it sends Ping in time.'"""
    _, fake = home_and_fake(world, greeting=hello(FAKE, limits=limits(idle_timeout_seconds=2)))
    wait_for(lambda: len(fake.pings) >= 3, "three Pings")
    assert len(fake.links) == 1


@pytest.mark.parametrize("script, cause", [
    (refusal(450), 450),  # 'A cause that a receiver does not know is treated by its class'
    (refusal(599), 599),
    (refusal(pb.MC_SERVICE_ID_IN_USE), pb.MC_SERVICE_ID_IN_USE),
    (refusal(pb.SHUTTING_DOWN), pb.SHUTTING_DOWN),
    (refusal(pb.NO_CAUSE), pb.PARTNER_PROTOCOL_ERROR),  # NO_CAUSE 'never with FALSE'
    (refusal(-1), pb.PARTNER_PROTOCOL_ERROR),  # no class at all
    (refusal(2147483647), pb.PARTNER_PROTOCOL_ERROR),
    (refusal(pb.GOING_AWAY), pb.PARTNER_PROTOCOL_ERROR),  # a Close's
    (refusal(pb.PARTNER_TIMEOUT), pb.PARTNER_PROTOCOL_ERROR),  # 'made by home'
    (changed(lambda r: r.mc_service_id_list.add(mc_id="li@police.example", service=2,
                                                mc_service_id="sip:li@police.example")), pb.PARTNER_PROTOCOL_ERROR),
])
def test_what_a_partner_may_answer(world, script, cause):
    """6: 'a result that fits the cause, and a list that fits the request; otherwise ... PARTNER_PROTOCOL_ERROR'"""
    home, _ = home_and_fake(world, script)
    answer = home.client(home.admin).setup([FAKE], USER)
    assert answer.cause == cause and not answer.result
    assert answer.origin == (pb.HOME_ACMS if cause == pb.PARTNER_PROTOCOL_ERROR else pb.PARTNER_ACMS)


def test_an_unknown_cause_reaches_the_administrator(world):
    home, _ = home_and_fake(world, refusal(450, detail="from the future"))
    result = acmc(home.acmc_config(home.admin), "--to", FAKE, "li@police.example")
    assert result.returncode == 1 and "450" in result.stdout and "from the future" in result.stdout


def test_unknown_fields_of_a_response_are_ignored(world):
    """2: 'Unknown fields inside Hello, Ping, Pong, Close and responses are ignored.'"""
    def script(link: Link, asked) -> None:
        inner = true_response(asked, FAKE).mc_service_user_setup_response
        inner.mc_service_id_list.extend(asked.mc_service_id_list)
        payload = inner.SerializeToString() + b"\xa2\x06\x03new"
        link.send_raw(frame(b"\x1a" + bytes([len(payload) & 0x7f | 0x80, len(payload) >> 7]) + payload))

    home, _ = home_and_fake(world, script)
    assert home.client(home.admin).setup([FAKE], {"l" * 120 + "@police.example": []}).result


def test_a_late_answer_is_dropped_and_the_link_lives(world):
    """'A response that nobody waits for (late) is dropped.'"""
    held = []

    def script(link: Link, asked) -> None:
        if held:
            agree(link, asked)
        else:
            held.append((link, asked))

    home, fake = home_and_fake(world, script, timeout="1 s")
    client = home.client(home.admin)
    assert client.setup([FAKE], USER).cause == pb.PARTNER_TIMEOUT
    agree(*held[0])
    home.wait_log("nobody waits for")
    assert client.setup([FAKE], {"next@police.example": []}).result
    client.ping()  # nothing else came
    assert len(fake.links) == 1


def test_a_late_answer_is_not_taken_for_another_request_with_the_same_id(world):
    """A TRUE for the old content must never be told as TRUE for the new one."""
    asked_of_us = []
    home, fake = home_and_fake(world, lambda link, asked: asked_of_us.append((link, asked)), timeout="2 s")
    client, request_id = home.client(home.admin), new_id()
    assert client.setup([FAKE], USER, request_id=request_id).cause == pb.PARTNER_TIMEOUT
    client.send(request([FAKE], {"li@police.example": [(1, "sip:other@police.example")]}, request_id=request_id))
    wait_for(lambda: len(asked_of_us) == 2, "the second request")
    agree(*asked_of_us[0])
    answer = client.response()
    assert not answer.result and answer.cause in (pb.PARTNER_PROTOCOL_ERROR, pb.PARTNER_TIMEOUT)


FORGOTTEN = pytest.mark.xfail(strict=True, reason="partner_link.c forgets what it sent once that has timed out")


@FORGOTTEN
def test_a_late_answer_is_not_taken_for_the_repetition(world):
    """A late 502 ('nothing was stored') to the first must not be told of the repetition, which is stored."""
    held = []
    home, fake = home_and_fake(world, lambda link, asked: held.append((link, asked)), timeout="2 s")
    client, request_id = home.client(home.admin), new_id()
    assert client.setup([FAKE], USER, request_id=request_id).cause == pb.PARTNER_TIMEOUT
    client.send(request([FAKE], USER, request_id=request_id))
    client.ping()
    link, asked = held[0]
    refusal(pb.STORE_UNAVAILABLE)(link, asked)
    wait_for(lambda: len(held) == 2, "the repetition")
    agree(*held[1])
    assert client.response().result


@FORGOTTEN
def test_what_timed_out_is_still_in_flight(world):
    """3: 'max_requests_in_flight (not yet answered, on this connection)'; 'a client waits'"""
    home, fake = home_and_fake(world, lambda link, asked: None, hello(FAKE, limits=limits(max_requests_in_flight=1)),
                               timeout="1 s")
    client = home.client(home.admin)
    for i in range(2):
        client.setup([FAKE], {f"o{i}@police.example": []})
    assert len(fake.requests) == len(fake.links)


def test_close_from_the_partner_drains(world):
    """'After a client has received Close it ... still takes responses until the connection ends, and counts as lost
    what was not answered.'"""
    held, enough = [], threading.Event()

    def script(link: Link, asked) -> None:
        held.append((link, asked))
        if len(held) == 2:
            enough.set()

    home, fake = home_and_fake(world, script)
    client = home.client(home.admin)
    first, second = ({f"c{i}@police.example": []} for i in range(2))
    for users in (first, second):
        client.send(request([FAKE], users))
    assert enough.wait(20)
    link, asked = held[0]
    link.send(pb.Message(close=pb.Close(cause=pb.GOING_AWAY, detail="restarting")))
    agree(link, asked)
    answer = client.response()
    assert answer.result and list(answer.mc_id_list) == list(asked.mc_id_list)
    link.sock.unwrap()
    link.close()
    lost = client.response()
    assert lost.cause == pb.PARTNER_CONNECTION_LOST and list(lost.mc_id_list) == list(held[1][1].mc_id_list)
    client.send(request([FAKE], {"c3@police.example": []}))
    wait_for(lambda: len(held) == 3, "a new link, and the request on it")
    assert len(fake.links) == 2
    agree(*held[2])
    assert client.response().result


def test_a_partner_that_sends_what_only_clients_send(world):
    """4: a request goes from client to server only; 'Anything else ...: Close UNEXPECTED_MESSAGE', never forwarded"""
    def script(link: Link, asked) -> None:
        link.send(request(["police.example"], {"evil@fake.example": []}))

    home, fake = home_and_fake(world, script)
    answer = home.client(home.admin).setup([FAKE], USER)
    assert answer.cause == pb.PARTNER_PROTOCOL_ERROR
    wait_for(lambda: fake.closes, "Close")
    assert fake.closes[0].cause == pb.UNEXPECTED_MESSAGE


def test_a_partner_that_drips_its_answer(world):
    """2: 'From the first byte of a frame to its last at most 30 seconds may pass' holds for responses, too"""
    home = world.system("police.example")
    home.config["limits"]["frame_timeout"] = "1 s"
    stop = threading.Event()

    def script(link: Link, asked) -> None:
        link.send_raw(b"\0\0\1\0\x1a")
        while not stop.wait(0.1):
            link.send_raw(b"x")

    home.admin, system = home.acmc(), world.system(FAKE)
    fake = Watched(FAKE, system.leaf, home.ca.cert_file, script)
    world.fakes.append(fake)
    home.partner(system, port=fake.port, provision=None)
    home.start()
    try:
        answer = home.client(home.admin).setup([FAKE], USER)
    finally:
        stop.set()
    assert answer.cause == pb.PARTNER_PROTOCOL_ERROR and "FRAME_TIMEOUT" in home.log()


def test_a_request_is_sent_in_canonical_form_and_the_claim_may_go_along(world):
    """5.2: 'The canonical form is what is compared, stored and echoed'; 5: the request_id is 'kept on every hop'"""
    home, fake = home_and_fake(world)
    request_id = new_id()
    users = {"b@police.example": [(3, "tel:+49(30)55-5.1")], "a@police.example": [(1, "SIP:%61b%2fc@POLICE.Example")]}
    answer = home.client(home.admin).setup([FAKE], users, request_id=request_id)
    canonical = {("a@police.example", 1, "sip:ab%2Fc@police.example"), ("b@police.example", 3, "tel:+4930555" + "1")}
    assert answer.result and {(e.mc_id, e.service, e.mc_service_id) for e in answer.mc_service_id_list} == canonical
    assert {(e.mc_id, e.service, e.mc_service_id) for e in fake.requests[0].mc_service_id_list} == canonical
    assert fake.requests[0].request_id == request_id and set(fake.requests[0].mc_id_list) == set(users)


def test_the_partners_smaller_frames_are_respected(world):
    """2: 'a quarter of the smaller of both ends' max_frame_bytes'; 3: 'answers PARTNER_LIMIT for that partner'"""
    home, fake = home_and_fake(world, greeting=hello(FAKE, limits=limits(max_frame_bytes=65536)))
    client = home.client(home.admin)
    users = {f"{i}{'x' * 200}@police.example": [] for i in range(90)}
    assert client.setup([FAKE], users).cause == pb.PARTNER_LIMIT and not fake.requests
    ids = {"m@police.example": [(1, f"sip:m{i}@police.example") for i in range(3)]}
    assert client.setup([FAKE], ids).result


def test_the_partners_other_limits(world):
    greeting = hello(FAKE, limits=limits(max_mc_service_ids_per_mc_id=2))
    home, fake = home_and_fake(world, greeting=greeting)
    client = home.client(home.admin)
    answer = client.setup([FAKE], {"m@police.example": [(1, f"sip:m{i}@police.example") for i in range(3)]})
    assert answer.cause == pb.PARTNER_LIMIT and not fake.requests


@pytest.mark.xfail(strict=True, reason="on_stop_timeout() kills the peers before their requests are answered")
def test_shutdown_of_home_answers_everything_first(world):
    """'A response is sent exactly once': SIGTERM while a partner is silent answers for it, with an unknown outcome"""
    home, fake = home_and_fake(world, lambda link, asked: None, timeout="60 s")
    home.config["limits"]["shutdown_timeout"] = "1 s"
    home.reload()
    client = home.client(home.admin)
    client.send(request([FAKE], USER))
    wait_for(lambda: fake.requests, "the request at the partner")
    home.send_signal(15)
    got = []
    with pytest.raises(Ended):
        while True:
            message = client.receive()
            got.append(message.WhichOneof("body"))
            if got[-1] == "mc_service_user_setup_response":
                assert message.mc_service_user_setup_response.cause // 100 == 6
    assert sorted(got) == ["close", "mc_service_user_setup_response"]
    assert home.process.wait(20) == 0


def test_a_partner_taken_out_of_the_configuration_while_it_owes_an_answer(world):
    """'Whoever drops a request answers it first', on reload, too; and the late answer still counts"""
    held = []
    home, fake = home_and_fake(world, lambda link, asked: held.append((link, asked)), timeout="2 s")
    client = home.client(home.admin)
    for i in range(2):
        client.send(request([FAKE], {f"r{i}@police.example": []}))
    wait_for(lambda: len(held) == 2, "both at the partner")
    home.config["partners"].pop()
    home.reload()
    assert client.setup([FAKE], USER).cause == pb.UNKNOWN_TARGET
    agree(*held[0])
    assert client.response().result
    assert client.response().cause in (pb.PARTNER_TIMEOUT, pb.PARTNER_CONNECTION_LOST)
    wait_for(lambda: fake.closes, "an orderly end")
    assert fake.closes[0].cause == pb.GOING_AWAY


def test_a_partner_moves(world):
    """A new address takes effect at reload, without a restart."""
    home, fake = home_and_fake(world)
    client = home.client(home.admin)
    assert client.setup([FAKE], USER).result
    moved = Watched(FAKE, fake.of.leaf, home.ca.cert_file, agree)
    world.fakes.append(moved)
    home.config["partners"][0]["address"] = f"127.0.0.1:{moved.port}"
    home.reload()
    answer = client.setup([FAKE], USER)
    assert answer.result, (answer, home.log())
    assert len(fake.requests) == len(moved.requests) == 1


@pytest.mark.parametrize("n", [512, 513, 5000])
def test_a_long_detail(world, n):
    """6: 'at most 512 bytes'; whatever the receiver does with more, the administrator gets an answer of at most 512"""
    home, _ = home_and_fake(world, refusal(pb.OUTSIDE_NAMESPACE, detail="\u00e9" * (n // 2) + "x" * (n % 2)))
    answer = home.client(home.admin).setup([FAKE], USER)
    assert answer.cause in (pb.OUTSIDE_NAMESPACE, pb.PARTNER_PROTOCOL_ERROR) and len(answer.detail.encode()) <= 512


def test_an_identity_that_was_not_asked_for(world):
    """6: 'a list that fits the request' holds for the identity causes, too"""
    def change(response) -> None:
        response.result, response.cause = False, pb.OUTSIDE_NAMESPACE
        response.identity_causes.add(mc_id="stranger@police.example", cause=pb.OUTSIDE_NAMESPACE)

    home, _ = home_and_fake(world, changed(change))
    assert home.client(home.admin).setup([FAKE], USER).cause == pb.PARTNER_PROTOCOL_ERROR
