"""Columns of text on a screen, where some characters are two columns wide."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence

from mlp_xp.errors import printable

LONGEST_NAME = 32


def aligned(
    rows: Sequence[Sequence[str]], left: Collection[int] = (0,), longest: int = LONGEST_NAME
) -> list[str]:
    """Lines of columns: those whose numbers are in `left` to the left, all others to the right.

    Cells to the left are names, which are cut to `longest` columns of the screen.
    """
    rows = [[cut(c, longest) if i in left else c for i, c in enumerate(row)] for row in rows]
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        padded = []
        for i, (text, wide) in enumerate(zip(row, widths, strict=True)):
            space = " " * (wide - width(text))
            padded.append(text + space if i in left else space + text)
        lines.append("  ".join(padded))
    return lines


def cut(name: str, longest: int) -> str:
    """The name in one line of at most `longest` columns, without its middle if it is longer."""
    # Long names often differ at the end alone.
    name = printable(name)
    if width(name) <= longest:
        return name
    head, tail = (longest - 2) // 2, longest - 2 - (longest - 2) // 2
    return f"{_start(name, head)}..{_start(name[::-1], tail)[::-1]}"


def _start(name: str, columns: int) -> str:
    """The longest start of the name that takes up at most so many columns."""
    for end in range(len(name), -1, -1):
        if width(name[:end]) <= columns:
            return name[:end]
    return ""


def width(text: str) -> int:
    """How many columns of a terminal the text takes up."""
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me", "Cf")
        else 2 if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )  # fmt: skip
