"""The result of a training run: the network, and the figures of each epoch."""

from __future__ import annotations

from typing import NamedTuple

from mlp_xp.training.model import Model


class Epoch(NamedTuple):
    """One epoch's figures: its number from 1, its losses in nats or squared units, its time.

    loss is the mean over the training rows, each before its own update. seconds is the time of the
    training alone, without evaluation and callbacks. learning_rate is that of the last step.
    """

    epoch: int
    loss: float
    seconds: float
    samples_per_second: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    learning_rate: float | None = None


class TrainingResult(NamedTuple):
    """What train() returns. A plain Network that was given to it comes back as it is."""

    network: Model
    history: list[Epoch]
