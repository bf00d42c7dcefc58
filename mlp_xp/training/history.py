"""The result of a training run: the network, and the figures of each epoch."""

from __future__ import annotations

from typing import NamedTuple

from mlp_xp.nn import Network


class Epoch(NamedTuple):
    """One epoch's figures: its number from 1, its losses in nats or squared units, its time.

    loss is the mean over the training rows, each before its own update. seconds is the time of the
    training alone, without evaluation and callbacks.
    """

    epoch: int
    loss: float
    seconds: float
    samples_per_second: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None


class TrainingResult(NamedTuple):
    """What train() returns."""

    network: Network
    history: list[Epoch]
