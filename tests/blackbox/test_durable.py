"""What a home ACMS promises (PROTOCOL.md 9, 5.5): what is accepted reaches a final answer, over crashes of either end."""

import signal
import time

import pytest

from acx_peer import (agree, frame, hang_up, hello, in_turn, limits, new_id, now_ms, pb, refusal, request, silent,
                      true_response)
from idm_store_reader import IdmStore
from systems import soon, wait_for
from test_links import FAKE, USER, home_and_fake


def one(name: str) -> dict:
    return {f"{name}@police.example": [(1, f"sip:{name}@police.example")]}


def kill(home) -> None:
    home.stop(signal.SIGKILL)


def answered(home, request_id: bytes, target: str = FAKE, seconds: float = 20):
    """The delivery, as soon as there is an answer."""
    client = home.client(home.admin)
    found = wait_for(lambda: next((d for d in [client.delivery(request_id, target)] if d.state == pb.ANSWERED), None),
                     "an answer", seconds)
    client.close()
    return found


def check_store(home) -> None:
    store = IdmStore(home.store)
    store.check()
    store.close()


# --- crashes ---


def test_accepted_and_killed_before_the_partner_is_there(world):
    """'From there on each target gets exactly one final answer, over any crash'"""
    home, fake = home_and_fake(world)
    fake.go_away()
    accepted = home.client(home.admin).submit([FAKE], USER)
    assert accepted.mc_system_id == "police.example" and not fake.requests
    kill(home)
    fake.come_back()
    home.start()
    delivery = answered(home, accepted.request_id)
    assert delivery.response.result and list(delivery.response.mc_id_list) == list(USER)
    assert delivery.attempts == 0 or delivery.state == pb.ANSWERED
    assert fake.ids == [accepted.request_id]
    check_store(home)


def test_the_partner_answers_while_home_is_down(world):
    """The answer is lost; the request is repeated with its ID and content, and its effect is one."""
    held = []
    home, fake = home_and_fake(world, in_turn(lambda link, asked: held.append((link, asked)), agree))
    request_id = home.client(home.admin).submit([FAKE], USER).request_id
    wait_for(lambda: held, "the request at the partner")
    kill(home)
    try:
        agree(*held[0])
    except OSError:
        pass
    home.start()
    assert answered(home, request_id).response.result
    assert fake.ids == [request_id] * 2 and fake.requests[0] == fake.requests[1]
    check_store(home)


def test_only_the_unanswered_target_is_sent_again(world):
    home, fake = home_and_fake(world)
    other = world.system("other.example")
    away = type(fake)(other.name, other.leaf, home.ca.cert_file)
    world.fakes.append(away)
    away.go_away()
    home.partner(other, port=away.port, provision=None)
    home.reload()
    client = home.client(home.admin)
    request_id = client.submit([FAKE, other.name], USER).request_id
    assert client.response().result
    kill(home)
    away.come_back()
    home.start()
    assert answered(home, request_id, other.name).response.result
    assert answered(home, request_id).response.result and fake.ids == away.ids == [request_id]
    wait_for(lambda: len(fake.hellos) == 2, "a new connection to the first, too")


@pytest.mark.parametrize("wait_at", ["partner", "home"])
def test_stopping_leaves_it_for_the_next_start(world, wait_at):
    """4, 9: 'When a server stops what is unanswered stays on disk, and is not answered'; the ACMC just gets Close"""
    home, fake = home_and_fake(world, in_turn(silent, agree) if wait_at == "partner" else agree, timeout="60 s")
    home.config["limits"]["shutdown_timeout"] = "1 s"
    home.reload()
    if wait_at == "home":
        fake.go_away()
    client = home.client(home.admin)
    request_id = client.submit([FAKE], USER).request_id
    if wait_at == "partner":
        wait_for(lambda: fake.requests, "the request at the partner")
    home.send_signal(signal.SIGTERM)
    assert client.receive_close().cause == pb.GOING_AWAY
    assert home.process.wait(20) == 0
    if wait_at == "home":
        fake.come_back()
    home.start()
    assert answered(home, request_id).response.result
    assert set(fake.ids) == {request_id}


# --- the same again ---


