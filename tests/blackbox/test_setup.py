"""Setting users up: one administrator's request, two partners (issue: 'What a user can do at the end')."""

import json
import uuid

from acx_peer import new_id, pb
from systems import acmc

ALICE = [(1, "sip:alice.mcptt@police.example"), (2, "sip:alice.video@police.example"),
         (3, "sip:alice.data@police.example")]
BOTH = ["fire.example", "rail.example"]


def test_both_partners_set_up_and_the_store_has_it(federation):
    home = federation.home
    with_admin = home.client(home.admin)
    answers = with_admin.setup_all(BOTH, {"alice@police.example": ALICE},
                                   home_acmc_id="sip:control-room@police.example")
    for name, partner in (("fire.example", federation.fire), ("rail.example", federation.rail)):
        answer = answers[name]
        assert answer.result and answer.cause == pb.NO_CAUSE and answer.origin == pb.PARTNER_ACMS
        assert answer.revisions == {"alice@police.example": 1}
        user = partner.users()["police.example", "alice@police.example"]
        assert user["revision"] == 1
        assert [i["mc_service_id"] for i in user["mc_service_ids"]] == [uri for _, uri in ALICE]
    with_admin.close()


def test_setting_up_again_is_idempotent_and_changed_service_ids_are_replaced(federation):
    client = federation.home.client(federation.home.admin)
    ids = [(1, "sip:ben.mcptt@police.example")]
    more = [(1, "sip:ben2.mcptt@police.example"), (3, "tel:+49301234")]

    def user():
        u = federation.fire.users()["police.example", "ben@police.example"]
        return u["revision"], [i["mc_service_id"] for i in u["mc_service_ids"]]

    for users, expected in (
            ({"ben@police.example": ids}, (1, ["sip:ben.mcptt@police.example"])),
            ({"ben@police.example": ids}, (1, ["sip:ben.mcptt@police.example"])),
            ({"ben@police.example": []}, (1, ["sip:ben.mcptt@police.example"])),  # not provided: kept (5.3)
            ({"ben@police.example": more}, (2, ["sip:ben2.mcptt@police.example", "tel:+49301234"]))):
        assert client.setup(["fire.example"], users).result
        assert user() == expected
    # what was given up may be another user's now
    assert client.setup(["fire.example"], {"benno@police.example": ids}).result


def test_two_users_swap_service_ids_in_one_request(federation):
    client = federation.home.client(federation.home.admin)
    a, b = (1, "sip:swap.a@police.example"), (1, "sip:swap.b@police.example")
    assert client.setup(["fire.example"], {"swapa@police.example": [a], "swapb@police.example": [b]}).result
    assert client.setup(["fire.example"], {"swapa@police.example": [b], "swapb@police.example": [a]}).result
    shown = federation.fire.run("users", "show", "--json", "--mc-service-id", "sip:swap.a@police.example")
    assert json.loads(shown.stdout)["users"][0]["mc_id"] == "swapb@police.example"


def test_same_request_id_same_answer_and_nothing_changes(federation):
    """'Repeating a request with the same ID gives the same answer and changes nothing; the same ID with another
    body is refused.'"""
    client = federation.home.client(federation.home.admin)
    request_id = new_id()
    first = {"carl@police.example": [(1, "sip:Carl@police.example"), (2, "sip:carl.v@police.example")],
             "cora@police.example": []}
    spelled_otherwise = {"cora@police.example": [],
                         "carl@police.example": [(2, "SIP:carl.v@POLICE.example"), (1, "sip:%43arl@police.example")]}
    assert client.setup(["fire.example"], first, request_id=request_id).result
    # meanwhile somebody changes carl; the repetition must not bring the old state back
    assert client.setup(["fire.example"], {"carl@police.example": [(1, "sip:carl.new@police.example")]}).result
    again = client.setup(["fire.example"], spelled_otherwise, request_id=request_id)
    assert again.result and federation.fire.users()["police.example", "carl@police.example"]["revision"] == 2
    other = client.setup(["fire.example"], {"carl@police.example": []}, request_id=request_id)
    assert not other.result and other.cause == pb.REQUEST_ID_REUSED


