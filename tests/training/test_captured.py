"""Captured steps are the plain ones, whatever changes between windows and between chunks."""

import math
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import emulator
import numpy as np
import pytest
import standin

from mlp_xp import Callback, Config, Dataset, Split, Trainer
from mlp_xp.devices import CPU, Device
from mlp_xp.errors import DeviceError, TrainingWarning
from mlp_xp.nn import activations
from mlp_xp.nn.activations import ACTIVATIONS
from mlp_xp.nn.losses import OBJECTIVES
from mlp_xp.nn.optimizers import OPTIMIZERS, SGD
from mlp_xp.training import captured as captured_module
from mlp_xp.training import load_checkpoint, save_checkpoint, setup
from mlp_xp.training.captured import CapturedStep
from mlp_xp.training.step import PlainStep

# There is nothing to learn in random labels.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss")

ROWS, N_IN, N_OUT = 150, 9, 4
SETTINGS: dict[str, dict[str, Any]] = {
    **{name: {"activation": name, "batch_size": 8} for name in ACTIVATIONS},
    "samples": {"batch_size": 1},
    "windows of blocks": {"batch_size": 40, "window": 3},
    "one layer": {"hidden": (), "batch_size": 8},
    "momentum in windows": {"momentum": 0.9, "weight_decay": 0.01, "batch_size": 4},
    "momentum of blocks": {"momentum": 0.9, "nesterov": True, "batch_size": 40, "window": 2},
    "momentum": {"momentum": 0.9, "nesterov": True, "batch_size": 130},
    "adam": {"optimizer": "adam", "weight_decay": 0.01, "batch_size": 8},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1, "batch_size": 7},
    "dropout": {"dropout": 0.4, "optimizer": "adam", "batch_size": 8},
    "clipped": {"clip_norm": 0.1, "batch_size": 8},
    "smoothed": {"label_smoothing": 0.1, "batch_size": 8},
    "weighted": {"class_weight": "balanced", "label_smoothing": 0.1, "batch_size": 8},
    "standardized": {"standardize": True, "batch_size": 8},
    "validated": {"validation": 0.2, "schedule": "plateau", "patience": 3, "batch_size": 8},
    "multilabel": {"objective": "multilabel", "batch_size": 8},
    "regression": {"objective": "regression", "batch_size": 8, "momentum": 0.5},
    "larger than all": {"batch_size": 1000},
}


@pytest.fixture(params=["standin", pytest.param("cuda", marks=pytest.mark.cuda)])
def gpu(request: pytest.FixtureRequest) -> Device:
    return standin.StandIn() if request.param == "standin" else request.getfixturevalue("cuda")


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks an epoch, so that graphs are used again."""
    monkeypatch.setattr(setup, "CHUNK_ROWS", 64)
    monkeypatch.setattr(setup, "DEVICE_STEPS", 6)


def make(objective: str = "multiclass") -> Dataset:
    rng = np.random.default_rng(11)
    X = rng.integers(0, 256, (ROWS, N_IN), dtype=np.uint8)
    if objective == "multiclass":
        return Dataset("made", Split(X, rng.integers(0, N_OUT, ROWS)), None, N_OUT)
    y = rng.random((ROWS, N_OUT), dtype=np.float32)
    if objective == "multilabel":
        y = y.round()
    return Dataset("made", Split(X, y), None, N_OUT, objective)


def config_of(settings: dict[str, Any]) -> Config:
    defaults = {
        "hidden": (7, 6), "epochs": 3, "lr": 0.05, "schedule": "cosine", "dtype": "float64",
    }  # fmt: skip
    return Config(**defaults | settings)


def plain(data: Dataset, config: Config) -> Trainer:
    """The same training on the CPU, by the textbook's step."""
    trainer = Trainer(data, replace(config, window=None, threads=1), CPU())
    objective = config.build(OBJECTIVES[trainer.network.objective_name])
    trainer.train_step = PlainStep(trainer.network, objective, trainer.optimizer, trainer.config)
    return trainer


def captured(trainer: Trainer) -> CapturedStep:
    assert isinstance(trainer.train_step, CapturedStep)
    return trainer.train_step


