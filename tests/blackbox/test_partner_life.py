"""The partner ACMS: a user's life after setup, requests that wait for a decision, and what a home system may look up."""

import hashlib

import pytest
import receipts
from acx_peer import new_id, now_ms, pb, receipt_for, request
from systems import soon, wait_for

FIRE, HOME = ["fire.example"], "police.example"


def name(user: str) -> str:
    return f"{user}@police.example"


def uri(user: str) -> str:
    return f"sip:{user}@police.example"


def user(label: str) -> dict:
    return {name(label): [(1, uri(label))]}


@pytest.fixture(scope="module")
def fire(tmp_path_factory):
    from conftest import World
    w = World(tmp_path_factory.mktemp("life"))
    home, rail, fire = (w.system(n) for n in (HOME, "rail.example", "fire.example"))
    fire.home, fire.rail = home, rail
    fire.partner(home, address=False)
    provision = {"mc_ids": ["*@rail.example"], "mc_service_id_domains": ["rail.example"],
                 "approval": {"setup": "manual", "remove": "deny"}, "decide_within": "1 h", "max_pending": 3}
    fire.partner(rail, address=False, provision=provision)
    fire.ops = fire.acmc("ops", approves=["rail.example"])
    fire.clerk = fire.acmc("clerk")
    fire.start()
    yield fire
    w.end()


def as_home_of(fire, home):
    return fire.client(home.leaf, system=HOME)


def as_home(fire):
    return fire.client(fire.home.leaf, system=HOME)


def as_rail(fire):
    return fire.client(fire.rail.leaf, system="rail.example")


def revisions(answer) -> dict:
    return {r.mc_id: r.revision for r in answer.revision}


def certified(fire, answer, asked, after: dict):
    """The receipt, with claims that are made here of request and response."""
    claims = receipt_for(asked.mc_service_user_setup_request, "fire.example", HOME, after)
    claims.done_ms = answer.done
    return receipts.verify_proof(answer.receipt, receipts.encode_claims(claims), receipts.encode_content(claims),
                                 [fire.ca.certificate], "DNS:acms.fire.example", answer.receipt_root)


def same(a, b) -> bool:
    """But for the signature, which is another each time, what is signed with it, and the word that it is a repetition."""
    for x in (a, b):
        x.ClearField("receipt")
        x.ClearField("receipt_root")
        x.ClearField("detail")
    return a == b


def test_receipts_of_what_is_done_together(fire):
    """11: 'What a partner does at the same time it may sign together'; each is for its own claims."""
    client, asked = as_home(fire), [request(FIRE, user(f"t{i}")) for i in range(40)]
    for message in asked:
        client.send(message)
    roots = set()
    for message in asked:
        answer = client.response(message.mc_service_user_setup_request.request_id)
        roots.add(answer.receipt_root)
        after, = message.mc_service_user_setup_request.mc_id_list
        assert certified(fire, answer, message, {after: 1})
        with pytest.raises(receipts.BadReceipt):
            certified(fire, answer, message, {after: 2})
    assert len(roots) < len(asked)


def test_update_and_remove(fire):
    client = as_home(fire)
    first = client.setup(FIRE, user("u1") | user("u2"))
    assert first.result and revisions(first) == {name("u1"): 1, name("u2"): 1} and first.receipt
    changed = client.update(FIRE, {name("u1"): [(2, uri("video"))]}, {name("u1"): 1})
    assert changed.result and revisions(changed) == {name("u1"): 2}
    late = client.update(FIRE, {name("u1"): []}, {name("u1"): 1})
    assert late.cause == pb.REVISION_MISMATCH and revisions(late) == {name("u1"): 2} and not late.receipt
    again = client.update(FIRE, {name("u1"): [(2, uri("video"))]}, {name("u1"): 1})
    assert again.result and revisions(again) == {name("u1"): 2}
    unknown = client.update(FIRE, {name("u9"): []}, {name("u9"): 1})
    assert unknown.cause == pb.UNKNOWN_USER
    gone = client.remove(FIRE, [name("u1"), name("nobody")])
    assert gone.result and not gone.revision and gone.receipt
    assert (HOME, name("u1")) not in fire.users()
    assert client.setup(FIRE, {name("u3"): [(1, uri("video"))]}).result  # it is free again


