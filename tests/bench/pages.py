#!/usr/bin/python3
"""
The figures of README.md and deploy/capacity.md, from results.json: pages.py RESULTS prints them, pages.py RESULTS PAGE...
puts each between its marks in the pages: <!-- bench: NAME --> ... <!-- end of bench -->.
"""

import json
import re
import sys
import textwrap
from pathlib import Path

from report import number

MARK = re.compile(r"(<!-- bench: ([a-z]+) -->\n).*?(<!-- end of bench -->)", re.S)
DAY = 30  # for so many days an acms keeps requests and answers, by default


class Missing(Exception):
    """The results lack a figure: a step was left out."""


class Results:
    def __init__(self, path: Path):
        everything = json.loads(path.read_text())
        self.about, self.rows = everything, everything["rows"]
        self.figures = {name: figure["median"] for name, figure in everything["figures"].items()}

    def __getitem__(self, name: str) -> float:
        if name not in self.figures:
            raise Missing(f"{name} was not measured: run all of the benchmark")
        return self.figures[name]

    def chosen(self, name: str, beside: str = "") -> list[dict]:
        """Rows of figures and peers whose names begin so."""
        return [r for r in self.rows if r["name"].startswith(name) and r.get("beside", "").startswith(beside)]

    def sizes(self) -> list[int]:
        return sorted(int(name.rsplit(" ", 1)[1]) for name in self.figures if name.startswith("growth acms "))


def reached(row: dict) -> bool | None:
    """None: the row has no target. One of 1 means no worse, within the spread."""
    target = re.match(r"(>=|<=|<|)\s*([\d.]+)", row["target"])
    if not target:
        return None
    sign, bound, value = target[1], float(target[2]), row.get("ratio", row["median"])
    if not sign:
        return row["ratio_min"] <= bound if "p99" in row["name"] else row["ratio_max"] >= bound
    return value >= bound if sign == ">=" else value <= bound if sign == "<=" else value < bound


