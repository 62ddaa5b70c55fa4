"""One readable YAML file: check, print, reload."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from cryptography import x509

import pki
from acx_peer import pb
from systems import BUILD, acmc, free_port, wait_for

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


# --- what check must not call good ---

def judged(system) -> str:
    """What acms check says; it is what acms serve says, too, and neither lets it pass."""
    system.write_config()
    result = system.run("check")
    serve = subprocess.run([BUILD / "acms", "serve", "-c", system.config_file], capture_output=True, text=True, timeout=60)
    assert (result.returncode, serve.returncode) == (1, 1) and result.stdout == "" and serve.stderr == result.stderr
    return result.stderr


def is_good(system) -> None:
    system.write_config()
    result = system.run("check")
    assert result.returncode == 0, result.stderr


def line_of(system, text: str) -> int:
    return next(i for i, line in enumerate(system.config_file.read_text().splitlines(), 1) if text in line)


def can_listen(*addresses: str) -> bool:
    """On one port, one after the other, as acms does."""
    listeners, port = [], 0
    try:
        for address in addresses:
            listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if ":" in address:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind((address, port))
            listener.listen()
            port = listener.getsockname()[1]
        return True
    except OSError:
        return False
    finally:
        for listener in listeners:
            listener.close()


PAIRS = [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "127.0.0.2"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("::", "127.0.0.1"),
         ("127.0.0.1", "::"), ("::", "0.0.0.0"), ("0.0.0.0", "::"), ("::", "::1"), ("::1", "::"), ("::1", "127.0.0.1"), ("::1", "0.0.0.0"),
         ("0.0.0.0", "::1"), ("::1", "0:0:0:0:0:0:0:1"), ("::ffff:127.0.0.1", "127.0.0.1"), ("::ffff:127.0.0.1", "0.0.0.0"),
         ("::ffff:0.0.0.0", "127.0.0.1"), ("::ffff:0.0.0.0", "::1")]


@pytest.mark.skipif(not can_listen("::1"), reason="no IPv6 here")
@pytest.mark.parametrize("pair", PAIRS)
def test_addresses_that_cannot_be_listened_on_together(world, pair):
    """check says what the kernel would."""
    home = world.system("police.example")
    home.acmc()
    port = home.config["listen"][0]["port"]
    home.config["listen"] = [{"address": address, "port": port} for address in pair]
    if can_listen(*pair):
        is_good(home)
        home.start()
        return
    assert f"listen[2].address: {pair[1]}: another entry listens on port {port}" in judged(home)
    home.config["listen"][1]["port"] += 1
    is_good(home)


@pytest.mark.parametrize("address", ["localhost", "acms.police.example", "127.1", "*", "127.0.0.1:7443", "[::1]", "::1::1", "1.2.3.4.5"])
def test_a_listen_address_that_is_none(world, address):
    home = world.system("police.example")
    home.acmc()
    home.config["listen"][0]["address"] = address
    said = judged(home)
    assert f"acms.yaml:{line_of(home, 'address:')}: listen[1].address: {address}: must be an IP address" in said


@pytest.mark.parametrize("mode", [0o701, 0o704, 0o702, 0o750, 0o710, 0o740, 0o720, 0o777, 0o1777, 0o755])
def test_a_store_that_is_open_to_others(world, mode):
    home = world.system("police.example")
    home.acmc()
    is_good(home)
    store = home.dir / "store"
    store.chmod(mode)
    assert f"acms.yaml:{line_of(home, 'store:') + 1}: store: directory: {store}: others have access to it" in judged(home)
    store.chmod(0o700)
    is_good(home)


def test_a_store_that_is_no_directory(world):
    home = world.system("police.example")
    home.acmc()
    home.config["store"]["directory"] = "ca.crt"
    assert "ca.crt: is not a directory" in judged(home)
    home.config["store"]["directory"] = "not-yet"
    is_good(home)


EVERY_FILE = {"acms.yaml": "", "acms.crt": "tls.certificate", "acms.key": "tls.key", "ca.crt": "acmcs.trust_anchors[1]", "ca.crl": "acmcs.crls[1]"}


@pytest.mark.parametrize("name", EVERY_FILE)
def test_files_that_others_may_write(world, name):
    """Whoever can write one decides who we are and whom we trust."""
    home = world.system("police.example")
    home.acmc()
    home.write_config()
    file = home.dir / name
    before = file.stat().st_mode & 0o777
    for mode in (before | 0o020, before | 0o002, before | 0o022):
        file.chmod(mode)
        said = judged(home)
        assert f"{file}: {'everybody' if mode & 2 else 'its group'} may write to it: chmod g" in said.replace("chmod go-w", "chmod g")
        if name != "acms.yaml":
            assert f": {EVERY_FILE[name]}: " in said
    file.chmod(before)
    is_good(home)


@pytest.mark.parametrize("name", EVERY_FILE)
def test_directories_that_others_may_write(world, name):
    """Of the file, and of where a link leads, as certificates of certbot are."""
    home = world.system("police.example")
    home.acmc()
    home.write_config()
    elsewhere = home.dir / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    (home.dir / name).rename(elsewhere / name)
    (home.dir / name).symlink_to(elsewhere / name)
    is_good(home)
    for mode in (0o775, 0o757, 0o777):
        elsewhere.chmod(mode)
        assert f"{elsewhere}: the directory of {elsewhere / name}: " in judged(home)
    elsewhere.chmod(0o755)
    home.dir.chmod(0o777)
    assert f"{home.dir}: the directory of " in judged(home)
    home.dir.chmod(0o1777)  # nobody can replace what is ours
    is_good(home)
    home.dir.chmod(0o755)


def test_a_partners_files_that_others_may_write(world):
    home, fire, rail = world.federation()
    home.write_config()
    for file, key in ((rail.ca.cert_file, "trust_anchors"), (rail.ca.crl_file, "crls")):
        file.chmod(0o666)
        assert f"partners[2].{key}[1]: {file}: {file}: everybody may write to it" in judged(home)
        file.chmod(0o644)
    is_good(home)


@pytest.fixture
def open_directory():
    """Where other users get to, as they do not get into pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="acx-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
