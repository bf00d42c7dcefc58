"""One peer, one workload, one process: prints what it measured as one line of JSON.

    python -m bench.worker PEER train|predict PROBLEM DATA

What can't take part (not installed, no compiler) says so in the line; this project's own failure
is an error.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from statistics import median
from typing import Any

from bench.peers import OURS, find
from bench.problem import Data, Problem, read

PREDICTIONS = 6  # the first is the warm-up


def measure_train(name: str, problem: Problem, data: Data) -> dict[str, Any]:
    """Seconds a step in the median epoch after the first; the first one's surplus is warm-up."""
    begun = time.perf_counter()
    peer = find(name)(problem, data.X, data.y)
    set_up = time.perf_counter() - begun
    first, *rest = peer.train()
    steady = median(epoch.seconds for epoch in rest)
    return {
        "seconds": steady / problem.steps,
        "warm_up": set_up + max(0.0, first.seconds - steady),
        "check": [first.loss, rest[0].loss],
    }


def measure_predict(name: str, problem: Problem, data: Data) -> dict[str, Any]:
    """Seconds to turn all rows into probabilities; the check is their mean for the true class."""
    begun = time.perf_counter()
    peer = find(name)(problem, data.X, data.y)
    set_up = time.perf_counter() - begun
    seconds = []
    for _ in range(PREDICTIONS):
        begun = time.perf_counter()
        probabilities = peer.predict(data.X)
        seconds.append(time.perf_counter() - begun)
    first, *rest = seconds
    return {
        "seconds": median(rest),
        "warm_up": set_up + max(0.0, first - median(rest)),
        "check": [float(probabilities[range(len(data.y)), data.y].mean(dtype=float))],
    }


def main(name: str, kind: str, problem_json: str, path: str) -> None:
    problem, data = Problem.from_json(problem_json), read(path)
    measure = {"train": measure_train, "predict": measure_predict}[kind]
    try:
        outcome = measure(name, problem, data)
        # In KiB on Linux, in bytes on macOS.
        unit = 2**20 if sys.platform == "darwin" else 2**10
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        outcome["peak_mb"] = peak / 1e6
    except Exception as error:
        if name == OURS:
            raise
        cause = str(error).strip().splitlines() or [""]
        outcome = {"missing": f"{type(error).__name__}: {cause[0]}"[:200]}
    print(json.dumps(outcome))


if __name__ == "__main__":
    main(*sys.argv[1:])
