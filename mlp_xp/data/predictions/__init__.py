"""Predictions as a table that a program can read: CSV, TSV, JSON lines or Parquet.

The columns, in this order:

- the row: its number, or its name
- `file`, where several files are predicted
- classes: the predicted one, in a column called like the label, then p(NAME) for each class
- labels: 0 or 1 for each label, in a column with its name, then p(NAME) for each
- numbers: a column for each, in its own unit

A name that a column further left has already gets `_2`, or the first number from there on that is
free. Text is UTF-8, and lines end with a line feed.

Parquet holds every bit. As text, numbers have as many digits as it takes to read back the same
bits; probabilities have 9 decimals, as 0.333333343, which take a fraction of the time to make, as
programs read them. They are off by 5e-10 at most: below the spacing of float32 from 0.01 on, and
from 2^-6 on read back as the same float32. What is below 5e-10 becomes 0, so logarithms of
probabilities need Parquet.
"""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from mlp_xp.errors import InputError, printable
from mlp_xp.files import check_file_name, whole_file
from mlp_xp.nn.losses import Objective
from mlp_xp.types import HostArray

DELIMITERS = {".csv": ",", ".tsv": "\t", ".jsonl": None}
SUFFIXES = (*DELIMITERS, ".parquet")
Ids: TypeAlias = "Sequence[int] | Sequence[str] | HostArray"
"""What identifies each row, (N,): numbers from 0 on, or names, but not both in one table."""


@dataclass(frozen=True)
class Header:
    """What the columns hold and what they are called.

    output_names (K,): the classes, labels or numbers. label: what a class is, such as `species`.
    with_file: whether a column tells the file of each row.
    """

    objective: Objective
    output_names: tuple[str, ...]
    label: str | None = None
    id_name: str = "row"
    with_file: bool = False

    def columns(self) -> list[str]:
        """The names of all columns, no two alike; the rule is at the top of this module."""
        chosen = self.objective.chosen(np.zeros((1, len(self.output_names))))
        names = [self.id_name, *["file"] * self.with_file]
        if chosen is not None:
            names += self.output_names if chosen.ndim == 2 else [self.label or "class"]
        names += self.output_names if chosen is None else [f"p({n})" for n in self.output_names]
        distinct: dict[str, None] = {}
        for name in names:
            number, free = 1, name
            while free in distinct:
                number, free = number + 1, f"{name}_{number + 1}"
            distinct[free] = None
        return list(distinct)


class Writer(ABC):
    """Writes the rows of a table, one block after the other."""

    def __init__(self, header: Header):
        self.header = header
        self.columns = [encodable(name) for name in header.columns()]
        self.output_names = [encodable(name) for name in header.output_names]

    @abstractmethod
    def write(self, ids: Ids, predictions: HostArray, file: str | Path | None = None) -> None:
        """Write N rows.

        ids (N,); predictions (N, K) float32 or float64, finite, as predict() returns them, from 0
        to 1 if they are probabilities; file: where the rows come from, if the header has a column
        for it.
        """


@contextmanager
def open_writer(out: Path | None, header: Header) -> Iterator[Writer]:
    """A writer for a block: to a file, in the format of its suffix, or CSV to standard output.

    The file appears at the end of the block, complete, and takes the place of an older one; if the
    block raises, the older one stays. Standard output is written as it goes. On a terminal, names
    are spelled such that none can control it. Raises InputError as check_out() does, and if the
    file can't be written; errors of standard output pass as they are.
    """
    from mlp_xp.data.predictions.text import TextWriter

    if out is None:
        spell = printable if sys.stdout.isatty() else str
        yield TextWriter(header, lambda lines: sys.stdout.write(lines.decode()), ",", spell)
        return
    check_out(out)
    suffix = out.suffix.lower()
    with whole_file(Path(os.path.realpath(out))) as file:  # a link stays, and leads to the new file
        if suffix == ".parquet":
            from mlp_xp.data.predictions.parquet import ParquetWriter

            with ParquetWriter(header, file).closing() as writer:
                yield writer
        else:
            yield TextWriter(header, file.write, DELIMITERS[suffix])


def check_out(out: Path, inputs: Iterable[Path] = ()) -> None:
    """Raise InputError unless `out` can be the file of a writer, and is none of the inputs."""
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"{out}: can't tell its format; name it {', '.join(SUFFIXES)}")
    check_file_name(out)
    for path in inputs:
        with suppress(OSError):  # no such file: what reads it says so
            if out.samefile(path):
                raise InputError(f"{out}: is one of the files to read; name another")
    if out.suffix.lower() == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise InputError(
                f"{out}: writing Parquet needs pyarrow: pip install '.[table]' in the clone"
            ) from error


def row_numbers(ids: Ids) -> HostArray:
    """The ids, which are numbers, as int64."""
    if isinstance(ids, range):  # asarray() would make an object of each
        return np.arange(ids.start, ids.stop, ids.step, dtype=np.int64)
    return np.asarray(ids, dtype=np.int64)


def encodable(text: str) -> str:
    """The text, with what isn't Unicode spelled out: the bytes of a file's name can be anything."""
    return text.encode("utf-8", "backslashreplace").decode()
