"""A migrated user's whole life at the partner: PROTOCOL.md 5.3, 5.6, 5.7, 10 and 11, both ends real."""

import glob
import hashlib
import struct

import pytest

import receipts
from acx_peer import new_id, now_ms, pb, receipt_for, request
from idm_store_reader import APPROVE, EXPIRE, HOLD, REJECT, IdmStore
from systems import SANITIZED, soon, wait_for
from test_durable import answered, kill, one
from test_partner import as_home

HOME, FIRE = "police.example", "fire.example"
TO = [FIRE]
U = "@police.example"


def pair(world, start=True, **provision):
    """Home with an ACMC, and a partner with one that approves."""
    home, fire = world.system(HOME), world.system(FIRE)
    home.admin, fire.duty = home.acmc(), fire.acmc("duty-officer", partners=(), approves=[HOME])
    home.partner(fire, provision=None)
    fire.rule = fire.partner(home, address=False)["provision"]
    fire.rule.update(provision)
    if start:
        fire.start()
        home.start()
        home.wait_log("partner fire.example: up")
    return home, fire


@pytest.fixture(name="two")
def running_pair(world):
    return pair(world)


def ids(user) -> list:
    return [(i["mc_service_id"]) for i in user["mc_service_ids"]]


def revisions(answer) -> dict:
    return {r.mc_id: r.revision for r in answer.revision}


def stored(system) -> dict:
    """Everything in its store that is not housekeeping."""
    store = IdmStore(system.store)
    content = store.content()
    store.close()
    return content


def believed(home) -> dict:
    """The revisions; a record that has ended only notes that the user is gone."""
    store, now = IdmStore(home.store), now_ms()
    found = {mc_id: u["revision"] for (_, mc_id), u in store.believed().items() if u["validity"][1] not in range(1, now + 1)}
    store.close()
    return found


def check_both(*systems) -> None:
    for system in systems:
        store = IdmStore(system.store)
        store.check()
        store.close()


def verified(client, fire, answer, asked, after: dict, **more) -> receipts.Receipt:
    """The receipt that home has, judged by itself, and by what was asked."""
    kept = client.delivery(answer.request_id, FIRE).response
    receipt = receipts.verify(kept.receipt, [fire.ca.certificate], "DNS:acms.fire.example")
    expected = receipt_for(asked.mc_service_user_setup_request, FIRE, HOME, after, **more)
    expected.done_ms = answer.done
    assert receipt == expected and abs(receipt.done_ms - now_ms()) < 60000
    assert kept.done == answer.done and not answer.receipt and not answer.receipt_root and not kept.receipt_root
    return receipt


# --- update, remove ---


def test_update_is_guarded_by_the_revision(two):
    """5.3: 'with the expected revision (REVISION_MISMATCH; the response's revision list then gives the present ones)'"""
    home, fire = two
    client = home.client(home.admin)
    a, b, x = f"a{U}", f"b{U}", (1, f"sip:x{U}")
    assert revisions(client.setup(TO, {a: [x], b: []})) == {a: 1, b: 1}
    asked = request(TO, {a: [(2, f"sip:y{U}")]}, operation=pb.UPDATE, expected={a: 1})
    answer = client.ask(asked)
    assert answer.result and revisions(answer) == {a: 2}
    verified(client, fire, answer, asked, {a: 2})
    late = client.update(TO, {a: [x], b: [(3, f"sip:b{U}")]}, {a: 1, b: 1})
    assert late.cause == pb.REVISION_MISMATCH and revisions(late) == {a: 2}
    assert [(c.mc_id, c.cause) for c in late.identity_causes] == [(a, pb.REVISION_MISMATCH)]
    assert {m: (u["revision"], ids(u)) for (_, m), u in fire.users().items()} == {a: (2, [f"sip:y{U}"]), b: (1, [])}
    # asking for what is there already does no harm, whatever revision was expected
    same = client.update(TO, {a: [(2, f"sip:y{U}")]}, {a: 1})
    assert same.result and revisions(same) == {a: 2}
    assert revisions(client.update(TO, {a: []}, {a: 2})) == {a: 3}
    assert ids(fire.users()[HOME, a]) == []  # exactly those of the request, so none
    assert client.update(TO, {f"nobody{U}": []}, {f"nobody{U}": 1}).cause == pb.UNKNOWN_USER
    missing = client.update(TO, {a: [], b: []}, {a: 3})
    assert missing.cause == pb.MISSING_ELEMENT and [c.mc_id for c in missing.identity_causes] == [b]
    check_both(home, fire)


