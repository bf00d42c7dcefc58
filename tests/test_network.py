"""The network: its gradients against central differences, its initial weights, its dropout."""

import numpy as np
import pytest

from mlp_xp import InputError
from mlp_xp.backend import Backend
from mlp_xp.functions import ACTIVATIONS, OUTPUTS
from mlp_xp.network import INITIALISERS, Network

TINY, REAL = (4, 5, 3, 3), (200, 64, 32, 10)
# Everything at once for each output: weights and dropout, and smoothing where there is such a thing
CASES = [
    ("softmax", {}, False), ("softmax", {"smoothing": 0.1}, True),
    ("sigmoid", {}, False), ("sigmoid", {}, True),
    ("identity", {}, False), ("identity", {}, True),
]  # fmt: skip


class Problem:
    """A network in float64 with data, and its loss as a function of the parameters alone."""

    def __init__(self, backend: Backend, sizes, activation, output, options, full: bool, rng):
        self.backend, self.options = backend, options
        self.network = Network.initialise(
            backend, sizes, activation=activation, output=output, seed=1, dtype="float64"
        )
        rows, n_outputs = 6, sizes[-1]
        for layer in self.network.layers:  # biases of zero would hide a mistake
            layer.b += backend.to_device(rng.standard_normal(layer.b.shape))
        self.X = backend.to_device(rng.standard_normal((rows, sizes[0])))
        y = {
            "softmax": rng.integers(n_outputs, size=rows),
            "sigmoid": rng.integers(2, size=(rows, n_outputs)),
            "identity": rng.standard_normal((rows, n_outputs)),
        }[output]
        self.y = backend.to_device(y)
        self.weights = backend.to_device(rng.uniform(0, 2, rows)) if full else None
        self.masks = self.network.dropout_masks(rng, rows, 0.3) if full else None

    def loss(self) -> float:
        return float(self.backend.to_host(self._forward()[2][0]))

    def gradients(self):
        A, Z, (_, dlogits) = self._forward()
        gradients = self.network.backward(A, Z, dlogits, self.masks)
        return [self.backend.to_host(gradient) for gradient in gradients]

    def _forward(self):
        A, Z = self.network.forward(self.X, self.masks)
        loss = self.network.output.loss
        return A, Z, loss(self.network.xp, Z[-1], self.y, self.weights, **self.options)

    def slope(self, directions, h: float) -> float:
        """The central difference of the loss along a direction, an array for each parameter."""
        parameters = self.network.parameters()
        at_rest = [parameter.copy() for parameter in parameters]
        losses = []
        for sign in (1, -1):
            for parameter, rest, direction in zip(parameters, at_rest, directions, strict=True):
                parameter[...] = rest + sign * h * self.backend.to_device(direction)
            losses.append(self.loss())
        for parameter, rest in zip(parameters, at_rest, strict=True):
            parameter[...] = rest
        return (losses[0] - losses[1]) / (2 * h)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("output", "options", "full"), CASES)
