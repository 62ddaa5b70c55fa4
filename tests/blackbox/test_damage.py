"""Texts that peers make as bad as they can, and records that cannot be read: what they concern fails, and nothing else."""

import json
import subprocess

import lmdb
import pytest

import pki
from acx_peer import Ended, FakePartner, new_id, now_ms, pb
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
