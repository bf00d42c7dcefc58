"""Windows are exact: whatever their length, they end where the plain step ends."""

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_xp import Callback, Config, Dataset, InputError, Network, Split, train
from mlp_xp.devices import CPU, Device
from mlp_xp.nn.activations import ACTIVATIONS, Activation
from mlp_xp.nn.losses import OBJECTIVES, Multiclass
from mlp_xp.nn.optimizers import OPTIMIZERS, SGD
from mlp_xp.training import Trainer
from mlp_xp.training.step import PlainStep
from mlp_xp.training.windowed import WindowedSGD
from mlp_xp.training.windowed.buffers import MANY_CLASSES
from mlp_xp.training.windowed.layout import activation_in_place
from mlp_xp.training.windowed.momentum import coefficients

# There is nothing to learn in random labels.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss")


def make(rng: np.random.Generator, rows: int, n_in: int, n_classes: int, kind: str) -> Dataset:
    X = rng.standard_normal((rows, n_in))
    if kind == "bytes":
        # Three in four inputs are zero, so that some are dead in every window.
        X = rng.integers(0, 256, (rows, n_in), dtype=np.uint8) * (rng.random((rows, n_in)) < 0.25)
    y = rng.integers(0, n_classes, rows)
    y[:2] = 0, n_classes - 1
    return Dataset(
        "random", Split(X.astype(np.uint8) if kind == "bytes" else X, y), None, n_classes
    )


class StopAfterEpoch(Callback):
    """Ends fit() after one epoch."""

    def on_epoch(self, trainer: Trainer) -> None:
        trainer.stop()