def test_a_repetition_has_the_effect_of_one(world):
    """5.5: 'the same ID from the same ACMC with the same content and targets has the effect of one'"""
    held = []
    home, fake = home_and_fake(world, lambda link, asked: held.append((link, asked)))
    client = home.client(home.admin)
    first = client.submit([FAKE], USER)
    wait_for(lambda: held, "the request at the partner")
    repeated = home.client(home.admin)
    spelled = {"li@police.example": [(1, "SIP:%6ci@POLICE.example")]}
    again = repeated.submit([FAKE], spelled, request_id=first.request_id, expires=now_ms(60), part=1, parts=2)
    assert again.until == first.until  # what counts is on disk
    agree(*held[0])
    assert client.response().result and repeated.response().result
    for _ in range(2):
        late = home.client(home.admin)
        answer = late.setup([FAKE], USER, request_id=first.request_id)
        assert answer.result and answer.done and late.delivery(answer.request_id, FAKE).response.receipt
        kill(home)
        home.start()
    assert fake.ids == [first.request_id]
    check_store(home)


def test_an_id_is_not_taken_for_something_else(world):
    """5.5: 'Otherwise REQUEST_ID_REUSED, from the home ACMS': other content, targets, or ACMC; before the answer, after it,
    and after a restart"""
    held = []
    home, fake = home_and_fake(world, lambda link, asked: held.append((link, asked)))
    other, request_id = home.acmc("other"), new_id()
    home.reload()
    home.client(home.admin).submit([FAKE], USER, request_id=request_id)
    wait_for(lambda: held, "the request at the partner")

    def check_refused():
        for leaf, users, more in ((home.admin, one("else"), {}), (other, USER, {}),
                                  (home.admin, USER, {"best_effort": True}), (home.admin, USER, {"validity": (0, now_ms(99))}),
                                  (home.admin, USER, {"home_acmc_id": "sip:control-room@police.example"})):
            answer = home.client(leaf).setup([FAKE], users, request_id=request_id, **more)
            assert answer.cause == pb.REQUEST_ID_REUSED and answer.origin == pb.HOME_ACMS, more
        client = home.client(home.admin)
        answers = client.setup_all([FAKE, "nobody.example"], USER, request_id=request_id)
        assert {a.cause for a in answers.values()} == {pb.REQUEST_ID_REUSED}

    check_refused()
    agree(*held[0])
    assert answered(home, request_id).response.result
    check_refused()
    kill(home)
    home.start()
    check_refused()
    assert fake.ids == [request_id]


# --- deadlines ---


def test_the_deadline_is_the_earlier_of_wish_and_configuration(world):
    home, fake = home_and_fake(world, silent)
    home.config["limits"]["request_deadline"] = "100 s"
    home.reload()
    client = home.client(home.admin)
    for wish, until in ((now_ms(50), now_ms(50)), (now_ms(5000), now_ms(100)), (0, now_ms(100))):
        accepted = client.submit([FAKE], USER, expires=wish)
        assert abs(accepted.until - until) < 5000
        sent = wait_for(lambda: next((r for r in fake.requests if r.request_id == accepted.request_id), None), "it is sent")
        assert sent.expires == accepted.until
    assert client.setup([FAKE], USER, expires=now_ms(-1)).cause == pb.REQUEST_EXPIRED


def test_the_deadline_passes_while_home_is_down(world):
    """Nobody can know then whether it was sent."""
    home, fake = home_and_fake(world)
    fake.go_away()
    accepted = home.client(home.admin).submit([FAKE], USER, expires=now_ms(1))
    kill(home)
    wait_for(lambda: now_ms() > accepted.until, "the deadline")
    home.start()
    answer = answered(home, accepted.request_id).response
    assert answer.cause // 100 == 6 and answer.origin == pb.HOME_ACMS and not answer.result
    fake.come_back()
    client = home.client(home.admin)
    assert client.setup([FAKE], one("next")).result  # the partner is there, and was not sent what is too late
    assert accepted.request_id not in fake.ids
    check_store(home)


