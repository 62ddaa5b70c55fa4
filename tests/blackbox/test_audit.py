"""The audit log: what it tells, and that tampering with it shows, and where."""

import hashlib
import json
import subprocess
import threading
import time

import cbor2
import lmdb
import pytest

from acx_peer import new_id
from systems import BUILD, System

N = 8


@pytest.fixture
def stopped(world):
    """A system whose audit log has N entries, its server stopped; the request of entry 3."""
    home, fire = world.system("police.example"), world.system("fire.example")
    fire.partner(home)
    fire.start()
    client = fire.client(home.leaf, system="police.example")
    ids = [new_id() for _ in range(N)]
    for i, request_id in enumerate(ids):
        users = {f"a{i}@{'police' if i % 3 else 'elsewhere'}.example": []}
        assert client.setup(["fire.example"], users, request_id=request_id).result == bool(i % 3)
    fire.stop()
    fire.third = ids[2]
    return home, fire


def key(number: int) -> bytes:
    return number.to_bytes(8, "big")


class Tampering:
    """Somebody who can write to the file."""

    def __init__(self, system: System):
        self.env = lmdb.open(str(system.store), max_dbs=16)
        self.log, self.meta = self.env.open_db(b"audit", create=False), self.env.open_db(b"meta", create=False)

    def __enter__(self):
        self.txn = self.env.begin(write=True)
        return self

    def __exit__(self, *_):
        self.txn.commit()
        self.env.close()

    def get(self, number: int) -> bytes:
        return bytes(self.txn.get(key(number), db=self.log))

    def put(self, number: int, value: bytes) -> None:
        self.txn.put(key(number), value, db=self.log)

    def remove(self, number: int) -> None:
        self.txn.delete(key(number), db=self.log)

    def alter(self, number: int, field: int, value) -> None:
        entry = cbor2.loads(self.get(number))
        entry[field] = value
        self.put(number, cbor2.dumps(entry, canonical=True))


def verified(system: System, *words) -> str:
    """What acms audit verify says of the log, or of a file, its exit code 1."""
    if words:  # without --config, which would have the log looked at, too
        result = subprocess.run([BUILD / "acms", "audit", "verify", *words], capture_output=True, text=True, timeout=60)
    else:
        result = system.run("audit", "verify")
    assert result.returncode == 1 and "whole" not in result.stdout, result
    return result.stdout


def test_a_whole_log(stopped, tmp_path):
    _, fire = stopped
    result = fire.run("audit", "verify")
    assert result.returncode == 0 and f"audit log: whole: {N} entries" in result.stdout
    exported = tmp_path / "audit.cbor"
    with Tampering(fire) as t:
        last = hashlib.sha256(t.get(N)).hexdigest()
        stored = b"".join(t.get(i + 1) for i in range(N))
    assert last in result.stdout
    fire.export(exported)
    assert exported.read_bytes() == stored + cbor2.dumps([N, bytes.fromhex(last)])
    result = fire.run("audit", "verify", str(exported))
    assert result.returncode == 0 and last in result.stdout


def test_an_altered_entry(stopped):
    """Somebody hides who asked."""
    _, fire = stopped
    with Tampering(fire) as t:
        t.alter(3, 14, "DNS:somebody.else SHA256:00")
    assert "entry 3 was altered" in verified(fire)


def test_a_damaged_entry(stopped):
    _, fire = stopped
    with Tampering(fire) as t:
        t.put(5, t.get(5)[:-1])
    assert "entry 5 was altered: audit record: " in verified(fire)


def test_the_last_entry_altered(stopped):
    _, fire = stopped
    with Tampering(fire) as t:
        t.alter(N, 17, 108)
    assert f"entry {N} was altered" in verified(fire)


def test_a_removed_entry(stopped):
    _, fire = stopped
    with Tampering(fire) as t:
        t.remove(4)
    assert "entry 4 is missing" in verified(fire)


def test_removed_and_the_others_moved_up(stopped):
    _, fire = stopped
    with Tampering(fire) as t:
        for i in range(4, N):
            t.put(i, t.get(i + 1))
        t.remove(N)
    said = verified(fire)
    assert "entry 3 was altered" in said and f"entry {N} is missing: the tail was cut off" in said


