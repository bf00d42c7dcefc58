"""What determines a run: every setting with its default, range and help, in one table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from mlp_xp.errors import InputError
from mlp_xp.nn.activations import ACTIVATIONS, INITIALIZERS
from mlp_xp.nn.losses import OBJECTIVES
from mlp_xp.nn.optimizers import OPTIMIZERS
from mlp_xp.nn.schedules import SCHEDULES
from mlp_xp.training.settings import (
    ABOVE_ZERO,
    Choice,
    ClassWeight,
    Flag,
    Number,
    Numbers,
    Setting,
)

T = TypeVar("T")

LEARNING_RATES = {"sgd": 0.3}
ADAPTIVE_RATE = 0.001
"""The learning rate of any other optimizer: Kingma and Ba 2015, algorithm 1."""

COMPONENTS: dict[str, Mapping[str, Callable[..., Any]]] = {
    "objective": OBJECTIVES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}
"""Settings that name a class, which takes further settings by the names of its arguments."""


def setting(default: Any, kind: type[Setting], group: str, text: str, **options: Any) -> Any:
    """A field of Config, with the Setting that describes it."""
    described = kind(help=text, group=group, default=default, **options)
    return field(default=default, metadata={"setting": described})


def _arguments(component: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(component).parameters


@dataclass(frozen=True)
class Config:
    """All that determines a run, apart from its data and its device. The defaults suit MNIST.

    Nothing here follows from the data: for that, see config_for(). lr is by default 0.3 of sgd, and
    0.001 of all other optimizers. Raises InputError, naming the field, for an invalid value or
    combination.
    """

    # fmt: off
    hidden: tuple[int, ...] = setting(
        (256,), Numbers, "network", "widths of the hidden layers, '' for none", whole=True,
        least=1, example="128 or 512,256", metavar="N,N"
    )
    activation: str = setting(
        "relu", Choice, "network", "their activation", names=ACTIVATIONS
    )
    init: str | None = setting(
        None, Choice, "network", "initial weights", names=INITIALIZERS, unset="by activation"
    )
    objective: str = setting("multiclass", Choice, "network", "kind of outputs", names=OBJECTIVES)
    standardize: bool = setting(False, Flag, "network", "scale each input to mean 0 and variance 1")
    dtype: str = setting("float32", Choice, "network", "precision", names=("float32", "float64"))
    batch_size: int = setting(32, Number, "optimization", "rows per step", whole=True, least=1)
    epochs: int = setting(10, Number, "optimization", "passes over the data", whole=True, least=1)
    optimizer: str = setting("sgd", Choice, "optimization", "update rule", names=OPTIMIZERS)
    lr: float = setting(
        None, Number, "optimization", "learning rate", least=ABOVE_ZERO, unset="by the optimizer"
    )
    schedule: str = setting(
        "linear", Choice, "optimization", "learning rate over time", names=SCHEDULES
    )
    warmup: float = setting(
        0.0, Number, "optimization", "epochs of rising learning rate at the start"
    )
    lr_factor: float = setting(
        0.1, Number, "optimization", "factor of the schedules step and plateau", below=1,
        component="schedule"
    )
    lr_patience: int = setting(
        2, Number, "optimization", "epochs without improvement before plateau cuts lr", whole=True,
        component="schedule"
    )
    momentum: float = setting(
        0.0, Number, "optimization", "momentum of sgd", below=1, component="optimizer"
    )
    nesterov: bool = setting(
        False, Flag, "optimization", "use Nesterov momentum", component="optimizer"
    )
    betas: tuple[float, ...] = setting(
        (0.9, 0.999), Numbers, "optimization", "decay rates of adam's two averages", below=1,
        count=2, example="0.9,0.999", metavar="X,X", component="optimizer"
    )
    eps: float = setting(
        1e-8, Number, "optimization", "added to the denominator of adam", least=ABOVE_ZERO,
        component="optimizer"
    )
    clip_norm: float | None = setting(
        None, Number, "optimization", "limit on the norm of all gradients", least=ABOVE_ZERO
    )
    window: int | None = setting(
        None, Number, "optimization", "batches per update of the first layer; exact", whole=True,
        least=1, unset="the fastest"
    )
    graph: bool = setting(
        True, Flag, "optimization", "on a GPU, record steps as CUDA graphs"
    )
    dropout: float = setting(
        0.0, Number, "regularization", "share of hidden units dropped in each step", below=1
    )
    weight_decay: float = setting(
        0.0, Number, "regularization", "pull of the weights toward 0", component="optimizer"
    )
    label_smoothing: float = setting(
        0.0, Number, "regularization", "share of each label spread over all classes", below=1,
        component="objective"
    )
    class_weight: str | tuple[float, ...] | None = setting(
        None, ClassWeight, "regularization", "balanced, or a number for each class",
        example="balanced or 1,2.5", metavar="W,W"
    )
    validation: float = setting(
        0.0, Number, "regularization", "share of rows to validate on, or a data set", below=1
    )
    patience: int | None = setting(
        None, Number, "regularization", "epochs without improvement before stopping", whole=True,
        least=1
    )
    shuffle: bool = setting(True, Flag, "run", "take rows in a new order each epoch")
    seed: int = setting(
        0, Number, "run", "seed of weights, orders and masks", whole=True, below=2**32
    )
    threads: int | None = setting(
        None, Number, "run", "cores that share a step, where it pays", whole=True,
        least=1, unset="all"
    )
    # fmt: on

    def __post_init__(self) -> None:
        """Check every field, and then their combination."""
        for name, setting in SETTINGS.items():
            object.__setattr__(self, name, setting.validate(name, getattr(self, name)))
        if self.lr is None:
            lr = LEARNING_RATES.get(self.optimizer, ADAPTIVE_RATE)
            object.__setattr__(self, "lr", lr)
        self._check_components()
        if self.class_weight is not None and not OBJECTIVES[self.objective].single_label:
            able = [name for name, objective in OBJECTIVES.items() if objective.single_label]
            raise InputError(f"class_weight needs the objective {' or '.join(able)}")

    def _check_components(self) -> None:
        """Raise InputError for a setting of a kind of component that no chosen one takes."""
        chosen = [components[getattr(self, kind)] for kind, components in COMPONENTS.items()]
        used = {name for component in chosen for name in _arguments(component)}
        for name, setting in SETTINGS.items():
            changed = getattr(self, name) != setting.default
            if setting.component and changed and name not in used:
                components = COMPONENTS[setting.component].items()
                able = [choice for choice, component in components if name in _arguments(component)]
                raise InputError(f"{name} needs the {setting.component} {' or '.join(able)}")
        for component in chosen:
            self.build(component)

    def build(self, component: Callable[..., T]) -> T:
        """An instance of the component, its arguments filled from the settings of their names.

        Raises InputError for an argument that isn't a setting and has no default.
        """
        parameters = _arguments(component)
        for name, parameter in parameters.items():
            if name not in SETTINGS and parameter.default is parameter.empty:
                raise InputError(f"{component.__name__} takes {name}, which is no setting")
        return component(**{name: getattr(self, name) for name in SETTINGS if name in parameters})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """The Config with these fields; the others keep their defaults."""
        if not isinstance(values, Mapping):
            raise InputError(
                f"the configuration is {values!r}; it must be a dictionary of settings"
            )
        unknown = values.keys() - SETTINGS.keys()
        if unknown:
            names = ", ".join(sorted(map(str, unknown)))
            raise InputError(f"unknown setting {names} in the configuration")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Every field, as plain data that JSON can hold."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


SETTINGS: dict[str, Setting] = {field.name: field.metadata["setting"] for field in fields(Config)}
"""From a field of Config to its type, range, default and help: options and checks follow."""

PRESETS: dict[str, dict[str, Any]] = {
    # Reproduces the notebook that this project began as: its losses and its 97.08 %.
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
