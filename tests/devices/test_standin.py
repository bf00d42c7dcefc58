"""The code does only what a GPU can do, as far as the stand-in shows."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import standin
import workout

from mlp_xp.devices import CPU


def faults(settings: dict[str, Any]) -> list[str]:
    """Everything in a run that a GPU would refuse, wait for or compute in another dtype."""
    device = standin.StandIn()
    trace = device.trace
    waits: list[str] = []

    @contextmanager
    def watch() -> Iterator[None]:
        before = len(trace.syncs)
        yield
        # The first window is compared with what its graph repeats.
        waits.extend(wait for wait in trace.syncs[before:] if "captured.py:_largest" not in wait)

    try:
        workout.work(device, settings, around_steps=watch)
    except (AttributeError, TypeError) as error:
        return [str(error)]
    dtype = settings.get("dtype", "float32")
    # Bytes are divided in float32 whatever the dtype, as in the notebook; inputs are standardized
    # in float64.
    prepared = {"float32", "float64"} if settings.get("standardize") else {"float32"}
    drift = trace.dtypes - {dtype} - prepared
    return waits + [f"{other} in a {dtype} run" for other in drift]


@pytest.mark.parametrize("settings", workout.SETTINGS.values(), ids=workout.SETTINGS)
def test_a_run_does_nothing_that_a_gpu_would_refuse_or_wait_for(settings):
    assert faults(settings) == []


class NumPyLikeGPU(CPU):
    """NumPy on the code path of a GPU, which sums over all inputs, not only over the live ones."""

    name = "numpy"
    on_host = False


@pytest.mark.parametrize("settings", workout.SETTINGS.values(), ids=workout.SETTINGS)
def test_the_standin_computes_what_numpy_does(settings):
    expected = workout.work(NumPyLikeGPU(), settings)
    for found, array in zip(workout.work(standin.StandIn(), settings), expected, strict=True):
        assert found.dtype == array.dtype
        assert found.tobytes() == array.tobytes()


def test_training_waits_once_a_chunk():
    device = standin.StandIn()
    workout.work(device, {})
    beside_training = ("evaluation.py", "workout.py", "captured.py:_largest")
    waits = [sync for sync in device.trace.syncs if not any(f in sync for f in beside_training)]
    chunk, end = "float() in trainer.py:_fit_chunk", "bool() in early_stopping.py:check_weights"
    assert waits == [chunk, end] * 2  # two epochs of one chunk


@pytest.mark.parametrize("settings", [{}, {"batch_size": 1}], ids=["batches", "samples"])
@pytest.mark.parametrize("kind", workout.MISTAKES)
def test_every_kind_of_mistake_is_found(kind, settings, monkeypatch):
    mistake, complaint = workout.MISTAKES[kind]
    expected = workout.work(CPU(), settings)
    workout.plant(monkeypatch, mistake)
    # NumPy accepts it, so no other test would find it.
    for found, array in zip(workout.work(CPU(), settings), expected, strict=True):
        np.testing.assert_allclose(found, array, rtol=1e-5, atol=1e-7)
    found = faults(settings)
    assert found
    for fault in found:
        assert re.search(complaint, fault)


def test_views_buffers_and_memory_order_behave_like_arrays_on_a_device():
    device = standin.StandIn()
    xp = device.xp
    A = device.to_device(np.asfortranarray(np.arange(6.0).reshape(2, 3)))
    assert A.flags.f_contiguous
    assert A.T.flags.c_contiguous
    out = xp.empty((2, 2))
    assert xp.matmul(A, A.T, out=out) is out
    assert out.tolist() == [[5, 14], [14, 50]]
    assert xp.maximum(A[:, :2], 2, out=out) is out
    assert out.tolist() == [[2, 2], [3, 4]]
    rows = xp.asarray([1, 0])
    assert A.take(rows, axis=0, out=xp.empty((2, 3))).tolist() == A[rows].tolist()
    A[0, 1:] += 10
    last = A[1, 2]
    last *= 2  # a view of one element, where NumPy has a number
    assert A.tolist() == [[0, 11, 12], [3, 4, 10]]
    assert A.max(axis=1, keepdims=True, out=out[:, :1]).shape == (2, 1)
    assert out.tolist() == [[12, 2], [10, 4]]


def test_a_single_number_is_still_an_array():
    xp = standin.StandIn().xp
    ones = xp.ones((2, 2), dtype="float32")
    for number in (ones.sum(), ones[0, 0], ones.mean() * 2, xp.vdot(ones, ones), xp.array_equal):
        number = number(ones, ones) if callable(number) else number
        assert isinstance(number, xp.ndarray)
        assert number.shape == ()


def test_what_cupy_leaves_undefined_is_refused():
    xp = standin.StandIn().xp
    a = xp.zeros((3, 3))
    rows = xp.asarray([0, 1, 0])
    a[rows, xp.asarray([0, 1, 2])] = 1
    with pytest.raises(ValueError, match="name one element twice"):
        a[rows] = 1
    with pytest.raises(IndexError):  # CuPy would wrap it around
        a[xp.asarray([3])]
