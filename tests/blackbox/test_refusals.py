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
    assert grown < (200_000 if kind != "outside" else 60_000_000), grown
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
