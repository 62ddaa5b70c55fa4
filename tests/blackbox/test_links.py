"""The home ACMS as the client of its partners: PROTOCOL.md 3, 4, 6 and 7, from the partner's end."""

import threading
import time

import pytest
from cryptography.hazmat.primitives import serialization

import receipts
from acx_peer import (Ended, FakePartner, agree, certify, changed, frame, hang_up, hello, in_turn, leave_out, limits, new_id,
                      now_ms, pb, receipt_for, refusal, request, send_bytes, silent, true_response)
from idm_store_reader import IdmStore
from systems import System, acmc, soon, wait_for

FAKE = "fake.example"
USER = {"li@police.example": [(1, "sip:li@police.example")]}


def home_and_fake(world, script=agree, greeting=None, timeout: str = "20 s") -> tuple[System, FakePartner]:
    home, system = world.system("police.example"), world.system(FAKE)
    home.admin = home.acmc()
    home.config["limits"]["partner_timeout"] = timeout
    fake = FakePartner(FAKE, system.leaf, home.ca.cert_file, script, greeting)
    fake.of = system
    world.fakes.append(fake)
    home.partner(system, port=fake.port, provision=None)
    home.start()
    return home, fake


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


@pytest.mark.parametrize("cause", [450, pb.MC_SERVICE_ID_IN_USE])
def test_what_a_partner_may_answer(world, cause):
    """'A cause that a receiver does not know is treated by its class'"""
    home, fake = home_and_fake(world, refusal(cause))
    answer = home.client(home.admin).setup([FAKE], USER)
    assert answer.cause == cause and not answer.result and answer.origin == pb.PARTNER_ACMS
    assert len(fake.requests) == 1


def set_field(name, value):
    return changed(lambda r: setattr(r, name, value))


def clear_field(name):
    return changed(lambda r: r.ClearField(name))


def bad_identity(**fields):
    def change(response) -> None:
        response.result, response.cause = False, pb.OUTSIDE_NAMESPACE
        response.identity_causes.add(**{"cause": pb.OUTSIDE_NAMESPACE, **fields})
    return changed(change)


def refusal_with_ids():
    def change(response) -> None:
        response.mc_service_id_list.add(mc_id="li@police.example", service=1, mc_service_id="sip:li@police.example")
        for field in "receipt", "receipt_root", "done", "revision":
            response.ClearField(field)
        response.result, response.cause = False, pb.MC_SERVICE_ID_IN_USE
    return changed(change)


def certified(revision: int = 1, home: str = "police.example"):
    """TRUE, with a receipt that is well signed, and for something else."""
    def script(link, asked) -> None:
        message = true_response(asked, link.partner.system, link)
        users = {mc_id: revision for mc_id in asked.mc_id_list}
        certify(message.mc_service_user_setup_response, receipt_for(asked, link.partner.system, home, users), link)
        link.send(message)
    return script


def dated(when, decided_by: str | None = None):
    """TRUE, with a sound receipt that says this time, and this ACMC; the rest is as it should be."""
    def script(link, asked) -> None:
        message = true_response(asked, link.partner.system, link)
        response = message.mc_service_user_setup_response
        receipt = receipt_for(asked, link.partner.system, "police.example", {i: 1 for i in asked.mc_id_list},
                              decided_by=decided_by)
        receipt.done_ms = when()
        if decided_by is not None:
            response.decided_by.CopyFrom(pb.DecidedBy(acmc=decided_by, reason="why", at=receipt.done_ms))
        certify(response, receipt, link)
        link.send(message)
    return script


MINUTE = 60


def later(change):
    """A transient cause, in a response that is changed."""
    def script(link, asked) -> None:
        message = true_response(asked, link.partner.system)
        response = message.mc_service_user_setup_response
        response.result, response.cause = False, pb.STORE_UNAVAILABLE
        change(response)
        link.send(message)
    return script


def named(*causes):
    """Refused, with these causes of identities."""
    def change(response) -> None:
        response.result, response.cause = False, pb.OUTSIDE_NAMESPACE
        for field in "receipt", "receipt_root", "done", "revision":
            response.ClearField(field)
        for fields in causes:
            response.identity_causes.add(**{"mc_id": "li@police.example", "cause": pb.OUTSIDE_NAMESPACE, **fields})
    return changed(change)


