"""Windows are exact: whatever their length, they end where the plain step ends."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_xp import Config, Dataset, InputError, Network, Split, train
from mlp_xp.backend import Backend, cpu
from mlp_xp.functions import ACTIVATIONS
from mlp_xp.momentum import coefficients
from mlp_xp.optimizers import SGD
from mlp_xp.training import Run
from mlp_xp.windowed import WindowedStepper


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


def both(data: Dataset, config: Config, backend: Backend) -> tuple:
    if config.window is None and (config.momentum or config.weight_decay):
        config = replace(config, window=max(2, 64 // config.batch_size))
    assert isinstance(Run(data, config, backend).stepper, WindowedStepper)
    return train(data, config, backend), train(data, replace(config, window=1), backend)


def assert_equal(windowed, plain, backend: Backend, rtol: float = 1e-10) -> None:
    for a, b in zip(windowed.network.parameters(), plain.network.parameters(), strict=True):
        a, b = backend.to_host(a), backend.to_host(b)
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())
    np.testing.assert_allclose(
        [epoch.loss for epoch in windowed.history],
        [epoch.loss for epoch in plain.history],
        rtol=rtol,
    )


@settings(deadline=None, max_examples=60)
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
    assert_equal(*both(data, config, cpu()), cpu())


@pytest.mark.parametrize("batch_size", [1, 5, 32, 40, 64])
@pytest.mark.parametrize("momentum", [0, 0.9])
def test_every_backend_has_the_plain_steps_result(
    batch_size, momentum, dtype, backend: Backend, rng
):
    data = make(rng, 2 * batch_size + 150, 10, 4, "bytes")
    config = Config(
        hidden=(7, 6), batch_size=batch_size, epochs=1, lr=0.02, dtype=dtype, window=3,
        momentum=momentum, weight_decay=momentum / 100,
    )  # fmt: skip
    assert_equal(*both(data, config, backend), backend, 1e-10 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize("batch_size", [1, 8, 64])
@pytest.mark.parametrize("size", [1e2, 1e4])
def test_logits_beyond_the_range_of_exp(batch_size, size, backend: Backend, rng):
    """exp(1000) is infinite in float64: such a window is taken again, with the shift."""
    data = make(rng, 130, 6, 3, "floats")
    networks = []
    for window in (4, 1):
        network = Network.initialise(backend, (6, 5, 3), dtype="float64", seed=3)
        network.layers[-1].W *= size
        config = Config(
            hidden=(5,), batch_size=batch_size, epochs=1, lr=0.1 / size**2, dtype="float64",
            window=window,
        )  # fmt: skip
        networks.append(train(data, config, backend, network=network))
    assert networks[0].history[0].loss > 10
    assert_equal(*networks, backend)


def test_coefficients_are_what_sgd_does_to_numbers(rng):
    """With W, V and each gradient a number, optimizers.SGD must reach the same sums."""
    lrs, gradients = rng.uniform(0.01, 0.5, 9), rng.standard_normal(9)
    for sgd in ((0.9, False, 0.0), (0.7, True, 0.3), (0.0, False, 0.2)):
        optimizer, W = SGD(*sgd), np.array([1.5])
        weights, velocity = coefficients(lrs, *sgd)
        begin = [1.5, 0.0]
        if sgd[0]:
            begin[1] = 0.7
            optimizer.keep_in({"velocity": [np.array([0.7])]})
        for j, (lr, gradient) in enumerate(zip(lrs, gradients, strict=True)):
            assert W[0] == pytest.approx(weights[j] @ [*begin, *gradients], rel=1e-12)
            optimizer.step([W], [np.array([gradient])], lr)
        assert W[0] == pytest.approx(weights[-1] @ [*begin, *gradients], rel=1e-12)
        if sgd[0]:
            kept = optimizer.state()["velocity.0"][0]
            assert kept == pytest.approx(velocity @ [*begin, *gradients], rel=1e-12)


def test_a_loss_that_is_not_finite_is_still_seen(backend: Backend, rng):
    data = make(rng, 100, 6, 3, "floats")
    with np.errstate(all="ignore"), pytest.raises(InputError, match="loss became"):
        train(data, Config(hidden=(5,), batch_size=1, lr=1e30, epochs=3), backend)


def test_the_networks_layers_are_the_steppers_own_arrays(backend: Backend):
    network = Network.initialise(backend, (6, 5, 4, 3), seed=3)
    before = [backend.to_host(array).copy() for array in network.parameters()]
    stepper = WindowedStepper(network, 1)
    for array, old in zip(network.parameters(), before, strict=True):
        np.testing.assert_array_equal(backend.to_host(array), old)
    stepper.W[...] = 1
    assert (backend.to_host(network.layers[0].W) == 1).all()
    assert (backend.to_host(network.layers[0].b) == 1).all()


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
    assert isinstance(Run(data, Config(**settings), cpu()).stepper, WindowedStepper) == pays


def test_a_window_of_1_is_the_plain_step(rng):
    data = make(rng, 20, 3, 3, "floats")
    assert not isinstance(Run(data, Config(window=1), cpu()).stepper, WindowedStepper)


def test_a_network_has_one_run_at_a_time(rng):
    data = make(rng, 20, 3, 3, "floats")
    network = Network.initialise(cpu(), (3, 3))
    first, second = (Run(data, Config(epochs=1), cpu(), network) for _ in range(2))
    with pytest.raises(InputError, match="another Run has taken over this network"):
        first.go()
    second.go()
    assert second.network.layers[0].W is network.layers[0].W


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "adam"}, "the optimizer adam"),
        ({"output": "sigmoid"}, "the output sigmoid"),
        ({"dropout": 0.1}, "dropout"),
        ({"clip_norm": 1.0}, "clip_norm"),
        ({"label_smoothing": 0.1}, "label_smoothing"),
        ({"class_weight": "balanced"}, "weights of rows"),
    ],
)
def test_a_window_that_cannot_be_is_refused(settings, words, rng):
    data = make(rng, 20, 3, 3, "floats")
    if "output" in settings:
        several = Split(data.train.X, np.eye(3, dtype=np.float32)[data.train.y])
        data = replace(data, train=several, target="binary")
    with pytest.raises(InputError, match=f"a window of 4 doesn't go with {words}"):
        Run(data, Config(window=4, **settings), cpu())
    assert not isinstance(Run(data, Config(**settings), cpu()).stepper, WindowedStepper)
