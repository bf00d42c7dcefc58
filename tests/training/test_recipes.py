"""Settings that follow from the data: which recipe, what it says, and what a user may change."""

from dataclasses import replace

import numpy as np
import pytest

from bench import tables
from mlp_xp import Config, Dataset, InputError, Split, Trainer, evaluate, train
from mlp_xp.training.recipes import RECIPES, config_for, describe, recipe_for

LARGE = 50_000
LONGEST = "friedman1, 20,000 rows"
"""It takes two minutes of CI; `python -m bench.tables` measures it."""


def table(rows: int = 150, columns: int = 4, dtype: type = np.float32, **options) -> Dataset:
    X = np.zeros((rows, columns), dtype=dtype)
    X[0, 0] = 255 if dtype is np.uint8 else 0
    return Dataset("a table", Split(X, np.arange(rows) % 3), None, 3, **options)


def with_validation(rows: int) -> Dataset:
    data = table(rows)
    return replace(data, validation=data.train)


@pytest.mark.parametrize(
    ("columns", "dtype", "recipe"),
    [
        (784, np.uint8, "image"),
        (64, np.uint8, "image"),
        (3 * 32 * 32, np.uint8, "image"),
        (3 * 64, np.uint8, "image"),
        (784, np.float32, "tabular"),
        (49, np.uint8, "tabular"),
        (3 * 49, np.uint8, "tabular"),
        (100 + 1, np.uint8, "tabular"),
        (3, np.uint8, "tabular"),
    ],
)
def test_squares_of_bytes_are_pictures(columns, dtype, recipe):
    assert recipe_for(table(6, columns, dtype)) == recipe


def test_data_can_say_that_it_is_pictures():
    """With values from 0 to 1, or to 255; others are no pixels."""
    pixels, y = np.full((6, 8, 10), 0.25), [0, 1] * 3
    for X, recipe in (
        (pixels, "image"), (pixels.reshape(6, -1), "tabular"), (pixels * 600, "image"),
        (pixels * 60, "tabular"), (pixels * 6000, "tabular"), (-pixels, "tabular"),
    ):  # fmt: skip
        assert recipe_for(Dataset.from_arrays(X, y)) == recipe


def test_pictures_on_light_ground_are_standardized(mnist):
    """SGD at MNIST's learning rate gets 11 % of them right."""
    X, y = 255 - mnist.train.X[:1500], mnist.train.y[:1500]
    assert recipe_for(Dataset.from_arrays(X, y)) == "tabular"
    model = train(X, y, hidden=(64,), epochs=20).network
    assert model.evaluate(255 - mnist.test.X[:500], mnist.test.y[:500]).accuracy > 0.8


def test_the_image_recipe_is_config_by_default(mnist):
    assert config_for(mnist) == Config()
    assert config_for(table(), "image", epochs=3) == Config(epochs=3)


@pytest.mark.parametrize(
    ("rows", "epochs", "weight_decay", "stops"),
    [
        (2, 200, 2.0, False),
        (150, 188, 2.0, False),
        (1000, 100, 2.0, False),
        (8000, 50, 0.38, False),
        (LARGE - 1, 27, 0.06, False),
        (LARGE, 27, 0.06, True),
        (200_000, 17, 0.015, True),
        (8_000_000, 10, 0.00038, True),
    ],
)
def test_what_the_tabular_recipe_says_follows_from_the_rows(rows, epochs, weight_decay, stops):
    config = config_for(table(rows, columns=1, dtype=np.uint8))
    assert (config.epochs, config.weight_decay) == (epochs, weight_decay)
    assert (config.validation, config.patience) == ((0.05, 10) if stops else (0.0, None))
    assert (config.optimizer, config.lr, config.standardize) == ("adamw", 0.003, True)


def test_given_settings_take_the_recipes_place():
    data = table(LARGE)
    given = {"hidden": (8,), "epochs": 7, "lr": 0.5, "weight_decay": 0.0, "standardize": False,
             "validation": 0.2, "patience": 4, "dropout": 0.1, "seed": 3}  # fmt: skip
    config = config_for(data, **given)
    assert {name: getattr(config, name) for name in given} == given


@pytest.mark.parametrize(
    ("recipe", "optimizer", "lr", "weight_decay"),
    [
        ("image", "sgd", 0.3, 0.0),
        ("image", "adam", 0.001, 0.0),
        ("image", "adamw", 0.001, 0.0),
        ("tabular", "sgd", 0.03, 0.0),
        ("tabular", "adam", 0.001, 0.0),
        ("tabular", "adamw", 0.003, 2.0),
    ],
)
def test_an_optimizer_brings_its_own_learning_rate(recipe, optimizer, lr, weight_decay):
    config = config_for(table(), recipe, optimizer=optimizer)
    assert (config.lr, config.weight_decay) == (lr, weight_decay)
    config = config_for(table(), recipe, optimizer=optimizer, lr=0.7, weight_decay=0.2)
    assert (config.lr, config.weight_decay) == (0.7, 0.2)


