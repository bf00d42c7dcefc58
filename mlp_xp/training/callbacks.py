"""Callbacks, which watch a training run and can stop it."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from mlp_xp.errors import InputError, TrainingWarning
from mlp_xp.training.checkpoint import save_checkpoint
from mlp_xp.training.doubts import constant_loss, history_doubts

if TYPE_CHECKING:
    from mlp_xp.training.trainer import Trainer


class Callback:
    """Called between steps, when a trainer can be read, saved and stopped; override what you need.

    trainer.learning_rate is that of the last step; trainer.stop() ends the training.
    """

    def on_chunk(self, trainer: Trainer) -> None:
        """Called after each chunk: trainer.rows of the epoch are done, with mean trainer.loss."""

    def on_epoch(self, trainer: Trainer) -> None:
        """Called after each epoch, whose figures are trainer.history[-1]."""


class Checkpointer(Callback):
    """Writes a checkpoint every `seconds` seconds, or every `epochs` epochs, and after the last.

    Raises InputError if one can't be written; after the last epoch that is a TrainingWarning, since
    what has been trained is worth more.
    """

    def __init__(self, path: Path, *, seconds: float | None = None, epochs: int | None = None):
        self.path = path
        self.seconds = seconds
        self.epochs = epochs
        self.last_saved = time.monotonic()

    def on_chunk(self, trainer: Trainer) -> None:
        """Save if a checkpoint is due."""
        if self.seconds is not None and time.monotonic() - self.last_saved >= self.seconds:
            self.save(trainer)

    def on_epoch(self, trainer: Trainer) -> None:
        """Save if a checkpoint is due."""
        if trainer.finished:  # from the last one, a run can be extended
            try:
                self.save(trainer)
            except InputError as error:
                warnings.warn(f"{error}; the training is finished", TrainingWarning, stacklevel=4)
        elif self.epochs is not None and len(trainer.history) % self.epochs == 0:
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Save now."""
        save_checkpoint(trainer, self.path)
        self.last_saved = time.monotonic()


class WarnOfDoubts(Callback):
    """Once a training is finished, turns its history_doubts() into TrainingWarnings."""

    def on_epoch(self, trainer: Trainer) -> None:
        """Warn after the last epoch."""
        if trainer.finished:
            for line in history_doubts(trainer.history, trainer.config, constant_loss(trainer)):
                warnings.warn(line, TrainingWarning, stacklevel=5)  # the caller of train()
