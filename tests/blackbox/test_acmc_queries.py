"""acmc's queries against a home ACMS that errs or means ill: they end, and what is shown harms nobody."""

import hashlib
import json
import subprocess
import time

import pytest
import yaml

import pki
from acx_peer import FakePartner, hello, pb
from systems import BUILD, WRAPPER, wait_for

HOME, FIRE, RAIL = "police.example", "fire.example", "rail.example"
ID = "0190b1c2-0000-7000-8000-0000ffffffff"
EVIL = "x\x1b[2J\x7f\u009b31m\u202egone"  # what a terminal obeys, in all the ways that there are
OBEYED = "\x1b", "\x7f", "\u009b", "\u202e"


class Desk:
    """An acmc whose home is scripted: answers by kinds of queries."""

    def __init__(self, root):
        self.ca = pki.CA(root, "home's CA")
        admin = self.ca.issue("admin", ["URI:sip:admin@police.example"], usages=(pki.CLIENT,))
        self.home = FakePartner(HOME, self.ca.issue("server", ["DNS:localhost"], usages=(pki.SERVER,)), self.ca.cert_file)
        self.config = root / "acmc.yaml"
        self.config.write_text(yaml.safe_dump({
            "server": f"localhost:{self.home.port}", "mc_system_id": HOME, "certificate": str(admin.cert_file),
            "key": str(admin.key_file), "trust_anchors": [str(self.ca.cert_file)], "timeout": "20 s"}))
        self.asked = []

    def answer(self, kind: str, page_kind: str, script) -> None:
        """script(query, how many came before) gives the page's fields."""
        def reply(link, query):
            before = sum(k == kind for k, _ in self.asked)
            self.asked.append((kind, query))
            page = pb.Message()
            getattr(page, page_kind).MergeFrom(script(query, before))
            getattr(page, page_kind).token = query.token
            link.send(page)
        self.home.answers[kind] = reply

    def users(self, script) -> None:
        self.answer("users_query", "users_page", script)

    def digests(self, script) -> None:
        """script(query, before): users and digest of each range."""
        self.answer("digest_query", "digest_page", lambda q, n: pb.DigestPage(digests=[
            pb.RangeDigest(users=u, digest=d) for u, d in [script(q, n)] * len(q.ranges)]))

    def run(self, *words, code: int) -> subprocess.CompletedProcess:
        result = subprocess.run([*WRAPPER, BUILD / "acmc", words[0], "-c", self.config, *words[1:]], capture_output=True,
                                text=True, timeout=60)
        assert result.returncode == code, (words, result.returncode, result.stdout[-2000:], result.stderr)
        assert not any(c in result.stdout + result.stderr for c in OBEYED), (result.stdout, result.stderr)
        return result


@pytest.fixture
def desk(tmp_path):
    d = Desk(tmp_path)
    yield d
    d.home.stop()


def user(mc_id: str, *uris: str, revision: int = 1, **more) -> "pb.User":
    u = pb.User(mc_id=mc_id, revision=revision, vouched=True, by=bytes(16), **more)
    for uri in uris:
        u.mc_service_id_list.add(service=1, mc_service_id=uri)
    return u


def numbered(first: int, n: int) -> list:
    return [user(f"u{i:09}") for i in range(first, first + n)]


SAME = hashlib.sha256(b"same").digest()
FORMS = [], ["--csv"], ["--json"]


def test_a_home_system_with_a_name_that_is_none(desk):
    """Without mc_system_id in the configuration any that is valid is taken."""
    config = yaml.safe_load(desk.config.read_text())
    del config["mc_system_id"]
    desk.config.write_text(yaml.safe_dump(config))
    desk.home.greeting = hello(EVIL)
    assert "breaks the protocol" in desk.run("setup", "--to", FIRE, "a@police.example", code=4).stderr
    assert not desk.home.requests
    desk.home.greeting = hello("else.example")
    desk.run("users", "--at", FIRE, "--timeout", "1", code=4)  # which is not answered


# --- users ---