def test_best_effort_and_dry_run(fire):
    client = as_home(fire)
    users = user("b1") | {"b2@rail.example": []}
    dry = client.setup(FIRE, users, dry_run=True, best_effort=True)
    assert dry.cause == pb.PARTLY_DONE and not dry.receipt
    assert (HOME, name("b1")) not in fire.users()
    answer = client.setup(FIRE, users, best_effort=True)
    assert answer.cause == pb.PARTLY_DONE and not answer.result and answer.receipt
    assert [(c.mc_id, c.cause) for c in answer.identity_causes] == [("b2@rail.example", pb.OUTSIDE_NAMESPACE)]
    assert revisions(answer) == {name("b1"): 1}
    assert (HOME, name("b1")) in fire.users()


def test_validity_ends(fire):
    client = as_home(fire)
    ends = soon(1.5)
    assert client.setup(FIRE, user("v1"), validity=(0, ends)).result
    page = client.users("fire.example", mc_id_list=[name("v1")])
    assert page.users[0].vouched and page.users[0].validity.not_after == ends
    early = client.setup(FIRE, user("v2"), validity=(now_ms(600), 0))
    assert early.result
    assert not client.users("fire.example", mc_id_list=[name("v2")]).users[0].vouched
    wait_for(lambda: (HOME, name("v1")) not in fire.users(), "it is removed")
    assert not client.users("fire.example", mc_id_list=[name("v1")]).users
    assert client.setup(FIRE, {name("v3"): [(1, uri("v1"))]}).result
    assert client.setup(FIRE, user("v4"), validity=(0, now_ms(-1))).cause == pb.INVALID_VALIDITY


def test_the_response_must_fit(world):
    """Whatever is done can be told: a request that would take a longer response than a frame is not done."""
    home, fire = world.system(HOME), world.system("fire.example")
    fire.partner(home, address=False)
    fire.config["limits"]["max_frame"] = "64 KiB"
    fire.start()
    client = as_home_of(fire, home)
    users = {f"{i:05}@police.example": [] for i in range(650)}
    assert client.setup(FIRE, users, validity=(now_ms(), now_ms(86400))).cause == pb.TOO_MANY_IDENTITIES
    assert fire.users() == {}
    fewer = dict(list(users.items())[:400])
    assert client.setup(FIRE, fewer, validity=(now_ms(), now_ms(86400))).result
    refused = client.update(FIRE, {u: [] for u in list(fewer)[:300]}, {u: 7 for u in list(fewer)[:300]})
    assert len(refused.identity_causes) == len(refused.revision) == 300


def test_expires(fire):
    client = as_home(fire)
    assert client.setup(FIRE, user("e1"), expires=now_ms(-1)).cause == pb.REQUEST_EXPIRED
    assert client.setup(FIRE, user("e1"), expires=now_ms(32 * 86400)).cause == pb.REQUEST_EXPIRED
    repeated = request(FIRE, user("e2"), expires=soon(1))
    assert client.ask(repeated).result
    wait_for(lambda: now_ms() > repeated.mc_service_user_setup_request.expires, "its deadline is past")
    again = client.ask(repeated)  # what was done in time keeps its answer
    assert again.result and again.receipt and revisions(again) == {name("e2"): 1}


def test_approved(fire):
    ops, rail = fire.client(fire.ops), as_rail(fire)
    assert not ops.pending(follow=True).entries
    token = ops.tokens
    asked = request(FIRE, {"a1@rail.example": [(1, "sip:a1@rail.example")]})
    body = asked.mc_service_user_setup_request
    rail.send(asked)
    pending = rail.indication(pb.PENDING, body.request_id)
    assert pending.mc_system_id == "fire.example" and abs(pending.until - now_ms(3600)) < 60000
    told = ops.page("pending_page", token)  # at once
    assert [(e.mc_system_id, e.request.request_id, e.users) for e in told.entries] == [("rail.example", body.request_id, 1)]
    rail.send(asked)
    assert rail.indication(pb.PENDING, body.request_id).until == pending.until
    shown = ops.pending(request_id=body.request_id)
    assert list(shown.entries[0].request.mc_id_list) == ["a1@rail.example"]
    assert shown.entries[0].request.mc_service_id_list[0].mc_service_id == "sip:a1@rail.example"
    assert ("rail.example", "a1@rail.example") not in fire.users()
    fire.stop()
    fire.start()  # over a restart
    ops, other = fire.client(fire.ops), as_rail(fire)
    assert len(ops.pending().entries) == 1
    result = ops.decide("rail.example", body.request_id, True, reason="fine")
    assert result.cause == pb.NO_CAUSE and result.response.result, result
    pushed = other.response(body.request_id)
    assert pushed.result and pushed.decided_by.acmc == "ops" and pushed.decided_by.reason == "fine" and pushed.receipt
    assert same(pushed, result.response)  # whose receipt is the home system's alone
    rail = as_rail(fire)
    assert same(rail.ask(asked), pushed)
    assert ("rail.example", "a1@rail.example") in fire.users()
    second = ops.decide("rail.example", body.request_id, False, reason="no")
    assert second.cause == pb.UNKNOWN_REQUEST and "approved by ops" in second.detail
    assert rail.remove(FIRE, ["a1@rail.example"]).cause == pb.OPERATION_NOT_PERMITTED


