"""What every peer is given: the same rows, weights, order of the rows and learning rates."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SEED = 0
# Of 250 to 60,000, the quickest to within the spread for JAX, PyTorch and scikit-learn alike: half
# the time of all at once, since what lies between two layers stays in the cache.
PREDICT_ROWS = 500


class Data(NamedTuple):
    """Rows (N, 784) uint8 and labels (N,) int64, for training and for the test."""

    X: NDArray[np.uint8]
    y: NDArray[np.int64]
    X_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]


def read(path: str | Path) -> Data:
    """An .npz in Keras' layout. NumPy alone reads it, so no peer pays for mlp_xp's import."""
    with np.load(path) as file:
        X, X_test = (file[name].reshape(len(file[name]), -1) for name in ("x_train", "x_test"))
        return Data(X, file["y_train"].astype(np.int64), X_test, file["y_test"].astype(np.int64))


def chunks(X: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The rows that a peer predicts at a time."""
    return np.split(X, range(PREDICT_ROWS, len(X), PREDICT_ROWS))


@dataclass(frozen=True)
class Problem:
    """A training, down to its numbers. `rows` is a multiple of `batch_size`."""

    hidden: tuple[int, ...] = (128,)
    batch_size: int = 32
    rows: int = 60_000
    epochs: int = 4
    lr: float = 0.1
    schedule: str = "constant"
    shuffle: bool = True
    init: str = "he"
    dtype: str = "float32"
    budget: float = math.inf
    """Seconds after which a peer stops, once it has done its warm-up and one more epoch."""

    @property
    def steps(self) -> int:
        """Updates an epoch."""
        return self.rows // self.batch_size

    @property
    def sizes(self) -> tuple[int, ...]:
        """MNIST's 784 inputs, the hidden layers, the 10 classes."""
        return (784, *self.hidden, 10)

    def weights(self) -> list[tuple[Array, Array]]:
        """W (n_in, n_out) and b (n_out,) of each layer, drawn as mlp_xp's `init` draws them."""
        legacy, rng = np.random.RandomState(SEED), np.random.default_rng(SEED)
        layers = []
        for n_in, n_out in zip(self.sizes, self.sizes[1:], strict=False):
            if self.init == "notebook":
                W = legacy.randn(n_out, n_in).T
            else:
                W = rng.standard_normal((n_in, n_out))
            W = np.ascontiguousarray(W * math.sqrt(2 / n_in), dtype=self.dtype)
            layers.append((W, np.zeros(n_out, self.dtype)))
        return layers

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The rows of each step of an epoch, counted from 1: (steps, batch_size).

        Shuffled as mlp_xp.training.epoch_order() does it, since mlp_xp can't be given an order.
        """
        rows = np.arange(self.rows)
        if self.shuffle:
            rows = np.random.default_rng([SEED, epoch, 1]).permutation(self.rows)
        return rows.reshape(self.steps, self.batch_size)

    def rates(self, epoch: int) -> NDArray[np.float64]:
        """The learning rate of each step of an epoch: (steps,)."""
        if self.schedule == "constant":
            return np.full(self.steps, self.lr)
        done = (epoch - 1) * self.steps + np.arange(self.steps)
        return self.lr * (1 - done / (self.steps * self.epochs))

    def to_json(self) -> str:
        """One line, for a command's arguments."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Problem:
        """What to_json() wrote."""
        values = json.loads(text)
        return cls(**{**values, "hidden": tuple(values["hidden"])})
