"""A run whose loss stops being finite keeps the best network that it had."""

import signal
from dataclasses import replace

import numpy as np
import pytest

from mlp_xp import Callback, Config, Dataset, InputError, Split, Trainer, evaluate
from mlp_xp.devices import CPU
from mlp_xp.errors import TrainingWarning
from mlp_xp.nn.schedules import SCHEDULES, Constant
from mlp_xp.training import Checkpointer, load_checkpoint, save_checkpoint


class Explosion(Constant):
    """Two learning rates: a good one for the first half of the run, then one without measure."""

    def factor(self, step: int, total: int) -> float:
        return 1.0 if step < total // 2 else 1e30


@pytest.fixture
def data(rng) -> Dataset:
    X = rng.standard_normal((300, 6))
    return Dataset.from_arrays(X, np.abs(X[:, :3]).argmax(axis=1))


SETTINGS = {"hidden": (5,), "epochs": 10, "lr": 0.1, "schedule": "explosion", "validation": 0.2}

WORSENING = {**SETTINGS, "schedule": "constant", "lr": 1.0, "momentum": 0.5, "patience": 20}
"""The best of its epochs isn't the last."""


@pytest.fixture(autouse=True)
def _explosion(monkeypatch):
    monkeypatch.setitem(SCHEDULES, "explosion", Explosion)


class Best(Callback):
    """Keeps the weights of the epoch with the lowest validation loss, by itself."""

    def __init__(self):
        self.loss, self.weights = np.inf, b""

    def on_epoch(self, trainer):
        if trainer.history[-1].validation_loss < self.loss:
            self.loss, self.weights = trainer.history[-1].validation_loss, weights(trainer)


def weights(trainer: Trainer) -> bytes:
    return b"".join(array.tobytes() for array in trainer.network.parameters())


@pytest.mark.parametrize("window", [1, None])
def test_the_best_network_outlives_a_diverging_run(window, data, tmp_path):
    config = Config(**SETTINGS, patience=8, window=window)
    trainer, best = Trainer(data, config, CPU()), Best()
    with pytest.warns(
        TrainingWarning, match=r"loss became .* in epoch 6.*network of epoch"
    ) as all_:
        trainer.fit([best])
    assert all_[0].filename == __file__
    assert trainer.finished
    assert weights(trainer) == best.weights
    assert evaluate(trainer.network, trainer.validation).loss == best.loss
    assert len(trainer.history) == 5
    trainer.fit()  # there is nothing left to do
    assert weights(trainer) == best.weights


@pytest.mark.filterwarnings("error")
def test_a_warning_that_is_an_error_costs_no_weights(data):
    trainer, best = Trainer(data, Config(**SETTINGS, patience=8), CPU()), Best()
    with pytest.raises(TrainingWarning):
        trainer.fit([best])
    assert trainer.finished
    assert weights(trainer) == best.weights


def test_neither_does_ctrl_c_after_the_last_epoch(data):
    class CtrlC(Callback):
        def on_epoch(self, trainer):
            if trainer.finished:
                signal.raise_signal(signal.SIGINT)

    trainer, best = Trainer(data, Config(**WORSENING), CPU()), Best()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit([best, CtrlC()])
    assert (len(trainer.history), trainer.finished) == (10, True)
    assert trainer.early_stopping.best_epoch < 10
    assert weights(trainer) == best.weights


def test_neither_does_an_error_while_the_weights_are_restored(data, monkeypatch):
    config = Config(**WORSENING)
    trainer, best = Trainer(data, config, CPU()), Best()
    with monkeypatch.context() as patch:
        patch.setattr("mlp_xp.training.early_stopping.copy_weights", interrupted_copy)
        with pytest.raises(KeyboardInterrupt):
            trainer.fit([best])
    trainer.fit()
    assert weights(trainer) == best.weights


def interrupted_copy(weights, parameters):
    parameters[0][...] = weights[0]
    raise KeyboardInterrupt


