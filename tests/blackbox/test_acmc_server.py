"""acmc against a home ACMS that errs or means ill: both ends enforce PROTOCOL.md."""

import json
import subprocess

import pytest
import yaml

import pki
from acx_peer import FakePartner, Link, frame, hello, limits, new_id, pack, pb, true_response
from systems import BUILD, WRAPPER

HOME, FIRE, RAIL = "police.example", "fire.example", "rail.example"


def answer(link: Link, asked, system: str, **changes) -> None:
    message = true_response(asked, system)
    response = message.mc_service_user_setup_response
    for name, value in changes.items():
        setattr(response, name, value)
    link.send(message)


def all_true(link: Link, asked) -> None:
    for system in asked.mc_system_id:
        answer(link, asked, system)


class Desk:
    """An administrator's directory, and the acmc in it, whose home is a script."""

    def __init__(self, root):
        self.root, self.fakes = root, []
        self.ca = pki.CA(root, "home's CA")
        self.admin = self.ca.issue("admin", ["URI:sip:admin@police.example"], usages=(pki.CLIENT,))
        self.server = self.ca.issue("server", ["DNS:localhost"], usages=(pki.SERVER,))

    def home(self, script=all_true, greeting=None, leaf=None) -> FakePartner:
        fake = FakePartner(HOME, leaf or self.server, self.ca.cert_file, script, greeting)
        self.fakes.append(fake)
        return fake

    def setup(self, fake: FakePartner, *words: str, **more) -> subprocess.CompletedProcess:
        config = self.root / "acmc.yaml"
        config.write_text(yaml.safe_dump({
            "server": f"localhost:{fake.port}", "mc_system_id": HOME, "certificate": str(self.admin.cert_file),
            "key": str(self.admin.key_file), "trust_anchors": [str(self.ca.cert_file)], **more}))
        return subprocess.run([*WRAPPER, BUILD / "acmc", "setup", "-c", config, "--timeout", "1", "--to",
                               f"{FIRE},{RAIL}", *(words or ["a@police.example,mcptt=sip:a@police.example"])],
                              capture_output=True, text=True, timeout=60)


@pytest.fixture
def desk(tmp_path):
    d = Desk(tmp_path)
    yield d
    for fake in d.fakes:
        fake.stop()


def test_sound(desk):
    fake = desk.home()
    result = desk.setup(fake)
    assert result.returncode == 0, result.stderr
    assert sorted(fake.requests[0].mc_system_id) == [FIRE, RAIL] and len(fake.requests[0].request_id) == 16


@pytest.mark.parametrize("greeting", [
    hello("other.example"), hello(None), hello(HOME, version_min=2, version_max=3),
    hello(HOME, limits=limits(max_frame_bytes=4)), hello(HOME, limits=limits(max_mc_ids=0)),
    pb.Message(hello=pb.Hello(version_min=1, version_max=1, mc_system_id=HOME)),
    pb.Message(ping=pb.Ping(token=1)), pb.Message(close=pb.Close(cause=pb.TOO_MANY_CONNECTIONS, detail="full"))])
def test_a_bad_first_message(desk, greeting):
    """3: 'A client compares the server's with the one that it meant to reach'; nothing is sent before the Hello"""
    fake = desk.home(greeting=greeting)
    result = desk.setup(fake)
    assert result.returncode == 4 and result.stderr.startswith("acmc: ") and not fake.requests
    if greeting.WhichOneof("body") == "close":
        assert "TOO_MANY_CONNECTIONS" in result.stderr and "full" in result.stderr


def only_fire(change):
    def script(link: Link, asked) -> None:
        answer(link, asked, FIRE)
        change(link, asked)
    return script


def test_revisions_are_of_whom_they_are(desk):
    """6: in bytewise order of the MC IDs, whatever order they were given in"""
    users = ["zoe@police.example", "abe@police.example"]

    def revised(link: Link, asked) -> None:
        for system in asked.mc_system_id:
            answer(link, asked, system, revision_of_each=pack([7, 300]))

    result = desk.setup(desk.home(revised), "--json", *users)
    assert result.returncode == 0, result.stderr
    for shown in json.loads(result.stdout)["responses"]:
        assert shown["revisions"] == [{"mc_id": users[1], "revision": 7}, {"mc_id": users[0], "revision": 300}]
        assert shown["mc_id_list"] == users


LOST = {
    "never answers": lambda link, asked: None,
    "ends": lambda link, asked: (link.sock.unwrap(), link.close()),
    "ends inside a frame": lambda link, asked: (link.send_raw(b"\0\0\1\0abc"), link.sock.unwrap(), link.close()),
    "Close": lambda link, asked: (link.send(pb.Message(close=pb.Close(cause=pb.GOING_AWAY, detail="bye"))),
                                  link.sock.unwrap(), link.close()),
    "no protobuf": lambda link, asked: link.send_raw(frame(b"\xff" * 9)),
    "long frame": lambda link, asked: link.send_raw(b"\x7f\xff\xff\xff"),
    "empty frame": lambda link, asked: link.send_raw(b"\0\0\0\0"),
    "no result": lambda link, asked: answer_without(link, asked, "result"),
    "too many revisions": lambda link, asked: answer(link, asked, RAIL, revision_of_each=pack([1, 1])),
    "no revision": lambda link, asked: answer(link, asked, RAIL, revision_of_each=bytes(8)),
    "half a revision": lambda link, asked: answer(link, asked, RAIL, revision_of_each=bytes(4)),
    "TRUE with a cause": lambda link, asked: answer(link, asked, RAIL, cause=pb.OUTSIDE_NAMESPACE),
    "FALSE without a cause": lambda link, asked: answer(link, asked, RAIL, result=False),
    "no origin": lambda link, asked: answer(link, asked, RAIL, origin=0),
    "a target that was not asked": lambda link, asked: answer(link, asked, "else.example"),
    "another request": lambda link, asked: answer(link, asked, RAIL, request_id=new_id()),
    "the same target twice": lambda link, asked: answer(link, asked, FIRE),
    "second Hello": lambda link, asked: link.send(hello(HOME)),
}


