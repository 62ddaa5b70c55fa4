"""Full disks, disks that fail, and a map that grows while others read it: nobody is told of what is not on disk."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from acx_peer import Ended, pb
from asking import Asker
from systems import wait_for

EIO = 5


@pytest.fixture(params=["home", "fire"])
def victim(request, hosts):
    return getattr(hosts, request.param)


def refused_for_the_store(a) -> bool:
    return bool(a.answer) and (a.answer.cause, a.answer.origin) == (pb.STORE_UNAVAILABLE, pb.HOME_ACMS)


def fill_up(asker, hosts, victim) -> list:
    """Asks until the full disk shows: at home by a refusal, at the partner by a delay. What was asked meanwhile."""
    victim.fill()
    asked = []
    for _ in range(50):
        a = asker.send(asker.new(200))
        asked.append(a)
        asker.hear_until(lambda: a.accepted or a.answer, "accepted or refused")
        if victim is hosts.home and refused_for_the_store(a):
            return asked
        if victim is hosts.fire and asker.delayed():
            return asked
    raise AssertionError("the disk does not become full")


def test_disk_full(hosts, victim):
    """It refuses what it cannot store and lives; once there is space it goes on by itself."""
    victim.mount(6)
    hosts.start()
    asker = Asker(hosts)
    asker.all_answered(asker.ask(5, users=20))
    for _ in range(3):
        asked = fill_up(asker, hosts, victim)
        assert victim.process.poll() is None, victim.log()
        victim.free_space()
        asker.all_answered([a for a in asked if a.accepted])
        asker.all_answered(asker.ask(5, users=20))
        asker.indications.clear()
    assert "disk" in victim.log() or "No space" in victim.log(), victim.log()
    asker.forget([a for a in asker.asked.values() if refused_for_the_store(a)])
    asker.check()


def test_disk_full_and_killed(hosts, victim):
    """The same with kill -9 while it is full: what was accepted before is there, and is done."""
    victim.mount(6)
    hosts.start()
    asker = Asker(hosts)
    asker.all_answered(asker.ask(5, users=20))
    asked = fill_up(asker, hosts, victim)
    victim.stop(signal.SIGKILL)
    asker.close()
    victim.free_space()
    victim.start()
    asker.follow([a for a in asked if a.accepted and not a.answer])
    asker.all_answered([a for a in asked if a.accepted])
    asker.forget([a for a in asked if refused_for_the_store(a)])
    asker.all_answered(asker.ask(5, users=20))
    asker.check()


class Faulty:
    """Makes system calls of a running system fail, by libfiu."""

    def __init__(self, system):
        self.system, self.prefix = system, system.dir / "fiu"
        system.environment = {"LD_PRELOAD": "/usr/lib/fiu/fiu_run_preload.so /usr/lib/fiu/fiu_posix_preload.so",
                              "FIU_CTRL_FIFO": str(self.prefix)}

    def control(self, command: str) -> None:
        """It may have stopped just now."""
        process = self.system.process
        done = subprocess.run(["timeout", "10", "fiu-ctrl", "-f", str(self.prefix), "-c", command, str(process.pid)],
                              capture_output=True, text=True)
        assert done.returncode == 0 or process.wait(10) is not None, done.stderr

    def fail(self, call: str, error: int, every: float = 1) -> None:
        kind = "enable" if every == 1 else "enable_random"
        more = "" if every == 1 else f",probability={every}"
        self.control(f"{kind} name=posix/io/{call},failinfo={error}{more}")


def ask_while_it_fails(asker, hosts, victim) -> list:
    """Until the failure shows."""
    asked = []
    for _ in range(50):
        a = asker.new(5)
        try:
            asked.append(asker.send(a))
            asker.hear_until(lambda: asked[-1].accepted or asked[-1].answer, "accepted or refused")
        except (Ended, OSError):
            asker.close()
            return asked
        if victim.process.poll() is not None or asker.delayed() or refused_for_the_store(asked[-1]):
            return asked
    raise AssertionError("nothing fails")


@pytest.mark.parametrize("call", ["rw/pwrite", "rw/writev", "sync/fdatasync"])
def test_io_errors(hosts, victim, call):
    """
    EIO: it either refuses and lives, or stops with an error that says so; and after a restart all is there that was
    acknowledged, and nothing twice.
    """
    faulty = Faulty(victim)
    hosts.start()
    asker = Asker(hosts)
    asker.all_answered(asker.ask(10))
    faulty.fail(call, EIO)
    asked = ask_while_it_fails(asker, hosts, victim)
    if victim.process.poll() is None and victim is hosts.fire:
        asker.hear_until(asker.delayed, "the administrator is told")
    wait_for(lambda: "nput/output error" in victim.log(), f"an error in the log: {victim.log()}")
    asker.close()
    try:
        code = victim.process.wait(2)
        assert code == 1, victim.log()
    except subprocess.TimeoutExpired:
        victim.stop(signal.SIGKILL)
    victim.start()
    asker.ask_again([a for a in asked if not a.accepted])
    asker.follow([a for a in asked if a.accepted and not a.answer])
    asker.all_answered()
    asker.all_answered(asker.ask(10))
    asker.check()
    assert asker.done() == 20 + len(asked)


def test_sporadic_io_errors(hosts, victim):
    """Every tenth write fails, under load, restarted whenever it stops: everything is done once."""
    faulty = Faulty(victim)
    hosts.start()
    asker = Asker(hosts)
    faulty.fail("rw/pwrite", EIO, 0.1)
    for _ in range(15):
        asker.try_to_send([asker.new(2) for _ in range(5)])
        if victim.process.poll() is not None:
            victim.start()
            faulty.fail("rw/pwrite", EIO, 0.1)
    if victim.process.poll() is None:
        victim.stop(signal.SIGKILL)
    victim.start()
    asker.close()
    asker.ask_again([a for a in asker.asked.values() if not a.accepted])
    asker.follow([a for a in asker.asked.values() if a.accepted and not a.answer])
    asker.all_answered()
    asker.check()
    assert asker.done() == len(asker.asked)
    assert "nput/output error" in victim.log()


READER = """
import sys, time
sys.path.insert(0, sys.argv[2])
import lmdb
n = turns = 0
env = lmdb.open(sys.argv[1], readonly=True, max_dbs=20)
users = env.open_db(b"users", create=False)
print("reading", flush=True)
import select
while not select.select([sys.stdin], [], [], 0)[0]:
    try:
        with env.begin(db=users) as txn:
            seen = sum(1 for _ in txn.cursor())
    except lmdb.MapResizedError:
        env.set_mapsize(0)
        continue
    assert seen >= n, (seen, n)
    n, turns = seen, turns + 1
