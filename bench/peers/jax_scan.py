"""JAX: one jit around a lax.scan over the epoch's steps, so that Python runs once per epoch.

As documented on docs.jax.dev: value_and_grad of a pure loss ("Automatic differentiation"), scan
instead of a Python loop ("jax.lax.scan"), the old weights' buffers donated ("Buffer donation"). The
data stays uint8 on the device and each step gathers its rows. Also tried: gathering the whole epoch
first and other gather modes, neither of which changes more than the spread; and unrolling the scan
by four, which takes 3 to 8 % off a step of one row but slows down larger ones.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bench.peers import Peer
from bench.problem import Array, Labels, Problem, Rows, chunks

Weights = list[tuple[jax.Array, jax.Array]]


def scale(X: jax.Array, weights: Weights) -> jax.Array:
    return X.astype(weights[0][0].dtype) / 255


def log_probabilities(weights: Weights, A: jax.Array) -> jax.Array:
    for W, b in weights[:-1]:
        A = jax.nn.relu(A @ W + b)
    W, b = weights[-1]
    return jax.nn.log_softmax(A @ W + b)


def mean_loss(weights: Weights, A: jax.Array, y: jax.Array) -> jax.Array:
    return -jnp.take_along_axis(log_probabilities(weights, A), y[:, None], axis=1).mean()


@partial(jax.jit, donate_argnums=0)
def epoch(
    weights: Weights, X: jax.Array, y: jax.Array, order: jax.Array, rates: jax.Array
) -> tuple[Weights, jax.Array]:
    def step(weights: Weights, batch: tuple[jax.Array, jax.Array]) -> tuple[Weights, jax.Array]:
        rows, rate = batch
        loss, gradients = jax.value_and_grad(mean_loss)(weights, scale(X[rows], weights), y[rows])
        return jax.tree.map(lambda w, g: w - rate * g, weights, gradients), loss

    unroll = 4 if order.shape[1] == 1 else 1
    weights, losses = jax.lax.scan(step, weights, (order, rates), unroll=unroll)
    return weights, losses.mean()


@jax.jit
def probabilities(weights: Weights, X: jax.Array) -> jax.Array:
    return jnp.exp(log_probabilities(weights, scale(X, weights)))


class JaxScan(Peer):
    def __init__(self, problem: Problem, X: Rows, y: Labels) -> None:
        super().__init__(problem, X, y)
        self.weights: Any = jax.device_put(problem.weights())
        self.X, self.y = jax.device_put(X), jax.device_put(y.astype(np.int32))

    def epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
        order, rates = order.astype(np.int32), rates.astype(self.problem.dtype)
        self.weights, loss = epoch(self.weights, self.X, self.y, order, rates)
        return float(loss)

    def predict(self, X: Rows) -> Array:
        # All are dispatched before the first is waited for.
        parts = [probabilities(self.weights, part) for part in chunks(X)]
        return np.concatenate(parts)

    def save(self, path: Path) -> None:
        arrays = [array for layer in self.weights for array in layer]
        np.savez(path.with_suffix(".npz"), *map(np.asarray, arrays))
