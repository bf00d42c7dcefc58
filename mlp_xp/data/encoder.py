"""Further rows, as the columns of a model have them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data.columns import encoding, narrowed, write_codes, write_numbers
from mlp_xp.data.memory import check_memory
from mlp_xp.data.values import Numbers, Texts, Values, as_texts, first_odd, read_levels
from mlp_xp.errors import InputError, TrainingWarning
from mlp_xp.schema import Column

FEW_ROWS = 10
"""From so many rows on, a column without any value is no accident."""


class Encoder:
    """Turns further rows into inputs by the columns of a model, and counts what it hasn't seen.

    unseen: for each column of categories, the texts that aren't among its levels, with how many
    rows hold them; gaps: the columns with missing values, with how many.
    """

    def __init__(self, columns: Sequence[Column]):
        self.columns = columns
        self.unseen: dict[str, dict[str, int]] = {}
        self.gaps: dict[str, int] = {}
        self.n_rows = 0

    def encode(
        self, values: Sequence[Values], source: str, place: Callable[[int], str]
    ) -> NDArray[np.floating]:
        """The next block of rows, (B, n): float32 if that loses nothing, else float64.

        values: of each column. place(row) says where a row is. Raises InputError, starting with
        `source`, for texts in a column of numbers.
        """
        n_rows = len(values[0][0])
        held = [part.values for part in values if isinstance(part, Numbers)]
        held.append(np.array([column.fill for column in self.columns]))  # for what is missing
        wide = any(narrowed(part).dtype == np.float64 for part in held)
        width = sum(column.width for column in self.columns)
        dtype = np.float64 if wide else np.float32
        check_memory(n_rows * width * dtype().itemsize, source)
        out = np.zeros((n_rows, width), dtype=dtype)
        first = 0
        for column, part in zip(self.columns, values, strict=True):
            own = out[:, first : first + column.width]
            first += column.width
            if column.kind == "category":
                self._encode_texts(column, part, own)
                continue
            if isinstance(part, Texts) and part.levels:
                known = read_levels(part.levels, [column.kind])
                if known is not None:
                    part = Numbers(np.append(known.values, math.nan)[part.codes], known.kind)
            if isinstance(part, Texts) and part.levels:
                row, text = first_odd(part, column.kind)
                raise InputError(
                    f"{source}: {place(self.n_rows + row)}, column {column.name!r}: "
                    f"{text[:40]!r} is not a {column.kind}, as it was in training; correct it, or "
                    "leave the field empty"
                )
            numbers = part if isinstance(part, Numbers) else _all_missing(n_rows)
            self._check(column, numbers, source, place)
            self._count_gaps(column, write_numbers(column, numbers.values, own))
        self.n_rows += n_rows
        return out

    def _check(
        self, column: Column, numbers: Numbers, source: str, place: Callable[[int], str]
    ) -> None:
        """Raise InputError for values that are infinite, of another kind, or just missing."""
        values = numbers.values
        bad = np.isinf(values) | (np.isnan(values) & math.isnan(column.fill))
        what = ""
        if "date" in (column.kind, numbers.kind) and column.kind != numbers.kind:
            bad, what = ~np.isnan(values), f"a {numbers.kind}, and a {column.kind} in training"
        elif column.kind == "boolean":
            bad, what = ~(np.isnan(values) | (values == 0) | (values == 1)), "not true or false"
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            what = what or ("missing" if math.isnan(values[row]) else "infinite")
            raise InputError(
                f"{source}: {place(self.n_rows + row)}, column {column.name!r}: the value is "
                f"{what}; correct it or remove the line"
            )

    def _encode_texts(self, column: Column, part: Values, out: NDArray[np.floating]) -> None:
        texts = part if isinstance(part, Texts) else as_texts(part)
        codes = encoding(column, texts.levels)[texts.codes]
        write_codes(column, codes, out)
        self._count_gaps(column, int((codes == -1).sum()))
        if (codes == -2).any():
            counts = np.bincount(texts.codes[codes == -2], minlength=len(texts.levels))
            unseen = self.unseen.setdefault(column.name, {})
            for code in np.flatnonzero(counts):
                level = texts.levels[code]
                unseen[level] = unseen.get(level, 0) + int(counts[code])

    def _count_gaps(self, column: Column, n_missing: int) -> None:
        if n_missing:
            self.gaps[column.name] = self.gaps.get(column.name, 0) + n_missing

    def surprises(self) -> list[str]:
        """A line for each column that held what training hadn't."""
        lines = []
        for name, levels in self.unseen.items():
            rows = sum(levels.values())
            few = ", ".join(repr(level[:40]) for level in list(levels)[:3])
            more = f" and {len(levels) - 3} more" if len(levels) > 3 else ""
            lines.append(
                f"column {name!r} holds {few}{more}, which training didn't have, in "
                f"{rows:,} row{'s' * (rows > 1)}; they count as none of its categories"
            )
        had_gaps = {column.name for column in self.columns if column.has_gaps}
        for name, count in self.gaps.items():
            if count == self.n_rows >= FEW_ROWS:
                lines.append(f"column {name!r} is empty, and wasn't in training")
            elif name not in had_gaps:
                lines.append(
                    f"column {name!r} has {count:,} missing values, and had none in training; the "
                    "training's median stands for them, or no category"
                )
        return lines


def _all_missing(n_rows: int) -> Numbers:
    return Numbers(np.full(n_rows, math.nan))


def warn(encoder: Encoder, where: str) -> None:
    """Warn of what the encoder has met, a line for each column."""
    for line in encoder.surprises():
        warnings.warn(f"{where}: {line}", TrainingWarning, stacklevel=4)
