"""Tables as text: CSV, TSV and the like."""

from __future__ import annotations

import csv
import io
import math
import re
import sys
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np

from mlp_xp.data.header import MAX_LINE, read_header, why
from mlp_xp.data.memory import BLOCK_BYTES
from mlp_xp.data.tablefile import (
    COMPRESSED,
    STDIN,
    TableFile,
    check_text,
    coded,
    numbered,
    numbers_of,
)
from mlp_xp.data.values import Numbers, Values
from mlp_xp.errors import InputError

MISSING = ["", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A", "-"]
"""Texts that stand for a missing value."""
BOOLEANS = {"true": 1.0, "false": 0.0}
DECIMAL_COMMA = (r"^([+-]?[0-9]*),([0-9]+(e[+-]?[0-9]+)?)$", r"\1.\2")
"""Where a semicolon is the delimiter: a number with a comma, and how others have it."""
THOUSANDS = r"^[+-]?[1-9][0-9]{0,2}([.][0-9]{3})+(,[0-9]+)?$"
"""Where numbers have decimal commas: one with points between its thousands."""
BREAKS = {
    "\n": "goes on in the next line; close the quote",
    "\r": "goes on in the next line; close the quote",
    "\0": "is followed by a NUL byte; is this a text file?",
}
FIRST_BYTES = 1 << 18
"""From so many bytes a column's kind is guessed."""


class TextTable(TableFile):
    """CSV and TSV, with any of DELIMITERS, plain or compressed, or from standard input.

    Where a semicolon is the delimiter, a comma in a number is its decimal point; if there is one
    among the first rows, points between three digits are thousands.
    """

    _has_rows = True
    _has_decimal_commas = False

    def __init__(self, path: Path):
        super().__init__(path)
        self._stdin = sys.stdin.buffer.read() if path == STDIN else None
        if self._stdin is None:
            check_text(path)
        with self._open() as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline=None)
            self.names, self.delimiter, self.n_skipped = read_header(text, path)
            with suppress(OSError, EOFError, ValueError):  # met again where the rows are read
                first = text.read(FIRST_BYTES)
                self._has_rows = bool(first)
                commas = re.search(r"(^|;)\s*\"?[+-]?[0-9.]*[0-9],[0-9]+\"?\s*(;|$)", first, re.M)
                self._has_decimal_commas = self.delimiter == ";" and commas is not None

    def _open(self) -> Any:
        """The bytes of the file, decompressed."""
        import pyarrow as pa

        if self._stdin is not None:
            return io.BytesIO(self._stdin)
        suffix = self.path.suffix.lower()
        file = pa.OSFile(str(self.path))
        if suffix not in COMPRESSED:
            return file
        return pa.CompressedInputStream(file, {".gz": "gzip", ".zst": "zstd"}[suffix])

    def _batches(self, columns: Sequence[int], texts: Collection[int]) -> Generator[list[Any]]:
        """Arrow arrays: of float64 where that is known to do, else of texts."""
        import pyarrow as pa

        if not self._has_rows:
            return
        numeric, done = self._numeric(columns) - set(texts), 0
        while True:
            skip = done
            try:
                with closing(self._reader(columns, numeric)) as batches:
                    for batch in batches:
                        rest = batch.slice(min(skip, batch.num_rows))
                        skip -= batch.num_rows - rest.num_rows
                        if rest.num_rows:
                            yield list(rest.columns)
                        done += rest.num_rows
                return
            except pa.ArrowInvalid:
                if not numeric:
                    raise
                numeric = set()  # the same rows once more: some are spelled in another way

    def _numeric(self, columns: Sequence[int]) -> set[int]:
        """Columns whose first rows are plain numbers, which pyarrow converts while it reads."""
        import pyarrow as pa

        if self._has_decimal_commas:
            return set()
        try:
            # Closed here: whatever is raised while Python drops a generator, as by Ctrl-C, is lost.
            with closing(self._reader(columns, None)) as batches:
                first = next(batches)
        except (pa.ArrowInvalid, StopIteration):
            return set()
        kinds = first.schema.types
        return {i for i, kind in zip(columns, kinds, strict=True)
                if pa.types.is_integer(kind) or pa.types.is_floating(kind)}  # fmt: skip

    def _reader(self, columns: Sequence[int], numeric: Collection[int] | None) -> Generator[Any]:
        """Batches of these columns: float64 the numeric ones, else texts; None: as they look."""
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        names = list(map(str, range(len(self.names))))
        types = {}
        if numeric is not None:
            types = {names[i]: pa.float64() if i in numeric else pa.string() for i in columns}
        with self._open() as file:
            try:
                reader = arrow_csv.open_csv(
                    file,
                    arrow_csv.ReadOptions(
                        column_names=names, skip_rows=self.n_skipped,
                        block_size=BLOCK_BYTES * 2 if numeric is not None else FIRST_BYTES,
                    ),
                    arrow_csv.ParseOptions(delimiter=self.delimiter),
                    arrow_csv.ConvertOptions(
                        column_types=types, include_columns=[names[i] for i in columns],
                        null_values=MISSING, strings_can_be_null=True,
                    ),
                )  # fmt: skip
            except pa.ArrowInvalid as error:
                if "Empty CSV" in str(error) or "skip initial" in str(error):  # a header alone
                    return
                raise
            yield from reader

    def _values(self, array: Any, as_text: bool, name: str) -> Values:
        """The values as what they all are: numbers, booleans, dates, or else texts."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_floating(array.type):
            return numbers_of(array)
        distinct, codes = coded(array)
        for sign, what in BREAKS.items():
            broken = distinct.filter(pc.match_substring(distinct, sign))
            if len(broken):
                start = broken[0].as_py().partition(sign)[0][:20]
                raise InputError(f"{self.path}: column {name!r}: {start!r} {what}")
        spelled = pc.utf8_trim_whitespace(distinct)
        spelled = pc.if_else(pc.is_in(spelled, pa.array(MISSING)), None, spelled)
        if self.delimiter == ";":
            if self._has_decimal_commas:
                grouped = pc.match_substring_regex(spelled, THOUSANDS)
                plain = pc.replace_substring(spelled, ".", "")
                spelled = pc.if_else(grouped, plain, spelled)
            spelled = pc.replace_substring_regex(spelled, *DECIMAL_COMMA)
        numbers = None if as_text else _parsed(spelled)
        if numbers is None:
            return numbered(spelled.to_pylist(), codes)
        return Numbers(np.append(numbers.values, math.nan)[codes], numbers.kind)

    def place(self, row: int) -> str:
        """The line, counted by Python: slow, but only a message needs it."""
        seen = -1
        for number, fields in self._lines():
            seen += bool(fields)
            if seen == row:
                return f"line {number}"
        return f"row {row}"

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        """The number and the fields of each line below the header; no fields for an empty one."""
        with self._open() as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline=None)
            for number, line in enumerate(iter(lambda: text.readline(MAX_LINE), ""), 1):
                if number <= self.n_skipped:
                    continue
                try:
                    row = [line] if line.strip() else []
                    yield number, next(csv.reader(row, delimiter=self.delimiter, strict=True), [])
                except csv.Error as error:
                    raise InputError(f"{self.path}: line {number}: {why(error)}") from error

    def _damaged(self, error: Exception) -> InputError:
        """The line that is wrong, found by reading the file once more."""
        self._check_errno(error)
        try:
            for number, fields in self._lines():
                if fields and len(fields) != len(self.names):
                    return InputError(
                        f"{self.path}: line {number} has {len(fields)} values, the header names "
                        f"{len(self.names)} columns; fix the line"
                    )
        except InputError as found:
            return found
        except UnicodeDecodeError as found:
            return InputError(f"{self.path}: not UTF-8 text ({found.reason}); save it as UTF-8")
        except (OSError, EOFError, ValueError) as found:
            return InputError(f"{self.path}: damaged ({found}); get it again")
        why = str(error).partition("\n")[0]
        if "straddling" in why:
            why = "a line is too long; is this a text file?"
        return InputError(f"{self.path}: can't be read as a table ({why}); fix it")


def _parsed(texts: Any) -> Numbers | None:
    """An Arrow array of texts as numbers, booleans or dates; None if they are of no one kind."""
    import pyarrow as pa
    import pyarrow.compute as pc

    with suppress(pa.ArrowInvalid):
        return numbers_of(texts.cast(pa.float64()))
    values = [text and BOOLEANS.get(text, -1.0) for text in pc.utf8_lower(texts).to_pylist()]
    if -1.0 not in values:
        return Numbers(np.array(values, dtype=np.float64), "boolean")  # None becomes NaN
    # Not in nanoseconds: pyarrow 16 takes the year 2300 for 1715 then.
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        with suppress(pa.ArrowInvalid):
            return numbers_of(texts.cast(kind))
    return None