def test_remove(two):
    """5.3: 'One who is not there already is no error. With an expected revision that differs: REVISION_MISMATCH.'"""
    home, fire = two
    client = home.client(home.admin)
    a, b, x = f"a{U}", f"b{U}", (1, f"sip:x{U}")
    assert client.setup(TO, {a: [x], b: []}).result
    assert client.remove(TO, [a, b], expected={a: 7}).cause == pb.REVISION_MISMATCH and len(fire.users()) == 2
    asked = request(TO, {a: [], f"nobody{U}": []}, operation=pb.REMOVE, expected={a: 1})
    assert believed(home) == {a: 1, b: 1}
    answer = client.ask(asked)
    assert answer.result and not answer.revision
    assert believed(home) == {b: 1}
    verified(client, fire, answer, asked, {a: 0, f"nobody{U}": 0})
    assert client.remove(TO, [a]).result and [m for _, m in fire.users()] == [b]
    assert client.setup(TO, {b: [x]}).result  # free again
    assert client.setup(TO, {a: []}).revision[0].revision == 1  # somebody new
    assert believed(home) == {a: 1, b: 2}
    check_both(home, fire)


# --- validity ---


def test_validity(two):
    """5.3: 'Outside its validity a user is not vouched for'; 'When not_after has passed the server removes the record by
    itself, with an entry in the audit log; its MC service IDs are free then.'"""
    home, fire = two
    client = home.client(home.admin)
    a, x = f"a{U}", (1, f"sip:x{U}")
    window = (soon(1.5), soon(3))
    asked = request(TO, {a: [x]}, validity=window)
    answer = client.ask(asked)
    verified(client, fire, answer, asked, {a: 1})

    def seen() -> list:
        return [(u.mc_id, u.vouched) for u in client.users(FIRE).users]

    assert seen() == [(a, False)] or now_ms() >= window[0]
    assert client.setup(TO, {f"b{U}": [x]}).cause == pb.MC_SERVICE_ID_IN_USE
    wait_for(lambda: seen() == [(a, True)], "vouched for")
    assert window[0] <= now_ms() < window[1] + 1000
    wait_for(lambda: not seen(), "over")
    assert now_ms() >= window[1]
    wait_for(lambda: not fire.users(), "removed")
    assert client.setup(TO, {f"b{U}": [x]}).result
    store = IdmStore(fire.store)
    entries = [e for e in store.audit() if e[12] == EXPIRE]
    assert [(e[13], e[18], e[20]) for e in entries] == [(HOME, [a], 1)]
    store.close()
    assert list(believed(home)) == [f"b{U}"]
    for bad in ((0, now_ms(-1)), (now_ms(20), now_ms(10)), (now_ms(10), now_ms(10))):
        assert client.setup(TO, {a: []}, validity=bad).cause == pb.INVALID_VALIDITY
        assert as_home(fire, home).setup(TO, {a: []}, validity=bad).cause == pb.INVALID_VALIDITY
    check_both(home, fire)


def test_validity_changes_with_setup_and_update(two):
    home, fire = two
    client, a = home.client(home.admin), f"a{U}"

    def window() -> tuple:
        user, = client.users(FIRE).users
        return user.revision, user.validity.not_before, user.validity.not_after

    later = now_ms(1000)
    assert client.setup(TO, {a: []}).result and window() == (1, 0, 0)
    assert client.setup(TO, {a: []}, validity=(0, later)).result and window() == (2, 0, later)
    assert client.setup(TO, {a: []}).result and window() == (2, 0, later)  # left as it is
    assert client.update(TO, {a: []}, {a: 2}, validity=(later, 0)).result and window() == (3, later, 0)
    assert client.update(TO, {a: []}, {a: 3}).result and window() == (4, 0, 0)  # none if none are given
    check_both(home, fire)


