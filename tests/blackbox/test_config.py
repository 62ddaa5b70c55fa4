"""One readable YAML file: check, print, reload."""

import signal

from cryptography import x509

import pki
from acx_peer import pb
from systems import free_port, wait_for

USER = {"c@police.example": []}


def test_check_reports_every_mistake(world):
    home = world.system("police.example")
    home.acmc()
    home.write_config()
    assert home.run("check").returncode == 0
    text = home.config_file.read_text()
    home.config_file.write_text(
        text.replace("certificate: acms.crt", "certificate: nowhere.crt").replace("mc_system_id: police.example",
                                                                                  "mc_system_id: Police")
        + "limit: {}\nwarnings:\n  certificate_expires_within: soon\n")
    result = home.run("check")
    assert result.returncode == 1 and result.stdout == ""
    for part in ("acms.yaml:1: mc_system_id: Police: must be an MC system ID", "nowhere.crt: No such file",
                 "limit: unknown key; did you mean limits?", "certificate_expires_within: soon: must be a time"):
        assert part in result.stderr, result.stderr


def test_check_finds_what_is_wrong_in_the_files(world):
    home = world.system("police.example")
    home.acmc()
    home.leaf.key_file.chmod(0o644)
    home.ca.crl_file.write_text("no CRL")
    home.write_config()
    result = home.run("check")
    assert result.returncode == 1
    assert "acms.yaml:6: tls: " in result.stderr and "everybody may read this key" in result.stderr
    assert "acms.yaml:14: acmcs: " in result.stderr and "ca.crl: no PEM CRL in it" in result.stderr
    home.leaf.key_file.chmod(0o600)
    home.leaf.key_file.write_bytes((home.dir / "control-room.key").read_bytes())
    assert "does not belong to the certificate" in home.run("check").stderr


def test_printed_configuration_parses_back_to_itself(world):
    home, fire, rail = world.federation()
    for s in (home, fire):
        s.write_config()
        printed = s.run("print").stdout
        again = s.dir / "again.yaml"
        again.write_text(printed)
        s.config_file = again
        assert s.run("print").stdout == printed and "max_requests_in_flight: 256" in printed


def test_sighup_takes_everything_new_or_nothing(world):
    home, fire, rail = world.federation()
    home.config["partners"].pop()
    for s in (fire, rail, home):
        s.start()
    client = home.client(home.admin)
    assert client.setup(["rail.example"], USER).cause == pb.UNKNOWN_TARGET
    good = home.config_file.read_text()
    home.config_file.write_text(good.replace("port:", "prt:"))
    home.send_signal(signal.SIGHUP)
    home.wait_log("the one before stays in force")
    assert "unknown key; did you mean port?" in home.log()
    assert client.setup(["fire.example"], USER).result  # the connection lives on, too
    home.partner(rail, provision=None)
    home.leaf = home.ca.issue("acms", ["DNS:acms.police.example", "DNS:localhost"])
    home.reload()
    assert client.setup(["rail.example"], USER).result
    assert home.healthy()
    fresh = home.client(home.admin)
    assert x509.load_der_x509_certificate(fresh.sock.getpeercert(True)) == home.leaf.certificate
    assert fresh.setup(["fire.example"], USER).result


def test_reload_moves_the_listener_and_drops_who_is_gone(world):
    home = world.system("police.example")
    admin, gone = home.acmc(), home.acmc("gone")
    home.start()
    stays, goes = home.client(admin), home.client(gone)
    home.config["acmcs"]["clients"].pop()
    home.port = home.config["listen"][0]["port"] = free_port()
    home.reload()
    assert goes.receive_close().cause == pb.NO_LONGER_AUTHORISED
    stays.ping()
    home.client(admin).ping()


def test_reload_that_needs_a_restart_is_refused(world):
    home = world.system("police.example")
    home.start()
    home.config["store"]["directory"] = "/elsewhere"
    home.write_config()
    home.send_signal(signal.SIGHUP)
    home.wait_log("store.directory: changed; this needs a restart")
    assert home.process.poll() is None


def test_certificates_that_expire_soon_are_warned_of(world):
    home = world.system("police.example")
    home.leaf = home.ca.issue("acms", ["DNS:acms.police.example"], end=5.5)
    admin = home.acmc()
    soon = home.ca.issue("control-room", ["URI:sip:control-room@police.example"], usages=(pki.CLIENT,), end=3.5)
    home.start()
    home.wait_log("the certificate of police.example expires in 5 days")
    assert "expires in 5 days" in home.run("check").stderr
    home.client(soon).ping()
    home.wait_log("ACMC control-room")
    wait_for(lambda: "its certificate expires in 3 days" in home.log(), "the client's, too")
    assert admin


def test_port_taken(world):
    home, other = world.system("police.example"), world.system("other.example")
    home.start()
    other.config["listen"][0]["port"] = home.port
    other.start(wait=False)
    assert other.process.wait(20) == 1
    assert f"listen: 127.0.0.1 port {home.port}: Address already in use" in other.log()
    other.process = None
