"""What was true when a connection was made is judged again while it lives: certificates and CRLs end."""

import glob

import pytest

from acx_peer import FakePartner, pb
from systems import SANITIZED, soon, wait_for
from test_certificates import chain, issued
from test_tls import REFUSED

LIBFAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)  # Debian's package libfaketime
pytestmark = [pytest.mark.skipif(not LIBFAKETIME, reason="libfaketime is not installed"),
              pytest.mark.skipif(SANITIZED, reason="libfaketime and the sanitizers' runtimes do not go together")]

ENDS = 10  # days; the clock goes on by this and a bit
USER = {"a@police.example": []}


class Clock:
    """The wall clock of a server, which a test moves: nothing depends on how fast the machine is."""

    def __init__(self, directory):
        self.file = directory / "clock"
        self.set(0)

    def set(self, days: float) -> None:
        other = self.file.with_suffix(".new")
        other.write_text(f"{int(days * 86400):+d}\n")
        other.rename(self.file)

    def start(self, system):
        system.wrapper = ["env", f"LD_PRELOAD={LIBFAKETIME}", f"FAKETIME_TIMESTAMP_FILE={self.file}", "FAKETIME_NO_CACHE=1",
                          "FAKETIME_DONT_FAKE_MONOTONIC=1"]
        return system.start()


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path)


def closed(client, home, said: str) -> None:
    assert client.receive_close().cause == pb.NO_LONGER_AUTHORISED
    home.wait_log("closing: NO_LONGER_AUTHORISED: ")
    home.wait_log(said)


def test_a_clients_certificate_that_ends(world, clock):
    home = world.system("police.example")
    admin, other = home.acmc(), home.acmc("other")
    home.ca.write_crl(next_update=ENDS * 3)
    short = home.ca.issue("control-room", [f"URI:sip:control-room@{home.name}"], end=ENDS)
    clock.start(home)
    client, lasting = home.client(short), home.client(other)
    client.ping()
    clock.set(ENDS - 0.5)
    lasting.ping()
    client.ping()
    clock.set(ENDS + 0.1)
    closed(client, home, f"certificate URI:sip:control-room@{home.name} has expired on ")
    lasting.ping()  # nobody else notices
    assert home.process.poll() is None


def test_an_intermediate_ca_that_ends(world, clock):
    home = world.system("police.example")
    home.acmc()
    del home.config["acmcs"]["crls"]
    middle = issued(home.ca, "middle", [], is_ca=True, end=ENDS)
    leaf = chain(issued(home.ca, "below", [f"URI:sip:control-room@{home.name}"], signer=(middle.certificate.subject, middle.key)),
                 middle)
    clock.start(home)
    client = home.client(leaf)
    client.ping()
    clock.set(ENDS + 0.1)
    closed(client, home, "has expired on ")


def test_a_crl_that_ends(world, clock):
    """And one that is put in its place, in time, keeps everybody connected."""
    home = world.system("police.example")
    admin = home.acmc()
    home.ca.write_crl(next_update=ENDS)
    clock.start(home)
    client = home.client(admin)
    client.ping()
    home.ca.write_crl(next_update=2 * ENDS)
    home.reload()
    clock.set(ENDS + 0.1)
    client.ping()
    clock.set(2 * ENDS + 0.1)
    closed(client, home, "has expired: get a new one")


def test_who_comes_back_is_refused(world, clock):
    home = world.system("police.example")
    home.acmc()
    short = home.ca.issue("control-room", [f"URI:sip:control-room@{home.name}"], end=ENDS)
    clock.start(home)
    client = home.client(short)
    client.ping()
    clock.set(ENDS + 0.1)
    assert client.receive_close().cause == pb.NO_LONGER_AUTHORISED
    with pytest.raises(REFUSED):
        home.client(short)


def partner_link(world, clock, end: float, crl_end: float):
    home, system = world.system("police.example"), world.system("fake.example")
    home.admin = home.acmc()
    home.ca.write_crl(next_update=10 * ENDS)
    leaf = system.ca.issue("fake", ["DNS:acms.fake.example"], end=end)
    system.ca.write_crl(next_update=crl_end)
    fake = FakePartner("fake.example", leaf, home.ca.cert_file)
    world.fakes.append(fake)
    home.partner(system, port=fake.port, provision=None)
    clock.start(home)
    home.wait_log("partner fake.example: up")
    assert home.client(home.admin).setup(["fake.example"], USER).result
    return home, fake


@pytest.mark.parametrize("end, crl_end, said", [
    (ENDS, 3 * ENDS, "certificate DNS:acms.fake.example has expired on "), (3 * ENDS, ENDS, "has expired: get a new one")],
    ids=["certificate", "CRL"])
def test_a_partners_certificate_or_crl_that_ends(world, clock, end, crl_end, said):
    home, fake = partner_link(world, clock, end, crl_end)
    clock.set(ENDS + 0.1)
    wait_for(lambda: fake.closes, "Close")
    assert fake.closes[0].cause == pb.NO_LONGER_AUTHORISED
    home.wait_log("partner fake.example: closing: NO_LONGER_AUTHORISED: ")
    home.wait_log(said)
    asked = len(fake.requests)
    later = int((ENDS + 0.1) * 86400_000)  # at home than for us
    answer = home.client(home.admin).setup(["fake.example"], USER, expires=soon(3) + later)
    assert answer.cause == pb.PARTNER_UNREACHABLE and len(fake.requests) == asked, answer
