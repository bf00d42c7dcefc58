"""Fixtures for all tests: MNIST, a random generator, and `device`, every device in turn."""

import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import standin
from hypothesis import settings

from mlp_xp import Dataset, load_data
from mlp_xp.devices import CPU, Device, get_device

# Tests send Ctrl-C, which a shell has a program in the background ignore.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine that is busy with something else is no failure. All else stays as Hypothesis has it,
# which differs in CI.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def mnist() -> Dataset:
    return load_data("mnist")


@pytest.fixture(params=["cpu", "standin", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> Device:
    """Each device in turn: a test that uses this fixture runs on all of them."""
    if request.param == "cpu":
        return CPU()
    if request.param == "standin":
        return standin.StandIn()
    found = get_device("cuda")
    if found.fallback_reason is not None:
        pytest.skip(f"no GPU to test on: {found.fallback_reason}")
    return found


@pytest.fixture
def check(device: Device) -> Callable[[Any, str], np.ndarray]:
    """check(array, dtype): the array on the host, checked to be the device's and of dtype."""
    kinds: tuple[type, ...] = (device.xp.ndarray,)
    if device.xp is np:
        kinds += (np.generic,)  # NumPy's reductions return scalars, CuPy's arrays of shape ()

    def on_host(array: Any, dtype: str) -> np.ndarray:
        assert isinstance(array, kinds), f"{type(array)} isn't an array of {device.name}"
        assert str(array.dtype) == dtype
        return np.asarray(device.to_host(array))

    return on_host


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)
