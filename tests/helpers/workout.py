"""Training, evaluation and prediction with every setting, and mistakes to plant in them."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlp_xp import Config, Dataset, Split, Trainer, evaluate, predict
from mlp_xp.devices import Device
from mlp_xp.nn import ACTIVATIONS

# Every path through the code, with so few rows that all of them together take a second.
SETTINGS: dict[str, dict[str, Any]] = {
    **{name: {"activation": name} for name in ACTIVATIONS},
    "sample by sample": {"batch_size": 1},
    "window of 1": {"batch_size": 1, "window": 1},
    "one layer": {"hidden": ()},
    "float64": {"dtype": "float64"},
    "momentum": {"momentum": 0.9, "weight_decay": 0.01},
    "nesterov": {"momentum": 0.9, "nesterov": True, "batch_size": 1},
    "adam": {"optimizer": "adam", "weight_decay": 0.01},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.01},
    "regularized": {"dropout": 0.5, "clip_norm": 1.0, "label_smoothing": 0.1},
    "weighted": {"class_weight": "balanced", "shuffle": False},
    "standardized": {"standardize": True},
    "validated": {"validation": 0.2, "patience": 1, "schedule": "plateau"},
    "multilabel": {"objective": "multilabel"},
    "regression": {"objective": "regression"},
}


def small_data(objective: str = "multiclass") -> Dataset:
    """60 rows of bytes, with targets for three outputs."""
    rng = np.random.default_rng(8)
    X = rng.integers(0, 256, (60, 7), dtype=np.uint8)
    if objective == "multiclass":
        return Dataset("small", Split(X, np.arange(60) % 3), None, 3)
    y = rng.random((60, 3), dtype=np.float32)
    if objective == "multilabel":
        y = y.round()
    return Dataset("small", Split(X, y), None, 3, objective)


class Watched:
    """A train step that runs inside around_steps()."""

    def __init__(self, step: Any, around_steps: Callable[[], AbstractContextManager[Any]]):
        self.step, self.around_steps = step, around_steps
        self.running = step.running

    def __call__(self, *args: Any) -> Any:
        with self.around_steps():
            return self.step(*args)


def work(
    device: Device,
    settings: dict[str, Any],
    around_steps: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> list[np.ndarray]:
    """Train, evaluate and predict; returns the trained parameters, on the host.

    around_steps() is entered around the steps of each chunk, where nothing may wait for the device.
    """
    config = Config(**{"hidden": (6, 5), "batch_size": 8, "epochs": 2, "lr": 0.05} | settings)
    data = small_data(config.objective)
    trainer = Trainer(data, config, device)
    trainer.train_step = Watched(trainer.train_step, around_steps)
    trainer.fit()
    evaluate(trainer.network, data.train)
    predict(trainer.network, data.train.X)
    return [device.to_host(array) for array in trainer.network.parameters()]


def plant(monkeypatch: pytest.MonkeyPatch, mistake: Callable[[Any, Any], Any]) -> None:
    """Make ReLU contain this mistake, wherever it is applied."""
    monkeypatch.setitem(ACTIVATIONS, "relu", replace(ACTIVATIONS["relu"], function=mistake))


def _with_errstate(xp: Any, Z: Any) -> Any:
    with xp.errstate(invalid="ignore"):
        return xp.maximum(Z, 0)


def _if_any(xp: Any, Z: Any) -> Any:
    return xp.maximum(Z, 0) if (Z != 0).any() else 0 * Z


# Versions of ReLU that are right on NumPy and wrong elsewhere, by kind, with the complaint: those
# that the real CuPy refuses, and those that the stand-in finds.
Mistakes = dict[str, tuple[Callable[[Any, Any], Any], str]]
UNKNOWN_TO_CUPY: Mistakes = {
    "function": (_with_errstate, "no attribute 'errstate'"),
    "ufunc method": (
        lambda xp, Z: xp.maximum(Z, 0 * xp.maximum.reduce(Z)),
        "reduce.*is not supported",
    ),
    "keyword": (lambda xp, Z: xp.maximum(Z, 0, where=True), "where"),
    "method's keyword": (lambda xp, Z: xp.maximum(Z, 0 * Z.max(initial=0)), "initial"),
    "method's position": (
        lambda xp, Z: xp.maximum(Z, 0 * Z.sum(None, None, None, False, 0)),
        "at most 4 positional",
    ),
}
MISTAKES: Mistakes = {
    "conversion": (lambda xp, Z: xp.maximum(xp.asarray(np.asarray(Z)), 0), "implicit conversion"),
    "NumPy's ufunc": (lambda xp, Z: np.maximum(Z, 0), "does not support ufuncs"),
    "NumPy's function": (lambda xp, Z: np.clip(Z, 0, None), r"use xp\.clip"),
    "host array": (
        lambda xp, Z: xp.maximum(Z, np.zeros(Z.shape, str(Z.dtype))),
        "maximum of a NumPy array",
    ),
    "host array on the left": (
        lambda xp, Z: np.ones(Z.shape, str(Z.dtype)) * xp.maximum(Z, 0),
        "__rmul__ of a NumPy array",
    ),
    "host array as an index": (
        lambda xp, Z: xp.maximum(Z[np.arange(len(Z))], 0),
        "host array as an index",
    ),
    "float()": (lambda xp, Z: xp.maximum(Z, 0 * float(Z.sum())), r"float\(\) in workout\.py"),
    "bool()": (_if_any, r"bool\(\) in workout\.py:_if_any"),
    "item()": (lambda xp, Z: xp.maximum(Z, 0 * Z.sum().item()), r"ndarray\.item in"),
    "tolist()": (lambda xp, Z: xp.maximum(Z, 0 * sum(Z[0].tolist())), r"ndarray\.tolist in"),
    "nonzero": (lambda xp, Z: xp.maximum(Z, 0 * len(xp.nonzero(Z)[0])), "nonzero in"),
    "mask": (lambda xp, Z: xp.maximum(Z, 0 * Z[Z > 0].sum()), "a boolean mask in"),
    "dtype": (lambda xp, Z: xp.maximum(Z, 0) * np.float64(1), "float64 in a float32 run"),
}