def assert_same(trainer: Trainer, expected: Trainer, rtol: float = 1e-9) -> None:
    device = trainer.network.device
    pairs = [(trainer.network.parameters(), expected.network.parameters())]
    pairs += [
        (trainer.optimizer.state[slot], expected.optimizer.state[slot])
        for slot in expected.optimizer.slots
    ]
    for ours, theirs in pairs:
        for a, b in zip(ours, theirs, strict=True):
            a = device.to_host(a)
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(np.abs(b).max(), 1e-3))
    assert trainer.optimizer.steps == expected.optimizer.steps
    losses = [[epoch.loss for epoch in each.history] for each in (trainer, expected)]
    np.testing.assert_allclose(*losses, rtol=rtol)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_captured_training_is_the_plain_one(settings, gpu):
    config = config_of(settings)
    data = make(config.objective)
    trainer, expected = Trainer(data, config, gpu), plain(data, config)
    for each in (trainer, expected):
        each.fit()
    assert captured(trainer).refused is None
    assert captured(trainer).graphs
    assert_same(trainer, expected)


@pytest.mark.parametrize("settings", [{"batch_size": 8}, {"optimizer": "adam", "batch_size": 8}])
def test_float32_stays_float32(settings, gpu):
    config = config_of({**settings, "dtype": "float32"})
    trainer, expected = Trainer(make(), config, gpu), plain(make(), config)
    for each in (trainer, expected):
        each.fit()
    assert {str(array.dtype) for array in captured(trainer).steps.state()} == {"float32"}
    assert_same(trainer, expected, 1e-4)


@pytest.mark.parametrize("settings", [{}, {"optimizer": "adam"}])
def test_without_graphs_it_is_the_same(settings, gpu):
    config = config_of({**settings, "batch_size": 8, "graph": False})
    trainer, expected = Trainer(make(), config, gpu), plain(make(), config)
    for each in (trainer, expected):
        each.fit()
    assert captured(trainer).graphs == {}
    assert_same(trainer, expected)


def refuse(function: Callable[[], None]) -> Callable[[], None]:
    function()
    raise DeviceError("operation not permitted when stream is capturing")


def do_nothing(function: Callable[[], None]) -> Callable[[], None]:
    function()
    return lambda: None


def do_it_twice(function: Callable[[], None]) -> Callable[[], None]:
    function()
    return lambda: (function(), function())[0]


@pytest.mark.parametrize(
    ("capture", "words"),
    [
        (refuse, "can't be recorded as one: operation not permitted"),
        (do_nothing, "come out otherwise in one: "),
        (do_it_twice, "come out otherwise in one: "),
    ],
)
@pytest.mark.parametrize(
    "settings", [{"window": 4}, {"optimizer": "adam"}, {"momentum": 0.9, "window": 4}]
)
def test_a_graph_that_fails_costs_a_warning_and_nothing_else(
    settings, capture, words, gpu, monkeypatch
):
    config = config_of({**settings, "batch_size": 8})
    monkeypatch.setattr(type(gpu), "capture", lambda self, function: capture(function))
    trainer, expected = Trainer(make(), config, gpu), plain(make(), config)
    with pytest.warns(TrainingWarning, match=words) as found:
        trainer.fit()
    assert len(found) == 1
    expected.fit()
    assert captured(trainer).graphs == {}
    assert_same(trainer, expected)


class Changes(Callback):
    """Changes the optimizer, and what the inputs mean, in the middle of an epoch."""

    def on_chunk(self, trainer: Trainer) -> None:
        if trainer.rows and len(trainer.history) == 1:
            for name, value in {"momentum": 0.3, "betas": (0.7, 0.8)}.items():
                if name in vars(trainer.optimizer):
                    setattr(trainer.optimizer, name, value)
            network = trainer.network
            if network.standardization is None:
                network.input_scale = 100.0
            else:
                network.standardize(np.full(N_IN, 0.3), np.full(N_IN, 2.0))


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam"},
        {"optimizer": "adam", "standardize": True},
        {"momentum": 0.9, "clip_norm": 9.0},
        {"momentum": 0.9, "standardize": True},
        {},
    ],
)
def test_what_a_callback_changes_counts_from_the_next_chunk_on(settings, gpu):
    config = config_of({**settings, "batch_size": 10})
    trainer, expected = Trainer(make(), config, gpu), plain(make(), config)
    expected.loader.chunk_rows = trainer.loader.chunk_rows
    for each in (trainer, expected):
        each.fit([Changes()])
    assert captured(trainer).refused is None
    assert_same(trainer, expected)