@pytest.mark.parametrize("form", FORMS, ids=str)
def test_pages_of_users_without_end(desk, form):
    """'do not end when pages go on though the digest said two'"""
    desk.users(lambda q, n: pb.UsersPage(users=numbered(2 * n, 2), more=True))
    desk.digests(lambda q, n: (2, SAME))
    result = desk.run("users", "--at", FIRE, *form, code=4)
    assert "more users than it says it has" in result.stderr and len(desk.asked) < 20


def test_pages_without_end_and_digests_that_follow(desk):
    desk.users(lambda q, n: pb.UsersPage(users=numbered(2 * n, 2), more=True))
    desk.digests(lambda q, n: (2 * n + 3, SAME))
    assert "more users than it says it has" in desk.run("users", "--at", FIRE, code=4).stderr and len(desk.asked) < 30


def test_as_many_as_nobody_has(desk):
    desk.users(lambda q, n: pb.UsersPage(users=numbered(2 * n, 2), more=True))
    desk.digests(lambda q, n: (2**64 - 1, SAME))
    desk.run("users", "--at", FIRE, code=4)
    assert len(desk.asked) < 20


def test_many_pages_that_are_right(desk):
    """One more comes meanwhile."""
    desk.users(lambda q, n: pb.UsersPage(users=numbered(2 * n, 2), more=n < 5))
    desk.digests(lambda q, n: (4 if n == 0 else 12, SAME))
    assert len(json.loads(desk.run("users", "--at", FIRE, "--json", code=0).stdout)["users"]) == 12
    assert [q.after for k, q in desk.asked if k == "users_query"][:3] == ["", "u000000001", "u000000003"]


PAGES = {
    "the same page again": lambda q, n: pb.UsersPage(users=numbered(0, 2), more=True),
    "a page that goes back": lambda q, n: pb.UsersPage(users=numbered(10 - 4 * n, 2), more=True),
    "an empty page, and more": lambda q, n: pb.UsersPage(more=True),
    "out of order": lambda q, n: pb.UsersPage(users=numbered(0, 2)[::-1]),
    "twice": lambda q, n: pb.UsersPage(users=numbered(0, 1) * 2),
    "no revision": lambda q, n: pb.UsersPage(users=[user("a", revision=0)]),
    "an empty validity": lambda q, n: pb.UsersPage(users=[user("a", validity=pb.Validity(not_before=9, not_after=9))]),
    "no MC ID": lambda q, n: pb.UsersPage(users=[user("")]),
    "a long MC ID": lambda q, n: pb.UsersPage(users=[user("x" * 256)]),
    "an evil MC ID": lambda q, n: pb.UsersPage(users=[user(EVIL)]),
    "a new line": lambda q, n: pb.UsersPage(users=[user('a\r\n"b",')]),
    "an MC service ID that is none": lambda q, n: pb.UsersPage(users=[user("a", "sip:a@police.example\x1b[2J")]),
    "one that is not canonical": lambda q, n: pb.UsersPage(users=[user("a", "SIP:a@police.example")]),
    "MC service IDs out of order": lambda q, n: pb.UsersPage(users=[user("a", "sip:b@a.bc", "sip:a@a.bc")]),
    "one twice": lambda q, n: pb.UsersPage(users=[user("a", "sip:a@a.bc", "sip:a@a.bc")]),
}


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("what", PAGES)
def test_a_page_of_users_that_is_none(desk, what, form):
    desk.users(PAGES[what])
    desk.digests(lambda q, n: (1000, SAME))
    result = desk.run("users", "--at", FIRE, *form, code=4)
    assert "breaks the protocol" in result.stderr and len(desk.asked) < 10


def test_who_was_not_asked_for(desk):
    desk.users(lambda q, n: pb.UsersPage(users=[user("a"), user("b")]))
    assert "not asked for" in desk.run("users", "--at", FIRE, "a", "c", code=4).stderr


def test_revisions_as_they_are(desk):
    """'Revisions above 2^63-1 are clamped in JSON'"""
    desk.users(lambda q, n: pb.UsersPage(users=[user("a", "sip:a@police.example", revision=2**64 - 1)]))
    for form in FORMS:
        assert str(2**64 - 1) in desk.run("users", "--at", FIRE, *form, code=0).stdout


