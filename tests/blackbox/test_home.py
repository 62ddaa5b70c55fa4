"""The home ACMS: PROTOCOL.md 5.4 and 6, the 1xx, 3xx and 6xx causes."""

import subprocess
import threading

import pytest

from acx_peer import FakePartner, agree, hello, limits, new_id, now_ms, pb, request, silent, twice
from systems import BUILD, acmc, soon, wait_for

USER = {"uma@police.example": [(1, "sip:uma@police.example")]}


def fake(world, home, name, script, greeting=None, **more):
    """A scripted partner system of the home."""
    system = world.system(name)
    partner = FakePartner(name, system.leaf, home.ca.cert_file, script, greeting)
    world.fakes.append(partner)
    home.partner(system, port=partner.port, provision=None, **more)
    return partner


def home_with(world, name, script, **more):
    home = world.system("police.example")
    home.admin = home.acmc()
    partner = fake(world, home, name, script, **more)
    home.start()
    return home, partner


@pytest.mark.parametrize("target, cause", [
    ("nobody.example", pb.UNKNOWN_TARGET), ("police.example", pb.TARGET_IS_OWN_SYSTEM),
    ("FIRE.example", pb.INVALID_TARGET), ("x", pb.INVALID_TARGET), ("fire.example.", pb.INVALID_TARGET)])
def test_bad_target_concerns_that_target_alone(federation, target, cause):
    client = federation.home.client(federation.home.admin)
    answers = client.setup_all([target, "rail.example"], USER)
    assert answers[target].cause == cause and not answers[target].result
    assert answers[target].origin == pb.HOME_ACMS and list(answers[target].mc_id_list) == list(USER)
    assert answers["rail.example"].result


def test_duplicate_target_is_answered_once_and_not_sent(federation):
    client = federation.home.client(federation.home.admin)
    users = {"dup@police.example": []}
    answers = client.setup_all(["fire.example", "rail.example", "fire.example"], users)
    assert answers["fire.example"].cause == pb.DUPLICATE_TARGET and answers["rail.example"].result
    assert ("police.example", "dup@police.example") not in federation.fire.users()
    client.ping()  # there was no third response


def test_no_target_and_too_many(federation):
    client = federation.home.client(federation.home.admin)
    for targets, cause in (([], pb.MISSING_ELEMENT), ([f"a{i}.example" for i in range(101)], pb.TOO_MANY_IDENTITIES)):
        answer = client.setup(targets, USER)
        assert (answer.mc_system_id, answer.cause, answer.origin) == ("police.example", cause, pb.HOME_ACMS)
        client.ping()


def test_authorisation_of_the_acmc(world):
    """'authorise the ACMC by its certificate (a Home ACMC ID in the request must belong to that certificate)'"""
    home, fire, rail = world.federation()
    limited = home.acmc("limited", partners=["fire.example"])
    powerless = home.ca.issue("powerless", ["URI:sip:powerless@police.example"])
    home.config["acmcs"]["clients"].append(
        {"name": "powerless", "certificate": "URI:sip:powerless@police.example"})
    for s in (fire, rail, home):
        s.start()
    client = home.client(limited)
    answers = client.setup_all(["fire.example", "rail.example"], USER)
    assert answers["fire.example"].result and answers["rail.example"].cause == pb.TARGET_NOT_PERMITTED
    other = client.setup(["fire.example"], USER, home_acmc_id="sip:control-room@police.example")
    assert other.cause == pb.HOME_ACMC_ID_NOT_BOUND
    spelled = client.setup(["fire.example"], USER, home_acmc_id="SIP:limited@POLICE.example")
    assert spelled.result
    bad = client.setup(["fire.example"], {"x@fire.example": [], "y@police.example": [(1, "sip:y@fire.example")]})
    assert bad.cause == pb.IDENTITY_NOT_PERMITTED
    assert {(c.mc_id, c.mc_service_id, c.cause) for c in bad.identity_causes} == {
        ("x@fire.example", "", pb.IDENTITY_NOT_PERMITTED),
        ("y@police.example", "sip:y@fire.example", pb.IDENTITY_NOT_PERMITTED)}
    assert home.client(powerless).setup(["fire.example"], USER).cause == pb.ACMC_NOT_AUTHORISED