NONSENSE = {
    # 6: a response is checked before anything is concluded
    "unreachable": refusal(pb.PARTNER_UNREACHABLE),
    "later-from-home": later(lambda r: setattr(r, "origin", pb.HOME_ACMS)),
    "later-other-system": later(lambda r: setattr(r, "mc_system_id", "rail.example")),
    "later-other-list": later(lambda r: r.mc_id_list.append("else@police.example")),
    "later-no-list": later(lambda r: r.ClearField("mc_id_list")),
    "later-true": later(lambda r: setattr(r, "result", True)),
    "later-paired": later(lambda r: r.mc_service_id_list.add(mc_id="li@police.example", service=1,
                                                             mc_service_id="sip:li@police.example")),
    "later-named": later(lambda r: r.identity_causes.add(mc_id="stranger@police.example", cause=pb.OUTSIDE_NAMESPACE)),
    "refused-and-paired": refusal_with_ids(),
    # 6: 'An identity is an MC ID of the request's mc_id_list, or one with an MC service ID that the request has for it', once
    "other-service-id": named({"mc_service_id": "sip:else@police.example"}),
    "long-service-id": named({"mc_service_id": "sip:" + "x" * 100000 + "@police.example"}),
    "service-id-in-other-words": named({"mc_service_id": "SIP:li@police.example"}),
    "named-twice": named({}, {}),
    "service-id-twice": named({"mc_service_id": "sip:li@police.example"}, {"mc_service_id": "sip:li@police.example",
                                                                            "cause": pb.MC_SERVICE_ID_IN_USE}),
    "named-for-its-target": named({"cause": pb.WRONG_TARGET}),
    "named-for-later": named({"cause": pb.STORE_UNAVAILABLE}),
    "named-by-home": named({"cause": pb.PARTNER_LIMIT}),
    "named-for-nothing": named({"cause": pb.NO_CAUSE}),
    # 11: 'done' within the request's life; a receipt that whoever looks at it later can verify
    "in-1970": dated(lambda: 1),
    "in-2200": dated(lambda: 7258118400000),
    "long-ago": dated(lambda: now_ms(-600 * MINUTE)),
    "before-it-was-asked": dated(lambda: now_ms(-6 * MINUTE)),
    "in-the-future": dated(lambda: now_ms(6 * MINUTE)),
    "decided-by-nobody": dated(now_ms, ""),
    "decided-by-a-novel": dated(now_ms, "x" * 600),
    "decided-by-escapes": dated(now_ms, "chief\x1b[2J"),
    "other-system": set_field("mc_system_id", "rail.example"),
    "from-home": set_field("origin", pb.HOME_ACMS),
    "true-with-cause": set_field("cause", pb.MC_SERVICE_ID_IN_USE),
    "no-list": clear_field("mc_id_list"),
    "longer-list": changed(lambda r: r.mc_id_list.append("else@police.example")),
    "other-service": changed(lambda r: r.mc_service_id_list.add(mc_id="li@police.example", service=2,
                                                                mc_service_id="sip:li@police.example")),
    "no-result": clear_field("result"),
    "no-protobuf": send_bytes(frame(b"\xff\xff\xff")),
    "endless-frame": send_bytes(b"\x7f\xff\xff\xff"),
    "empty-frame": send_bytes(b"\0\0\0\0"),
    "no-cause": refusal(pb.NO_CAUSE),  # NO_CAUSE 'never with FALSE'
    "no-class": refusal(-1),
    "large-cause": refusal(2147483647),
    "close-cause": refusal(pb.GOING_AWAY),
    "home-cause": refusal(pb.PARTNER_TIMEOUT),  # 'made by home'
    "stranger": bad_identity(mc_id="stranger@police.example"),
    "long-detail": refusal(pb.OUTSIDE_NAMESPACE, detail="\u00e9" * 256 + "x"),
    "a-request": lambda link, asked: link.send(request(["police.example"], {"evil@fake.example": []})),
    "no-receipt": clear_field("receipt"),
    "a-bad-receipt": changed(lambda r: setattr(r, "receipt", r.receipt[:-1] + bytes([r.receipt[-1] ^ 1]))),
    "no-root": clear_field("receipt_root"),
    "a-bad-root": set_field("receipt_root", bytes(32)),
    "a-short-root": set_field("receipt_root", bytes(31)),
    "no-done": clear_field("done"),
    "other-done": changed(lambda r: setattr(r, "done", r.done + 1)),
    "other-receipt": certified(revision=9),
    "other-home": certified(home="rail.example"),
    "done-and-refused": refusal(pb.MC_SERVICE_ID_IN_USE, done=1),
    "no-revision": clear_field("revision"),
    "other-revision": changed(lambda r: setattr(r.revision[0], "revision", 9)),
    # 6: as_requested 'with none of the lists', revision_of_each 'one for each MC ID' or none
    "left-out-and-listed": changed(lambda r: r.mc_id_list.append("li@police.example"), left_out=True),
    "left-out-and-paired": changed(lambda r: r.mc_service_id_list.add(mc_id="li@police.example", service=1,
                                                                      mc_service_id="sip:li@police.example"), left_out=True),
    "left-out-and-revised": changed(lambda r: r.revision.add(mc_id="li@police.example", revision=1), left_out=True),
    "left-out-no-revision": changed(lambda r: r.ClearField("revision_of_each"), left_out=True),
    "left-out-one-more": changed(lambda r: r.revision_of_each.append(1), left_out=True),
    "left-out-revision-zero": changed(lambda r: r.revision_of_each.__setitem__(0, 0), left_out=True),
    "left-out-other-revision": changed(lambda r: r.revision_of_each.__setitem__(0, 9), left_out=True),
    "revisions-of-nobody": changed(lambda r: r.revision_of_each.append(1)),
    "neither-listed-nor-left-out": changed(lambda r: r.ClearField("as_requested"), left_out=True),
}


