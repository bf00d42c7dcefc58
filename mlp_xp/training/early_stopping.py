"""Early stopping: when to stop a training run, and which weights to restore."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlp_xp.types import Array


class EarlyStopping:
    """Remembers the epoch with the lowest validation loss, and its weights.

    patience: epochs without a lower loss after which to stop; None: never stop.
    best_epoch counts from 1, and is 0 before the first.
    """

    def __init__(self, patience: int | None = None):
        self.patience = patience
        self.best_epoch, self.best_loss = 0, math.inf
        self.best_weights: list[Array] = []

    def observe(self, epoch: int, loss: float, parameters: Sequence[Array]) -> None:
        """Record an epoch's validation loss, and copy the parameters if it is the lowest."""
        if loss < self.best_loss:
            self.best_epoch, self.best_loss = epoch, loss
            self.best_weights = [array.copy() for array in parameters]

    def is_due(self, epoch: int) -> bool:
        """Whether to stop after this epoch."""
        return (
            self.patience is not None
            and self.best_epoch > 0
            and epoch - self.best_epoch >= self.patience
        )

    def restore(self, parameters: Sequence[Array]) -> None:
        """Copy the best weights, if any, into the parameters; does nothing without a patience."""
        if self.patience is not None and self.best_weights:
            for parameter, best in zip(parameters, self.best_weights, strict=True):
                parameter[...] = best
