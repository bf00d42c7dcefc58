"""The real CuPy, on a GPU or emulated, does what a run asks for, and nothing that the run doesn't.

What is done is only recorded where it is emulated: see tests/cuda_emulator/README.md.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import emulator
import numpy as np
import pytest
import workout
from recording import Event, recorded

from mlp_xp.devices import CPU, Device

pytestmark = pytest.mark.cuda
# The sum of the losses, of shape (), is in float64.
IN_FLOAT64 = re.compile("(?!cupy_(add|subtract|copy)__float64(_float32)?(_float64)+$).*float64")


@pytest.mark.parametrize("graph", [True, False], ids=["graphs", "plain"])
@pytest.mark.parametrize("settings", workout.SETTINGS.values(), ids=workout.SETTINGS)
def test_a_run_computes_what_numpy_does(settings, graph, cuda):
    settings = {**settings, "dtype": "float64", "graph": graph}
    found, expected = (workout.work(device, settings) for device in (cuda, CPU()))
    for array, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(array, reference, rtol=1e-9, atol=1e-12)


def steps(cuda: Device, settings: dict[str, Any]) -> list[Event]:
    """What is done during the steps of a run; not captured, as the first of those are compared."""
    if not emulator.is_installed():
        pytest.skip("only the emulator tells what is done")
    done: list[Event] = []

    @contextmanager
    def watch() -> Iterator[None]:
        with recorded() as events:
            yield
        done.extend(events)

    workout.work(cuda, {"graph": False, **settings}, around_steps=watch)
    return done


def faults(events: list[Event]) -> list[str]:
    """Waits, and kernels and products in float64."""
    return [event.name for event in events if event.kind == "wait" or IN_FLOAT64.match(event.name)]


@pytest.mark.parametrize("settings", workout.SETTINGS.values(), ids=workout.SETTINGS)
def test_a_step_neither_waits_nor_drifts_to_another_type(settings, cuda):
    in_float64 = settings.get("dtype") == "float64" or "standardize" in settings  # as it prepares
    found = faults(steps(cuda, settings))
    assert [name for name in found if not (in_float64 and "float64" in name)] == []


@pytest.mark.parametrize("kind", workout.UNKNOWN_TO_CUPY)
def test_what_cupy_lacks_is_refused(kind, cuda, monkeypatch):
    mistake, complaint = workout.UNKNOWN_TO_CUPY[kind]
    workout.plant(monkeypatch, mistake)
    with pytest.raises((AttributeError, TypeError, NotImplementedError), match=complaint):
        workout.work(cuda, {})


WAITING = ("float()", "bool()", "item()", "tolist()", "nonzero", "mask")


@pytest.mark.parametrize("kind", [*WAITING, "dtype"])
def test_a_planted_wait_and_a_planted_type_are_found(kind, cuda, monkeypatch):
    workout.plant(monkeypatch, workout.MISTAKES[kind][0])
    assert faults(steps(cuda, {}))
