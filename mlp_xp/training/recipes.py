"""Recipes: settings that follow from the data, where nobody chose them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlp_xp.data import Dataset
from mlp_xp.data.sampling import is_square
from mlp_xp.errors import InputError
from mlp_xp.training.config import Config

DARK = 250
LOOKED_AT = 1000

ROWS_TO_HOLD_OUT = 50_000
"""Training rows from which the tabular recipe stops early: fewer are all needed to train on."""


@dataclass(frozen=True)
class Recipe:
    """What a recipe says for one data set: settings, and more of them for each optimizer.

    The settings name the optimizer. One that `by_optimizer` doesn't hold keeps Config's defaults.
    """

    settings: dict[str, Any]
    by_optimizer: dict[str, dict[str, Any]]


def image(data: Dataset) -> Recipe:
    """The defaults of Config, which suit MNIST and the like."""
    return Recipe({"optimizer": Config.optimizer}, {})


def tabular(data: Dataset) -> Recipe:
    """Settings for columns of numbers in any units; all that varies follows from the rows.

        epochs       = 1000 / cube root of rows, from 10 to 200: for 8 times the rows, half the
                       epochs, and so 4 times the steps
        weight_decay = 3000 / rows, at most 2: the pull toward 0 counts like a fixed number of
                       rows, so that many rows outweigh it

    From ROWS_TO_HOLD_OUT rows on, a twentieth is held out, and training stops early.
    """
    rows = len(data.train)
    settings: dict[str, Any] = {
        "hidden": (256,),
        "standardize": True,
        "batch_size": 32,
        "epochs": min(200, max(10, round(1000 / math.cbrt(rows)))),
        "optimizer": "adamw",
        "schedule": "linear",
    }
    if rows >= ROWS_TO_HOLD_OUT:
        settings |= {"validation": 0.05, "patience": 10}
    by_optimizer = {
        "adamw": {"lr": 0.003, "weight_decay": min(2.0, float(f"{3000 / rows:.2g}"))},
        "adam": {"lr": 0.001},
        "sgd": {"lr": 0.03},
    }
    return Recipe(settings, by_optimizer)


RECIPES: dict[str, Callable[[Dataset], Recipe]] = {"image": image, "tabular": tabular}
"""From a recipe's name to what makes it for a data set."""


def recipe_for(data: Dataset) -> str:
    """`image` for pictures on dark ground, as MNIST's are, otherwise `tabular`.

    Pictures are arrays that the data calls so, by its attribute `picture`, with values from 0 to 1
    or to 255, and rows of bytes for a square of pixels. The ground is dark where the mean over
    LOOKED_AT rows of sum_i x_i^2, in units of white, is at most DARK: beyond, the steps of SGD at
    this learning rate are too long. MNIST has 86.
    """
    X = data.train.X[data.train.index(0, LOOKED_AT)]
    if data.picture is None and not (X.dtype == np.uint8 and is_square(data.n_features)):
        return "tabular"
    white = 255.0 if X.dtype == np.uint8 or X.max() > 1 else 1.0
    if X.min() < 0 or X.max() > white or (white > 1 and X.max() < white / 2):
        return "tabular"
    energy = np.square(X / white, dtype=np.float64).sum(axis=1).mean()
    return "image" if energy <= DARK else "tabular"


def config_for(data: Dataset, recipe: str | None = None, **settings: Any) -> Config:
    """The recipe's settings for this data, with the given ones in their place.

    recipe: a key of RECIPES, by default recipe_for(data). The objective is the data's. lr and
    weight_decay are those for the optimizer, whoever chose it. Early stopping is left out whole if
    validation is given as 0 or patience as None; data with a validation set uses that one.

    Raises InputError for an unknown recipe or setting, and as Config does.
    """
    name = recipe_for(data) if recipe is None else recipe
    if name not in list(RECIPES):
        raise InputError(f"recipe is {name!r}; use {', '.join(RECIPES)}")
    made = RECIPES[name](data)
    chosen = {"objective": data.objective, **made.settings, **settings}
    for optimizer, values in made.by_optimizer.items():
        if chosen["optimizer"] == optimizer:
            chosen = {**values, **chosen}
    without = data.validation is None and chosen.get("validation", 0) == 0
    if without and "patience" not in settings:
        chosen.pop("patience", None)
    unused = data.validation is not None or chosen.get("patience") is None
    if unused and "validation" not in settings:
        chosen.pop("validation", None)
    return Config.from_dict(chosen)


def describe(data: Dataset, config: Config, recipe: str | None = None) -> str:
    """One line for the screen: which recipe, why, and the settings it led to, as config has them.

    recipe: as config_for() was given it.
    """
    name = recipe_for(data) if recipe is None else recipe
    kind = "bytes" if data.train.X.dtype == np.uint8 else "numbers"
    inputs = "standardized inputs" if config.standardize else "inputs as they are"
    stop = "" if config.patience is None else f" at most, patience {config.patience}"
    epochs = f"{config.epochs} epoch" + "s" * (config.epochs != 1)
    return (
        f"recipe {name} ({len(data.train):,} rows of {data.n_features:,} {kind}): {inputs}, "
        f"{config.optimizer}, lr {config.lr:g}, {epochs}{stop}"
    )
