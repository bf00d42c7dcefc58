"""The labels of a data set: what they are, and the targets that they become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data.checks import MAX_CLASSES, find_objective
from mlp_xp.data.classes import NUMBER, WHOLE, ClassCodes
from mlp_xp.data.raw import listed
from mlp_xp.data.values import Numbers, Texts, Values, as_texts, first_odd
from mlp_xp.errors import InputError
from mlp_xp.types import HostArray

FEW_CLASSES = 20
"""Whole numbers of at most so many values are always taken for classes."""
ALL_DIFFERENT = 20
"""From so many rows on, labels that are all different are no accident."""
YES_NO = {"yes": 1.0, "no": 0.0, "true": 1.0, "false": 0.0}
ROWS_A_CLASS = 10
"""Of more values, whole numbers are classes where each has so many rows on average."""


class Labels(NamedTuple):
    """The targets of a data set: y as a Split holds it, and what it stands for."""

    y: HostArray
    output_names: tuple[str, ...] | None
    label: str | None
    objective: str
    note: str


class LabelBuilder:
    """Takes the labels of a table block by block, and finds out what they are.

    names: of the columns. source: the table, in messages. objective: a key of OBJECTIVES, or None
    to recognize it: several columns of 0 and 1 are `multilabel`, other ones `regression`; of one
    column see recognize().
    """

    def __init__(self, names: Sequence[str], source: str, objective: str | None):
        self.names, self.source, self.objective = list(names), source, objective
        self.codes, self.blocks, self.n_rows = ClassCodes(), [], 0  # type: ignore[var-annotated]
        if objective is not None and find_objective(objective).single_label and len(names) > 1:
            raise InputError(
                f"{source}: a row has one class, and --label names {len(names)} columns"
            )

    def texts(self, places: Sequence[int]) -> set[int]:
        """Which of the places of its columns are to be read as texts."""
        return set(places) if self.as_texts else set()

    @property
    def as_texts(self) -> bool:
        """Whether the labels are to be read as texts, which may be classes."""
        if self.objective is None:
            return len(self.names) == 1
        return find_objective(self.objective).single_label

    @property
    def where(self) -> str:
        """How messages about a single column start."""
        return f"{self.source}: column {self.names[0]!r}"

    def add(self, values: Sequence[Values], place: Callable[[int], str]) -> None:
        """The next block: the values of each column. place(row) says where a row is."""
        if self.as_texts:
            self.blocks.append(self._add_texts(values[0], place))
        else:
            columns = [
                self._numbers(part, name, place)
                for part, name in zip(values, self.names, strict=True)
            ]
            self.blocks.append(np.stack(columns, axis=1))
        self.n_rows += len(self.blocks[-1])

    def _add_texts(self, part: Values, place: Callable[[int], str]) -> NDArray[np.int64]:
        texts = part if isinstance(part, Texts) else as_texts(part)
        missing = np.flatnonzero(texts.codes < 0)
        if len(missing):
            raise InputError(
                f"{self.source}: {place(self.n_rows + int(missing[0]))}, column {self.names[0]!r}: "
                "the label is missing; fill it in, remove the line, or name the label's column "
                "with --label"
            )
        codes = np.array([self.codes.encode(level) for level in texts.levels], dtype=np.int64)
        return codes[texts.codes]

    def _numbers(self, part: Values, name: str, place: Callable[[int], str]) -> HostArray:
        if isinstance(part, Texts) and all(level.lower() in YES_NO for level in part.levels):
            known = np.array([*(YES_NO[level.lower()] for level in part.levels), np.nan])
            part = Numbers(known[part.codes], "boolean")
        if isinstance(part, Texts) and part.levels:
            row, text = first_odd(part, "number")
            raise InputError(
                f"{self.source}: {place(self.n_rows + row)}, column {name!r}: {text[:40]!r} is not "
                "a number; correct it, or name the label's column with --label"
            )
        values = part.values if isinstance(part, Numbers) else np.full(len(part.codes), np.nan)
        if isinstance(part, Numbers) and part.kind == "date":
            raise InputError(
                f"{self.source}: column {name!r}: the labels are dates; name the label's column "
                "with --label"
            )
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            what = "missing" if np.isnan(values[bad[0]]) else "infinite"
            raise InputError(
                f"{self.source}: {place(self.n_rows + int(bad[0]))}, column {name!r}: the label is "
                f"{what}; correct it or remove the line"
            )
        return values

    def finish(self, known: tuple[str, ...] | None = None, *, new: bool = True) -> Labels:
        """The targets of all rows.

        new: whether they are a training set's; otherwise classes have to be those of `known`, or
        whole numbers from 0 where that is None. Raises InputError for labels that the objective
        can't learn.
        """
        y = np.concatenate(self.blocks)
        objective, note = self.objective, ""
        if objective is None and self.as_texts:
            objective = recognize(self.codes.names, self.n_rows)
            if all(map(NUMBER.fullmatch, self.codes.names)) and len(self.codes.names) > 2:
                is_regression = objective == "regression"
                other = "multiclass for classes" if is_regression else "regression for numbers"
                note = f" (--objective {other})"
        elif objective is None:
            objective = "multilabel" if ((y == 0) | (y == 1)).all() else "regression"
        if not find_objective(objective).single_label:
            if self.as_texts:
                self._check_numbers()
                y = np.array(self.codes.names, dtype=np.float64)[y][:, np.newaxis]
            what = "labels" if objective == "multilabel" else f"{objective} of"
            told = f"{what} {listed(self.names)}{note}"
            return Labels(y, tuple(self.names), None, objective, told)
        if new:
            self._check_classes()
        names = self.codes.sorted_names(self.where) if new else known
        if new and self.n_rows == len(self.codes.names) >= ALL_DIFFERENT:
            raise InputError(
                f"{self.where}: every row has a class of its own, so there is none to learn; name "
                "the label's column with --label"
            )
        classes = self.codes.to_classes(names, self.where)[y]
        told = f"{len(names or ())} classes in {self.names[0]!r}{note}"
        alone = [k for k, count in enumerate(np.bincount(classes)) if count == 1]
        if new and alone:
            one = (names or ())[alone[0]][:40]
            told += f", {len(alone):,} of a single row, such as {one!r}"
        return Labels(classes, names, self.names[0], objective, told)

    def _check_classes(self) -> None:
        """Raise InputError for numbers with a few texts among them, and for texts of all kinds."""
        names = self.codes.names
        numbers = {text for text in names if NUMBER.fullmatch(text)}
        if len(names) > FEW_CLASSES and len(names) / 2 < len(numbers) < len(names):
            odd = next(text for text in names if text not in numbers)
            raise InputError(
                f"{self.where}: the label {odd[:40]!r} is not a number, but most labels are; "
                "correct it, or leave its rows out"
            )
        many = len(names) > FEW_CLASSES and len(names) < self.n_rows < 2 * len(names)
        if not self.objective and many:
            raise InputError(
                f"{self.where}: {len(names):,} different labels in {self.n_rows:,} rows, such as "
                f"{names[0][:40]!r}, are too many to learn; name the label's column with --label"
            )

    def _check_numbers(self) -> None:
        for text in self.codes.names:
            if not NUMBER.fullmatch(text) or not np.isfinite(float(text)):
                raise InputError(f"{self.where}: the label {text[:40]!r} is no finite number")


def recognize(names: Sequence[str], n_rows: int) -> str:
    """Whether labels of these different texts are classes, `multiclass`, or `regression`.

    They are a regression if all are numbers, and one has a fraction or are_classes() says no.
    """
    if not all(map(NUMBER.fullmatch, names)):
        return "multiclass"
    if not all(map(WHOLE.fullmatch, names)):
        return "regression"
    numbers = [float(name) for name in names]
    return (
        "multiclass"
        if are_classes(len(names), min(numbers), max(numbers), n_rows)
        else "regression"
    )


def are_classes(count: int, least: float, most: float, n_rows: int) -> bool:
    """Whether so many different whole numbers, from `least` to `most`, are classes.

    They are if there are at most FEW_CLASSES of them, or if they count from 0 or 1 with none left
    out, and there are ROWS_A_CLASS rows for each on average.
    """
    if count <= FEW_CLASSES:
        return True
    counting = least in (0, 1) and most - least == count - 1
    return counting and n_rows >= ROWS_A_CLASS * count and count <= MAX_CLASSES
