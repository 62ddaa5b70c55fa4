"""The network between home and partner: partitions, losses, delays, partners that say nothing, or too much."""

import signal

import pytest

from acx_peer import FakePartner, hello, pb
from asking import Asker
from load import now_ms


@pytest.mark.parametrize("directions", [(0,), (1,), (0, 1)], ids=["home unheard", "partner unheard", "both"])
def test_partition(hosts, directions):
    """Requests of before, during and after it are each done once."""
    hosts.start()
    asker = Asker(hosts)
    asker.all_answered(asker.ask(20))
    hosts.net.drop(*directions)
    during = asker.ask(20)
    hosts.home.wait_log("no answer within 3 s")
    asker.hear_until(asker.delayed, "the administrator is told")
    during += asker.ask(5)
    hosts.net.heal()
    asker.all_answered(during)
    asker.all_answered(asker.ask(20))
    asker.check()
    assert asker.done() == 65


def test_short_partition_that_nobody_notices(hosts):
    """Shorter than any timeout: TCP repeats, and nothing is sent twice."""
    hosts.start()
    asker = Asker(hosts)
    hosts.net.drop(0, 1)
    asker.ask(5)
    hosts.net.heal()
    asker.all_answered()
    asker.check()
    assert asker.done() == 5


def test_loss_and_delay(hosts):
    """30 % lost and 500 ms late, each way."""
    hosts.net.spoil(0.3, 0.5)
    for system in (hosts.home, hosts.fire):
        system.config["limits"].update(handshake_timeout="60 s", partner_timeout="60 s", frame_timeout="60 s")
    hosts.fire.start()
    hosts.home.start()
    asker = Asker(hosts)
    for _ in range(2):
        asker.ask(20, users=3)
    asker.all_answered(seconds=300)
    asker.check()
    assert asker.done() == 40
    assert hosts.net.wire is None or hosts.net.wire.lost > 5


def test_loss_and_delay_beyond_patience(hosts):
    """The same, with a partner_timeout that is often too short: reconnections and repetitions, still each done once."""
    hosts.net.spoil(0.15, 0.3)
    hosts.home.config["limits"].update(handshake_timeout="20 s", partner_timeout="2 s")
    hosts.fire.start()
    hosts.home.start()
    asker = Asker(hosts)
    for _ in range(3):
        asker.ask(10)
    asker.all_answered(seconds=240)
    asker.check()
    assert asker.done() == 30


def test_partner_stops_answering(hosts):
    """SIGSTOP: the kernel accepts and acknowledges, nobody answers."""
    hosts.start()
    asker = Asker(hosts)
    asker.all_answered(asker.ask(10))
    hosts.fire.send_signal(signal.SIGSTOP)
    during = asker.ask(10)
    hosts.home.wait_log("no answer within 3 s")
    asker.hear_until(asker.delayed, "the administrator is told")
    hosts.fire.send_signal(signal.SIGCONT)
    asker.all_answered(during)
    asker.check()
    assert asker.done() == 20


def fake(hosts, script) -> FakePartner:
    """A scripted partner, on home's own host."""
    with hosts.home.host.inside():
        partner = FakePartner("fire.example", hosts.fire.leaf, hosts.home.ca.cert_file, script,
                              hello("fire.example"))
    hosts.home.config["partners"][0]["address"] = f"127.0.0.1:{partner.port}"
    return partner


def test_partner_says_hello_and_no_more(hosts):
    """The connection is given up and made again, until the deadline; then the outcome is unknown, and said so."""
    partner = fake(hosts, lambda link, request: None)
    hosts.home.start()
    asker = Asker(hosts)
    expires = now_ms() + 12_000
    asked = asker.ask(3, expires=expires)
    asker.all_answered(asked)
    assert now_ms() >= expires
    assert all(a.answer.cause in (pb.PARTNER_TIMEOUT, pb.PARTNER_CONNECTION_LOST) for a in asked)
    assert len(partner.requests) > 3 and len({r.request_id for r in partner.requests}) == 3
    asker.close()
    partner.stop()


def refusal(request) -> "pb.Message":
    return pb.Message(mc_service_user_setup_response=pb.McServiceUserSetupResponse(
        request_id=request.request_id, mc_system_id="fire.example", result=False,
        origin=pb.PARTNER_ACMS, cause=pb.USER_QUOTA_EXCEEDED))


def test_partner_answers_twice(hosts):
    """One answer counts; the administrator hears one."""
    def twice(link, request):
        link.send(refusal(request))
        link.send(refusal(request))
    partner = fake(hosts, twice)
    hosts.home.start()
    asker = Asker(hosts)
    asked = asker.ask(20)
    asker.all_answered(asked)
    assert {a.answer.cause for a in asked} == {pb.USER_QUOTA_EXCEEDED}
    more = asker.ask(1)  # behind all second answers
    asker.all_answered(more)
    assert len(partner.requests) == 21
    assert max(asker.heard.values()) == 1, asker.heard
    asker.close()
    partner.stop()
