#!/usr/bin/python3
"""
Kills two real systems, home and partner, at named places and at random times, while administrators ask for setups,
updates and removals, and checks after each round that nothing acknowledged is missing, nothing was done twice, both
ends agree, and the audit logs hold. Needs a build with FAILPOINTS=1.
"""

import argparse
import concurrent.futures
import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "blackbox")]

from checks import check_partner, check_round, settle  # noqa: E402
from load import Admin, Approver  # noqa: E402
from systems import BUILD, System  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
HOME, PARTNER = "police.example", "fire.example"
BOTH = {"commit-before": (1, 2, 4, 9, 25), "commit-after": (1, 2, 4, 9, 25)}
SWEEP = {"sweep-written": (1, 2), "sweep-committed": (1, 2), "sweep-told": (1, 2)}
POINTS = {  # by end: fail point -> passes at which to die
    HOME: {"home-received": (1, 3, 8, 30), "home-accept-written": (1, 3, 8, 30), "home-accepted": (1, 3, 8, 30),
           "home-accept-told": (1, 3, 8, 30), "home-send": (1, 3, 8, 30), "home-response": (1, 3, 8, 30),
           "home-answer-written": (1, 3, 8, 30), "home-answered": (1, 3, 8, 30), "home-answer-told": (1, 3, 8, 30),
           **SWEEP, **BOTH},
    PARTNER: {"partner-received": (1, 3, 8, 30), "partner-written": (1, 3, 8, 30), "partner-committed": (1, 3, 8, 30),
              "partner-told": (1, 3, 8, 30), "decision-received": (1, 2, 4), "decision-written": (1, 2, 4),
              "decision-committed": (1, 2, 4), "decision-pushed": (1, 2, 4), "decision-told": (1, 2, 4),
              **SWEEP, **BOTH},
}
REACH_SECONDS = 300  # the load goes on until it is; a machine may be slow


def points_in_sources() -> set:
    text = "".join(f.read_text() for d in ("acms", "common", "acmc") for f in (ROOT / d).glob("*.c"))
    return set(re.findall(r'fail_point\("([^"]+)"\)', text))


class Victim(System):
    """Dies at the places that it is told, and is started again at once with the next."""

    def __init__(self, root: Path, name: str):
        super().__init__(root, name)
        self.kills, self.starts, self.failure = 0, 0, None

    def launch(self, point: str | None = None) -> None:
        environment = {k: v for k, v in os.environ.items() if k != "ACX_FAIL_POINT"}
        if point:
            environment["ACX_FAIL_POINT"] = point
        with open(self.log_file, "ab") as log:
            log.write(f"--- started to die at {point}\n".encode())
            self.process = subprocess.Popen([BUILD / "acms", "serve", "-c", self.config_file], stderr=log,
                                            env=environment)
        self.starts += 1

    def die_at(self, point: str) -> None:
        self.launch(point)
        try:
            code = self.process.wait(REACH_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name}: {point} was not reached in {REACH_SECONDS} s") from None
        assert code == -signal.SIGKILL, f"{self.name} ended with {code} by itself, waiting for {point}"
        self.kills += 1

    def die_after(self, seconds: float) -> None:
        self.launch()
        try:
            code = self.process.wait(seconds)
            raise AssertionError(f"{self.name} ended with {code} by itself")
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.kills += 1

    def suffer(self, plan: list) -> threading.Thread:
        def run() -> None:
            try:
                for death in plan:
                    if isinstance(death, str):
                        self.die_at(death)
                    else:
                        self.die_after(death)
                self.launch()
            except BaseException as error:  # noqa: B902
                self.failure = error
        thread = threading.Thread(target=run)
        thread.start()
        return thread


