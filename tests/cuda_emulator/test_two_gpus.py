"""A second GPU, which the emulator has: another current device, and memory that isn't shared."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import emulator
import numpy as np
import pytest
import workout
from recording import recorded

from mlp_xp import Config, Trainer, evaluate
from mlp_xp.devices import get_device

pytestmark = pytest.mark.cuda


@pytest.fixture
def cp() -> Any:
    if not emulator.is_installed():
        pytest.skip("there is a real driver, or CUDA can't be emulated here")
    import cupy

    yield cupy
    cupy.cuda.Device(0).use()


def test_each_thread_has_a_current_device_of_its_own(cp):
    cp.cuda.Device(1).use()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(cp.cuda.runtime.getDevice).result() == 0
    assert cp.cuda.runtime.getDevice() == 1
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError) as refused:
        cp.cuda.Device(2).use()
    assert refused.value.status == 101


def test_an_array_of_another_gpu_is_refused(cp):
    with cp.cuda.Device(1):
        other = cp.ones((8, 8), dtype="float32")
    here = cp.ones((8, 8), dtype="float32")
    with pytest.raises(ValueError, match="Peer access is unavailable"):
        here + other
    with pytest.raises(Exception, match=r"EXECUTION_FAILED|different from the current device"):
        here @ other
    # CuPy doesn't look at the arguments of a kernel of one's own; a card would crash.
    kernel = cp.RawKernel('extern "C" __global__ void one(float* a) { *a = 1; }', "one")
    with pytest.raises(Exception, match="lies on cuda:1, the work on cuda:0"):
        kernel((1,), (1,), (other,))


def train(device: Any, settings: dict[str, Any]) -> list[np.ndarray]:
    data = workout.small_data()
    trainer = Trainer(data, Config(hidden=(6, 5), batch_size=8, epochs=3, **settings), device)
    trainer.fit()
    evaluate(trainer.network, data.train)
    return [device.to_host(array) for array in trainer.network.parameters()]


@pytest.mark.parametrize(
    "settings", [{}, {"optimizer": "adam", "dropout": 0.2}], ids=["sgd", "adam"]
)
def test_training_on_the_second_gpu_gives_the_same_and_leaves_the_first_alone(cp, settings):
    expected = train(get_device("cuda:0", require=True), settings)
    device = get_device("cuda:1", require=True)
    with recorded() as events:
        found = train(device, settings)
    for a, b in zip(found, expected, strict=True):
        assert a.tobytes() == b.tobytes()
    assert {event.device for event in events} == {1}


def test_two_threads_train_on_a_gpu_each_at_the_same_time(cp):
    expected = train(get_device("cuda:0", require=True), {})
    devices = [get_device(f"cuda:{i}", require=True) for i in range(2)]
    start = Barrier(2)

    def work(device: Any) -> list[np.ndarray]:
        device.use()
        start.wait()
        return train(device, {})

    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(work, devices):
            for a, b in zip(found, expected, strict=True):
                assert a.tobytes() == b.tobytes()
