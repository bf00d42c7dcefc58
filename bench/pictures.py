"""Draw a picture of a run, or of a results file. Needs the extra `plot`.

    python -m bench.pictures RUN [--out FILE]             FILE: RUN/learning.png
    python -m bench.pictures RESULTS.json [--out FILE]    FILE: RESULTS.png

The picture of a run is the README's, bench/pictures/learning.png: left, the mean training loss of
each epoch and the final test accuracy; right, the weights into the 24 hidden units with the
largest weights to the outputs, each drawn as an image: red pixels excite the unit, blue ones
inhibit it. The picture of results shows every peer's time as a multiple of ours, and the curves.
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
from mlp_xp import get_device, load_model
from mlp_xp.runs import RunFolder

matplotlib.use("Agg")
ROWS, COLUMNS = 4, 6


def draw_run(run: Path, path: Path) -> None:
    """Draw a run's learning curve, and what its first layer learned."""
    records = [json.loads(line) for line in RunFolder(run).metrics.read_text().splitlines()]
    epochs = [record for record in records if record["record"] == "epoch"]
    test = next(record for record in records if record["record"] == "test")
    network = load_model(run, get_device("cpu"))
    figure = plt.figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15))

    axes = left.subplots()
    numbers, losses = zip(*((record["epoch"], record["loss"]) for record in epochs), strict=True)
    axes.semilogy(numbers, losses, "o-", color="C3")
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean training loss, nats")
    axes.set_title(f"test accuracy {test['accuracy']:.2%}")
    axes.grid(visible=True, which="both", alpha=0.3)

    first, second = network.layers[0].W, network.layers[1].W
    strongest = np.argsort(np.abs(second).sum(axis=1))[::-1][: ROWS * COLUMNS]
    right.suptitle("weights into 24 hidden units")
    for axes, unit in zip(right.subplots(ROWS, COLUMNS).flat, strongest, strict=True):
        side = int(len(first) ** 0.5)
        weights = first[:, unit].reshape(side, side)
        limit = np.abs(weights).max()
        axes.imshow(weights, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set_axis_off()
    figure.savefig(path, dpi=120)


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
    parser.add_argument("source", type=Path, help="a run's folder, or a results file")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the picture to write")
    source, out = vars(parser.parse_args()).values()
    if source.is_dir():
        out = out or source / "learning.png"
        draw_run(source, out)
    else:
        out = out or source.with_suffix(".png")
        draw_results(json.loads(source.read_text(encoding="utf-8")), out)
    print(out)
