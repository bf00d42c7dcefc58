"""The folder of a run: its settings, its metrics, its checkpoint and its model."""

from __future__ import annotations

import itertools
import json
import math
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from mlp_xp import __version__
from mlp_xp.data import DataSource
from mlp_xp.errors import InputError
from mlp_xp.files import remove, write_atomic
from mlp_xp.training import (
    Callback,
    Config,
    Evaluation,
    Trainer,
    evaluate,
    load_checkpoint,
    save_model,
)
from mlp_xp.training.checkpoint import MODEL


def read_settings(path: Path) -> dict[str, Any]:
    """The content of a settings file, such as a run's config.json, for parse_settings().

    Raises InputError, naming the file, if it can't be read or isn't a JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: not a settings file; it must hold a JSON object")
    return values


def parse_settings(values: Mapping[str, Any]) -> tuple[DataSource, Config]:
    """Where the data is, and the Config, from the fields of both; missing ones get their default.

    Raises InputError for an unknown setting and for a value out of range.
    """
    names = [field.name for field in fields(DataSource)]
    source = {name: values[name] for name in names if name in values}
    for name, value in source.items():
        if not (isinstance(value, str) or (value is None and name != "data")):
            raise InputError(f"{name} is {value!r}; it must be a string")
    config = Config.from_dict({k: v for k, v in values.items() if k not in names})
    return DataSource(**source), config


class RunFolder:
    """Everything that one run leaves on the disk.

    config: the settings, and where the data is; read_settings() reads them back.
    metrics: one JSON object a line, whose "record" is `start`, `resume`, `epoch`, or the name of
    the split that the model was evaluated on.
    checkpoint: where an unfinished run can be resumed. model: the result of a finished one.
    """

    def __init__(self, path: Path):
        self.path = path
        self.config = path / "config.json"
        self.metrics = path / "metrics.jsonl"
        self.checkpoint = path / "checkpoint.safetensors"
        self.model = path / MODEL

    @classmethod
    def create(
        cls, out: Path | None, data_name: str, source: DataSource, config: Config
    ) -> RunFolder:
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
        values = {**asdict(source.absolute()), **config.to_dict()}
        write_atomic(folder.config, (json.dumps(values, indent=2) + "\n").encode())
        return folder

    def _check_unused(self) -> None:
        for file in (self.model, self.metrics, self.config, self.checkpoint):
            if file.exists():
                raise InputError(
                    f"{self.path}: already holds a run ({file.name}); use another folder"
                )

    def read_settings(self) -> tuple[DataSource, Config]:
        """The settings that the run was created with. Raises InputError if they can't be used."""
        return parse_settings(read_settings(self.config))

    def check_unfinished(self) -> None:
        """Raise InputError if the run is finished, so that there is nothing to resume."""
        # A run that was killed while it finished has both files, and can be resumed.
        if self.model.exists() and not self.checkpoint.exists():
            raise InputError(f"{self.path}: this run is finished; its model is {self.model}")

    def restore(self, trainer: Trainer) -> str | None:
        """Load the checkpoint, if there is one, into a new trainer.

        Returns the device that the run was on, or None if there is no checkpoint yet. Raises
        InputError, naming the difference, if the checkpoint doesn't fit the trainer.
        """
        return load_checkpoint(trainer, self.checkpoint) if self.checkpoint.exists() else None

    def finish(self, trainer: Trainer) -> tuple[str, Evaluation]:
        """Evaluate and save the model of a finished training, and remove the checkpoint.

        Returns the name of the split that it was evaluated on, and the result. The checkpoint goes
        last, so that a run which is killed in between can be resumed. Raises InputError if the loss
        isn't finite.
        """
        name, split = trainer.data.evaluation_split
        result = evaluate(trainer.network, split)
        if not math.isfinite(result.loss):
            raise InputError(
                f"the loss on the {name} data is {result.loss} after the last step: "
                f"lower --lr ({trainer.config.lr})"
            )
        save_model(trainer.network, self.model)
        self.log(name, accuracy=result.accuracy, loss=result.loss)
        remove(self.checkpoint)
        return name, result

    def log(self, record: str, **values: Any) -> None:
        """Append a record to the metrics. Raises InputError if the file can't be written."""
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"record": record, **values}) + "\n")
        except OSError as error:
            raise InputError(f"{self.metrics}: can't be written: {error.strerror}") from error

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
            },
            device={
                "requested": device.requested,
                "used": device.name,
                "fallback_reason": device.fallback_reason,
            },
            data={
                "name": data.name,
                "train_rows": trainer.n_rows,
                "test_rows": len(data.test) if data.test else 0,
                "features": data.n_features,
                "outputs": data.n_outputs,
            },
            config=trainer.config.to_dict(),
            rows_done=trainer.rows,
            epochs_done=len(trainer.history),
        )

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
    except (ValueError, LookupError, TypeError):
        return False
