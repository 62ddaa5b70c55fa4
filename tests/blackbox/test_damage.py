"""Texts that peers make as bad as they can, and records that cannot be read: what they concern fails, and nothing else."""

import json
import subprocess

import lmdb
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import pki
from acx_peer import Ended, FakePartner, new_id, now_ms, pb, request
from idm_store_reader import IdmStore
from systems import BUILD, soon, wait_for

HOME, FIRE, FAKE = "police.example", "fire.example", "fake.example"


# --- texts that are cut ---


def closing(detail: str):
    """A partner that has not answered yet and parts with a Close."""
    def script(link, asked) -> None:
        link.send(pb.Message(close=pb.Close(cause=pb.GOING_AWAY, detail=detail)))
        raise Ended("closed")
    return script


@pytest.mark.parametrize("shift", range(4))
def test_a_long_close_does_not_poison_home(world, shift):
    """What the partner said goes into the answer when the deadline passes: cut between characters, it can be read."""
    home, system = world.system(HOME), world.system(FAKE)
    home.admin = home.acmc()
    home.config["limits"] = {"keep_answers": "1 s", "shutdown_timeout": "5 s"}
    fake = FakePartner(FAKE, system.leaf, home.ca.cert_file, closing("x" * shift + "\U0001F693" * 120))
    world.fakes.append(fake)
    home.partner(system, port=fake.port, provision=None)
    home.start()
    client = home.client(home.admin)
    request_id = new_id()
    client.submit([FAKE], {"a@police.example": []}, request_id=request_id, expires=soon(2))
    answer = client.response(request_id)
    assert not answer.result and answer.origin == pb.HOME_ACMS and "\U0001F693" in answer.detail
    assert client.delivery(request_id, FAKE).response.detail == answer.detail
    assert home.run("audit", "verify").returncode == 0
    exported = home.run("audit", "export")
    assert exported.returncode == 0 and "\U0001F693" in json.loads(exported.stdout)[-1]["detail"]
    store = IdmStore(home.store)
    store.check()
    wait_for(lambda: not store.asked(), "the request is forgotten")
    store.close()
    assert "error" not in home.log()


def utf8_leaf(ca: pki.CA, name: str, first: str):
    """A certificate whose first name is UTF-8, which no library here will make; openssl does."""
    key, request, out = (ca.directory / f"utf8.{kind}" for kind in ("key", "csr", "crt"))
    ca_key = ca.directory / "ca-for-openssl.key"
    pki.write_key(ca.key, ca_key)
    extensions = ca.directory / "utf8.cnf"
    extensions.write_text(f"subjectAltName=DNS:{first},DNS:{name},DNS:localhost\nextendedKeyUsage=clientAuth,serverAuth\n")
    run = lambda *words: subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
    run("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request,
        "-subj", "/CN=utf8")
    run("x509", "-req", "-in", request, "-CA", ca.cert_file, "-CAkey", ca_key, "-days", "9", "-extfile", extensions, "-out", out)
    return pki.Leaf(None, out, key)


@pytest.mark.parametrize("shift", range(2))
def test_a_certificate_with_a_long_name_does_not_stop_the_partner(world, shift):
    home, fire = world.system(HOME), world.system(FIRE)
    fire.admin = fire.acmc(approves=[HOME])
    fire.partner(home, address=False)["provision"]["approval"] = {"setup": "manual"}
    fire.start()
    leaf = utf8_leaf(home.ca, "acms.police.example", "x" * shift + "\u00e4" * 150)
    hostile = fire.client(leaf, system=HOME)
    held = new_id()
    hostile.send(hostile_request(held, soon(3)))
    hostile.indication(pb.PENDING, held)
    admin = fire.client(fire.admin)
    assert [e.request.request_id for e in admin.pending().entries] == [held]
    assert hostile.response(held).cause == pb.APPROVAL_TIMEOUT  # the sweep goes on
    assert fire.run("audit", "verify").returncode == 0 and fire.run("audit", "export").returncode == 0
    store = IdmStore(fire.store)
    store.check()
    store.close()


def der(tag: int, content: bytes) -> bytes:
    length = bytes([len(content)]) if len(content) < 128 else b"\x82" + len(content).to_bytes(2, "big")
    return bytes([tag]) + length + content


