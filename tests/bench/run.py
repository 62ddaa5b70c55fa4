"""The benchmark: tests/bench/README.md says what is compared and why. Run by `make bench`."""

import argparse
import collections
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import cbor2
import lmdb

sys.path.insert(0, str(Path(__file__).parent))

import report  # noqa: E402
from costs import Cost, loopback_bytes, store_bytes  # noqa: E402
from peers import (BUILD, PARTNER, Acms, Postgres, Slapd, Verified, anonymous_kb, entries,  # noqa: E402
                   finish, start_tool, tool)

SCALES = {
    # rounds, seconds a run, users of: a bulk sorted and scattered, slapd's, the large bulk; users stored; idle
    # connections, partners in a request, seconds in all
    "smoke": dict(rounds=1, seconds=0.3, bulk=2000, scattered=1000, slapd_bulk=500, large=5000, growth=(1000, 20_000), idle=200,
                  partners=(1, 3), budget=600),
    "short": dict(rounds=5, seconds=1.0, bulk=100_000, scattered=20_000, slapd_bulk=3000, large=1_000_000,
                  growth=(10_000, 1_000_000, 10_000_000), idle=10_000, partners=(1, 10, 100), budget=560),
    "full": dict(rounds=7, seconds=3.0, bulk=100_000, scattered=100_000, slapd_bulk=100_000, large=1_000_000,
                 growth=(10_000, 1_000_000, 10_000_000), idle=10_000, partners=(1, 10, 100), budget=100_000),
}

IN_FLIGHT, CONNECTIONS = (1, 8, 64, 256), (1, 8, 64)


class Bench:
    def __init__(self, root: Path, scale: dict):
        self.root, self.scale, self.f = root, scale, report.Figures()
        self.sizes, self.start, self.running, self.skipped = "", time.monotonic(), [], []

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.start:4.0f} s] {text}", flush=True)

    def left(self) -> float:
        return self.scale["budget"] - (time.monotonic() - self.start)

    def up(self, what):
        self.running.append(what)
        return what.start()

    def down(self, what) -> None:
        self.running.remove(what)
        what.stop()

    def rounds(self, what: str):
        self.say(what)
        return range(self.scale["rounds"])

    def raw_directory(self, name: str) -> Path:
        path = self.root / "raw" / name
        for side in ("home", "partner"):
            (path / side).mkdir(parents=True, exist_ok=True)
        return path

    def raw(self, mode: str, directory: Path, *words) -> dict:
        return tool("lmdb_load", mode, "--directory", directory, "--sizes", self.sizes, *words)


def interleaved(points: list, turn: int) -> list:
    """Each round begins with another one, so that none always comes first."""
    k = turn % len(points)
    return points[k:] + points[:k]


# --- the sizes of what an acms writes -----------------------------------------------------------------

DATABASES = {"user": ("partner", "users"), "owner": ("partner", "service_ids"), "request": ("partner", "requests"),
             "system": ("partner", "systems"), "audit": ("partner", "audit"), "asked": ("home", "asked"),
             "answer": ("home", "answers"), "believed": ("home", "believed")}
FEW, MANY = 60, 500


def values_of(store: Path, database: str) -> list[bytes]:
    with lmdb.open(str(store), readonly=True, max_dbs=20) as env:
        db = env.open_db(database.encode(), create=False)
        with env.begin() as txn:
            return [bytes(v) for _, v in txn.cursor(db)]


def line(few: list[int], many: list[int]) -> tuple[float, float]:
    """Base and size of each user, from requests of 1 and of MANY users."""
    one, lot = sum(few) / len(few), sum(many) / len(many)
    each = (lot - one) / (MANY - 1)
    return one - each, each


def calibrate(b: Bench, acms: Acms) -> None:
    """Measures the values in the stores, so that raw LMDB writes the same."""
    acms.setups(60, 1, most=FEW)
    acms.setups(60, 1, users=MANY, most=3)
    stores = {"home": acms.home.store, "partner": acms.partners[0].store}
    sizes = {"outbox": (19.0, 0.0), "head": (40.0, 0.0)}
    for name, (side, database) in DATABASES.items():
        lengths = [len(v) for v in values_of(stores[side], database)]
        if name in ("user", "owner", "system", "believed"):
            sizes[name] = (sum(lengths) / len(lengths), 0.0)
        else:
            sizes[name] = line(lengths[:FEW], lengths[FEW:])
    for name, action in (("ask_audit", 8), ("answer_audit", 9)):
        lengths = [len(v) for v in values_of(acms.home.store, "audit") if cbor2.loads(v).get(12) == action]
        sizes[name] = line(lengths[:FEW], lengths[FEW:])
    b.sizes = ",".join(f"{n}={base:.1f}:{each:.2f}" for n, (base, each) in sizes.items())
    b.say(f"bytes of values, and for each further user: {b.sizes}")


