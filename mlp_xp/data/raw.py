"""What a source of data gives, before the checks that all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from mlp_xp.errors import InputError
from mlp_xp.schema import Schema

RawSplit: TypeAlias = tuple[Any, Any, Any]
"""X, y, and weights or None."""


class RawData(NamedTuple):
    """Splits, what they stand for, and lines that tell what was done to them."""

    train: RawSplit
    test: RawSplit | None
    schema: Schema
    objective: str
    notes: tuple[str, ...] = ()
    validation: RawSplit | None = None


def names_of(names: Any, what: str, where: str) -> tuple[str, ...] | None:
    """Names as a tuple, or None if there are none."""
    try:
        if not isinstance(names, str | set | frozenset):  # a set has no order
            return tuple(map(str, () if names is None else names)) or None
    except TypeError:
        pass
    raise InputError(f"{where}: {what} is {names!r}; it must be a list of names")


def listed(names: Sequence[str], count: int = 8) -> str:
    """Names for a message: a few of them, each short."""
    return ", ".join(name[:40] for name in names[:count]) + (", ..." if names[count:] else "")