# --- approval ---


MANUAL = {"setup": "manual", "update": "manual", "remove": "deny"}


def test_approve_and_reject(world):
    """5.6, 10"""
    home, fire = pair(world, approval=MANUAL)
    client, duty = home.client(home.admin), fire.client(fire.duty)
    assert not duty.pending(follow=True).entries
    follow = duty.tokens
    asked = request(TO, one("a"))
    client.send(asked)
    request_id = asked.mc_service_user_setup_request.request_id
    entry, = duty.page("pending_page", follow).entries  # at once
    pending = client.indication(pb.PENDING, request_id)
    assert entry.request.request_id == request_id and entry.mc_system_id == HOME and entry.users == 1
    assert entry.until == pending.until and pending.mc_system_id == FIRE and not fire.users()
    shown, = duty.pending(request_id=request_id).entries
    assert list(shown.request.mc_id_list) == [f"a{U}"] and len(shown.request.mc_service_id_list) == 1
    decided = duty.decide(HOME, request_id, True, reason="agreed by telephone")
    assert decided.cause == pb.NO_CAUSE and decided.response.result
    answer = client.response(request_id)
    assert answer.result and (answer.decided_by.acmc, answer.decided_by.reason) == ("duty-officer", "agreed by telephone")
    verified(client, fire, answer, asked, {f"a{U}": 1}, decided_by="duty-officer")
    again = duty.decide(HOME, request_id, False, reason="no")
    assert again.cause == pb.UNKNOWN_REQUEST and "approved by duty-officer" in again.detail
    assert client.delivery(request_id, FIRE).response.decided_by == answer.decided_by
    second = client.submit(TO, one("b")).request_id
    client.indication(pb.PENDING, second)
    assert duty.decide(HOME, second, False).cause == pb.MISSING_ELEMENT
    assert duty.decide(HOME, second, False, reason="unknown to us").response.cause == pb.REJECTED
    answer = client.response(second)
    assert answer.cause == pb.REJECTED and answer.decided_by.reason == "unknown to us" and not answer.receipt
    assert client.remove(TO, [f"a{U}"]).cause == pb.OPERATION_NOT_PERMITTED
    assert [m for _, m in fire.users()] == [f"a{U}"] and not duty.pending().entries
    store = IdmStore(fire.store)
    assert [e[12] for e in store.audit()][:4] == [HOLD, APPROVE, HOLD, REJECT]
    assert [e[24][:2] for e in store.audit() if e[12] in (APPROVE, REJECT)] == [
        ["duty-officer", "agreed by telephone"], ["duty-officer", "unknown to us"]]
    store.close()
    check_both(home, fire)


@pytest.mark.parametrize("approve", [True, False])
def test_a_decision_while_both_were_away_in_between(world, approve):
    """'The response ... is recorded as any other ...; if there is none, the home system gets it by repeating the request'"""
    home, fire = pair(world, approval=MANUAL)
    client = home.client(home.admin)
    request_id = client.submit(TO, one("a")).request_id
    until = client.indication(pb.PENDING, request_id).until
    kill(home)
    kill(fire)
    fire.start()
    duty = fire.client(fire.duty)
    entry, = duty.pending().entries
    assert entry.request.request_id == request_id and entry.until == until
    assert duty.decide(HOME, request_id, approve, reason="so be it").cause == pb.NO_CAUSE
    kill(fire)
    home.start()
    client = home.client(home.admin)
    assert client.delivery(request_id, FIRE, follow=True).state == pb.QUEUED
    fire.start()
    answer = client.response(request_id)
    assert answer.result == approve and answer.cause == (pb.NO_CAUSE if approve else pb.REJECTED)
    assert (answer.decided_by.acmc, answer.decided_by.reason) == ("duty-officer", "so be it")
    assert len(fire.users()) == approve
    check_both(home, fire)