# --- reconcile ---

def lists(home: list, partner: list):
    return lambda q, n: pb.UsersPage(users=home if q.believed else partner)


def digest(q, users: int) -> tuple:
    return users, hashlib.sha256(b"home" if q.believed else b"partner").digest()


def test_lists_agree_and_digests_differ(desk):
    """'Digests that differ while lists agree: reconcile says "0 differences"'"""
    desk.digests(lambda q, n: digest(q, 2))
    desk.users(lists(numbered(0, 2), numbered(0, 2)))
    result = desk.run("reconcile", "--with", FIRE, code=4)
    assert "contradict" in result.stderr and "0 differences" not in result.stdout
    assert json.loads(desk.run("reconcile", "--with", FIRE, "--json", code=4).stdout)["failure"]
    desk.digests(lambda q, n: digest(q, 0))  # nobody, in two ways
    desk.run("reconcile", "--with", FIRE, code=4)


def test_a_list_without_end(desk):
    desk.digests(lambda q, n: digest(q, 2))
    desk.users(lambda q, n: pb.UsersPage(users=numbered(2 * n, 2), more=True))
    assert "contradict" in desk.run("reconcile", "--with", FIRE, code=4).stderr and len(desk.asked) < 40


def test_a_list_that_is_shorter(desk):
    desk.digests(lambda q, n: digest(q, 2))
    desk.users(lists(numbered(0, 2), numbered(0, 1)))
    assert "contradict" in desk.run("reconcile", "--with", FIRE, code=4).stderr


def test_nothing_is_repaired_by_a_contradiction(desk):
    desk.digests(lambda q, n: digest(q, 2))
    desk.users(lists(numbered(0, 2), numbered(5, 3)))
    desk.run("reconcile", "--with", FIRE, "--repair", "--yes", code=4)
    assert not desk.home.requests


def test_splits_without_end(desk):
    def script(q, n):
        page = pb.DigestPage()
        for r in q.ranges:
            splits = [(getattr(r, "from") or "a") + c for c in "01"]
            page.digests.add(users=10**6, digest=hashlib.sha256(bytes([n % 256, q.believed])).digest(),
                             splits=[s for s in splits if not r.to or s < r.to])
        return page
    desk.answer("digest_query", "digest_page", script)
    desk.users(lambda q, n: pb.UsersPage())
    assert "more users than there can be" in desk.run("reconcile", "--with", FIRE, code=4).stderr and len(desk.asked) < 100


# --- requests, pending ---

def entry(number: int, **more) -> "pb.RequestEntry":
    e = pb.RequestEntry(request_id=number.to_bytes(16, "big"), acmc="desk", users=1, **more)
    e.deliveries.add(mc_system_id=FIRE, state=pb.SENT)
    return e


@pytest.mark.parametrize("script", [
    lambda q, n: pb.RequestsPage(entries=[entry(1), entry(2)], more=True),
    lambda q, n: pb.RequestsPage(entries=[entry(2), entry(1)]),
    lambda q, n: pb.RequestsPage(more=True)])
def test_pages_of_requests_that_make_no_progress(desk, script):
    desk.answer("requests_query", "requests_page", script)
    desk.run("requests", code=4)
    assert len(desk.asked) < 5


def test_requests_are_shown_harmlessly(desk):
    def evil(q, n):
        e = pb.RequestEntry(request_id=bytes(16), acmc=EVIL, users=1)
        e.deliveries.add(mc_system_id=EVIL, state=pb.QUEUED, detail=EVIL)
        answered = e.deliveries.add(mc_system_id=RAIL, state=pb.ANSWERED)
        answered.response.MergeFrom(pb.McServiceUserSetupResponse(
            request_id=bytes(16), mc_system_id=RAIL, result=False, origin=pb.PARTNER_ACMS, cause=pb.REJECTED, detail=EVIL,
            decided_by=pb.DecidedBy(acmc=EVIL, reason=EVIL, at=1)))
        return pb.RequestsPage(entries=[e])
    desk.answer("requests_query", "requests_page", evil)
    for form in [], ["--json"]:
        assert "gone" in desk.run("requests", *form, code=0).stdout
    assert json.loads(desk.run("requests", "--json", code=0).stdout)["requests"][0]["acmc"] == EVIL


