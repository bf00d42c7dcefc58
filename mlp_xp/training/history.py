"""What a training leaves beside its network: the figures of each epoch."""

from __future__ import annotations

from typing import NamedTuple

from mlp_xp.nn import Network


class Epoch(NamedTuple):
    """One epoch's figures: its number from 1, losses in nats or squared units, its own time.

    The training loss is the mean of each batch's loss before that batch's update. Seconds are of
    the training alone, without evaluation.
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