@pytest.mark.parametrize("script, cause", [(silent, pb.PARTNER_TIMEOUT), (hang_up, pb.PARTNER_CONNECTION_LOST)])
def test_a_late_response_takes_the_place_of_a_guess(world, script, cause):
    """9: 'A response that comes after the home ACMS had answered 602 to 604 itself takes the place of that answer.'"""
    home, fake = home_and_fake(world, script)
    client = home.client(home.admin)
    guess = client.setup([FAKE], USER, expires=soon(1.5))
    assert guess.cause == cause and guess.origin == pb.HOME_ACMS
    fake.script = agree
    wait_for(lambda: client.setup([FAKE], one("link")).result, "a link")
    link, asked = fake.links[-1], fake.requests[0]
    refusal(pb.STORE_UNAVAILABLE)(link, asked)  # is not final, so it says nothing
    client.setup([FAKE], one("behind"))
    assert client.delivery(guess.request_id, FAKE).response.cause == cause
    agree(link, asked)
    wait_for(lambda: client.delivery(guess.request_id, FAKE).response.result, "the late answer counts")
    refusal(pb.MC_SERVICE_ID_IN_USE)(link, asked)  # one is enough
    home.wait_log("nobody waits for")
    final = client.delivery(guess.request_id, FAKE).response
    assert final.result and final.origin == pb.PARTNER_ACMS and final.receipt
    store = IdmStore(home.store)
    assert store.believed()[FAKE, "li@police.example"]["service_ids"] == [(1, "sip:li@police.example")]
    store.check()
    store.close()


# --- on the way ---


def test_transient_causes_are_retried_with_back_off(world):
    """9: 'the request is sent again after 1 s to 60 s, doubling'"""
    times = []

    def note(script):
        return lambda link, asked: (times.append(time.monotonic()), script(link, asked))

    causes = [pb.TOO_MANY_IN_FLIGHT, pb.STORE_UNAVAILABLE, 599]
    home, fake = home_and_fake(world, in_turn(*(note(refusal(c)) for c in causes), note(agree)))
    client, request_id = home.client(home.admin), new_id()
    client.send(request([FAKE], USER, request_id=request_id))
    delayed = client.indication(pb.DELAYED)
    assert delayed.mc_system_id == FAKE and "TOO_MANY_IN_FLIGHT" in delayed.detail
    delivery = client.delivery(request_id, FAKE)
    assert delivery.state == pb.QUEUED and delivery.attempts == 1 and delivery.until > now_ms(-1)
    assert client.response().result
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert gaps[0] >= 0.74 and gaps[1] >= 1.49 and gaps[2] >= 2.99, gaps
    assert len(fake.links) == 1 and fake.ids == [request_id] * 4


def test_order_and_the_partners_limit_are_kept(world):
    """3: 'When the number in flight is reached, a client waits.'; in the order of acceptance, over a restart in that of IDs"""
    held = []
    home, fake = home_and_fake(world, lambda link, asked: held.append((link, asked)),
                               hello(FAKE, limits=limits(max_requests_in_flight=3)))
    fake.go_away()
    client = home.client(home.admin)
    ids = [i.to_bytes(16, "big") for i in range(1, 13)]
    for i, request_id in enumerate(ids):
        client.submit([FAKE], one(f"o{i}"), request_id=request_id)
    kill(home)
    fake.come_back()
    home.start()
    for done in range(len(ids)):
        wait_for(lambda: len(held) == min(done + 3, len(ids)), "as many as may be in flight")
        home.client(home.admin).ping()
        assert len(held) == min(done + 3, len(ids))
        agree(*held[done])
    assert fake.ids == ids
    wait_for(lambda: not home.client(home.admin).requests(unfinished_only=True).entries, "all are answered")