def test_a_failure_is_shown_harmlessly(desk):
    for kind, page, words in (("requests_query", "requests_page", ["requests"]),
                              ("users_query", "users_page", ["users", "--at", FIRE]),
                              ("pending_query", "pending_page", ["pending"])):
        desk.answer(kind, page, lambda q, n: {"requests_query": pb.RequestsPage, "users_query": pb.UsersPage,
                                              "pending_query": pb.PendingPage}[kind](cause=pb.ACMC_NOT_AUTHORISED, detail=EVIL))
        for form in [], ["--json"]:
            assert "gone" in desk.run(*words, *form, code=3).stderr


def waits(system: str, number: int = 1, users: list = (), **more) -> "pb.PendingEntry":
    return pb.PendingEntry(mc_system_id=system, users=1, request=pb.McServiceUserSetupRequest(
        request_id=number.to_bytes(16, "big"), mc_system_id=[HOME], mc_id_list=users, home_acmc_id=EVIL), **more)


@pytest.mark.parametrize("script", [
    lambda q, n: pb.PendingPage(entries=[waits(FIRE)], more=True),
    lambda q, n: pb.PendingPage(entries=[waits(RAIL), waits(FIRE)]),
    lambda q, n: pb.PendingPage(entries=[waits(FIRE, 2), waits(FIRE, 1)]),
    lambda q, n: pb.PendingPage(entries=[waits(FIRE), waits(FIRE)]),
    lambda q, n: pb.PendingPage(entries=[waits(EVIL)]),
    lambda q, n: pb.PendingPage(more=True)])
def test_pages_of_what_waits_that_make_no_progress(desk, script):
    desk.answer("pending_query", "pending_page", script)
    for form in [], ["--json"]:
        desk.run("pending", *form, code=4)
    assert len(desk.asked) < 10


def test_what_waits_is_shown_harmlessly(desk):
    desk.answer("pending_query", "pending_page", lambda q, n: pb.PendingPage(entries=[waits(FIRE, users=[EVIL])]))
    desk.answer("requests_query", "requests_page", lambda q, n: pb.RequestsPage(cause=pb.UNKNOWN_REQUEST))
    for form in [], ["--json"]:
        desk.run("pending", *form, code=0)
        shown = desk.run("show", *form, "00000000-0000-0000-0000-000000000001", code=0)
        assert "gone" in shown.stdout


@pytest.mark.parametrize("entries", [
    [], [waits(FIRE, 2)], [waits(RAIL), waits(FIRE)], [waits(FIRE), waits(FIRE)]])
def test_nothing_is_decided_about_something_else(desk, entries):
    """The server says what it likes about the ID that is to be approved."""
    desk.answer("pending_query", "pending_page", lambda q, n: pb.PendingPage(entries=entries))
    desk.answer("decision", "decision_result", lambda q, n: pb.DecisionResult())
    assert "breaks the protocol" in desk.run("approve", "00000000-0000-0000-0000-000000000001", code=4).stderr
    assert not any(k == "decision" for k, _ in desk.asked)


def test_a_decision_names_whose_request_it_is(desk):
    desk.answer("pending_query", "pending_page", lambda q, n: pb.PendingPage(entries=[waits(FIRE)]))
    desk.answer("decision", "decision_result", lambda q, n: pb.DecisionResult())
    desk.run("approve", "00000000-0000-0000-0000-000000000001", code=0)
    desk.run("approve", "--from", RAIL, "00000000-0000-0000-0000-000000000001", code=0)
    assert [q.mc_system_id for k, q in desk.asked if k == "decision"] == [FIRE, RAIL]
    assert [k for k, _ in desk.asked] == ["pending_query", "decision", "decision"]