# --- rows ---------------------------------------------------------------------------------------------

def setups(b: Bench, acms: Acms, slapd: Slapd, pg: Postgres) -> None:
    points = [("acms", n, lambda n=n: acms.setups(b.scale["seconds"], n)) for n in IN_FLIGHT]
    points += [("slapd", n, lambda n=n: slapd.adds(b.scale["seconds"], n)) for n in CONNECTIONS]
    points += [("postgresql", n, lambda n=n: pg.adds(b.scale["seconds"], n)) for n in CONNECTIONS]
    points = [p for i in range(4) for p in points[i::4]]
    for turn in b.rounds("durable setups, one user each"):
        for label, n, run in interleaved(points, turn):
            result = run()
            b.f.add(f"setups {label} {n}", result["rate"], "users/s")
            b.f.add(f"p50 {label} {n}", result["p50_us"], "us")
            b.f.add(f"p99 {label} {n}", result["p99_us"], "us")
    slapd_best = b.f.best(*(f"setups slapd {n}" for n in CONNECTIONS))
    pg_best = b.f.best(*(f"setups postgresql {n}" for n in CONNECTIONS))
    for n in IN_FLIGHT:
        target = ">= 3, aim 10" if n == 64 else ""
        b.f.compare(f"setups, {n} in flight", f"setups acms {n}", slapd_best, target)
        b.f.compare(f"setups, {n} in flight", f"setups acms {n}", pg_best)


# The second and third show what of the way to the first is had by nobody who commits in another thread, and certifies.
FLOORS = {"floor": (), "floor with committers": ("--committers",),
          "floor with committers and receipts": ("--committers", "--receipts")}


def latency(b: Bench, acms: Acms) -> None:
    for turn in b.rounds("latency of one request at a time"):
        result = acms.setups(b.scale["seconds"], 1)
        for q in ("p50", "p99"):
            b.f.add(f"latency acms {q}", result[f"{q}_us"], "us")
        for i, (name, options) in enumerate(FLOORS.items()):
            floor = tool("floor", "latency", *options, "--directory", b.raw_directory(f"floor{turn}-{i}"),
                         "--certificate", acms.home.leaf.cert_file, "--key", acms.home.leaf.key_file,
                         "--anchors", acms.home.ca.cert_file, "--request", int(result["sent_bytes"]),
                         "--answer", int(result["received_bytes"]), "--seconds", b.scale["seconds"],
                         "--sizes", b.sizes)
            for q in ("p50", "p99"):
                b.f.add(f"latency {name} {q}", floor[f"{q}_us"], "us")
    for name in FLOORS:
        for q in ("p50", "p99"):
            target = "<= 1.5" if (name, q) == ("floor", "p50") else ""
            b.f.compare(f"latency, {q}", f"latency acms {q}", f"latency {name} {q}", target)


def lookups(b: Bench, acms: Acms, slapd: Slapd) -> None:
    seconds = b.scale["seconds"]
    raw = b.raw_directory("lookups")
    known = b.raw("bulk", raw, "--most", max(acms.next_scattered, 1000), "--batch", 100_000, "--partner-only")["done"]
    for _ in b.rounds("look-ups from another process while writes go on"):
        writer = acms.load("setup", "--to", PARTNER, "--in-flight", 64, "--seconds", seconds + 0.3,
                           "--first", acms.next_scattered)
        time.sleep(0.15)
        result = tool("lmdb_load", "idm", "--directory", acms.partners[0].store, "--users", acms.next_scattered,
                      "--seconds", seconds)
        written = finish(writer)
        acms.took(written["done"])
        b.f.add("look-ups acms", check(result)["rate"], "/s")
        b.f.add("look-ups acms, setups meanwhile", written["rate"], "users/s")

        writer = slapd.load("add", "--connections", 8, "--seconds", seconds + 0.3, "--first", slapd.next)
        time.sleep(0.15)
        result = finish(slapd.load("search", "--connections", 8, "--window", 4, "--users", slapd.next, "--seconds", seconds))
        written = finish(writer)
        slapd.next += written["done"]
        slapd.users += written["done"]
        slapd.verify()
        b.f.add("look-ups slapd", check(result)["rate"], "/s")
        b.f.add("look-ups slapd, adds meanwhile", written["rate"], "users/s")

        writer = start_tool("lmdb_load", "setups", "--directory", raw, "--sizes", b.sizes, "--partner-only", "--batch", 64,
                            "--first", known, "--seconds", seconds + 0.3)
        time.sleep(0.15)
        result = b.raw("get", raw, "--users", known, "--seconds", seconds)
        known += finish(writer)["done"]
        b.f.add("look-ups raw LMDB", check(result)["rate"], "/s")
    b.f.compare("look-ups while writing", "look-ups acms", "look-ups slapd")
    b.f.compare("look-ups while writing", "look-ups acms", "look-ups raw LMDB")


