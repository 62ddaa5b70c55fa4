"""What is refused fills neither the store nor the audit log; each refusal is answered all the same."""

import json

import pytest

from acx_peer import new_id, pb, request
from idm_store_reader import IdmStore
from systems import wait_for

HOME, FIRE = "police.example", "fire.example"
FLOOD = 400


def flood(client, users, **more) -> set:
    """The causes of all the answers."""
    ids = [new_id() for _ in range(FLOOD)]
    causes = set()
    for start in range(0, FLOOD, 100):
        for request_id in ids[start:start + 100]:
            client.send(request([FIRE], users, request_id=request_id, **more))
        causes |= {client.response(request_id).cause for request_id in ids[start:start + 100]}
    return causes


def entries(system) -> list:
    result = system.run("audit", "export")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


MANY = {f"{'x' * 200}{i}@elsewhere.example": [] for i in range(500)}


@pytest.mark.parametrize("kind, cause", [("no right", pb.HOME_SYSTEM_NOT_AUTHORISED), ("outside", pb.OUTSIDE_NAMESPACE),
                                         ("malformed", pb.INVALID_MC_ID)])
def test_a_partner_that_is_refused(world, kind, cause):
    home, fire = world.system(HOME), world.system(FIRE)
    fire.partner(home, address=False, provision=None if kind == "no right" else True)
    fire.config["limits"]["audited_refusals_per_minute"] = 7
    fire.start()
    before = (fire.store / "data.mdb").stat().st_size
    client = fire.client(home.leaf, system=HOME)
    users = {**MANY, "a\n": []} if kind == "malformed" else MANY
    assert flood(client, users) == {cause}
    grown = (fire.store / "data.mdb").stat().st_size - before
    assert grown < (200_000 if kind != "outside" else 4_000_000), grown
    fire.stop()
    log = entries(fire)
    assert 8 <= len(log) <= 8 + 7 * 5  # a slow machine takes more than a minute
    own, summed = [e for e in log if e["action"] == "setup"], [e for e in log if e["action"] == "refusals"]
    assert len(own) + sum(e["refusals"] for e in summed) == FLOOD and len(summed) >= 1
    for e in own:
        assert len(e["mc_ids"]) == 10 and e["all_mc_ids"] == 500 and len(e.get("identity_causes", [])) <= 10
        assert e.get("all_identity_causes", 500) == 500
    for e in summed:
        assert e["home"] == HOME and e["cause"] == pb.Cause.Name(cause) and e["certificate"].startswith("DNS:acms.police")
    store = IdmStore(fire.store)
    assert len(store.requests()) == (FLOOD if kind == "outside" else 0)  # that may set up something else
    store.audit()
    store.check_users()
    store.close()


def test_a_repetition_of_a_refusal_has_the_first_ten(world):
    """The first answer names all: 20 requests take little of the store."""
    home, fire = world.system(HOME), world.system(FIRE)
    fire.partner(home, address=False)
    fire.start()
    client, ids = fire.client(home.leaf, system=HOME), [new_id() for _ in range(20)]
    for request_id in ids:
        assert len(client.setup([FIRE], MANY, request_id=request_id).identity_causes) == 500
    for request_id in ids:
        again = client.setup([FIRE], MANY, request_id=request_id)
        assert not again.result and again.cause == pb.OUTSIDE_NAMESPACE
        assert [c.mc_id for c in again.identity_causes] == sorted(MANY)[:10]
        assert again.detail.startswith("10 of 500 identity causes: only the first answer had all")
    assert client.setup([FIRE], {"a@police.example": []}, request_id=ids[0]).cause == pb.REQUEST_ID_REUSED
    fire.stop()
    store = IdmStore(fire.store)
    store.check()
    assert store.systems()[HOME][4] < len(ids) * 3000
    store.close()


def test_what_waits_is_bounded_in_bytes(world):
    """Of large requests fewer may wait than max_pending; what was decided makes room."""
    home, fire = world.system(HOME), world.system(FIRE)
    fire.partner(home, address=False, provision={"mc_ids": ["*@police.example"], "mc_service_id_domains": ["police.example"],
                                                 "approval": {"setup": "manual"}, "max_pending_bytes": "1 MiB"})
    ops = fire.acmc("ops", approves=[HOME])
    fire.start()
    client, ids = fire.client(home.leaf, system=HOME), [new_id() for _ in range(30)]
    held, refused = [], []
    for i, request_id in enumerate(ids):
        client.send(request([FIRE], {f"{'x' * 200}{i}-{n}@police.example": [] for n in range(500)}, request_id=request_id))
        if client.receive().WhichOneof("body") == "process_indication":
            held.append(request_id)
        else:
            refused.append(request_id)
    assert 9 <= len(held) <= 11 and refused == ids[len(held):]
    answer = client.setup([FIRE], {"a@police.example": []})
    assert answer.cause == pb.TOO_MANY_PENDING and "max_pending_bytes" in answer.detail
    for request_id in held[:2]:
        assert fire.client(ops).decide(HOME, request_id, False, reason="no").response.cause == pb.REJECTED
    client.send(request([FIRE], {"a@police.example": []}))
    client.indication(pb.PENDING)
    fire.stop()
    store = IdmStore(fire.store)
    store.check()
    store.close()


