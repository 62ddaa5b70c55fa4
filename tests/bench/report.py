"""What was measured, as a table, JSON and a plot."""

import json
import os
import platform
import statistics
import subprocess
import time
from pathlib import Path


class Figures:
    """Values by name, one a round, in the order of the rounds."""

    def __init__(self):
        self.values: dict[str, list[float]] = {}
        self.units: dict[str, str] = {}
        self.rows: list[dict] = []

    def add(self, name: str, value: float, unit: str) -> None:
        self.values.setdefault(name, []).append(value)
        self.units[name] = unit

    def median(self, name: str) -> float:
        return statistics.median(self.values[name])

    def compare(self, title: str, name: str, beside: str | None = None, target: str = "", invert=False) -> None:
        """A row: a figure, and its ratio to another one of the same rounds. invert: the other one over it."""
        if name not in self.values or (beside and beside not in self.values):
            return
        row = {"title": title, "name": name, "unit": self.units[name], "runs": len(self.values[name]),
               "median": self.median(name), "min": min(self.values[name]), "max": max(self.values[name]),
               "target": target}
        if beside:
            pairs = list(zip(self.values[name], self.values[beside]))
            ratios = [b / a if invert else a / b for a, b in pairs]
            row |= {"beside": beside, "beside_median": self.median(beside), "ratio": statistics.median(ratios),
                    "ratio_min": min(ratios), "ratio_max": max(ratios)}
        self.rows.append(row)

    def best(self, *names: str) -> str | None:
        """The one with the highest median."""
        return max((n for n in names if n in self.values), key=self.median, default=None)


def number(x: float) -> str:
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def table(rows: list[dict]) -> str:
    lines = [("what", "median", "min - max", "unit", "ratio", "min - max", "beside", "its median", "target")]
    for r in rows:
        ratio = ("", "", "", "")
        if "ratio" in r:
            ratio = (f"{r['ratio']:.2f}", f"{r['ratio_min']:.2f} - {r['ratio_max']:.2f}", r["beside"],
                     number(r["beside_median"]))
        lines.append((r["title"], number(r["median"]), f"{number(r['min'])} - {number(r['max'])}", r["unit"], *ratio,
                      r["target"]))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    left = (0, 3, 6, 8)
    return "\n".join("  ".join(c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths)))
                     .rstrip() for line in lines)


def version(*words) -> str:
    result = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return result.stdout.splitlines()[0].strip() if result.stdout else ""


def machine(directory: Path) -> dict:
    cpu = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
           if line.startswith("model name")]
    mount = version("findmnt", "-n", "-o", "FSTYPE,SOURCE,OPTIONS", "-T", str(directory))
    return {"cpu": cpu[0] if cpu else "", "cores": os.cpu_count(), "kernel": platform.release(), "file_system": mount,
            "date": time.strftime("%Y-%m-%d"), "load_before": os.getloadavg(), "slapd": version("dpkg-query", "-W", "slapd"),
            "postgresql": version("dpkg-query", "-W", "postgresql-15"), "lmdb": version("dpkg-query", "-W", "liblmdb0"),
            "openssl": version("openssl", "version"),
            "commit": version("git", "describe", "--always", "--dirty")}


def write(path: Path, figures: Figures, more: dict) -> None:
    path.write_text(json.dumps({**more, "rows": figures.rows,
                                "figures": {n: {"unit": figures.units[n], "values": v, "median": figures.median(n)}
                                            for n, v in figures.values.items()}}, indent=1) + "\n")


def plot(path: Path, figures: Figures) -> None:
    import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    fig, (left, right) = plt.subplots(1, 2, figsize=(13, 5), gridspec_kw={"width_ratios": [3, 2]})
    for label, color in (("acms", "#1f6f4a"), ("postgresql", "#6b7fa8"), ("slapd", "#c08a3e")):
        points = sorted((int(n.rsplit(" ", 1)[1]), n) for n in figures.values if n.startswith(f"setups {label} "))
        if not points:
            continue
        xs = [x for x, _ in points]
        ys = [figures.median(n) for _, n in points]
        low = [figures.median(n) - min(figures.values[n]) for _, n in points]
        high = [max(figures.values[n]) - figures.median(n) for _, n in points]
        left.errorbar(xs, ys, yerr=[low, high], marker="o", capsize=3, color=color,
                      label=label + (" (home and partner, two hops)" if label == "acms" else " (one server, one hop)"))
    left.set_xscale("log", base=2)
    left.set_xticks([1, 8, 64, 256], ["1", "8", "64", "256"])
    left.set_xlabel("requests in flight")
    left.set_ylabel("durable setups a second, one user each")
    left.set_ylim(bottom=0)
    if any(n.startswith("setups ") for n in figures.values):
        left.legend(loc="lower center", bbox_to_anchor=(0.5, 1))
    rows = [r for r in figures.rows if "ratio" in r][::-1]
    right.barh([f"{r['title']} : {r['beside']}"[:70] for r in rows], [r["ratio"] for r in rows], color="#1f6f4a")
    right.axvline(1, color="black", linewidth=0.8)
    right.set_xscale("log")
    right.xaxis.set_major_formatter(lambda n, _: f"{n:g}")
    right.set_xlabel("ratio within the run")
    right.tick_params(axis="y", labelsize=7)
    fig.tight_layout()
    fig.savefig(path)
