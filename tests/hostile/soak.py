#!/usr/bin/python3
"""Everything that a hostile partner, a hostile home system and hostile ACMCs can do, at once, while an honest pair works.
README.md beside it says what must hold. Needs a build; BUILD says where."""

import argparse
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "blackbox")]

import acx_peer  # noqa: E402
import attack  # noqa: E402
import certificates  # noqa: E402
import clients  # noqa: E402
import partner  # noqa: E402
import pki  # noqa: E402
import strangers  # noqa: E402

from attack import COUNTERS, SPECS, Attacker, Seat  # noqa: E402
from checks import Faults, audit_by_party, log_by_party, recovered  # noqa: E402
from honest import Honest, Ids  # noqa: E402
from systems import BUILD, System  # noqa: E402

FORK = multiprocessing.get_context("fork")
MEMORY_MIB, GROWTH_BYTES, P99_WANTED, LONG = 100, 1_000_000, 2, 200
STORE_BYTES, STORE_BYTES_A_SECOND = 50_000_000, 1_000_000
FIRE = clients.FIRE
EVIL_HOME, NO_RIGHTS, PARTNERS = "evil.example", "norights.example", clients.PARTNERS

class World:
    """The systems, and what the hostile parties know of them."""

    def __init__(self, root: Path):
        self.root, self.key_updates = root, BUILD / "tests" / "key_updates"
        self.honest_ids = Ids(FORK)
        self.police, self.fire = System(root, "police.example"), System(root, "fire.example")
        self.evil, self.no_rights = System(root, EVIL_HOME), System(root, NO_RIGHTS)
        self.partners = [System(root, name) for name in PARTNERS]
        self.listeners = [socket.create_server(("127.0.0.1", 0), backlog=64) for _ in PARTNERS]
        self.configure_police()
        self.configure_fire()
        self.odd_leaves = certificates.hostile_leaves(self.evil)
        self.strange_leaf = pki.CA(root / "strange", "nobody's CA").issue("strange", ["DNS:acms.police.example"])
        fire, police = self.fire, self.police
        self.seats = {
            clients.HOME: Seat(fire.port, self.evil.leaf, fire.ca.cert_file, EVIL_HOME),
            clients.NO_RIGHT: Seat(fire.port, self.no_rights.leaf, fire.ca.cert_file, NO_RIGHTS),
            clients.ACMC: Seat(police.port, self.evil_acmc, police.ca.cert_file),
            clients.APPROVER: Seat(fire.port, self.evil_officer, fire.ca.cert_file),
            strangers.AT_HOME: Seat(police.port, None, police.ca.cert_file),
            strangers.AT_PARTNER: Seat(fire.port, None, fire.ca.cert_file)}

    def configure_police(self) -> None:
        police = self.police
        self.admin = police.acmc(partners=FIRE)
        self.evil_acmc = police.acmc("evil", partners=PARTNERS + FIRE, mc_ids=["evil-*@police.example"])
        police.config["limits"].update(max_unfinished_requests=1000, request_deadline="1 h")
        police.partner(self.fire, provision=None)
        for system, listener in zip(self.partners, self.listeners):
            police.partner(system, port=listener.getsockname()[1], provision=None)

    def configure_fire(self) -> None:
        fire = self.fire
        rule = dict(home_acmc_ids=None, partners=(), mc_ids=None, mc_service_id_domains=None)
        self.officer = fire.acmc("duty-officer", approves=["police.example"], **rule)
        self.evil_officer = fire.acmc("evil-officer", approves=[EVIL_HOME], **rule)
        names = {"mc_ids": ["*@police.example"], "mc_service_id_domains": ["police.example"]}
        fire.partner(self.police, address=False, provision={**names, "approval": {"update": "manual"}})
        names = {"mc_ids": ["*@evil.example"], "mc_service_id_domains": ["evil.example"]}
        fire.partner(self.evil, address=False, provision={**names, "approval": {"remove": "manual"}, "max_pending": 20})
        fire.partner(self.no_rights, address=False, provision=None)

    def fill(self, users: int) -> None:
        """The users that the hostile home system has a right to."""
        client = self.fire.client(self.evil.leaf, system=EVIL_HOME)
        for first in range(0, users, 1000):
            some = {f"u{i:07}@{EVIL_HOME}": [] for i in range(first, min(first + 1000, users))}
            assert client.setup(FIRE, some).result
        for n, ids in (("gone", ()), ("taken", [(1, "sip:taken@evil.example")]), ("odd0", ())):
            assert client.setup(FIRE, {f"{n}@{EVIL_HOME}": list(ids)}).result
        client.close()