def test_every_gradient_equals_its_central_difference(
    activation, output, options, full, backend, rng
):
    problem = Problem(backend, TINY, activation, output, options, full, rng)
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
@pytest.mark.parametrize(("output", "options", "full"), CASES)
def test_the_slope_along_a_random_direction_at_real_size(
    activation, output, options, full, backend, rng
):
    problem = Problem(backend, REAL, activation, output, options, full, rng)
    gradients = problem.gradients()
    directions = [rng.standard_normal(gradient.shape) for gradient in gradients]
    expected = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
    np.testing.assert_allclose(problem.slope(directions, 1e-7), expected, rtol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("output", OUTPUTS)
def test_everything_keeps_its_dtype(activation, output, backend, dtype, rng):
    network = Network.initialise(backend, TINY, activation=activation, output=output, dtype=dtype)
    X = backend.to_device(rng.standard_normal((6, 4)).astype(dtype))
    y = backend.to_device(rng.integers(2, size=6 if output == "softmax" else (6, 3)))
    masks = network.dropout_masks(rng, 6, 0.5)
    A, Z = network.forward(X, masks)
    loss, dlogits = network.output.loss(network.xp, Z[-1], y)
    gradients = network.backward(A, Z, dlogits, masks)
    for array in (*network.parameters(), *masks, *A, *Z, loss, dlogits, *gradients):
        assert array.dtype == dtype
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        assert gradient.shape == parameter.shape
    assert network.dtype == dtype
    assert network.sizes == TINY


@pytest.mark.parametrize("init", INITIALISERS)
def test_initial_weights_have_the_variance_asked_for(init, backend, dtype):
    network = Network.initialise(backend, (300, 200, 100), init=init, seed=4, dtype=dtype)
    variances = {"he": 2 / 300, "notebook": 2 / 300, "glorot": 2 / 500, "lecun": 1 / 300}
    W = backend.to_host(network.layers[0].W)
    assert W.dtype == dtype
    # The mean square of n normal numbers is off by sqrt(2/n) of itself: 0.6 % here, times 4.
    np.testing.assert_allclose((W**2).mean(), variances[init], rtol=0.025)
    assert abs(W.mean()) < 4 * W.std() / np.sqrt(W.size)
    assert not any(backend.to_host(layer.b).any() for layer in network.layers)


def test_initial_weights_suit_the_activation_unless_named(backend):
    for name, activation in ACTIVATIONS.items():
        own, named = (
            Network.initialise(backend, TINY, activation=name, init=init, seed=7)
            for init in (None, activation.initialiser)
        )
        for a, b in zip(own.parameters(), named.parameters(), strict=True):
            np.testing.assert_array_equal(backend.to_host(a), backend.to_host(b))


def test_float32_weights_are_the_float64_ones_rounded(backend):
    wide, narrow = (
        Network.initialise(backend, TINY, seed=3, dtype=dtype) for dtype in ("float64", "float32")
    )
    for a, b in zip(wide.parameters(), narrow.parameters(), strict=True):
        np.testing.assert_array_equal(backend.to_host(a).astype("float32"), backend.to_host(b))


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5])
def test_dropout_masks_are_the_generators_and_keep_the_mean(rate, backend, dtype):
    network = Network.initialise(backend, (10, 300, 200, 3), dtype=dtype)
    masks, again = (
        [backend.to_host(m) for m in network.dropout_masks(np.random.default_rng(2), 100, rate)]
        for _ in range(2)
    )
    assert [mask.shape for mask in masks] == [(100, 300), (100, 200)]
    for mask, other in zip(masks, again, strict=True):
        np.testing.assert_array_equal(mask, other)
        assert set(np.unique(mask)) <= {mask.dtype.type(0), mask.dtype.type(1 / (1 - rate))}
        deviation = np.sqrt(rate / (1 - rate) / mask.size)
        assert abs(mask.mean(dtype="float64") - 1) <= 4 * deviation + 1e-6


def test_masks_of_one_change_nothing_and_dropped_units_have_no_effect(backend, dtype, rng):
    network = Network.initialise(backend, TINY, activation="sigmoid", dtype=dtype)
    X = backend.to_device(rng.standard_normal((6, 4)).astype(dtype))
    ones = network.dropout_masks(rng, 6, 0.0)
    plain, masked = network.forward(X)[1][-1], network.forward(X, ones)[1][-1]
    np.testing.assert_array_equal(backend.to_host(plain), backend.to_host(masked))
    ones[0][:, 2] = 0
    dropped = network.forward(X, ones)[1][-1]
    network.layers[1].W[2] = 0
    np.testing.assert_array_equal(
        backend.to_host(dropped), backend.to_host(network.forward(X)[1][-1])
    )


def test_rows_of_another_length_are_refused(backend):
    network = Network.initialise(backend, TINY)
    with pytest.raises(InputError, match="takes 4 inputs, the data has 5"):
        network.logits(backend.to_device(np.zeros((2, 5), dtype="float32")))
