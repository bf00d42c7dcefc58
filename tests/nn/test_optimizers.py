"""Optimizers, clipping and schedules against PyTorch over a table of settings, and resuming."""

import json
from pathlib import Path

import numpy as np
import pytest

from mlp_xp import InputError
from mlp_xp.devices import Device
from mlp_xp.nn.optimizers import OPTIMIZERS, SGD, Optimizer, clip_gradients
from mlp_xp.nn.schedules import SCHEDULES, Plateau, Schedule, learning_rates
from mlp_xp.training.checkpoint import restore_arrays

ORACLE = json.loads((Path(__file__).parents[1] / "oracles" / "torch.json").read_text())
TABLE = ORACLE["optimizers"]
STATEFUL = [
    ("sgd", {"momentum": 0.9}), ("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("adam", {"weight_decay": 0.01}), ("adamw", {"weight_decay": 0.01}),
]  # fmt: skip


def on(device: Device, values, dtype: str = "float64"):
    """Copies of these arrays or lists, on the device."""
    return [device.to_device(np.array(value, dtype=dtype)) for value in values]


def take_steps(device, optimizer, parameters, dtype, first: int, last: int, lr=0.1):
    for i in range(first, last):
        gradients = on(device, TABLE["gradients"][i], dtype)
        optimizer.step(parameters, gradients, lr * TABLE["factors"][i])


def state_of(optimizer: Optimizer):
    """Its arrays by the names of slot and parameter."""
    slots = optimizer.state.items()
    return {f"{slot}.{i}": array for slot, arrays in slots for i, array in enumerate(arrays)}


def schedule(name: str, **settings) -> Schedule:
    return SCHEDULES[name](**settings)


@pytest.mark.parametrize(
    "case", TABLE["cases"], ids=lambda case: f"{case['optimizer']}-{case['settings']}-{case['lr']}"
)
def test_optimizers_equal_pytorchs(case, device, dtype):
    parameters = on(device, TABLE["start"], dtype)
    arrays = list(parameters)
    optimizer = OPTIMIZERS[case["optimizer"]](**case["settings"])
    done = 0
    for steps, expected in case["after"].items():
        take_steps(device, optimizer, parameters, dtype, done, int(steps), case["lr"])
        done = int(steps)
        for parameter, values in zip(parameters, expected, strict=True):
            assert parameter.dtype == dtype
            np.testing.assert_allclose(
                device.to_host(parameter), values,
                **({"rtol": 1e-10} if dtype == "float64" else {"rtol": 1e-5, "atol": 1e-6}),
            )  # fmt: skip
    assert all(a is b for a, b in zip(arrays, parameters, strict=True))
    assert all(array.dtype == dtype for array in state_of(optimizer).values())
    assert optimizer.steps == 20


@pytest.mark.parametrize(("name", "settings"), STATEFUL)
@pytest.mark.parametrize("stop", [0, 1, 7])
def test_a_restored_optimizer_continues_to_the_same_bits(name, settings, stop, device, dtype):
    whole, halved = (on(device, TABLE["start"], dtype) for _ in range(2))
    take_steps(device, OPTIMIZERS[name](**settings), whole, dtype, 0, 20)
    before = OPTIMIZERS[name](**settings)
    before.initialize(halved)
    take_steps(device, before, halved, dtype, 0, stop)
    saved = {name: device.to_host(array).copy() for name, array in state_of(before).items()}
    assert saved.keys() == state_of(before).keys()
    assert any(array.any() for array in saved.values()) == (stop > 0)
    for array in saved.values():  # as a file that is mapped into memory would be
        array.flags.writeable = False

    after = OPTIMIZERS[name](**settings)
    after.initialize(halved)
    restore_arrays(state_of(after), saved, device)
    after.steps = before.steps
    take_steps(device, after, halved, dtype, stop, 20)
    for a, b in zip(whole, halved, strict=True):
        np.testing.assert_array_equal(device.to_host(a), device.to_host(b))
    assert after.steps == 20


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(device):
    parameters = on(device, TABLE["start"])
    optimizer = OPTIMIZERS["adam"]()
    take_steps(device, optimizer, parameters, "float64", 0, 2)
    fresh = OPTIMIZERS["adam"]()
    fresh.initialize(parameters)
    state = {name: device.to_host(array) for name, array in state_of(optimizer).items()}
    assert sorted(state) == ["m.0", "m.1", "v.0", "v.1"]
    for broken, message in (
        ({k: v for k, v in state.items() if k != "v.1"}, "lacks 'v.1'"),
        ({**state, "w.0": state["m.0"]}, "has an unknown 'w.0'"),
        ({}, "lacks 'm.0'"),
        ({**state, "m.0": state["m.1"]}, "'m.0' is float64"),
        ({**state, "m.1": state["m.1"].astype("float32")}, "'m.1' is float32"),
    ):
        with pytest.raises(InputError, match=message):
            restore_arrays(state_of(fresh), broken, device)
        assert not any(device.to_host(array).any() for array in state_of(fresh).values())
    velocity = SGD(momentum=0.9)
    velocity.initialize(parameters)
    for other in (velocity, SGD()):
        with pytest.raises(InputError, match=r"unknown 'm\.0'"):
            restore_arrays(state_of(other), state, device)


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(InputError, match="nesterov needs a momentum above 0"):
        SGD(nesterov=True)


@pytest.mark.parametrize(
    "case", ORACLE["clipping"]["cases"], ids=lambda case: str(case["max_norm"])
)
def test_clipping_equals_pytorchs(case, device, dtype):
    gradients = on(device, ORACLE["clipping"]["gradients"], dtype)
    clip_gradients(device.xp, gradients, case["max_norm"])
    for gradient, expected in zip(gradients, case["clipped"], strict=True):
        assert gradient.dtype == dtype
        rtol = {"float32": 1e-5, "float64": 1e-10}[dtype]
        np.testing.assert_allclose(device.to_host(gradient), expected, rtol=rtol)


def test_clipping_leaves_gradients_of_zero(device, dtype):
    gradients = on(device, [[[0.0, 0.0]], [0.0]], dtype)
    clip_gradients(device.xp, gradients, 1.0)
    assert not any(device.to_host(gradient).any() for gradient in gradients)


@pytest.mark.parametrize(
    "case",
    ORACLE["schedules"],
    ids=lambda case: f"{case['schedule']}-{case['total']}-{case['warmup']}",
)
def test_schedules_equal_pytorchs(case):
    steps = range(case["total"])
    rule, total, warmup = schedule(case["schedule"]), case["total"], case["warmup"]
    factors = learning_rates(1.0, rule, steps, total, warmup)
    later = learning_rates(1.0, rule, steps[3:7], total, warmup)
    assert later == factors[3:7]
    np.testing.assert_allclose(factors, case["factors"], rtol=1e-10, atol=1e-15)


def test_the_oracle_knows_every_optimizer_and_schedule():
    assert {case["optimizer"] for case in TABLE["cases"]} == OPTIMIZERS.keys()
    assert {case["schedule"] for case in ORACLE["schedules"]} == SCHEDULES.keys() - {"plateau"}
    assert {case["scales"][-1] < 1 for case in ORACLE["plateau"]} == {True, False}


def test_a_state_of_another_schedule_is_refused():
    for state in ({}, {"scale": 0.1}, {**Plateau().state(), "more": 1}):
        with pytest.raises(ValueError, match="the state has"):
            Plateau().load_state(state)


@pytest.mark.parametrize("stages", [1, 2, 7, 49, 60])
def test_step_decay_has_stages_of_equal_length(stages):
    total = 60 * 49 * 7
    factors = learning_rates(
        1.0, schedule("step", lr_factor=0.5, stages=stages), range(total), total
    )
    expected = np.repeat(0.5 ** np.arange(stages), total // stages)
    np.testing.assert_array_equal(factors, expected)


@pytest.mark.parametrize("case", ORACLE["plateau"])
@pytest.mark.parametrize("stop", [None, 0, 17])
def test_plateau_equals_pytorchs(case, stop):
    given = case["settings"]
    settings = {
        "lr_factor": given["factor"],
        "lr_patience": given["patience"],
        "threshold": given["threshold"],
    }
    plateau = Plateau(**settings)
    scales = []
    for epoch, loss in enumerate(case["losses"]):
        if epoch == stop:
            state = json.loads(json.dumps(plateau.state()))
            plateau = Plateau(**settings)
            plateau.load_state(state)
        plateau.observe(loss)
        scales.append(plateau.factor(0, 1))
    np.testing.assert_allclose(scales, case["scales"], rtol=1e-12)