MANY = {f"{name}@police.example": [(1, f"sip:{i}@police.example")] for i, name in enumerate(("zoe", "\u00e9lie", "abe"))}


def believed_revisions(home: System) -> dict[str, int]:
    store = IdmStore(home.store)
    try:
        return {mc_id: user["revision"] for (_, mc_id), user in store.believed().items()}
    finally:
        store.close()


@pytest.mark.parametrize("script", [dated(lambda: now_ms(-4 * MINUTE)), dated(lambda: now_ms(4 * MINUTE)),
                                    dated(now_ms, "x" * 255), dated(now_ms, "Gr\u00fc\u00dfe")])
def test_what_is_taken_can_be_verified_later(world, script):
    """11: by home's clock, give or take some minutes; and then by anybody"""
    home, fake = home_and_fake(world, script)
    client, request_id = home.client(home.admin), new_id()
    assert client.setup([FAKE], USER, request_id=request_id).result
    whole = client.delivery(request_id, FAKE).response.receipt
    anchors = receipts.load_certificates(fake.of.ca.cert_file)
    assert receipts.verify(whole, anchors, f"DNS:acms.{FAKE}").request_id == request_id


@pytest.mark.parametrize("complete", [True, False])
def test_the_chain_of_a_receipt_is_complete(world, complete):
    """11: x5chain has 'the certificate ... and its intermediates', whatever came in the handshake"""
    home, system = world.system("police.example"), world.system(FAKE)
    home.admin = home.acmc()
    leaf = system.ca.intermediate("branch").issue("branch-acms", [f"DNS:acms.{FAKE}"])

    def script(link, asked) -> None:
        message = true_response(asked, FAKE)
        response = message.mc_service_user_setup_response
        response.revision.add(mc_id="li@police.example", revision=1)
        receipt = receipt_for(asked, FAKE, "police.example", {"li@police.example": 1})
        key = serialization.load_pem_private_key(leaf.key_file.read_bytes(), None)
        chain = receipts.load_certificates(leaf.cert_file)
        assert len(chain) == 2
        response.done = receipt.done_ms
        response.receipt, response.receipt_root = receipts.prove([receipts.encode_claims(receipt)], 0, key,
                                                                 chain if complete else chain[:1])
        link.send(message)
    fake = FakePartner(FAKE, leaf, home.ca.cert_file, script)
    world.fakes.append(fake)
    del home.partner(system, port=fake.port, provision=None)["crls"]
    home.start()
    client, request_id = home.client(home.admin, timeout=60), new_id()
    answer = client.setup([FAKE], USER, request_id=request_id)
    if not complete:
        assert answer.cause == pb.PARTNER_PROTOCOL_ERROR and len(fake.requests) == 5
        return
    whole = client.delivery(request_id, FAKE).response.receipt
    assert answer.result and receipts.verify(whole, receipts.load_certificates(system.ca.cert_file), f"DNS:acms.{FAKE}")


