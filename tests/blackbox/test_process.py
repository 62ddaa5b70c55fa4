"""What the server is to its surroundings: systemd's watchdog, core dumps, its end."""

import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from acx_peer import Ended, FakePartner, new_id, request, silent
from systems import System, check_stopped, wait_for

NOBODY = 65534


class Notified:
    """systemd's end of sd_notify."""

    def __init__(self, directory):
        self.path, self.got = directory / "notify", []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        while True:
            self.got += self.socket.recv(4096).decode().split("\n")

    def count(self, what: str) -> int:
        return self.got.count(what)


@pytest.mark.parametrize("interval_us", ["600000", None])
def test_the_loop_tells_systemds_watchdog_that_it_runs(world, tmp_path, interval_us):
    home, systemd = world.system("police.example"), Notified(tmp_path)
    home.wrapper = ["env", f"NOTIFY_SOCKET={systemd.path}", *([f"WATCHDOG_USEC={interval_us}"] if interval_us else [])]
    home.start()
    wait_for(lambda: systemd.count("READY=1"), "READY")
    if interval_us:
        wait_for(lambda: systemd.count("WATCHDOG=1") >= 5, "it goes on")
    assert home.stop() == 0
    wait_for(lambda: systemd.count("STOPPING=1"), "STOPPING")
    assert interval_us or not systemd.count("WATCHDOG=1")


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start it as somebody else, and look at it all the same")
def test_nobody_but_root_may_look_into_its_memory():
    """The kernel gives to root what /proc has of such a process."""
    with tempfile.TemporaryDirectory() as directory:  # pytest's are root's
        os.chmod(directory, 0o755)
        home = System(Path(directory), "police.example")
        home.write_config()
        for path in [home.dir, home.store, *home.dir.iterdir()]:
            os.chown(path, NOBODY, NOBODY)
        try:
            home.start(preexec=become_nobody)
            proc = f"/proc/{home.process.pid}"
            assert re.search(rf"^Uid:\s+{NOBODY}\s", open(f"{proc}/status").read(), re.M)
            assert os.stat(f"{proc}/mem").st_uid == 0
            assert subprocess.run(["cat", f"{proc}/environ"], preexec_fn=become_nobody, capture_output=True).returncode != 0
        finally:
            check_stopped(home)


def test_it_ends_under_load_with_nothing_left(world):
    """Whatever is under way when it ends is answered or let go: a sanitizer would report what is not."""
    home, fire, rail = world.federation()
    system = world.system("fake.example")
    fake = FakePartner("fake.example", system.ca.issue("fake", ["DNS:acms.fake.example"]), home.ca.cert_file, silent)
    world.fakes.append(fake)
    home.partner(system, port=fake.port, provision=None)
    home.config["limits"]["shutdown_timeout"] = "1 s"  # it never answers
    for system in (fire, rail, home):
        system.start()
    stopping = threading.Event()

    def ask(name: str) -> None:
        try:
            client = home.client(home.admin)
            for i in range(100000):
                if stopping.is_set():
                    return
                users = {f"{name}-{i}-{k}@police.example": [] for k in range(20)}
                client.send(request(["fire.example", "rail.example", "fake.example"], users, request_id=new_id()))
                client.send(request(["fire.example", "fake.example"], {f"{name}-d{i}@police.example": []}, dry_run=True))
                client.tokens += 1
                if i % 10 == 0:
                    client.users("fire.example", max=5)
                    client.kept.clear()
        except (Ended, OSError, AssertionError):
            pass

    threads = [threading.Thread(target=ask, args=(f"t{n}",), daemon=True) for n in range(3)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(fire.users()) > 200 and len(rail.users()) > 200, "it is under load")
    for system in (fire, home, rail):
        system.send_signal(signal.SIGTERM)
    for system in (home, fire, rail):
        assert system.stop() == 0, system.log()
    stopping.set()
    for thread in threads:
        thread.join(30)