def table(head: list[str], lines: list[list[str]]) -> str:
    """Names to the left, figures to the right."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] + ["---:"] * (len(head) - 1), *lines])


# --- README -------------------------------------------------------------------------------------------

SHORT = (("setups acms 64", "setups slapd"), ("setups acms 64", "setups postgresql"), ("setups acms 1", "setups slapd"),
         ("latency acms p50", "latency floor"), ("bulk acms sorted", "bulk slapd"), ("bulk acms sorted", "bulk raw LMDB sorted"),
         ("look-ups acms", "look-ups slapd"), ("look-ups acms", "look-ups raw"), ("connections acms", ""),
         ("growth acms", "growth raw"), ("idle with", ""), ("dead with", ""), ("memory of home, nothing", ""),
         ("memory connection", ""), ("memory of home, peak", ""), ("memory of partner, peak", ""))


def quantity(value: float, unit: str) -> str:
    return f"{number(value)} {unit}"


def line_of(row: dict) -> list[str]:
    beside = ratio = ""
    if "ratio" in row:
        label = re.sub(r"^(setups|bulk|latency|look-ups|connections|growth|idle|dead) ", "", row["beside"])
        label = re.sub(r" (sorted|p50|\d+)$", "", label)
        beside = f"{label}: {quantity(row['beside_median'], row['unit'])}"
        ratio = f"{row['ratio']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})"
    verdict = {None: "", True: "reached", False: "**missed**"}[reached(row)]
    return [row["title"], quantity(row["median"], row["unit"]), beside, ratio,
            f"{row['target']}: {verdict}" if verdict else ""]


def chosen_rows(r: Results) -> list[dict]:
    rows = []
    grown = [(f"memory of {end}, {n:,} users", "") for n in r.sizes()[-1:] for end in ("home", "partner")]
    for name, beside in [*SHORT, *grown]:
        rows += [row for row in r.chosen(name, beside) if row not in rows
                 and (row["name"] != "setups acms 1" or name == "setups acms 1")]
    return [row for row in rows if not re.match(r"(setups acms 1.|bulk acms sorted 1,000)", row["name"])]


def latency_limit(r: Results) -> str:
    floor, threads, receipts = (r[f"latency floor{name} p50"] for name in (
        "", " with committers", " with committers and receipts"))
    return (f"one at a time, the floor itself takes {threads / floor:.2f} times as long once commits are made in threads of "
            f"their own, so that the network never waits for the disk, and {receipts / floor:.2f} times with a signature made "
            f"and verified.")


def bulk_limit(r: Results) -> str:
    servers = sum(r[f"cost {end} {thread} bulk"] for end in ("home", "partner") for thread in ("loop", "committer"))
    return (f"in bulk, home and partner take {servers:.1f} us of processor time a user, acmc some more: {r.about['cores']} cores "
            f"that do nothing else allow at most {number(r.about['cores'] * 1e6 / servers)} users/s.")


def misses(r: Results) -> list[str]:
    """Which targets, and what stands between them and this machine, as far as it was measured."""
    missed = [row for row in r.rows if reached(row) is False]
    why = [limit(r) for name, limit in (("latency acms p50", latency_limit), ("bulk acms sorted", bulk_limit))
           if any(row["name"] == name for row in missed)]
    titles = "; ".join(row["title"] for row in missed)
    return [f"Missed targets: {titles or 'none'}.", *(f"Why: {text}" for text in why)]


def speed(r: Results) -> str:
    a = r.about
    return "\n".join([
        f"`make bench` on {a['cores']} cores ({a['cpu']}), {a['file_system'].split()[0]}, {a['date']}, commit {a['commit']}: the",
        "median of the rounds; the ratio is made within each round. acms does two hops, home and partner, all on these cores,",
        "with a full sync for each commit; the others are one server each. What is compared and why that is fair:",
        "[tests/bench/README.md](tests/bench/README.md).", "",
        table(["what", "acms", "beside", "ratio", "target"], [line_of(row) for row in chosen_rows(r)]), "",
        *(textwrap.fill(text, 118) for text in misses(r))])


# --- deploy/capacity.md -------------------------------------------------------------------------------

KINDS = ("64 in flight", "bulk")


def user_costs(r: Results) -> str:
    what = {"loop": "processor time, loop thread", "committer": "processor time, committer thread",
            "written": "written: store, log, network", "commits": "commits (a sync each)", "kept": "stays in the store"}
    units = {"loop": "us", "committer": "us", "written": "bytes", "commits": "", "kept": "bytes"}
    lines = [[f"{end}: {title}", *(quantity(r[f"cost {end} {key} {kind}"], units[key]).strip() for kind in KINDS)]
             for end in ("home", "partner") for key, title in what.items()]
    lines.append(["network, both hops", *(quantity(r[f"cost network {kind}"], "bytes") for kind in KINDS)])
    return table(["a user costs", "one a request, 64 in flight", "in bulk"], lines)


def threads(r: Results, end: str, kind: str) -> tuple[float, float]:
    return r[f"cost {end} loop {kind}"], r[f"cost {end} committer {kind}"]


def ceilings(r: Results) -> str:
    lines = []
    for kind, label in zip(KINDS, ("one user a request, 64 in flight", "in bulk")):
        home, partner = threads(r, "home", kind), threads(r, "partner", kind)
        for end, (loop, committer) in (("home", home), ("partner", partner)):
            one, busier = 1e6 / (loop + committer), max(loop, committer)
            lines.append([f"{end}, {label}", number(one), number(1e6 / busier), number(1e6 / busier),
                          "loop" if loop >= committer else "committer",
                          number(16 * one)])
    return table(["users a second that the processors allow", "1 core", "2 cores", "4 to 16 cores", "busier thread",
                  "16 cores, shared evenly by more loops and committers"], lines)


def side_by_side(r: Results) -> str:
    return (f"Measured on {r.about['cores']} cores: one pair of systems {quantity(r['pairs 1'], 'users/s')}, two pairs "
            f"side by side {quantity(r['pairs 2'], 'users/s')} together ({r['pairs 2'] / r['pairs 1']:.2f} times).")


SYNC_MS = (0.1, 1, 10)


def disks(r: Results) -> str:
    """One at a time it waits for three commits: accepted, done, answered; with many in flight those share commits."""
    lines = []
    for in_flight in (1, 64, 256):
        loop = max(threads(r, "home", "64 in flight") + threads(r, "partner", "64 in flight"))
        lines.append([str(in_flight), *(number(min(in_flight / (3e-3 * ms), 1e6 / loop)) for ms in SYNC_MS)])
    written = sum(r[f"cost {end} written 64 in flight"] for end in ("home", "partner"))
    return table(["requests in flight", *(f"sync takes {ms} ms" for ms in SYNC_MS)], lines) + (
        f"\n\nCeilings, too: in a closed circle of requests each waits for the commit before its own as well, and five threads "
        f"share the cores. On the benchmark's machine 64 in flight came to {quantity(r['setups acms 64'], 'users/s')}, 256 to "
        f"{quantity(r['setups acms 256'], 'users/s')}.\n\nWriting: {number(written / 1000)} MB/s for each 1,000 single users a second, both ends together; in bulk "
        f"{number(sum(r[f'cost {end} written bulk'] for end in ('home', 'partner')) / 1000)} MB/s.")


def network(r: Results) -> str:
    return table(["network, both hops together", "Mbit/s"],
                 [[f"1,000 users a second, {label}", number(r[f"cost network {kind}"] * 8e-3)]
                  for kind, label in zip(KINDS, ("one a request", "in bulk"))])


def sizes(r: Results) -> str:
    largest = max(r.sizes())
    each = {end: r[f"disk {end} {largest}"] for end in ("home", "partner")}
    lines = [[f"{n:,}", *(f"{number(each[end] * n / 1e9)} GB" for end in ("home", "partner"))]
             for n in (1_000_000, 10_000_000, 100_000_000)]
    lines.append([f"for each 1,000,000 single requests of the last {DAY} days, more",
                  *(f"{number(max(0, r[f'cost {end} kept 64 in flight'] - each[end]) / 1e3)} GB" for end in ("home", "partner"))])
    memory = " and ".join(f"{number(r[f'memory of {end}, {largest:,} users'])} MiB ({end})" for end in ("home", "partner"))
    return table(["users stored", "home", "partner"], lines) + (
        f"\n\nThat is file and page cache. The processes by themselves needed {memory} with {largest:,} users, and "
        f"{number(r['memory connection'])} KiB for each idle connection.")


SECTIONS = {"speed": speed, "costs": user_costs, "ceilings": ceilings, "pairs": side_by_side, "disks": disks,
            "network": network, "sizes": sizes}


def filled(page: str, r: Results) -> str:
    return MARK.sub(lambda m: m[1] + SECTIONS[m[2]](r) + "\n" + m[3], page)


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    r = Results(Path(sys.argv[1]))
    if len(sys.argv) > 2 and r.about["scale"] == "smoke":
        print("a quick look at small numbers is nothing to publish: run make bench", file=sys.stderr)
        return 1
    try:
        pages = {Path(name): filled(Path(name).read_text(), r) for name in sys.argv[2:]}
        if not pages:
            print("\n\n".join(f"<!-- {name} -->\n{section(r)}" for name, section in SECTIONS.items()))
    except Missing as e:
        print(f"{sys.argv[1]}: {e.args[0]}", file=sys.stderr)
        return 1
    for path, text in pages.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