def test_other_messages_instead_of_an_answer(desk):
    def flood(link, query):
        m = pb.Message(process_indication=pb.ProcessIndication(request_id=bytes(16), mc_system_id=FIRE, state=pb.DELAYED))
        try:
            while True:
                link.send(m)
                time.sleep(0.05)
        except OSError:
            pass
    desk.home.answers["users_query"] = flood
    assert "no answer" in desk.run("users", "--at", FIRE, "--timeout", "1", code=4).stderr


# --- what a home ACMS passes on ---

@pytest.fixture(scope="module")
def passed_on(tmp_path_factory):
    from conftest import World
    w = World(tmp_path_factory.mktemp("passed"))
    home, fire = w.system(HOME), w.system(FIRE)
    w.fake = FakePartner(FIRE, fire.leaf, home.ca.cert_file)
    w.fakes.append(w.fake)
    w.admin = home.acmc()
    home.partner(fire, provision=None, port=w.fake.port)
    home.start()
    w.home = home
    yield w
    w.end()


def from_partner(w, kind: str, page) -> None:
    """A scripted partner's page to the next query of that kind."""
    def reply(link, query):
        message = pb.Message()
        answer = getattr(message, kind.replace("query", "page"))
        answer.MergeFrom(page)
        answer.token = query.token
        link.send(message)
    w.fake.answers[kind] = reply


def up(w):
    client = w.home.client(w.admin)
    wait_for(lambda: client.users(FIRE).cause != pb.PARTNER_UNREACHABLE, "the partner is reached")
    return client


@pytest.mark.parametrize("fields, page", [
    (dict(max=1), pb.UsersPage(users=numbered(0, 2))),
    (dict(to="b"), pb.UsersPage(users=[user("b")])),
    ({"from": "b"}, pb.UsersPage(users=[user("a")])),
    (dict(after="b"), pb.UsersPage(users=[user("b")])),
    ({}, pb.UsersPage(users=[user("b", revision=0)])),
    ({}, pb.UsersPage(more=True))])
def test_a_page_of_a_partner_that_does_not_fit(passed_on, fields, page):
    from_partner(passed_on, "users_query", pb.UsersPage())
    client = up(passed_on)
    from_partner(passed_on, "users_query", page)
    assert client.users(FIRE, **fields).cause == pb.PARTNER_PROTOCOL_ERROR
    from_partner(passed_on, "users_query", pb.UsersPage(users=[user("b")]))
    assert client.users(FIRE).users[0].mc_id == "b"


@pytest.mark.parametrize("digests", [
    [], [pb.RangeDigest(users=9, digest=SAME, splits=["a"])], [pb.RangeDigest(users=9, digest=SAME, splits=["z"])],
    [pb.RangeDigest(users=1, digest=SAME, splits=["c", "d"])]])
def test_digests_of_a_partner_that_do_not_fit(passed_on, digests):
    from_partner(passed_on, "users_query", pb.UsersPage())
    client = up(passed_on)
    from_partner(passed_on, "digest_query", pb.DigestPage(digests=digests))
    assert client.digests(FIRE, [("b", "y")]).cause == pb.PARTNER_PROTOCOL_ERROR
    from_partner(passed_on, "digest_query", pb.DigestPage(digests=[pb.RangeDigest(users=9, digest=SAME, splits=["c"])]))
    assert client.digests(FIRE, [("b", "y")]).digests[0].users == 9


def test_an_evil_page_of_a_partner(passed_on):
    """It never gets to an ACMC: the connection to the partner ends with MALFORMED_MESSAGE."""
    from_partner(passed_on, "users_query", pb.UsersPage())
    client = up(passed_on)
    from_partner(passed_on, "users_query", pb.UsersPage(users=[user(EVIL)]))
    answer = client.users(FIRE)
    assert answer.cause in (pb.PARTNER_CONNECTION_LOST, pb.PARTNER_PROTOCOL_ERROR, pb.PARTNER_UNREACHABLE) and not answer.users
    wait_for(lambda: any(c.cause == pb.MALFORMED_MESSAGE for c in passed_on.fake.closes), "Close")