def test_a_training_that_goes_on_does_so_from_its_last_weights(data, tmp_path):
    """Whose checkpoints then hold the current ones."""
    short, long = (Config(**{**WORSENING, "epochs": n}) for n in (10, 14))
    trainer, whole = Trainer(data, short, CPU()), Trainer(data, long, CPU())
    trainer.fit()
    trainer.config = long
    trainer.fit([Checkpointer(tmp_path / "checkpoint", epochs=1)])
    whole.fit()
    assert weights(trainer) == weights(whole)
    again = Trainer(data, long, CPU())
    load_checkpoint(again, tmp_path / "checkpoint")
    assert weights(again) == last_weights(whole)


def last_weights(trainer: Trainer) -> bytes:
    return b"".join(array.tobytes() for array in trainer.early_stopping.last_weights)


def test_a_checkpoint_after_the_end_holds_the_last_weights_too(data, tmp_path):
    """So that a run may be extended from it to the bits of one that was longer."""
    path = tmp_path / "checkpoint.safetensors"
    first, second, whole = (
        Trainer(data, Config(**{**WORSENING, "epochs": epochs}), CPU()) for epochs in (10, 14, 14)
    )
    first.fit()
    assert first.early_stopping.best_epoch < 10
    save_checkpoint(first, path)
    load_checkpoint(second, path, extend=True)
    assert weights(second) != weights(first)
    second.fit()
    whole.fit()
    assert weights(second) == weights(whole)
    again = Trainer(data, first.config, CPU())
    load_checkpoint(again, path)
    again.fit()
    assert weights(again) == weights(first)


def test_it_outlives_a_validation_that_diverges_first(data):
    """Its rows are larger, so that they overflow where the training rows don't."""

    class Large(Callback):
        def on_chunk(self, trainer):
            if trainer.epoch == 5:
                trainer.network.layers[-1].W *= 1e36

    config = Config(**{**SETTINGS, "validation": 0.0, "schedule": "constant"}, patience=8)
    validation = Split(np.float32([[5e3] * 6]), np.array([0]))
    trainer, best = Trainer(replace(data, validation=validation), config, CPU()), Best()
    words = r"^validation after epoch 5: the network's output for row 0 .*; this is the network of"
    with pytest.warns(TrainingWarning, match=words):
        trainer.fit([best, Large()])
    assert weights(trainer) == best.weights


def test_resuming_it_gives_the_best_network_too(data, tmp_path):
    config, path = Config(**SETTINGS, patience=8), tmp_path / "checkpoint.safetensors"

    class Save(Callback):
        def on_epoch(self, trainer):
            save_checkpoint(trainer, path)

    first, second = (Trainer(data, config, CPU()) for _ in range(2))
    with pytest.warns(TrainingWarning):
        first.fit([Save()])
    load_checkpoint(second, path)
    with pytest.warns(TrainingWarning):
        second.fit()
    assert weights(first) == weights(second)


def test_without_patience_it_is_an_error(data):
    with pytest.raises(InputError, match="the loss became"):
        Trainer(data, Config(**SETTINGS), CPU()).fit()


@pytest.mark.parametrize("settings", [{}, {"validation": 0.2}, {"validation": 0.2, "patience": 1}])
def test_weights_that_overflow_in_the_last_step_are_noticed(settings, data):
    """No later loss shows them."""
    config = Config(
        hidden=(8,), epochs=1, batch_size=300, lr=1e60, schedule="constant", window=1, **settings
    )
    with pytest.raises(InputError, match=r"the weights became infinite or NaN in the last step"):
        Trainer(data, config, CPU()).fit()


def test_a_checkpoint_brings_a_diverged_run_back(data, tmp_path):
    config, path = Config(**SETTINGS, patience=8), tmp_path / "checkpoint.safetensors"
    trainer = Trainer(data, config, CPU())
    save_checkpoint(trainer, path)
    with pytest.warns(TrainingWarning):
        trainer.fit()
    assert trainer.finished
    load_checkpoint(trainer, path)
    assert not trainer.finished


def test_before_the_first_validation_it_is_an_error(data):
    config = Config(**{**SETTINGS, "schedule": "constant", "lr": 1e30}, patience=3)
    with pytest.raises(InputError, match="the loss became"):
        Trainer(data, config, CPU()).fit()