def test_nobody_decides(world):
    """'Not decided in time: APPROVAL_TIMEOUT', also when the partner was away then"""
    home, fire = pair(world, approval=MANUAL, decide_within="2 s")
    client, duty = home.client(home.admin), fire.client(fire.duty)
    first = client.submit(TO, one("a")).request_id
    assert client.indication(pb.PENDING, first).until <= now_ms(2)
    assert client.response(first).cause == pb.APPROVAL_TIMEOUT
    late = duty.decide(HOME, first, True)
    assert late.cause == pb.UNKNOWN_REQUEST and "in time" in late.detail
    second = client.submit(TO, one("b")).request_id
    until = client.indication(pb.PENDING, second).until
    kill(fire)
    wait_for(lambda: now_ms() > until, "the time is over")
    fire.start()
    assert client.response(second).cause == pb.APPROVAL_TIMEOUT and not fire.users()
    check_both(home, fire)


def test_what_was_approved_is_judged_anew(world):
    """'Approved, the request is judged again from (d) on by the rules and the store as they are then'"""
    home, fire = pair(world, approval=MANUAL)
    client, duty, x = home.client(home.admin), fire.client(fire.duty), (1, f"sip:x{U}")
    both = [client.submit(TO, {f"{name}{U}": [x]}).request_id for name in "ab"]
    for request_id in both:
        client.indication(pb.PENDING, request_id)
        duty.decide(HOME, request_id, True)
    assert client.response(both[0]).result
    second = client.response(both[1])
    assert second.cause == pb.MC_SERVICE_ID_IN_USE and second.decided_by.acmc == "duty-officer"
    third = client.submit(TO, one("c")).request_id
    client.indication(pb.PENDING, third)
    fire.rule["mc_ids"] = ["only-this-one"]
    fire.reload()
    assert duty.decide(HOME, third, True).response.cause == pb.OUTSIDE_NAMESPACE
    assert client.response(third).cause == pb.OUTSIDE_NAMESPACE and [m for _, m in fire.users()] == [f"a{U}"]
    check_both(home, fire)


def test_who_decides(world):
    home, fire = pair(world, start=False, approval=MANUAL, max_pending=1)
    nobody = fire.acmc("nobody", partners=())
    elsewhere = fire.acmc("elsewhere", partners=(), approves=["rail.example"])
    fire.partner(world.system("rail.example"), address=False)
    fire.start()
    home.start()
    client = home.client(home.admin)
    request_id = client.submit(TO, one("a")).request_id
    client.indication(pb.PENDING, request_id)
    assert fire.client(nobody).pending().cause == fire.client(nobody).decide(HOME, request_id, True).cause \
        == pb.ACMC_NOT_AUTHORISED
    other = fire.client(elsewhere)
    assert other.pending().cause == pb.NO_CAUSE and not other.pending().entries
    assert other.decide(HOME, request_id, True).cause == pb.UNKNOWN_REQUEST
    assert other.pending(request_id=request_id).cause == pb.UNKNOWN_REQUEST
    # one waits, and that is as many as may: the other one comes again
    second = client.submit(TO, one("b")).request_id
    assert "TOO_MANY_PENDING" in client.indication(pb.DELAYED, second).detail
    duty = fire.client(fire.duty)
    assert duty.decide(HOME, request_id, True).response.result and client.response(request_id).result
    client.indication(pb.PENDING, second)
    assert duty.decide(HOME, second, True).response.result and client.response(second).result
    # what needs no decision waits for none
    assert as_home(fire, home).setup(TO, one("a"), request_id=request_id).result


# --- queries ---


