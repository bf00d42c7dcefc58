"""From a table's columns to inputs: what kind each one is, and the numbers that it becomes."""

from __future__ import annotations

import math
import re
import shlex
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data.classes import NUMBER, class_key
from mlp_xp.data.raw import listed
from mlp_xp.data.values import Numbers, Values, in_order, is_of, read_levels
from mlp_xp.errors import InputError
from mlp_xp.schema import Column

MOST_LEVELS = 100
"""A column of more texts is more likely made of names, identifiers or sentences."""
MANY_ROWS = 100
"""Fewer numbers in a row may be years."""
MOST_MIXED = 20
"""Texts that a column may hold beside numbers, as `2, 3, 4, more`; with more, one is a mistake."""


MEANT = {
    "a plain number, as 1234.5": re.compile(
        r"[$€£¥]?\s?[+-]?([0-9]+|[0-9]{1,3}([,.' ][0-9]{3})+)([.,][0-9]+)?\s?[%$€£¥]?"
    ),
    "a date as 2024-12-31": re.compile(r"[0-9]{1,4}([./-])[0-9]{1,2}\1[0-9]{1,4}"),
}
"""Texts that people write for numbers and dates, but nobody can tell which."""
SHOWN = 12
"""Columns of plain numbers that are named."""


class NotNumbers(Exception):
    """Column `place` holds values of two kinds, so that it has to be read as texts."""

    def __init__(self, place: int):
        super().__init__(place)
        self.place = place


class ColumnError(InputError):
    """A column that can't be an input; `what` is wrong with it."""

    def __init__(self, source: str, name: str, what: str, remedy: str = ""):
        super().__init__(
            f"{source}: column {name!r}: {what}; {remedy}leave the column out: "
            f"--drop {shlex.quote(name)}"
        )
        self.name, self.what = name, what


class ColumnBuilder:
    """Takes the blocks of one column in training, then tells its kind and writes its inputs.

    name; place: which column of the table it is. source: the table, in messages.
    """

    def __init__(self, name: str, place: int, source: str):
        self.name, self.place, self.source = name, place, source
        self.kind = ""  # none is known while all values are missing
        self.blocks: deque[NDArray[np.generic]] = deque()
        self.levels: dict[str, int] = {}
        self.size = self.n_rows = self.n_missing = 0  # bytes of the blocks; rows
        self._is_infinite = False
        self._first: float | None = None
        self._is_constant = self._counts_rows = True

    def add(self, values: Values) -> None:
        """The next block. Raises NotNumbers if it is of another kind than those before."""
        if isinstance(values, Numbers):
            missing = np.isnan(values.values)
            kind = "" if missing.all() else values.kind
            block: NDArray[np.generic] = narrowed(values.values)
            self._watch(values.values)
        else:
            missing = values.codes < 0
            kind = "category"
            codes = [self.levels.setdefault(level, len(self.levels)) for level in values.levels]
            block = np.array([*codes, -1], dtype=np.int32)[values.codes]
        if kind and self.kind and kind != self.kind:
            raise NotNumbers(self.place)
        # Where all values are missing, they are read as numbers, even among texts.
        if kind == "category" and not self.kind:
            self.blocks = deque(_no_texts(len(earlier)) for earlier in self.blocks)
        elif self.kind == "category" and not kind:
            block = _no_texts(len(block))
        self.kind = self.kind or kind
        self.blocks.append(block)
        self.size += block.nbytes
        self.n_rows += len(block)
        self.n_missing += int(np.count_nonzero(missing))

    def _watch(self, values: NDArray[np.float64]) -> None:
        """Note whether the numbers are all the same, infinite, or those of the rows."""
        if self._first is None and len(values):
            self._first = float(values[0])
        self._is_infinite = self._is_infinite or bool(np.isinf(values).any())
        self._is_constant = self._is_constant and bool((values == self._first).all())
        if self._counts_rows:
            number = np.arange(self.n_rows, self.n_rows + len(values)) + (self._first or 0)
            self._counts_rows = np.array_equal(values, number)

    @property
    def is_constant(self) -> bool:
        """Whether all rows have the same value."""
        if self.kind == "category":
            return len(self.levels) == 1 and not self.n_missing
        return self._is_constant

    @property
    def counts_rows(self) -> bool:
        """Whether the values number the rows: from 0 or 1 on, or, of many rows, from anywhere."""
        enough = self._first in (0, 1) or self.n_rows >= MANY_ROWS
        return self.kind == "number" and self._counts_rows and enough

    def finish(self) -> Column:
        """The column. Raises InputError if it can't be an input."""
        if not self.kind or self.n_missing == self.n_rows:
            raise self.error("every value is missing")
        if self._is_infinite:
            raise self.error("a value is infinite", "correct it, or ")
        if self.kind == "category":
            self._read_texts()
        if self.kind == "category":
            levels = list(self.levels)
            self._check_texts(levels)
            return Column(
                self.name, "category", 0.0, self.n_missing > 0,
                tuple(sorted(levels, key=in_order)),
            )  # fmt: skip
        fill = _median(np.concatenate(self.blocks))
        return Column(self.name, self.kind, fill, self.n_missing > 0)

    def _read_texts(self) -> None:
        """Take many texts that are all numbers, or all dates, for these: pandas may leave them."""
        numbers = None if len(self.levels) <= MOST_MIXED else read_levels(list(self.levels))
        if numbers is not None:
            self.kind, by_code = numbers.kind, np.append(numbers.values, math.nan)
            self.blocks = deque(narrowed(by_code[block]) for block in self.blocks)
            self._is_infinite = bool(np.isinf(numbers.values).any())
            self._is_constant = self._counts_rows = False

    def _check_texts(self, levels: list[str]) -> None:
        numbers = {text for text in levels if NUMBER.fullmatch(text)}
        dates = {text for text in levels if is_of("date", text)} - numbers
        for right, what in ((numbers, "number"), (dates, "date")):
            if len(levels) > MOST_MIXED and len(levels) / 2 < len(right) < len(levels):
                odd = next(text for text in levels if text not in right)
                why = f"{odd[:40]!r} is not a {what}, but most values are"
                raise self.error(why, "correct it, or ")
        right = numbers | dates
        if self.name in levels and len(numbers) == len(levels) - 1 > 0:
            raise self.error("its own name is among its numbers", "remove that line, or ")
        for what, pattern in MEANT.items():
            meant = [text for text in levels if pattern.fullmatch(text) and text not in right]
            if len(levels) > MOST_MIXED and len(meant) > len(levels) / 2:
                raise self.error(f"{meant[0][:40]!r} is not {what}", "write it so, or ")
        if len(levels) > MOST_LEVELS:
            raise self.error(
                f"has {len(levels):,} different texts, such as {levels[0][:40]!r}; at most "
                f"{MOST_LEVELS} can be categories"
            )

    def error(self, what: str, remedy: str = "") -> ColumnError:
        """An error about this column, which can always be left out."""
        return ColumnError(self.source, self.name, what, remedy)

    def write(self, column: Column, out: NDArray[np.floating]) -> None:
        """Fill the column's inputs for its next block, out (B, column.width), and forget that."""
        block = self.blocks.popleft()
        if column.kind == "category":
            write_codes(column, encoding(column, list(self.levels))[block], out)
        elif column.has_gaps:
            write_numbers(column, block, out)
        else:
            out[:, 0] = block