def test_a_partner_that_is_down(federation):
    """'a partner that is down ... a defined response for that partner alone', when its time is over; and back again"""
    home, fire = federation.home, federation.fire
    fire.stop()
    client = home.client(home.admin)
    client.send(request(["fire.example", "rail.example"], USER, expires=soon(2)))
    first = client.response()
    assert first.mc_system_id == "rail.example" and first.result
    delayed = client.indication(pb.DELAYED)
    assert delayed.mc_system_id == "fire.example"
    assert "Connection refused" in delayed.detail or "GOING_AWAY" in delayed.detail  # before the first attempt
    late = client.response()
    assert late.cause == pb.PARTNER_UNREACHABLE and "Connection refused" in late.detail
    fire.start()
    assert client.setup(["fire.example"], USER).result


def test_a_partner_sees_only_its_own_mc_system_id(world):
    home, partner = home_with(world, "fire.example", agree)
    fake_rail = fake(world, home, "rail.example", agree)
    home.reload()
    request_id = new_id()
    answers = home.client(home.admin).setup_all(["rail.example", "fire.example"], USER, request_id=request_id)
    assert all(a.result for a in answers.values())
    for p in (partner, fake_rail):
        assert [list(r.mc_system_id) for r in p.requests] == [[p.system]]
        assert p.requests[0].request_id == request_id


def test_responses_are_passed_on_as_they_arrive(world):
    release = threading.Event()

    def slow(link, r):
        release.wait(20)
        agree(link, r)

    home, _ = home_with(world, "slow.example", slow)
    fake(world, home, "fast.example", agree)
    home.reload()
    client = home.client(home.admin)
    client.send(request(["slow.example", "fast.example"], USER))
    assert client.response().mc_system_id == "fast.example"
    release.set()
    assert client.response().mc_system_id == "slow.example"


def test_a_partner_that_answers_twice(world):
    """'A response that nobody waits for (late) is dropped.'"""
    home, partner = home_with(world, "fake.example", twice)
    client = home.client(home.admin)
    assert client.setup(["fake.example"], USER).result
    agree(partner.links[0], partner.requests[0])
    home.wait_log("nobody waits for")
    client.ping()
    assert client.setup(["fake.example"], USER).result
    assert len(partner.links) == 1


def test_limits_of_the_partner_are_kept(world):
    greeting = hello("fake.example", limits=limits(max_mc_ids=2, max_requests_in_flight=1))
    held = []
    home, _ = home_with(world, "fake.example", lambda link, r: held.append((link, r)), greeting=greeting)
    client = home.client(home.admin)
    three = {f"u{i}@police.example": [] for i in range(3)}
    assert client.setup(["fake.example"], three).cause == pb.PARTNER_LIMIT
    for i in range(3):
        client.submit(["fake.example"], {f"u{i}@police.example": []})
    for sent in range(1, 4):
        wait_for(lambda: len(held) == sent, "the next at the partner")
        states = [d.state for e in client.requests(unfinished_only=True).entries for d in e.deliveries]
        assert sorted(states) == [pb.QUEUED] * (3 - sent) + [pb.SENT] and len(held) == sent
        agree(*held[-1])
        assert client.response().result


@pytest.mark.parametrize("greeting", [
    hello("other.example"), hello("fake.example", version_min=3, version_max=4),
    hello("fake.example", limits=limits(max_frame_bytes=100)), hello(None)])
