"""Logs of a training for other programs: a table, and the event files that TensorBoard reads."""

from __future__ import annotations

import csv
import io
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlp_xp.errors import InputError
from mlp_xp.files import append, write_atomic
from mlp_xp.training.callbacks import Callback
from mlp_xp.training.history import Epoch
from mlp_xp.training.metrics import Evaluation

if TYPE_CHECKING:
    from mlp_xp.training.trainer import Trainer

TAGS = {
    "loss": "loss/train",
    "validation_loss": "loss/validation",
    "validation_accuracy": "accuracy/validation",
    "learning_rate": "learning_rate",
    "seconds": "seconds",
    "samples_per_second": "samples_per_second",
}
"""What TensorBoard calls the fields of Epoch."""


class Log(Callback):
    """A callback that writes to a path, and takes the result of a finished run too."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @classmethod
    def check(cls) -> None:
        """Raise InputError if a package that it needs isn't installed."""

    def on_result(self, trainer: Trainer, name: str, result: Evaluation) -> None:
        """Called once a run is finished, with its evaluation on the split of that name."""


class CsvLogger(Log):
    """Writes a table in CSV with a row for each epoch, whose columns are the fields of Epoch.

    The file holds the trainer's whole history, and nothing else: that of a training that is resumed
    too, and whatever was in there before. What an epoch doesn't have is an empty cell. Raises
    InputError if the file can't be written, which then ends with the last epoch that could.
    """

    def __init__(self, path: str | Path):
        super().__init__(path)
        self._rows: int | None = None

    def on_epoch(self, trainer: Trainer) -> None:
        """Append the last epoch; at first, write all of them."""
        history = trainer.history
        if self._rows == len(history) - 1:
            append(self.path, _table(history[-1:]))
        else:
            write_atomic(self.path, _table([Epoch._fields, *history]))
        self._rows = len(history)

    def on_result(self, trainer: Trainer, name: str, result: Evaluation) -> None:
        """Write the epochs if none was left to do."""
        if self._rows is None:
            self.on_epoch(trainer)


class TensorBoardLogger(Log):
    """Writes event files for TensorBoard into a folder: a step is an epoch, counted from 1.

    The tags are those of TAGS; on_result() adds the figures on a test set, as in `accuracy/test`.
    The settings are the hyperparameters. The folder is made if there is none. A training that is
    resumed writes a new file, and has TensorBoard hide those epochs in older files that are done
    again. If the older files lack any of the epochs before, as after a time without this log, the
    new one has them all, in place of everything in those.

    Raises InputError if tensorboardX isn't installed, or if a file can't be written.
    """

    def __init__(self, path: str | Path):
        super().__init__(path)
        self.check()
        self._file: Path | None = None
        self._done = 0

    @classmethod
    def check(cls) -> None:
        """Raise InputError unless tensorboardX is installed."""
        # Its SummaryWriter isn't used: the thread in which that writes loses what is in its queue
        # when the process is killed, and training waits for it forever when a disk is full.
        try:
            import tensorboardX.proto.event_pb2
            import tensorboardX.record_writer
            import tensorboardX.summary  # noqa: F401
        except ImportError as error:
            raise InputError(
                "TensorBoard's files need tensorboardX: pip install '.[tensorboard]' in the clone"
            ) from error

    def on_epoch(self, trainer: Trainer) -> None:
        """Write the last epoch."""
        done = len(trainer.history)
        if self._file is None or done != self._done + 1:
            self._begin(trainer, done - 1)
        self._append(_epoch_event(trainer.history[-1]))
        self._done = done

    def on_result(self, trainer: Trainer, name: str, result: Evaluation) -> None:
        """Write the figures on the test set, if there is one, at the last epoch."""
        if not trainer.data.test:
            return
        done = len(trainer.history)
        if self._file is None:
            self._begin(trainer, done)
        figures = {f"{k}/{name}": v for k, v in result.to_dict().items() if isinstance(v, float)}
        self._append(_scalars(done, figures))

    def _begin(self, trainer: Trainer, done: int) -> None:
        """Begin a new file, in which the epochs after the first `done` will be."""
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.summary import hparams

        before = trainer.history[:done]
        if {epoch.epoch for epoch in before} <= _epochs_in(self.path):
            before = []
        first = 1 if before else done + 1
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path}: can't be created: {error.strerror}") from error
        # TensorBoard reads the files of a folder in the order of their names.
        place = f"{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        file = self.path / f"events.out.tfevents.{place}"
        _, settings, _ = hparams({"data": trainer.data.name, **_settings(trainer)}, {})
        start = [
            Event(file_version="brain.Event:2"),
            Event(step=first, session_log=SessionLog(status=SessionLog.START)),
            Event(summary=settings),
            *map(_epoch_event, before),
        ]
        write_atomic(file, b"".join(map(_record, start)))
        self._file = file

    def _append(self, event: Any) -> None:
        assert self._file is not None
        append(self._file, _record(event))


LOGS: dict[str, type[Log]] = {"csv": CsvLogger, "tensorboard": TensorBoardLogger}
"""The logs of a run by their names on the command line."""


def _table(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _settings(trainer: Trainer) -> dict[str, Any]:
    """The settings as TensorBoard can have them: lists as texts."""
    return {
        name: ",".join(map(str, value)) if isinstance(value, list) else value
        for name, value in trainer.config.to_dict().items()
    }


def _epoch_event(epoch: Epoch) -> Any:
    figures = {TAGS[name]: value for name, value in epoch._asdict().items() if name in TAGS}
    return _scalars(epoch.epoch, figures)


def _scalars(step: int, figures: Mapping[str, float | None]) -> Any:
    """An event of numbers by their tags; None has none."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    values = [Summary.Value(tag=t, simple_value=v) for t, v in figures.items() if v is not None]
    return Event(step=step, summary=Summary(value=values))


def _epochs_in(folder: Path) -> set[int]:
    """The epochs that TensorBoard shows of the folder's event files."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    epochs: set[int] = set()
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for record in _records(path):
            event = Event.FromString(record)
            if event.session_log.status == SessionLog.START:
                epochs = {epoch for epoch in epochs if epoch < event.step}
            if any(value.tag == TAGS["loss"] for value in event.summary.value):
                epochs.add(event.step)
    return epochs


def _records(path: Path) -> Iterator[bytes]:
    """The data of each record in an event file, up to the first that is damaged, if one is."""
    from tensorboardX.record_writer import masked_crc32c

    content = path.read_bytes() if path.is_file() else b""
    start = 0
    while start < len(content):
        end = start + 12 + int.from_bytes(content[start : start + 8], "little")
        data = content[start + 12 : end]
        if content[end : end + 4] != struct.pack("<I", masked_crc32c(data)):
            return
        yield data
        start = end + 4


def _record(event: Any) -> bytes:
    """An event, at this time, as it stands in a file: TFRecord's length, data and checksums."""
    from tensorboardX.record_writer import masked_crc32c

    event.wall_time = time.time()
    data: bytes = event.SerializeToString()
    length = struct.pack("<Q", len(data))
    checks = [struct.pack("<I", masked_crc32c(part)) for part in (length, data)]
    return length + checks[0] + data + checks[1]
