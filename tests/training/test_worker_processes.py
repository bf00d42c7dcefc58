"""Workers as processes: the same bits whatever happens beside them, and none left behind."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workers import lower_the_limits

from mlp_xp import Callback, Config, Dataset, Split, Trainer
from mlp_xp.devices import CPU
from mlp_xp.errors import DeviceError, InputError
from mlp_xp.training import load_checkpoint, save_checkpoint

pytestmark = [
    pytest.mark.filterwarnings("ignore:the training loss"),  # random labels
    pytest.mark.skipif(sys.platform != "linux", reason="several workers need Linux"),
]

ADAM = Config(
    hidden=(9, 8), epochs=2, batch_size=50, optimizer="adam", lr=0.002, dropout=0.2, threads=2
)
DEEP = replace(ADAM, hidden=(9, 8, 7), threads=3)


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No process and no descriptor, which is what memory without a name ends with."""
    lower_the_limits(monkeypatch, chunk_rows=300)
    monkeypatch.setattr(sys.modules[__name__], "OTHERS", children())
    before = descriptors()
    yield
    assert children() == []
    gc.collect()  # an error's frames
    assert descriptors() == before


OTHERS: list[int] = []
"""Processes that other tests have left, as joblib keeps its workers."""


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> list[int]:
    """The processes that this one has started since the test began, alive or not."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if int(fields[1]) == os.getpid():
            found.append(int(stat.parent.name))
    return [pid for pid in found if pid not in OTHERS]


def data(rows: int = 1000) -> Dataset:
    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((rows, 12)), rng.integers(0, 3, rows)
    return Dataset("random", Split(X, y, rng.uniform(0.5, 2, rows)), None, 3)


DATA = data()


def trainer(config: Config = ADAM) -> Trainer:
    made = Trainer(DATA, config, CPU())
    assert made.train_step.size == config.threads
    return made


def bits(trainer: Trainer) -> bytes:
    arrays = [*trainer.network.parameters(), *chain(*trainer.optimizer.state.values())]
    losses = [epoch.loss for epoch in trainer.history]
    return b"".join(array.tobytes() for array in arrays) + np.array(losses).tobytes()


def trained(config: Config = ADAM, *callbacks: Callback) -> bytes:
    made = trainer(config)
    made.fit(callbacks)
    return bits(made)


class AtChunk(Callback):
    """Calls a function once, after the n-th chunk."""

    def __init__(self, n: int, function: Callable[[Trainer], object]):
        self.n, self.function = n, function

    def on_chunk(self, trainer: Trainer) -> None:
        self.n -= 1
        if self.n == 0:
            self.function(trainer)


@pytest.fixture(scope="module")
def whole() -> dict[int, bytes]:
    """The bits that nothing disturbed, by the number of workers."""
    with pytest.MonkeyPatch.context() as patch:
        lower_the_limits(patch, chunk_rows=300)
        return {config.threads: trained(config) for config in (ADAM, DEEP)}


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


@pytest.mark.parametrize("config", [ADAM, DEEP], ids=["2 workers", "3 workers"])
def test_as_one_worker_to_rounding_and_the_same_bits_each_time(config, whole):
    several, one = trainer(config), trainer(replace(config, threads=1))
    several.fit()
    one.fit()
    for a, b in zip(several.network.parameters(), one.network.parameters(), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)
    assert bits(several) == whole[config.threads]
    assert bits(several) != bits(one), "the sums of workers would have to be of no consequence"


@contextmanager
def busy(processes: int) -> Iterator[None]:
    burning = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)
    ]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


@pytest.mark.full
@pytest.mark.parametrize("config", [ADAM, DEEP], ids=["2 workers", "3 workers"])
def test_the_same_bits_on_a_busy_machine(config, whole):
    with busy(3):
        for _ in range(5):
            assert trained(config) == whole[config.threads]


def test_a_worker_that_is_stopped_for_a_while_changes_nothing(whole):
    def pause(_: Trainer) -> None:
        (worker,) = children()
        os.kill(worker, signal.SIGSTOP)
        threading.Timer(0.3, os.kill, (worker, signal.SIGCONT)).start()

    assert trained(ADAM, AtChunk(2, pause)) == whole[2]


@pytest.mark.parametrize("chunks", [4, *(pytest.param(n, marks=pytest.mark.full) for n in (1, 6))])
def test_interrupted_and_resumed(chunks, whole, tmp_path):
    def interrupt(trainer: Trainer) -> None:
        save_checkpoint(trainer, tmp_path / "checkpoint")
        raise KeyboardInterrupt

    first = trainer()
    with pytest.raises(KeyboardInterrupt):
        first.fit([AtChunk(chunks, interrupt)])
    assert children() == []
    second = trainer()
    load_checkpoint(second, tmp_path / "checkpoint")
    second.fit()
    first.fit()  # a whole state as well
    assert bits(second) == bits(first) == whole[2]


def test_what_a_callback_changes_is_honoured():
    """Weights, and a setting of the optimizer, between chunks and between calls of fit()."""

    def change(trainer: Trainer) -> None:
        trainer.network.layers[0].W *= 0.5
        trainer.network.layers[1].b += 1
        trainer.optimizer.weight_decay = 0.3
        trainer.optimizer.state["m"][0][...] = 0.01

    results = []
    for threads in (1, 2):
        changed = trainer(replace(ADAM, threads=threads, dtype="float64", eps=0.01))
        changed.fit([AtChunk(2, change), AtChunk(4, Trainer.stop)])
        changed.fit([AtChunk(1, lambda trainer: trainer.network.layers[2].W.fill(0.1))])
        results.append(changed.network.parameters())
        assert changed.finished
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.full
def test_several_trainings_at_once(whole):
    with ThreadPoolExecutor(2) as threads:
        runs = [threads.submit(trained, config) for config in (ADAM, DEEP)]
        assert [run.result() for run in runs] == [whole[2], whole[3]]


@pytest.mark.full
def test_early_stopping():
    results = []
    for threads in (1, 2):
        config = replace(
            ADAM, threads=threads, dtype="float64", eps=0.01, validation=0.2, patience=1, epochs=9,
            lr=0.05,
        )  # fmt: skip
        stopped = trainer(config)
        stopped.fit()
        results.append(stopped)
    assert len(results[0].history) == len(results[1].history) < 9
    for a, b in zip(*(run.network.parameters() for run in results), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    "moment", ["within a chunk", pytest.param("between chunks", marks=pytest.mark.full)]
)
def test_a_worker_that_is_killed(moment, tmp_path, whole):
    def kill(trainer: Trainer) -> None:
        save_checkpoint(trainer, tmp_path / "checkpoint")
        worker = children()[-1]
        if moment == "between chunks":
            os.kill(worker, signal.SIGKILL)
            assert within(5, lambda: "(python" not in Path(f"/proc/{worker}/cmdline").read_text())
        else:  # it has begun to wait, or takes its steps
            os.kill(worker, signal.SIGSTOP)
            threading.Timer(0.1, os.kill, (worker, signal.SIGKILL)).start()

    broken = trainer(DEEP)
    with pytest.raises(
        DeviceError, match=r"worker \d of 3 has ended \(signal 9\); go on"
    ) as caught:
        broken.fit([AtChunk(2, kill)])
    assert "\n" not in str(caught.value)
    assert children() == []
    for refused in (broken.fit, lambda: save_checkpoint(broken, tmp_path / "other")):
        with pytest.raises(InputError, match="half changed"):
            refused()
    again = trainer(DEEP)
    load_checkpoint(again, tmp_path / "checkpoint")
    again.fit()
    assert bits(again) == whole[3]


def test_an_error_in_a_worker_is_told_in_one_line(monkeypatch, capfd):
    monkeypatch.setattr("mlp_xp.training.workers.process.PACKAGES", [])
    monkeypatch.setattr(sys, "path", [])
    failing = trainer()
    with pytest.raises(DeviceError, match=r"worker 2 of 2 has ended.*No module named 'mlp_xp'"):
        failing.fit()
    assert capfd.readouterr() == ("", "")


def test_an_error_of_the_training_ends_its_workers():
    class Own(BaseException):
        pass

    def fail(_: Trainer) -> None:
        assert len(children()) == 1
        raise Own

    with pytest.raises(Own):
        trainer().fit([AtChunk(1, fail)])
    assert children() == []


@pytest.mark.parametrize("call", ["memfd_create", "Popen", "second Popen"])
def test_what_the_system_refuses_is_told_in_one_line(call, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    popen, calls = subprocess.Popen, []

    def refuse_second(*arguments: Any, **options: Any) -> subprocess.Popen:
        calls.append(1)
        return popen(*arguments, **options) if len(calls) == 1 else refuse()

    if call == "memfd_create":
        monkeypatch.setattr(os, "memfd_create", refuse)
    else:
        new = refuse if call == "Popen" else refuse_second
        monkeypatch.setattr("mlp_xp.training.workers.process.subprocess.Popen", new)
    with pytest.raises(DeviceError, match=r"Too many open files.*use --threads 1"):
        trainer(DEEP).fit()


def test_memory_by_the_systems_call_itself(monkeypatch, whole):
    """Where Python was built without os.memfd_create()."""
    monkeypatch.delattr(os, "memfd_create")
    assert trained() == whole[2]
    monkeypatch.setattr("mlp_xp.training.workers.memory.SYS_MEMFD_CREATE", 10**6)
    with pytest.raises(DeviceError, match=r"2 workers can't share memory.*not implemented"):
        trained()


def test_what_cannot_be_pickled_is_not_sent(whole):
    """A user's own attributes of the network, which may be large, too."""
    noted = trainer()
    noted.network.note = lambda: "of mine"
    noted.fit()
    assert bits(noted) == whole[2]