def test_reordered_entries(stopped):
    _, fire = stopped
    with Tampering(fire) as t:
        sixth = t.get(6)
        t.put(6, t.get(7))
        t.put(7, sixth)
    assert "entry 6 follows entry 7 in the chain, not entry 5" in verified(fire)


def test_a_tail_cut_off_is_not_grown_over(stopped):
    home, fire = stopped
    with Tampering(fire) as t:
        t.remove(N)
        t.remove(N - 1)
    assert f"entries {N - 1} to {N} are missing: the tail was cut off" in verified(fire)
    fire.start()
    client = fire.client(home.leaf, system="police.example")
    assert client.setup(["fire.example"], {"later@police.example": []}).result
    assert verified(fire).splitlines() == [f"audit log: entries {N - 1} to {N} are missing"]


def test_an_entry_added_behind_the_head(stopped):
    _, fire = stopped
    with Tampering(fire) as t:
        t.put(N + 1, cbor2.dumps({**cbor2.loads(t.get(N)), 10: hashlib.sha256(t.get(N)).digest()}, canonical=True))
    assert f"entry {N + 1} is behind the head" in verified(fire)


def test_an_exported_file_that_was_tampered_with(stopped, tmp_path):
    _, fire = stopped
    file = tmp_path / "audit.cbor"
    fire.export(file)
    whole = file.read_bytes()
    with Tampering(fire) as t:
        third, fourth, last = t.get(3), t.get(4), t.get(N)
    head = whole[whole.index(last) + len(last):]
    for content, said in (
            (whole.replace(third + fourth, fourth + third), "entry 3 follows entry 4 in the chain, not entry 2"),
            (whole.replace(third, b""), f"1 of {N} entries are missing"),
            (whole.replace(last, b""), f"1 of {N} entries are missing, at the end it seems"),
            (whole.replace(b"elsewhere.example", b"elsewhere.examplf", 1), "entry 1 was altered"),
            (whole[:-len(head)], f"the head is missing, behind entry {N}"),
            (whole + b"\0", "there is something behind the head"),
            (whole[:-1], f"entry {N + 1}, at byte {len(whole) - len(head)}, cannot be read"),
            (b"[]", "is it an export with --format cbor?")):
        assert content != whole
        file.write_bytes(content)
        assert said in verified(fire, str(file))
    file.write_bytes(b"")
    assert "the head is missing" in verified(fire, str(file))
    gone = fire.run("audit", "verify", str(tmp_path / "no"))
    assert gone.returncode == 1 and "No such file" in gone.stderr


def test_people_export_what_they_look_for(stopped):
    _, fire = stopped
    entries = json.loads(fire.run("audit", "export").stdout)
    assert [e["entry"] for e in entries] == list(range(1, N + 1))
    assert entries[0]["cause"] == "OUTSIDE_NAMESPACE" and entries[0]["identity_causes"][0]["mc_id"] == "a0@elsewhere.example"
    assert entries[1]["cause"] == "NO_CAUSE" and entries[1]["created"] == 1 and entries[1]["action"] == "setup"
    one = json.loads(fire.run("audit", "export", "--request", fire.third.hex()).stdout)
    assert [e["entry"] for e in one] == [3]
    assert json.loads(fire.run("audit", "export", "--since", entries[0]["at"], "--until", "+1h").stdout) == entries
    assert json.loads(fire.run("audit", "export", "--since", "+1h").stdout) == []
    assert json.loads(fire.run("audit", "export", "--until", "-1h").stdout) == []
    refused = fire.run("audit", "export", "--format", "cbor", "--since", "-1h")
    assert refused.returncode == 2 and refused.stdout == ""


def test_verified_while_it_grows(stopped, tmp_path):
    home, fire = stopped
    fire.start()
    client = fire.client(home.leaf, system="police.example")
    stop = threading.Event()

    def write():
        n = 0
        while not stop.is_set():
            assert client.setup(["fire.example"], {f"w{n}@police.example": []}).result
            n += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            assert fire.run("audit", "verify").returncode == 0
            fire.export(tmp_path / "audit.cbor")
            assert fire.run("audit", "verify", str(tmp_path / "audit.cbor")).returncode == 0
    finally:
        stop.set()
        thread.join()
