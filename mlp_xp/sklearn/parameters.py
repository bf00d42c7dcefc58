"""What the estimators' parameters may be, and what they may be combined with."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from mlp_xp.devices import Device
from mlp_xp.devices.device import cuda_index
from mlp_xp.errors import InputError
from mlp_xp.nn import ACTIVATIONS, SCHEDULES
from mlp_xp.training.callbacks import Callback, Checkpointer, WarnOfDoubts
from mlp_xp.training.settings import ABOVE_ZERO, Choice, Flag, Number, Setting

ACTIVATION_NAMES = {"logistic": "sigmoid", **{name: name for name in ACTIVATIONS}}
"""From scikit-learn's names to ours, which may be given too."""
STOCHASTIC = ("sgd", "adam")
LBFGS_IGNORES = ("dropout", "schedule", "clip_norm", "window", "callbacks")
"""Our parameters that mean nothing to lbfgs; it ignores scikit-learn's, as there."""


# A default of None is what makes None valid.
def _number(default: float | None = 0, **limits: Any) -> Number:
    return Number(help="", group="", default=default, **limits)


def _choice(names: Any, default: str | None = "") -> Choice:
    return Choice(help="", group="", names=names, default=default)


def _flag() -> Flag:
    return Flag(help="", group="")


PARAMETERS: dict[str, Setting] = {
    "loss": _choice(("squared_error", "poisson")),
    "activation": _choice(ACTIVATION_NAMES),
    "solver": _choice(("lbfgs", *STOCHASTIC)),
    "alpha": _number(),
    "learning_rate": _choice(("constant", "invscaling", "adaptive")),
    "learning_rate_init": _number(least=ABOVE_ZERO),
    "power_t": _number(),
    "max_iter": _number(whole=True, least=1),
    "shuffle": _flag(),
    "tol": _number(),
    "warm_start": _flag(),
    "momentum": _number(below=math.nextafter(1, 2)),
    "nesterovs_momentum": _flag(),
    "early_stopping": _flag(),
    "validation_fraction": _number(below=1),
    "beta_1": _number(below=1),
    "beta_2": _number(below=1),
    "epsilon": _number(least=ABOVE_ZERO),
    "max_fun": _number(whole=True, least=1),
    "dropout": _number(below=1),
    "label_smoothing": _number(below=1),
    "schedule": _choice(SCHEDULES, None),
    "clip_norm": _number(None, least=ABOVE_ZERO),
    "window": _number(None, whole=True, least=1),
}
"""Those that a Setting describes; check_parameters() looks at the others itself."""


def defaults_of(constructor: Callable[..., None]) -> dict[str, Any]:
    """The parameters of an estimator's constructor, with their defaults."""
    _, *parameters = inspect.signature(constructor).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}


def check_parameters(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters, checked, with hidden_layer_sizes as a tuple and activation by our name.

    given, defaults: by name. Raises InputError, a ValueError, that names the parameter.
    """
    values = dict(given)
    for name in PARAMETERS.keys() & values.keys():
        values[name] = PARAMETERS[name].validate(name, values[name])
    whole = _number(whole=True, least=1)
    sizes = values["hidden_layer_sizes"]
    sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
    values["hidden_layer_sizes"] = tuple(whole.validate("hidden_layer_sizes", n) for n in sizes)
    if not (isinstance(values["batch_size"], str) and values["batch_size"] == "auto"):
        values["batch_size"] = whole.validate("batch_size", values["batch_size"])
    if values["n_iter_no_change"] != math.inf:
        whole.validate("n_iter_no_change", values["n_iter_no_change"])
    values["activation"] = ACTIVATION_NAMES[values["activation"]]
    _check_others(values)
    _check_combination(values, defaults)
    return values


def _check_others(values: Mapping[str, Any]) -> None:
    """Those that are neither numbers nor names."""
    device, verbose, callbacks = values["device"], values["verbose"], values["callbacks"]
    if not isinstance(device, Device):
        if not isinstance(device, str):
            raise InputError(f"device is {device!r}; use auto, cpu, cuda, cuda:N or a Device")
        if device != "cpu":
            cuda_index(device)
    if not isinstance(verbose, bool | np.bool_ | Integral) or verbose < 0:
        raise InputError(f"verbose is {verbose!r}; use True, False or a whole number from 0")
    if callbacks is not None and not (
        isinstance(callbacks, Sequence) and all(isinstance(c, Callback) for c in callbacks)
    ):
        raise InputError(f"callbacks is {callbacks!r}; give a list of Callback objects")
    for callback in callbacks or ():
        if isinstance(callback, Checkpointer | WarnOfDoubts):
            raise InputError(f"the callback {type(callback).__name__} needs a Trainer")
    weights = values.get("class_weight")
    if not (weights is None or (isinstance(weights, str) and weights == "balanced")):
        for one in weights if isinstance(weights, list) and weights else [weights]:
            if not isinstance(one, Mapping):
                raise InputError(f"class_weight is {weights!r}; use balanced, or a dict of numbers")
            for value in one.values():
                _number().validate("a value of class_weight", value)
    try:
        check_random_state(values["random_state"])
    except ValueError as error:
        raise InputError(f"random_state is {values['random_state']!r}: {error}") from None


def _check_combination(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    if values["solver"] == "lbfgs":
        changed = [n for n in LBFGS_IGNORES if (values[n] or defaults[n]) != defaults[n]]
        if changed:
            raise InputError(f"{changed[0]} needs the solver sgd or adam, and it is lbfgs")
    if values["schedule"] is not None and values["learning_rate"] != "constant":
        raise InputError(
            f"schedule and learning_rate={values['learning_rate']!r} exclude each other; "
            "give one of them"
        )