def test_users_page_by_page_and_nobody_elses(world):
    home, fire = pair(world, start=False)
    rail = world.system("rail.example")
    fire.partner(rail, address=False)
    fire.start()
    home.start()
    home.wait_log("partner fire.example: up")
    client = home.client(home.admin)
    mine = {f"u{i:02}{U}": [(1, f"sip:u{i:02}{U}"), (3, f"sip:v{i:02}{U}")] for i in range(25)}
    request_id = client.setup(TO, mine).request_id
    theirs = fire.client(rail.leaf, system="rail.example")
    assert theirs.setup(TO, {"r@rail.example": [], "u07@rail.example": []}).result

    def walk(asker, **fields) -> list:
        found, after, fields["from"] = [], "", fields.pop("start", "")
        while True:
            page = asker.users(FIRE, max=7, after=after, **fields)
            assert page.cause == pb.NO_CAUSE and len(page.users) <= 7
            found += page.users
            if not page.more:
                return found
            after = page.users[-1].mc_id

    for fields in ({}, {"believed": True}):
        users = walk(client, **fields)
        assert [u.mc_id for u in users] == sorted(mine)
        assert {u.mc_id: [(e.service, e.mc_service_id) for e in u.mc_service_id_list] for u in users} == mine
        assert {(u.revision, u.vouched, u.by) for u in users} == {(1, True, request_id)}
        named = client.users(FIRE, mc_id_list=[f"u03{U}", f"u01{U}", "r@rail.example", "nobody"], **fields).users
        assert [u.mc_id for u in named] == [f"u01{U}", f"u03{U}"]
        assert [u.mc_id for u in walk(client, start="u05", to=f"u08{U}", **fields)] == [f"u0{i}{U}" for i in (5, 6, 7)]
        for most, more in ((24, True), (25, False), (26, False), (0, False)):  # 10: more, just if there are further ones
            page = client.users(FIRE, max=most, **fields)
            assert len(page.users) == (most or 25) - (most > 25) and page.more == more, most
        last = client.users(FIRE, after=f"u24{U}", **fields)
        assert last.cause == pb.NO_CAUSE and not last.users and not last.more
        assert client.users(FIRE, after=f"u05{U}", mc_id_list=[f"u05{U}", f"u06{U}"], **fields).users[0].mc_id == f"u06{U}"
    assert [u.mc_id for u in walk(theirs)] == ["r@rail.example", "u07@rail.example"]
    assert client.users("nobody.example").cause == pb.UNKNOWN_TARGET
    limited = home.acmc("limited", partners=["rail.example"])
    home.partner(rail, address=False)
    home.reload()
    assert home.client(limited).users(FIRE).cause == pb.TARGET_NOT_PERMITTED
    fire.stop()
    wait_for(lambda: client.users(FIRE).cause == pb.PARTNER_UNREACHABLE, "queries are not kept")
    assert len(walk(client, believed=True)) == 25


def digest_of(users) -> bytes:
    """PROTOCOL.md 10, from what a UsersQuery gives."""
    sha = hashlib.sha256()
    for u in sorted(users, key=lambda u: u.mc_id.encode()):
        mc_id = u.mc_id.encode()
        entries = sorted((e.service, e.mc_service_id.encode()) for e in u.mc_service_id_list)
        sha.update(struct.pack(">I", len(mc_id)) + mc_id + struct.pack(">I", len(entries)))
        for service, uri in entries:
            sha.update(struct.pack(">BI", service, len(uri)) + uri)
        sha.update(struct.pack(">QQ", u.validity.not_before, u.validity.not_after))
    return sha.digest()


def test_digests(two):
    home, fire = two
    client = home.client(home.admin)
    users = {f"d{i:03}{U}": [(3, f"sip:d{i}{U}"), (1, "tel:+4930" + str(i)), (1, f"sip:e{i}{U}")][:i % 4] for i in range(60)}
    assert client.setup(TO, users).result
    assert client.setup(TO, {f"\u00e4\u20ac{U}": []}, validity=(5, now_ms(5000))).result
    ranges = [("", "d010"), ("d010", "d0305"), ("d0305", "e"), ("e", "")]
    for believed in (False, True):
        every = client.users(FIRE, believed=believed).users
        assert len(every) == 61
        page = client.digests(FIRE, ranges, believed=believed)
        assert page.cause == pb.NO_CAUSE and len(page.digests) == len(ranges)
        for (low, high), digest in zip(ranges, page.digests):
            inside = [u for u in every if low.encode() <= u.mc_id.encode() and (not high or u.mc_id.encode() < high.encode())]
            assert digest.users == len(inside) and digest.digest == digest_of(inside), (low, high)
            cuts = [s.encode() for s in digest.splits]
            assert cuts == sorted(set(cuts)) and len(cuts) <= 15
            assert all(low.encode() < c and (not high or c < high.encode()) for c in cuts)
    empty, = client.digests(FIRE, [("x", "y")]).digests
    assert empty.users == 0 and empty.digest == hashlib.sha256().digest()
    whole = client.digests(FIRE, [("", "")]).digests[0].digest
    assert as_home(fire, home).update(TO, {f"d001{U}": []}, {f"d001{U}": 1}).result  # behind home's back
    assert client.digests(FIRE, [("", "")]).digests[0].digest != whole
    assert client.digests(FIRE, [("", "")], believed=True).digests[0].digest == whole