def leaf_of_bytes(ca: pki.CA, names: list):
    """A certificate with names of any bytes. names: (tag of the GeneralName, bytes)."""
    key = ec.generate_private_key(ec.SECP256R1())
    san = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), der(0x30, b"".join(der(0x80 | t, n) for t, n in names)))
    certificate = (
        x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(ca.name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(pki.now() - pki.days(1))
        .not_valid_after(pki.now() + pki.days(9)).add_extension(san, critical=True)
        .add_extension(x509.ExtendedKeyUsage([pki.CLIENT, pki.SERVER]), critical=False).sign(ca.key, hashes.SHA256()))
    cert_file, key_file = ca.directory / "bytes.crt", ca.directory / "bytes.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pki.write_key(key, key_file)
    return pki.Leaf(certificate, cert_file, key_file)


URI, DNS = 6, 2
ODD = {"cut inside a character": (URI, b"sip:" + "\u20ac".encode() * 95), "long": (URI, b"x" + "\U0001f692".encode() * 200),
       "of a host": (DNS, b"xx" + "\u20ac".encode() * 90), "no UTF-8": (URI, b"\xff\xfe\xc2" * 40), "empty": (URI, b""),
       "controls": (URI, b"\x1b[2J\x07\r\n\xc2\x9b\xe2\x80\xae\x7f"), "NUL": (DNS, b"acms.police.example\0x")}


@pytest.mark.parametrize("odd", ODD)
def test_the_audit_log_is_whole_whatever_a_certificate_names(world, odd):
    """What is refused, held and done with it can be exported and verified."""
    home, fire = world.system(HOME), world.system(FIRE)
    fire.acmc(approves=[HOME])
    fire.partner(home, address=False)["provision"]["approval"] = {"remove": "manual"}
    fire.start()
    hostile = fire.client(leaf_of_bytes(home.ca, [ODD[odd], (DNS, b"acms.police.example"), ODD[odd]]), system=HOME)
    assert hostile.setup([FIRE], {"h@elsewhere.example": []}).cause == pb.OUTSIDE_NAMESPACE
    assert hostile.setup([FIRE], {"h\n": []}).cause == pb.INVALID_MC_ID
    assert hostile.setup([FIRE], {"h@police.example": []}).result
    hostile.send(request([FIRE], {"h@police.example": []}, operation=pb.REMOVE))
    hostile.indication(pb.PENDING)
    assert fire.run("audit", "verify").returncode == 0
    exported = fire.run("audit", "export")
    assert exported.returncode == 0 and [e["action"] for e in json.loads(exported.stdout)] == ["setup"] * 3 + ["hold"]
    file = fire.dir / "log.cbor"
    with file.open("wb") as out:
        subprocess.run([BUILD / "acms", "audit", "export", "-c", fire.config_file, "--format", "cbor"], stdout=out, check=True)
    assert fire.run("audit", "verify", file).returncode == 0
    store = IdmStore(fire.store)
    assert all(e[14].startswith("DNS:acms.police.example ") for e in store.audit())  # the one that matched
    store.check()
    store.close()


def hostile_request(request_id: bytes, expires: int):
    return pb.Message(mc_service_user_setup_request=pb.McServiceUserSetupRequest(
        request_id=request_id, mc_system_id=[FIRE], mc_id_list=["h@police.example"], expires=expires))


# --- records that cannot be read ---


def damage(store, *records) -> None:
    with lmdb.open(str(store), max_dbs=16) as env:
        for database, key in records:
            with env.begin(write=True, db=env.open_db(database, create=False)) as txn:
                txn.put(key, b"\xa0")


def test_damaged_records_at_a_partner(world):
    """The bad user, the bad request and their jobs fail; all else goes on, and people see what is missing."""
    home, fire = world.system(HOME), world.system(FIRE)
    fire.admin = fire.acmc(approves=[HOME])
    rule = fire.partner(home, address=False)
    rule["provision"]["approval"] = {"remove": "manual"}
    fire.config["limits"]["keep_answers"] = "1 s"
    fire.start()
    client = fire.client(home.leaf, system=HOME)
    assert client.setup([FIRE], {f"{c}@police.example": [] for c in "abc"}).result
    waits = new_id()
    client.send(pb.Message(mc_service_user_setup_request=pb.McServiceUserSetupRequest(
        request_id=waits, mc_system_id=[FIRE], mc_id_list=["c@police.example"], operation=pb.REMOVE, expires=now_ms(600))))
    client.indication(pb.PENDING, waits)
    fire.stop()
    bad = bytes(16)
    damage(fire.store, (b"users", b"police.example\0b@police.example"), (b"pending", b"police.example\0" + bad),
           (b"requests", b"police.example\0" + bad), (b"audit", (1).to_bytes(8, "big")))
    fire.start()
    client = fire.client(home.leaf, system=HOME)
    for _ in range(3):  # in one batch with others, too
        ids = [new_id() for _ in range(6)]
        for i, request_id in enumerate(ids):
            client.send(pb.Message(mc_service_user_setup_request=pb.McServiceUserSetupRequest(
                request_id=request_id, mc_system_id=[FIRE], mc_id_list=["b@police.example" if i == 3 else f"n{i}@police.example"],
                expires=now_ms(600))))
        for i, request_id in enumerate(ids):
            answer = client.response(request_id)
            assert answer.cause == (pb.STORE_UNAVAILABLE if i == 3 else pb.NO_CAUSE), answer
    page = client.users(FIRE)
    assert "b@police.example" not in [u.mc_id for u in page.users] and len(page.users) == 7
    assert "cannot be read" in page.detail
    admin = fire.client(fire.admin)
    pending = admin.pending()
    assert [e.request.request_id for e in pending.entries] == [waits] and "cannot be read" in pending.detail
    assert admin.decide(HOME, waits, True).response.result
    listed = fire.run("users", "list")
    assert listed.returncode == 1 and "n1@police.example" in listed.stdout
    assert 'users: the record "police.example\\x00b@police.example" cannot be read' in listed.stderr
    assert fire.run("users", "show", "b@police.example").returncode == 1
    exported = fire.run("audit", "export")
    entries = json.loads(exported.stdout)
    assert exported.returncode == 1 and entries[0] == {"entry": 1, "unreadable": entries[0]["unreadable"]} and len(entries) > 5
    verified = fire.run("audit", "verify")
    assert verified.returncode == 1 and "entry 1 was altered" in verified.stdout
    wait_for(lambda: fire.log().count('requests: the record') == 1, "the sweep has passed it over")
    assert fire.log().count("cannot be read") <= 5  # each once, however often it is met


def test_damaged_records_at_home(world):
    home, fire, _ = world.federation()
    fire.start()
    home.start()
    client = home.client(home.admin)
    good, bad = new_id(), new_id()
    for request_id in (good, bad):
        assert client.setup([FIRE], {f"{request_id.hex()}@police.example": []}, request_id=request_id).result
    home.stop()
    damage(home.store, (b"answers", bad + FIRE.encode()), (b"asked", b"a" * 16), (b"believed", b"fire.example\0a"))
    home.start()
    client = home.client(home.admin)
    page = client.requests()
    assert {e.request_id for e in page.entries} == {good, bad} and "cannot be read" in page.detail
    assert client.delivery(good, FIRE).response.result
    answer = client.delivery(bad, FIRE).response
    assert not answer.result and "cannot be read" in answer.detail
    assert client.setup([FIRE], {"n@police.example": []}).result
    config = home.acmc_config(home.admin)
    shown = subprocess.run([BUILD / "acmc", "requests", "-c", config], capture_output=True, text=True, timeout=60)
    assert "cannot be read" in shown.stderr and shown.returncode == 0, shown


def test_a_damaged_request_holds_up_no_others(world):
    """They are read together when the partner comes."""
    home, fire, _ = world.federation()
    home.start()
    client = home.client(home.admin)
    ids = [new_id() for _ in range(5)]
    for i, request_id in enumerate(ids):
        client.submit([FIRE], {f"u{i}@police.example": []}, request_id=request_id)
    home.stop()
    damage(home.store, (b"asked", ids[2]))
    home.start()
    fire.start()
    wait_for(lambda: len(fire.users()) == 4, "the others are set up")
    client = home.client(home.admin)
    for request_id in ids[:2] + ids[3:]:
        wait_for(lambda: client.delivery(request_id, FIRE).response.result, "it has its answer")
    assert client.requests(request_id=ids[2]).cause == pb.STORE_UNAVAILABLE