def both(data: Dataset, config: Config, device: Device) -> tuple:
    if config.window is None and (config.momentum or config.weight_decay):
        config = replace(config, window=max(2, 64 // config.batch_size))
    windowed = Trainer(data, config, device)
    # On a GPU it is captured.
    step = windowed.train_step
    assert isinstance(getattr(step, "steps", step), WindowedSGD)
    plain = Trainer(data, replace(config, window=1), device)
    objective = plain.config.build(OBJECTIVES[plain.network.objective_name])
    plain.train_step = PlainStep(plain.network, objective, plain.optimizer, plain.config)
    return windowed.fit(), plain.fit()


def assert_equal(windowed, plain, device: Device, rtol: float = 1e-10) -> None:
    for a, b in zip(windowed.network.parameters(), plain.network.parameters(), strict=True):
        a, b = device.to_host(a), device.to_host(b)
        assert a.dtype == b.dtype
        # Where all updates cancel, their rounding is left: 1e-2 times 1e-16 in float64.
        atol = rtol * max(np.abs(b).max(), 1e-6)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)
    np.testing.assert_allclose(
        [epoch.loss for epoch in windowed.history],
        [epoch.loss for epoch in plain.history],
        rtol=rtol,
        # A row's loss is a difference, log(sum e) - logit, of numbers up to about 100: near 0 their
        # rounding, 1e-14 in float64, is all that remains.
        atol=1e-4 * rtol,
    )


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(2, 90),
    n_in=st.integers(1, 12),
    hidden=st.lists(st.integers(1, 9), max_size=3),
    n_classes=st.integers(2, 5),
    batch_size=st.sampled_from([1, 2, 3, 8, 31, 32, 33, 64, 70]),
    window=st.one_of(st.none(), st.integers(2, 12)),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    schedule=st.sampled_from(["constant", "linear", "cosine"]),
    kind=st.sampled_from(["floats", "bytes"]),
    sgd=st.sampled_from(
        [
            {},
            {"momentum": 0.9},
            {"weight_decay": 0.01},
            {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
        ]
    ),
)
def test_equal_to_the_plain_step(
    seed, rows, n_in, hidden, n_classes, batch_size, window, activation, schedule, kind, sgd
):
    data = make(np.random.default_rng(seed), rows, n_in, n_classes, kind)
    config = Config(
        hidden=tuple(hidden), batch_size=batch_size, epochs=2, lr=0.02, activation=activation,
        schedule=schedule, dtype="float64", seed=seed, window=window, **sgd,
    )  # fmt: skip
    assert_equal(*both(data, config, CPU()), CPU())


@pytest.mark.parametrize("batch_size", [1, 5, 32, 40, 64])
@pytest.mark.parametrize("momentum", [0, 0.9])
def test_every_device_has_the_plain_steps_result(batch_size, momentum, dtype, device: Device, rng):
    data = make(rng, 2 * batch_size + 150, 10, 4, "bytes")
    config = Config(
        hidden=(7, 6), batch_size=batch_size, epochs=1, lr=0.02, dtype=dtype, window=3,
        momentum=momentum, weight_decay=momentum / 100,
    )  # fmt: skip
    assert_equal(*both(data, config, device), device, 1e-10 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize("batch_size", [1, 8, 64])
@pytest.mark.parametrize("momentum", [0, 0.9])
def test_many_classes(batch_size, momentum, device: Device, rng):
    """Whose sums are taken another way, so that their memory isn't K x K."""
    data = make(rng, 150, 6, MANY_CLASSES + 2, "floats")
    config = Config(
        hidden=(7,), batch_size=batch_size, epochs=2, lr=0.02, dtype="float64", momentum=momentum
    )
    assert_equal(*both(data, config, device), device)


@pytest.mark.parametrize("batch_size", [1, 8, 64])
@pytest.mark.parametrize("size", [1e2, 1e4])
def test_logits_beyond_the_range_of_exp(batch_size, size, device: Device, rng):
    """exp(1000) is infinite in float64: such a window is computed again, with the shift."""
    data = make(rng, 130, 6, 3, "floats")
    networks = []
    for window in (4, 1):
        network = Network.initialize(device, (6, 5, 3), dtype="float64", seed=3)
        network.layers[-1].W *= size
        config = Config(
            hidden=(5,), batch_size=batch_size, epochs=1, lr=0.1 / size**2, dtype="float64",
            window=window,
        )  # fmt: skip
        networks.append(train(data, config, device, network=network))
    assert networks[0].history[0].loss > 10
    assert_equal(*networks, device)


def test_coefficients_are_what_sgd_does_to_numbers(rng):
    """With W, V and each gradient a number, SGD must reach the same sums."""
    lrs, gradients = rng.uniform(0.01, 0.5, 9), rng.standard_normal(9)
    for sgd in ((0.9, False, 0.0), (0.7, True, 0.3), (0.0, False, 0.2)):
        optimizer, W = SGD(*sgd), np.array([1.5])
        weights, velocity = coefficients(lrs, *sgd)
        begin = [1.5, 0.0]
        if sgd[0]:
            begin[1] = 0.7
            optimizer.state = {"velocity": [np.array([0.7])]}
        for j, (lr, gradient) in enumerate(zip(lrs, gradients, strict=True)):
            assert W[0] == pytest.approx(weights[j] @ [*begin, *gradients], rel=1e-12)
            optimizer.step([W], [np.array([gradient])], lr)
        assert W[0] == pytest.approx(weights[-1] @ [*begin, *gradients], rel=1e-12)
        if sgd[0]:
            (final,) = optimizer.state["velocity"]
            assert final[0] == pytest.approx(velocity @ [*begin, *gradients], rel=1e-12)


def test_a_loss_that_is_not_finite_is_still_seen(device: Device, rng):
    data = make(rng, 100, 6, 3, "floats")
    with np.errstate(all="ignore"), pytest.raises(InputError, match="loss became"):
        train(data, Config(hidden=(5,), batch_size=1, lr=1e30, epochs=3), device)


def test_the_network_keeps_its_arrays_and_is_up_to_date_after_every_chunk(device: Device, rng):
    data = make(rng, 5000, 6, 3, "floats")
    network = Network.initialize(device, (6, 5, 4, 3), seed=3)
    arrays = network.parameters()

    class Watch(Callback):
        seen: ClassVar[list[bytes]] = []

        def on_chunk(self, trainer: Trainer) -> None:
            Watch.seen.append(b"".join(device.to_host(array).tobytes() for array in arrays))

    trainer = Trainer(data, Config(epochs=1, batch_size=8), device, network)
    trainer.fit([Watch()])
    assert all(a is b for a, b in zip(arrays, network.parameters(), strict=True))
    chunks = math.ceil(5000 / trainer.loader.chunk_rows)
    assert len(Watch.seen) == len(set(Watch.seen)) == chunks


@pytest.mark.parametrize(
    ("settings", "pays"),
    [
        ({"batch_size": 512}, True),
        ({"batch_size": 8, "momentum": 0.9}, True),
        ({"batch_size": 9, "momentum": 0.9, "weight_decay": 0.1}, False),
        ({"batch_size": 32, "weight_decay": 0.1}, True),
        ({"batch_size": 33, "weight_decay": 0.1}, False),
        ({"batch_size": 33, "weight_decay": 0.1, "window": 2}, True),
    ],
)
def test_windows_are_taken_where_they_are_faster(settings, pays, rng):
    data = make(rng, 20, 3, 3, "floats")
    assert isinstance(Trainer(data, Config(**settings), CPU()).train_step, WindowedSGD) == pays


def test_a_window_of_1_is_the_plain_step(rng):
    data = make(rng, 20, 3, 3, "floats")
    assert not isinstance(Trainer(data, Config(window=1), CPU()).train_step, WindowedSGD)


@pytest.mark.parametrize("sgd", [{}, {"momentum": 0.9, "weight_decay": 0.01}])
def test_two_trainers_may_take_turns_on_one_network(sgd, device: Device, rng):
    """Each continues from the weights that the other left, as plain steps do."""
    data = make(rng, 60, 4, 3, "floats")
    weights = []
    for window in (3, 1):
        config = Config(epochs=1, batch_size=5, lr=0.05, dtype="float64", window=window, **sgd)
        network = Network.initialize(device, (4, 6, 3), dtype="float64")
        trainers = [
            Trainer(data, replace(config, epochs=3, seed=seed), device, network) for seed in (0, 1)
        ]
        for trainer in trainers * 3:
            trainer.fit([StopAfterEpoch()])
        weights.append([device.to_host(array) for array in network.parameters()])
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


class OwnSGD(SGD):
    """A user's own, which windows don't support."""


class OwnNetwork(Network):
    """A user's own, whose forward() is watched."""


class OwnObjective(Multiclass):
    """A user's own."""


def test_a_users_own_classes_take_the_plain_step(rng, monkeypatch):
    data = make(rng, 20, 3, 3, "floats")
    monkeypatch.setitem(OPTIMIZERS, "own", OwnSGD)
    monkeypatch.setitem(OBJECTIVES, "own", OwnObjective)
    own = OwnNetwork.initialize(CPU(), (3, 3))
    for trainer in (
        Trainer(data, Config(optimizer="own"), CPU()),
        Trainer(replace(data, objective="own"), Config(objective="own"), CPU()),
        Trainer(data, Config(), CPU(), own),
    ):
        assert not isinstance(trainer.train_step, WindowedSGD)


def softsign(xp, Z):
    return Z / (1 + abs(Z))


def softsign_derivative(xp, Z, A):
    return (1 - abs(A)) ** 2


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_in_place_are_the_same_bits(name, device: Device, dtype, rng):
    activation, xp = ACTIVATIONS[name], device.xp
    Z = device.to_device(rng.standard_normal((5, 3)).astype(dtype))
    A = activation.function(xp, Z)
    derivative = activation.derivative(xp, Z, A)
    assert A is not Z
    in_place = activation_in_place(activation, xp, dtype)
    for expected, function, inputs in zip((A, derivative), in_place, ((Z,), (Z, A)), strict=True):
        before = [device.to_host(array).copy() for array in inputs]
        out = device.to_device(np.full((5, 3), np.nan, dtype=dtype))
        function(*inputs, out)
        assert device.to_host(out).tobytes() == device.to_host(expected).tobytes()
        for array, old in zip(inputs, before, strict=True):
            np.testing.assert_array_equal(device.to_host(array), old)


def softsign_with_out(xp, Z, out=None):
    """Writes to out, if it is given one, for a single row alone."""
    if out is not None and len(Z) == 1:
        out[...] = softsign(xp, Z)
        return out
    return softsign(xp, Z)


@pytest.mark.parametrize("function", [softsign, softsign_with_out])
def test_a_users_activation_is_trained_right(function, device: Device, rng, monkeypatch):
    activation = Activation(function, softsign_derivative, initializer="glorot")
    monkeypatch.setitem(ACTIVATIONS, "softsign", activation)
    data = make(rng, 150, 6, 3, "floats")
    for batch_size in (1, 8, 64):
        config = Config(
            hidden=(7, 5), activation="softsign", batch_size=batch_size, epochs=2, lr=0.1,
            dtype="float64",
        )  # fmt: skip
        assert_equal(*both(data, config, device), device)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "adam"}, "the optimizer adam"),
        ({"objective": "multilabel"}, "the objective multilabel"),
        ({"dropout": 0.1}, "dropout"),
        ({"clip_norm": 1.0}, "clip_norm"),
        ({"label_smoothing": 0.1}, "label_smoothing"),
        ({"class_weight": "balanced"}, "weights of rows"),
    ],
)
def test_an_unsupported_window_is_refused(settings, words, rng):
    data = make(rng, 20, 3, 3, "floats")
    if "objective" in settings:
        several = Split(data.train.X, np.eye(3, dtype=np.float32)[data.train.y])
        data = replace(data, train=several, objective="multilabel")
    with pytest.raises(InputError, match=f"a window of 4 can't be combined with {words}"):
        Trainer(data, Config(window=4, **settings), CPU())
    assert not isinstance(Trainer(data, Config(**settings), CPU()).train_step, WindowedSGD)
