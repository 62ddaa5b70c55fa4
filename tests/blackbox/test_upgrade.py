"""The store of schema version 1 (tests/data/store-v1): it opens in this version, and is upgraded."""

import json
import shutil
import subprocess
from pathlib import Path

import cbor2
import lmdb
import pytest

from acx_peer import pb
from idm_store_reader import IdmStore
from systems import BUILD

DATA = Path(__file__).resolve().parents[1] / "data/store-v1/data.mdb"
USERS, ENTRIES = 24, 7


def schema(store) -> int:
    with lmdb.open(str(store), readonly=True, max_dbs=1) as env:
        with env.begin(db=env.open_db(b"meta", create=False)) as txn:
            return cbor2.loads(txn.get(b"schema"))


@pytest.fixture
def old(world):
    """fire.example with a store of version 1, and its home system police.example; not started."""
    home, fire = world.system("police.example"), world.system("fire.example")
    fire.partner(home, token_issuer="https://idms.police.example")
    shutil.copy(DATA, fire.store / "data.mdb")
    fire.write_config()
    return home, fire


def officers() -> dict:
    return {f"officer-{i}@police.example": [(1, f"sip:officer-{i}@police.example"), (3, f"sip:o{i}-data@police.example")]
            for i in range(20)}


def test_the_server_upgrades_it_once(old):
    home, fire = old
    assert schema(fire.store) == 1
    fire.start()
    fire.wait_log("upgraded")
    assert schema(fire.store) == 2
    store = IdmStore(fire.store)
    store.check(upgraded=True)
    users = store.users()
    assert len(users) == USERS and users["police.example", "officer-3@police.example"]["revision"] == 2
    assert store.user_of_token("https://idms.police.example", "officer-0@police.example")[1] == 1
    store.close()
    assert len(fire.users()) == USERS
    verified = fire.run("audit", "verify")
    assert verified.returncode == 0 and f"whole: {ENTRIES} entries" in verified.stdout
    fire.stop()
    fire.start()
    assert fire.log().count("upgraded") == 1


def test_what_was_answered_stays_answered(old):
    """A request of before the upgrade that is repeated behind it gets its recorded answer."""
    home, fire = old
    fire.start()
    client = fire.client(home.leaf, system="police.example")
    again = client.setup(["fire.example"], officers(), request_id=b"police request 1",
                         home_acmc_id="sip:control@police.example")
    assert again.result
    refused = client.setup(["fire.example"], {"dog@police.example": [(1, "sip:officer-4@police.example")]},
                           request_id=b"police request 5")
    assert refused.cause == pb.MC_SERVICE_ID_IN_USE
    other = client.setup(["fire.example"], {"dog@police.example": []}, request_id=b"police request 1")
    assert other.cause == pb.REQUEST_ID_REUSED
    assert client.setup(["fire.example"], {"cat@police.example": []}).result
    fire.stop()
    store = IdmStore(fire.store)
    store.check(upgraded=True)
    assert len(store.users()) == USERS + 1
    assert len(store.audit()) == ENTRIES + 2  # the reused ID, and the cat
    store.close()


def test_looking_into_it_leaves_it_as_it_is(old):
    _, fire = old
    before = (fire.store / "data.mdb").read_bytes()
    assert len(fire.users()) == USERS
    assert fire.run("users", "show", "dog@police.example").returncode == 0
    verified = fire.run("audit", "verify")
    assert verified.returncode == 0 and "schema version 1" in verified.stdout
    entries = json.loads(fire.run("audit", "export").stdout)
    assert [e["action"] for e in entries] == ["setup"] * ENTRIES
    assert (fire.store / "data.mdb").read_bytes() == before and schema(fire.store) == 1


def test_an_import_upgrades_it_too(old, tmp_path):
    _, fire = old
    file = tmp_path / "users.csv"
    file.write_text("mc_id\nnew@fire.example\n")
    imported = fire.run("users", "import", str(file))
    assert imported.returncode == 0, imported.stderr
    assert schema(fire.store) == 2 and len(fire.users()) == USERS + 1
    store = IdmStore(fire.store)
    store.check(upgraded=True)
    store.close()


def test_not_a_foreign_systems(old):
    _, fire = old
    fire.config["mc_system_id"] = "other.example"
    fire.start(wait=False)
    assert fire.process.wait(20) == 1
    fire.process = None
    assert schema(fire.store) == 1
    direct = subprocess.run([BUILD / "acms", "users", "list", "--store", fire.store], capture_output=True, text=True)
    assert "dog@police.example" in direct.stdout
