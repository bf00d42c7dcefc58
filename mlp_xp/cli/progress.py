"""Progress on the terminal, and how a signal stops a training run."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import Any

from tqdm import tqdm

from mlp_xp.training import Callback, Trainer

MOST_LINES = 50
LINES = 20


class SignalHandler(Callback):
    """Within `with`, Ctrl-C, SIGTERM and SIGHUP stop the training between two steps.

    stopped_by is the signal that did, or 0. Another Ctrl-C quits at once, without saving. A signal
    that the program was started to ignore, as by nohup, stays ignored.
    """

    def __init__(self) -> None:
        self.stopped_by = 0
        self._received = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> SignalHandler:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            signum = getattr(signal, name, None)  # Windows has no SIGHUP
            if signum is not None and signal.getsignal(signum) is not signal.SIG_IGN:
                self._previous[signum] = signal.signal(signum, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

    def _receive(self, signum: int, _: FrameType | None) -> None:
        # A second SIGTERM is ignored: some senders signal the process and its group.
        if self._received and signum == signal.SIGINT:
            with suppress(OSError):
                os.write(2, b"\nmlp_xp: interrupted, without a checkpoint of the last steps\n")
            os._exit(128 + signum)
        self._received = self._received or signum

    def on_chunk(self, trainer: Trainer) -> None:
        """Stop if a signal has arrived."""
        if self._received:
            self.stop(trainer, self._received)

    def stop(self, trainer: Trainer, signum: int) -> None:
        """Stop."""
        trainer.stop()
        self.stopped_by = signum


class Reporter(Callback):
    """Prints a line for each epoch, or for some; on a terminal, also draws a bar.

    Of more than MOST_LINES epochs, there is a line for the first, for each that comes a second or
    more after the last line, and for some of the others.

    If the line can't be printed, as in `| head -1`, the training stops, and raise_failure() then
    raises the error.
    """

    def __init__(self, trainer: Trainer, signals: SignalHandler, *, quiet: bool):
        self.signals = signals
        self.epochs = trainer.config.epochs
        self.failure: OSError | None = None
        self.last_line = -math.inf
        self.every = 1 if self.epochs <= MOST_LINES else math.ceil(self.epochs / LINES)
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
        with suppress(OSError):
            self.bar.close()

    def on_chunk(self, trainer: Trainer) -> None:
        """Move the bar."""
        try:
            self.bar.set_description(f"epoch {trainer.epoch}/{self.epochs}", refresh=False)
            self.bar.set_postfix_str(f"loss {trainer.loss:.4f}", refresh=False)
            self.bar.update(_rows_done(trainer) - self.bar.n)
        except OSError:  # the terminal has been closed: SIGHUP says so too
            self.bar.disable = True

    def on_epoch(self, trainer: Trainer) -> None:
        """Print the epoch's line."""
        epoch = trainer.history[-1]
        soon = time.monotonic() - self.last_line < 1
        if epoch.epoch % self.every and soon and not trainer.finished:
            return  # the metrics have it
        self.last_line = time.monotonic()
        fields = [f"epoch {epoch.epoch}/{self.epochs}", f"loss {epoch.loss:.4f}"]
        if epoch.validation_loss is not None:
            fields.append(f"validation loss {epoch.validation_loss:.4f}")
        if epoch.validation_accuracy is not None:
            fields.append(f"validation accuracy {epoch.validation_accuracy:.2%}")
        fields += [f"{epoch.seconds:.2f} s", f"{epoch.samples_per_second:,.0f} samples/s"]
        try:
            self.bar.clear()
            print("  ".join(fields), flush=True)
        except OSError as error:
            self.failure = error
            self.signals.stop(trainer, signal.SIGTERM)

    def raise_failure(self) -> None:
        """Raise the error that kept a line from being printed, if one did."""
        if self.failure is not None:
            raise self.failure


def reading_bar(done: int, total: int, bars: list[Any]) -> None:
    """Draw, on a terminal, how many of the pictures are read. bars: empty before the first call."""
    if not bars:
        bars.append(tqdm(unit=" pictures", disable=not sys.stderr.isatty(), leave=False))
    (bar,) = bars
    bar.total = total
    if done < bar.n:  # from the start again
        bar.reset(total)
    bar.update(done - bar.n)
    if done == total:
        bar.close()


def _rows_done(trainer: Trainer) -> int:
    return len(trainer.history) * trainer.n_rows + trainer.rows
