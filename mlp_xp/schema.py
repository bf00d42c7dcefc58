"""What the numbers that a network reads and gives stand for: columns, classes, pictures.

A data set has a Schema, and the model that is trained on it keeps it, so that later rows are read
as the first ones were.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

KINDS = ("number", "boolean", "date", "category")


@dataclass(frozen=True)
class Column:
    """A column of a table, and the inputs that it becomes.

    number: its value. boolean: 0 or 1. date: days since 1970, UTC. category: an input for each of
    `levels`, 1 for the value's own and 0 for all others.
    fill: the median in training, which stands for a missing number, boolean or date. A missing
    category is all zeros. has_gaps: values were missing in training, so one more input is 1 where
    one is.
    """

    name: str
    kind: str
    fill: float = 0.0
    has_gaps: bool = False
    levels: tuple[str, ...] = ()

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of its inputs."""
        values = [f"{self.name}={level}" for level in self.levels]
        own = values if self.kind == "category" else [self.name]
        return (*own, f"{self.name} is missing") if self.has_gaps else tuple(own)

    @property
    def width(self) -> int:
        """How many inputs it becomes."""
        return (len(self.levels) if self.kind == "category" else 1) + self.has_gaps

    @classmethod
    def from_dict(cls, values: Any) -> Column:
        """The column of asdict(). Raises TypeError or ValueError for anything else."""
        column = cls(**{**values, "levels": tuple(values["levels"])})
        texts = (column.name, *column.levels)
        if column.kind not in KINDS or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"not a column: {values!r}")
        if not isinstance(column.fill, int | float) or not isinstance(column.has_gaps, bool):
            raise ValueError(f"not a column: {values!r}")
        return column


@dataclass(frozen=True)
class Picture:
    """The size that pictures are brought to: pixels, and 1 channel for gray or 3 for colors."""

    height: int
    width: int
    channels: int = 1

    def __str__(self) -> str:
        return f"{self.height} x {self.width}" + (" in color" if self.channels == 3 else "")

    @property
    def n_inputs(self) -> int:
        """The number of values in a picture."""
        return self.height * self.width * self.channels

    @classmethod
    def from_dict(cls, values: Any) -> Picture:
        """The picture of asdict(). Raises TypeError or ValueError for anything else."""
        picture = cls(**values)
        sizes = picture.height, picture.width, picture.channels
        if not all(type(n) is int and 0 < n < 1 << 16 for n in sizes) or sizes[2] not in (1, 3):
            raise ValueError(f"not a picture: {values!r}")
        return picture


@dataclass(frozen=True)
class Schema:
    """What the inputs and outputs of a data set, or of a network, are called and made of.

    columns: the columns of the table; None where the data was no table. feature_names: the inputs;
    None if they have no names. output_names: the classes, or the columns of y. label: the column
    of classes. picture: the size of the pictures; None where the data was none.
    """

    columns: tuple[Column, ...] | None = None
    feature_names: tuple[str, ...] | None = None
    output_names: tuple[str, ...] | None = None
    label: str | None = None
    picture: Picture | None = field(default=None)

    def outputs(self, count: int) -> tuple[str, ...]:
        """The name of each of so many outputs: its number where it has none."""
        return self.output_names or tuple(map(str, range(count)))

    @property
    def schema(self) -> Schema:
        """Itself, so that it can stand for a data set that others have to fit."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """All fields, as plain data that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> Schema:
        """The schema of to_dict(). Raises TypeError, ValueError or LookupError otherwise."""
        columns, picture = values["columns"], values["picture"]
        schema = cls(
            None if columns is None else tuple(map(Column.from_dict, columns)),
            _names(values["feature_names"]),
            _names(values["output_names"]),
            values["label"],
            None if picture is None else Picture.from_dict(picture),
        )
        if not isinstance(schema.label, str | None):
            raise ValueError(f"label is {schema.label!r}")
        return schema


def _names(values: Any) -> tuple[str, ...] | None:
    if values is not None and not (
        isinstance(values, list | tuple) and all(isinstance(name, str) for name in values)
    ):
        raise ValueError(f"{values!r} are no names")
    return None if values is None else tuple(values)


@runtime_checkable
class HasSchema(Protocol):
    """A Dataset, a Model, or a Schema itself."""

    @property
    def schema(self) -> Schema: ...  # noqa: D102