def _no_texts(n_rows: int) -> NDArray[np.int32]:
    return np.full(n_rows, -1, dtype=np.int32)


def _median(values: NDArray[Any]) -> float:
    """The median of those that aren't NaN."""
    values = values[~np.isnan(values)]
    half = len(values) // 2
    parted = np.partition(values, half)
    if len(values) % 2:
        return float(parted[half])
    return float(parted[:half].max()) / 2 + float(parted[half]) / 2  # their sum may be infinite


def narrowed(values: NDArray[np.float64]) -> NDArray[np.floating]:
    """The values as float32 if that loses nothing."""
    with np.errstate(over="ignore"):
        small = values.astype(np.float32)
    same = small == values
    return small if same.all() or (same | np.isnan(values)).all() else values


def encoding(column: Column, levels: Sequence[str]) -> NDArray[np.int64]:
    """For each of these levels, and then a missing one: its place in the column's, or -1 or -2.

    -1 stands for a missing value, -2 for a level that training didn't have.
    """
    places: dict[str, int] = {}
    for k, level in enumerate(column.levels):
        places.setdefault(class_key(level), k)  # 2 and 2.0 are the same
    own = {level: k for k, level in enumerate(column.levels)}
    found = (own.get(level, places.get(class_key(level), -2)) for level in levels)
    return np.array([*found, -1], dtype=np.int64)


def write_numbers(column: Column, values: NDArray[np.generic], out: NDArray[np.floating]) -> int:
    """Fill the inputs of a column of numbers, and return how many values were missing."""
    missing = np.isnan(values)
    out[:, 0] = values
    n_missing = int(missing.sum())
    if n_missing:
        out[missing, 0] = column.fill
    if column.has_gaps:
        out[:, 1] = missing
    return n_missing


def write_codes(column: Column, codes: NDArray[np.int64], out: NDArray[np.floating]) -> None:
    """Fill the inputs of a column of categories, out (B, column.width) of zeros."""
    known = np.flatnonzero(codes >= 0)
    out[known, codes[known]] = 1
    if column.has_gaps:
        out[:, -1] = codes == -1


def describe(
    columns: Sequence[Column], builders: Sequence[ColumnBuilder], left_out: Sequence[str]
) -> str:
    """What was done to each column, in one line."""
    plain, special, constant = [], [], []
    for column, builder in zip(columns, builders, strict=True):
        what = {"category": f"{len(column.levels)} categories"}.get(column.kind, column.kind)
        gaps = f", {builder.n_missing:,} missing" if column.has_gaps else ""
        if builder.is_constant:
            constant.append(column.name)
        elif column.kind == "number" and not gaps:
            plain.append(column.name)
        else:
            special.append(f"{column.name} ({what}{gaps})")
    parts = [f"{len(plain)} of numbers"] if len(plain) > SHOWN else plain
    text = f"columns {', '.join([*parts, *special])}"
    if constant:
        text += f"; the same in all rows: {listed(constant)}"
    return text + (f"; left out {', '.join(left_out)}" if left_out else "")