def test_a_partner_that_waits_for_approval_is_not_bothered(world):
    """PENDING is no answer, but the request is in flight no longer, and not timed out; asked again on each connection"""
    held = []

    def script(link, asked) -> None:
        from acx_peer import pend
        held.append((link, asked))
        pend(link, asked, 3600)

    home, fake = home_and_fake(world, script, hello(FAKE, limits=limits(max_requests_in_flight=1)), timeout="1 s")
    client = home.client(home.admin)
    ids = [client.submit([FAKE], one(f"p{i}")).request_id for i in range(3)]
    for request_id in ids:
        pending = client.indication(pb.PENDING, request_id)
        assert pending.mc_system_id == FAKE and pending.until > now_ms(3000)
        delivery = client.delivery(request_id, FAKE)
        assert delivery.state == pb.APPROVAL and delivery.until == pending.until
    end = time.monotonic() + 2.5  # more than two partner_timeouts in which nothing may happen
    while time.monotonic() < end:
        client.ping()
    assert fake.ids == ids and len(fake.links) == 1
    fake.hang_up()
    wait_for(lambda: len(held) == 6, "all are asked for on the new connection")
    for link, asked in held[3:]:
        agree(link, asked)
    assert {client.response().request_id for _ in ids} == set(ids)


def test_no_more_are_kept_than_configured(world):
    home, fake = home_and_fake(world)
    home.config["limits"].update(max_unfinished_requests=2, max_unfinished_requests_per_acmc=2)
    home.reload()
    fake.go_away()
    client = home.client(home.admin)
    ids = [client.submit([FAKE], one(f"m{i}")).request_id for i in range(2)]
    refused = client.setup([FAKE], one("m2"))
    assert refused.cause == pb.TOO_MANY_IN_FLIGHT and refused.origin == pb.HOME_ACMS
    fake.come_back()
    for request_id in ids:
        assert client.response(request_id).result
    assert client.setup([FAKE], one("m2")).result


def test_no_more_are_kept_of_those_that_come_together(world):
    """What is on its way to disk counts."""
    home, fake = home_and_fake(world)
    home.config["limits"].update(max_unfinished_requests=5, max_unfinished_requests_per_acmc=5)
    home.reload()
    fake.go_away()
    client, frames = home.client(home.admin), []
    for i in range(60):
        frames.append(frame(request([FAKE], one(f"t{i}")).SerializeToString()))
    client.send_raw(b"".join(frames))
    refused = [client.response() for _ in range(55)]
    assert {r.cause for r in refused} == {pb.TOO_MANY_IN_FLIGHT}
    for _ in range(5):
        assert client.indication(pb.ACCEPTED)
    fake.come_back()
    assert all(client.response().result for _ in range(5))
    client.ping()
    assert not [m for m in client.kept if m.process_indication.state == pb.ACCEPTED]


def test_queries_that_a_partner_does_not_answer_end_together(world):
    home, fake = home_and_fake(world)
    home.config["limits"]["partner_timeout"] = "1 s"
    home.reload()
    client = home.client(home.admin)
    for token in range(1, 101):
        message = pb.Message()
        message.users_query.token = token
        message.users_query.mc_system_id = FAKE
        client.send(message)
    pages = [client.page("users_page", 1)]
    first = time.monotonic()
    pages += [client.page("users_page", token) for token in range(2, 101)]
    assert {p.cause for p in pages} == {pb.PARTNER_TIMEOUT}
    assert time.monotonic() - first < 10  # not one in each tick of 200 ms


def test_a_dry_run_is_not_kept(world):
    """5.7: 'A home ACMS does not keep it either: if the connection is lost, so is the answer'; 7: 603 'at once'"""
    home, fake = home_and_fake(world, hang_up)
    client, before = home.client(home.admin), IdmStore(home.store)
    content = before.content()
    for script, cause in ((hang_up, pb.PARTNER_CONNECTION_LOST), (refusal(pb.STORE_UNAVAILABLE), pb.STORE_UNAVAILABLE),
                          (refusal(pb.USER_QUOTA_EXCEEDED), pb.USER_QUOTA_EXCEEDED), (agree, pb.NO_CAUSE)):
        fake.script = script
        wait_for(lambda: len(fake.links) > (cause != pb.PARTNER_CONNECTION_LOST), "a link")
        home.wait_log("partner fake.example: up")
        answer = client.setup([FAKE], USER, dry_run=True)
        if answer.cause == pb.PARTNER_UNREACHABLE:  # the link is not up again yet
            wait_for(lambda: client.setup([FAKE], USER, dry_run=True).cause == cause, "the partner's answer")
        else:
            assert answer.cause == cause
        page = client.requests(request_id=answer.request_id)
        assert page.cause == pb.UNKNOWN_REQUEST
    fake.go_away()
    wait_for(lambda: client.setup([FAKE], USER, dry_run=True).cause == pb.PARTNER_UNREACHABLE, "at once")
    assert before.content() == content
    before.close()