def answer_without(link: Link, asked, field: str) -> None:
    message = true_response(asked, RAIL)
    message.mc_service_user_setup_response.ClearField(field)
    link.send(message)


@pytest.mark.parametrize("what", LOST)
def test_an_answer_that_is_no_answer(desk, what):
    """Exit code 4 'not every answer came'; what did come is shown, and how to find out the rest."""
    result = desk.setup(desk.home(only_fire(LOST[what])))
    assert result.returncode == 4, (result.stdout, result.stderr)
    assert "--request-id" in result.stderr and FIRE in result.stdout and "1 of 2 answers TRUE" in result.stdout
    out = json.loads(desk.setup(desk.home(only_fire(LOST[what])), "--json", "a@police.example").stdout)
    assert out["exit_code"] == 4 and out["failure"]
    assert {r["mc_system_id"]: r["result"] for r in out["responses"]} == {FIRE: True, RAIL: None}


def test_exit_code_of_refusals(desk):
    """1 FALSE from at least one; 3 if home refused everything"""
    def script(cause, origin):
        def f(link, asked):
            answer(link, asked, FIRE)
            message = true_response(asked, RAIL)
            message.mc_service_user_setup_response.MergeFrom(
                pb.McServiceUserSetupResponse(result=False, cause=cause, origin=origin))
            link.send(message)
        return f
    for cause, origin, code in ((pb.OUTSIDE_NAMESPACE, pb.PARTNER_ACMS, 1), (pb.PARTNER_UNREACHABLE, pb.HOME_ACMS, 1),
                                (pb.TARGET_NOT_PERMITTED, pb.HOME_ACMS, 1), (pb.PARTNER_TIMEOUT, pb.HOME_ACMS, 1)):
        assert desk.setup(desk.home(script(cause, origin))).returncode == code, cause


def test_request_stays_within_the_homes_limits(desk):
    """3: 'The receiver keeps within them' (the limits); 5.5: parts have request IDs that count up"""
    fake = desk.home(greeting=hello(HOME, limits=limits(max_mc_ids=3, max_requests_in_flight=1,
                                                        max_mc_service_ids_per_mc_id=16)))
    words = ["--request-id", "0190b1c2-0000-7000-8000-0000ffffffff"] + [f"u{i}@police.example" for i in range(8)]
    assert desk.setup(fake, *words).returncode == 0
    assert [len(r.mc_id_list) for r in fake.requests] == [3, 3, 2]
    assert [r.request_id[12:].hex() for r in fake.requests] == ["ffffffff", "00000000", "00000001"]
    assert len({r.request_id[:12] for r in fake.requests}) == 1


def test_more_than_the_home_takes_for_one_user_is_told_before_sending(desk):
    fake = desk.home(greeting=hello(HOME, limits=limits(max_mc_service_ids_per_mc_id=1)))
    result = desk.setup(fake, "a@police.example,mcptt=sip:a@police.example,mcdata=sip:b@police.example")
    assert result.returncode == 2 and not fake.requests, result.stderr


SERVER_DEFECTS = {
    "expired": (dict(start=-20, end=-1), "expired"),
    "future": (dict(start=2), "not valid before"),
    "client-only": (dict(usages=(pki.CLIENT,)), "not for this use"),
}


@pytest.mark.parametrize("label", SERVER_DEFECTS)
def test_a_bad_server_certificate(desk, label):
    changes, said = SERVER_DEFECTS[label]
    fake = desk.home(leaf=desk.ca.issue(label, ["DNS:localhost"], **changes))
    result = desk.setup(fake)
    assert result.returncode == 4 and said in result.stderr and not fake.requests, result.stderr


@pytest.mark.parametrize("names", [["DNS:*.police.example"], ["DNS:other.example"], ["URI:DNS:acms.police.example"]])
def test_the_name_must_be_the_one_expected(desk, names):
    """1: 'DNS: entries case-insensitively and without wildcards'; 'the subject is never looked at'"""
    fake = desk.home(leaf=desk.ca.issue("acms.police.example", names))
    result = desk.setup(fake, server_certificate="DNS:acms.police.example")
    assert result.returncode == 4 and not fake.requests


def test_dns_names_compare_without_case(desk):
    fake = desk.home(leaf=desk.ca.issue("case", ["DNS:ACMS.Police.Example"]))
    assert desk.setup(fake, server_certificate="DNS:acms.police.example").returncode == 0


def test_a_server_of_another_ca_or_revoked(desk, tmp_path):
    other = pki.CA(tmp_path / "other", "other CA")
    fake = desk.home(leaf=other.issue("server", ["DNS:localhost"]))
    assert desk.setup(fake).returncode == 4 and not fake.requests
    revoked = desk.ca.issue("revoked", ["DNS:localhost"])
    desk.ca.revoke(revoked)
    fake = desk.home(leaf=revoked)
    result = desk.setup(fake, crls=[str(desk.ca.crl_file)])
    assert result.returncode == 4 and "revoked" in result.stderr and not fake.requests


def test_a_server_without_alpn(desk):
    """1: 'a client closes if it was not selected'"""
    import acx_peer
    fake = desk.home()
    fake.context = acx_peer.tls_context(True, desk.server, desk.ca.cert_file, alpn=())
    result = desk.setup(fake)
    assert result.returncode == 4 and "ALPN" in result.stderr and not fake.requests
