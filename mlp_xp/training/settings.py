"""Kinds of settings: how a value is checked, read from text, and shown in a help page."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection
from dataclasses import dataclass
from numbers import Real
from typing import Any

from mlp_xp.errors import InputError

ABOVE_ZERO = math.ulp(0)
"""The smallest positive float: as `least`, it excludes 0."""


def plain(value: Any) -> Any:
    """NumPy's scalars and arrays, alone or in a list, as Python's numbers and lists."""
    # Without naming NumPy, which would import it for a help page.
    if hasattr(value, "tolist") and not isinstance(value, type):
        value = value.tolist()
        if isinstance(value, Real) and not isinstance(value, int | float):  # a long double
            return float(value)
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting of a run. `unset` is how the help page shows a default of None."""

    help: str
    group: str
    """Of the help page: network, optimization, regularization or run."""
    default: Any = None
    unset: str = "none"
    metavar: str | None = None
    component: str | None = None
    """The setting whose choice takes this one as an argument: objective, optimizer or schedule."""

    @property
    def choices(self) -> list[str] | None:
        """The allowed values, if they can be listed."""
        return None

    @property
    def is_flag(self) -> bool:
        """Whether it is either true or false."""
        return False

    @property
    def placeholder(self) -> str:
        """What stands for a value in the help page: metavar, or what suits the kind."""
        return self.metavar or "NAME"

    @property
    def shown_default(self) -> str:
        """The default as it would be written on the command line."""
        if isinstance(self.default, tuple):
            return ",".join(map(str, self.default))
        return self.unset if self.default is None else str(self.default)

    def validate(self, name: str, value: Any) -> Any:
        """The value, checked; NumPy's numbers and arrays become Python's.

        Raises InputError, naming the setting, if it is invalid.
        """
        return self.check(name, plain(value))

    def check(self, name: str, value: Any) -> Any:
        """The value, which is plain data, checked; see validate()."""
        return value

    def parse(self, text: str) -> Any:
        """A value from the command line. Raises ValueError with a message for the user."""
        return text


@dataclass(frozen=True, kw_only=True)
class Flag(Setting):
    """True or false."""

    @property
    def is_flag(self) -> bool:
        """Always."""
        return True

    def check(self, name: str, value: Any) -> bool:
        """True and false alone; 1 is neither."""
        if value is True or value is False:
            return bool(value)
        raise InputError(f"{name} is {value!r}; use one of True, False")


@dataclass(frozen=True, kw_only=True)
class Choice(Setting):
    """One of `names`, which is read at each use, so that users can add to it."""

    names: Collection[str]

    @property
    def choices(self) -> list[str]:
        """The names."""
        return list(self.names)

    def check(self, name: str, value: Any) -> str | None:
        """One of the names, or None if that is the default."""
        if value is None and self.default is None:
            return None
        if type(value) is str and value in self.names:
            return value
        raise InputError(f"{name} is {value!r}; use one of {', '.join(self.names)}")


@dataclass(frozen=True, kw_only=True)
class Number(Setting):
    """A number from `least`, and less than `below`; an integer if `whole`."""

    whole: bool = False
    least: float = 0
    below: float = math.inf

    @property
    def placeholder(self) -> str:
        """N for a whole number, X for any."""
        return self.metavar or ("N" if self.whole else "X")

    def check(self, name: str, value: Any) -> Any:
        """A number in the range, or None if that is the default."""
        if value is None and self.default is None:
            return None
        fits = type(value) is int or (type(value) is float and not self.whole)
        most = 2**53 if self.whole else sys.float_info.max  # JSON's integers are unbounded
        if fits and self.least <= value < self.below and value <= most:
            return value
        what = "a whole number" if self.whole else "a number"
        low = "above 0" if self.least == ABOVE_ZERO else f"from {self.least}"
        high = "" if self.below == math.inf else f" and below {self.below}"
        raise InputError(f"{name} is {value!r}; it must be {what} {low}{high}")

    def parse(self, text: str) -> Any:
        """A number as Python writes it."""
        number = int if self.whole else float
        try:
            return number(text)
        except ValueError:
            raise ValueError(f"invalid {number.__name__} value: {text!r}") from None


@dataclass(frozen=True, kw_only=True)
class Numbers(Number):
    """A list of such numbers. count: how many, None for any; example: for error messages."""

    example: str
    count: int | None = None

    def check(self, name: str, value: Any) -> Any:
        """A tuple of numbers, each in the range."""
        if not isinstance(value, list | tuple) or None in value:
            raise InputError(f"{name} is {value!r}; it must be a list of numbers")
        if self.count not in (None, len(value)):
            raise InputError(f"{name} is {value!r}; it must be {self.count} numbers")
        return tuple(super(Numbers, self).check(name, number) for number in value)

    def parse(self, text: str) -> Any:
        """Numbers separated by commas; an empty text is an empty list."""
        number = int if self.whole else float
        try:
            return [number(part) for part in text.split(",")] if text.strip() else []
        except ValueError:
            raise ValueError(f"'{text}' is not a list of numbers; write {self.example}") from None


@dataclass(frozen=True, kw_only=True)
class ClassWeight(Numbers):
    """`balanced`, or a number for each class."""

    def check(self, name: str, value: Any) -> Any:
        """`balanced`, None, or a tuple of numbers."""
        return value if value in (None, "balanced") else super().check(name, value)

    def parse(self, text: str) -> Any:
        """`balanced`, or numbers separated by commas."""
        return text if text == "balanced" else super().parse(text)
