"""What surrounds training: interrupts, errors within a step, warnings of NumPy's."""

import gc
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from mlp_xp import (
    Callback,
    Config,
    Dataset,
    InputError,
    Network,
    Trainer,
    evaluate,
    predict,
    train,
)
from mlp_xp.devices import CPU
from mlp_xp.nn.optimizers import OPTIMIZERS, SGD
from mlp_xp.training import load_checkpoint, save_checkpoint


@pytest.fixture
def data(rng) -> Dataset:
    X = rng.standard_normal((300, 6))
    return Dataset.from_arrays(X, np.abs(X[:, :3]).argmax(axis=1))


@pytest.fixture(params=[1, None], ids=["plain", "windowed"])
def config(request) -> Config:
    return Config(hidden=(5,), batch_size=8, epochs=4, lr=0.1, window=request.param)


def weights(trainer: Trainer) -> bytes:
    return b"".join(array.tobytes() for array in trainer.network.parameters())


class Failing(SGD):
    """SGD in which `action` happens in the middle of one step, once."""

    def __init__(self, action, at_step: int = 30):
        super().__init__()
        self.action, self.at_step = action, at_step

    def update_one(self, parameter, gradient, lr, *slots):
        super().update_one(parameter, gradient, lr, *slots)
        if self.steps == self.at_step and self.action:
            action, self.action = self.action, None
            action()


def failing_trainer(data, action, monkeypatch) -> Trainer:
    monkeypatch.setitem(OPTIMIZERS, "failing", lambda: Failing(action))
    return Trainer(data, Config(hidden=(5,), batch_size=8, epochs=4, lr=0.1, optimizer="failing"),
                   CPU())  # fmt: skip


