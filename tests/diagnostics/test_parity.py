"""Devices agree with each other, and the comparison finds every planted error."""

import numpy as np
import pytest

from mlp_xp import Config
from mlp_xp.devices import CPU, Device
from mlp_xp.diagnostics.parity import TOLERANCE, Trace, compare, first_rows, trace

TWENTY_STEPS = {"hidden": (128, 64), "batch_size": 32, "epochs": 4, "lr": 0.1}


@pytest.fixture(scope="module")
def reference(mnist) -> Trace:
    return trace(CPU(), first_rows(mnist, 160), Config(**TWENTY_STEPS))


def failing(reference: Trace, other: Trace) -> list[str]:
    return [stage.stage for stage in compare(reference, other, 1e-5) if not stage.holds]


def test_the_first_rows_are_views_of_the_data_set(mnist):
    data = first_rows(mnist, 160)
    assert len(data.train) == 160
    assert data.test is None
    assert np.shares_memory(data.train.X, mnist.train.X)
    np.testing.assert_array_equal(data.train.X, mnist.train.X[:160])
    np.testing.assert_array_equal(data.train.y, mnist.train.y[:160])


def test_every_device_agrees_with_numpy(device: Device, dtype, mnist):
    data, config = first_rows(mnist, 160), Config(**TWENTY_STEPS, dtype=dtype)
    expected, computed = trace(CPU(), data, config), trace(device, data, config)
    agreements = list(compare(expected, computed, TOLERANCE[dtype]))
    assert len(agreements) == 6
    assert [agreement for agreement in agreements if not agreement.holds] == []


def test_two_precisions_start_from_the_same_weights_and_stay_close(reference, mnist):
    double = trace(CPU(), first_rows(mnist, 160), Config(**TWENTY_STEPS, dtype="float64"))
    assert failing(double, reference) == []
    assert next(compare(double, reference, 1e-5)).difference == 0


def changed(reference: Trace, stage: str, change) -> Trace:
    arrays = [array.copy() for array in reference[stage]]
    arrays[-1] = change(arrays[-1])
    return {**reference, stage: arrays}


@pytest.mark.parametrize("stage", ["activations", "loss", "gradients", "training losses",
                                   "trained weights"])  # fmt: skip
@pytest.mark.parametrize(
    "change",
    [
        lambda array: array + 2e-5 * np.abs(array).max(),
        lambda array: array * np.float32("nan"),
        lambda array: np.concatenate([array.ravel(), array.ravel()]),
        lambda array: np.zeros_like(array),
    ],
    ids=["2e-5", "nan", "shape", "zeros"],
)
def test_a_planted_error_is_found_in_its_stage_alone(reference, stage, change):
    assert failing(reference, changed(reference, stage, change)) == [stage]


def test_initial_weights_must_agree_to_the_last_bit(reference):
    other = changed(reference, "initial weights", lambda array: array)
    other["initial weights"][0][5, 7] = np.nextafter(other["initial weights"][0][5, 7], 9)
    assert failing(reference, other) == ["initial weights"]


def test_a_missing_gradient_is_an_error(reference):
    with pytest.raises(ValueError, match="zip"):
        failing(reference, {**reference, "gradients": reference["gradients"][:-1]})
