"""The network: its gradients against central differences, its initial weights, its dropout."""

import numpy as np
import pytest

from mlp_xp import InputError
from mlp_xp.devices import Device
from mlp_xp.nn.activations import ACTIVATIONS, INITIALIZERS
from mlp_xp.nn.losses import OBJECTIVES
from mlp_xp.nn.network import Network

TINY, REAL = (4, 5, 3, 3), (200, 64, 32, 10)
# Everything at once for each objective: weights, dropout, and smoothing where there is any
CASES = [
    ("multiclass", {}, False), ("multiclass", {"label_smoothing": 0.1}, True),
    ("multilabel", {}, False), ("multilabel", {}, True),
    ("regression", {}, False), ("regression", {}, True),
]  # fmt: skip


class Problem:
    """A network in float64 with data, and its loss as a function of the parameters alone."""

    def __init__(self, device: Device, sizes, activation, objective, options, full: bool, rng):
        self.device, self.options = device, options
        self.network = Network.initialize(
            device, sizes, activation=activation, objective=objective, seed=1, dtype="float64"
        )
        rows, n_outputs = 6, sizes[-1]
        for layer in self.network.layers:  # biases of zero would hide a mistake
            layer.b += device.to_device(rng.standard_normal(layer.b.shape))
        self.X = device.to_device(rng.standard_normal((rows, sizes[0])))
        y = {
            "multiclass": rng.integers(n_outputs, size=rows),
            "multilabel": rng.integers(2, size=(rows, n_outputs)),
            "regression": rng.standard_normal((rows, n_outputs)),
        }[objective]
        self.y = device.to_device(y)
        self.weights = device.to_device(rng.uniform(0, 2, rows)) if full else None
        self.masks = self.network.dropout_masks(rng, rows, 0.3) if full else None

    def loss(self) -> float:
        return float(self.device.to_host(self._forward()[2][0]))

    def gradients(self):
        A, Z, (_, dlogits) = self._forward()
        gradients = self.network.backward(A, Z, dlogits, self.masks)
        return [self.device.to_host(gradient) for gradient in gradients]

    def _forward(self):
        A, Z = self.network.forward(self.X, self.masks)
        objective = OBJECTIVES[self.network.objective_name](**self.options)
        return A, Z, objective.loss(self.network.xp, Z[-1], self.y, self.weights)

    def slope(self, directions, h: float) -> float:
        """The central difference of the loss along a direction, an array for each parameter."""
        parameters = self.network.parameters()
        at_rest = [parameter.copy() for parameter in parameters]
        losses = []
        for sign in (1, -1):
            for parameter, rest, direction in zip(parameters, at_rest, directions, strict=True):
                parameter[...] = rest + sign * h * self.device.to_device(direction)
            losses.append(self.loss())
        for parameter, rest in zip(parameters, at_rest, strict=True):
            parameter[...] = rest
        return (losses[0] - losses[1]) / (2 * h)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("objective", "options", "full"), CASES)
def test_every_gradient_equals_its_central_difference(
    activation, objective, options, full, device, rng
):
    problem = Problem(device, TINY, activation, objective, options, full, rng)
    gradients = problem.gradients()
    for i, gradient in enumerate(gradients):
        assert gradient.dtype == "float64"
        differences = np.empty_like(gradient)
        for place in np.ndindex(gradient.shape):
            directions = [np.zeros_like(g) for g in gradients]
            directions[i][place] = 1
            differences[place] = problem.slope(directions, 1e-5)
        np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("objective", "options", "full"), CASES)
