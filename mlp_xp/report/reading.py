"""A run, read for a report: every part is worked out when it is first asked for."""

from __future__ import annotations

import math
import shlex
import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mlp_xp.data import Dataset, Split
from mlp_xp.devices import get_device
from mlp_xp.errors import InputError, TrainingWarning
from mlp_xp.report.answers import calibrate, find_answers
from mlp_xp.report.findings import (
    Answer,
    Calibration,
    ColumnUse,
    Curves,
    Histogram,
    Numbers,
    UnitPictures,
)
from mlp_xp.report.inputs import find_columns, find_units, picture_of
from mlp_xp.report.inside import activation_histograms, weight_histograms
from mlp_xp.run_data import load_run_data
from mlp_xp.run_list import RunSummary, read_run
from mlp_xp.runs import RunFolder
from mlp_xp.schema import Picture
from mlp_xp.training import Evaluation, Model, evaluate, load_model, predict
from mlp_xp.types import HostArray

MOST_ROWS = 20_000
"""Rows whose single answers are looked at; more are drawn from, by SEED."""
SEED = 0

UNITS = {"multiclass": "nats", "multilabel": "nats", "regression": "squared error"}
"""What the loss of each of the package's objectives is measured in."""
OBJECTS = ("versions", "device", "data", "baseline")
NUMBERS = (
    "epoch", "loss", "validation_loss", "validation_accuracy", "learning_rate", "rows", "rmse",
    "mae", "exact_match",
)  # fmt: skip
OF_BASELINE = ("accuracy", "rmse")
"""What the records of a run hold, where they do."""


