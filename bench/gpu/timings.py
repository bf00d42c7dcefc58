"""Training on a GPU, timed:  python -m bench.gpu.timings [--out FOLDER] [--only NAME,NAME]

The workloads called gpu-* are timed beside our own other ways: without a graph, and on the CPU of
the same host. Those called peers-* are timed beside PyTorch and JAX. `threads` is the CPU alone, on
one core, two and so on. Results go to FOLDER after each workload, so that one that fails, or is
stopped, costs no other; a second call on the same day replaces only what it measures again.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import machine, report
from bench.__main__ import RESULTS, disagreements, measure_scaling, progress, show, update
from bench.results import collect
from bench.runner import Outcome, execute, run_rounds
from bench.workloads import CUDA_WORKLOADS, SCALED, WORKLOADS, small, thread_counts
from mlp_xp.data import MNIST

Measured = Callable[[dict[str, Any]], None]
CPU_SECONDS = 0.7
"""Of training on each number of the host's cores: there may be many."""


def parse_options() -> argparse.Namespace:
    known = [*(workload.name for workload in CUDA_WORKLOADS), "threads"]
    parser = argparse.ArgumentParser("python -m bench.gpu.timings", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--only", default=",".join(known), help=f"some of {','.join(known)}")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of measurement (3)")
    parser.add_argument("--seconds", type=float, default=1e9, help="nothing new begins after these")
    parser.add_argument("--quick", action="store_true", help="four steps an epoch, no real timing")
    parser.add_argument("--names", action="store_true", help="print the names of all and exit")
    options = parser.parse_args()
    if options.names:
        print(*known, sep="\n")
        sys.exit()
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(known):
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return options


def about_the_machine(scratch: Path) -> dict[str, Any]:
    """All that results need beside themselves. Raises SystemExit if there is no GPU."""
    asked = execute(["bench.gpu.card"], "cuda", machine.cores(), scratch)
    if asked.status:
        raise SystemExit((asked.err.strip().splitlines() or ["no message"])[-1])
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine.describe(),
        "card": json.loads(asked.out.splitlines()[-1]),
        "versions": machine.versions(),
        "roofline": {},
        "results": [],
        "curves": {},
        "scaling": {},
    }


def timings(options: argparse.Namespace, scratch: Path, measured: Measured) -> Iterator[str]:
    """Measure the selected workloads round by round, each handed to `measured`. Yields failures."""
    threads, until = machine.cores(), time.monotonic() + options.seconds
    chosen = [workload for workload in CUDA_WORKLOADS if workload.name in options.only]
    so_far: dict[str, dict[str, list[Outcome]]] = {}
    for turn in range(options.rounds):
        for workload in chosen:
            if turn and (workload.once or workload.name not in so_far):
                continue
            if time.monotonic() > until:
                show([f"{workload.name}, round {turn + 1}: skipped, out of time"])
                continue
            wanted = small(workload) if options.quick else workload
            try:
                done, missing = run_rounds(wanted, threads, 1, MNIST, scratch, progress)
            except SystemExit as error:  # ours failed
                yield str(error)
                continue
            before = so_far.get(workload.name, {name: [] for name in done})
            done = {name: before[name] + each for name, each in done.items() if name in before}
            so_far[workload.name] = done
            result = collect(wanted, threads, done, missing)
            show(report.block(result))
            measured({"results": [result]})
            differing = disagreements({"results": [result]})
            yield from (f"not the same result: {each}" for each in differing)
    if "threads" in options.only:
        yield from cpu_threads(options, scratch, measured, until)


def cpu_threads(
    options: argparse.Namespace, scratch: Path, measured: Measured, until: float
) -> Iterator[str]:
    """The host's CPU on more and more of its cores. Yields what failed."""
    for workload in (workload for workload in WORKLOADS if workload.name in SCALED):
        if time.monotonic() > until:
            show([f"{workload.name}, threads: skipped, out of time"])
            continue
        problem = replace(workload.problem, budget=CPU_SECONDS)
        wanted = small(workload) if options.quick else replace(workload, problem=problem)
        try:
            counts = thread_counts(machine.cores())
            curve = measure_scaling(wanted, counts, options.rounds, scratch)
        except SystemExit as error:
            yield str(error)
            continue
        show(report.scaling_block(curve))
        measured({"scaling": {workload.name: curve}})


def keep(base: dict[str, Any], busy: machine.Busy, path: Path, part: dict[str, Any]) -> None:
    """Add what was measured to the results in the file."""
    found = {**base, "machine": {**base["machine"], "others": busy.others()}, **part}
    if path.exists():
        found = update(json.loads(path.read_text(encoding="utf-8")), found)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    options = parse_options()
    busy = machine.Busy()
    with TemporaryDirectory() as scratch:
        base = about_the_machine(Path(scratch)) | {"rounds": options.rounds, "quick": options.quick}
        card = re.sub(r"[^a-z0-9]+", "-", base["card"]["name"].lower()).strip("-")
        path = options.out / f"{base['date']}-{card}{'-quick' if options.quick else ''}.json"
        show(report.machine(base))
        failed = [*timings(options, Path(scratch), partial(keep, base, busy, path))]
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        show([*report.targets(found), report.others(found["machine"]), f"results: {path}"])
    if failed:
        sys.exit("\n".join(dict.fromkeys(failed)))


if __name__ == "__main__":
    main()