# --- what is told about requests ---


def test_lists_of_requests(world):
    """10: RequestsQuery: page by page, filtered"""
    home, fake = home_and_fake(world, lambda link, asked: (
        refusal(pb.USER_QUOTA_EXCEEDED) if "bad" in asked.mc_id_list[0] else agree)(link, asked))
    client = home.client(home.admin)
    good = [client.setup([FAKE], one(f"g{i}")).request_id for i in range(5)]
    middle = now_ms()
    wait_for(lambda: now_ms() > middle, "the next millisecond")
    bad = [client.setup([FAKE], one(f"bad{i}"), part=i, parts=2).request_id for i in range(2)]
    unknown = client.setup([FAKE, "nobody.example"], one("both")).request_id
    client.response()
    fake.go_away()
    waiting = client.submit([FAKE], {"w@police.example": [], "v@police.example": []}).request_id
    every = sorted([*good, *bad, unknown, waiting])

    def ids(**filters):
        """Page by page, two at a time."""
        found, after = [], b""
        while True:
            page = client.requests(max=2, after=after, **filters)
            assert page.cause == pb.NO_CAUSE and len(page.entries) <= 2 and (page.entries or not page.more)
            found += [e.request_id for e in page.entries]
            if not page.more:
                return found
            after = found[-1]

    assert ids() == every
    assert ids(unfinished_only=True) == [waiting]
    assert ids(refused_only=True) == sorted([*bad, unknown])
    assert ids(mc_system_id="nobody.example") == [unknown] and ids(mc_system_id=FAKE) == every
    assert ids(mc_system_id="else.example") == []
    assert ids(until=middle + 1) == sorted(good) and ids(since=middle + 1) == sorted([*bad, unknown, waiting])
    assert ids(since=middle + 1, refused_only=True, mc_system_id="nobody.example") == [unknown]
    entries = {e.request_id: e for e in client.requests().entries}
    assert entries[bad[1]].part == 1 and entries[bad[1]].parts == 2 and entries[waiting].users == 2
    assert entries[waiting].acmc == "control-room" and entries[waiting].deadline > now_ms(6 * 86400)
    delivery, = entries[good[0]].deliveries
    assert delivery.response.result and not delivery.response.receipt and not delivery.response.mc_id_list
    full = client.delivery(good[0], FAKE)
    assert full.response.receipt and list(full.response.mc_id_list) == ["g0@police.example"] and full.answered > 0
    assert client.requests(request_id=new_id()).cause == pb.UNKNOWN_REQUEST


def test_whose_requests_an_acmc_sees(world):
    """10: 'its own requests, or all of the home system's if it may see them'"""
    home, fake = home_and_fake(world)
    other, chief = home.acmc("other"), home.acmc("chief", requests="all")
    home.reload()
    mine = {leaf: home.client(leaf).setup([FAKE], USER).request_id for leaf in (home.admin, other)}
    for leaf in mine:
        client = home.client(leaf)
        assert [e.request_id for e in client.requests().entries] == [mine[leaf]]
        for owner, request_id in mine.items():
            cause = client.requests(request_id=request_id).cause
            assert cause == (pb.NO_CAUSE if owner is leaf else pb.UNKNOWN_REQUEST)
    client = home.client(chief)
    assert {e.request_id for e in client.requests().entries} == set(mine.values())
    assert client.requests(request_id=mine[other]).entries[0].acmc == "other"
    system = fake.of.leaf
    home.partner(fake.of, address=False)
    home.config["partners"].pop(0)
    home.reload()
    stranger = home.client(system, system=FAKE)
    assert stranger.requests().cause == pb.ACMC_NOT_AUTHORISED


