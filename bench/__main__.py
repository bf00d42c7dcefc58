"""This project beside its peers, as ratios:  python -m bench [--quick] [--only NAME,NAME]

Each peer runs in a process of its own, one after the other in turn, on the same cores and as many
threads. Nothing else should run beside it. Without --quick the results go to bench/results/, as
JSON and as a picture; a second call of the same day replaces there what it measures.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench import machine, plot, report
from bench.peers import absent
from bench.results import bounds, collect, slope, step_work
from bench.runner import execute, run_rounds
from bench.workloads import WORKLOADS, Workload, curves, quick
from mlp_xp.datasets import MNIST

RESULTS = Path(__file__).parent / "results"
CURVE_PEERS = ("ours", "jax_scan")
QUICK_SECONDS = 40  # after them nothing is repeated, and a quarter later nothing begins


def arguments() -> argparse.Namespace:
    names = [workload.name for workload in WORKLOADS] + ["curves"]
    parser = argparse.ArgumentParser("python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under a minute, nothing written")
    parser.add_argument("--only", help=f"some of {','.join(names)}")
    parser.add_argument("--rounds", type=int, help="times that everyone has a turn (3; quick 2)")
    parser.add_argument("--threads", help="numbers of threads (1,2; quick 2)")
    chosen = parser.parse_args()
    chosen.only = chosen.only.split(",") if chosen.only else names
    if unknown := set(chosen.only) - set(names):
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    threads = chosen.threads or ("2" if chosen.quick else "1,2")
    chosen.threads = sorted({min(int(count), machine.cores()) for count in threads.split(",")})
    chosen.rounds = chosen.rounds or (2 if chosen.quick else 3)
    return chosen


def say(text: str) -> None:
    print(f"\r\033[K{text}" if sys.stderr.isatty() else text, end="", file=sys.stderr, flush=True)
    if not sys.stderr.isatty():
        print(file=sys.stderr)


def show(lines: Iterable[str]) -> None:
    if sys.stderr.isatty():
        say("")
    print("\n".join(lines), flush=True)


def roofline(threads: int, scratch: Path) -> dict[str, Any]:
    say(f"roof of the machine, threads {threads}")
    measured: dict[str, Any] = json.loads(execute(["bench.roofline"], threads, scratch).out)
    return measured


def measure_curve(
    points: Mapping[int, Any], name: str, threads: int, rounds: int, scratch: Path
) -> dict[str, Any]:
    """Seconds an epoch at each point, the median of the rounds, for us and the quickest peer."""
    peers = [peer for peer in CURVE_PEERS if absent(peer) is None]
    seconds: dict[str, list[float]] = {peer: [] for peer in peers}
    for x, problem in points.items():
        workload = Workload(f"{name} {x}", "", "train", problem, (), tuple(peers[1:]))
        outcomes, _ = run_rounds(workload, threads, rounds, MNIST, scratch, say)
        for peer, done in outcomes.items():
            seconds[peer].append(median(outcome.value for outcome in done) * problem.steps)
    work = [step_work(problem)[0] * problem.steps for problem in points.values()]
    slopes = {peer: slope(work, values) for peer, values in seconds.items()}
    return {
        "x": list(points),
        "work": work,
        "seconds": seconds,
        "slope": slopes,
        "threads": threads,
    }


def run(chosen: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Measure all that was chosen, printing each block as soon as it is there."""
    found: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "rounds": chosen.rounds,
        "machine": machine.describe(),
        "versions": machine.versions(),
        "roofline": {count: roofline(count, scratch) for count in chosen.threads},
        "results": [],
        "curves": {},
    }
    show(report.machine(found))
    until = time.monotonic() + QUICK_SECONDS if chosen.quick else math.inf
    for workload in quick() if chosen.quick else WORKLOADS:
        if workload.name not in chosen.only:
            continue
        if time.monotonic() > until + QUICK_SECONDS / 4:
            show([f"{workload.name}: left out, the minute is over"])
            continue
        inside = workload.kind in ("train", "predict")
        for threads in chosen.threads if inside else chosen.threads[-1:]:
            result = collect(
                workload,
                threads,
                *run_rounds(workload, threads, chosen.rounds, MNIST, scratch, say, until),
            )
            if workload.kind == "train":
                result["bounds"] = bounds(workload.problem, found["roofline"][threads])
            found["results"].append(result)
            show(report.block(result))
    if "curves" in chosen.only and not chosen.quick:
        threads, rounds = chosen.threads[-1], min(chosen.rounds, 2)
        for name, points in curves().items():
            found["curves"][name] = measure_curve(points, name, threads, rounds, scratch)
            show(report.curve_block(name, found["curves"][name]))
    return found


def update(before: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Of one machine and day, what was measured last: workload by workload, curve by curve."""

    def place(result: dict[str, Any]) -> tuple[int, int]:
        names = [workload.name for workload in WORKLOADS]
        return names.index(result["workload"]), result["threads"]

    results = {place(result): result for result in before["results"] + found["results"]}
    roofs = {str(threads): roof for threads, roof in found["roofline"].items()}
    return {
        **found,
        "roofline": before["roofline"] | roofs,
        "results": [results[key] for key in sorted(results)],
        "curves": before["curves"] | found["curves"],
    }


def main() -> None:
    chosen = arguments()
    with TemporaryDirectory() as scratch:
        found = run(chosen, Path(scratch))
    show(report.targets(found))
    if chosen.quick:
        return
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{found['date']}-{machine.slug()}.json"
    if path.exists():
        found = update(json.loads(path.read_text(encoding="utf-8")), found)
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"wrote {path}")
    try:
        plot.draw(found, path.with_suffix(".png"))
    except ImportError:
        print("no picture: matplotlib is not installed")


if __name__ == "__main__":
    main()
