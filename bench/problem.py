"""What every peer gets: the same rows, weights, order of the rows and learning rates."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Rows = NDArray[np.uint8]  # (N, 784)
Labels = NDArray[np.int64]  # (N,)
SEED = 0
BETAS, EPSILON = (0.9, 0.999), 1e-8  # Adam's: every library's default
# The fastest of 250 to 60,000 rows, within the spread, for JAX, PyTorch and scikit-learn alike. It
# halves the time of predicting all at once, because activations stay in the cache.
PREDICT_ROWS = 500


class Data(NamedTuple):
    """MNIST's training and test set."""

    X: Rows
    y: Labels
    X_test: Rows
    y_test: Labels


def read(path: str | Path) -> Data:
    """Read an .npz in Keras' layout, with NumPy alone: no peer pays for importing mlp_xp."""
    with np.load(path) as file:
        X, X_test = (file[name].reshape(len(file[name]), -1) for name in ("x_train", "x_test"))
        return Data(X, file["y_train"].astype(np.int64), X_test, file["y_test"].astype(np.int64))


def chunks(X: Rows) -> list[Rows]:
    """Split rows into the parts that a peer predicts at a time."""
    return np.split(X, range(PREDICT_ROWS, len(X), PREDICT_ROWS))


@dataclass(frozen=True)
class Problem:
    """One training run, fully specified. `rows` is a multiple of `batch_size`."""

    hidden: tuple[int, ...] = (128,)
    batch_size: int = 32
    rows: int = 60_000
    epochs: int = 4
    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.1
    momentum: float = 0.0
    """v <- momentum v + gradient, W <- W - lr v."""
    dropout: float = 0.0
    """The share of hidden activations that a step drops; each peer draws its own."""
    schedule: str = "constant"
    shuffle: bool = True
    init: str = "he"
    dtype: str = "float32"
    device: str = "cpu"
    """cpu or cuda, the name that mlp_xp, PyTorch and JAX share."""
    threads: int | None = None
    """mlp_xp's setting; None, its default, leaves it to the cores and variables of the process."""
    window: int | None = None
    """mlp_xp's setting; None, its default, is the fastest."""
    graph: bool | None = None
    """mlp_xp's setting, for GPUs; None is its default."""
    budget: float = math.inf
    """Seconds after which a peer stops, once it has done its warm-up and one more epoch."""

    @property
    def steps(self) -> int:
        """Updates per epoch."""
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

        The same numbers as mlp_xp.data.loader.epoch_order(), since mlp_xp takes no order from
        outside.
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
        """The inverse of to_json()."""
        values = json.loads(text)
        return cls(**{**values, "hidden": tuple(values["hidden"])})
