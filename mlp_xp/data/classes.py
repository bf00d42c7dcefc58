"""The classes in a table's column: their names, and the number of each."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data.checks import MAX_CLASSES
from mlp_xp.errors import InputError

# Neither can take more than linear time on a long text.
WHOLE = re.compile(r"([+-]?)([0-9]+)(\.0*)?")
NUMBER = re.compile(
    r"[+-]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]{1,9})?|nan|inf(inity)?)", re.ASCII | re.I
)


def class_key(name: str) -> str:
    """What two names of the same class share: the value of a whole number, else the name itself.

    1, +1, 01 and 1.0 are one class; 1e0 and 1_0 are other names.
    """
    # The digits stay text: they may be more than a float holds, or than int() reads.
    whole = WHOLE.fullmatch(name)
    if whole is None:
        return name
    digits = whole[2].lstrip("0")
    return "-" * (whole[1] == "-") + digits if digits else "0"


class ClassCodes:
    """The classes in a column of text, numbered in the order in which they first occur.

    names: the first name of each that occurs.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._by_text: dict[str, int] = {}
        self._by_key: dict[str, int] = {}

    def encode(self, text: str) -> float:
        """The code of a name, or NaN for an empty one."""
        code = self._by_text.get(text)
        if code is None:
            name = text.strip()
            if not name:
                return math.nan
            code = self._by_key.setdefault(class_key(name), len(self.names))
            if code == len(self.names):
                self.names.append(name)
            self._by_text[text] = code
        return code

    def sorted_names(self, where: str) -> tuple[str, ...]:
        """The names: in order of value if all are whole numbers, else alphabetically.

        Raises InputError, starting with `where`, for fractions, for more than MAX_CLASSES, and for
        two names of the same number.
        """
        if len(self.names) > MAX_CLASSES:
            raise InputError(
                f"{where} holds more than {MAX_CLASSES} classes; name the label's column with "
                "--label"
            )
        values = {name: Decimal(name) for name in self.names if NUMBER.fullmatch(name)}
        _check_distinct(values, where)
        if len(values) < len(self.names):
            return tuple(sorted(self.names))
        for name, value in values.items():
            if value.is_nan():
                raise InputError(f"{where} holds {name}, a missing value; fill it in")
            if not value.is_finite() or value != value.to_integral_value():
                raise InputError(
                    f"{where} holds {name[:40]}, a number, not a class; name the label's column "
                    "with --label, or train with --objective regression"
                )
        return tuple(sorted(self.names, key=values.__getitem__))

    def to_classes(self, names: tuple[str, ...] | None, where: str) -> NDArray[np.int64]:
        """The class of each code, (len(self.names),): its place in `names`, or its own value.

        names: None where classes are numbers. Raises InputError, starting with `where`, for a class
        that isn't among them.
        """
        keys = self._by_key.keys()
        if names is None:
            known = {key: int(key) for key in keys if re.fullmatch("[0-9]{1,9}", key)}
            trained = "whole numbers from 0"
        else:
            known = {}
            for k, name in enumerate(names):
                if known.setdefault(class_key(name), k) != k:
                    _refuse(names[known[class_key(name)]], name, where)
            trained = ", ".join(name[:40] for name in names[:8]) + (", ..." if names[8:] else "")
        unknown = [name for name, key in zip(self.names, keys, strict=True) if key not in known]
        if unknown:
            near = difflib.get_close_matches(min(unknown), names or (), 1, 0.6)
            hint = f"did you mean {near[0][:40]!r}?" if near else "leave its rows out"
            raise InputError(
                f"{where} holds the class {min(unknown)[:40]!r}, which is not in training "
                f"({trained}); {hint}"
            )
        return np.array([known[key] for key in keys], dtype=np.int64)


def _check_distinct(values: Mapping[str, Decimal], where: str) -> None:
    first: dict[Decimal, str] = {}
    for name, value in values.items():
        if first.setdefault(value, name) != name:
            _refuse(first[value], name, where)


def _refuse(name: str, other: str, where: str) -> NoReturn:
    raise InputError(
        f"{where}: the classes {name[:40]!r} and {other[:40]!r} are the same number; spell it in "
        "one way"
    )
