"""Version 1 at either end of a version 2 ACMS: PROTOCOL.md 8, and 3, 5 and 9 where they say 'version 1'."""

import signal

import pytest

from acx_peer import Ended, agree, changed, grouped, hello, in_turn, new_id, now_ms, pb, request, silent
from idm_store_reader import IdmStore
from systems import wait_for
from test_durable import answered, kill, one
from test_links import FAKE, USER, home_and_fake

FIRE = ["fire.example"]
ONE = hello(FAKE, version_max=1)
NEEDS_2 = [dict(operation=pb.UPDATE, expected={"li@police.example": 1}), dict(operation=pb.REMOVE),
           dict(validity=(1, 0)), dict(dry_run=True), dict(best_effort=True)]


def old(home):
    return home.client(home.admin, version=1)


def needs(element: dict) -> "pb.Message":
    return request([FAKE], {"li@police.example": []}, **element)


# --- an ACMC ---


def test_groups_are_of_version_2(world):
    """4: 'an element of version 2 in a request on such a connection is UNSUPPORTED_ELEMENT'"""
    home, _ = home_and_fake(world)
    assert old(home).ask(grouped(request([FAKE], USER))).cause == pb.UNSUPPORTED_ELEMENT


def test_an_acmc_gets_answers_and_nothing_else(world):
    """8: 'A sender uses only what the negotiated version has.'"""
    held = []
    home, fake = home_and_fake(world, in_turn(lambda link, asked: held.append((link, asked)), agree))
    client = old(home)
    client.send(request([FAKE], USER))
    wait_for(lambda: held, "the request at the partner")
    fake.hang_up()  # which an ACMC of version 2 would hear of
    answer = client.response()
    assert answer.result and not answer.receipt and not answer.revision and not client.kept
    assert list(answer.mc_id_list) == list(USER) and len(answer.mc_service_id_list) == 1 and not client.left_out
    client.ping()
    # it was kept all the same, and an ACMC of version 2 finds the receipt
    assert home.client(home.admin).delivery(answer.request_id, FAKE).response.receipt
    assert client.setup([FAKE], USER, request_id=answer.request_id).result and len(fake.requests) == 2


@pytest.mark.parametrize("element", [*NEEDS_2, dict(expires=now_ms(3600)), dict(part=1, parts=2)])
def test_an_element_of_version_2_from_version_1(world, element):
    """4: 'an element of version 2 in a request on such a connection is UNSUPPORTED_ELEMENT'"""
    home, fake = home_and_fake(world)
    assert old(home).ask(needs(element)).cause == pb.UNSUPPORTED_ELEMENT and not fake.requests


@pytest.mark.parametrize("kind", ["requests_query", "users_query", "digest_query", "pending_query", "decision"])
def test_a_message_of_version_2_from_version_1(world, kind):
    """4: 'A message of version 2 on a connection of version 1 is UNEXPECTED_MESSAGE'"""
    home = world.system("police.example")
    home.admin = home.acmc()
    home.start()
    client, message = old(home), pb.Message()
    getattr(message, kind).token = 1
    if kind == "decision":
        message.decision.request_id = new_id()
    client.send(message)
    assert client.receive_close().cause == pb.UNEXPECTED_MESSAGE


def test_an_acmc_is_answered_before_the_server_stops(world):
    """Version 1 knows of no later: 602, unknown; the request goes on after a restart, and its repetition is answered."""
    home, fake = home_and_fake(world, in_turn(silent, agree), timeout="60 s")
    home.config["limits"]["shutdown_timeout"] = "1 s"
    home.reload()
    client, request_id = old(home), new_id()
    client.send(request([FAKE], USER, request_id=request_id))
    wait_for(lambda: fake.requests, "the request at the partner")
    home.send_signal(signal.SIGTERM)
    got = []
    with pytest.raises(Ended):
        while True:
            got.append(client.receive())
    assert sorted(m.WhichOneof("body") for m in got) == ["close", "mc_service_user_setup_response"]
    answer = next(m for m in got if m.WhichOneof("body") != "close").mc_service_user_setup_response
    assert answer.cause == pb.PARTNER_TIMEOUT and answer.origin == pb.HOME_ACMS and not answer.result
    assert home.process.wait(20) == 0
    home.start()
    assert old(home).setup([FAKE], USER, request_id=request_id).result and fake.ids == [request_id] * 2


# --- a partner ---


def test_a_partner_is_sent_what_it_knows(world):
    """'In version 1 there is no expires'; its TRUE needs no receipt, and durability is the same"""
    home, fake = home_and_fake(world, in_turn(silent, agree), ONE)
    request_id = home.client(home.admin).submit([FAKE], USER).request_id
    wait_for(lambda: fake.requests, "the request at the partner")
    kill(home)
    home.start()
    response = answered(home, request_id).response
    assert response.result and not response.receipt and not response.revision
    assert fake.ids == [request_id] * 2 and not any(r.expires for r in fake.requests)
    store = IdmStore(home.store)
    assert store.believed()[FAKE, "li@police.example"]["service_ids"] == USER["li@police.example"]
    store.check()
    store.close()


def test_a_partner_says_what_it_knows(world):
    """8: 'A sender uses only what the negotiated version has.' A response that is as requested is nonsense there."""
    def leaves_out(response) -> None:
        response.as_requested = True
        response.ClearField("mc_id_list")

    home, fake = home_and_fake(world, changed(leaves_out), ONE)
    answer = home.client(home.admin).setup([FAKE], USER)
    assert answer.cause == pb.PARTNER_PROTOCOL_ERROR and len(fake.ids) == 5


@pytest.mark.parametrize("element", NEEDS_2)
def test_what_needs_version_2_is_not_sent_to_version_1(world, element):
    """606 'the request needs version 2, the partner speaks version 1': final, and by itself"""
    home, fake = home_and_fake(world, greeting=ONE)
    client = home.client(home.admin)
    answer = client.ask(needs(element))
    assert answer.cause == pb.PARTNER_VERSION and answer.origin == pb.HOME_ACMS and not fake.requests
    assert client.users(FAKE).cause == client.digests(FAKE, [("", "")]).cause == pb.PARTNER_VERSION
    assert client.setup([FAKE], USER).result and len(fake.links) == 1


# --- a home system ---


def test_a_home_system_of_version_1(world):
    """5.6: 'A request of version 1, which has no expires, is not kept waiting: OPERATION_NOT_PERMITTED.'"""
    home, fire = world.system("police.example"), world.system("fire.example")
    rule = fire.partner(home)
    fire.acmc("duty-officer", partners=(), approves=["police.example"])
    fire.start()
    client = fire.client(home.leaf, system=home.name, version=1)
    request_id = new_id()
    answer = client.setup(FIRE, one("a"), request_id=request_id)
    assert answer.result and not answer.receipt and not answer.revision
    assert list(answer.mc_id_list) == list(one("a")) and not client.left_out
    newer = fire.client(home.leaf, system=home.name)
    again = newer.setup(FIRE, one("a"), request_id=request_id)
    assert again.result and again.receipt and again.revision[0].revision == 1
    for element in NEEDS_2:
        assert client.ask(request(FIRE, {"li@police.example": []}, **element)).cause == pb.UNSUPPORTED_ELEMENT
    rule["provision"]["approval"] = {"setup": "manual"}
    fire.reload()
    assert client.setup(FIRE, one("b")).cause == pb.OPERATION_NOT_PERMITTED
    newer.send(request(FIRE, one("c")))
    newer.indication(pb.PENDING)
    assert [m for _, m in fire.users()] == ["a@police.example"]