@pytest.mark.parametrize("offsets", [(4, -4), (-4, 4), (4, 0)])
def test_what_was_asked_later_is_believed_wherever_the_partners_clock_went(world, offsets):
    """Its clock goes back between two answers: what home asked for when it had the first is the last that was done."""
    home, fake = home_and_fake(world, dated(lambda: now_ms(offsets[0] * MINUTE)))
    client = home.client(home.admin)
    for offset, name in zip(offsets, ("first", "second")):
        fake.script = dated(lambda: now_ms(offset * MINUTE))
        assert client.setup([FAKE], {"li@police.example": [(1, f"sip:{name}@police.example")]}).result
    user = client.users(FAKE, believed=True).users[0]
    assert [i.mc_service_id for i in user.mc_service_id_list] == ["sip:second@police.example"]
    fake.script = agree
    assert client.remove([FAKE], ["li@police.example"]).result
    assert not client.users(FAKE, believed=True).users


@pytest.mark.parametrize("script", [agree, changed(lambda r: None), changed(lambda r: r.mc_id_list.sort())])
def test_lists_are_said_again_or_left_out(world, script):
    """6: a response 'as_requested', or one with lists in any order, is the same to the home ACMS; it leaves them out to who
    asked, and to nobody else"""
    home, fake = home_and_fake(world, in_turn(silent, script), timeout="60 s")
    asks, follows = home.client(home.admin), home.client(home.admin)
    request_id = asks.submit([FAKE], MANY).request_id
    assert follows.requests(request_id=request_id, follow=True).entries
    wait_for(lambda: fake.requests, "the request at the partner")
    fake.hang_up()
    answers = asks.response(request_id), follows.response(request_id)
    assert asks.left_out == {request_id} and not follows.left_out
    answers += (follows.delivery(request_id, FAKE).response,)
    for answer in answers:
        assert answer.result and sorted(answer.mc_id_list) == sorted(MANY) and len(answer.mc_service_id_list) == 3
        assert {r.mc_id: r.revision for r in answer.revision} == dict.fromkeys(MANY, 1)
    assert believed_revisions(home) == dict.fromkeys(MANY, 1)


def test_some_were_done_as_requested(world):
    """6: revision_of_each 'in bytewise order of the MC IDs; 0: none'"""
    done = {"abe@police.example": 3, "\u00e9lie@police.example": 1}

    def script(link, asked) -> None:
        message = true_response(asked, FAKE, link)
        response = message.mc_service_user_setup_response
        response.result, response.cause = False, pb.PARTLY_DONE
        response.identity_causes.add(mc_id="zoe@police.example", cause=pb.OUTSIDE_NAMESPACE)
        del response.revision[:]
        for mc_id, revision in done.items():
            response.revision.add(mc_id=mc_id, revision=revision)
        leave_out(response, asked)
        certify(response, receipt_for(asked, FAKE, link.hello.mc_system_id, done), link)
        link.send(message)

    home, _ = home_and_fake(world, script)
    client = home.client(home.admin)
    answer = client.setup([FAKE], MANY, best_effort=True)
    assert answer.cause == pb.PARTLY_DONE and {r.mc_id: r.revision for r in answer.revision} == done
    assert client.left_out and len(answer.identity_causes) == 1 and not answer.mc_service_id_list
    assert believed_revisions(home) == done


