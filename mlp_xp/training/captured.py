"""Stands in for the other steps on a GPU: the same calls, recorded once and then repeated.

To ask for a small step call by call probably takes the host longer than it takes the GPU. So what a
window of steps asks for is recorded as a CUDA graph, which the GPU repeats on a single call. The
host has no part in it: a chunk's rows, the numbers that follow from its learning rates and its
dropout masks lie in arrays that stay where they are, and so does the window's place in them, which
the graph itself moves on.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np

from mlp_xp.errors import DeviceError, TrainingWarning
from mlp_xp.nn.network import Network
from mlp_xp.nn.optimizers import Optimizer
from mlp_xp.nn.rng import kept
from mlp_xp.training.config import Config
from mlp_xp.training.windowed.layout import copy_arrays, windows
from mlp_xp.types import Array, Arrays, Chunk, HostArray

SAME_PRODUCTS = {"float32": 1e-2, "float64": 1e-6}
"""How far a graph's update of a window may be from that of the same calls, relative to the largest.
Whatever is stale or missing in a graph is as large as the update."""
OTHER_PRODUCTS = {"float32": 0.1, "float64": 1e-3}
"""The same for calls of CuPy's products, which may round otherwise: in float32 a ReLU may flip."""
ROUNDING = {"float32": 1e-5, "float64": 1e-13}
"""The same relative to the largest weight: the rounding of updates that are tiny beside it."""


class Windows(Protocol):
    """Steps that need the host for nothing but their calls, `length` batches at a time."""

    length: int

    def read(self) -> None:
        """Copy the network's weights and the optimizer's state to arrays of its own."""

    def write(self, n_steps: int) -> None:
        """Copy them back, after so many steps."""

    def state(self) -> Arrays:
        """These arrays, which stay where they are."""

    def numbers(self, lrs: Sequence[float], rows: int) -> Sequence[float] | HostArray:
        """All that the next window, of so many rows, has to know of its steps' learning rates."""

    def window(self, chunk: Chunk, masks: Arrays | None, numbers: Array) -> Array:
        """Take the steps of a window; masks: kept() for each hidden layer, None for no dropout.

        Returns the sum of the rows' losses, each before its step: float64, shape ().
        """