def test_follow(world):
    """10: 'follow, with request_id: this connection gets the indications and responses of that request from now on'"""
    held = []
    home, fake = home_and_fake(world, lambda link, asked: held.append((link, asked)))
    fake.go_away()
    request_id = home.client(home.admin).submit([FAKE], USER).request_id
    kill(home)
    home.start()
    followers = [home.client(home.admin) for _ in range(2)]
    ignorant = home.client(home.admin)
    for client in followers:
        for _ in range(2):  # following twice tells nothing twice
            assert client.delivery(request_id, FAKE, follow=True).state == pb.QUEUED
    assert ignorant.delivery(request_id, FAKE).state == pb.QUEUED
    fake.come_back()
    wait_for(lambda: held, "the request at the partner")
    from acx_peer import pend
    pend(*held[0], 60)
    for client in followers:
        client.indication(pb.PENDING, request_id)
    agree(*held[0])
    for client in followers:
        assert client.response(request_id).result
        client.ping()
    ignorant.ping()


def test_answers_are_forgotten_when_they_are_old(world):
    """9: 'Answers are kept as long as it is configured to, from the answer on, then forgotten.'"""
    home, fake = home_and_fake(world, lambda link, asked: None if "wait" in asked.mc_id_list[0] else agree(link, asked))
    client = home.client(home.admin)
    waiting = client.submit([FAKE], one("wait")).request_id
    done = client.setup([FAKE], USER).request_id
    assert client.delivery(done, FAKE).response.result
    home.config["limits"]["keep_answers"] = "1 s"
    home.reload()
    wait_for(lambda: client.requests(request_id=done).cause == pb.UNKNOWN_REQUEST, "forgotten")
    assert [e.request_id for e in client.requests().entries] == [waiting]
    assert client.setup([FAKE], one("other"), request_id=done).result  # the ID is free again
    store = IdmStore(home.store)
    assert (FAKE, "li@police.example") in store.believed()  # not what it said
    store.close()


# --- answers that come late, or in another order than things were done ---


def test_a_request_repeated_after_its_deadline_has_its_answer(world):
    """5.5: 'the ACMC gets the indication and the answers there are', though by now it would come too late."""
    home, fake = home_and_fake(world)
    client, message = home.client(home.admin), request([FAKE], USER, expires=soon(1.5))
    assert client.ask(message).result
    wait_for(lambda: now_ms() > message.mc_service_user_setup_request.expires, "its deadline is past")
    again = client.ask(message)
    assert again.result and again.origin == pb.PARTNER_ACMS and len(fake.requests) == 1
    other = client.setup([FAKE], one("late"), expires=now_ms(-1))
    assert (other.cause, other.origin) == (pb.REQUEST_EXPIRED, pb.HOME_ACMS)
    check_store(home)


def test_what_was_done_last_is_believed_not_what_was_answered_last(world):
    held = []
    home, _ = home_and_fake(world, lambda link, asked: held.append((link, asked)))
    client = home.client(home.admin)
    client.submit([FAKE], USER)
    client.submit([FAKE], {m: [(2, "sip:later@police.example")] for m in USER}, operation=pb.UPDATE,
                  expected={m: 1 for m in USER})
    wait_for(lambda: len(held) == 2, "both at the partner")
    answers = [true_response(asked, FAKE, link) for link, asked in held]
    for (link, _), answer in zip(held[::-1], answers[::-1]):
        link.send(answer)
    assert client.response().result and client.response().result
    believed = client.users(FAKE, believed=True).users
    assert [user.mc_id for user in believed] == list(USER)
    for user in believed:
        assert user.revision == 2
        assert [(e.service, e.mc_service_id) for e in user.mc_service_id_list] == [(2, "sip:later@police.example")]
    check_store(home)


def test_a_user_set_up_anew_after_its_end_does_not_end_again(world):
    home, _ = home_and_fake(world)
    client, end = home.client(home.admin), soon(1)
    assert client.setup([FAKE], USER, validity=(0, end)).result
    wait_for(lambda: not client.users(FAKE, believed=True).users, "its validity ended")
    assert client.setup([FAKE], {m: [] for m in USER}).result
    believed = client.users(FAKE, believed=True).users
    assert [u.mc_id for u in believed] == list(USER)
    assert not believed[0].validity.not_after and not believed[0].mc_service_id_list
    check_store(home)