def test_nonsense_is_borne_five_times(world):
    """6: 'a result that fits the cause, and a list that fits the request; otherwise it closes the connection'; 9: the
    request is sent again 'after a nonsensical response, at most 5 times'"""
    home = world.system("police.example")
    home.admin = home.acmc()
    fakes = {}
    for name, script in {**NONSENSE, "good": agree}.items():
        system = world.system(f"{name}.example")
        fakes[name] = FakePartner(system.name, system.leaf, home.ca.cert_file, script)
        world.fakes.append(fakes[name])
        home.partner(system, port=fakes[name].port, provision=None)
    home.start()
    client, request_id = home.client(home.admin, timeout=60), new_id()
    answers = client.setup_all([f.system for f in fakes.values()], USER, request_id=request_id)
    assert answers.pop("good.example").result
    assert {s: pb.Cause.Name(a.cause) for s, a in answers.items()} == {
        s: "PARTNER_PROTOCOL_ERROR" for s in answers}
    for name in NONSENSE:
        assert answers[f"{name}.example"].origin == pb.HOME_ACMS and not answers[f"{name}.example"].result
        assert fakes[name].ids == [request_id] * 5, name
        assert len(fakes[name].links) >= 5, "each nonsense ends the connection"
    wait_for(lambda: fakes["a-request"].closes, "Close")
    assert fakes["a-request"].closes[0].cause == pb.UNEXPECTED_MESSAGE


def test_nonsense_about_one_request_costs_no_other(world):
    """9: only a request that has a nonsensical response is given up after five; what else was on the connection is lost,
    and sent again."""
    good, bad = [], []

    def script(link, asked) -> None:
        (bad if asked.mc_id_list[0].startswith("bad") else good).append(asked)
        if bad and len(bad) == len(good) <= 5:
            clear_field("mc_id_list")(link, bad[-1])
        elif len(good) > 5:
            agree(link, asked)

    home, fake = home_and_fake(world, script, hello(FAKE, limits=limits(max_requests_in_flight=2)))
    client, ids = home.client(home.admin), {}
    for name in ("bad", "good"):
        ids[name] = client.submit([FAKE], {f"{name}@police.example": []}).request_id
    answers = {a.request_id: a for a in (client.response(), client.response())}
    assert answers[ids["bad"]].cause == pb.PARTNER_PROTOCOL_ERROR
    assert answers[ids["good"]].result, pb.Cause.Name(answers[ids["good"]].cause)


@pytest.mark.parametrize("script, cause", [
    (hang_up, pb.PARTNER_CONNECTION_LOST),
    (lambda link, r: (link.send_raw(b"\0\0\1\0half"), link.end()), pb.PARTNER_CONNECTION_LOST),
    (silent, pb.PARTNER_TIMEOUT),
    (set_field("request_id", b"0123456789abcdef"), pb.PARTNER_TIMEOUT),  # an answer to nothing is dropped
    (refusal(599), pb.PARTNER_TIMEOUT),  # 601 would say that it was never sent
    (refusal(pb.SHUTTING_DOWN), pb.PARTNER_TIMEOUT),
])
def test_a_partner_without_an_answer_until_the_deadline(world, script, cause):
    """9: 'each target gets exactly one final answer ...: the partner's response; or the home ACMS's own (6xx), when the
    deadline has passed'; what it says of the outcome"""
    home, _ = home_and_fake(world, script)
    client = home.client(home.admin)
    answer = client.setup([FAKE], USER, expires=soon(1.5))
    assert answer.cause == cause and not answer.result and answer.origin == pb.HOME_ACMS
    client.ping()


def test_an_unknown_cause_reaches_the_administrator(world):
    home, _ = home_and_fake(world, refusal(450, detail="from the future"))
    result = acmc(home.acmc_config(home.admin), "--to", FAKE, "li@police.example")
    assert result.returncode == 1 and "450" in result.stdout and "from the future" in result.stdout


def test_unknown_fields_of_a_response_are_ignored(world):
    """2: 'Unknown fields inside Hello, Ping, Pong, Close and responses are ignored.'"""
    def script(link, asked) -> None:
        inner = true_response(asked, FAKE, link).mc_service_user_setup_response
        inner.mc_service_id_list.extend(asked.mc_service_id_list)
        payload = inner.SerializeToString() + b"\xa2\x06\x03new"
        link.send_raw(frame(b"\x1a" + bytes([len(payload) & 0x7f | 0x80, len(payload) >> 7]) + payload))

    home, _ = home_and_fake(world, script)
    assert home.client(home.admin).setup([FAKE], {"l" * 120 + "@police.example": []}).result


def test_a_silent_partner_is_given_up_and_tried_on_a_new_connection(world):
    """9: 'no response and no PENDING within the home's partner_timeout: the connection is given up, and made again'; so a
    late answer is never taken for that to a repetition"""
    home, fake = home_and_fake(world, in_turn(silent, agree), timeout="1 s")
    client, request_id = home.client(home.admin), new_id()
    assert client.setup([FAKE], USER, request_id=request_id).result
    assert fake.ids == [request_id] * 2 and len(fake.links) == 2
    assert client.delivery(request_id, FAKE).state == pb.ANSWERED
    client.ping()


