"""What runs have come to, in plain data that can be compared, sorted and listed."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from mlp_xp.errors import InputError
from mlp_xp.files import is_locked
from mlp_xp.run_settings import RunSettings, read_settings
from mlp_xp.runs import RunFolder

Score: TypeAlias = tuple[str, float]
"""A figure of SCORES: its name and its value."""

SCORES = ("accuracy", "r2", "loss")
"""What stands for a result: the first of these that it has. Only of the last, less is better."""
NOT_COMPARED = ("data", "epochs", "checkpoint_every", "log", "notes")
"""Settings that are told in another way, or change nothing in what is trained."""
COLUMNS = (
    "name", "data", "state", "started", "device", "loss", "validation_loss", "validation_accuracy",
)  # fmt: skip
"""The fields that are columns as they are."""
DESCENDING = ("started", "validation_accuracy")
SHARES = {"test": "test_share", "validation": "validation_share"}
"""Other names of the settings that are named as results are."""


@dataclass(frozen=True)
class RunSummary:
    """What a run has come to. Figures that it doesn't have are None.

    data: the data set's name. state: `running`; `finished`, with a result; or `stopped`, by a
    signal, a kill or an error. started: the time, as ISO 8601 has it. epochs_done: of `epochs`.
    seconds: of the training alone. loss: in the last epoch. validation_loss: the lowest.
    validation_accuracy: the highest. result: the figures of the finished run, and the `split` that
    they are of. settings: what config.json holds.
    """

    name: str
    path: str
    data: str
    state: str
    started: str | None
    device: str | None
    epochs_done: int
    epochs: int
    seconds: float
    loss: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    result: dict[str, Any] | None
    settings: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """All fields, as JSON has them."""
        return asdict(self)

    @property
    def settings_by_column(self) -> dict[str, Any]:
        """The settings that runs are compared by, in order, by the names of their columns."""
        return {SHARES.get(k, k): v for k, v in self.settings.items() if k not in NOT_COMPARED}

    @property
    def columns(self) -> dict[str, Any]:
        """All that runs can be sorted by; `validation` and the split of the result are Scores."""
        scores = {"accuracy": self.validation_accuracy, "loss": self.validation_loss}
        result = self.result or {"split": "test"}
        return {
            **self.settings_by_column,
            **{name: getattr(self, name) for name in COLUMNS},
            "epochs": self.epochs_done,
            "validation": _score(scores),
            "test": None,
            result["split"]: _score(result),
            "time": self.seconds,
        }


def read_run(path: Path) -> RunSummary:
    """Sum up the run in a folder. Raises InputError if there is none, or a damaged one."""
    folder = RunFolder(path)
    settings = {**RunSettings().to_dict(), **read_settings(folder.config)}
    records = folder.records()
    try:
        summary = _sum_up(folder, settings, records)
        json.dumps(summary.to_dict(), allow_nan=False)
    except (
        LookupError, TypeError, ValueError, AttributeError, RecursionError, OverflowError
    ) as error:  # fmt: skip
        raise InputError(f"{path}: damaged run ({error!r})") from error
    return summary


def find_runs(folder: Path) -> list[Path]:
    """The runs right in a folder, or the folder itself if it is one, by their names.

    Raises InputError if the folder can't be read.
    """
    try:
        if _is_run(folder):
            return [folder]
        return [folder / name for name in sorted(os.listdir(folder)) if _is_run(folder / name)]
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}; give a folder with runs") from error


def differing(runs: Sequence[RunSummary]) -> list[str]:
    """The columns of the settings that aren't the same in all runs."""
    every = [run.settings_by_column for run in runs]
    names = dict.fromkeys(name for settings in every for name in settings)
    return [name for name in names if any(s.get(name) != every[0].get(name) for s in every)]


def column_names() -> list[str]:
    """All columns that a new run has."""
    return list(_sum_up(RunFolder(Path()), RunSettings().to_dict(), []).columns)


def sort_runs(runs: Sequence[RunSummary], column: str) -> list[RunSummary]:
    """The runs in order of one of their columns: the best score, the newest, the least first.

    Runs that have nothing there come last. Raises InputError if none of them has the column.
    """
    if not any(column in run.columns for run in runs):
        names = dict.fromkeys(name for run in runs for name in run.columns)
        raise InputError(f"no column '{column}' to sort by; there are {', '.join(sorted(names))}")
    ranks = [_rank(run.columns.get(column), column) for run in runs]
    last = (math.inf,)
    order = sorted(range(len(runs)), key=lambda i: ranks[i] or last)
    return [runs[i] for i in order]


def duration(seconds: float) -> str:
    """A time as people say it."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
    )


def _is_run(path: Path) -> bool:
    folder = RunFolder(path)
    # A pipe of that name would be waited for.
    return os.path.isfile(folder.config) and os.path.isfile(folder.metrics)


def _sum_up(
    folder: RunFolder, settings: dict[str, Any], records: Sequence[Mapping[str, Any]]
) -> RunSummary:
    """Raises one of the errors that read_run() expects for what no run writes."""
    starts = [record for record in records if record["record"] in ("start", "resume")]
    epochs = [record for record in records if record["record"] == "epoch"]
    result = None
    if records and records[-1]["record"] not in ("start", "resume", "epoch"):
        result = {k: v for k, v in records[-1].items() if k != "record"}
        result["split"] = records[-1]["record"]
        for name in SCORES:
            _numbers([result], name)  # checks it
    losses = _numbers(epochs, "loss")
    return RunSummary(
        name=folder.path.resolve().name,
        path=str(folder.path),
        data=str(starts[0]["data"]["name"] if starts else Path(settings["data"]).stem),
        state="running" if is_locked(folder.lock) else "finished" if result else "stopped",
        started=str(starts[0]["time"]) if starts else None,
        device=str(starts[-1]["device"]["used"]) if starts else None,
        epochs_done=len(epochs),
        epochs=int(settings["epochs"]),
        seconds=sum(_numbers(epochs, "seconds")),
        loss=losses[-1] if losses else None,
        validation_loss=min(_numbers(epochs, "validation_loss"), default=None),
        validation_accuracy=max(_numbers(epochs, "validation_accuracy"), default=None),
        result=result,
        settings=settings,
    )


def _numbers(records: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """The numbers of this name in the records that have one.

    Raises TypeError for other values, OverflowError for a number that no float can be.
    """
    values = [value for record in records if (value := record.get(name)) is not None]
    for value in values:
        if type(value) not in (int, float):
            raise TypeError(f"{name} is {value!r}")
        float(value)
    return values


def _score(figures: Mapping[str, Any]) -> Score | None:
    return next(((n, figures[n]) for n in SCORES if figures.get(n) is not None), None)


def _rank(value: Any, column: str) -> tuple[Any, ...] | None:
    """What comes first has the lowest rank: numbers, then texts. None has none."""
    if value is None:
        return None
    if isinstance(value, tuple):
        name, score = value
        return SCORES.index(name), score if name == "loss" else -score
    if column == "started":
        value = _seconds(value)
    if isinstance(value, int | float):
        return 0, -value if column in DESCENDING else value
    return 1, str(value)


def _seconds(time: str) -> float:
    try:
        return datetime.fromisoformat(time).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
