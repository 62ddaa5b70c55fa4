"""The partner ACMS: authorising the home system, and what setup does and does not do to the store."""

import signal

from acx_peer import Ended, new_id, now_ms, pb, request
from systems import wait_for


def as_home(partner, home):
    """A connection that speaks as the home ACMS."""
    return partner.client(home.leaf, system=home.name)


def test_default_deny(world):
    home, fire = world.system("police.example"), world.system("fire.example")
    fire.partner(home, provision=None)
    fire.start()
    answer = as_home(fire, home).setup(["fire.example"], {"a@police.example": []})
    assert answer.cause == pb.HOME_SYSTEM_NOT_AUTHORISED and not answer.result


def test_namespaces(federation):
    client = as_home(federation.fire, federation.home)
    answer = client.setup(["fire.example"], {
        "ok@police.example": [(1, "sip:ok@police.example")], "bad@rail.example": [],
        "ok2@police.example": [(1, "sip:ok@sub.police.example"), (2, "tel:+49305"), (3, "tel:+4940")]})
    assert answer.cause == pb.OUTSIDE_NAMESPACE and answer.origin == pb.PARTNER_ACMS
    assert {(c.mc_id, c.mc_service_id) for c in answer.identity_causes} == {
        ("bad@rail.example", ""), ("ok2@police.example", "sip:ok@sub.police.example"),
        ("ok2@police.example", "tel:+4940")}
    assert ("police.example", "ok@police.example") not in federation.fire.users()  # all or nothing


def test_wrong_target_and_never_forwarded(world):
    """'A request that came from a partner is never forwarded.'"""
    home, fire, rail = (world.system(n) for n in ("police.example", "fire.example", "rail.example"))
    fire.partner(home, address=False)
    fire.partner(rail)
    rail.partner(fire, address=False, provision={"mc_ids": ["*"], "mc_service_id_domains": ["police.example"]})
    rail.start()
    fire.start()
    fire.wait_log("partner rail.example: up")
    client = as_home(fire, home)
    for targets in (["rail.example"], ["fire.example", "rail.example"], ["fire.example", "fire.example"]):
        answer = client.setup(targets, {"a@police.example": []})
        assert answer.cause == pb.WRONG_TARGET and answer.mc_system_id == "fire.example"
    assert rail.users() == {} and fire.users() == {}


def test_never_anothers_record(world, tmp_path):
    """'never a local user or a third system's record overwritten', all or nothing, and whose it is is not told."""
    home, rail, fire = (world.system(n) for n in ("police.example", "rail.example", "fire.example"))
    shared = {"mc_ids": ["*@police.example"], "mc_service_id_domains": ["shared.example", "police.example"]}
    fire.partner(home, provision=shared)
    fire.partner(rail, provision={"mc_ids": ["*@rail.example"], "mc_service_id_domains": ["*.shared.example"]})
    local = tmp_path / "local.csv"
    local.write_text("mc_id,mcptt\nlou@fire.example,sip:chief@shared.example\n")
    fire.start()
    imported = fire.run("users", "import", str(local))
    assert imported.returncode == 0, imported.stderr
    third = fire.client(rail.leaf, system="rail.example")
    assert third.setup(["fire.example"], {"r@rail.example": [(1, "sip:r@x.shared.example")]}).result
    client = as_home(fire, home)
    before = fire.users()
    answer = client.setup(["fire.example"], {
        "new@police.example": [], "p@police.example": [(1, "sip:CHIEF@shared.example"), (2, "SIP:chief@SHARED.example")]})
    assert answer.cause == pb.MC_SERVICE_ID_IN_USE and "fire.example" not in answer.detail
    assert [(c.mc_id, c.mc_service_id, c.cause) for c in answer.identity_causes] == [
        ("p@police.example", "sip:chief@shared.example", pb.MC_SERVICE_ID_IN_USE)]
    assert fire.users() == before
    # the same MC ID of two home systems is two users
    fire.config["partners"][1]["provision"]["mc_ids"] = ["x@police.example"]
    fire.reload()
    assert third.setup(["fire.example"], {"x@police.example": []}).result
    assert client.setup(["fire.example"], {"x@police.example": []}).result
    assert {h for h, m in fire.users() if m == "x@police.example"} == {"police.example", "rail.example"}


def test_quota(world):
    home, fire = world.system("police.example"), world.system("fire.example")
    fire.partner(home, provision={"mc_ids": ["*"], "max_users": 2})
    fire.start()
    client = as_home(fire, home)
    assert client.setup(["fire.example"], {"a": [], "b": []}).result
    answer = client.setup(["fire.example"], {"b": [], "c": []})
    assert answer.cause == pb.USER_QUOTA_EXCEEDED and len(fire.users()) == 2
    assert client.setup(["fire.example"], {"a": []}).result


def test_true_survives_kill_9_and_the_request_is_known_after(world):
    """'Acknowledged means durable', and the durable record of a request's ID."""
    home, fire = world.system("police.example"), world.system("fire.example")
    fire.partner(home)
    fire.start()
    request_id = new_id()
    users = {"k@police.example": [(1, "sip:k@police.example")]}
    assert as_home(fire, home).setup(["fire.example"], users, request_id=request_id).result
    fire.stop(signal.SIGKILL)
    fire.start()
    assert list(fire.users()) == [("police.example", "k@police.example")]
    client = as_home(fire, home)
    assert client.setup(["fire.example"], users, request_id=request_id).result
    assert client.setup(["fire.example"], {"l@police.example": []}, request_id=request_id).cause == pb.REQUEST_ID_REUSED


def test_a_refusal_is_repeated_too(federation):
    client = as_home(federation.fire, federation.home)
    request_id, users = new_id(), {"z@elsewhere.example": []}
    first = client.setup(["fire.example"], users, request_id=request_id)
    again = client.setup(["fire.example"], users, request_id=request_id)
    assert first.cause == again.cause == pb.OUTSIDE_NAMESPACE
    assert list(first.identity_causes) == list(again.identity_causes)


def test_pipelined_requests_are_all_answered_and_all_stored(federation):
    client = as_home(federation.fire, federation.home)
    messages = [request(["fire.example"], {f"pipe{i}@police.example": [(1, f"sip:pipe{i}@police.example")]},
                        expires=now_ms(3600))
                for i in range(200)]
    client.send_raw(b"".join(len(p).to_bytes(4, "big") + p for p in (m.SerializeToString() for m in messages)))
    answers = {client.response().request_id for _ in messages}
    assert answers == {m.mc_service_user_setup_request.request_id for m in messages}
    assert sum(m.startswith("pipe") for _, m in federation.fire.users()) == 200


def test_what_is_submitted_before_sigterm_is_answered(world):
    home, fire = world.system("police.example"), world.system("fire.example")
    fire.partner(home)
    fire.start()
    client = as_home(fire, home)
    for i in range(50):
        client.send(request(["fire.example"], {f"t{i}@police.example": []}))
    wait_for(lambda: "TRUE" in fire.log(), "the first is taken")
    fire.send_signal(signal.SIGTERM)
    answered, closed = 0, False
    while not closed:
        message = client.receive()
        closed_now = message.WhichOneof("body") == "close"
        answered += not closed_now
        if closed_now:
            assert message.close.cause == pb.GOING_AWAY
            break
    try:
        while True:
            assert client.response().result
            answered += 1
    except (Ended, OSError):
        pass
    fire.process.wait(20)
    assert fire.process.returncode == 0
    assert len(fire.users()) == answered