def check_records(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Raise InputError unless the metrics hold what a run writes there, as far as it is shown."""
    for number, record in enumerate(records, start=1):
        objects = {name: record.get(name) for name in OBJECTS}
        wrong = [name for name, value in objects.items() if not isinstance(value, dict | None)]
        base = {} if "baseline" in wrong else objects["baseline"] or {}
        values = [*((n, record.get(n)) for n in NUMBERS), *((n, base.get(n)) for n in OF_BASELINE)]
        wrong += [name for name, value in values if not _is_number(value)]
        lists = {name: value for name, value in record.items() if isinstance(value, list)}
        wrong += [name for name, value in lists.items() if not all(map(_is_number, value))]
        if record["record"] == "epoch" and not isinstance(record.get("epoch"), int):
            wrong.append("epoch")
        if isinstance(base.get("answer"), int) and base["answer"] < 0:
            wrong.append("baseline")
        if wrong:
            raise InputError(f"{path}: damaged run: {wrong[0]} in line {number} of its metrics")


def _is_number(value: Any) -> bool:
    """Whether it is None, or a number that a float can be."""
    return value is None or (
        isinstance(value, int | float) and not sys.float_info.max < abs(value) < math.inf
    )


class Rows:
    """Rows that the model wasn't trained on, and what it says of each.

    name: of their split. numbers (N,): of the rows in the data, from 0; X (N, n) and y: theirs;
    predictions (N, K): as predict() gives them. of: how many rows the split has.
    """

    def __init__(self, name: str, split: Split, model: Model):
        self.name, self.of = name, len(split)
        chosen = np.arange(len(split))
        if len(split) > MOST_ROWS:
            rng = np.random.default_rng(SEED)
            chosen = np.sort(rng.choice(len(split), MOST_ROWS, replace=False))
        part = split.subset(chosen)
        self.numbers = chosen if part.rows is None else part.rows
        self.X, self.y, _ = part.take(0, len(part))
        self.predictions: HostArray = predict(model, self.X)


def read_runs(paths: Sequence[Path], moved_to: str | None = None) -> list[ReportRun]:
    """Runs with names by which they can be told apart: their paths, where folders' names can't."""
    runs = [ReportRun(path, moved_to) for path in paths]
    names = [run.name for run in runs]
    for run in runs:
        if names.count(run.name) > 1:
            run.name = str(run.path)
    return runs


class ReportRun:
    """What a report tells of one run.

    Parts that need the model are None, or empty, where the run has none yet; those that need the
    data, where it can't be read: `missing` says why. moved_to: where the data is, if it has moved.
    name: of its folder. Raises InputError if the folder holds no run, or a damaged one.
    """

    def __init__(self, path: Path, moved_to: str | None = None):
        self.path, self.moved_to = path, moved_to
        self.folder = RunFolder(path)
        if not path.is_dir():
            raise InputError(f"{path}: no such folder; give that of a run")
        if not self.folder.config.is_file():
            raise InputError(
                f"{path}: no run is in there: it has no {self.folder.config.name}; give the folder "
                "of a run"
            )
        self.summary: RunSummary = read_run(path)
        self.name = self.summary.name
        self.records: list[dict[str, Any]] = self.folder.records()
        check_records(self.records, path)
        notes = self.summary.settings.get("notes")
        if not isinstance(notes, list | None):
            raise InputError(f"{path}: damaged run: its notes are {notes!r}")
        self.missing: list[str] = []
        if not self.folder.model.exists():
            self.missing.append(self.unfinished)
        elif self.summary.state != "finished":
            self.missing.append(
                f"the run is {self.summary.state}: its curves go on to its last epoch, all else is "
                "of the model in its folder, which may be that of an earlier end"
            )

    @property
    def unfinished(self) -> str:
        """Why a run has no model yet, and what to do."""
        done = f"{self.summary.epochs_done} of {self.summary.epochs} epochs"
        if self.summary.state == "running":
            return f"the run still goes on, with {done} done, so it has no model yet"
        command = shlex.join(["python", "-m", "mlp_xp", "train", "--resume", str(self.path)])
        return (
            f"the run was stopped after {done}, so it has no model yet; continue it with: {command}"
        )

    @cached_property
    def model(self) -> Model | None:
        """The trained model, on the CPU. Raises InputError if it is damaged."""
        return load_model(self.path, get_device("cpu")) if self.folder.model.exists() else None

    @cached_property
    def data(self) -> Dataset | None:
        """The data of the run. That it can't be read is a warning, and in `missing`."""
        if self.model is None:
            return None
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                data = load_run_data(self.folder, self.model, moved_to=self.moved_to)
            for warning in caught:  # that the data has changed, above all
                self.missing.append(f"a warning: {warning.message}")
                warnings.warn(f"{self.path}: {warning.message}", warning.category, stacklevel=2)
            return data
        except InputError as error:
            if self.moved_to is not None:
                raise
            self.missing.append(f"the data can't be read ({error}): what needs it is left out")
            warnings.warn(f"{self.path}: {self.missing[-1]}", TrainingWarning, stacklevel=2)
            return None

    @cached_property
    def rows(self) -> Rows | None:
        """The rows that the run was evaluated on, or some of them."""
        if self.model is None or self.data is None:
            return None
        name, split = self.data.evaluation_split
        return Rows(name, split, self.model)

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """All figures, over all rows of the split."""
        if self.model is None or self.data is None:
            return None
        return evaluate(self.model, self.data.evaluation_split[1])

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the outputs; none without a model. Numbers are `target 0` and so on."""
        if self.model is None:
            return ()
        names = self.model.output_names
        of_numbers = self.model.objective.chosen(np.zeros((1, len(names)))) is None
        unnamed = self.model.schema.output_names is None
        return tuple(f"target {name}" for name in names) if of_numbers and unnamed else names

    @cached_property
    def curves(self) -> Curves:
        """The epochs, with the epoch that early stopping kept."""
        epochs = [record for record in self.records if record["record"] == "epoch"]
        validation = [record.get("validation_loss") for record in epochs]
        kept = None
        if self.summary.settings.get("patience") is not None and any(
            value is not None for value in validation
        ):
            losses = [math.inf if loss is None else loss for loss in validation]
            kept = int(epochs[int(np.argmin(losses))]["epoch"])
        return Curves(
            self.name,
            [int(record["epoch"]) for record in epochs],
            [math.nan if record.get("loss") is None else record["loss"] for record in epochs],
            validation,
            [record.get("validation_accuracy") for record in epochs],
            [record.get("learning_rate") for record in epochs],
            UNITS.get(str(self.summary.settings["objective"]), "in its own units"),
            kept,
        )

    @cached_property
    def picture(self) -> Picture | None:
        """The size of the pictures that the model takes, if it takes any."""
        return None if self.model is None else picture_of(self.model)

    @cached_property
    def calibration(self) -> Calibration | None:
        """How sure the model may be; None for numbers."""
        if self.model is None or self.rows is None:
            return None
        return calibrate(self.model.objective, self.rows.predictions, self.rows.y)

    @cached_property
    def _answers(self) -> tuple[list[Answer], list[Answer]]:
        model, rows = self.model, self.rows
        if model is None or rows is None:
            return [], []
        std = rows.y.std(axis=0) if rows.y.ndim == 2 else np.ones(1)
        return find_answers(
            model.objective, self.names, rows.X, rows.y, rows.predictions, rows.numbers, std
        )

    @property
    def mistakes(self) -> list[Answer]:
        """The answers that are wrong, the surest first; of numbers, the largest errors."""
        return self._answers[0]

    @property
    def hardest_right(self) -> list[Answer]:
        """The answers that are right, the least sure first."""
        return self._answers[1]

    @cached_property
    def units(self) -> UnitPictures | None:
        """What the first layer's units look for, where the model takes pictures."""
        if self.model is None or self.picture is None:
            return None
        return find_units(self.model, self.picture)

    @cached_property
    def columns(self) -> ColumnUse | None:
        """How much the model uses each column, where it doesn't take pictures."""
        if self.model is None or self.picture is not None or self.rows is None:
            return None
        return find_columns(self.model, self.rows.X, self.rows.y)

    @cached_property
    def numbers(self) -> Numbers | None:
        """Targets and predictions, where the model predicts numbers."""
        model, rows = self.model, self.rows
        if model is None or rows is None or model.objective.chosen(rows.predictions) is not None:
            return None
        given = rows.predictions.astype(np.float64)
        return Numbers(list(self.names), rows.y.astype(np.float64), given)

    @cached_property
    def weight_histograms(self) -> list[Histogram]:
        """The weights of each layer."""
        return [] if self.model is None else weight_histograms(self.model)

    @cached_property
    def activation_histograms(self) -> list[Histogram]:
        """The activations of each hidden layer on some of the rows."""
        if self.model is None or self.rows is None:
            return []
        return activation_histograms(self.model, self.rows.X)
