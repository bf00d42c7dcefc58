"""The backends against each other, and that the comparison sees what it is there to see."""

from dataclasses import replace

import numpy as np
import pytest

from mlp_xp import Config, Dataset
from mlp_xp.backend import Backend, cpu
from mlp_xp.parity import TOLERANCE, Trace, compare, trace

TWENTY_STEPS = {"hidden": (128, 64), "batch_size": 32, "epochs": 4, "lr": 0.1}


def first(data: Dataset, rows: int) -> Dataset:
    split = data.train
    return replace(data, train=replace(split, X=split.X[:rows], y=split.y[:rows]), test=None)


@pytest.fixture(scope="module")
def reference(mnist) -> Trace:
    return trace(cpu(), first(mnist, 160), Config(**TWENTY_STEPS))


def failing(reference: Trace, other: Trace) -> list[str]:
    return [stage.stage for stage in compare(reference, other, 1e-5) if not stage.holds]


def test_every_backend_agrees_with_numpy(backend: Backend, dtype, mnist):
    data, config = first(mnist, 160), Config(**TWENTY_STEPS, dtype=dtype)
    agreements = list(compare(trace(cpu(), data, config), trace(backend, data, config),
                              TOLERANCE[dtype]))  # fmt: skip
    assert len(agreements) == 6
    assert [agreement for agreement in agreements if not agreement.holds] == []


def test_two_precisions_start_from_the_same_weights_and_stay_close(reference, mnist):
    double = trace(cpu(), first(mnist, 160), Config(**TWENTY_STEPS, dtype="float64"))
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
def test_a_planted_error_is_seen_in_its_stage_alone(reference, stage, change):
    assert failing(reference, changed(reference, stage, change)) == [stage]


def test_initial_weights_must_agree_to_the_last_bit(reference):
    other = changed(reference, "initial weights", lambda array: array)
    other["initial weights"][0][5, 7] = np.nextafter(other["initial weights"][0][5, 7], 9)
    assert failing(reference, other) == ["initial weights"]


def test_a_missing_gradient_is_an_error(reference):
    with pytest.raises(ValueError, match="zip"):
        failing(reference, {**reference, "gradients": reference["gradients"][:-1]})
