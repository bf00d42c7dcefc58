"""The folder of a run: its settings, its metrics, its checkpoint and its model."""

from __future__ import annotations

import itertools
import json
import math
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mlp_xp import __version__
from mlp_xp.devices import device_errors
from mlp_xp.errors import DeviceError, DivergenceError, InputError
from mlp_xp.files import append, exclusive, remove_temporary, write_atomic
from mlp_xp.run_settings import RunSettings, read_settings
from mlp_xp.training import (
    Callback,
    Evaluation,
    Trainer,
    evaluate,
    load_checkpoint,
    save_model,
)
from mlp_xp.training.early_stopping import check_weights
from mlp_xp.training.logs import LOGS, Log
from mlp_xp.training.model_file import MODEL
from mlp_xp.versions import blas


class RunFolder:
    """Everything that one run leaves on the disk, and its one writer.

    config: RunSettings; read_settings() reads them back. metrics: one JSON object a line, whose
    "record" is `start`, `resume`, `epoch`, or the name of the split that the model was evaluated
    on. csv: the epochs as a table, if that is wanted. checkpoint: where the run can be continued,
    or extended once it is finished. model: the result of a finished run. start: the model that the
    run began with, if it did with one. Whoever writes to the folder does so within create() or
    reopen().
    """

    def __init__(self, path: Path):
        self.path = path
        self.config = path / "config.json"
        self.metrics = path / "metrics.jsonl"
        self.csv = path / "metrics.csv"
        self.checkpoint = path / "checkpoint.safetensors"
        self.model = path / MODEL
        self.start = path / "start.safetensors"
        self.lock = path / ".lock"

    @classmethod
    @contextmanager
    def create(cls, out: Path | None, data_name: str, settings: RunSettings) -> Iterator[RunFolder]:
        """A new run's folder with its settings: `out`, or else `runs/<data_name>-<time>`.

        Runs that start in the same second get numbered folders. Raises InputError if `out` already
        holds a run, or if the folder can't be created.
        """
        path = out or Path("runs") / f"{data_name}-{time.strftime('%Y%m%d-%H%M%S')}"
        folder = cls(path)
        if out is not None:
            folder._check_unused()
        try:
            if out is None:
                folder = cls(_create_numbered(path))
            else:
                path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{path}: can't be created: {error.strerror}; use another --out"
            ) from error
        with exclusive(folder.lock):
            folder._check_unused()  # by another process, since
            remove_temporary(folder.path)
            folder.write_settings(settings)
            yield folder

    @contextmanager
    def reopen(self) -> Iterator[RunFolder]:
        """The folder of a run to continue. Raises InputError if there is none, or it is in use."""
        if not self.config.exists():
            raise InputError(f"{self.path}: no run is in there: it has no {self.config.name}")
        with exclusive(self.lock):
            remove_temporary(self.path)
            yield self

    def _check_unused(self) -> None:
        for file in (self.model, self.metrics, self.csv, self.config, self.checkpoint, self.start):
            if file.exists():
                raise InputError(
                    f"{self.path}: already holds a run ({file.name}); use another folder"
                )

    def read_settings(self) -> RunSettings:
        """The settings that the run was created with. Raises InputError if they can't be used."""
        return RunSettings.from_dict(read_settings(self.config))

    def write_settings(self, settings: RunSettings) -> None:
        """Write config.json. Raises InputError if it can't be written."""
        write_atomic(self.config, (json.dumps(settings.to_dict(), indent=2) + "\n").encode())

    def restore(self, trainer: Trainer) -> str | None:
        """Load the checkpoint, if there is one, into a new trainer.

        The trainer's settings may have other epochs and another patience: then the run is extended.
        Returns the device that the run was on, or None if there is no checkpoint yet. Raises
        InputError, naming the difference, if the checkpoint doesn't fit the trainer, and if there
        is nothing left to do.
        """
        there = self.checkpoint.exists()
        difference = trainer.team.difference(lambda: {"checkpoint, which not all have": there})
        if difference is not None:
            raise InputError(f"{self.path}: {difference}; they need the same folder")
        if not there:
            if self.model.exists():
                raise InputError(
                    f"{self.path}: this run is finished; its model is {self.model}, and without "
                    f"{self.checkpoint.name} it can't be extended"
                )
            return None
        device = load_checkpoint(trainer, self.checkpoint, extend=True)
        # Without its result, a run was killed while it finished; a model may be of fewer epochs.
        if trainer.finished and self.model.exists() and self._has_result():
            done, config = len(trainer.history), trainer.config
            more = [f"--epochs above {done}"] if done >= config.epochs else []
            if trainer.early_stopping.is_due(done):
                more += [f"--patience above {done - trainer.early_stopping.best_epoch}"]
            raise InputError(
                f"{self.path}: this run is finished; its model is {self.model}. It can be extended "
                f"with {' and '.join(more)}"
            )
        return device

    def logs(self, names: Sequence[str]) -> list[Log]:
        """The logs of these names in the folder. Raises InputError for one that isn't installed."""
        paths = {"csv": self.csv, "tensorboard": self.path}
        return [LOGS[name](paths[name]) for name in names]

    def finish(self, trainer: Trainer, logs: Sequence[Log] = ()) -> tuple[str, Evaluation]:
        """Save the model of a finished training, then evaluate it.

        Returns the name of the split that it was evaluated on, and the result, which the logs get
        too. Its record in the metrics comes last, and says that the run is finished. Raises
        InputError if the weights or the loss aren't finite, DeviceError if the evaluation fails.
        """
        name, split = trainer.data.evaluation_split
        check_weights(trainer.network, len(trainer.history), trainer.config)
        save_model(trainer.network, self.model)
        try:
            with device_errors():
                result = evaluate(trainer.network, split)
        except (DeviceError, DivergenceError) as error:
            raise type(error)(f"{name} data: {error}. The model is saved: {self.model}") from error
        if not math.isfinite(result.loss):
            raise InputError(
                f"the loss on the {name} data is {result.loss} after the last step: "
                f"lower --lr ({trainer.config.lr})"
            )
        for log in logs:
            log.on_result(trainer, name, result)
        self.log(name, **{"accuracy": None, **result.to_dict()})
        return name, result

    def _has_result(self) -> bool:
        """Whether the metrics end with the record of an evaluation."""
        try:
            *_, last = self.metrics.read_text(encoding="utf-8", errors="replace").splitlines()
            return "accuracy" in json.loads(last)
        except (OSError, ValueError, TypeError, RecursionError):
            return False

    def log(self, record: str, **values: Any) -> None:
        """Append a record to the metrics, with null for a number that isn't finite.

        Raises InputError if the file can't be written.
        """
        finite = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }
        line = json.dumps({"record": record, **finite}, allow_nan=False)
        append(self.metrics, f"{line}\n".encode())

    def log_start(self, trainer: Trainer, *, resumed: bool) -> None:
        """Append the record `start` or `resume`: versions, device, data, settings and progress."""
        data, device = trainer.data, trainer.network.device
        self.log(
            "resume" if resumed else "start",
            time=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            versions={
                "mlp_xp": __version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "blas": blas(),
            },
            device={
                "requested": device.requested,
                "used": device.name,
                "workers": getattr(trainer.train_step, "size", 1),
                "ranks": trainer.team.size,
                "fallback_reason": device.fallback_reason,
            },
            data={
                "name": data.name,
                "train_rows": trainer.n_rows,
                "test_rows": len(data.test) if data.test else 0,
                "features": data.n_features,
                "outputs": data.n_outputs,
                "notes": list(data.notes),
            },
            config=trainer.config.to_dict(),
            rows_done=trainer.rows,
            epochs_done=len(trainer.history),
        )

    def records(self) -> list[dict[str, Any]]:
        """The metrics. A last line that isn't whole, as a kill may leave it, is left out.

        Raises InputError if they can't be read, and for a line that is no record.
        """
        try:
            *lines, _ = self.metrics.read_text(encoding="utf-8").split("\n")
        except OSError as error:
            raise InputError(f"{self.metrics}: can't be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{self.metrics}: is no text ({error.reason})") from error
        records = []
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
                if not isinstance(record["record"], str):
                    raise TypeError
            except (ValueError, LookupError, TypeError, RecursionError) as error:
                raise InputError(f"{self.metrics}: line {number} is no record") from error
            records.append(record)
        return records

    def rewind_metrics(self, epochs: int) -> None:
        """Remove the records after the first `epochs` epochs, except `start` and `resume`."""
        try:
            text = self.metrics.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        lines = [line for line in text.splitlines(keepends=True) if _is_within(line, epochs)]
        write_atomic(self.metrics, "".join(lines).encode())


class MetricsLogger(Callback):
    """Appends a record of each epoch to a run's metrics."""

    def __init__(self, folder: RunFolder):
        self.folder = folder

    def on_epoch(self, trainer: Trainer) -> None:
        """Append the last epoch."""
        self.folder.log("epoch", **trainer.history[-1]._asdict())


def _create_numbered(wanted: Path) -> Path:
    """Create a folder of that name, or with the first free number from 2 on after it."""
    path = wanted
    for number in itertools.count(2):
        try:
            path.mkdir(parents=True)
            break
        except FileExistsError:
            path = wanted.with_name(f"{wanted.name}_{number}")
    return path


def _is_within(line: str, epochs: int) -> bool:
    """Whether a line is a complete record of a start, or of one of the first `epochs` epochs."""
    if not line.endswith("\n"):
        return False
    try:
        record = json.loads(line)
        return record["record"] in ("start", "resume") or record["epoch"] <= epochs
    except (ValueError, LookupError, TypeError, RecursionError):
        return False
