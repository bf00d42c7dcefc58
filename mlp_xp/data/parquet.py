"""Parquet tables. Only this module imports pyarrow, and only when a file is read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data.memory import BLOCK_BYTES, check_memory
from mlp_xp.errors import InputError

INDEX = re.compile(r"__index_level_[0-9]+__")
"""pandas' own name for an index without one, which other tools copy without its metadata."""
NUMBER_TYPES = ("int", "uint", "float", "double", "half", "bool")


def header(path: Path) -> list[str]:
    """The names of the columns. The index of a table from pandas is none of them."""
    schema = _open(path).schema_arrow
    return [str(schema.names[place]) for place in _places(schema, path)]


def read_blocks(
    path: Path,
    names: list[str],
    columns: list[int],
    text_column: int | None,
    encode: Callable[[str], float],
) -> Iterator[NDArray[np.float64]]:
    """The rows in blocks (B, all columns), with zeros outside `columns`; see csv.read_blocks.

    Raises InputError, naming the column, for a type that isn't a number, a missing value, NaN and
    infinity.
    """
    file = _open(path)
    places = _places(file.schema_arrow, path)
    for i in columns:
        kind = str(file.schema_arrow.types[places[i]])
        if i != text_column and not kind.startswith(NUMBER_TYPES):
            raise InputError(
                f"{path}: column {names[i]!r} is of type {kind[:40]}; leave it out, or "
                "replace it with numbers"
            )
    check_memory(8 * file.metadata.num_rows * len(names), str(path))
    done = 0
    try:
        for batch in file.iter_batches(max(1, BLOCK_BYTES // (8 * len(names)))):
            rows = np.zeros((batch.num_rows, len(names)))
            for i in columns:
                place = f"{path}: rows {done} to {done + len(rows) - 1}, column {names[i]!r}:"
                column = batch.column(places[i])
                rows[:, i] = _column(column, encode if i == text_column else None, place)
            done += len(rows)
            yield rows
    except InputError:
        raise
    # Every error of pyarrow derives from one of these.
    except (OSError, ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise _damaged(path, error) from error


def _places(schema: Any, path: Path) -> list[int]:
    """Where in the file the columns are: all that it stores but the index of a pandas table.

    pandas says in the file's metadata which columns it takes for the index when it reads them back.
    """
    text = (schema.metadata or {}).get(b"pandas", b"{}")
    try:
        index = json.loads(text).get("index_columns", [])
    except (ValueError, AttributeError, RecursionError):  # no JSON, no object, or nested too deeply
        index = None
    if not isinstance(index, list):
        raise InputError(
            f"{path}: what pandas noted about its columns is damaged; write the file again"
        )
    return [
        place
        for place, name in enumerate(schema.names)
        if name not in index and not INDEX.fullmatch(name)
    ]


def _column(column: Any, encode: Callable[[str], float] | None, place: str) -> Any:
    if column.null_count:
        raise InputError(f"{place} missing values ({column.null_count}); fill them in")
    if encode is None:
        values = column.to_numpy(zero_copy_only=False)
    else:
        values = [encode(str(value)) for value in column.to_pylist()]
    if not np.isfinite(values).all():
        raise InputError(f"{place} NaN, infinity or an empty name; remove the rows that hold it")
    return values


def _open(path: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            f"{path}: reading Parquet needs pyarrow: pip install 'mlp_xp[parquet]'"
        ) from error
    try:
        return pyarrow.parquet.ParquetFile(path)
    except (OSError, ValueError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno:  # from the file system, not from pyarrow
            raise
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    why = str(error).partition("\n")[0]
    return InputError(f"{path}: damaged or not a Parquet file ({why}); get it again")
