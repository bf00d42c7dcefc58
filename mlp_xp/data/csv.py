"""CSV and TSV tables: text with a header line, parsed by NumPy."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TextIO

import numpy as np

from mlp_xp.data.memory import BLOCK_BYTES
from mlp_xp.errors import InputError
from mlp_xp.types import HostArray

DELIMITERS = {".csv": ",", ".tsv": "\t"}
MAX_LINE = 1 << 24
"""Characters in a line, so that a file without line ends doesn't fill the memory."""


def header(path: Path) -> list[str]:
    """The columns' names, from line 1. Raises InputError if it is missing or holds numbers."""
    with _open(path) as file:
        names = [name.strip() for name in next(_fields(file, path), [])]
    if not names:
        raise InputError(f"{path}: is empty; it needs a header line and rows")
    if all(_number(name) is not None for name in names):
        raise InputError(
            f"{path}: line 1 holds numbers where the columns' names belong; add a header line"
        )
    return names


def read_blocks(
    path: Path,
    names: list[str],
    columns: list[int],
    text_column: int | None,
    encode: Callable[[str], float],
) -> Iterator[HostArray]:
    """The rows in blocks (B, all columns): int64 where possible, and float64 from a fraction on.

    names: the header. columns: those in use, in which every value must be a finite number, except
    in text_column, whose values are converted by encode(text). All others are zeros here.
    Raises InputError, naming line and column, for a value that isn't, and for a line whose number
    of values differs from the header's.
    """
    unused = set(range(len(names))).difference(columns)
    converters: dict[int, Callable[[str], float]] = dict.fromkeys(unused, _zero)
    if text_column is not None:
        converters[text_column] = encode
    parse = partial(
        _parse,
        delimiter=DELIMITERS[path.suffix.lower()],
        comments=None,
        quotechar='"',
        converters=converters or None,
        ndmin=2,
    )
    # Parsed five times as fast as float64, but NumPy before 2.3 reads 1.5 as the integer 1.
    fractions_fail = np.lib.NumpyVersion(np.__version__) >= "2.3.0.dev0"
    dtype: type = np.int64 if fractions_fail else np.float64
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
                if rows.shape[1] != len(names) or not np.isfinite(rows[:, columns]).all():
                    raise ValueError("a value is missing or not finite")
                if len(rows) != len(batch):
                    raise ValueError("a quote that isn't closed takes in the lines after it")
                yield rows
    except InputError:
        raise
    except ValueError as error:
        _explain(path, names, columns, text_column, str(error).partition("\n")[0])


def _parse(lines: list[str], **options: Any) -> HostArray:
    """The array of these lines. Raises ValueError for a value that has another type."""
    try:
        return np.loadtxt(lines, **options)
    except ValueError as error:
        # It also stands for whatever came up in a converter, such as Ctrl-C.
        if error.__cause__ is not None and not isinstance(error.__cause__, ValueError):
            raise error.__cause__ from None
        raise


def _zero(text: str) -> float:
    return 0


def _open(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig")  # with or without a byte order mark


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    """The lines of a file. Raises InputError for one that is too long."""
    for number, line in enumerate(iter(partial(file.readline, MAX_LINE), ""), 1):
        if len(line) == MAX_LINE:
            raise InputError(f"{path}: line {number} is too long; is this a text file?")
        yield line


def _batch(lines: Iterator[str]) -> list[str]:
    """The next lines that aren't blank, about BLOCK_BYTES characters of them."""
    batch, size = [], 0
    for line in lines:
        if line.strip(" \n"):
            batch.append(line)
            size += len(line)
            if size >= BLOCK_BYTES:
                break
    return batch


def _fields(file: TextIO, path: Path) -> Iterator[list[str]]:
    """Each line's fields, parsed by Python: slow, but errors know their line."""
    delimiter = DELIMITERS[path.suffix.lower()]
    try:
        for number, line in enumerate(_lines(file, path), 1):
            try:
                yield next(csv.reader([line], delimiter=delimiter, strict=True), [])
            except csv.Error as error:
                why = f"{error}; fix it"
                if "end of data" in why:
                    why = "a quote isn't closed; close it, as no value goes on in the next line"
                raise InputError(f"{path}: line {number}: {why}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason}); save it as UTF-8") from error


def _explain(
    path: Path, names: list[str], columns: list[int], text_column: int | None, why: str
) -> NoReturn:
    """Read the table again to find the bad line and column, and raise InputError."""
    with _open(path) as file:
        for number, fields in enumerate(_fields(file, path), 1):
            if number == 1 or (len(fields) < 2 and not "".join(fields).strip(" ")):
                continue
            if len(fields) != len(names):
                raise InputError(
                    f"{path}: line {number} has {len(fields)} values, the header names "
                    f"{len(names)} columns; fix the line"
                )
            for i in columns:
                fault = _fault(fields[i], number=i != text_column)
                if fault:
                    raise InputError(f"{path}: line {number}, column {names[i]!r}: {fault}")
    raise InputError(f"{path}: can't be read as a table of numbers ({why}); fix it")


def _fault(text: str, *, number: bool) -> str | None:
    """What is wrong with a value, or None."""
    if not text.strip():
        return "the value is missing; fill it in or remove the line"
    value = _number(text) if number else 0.0
    if value is None:
        return f"{text[:40]!r} is not a number; leave the column out, or replace it with numbers"
    return None if math.isfinite(value) else f"{text[:40]!r} is not finite; remove the line"


def _number(text: str) -> float | None:
    try:
        # Python reads more than tables mean: digits with _ between them, and those of all scripts.
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None
