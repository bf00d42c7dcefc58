"""What all tests share: the data set, and one `backend` fixture for every array library."""

import numpy as np
import pytest

from mlp_xp import Dataset, load
from mlp_xp.backend import Backend, cpu


@pytest.fixture(scope="session")
def mnist() -> Dataset:
    return load("mnist")


@pytest.fixture(params=["cpu"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn; what is tested through it runs on all of them."""
    return cpu()


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)
