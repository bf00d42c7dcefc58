"""What determines a run: every setting, its default, and the presets."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from mlp_xp.errors import InputError
from mlp_xp.functions import ACTIVATIONS
from mlp_xp.network import INITIALISERS
from mlp_xp.optimizers import SCHEDULES


@dataclass(frozen=True)
class Config:
    """All that determines a run, apart from its data and its device. The defaults suit MNIST.

    Raises InputError, naming the field, for a value that can't be.
    """

    hidden: tuple[int, ...] = (256,)
    activation: str = "relu"
    init: str = "he"
    batch_size: int = 32
    epochs: int = 10
    lr: float = 0.3
    schedule: str = "linear"
    shuffle: bool = True
    seed: int = 0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        """Check every field."""
        object.__setattr__(self, "hidden", tuple(self.hidden))
        for name, choices in (
            ("activation", ACTIVATIONS),
            ("init", INITIALISERS),
            ("schedule", SCHEDULES),
            ("dtype", ("float32", "float64")),
        ):
            if getattr(self, name) not in choices:
                raise InputError(f"{name} is {getattr(self, name)!r}; use {' or '.join(choices)}")
        for name, value in (
            ("batch_size", self.batch_size),
            ("epochs", self.epochs),
            *(("hidden", size) for size in self.hidden),
        ):
            if type(value) is not int or value < 1:
                raise InputError(f"{name} is {value!r}; it must be a whole number from 1")
        if type(self.seed) is not int or not 0 <= self.seed < 2**32:
            raise InputError(f"seed is {self.seed!r}; it must be a whole number below 2**32")
        if type(self.shuffle) is not bool:
            raise InputError(f"shuffle is {self.shuffle!r}; use true or false")
        if type(self.lr) not in (int, float) or not 0 < self.lr < math.inf:
            raise InputError(f"lr is {self.lr!r}; it must be a number above 0")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """The Config with these fields; what isn't named keeps its default."""
        unknown = values.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise InputError(f"unknown setting {', '.join(sorted(unknown))} in the configuration")
        if not isinstance(values.get("hidden", ()), list | tuple):
            raise InputError(f"hidden is {values['hidden']!r}; it must be a list of layer widths")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Every field, as plain data that JSON can hold."""
        return {**asdict(self), "hidden": list(self.hidden)}


PRESETS: dict[str, dict[str, Any]] = {
    # The notebook that this project began as: its losses and its 97.08 %, to the last digit.
    "notebook": Config(
        hidden=(128,),
        init="notebook",
        batch_size=1,
        epochs=5,
        lr=0.01,
        schedule="constant",
        shuffle=False,
        seed=0,
        dtype="float64",
    ).to_dict(),
}
