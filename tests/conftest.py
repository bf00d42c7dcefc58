"""What all tests share: the data set, and one `backend` fixture for every array library."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import standin

from mlp_xp import Dataset, load, resolve
from mlp_xp.backend import Backend


@pytest.fixture(scope="session")
def mnist() -> Dataset:
    return load("mnist")


@pytest.fixture(params=["cpu", "standin", pytest.param("cuda", marks=pytest.mark.cuda)])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn; what is tested through it runs on all of them."""
    if request.param == "standin":
        return standin.backend()
    resolution = resolve(request.param)
    if not resolution.backend.device.startswith(request.param):
        pytest.skip(f"no GPU to test on: {resolution.reason}")
    return resolution.backend


@pytest.fixture
def check(backend: Backend) -> Callable[[Any, str], np.ndarray]:
    """check(array, dtype): the array on the host, if it was the backend's own and of that dtype."""
    kinds: tuple[type, ...] = (backend.xp.ndarray,)
    if backend.xp is np:
        kinds += (np.generic,)  # what its reductions return, where others have arrays ()

    def on_host(array: Any, dtype: str) -> np.ndarray:
        assert isinstance(array, kinds), f"{type(array)} isn't of {backend.device}"
        assert str(array.dtype) == dtype
        return np.asarray(backend.to_host(array))

    return on_host


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)