def test_what_changes_nothing(world):
    """Answered TRUE, again and again: it fills the log no faster than what is refused."""
    home, fire = world.system(HOME), world.system(FIRE)
    fire.partner(home, address=False)
    fire.config["limits"]["audited_refusals_per_minute"] = 7
    fire.start()
    client = fire.client(home.leaf, system=HOME)
    users = {f"{'x' * 200}{i}@police.example": [] for i in range(500)}
    assert client.setup([FIRE], users).result
    before = (fire.store / "data.mdb").stat().st_size
    assert flood(client, users) == {pb.NO_CAUSE}
    grown = (fire.store / "data.mdb").stat().st_size - before
    assert grown < 4_000_000, grown
    assert client.setup([FIRE], {"new@police.example": []}).result  # has an entry in any case
    fire.stop()
    log = entries(fire)
    own, summed = [e for e in log if e["action"] == "setup"], [e for e in log if e["action"] == "refusals"]
    assert 1 <= len(summed) and len(own) <= 2 + 7 * 5 and not [e for e in summed if "refusals" in e]
    assert len(own) - 2 + sum(e["unchanged_requests"] for e in summed) == FLOOD
    assert [len(e["mc_ids"]) for e in own if e["created"]] == [500, 1]
    for e in own[1:-1]:
        assert len(e["mc_ids"]) == 10 and e["all_mc_ids"] == 500 == e["unchanged"]
    store = IdmStore(fire.store)
    store.audit()
    store.check_users()
    store.close()


def test_one_refusal_among_many_that_are_done_has_its_entry(world):
    """However many are on their way: what counts is what is refused."""
    home, fire = world.system(HOME), world.system(FIRE)
    fire.partner(home, address=False)
    fire.config["limits"]["audited_refusals_per_minute"] = 1
    fire.start()
    client = fire.client(home.leaf, system=HOME)
    ids = [new_id() for _ in range(100)]
    for i, request_id in enumerate(ids):
        client.send(request([FIRE], {f"a{i}@{'elsewhere' if i == 90 else 'police'}.example": []}, request_id=request_id))
    causes = [client.response(request_id).cause for request_id in ids]
    assert causes.count(pb.OUTSIDE_NAMESPACE) == 1 and causes.count(pb.NO_CAUSE) == 99
    assert [e["action"] for e in entries(fire)] == ["setup"] * 100
    store = IdmStore(fire.store)
    store.check()
    store.close()


def test_an_acmc_that_is_refused(world):
    home, fire = world.system(HOME), world.system(FIRE)
    home.admin = home.acmc()
    other = home.acmc("other")
    home.partner(fire, provision=None)
    home.config["limits"]["audited_refusals_per_minute"] = 7
    home.start()
    client = home.client(home.admin)
    assert flood(client, MANY) == {pb.IDENTITY_NOT_PERMITTED}
    assert flood(client, {"a@police.example": []}, expires=1) == {pb.REQUEST_EXPIRED}
    assert home.client(other).setup([FIRE], MANY).cause == pb.IDENTITY_NOT_PERMITTED  # has entries of its own
    home.stop()
    log = entries(home)
    summed = [e for e in log if e["action"] == "refusals"]
    assert {e["acmc"] for e in summed} == {"control-room"} and len(log) <= 8 + 7 * 5 + 1
    own = [e for e in log if e["action"] == "ask"]
    assert len(own) + sum(e["refusals"] for e in summed) == 2 * FLOOD + 1
    assert [e["acmc"] for e in own].count("other") == 1


def test_the_sum_is_written_while_it_runs(world):
    """Once the minute is over."""
    home, fire = world.system(HOME), world.system(FIRE)
    fire.partner(home, address=False, provision=None)
    fire.config["limits"]["audited_refusals_per_minute"] = 1
    fire.start()
    client = fire.client(home.leaf, system=HOME)
    for _ in range(5):
        assert client.setup([FIRE], {"a@police.example": []}).cause == pb.HOME_SYSTEM_NOT_AUTHORISED
    wait_for(lambda: len(entries(fire)) >= 2, "an entry for all", 100)
    assert [e.get("refusals") for e in entries(fire)] == [None, 4]


