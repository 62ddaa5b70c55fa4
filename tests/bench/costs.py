"""What a server has used up: processor time of each thread, bytes written, commits; and what its store takes."""

from dataclasses import dataclass
from pathlib import Path

import lmdb


def threads_ns(pid: int) -> list[int]:
    """Processor time of each thread that lives, in the order in which they began: loop, committer, ..."""
    tasks = sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda p: int(p.name))
    return [int((task / "schedstat").read_text().split()[0]) for task in tasks]


def written_bytes(pid: int) -> int:
    """By all its system calls. (write_bytes is no measure: it counts whole folios of the page cache for each 4 KiB of one.)"""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("wchar:"):
            return int(line.split()[1])
    raise RuntimeError("no wchar")


def loopback_bytes() -> int:
    for line in Path("/proc/net/dev").read_text().splitlines():
        if line.strip().startswith("lo:"):
            return int(line.split()[9])
    raise RuntimeError("no lo")


def commits(store: Path) -> int:
    with lmdb.open(str(store), readonly=True, max_dbs=20) as env:
        return env.info()["last_txnid"]


def store_bytes(store: Path) -> int:
    """Of the pages that hold something now, whatever the file's size."""
    with lmdb.open(str(store), readonly=True, max_dbs=20) as env, env.begin() as txn:
        used = 0
        for name in list(txn.cursor().iternext(values=False)):
            stat = txn.stat(env.open_db(name, txn, create=False))
            used += stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])
        return used


@dataclass
class Cost:
    """Of one server, since a moment."""
    pid: int
    store: Path

    def __post_init__(self):
        self.before = self.now()

    def now(self) -> dict[str, float]:
        loop, committer = threads_ns(self.pid)[:2]
        return {"loop": loop / 1000, "committer": committer / 1000, "written": written_bytes(self.pid),
                "commits": commits(self.store), "kept": store_bytes(self.store)}

    def each(self, n: int) -> dict[str, float]:
        """Microseconds, bytes, commits, for each of n."""
        now = self.now()
        return {what: (now[what] - self.before[what]) / n for what in now}
