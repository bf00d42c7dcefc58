"""What may watch a training, or end it: override what you need."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from mlp_xp.training.checkpoint import save_checkpoint

if TYPE_CHECKING:
    from mlp_xp.training.trainer import Trainer


class Callback:
    """Called on the host between steps, where a trainer can be read, saved and stopped.

    trainer.learning_rate is the one of the last step; trainer.stop() ends the training.
    """

    def on_chunk(self, trainer: Trainer) -> None:
        """Some steps are done: trainer.rows of this epoch's rows, with mean loss trainer.loss."""

    def on_epoch(self, trainer: Trainer) -> None:
        """An epoch is over: trainer.history[-1]."""


class Checkpointer(Callback):
    """Writes a checkpoint every so many seconds, or epochs."""

    def __init__(self, path: Path, *, seconds: float | None = None, epochs: int | None = None):
        self.path = path
        self.seconds = seconds
        self.epochs = epochs
        self.last_saved = time.monotonic()

    def on_chunk(self, trainer: Trainer) -> None:
        """Save if it is time."""
        if self.seconds is not None and time.monotonic() - self.last_saved >= self.seconds:
            self.save(trainer)

    def on_epoch(self, trainer: Trainer) -> None:
        """Save if it is time."""
        if self.epochs is not None and len(trainer.history) % self.epochs == 0:
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Save now."""
        save_checkpoint(trainer, self.path)
        self.last_saved = time.monotonic()
