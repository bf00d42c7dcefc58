"""Tables in memory: those of pandas, polars and Arrow, which are never imported here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from mlp_xp.data.checks import as_array
from mlp_xp.data.encoder import Encoder, warn
from mlp_xp.data.roles import known_columns
from mlp_xp.data.tablefile import TableFile, check_names, numbered
from mlp_xp.data.values import Numbers, Values
from mlp_xp.errors import InputError
from mlp_xp.schema import Schema

NUMBERS = (int, float, Decimal, np.integer, np.floating, np.bool_)
"""What counts as a number among objects."""


def column_names(X: Any) -> list[str] | None:
    """The names of the columns of a table of pandas, polars or Arrow; None for anything else."""
    keys = keys_of(X)
    return None if keys is None else [str(key) for key in keys]


def keys_of(X: Any) -> list[Any] | None:
    """What the columns of a table are found by; in pandas, names may be of any type."""
    if type(X).__name__ == "LazyFrame":
        raise InputError("a LazyFrame has no rows yet; give its collect()")
    keys = X.column_names if _is_arrow(X) else getattr(X, "columns", None)
    if keys is None or isinstance(X, np.ndarray) or not hasattr(X, "__getitem__"):
        return None
    try:
        return list(keys)
    except TypeError:
        return None


def _is_arrow(X: Any) -> bool:
    return type(X).__module__.startswith("pyarrow") and hasattr(X, "column_names")


def without(X: Any, name: str) -> Any:
    """A table without the column of this name."""
    rest = [key for key in keys_of(X) or () if str(key) != name]
    return X.select(rest) if _is_arrow(X) else X[rest]


class FrameTable(TableFile):
    """A table in memory, of any library whose columns NumPy can read; it is never imported here."""

    def __init__(self, frame: Any, where: str):
        super().__init__(Path(where))
        self.frame, self.keys = frame, keys_of(frame) or []
        self.names = list(map(str, self.keys))
        check_names(self.names, self.path)

    def blocks(self, columns: Sequence[int], texts: Collection[int]) -> Generator[list[Values]]:
        """All rows at once; see TableFile."""
        if len(self.frame):
            yield [
                values_of(self.frame[self.keys[i]], f"{self.path}: column {self.names[i]!r}")
                for i in columns
            ]


def values_of(column: Any, where: str) -> Values:
    """A column (N,) of any type: numbers, booleans, dates or texts. None and NaN are missing.

    Raises InputError, starting with `where`, for values of another type.
    """
    array = as_array(column, where)
    if array.ndim != 1:
        raise InputError(f"{where}: has shape {array.shape}; give one value a row")
    kind = array.dtype.kind
    if kind == "b":
        return Numbers(array.astype(np.float64), "boolean")
    if kind in "iuf":
        return Numbers(array.astype(np.float64))
    if kind == "M":
        days = array.astype("datetime64[ms]").astype(np.float64) / 86_400_000
        return Numbers(np.where(np.isnat(array), np.nan, days), "date")
    if kind == "m":
        raise InputError(f"{where}: is of type {array.dtype}; turn it into numbers, or drop it")
    return _objects(array.tolist(), where)


def _objects(values: list[Any], where: str) -> Values:
    """Python's objects: all texts, or all numbers, booleans or dates, but those missing."""
    present = [value for value in values if not _is_missing(value)]
    if present and all(isinstance(value, bool | np.bool_) for value in present):
        kind = "boolean"
    elif all(isinstance(value, NUMBERS) for value in present):
        kind = "number"
    elif all(isinstance(value, date) for value in present):
        kind = "date"
    elif all(isinstance(value, (str, *NUMBERS)) for value in present):
        texts = [None if _is_missing(value) else str(value).strip() for value in values]
        return numbered(texts, np.arange(len(texts)))
    else:
        odd = next(v for v in present if not isinstance(v, (str, *NUMBERS)))
        raise InputError(f"{where}: holds a {type(odd).__name__}; give numbers, texts or dates")
    number: Callable[[Any], float] = _days if kind == "date" else float
    try:
        numbers = [np.nan if _is_missing(value) else number(value) for value in values]
    except OverflowError as error:
        raise InputError(f"{where}: {error}; give smaller numbers") from error
    return Numbers(np.array(numbers, dtype=np.float64), kind)


def _is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, NaT or pandas.NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, Decimal):
        return value.is_nan()
    return isinstance(value, float | np.floating) and bool(value != value)


def _days(value: date) -> float:
    """Days since 1970, UTC. A date is at 0 h, and a time without a zone is UTC."""
    if not isinstance(value, datetime):
        return float(value.toordinal() - date(1970, 1, 1).toordinal())
    if value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return float((value - datetime(1970, 1, 1)) / timedelta(days=1))


def rows_of(X: Any, schema: Schema, where: str) -> Any:
    """Rows (N, n) for a model with this schema: of a table by its columns' names, or X itself."""
    if column_names(X) is None:
        return X
    table = FrameTable(X, where)
    columns, places = known_columns(table, schema, [], range(len(table.names)))
    encoder = Encoder(columns)
    blocks = [encoder.encode(block, where, "row {}".format) for block in table.blocks(places, ())]
    warn(encoder, where)
    return blocks[0] if blocks else np.zeros((0, len(places)))
