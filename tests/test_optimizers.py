"""Optimizers, clipping and schedules against PyTorch over a table of settings, and resuming."""

import json
from pathlib import Path

import numpy as np
import pytest

from mlp_xp import InputError
from mlp_xp.backend import Backend
from mlp_xp.optimizers import (
    OPTIMIZERS,
    SCHEDULES,
    SGD,
    Adam,
    ReduceOnPlateau,
    clip_gradients,
    learning_rate_factors,
)

ORACLE = json.loads((Path(__file__).parent / "oracles" / "torch.json").read_text())
TABLE = ORACLE["optimizers"]
STATEFUL = [
    ("sgd", {"momentum": 0.9}), ("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("adam", {"weight_decay": 0.01}), ("adamw", {"weight_decay": 0.01}),
]  # fmt: skip


def on(backend: Backend, values, dtype: str = "float64"):
    """Copies of these arrays or lists, on the backend."""
    return [backend.to_device(np.array(value, dtype=dtype)) for value in values]


def take_steps(backend, optimizer, parameters, dtype, first: int, last: int, lr=0.1):
    for i in range(first, last):
        gradients = on(backend, TABLE["gradients"][i], dtype)
        optimizer.step(parameters, gradients, lr * TABLE["factors"][i])


@pytest.mark.parametrize(
    "case", TABLE["cases"], ids=lambda case: f"{case['optimizer']}-{case['settings']}-{case['lr']}"
)
def test_optimizers_equal_pytorchs(case, backend, dtype):
    parameters = on(backend, TABLE["start"], dtype)
    arrays = list(parameters)
    optimizer = OPTIMIZERS[case["optimizer"]](**case["settings"])
    done = 0
    for steps, expected in case["after"].items():
        take_steps(backend, optimizer, parameters, dtype, done, int(steps), case["lr"])
        done = int(steps)
        for parameter, values in zip(parameters, expected, strict=True):
            assert parameter.dtype == dtype
            np.testing.assert_allclose(
                backend.to_host(parameter), values,
                **({"rtol": 1e-10} if dtype == "float64" else {"rtol": 1e-5, "atol": 1e-6}),
            )  # fmt: skip
    assert all(a is b for a, b in zip(arrays, parameters, strict=True))
    assert all(array.dtype == dtype for array in optimizer.state().values())
    assert optimizer.steps == 20


@pytest.mark.parametrize(("name", "settings"), STATEFUL)
@pytest.mark.parametrize("stop", [0, 1, 7])
def test_a_run_goes_on_to_the_same_bits(name, settings, stop, backend, dtype):
    whole, halved = (on(backend, TABLE["start"], dtype) for _ in range(2))
    take_steps(backend, OPTIMIZERS[name](**settings), whole, dtype, 0, 20)
    before = OPTIMIZERS[name](**settings)
    take_steps(backend, before, halved, dtype, 0, stop)
    saved = {name: backend.to_host(array).copy() for name, array in before.state().items()}
    assert bool(saved) == (stop > 0)
    for array in saved.values():  # as a file that is mapped into memory would be
        array.flags.writeable = False

    after = OPTIMIZERS[name](**settings)
    on_device = {name: backend.to_device(array) for name, array in saved.items()}
    after.load_state(halved, on_device, before.steps)
    take_steps(backend, after, halved, dtype, stop, 20)
    for a, b in zip(whole, halved, strict=True):
        np.testing.assert_array_equal(backend.to_host(a), backend.to_host(b))
    assert after.steps == 20


def test_a_state_that_does_not_fit_is_refused(backend):
    parameters = on(backend, TABLE["start"])
    optimizer = Adam()
    take_steps(backend, optimizer, parameters, "float64", 0, 2)
    state = optimizer.state()
    assert sorted(state) == ["m.0", "m.1", "v.0", "v.1"]
    for broken, steps, message in (
        ({k: v for k, v in state.items() if k != "v.1"}, 2, "lacks 'v.1'"),
        ({**state, "w.0": state["m.0"]}, 2, "has an unknown 'w.0'"),
        (state, 0, "has an unknown 'm.0'"),
        ({}, 2, "lacks 'm.0'"),
        ({**state, "m.0": state["m.1"]}, 2, "'m.0' is float64"),
        ({**state, "m.1": state["m.1"].astype("float32")}, 2, "'m.1' is float32"),
    ):
        with pytest.raises(InputError, match=message):
            Adam().load_state(parameters, broken, steps)
    with pytest.raises(InputError, match=r"unknown 'm\.0'"):
        SGD(momentum=0.9).load_state(parameters, state, 2)


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(InputError, match="nesterov needs a momentum above 0"):
        SGD(nesterov=True)


@pytest.mark.parametrize(
    "case", ORACLE["clipping"]["cases"], ids=lambda case: str(case["max_norm"])
)
def test_clipping_equals_pytorchs(case, backend, dtype):
    gradients = on(backend, ORACLE["clipping"]["gradients"], dtype)
    clip_gradients(backend.xp, gradients, case["max_norm"])
    for gradient, expected in zip(gradients, case["clipped"], strict=True):
        assert gradient.dtype == dtype
        rtol = {"float32": 1e-5, "float64": 1e-10}[dtype]
        np.testing.assert_allclose(backend.to_host(gradient), expected, rtol=rtol)


def test_clipping_leaves_gradients_of_zero(backend, dtype):
    gradients = on(backend, [[[0.0, 0.0]], [0.0]], dtype)
    clip_gradients(backend.xp, gradients, 1.0)
    assert not any(backend.to_host(gradient).any() for gradient in gradients)


@pytest.mark.parametrize(
    "case",
    ORACLE["schedules"],
    ids=lambda case: f"{case['schedule']}-{case['total']}-{case['warmup']}",
)
def test_schedules_equal_pytorchs(case):
    steps = range(case["total"])
    factors = learning_rate_factors(case["schedule"], steps, case["total"], case["warmup"])
    later = learning_rate_factors(case["schedule"], steps[3:7], case["total"], case["warmup"])
    assert later == factors[3:7]
    np.testing.assert_allclose(factors, case["factors"], rtol=1e-10, atol=1e-15)


def test_the_oracle_knows_every_optimizer_and_schedule():
    assert {case["optimizer"] for case in TABLE["cases"]} == OPTIMIZERS.keys()
    assert {case["schedule"] for case in ORACLE["schedules"]} == SCHEDULES.keys()
    assert {case["scales"][-1] < 1 for case in ORACLE["plateau"]} == {True, False}


@pytest.mark.parametrize("stages", [1, 2, 7, 49, 60])
def test_step_decay_has_stages_of_equal_length(stages):
    total = 60 * 49 * 7
    factors = learning_rate_factors("step", range(total), total, gamma=0.5, stages=stages)
    expected = np.repeat(0.5 ** np.arange(stages), total // stages)
    np.testing.assert_array_equal(factors, expected)


@pytest.mark.parametrize("case", ORACLE["plateau"])
@pytest.mark.parametrize("stop", [None, 0, 17])
def test_reduce_on_plateau_equals_pytorchs(case, stop):
    plateau = ReduceOnPlateau(**case["settings"])
    scales = []
    for epoch, loss in enumerate(case["losses"]):
        if epoch == stop:
            state = json.loads(json.dumps(plateau.state()))
            plateau = ReduceOnPlateau(**case["settings"])
            plateau.load_state(state)
        plateau.update(loss)
        scales.append(plateau.scale)
    np.testing.assert_allclose(scales, case["scales"], rtol=1e-12)