def check(result: dict) -> dict:
    if result["failed"]:
        raise Verified(f"{result['failed']} look-ups did not find what they should")
    return result


def best_batch(b: Bench, n: int, order: list) -> int:
    rates = {}
    for batch in (1000, 10_000, 100_000):
        directory = b.raw_directory(f"batch{batch}{''.join(order)}")
        rates[batch] = b.raw("bulk", directory, "--batch", batch, "--most", n, *order)["rate"]
        shutil.rmtree(directory)
    return max(rates, key=rates.get)


def bulk(b: Bench, acms: Acms, slapd: Slapd) -> None:
    few = b.scale["slapd_bulk"]
    for scattered, order, words in ((False, "sorted", ["--sorted"]), (True, "scattered", [])):
        n = b.scale["scattered" if scattered else "bulk"]
        pair = b.up(Acms(b.root / "bulk-scattered-pair")) if scattered else acms  # as empty as raw LMDB is
        batch = best_batch(b, n, words)
        for turn in b.rounds(f"bulk of {n:,} users, {order} (raw LMDB: {batch:,} a commit)"):
            first = turn * n + (0 if scattered else 5_000_000_000)
            both, one = b.raw_directory(f"bulk-{order}"), b.raw_directory(f"bulk-{order}-partner")
            b.f.add(f"bulk acms {order}", pair.bulk(n, scattered)["rate"], "users/s")
            if not scattered:
                b.f.add(f"bulk acms {order} 1,000", pair.bulk(1000, scattered)["rate"], "users/s")
            b.f.add(f"bulk slapd {order}", slapd.adds(600, 8, 16, most=few, scattered=scattered)["rate"], "users/s")
            b.f.add(f"bulk raw LMDB {order}", b.raw("bulk", both, "--batch", batch, "--most", n, "--first", first,
                                                    *words)["rate"], "users/s")
            b.f.add(f"bulk raw LMDB partner {order}", b.raw("bulk", one, "--batch", batch, "--most", n, "--first", first,
                                                            "--partner-only", *words)["rate"], "users/s")
        b.f.compare(f"bulk, {n:,} {order}", f"bulk acms {order}", f"bulk slapd {order}", ">= 10, aim 25")
        b.f.compare(f"bulk, {n:,} {order}", f"bulk acms {order}", f"bulk raw LMDB {order}", ">= 0.6")
        b.f.compare(f"bulk, {n:,} {order}", f"bulk acms {order}", f"bulk raw LMDB partner {order}")
        b.f.compare(f"bulk, 1,000 {order}", f"bulk acms {order} 1,000", f"bulk slapd {order}")
        if pair is not acms:
            b.down(pair)
    shutil.rmtree(b.root / "raw")


