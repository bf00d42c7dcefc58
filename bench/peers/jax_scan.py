"""JAX: one jit around a lax.scan over the epoch's steps, so that Python runs once per epoch.

As documented on docs.jax.dev: value_and_grad of a pure loss ("Automatic differentiation"), scan
instead of a Python loop ("jax.lax.scan"), the old state's buffers donated ("Buffer donation"), the
update by jax.tree.map ("Working with pytrees"), random keys folded with the number of the step
("Pseudorandom numbers"). Adam has the formulas of optax, dropout those of flax.

A step's rows come in one of three ways, each the quickest somewhere: gathered from bytes in the
step, gathered from floats that were scaled once, or cut from the epoch's bytes, gathered before the
first step. Also tried: the epoch's floats gathered first, slower everywhere, by up to a half;
another arrangement of Adam's constants and other generators of random bits, none of them quicker;
and unrolling the scan by four, which takes 3 to 8 % off a step of one row but slows down larger
ones.
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
from bench.problem import BETAS, EPSILON, SEED, Array, Labels, Problem, Rows, chunks

Weights = list[tuple[jax.Array, jax.Array]]
State = tuple[Weights, tuple[Weights, ...], jax.Array]
"""The weights, the optimizer's arrays, and the number of steps taken."""


def scale(X: jax.Array, weights: Weights) -> jax.Array:
    """Bytes as floats from 0 to 1; floats as they are."""
    return X.astype(weights[0][0].dtype) / 255 if X.dtype == jnp.uint8 else X


def dropped(A: jax.Array, rate: float, key: jax.Array) -> jax.Array:
    return jnp.where(jax.random.bernoulli(key, 1 - rate, A.shape), A / (1 - rate), 0)


def log_probabilities(
    weights: Weights, A: jax.Array, dropout: float = 0, key: jax.Array | None = None
) -> jax.Array:
    for i, (W, b) in enumerate(weights[:-1]):
        A = jax.nn.relu(A @ W + b)
        if dropout:
            A = dropped(A, dropout, jax.random.fold_in(key, i))
    W, b = weights[-1]
    return jax.nn.log_softmax(A @ W + b)


def mean_loss(
    weights: Weights, A: jax.Array, y: jax.Array, dropout: float, key: jax.Array | None
) -> jax.Array:
    found = log_probabilities(weights, A, dropout, key)
    return -jnp.take_along_axis(found, y[:, None], axis=1).mean()


def updated(problem: Problem, state: State, gradients: Weights, rate: jax.Array) -> State:
    """The state after one step of the problem's optimizer."""
    weights, moments, steps = state
    steps = steps + 1
    if problem.optimizer == "adam":
        m, v = moments
        beta1, beta2 = BETAS
        m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, m, gradients)
        v = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, gradients)
        t = steps.astype(rate.dtype)
        correct1, correct2 = 1 - beta1**t, 1 - beta2**t
        weights = jax.tree.map(
            lambda w, m, v: w - rate * (m / correct1) / (jnp.sqrt(v / correct2) + EPSILON),
            weights,
            m,
            v,
        )
        return weights, (m, v), steps
    if problem.momentum:
        gradients = jax.tree.map(lambda v, g: problem.momentum * v + g, moments[0], gradients)
        moments = (gradients,)
    return jax.tree.map(lambda w, g: w - rate * g, weights, gradients), moments, steps


@partial(jax.jit, static_argnames=("problem", "gather_first"), donate_argnames="state")
def epoch(
    state: State,
    X: jax.Array,
    y: jax.Array,
    order: jax.Array,
    rates: jax.Array,
    problem: Problem,
    gather_first: bool,
) -> tuple[State, jax.Array]:
    def step(state: State, batch: tuple[Any, jax.Array]) -> tuple[State, jax.Array]:
        rows, rate = batch
        weights, _, steps = state
        A, labels = rows if gather_first else (X[rows], y[rows])
        key = jax.random.fold_in(jax.random.key(SEED), steps) if problem.dropout else None
        loss, gradients = jax.value_and_grad(mean_loss)(
            weights, scale(A, weights), labels, problem.dropout, key
        )
        return updated(problem, state, gradients, rate), loss

    rows = (X[order], y[order]) if gather_first else order
    unroll = 4 if problem.batch_size == 1 else 1
    state, losses = jax.lax.scan(step, state, (rows, rates), unroll=unroll)
    return state, losses.mean()


@jax.jit
def probabilities(weights: Weights, X: jax.Array) -> jax.Array:
    return jnp.exp(log_probabilities(weights, scale(X, weights)))


class FromBytes(Peer):
    """The data stays uint8 on the device; each step gathers its rows and scales them."""

    gather_first = False

    def __init__(self, problem: Problem, X: Rows, y: Labels) -> None:
        super().__init__(problem, X, y)
        weights: Any = jax.device_put(problem.weights())
        slots = 2 if problem.optimizer == "adam" else int(problem.momentum > 0)
        moments = tuple(jax.tree.map(jnp.zeros_like, weights) for _ in range(slots))
        self.state: State = (weights, moments, jnp.int32(0))
        self.X, self.y = jax.device_put(self.kept(X)), jax.device_put(y.astype(np.int32))

    def kept(self, X: Rows) -> Array:
        """The rows as they lie on the device."""
        return X

    def epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
        order, rates = order.astype(np.int32), rates.astype(self.problem.dtype)
        data = (self.X, self.y, order, rates, self.problem, self.gather_first)
        self.state, loss = epoch(self.state, *data)
        return float(loss)

    def predict(self, X: Rows) -> Array:
        # All are dispatched before the first is waited for.
        parts = [probabilities(self.state[0], part) for part in chunks(X)]
        return np.concatenate(parts)

    def save(self, path: Path) -> None:
        arrays = [array for layer in self.state[0] for array in layer]
        np.savez(path.with_suffix(".npz"), *map(np.asarray, arrays))


class FromFloats(FromBytes):
    """The data lies scaled on the device, in four times the memory; each step gathers its rows."""

    def kept(self, X: Rows) -> Array:
        floats: Array = X.astype(self.problem.dtype)
        floats /= 255
        return floats


class GatheredEpoch(FromBytes):
    """Once an epoch, all rows are brought into its order; each step scales its part."""

    gather_first = True
