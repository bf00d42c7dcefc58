"""From outcomes to ratios and verdicts: arithmetic on plain data, which goes into the JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import linear_regression, median
from typing import Any

from bench.peers import OURS, PEERS
from bench.problem import Problem
from bench.runner import Outcome
from bench.workloads import UNITS, Target, Workload


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours over theirs, round by round."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def agrees(workload: Workload, ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """Whether a peer did the same job: the same losses, or the required accuracy."""
    if workload.accuracy is not None:
        return bool(theirs) and theirs[-1] >= workload.accuracy
    return len(ours) == len(theirs) and all(
        math.isclose(a, b, rel_tol=workload.tolerance) for a, b in zip(ours, theirs, strict=True)
    )


def judge(target: Target, peers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The peer that a target is held against, and the measured ratio as a multiple of the target.

    Either is None if there is no peer to compare with; a factor of at most 1 reaches the target.
    """
    verdict: dict[str, Any] = {"target": str(target), "at_most": float(target.at_most)}
    if not target.peers:
        return verdict | {
            "against": None,
            "factor": median(peers[OURS]["values"]) / verdict["at_most"],
        }
    present = [name for name in target.peers if name in peers and peers[name]["agrees"]]
    if not present:
        return verdict | {"against": None, "factor": None}
    best = min(present, key=lambda name: median(peers[name]["values"]))
    factor = median(peers[best]["ratios"]) / verdict["at_most"]
    return verdict | {"against": best, "factor": factor}


def collect(
    workload: Workload,
    threads: int,
    outcomes: Mapping[str, Sequence[Outcome]],
    missing: Mapping[str, str],
) -> dict[str, Any]:
    """The result of one workload at one number of threads, with values in its unit."""
    unit, scale = UNITS[workload.kind]
    ours = [outcome.value for outcome in outcomes[OURS]]
    peers = {
        name: {
            "label": PEERS[name].label,
            "values": [outcome.value * scale for outcome in done],
            "ratios": ratios(ours, [outcome.value for outcome in done]),
            "warm_up": [outcome.warm_up for outcome in done],
            "peak_mb": [outcome.peak_mb for outcome in done],
            "check": list(done[0].check),
            "agrees": agrees(workload, outcomes[OURS][0].check, done[0].check),
        }
        for name, done in outcomes.items()
    }
    return {
        "workload": workload.name,
        "title": workload.title,
        "kind": workload.kind,
        "unit": unit,
        "threads": threads,
        "peers": peers,
        "missing": {PEERS[name].label: why for name, why in missing.items()},
        "targets": [judge(target, peers) for target in workload.targets],
    }


def step_work(problem: Problem) -> tuple[float, float]:
    """Floating-point operations of a step, and bytes of weights that a plain step moves.

    Each layer has three products of 2 B n_in n_out operations, but the first only two: the gradient
    of the inputs isn't needed. Weights are read in the forward pass, read in the backward pass
    (except the first layer's), and read and written by the update.
    """
    pairs = [n * m for n, m in zip(problem.sizes, problem.sizes[1:], strict=False)]
    size = 4 if problem.dtype == "float32" else 8
    operations = 2.0 * problem.batch_size * (3 * sum(pairs) - pairs[0])
    return operations, float(size * (4 * sum(pairs) - pairs[0]))


def bounds(problem: Problem, roofline: Mapping[str, Any]) -> dict[str, float]:
    """Microseconds that a step's products take at least, and that moving its weights takes."""
    operations, moved = step_work(problem)
    weights_mb = moved / 4e6
    sizes = sorted(roofline["copy_gb_s"], key=float)
    level = next((size for size in sizes if float(size) >= weights_mb), sizes[-1])
    return {
        "products": operations / roofline[f"{problem.dtype}_gflop_s"] / 1e3,
        "memory": moved / roofline["copy_gb_s"][level] / 1e3,
    }


def slope(work: Sequence[float], seconds: Sequence[float]) -> float:
    """The exponent of time in the work: 1 if time is linear, below 1 if overhead is amortized."""
    return linear_regression([*map(math.log, work)], [*map(math.log, seconds)]).slope