FIRE = ["fire.example"]

class Memory:
    """The peak of a process's anonymous memory, sampled, and what the kernel says about all of it; its descriptors."""

    def __init__(self, system: System):
        self.name, self.pid, self.peak, self.descriptors = system.name, system.process.pid, 0, 0
        self.used = [0.0, 0.0]  # processor time in periods without hostile parties, and with

    def status(self, field: str) -> int:
        """In KiB."""
        return int(re.search(rf"{field}:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text()).group(1))

    def seconds(self) -> float:
        """Of processor time until now."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def sample(self) -> None:
        self.peak = max(self.peak, self.status("RssAnon"))
        self.descriptors = len(os.listdir(f"/proc/{self.pid}/fd"))

class Soak:
    def __init__(self, world: World, options):
        self.world, self.options, self.faults = world, options, Faults()
        self.turns = [i for i, s in enumerate(partner.SPECS) if not options.only or options.only in f"hostile partner: {s[0]}"]
        self.specs = [s for s in SPECS if not options.only or options.only in s.title or self.turns and s.function is clients.feed]
        self.counters = FORK.RawArray("Q", COUNTERS * (len(self.specs) + len(partner.SPECS)))
        self.on, self.stop = FORK.RawValue("B", 0), FORK.RawValue("B", 0)
        self.periods, self.hostile = [], []  # (with hostiles, from, to, log bytes of each system)
        self.n = max(1, min(10, round(options.seconds / 10)))
        self.with_seconds, self.without_seconds = options.seconds / self.n, max(3.0, options.seconds / self.n / 3)
        # Each attack of a partner gets its turn, one after the other.
        self.slot = max(1.0, min(6.0, len(PARTNERS) * options.seconds / max(1, len(self.turns)) / 2 - 1))

    def first(self, number: int) -> int:
        """Where a partner's attack has its counters."""
        return COUNTERS * (len(self.specs) + number)

    def start_partners(self) -> None:
        self.partners = []
        for i, (system, listener) in enumerate(zip(self.world.partners, self.world.listeners)):
            turns = self.turns[i::len(PARTNERS)] or self.turns
            self.partners.append(FORK.Process(target=self.serve, args=(system, listener, turns), daemon=True))
            self.partners[-1].start()

    def serve(self, system, listener, turns) -> None:
        attack.lowest_priority()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        partner.HostilePartner(self.world, system, listener, turns, self.on, self.counters, self.first, self.slot)
        signal.pause()

    def start_honest(self) -> None:
        self.honest_file = self.world.root / "honest.json"
        honest = Honest(self.world, self.honest_file, self.stop)
        self.honest = FORK.Process(target=honest.run)
        self.honest.start()

    def let_loose(self) -> None:
        self.on.value = bool(self.turns)
        for i, spec in enumerate(self.specs):
            self.hostile.append(FORK.Process(target=Attacker(spec, self.world, self.counters, i).run))
            self.hostile[-1].start()

    def call_off(self) -> None:
        self.on.value = 0
        for process in self.hostile:
            process.terminate()
        for process in self.hostile:
            process.join(5)
            if process.is_alive():
                process.kill()
        self.hostile.clear()

    def log_sizes(self) -> list:
        return [s.log_file.stat().st_size for s in (self.world.police, self.world.fire)]

    def period(self, hostile: bool, seconds: float) -> None:
        before, start, cpu = self.log_sizes(), time.monotonic(), [m.seconds() for m in self.memory]
        self.watch(seconds)
        grown = [b - a for a, b in zip(before, self.log_sizes())]
        for m, c in zip(self.memory, cpu):
            m.used[hostile] += m.seconds() - c
        self.periods.append((hostile, start, time.monotonic(), grown))

    def watch(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for m in self.memory:
                try:
                    m.sample()
                except (FileNotFoundError, AttributeError, ProcessLookupError):
                    self.faults.add(f"{m.name}: acms has ended")
                    raise SystemExit(self.report())
            time.sleep(0.05)

    def run(self) -> int:
        world = self.world
        world.fire.start()
        world.police.start()
        self.start_partners()
        world.fill(self.options.users)
        self.memory = [Memory(s) for s in (world.police, world.fire)]
        self.started_ms = acx_peer.now_ms()
        self.stores = [self.store_size(s) for s in (world.police, world.fire)]
        self.start_honest()
        self.watch(2)
        for m in self.memory:
            m.before = (m.status("RssAnon"), m.descriptors)
        for _ in range(self.n):
            self.period(False, self.without_seconds)
            self.let_loose()
            self.period(True, self.with_seconds)
            self.call_off()
            self.watch(2)  # what they left is worked off; then it counts as a period without
        self.period(False, self.without_seconds)
        self.stop.value = 1
        self.honest.join(120)
        self.honest_done = json.loads(self.honest_file.read_text())
        recovered(self)
        return self.report()

    def p99(self, hostile: bool, what: str | None = None) -> list:
        """Of each such period, in ms."""
        found = []
        for is_hostile, start, end, _ in self.periods:
            took = sorted(d[2] for d in self.honest_done if is_hostile == hostile and start <= d[1] < end
                          and (what is None or d[0] == what) and d[0] != "approver")
            if took:
                found.append(1000 * took[min(len(took) - 1, int(len(took) * 0.99))])
        return found

    def report(self) -> int:
        self.report_attacks()
        self.report_honest()
        self.report_growth()
        self.report_stores()
        for m in self.memory:
            print(f"memory of {m.name}: {m.before[0] / 1024:.1f} MiB anonymous before, {m.peak / 1024:.1f} MiB at the peak"
                  f" (sampled every 50 ms)")
            if m.peak / 1024 > MEMORY_MIB:
                self.faults.add(f"{m.name}: {m.peak / 1024:.1f} MiB of anonymous memory")
        for fault in self.faults.all:
            print(f"FAULT: {fault}")
        print("the soak found faults" if self.faults.all else "the soak found no fault")
        return 1 if self.faults.all else 0

    def report_attacks(self) -> None:
        titles = [s.title for s in self.specs] + [f"hostile partner: {s[0]}" for s in partner.SPECS]
        missing = []
        print(f"{'done':>10} {'parted':>8} {'begun':>6}  attack")
        for i, title in enumerate(titles):
            done, parted, begun = self.counters[COUNTERS * i:COUNTERS * (i + 1)]
            if i >= len(self.specs) and i - len(self.specs) not in self.turns:
                continue
            print(f"{done:>10} {parted:>8} {begun:>6}  {title}")
            if done == 0 and parted == 0:
                missing.append(title)
        print(f"{len(missing)} attacks never came to it")
        if self.options.seconds >= LONG:  # a short form has not the time for all
            for title in missing:
                self.faults.add(f"the attack never came to it: {title}")

    def report_honest(self) -> None:
        done = getattr(self, "honest_done", [])
        for what in sorted({d[0] for d in done}):
            faults = [d for d in done if d[0] == what and d[3]]
            without, those = self.p99(False, what), self.p99(True, what)
            if without and those:
                print(f"honest {what}: {sum(d[0] == what for d in done)}, {len(faults)} failed;"
                      f" p99 {statistics.median(without):.0f} ms without, {statistics.median(those):.0f} ms with hostiles")
            for fault in faults[:3]:
                self.faults.add(f"honest {what}: {fault[3]}")
        without, those = self.p99(False), self.p99(True)
        if without and those:
            ratio = statistics.median(those) / statistics.median(without)
            print(f"honest p99 (median of {len(those)} periods): {statistics.median(without):.1f} ms without,"
                  f" {statistics.median(those):.1f} ms with hostiles: {ratio:.2f} times (wanted: {P99_WANTED})")

        for m in getattr(self, "memory", ()):
            share = [100 * m.used[kind] / max(1, sum(b - a for h, a, b, _ in self.periods if h == kind)) for kind in (False, True)]
            print(f"processor time of {m.name}: {share[0]:.0f} % of one without, {share[1]:.0f} % with hostiles")

    def store_size(self, system: System) -> int:
        return (system.store / "data.mdb").stat().st_size

    def report_stores(self) -> None:
        for system, before in zip((self.world.police, self.world.fire), getattr(self, "stores", (0, 0))):
            grown = self.store_size(system) - before
            print(f"store of {system.name}: {before / 1e6:.1f} MB before, {grown / 1e6:.1f} MB more afterwards")
            if grown > STORE_BYTES + STORE_BYTES_A_SECOND * self.options.seconds:
                self.faults.add(f"{system.name}: the store grew by {grown / 1e6:.1f} MB")

    def report_growth(self) -> None:
        for i, system in enumerate((self.world.police, self.world.fire)):
            rate = [sum(g[i] for h, _, _, g in self.periods if h == kind) /
                    max(1, sum(b - a for h, a, b, _ in self.periods if h == kind)) for kind in (False, True)]
            seconds = sum(b - a for h, a, b, _ in self.periods if h)
            grown = max(0, rate[1] - rate[0]) * seconds
            print(f"log of {system.name}: {rate[0]:.0f} bytes/s without, {rate[1]:.0f} with hostiles: {grown / 1e6:.2f} MB by them")
            for count, line in log_by_party(system)[:5]:
                print(f"    {count:>8} lines like: {line}")
            if grown > GROWTH_BYTES:
                self.faults.add(f"{system.name}: the log grew by {grown / 1e6:.1f} MB by the hostiles")
            by = audit_by_party(system, self.started_ms)
            for party, (entries, size) in sorted(by.items()):
                print(f"audit of {system.name}: {size / 1e6:.2f} MB in {entries} entries by {party}")
            hostile = sum(size for party, (_, size) in by.items() if party != "the honest")
            if hostile > GROWTH_BYTES:
                self.faults.add(f"{system.name}: the audit log grew by {hostile / 1e6:.1f} MB by the hostiles")

def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=300, help="with hostiles; it lasts about half as long again")
    parser.add_argument("--users", type=int, default=100_000, help="that the hostile home system has at fire.example")
    parser.add_argument("--only", help="the attacks whose title has this in it")
    parser.add_argument("--keep", action="store_true", help="the systems' directory")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(20_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    root = Path(tempfile.mkdtemp(prefix="hostile-", dir=BUILD))
    soak = Soak(World(root), options)
    code = 1
    try:
        code = soak.run()
    finally:
        soak.call_off()
        soak.stop.value = 1
        for process in (*getattr(soak, "partners", ()), *([soak.honest] if hasattr(soak, "honest") else [])):
            process.kill()
        for system in (soak.world.police, soak.world.fire):
            system.stop(signal.SIGKILL)
        if code == 0 and not options.keep:
            shutil.rmtree(root)
        else:
            print(f"left in {root}")
    return code

if __name__ == "__main__":
    sys.exit(main())
