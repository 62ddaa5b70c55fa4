"""What was true at an acceptance is judged again while it still has effect: rights that are taken away (PROTOCOL.md 9)."""

import signal

import pytest

from acx_peer import FakePartner, agree, hang_up, hello, in_turn, limits, new_id, pb, silent
from systems import soon, wait_for

FAKE = "fake.example"
USER = {"li@police.example": [(1, "sip:li@police.example")]}


def start(world, script=agree):
    """A home with two ACMCs, one of which sees all requests, and a scripted partner."""
    home, system = world.system("police.example"), world.system(FAKE)
    home.admin = home.acmc()
    home.chief = home.acmc("chief", requests="all")
    home.config["limits"]["partner_timeout"] = "60 s"
    fake = FakePartner(FAKE, system.leaf, home.ca.cert_file, script)
    world.fakes.append(fake)
    home.partner(system, port=fake.port, provision=None)
    home.start()
    home.wait_log(f"partner {FAKE}: up")
    return home, fake


def rule_of(home, name: str) -> dict:
    return next(c for c in home.config["acmcs"]["clients"] if c["name"] == name)


def answer_of(home, request_id: bytes, seconds: float = 20):
    client = home.client(home.chief)
    found = wait_for(lambda: next((d for d in [client.delivery(request_id, FAKE)] if d.state == pb.ANSWERED), None),
                     "an answer", seconds)
    client.close()
    return found.response


def test_who_may_no_longer_see_a_request_is_told_nothing_of_it(world):
    """Of one request by follow, of another by asking for it again: neither outlives the right."""
    held = []
    home, fake = start(world, lambda link, asked: held.append((link, asked)))
    admin, chief = home.client(home.admin), home.client(home.chief)
    request_id = admin.submit([FAKE], USER).request_id
    own = chief.submit([FAKE], {"own@police.example": []}).request_id
    assert chief.requests(request_id=request_id, follow=True).entries
    wait_for(lambda: len(held) == 2, "both at the partner")
    del rule_of(home, "chief")["requests"]
    home.reload()
    for link, asked in held:
        agree(link, asked)
    assert admin.response(request_id).result
    assert chief.response(own).result  # its own it still may see
    chief.ping()
    assert request_id not in [m.process_indication.request_id for m in chief.kept]
    assert chief.requests(request_id=request_id).cause == pb.UNKNOWN_REQUEST


def remove(home) -> None:
    home.config["acmcs"]["clients"].remove(rule_of(home, "control-room"))


LOSSES = {
    "the-acmc": (remove, pb.ACMC_NOT_AUTHORISED),
    "the-partner": (lambda home: rule_of(home, "control-room").update(partners=["rail.example"]), pb.TARGET_NOT_PERMITTED),
    "the-identities": (lambda home: rule_of(home, "control-room").update(mc_ids=["*@elsewhere.example"]),
                       pb.IDENTITY_NOT_PERMITTED),
    "the-operation": (lambda home: rule_of(home, "control-room").update(operations=["remove"]), pb.OPERATION_NOT_PERMITTED),
}


@pytest.mark.parametrize("name", LOSSES)
def test_what_was_never_sent_ends_when_the_right_to_it_is_gone(world, name):
    home, fake = start(world)
    take_away, cause = LOSSES[name]
    if name == "the-partner":
        home.partner(world.system("rail.example"), port=1, provision=None)
    fake.go_away()
    request_id = home.client(home.admin).submit([FAKE], USER).request_id
    take_away(home)
    home.reload()
    fake.come_back()
    answer = answer_of(home, request_id, 60)
    assert (answer.origin, answer.cause, answer.result) == (pb.HOME_ACMS, cause, False)
    assert [c.mc_id for c in answer.identity_causes] == (list(USER) if name == "the-identities" else [])
    assert not fake.requests
    home.stop(signal.SIGKILL)
    home.start()
    assert answer_of(home, request_id).cause == cause  # it was on disk
    assert not fake.requests


@pytest.mark.parametrize("restarted", [False, True])
def test_what_may_have_been_sent_is_not_sent_again_without_the_right(world, restarted):
    """Home does not say that it was not done, nor has it done. With the right back it goes on."""
    home, fake = start(world, in_turn(silent, agree))
    request_id = home.client(home.admin).submit([FAKE], USER).request_id
    wait_for(lambda: fake.requests, "it arrives")
    rule = rule_of(home, "control-room")
    fake.go_away()
    remove(home)
    if restarted:
        home.stop(signal.SIGKILL)
        home.start()
    else:
        home.reload()
    fake.come_back()
    chief = home.client(home.chief)
    wait_for(lambda: "no longer configured" in chief.delivery(request_id, FAKE).detail, "it was judged again", 60)
    assert chief.setup([FAKE], {"other@police.example": []}).result  # the connection is in use
    assert chief.delivery(request_id, FAKE).state == pb.QUEUED and fake.ids.count(request_id) == 1
    home.config["acmcs"]["clients"].append(rule)
    home.reload()
    assert answer_of(home, request_id).result
    assert fake.ids.count(request_id) == 2


def test_what_may_have_been_sent_is_answered_as_unknown_at_its_deadline(world):
    home, fake = start(world, silent)
    request_id = home.client(home.admin).submit([FAKE], USER, expires=soon(8)).request_id
    wait_for(lambda: fake.requests, "it arrives")
    fake.go_away()
    remove(home)
    home.reload()
    fake.come_back()
    answer = answer_of(home, request_id, 60)
    assert (answer.origin, answer.cause) == (pb.HOME_ACMS, pb.PARTNER_CONNECTION_LOST)
    assert "no longer configured" in answer.detail and fake.ids == [request_id]


def test_an_answer_still_counts_without_the_right(world):
    """What was done was done."""
    held = []
    home, fake = start(world, lambda link, asked: held.append((link, asked)))
    request_id = home.client(home.admin).submit([FAKE], USER).request_id
    wait_for(lambda: held, "it arrives")
    remove(home)
    home.reload()
    agree(*held[0])
    assert answer_of(home, request_id).result


def test_a_partner_that_takes_less_than_before_says_nothing_about_what_was_sent(world):
    """605 would be final; the request that was lost may have been done."""
    home, fake = start(world, in_turn(hang_up, agree))
    small = hello(FAKE, limits=limits(max_mc_service_ids_per_mc_id=1))
    large, fake.greeting = fake.greeting, small
    users = {"m@police.example": [(1, f"sip:m{i}@police.example") for i in range(2)]}
    client, request_id = home.client(home.admin), new_id()
    client.submit([FAKE], users, request_id=request_id)
    wait_for(lambda: client.delivery(request_id, FAKE).detail == "more than the partner takes in one request", "it cannot be sent")
    assert client.delivery(request_id, FAKE).state == pb.QUEUED
    assert client.setup([FAKE], users).cause == pb.PARTNER_LIMIT  # that one was never sent
    fake.greeting = large
    fake.hang_up()
    assert client.response(request_id).result