def test_graphs_of_former_settings_are_dropped(gpu):
    config = config_of({"momentum": 0.9, "clip_norm": 9.0, "batch_size": 10, "epochs": 8})
    trainer, before = Trainer(make(), config, gpu), []

    class ChangesEachEpoch(Callback):
        def on_epoch(self, trainer: Trainer) -> None:
            trainer.optimizer.momentum -= 0.1
            before.append(len(captured(trainer).graphs))

    trainer.fit([ChangesEachEpoch()])
    assert len(set(before)) == 1


@pytest.mark.cuda
def test_two_threads_train_on_one_gpu(cuda):
    config = config_of({"optimizer": "adam", "batch_size": 8, "epochs": 2})
    expected = plain(make(), config)
    expected.fit()

    def train(_: int) -> Trainer:
        cuda.use()
        trainer = Trainer(make(), config, cuda)
        trainer.fit()
        return trainer

    with ThreadPoolExecutor(2) as pool:
        for trainer in pool.map(train, range(6)):
            assert captured(trainer).refused is None
            assert_same(trainer, expected)


class StopsAt(Callback):
    """Ends fit() after so many chunks."""

    def __init__(self, chunks: int):
        self.chunks = chunks

    def on_chunk(self, trainer: Trainer) -> None:
        self.chunks -= 1
        if self.chunks == 0:
            trainer.stop()


@pytest.mark.parametrize(
    "settings", [{"batch_size": 8}, {"batch_size": 1}, {"optimizer": "adam", "dropout": 0.3}]
)
def test_a_run_that_is_resumed_in_an_epoch_has_the_same_bits(settings, gpu, tmp_path):
    config = config_of({**settings, "dtype": "float32"})
    whole, first, second = (Trainer(make(), config, gpu) for _ in range(3))
    whole.fit()
    first.fit([StopsAt(4)])
    assert 0 < first.rows < ROWS
    save_checkpoint(first, tmp_path / "checkpoint")
    load_checkpoint(second, tmp_path / "checkpoint")
    second.fit()
    for a, b in zip(second.network.parameters(), whole.network.parameters(), strict=True):
        assert gpu.to_host(a).tobytes() == gpu.to_host(b).tobytes()


class Own(SGD):
    """A user's own optimizer, which may use the number of its step."""

    def update_one(self, parameter: Any, gradient: Any, lr: float, *slots: Any) -> None:
        gradient *= 1 + 1 / self.steps
        super().update_one(parameter, gradient, lr, *slots)


def test_a_window_of_1_asks_for_the_plain_step(gpu):
    assert type(Trainer(make(), config_of({"window": 1}), gpu).train_step) is PlainStep


def test_a_users_own_class_is_not_captured(gpu, monkeypatch):
    monkeypatch.setitem(OPTIMIZERS, "own", Own)
    config = config_of({"optimizer": "own", "batch_size": 8})
    trainer, expected = Trainer(make(), config, gpu), plain(make(), config)
    for each in (trainer, expected):
        each.fit()
    assert type(trainer.train_step) is PlainStep
    assert_same(trainer, expected)


@pytest.mark.parametrize("seed", range(3))
def test_masks_are_those_of_the_plain_step(seed, gpu):
    config = config_of({"dropout": 0.5, "batch_size": 9, "seed": seed, "epochs": 1})
    trainer, expected = Trainer(make(), config, gpu), plain(make(), config)
    assert trainer.loader.chunk_rows == expected.loader.chunk_rows == 63
    for each in (trainer, expected):
        each.fit()
    assert_same(trainer, expected)


# -- counted, which the emulator alone can --


@pytest.fixture
def emulated(cuda: Device) -> Device:
    if not emulator.is_installed():
        pytest.skip("only the emulator counts, and it isn't in use")
    return cuda


def epoch(trainer: Trainer) -> Counter[tuple[str, str]]:
    """What the device does in one more epoch, and how often the host waits for it."""
    from recording import recorded

    with recorded() as events:
        trainer.fit([StopsAfterEpoch()])
    return Counter((event.kind, event.name) for event in events)


class StopsAfterEpoch(Callback):
    """Ends fit() after an epoch."""

    def on_epoch(self, trainer: Trainer) -> None:
        trainer.stop()


COUNTED: dict[str, dict[str, Any]] = {
    "samples": {"batch_size": 1},
    "batches": {"batch_size": 32},
    "momentum": {"batch_size": 32, "momentum": 0.9},
    "adam": {"batch_size": 32, "optimizer": "adam", "dropout": 0.2},
}