def test_a_partner_with_a_bad_hello_is_not_used(world, greeting):
    home, partner = home_with(world, "fake.example", silent, greeting=greeting)
    answer = home.client(home.admin).setup(["fake.example"], USER, expires=now_ms(1))
    assert answer.cause == pb.PARTNER_UNREACHABLE and not partner.requests


def test_same_id_twice_at_once_is_not_mixed_up(world):
    """5.5: 'the same request ID came with other content', while the first is still under way"""
    waiting = []
    home, partner = home_with(world, "fake.example", lambda link, r: waiting.append((link, r)))
    one, two = home.client(home.admin), home.client(home.admin)
    request_id = new_id()
    one.send(request(["fake.example"], {"one@police.example": []}, request_id=request_id))
    wait_for(lambda: len(waiting) == 1, "the first request")
    other = two.setup(["fake.example"], {"two@police.example": []}, request_id=request_id)
    assert other.cause == pb.REQUEST_ID_REUSED and other.origin == pb.HOME_ACMS
    assert list(other.mc_id_list) == ["two@police.example"]
    agree(*waiting[0])
    assert list(one.response().mc_id_list) == ["one@police.example"]
    two.ping()
    assert len(partner.requests) == 1


def test_an_administrator_who_leaves_harms_nobody(world):
    entered, release = threading.Event(), threading.Event()

    def script(link, r):
        entered.set()
        release.wait(20)
        agree(link, r)

    home, _ = home_with(world, "fake.example", script)
    gone = home.client(home.admin)
    gone.send(request(["fake.example"], USER))
    assert entered.wait(20)
    gone.close()
    release.set()
    other = home.client(home.admin)
    assert other.setup(["fake.example"], USER).result


def test_acmc_shows_what_came_and_what_did_not(world):
    home, _ = home_with(world, "fake.example", silent)
    home.config["limits"]["partner_timeout"] = "60 s"
    home.reload()
    config = home.acmc_config(home.admin)
    left = acmc(config, "--no-wait", "--to", "fake.example,nobody.example", "uma@police.example")
    assert left.returncode == 0, (left.returncode, left.stdout, left.stderr)
    waited = subprocess.run([BUILD / "acmc", "wait", "-c", config, left.stdout.split()[0], "--timeout", "1s"],
                            capture_output=True, text=True, timeout=60)
    assert waited.returncode == 6 and "UNKNOWN_TARGET" in waited.stdout, (waited.stdout, waited.stderr)
    given_up = acmc(config, "--deadline", "1s", "--to", "fake.example", "uma@police.example")
    assert given_up.returncode == 1 and "PARTNER_TIMEOUT" in given_up.stdout


def test_an_identity_in_the_way_is_named_once(federation):
    """6: 'each identity concerned, with its own cause': one MC service ID for two services is one identity"""
    client = federation.home.client(federation.home.admin)
    uri = "sip:twice@elsewhere.example"
    answer = client.setup(["fire.example"], {"twice@police.example": [(1, uri), (2, uri)]})
    assert [(c.mc_id, c.mc_service_id) for c in answer.identity_causes] == [("twice@police.example", uri)]
    link = federation.fire.client(federation.home.leaf, system="police.example")
    for best_effort in (False, True):
        answer = link.setup(["fire.example"], {"twice@police.example": [(1, uri), (2, uri)], "x@elsewhere.example": []},
                            best_effort=best_effort)
        named = [(c.mc_id, c.mc_service_id) for c in answer.identity_causes]
        assert sorted(named) == [("twice@police.example", uri), ("x@elsewhere.example", "")]
    assert link.setup(["fire.example"], {"owner@police.example": [(1, "sip:own@police.example")]}).result
    answer = link.setup(["fire.example"], {"thief@police.example": [(1, "sip:own@police.example"), (2, "sip:own@police.example")]})
    assert [(c.mc_service_id, c.cause) for c in answer.identity_causes] == [("sip:own@police.example", pb.MC_SERVICE_ID_IN_USE)]
