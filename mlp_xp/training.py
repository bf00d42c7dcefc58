"""Training: what determines a run, one epoch, and the loop over epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from mlp_xp.backend import Backend
from mlp_xp.datasets import Dataset, Split
from mlp_xp.errors import InputError
from mlp_xp.functions import ACTIVATIONS, Array, scale_inputs, softmax_cross_entropy
from mlp_xp.network import INITIALISERS, Network
from mlp_xp.optimizers import SCHEDULES, SGD


@dataclass(frozen=True)
class Config:
    """All that determines a run, apart from its data and its device. The defaults suit MNIST.

    Raises InputError, naming the field, for a value that can't be.
    """

    hidden: tuple[int, ...] = (256,)
    activation: str = "relu"
    init: str = "he"
    batch_size: int = 32
    epochs: int = 10
    lr: float = 0.3
    schedule: str = "linear"
    shuffle: bool = True
    seed: int = 0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        """Check every field."""
        object.__setattr__(self, "hidden", tuple(self.hidden))
        for name, choices in (
            ("activation", ACTIVATIONS),
            ("init", INITIALISERS),
            ("schedule", SCHEDULES),
            ("dtype", ("float32", "float64")),
        ):
            if getattr(self, name) not in choices:
                raise InputError(f"{name} is {getattr(self, name)!r}; use {' or '.join(choices)}")
        for name, value in (
            ("batch_size", self.batch_size),
            ("epochs", self.epochs),
            *(("hidden", size) for size in self.hidden),
        ):
            if type(value) is not int or value < 1:
                raise InputError(f"{name} is {value!r}; it must be a whole number from 1")
        if type(self.seed) is not int or not 0 <= self.seed < 2**32:
            raise InputError(f"seed is {self.seed!r}; it must be a whole number below 2**32")
        if type(self.shuffle) is not bool:
            raise InputError(f"shuffle is {self.shuffle!r}; use true or false")
        if type(self.lr) not in (int, float) or not 0 < self.lr < math.inf:
            raise InputError(f"lr is {self.lr!r}; it must be a number above 0")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """The Config with these fields; what isn't named keeps its default."""
        unknown = values.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise InputError(f"unknown setting {', '.join(sorted(unknown))} in the configuration")
        if not isinstance(values.get("hidden", ()), list | tuple):
            raise InputError(f"hidden is {values['hidden']!r}; it must be a list of layer widths")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Every field, as plain data that JSON can hold."""
        return {**asdict(self), "hidden": list(self.hidden)}


PRESETS: dict[str, dict[str, Any]] = {
    # The notebook that this project began as: its losses and its 97.08 %, to the last digit.
    "notebook": Config(
        hidden=(128,),
        init="notebook",
        batch_size=1,
        epochs=5,
        lr=0.01,
        schedule="constant",
        shuffle=False,
        seed=0,
        dtype="float64",
    ).to_dict(),
}


class Epoch(NamedTuple):
    """One epoch's figures: its number from 1, mean training loss in nats, and its own time.

    The loss is the mean of each batch's loss before that batch's update. Seconds are of the
    training alone, without evaluation.
    """

    epoch: int
    loss: float
    seconds: float
    samples_per_second: float


class Trained(NamedTuple):
    """What train() returns."""

    network: Network
    history: list[Epoch]


class Callback:
    """What may watch a run: override what you need. All are called on the host, between steps."""

    def on_step(self, epoch: int, rows: int, loss_sum: Array) -> None:
        """`rows` of this epoch's rows are done, and their losses add up to `loss_sum`.

        loss_sum lies on the device: reading it waits for the device, so read it seldom.
        """

    def on_epoch(self, epoch: Epoch, network: Network) -> None:
        """An epoch is over."""


class Feed:
    """A split's rows on the device, in whatever order they are asked for; bytes stay bytes."""

    def __init__(self, backend: Backend, split: Split):
        self.X = backend.to_device(split.X)
        self.y = backend.to_device(split.y)

    def take(self, rows: slice | Array) -> tuple[Array, Array]:
        """X (B, n) as loaded and y (B,), of rows named by a slice or by indices on the device."""
        return self.X[rows], self.y[rows]


def epoch_steps(
    network: Network, feed: Feed, order: Array | None, lrs: Sequence[float], batch_size: int
) -> Iterator[tuple[int, Array]]:
    """One epoch of mini-batch SGD, a step at each turn.

    order (N,): indices of the rows on the device, None for their own order; lrs: the learning rate
    of each step. Yields, after each step, how many rows it took and the sum of their losses, which
    is on the device.
    """
    optimizer = SGD()
    n_rows = len(feed.y)
    for step, start in enumerate(range(0, n_rows, batch_size)):
        rows = slice(start, min(start + batch_size, n_rows))
        X, y = feed.take(rows if order is None else order[rows])
        A, Z = network.forward(scale_inputs(network.xp, X, str(network.dtype)))
        loss, dlogits = softmax_cross_entropy(network.xp, Z[-1], y)
        optimizer.step(network.parameters(), network.backward(A, Z, dlogits), lrs[step])
        yield len(y), loss * len(y)


def train(
    data: Dataset,
    config: Config,
    backend: Backend,
    callbacks: Sequence[Callback] = (),
    network: Network | None = None,
) -> Trained:
    """Train a new network, or the one given, on data.train: for each epoch, shuffle, then a step
    for each batch.

    Weights and orders come from config.seed by the host's generators, whatever the backend.
    Raises InputError if the loss stops being a finite number.
    """
    network = network or Network.initialise(
        backend,
        (data.n_features, *config.hidden, data.n_classes),
        activation=config.activation,
        init=config.init,
        seed=config.seed,
        dtype=config.dtype,
    )
    feed = Feed(backend, data.train)
    n_rows = len(data.train)
    steps = math.ceil(n_rows / config.batch_size)
    rate = SCHEDULES[config.schedule]
    # A stream of its own: how many weights were drawn must not change the order of the rows.
    shuffler = np.random.default_rng([config.seed, 1])
    history = []
    for number in range(1, config.epochs + 1):
        started = time.perf_counter()
        order = backend.to_device(shuffler.permutation(n_rows)) if config.shuffle else None
        first = (number - 1) * steps
        lrs = [config.lr * rate((first + i) / (steps * config.epochs)) for i in range(steps)]
        done, loss_sum = 0, backend.xp.zeros((), dtype="float64")
        for rows, losses in epoch_steps(network, feed, order, lrs, config.batch_size):
            done += rows
            loss_sum += losses
            for callback in callbacks:
                callback.on_step(number, done, loss_sum)
        loss = float(loss_sum) / n_rows
        seconds = time.perf_counter() - started
        if not math.isfinite(loss):
            raise InputError(f"the loss became {loss} in epoch {number}: lower --lr ({config.lr})")
        history.append(Epoch(number, loss, seconds, n_rows / seconds))
        for callback in callbacks:
            callback.on_epoch(history[-1], network)
    return Trained(network, history)
