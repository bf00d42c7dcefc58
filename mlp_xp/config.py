"""What determines a run: every setting, its default and its range, and the presets."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass, fields
from typing import Any

from mlp_xp.errors import InputError
from mlp_xp.functions import ACTIVATIONS, OUTPUTS
from mlp_xp.network import INITIALISERS
from mlp_xp.optimizers import OPTIMIZERS, SCHEDULES

PLATEAU = "plateau"  # the one schedule that isn't a function of time

CHOICES: dict[str, list[Any]] = {
    "activation": list(ACTIVATIONS),
    "init": [None, *INITIALISERS],
    "output": list(OUTPUTS),
    "optimizer": list(OPTIMIZERS),
    "schedule": [*SCHEDULES, PLATEAU],
    "dtype": ["float32", "float64"],
    "shuffle": [True, False],
    "nesterov": [True, False],
    "standardise": [True, False],
}
# name: (type, least, below). A float setting takes a whole number too.
RANGES: dict[str, tuple[type, float, float]] = {
    "dropout": (float, 0, 1),
    "batch_size": (int, 1, math.inf),
    "epochs": (int, 1, math.inf),
    "seed": (int, 0, 2**32),
    "lr": (float, math.ulp(0), math.inf),
    "warmup": (float, 0, math.inf),
    "lr_factor": (float, 0, 1),
    "lr_patience": (int, 0, math.inf),
    "momentum": (float, 0, 1),
    "weight_decay": (float, 0, math.inf),
    "clip_norm": (float, math.ulp(0), math.inf),
    "label_smoothing": (float, 0, 1),
    "validation": (float, 0, 1),
    "patience": (int, 1, math.inf),
    "window": (int, 1, math.inf),
}


@dataclass(frozen=True)
class Config:
    """All that determines a run, apart from its data and its device. The defaults suit MNIST.

    Raises InputError, naming the field, for a value that can't be.
    """

    hidden: tuple[int, ...] = (256,)
    activation: str = "relu"
    init: str | None = None
    """None: the one that suits the activation."""
    output: str = "softmax"
    dropout: float = 0.0
    batch_size: int = 32
    epochs: int = 10
    optimizer: str = "sgd"
    lr: float = 0.3
    schedule: str = "linear"
    warmup: float = 0.0
    """Epochs in which the learning rate rises to lr, before the schedule begins."""
    lr_factor: float = 0.1
    """What the schedules `step` and `plateau` multiply the learning rate with."""
    lr_patience: int = 2
    """Epochs without a better validation loss that `plateau` lets pass."""
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    clip_norm: float | None = None
    """The largest norm of all gradients together."""
    label_smoothing: float = 0.0
    class_weight: str | tuple[float, ...] | None = None
    """`balanced`, or a number for each class."""
    standardise: bool = False
    """Scale every input to mean 0 and variance 1 over the training set."""
    validation: float = 0.0
    """The share of the training rows that is set aside."""
    patience: int | None = None
    """Stop after so many epochs without a better validation loss, with the best weights."""
    shuffle: bool = True
    seed: int = 0
    dtype: str = "float32"
    window: int | None = None
    """Batches whose first-layer updates are applied together; None: whatever is fastest."""

    def __post_init__(self) -> None:
        """Check every field, and then what they say together."""
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if not any(
                value is choice or (value == choice and type(value) is str) for choice in choices
            ):
                named = ", ".join(str(choice) for choice in choices if choice is not None)
                raise InputError(f"{name} is {value!r}; use one of {named}")
        for name, (kind, least, below) in RANGES.items():
            self._check_number(name, getattr(self, name), kind, least, below)
        self._check_list("hidden", int, 1)
        if self.class_weight not in (None, "balanced"):
            self._check_list("class_weight", float, 0)
        self._check_together()

    def _check_number(self, name: str, value: Any, kind: type, least: float, below: float) -> None:
        if value is None and "None" in self.__annotations__[name]:
            return
        fits = type(value) is int or (kind is float and type(value) is float)
        most = 2**53 if kind is int else sys.float_info.max  # JSON's integers have no end
        if not (fits and least <= value < below and value <= most):
            what = "a whole number" if kind is int else "a number"
            low = "above 0" if least == math.ulp(0) else f"from {least}"
            high = "" if below == math.inf else f" and below {below}"
            raise InputError(f"{name} is {value!r}; it must be {what} {low}{high}")

    def _check_list(self, name: str, kind: type, least: float) -> None:
        values = getattr(self, name)
        if not isinstance(values, list | tuple):
            raise InputError(f"{name} is {values!r}; it must be a list of numbers")
        for value in values:
            self._check_number(name, value, kind, least, math.inf)
        object.__setattr__(self, name, tuple(values))

    def _check_together(self) -> None:
        needs = (
            ("nesterov", self.nesterov, "a momentum above 0", self.momentum),
            ("momentum", self.momentum, "the optimizer sgd", self.optimizer == "sgd"),
            (
                "label_smoothing",
                self.label_smoothing,
                "the output softmax",
                self.output == "softmax",
            ),
            ("class_weight", self.class_weight, "the output softmax", self.output == "softmax"),
        )
        for name, given, what, there in needs:
            if given and not there:
                raise InputError(f"{name} needs {what}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """The Config with these fields; what isn't named keeps its default."""
        unknown = values.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise InputError(f"unknown setting {', '.join(sorted(unknown))} in the configuration")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Every field, as plain data that JSON can hold."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


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