class Round:
    """Two fresh systems, their load, and a plan of deaths for each."""

    def __init__(self, seed: str, root: Path, plans: dict, patience: int):
        self.seed, self.plans, self.root, self.patience = seed, plans, root, patience
        self.home, self.partner = Victim(root, HOME), Victim(root, PARTNER)
        self.admin_leaf = self.home.acmc()
        self.chief_leaf = self.partner.acmc("chief", mc_ids=None, mc_service_id_domains=None, approves=[HOME])
        del self.partner.config["acmcs"]["clients"][0]["partners"]
        self.home.partner(self.partner, provision=None)
        self.partner.partner(self.home, address=False)["provision"].update(
            approval={"remove": "manual"}, decide_within="4 s")
        self.home.config["limits"]["partner_timeout"] = "10 s"
        for system in (self.home, self.partner):  # the checks want an entry for each
            system.config["limits"]["audited_refusals_per_minute"] = 1000000
        self.asked = {}
        self.admins = [Admin(self.home, self.admin_leaf, PARTNER, f"u{i}", seed, self.asked) for i in range(3)]
        self.approver = Approver(self.partner, self.chief_leaf, seed)

    def run(self) -> dict:
        victims = (self.home, self.partner)
        for v in victims:
            v.write_config()
        workers = [*self.admins, self.approver]
        for w in workers:
            w.start()
        suffering = [v.suffer(self.plans[v.name]) for v in victims]
        for t in suffering:
            t.join()
        failures = [x.failure for x in (*victims, *workers) if x.failure]
        if failures:
            raise failures[0]
        for a in self.admins:
            a.stop()
        try:
            settle(self)
        except AssertionError:
            self.kill()
            check_partner(self)  # often tells why
            raise
        self.approver.stop()
        for v in victims:
            code = v.stop()
            assert code == 0, f"{v.name} ended with {code}"
        return {**check_round(self), "kills": sum(v.kills for v in victims), "starts": sum(v.starts for v in victims)}

    def kill(self) -> None:
        for w in (*self.admins, self.approver):
            w.ending = True
        for v in (self.home, self.partner):
            v.stop(signal.SIGKILL)


def play(seed: str, plans: dict, patience: int) -> dict:
    root = Path(tempfile.mkdtemp(prefix="acx-crash-"))
    game = Round(seed, root, plans, patience)
    try:
        result = game.run()
        shutil.rmtree(root)
        return result
    except BaseException:  # noqa: B902
        print(f"seed {seed}: FAILED; its files are in {root}\n{traceback.format_exc()}", file=sys.stderr, flush=True)
        return {"failed": 1}
    finally:
        game.kill()


def plans_of(rng: random.Random, kills: int, per_round: int, each: int) -> list:
    """All places of both ends, each as often as the others, shuffled; each third death is at a random time."""
    deaths = {}
    for end, points in POINTS.items():
        every = [f"{name}:{n}" for name, passes in points.items() for n in passes]
        named = itertools.chain.from_iterable(rng.sample(every, len(every)) for _ in itertools.count())
        deaths[end] = [round(rng.random() ** 2, 3) if (i + 1) % each == 0 else next(named) for i in range((kills + 1) // 2)]
    rounds = max(1, round(kills / per_round))
    return [{end: d[i::rounds] for end, d in deaths.items()} for i in range(rounds)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--per-round", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=2, help="rounds at the same time")
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(10 ** 9)))
    parser.add_argument("--patience", type=int, default=90, help="seconds until each request must have its answer")
    parser.add_argument("--random", action="store_true", help="die at random times only")
    o = parser.parse_args()
    named, there = {p for points in POINTS.values() for p in points}, points_in_sources()
    assert named == there, f"fail points that only one of sources and test knows: {sorted(named ^ there)}"
    played, began, total, rounds = 0, time.monotonic(), {}, plans_of(random.Random(o.seed), o.kills, o.per_round,
                                                                    1 if o.random else 3)
    print(f"crash test: seed {o.seed}, {len(rounds)} rounds", flush=True)
    with concurrent.futures.ProcessPoolExecutor(o.jobs) as pool:
        seeds = [f"{o.seed}.{i}" for i in range(len(rounds))]
        for result in pool.map(play, seeds, rounds, itertools.repeat(o.patience)):
            played += 1
            for key, n in result.items():
                total[key] = total.get(key, 0) + n
            if result.get("failed"):
                pool.shutdown(cancel_futures=True)
                break
    failed = total.pop("failed", 0)
    print(f"crash test: {', '.join(f'{n} {key}' for key, n in total.items())}, {time.monotonic() - began:.0f} s")
    print(f"{played - failed} passed, {failed} failed")
    return 1 if failed or not total.get("kills") else 0


if __name__ == "__main__":
    sys.exit(main())
