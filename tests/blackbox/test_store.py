"""The IdM store: its published format, looking into it while the server runs, and what can be wrong with it."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

import cbor2
import lmdb
import pytest

from acx_peer import Ended, new_id, pb
from idm_store_reader import IdmStore
from systems import BUILD, System, wait_for


def two(world, **more):
    home, fire = world.system("police.example"), world.system("fire.example")
    fire.partner(home, **more)
    return home, fire


def test_the_store_as_the_cddl_says(world):
    """'The record format is published (CDDL) ... so that an identity management server can read the store itself.'"""
    home, fire = two(world, token_issuer="https://idms.police.example")
    fire.start()
    client = fire.client(home.leaf, system="police.example")
    request_id = new_id()
    assert client.setup(["fire.example"], {
        "s@police.example": [(3, "sip:s3@police.example"), (1, "sip:s1@police.example"), (1, "sip:s0@police.example")],
        "t@police.example": []}, request_id=request_id, home_acmc_id="sip:control@police.example").result
    assert not client.setup(["fire.example"], {"no@elsewhere.example": []}).result
    for i in range(20):
        assert client.setup(["fire.example"], {"s@police.example": [(1, f"sip:n{i}@police.example")]}).result
    store = IdmStore(fire.store)  # beside the running server
    store.check()
    user = store.users()["police.example", "s@police.example"]
    assert user["revision"] == 21 and user["service_ids"] == [(1, "sip:n19@police.example")]
    assert store.user_of_token("https://idms.police.example", "s@police.example")[1] == 21
    assert store.user_of_token("https://idms.rail.example", "s@police.example") is None
    first, second = store.audit()[:2]
    assert first[15] == request_id and first[17] == 0 and first[18] == ["s@police.example", "t@police.example"]
    assert first[16] == "sip:control@police.example" and first[19] == [2, 0, 0]
    assert first[14].startswith("DNS:acms.police.example SHA256:")
    assert second[17] == pb.OUTSIDE_NAMESPACE and second[19] == [0, 0, 0]
    store.close()
    exported = json.loads(fire.run("audit", "export").stdout)
    assert len(exported) == 22 and exported[0]["cause"] == "NO_CAUSE" and exported[21]["replaced"] == 1


def test_list_show_export_while_writes_go_on(world):
    home, fire = two(world)
    fire.start()
    client = fire.client(home.leaf, system="police.example")
    stop = threading.Event()

    def write():
        n = 0
        while not stop.is_set():
            assert client.setup(["fire.example"], {f"w{n}@police.example": [(1, f"sip:w{n}@police.example")]}).result
            n += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(5):
            users = fire.users()
            assert users == dict(sorted(users.items()))
            listed = fire.run("users", "list", "--home", "police.example")
            assert listed.returncode == 0 and (not users or "w0@police.example" in listed.stdout)
    finally:
        stop.set()
        thread.join()
    assert fire.run("users", "show", "w0@police.example").stdout.count("w0@police.example") == 2
    by_id = fire.run("users", "show", "--mc-service-id", "SIP:w0@POLICE.example", "--json")
    assert json.loads(by_id.stdout)["users"][0]["mc_id"] == "w0@police.example"
    assert fire.run("users", "show", "nobody").returncode == 1
    assert fire.run("users", "show").returncode == 2
    assert fire.run("users", "list", "--home", "rail.example").stdout == ""
    direct = subprocess.run([BUILD / "acms", "users", "export", "--store", fire.store], capture_output=True, text=True)
    assert "w0@police.example" in direct.stdout


def starts_not(system: System, said: str) -> None:
    system.start(wait=False)
    assert system.process.wait(20) == 1
    assert said in system.log(), system.log()
    system.process = None


def test_a_second_server_on_the_same_store(world):
    home, fire = two(world)
    fire.start()
    rival = world.system("rival.example")
    rival.config.update(mc_system_id="fire.example", store={"directory": str(fire.store)})
    starts_not(rival, "another acms has it")
    assert fire.healthy()


def put_meta(store, key: bytes, value) -> None:
    with lmdb.open(str(store), max_dbs=16) as env:
        with env.begin(write=True, db=env.open_db(b"meta")) as txn:
            txn.put(key, cbor2.dumps(value))


def test_a_store_from_a_newer_version(world):
    _, fire = two(world)
    fire.start()
    fire.stop()
    put_meta(fire.store, b"schema", 3)
    starts_not(fire, "has schema version 3, this acms knows 2: use the newer acms")
    assert "schema version 3" in fire.run("users", "list").stderr


def test_a_store_of_another_system_and_what_is_no_store(world):
    _, fire = two(world)
    fire.start()
    fire.stop()
    fire.config["mc_system_id"] = "other.example"
    starts_not(fire, "belongs to MC system fire.example, not to other.example")
    fire.config["mc_system_id"] = "fire.example"
    shutil.rmtree(fire.store)
    starts_not(fire, "make it with: install -d -m 0700")
    fire.store.mkdir(mode=0o755)
    starts_not(fire, "chmod 0700")
    fire.store.chmod(0o700)
    with lmdb.open(str(fire.store), max_dbs=2) as env, env.begin(write=True) as txn:
        txn.put(b"something", b"else")
    starts_not(fire, "there is no IdM store of acms in it")
    (fire.store / "data.mdb").write_bytes(b"x" * 8192)
    starts_not(fire, "store ")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_disk_full(world):
    """'Nobody is told TRUE before the data is on disk', and the server lives on."""
    home, fire = two(world)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k,mode=0700", "none", fire.store], check=True)
    try:
        fire.start()
        client = fire.client(home.leaf, system="police.example")
        stored = set()
        for i in range(100):
            users = {f"d{i}-{j}@police.example": [(1, f"sip:d{i}-{j}@police.example")] for j in range(50)}
            answer = client.setup(["fire.example"], users)
            if not answer.result:
                break
            stored |= set(users)
        assert answer.cause == pb.STORE_UNAVAILABLE and stored
        fire.wait_log("free space on it" if "free space" in fire.log() else "look at the disk")
        assert {m for _, m in fire.users()} == stored  # all or nothing
        subprocess.run(["mount", "-o", "remount,size=64m", fire.store], check=True)
        assert client.setup(["fire.example"], users).result  # nothing needs a restart
        store = IdmStore(fire.store)
        store.check()
        store.close()
        fire.stop()
    finally:
        subprocess.run(["umount", "-l", fire.store], check=True)


def test_the_map_grows(world):
    home, fire = two(world)
    fire.config["store"]["map_size"] = "1 MiB"
    fire.start()
    client = fire.client(home.leaf, system="police.example")
    for i in range(15):
        users = {f"g{i}-{j}@police.example": [(1, f"sip:g{i}-{j}@police.example")] for j in range(1000)}
        assert client.setup(["fire.example"], users).result
    assert len(fire.users()) == 15000
    fire.stop()
    fire.start()
    assert len(fire.users()) == 15000


def test_the_store_has_a_bound(world, tmp_path):
    """'store.max_size': what adds is refused, what makes room is not, and room that is made is used again."""
    home, fire = two(world)
    fire.config["store"].update(map_size="1 MiB", max_size="1 MiB")
    fire.start()
    client = fire.client(home.leaf, system="police.example")
    stored = []
    for i in range(100):
        users = {f"f{i}-{j}@police.example": [(1, f"sip:f{i}-{j}@police.example")] for j in range(100)}
        answer = client.setup(["fire.example"], users)
        if not answer.result:
            break
        stored.append(list(users))
    assert answer.cause == pb.STORE_UNAVAILABLE and len(stored) > 5
    fire.wait_log("store.max_size (1048576 bytes) is reached")
    assert (fire.store / "data.mdb").stat().st_size < 2.2 * 2**20
    imported = fire.run("users", "import", str(local_users(tmp_path, 10)))
    assert imported.returncode == 1 and "store.max_size" in imported.stderr
    for mc_ids in stored:
        assert client.remove(["fire.example"], mc_ids).result
    assert client.setup(["fire.example"], users).result
    assert set(m for _, m in fire.users()) == set(users)
    store = IdmStore(fire.store)
    store.check()
    store.close()


def local_users(tmp_path, n: int):
    file = tmp_path / "users.csv"
    file.write_text("mc_id,mcptt\n" + "".join(f"l{i}@fire.example,sip:l{i}@fire.example\n" for i in range(n)))
    return file


def test_an_import_lets_the_map_grow_beside_the_server(world, tmp_path):
    home, fire = two(world)
    fire.config["store"]["map_size"] = "1 MiB"
    fire.start()
    users = local_users(tmp_path, 9000)
    imported = fire.run("users", "import", str(users))
    assert imported.returncode == 0, imported.stderr
    client = fire.client(home.leaf, system="police.example")
    assert client.setup(["fire.example"], {"a@police.example": []}).result  # the server takes the new size
    assert len(fire.users()) == 9001


def test_an_export_that_nobody_reads_pins_nothing(world, tmp_path):
    _, fire = two(world)
    fire.start()
    users = local_users(tmp_path, 3000)
    assert fire.run("users", "import", str(users)).returncode == 0
    with subprocess.Popen([BUILD / "acms", "users", "export", "-s", fire.store], stdout=subprocess.PIPE) as export:
        started = export.stdout.read(1)
        with lmdb.open(str(fire.store), readonly=True, max_dbs=16) as env:
            wait_for(lambda: "no active readers" in env.readers(), "the export's transaction has ended")
        assert len(json.loads(started + export.stdout.read())["users"]) == 3000


def test_kill_9_under_load_loses_nothing_acknowledged(world):
    home, fire = two(world)
    fire.start()
    acknowledged = set()
    for round_ in range(5):
        client = fire.client(home.leaf, system="police.example")
        killer = threading.Timer(0.2, lambda: fire.stop(signal.SIGKILL))
        killer.start()
        try:
            for i in range(100000):
                mc_id = f"k{round_}-{i}@police.example"
                if client.setup(["fire.example"], {mc_id: [(1, f"sip:{mc_id}")]}).result:
                    acknowledged.add(mc_id)
        except (Ended, OSError):  # the server was killed
            pass
        killer.join()
        fire.start()
        assert acknowledged <= {m for _, m in fire.users()}
        store = IdmStore(fire.store)
        store.check()
        store.close()
    assert acknowledged


def test_a_store_that_was_cut_short(world, tmp_path):
    """No program ends by SIGBUS, and none makes a new store of what is left."""
    home, fire = two(world)
    fire.start()
    assert fire.run("users", "import", str(local_users(tmp_path, 2000))).returncode == 0
    fire.stop()
    data = fire.store / "data.mdb"
    for size in (data.stat().st_size // 2, 3 * 4096):
        os.truncate(data, size)
        for words in (("users", "list"), ("users", "export"), ("audit", "verify"), ("audit", "export"),
                      ("users", "import", str(local_users(tmp_path, 1)))):
            result = fire.run(*words)
            assert result.returncode == 1 and "shorter than it says: restore it from a backup" in result.stderr, result
        starts_not(fire, "shorter than it says: restore it from a backup")
    os.truncate(data, 0)
    starts_not(fire, "data.mdb is empty: restore it from a backup")
    assert data.stat().st_size == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's files need root")
def test_root_looks_into_the_store_of_the_servers_user(world):
    home, fire = two(world)
    with tempfile.TemporaryDirectory() as directory:  # where another user gets to
        os.chmod(directory, 0o755)
        fire.store = Path(directory) / "store"
        fire.store.mkdir(mode=0o700)
        os.chown(fire.store, 65534, 65534)
        fire.config["store"]["directory"] = str(fire.store)
        fire.start()  # by root, who should not; what it makes is the owner's
        assert fire.run("users", "list").returncode == 0
        fire.stop()
        (fire.store / "lock.mdb").unlink()
        assert fire.run("audit", "verify").returncode == 0
        assert {f.name: f.stat().st_uid for f in fire.store.iterdir()} == dict.fromkeys(
            ("data.mdb", "lock.mdb", "acms.lock"), 65534)