def test_rejected_and_who_may(fire):
    ops, clerk, rail = fire.client(fire.ops), fire.client(fire.clerk), as_rail(fire)
    asked = request(FIRE, {"r1@rail.example": []})
    id_ = asked.mc_service_user_setup_request.request_id
    rail.send(asked)
    rail.indication(pb.PENDING, id_)
    assert clerk.pending().cause == pb.ACMC_NOT_AUTHORISED
    assert clerk.decide("rail.example", id_, True).cause == pb.ACMC_NOT_AUTHORISED
    assert ops.pending(mc_system_id=HOME).cause == pb.ACMC_NOT_AUTHORISED
    assert len(ops.pending(mc_system_id="rail.example", follow=True).entries) == 1
    ops.pending(mc_system_id="rail.example", follow=True)  # the latest counts
    second = request(FIRE, {"r2@rail.example": []}, expires=soon(2))
    rail.send(second)
    assert ops.page("pending_page", ops.tokens).entries[0].users == 1
    assert ops.decide("rail.example", id_, False).cause == pb.MISSING_ELEMENT
    assert ops.decide(HOME, id_, True).cause == pb.UNKNOWN_REQUEST
    assert ops.decide("rail.example", new_id(), True).cause == pb.UNKNOWN_REQUEST
    assert ops.decide("rail.example", id_, False, reason="who is that?").cause == pb.NO_CAUSE
    assert not any(m.WhichOneof("body") == "pending_page" for m in ops.kept)
    answer = rail.response(id_)
    assert answer.cause == pb.REJECTED and answer.decided_by.reason == "who is that?" and not answer.receipt
    assert ops.pending(request_id=id_).cause == pb.UNKNOWN_REQUEST
    assert rail.response(second.mc_service_user_setup_request.request_id).cause == pb.APPROVAL_TIMEOUT


def hold(fire, system: str, id_: bytes, mc_id: str) -> None:
    """A request of that home system that waits for a decision."""
    home = as_rail(fire) if system == "rail.example" else as_home(fire)
    home.send(request(FIRE, {mc_id: []}, request_id=id_))
    home.indication(pb.PENDING, id_)
    home.close()


def waiting(ops, id_: bytes, **fields) -> dict:
    return {e.mc_system_id: e for e in ops.pending(request_id=id_, **fields).entries}


def test_an_id_of_two_home_systems(fire):
    """10: 'The home system is mandatory'; 'An ID that was ever ambiguous stays so'"""
    ops, id_ = fire.client(fire.ops), new_id()
    hold(fire, "rail.example", id_, "two@rail.example")
    alone = waiting(ops, id_)["rail.example"]
    assert not alone.also_of_others and list(alone.request.mc_id_list) == ["two@rail.example"]
    assert as_home(fire).setup(FIRE, user("two"), request_id=id_).result  # who knows the ID files one under it
    entry, = waiting(ops, id_).values()
    assert entry.also_of_others and list(entry.request.mc_id_list) == ["two@rail.example"]
    assert ops.decide("", id_, True).cause == pb.MISSING_ELEMENT
    assert ops.decide(HOME, id_, True).cause == pb.UNKNOWN_REQUEST  # nor may it decide for that one
    assert waiting(ops, id_)
    assert ops.decide("rail.example", id_, False, reason="twice").response.cause == pb.REJECTED


def test_a_reason_without_controls(fire):
    ops = fire.client(fire.ops)
    ops.send(pb.Message(decision=pb.Decision(token=1, mc_system_id="rail.example", request_id=new_id(), reason="a\x1b[2Jb")))
    assert ops.receive_close().cause == pb.MALFORMED_MESSAGE


