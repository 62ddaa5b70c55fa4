"""Who gets in: PROTOCOL.md 1; TS 33.210 6.2, TS 33.310."""

import ssl

import pytest

import pki
from acx_peer import Client, Ended, pb, tls_context
from systems import System

REFUSED = (ssl.SSLError, ConnectionError, Ended)


def refused(system: System, leaf=None, context=None) -> None:
    """The server must not talk to this client, and still talks to others."""
    with pytest.raises(REFUSED):
        Client(system.port, leaf, system.ca.cert_file, context=context)
    assert system.healthy()


DEFECTS = {
    "expired": (dict(start=-20, end=-1), "has expired on"),
    "future": (dict(start=2), "is not valid before"),
    "server-only": (dict(usages=(pki.SERVER,)), "is not for this use"),
    "weak": (dict(rsa_bits=1024), "key too weak"),
}


@pytest.mark.parametrize("label", DEFECTS)
def test_a_bad_certificate_is_refused_and_the_log_says_why(federation, label):
    changes, said = DEFECTS[label]
    home = federation.home
    leaf = home.ca.issue(label, ["URI:sip:control-room@police.example"], **changes)
    context = None
    if label == "weak":
        context = tls_context(False, None, home.ca.cert_file)
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        context.load_cert_chain(leaf.cert_file, leaf.key_file)
    before = home.log().count(said)
    refused(home, leaf, context)
    home.wait_log(said, before)


def test_no_certificate(federation):
    refused(federation.home)
    federation.home.wait_log("the client sent no certificate")


def test_a_name_that_nobody_has(federation):
    refused(federation.home, federation.home.ca.issue("stranger", ["URI:sip:stranger@police.example"]))
    federation.home.wait_log("no configured party has a certificate named URI:sip:stranger@police.example")


def test_one_partners_ca_never_vouches_for_another(world):
    """'a certificate from partner B's CA never passes as partner C, whatever name it carries'"""
    fire, police, rail = (world.system(n) for n in ("fire.example", "police.example", "rail.example"))
    fire.partner(police, address=False)
    fire.partner(rail, address=False)
    fire.start()
    forged = rail.ca.issue("forged", ["DNS:acms.police.example"])
    both = rail.ca.issue("both", ["DNS:acms.police.example", "DNS:acms.rail.example"])
    refused(fire, forged)
    fire.wait_log("was not issued by a trust anchor configured for DNS:acms.police.example")
    # it carries rail's own name as well: then it is rail, and nobody else
    client = fire.client(both, system="rail.example")
    assert client.setup(["fire.example"], {"a@police.example": []}).cause == pb.OUTSIDE_NAMESPACE
    refused(fire, fire.ca.issue("own", ["DNS:acms.police.example"]))
    with pytest.raises((AssertionError, Ended)):
        fire.client(police.leaf, system="rail.example").ping()
    fire.wait_log("MC_SYSTEM_ID_MISMATCH")


def test_revoked(world):
    home = world.system("police.example")
    admin = home.acmc()
    home.start()
    client = home.client(admin)
    client.ping()
    home.ca.revoke(admin)
    home.reload()  # 'certificates included'
    assert client.receive_close().cause == pb.NO_LONGER_AUTHORISED
    refused(home, admin)
    home.wait_log("has been revoked")


def test_an_expired_crl_fails_closed(world):
    home = world.system("police.example")
    admin = home.acmc()
    home.ca.write_crl(next_update=-1)
    home.start()
    refused(home, admin)
    home.wait_log("has expired: get a new one")


@pytest.mark.parametrize("alpn, said", [
    ((), "does not offer the protocol acx/1 (ALPN)"), (("h2",), "offers other protocols than acx/1 (ALPN)"),
    (("acx/2",), "offers other protocols than acx/1 (ALPN)")])
def test_alpn_is_mandatory(federation, alpn, said):
    home = federation.home
    before = home.log().count(said)
    refused(home, context=tls_context(False, home.admin, home.ca.cert_file, alpn=alpn))
    home.wait_log(said, before)


def limited(home, minimum=None, maximum=None, ciphers=None) -> ssl.SSLContext:
    context = tls_context(False, home.admin, home.ca.cert_file)
    if ciphers:
        context.set_ciphers(ciphers)
    if maximum:
        context.minimum_version = minimum or ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = maximum
    return context


def test_tls_versions_and_ciphers(federation):
    home, v = federation.home, ssl.TLSVersion
    refused(home, context=limited(home, maximum=v.TLSv1_1, ciphers="DEFAULT@SECLEVEL=0"))
    refused(home, context=limited(home, maximum=v.TLSv1_2, ciphers="ECDHE-ECDSA-AES128-SHA256"))
    for ok in (limited(home, maximum=v.TLSv1_2), limited(home)):
        client = Client(home.port, None, None, context=ok)
        client.ping()
        assert client.sock.session is None or not client.sock.session_reused


def test_no_resumption(federation):
    """A resumed session would skip the certificate checks."""
    home = federation.home
    context = limited(home, minimum=ssl.TLSVersion.TLSv1_2, maximum=ssl.TLSVersion.TLSv1_2)
    first = Client(home.port, None, None, context=context)
    assert not first.sock.session.has_ticket and not first.sock.session.id


def test_acmc_says_what_is_wrong_with_the_server(federation, world):
    from systems import acmc
    home = federation.home
    config = home.acmc_config(home.admin, server_certificate="DNS:other.example")
    result = acmc(config, "--to", "fire.example", "a@police.example")
    assert result.returncode == 4 and "no configured party has a certificate named DNS:acms.police.example" in result.stderr
    stranger = home.ca.issue("stranger2", ["URI:sip:stranger2@police.example"])
    result = acmc(home.acmc_config(stranger), "--to", "fire.example", "a@police.example")
    assert result.returncode == 4 and "rejected by the other end" in result.stderr
    config = home.acmc_config(home.admin, mc_system_id="fire.example")
    result = acmc(config, "--to", "fire.example", "a@police.example")
    assert result.returncode == 4 and "fire.example" in result.stderr