print(n, turns, env.info()["map_size"])
"""


def test_map_grows_while_others_read(hosts):
    """Readers of other processes see a growing store, and it grows in spite of them; at both ends."""
    for system in (hosts.home, hosts.fire):
        system.config["store"]["map_size"] = "1 MiB"
    hosts.start()
    readers = [subprocess.Popen([sys.executable, "-c", READER, str(s.store), str(Path(__file__).parent)], text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
               for s in (hosts.fire, hosts.fire, hosts.home)]
    for r in readers:
        assert r.stdout.readline() == "reading\n"
    exports, ending = [], threading.Event()

    def export() -> None:
        while not ending.is_set():
            exports.append(hosts.fire.run("users", "export"))
    exporter = threading.Thread(target=export)
    exporter.start()
    asker = Asker(hosts)
    try:
        for _ in range(15):
            asker.all_answered(asker.ask(5, users=200))
        wait_for(lambda: len(exports) > 5, "some exports")
    finally:
        ending.set()
        exporter.join()
    results = [tuple(map(int, r.communicate("x", 30)[0].split())) for r in readers]
    assert all(r.returncode == 0 for r in readers)
    assert [n for n, _, _ in results] == [15000, 15000, 0]
    assert all(turns and size > 1 << 20 for _, turns, size in results), results
    assert all(e.returncode == 0 for e in exports), [e.stderr for e in exports if e.returncode][:3]
    counts = [len(json.loads(e.stdout)["users"]) for e in exports]
    assert counts == sorted(counts)
    asker.check()
