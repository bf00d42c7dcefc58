"""One experiment, in a process of its own:  python -m bench.gpu.experiment NAME [--quick]

Prints a JSON object for each line of `python -m bench.gpu`, which starts it.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from statistics import median
from typing import Any

from mlp_xp import Device, get_device

EXPERIMENTS = {
    "card": ("card.experiment", 20),
    "costs": ("costs.experiment", 30),
    "capture": ("capturing.experiment", 20),
    "steps": ("steps.experiment", 60),
    "bits": ("steps.bits", 30),
    "transfers": ("transfers.experiment", 20),
    "bound": ("bound.experiment", 20),
    "nccl": ("nccl.experiment", 20),
}
"""By name: what runs, and the seconds that it may take."""


class Experiment:
    """What an experiment gets: the GPU, whether to be quick, and ways to report and to time."""

    gpu: Device

    def __init__(self, quick: bool) -> None:
        self.quick = quick

    def _say(self, kind: str, text: str, **more: Any) -> None:
        print(json.dumps({"kind": kind, "text": text, **more}), flush=True)

    def figure(self, value: float, unit: str, text: str) -> None:
        self._say("FIG", text, value=value, unit=unit)

    def note(self, text: str) -> None:
        self._say("FIG", text)

    def skip(self, text: str) -> None:
        self._say("SKIP", text)

    def fail(self, text: str) -> None:
        self._say("FAIL", text)

    def check(self, good: object, text: str) -> None:
        self._say("PASS" if good else "FAIL", text)

    def host_us(self, call: Callable[[], object]) -> float:
        """Host time of one call, which starts work on an idle GPU, in microseconds.

        A hundred calls at a time: a queue of launches that is full would make them wait.
        """
        call()
        taken = []
        for _ in range(2 if self.quick else 20):
            self.gpu.synchronize()
            start = time.perf_counter()
            for _ in range(100):
                call()
            taken.append((time.perf_counter() - start) / 100)
        return median(taken) * 1e6

    def whole_us(self, call: Callable[[], object], inner: int = 1) -> float:
        """Wall-clock time of one call until the GPU is done, over `inner`, in microseconds."""
        call()
        taken = []
        for _ in range(2 if self.quick else 20):
            self.gpu.synchronize()
            start = time.perf_counter()
            call()
            self.gpu.synchronize()
            taken.append(time.perf_counter() - start)
        return median(taken) / inner * 1e6


def main(name: str, *options: str) -> None:
    module, _, function = EXPERIMENTS[name][0].partition(".")
    experiment = Experiment("--quick" in options)
    try:
        experiment.gpu = get_device("cuda", require=True)
        getattr(import_module(f"bench.gpu.{module}"), function)(experiment)
    except Exception as error:
        traceback.print_exc(limit=-4, chain=False)
        experiment.fail(f"{type(error).__name__}: {str(error)[:300]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
