"""The first lines of a table as text: the columns' names, and what lies between them."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path
from typing import Any

from mlp_xp.errors import InputError

DELIMITERS = ";\t|,"
MAX_LINE = 1 << 24
"""Characters in a line, so that a file without line ends doesn't fill the memory."""


def read_header(text: Any, path: Path) -> tuple[list[str], str, int]:
    """The columns' names, the delimiter, and the number of lines down to the names."""
    try:
        line, n_lines, delimiter = text.readline(MAX_LINE), 1, ""
        if len(line) == MAX_LINE:
            raise InputError(f"{path}: line 1 is too long; is this a text file?")
        if re.fullmatch(r"sep=.\s*", line):  # Excel's own way to name it
            delimiter, line, n_lines = line[4], text.readline(MAX_LINE), 2
        while line.isspace():
            line, n_lines = text.readline(MAX_LINE), n_lines + 1
        delimiter = delimiter or _delimiter(line, path)
        if "\0" in line:
            raise InputError(f"{path}: line 1 holds NUL bytes; save it as UTF-8 text")
        fields = next(csv.reader([line], delimiter=delimiter, strict=True), [])
        names = [name.strip() for name in fields]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason}); save it as UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{path}: line 1: {why(error)}") from error
    except (OSError, EOFError, ValueError) as error:
        if isinstance(error, InputError) or (isinstance(error, OSError) and error.errno):
            raise
        raise InputError(f"{path}: damaged ({error}); get it again") from error
    if not names:
        raise InputError(f"{path}: is empty; it needs a header line and rows")
    _check_header(names, path)
    return names, delimiter, n_lines


def why(error: csv.Error) -> str:
    """What is wrong with a line that the csv module refuses, and what to do."""
    if "end of data" in str(error):
        return "a quote isn't closed; close it, as no value goes on in the next line"
    return f"{error}; fix it"


def _delimiter(line: str, path: Path) -> str:
    """A tab in a .tsv; else the one that the header holds most often, outside of quotes.

    Of two that it holds as often, the comma is a part of names.
    """
    if ".tsv" in [suffix.lower() for suffix in path.suffixes]:
        return "\t"
    unquoted = re.sub(r'"[^"]*"', "", line)
    found = max(DELIMITERS, key=unquoted.count)
    return found if found in unquoted else ","


def _check_header(names: list[str], path: Path) -> None:
    """Raise InputError for a first line that holds a row."""
    numbers = [value for name in names if (value := _number(name)) is not None]
    rising = numbers == sorted(set(numbers))
    whole = all(value == math.floor(value) for value in numbers if math.isfinite(value))
    if len(numbers) == len(names) or (
        numbers and len(numbers) >= len(names) - 1 and not (rising and whole)
    ):
        raise InputError(
            f"{path}: line 1 holds numbers where the columns' names belong; add a header line"
        )


def _number(text: str) -> float | None:
    try:
        # Python reads more than tables mean: digits with _ between them, and those of all scripts.
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None