def test_what_is_not_answered_is_in_flight(world):
    """3: 'max_requests_in_flight (not yet answered, on this connection)'; 'a client waits'"""
    home, fake = home_and_fake(world, silent, hello(FAKE, limits=limits(max_requests_in_flight=1)), timeout="1 s")
    client = home.client(home.admin)
    for i in range(3):
        client.send(request([FAKE], {f"o{i}@police.example": []}, expires=now_ms(4)))
    assert {client.response().cause for _ in range(3)} <= {
        pb.PARTNER_TIMEOUT, pb.PARTNER_CONNECTION_LOST, pb.PARTNER_UNREACHABLE}
    assert 2 <= len(fake.requests) <= len(fake.links)


def test_users_that_are_with_a_partner_are_bounded(world):
    """Not more than some ten thousand of them, however many requests the partner takes: the rest waits on home's disk."""
    held, lock, willing = [], threading.Lock(), threading.Event()

    def script(link, asked) -> None:
        with lock:
            if not willing.is_set():
                held.append((link, asked))
                return
        agree(link, asked)

    home, fake = home_and_fake(world, script)
    client = home.client(home.admin)
    for i in range(80):
        client.submit([FAKE], {f"b{i}.{k}@police.example": [] for k in range(1000)})
    wait_for(lambda: len(held) >= 32, "what home sends at a time")
    with lock:
        assert len(held) <= 64  # the last ones come together: they were read from the disk at once
        willing.set()
    for link, asked in held:
        agree(link, asked)
    assert all(client.response().result for _ in range(80))
    assert len(fake.requests) == 80


def test_close_from_the_partner_drains(world):
    """'After a client has received Close it ... still takes responses until the connection ends'; 9: what was not answered
    is sent again on the next connection"""
    held = []
    home, fake = home_and_fake(world, lambda link, asked: held.append((link, asked)))
    client = home.client(home.admin)
    for i in range(2):
        client.send(request([FAKE], {f"c{i}@police.example": []}))
    wait_for(lambda: len(held) == 2, "both at the partner")
    link, asked = held[0]
    link.send(pb.Message(close=pb.Close(cause=pb.GOING_AWAY, detail="restarting")))
    agree(link, asked)
    answer = client.response()
    assert answer.result and list(answer.mc_id_list) == list(asked.mc_id_list)
    link.end()
    client.send(request([FAKE], {"c3@police.example": []}))
    wait_for(lambda: len(held) == 4, "a new link, and both requests on it")
    assert len(fake.links) == 2 and held[1][1] in [asked for _, asked in held[2:]]
    for link, asked in held[2:]:
        agree(link, asked)
    assert all(client.response().result for _ in range(2))
    client.ping()


def test_a_partner_that_drips_its_answer(world):
    """2: 'From the first byte of a frame to its last at most 30 seconds may pass' holds for responses, too"""
    stop = threading.Event()

    def drip(link, asked) -> None:
        link.send_raw(b"\0\0\1\0\x1a")
        while not stop.wait(0.1):
            link.send_raw(b"x")

    home, fake = home_and_fake(world, in_turn(drip, agree))
    home.config["limits"]["frame_timeout"] = "1 s"
    home.stop()
    home.start()
    try:
        assert home.client(home.admin).setup([FAKE], USER).result
    finally:
        stop.set()
    assert "FRAME_TIMEOUT" in home.log() and len(fake.requests) == 2


@pytest.mark.parametrize("version", [1, 2])
def test_mc_service_ids_go_in_groups_to_who_knows_them(world, version):
    """8: 'A sender uses only what the negotiated version has.'"""
    sent = []

    def script(link, asked) -> None:
        sent.append(pb.Message.FromString(link.payload).mc_service_user_setup_request)
        agree(link, asked)
    home, _ = home_and_fake(world, script, hello(FAKE, version_max=version))
    assert home.client(home.admin).setup([FAKE], USER).result
    assert len(sent[0].mc_service_id_list) == (1 if version == 1 else 0) and len(sent[0].mc_service_id) == version - 1