class CapturedStep:
    """A TrainStep that repeats what `steps` asks of a GPU, as one graph a window.

    The first window of each length is taken both ways. Where the GPU refuses to record it, or
    another update comes out, the training goes on call by call, with a TrainingWarning; `refused`
    is the reason. Without config.graph it does so from the start.
    """

    def __init__(self, network: Network, optimizer: Optimizer, config: Config, steps: Windows):
        self.network, self.optimizer, self.steps = network, optimizer, steps
        self.batch_size, self.dropout = config.batch_size, config.dropout
        self.refused: str | None = None if config.graph else "--no-graph"
        xp, self.dtype = network.xp, str(network.dtype)
        self.given: dict[str, Array] = {}
        """What the windows of a chunk read: X, y, weights, numbers, and a mask a hidden layer."""
        self.place = xp.zeros(2, dtype="int64")
        """Where the next window begins in the rows and in the numbers."""
        self.loss_sum = xp.zeros((), dtype="float64")
        self.graphs: dict[tuple[int, int], Callable[[], None]] = {}
        """By the numbers of a window's rows and numbers."""
        self.fixed: tuple[Any, Any] = None, None
        """What else is part of them: see _forget_graphs()."""

    def running(self) -> AbstractContextManager[None]:
        """Nothing surrounds the calls."""
        return nullcontext()

    def __call__(self, chunk: Chunk, lrs: Sequence[float], rng: np.random.Generator) -> Array:
        """Take the steps; see TrainStep."""
        n_rows = len(chunk[0])
        bounds = list(windows(n_rows, self.batch_size, self.steps.length))
        numbers = [self.steps.numbers(lrs[steps], rows.stop - rows.start) for rows, steps in bounds]
        self._fill(chunk, numbers, self._kept(n_rows, rng))
        self.steps.read()
        self._forget_graphs()
        first = 0
        for (rows, _), of_window in zip(bounds, numbers, strict=True):
            self._window(rows, slice(first, first + len(of_window)))
            first += len(of_window)
        self.steps.write(len(lrs))
        return self.loss_sum.copy()

    def _kept(self, n_rows: int, rng: np.random.Generator) -> list[HostArray]:
        """Which units of each hidden layer dropout keeps in the rows of a chunk, (n_rows, n)."""
        widths = self.network.sizes[1:-1] if self.dropout else ()
        masks = [np.empty((n_rows, width), bool) for width in widths]
        for first in range(0, n_rows, self.batch_size):  # in the order of dropout_masks()
            for mask in masks:
                rows = mask[first : first + self.batch_size]
                rows[...] = kept(rng, rows.shape, self.dropout)
        return masks

    def _fill(self, chunk: Chunk, numbers: Sequence[Any], masks: Sequence[HostArray]) -> None:
        """Copy what the windows of a chunk read to where the graphs look for it."""
        to_device = self.network.device.to_device
        X, y, weights = chunk
        given = {"X": X, "y": y, "numbers": to_device(np.concatenate(numbers).astype(self.dtype))}
        given |= {} if weights is None else {"weights": weights}
        given |= {f"mask {i}": to_device(mask) for i, mask in enumerate(masks)}
        for name, array in given.items():
            if name not in self.given or len(self.given[name]) < len(array):
                self.given[name] = array.copy()
                self.graphs = {}  # they look elsewhere
            else:
                self.given[name][: len(array)] = array
        self.place.fill(0)
        self.loss_sum.fill(0)

    def _forget_graphs(self) -> None:
        """Drop the graphs where a callback has changed what is part of them."""
        settings = {k: v for k, v in vars(self.optimizer).items() if k not in ("state", "steps")}
        values = repr((settings, self.network.input_scale))
        fixed = values, self.network.standardization
        if fixed[0] != self.fixed[0] or fixed[1] is not self.fixed[1]:
            self.graphs, self.fixed = {}, fixed

    def _window(self, rows: slice, numbers: slice) -> None:
        """Take the steps of the window with these rows and numbers of the chunk."""
        key = rows.stop - rows.start, numbers.stop - numbers.start
        if key in self.graphs:
            self.graphs[key]()
        elif self.refused is None:
            self._capture(key)
        else:
            _take(self.steps, self.given, rows, numbers, self.loss_sum)

    def _capture(self, key: tuple[int, int]) -> None:
        """Take a window's steps, and have a graph repeat them if it can."""
        xp, device = self.network.xp, self.network.device
        rows, numbers = map(xp.arange, key)
        on = device.to_device(np.array(key))
        # Not self, which has the graphs: they would wait for Python's garbage collector.
        steps, given, place, loss_sum = self.steps, self.given, self.place, self.loss_sum

        def take() -> None:
            _take(steps, given, place[0] + rows, place[1] + numbers, loss_sum)
            xp.add(place, on, out=place)

        state = [*steps.state(), loss_sum, place]
        before = [array.copy() for array in state]
        take()
        by_cupy = [array.copy() for array in state]
        copy_arrays(before, state)
        try:
            repeat = device.capture(take)
        except DeviceError as error:
            copy_arrays(by_cupy, state)
            self._refuse(f"can't be recorded as one: {error}")
            return
        called = [array.copy() for array in state]
        copy_arrays(before, state)
        repeat()
        apart = self._apart(before, called, state, SAME_PRODUCTS[self.dtype]) or self._apart(
            before, by_cupy, state, OTHER_PRODUCTS[self.dtype]
        )
        if apart:
            copy_arrays(by_cupy, state)
            self._refuse(f"come out otherwise in one: {apart}")
        else:
            self.graphs[key] = repeat

    def _apart(
        self, before: Arrays, called: Arrays, repeated: Arrays, tolerance: float
    ) -> str | None:
        """How a graph's update differs from that of calls by more than this share, or None."""
        for start, expected, found in zip(before, called, repeated, strict=True):
            update, apart = _largest(expected - start), _largest(found - expected)
            allowed = tolerance * update + ROUNDING[self.dtype] * _largest(expected)
            if start.dtype.kind == "i":
                allowed = 0.0
            if not apart <= allowed and math.isfinite(update):
                return f"{apart:.1e} apart, in an update of up to {update:.1e}"
        return None

    def _refuse(self, reason: str) -> None:
        """Go on call by call."""
        self.refused, self.graphs = reason, {}
        warnings.warn(
            f"without a CUDA graph, and so probably slower: this training's steps {reason}; "
            "--no-graph leaves out the attempt",
            TrainingWarning,
            stacklevel=8,  # the caller of fit()
        )


def _take(
    steps: Windows, given: Mapping[str, Array], rows: Any, numbers: Any, loss_sum: Array
) -> None:
    """Take a window's steps by calls, and add its losses to loss_sum; rows, numbers: which of
    those given it reads."""
    read = {name: array[numbers if name == "numbers" else rows] for name, array in given.items()}
    masks = [array for name, array in read.items() if name.startswith("mask")]
    chunk = read["X"], read["y"], read.get("weights")
    loss_sum += steps.window(chunk, masks or None, read["numbers"])


def _largest(array: Array) -> float:
    """max |array|. Waits for the device."""
    return float(abs(array).max())