@pytest.mark.parametrize("name", [*EVERY_FILE, "store"])
def test_files_of_another_user(world, open_directory, name):
    """Read by the user 7443: root's and its own are taken, others' are not."""
    home = world.system("police.example")
    home.acmc()
    home.write_config()
    here = open_directory / "police.example"
    shutil.copytree(home.dir, here)
    shutil.copy(BUILD / "acms", here)
    for file in ("acms.key", "store"):
        os.chown(here / file, 7443, 7443)

    def check() -> subprocess.CompletedProcess:
        return subprocess.run([here / "acms", "check", "-c", here / "acms.yaml"], capture_output=True, text=True, timeout=60, user=7443, group=7443)

    assert check().returncode == 0, check().stderr
    os.chown(here / name, 4711, 7443)
    (here / name).chmod(0o750 if name == "store" else 0o640)
    result = check()
    assert result.returncode == 1 and f"{here / name}: belongs to another user" in result.stderr
    os.chown(here / name, 7443, 7443)
    (here / name).chmod(0o700)
    assert check().returncode == 0, check().stderr


def test_reload_refuses_what_check_does(world):
    home = world.system("police.example")
    admin = home.acmc()
    home.start()
    client = home.client(admin)
    for file in (home.ca.cert_file, home.config_file, home.dir / "store"):
        before, refusals = file.stat().st_mode & 0o777, home.log().count("the one before stays in force")
        file.chmod(0o777)
        home.send_signal(signal.SIGHUP)
        wait_for(lambda: home.log().count("the one before stays in force") > refusals, "refused")
        file.chmod(before)
    client.ping()
    home.reload()


@pytest.mark.parametrize("usages", [(pki.CLIENT,), (x509.oid.ExtendedKeyUsageOID.CODE_SIGNING,), (x509.ObjectIdentifier("2.5.29.37.0"),)])
def test_a_certificate_that_is_not_for_servers(world, usages):
    home = world.system("police.example")
    home.acmc()
    home.ca.issue("acms", ["DNS:acms.police.example"], usages=usages)
    said = judged(home)
    assert f"acms.yaml:{line_of(home, 'tls:') + 1}: tls: certificate: the certificate is not for a TLS server" in said and "serverAuth" in said


def test_a_certificate_that_is_not_for_clients(world):
    """Only who sends to partners needs that."""
    home, fire, rail = world.federation()
    for system in (home, fire):
        system.ca.issue("acms", [f"DNS:acms.{system.name}"], usages=(pki.SERVER,))
    is_good(fire)
    assert "not for a TLS client: its extended key usage must include clientAuth" in judged(home)


@pytest.mark.parametrize("names", [["DNS:*.police.example"], ["IP:127.0.0.1"], ["DNS:*"], ["DNS:*.police.example", "IP:127.0.0.1"]])
def test_a_certificate_that_nobody_could_know(world, names):
    home = world.system("police.example")
    home.acmc()
    home.ca.issue("acms", names)
    assert "no subjectAltName that others could know us by" in judged(home)
    home.ca.issue("acms", [*names, "DNS:acms.police.example"])
    is_good(home)


@pytest.mark.parametrize("name", ["DNS:*.fire.example", "DNS:*", "DNS:acms.*", "DNS:acms fire", "DNS:acms.fire.example:7443"])
def test_a_certificate_name_that_no_certificate_has(world, name):
    home, fire, rail = world.federation()
    home.config["partners"][0]["certificate"] = name
    assert f"partners[1].certificate: {name}: " in judged(home)
    home.config["partners"][0]["certificate"] = "DNS:acms.fire.example"
    home.config["acmcs"]["clients"][0]["certificate"] = name
    assert f"acmcs.clients[1].certificate: {name}: " in judged(home)


def test_acmc_refuses_the_same(world):
    home, fire, rail = world.federation()
    config = home.acmc_config(home.admin)
    for file in (config, home.admin.cert_file, home.admin.key_file, home.ca.cert_file):
        before = file.stat().st_mode & 0o777
        file.chmod(before | 0o022)
        result = acmc(config, "--to", "fire.example", "a@police.example")
        assert result.returncode == 2 and f"{file}: everybody may write to it" in result.stderr, result.stderr
        file.chmod(before)
    home.admin.key_file.chmod(0o604)
    assert "everybody may read this key" in acmc(config, "--to", "fire.example", "a@police.example").stderr
    home.admin.key_file.chmod(0o600)
    server_only = home.acmc_config(home.ca.issue("server-only", ["URI:sip:x@police.example"], usages=(pki.SERVER,)))
    result = acmc(server_only, "--to", "fire.example", "a@police.example")
    assert result.returncode == 2 and "not for a TLS client" in result.stderr