# --- dry run, best effort ---


def test_a_dry_run_changes_nothing_at_either_end(world):
    """5.7: 'home and partner go through all checks and answer as they would; nothing is stored, recorded, audited as a
    change, or held for approval (the detail says that it would be)'"""
    home, fire = pair(world, approval={"remove": "manual"})
    client, a = home.client(home.admin), f"a{U}"
    assert client.setup(TO, {a: [(1, f"sip:x{U}")]}).result
    before = stored(home), stored(fire)
    request_id = new_id()
    dry = client.setup(TO, one("b"), dry_run=True, request_id=request_id)
    assert dry.result and not dry.receipt
    assert revisions(dry) == {f"b{U}": 1}  # 6: what it would be
    assert revisions(client.setup(TO, {a: [(2, f"sip:y{U}")]}, dry_run=True)) == {a: 2}
    assert revisions(client.setup(TO, {a: []}, dry_run=True)) == {a: 1}
    assert revisions(client.update(TO, {a: []}, {a: 1}, dry_run=True)) == {a: 2}
    assert revisions(client.setup(TO, {f"c{U}": [], f"b{U}": [(1, f"sip:x{U}")]}, dry_run=True, best_effort=True)) == {f"c{U}": 1}
    assert client.setup(TO, {f"b{U}": [(1, f"sip:x{U}")]}, dry_run=True).cause == pb.MC_SERVICE_ID_IN_USE
    late = client.update(TO, {a: []}, {a: 4}, dry_run=True)
    assert late.cause == pb.REVISION_MISMATCH and revisions(late) == {a: 1}
    assert client.update(TO, {a: []}, {a: 1}, dry_run=True).result
    held = client.remove(TO, [a], dry_run=True)
    assert held.result and "approval" in held.detail
    assert not fire.client(fire.duty).pending().entries
    assert (stored(home), stored(fire)) == before
    assert client.setup(TO, one("b"), request_id=request_id).result  # 'The request ID is not used up.'


def test_best_effort(two):
    """5.7: 'users that nothing stands in the way of are done, the others named ...; Result is FALSE with PARTLY_DONE'"""
    home, fire = two
    client, x = home.client(home.admin), (1, f"sip:x{U}")
    a, b, c = (f"{n}{U}" for n in "abc")
    assert client.setup(TO, {a: [x]}).result
    asked = request(TO, {b: [x], c: [(1, f"sip:c{U}")]}, best_effort=True)
    answer = client.ask(asked)
    assert not answer.result and answer.cause == pb.PARTLY_DONE and revisions(answer) == {c: 1}
    assert [(i.mc_id, i.cause) for i in answer.identity_causes] == [(b, pb.MC_SERVICE_ID_IN_USE)]
    verified(client, fire, answer, asked, {c: 1})
    assert {m for _, m in fire.users()} == {a, c}
    none = client.setup(TO, {b: [x]}, best_effort=True)
    assert none.cause == pb.MC_SERVICE_ID_IN_USE and not none.receipt
    every = client.setup(TO, {b: [], c: []}, best_effort=True)
    assert every.result and revisions(every) == {b: 1, c: 1}
    refused = client.setup(TO, {b: [], "x@else.example": []}, best_effort=True)
    assert refused.cause == pb.IDENTITY_NOT_PERMITTED and refused.origin == pb.HOME_ACMS  # as a whole
    partner = as_home(fire, home).setup(TO, {b: [], "x@else.example": []}, best_effort=True)
    assert partner.cause == pb.PARTLY_DONE
    assert [(i.mc_id, i.cause) for i in partner.identity_causes] == [("x@else.example", pb.OUTSIDE_NAMESPACE)]
    update = client.update(TO, {a: [], c: []}, {a: 9, c: 1}, best_effort=True)
    assert update.cause == pb.PARTLY_DONE and [i.cause for i in update.identity_causes] == [pb.REVISION_MISMATCH]
    assert set(believed(home)) == {a, b, c}
    remove = client.remove(TO, [a, b, c], expected={a: 9, c: 2}, best_effort=True)
    assert remove.cause == pb.PARTLY_DONE and [i.mc_id for i in remove.identity_causes] == [a]
    assert set(believed(home)) == {a} == {m for _, m in fire.users()}
    check_both(home, fire)


