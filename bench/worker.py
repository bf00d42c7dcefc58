"""One peer, one workload, one process: what the runner starts.

    python -m bench.worker PEER KIND PROBLEM DATA OUT

KIND train or predict: measures that and prints the result as one line of JSON. KIND script: does
what a user's own script would (load, train, save to OUT, test) and prints what this project's own
prints, `python -m mlp_xp train`. A peer that fails exits with status 1 and one line with the cause.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from bench.peers import OURS, find
from bench.problem import Data, Problem, read

PREDICTIONS = 6  # the first is the warm-up


def measure(name: str, kind: str, problem: Problem, data: Data) -> dict[str, object]:
    """Time the training steps, or the prediction of all rows.

    Returns the seconds of a step in the median epoch after the first, or of the median prediction;
    the warm-up: the set-up and what the first took longer; and a check that all peers must share:
    the first losses, or the mean probability of the true class.
    """
    start = time.perf_counter()
    peer = find(name)(problem, data.X, data.y)
    set_up = time.perf_counter() - start
    if kind == "train":
        epochs, steps = peer.train(), problem.steps
        seconds = [epoch.seconds for epoch in epochs]
        check = [epoch.loss for epoch in epochs[:2]]
    else:
        seconds, steps = [], 1
        for _ in range(PREDICTIONS):
            start = time.perf_counter()
            probabilities = peer.predict(data.X)
            seconds.append(time.perf_counter() - start)
        check = [float(probabilities[range(len(data.y)), data.y].mean(dtype=float))]
    first, *rest = seconds
    steady = float(np.median(rest))
    return {
        "seconds": steady / steps,
        "warm_up": set_up + max(0.0, first - steady),
        "check": check,
    }


def run_script(name: str, problem: Problem, data: Data, out: Path) -> None:
    """Train, save and test, and print the lines that mlp_xp prints."""
    peer = find(name)(problem, data.X, data.y)
    for number, epoch in enumerate(peer.train(), start=1):
        print(f"epoch {number}/{problem.epochs}  loss {epoch.loss:.4f}  {epoch.seconds:.2f} s")
    out.mkdir(parents=True)
    peer.save(out / "model")
    correct = peer.predict(data.X_test).argmax(axis=1) == data.y_test
    print(f"test accuracy {correct.mean():.2%}")


def main(name: str, kind: str, problem_json: str, path: str, out: str) -> None:
    problem, data = Problem.from_json(problem_json), read(path)
    try:
        if kind == "script":
            run_script(name, problem, data, Path(out))
        else:
            print(json.dumps(measure(name, kind, problem, data)))
    except Exception as error:
        if name == OURS:
            raise
        cause = str(error).strip().splitlines() or [""]
        sys.exit(f"{type(error).__name__}: {cause[0]}"[:200])


if __name__ == "__main__":
    main(*sys.argv[1:])
