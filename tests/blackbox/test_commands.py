"""acmc's commands as an administrator uses them, against real systems: what is shown, the JSON, the exit codes (acmc.1)."""

import csv
import io
import json
import os
import signal
import stat
import subprocess
import uuid

import pytest
import yaml

import pki
from acx_peer import FakePartner, hello
from systems import BUILD, WRAPPER, wait_for

HOME, FIRE, RAIL, SEA = "police.example", "fire.example", "rail.example", "sea.example"
UNKNOWN = "01900000-0000-7000-8000-00000000abcd"


def name(label: str) -> str:
    return f"{label}@{HOME}"


def word(label: str, uri: str = "") -> str:
    """A USER argument."""
    return f"{name(label)},mcptt=sip:{uri or label}@{HOME}"


class Desk:
    """A directory with an acmc.yaml."""

    def __init__(self, config):
        self.config = config

    def words(self, *words) -> list:
        return [*WRAPPER, BUILD / "acmc", words[0], "-c", self.config, *words[1:]]

    def run(self, *words, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess:
        result = subprocess.run(self.words(*words), capture_output=True, text=True, input=stdin, timeout=120)
        assert result.returncode == code, (words, result.returncode, result.stdout, result.stderr)
        return result

    def json(self, *words, code: int = 0) -> dict:
        out = json.loads(self.run(*words, "--json", code=code).stdout)
        assert out["exit_code"] == code
        return out

    def begin(self, *words) -> "Running":
        return Running(self, words)


class Running:
    """An acmc that has not ended yet; what it says is in files."""
    count = 0

    def __init__(self, desk: Desk, words):
        Running.count += 1
        self.files = [desk.config.with_name(f"running-{Running.count}.{kind}") for kind in ("out", "err")]
        with open(self.files[0], "wb") as out, open(self.files[1], "wb") as err:
            self.process = subprocess.Popen(desk.words(*words), stdout=out, stderr=err)

    @property
    def out(self) -> str:
        return self.files[0].read_text()

    @property
    def err(self) -> str:
        return self.files[1].read_text()

    def wait_out(self, text: str) -> None:
        wait_for(lambda: text in self.out, f"{text!r} in {self.files[0]}")

    def wait_err(self, text: str, seconds: float = 30) -> None:
        wait_for(lambda: text in self.err, f"{text!r} in {self.files[1]}", seconds)

    def end(self, code: int, number: int | None = None) -> None:
        if number:
            self.process.send_signal(number)
        assert self.process.wait(60) == code, (self.out, self.err)


class Place:
    """police.example is home; fire.example agrees at once, rail.example by hand (and denies to remove), sea.example is down."""

    def __init__(self, world):
        self.home, self.fire, self.rail, sea = (world.system(n) for n in (HOME, FIRE, RAIL, SEA))
        admin = self.home.acmc()
        self.clerk_leaf = self.home.acmc("clerk", partners=[FIRE])
        for partner in (self.fire, self.rail, sea):
            self.home.partner(partner, provision=None)
        self.home.config["limits"]["max_frame"] = "64 KiB"  # a page of users is an eighth of it
        self.fire.partner(self.home, address=False)
        ops = self.rail.acmc("ops", approves=[HOME])
        self.rail.partner(self.home, address=False, provision={
            "mc_ids": [f"*@{HOME}"], "mc_service_id_domains": [HOME],
            "approval": {"setup": "manual", "remove": "deny"}, "decide_within": "1 h"})
        for system in (self.fire, self.rail, self.home):
            system.start()
        for partner in (FIRE, RAIL):
            self.home.wait_log(f"partner {partner}: up")
        self.desk = Desk(self.home.acmc_config(admin))
        self.clerk = Desk(self.home.acmc_config(self.clerk_leaf))
        self.ops = Desk(self.rail.acmc_config(ops))

    def set_up(self, *labels: str, to: str = FIRE) -> str:
        """The request's ID."""
        return self.desk.json("setup", "--to", to, *map(word, labels))["request_id"]

    def held(self, label: str) -> dict | None:
        return self.fire.users().get((HOME, name(label)))

    def send_to_rail(self, *labels: str) -> str:
        """Where it waits for approval."""
        request = self.desk.run("setup", "--to", RAIL, "--no-wait", *map(word, labels)).stdout.strip()
        wait_for(lambda: request in self.ops.run("pending").stdout, "it waits")
        return request

    def behind_homes_back(self):
        """As the home system to fire.example, with its certificate."""
        return self.fire.client(self.home.leaf, system=HOME)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    from conftest import World
    w = World(tmp_path_factory.mktemp("commands"))
    yield Place(w)
    w.end()


def only(items: list):
    assert len(items) == 1, items
    return items[0]


# --- a request's life ---

def test_no_wait_status_wait(place):
    request = place.desk.run("setup", "--to", f"{FIRE},{RAIL}", "--no-wait", word("nora")).stdout
    assert request == str(uuid.UUID(request.strip())) + "\n"
    request = request.strip()
    wait_for(lambda: "TRUE" in (shown := place.desk.run("status", request, code=6).stdout)
             and "waits for approval until" in shown, "one answer of two")
    answers = {r["mc_system_id"]: r for r in place.desk.json("status", request, code=6)["responses"]}
    assert answers[FIRE]["result"] is True and answers[FIRE]["receipt"] is True and answers[FIRE]["answered"]
    assert answers[RAIL]["result"] is None and answers[RAIL]["state"] == "approval" and answers[RAIL]["until"]
    waiting = place.desk.begin("wait", request)
    waiting.wait_err(f"request {request}")
    place.ops.run("approve", "--reason", "exercise", request)
    waiting.end(0)
    assert "2 of 2 answers TRUE" in waiting.out and "approved by ops" in waiting.out and "exercise" in waiting.out
    decided = {r["mc_system_id"]: r["decided_by"] for r in place.desk.json("wait", request)["responses"]}
    assert decided[FIRE] is None and (decided[RAIL]["acmc"], decided[RAIL]["reason"]) == ("ops", "exercise")
    place.desk.run("status", request)


def test_no_wait_as_json(place):
    out = place.desk.json("setup", "--to", FIRE, "--no-wait", word("nick"))
    assert out["operation"] == "setup" and only(out["responses"])["state"] in ("accepted", "answered")
    assert place.desk.json("wait", out["request_id"])["responses"][0]["result"] is True


def test_wait_has_an_end(place):
    request = place.send_to_rail("wanda")
    result = place.desk.run("wait", request, "--timeout", "1s", code=6)
    assert f"acmc wait {request}" in result.stderr and "0 of 1 answers TRUE, 1 missing" in result.stdout
    place.ops.run("reject", "--reason", "no", request)


def test_ctrl_c_leaves_a_request_that_goes_on(place):
    waiting = place.desk.begin("setup", "--to", RAIL, word("carl"))
    waiting.wait_err("waits for approval")
    waiting.end(6, signal.SIGINT)
    assert "no answer" in waiting.out and "goes on" in waiting.err
    request = waiting.err.split("acmc wait ")[1].split()[0]
    place.ops.run("approve", request)
    assert only(place.desk.json("wait", request)["responses"])["result"] is True
    assert (HOME, name("carl")) in place.rail.users()


def test_home_is_killed_and_comes_back_while_acmc_waits(place):
    commands = [place.desk.begin("setup", "--to", RAIL, word("kim"))]
    commands[0].wait_err("waits for approval")
    request = commands[0].err.split("request ")[1].split(":")[0]
    commands.append(place.desk.begin("wait", request))
    commands[1].wait_err(f"request {request}")
    place.home.stop(signal.SIGKILL)
    for running in commands:
        running.wait_err("trying again")
    place.home.start()
    place.ops.run("approve", request)
    for running in commands:
        running.end(0)
        assert "1 of 1 answers TRUE" in running.out
    place.home.wait_log("partner fire.example: up")


def test_a_home_that_is_down(place, tmp_path):
    desk = Desk(tmp_path / "acmc.yaml")
    desk.config.write_text(place.desk.config.read_text().replace(f":{place.home.port}", ":1"))
    assert desk.json("remove", "--to", FIRE, name("dora"), code=4)["operation"] == "remove"
    for words in (("setup", "--to", FIRE, word("dora")), ("status", UNKNOWN), ("requests",), ("users", "--at", FIRE),
                  ("reconcile", "--with", FIRE), ("receipt", UNKNOWN), ("pending",), ("approve", UNKNOWN)):
        assert desk.json(*words, code=4)["failure"]
        assert desk.run(*words, code=4).stderr.startswith("acmc: ")


# --- lists of requests ---

def listed(place, *words) -> list[str]:
    return [r["request_id"] for r in place.desk.json("requests", *words)["requests"]]


def test_requests_and_what_they_are_narrowed_to(place):
    good = place.set_up("rita")
    bad = place.desk.json("setup", "--to", FIRE, f"rob@{HOME},mcptt=sip:rob@elsewhere.example", code=3)["request_id"]
    refused = place.desk.json("setup", "--to", FIRE, word("ron", "rita"), code=1)["request_id"]
    waits = place.send_to_rail("ruth")
    assert listed(place)[-3:] == [good, refused, waits] and bad not in listed(place)
    assert refused in listed(place, "--refused") and good not in listed(place, "--refused")
    assert waits in listed(place, "--unfinished") and good not in listed(place, "--unfinished")
    assert waits in listed(place, "--partner", RAIL) and refused not in listed(place, "--partner", RAIL)
    assert listed(place, "--since", "+1h") == [] and listed(place, "--until=-1h") == []
    assert listed(place, "--limit", "1") == [waits]
    assert place.desk.json("requests", "--limit", "1")["earlier"] == len(listed(place)) - 1
    both = place.desk.json("setup", "--to", f"{FIRE},{RAIL}", "--no-wait", word("rufus", "rita"))["request_id"]
    wait_for(lambda: place.desk.json("status", both, code=6)["responses"][0]["result"] is False, "one has refused")
    assert both in listed(place, "--refused", "--partner", FIRE) and both in listed(place, "--unfinished", "--partner", RAIL)
    assert both not in listed(place, "--refused", "--partner", RAIL)  # it is the other one that refused
    assert both not in listed(place, "--unfinished", "--partner", FIRE)
    place.ops.run("reject", "--reason", "list", both)
    assert {(r["part"], r["parts"]) for r in place.desk.json("requests", "--limit", "2")["requests"]} == {(1, 1)}
    text = place.desk.run("requests", "--limit", "3").stdout
    assert "earlier ones" in text and "MC_SERVICE_ID_IN_USE" in text and "waits for approval" in text
    place.ops.run("reject", "--reason", "list", waits)
    assert place.desk.run("requests", "--since", "+1h").stdout == "no requests\n"


def test_other_acmcs_requests_are_not_shown(place):
    mine = place.set_up("olga")
    assert mine not in [r["request_id"] for r in place.clerk.json("requests")["requests"]]
    for words in (("status", mine), ("wait", mine), ("receipt", mine), ("status", UNKNOWN), ("wait", UNKNOWN)):
        assert "UNKNOWN_REQUEST" in place.clerk.run(*words, code=1).stderr


# --- update, remove, and how ---

def test_update_needs_the_present_revision_and_says_which_it_is(place):
    place.set_up("uma")
    place.desk.run("update", "--to", FIRE, "--revision", "1", word("uma", "uma2"))
    assert place.held("uma")["revision"] == 2
    result = place.desk.run("update", "--to", FIRE, "--revision", "1", word("uma", "uma3"), code=1)
    assert "REVISION_MISMATCH" in result.stdout and "the present revision is 2" in result.stdout
    answer = only(place.desk.json("update", "--to", FIRE, "--revision", "7", word("uma", "uma3"), code=1)["responses"])
    assert answer["cause_name"] == "REVISION_MISMATCH" and answer["kind"] == "final"
    assert answer["revisions"] == [{"mc_id": name("uma"), "revision": 2}]
    assert only(place.held("uma")["mc_service_ids"])["mc_service_id"] == f"sip:uma2@{HOME}"
    missing = place.desk.run("update", "--to", FIRE, "--revision", "1", word("ulf"), code=1)
    assert "UNKNOWN_USER" in missing.stdout


def test_remove(place):
    place.set_up("rex", "rosa")
    assert "REVISION_MISMATCH" in place.desk.run("remove", "--to", FIRE, "--revision", "9", name("rex"), code=1).stdout
    place.desk.run("remove", "--to", FIRE, "--revision", "1", name("rex"))
    assert only(place.desk.json("remove", "--to", FIRE, name("rosa"))["responses"])["result"] is True
    assert place.held("rex") is None and place.held("rosa") is None
    place.desk.run("remove", "--to", FIRE, name("rex"))  # 'One who is not there is no error.'
    refused = place.desk.run("remove", "--to", RAIL, name("rex"), code=1)
    assert "OPERATION_NOT_PERMITTED" in refused.stdout and "remove: the partner's policy" in refused.stdout


def test_validity(place):
    place.desk.run("setup", "--to", FIRE, "--not-before", "+1h", "--not-after", "2099-12-31", word("vera"))
    user = place.held("vera")
    assert user["vouched"] is False and user["not_after"] == "2099-12-31T00:00:00Z" and user["not_before"]
    shown = place.fire.run("users", "show", name("vera"))  # a line for each property
    assert "not vouched for now" in shown.stderr and f"mcptt:       sip:vera@{HOME}\n" in shown.stdout
    assert "vouched:     no\n" in shown.stdout and "not after:   2099-12-31T00:00:00Z\n" in shown.stdout
    shown = place.desk.run("users", "--at", FIRE, name("vera")).stdout
    assert "2099-12-31T00:00:00Z" in shown and " no " in shown
    stdin = "mc_id,mcptt,not_after\n" + "".join(f"v{i}@{HOME},sip:v{i}@{HOME},2099-0{i}-01\n" for i in (1, 2))
    out = json.loads(place.desk.run("setup", "--to", FIRE, "--json", "--file", "-", stdin=stdin).stdout)
    assert len(out["responses"]) == 2  # one for each validity
    assert [place.held(v)["not_after"][:7] for v in ("v1", "v2")] == ["2099-01", "2099-02"]


def test_dry_run_does_nothing(place):
    place.set_up("dan")
    result = place.desk.run("setup", "--to", f"{FIRE}", "--dry-run", word("dina"))
    assert "in a dry run: nothing was done" in result.stdout and place.held("dina") is None
    bad = place.desk.json("setup", "--to", FIRE, "--dry-run", word("dina", "dan"), code=1)
    assert only(only(bad["responses"])["identity_causes"])["cause_name"] == "MC_SERVICE_ID_IN_USE"
    assert "PARTNER_UNREACHABLE" in place.desk.run("setup", "--to", SEA, "--dry-run", word("dina"), code=1).stdout


def test_best_effort_does_what_can_be_done(place):
    place.set_up("bea")
    answer = only(place.desk.json("setup", "--to", FIRE, "--best-effort", word("ben", "bea"), word("bill"),
                                  code=1)["responses"])
    assert answer["cause_name"] == "PARTLY_DONE" and answer["result"] is False and answer["receipt"] is True
    assert only(answer["identity_causes"])["mc_id"] == name("ben")
    assert place.held("bill") and place.held("ben") is None


def test_a_deadline_passes(place):
    result = place.desk.run("setup", "--to", SEA, "--deadline", "1s", word("dirk"), code=1)
    assert "PARTNER_UNREACHABLE" in result.stdout and "repeat the command later" in result.stderr


# --- deciding ---

def test_pending_show_and_approve(place):
    request = place.send_to_rail("pam", "pit")
    table = place.ops.run("pending", "--from", HOME).stdout
    assert HOME in table and request in table and "setup" in table
    assert "does not decide for that" in place.ops.run("pending", "--from", "else.example", code=3).stderr
    shown = place.ops.run("show", request).stdout
    assert f"{HOME}: {request}: setup of 2 users" in shown and f"mcptt=sip:pit@{HOME}" in shown
    entry = only(place.ops.json("show", request)["pending"])
    assert [u["mc_id"] for u in entry["users"]] == [name("pam"), name("pit")] and entry["user_count"] == 2
    assert "approved and done" in place.ops.run("approve", request).stdout
    assert request not in place.ops.run("pending").stdout
    assert "UNKNOWN_REQUEST" in place.ops.run("approve", request, code=1).stderr
    assert place.ops.json("approve", request, code=1)["failure"].startswith("UNKNOWN_REQUEST")
    assert f"request {request}: setup of 2 users" in place.desk.run("show", request).stdout  # at home, as status
    assert only(place.desk.json("show", request)["responses"])["result"] is True


def test_reject(place):
    request = place.send_to_rail("rolf")
    assert "users" not in place.ops.json("pending")["pending"][0]
    assert place.ops.json("reject", "--reason", "not this year", request)["approved"] is False
    answer = only(place.desk.json("status", request, code=1)["responses"])
    assert answer["cause_name"] == "REJECTED" and answer["decided_by"]["reason"] == "not this year"
    assert "rejected by ops" in place.desk.run("status", request, code=1).stdout
    assert (HOME, name("rolf")) not in place.rail.users()


def test_what_cannot_be_done_any_more_when_it_is_approved(place):
    first, second = place.send_to_rail("amy"), None
    second = place.desk.run("setup", "--to", RAIL, "--no-wait", word("abe", "amy")).stdout.strip()
    wait_for(lambda: second in place.ops.run("pending").stdout, "it waits")
    place.ops.run("approve", first)
    result = place.ops.run("approve", second, code=1)
    assert "but could not be done: MC_SERVICE_ID_IN_USE" in result.stdout and name("abe") in result.stdout


def test_following_what_comes(place):
    lines, documents = place.ops.begin("pending", "--follow"), place.ops.begin("pending", "--follow", "--json")
    requests = [place.send_to_rail(f"follow{i}") for i in range(2)]
    for request in requests:
        lines.wait_out(request)
        documents.wait_out(request)
    lines.end(0, signal.SIGINT)
    documents.end(0, signal.SIGINT)
    assert [line.split(": ")[1] for line in lines.out.splitlines()][-2:] == requests
    assert f"{HOME}: {requests[0]}: setup of 1 user, decide until" in lines.out
    decoder, text, seen = json.JSONDecoder(), documents.out.strip(), []
    while text:
        document, end = decoder.raw_decode(text)
        seen.append(document["request_id"])
        text = text[end:].lstrip()
    assert seen[-2:] == requests
    for request in requests:
        place.ops.run("reject", "--reason", "seen", request)


def test_who_may_not(place):
    """'A query that is not permitted, or for an unknown partner': 3"""
    for words, cause in ((("users", "--at", RAIL), "TARGET_NOT_PERMITTED"), (("pending",), "ACMC_NOT_AUTHORISED"),
                         (("users", "--at", "none.example"), "UNKNOWN_TARGET"),
                         (("reconcile", "--with", RAIL), "TARGET_NOT_PERMITTED")):
        assert cause in place.clerk.run(*words, code=3).stderr
        assert place.clerk.json(*words, code=3)["failure"].startswith(cause)
    assert "PARTNER_UNREACHABLE" in place.desk.run("users", "--at", SEA, code=4).stderr


# --- users at a partner ---

def test_users_in_pages_and_back_again(place, tmp_path):
    """What --csv prints is a file for update."""
    labels = [f"page{i:03}" for i in range(300)]  # 64 KiB / 8 for a page: some 80 users
    place.set_up(*labels)
    listed = [u["mc_id"] for u in place.desk.json("users", "--at", FIRE)["users"]]
    assert listed == sorted(listed) and set(map(name, labels)) <= set(listed)
    believed = place.desk.json("users", "--at", FIRE, "--believed")
    assert believed["believed"] is True and [u["mc_id"] for u in believed["users"]] == listed
    table = place.desk.run("users", "--at", FIRE).stdout
    assert table.count("REVISION") == 1 and len(table.splitlines()) == len(listed) + 1
    wanted = list(map(name, labels[:150]))
    text = place.desk.run("users", "--at", FIRE, "--csv", *wanted).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [r["mc_id"] for r in rows] == wanted and {r["revision"] for r in rows} == {"1"}
    file = tmp_path / "there.csv"
    file.write_text(text.replace("sip:page", "sip:edited"), newline="")
    place.desk.run("update", "--to", FIRE, "--file", str(file))
    after = place.desk.json("users", "--at", FIRE, *wanted)["users"]
    assert {u["revision"] for u in after} == {2}
    assert [only(u["mc_service_ids"])["mc_service_id"] for u in after] == [f"sip:edited{m[4:]}" for m in wanted]
    place.desk.run("update", "--to", FIRE, "--file", str(file))  # it is so already
    stale = tmp_path / "stale.csv"
    stale.write_text(text, newline="")
    assert "REVISION_MISMATCH" in place.desk.run("update", "--to", FIRE, "--file", str(stale), code=1).stdout
    document = tmp_path / "there.json"
    document.write_text(place.desk.run("users", "--at", FIRE, "--json", *wanted).stdout)
    place.desk.run("update", "--to", FIRE, "--file", str(document))


def test_users_who_are_not_there(place):
    place.set_up("ute")
    result = place.desk.run("users", "--at", FIRE, name("ute"), name("nobody"), code=1)
    assert name("ute") in result.stdout and result.stderr == f"acmc: {name('nobody')}: is not there at {FIRE}\n"
    out = place.desk.json("users", "--at", FIRE, name("ute"), name("nobody"), name("aaa"), code=1)
    assert only(out["users"])["mc_id"] == name("ute") and out["missing"] == [name("aaa"), name("nobody")]
    assert out["failure"] == "2 of the 3 users named are not there"
    believed = place.desk.run("users", "--at", FIRE, "--believed", name("nobody"), code=1)
    assert "is not believed to be at" in believed.stderr


# --- reconcile ---

def make_differences(place, mark: str) -> None:
    place.set_up(f"gone{mark}", f"other{mark}")
    with_home = place.behind_homes_back()
    assert with_home.remove([FIRE], [name(f"gone{mark}")]).result
    assert with_home.update([FIRE], {name(f"other{mark}"): [(3, f"sip:other{mark}.data@{HOME}")]},
                            {name(f"other{mark}"): 1}).result
    assert with_home.setup([FIRE], {name(f"strange{mark}"): [(1, f"sip:strange{mark}@{HOME}")]}).result
    with_home.close()


def test_reconcile_shows_each_kind_and_repairs(place):
    place.desk.run("reconcile", "--with", FIRE)
    make_differences(place, "1")
    text = place.desk.run("reconcile", "--with", FIRE, code=1).stdout
    assert "3 differences" in text and f"mcdata=sip:other1.data@{HOME}" in text
    out = place.desk.json("reconcile", "--with", FIRE, code=1)
    assert {d["mc_id"]: d["kind"] for d in out["differences"]} == {
        name("gone1"): "missing_at_partner", name("other1"): "different", name("strange1"): "unknown_to_home"}
    assert place.held("strange1") and out["home_users"] == out["partner_users"]
    repaired = place.desk.run("reconcile", "--with", FIRE, "--repair", "--yes")
    assert repaired.stdout.count("1 of 1 answers TRUE") == 3
    assert place.held("gone1") and place.held("strange1") is None
    assert only(place.held("other1")["mc_service_ids"])["mc_service_id"] == f"sip:other1@{HOME}"
    assert place.desk.json("reconcile", "--with", FIRE)["differences"] == []


def test_reconcile_repairs_as_json(place):
    make_differences(place, "2")
    out = place.desk.json("reconcile", "--with", FIRE, "--repair", "--yes")
    assert [(r["operation"], r["users"], r["exit_code"]) for r in out["repair"]] == [
        ("remove", 1, 0), ("update", 1, 0), ("setup", 1, 0)]
    assert "0 differences" in place.desk.run("reconcile", "--with", FIRE).stdout


# --- receipts ---

def test_receipt_shown_saved_and_verified_by_itself(place, tmp_path):
    request, anchors = place.set_up("rhea"), ("--partner-anchors", str(place.fire.ca.cert_file))
    named = (*anchors, "--partner-certificate", f"DNS:acms.{FIRE}")
    file, offline = tmp_path / "rhea.receipt", Desk(tmp_path / "none.yaml")
    shown = place.desk.run("receipt", request, *named, "--out", str(file)).stdout
    assert "good, signed by" in shown and f"{FIRE} certifies to {HOME}: setup of 1 user, request {request}" in shown
    out = only(place.desk.json("receipt", request, *named)["receipts"])
    assert out["good"] is True and only(out["users"])["mc_id"] == name("rhea") and out["partner"] == FIRE
    verify = [*WRAPPER, BUILD / "acmc", "receipt", "--verify"]

    def verified(path, *more, code: int) -> str:
        result = subprocess.run([*verify, path, *more], capture_output=True, text=True, timeout=60)
        assert result.returncode == code, (result.stdout, result.stderr)
        return result.stdout
    assert offline.config.exists() is False and "good, signed by" in verified(file, *named, code=0)
    verified(file, *anchors, "--partner-certificate", f"DNS:acms.{RAIL}", code=1)
    assert "not verified" in verified(file, "--partner-anchors", str(place.rail.ca.cert_file), code=1)
    verified(file, *named, "--partner", FIRE, code=0)
    assert "of another partner" in verified(file, *named, "--partner", RAIL, code=1)
    # whoever has a certificate under these anchors could have signed it
    anybody = verified(file, *anchors, code=1)
    assert "not verified: signed by DNS:acms." in anybody and "--partner-certificate" in anybody and "certifies to" in anybody
    assert json.loads(verified(file, *anchors, "--json", code=1))["receipts"][0]["good"] is False
    assert "--partner-certificate" in place.desk.run("receipt", request, *anchors, code=1).stdout
    tampered = tmp_path / "tampered.receipt"
    tampered.write_bytes(file.read_bytes().replace(b"rhea", b"rhei"))
    assert "not verified" in verified(tampered, *named, code=1)
    assert json.loads(verified(tampered, *named, "--json", code=1))["receipts"][0]["good"] is False
    tampered.write_bytes(file.read_bytes()[:100])
    verified(tampered, *named, code=1)


def test_a_receipt_is_saved_as_a_new_file(place, tmp_path):
    """It names users: for its owner only, whatever the umask; a link is replaced and not followed."""
    request, out = place.set_up("ruth"), tmp_path / "r"
    place.desk.run("receipt", request, "--out", str(out))
    receipt = out.read_bytes()
    assert receipt and stat.S_IMODE(out.stat().st_mode) == 0o600
    victim = tmp_path / "victim"
    victim.write_text("keep me")
    out.unlink()
    out.symlink_to(victim)
    place.desk.run("receipt", request, "--out", str(out))
    assert victim.read_text() == "keep me" and not out.is_symlink() and out.read_bytes() == receipt
    out.write_text("older")
    out.chmod(0o644)
    place.desk.run("receipt", request, "--out", str(out))
    assert out.read_bytes() == receipt and stat.S_IMODE(out.stat().st_mode) == 0o600
    out.unlink()
    os.mkfifo(out)
    assert "is no file" in place.desk.run("receipt", request, "--out", str(out), code=5).stderr
    assert "is no file" in place.desk.run("receipt", request, "--out", str(tmp_path), code=5).stderr
    assert "No such file" in place.desk.run("receipt", request, "--out", str(tmp_path / "a" / "b"), code=5).stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r", "victim"]  # nothing is left over


def test_receipts_of_partners_that_the_configuration_knows(place, tmp_path):
    request = place.set_up("ria", to=FIRE)
    desk, file = Desk(tmp_path / "acmc.yaml"), tmp_path / "ria.receipt"
    plain = yaml.safe_load(place.desk.config.read_text())

    def knows(*systems, **changes) -> None:
        partners = [{"mc_system_id": s.name, "certificate": f"DNS:acms.{s.name}",
                     "trust_anchors": [str(s.ca.cert_file)], "crls": [str(s.ca.crl_file)], **changes} for s in systems]
        desk.config.write_text(yaml.safe_dump({**plain, "partners": partners}))
    knows(place.rail)
    unsure = desk.run("receipt", request, code=1)  # shown only: to verify was what it was for
    assert f"not verified: no trust anchors of {FIRE} are known" in unsure.stdout
    saved = desk.run("receipt", request, "--out", str(file))
    assert "1 receipt was saved but not verified" in saved.stderr and file.exists()
    assert only(desk.json("receipt", request, "--out", str(file))["receipts"])["good"] is False
    desk.run("receipt", "--verify", str(file), code=1)
    knows(place.fire, place.rail)
    assert "good, signed by" in desk.run("receipt", request).stdout
    assert "good, signed by" in desk.run("receipt", "--verify", str(file)).stdout
    desk.run("receipt", "--verify", str(file), "--partner-certificate", f"DNS:acms.{RAIL}", code=1)
    knows(place.fire, trust_anchors=[str(place.rail.ca.cert_file)], crls=[str(place.rail.ca.crl_file)])  # somebody else's
    assert "not verified" in desk.run("receipt", request, "--out", str(file), code=1).stdout
    knows(place.fire, certificate=f"DNS:acms.{RAIL}")
    desk.run("receipt", "--verify", str(file), code=1)
    desk.config.write_text(yaml.safe_dump({"partners": [
        {"mc_system_id": FIRE, "certificate": f"DNS:acms.{FIRE}", "trust_anchors": [str(place.fire.ca.cert_file)]}]}))
    desk.run("receipt", "--verify", str(file))  # no home system, no certificate of ours
    knows(place.fire, place.fire)
    assert f"{FIRE} is there twice" in desk.run("receipt", "--verify", str(file), code=2).stderr
    knows(place.fire, certificate="acms")
    assert "partners" in desk.run("requests", code=2).stderr


def test_receipts_of_two_partners_are_set_apart(place):
    request = place.desk.run("setup", "--to", f"{FIRE},{RAIL}", "--no-wait", word("rahel")).stdout.strip()
    wait_for(lambda: request in place.ops.run("pending").stdout, "it waits")
    place.ops.run("approve", request)
    place.desk.run("wait", request)
    text = place.desk.run("receipt", request, code=1).stdout
    assert len(text.split("\n\n")) == 2 and text.count("certifies to") == 2 and "approved by ops" in text


def test_no_receipt(place):
    request = place.send_to_rail("rana")
    assert "no partner has given a receipt" in place.desk.run("receipt", request, code=1).stderr
    place.ops.run("reject", "--reason", "none", request)


# --- a home system of version 1 ---

def test_a_home_system_of_version_1(tmp_path):
    ca = pki.CA(tmp_path, "home's CA")
    admin = ca.issue("admin", [f"URI:sip:admin@{HOME}"], usages=(pki.CLIENT,))
    home = FakePartner(HOME, ca.issue("server", ["DNS:localhost"]), ca.cert_file, greeting=hello(HOME, version_max=1))
    desk = Desk(tmp_path / "acmc.yaml")
    desk.config.write_text(yaml.safe_dump({
        "server": f"localhost:{home.port}", "mc_system_id": HOME, "certificate": str(admin.cert_file),
        "key": str(admin.key_file), "trust_anchors": [str(ca.cert_file)]}))
    try:
        for words in (("remove", "--to", FIRE, name("old")), ("update", "--to", FIRE, "--revision", "1", word("old")),
                      ("setup", "--to", FIRE, "--dry-run", word("old")), ("setup", "--to", FIRE, "--no-wait", word("old")),
                      ("setup", "--to", FIRE, "--not-after", "+1h", word("old")), ("status", UNKNOWN), ("wait", UNKNOWN),
                      ("requests",), ("users", "--at", FIRE), ("reconcile", "--with", FIRE), ("receipt", UNKNOWN),
                      ("pending",), ("show", UNKNOWN), ("approve", UNKNOWN), ("reject", "--reason", "x", UNKNOWN)):
            assert "needs version 2" in desk.run(*words, code=4).stderr
        assert not home.requests
        home.system = FIRE  # whose answer it passes on
        desk.run("setup", "--to", FIRE, word("old"))
    finally:
        home.stop()
