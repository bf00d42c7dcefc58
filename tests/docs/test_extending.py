"""Every part that extending.md adds does what its text claims."""

import importlib
import runpy
import sys

import numpy as np
import pytest

from mlp_xp import Config, InputError
from mlp_xp.data.checks import check_pair
from mlp_xp.nn import ACTIVATIONS, OBJECTIVES, OPTIMIZERS, SCHEDULES

pytestmark = pytest.mark.usefixtures("own_files")

RNG = np.random.default_rng(3)


def slope(function, at: np.ndarray) -> np.ndarray:
    """The derivative of a function of one array, element by element, by finite differences."""
    result = np.empty_like(at)
    for i in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[i] = 1e-6
        result[i] = (function(at + step) - function(at - step)) / 2e-6
    return result


def test_extending_shows_one_of_each():
    before = [set(registry) for registry in (ACTIVATIONS, OBJECTIVES, OPTIMIZERS, SCHEDULES)]
    for name in ("softsign", "poisson", "lion", "inverse_sqrt"):
        importlib.import_module(name)
    after = [set(registry) for registry in (ACTIVATIONS, OBJECTIVES, OPTIMIZERS, SCHEDULES)]
    added = [new - old for new, old in zip(after, before, strict=True)]
    assert added == [{"softsign"}, {"poisson"}, {"lion"}, {"inverse_sqrt"}]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_activation_has_the_right_derivative(dtype):
    importlib.import_module("softsign")
    activation = ACTIVATIONS["softsign"]
    Z = RNG.standard_normal((5, 4)).astype(dtype)
    A = activation.function(np, Z)
    derivative = activation.derivative(np, Z, A)
    assert A.dtype == derivative.dtype == dtype
    expected = slope(lambda z: activation.function(np, z).sum(), Z.astype("float64"))
    np.testing.assert_allclose(derivative, expected, rtol=1e-5 if dtype == "float32" else 1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_objective_has_the_right_gradient(dtype, weighted):
    importlib.import_module("poisson")
    objective = OBJECTIVES["poisson"]()
    logits = RNG.standard_normal((5, 3)).astype(dtype)
    y = RNG.poisson(2, (5, 3)).astype("float32")
    weights = RNG.random(5).astype(dtype) if weighted else None
    loss, dlogits = objective.loss(np, logits, y, weights)
    assert loss.dtype == dlogits.dtype == dtype
    expected = slope(lambda z: objective.loss(np, z, y, weights)[0], logits.astype("float64"))
    tolerance = 1e-5 if dtype == "float32" else 1e-8
    np.testing.assert_allclose(dlogits, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("bad", [-1, 0.5, np.inf, np.nan])
def test_the_objective_refuses_what_is_not_a_count(bad):
    importlib.import_module("poisson")
    objective = OBJECTIVES["poisson"]()
    check_pair(np.ones((2, 1)), [0.0, 3.0], "data", "training", objective)
    with pytest.raises(InputError, match=r"in row 1, column 0; targets must be whole numbers"):
        check_pair(np.ones((2, 1)), [0.0, bad], "data", "training", objective)


def test_the_optimizer_is_lion():
    """Against algorithm 2 of the paper, written out for numbers."""
    importlib.import_module("lion")
    optimizer = Config(optimizer="lion", lr=0.01, weight_decay=0.1, betas=(0.9, 0.99)).build(
        OPTIMIZERS["lion"]
    )
    parameter, gradients = np.array([0.5, -2.0, 0.0]), RNG.standard_normal((300, 3))
    theta, m = parameter.copy(), np.zeros(3)
    for g in gradients:
        optimizer.step([parameter], [g.copy()], 0.01)
        c = 0.9 * m + 0.1 * g
        theta = theta - 0.01 * (np.sign(c) + 0.1 * theta)
        m = 0.99 * m + 0.01 * g
        np.testing.assert_allclose(parameter, theta, rtol=1e-12)


def test_the_script_gives_the_command_line_all_of_them(capsys, monkeypatch):
    X = RNG.standard_normal((60, 2))
    table = np.column_stack([X, RNG.poisson(np.exp(0.5 * X[:, 0]))])
    np.savetxt("counts.csv", table, delimiter=",", header="a,b,count", comments="")
    own = {
        "activation": "softsign", "objective": "poisson", "optimizer": "lion",
        "schedule": "inverse_sqrt",
    }  # fmt: skip
    options = [word for name, value in own.items() for word in (f"--{name}", value)]
    for command in (
        ["train", "--data", "counts.csv", "--device", "cpu", "--epochs", "2", "--lr", "0.001",
         "--out", "run", *options],
        ["evaluate", "run", "--device", "cpu"],
        ["predict", "run", "counts.csv", "--label", "count", "--device", "cpu"],
    ):  # fmt: skip
        monkeypatch.setattr(sys, "argv", ["mine.py", *command])
        with pytest.raises(SystemExit) as exit_:
            runpy.run_path("mine.py", run_name="__main__")
        assert not exit_.value.code, capsys.readouterr().err
    assert capsys.readouterr().out.splitlines()[-61:][0] == "row,count"  # and 60 predictions
    monkeypatch.setattr(sys, "argv", ["mine.py", "train", "--help"])
    with pytest.raises(SystemExit):
        runpy.run_path("mine.py", run_name="__main__")
    shown = capsys.readouterr().out
    assert all(name in shown for name in own.values())
