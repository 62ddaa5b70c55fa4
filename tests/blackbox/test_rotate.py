"""acms audit rotate: the log goes into files, whatever happens meanwhile; nothing of it is lost, and it can be verified."""

import hashlib
import json
import random
import signal
import subprocess
import threading
import time

import cbor2
import lmdb
import pytest

from acx_peer import new_id
from idm_store_reader import IdmStore
from systems import BUILD, wait_for

HOME, FIRE = "police.example", "fire.example"


@pytest.fixture
def fire(world):
    home, fire = world.system(HOME), world.system(FIRE)
    fire.partner(home, address=False)
    fire.config["limits"]["audited_refusals_per_minute"] = 1000000
    fire.home = home
    return fire.start()


def write(fire, n: int) -> None:
    client = fire.client(fire.home.leaf, system=HOME)
    for i in range(n):
        assert client.setup([FIRE], {f"{new_id().hex()}@police.example": []}).result
    client.close()


def rotate(fire, file, code: int = 0) -> str:
    result = fire.run("audit", "rotate", str(file))
    assert result.returncode == code, result
    return result.stdout + result.stderr


def verified(fire, *files, store: bool = True) -> str:
    words = ["verify", *map(str, files)] + (["-c", str(fire.config_file)] if store else [])
    result = subprocess.run([BUILD / "acms", "audit", *words], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result
    return result.stdout


def items(file) -> list:
    found = []
    with open(file, "rb") as f:
        decoder = cbor2.CBORDecoder(f)
        while f.peek(1):
            found.append(decoder.decode())
    return found


def in_store(fire) -> list:
    result = fire.run("audit", "export")
    assert result.returncode == 0, result
    return [e["entry"] for e in json.loads(result.stdout)]


def test_rotate_beside_a_running_server(fire, tmp_path):
    one, two, three = (tmp_path / f"{n}.cbor" for n in (1, 2, 3))
    write(fire, 5)
    said = rotate(fire, one)
    head = items(one)[-1]
    assert "5 entries moved" in said and head[0] == 5 and head[1].hex() in said
    assert one.stat().st_mode & 0o777 == 0o600 and not (tmp_path / "1.cbor.part").exists()
    assert in_store(fire) == []
    assert "whole: 0 entries, behind entry 5" in verified(fire)
    write(fire, 4)  # the chain goes on
    assert in_store(fire) == [6, 7, 8, 9]
    fire.stop()
    fire.start()
    write(fire, 1)
    rotate(fire, two)
    assert items(two)[0] == head and items(two)[1][10] == head[1] and items(two)[-1][0] == 10
    write(fire, 3)
    said = verified(fire, one, two)
    assert said.count("whole: ") == 3 and f"{two}: whole: 5 entries, behind entry 5, whose SHA-256 is {head[1].hex()}" in said
    for files, code in (((one, two), 0), ((two,), 0), ((two, one), 1)):
        result = subprocess.run([BUILD / "acms", "audit", "verify", *files], capture_output=True, text=True, timeout=60)
        assert result.returncode == code, result
    missing = fire.run("audit", "verify", str(one))  # -c is given, so the store follows
    assert missing.returncode == 1 and "entries 6 to 10 are missing, between this log and the one before" in missing.stdout
    rotate(fire, three)
    assert "whole" in verified(fire, one, two, three)
    store = IdmStore(fire.store)
    store.audit()
    store.check_users()
    store.close()


def test_what_is_not_its_own_is_left_alone(world, fire, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    write(fire, 3)
    one.write_bytes(b"something")
    assert "no whole audit log" in rotate(fire, one, 1) and one.read_bytes() == b"something"
    assert in_store(fire) == [1, 2, 3]
    another = world.system("rail.example")
    another.partner(fire.home, address=False)
    another.start()
    client = another.client(fire.home.leaf, system=HOME)
    for i in range(2):
        assert client.setup(["rail.example"], {f"r{i}@police.example": []}).result
    another.export(other)
    assert "not of this audit log; nothing was removed" in rotate(fire, other, 1)
    fire.export(one)
    whole = one.read_bytes()
    one.write_bytes(whole[:-10])
    assert "no whole audit log" in rotate(fire, one, 1)
    assert "No such file" in rotate(fire, tmp_path / "no" / "where", 1)
    assert in_store(fire) == [1, 2, 3]
    assert fire.run("audit", "rotate").returncode == 2


def test_a_log_that_is_not_whole_stays(fire, tmp_path):
    write(fire, 3)
    fire.stop()
    with lmdb.open(str(fire.store), max_dbs=16) as env, env.begin(write=True, db=env.open_db(b"audit")) as txn:
        entry = cbor2.loads(txn.get((2).to_bytes(8, "big")))
        entry[17] = 999
        txn.put((2).to_bytes(8, "big"), cbor2.dumps(entry, canonical=True))
    said = rotate(fire, tmp_path / "one", 1)
    assert "entry 2 was altered" in said and "nothing was removed" in said
    assert in_store(fire) == [1, 2, 3] and not list(tmp_path.glob("one*"))


@pytest.mark.parametrize("gone", [0, 1, 4, 6])
def test_a_rotation_that_was_interrupted_is_repeated(fire, tmp_path, gone):
    """Killed before the file had its name, after that, and while entries were deleted."""
    file, second = tmp_path / "file", tmp_path / "second"
    write(fire, 6)
    (tmp_path / "file.part").write_bytes(b"half of i")
    if gone:
        fire.export(file)
        values = [v for _, v in IdmStore(fire.store).items("audit")]
        with lmdb.open(str(fire.store), max_dbs=16) as env:
            log, meta = env.open_db(b"audit", create=False), env.open_db(b"meta", create=False)
            with env.begin(write=True) as txn:
                for i in range(gone):
                    txn.delete((i + 1).to_bytes(8, "big"), db=log)
                txn.put(b"audit-start", cbor2.dumps([gone, hashlib.sha256(values[gone - 1]).digest()]), db=meta)
    write(fire, 2)
    if gone == 4:  # with another file: they overlap
        rotate(fire, second)
        assert "whole" in verified(fire, file, second)
        assert "0 entries moved" in rotate(fire, file)  # and nothing of it is left
        return
    said = rotate(fire, file)
    assert ("was there already" in said) == bool(gone)
    assert in_store(fire) == ([] if gone == 0 else [7, 8])
    assert "whole" in verified(fire, file)


def test_kill_9_while_it_rotates(fire, tmp_path):
    """At any moment: repeated with the same file, nothing is lost and nothing is there twice."""
    stop, files, random_ = threading.Event(), [], random.Random(9)

    def keep_writing() -> None:
        while not stop.is_set():
            write(fire, 20)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        for i in range(12):
            files.append(tmp_path / f"{i:02}")
            while True:
                process = subprocess.Popen([BUILD / "acms", "audit", "rotate", "-c", fire.config_file, files[-1]],
                                           stdout=subprocess.DEVNULL)
                time.sleep(random_.random() * 0.05)
                process.send_signal(signal.SIGKILL)
                if process.wait() == 0:
                    break
                if random_.random() < 0.3:
                    rotate(fire, files[-1])
                    break
    finally:
        stop.set()
        writer.join()
    files = [f for f in files if f.exists()]
    assert "whole" in verified(fire, *files)
    numbers = []
    for file in files:
        content = items(file)
        head, entries = content[-1], [e for e in content if isinstance(e, dict)]
        numbers += range(head[0] - len(entries) + 1, head[0] + 1)
    numbers += in_store(fire)
    assert sorted(set(numbers)) == list(range(1, max(numbers) + 1))
    store = IdmStore(fire.store)
    store.audit()
    store.close()
    wait_for(fire.healthy, "it still answers")
