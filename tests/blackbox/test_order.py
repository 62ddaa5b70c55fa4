"""Which check comes first, and what a partner remembers: PROTOCOL.md 5.3 to 5.5."""

import threading

import pytest

from acx_peer import new_id, pb, request
from idm_store_reader import IdmStore
from test_partner import as_home

FIRE = ["fire.example"]
BAD = {"a\n": []}
U = "@police.example"


@pytest.fixture
def pair(world):
    home, fire = world.system("police.example"), world.system("fire.example")
    fire.partner(home)
    fire.config["limits"]["audited_refusals_per_minute"] = 1000
    fire.start()
    return home, fire, as_home(fire, home)


def test_order_at_the_partner(pair):
    """5.4: well-formedness, target, request ID, right and namespaces, quota and conflicts"""
    _, _, c = pair
    used = new_id()
    assert c.setup(FIRE, {f"a{U}": []}, request_id=used).result
    outside = {"x@else.example": []}
    assert c.setup(["else.example"], BAD, request_id=used).cause == pb.INVALID_MC_ID
    assert c.setup(["else.example"], outside, request_id=used).cause == pb.WRONG_TARGET
    assert c.setup(FIRE, outside, request_id=used).cause == pb.REQUEST_ID_REUSED
    assert c.setup(FIRE, outside).cause == pb.OUTSIDE_NAMESPACE


def test_order_at_home(world):
    """5.4: '(a) well-formedness (2xx); (b) the ACMC's right ...; each of these concerns every target; (c) each target
    by itself (302, 303, 304, 301, 103)'"""
    home, fire, rail = world.federation()
    limited = home.acmc("limited", partners=["rail.example"])
    home.start()
    c = home.client(limited)
    targets = ["police.example", "POLICE", "nobody.example", "fire.example", "fire.example", "police.example", "no..x"]
    for users, cause in ((BAD, pb.INVALID_MC_ID), ({"x@else.example": []}, pb.IDENTITY_NOT_PERMITTED)):
        answers = c.setup_all(targets, users)
        assert {a.cause for a in answers.values()} == {cause} and set(answers) == set(targets)
        c.ping()
    answers = c.setup_all(targets, {f"a{U}": []})
    assert {t: a.cause for t, a in answers.items()} == {
        "police.example": pb.DUPLICATE_TARGET, "fire.example": pb.DUPLICATE_TARGET, "POLICE": pb.INVALID_TARGET,
        "no..x": pb.INVALID_TARGET, "nobody.example": pb.UNKNOWN_TARGET}
    answers = c.setup_all(["police.example", "fire.example"], {f"a{U}": []})
    assert {t: a.cause for t, a in answers.items()} == {
        "police.example": pb.TARGET_IS_OWN_SYSTEM, "fire.example": pb.TARGET_NOT_PERMITTED}
    both = c.setup(["rail.example"], {"x@else.example": []}, home_acmc_id="sip:somebody@police.example")
    assert both.cause in (pb.HOME_ACMC_ID_NOT_BOUND, pb.IDENTITY_NOT_PERMITTED)


def test_answers_about_form_and_target_are_not_remembered(pair):
    """5.5: 'Answers with 2xx, 3xx and 5xx causes are not recorded'"""
    _, _, c = pair
    request_id = new_id()
    assert c.setup(FIRE, BAD, request_id=request_id).cause == pb.INVALID_MC_ID
    assert c.setup(["else.example"], {f"a{U}": []}, request_id=request_id).cause == pb.WRONG_TARGET
    assert c.setup(FIRE, {f"a{U}": []}, request_id=request_id).result
    assert c.setup(FIRE, {f"b{U}": []}, request_id=request_id).cause == pb.REQUEST_ID_REUSED
    assert c.setup(FIRE, {f"a{U}": []}, request_id=request_id).result


def test_refusals_are_remembered_even_when_the_reason_has_gone(world):
    """5.5: 'The same ID with the same content gives the recorded answer and changes nothing'"""
    home, fire = world.system("police.example"), world.system("fire.example")
    rule = fire.partner(home, provision={"mc_ids": [f"*{U}"], "max_users": 1})
    fire.start()
    c, request_id = as_home(fire, home), new_id()
    two = {f"a{U}": [], f"b{U}": []}
    assert c.setup(FIRE, two, request_id=request_id).cause == pb.USER_QUOTA_EXCEEDED
    rule["provision"]["max_users"] = 5
    fire.reload()
    assert c.setup(FIRE, two, request_id=request_id).cause == pb.USER_QUOTA_EXCEEDED and not fire.users()
    assert c.setup(FIRE, two).result