def counts(settings: dict[str, Any], device: Device, steps: int) -> Counter[str]:
    """By kind, what an epoch of one chunk of so many steps takes, once graphs are made."""
    rng = np.random.default_rng(3)
    rows = steps * settings["batch_size"]
    X = rng.integers(0, 256, (rows, N_IN), dtype=np.uint8)
    data = Dataset("made", Split(X, rng.integers(0, N_OUT, rows)), None, N_OUT)
    trainer = Trainer(data, Config(hidden=(8,), epochs=9, lr=0.01, **settings), device)
    trainer.fit([StopsAfterEpoch()])
    found = epoch(trainer)
    assert captured(trainer).refused is None
    kinds: Counter[str] = Counter()
    for (kind, _), count in found.items():
        kinds[kind] += count
    step = captured(trainer)
    kinds["windows"] = math.ceil(steps / step.steps.length)
    return kinds


@pytest.mark.cuda
@pytest.mark.parametrize("settings", COUNTED.values(), ids=COUNTED)
def test_a_window_is_one_launch_of_a_graph_and_nothing_else(settings, emulated, monkeypatch):
    monkeypatch.setattr(setup, "DEVICE_STEPS", 4096)
    monkeypatch.setattr(setup, "CHUNK_ROWS", 1 << 20)
    short, long = (counts(settings, emulated, steps) for steps in (512, 1024))
    for found in (short, long):
        assert found["graph"] == found["windows"]
        assert found["gemm"] == 0
        assert found["wait"] == 2  # for the loss of the chunk, and for whether weights are finite
    # All else is of the epoch and the chunk, however many windows there are.
    assert short["windows"] < long["windows"]
    for kind in ("launch", "copy", "memset", "allocation"):
        assert short[kind] == long[kind], kind
    assert long["launch"] < 30


def one_launch_more(xp: Any, Z: Any) -> Any:
    return xp.maximum(Z + 0 * Z, 0)


MISTAKES: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "wait": (lambda xp, Z: xp.maximum(Z, 0 * float(Z.sum())), "can't be recorded as one"),
    "copy": (
        lambda xp, Z: xp.maximum(Z, 0 * xp.asarray(np.ones(Z.shape, str(Z.dtype)))),
        "can't be recorded as one",
    ),
}


@pytest.mark.cuda
@pytest.mark.parametrize("kind", MISTAKES)
def test_what_a_graph_cannot_hold_is_found(kind, emulated, monkeypatch):
    mistake, words = MISTAKES[kind]
    monkeypatch.setattr(activations, "mistaken", mistake, raising=False)
    mistake.__name__ = "mistaken"
    planted = replace(ACTIVATIONS["relu"], function=mistake)
    monkeypatch.setitem(ACTIVATIONS, "relu", planted)
    trainer = Trainer(make(), config_of({"batch_size": 8}), emulated)
    with pytest.warns(TrainingWarning, match=words):
        trainer.fit()
    assert captured(trainer).refused is not None


@pytest.mark.cuda
def test_a_launch_beside_the_graph_is_counted(emulated, monkeypatch):
    monkeypatch.setattr(setup, "DEVICE_STEPS", 4096)
    window = CapturedStep._window

    def launches_beside(self: CapturedStep, *given: Any) -> None:
        self.loss_sum += 0
        window(self, *given)

    monkeypatch.setattr(CapturedStep, "_window", launches_beside)
    short, long = (counts({"batch_size": 32}, emulated, steps) for steps in (512, 1024))
    assert long["launch"] - short["launch"] == long["windows"] - short["windows"]


@pytest.mark.cuda
@pytest.mark.parametrize("settings", COUNTED.values(), ids=COUNTED)
def test_a_number_that_is_part_of_a_graph_is_found(settings, emulated, monkeypatch):
    """Where the first window's numbers were recorded, all later ones would have them too."""
    monkeypatch.setattr(setup, "DEVICE_STEPS", 64)
    config = config_of({**settings, "batch_size": 8, "hidden": (6,), "window": None})
    take = captured_module._take

    def with_numbers_of_the_first(steps, given, rows, numbers, loss_sum) -> None:
        take(steps, given, rows, slice(0, len(numbers)), loss_sum)

    trainer, expected = Trainer(make(), config, emulated), plain(make(), config)
    expected.fit()
    monkeypatch.setattr(captured_module, "_take", with_numbers_of_the_first)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit()
    with pytest.raises(AssertionError):
        assert_same(trainer, expected)
