"""The parts that a page is put together from, without a word of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Cells = Sequence[str]


@dataclass(frozen=True)
class Card:
    """A figure that stands out."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table. numbers: which columns hold numbers, and so stand to the right."""

    caption: str
    head: Cells
    rows: Sequence[Cells]
    numbers: frozenset[int] = frozenset()


@dataclass(frozen=True)
class SmallPicture:
    """A row of the data as a picture: its `uri` as PNG, and how large to show it."""

    uri: str
    row: int
    width: int
    height: int
    words: str
    note: str


@dataclass(frozen=True)
class Gallery:
    """Pictures under a title."""

    title: str
    text: str
    pictures: Sequence[SmallPicture]


@dataclass(frozen=True)
class Section:
    """A section of a page: all that it has, in the order in which it is shown.

    id: its anchor. code: commands. figures: pairs of an SVG and its text, which stands beside it
    unless they are `wide`. folded: tables that are shown on a click. fragment: HTML in place of all
    that, by the template `template`.
    """

    id: str
    title: str
    cards: Sequence[Card] = ()
    texts: Sequence[str] = ()
    code: Sequence[str] = ()
    figures: Sequence[tuple[str, str]] = ()
    wide: bool = False
    galleries: Sequence[Gallery] = ()
    tables: Sequence[Table] = ()
    folded: Sequence[Table] = ()
    after: Sequence[str] = ()
    fragment: str = ""
    template: str = "section.html"


def share(value: float, digits: int = 2) -> str:
    """A share as percent: `12.50 %`. What isn't quite 0 or all of it doesn't look like that."""
    percent, least = 100 * value, 10.0**-digits
    sign = ""
    if 0 < percent < least / 2:
        sign, percent = "<", least
    elif 100 - least / 2 < percent < 100:
        sign, percent = ">", 100 - least
    return f"{sign}{percent:.{digits}f}\N{NO-BREAK SPACE}%"


def plural(count: int, what: str, many: str = "") -> str:
    """A number of things, as in `1 epoch` and `1,000 epochs`."""
    return f"{count:,} {what if count == 1 else many or f'{what}s'}"