def test_the_slope_along_a_random_direction_at_real_size(
    activation, objective, options, full, device, rng
):
    problem = Problem(device, REAL, activation, objective, options, full, rng)
    gradients = problem.gradients()
    directions = [rng.standard_normal(gradient.shape) for gradient in gradients]
    expected = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
    np.testing.assert_allclose(problem.slope(directions, 1e-7), expected, rtol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_everything_keeps_its_dtype(activation, objective, device, dtype, rng):
    network = Network.initialize(
        device, TINY, activation=activation, objective=objective, dtype=dtype
    )
    X = device.to_device(rng.standard_normal((6, 4)).astype(dtype))
    y = device.to_device(rng.integers(2, size=6 if objective == "multiclass" else (6, 3)))
    masks = network.dropout_masks(rng, 6, 0.5)
    A, Z = network.forward(X, masks)
    loss, dlogits = network.objective.loss(network.xp, Z[-1], y)
    gradients = network.backward(A, Z, dlogits, masks)
    for array in (*network.parameters(), *masks, *A, *Z, loss, dlogits, *gradients):
        assert array.dtype == dtype
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        assert gradient.shape == parameter.shape
    assert network.dtype == dtype
    assert network.sizes == TINY


@pytest.mark.parametrize("init", INITIALIZERS)
def test_initial_weights_have_the_initializers_variance(init, device, dtype):
    network = Network.initialize(device, (300, 200, 100), init=init, seed=4, dtype=dtype)
    variances = {"he": 2 / 300, "notebook": 2 / 300, "glorot": 2 / 500, "lecun": 1 / 300}
    W = device.to_host(network.layers[0].W)
    assert W.dtype == dtype
    # The mean square of n normal numbers is off by sqrt(2/n) of itself: 0.6 % here, times 4.
    np.testing.assert_allclose((W**2).mean(), variances[init], rtol=0.025)
    assert abs(W.mean()) < 4 * W.std() / np.sqrt(W.size)
    assert not any(device.to_host(layer.b).any() for layer in network.layers)


def test_initial_weights_suit_the_activation_unless_named(device):
    for name, activation in ACTIVATIONS.items():
        own, named = (
            Network.initialize(device, TINY, activation=name, init=init, seed=7)
            for init in (None, activation.initializer)
        )
        for a, b in zip(own.parameters(), named.parameters(), strict=True):
            np.testing.assert_array_equal(device.to_host(a), device.to_host(b))


def test_float32_weights_are_the_float64_ones_rounded(device):
    wide, narrow = (
        Network.initialize(device, TINY, seed=3, dtype=dtype) for dtype in ("float64", "float32")
    )
    for a, b in zip(wide.parameters(), narrow.parameters(), strict=True):
        np.testing.assert_array_equal(device.to_host(a).astype("float32"), device.to_host(b))


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5])
def test_dropout_masks_are_the_generators_and_keep_the_mean(rate, device, dtype):
    network = Network.initialize(device, (10, 300, 200, 3), dtype=dtype)
    masks, again = (
        [device.to_host(m) for m in network.dropout_masks(np.random.default_rng(2), 100, rate)]
        for _ in range(2)
    )
    assert [mask.shape for mask in masks] == [(100, 300), (100, 200)]
    for mask, other in zip(masks, again, strict=True):
        np.testing.assert_array_equal(mask, other)
        assert set(np.unique(mask)) <= {mask.dtype.type(0), mask.dtype.type(1 / (1 - rate))}
        deviation = np.sqrt(rate / (1 - rate) / mask.size)
        assert abs(mask.mean(dtype="float64") - 1) <= 4 * deviation + 1e-6


def test_masks_of_one_change_nothing_and_dropped_units_have_no_effect(device, dtype, rng):
    network = Network.initialize(device, TINY, activation="sigmoid", dtype=dtype)
    X = device.to_device(rng.standard_normal((6, 4)).astype(dtype))
    ones = network.dropout_masks(rng, 6, 0.0)
    plain, masked = network.forward(X)[1][-1], network.forward(X, ones)[1][-1]
    np.testing.assert_array_equal(device.to_host(plain), device.to_host(masked))
    ones[0][:, 2] = 0
    dropped = network.forward(X, ones)[1][-1]
    network.layers[1].W[2] = 0
    np.testing.assert_array_equal(
        device.to_host(dropped), device.to_host(network.forward(X)[1][-1])
    )


def test_rows_of_another_length_are_refused(device):
    network = Network.initialize(device, TINY)
    with pytest.raises(InputError, match="takes 4 inputs, the data has 5"):
        network.prepare(device.to_device(np.zeros((2, 5), dtype="float32")))