def interrupt() -> None:
    raise KeyboardInterrupt


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_after_ctrl_c_within_a_step_fit_goes_on_to_the_same_bits(data, monkeypatch):
    whole = failing_trainer(data, None, monkeypatch)
    whole.fit()
    trainer = failing_trainer(data, ctrl_c, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    assert not trainer.finished
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    trainer.fit()
    assert weights(trainer) == weights(whole)
    assert [e.loss for e in trainer.history] == [e.loss for e in whole.history]


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Hypothesis has a callback in Python's collector, which swallows a Ctrl-C that comes there."""
    gc.disable()
    yield
    gc.enable()


def test_a_ctrl_c_at_any_moment_loses_nothing(data, config, no_collector):
    """From a thread, so that it comes at moments that nobody chose."""
    whole = Trainer(data, config, CPU())
    whole.fit()
    interrupted = 0
    for delay in np.linspace(0, 0.02, 12):
        trainer = Trainer(data, config, CPU())
        timer = threading.Timer(delay, signal.raise_signal, [signal.SIGINT])
        while not (trainer.finished and timer.finished.is_set()):
            try:
                if not (timer.is_alive() or timer.finished.is_set()):
                    timer.start()
                trainer.fit()
                timer.join()
                time.sleep(0.001)  # the signal is handled here at the latest
            except KeyboardInterrupt:
                interrupted += 1
        assert weights(trainer) == weights(whole)
    assert interrupted == 12


@pytest.mark.parametrize("action", [interrupt, lambda: (ctrl_c(), ctrl_c())])
def test_a_run_that_broke_off_within_a_step_is_refused(action, data, monkeypatch, tmp_path):
    """A second Ctrl-C comes through at once; so does any other error."""
    path = tmp_path / "checkpoint.safetensors"
    whole = failing_trainer(data, None, monkeypatch)
    save_checkpoint(whole, path)
    whole.fit()
    trainer = failing_trainer(data, action, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    words = r"half changed \(KeyboardInterrupt\); make a new Trainer"
    for go_on in (trainer.fit, lambda: save_checkpoint(trainer, tmp_path / "other")):
        with pytest.raises(InputError, match=words):
            go_on()
    assert not (tmp_path / "other").exists()
    load_checkpoint(trainer, path)
    trainer.fit()
    assert weights(trainer) == weights(whole)


def test_a_run_is_not_saved_within_a_step(data, monkeypatch, tmp_path):
    """As by a signal's handler: a checkpoint would be torn."""
    refused = []

    def save() -> None:
        with pytest.raises(InputError, match="a step of this training is under way; save it betw"):
            save_checkpoint(trainer, tmp_path / "checkpoint")
        refused.append(trainer.rows)

    trainer = failing_trainer(data, save, monkeypatch)
    trainer.fit()
    assert len(refused) == 1
    save_checkpoint(trainer, tmp_path / "checkpoint")


def test_a_run_that_diverged_says_so_again(data):
    trainer = Trainer(data, Config(lr=1e30), CPU())
    for words in ("the loss became", r"half changed \(the loss became .* lower --lr"):
        with pytest.raises(InputError, match=words):
            trainer.fit()


def test_ctrl_c_is_left_to_a_program_that_handles_it(data, config):
    received = []
    previous = signal.signal(signal.SIGINT, lambda *_: received.append("ours"))

    class CtrlC(Callback):
        def on_chunk(self, trainer):
            ctrl_c()

    try:
        trainer = Trainer(data, config, CPU())
        trainer.fit([CtrlC()])
    finally:
        signal.signal(signal.SIGINT, previous)
    assert trainer.finished
    assert received == ["ours"] * 4


def test_training_in_another_thread(data, config):
    """Where signal handlers can't be set."""
    trainer, whole = Trainer(data, config, CPU()), Trainer(data, config, CPU())
    thread = threading.Thread(target=trainer.fit)
    thread.start()
    thread.join()
    whole.fit()
    assert trainer.finished
    assert weights(trainer) == weights(whole)


class Strict(CPU):
    """A device that works only while it is the current one, as a GPU beside another does."""

    current: CPU | None = None

    def use(self) -> None:
        Strict.current = self

    def to_device(self, array):
        assert Strict.current is self
        return super().to_device(array)


@pytest.mark.parametrize("event", ["on_chunk", "on_epoch"])
def test_a_callback_may_use_another_device(event, data, config, monkeypatch):
    monkeypatch.setattr("mlp_xp.training.setup.CHUNK_ROWS", 100)
    ours, others = Strict(), Strict()
    others.use()
    teacher = Network.initialize(others, (6, 3))

    def use_another(trainer: Trainer) -> None:
        others.use()
        evaluate(trainer.network, data.train)
        predict(teacher, data.train.X)

    callback = Callback()
    setattr(callback, event, use_another)
    trainer = Trainer(data, replace(config, validation=0.2), ours)
    fit_chunk = trainer._fit_chunk

    def on_ours(chunk) -> None:
        assert Strict.current is ours
        fit_chunk(chunk)

    monkeypatch.setattr(trainer, "_fit_chunk", on_ours)
    others.use()
    trainer.fit([callback])
    assert trainer.finished


@pytest.mark.parametrize("settings", [{}, {"window": 1}, {"optimizer": "adam"}, {"momentum": 0.9}])
def test_a_diverging_run_ends_in_its_error_alone(settings, data):
    """Without NumPy's warnings of overflow and division, which a user can do nothing about."""
    for batch_size in (1, 8, 300):
        config = Config(hidden=(200,), epochs=3, lr=1e30, batch_size=batch_size, **settings)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with pytest.raises(InputError, match=r"the loss became (inf|nan) in epoch .*--lr"):
                train(data, config, CPU())
        assert caught == []


@pytest.mark.parametrize("threads", [1, 2])
def test_the_threads_that_share_its_products_are_silent_too(threads, rng, monkeypatch):
    monkeypatch.setattr("mlp_xp.training.windowed.product.WORTH_SHARING", 1)
    monkeypatch.setattr("mlp_xp.training.windowed.sgd.WORTH_SHARING", 1)
    X = rng.standard_normal((1024, 20), dtype=np.float32)
    data = Dataset.from_arrays(X, X[:, :3].argmax(axis=1))
    config = Config(hidden=(40, 30), epochs=2, lr=1e30, batch_size=256, threads=threads)
    for _ in range(20):  # the second thread isn't always in time to take its half
        with pytest.raises(InputError, match="the loss became"):
            train(data, config, CPU())
