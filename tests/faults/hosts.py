"""Hosts as network namespaces, the wire between them, and systems that run there."""

import contextlib
import ctypes
import fcntl
import heapq
import os
import random
import select
import signal
import struct
import subprocess
import threading
import time
from pathlib import Path

from load import connect
from systems import BUILD, System, wait_for

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
libc = ctypes.CDLL(None, use_errno=True)


def sh(*words, check=True) -> subprocess.CompletedProcess:
    result = subprocess.run(words, capture_output=True, text=True)
    assert not check or result.returncode == 0, (words, result.stderr)
    return result


class Host:
    def __init__(self, name: str, address: str):
        self.name, self.address = name, address
        sh("ip", "netns", "add", name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *words) -> None:
        sh("ip", "-n", self.name, *words)

    def run(self, *words, check=True) -> subprocess.CompletedProcess:
        return sh("ip", "netns", "exec", self.name, *words, check=check)

    def enter(self) -> None:
        """The calling thread, or a child process before it becomes another program."""
        with open(f"/run/netns/{self.name}") as ns:
            if libc.setns(ns.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    @contextlib.contextmanager
    def inside(self):
        with open("/proc/thread-self/ns/net") as before:
            self.enter()
            try:
                yield
            finally:
                libc.setns(before.fileno(), CLONE_NEWNET)

    def end(self) -> None:
        sh("ip", "netns", "del", self.name, check=False)


class Wire:
    """
    A wire that loses and delays packets, between two tun devices: what tc netem does, for kernels without it. (This
    project's CI runs on one.)
    """

    def __init__(self, hosts: list, loss: float, delay: float, seed: int = 1):
        self.loss, self.delay, self.rng = loss, delay, random.Random(seed)
        self.carried = self.lost = 0
        self.devices = [self.device(h) for h in hosts]
        self.ending = False
        self.thread = threading.Thread(target=self.carry, daemon=True)
        self.thread.start()

    @staticmethod
    def device(host: Host) -> int:
        with host.inside():
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", b"wire", IFF_TUN | IFF_NO_PI))
        host.ip("addr", "add", f"{host.address}/24", "dev", "wire")
        host.ip("link", "set", "wire", "up")
        return fd

    def carry(self) -> None:
        under_way, n = [], 0
        while not self.ending:
            wait = min(0.2, max(0, under_way[0][0] - time.monotonic())) if under_way else 0.2
            for fd in select.select(self.devices, [], [], wait)[0]:
                packet = os.read(fd, 65536)
                other = self.devices[1 - self.devices.index(fd)]
                if self.rng.random() < self.loss:
                    self.lost += 1
                    continue
                heapq.heappush(under_way, (time.monotonic() + self.delay, n := n + 1, other, packet))
            while under_way and under_way[0][0] <= time.monotonic():
                _, _, fd, packet = heapq.heappop(under_way)
                os.write(fd, packet)
                self.carried += 1

    def end(self) -> None:
        self.ending = True
        self.thread.join()
        for fd in self.devices:
            os.close(fd)


class Net:
    """Two hosts and what joins them."""

    def __init__(self):
        tag = f"acx{os.getpid()}"
        self.hosts = [Host(f"{tag}a", "10.91.0.1"), Host(f"{tag}b", "10.91.0.2")]
        self.wire = None
        a, b = self.hosts
        sh("ip", "link", "add", "eth", "netns", a.name, "type", "veth", "peer", "name", "eth", "netns", b.name)
        for h in self.hosts:
            h.ip("addr", "add", f"{h.address}/24", "dev", "eth")
            h.ip("link", "set", "eth", "up")

    def drop(self, *directions: int) -> None:
        """Silently, without RST: what host 0, or 1, sends no longer arrives at the other."""
        for d in directions:
            self.hosts[1 - d].run("iptables", "-A", "INPUT", "-i", "eth", "-j", "DROP")

    def heal(self) -> None:
        for h in self.hosts:
            h.run("iptables", "-F", "INPUT")

    def spoil(self, loss: float, delay: float) -> None:
        """From now on packets are lost and late in both directions; set before anything is connected."""
        netem = ("netem", "delay", f"{delay * 1000:.0f}ms", "loss", f"{loss * 100:.0f}%")
        if all(h.run("tc", "qdisc", "replace", "dev", "eth", "root", *netem, check=False).returncode == 0
               for h in self.hosts):
            return
        for h in self.hosts:
            h.ip("link", "set", "eth", "down")
            h.ip("addr", "flush", "dev", "eth")
        self.wire = Wire(self.hosts, loss, delay)

    def end(self) -> None:
        if self.wire:
            self.wire.end()
        for h in self.hosts:
            h.end()


class FaultySystem(System):
    """A system on one of the hosts."""

    def __init__(self, root: Path, name: str, host: Host):
        super().__init__(root, name)
        self.host, self.environment, self.mounted = host, {}, False
        self.config["listen"].append({"address": host.address, "port": self.port})

    def start(self, wait: bool = True, preexec=None) -> "FaultySystem":
        self.write_config()
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([BUILD / "acms", "serve", "-c", self.config_file], stderr=log,
                                            preexec_fn=self.host.enter, env={**os.environ, **self.environment})
        if wait:
            wait_for(lambda: self.process.poll() is not None or self.healthy(), f"{self.name} answers", 60)
            assert self.process.poll() is None, self.log()
        return self

    def run(self, *words) -> subprocess.CompletedProcess:
        return subprocess.run([BUILD / "acms", words[0], "-c", self.config_file, *words[1:]],
                              capture_output=True, text=True, timeout=60, preexec_fn=self.host.enter,
                              env={**os.environ, **self.environment})

    def connect(self, leaf=None, timeout=20):
        with self.host.inside():
            return connect(self, leaf or self.admin, timeout)

    # --- its file system ---

    def mount(self, megabytes: int) -> None:
        """The store on an ext4 file system of its own, so that it can be full."""
        image = self.dir / "disk"
        with open(image, "wb") as f:
            f.truncate(megabytes << 20)
        sh("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(image))
        sh("mount", "-o", "loop", str(image), str(self.store))
        self.store.chmod(0o700)
        self.mounted = True

    def fill(self) -> None:
        """All that is left, to the last block."""
        with open(self.store / "ballast", "ab", buffering=0) as f:
            for size in (65536, 4096, 1):
                with contextlib.suppress(OSError):
                    while f.write(b"\1" * size) == size:
                        pass
        os.sync()

    def free_space(self) -> None:
        (self.store / "ballast").unlink()

    def end(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        code = self.stop()
        if self.mounted:
            sh("umount", str(self.store), check=False)
        assert code in (0, -signal.SIGKILL), (code, self.log())
