"""How the rows of one segment become updates of the weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from mlp_xp.errors import InputError
from mlp_xp.functions import Array
from mlp_xp.momentum import MomentumStepper
from mlp_xp.optimizers import SGD, Optimizer, clip_gradients
from mlp_xp.windowed import WindowedStepper

if TYPE_CHECKING:
    import numpy as np

    from mlp_xp.config import Config
    from mlp_xp.network import Network


MOMENTUM_PAYS_UP_TO, DECAY_PAYS_UP_TO = 8, 32
"""Batch sizes. Time of momentum.py's windows over the plain step's, 784-128-10, one core: with
momentum 0.13 at batch 1, 0.90 at 8, 1.17 at 16; with weight decay alone 0.11, 0.59, 0.73, and 0.93
at 32, 1.07 at 128. Every weight moves then, so all inputs take part, and momentum's take twice."""


class Stepper(Protocol):
    """Takes the steps of one segment, one for each learning rate, and changes the network.

    X (S, n) as loaded, y (S,) or (S, K), weights (S,) or None, all on the device; rng draws the
    segment's dropout masks. Returns the sum of the rows' losses, each before its own step: shape
    (), on the device.
    """

    def __call__(
        self,
        X: Array,
        y: Array,
        weights: Array | None,
        lrs: Sequence[float],
        rng: np.random.Generator,
    ) -> Array:
        """Take the steps."""
        ...


def choose_stepper(
    network: Network, optimizer: Optimizer, config: Config, *, weighted: bool
) -> Stepper:
    """The windowed stepper where it can do what is asked for, as it is faster; else the plain one.

    `config.window` of 1 asks for the plain one. Raises InputError for a longer window that can't
    be had.
    """
    obstacles = {
        f"the optimizer {config.optimizer}": not isinstance(optimizer, SGD),
        f"the output {network.output_name}": network.output_name != "softmax",
        "dropout": config.dropout > 0,
        "clip_norm": config.clip_norm is not None,
        "label_smoothing": config.label_smoothing > 0,
        "weights of rows or classes": weighted,
    }
    there = [name for name, found in obstacles.items() if found]
    if there and (config.window or 1) > 1:
        raise InputError(f"a window of {config.window} doesn't go with {there[0]}")
    if there or config.window == 1:
        return plain_stepper(network, optimizer, config)
    if isinstance(optimizer, SGD) and (optimizer.momentum or optimizer.weight_decay):
        pays_up_to = MOMENTUM_PAYS_UP_TO if optimizer.momentum else DECAY_PAYS_UP_TO
        if config.window is None and config.batch_size > pays_up_to:
            return plain_stepper(network, optimizer, config)
        return MomentumStepper(network, config.batch_size, optimizer, config.window)
    return WindowedStepper(network, config.batch_size, config.window)


def plain_stepper(network: Network, optimizer: Optimizer, config: Config) -> Stepper:
    """Mini-batches as every textbook has them: forward, loss, backward, update."""
    xp, batch_size = network.xp, config.batch_size
    loss_of = network.output.loss
    if config.label_smoothing:
        loss_of = partial(loss_of, smoothing=config.label_smoothing)

    def step(
        X: Array,
        y: Array,
        weights: Array | None,
        lrs: Sequence[float],
        rng: np.random.Generator,
    ) -> Array:
        loss_sum = xp.zeros((), dtype="float64")
        for i, lr in enumerate(lrs):
            rows = slice(i * batch_size, (i + 1) * batch_size)
            x = network.prepare(X[rows])
            masks = network.dropout_masks(rng, len(x), config.dropout) if config.dropout else None
            A, Z = network.forward(x, masks)
            loss, dlogits = loss_of(xp, Z[-1], y[rows], None if weights is None else weights[rows])
            gradients = network.backward(A, Z, dlogits, masks)
            if config.clip_norm is not None:
                clip_gradients(xp, gradients, config.clip_norm)
            optimizer.step(network.parameters(), gradients, lr)
            loss_sum += loss * len(x)
        return loss_sum

    return step