def test_a_request_is_sent_in_canonical_form_and_the_claim_may_go_along(world):
    """5.2: 'The canonical form is what is compared, stored and echoed'; 5: the request_id is 'kept on every hop'"""
    home, fake = home_and_fake(world)
    request_id = new_id()
    users = {"b@police.example": [(3, "tel:+49(30)55-5.1")], "a@police.example": [(1, "SIP:%61b%2fc@POLICE.Example")]}
    client = home.client(home.admin)
    assert client.setup([FAKE], users, request_id=request_id).result
    answer = client.delivery(request_id, FAKE).response  # where the lists are said
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


def test_a_partner_taken_out_of_the_configuration_while_it_owes_an_answer(world):
    """A late answer still counts; the rest waits, until the partner is there again."""
    held = []
    home, fake = home_and_fake(world, lambda link, asked: held.append((link, asked)))
    client = home.client(home.admin)
    for i in range(2):
        client.send(request([FAKE], {f"r{i}@police.example": []}))
    wait_for(lambda: len(held) == 2, "both at the partner")
    rule = home.config["partners"].pop()
    home.reload()
    assert client.setup([FAKE], USER).cause == pb.UNKNOWN_TARGET
    wait_for(lambda: fake.closes, "an orderly end")
    assert fake.closes[0].cause == pb.GOING_AWAY
    agree(*held[0])
    assert client.response().request_id == held[0][1].request_id
    second = held[1][1].request_id
    delivery = client.delivery(second, FAKE)
    assert delivery.state == pb.QUEUED and "configured" in delivery.detail
    home.config["partners"].append(rule)
    home.reload()
    wait_for(lambda: len(held) == 3, "the second again")
    assert held[2][1] == held[1][1] and held[2][0] is not held[1][0]
    agree(*held[2])
    answer = client.response()
    assert answer.result and answer.request_id == second
    client.ping()


def test_a_partner_moves(world):
    """A new address takes effect at reload, without a restart."""
    home, fake = home_and_fake(world)
    client = home.client(home.admin)
    assert client.setup([FAKE], USER).result
    moved = FakePartner(FAKE, fake.of.leaf, home.ca.cert_file, agree)
    world.fakes.append(moved)
    home.config["partners"][0]["address"] = f"127.0.0.1:{moved.port}"
    home.reload()
    answer = client.setup([FAKE], USER)
    assert answer.result, (answer, home.log())
    assert len(fake.requests) == len(moved.requests) == 1


def test_a_long_detail(world):
    """6: 'at most 512 bytes'"""
    detail = "\u00e9" * 256
    home, _ = home_and_fake(world, refusal(pb.OUTSIDE_NAMESPACE, detail=detail))
    answer = home.client(home.admin).setup([FAKE], USER)
    assert answer.cause == pb.OUTSIDE_NAMESPACE and answer.detail == detail


class Door(FakePartner):
    """A partner that ends each connection after Hello; close: in the orderly way."""

    def __init__(self, *words, close: bool):
        self.close, self.times = close, []
        super().__init__(*words)

    def handle(self, link, message) -> None:
        super().handle(link, message)
        if message.WhichOneof("body") == "hello":
            self.times.append(time.monotonic())
            if self.close:
                link.send(pb.Message(close=pb.Close(cause=pb.GOING_AWAY)))
                link.end()
            raise Ended("shut")


@pytest.mark.parametrize("close", [False, True])
def test_a_partner_that_ends_each_connection_after_hello_is_left_alone(world, close):
    """9: 'connects again after 1 s to 60 s, doubling, less up to a quarter'; requests that come do not change that"""
    home, system = world.system("police.example"), world.system(FAKE)
    home.admin = home.acmc()
    fake = Door(FAKE, system.leaf, home.ca.cert_file, close=close)
    world.fakes.append(fake)
    home.partner(system, port=fake.port, provision=None)
    home.start()
    client, n = home.client(home.admin), 0
    while len(fake.times) < 4:
        client.submit([FAKE], {f"d{n}@police.example": []})
        n += 1
        time.sleep(0.05)
    gaps = [b - a for a, b in zip(fake.times, fake.times[1:4])]
    assert all(gap >= least for gap, least in zip(gaps, (0.7, 1.45, 2.95))), gaps
