"""Whether windows and graphs pay, by mlp_xp's own training, and whether it repeats its bits."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from statistics import median
from typing import Any

from bench.gpu.experiment import Experiment
from bench.peers.ours import Ours
from bench.problem import Problem, read
from bench.workloads import OPTIMIZERS
from mlp_xp.data import MNIST
from mlp_xp.errors import TrainingWarning

# Batches of how many rows, steps an epoch, and the windows: None is the default, 1 the plain step,
# which isn't recorded.
SWEEP = (
    (1, 2048, (1, 64, 256, None)),
    (32, 1024, (1, 8, 16, 32, None)),
    (128, 448, (1, 4, 8, 16, None)),
    (512, 112, (1, 2, 4, 8, None)),
)
SAME = 5e-3  # relative difference of two losses up to which they differ by rounding alone


def sweep(quick: bool) -> Sequence[tuple[int, int, tuple[int | None, ...]]]:
    return ((1, 64, (1, 16)), (32, 8, (1, 4, None))) if quick else SWEEP


mnist = cache(partial(read, MNIST))


def trained(on: Experiment, problem: Problem) -> tuple[float, list[float], Ours]:
    """Microseconds a step, the losses, and the trained peer.

    A training that couldn't use a graph goes on without, with a warning: here that is a failure.
    """
    data = mnist()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TrainingWarning)
        peer = Ours(problem, data.X, data.y)
        epochs = peer.train()
    for told in {str(warning.message) for warning in caught if "graph" in str(warning.message)}:
        on.fail(f"batch {problem.batch_size}, window {problem.window}: warns: {told}")
    steady = median(epoch.seconds for epoch in epochs[1:])
    return steady / problem.steps * 1e6, [epoch.loss for epoch in epochs], peer


def experiment(on: Experiment) -> None:
    """Microseconds a step of SGD, eager and as graphs, with no windows and with longer ones."""
    for batch, steps, windows in sweep(on.quick):
        lr = 0.01 if batch == 1 else 0.1
        base = Problem(
            batch_size=batch, rows=batch * steps, lr=lr, device="cuda", epochs=100,
            budget=0.0 if on.quick else 0.3,
        )  # fmt: skip
        first: dict[str, float] = {}
        for window in windows:
            for graph in (False,) if window == 1 else (False, True):
                way = "graph" if graph else "eager"
                name = f"batch {batch}, window {window or 'by default'}, {way}"
                try:
                    taken, losses, _ = trained(on, replace(base, window=window, graph=graph))
                except Exception as error:
                    on.fail(f"{name}: {type(error).__name__}: {str(error)[:200]}")
                    continue
                on.figure(taken, "us a step", name)
                first[name] = losses[1]
        same_losses(on, batch, first)


def same_losses(on: Experiment, batch: int, losses: Mapping[str, float]) -> None:
    """Whether all ways did the same job."""
    if losses:
        low, high = min(losses.values()), max(losses.values())
        told = ", ".join(f"{name.partition(', ')[2]}: {loss:.6f}" for name, loss in losses.items())
        on.check(high - low <= SAME * high, f"batch {batch}, second epoch's loss: {told}")


BITS: tuple[dict[str, Any], ...] = (
    {"batch_size": 1, "lr": 0.01},
    {"batch_size": 32, "lr": 0.1},
    {"batch_size": 128, "lr": 0.1, "window": 4},
    {"batch_size": 512, "lr": 0.1},
    {"batch_size": 128, **OPTIMIZERS["Adam"]},
    {"batch_size": 32, **OPTIMIZERS["Adam"], "dropout": 0.2},
)


def bits(on: Experiment) -> None:
    """The same weights to the last bit, each time: what resuming rests on."""
    times = 2 if on.quick else 3
    for settings in BITS[::5] if on.quick else BITS:
        batch = settings["batch_size"]
        steps = 4 if on.quick else 256 if batch == 1 else 64
        base = Problem(rows=batch * steps, epochs=2, device="cuda", **settings)
        for graph in (False, True):
            results = set()
            for _ in range(times):
                _, _, peer = trained(on, replace(base, graph=graph))
                weights = map(peer.device.to_host, peer.network.parameters())
                results.add(b"".join(array.tobytes() for array in weights))
            told = ", ".join(f"{name} {value}" for name, value in settings.items())
            told += ", graph" if graph else ", eager"
            on.check(len(results) == 1, f"{told}: {len(results)} results of {times} trainings")
