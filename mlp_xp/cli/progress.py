"""Progress on the terminal, and how a signal stops a training run."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

from tqdm import tqdm

from mlp_xp.training import Callback, Checkpointer, Trainer


class Reporter(Callback):
    """Prints a line for each epoch; on a terminal, also draws a bar on standard error."""

    def __init__(self, trainer: Trainer, *, quiet: bool):
        self.epochs = trainer.config.epochs
        self.bar = tqdm(
            total=trainer.n_rows * self.epochs,
            initial=_rows_done(trainer),
            unit=" samples",
            unit_scale=True,
            disable=quiet or not sys.stderr.isatty(),
            leave=False,
        )

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def on_chunk(self, trainer: Trainer) -> None:
        """Move the bar."""
        self.bar.set_description(f"epoch {trainer.epoch}/{self.epochs}", refresh=False)
        self.bar.set_postfix_str(f"loss {trainer.loss:.4f}", refresh=False)
        self.bar.update(_rows_done(trainer) - self.bar.n)

    def on_epoch(self, trainer: Trainer) -> None:
        """Print the epoch's line."""
        epoch = trainer.history[-1]
        fields = [f"epoch {epoch.epoch}/{self.epochs}", f"loss {epoch.loss:.4f}"]
        if epoch.validation_loss is not None:
            fields.append(f"validation loss {epoch.validation_loss:.4f}")
        if epoch.validation_accuracy is not None:
            fields.append(f"validation accuracy {epoch.validation_accuracy:.2%}")
        fields += [f"{epoch.seconds:.2f} s", f"{epoch.samples_per_second:,.0f} samples/s"]
        self.bar.clear()
        print("  ".join(fields), flush=True)


def _rows_done(trainer: Trainer) -> int:
    return len(trainer.history) * trainer.n_rows + trainer.rows


class SignalHandler(Callback):
    """Within `with`, Ctrl-C and SIGTERM save a checkpoint and stop the training.

    stopped_by is the signal that did, or None. Another Ctrl-C quits at once, without saving.
    """

    def __init__(self, checkpointer: Checkpointer):
        self.checkpointer = checkpointer
        self.stopped_by: int | None = None
        self._received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> SignalHandler:
        for signum in (signal.SIGINT, signal.SIGTERM):
            self._previous[signum] = signal.signal(signum, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

    def _receive(self, signum: int, _: FrameType | None) -> None:
        # A second SIGTERM is ignored: some senders signal the process and its group.
        if self._received and signum == signal.SIGINT:
            os._exit(128 + signum)
        self._received = self._received or signum

    def on_chunk(self, trainer: Trainer) -> None:
        """Save and stop if a signal has arrived."""
        if self._received:
            self.checkpointer.save(trainer)
            trainer.stop()
            self.stopped_by = self._received
