"""Fixtures for all tests: MNIST, a random generator, and `device`, every device in turn."""

import os
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import emulator
import numpy as np
import pytest
import standin
from _pytest.mark.expression import Expression
from hypothesis import settings

from mlp_xp import Dataset, load_data
from mlp_xp.devices import CPU, Device, get_device

# Tests send Ctrl-C, which a shell has a program in the background ignore.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine that is busy with something else is no failure. All else stays as Hypothesis has it,
# which differs in CI.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")


def selects_cuda(config: pytest.Config) -> bool:
    """Whether -m asks for the tests marked cuda, rather than just not excluding them."""
    wanted = Expression.compile(config.option.markexpr or "not cuda")
    return wanted.evaluate(lambda name, **_: name == "cuda") and not wanted.evaluate(
        lambda name, **_: False
    )


def pytest_configure(config: pytest.Config) -> None:
    """Emulate GPUs where the tests marked cuda are asked for and there can't be a real one."""
    if selects_cuda(config) and not emulator.has_driver() and emulator.missing() is None:
        emulator.install()
        startup = str(Path(emulator.__file__).with_name("startup"))
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, [startup, os.environ.get("PYTHONPATH")])
        )


def cuda_in_use() -> str:
    """What the tests marked cuda run on, for the report."""
    if emulator.is_installed():
        return f"cuda: emulated, CuPy {emulator.CUPY} on this CPU (tests/cuda_emulator/README.md)"
    if emulator.has_driver():
        found = gpu()
        if found.fallback_reason is None:
            return f"cuda: {found.xp.cuda.runtime.getDeviceProperties(0)['name'].decode()}"
        why = found.fallback_reason
    else:
        why = emulator.missing() or "no NVIDIA driver, and no -m cuda, which would emulate it"
    return f"cuda: none: {why}; the tests marked cuda are skipped"


def pytest_report_header() -> str:
    return cuda_in_use()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say it at the end if -q, which leaves the header away, hides it."""
    if selects_cuda(config) and not terminalreporter.showheader:
        terminalreporter.write_line(cuda_in_use())


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
    return request.getfixturevalue("cuda")


@pytest.fixture
def cuda() -> Device:
    """The first GPU, emulated or not; the test is skipped where there is none."""
    found = gpu()
    if found.fallback_reason is not None:
        pytest.skip(f"no GPU to test on: {found.fallback_reason}")
    found.use()
    return found


@cache
def gpu() -> Device:
    """The first GPU, tested once; or the CPU, with the reason."""
    return get_device("cuda")


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