def test_acmc_arguments_csv_json_stdin(federation, tmp_path):
    home = federation.home
    config = home.acmc_config(home.admin)
    csv = tmp_path / "users.csv"
    csv.write_text("\ufeffmc_id,mcdata,mcptt\r\ndora@police.example,,sip:dora@police.example\r\n"
                   "\"d,d@police.example\",sip:dd1@police.example sip:dd2@police.example,\r\n")
    as_json = {"users": [{"mc_id": "dave@police.example",
                          "mc_service_ids": [{"service": "mcvideo", "mc_service_id": "sip:dave@police.example"}]}]}
    for words, stdin in (
            (["dirk@police.example,mcptt=sip:dirk@police.example"], ""), (["--file", csv], ""),
            (["--file", "-"], json.dumps(as_json)), (["-f", "-", "--format", "json"], json.dumps(as_json["users"]))):
        result = acmc(config, "--to", "fire.example", *words, stdin=stdin)
        assert result.returncode == 0, result.stderr
        assert "1 of 1 answers TRUE" in result.stdout
    users = federation.fire.users()
    assert [i["mc_service_id"] for i in users["police.example", "d,d@police.example"]["mc_service_ids"]] == [
        "sip:dd1@police.example", "sip:dd2@police.example"]
    assert {"dirk@police.example", "dora@police.example", "dave@police.example"} <= {m for _, m in users}


def test_acmc_json_output(federation):
    config = federation.home.acmc_config(federation.home.admin)
    request_id = str(uuid.uuid4())
    result = acmc(config, "--json", "--request-id", request_id, "--to", "fire.example,rail.example",
                  "emil@police.example")
    out = json.loads(result.stdout)
    assert result.returncode == out["exit_code"] == 0 and out["failure"] is None
    assert {(r["mc_system_id"], r["result"], r["request_id"], r["cause_name"], r["origin"])
            for r in out["responses"]} == {(p, True, request_id, "NO_CAUSE", "partner") for p in BOTH}


def test_acmc_reports_every_mistake_before_sending(federation, tmp_path):
    """'A file's mistakes are all reported, with line and reason, before anything is sent.'"""
    csv = tmp_path / "bad.csv"
    csv.write_text("mc_id,mcptt\nfred@police.example,sip:fred@police.example\nfred@police.example,\n"
                   "fritz@police.example,http://x\n\nfrida@police.example,sip:fred@police.example\n,\nf1,2,3\n")
    before = federation.home.log()
    result = acmc(federation.home.acmc_config(federation.home.admin), "--to", "fire.example", "-f", csv)
    assert result.returncode == 2 and result.stdout == ""
    for line, reason in ((3, "this MC ID is in line 2 already"), (4, "must be a sip:, sips: or tel: URI"),
                         (6, "this MC service ID is in line 2 already"), (7, "the MC ID is missing"),
                         (8, "3 columns, where the header line has 2")):
        assert any(f"{csv}:{line}:" in out and reason in out for out in result.stderr.splitlines()), result.stderr
    assert federation.home.log() == before


def test_acmc_splits_what_one_request_does_not_take(federation, tmp_path):
    """PROTOCOL.md 5.5: 'A command for more users than one request takes is split by the client.'"""
    csv = tmp_path / "many.csv"
    csv.write_text("mc_id,mcptt\n" + "".join(
        f"many{i}@police.example,sip:many{i}.mcptt@police.example\n" for i in range(2500)))
    config = federation.home.acmc_config(federation.home.admin)
    result = acmc(config, "--json", "--to", "fire.example", "-f", csv)
    out = json.loads(result.stdout)
    assert result.returncode == 0 and len(out["responses"]) > 2
    assert len(federation.fire.users()) >= 2500
    repeated = acmc(config, "--json", "--request-id", out["responses"][0]["request_id"], "--to", "fire.example", "-f", csv)
    assert repeated.returncode == 0
    assert {u["revision"] for (_, m), u in federation.fire.users().items() if m.startswith("many")} == {1}


def test_acmc_exit_codes(federation):
    home = federation.home
    config = home.acmc_config(home.admin)
    assert acmc(config, "--to", "nobody.example", "gina@police.example").returncode == 1
    assert acmc(config, "--to", "fire.example", "gina@elsewhere.example").returncode == 3
    assert acmc(config, "gina@police.example").returncode == 2
    assert acmc(config, "--to", "FIRE.example", "gina@police.example").returncode == 2
    assert acmc(config, "--to", "fire.example,fire.example", "gina@police.example").returncode == 2
    assert acmc(config, "--to", "fire.example", "--key", config, "gina@police.example").returncode == 2
    # a connection that the server ends: the reason that it gave is shown
    other = federation.fire.leaf
    closed = acmc(config, "--certificate", other.cert_file, "--key", other.key_file, "--to", "fire.example",
                  "gina@police.example")
    assert closed.returncode == 4 and "MC_SYSTEM_ID_MISMATCH" in closed.stderr and "--request-id" in closed.stderr
    unreachable = acmc(config, "--server", "localhost:1", "--to", "fire.example", "gina@police.example")
    assert "--request-id" not in unreachable.stderr  # nothing was sent, no outcome is in doubt
    assert unreachable.returncode == 4 and "localhost port 1: Connection refused" in unreachable.stderr