def test_two_homes_may_choose_the_same_request_id(world):
    """5.5: 'keeps (home MC system ID, request_id)'"""
    home, rail, fire = (world.system(n) for n in ("police.example", "rail.example", "fire.example"))
    for s in (home, rail):
        fire.partner(s)
    fire.start()
    request_id = new_id()
    assert as_home(fire, home).setup(FIRE, {f"a{U}": []}, request_id=request_id).result
    assert fire.client(rail.leaf, system="rail.example").setup(FIRE, {"a@rail.example": []}, request_id=request_id).result
    assert len(fire.users()) == 2


def test_the_same_id_twice_in_one_burst(pair):
    """Both before either is answered: one setup, two equal answers; other content is still refused."""
    _, fire, c = pair
    request_id = new_id()
    same = request(FIRE, {f"a{U}": [(1, f"sip:a{U}")]}, request_id=request_id)
    other = request(FIRE, {f"b{U}": []}, request_id=request_id)
    for message in (same, same, other, same):
        c.send(message)
    answers = [c.response() for _ in range(4)]
    assert sorted((a.result, a.cause) for a in answers) == [(False, pb.REQUEST_ID_REUSED)] + [(True, pb.NO_CAUSE)] * 3
    assert {m: u["revision"] for (_, m), u in fire.users().items()} == {f"a{U}": 1}


def test_an_id_is_free_again_only_when_given_up_in_the_same_request(pair):
    """5.3: 'unless that user belongs to the same home system and gives it up in the same request'"""
    _, fire, c = pair
    x, y = (1, f"sip:x{U}"), (1, f"sip:y{U}")
    assert c.setup(FIRE, {f"a{U}": [x]}).result
    assert c.setup(FIRE, {f"b{U}": [x]}).cause == pb.MC_SERVICE_ID_IN_USE
    # a is named, but keeps what it has, since nothing is given for it
    assert c.setup(FIRE, {f"b{U}": [x], f"a{U}": []}).cause == pb.MC_SERVICE_ID_IN_USE
    assert c.setup(FIRE, {f"b{U}": [x], f"a{U}": [y]}).result
    # a chain of four, each takes its neighbour's
    ids = [(1, f"sip:c{i}{U}") for i in range(4)]
    assert c.setup(FIRE, {f"c{i}{U}": [ids[i]] for i in range(4)}).result
    assert c.setup(FIRE, {f"c{i}{U}": [ids[(i + 1) % 4]] for i in range(4)}).result
    # the service of an MC service ID may change, and the same URI may be for two
    assert c.setup(FIRE, {f"c0{U}": [(2, ids[1][1]), (3, ids[1][1])]}).result
    assert c.setup(FIRE, {f"a{U}": [(2, ids[1][1])]}).cause == pb.MC_SERVICE_ID_IN_USE
    store = IdmStore(fire.store)
    store.check()
    store.close()


def test_many_want_the_same_identity_at_once(pair):
    """'An MC service ID belongs to at most one user in the partner's whole store', whoever comes at the same time."""
    home, fire, _ = pair
    won: dict[int, int] = {}

    def race(n: int) -> None:
        c = as_home(fire, home)
        messages = [request(FIRE, {f"u{n}-{i}{U}": [(1, f"sip:n{i}{U}")], f"v{n}-{i}{U}": []}) for i in range(100)]
        for m in messages:
            c.send(m)
        answers = [c.response() for _ in messages]
        assert {a.cause for a in answers} <= {pb.NO_CAUSE, pb.MC_SERVICE_ID_IN_USE}
        won[n] = sum(a.result for a in answers)

    threads = [threading.Thread(target=race, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sum(won.values()) == 100, won
    assert len(fire.users()) == 200  # the losers' other users are not there: all or nothing
    store = IdmStore(fire.store)
    store.check()
    store.close()
