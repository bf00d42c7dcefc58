"""Training: a run's state, its epochs, and what may watch it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlp_xp.backend import Backend
from mlp_xp.config import Config
from mlp_xp.datasets import Dataset
from mlp_xp.errors import InputError
from mlp_xp.feed import Feed
from mlp_xp.functions import Array, scale_inputs, softmax_cross_entropy
from mlp_xp.network import Network
from mlp_xp.optimizers import SCHEDULES, SGD

SEGMENT = 2048
"""Rows that are gathered at once; between two segments a run can be watched, saved and stopped."""

Stepper: TypeAlias = Callable[[Array, Array, Sequence[float]], Array]
"""Takes the steps of one segment: X as loaded, y, and each step's learning rate; returns the sum
of its rows' losses, shape (), on the device."""


class Epoch(NamedTuple):
    """One epoch's figures: its number from 1, mean training loss in nats, and its own time.

    The loss is the mean of each batch's loss before that batch's update. Seconds are of the
    training alone, without evaluation.
    """

    epoch: int
    loss: float
    seconds: float
    samples_per_second: float


class Callback:
    """What may watch a run: override what you need. All are called on the host, between steps."""

    def on_segment(self, run: Run) -> None:
        """Some steps are done: run.rows of this epoch's rows, run.loss their mean loss so far."""

    def on_epoch(self, run: Run) -> None:
        """An epoch is over: run.history[-1]."""


class Trained(NamedTuple):
    """What train() returns."""

    network: Network
    history: list[Epoch]


def plain_stepper(network: Network, batch_size: int) -> Stepper:
    """Mini-batch SGD as every textbook has it: forward, loss, backward, update."""
    xp, optimizer = network.xp, SGD()

    def step(X: Array, y: Array, lrs: Sequence[float]) -> Array:
        loss_sum = xp.zeros((), dtype="float64")
        for i, lr in enumerate(lrs):
            rows = slice(i * batch_size, (i + 1) * batch_size)
            A, Z = network.forward(scale_inputs(xp, X[rows], str(network.dtype)))
            loss, dlogits = softmax_cross_entropy(xp, Z[-1], y[rows])
            optimizer.step(network.parameters(), network.backward(A, Z, dlogits), lr)
            loss_sum += loss * len(dlogits)
        return loss_sum

    return step


def epoch_order(seed: int, epoch: int, n_rows: int) -> NDArray[np.int64]:
    """The order in which an epoch takes the rows, (n_rows,).

    From a generator of the epoch's own, so that it can be had again without the epochs before it.
    """
    return np.random.default_rng([seed, epoch]).permutation(n_rows)


class Run:
    """A training: its settings, and all that changes while it goes on.

    history: the epochs that are over. Of the one under way: rows are done, and their losses add up
    to loss_sum. Weights, and every epoch's order of the rows, follow from config.seed by the
    host's generators, whatever the backend.
    """

    def __init__(
        self, data: Dataset, config: Config, backend: Backend, network: Network | None = None
    ):
        self.config = config
        self.network = network or Network.initialise(
            backend,
            (data.n_features, *config.hidden, data.n_classes),
            activation=config.activation,
            init=config.init,
            seed=config.seed,
            dtype=config.dtype,
        )
        self.n_rows = len(data.train)
        self.feed = Feed(backend, data.train)
        self.stepper = plain_stepper(self.network, config.batch_size)
        self.history: list[Epoch] = []
        self.rows = 0
        self.loss_sum = 0.0
        self.seconds = 0.0

    @property
    def epoch(self) -> int:
        """The number, from 1, of the epoch under way."""
        return len(self.history) + 1

    @property
    def loss(self) -> float:
        """The mean loss of this epoch's rows so far."""
        return self.loss_sum / self.rows

    def go(self, callbacks: Sequence[Callback] = ()) -> None:
        """Train to the last epoch, from wherever the run stands.

        Raises InputError if the loss stops being a finite number.
        """
        while self.epoch <= self.config.epochs:
            self._epoch(callbacks)

    def _epoch(self, callbacks: Sequence[Callback]) -> None:
        batch_size = self.config.batch_size
        order = epoch_order(self.config.seed, self.epoch, self.n_rows)
        self.feed.begin(order if self.config.shuffle else None)
        segment = batch_size * max(1, SEGMENT // batch_size)
        while self.rows < self.n_rows:
            started = time.perf_counter()
            stop = min(self.rows + segment, self.n_rows)
            lrs = self._rates(self.rows // batch_size, math.ceil(stop / batch_size))
            self.loss_sum += float(self.stepper(*self.feed.take(self.rows, stop), lrs))
            self.rows = stop
            self.seconds += time.perf_counter() - started
            self._check_loss(stop - segment)
            for callback in callbacks:
                callback.on_segment(self)
        speed = self.n_rows / self.seconds
        self.history.append(Epoch(self.epoch, self.loss, self.seconds, speed))
        self.rows, self.loss_sum, self.seconds = 0, 0.0, 0.0
        for callback in callbacks:
            callback.on_epoch(self)

    def _rates(self, first: int, last: int) -> list[float]:
        """The learning rates of this epoch's steps from first to last."""
        rate = SCHEDULES[self.config.schedule]
        steps = math.ceil(self.n_rows / self.config.batch_size)
        before = (self.epoch - 1) * steps
        total = steps * self.config.epochs
        return [self.config.lr * rate((before + i) / total) for i in range(first, last)]

    def _check_loss(self, start: int) -> None:
        if not math.isfinite(self.loss_sum):
            step = max(start, 0) // self.config.batch_size + 1
            raise InputError(
                f"the loss became {self.loss_sum} in epoch {self.epoch}, at step {step} or soon "
                f"after: lower --lr ({self.config.lr})"
            )


def train(
    data: Dataset,
    config: Config,
    backend: Backend,
    callbacks: Sequence[Callback] = (),
    network: Network | None = None,
) -> Trained:
    """Train a new network, or the one given, on data.train; see Run.

    Raises InputError if the loss stops being a finite number.
    """
    run = Run(data, config, backend, network)
    run.go(callbacks)
    return Trained(run.network, run.history)
