"""Draw the picture of a results file. Needs the extra `plot`.

    python -m bench.pictures RESULTS.json [--out FILE]    FILE: RESULTS.png

It shows every peer's time as a multiple of ours, and the curves.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

try:
    import matplotlib
    import matplotlib.pyplot as plt
except ModuleNotFoundError:
    raise SystemExit("pictures need matplotlib: pip install '.[plot]' in the clone") from None

from bench.peers import OURS, PEERS
from bench.report import ideal, threads

matplotlib.use("Agg")


def draw_results(report: Mapping[str, Any], path: Path) -> None:
    """Draw bars on a log scale: those to the right of 1 are peers that take longer than mlp_xp."""
    results = [result for result in report["results"] if result["kind"] != "memory"]
    curves, scaling = report["curves"], report["scaling"]
    figure = plt.figure(figsize=(11, max(6.0, 1.5 + 0.62 * len(results))), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(2, 1))
    axes = left.subplots()
    names = [name for name in PEERS if any(name in r["peers"] for r in results) and name != OURS]
    height = 0.8 / max(1, len(names))
    for i, name in enumerate(names):
        bars = [(y, r["peers"][name]) for y, r in enumerate(results) if name in r["peers"]]
        # A row for each bar: min, median, max.
        times = np.array([np.quantile(1 / np.array(p["ratios"]), (0, 0.5, 1)) for _, p in bars])
        axes.barh(
            [y + (i - len(names) / 2) * height for y, _ in bars],
            times[:, 1] - 1,
            height,
            left=1,
            color=f"C{i}",
            label=PEERS[name].label,
            xerr=np.diff(times, axis=1).T,
        )
    axes.axvline(1, color="black")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    labels = [f"{result['workload']}, {threads(result['threads'])}" for result in results]
    axes.set_yticks(range(len(results)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("time as a multiple of mlp_xp's (right of the line: slower than mlp_xp)")
    if names:
        axes.legend(fontsize="small")
    rows = len(curves) + bool(scaling)
    for i, (name, curve) in enumerate(curves.items(), start=1):
        axes = right.add_subplot(rows, 1, i)
        for peer, seconds in curve["seconds"].items():
            axes.loglog(curve["x"], seconds, "o-", label=PEERS[peer].label)
        axes.set_xticks(curve["x"], [f"{x}" for x in curve["x"]])
        axes.set_xticks([], minor=True)
        axes.set_xlabel(name)
        axes.set_ylabel("s an epoch")
        axes.legend(fontsize="small")
    if scaling:
        draw_scaling(scaling, right.add_subplot(rows, 1, rows))
    figure.savefig(path, dpi=110)


def draw_scaling(scaling: Mapping[str, Any], axes: Any) -> None:
    """Draw the time of a step against the number of threads, and the ideal as a dashed line."""
    for i, (name, curve) in enumerate(scaling.items()):
        axes.loglog(curve["x"], [*map(median, curve["values"])], "o-", color=f"C{i}", label=name)
        axes.loglog(curve["x"], ideal(curve), "--", color=f"C{i}")
    axes.set_xticks(curve["x"], [f"{x}" for x in curve["x"]])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("threads (dashed: the ideal)")
    axes.set_ylabel("µs a step, mlp_xp")
    axes.legend(fontsize="small")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        "python -m bench.pictures", description=__doc__.splitlines()[0]
    )
    parser.add_argument("results", type=Path, help="a results file")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the picture to write")
    results, out = vars(parser.parse_args()).values()
    out = out or results.with_suffix(".png")
    draw_results(json.loads(results.read_text(encoding="utf-8")), out)
    print(out)