def test_nobody_decides(fire):
    rail, ops = as_rail(fire), fire.client(fire.ops)
    asked = request(FIRE, {"t1@rail.example": []}, expires=soon(2))
    id_ = asked.mc_service_user_setup_request.request_id
    rail.send(asked)
    assert rail.indication(pb.PENDING, id_).until == asked.mc_service_user_setup_request.expires
    assert rail.response(id_).cause == pb.APPROVAL_TIMEOUT
    assert "in time" in ops.decide("rail.example", id_, True).detail


def test_too_many_wait_page_by_page(fire):
    rail, ops = as_rail(fire), fire.client(fire.ops)
    ids = []
    for i in range(3):
        asked = request(FIRE, {f"p{i}@rail.example": []})
        ids.append(asked.mc_service_user_setup_request.request_id)
        rail.send(asked)
        rail.indication(pb.PENDING, ids[-1])
    assert rail.setup(FIRE, {"p9@rail.example": []}).cause == pb.TOO_MANY_PENDING
    seen, after = [], {}
    while True:
        page = ops.pending(max=1, **after)
        seen += [e.request.request_id for e in page.entries]
        if not page.more:
            break
        after = {"after_mc_system_id": page.entries[-1].mc_system_id, "after_request_id": seen[-1]}
    assert seen == sorted(ids)
    for id_ in ids:
        ops.decide("rail.example", id_, False, reason="test")


def test_version_1_cannot_wait(fire):
    rail = fire.client(fire.rail.leaf, system="rail.example", version=1)
    answer = rail.setup(FIRE, {"old@rail.example": []})
    assert answer.cause == pb.OPERATION_NOT_PERMITTED and not answer.receipt
    home = fire.client(fire.home.leaf, system=HOME, version=1)
    good = home.setup(FIRE, user("old"))
    assert good.result and not good.receipt and not good.revision
    assert home.setup(FIRE, user("old2"), best_effort=True).cause == pb.UNSUPPORTED_ELEMENT


def digest_of(users) -> bytes:
    h = hashlib.sha256()
    for u in users:
        h.update(len(u.mc_id.encode()).to_bytes(4, "big") + u.mc_id.encode() + len(u.mc_service_id_list).to_bytes(4, "big"))
        for s in u.mc_service_id_list:
            h.update(bytes([s.service]) + len(s.mc_service_id).to_bytes(4, "big") + s.mc_service_id.encode())
        h.update(u.validity.not_before.to_bytes(8, "big") + u.validity.not_after.to_bytes(8, "big"))
    return h.digest()


def test_queries(fire):
    client, rail = as_home(fire), as_rail(fire)
    for part in range(3):
        assert client.setup(FIRE, {name(f"q{i:04}"): [(1, uri(f"q{i:04}"))] for i in range(part, 2400, 3)},
                            validity=(0, now_ms(86400))).result
    users, start = [], "q"
    while True:
        page = client.users("fire.example", **{"from": start, "to": "r"})
        assert page.cause == pb.NO_CAUSE and page.users
        users += page.users
        if not page.more:
            break
        start = users[-1].mc_id + "\x01"
    assert [u.mc_id for u in users] == [name(f"q{i:04}") for i in range(2400)]
    (whole,) = client.digests("fire.example", [("q", "r")]).digests
    assert whole.users == 2400 and whole.digest == digest_of(users) and len(whole.splits) == 15
    edges = ["q", *whole.splits, "r"]
    parts = client.digests("fire.example", list(zip(edges, edges[1:]))).digests
    assert sum(p.users for p in parts) == 2400 and max(p.users for p in parts) < 400
    at = 0
    for p in parts:
        assert p.digest == digest_of(users[at:at + p.users])
        at += p.users
    named = client.users("fire.example", mc_id_list=[name("q0007"), name("q0003"), name("none")])
    assert [u.mc_id for u in named.users] == [name("q0003"), name("q0007")] and not named.more
    assert not rail.users("fire.example", mc_id_list=[name("q0007")]).users  # nobody else's
    assert rail.digests("fire.example", [("", "")]).digests[0].users == len([k for k in fire.users() if k[0] == "rail.example"])
    assert client.users("rail.example").cause == pb.WRONG_TARGET
