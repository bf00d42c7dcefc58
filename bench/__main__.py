"""Measure this project beside its peers, as ratios:  python -m bench [--quick] [--only NAME,NAME]

Each peer runs in a process of its own, all in turn, on the same cores and with as many threads.
Nothing else should run at the same time. Without --quick the results go to bench/results/, as JSON
and as a picture; a second call on the same day replaces only what it measures again. On a GPU:
bench/gpu/timings.py.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench import machine, report
from bench.peers import OURS, absent
from bench.results import bounds, collect, slope, step_work
from bench.runner import execute, measure, run_rounds
from bench.workloads import (
    CUDA_WORKLOADS,
    SCALED,
    WORKLOADS,
    Workload,
    curves,
    quick,
    thread_counts,
)
from mlp_xp.data import MNIST

RESULTS = Path(__file__).parent / "results"
CURVE_PEERS = (OURS, "jax_bytes")
QUICK_SECONDS = 40  # then no more rounds, and 10 s later no more workloads: a minute in all


def parse_options() -> argparse.Namespace:
    known = [*(workload.name for workload in WORKLOADS), "curves"]
    parser = argparse.ArgumentParser("python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under a minute, nothing written")
    parser.add_argument("--only", help=f"some of {','.join(known)}")
    parser.add_argument("--rounds", type=int, help="rounds of measurement (3; quick 2)")
    parser.add_argument("--threads", help="numbers of threads (1 and all cores; quick: all)")
    options = parser.parse_args()
    options.only = options.only.split(",") if options.only else known
    if unknown := set(options.only) - set(known):
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    cores = machine.cores()
    default = str(cores) if options.quick else f"1,{cores}"
    threads = (options.threads or default).split(",")
    options.threads = sorted({min(int(count), cores) for count in threads})
    options.rounds = options.rounds or (2 if options.quick else 3)
    return options


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def show(lines: Iterable[str]) -> None:
    print("\n".join(lines), flush=True)


def measure_roofline(threads: int, scratch: Path) -> dict[str, Any]:
    progress(f"limits of the machine, threads {threads}")
    measured: dict[str, Any] = json.loads(execute(["bench.machine"], "cpu", threads, scratch).out)
    return measured


def measure_curve(
    points: Mapping[int, Any], name: str, threads: int, rounds: int, scratch: Path
) -> dict[str, Any]:
    """Seconds an epoch at each point, the median of the rounds, for us and the fastest peer."""
    peers = [peer for peer in CURVE_PEERS if absent(peer) is None]
    seconds: dict[str, list[float]] = {peer: [] for peer in peers}
    for x, problem in points.items():
        workload = Workload(f"{name} {x}", "", "train", problem, peers=tuple(peers[1:]))
        outcomes, _ = run_rounds(workload, threads, rounds, MNIST, scratch, progress)
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


def measure_scaling(
    workload: Workload, counts: Sequence[int], rounds: int, scratch: Path
) -> dict[str, Any]:
    """Our microseconds a step with each number of threads, round by round."""
    values: list[list[float]] = [[] for _ in counts]
    for turn in range(rounds):
        for count, found in zip(counts, values, strict=True):
            progress(f"{workload.name}, threads {count}, round {turn + 1}/{rounds}: {OURS}")
            set_to = replace(workload, problem=replace(workload.problem, threads=count))
            outcome = measure(set_to, OURS, count, MNIST, scratch)
            assert not isinstance(outcome, str)  # where ours fails, measure() ends the benchmark
            found.append(outcome.value * 1e6)
    return {"title": workload.title, "cores": machine.cores(), "x": [*counts], "values": values}


def run(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Measure the selected workloads, printing each block as soon as it is measured."""
    busy = machine.Busy()
    workloads = quick() if options.quick else WORKLOADS
    found: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "rounds": options.rounds,
        "machine": machine.describe(),
        "versions": machine.versions(),
        "roofline": {n: measure_roofline(n, scratch) for n in options.threads},
        "results": [],
        "curves": {},
        "scaling": {},
    }
    show(report.machine(found))
    until = time.monotonic() + QUICK_SECONDS if options.quick else math.inf
    for workload in workloads:
        if workload.name not in options.only:
            continue
        if time.monotonic() > until + QUICK_SECONDS / 4:
            show([f"{workload.name}: skipped, out of time"])
            continue
        for threads in options.threads if workload.inside else options.threads[-1:]:
            rounds = 1 if workload.once else options.rounds
            outcomes, missing = run_rounds(
                workload, threads, rounds, MNIST, scratch, progress, until
            )
            result = collect(workload, threads, outcomes, missing)
            if workload.kind == "train":
                result["bounds"] = bounds(workload.problem, found["roofline"][threads])
            found["results"].append(result)
            show(report.block(result))
    if "curves" in options.only and not options.quick:
        run_curves(options, found, scratch)
    found["machine"]["others"] = busy.others()
    return found


def run_curves(options: argparse.Namespace, found: dict[str, Any], scratch: Path) -> None:
    """Measure all curves and add them to what was found, printing each."""
    threads, rounds = options.threads[-1], min(options.rounds, 2)
    for name, points in curves().items():
        found["curves"][name] = measure_curve(points, name, threads, rounds, scratch)
        show(report.curve_block(name, found["curves"][name]))
    for workload in (workload for workload in WORKLOADS if workload.name in SCALED):
        counts = thread_counts(machine.cores())
        curve = measure_scaling(workload, counts, options.rounds, scratch)
        found["scaling"][workload.name] = curve
        show(report.scaling_block(curve))


def update(before: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Merge two results of one machine and day: what was measured last replaces the same before."""
    names = [workload.name for workload in (*WORKLOADS, *CUDA_WORKLOADS)]
    results = {
        (names.index(result["workload"]), result["threads"]): result
        for result in before["results"] + found["results"]
    }
    others = [each["machine"]["others"] for each in (before, found)]
    roofs = {str(threads): roof for threads, roof in found["roofline"].items()}
    return {
        **found,
        "machine": {**found["machine"], "others": max(others, key=lambda cores: cores or 0)},
        "roofline": before["roofline"] | roofs,
        "results": [results[key] for key in sorted(results)],
        "curves": before["curves"] | found["curves"],
        "scaling": before["scaling"] | found["scaling"],
    }


def write(found: dict[str, Any], path: Path) -> None:
    """Write the results, and their picture."""
    if path.exists():
        found = update(json.loads(path.read_text(encoding="utf-8")), found)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"wrote {path}")
    try:
        from bench.pictures import draw_results  # at the top it would need matplotlib

        draw_results(found, path.with_suffix(".png"))
    except ImportError:
        print("no picture: matplotlib is not installed")


def disagreements(found: Mapping[str, Any]) -> list[str]:
    """The peers whose losses or accuracy differ from ours."""
    return [
        f"{result['title']}: {peer['label']}"
        for result in found["results"]
        for peer in result["peers"].values()
        if not peer["agrees"]
    ]


def main() -> None:
    options = parse_options()
    with TemporaryDirectory() as scratch:
        found = run(options, Path(scratch))
    show([*report.targets(found), report.others(found["machine"])])
    if not options.quick:
        write(found, RESULTS / f"{found['date']}-{machine.slug()}.json")
    if differing := disagreements(found):
        sys.exit(f"not the same result: {'; '.join(differing)}")


if __name__ == "__main__":
    main()
