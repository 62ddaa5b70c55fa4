"""What must hold when the hostile parties are gone, and what they left behind."""

import collections
import re
import subprocess
import time

import cbor2

from acx_peer import pb
from systems import BUILD, wait_for

MORE_MIB = 32  # that a process may keep of what it took at its peak


class Faults:
    def __init__(self):
        self.all = []

    def add(self, text: str) -> None:
        self.all.append(text.replace("\n", " ")[:500])

def shape(line: str) -> str:
    """A log line without what differs from one to the next."""
    line = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", line)
    return re.sub(r"\d+", "N", line)[:160]

def log_by_party(system) -> list:
    """(count, line): which are the most."""
    counted = collections.Counter()
    with open(system.log_file, errors="replace") as log:
        for line in log:
            counted[shape(line.rstrip())] += 1
    return [(n, line) for line, n in counted.most_common(8)]

def party_of(entry: dict, at_home: bool) -> str:
    if at_home:
        return "the honest" if entry.get(21) == "control-room" else str(entry.get(21))
    return "the honest" if entry.get(13) == "police.example" else str(entry.get(13))

def audit_by_party(system, since_ms: int) -> dict:
    """Entries and bytes since then, as stored."""
    exported = system.dir / "audit.cbor"
    system.export(exported)
    found = collections.defaultdict(lambda: [0, 0])
    with open(exported, "rb") as stream:
        decoder, size = cbor2.CBORDecoder(stream, str_errors="replace"), exported.stat().st_size
        while stream.tell() < size:
            start = stream.tell()
            entry = decoder.decode()
            if isinstance(entry, dict) and entry.get(11, 0) >= since_ms:
                party = found[party_of(entry, system.name == "police.example")]
                party[0] += 1
                party[1] += stream.tell() - start
    return dict(found)

def run_acmc(soak, system, leaf, *words, good=(0,)) -> str:
    config = system.acmc_config(leaf)
    result = subprocess.run([BUILD / "acmc", words[0], "-c", config, *words[1:]], capture_output=True, text=True, timeout=120)
    if result.returncode not in good:
        soak.faults.add(f"acmc {' '.join(words)}: exit code {result.returncode}: {result.stderr or result.stdout[-300:]}")
    return result.stdout

def run_acms(soak, system, *words) -> None:
    result = system.run(*words)
    if result.returncode != 0:
        soak.faults.add(f"acms {' '.join(words)} at {system.name}: exit code {result.returncode}: {(result.stderr or result.stdout)[-300:]}")

def check_memory(soak) -> None:
    """Descriptors and memory are what they were, about."""
    for m in soak.memory:
        def few() -> bool:
            m.sample()
            return m.descriptors <= m.before[1] + 6 and m.status("RssAnon") <= m.before[0] + 1024 * MORE_MIB
        try:
            wait_for(few, "descriptors and memory", 30)
        except AssertionError:
            soak.faults.add(f"{m.name} keeps {m.descriptors} descriptors and {m.status('RssAnon') / 1024:.1f} MiB of memory;"
                            f" it had {m.before[1]} and {m.before[0] / 1024:.1f}")
        print(f"memory of {m.name} afterwards: {m.status('RssAnon') / 1024:.1f} MiB, {m.descriptors} descriptors")

def check_commands(soak) -> None:
    world = soak.world
    run_acmc(soak, world.police, world.admin, "setup", "--to", "fire.example", "after@police.example,mcptt=sip:after@police.example")
    for words in (("requests",), ("requests", "--json"), ("requests", "--unfinished"), ("users", "--at", "fire.example"),
                  ("users", "--at", "fire.example", "--csv"), ("reconcile", "--with", "fire.example")):
        run_acmc(soak, world.police, world.admin, *words)
    for leaf in (world.officer, world.evil_officer):
        for words in (("pending",), ("pending", "--json")):
            run_acmc(soak, world.fire, leaf, *words)
    run_acmc(soak, world.police, world.evil_acmc, "requests")
    listed = run_acmc(soak, world.police, world.evil_acmc, "requests", "--json")
    for request in re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", listed)[:5]:
        run_acmc(soak, world.police, world.evil_acmc, "status", request, good=(0, 1, 6))
    for system in (world.police, world.fire):
        for words in (("audit", "verify"), ("audit", "export"), ("users", "list"), ("users", "export")):
            run_acms(soak, system, *words)

def check_restart(soak) -> None:
    world = soak.world
    for system in (world.fire, world.police):
        start = time.monotonic()
        code = system.stop()
        if code != 0:
            soak.faults.add(f"{system.name} ended with {code}")
        system.start()
        print(f"{system.name} restarted in {time.monotonic() - start:.1f} s")
    client = world.police.client(world.admin)
    answer = client.setup(["fire.example"], {"restarted@police.example": []})
    if not answer.result:
        soak.faults.add(f"after the restart: {answer}")
    left = client.requests(unfinished_only=True)
    if left.cause != pb.NO_CAUSE or left.entries:
        soak.faults.add(f"after the restart: unfinished requests of the honest: {left}")

def recovered(soak) -> None:
    for check in (check_memory, check_commands, check_restart, check_commands):
        try:
            check(soak)
        except Exception as error:  # one check that fails does not keep the others from being made
            soak.faults.add(f"{check.__name__}: {type(error).__name__}: {error}")