# --- clocks ---


def test_expires_at_the_partner(two):
    """5: 'REQUEST_EXPIRED if left out, past, or more than 31 days ahead, by its clock; the detail gives both'"""
    home, fire = two
    client = as_home(fire, home)
    for expires in (now_ms(-1), now_ms(31 * 86400 + 60)):
        answer = client.setup(TO, one("a"), expires=expires)
        assert answer.cause == pb.REQUEST_EXPIRED and answer.detail.count("T") >= 2, answer.detail
    client.version = 1  # leaves it out
    assert client.setup(TO, one("a")).cause == pb.REQUEST_EXPIRED
    client.version, request_id, expires = 2, new_id(), soon(1)
    assert client.setup(TO, one("a"), request_id=request_id, expires=expires).result
    wait_for(lambda: now_ms() > expires, "its time")
    again = client.setup(TO, one("a"), request_id=request_id, expires=expires)
    assert again.result and len(fire.users()) == 1  # what was done in time keeps its answer


LIBFAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)  # Debian's package libfaketime


@pytest.mark.skipif(not LIBFAKETIME, reason="libfaketime is not installed")
@pytest.mark.skipif(SANITIZED, reason="libfaketime and the sanitizers' runtimes do not go together")
@pytest.mark.parametrize("offset, deadline, cause", [
    ("+2h", "1 h", pb.REQUEST_EXPIRED), ("+8d", "7 days", pb.REQUEST_EXPIRED), ("-3d", "30 days", pb.REQUEST_EXPIRED),
    ("+3m", "7 days", pb.NO_CAUSE), ("-3m", "1 h", pb.NO_CAUSE),
    ("+2h", "7 days", pb.PARTNER_PROTOCOL_ERROR), ("-2h", "1 h", pb.PARTNER_PROTOCOL_ERROR)])
def test_a_partner_with_a_wrong_clock(world, offset, deadline, cause):
    """'look at both clocks': the administrator is told, at once"""
    home, fire = pair(world, start=False)
    for system in (home, fire):  # certificates hold by either clock
        system.leaf = system.ca.issue("acms", [f"DNS:acms.{system.name}", "DNS:localhost"], start=-50)
    home.config["limits"]["request_deadline"] = deadline
    # not the program faketime: it would be in the way of signals
    fire.wrapper = ["env", f"LD_PRELOAD={LIBFAKETIME}", f"FAKETIME={offset}", "FAKETIME_DONT_FAKE_MONOTONIC=1"]
    fire.start()
    home.start()
    home.wait_log("partner fire.example: up")
    answer = home.client(home.admin, timeout=60).setup(TO, one("a"))
    assert answer.cause == cause, answer.detail
    if cause == pb.REQUEST_EXPIRED:
        assert answer.origin == pb.PARTNER_ACMS and answer.detail.count("T") >= 2, answer.detail
    if cause == pb.PARTNER_PROTOCOL_ERROR:
        assert answer.origin == pb.HOME_ACMS and "check both clocks" in answer.detail
    assert len(fire.users()) == (cause != pb.REQUEST_EXPIRED)