BAD_TARGETS = [HOME, "nobody.example", "no system", "rail.example", "twice.example", "twice.example"]
THEIR_CAUSES = {HOME: pb.TARGET_IS_OWN_SYSTEM, "nobody.example": pb.UNKNOWN_TARGET, "no system": pb.INVALID_TARGET,
                "rail.example": pb.TARGET_NOT_PERMITTED, "twice.example": pb.DUPLICATE_TARGET}


def home_with_two_partners(world):
    """The ACMC may address one of them."""
    home, fire, rail = world.system(HOME), world.system(FIRE), world.system("rail.example")
    home.admin = home.acmc(partners=[FIRE])
    home.partner(fire, provision=None)
    home.partner(rail, provision=None)
    home.config["limits"]["audited_refusals_per_minute"] = 7
    home.start()
    return home


def test_requests_that_are_left_without_a_target_are_refused(world):
    """5.4: each target has its own cause, once, and nothing is kept but some entries of the audit log."""
    home = home_with_two_partners(world)
    client, ids = home.client(home.admin), [new_id() for _ in range(FLOOD)]
    before = (home.store / "data.mdb").stat().st_size
    for start in range(0, FLOOD, 100):
        for request_id in ids[start:start + 100]:
            client.send(request(BAD_TARGETS, {"a@police.example": []}, request_id=request_id))
        for request_id in ids[start:start + 100]:
            answers = [client.response(request_id) for _ in THEIR_CAUSES]
            assert {a.mc_system_id: a.cause for a in answers} == THEIR_CAUSES
            assert {a.origin for a in answers} == {pb.HOME_ACMS}
    assert (home.store / "data.mdb").stat().st_size - before < 200_000
    client.send(request(["nobody.example"], {"b@police.example": []}, request_id=ids[0]))  # judged anew, not REUSED
    assert client.response(ids[0]).cause == pb.UNKNOWN_TARGET
    client.ping()
    assert not client.kept  # no indication
    assert not client.requests().entries
    home.stop()
    log = entries(home)
    own, summed = [e for e in log if e["action"] == "ask"], [e for e in log if e["action"] == "refusals"]
    assert len(own) + sum(e["refusals"] for e in summed) == FLOOD + 1 and len(log) <= 8 + 7 * 5
    assert all(e["cause"] in {pb.Cause.Name(c) for c in THEIR_CAUSES.values()} for e in log)
    store = IdmStore(home.store)
    assert not store.asked() and not store.answers() and not store.outbox()
    store.close()


def test_what_was_accepted_keeps_its_answers_when_it_has_no_target_any_more(world):
    home = home_with_two_partners(world)
    client = home.client(home.admin)
    message = request([FIRE, "nobody.example"], {"a@police.example": []})
    request_id = message.mc_service_user_setup_request.request_id
    client.send(message)
    assert client.indication(pb.ACCEPTED, request_id)
    assert client.response(request_id).cause == pb.UNKNOWN_TARGET
    home.config["acmcs"]["clients"][0]["partners"] = ["rail.example"]
    home.reload()
    client.send(message)
    assert client.indication(pb.ACCEPTED, request_id)
    assert client.response(request_id).cause == pb.UNKNOWN_TARGET
    client.send(request([FIRE], {"a@police.example": []}, request_id=request_id))
    assert client.response(request_id).cause == pb.REQUEST_ID_REUSED
    assert client.setup([FIRE], {"a@police.example": []}).cause == pb.TARGET_NOT_PERMITTED


def test_targets_that_are_refused_beside_a_good_one_make_no_records(world):
    """Their causes are in the request's own record; asked again, or about, after a restart, too, they are the same."""
    home = home_with_two_partners(world)
    bad = {f"bad{i}.example": pb.UNKNOWN_TARGET for i in range(97)} | {HOME: pb.TARGET_IS_OWN_SYSTEM, "x" * 900: pb.INVALID_TARGET}
    client, message = home.client(home.admin), request([FIRE, *bad], {"a@police.example": []})
    request_id = message.mc_service_user_setup_request.request_id
    for restart in (False, True):
        if restart:
            home.stop()
            store = IdmStore(home.store)
            assert not store.answers() and list(store.outbox()) == [(request_id, FIRE)]
            assert [e[12] for e in store.audit()] == [8]
            store.check()
            store.close()
            home.start()
            client = home.client(home.admin)
        client.send(message)
        assert client.indication(pb.ACCEPTED, request_id)
        assert {a.mc_system_id: a.cause for a in [client.response(request_id) for _ in bad]} == bad
        entry, = client.requests(request_id=request_id).entries
        told = {d.mc_system_id: d.response.cause for d in entry.deliveries if d.state == pb.ANSWERED}
        assert told == bad and len(entry.deliveries) == 100
        assert client.requests(refused_only=True).entries
