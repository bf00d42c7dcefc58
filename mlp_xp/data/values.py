"""Values of a column, and how numbers, booleans and dates are spelled as texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data.classes import NUMBER


class Numbers(NamedTuple):
    """Values of a column as numbers: (B,) float64, NaN where one is missing."""

    values: NDArray[np.float64]
    kind: str = "number"


class Texts(NamedTuple):
    """Values of a column as texts: codes (B,) int, places in `levels`, -1 where one is missing."""

    codes: NDArray[np.int64]
    levels: list[str]


Values: TypeAlias = Numbers | Texts


def read_levels(levels: Sequence[str], kinds: Sequence[str] = ("number", "date")) -> Numbers | None:
    """Texts (L,) as numbers of the first of these kinds that they all are; None if they aren't."""
    for kind in kinds:
        if all(is_of(kind, level) for level in levels):
            return Numbers(np.array([_READ[kind](level) for level in levels]), kind)
    return None


def _days(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() / 86_400


_READ: dict[str, Callable[[str], float]] = {
    "number": float, "date": _days, "boolean": lambda text: float(text.lower() == "true"),
}  # fmt: skip


def first_odd(texts: Texts, kind: str) -> tuple[int, str]:
    """The first row whose text is no number, boolean or date, and the text."""
    is_odd = [not is_of(kind, level) for level in texts.levels] or [True]
    rows = np.flatnonzero((texts.codes >= 0) & np.array(is_odd)[texts.codes])
    row = int(rows[0]) if len(rows) else int(np.flatnonzero(texts.codes >= 0)[0])
    return row, texts.levels[texts.codes[row]]


def is_of(kind: str, text: str) -> bool:
    """Whether the text is a number, a boolean or a date."""
    if kind == "date":
        with suppress(ValueError):
            return bool(datetime.fromisoformat(text))
        return False
    return text.lower() in ("true", "false") if kind == "boolean" else bool(NUMBER.fullmatch(text))


def in_order(text: str) -> tuple[float, str]:
    """What sorts numbers by value, and other texts after them."""
    return (float(text) if NUMBER.fullmatch(text) else math.inf, text)


def as_texts(numbers: Numbers) -> Texts:
    """Numbers as they are written, for a column that was of texts in training."""
    values, codes = np.unique(numbers.values, return_inverse=True)
    values, missing = values[~np.isnan(values)], np.isnan(numbers.values)
    if numbers.kind == "boolean":
        levels = ["true" if value else "false" for value in values]
    else:
        levels = [str(int(v)) if v.is_integer() else repr(v) for v in values.tolist()]
    return Texts(np.where(missing, -1, codes.reshape(-1)), levels)
