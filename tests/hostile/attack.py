"""What every attack has: a name, a seat that it is made from, a bound on its rate and on its count, a counter."""

import dataclasses
import os
import select
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Callable

from google.protobuf.message import DecodeError

import acx_peer
from acx_peer import Client, Ended, frame, hello, pb

GONE = (Ended, OSError, EOFError)  # TimeoutError and ssl.SSLError are OSErrors
PATIENCE = 5  # seconds that a server may not read, before the attacker connects anew
COUNTERS = 3  # of each attack: what it did; how often it was parted from or refused; how often it began


@dataclasses.dataclass
class Spec:
    name: str
    seat: str
    function: Callable
    rate: float  # of what is counted, a second
    most: int  # in all periods together

    @property
    def title(self) -> str:
        return f"{self.seat}: {self.name}"


SPECS: list[Spec] = []


def attack(name: str, *seats: str, rate: float, most: int = 10 ** 7):
    """Registers a function(attacker), which is called again and again until the period ends."""
    def register(function):
        SPECS.extend(Spec(name, seat, function, rate, most) for seat in seats)
        return function
    return register


@dataclasses.dataclass
class Seat:
    """Whom a hostile party can be at one server."""
    port: int
    leaf: object
    ca_file: Path
    system: str | None = None


def lowest_priority() -> None:
    """It gets the processor's time that nobody else wants: hostile parties have machines of their own."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


class Spent(Exception):
    """It has done all that it may, or its time is over."""


class Attacker:
    """One attack, in a process of its own while a period with hostiles lasts."""

    def __init__(self, spec: Spec, world, counters, number: int):
        self.spec, self.world, self.seat = spec, world, world.seats[spec.seat]
        self.counters, self.first = counters, number * COUNTERS
        self.start, self.done = time.monotonic(), 0

    def run(self) -> None:
        lowest_priority()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while self.counters[self.first] < self.spec.most:
            self.counters[self.first + 2] += 1
            try:
                self.spec.function(self)
            except (*GONE, DecodeError):
                self.parted()
                time.sleep(0.05)
            except Spent:
                return

    def count(self, n: int = 1) -> None:
        """After something was done: keeps the rate and the count."""
        self.done += n
        self.counters[self.first] += n
        if self.counters[self.first] >= self.spec.most:
            raise Spent
        ahead = self.done / self.spec.rate - (time.monotonic() - self.start)
        if ahead > 0:
            time.sleep(ahead)

    def parted(self) -> None:
        self.counters[self.first + 1] += 1

    def connect(self, timeout: float = PATIENCE, **more) -> Client:
        return Client(self.seat.port, self.seat.leaf, self.seat.ca_file, system=self.seat.system, timeout=timeout, **more)

    def tcp(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.seat.port), timeout=PATIENCE)

    def key_updates(self, requested: bool, every: int, count: int) -> None:
        """The C helper's storm, from this seat."""
        self.count(run_key_updates(self.world, f"connect:{self.seat.port}", self.seat, self.spec.rate, requested, every, count))


def run_key_updates(world, where: str, seat, rate: float, requested: bool, every: int, count: int, fds=()) -> int:
    greeting = world.root / f"hello-{os.getpid()}"
    greeting.write_bytes(frame(hello(seat.system).SerializeToString()))
    Path(f"{greeting}.between").write_bytes(frame(pb.Message(ping=pb.Ping(token=1)).SerializeToString()))
    words = [world.key_updates, where, seat.leaf.cert_file, seat.leaf.key_file, greeting, count, rate, int(requested), every]
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=60, pass_fds=fds)
    if done.returncode != 0:
        raise Ended(done.stderr)
    return int(done.stdout)


def pump(sock: ssl.SSLSocket, data: bytes, seconds: float = PATIENCE, drain: bool = True) -> int:
    """Sends all of it, and throws away what comes meanwhile. The number of bytes thrown away."""
    end, left, thrown = time.monotonic() + seconds, memoryview(data), 0
    sock.setblocking(False)
    try:
        while len(left):
            if drain:
                thrown += drain_some(sock)
            try:
                left = left[sock.send(left):]
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                if time.monotonic() > end:
                    raise TimeoutError("it does not read") from None
                select.select([sock] if drain else [], [sock], [], 0.2)
    finally:
        sock.settimeout(PATIENCE)
    return thrown


def drain_some(sock: ssl.SSLSocket) -> int:
    """What has come, of a socket that does not block."""
    thrown = 0
    try:
        while True:
            piece = sock.recv(65536)
            if not piece:
                raise Ended("end of file")
            thrown += len(piece)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return thrown


def drain_for(sock: ssl.SSLSocket, seconds: float) -> int:
    """Throws away what comes in that time."""
    end, thrown = time.monotonic() + seconds, 0
    sock.setblocking(False)
    try:
        while (left := end - time.monotonic()) > 0:
            select.select([sock], [], [], left)
            thrown += drain_some(sock)
    finally:
        sock.settimeout(PATIENCE)
    return thrown


class Template:
    """A message with a request ID or a token in it that changes, without encoding it anew."""

    def __init__(self, message: "pb.Message", mark: bytes):
        self.bytes = frame(message.SerializeToString())
        assert self.bytes.count(mark) == 1
        self.at, self.size = self.bytes.index(mark), len(mark)

    def fresh(self, value: bytes | None = None) -> bytes:
        return self.bytes[:self.at] + (value or os.urandom(self.size)) + self.bytes[self.at + self.size:]


MARK = b"sixteen bytes...".ljust(16, b".")


def asking(targets, users: dict, seconds: float | None = 3600, **more) -> Template:
    """A request whose ID changes. users: as acx_peer.request() takes them."""
    if seconds is not None:
        more["expires"] = acx_peer.now_ms(seconds)
    return Template(acx_peer.request(targets, users, request_id=MARK, **more), MARK)


def query(kind: str, **fields) -> bytes:
    """A frame with a query. kind: the body's name in acx.proto."""
    message = pb.Message()
    getattr(message, kind).SetInParent()
    getattr(message, kind).MergeFrom(type(getattr(message, kind))(**{"token": 1, **fields}))
    return frame(message.SerializeToString())