def large_bulk(b: Bench, acms: Acms, slapd: Slapd) -> None:
    """Once: as much for the memory that it takes as for its rate."""
    n, peaks = b.scale["large"], collections.Counter()
    if "bulk acms sorted" in b.f.values:  # what fits into the time that there is
        n = min(n, max(100_000, int(b.f.median("bulk acms sorted") * (b.left() - 90)) // 100_000 * 100_000))
    b.say(f"bulk of {n:,} users, once")
    home, partner = acms.home.process.pid, acms.partners[0].process.pid

    def watch(acmc: int) -> None:
        for name, pid in (("home", home), ("partner", partner), ("acmc", acmc)):
            try:
                peaks[name] = max(peaks[name], anonymous_kb(pid))
            except (OSError, RuntimeError):
                pass  # it has just ended

    b.f.add(f"bulk acms {n:,}", acms.bulk(n, False, watch)["rate"], "users/s")
    b.f.compare(f"bulk, {n:,} sorted, one run", f"bulk acms {n:,}")
    for name, pid in (("home", home), ("partner", partner)):
        memory(b, f"memory of {name}, {acms.users:,} users", pid)
    for name, peak in peaks.items():
        memory(b, f"memory of {name}, peak during it", 0, "< 200", peak)
    memory(b, f"memory of slapd, {slapd.users:,} users", slapd.process.pid)


def grown(b: Bench, n: int) -> tuple[Acms, Path]:
    """A pair of systems with n users, and a copy of its stores for raw LMDB, which so has the very same trees."""
    acms, raw = Acms(b.root / f"grown-{n}"), b.raw_directory(f"grown-{n}")
    b.say(f"filling the stores with {n:,} users")
    acms.fill(n)
    for side, system in (("home", acms.home), ("partner", acms.partners[0])):
        shutil.copyfile(system.store / "data.mdb", raw / side / "data.mdb")
    return b.up(acms), raw


def room_for(b: Bench, n: int) -> bool:
    """Disk (a user takes a kilobyte at both ends together, and as much in the copy), and time to fill it."""
    disk, seconds = shutil.disk_usage(b.root).free > 3000 * n, n / 100_000
    if not disk or b.left() < 60 + seconds:
        b.skipped.append(f"growth {n:,}")
        b.say(f"no {'time' if disk else 'disk space'} left for {n:,} users")
        return False
    return True


def memory(b: Bench, title: str, pid: int, target: str = "", kb: int = 0) -> None:
    """What the process has by itself now, or kb."""
    b.f.add(title, (kb or anonymous_kb(pid)) / 1024, "MiB")
    b.f.compare(title, title, target=target)


def growth(b: Bench) -> None:
    sizes = [n for n in b.scale["growth"] if room_for(b, n)]
    pairs = {n: grown(b, n) for n in sizes}
    os.sync()  # or what is still to be written would be part of the first figures
    for turn in b.rounds("growth: 64 in flight, with " + ", ".join(f"{n:,}" for n in sizes) + " users stored"):
        for n in interleaved(sizes, turn):
            acms, raw = pairs[n]
            b.f.add(f"growth acms {n}", acms.setups(b.scale["seconds"], 64)["rate"], "users/s")
            first = 100_000_000 + turn * 10_000_000  # far from those that are there
            b.f.add(f"growth raw LMDB {n}", b.raw("setups", raw, "--batch", 64, "--first", first, "--seconds",
                                                  b.scale["seconds"])["rate"], "users/s")
    for n in sizes:
        b.f.compare(f"setups, 64 in flight, {n:,} stored", f"growth acms {n}", f"growth raw LMDB {n}",
                    ">= 0.6" if n == sizes[-1] else "")
        if n != sizes[0]:
            b.f.compare(f"setups, {n:,} stored and {sizes[0]:,}", f"growth acms {n}", f"growth acms {sizes[0]}")
        for name, system in (("home", pairs[n][0].home), ("partner", pairs[n][0].partners[0])):
            memory(b, f"memory of {name}, {n:,} users", system.process.pid, "< 200")
            size, unit = store_bytes(system.store) / pairs[n][0].users, f"disk {name} {n}"
            b.f.add(unit, size, "bytes")
            b.f.compare(f"store of {name}, {n:,} users, bytes each", unit)
        b.down(pairs[n][0])
        shutil.rmtree(pairs[n][0].root)
    shutil.rmtree(b.root / "raw")


def connections(b: Bench, acms: Acms) -> None:
    for _ in b.rounds("new connections"):
        result = finish(acms.load("connect", "--connections", 16, "--seconds", b.scale["seconds"]))
        bare = tool("floor", "handshakes", "--threads", 4, "--certificate", acms.home.leaf.cert_file,
                    "--key", acms.home.leaf.key_file, "--anchors", acms.home.ca.cert_file,
                    "--seconds", b.scale["seconds"])
        b.f.add("connections acms", result["rate"], "/s")
        b.f.add("connections bare OpenSSL", bare["rate"], "/s")
    b.f.compare("new mutual-TLS connections", "connections acms", "connections bare OpenSSL")


def idle(b: Bench, quiet: Acms, loaded: Acms) -> None:
    """The one with idle connections beside one without, of the same size."""
    n, pid = b.scale["idle"], loaded.home.process.pid
    before = anonymous_kb(pid)
    memory(b, "memory of home, nothing to do", pid)
    holder = loaded.load("idle", "--connections", n, "--in-flight", 32)
    holder.stdout.readline()
    b.f.add("memory connection", (anonymous_kb(pid) - before) / n, "KiB")
    b.f.compare(f"memory of each of {n:,} idle connections", "memory connection", target="< 40")
    memory(b, f"memory of home, {n:,} idle connections", pid)
    side_by_side(b, f"{n:,} idle connections", "idle", quiet, loaded)
    holder.terminate()
    holder.wait()


def side_by_side(b: Bench, what: str, key: str, quiet: Acms, loaded: Acms) -> None:
    for turn in b.rounds(f"setups, 64 in flight, with {what} and without"):
        for name, acms in interleaved([("without", quiet), ("with", loaded)], turn):
            result = acms.setups(b.scale["seconds"], 64, to=[PARTNER])
            b.f.add(f"{key} {name}", result["rate"], "users/s")
            b.f.add(f"{key} p99 {name}", result["p99_us"], "us")
    b.f.compare(f"setups with {what} and without", f"{key} with", f"{key} without", "1")
    b.f.compare(f"p99 with {what} and without", f"{key} p99 with", f"{key} p99 without", "1")


def dead_partners(b: Bench, quiet: Acms, loaded: Acms, listener: socket.socket) -> None:
    """Requests for a partner where nobody listens and for one that accepts and says nothing go on all the time."""
    seconds = 4 * b.scale["rounds"] * (b.scale["seconds"] + 1) + 2
    flood = loaded.load("flood", "--to", "dead.example,slow.example", "--rate", 100, "--seconds", seconds)
    side_by_side(b, "a dead and a slow partner", "dead", quiet, loaded)
    flood.kill()
    flood.wait()
    listener.close()


COSTS = {"loop": ("processor time of the loop thread, {}", "us"),
         "committer": ("processor time of the committer thread, {}", "us"),
         "written": ("bytes written, {}", "bytes"), "commits": ("commits, {}", ""),
         "kept": ("bytes in the store, {}", "bytes")}


def cost(b: Bench, acms: Acms) -> None:
    """What a user costs each process: one a request, 64 in flight; and in bulk."""
    kinds = {"64 in flight": lambda: acms.setups(b.scale["seconds"], 64),
             "bulk": lambda: acms.bulk(b.scale["scattered"], False)}
    for _ in b.rounds("what a user costs"):
        for kind, run in kinds.items():
            ends = {"home": Cost(acms.home.process.pid, acms.home.store),
                    "partner": Cost(acms.partners[0].process.pid, acms.partners[0].store)}
            network = loopback_bytes()
            done = run()["done"]
            b.f.add(f"cost network {kind}", (loopback_bytes() - network) / done, "bytes")
            for end, measured in ends.items():
                for what, each in measured.each(done).items():
                    b.f.add(f"cost {end} {what} {kind}", each, COSTS[what][1])
    for kind in kinds:
        for end in ("home", "partner"):
            for what, (title, _) in COSTS.items():
                b.f.compare(f"a user, {kind}: " + title.format(end), f"cost {end} {what} {kind}")
        b.f.compare(f"a user, {kind}: bytes over the network, both hops", f"cost network {kind}")


def pairs(b: Bench, one: Acms, other: Acms) -> None:
    """What twice as many event loops and committers would give: a second pair of systems beside the first."""
    for turn in b.rounds("one pair of systems, and two side by side"):
        for n in interleaved([1, 2], turn):
            both = [one, other][:n]
            loads = [(acms, acms.load("setup", "--to", PARTNER, "--in-flight", 64, "--seconds", b.scale["seconds"],
                                      "--first", acms.next_scattered)) for acms in both]
            results = [(acms, finish(load)) for acms, load in loads]
            for acms, result in results:
                acms.took(result["done"])
            b.f.add(f"pairs {n}", sum(result["rate"] for _, result in results), "users/s")
    b.f.compare("two pairs of systems side by side, 64 in flight each", "pairs 2", "pairs 1")


def partners(b: Bench) -> None:
    most = max(b.scale["partners"])
    b.say(f"starting {most} partners")
    acms = b.up(Acms(b.root / "many", [f"p{i:03d}.example" for i in range(most)]))
    for turn in b.rounds("partners in one request"):
        for n in interleaved(list(b.scale["partners"]), turn):
            names = [p.name for p in acms.partners[:n]]
            words = ["--to", ",".join(names), "--in-flight", 64, "--seconds", b.scale["seconds"],
                     "--first", acms.next_scattered]
            result = finish(acms.load("setup", *words))
            acms.next_scattered += result["done"]
            b.f.add(f"partners {n}", result["rate"] * n, "answers/s")
            for p in acms.partners[:n]:
                p.expected = getattr(p, "expected", 0) + result["done"]
    for p in acms.partners:
        if entries(p.store)["users"] != getattr(p, "expected", 0):
            raise Verified(f"{p.name} has {entries(p.store)}")
    for n in b.scale["partners"]:
        b.f.compare(f"{n} partners in a request, 64 in flight", f"partners {n}", f"partners {b.scale['partners'][0]}")
    b.down(acms)


# --- all of it ----------------------------------------------------------------------------------------

def silent_partner() -> socket.socket:
    """Accepts (the kernel does), and never says a word."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
    return listener


def loaded_pair(b: Bench, listener: socket.socket) -> Acms:
    acms = Acms(b.root / "loaded")
    acms.add_partner("dead.example")
    acms.add_partner("slow.example", port=listener.getsockname()[1])
    return b.up(acms)


def run(b: Bench, only: set) -> None:
    listener = silent_partner()
    main, quiet, loaded = b.up(Acms(b.root / "main")), b.up(Acms(b.root / "quiet")), loaded_pair(b, listener)
    slapd, pg = b.up(Slapd(b.root)), b.up(Postgres(b.root))
    memory(b, "memory of slapd, nothing to do", slapd.process.pid)
    calibrate(b, quiet)
    loaded.setups(60, 1, most=FEW)
    steps = {"setups": lambda: setups(b, main, slapd, pg), "latency": lambda: latency(b, main),
             "lookups": lambda: lookups(b, main, slapd), "connections": lambda: connections(b, main),
             "bulk": lambda: bulk(b, main, slapd), "idle": lambda: idle(b, quiet, loaded),
             "dead": lambda: dead_partners(b, quiet, loaded, listener), "partners": lambda: partners(b),
             "cost": lambda: cost(b, quiet), "pairs": lambda: pairs(b, quiet, loaded),
             "growth": lambda: growth(b), "large": lambda: large_bulk(b, main, slapd)}
    for name, step in steps.items():
        if only and name not in only:
            continue
        if b.left() < 30:
            b.skipped.append(name)
            b.say(f"no time left for {name}: the machine is too slow or too busy")
            continue
        step()


def stop_all(b: Bench) -> None:
    for what in list(b.running):
        try:
            what.stop()
        except (subprocess.TimeoutExpired, OSError):
            what.process.kill()


def show(b: Bench, about: dict, out: Path) -> None:
    """What there is, even if a step failed."""
    about |= {"seconds": round(time.monotonic() - b.start), "load_after": os.getloadavg()}
    report.write(out / "results.json", b.f, about)
    report.plot(out / "results.svg", b.f)
    print(f"\n{about['cpu']}, {about['cores']} cores; {about['file_system']}; {about['commit']}; every run verified\n")
    print(report.table(b.f.rows))
    print(f"\n{out}/results.json, results.svg; {about['seconds']} s")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", choices=SCALES, default="short")
    parser.add_argument("--only", default="", help="rows, by comma: setups,latency,lookups,bulk,connections,large,"
                        "growth,idle,dead,partners,cost,pairs")
    parser.add_argument("--out", type=Path, default=BUILD / "bench")
    options = parser.parse_args()
    root = BUILD / "bench" / "data"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    about = report.machine(root)
    if about["file_system"].startswith(("tmpfs", "ramfs")):
        print(f"{root} is in memory: nothing would be durable there; set BUILD to a place on a disk", file=sys.stderr)
        return 1
    b = Bench(root, SCALES[options.scale])
    try:
        run(b, set(filter(None, options.only.split(","))))
        shutil.rmtree(root, ignore_errors=True)
    finally:
        stop_all(b)
        show(b, about | {"scale": options.scale, "skipped": b.skipped}, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
