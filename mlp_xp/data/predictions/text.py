"""Predictions as text: CSV, TSV or JSON lines.

The rows of a block are made as one array of bytes, in which all cells of a column are equally wide;
PAD fills what a cell leaves, and is taken out at the end. Python's formats take four times as long.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data.predictions import Header, Ids, Writer, encodable, row_numbers
from mlp_xp.types import HostArray

BLOCK_BYTES = 1 << 19
"""Bytes made at a time: few enough to stay in the cache."""
PAD = 0xFF
"""A byte that UTF-8 doesn't have."""
EXACT = {"float32": "%-15.9g", "float64": "%-24r"}
"""The format that keeps every bit of a dtype, in a cell as wide as the longest number. Nine digits
do for float32: IEEE 754-2019, section 5.12.2."""
FOUR = (np.indices((10,) * 4).reshape(4, -1).T + ord("0")).astype(np.uint8, order="C").view("u4")
"""The digits of each number from 0 to 9999, (10000, 1): four bytes that are copied as one."""
Bytes: TypeAlias = NDArray[np.uint8]
Spell: TypeAlias = Callable[[str], str]


class TextWriter(Writer):
    """CSV with this delimiter, or an object of JSON in each line if it is None.

    emit takes the bytes of some lines. spell makes names fit to be shown.
    """

    def __init__(
        self,
        header: Header,
        emit: Callable[[bytes], object],
        delimiter: str | None,
        spell: Spell = str,
    ):
        super().__init__(header)
        self._emit, self._quote = emit, _quoter(delimiter, spell)
        names = [self._quote(name) for name in self.columns]
        leads, end = ["", *[delimiter or ""] * (len(names) - 1)], "\n"
        if delimiter is None:
            leads, end = [f"{', ' if i else '{'}{name}: " for i, name in enumerate(names)], "}\n"
        else:
            emit((delimiter.join(names) + "\n").encode())
        self._leads, self._end = [_cells([lead]) for lead in leads], _cells([end])
        self._classes = _cells([self._quote(name) for name in self.output_names])

    def write(self, ids: Ids, predictions: HostArray, file: str | Path | None = None) -> None:
        """Write N rows, see Writer."""
        n, K = predictions.shape
        names: Sequence[str] | HostArray
        if n and isinstance(ids[0], str):
            names = [self._quote(encodable(str(name))) for name in ids]
            longest = max(map(len, names))
        else:
            names, longest = row_numbers(ids), 20
        source = _cells([self._quote(encodable(str(file)))] * self.header.with_file)
        width = longest + source.size + self._classes.shape[1] + 25 * K
        step = max(1, BLOCK_BYTES // (width + sum(lead.size for lead in self._leads)))
        for start in range(0, n, step):
            part = predictions[start : start + step]
            pieces = [*self._row(names[start : start + step], source, part), self._end]
            ends = np.cumsum([cells.shape[1] for cells in pieces]).tolist()
            rows = np.empty((len(part), ends[-1]), dtype=np.uint8)
            for cells, end in zip(pieces, ends, strict=True):
                rows[:, end - cells.shape[1] : end] = cells
            self._emit(rows[rows != PAD].tobytes())

    def _row(
        self, names: Sequence[str] | HostArray, source: Bytes, part: HostArray
    ) -> Iterator[Bytes]:
        """What a row consists of, each (n, width), or (1, width) if it is the same in all rows."""
        leads = iter(self._leads)
        yield next(leads)
        yield _integers(names) if isinstance(names, np.ndarray) else _cells(names)
        if self.header.with_file:
            yield next(leads)
            yield source
        chosen = self.header.objective.chosen(part)
        if chosen is not None and chosen.ndim == 1:
            yield next(leads)
            yield self._classes.take(chosen, axis=0)
        elif chosen is not None:
            for label in chosen.T:
                yield next(leads)
                yield label[:, None] + np.uint8(ord("0"))
        numbers = _exact(part) if chosen is None else _decimals(part)
        for k in range(part.shape[1]):
            yield next(leads)
            yield numbers[:, k]


def _quoter(delimiter: str | None, spell: Spell) -> Spell:
    """What turns a text into a cell: of JSON, or of CSV by RFC 4180, section 2."""
    if delimiter is None:
        return partial(json.dumps, ensure_ascii=False)
    special = re.compile(f'[{delimiter}"\r\n]')

    def quote(text: str) -> str:
        text = spell(text)
        return '"' + text.replace('"', '""') + '"' if special.search(text) else text

    return quote


def _cells(texts: Sequence[str]) -> Bytes:
    """The texts (n,) in UTF-8: (n, width)."""
    encoded = [text.encode() for text in texts]
    width = max(map(len, encoded), default=0)
    whole = b"".join([text.ljust(width, bytes([PAD])) for text in encoded])
    return np.frombuffer(whole, dtype=np.uint8).reshape(len(texts), width)


def _integers(numbers: HostArray) -> Bytes:
    """Numbers (n,) from 0 on: (n, width)."""
    width = len(str(numbers.max()))
    fours = [FOUR.take(numbers // 10**k % 10_000, axis=0) for k in range(0, width, 4)]
    digits = np.concatenate(fours[::-1], axis=1).view(np.uint8)[:, -width:]
    for k in range(1, width):  # no zeros in front
        digits[numbers < 10**k, -1 - k] = PAD
    return digits


def _decimals(p: HostArray) -> Bytes:
    """p (n, K) from 0 to 1 with nine decimals: (n, K, 11).

    Of float32 these are f"{p:.9f}": p has 24 bits and 5^9 has 21, so the product is exact in
    float64, and both round half to even.
    """
    units = np.rint(np.multiply(p, 1e9, dtype=np.float64)).astype(np.int32)
    thousands = units // 1000
    fours = np.empty((*p.shape, 3), dtype=np.uint32)
    fours[..., 0] = FOUR.take(units // 10_000_000)
    fours[..., 1] = FOUR.take(thousands % 10_000)
    fours[..., 2] = FOUR.take((units - thousands * 1000) * 10)
    text = fours.view(np.uint8)[..., :11]
    text[..., 0], text[..., 1] = text[..., 1], ord(".")
    return text


def _exact(numbers: HostArray) -> Bytes:
    """Numbers (n, K) with as many digits as they need: (n, K, width)."""
    template = EXACT[str(numbers.dtype)] * numbers.size
    text = (template % tuple(numbers.ravel().tolist())).encode().replace(b" ", bytes([PAD]))
    return np.frombuffer(text, dtype=np.uint8).reshape(*numbers.shape, -1)
