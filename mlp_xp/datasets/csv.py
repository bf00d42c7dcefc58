"""CSV and TSV: text with a header line, read at NumPy's speed."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TextIO

import numpy as np
from numpy.typing import NDArray

from mlp_xp.datasets.memory import BLOCK
from mlp_xp.errors import InputError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
LONGEST_LINE = 1 << 24  # characters; a file without line ends must not fill the memory


def header(path: Path) -> list[str]:
    """The names in the first line. Raises InputError if it isn't there or holds numbers."""
    with _open(path) as file:
        names = [name.strip() for name in next(_fields(file, path), [])]
    if not names:
        raise InputError(f"{path}: is empty; it needs a header line and rows")
    if all(_number(name) is not None for name in names):
        raise InputError(
            f"{path}: line 1 holds numbers where the columns' names belong; add a header line"
        )
    return names


def blocks(
    path: Path, names: list[str], wanted: list[int], coded: int, code: Callable[[str], float]
) -> Iterator[NDArray[Any]]:
    """The rows, some at a time: (B, columns), int64 until the first fraction, then float64.

    Column `coded` holds text, which code() turns into numbers; -1 for none. Raises InputError,
    naming line and column, for lines of another length than the header, and for what is no finite
    number in a column of `wanted`.
    """
    parse = partial(
        np.loadtxt,
        delimiter=DELIMITERS[path.suffix.lower()],
        comments=None,
        quotechar='"',
        converters=None if coded < 0 else {coded: code},
        ndmin=2,
    )
    dtype: type = np.int64  # read five times as fast as floats
    try:
        with _open(path) as file:
            lines = _lines(file, path)
            next(lines)
            while batch := _batch(lines):
                try:
                    rows = parse(batch, dtype=dtype)
                except ValueError:
                    if dtype is np.float64:
                        raise
                    dtype = np.float64
                    rows = parse(batch, dtype=dtype)
                if rows.shape[1] != len(names) or not np.isfinite(rows[:, wanted]).all():
                    raise ValueError("a value is missing or not finite")
                yield rows
    except InputError:
        raise
    except ValueError as error:
        _explain(path, names, wanted, coded, str(error).partition("\n")[0])


def _open(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig")  # with or without a byte order mark


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    """The lines of a file, none of them too long for memory."""
    for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), ""), 1):
        if len(line) == LONGEST_LINE:
            raise InputError(f"{path}: line {number} has no end; is this a table in text?")
        yield line


def _batch(lines: Iterator[str]) -> list[str]:
    """The next lines that aren't blank, BLOCK characters of them or a little more."""
    batch, size = [], 0
    for line in lines:
        if line.strip(" \n"):
            batch.append(line)
            size += len(line)
            if size >= BLOCK:
                break
    return batch


def _fields(file: TextIO, path: Path) -> Iterator[list[str]]:
    """Each line's fields, the slow way that knows where it is."""
    reader = csv.reader(_lines(file, path), delimiter=DELIMITERS[path.suffix.lower()], strict=True)
    try:
        yield from reader
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: {error}; mend it") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8 ({error.reason}); save it so") from error


def _explain(path: Path, names: list[str], wanted: list[int], coded: int, why: str) -> NoReturn:
    """Read the table again to find the line and column at fault, and raise InputError."""
    with _open(path) as file:
        for number, fields in enumerate(_fields(file, path), 1):
            if number == 1 or not "".join(fields).strip(" "):
                continue
            if len(fields) != len(names):
                raise InputError(
                    f"{path}: line {number} has {len(fields)} values, the header names "
                    f"{len(names)} columns; mend the line"
                )
            for i in wanted:
                fault = _fault(fields[i], number=i != coded)
                if fault:
                    raise InputError(f"{path}: line {number}, column {names[i]!r}: {fault}")
    raise InputError(f"{path}: can't be read as a table of numbers ({why}); mend it")


def _fault(text: str, *, number: bool) -> str | None:
    """What is wrong with a value, if anything is."""
    if not text.strip():
        return "nothing is there; fill it in or remove the line"
    value = _number(text) if number else 0.0
    if value is None:
        return f"{text[:40]!r} is no number; leave the column out, or put numbers in its place"
    return None if math.isfinite(value) else f"{text[:40]!r} is not finite; remove the line"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
