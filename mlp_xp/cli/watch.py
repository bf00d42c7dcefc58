"""What a terminal sees of a run, and how it stops one."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from mlp_xp.checkpoint import Saver, write_whole
from mlp_xp.errors import InputError
from mlp_xp.training import Callback, Run


class Metrics:
    """metrics.jsonl: a line of JSON for each record, in the file as soon as it is written."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, kind: str, **values: Any) -> None:
        """Add one record. Raises InputError if it can't be written."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"record": kind, **values}) + "\n")
        except OSError as error:
            raise InputError(f"{self.path}: can't be written: {error.strerror}") from error

    def rewind(self, epochs: int) -> None:
        """Take back the records of epochs after the first `epochs`, and of the test."""
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        lines = text.splitlines(keepends=True)
        write_whole(self.path, "".join(x for x in lines if _is_before(x, epochs)).encode())


def _is_before(line: str, epochs: int) -> bool:
    """Whether a line is a whole record, and one that a run after so many epochs has written."""
    try:
        record = json.loads(line)
        if not line.endswith("\n"):
            return False
        return record["record"] in ("start", "resume") or record["epoch"] <= epochs
    except (ValueError, LookupError, TypeError):
        return False


class Reporter(Callback):
    """One line an epoch on standard output and in the metrics; a bar where a terminal watches."""

    def __init__(self, run: Run, metrics: Metrics, *, quiet: bool):
        self.epochs = run.config.epochs
        self.metrics = metrics
        hidden = quiet or not sys.stderr.isatty()
        self.bar = tqdm(
            total=run.n_rows * self.epochs,
            initial=_rows(run),
            unit=" samples",
            unit_scale=True,
            disable=hidden,
            leave=False,
        )

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def on_segment(self, run: Run) -> None:
        """Move the bar."""
        self.bar.set_description(f"epoch {run.epoch}/{self.epochs}", refresh=False)
        self.bar.set_postfix_str(f"loss {run.loss:.4f}", refresh=False)
        self.bar.update(_rows(run) - self.bar.n)

    def on_epoch(self, run: Run) -> None:
        """Print and record the epoch."""
        epoch = run.history[-1]
        fields = [
            f"epoch {epoch.epoch}/{self.epochs}",
            f"loss {epoch.loss:.4f}",
            f"{epoch.seconds:.2f} s",
            f"{epoch.samples_per_second:,.0f} samples/s",
        ]
        if epoch.validation_loss is not None:
            fields.insert(2, f"validation loss {epoch.validation_loss:.4f}")
        if epoch.validation_accuracy is not None:
            fields.insert(3, f"validation accuracy {epoch.validation_accuracy:.2%}")
        self.bar.clear()
        print("  ".join(fields), flush=True)
        self.metrics.write("epoch", **epoch._asdict())


def _rows(run: Run) -> int:
    return len(run.history) * run.n_rows + run.rows


class Stopped(Exception):
    """A signal ended the run; its checkpoint is saved."""

    def __init__(self, signum: int):
        self.signum = signum


class Stop(Callback):
    """Within `with`: Ctrl-C or SIGTERM saves and stops, a Ctrl-C after that quits at once."""

    def __init__(self, saver: Saver):
        self.saver = saver
        self.signum = 0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        for signum in (signal.SIGINT, signal.SIGTERM):
            self.before[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self.before.items():
            signal.signal(signum, handler)

    def _note(self, signum: int, _: FrameType | None) -> None:
        # A second SIGTERM means no more than the first: some send it to the group as well.
        if self.signum and signum == signal.SIGINT:
            os._exit(128 + signum)
        self.signum = self.signum or signum

    def on_segment(self, run: Run) -> None:
        """Save and stop, if a signal came."""
        if self.signum:
            self.saver.save(run)
            raise Stopped(self.signum)