@pytest.mark.parametrize(
    ("given", "validation", "patience"),
    [
        ({}, 0.05, 10),
        ({"patience": None}, 0.0, None),
        ({"validation": 0}, 0.0, None),
        ({"validation": 0, "patience": None}, 0.0, None),
        ({"validation": 0.3}, 0.3, 10),
        ({"patience": 3}, 0.05, 3),
        ({"validation": 0.3, "patience": None}, 0.3, None),
    ],
)
def test_early_stopping_is_changed_or_left_out_whole(given, validation, patience):
    data = table(LARGE)
    config = config_for(data, **given)
    assert (config.validation, config.patience) == (validation, patience)
    Trainer(data, config)  # which would refuse patience without rows to validate on


@pytest.mark.parametrize("given", [{}, {"patience": None}, {"validation": 0}])
@pytest.mark.parametrize("rows", [150, LARGE])
def test_a_validation_set_of_the_data_is_the_only_one(given, rows):
    data = with_validation(rows)
    config = config_for(data, **given)
    assert config.validation == 0
    assert config.patience == (10 if rows == LARGE and "patience" not in given else None)
    Trainer(data, config)


def test_the_objective_is_the_datas():
    y = np.zeros((5, 2))
    for objective in ("multilabel", "regression"):
        data = Dataset.from_arrays(np.eye(5), y, objective=objective)
        assert config_for(data).objective == objective


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"recipe": "tables"}, "recipe is 'tables'; use image, tabular"),
        ({"recipe": []}, r"recipe is \[\]; use image, tabular"),
        ({"depth": 3}, "unknown setting depth"),
        ({"optimizer": "lion"}, "optimizer"),
        ({"optimizer": ["sgd"]}, "optimizer"),
        ({"momentum": 0.9}, "momentum needs the optimizer sgd"),
    ],
)
def test_what_does_not_exist_is_refused(given, words):
    with pytest.raises(InputError, match=words):
        config_for(table(), **given)


def test_a_recipe_is_described_in_one_line(mnist):
    data = table()
    assert describe(data, config_for(data)) == (
        "recipe tabular (150 rows of 4 numbers): standardized inputs, adamw, lr 0.003, 188 epochs"
    )
    large = table(LARGE)
    config = config_for(large, "tabular", lr=0.01)
    assert describe(large, config, "tabular") == (
        "recipe tabular (50,000 rows of 4 numbers): standardized inputs, adamw, lr 0.01, "
        "27 epochs at most, patience 10"
    )
    assert describe(mnist, config_for(mnist)) == (
        "recipe image (60,000 rows of 784 bytes): inputs as they are, sgd, lr 0.3, 10 epochs"
    )


def test_a_recipe_of_ones_own(monkeypatch):
    monkeypatch.setitem(RECIPES, "wide", lambda data: replace(
        RECIPES["tabular"](data), settings={"hidden": (999,), "optimizer": "sgd"}
    ))  # fmt: skip
    assert config_for(table(), "wide") == Config(hidden=(999,), lr=0.03)
    assert describe(table(), config_for(table(), "wide"), "wide").startswith("recipe wide (150")


def test_small_and_odd_tables_can_be_learned(rng):
    X = rng.standard_normal((75, 4))
    X[:, 3] = 7.0  # the same in all rows
    y = (X[:, 0] > 0).astype(int)
    data = Dataset.from_arrays(X[:60], y[:60], test=(X[60:], y[60:]))
    assert evaluate(train(data, config_for(data))[0], data.test).accuracy >= 0.8
    noise = Dataset.from_arrays(rng.standard_normal((150, 4)), rng.integers(0, 3, 150))
    _, history = train(noise, config_for(noise))
    assert np.isfinite([epoch.loss for epoch in history]).all()


@pytest.mark.full
@pytest.mark.parametrize("name", [name for name in tables.TABLES if name != LONGEST])
def test_the_recipe_is_as_good_as_scikit_learns_default(name):
    """On average over the seeds, at most one standard error, paired by seed, below it."""
    result = next(iter(tables.measure(tables.TABLES[name]).values()))
    assert result.passes, f"{result.difference:+.4f} ± {result.error:.4f}"


@pytest.mark.full
def test_on_diabetes_a_network_beats_linear_regression():
    found = tables.measure(tables.TABLES["diabetes"], against=tables.fit_linear)["R²"]
    assert found.difference > 0
