"""Draw a results file: every peer's time as a multiple of ours, and the three curves.

python -m bench.plot bench/results/FILE.json        writes FILE.png beside it
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from bench.peers import OURS, PEERS
from bench.report import threads


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Bars to the right of 1 are peers that take longer than this project, on a log scale."""
    # Not at the top: a benchmark without a picture needs no matplotlib.
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    results = [result for result in report["results"] if result["kind"] != "memory"]
    curves = report["curves"]
    figure = plt.figure(figsize=(11, max(6.0, 1.5 + 0.62 * len(results))), layout="constrained")
    halves = figure.add_gridspec(1, 2, width_ratios=(2, 1))
    left, right = figure.add_subfigure(halves[0]), figure.add_subfigure(halves[1])
    axes = left.subplots()
    names = [name for name in PEERS if name != OURS]
    height = 0.8 / len(names)
    for i, name in enumerate(names):
        bars = [(y, r["peers"][name]) for y, r in enumerate(results) if name in r["peers"]]
        times = [[1 / ratio for ratio in peer["ratios"]] for _, peer in bars]
        axes.barh(
            [y + (i - len(names) / 2) * height for y, _ in bars],
            [median(values) - 1 for values in times],
            height,
            left=1,
            color=f"C{i}",
            label=PEERS[name].label,
            xerr=[
                [median(values) - min(values) for values in times],
                [max(values) - median(values) for values in times],
            ],
        )
    axes.axvline(1, color="black")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.set_yticks(
        range(len(results)), [f"{r['workload']}, {threads(r['threads'])}" for r in results]
    )
    axes.invert_yaxis()
    axes.set_xlabel("time as a multiple of mlp_xp's (right of the line: slower than mlp_xp)")
    axes.legend(fontsize="small")
    for i, (name, curve) in enumerate(curves.items(), start=1):
        axes = right.add_subplot(len(curves), 1, i)
        for peer, seconds in curve["seconds"].items():
            axes.loglog(curve["x"], seconds, "o-", label=PEERS[peer].label)
        axes.set_xticks(curve["x"], [f"{x}" for x in curve["x"]])
        axes.set_xticks([], minor=True)
        axes.set_xlabel(name)
        axes.set_ylabel("s an epoch")
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    source = Path(sys.argv[1])
    draw(json.loads(source.read_text(encoding="utf-8")), source.with_suffix(".png"))
